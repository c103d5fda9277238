//! Twins (I7), from both sides: the one that comes, and the one that is there.

use {
    super::case_text::check,
    crate::{config::CHAIN_TOWER_HOLD_SLOTS, machine::twin},
};

/// A primary without a tower beside an identity that votes: what a forgotten `--tower-storage etcd` looks like.
const NEWCOMER: &str = "
    chain tip=100 vote=98 behind=2     => read
    store owner=none                   => claim over term=0 rev=0
    claimed term=1                     => STANDBY->ACQUIRED; adopt Chain
    adopted vote=98 replayed           => ACQUIRED->RECOVERED
    # Votes for what the cluster had when we claimed may come late. Each is a reason to take the chain's tower anew.
    chain tip=101 vote=101 gossip=102  => RECOVERED->ACQUIRED; adopt Chain
    adopted vote=102 replayed          => ACQUIRED->RECOVERED
    chain tip=110 vote=110 gossip=110  => RECOVERED->ACQUIRED; adopt Chain
    adopted vote=110 replayed          => ACQUIRED->RECOVERED
    ";

#[test]
fn a_newcomer_beside_a_living_twin_does_not_become_active() {
    // With etcd it stands by; with a folder there is nobody to stand by for, and the name was shown from the start.
    check(&format!(
        "node primary adopts
         {NEWCOMER}
         chain tip=111 gossip=111            => RECOVERED->LOCKED; lock; release 1; alarm
         released                            => LOCKED->STANDBY
         chain tip=200 vote=200
         chain tip=2000 vote=2000"
    ));
    check(&format!(
        "node primary file-store adopts
         {NEWCOMER}
         chain tip=111 vote=111              => RECOVERED->LOCKED; lock; release 1
         released                            => exit 10"
    ));
    // An operator hears of it.
    check(
        "node secondary adopts
         chain tip=100 vote=98
         set-identity                        => read
         store owner=none                    => claim over term=0 rev=0
         claimed term=1                      => STANDBY->ACQUIRED; adopt Chain
         chain tip=140 vote=139              => ACQUIRED->LOCKED; lock; release 1
         released                            => LOCKED->STANDBY; refuse 1 Twin",
    );
    check(
        "node secondary file-store adopts
         chain tip=100 vote=98
         set-identity                        => read
         store owner=none                    => claim over term=0 rev=0
         claimed term=1                      => STANDBY->ACQUIRED; adopt Chain
         chain tip=140 vote=139              => ACQUIRED->LOCKED; lock; release 1
         released                            => refuse 1 Twin; exit 10",
    );
}

#[test]
fn each_newer_vote_moves_the_hold() {
    let hold = CHAIN_TOWER_HOLD_SLOTS;
    check(&format!(
        "node primary adopts
         {NEWCOMER}
         chain tip={} vote=110
         chain tip={} vote=110               => RECOVERED->CAUGHT_UP; speak-as identity",
        110 + hold - 1,
        110 + hold
    ));
}

#[test]
fn a_twin_that_votes_past_a_tower_from_the_store_is_one_too() {
    check(
        "node primary file-store
         chain tip=100 vote=98               => read
         store owner=none tower=98           => claim over term=0 rev=0
         claimed term=1 tower=98             => STANDBY->ACQUIRED; adopt Store
         chain tip=120 vote=119              => ACQUIRED->LOCKED; lock; release 1
         released                            => exit 10",
    );
}

#[test]
fn a_copy_of_a_ledger_folder_is_behind_the_chain_and_loses_its_name() {
    check(
        "node primary file-store
         chain tip=100 vote=99               => read
         store owner=none tower=90           => speak-as standby; STANDBY->STANDBY
         speaking standby
         chain tip=200 vote=199",
    );
}

fn owner(flags: &str, rest: &str) {
    check(&format!(
        "node primary {flags}
         chain tip=100                       => read
         store owner=none tower=99           => claim over term=0 rev=0
         claimed term=1 tower=99             => STANDBY->ACQUIRED; adopt Store
         adopted vote=99 replayed            => ACQUIRED->RECOVERED; RECOVERED->CAUGHT_UP; speak-as identity
         speaking identity                   => CAUGHT_UP->ACTIVE; unlock 1 w=none
         recorded slot=101
         {rest}"
    ));
}

#[test]
fn an_owner_with_a_folder_ends_when_a_twin_votes() {
    // Also for a slot that it has voted for itself: the two would lead the same slots.
    for slot in [100, 101, 102] {
        owner(
            "file-store",
            &format!("vote-elsewhere slot={slot} => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 10"),
        );
    }
    // Its own of before the claim, which is in the tower, still comes by.
    owner("file-store", "vote-elsewhere slot=99\n vote-elsewhere slot=3");
    owner(
        "file-store loss-standby",
        "vote-elsewhere slot=101             => lock; abandon-lead; halt-vote; ACTIVE->LOCKED
         leader-slot-done
         votes-settled                       => speak-as standby
         speaking standby                    => LOCKED->STANDBY
         chain tip=300 vote=300
         chain tip=900 vote=300",
    );
}

#[test]
fn an_owner_with_a_shared_store_tells_of_a_twin_and_stops_when_that_is_ahead() {
    let ours = "store owner=me term=1 rev=5 tower=101";
    owner(
        "",
        &format!(
            "vote-elsewhere slot=101             => read
             vote-elsewhere slot=101
             {ours}                              => alarm; reannounce
             # Not with each of its votes.
             vote-elsewhere slot=100             => read
             {ours}
             at 10000                            
             vote-elsewhere slot=101             => read
             {ours}                              => alarm; reannounce"
        ),
    );
    owner(
        "",
        &format!(
            "vote-elsewhere slot=100             => read
             vote-elsewhere slot=102             => read
             {ours}                              => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 10"
        ),
    );
    // The next owner's votes are seen before its claim is.
    owner(
        "",
        "vote-elsewhere slot=102             => read
         store owner=beta:secondary term=2 rev=9 tower=102 => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 7",
    );
    owner(
        "",
        "vote-elsewhere slot=102             => read
         unavailable                         => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 8",
    );
    // An owner whose voter has stopped leads and looks alive, and never votes again.
    owner(
        "",
        &format!(
            "vote-elsewhere slot=101 voter-stopped => read
             {ours}                              => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 10"
        ),
    );
}

#[test]
fn a_name_in_gossip_ends_a_node_with_a_folder_once_it_is_alive() {
    owner("file-store", "seen-elsewhere");
    owner("file-store", "seen-elsewhere alive => lock; abandon-lead; halt-vote; ACTIVE->LOCKED; exit 10");
    owner("", "seen-elsewhere alive => read\n store owner=me term=1 rev=5 tower=101 => reannounce");
    check("node primary file-store\n chain tip=90 behind=50\n seen-elsewhere\n seen-elsewhere alive => exit 10");
    check("node primary\n chain tip=90 behind=50\n seen-elsewhere alive");
    check(
        "node primary file-store adopts
         chain tip=100 vote=98               => read
         store owner=none                    => claim over term=0 rev=0
         claimed term=1                      => STANDBY->ACQUIRED; adopt Chain
         seen-elsewhere alive                => ACQUIRED->LOCKED; lock; release 1
         released                            => exit 10",
    );
}

#[test]
fn what_is_said_of_a_twin_names_the_remedy() {
    let text = twin::reason(&twin::voted(7));
    assert!(text.contains("slot 7") && text.contains("--tower-storage etcd") && text.contains("stop it"), "{text}");
    assert!(!text.contains('\n') && !text.contains("  "), "one line: {text}");
}
