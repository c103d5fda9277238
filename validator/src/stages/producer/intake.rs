//! Transactions that wait for a block: handed to the packer by what they pay and lock.

use {
    crate::topology::VerifiedTransaction,
    solana_svm_transaction::svm_message::{SVMMessage, SVMStaticMessage},
    std::collections::HashMap,
    tandem_bank::Bank,
    tandem_producer::pack::{BatchId, BlockLimits, Candidate, Drop, Outcome, Pack, PackConfig, VoteKey},
    tandem_types::{Hash, VersionedTransaction},
    tandem_wire::vote_tx::ParsedVote,
};

pub struct Intake {
    pack: Pack,
    waiting: HashMap<u64, Waiting>,
    next_id: u64,
}

struct Waiting {
    transaction: VersionedTransaction,
    message_hash: Hash,
    cost: u64,
}

#[derive(Clone)]
pub struct Packed {
    pub id: u64,
    pub transaction: VersionedTransaction,
    pub message_hash: Hash,
    pub cost: u64,
}

pub struct PackedBatch {
    pub id: BatchId,
    pub transactions: Vec<Packed>,
}

/// Batches that run side by side: one for each core of a small machine.
const WORKERS: usize = 2;

impl Intake {
    pub fn new() -> Self {
        let config = PackConfig {
            others_max: 20_000,
            votes_max: 4_000,
            batches_in_flight_max: WORKERS,
            batch_transactions_max: 64,
            batch_cost_max: 12_000_000,
            scan_max: 1_000,
            conflicts_within_batch: true,
        };
        Self { pack: Pack::new(config), waiting: HashMap::new(), next_id: 0 }
    }

    /// Takes a transaction in, if it could be processed on top of `bank`.
    pub fn insert(&mut self, verified: VerifiedTransaction, bank: &Bank) {
        let VerifiedTransaction { transaction, message_hash, is_vote } = verified;
        let Ok(prepared) = bank.prepare_hashed(transaction.clone(), message_hash) else { return };
        let Some(figures) = bank.packing_figures(&prepared) else { return };
        let vote = if is_vote { vote_key(&transaction) } else { None };
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for (index, key) in prepared.account_keys().iter().enumerate() {
            if prepared.is_writable(index) { writes.push(*key) } else { reads.push(*key) }
        }
        let lifetime = bank.blockhash_last_valid_block_height(prepared.recent_blockhash());
        let candidate = Candidate {
            id: self.next_id,
            message_hash,
            reward: figures.reward,
            cost: figures.cost,
            alloc_bytes: figures.alloc_bytes,
            entry_bytes: figures.entry_bytes,
            writes,
            reads,
            expires_after_height: lifetime.unwrap_or(bank.block_height() + 150),
            vote,
        };
        self.waiting.insert(self.next_id, Waiting { transaction, message_hash, cost: figures.cost });
        self.next_id += 1;
        let mut drops = Vec::new();
        self.pack.insert(candidate, &mut drops);
        self.drop_all(&drops);
    }

    pub fn begin_block(&mut self, bank: &Bank) {
        let params = bank.slot_params();
        let limits = bank.block_limits();
        let limits = BlockLimits {
            cost: limits.block_cost,
            account_cost: limits.account_cost,
            alloc_bytes: limits.allocated_bytes,
            entry_bytes: params.entry_bytes_max,
        };
        let mut drops = Vec::new();
        self.pack.begin_block(bank.block_height(), limits, &mut drops);
        self.drop_all(&drops);
    }

    pub fn end_block(&mut self) {
        self.pack.end_block();
    }

    pub fn next_batches(&mut self) -> Vec<PackedBatch> {
        let mut batches = Vec::new();
        let mut drops = Vec::new();
        while let Some(batch) = self.pack.next_batch(&mut drops) {
            let transactions = batch
                .ids
                .iter()
                .filter_map(|id| {
                    let waiting = self.waiting.get(id)?;
                    Some(Packed {
                        id: *id,
                        transaction: waiting.transaction.clone(),
                        message_hash: waiting.message_hash,
                        cost: waiting.cost,
                    })
                })
                .collect();
            batches.push(PackedBatch { id: batch.id, transactions });
        }
        self.drop_all(&drops);
        batches
    }

    pub fn complete(&mut self, batch: &PackedBatch, outcomes: &[Outcome]) {
        let mut drops = Vec::new();
        self.pack.complete(batch.id, outcomes, &mut drops);
        for (packed, outcome) in batch.transactions.iter().zip(outcomes) {
            if !matches!(outcome, Outcome::Retry | Outcome::NextBlock) {
                self.waiting.remove(&packed.id);
            }
        }
        self.drop_all(&drops);
    }

    pub fn forget(&mut self, id: u64) {
        self.waiting.remove(&id);
    }

    fn drop_all(&mut self, drops: &[Drop]) {
        for drop in drops {
            self.waiting.remove(&drop.id);
        }
    }
}

fn vote_key(transaction: &VersionedTransaction) -> Option<VoteKey> {
    let vote = ParsedVote::of(transaction).ok()?;
    Some(VoteKey { account: vote.vote_account, slot: vote.last_slot()? })
}
