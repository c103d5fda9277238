//! The port to a store of keys that the store protocol needs: etcd in production, a locked folder on one machine, a
//! model in simulation. Only transactions decide; plain reads may be stale and are hints.

use {std::time::Duration, thiserror::Error};

/// Revision of the store at which something was last changed. Zero: never (the key does not exist).
pub type Revision = u64;

/// One condition of a transaction: `key` was last modified at exactly `revision` (0: it does not exist).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compare {
    pub key: String,
    pub mod_revision: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Put {
        key: String,
        value: Vec<u8>,
    },
    /// Like `Put`, bound to a lease: gone when the holder stops renewing it. For hints only, never for safety.
    PutLeased {
        key: String,
        value: Vec<u8>,
    },
    Delete {
        key: String,
    },
    Get {
        key: String,
    },
    /// All keys that start with `prefix`, in order of key, at most `limit`.
    GetPrefix {
        prefix: String,
        limit: u32,
    },
}

/// When every compare holds, `then` happens atomically; else `otherwise` does (reads only).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub then: Vec<Op>,
    pub otherwise: Vec<Op>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    pub key: String,
    pub value: Vec<u8>,
    pub mod_revision: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TxnReply {
    pub succeeded: bool,
    /// The store's revision after this transaction. A `Put` of a succeeded transaction has this as its `mod_revision`.
    pub revision: Revision,
    /// Identifies the store itself (etcd's cluster id): a change means that another store answers at this address.
    pub store_id: u64,
    /// One entry for each op of the branch taken, in order; empty for puts and deletes.
    pub reads: Vec<Vec<KeyValue>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KvError {
    /// The transaction may or may not have happened: resolve it before doing anything else.
    #[error("no answer from {endpoint} within the deadline: the write may have happened ({reason})")]
    Unknown { endpoint: String, reason: String },
    /// The transaction did not happen.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unavailable { endpoint: String, reason: String },
    /// The store answered that it will not do this (no space, permission, malformed): the transaction did not happen.
    #[error("{endpoint} refused: {reason}")]
    Refused { endpoint: String, reason: String },
}

/// A change seen by a watch. Watches lose events: they make things fast, never safe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchEvent {
    Put(KeyValue),
    Deleted {
        key: String,
        mod_revision: Revision,
    },
    /// The watch was interrupted and events may be missing: read again.
    Gap,
}

/// Blocking: callers run on a thread of their own. No call takes longer than its deadline.
pub trait Kv: Send {
    fn txn(&mut self, txn: &Txn, deadline: Duration) -> Result<TxnReply, KvError>;

    /// Human name of the store for messages, as `etcd https://10.0.0.1:2379,…` or `folder /var/lib/…`.
    fn describe(&self) -> String;
}
