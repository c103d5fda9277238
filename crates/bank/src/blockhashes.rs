//! Which blockhashes a transaction may name.

use {std::collections::HashMap, tandem_types::Hash};

/// The last hashes of the last 300 blocks on this fork, with the fee rate each was registered at
/// (solana-accounts-db-4.2.2/src/blockhash_queue.rs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockhashQueue {
    last_index: u64,
    last: Hash,
    infos: HashMap<Hash, Info>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Info {
    index: u64,
    lamports_per_signature: u64,
}

impl BlockhashQueue {
    pub fn from_genesis(hash: Hash, lamports_per_signature: u64) -> Self {
        let infos = HashMap::from([(hash, Info { index: 0, lamports_per_signature })]);
        Self { last_index: 0, last: hash, infos }
    }

    /// As a snapshot holds it: each hash with its index and fee rate.
    pub fn restored(last_index: u64, last: Hash, hashes: impl IntoIterator<Item = (Hash, u64, u64)>) -> Self {
        // Ages are differences to the last index; an index beyond it could only come from a made-up snapshot.
        let infos = hashes
            .into_iter()
            .map(|(hash, index, lamports_per_signature)| {
                (hash, Info { index: index.min(last_index), lamports_per_signature })
            })
            .collect();
        Self { last_index, last, infos }
    }

    pub fn register(&mut self, hash: Hash, lamports_per_signature: u64) {
        self.last_index += 1;
        // The purge comes before the insertion and only when the queue is full, so it holds up to 301 hashes.
        if self.infos.len() as u64 >= AGE_KEPT_MAX {
            let last_index = self.last_index;
            self.infos.retain(|_, info| last_index - info.index <= AGE_KEPT_MAX);
        }
        // A hash that comes again (slot 0 of a cluster without a hash count) moves to the front.
        self.infos.insert(hash, Info { index: self.last_index, lamports_per_signature });
        self.last = hash;
    }

    pub fn last(&self) -> Hash {
        self.last
    }

    /// How many hashes were registered after this one.
    pub fn age(&self, hash: &Hash) -> Option<u64> {
        self.infos.get(hash).map(|info| self.last_index - info.index)
    }

    pub fn is_valid(&self, hash: &Hash, age_max: u64) -> bool {
        self.age(hash).is_some_and(|age| age <= age_max)
    }

    pub fn lamports_per_signature(&self, hash: &Hash) -> Option<u64> {
        self.infos.get(hash).map(|info| info.lamports_per_signature)
    }

    /// The newest `count` hashes with their fee rates, newest first.
    pub fn newest_first(&self, count: usize) -> Vec<(Hash, u64)> {
        let mut entries: Vec<_> = self.infos.iter().collect();
        entries.sort_unstable_by_key(|(_, info)| std::cmp::Reverse(info.index));
        entries.into_iter().take(count).map(|(hash, info)| (*hash, info.lamports_per_signature)).collect()
    }
}

/// solana_clock::MAX_RECENT_BLOCKHASHES.
const AGE_KEPT_MAX: u64 = solana_clock::MAX_RECENT_BLOCKHASHES as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> Hash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Hash::new_from_array(bytes)
    }

    fn queue(count: u64) -> BlockhashQueue {
        let mut queue = BlockhashQueue::from_genesis(hash(0), 0);
        (1..=count).for_each(|n| queue.register(hash(n), n));
        queue
    }

    #[test]
    fn an_age_of_150_admits_151_hashes() {
        let queue = queue(200);
        let valid = (0..=200).filter(|n| queue.is_valid(&hash(*n), 150)).collect::<Vec<_>>();
        assert_eq!(valid, (50..=200).collect::<Vec<_>>());
    }

    #[test]
    fn up_to_301_hashes_are_kept() {
        let queue = queue(1000);
        assert_eq!(queue.infos.len(), 301);
        assert_eq!(queue.age(&hash(700)), Some(300));
        assert_eq!(queue.age(&hash(699)), None);
    }

    #[test]
    fn a_repeated_hash_moves_to_the_front() {
        let mut queue = queue(3);
        queue.register(hash(0), 9);
        assert_eq!(queue.last(), hash(0));
        assert_eq!(queue.newest_first(2), [(hash(0), 9), (hash(3), 3)]);
        assert_eq!(queue.age(&hash(0)), Some(0));
    }
}
