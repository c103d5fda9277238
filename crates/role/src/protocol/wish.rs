//! Reading everything, and asking the owner to let go. Both decide nothing.

use {
    super::{Fault, Operation, Quarantine, Shape, StoreView, get_all, unchanged, view_of},
    crate::{
        keys::Keys,
        kv::{Compare, Op, Revision, Txn, TxnReply},
        records::{IntentRecord, LogRecord, Record},
    },
};

/// All records in one transaction.
#[derive(Clone, Debug)]
pub struct ReadAll {
    txn: Txn,
    shape: Shape,
}

impl ReadAll {
    pub fn new(keys: &Keys) -> Self {
        Self { txn: Txn { compares: vec![], then: get_all(keys), otherwise: vec![] }, shape: Shape::of(keys) }
    }
}

impl Operation for ReadAll {
    type Output = StoreView;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        false
    }

    fn interpret(&self, reply: &TxnReply) -> Result<StoreView, Fault> {
        view_of(self.shape, reply)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IntentOutcome {
    Written,
    /// The owner changed meanwhile: look again whom to ask.
    OwnerChanged(Box<StoreView>),
}

/// Writes a wish to take over, addressed to the owner that was read.
#[derive(Clone, Debug)]
pub struct WriteIntent {
    txn: Txn,
    shape: Shape,
}

impl WriteIntent {
    pub fn new(keys: &Keys, owner_revision: Revision, intent: IntentRecord) -> Self {
        Self::to(keys, keys, vec![unchanged(keys.owner(), owner_revision)], intent)
    }

    /// To the owner of the identity that speaks for the vote account instead of ours, as it was read; its watch is on its own keys.
    pub fn to_speaker(keys: &Keys, owner_revision: Revision, speaker: Revision, intent: IntentRecord) -> Self {
        let Some((_, before)) = keys.before() else { return Self::new(keys, owner_revision, intent) };
        let compares = vec![unchanged(keys.owner(), owner_revision), unchanged(before.owner(), speaker)];
        Self::to(keys, before, compares, intent)
    }

    fn to(keys: &Keys, whose: &Keys, compares: Vec<Compare>, intent: IntentRecord) -> Self {
        let then = vec![Op::Put { key: whose.intent(), value: intent.encode() }];
        Self { txn: Txn { compares, then, otherwise: get_all(keys) }, shape: Shape::of(keys) }
    }
}

impl Operation for WriteIntent {
    type Output = IntentOutcome;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        true
    }

    fn interpret(&self, reply: &TxnReply) -> Result<IntentOutcome, Fault> {
        if reply.succeeded {
            return Ok(IntentOutcome::Written);
        }
        let view = view_of(self.shape, reply)?;
        // The owner may have released in answer to an earlier copy of this very intent: that is a change too.
        Ok(IntentOutcome::OwnerChanged(Box::new(view)))
    }
}

/// The audit entries, oldest first.
#[derive(Clone, Debug)]
pub struct ReadLogs {
    txn: Txn,
}

impl ReadLogs {
    pub fn new(keys: &Keys) -> Self {
        let then = vec![Op::GetPrefix { prefix: keys.logs(), limit: LOG_ENTRIES_MAX }];
        Self { txn: Txn { compares: vec![], then, otherwise: vec![] } }
    }
}

impl Operation for ReadLogs {
    type Output = Vec<LogRecord>;

    fn txn(&self) -> &Txn {
        &self.txn
    }

    fn writes(&self) -> bool {
        false
    }

    fn interpret(&self, reply: &TxnReply) -> Result<Vec<LogRecord>, Fault> {
        let entries = reply.reads.first().ok_or(Quarantine::MalformedReply("the log was asked for"))?;
        entries.iter().map(|entry| LogRecord::decode(&entry.value).map_err(Fault::from)).collect()
    }
}

/// More than a claim ever leaves.
const LOG_ENTRIES_MAX: u32 = 128;
