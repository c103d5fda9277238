//! The scheduler: one queue of events in true time, each node's clock derived from it, every message and every answer on
//! its way for a while. Nothing happens but by an event, and all chance comes from the seed.

use {
    crate::{
        chain::Chain,
        etcd::{self, Etcd},
        fiber::{Answer, Ask, Out},
        node::{self, Cut, FiberState, Host, Life},
        oracle::Oracle,
        profile::Profile,
        rng::Rng,
        wire::{ProducerInput, PromiseInput, RoleInput, VoteInput},
    },
    std::{
        cmp::Ordering,
        collections::{BTreeMap, BinaryHeap},
        time::Duration,
    },
    tandem_role::kv::{KvError, Op, Txn, TxnReply, WatchEvent},
    tandem_types::{BlockKey, Hash, Pubkey, Signer, Slot},
    tandem_vote::TowerState,
};

/// Nanoseconds of true time since the world began.
pub type Time = u64;

pub const MS: Time = 1_000_000;
pub const SECOND: Time = 1_000 * MS;
pub const SLOT: Time = 400 * MS;

#[derive(Debug)]
pub enum Event {
    /// Something for one life of one node; void when that life is over.
    Node {
        node: usize,
        life: u64,
        what: What,
    },
    /// A request reaches the store, though its sender may have given up or died.
    Arrives {
        node: usize,
        life: u64,
        call: u64,
        txn: Box<Txn>,
    },
    /// The slot begins.
    Slot(Slot),
    VoteAtCluster(BlockKey, Box<TowerState>),
    Boot {
        node: usize,
    },
    Continue {
        node: usize,
    },
    EtcdLink {
        node: usize,
    },
    ClusterLink {
        node: usize,
    },
    GossipLink,
    Space,
    Calm,
    Chaos,
    Operator,
    Backup,
    Lease,
    Heal,
    Monitor,
}

#[derive(Debug)]
pub enum What {
    Role(RoleInput),
    Vote(VoteInput),
    Producer(ProducerInput),
    Promise(PromiseInput),
    Answer { call: u64, answer: Result<TxnReply, KvError> },
    Go { call: u64 },
    Look,
    RoleTimer,
    VoteTimer,
    Watch(WatchEvent),
    Block(usize),
    SetIdentity { contested: bool, require_tower: bool },
    Shutdown,
    ClaimAhead(Slot),
    Lead(Slot),
    LeadSet { slot: Slot, set: u32 },
    Beat,
}

struct Queued {
    at: Time,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    /// The heap gives the greatest first: the earliest, and of one moment the first that was put in.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub struct World {
    pub now: Time,
    queue: BinaryHeap<Queued>,
    order: u64,
    pub rng: Rng,
    pub profile: Profile,
    pub hosts: Vec<Host>,
    pub etcd: Etcd,
    pub chain: Chain,
    pub oracle: Oracle,
    pub identity: Pubkey,
    pub counts: BTreeMap<&'static str, u64>,
    /// Faults are over.
    pub healed_at: Option<Time>,
    pub gossip_cut: bool,
    /// Replies are lost, requests late, watches lossy, until `Calm`.
    pub storm: bool,
    pub done: bool,
    pub votes_at_heal: usize,
    next_call: u64,
    last_post: Vec<Time>,
    hash: u64,
    pub log: Option<Vec<String>>,
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut rng = Rng::new(seed);
        let profile = Profile::draw(&mut rng);
        let identity = node::identity_key().pubkey();
        let hosts: Vec<Host> = profile.specs.iter().map(|spec| Host::new(spec.clone())).collect();
        let count = hosts.len();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            chain: Chain::new(profile.history, profile.lawless),
            etcd: Etcd::new(1 + rng.below(1000)),
            oracle: Oracle::new(&Hash::default(), &identity, count),
            identity,
            rng,
            profile,
            hosts,
            counts: BTreeMap::new(),
            healed_at: None,
            gossip_cut: false,
            storm: false,
            done: false,
            votes_at_heal: 0,
            next_call: 0,
            last_post: vec![0; count],
            hash: 0xcbf2_9ce4_8422_2325,
            log: verbose.then(Vec::new),
        };
        for node in 0..count {
            let at = world.rng.below(3 * SECOND);
            world.at(at, Event::Boot { node });
        }
        world.at(SLOT, Event::Slot(crate::chain::ROOT_SLOT + 1));
        world.at(2 * SECOND, Event::Chaos);
        world.at(3 * SECOND, Event::Operator);
        world.at(SECOND, Event::Lease);
        world.at(world.profile.fault_span, Event::Heal);
        world
    }

    /// Runs to the end, or to the first finding.
    pub fn run(&mut self) {
        while !self.done && self.oracle.found.is_empty() {
            let Some(Queued { at, event, .. }) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.take(event);
        }
        self.oracle.judge(self.now);
        let blocks = self.oracle.slots_led.len() as u64;
        *self.counts.entry("own blocks").or_default() += blocks;
        *self.counts.entry("forks").or_default() += self.chain.forks;
        *self.counts.entry("reorgs").or_default() += self.chain.reorgs;
    }

    pub fn fingerprint(&self) -> u64 {
        self.hash
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Into the trace: its hash is what "same seed, same history" is checked by.
    pub fn note(&mut self, node: usize, what: &str, number: u64) {
        let mut hash = self.hash;
        let numbers = [self.now, node as u64, number];
        for byte in what.bytes().chain(numbers.iter().flat_map(|number| number.to_le_bytes())) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.hash = hash;
        let millis = self.now as f64 / MS as f64;
        if let Some(log) = &mut self.log {
            log.push(format!("{millis:11.3} node {node} {what} {number}"));
        }
    }

    pub fn at(&mut self, at: Time, event: Event) {
        self.order += 1;
        self.queue.push(Queued { at, order: self.order, event });
    }

    pub fn after(&mut self, span: Time, event: Event) {
        self.at(self.now + span, event);
    }

    /// For the present life of a node.
    pub fn node_after(&mut self, span: Time, node: usize, what: What) {
        let life = self.hosts[node].lives;
        self.after(span, Event::Node { node, life, what });
    }

    /// From one stage of a node to another: soon, and in order.
    pub fn post(&mut self, node: usize, what: What) {
        let mut delay = self.rng.between(5_000, 120_000);
        if self.rng.permille(3) {
            delay += self.rng.below(30 * MS);
        }
        let at = (self.now + delay).max(self.last_post[node]);
        self.last_post[node] = at;
        let life = self.hosts[node].lives;
        self.at(at, Event::Node { node, life, what });
    }

    pub fn life(&mut self, node: usize) -> Option<&mut Life> {
        self.hosts[node].life.as_mut()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Node { node, life, what } => {
                if self.hosts[node].stopped_until.is_some() {
                    self.hosts[node].deferred.push(Event::Node { node, life, what });
                } else if self.hosts[node].lives == life && self.hosts[node].life.is_some() {
                    self.step(node, what);
                }
            }
            Event::Arrives { node, life, call, txn } => self.arrives(node, life, call, txn),
            Event::Slot(slot) => self.slot(slot),
            Event::VoteAtCluster(key, tower) => {
                self.chain.take_vote(key, *tower);
                self.gossip(None, key);
            }
            Event::Boot { node } => self.boot(node),
            Event::Continue { node } => self.carry_on(node),
            Event::EtcdLink { node } => {
                self.hosts[node].etcd_cut = None;
                self.gap(node);
            }
            Event::ClusterLink { node } => self.hosts[node].cluster_cut = false,
            Event::GossipLink => self.gossip_cut = false,
            Event::Space => self.etcd.no_space = false,
            Event::Calm => self.storm = false,
            Event::Chaos => self.chaos(),
            Event::Operator => self.operator(),
            Event::Backup => self.backup(),
            Event::Lease => {
                self.after(SECOND, Event::Lease);
                if let Some(event) = self.etcd.expire(self.now) {
                    self.watched(event);
                }
            }
            Event::Heal => self.heal(),
            Event::Monitor => self.monitor(),
        }
    }

    fn step(&mut self, node: usize, what: What) {
        match what {
            What::Role(input) => self.role_take(node, input),
            What::Vote(input) => self.vote_take(node, input),
            What::Producer(input) => self.producer_take(node, input),
            What::Promise(input) => {
                let Some(life) = self.life(node) else { return };
                life.inbox.push_back(input);
                if life.fiber == FiberState::Idle
                    && let Some(input) = life.inbox.pop_front()
                {
                    self.drive(node, Answer::Input(input));
                }
            }
            What::Answer { call, answer } => {
                if self.hosts[node].life.as_ref().is_some_and(|life| life.fiber == FiberState::Waiting(call)) {
                    self.learn_from(node, &answer);
                    if matches!(answer, Err(KvError::Unknown { .. })) {
                        self.count("unresolved answers");
                    }
                    self.drive(node, Answer::Txn(answer));
                }
            }
            What::Go { call } => {
                if self.hosts[node].life.as_ref().is_some_and(|life| life.fiber == FiberState::Waiting(call)) {
                    self.drive(node, Answer::Go);
                }
            }
            What::Look => self.look(node),
            What::RoleTimer => self.role_timer(node),
            What::VoteTimer => self.vote_timer(node),
            What::Watch(event) => self.watch_event(node, event),
            What::Block(block) => self.block_arrives(node, block),
            What::SetIdentity { contested, require_tower } => self.set_identity(node, contested, require_tower),
            What::Shutdown => self.role_handle(node, tandem_role::event::Event::Shutdown),
            What::ClaimAhead(slot) => self.claim_ahead(node, slot),
            What::Lead(slot) => self.lead(node, slot),
            What::LeadSet { slot, set } => self.lead_set(node, slot, set),
            What::Beat => self.beat(node),
        }
    }

    // The promise stage's fiber.

    /// Runs a node's fiber with an answer until it waits for something again.
    pub fn drive(&mut self, node: usize, answer: Answer) {
        let mut answer = answer;
        loop {
            let (now, skew) = (self.now, self.hosts[node].wall_skew_ms);
            let Some(life) = self.life(node) else { return };
            let Some(mut fiber) = life.promise.take() else { return };
            let (ask, outs) = fiber.resume(node::pace(life.tick(now)), node::wall(now, skew), answer);
            life.promise = Some(fiber);
            for out in outs {
                self.fiber_said(node, out);
            }
            let call = self.next_call + 1;
            match ask {
                Ask::Input => {
                    let Some(life) = self.life(node) else { return };
                    life.fiber = FiberState::Idle;
                    let Some(input) = life.inbox.pop_front() else { return };
                    answer = Answer::Input(input);
                    continue;
                }
                Ask::Txn { txn, deadline } => {
                    let Some(life) = self.life(node) else { return };
                    // A beat or a watchdog's look: nothing is decided by its answer, so it is not what I6 is about.
                    life.seen.errand =
                        txn.then.iter().any(|op| matches!(op, Op::PutLeased { .. } | Op::GetPrefix { .. }));
                    self.call(node, txn, deadline);
                }
                Ask::Pause(span) => {
                    self.wait(node);
                    let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
                    self.node_after(span, node, What::Go { call });
                }
                Ask::Point(name) => {
                    if let Some(delay) = self.sharp(node, name) {
                        self.wait(node);
                        self.node_after(delay, node, What::Go { call });
                    } else if self.hosts[node].life.is_some() {
                        answer = Answer::Go;
                        continue;
                    }
                }
                Ask::Ended => {
                    if let Some(life) = self.life(node) {
                        life.fiber = FiberState::Dead;
                    }
                }
            }
            return;
        }
    }

    fn wait(&mut self, node: usize) -> u64 {
        self.next_call += 1;
        let call = self.next_call;
        if let Some(life) = self.life(node) {
            life.fiber = FiberState::Waiting(call);
        }
        call
    }

    fn fiber_said(&mut self, node: usize, out: Out) {
        match out {
            Out::Role(input) => self.post(node, What::Role(input)),
            Out::Vote(input) => self.post(node, What::Vote(input)),
            Out::SlotClaimed(claim) => self.post(node, What::Producer(ProducerInput::Claimed(claim))),
            Out::SlotRefused => self.post(node, What::Producer(ProducerInput::Refused)),
            Out::Release(vote) => self.release_vote(node, &vote),
            Out::Broken(what) => self.oracle.violate("assertions agree", format!("node {node}: {what}")),
        }
    }

    // The way to the store and back.

    fn call(&mut self, node: usize, txn: Txn, deadline: Duration) {
        let call = self.wait(node);
        let life = self.hosts[node].lives;
        let deadline = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        let unknown = KvError::Unknown { endpoint: "etcd".into(), reason: "deadline".into() };
        self.node_after(deadline, node, What::Answer { call, answer: Err(unknown) });
        let mut delay = self.rng.between(200_000, 3 * MS);
        match self.hosts[node].etcd_cut {
            Some(Cut::Refused) => {
                let answer = Err(KvError::Unavailable { endpoint: "etcd".into(), reason: "refused".into() });
                self.node_after(MS, node, What::Answer { call, answer });
                return;
            }
            Some(Cut::RequestsDropped) => return,
            Some(Cut::RepliesDropped) | None => {}
        }
        if self.healed_at.is_none() {
            if self.storm && self.rng.permille(60) {
                self.count("requests late");
                delay += self.rng.between(100 * MS, 6 * SECOND);
            } else if self.rng.permille(20) {
                delay += self.rng.between(10 * MS, 400 * MS);
            }
        }
        self.after(delay, Event::Arrives { node, life, call, txn: Box::new(txn) });
    }

    fn arrives(&mut self, node: usize, life: u64, call: u64, txn: Box<Txn>) {
        if self.now < self.etcd.no_leader_until {
            if self.rng.permille(400) {
                // It waits for a leader; by then the client may have given up.
                let at = self.etcd.no_leader_until + self.rng.below(50 * MS);
                return self.at(at, Event::Arrives { node, life, call, txn });
            }
            let answer = Err(KvError::Unavailable { endpoint: "etcd".into(), reason: "no leader".into() });
            return self.answer(node, life, call, answer);
        }
        if etcd::is_read(&txn) && self.profile.stale_reads && self.healed_at.is_none() && self.rng.permille(100) {
            self.count("stale reads");
            let back = self.rng.index(4) + 1;
            let reply = self.etcd.stale_read(&txn, back);
            return self.answer(node, life, call, Ok(reply));
        }
        let before = self.etcd.memory.revision;
        let writer = self.hosts[node].instances.get((life - 1) as usize).copied();
        let verdict = self.etcd.apply(self.now, &txn, writer, &mut self.oracle);
        let (reply, events) = match verdict {
            etcd::Verdict::Applied(reply, events) => (reply, events),
            etcd::Verdict::NoSpace => {
                let reason = "mvcc: database space exceeded".into();
                return self.answer(node, life, call, Err(KvError::Refused { endpoint: "etcd".into(), reason }));
            }
        };
        let wrote = self.etcd.memory.revision != before;
        self.note(node, "applied", self.etcd.memory.revision);
        for event in events {
            self.watched(event);
        }
        self.check_let_go();
        if wrote && self.sharp(node, "committed").is_some() {
            self.count("pauses after commit");
        }
        let lost = self.hosts[node].etcd_cut.is_some() || (self.storm && self.rng.permille(150));
        if lost {
            if wrote {
                self.count("replies lost after commit");
            }
            return;
        }
        self.answer(node, life, call, Ok(reply));
    }

    fn answer(&mut self, node: usize, life: u64, call: u64, answer: Result<TxnReply, KvError>) {
        let delay = self.rng.between(200_000, 2 * MS);
        self.after(delay, Event::Node { node, life, what: What::Answer { call, answer } });
    }

    /// A change of the store goes out to the watches, late or never.
    fn watched(&mut self, event: WatchEvent) {
        for node in 0..self.hosts.len() {
            if self.hosts[node].etcd_cut.is_some() || (self.storm && self.rng.permille(300)) {
                continue;
            }
            let mut delay = self.rng.between(300_000, 4 * MS);
            if self.healed_at.is_none() && self.rng.permille(50) {
                delay += self.rng.below(SECOND);
            }
            self.node_after(delay, node, What::Watch(event.clone()));
        }
    }

    /// A watch that was interrupted says so, mostly.
    pub fn gap(&mut self, node: usize) {
        if self.rng.permille(700) {
            self.node_after(MS, node, What::Watch(WatchEvent::Gap));
        }
    }

    /// "Keys first, store second": who gave the identity back in the store cannot sign any more.
    fn check_let_go(&mut self) {
        for instance in std::mem::take(&mut self.oracle.let_go) {
            let unlocked = self
                .hosts
                .iter()
                .filter_map(|host| host.life.as_ref())
                .any(|life| life.instance == instance && life.vault.is_unlocked());
            if unlocked {
                self.oracle
                    .violate("locked first", format!("{instance} gave the identity back with its keys unlocked"));
            }
        }
    }

    // The cluster.

    fn slot(&mut self, slot: Slot) {
        let start = self.now;
        self.at(start + SLOT, Event::Slot(slot + 1));
        let mut rng = self.rng.clone();
        if self.profile.leads(slot) {
            for node in 0..self.hosts.len() {
                self.node_after(0, node, What::Lead(slot));
            }
        } else if let Some(block) = self.chain.produce(slot, &mut rng) {
            self.spread(block, None);
        }
        self.rng = rng;
        if self.profile.leads(slot + 1) {
            for node in 0..self.hosts.len() {
                self.node_after(SLOT - 150 * MS, node, What::ClaimAhead(slot + 1));
            }
        }
    }

    pub fn spread(&mut self, block: usize, from: Option<usize>) {
        for node in 0..self.hosts.len() {
            if self.hosts[node].cluster_cut || from == Some(node) {
                continue;
            }
            let mut delay = self.rng.between(60 * MS, 350 * MS);
            if self.healed_at.is_none() && self.rng.permille(60) {
                delay += self.rng.below(2 * SECOND);
            }
            self.node_after(delay, node, What::Block(block));
        }
    }

    /// A vote passes through gossip to everyone who can hear it.
    pub fn gossip(&mut self, from: Option<usize>, key: BlockKey) {
        for node in 0..self.hosts.len() {
            let cut = match from {
                Some(from) => self.gossip_cut || from == node,
                None => self.hosts[node].cluster_cut,
            };
            if cut || self.rng.permille(200) {
                continue;
            }
            let delay = self.rng.between(20 * MS, 250 * MS);
            self.node_after(delay, node, What::Vote(VoteInput::Seen(key)));
        }
    }
}
