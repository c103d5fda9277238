//! Section 5 of the failover design, line by line.

use {
    super::case_text::{check, run},
    proptest::prelude::*,
};

#[test]
fn a_primary_catches_up_claims_and_becomes_active() {
    check(
        "node primary
         # Hole 5 of the old design: nothing is claimed before the node has caught up.
         chain tip=10 behind=500
         chain tip=90 behind=3 stuck
         chain tip=100 behind=3      => read
         store owner=none            => claim over term=0 rev=0
         claimed term=1 w=none       => STANDBY->ACQUIRED; adopt Fresh
         adopted                     => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity           => CAUGHT_UP->ACTIVE; unlock 1 w=none",
    );
}

#[test]
fn the_first_validator_of_a_cluster_need_not_wait_for_a_root() {
    check(
        "node primary
         chain tip=0 needs-us        => read
         store owner=none            => claim over term=0 rev=0",
    );
}

#[test]
fn a_restarted_primary_reclaims_by_a_planned_hand_over() {
    check(
        "node primary
         chain tip=100                                        => read
         store owner=beta:secondary term=4 rev=70 tower=99    => intent beta term=4 rev=70 2000ms
         intent-written
         owner-changed owner=beta:secondary:released term=4   => read
         store owner=beta:secondary:released term=4 rev=75 tower=100 => claim over term=4 rev=75
         claimed term=5 tower=100 w=88                        => STANDBY->ACQUIRED; adopt Store
         adopted vote=100 replayed                            => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                                    => CAUGHT_UP->ACTIVE; unlock 5 w=88",
    );
}

#[test]
fn a_sticky_primary_stays_standby() {
    check(
        "node primary sticky
         chain tip=100                                        => read
         store owner=beta:secondary term=4 rev=70 tower=99    => STANDBY->STANDBY
         chain tip=101
         # … but it keeps an eye on the store,
         at 5000                                              => read
         store owner=beta:secondary:released term=4 rev=75 tower=101
         # and an operator can still have it.
         set-identity                                         => read
         store owner=beta:secondary:released term=4 rev=75 tower=101 => claim over term=4 rev=75",
    );
}

#[test]
fn a_sticky_primary_does_take_an_identity_that_nobody_has() {
    check(
        "node primary sticky
         chain tip=100                                             => read
         store owner=beta:secondary:released term=4 rev=75 tower=99 => claim over term=4 rev=75",
    );
}

#[test]
fn two_primaries_do_not_play_ping_pong() {
    check(
        "node primary
         chain tip=100                           => read
         store owner=gamma term=4 rev=70 tower=99 => STANDBY->STANDBY
         chain tip=101
         chain tip=200",
    );
}

#[test]
fn two_primaries_started_at_once_one_wins() {
    check(
        "node primary
         chain tip=100                        => read
         store owner=none                     => claim over term=0 rev=0
         claim-refused owner=gamma term=1 rev=5 => STANDBY->STANDBY
         chain tip=101
         at 5000                              => read
         store owner=gamma term=1 rev=5
         chain tip=102                        => read
         store owner=gamma term=1 rev=5       => STANDBY->STANDBY",
    );
}

#[test]
fn a_crashed_primary_comes_back_over_its_own_dead_run() {
    check(
        "node primary
         chain tip=100                           => read
         store owner=alpha term=4 rev=70 tower=99 => intent alpha term=4 rev=70 2000ms
         intent-written
         at 100                                  => read
         store owner=alpha term=4 rev=70 tower=99
         at 2000                                 => claim over term=4 rev=70",
    );
}

#[test]
fn a_crashed_primary_that_knows_its_own_dead_run_does_not_wait_for_it() {
    check(
        "node primary recorded-runs
         chain tip=100                            => read
         store owner=alpha term=4 rev=70 tower=99 => claim over term=4 rev=70
         # The claim is fenced all the same: whoever was faster keeps the identity.
         claim-refused owner=beta:secondary term=5 rev=75 tower=100 => STANDBY->STANDBY",
    );
    check(
        "node primary recorded-runs
         chain tip=100 behind=50
         set-identity                             => refuse 1 NotCaughtUp
         chain tip=150                            => read
         set-identity
         store owner=alpha term=4 rev=70 tower=99 => claim over term=4 rev=70",
    );
}

#[test]
fn a_run_recorded_in_a_ledger_that_came_from_another_machine_is_asked_to_let_go() {
    check(
        "node primary recorded-runs
         chain tip=100                                      => read
         store owner=beta:secondary term=4 rev=70 tower=99  => intent beta term=4 rev=70 2000ms",
    );
}

#[test]
fn the_report_counts_what_was_missed_whoever_asked() {
    check(
        "node primary
         report                                   => none
         chain tip=100                            => read
         store owner=alpha term=4 rev=70 tower=99 => intent alpha term=4 rev=70 2000ms
         intent-written
         chain tip=104
         at 2000                                  => claim over term=4 rev=70
         claimed term=5 tower=99                  => STANDBY->ACQUIRED; adopt Store
         adopted vote=99 replayed                 => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                        => CAUGHT_UP->ACTIVE; unlock 5 w=none
         # 100 to 103; 104 can still be voted for.
         report                                   => ACTIVE term=5 vote=99 missed=4 in 2000ms",
    );
}

#[test]
fn with_the_file_store_a_dead_run_need_not_be_asked() {
    check(
        "node primary file-store
         chain tip=100                           => read
         store owner=alpha term=4 rev=70 tower=99 => claim over term=4 rev=70",
    );
}

#[test]
fn the_secondary_never_claims_by_itself() {
    check(
        "node secondary
         chain tip=100
         chain tip=200
         at 5000                                 => read
         at 60000                                => read",
    );
}

const SECONDARY_UP: &str = "node secondary
    chain tip=100
    ";

/// The secondary, active at term 2 after a forced takeover.
const SECONDARY_ACTIVE: &str = "
    set-identity                              => read
    store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
    intent-written
    at 2000                                   => claim over term=1 rev=5
    claimed term=2 tower=99 w=96              => STANDBY->ACQUIRED; adopt Store
    adopted vote=99 replayed                  => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
    speaking identity                         => CAUGHT_UP->ACTIVE; unlock 2 w=96; reply 1 ACTIVE term=2 vote=99 missed=0 in 2000ms
    ";

fn secondary(rest: &str) {
    check(&format!("{SECONDARY_UP}{rest}"));
}

fn active_secondary(flags: &str, rest: &str) {
    check(&format!("node secondary {flags}\nchain tip=100\n{SECONDARY_ACTIVE}{rest}"));
}

/// The primary, active at term 1, in its own leader slots now and then.
fn active_primary(flags: &str, rest: &str) {
    check(&format!(
        "node primary {flags}
         chain tip=100               => read
         store owner=none            => claim over term=0 rev=0
         claimed term=1 w=none       => STANDBY->ACQUIRED; adopt Fresh
         adopted                     => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity           => CAUGHT_UP->ACTIVE; unlock 1 w=none
         {rest}"
    ));
}

#[test]
fn set_identity_planned_with_the_owner_alive() {
    secondary(
        "set-identity                                        => read
         at 2
         store owner=alpha term=1 rev=5 tower=98             => intent alpha term=1 rev=5 2000ms
         intent-written
         at 12
         owner-changed owner=alpha:released term=1           => read
         store owner=alpha:released term=1 rev=9 tower=99    => claim over term=1 rev=9
         at 15
         claimed term=2 tower=99 w=96                        => STANDBY->ACQUIRED; adopt Store
         adopted vote=99 replayed                            => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         at 20
         # Hole 9: the command returns after the voter has switched, not before.
         speaking identity                                   => CAUGHT_UP->ACTIVE; unlock 2 w=96; reply 1 ACTIVE term=2 vote=99 missed=0 in 20ms",
    );
}

#[test]
fn set_identity_forced_with_the_owner_in_an_unknown_state() {
    active_secondary("", "recorded slot=101");
}

#[test]
fn a_standby_behind_the_owner_catches_up_before_it_asks() {
    secondary(
        "set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=103
         chain tip=102
         owner-changed owner=alpha term=1
         chain tip=103                                       => intent alpha term=1 rev=5 2000ms",
    );
    // It may be that the block never comes here. What the owner is asked for is not urgent, but not optional either.
    secondary(
        "set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=103
         at 499
         at 500                                              => intent alpha term=1 rev=5 2000ms",
    );
    secondary(
        "set-identity => read\n store owner=alpha term=1 rev=5 tower=103\n shutdown => refuse 1 Stopping; exit 0",
    );
}

#[test]
fn without_any_patience_the_owner_is_not_asked() {
    check(
        "node secondary unasked
         chain tip=100
         set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=98             => claim over term=1 rev=5
         claim-refused owner=gamma term=2 rev=9 tower=98     => refuse 1 TakenMeanwhile",
    );
}

#[test]
fn an_owner_that_lets_go_before_we_know_that_our_wish_is_written() {
    secondary(
        "set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=98             => intent alpha term=1 rev=5 2000ms
         owner-changed owner=alpha:released term=1
         intent-written                                      => read
         store owner=alpha:released term=1 rev=9 tower=99    => claim over term=1 rev=9",
    );
}

#[test]
fn a_release_that_the_watch_missed_is_seen_by_looking() {
    secondary(
        "set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=98             => intent alpha term=1 rev=5 2000ms
         intent-written
         at 100                                              => read
         store owner=alpha term=1 rev=5 tower=98
         at 200                                              => read
         unavailable
         at 300                                              => read
         store owner=alpha:released term=1 rev=9 tower=99    => claim over term=1 rev=9",
    );
}

#[test]
fn an_owner_that_lets_go_between_look_and_claim_is_claimed_over_again() {
    secondary(
        "set-identity                                        => read
         store owner=alpha term=1 rev=5 tower=98             => intent alpha term=1 rev=5 2000ms
         intent-written
         at 2000                                             => claim over term=1 rev=5
         claim-refused owner=alpha:released term=1 rev=9 tower=99 => claim over term=1 rev=9
         claimed term=2 tower=99                             => STANDBY->ACQUIRED; adopt Store",
    );
}

#[test]
fn set_identity_is_refused_and_the_node_is_unchanged() {
    check("node secondary\n chain tip=100 behind=50\n set-identity => refuse 1 NotCaughtUp");
    check("node secondary\n chain tip=100 stuck\n set-identity => refuse 1 NotCaughtUp");
    // "Not known" is no number to a reader.
    check("node secondary\n chain tip=100 behind=18446744073709551615\n set-identity => refuse 1 NotCaughtUp");
    secondary("set-identity junk => refuse 1 WrongVoteAccount");
    secondary("set-identity no-vote-account => refuse 1 WrongVoteAccount");
    secondary("set-identity no-voter => refuse 1 NoAuthorizedVoter");
    // Hole 3: --require-tower refuses before anything is claimed.
    secondary(
        "set-identity require-tower => read\n store owner=alpha term=1 rev=5 tower=none => refuse 1 TowerMissing",
    );
    // The tower is ahead of what we replayed.
    secondary("set-identity => read\n store owner=alpha term=1 rev=5 tower=150 => refuse 1 NotCaughtUp");
    secondary("set-identity => read\n unavailable => refuse 1 StoreUnavailable");
    secondary(
        "set-identity => read\n store owner=none => claim over term=0 rev=0\n claim-unavailable => refuse 1 StoreUnavailable",
    );
    secondary("set-identity => read\n store-quarantined => refuse 1 Quarantined");
    // Each time it can be asked again, from the start.
    secondary(
        "set-identity junk          => refuse 1 WrongVoteAccount
         set-identity               => read
         unavailable                => refuse 2 StoreUnavailable
         set-identity               => read
         store owner=none           => claim over term=0 rev=0",
    );
}

#[test]
fn an_answer_that_was_overtaken_ends_nothing() {
    secondary(
        "set-identity                              => read
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
         intent-written
         at 1950                                   => read
         at 2000                                   => claim over term=1 rev=5
         unavailable
         claimed term=2 tower=99                   => STANDBY->ACQUIRED; adopt Store",
    );
    secondary(
        "set-identity                              => read
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
         intent-unavailable                        => refuse 1 StoreUnavailable",
    );
    // A claim that succeeds after the pursuit was given up is given back.
    secondary(
        "set-identity                              => read
         store owner=none                          => claim over term=0 rev=0
         store-quarantined                         => refuse 1 Quarantined
         claimed term=1                            => release 1",
    );
}

#[test]
fn another_claimant_meanwhile() {
    secondary(
        "set-identity                              => read
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
         intent-written
         owner-changed owner=gamma term=2          => read
         store owner=gamma term=2 rev=8 tower=99   => refuse 1 TakenMeanwhile",
    );
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claim-refused owner=gamma term=2 rev=8 tower=99  => refuse 1 TakenMeanwhile",
    );
}

#[test]
fn set_identity_asked_again_joins_the_takeover_under_way() {
    secondary("set-identity => read\n set-identity\n store owner=none => claim over term=0 rev=0");
    // Whatever becomes of it.
    secondary(
        "set-identity                                     => read
         set-identity
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         set-identity
         claim-refused owner=gamma term=2 rev=8 tower=99  => refuse 1 TakenMeanwhile; refuse 2 TakenMeanwhile; refuse 3 TakenMeanwhile
         set-identity                                     => read",
    );
    // Another identity is another wish, and so is a tower that was not insisted on.
    secondary("set-identity => read\n set-identity junk => refuse 2 WrongVoteAccount");
    secondary(
        "set-identity => read\n store owner=none => claim over term=0 rev=0\n set-identity require-tower => refuse 2 Busy",
    );
    secondary("set-identity require-tower => read\n set-identity\n set-identity require-tower");
    // A primary on its way adopts the operator's request.
    check(
        "node primary
         chain tip=100                   => read
         set-identity
         store owner=none                => claim over term=0 rev=0
         claimed term=1                  => STANDBY->ACQUIRED; adopt Fresh
         set-identity
         adopted                         => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity               => CAUGHT_UP->ACTIVE; unlock 1 w=none; reply 1 ACTIVE term=1 vote=none missed=0 in 0ms; reply 2 ACTIVE term=1 vote=none missed=0 in 0ms
         set-identity                    => reply 3 ACTIVE term=1 vote=none missed=0 in 0ms",
    );
}

#[test]
fn a_primary_with_require_tower_and_no_tower_ends_without_claiming() {
    check("node primary require-tower\n chain tip=100 => read\n store owner=none tower=none => exit 9");
    check("node primary require-tower\n chain tip=100 => read\n store owner=none tower=99 => claim over term=0 rev=0");
}

// I6: nothing older than what we know.

#[test]
fn a_tower_behind_the_chain_or_gossip_is_quarantined_before_the_claim() {
    check(
        "node secondary\n chain tip=100 vote=99\n set-identity => read\n store owner=alpha term=1 rev=5 tower=90 => refuse 1 Quarantined",
    );
    check(
        "node secondary\n chain tip=100 gossip=99\n set-identity => read\n store owner=alpha term=1 rev=5 tower=90 => refuse 1 Quarantined",
    );
    check(
        "node secondary\n chain tip=100 vote=99\n set-identity => read\n store owner=alpha term=1 rev=5 tower=empty => refuse 1 Quarantined",
    );
    // What a primary finds at its start is not asked for again and again.
    check(
        "node primary\n chain tip=100 vote=99 => read\n store owner=none tower=90 => STANDBY->STANDBY\n chain tip=101 vote=99",
    );
}

#[test]
fn votes_that_land_while_the_store_is_being_read_are_no_contradiction() {
    secondary(
        "set-identity                              => read
         chain tip=101 vote=99
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms",
    );
}

#[test]
fn a_store_that_once_had_a_newer_tower_is_quarantined() {
    secondary(
        "set-identity                              => read
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
         intent-written
         at 100                                    => read
         # Hole 8: a restored etcd rolled the tower back unnoticed.
         store owner=alpha term=1 rev=5 tower=97   => refuse 1 Quarantined
         set-identity                              => read
         store owner=alpha term=1 rev=5 tower=none => refuse 2 Quarantined",
    );
}

#[test]
fn a_quarantine_after_the_claim_gives_the_identity_back() {
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=97                   => STANDBY->ACQUIRED; ACQUIRED->LOCKED; lock; release 2
         released                                  => LOCKED->STANDBY; refuse 1 Quarantined",
    );
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                   => STANDBY->ACQUIRED; adopt Store
         tower-bad                                 => ACQUIRED->LOCKED; lock; release 2
         release-failed                            => LOCKED->STANDBY; refuse 1 Quarantined",
    );
    // Somebody votes past the store.
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                   => STANDBY->ACQUIRED; adopt Store
         adopted vote=98                           => ACQUIRED->RECOVERED
         chain tip=101 vote=100                    => RECOVERED->LOCKED; lock; release 2
         released                                  => LOCKED->STANDBY; refuse 1 Quarantined",
    );
}

#[test]
fn the_last_vote_is_replayed_first_or_outwaited() {
    let until_recovered = "set-identity                => read
         store owner=alpha:released term=1 rev=5 tower=103 => claim over term=1 rev=5
         claimed term=2 tower=103                  => STANDBY->ACQUIRED; adopt Store
         adopted vote=103 free=140                 => ACQUIRED->RECOVERED
         chain tip=102\n";
    secondary(&format!(
        "{until_recovered}
         chain tip=103 replayed                    => RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                         => CAUGHT_UP->ACTIVE; unlock 2 w=none; reply 1 ACTIVE term=2 vote=103 missed=0 in 0ms"
    ));
    // Its block never comes: after the deadline, and only when the lockouts have passed.
    secondary(&format!(
        "{until_recovered}
         chain tip=150
         at 9999
         chain tip=139
         at 10000
         chain tip=140                             => RECOVERED->CAUGHT_UP; speak-as identity"
    ));
}

#[test]
fn without_a_tower_the_chains_is_taken_and_held_back() {
    check(
        "node primary adopts
         chain tip=100 vote=90       => read
         store owner=none            => claim over term=0 rev=0
         claimed term=1              => STANDBY->ACQUIRED; adopt Chain
         adopted vote=90 replayed    => ACQUIRED->RECOVERED
         # A vote that was out when we looked has landed: look again.
         chain tip=120 vote=91       => RECOVERED->ACQUIRED; adopt Chain
         adopted vote=91 replayed    => ACQUIRED->RECOVERED
         chain tip=611 vote=91
         chain tip=612 vote=91       => RECOVERED->CAUGHT_UP; speak-as identity",
    );
}

// Claims without an answer.

#[test]
fn an_unanswered_claim_is_gone_on_with_if_it_turns_out_to_be_ours() {
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claim-unresolved                          => refuse 1 Unresolved
         at 100                                    => read
         store owner=me term=2 rev=8 tower=98      => read
         # It is claimed anew, so that the tower is read under a compare.
         store owner=me term=2 rev=8 tower=98      => claim over term=2 rev=8
         claimed term=3 tower=98                   => STANDBY->ACQUIRED; adopt Store",
    );
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claim-unresolved                          => refuse 1 Unresolved
         at 100                                    => read
         store owner=gamma term=2 rev=8 tower=98",
    );
}

// Leaving.

#[test]
fn the_owner_asked_politely_finishes_its_slot_settles_its_votes_locks_and_releases() {
    active_primary(
        "",
        "intent mine term=1
         intent term=9
         intent term=1                => ACTIVE->HALT_LEAD; halt-lead
         at 300
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         recorded slot=101
         votes-settled                => HALT_VOTE->LOCKED; lock; release 1
         released                     => exit 7
         # After its exit it hears nothing more, but does not leave an operator hanging.
         recorded slot=102
         set-identity                 => refuse 1 Stopping",
    );
}

#[test]
fn a_slot_that_would_not_end_in_time_is_abandoned() {
    active_primary(
        "",
        "intent term=1 deadline=2000  => ACTIVE->HALT_LEAD; halt-lead
         at 500                       => abandon-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         at 1000                      => HALT_VOTE->LOCKED; lock; release 1
         released                     => exit 7",
    );
    // A producer that does not answer at all is stopped by the lock.
    active_primary(
        "",
        "intent term=1 deadline=2000  => ACTIVE->HALT_LEAD; halt-lead
         at 500                       => abandon-lead
         at 1000                      => HALT_LEAD->HALT_VOTE; halt-vote
         at 1500                      => HALT_VOTE->LOCKED; lock; release 1",
    );
}

#[test]
fn the_old_owner_sees_the_change_by_its_watch() {
    active_primary(
        "",
        "owner-changed owner=beta:secondary term=2 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7",
    );
    // A rumour of an older term is no reason.
    active_primary("", "owner-changed owner=beta:secondary term=1");
    // Missed events: look.
    active_primary("", "owner-changed => read\n store owner=me term=1 rev=5 tower=99");
    active_primary(
        "",
        "owner-changed => read\n store owner=beta term=2 rev=9 tower=99 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7",
    );
    // What was read before our claim says nothing about now.
    active_primary("", "stale-store owner=none");
    // A wish that the watch missed is found by the same look.
    active_primary(
        "",
        "owner-changed => read\n store owner=me term=1 rev=5 tower=99 intent=1 => ACTIVE->HALT_LEAD; halt-lead",
    );
    active_primary("", "owner-changed => read\n store owner=me term=1 rev=5 tower=99 intent=9");
}

#[test]
fn the_old_owner_sees_the_change_by_a_refused_transaction() {
    active_primary("", "fenced => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7");
}

#[test]
fn on_identity_loss_standby_it_stays_as_a_hot_standby_and_does_not_claim_back() {
    active_primary(
        "loss-standby",
        "fenced                       => lock; abandon-lead; halt-vote; ACTIVE->LOCKED
         # An identity change never tears a block.
         votes-settled
         leader-slot-done             => speak-as standby
         speaking identity
         speaking standby             => LOCKED->STANDBY
         chain tip=200
         at 5000                      => read
         store owner=beta:secondary term=2 rev=9 tower=199
         chain tip=201
         # Promotion again, in the same process.
         set-identity                 => read
         store owner=beta:secondary:released term=2 rev=11 tower=201 => claim over term=2 rev=11
         claimed term=3 tower=201     => STANDBY->ACQUIRED; adopt Store
         adopted vote=201 replayed    => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity            => CAUGHT_UP->ACTIVE; unlock 3 w=none; reply 1 ACTIVE term=3 vote=201 missed=0 in 0ms
         intent term=3                => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         votes-settled                => HALT_VOTE->LOCKED; lock; release 3
         released                     => speak-as standby
         speaking standby             => LOCKED->STANDBY
         chain tip=300",
    );
}

#[test]
fn fenced_while_leaving() {
    active_primary(
        "",
        "intent term=1                => ACTIVE->HALT_LEAD; halt-lead
         fenced                       => lock; abandon-lead; halt-vote; HALT_LEAD->LOCKED; exit 7",
    );
    active_primary(
        "loss-standby",
        "intent term=1                => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         owner-changed owner=beta term=2 => lock; halt-vote; HALT_VOTE->LOCKED
         votes-settled                => speak-as standby",
    );
}

#[test]
fn fenced_before_it_was_active_it_only_refuses() {
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                   => STANDBY->ACQUIRED; adopt Store
         owner-changed owner=gamma term=3          => refuse 1 TakenMeanwhile; lock; ACQUIRED->LOCKED; LOCKED->STANDBY",
    );
    // In the middle of the change of name: it changes back first.
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                   => STANDBY->ACQUIRED; adopt Store
         adopted vote=98 replayed                  => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         fenced                                    => refuse 1 TakenMeanwhile; lock; CAUGHT_UP->LOCKED; speak-as standby
         speaking identity
         speaking standby                          => LOCKED->STANDBY",
    );
}

#[test]
fn store_loss_ends_the_process_or_the_role() {
    active_primary("", "record-timeout => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 8");
    active_primary(
        "store-loss-standby",
        "record-timeout               => lock; abandon-lead; halt-vote; ACTIVE->LOCKED
         leader-slot-done
         votes-settled                => speak-as standby
         speaking standby             => LOCKED->STANDBY
         at 5000                      => read
         unavailable
         # The watch is in place again, so the store is back. It still names us: nobody else has had the identity, and
         # without us nobody would vote.
         owner-changed                => read
         store owner=me term=1 rev=5 tower=101 => read
         store owner=me term=1 rev=5 tower=101 => claim over term=1 rev=5
         claimed term=2 tower=101     => STANDBY->ACQUIRED; adopt Store
         adopted vote=101 replayed    => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity            => CAUGHT_UP->ACTIVE; unlock 2 w=none",
    );
    let lost = "record-timeout               => lock; abandon-lead; halt-vote; ACTIVE->LOCKED
         leader-slot-done
         votes-settled                => speak-as standby
         speaking standby             => LOCKED->STANDBY";
    for (case, how) in [
        // Not before it could vote: a claim that is not used keeps the other machine waiting.
        ("far behind", "chain tip=101 behind=99\n at 5000 => read\n store owner=me term=1 rev=5 tower=101"),
        // Another machine took it, or was given it: an operator decides, and that stays so.
        (
            "taken",
            "at 5000 => read\n store owner=beta:secondary term=2 rev=9 tower=101
             at 10000 => read\n store owner=me term=3 rev=11 tower=101",
        ),
        ("given back", "at 5000 => read\n store owner=me:released term=1 rev=9 tower=101"),
        (
            "taken while we looked again",
            "at 5000 => read\n store owner=me term=1 rev=5 tower=101 => read
             store owner=beta:secondary term=2 rev=9 tower=101 => STANDBY->STANDBY
             at 10000 => read\n store owner=beta:secondary term=2 rev=9 tower=101",
        ),
        (
            "an operator is faster",
            "set-identity => read
             store owner=me term=1 rev=5 tower=101 => claim over term=1 rev=5
             claimed term=2 tower=101 => STANDBY->ACQUIRED; adopt Store",
        ),
    ] {
        println!("{case}");
        active_primary("store-loss-standby", &format!("{lost}\n{how}"));
    }
    // On the way out at an operator's word, the loss of the store is no reason to come back.
    active_primary(
        "store-loss-standby",
        "set-identity junk            => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         record-timeout               => lock; halt-vote; HALT_VOTE->LOCKED
         votes-settled                => speak-as junk
         speaking junk                => LOCKED->STANDBY; reply 1 STANDBY term=1 vote=none missed=0 in 0ms
         at 5000                      => read
         store owner=me term=1 rev=5 tower=101",
    );
    active_primary("", "store-quarantined => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 5");
    // A failed look is no loss: the vote path decides.
    active_primary("", "seen-elsewhere => read\n unavailable\n recorded slot=101");
}

#[test]
fn stepping_down_with_another_key_does_not_kill_the_process() {
    // Hole 4 of the old design.
    active_primary(
        "",
        "set-identity junk            => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         recorded slot=101
         votes-settled                => HALT_VOTE->LOCKED; lock; release 1
         released                     => speak-as junk
         speaking junk                => LOCKED->STANDBY; reply 1 STANDBY term=1 vote=101 missed=0 in 0ms
         # Asked again, nothing happens twice.
         set-identity junk            => reply 2 STANDBY term=1 vote=101 missed=0 in 0ms
         chain tip=200",
    );
    active_primary("", "set-identity own-standby => ACTIVE->HALT_LEAD; halt-lead");
    secondary("set-identity own-standby => reply 1 STANDBY term=0 vote=none missed=0 in 0ms");
}

#[test]
fn shutdown_releases_so_that_nobody_has_to_wait() {
    active_primary(
        "",
        "shutdown                     => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         votes-settled                => HALT_VOTE->LOCKED; lock; release 1
         release-failed               => exit 0",
    );
    check("node secondary\n shutdown => exit 0");
    secondary("set-identity => read\n shutdown => refuse 1 Stopping; exit 0");
    secondary(
        "set-identity                              => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                   => STANDBY->ACQUIRED; adopt Store
         shutdown                                  => ACQUIRED->LOCKED; lock; release 2; refuse 1 Stopping
         released                                  => exit 0",
    );
}

/// Found by the simulator: the primary was claiming by itself when the operator insisted on a tower.
#[test]
fn it_is_too_late_to_insist_on_a_tower_when_the_store_was_looked_at() {
    check(
        "node primary
         chain tip=100              => read
         store owner=none           => claim over term=0 rev=0
         set-identity require-tower => refuse 1 Busy
         claimed term=1 w=none      => STANDBY->ACQUIRED; adopt Fresh",
    );
    check(
        "node primary
         chain tip=100              => read
         set-identity require-tower
         store owner=none tower=none => refuse 1 TowerMissing",
    );
}

/// Found by the simulator: the voter had stopped for good, and the node stayed active.
#[test]
fn an_owner_whose_voter_doubts_its_tower_asks_the_store_and_stops() {
    active_primary(
        "",
        "tower-bad => read\n store owner=me term=1 rev=5 tower=99 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 5",
    );
    active_primary(
        "",
        "tower-bad                    => read
         store owner=beta term=2 rev=9 tower=99 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7",
    );
    active_primary("", "tower-bad => read\n unavailable => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 8");
}

#[test]
fn gossip_is_a_hint() {
    // Hole 11: nobody is killed by a clock.
    active_primary("", "seen-elsewhere => read\n store owner=me term=1 rev=5 tower=99 => reannounce");
    active_primary(
        "",
        "seen-elsewhere               => read
         store owner=beta term=2 rev=9 tower=99 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7",
    );
}

#[test]
fn an_active_secondary_gives_way_to_the_returning_primary_and_exits() {
    active_secondary(
        "",
        "intent term=2                => ACTIVE->HALT_LEAD; halt-lead
         leader-slot-done             => HALT_LEAD->HALT_VOTE; halt-vote
         votes-settled                => HALT_VOTE->LOCKED; lock; release 2
         released                     => exit 7",
    );
}

// Automatic failover.

#[test]
fn a_silent_owner_is_claimed_over_without_being_asked() {
    check(
        "node secondary knows
         chain tip=100
         promote term=1                            => read
         store owner=alpha term=1 rev=5 tower=98   => claim over term=1 rev=5
         claimed term=2 tower=99 w=96              => STANDBY->ACQUIRED; adopt Store
         adopted vote=99 replayed                  => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                         => CAUGHT_UP->ACTIVE; unlock 2 w=96
         promote term=1",
    );
}

#[test]
fn automatic_failover_refuses_what_set_identity_refuses_and_never_ends_the_process() {
    check("node secondary knows\n chain tip=100 behind=99\n promote term=1 => STANDBY->STANDBY");
    check("node secondary knows\n chain tip=100\n promote term=1 no-voter => STANDBY->STANDBY");
    check("node secondary\n chain tip=100 no-vote-account\n promote term=1");
    check(
        "node secondary knows require-tower\n chain tip=100\n promote term=1 => read\n store owner=alpha term=1 rev=5 tower=none => STANDBY->STANDBY",
    );
    // It is another owner by now than the silent one.
    check(
        "node secondary knows\n chain tip=100\n promote term=1 => read\n store owner=gamma term=2 rev=5 tower=98 => STANDBY->STANDBY",
    );
    check(
        "node secondary knows\n chain tip=100 vote=99\n promote term=1 => read\n store owner=alpha term=1 rev=5 tower=98 => STANDBY->STANDBY",
    );
}

#[test]
fn a_failed_automatic_failover_can_be_tried_again() {
    check(
        "node secondary knows
         chain tip=100
         promote term=1                            => read
         unavailable                               => STANDBY->STANDBY
         promote term=1                            => read
         store owner=alpha term=1 rev=5 tower=98   => claim over term=1 rev=5
         claim-unavailable                         => STANDBY->STANDBY
         promote term=1                            => read
         # The owner woke up meanwhile and gave the identity back, say to a person's handover.
         store owner=alpha:released term=1 rev=6 tower=99 => claim over term=1 rev=6
         claim-refused owner=gamma term=2 rev=7    => STANDBY->STANDBY",
    );
}

#[test]
fn a_sticky_primary_may_promote_itself_too() {
    check(
        "node primary sticky
         chain tip=100                                        => read
         store owner=beta:secondary term=4 rev=70 tower=99    => STANDBY->STANDBY
         promote term=4                                       => read
         store owner=beta:secondary term=4 rev=70 tower=99    => claim over term=4 rev=70",
    );
}

#[test]
fn a_promotion_while_something_else_is_under_way_is_nothing() {
    check(
        "node secondary knows
         chain tip=100
         set-identity                              => read
         promote term=1
         store owner=alpha term=1 rev=5 tower=98   => intent alpha term=1 rev=5 2000ms
         promote term=1",
    );
}

// Plans: what would be done, and what would refuse it.

#[test]
fn a_plan_says_what_set_identity_would() {
    check(
        "node secondary knows
         chain tip=100
         plan owner=alpha term=1 rev=5 tower=98            => 4 steps
         plan owner=alpha:released term=1 rev=5 tower=98   => 4 steps
         plan owner=none                                   => 4 steps
         plan owner=alpha term=1 rev=5 tower=98 no-voter   => 4 steps, refused NoAuthorizedVoter
         plan owner=alpha term=1 rev=5 tower=200           => 4 steps, refused NotCaughtUp
         chain tip=100 vote=99
         plan owner=alpha term=1 rev=5 tower=98            => 4 steps, refused Quarantined
         chain tip=100 behind=99 vote=99
         plan owner=alpha term=1 rev=5 tower=98 no-vote-account => 4 steps, refused WrongVoteAccount, refused Quarantined
         chain tip=101
         set-identity                                      => read
         plan owner=alpha term=1 rev=5 tower=99            => 4 steps, refused Busy",
    );
}

#[test]
fn the_safe_slot_is_past_the_lockouts_of_the_newest_vote_known_from_anywhere() {
    check(
        "node secondary knows
         chain tip=100
         recover                                           => seen none, chain none, gossip none, safe from none
         set-identity                                      => read
         store owner=alpha term=1 rev=5 tower=98           => intent alpha term=1 rev=5 2000ms
         recover                                           => seen 98, chain none, gossip none, safe from 610
         chain tip=110 vote=105 gossip=108
         recover                                           => seen 98, chain 105, gossip 108, safe from 620
         # It is accepted when the chain has passed it, and not a slot earlier.
         recover accept=620                                => not accepted
         chain tip=620 vote=105 gossip=108
         recover accept=619                                => not accepted
         recover accept=620                                => accepted
         recover accept=621                                => not accepted
         # Nothing of it on chain: no tower could be made.
         chain tip=900
         recover accept=700                                => not accepted",
    );
}

// Whatever comes, in whatever order: see `Oracle` in `case_text.rs`.

const LINES: &[&str] = &[
    "after 1",
    "after 100",
    "after 2000",
    "after 10000",
    "chain tip=100",
    "chain tip=101 replayed",
    "chain tip=200 vote=99",
    "chain tip=100 behind=50",
    "chain tip=300 gossip=250",
    "chain tip=700 gossip=690",
    "vote-elsewhere slot=102",
    "vote-elsewhere slot=700 voter-stopped",
    "seen-elsewhere alive",
    "store owner=none",
    "store owner=alpha term=1 rev=5 tower=98",
    "store owner=alpha:released term=1 rev=6 tower=99",
    "store owner=beta:secondary term=2 rev=7 tower=99",
    "store owner=me term=2 rev=8 tower=99",
    "store owner=gamma term=5 rev=9 tower=100",
    "stale-store owner=none",
    "unavailable",
    "intent-unavailable",
    "claim-unavailable",
    "store-quarantined",
    "owner-changed",
    "owner-changed owner=alpha:released term=1",
    "owner-changed owner=gamma term=9",
    "intent term=1",
    "intent term=2 deadline=100",
    "intent-written",
    "set-identity",
    "set-identity require-tower",
    "set-identity junk",
    "set-identity own-standby",
    "promote term=1",
    "claimed term=1",
    "claimed term=2 tower=99 w=90",
    "claim-refused owner=alpha:released term=1 rev=6 tower=99",
    "claim-refused owner=gamma term=5 rev=9 tower=100",
    "claim-unresolved",
    "adopted vote=99 replayed",
    "adopted vote=99 free=150",
    "adopted",
    "tower-bad",
    "speaking identity",
    "speaking standby",
    "speaking junk",
    "recorded slot=101",
    "fenced",
    "record-timeout",
    "leader-slot-done",
    "votes-settled",
    "released",
    "release-failed",
    "seen-elsewhere",
    "shutdown",
];

/// The usual way up, so that random lives get beyond standby.
const WAY_UP: &[&str] = &[
    "chain tip=100",
    "set-identity",
    "store owner=alpha:released term=1 rev=6 tower=99",
    "claimed term=2 tower=99 w=90",
    "adopted vote=99 replayed",
    "speaking identity",
];

fn lives() -> impl Strategy<Value = (usize, usize, Vec<usize>)> {
    (0..NODES.len(), 0..=WAY_UP.len(), prop::collection::vec(0..LINES.len(), 0..80))
}

const NODES: &[&str] = &[
    "node primary",
    "node primary sticky loss-standby store-loss-standby",
    "node secondary loss-standby store-loss-standby",
    "node secondary knows loss-standby",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn no_order_of_events_breaks_the_order_of_a_hand_over((node, up, life) in lives()) {
        let lines: Vec<&str> = [NODES[node]].iter().chain(&WAY_UP[..up]).copied()
            .chain(life.iter().map(|line| LINES[*line]))
            .collect();
        run(&lines);
    }
}

#[test]
fn the_usual_way_up_does_go_up() {
    let lines: Vec<&str> = ["node secondary"].iter().chain(WAY_UP).copied().collect();
    assert!(run(&lines));
}
