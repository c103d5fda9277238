//! The promise stage's shell. `validator/src/stages/promise.rs` cannot run here: it takes banks, sockets and the gossip
//! stage. This is the same shell without them, in the same order, and must follow it.

use {
    crate::{
        fiber::{self, Out, SimKv, SimPace},
        wire::{PromiseInput, RoleInput, StoreCommand, VoteInput},
    },
    std::{sync::Arc, time::Duration},
    tandem_identity::{Permit, Vault},
    tandem_role::{
        event::{Event as RoleEvent, StoreCall},
        keys::Keys,
        kv::Kv,
        records::{IntentRecord, Preference},
    },
    tandem_tower_storage::{
        Beater, ClaimError, ClaimRequest, Limits, Opening, Pace, PromiseStore, RecordError, SignOfLife, Skipped,
        StoreError, Tower, VoteDecision, VoteKind, look,
    },
    tandem_types::{Hash, InstanceId, Pubkey, Slot, Tick, mutant::mutant},
    tandem_vote::{Decision, DecisionKind},
};

/// What the stage starts with.
pub struct Setup {
    pub vault: Arc<Vault>,
    pub identity: Pubkey,
    pub vote_account: Pubkey,
    pub instance: InstanceId,
    pub host: String,
    pub preference: Preference,
    pub require_tower: bool,
    pub open_at_start: bool,
    /// `None`: the simulated etcd.
    pub kv: Option<Box<dyn Kv>>,
}

pub const LIMITS: Limits = Limits { call_deadline: Duration::from_millis(500), write_timeout: Duration::from_secs(5) };

/// As the product's: an errand that takes longer is worth nothing any more.
const ERRAND_DEADLINE: Duration = Duration::from_millis(400);

struct Stage {
    setup: Setup,
    store: Option<PromiseStore>,
    permit: Option<Permit>,
    /// The product beats and looks on a thread of its own; here they take turns with the records, which is slower.
    beater: Option<Beater>,
}

/// The body of the fiber: takes its inbox for as long as the process lives.
pub fn run(setup: Setup) {
    let open = setup.open_at_start;
    let mut stage = Stage { setup, store: None, permit: None, beater: None };
    if open {
        stage.command(StoreCommand::Open);
    }
    loop {
        match fiber::next_input() {
            PromiseInput::Vote(decision) => {
                let id = decision.id;
                let released = stage.record_and_release(&decision);
                fiber::send(Out::Vote(if released { VoteInput::Recorded(id) } else { VoteInput::Refused(id) }));
            }
            PromiseInput::ClaimSlot(slot) => stage.claim_slot(slot),
            PromiseInput::Beat { beat, may_vote } => {
                stage.beat(SignOfLife { beat, tip: 0, may_vote, finalizes: false })
            }
            PromiseInput::Look(asked) => stage.look(asked),
            PromiseInput::Store(command) => stage.command(command),
        }
    }
}

impl Stage {
    fn record_and_release(&mut self, decision: &Decision) -> bool {
        let vault = self.setup.vault.clone();
        let (Some(store), Some(_)) = (&mut self.store, &self.permit) else { return false };
        let slot = decision.slot;
        let promised = match store.record(promise_of(decision, &self.setup), &*vault) {
            Ok(promised) => promised,
            Err(error) => {
                let reason = error.to_string();
                self.report_record_error(error);
                role(RoleEvent::VoteUnreleased { reason });
                return false;
            }
        };
        fiber::point("recorded");
        role(RoleEvent::Recorded { slot });
        let Some(permit) = &self.permit else { return true };
        // The vote is recorded whether it is signed or not: the voter must count it.
        if let Ok(signed) = vault.sign_vote(promised, permit, &self.setup.identity) {
            if !vault.is_unlocked() {
                fiber::send(Out::Broken(format!("locked first: a vote for {slot} was signed with locked keys")));
            }
            fiber::point("signed");
            fiber::send(Out::Release(Box::new(signed)));
            role(RoleEvent::VoteReleased);
        } else {
            role(RoleEvent::VoteUnreleased { reason: "not signed".into() });
        }
        true
    }

    fn claim_slot(&mut self, slot: Slot) {
        let (Some(store), Some(_)) = (&mut self.store, &self.permit) else {
            return fiber::send(Out::SlotRefused);
        };
        match store.claim_leader_slot(slot) {
            Ok(claim) => {
                fiber::point("slot claimed");
                fiber::send(Out::SlotClaimed(claim));
            }
            Err(error) => {
                self.report_record_error(error);
                fiber::send(Out::SlotRefused);
            }
        }
    }

    fn beat(&mut self, sign: SignOfLife) {
        let Some(beater) = &self.beater else { return };
        match beater.beat(&mut SimKv, ERRAND_DEADLINE, sign, fiber::wall_clock()) {
            // The next one comes soon.
            Ok(()) | Err(Skipped::NoAnswer { .. }) => {}
            Err(Skipped::Fenced { by }) => {
                fiber::send(Out::Role(RoleInput::BeatFenced { term: beater.term(), by }));
            }
        }
    }

    fn look(&mut self, asked: Tick) {
        let keys = Keys::new(&Hash::default(), &self.setup.identity);
        let pulse = look(&mut SimKv, &keys, ERRAND_DEADLINE).map(Box::new);
        fiber::send(Out::Role(RoleInput::Looked { asked, pulse }));
    }

    fn report_record_error(&mut self, error: RecordError) {
        match error {
            RecordError::Fenced { .. } if mutant("shell: a fence is not reported") => {}
            RecordError::Fenced { by } => {
                self.permit = None;
                role(RoleEvent::RecordFenced { by });
            }
            RecordError::StoreLost { .. } if mutant("shell: a lost store is not reported") => {}
            RecordError::StoreLost { .. } => {
                self.permit = None;
                role(RoleEvent::RecordTimeout { reason: error.to_string() });
            }
            RecordError::Quarantined { reason, .. } => {
                self.permit = None;
                role(RoleEvent::StoreQuarantined { reason });
            }
            // The check is a pair of assertions with the voter: that it had to say no is a bug in one of them.
            RecordError::Violation(violation) => fiber::send(Out::Broken(format!("the check said no: {violation}"))),
            RecordError::NotOwner { .. }
            | RecordError::WrongIdentity { .. }
            | RecordError::WrongVoteAccount { .. }
            | RecordError::NoKey { .. }
            | RecordError::SlotNotAboveWatermark { .. } => {}
        }
    }

    fn command(&mut self, command: StoreCommand) {
        match command {
            StoreCommand::Open => self.open(),
            StoreCommand::HaltVotes => {
                self.permit = None;
                role(RoleEvent::VotesSettled);
            }
            StoreCommand::Resume { permit } => self.permit = Some(permit),
            StoreCommand::Read { read } => {
                let Some(store) = &mut self.store else { return no_store(StoreCall::Read(read)) };
                role(match store.read() {
                    Ok(snapshot) => RoleEvent::StoreRead { read, facts: Box::new(snapshot.facts()) },
                    Err(error) => store_event(StoreCall::Read(read), error),
                });
            }
            StoreCommand::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason } => {
                let (to, instance) = (self.setup.host.clone(), self.setup.instance);
                let intent = IntentRecord { from, to, instance, deadline_ms, reason, term_seen };
                let Some(store) = &mut self.store else { return no_store(StoreCall::Intent) };
                role(match store.write_intent(owner_revision, intent) {
                    Ok(None) => RoleEvent::IntentWritten,
                    Ok(Some(snapshot)) => RoleEvent::ClaimRefused(Box::new(snapshot.facts())),
                    Err(error) => store_event(StoreCall::Intent, error),
                });
            }
            StoreCommand::Claim { owner_revision, term_seen, previous_host, reason, slot } => {
                self.claim(ClaimRequest {
                    owner_revision,
                    term_seen,
                    previous_host,
                    host: self.setup.host.clone(),
                    version: "sim".into(),
                    standby_identity: String::new(),
                    preference: self.setup.preference,
                    slot_at_claim: slot,
                    reason,
                    claimed_at: fiber::wall_clock(),
                    require_tower: self.setup.require_tower,
                });
            }
            StoreCommand::AdoptChainTower { tower } => {
                let Some(store) = &mut self.store else { return no_store(StoreCall::Claim) };
                if mutant("shell: the chain's tower is not told to the store") {
                    return;
                }
                if let Err(error) = store.adopt_chain_tower(tower) {
                    self.report_record_error(error);
                }
            }
            StoreCommand::Release { reason } => {
                self.permit = None;
                let Some(store) = &mut self.store else { return role(RoleEvent::Released) };
                // An audit entry that could not be completed keeps nobody from letting go.
                drop(store.write_log(reason));
                role(match store.release(fiber::wall_clock()) {
                    Ok(()) | Err(StoreError::NotOwner | StoreError::Fenced { .. }) => RoleEvent::Released,
                    Err(error) => RoleEvent::ReleaseFailed { reason: error.to_string() },
                });
            }
        }
    }

    fn open(&mut self) {
        if self.store.is_some() {
            return;
        }
        let kv = self.setup.kv.take().unwrap_or_else(|| Box::new(SimKv));
        let pace: Box<dyn Pace> = Box::new(SimPace);
        let opening = Opening {
            genesis_hash: Hash::default(),
            identity: self.setup.identity,
            vote_account: self.setup.vote_account,
            instance: self.setup.instance,
            limits: LIMITS,
        };
        self.store = Some(PromiseStore::open(kv, pace, opening));
    }

    fn claim(&mut self, request: ClaimRequest) {
        let Some(store) = &mut self.store else { return no_store(StoreCall::Claim) };
        role(match store.claim(request) {
            Ok(claim) => {
                self.beater = Some(claim.beater.clone());
                return fiber::send(Out::Role(RoleInput::Claimed(Box::new(claim))));
            }
            Err(ClaimError::Refused(snapshot)) => RoleEvent::ClaimRefused(Box::new(snapshot.facts())),
            Err(error @ ClaimError::Unresolved { .. }) => RoleEvent::ClaimUnresolved { reason: error.to_string() },
            Err(error @ ClaimError::Quarantined { .. }) => RoleEvent::StoreQuarantined { reason: error.to_string() },
            Err(error @ (ClaimError::Unavailable { .. } | ClaimError::TowerMissing { .. })) => {
                RoleEvent::StoreUnavailable { call: StoreCall::Claim, reason: error.to_string() }
            }
        });
    }
}

fn role(event: RoleEvent) {
    fiber::send(Out::Role(RoleInput::Event(event)));
}

fn no_store(call: StoreCall) {
    role(RoleEvent::StoreUnavailable { call, reason: "no store is open".into() });
}

fn promise_of(decision: &Decision, setup: &Setup) -> VoteDecision {
    VoteDecision {
        identity: setup.identity,
        vote_account: setup.vote_account,
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

fn store_event(call: StoreCall, error: StoreError) -> RoleEvent {
    match error {
        StoreError::Quarantined { .. } => RoleEvent::StoreQuarantined { reason: error.to_string() },
        StoreError::Fenced { by } => RoleEvent::RecordFenced { by },
        StoreError::Unavailable { .. } | StoreError::NotOwner => {
            RoleEvent::StoreUnavailable { call, reason: error.to_string() }
        }
    }
}
