//! How a block is named.

use {
    serde::{Deserialize, Serialize},
    solana_clock::Slot,
    solana_hash::Hash,
    std::fmt,
};

/// A block as votes name it: its slot and its bank hash. Two blocks of one slot differ in the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlockKey {
    pub slot: Slot,
    pub hash: Hash,
}

impl BlockKey {
    pub fn new(slot: Slot, hash: Hash) -> Self {
        Self { slot, hash }
    }
}

impl fmt::Display for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slot, self.hash)
    }
}

/// A block as shreds name it: the merkle root of the last FEC set of its slot (what a child's first set is chained to).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct BlockId(pub Hash);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
