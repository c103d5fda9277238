//! A model of etcd as a client sees it: one history of revisions, transactions that compare, a lease, and all the ways in
//! which it does not answer.

use {
    crate::{oracle::Oracle, world::Time},
    std::collections::VecDeque,
    tandem_role::{
        kv::{KeyValue, Op, Txn, TxnReply, WatchEvent},
        memory::Memory,
    },
    tandem_types::InstanceId,
};

/// Old states kept, for stale reads.
const HISTORY: usize = 6;
/// How long the owner's sign of life outlives its last renewal.
const LEASE: Time = 3_000_000_000;

pub struct Etcd {
    pub memory: Memory,
    older: VecDeque<Memory>,
    pub backup: Option<Memory>,
    /// No leader until then: nothing is decided.
    pub no_leader_until: Time,
    pub no_space: bool,
    /// Key on a lease, and when it ends.
    lease: Option<(String, Time)>,
}

pub enum Verdict {
    Applied(TxnReply, Vec<WatchEvent>),
    NoSpace,
}

impl Etcd {
    pub fn new(store_id: u64) -> Self {
        Self {
            memory: Memory::new(store_id),
            older: VecDeque::new(),
            backup: None,
            no_leader_until: 0,
            no_space: false,
            lease: None,
        }
    }

    pub fn apply(&mut self, now: Time, txn: &Txn, writer: Option<InstanceId>, oracle: &mut Oracle) -> Verdict {
        let puts = |op: &Op| matches!(op, Op::Put { .. } | Op::PutLeased { .. });
        if self.no_space && txn.then.iter().any(puts) {
            return Verdict::NoSpace;
        }
        let before = self.memory.revision;
        let reply = if is_read(txn) {
            self.memory.apply(txn)
        } else {
            let old = self.memory.clone();
            let reply = self.memory.apply(txn);
            if self.memory.revision != before {
                self.older.push_back(old);
                if self.older.len() > HISTORY {
                    self.older.pop_front();
                }
            }
            reply
        };
        if self.memory.revision == before {
            return Verdict::Applied(reply, Vec::new());
        }
        oracle.stored(&self.memory, writer);
        for op in &txn.then {
            if let Op::PutLeased { key, .. } = op {
                self.lease = Some((key.clone(), now + LEASE));
            }
        }
        let revision = self.memory.revision;
        let changed = self.memory.entries.iter().filter(|(_, (_, at))| *at == revision);
        let events = changed.map(|(key, (value, at))| {
            WatchEvent::Put(KeyValue { key: key.clone(), value: value.clone(), mod_revision: *at })
        });
        Verdict::Applied(reply, events.collect())
    }

    /// What a member that lags answers to a plain read.
    pub fn stale_read(&self, txn: &Txn, back: usize) -> TxnReply {
        let old = self.older.len().checked_sub(back).and_then(|at| self.older.get(at));
        old.unwrap_or(&self.memory).clone().apply(txn)
    }

    /// A lease that nobody renewed.
    pub fn expire(&mut self, now: Time) -> Option<WatchEvent> {
        let (key, _) = self.lease.take_if(|(_, until)| *until <= now)?;
        let delete = Txn { then: vec![Op::Delete { key: key.clone() }], ..Txn::default() };
        self.memory.apply(&delete);
        Some(WatchEvent::Deleted { key, mod_revision: self.memory.revision })
    }

    /// Puts a backup in place, as a new cluster or, by an operator's mistake, under the old id.
    pub fn restore(&mut self, backup: Memory, new_id: Option<u64>) {
        self.older.clear();
        self.lease = None;
        self.memory = backup;
        if let Some(id) = new_id {
            self.memory.store_id = id;
        }
    }
}

/// Whether a transaction only reads.
pub fn is_read(txn: &Txn) -> bool {
    txn.compares.is_empty() && txn.then.iter().all(|op| matches!(op, Op::Get { .. } | Op::GetPrefix { .. }))
}
