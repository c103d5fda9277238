//! Names of shreds and of the sets they belong to.

use {
    sha2::{Digest, Sha256},
    tandem_types::{Pubkey, Slot},
};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ShredKind {
    Data,
    Code,
}

/// Data and code shreds are numbered apart, both per slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShredId {
    pub slot: Slot,
    pub index: u32,
    pub kind: ShredKind,
}

impl ShredId {
    /// What turbine shuffles the cluster with for this shred (ledger/src/shred.rs:ShredId::seed).
    pub fn seed(&self, leader: &Pubkey) -> [u8; 32] {
        // The type bytes of the shreds before merkle variants; they live on here only.
        let kind: u8 = match self.kind {
            ShredKind::Data => 0xA5,
            ShredKind::Code => 0x5A,
        };
        let mut hasher = Sha256::new();
        hasher.update(self.slot.to_le_bytes());
        hasher.update([kind]);
        hasher.update(self.index.to_le_bytes());
        hasher.update(leader.as_ref());
        hasher.finalize().into()
    }
}

/// 32 data shreds and the 32 code shreds made from them; `index` is that of the first data shred.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FecSetId {
    pub slot: Slot,
    pub index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_is_slot_kind_index_leader() {
        let leader = Pubkey::new_from_array([3; 32]);
        for (kind, byte) in [(ShredKind::Data, 0xA5), (ShredKind::Code, 0x5A)] {
            let id = ShredId { slot: 0x0102_0304_0506_0708, index: 0x0a0b_0c0d, kind };
            let mut bytes = vec![8, 7, 6, 5, 4, 3, 2, 1, byte, 0x0d, 0x0c, 0x0b, 0x0a];
            bytes.extend([3; 32]);
            assert_eq!(id.seed(&leader), <[u8; 32]>::from(Sha256::digest(bytes)));
        }
    }
}
