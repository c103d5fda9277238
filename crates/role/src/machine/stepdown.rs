//! HALT_LEAD, HALT_VOTE, LOCKED: the ways out, polite and not.

use {
    super::{Machine, State, refuse},
    crate::{
        event::{Effect, HandoverReport, NodeIdentity, Phases, RefusedKind, RequestId, RoleState},
        status::ExitStatus,
    },
    std::time::Duration,
    tandem_types::{Pubkey, Slot, Term, Tick, mutant::mutant},
};

/// An owner on its way out.
#[derive(Clone, Debug)]
pub(super) struct StepDown {
    pub term: Term,
    identity: Pubkey,
    pub reason: String,
    pub last_vote: Option<Slot>,
    /// When patience ends in the present state.
    pub deadline: Option<Tick>,
    /// How long each state may take.
    patience: Duration,
    /// The slot in production was told to be dropped.
    abandoned: bool,
    pub lead_done: bool,
    pub votes_done: bool,
    /// Nothing is left to be given back, or nobody to give it back to.
    released: bool,
    /// Gossip speaks as the identity and must be told to stop.
    speaks_as_identity: bool,
    switch_asked: bool,
    end: End,
    /// A request to answer with "stepped down".
    pub report: Option<RequestId>,
    /// A request to answer with a refusal.
    pub refuse: Option<(RequestId, RefusedKind, String)>,
}

#[derive(Clone, Debug)]
pub(super) enum End {
    Exit(ExitStatus, String),
    /// Under the key an operator named, or our own.
    Standby(Option<NodeIdentity>),
}

/// Why an owner stops at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Because {
    Fenced,
    /// It had signed nothing yet: there is no reason to end the process.
    FencedBeforeActive,
    StoreLost,
    Quarantined,
    Twin,
}

impl StepDown {
    pub fn new(term: Term, identity: Pubkey, speaks_as_identity: bool, end: End) -> Self {
        Self {
            term,
            identity,
            reason: String::new(),
            last_vote: None,
            deadline: None,
            patience: Duration::ZERO,
            abandoned: false,
            lead_done: false,
            votes_done: false,
            released: false,
            speaks_as_identity,
            switch_asked: false,
            end,
            report: None,
            refuse: None,
        }
    }

    pub fn set_end(&mut self, end: End) {
        self.end = end;
    }
}

/// What to do about a claim that was given back unused.
fn remedy_of(kind: RefusedKind) -> &'static str {
    match kind {
        RefusedKind::Twin => super::twin::REMEDY,
        RefusedKind::TooLong => "wait until `catchup` reports 0 and ask again; what was claimed was given back",
        RefusedKind::TakenMeanwhile => "look at `failover status` before you ask again",
        RefusedKind::WrongVoteAccount => "see `solana vote-account`; what was claimed was given back",
        RefusedKind::Busy
        | RefusedKind::NotCaughtUp
        | RefusedKind::NoAuthorizedVoter
        | RefusedKind::TowerMissing
        | RefusedKind::Quarantined
        | RefusedKind::WrongStore
        | RefusedKind::StoreUnavailable
        | RefusedKind::Unresolved
        | RefusedKind::Stopping => super::standby::RECOVER,
    }
}

impl Machine {
    /// Leaves in the polite order. A quarter of the claimant's patience is for the slot in production, a quarter for
    /// abandoning it, a quarter for the vote in flight; the rest is the store's.
    pub(super) fn leave_politely(
        &mut self,
        now: Tick,
        budget: Duration,
        end: End,
        reason: &str,
        out: &mut Vec<Effect>,
    ) {
        let State::Active(active) = &self.state else { return };
        let mut down = StepDown::new(active.term, active.identity, true, end);
        down.last_vote = active.last_vote;
        down.reason = reason.to_string();
        down.patience = budget / 4;
        down.deadline = Some(now + down.patience);
        self.enter(State::HaltLead(Box::new(down)), reason, out);
        out.push(Effect::HaltLead { abandon: false });
    }

    /// Stops at once: locked first, explained afterwards.
    pub(super) fn lose(&mut self, now: Tick, because: Because, reason: &str, out: &mut Vec<Effect>) {
        let down = match &self.state {
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => {
                let mut down =
                    StepDown::new(takeover.term, takeover.identity, self.shows(takeover), End::Standby(None));
                (down.lead_done, down.votes_done) = (true, true);
                down
            }
            State::Active(active) => StepDown::new(active.term, active.identity, true, End::Standby(None)),
            State::HaltLead(old) | State::HaltVote(old) => {
                let mut down = StepDown::new(old.term, old.identity, true, old.end.clone());
                (down.lead_done, down.votes_done) = (old.lead_done, old.votes_done);
                (down.report, down.last_vote) = (old.report, old.last_vote);
                down
            }
            State::Standby(_) | State::Locked(_) | State::Ended(_) => return,
        };
        let leaving_anyway = matches!(self.state, State::HaltLead(_) | State::HaltVote(_));
        if !mutant("role: a lost fence does not lock") {
            out.push(Effect::Lock);
        }
        if !down.lead_done {
            out.push(Effect::HaltLead { abandon: true });
        }
        if !down.votes_done {
            out.push(Effect::HaltVote);
        }
        let mut down = down;
        down.reason = reason.to_string();
        // Ours no more, or nothing can be written: there is nothing to give back.
        down.released = true;
        if !leaving_anyway {
            self.store_was_lost = because == Because::StoreLost;
            down.end = match because {
                Because::Fenced => self.end_after_loss(self.config.on_identity_loss, ExitStatus::Fenced, reason),
                Because::StoreLost => self.end_after_loss(self.config.on_store_loss, ExitStatus::StoreLost, reason),
                Because::Quarantined => self.end_after_loss(self.config.on_store_loss, ExitStatus::Refused, reason),
                Because::Twin => self.end_after_loss(self.config.on_identity_loss, ExitStatus::Twin, reason),
                Because::FencedBeforeActive => End::Standby(None),
            };
        }
        self.enter(State::Locked(Box::new(down)), reason, out);
        self.try_end(now, out);
    }

    pub(super) fn leader_slot_done(&mut self, now: Tick, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::HaltLead(down) => {
                down.lead_done = true;
                self.halt_votes(now, "no block in production", out);
            }
            State::HaltVote(down) | State::Locked(down) => {
                down.lead_done = true;
                self.try_end(now, out);
            }
            State::Standby(_)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::Active(_)
            | State::Ended(_) => {}
        }
    }

    fn halt_votes(&mut self, now: Tick, why: &str, out: &mut Vec<Effect>) {
        let State::HaltLead(down) = &mut self.state else { return };
        let mut down = down.clone();
        down.deadline = Some(now + down.patience);
        self.enter(State::HaltVote(down), why, out);
        out.push(Effect::HaltVote);
    }

    pub(super) fn votes_settled(&mut self, now: Tick, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::HaltVote(down) => {
                down.votes_done = true;
                self.lock(now, "votes settled", out);
            }
            State::Locked(down) => {
                down.votes_done = true;
                self.try_end(now, out);
            }
            State::Standby(_)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::Active(_)
            | State::HaltLead(_)
            | State::Ended(_) => {}
        }
    }

    fn lock(&mut self, now: Tick, why: &str, out: &mut Vec<Effect>) {
        let State::HaltVote(down) = &mut self.state else { return };
        let mut down = down.clone();
        down.deadline = None;
        self.enter(State::Locked(down), why, out);
        self.lock_and_release(out);
        self.try_end(now, out);
    }

    /// Keys first, store second.
    pub(super) fn lock_and_release(&mut self, out: &mut Vec<Effect>) {
        let State::Locked(down) = &self.state else { return };
        if !mutant("role: gives back without locking") {
            out.push(Effect::Lock);
        }
        out.push(Effect::Release { term: down.term, reason: down.reason.clone() });
    }

    pub(super) fn released(&mut self, now: Tick, out: &mut Vec<Effect>) {
        if let State::Locked(down) = &mut self.state {
            down.released = true;
            self.try_end(now, out);
        }
    }

    pub(super) fn stepdown_timer(&mut self, now: Tick, out: &mut Vec<Effect>) {
        match &mut self.state {
            State::HaltLead(down) if down.deadline.is_some_and(|at| now >= at) => {
                if !down.abandoned {
                    down.abandoned = true;
                    down.deadline = Some(now + down.patience);
                    out.push(Effect::HaltLead { abandon: true });
                } else {
                    // The producer does not answer. Locking stops it: each shred needs a signature.
                    self.halt_votes(now, "the slot in production did not end in time", out);
                }
            }
            State::HaltVote(down) if down.deadline.is_some_and(|at| now >= at) => {
                self.lock(now, "the vote in flight did not settle in time", out);
            }
            State::Standby(_)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::Active(_)
            | State::HaltLead(_)
            | State::HaltVote(_)
            | State::Locked(_)
            | State::Ended(_) => {}
        }
    }

    pub(super) fn stepdown_switched(&mut self, now: Tick, to: NodeIdentity, out: &mut Vec<Effect>) {
        // The answer to an earlier switch, to the identity, may come after we asked to leave it.
        if let State::Locked(down) = &mut self.state
            && !matches!(to, NodeIdentity::Active(_))
        {
            down.speaks_as_identity = false;
            self.try_end(now, out);
        }
    }

    fn try_end(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let State::Locked(down) = &mut self.state else { return };
        if !down.released {
            return;
        }
        if let End::Exit(status, reason) = &down.end {
            let (status, reason, term) = (*status, reason.clone(), down.term);
            let (report, refused) = (down.report.take(), down.refuse.take());
            if let Some(request) = report {
                let outcome = Ok(HandoverReport { role: RoleState::Locked, term, ..self.standby_report() });
                out.push(Effect::Reply { request, outcome });
            }
            if let Some((request, kind, reason)) = refused {
                refuse(request, kind, &reason, remedy_of(kind), out);
            }
            out.push(Effect::Exit { status, reason });
            self.state = State::Ended(RoleState::Locked);
            return;
        }
        // Another key may speak only when no block and no vote of the old one is being made.
        if !(down.lead_done && down.votes_done) {
            return;
        }
        let name = match &down.end {
            End::Standby(Some(name)) => *name,
            End::Standby(None) | End::Exit(_, _) => NodeIdentity::Standby,
        };
        if down.speaks_as_identity {
            if !down.switch_asked {
                down.switch_asked = true;
                out.push(Effect::SwitchNodeIdentity(name));
            }
            return;
        }
        let (term, last_vote) = (down.term, down.last_vote);
        let (report, refused) = (down.report.take(), down.refuse.take());
        self.poll_at = Some(now + self.config.standby_poll);
        if let NodeIdentity::StandbyAs(key) = name {
            self.standby_identity = key;
        }
        self.enter(State::Standby(None), "standing by", out);
        if let Some(request) = report {
            let phases = Phases::default();
            let report =
                HandoverReport { role: RoleState::Standby, term, last_vote_slot: last_vote, phases, slots_missed: 0 };
            out.push(Effect::Reply { request, outcome: Ok(report) });
        }
        if let Some((request, kind, reason)) = refused {
            refuse(request, kind, &reason, remedy_of(kind), out);
        }
    }

    pub(super) fn shutdown(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let end = End::Exit(ExitStatus::Done, "asked to stop".into());
        match &mut self.state {
            State::Standby(pursuit) => {
                if let Some(request) = pursuit.take().and_then(|pursuit| pursuit.request) {
                    refuse(request, RefusedKind::Stopping, "this node is stopping", "ask the other machine", out);
                }
                out.push(Effect::Exit { status: ExitStatus::Done, reason: "asked to stop".into() });
                self.state = State::Ended(RoleState::Standby);
            }
            State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) => {
                self.back_out(now, RefusedKind::Stopping, "this node is stopping", out);
                if let State::Locked(down) = &mut self.state {
                    down.end = end;
                    if let Some((request, kind, reason)) = down.refuse.take() {
                        refuse(request, kind, &reason, "ask the other machine", out);
                    }
                }
            }
            State::Active(_) => self.leave_politely(now, self.config.intent_deadline, end, "asked to stop", out),
            State::HaltLead(down) | State::HaltVote(down) | State::Locked(down) => {
                if let End::Standby(_) = down.end {
                    down.end = end;
                }
                self.try_end(now, out);
            }
            State::Ended(_) => {}
        }
    }
}
