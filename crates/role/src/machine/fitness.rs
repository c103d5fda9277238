//! An owner that is of no use to the identity does not keep it from a machine that would be.

use {
    super::{Machine, State},
    crate::{
        event::{Effect, RefusedKind},
        records::IntentRecord,
        status::ExitStatus,
    },
    tandem_types::Tick,
};

impl Machine {
    /// An owner that signs, or is on its way to it: it waits for what any other owner would have to wait for as well, or has used
    /// less than half of its time. What its beats say.
    pub fn may_vote(&self, now: Tick) -> bool {
        match &self.state {
            State::Active(_) => true,
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => {
                takeover.holds(self.chain.tip) || now + self.config.takeover_deadline / 2 < takeover.give_up_at
            }
            State::Standby(_) | State::HaltLead(_) | State::HaltVote(_) | State::Locked(_) | State::Ended(_) => false,
        }
    }

    /// An owner that cannot sign yet has nothing to finish.
    pub(super) fn takeover_intent(&mut self, now: Tick, intent: &IntentRecord, out: &mut Vec<Effect>) {
        let (State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover)) = &self.state else {
            return;
        };
        if intent.term_seen == takeover.term && intent.instance != self.instance {
            let reason = format!("{} asked for the identity ({})", intent.to, intent.reason);
            self.back_out(now, RefusedKind::TakenMeanwhile, &reason, out);
        }
    }

    pub(super) fn released_vote(&mut self) {
        if let State::Active(active) = &mut self.state {
            active.unreleased = 0;
        }
    }

    /// An owner that leads, looks alive and does not vote costs the identity its votes: another machine may do better.
    pub(super) fn unreleased_vote(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        let State::Active(active) = &mut self.state else { return };
        active.unreleased += 1;
        if active.unreleased < UNRELEASED_MAX {
            return;
        }
        let reason = format!(
            "{UNRELEASED_MAX} votes in a row could not be sent: {reason}; see `validator authorized-voter` and `failover plan`, then \
             `set-identity` on the machine that can vote"
        );
        let end = self.end_after_loss(self.config.on_identity_loss, ExitStatus::Refused, &reason);
        self.leave_politely(now, self.config.intent_deadline, end, &reason, out);
    }
}

/// As many as fill the threshold's depth: from then on the lockouts of those that others cannot see begin to weigh.
const UNRELEASED_MAX: u32 = 8;
