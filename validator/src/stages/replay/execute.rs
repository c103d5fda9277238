//! One block being replayed: its entries are checked, executed and frozen.

use {
    std::sync::Arc,
    tandem_bank::{Bank, DeadBlock, Verify},
    tandem_entry::{DecodeError, Entry, TickError, TickVerifier, verify_chain},
    tandem_rpc::TransactionRecord,
    tandem_shred::Component,
    tandem_types::{BlockId, Hash, Pubkey, Slot, VersionedTransaction},
};

/// A block begun on its parent.
pub(super) struct Building {
    bank: Arc<Bank>,
    ticks: TickVerifier,
    last_hash: Hash,
    /// This node froze the block before and kept its hash: its signatures and its hash chain held then.
    checked_before: Option<Hash>,
    records: Vec<TransactionRecord>,
    vote_account: Option<Pubkey>,
    own_votes: Vec<VersionedTransaction>,
}

/// Why a block is not valid.
#[derive(Debug, thiserror::Error)]
pub(super) enum Dead {
    #[error("it is chained to block id {chained}, but its parent's is {parent}")]
    OtherParent { chained: BlockId, parent: BlockId },
    #[error("its entries cannot be read: {0}")]
    Entries(#[from] DecodeError),
    #[error("{0}")]
    Ticks(#[from] TickError),
    #[error("its entries do not follow from each other")]
    Chain,
    #[error("{0}")]
    Transactions(#[from] DeadBlock),
    #[error("its shreds are not in the ledger any more")]
    Gone,
}

impl Building {
    /// `vote_account`: ours, whose votes are looked at one by one.
    pub fn begin(parent: &Arc<Bank>, slot: Slot, checked_before: Option<Hash>, vote_account: Option<Pubkey>) -> Self {
        let bank = Bank::child(parent, slot);
        let ticks = TickVerifier::new(bank.max_tick_height() - bank.tick_height(), bank.hashes_per_tick());
        let (records, own_votes) = (Vec::new(), Vec::new());
        Self { last_hash: parent.last_blockhash(), ticks, bank, checked_before, records, vote_account, own_votes }
    }

    pub fn parent_slot(&self) -> Slot {
        self.bank.parent_slot()
    }

    /// blockstore_processor.rs:check_chained_block_id (v4.2). A root without block id passes.
    pub fn check_parent(&self, parent: Option<BlockId>, chained: Option<BlockId>) -> Result<(), Dead> {
        let features = self.bank.feature_set().snapshot();
        let is_active = features.validate_chained_block_id || features.validate_chained_block_id_2;
        match (parent, chained) {
            (Some(parent), Some(chained)) if is_active && parent != chained => {
                Err(Dead::OtherParent { chained, parent })
            }
            _ => Ok(()),
        }
    }

    pub fn execute(&mut self, components: &[Component]) -> Result<(), Dead> {
        for component in components {
            self.execute_entries(component.entries()?, component.last_in_slot)?;
        }
        Ok(())
    }

    fn execute_entries(&mut self, entries: Vec<Entry>, is_last: bool) -> Result<(), Dead> {
        // The ticks first: they bound how much hashing a leader can make us do.
        self.ticks.check(&entries, is_last)?;
        let verify = match self.checked_before {
            Some(_) => Verify::Done,
            None if verify_chain(&self.last_hash, &entries) => Verify::Signatures,
            None => return Err(Dead::Chain),
        };
        if let Some(last) = entries.last() {
            self.last_hash = last.hash;
        }
        for entry in self.bank.execute_entries(entries, verify)? {
            for (tx, info) in entry.txs.iter().zip(entry.infos) {
                let is_ours = |account: &Pubkey| tx.message().account_keys().iter().any(|key| key == account);
                if self.vote_account.as_ref().is_some_and(is_ours) {
                    self.own_votes.push(tx.to_versioned_transaction());
                }
                // Votes are most of all transactions, and nobody asks for them by signature.
                if !info.is_simple_vote {
                    self.records.push(TransactionRecord::new(tx, info));
                }
            }
        }
        Ok(())
    }

    pub fn finish(self, id: BlockId) -> Result<Finished, Dead> {
        if !self.bank.is_complete() {
            return Err(Dead::Ticks(TickError::TooFewTicks));
        }
        self.bank.freeze();
        self.bank.set_block_id(id);
        let (records, own_votes) = (self.records, self.own_votes);
        Ok(Finished { bank: self.bank, records, own_votes, hash_before: self.checked_before })
    }
}

pub(super) struct Finished {
    pub bank: Arc<Bank>,
    pub records: Vec<TransactionRecord>,
    /// What names our vote account, refused transactions too.
    pub own_votes: Vec<VersionedTransaction>,
    /// What freezing it gave the last time.
    pub hash_before: Option<Hash>,
}
