//! Executing a run of a block's entries with all cores.

use {
    crate::{Bank, CommitInfo, DeadBlock, PreparedTx, Verify},
    rayon::prelude::*,
    solana_svm_transaction::svm_message::SVMMessage,
    std::collections::HashSet,
    tandem_entry::Entry,
    tandem_types::{Hash, Pubkey},
};

/// An entry of a block after it was executed; a tick's is empty.
#[derive(Debug, Default)]
pub struct ExecutedEntry {
    pub txs: Vec<PreparedTx>,
    /// One per transaction.
    pub infos: Vec<CommitInfo>,
}

impl Bank {
    /// Executes the next entries of another's block and counts its ticks. Signatures are checked, if they shall be, on all
    /// cores. Entries that share no account one of them writes run side by side (blockstore_processor.rs:process_entries);
    /// the outcome is that of running them in order.
    pub fn execute_entries(&self, entries: Vec<Entry>, verify: Verify) -> Result<Vec<ExecutedEntry>, DeadBlock> {
        let ticks: Vec<Option<Hash>> = entries.iter().map(|entry| entry.is_tick().then_some(entry.hash)).collect();
        let prepared = self.prepare_entries(entries, verify)?;
        let mut committed: Vec<Vec<CommitInfo>> = Vec::with_capacity(prepared.len());
        let mut group = Group::default();
        for (position, (txs, tick)) in prepared.iter().zip(&ticks).enumerate() {
            // Of the ticks only the last looks at what was executed before it: it registers the blockhash.
            let is_last_tick = tick.is_some() && self.tick_height() + 1 == self.max_tick_height();
            if is_last_tick || !group.admits(txs) {
                self.execute_group(&prepared[committed.len()..position], &mut committed)?;
                group = Group::default();
            }
            match tick {
                Some(hash) => self.register_tick(hash),
                None => group.add(txs),
            }
        }
        self.execute_group(&prepared[committed.len()..], &mut committed)?;
        Ok(prepared.into_iter().zip(committed).map(|(txs, infos)| ExecutedEntry { txs, infos }).collect())
    }

    /// Entries hold few transactions each, so the work is split over all of them.
    fn prepare_entries(&self, entries: Vec<Entry>, verify: Verify) -> Result<Vec<Vec<PreparedTx>>, DeadBlock> {
        let counts: Vec<usize> = entries.iter().map(|entry| entry.transactions.len()).collect();
        let transactions: Vec<_> = entries.into_iter().flat_map(|entry| entry.transactions).collect();
        let prepare = |tx| self.prepare_or_die(tx, verify);
        let prepared: Vec<Result<PreparedTx, DeadBlock>> = if transactions.len() < PARALLEL_TRANSACTIONS_MIN {
            transactions.into_iter().map(prepare).collect()
        } else {
            transactions.into_par_iter().with_min_len(PARALLEL_TRANSACTIONS_MIN / 2).map(prepare).collect()
        };
        let mut prepared = prepared.into_iter();
        counts.into_iter().map(|count| prepared.by_ref().take(count).collect()).collect()
    }

    fn execute_group(&self, group: &[Vec<PreparedTx>], committed: &mut Vec<Vec<CommitInfo>>) -> Result<(), DeadBlock> {
        let run = |txs: &Vec<PreparedTx>| if txs.is_empty() { Ok(Vec::new()) } else { self.execute_prepared(txs) };
        let results: Vec<Result<Vec<CommitInfo>, DeadBlock>> = match group.iter().filter(|txs| !txs.is_empty()).count()
        {
            0 | 1 => group.iter().map(run).collect(),
            _ => group.par_iter().map(run).collect(),
        };
        // All of them ran, but the error of the earliest entry is the one that is reported, on every run.
        for result in results {
            committed.push(result?);
        }
        Ok(())
    }
}

/// The accounts of entries that may run side by side.
#[derive(Default)]
struct Group {
    written: HashSet<Pubkey>,
    read: HashSet<Pubkey>,
}

impl Group {
    fn admits(&self, txs: &[PreparedTx]) -> bool {
        txs.iter().all(|tx| {
            tx.account_keys()
                .iter()
                .enumerate()
                .all(|(index, key)| !self.written.contains(key) && (!tx.is_writable(index) || !self.read.contains(key)))
        })
    }

    fn add(&mut self, txs: &[PreparedTx]) {
        for tx in txs {
            for (index, key) in tx.account_keys().iter().enumerate() {
                if tx.is_writable(index) {
                    self.written.insert(*key);
                } else {
                    self.read.insert(*key);
                }
            }
        }
    }
}

/// Below this many transactions (some 50 microseconds each with signatures) one core is enough.
const PARALLEL_TRANSACTIONS_MIN: usize = 4;
