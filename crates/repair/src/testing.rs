//! What the tests of both machines share.

use {
    crate::{Signer, answer::DATA_SHRED_BYTES},
    tandem_types::{Keypair, Pubkey, Signature, Signer as _, Slot},
};

pub(crate) struct Key(pub Keypair);

impl Key {
    pub(crate) fn new(n: u8) -> Self {
        Self(Keypair::new_from_array([n; 32]))
    }
}

impl Signer for Key {
    fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign_message(bytes)
    }
}

/// Enough of a data shred for repair: kind, slot, index.
pub(crate) fn shred(slot: Slot, index: u32) -> Vec<u8> {
    let mut bytes = vec![0; DATA_SHRED_BYTES];
    bytes[64] = 0x96;
    bytes[65..73].copy_from_slice(&slot.to_le_bytes());
    bytes[73..77].copy_from_slice(&index.to_le_bytes());
    bytes
}
