//! A leader for the tests of this crate.

use {
    crate::shredder::{Cursor, Shredded, Shredder},
    std::convert::Infallible,
    tandem_types::{BlockId, Hash, Keypair, Signature, Signer, Slot},
};

pub const VERSION: u16 = 4242;
pub const REFERENCE_TICK: u8 = 9;

pub fn leader() -> Keypair {
    Keypair::new_from_array([21; 32])
}

pub fn sign(root: &Hash) -> Result<Signature, Infallible> {
    Ok(leader().sign_message(root.as_ref()))
}

/// The first batch of a slot.
pub fn make(slot: Slot, parent: Slot, batch: &[u8], last: bool) -> Shredded {
    let shredder = Shredder::new(slot, parent, VERSION, REFERENCE_TICK).unwrap();
    shredder.make(sign, Cursor::start(BlockId(Hash::new_from_array([2; 32]))), batch, last).unwrap()
}
