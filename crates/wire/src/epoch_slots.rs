//! Which slots a node holds completely: sets of slots, deflated to fit gossip's records.

use {
    crate::{
        Reject,
        bloom::write_bit_blocks,
        codec::{Reader, Writer},
        crds::{SLOT_MAX, VALUE_BYTES_MAX},
    },
    flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status},
    tandem_types::Slot,
};

/// epoch_slots.rs:CompressedSlots. `num` counts the slots from `first_slot` on that the set speaks about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CompressedSlots {
    /// Raw DEFLATE of the bits.
    Flate2 { first_slot: Slot, num: u64, compressed: Vec<u8> },
    /// Bit `i` of byte `i / 8`, lowest bit first, stands for slot `first_slot + i`.
    Uncompressed { first_slot: Slot, num: u64, bits: Vec<u8> },
}

impl CompressedSlots {
    /// The set of `slots` (ascending), or `None` if they are none or span more than one element may hold.
    pub fn deflate(slots: &[Slot]) -> Option<Self> {
        let (first_slot, last) = (*slots.first()?, *slots.last()?);
        let num = last.checked_sub(first_slot)? + 1;
        if num >= SLOTS_MAX || last >= SLOT_MAX {
            return None;
        }
        let mut bits = vec![0u8; usize::try_from(num.div_ceil(8)).ok()?];
        for slot in slots {
            let at = slot.checked_sub(first_slot).filter(|at| *at < num)?;
            bits[(at / 8) as usize] |= 1 << (at % 8);
        }
        // A little more room than the input: what cannot be compressed grows by a few bytes.
        let mut compressed = Vec::with_capacity(bits.len() + 64);
        let status =
            Compress::new(Compression::best(), false).compress_vec(&bits, &mut compressed, FlushCompress::Finish);
        matches!(status, Ok(Status::StreamEnd)).then_some(Self::Flate2 { first_slot, num, compressed })
    }

    pub fn first_slot(&self) -> Slot {
        match self {
            Self::Flate2 { first_slot, .. } | Self::Uncompressed { first_slot, .. } => *first_slot,
        }
    }

    /// The slots of the set that are not below `slot_min`. What does not inflate counts as empty, as in agave.
    pub fn slots(&self, slot_min: Slot) -> Vec<Slot> {
        match self {
            Self::Uncompressed { first_slot, num, bits } => listed(*first_slot, *num, bits, slot_min),
            Self::Flate2 { first_slot, num, compressed } => {
                // A hostile stream could inflate without end; nothing is written past the capacity.
                let mut bits = Vec::with_capacity(SLOTS_MAX as usize / 8);
                match Decompress::new(false).decompress_vec(compressed, &mut bits, FlushDecompress::Finish) {
                    Ok(_) => listed(*first_slot, *num, &bits, slot_min),
                    Err(_) => Vec::new(),
                }
            }
        }
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let tag = input.u32()?;
        let (first_slot, num) = (input.u64()?, input.u64()?);
        if first_slot >= SLOT_MAX || num >= SLOTS_MAX {
            return Err(Reject::OutOfBounds("epoch slots"));
        }
        match tag {
            0 => {
                let count = input.count(1)?;
                Ok(Self::Flate2 { first_slot, num, compressed: input.take(count)?.to_vec() })
            }
            1 => {
                let bits = read_bit_bytes(input)?;
                Ok(Self::Uncompressed { first_slot, num, bits })
            }
            _ => Err(Reject::Tag("epoch slots", tag)),
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        match self {
            Self::Flate2 { first_slot, num, compressed } => {
                out.u32(0).u64(*first_slot).u64(*num).count(compressed.len()).bytes(compressed);
            }
            Self::Uncompressed { first_slot, num, bits } => {
                out.u32(1).u64(*first_slot).u64(*num);
                write_bit_blocks(bits.len(), &mut |out| _ = out.bytes(bits), out);
                out.u64(bits.len() as u64 * 8);
            }
        }
    }
}

/// As many of `slots` (ascending) as fit in one record: the element and how many it took.
pub fn largest_prefix(slots: &[Slot]) -> Option<(CompressedSlots, usize)> {
    let first = *slots.first()?;
    let within = slots.partition_point(|slot| slot.saturating_sub(first) < SLOTS_MAX - 1);
    let (mut taken, mut best) = (within, None);
    // Compressed size is close to monotone in the number of slots: halve until it fits.
    while taken > 0 && best.is_none() {
        let element = CompressedSlots::deflate(&slots[..taken])?;
        let mut out = Writer::default();
        element.write(&mut out);
        if out.0.len() <= ELEMENT_BYTES_MAX {
            best = Some((element, taken));
        }
        taken /= 2;
    }
    best
}

/// A `BitVec<u8>` whose length is a whole number of bytes, all of them there (epoch_slots.rs:Uncompressed::sanitize).
fn read_bit_bytes(input: &mut Reader) -> Result<Vec<u8>, Reject> {
    let bits = if input.some()? {
        let count = input.count(1)?;
        input.take(count)?.to_vec()
    } else {
        Vec::new()
    };
    if input.u64()? != bits.len() as u64 * 8 {
        return Err(Reject::Inconsistent("epoch slots: bit count"));
    }
    Ok(bits)
}

fn listed(first_slot: Slot, num: u64, bits: &[u8], slot_min: Slot) -> Vec<Slot> {
    let end = num.min(bits.len() as u64 * 8);
    (slot_min.saturating_sub(first_slot)..end)
        .filter(|at| bits[(at / 8) as usize] & (1 << (at % 8)) != 0)
        .map(|at| first_slot + at)
        .collect()
}

/// epoch_slots.rs:MAX_SLOTS_PER_ENTRY; `num` must be below it.
pub const SLOTS_MAX: u64 = 2048 * 8;
/// What a record leaves for one element: signature, tags, index, origin, element count and wall clock take the rest.
const ELEMENT_BYTES_MAX: usize = VALUE_BYTES_MAX - (64 + 4 + 1 + 32 + 8 + 8);

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    fn round_trip(element: &CompressedSlots) -> Result<CompressedSlots, Reject> {
        let mut out = Writer::default();
        element.write(&mut out);
        let mut input = Reader::new(&out.0, "epoch slots");
        let read = CompressedSlots::read(&mut input)?;
        input.finish()?;
        Ok(read)
    }

    proptest! {
        #[test]
        fn sets_round_trip(first in 0u64..1_000_000, gaps in proptest::collection::vec(1u64..40, 0..300)) {
            let mut slots = vec![first];
            for gap in gaps {
                slots.push(slots[slots.len() - 1] + gap);
            }
            let element = CompressedSlots::deflate(&slots).expect("spans fewer than 16,384 slots");
            prop_assert_eq!(round_trip(&element), Ok(element.clone()));
            prop_assert_eq!(&element.slots(0), &slots);
            let middle = slots[slots.len() / 2];
            prop_assert_eq!(&element.slots(middle)[..], &slots[slots.len() / 2..]);
        }

        #[test]
        fn random_compressed_bytes_never_panic(compressed in proptest::collection::vec(any::<u8>(), 0..200), num in 0..SLOTS_MAX) {
            let element = CompressedSlots::Flate2 { first_slot: 5, num, compressed };
            prop_assert!(element.slots(0).len() <= SLOTS_MAX as usize);
        }
    }

    #[test]
    fn uncompressed_sets_are_read() {
        let element = CompressedSlots::Uncompressed { first_slot: 10, num: 10, bits: vec![0b101, 0b11] };
        assert_eq!(round_trip(&element).as_ref(), Ok(&element));
        assert_eq!(element.slots(0), [10, 12, 18, 19]);
        let shorter = CompressedSlots::Uncompressed { first_slot: 10, num: 9, bits: vec![0b101, 0b11] };
        assert_eq!(shorter.slots(12), [12, 18], "num cuts, and so does the lower bound");
        let longer = CompressedSlots::Uncompressed { first_slot: 10, num: 10_000, bits: vec![1] };
        assert_eq!(longer.slots(0), [10], "num beyond the bits");
    }

    #[test]
    fn a_bomb_inflates_to_the_bound_only() {
        let zeros = vec![0xffu8; 10_000_000];
        let mut compressed = Vec::with_capacity(100_000);
        Compress::new(Compression::best(), false).compress_vec(&zeros, &mut compressed, FlushCompress::Finish).unwrap();
        let element = CompressedSlots::Flate2 { first_slot: 0, num: SLOTS_MAX - 1, compressed };
        assert_eq!(element.slots(0).len() as u64, SLOTS_MAX - 1);
    }

    #[test]
    fn a_record_takes_what_fits() {
        let scattered: Vec<Slot> = (0..4_000).map(|n| n * 4 + (n * n) % 3).collect();
        let (element, taken) = largest_prefix(&scattered).unwrap();
        assert!(taken > 0 && taken <= scattered.len());
        assert_eq!(element.slots(0), scattered[..taken]);
        let mut out = Writer::default();
        element.write(&mut out);
        assert!(out.0.len() <= ELEMENT_BYTES_MAX);
        assert!(largest_prefix(&[]).is_none());
    }

    #[test]
    fn bounds() {
        for element in [
            CompressedSlots::Uncompressed { first_slot: SLOT_MAX, num: 1, bits: vec![1] },
            CompressedSlots::Flate2 { first_slot: 1, num: SLOTS_MAX, compressed: vec![] },
        ] {
            assert_eq!(round_trip(&element), Err(Reject::OutOfBounds("epoch slots")));
        }
    }
}
