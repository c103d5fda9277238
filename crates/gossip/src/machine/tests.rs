//! Several machines on a wire without sockets, with virtual time.

mod twins;

use {
    super::*,
    crate::Publication,
    rand::Rng,
    solana_keypair::Keypair,
    std::time::Duration,
    tandem_types::{Hash, Signer as _, VersionedTransaction},
    tandem_wire::{
        contact_info::{SocketTag, Version},
        duplicate_shred::DuplicateProof,
    },
};

struct Key(Keypair);

impl crate::Signer for Key {
    fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.0.sign_message(bytes)
    }
}

struct Node {
    gossip: Gossip,
    key: Key,
    addr: SocketAddr,
    seen: Vec<Effect>,
    up: bool,
}

/// All nodes, what flies between them, and one clock.
struct Net {
    nodes: Vec<Node>,
    flying: BTreeMap<(Tick, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    now: Tick,
    sent: u64,
    bytes: u64,
    loss_percent: u32,
    /// How many packets have a byte changed on the way.
    damage_percent: u32,
    rng: ChaChaRng,
}

const EPOCH_MS: u64 = 1_700_000_000_000;
const SHRED_VERSION: u16 = 4_711;

impl Net {
    /// Node 0 is the others' entrypoint.
    fn new(count: usize) -> Self {
        Self::seeded(count, 9)
    }

    fn seeded(count: usize, seed: u64) -> Self {
        let mut net = Self {
            nodes: Vec::new(),
            flying: BTreeMap::new(),
            now: Tick::from_millis(10),
            sent: 0,
            bytes: 0,
            loss_percent: 0,
            damage_percent: 0,
            rng: ChaChaRng::seed_from_u64(seed),
        };
        (0..count).for_each(|_| _ = net.join(SHRED_VERSION));
        net
    }

    fn join(&mut self, shred_version: u16) -> usize {
        let (at, key) = (self.nodes.len(), Key(Keypair::new_from_array(self.rng.random())));
        let addr = addr_of(at);
        let entrypoints = if at == 0 { vec![] } else { vec![addr_of(0)] };
        let contact = contact(&key, addr, self.outset(), shred_version);
        let gossip = Gossip::new(Config::new(entrypoints, true), contact, self.rng.random());
        self.nodes.push(Node { gossip, key, addr, seen: Vec::new(), up: true });
        at
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(EPOCH_MS + self.now.as_millis())
    }

    fn outset(&self) -> u64 {
        self.wall().0 * 1000
    }

    fn handle(&mut self, at: usize, event: Event) {
        let (now, wall) = (self.now, self.wall());
        let node = &mut self.nodes[at];
        let mut out = Vec::new();
        node.gossip.handle(now, wall, event, &node.key, &mut out);
        let from = node.addr;
        for effect in out {
            match effect {
                Effect::Send { to, bytes } => {
                    self.sent += 1;
                    self.bytes += bytes.len() as u64;
                    if self.rng.random_range(0..100) >= self.loss_percent {
                        self.flying.insert((now + Duration::from_millis(1), self.sent), (from, to, bytes));
                    }
                }
                other => self.nodes[at].seen.push(other),
            }
        }
    }

    fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            let packet = self.flying.first_key_value().map(|((at, _), _)| *at);
            let up = |node: &&Node| node.up;
            let timer = self.nodes.iter().filter(up).filter_map(|node| node.gossip.next_deadline()).min();
            let next = packet.into_iter().chain(timer).min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry()
                && entry.key().0 <= self.now
            {
                let (from, to, mut bytes) = entry.remove();
                if self.rng.random_range(0..100) < self.damage_percent {
                    let place = self.rng.random_range(0..bytes.len());
                    bytes[place] ^= self.rng.random_range(1..=u8::MAX);
                }
                if let Some(at) = self.nodes.iter().position(|node| node.addr == to && node.up) {
                    self.handle(at, Event::Packet { from, bytes });
                }
            }
            for at in 0..self.nodes.len() {
                let due = self.nodes[at].gossip.next_deadline().is_some_and(|due| due <= self.now);
                if due && self.nodes[at].up {
                    self.handle(at, Event::Timer);
                }
            }
        }
        self.now = end;
    }

    fn pubkey(&self, at: usize) -> Pubkey {
        self.nodes[at].key.0.pubkey()
    }

    fn peers(&self, at: usize) -> usize {
        self.nodes[at].gossip.peers().count()
    }

    fn stakes(&mut self, stakes: &[(usize, u64)]) {
        let stakes = stakes.iter().map(|(at, sol)| (self.pubkey(*at), sol * 1_000_000_000)).collect();
        let stakes: Arc<HashMap<_, _>> = Arc::new(stakes);
        (0..self.nodes.len()).for_each(|at| self.handle(at, Event::Stakes(Arc::clone(&stakes))));
    }

    fn counted(&self, at: usize, reason: Reason) -> usize {
        self.nodes[at].seen.iter().filter(|effect| **effect == Effect::Counted(reason)).count()
    }

    fn votes_seen(&self, at: usize) -> Vec<(Pubkey, Slot)> {
        let votes = self.nodes[at].seen.iter().filter_map(|effect| match effect {
            Effect::Votes(votes) => Some(votes),
            _ => None,
        });
        votes.flatten().filter_map(|vote| Some((vote.from, vote.vote.last_slot()?))).collect()
    }

    fn vote(&mut self, at: usize, slot: Slot) {
        let transaction = vote_transaction(&self.nodes[at].key.0, slot);
        self.handle(at, Event::PublishVote { slot, transaction });
    }

    /// Our own vote slots, by index.
    fn own_votes(&self, at: usize) -> BTreeMap<u8, Slot> {
        let gossip = &self.nodes[at].gossip;
        let votes = gossip.table.of_origin(&gossip.me.pubkey).filter_map(|(_, entry)| match entry.value.data() {
            CrdsData::Vote(index, vote) => Some((*index, vote.slot()?)),
            _ => None,
        });
        votes.collect()
    }
}

fn addr_of(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, at as u8 + 1], 8001))
}

fn contact(key: &Key, addr: SocketAddr, outset: u64, shred_version: u16) -> ContactInfo {
    let mut info = ContactInfo::new(key.0.pubkey(), outset, shred_version, Version::default());
    info.set_socket(SocketTag::Gossip, addr).unwrap();
    info.set_socket(SocketTag::Tvu, SocketAddr::new(addr.ip(), 8002)).unwrap();
    info.set_socket(SocketTag::TpuQuic, SocketAddr::new(addr.ip(), 8003)).unwrap();
    info
}

fn vote_transaction(payer: &Keypair, slot: Slot) -> VersionedTransaction {
    use solana_message::{Message, VersionedMessage};
    let sync = tandem_wire::vote_tx::tower_sync(&[(slot, 1)], None, Hash::new_unique(), None, Hash::default());
    let instruction = tandem_wire::vote_tx::tower_sync_instruction(&Pubkey::new_unique(), &payer.pubkey(), sync, None);
    let message = Message::new_with_blockhash(&[instruction], Some(&payer.pubkey()), &Hash::new_unique());
    VersionedTransaction::try_new(VersionedMessage::Legacy(message), &[payer]).unwrap()
}

#[test]
fn nodes_meet_through_one_entrypoint() {
    for count in [2, 4, 6] {
        let mut net = Net::new(count);
        net.run(4_000);
        for at in 0..count {
            assert_eq!(net.peers(at), count - 1, "node {at} of {count}");
            assert!(net.nodes[at].seen.contains(&Effect::ContactsChanged));
        }
    }
}

#[test]
fn nodes_meet_although_a_third_of_the_packets_is_lost() {
    for seed in 0..20 {
        let mut net = Net::seeded(5, seed);
        net.loss_percent = 33;
        net.run(40_000);
        let peers: Vec<_> = (0..5).map(|at| net.peers(at)).collect();
        assert_eq!(peers, [4; 5], "seed {seed}");
    }
}

/// protocol.md 4.8: the twelfth vote takes the place of the oldest; the receivers hear of all of them.
#[test]
fn votes_reach_everybody_quickly() {
    let mut net = Net::new(4);
    net.run(4_000);
    net.stakes(&[(0, 100), (1, 100), (2, 100), (3, 100)]);
    let voter = net.pubkey(2);
    for slot in 1..=30 {
        net.vote(2, slot);
        net.run(100);
        for at in [0, 1, 3] {
            assert!(net.votes_seen(at).contains(&(voter, slot)), "node {at} within 100 ms of slot {slot}");
        }
    }
    assert!(net.votes_seen(2).is_empty(), "our own votes are no news");
    let mut slots: Vec<_> = net.own_votes(2).into_values().collect();
    slots.sort();
    assert_eq!(slots, (19..=30).collect::<Vec<_>>());
    for at in [0, 1, 3] {
        let known = net.nodes[at].gossip.table.of_origin(&voter);
        assert_eq!(known.filter(|(label, _)| matches!(label.kind, Kind::Vote(_))).count(), 12);
        assert_eq!(net.votes_seen(at).len(), 30, "each vote is told once");
    }
}

#[test]
fn refreshed_votes_keep_their_place_and_older_votes_are_not_published() {
    let mut net = Net::new(2);
    net.run(4_000);
    (1..=3).for_each(|slot| net.vote(0, slot));
    net.run(100);
    net.vote(0, 2);
    assert_eq!(net.own_votes(0), BTreeMap::from([(0, 1), (1, 2), (2, 3)]));
    assert_eq!(net.counted(0, Reason::OlderVoteThanInGossip), 0);
    net.run(100);
    let voter = net.pubkey(0);
    assert_eq!(net.votes_seen(1).iter().filter(|vote| **vote == (voter, 2)).count(), 2, "the refreshed one too");
    net.handle(0, Event::PublishVote { slot: 0, transaction: vote_transaction(&Keypair::new(), 0) });
    assert_eq!(net.counted(0, Reason::OlderVoteThanInGossip), 1);
    assert_eq!(net.own_votes(0).len(), 3);
}

#[test]
fn publications_can_be_read_elsewhere() {
    let mut net = Net::new(3);
    net.run(4_000);
    let from = net.pubkey(1);
    let proof = DuplicateProof { shred1: vec![1; 1203], shred2: vec![2; 1203] };
    net.handle(1, Event::Publish(Publication::LowestSlot(17)));
    net.handle(1, Event::Publish(Publication::EpochSlots(vec![5, 6, 9])));
    net.handle(1, Event::Publish(Publication::EpochSlots(vec![10, 12])));
    net.handle(1, Event::Publish(Publication::DuplicateShred { slot: 9, proof: proof.clone() }));
    let hashes =
        Publication::SnapshotHashes { full: (100, Hash::default()), incremental: vec![(110, Hash::default())] };
    net.handle(1, Event::Publish(hashes));
    net.run(200);
    for at in [0, 2] {
        let gossip = &net.nodes[at].gossip;
        assert_eq!(gossip.lowest_slot(&from), Some(17));
        assert_eq!(gossip.epoch_slots(&from, 6).collect::<Vec<_>>(), [6, 9, 10, 12]);
        assert_eq!(gossip.snapshot_hashes(&from).map(|hashes| hashes.full.0), Some(100));
        let told = Effect::DuplicateProof { from, slot: 9, proof: proof.clone() };
        assert_eq!(net.nodes[at].seen.iter().filter(|effect| **effect == told).count(), 1);
    }
    net.handle(1, Event::Publish(Publication::DuplicateShred { slot: 9, proof }));
    net.run(200);
    let own = net.nodes[1].gossip.table.of_origin(&from);
    let chunks = own.filter(|(label, _)| matches!(label.kind, Kind::DuplicateShred(_))).count();
    assert_eq!(chunks, 3, "one proof per slot");
}

#[test]
fn many_epoch_slots_fill_record_after_record() {
    let mut net = Net::new(2);
    net.run(4_000);
    let slots: Vec<Slot> = (0..40_000).map(|n| n * 2 + (n * n) % 2).collect();
    net.handle(0, Event::Publish(Publication::EpochSlots(slots.clone())));
    net.run(300);
    let mut read: Vec<_> = net.nodes[1].gossip.epoch_slots(&net.pubkey(0), 0).collect();
    read.sort();
    assert_eq!(read, slots);
}

/// What is pushed once reaches a node that was away by pull.
#[test]
fn a_node_that_was_away_catches_up_by_pull() {
    let mut net = Net::new(3);
    net.run(4_000);
    net.nodes[2].up = false;
    net.handle(1, Event::Publish(Publication::LowestSlot(33)));
    net.run(1_000);
    net.nodes[2].up = true;
    net.run(15_000);
    assert_eq!(net.nodes[2].gossip.lowest_slot(&net.pubkey(1)), Some(33));
}

#[test]
fn the_silent_expire_unless_staked() {
    let mut net = Net::new(4);
    net.run(4_000);
    net.stakes(&[(0, 100), (1, 100)]);
    (net.nodes[1].up, net.nodes[3].up) = (false, false);
    net.run(20_000);
    let (staked, unstaked) = (net.pubkey(1), net.pubkey(3));
    assert!(net.nodes[0].gossip.contact(&staked).is_some());
    assert!(net.nodes[0].gossip.contact(&unstaked).is_none());
    assert!(net.nodes[0].gossip.contact(&net.pubkey(2)).is_some(), "alive, unstaked");
    net.run(60_000);
    assert_eq!(net.peers(0), 1, "only who was heard of lately");
    assert_eq!(net.nodes[0].gossip.contacts().count(), 2);
}

/// Six nodes push everything to everybody; prunes thin that out, and news still arrives.
#[test]
fn redundant_links_are_pruned() {
    let mut net = Net::new(6);
    net.run(4_000);
    net.stakes(&[(0, 10), (1, 10), (2, 10), (3, 10), (4, 10), (5, 10)]);
    let pushes = |net: &mut Net, slots: std::ops::Range<Slot>| {
        let before = net.sent;
        for slot in slots {
            net.vote(0, slot);
            net.run(50);
        }
        net.sent - before
    };
    // Prunes come after twenty pieces of news.
    let first = pushes(&mut net, 1..16);
    pushes(&mut net, 20..50);
    let later = pushes(&mut net, 100..115);
    assert!(later * 3 < first * 2, "{first} packets, then {later}");
    let voter = net.pubkey(0);
    assert!((1..6).all(|at| net.votes_seen(at).contains(&(voter, 114))));
}

/// A standby takes the identity of node 1 over: everybody learns its address at once, and its votes.
#[test]
fn an_identity_moves() {
    let mut net = Net::new(4);
    net.run(4_000);
    net.stakes(&[(0, 10), (1, 10), (2, 10)]);
    (1..=20).for_each(|slot| {
        net.vote(1, slot);
        net.run(20);
    });
    net.nodes[1].up = false;
    net.run(1_000);
    let identity = net.nodes[1].key.0.insecure_clone();
    let (moved, former) = (identity.pubkey(), net.pubkey(3));
    net.nodes[3].key = Key(identity);
    // The new machine's clock is an hour behind the old one's, by which instances are told apart.
    let outset = net.outset() - 3_600_000_000;
    let contact = contact(&net.nodes[3].key, addr_of(3), outset, SHRED_VERSION);
    net.handle(3, Event::SetIdentity { contact: Box::new(contact) });
    net.vote(3, 21);
    net.run(400);
    for at in [0, 2] {
        let known = net.nodes[at].gossip.contact(&moved).and_then(ContactInfo::gossip);
        assert_eq!(known, Some(addr_of(3)), "node {at} has the new address");
        assert!(net.votes_seen(at).contains(&(moved, 21)));
    }
    net.run(30_000);
    assert!(!net.nodes[3].seen.iter().any(|effect| matches!(effect, Effect::IdentityElsewhere { .. })));
    assert!(net.nodes[3].gossip.contact(&former).is_none(), "what we were is no peer");
    assert_eq!(net.peers(3), 2);
    assert!(net.nodes[0].gossip.contact(&former).is_none(), "nor for others, once expired");
    // The old machine wakes up: it learns that its identity lives elsewhere; the others do not go back to it.
    net.nodes[1].up = true;
    net.run(10_000);
    let told = net.nodes[1].seen.iter().any(
        |effect| matches!(effect, Effect::IdentityElsewhere { contact, .. } if contact.gossip() == Some(addr_of(3))),
    );
    assert!(told, "the deposed machine is told");
    assert_eq!(net.nodes[0].gossip.contact(&moved).and_then(ContactInfo::gossip), Some(addr_of(3)));
}

/// And back again: what we were before counts as a peer when another machine takes it.
#[test]
fn identities_can_be_swapped_and_swapped_back() {
    let mut net = Net::new(3);
    net.run(4_000);
    for round in 0..3 {
        let (a, b) = (net.nodes[1].key.0.insecure_clone(), net.nodes[2].key.0.insecure_clone());
        (net.nodes[1].key, net.nodes[2].key) = (Key(b), Key(a));
        for at in [1, 2] {
            let contact = contact(&net.nodes[at].key, addr_of(at), net.outset() + at as u64, SHRED_VERSION);
            net.handle(at, Event::SetIdentity { contact: Box::new(contact) });
        }
        net.run(12_000);
        for (at, other) in [(1, 2), (2, 1), (0, 1), (0, 2)] {
            let known = net.nodes[at].gossip.contact(&net.pubkey(other)).and_then(ContactInfo::gossip);
            assert_eq!(known, Some(addr_of(other)), "round {round}: node {at} about node {other}");
        }
    }
}

#[test]
fn another_signer_signs_nothing() {
    let mut net = Net::new(2);
    net.run(4_000);
    net.nodes[1].key = Key(Keypair::new());
    let before = net.sent;
    net.run(3_000);
    let records = net.nodes[0].gossip.table.of_origin(&net.pubkey(1)).count();
    assert_eq!(records, 0);
    assert!(net.counted(1, Reason::SignerIsAnother) > 0);
    assert!(net.sent > before, "the other node goes on");
}

#[test]
fn clusters_of_other_shred_versions_do_not_mix() {
    let mut net = Net::new(2);
    let stranger = net.join(SHRED_VERSION + 1);
    net.run(10_000);
    assert_eq!((net.peers(0), net.peers(1), net.peers(stranger)), (1, 1, 0));
    assert!(net.counted(0, Reason::OtherShredVersion) > 0);
}

#[test]
fn a_node_without_shred_version_learns_it_from_the_entrypoint() {
    let mut net = Net::new(2);
    let newcomer = net.join(0);
    net.run(8_000);
    assert!(net.nodes[newcomer].seen.contains(&Effect::ShredVersionLearned(SHRED_VERSION)));
    assert_eq!((net.peers(newcomer), net.peers(0)), (2, 2));
}

#[test]
fn bad_packets_are_counted_and_change_nothing() {
    let mut net = Net::new(2);
    net.run(4_000);
    let records = net.nodes[0].gossip.records();
    let stranger = Key(Keypair::new());
    let from = addr_of(7);
    let info = contact(&stranger, from, 1, SHRED_VERSION);
    let forged = Arc::new(CrdsValue::signed(CrdsData::ContactInfo(info.clone()), |_| Signature::default()));
    let lowest = tandem_wire::crds::LowestSlot { from: stranger.0.pubkey(), lowest: 1, wallclock: net.wall() };
    let lowest = Arc::new(CrdsValue::signed(CrdsData::LowestSlot(lowest), |bytes| stranger.0.sign_message(bytes)));
    let push = |value: &Arc<CrdsValue>| Protocol::PushMessage(stranger.0.pubkey(), vec![Arc::clone(value)]).encode();
    for (bytes, reason) in [
        (vec![1, 2, 3], Reason::Rejected(tandem_wire::Reject::Truncated("gossip message"))),
        (push(&forged), Reason::BadSignature),
        (push(&lowest), Reason::UnknownOrigin),
    ] {
        net.handle(0, Event::Packet { from, bytes });
        assert_eq!(net.counted(0, reason), 1, "{reason:?}");
    }
    // A contact info from an address that never answers is pinged, not believed.
    let mut fresh = info;
    fresh.wallclock = net.wall();
    let honest = Arc::new(CrdsValue::signed(CrdsData::ContactInfo(fresh), |bytes| stranger.0.sign_message(bytes)));
    let (sent, unverified) = (net.sent, net.counted(0, Reason::UnverifiedAddress));
    net.handle(0, Event::Packet { from, bytes: push(&honest) });
    assert_eq!((net.counted(0, Reason::UnverifiedAddress) - unverified, net.sent - sent), (1, 1));
    assert_eq!(net.nodes[0].gossip.records(), records);
    // Values of another time.
    let me = net.pubkey(1);
    let late = tandem_wire::crds::LowestSlot { from: me, lowest: 1, wallclock: UnixMillis(net.wall().0 - 20_000) };
    let late = Arc::new(CrdsValue::signed(CrdsData::LowestSlot(late), |bytes| net.nodes[1].key.0.sign_message(bytes)));
    net.handle(0, Event::Packet { from, bytes: push(&late) });
    assert_eq!(net.counted(0, Reason::WrongTime), 1);
}

/// Whatever a byte more or less does to a message: it is dropped, or it still means what its sender signed.
#[test]
fn damaged_packets_do_no_harm() {
    let mut net = Net::new(4);
    net.damage_percent = 50;
    net.stakes(&[(0, 10), (1, 10), (2, 10), (3, 10)]);
    for slot in 1..=200 {
        net.vote(slot as usize % 4, slot);
        net.handle(0, Event::Publish(Publication::EpochSlots(vec![slot])));
        net.run(100);
    }
    net.damage_percent = 0;
    net.run(10_000);
    for at in 0..4 {
        assert_eq!(net.peers(at), 3);
        let refused = |effect: &&Effect| matches!(effect, Effect::Counted(Reason::Rejected(_) | Reason::BadSignature));
        assert!(net.nodes[at].seen.iter().filter(refused).count() > 20);
        let voters: Vec<_> = (0..4).map(|at| net.pubkey(at)).collect();
        assert!(net.votes_seen(at).iter().all(|(from, slot)| voters.contains(from) && (1..=200).contains(slot)));
    }
}

#[test]
fn an_unstaked_origin_may_not_fill_the_table() {
    let mut net = Net::new(2);
    net.run(4_000);
    let (spammer, wallclock) = (net.pubkey(1), net.wall());
    let proof = DuplicateProof { shred1: vec![1], shred2: vec![2] };
    for index in 0..200 {
        let data = CrdsData::DuplicateShred(index, proof.chunks(spammer, wallclock, u64::from(index)).remove(0));
        let value = Arc::new(CrdsValue::signed(data, |bytes| net.nodes[1].key.0.sign_message(bytes)));
        let bytes = Protocol::PushMessage(spammer, vec![value]).encode();
        net.handle(0, Event::Packet { from: addr_of(1), bytes });
    }
    assert_eq!(net.nodes[0].gossip.table.count_of(&spammer), 64);
    assert!(net.counted(0, Reason::TableFull) > 100);
}

/// Quiet clusters must stay quiet: four nodes share two cores with everything else.
#[test]
fn an_idle_cluster_is_nearly_silent() {
    let mut net = Net::new(4);
    net.run(20_000);
    let (sent, bytes) = (net.sent, net.bytes);
    net.run(60_000);
    let (sent, bytes) = ((net.sent - sent) / 60, (net.bytes - bytes) / 60);
    assert!(sent < 4 * 15, "{sent} packets a second");
    assert!(bytes < 4 * 16_000, "{bytes} bytes a second");
}
