//! The store protocol: what is written under which compare, and what a reply, or the lack of one, means.
//!
//! Every operation is one transaction that is sent again, unchanged, until its outcome is known. That is safe because
//! each write changes the very revision it compares: of all copies of one transaction, delayed ones included, at most
//! one can ever succeed. It is also the resolution of an unknown outcome: the copy either succeeds (then the write
//! is ours now), or its `otherwise` branch reads, *inside the same transaction*, who wrote instead. Plain reads are
//! not used for that: a stale member may answer them.
//!
//! ```text
//!   operation   compare                                   write
//!   claim       owner, account == what was read           owner(term+1), account, log;  read tower, window
//!   vote        owner, account == my claim, tower == mine tower
//!   slot        owner, account == my claim, window == mine window (W only up)
//!   release     owner == my claim                         owner(released), log
//!   intent      owner == what was read                    intent
//! ```
//!
//! `account` is the vote account's own record (see `succession.rs`): it says which identity speaks for it, and a claim under another
//! identity takes over from that one in the same transaction.
//!
//! With agave's keys kept in step (see `agave_keys.rs`) a claim also puts its instance there, every write of the owner
//! also compares it, and a vote's tower goes into both places.

mod claim;
#[cfg(test)]
mod explore;
#[cfg(test)]
mod explore_account;
mod hints;
mod succession;
mod vote;
mod wish;

pub use {
    claim::{Claim, ClaimOutcome, ClaimRequest, Claimed, Release, WriteLog},
    hints::{Announce, DropTower, Forget, Pulse, ReadNotes, ReadPulse, SetHold},
    succession::{Before, Succession},
    vote::{Beat, ClaimLeaderSlot, RecordVote},
    wish::{IntentOutcome, ReadAll, ReadLogs, WriteIntent},
};

use {
    crate::{
        agave_keys::{AgaveView, is_ours, true_owner},
        keys::Keys,
        kv::{Compare, KeyValue, KvError, Op, Revision, Txn, TxnReply},
        records::{AccountRecord, BadRecord, IntentRecord, OwnerRecord, Record, WindowRecord},
    },
    tandem_types::{InstanceId, Pubkey, Slot, Term, mutant::mutant},
    thiserror::Error,
};

/// A value and the revision that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versioned<T> {
    pub value: T,
    pub mod_revision: Revision,
}

/// All records of an identity, read in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreView {
    pub owner: Option<Versioned<OwnerRecord>>,
    pub tower: Option<Versioned<Vec<u8>>>,
    pub window: Option<Versioned<WindowRecord>>,
    pub intent: Option<Versioned<IntentRecord>>,
    /// None: agave's keys are not kept in step.
    pub agave: Option<AgaveView>,
    /// Who speaks for the vote account; nothing also where the keys name none.
    pub account: Option<Versioned<AccountRecord>>,
    /// The records of the identity that the keys take to speak for it instead.
    pub before: Option<Before>,
    pub revision: Revision,
    pub store_id: u64,
}

impl StoreView {
    /// What a claim on the strength of this view must compare.
    pub fn owner_revision(&self) -> Revision {
        revision_of(self.owner.as_ref())
    }

    pub fn term(&self) -> Term {
        self.owner.as_ref().map_or(Term(0), |owner| owner.value.term)
    }

    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            owner: None,
            tower: None,
            window: None,
            intent: None,
            agave: None,
            account: None,
            before: None,
            revision: 0,
            store_id: 1,
        }
    }
}

fn revision_of<T>(found: Option<&Versioned<T>>) -> Revision {
    found.map_or(0, |found| found.mod_revision)
}

/// What every write of an owner compares: nobody has claimed since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fence {
    pub term: Term,
    pub instance: InstanceId,
    pub owner_revision: Revision,
}

/// What an owner knows about the records it alone may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub fence: Fence,
    pub tower_revision: Revision,
    pub window_revision: Revision,
    pub watermark: Option<Slot>,
}

/// The newest state of the store that this process has seen (I6). A store that shows less was restored or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Knowledge {
    pub store_id: Option<u64>,
    pub revision: Revision,
}

impl Knowledge {
    pub fn observe(&mut self, reply: &TxnReply) -> Result<(), Quarantine> {
        match self.store_id {
            Some(known) if known != reply.store_id && !mutant("knowledge: another cluster id is ignored") => {
                return Err(Quarantine::OtherStore { known, found: reply.store_id });
            }
            Some(_) | None => {}
        }
        if reply.revision < self.revision && !mutant("knowledge: a store that went back is believed") {
            return Err(Quarantine::WentBack { known: self.revision, found: reply.revision });
        }
        *self = Knowledge { store_id: Some(reply.store_id), revision: reply.revision };
        Ok(())
    }
}

/// The store contradicts what we know: nothing is signed on its word until a person has looked.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Quarantine {
    #[error("another store answers: its id was {known:016x} and is {found:016x} (a new or restored cluster)")]
    OtherStore { known: u64, found: u64 },
    #[error("the store went back in time: revision {known} was seen, now it is at {found} (restored from a backup)")]
    WentBack { known: Revision, found: Revision },
    #[error(transparent)]
    BadRecord(#[from] BadRecord),
    #[error("the {key} was changed at revision {revision} by someone who does not own the identity")]
    ForeignWrite { key: &'static str, revision: Revision },
    #[error("the watermark of leader slots went down from {known} to {found}")]
    WatermarkWentDown { known: Slot, found: Slot },
    #[error("the store's reply does not fit the transaction: {0}")]
    MalformedReply(&'static str),
}

/// Why an operation can never succeed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Fault {
    /// Somebody else owns the identity, or nobody does: stop signing at once.
    #[error("fenced: {}", describe_owner(.owner.as_deref()))]
    Fenced { owner: Option<Box<OwnerRecord>> },
    #[error(transparent)]
    Quarantined(#[from] Quarantine),
}

impl From<BadRecord> for Fault {
    fn from(bad: BadRecord) -> Self {
        Fault::Quarantined(bad.into())
    }
}

pub fn describe_owner(owner: Option<&OwnerRecord>) -> String {
    match owner {
        // No machine deletes the owner's record: it is written anew with each claim, and marked when it is released.
        None => "the store names no owner any more: its data was lost or replaced; bring its own data back, or see `validator \
                 failover recover`"
            .into(),
        Some(OwnerRecord { moved_to: Some(identity), term, host, instance, .. }) => format!(
            "its vote account belongs to identity {identity} now, by a newer claim (term {term} of {host}, instance {instance})"
        ),
        Some(owner) if owner.released => {
            format!("released at term {} by {} ({})", owner.term, owner.host, owner.instance)
        }
        Some(owner) => format!("term {} belongs to {} (instance {})", owner.term, owner.host, owner.instance),
    }
}

/// What to do after a reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    Done(T),
    /// Send the same transaction again. It did not happen, or (see [`Operation::unresolved`]) nobody knows yet.
    Again(KvError),
}

/// One transaction and the reading of its outcome.
pub trait Operation {
    type Output;

    fn txn(&self) -> &Txn;

    /// Reads a reply that is known to be no older than anything seen before.
    fn interpret(&self, reply: &TxnReply) -> Result<Self::Output, Fault>;

    /// Whether this operation writes: only then can an unanswered copy have changed anything.
    fn writes(&self) -> bool;
}

/// An operation in flight: remembers whether a copy of it may have happened unseen.
#[derive(Clone, Debug)]
pub struct InFlight<O> {
    operation: O,
    unresolved: bool,
}

impl<O: Operation> InFlight<O> {
    pub fn new(operation: O) -> Self {
        Self { operation, unresolved: false }
    }

    pub fn txn(&self) -> &Txn {
        self.operation.txn()
    }

    pub fn handle(
        &mut self,
        knowledge: &mut Knowledge,
        answer: Result<TxnReply, KvError>,
    ) -> Result<Step<O::Output>, Fault> {
        match answer {
            Ok(reply) => {
                knowledge.observe(&reply)?;
                let output = self.operation.interpret(&reply)?;
                self.unresolved = false;
                Ok(Step::Done(output))
            }
            Err(error) => {
                self.unresolved |= self.operation.writes() && matches!(error, KvError::Unknown { .. });
                Ok(Step::Again(error))
            }
        }
    }

    /// Asks whether a copy has happened, without writing: a store that takes no writes any more (no space) still answers it.
    pub fn read_back(&self) -> Txn {
        let Txn { compares, otherwise, .. } = self.operation.txn();
        Txn { compares: compares.clone(), then: Vec::new(), otherwise: otherwise.clone() }
    }

    /// `Some`: a copy has happened, or never will. The compares of an outstanding write hold until it happens, so that they hold
    /// says nothing.
    pub fn handle_read_back(
        &mut self,
        knowledge: &mut Knowledge,
        answer: Result<TxnReply, KvError>,
    ) -> Result<Option<O::Output>, Fault> {
        let Ok(reply) = answer else { return Ok(None) };
        knowledge.observe(&reply)?;
        if reply.succeeded {
            return Ok(None);
        }
        let output = self.operation.interpret(&reply)?;
        self.unresolved = false;
        Ok(Some(output))
    }

    /// A copy was sent and not answered: it may have happened, or may still happen.
    pub fn unresolved(&self) -> bool {
        self.unresolved
    }
}

fn get(key: String) -> Op {
    Op::Get { key }
}

fn unchanged(key: String, mod_revision: Revision) -> Compare {
    Compare { key, mod_revision }
}

/// Reads everything: the `otherwise` branch of each write, so that a refusal explains itself.
fn get_all(keys: &Keys) -> Vec<Op> {
    let mut reads = vec![get(keys.owner()), get(keys.tower()), get(keys.window()), get(keys.intent())];
    if let Some(agave) = keys.agave() {
        reads.extend([get(agave.instance.clone()), get(agave.tower.clone())]);
    }
    if let Some((_, account)) = keys.account() {
        reads.push(get(account));
        reads.extend(keys.before().into_iter().flat_map(|(_, before)| succession::reads(before)));
    }
    reads
}

/// Which reads [`get_all`] asks for.
#[derive(Clone, Copy, Debug)]
struct Shape {
    mirrored: bool,
    account: Option<Pubkey>,
    before: Option<Pubkey>,
}

impl Shape {
    fn of(keys: &Keys) -> Self {
        let account = keys.account().map(|(account, _)| *account);
        let before = keys.before().filter(|_| account.is_some()).map(|(identity, _)| identity);
        Self { mirrored: keys.agave().is_some(), account, before }
    }
}

/// What every write of an owner compares: nobody has claimed since, be it with this software or with agave's.
fn owned(keys: &Keys, fence: &Fence) -> Vec<Compare> {
    let mut compares = vec![unchanged(keys.owner(), fence.owner_revision)];
    if let Some(agave) = keys.agave() {
        compares.push(unchanged(agave.instance.clone(), fence.owner_revision));
    }
    if let Some((_, account)) = keys.account() {
        compares.push(unchanged(account, fence.owner_revision));
    }
    compares
}

/// The view out of a branch made by [`get_all`].
fn view_of(shape: Shape, reply: &TxnReply) -> Result<StoreView, Fault> {
    let mut reads = Reads(reply.reads.iter());
    let [owner, tower, window, intent] = [reads.next()?, reads.next()?, reads.next()?, reads.next()?];
    let agave = if shape.mirrored { Some(reads.agave()?) } else { None };
    let account = if shape.account.is_some() { record(reads.next()?)? } else { None };
    let before = match (shape.account, shape.before) {
        (Some(account), Some(identity)) => Some(Before::read(identity, account, shape.mirrored, &mut reads)?),
        (Some(_) | None, _) => None,
    };
    reads.end()?;
    Ok(StoreView {
        owner: true_owner(record(owner)?, agave.as_ref()),
        tower: raw(tower)?,
        window: record(window)?,
        // A hint: what cannot be read is no wish, and no reason to distrust the store.
        intent: record(intent).ok().flatten(),
        agave,
        account,
        before,
        revision: reply.revision,
        store_id: reply.store_id,
    })
}

struct Reads<'a>(std::slice::Iter<'a, Vec<KeyValue>>);

impl<'a> Reads<'a> {
    fn next(&mut self) -> Result<&'a [KeyValue], Fault> {
        let read = self.0.next().ok_or(Quarantine::MalformedReply("it has fewer reads than were asked for"))?;
        Ok(read.as_slice())
    }

    fn agave(&mut self) -> Result<AgaveView, Fault> {
        Ok(AgaveView { instance: raw(self.next()?)?, tower: raw(self.next()?)? })
    }

    fn end(mut self) -> Result<(), Fault> {
        match self.0.next() {
            None => Ok(()),
            Some(_) => Err(Quarantine::MalformedReply("it has more reads than were asked for").into()),
        }
    }
}

fn raw(read: &[KeyValue]) -> Result<Option<Versioned<Vec<u8>>>, Fault> {
    match read {
        [] => Ok(None),
        [entry] => Ok(Some(Versioned { value: entry.value.clone(), mod_revision: entry.mod_revision })),
        [_, _, ..] => Err(Quarantine::MalformedReply("one key has two values").into()),
    }
}

fn record<R: Record>(read: &[KeyValue]) -> Result<Option<Versioned<R>>, Fault> {
    match raw(read)? {
        None => Ok(None),
        Some(found) => Ok(Some(Versioned { value: R::decode(&found.value)?, mod_revision: found.mod_revision })),
    }
}

/// The owner read inside a succeeded write must be us. The compare says so already, unless a restored store happens to
/// reuse our revision numbers for somebody else's claim; then this is the last line.
fn insist_on_own(fence: &Fence, read: &[KeyValue]) -> Result<(), Fault> {
    let owner = record::<OwnerRecord>(read)?;
    match &owner {
        Some(owner) if is_own(fence, owner) => Ok(()),
        Some(_) | None => Err(Fault::Fenced { owner: owner.map(|owner| Box::new(owner.value)) }),
    }
}

fn is_own(fence: &Fence, owner: &Versioned<OwnerRecord>) -> bool {
    owner.mod_revision == fence.owner_revision
        && owner.value.term == fence.term
        && owner.value.instance == fence.instance
        && !owner.value.released
}

/// A refused write: `Ok` if the owner is still us (then the caller looks at its own key), else fenced.
fn still_own(fence: &Fence, view: &StoreView) -> Result<(), Fault> {
    match &view.owner {
        Some(owner) if is_own(fence, owner) => match &view.agave {
            Some(agave) if !is_ours(agave, fence.owner_revision) => {
                Err(Quarantine::ForeignWrite { key: "agave instance", revision: view.revision }.into())
            }
            Some(_) | None => account_still_own(fence, view),
        },
        Some(owner) => Err(Fault::Fenced { owner: Some(Box::new(owner.value.clone())) }),
        None => Err(Fault::Fenced { owner: None }),
    }
}

/// A claim for the account under another identity changes the owner record too. So whoever changed the account alone is none of ours.
fn account_still_own(fence: &Fence, view: &StoreView) -> Result<(), Fault> {
    match &view.account {
        Some(account) if account.mod_revision != fence.owner_revision => {
            Err(Quarantine::ForeignWrite { key: "vote account", revision: account.mod_revision }.into())
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(store_id: u64, revision: Revision) -> TxnReply {
        TxnReply { succeeded: true, revision, store_id, reads: vec![] }
    }

    #[test]
    fn knowledge_only_grows() {
        let mut knowledge = Knowledge::default();
        assert_eq!(knowledge.observe(&reply(1, 10)), Ok(()));
        assert_eq!(knowledge.observe(&reply(1, 10)), Ok(()), "reading twice is no regression");
        assert_eq!(knowledge.observe(&reply(1, 9)), Err(Quarantine::WentBack { known: 10, found: 9 }));
        assert_eq!(knowledge.observe(&reply(2, 99)), Err(Quarantine::OtherStore { known: 1, found: 2 }));
        assert_eq!(knowledge, Knowledge { store_id: Some(1), revision: 10 }, "a bad reply teaches nothing");
    }
}
