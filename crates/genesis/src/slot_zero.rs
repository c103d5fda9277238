//! Slot 0: nobody leads it. Every node makes it from the genesis alone (protocol.md 0.3).

use {
    crate::genesis::Genesis,
    std::convert::Infallible,
    tandem_entry::{Entry, create_ticks},
    tandem_shred::{Cursor, Shred, Shredded, Shredder, shred_version},
    tandem_types::{BlockId, Hash, Keypair, Signer},
};

/// What slot 0 consists of.
#[derive(Clone, Debug)]
pub struct SlotZero {
    /// One tick entry per tick.
    pub entries: Vec<Entry>,
    /// Where slot 1's hash chain starts.
    pub last_blockhash: Hash,
    /// Which slot 1's first shreds must name as what they are chained to.
    pub block_id: BlockId,
    pub data_shreds: Vec<Shred>,
    pub code_shreds: Vec<Shred>,
}

impl SlotZero {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let config = &genesis.config;
        let hashes_per_tick = config.poh_config.hashes_per_tick.unwrap_or(0);
        let entries = create_ticks(config.ticks_per_slot, hashes_per_tick, genesis.hash);
        let last_blockhash = entries.last().map_or(genesis.hash, |tick| tick.hash);
        // Quirk of create_new_ledger (blockstore.rs): the version is made of the last tick's hash, not of the genesis hash,
        // and slot 0 is chained to the genesis hash.
        let version = shred_version(&last_blockhash, &[]);
        let shredder = Shredder::new(0, 0, version, 0).expect("invariant: slot 0 is its own parent");
        // Agave signs with a key it throws away; no node checks that signature, and it is no part of the block id. A key of
        // the genesis hash makes slot 0 the same on every node of ours.
        let key = Keypair::new_from_array(genesis.hash.to_bytes());
        let sign = |root: &Hash| Ok::<_, Infallible>(key.sign_message(root.as_ref()));
        let Shredded { data, code, next } = shredder
            .make_entries(sign, Cursor::start(BlockId(genesis.hash)), &entries, true)
            .expect("invariant: at most 65,536 ticks of 48 bytes fit in a slot, and this key signs everything");
        Self { entries, last_blockhash, block_id: BlockId(next.chained_root), data_shreds: data, code_shreds: code }
    }
}
