//! What a shred commits its signer to.
//!
//! ```text
//! 0         64      65   73    77      79  83     85    86                   proof             end
//! |signature|variant|slot|index|version|set|parent|flags|size and data ...|chained root|proof|(retransmitter's signature)
//!           '----------------------------- leaf of the merkle tree ------------------'
//! ```
//! The signature is over the root that leaf and proof lead to. A retransmitter's signature is outside of both.

use {
    crate::bytes::Reader,
    sha2::{Digest, Sha256},
    solana_signature::Signature,
};

/// The place of a shred in a block, and what its signer said of the 64 shreds of its set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShredView<'a> {
    pub slot: u64,
    pub index: u32,
    pub set: u32,
    pub is_data: bool,
    /// The block's last data shred.
    pub is_last: bool,
    /// A batch of entries ends here.
    pub ends_batch: bool,
    pub signature: [u8; 64],
    pub root: [u8; 32],
    /// The root of the set before, in this block or its parent.
    pub chained_root: [u8; 32],
    /// Bytes of entries; nothing for a code shred.
    pub entries: &'a [u8],
}

const DATA_BYTES: usize = 1203;
const CODE_BYTES: usize = 1228;
const NODE_BYTES: usize = 20;
const DATA_HEADERS: usize = 88;
pub const SHREDS_PER_SET: u32 = 32;

impl<'a> ShredView<'a> {
    /// Reads a shred; what follows it (a repair's nonce) is left alone. `None`: these bytes are no shred.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let variant = *bytes.get(64)?;
        let (is_data, resigned) = match variant >> 4 {
            0x6 => (false, false),
            0x7 => (false, true),
            0x9 => (true, false),
            0xb => (true, true),
            _ => return None,
        };
        let shred = bytes.get(..if is_data { DATA_BYTES } else { CODE_BYTES })?;
        let proof_end = shred.len() - if resigned { 64 } else { 0 };
        let proof_at = proof_end.checked_sub(usize::from(variant & 0xf) * NODE_BYTES)?;
        let mut reader = Reader(shred);
        let signature = reader.array()?;
        reader.u8()?;
        let (slot, index, _version, set) = (reader.u64()?, reader.u32()?, reader.u16()?, reader.u32()?);
        let leaf = match is_data {
            true => index.checked_sub(set)?,
            false => {
                // Counts of data and of code shreds, then the place among the code shreds; each two bytes.
                reader.take(4)?;
                SHREDS_PER_SET.checked_add(u32::from(reader.u16()?))?
            }
        };
        let (flags, entries): (u8, &[u8]) = match is_data {
            true => {
                let size = usize::from(u16::from_le_bytes(shred.get(86..88)?.try_into().ok()?));
                (shred[85], shred.get(DATA_HEADERS..size.min(proof_at.checked_sub(32)?)).unwrap_or_default())
            }
            false => (0, &[]),
        };
        Some(Self {
            slot,
            index,
            set,
            is_data,
            // The last shred also ends its batch: two bits (shred/layout: LAST_SHRED_IN_SLOT is 0b1100_0000).
            is_last: flags & 0xc0 == 0xc0,
            ends_batch: flags & 0x40 != 0,
            signature,
            root: root(leaf, &shred[64..proof_at], &shred[proof_at..proof_end])?,
            chained_root: shred.get(proof_at.checked_sub(32)?..proof_at)?.try_into().ok()?,
            entries,
        })
    }

    pub fn is_signed_by(&self, identity: &[u8; 32]) -> bool {
        Signature::from(self.signature).verify(identity, &self.root)
    }
}

/// Whether a datagram has the length of a shred, alone or with the four bytes of a repair's nonce.
pub fn has_length_of_shred(datagram: &[u8]) -> bool {
    [DATA_BYTES, DATA_BYTES + 4, CODE_BYTES, CODE_BYTES + 4].contains(&datagram.len())
}

/// `None` when the place is outside of the tree.
fn root(mut leaf: u32, content: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
    let mut node: [u8; 32] =
        Sha256::new().chain_update(b"\x00SOLANA_MERKLE_SHREDS_LEAF").chain_update(content).finalize().into();
    for sibling in proof.chunks_exact(NODE_BYTES) {
        let (left, right) = if leaf & 1 == 0 { (&node[..NODE_BYTES], sibling) } else { (sibling, &node[..NODE_BYTES]) };
        let parent =
            Sha256::new().chain_update(b"\x01SOLANA_MERKLE_SHREDS_NODE").chain_update(left).chain_update(right);
        node = parent.finalize().into();
        leaf >>= 1;
    }
    (leaf == 0).then_some(node)
}
