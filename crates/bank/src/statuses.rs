//! Which transactions were processed, on which fork, and how they ended.

use {
    solana_signature::Signature,
    solana_transaction_error::TransactionResult,
    std::collections::{BTreeMap, BTreeSet, HashMap},
    tandem_accounts::Ancestors,
    tandem_types::{Hash, Slot},
};

/// Kept for the last 300 roots: an older transaction's blockhash is out of age, or its nonce has advanced, so it cannot
/// come again. Agave keys by blockhash and 20 bytes of the message hash; the message hash covers the blockhash, so the
/// answers are the same (solana-runtime-4.2.2/src/status_cache.rs).
#[derive(Debug)]
pub struct Statuses {
    messages: HashMap<Hash, Vec<Slot>>,
    signatures: HashMap<Signature, Vec<(Slot, TransactionResult<()>)>>,
    by_slot: BTreeMap<Slot, Vec<(Hash, Signature)>>,
    roots: BTreeSet<Slot>,
}

impl Default for Statuses {
    fn default() -> Self {
        Self {
            messages: HashMap::new(),
            signatures: HashMap::new(),
            by_slot: BTreeMap::new(),
            roots: BTreeSet::from([0]),
        }
    }
}

impl Statuses {
    pub fn insert(&mut self, slot: Slot, message: Hash, signature: Signature, result: TransactionResult<()>) {
        self.messages.entry(message).or_default().push(slot);
        self.signatures.entry(signature).or_default().push((slot, result));
        self.by_slot.entry(slot).or_default().push((message, signature));
    }

    /// Whether the message was processed on this fork.
    pub fn is_processed(&self, message: &Hash, ancestors: &Ancestors) -> bool {
        self.messages.get(message).is_some_and(|slots| slots.iter().any(|slot| self.is_on(*slot, ancestors)))
    }

    pub fn status(&self, signature: &Signature, ancestors: &Ancestors) -> Option<(Slot, TransactionResult<()>)> {
        self.signatures.get(signature)?.iter().find(|(slot, _)| self.is_on(*slot, ancestors)).cloned()
    }

    pub fn add_roots(&mut self, roots: impl IntoIterator<Item = Slot>) {
        self.roots.extend(roots);
        while self.roots.len() > ROOTS_KEPT {
            let oldest = self.roots.pop_first().expect("invariant: the set is longer than the limit");
            let outdated: Vec<Slot> = self.by_slot.range(..=oldest).map(|(slot, _)| *slot).collect();
            outdated.into_iter().for_each(|slot| self.purge(slot));
        }
    }

    /// Forgets a dropped slot.
    pub fn purge(&mut self, slot: Slot) {
        for (message, signature) in self.by_slot.remove(&slot).unwrap_or_default() {
            remove_slot(&mut self.messages, &message, |seen| *seen == slot);
            remove_slot(&mut self.signatures, &signature, |(seen, _)| *seen == slot);
        }
    }

    fn is_on(&self, slot: Slot, ancestors: &Ancestors) -> bool {
        ancestors.contains(slot) || self.roots.contains(&slot)
    }
}

fn remove_slot<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, Vec<V>>, key: &K, is_of_slot: impl Fn(&V) -> bool) {
    if let Some(entries) = map.get_mut(key) {
        entries.retain(|entry| !is_of_slot(entry));
        if entries.is_empty() {
            map.remove(key);
        }
    }
}

/// solana_clock::MAX_RECENT_BLOCKHASHES, as agave's status cache.
const ROOTS_KEPT: usize = solana_clock::MAX_RECENT_BLOCKHASHES;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: u8) -> Hash {
        Hash::new_from_array([n; 32])
    }

    fn signature(n: u8) -> Signature {
        Signature::from([n; 64])
    }

    #[test]
    fn forks_do_not_share_what_they_processed() {
        let mut statuses = Statuses::default();
        statuses.insert(5, message(1), signature(1), Ok(()));
        assert!(statuses.is_processed(&message(1), &Ancestors::only(5).child(7, 0)));
        assert!(!statuses.is_processed(&message(1), &Ancestors::only(6)));
        assert_eq!(statuses.status(&signature(1), &Ancestors::only(5)), Some((5, Ok(()))));
        statuses.add_roots([5]);
        assert!(statuses.is_processed(&message(1), &Ancestors::only(6)), "rooted is on every fork");
    }

    #[test]
    fn a_purged_slot_is_forgotten_on_its_fork_only() {
        let mut statuses = Statuses::default();
        statuses.insert(5, message(1), signature(1), Ok(()));
        statuses.insert(6, message(1), signature(1), Ok(()));
        statuses.purge(5);
        assert!(!statuses.is_processed(&message(1), &Ancestors::only(5)));
        assert!(statuses.is_processed(&message(1), &Ancestors::only(6)));
    }

    #[test]
    fn the_300th_root_is_kept_and_the_301st_forgotten() {
        let mut statuses = Statuses::default();
        for slot in 1..=301 {
            statuses.insert(slot, message((slot % 256) as u8), signature((slot % 256) as u8), Ok(()));
            statuses.add_roots([slot]);
        }
        assert!(!statuses.by_slot.contains_key(&1));
        assert!(statuses.by_slot.contains_key(&2));
        assert_eq!(statuses.status(&signature(1), &Ancestors::default()).map(|(slot, _)| slot), Some(257));
    }
}
