//! All interleavings, up to a bound, of two owners over a store that loses requests, loses replies and delivers late.
//!
//! Each node reads, claims, then votes and claims leader slots as long as it believes it may; a node can be "paused"
//! at every point simply because the other one takes all the steps. The oracles look at what was released: no slot is
//! voted for twice with different content, no leader slot is had twice, W never goes down, terms grow.

use {
    super::*,
    crate::{
        memory::Memory,
        records::{LogRecord, Nonce, Preference},
    },
    std::collections::{BTreeMap, HashSet, VecDeque},
    tandem_types::{Hash, Pubkey, UnixMillis},
};

const NODES: usize = 2;

/// What is done wrong on purpose, to show that the oracles see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mutant {
    None,
    /// A write without an answer is taken for done.
    FailOpen,
    /// A succeeded transaction is believed, and the owner is not compared.
    NoFence,
    /// A new owner starts its leader slots without regard to the watermark it finds.
    ForgetsWatermark,
}

#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful of them exist at a time")]
enum Doing {
    Nothing,
    Reading(InFlight<ReadAll>),
    Claiming(InFlight<Claim>),
    Voting { slot: u64, op: InFlight<RecordVote> },
    Leading { slot: u64, op: InFlight<ClaimLeaderSlot> },
    Releasing(InFlight<Release>),
    Stopped,
}

#[derive(Clone, Debug)]
struct Node {
    id: u8,
    knowledge: Knowledge,
    doing: Doing,
    held: Option<Held>,
    /// Last slot of the tower we hold.
    last_vote: u64,
    /// How much this node still wants to do, to keep the space finite.
    votes_left: u8,
    slots_left: u8,
    claims_left: u8,
    may_release: bool,
}

#[derive(Clone, Debug)]
struct World {
    store: Memory,
    nodes: Vec<Node>,
    /// Copies of transactions that may still arrive.
    late: VecDeque<Txn>,
    faults_left: u8,
    votes: BTreeMap<u64, u8>,
    slots: BTreeMap<u64, u8>,
    watermark: u64,
    term: u64,
    mutant: Mutant,
}

/// What the network does with one transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Network {
    Fine,
    NotSent,
    ReplyLost,
    Late,
}

fn keys() -> Keys {
    Keys::new(&Hash::default(), &Pubkey::default())
}

fn instance(id: u8) -> InstanceId {
    InstanceId([id; 16])
}

fn request(id: u8, view: &StoreView) -> ClaimRequest {
    ClaimRequest {
        owner_revision: view.owner_revision(),
        term_seen: view.term(),
        previous_host: None,
        instance: instance(id),
        host: format!("node{id}"),
        version: String::new(),
        standby_identity: String::new(),
        slot_at_claim: 0,
        preference: Preference::Primary,
        reason: String::new(),
        claimed_at: UnixMillis(0),
        lease: None,
        nonce: Nonce(id.into()),
        succession: None,
    }
}

fn tower(slot: u64, id: u8) -> Vec<u8> {
    format!("{slot}/{id}").into_bytes()
}

fn last_vote(tower: Option<&Versioned<Vec<u8>>>) -> u64 {
    let Some(tower) = tower else { return 0 };
    let text = String::from_utf8(tower.value.clone()).unwrap();
    text.split('/').next().unwrap().parse().unwrap()
}

impl Node {
    fn txn(&self) -> Option<&Txn> {
        match &self.doing {
            Doing::Nothing | Doing::Stopped => None,
            Doing::Reading(op) => Some(op.txn()),
            Doing::Claiming(op) => Some(op.txn()),
            Doing::Voting { op, .. } => Some(op.txn()),
            Doing::Leading { op, .. } => Some(op.txn()),
            Doing::Releasing(op) => Some(op.txn()),
        }
    }

    /// What the node could begin next, when it does nothing.
    fn beginnings(&self, mutant: Mutant) -> Vec<Node> {
        let Doing::Nothing = self.doing else { return vec![] };
        let mut next = Vec::new();
        let mut with = |change: &dyn Fn(&mut Node)| {
            let mut node = self.clone();
            change(&mut node);
            next.push(node);
        };
        let Some(held) = self.held else {
            if self.claims_left > 0 {
                with(&|node| {
                    node.claims_left -= 1;
                    node.doing = Doing::Reading(InFlight::new(ReadAll::new(&keys())));
                });
            }
            return next;
        };
        if self.votes_left > 0 {
            let slot = self.last_vote + 1;
            let op = RecordVote::new(&keys(), &held, tower(slot, self.id));
            with(&|node| {
                node.votes_left -= 1;
                node.doing = Doing::Voting { slot, op: InFlight::new(op.clone()) };
            });
        }
        if self.slots_left > 0 {
            let slot = held.watermark.unwrap_or(0) + 1;
            let mut from = held;
            if mutant == Mutant::ForgetsWatermark && self.slots_left == 1 {
                from.watermark = None;
            }
            let slot = if from.watermark.is_none() { 1 } else { slot };
            let op = ClaimLeaderSlot::new(&keys(), &from, slot, Nonce(self.id.into())).unwrap();
            with(&|node| {
                node.slots_left -= 1;
                node.doing = Doing::Leading { slot, op: InFlight::new(op.clone()) };
            });
        }
        if self.may_release {
            let view = StoreView::empty();
            let (owner, log) = records_of(&view, self.id, held.fence.term);
            let op = Release::new(&keys(), held.fence, &owner, &log);
            with(&|node| node.doing = Doing::Releasing(InFlight::new(op.clone())));
        }
        next
    }
}

fn records_of(view: &StoreView, id: u8, term: Term) -> (OwnerRecord, LogRecord) {
    let request = request(id, view);
    let owner = OwnerRecord {
        term,
        instance: request.instance,
        host: request.host.clone(),
        version: String::new(),
        standby_identity: String::new(),
        slot_at_claim: 0,
        released: false,
        lease: None,
        preference: Preference::Primary,
        claimed_at: UnixMillis(0),
        nonce: request.nonce,
        vote_account: None,
        moved_to: None,
    };
    let log = LogRecord {
        term,
        instance: request.instance,
        host: request.host,
        version: String::new(),
        reason: String::new(),
        slot_at_claim: 0,
        claimed_at: UnixMillis(0),
        released_at: None,
        last_vote_slot: None,
        watermark: None,
        previous_host: None,
    };
    (owner, log)
}

impl World {
    fn new(mutant: Mutant, faults: u8) -> Self {
        Self::shaped(mutant, faults, |_| {})
    }

    /// `shape` sets how much each node wants to do.
    fn shaped(mutant: Mutant, faults: u8, shape: impl Fn(&mut Node)) -> Self {
        let plain = |id: u8| Node {
            id,
            knowledge: Knowledge::default(),
            doing: Doing::Nothing,
            held: None,
            last_vote: 0,
            votes_left: if id == 1 { 2 } else { 1 },
            slots_left: 1,
            claims_left: 1,
            may_release: id == 1,
        };
        let node = |id: u8| {
            let mut node = plain(id);
            shape(&mut node);
            node
        };
        Self {
            store: Memory::new(1),
            nodes: (1..=NODES as u8).map(node).collect(),
            late: VecDeque::new(),
            faults_left: faults,
            votes: BTreeMap::new(),
            slots: BTreeMap::new(),
            watermark: 0,
            term: 0,
            mutant,
        }
    }

    fn apply(&mut self, txn: &Txn) -> TxnReply {
        let mut txn = txn.clone();
        if self.mutant == Mutant::NoFence && txn.compares.len() == 2 {
            txn.compares.remove(0);
        }
        let reply = self.store.apply(&txn);
        self.check_store();
        reply
    }

    /// W never goes down, terms never go down.
    fn check_store(&mut self) {
        let value = |key: String| self.store.entries.get(&key).map(|(value, _)| value.clone());
        if let Some(bytes) = value(keys().window()) {
            let watermark = WindowRecord::decode(&bytes).unwrap().watermark;
            assert!(watermark >= self.watermark, "ORACLE W went down");
            self.watermark = watermark;
        }
        if let Some(bytes) = value(keys().owner()) {
            let term = OwnerRecord::decode(&bytes).unwrap().term.0;
            assert!(term >= self.term, "ORACLE term went down");
            self.term = term;
        }
    }

    fn release_vote(&mut self, slot: u64, id: u8) {
        let before = *self.votes.entry(slot).or_insert(id);
        assert_eq!(before, id, "ORACLE two votes for slot {slot}");
        let newest = *self.votes.keys().next_back().unwrap();
        assert_eq!(newest, slot, "ORACLE a vote for {slot} was released after one for {newest}");
    }

    fn release_slot(&mut self, slot: u64, id: u8) {
        assert!(self.slots.insert(slot, id).is_none(), "ORACLE leader slot {slot} had twice");
    }

    /// Node `i` gets the answer to what it is doing.
    fn answer(&mut self, i: usize, answer: Result<TxnReply, KvError>) {
        let mutant = self.mutant;
        let node = &mut self.nodes[i];
        let id = node.id;
        let knowledge = &mut node.knowledge;
        let unknown = matches!(answer, Err(KvError::Unknown { .. }));
        match std::mem::replace(&mut node.doing, Doing::Nothing) {
            Doing::Nothing | Doing::Stopped => unreachable!("only a waiting node is answered"),
            Doing::Reading(mut op) => match op.handle(knowledge, answer).unwrap() {
                Step::Done(view) => {
                    node.doing = Doing::Claiming(InFlight::new(Claim::new(&keys(), request(id, &view))));
                }
                Step::Again(_) => node.doing = Doing::Reading(op),
            },
            Doing::Claiming(mut op) => match op.handle(knowledge, answer).unwrap() {
                Step::Done(ClaimOutcome::Claimed(claimed)) => {
                    node.last_vote = last_vote(claimed.tower.as_ref());
                    node.held = Some(claimed.held);
                }
                Step::Done(ClaimOutcome::Refused(_)) => {}
                Step::Again(_) => node.doing = Doing::Claiming(op),
            },
            Doing::Voting { slot, mut op } => {
                let done = match mutant {
                    Mutant::FailOpen if unknown => Ok(Step::Done(u64::MAX)),
                    Mutant::NoFence => match answer {
                        Ok(reply) if reply.succeeded => Ok(Step::Done(reply.revision)),
                        answer => op.handle(knowledge, answer),
                    },
                    Mutant::FailOpen | Mutant::ForgetsWatermark | Mutant::None => op.handle(knowledge, answer),
                };
                match done {
                    Ok(Step::Done(revision)) => {
                        node.held.as_mut().unwrap().tower_revision = revision;
                        node.last_vote = slot;
                        self.release_vote(slot, id);
                    }
                    Ok(Step::Again(_)) => node.doing = Doing::Voting { slot, op },
                    Err(fault) => lose(node, &fault),
                }
            }
            Doing::Leading { slot, mut op } => match op.handle(knowledge, answer) {
                Ok(Step::Done(revision)) => {
                    let held = node.held.as_mut().unwrap();
                    held.window_revision = revision;
                    held.watermark = Some(slot);
                    self.release_slot(slot, id);
                }
                Ok(Step::Again(_)) => node.doing = Doing::Leading { slot, op },
                Err(fault) => lose(node, &fault),
            },
            Doing::Releasing(mut op) => match op.handle(knowledge, answer) {
                Ok(Step::Done(())) => {
                    node.held = None;
                    node.may_release = false;
                }
                Ok(Step::Again(_)) => node.doing = Doing::Releasing(op),
                Err(fault) => lose(node, &fault),
            },
        }
    }

    fn successors(&self) -> Vec<World> {
        let mut next = Vec::new();
        for i in 0..NODES {
            for begun in self.nodes[i].beginnings(self.mutant) {
                let mut world = self.clone();
                world.nodes[i] = begun;
                next.push(world);
            }
            let Some(txn) = self.nodes[i].txn() else { continue };
            for network in [Network::Fine, Network::NotSent, Network::ReplyLost, Network::Late] {
                if network != Network::Fine && self.faults_left == 0 {
                    continue;
                }
                let mut world = self.clone();
                let unknown = KvError::Unknown { endpoint: String::new(), reason: String::new() };
                let answer = match network {
                    Network::Fine => Ok(world.apply(txn)),
                    Network::NotSent => Err(KvError::Unavailable { endpoint: String::new(), reason: String::new() }),
                    Network::ReplyLost => {
                        world.apply(txn);
                        Err(unknown)
                    }
                    Network::Late => {
                        world.late.push_back(txn.clone());
                        Err(unknown)
                    }
                };
                world.faults_left -= u8::from(network != Network::Fine);
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

/// A fenced node stops. A quarantined one too: in these worlds nobody tampers, so that must not happen.
fn lose(node: &mut Node, fault: &Fault) {
    assert!(matches!(fault, Fault::Fenced { .. }), "ORACLE nobody tampers here: {fault}");
    node.held = None;
    node.doing = Doing::Stopped;
}

/// Visits every reachable world once; returns how many there were.
fn explore(start: World) -> usize {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(world) = open.pop() {
        for next in world.successors() {
            if seen.insert(fingerprint(&next)) {
                open.push(next);
            }
        }
    }
    seen.len()
}

fn fingerprint(world: &World) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{world:?}").hash(&mut hasher);
    hasher.finish()
}

#[test]
fn no_interleaving_breaks_the_promises() {
    let worlds = explore(World::new(Mutant::None, 1));
    assert!(worlds > 10_000, "only {worlds} worlds: the space is smaller than it should be");
}

/// Each node claims, may lose the identity, and claims again: copies of its own first life are on their way in its second.
#[test]
fn no_interleaving_of_two_lives_breaks_the_promises() {
    let worlds = explore(World::shaped(Mutant::None, 2, |node| {
        (node.votes_left, node.slots_left, node.claims_left) = (u8::from(node.id == 1) + 1, 0, 2);
        node.may_release = node.id == 1;
        if node.id == 2 {
            node.claims_left = 1;
        }
    }));
    assert!(worlds > 10_000, "only {worlds} worlds: the space is smaller than it should be");
}

/// Leader slots alone, several of them: a late copy of the first must not take the watermark back from the second.
#[test]
fn no_late_copy_takes_the_watermark_back() {
    explore(World::shaped(Mutant::None, 2, |node| {
        (node.votes_left, node.slots_left, node.may_release) = (0, 2, false);
    }));
}

fn is_seen(mutant: Mutant) {
    must_be_seen(|| explore(World::new(mutant, 1)));
}

/// An oracle, and nothing else, ends the exploration of a world with a planted bug.
pub(super) fn must_be_seen<T: std::fmt::Debug>(exploration: impl FnOnce() -> T + std::panic::UnwindSafe) {
    let seen = std::panic::catch_unwind(exploration).expect_err("the oracles must see this mutant");
    let text = seen.downcast_ref::<String>().cloned().or_else(|| seen.downcast_ref::<&str>().map(|s| (*s).to_string()));
    assert!(text.as_deref().is_some_and(|text| text.contains("ORACLE")), "{text:?}");
}

#[test]
fn oracles_see_a_store_client_that_fails_open() {
    is_seen(Mutant::FailOpen);
}

#[test]
fn oracles_see_a_missing_fence() {
    is_seen(Mutant::NoFence);
}

#[test]
fn oracles_see_a_forgotten_watermark() {
    is_seen(Mutant::ForgetsWatermark);
}

/// A pause past the takeover: the old owner wakes up and can do nothing.
#[test]
fn a_paused_owner_wakes_up_fenced() {
    let mut world = World::new(Mutant::None, 0);
    let claim = |world: &mut World, i: usize| {
        world.nodes[i].doing = Doing::Reading(InFlight::new(ReadAll::new(&keys())));
        for _ in 0..2 {
            let txn = world.nodes[i].txn().unwrap().clone();
            let reply = world.apply(&txn);
            world.answer(i, Ok(reply));
        }
    };
    claim(&mut world, 0);
    let old = world.nodes[0].held.unwrap();
    assert_eq!(old.fence.term, Term(1));
    claim(&mut world, 1);
    assert_eq!(world.nodes[1].held.unwrap().fence.term, Term(2));

    let mut knowledge = Knowledge::default();
    let vote = RecordVote::new(&keys(), &old, tower(1, 1));
    let reply = world.apply(vote.txn());
    let fault = InFlight::new(vote).handle(&mut knowledge, Ok(reply)).expect_err("fenced");
    assert!(fault.to_string().contains("term 2 belongs to node2"), "{fault}");

    let slot = ClaimLeaderSlot::new(&keys(), &old, 5, Nonce(1)).unwrap();
    let reply = world.apply(slot.txn());
    assert!(matches!(InFlight::new(slot).handle(&mut knowledge, Ok(reply)), Err(Fault::Fenced { .. })));
    assert!(!world.store.entries.contains_key(&keys().tower()) && !world.store.entries.contains_key(&keys().window()));

    // The new owner is at W = 9: neither that slot nor an older one can be asked for again.
    let held = Held { watermark: Some(9), ..world.nodes[1].held.unwrap() };
    assert!(
        ClaimLeaderSlot::new(&keys(), &held, 9, Nonce(2)).is_none()
            && ClaimLeaderSlot::new(&keys(), &held, 8, Nonce(2)).is_none()
    );
    assert!(ClaimLeaderSlot::new(&keys(), &held, 10, Nonce(2)).is_some());
}

/// etcd restored from a backup, then written on until the revisions match by chance: the owner read inside the write
/// is somebody else's, and the vote is not released.
#[test]
fn revisions_reused_by_a_restored_store_do_not_pass_for_ours() {
    let mut world = World::new(Mutant::None, 0);
    let view = StoreView::empty();
    let backup = world.store.clone();
    let claim = |world: &mut World, id: u8| {
        let claim = Claim::new(&keys(), request(id, &view));
        let reply = world.apply(claim.txn());
        match claim.interpret(&reply).unwrap() {
            ClaimOutcome::Claimed(claimed) => claimed.held,
            ClaimOutcome::Refused(view) => panic!("{view:?}"),
        }
    };
    let ours = claim(&mut world, 1);
    world.store = backup;
    let theirs = claim(&mut world, 2);
    assert_eq!(ours.fence.owner_revision, theirs.fence.owner_revision, "the premise: revisions match by chance");
    let vote = RecordVote::new(&keys(), &ours, tower(1, 1));
    let reply = world.apply(vote.txn());
    assert!(reply.succeeded, "the compare alone does not see it");
    let fault = InFlight::new(vote).handle(&mut Knowledge::default(), Ok(reply)).expect_err("not ours");
    assert!(matches!(fault, Fault::Fenced { owner: Some(owner) } if owner.instance == instance(2)));
}

#[test]
fn a_foreign_tower_under_our_own_claim_is_quarantined() {
    let mut world = World::new(Mutant::None, 0);
    let view = StoreView::empty();
    let claim = Claim::new(&keys(), request(1, &view));
    let reply = world.apply(claim.txn());
    let ClaimOutcome::Claimed(claimed) = claim.interpret(&reply).unwrap() else { panic!("the store was empty") };
    world.apply(&Txn { then: vec![Op::Put { key: keys().tower(), value: b"by hand".to_vec() }], ..Txn::default() });
    let vote = RecordVote::new(&keys(), &claimed.held, tower(1, 1));
    let reply = world.apply(vote.txn());
    let fault = InFlight::new(vote).handle(&mut Knowledge::default(), Ok(reply)).expect_err("not what we wrote");
    assert!(matches!(fault, Fault::Quarantined(Quarantine::ForeignWrite { key: "tower", .. })), "{fault}");
}

#[test]
fn a_refused_claim_changes_nothing_and_tells_who_won() {
    let mut world = World::new(Mutant::None, 0);
    let view = StoreView::empty();
    let first = Claim::new(&keys(), request(1, &view));
    let second = Claim::new(&keys(), request(2, &view));
    world.apply(first.txn());
    let before = world.store.clone();
    let reply = world.apply(second.txn());
    let ClaimOutcome::Refused(now) = second.interpret(&reply).unwrap() else { panic!("the second claim lost") };
    assert_eq!(now.owner.unwrap().value.host, "node1");
    assert_eq!(world.store, before);
}

#[test]
fn intents_are_for_the_owner_that_was_read() {
    let mut world = World::new(Mutant::None, 0);
    let view = StoreView::empty();
    let claim = Claim::new(&keys(), request(1, &view));
    let reply = world.apply(claim.txn());
    let intent = IntentRecord {
        from: "node1".into(),
        to: "node2".into(),
        instance: instance(2),
        deadline_ms: 2000,
        reason: "operator".into(),
        term_seen: Term(1),
    };
    let stale = WriteIntent::new(&keys(), 0, intent.clone());
    let answer = world.apply(stale.txn());
    assert!(matches!(stale.interpret(&answer).unwrap(), IntentOutcome::OwnerChanged(view) if view.term() == Term(1)));
    let fresh = WriteIntent::new(&keys(), reply.revision, intent.clone());
    let answer = world.apply(fresh.txn());
    assert_eq!(fresh.interpret(&answer).unwrap(), IntentOutcome::Written);
    let read = ReadAll::new(&keys());
    let answer = world.apply(read.txn());
    assert_eq!(read.interpret(&answer).unwrap().intent.unwrap().value, intent);
}
