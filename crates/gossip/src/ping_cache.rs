//! Who has shown that it reads what is sent to its address.

use {
    rand::Rng,
    rand_chacha::ChaChaRng,
    std::{collections::BTreeMap, net::SocketAddr, time::Duration},
    tandem_types::{Hash, Pubkey, Tick},
    tandem_wire::ping::{Pong, pong_hash},
};

type Node = (Pubkey, SocketAddr);

/// Strangers and proven nodes are kept apart, so that a flood of strangers displaces strangers only.
#[derive(Default)]
pub struct PingCache {
    /// When we last pinged, and the hash the pong must have.
    pinged: BTreeMap<Node, (Tick, Hash)>,
    ponged: BTreeMap<Node, Tick>,
}

/// What `check` found.
pub struct Check {
    pub verified: bool,
    /// Send a ping with this token.
    pub ping: Option<[u8; 32]>,
}

impl PingCache {
    /// ping_pong.rs:PingCache::check. A verification is renewed when a quarter of its life has passed.
    pub fn check(&mut self, rng: &mut ChaChaRng, now: Tick, node: Node) -> Check {
        let age = self.ponged.get(&node).map(|at| now.since(*at));
        let verified = age.is_some_and(|age| age <= TTL);
        if age.is_some() && !verified {
            self.ponged.remove(&node);
        }
        let wanted = age.is_none_or(|age| age > TTL / 4);
        let allowed = self.pinged.get(&node).is_none_or(|(at, _)| now.since(*at) >= PING_AGAIN_AFTER);
        let ping = (wanted && allowed).then(|| {
            // Eight random bytes, the rest zero, as agave makes them.
            let mut token = [0; 32];
            token[..8].copy_from_slice(&rng.random::<[u8; 8]>());
            insert_bounded(&mut self.pinged, rng, node, (now, pong_hash(&token)));
            token
        });
        Check { verified, ping }
    }

    /// Whether the pong (its signature is verified) answers our last ping to this node.
    pub fn receive(&mut self, rng: &mut ChaChaRng, now: Tick, pong: &Pong, from: SocketAddr) -> bool {
        let node = (pong.from, from);
        let answers = self.pinged.get(&node).is_some_and(|(_, hash)| *hash == pong.hash);
        if answers {
            self.pinged.remove(&node);
            insert_bounded(&mut self.ponged, rng, node, now);
        }
        answers
    }
}

/// When full, some other node goes by lot.
fn insert_bounded<V>(map: &mut BTreeMap<Node, V>, rng: &mut ChaChaRng, node: Node, value: V) {
    map.insert(node, value);
    if map.len() > CAPACITY {
        let place = Pubkey::new_from_array(rng.random());
        let victim = map.range((place, node.1)..).map(|(victim, _)| *victim).find(|victim| *victim != node);
        let victim = victim.or_else(|| map.keys().copied().find(|victim| *victim != node));
        victim.map(|victim| map.remove(&victim));
    }
}

/// GOSSIP_PING_CACHE_TTL.
const TTL: Duration = Duration::from_secs(1280);
/// Agave waits 20 s in gossip and 2 s in repair; a lost pong should not keep a node out for long.
const PING_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Twice the origins the table takes: a node may move.
const CAPACITY: usize = 16_384;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng, tandem_types::Signature};

    fn pong(from: Pubkey, token: &[u8; 32]) -> Pong {
        Pong { from, hash: pong_hash(token), signature: Signature::default() }
    }

    #[test]
    fn verified_by_the_right_pong_from_the_right_place() {
        let mut cache = PingCache::default();
        let mut rng = ChaChaRng::from_seed([1; 32]);
        let (node, addr, other) = (Pubkey::new_unique(), "1.2.3.4:5".parse().unwrap(), "1.2.3.4:6".parse().unwrap());
        let at = |seconds: u64| Tick::from_millis(seconds * 1000);
        let first = cache.check(&mut rng, at(0), (node, addr));
        let token = first.ping.expect("a stranger is pinged");
        assert!(!first.verified);
        assert!(cache.check(&mut rng, at(1), (node, addr)).ping.is_none(), "not again so soon");
        assert!(!cache.receive(&mut rng, at(1), &pong(node, &[9; 32]), addr), "not the token");
        assert!(!cache.receive(&mut rng, at(1), &pong(node, &token), other), "not the address");
        assert!(cache.receive(&mut rng, at(1), &pong(node, &token), addr));
        assert!(!cache.receive(&mut rng, at(1), &pong(node, &token), addr), "a pong counts once");
        let check = cache.check(&mut rng, at(300), (node, addr));
        assert!(check.verified && check.ping.is_none());
        let check = cache.check(&mut rng, at(400), (node, addr));
        assert!(check.verified && check.ping.is_some(), "renewed in time");
        assert!(!cache.check(&mut rng, at(1282), (node, addr)).verified, "expired");
    }

    #[test]
    fn a_flood_of_strangers_is_bounded_and_displaces_nobody_proven() {
        let mut cache = PingCache::default();
        let mut rng = ChaChaRng::from_seed([1; 32]);
        let (friend, addr) = (Pubkey::new_unique(), "1.2.3.4:5".parse().unwrap());
        let token = cache.check(&mut rng, Tick::ZERO, (friend, addr)).ping.unwrap();
        cache.receive(&mut rng, Tick::ZERO, &pong(friend, &token), addr);
        for n in 0..CAPACITY as u64 + 1_000 {
            cache.check(&mut rng, Tick::from_millis(n), (Pubkey::new_from_array(rng_bytes(n)), addr));
        }
        assert_eq!(cache.pinged.len(), CAPACITY);
        assert!(cache.check(&mut rng, Tick::from_millis(1), (friend, addr)).verified);
    }

    fn rng_bytes(seed: u64) -> [u8; 32] {
        ChaChaRng::seed_from_u64(seed).random()
    }
}
