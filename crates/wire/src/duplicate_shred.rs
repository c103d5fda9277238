//! The proof that a leader made two blocks for one slot: two shreds, cut in chunks that fit gossip's records.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
        crds::WALLCLOCK_MAX,
    },
    std::collections::BTreeMap,
    tandem_types::{PACKET_BYTES_MAX, Pubkey, Slot, UnixMillis},
};

/// One chunk (duplicate_shred.rs:DuplicateShred).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuplicateShred {
    pub from: Pubkey,
    pub wallclock: UnixMillis,
    pub slot: Slot,
    unused: u32,
    unused_shred_type: u8,
    pub num_chunks: u8,
    pub chunk_index: u8,
    pub chunk: Vec<u8>,
}

/// The two conflicting shreds (blockstore_meta.rs:DuplicateSlotProof), each as its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuplicateProof {
    pub shred1: Vec<u8>,
    pub shred2: Vec<u8>,
}

impl DuplicateProof {
    pub fn chunks(&self, from: Pubkey, wallclock: UnixMillis, slot: Slot) -> Vec<DuplicateShred> {
        let mut out = Writer::default();
        for shred in [&self.shred1, &self.shred2] {
            out.count(shred.len()).bytes(shred);
        }
        let chunks: Vec<_> = out.0.chunks(CHUNK_BYTES_MAX).collect();
        let num_chunks = u8::try_from(chunks.len()).expect("invariant: two shreds of one packet each are three chunks");
        let chunk_of = |(index, chunk): (usize, &&[u8])| DuplicateShred {
            from,
            wallclock,
            slot,
            unused: 0,
            unused_shred_type: SHRED_TYPE_CODE,
            num_chunks,
            chunk_index: index as u8,
            chunk: chunk.to_vec(),
        };
        chunks.iter().enumerate().map(chunk_of).collect()
    }

    /// Chunks by index, all of one proof. Says nothing about the shreds themselves.
    pub fn join(num_chunks: u8, chunks: &BTreeMap<u8, Vec<u8>>) -> Result<Self, Reject> {
        if chunks.len() != usize::from(num_chunks) || chunks.keys().copied().ne(0..num_chunks) {
            return Err(Reject::Truncated("duplicate shred proof"));
        }
        let bytes: Vec<u8> = chunks.values().flatten().copied().collect();
        let mut input = Reader::new(&bytes, "duplicate shred proof");
        let mut shred = || {
            let count = input.count(1)?;
            input.take(count).map(<[u8]>::to_vec)
        };
        let proof = Self { shred1: shred()?, shred2: shred()? };
        if proof.shred1 == proof.shred2 {
            return Err(Reject::Inconsistent("duplicate shred proof: the same shred twice"));
        }
        Ok(proof)
    }
}

impl DuplicateShred {
    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (from, wallclock, slot) = (input.pubkey()?, UnixMillis(input.u64()?), input.u64()?);
        let (unused, unused_shred_type) = (input.u32()?, input.u8()?);
        let (num_chunks, chunk_index) = (input.u8()?, input.u8()?);
        let count = input.count(1)?;
        let chunk = input.take(count)?.to_vec();
        if wallclock.0 >= WALLCLOCK_MAX || chunk_index >= num_chunks {
            return Err(Reject::OutOfBounds("duplicate shred"));
        }
        Ok(Self { from, wallclock, slot, unused, unused_shred_type, num_chunks, chunk_index, chunk })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.bytes(self.from.as_ref()).u64(self.wallclock.0).u64(self.slot).u32(self.unused).u8(self.unused_shred_type);
        out.u8(self.num_chunks).u8(self.chunk_index).count(self.chunk.len()).bytes(&self.chunk);
    }
}

/// protocol.rs:DUPLICATE_SHRED_MAX_PAYLOAD_SIZE less the 63 bytes of the fields around the chunk.
const CHUNK_BYTES_MAX: usize = PACKET_BYTES_MAX - 115 - 63;
/// What agave writes into the field nobody reads.
const SHRED_TYPE_CODE: u8 = 0b0101_1010;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_survives_being_cut() {
        let proof = DuplicateProof { shred1: vec![1; 1203], shred2: vec![2; 1228] };
        let chunks = proof.chunks(Pubkey::new_unique(), UnixMillis(5), 77);
        assert_eq!(chunks.len(), 3);
        for chunk in &chunks {
            let mut out = Writer::default();
            chunk.write(&mut out);
            assert!(64 + 4 + 2 + out.0.len() <= crate::gossip::VALUES_BYTES_MAX, "fits a push message alone");
            assert_eq!(DuplicateShred::read(&mut Reader::new(&out.0, "chunk")).as_ref(), Ok(chunk));
        }
        let mut by_index: BTreeMap<_, _> =
            chunks.iter().map(|chunk| (chunk.chunk_index, chunk.chunk.clone())).collect();
        assert_eq!(DuplicateProof::join(3, &by_index), Ok(proof));
        by_index.remove(&1);
        assert!(DuplicateProof::join(3, &by_index).is_err());
        assert!(DuplicateProof::join(2, &by_index).is_err(), "two chunks, but not the first two");
    }

    #[test]
    fn one_shred_twice_proves_nothing() {
        let proof = DuplicateProof { shred1: vec![1; 10], shred2: vec![1; 10] };
        let chunks = proof.chunks(Pubkey::new_unique(), UnixMillis(5), 77);
        let by_index = chunks.into_iter().map(|chunk| (chunk.chunk_index, chunk.chunk)).collect();
        assert!(DuplicateProof::join(1, &by_index).is_err());
    }
}
