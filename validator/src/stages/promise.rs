//! The promise stage: the only one that talks to the promise store, and the only one that releases votes.
//!
//! A decision is recorded (durable, under our term), then signed, then logged, then sent. Each step needs the value the step
//! before returned, so none can be left out.

#[cfg(test)]
mod tests;

use {
    crate::{
        exit::{Failure, Status},
        failover,
        stage::{Progress, Stage},
        topology::{GossipCommand, ProducerInput, PromiseInput, RoleInput, Shared, StoreCommand, VoteInput, Vouch},
    },
    std::net::SocketAddr,
    tandem_env::{Rx, wall_clock},
    tandem_identity::{Permit, SignedVote},
    tandem_net::UdpPort,
    tandem_role::{
        event::{Event as RoleEvent, RefusedKind, StoreCall},
        hints::NoteRecord,
        records::{IntentRecord, Preference},
    },
    tandem_tower_storage::{
        ClaimError, ClaimRequest, Known, PromiseStore, RecordError, StoreError, Tower, VoteDecision, VoteKind,
    },
    tandem_types::{InstanceId, Pubkey, Slot, Tick},
    tandem_vote::{Decision, DecisionKind},
    tandem_wire::contact_info::SocketTag,
    tokio::sync::oneshot,
};

/// Opens the store of an identity.
pub type OpenStore = Box<dyn FnMut(&Pubkey) -> Result<(PromiseStore, Box<dyn Keeper>), Failure> + Send>;

/// Keeps what was seen of a store for the next run.
pub trait Keeper: Send {
    fn keep(&mut self, known: &Known, when: When) -> Result<(), Failure>;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Durable when the call returns.
    Now,
    /// Without waiting.
    Soon,
}

/// How this machine signs its records in the store.
pub struct Signature {
    pub instance: InstanceId,
    pub host: String,
    pub version: String,
    pub preference: Preference,
    pub require_tower: bool,
}

pub struct PromiseStage {
    shared: Shared,
    inbox: Rx<PromiseInput>,
    open: OpenStore,
    signature: Signature,
    vote_account: Option<Pubkey>,
    port: UdpPort,
    store: Option<PromiseStore>,
    memory: Option<Box<dyn Keeper>>,
    /// What the memory was told last.
    kept: Option<Known>,
    identity: Option<Pubkey>,
    permit: Option<Permit>,
}

/// A vote goes to the leaders of this many slots from the tip on (solana-core 4.2.2, voting_service.rs:
/// UPCOMING_LEADER_FANOUT_SLOTS).
const LEADER_SLOTS: u64 = 3;

impl PromiseStage {
    pub fn new(
        shared: Shared,
        inbox: Rx<PromiseInput>,
        open: OpenStore,
        signature: Signature,
        vote_account: Option<Pubkey>,
        port: UdpPort,
        identity: Option<Pubkey>,
    ) -> Result<Self, Failure> {
        let mut stage = Self {
            shared,
            inbox,
            open,
            signature,
            vote_account,
            port,
            store: None,
            memory: None,
            kept: None,
            identity: None,
            permit: None,
        };
        if let Some(identity) = identity {
            stage.open_store(identity)?;
        }
        Ok(stage)
    }

    // Votes.

    fn vote(&mut self, decision: &Decision, frozen_at: Option<Tick>) -> Result<(), Failure> {
        let released = self.record_and_release(decision, frozen_at)?;
        let answer =
            if released { VoteInput::Recorded { id: decision.id } } else { VoteInput::Refused { id: decision.id } };
        self.shared.writers.vote.send(answer).map_err(stopping)
    }

    fn record_and_release(&mut self, decision: &Decision, frozen_at: Option<Tick>) -> Result<bool, Failure> {
        let record_from = self.shared.clock.now();
        let (Some(store), Some(_), Some(identity), Some(vote_account)) =
            (&mut self.store, &self.permit, self.identity, self.vote_account)
        else {
            return Ok(false);
        };
        let promised = match store.record(promise_of(decision, identity, vote_account), &*self.shared.views.vault) {
            Ok(promised) => promised,
            Err(error) => {
                let reason = error.to_string();
                self.report_record_error(error)?;
                // Where the store itself was the reason, that has been told, and there is no owner any more.
                if self.permit.is_some() {
                    self.role(RoleEvent::VoteUnreleased { reason })?;
                }
                return Ok(false);
            }
        };
        let record = self.shared.clock.now().since(record_from);
        let slot = decision.slot;
        self.role(RoleEvent::Recorded { slot })?;
        let Some(voter) = self.authorized_voter(&vote_account, slot) else {
            tracing::error!(slot, "the vote account has no authorized voter for this epoch: the vote is not sent");
            let reason = "the vote account has no authorized voter for this epoch".to_owned();
            self.role(RoleEvent::VoteUnreleased { reason })?;
            return Ok(true);
        };
        let Some(permit) = &self.permit else { return Ok(true) };
        // The vote is recorded whether it is signed or not: the voter must count it.
        match self.shared.views.vault.sign_vote(promised, permit, &voter) {
            Ok(signed) => {
                self.release(signed)?;
                self.role(RoleEvent::VoteReleased)?;
                if let Some(frozen_at) = frozen_at {
                    self.shared.views.vote_path.add(self.shared.clock.now().since(frozen_at), record);
                }
            }
            Err(refusal) => {
                tracing::warn!(slot, "vote recorded but not signed: {refusal}");
                self.role(RoleEvent::VoteUnreleased { reason: refusal.to_string() })?;
            }
        }
        Ok(true)
    }

    fn release(&self, vote: SignedVote) -> Result<(), Failure> {
        let bytes = vote.bytes();
        self.shared.views.release.vote(vote.at(), &bytes)?;
        // Before it can come back to us from anywhere.
        self.shared.views.own_votes.releases(vote.slot(), vote.signature());
        for leader in self.leader_addresses() {
            if let Err(error) = self.port.send(leader, &bytes) {
                tracing::debug!("vote to {leader}: {error}");
            }
        }
        self.shared.views.counters.add("votes_released", 1);
        let (slot, transaction) = (vote.slot(), vote.into_transaction());
        self.shared.writers.gossip.send(GossipCommand::PublishVote { slot, transaction }).map_err(stopping)
    }

    fn leader_addresses(&self) -> Vec<SocketAddr> {
        let views = &self.shared.views;
        let bank = views.chain.load().processed.clone();
        let own = views.contact.load();
        let mut addresses = Vec::new();
        for slot in bank.slot().saturating_add(1)..=bank.slot().saturating_add(LEADER_SLOTS) {
            let Some(leader) = bank.leader_at(slot) else { continue };
            let address = if leader.identity == own.pubkey {
                own.socket(SocketTag::TpuVote)
            } else {
                views.peer(&leader.identity).and_then(|peer| peer.socket(SocketTag::TpuVote))
            };
            if let Some(address) = address.filter(|address| !addresses.contains(address)) {
                addresses.push(address);
            }
        }
        addresses
    }

    fn authorized_voter(&self, vote_account: &Pubkey, slot: Slot) -> Option<Pubkey> {
        let bank = self.shared.views.chain.load().processed.clone();
        let epoch = bank.epoch_schedule().get_epoch(slot);
        bank.vote_accounts().get(vote_account)?.state().authorized_voter(epoch).copied()
    }

    // Leader slots.

    fn claim_slot(&mut self, slot: Slot) -> Result<(), Failure> {
        let answer = match (&mut self.store, &self.permit) {
            (Some(store), Some(_)) => match store.claim_leader_slot(slot) {
                Ok(claim) => ProducerInput::SlotClaimed(claim),
                Err(error) => {
                    self.report_record_error(error)?;
                    ProducerInput::SlotRefused(slot)
                }
            },
            (_, _) => ProducerInput::SlotRefused(slot),
        };
        self.shared.writers.producer.send(answer).map_err(stopping)
    }

    fn report_record_error(&mut self, error: RecordError) -> Result<(), Failure> {
        tracing::warn!("{error}");
        self.shared.views.counters.add("promises_refused", 1);
        match error {
            RecordError::Fenced { by } => {
                self.permit = None;
                self.role(RoleEvent::RecordFenced { by })
            }
            RecordError::StoreLost { .. } => {
                self.permit = None;
                self.role(RoleEvent::RecordTimeout { reason: error.to_string() })
            }
            RecordError::Quarantined { reason, .. } => {
                self.permit = None;
                self.role(RoleEvent::StoreQuarantined { reason })
            }
            RecordError::NotOwner { .. }
            | RecordError::Violation(_)
            | RecordError::WrongIdentity { .. }
            | RecordError::WrongVoteAccount { .. }
            | RecordError::NoKey { .. }
            | RecordError::SlotNotAboveWatermark { .. } => Ok(()),
        }
    }

    // The role stage's commands.

    fn command(&mut self, command: StoreCommand) -> Result<(), Failure> {
        match command {
            StoreCommand::Open { identity } => {
                if self.identity != Some(identity) || self.store.is_none() {
                    self.leave_store();
                    if let Err(failure) = self.open_store(identity) {
                        return self.role(not_opened(identity, &failure));
                    }
                }
                self.role(RoleEvent::StoreOpened { identity })
            }
            StoreCommand::HaltVotes => {
                self.permit = None;
                self.role(RoleEvent::VotesSettled)
            }
            StoreCommand::Resume { permit } => {
                self.permit = Some(permit);
                Ok(())
            }
            StoreCommand::Read { read } => {
                let Some(store) = &mut self.store else { return self.no_store(StoreCall::Read(read)) };
                let event = match store.read() {
                    Ok(snapshot) => RoleEvent::StoreRead { read, facts: Box::new(snapshot.facts()) },
                    Err(error) => store_event(StoreCall::Read(read), error),
                };
                self.role(event)
            }
            StoreCommand::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason } => {
                let intent = IntentRecord {
                    from,
                    to: self.signature.host.clone(),
                    instance: self.signature.instance,
                    deadline_ms,
                    reason,
                    term_seen,
                };
                let Some(store) = &mut self.store else { return self.no_store(StoreCall::Intent) };
                let event = match store.write_intent(owner_revision, intent) {
                    Ok(None) => RoleEvent::IntentWritten,
                    Ok(Some(snapshot)) => RoleEvent::ClaimRefused(Box::new(snapshot.facts())),
                    Err(error) => store_event(StoreCall::Intent, error),
                };
                self.role(event)
            }
            StoreCommand::Claim { owner_revision, term_seen, previous_host, reason, slot } => {
                let request = ClaimRequest {
                    owner_revision,
                    term_seen,
                    previous_host,
                    host: self.signature.host.clone(),
                    version: self.signature.version.clone(),
                    standby_identity: self.shared.views.vault.standby().to_string(),
                    preference: self.signature.preference,
                    slot_at_claim: slot,
                    reason,
                    claimed_at: wall_clock(),
                    require_tower: self.signature.require_tower,
                };
                self.claim(request)
            }
            StoreCommand::AdoptChainTower { tower } => {
                let Some(store) = &mut self.store else { return self.no_store(StoreCall::Claim) };
                match store.adopt_chain_tower(tower) {
                    Ok(()) => Ok(()),
                    Err(error) => self.report_record_error(error),
                }
            }
            StoreCommand::Release { reason } => {
                self.permit = None;
                let Some(store) = &mut self.store else { return self.role(RoleEvent::Released) };
                store.explain(reason);
                let event = match store.release(wall_clock()) {
                    Ok(()) | Err(StoreError::NotOwner | StoreError::Fenced { .. }) => RoleEvent::Released,
                    Err(error) => RoleEvent::ReleaseFailed { reason: error.to_string() },
                };
                self.role(event)
            }
            StoreCommand::Vouch { vouch, reply } => self.vouch(vouch, reply),
        }
    }

    fn open_store(&mut self, identity: Pubkey) -> Result<(), Failure> {
        let (store, memory) = (self.open)(&identity)?;
        (self.store, self.memory, self.kept) = (Some(store), Some(memory), None);
        self.identity = Some(identity);
        Ok(())
    }

    /// Before another is opened: a folder has one lock. What this process should own in it, by a claim that came too late to be used,
    /// nobody else would give back.
    fn leave_store(&mut self) {
        self.permit = None;
        self.identity = None;
        self.memory = None;
        let Some(mut store) = self.store.take() else { return };
        store.explain("this machine turned to another identity".to_owned());
        match store.release(wall_clock()) {
            Ok(()) | Err(StoreError::NotOwner | StoreError::Fenced { .. }) => {}
            Err(error) => tracing::warn!("leaving the store of another identity: {error}"),
        }
    }

    /// `failover recover`: a person's word ends a quarantine, as far as what is known here allows it.
    fn vouch(&mut self, vouch: Vouch, reply: oneshot::Sender<Result<(), Failure>>) -> Result<(), Failure> {
        let Some(store) = &mut self.store else {
            // The asker may have gone.
            drop(reply.send(Err(Failure::refused("no store is open: this node has no vote account"))));
            return Ok(());
        };
        let done = match &vouch {
            Vouch::Store => store.trust().map(drop),
            Vouch::NoTower { slot } => {
                let what = format!("recover: the store's tower was forgotten after slot {slot}");
                let note = NoteRecord { at: wall_clock(), by: self.signature.host.clone(), what };
                store.forget_tower(*slot, &note)
            }
        };
        if done.is_ok() {
            self.keep()?;
            let tower_forgotten = matches!(vouch, Vouch::NoTower { .. });
            self.role(RoleEvent::StoreVouched { tower_forgotten })?;
        }
        drop(reply.send(done.map_err(failover::failure)));
        Ok(())
    }

    fn claim(&mut self, request: ClaimRequest) -> Result<(), Failure> {
        let Some(store) = &mut self.store else { return self.no_store(StoreCall::Claim) };
        let event = match store.claim(request) {
            Ok(claim) => {
                return self.shared.writers.role.send(RoleInput::Claimed(Box::new(claim))).map_err(stopping);
            }
            Err(ClaimError::Refused(snapshot)) => RoleEvent::ClaimRefused(Box::new(snapshot.facts())),
            Err(error @ ClaimError::Unresolved { .. }) => RoleEvent::ClaimUnresolved { reason: error.to_string() },
            Err(error @ ClaimError::Quarantined { .. }) => RoleEvent::StoreQuarantined { reason: error.to_string() },
            Err(error @ (ClaimError::Unavailable { .. } | ClaimError::TowerMissing { .. })) => {
                RoleEvent::StoreUnavailable { call: StoreCall::Claim, reason: error.to_string() }
            }
        };
        self.role(event)
    }

    /// A quarantine, a person's word, and the first sight of a store are durable before anything else is done; the rest soon.
    fn keep(&mut self) -> Result<(), Failure> {
        let (Some(store), Some(memory)) = (&self.store, &mut self.memory) else { return Ok(()) };
        let known = store.known();
        let judged = |known: &Known| (known.quarantine.clone(), known.accepted, known.store_id);
        match &self.kept {
            Some(kept) if *kept == known => return Ok(()),
            Some(kept) if judged(kept) == judged(&known) => memory.keep(&known, When::Soon)?,
            Some(_) | None => memory.keep(&known, When::Now)?,
        }
        self.kept = Some(known);
        Ok(())
    }

    fn no_store(&self, call: StoreCall) -> Result<(), Failure> {
        self.role(RoleEvent::StoreUnavailable {
            call,
            reason: "no store is open: this node has no vote account".into(),
        })
    }

    fn role(&self, event: RoleEvent) -> Result<(), Failure> {
        self.shared.writers.role.send(RoleInput::Event(event)).map_err(stopping)
    }
}

impl Stage for PromiseStage {
    fn step(&mut self, _now: Tick) -> Result<Progress, Failure> {
        let Some(input) = self.inbox.pop() else { return Ok(Progress::Idle(None)) };
        match input {
            PromiseInput::Vote { decision, frozen_at } => self.vote(&decision, frozen_at)?,
            PromiseInput::ClaimSlot(slot) => self.claim_slot(slot)?,
            PromiseInput::Store(command) => self.command(command)?,
        }
        self.keep()?;
        Ok(Progress::Busy)
    }
}

/// The voter's decision in the promise store's own words: the two crates share no type on purpose.
fn promise_of(decision: &Decision, identity: Pubkey, vote_account: Pubkey) -> VoteDecision {
    VoteDecision {
        identity,
        vote_account,
        kind: match decision.kind {
            DecisionKind::Vote => VoteKind::Vote,
            DecisionKind::Refresh => VoteKind::Refresh,
        },
        slot: decision.slot,
        hash: decision.hash,
        block_id: decision.block_id,
        tower: Tower {
            votes: decision.tower.votes.iter().map(|vote| (vote.slot(), vote.confirmation_count())).collect(),
            root: decision.tower.root,
        },
        timestamp: decision.timestamp,
        recent_blockhash: decision.recent_blockhash,
        switch: decision.switch,
    }
}

fn not_opened(identity: Pubkey, failure: &Failure) -> RoleEvent {
    let is_lost = failure.status == Status::StoreLost;
    let kind = if is_lost { RefusedKind::StoreUnavailable } else { RefusedKind::WrongStore };
    let remedy = failure.remedy.as_deref().map_or(String::new(), |remedy| format!(" — {remedy}"));
    RoleEvent::StoreNotOpened { identity, kind, reason: format!("{}{remedy}", failure.what) }
}

fn store_event(call: StoreCall, error: StoreError) -> RoleEvent {
    match error {
        StoreError::Quarantined { .. } => RoleEvent::StoreQuarantined { reason: error.to_string() },
        StoreError::Fenced { by } => RoleEvent::RecordFenced { by },
        StoreError::Unavailable { .. } | StoreError::NotOwner => {
            RoleEvent::StoreUnavailable { call, reason: error.to_string() }
        }
    }
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}
