//! A block's budget: compute units in all and per written account, allocated bytes, entry bytes (protocol.md 8.3).

use {super::Candidate, std::collections::HashMap, tandem_types::Pubkey};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockLimits {
    pub cost: u64,
    pub account_cost: u64,
    pub alloc_bytes: u64,
    pub entry_bytes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockUse {
    pub cost: u64,
    pub alloc_bytes: u64,
    pub entry_bytes: u64,
}

/// What one block has used: what is committed, and what is reserved by batches in flight.
pub(super) struct Ledger {
    limits: BlockLimits,
    total: BlockUse,
    by_account: HashMap<Pubkey, u64>,
}

impl Ledger {
    pub fn new(limits: BlockLimits) -> Self {
        Self { limits, total: BlockUse::default(), by_account: HashMap::new() }
    }

    pub fn total(&self) -> BlockUse {
        self.total
    }

    /// In an empty block.
    pub fn could_ever_fit(&self, candidate: &Candidate) -> bool {
        candidate.cost <= self.limits.account_cost.min(self.limits.cost)
            && candidate.alloc_bytes <= self.limits.alloc_bytes
            && candidate.entry_bytes <= self.limits.entry_bytes
    }

    pub fn fits(&self, candidate: &Candidate) -> bool {
        let room = |used: u64, more: u64, limit: u64| used.checked_add(more).is_some_and(|sum| sum <= limit);
        room(self.total.cost, candidate.cost, self.limits.cost)
            && room(self.total.alloc_bytes, candidate.alloc_bytes, self.limits.alloc_bytes)
            && room(self.total.entry_bytes, candidate.entry_bytes, self.limits.entry_bytes)
            && candidate.writes.iter().all(|key| room(self.account(key), candidate.cost, self.limits.account_cost))
    }

    pub fn reserve(&mut self, candidate: &Candidate) {
        self.total.cost += candidate.cost;
        self.total.alloc_bytes += candidate.alloc_bytes;
        self.total.entry_bytes += candidate.entry_bytes;
        for key in &candidate.writes {
            *self.by_account.entry(*key).or_default() += candidate.cost;
        }
    }

    /// Nothing of it is in the block.
    pub fn release(&mut self, candidate: &Candidate) {
        self.total.alloc_bytes -= candidate.alloc_bytes;
        self.total.entry_bytes -= candidate.entry_bytes;
        self.settle(candidate, 0);
    }

    /// It is in the block and used `actual`.
    pub fn settle(&mut self, candidate: &Candidate, actual: u64) {
        // The bank never lets a transaction use more than was reserved; were it told so, the reservation stands.
        let unused = candidate.cost.saturating_sub(actual);
        self.total.cost -= unused;
        for key in &candidate.writes {
            if let Some(used) = self.by_account.get_mut(key) {
                *used -= unused;
            }
        }
    }

    fn account(&self, key: &Pubkey) -> u64 {
        self.by_account.get(key).copied().unwrap_or(0)
    }
}
