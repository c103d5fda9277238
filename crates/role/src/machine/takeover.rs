//! ACQUIRED, RECOVERED, CAUGHT_UP, ACTIVE: from the store's yes to the first signature, and the life of an owner.

use {
    super::{
        Machine, State, refuse,
        standby::{Pursuit, RECOVER, millis},
        stepdown::{Because, End, StepDown},
        twin,
    },
    crate::{
        config::OnLoss,
        event::{
            ClaimFacts, Effect, HandoverReport, NodeIdentity, Phases, RefusedKind, RequestId, RoleState, SetIdentity,
            StoreFacts, TowerSource,
        },
        protocol::describe_owner,
        records::{IntentRecord, OwnerRecord},
        status::ExitStatus,
    },
    std::time::Duration,
    tandem_types::{Pubkey, Slot, Term, Tick, mutant::mutant},
};

/// An owner that may not sign yet.
#[derive(Clone, Debug)]
pub(super) struct Takeover {
    pub term: Term,
    pub identity: Pubkey,
    pub request: Option<RequestId>,
    last_vote: Option<Slot>,
    watermark: Option<Slot>,
    source: TowerSource,
    phases: Phases,
    started: Tick,
    mark: Tick,
    /// With a tower made from the chain: not to vote before this slot.
    hold_until: Slot,
    /// No owner before us can have voted for a slot after this one.
    own_votes_until: Slot,
    last_vote_replayed: bool,
    free_from: Slot,
    /// Until then we wait for the last vote's block; afterwards for its lockouts to pass.
    replay_until: Tick,
    outwaiting: bool,
    /// Gossip was told to speak as the identity already.
    pub switching: bool,
    /// When patience ends, unless a hold is on.
    pub give_up_at: Tick,
    /// A primary that came up: it tries again.
    is_restart: bool,
}

impl Takeover {
    pub fn next_deadline(&self) -> Option<Tick> {
        let replay = (!self.last_vote_replayed && !self.outwaiting).then_some(self.replay_until);
        replay.into_iter().chain([self.give_up_at]).min()
    }

    /// Waits for a reason of safety.
    pub fn holds(&self, tip: Slot) -> bool {
        tip < self.hold_until || self.outwaiting && !self.last_vote_replayed && tip < self.free_from
    }

    fn lap(&mut self, now: Tick) -> u64 {
        let ms = millis(now, self.mark);
        self.mark = now;
        ms
    }
}

/// An owner that signs.
#[derive(Debug)]
pub(super) struct Active {
    pub term: Term,
    pub identity: Pubkey,
    pub last_vote: Option<Slot>,
    /// What the tower ended with when we became active: votes up to here are those of owners before us.
    pub claimed_vote: Option<Slot>,
    /// Somebody seems to use our identity: once the store confirms that it is ours, tell gossip so.
    pub reannounce: bool,
    /// Either somebody took the identity, and the store will say so; or we must not go on under its word.
    pub doubt: Option<Doubt>,
    /// When an alarm was last given.
    pub alarmed: Option<Tick>,
    /// Decisions in a row of which no vote came.
    pub unreleased: u32,
}

/// What an owner asks the store about.
#[derive(Debug)]
pub(super) enum Doubt {
    /// The voter cannot use its tower.
    Tower(String),
    /// Somebody else has voted for this slot.
    Twin { slot: Slot, voter_stopped: bool },
}

impl Machine {
    pub(super) fn claim_done(&mut self, now: Tick, claim: &ClaimFacts, out: &mut Vec<Effect>) {
        self.term_seen = self.term_seen.max(claim.term);
        let State::Standby(pursuit) = &mut self.state else { return };
        let Some(mut pursuit) = pursuit.take_if(|pursuit| pursuit.is_claiming()) else {
            // The pursuit was given up while the claim was out. What nobody will use must not keep others waiting.
            let reason = "the claim came too late to be used".into();
            out.push(Effect::Release { term: claim.term, reason });
            return;
        };
        self.claims_by_itself = false;
        self.claim_unresolved = false;
        self.store_was_lost = false;
        pursuit.phases.claim_ms = pursuit.lap(now);
        let older = self.older_than_known(claim.has_tower, claim.tower_last_vote, pursuit.floor);
        let voted = self.chain.own_vote_on_chain.max(self.chain.own_vote_in_gossip);
        let refused = older.or_else(|| self.unexpected_void(claim.has_tower, voted));
        let votes_on_chain = voted.is_some();
        let source = match (claim.has_tower, votes_on_chain) {
            (true, _) => TowerSource::Store,
            (false, true) => TowerSource::Chain,
            (false, false) => TowerSource::Fresh,
        };
        let why = format!("claimed: {}", pursuit.reason());
        let takeover = self.takeover(now, *pursuit, claim, source);
        self.enter(State::Acquired(Box::new(takeover)), &why, out);
        if mutant("role: unlocks before the tower is adopted") {
            out.push(Effect::Unlock { term: claim.term, watermark: claim.watermark });
        }
        match refused {
            Some(reason) => self.back_out(now, RefusedKind::Quarantined, &reason, out),
            None => out.push(Effect::Adopt { term: claim.term, source }),
        }
    }

    fn takeover(&self, now: Tick, pursuit: Pursuit, claim: &ClaimFacts, source: TowerSource) -> Takeover {
        let hold_until = match source {
            TowerSource::Chain => self.chain.tip.saturating_add(self.config.chain_tower_hold_slots),
            TowerSource::Store | TowerSource::Fresh => 0,
        };
        Takeover {
            term: claim.term,
            identity: pursuit.identity,
            request: pursuit.request,
            last_vote: claim.tower_last_vote,
            watermark: claim.watermark,
            source,
            phases: pursuit.phases,
            started: pursuit.started,
            mark: now,
            hold_until,
            own_votes_until: self.own_votes_until(),
            last_vote_replayed: false,
            free_from: 0,
            replay_until: now,
            outwaiting: false,
            switching: false,
            give_up_at: now + self.config.takeover_deadline,
            is_restart: pursuit.is_restart(),
        }
    }

    pub(super) fn tower_adopted(
        &mut self,
        now: Tick,
        last_vote: Option<Slot>,
        last_vote_replayed: bool,
        free_from: Slot,
        out: &mut Vec<Effect>,
    ) {
        let State::Acquired(takeover) = &mut self.state else { return };
        takeover.phases.adopt_ms = takeover.lap(now);
        takeover.last_vote = last_vote;
        takeover.last_vote_replayed = last_vote_replayed || last_vote.is_none();
        takeover.free_from = free_from;
        takeover.replay_until = now + self.config.replay_deadline;
        let why = match last_vote {
            Some(slot) if !last_vote_replayed => {
                format!("tower adopted; its last vote, for {slot}, is not replayed yet")
            }
            Some(slot) => format!("tower adopted up to the vote for {slot}"),
            None => "an empty tower adopted".into(),
        };
        let takeover = takeover.clone();
        self.enter(State::Recovered(takeover), &why, out);
        self.try_catch_up(now, out);
    }

    pub(super) fn takeover_chain(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let newest = self.chain.own_vote_on_chain.max(self.chain.own_vote_in_gossip);
        let replayed = self.chain.last_vote_replayed;
        let hold = self.config.chain_tower_hold_slots;
        match &mut self.state {
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => {
                takeover.last_vote_replayed |= replayed;
                let known = takeover.last_vote;
                let newer = newest.filter(|slot| known.is_none_or(|known| *slot > known));
                let newer = newer.filter(|_| !mutant("role: newer votes that turn up are ignored"));
                let after_claim = newer.filter(|slot| *slot > takeover.own_votes_until);
                if let Some(slot) = after_claim {
                    self.back_out_of_twin(now, &twin::voted(slot), out);
                    return;
                }
                match (newer, takeover.source) {
                    (None, _) => {}
                    // Votes that were out when we looked have landed: look again. That is what the hold is for.
                    (Some(slot), TowerSource::Chain) => {
                        takeover.hold_until = takeover.hold_until.max(slot.saturating_add(hold));
                        self.adopt_again(out);
                    }
                    // Since our claim nobody can record a vote, so somebody votes past the store.
                    (Some(slot), TowerSource::Store | TowerSource::Fresh) => {
                        let reason = format!("a vote of this identity for slot {slot} turned up, newer than the tower");
                        self.back_out(now, RefusedKind::Quarantined, &reason, out);
                        return;
                    }
                }
                self.try_catch_up(now, out);
            }
            State::Standby(_)
            | State::Active(_)
            | State::HaltLead(_)
            | State::HaltVote(_)
            | State::Locked(_)
            | State::Ended(_) => {}
        }
    }

    fn adopt_again(&mut self, out: &mut Vec<Effect>) {
        if let State::Recovered(takeover) = &self.state {
            let (takeover, term) = (takeover.clone(), takeover.term);
            self.enter(State::Acquired(takeover), "newer votes landed, the chain's tower is taken anew", out);
            out.push(Effect::Adopt { term, source: TowerSource::Chain });
        }
    }

    pub(super) fn takeover_timer(&mut self, now: Tick, out: &mut Vec<Effect>) {
        self.try_catch_up(now, out);
        let (tip, deadline) = (self.chain.tip, now + self.config.takeover_deadline);
        let (State::Acquired(takeover) | State::Recovered(takeover)) = &mut self.state else { return };
        // A wait that is there for safety lasts as long as it must.
        if takeover.holds(tip) {
            takeover.give_up_at = deadline;
        }
        if now < takeover.give_up_at {
            return;
        }
        let is_restart = takeover.is_restart;
        let reason = format!(
            "{:?} after the claim this node still cannot vote ({}, {} slots behind)",
            self.config.takeover_deadline,
            self.role(),
            self.chain.slots_behind
        );
        self.back_out(now, RefusedKind::TooLong, &reason, out);
        self.claims_by_itself = is_restart;
        // It claims again only when it has caught up: that is wait enough.
        self.claims_after = now + self.config.standby_poll;
    }

    fn try_catch_up(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let caught_up = self.caught_up();
        let State::Recovered(takeover) = &mut self.state else { return };
        let tip = self.chain.tip;
        takeover.outwaiting = now >= takeover.replay_until;
        let outwaited = takeover.outwaiting && tip >= takeover.free_from;
        let caught_up = caught_up || mutant("role: does not wait until it has caught up");
        let held = tip < takeover.hold_until && !mutant("role: the chain's tower is not held");
        let outwaited = outwaited || mutant("role: does not wait for the last vote's block");
        if !caught_up || held || !(takeover.last_vote_replayed || outwaited) {
            return;
        }
        takeover.phases.replay_ms = takeover.lap(now);
        takeover.switching = true;
        let identity = takeover.identity;
        let why = if takeover.last_vote_replayed {
            "on the block of the last vote or past it"
        } else {
            "the last vote's block did not come, its lockouts have passed"
        };
        let takeover = takeover.clone();
        self.enter(State::CaughtUp(takeover), why, out);
        out.push(Effect::SwitchNodeIdentity(NodeIdentity::Active(identity)));
    }

    pub(super) fn takeover_switched(&mut self, now: Tick, to: NodeIdentity, out: &mut Vec<Effect>) {
        let State::CaughtUp(takeover) = &mut self.state else { return };
        if to != NodeIdentity::Active(takeover.identity) {
            return;
        }
        takeover.phases.switch_ms = takeover.lap(now);
        takeover.phases.total_ms = millis(now, takeover.started);
        let report = HandoverReport {
            role: RoleState::Active,
            term: takeover.term,
            last_vote_slot: takeover.last_vote,
            phases: takeover.phases,
            slots_missed: slots_missed(takeover.last_vote, self.chain.tip),
        };
        let (request, watermark) = (takeover.request, takeover.watermark);
        if let (Some(request), true) = (request, mutant("role: answers before it is active")) {
            out.push(Effect::Reply { request, outcome: Ok(report.clone()) });
        }
        let active = Active {
            term: takeover.term,
            identity: takeover.identity,
            last_vote: takeover.last_vote,
            claimed_vote: takeover.last_vote,
            reannounce: false,
            doubt: None,
            alarmed: None,
            unreleased: 0,
        };
        let term = active.term;
        self.last_takeover = Some(report.clone());
        self.enter(State::Active(active), "votes and leads from now on", out);
        out.push(Effect::Unlock { term, watermark });
        // Only now: when the command returns, the voter has switched.
        if let Some(request) = request.filter(|_| !mutant("role: answers before it is active")) {
            out.push(Effect::Reply { request, outcome: Ok(report) });
        }
    }

    pub(super) fn tower_quarantined(
        &mut self,
        now: Tick,
        reason: &str,
        safe_from: Option<Slot>,
        out: &mut Vec<Effect>,
    ) {
        let reason = match safe_from {
            Some(slot) => format!("{reason} (voting is safe again from slot {slot})"),
            None => reason.to_string(),
        };
        match &mut self.state {
            State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) => {
                self.back_out(now, RefusedKind::Quarantined, &reason, out);
            }
            // The voter votes no more: an owner that stayed active now would lead, look alive, and never vote again.
            State::Active(_) if mutant("role: a voter that doubts is ignored") => {}
            State::Active(active) => {
                active.doubt = Some(Doubt::Tower(reason));
                self.read_store(out);
            }
            State::Standby(_) | State::HaltLead(_) | State::HaltVote(_) | State::Locked(_) | State::Ended(_) => {}
        }
    }

    /// The store could not be asked whether the voter's doubt is justified.
    pub(super) fn active_unavailable(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        if let State::Active(Active { doubt: Some(doubt), .. }) = &self.state {
            let doubt = match doubt {
                Doubt::Tower(reason) => reason.clone(),
                Doubt::Twin { slot, .. } => twin::voted(*slot),
            };
            let reason = format!("{doubt}, and the store does not tell why: {reason}");
            self.lose(now, Because::StoreLost, &reason, out);
        }
    }

    /// The store itself contradicts what we know, while we own the identity.
    pub(super) fn owner_quarantined(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        match &self.state {
            State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) => {
                self.back_out(now, RefusedKind::Quarantined, reason, out);
            }
            State::Active(_) | State::HaltLead(_) | State::HaltVote(_) => {
                self.lose(now, Because::Quarantined, &format!("{reason}; {RECOVER}"), out);
            }
            State::Standby(_) | State::Locked(_) | State::Ended(_) => {}
        }
    }

    /// Gives back what was claimed but never used: the request is refused, and the node is as it was.
    pub(super) fn back_out(&mut self, now: Tick, kind: RefusedKind, reason: &str, out: &mut Vec<Effect>) {
        let (State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover)) = &self.state else {
            return;
        };
        let mut down = StepDown::new(takeover.term, takeover.identity, self.shows(takeover), End::Standby(None));
        // Nothing was unlocked, so there is no block or vote to wait for.
        (down.lead_done, down.votes_done) = (true, true);
        down.refuse = takeover.request.map(|request| (request, kind, reason.to_string()));
        down.reason = reason.to_string();
        let _ = now;
        self.enter(State::Locked(Box::new(down)), reason, out);
        self.lock_and_release(out);
    }

    pub(super) fn recorded(&mut self, slot: Slot) {
        match &mut self.state {
            State::Active(active) => active.last_vote = active.last_vote.max(Some(slot)),
            State::HaltLead(down) | State::HaltVote(down) | State::Locked(down) => {
                down.last_vote = down.last_vote.max(Some(slot));
            }
            State::Standby(_) | State::Acquired(_) | State::Recovered(_) | State::CaughtUp(_) | State::Ended(_) => {}
        }
        self.tower_seen = self.tower_seen.max(Some(slot));
    }

    pub(super) fn active_intent(&mut self, now: Tick, intent: &IntentRecord, out: &mut Vec<Effect>) {
        let State::Active(active) = &self.state else { return };
        if intent.term_seen != active.term || intent.instance == self.instance {
            return;
        }
        let budget = Duration::from_millis(intent.deadline_ms);
        let reason = format!("{} asked for the identity ({})", intent.to, intent.reason);
        let end = self.end_after_loss(self.config.on_identity_loss, ExitStatus::Fenced, &reason);
        self.leave_politely(now, budget, end, &reason, out);
    }

    pub(super) fn active_set_identity(&mut self, now: Tick, wish: SetIdentity, out: &mut Vec<Effect>) {
        let State::Active(active) = &self.state else { return };
        if wish.identity == active.identity {
            let report = HandoverReport {
                role: RoleState::Active,
                term: active.term,
                last_vote_slot: active.last_vote,
                phases: Phases::default(),
                slots_missed: 0,
            };
            out.push(Effect::Reply { request: wish.request, outcome: Ok(report) });
            return;
        }
        let name = if wish.identity == self.standby_identity {
            NodeIdentity::Standby
        } else {
            NodeIdentity::StandbyAs(wish.identity)
        };
        let reason = format!("an operator set the identity to {}", wish.identity);
        let end = End::Standby(Some(name));
        self.leave_politely(now, self.config.intent_deadline, end, &reason, out);
        if let State::HaltLead(down) = &mut self.state {
            down.report = Some(wish.request);
        }
    }

    pub(super) fn owner_changed(&mut self, now: Tick, owner: Option<&OwnerRecord>, out: &mut Vec<Effect>) {
        let Some(term) = self.term() else { return };
        match owner {
            // A newer term is reason enough to stop; that it may be a lie costs a moment of liveness at most.
            Some(owner) if owner.term > term => self.fence_lost(now, &describe_owner(Some(owner)), out),
            Some(_) => {}
            None => {
                if let State::Active(_) = self.state {
                    self.read_store(out);
                }
            }
        }
    }

    pub(super) fn active_read(&mut self, now: Tick, facts: &StoreFacts, out: &mut Vec<Effect>) {
        let State::Active(active) = &mut self.state else { return };
        // An answer from before our claim shows an older term, or none: it says nothing about now.
        let Some(owner) = facts.owner.as_ref().filter(|owner| owner.term >= active.term) else { return };
        if owner.term > active.term || owner.instance != self.instance || owner.released {
            self.fence_lost(now, &describe_owner(Some(owner)), out);
            return;
        }
        match active.doubt.take() {
            None => {}
            Some(Doubt::Tower(reason)) => {
                self.owner_quarantined(now, &reason, out);
                return;
            }
            Some(Doubt::Twin { slot, voter_stopped }) => {
                if voter_stopped || facts.tower_last_vote < Some(slot) {
                    self.lose(now, Because::Twin, &twin::reason(&twin::voted(slot)), out);
                    return;
                }
                self.alarm(now, slot, out);
            }
        }
        let State::Active(active) = &mut self.state else { return };
        if std::mem::take(&mut active.reannounce) {
            out.push(Effect::Reannounce);
        }
        // The watch may have missed it, or told us of it before we were active.
        if let Some(intent) = &facts.intent {
            self.active_intent(now, intent, out);
        }
    }

    pub(super) fn fence_lost(&mut self, now: Tick, by: &str, out: &mut Vec<Effect>) {
        if mutant("role: a lost fence is ignored") {
            return;
        }
        match &self.state {
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => {
                if let Some(request) = takeover.request {
                    let remedy = "look at `failover status` before you ask again";
                    let reason = format!("another machine claimed before this one was ready: {by}");
                    refuse(request, RefusedKind::TakenMeanwhile, &reason, remedy, out);
                }
                self.lose(now, Because::FencedBeforeActive, by, out);
            }
            State::Active(_) | State::HaltLead(_) | State::HaltVote(_) => {
                self.lose(now, Because::Fenced, by, out);
            }
            State::Standby(_) | State::Locked(_) | State::Ended(_) => {}
        }
    }

    pub(super) fn store_lost(&mut self, now: Tick, reason: &str, out: &mut Vec<Effect>) {
        match &self.state {
            State::Active(_) | State::HaltLead(_) | State::HaltVote(_) => {
                self.lose(now, Because::StoreLost, reason, out);
            }
            State::Standby(_)
            | State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::Locked(_)
            | State::Ended(_) => {}
        }
    }

    pub(super) fn end_after_loss(&self, choice: OnLoss, status: ExitStatus, reason: &str) -> End {
        match choice {
            OnLoss::Exit => End::Exit(status, reason.to_string()),
            OnLoss::Standby => End::Standby(None),
        }
    }
}

/// The first vote of a new owner can be for the tip: only the slots strictly between are missed.
fn slots_missed(last_vote: Option<Slot>, tip: Slot) -> u64 {
    last_vote.map_or(0, |vote| tip.saturating_sub(vote).saturating_sub(1))
}
