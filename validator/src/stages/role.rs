//! The role stage: the shell of `tandem_role::Machine`. It gathers what the machine judges by, performs its effects, answers the
//! admin socket, and publishes the node's status.

mod auto;
mod chain;
mod handover;
mod status;
#[cfg(test)]
mod tests;
mod tower;

use {
    crate::{
        admin::{AdminError, RoleRequest},
        exit::{Failure, Status},
        stage::{ExitLatch, Progress, Stage},
        status::{HandoverReport, StepDownReport},
        topology::{GossipCommand, ProducerInput, PromiseInput, RoleInput, Shared, StoreCommand, VoteInput},
    },
    chain::ChainWatch,
    handover::Stopwatch,
    std::{collections::BTreeMap, time::Duration},
    tandem_env::{Rx, unix_nanos},
    tandem_identity::HeldKey,
    tandem_net::TpuIdentity,
    tandem_role::{
        event::{
            Effect, Event, NodeIdentity, Refused, RefusedKind, RequestId, RoleState, SetIdentity, TowerSource,
            Transition,
        },
        machine::Machine,
    },
    tandem_tower_storage::Claim,
    tandem_types::{BlockKey, Keypair, Pubkey, Signer, Term, Tick},
    tokio::sync::oneshot,
};

type Reply = oneshot::Sender<Result<HandoverReport, AdminError>>;

pub struct RoleStage {
    shared: Shared,
    inbox: Rx<RoleInput>,
    exit: ExitLatch,
    machine: Machine,
    tls: TpuIdentity,
    chain: ChainWatch,
    chain_at: Tick,
    status_at: Tick,
    replies: BTreeMap<RequestId, Reply>,
    exits: Vec<oneshot::Sender<()>>,
    next_request: u64,
    /// Keys that operators named to stand by under, until their requests are answered.
    standby_keys: BTreeMap<RequestId, Keypair>,
    meet: Meet,
    /// The key that a wish under way has replaced, if there was one.
    replaced: Option<Option<HeldKey>>,
    claim: Option<Claim>,
    /// The block of the adopted tower's last vote.
    adopted_vote: Option<BlockKey>,
    stopwatch: Stopwatch,
    last_handover: Option<HandoverReport>,
    last_step_down: Option<StepDownReport>,
    last_vote: Option<u64>,
    quarantined: Option<String>,
    /// What the vote account says against this node, and whom it named when that was said.
    objection: Option<(String, Option<Pubkey>)>,
    /// What was last seen of a second process, and when.
    twin: Option<(String, Tick)>,
    store_name: String,
    effects: Vec<Effect>,
    auto: auto::Auto,
}

/// How often the machine hears of the chain, and how often the status is published.
const CHAIN_EVERY: Duration = Duration::from_millis(20);
const STATUS_EVERY: Duration = Duration::from_millis(100);

/// What the stage starts with.
pub struct RoleSetup {
    pub machine: Machine,
    pub tls: TpuIdentity,
    pub chain: ChainWatch,
    pub store_name: String,
    /// Only with a store that several machines share.
    pub auto: Option<AutoSetup>,
    pub meet: Meet,
}

/// Makes ready for another identity: its watch, its hints. Nothing with a store that no other machine shares.
pub type Meet = Box<dyn FnMut(Pubkey) -> Result<Option<AutoSetup>, Failure> + Send>;

pub use {auto::AutoSetup, chain::ChainWatch as RoleChainWatch, status::CAUGHT_UP_SLOTS_MAX};

impl RoleStage {
    pub fn new(shared: Shared, inbox: Rx<RoleInput>, exit: ExitLatch, setup: RoleSetup) -> Self {
        let auto = auto::Auto::new(setup.auto, shared.writers.role.clone());
        Self {
            shared,
            inbox,
            exit,
            machine: setup.machine,
            tls: setup.tls,
            chain: setup.chain,
            chain_at: Tick::ZERO,
            status_at: Tick::ZERO,
            replies: BTreeMap::new(),
            exits: Vec::new(),
            next_request: 0,
            standby_keys: BTreeMap::new(),
            meet: setup.meet,
            replaced: None,
            claim: None,
            adopted_vote: None,
            stopwatch: Stopwatch::default(),
            last_handover: None,
            last_step_down: None,
            last_vote: None,
            quarantined: None,
            objection: None,
            twin: None,
            store_name: setup.store_name,
            effects: Vec::new(),
            auto,
        }
    }

    fn take(&mut self, now: Tick, input: RoleInput) -> Result<(), Failure> {
        let event = match input {
            RoleInput::Event(event) => {
                if let Event::Recorded { slot } = &event {
                    self.last_vote = Some(*slot);
                }
                event
            }
            RoleInput::Request(request) => return self.request(now, request),
            RoleInput::Claimed(claim) => {
                let facts = claim.facts();
                self.last_vote = facts.tower_last_vote;
                self.stopwatch.claimed();
                self.claim = Some(*claim);
                Event::ClaimDone(Box::new(facts))
            }
            RoleInput::Prepared { term, last_vote, last_vote_replayed, free_from } => {
                if self.machine.term() != Some(term) {
                    return Ok(());
                }
                self.adopted_vote = last_vote;
                Event::TowerAdopted { last_vote: last_vote.map(|block| block.slot), last_vote_replayed, free_from }
            }
            RoleInput::ProducerHalted => Event::LeaderSlotDone,
            RoleInput::Quarantine { reason } => Event::TowerQuarantined { reason, safe_from: None },
            RoleInput::SeenElsewhere { alive } => Event::SeenElsewhere { alive },
            RoleInput::Failover(input) => return self.failover_input(now, input),
        };
        self.handle(now, event)
    }

    fn handle(&mut self, now: Tick, event: Event) -> Result<(), Failure> {
        self.machine.handle(now, event, &mut self.effects);
        self.tell_quarantine();
        self.tell_objection();
        // Effects may answer themselves (switching the name): those answers are events of their own.
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                if let Some(answer) = self.perform(now, effect)? {
                    self.machine.handle(now, answer, &mut self.effects);
                }
            }
        }
        Ok(())
    }

    /// A standby that could not take over must not look like one that can.
    fn tell_quarantine(&mut self) {
        if self.machine.quarantine() == self.quarantined.as_deref() {
            return;
        }
        self.quarantined = self.machine.quarantine().map(str::to_owned);
        match &self.quarantined {
            Some(reason) => {
                self.shared.views.counters.add("quarantines", 1);
                tracing::error!(
                    "QUARANTINE: {reason}; this node signs nothing and cannot take over until `validator failover recover`"
                );
            }
            None => tracing::info!("the store is believed again"),
        }
    }

    /// A mistaken `--vote-account` is to be found by who looks at the log, and not said at each root again.
    fn tell_objection(&mut self) {
        if !self.machine.is_near_the_tip() {
            return;
        }
        let objection = self.machine.account_objection();
        let named = self.chain.last().candidate.vote_account_node;
        let changed = self.objection.as_ref().map(|(_, named)| *named) != objection.as_ref().map(|_| named);
        match &objection {
            Some(reason) if changed => tracing::error!("this node cannot vote: {reason}"),
            None if changed => tracing::info!("the vote account names this node's identity"),
            Some(_) | None => {}
        }
        self.objection = objection.map(|reason| (reason, named));
    }

    fn request(&mut self, now: Tick, request: RoleRequest) -> Result<(), Failure> {
        match request {
            RoleRequest::Failover(question) => self.failover_question(*question),
            RoleRequest::Exit { reply } => {
                self.exits.push(reply);
                self.handle(now, Event::Shutdown)
            }
            RoleRequest::SetIdentity { keypair, require_tower, reply } => {
                let identity = keypair.pubkey();
                let candidate = self.chain.candidate(&self.shared, Some(&identity));
                self.next_request += 1;
                let request = RequestId(self.next_request);
                // One that joins a takeover under way is told the times of that takeover.
                if self.replies.is_empty() {
                    self.stopwatch.begin();
                }
                self.replies.insert(request, reply);
                let wish = SetIdentity { request, identity, require_tower, candidate };
                self.handle(now, Event::SetIdentity(wish))?;
                self.keep_key(request, keypair);
                Ok(())
            }
        }
    }

    /// The key that came with a wish, once the machine has judged it: that of a refused one is forgotten.
    fn keep_key(&mut self, request: RequestId, keypair: Keypair) {
        let (identity, vault) = (keypair.pubkey(), &self.shared.views.vault);
        if !self.replies.contains_key(&request) {
            return;
        }
        if self.machine.identity() != Some(identity) {
            self.standby_keys.insert(request, keypair);
        } else if vault.identity() != Some(identity) {
            self.replaced = Some(vault.exchange_identity(keypair));
        }
    }

    /// A refusal leaves the node as it was. A claim that was not answered may have happened, though, and then takes the key that came.
    fn put_back_key(&mut self, refused: RefusedKind) {
        if refused != RefusedKind::Unresolved
            && let Some(before) = self.replaced.take()
        {
            self.shared.views.vault.put_back_identity(before);
        }
    }

    fn store(&self, command: StoreCommand) -> Result<(), Failure> {
        self.shared.writers.promise.send(PromiseInput::Store(command)).map_err(stopping)
    }

    fn perform(&mut self, now: Tick, effect: Effect) -> Result<Option<Event>, Failure> {
        match effect {
            Effect::OpenStore { identity } => {
                let auto = (self.meet)(identity)?;
                self.auto = auto::Auto::new(auto, self.shared.writers.role.clone());
                self.store(StoreCommand::Open { identity })?;
            }
            Effect::ReadStore { read } => self.store(StoreCommand::Read { read })?,
            Effect::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason } => {
                self.stopwatch.mark("read");
                self.store(StoreCommand::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason })?;
            }
            Effect::Claim { owner_revision, term_seen, previous_host, reason } => {
                self.stopwatch.mark("intent");
                let slot = self.shared.views.chain.load().processed.slot();
                self.store(StoreCommand::Claim { owner_revision, term_seen, previous_host, reason, slot })?;
            }
            Effect::Adopt { term, source } => {
                self.stopwatch.mark("claim");
                return self.adopt(term, source);
            }
            Effect::Unlock { term, watermark: _ } => self.unlock(term)?,
            Effect::HaltLead { abandon } => {
                self.shared.writers.producer.send(ProducerInput::Halt { abandon }).map_err(stopping)?;
            }
            Effect::HaltVote => {
                self.shared.writers.vote.send(VoteInput::StandDown).map_err(stopping)?;
                self.store(StoreCommand::HaltVotes)?;
            }
            Effect::Lock => self.shared.views.vault.lock(),
            Effect::Release { term: _, reason } => self.store(StoreCommand::Release { reason })?,
            Effect::SwitchNodeIdentity(to) => {
                self.stopwatch.mark("adopt");
                self.switch(to)?;
                self.stopwatch.mark("switch");
                return Ok(Some(Event::NodeIdentitySwitched(to)));
            }
            Effect::Reannounce => self.announce(self.shared.views.vault.node().pubkey())?,
            Effect::Alarm { reason } => {
                self.shared.views.counters.add("twin_alarms", 1);
                tracing::error!("ALARM: {reason}");
                self.twin = Some((reason, now));
            }
            Effect::Reply { request, outcome } => self.reply(now, request, outcome),
            Effect::Exit { status, reason } => self.end(Status::from_code(status.code() as u8), &reason),
            Effect::Log(transition) => {
                tracing::info!("{transition}");
                self.note(transition);
            }
        }
        Ok(None)
    }

    /// The claimed tower, as the voter takes it.
    fn adopt(&mut self, term: Term, source: TowerSource) -> Result<Option<Event>, Failure> {
        let claimed = self.claim.as_ref().and_then(|claim| claim.tower.as_ref());
        let bank = self.shared.views.chain.load().processed.clone();
        let root = self.shared.views.root.load(std::sync::atomic::Ordering::Relaxed);
        let adopted = match source {
            TowerSource::Store => match claimed {
                Some(stored) => tower::adopted(stored, &bank, root),
                None => return Ok(Some(no_tower("the store's tower is gone"))),
            },
            TowerSource::Fresh => tandem_vote::Adopted::default(),
            TowerSource::Chain => {
                let hash_of = |slot| self.shared.views.ledger.bank_hash(slot);
                match tower::from_chain(&bank, root, self.shared.views.vote_account, hash_of) {
                    Ok((adopted, promised)) => {
                        self.store(StoreCommand::AdoptChainTower { tower: promised })?;
                        adopted
                    }
                    Err(reason) => return Ok(Some(no_tower(&reason))),
                }
            }
        };
        let identity = self.machine.identity().unwrap_or_default();
        let adopted = Box::new(adopted);
        self.shared.writers.vote.send(VoteInput::Prepare { term, identity, adopted }).map_err(stopping)?;
        Ok(None)
    }

    fn unlock(&mut self, term: tandem_types::Term) -> Result<(), Failure> {
        let Some(identity) = self.machine.identity() else { return Ok(()) };
        let permit = self.shared.views.vault.unlock(term);
        self.store(StoreCommand::Resume { permit: permit.clone() })?;
        self.shared.writers.vote.send(VoteInput::Activate).map_err(stopping)?;
        self.shared.writers.producer.send(ProducerInput::Allow { identity, permit }).map_err(stopping)
    }

    fn switch(&mut self, to: NodeIdentity) -> Result<(), Failure> {
        let vault = self.shared.views.vault.clone();
        match to {
            NodeIdentity::Active(identity) => {
                if let Err(refusal) = vault.speak_as_identity(&identity) {
                    return Err(Failure::refused(refusal));
                }
            }
            NodeIdentity::Standby => vault.speak_as_standby(),
            NodeIdentity::StandbyAs(key) => {
                let named =
                    self.standby_keys.iter().find(|(_, known)| known.pubkey() == key).map(|(request, _)| *request);
                match named.and_then(|request| self.standby_keys.remove(&request)) {
                    Some(keypair) => {
                        vault.stand_by_as(keypair);
                    }
                    None => vault.speak_as_standby(),
                }
            }
        }
        let node = vault.node();
        let pubkey = node.pubkey();
        self.tls.set_signer(pubkey, std::sync::Arc::new(move |message: &[u8]| node.sign(message).ok()));
        self.shared.views.identity.store(std::sync::Arc::new(pubkey));
        self.announce(pubkey)
    }

    /// Gossip shows this node as `pubkey`, started now.
    fn announce(&self, pubkey: Pubkey) -> Result<(), Failure> {
        let mut contact = (**self.shared.views.contact.load()).clone();
        contact.pubkey = pubkey;
        contact.outset = unix_nanos() / 1_000;
        self.shared.writers.gossip.send(GossipCommand::SetIdentity(Box::new(contact))).map_err(stopping)
    }

    fn reply(&mut self, now: Tick, request: RequestId, outcome: Result<tandem_role::event::HandoverReport, Refused>) {
        self.standby_keys.remove(&request);
        let Some(reply) = self.replies.remove(&request) else { return };
        let answer = match outcome {
            Ok(report) => {
                let identity = self.shared.views.vault.node().pubkey();
                let report = self.stopwatch.report(&report, identity);
                self.replaced = None;
                if report.role == "ACTIVE" {
                    self.last_handover = Some(report.clone());
                }
                Ok(report)
            }
            Err(refused) => {
                self.put_back_key(refused.kind);
                Err(AdminError {
                    status: refused.kind.exit_status().code() as u8,
                    reason: refused.reason,
                    remedy: Some(refused.remedy),
                })
            }
        };
        if self.replies.is_empty() {
            self.stopwatch.forget();
        }
        // Whoever reads the status after the answer finds what the answer says.
        self.publish_status(now);
        // The client may have gone.
        let _ = reply.send(answer);
    }

    /// What readers of the status want to know of the past.
    fn note(&mut self, transition: Transition) {
        let term = transition.term.map(|term| term.0);
        match (transition.from, transition.to) {
            (_, RoleState::Active) => self.became_active(),
            // A takeover that nobody waits for starts its own count.
            (_, RoleState::Standby) if self.replies.is_empty() => self.stopwatch.forget(),
            (RoleState::Active | RoleState::HaltLead | RoleState::HaltVote, RoleState::Locked) => {
                let step_down = StepDownReport { term, why: transition.why, locked_unix_nanos: unix_nanos() };
                self.last_step_down = Some(step_down);
            }
            (
                RoleState::Standby
                | RoleState::Acquired
                | RoleState::Recovered
                | RoleState::CaughtUp
                | RoleState::Active
                | RoleState::HaltLead
                | RoleState::HaltVote
                | RoleState::Locked,
                _,
            ) => {}
        }
    }

    /// Also after a takeover that nobody asked for over the socket: a primary that reclaimed.
    fn became_active(&mut self) {
        let identity = self.shared.views.vault.node().pubkey();
        self.last_handover = self.machine.last_takeover().map(|report| self.stopwatch.report(report, identity));
    }

    fn end(&mut self, status: Status, reason: &str) {
        for exit in self.exits.drain(..) {
            // The client may have gone.
            let _ = exit.send(());
        }
        self.exit.request(Failure::new(status, reason));
    }
}

impl Stage for RoleStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        if now >= self.chain_at {
            self.chain_at = now + CHAIN_EVERY;
            if let Some(status) = self.chain.look(now, &self.shared, self.adopted_vote, self.auto.owner_sign(now)) {
                self.handle(now, Event::Chain(status))?;
            }
        }
        if now >= self.status_at {
            self.status_at = now + STATUS_EVERY;
            self.publish_status(now);
        }
        self.auto_step(now)?;
        match self.inbox.pop() {
            Some(input) => self.take(now, input)?,
            None => {
                let deadline = self.machine.next_deadline();
                if deadline.is_none_or(|deadline| deadline > now) {
                    let next = self.chain_at.min(self.status_at);
                    let next = self.auto_deadline(now).map_or(next, |deadline| deadline.min(next));
                    return Ok(Progress::Idle(Some(deadline.map_or(next, |deadline| deadline.min(next)))));
                }
                self.handle(now, Event::Timer)?;
            }
        }
        Ok(Progress::Busy)
    }
}

fn no_tower(reason: &str) -> Event {
    Event::TowerQuarantined { reason: reason.to_owned(), safe_from: None }
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}
