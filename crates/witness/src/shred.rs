//! What a shred commits its signer to.

use crate::bytes::Reader;

/// The place of a set of shreds in a block, and the signature over the set's merkle root. Ed25519 signatures are a
/// function of key and message, so two signatures for one place are two contents.
pub struct SetCommitment {
    pub slot: u64,
    pub set: u32,
    pub signature: [u8; 64],
}

/// Offsets of the common shred header: signature 0, variant 64, slot 65, index 73, version 77, set 79.
pub fn commitment(shred: &[u8]) -> Option<SetCommitment> {
    let mut reader = Reader(shred);
    let signature = reader.array()?;
    let variant = reader.u8()?;
    let slot = reader.u64()?;
    reader.take(4 + 2)?;
    let set = reader.u32()?;
    matches!(variant >> 4, 0x6 | 0x7 | 0x9 | 0xb).then_some(SetCommitment { slot, set, signature })
}
