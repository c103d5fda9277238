//! A vote account that is made, given away or closed while nodes run.

use super::case_text::check;

const ACTIVE: &str = "chain tip=100                           => read
     store owner=none tower=98               => claim over term=0 rev=0
     claimed term=1 tower=98                 => STANDBY->ACQUIRED; adopt Store
     adopted vote=98 replayed                => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
     speaking identity                       => CAUGHT_UP->ACTIVE; unlock 1 w=none";

const LEAVES: &str = "leader-slot-done                        => HALT_LEAD->HALT_VOTE; halt-vote
     votes-settled                           => HALT_VOTE->LOCKED; lock; release 1";

#[test]
fn a_primary_waits_for_a_vote_account_that_is_still_to_be_made() {
    check(
        "node primary
         chain tip=90 behind=30 no-vote-account
         # Said once, not at each root.
         chain tip=100 root=60 no-vote-account   => STANDBY->STANDBY
         chain tip=101 root=61 no-vote-account
         chain tip=140 root=102                  => read
         store owner=none                        => claim over term=0 rev=0",
    );
}

#[test]
fn a_primary_whose_vote_account_is_anothers_ends_unless_that_is_about_to_change() {
    check(
        "node primary
         chain tip=90 behind=30 account-of=another tip-of=another
         chain tip=100 account-of=another tip-of=another => STANDBY->STANDBY; exit 5",
    );
    check(
        "node primary
         # vote-update-validator has landed, and is not rooted yet.
         chain tip=100 account-of=another        => STANDBY->STANDBY
         chain tip=101 account-of=another
         chain tip=140                           => read",
    );
}

#[test]
fn an_owner_whose_vote_account_is_given_away_or_closed_steps_down_and_releases() {
    for change in ["account-of=another tip-of=another", "no-vote-account"] {
        check(&format!(
            "node primary
             {ACTIVE}
             # Not by what a fork may take back.
             chain tip=101 tip-of=another
             chain tip=140 {change}              => ACTIVE->HALT_LEAD; halt-lead
             {LEAVES}
             released                            => exit 5"
        ));
        check(&format!(
            "node primary loss-standby
             {ACTIVE}
             chain tip=140 {change}              => ACTIVE->HALT_LEAD; halt-lead
             {LEAVES}
             released                            => speak-as standby
             speaking standby                    => LOCKED->STANDBY
             chain tip=141 {change}"
        ));
    }
}

#[test]
fn what_was_claimed_for_an_account_that_is_another_identitys_by_now_is_given_back() {
    check(
        "node secondary
         chain tip=100
         set-identity                            => read
         store owner=alpha:released term=1 rev=5 tower=98 => claim over term=1 rev=5
         claimed term=2 tower=98                 => STANDBY->ACQUIRED; adopt Store
         chain tip=101 account-of=another        => ACQUIRED->LOCKED; lock; release 2
         released                                => LOCKED->STANDBY; refuse 1 WrongVoteAccount",
    );
}
