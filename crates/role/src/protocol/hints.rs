//! Reading and writing the hints: nothing here decides who may sign.

use {
    super::{Fault, Operation, Quarantine, Versioned, get, raw, record, unchanged},
    crate::{
        hints::{BeatRecord, HoldRecord, NoteRecord, PresenceRecord},
        keys::Keys,
        kv::{KeyValue, Op, Revision, Txn, TxnReply},
        records::{OwnerRecord, Record},
    },
    tandem_types::{InstanceId, Term},
};

/// Everything a standby watches, in one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pulse {
    pub owner: Option<Versioned<OwnerRecord>>,
    pub beat: Option<Versioned<BeatRecord>>,
    pub hold: Option<Versioned<HoldRecord>>,
    pub machines: Vec<PresenceRecord>,
    pub tower_revision: Revision,
    /// Revision of the newest change that only an owner makes.
    pub newest_sign: Revision,
    pub revision: Revision,
}

#[derive(Clone, Debug)]
pub struct ReadPulse {
    txn: Txn,
}

impl ReadPulse {
    pub fn new(keys: &Keys) -> Self {
        let machines = Op::GetPrefix { prefix: keys.machines(), limit: MACHINES_MAX };
        let mut then = [keys.owner(), keys.tower(), keys.window(), keys.alive(), keys.hold()].map(get).to_vec();
        then.push(machines);
        Self { txn: Txn { compares: vec![], then, otherwise: vec![] } }
    }
}

impl Operation for ReadPulse {
    type Output = Pulse;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        false
    }

    fn interpret(&self, reply: &TxnReply) -> Result<Pulse, Fault> {
        let [owner, tower, window, alive, hold, machines] = reply.reads.as_slice() else {
            return Err(Quarantine::MalformedReply("a look at the owner has six reads").into());
        };
        let revision_of = |read: &[KeyValue]| read.first().map_or(0, |entry| entry.mod_revision);
        let beat: Option<Versioned<BeatRecord>> = record(alive).ok().flatten();
        let is_mute = beat.as_ref().is_some_and(|beat| !beat.value.may_vote);
        let alive = if is_mute { 0 } else { revision_of(alive) };
        let newest_sign = [owner, tower, window].map(|read| revision_of(read)).into_iter().fold(alive, u64::max);
        let hold = raw(hold)?.map(|found| Versioned {
            value: HoldRecord::decode(&found.value).unwrap_or_else(|_| HoldRecord::unreadable()),
            mod_revision: found.mod_revision,
        });
        Ok(Pulse {
            owner: record(owner)?,
            // A beat of a later version may look different; that it changes is what counts.
            beat,
            hold,
            machines: machines.iter().filter_map(|entry| PresenceRecord::decode(&entry.value).ok()).collect(),
            tower_revision: revision_of(tower),
            newest_sign,
            revision: reply.revision,
        })
    }
}

/// Changes the hold, unless somebody else has meanwhile; with an audit entry.
#[derive(Clone, Debug)]
pub struct SetHold {
    txn: Txn,
    hold: HoldRecord,
}

impl SetHold {
    /// `before`: the revision of the hold as it was read.
    pub fn new(keys: &Keys, before: Revision, hold: &HoldRecord) -> Self {
        let what = match (hold.on, hold.until) {
            (true, Some(until)) => format!("hold on until {} ms: {}", until.0, hold.reason),
            (true, None) => format!("hold on: {}", hold.reason),
            (false, _) => format!("hold off: {}", hold.reason),
        };
        let note = NoteRecord { at: hold.at, by: hold.by.clone(), what };
        let mut then = vec![
            Op::Put { key: keys.hold(), value: hold.encode() },
            Op::Put { key: keys.note(hold.count), value: note.encode() },
        ];
        if let Some(old) = hold.count.checked_sub(NOTES_KEPT) {
            then.push(Op::Delete { key: keys.note(old) });
        }
        let txn = Txn { compares: vec![unchanged(keys.hold(), before)], then, otherwise: vec![get(keys.hold())] };
        Self { txn, hold: hold.clone() }
    }
}

impl Operation for SetHold {
    /// False: somebody else changed it meanwhile.
    type Output = bool;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<bool, Fault> {
        if reply.succeeded {
            return Ok(true);
        }
        let found = reply.reads.first().ok_or(Quarantine::MalformedReply("the hold was asked for"))?;
        // An earlier copy of this very transaction may have done it.
        Ok(record::<HoldRecord>(found).ok().flatten().is_some_and(|found| found.value == self.hold))
    }
}

/// "I am here", from a machine that owns nothing. Compares nothing: nobody else writes its key.
#[derive(Clone, Debug)]
pub struct Announce {
    txn: Txn,
}

impl Announce {
    pub fn new(keys: &Keys, instance: InstanceId, presence: &PresenceRecord) -> Self {
        let put = Op::PutLeased { key: keys.machine(instance), value: presence.encode() };
        Self { txn: Txn { compares: vec![], then: vec![put], otherwise: vec![] } }
    }
}

impl Operation for Announce {
    type Output = ();

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, _reply: &TxnReply) -> Result<(), Fault> {
        Ok(())
    }
}

/// The audit entries that are no changes of owner, oldest first.
#[derive(Clone, Debug)]
pub struct ReadNotes {
    txn: Txn,
}

impl ReadNotes {
    pub fn new(keys: &Keys) -> Self {
        let then = vec![Op::GetPrefix { prefix: keys.notes(), limit: 2 * NOTES_KEPT as u32 }];
        Self { txn: Txn { compares: vec![], then, otherwise: vec![] } }
    }
}

impl Operation for ReadNotes {
    type Output = Vec<NoteRecord>;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        false
    }

    fn interpret(&self, reply: &TxnReply) -> Result<Vec<NoteRecord>, Fault> {
        let entries = reply.reads.first().ok_or(Quarantine::MalformedReply("the notes were asked for"))?;
        Ok(entries.iter().filter_map(|entry| NoteRecord::decode(&entry.value).ok()).collect())
    }
}

/// Forgets the tower of a store that lost promises, so that the next owner takes the chain's. Compares the owner and the
/// tower that were looked at: whoever wrote meanwhile is not overruled, and an owner that is still there finds its
/// tower gone at its next record, and stops.
#[derive(Clone, Debug)]
pub struct DropTower {
    txn: Txn,
}

impl DropTower {
    pub fn new(keys: &Keys, owner: Revision, tower: Revision, note: &NoteRecord) -> Self {
        let compares = vec![unchanged(keys.owner(), owner), unchanged(keys.tower(), tower)];
        let then = vec![
            Op::Delete { key: keys.tower() },
            // The revision makes the name unique, and sorts it after the holds' numbers.
            Op::Put { key: keys.note(tower.max(NOTES_KEPT)), value: note.encode() },
        ];
        Self { txn: Txn { compares, then, otherwise: vec![get(keys.tower())] } }
    }
}

impl Operation for DropTower {
    /// False: the owner or the tower changed since they were looked at.
    type Output = bool;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<bool, Fault> {
        // Without a tower, an earlier copy of this transaction has succeeded, or there was none to begin with.
        Ok(reply.succeeded || reply.reads.first().is_some_and(Vec::is_empty))
    }
}

/// Deletes what a rehearsal wrote. `keys` must be a rehearsal's.
#[derive(Clone, Debug)]
pub struct Forget {
    txn: Txn,
}

impl Forget {
    pub fn new(keys: &Keys, last_term: Term) -> Self {
        assert!(keys.is_rehearsal(), "only a rehearsal may be forgotten");
        let mut names = vec![keys.owner(), keys.tower(), keys.window(), keys.intent(), keys.alive()];
        names.extend((last_term.0.saturating_sub(TERMS_FORGOTTEN_MAX)..=last_term.0).map(|term| keys.log(Term(term))));
        let then = names.into_iter().map(|key| Op::Delete { key }).collect();
        Self { txn: Txn { compares: vec![], then, otherwise: vec![] } }
    }
}

impl Operation for Forget {
    type Output = ();

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, _reply: &TxnReply) -> Result<(), Fault> {
        Ok(())
    }
}

/// A pair has two machines, and restarts leave some until their leases end.
const MACHINES_MAX: u32 = 32;
const NOTES_KEPT: u64 = 64;
/// etcd takes 128 operations in one transaction; claims delete older entries themselves.
const TERMS_FORGOTTEN_MAX: u64 = 64;
