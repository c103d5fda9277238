//! Which transactions go into the block next: by reward per cost, without conflicts between workers, within the limits.
//!
//! ```text
//!   insert ──► waiting (votes | others, each by priority) ──► next_batch ──► in flight (locks and cost held)
//!                 ▲                                                              │
//!                 └───────────── complete: Retry ◄───────────────────────────────┤
//!                                          Committed (cost corrected), Dropped ──┘
//! ```
//! Of two transactions that conflict the one with the higher priority goes first: one that has to wait for locks keeps its
//! accounts reserved against everything below it. One that only does not fit the block's limits reserves nothing.

mod limits;
mod locks;

pub use limits::{BlockLimits, BlockUse};
use {
    limits::Ledger,
    locks::{Locks, Wanted},
    std::{
        cmp::Reverse,
        collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    },
    tandem_types::{Hash, Pubkey, Slot},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// The caller's handle; unique among what it has inserted and not been told is gone.
    pub id: u64,
    pub message_hash: Hash,
    /// What its inclusion pays (for a vote: any weight, e.g. the voter's stake).
    pub reward: u64,
    /// Compute units to reserve; what it really used is told at completion and is not more.
    pub cost: u64,
    pub alloc_bytes: u64,
    pub entry_bytes: u64,
    pub writes: Vec<Pubkey>,
    pub reads: Vec<Pubkey>,
    /// Last block height that accepts its blockhash.
    pub expires_after_height: u64,
    pub vote: Option<VoteKey>,
}

/// Of one vote account only the vote for the latest slot is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoteKey {
    pub account: Pubkey,
    pub slot: Slot,
}

#[derive(Clone, Copy, Debug)]
pub struct PackConfig {
    pub others_max: usize,
    pub votes_max: usize,
    /// Batches that may be in flight at once: workers times how many each may have queued.
    pub batches_in_flight_max: usize,
    pub batch_transactions_max: usize,
    /// So that one worker does not hold much of the block while the others idle.
    pub batch_cost_max: u64,
    /// Candidates looked at for one batch: bounds the time of a call when much is blocked.
    pub scan_max: usize,
    /// Transactions of one batch may conflict with each other: they run in order within their entry (SIMD-83).
    pub conflicts_within_batch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BatchId(u64);

/// Ids in the order they are to be executed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub id: BatchId,
    pub votes: bool,
    pub ids: Vec<u64>,
    pub cost: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Committed {
        cost: u64,
    },
    Retry,
    /// This block has no room for it, whatever the budget here says: at once again it would be refused again.
    NextBlock,
    Dropped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropWhy {
    Duplicate,
    /// The buffer is full and everything else in it pays more.
    Full,
    Expired,
    /// Larger than a block, or one account's share of it, can be.
    TooCostly,
    /// A later vote of the same account is here.
    OldVote,
}

/// The caller may forget this transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drop {
    pub id: u64,
    pub why: DropWhy,
}

pub struct Pack {
    config: PackConfig,
    candidates: HashMap<u64, Held>,
    by_message: HashMap<Hash, u64>,
    votes: BTreeSet<Rank>,
    others: BTreeSet<Rank>,
    latest_votes: HashMap<Pubkey, u64>,
    /// Of what waits; what is in flight is looked at when it comes back.
    expiries: BTreeSet<(u64, u64)>,
    locks: Locks,
    in_flight: BTreeMap<BatchId, InFlight>,
    block: Option<Ledger>,
    block_height: u64,
    blocks_begun: u64,
    next_batch: u64,
    next_arrival: u64,
}

struct Held {
    candidate: Candidate,
    rank: Rank,
    /// The block that refused it, counted as `blocks_begun` does.
    refused_in: Option<u64>,
}

struct InFlight {
    ids: Vec<u64>,
    /// The block its cost was reserved in; a batch that comes back later must not touch the next block's account.
    block: u64,
}

/// Ascending order is the order of service: best paid first, then first come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Rank {
    priority: Reverse<u64>,
    arrival: u64,
    id: u64,
}

impl Pack {
    pub fn new(config: PackConfig) -> Self {
        Self {
            config,
            candidates: HashMap::new(),
            by_message: HashMap::new(),
            votes: BTreeSet::new(),
            others: BTreeSet::new(),
            latest_votes: HashMap::new(),
            expiries: BTreeSet::new(),
            locks: Locks::default(),
            in_flight: BTreeMap::new(),
            block: None,
            block_height: 0,
            blocks_begun: 0,
            next_batch: 0,
            next_arrival: 0,
        }
    }

    pub fn insert(&mut self, candidate: Candidate, drops: &mut Vec<Drop>) {
        let id = candidate.id;
        let refuse = |why| Drop { id, why };
        if self.candidates.contains_key(&id) || self.by_message.contains_key(&candidate.message_hash) {
            return drops.push(refuse(DropWhy::Duplicate));
        }
        if candidate.expires_after_height < self.block_height {
            return drops.push(refuse(DropWhy::Expired));
        }
        if let Some(vote) = candidate.vote {
            match self.waiting_vote(&vote.account) {
                Some((_, slot)) if slot >= vote.slot => return drops.push(refuse(DropWhy::OldVote)),
                Some((older, _)) => self.drop_waiting(older, DropWhy::OldVote, drops),
                None => {}
            }
        }
        let rank = Rank { priority: Reverse(priority(&candidate)), arrival: self.next_arrival, id };
        self.next_arrival += 1;
        let is_vote = candidate.vote.is_some();
        let (waiting, room) =
            if is_vote { (&self.votes, self.config.votes_max) } else { (&self.others, self.config.others_max) };
        if waiting.len() >= room {
            match waiting.last() {
                Some(worst) if *worst > rank => {
                    let worst = worst.id;
                    self.drop_waiting(worst, DropWhy::Full, drops);
                }
                Some(_) | None => return drops.push(refuse(DropWhy::Full)),
            }
        }
        if let Some(vote) = candidate.vote {
            self.latest_votes.insert(vote.account, id);
        }
        self.by_message.insert(candidate.message_hash, id);
        self.candidates.insert(id, Held { candidate, rank, refused_in: None });
        self.put_waiting(id);
    }

    /// A block begins; nothing is handed out before. Drops what its height no longer accepts.
    pub fn begin_block(&mut self, height: u64, limits: BlockLimits, drops: &mut Vec<Drop>) {
        self.block_height = height;
        self.blocks_begun += 1;
        self.block = Some(Ledger::new(limits));
        while let Some((expires, id)) = self.expiries.first().copied().filter(|(expires, _)| *expires < height) {
            self.drop_waiting(id, DropWhy::Expired, drops);
            assert!(!self.expiries.contains(&(expires, id)), "what is dropped does not wait any more");
        }
    }

    /// The block takes no more. Batches in flight come back through `complete` as ever.
    pub fn end_block(&mut self) {
        self.block = None;
    }

    /// The best batch that can run beside everything in flight; votes before all others.
    pub fn next_batch(&mut self, drops: &mut Vec<Drop>) -> Option<Batch> {
        if self.in_flight.len() >= self.config.batches_in_flight_max {
            return None;
        }
        self.take_batch(true, drops).or_else(|| self.take_batch(false, drops))
    }

    /// What became of a batch, one outcome an id in the batch's order. Unknown batches are ignored.
    pub fn complete(&mut self, batch: BatchId, outcomes: &[Outcome], drops: &mut Vec<Drop>) {
        let Some(InFlight { ids, block }) = self.in_flight.remove(&batch) else { return };
        let same_block = block == self.blocks_begun;
        for (position, id) in ids.into_iter().enumerate() {
            let held = self.candidates.get(&id).expect("invariant: what is in flight is held until it completes");
            self.locks.release(&held.candidate);
            // A worker that answers for fewer than it got did not run the rest.
            let outcome = outcomes.get(position).copied().unwrap_or(Outcome::Retry);
            if same_block && let Some(ledger) = &mut self.block {
                match outcome {
                    Outcome::Committed { cost } => ledger.settle(&held.candidate, cost),
                    Outcome::Retry | Outcome::NextBlock | Outcome::Dropped => ledger.release(&held.candidate),
                }
            }
            match outcome {
                Outcome::Committed { .. } | Outcome::Dropped => self.forget(id),
                Outcome::Retry => self.put_back(id, drops),
                Outcome::NextBlock => {
                    self.candidates.entry(id).and_modify(|held| held.refused_in = Some(block));
                    self.put_back(id, drops);
                }
            }
        }
    }

    /// Gives everything up, as when another identity takes over. In-flight batches that come back later are unknown.
    pub fn clear(&mut self) {
        *self = Self { blocks_begun: self.blocks_begun, next_batch: self.next_batch, ..Self::new(self.config) };
    }

    pub fn waiting(&self) -> usize {
        self.votes.len() + self.others.len()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What the block in production has used, reservations included.
    pub fn block_use(&self) -> Option<BlockUse> {
        self.block.as_ref().map(Ledger::total)
    }

    fn take_batch(&mut self, votes: bool, drops: &mut Vec<Drop>) -> Option<Batch> {
        let ledger = self.block.as_mut()?;
        let queue = if votes { &self.votes } else { &self.others };
        let mut wanted = Wanted::default();
        let mut ids = Vec::new();
        let mut too_costly = Vec::new();
        let mut cost = 0u64;
        for rank in queue.iter().take(self.config.scan_max) {
            if ids.len() >= self.config.batch_transactions_max {
                break;
            }
            let Held { candidate, refused_in, .. } = &self.candidates[&rank.id];
            if *refused_in == Some(self.blocks_begun) {
                continue;
            }
            if !ledger.could_ever_fit(candidate) {
                too_costly.push(rank.id);
                continue;
            }
            if self.locks.conflict(candidate) || wanted.conflict(candidate) {
                wanted.reserve(candidate);
                continue;
            }
            // One that is alone too large for a batch gets a batch of its own.
            if !ids.is_empty() && cost.saturating_add(candidate.cost) > self.config.batch_cost_max {
                break;
            }
            if !ledger.fits(candidate) {
                continue;
            }
            ledger.reserve(candidate);
            cost = cost.saturating_add(candidate.cost);
            ids.push(rank.id);
            if !self.config.conflicts_within_batch {
                wanted.reserve(candidate);
            }
        }
        for id in too_costly {
            self.drop_waiting(id, DropWhy::TooCostly, drops);
        }
        if ids.is_empty() {
            return None;
        }
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        for taken in &ids {
            self.take_waiting(*taken);
            self.locks.acquire(&self.candidates[taken].candidate);
        }
        self.in_flight.insert(id, InFlight { ids: ids.clone(), block: self.blocks_begun });
        Some(Batch { id, votes, ids, cost })
    }

    fn put_back(&mut self, id: u64, drops: &mut Vec<Drop>) {
        let candidate = &self.candidates[&id].candidate;
        let newer_vote = candidate.vote.is_some_and(|vote| self.latest_votes.get(&vote.account) != Some(&id));
        let why = if newer_vote {
            DropWhy::OldVote
        } else if candidate.expires_after_height < self.block_height {
            DropWhy::Expired
        } else {
            return self.put_waiting(id);
        };
        self.forget(id);
        drops.push(Drop { id, why });
    }

    fn put_waiting(&mut self, id: u64) {
        let held = &self.candidates[&id];
        self.expiries.insert((held.candidate.expires_after_height, id));
        if held.candidate.vote.is_some() {
            self.votes.insert(held.rank)
        } else {
            self.others.insert(held.rank)
        };
    }

    fn take_waiting(&mut self, id: u64) {
        let held = &self.candidates[&id];
        self.expiries.remove(&(held.candidate.expires_after_height, id));
        if held.candidate.vote.is_some() {
            self.votes.remove(&held.rank)
        } else {
            self.others.remove(&held.rank)
        };
    }

    fn drop_waiting(&mut self, id: u64, why: DropWhy, drops: &mut Vec<Drop>) {
        self.take_waiting(id);
        self.forget(id);
        drops.push(Drop { id, why });
    }

    fn forget(&mut self, id: u64) {
        let Some(held) = self.candidates.remove(&id) else { return };
        self.by_message.remove(&held.candidate.message_hash);
        if let Some(vote) = held.candidate.vote
            && let Entry::Occupied(latest) = self.latest_votes.entry(vote.account)
            && *latest.get() == id
        {
            latest.remove();
        }
    }

    /// The vote of this account that waits, with its slot; one in flight cannot be replaced any more.
    fn waiting_vote(&self, account: &Pubkey) -> Option<(u64, Slot)> {
        let held = self.candidates.get(self.latest_votes.get(account)?)?;
        let slot = held.candidate.vote?.slot;
        self.votes.contains(&held.rank).then_some((held.candidate.id, slot))
    }
}

/// Reward per cost, in millionths, so that cheap transactions differ (receive_and_buffer.rs: calculate_priority_and_cost).
fn priority(candidate: &Candidate) -> u64 {
    let scaled = u128::from(candidate.reward) * 1_000_000 / (u128::from(candidate.cost) + 1);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
