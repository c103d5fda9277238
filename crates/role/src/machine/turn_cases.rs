//! One store at a time, and a refusal leaves the node with the one that it had.

use super::case_text::check;

/// A machine that stood by for an identity, and whose vote account has been given to another since.
const ROTATED: &str = "node primary opens-by-hand
    chain tip=90 behind=30
    chain tip=100 account-of=another            => STANDBY->STANDBY
    ";

#[test]
fn the_store_of_another_identity_is_read_only_when_it_is_open() {
    check(&format!(
        "{ROTATED}
         set-identity junk account-of=another   => open another
         # The answer of the store before, to a look before.
         store owner=alpha term=9 rev=70 tower=150
         store-quarantined
         opened
         opened another                         => read
         chain tip=100 account-of=another tip-of=another
         # What the other store has shown does not count here.
         store owner=none                       => claim over term=0 rev=0
         claimed term=1 w=none                  => STANDBY->ACQUIRED; adopt Fresh"
    ));
}

#[test]
fn what_is_refused_opens_nothing_or_turns_back() {
    for (wish, refused) in [
        ("set-identity junk", "WrongVoteAccount"),
        ("set-identity junk account-of=another no-voter", "NoAuthorizedVoter"),
        ("set-identity account-of=another", "WrongVoteAccount"),
    ] {
        check(&format!(
            "{ROTATED}
             {wish}                             => refuse 1 {refused}"
        ));
    }
    check(&format!(
        "{ROTATED}
         chain tip=100 behind=30 account-of=another
         set-identity junk account-of=another   => refuse 1 NotCaughtUp"
    ));
    check(&format!(
        "{ROTATED}
         set-identity junk require-tower account-of=another => open another
         opened another                         => read
         store owner=none                       => open; refuse 1 TowerMissing
         opened
         at 5000                                => read"
    ));
    check(&format!(
        "{ROTATED}
         set-identity junk account-of=another   => open another
         not-opened another                     => open; refuse 1 WrongStore
         opened
         at 5000                                => read"
    ));
}

#[test]
fn a_secondary_is_there_for_whom_the_vote_account_names_now() {
    check(
        "node secondary opens-by-hand
         chain tip=100 no-vote-account
         chain tip=101                          => open
         opened
         at 5000                                => read
         store owner=alpha term=4 rev=70 tower=99
         chain tip=140 account-of=another       => open another
         not-opened another                     => STANDBY->STANDBY
         at 10000                               => open another
         # The same again is not said again.
         not-opened another
         at 15000                               => open another
         opened another
         at 20000                               => read",
    );
}

#[test]
fn an_owner_does_not_leave_its_store() {
    check(
        "node primary opens-by-hand
         chain tip=100                          => read
         store owner=none                       => claim over term=0 rev=0
         claimed term=1 w=none                  => STANDBY->ACQUIRED; adopt Fresh
         adopted                                => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                      => CAUGHT_UP->ACTIVE; unlock 1 w=none
         # Whose key it is, is looked at once this owner has let go.
         set-identity junk                      => ACTIVE->HALT_LEAD; halt-lead",
    );
}
