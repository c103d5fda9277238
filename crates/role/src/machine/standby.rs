//! STANDBY: who may become active, and the way there: look, ask, wait, claim. Nothing of this changes the node.

use {
    super::{Machine, State, account::misfit, refuse},
    crate::{
        config::Failback,
        event::{
            Candidate, Effect, HandoverReport, NodeIdentity, Phases, ReadId, RefusedKind, RequestId, RoleState,
            SetIdentity, StoreCall, StoreFacts,
        },
        protocol::describe_owner,
        records::{OwnerRecord, Preference},
        status::ExitStatus,
    },
    tandem_types::{Pubkey, Slot, Term, Tick, mutant::mutant},
};

/// One attempt to become active.
#[derive(Debug)]
pub(super) struct Pursuit {
    /// Whom to answer.
    pub request: Option<RequestId>,
    pub identity: Pubkey,
    /// Where to turn back to, if nothing comes of it.
    previous: Option<Pubkey>,
    require_tower: bool,
    why: Why,
    pub step: Step,
    pub started: Tick,
    /// When the present phase began.
    pub mark: Tick,
    pub phases: Phases,
    /// The newest vote we knew of when the store was asked: its answer must not be older. (What we learn while the
    /// answer is on its way may rightly be newer than it.)
    pub floor: Option<Slot>,
}

/// What set a pursuit off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Operator,
    /// A configured primary came up.
    Restart,
    /// A claim without an answer turned out to have happened.
    Resumed,
    /// The store that we had to stand by for answers again, and still names us.
    StoreBack,
    /// The owner of this term was found dead.
    Automatic(Term),
}

#[derive(Debug)]
pub(super) enum Step {
    /// The identity's store is not open yet.
    Opening,
    Reading(ReadId),
    /// An owner that lets go cannot take it back while we catch up, so we do that before we ask.
    CatchingUp {
        facts: Box<StoreFacts>,
        until: Tick,
    },
    /// `owner_changed`: the owner was seen to change meanwhile. It learns of the wish by its own watch, perhaps before we
    /// learn that the wish was written.
    WritingIntent {
        facts: Box<StoreFacts>,
        owner_changed: bool,
    },
    Waiting {
        until: Tick,
        poll_at: Tick,
        reading: Option<ReadId>,
        facts: Box<StoreFacts>,
    },
    Claiming,
}

impl Pursuit {
    pub fn next_deadline(&self) -> Option<Tick> {
        match &self.step {
            Step::Opening | Step::Reading(_) | Step::WritingIntent { .. } | Step::Claiming => None,
            Step::CatchingUp { until, .. } => Some(*until),
            Step::Waiting { until, reading: Some(_), .. } => Some(*until),
            Step::Waiting { until, poll_at, reading: None, .. } => Some(*until.min(poll_at)),
        }
    }

    /// Ends a phase: the milliseconds since the last mark.
    pub fn lap(&mut self, now: Tick) -> u64 {
        let ms = millis(now, self.mark);
        self.mark = now;
        ms
    }

    /// Nobody asked for it, and nobody will ask again.
    pub fn is_restart(&self) -> bool {
        self.why == Why::Restart
    }

    pub fn reason(&self) -> &'static str {
        match self.why {
            Why::Operator => "set-identity",
            Why::Restart => "restart",
            Why::Resumed => "claim found done",
            Why::StoreBack => "the store is back and still names this machine",
            Why::Automatic(_) => "automatic: the owner is silent",
        }
    }

    pub fn is_claiming(&self) -> bool {
        matches!(self.step, Step::Claiming)
    }
}

pub(super) fn millis(now: Tick, since: Tick) -> u64 {
    u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX)
}

/// What stands against a claim.
pub(super) struct Objection {
    pub kind: RefusedKind,
    pub reason: String,
    pub remedy: &'static str,
}

/// What to do with an owner found in the store.
enum Approach {
    Claim,
    Ask,
    LeaveAlone(String),
}

impl Machine {
    pub(super) fn standby_set_identity(&mut self, now: Tick, wish: SetIdentity, out: &mut Vec<Effect>) {
        if wish.identity == self.standby_identity {
            out.push(Effect::Reply { request: wish.request, outcome: Ok(self.standby_report()) });
            return;
        }
        if let Err(objection) = self.admissible(&wish.identity, &wish.candidate) {
            refuse(wish.request, objection.kind, &objection.reason, objection.remedy, out);
            return;
        }
        if let State::Standby(Some(pursuit)) = &mut self.state {
            // Once the store was looked at, it is too late to insist on a tower.
            let in_time = !wish.require_tower
                || pursuit.require_tower
                || matches!(pursuit.step, Step::Opening | Step::Reading(_));
            if pursuit.request.is_none() && pursuit.identity == wish.identity && in_time {
                // The operator asks for what this primary is about to do anyway: it now does it in their name.
                pursuit.request = Some(wish.request);
                pursuit.why = Why::Operator;
                pursuit.require_tower |= wish.require_tower;
                self.joined.lead(wish.request, wish.identity, pursuit.require_tower);
                return;
            }
            let reason = "this node is about to become active already";
            refuse(wish.request, RefusedKind::Busy, reason, "wait for it to end, then ask again", out);
            return;
        }
        let previous = self.identity.filter(|identity| *identity != wish.identity);
        self.open_for(wish.identity, out);
        self.joined.lead(wish.request, wish.identity, wish.require_tower || self.config.require_tower);
        self.pursue(now, wish.identity, Some(wish.request), wish.require_tower, Why::Operator, out);
        if let State::Standby(Some(pursuit)) = &mut self.state {
            pursuit.previous = previous;
        }
    }

    /// Why a claim that nobody asked for is not made; said once, though the root that it speaks of moves on.
    fn object(&mut self, objection: &Objection, out: &mut Vec<Effect>) {
        let about = (objection.kind, self.chain.candidate.vote_account_node);
        if objection.kind != RefusedKind::NotCaughtUp && self.objected != Some(about) {
            self.objected = Some(about);
            let why = format!("{}; {}", objection.reason, objection.remedy);
            self.enter(State::Standby(None), &why, out);
        }
    }

    /// The watchdog found the owner of `term` dead. Nobody is asked to let go, and nobody is answered.
    pub(super) fn promote(&mut self, now: Tick, term: Term, candidate: &Candidate, out: &mut Vec<Effect>) {
        self.chain.candidate = *candidate;
        let (State::Standby(None), Some(identity)) = (&self.state, self.identity) else { return };
        match self.admissible(&identity, candidate) {
            Ok(()) => self.pursue(now, identity, None, false, Why::Automatic(term), out),
            Err(objection) => {
                let why = format!("no automatic failover: {}; {}", objection.reason, objection.remedy);
                self.enter(State::Standby(None), &why, out);
            }
        }
    }

    /// Everything that can be said against becoming active without asking the store.
    pub(super) fn admissible(&self, identity: &Pubkey, candidate: &Candidate) -> Result<(), Objection> {
        let object = |kind, reason: String, remedy| Err(Objection { kind, reason, remedy });
        if let Some((reason, remedy)) = misfit(identity, candidate) {
            return object(RefusedKind::WrongVoteAccount, reason, remedy);
        }
        if !candidate.authorized_voter_held {
            return object(
                RefusedKind::NoAuthorizedVoter,
                "no key given to this node may vote for its vote account now".into(),
                "add it with `authorized-voter add`; nothing was claimed",
            );
        }
        if !self.caught_up() {
            let behind = match self.chain.slots_behind {
                u64::MAX => "where the cluster is is not known yet".to_owned(),
                slots => format!("{slots} slots behind"),
            };
            let root = if self.chain.root_advancing { "advancing" } else { "not advancing" };
            let owner = self.chain.owner.map_or(String::new(), |owner| {
                let finality = if owner.finalizes { " and sees blocks become final" } else { "" };
                format!("; the owner is at slot {}{finality}, this node at {}", owner.tip, self.chain.tip)
            });
            let reason = format!("this node has not caught up: {behind}, root {root}{owner}");
            return object(
                RefusedKind::NotCaughtUp,
                reason,
                "wait until `catchup` reports 0 and ask again; nothing was claimed",
            );
        }
        Ok(())
    }

    fn pursue(
        &mut self,
        now: Tick,
        identity: Pubkey,
        request: Option<RequestId>,
        require_tower: bool,
        why: Why,
        out: &mut Vec<Effect>,
    ) {
        let floor = self.newest_known_vote();
        let step = if self.opening.is_some() { Step::Opening } else { Step::Reading(self.read_store(out)) };
        let require_tower = require_tower || self.config.require_tower;
        let (previous, phases) = (None, Phases::default());
        let (started, mark) = (now, now);
        let pursuit = Pursuit { request, identity, previous, require_tower, why, step, started, mark, phases, floor };
        self.state = State::Standby(Some(Box::new(pursuit)));
    }

    /// The store of another identity than before is open: the pursuit that waited for it goes on.
    pub(super) fn look_once_open(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let State::Standby(Some(pursuit)) = &self.state else { return };
        if !matches!(pursuit.step, Step::Opening) {
            return;
        }
        let floor = self.newest_known_vote();
        let read = self.read_store(out);
        if let State::Standby(Some(pursuit)) = &mut self.state {
            (pursuit.step, pursuit.floor, pursuit.mark) = (Step::Reading(read), floor, now);
        }
    }

    /// Asks the owner once its last vote, as we read it, is on a block we have, or patience ends.
    fn catch_up_then_ask(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let tip = self.chain.tip;
        let State::Standby(Some(pursuit)) = &self.state else { return };
        let Step::CatchingUp { facts, until } = &pursuit.step else { return };
        if now >= *until || facts.tower_last_vote <= Some(tip) {
            let facts = facts.clone();
            self.ask(&facts, out);
        }
    }

    pub(super) fn standby_chain(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.catch_up_then_ask(now, out);
        let State::Standby(None) = self.state else { return };
        let Some(identity) = self.identity else { return };
        if self.claims_by_itself && self.caught_up() && now >= self.claims_after {
            if let Err(objection) = self.admissible(&identity, &self.chain.candidate) {
                self.object(&objection, out);
                self.end_if_misnamed(&identity, out);
                return;
            }
            self.objected = None;
            self.pursue(now, identity, None, false, Why::Restart, out);
        } else if self.poll_at.is_none() {
            self.poll_at = Some(now + self.config.standby_poll);
        }
    }

    pub(super) fn standby_timer(&mut self, now: Tick, out: &mut Vec<Effect>) {
        match &self.state {
            State::Standby(None) if self.poll_at.is_some_and(|at| now >= at) => {
                self.poll_at = Some(now + self.config.standby_poll);
                self.look_or_open(out);
            }
            State::Standby(Some(_)) => self.waiting_timer(now, out),
            State::Standby(None)
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

    fn waiting_timer(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.catch_up_then_ask(now, out);
        let State::Standby(Some(pursuit)) = &self.state else { return };
        let Step::Waiting { until, poll_at, reading, facts } = &pursuit.step else { return };
        if now >= *until {
            let facts = facts.clone();
            self.claim(now, &facts, out);
        } else if now >= *poll_at && reading.is_none() {
            self.look_while_waiting(out);
        }
    }

    fn look_while_waiting(&mut self, out: &mut Vec<Effect>) {
        let floor = self.newest_known_vote();
        let read = self.read_store(out);
        if let State::Standby(Some(pursuit)) = &mut self.state
            && let Step::Waiting { reading, .. } = &mut pursuit.step
        {
            *reading = Some(read);
            pursuit.floor = floor;
        }
    }

    pub(super) fn standby_owner_changed(&mut self, now: Tick, owner: Option<&OwnerRecord>, out: &mut Vec<Effect>) {
        let State::Standby(pursuit) = &mut self.state else { return };
        if let Some(owner) = owner {
            self.term_seen = self.term_seen.max(owner.term);
        }
        match pursuit.as_mut().map(|pursuit| &mut pursuit.step) {
            Some(Step::Waiting { .. }) => self.look_while_waiting(out),
            Some(Step::WritingIntent { owner_changed, .. }) => *owner_changed = true,
            // Worth a look before the next poll is due; nobody waits for it, so once is enough.
            None if self.claim_unresolved || self.store_was_lost => self.poll_at = Some(now),
            // Who is asked then is looked at when the wish is written.
            Some(Step::Opening | Step::Reading(_) | Step::CatchingUp { .. } | Step::Claiming) | None => {}
        }
    }

    pub(super) fn standby_read(&mut self, now: Tick, read: ReadId, facts: &StoreFacts, out: &mut Vec<Effect>) {
        let State::Standby(pursuit) = &mut self.state else { return };
        let Some(pursuit) = pursuit else {
            let ours = facts.owner.as_ref().is_some_and(|owner| owner.instance == self.instance && !owner.released);
            // Somebody else has had it since, or was given it: from then on only an operator gives it to us.
            self.store_was_lost &= ours;
            let why = match (self.claim_unresolved, self.store_was_lost) {
                (true, _) => Why::Resumed,
                // With a claim we do not use we would only keep the other machine waiting.
                (false, true) if self.caught_up() => Why::StoreBack,
                (false, _) => return,
            };
            if let (true, Some(identity)) = (ours, self.identity) {
                if let Err(objection) = self.admissible(&identity, &self.chain.candidate) {
                    self.object(&objection, out);
                    return;
                }
                self.pursue(now, identity, None, false, why, out);
            }
            return;
        };
        match &mut pursuit.step {
            Step::Reading(asked) if *asked == read => {
                pursuit.phases.read_ms = pursuit.lap(now);
                self.approach(now, facts, out);
            }
            Step::Waiting { reading, poll_at, facts: known, .. } if *reading == Some(read) => {
                *reading = None;
                *poll_at = now + self.config.release_poll;
                let same_owner = known.owner.as_ref().map(|owner| owner.instance)
                    == facts.owner.as_ref().map(|owner| owner.instance);
                **known = facts.clone();
                if !same_owner {
                    self.taken_meanwhile(now, facts, out);
                } else if let Some(objection) = self.objection(facts) {
                    self.refuse_pursuit(now, objection, out);
                } else if facts.owner.as_ref().is_none_or(|owner| owner.released) {
                    self.claim(now, facts, out);
                }
            }
            Step::Opening
            | Step::Reading(_)
            | Step::CatchingUp { .. }
            | Step::Waiting { .. }
            | Step::WritingIntent { .. }
            | Step::Claiming => {}
        }
    }

    /// The store was read: refuse, claim at once, ask the owner, or leave it alone.
    fn approach(&mut self, now: Tick, facts: &StoreFacts, out: &mut Vec<Effect>) {
        if let Some(objection) = self.objection(facts) {
            self.refuse_pursuit(now, objection, out);
            return;
        }
        match self.approach_to(facts) {
            Approach::Claim => self.claim(now, facts, out),
            // Who would not wait for the answer need not ask.
            Approach::Ask if self.config.intent_deadline.is_zero() => self.claim(now, facts, out),
            Approach::Ask => {
                let State::Standby(Some(pursuit)) = &mut self.state else { return };
                // A dead owner's last block may never come: the operator must not wait much longer for it than for the owner.
                let until = now + self.config.intent_deadline / 4;
                pursuit.step = Step::CatchingUp { facts: Box::new(facts.clone()), until };
                self.catch_up_then_ask(now, out);
            }
            Approach::LeaveAlone(why) => {
                self.claims_by_itself = false;
                self.enter(State::Standby(None), &why, out);
            }
        }
    }

    fn approach_to(&self, facts: &StoreFacts) -> Approach {
        let Some(owner) = facts.owner.as_ref().filter(|owner| !owner.released) else { return Approach::Claim };
        if self.is_me(owner) || self.config.store_is_exclusive || self.is_dead_run_of_ours(owner) {
            return Approach::Claim;
        }
        let why = match &self.state {
            State::Standby(Some(pursuit)) => pursuit.why,
            State::Standby(None)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::Active(_)
            | State::HaltLead(_)
            | State::HaltVote(_)
            | State::Locked(_)
            | State::Ended(_) => Why::Restart,
        };
        let asked = match why {
            Why::Operator => true,
            Why::Restart | Why::Resumed => false,
            Why::StoreBack => {
                return Approach::LeaveAlone(format!(
                    "the store is back, but meanwhile {}: staying standby; use set-identity to take over",
                    describe_owner(Some(owner))
                ));
            }
            Why::Automatic(term) if term == owner.term => return Approach::Claim,
            Why::Automatic(term) => {
                return Approach::LeaveAlone(format!(
                    "no automatic failover: the owner of term {term} was silent, but {}",
                    describe_owner(Some(owner))
                ));
            }
        };
        if asked || owner.host == self.config.host {
            return Approach::Ask;
        }
        match (self.config.failback, owner.preference) {
            (Failback::Preferred, Preference::Secondary) => Approach::Ask,
            (Failback::Preferred, Preference::Primary) => Approach::LeaveAlone(format!(
                "{}, and that machine is a configured primary too: staying standby; use set-identity to take over",
                describe_owner(Some(owner))
            )),
            (Failback::Sticky, _) => Approach::LeaveAlone(format!(
                "{}: staying standby (--failback sticky); use set-identity to take over",
                describe_owner(Some(owner))
            )),
        }
    }

    /// What in the store forbids a claim. Looked at before anything is written.
    fn objection(&self, facts: &StoreFacts) -> Option<Objection> {
        let State::Standby(Some(pursuit)) = &self.state else { return None };
        self.objection_in_store(facts, pursuit.require_tower, pursuit.floor)
    }

    /// `floor`: the newest vote that was known when the store was asked.
    pub(super) fn objection_in_store(
        &self,
        facts: &StoreFacts,
        require_tower: bool,
        floor: Option<Slot>,
    ) -> Option<Objection> {
        if require_tower && !facts.has_tower && !mutant("role: --require-tower is ignored") {
            return Some(Objection {
                kind: RefusedKind::TowerMissing,
                reason: "the store has no tower for this identity".into(),
                remedy: "import one with `failover recover --import`, or leave --require-tower away; nothing was claimed",
            });
        }
        if let Some(reason) = self.unexpected_void(facts.has_tower, floor) {
            return Some(Objection { kind: RefusedKind::Quarantined, reason, remedy: ADOPT });
        }
        if let Some(reason) = self.older_than_known(facts.has_tower, facts.tower_last_vote, floor) {
            return Some(Objection { kind: RefusedKind::Quarantined, reason, remedy: RECOVER });
        }
        let newest_usable = self.chain.tip.saturating_add(self.config.caught_up_slots_max);
        match facts.tower_last_vote {
            Some(vote) if vote > newest_usable => Some(Objection {
                kind: RefusedKind::NotCaughtUp,
                reason: format!(
                    "the tower's last vote is for slot {vote}, this node has replayed to {}",
                    self.chain.tip
                ),
                remedy: "wait until this node has caught up and ask again; nothing was claimed",
            }),
            Some(_) | None => None,
        }
    }

    /// I6: the tower must be no older than the newest vote we know of. No tower at all is allowed (an identity that
    /// never used this store) unless we have seen one there.
    pub(super) fn older_than_known(
        &self,
        has_tower: bool,
        last_vote: Option<Slot>,
        known: Option<Slot>,
    ) -> Option<String> {
        if !has_tower {
            return self.tower_seen.map(|slot| {
                format!("the store has lost its tower: one whose last vote was for slot {slot} was there before")
            });
        }
        if mutant("role: an older tower is adopted") {
            return None;
        }
        let known = known.filter(|known| last_vote.is_none_or(|vote| vote < *known))?;
        let found = last_vote.map_or("has no vote".to_string(), |vote| format!("ends with slot {vote}"));
        Some(format!(
            "the store's tower {found}, but this identity has voted for slot {known}: the store is older than the chain"
        ))
    }

    /// Why what was read cannot be the identity's own newest store.
    pub(super) fn doubt(&self, has_tower: bool, last_vote: Option<Slot>, floor: Option<Slot>) -> Option<String> {
        self.unexpected_void(has_tower, floor).or_else(|| self.older_than_known(has_tower, last_vote, floor))
    }

    /// No tower, and yet the identity has voted: a new store, a lost one, or a wrong one. A person knows which.
    pub(super) fn unexpected_void(&self, has_tower: bool, voted: Option<Slot>) -> Option<String> {
        let voted = voted?;
        let is_known = has_tower || self.config.adopt_chain_tower || self.accepted || self.tower_seen.is_some();
        (!is_known).then(|| format!("the store has no tower, but this identity has voted up to slot {voted}"))
    }

    /// What is known of the store begins anew. A primary does not claim by itself after that: the person who is there does.
    pub(super) fn vouched(&mut self, now: Tick, tower_forgotten: bool) {
        self.quarantine = None;
        if tower_forgotten {
            (self.tower_seen, self.accepted) = (None, true);
        }
        if let State::Standby(None) = &self.state {
            self.poll_at = Some(now);
        }
    }

    fn ask(&mut self, facts: &StoreFacts, out: &mut Vec<Effect>) {
        let deadline_ms = u64::try_from(self.config.intent_deadline.as_millis()).unwrap_or(u64::MAX);
        let State::Standby(Some(pursuit)) = &mut self.state else { return };
        let owner = facts.owner.as_ref().expect("invariant: only an owner is asked");
        out.push(Effect::WriteIntent {
            owner_revision: facts.owner_revision,
            term_seen: owner.term,
            from: owner.host.clone(),
            deadline_ms,
            reason: pursuit.reason().into(),
        });
        pursuit.step = Step::WritingIntent { facts: Box::new(facts.clone()), owner_changed: false };
    }

    pub(super) fn standby_intent_written(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let State::Standby(Some(pursuit)) = &mut self.state else { return };
        let Step::WritingIntent { facts, owner_changed } = &pursuit.step else { return };
        let until = now + self.config.intent_deadline;
        let poll_at = now + self.config.release_poll;
        let owner_changed = *owner_changed;
        pursuit.step = Step::Waiting { until, poll_at, reading: None, facts: facts.clone() };
        if owner_changed {
            self.look_while_waiting(out);
        }
    }

    /// Whatever set it off, nothing is claimed that could not be used: things may have changed while we waited.
    fn claim(&mut self, now: Tick, facts: &StoreFacts, out: &mut Vec<Effect>) {
        if let State::Standby(Some(pursuit)) = &self.state
            && let Err(objection) = self.admissible(&pursuit.identity, &self.chain.candidate)
        {
            self.refuse_pursuit(now, objection, out);
            return;
        }
        let floor = self.newest_known_vote();
        let State::Standby(Some(pursuit)) = &mut self.state else { return };
        if let Step::Waiting { .. } = pursuit.step {
            pursuit.phases.intent_ms = pursuit.lap(now);
        }
        pursuit.floor = floor;
        pursuit.step = Step::Claiming;
        out.push(Effect::Claim {
            owner_revision: facts.owner_revision,
            term_seen: facts.owner.as_ref().map_or(Term(0), |owner| owner.term),
            previous_host: facts.owner.as_ref().map(|owner| owner.host.clone()),
            reason: pursuit.reason().into(),
        });
    }

    pub(super) fn claim_refused(&mut self, now: Tick, facts: &StoreFacts, out: &mut Vec<Effect>) {
        let State::Standby(Some(pursuit)) = &self.state else { return };
        match pursuit.step {
            Step::Claiming | Step::WritingIntent { .. } => {}
            Step::Opening | Step::Reading(_) | Step::CatchingUp { .. } | Step::Waiting { .. } => return,
        }
        let free = facts.owner.as_ref().is_none_or(|owner| owner.released || self.is_me(owner));
        if !free {
            self.taken_meanwhile(now, facts, out);
        } else if let Some(objection) = self.objection(facts) {
            self.refuse_pursuit(now, objection, out);
        } else {
            // The owner let go between our look and our claim.
            self.claim(now, facts, out);
        }
    }

    fn taken_meanwhile(&mut self, now: Tick, facts: &StoreFacts, out: &mut Vec<Effect>) {
        let objection = Objection {
            kind: RefusedKind::TakenMeanwhile,
            reason: format!("another machine claimed at the same time: {}", describe_owner(facts.owner.as_ref())),
            remedy: "look at `failover status` before you ask again; nothing was claimed",
        };
        self.refuse_pursuit(now, objection, out);
    }

    pub(super) fn claim_unresolved(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        let State::Standby(Some(pursuit)) = &self.state else { return };
        if !pursuit.is_claiming() {
            return;
        }
        self.claim_unresolved = true;
        self.poll_at = Some(now + self.config.release_poll);
        let objection = Objection {
            kind: RefusedKind::Unresolved,
            reason: format!("the claim was sent but not answered ({reason}): it may have happened"),
            remedy: "this node goes on if the store turns out to name it; see `failover status`",
        };
        self.refuse_pursuit(now, objection, out);
    }

    pub(super) fn standby_unavailable(&mut self, now: Tick, call: StoreCall, reason: &str, out: &mut Vec<Effect>) {
        let State::Standby(Some(pursuit)) = &mut self.state else { return };
        match (&mut pursuit.step, call) {
            (Step::Reading(asked), StoreCall::Read(read)) if *asked == read => {}
            (Step::WritingIntent { .. }, StoreCall::Intent) | (Step::Claiming, StoreCall::Claim) => {}
            (Step::Waiting { reading, poll_at, .. }, StoreCall::Read(read)) if *reading == Some(read) => {
                *reading = None;
                *poll_at = now + self.config.release_poll;
                return;
            }
            // The answer to something that was overtaken: a look, say, that was still out when the claim was made.
            (
                Step::Opening
                | Step::Reading(_)
                | Step::CatchingUp { .. }
                | Step::WritingIntent { .. }
                | Step::Waiting { .. }
                | Step::Claiming,
                _,
            ) => return,
        }
        let objection = Objection {
            kind: RefusedKind::StoreUnavailable,
            reason: format!("the store cannot be used: {reason}"),
            remedy: "see `failover status`; nothing was claimed",
        };
        self.refuse_pursuit(now, objection, out);
    }

    pub(super) fn standby_quarantined(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        let State::Standby(Some(_)) = &self.state else { return };
        let objection = Objection { kind: RefusedKind::Quarantined, reason: reason.into(), remedy: RECOVER };
        self.refuse_pursuit(now, objection, out);
    }

    /// Ends a pursuit without a claim. The node is as it was before.
    pub(super) fn refuse_pursuit(&mut self, now: Tick, objection: Objection, out: &mut Vec<Effect>) {
        let State::Standby(pursuit) = &mut self.state else { return };
        let Some(pursuit) = pursuit.take() else { return };
        self.poll_at = self.poll_at.filter(|at| *at > now).or(Some(now + self.config.standby_poll));
        self.claims_after = now + self.config.standby_poll;
        // A claim that was not answered may have happened: then this node goes on with it.
        let turns_back = pursuit.previous.filter(|_| objection.kind != RefusedKind::Unresolved);
        if let Some(previous) = turns_back {
            self.turn_to(previous, out);
        } else if objection.kind == RefusedKind::Quarantined && self.config.store_is_exclusive {
            // With a folder for a store the identity's name was shown from the start. Who may not vote does not keep it.
            out.push(Effect::SwitchNodeIdentity(NodeIdentity::Standby));
        }
        if let Some(request) = pursuit.request {
            refuse(request, objection.kind, &objection.reason, objection.remedy, out);
            return;
        }
        let why = format!("{}; {}", objection.reason, objection.remedy);
        match objection.kind {
            RefusedKind::TowerMissing if pursuit.why == Why::Restart => {
                out.push(Effect::Exit { status: ExitStatus::TowerMissing, reason: why });
                self.state = State::Ended(RoleState::Standby);
            }
            // Only a person can mend it; asking again and again would bury the report.
            RefusedKind::Quarantined => {
                self.claims_by_itself = false;
                self.enter(State::Standby(None), &why, out);
            }
            RefusedKind::Busy
            | RefusedKind::NotCaughtUp
            | RefusedKind::WrongVoteAccount
            | RefusedKind::NoAuthorizedVoter
            | RefusedKind::TowerMissing
            | RefusedKind::WrongStore
            | RefusedKind::Twin
            | RefusedKind::TakenMeanwhile
            | RefusedKind::TooLong
            | RefusedKind::StoreUnavailable
            | RefusedKind::Unresolved
            | RefusedKind::Stopping => self.enter(State::Standby(None), &why, out),
        }
    }

    pub(super) fn standby_report(&self) -> HandoverReport {
        HandoverReport {
            role: RoleState::Standby,
            term: self.term_seen,
            last_vote_slot: self.tower_seen,
            phases: Phases::default(),
            slots_missed: 0,
        }
    }
}

pub(super) const ADOPT: &str = "if this identity never used this store, start once with --adopt-chain-tower; if its tower is \
     elsewhere, bring it (`validator tower import`) or point this node at the right store; if it is lost, see `failover recover`; \
     nothing was claimed";

pub(super) const RECOVER: &str =
    "no vote is signed on its word; `failover recover` shows the slot from which voting is safe again";
