//! Who leads which slot of an epoch.

use {
    crate::{epoch_stakes::EpochStakes, weighted_index::WeightedIndex},
    rand_chacha::{ChaChaRng, rand_core::SeedableRng},
    std::{collections::BTreeMap, sync::Arc},
    tandem_types::{Epoch, NUM_CONSECUTIVE_LEADER_SLOTS, Pubkey},
};

/// The leader of a slot: its identity, and the vote account it was drawn by (whose owner is paid).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct SlotLeader {
    pub identity: Pubkey,
    pub vote: Pubkey,
}

/// Leaders of one epoch. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderSchedule {
    epoch: Epoch,
    /// One per window of consecutive slots.
    windows: Arc<[SlotLeader]>,
    /// For each identity its windows, ascending.
    windows_of: Arc<BTreeMap<Pubkey, Vec<u64>>>,
    slots: u64,
    slots_per_window: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "epoch {epoch} has no vote account with stake that may lead; check that vote accounts have a BLS key and rent"
    )]
    NoStake { epoch: Epoch },
}

impl LeaderSchedule {
    /// The schedule of `epoch`, of `slots` slots, from that epoch's stakes (solana-leader-schedule lib.rs).
    pub fn new(epoch: Epoch, slots: u64, stakes: &EpochStakes) -> Result<Self, ScheduleError> {
        let candidates = stakes
            .vote_accounts()
            .iter()
            .map(|(vote, stake, account)| (SlotLeader { identity: *account.node(), vote: *vote }, stake));
        Self::from_weights(epoch, slots, NUM_CONSECUTIVE_LEADER_SLOTS, candidates)
    }

    /// As `new`, for given weights; `repeat` slots in a row have the same leader.
    fn from_weights(
        epoch: Epoch,
        slots: u64,
        repeat: u64,
        candidates: impl Iterator<Item = (SlotLeader, u64)>,
    ) -> Result<Self, ScheduleError> {
        assert!(slots >= repeat, "an epoch of {slots} slots has no window of {repeat}");
        let mut candidates: Vec<_> = candidates.filter(|(_, stake)| *stake > 0).collect();
        // Descending by stake, then by vote account; the order decides who is drawn.
        candidates.sort_unstable_by(|(left, left_stake), (right, right_stake)| {
            right_stake.cmp(left_stake).then_with(|| right.vote.cmp(&left.vote))
        });
        candidates
            .dedup_by(|(left, left_stake), (right, right_stake)| left_stake == right_stake && left.vote == right.vote);
        let index =
            WeightedIndex::new(candidates.iter().map(|(_, stake)| *stake)).ok_or(ScheduleError::NoStake { epoch })?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&epoch.to_le_bytes());
        let mut rng = ChaChaRng::from_seed(seed);
        let windows: Arc<[_]> = (0..slots / repeat).map(|_| candidates[index.sample(&mut rng)].0).collect();
        let mut windows_of = BTreeMap::<Pubkey, Vec<u64>>::new();
        for (window, leader) in (0..).zip(windows.iter()) {
            windows_of.entry(leader.identity).or_default().push(window);
        }
        Ok(Self { epoch, windows, windows_of: Arc::new(windows_of), slots, slots_per_window: repeat })
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Slots in the epoch.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The leader of the epoch's slot number `index` (from 0). Beyond the epoch the schedule repeats, as agave's does.
    pub fn slot_leader(&self, index: u64) -> SlotLeader {
        let windows = self.windows.len() as u64;
        let window = index / self.slots_per_window % windows;
        self.windows[usize::try_from(window).expect("invariant: a remainder of a length is an index")]
    }

    /// Slot numbers within the epoch that `identity` leads, ascending, from `from` on.
    pub fn slots_of(&self, identity: &Pubkey, from: u64) -> impl Iterator<Item = u64> {
        let per_window = self.slots_per_window;
        let windows = self.windows_of.get(identity).map_or(&[][..], Vec::as_slice);
        let first = windows.partition_point(|window| (window + 1) * per_window <= from);
        // The slots of an epoch need not be a multiple of the window: for those left over the schedule begins again.
        let scheduled = self.windows.len() as u64 * per_window;
        let left_over = (scheduled..self.slots).filter({
            let identity = *identity;
            move |slot| self.slot_leader(*slot).identity == identity
        });
        windows[first..]
            .iter()
            .flat_map(move |window| window * per_window..(window + 1) * per_window)
            .chain(left_over)
            .skip_while(move |slot| *slot < from)
    }

    /// The leaders of all slots of the epoch, in order.
    pub fn iter(&self) -> impl Iterator<Item = SlotLeader> {
        (0..self.slots).map(|index| self.slot_leader(index))
    }

    /// Identities that lead at least one slot.
    pub fn leaders(&self) -> impl Iterator<Item = &Pubkey> {
        self.windows_of.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(key: u8) -> SlotLeader {
        SlotLeader { identity: Pubkey::new_from_array([key; 32]), vote: Pubkey::new_from_array([key + 100; 32]) }
    }

    fn schedule(slots: u64, repeat: u64, weights: &[(u8, u64)]) -> LeaderSchedule {
        LeaderSchedule::from_weights(0, slots, repeat, weights.iter().map(|&(key, weight)| (leader(key), weight)))
            .unwrap()
    }

    fn letters(schedule: &LeaderSchedule) -> String {
        schedule.iter().map(|leader| char::from(b'a' + leader.identity.to_bytes()[0])).collect()
    }

    /// Golden values of solana-leader-schedule 4.2.2 (vote_keyed.rs: test_repeated_leader_schedule_specific).
    #[test]
    fn agave_golden_schedule() {
        assert_eq!(letters(&schedule(8, 1, &[(0, 2), (1, 1)])), "aaabaaaa");
        assert_eq!(letters(&schedule(8, 2, &[(0, 2), (1, 1)])), "aaaaaabb");
        // The order of the input does not matter.
        assert_eq!(letters(&schedule(8, 2, &[(1, 1), (0, 2)])), "aaaaaabb");
    }

    #[test]
    fn slots_of_agrees_with_slot_leader() {
        let weights = [(0, 5), (1, 3), (2, 1), (3, 0)];
        for slots in [96, 97, 99] {
            let schedule = schedule(slots, 4, &weights);
            for key in 0..4 {
                let identity = leader(key).identity;
                for from in 0..slots + 1 {
                    let expected: Vec<_> =
                        (from..slots).filter(|slot| schedule.slot_leader(*slot).identity == identity).collect();
                    let ours: Vec<_> = schedule.slots_of(&identity, from).collect();
                    assert_eq!(ours, expected, "key {key} from {from} of {slots}");
                }
            }
            // What is left over of the epoch starts the schedule again, as agave's index does.
            assert_eq!(schedule.slot_leader(96), schedule.slot_leader(0));
        }
        let schedule = schedule(96, 4, &weights);
        assert!(schedule.leaders().all(|identity| *identity != leader(3).identity));
    }

    #[test]
    fn no_stake_is_an_error() {
        let error = LeaderSchedule::from_weights(3, 8, 4, [(leader(0), 0)].into_iter()).unwrap_err();
        assert_eq!(error, ScheduleError::NoStake { epoch: 3 });
    }
}
