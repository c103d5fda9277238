//! A map from keys that is cheap to clone for every bank: copy-on-write in shards, in the order of the keys.

use {
    std::{collections::BTreeMap, sync::Arc},
    tandem_types::Pubkey,
};

/// Clone costs one counter. The first change of a clone copies the list of shards and the one shard that changes.
/// Keys are split by their leading bits, so iteration over all shards is in the order of the keys, on every node alike.
#[derive(Clone, Debug)]
pub struct PubkeyMap<V> {
    shards: Arc<Vec<Arc<BTreeMap<Pubkey, V>>>>,
    len: usize,
}

impl<V> Default for PubkeyMap<V> {
    fn default() -> Self {
        let empty = Arc::new(BTreeMap::new());
        Self { shards: Arc::new(vec![empty; SHARDS]), len: 0 }
    }
}

impl<V> PubkeyMap<V> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn get(&self, key: &Pubkey) -> Option<&V> {
        self.shards[shard_of(key)].get(key)
    }

    pub fn contains_key(&self, key: &Pubkey) -> bool {
        self.get(key).is_some()
    }

    /// In the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Pubkey, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

impl<V: Clone> PubkeyMap<V> {
    pub fn insert(&mut self, key: Pubkey, value: V) -> Option<V> {
        let old = self.shard_mut(&key).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub fn remove(&mut self, key: &Pubkey) -> Option<V> {
        // A miss must not copy a shard: votes of unknown accounts would then cost one per block.
        if !self.contains_key(key) {
            return None;
        }
        let old = self.shard_mut(key).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    pub fn get_mut(&mut self, key: &Pubkey) -> Option<&mut V> {
        if !self.contains_key(key) {
            return None;
        }
        self.shard_mut(key).get_mut(key)
    }

    fn shard_mut(&mut self, key: &Pubkey) -> &mut BTreeMap<Pubkey, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[shard_of(key)])
    }
}

impl<V: Clone> FromIterator<(Pubkey, V)> for PubkeyMap<V> {
    fn from_iter<I: IntoIterator<Item = (Pubkey, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<V: PartialEq> PartialEq for PubkeyMap<V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.shards == other.shards
    }
}

fn shard_of(key: &Pubkey) -> usize {
    let [first, second, ..] = key.to_bytes();
    usize::from(u16::from_be_bytes([first, second]) >> (16 - SHARD_BITS))
}

/// 256 shards: a million stake accounts are 4,000 in a shard; a handful of votes in a block copy a handful of shards.
const SHARD_BITS: u32 = 8;
const SHARDS: usize = 1 << SHARD_BITS;

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    proptest! {
        /// Behaves as a BTreeMap, and a clone never sees what happens to the original afterwards.
        #[test]
        fn same_as_btree_map(operations in prop::collection::vec((any::<[u8; 2]>(), any::<Option<u8>>()), 0..200)) {
            let mut ours = PubkeyMap::default();
            let mut model = BTreeMap::new();
            let mut snapshots = Vec::new();
            for ([first, second], value) in operations {
                let mut bytes = [0; 32];
                bytes[0] = first;
                bytes[31] = second;
                let key = Pubkey::new_from_array(bytes);
                snapshots.push((ours.clone(), model.clone()));
                match value {
                    Some(value) => prop_assert_eq!(ours.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(ours.remove(&key), model.remove(&key)),
                }
            }
            snapshots.push((ours, model));
            for (ours, model) in snapshots {
                prop_assert_eq!(ours.len(), model.len());
                prop_assert!(ours.iter().eq(model.iter()));
            }
        }
    }
}
