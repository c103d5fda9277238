//! The rules of Tower BFT as cases. The language is explained in `harness.rs`.

use {
    crate::{
        RoleView,
        harness::{block, check, play},
    },
    tandem_types::Tick,
};

fn chain(from: u64, to: u64) -> String {
    (from..=to).map(|slot| slot.to_string()).collect::<Vec<_>>().join("-")
}

#[test]
fn fresh_cluster_votes_up_the_chain() {
    check(
        "
        forks 1-2-3
        adopt => reset 0
        freeze 1 => vote 1 (1), reset 1
        freeze 2 => vote 2 (1 2), reset 2
        freeze 3 => vote 3 (1 2 3)
        freeze 3 => nothing
        ",
    );
}

#[test]
fn locked_out_until_expiry() {
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4, 2-5-6-9
        adopt 1 2 3 4 => reset 4
        freeze 6 : a=5 => hold 6: locked by 4 until 6
        freeze 9 => switch 9 (1 2 9), reset 9
        ",
    );
}

#[test]
fn older_votes_lock_longer() {
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4, 1-5-6-8-10-11
        adopt 1 2 3 4
        freeze 6 : a=5 => hold 6: locked by 4 until 6
        freeze 8       => hold 8: locked by 2 until 10
        freeze 10      => hold 10: locked by 2 until 10
        freeze 11      => switch 11 (1 11)
        ",
    );
}

#[test]
fn switching_needs_more_than_38_percent() {
    check(
        "
        voters me=10 a=38 b=1 c=51
        forks 1-2-3, 1-4-7-8-9
        adopt 1 2 3
        freeze 7 : a=4 => hold 7: switch 38/100
        freeze 8 : b=4 => switch 8 (1 8), reset 8
        ",
    );
}

#[test]
fn votes_in_gossip_count_for_a_switch_but_not_as_weight() {
    check(
        "
        voters me=10 a=30 b=60
        forks 1-2-3, 1-4-7-8
        adopt 1 2 3
        gossip b=4
        freeze 4 => nothing
        freeze 7 : a=4 => switch 7 (1 7)
        ",
    );
    check(
        "
        voters me=40 a=20 b=40
        forks 1-2-3, 1-4-7-8
        adopt 1 2 3
        freeze 7 : a=4 => hold 7: switch 20/100
        gossip b=7 => nothing
        time 100   => switch 7 (1 7)
        ",
    );
}

/// 4 split from our fork behind the point where the candidate did: it is on our side of that question.
#[test]
fn votes_on_our_side_are_no_evidence() {
    check(
        "
        voters me=25 a=37 b=38
        forks 1-2-3, 2-4-5, 1-6-9
        adopt 1 2 3
        freeze 5 : a=4 => hold 5: switch 37/100
        freeze 9 : b=6 => hold 9: switch 38/100
        gossip a=5 => nothing
        time 100   => nothing
        ",
    );
}

#[test]
fn an_expired_lockout_is_no_evidence() {
    // a's vote for 3 forbids it our fork until 5; when we voted 9 it was free again.
    check(
        "
        voters me=10 a=90
        forks 1-2-9, 1-3-4-12
        adopt 1 2 9
        freeze 12 : a=3 => hold 12: switch 0/100
        ",
    );
}

#[test]
fn the_ninth_newest_vote_needs_two_thirds() {
    check(
        "
        voters me=50 a=50
        forks 1-2-3-4-5-6-7-8-9-10-11
        adopt
        freeze 8 => vote 1, vote 2, vote 3, vote 4, vote 5, vote 6, vote 7, vote 8
        freeze 9 => hold 9: threshold 1 0/100, reset 9
        freeze 10 : a=9 => hold 10: threshold 1 50/100
        freeze 11 => vote 11 (1 2 3 4 5 6 7 11)
        ",
    );
    check(
        "
        voters me=50 a=50
        forks 1-2-3-4-5-6-7-8-9-10-11
        adopt
        freeze 8
        freeze 9 => hold 9: threshold 1 0/100
        freeze 10 : a=9 me=8 => vote 10 (1 2 3 4 5 6 7 8 10)
        ",
    );
}

#[test]
fn a_tie_goes_to_the_smaller_slot() {
    check(
        "
        voters me=10 a=45 b=45
        forks 1-2-5-8, 1-3-4
        freeze 3 => reset 3
        freeze 2 => reset 2
        freeze 4 : a=3 => reset 4
        freeze 5 : b=2 => reset 5
        freeze 8 : me=2 => reset 8
        ",
    );
}

#[test]
fn only_the_latest_vote_has_weight() {
    check(
        "
        voters me=10 a=60 b=30
        forks 1-2-4, 1-3-9, 4-11
        freeze 4 : a=2 => reset 4
        freeze 3
        freeze 9 : b=3 => nothing
        purge 3
        forks 1-7-10
        freeze 10 : a=7 => reset 10
        ",
    );
}

#[test]
fn confirmed_by_more_than_two_thirds_for_exactly_this_block() {
    check(
        "
        voters me=1 a=1 b=1
        forks 1-2-3, 0-1'
        freeze 1
        gossip a=1 => nothing
        gossip b=1 => agreed 1
        gossip a=1 => nothing
        freeze 2 : me=1 => confirmed 1
        ",
    );
    // Votes that come before the block count when it comes.
    check(
        "
        voters me=10 a=40 b=50
        forks 1-2, 0-1'
        gossip a=1 b=1' => nothing
        gossip a=1' => ignored RivalVersion
        gossip me=1' => agreed 1'
        freeze 1 => nothing
        ",
    );
    check(
        "
        voters me=10 a=40 b=50
        forks 1-2
        gossip a=1 b=1 => agreed 1
        freeze 1 => confirmed 1
        gossip a=50001 => ignored VoteOutOfRange
        gossip a=0 => ignored VoteOutOfRange
        gossip x=1 => ignored UnknownVoter
        ",
    );
}

#[test]
fn standby_follows_the_clusters_root_and_decides_nothing() {
    check(
        "
        voters me=10 a=40 b=50
        forks 1-2-3-4-5, 1-6
        freeze 6
        freeze 4 : a=r2 b=r3 => root 2, final 2
        freeze 5 : a=r3 => root 3, final 3
        gossip b=6 => nothing
        ",
    );
    // Active, only our own tower makes a root.
    check(
        "
        voters me=10 a=40 b=50
        forks 1-2-3-4
        adopt
        freeze 4 : a=r2 b=r3 => vote 1, vote 2, vote 3, vote 4, final 2
        stand-down => root 2
        ",
    );
}

#[test]
fn the_thirty_second_vote_roots_the_first() {
    let freezes: String =
        (1..=31).map(|slot| format!("freeze {} : me={slot} => vote {}\n", slot + 1, slot + 1)).collect();
    let freezes = freezes.replace("=> vote 32", "=> vote 32, root 1").replace("freeze 3 ", "freeze 40\nfreeze 3 ");
    let case = format!("forks {}, 1-40\nadopt\nfreeze 1\n{freezes}", chain(1, 36));
    let world = play(&format!("{case}\nfreeze 33 : me=32 => vote 33, root 2\nfreeze 34 : me=33"));
    assert_eq!(world.voter.view().root, block("3"));
    assert_eq!(world.voter.view().blocks, 32, "the fork behind 1 is gone");
    assert_eq!(world.decisions.last().map(|decision| decision.tower.root), Some(Some(3)));
}

#[test]
fn a_vote_that_did_not_land_is_sent_again() {
    let world = play(&format!(
        "
        voters me=10 a=20 b=70
        forks 1-2-{}, 1-3-4
        adopt
        freeze 1
        freeze 2 : me=1 => vote 2
        freeze 4 : a=3  => hold 4: switch 20/100
        freeze 25
        time 5000 => nothing
        freeze 26 => refresh 2 (1 2)
        time 5000 => nothing
        freeze 42
        freeze 43 => refresh 2
        freeze 60
        time 4999 => nothing
        time 1    => refresh 2
        freeze 80 => nothing
        ",
        chain(10, 90)
    ));
    let [_, vote, refreshes @ ..] = world.decisions.as_slice() else { panic!("two votes and the refreshes") };
    let times: Vec<_> = refreshes.iter().map(|decision| (decision.timestamp, decision.recent_blockhash)).collect();
    let tip = |name: &str| block(name).hash;
    assert_eq!(times, [(Some(1001), tip("26")), (Some(1002), tip("43")), (Some(1003), tip("60"))]);
    assert!(refreshes.iter().all(|refresh| (refresh.hash, refresh.block_id) == (vote.hash, vote.block_id)));
    assert_eq!(world.voter.next_deadline(), Some(Tick::from_millis(20_000)), "five seconds after the last");
    let landed = play(
        "
        voters me=10 a=20 b=70
        forks 1-2-10, 1-3-4
        freeze 2 : me=1
        adopt 1 2
        freeze 4 : a=3
        freeze 10 : me=2
        time 9000 => nothing
        ",
    );
    assert_eq!(landed.voter.next_deadline(), None);
}

/// When the last vote is too old to land, and there is no proof for a switch, the tip of our own fork gets a vote.
#[test]
fn a_vote_that_cannot_land_any_more_moves_to_the_tip() {
    check(&format!(
        "
        voters me=10 a=20 b=70
        forks 1-2-{}, 1-3-4
        freeze 2 : me=1
        adopt 1 2
        freeze 4 : a=3 => hold 4: switch 20/100
        freeze 521 => nothing
        freeze 522 => vote 522 (522)
        ",
        chain(10, 530)
    ));
}

#[test]
fn one_decision_at_a_time_and_then_the_newest() {
    check(
        "
        forks 1-2-3-4-5
        adopt
        store hold
        freeze 1 => vote 1 (1)
        freeze 2 => nothing
        freeze 3 => nothing
        recorded => vote 3 (1 3)
        refused => nothing
        recorded => ignored StaleAnswer
        freeze 4 => vote 4 (4)
        stand-down => nothing
        recorded => ignored StaleAnswer
        freeze 5 => nothing
        ",
    );
}

#[test]
fn an_adopted_tower_waits_for_its_last_block() {
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4-5-6-7
        adopt 1 2 5!
        freeze 3 => nothing
        freeze 4 => nothing
        freeze 5 => nothing
        freeze 6 => vote 6 (1 5 6)
        ",
    );
}

#[test]
fn an_adopted_tower_whose_block_never_comes_waits_for_its_lockouts() {
    check(
        "
        voters me=10 a=90
        forks 1-2-4-5, 2-6-7-8
        adopt 1 2 5!
        freeze 6 => hold 6: switch 0/100
        freeze 7 : a=6 => hold 7: locked by 5 until 7
        freeze 8 => switch 8 (8)
        ",
    );
}

#[test]
fn a_restarted_node_never_votes_at_or_below_its_last_vote() {
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4-5-6
        freeze 4 : a=r3 => root 3
        adopt 1 2 3 4 => nothing
        freeze 5 => vote 5 (1 2 3 4 5)
        ",
    );
    // The root has moved past all of the tower while nobody voted.
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4-5-6-7-8-9
        freeze 8 : a=r7 => root 7
        adopt 1 2 3 => vote 8 (1 8)
        freeze 9 => vote 9 (1 8 9)
        ",
    );
}

#[test]
fn a_vote_on_a_fork_that_the_cluster_left_behind_still_locks() {
    check(
        "
        voters me=10 a=90
        forks 1-2-4-5-6-7, 2-3
        freeze 5 : a=r4 => root 4
        adopt 1 2 3! => hold 5: switch 0/100
        freeze 6 : a=5 => switch 6 (1 2 6)
        ",
    );
    check(
        "
        voters me=10 a=90
        forks 1-2-8-9-10-11, 2-3-6-7
        freeze 9 : a=r8 => root 8
        adopt 1 2 3! 6! 7!
        freeze 10 : a=9 => hold 10: locked by 6 until 10
        freeze 11 => switch 11 (1 11)
        ",
    );
}

#[test]
fn what_adopt_says_is_rooted_is_an_ancestor() {
    // Slots 3 and 4 are not in the tree, which starts at 5; the SlotHistory of block 5 knows 4, but not 3.
    let snapshot = |known: &str| {
        play(&format!(
            "
            voters me=10 a=90
            forks 5-6-7-8
            freeze 6 : a=r5 => root 5
            know {known}
            adopt 3! 4!
            freeze 7 : a=6
            "
        ))
    };
    assert_eq!(snapshot("3 4").decisions.first().map(|decision| decision.slot), Some(6));
    assert!(snapshot("").decisions.iter().all(|decision| decision.slot == 7 && decision.switch));
    assert!(snapshot("4").decisions.is_empty());
}

#[test]
fn a_tower_from_the_future_waits_for_its_root() {
    check(
        "
        voters me=10 a=90
        forks 1-2-3-4-9-12, 4-6-7-8-13
        adopt 7! root 6
        freeze 9 : a=4 => hold 9: switch 0/100
        gossip a=9 => hold 9: locked by 7 until 9
        freeze 12 => hold 12: root 6 missing
        freeze 7 => nothing
        freeze 8 => vote 8 (7 8), root 6
        ",
    );
}

#[test]
fn a_vote_of_ours_that_we_do_not_know_stops_everything() {
    check(
        "
        forks 1-2-3-4-5-6
        adopt 1
        store hold
        freeze 2 => vote 2
        freeze 3 : me=2 => nothing
        freeze 4 : me=3 => quarantine chain 3
        recorded => ignored StaleAnswer
        freeze 5 => nothing
        adopt 1 2 => quarantine chain 3
        adopt 1 2 3 => vote 5 (1 2 3 5)
        ",
    );
    check(
        "
        forks 1-2-3
        adopt
        gossip me=7 => quarantine gossip 7
        freeze 1 => nothing
        adopt 1 => quarantine gossip 7
        stand-down => nothing
        ",
    );
    check(
        "
        forks 1-2-3
        freeze 2 : me=1
        adopt => quarantine chain 1
        ",
    );
    check("adopt 3! root 3 => quarantine malformed");
}

#[test]
fn a_duplicate_is_no_candidate_until_it_is_agreed_on() {
    check(
        "
        voters me=10 a=20 b=70
        forks 1-2-4, 1-3
        freeze 4 3 => reset 4
        duplicate 2 => reset 3
        agree 2 => reset 4
        ",
    );
    // The proof can come before the block, and landed votes for descendants agree on it as well.
    check(
        "
        voters me=10 a=53 b=37
        forks 1-2-4-5, 1-3
        duplicate 2
        freeze 3
        freeze 4 => nothing
        ",
    );
    check(
        "
        voters me=10 a=53 b=37
        forks 1-2-4-5, 1-3
        duplicate 2
        freeze 4 3
        freeze 5 : a=4 => agreed 4, reset 5
        ",
    );
}

#[test]
fn a_rival_of_what_the_cluster_agreed_on_is_no_candidate() {
    check(
        "
        voters me=10 a=20 b=70
        forks 1-2-4, 1-3, 1-2'
        freeze 4 3
        gossip b=2' => agreed 2', reset 3
        purge 2 => nothing
        freeze 2' => reset 2'
        ",
    );
}

#[test]
fn our_duplicate_fork_is_built_on_once_there_is_another() {
    check(
        "
        voters me=10 a=20 b=70
        forks 1-2, 1-3
        adopt 1 2
        duplicate 2 => reset 1
        freeze 3 => hold 3: switch 0/100, reset 2
        ",
    );
}

#[test]
fn a_dumped_last_vote_is_left_with_a_proof() {
    check(
        "
        voters me=10 a=90
        forks 1-2-4, 1-2'-3-5-6
        adopt 1 2
        purge 2 => nothing
        freeze 3 => hold 3: switch 0/100
        freeze 5 : a=2' => switch 5 (1 5)
        ",
    );
}

#[test]
fn we_wait_until_our_own_block_is_seen() {
    let mut world = play(
        "
        voters me=10 a=30 b=60
        forks 1-2-3
        lead 1
        adopt
        freeze 1 => vote 1
        freeze 2 => hold 2: own 1 unseen
        ",
    );
    assert!(world.voter.may_lead(4, &block("2")), "within the same leader window");
    assert!(!world.voter.may_lead(5, &block("2")));
    check(
        "
        voters me=10 a=30 b=60
        forks 1-2-3
        lead 1
        adopt
        freeze 2 => vote 1, hold 2: own 1 unseen
        gossip a=1 => nothing
        time 100   => vote 2 (1 2)
        ",
    );
}

#[test]
fn that_our_block_has_spread_is_told_to_whom_waits_to_lead() {
    check(
        "
        voters me=10 a=30 b=60
        forks 1-6
        lead 1
        adopt
        freeze 1 => vote 1, reset 1
        freeze 6 => hold 6: own 1 unseen, reset 6
        gossip a=1 => nothing
        time 100   => vote 6 (6), reset 6
        ",
    );
}

#[test]
fn timestamps_do_not_go_back() {
    let world = play(
        "
        forks 1-2-3-4
        clock 50
        adopt
        freeze 1
        clock 40
        freeze 2
        clock 60
        freeze 3 4
        ",
    );
    let times: Vec<_> = world.decisions.iter().map(|decision| decision.timestamp).collect();
    assert_eq!(times, [Some(50), None, Some(60), Some(60)]);
}

#[test]
fn orphans_and_nonsense_are_ignored() {
    let world = play(
        "
        forks 1-2-3
        freeze 3
        purge 2
        purge 0
        refused => ignored StaleAnswer
        stand-down => nothing
        ",
    );
    assert_eq!(world.voter.view().role, RoleView::Standby);
    assert_eq!(world.voter.view().blocks, 2);
}
