//! Every verdict, and the way from one to the next.

use {
    super::*,
    crate::{
        protocol::Versioned,
        records::{Nonce, OwnerRecord, Preference},
    },
    tandem_types::{InstanceId, UnixMillis},
};

fn at(ms: u64) -> Tick {
    Tick::from_millis(ms)
}

fn able() -> Standing {
    Standing { standing_by: true, objection: None }
}

/// Up for ten seconds; the owner of term 1 spoke at 10,000 (revision 50); the newest vote is for 99, the tip is 99.
fn watching() -> Watchdog {
    let mut dog = Watchdog::new(AutoConfig::of_priority(PRIORITY_MAX), at(0));
    dog.owner_is(at(0), Term(1), false, 10);
    dog.sign(at(10_000), 50);
    dog.chain(at(10_000), 99, Some(99));
    dog
}

fn pulse(term: u64, released: bool, newest_sign: Revision) -> Pulse {
    let owner = OwnerRecord {
        term: Term(term),
        instance: InstanceId([1; 16]),
        host: "alpha".into(),
        version: String::new(),
        standby_identity: String::new(),
        slot_at_claim: 0,
        released,
        lease: None,
        preference: Preference::Primary,
        claimed_at: UnixMillis(0),
        nonce: Nonce::default(),
        vote_account: None,
        moved_to: None,
    };
    let owner = Some(Versioned { value: owner, mod_revision: 10 });
    Pulse { owner, newest_sign, ..Pulse::default() }
}

/// A look at `asked` that finds nothing newer than revision 50.
fn nothing_new(dog: &mut Watchdog, asked: u64) {
    dog.looked(at(asked), at(asked + 2), &pulse(1, false, 50));
}

fn verdict(dog: &Watchdog, ms: u64) -> Verdict {
    dog.verdict(at(ms), &able())
}

#[test]
fn both_signals_must_agree() {
    let mut dog = watching();
    assert_eq!(verdict(&dog, 60_000), Verdict::OwnerSpeaks, "nobody has looked since: silence is not known");
    nothing_new(&mut dog, 10_449);
    assert_eq!(verdict(&dog, 10_460), Verdict::OwnerSpeaks);
    nothing_new(&mut dog, 10_450);
    assert_eq!(verdict(&dog, 10_460), Verdict::VotesLand, "silent, but it votes: the store is what fails");
    dog.chain(at(10_460), 100, Some(99));
    assert_eq!(verdict(&dog, 10_709), Verdict::VotesLand, "it may still be about to vote");
    assert_eq!(verdict(&dog, 10_710), Verdict::Promote(Term(1)));
    assert_eq!((dog.decide(at(10_710), &able()), dog.decide(at(10_711), &able())), (Some(Term(1)), None));
    assert_eq!(verdict(&dog, 10_711), Verdict::Tried, "said once");

    let mut dog = watching();
    dog.chain(at(10_010), 200, Some(99));
    dog.sign(at(12_000), 51);
    nothing_new(&mut dog, 12_010);
    assert_eq!(verdict(&dog, 12_020), Verdict::OwnerSpeaks, "it speaks, but cannot vote: not dead");
}

#[test]
fn a_vote_seen_anywhere_counts_and_one_block_late_is_not_dead() {
    let mut dog = watching();
    nothing_new(&mut dog, 11_000);
    for (ms, tip) in [(11_000, 100), (11_400, 101), (11_800, 102)] {
        dog.chain(at(ms), tip, Some(tip - 1));
        dog.chain(at(ms + 200), tip, Some(tip));
        assert_eq!(verdict(&dog, ms + 399), Verdict::VotesLand);
    }
    dog.chain(at(12_200), 102, None);
    assert_eq!(verdict(&dog, 20_000), Verdict::VotesLand, "a cluster that stands still proves nothing");
}

#[test]
fn a_store_that_does_not_answer_is_no_silence_of_the_owner() {
    let mut dog = watching();
    dog.chain(at(10_010), 200, Some(99));
    dog.look_failed();
    assert_eq!(verdict(&dog, 30_000), Verdict::StoreSilent);
    nothing_new(&mut dog, 30_000);
    assert_eq!(verdict(&dog, 30_002), Verdict::Promote(Term(1)));
    let mut dog = watching();
    dog.chain(at(10_010), 200, Some(99));
    dog.look_failed();
    dog.looked(at(30_000), at(30_010), &pulse(1, false, 60));
    assert_eq!(verdict(&dog, 30_011), Verdict::OwnerSpeaks, "it spoke while nobody heard it");
}

#[test]
fn a_failed_try_is_repeated_without_a_new_budget_and_a_new_death_spends_it() {
    let mut dog = watching();
    let (mut sign, mut ms) = (50, 11_000);
    dog.chain(at(10_000), 200, Some(99));
    for death in 0..3 {
        dog.looked(at(ms), at(ms), &pulse(1, false, sign));
        assert_eq!(dog.decide(at(ms), &able()), Some(Term(1)), "death {death}");
        assert_eq!(verdict(&dog, ms + 1_999), Verdict::Tried);
        assert_eq!(dog.decide(at(ms + 2_000), &able()), Some(Term(1)), "nothing came of it");
        assert_eq!(dog.promotions_left(at(ms)), 2 - death);
        (sign, ms) = (sign + 1, ms + 5_000);
        dog.sign(at(ms), sign);
        assert_eq!(verdict(&dog, ms), Verdict::OwnerSpeaks);
        ms += 5_000;
    }
    dog.looked(at(ms), at(ms), &pulse(1, false, sign));
    assert_eq!(verdict(&dog, ms), Verdict::BudgetSpent);
    assert_eq!(verdict(&dog, 3_700_000), Verdict::Promote(Term(1)), "the budget is an hour's");
}

#[test]
fn hold_down_after_start_and_after_a_change_of_owner() {
    let mut dog = watching();
    dog.chain(at(0), 200, Some(99));
    nothing_new(&mut dog, 10_500);
    assert_eq!(verdict(&dog, 9_999), Verdict::HoldDown);
    dog.owner_is(at(11_000), Term(2), false, 70);
    assert_eq!(verdict(&dog, 20_999), Verdict::HoldDown);
    dog.looked(at(21_000), at(21_001), &pulse(2, false, 70));
    assert_eq!(verdict(&dog, 21_001), Verdict::Promote(Term(2)));
    dog.sign(at(21_002), 69);
    assert_eq!(verdict(&dog, 21_002), Verdict::Promote(Term(2)), "an old owner's word counts for nothing");
    dog.owner_is(at(21_003), Term(1), false, 10);
    assert_eq!(verdict(&dog, 21_003), Verdict::Promote(Term(2)));
}

#[test]
fn a_released_identity_is_left_to_people_and_hold_forbids_all() {
    let mut dog = watching();
    dog.chain(at(10_000), 200, Some(99));
    nothing_new(&mut dog, 12_000);
    dog.hold(true);
    assert_eq!((verdict(&dog, 20_000), dog.decide(at(20_000), &able())), (Verdict::Held, None));
    dog.hold(false);
    let unable = Standing { objection: Some("this node has not caught up".into()), ..able() };
    assert_eq!(dog.verdict(at(20_000), &unable), Verdict::NotAble);
    assert_eq!(dog.explain(at(20_000), &unable), "would not promote: this node has not caught up");
    let active = Standing { standing_by: false, ..able() };
    assert_eq!(dog.verdict(at(20_000), &active), Verdict::NotStandingBy);
    assert_eq!(dog.explain(at(20_000), &able()), "would promote now: the owner of term 1 is dead");
    dog.looked(at(20_000), at(20_001), &pulse(1, true, 50));
    assert_eq!(verdict(&dog, 20_002), Verdict::NoOwner);
    let nobody = Watchdog::new(AutoConfig::of_priority(1), at(0));
    assert_eq!(nobody.verdict(at(20_000), &able()), Verdict::NoOwner);
}

#[test]
fn less_priority_waits_longer() {
    let [first, second] = [10, 9].map(|priority| AutoConfig::of_priority(priority).silence);
    assert_eq!((first, second), (Duration::from_millis(450), Duration::from_millis(950)));
}

#[test]
fn looks_are_asked_for_when_silence_would_be_long_enough_and_not_before() {
    let mut dog = watching();
    assert!(!dog.look_due(at(10_449)), "it was just heard");
    assert_eq!(dog.next_deadline(at(10_449)), at(10_450));
    assert!(dog.look_due(at(10_450)) && !dog.look_due(at(10_451)), "one at a time");
    nothing_new(&mut dog, 10_450);
    assert!(!dog.look_due(at(10_599)) && dog.look_due(at(10_600)), "not all the time");
    assert!(!dog.look_due(at(20_599)) && dog.look_due(at(20_600)), "an answer that got lost");
    dog.look_failed();
    dog.sign(at(20_700), 90);
    assert!(!dog.look_due(at(21_149)) && dog.look_due(at(21_150)));
    for ms in (0..30_000).step_by(7) {
        assert!(dog.next_deadline(at(ms)) > at(ms), "a deadline that has passed would spin");
    }
}
