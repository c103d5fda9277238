//! A small model of the cluster: blocks, forks, other voters, and whether our votes land. Enough for tower decisions, not
//! a proof of consensus.
//!
//! ```text
//!   40 (root) -- 41 -- 42 -- 44 -- 45 -- ...     main
//!                        \-- 43 -- 46            side, and sometimes the two change places
//! ```

use {
    crate::rng::Rng,
    std::{collections::VecDeque, sync::Arc},
    tandem_types::{BlockKey, Hash, Pubkey, Slot},
    tandem_vote::{FrozenBlock, LandedVote, OurVote, TowerState},
};

pub const ROOT_SLOT: Slot = 40;
pub const OWN_STAKE: u64 = 60;
/// Other voters: their stakes.
const STAKES: [u64; 4] = [240, 235, 235, 230];
/// How many of a voter's newest votes may still be on their way into a block.
const SNAPSHOTS: usize = 8;
const FORK_SLOTS_MAX: Slot = 5;

pub struct Block {
    pub key: BlockKey,
    pub parent: usize,
    pub height: u64,
    pub own_leader: bool,
    /// Landed towers: ours first, then those of the others.
    towers: Vec<Arc<TowerState>>,
}

struct Other {
    tower: TowerState,
    sent: VecDeque<(usize, Arc<TowerState>)>,
}

pub struct Chain {
    pub blocks: Vec<Block>,
    others: Vec<Other>,
    main: usize,
    side: Option<usize>,
    /// When the fork began: no fork lives long enough to lock a voter out for good.
    side_since: Slot,
    /// Votes of ours that reached the cluster.
    own_votes: Vec<(BlockKey, Arc<TowerState>)>,
    /// The others follow the main fork at once, whatever they voted for: a harsher world for our own lockouts, since
    /// there is proof enough to switch long before ours have passed.
    lawless: bool,
    pub reorgs: u64,
    pub forks: u64,
}

pub fn vote_account() -> Pubkey {
    Pubkey::new_from_array([5; 32])
}

pub fn key(slot: Slot) -> BlockKey {
    let mut hash = [9; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    BlockKey::new(slot, Hash::new_from_array(hash))
}

impl Chain {
    /// `history`: our identity has voted before it ever had a store.
    pub fn new(history: bool, lawless: bool) -> Self {
        let mut full = TowerState::default();
        for slot in ROOT_SLOT - 32..ROOT_SLOT {
            full.vote(slot);
        }
        let mut own = TowerState::default();
        if history {
            for slot in ROOT_SLOT - 10..ROOT_SLOT {
                own.vote(slot);
            }
        }
        let mut towers = vec![Arc::new(own)];
        towers.extend(STAKES.iter().map(|_| Arc::new(full.clone())));
        let root = Block { key: key(ROOT_SLOT), parent: 0, height: ROOT_SLOT, own_leader: false, towers };
        let others = STAKES.iter().map(|_| Other { tower: full.clone(), sent: VecDeque::new() }).collect();
        Self {
            blocks: vec![root],
            others,
            main: 0,
            side: None,
            side_since: 0,
            own_votes: Vec::new(),
            lawless,
            reorgs: 0,
            forks: 0,
        }
    }

    /// The cluster's own slot: perhaps a block, on the main fork or beside it; then the others vote.
    pub fn produce(&mut self, slot: Slot, rng: &mut Rng) -> Option<usize> {
        if slot > self.side_since + FORK_SLOTS_MAX {
            self.side = None;
        }
        let made = if rng.permille(80) { None } else { Some(self.add_somewhere(slot, rng)) };
        self.others_vote(rng);
        // The cluster goes only where all of it can vote: else it would never root anything again.
        if let Some(side) = self.side
            && rng.permille(250)
            && self.others.iter().all(|other| self.may_vote(other, side))
        {
            self.side = Some(self.main);
            self.main = side;
            self.reorgs += 1;
        }
        made
    }

    /// A block of our identity.
    pub fn add_own(&mut self, slot: Slot, parent: usize, rng: &mut Rng) -> usize {
        let block = self.add(slot, parent, true, rng);
        if parent == self.main {
            self.main = block;
        } else if Some(parent) == self.side {
            self.side = Some(block);
        }
        self.others_vote(rng);
        block
    }

    fn add_somewhere(&mut self, slot: Slot, rng: &mut Rng) -> usize {
        let parent_of = |block: usize| self.blocks[block].parent;
        match self.side {
            Some(side) if rng.permille(350) => {
                let block = self.add(slot, side, false, rng);
                self.side = Some(block);
                block
            }
            None if rng.permille(100) && self.main != 0 => {
                let mut from = parent_of(self.main);
                if rng.permille(300) {
                    from = parent_of(from);
                }
                let block = self.add(slot, from, false, rng);
                (self.side, self.side_since) = (Some(block), slot);
                self.forks += 1;
                block
            }
            Some(_) | None => {
                self.main = self.add(slot, self.main, false, rng);
                if rng.permille(150) {
                    self.side = None;
                }
                self.main
            }
        }
    }

    fn add(&mut self, slot: Slot, parent: usize, own_leader: bool, rng: &mut Rng) -> usize {
        let mut towers = self.blocks[parent].towers.clone();
        for (voter, other) in self.others.iter().enumerate() {
            let newest = other.sent.iter().rev().find(|(block, _)| is_ancestor(&self.blocks, *block, parent));
            if let Some((_, tower)) = newest
                && tower.last_voted_slot() > towers[voter + 1].last_voted_slot()
                && rng.permille(900)
            {
                towers[voter + 1] = tower.clone();
            }
        }
        let landed = towers[0].last_voted_slot();
        let ours = self.own_votes.iter().filter(|(voted, _)| Some(voted.slot) > landed);
        let newest = ours.max_by_key(|(voted, _)| if self.on_fork(voted, parent) { voted.slot } else { 0 });
        if let Some((voted, tower)) = newest
            && self.on_fork(voted, parent)
        {
            towers[0] = tower.clone();
        }
        let height = self.blocks[parent].height + 1;
        self.blocks.push(Block { key: key(slot), parent, height, own_leader, towers });
        self.blocks.len() - 1
    }

    fn others_vote(&mut self, rng: &mut Rng) {
        for index in 0..self.others.len() {
            if !rng.permille(850) {
                continue;
            }
            let tip = self.main;
            let slot = self.blocks[tip].key.slot;
            if slot > self.others[index].tower.last_voted_slot().unwrap_or(0) && self.may_vote(&self.others[index], tip)
            {
                let other = &mut self.others[index];
                other.tower.vote(slot);
                other.sent.push_back((tip, Arc::new(other.tower.clone())));
                if other.sent.len() > SNAPSHOTS {
                    other.sent.pop_front();
                }
            }
        }
    }

    /// Whether no lockout of its own keeps the voter from the fork of `tip`.
    fn may_vote(&self, other: &Other, tip: usize) -> bool {
        let live = other.tower.live_at(self.blocks[tip].key.slot);
        self.lawless || other.tower.votes.iter().take(live).all(|vote| self.slot_on_fork(vote.slot(), tip))
    }

    /// A vote of ours reached the cluster.
    pub fn take_vote(&mut self, voted: BlockKey, tower: TowerState) {
        self.own_votes.push((voted, Arc::new(tower)));
        if self.own_votes.len() > 64 {
            self.own_votes.remove(0);
        }
    }

    /// Whether `tip`'s fork has a block at `slot`. Before the root every slot had one.
    pub fn slot_on_fork(&self, slot: Slot, tip: usize) -> bool {
        slot <= ROOT_SLOT || self.at(slot, tip).is_some()
    }

    fn at(&self, slot: Slot, tip: usize) -> Option<usize> {
        let mut at = tip;
        while self.blocks[at].key.slot > slot {
            at = self.blocks[at].parent;
        }
        (self.blocks[at].key.slot == slot).then_some(at)
    }

    fn on_fork(&self, voted: &BlockKey, tip: usize) -> bool {
        self.at(voted.slot, tip).is_some_and(|at| self.blocks[at].key == *voted)
    }

    pub fn own_landed(&self, block: usize) -> &TowerState {
        &self.blocks[block].towers[0]
    }

    pub fn frozen(&self, block: usize, identity: Pubkey) -> FrozenBlock {
        let made = &self.blocks[block];
        let account = |voter: usize| {
            if voter == 0 { vote_account() } else { Pubkey::new_from_array([100 + voter as u8; 32]) }
        };
        let stake = |voter: usize| if voter == 0 { OWN_STAKE } else { STAKES[voter - 1] };
        let votes = made.towers.iter().enumerate().map(|(voter, tower)| LandedVote {
            vote_account: account(voter),
            node: if voter == 0 { identity } else { account(voter) },
            stake: stake(voter),
            tower: tower.clone(),
        });
        FrozenBlock {
            key: made.key,
            parent: self.blocks[made.parent].key,
            block_id: made.key.hash,
            last_blockhash: made.key.hash,
            block_height: made.height,
            epoch: 0,
            leader: if made.own_leader { identity } else { Pubkey::new_from_array([200; 32]) },
            votes: votes.collect(),
            total_stake: OWN_STAKE + STAKES.iter().sum::<u64>(),
            our_landed: Some(OurVote { tower: made.towers[0].clone(), timestamp: None }),
        }
    }
}

fn is_ancestor(blocks: &[Block], ancestor: usize, of: usize) -> bool {
    let mut at = of;
    while at > ancestor {
        at = blocks[at].parent;
    }
    at == ancestor
}
