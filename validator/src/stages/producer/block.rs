//! One block in production: its bank, its signer, its shreds so far.

use {
    super::intake::{Intake, PackedBatch},
    crate::exit::Failure,
    rayon::prelude::*,
    solana_svm_transaction::svm_message::SVMMessage,
    std::sync::Arc,
    tandem_bank::{Bank, ExecutedBatch, Fate, Mode, PreparedTx},
    tandem_entry::{Entry, hash_transactions},
    tandem_identity::{BlockSigner, Refusal},
    tandem_producer::{
        broadcast::Batch,
        pacer::{PacedTick, Pacer},
        pack::Outcome,
    },
    tandem_rpc::TransactionRecord,
    tandem_shred::{Cursor, Shred, Shredder},
    tandem_tower_storage::PromisedAt,
    tandem_types::{BlockId, Hash, Slot, VersionedTransaction},
};

pub struct Block {
    bank: Arc<Bank>,
    parent: Slot,
    signer: BlockSigner,
    version: u16,
    cursor: Cursor,
    records: Vec<TransactionRecord>,
    /// A signature was refused: the identity has gone, nothing more of this block leaves the node.
    refused: Option<Refusal>,
}

/// Transactions prepared against the block's bank, of one packed batch.
pub struct Prepared {
    batch: PackedBatch,
    txs: Vec<PreparedTx>,
    originals: Vec<VersionedTransaction>,
    /// Index into the batch for each of `txs`.
    members: Vec<usize>,
}

impl Block {
    pub fn begin(parent: &Arc<Bank>, slot: Slot, signer: BlockSigner, version: u16) -> Result<Self, Failure> {
        let id = parent.block_id().ok_or_else(|| {
            Failure::failed(format!("slot {} is to be built on, but its block id is not known", parent.slot()))
        })?;
        Ok(Self {
            bank: Bank::child(parent, slot),
            parent: parent.slot(),
            signer,
            version,
            cursor: Cursor::start(id),
            records: Vec::new(),
            refused: None,
        })
    }

    pub fn slot(&self) -> Slot {
        self.bank.slot()
    }

    /// Where the claim of its slot stands.
    pub fn claimed_at(&self) -> PromisedAt {
        self.signer.at()
    }

    /// Something of it could not be signed: it ends here, and what was made since has not left the node.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    pub fn bank(&self) -> &Arc<Bank> {
        &self.bank
    }

    pub fn tick(&mut self, tick: &PacedTick) -> Entry {
        self.bank.register_tick(&tick.entry.hash);
        Entry { num_hashes: tick.entry.num_hashes, hash: tick.entry.hash, transactions: Vec::new() }
    }

    /// Prepares the packed batches against this bank. They do not conflict, so they can run side by side.
    pub fn execute(&self, batches: Vec<PackedBatch>, intake: &mut Intake) -> Vec<Prepared> {
        let prepared: Vec<Prepared> = batches.into_par_iter().map(|batch| self.prepare(batch)).collect();
        // What cannot even be prepared any more (its lookup table is gone) is dropped now.
        for prepared in &prepared {
            for (index, transaction) in prepared.batch.transactions.iter().enumerate() {
                if !prepared.members.contains(&index) {
                    intake.forget(transaction.id);
                }
            }
        }
        prepared
    }

    fn prepare(&self, batch: PackedBatch) -> Prepared {
        let mut prepared = Prepared { batch, txs: Vec::new(), originals: Vec::new(), members: Vec::new() };
        for (index, packed) in prepared.batch.transactions.iter().enumerate() {
            if let Ok(tx) = self.bank.prepare_hashed(packed.transaction.clone(), packed.message_hash) {
                prepared.txs.push(tx);
                prepared.originals.push(packed.transaction.clone());
                prepared.members.push(index);
            }
        }
        prepared
    }

    /// Executes, mixes into the proof of history, commits: all or nothing of what was processed. `None` when nothing was
    /// processed or the slot has ended; then nothing happened.
    pub fn record(
        &mut self,
        prepared: Prepared,
        pacer: &mut Pacer,
        ticks: &mut Vec<PacedTick>,
        intake: &mut Intake,
    ) -> Option<(Entry, u64)> {
        let bank = self.bank.clone();
        let executed = bank.execute(&prepared.txs, Mode::Leader);
        let fates: Vec<Fate> = executed.fates().collect();
        let mut outcomes = vec![Outcome::Dropped; prepared.batch.transactions.len()];
        let entry = self.record_processed(&bank, executed, &prepared, &fates, pacer, ticks, &mut outcomes);
        intake.complete(&prepared.batch, &outcomes);
        entry
    }

    #[allow(clippy::too_many_arguments)] // One step of one loop, named apart so that the order of its parts is seen.
    fn record_processed(
        &mut self,
        bank: &Bank,
        executed: ExecutedBatch<'_>,
        prepared: &Prepared,
        fates: &[Fate],
        pacer: &mut Pacer,
        ticks: &mut Vec<PacedTick>,
        outcomes: &mut [Outcome],
    ) -> Option<(Entry, u64)> {
        for (member, fate) in prepared.members.iter().zip(fates) {
            outcomes[*member] = match fate {
                // Until it is in the block: whatever ends the block before that is no fault of the transaction.
                Fate::Processed => Outcome::Retry,
                Fate::Later => Outcome::NextBlock,
                Fate::Never => Outcome::Dropped,
            };
        }
        let transactions: Vec<VersionedTransaction> = prepared
            .originals
            .iter()
            .zip(fates)
            .filter(|(_, fate)| **fate == Fate::Processed)
            .map(|(transaction, _)| transaction.clone())
            .collect();
        if transactions.is_empty() {
            return None;
        }
        let guard = bank.hold_open()?;
        let entry = pacer.record(hash_transactions(&transactions), ticks).ok()?;
        let committed = bank.commit_held(&guard, executed);
        for (((member, result), tx), original) in
            prepared.members.iter().zip(committed).zip(&prepared.txs).zip(&prepared.originals)
        {
            if let Ok(info) = result {
                outcomes[*member] = Outcome::Committed { cost: prepared.batch.transactions[*member].cost };
                if !info.is_simple_vote {
                    let accounts = tx.account_keys().iter().copied().collect();
                    self.records.push(TransactionRecord { transaction: original.clone(), info, accounts });
                }
            }
        }
        Some((Entry { num_hashes: entry.num_hashes, hash: entry.hash, transactions }, pacer.height()))
    }

    /// Cuts a batch into signed shreds (data, code). `None` when signing is refused: the claim's term is over.
    pub fn shred(&mut self, batch: &Batch) -> Option<(Vec<Shred>, Vec<Shred>)> {
        if self.refused.is_some() {
            return None;
        }
        let shredder = Shredder::new(self.slot(), self.parent, self.version, batch.reference_tick).ok()?;
        let mut set = self.cursor.next_index;
        let signer = &mut self.signer;
        let sign = |root: &Hash| -> Result<_, Refusal> {
            let signature = signer.sign_shred_root(set, root)?;
            set += tandem_shred::DATA_SHREDS_PER_SET as u32;
            Ok(signature)
        };
        let made = if batch.entries.is_empty() {
            shredder.make_abort(sign, self.cursor)
        } else {
            shredder.make_entries(sign, self.cursor, &batch.entries, batch.last_in_slot)
        };
        match made {
            Ok(shredded) => {
                self.cursor = shredded.next;
                Some((shredded.data, shredded.code))
            }
            Err(error) => {
                tracing::warn!(slot = self.slot(), "own block ends here: {error}");
                self.refused = Some(Refusal::Locked);
                None
            }
        }
    }

    /// The last batch has been cut: the chained root is the block id.
    pub fn finish(self) -> (Arc<Bank>, Vec<TransactionRecord>) {
        self.bank.set_block_id(BlockId(self.cursor.chained_root));
        self.bank.freeze();
        (self.bank, self.records)
    }
}
