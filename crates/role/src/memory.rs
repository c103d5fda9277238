//! What a store means by a transaction, in the least code that says it. The file store keeps this state on disk; the
//! model checks run against it; an etcd that behaved otherwise would be a bug of that backend.

use {
    crate::kv::{KeyValue, Op, Revision, Txn, TxnReply},
    std::collections::BTreeMap,
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    pub store_id: u64,
    pub revision: Revision,
    /// Key to (value, revision of its last change).
    pub entries: BTreeMap<String, (Vec<u8>, Revision)>,
}

impl Memory {
    /// Revision 1 is the empty store's, as in etcd: 0 stays "never".
    pub fn new(store_id: u64) -> Self {
        Self { store_id, revision: 1, entries: BTreeMap::new() }
    }

    pub fn apply(&mut self, txn: &Txn) -> TxnReply {
        let succeeded = txn.compares.iter().all(|compare| self.mod_revision(&compare.key) == compare.mod_revision);
        let ops = if succeeded { &txn.then } else { &txn.otherwise };
        // All changes of one transaction share one revision; a transaction that changes nothing makes none.
        let next = self.revision + 1;
        let mut changed = false;
        let mut reads = Vec::with_capacity(ops.len());
        for op in ops {
            reads.push(match op {
                Op::Put { key, value } | Op::PutLeased { key, value } => {
                    self.entries.insert(key.clone(), (value.clone(), next));
                    changed = true;
                    Vec::new()
                }
                Op::Delete { key } => {
                    changed |= self.entries.remove(key).is_some();
                    Vec::new()
                }
                Op::Get { key } => self.entries.get_key_value(key).map(to_key_value).into_iter().collect(),
                Op::GetPrefix { prefix, limit } => self
                    .entries
                    .range(prefix.clone()..)
                    .take_while(|(key, _)| key.starts_with(prefix.as_str()))
                    .take(*limit as usize)
                    .map(to_key_value)
                    .collect(),
            });
        }
        if changed {
            self.revision = next;
        }
        TxnReply { succeeded, revision: self.revision, store_id: self.store_id, reads }
    }

    fn mod_revision(&self, key: &str) -> Revision {
        self.entries.get(key).map_or(0, |(_, revision)| *revision)
    }
}

fn to_key_value((key, (value, revision)): (&String, &(Vec<u8>, Revision))) -> KeyValue {
    KeyValue { key: key.clone(), value: value.clone(), mod_revision: *revision }
}

#[cfg(test)]
mod tests {
    use {super::*, crate::kv::Compare};

    fn put(key: &str, value: &str) -> Op {
        Op::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn compares_decide_and_one_transaction_is_one_revision() {
        let mut store = Memory::new(5);
        let absent = |key: &str| Compare { key: key.into(), mod_revision: 0 };
        let first = Txn { compares: vec![absent("a")], then: vec![put("a", "1"), put("b", "2")], otherwise: vec![] };
        let reply = store.apply(&first);
        assert!(reply.succeeded && reply.revision == 2 && reply.store_id == 5);
        let read = Txn { then: vec![Op::GetPrefix { prefix: String::new(), limit: 9 }], ..Txn::default() };
        let reply = store.apply(&read);
        assert_eq!(reply.revision, 2, "reading changes nothing");
        assert!(reply.reads[0].iter().all(|entry| entry.mod_revision == 2));
        let reply = store.apply(&Txn { otherwise: vec![Op::Get { key: "b".into() }], ..first });
        assert!(!reply.succeeded && reply.reads[0][0].value == b"2");
        let reply = store.apply(&Txn {
            compares: vec![Compare { key: "a".into(), mod_revision: 2 }],
            then: vec![put("a", "3"), Op::Get { key: "a".into() }, Op::Delete { key: "b".into() }],
            otherwise: vec![],
        });
        assert_eq!(
            (reply.succeeded, reply.reads[1][0].value.as_slice()),
            (true, b"3".as_slice()),
            "reads see puts before"
        );
        assert!(!store.entries.contains_key("b"));
    }
}
