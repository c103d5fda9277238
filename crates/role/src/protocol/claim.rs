//! Becoming the owner, and giving the identity back.

use {
    super::{
        Fault, Fence, Held, Operation, Quarantine, Shape, StoreView, Succession, Versioned, get, get_all, owned, raw,
        record, still_own, unchanged, view_of,
    },
    crate::{
        agave_keys::instance_value,
        keys::Keys,
        kv::{Op, Revision, Txn, TxnReply},
        records::{AccountRecord, LogRecord, Nonce, OwnerRecord, Preference, Record, WindowRecord},
    },
    tandem_types::{InstanceId, Slot, Term, UnixMillis, mutant::mutant},
};

/// Audit entries older than this many terms are deleted by the claim, so that a store of many restarts stays small.
const LOG_TERMS_KEPT: u64 = 64;

/// Everything a claim says about the claimant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimRequest {
    /// The owner's revision and term as they were read; the claim is for the next term.
    pub owner_revision: Revision,
    pub term_seen: Term,
    pub previous_host: Option<String>,
    pub instance: InstanceId,
    pub host: String,
    pub version: String,
    pub standby_identity: String,
    pub slot_at_claim: Slot,
    pub preference: Preference,
    pub reason: String,
    pub claimed_at: UnixMillis,
    pub lease: Option<u64>,
    pub nonce: Nonce,
    /// What becomes of the vote account that the keys are for; nothing where they are for none.
    pub succession: Option<Succession>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClaimOutcome {
    Claimed(Box<Claimed>),
    /// The owner changed since it was read: nothing was claimed.
    Refused(Box<StoreView>),
}

/// What the claim found: the records as they are from now on, since nobody else can write them any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    pub held: Held,
    pub tower: Option<Versioned<Vec<u8>>>,
    pub window: Option<Versioned<WindowRecord>>,
    /// The tower in agave's key: what an agave node may have voted meanwhile.
    pub agave_tower: Option<Versioned<Vec<u8>>>,
}

#[derive(Clone, Debug)]
pub struct Claim {
    txn: Txn,
    term: Term,
    instance: InstanceId,
    owner: OwnerRecord,
    account: Option<AccountRecord>,
    log: LogRecord,
    shape: Shape,
    /// Where in the reply its reads begin.
    reads_at: usize,
}

impl Claim {
    pub fn new(keys: &Keys, request: ClaimRequest) -> Self {
        let seen =
            request.succession.as_ref().map_or(request.term_seen, |taken| taken.term_seen.max(request.term_seen));
        let term = if mutant("claim: the term does not grow") { seen } else { seen.next() };
        let instance = request.instance;
        let log = LogRecord {
            term,
            instance,
            host: request.host.clone(),
            version: request.version.clone(),
            reason: request.reason,
            slot_at_claim: request.slot_at_claim,
            claimed_at: request.claimed_at,
            released_at: None,
            last_vote_slot: None,
            watermark: None,
            previous_host: request.previous_host,
        };
        let owner = OwnerRecord {
            term,
            instance,
            host: request.host,
            version: request.version,
            standby_identity: request.standby_identity,
            slot_at_claim: request.slot_at_claim,
            released: false,
            lease: request.lease,
            preference: request.preference,
            claimed_at: request.claimed_at,
            nonce: request.nonce,
            vote_account: keys.account().filter(|_| request.succession.is_some()).map(|(account, _)| *account),
            moved_to: None,
        };
        let mut then = vec![
            Op::Put { key: keys.owner(), value: owner.encode() },
            Op::Put { key: keys.log(term), value: log.encode() },
        ];
        let mut compares = vec![unchanged(keys.owner(), request.owner_revision)];
        if let Some(succession) = &request.succession {
            compares.extend(succession.compares(keys));
            then.extend(succession.writes(keys, &owner, &log));
        }
        let reads_at = then.len();
        then.extend([get(keys.tower()), get(keys.window())]);
        if let Some(agave) = keys.agave() {
            // From here on no agave node can store a tower, and without storing it it sends no vote.
            then.push(Op::Put { key: agave.instance.clone(), value: instance_value(&instance) });
            then.push(get(agave.tower.clone()));
        }
        if let Some(old) = term.0.checked_sub(LOG_TERMS_KEPT).filter(|old| *old > 0) {
            then.push(Op::Delete { key: keys.log(Term(old)) });
        }
        if mutant("claim: the owner is not compared") {
            compares.clear();
        }
        let account = request.succession.as_ref().map(|succession| succession.record(&owner));
        let txn = Txn { compares, then, otherwise: get_all(keys) };
        Self { txn, term, instance, owner, account, log, shape: Shape::of(keys), reads_at }
    }

    /// The term this claim is for.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The records this claim writes; the release writes them once more, completed.
    pub fn records(&self) -> (OwnerRecord, LogRecord) {
        (self.owner.clone(), self.log.clone())
    }

    /// The vote account's record as this claim leaves it.
    pub fn account(&self) -> Option<&AccountRecord> {
        self.account.as_ref()
    }

    fn claimed(
        &self,
        owner_revision: Revision,
        tower: Option<Versioned<Vec<u8>>>,
        window: Option<Versioned<WindowRecord>>,
        agave_tower: Option<Versioned<Vec<u8>>>,
    ) -> ClaimOutcome {
        let fence = Fence { term: self.term, instance: self.instance, owner_revision };
        let held = Held {
            fence,
            tower_revision: tower.as_ref().map_or(0, |tower| tower.mod_revision),
            window_revision: window.as_ref().map_or(0, |window| window.mod_revision),
            watermark: window.as_ref().map(|window| window.value.watermark),
        };
        ClaimOutcome::Claimed(Box::new(Claimed { held, tower, window, agave_tower }))
    }
}

impl Operation for Claim {
    type Output = ClaimOutcome;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<ClaimOutcome, Fault> {
        if reply.succeeded {
            let reads = reply.reads.get(self.reads_at..).unwrap_or_default();
            let [tower, window, rest @ ..] = reads else {
                return Err(Quarantine::MalformedReply("a claim reads the tower and the window").into());
            };
            let agave_tower = match rest {
                [_, tower, ..] if self.shape.mirrored => raw(tower)?,
                _ if self.shape.mirrored => {
                    return Err(Quarantine::MalformedReply("a claim reads agave's tower").into());
                }
                _ => None,
            };
            let tower = if mutant("claim: the tower found is dropped") { None } else { raw(tower)? };
            let window = if mutant("claim: the watermark found is dropped") { None } else { record(window)? };
            return Ok(self.claimed(reply.revision, tower, window, agave_tower));
        }
        let view = view_of(self.shape, reply)?;
        if mutant("claim: a refused claim is taken for done") {
            let owner_revision = view.owner_revision();
            return Ok(self.claimed(owner_revision, view.tower, view.window, None));
        }
        match &view.owner {
            // An earlier copy of this claim went through: the nonce is of this attempt, and of no clone of this process.
            Some(owner)
                if (owner.value.instance == self.instance && owner.value.nonce == self.owner.nonce
                    || mutant("claim: whoever has the term is taken for us"))
                    && owner.value.term == self.term
                    && !owner.value.released =>
            {
                let owner_revision = owner.mod_revision;
                let agave_tower = view.agave.and_then(|agave| agave.tower);
                Ok(self.claimed(owner_revision, view.tower, view.window, agave_tower))
            }
            Some(_) | None => Ok(ClaimOutcome::Refused(Box::new(view))),
        }
    }
}

/// Gives the identity back under its term. The keys must be locked before.
#[derive(Clone, Debug)]
pub struct Release {
    txn: Txn,
    fence: Fence,
    shape: Shape,
}

impl Release {
    /// `owner` and `log` are the records this process wrote with its claim, the log completed by what happened since.
    pub fn new(keys: &Keys, fence: Fence, owner: &OwnerRecord, log: &LogRecord) -> Self {
        // Agave's instance is not compared: after an agave node took over, the owner record should still say that we let go. Nor is
        // the vote account: who takes that writes our owner record too.
        let released = OwnerRecord { released: true, lease: None, ..owner.clone() };
        let fenced = !mutant("release: the owner is not compared");
        let compares = if fenced { vec![unchanged(keys.owner(), fence.owner_revision)] } else { vec![] };
        let txn = Txn {
            compares,
            then: vec![
                Op::Put { key: keys.owner(), value: released.encode() },
                Op::Put { key: keys.log(fence.term), value: log.encode() },
            ],
            otherwise: get_all(keys),
        };
        Self { txn, fence, shape: Shape::of(keys) }
    }
}

impl Operation for Release {
    type Output = ();

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<(), Fault> {
        if reply.succeeded {
            return Ok(());
        }
        let view = view_of(self.shape, reply)?;
        match view.owner {
            Some(owner)
                if owner.value.released
                    && owner.value.instance == self.fence.instance
                    && owner.value.term == self.fence.term =>
            {
                Ok(())
            }
            owner => Err(Fault::Fenced { owner: owner.map(|owner| Box::new(owner.value)) }),
        }
    }
}

/// Replaces the audit entry of our own term, say by the timings of the hand-over.
#[derive(Clone, Debug)]
pub struct WriteLog {
    txn: Txn,
    fence: Fence,
    shape: Shape,
}

impl WriteLog {
    pub fn new(keys: &Keys, fence: Fence, log: &LogRecord) -> Self {
        let txn = Txn {
            compares: owned(keys, &fence),
            then: vec![Op::Put { key: keys.log(fence.term), value: log.encode() }],
            otherwise: get_all(keys),
        };
        Self { txn, fence, shape: Shape::of(keys) }
    }
}

impl Operation for WriteLog {
    type Output = ();

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<(), Fault> {
        if reply.succeeded {
            return Ok(());
        }
        let view = view_of(self.shape, reply)?;
        still_own(&self.fence, &view)?;
        Err(Quarantine::MalformedReply("the owner is unchanged, and yet the write was refused").into())
    }
}
