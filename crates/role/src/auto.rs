//! Automatic failover: is the owner dead? Two independent signals must agree: it has been silent in the store, and the
//! identity's votes stopped although the cluster moved on. If they are both wrong the identity changes hands for
//! nothing; it can cost liveness, never safety, since the claim is fenced like any other.
//!
//! Silence is counted only up to our last good look at the store: a store that we cannot reach says nothing about the
//! owner. So a watch may lose events without harm: silence is never concluded without a look.

mod heart;
#[cfg(test)]
mod tests;
mod verdict;

pub use {heart::Heart, verdict::Verdict};

use {
    crate::{kv::Revision, protocol::Pulse},
    std::{collections::VecDeque, time::Duration},
    tandem_types::{Slot, Term, Tick},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AutoConfig {
    /// Silence in the store that counts. Standbys with less priority get a longer one, so that they do not race.
    pub silence: Duration,
    /// Slots the cluster must have moved past the identity's newest vote, wherever that was seen.
    pub missed_slots: u64,
    /// … and for how long: an owner needs a moment to vote for a block that we have frozen.
    pub missed_for: Duration,
    /// Nothing is done this long after our start, or after a change of owner: a new owner needs time to speak.
    pub hold_down: Duration,
    /// Promotions an hour; after that a person has to look.
    pub promotions_per_hour_max: usize,
    /// When a promotion came to nothing and the owner is still silent.
    pub retry_after: Duration,
}

impl AutoConfig {
    /// Made for owners that beat every [`heart::BEAT_EVERY`]. `priority`: 1 to [`PRIORITY_MAX`], which does not wait for
    /// anybody.
    pub fn of_priority(priority: u8) -> Self {
        let below = u32::from(PRIORITY_MAX.saturating_sub(priority));
        Self {
            silence: Duration::from_millis(450) + Duration::from_millis(500) * below,
            missed_slots: 1,
            missed_for: Duration::from_millis(250),
            hold_down: Duration::from_secs(10),
            promotions_per_hour_max: 3,
            retry_after: Duration::from_secs(2),
        }
    }
}

pub const PRIORITY_MAX: u8 = 10;

/// What this node says of itself when it is asked whether it would promote itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// In STANDBY, with nothing under way.
    pub standing_by: bool,
    /// What `set-identity` would refuse for without asking the store.
    pub objection: Option<String>,
}

/// What a standby sees of the owner.
#[derive(Debug)]
pub struct Watchdog {
    config: AutoConfig,
    /// `failover hold`.
    held: bool,
    owner: Option<Owner>,
    tip: Slot,
    newest_vote: Option<Slot>,
    /// Since when the votes have been missing.
    missing_since: Option<Tick>,
    quiet_until: Tick,
    promotions: VecDeque<Tick>,
    look_at: Tick,
    /// When a look was asked for that has no answer yet.
    looking_since: Option<Tick>,
    store_answers: bool,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    term: Term,
    /// Of the newest change that only the owner can have made: claim, beat, tower, window.
    newest_sign: Revision,
    heard: Tick,
    /// The last moment at which the store was seen to hold nothing newer.
    seen_through: Tick,
    /// A released identity has no owner that could be silent.
    released: bool,
    tried: Option<Tick>,
}

impl Watchdog {
    pub fn new(config: AutoConfig, now: Tick) -> Self {
        let quiet_until = now + config.hold_down;
        Self {
            config,
            held: false,
            owner: None,
            tip: 0,
            newest_vote: None,
            missing_since: None,
            quiet_until,
            promotions: VecDeque::new(),
            look_at: now,
            looking_since: None,
            store_answers: true,
        }
    }

    /// The watch saw a change of the owner's beat, tower or window.
    pub fn sign(&mut self, now: Tick, revision: Revision) {
        if let Some(owner) = self.owner.as_mut().filter(|owner| revision > owner.newest_sign) {
            owner.newest_sign = revision;
            owner.heard = owner.heard.max(now);
            owner.tried = None;
        }
    }

    /// The owner record was seen.
    pub fn owner_is(&mut self, now: Tick, term: Term, released: bool, revision: Revision) {
        match &mut self.owner {
            Some(owner) if owner.term > term => {}
            Some(owner) if owner.term == term => {
                owner.released |= released;
                owner.newest_sign = owner.newest_sign.max(revision);
            }
            before => {
                // The first owner we see is no change of owner.
                if before.is_some() {
                    self.quiet_until = self.quiet_until.max(now + self.config.hold_down);
                }
                *before =
                    Some(Owner { term, newest_sign: revision, heard: now, seen_through: now, released, tried: None });
            }
        }
    }

    /// The answer to a look that was asked for at `asked`.
    pub fn looked(&mut self, asked: Tick, now: Tick, pulse: &Pulse) {
        (self.looking_since, self.store_answers) = (None, true);
        if let Some(owner) = &pulse.owner {
            self.owner_is(now, owner.value.term, owner.value.released, owner.mod_revision);
        }
        self.sign(now, pulse.newest_sign);
        if let Some(owner) = &mut self.owner {
            owner.seen_through = owner.seen_through.max(asked);
        }
    }

    /// The store did not answer a look.
    pub fn look_failed(&mut self) {
        (self.looking_since, self.store_answers) = (None, false);
    }

    /// Where the cluster is, and the identity's newest vote, in a block or in gossip.
    pub fn chain(&mut self, now: Tick, tip: Slot, newest_vote: Option<Slot>) {
        self.newest_vote = self.newest_vote.max(newest_vote);
        self.tip = self.tip.max(tip);
        let missed = self.tip.saturating_sub(self.newest_vote.unwrap_or(0));
        self.missing_since = if missed >= self.config.missed_slots { self.missing_since.or(Some(now)) } else { None };
    }

    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// What would be done now. Changes nothing.
    pub fn verdict(&self, now: Tick, standing: &Standing) -> Verdict {
        if !standing.standing_by {
            return Verdict::NotStandingBy;
        }
        if self.held {
            return Verdict::Held;
        }
        if standing.objection.is_some() {
            return Verdict::NotAble;
        }
        if !self.store_answers {
            return Verdict::StoreSilent;
        }
        if now < self.quiet_until {
            return Verdict::HoldDown;
        }
        let Some(owner) = self.owner.filter(|owner| !owner.released) else { return Verdict::NoOwner };
        if owner.seen_through.since(owner.heard) < self.config.silence {
            return Verdict::OwnerSpeaks;
        }
        if self.missing_since.is_none_or(|since| now.since(since) < self.config.missed_for) {
            return Verdict::VotesLand;
        }
        match owner.tried {
            Some(tried) if now.since(tried) < self.config.retry_after => Verdict::Tried,
            // Another try for the same dead owner costs the budget nothing.
            None if self.promotions_since(now) >= self.config.promotions_per_hour_max => Verdict::BudgetSpent,
            Some(_) | None => Verdict::Promote(owner.term),
        }
    }

    /// The term to claim over, if it is time to. Said once, and again after a while if nothing came of it.
    pub fn decide(&mut self, now: Tick, standing: &Standing) -> Option<Term> {
        let Verdict::Promote(term) = self.verdict(now, standing) else { return None };
        while self.promotions.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.promotions.pop_front();
        }
        if let Some(owner) = &mut self.owner {
            if owner.tried.is_none() {
                self.promotions.push_back(now);
            }
            owner.tried = Some(now);
        }
        Some(term)
    }

    /// Whether the store is to be looked at now. Each `true` is answered by `looked` or `look_failed`.
    pub fn look_due(&mut self, now: Tick) -> bool {
        let waiting = self.looking_since.is_some_and(|since| now.since(since) < LOOK_PATIENCE);
        if waiting || now < self.next_look() {
            return false;
        }
        (self.look_at, self.looking_since) = (now + LOOK_EVERY, Some(now));
        true
    }

    fn next_look(&self) -> Tick {
        // While it speaks there is nothing to look for.
        self.owner.map_or(self.look_at, |owner| (owner.heard + self.config.silence).max(self.look_at))
    }

    /// When `look_due` or `decide` may have something new to say, if nothing is seen until then.
    pub fn next_deadline(&self, now: Tick) -> Tick {
        let look = match self.looking_since {
            Some(since) => since + LOOK_PATIENCE,
            None => self.next_look(),
        };
        let missed = self.missing_since.map(|since| since + self.config.missed_for);
        let tried = self.owner.and_then(|owner| owner.tried).map(|tried| tried + self.config.retry_after);
        [Some(look), missed, tried, Some(self.quiet_until)]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
            .unwrap_or(now + LOOK_EVERY)
    }

    pub fn promotions_left(&self, now: Tick) -> usize {
        self.config.promotions_per_hour_max.saturating_sub(self.promotions_since(now))
    }

    /// How long the owner has been silent, as far as we have looked.
    pub fn silent_for(&self) -> Option<Duration> {
        self.owner.filter(|owner| !owner.released).map(|owner| owner.seen_through.since(owner.heard))
    }

    fn promotions_since(&self, now: Tick) -> usize {
        self.promotions.iter().filter(|at| now.since(**at) < HOUR).count()
    }
}

const HOUR: Duration = Duration::from_secs(3600);
/// Looks are not closer together than this.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// A look whose answer got lost is asked again.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
