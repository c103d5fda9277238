//! The end of a block: its ticks, its last writes, its hash (protocol.md 6.5-6.8; bank.rs:freeze, hash_internal_state).

use {
    crate::{Bank, bank::Lattice},
    sha2::{Digest, Sha256},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_sdk_ids::incinerator,
    std::{
        collections::HashMap,
        sync::{Arc, RwLockReadGuard, atomic::Ordering::Relaxed},
    },
    tandem_accounts::{Change, Delta, LtHash},
    tandem_types::Hash,
};

/// Keeps a bank from freezing while something is being committed to it.
pub struct OpenGuard<'a> {
    _gate: RwLockReadGuard<'a, ()>,
}

impl Bank {
    /// Holds the bank open; `None` if it is frozen already. A producer takes this before it records transactions, so that
    /// what is recorded is also committed.
    pub fn hold_open(&self) -> Option<OpenGuard<'_>> {
        let gate = self.gate.read().expect("invariant: freezing does not panic");
        (!self.is_frozen()).then_some(OpenGuard { _gate: gate })
    }

    /// Counts a tick; the last tick of the block gives it its blockhash. Not to be called by two threads at once.
    pub fn register_tick(&self, hash: &Hash) {
        let _open = self.hold_open().expect("invariant: ticks come before the bank is frozen");
        assert!(!self.is_complete(), "slot {} has all its ticks", self.slot);
        let is_last = self.tick_height() + 1 == self.max_tick_height;
        if is_last {
            {
                let mut blockhashes = self.blockhashes.write().expect("invariant: no panic while held");
                Arc::make_mut(&mut blockhashes).register(*hash, self.fees.lamports_per_signature);
            }
            self.write_recent_blockhashes();
        }
        // Only now, so that whoever sees a complete bank sees all its writes.
        self.tick_height.fetch_add(1, Relaxed);
    }

    /// Ends the block. Waits for commits that are under way; does nothing if it is frozen already.
    pub fn freeze(&self) {
        let _gate = self.gate.write().expect("invariant: freezing does not panic");
        if self.is_frozen() {
            return;
        }
        self.distribute_fees();
        self.write_slot_history();
        self.empty_incinerator();
        let lattice = self.lattice_hash();
        let hash = self.bank_hash(&lattice.sum);
        tracing::debug!(
            slot = self.slot, %hash, signatures = self.signature_count(), capitalization = self.capitalization.load(Relaxed),
            checksum = %lattice.sum.checksum(), "bank frozen"
        );
        if self.slot == 0 {
            // The forks' root is slot 0 from the beginning, so its children look for its accounts among the rooted ones.
            self.forks.accounts.root(0);
        }
        let is_first = self.lattice.set(lattice).is_ok() && self.frozen.set(hash).is_ok();
        assert!(is_first, "a bank is frozen once");
    }

    /// Lamports sent to the incinerator in this slot leave the world.
    fn empty_incinerator(&self) {
        let id = incinerator::id();
        if let Some(account) = self.forks.accounts.written_in(&id, self.slot).filter(|account| account.lamports() > 0) {
            self.capitalization.fetch_sub(account.lamports(), Relaxed);
            self.store(&[(id, AccountSharedData::default())]);
        }
    }

    /// The lattice hash computed anew from every account this bank sees: slow, for checks of the running sum.
    pub fn recomputed_lt_hash_checksum(&self) -> Hash {
        let changes: Vec<Change> = self
            .scan_accounts(|_, _| true)
            .into_iter()
            .map(|(key, after)| Change { key, before: None, after })
            .collect();
        Delta::new(&changes, &HashMap::new()).sum.checksum()
    }

    /// The parent's sum and what this slot changed.
    fn lattice_hash(&self) -> Lattice {
        let accounts = &self.forks.accounts;
        let parent_view = self.ancestors.without_tip();
        let changes: Vec<Change> = accounts
            .keys_written_in(self.slot)
            .into_iter()
            .filter_map(|key| {
                let after = accounts.written_in(&key, self.slot)?;
                let before = accounts.load(&key, &parent_view).map(|(account, _)| account);
                Some(Change { key, before, after })
            })
            .collect();
        let parent = self.parent();
        let parent_lattice = parent.as_ref().and_then(|parent| parent.lattice.get());
        let no_elements = HashMap::new();
        let Delta { sum: change, elements } =
            Delta::new(&changes, parent_lattice.map_or(&no_elements, |lattice| &lattice.elements));
        let mut sum = parent_lattice.map_or(LtHash::identity(), |lattice| lattice.sum.clone());
        sum.mix_in(&change);
        Lattice { sum, elements }
    }

    pub(crate) fn bank_hash(&self, accounts: &LtHash) -> Hash {
        let hash = hash_of(&[
            self.parent_hash.as_ref(),
            &self.signature_count().to_le_bytes(),
            self.last_blockhash().as_ref(),
        ]);
        let hash = hash_of(&[hash.as_ref(), &accounts.to_bytes()]);
        match self.chain.hard_forks.get_hash_data(self.slot, self.parent_slot) {
            Some(forks) => hash_of(&[hash.as_ref(), &forks]),
            None => hash,
        }
    }
}

fn hash_of(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    Hash::new_from_array(hasher.finalize().into())
}
