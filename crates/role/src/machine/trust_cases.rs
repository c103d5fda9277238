//! Which stores are believed, and who says so (I6).

use super::case_text::check;

#[test]
fn no_tower_where_the_chain_has_votes_needs_a_persons_word() {
    // A new store, a lost one, or a wrong one: the machine cannot know which.
    check(
        "node primary
         chain tip=100 vote=90       => read
         store owner=none            => STANDBY->STANDBY
         chain tip=101 vote=90
         chain tip=900 vote=90
         plan owner=none             => 4 steps, refused Quarantined",
    );
    check("node secondary\n chain tip=100 gossip=90\n set-identity => read\n store owner=none => refuse 1 Quarantined");
    check(
        "node secondary knows\n chain tip=100 vote=90\n promote term=1 => read\n store owner=alpha => STANDBY->STANDBY",
    );
    // The owner of a store that lost its tower is no proof that all is well.
    check(
        "node secondary\n chain tip=100 vote=90\n set-identity => read\n store owner=alpha term=1 => refuse 1 Quarantined",
    );
    // Nobody ever voted: a new identity.
    check("node primary\n chain tip=100 => read\n store owner=none => claim over term=0 rev=0");
    check("node primary adopts\n chain tip=100 vote=90 => read\n store owner=none => claim over term=0 rev=0");
    check(
        "node secondary\n chain tip=100 vote=90\n set-identity => read\n store owner=none accepted => claim over term=0 rev=0",
    );
    // A tower that was seen there is lost, whatever the flag says.
    check(
        "node primary adopts
         chain tip=100 behind=50 vote=90
         stale-store owner=alpha tower=90
         chain tip=100 vote=90       => read
         store owner=none            => STANDBY->STANDBY",
    );
}

#[test]
fn a_standby_finds_out_that_it_could_not_take_over_before_somebody_needs_it() {
    check(
        "node secondary knows
         chain tip=100 vote=98
         at 5000                     => read
         store owner=alpha tower=90
         plan owner=alpha tower=98   => 4 steps, refused Quarantined
         # The owner votes on while it is read: that is no contradiction.
         at 10000                    => read
         chain tip=101 vote=98 gossip=100
         store owner=alpha tower=99
         plan owner=alpha tower=100  => 4 steps",
    );
}

#[test]
fn votes_that_turn_up_while_a_store_without_a_tower_is_claimed() {
    check(
        "node secondary
         chain tip=100
         set-identity                => read
         store owner=none            => claim over term=0 rev=0
         chain tip=101 vote=90
         claimed term=1              => STANDBY->ACQUIRED; ACQUIRED->LOCKED; lock; release 1
         released                    => LOCKED->STANDBY; refuse 1 Quarantined",
    );
}

#[test]
fn a_quarantine_is_said_wherever_one_asks_and_ends_by_a_persons_word() {
    check(
        "node secondary knows
         chain tip=100 vote=98
         at 5000                     => read
         store-quarantined
         # A fresh look would show a store that looks sound.
         plan owner=alpha tower=98   => 4 steps, refused Quarantined
         set-identity                => read
         store-quarantined           => refuse 1 Quarantined
         vouched                     => read
         plan owner=alpha tower=98   => 4 steps
         store owner=alpha tower=98",
    );
    // The tower that is gone is not missed any more.
    check(
        "node secondary knows
         chain tip=700 vote=98
         at 5000                     => read
         store owner=alpha:released term=1 rev=5 tower=105
         set-identity                => read
         store owner=alpha:released term=1 rev=5 => refuse 1 Quarantined
         vouched tower-forgotten     => read
         set-identity                => read
         store owner=alpha:released term=1 rev=5 accepted => claim over term=1 rev=5
         claimed term=2              => STANDBY->ACQUIRED; adopt Chain",
    );
}
