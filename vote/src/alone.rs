//! What a voter can build alone, unseen by anybody: how long it may bind an identity whose newest votes are not known.

use {crate::harness::play, proptest::prelude::*, tandem_types::Slot};

/// The ninth vote needs two thirds of the stake at its depth (agave consensus.rs: VOTE_THRESHOLD_DEPTH), so eight are the most.
const STACK_MAX: usize = 8;
/// 2^8, of the deepest of eight. Whoever waits for 512 slots from the tip (`tandem_role::config::CHAIN_TOWER_HOLD_SLOTS`) outlasts
/// it twice.
const LOCKED_MAX: Slot = 256;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_stack_of_a_voter_alone_binds_longer_than_the_deepest_of_eight(
        // A gap above two expires the newest vote: without long runs of small ones no stack gets as deep as it is here to be.
        gaps in prop::collection::vec(prop_oneof![12 => 1u64..3, 1 => 1u64..70, 1 => 1u64..400], 1..24),
        stake in 1u64..34,
    ) {
        let slots: Vec<u64> = gaps.iter().scan(0, |slot, gap| { *slot += gap; Some(*slot) }).collect();
        let names = |between: &str| slots.iter().map(u64::to_string).collect::<Vec<_>>().join(between);
        let others = 100 - stake;
        let world = play(&format!(
            "voters me={stake} others={others}\n forks {}\n adopt\n freeze {}", names("-"), names(" ")
        ));
        prop_assert!(!world.decisions.is_empty());
        let mut unseen = Vec::new();
        for decision in &world.decisions {
            unseen.push(decision.slot);
            let stack = decision.tower.votes.iter().filter(|vote| unseen.contains(&vote.slot()));
            let (mut votes, mut until) = (0, 0);
            for vote in stack {
                votes += 1;
                until = until.max(vote.last_locked_out_slot());
            }
            prop_assert!(votes <= STACK_MAX, "{votes} votes at {}", decision.slot);
            prop_assert!(until <= decision.slot + LOCKED_MAX, "locked until {until} at {}", decision.slot);
        }
    }
}
