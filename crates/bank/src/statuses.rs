//! Which transactions were processed, on which fork, and how they ended.

use {
    solana_signature::Signature,
    solana_transaction_error::TransactionResult,
    std::collections::{BTreeMap, BTreeSet, HashMap, HashSet},
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
    /// Of before this process began.
    restored: RestoredStatuses,
}

/// What a snapshot knows of processed transactions: 20 bytes of each key (of the message hash, and of the signature), beginning
/// at a place that is the same for all keys of a blockhash in a slot.
#[derive(Clone, Debug, Default)]
pub struct RestoredStatuses {
    by_blockhash: HashMap<Hash, Vec<RestoredSlot>>,
    roots: BTreeSet<Slot>,
}

#[derive(Clone, Debug)]
struct RestoredSlot {
    slot: Slot,
    slice_begin: usize,
    slices: HashSet<KeySlice>,
}

type KeySlice = [u8; KEY_SLICE_BYTES];

impl Default for Statuses {
    fn default() -> Self {
        Self {
            messages: HashMap::new(),
            signatures: HashMap::new(),
            by_slot: BTreeMap::new(),
            roots: BTreeSet::from([0]),
            restored: RestoredStatuses::default(),
        }
    }
}

impl Statuses {
    pub fn insert(&mut self, slot: Slot, message: Hash, signature: Signature, result: TransactionResult<()>) {
        self.messages.entry(message).or_default().push(slot);
        self.signatures.entry(signature).or_default().push((slot, result));
        self.by_slot.entry(slot).or_default().push((message, signature));
    }

    /// Takes over what a snapshot knows; all of it is rooted.
    pub(crate) fn restore(&mut self, restored: RestoredStatuses) {
        self.roots.clone_from(&restored.roots);
        self.restored = restored;
    }

    /// Whether the message, which names `blockhash`, was processed on this fork.
    pub fn is_processed(&self, message: &Hash, blockhash: &Hash, ancestors: &Ancestors) -> bool {
        self.messages.get(message).is_some_and(|slots| slots.iter().any(|slot| self.is_on(*slot, ancestors)))
            || self.restored.contains(message, blockhash)
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
            self.restored.forget(oldest);
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

impl RestoredStatuses {
    /// `slice_begin` is at most 12, so that a slice lies within a hash.
    pub fn insert(&mut self, slot: Slot, blockhash: Hash, slice_begin: usize, slice: KeySlice) {
        assert!(slice_begin <= Hash::default().as_ref().len() - KEY_SLICE_BYTES, "a slice lies within a hash");
        let slots = self.by_blockhash.entry(blockhash).or_default();
        match slots.last_mut() {
            Some(last) if last.slot == slot && last.slice_begin == slice_begin => {
                last.slices.insert(slice);
            }
            Some(_) | None => slots.push(RestoredSlot { slot, slice_begin, slices: HashSet::from([slice]) }),
        }
    }

    pub fn set_roots(&mut self, roots: BTreeSet<Slot>) {
        self.roots = roots;
    }

    pub(crate) fn roots(&self) -> &BTreeSet<Slot> {
        &self.roots
    }

    /// How many roots are remembered at most.
    pub(crate) fn roots_max(&self) -> usize {
        ROOTS_KEPT
    }

    /// Keys of all slots.
    pub fn len(&self) -> usize {
        self.by_blockhash.values().flatten().map(|slot| slot.slices.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.by_blockhash.is_empty()
    }

    fn contains(&self, message: &Hash, blockhash: &Hash) -> bool {
        self.by_blockhash.get(blockhash).is_some_and(|slots| {
            slots.iter().any(|slot| {
                let slice = message.as_ref()[slot.slice_begin..].first_chunk::<KEY_SLICE_BYTES>();
                slice.is_some_and(|slice| slot.slices.contains(slice))
            })
        })
    }

    /// Forgets the slots up to `slot`.
    fn forget(&mut self, slot: Slot) {
        if self.roots.first().is_none_or(|first| *first > slot) {
            return;
        }
        self.roots = self.roots.split_off(&(slot + 1));
        self.by_blockhash.retain(|_, slots| {
            slots.retain(|kept| kept.slot > slot);
            !slots.is_empty()
        });
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
/// status_cache.rs: CACHED_KEY_SIZE.
const KEY_SLICE_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: u8) -> Hash {
        Hash::new_from_array([n; 32])
    }

    fn blockhash() -> Hash {
        Hash::new_from_array([99; 32])
    }

    fn signature(n: u8) -> Signature {
        Signature::from([n; 64])
    }

    #[test]
    fn forks_do_not_share_what_they_processed() {
        let mut statuses = Statuses::default();
        statuses.insert(5, message(1), signature(1), Ok(()));
        assert!(statuses.is_processed(&message(1), &blockhash(), &Ancestors::only(5).child(7, 0)));
        assert!(!statuses.is_processed(&message(1), &blockhash(), &Ancestors::only(6)));
        assert_eq!(statuses.status(&signature(1), &Ancestors::only(5)), Some((5, Ok(()))));
        statuses.add_roots([5]);
        assert!(statuses.is_processed(&message(1), &blockhash(), &Ancestors::only(6)), "rooted is on every fork");
    }

    #[test]
    fn a_purged_slot_is_forgotten_on_its_fork_only() {
        let mut statuses = Statuses::default();
        statuses.insert(5, message(1), signature(1), Ok(()));
        statuses.insert(6, message(1), signature(1), Ok(()));
        statuses.purge(5);
        assert!(!statuses.is_processed(&message(1), &blockhash(), &Ancestors::only(5)));
        assert!(statuses.is_processed(&message(1), &blockhash(), &Ancestors::only(6)));
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

    #[test]
    fn what_a_snapshot_knows_is_processed_on_every_fork_until_it_is_too_old() {
        let mut restored = RestoredStatuses::default();
        let mut key = [7; 20];
        restored.insert(5, blockhash(), 12, key);
        key[19] = 8;
        restored.insert(6, blockhash(), 3, key);
        restored.set_roots([4, 5, 6].into());
        let mut statuses = Statuses::default();
        statuses.restore(restored);
        let mut other = [7; 32];
        other[22] = 8;
        let (of_5, of_6) = (message(7), Hash::new_from_array(other));
        let check = |statuses: &Statuses, wanted: [bool; 2]| {
            let is_processed = |message| statuses.is_processed(message, &blockhash(), &Ancestors::only(9));
            assert_eq!([is_processed(&of_5), is_processed(&of_6)], wanted);
        };
        check(&statuses, [true, true]);
        assert!(!statuses.is_processed(&of_5, &message(1), &Ancestors::only(9)), "of another blockhash");
        statuses.add_roots(7..=ROOTS_KEPT as Slot + 4);
        check(&statuses, [true, true]);
        statuses.add_roots([ROOTS_KEPT as Slot + 5]);
        check(&statuses, [false, true]);
    }
}
