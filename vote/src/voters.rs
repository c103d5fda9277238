//! Who votes, with how much stake, and for what last.

use {
    crate::{FrozenBlock, forks::Forks, info::on_path},
    std::collections::{BTreeMap, HashMap},
    tandem_types::{BlockKey, Epoch, Pubkey},
};

/// A vote account as a small number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct VoterIx(pub u32);

#[derive(Debug, Default)]
pub(crate) struct Voters {
    index: HashMap<Pubkey, VoterIx>,
    voters: Vec<Voter>,
    /// Stake of each voter (by its number), for the epochs blocks of the tree are in.
    epochs: BTreeMap<Epoch, EpochStakes>,
}

#[derive(Debug)]
pub(crate) struct Voter {
    pub node: Pubkey,
    /// The newest landed vote, and the stake that was counted for it in the tree.
    pub landed: Option<(BlockKey, u64)>,
    /// The newest vote for a block we have frozen, landed or not. Votes in gossip do not weigh in fork choice (not
    /// everybody sees the same ones), but they count in switch proofs.
    pub seen: Option<BlockKey>,
}

#[derive(Debug, Default)]
struct EpochStakes {
    stakes: Vec<u64>,
    total: u64,
}

impl Voters {
    pub fn get(&self, account: &Pubkey) -> Option<VoterIx> {
        self.index.get(account).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (VoterIx, &Voter)> {
        self.voters.iter().enumerate().map(|(index, voter)| (VoterIx(index as u32), voter))
    }

    pub fn stake(&self, epoch: Epoch, voter: VoterIx) -> u64 {
        self.epochs.get(&epoch).and_then(|epoch| epoch.stakes.get(voter.0 as usize)).copied().unwrap_or(0)
    }

    pub fn total(&self, epoch: Epoch) -> u64 {
        self.epochs.get(&epoch).map_or(0, |epoch| epoch.total)
    }

    /// Learns the voters of a frozen block and their stakes. Returns their numbers in the order of `block.votes`.
    pub fn learn(&mut self, block: &FrozenBlock) -> Vec<VoterIx> {
        let numbers: Vec<VoterIx> = block.votes.iter().map(|vote| self.number(vote.vote_account, vote.node)).collect();
        let epoch = self.epochs.entry(block.epoch).or_default();
        epoch.total = block.total_stake;
        epoch.stakes.resize(self.voters.len(), 0);
        for (number, vote) in numbers.iter().zip(&block.votes) {
            epoch.stakes[number.0 as usize] = vote.stake;
        }
        numbers
    }

    /// Moves each voter's weight to its newest landed vote. `path`: the block's ancestors, newest first.
    /// Returns the differences for the tree, and what was voted for, voter by voter.
    pub fn land(
        &mut self,
        block: &FrozenBlock,
        numbers: &[VoterIx],
        path: &[BlockKey],
        forks: &Forks,
    ) -> (BTreeMap<BlockKey, i128>, Vec<(VoterIx, BlockKey)>) {
        let mut differences: BTreeMap<BlockKey, i128> = BTreeMap::new();
        let mut votes = Vec::with_capacity(numbers.len());
        for (number, landed) in numbers.iter().zip(&block.votes) {
            // A vote lands only where the block it is for is an ancestor, so the slot names the block. Votes older
            // than the root weigh the same on every fork that is left.
            let Some(key) = landed.tower.last_voted_slot().and_then(|slot| on_path(path, slot)) else { continue };
            votes.push((*number, key));
            if !self.is_news(*number, key) {
                continue;
            }
            let epoch = forks.get(&key).map_or(block.epoch, |node| node.info.epoch);
            let stake = self.stake(epoch, *number);
            let voter = &mut self.voters[number.0 as usize];
            if let Some((before, counted)) = voter.landed.replace((key, stake)) {
                *differences.entry(before).or_default() -= i128::from(counted);
            }
            *differences.entry(key).or_default() += i128::from(stake);
        }
        (differences, votes)
    }

    /// A vote for a block that we have frozen was seen, landed or in gossip.
    pub fn saw(&mut self, voter: VoterIx, key: BlockKey) {
        let seen = &mut self.voters[voter.0 as usize].seen;
        if seen.is_none_or(|before| before.slot < key.slot) {
            *seen = Some(key);
        }
    }

    /// These blocks were dumped: votes for them weigh nothing, and a vote for the right version of the slot is news.
    pub fn forget(&mut self, purged: &[BlockKey]) {
        for voter in &mut self.voters {
            if voter.landed.is_some_and(|(key, _)| purged.contains(&key)) {
                voter.landed = None;
            }
            if voter.seen.is_some_and(|key| purged.contains(&key)) {
                voter.seen = None;
            }
        }
    }

    pub fn forget_epochs_before(&mut self, epoch: Epoch) {
        self.epochs = self.epochs.split_off(&epoch);
    }

    /// Newer slots win; of two versions of one slot the smaller hash does (agave heaviest_subtree_fork_choice.rs).
    fn is_news(&self, voter: VoterIx, key: BlockKey) -> bool {
        self.voters[voter.0 as usize]
            .landed
            .is_none_or(|(before, _)| key.slot > before.slot || (key.slot == before.slot && key.hash < before.hash))
    }

    fn number(&mut self, account: Pubkey, node: Pubkey) -> VoterIx {
        let next = VoterIx(u32::try_from(self.voters.len()).expect("invariant: fewer than 2^32 vote accounts"));
        let number = *self.index.entry(account).or_insert(next);
        if number == next {
            self.voters.push(Voter { node, landed: None, seen: None });
        }
        self.voters[number.0 as usize].node = node;
        number
    }
}
