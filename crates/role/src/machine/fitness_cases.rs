//! A node that cannot vote does not claim, and does not keep what it has claimed.

use super::case_text::check;

#[test]
fn a_restart_claims_only_what_it_could_use() {
    // Roles and voters are those of the current root and epoch, not of the genesis.
    for unfit in ["no-voter", "no-vote-account"] {
        check(&format!(
            "node primary
             chain tip=100 {unfit}               => STANDBY->STANDBY
             # Said once.
             chain tip=101 {unfit}
             chain tip=102                       => read
             store owner=none                    => claim over term=0 rev=0"
        ));
    }
}

#[test]
fn what_changes_while_one_waits_is_looked_at_before_the_claim() {
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         store owner=alpha term=1 rev=5 tower=98 => intent alpha term=1 rev=5 2000ms
         intent-written
         chain tip=101 no-voter
         at 2000                                 => refuse 1 NoAuthorizedVoter",
    );
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         chain tip=101 behind=90
         store owner=alpha:released term=1 rev=5 tower=98 => refuse 1 NotCaughtUp",
    );
}

#[test]
fn a_claim_found_done_is_gone_on_with_only_by_a_node_that_can_vote() {
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claim-unresolved                        => refuse 1 Unresolved
         chain tip=101 no-voter
         at 100                                  => read
         store owner=me term=2 rev=8 tower=98    => STANDBY->STANDBY",
    );
}

const RECOVERED: &str = "node secondary
    chain tip=100
    set-identity                            => read
    store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
    claimed term=2 tower=98                 => STANDBY->ACQUIRED; adopt Store
    ";

#[test]
fn from_the_claim_to_the_first_signature_there_is_a_deadline() {
    check(&format!(
        "{RECOVERED}
         at 29999
         at 30000                                => ACQUIRED->LOCKED; lock; release 2
         released                                => LOCKED->STANDBY; refuse 1 TooLong"
    ));
    check(&format!(
        "{RECOVERED}
         chain tip=100 behind=50
         adopted vote=98 replayed                => ACQUIRED->RECOVERED
         at 30000                                => RECOVERED->LOCKED; lock; release 2
         released                                => LOCKED->STANDBY; refuse 1 TooLong"
    ));
    // A primary that came up tries again, a while later.
    check(
        "node primary
         chain tip=100                           => read
         store owner=none tower=98               => claim over term=0 rev=0
         claimed term=1 tower=98                 => STANDBY->ACQUIRED; adopt Store
         at 30000                                => ACQUIRED->LOCKED; lock; release 1
         released                                => LOCKED->STANDBY
         chain tip=101
         at 35000                                => read
         chain tip=102                           => read",
    );
}

#[test]
fn waits_that_are_there_for_safety_are_not_counted() {
    check(
        "node primary adopts
         chain tip=100 vote=90                   => read
         store owner=none                        => claim over term=0 rev=0
         claimed term=1                          => STANDBY->ACQUIRED; adopt Chain
         adopted vote=90 replayed                => ACQUIRED->RECOVERED
         at 25000
         chain tip=150 vote=90
         at 50000
         chain tip=611 vote=90
         at 70000
         chain tip=612 vote=90                   => RECOVERED->CAUGHT_UP; speak-as identity",
    );
    check(&format!(
        "{RECOVERED}
         adopted vote=98 free=400                => ACQUIRED->RECOVERED
         at 10000
         at 35000
         chain tip=399
         at 60000
         chain tip=400                           => RECOVERED->CAUGHT_UP; speak-as identity"
    ));
}

#[test]
fn who_asks_an_owner_that_cannot_sign_yet_is_not_kept_waiting() {
    check(&format!(
        "{RECOVERED}
         intent term=1
         intent mine term=2
         intent term=2                           => ACQUIRED->LOCKED; lock; release 2
         released                                => LOCKED->STANDBY; refuse 1 TakenMeanwhile"
    ));
    check(&format!(
        "{RECOVERED}
         adopted vote=98 replayed                => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         intent term=2                           => CAUGHT_UP->LOCKED; lock; release 2
         released                                => speak-as standby
         speaking standby                        => LOCKED->STANDBY; refuse 1 TakenMeanwhile"
    ));
}

#[test]
fn an_owner_whose_votes_do_not_go_out_gives_the_identity_back() {
    let active = "node primary
         chain tip=100                           => read
         store owner=none tower=98               => claim over term=0 rev=0
         claimed term=1 tower=98                 => STANDBY->ACQUIRED; adopt Store
         adopted vote=98 replayed                => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                       => CAUGHT_UP->ACTIVE; unlock 1 w=none";
    let seven = "vote-not-out\n".repeat(7);
    check(&format!(
        "{active}
         {seven}
         vote-out
         {seven}
         recorded slot=120
         vote-not-out                            => ACTIVE->HALT_LEAD; halt-lead
         vote-not-out
         leader-slot-done                        => HALT_LEAD->HALT_VOTE; halt-vote
         votes-settled                           => HALT_VOTE->LOCKED; lock; release 1
         released                                => exit 5"
    ));
}

#[test]
fn a_node_that_is_cut_off_does_not_take_the_identity_from_an_owner_that_is_not() {
    // It has a third of the stake or more, so nothing becomes final here without it. Where the owner is, blocks do.
    check(
        "node primary
         chain tip=100 needs-us owner-at=100 finalizes
         chain tip=101 needs-us owner-at=101 finalizes
         # Nothing becomes final anywhere: one is as good as the other.
         chain tip=102 needs-us owner-at=102    => read",
    );
    // A restart that has replayed its own ledger has seen finality move, in the past.
    check(
        "node primary
         chain tip=100 owner-at=109
         chain tip=101 owner-at=109             => read",
    );
    check(
        "node secondary
         chain tip=100 needs-us owner-at=100 finalizes
         set-identity                           => refuse 1 NotCaughtUp",
    );
    // What changes while the owner is asked.
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         store owner=alpha term=1 rev=5 tower=98 => intent alpha term=1 rev=5 2000ms
         intent-written
         chain tip=101 needs-us owner-at=101 finalizes
         at 2000                                 => refuse 1 NotCaughtUp",
    );
}

#[test]
fn the_last_beats_of_an_owner_before_do_not_hold_up_the_one_after() {
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                 => STANDBY->ACQUIRED; adopt Store
         chain tip=100 needs-us owner-at=109 finalizes term=1
         adopted vote=98 replayed                => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity",
    );
}
