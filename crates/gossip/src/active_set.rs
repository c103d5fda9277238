//! To whom we push, by how much stake is behind a record, and which origins each of them has declined.

use {
    crate::config::{ACTIVE_SET, FANOUT},
    rand::Rng,
    rand_chacha::ChaChaRng,
    std::collections::{BTreeSet, HashMap},
    tandem_types::Pubkey,
};

/// push_active_set.rs: one set for each power of two of the smaller stake of sender and origin.
pub struct ActiveSet {
    buckets: [Vec<Peer>; BUCKETS],
}

struct Peer {
    node: Pubkey,
    /// Origins it does not want from us.
    declined: BTreeSet<Pubkey>,
}

impl ActiveSet {
    pub fn new() -> Self {
        Self { buckets: std::array::from_fn(|_| Vec::new()) }
    }

    /// The peers that get a record of `origin` from us. Our own records are never declined.
    pub fn targets(
        &self,
        me: &Pubkey,
        origin: &Pubkey,
        stakes: &HashMap<Pubkey, u64>,
    ) -> impl Iterator<Item = &Pubkey> {
        let own = me == origin;
        self.buckets[bucket_of(me, origin, stakes)]
            .iter()
            .filter(move |peer| peer.node != *origin && (own || !peer.declined.contains(origin)))
            .map(|peer| &peer.node)
            .take(FANOUT)
    }

    /// `peer` declines these origins.
    pub fn prune(&mut self, me: &Pubkey, peer: &Pubkey, origins: &[Pubkey], stakes: &HashMap<Pubkey, u64>) {
        for origin in origins.iter().filter(|origin| *origin != me) {
            let bucket = &mut self.buckets[bucket_of(me, origin, stakes)];
            let Some(peer) = bucket.iter_mut().find(|entry| entry.node == *peer) else { continue };
            if peer.declined.len() >= DECLINED_MAX {
                peer.declined.clear();
            }
            peer.declined.insert(*origin);
        }
    }

    /// Draws new peers by stake and lets the oldest go; peers that are no candidates any more leave at once.
    /// Returns who is new in any bucket.
    pub fn rotate(&mut self, rng: &mut ChaChaRng, candidates: &[(Pubkey, u64)]) -> BTreeSet<Pubkey> {
        let mut joined = BTreeSet::new();
        for (rank, bucket) in self.buckets.iter_mut().enumerate() {
            bucket.retain(|peer| candidates.iter().any(|(node, _)| *node == peer.node));
            for node in shuffled(rng, candidates, rank) {
                if bucket.len() > ACTIVE_SET {
                    break;
                }
                if bucket.iter().all(|peer| peer.node != node) {
                    bucket.push(Peer { node, declined: BTreeSet::new() });
                    joined.insert(node);
                }
            }
            while bucket.len() > ACTIVE_SET {
                bucket.remove(0);
            }
        }
        joined
    }

    pub fn contains(&self, node: &Pubkey) -> bool {
        self.buckets.iter().any(|bucket| bucket.iter().any(|peer| peer.node == *node))
    }
}

/// Candidates in random order, weighted by the square of their stake's bucket (as far as this bucket sees it).
fn shuffled(rng: &mut ChaChaRng, candidates: &[(Pubkey, u64)], rank: usize) -> Vec<Pubkey> {
    let mut keyed: Vec<_> = candidates
        .iter()
        .map(|(node, stake)| {
            let weight = (bucket_of_stake(*stake).min(rank) + 1).pow(2) as f64;
            // Efraimidis and Spirakis: the order of u^(1/w) is a weighted shuffle.
            let key = rng.random::<f64>().ln() / weight;
            (key, *node)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    keyed.into_iter().map(|(_, node)| node).collect()
}

fn bucket_of(me: &Pubkey, origin: &Pubkey, stakes: &HashMap<Pubkey, u64>) -> usize {
    let stake_of = |node| stakes.get(node).copied().unwrap_or(0);
    bucket_of_stake(stake_of(me).min(stake_of(origin)))
}

/// push_active_set.rs:get_stake_bucket: bits of the stake in SOL.
fn bucket_of_stake(stake: u64) -> usize {
    let sol = stake / 1_000_000_000;
    ((u64::BITS - sol.leading_zeros()) as usize).min(BUCKETS - 1)
}

const BUCKETS: usize = 25;
/// Beyond that a peer's wishes are forgotten and it may repeat them.
const DECLINED_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng};

    fn nodes(count: usize) -> Vec<(Pubkey, u64)> {
        (0..count).map(|n| (Pubkey::new_unique(), n as u64 * 1_000_000_000)).collect()
    }

    #[test]
    fn buckets_are_agaves() {
        for (sol, bucket) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (16, 5), (4_194_303, 22), (8_388_608, 24)] {
            assert_eq!(bucket_of_stake(sol * 1_000_000_000), bucket);
        }
        assert_eq!(bucket_of_stake(u64::MAX), 24);
    }

    #[test]
    fn declined_origins_are_not_pushed_but_our_own_are() {
        let mut set = ActiveSet::new();
        let peers = nodes(3);
        let (me, origin, stakes) = (Pubkey::new_unique(), Pubkey::new_unique(), HashMap::new());
        set.rotate(&mut ChaChaRng::from_seed([1; 32]), &peers);
        assert_eq!(set.targets(&me, &origin, &stakes).count(), 3);
        assert_eq!(set.targets(&me, &peers[0].0, &stakes).count(), 2, "nobody gets its own records back");
        set.prune(&me, &peers[1].0, &[origin, me], &stakes);
        assert!(!set.targets(&me, &origin, &stakes).any(|node| *node == peers[1].0));
        assert!(set.targets(&me, &me, &stakes).any(|node| *node == peers[1].0));
    }

    #[test]
    fn large_sets_rotate_and_the_gone_leave() {
        let mut set = ActiveSet::new();
        let mut rng = ChaChaRng::from_seed([1; 32]);
        let peers = nodes(60);
        let (me, stakes) = (Pubkey::new_unique(), HashMap::new());
        set.rotate(&mut rng, &peers);
        assert_eq!(set.targets(&me, &me, &stakes).count(), FANOUT);
        let before: Vec<_> = set.buckets[0].iter().map(|peer| peer.node).collect();
        assert_eq!(before.len(), ACTIVE_SET);
        set.rotate(&mut rng, &peers);
        let after: Vec<_> = set.buckets[0].iter().map(|peer| peer.node).collect();
        assert_eq!(after[..ACTIVE_SET - 1], before[1..], "the oldest went, one came");
        let rest: Vec<_> = peers.iter().copied().filter(|(node, _)| *node != after[5]).collect();
        set.rotate(&mut rng, &rest);
        assert!(!set.contains(&after[5]));
    }
}
