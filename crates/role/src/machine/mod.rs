//! The role machine: when this node may speak for the identity, and in which order it begins and stops.
//!
//! ```text
//! STANDBY -> ACQUIRED -> RECOVERED -> CAUGHT_UP -> ACTIVE -> HALT_LEAD -> HALT_VOTE -> LOCKED -> STANDBY or exit
//!                 \__________\____________\__________\___________\____________\_______/  fence lost
//! ```
//!
//! * STANDBY: in gossip under its own key, replaying, signing nothing for the identity. Wishes to become active are
//!   judged here, so that a node that is refused has changed nothing.
//! * ACQUIRED: the store confirmed our term. Nobody else can record a vote any more, so the tower we got is the last
//!   word. It is not ours to use before it was compared with everything we know.
//! * RECOVERED: the voter has the tower. Its last vote may be on a block that we have not replayed; a vote now could
//!   contradict it in a way our own fork choice cannot see, so we replay to it, or outwait its lockouts.
//! * CAUGHT_UP: we could vote. First the rest of the node changes its name: votes under one identity in gossip and
//!   another on chain confuse the cluster.
//! * ACTIVE: keys unlocked under the term.
//! * HALT_LEAD: leaving politely begins with blocks: a half-made block is worth nothing, so the slot in production is
//!   finished if there is time.
//! * HALT_VOTE: no new votes; the one being recorded settles, so that the next owner finds it in the tower.
//! * LOCKED: the keys are locked. Only then is the identity given back: the order the other way round would leave a
//!   moment in which two machines could sign. When the fence was lost we come here at once.

mod account;
mod fitness;
mod join;
mod plan;
mod standby;
mod stepdown;
mod takeover;
mod turn;
mod twin;

#[cfg(test)]
mod account_cases;
#[cfg(test)]
mod case_text;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod fitness_cases;
#[cfg(test)]
mod trust_cases;
#[cfg(test)]
mod turn_cases;
#[cfg(test)]
mod twin_cases;

pub use plan::{Plan, PlanStep, Recovery};

use {
    crate::{
        config::{Config, ConfiguredRole},
        event::{
            ChainStatus, Effect, Event, HandoverReport, ReadId, Refused, RefusedKind, RequestId, RoleState,
            SetIdentity, StoreFacts, Transition,
        },
        records::OwnerRecord,
    },
    join::Joined,
    standby::Pursuit,
    std::collections::BTreeMap,
    stepdown::StepDown,
    takeover::{Active, Takeover},
    tandem_types::{InstanceId, Pubkey, Slot, Term, Tick},
    turn::Seen,
};

#[derive(Debug)]
pub struct Machine {
    config: Config,
    instance: InstanceId,
    /// The contested identity; a secondary learns it with the first `set-identity`.
    identity: Option<Pubkey>,
    /// The key we stand by under, as far as operators may ask for it by name.
    standby_identity: Pubkey,
    state: State,
    chain: ChainStatus,
    /// A configured primary claims by itself once in its life: after it has lost or given the identity, only an
    /// operator makes it active again, or two machines would play ping-pong.
    claims_by_itself: bool,
    /// Why it did not claim, as was said last, and whom the vote account named then.
    objected: Option<(RefusedKind, Option<Pubkey>)>,
    /// Not before this, after an attempt that failed.
    claims_after: Tick,
    /// Earlier runs of this node, which ended: it holds the lock that they held.
    dead_runs: Vec<InstanceId>,
    last_takeover: Option<HandoverReport>,
    /// A claim of ours was never answered: if the store turns out to name us, we go on from there.
    claim_unresolved: bool,
    /// We stand by only because the store was lost: if it comes back and still names us, nobody else has had the
    /// identity in between, and we go on.
    store_was_lost: bool,
    /// Why nothing is signed on the store's word, as of the last look at it.
    quarantine: Option<String>,
    /// A person has said that the store need not have a tower.
    accepted: bool,
    /// Newest vote ever seen in the store's tower (I6).
    tower_seen: Option<Slot>,
    term_seen: Term,
    last_read: ReadId,
    /// The newest vote that was known when that was asked: the answer must not be older.
    read_floor: Option<Slot>,
    /// Whose store was asked for, and is not open yet.
    opening: Option<Pubkey>,
    /// Why the identity's store is not open, as was said last.
    unopened: Option<String>,
    /// What the stores of other identities have shown.
    set_aside: BTreeMap<Pubkey, Seen>,
    /// When a standby looks at the store next.
    poll_at: Option<Tick>,
    joined: Joined,
}

#[derive(Debug)]
enum State {
    Standby(Option<Box<Pursuit>>),
    Acquired(Box<Takeover>),
    Recovered(Box<Takeover>),
    CaughtUp(Box<Takeover>),
    Active(Active),
    HaltLead(Box<StepDown>),
    HaltVote(Box<StepDown>),
    Locked(Box<StepDown>),
    /// `Exit` was said: everything is ignored.
    Ended(RoleState),
}

impl Machine {
    /// `identity`: the contested one, if the node was started with it. `instance` must be random and new.
    pub fn new(config: Config, instance: InstanceId, identity: Option<Pubkey>, standby_identity: Pubkey) -> Self {
        let claims_by_itself = config.role == ConfiguredRole::Primary && identity.is_some();
        Self {
            config,
            instance,
            identity,
            standby_identity,
            state: State::Standby(None),
            chain: ChainStatus::default(),
            claims_by_itself,
            objected: None,
            claims_after: Tick::ZERO,
            dead_runs: Vec::new(),
            last_takeover: None,
            claim_unresolved: false,
            store_was_lost: false,
            quarantine: None,
            accepted: false,
            tower_seen: None,
            term_seen: Term(0),
            last_read: ReadId(0),
            read_floor: None,
            opening: None,
            unopened: None,
            set_aside: BTreeMap::new(),
            poll_at: None,
            joined: Joined::default(),
        }
    }

    /// Names earlier runs of this node that have certainly ended. An owner among them cannot let go and is not asked to. Nothing
    /// unsafe follows from a wrong name here: the claim is fenced, but an owner that is alive loses the identity unasked.
    pub fn with_dead_runs(mut self, dead_runs: Vec<InstanceId>) -> Self {
        self.dead_runs = dead_runs;
        self
    }

    pub fn role(&self) -> RoleState {
        match &self.state {
            State::Standby(_) => RoleState::Standby,
            State::Acquired(_) => RoleState::Acquired,
            State::Recovered(_) => RoleState::Recovered,
            State::CaughtUp(_) => RoleState::CaughtUp,
            State::Active(_) => RoleState::Active,
            State::HaltLead(_) => RoleState::HaltLead,
            State::HaltVote(_) => RoleState::HaltVote,
            State::Locked(_) => RoleState::Locked,
            State::Ended(role) => *role,
        }
    }

    /// The term under which this node owns the identity, if it does.
    pub fn term(&self) -> Option<Term> {
        match &self.state {
            State::Standby(_) | State::Ended(_) => None,
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => Some(takeover.term),
            State::Active(active) => Some(active.term),
            State::HaltLead(down) | State::HaltVote(down) | State::Locked(down) => Some(down.term),
        }
    }

    /// How the last takeover of this run went, whoever asked for it.
    pub fn last_takeover(&self) -> Option<&HandoverReport> {
        self.last_takeover.as_ref()
    }

    /// Why nothing is signed on the store's word, if so.
    pub fn quarantine(&self) -> Option<&str> {
        self.quarantine.as_deref()
    }

    pub fn identity(&self) -> Option<Pubkey> {
        self.identity
    }

    /// Handles one event. Never blocks, never fails.
    pub fn handle(&mut self, now: Tick, event: Event, out: &mut Vec<Effect>) {
        let from = out.len();
        self.handle_one(now, event, out);
        self.joined.answer(out, from);
    }

    fn handle_one(&mut self, now: Tick, event: Event, out: &mut Vec<Effect>) {
        if let State::Ended(_) = self.state {
            if let Event::SetIdentity(wish) = event {
                let kind = RefusedKind::Stopping;
                refuse(wish.request, kind, "this node is stopping", "ask the other machine", out);
            }
            return;
        }
        if self.is_of_store_before(&event) {
            return;
        }
        match event {
            Event::Chain(chain) => {
                self.chain = chain;
                self.owner_misnamed(now, out);
                self.meet(out);
                self.standby_chain(now, out);
                self.takeover_chain(now, out);
            }
            Event::StoreRead { read, facts } => {
                if read == self.last_read {
                    // A standby finds it out before somebody needs it.
                    self.quarantine = self.doubt(facts.has_tower, facts.tower_last_vote, self.read_floor);
                }
                self.learn(&facts);
                self.standby_read(now, read, &facts, out);
                self.active_read(now, &facts, out);
            }
            Event::StoreUnavailable { call, reason } => {
                self.standby_unavailable(now, call, &reason, out);
                self.active_unavailable(now, &reason, out);
            }
            Event::StoreQuarantined { reason } => {
                self.quarantine = Some(reason.clone());
                self.standby_quarantined(now, &reason, out);
                self.owner_quarantined(now, &reason, out);
            }
            Event::StoreOpened { identity } => self.store_opened(now, identity, out),
            Event::StoreNotOpened { identity, kind, reason } => {
                self.store_not_opened(now, identity, kind, reason, out);
            }
            Event::StoreVouched { tower_forgotten } => self.vouched(now, tower_forgotten),
            Event::OwnerChanged(owner) => {
                self.standby_owner_changed(now, owner.as_deref(), out);
                self.owner_changed(now, owner.as_deref(), out);
            }
            Event::IntentSeen(intent) => {
                self.takeover_intent(now, &intent, out);
                self.active_intent(now, &intent, out);
            }
            Event::IntentWritten => self.standby_intent_written(now, out),
            Event::SetIdentity(wish) => self.set_identity(now, wish, out),
            Event::Promote { term, candidate } => self.promote(now, term, &candidate, out),
            Event::ClaimDone(claim) => self.claim_done(now, &claim, out),
            Event::ClaimRefused(facts) => {
                self.learn(&facts);
                self.claim_refused(now, &facts, out);
            }
            Event::ClaimUnresolved { reason } => self.claim_unresolved(now, &reason, out),
            Event::TowerAdopted { last_vote, last_vote_replayed, free_from } => {
                self.tower_adopted(now, last_vote, last_vote_replayed, free_from, out);
            }
            Event::TowerQuarantined { reason, safe_from } => self.tower_quarantined(now, &reason, safe_from, out),
            Event::NodeIdentitySwitched(to) => {
                self.takeover_switched(now, to, out);
                self.stepdown_switched(now, to, out);
            }
            Event::Recorded { slot } => self.recorded(slot),
            Event::VoteReleased => self.released_vote(),
            Event::VoteUnreleased { reason } => self.unreleased_vote(now, &reason, out),
            Event::RecordFenced { by } => self.fence_lost(now, &by, out),
            Event::RecordTimeout { reason } => self.store_lost(now, &reason, out),
            Event::LeaderSlotDone => self.leader_slot_done(now, out),
            Event::VotesSettled => self.votes_settled(now, out),
            // Locked all the same, whether the store knows it or not.
            Event::Released | Event::ReleaseFailed { .. } => self.released(now, out),
            Event::SeenElsewhere { alive } => self.seen_elsewhere(now, alive, out),
            Event::VoteElsewhere { slot, voter_stopped } => self.vote_elsewhere(now, slot, voter_stopped, out),
            Event::Shutdown => self.shutdown(now, out),
            Event::Timer => {}
        }
        // Time is looked at after every event: a busy machine must not miss a deadline.
        self.standby_timer(now, out);
        self.takeover_timer(now, out);
        self.stepdown_timer(now, out);
    }

    /// When `Event::Timer` is wanted, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Standby(Some(pursuit)) => pursuit.next_deadline(),
            State::Standby(None) => self.poll_at,
            State::Acquired(takeover) => Some(takeover.give_up_at),
            State::Recovered(takeover) => takeover.next_deadline(),
            State::HaltLead(down) | State::HaltVote(down) => down.deadline,
            State::CaughtUp(_) | State::Active(_) | State::Locked(_) | State::Ended(_) => None,
        }
    }

    /// Remembers the most that the store has shown: what comes later must not be less.
    fn learn(&mut self, facts: &StoreFacts) {
        self.tower_seen = self.tower_seen.max(facts.tower_last_vote);
        self.accepted = facts.accepted;
        if let Some(owner) = &facts.owner {
            self.term_seen = self.term_seen.max(owner.term);
        }
    }

    /// The newest vote of the identity that we know of from anywhere.
    fn newest_known_vote(&self) -> Option<Slot> {
        self.tower_seen.max(self.chain.own_vote_on_chain).max(self.chain.own_vote_in_gossip)
    }

    fn caught_up(&self) -> bool {
        let owner = self.chain.owner.filter(|owner| self.term().is_none_or(|term| owner.term > term));
        let near = self.config.caught_up_slots_max;
        // That nothing becomes final without this identity's votes is no reason to vote where the owner's votes do make blocks final
        // elsewhere: then it is this node that is cut off.
        let is_needed = self.chain.root_needs_us && owner.is_none_or(|owner| !owner.finalizes);
        self.chain.slots_behind <= near
            && (self.chain.root_advancing || is_needed)
            && owner.is_none_or(|owner| owner.tip <= self.chain.tip.saturating_add(near))
    }

    fn is_me(&self, owner: &OwnerRecord) -> bool {
        owner.instance == self.instance
    }

    /// The same host too: a ledger folder that was copied to another machine names runs of the one it came from.
    fn is_dead_run_of_ours(&self, owner: &OwnerRecord) -> bool {
        owner.host == self.config.host && self.dead_runs.contains(&owner.instance)
    }

    fn read_store(&mut self, out: &mut Vec<Effect>) -> ReadId {
        self.last_read = ReadId(self.last_read.0 + 1);
        self.read_floor = self.newest_known_vote();
        out.push(Effect::ReadStore { read: self.last_read });
        self.last_read
    }

    fn enter(&mut self, state: State, why: &str, out: &mut Vec<Effect>) {
        let (from, term) = (self.role(), self.term());
        self.state = state;
        out.push(Effect::Log(Transition { from, to: self.role(), term: self.term().or(term), why: why.to_string() }));
    }

    fn set_identity(&mut self, now: Tick, wish: SetIdentity, out: &mut Vec<Effect>) {
        // The key comes with the wish, and the chain is looked at now and then only.
        self.chain.candidate = wish.candidate;
        if self.joined.join(&wish) {
            return;
        }
        match &self.state {
            State::Standby(_) => self.standby_set_identity(now, wish, out),
            State::Active(_) => self.active_set_identity(now, wish, out),
            State::Acquired(_)
            | State::Recovered(_)
            | State::CaughtUp(_)
            | State::HaltLead(_)
            | State::HaltVote(_)
            | State::Locked(_) => {
                let reason = format!("this node is in the middle of a change of role ({})", self.role());
                refuse(wish.request, RefusedKind::Busy, &reason, "wait for it to end, then ask again", out);
            }
            State::Ended(_) => {}
        }
    }
}

fn refuse(request: RequestId, kind: RefusedKind, reason: &str, remedy: &str, out: &mut Vec<Effect>) {
    let refused = Refused { kind, reason: reason.to_string(), remedy: remedy.to_string() };
    out.push(Effect::Reply { request, outcome: Err(refused) });
}
