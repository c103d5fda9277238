//! The leader's side: entry bytes of one batch -> signed sets of shreds (ledger/src/shred/merkle.rs:make_shreds_from_data).

use {
    crate::{
        erasure,
        header::{Body, FLAG_DATA_COMPLETE, FLAGS_LAST, REFERENCE_TICK_MAX, ShredHeader},
        layout::*,
        merkle::{self, Tree},
        shred::Shred,
    },
    bytes::Bytes,
    rayon::prelude::*,
    sha2::Sha256,
    tandem_entry::{EncodeError, Entry, encode_entries},
    tandem_types::{BlockId, Hash, Signature, Slot},
};

/// Where in the slot the next batch goes, and what it is chained to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub chained_root: Hash,
    /// Of the next data shred and of the next code shred: every set has 32 of each, and a code shred's index must lie in
    /// the range its set has among data shreds (`ShredHeader::check`), so the two counts never part.
    pub next_index: u32,
}

impl Cursor {
    /// The start of a slot. The block id is that of the block actually built on, also across skipped slots; for slot 0
    /// it is the genesis hash.
    pub fn start(parent: BlockId) -> Self {
        Self { chained_root: parent.0, next_index: 0 }
    }
}

/// The shreds of one batch, in order of their indices, and where the next one goes. After the slot's last batch
/// `next.chained_root` is the block id.
#[derive(Clone, Debug)]
pub struct Shredded {
    pub data: Vec<Shred>,
    pub code: Vec<Shred>,
    pub next: Cursor,
}

#[derive(Debug, thiserror::Error)]
#[error("parent {parent} is not within 65535 slots before slot {slot}")]
pub struct ParentError {
    pub slot: Slot,
    pub parent: Slot,
}

#[derive(Debug, thiserror::Error)]
pub enum MakeError<E> {
    #[error("encoding the batch")]
    Encode(#[from] EncodeError),
    /// The caller let the slot grow beyond what any shred can name.
    #[error("{sets} sets from shred {} on do not fit the slot", cursor.next_index)]
    SlotFull { sets: usize, cursor: Cursor },
    /// The signer refused; nothing of the batch may leave.
    #[error("signing the merkle root")]
    Sign(#[source] E),
}

/// Cuts the batches of one slot up. One per batch, as each has its reference tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shredder {
    slot: Slot,
    parent_offset: u16,
    version: u16,
    reference_tick: u8,
}

impl Shredder {
    pub fn new(slot: Slot, parent: Slot, version: u16, reference_tick: u8) -> Result<Self, ParentError> {
        let refused = ParentError { slot, parent };
        let offset = slot.checked_sub(parent).and_then(|offset| u16::try_from(offset).ok());
        match offset {
            Some(parent_offset) if (parent_offset == 0) == (slot == 0) => {
                Ok(Self { slot, parent_offset, version, reference_tick: reference_tick.min(REFERENCE_TICK_MAX) })
            }
            Some(_) | None => Err(refused),
        }
    }

    /// Signed shreds of `batch`, the bytes of one component. `sign` is asked once per set, in order, for a signature of
    /// the set's merkle root; the first refusal ends it.
    pub fn make<E>(
        &self,
        sign: impl FnMut(&Hash) -> Result<Signature, E>,
        cursor: Cursor,
        batch: &[u8],
        last_in_slot: bool,
    ) -> Result<Shredded, MakeError<E>> {
        let mut sign = sign;
        let plans = plan(batch, last_in_slot);
        let end = plans.len().saturating_mul(DATA_SHREDS_PER_SET).saturating_add(cursor.next_index as usize);
        let Some(next_index) = u32::try_from(end).ok().filter(|end| *end <= SHREDS_PER_SLOT_MAX) else {
            return Err(MakeError::SlotFull { sets: plans.len(), cursor });
        };
        // A set's root holds the root before it, so roots come one after the other; all that precedes them does not.
        let prepare = |(number, plan): (usize, &Plan)| self.prepare(cursor, number as u32, plan);
        let prepared: Vec<Prepared> = if plans.len() < PARALLEL_SETS_MIN {
            plans.iter().enumerate().map(prepare).collect()
        } else {
            plans.par_iter().enumerate().map(prepare).collect()
        };
        let mut data = Vec::with_capacity(plans.len() * DATA_SHREDS_PER_SET);
        let mut code = Vec::with_capacity(plans.len() * CODE_SHREDS_PER_SET);
        let mut chained_root = cursor.chained_root;
        for set in prepared {
            let mut shreds = set.finish(&chained_root, &mut sign).map_err(MakeError::Sign)?;
            code.extend(shreds.split_off(DATA_SHREDS_PER_SET));
            data.extend(shreds);
            chained_root = code.last().expect("invariant: a set has 32 code shreds").merkle_root();
        }
        Ok(Shredded { data, code, next: Cursor { chained_root, next_index } })
    }

    pub fn make_entries<E>(
        &self,
        sign: impl FnMut(&Hash) -> Result<Signature, E>,
        cursor: Cursor,
        entries: &[Entry],
        last_in_slot: bool,
    ) -> Result<Shredded, MakeError<E>> {
        self.make(sign, cursor, &encode_entries(entries)?, last_in_slot)
    }

    /// A last set that holds no entries: tells everyone that an interrupted slot ends here and is dead
    /// (turbine/src/broadcast_stage/standard_broadcast_run.rs:finish_prev_slot).
    pub fn make_abort<E>(
        &self,
        sign: impl FnMut(&Hash) -> Result<Signature, E>,
        cursor: Cursor,
    ) -> Result<Shredded, MakeError<E>> {
        self.make_entries(sign, cursor, &[], true)
    }

    /// A set with everything but what depends on the set before it.
    fn prepare(&self, cursor: Cursor, number: u32, plan: &Plan) -> Prepared {
        let fec_set_index = cursor.next_index + number * SET;
        let common = |layout, index, body| ShredHeader {
            slot: self.slot,
            index,
            version: self.version,
            fec_set_index,
            body,
            layout,
        };
        let layout = Layout::data(plan.resigned);
        let mut chunks = plan.bytes.chunks(layout.capacity());
        let data = (0..SET).map(|place| {
            let flags = if place + 1 == SET { plan.end_flags } else { 0 };
            let chunk = chunks.next().unwrap_or_default();
            let size = (DATA_HEADERS_BYTES + chunk.len()) as u16;
            let body = Body::Data { parent_offset: self.parent_offset, flags: self.reference_tick | flags, size };
            (common(layout, fec_set_index + place, body), chunk)
        });
        let code = (0..SET).map(|place| {
            let body = Body::Code { num_data: SET as u16, num_coding: SET as u16, position: place as u16 };
            (common(Layout::code(plan.resigned), fec_set_index + place, body), &[][..])
        });

        // One allocation for the 64 payloads: they are made, sent and stored together.
        let mut payloads = vec![0; SET_BYTES];
        let mut headers = Vec::with_capacity(SHREDS_PER_SET);
        for (payload, (header, chunk)) in split(&mut payloads).zip(data.chain(code)) {
            header.write(payload);
            payload[DATA_HEADERS_BYTES..][..chunk.len()].copy_from_slice(chunk);
            headers.push(header);
        }
        encode(&mut payloads, plan.resigned);
        let leaves = split(&mut payloads)
            .zip(&headers)
            .map(|(payload, header)| merkle::start_leaf(payload, header.layout.chained_root_at()))
            .collect();
        Prepared { payloads, headers, leaves }
    }
}

/// What one set carries.
struct Plan<'a> {
    bytes: &'a [u8],
    /// The last set of a slot has room for the retransmitters' signatures.
    resigned: bool,
    end_flags: u8,
}

/// Every set but the last is full; a batch fills whole sets, the rest is padding. If the slot ends here the last set is
/// a resigned one, which holds less, and it is there even when nothing is left for it.
fn plan(batch: &[u8], last_in_slot: bool) -> Vec<Plan<'_>> {
    let tail_bytes = if last_in_slot { batch.len().min(SET_DATA_BYTES_LAST) } else { 0 };
    let (plain, tail) = batch.split_at(batch.len() - tail_bytes);
    let mut plans: Vec<Plan> =
        plain.chunks(SET_DATA_BYTES).map(|bytes| Plan { bytes, resigned: false, end_flags: 0 }).collect();
    if last_in_slot {
        plans.push(Plan { bytes: tail, resigned: true, end_flags: FLAGS_LAST });
    } else if let Some(end) = plans.last_mut() {
        end.end_flags = FLAG_DATA_COMPLETE;
    } else {
        plans.push(Plan { bytes: &[], resigned: false, end_flags: FLAG_DATA_COMPLETE });
    }
    plans
}

struct Prepared {
    payloads: Vec<u8>,
    headers: Vec<ShredHeader>,
    leaves: Vec<Sha256>,
}

impl Prepared {
    fn finish<E>(
        self,
        chained_root: &Hash,
        sign: &mut impl FnMut(&Hash) -> Result<Signature, E>,
    ) -> Result<Vec<Shred>, E> {
        let Self { mut payloads, headers, leaves } = self;
        let tree = Tree::new(leaves.into_iter().map(|leaf| merkle::finish_leaf(leaf, chained_root.as_ref())));
        let root = tree.root();
        let signature = sign(&root)?;
        for (leaf, (payload, header)) in split(&mut payloads).zip(&headers).enumerate() {
            let layout = header.layout;
            payload[..SIGNATURE_BYTES].copy_from_slice(signature.as_ref());
            payload[layout.chained_root_at()..layout.proof_at()].copy_from_slice(chained_root.as_ref());
            tree.write_proof(leaf, &mut payload[layout.proof_at()..layout.retransmitter_at()]);
        }
        let mut rest = Bytes::from(payloads);
        let shreds = headers.into_iter().map(|header| {
            let payload = rest.split_to(header.layout.payload_bytes());
            Shred::assemble(payload, header, root)
        });
        Ok(shreds.collect())
    }
}

/// The 64 payloads of a set's buffer.
pub(crate) fn split(payloads: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let (data, code) = payloads.split_at_mut(SET_BYTES_DATA);
    data.chunks_exact_mut(DATA_PAYLOAD_BYTES).chain(code.chunks_exact_mut(CODE_PAYLOAD_BYTES))
}

fn encode(payloads: &mut [u8], resigned: bool) {
    let (data, code) = payloads.split_at_mut(SET_BYTES_DATA);
    let data: Vec<&[u8]> =
        data.chunks_exact(DATA_PAYLOAD_BYTES).map(|payload| &payload[Layout::data(resigned).shard()]).collect();
    let mut code: Vec<&mut [u8]> =
        code.chunks_exact_mut(CODE_PAYLOAD_BYTES).map(|payload| &mut payload[Layout::code(resigned).shard()]).collect();
    erasure::encode(&data, &mut code);
}

const SET: u32 = DATA_SHREDS_PER_SET as u32;
const SET_BYTES_DATA: usize = DATA_SHREDS_PER_SET * DATA_PAYLOAD_BYTES;
pub(crate) const SET_BYTES: usize = SET_BYTES_DATA + CODE_SHREDS_PER_SET * CODE_PAYLOAD_BYTES;

/// A set takes a good part of a millisecond at most; a single one is not worth another thread.
const PARALLEL_SETS_MIN: usize = 2;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::{
            deshred::Deshredder,
            id::ShredKind,
            testing::{self, REFERENCE_TICK, VERSION, leader, sign},
        },
        proptest::prelude::*,
        std::convert::Infallible,
        tandem_types::Signer,
    };

    fn check(made: &Shredded, start: Cursor, batch: &[u8], last: bool) {
        assert_eq!(made.data.len(), made.code.len());
        assert_eq!(made.data.len() % 32, 0);
        let mut chained = start.chained_root;
        for (number, (data, code)) in made.data.chunks(32).zip(made.code.chunks(32)).enumerate() {
            let end_of_batch = (number + 1) * 32 == made.data.len();
            let root = data[0].merkle_root();
            for (place, shred) in data.iter().chain(code).enumerate() {
                // Parsing computes everything again from the bytes.
                assert_eq!(Shred::parse(shred.payload().clone()).as_ref(), Ok(shred));
                assert!(place > 0 || shred.verify(&leader().pubkey()));
                assert_eq!(shred.merkle_root(), root);
                assert_eq!(shred.signature(), data[0].signature());
                assert_eq!(shred.chained_root(), chained);
                assert_eq!(shred.resigned(), last && end_of_batch);
                assert_eq!(shred.fec_set_index(), start.next_index + number as u32 * 32);
                assert_eq!(shred.version(), VERSION);
                assert_eq!(shred.index(), start.next_index + (number * 32 + place % 32) as u32);
                assert_eq!(shred.kind() == ShredKind::Data, place < 32);
                if place < 32 {
                    assert_eq!(shred.data_complete(), end_of_batch && place == 31);
                    assert_eq!(shred.last_in_slot(), last && end_of_batch && place == 31);
                    assert_eq!(shred.reference_tick(), Some(REFERENCE_TICK));
                }
            }
            chained = root;
        }
        let next = Cursor { chained_root: chained, next_index: start.next_index + made.data.len() as u32 };
        assert_eq!(made.next, next);
        let bytes: Vec<u8> = made.data.iter().flat_map(|shred| shred.data().to_vec()).collect();
        assert_eq!(bytes, batch);
    }

    #[test]
    fn sizes_around_the_sets_ends() {
        let (set, tail) = (SET_DATA_BYTES, SET_DATA_BYTES_LAST);
        assert_eq!((set, tail), (32 * 963, 32 * 899));
        let cases = [
            (0, false, 1),
            (1, false, 1),
            (set, false, 1),
            (set + 1, false, 2),
            (3 * set, false, 3),
            (0, true, 1),
            (8, true, 1),
            (tail, true, 1),
            (tail + 1, true, 2),
            (tail + set, true, 2),
            (tail + set + 1, true, 3),
        ];
        for (bytes, last, sets) in cases {
            let batch: Vec<u8> = (0..bytes).map(|i| (i * 31 % 251) as u8).collect();
            let start = Cursor { chained_root: Hash::new_from_array([4; 32]), next_index: 64 };
            let shredder = Shredder::new(10, 7, VERSION, REFERENCE_TICK).unwrap();
            let made = shredder.make(sign, start, &batch, last).unwrap();
            assert_eq!(made.data.len(), sets * 32, "{bytes} bytes, last: {last}");
            check(&made, start, &batch, last);
        }
    }

    #[test]
    fn batches_of_a_slot_chain() {
        let parent = BlockId(Hash::new_from_array([9; 32]));
        let shredder = Shredder::new(10, 7, VERSION, REFERENCE_TICK).unwrap();
        let one = shredder.make(sign, Cursor::start(parent), &[1; 50_000], false).unwrap();
        let two = shredder.make(sign, one.next, &[2; 100], false).unwrap();
        let end = shredder.make_abort(sign, two.next).unwrap();
        check(&one, Cursor::start(parent), &[1; 50_000], false);
        check(&two, one.next, &[2; 100], false);
        check(&end, two.next, &[0; 8], true);
        let mut deshredder = Deshredder::default();
        let all = one.data.iter().chain(&two.data).chain(&end.data);
        let components: Vec<_> = all.filter_map(|shred| deshredder.push(shred).unwrap()).collect();
        assert_eq!(components.len(), 3);
        assert_eq!(components[2].entries(), Err(tandem_entry::DecodeError::Aborted));
    }

    #[test]
    fn parents_and_limits() {
        assert!(Shredder::new(5, 6, 0, 0).is_err());
        assert!(Shredder::new(5, 5, 0, 0).is_err());
        assert!(Shredder::new(70_000, 1, 0, 0).is_err());
        assert!(Shredder::new(0, 0, 0, 0).is_ok());
        let shredder = Shredder::new(5, 4, 0, 200).unwrap();
        let full = Cursor { chained_root: Hash::default(), next_index: 32_736 };
        let made = shredder.make(sign, full, &[], false).unwrap();
        assert_eq!(made.data[0].reference_tick(), Some(63));
        let over = shredder.make(sign, full, &[0; SET_DATA_BYTES + 1], false);
        assert!(matches!(over, Err(MakeError::SlotFull { sets: 2, .. })));
        assert!(matches!(shredder.make(sign, made.next, &[], false), Err(MakeError::SlotFull { .. })));
    }

    #[test]
    fn a_refusal_to_sign_yields_nothing() {
        let shredder = Shredder::new(5, 4, 0, 0).unwrap();
        let mut asked = 0;
        let refuse = |root: &Hash| {
            asked += 1;
            if asked == 2 { Err("lease expired") } else { Ok::<_, &str>(leader().sign_message(root.as_ref())) }
        };
        let start = Cursor::start(BlockId::default());
        let refused = shredder.make(refuse, start, &[0; 3 * SET_DATA_BYTES], false);
        assert!(matches!(refused, Err(MakeError::Sign("lease expired"))));
        assert_eq!(asked, 2);
    }

    #[test]
    fn equal_input_gives_equal_roots_whoever_signs() {
        // The root leaves the signature out: it is how slot 0's block id can be known without its throw-away key.
        let shredder = Shredder::new(0, 0, 1, 0).unwrap();
        let start = Cursor::start(BlockId::default());
        let one = shredder.make(sign, start, &[7; 1000], true).unwrap();
        let zeros = |_: &Hash| Ok::<_, Infallible>(Signature::default());
        let two = shredder.make(zeros, start, &[7; 1000], true).unwrap();
        assert_eq!(one.next, two.next);
        assert_eq!(testing::make(0, 0, &[7; 1000], true).data.len(), 32);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_batch_comes_back(
            batch in proptest::collection::vec(any::<u8>(), 0..70_000),
            last in any::<bool>(),
            set in 0u32..100,
        ) {
            let start =
                Cursor { chained_root: Hash::new_from_array([4; 32]), next_index: set * 32 };
            let shredder = Shredder::new(10, 7, VERSION, REFERENCE_TICK).unwrap();
            let made = shredder.make(sign, start, &batch, last).unwrap();
            check(&made, start, &batch, last);
        }
    }
}
