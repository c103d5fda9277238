//! Blocks for the tests of this crate.

use {
    std::convert::Infallible,
    tandem_entry::{Entry, create_ticks},
    tandem_shred::{Cursor, Shred, Shredded, Shredder},
    tandem_types::{BlockId, Hash, Keypair, Signature, Signer, Slot},
};

pub const VERSION: u16 = 4242;

pub fn leader() -> Keypair {
    Keypair::new_from_array([42; 32])
}

pub fn sign(root: &Hash) -> Result<Signature, Infallible> {
    Ok(leader().sign_message(root.as_ref()))
}

/// A whole block of `batches` batches of ticks, one set or more each, chained to a made-up parent.
pub fn slot(slot: Slot, parent: Slot, batches: u32) -> Shredded {
    version_of(slot, parent, batches, 0)
}

/// Another `flavour` is another block of the same slot.
pub fn version_of(slot: Slot, parent: Slot, batches: u32, flavour: u8) -> Shredded {
    chained(slot, parent, batches, flavour, BlockId(Hash::new_from_array([flavour; 32])))
}

pub fn chained(slot: Slot, parent: Slot, batches: u32, flavour: u8, parent_id: BlockId) -> Shredded {
    let mut all = Shredded { data: vec![], code: vec![], next: Cursor::start(parent_id) };
    for batch in 0..batches {
        let shredder = Shredder::new(slot, parent, VERSION, 1).expect("a parent below the slot");
        let entries = entries(slot, batch, flavour);
        let made = shredder.make_entries(sign, all.next, &entries, batch + 1 == batches).expect("fits a slot");
        all.data.extend(made.data);
        all.code.extend(made.code);
        all.next = made.next;
    }
    all
}

pub fn entries(slot: Slot, batch: u32, flavour: u8) -> Vec<Entry> {
    let mut start = [flavour; 32];
    start[..8].copy_from_slice(&slot.to_le_bytes());
    start[8..12].copy_from_slice(&batch.to_le_bytes());
    create_ticks(20, 2, Hash::new_from_array(start))
}

#[allow(dead_code)] // Not everybody who includes this file needs it.
pub fn all(made: &Shredded) -> Vec<Shred> {
    made.data.iter().chain(&made.code).cloned().collect()
}
