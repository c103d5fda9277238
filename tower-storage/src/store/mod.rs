//! The promise store over any key-value store: reads, claims, records, releases, each with a deadline, each resolved
//! before anything else is done.
//!
//! Blocking: it lives on a thread of its own. While a record is unresolved nothing else can be recorded, because the
//! one thread is busy resolving it; that is a feature.

#[cfg(test)]
mod account_tests;
mod hints;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod mirror;
mod promise;
#[cfg(test)]
mod races;
#[cfg(test)]
mod resolve_tests;
mod succession;
#[cfg(test)]
mod tests;

pub use {
    hints::{Beater, SignOfLife, Skipped, announce, look},
    promise::{LeaderSlotClaim, Promised, PromisedAt},
};

use {
    crate::{
        check::well_formed,
        decision::Tower,
        error::{ClaimError, RecordError, StoreError},
        known::Known,
        pace::Pace,
        tower::StoredTower,
    },
    std::time::Duration,
    succession::Seen,
    tandem_role::{
        ClaimFacts, StoreFacts,
        agave_keys::AgaveView,
        hints::NoteRecord,
        keys::Keys,
        kv::{Kv, KvError, Revision},
        protocol::{
            self, ClaimOutcome, Fault, Held, InFlight, IntentOutcome, Knowledge, Operation, Quarantine, ReadLogs,
            RecordVote, Release, Step, StoreView, Versioned, WriteLog,
        },
        records::{AccountRecord, IntentRecord, LogRecord, OwnerRecord, Preference, WindowRecord},
    },
    tandem_types::{Hash, InstanceId, Pubkey, Slot, Term, UnixMillis},
};

/// Whose promises these are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    pub genesis_hash: Hash,
    pub identity: Pubkey,
    /// Whose votes are recorded: part of the fence. The default: nobody's, for tools that only look.
    pub vote_account: Pubkey,
    pub instance: InstanceId,
    pub limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For one transaction.
    pub call_deadline: Duration,
    /// For an operation with all its retries (`--etcd-write-timeout`).
    pub write_timeout: Duration,
}

pub struct PromiseStore {
    kv: Box<dyn Kv>,
    pace: Box<dyn Pace>,
    keys: Keys,
    identity: Pubkey,
    vote_account: Pubkey,
    /// The owner record is to say which it is.
    finds_account: bool,
    instance: InstanceId,
    limits: Limits,
    // What was seen, whatever the store says later (I6).
    knowledge: Knowledge,
    newest_term: Term,
    newest_vote: Option<Slot>,
    highest_watermark: Option<Slot>,
    quarantine: Option<String>,
    /// See [`Known::accepted`].
    accepted: Option<Slot>,
    /// The newest look, which a claim takes over from.
    seen: Option<Seen>,
    tenure: Result<Tenure, String>,
}

/// The time in which we own the identity.
struct Tenure {
    held: Held,
    owner: OwnerRecord,
    log: LogRecord,
    /// What the store has.
    tower: Option<StoredTower>,
    /// What the first vote is checked against while the store has none.
    base: Tower,
}

/// Everything in the store, decoded and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreSnapshot {
    /// Who has to let go before a claim: the identity's owner, or that of the identity that speaks for the vote account instead.
    pub owner: Option<OwnerRecord>,
    /// What a claim compares: the revision of the identity's own owner record.
    pub owner_revision: Revision,
    /// The vote account's last tower, under whatever identity.
    pub tower: Option<StoredTower>,
    /// Who signed it: another identity, where it was taken over and not voted on yet, or where the account is that one's now.
    pub signed_by: Option<Pubkey>,
    /// The other identity that speaks for the vote account.
    pub speaker: Option<Pubkey>,
    pub window: Option<WindowRecord>,
    pub intent: Option<IntentRecord>,
    pub revision: Revision,
    pub store_id: u64,
    /// That there is no tower is known, and was said to be right.
    pub accepted: bool,
}

impl StoreSnapshot {
    /// What the role machine wants to know of it.
    pub fn facts(&self) -> StoreFacts {
        StoreFacts {
            owner: self.owner.clone(),
            owner_revision: self.owner_revision,
            has_tower: self.tower.is_some(),
            tower_last_vote: self.tower.as_ref().and_then(StoredTower::last_slot),
            intent: self.intent.clone(),
            accepted: self.accepted,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRequest {
    /// As they were read.
    pub owner_revision: Revision,
    pub term_seen: Term,
    pub previous_host: Option<String>,
    pub host: String,
    pub version: String,
    pub standby_identity: String,
    pub preference: Preference,
    pub slot_at_claim: Slot,
    pub reason: String,
    pub claimed_at: UnixMillis,
    pub require_tower: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    pub term: Term,
    pub tower: Option<StoredTower>,
    pub window: Option<WindowRecord>,
    /// Signs of life under this claim.
    pub beater: Beater,
}

impl Claim {
    pub fn facts(&self) -> ClaimFacts {
        ClaimFacts {
            term: self.term,
            has_tower: self.tower.is_some(),
            tower_last_vote: self.tower.as_ref().and_then(StoredTower::last_slot),
            watermark: self.window.map(|window| window.watermark),
        }
    }
}

/// How an operation ended, other than well.
enum Ended {
    Fault(Fault),
    TimedOut { unresolved: bool, source: KvError },
}

impl PromiseStore {
    pub fn open(kv: Box<dyn Kv>, pace: Box<dyn Pace>, opening: Opening) -> Self {
        let keys = Keys::new(&opening.genesis_hash, &opening.identity);
        let is_for_votes = opening.vote_account != Pubkey::default();
        Self {
            kv,
            pace,
            keys: if is_for_votes { keys.for_account(&opening.vote_account) } else { keys },
            identity: opening.identity,
            vote_account: opening.vote_account,
            finds_account: false,
            instance: opening.instance,
            limits: opening.limits,
            knowledge: Knowledge::default(),
            newest_term: Term(0),
            newest_vote: None,
            highest_watermark: None,
            quarantine: None,
            accepted: None,
            seen: None,
            tenure: Err("it was not claimed yet".into()),
        }
    }

    /// Keeps agave 2.3's keys in step, and is fenced by them (`--etcd-mirror-agave-keys`). Only before anything was read.
    pub fn mirror_agave(mut self) -> Self {
        self.keys = self.keys.mirror_agave(&self.identity);
        self
    }

    /// For tools that are not told the vote account: that of the identity's last claim, if there was one. Only before anything was read.
    pub fn find_account(mut self) -> Self {
        self.finds_account = self.keys.account().is_none();
        self
    }

    pub fn describe(&self) -> String {
        self.kv.describe()
    }

    /// What was seen so far, to be kept beside the ledger for the next run.
    pub fn known(&self) -> Known {
        Known {
            store_id: self.knowledge.store_id,
            revision: self.knowledge.revision,
            term: self.newest_term,
            newest_vote: self.newest_vote,
            highest_watermark: self.highest_watermark,
            quarantine: self.quarantine.clone(),
            accepted: self.accepted,
        }
    }

    /// Takes over what earlier runs have seen: a store that shows less is not believed (I6).
    pub fn remember(&mut self, known: &Known) {
        self.knowledge.store_id = known.store_id.or(self.knowledge.store_id);
        self.knowledge.revision = self.knowledge.revision.max(known.revision);
        self.newest_vote = self.newest_vote.max(known.newest_vote);
        self.highest_watermark = self.highest_watermark.max(known.highest_watermark);
        self.newest_term = self.newest_term.max(known.term);
        self.quarantine = known.quarantine.clone().or(self.quarantine.take());
        self.accepted = known.accepted;
    }

    /// Why nothing is signed on this store's word, if so.
    pub fn quarantine(&self) -> Option<&str> {
        self.quarantine.as_deref()
    }

    /// A person says that this is the identity's store, whatever its id and revision: etcd was moved without a loss. Believed if
    /// it holds everything that was ever seen here; else all stays as it was.
    pub fn trust(&mut self) -> Result<StoreSnapshot, StoreError> {
        let before = self.known();
        self.quarantine = None;
        self.knowledge = Knowledge::default();
        let read = self.read();
        if read.is_err() {
            self.recall(&before);
        }
        read
    }

    /// A person says that the chain has passed `slot`, and with it the lockouts of every vote that this store may have
    /// lost. Its tower goes, and what was seen of it; the next owner takes the chain's. `Err`: all stays as it was.
    pub fn forget_tower(&mut self, slot: Slot, note: &NoteRecord) -> Result<(), StoreError> {
        let before = self.known();
        self.recall(&Known::default());
        let forgotten = self.drop_tower(note);
        match forgotten {
            Ok(true) => {
                self.accepted = Some(slot);
                self.tenure = Err("the store's tower was forgotten".into());
                Ok(())
            }
            Ok(false) => {
                self.recall(&before);
                Err(StoreError::Fenced { by: "somebody wrote to the store at the same moment".into() })
            }
            Err(error) => {
                self.recall(&before);
                Err(error)
            }
        }
    }

    /// Exactly this is known, and no more.
    fn recall(&mut self, known: &Known) {
        self.seen = None;
        self.knowledge = Knowledge { store_id: known.store_id, revision: known.revision };
        (self.newest_vote, self.highest_watermark) = (known.newest_vote, known.highest_watermark);
        (self.newest_term, self.accepted) = (known.term, known.accepted);
        self.quarantine = known.quarantine.clone();
    }

    /// The term while we own the identity.
    pub fn term(&self) -> Option<Term> {
        self.tenure.as_ref().ok().map(|tenure| tenure.held.fence.term)
    }

    /// The tower that the next vote is checked against.
    pub fn tower(&self) -> Option<&StoredTower> {
        self.tenure.as_ref().ok()?.tower.as_ref()
    }

    pub fn watermark(&self) -> Option<Slot> {
        self.tenure.as_ref().ok()?.held.watermark
    }

    pub fn read(&mut self) -> Result<StoreSnapshot, StoreError> {
        self.trusted()?;
        let view = self.look_at_all()?;
        self.snapshot(view).map_err(|reason| self.distrust(reason))
    }

    /// The audit entries, oldest first.
    pub fn history(&mut self) -> Result<Vec<LogRecord>, StoreError> {
        self.drive(ReadLogs::new(&self.keys)).map_err(|ended| self.store_error(ended))
    }

    /// Becomes the owner, if nobody else has since the owner was read.
    pub fn claim(&mut self, request: ClaimRequest) -> Result<Claim, ClaimError> {
        if let Some(reason) = &self.quarantine {
            return Err(ClaimError::Quarantined { store: self.kv.describe(), reason: reason.clone() });
        }
        // Refused before anything is claimed: the old design took the lock first.
        if request.require_tower && self.read().map_err(claim_error)?.tower.is_none() {
            return Err(ClaimError::TowerMissing { identity: self.identity });
        }
        let Some(mut seen) = self.seen_by(&request)? else {
            return Err(ClaimError::Refused(Box::new(self.read().map_err(claim_error)?)));
        };
        self.tenure = Err("a new claim is being made".into());
        let until = self.pace.now() + self.limits.write_timeout;
        loop {
            let request = self.protocol_request(&request, &seen)?;
            let claim = protocol::Claim::new(&self.keys, request);
            let (owner, log) = claim.records();
            let account = claim.account().cloned();
            let refused = match self.drive(claim) {
                Ok(ClaimOutcome::Claimed(claimed)) => return self.take_over(*claimed, owner, log, account),
                Ok(ClaimOutcome::Refused(view)) => view,
                Err(Ended::TimedOut { unresolved: true, source }) => {
                    return Err(ClaimError::Unresolved { store: self.kv.describe(), source });
                }
                Err(ended @ (Ended::TimedOut { .. } | Ended::Fault(_))) => {
                    return Err(claim_error(self.store_error(ended)));
                }
            };
            let view = if self.follow(&refused) { *refused } else { self.look_at_all().map_err(claim_error)? };
            let snapshot = self.snapshot(view).map_err(|reason| claim_error(self.distrust(reason)))?;
            match self.seen.take_if(|now| now.is_only_a_vote_later(&seen)) {
                // Whoever speaks for the account has voted between our look and our claim.
                Some(now) if self.pace.now() < until => seen = now,
                Some(_) | None => return Err(ClaimError::Refused(Box::new(snapshot))),
            }
        }
    }

    fn take_over(
        &mut self,
        claimed: protocol::Claimed,
        owner: OwnerRecord,
        log: LogRecord,
        account: Option<AccountRecord>,
    ) -> Result<Claim, ClaimError> {
        let fence = claimed.held.fence;
        self.keys = self.keys.clone().after(None);
        let stored =
            [&claimed.tower, &claimed.agave_tower].map(|tower| tower.as_ref().map(|tower| tower.value.clone()));
        let view = StoreView {
            owner: Some(Versioned { value: owner.clone(), mod_revision: fence.owner_revision }),
            tower: claimed.tower,
            window: claimed.window,
            intent: None,
            agave: claimed.agave_tower.map(|tower| AgaveView { instance: None, tower: Some(tower) }),
            account: account.map(|value| Versioned { value, mod_revision: fence.owner_revision }),
            before: None,
            revision: self.knowledge.revision,
            store_id: self.knowledge.store_id.unwrap_or(0),
        };
        let snapshot = match self.snapshot(view) {
            Ok(snapshot) => snapshot,
            Err(reason) => {
                // It got bad between our look and our claim. What we cannot use we do not keep.
                let release = Release::new(&self.keys, fence, &owner, &log);
                if self.drive(release).is_err() {
                    tracing::warn!(store = self.kv.describe(), "a claim that cannot be used could not be given back");
                }
                return Err(claim_error(self.distrust(reason)));
            }
        };
        let StoreSnapshot { tower, window, .. } = snapshot;
        let tenure = Tenure { held: claimed.held, owner, log, tower: tower.clone(), base: Tower::default() };
        let beater = Beater::of(&self.keys, &tenure);
        self.tenure = Ok(tenure);
        if let Some(tower) = &tower
            && self.keys.agave().is_some()
            && stored.iter().any(|stored| stored.as_deref() != Some(tower.bytes()))
        {
            self.bring_into_step(tower)?;
        }
        Ok(Claim { term: fence.term, tower, window, beater })
    }

    /// One of the two tower keys is behind, because an agave node has voted, or this software without the mirror. Both
    /// get the newer tower before the claim counts: an agave node that loads it from now on cannot find an older one.
    fn bring_into_step(&mut self, tower: &StoredTower) -> Result<(), ClaimError> {
        let Ok(tenure) = &mut self.tenure else { return Ok(()) };
        let write = RecordVote::new(&self.keys, &tenure.held, tower.bytes().to_vec());
        match self.write(write) {
            Ok(revision) => {
                if let Ok(tenure) = &mut self.tenure {
                    tenure.held.tower_revision = revision;
                }
                Ok(())
            }
            // Somebody claimed in between: that is as if our claim had come too late.
            Err(RecordError::Fenced { .. }) => Err(ClaimError::Refused(Box::new(self.read().map_err(claim_error)?))),
            Err(RecordError::StoreLost { store, source, .. }) => Err(ClaimError::Unresolved { store, source }),
            Err(other) => Err(ClaimError::Quarantined { store: self.kv.describe(), reason: other.to_string() }),
        }
    }

    /// Before the first record into a store without a tower: what the vote account's state on chain says was voted.
    /// The first vote is then checked against it.
    pub fn adopt_chain_tower(&mut self, base: Tower) -> Result<(), RecordError> {
        well_formed(&base)?;
        let tenure = self.tenure_mut()?;
        if tenure.tower.is_none() {
            tenure.base = base;
        }
        Ok(())
    }

    /// Puts a tower from a file (see [`crate::import_tower`]) into the store, unless a newer one is there.
    pub fn import(&mut self, tower: StoredTower) -> Result<bool, RecordError> {
        let tenure = self.tenure()?;
        if tenure.tower.as_ref().is_some_and(|present| present.last_slot() >= tower.last_slot()) {
            return Ok(false);
        }
        let write = RecordVote::new(&self.keys, &tenure.held, tower.bytes().to_vec());
        let revision = self.write(write)?;
        self.newest_vote = self.newest_vote.max(tower.last_slot());
        let tenure = self.tenure_mut()?;
        tenure.held.tower_revision = revision;
        tenure.tower = Some(tower);
        Ok(true)
    }

    /// Gives the identity back. Lock the keys first. Whatever it answers, this process promises nothing any more.
    pub fn release(&mut self, at: UnixMillis) -> Result<(), StoreError> {
        let why = "it was given back".to_string();
        let tenure = match std::mem::replace(&mut self.tenure, Err(why)) {
            Ok(tenure) => tenure,
            Err(why) => {
                self.tenure = Err(why);
                return Err(StoreError::NotOwner);
            }
        };
        let log = LogRecord {
            released_at: Some(at),
            last_vote_slot: tenure.tower.as_ref().and_then(StoredTower::last_slot),
            watermark: tenure.held.watermark,
            ..tenure.log
        };
        let release = Release::new(&self.keys, tenure.held.fence, &tenure.owner, &log);
        self.drive(release).map_err(|ended| self.store_error(ended))
    }

    /// Asks the owner of `owner_revision` to let go. `Some`: it is another owner by now.
    pub fn write_intent(
        &mut self,
        owner_revision: Revision,
        intent: IntentRecord,
    ) -> Result<Option<StoreSnapshot>, StoreError> {
        self.trusted()?;
        let write = self.wish(owner_revision, intent);
        match self.drive(write).map_err(|ended| self.store_error(ended))? {
            IntentOutcome::Written => Ok(None),
            IntentOutcome::OwnerChanged(view) => {
                let view = if self.follow(&view) { *view } else { self.look_at_all()? };
                self.snapshot(view).map(Some).map_err(|reason| self.distrust(reason))
            }
        }
    }

    /// The audit entry of our term will have this reason when it is next written, as a release does: the next owner
    /// waits for that one transaction, not for two.
    pub fn explain(&mut self, reason: String) {
        if let Ok(tenure) = &mut self.tenure {
            tenure.log.reason = reason;
        }
    }

    /// Replaces the reason in our own term's audit entry, say by one with the timings of the hand-over.
    pub fn write_log(&mut self, reason: String) -> Result<(), StoreError> {
        let Ok(tenure) = &mut self.tenure else { return Err(StoreError::NotOwner) };
        tenure.log.reason = reason;
        let write = WriteLog::new(&self.keys, tenure.held.fence, &tenure.log);
        self.drive(write).map_err(|ended| self.store_error(ended))
    }

    fn tenure(&self) -> Result<&Tenure, RecordError> {
        self.tenure.as_ref().map_err(|why| RecordError::NotOwner { why: why.clone() })
    }

    fn tenure_mut(&mut self) -> Result<&mut Tenure, RecordError> {
        self.tenure.as_mut().map_err(|why| RecordError::NotOwner { why: why.clone() })
    }

    /// A write of the owner. Any failure ends the tenure: what the store holds then is no longer known.
    fn write<O: Operation>(&mut self, operation: O) -> Result<O::Output, RecordError> {
        self.drive(operation).map_err(|ended| {
            let store = self.kv.describe();
            let error = match ended {
                Ended::Fault(Fault::Fenced { owner }) => {
                    RecordError::Fenced { by: protocol::describe_owner(owner.as_deref()) }
                }
                Ended::Fault(Fault::Quarantined(quarantine)) => {
                    let reason = quarantine.to_string();
                    self.quarantine = Some(reason.clone());
                    RecordError::Quarantined { store, reason }
                }
                Ended::TimedOut { unresolved, source } => RecordError::StoreLost { store, unresolved, source },
            };
            self.tenure = Err(error.to_string());
            error
        })
    }

    /// Sends an operation until its outcome is known or time is up.
    fn drive<O: Operation>(&mut self, operation: O) -> Result<O::Output, Ended> {
        let mut flight = InFlight::new(operation);
        let until = self.pace.now() + self.limits.write_timeout;
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let left = until.saturating_sub(self.pace.now());
            let answer = self.kv.txn(flight.txn(), self.limits.call_deadline.min(left));
            let source = match flight.handle(&mut self.knowledge, answer) {
                Ok(Step::Done(output)) => return Ok(output),
                Ok(Step::Again(source)) => source,
                Err(fault) => return Err(Ended::Fault(fault)),
            };
            if flight.unresolved() {
                let left = until.saturating_sub(self.pace.now());
                let answer = self.kv.txn(&flight.read_back(), self.limits.call_deadline.min(left));
                match flight.handle_read_back(&mut self.knowledge, answer) {
                    Ok(Some(output)) => return Ok(output),
                    Ok(None) => {}
                    Err(fault) => return Err(Ended::Fault(fault)),
                }
            }
            if self.pace.now() + pause >= until {
                return Err(Ended::TimedOut { unresolved: flight.unresolved(), source });
            }
            if pause == RETRY_PAUSE_MIN {
                tracing::warn!(store = self.kv.describe(), error = %source, "the promise store did not answer, asking again");
            }
            self.pace.pause(pause);
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
    }

    /// Decodes what was read, and compares it with all that was ever seen (I6). `Err`: why it cannot be trusted.
    fn snapshot(&mut self, view: StoreView) -> Result<StoreSnapshot, String> {
        let owner_revision = view.owner_revision();
        let seen = self.seen_in(&view)?;
        let tower = seen.tower.clone();
        let last_vote = tower.as_ref().and_then(StoredTower::last_slot);
        if let Some(known) = self.newest_vote.filter(|known| last_vote.is_none_or(|last| last < *known)) {
            return Err(format!(
                "its tower ends with slot {last_vote:?}, and one that ended with slot {known} was there before"
            ));
        }
        let watermark = view.window.as_ref().map(|window| window.value.watermark);
        if let Some(known) = self.highest_watermark.filter(|known| watermark.is_none_or(|found| found < *known)) {
            return Err(Quarantine::WatermarkWentDown { known, found: watermark.unwrap_or(0) }.to_string());
        }
        let term = view.owner.as_ref().map_or(Term(0), |owner| owner.value.term);
        if term < self.newest_term {
            return Err(format!("it is at term {term}, and was at term {} before", self.newest_term));
        }
        (self.newest_vote, self.highest_watermark, self.newest_term) = (last_vote, watermark, term);
        let (owner, signed_by, speaker) = (seen.owner.clone(), seen.signed_by, seen.speaker());
        self.seen = Some(seen);
        Ok(StoreSnapshot {
            owner,
            owner_revision,
            tower,
            signed_by,
            speaker,
            window: view.window.map(|window| window.value),
            intent: view.intent.map(|intent| intent.value),
            revision: view.revision,
            store_id: view.store_id,
            accepted: self.accepted.is_some(),
        })
    }

    fn trusted(&self) -> Result<(), StoreError> {
        match &self.quarantine {
            None => Ok(()),
            Some(reason) => Err(StoreError::Quarantined { store: self.kv.describe(), reason: reason.clone() }),
        }
    }

    fn distrust(&mut self, reason: String) -> StoreError {
        self.quarantine = Some(reason.clone());
        self.tenure = Err(reason.clone());
        StoreError::Quarantined { store: self.kv.describe(), reason }
    }

    fn store_error(&mut self, ended: Ended) -> StoreError {
        match ended {
            Ended::Fault(Fault::Fenced { owner }) => {
                let by = protocol::describe_owner(owner.as_deref());
                self.tenure = Err(by.clone());
                StoreError::Fenced { by }
            }
            Ended::Fault(Fault::Quarantined(quarantine)) => self.distrust(quarantine.to_string()),
            Ended::TimedOut { source, .. } => StoreError::Unavailable { store: self.kv.describe(), source },
        }
    }

    fn protocol_request(&mut self, request: &ClaimRequest, seen: &Seen) -> Result<protocol::ClaimRequest, ClaimError> {
        let quarantined = |reason| ClaimError::Quarantined { store: self.kv.describe(), reason };
        let succession = seen.succession(&self.keys, self.identity).map_err(quarantined)?;
        let ClaimRequest { previous_host, host, version, standby_identity, reason, .. } = request.clone();
        Ok(protocol::ClaimRequest {
            owner_revision: request.owner_revision,
            term_seen: request.term_seen,
            previous_host,
            instance: self.instance,
            host,
            version,
            standby_identity,
            slot_at_claim: request.slot_at_claim,
            preference: request.preference,
            reason,
            claimed_at: request.claimed_at,
            lease: None,
            nonce: self.pace.nonce(),
            succession,
        })
    }
}

fn claim_error(error: StoreError) -> ClaimError {
    match error {
        StoreError::Unavailable { store, source } => ClaimError::Unavailable { store, source },
        StoreError::Quarantined { store, reason } => ClaimError::Quarantined { store, reason },
        // Only an owner's writes end like this.
        StoreError::NotOwner | StoreError::Fenced { .. } => {
            ClaimError::Quarantined { store: "the store".into(), reason: error.to_string() }
        }
    }
}

const RETRY_PAUSE_MIN: Duration = Duration::from_millis(5);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(200);
