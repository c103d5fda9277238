//! The short history of blocks and transactions: what `getBlock`, `getTransaction` and `getSignaturesForAddress` read.
//! Bounded by bytes: the oldest blocks leave first.

use {
    solana_account::ReadableAccount,
    solana_clock::Clock,
    solana_sdk_ids::sysvar,
    std::{
        collections::{BTreeMap, HashMap, HashSet},
        sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    },
    tandem_bank::{Bank, CommitInfo, PreparedTx},
    tandem_epoch::RewardInfo,
    tandem_types::{Hash, Pubkey, Signature, Slot, UnixTimestamp, VersionedTransaction},
};

#[derive(Clone, Debug)]
pub struct TransactionRecord {
    pub transaction: VersionedTransaction,
    pub info: CommitInfo,
    /// All accounts, those from lookup tables too: first the writable ones of these, then the read-only ones.
    pub accounts: Vec<Pubkey>,
}

impl TransactionRecord {
    pub fn new(tx: &PreparedTx, info: CommitInfo) -> Self {
        let accounts = tx.message().account_keys().iter().copied().collect();
        Self { transaction: tx.to_versioned_transaction(), info, accounts }
    }
}

#[derive(Clone, Debug)]
pub struct BlockRecord {
    pub slot: Slot,
    pub parent: Slot,
    pub blockhash: Hash,
    pub previous_blockhash: Hash,
    pub block_height: u64,
    pub block_time: UnixTimestamp,
    /// All since genesis, recorded or not.
    pub transaction_count: u64,
    pub transactions: Vec<TransactionRecord>,
    /// Fees, commissions, stake rewards.
    pub rewards: Vec<(Pubkey, RewardInfo)>,
}

impl BlockRecord {
    /// Of a frozen bank that is not rooted yet.
    pub fn new(bank: &Bank, transactions: Vec<TransactionRecord>) -> Self {
        Self {
            slot: bank.slot(),
            parent: bank.parent_slot(),
            blockhash: bank.last_blockhash(),
            previous_blockhash: bank.parent().map(|parent| parent.last_blockhash()).unwrap_or_default(),
            block_height: bank.block_height(),
            block_time: clock(bank).unix_timestamp,
            transaction_count: bank.transaction_count(),
            transactions,
            rewards: bank.rewards(),
        }
    }

    /// Roughly what it occupies.
    fn bytes(&self) -> usize {
        let of = |record: &TransactionRecord| {
            let logs: usize = record.info.logs.iter().flatten().map(|line| line.len() + 24).sum();
            let inner: usize = record.info.inner_instructions.iter().flatten().flatten().map(|_| 128).sum();
            let data: usize = record.transaction.message.instructions().iter().map(|each| each.data.len() + 72).sum();
            1024 + record.accounts.len() * 96 + logs + inner + data + record.transaction.signatures.len() * 64
        };
        256 + self.rewards.len() * 64 + self.transactions.iter().map(of).sum::<usize>()
    }
}

/// What programs see as the time of this bank.
pub fn clock(bank: &Bank) -> Clock {
    let account = bank.account(&sysvar::clock::id());
    account.and_then(|account| bincode::deserialize(account.data()).ok()).unwrap_or_default()
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
    /// Slots of the rooted chain and their times; of these many more are kept than of blocks.
    rooted: BTreeMap<Slot, UnixTimestamp>,
    samples: Vec<Sample>,
    /// The sample that is being taken.
    sampling: Option<Sampling>,
}

/// Pace of the chain over a while, for `getRecentPerformanceSamples`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The last.
    pub slot: Slot,
    pub slots: u64,
    pub transactions: u64,
    pub non_votes: u64,
    pub seconds: u16,
}

/// What has been counted since `start`.
struct Sampling {
    start: UnixTimestamp,
    /// Of the last block that was counted.
    slot: Slot,
    transaction_count: Option<u64>,
    sample: Sample,
}

impl History {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: RwLock::default() }
    }

    /// A block was frozen. Blocks of forks that die are dropped by `root`.
    pub fn add(&self, block: BlockRecord) {
        let mut inner = self.write();
        inner.remove(block.slot);
        inner.bytes += block.bytes();
        inner.index(&block);
        inner.blocks.insert(block.slot, Arc::new(block));
        while inner.bytes > self.bytes_max {
            let Some(oldest) = inner.blocks.keys().next().copied() else { break };
            inner.remove(oldest);
        }
    }

    /// The slots of `chain` are final, with their times; what lies between them is not.
    pub fn root(&self, chain: &[(Slot, UnixTimestamp)]) {
        let Some((highest, _)) = chain.iter().max() else { return };
        let mut inner = self.write();
        let from = inner.rooted.keys().next_back().map_or(0, |slot| slot + 1);
        let kept: HashSet<Slot> = chain.iter().map(|(slot, _)| *slot).collect();
        let newer = inner.blocks.range(from..=(*highest).max(from)).map(|(slot, _)| *slot);
        let dead: Vec<Slot> = newer.filter(|slot| slot <= highest && !kept.contains(slot)).collect();
        for slot in dead {
            inner.remove(slot);
        }
        let mut chain = chain.to_vec();
        chain.sort_unstable();
        for (slot, time) in chain {
            if let Some(block) = inner.blocks.get(&slot).cloned() {
                // A transaction may have been in a block that died, too: now this one is where it is.
                inner.index(&block);
            }
            inner.count(slot, time);
            inner.rooted.insert(slot, time);
        }
        while inner.rooted.len() > ROOTED_MAX {
            inner.rooted.pop_first();
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

    /// Blocks up to `highest`, newest first. A copy, so that whoever walks it does not hold up the chain.
    pub fn newest(&self, highest: Slot, limit: usize) -> Vec<Arc<BlockRecord>> {
        self.read().blocks.range(..=highest).rev().take(limit).map(|(_, block)| block.clone()).collect()
    }

    /// Newest first.
    pub fn samples(&self, limit: usize) -> Vec<Sample> {
        self.read().samples.iter().rev().take(limit).copied().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn index(&mut self, block: &BlockRecord) {
        for (index, record) in block.transactions.iter().enumerate() {
            self.by_signature.insert(record.info.signature, (block.slot, index));
        }
    }

    fn remove(&mut self, slot: Slot) {
        let Some(block) = self.blocks.remove(&slot) else { return };
        self.bytes -= block.bytes();
        for record in &block.transactions {
            if self.by_signature.get(&record.info.signature).is_some_and(|(known, _)| *known == slot) {
                self.by_signature.remove(&record.info.signature);
            }
        }
    }

    /// Adds a rooted block to the sample, and ends that when it is old enough. The first block only starts one.
    fn count(&mut self, slot: Slot, time: UnixTimestamp) {
        let block = self.blocks.get(&slot).cloned();
        let transaction_count = block.as_ref().map(|block| block.transaction_count);
        let Some(Sampling { start, slot: before, transaction_count: counted, sample }) = &mut self.sampling else {
            self.sampling = Some(Sampling { start: time, slot, transaction_count, sample: Sample::default() });
            return;
        };
        sample.slot = slot;
        sample.slots += slot.saturating_sub(*before);
        if let Some(block) = block {
            sample.transactions += counted.map_or(0, |counted| block.transaction_count.saturating_sub(counted));
            sample.non_votes += block.transactions.iter().filter(|record| !record.info.is_simple_vote).count() as u64;
            *counted = transaction_count;
        }
        *before = slot;
        let seconds = time.saturating_sub(*start);
        if seconds >= SAMPLE_SECONDS {
            *start = time;
            sample.seconds = u16::try_from(seconds).unwrap_or(u16::MAX);
            self.samples.push(std::mem::take(sample));
            if self.samples.len() > SAMPLES_MAX {
                self.samples.remove(0);
            }
        }
    }
}

/// Over four days of 400 ms slots.
const ROOTED_MAX: usize = 1_000_000;
/// solana-core-4.2.2 sample_performance_service.rs: SAMPLE_INTERVAL.
const SAMPLE_SECONDS: i64 = 60;
/// solana-rpc-4.2.2 rpc.rs: PERFORMANCE_SAMPLES_LIMIT.
pub const SAMPLES_MAX: usize = 720;

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
            transaction_count: slot * 10,
            transactions,
            rewards: Vec::new(),
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
    fn a_transaction_on_two_forks_is_found_on_the_one_that_was_rooted() {
        let history = History::new(1 << 20);
        history.add(block(1, &[7]));
        history.add(block(2, &[7]));
        history.root(&[(1, 1001), (3, 1003)]);
        let (found, index) = history.transaction(&Signature::from([7; 64])).unwrap();
        assert_eq!((found.slot, index), (1, 0));
    }

    #[test]
    fn blocks_come_newest_first() {
        let history = History::new(1 << 20);
        (1..=5).for_each(|slot| history.add(block(slot, &[])));
        assert_eq!(history.newest(4, 2).iter().map(|block| block.slot).collect::<Vec<_>>(), [4, 3]);
    }

    #[test]
    fn a_sample_of_the_pace_is_taken_every_minute() {
        let history = History::new(1 << 20);
        history.add(block(10, &[]));
        history.root(&[(10, 1000)]);
        history.add(block(12, &[1, 2]));
        history.root(&[(12, 1030)]);
        assert_eq!(history.samples(10), []);
        history.root(&[(40, 1061)]);
        let sample = Sample { slot: 40, slots: 30, transactions: 20, non_votes: 2, seconds: 61 };
        assert_eq!(history.samples(10), [sample]);
    }
}
