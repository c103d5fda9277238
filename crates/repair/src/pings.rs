//! Which askers have shown that they read their address. Without it we would flood whoever's address they forge.
//! (solana-gossip-4.2.2/src/ping_pong.rs:PingCache with the figures of serve_repair.rs.)

use {
    rand::Rng,
    rand_chacha::ChaChaRng,
    std::{collections::BTreeMap, net::SocketAddr, time::Duration},
    tandem_types::{Hash, Pubkey, Tick},
    tandem_wire::ping::{Pong, pong_hash},
};

type Node = (Pubkey, SocketAddr);

/// Those waiting for a pong and those proven are kept apart: a flood of strangers displaces strangers only.
#[derive(Default)]
pub(crate) struct Pings {
    waiting: BTreeMap<Node, (Tick, Hash)>,
    proven: BTreeMap<Node, Tick>,
}

pub(crate) struct Check {
    pub proven: bool,
    /// Send a ping with this token.
    pub ping: Option<[u8; 32]>,
}

impl Pings {
    pub(crate) fn check(&mut self, rng: &mut ChaChaRng, now: Tick, node: Node) -> Check {
        let age = self.proven.get(&node).map(|at| now.since(*at));
        let proven = age.is_some_and(|age| age <= TTL);
        if !proven {
            self.proven.remove(&node);
        }
        // Proof is renewed well before it ends, so that a steady asker is never refused.
        let wanted = !proven || age.is_some_and(|age| age > TTL / 4);
        let allowed = self.waiting.get(&node).is_none_or(|(at, _)| now.since(*at) >= PING_AGAIN_AFTER);
        let ping = (wanted && allowed).then(|| {
            let mut token = [0; 32];
            token[..8].copy_from_slice(&rng.random::<[u8; 8]>());
            insert_bounded(&mut self.waiting, rng, node, (now, pong_hash(&token)));
            token
        });
        Check { proven, ping }
    }

    /// True: the pong, whose signature is verified, answers our last ping to this node.
    pub(crate) fn receive(&mut self, rng: &mut ChaChaRng, now: Tick, pong: &Pong, from: SocketAddr) -> bool {
        let node = (pong.from, from);
        let answers = self.waiting.get(&node).is_some_and(|(_, hash)| *hash == pong.hash);
        if answers {
            self.waiting.remove(&node);
            insert_bounded(&mut self.proven, rng, node, now);
        }
        answers
    }
}

/// When full, someone else goes by lot: nobody can choose whom.
fn insert_bounded<V>(map: &mut BTreeMap<Node, V>, rng: &mut ChaChaRng, node: Node, value: V) {
    if map.len() >= CAPACITY && !map.contains_key(&node) {
        let place = (Pubkey::new_from_array(rng.random()), node.1);
        let victim = map.range(place..).next().or_else(|| map.first_key_value()).map(|(victim, _)| *victim);
        victim.map(|victim| map.remove(&victim));
    }
    map.insert(node, value);
}

/// serve_repair.rs: REPAIR_PING_CACHE_TTL, _RATE_LIMIT_DELAY, _CAPACITY.
const TTL: Duration = Duration::from_secs(1280);
const PING_AGAIN_AFTER: Duration = Duration::from_secs(2);
const CAPACITY: usize = 65_536;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng, tandem_types::Signature};

    #[test]
    fn proof_is_the_right_pong_from_the_right_place_in_time() {
        let (mut pings, mut rng) = (Pings::default(), ChaChaRng::from_seed([1; 32]));
        let at = |seconds: u64| Tick::from_millis(seconds * 1000);
        let (key, here, there) = (Pubkey::new_unique(), ([1, 2, 3, 4], 5).into(), ([1, 2, 3, 4], 6).into());
        let pong = |token: &[u8; 32]| Pong { from: key, hash: pong_hash(token), signature: Signature::default() };

        let first = pings.check(&mut rng, at(0), (key, here));
        let token = first.ping.expect("a stranger is pinged");
        assert!(!first.proven);
        assert!(pings.check(&mut rng, at(1), (key, here)).ping.is_none(), "not again within two seconds");
        let token = pings.check(&mut rng, at(2), (key, here)).ping.map_or(token, |again| again);
        assert!(!pings.receive(&mut rng, at(2), &pong(&[9; 32]), here));
        assert!(!pings.receive(&mut rng, at(2), &pong(&token), there));
        assert!(pings.receive(&mut rng, at(2), &pong(&token), here));
        assert!(!pings.receive(&mut rng, at(2), &pong(&token), here), "once");
        let check = pings.check(&mut rng, at(300), (key, here));
        assert!(check.proven && check.ping.is_none());
        let check = pings.check(&mut rng, at(400), (key, here));
        assert!(check.proven && check.ping.is_some(), "renewed while it holds");
        assert!(!pings.check(&mut rng, at(1283), (key, here)).proven);
    }

    #[test]
    fn strangers_cannot_displace_the_proven_nor_grow_the_table() {
        let (mut pings, mut rng) = (Pings::default(), ChaChaRng::from_seed([1; 32]));
        let (friend, addr): (Pubkey, SocketAddr) = (Pubkey::new_unique(), ([1, 2, 3, 4], 5).into());
        let token = pings.check(&mut rng, Tick::ZERO, (friend, addr)).ping.unwrap();
        let pong = Pong { from: friend, hash: pong_hash(&token), signature: Signature::default() };
        assert!(pings.receive(&mut rng, Tick::ZERO, &pong, addr));
        for _ in 0..CAPACITY + 1000 {
            let stranger = Pubkey::new_from_array(rng.random());
            pings.check(&mut rng, Tick::ZERO, (stranger, addr));
        }
        assert_eq!(pings.waiting.len(), CAPACITY);
        assert!(pings.check(&mut rng, Tick::ZERO, (friend, addr)).proven);
    }
}
