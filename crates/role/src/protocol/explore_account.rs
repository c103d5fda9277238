//! All interleavings, up to a bound, of machines that speak for one vote account under different identities, over a store that loses
//! replies and delivers late: what `explore.rs` does for one identity.
//!
//! Each machine looks, claims under its own identity, and votes as long as it believes it may. The oracle looks at what was released for
//! the account: one vote a slot, each newer than the one before, whoever cast it.

use {
    super::{explore::must_be_seen, *},
    crate::{
        memory::Memory,
        records::{Nonce, Preference},
    },
    std::collections::{BTreeMap, HashSet, VecDeque},
    tandem_types::{Hash, UnixMillis},
};

/// What is done wrong on purpose, to show that the oracle sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutant {
    None,
    /// A record compares the tower alone, and success is believed.
    NoFence,
    /// A claim fences the other identity and does not take its tower over.
    OwnTower,
    /// A claim takes over the tower that was read, whatever was written since.
    TowerNotCompared,
    /// A claim writes the account's record, compared by nobody, and leaves the other identity's owner alone.
    OwnerLeft,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist at a time")]
enum Doing {
    Nothing,
    Looking(InFlight<ReadAll>),
    Claiming(InFlight<Claim>),
    Voting { slot: u64, op: InFlight<RecordVote> },
    Stopped,
}

#[derive(Clone, Debug)]
struct Node {
    id: u8,
    identity: Pubkey,
    keys: Keys,
    knowledge: Knowledge,
    doing: Doing,
    held: Option<Held>,
    last_vote: u64,
    votes_left: u8,
    claims_left: u8,
}

#[derive(Clone, Debug)]
struct World {
    store: Memory,
    nodes: Vec<Node>,
    late: VecDeque<Txn>,
    faults_left: u8,
    votes: BTreeMap<u64, u8>,
    term: Term,
    mutant: Mutant,
}

fn identity(letter: u8) -> Pubkey {
    Pubkey::new_from_array([letter; 32])
}

fn account() -> Pubkey {
    Pubkey::new_from_array([7; 32])
}

fn last_vote(tower: Option<&Versioned<Vec<u8>>>) -> u64 {
    tower.map_or(0, |tower| String::from_utf8_lossy(&tower.value).split('/').next().unwrap().parse().unwrap())
}

impl Node {
    fn new(id: u8, letter: u8, claims_left: u8, votes_left: u8) -> Self {
        let identity = identity(letter);
        Self {
            id,
            identity,
            keys: Keys::new(&Hash::default(), &identity).for_account(&account()),
            knowledge: Knowledge::default(),
            doing: Doing::Nothing,
            held: None,
            last_vote: 0,
            votes_left,
            claims_left,
        }
    }

    fn txn(&self) -> Option<&Txn> {
        match &self.doing {
            Doing::Nothing | Doing::Stopped => None,
            Doing::Looking(op) => Some(op.txn()),
            Doing::Claiming(op) => Some(op.txn()),
            Doing::Voting { op, .. } => Some(op.txn()),
        }
    }

    fn look(&mut self) {
        self.doing = Doing::Looking(InFlight::new(ReadAll::new(&self.keys)));
    }

    fn begin(&self) -> Option<Self> {
        let mut node = self.clone();
        match (&self.doing, self.held) {
            (Doing::Nothing, None) if self.claims_left > 0 => {
                node.claims_left -= 1;
                node.look();
            }
            (Doing::Nothing, Some(held)) if self.votes_left > 0 => {
                node.votes_left -= 1;
                let slot = self.last_vote + 1;
                let tower = format!("{slot}/{}", self.id).into_bytes();
                node.doing = Doing::Voting { slot, op: InFlight::new(RecordVote::new(&self.keys, &held, tower)) };
            }
            _ => return None,
        }
        Some(node)
    }

    fn looked(&mut self, view: &StoreView, mutant: Mutant) {
        let named = view.account.as_ref().map(|account| account.value.identity).filter(|named| *named != self.identity);
        let shown = view.before.as_ref().map(|before| before.identity);
        self.keys = self.keys.clone().after(named);
        if named != shown {
            return self.look();
        }
        let mut taken = view.before.as_ref().and_then(|before| Some((before.tower.clone()?.value, before.identity)));
        if mutant == Mutant::OwnTower {
            taken = None;
        }
        let succession = match taken {
            Some((tower, signed_by)) => Succession::inherits(view, self.identity, tower, signed_by),
            None => Succession::own(view, self.identity, None),
        };
        let request = ClaimRequest {
            owner_revision: view.owner_revision(),
            term_seen: view.term(),
            previous_host: None,
            instance: InstanceId([self.id; 16]),
            host: format!("node{}", self.id),
            version: String::new(),
            standby_identity: String::new(),
            slot_at_claim: 0,
            preference: Preference::Primary,
            reason: String::new(),
            claimed_at: UnixMillis(0),
            lease: None,
            nonce: Nonce(u64::from(self.id) << 8 | u64::from(self.claims_left)),
            succession: Some(succession),
        };
        self.doing = Doing::Claiming(InFlight::new(Claim::new(&self.keys, request)));
    }
}

impl World {
    fn new(mutant: Mutant, faults: u8, nodes: Vec<Node>) -> Self {
        let (votes, late) = (BTreeMap::new(), VecDeque::new());
        Self { store: Memory::new(1), nodes, late, faults_left: faults, votes, term: Term(0), mutant }
    }

    fn apply(&mut self, txn: &Txn) -> TxnReply {
        let mut txn = txn.clone();
        let is_claim = txn.then.iter().any(|op| matches!(op, Op::Put { key, .. } if key.contains("/account/")));
        let writes_tower = txn.then.iter().any(|op| matches!(op, Op::Put { key, .. } if key.ends_with("/tower")));
        match self.mutant {
            Mutant::NoFence if writes_tower && !is_claim => {
                txn.compares.retain(|compare| compare.key.ends_with("/tower"));
            }
            Mutant::TowerNotCompared if is_claim => txn.compares.retain(|compare| !compare.key.ends_with("/tower")),
            Mutant::OwnerLeft if is_claim => {
                let owners =
                    txn.then.iter().filter(|op| matches!(op, Op::Put { key, .. } if key.ends_with("/owner"))).count();
                let mut seen = 0;
                txn.then.iter_mut().for_each(|op| {
                    let Op::Put { key, .. } = op else { return };
                    if key.ends_with("/owner") {
                        seen += 1;
                        if seen == 2 && owners == 2 {
                            *op = Op::Get { key: key.clone() };
                        }
                    }
                });
            }
            Mutant::OwnerLeft if writes_tower => txn.compares.retain(|compare| !compare.key.contains("/account/")),
            Mutant::None | Mutant::NoFence | Mutant::OwnTower | Mutant::TowerNotCompared | Mutant::OwnerLeft => {}
        }
        let reply = self.store.apply(&txn);
        if is_claim && reply.succeeded {
            let name = Keys::new(&Hash::default(), &identity(1)).for_account(&account()).account().unwrap().1;
            let record = AccountRecord::decode(&self.store.entries[&name].0).unwrap();
            assert!(record.term > self.term, "ORACLE the account's term did not grow");
            self.term = record.term;
        }
        reply
    }

    fn release(&mut self, slot: u64, id: u8) {
        let before = *self.votes.entry(slot).or_insert(id);
        assert_eq!(before, id, "ORACLE two votes for slot {slot}");
        let newest = *self.votes.keys().next_back().unwrap();
        assert_eq!(newest, slot, "ORACLE a vote for {slot} was released after one for {newest}");
    }

    fn answer(&mut self, i: usize, answer: Result<TxnReply, KvError>) {
        let mutant = self.mutant;
        let node = &mut self.nodes[i];
        let id = node.id;
        let knowledge = &mut node.knowledge;
        match std::mem::replace(&mut node.doing, Doing::Nothing) {
            Doing::Nothing | Doing::Stopped => unreachable!("only a waiting node is answered"),
            Doing::Looking(mut op) => match op.handle(knowledge, answer).unwrap() {
                Step::Done(view) => node.looked(&view, mutant),
                Step::Again(_) => node.doing = Doing::Looking(op),
            },
            Doing::Claiming(mut op) => match op.handle(knowledge, answer).unwrap() {
                Step::Done(ClaimOutcome::Claimed(claimed)) => {
                    node.last_vote = last_vote(claimed.tower.as_ref());
                    node.held = Some(claimed.held);
                    node.keys = node.keys.clone().after(None);
                }
                Step::Done(ClaimOutcome::Refused(_)) => {}
                Step::Again(_) => node.doing = Doing::Claiming(op),
            },
            Doing::Voting { slot, mut op } => {
                let done = match answer {
                    Ok(reply) if mutant == Mutant::NoFence && reply.succeeded => Ok(Step::Done(reply.revision)),
                    answer => op.handle(knowledge, answer),
                };
                match done {
                    Ok(Step::Done(revision)) => {
                        node.held.as_mut().unwrap().tower_revision = revision;
                        node.last_vote = slot;
                        self.release(slot, id);
                    }
                    Ok(Step::Again(_)) => node.doing = Doing::Voting { slot, op },
                    Err(fault) => {
                        assert!(matches!(fault, Fault::Fenced { .. }), "ORACLE nobody tampers here: {fault}");
                        node.held = None;
                        // It may look again, as a process that was started anew.
                        node.doing = if node.claims_left > 0 { Doing::Nothing } else { Doing::Stopped };
                    }
                }
            }
        }
    }

    fn successors(&self) -> Vec<World> {
        let mut next = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if let Some(begun) = node.begin() {
                let mut world = self.clone();
                world.nodes[i] = begun;
                next.push(world);
            }
            let Some(txn) = node.txn() else { continue };
            // Fine, the reply lost, or late. A look that is lost is asked for again, and nothing else.
            let is_look = matches!(node.doing, Doing::Looking(_));
            let faults = if is_look || self.faults_left == 0 { 0 } else { 2 };
            for fault in 0..=faults {
                let mut world = self.clone();
                world.faults_left -= u8::from(fault > 0);
                let unknown = KvError::Unknown { endpoint: String::new(), reason: String::new() };
                let answer = match fault {
                    0 => Ok(world.apply(txn)),
                    1 => {
                        world.apply(txn);
                        Err(unknown)
                    }
                    _ => {
                        world.late.push_back(txn.clone());
                        Err(unknown)
                    }
                };
                world.answer(i, answer);
                next.push(world);
            }
        }
        for i in 0..self.late.len() {
            let mut world = self.clone();
            let txn = world.late.remove(i).unwrap();
            world.apply(&txn);
            next.push(world);
        }
        next
    }
}

fn explore(start: World) -> usize {
    use std::hash::{DefaultHasher, Hash as _, Hasher};
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        for next in world.successors() {
            let mut hasher = DefaultHasher::new();
            format!("{next:?}").hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

/// A votes, B takes the account over, whatever the network does; A may come back and take it again.
fn rotation() -> Vec<Node> {
    vec![Node::new(1, 1, 2, 2), Node::new(2, 2, 1, 2)]
}

#[test]
fn no_interleaving_lets_two_identities_contradict_each_other_on_one_account() {
    let worlds = explore(World::new(Mutant::None, 2, rotation()));
    assert!(worlds > 5_000, "only {worlds} worlds: the space is smaller than it should be");
}

/// Three identities in turn, the second of which may end without a vote of its own: its tower is still the first one's.
#[test]
fn no_interleaving_loses_a_tower_that_was_handed_on_unused() {
    let nodes = vec![Node::new(1, 1, 1, 1), Node::new(2, 2, 1, 1), Node::new(3, 3, 1, 1)];
    let worlds = explore(World::new(Mutant::None, 1, nodes));
    assert!(worlds > 5_000, "only {worlds} worlds: the space is smaller than it should be");
}

/// Two machines of A, and one of B.
#[test]
fn no_interleaving_of_a_pair_and_a_new_identity_breaks_the_promises() {
    let nodes = vec![Node::new(1, 1, 1, 2), Node::new(2, 1, 1, 1), Node::new(3, 2, 1, 1)];
    let worlds = explore(World::new(Mutant::None, 1, nodes));
    assert!(worlds > 5_000, "only {worlds} worlds: the space is smaller than it should be");
}

fn is_seen(mutant: Mutant) {
    must_be_seen(|| explore(World::new(mutant, 1, rotation())));
}

#[test]
fn the_oracle_sees_a_record_that_compares_no_owner_and_no_account() {
    is_seen(Mutant::NoFence);
}

#[test]
fn the_oracle_sees_a_claim_that_leaves_the_other_identitys_tower() {
    is_seen(Mutant::OwnTower);
}

#[test]
fn the_oracle_sees_a_claim_that_takes_over_what_has_changed_since() {
    is_seen(Mutant::TowerNotCompared);
}

#[test]
fn the_oracle_sees_a_claim_that_does_not_fence_the_other_identity() {
    is_seen(Mutant::OwnerLeft);
}
