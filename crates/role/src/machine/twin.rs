//! Twins (I7): a process with the same key and another store. The fence works only among those who share a store, so what others
//! see of a twin, its votes and its name in gossip, is all there is to find it by.
//!
//! * Before we sign, a vote for a slot that nobody can have known before our claim is a twin's: we give back what we claimed.
//! * While we sign, so is every vote that this process did not release and that is newer than the tower it claimed. A
//!   folder on one machine cannot tell who is right, and its owner ends, as agave does. With a shared store the rightful
//!   owner goes on and says so, unless the twin is ahead of the store: then our next vote may contradict one of its.

use {
    super::{
        Machine, State, refuse,
        stepdown::{Because, End},
        takeover::{Doubt, Takeover},
    },
    crate::{
        config::ConfiguredRole,
        event::{Effect, RefusedKind},
        status::ExitStatus,
    },
    std::time::Duration,
    tandem_types::{Slot, Tick, mutant::mutant},
};

impl Machine {
    /// The newest slot that an owner before us can have voted for, judged at the moment of the claim: the cluster's tip, and a
    /// little more for what we have not heard of yet.
    pub(super) fn own_votes_until(&self) -> Slot {
        let near = self.config.caught_up_slots_max;
        self.chain.tip.saturating_add(self.chain.slots_behind.min(near)).saturating_add(near)
    }

    /// Whether gossip shows us as the identity. With a folder for a store it does from the start.
    pub(super) fn shows(&self, takeover: &Takeover) -> bool {
        takeover.switching || self.config.store_is_exclusive
    }

    /// Gives back what was claimed: somebody else is at work. With a folder for a store there is nobody to stand by for.
    pub(super) fn back_out_of_twin(&mut self, now: Tick, what: &str, out: &mut Vec<Effect>) {
        self.back_out(now, RefusedKind::Twin, what, out);
        // Whoever asked is told by the answer, and a node that ends by its last line. One that claimed by itself and stands by
        // from now on would otherwise never say that a second process is at large.
        if let State::Locked(down) = &self.state
            && down.refuse.is_none()
            && !self.config.store_is_exclusive
        {
            out.push(Effect::Alarm { reason: reason(what) });
        }
        if let State::Locked(down) = &mut self.state
            && self.config.store_is_exclusive
        {
            down.set_end(End::Exit(ExitStatus::Twin, reason(what)));
        }
    }

    pub(super) fn vote_elsewhere(&mut self, now: Tick, slot: Slot, voter_stopped: bool, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) if voter_stopped => {
                self.back_out_of_twin(now, &voted(slot), out);
            }
            // A voter that does not vote any more must not go on as an owner, whatever the slot.
            State::Active(active) if !voter_stopped && active.claimed_vote.is_some_and(|claimed| slot <= claimed) => {}
            State::Active(_) if voter_stopped && mutant("role: a voter that doubts is ignored") => {}
            State::Active(_) if self.config.store_is_exclusive => {
                self.lose(now, Because::Twin, &reason(&voted(slot)), out);
            }
            State::Active(active) => {
                let worse = match &active.doubt {
                    None => true,
                    Some(Doubt::Twin { slot: known, voter_stopped: stopped }) => {
                        slot > *known || voter_stopped && !*stopped
                    }
                    Some(Doubt::Tower(_)) => false,
                };
                if worse {
                    active.doubt = Some(Doubt::Twin { slot, voter_stopped });
                    self.read_store(out);
                }
            }
            // A standby hears of the owner's votes all the time; what it may claim over them is judged when it does.
            State::Standby(_)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::HaltLead(_)
            | State::HaltVote(_)
            | State::Locked(_)
            | State::Ended(_) => {}
        }
    }

    /// The store is ours, and holds more than the twin has voted for.
    pub(super) fn alarm(&mut self, now: Tick, slot: Slot, out: &mut Vec<Effect>) {
        let State::Active(active) = &mut self.state else { return };
        if active.alarmed.is_some_and(|at| now.since(at) < ALARM_EVERY) {
            return;
        }
        active.alarmed = Some(now);
        active.reannounce = true;
        out.push(Effect::Alarm { reason: reason(&voted(slot)) });
    }

    pub(super) fn seen_elsewhere(&mut self, now: Tick, alive: bool, out: &mut Vec<Effect>) {
        if !self.config.store_is_exclusive {
            if let State::Active(active) = &mut self.state {
                active.reannounce = true;
                self.read_store(out);
            }
            return;
        }
        if !alive {
            return;
        }
        let what = "this identity is in gossip from another address, and began later than this node";
        match &mut self.state {
            State::Standby(pursuit) if self.config.role == ConfiguredRole::Primary => {
                if let Some(request) = pursuit.take().and_then(|pursuit| pursuit.request) {
                    refuse(request, RefusedKind::Twin, what, REMEDY, out);
                }
                out.push(Effect::Exit { status: ExitStatus::Twin, reason: reason(what) });
                self.state = State::Ended(self.role());
            }
            State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) => self.back_out_of_twin(now, what, out),
            State::Active(_) => self.lose(now, Because::Twin, &reason(what), out),
            State::Standby(_) | State::HaltLead(_) | State::HaltVote(_) | State::Locked(_) | State::Ended(_) => {}
        }
    }
}

pub(super) fn voted(slot: Slot) -> String {
    format!("another process has voted for slot {slot} with this identity's keys, and not through this node's store")
}

pub(super) fn reason(what: &str) -> String {
    format!("{what}; {REMEDY}")
}

pub(super) const REMEDY: &str = "find the other process and stop it: was one started without `--tower-storage etcd`, with another etcd, or \
     from a copy of the ledger folder? Both machines of a pair must use the same store";

const ALARM_EVERY: Duration = Duration::from_secs(10);
