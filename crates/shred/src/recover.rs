//! Any 32 shreds of a set give back the other 32 (ledger/src/shred/merkle.rs:recover).

use {
    crate::{
        erasure,
        header::{Body, ShredHeader},
        layout::*,
        merkle::{self, Tree},
        shred::Shred,
        shredder::{SET_BYTES, split},
    },
    bytes::Bytes,
    tandem_types::{Hash, Signature},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RecoverError {
    #[error("{0} of the 32 shreds needed")]
    TooFew(usize),
    /// The headers of code shreds cannot be computed without one of them.
    #[error("no code shred")]
    NoCode,
    #[error("shreds of different sets or versions of a set")]
    Mixed,
    #[error("merkle proofs of another length than a 32:32 set's")]
    ProofLength,
    /// The leader signed a root over code shreds that do not fit the data: nobody can recover this set.
    #[error("the set's code does not fit its data")]
    Inconsistent,
}

/// The missing shreds of the set that `present` belong to, data before code, each in order of its index.
///
/// `present` must have been verified: the recovered shreds take over its signature, which holds for them because the
/// whole tree is built again and must have the same root.
pub fn recover(present: &[Shred]) -> Result<Vec<Shred>, RecoverError> {
    let set = Set::of(present)?;
    let mut payloads = vec![0; SET_BYTES];
    let mut have = [false; SHREDS_PER_SET];
    let mut places: Vec<&mut [u8]> = split(&mut payloads).collect();
    for shred in present {
        let leaf = shred.header().leaf();
        places[leaf].copy_from_slice(shred.payload());
        have[leaf] = true;
    }
    let count = have.iter().filter(|have| **have).count();
    if count < DATA_SHREDS_PER_SET {
        return Err(RecoverError::TooFew(count));
    }

    let layout = |leaf| if leaf < DATA_SHREDS_PER_SET { set.data } else { set.code };
    let shards = places.into_iter().enumerate();
    let mut shards: Vec<_> = shards.map(|(leaf, place)| (&mut place[layout(leaf).shard()], have[leaf])).collect();
    if !erasure::reconstruct(&mut shards) {
        return Err(RecoverError::Inconsistent);
    }

    let mut headers = Vec::with_capacity(SHREDS_PER_SET);
    for (leaf, payload) in split(&mut payloads).enumerate() {
        if !have[leaf] {
            set.write_around_shard(leaf, layout(leaf), payload);
        }
        headers.push(set.expect_header(leaf, payload)?);
    }
    let tree = Tree::new(split(&mut payloads).enumerate().map(|(leaf, p)| merkle::leaf(p, layout(leaf).proof_at())));
    if tree.root() != set.root {
        return Err(RecoverError::Inconsistent);
    }
    for (leaf, payload) in split(&mut payloads).enumerate() {
        tree.write_proof(leaf, &mut payload[layout(leaf).proof_at()..layout(leaf).retransmitter_at()]);
    }

    let mut rest = Bytes::from(payloads);
    let mut missing = Vec::with_capacity(SHREDS_PER_SET - count);
    for (header, have) in headers.into_iter().zip(have) {
        let payload = rest.split_to(header.layout.payload_bytes());
        if !have {
            missing.push(Shred::assemble(payload, header, set.root));
        }
    }
    Ok(missing)
}

/// What all shreds of the set have in common.
struct Set {
    slot: u64,
    version: u16,
    fec_set_index: u32,
    first_code_index: u32,
    root: Hash,
    chained_root: Hash,
    signature: Signature,
    retransmitter_signature: Option<Signature>,
    data: Layout,
    code: Layout,
}

impl Set {
    fn of(present: &[Shred]) -> Result<Self, RecoverError> {
        let Some((code, first_code_index)) =
            present.iter().find_map(|shred| Some((shred, shred.header().first_code_index()?)))
        else {
            return Err(RecoverError::NoCode);
        };
        // Equal roots make equal slots, versions and so on: they are in the leaves. Except for shreds whose leaves an
        // odd leader made to differ, and those do not get past `expect_header`.
        let same = |shred: &Shred| {
            shred.merkle_root() == code.merkle_root()
                && shred.fec_set() == code.fec_set()
                && shred.resigned() == code.resigned()
        };
        if !present.iter().all(same) {
            return Err(RecoverError::Mixed);
        }
        if present.iter().any(|shred| shred.header().layout.proof_len != PROOF_LEN) {
            return Err(RecoverError::ProofLength);
        }
        Ok(Self {
            slot: code.slot(),
            version: code.version(),
            fec_set_index: code.fec_set_index(),
            first_code_index,
            root: code.merkle_root(),
            chained_root: code.chained_root(),
            signature: code.signature(),
            // Whoever sent us this shred signed for the set; shreds are resigned as they come in.
            retransmitter_signature: code.retransmitter_signature(),
            data: Layout::data(code.resigned()),
            code: Layout::code(code.resigned()),
        })
    }

    /// All that the erasure code does not cover, but the proof.
    fn write_around_shard(&self, leaf: usize, layout: Layout, payload: &mut [u8]) {
        if let Some(position) = leaf.checked_sub(DATA_SHREDS_PER_SET) {
            let header = ShredHeader {
                slot: self.slot,
                index: self.first_code_index + position as u32,
                version: self.version,
                fec_set_index: self.fec_set_index,
                body: Body::Code {
                    num_data: DATA_SHREDS_PER_SET as u16,
                    num_coding: CODE_SHREDS_PER_SET as u16,
                    position: position as u16,
                },
                layout,
            };
            header.write(payload);
        }
        payload[..SIGNATURE_BYTES].copy_from_slice(self.signature.as_ref());
        payload[layout.chained_root_at()..layout.proof_at()].copy_from_slice(self.chained_root.as_ref());
        if let Some(signature) = &self.retransmitter_signature {
            payload[layout.retransmitter_at()..].copy_from_slice(signature.as_ref());
        }
    }

    /// The header of the shred at this place, if it is one this set can have there.
    fn expect_header(&self, leaf: usize, payload: &[u8]) -> Result<ShredHeader, RecoverError> {
        let header = ShredHeader::parse(payload).map_err(|_| RecoverError::Inconsistent)?;
        let (layout, index) = match leaf.checked_sub(DATA_SHREDS_PER_SET) {
            None => (self.data, self.fec_set_index + leaf as u32),
            Some(position) => (self.code, self.first_code_index + position as u32),
        };
        let fits = header.slot == self.slot
            && header.version == self.version
            && header.fec_set_index == self.fec_set_index
            && header.index == index
            && header.layout == layout
            && header.leaf() == leaf;
        if fits { Ok(header) } else { Err(RecoverError::Inconsistent) }
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{self, leader},
        rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom},
        tandem_types::Signer,
    };

    fn set(bytes: usize, last: bool) -> Vec<Shred> {
        let batch: Vec<u8> = (0..bytes).map(|i| (i * 37 % 253) as u8).collect();
        let made = testing::make(12, 11, &batch, last);
        made.data.into_iter().take(32).chain(made.code.into_iter().take(32)).collect()
    }

    #[test]
    fn any_half_gives_the_other_half_back() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (bytes, last) in [(0, false), (30_000, false), (30_000, true), (100, true)] {
            let all = set(bytes, last);
            for _ in 0..8 {
                let mut order: Vec<usize> = (0..64).collect();
                order.shuffle(&mut rng);
                let (kept, lost) = order.split_at(32);
                let mut lost = lost.to_vec();
                lost.sort_unstable();
                let present: Vec<Shred> = kept.iter().map(|i| all[*i].clone()).collect();
                if !present.iter().any(|shred| !shred.is_data()) {
                    continue;
                }
                let expected: Vec<Shred> = lost.iter().map(|i| all[*i].clone()).collect();
                assert_eq!(recover(&present).unwrap(), expected);
            }
        }
    }

    #[test]
    fn code_alone_is_enough_and_data_alone_is_not() {
        let all = set(5000, false);
        assert_eq!(recover(&all[32..]).unwrap(), all[..32]);
        assert_eq!(recover(&all[..32]), Err(RecoverError::NoCode));
        assert_eq!(recover(&[]), Err(RecoverError::NoCode));
        assert_eq!(recover(&all).unwrap(), []);
        assert_eq!(recover(&all[33..]), Err(RecoverError::TooFew(31)));
        let twice: Vec<Shred> = all[33..].iter().chain(&all[33..]).cloned().collect();
        assert_eq!(recover(&twice), Err(RecoverError::TooFew(31)), "the same shred twice is one shred");
    }

    #[test]
    fn recovered_shreds_carry_the_senders_signature() {
        let mut all = set(5000, true);
        let signature = leader().sign_message(b"as if sent on");
        for shred in &mut all {
            assert!(shred.resign(&signature));
        }
        let recovered = recover(&all[20..60]).unwrap();
        assert_eq!(recovered.len(), 24);
        assert!(recovered.iter().all(|shred| shred.retransmitter_signature() == Some(signature)));
        assert!(recovered.iter().all(|shred| shred.verify(&leader().pubkey())));
    }

    #[test]
    fn shreds_of_two_sets_do_not_mix() {
        let (one, two) = (set(5000, false), set(5001, false));
        let mixed: Vec<Shred> = one[..40].iter().chain(&two[40..]).cloned().collect();
        assert_eq!(recover(&mixed), Err(RecoverError::Mixed));
    }

    #[test]
    fn code_that_does_not_fit_is_found_out() {
        // A leader that signs a tree over wrong code: the proofs and the signature hold, the recovered set does not.
        let all = set(5000, false);
        let mut payloads: Vec<Vec<u8>> = all.iter().map(|shred| shred.payload().to_vec()).collect();
        payloads[40][500] ^= 1;
        let layout = |i| if i < 32 { Layout::data(false) } else { Layout::code(false) };
        let tree = Tree::new(payloads.iter().enumerate().map(|(i, p)| merkle::leaf(p, layout(i).proof_at())));
        let signature = leader().sign_message(tree.root().as_ref());
        let evil: Vec<Shred> = payloads
            .into_iter()
            .enumerate()
            .map(|(i, mut payload)| {
                payload[..64].copy_from_slice(signature.as_ref());
                tree.write_proof(i, &mut payload[layout(i).proof_at()..]);
                Shred::parse(payload).unwrap()
            })
            .collect();
        assert!(evil.iter().all(|shred| shred.verify(&leader().pubkey())));
        assert_eq!(recover(&evil[32..]), Err(RecoverError::Inconsistent));
        assert_eq!(recover(&evil[8..40]), Err(RecoverError::Inconsistent));
    }
}
