//! Automatic failover: is the owner dead? Two independent signals must agree: it has been silent in the store, and the
//! identity's votes stopped landing although the cluster moved on. If they are both wrong the identity changes hands
//! for nothing; it can cost liveness, never safety, since the claim is fenced like any other.

use {
    std::{collections::VecDeque, time::Duration},
    tandem_types::{Slot, Term, Tick},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AutoConfig {
    /// Silence in the store that counts. Standbys with less priority get a longer one, so that they do not race.
    pub silence: Duration,
    /// Slots the cluster must have moved past the identity's last landed vote.
    pub missed_slots: u64,
    /// Nothing is done this long after our start, or after a change of owner: a new owner needs time to speak.
    pub hold_down: Duration,
    /// Promotions an hour; after that a person has to look.
    pub promotions_per_hour_max: usize,
}

/// What a standby sees of the owner.
#[derive(Debug)]
pub struct Watchdog {
    config: AutoConfig,
    /// `failover hold`.
    held: bool,
    owner: Option<Owner>,
    tip: Slot,
    last_landed: Option<Slot>,
    quiet_until: Tick,
    promotions: VecDeque<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    term: Term,
    heard: Tick,
    /// A released identity has no owner that could be silent.
    released: bool,
    /// Already reported.
    reported: bool,
}

/// Why nothing is done, for `failover status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Claim over the owner of this term.
    Promote(Term),
    Held,
    HoldDown,
    NoOwner,
    OwnerSpeaks,
    VotesLand,
    BudgetSpent,
    Reported,
}

impl Watchdog {
    pub fn new(config: AutoConfig, now: Tick) -> Self {
        let quiet_until = now + config.hold_down;
        Self { config, held: false, owner: None, tip: 0, last_landed: None, quiet_until, promotions: VecDeque::new() }
    }

    /// A change of the owner's heartbeat or tower was seen in the store.
    pub fn heard(&mut self, now: Tick, term: Term) {
        match &mut self.owner {
            Some(owner) if owner.term == term => owner.heard = owner.heard.max(now),
            Some(owner) if owner.term > term => {}
            Some(_) | None => self.owner_is(now, term, false),
        }
    }

    /// The owner record was seen.
    pub fn owner_is(&mut self, now: Tick, term: Term, released: bool) {
        match &mut self.owner {
            Some(owner) if owner.term > term => {}
            Some(owner) if owner.term == term => owner.released |= released,
            before => {
                // The first owner we see is no change of owner.
                if before.is_some() {
                    self.quiet_until = self.quiet_until.max(now + self.config.hold_down);
                }
                *before = Some(Owner { term, heard: now, released, reported: false });
            }
        }
    }

    /// Where the cluster is, and the identity's newest vote in a block.
    pub fn chain(&mut self, tip: Slot, last_landed: Option<Slot>) {
        (self.tip, self.last_landed) = (tip, last_landed);
    }

    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// What to do now. `Promote` is said once for each silent owner.
    pub fn verdict(&mut self, now: Tick) -> Verdict {
        if self.held {
            return Verdict::Held;
        }
        if now < self.quiet_until {
            return Verdict::HoldDown;
        }
        let Some(owner) = self.owner.as_mut().filter(|owner| !owner.released) else { return Verdict::NoOwner };
        if now.since(owner.heard) < self.config.silence {
            owner.reported = false;
            return Verdict::OwnerSpeaks;
        }
        let landed = self.last_landed.unwrap_or(0);
        if self.tip.saturating_sub(landed) < self.config.missed_slots {
            return Verdict::VotesLand;
        }
        if owner.reported {
            return Verdict::Reported;
        }
        let hour = Duration::from_secs(3600);
        while self.promotions.front().is_some_and(|at| now.since(*at) >= hour) {
            self.promotions.pop_front();
        }
        if self.promotions.len() >= self.config.promotions_per_hour_max {
            return Verdict::BudgetSpent;
        }
        owner.reported = true;
        self.promotions.push_back(now);
        Verdict::Promote(owner.term)
    }

    /// When silence would be long enough, if nothing is heard until then.
    pub fn next_deadline(&self, now: Tick) -> Option<Tick> {
        let owner = self.owner.filter(|owner| !owner.released && !owner.reported && !self.held)?;
        // Once it is past, the next news of the chain decides.
        Some((owner.heard + self.config.silence).max(self.quiet_until)).filter(|at| *at > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    /// Up for ten seconds, and the owner of term 1 spoke at 10,000.
    fn watching() -> Watchdog {
        let config = AutoConfig {
            silence: Duration::from_millis(400),
            missed_slots: 2,
            hold_down: Duration::from_secs(10),
            promotions_per_hour_max: 2,
        };
        let mut dog = Watchdog::new(config, at(0));
        dog.heard(at(10_000), Term(1));
        dog.chain(100, Some(99));
        dog
    }

    #[test]
    fn both_signals_must_agree() {
        let mut dog = watching();
        assert_eq!(dog.verdict(at(10_399)), Verdict::OwnerSpeaks);
        assert_eq!((dog.next_deadline(at(10_399)), dog.next_deadline(at(10_400))), (Some(at(10_400)), None));
        assert_eq!(dog.verdict(at(10_400)), Verdict::VotesLand, "silent, but it votes: the store is what fails");
        dog.chain(101, Some(99));
        assert_eq!(dog.verdict(at(10_401)), Verdict::Promote(Term(1)));
        assert_eq!(dog.verdict(at(10_402)), Verdict::Reported, "said once");
        let mut dog = watching();
        dog.chain(200, Some(99));
        assert_eq!(dog.verdict(at(10_100)), Verdict::OwnerSpeaks, "it speaks, but cannot vote: not dead");
    }

    #[test]
    fn an_owner_that_speaks_again_and_dies_again_is_reported_again() {
        let mut dog = watching();
        dog.chain(101, Some(99));
        assert_eq!(dog.verdict(at(10_400)), Verdict::Promote(Term(1)));
        dog.heard(at(10_500), Term(1));
        assert_eq!(dog.verdict(at(10_600)), Verdict::OwnerSpeaks);
        assert_eq!(dog.verdict(at(11_000)), Verdict::Promote(Term(1)));
        dog.heard(at(11_100), Term(1));
        assert_eq!(dog.verdict(at(11_200)), Verdict::OwnerSpeaks);
        assert_eq!(dog.verdict(at(12_000)), Verdict::BudgetSpent);
        assert_eq!(dog.verdict(at(3_700_000)), Verdict::Promote(Term(1)), "the budget is an hour's");
    }

    #[test]
    fn hold_down_after_start_and_after_a_change_of_owner() {
        let mut dog = watching();
        dog.chain(200, Some(99));
        assert_eq!(dog.verdict(at(9_999)), Verdict::HoldDown);
        dog.owner_is(at(10_100), Term(2), false);
        assert_eq!(dog.verdict(at(15_000)), Verdict::HoldDown);
        assert_eq!(dog.verdict(at(20_100)), Verdict::Promote(Term(2)));
        dog.heard(at(20_200), Term(1));
        assert_eq!(dog.verdict(at(20_200)), Verdict::Reported, "an old owner's word counts for nothing");
    }

    #[test]
    fn a_released_identity_is_left_to_people_and_hold_forbids_all() {
        let mut dog = watching();
        dog.chain(200, Some(99));
        dog.hold(true);
        assert_eq!(dog.verdict(at(20_000)), Verdict::Held);
        dog.hold(false);
        dog.owner_is(at(10_100), Term(1), true);
        assert_eq!(dog.verdict(at(20_000)), Verdict::NoOwner);
        assert_eq!(dog.next_deadline(at(0)), None);
    }
}
