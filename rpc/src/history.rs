//! The short history of blocks and transactions: what `getBlock`, `getTransaction` and `getSignaturesForAddress` read.
//! Bounded by bytes: the oldest blocks leave first.

use {
    std::{
        collections::{BTreeMap, HashMap, HashSet},
        sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    },
    tandem_bank::CommitInfo,
    tandem_types::{Hash, Pubkey, Signature, Slot, UnixTimestamp, VersionedTransaction},
};

#[derive(Clone, Debug)]
pub struct TransactionRecord {
    pub transaction: VersionedTransaction,
    pub info: CommitInfo,
    /// All accounts, those from lookup tables too.
    pub accounts: Vec<Pubkey>,
}

#[derive(Clone, Debug)]
pub struct BlockRecord {
    pub slot: Slot,
    pub parent: Slot,
    pub blockhash: Hash,
    pub previous_blockhash: Hash,
    pub block_height: u64,
    pub block_time: UnixTimestamp,
    pub transactions: Vec<TransactionRecord>,
}

pub struct History {
    bytes_max: usize,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    blocks: BTreeMap<Slot, Arc<BlockRecord>>,
    by_signature: HashMap<Signature, (Slot, usize)>,
    bytes: usize,
    /// Slots of the rooted chain since this process started: 8 bytes a block, kept.
    rooted: BTreeMap<Slot, UnixTimestamp>,
    signatures_per_sample: Vec<Sample>,
}

/// Pace of the chain over a while, for `getRecentPerformanceSamples`.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub slot: Slot,
    pub slots: u64,
    pub transactions: u64,
    pub seconds: u16,
}

const SAMPLES_MAX: usize = 720;

impl History {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block was frozen. Blocks of forks that die are dropped by `root`.
    pub fn add(&self, block: BlockRecord) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.remove(block.slot);
        inner.bytes += block.bytes();
        for (index, record) in block.transactions.iter().enumerate() {
            inner.by_signature.insert(record.info.signature, (block.slot, index));
        }
        inner.blocks.insert(block.slot, Arc::new(block));
        while inner.bytes > self.bytes_max {
            let Some(oldest) = inner.blocks.keys().next().copied() else { break };
            inner.remove(oldest);
        }
    }

    /// The slots of `chain` are final, with their times; what lies between them is not.
    pub fn root(&self, chain: &[(Slot, UnixTimestamp)]) {
        let Some((highest, _)) = chain.iter().max() else { return };
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let from = inner.rooted.keys().next_back().map_or(0, |slot| slot + 1);
        inner.rooted.extend(chain.iter().copied());
        let kept: HashSet<Slot> = chain.iter().map(|(slot, _)| *slot).collect();
        let dead: Vec<Slot> =
            inner.blocks.range(from..=*highest).map(|(slot, _)| *slot).filter(|slot| !kept.contains(slot)).collect();
        for slot in dead {
            inner.remove(slot);
        }
    }

    pub fn block(&self, slot: Slot) -> Option<Arc<BlockRecord>> {
        self.read().blocks.get(&slot).cloned()
    }

    pub fn is_rooted(&self, slot: Slot) -> bool {
        self.read().rooted.contains_key(&slot)
    }

    pub fn rooted(&self, from: Slot, to: Slot, limit: usize) -> Vec<Slot> {
        if from > to {
            return Vec::new();
        }
        self.read().rooted.range(from..=to).take(limit).map(|(slot, _)| *slot).collect()
    }

    pub fn highest_rooted(&self) -> Option<Slot> {
        self.read().rooted.keys().next_back().copied()
    }

    pub fn first_block(&self) -> Option<Slot> {
        self.read().blocks.keys().next().copied()
    }

    pub fn block_time(&self, slot: Slot) -> Option<UnixTimestamp> {
        let inner = self.read();
        inner.blocks.get(&slot).map(|block| block.block_time).or_else(|| inner.rooted.get(&slot).copied())
    }

    pub fn transaction(&self, signature: &Signature) -> Option<(Arc<BlockRecord>, usize)> {
        let inner = self.read();
        let (slot, index) = inner.by_signature.get(signature)?;
        Some((inner.blocks.get(slot)?.clone(), *index))
    }

    /// Newest first, up to `limit`, below the block of `before` and above that of `until`.
    pub fn of_address(&self, address: &Pubkey, highest: Slot, limit: usize) -> Vec<(Arc<BlockRecord>, usize)> {
        let inner = self.read();
        let mut found = Vec::new();
        for block in inner.blocks.range(..=highest).rev().map(|(_, block)| block) {
            for (index, record) in block.transactions.iter().enumerate().rev() {
                if record.accounts.contains(address) {
                    found.push((block.clone(), index));
                    if found.len() == limit {
                        return found;
                    }
                }
            }
        }
        found
    }

    pub fn add_sample(&self, sample: Sample) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.signatures_per_sample.push(sample);
        if inner.signatures_per_sample.len() > SAMPLES_MAX {
            inner.signatures_per_sample.remove(0);
        }
    }

    pub fn samples(&self, limit: usize) -> Vec<Sample> {
        self.read().signatures_per_sample.iter().rev().take(limit).copied().collect()
    }
}

impl Inner {
    fn remove(&mut self, slot: Slot) {
        let Some(block) = self.blocks.remove(&slot) else { return };
        self.bytes -= block.bytes();
        for record in &block.transactions {
            if self.by_signature.get(&record.info.signature).is_some_and(|(known, _)| *known == slot) {
                self.by_signature.remove(&record.info.signature);
            }
        }
    }
}

impl BlockRecord {
    /// Roughly what it occupies.
    fn bytes(&self) -> usize {
        let of = |record: &TransactionRecord| {
            let logs: usize = record.info.logs.iter().flatten().map(|line| line.len() + 24).sum();
            512 + record.accounts.len() * 48 + logs + record.transaction.signatures.len() * 64 + 512
        };
        256 + self.transactions.iter().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(slot: Slot, signatures: &[u8]) -> BlockRecord {
        let transactions = signatures
            .iter()
            .map(|byte| TransactionRecord {
                transaction: VersionedTransaction::default(),
                info: CommitInfo {
                    signature: Signature::from([*byte; 64]),
                    status: Ok(()),
                    fee: 5000,
                    compute_units: 150,
                    loaded_accounts_bytes: 0,
                    is_simple_vote: false,
                    logs: None,
                    inner_instructions: None,
                    return_data: None,
                    balances: None,
                },
                accounts: vec![Pubkey::from([*byte; 32])],
            })
            .collect();
        BlockRecord {
            slot,
            parent: slot.saturating_sub(1),
            blockhash: Hash::default(),
            previous_blockhash: Hash::default(),
            block_height: slot,
            block_time: 1000 + slot as i64,
            transactions,
        }
    }

    #[test]
    fn forks_leave_when_the_chain_is_rooted() {
        let history = History::new(1 << 20);
        for (slot, signature) in [(1, 1), (2, 2), (3, 3)] {
            history.add(block(slot, &[signature]));
        }
        history.root(&[(1, 1001), (3, 1003)]);
        assert!(history.block(2).is_none(), "slot 2 is not on the chain");
        assert!(history.transaction(&Signature::from([2; 64])).is_none());
        assert_eq!(history.rooted(0, 10, 10), [1, 3]);
        assert_eq!(history.block_time(3), Some(1003));
    }

    #[test]
    fn the_oldest_leave_when_it_is_full() {
        let history = History::new(4000);
        for slot in 1..=20 {
            history.add(block(slot, &[slot as u8]));
        }
        assert!(history.read().bytes <= 4000);
        assert!(history.block(1).is_none());
        assert!(history.transaction(&Signature::from([1; 64])).is_none());
        assert!(history.transaction(&Signature::from([20; 64])).is_some());
    }

    #[test]
    fn an_addresss_transactions_come_newest_first() {
        let history = History::new(1 << 20);
        history.add(block(1, &[7, 8]));
        history.add(block(2, &[7]));
        let found = history.of_address(&Pubkey::from([7; 32]), 5, 10);
        assert_eq!(found.iter().map(|(block, _)| block.slot).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(history.of_address(&Pubkey::from([7; 32]), 5, 1).len(), 1);
        assert_eq!(history.of_address(&Pubkey::from([7; 32]), 1, 10).len(), 1);
    }
}
