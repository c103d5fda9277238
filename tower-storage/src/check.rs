//! Is this vote legal after everything promised before? Written without a look at `tandem_vote`, from the rule alone
//! (vote program: solana-vote-interface state/mod.rs:Lockout, agave tower_vote_state.rs:process_next_vote_slot), so
//! that one mistake does not pass both.
//!
//! A vote for slot s with c confirmations forbids votes for other forks up to and including s + 2^c. A new vote takes
//! off, from the newest down, what has expired; what stays gains a confirmation where the stack grew higher than ever.

use {
    crate::{
        decision::{Tower, VoteDecision, VoteKind},
        tower::LastVote,
    },
    tandem_types::Slot,
    thiserror::Error,
};

/// Why a decision is not recorded. Any of these is a bug, here or in the voter: nothing is signed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Violation {
    #[error("the vote names slot {named}, its tower ends with {last:?}")]
    LastSlot { named: Slot, last: Option<Slot> },
    #[error("the tower has {0} votes, more than 31")]
    TooManyVotes(usize),
    #[error("the tower's vote for slot {0} does not come after the one before it or after the root")]
    SlotOrder(Slot),
    #[error(
        "the tower's vote for slot {slot} has {count} confirmations, which is none, more than 31, or not fewer than the vote below it"
    )]
    Confirmations { slot: Slot, count: u32 },
    #[error("slot {slot} is not newer than the last vote, for {last}")]
    NotNewer { slot: Slot, last: Slot },
    #[error("slot {slot} is locked out until {until} by the vote for {by}, which the new tower drops")]
    LockedOut { slot: Slot, by: Slot, until: Slot },
    #[error("the new tower has a vote for slot {0} that was never recorded")]
    NeverRecorded(Slot),
    #[error("the root went from {from:?} to {to:?}, the rule gives {expected:?}")]
    Root { from: Option<Slot>, to: Option<Slot>, expected: Option<Slot> },
    #[error("the new tower is {found:?}, the rule gives {expected:?}")]
    NotTheRule { expected: Vec<(Slot, u32)>, found: Vec<(Slot, u32)> },
    #[error("a refresh of slot {slot}, but the last recorded vote is for {last:?}")]
    RefreshSlot { slot: Slot, last: Option<Slot> },
    #[error("a refresh of slot {0} with another hash or block id than was recorded")]
    RefreshBlock(Slot),
    #[error("a refresh of slot {0} with another tower than was recorded")]
    RefreshTower(Slot),
}

/// Checks a decision against the tower recorded last (or, before the first record, the one adopted from the chain).
pub fn check(recorded: &Tower, last: Option<&LastVote>, decision: &VoteDecision) -> Result<(), Violation> {
    well_formed(&decision.tower)?;
    if decision.tower.last_slot() != Some(decision.slot) {
        return Err(Violation::LastSlot { named: decision.slot, last: decision.tower.last_slot() });
    }
    match decision.kind {
        VoteKind::Vote => check_vote(recorded, decision),
        VoteKind::Refresh => check_refresh(recorded, last, decision),
    }
}

/// What every tower made by voting fulfils, and what the tower file can hold.
pub fn well_formed(tower: &Tower) -> Result<(), Violation> {
    if tower.votes.len() > VOTES_MAX {
        return Err(Violation::TooManyVotes(tower.votes.len()));
    }
    let mut below = tower.root;
    let mut confirmations_below = VOTES_MAX as u32 + 1;
    for &(slot, count) in &tower.votes {
        if below.is_some_and(|below| slot <= below) {
            return Err(Violation::SlotOrder(slot));
        }
        if count == 0 || count >= confirmations_below {
            return Err(Violation::Confirmations { slot, count });
        }
        (below, confirmations_below) = (Some(slot), count);
    }
    Ok(())
}

fn check_vote(recorded: &Tower, decision: &VoteDecision) -> Result<(), Violation> {
    let (slot, new) = (decision.slot, &decision.tower);
    if let Some(last) = recorded.last_slot().filter(|last| slot <= *last) {
        return Err(Violation::NotNewer { slot, last });
    }
    // The one that matters, said in so many words before the exact comparison below says it again.
    for &(by, count) in &recorded.votes {
        let kept = new.votes.iter().any(|(kept, _)| *kept == by);
        let rooted = new.root.is_some_and(|root| by <= root);
        let until = locked_until(by, count);
        if !kept && !rooted && until >= slot {
            return Err(Violation::LockedOut { slot, by, until });
        }
    }
    let recorded_before = |slot: &Slot| recorded.votes.iter().any(|(recorded, _)| recorded == slot);
    if let Some((never, _)) = new.votes.iter().find(|(other, _)| *other != slot && !recorded_before(other)) {
        return Err(Violation::NeverRecorded(*never));
    }
    let expected = after_vote(recorded, slot);
    if new.root != expected.root {
        return Err(Violation::Root { from: recorded.root, to: new.root, expected: expected.root });
    }
    if new.votes != expected.votes {
        return Err(Violation::NotTheRule { expected: expected.votes, found: new.votes.clone() });
    }
    Ok(())
}

fn check_refresh(recorded: &Tower, last: Option<&LastVote>, decision: &VoteDecision) -> Result<(), Violation> {
    let slot = decision.slot;
    let Some(last) = last.filter(|last| last.slot == slot) else {
        return Err(Violation::RefreshSlot { slot, last: last.map(|last| last.slot) });
    };
    if last.hash != decision.hash || last.block_id != decision.block_id {
        return Err(Violation::RefreshBlock(slot));
    }
    if *recorded != decision.tower {
        return Err(Violation::RefreshTower(slot));
    }
    Ok(())
}

/// The tower that a vote for `slot` makes of `tower`.
pub(crate) fn after_vote(tower: &Tower, slot: Slot) -> Tower {
    let locked = |&(by, count): &(Slot, u32)| locked_until(by, count) >= slot;
    let keep = tower.votes.iter().rposition(locked).map_or(0, |newest| newest + 1);
    let mut root = tower.root;
    let mut votes = tower.votes.get(..keep).expect("invariant: a position plus one is within the votes");
    if let [oldest, rest @ ..] = votes
        && votes.len() == VOTES_MAX
    {
        root = Some(oldest.0);
        votes = rest;
    }
    let height = votes.len() + 1;
    let stack = votes.iter().copied().chain([(slot, 1)]).enumerate();
    let votes = stack
        .map(|(place, (slot, count))| {
            let grown = height - place > count as usize;
            (slot, count + u32::from(grown))
        })
        .collect();
    Tower { votes, root }
}

pub(crate) fn locked_until(slot: Slot, count: u32) -> Slot {
    slot.saturating_add(1u64.checked_shl(count).unwrap_or(u64::MAX))
}

const VOTES_MAX: usize = 31;

#[cfg(test)]
mod tests {
    use {
        super::*,
        proptest::prelude::*,
        tandem_types::{Hash, Pubkey},
    };

    fn tower(text: &str) -> Tower {
        let mut tower = Tower::default();
        for word in text.split_whitespace() {
            match word.strip_prefix("root") {
                Some(root) => tower.root = Some(root.parse().unwrap()),
                None => {
                    let (slot, count) = word.split_once('/').unwrap();
                    tower.votes.push((slot.parse().unwrap(), count.parse().unwrap()));
                }
            }
        }
        tower
    }

    fn decision(kind: VoteKind, tower: Tower) -> VoteDecision {
        VoteDecision {
            identity: Pubkey::default(),
            vote_account: Pubkey::default(),
            kind,
            slot: tower.last_slot().unwrap_or(0),
            hash: Hash::new_from_array([tower.last_slot().unwrap_or(0) as u8; 32]),
            block_id: Hash::default(),
            tower,
            timestamp: None,
            recent_blockhash: Hash::default(),
            switch: false,
        }
    }

    /// Lines: `recorded tower | new tower => ok` or a part of the violation's text.
    fn check_cases(cases: &str) {
        for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (towers, expected) = line.split_once("=>").unwrap();
            let (recorded, new) = towers.split_once('|').unwrap();
            let found = check(&tower(recorded), None, &decision(VoteKind::Vote, tower(new)));
            let found = found.err().map_or("ok".to_string(), |violation| violation.to_string());
            assert!(found.contains(expected.trim()), "{line}\nfound: {found}");
        }
    }

    #[test]
    fn votes() {
        check_cases(
            "                      | 1/1                     => ok
             1/1                   | 1/2 2/1                 => ok
             1/2 2/1               | 1/3 2/2 3/1             => ok
             1/3 2/2 3/1           | 1/3 2/2 6/1             => ok
             1/3 2/2 3/1           | 1/3 2/2 3/1             => not newer
             1/3 2/2 3/1           | 1/3 2/1                 => not newer
             1/3 2/2 3/1           | 1/3 2/2 5/1             => slot 5 is locked out until 5 by the vote for 3
             1/3 2/2 3/1           | 1/4 2/3 3/2 4/1         => ok
             1/3 2/2 3/1           | 1/4 2/3 4/1             => locked out until 5 by the vote for 3
             1/3 2/2 3/1           | 9/1                     => slot 9 is locked out until 9 by the vote for 1
             1/3 2/2 3/1           | 10/1                    => ok
             1/3 2/2 3/1           | 1/3 7/1                 => ok
             1/3 2/2 3/1           | 1/3 2/2 7/1             => the rule gives
             1/3 2/2 3/1           | 1/4 2/3 3/1 4/1         => confirmations
             1/3 2/2 3/1           | 1/5 2/3 3/2 4/1         => the rule gives
             1/3 2/2 3/1           | 1/3 2/2 4/1             => locked out until 5
             1/2 2/1               | 1/4 2/3 3/2 4/1         => slot 3 that was never recorded
             root5 6/2 7/1         | root5 6/3 7/2 8/1       => ok
             root5 6/2 7/1         | root6 7/2 8/1           => the root went
             root5 6/2 7/1         | root4 6/3 7/2 8/1       => the root went
             root5 6/2 7/1         | 6/3 7/2 8/1             => the root went
             root5 6/2 7/1         | root7 8/1               => the root went
             root5 6/2 7/1         | root9 8/1               => does not come after
                                   | 5/2 4/1                 => does not come after
                                   | 5/0                     => confirmations
                                   | 5/32                    => confirmations",
        );
        let bad_name = VoteDecision { slot: 3, ..decision(VoteKind::Vote, tower("1/2 2/1")) };
        assert_eq!(check(&tower("1/1"), None, &bad_name), Err(Violation::LastSlot { named: 3, last: Some(2) }));
    }

    /// Expiry works from the top: a vote below a locked one stays although its own lockout has passed.
    #[test]
    fn a_locked_vote_shields_what_is_below_it() {
        let recorded = tower("1/2 4/1");
        assert_eq!(after_vote(&recorded, 6), tower("1/3 4/2 6/1"));
        check_cases("1/2 4/1 | 1/3 4/2 6/1 => ok\n 1/2 4/1 | 4/2 6/1 => the rule gives");
    }

    #[test]
    fn the_thirty_second_vote_roots_the_first() {
        let mut recorded = Tower::default();
        for slot in 1..=31 {
            recorded = after_vote(&recorded, slot);
        }
        assert_eq!((recorded.votes.len(), recorded.root, recorded.votes[0]), (31, None, (1, 31)));
        let next = after_vote(&recorded, 32);
        assert_eq!((next.votes.len(), next.root, next.votes[0]), (31, Some(1), (2, 31)));
        assert_eq!(check(&recorded, None, &decision(VoteKind::Vote, next)), Ok(()));
        let mut too_many = recorded.clone();
        too_many.votes.push((32, 1));
        assert_eq!(well_formed(&too_many), Err(Violation::TooManyVotes(32)));
    }

    #[test]
    fn refreshes() {
        let recorded = tower("1/2 2/1");
        let refresh = decision(VoteKind::Refresh, recorded.clone());
        let last = LastVote { slot: 2, hash: refresh.hash, block_id: refresh.block_id, timestamp: Some(1) };
        let later =
            VoteDecision { timestamp: Some(2), recent_blockhash: Hash::new_from_array([9; 32]), ..refresh.clone() };
        assert_eq!(check(&recorded, Some(&last), &later), Ok(()));
        assert_eq!(check(&recorded, None, &refresh), Err(Violation::RefreshSlot { slot: 2, last: None }));
        let other_hash = VoteDecision { hash: Hash::new_from_array([7; 32]), ..refresh.clone() };
        assert_eq!(check(&recorded, Some(&last), &other_hash), Err(Violation::RefreshBlock(2)));
        let other_id = VoteDecision { block_id: Hash::new_from_array([7; 32]), ..refresh.clone() };
        assert_eq!(check(&recorded, Some(&last), &other_id), Err(Violation::RefreshBlock(2)));
        let other_tower = decision(VoteKind::Refresh, tower("1/3 2/1"));
        assert_eq!(check(&recorded, Some(&last), &other_tower), Err(Violation::RefreshTower(2)));
        let newer = decision(VoteKind::Refresh, tower("1/3 2/2 3/1"));
        assert_eq!(check(&recorded, Some(&last), &newer), Err(Violation::RefreshSlot { slot: 3, last: Some(2) }));
    }

    proptest! {
        /// The rule against the SDK's own lockouts, over random slots.
        #[test]
        fn the_rule_is_the_vote_programs(gaps in proptest::collection::vec(1u64..6, 1..120)) {
            use solana_vote_interface::state::{Lockout, MAX_LOCKOUT_HISTORY};
            let mut ours = Tower::default();
            let mut theirs: Vec<Lockout> = Vec::new();
            let mut root = None;
            let mut slot = 0;
            for gap in gaps {
                slot += if gap == 5 { 40 } else { gap };
                let before = ours.clone();
                ours = after_vote(&ours, slot);
                prop_assert_eq!(check(&before, None, &decision(VoteKind::Vote, ours.clone())), Ok(()));
                while theirs.last().is_some_and(|vote| !vote.is_locked_out_at_slot(slot)) {
                    theirs.pop();
                }
                if theirs.len() == MAX_LOCKOUT_HISTORY {
                    root = Some(theirs.remove(0).slot());
                }
                theirs.push(Lockout::new(slot));
                let height = theirs.len();
                for (place, vote) in theirs.iter_mut().enumerate() {
                    if height > place + vote.confirmation_count() as usize {
                        vote.increase_confirmation_count(1);
                    }
                }
                let plain: Vec<_> = theirs.iter().map(|vote| (vote.slot(), vote.confirmation_count())).collect();
                prop_assert_eq!((&ours.votes, ours.root), (&plain, root));
            }
        }

        /// Whatever is offered, an accepted vote breaks no lockout that is still in force.
        #[test]
        fn nothing_accepted_breaks_a_lockout(
            slots in proptest::collection::vec(1u64..60, 1..12),
            offered in proptest::collection::vec((1u64..80, 1u32..8), 1..8),
            root in proptest::option::of(0u64..40),
        ) {
            let mut recorded = Tower::default();
            for slot in slots {
                if recorded.last_slot().is_none_or(|last| slot > last) {
                    recorded = after_vote(&recorded, slot);
                }
            }
            let mut votes = offered;
            votes.sort_unstable();
            let offered = Tower { votes, root };
            let decision = decision(VoteKind::Vote, offered.clone());
            if check(&recorded, None, &decision).is_ok() {
                for (by, count) in &recorded.votes {
                    let kept = offered.votes.iter().any(|(slot, _)| slot == by);
                    prop_assert!(kept || by + (1 << count) < decision.slot);
                }
            }
        }
    }
}
