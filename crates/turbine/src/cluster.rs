//! The cluster as turbine sees it in one epoch (turbine/src/cluster_nodes.rs).

use {
    crate::{
        rng::{Cipher, TurbineRng},
        shuffle::WeightedShuffle,
        tree,
    },
    std::{
        cmp::Reverse,
        collections::{HashMap, HashSet},
        net::{IpAddr, SocketAddr},
    },
    tandem_types::Pubkey,
};

/// How many nodes each node sends a shred on to.
pub const FANOUT: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    pub pubkey: Pubkey,
    /// In the epoch of the shreds in question.
    pub stake: u64,
    /// Where it takes shreds; unknown for staked nodes that gossip does not know. They keep their place in the order.
    pub tvu: Option<SocketAddr>,
}

/// How many nodes may share an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressRule {
    /// Clusters for development, where all nodes may be one machine.
    Any,
    /// All others: the node with most stake of each IP address.
    OnePerIp,
}

/// Where we stand for one shred and whom we send it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// Hops from the leader's first receiver, 3 at most.
    pub distance: u8,
    pub addresses: Vec<SocketAddr>,
}

/// A shred of our own came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("we lead this slot ourselves")]
pub struct Loopback;

/// All nodes with stake or with a known address and ourselves, in the order every node agrees on.
pub struct ClusterNodes {
    me: Pubkey,
    cipher: Cipher,
    nodes: Vec<Node>,
    places: HashMap<Pubkey, usize>,
    shuffle: WeightedShuffle,
    /// Without us: a leader does not send to itself.
    broadcast: WeightedShuffle,
}

impl ClusterNodes {
    /// `stakes`: by node, of the epoch of the shreds' slots. `contacts`: the nodes gossip knows, of our shred version,
    /// with their TVU socket.
    pub fn new(
        me: Pubkey,
        my_tvu: Option<SocketAddr>,
        stakes: &HashMap<Pubkey, u64>,
        contacts: impl IntoIterator<Item = (Pubkey, SocketAddr)>,
        cipher: Cipher,
        rule: AddressRule,
    ) -> Self {
        let stake = |pubkey: &Pubkey| stakes.get(pubkey).copied().unwrap_or(0);
        let with_stake = |pubkey, tvu| Node { pubkey, stake: stake(&pubkey), tvu };
        let others = contacts.into_iter().filter(|(pubkey, _)| *pubkey != me);
        let mut known: HashMap<Pubkey, Node> =
            others.map(|(pubkey, tvu)| (pubkey, with_stake(pubkey, Some(tvu)))).collect();
        known.insert(me, with_stake(me, my_tvu));
        for (pubkey, stake) in stakes.iter().filter(|(_, stake)| **stake > 0) {
            known.entry(*pubkey).or_insert(Node { pubkey: *pubkey, stake: *stake, tvu: None });
        }
        let mut nodes: Vec<Node> = known.into_values().collect();
        nodes.sort_unstable_by_key(|node| Reverse((node.stake, node.pubkey)));
        match rule {
            AddressRule::Any => {}
            AddressRule::OnePerIp => keep_one_per_ip(&mut nodes),
        }

        let places: HashMap<Pubkey, usize> = nodes.iter().enumerate().map(|(i, node)| (node.pubkey, i)).collect();
        let shuffle = WeightedShuffle::new(nodes.iter().map(|node| node.stake));
        let mut broadcast = shuffle.clone();
        if let Some(place) = places.get(&me) {
            broadcast.remove(*place);
        }
        Self { me, cipher, nodes, places, shuffle, broadcast }
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// As leader: the one node a shred of ours goes to. It may have no address, then the shred goes to nobody.
    pub fn broadcast_peer(&self, seed: [u8; 32]) -> Option<&Node> {
        let index = self.broadcast.first(&mut TurbineRng::new(self.cipher, seed))?;
        Some(&self.nodes[index])
    }

    /// The nodes we send a shred of `leader`'s on to. Empty if this node has no place in the tree.
    pub fn retransmit_children(&self, seed: [u8; 32], leader: &Pubkey, fanout: usize) -> Result<Children, Loopback> {
        let mut order = self.order(seed, leader)?;
        let Some(place) = order.by_ref().position(|node| node.pubkey == self.me) else {
            return Ok(Children { distance: tree::distance(fanout, usize::MAX), addresses: Vec::new() });
        };
        let mut passed = place + 1;
        let mut addresses = Vec::new();
        for child in tree::children(fanout, place) {
            let Some(node) = order.nth(child - passed) else { break };
            passed = child + 1;
            // The protocol sends over IPv4 only.
            addresses.extend(node.tvu.filter(SocketAddr::is_ipv4));
        }
        Ok(Children { distance: tree::distance(fanout, place), addresses })
    }

    /// The node a shred of `leader`'s should have come to us from. `None` if that is the leader itself, or if nobody can
    /// know: the places of nodes without stake depend on what each node has heard.
    pub fn retransmit_parent(
        &self,
        seed: [u8; 32],
        leader: &Pubkey,
        fanout: usize,
    ) -> Result<Option<Pubkey>, Loopback> {
        let order = self.order(seed, leader)?;
        if self.places.get(&self.me).is_none_or(|index| self.nodes[*index].stake == 0) {
            return Ok(None);
        }
        let above: Vec<&Node> = order.take_while(|node| node.pubkey != self.me).collect();
        Ok(tree::parent(fanout, above.len()).map(|place| above[place].pubkey))
    }

    fn order(&self, seed: [u8; 32], leader: &Pubkey) -> Result<impl Iterator<Item = &Node>, Loopback> {
        if *leader == self.me {
            return Err(Loopback);
        }
        let mut shuffle = self.shuffle.clone();
        if let Some(index) = self.places.get(leader) {
            shuffle.remove(*index);
        }
        Ok(shuffle.shuffle(TurbineRng::new(self.cipher, seed)).map(|index| &self.nodes[index]))
    }
}

/// Later nodes of an address lose it; without one they only stay if they have stake (`nodes` is sorted by stake).
fn keep_one_per_ip(nodes: &mut Vec<Node>) {
    let mut taken: HashSet<IpAddr> = HashSet::new();
    nodes.retain_mut(|node| {
        node.tvu = node.tvu.filter(|tvu| taken.insert(tvu.ip()));
        node.stake > 0 || node.tvu.is_some()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Pubkey::new_from_array(bytes)
    }

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 8001))
    }

    /// Nodes 0..count all know each other; node n has stake `stake(n)`.
    fn view(me: u32, count: u32, stake: impl Fn(u32) -> u64, cipher: Cipher) -> ClusterNodes {
        let stakes = (0..count).map(|n| (key(n), stake(n))).collect();
        let contacts = (0..count).map(|n| (key(n), address(n)));
        ClusterNodes::new(key(me), Some(address(me)), &stakes, contacts, cipher, AddressRule::Any)
    }

    #[test]
    fn order_is_by_stake_then_key_descending() {
        let stakes = HashMap::from([(key(1), 5), (key(2), 5), (key(3), 9), (key(4), 0), (key(9), 7)]);
        let contacts = [(key(1), address(1)), (key(5), address(5)), (key(3), address(3))];
        let cluster = ClusterNodes::new(key(6), Some(address(6)), &stakes, contacts, Cipher::ChaCha8, AddressRule::Any);
        let order: Vec<_> = cluster.nodes().iter().map(|node| (node.pubkey, node.stake, node.tvu)).collect();
        assert_eq!(
            order,
            [
                (key(3), 9, Some(address(3))),
                (key(9), 7, None),
                (key(2), 5, None),
                (key(1), 5, Some(address(1))),
                (key(6), 0, Some(address(6))),
                (key(5), 0, Some(address(5))),
            ],
            "staked nodes keep their place without an address, unknown ones without stake have none"
        );
    }

    #[test]
    fn one_node_per_ip() {
        let stakes = HashMap::from([(key(1), 5), (key(2), 4)]);
        let same_ip = SocketAddr::from(([10, 0, 0, 1], 9999));
        let contacts = [(key(1), address(1)), (key(2), same_ip), (key(3), same_ip), (key(4), address(4))];
        let make = |rule| ClusterNodes::new(key(9), None, &stakes, contacts, Cipher::ChaCha8, rule);
        let seen = |cluster: &ClusterNodes| -> Vec<_> { cluster.nodes().iter().map(|n| (n.pubkey, n.tvu)).collect() };
        let kept = make(AddressRule::OnePerIp);
        assert_eq!(seen(&kept), [(key(1), Some(address(1))), (key(2), None), (key(4), Some(address(4)))]);
        assert_eq!(make(AddressRule::Any).nodes().len(), 5);
        // This node itself has neither stake nor address and so no place.
        assert_eq!(kept.retransmit_parent([1; 32], &key(1), FANOUT), Ok(None));
        let none = Children { distance: 3, addresses: vec![] };
        assert_eq!(kept.retransmit_children([1; 32], &key(1), FANOUT), Ok(none));
    }

    #[test]
    fn every_node_gets_a_shred_once_from_the_parent_it_expects() {
        for (cipher, count, fanout) in [(Cipher::ChaCha20, 30, 3), (Cipher::ChaCha8, 30, 4), (Cipher::ChaCha8, 4, 200)]
        {
            let stake = |n: u32| u64::from(1 + n * n % 17);
            let views: Vec<ClusterNodes> = (0..count).map(|me| view(me, count, stake, cipher)).collect();
            for shred in 0..10u8 {
                let (seed, leader) = ([shred; 32], u32::from(shred) % count);
                let root = views[leader as usize].broadcast_peer(seed).unwrap().pubkey;
                let mut senders: HashMap<SocketAddr, Vec<Pubkey>> = HashMap::new();
                for me in (0..count).filter(|me| *me != leader) {
                    let children = views[me as usize].retransmit_children(seed, &key(leader), fanout).unwrap();
                    assert_eq!(children.distance == 0, key(me) == root);
                    for child in children.addresses {
                        senders.entry(child).or_default().push(key(me));
                    }
                }
                for me in (0..count).filter(|me| *me != leader) {
                    let expected = views[me as usize].retransmit_parent(seed, &key(leader), fanout).unwrap();
                    let from = senders.remove(&address(me)).unwrap_or_default();
                    assert_eq!(from, Vec::from_iter(expected), "node {me}, shred {shred}");
                    assert_eq!(expected.is_none(), key(me) == root);
                }
                assert!(senders.is_empty(), "nobody sends to the leader");
            }
        }
    }

    #[test]
    fn own_shreds_are_refused() {
        let cluster = view(1, 5, u64::from, Cipher::ChaCha8);
        assert_eq!(cluster.retransmit_children([1; 32], &key(1), FANOUT), Err(Loopback));
        assert_eq!(cluster.retransmit_parent([1; 32], &key(1), FANOUT), Err(Loopback));
    }

    #[test]
    fn without_stake_the_parent_is_unknown_but_children_are_not() {
        let cluster = view(0, 3, |n| u64::from(n > 0), Cipher::ChaCha8);
        assert_eq!(cluster.retransmit_parent([1; 32], &key(1), FANOUT), Ok(None));
        assert!(cluster.retransmit_children([1; 32], &key(1), FANOUT).is_ok());
    }

    #[test]
    fn alone_there_is_nobody_to_send_to() {
        let cluster = view(0, 1, |_| 5, Cipher::ChaCha20);
        assert_eq!(cluster.broadcast_peer([1; 32]), None);
        let children = cluster.retransmit_children([1; 32], &key(7), FANOUT).unwrap();
        assert_eq!(children, Children { distance: 0, addresses: vec![] });
    }

    #[test]
    fn ipv6_is_not_sent_to() {
        let stakes = HashMap::from([(key(1), u64::MAX / 2), (key(2), 1)]);
        let v6 = "[::1]:8001".parse().unwrap();
        for seed in 0..4 {
            let contacts = [(key(2), v6)];
            let cluster = ClusterNodes::new(key(1), None, &stakes, contacts, Cipher::ChaCha8, AddressRule::Any);
            assert_eq!(cluster.retransmit_children([seed; 32], &key(3), FANOUT).unwrap().addresses, []);
        }
    }
}
