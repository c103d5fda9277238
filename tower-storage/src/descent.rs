//! Can one tower have grown out of another? What an import asks before it replaces anything: a tower that is merely
//! newer may still have forgotten a vote, and its lockout with it.

use {
    crate::{check::locked_until, decision::Tower},
    std::cmp::Ordering,
    tandem_types::Slot,
    thiserror::Error,
};

/// How a tower stands to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Relation {
    Same,
    /// The second can have grown out of the first.
    Newer,
    /// The first can have grown out of the second.
    Older,
    Contradiction(Contradiction),
}

/// Why no voting by the rules leads from one tower to the other.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Contradiction {
    #[error(
        "the vote for slot {by} forbids other forks until slot {until}, and the newer tower, which ends with slot {last:?}, does not have it"
    )]
    Forgotten { by: Slot, until: Slot, last: Option<Slot> },
    #[error(
        "the newer tower has a vote for slot {slot}, which is not newer than the older one's last vote, {last}, and yet is not in it"
    )]
    Invented { slot: Slot, last: Slot },
    #[error("the vote for slot {slot} lost confirmations: {from}, and then {to}")]
    Weakened { slot: Slot, from: u32, to: u32 },
    #[error("the root went back from {from} to {to:?}")]
    RootWentBack { from: Slot, to: Option<Slot> },
}

pub fn relation(first: &Tower, second: &Tower) -> Relation {
    if first == second {
        return Relation::Same;
    }
    let by_age = first.last_slot().cmp(&second.last_slot()).then(first.root.cmp(&second.root));
    let (older, newer, relation) = match by_age {
        Ordering::Less | Ordering::Equal => (first, second, Relation::Newer),
        Ordering::Greater => (second, first, Relation::Older),
    };
    match contradiction(older, newer) {
        None => relation,
        Some(contradiction) => Relation::Contradiction(contradiction),
    }
}

fn contradiction(older: &Tower, newer: &Tower) -> Option<Contradiction> {
    let (last, newest) = (older.last_slot(), newer.last_slot());
    if let Some(from) = older.root.filter(|from| newer.root.is_none_or(|to| to < *from)) {
        return Some(Contradiction::RootWentBack { from, to: newer.root });
    }
    for &(slot, from) in &older.votes {
        if newer.root.is_some_and(|root| slot <= root) {
            continue;
        }
        match newer.votes.iter().find(|(kept, _)| *kept == slot) {
            Some(&(_, to)) if to < from => return Some(Contradiction::Weakened { slot, from, to }),
            Some(_) => {}
            // Dropped: then a later vote came after its lockout had passed.
            None => {
                let until = locked_until(slot, from);
                if newest.is_none_or(|newest| newest <= until) {
                    return Some(Contradiction::Forgotten { by: slot, until, last: newest });
                }
            }
        }
    }
    let last = last?;
    let invented = newer.votes.iter().map(|(slot, _)| *slot).find(|slot| {
        *slot <= last
            && older.root.is_none_or(|root| *slot > root)
            && older.votes.iter().all(|(voted, _)| voted != slot)
    });
    invented.map(|slot| Contradiction::Invented { slot, last })
}

#[cfg(test)]
mod tests {
    use {super::*, crate::check::after_vote, proptest::prelude::*};

    fn tower(votes: &[(Slot, u32)], root: Option<Slot>) -> Tower {
        Tower { votes: votes.to_vec(), root }
    }

    #[test]
    fn contradictions_are_named() {
        let old = tower(&[(10, 3), (11, 2), (12, 1)], Some(5));
        for (newer, part) in [
            (tower(&[(10, 3), (13, 1)], Some(5)), "slot 11 forbids other forks until slot 15"),
            (tower(&[(10, 4), (11, 3), (12, 2), (13, 1)], None), "root went back"),
            (tower(&[(9, 5), (10, 4), (11, 3), (12, 2), (13, 1)], Some(5)), "vote for slot 9"),
            (tower(&[(10, 2), (14, 1)], Some(5)), "lost confirmations"),
        ] {
            let Relation::Contradiction(contradiction) = relation(&old, &newer) else { panic!("{newer:?}") };
            assert!(contradiction.to_string().contains(part), "{contradiction}");
            assert_eq!(relation(&newer, &old), Relation::Contradiction(contradiction), "whichever comes first");
        }
    }

    proptest! {
        /// Voting by the rule never contradicts, and says which tower is the newer.
        #[test]
        fn what_voting_leads_to_is_newer(before in prop::collection::vec(1u64..9, 0..60), after in prop::collection::vec(1u64..60, 1..60)) {
            let mut first = Tower::default();
            let mut slot = 0;
            for gap in before {
                slot += gap;
                first = after_vote(&first, slot);
            }
            let mut second = first.clone();
            for gap in after {
                slot += gap;
                second = after_vote(&second, slot);
            }
            prop_assert_eq!(relation(&first, &second), Relation::Newer);
            prop_assert_eq!(relation(&second, &first), Relation::Older);
            prop_assert_eq!(relation(&second, &second), Relation::Same);
        }

        /// Two machines that voted apart from one tower, each on a fork of its own, inside the other's lockouts.
        #[test]
        fn two_lines_of_votes_contradict(common in prop::collection::vec(1u64..4, 1..40), gap in 1u64..=2) {
            let mut tower = Tower::default();
            let mut slot = 0;
            for gap in common {
                slot += gap;
                tower = after_vote(&tower, slot);
            }
            let one = after_vote(&tower, slot + 1);
            let other = after_vote(&tower, slot + 1 + gap);
            let contradicts = matches!(relation(&one, &other), Relation::Contradiction(_));
            // A lone vote locks out two slots.
            prop_assert!(contradicts);
        }
    }
}
