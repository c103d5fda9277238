//! Whom to ask: by lot, weighted by stake (serve_repair.rs:repair_request).

use {
    crate::RepairPeer,
    rand::Rng,
    rand_chacha::ChaChaRng,
    tandem_types::{Pubkey, Slot},
};

#[derive(Default)]
pub(crate) struct Peers {
    peers: Vec<RepairPeer>,
    /// Sum of the weights up to and with each peer.
    sums: Vec<u64>,
}

impl Peers {
    pub(crate) fn set(&mut self, peers: Vec<RepairPeer>) {
        self.sums.clear();
        let mut sum = 0u64;
        for peer in &peers {
            // Agave never asks an unstaked peer; in a cluster that is just starting they may be all there are.
            sum = sum.saturating_add(peer.stake.max(1));
            self.sums.push(sum);
        }
        self.peers = peers;
    }

    /// Someone other than `me` who has the slot.
    pub(crate) fn choose(&self, rng: &mut ChaChaRng, slot: Slot, me: &Pubkey) -> Option<&RepairPeer> {
        let total = *self.sums.last()?;
        let fits = |peer: &&RepairPeer| peer.lowest_slot <= slot && peer.pubkey != *me;
        let drawn = (0..DRAWS).map(|_| {
            let lot = rng.random_range(0..total);
            &self.peers[self.sums.partition_point(|sum| *sum <= lot)]
        });
        // When most of the stake cannot serve the slot, anyone who can is better than nobody.
        drawn.into_iter().find(fits).or_else(|| self.peers.iter().find(fits))
    }
}

const DRAWS: usize = 8;

#[cfg(test)]
mod tests {
    use {super::*, rand::SeedableRng};

    fn peer(n: u8, stake: u64, lowest_slot: Slot) -> RepairPeer {
        RepairPeer { pubkey: Pubkey::new_from_array([n; 32]), addr: ([10, 0, 0, n], 8000).into(), stake, lowest_slot }
    }

    #[test]
    fn stake_weighs() {
        let (mut rng, mut peers) = (ChaChaRng::from_seed([1; 32]), Peers::default());
        let me = Pubkey::new_from_array([9; 32]);
        assert_eq!(peers.choose(&mut rng, 5, &me), None);
        peers.set(vec![peer(1, 900, 0), peer(2, 100, 0), peer(3, 0, 0)]);
        let mut counts = [0; 4];
        (0..10_000)
            .for_each(|_| counts[usize::from(peers.choose(&mut rng, 5, &me).unwrap().pubkey.to_bytes()[0])] += 1);
        assert!((8_700..9_300).contains(&counts[1]) && (700..1_300).contains(&counts[2]), "{counts:?}");
        assert!((1..50).contains(&counts[3]), "an unstaked peer is asked rarely, but is asked: {counts:?}");
    }

    #[test]
    fn neither_ourselves_nor_one_without_the_slot() {
        let (mut rng, mut peers) = (ChaChaRng::from_seed([1; 32]), Peers::default());
        peers.set(vec![peer(1, 1_000_000, 100), peer(2, 1, 0), peer(9, 1_000_000, 0)]);
        let me = Pubkey::new_from_array([9; 32]);
        for _ in 0..100 {
            assert_eq!(peers.choose(&mut rng, 5, &me).unwrap().pubkey.to_bytes()[0], 2);
        }
        peers.set(vec![peer(9, 1, 0)]);
        assert_eq!(peers.choose(&mut rng, 5, &me), None);
    }
}
