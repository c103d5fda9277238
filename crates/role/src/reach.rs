//! How far the cluster is: the highest slot that voters with at least a third of the stake have reached.
//!
//! ```text
//!   stake   10      25        25       40
//!   said    900     41        40       38        a third of 100 is reached at 41: 10 + 25
//! ```
//! One voter's word is its own stake's, whatever slot it names: a vote for a slot of its choice costs a voter nothing, and a
//! node that took the largest for the cluster's tip could be made to think itself behind for as long as somebody liked.
//! So it is computed anew from what each voter said last, and never from what the tip was before.

use {
    std::{collections::BTreeMap, time::Duration},
    tandem_types::{Pubkey, Slot, Tick},
};

/// What each vote account was last seen to have voted for. Fed with votes whose signature and authorized voter were checked.
#[derive(Debug, Default)]
pub struct Reach {
    said: BTreeMap<Pubkey, Said>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    slot: Slot,
    /// When a vote for this slot was last seen.
    at: Tick,
}

impl Reach {
    /// Votes overtake each other on their way, so a lower slot does not count at once. But a voter that has not spoken of its
    /// higher slot for a while, and goes on with lower ones, has taken it back.
    pub fn note(&mut self, now: Tick, vote_account: Pubkey, slot: Slot) {
        let said = self.said.entry(vote_account).or_insert(Said { slot, at: now });
        if slot >= said.slot || now.since(said.at) >= TAKEN_BACK_AFTER {
            *said = Said { slot, at: now };
        }
    }

    /// 0 while nobody knows. `stake_of` is the bank's; who has none is forgotten.
    pub fn slot(&mut self, stake_of: impl Fn(&Pubkey) -> u64, total: u64) -> Slot {
        self.said.retain(|vote_account, _| stake_of(vote_account) > 0);
        self.reached(stake_of, total)
    }

    /// The same by the word of the others alone. Whoever measures itself by the cluster must not be measured by itself: with a third of
    /// the stake its own votes of before would be all it takes.
    pub fn slot_of_others(&self, own: &Pubkey, stake_of: impl Fn(&Pubkey) -> u64, total: u64) -> Slot {
        self.reached(|vote_account| if vote_account == own { 0 } else { stake_of(vote_account) }, total)
    }

    fn reached(&self, stake_of: impl Fn(&Pubkey) -> u64, total: u64) -> Slot {
        let mut by_slot: Vec<(Slot, u64)> = self
            .said
            .iter()
            .map(|(vote_account, said)| (said.slot, stake_of(vote_account)))
            .filter(|(_, stake)| *stake > 0)
            .collect();
        by_slot.sort_unstable_by(|one, other| other.cmp(one));
        let mut there = 0u128;
        by_slot
            .into_iter()
            .find(|(_, stake)| {
                there += u128::from(*stake);
                there * 3 >= u128::from(total)
            })
            .map_or(0, |(slot, _)| slot)
    }
}

/// Gossip keeps a voter's votes for 15 s, but shows each again only to those who lack it; a vote is seconds old at most.
const TAKEN_BACK_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(name: u8) -> Pubkey {
        Pubkey::new_from_array([name; 32])
    }

    /// `stakes` of voters 1, 2, … ; `said` in order: (second, voter, slot).
    fn check(stakes: &[u64], said: &[(u64, u8, Slot)], expected: Slot) {
        let mut reach = Reach::default();
        for (second, name, slot) in said {
            reach.note(Tick::from_millis(second * 1_000), voter(*name), *slot);
        }
        let stake_of = |account: &Pubkey| stakes.get(usize::from(account.to_bytes()[0]) - 1).copied().unwrap_or(0);
        assert_eq!(reach.slot(stake_of, stakes.iter().sum()), expected, "{stakes:?} {said:?}");
    }

    #[test]
    fn the_slot_that_a_third_has_reached() {
        check(&[10, 25, 25, 40], &[(0, 1, 900), (0, 2, 41), (0, 3, 40), (0, 4, 38)], 41);
        check(&[10, 25, 25, 40], &[(0, 2, 41), (0, 3, 40), (0, 4, 38)], 40);
        check(&[10, 25, 25, 40], &[(0, 4, 38)], 38);
    }

    #[test]
    fn whoever_has_less_than_a_third_changes_nothing() {
        let honest = [(0, 2, 40), (0, 3, 40), (0, 4, 40)];
        for far in [41, 300, 1 << 40, Slot::MAX] {
            let said: Vec<_> = honest.into_iter().chain([(0, 1, far), (1, 1, far)]).collect();
            check(&[33, 25, 25, 17], &said, 40);
            check(&[33, 67], &[(0, 1, far)], 0);
            // Nor does it hold anybody up afterwards.
            check(&[33, 34, 33], &[(0, 1, far), (0, 2, 50), (0, 3, 50), (9, 2, 80), (9, 3, 80)], 80);
        }
    }

    #[test]
    fn a_third_exactly_is_enough_and_stakes_do_not_overflow() {
        check(&[1, 1, 1], &[(0, 1, 7)], 7);
        check(&[u64::MAX / 3, u64::MAX / 3, u64::MAX / 3], &[(0, 2, 7)], 7);
        check(&[], &[(0, 2, 7)], 0);
    }

    #[test]
    fn votes_overtake_each_other_but_a_voter_can_take_its_word_back() {
        check(&[1], &[(0, 1, 40), (1, 1, 39)], 40);
        check(&[1], &[(0, 1, 900), (2, 1, 41), (4, 1, 45), (6, 1, 50)], 50);
        check(&[1], &[(0, 1, 40), (2, 1, 40), (6, 1, 39)], 40);
    }

    #[test]
    fn ones_own_votes_say_nothing_about_the_others() {
        let mut reach = Reach::default();
        let stake_of = |account: &Pubkey| if *account == voter(1) { 40 } else { 20 };
        reach.note(Tick::ZERO, voter(1), 90);
        reach.note(Tick::ZERO, voter(2), 95);
        assert_eq!(reach.slot(stake_of, 100), 90);
        assert_eq!(reach.slot_of_others(&voter(1), stake_of, 100), 0, "a fifth of the stake is not a third");
        reach.note(Tick::ZERO, voter(3), 93);
        assert_eq!(reach.slot_of_others(&voter(1), stake_of, 100), 93);
        assert_eq!(reach.slot(stake_of, 100), 93, "and nobody was forgotten");
    }

    #[test]
    fn it_goes_down_when_the_stakes_say_so() {
        let mut reach = Reach::default();
        reach.note(Tick::ZERO, voter(1), 90);
        reach.note(Tick::ZERO, voter(2), 40);
        assert_eq!(reach.slot(|_| 1, 2), 90);
        assert_eq!(reach.slot(|account| if *account == voter(2) { 9 } else { 1 }, 10), 40);
        assert_eq!(reach.slot(|_| 0, 0), 0);
        assert_eq!(reach.slot(|_| 1, 2), 0, "who lost its stake is forgotten");
    }
}
