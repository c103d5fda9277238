//! Voters on a network that loses, delays and reorders, over forks made at random. Judged by code of its own: each
//! voter keeps to its lockouts, no two voters root different forks, and nothing confirmed is left behind.
#![allow(clippy::unwrap_used)]

use {
    proptest::prelude::*,
    std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    },
    tandem_types::{BlockKey, Hash, Pubkey, Slot, Tick, UnixMillis},
    tandem_vote::{
        Adopted, Config, Decision, Effect, Event, FrozenBlock, LandedVote, LastVote, Now, OurVote, TowerState, Voter,
    },
};

/// A stream of choices that proptest can shrink.
struct Choices<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>, u64);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        // The bytes repeat; stirring in a counter keeps two rounds from being alike.
        self.1 = self.1.wrapping_mul(6364136223846793005).wrapping_add(u64::from(*self.0.next().unwrap()) | 1);
        ((self.1 >> 33) as usize) % bound
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

struct Block {
    parent: Slot,
    leader: usize,
    towers: Vec<Arc<TowerState>>,
}

struct Node {
    machine: Voter,
    has: BTreeSet<Slot>,
    builds_on: Slot,
    /// All votes ever recorded, oldest first.
    votes: Vec<Slot>,
    root: Slot,
    tower: TowerState,
}

struct Cluster {
    stakes: Vec<u64>,
    /// One block a slot: forks come from late and lost blocks.
    blocks: BTreeMap<Slot, Block>,
    nodes: Vec<Node>,
    /// Newest vote of each node, as the next leaders may include it.
    sent: Vec<Option<Decision>>,
    now: Now,
    /// The two halves of the cluster do not hear each other.
    is_split: bool,
    confirmed: BTreeSet<Slot>,
}

fn account(node: usize) -> Pubkey {
    Pubkey::new_from_array([node as u8 + 1; 32])
}

fn key(slot: Slot) -> BlockKey {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    BlockKey::new(slot, Hash::new_from_array(hash))
}

impl Cluster {
    fn new(stakes: Vec<u64>) -> Self {
        let genesis = Block { parent: 0, leader: 0, towers: vec![Arc::default(); stakes.len()] };
        let mut cluster = Self {
            blocks: BTreeMap::from([(0, genesis)]),
            nodes: Vec::new(),
            sent: vec![None; stakes.len()],
            now: Now { tick: Tick(0), wall: UnixMillis(1_000_000) },
            is_split: false,
            confirmed: BTreeSet::new(),
            stakes,
        };
        for node in 0..cluster.stakes.len() {
            let config = Config { vote_account: account(node), identity: account(node) };
            let mut machine = Voter::new(config, cluster.frozen(0, node), []);
            machine.handle(cluster.now, Event::Adopt(Adopted::default()), &mut Vec::new());
            let tower = TowerState::default();
            cluster.nodes.push(Node { machine, has: [0].into(), builds_on: 0, votes: Vec::new(), root: 0, tower });
        }
        cluster
    }

    fn frozen(&self, slot: Slot, node: usize) -> FrozenBlock {
        let block = &self.blocks[&slot];
        let votes = block.towers.iter().enumerate().map(|(voter, tower)| LandedVote {
            vote_account: account(voter),
            node: account(voter),
            stake: self.stakes[voter],
            tower: tower.clone(),
        });
        FrozenBlock {
            key: key(slot),
            parent: key(block.parent),
            block_id: Hash::default(),
            last_blockhash: key(slot).hash,
            block_height: self.ancestors(slot).len() as u64,
            epoch: 0,
            leader: Pubkey::default(),
            votes: votes.collect(),
            total_stake: self.stakes.iter().sum(),
            our_landed: Some(OurVote { tower: block.towers[node].clone(), timestamp: None }),
        }
    }

    /// From the block itself down to genesis.
    fn ancestors(&self, slot: Slot) -> Vec<Slot> {
        let mut path = vec![slot];
        while let Some(at) = path.last().copied().filter(|at| *at != 0) {
            path.push(self.blocks[&at].parent);
        }
        path
    }

    fn hears(&self, node: usize, other: usize) -> bool {
        !self.is_split || node % 2 == other % 2
    }

    /// A leader makes a block of `slot` on what it holds for the best, with the votes that reached it.
    fn produce(&mut self, slot: Slot, leader: usize, choices: &mut Choices) {
        let parent = self.nodes[leader].builds_on;
        let path = self.ancestors(parent);
        let mut towers = self.blocks[&parent].towers.clone();
        for (voter, sent) in self.sent.iter().enumerate() {
            if let Some(vote) = sent.as_ref().filter(|vote| path.contains(&vote.slot))
                && towers[voter].last_voted_slot() < Some(vote.slot)
                && self.hears(leader, voter)
                && choices.percent(80)
            {
                towers[voter] = Arc::new(vote.tower.clone());
            }
        }
        self.blocks.insert(slot, Block { parent, leader, towers });
        self.deliver(leader, slot);
    }

    /// The node gets a block, and what is missing before it.
    fn deliver(&mut self, node: usize, slot: Slot) {
        for slot in self.ancestors(slot).into_iter().rev() {
            if self.nodes[node].has.insert(slot) {
                let event = Event::Frozen(self.frozen(slot, node));
                self.send(node, event);
            }
        }
    }

    fn send(&mut self, node: usize, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.nodes[node].machine.handle(self.now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Decide(decision) => {
                        self.judge(node, &decision);
                        events.push(Event::Recorded { id: decision.id });
                        self.sent[node] = Some(decision);
                    }
                    Effect::Reset { to } => self.nodes[node].builds_on = to.slot,
                    Effect::Root(root) => self.judge_root(node, root.slot),
                    Effect::OptimisticallyConfirmed(block) => self.judge_confirmed(block.slot),
                    Effect::Quarantine(reason) => panic!("nobody else votes for us: {reason:?}"),
                    _ => {}
                }
            }
        }
    }

    /// The rules again, from the whole history of votes, and by counting instead of stacking where that is possible.
    fn judge(&mut self, node: usize, decision: &Decision) {
        let path = self.ancestors(decision.slot);
        let history = &self.nodes[node].votes;
        if decision.kind == tandem_vote::DecisionKind::Refresh {
            assert_eq!(history.last(), Some(&decision.slot), "a refresh repeats the last vote");
            return;
        }
        assert!(history.last().is_none_or(|last| *last < decision.slot), "votes go forward");
        for (locked, until) in locked_slots(history) {
            assert!(
                path.contains(&locked) || until < decision.slot,
                "voter {node} votes {} locked by {locked} until {until}; all its votes: {history:?}",
                decision.slot
            );
        }
        let node = &mut self.nodes[node];
        node.votes.push(decision.slot);
        node.tower = decision.tower.clone();
        let ours: Vec<(Slot, u64)> =
            decision.tower.votes.iter().map(|vote| (vote.slot(), vote.last_locked_out_slot())).collect();
        let is_rooted = |slot: Slot| decision.tower.root.is_some_and(|root| slot <= root);
        let (rooted, above): (Vec<_>, Vec<_>) =
            locked_slots(&node.votes).into_iter().partition(|(slot, _)| is_rooted(*slot));
        assert_eq!(ours, above, "the tower is what the votes make it");
        assert!(rooted.iter().all(|(slot, until)| until - slot == 1 << 31), "only full lockouts become roots");
    }

    fn judge_root(&mut self, node: usize, root: Slot) {
        self.nodes[node].root = root;
        for other in &self.nodes {
            let (low, high) = (other.root.min(root), other.root.max(root));
            assert!(self.ancestors(high).contains(&low), "{low} and {high} are roots on different forks");
        }
    }

    /// What 2/3 voted for is never left: that is what the switch rule is for.
    fn judge_confirmed(&mut self, slot: Slot) {
        self.confirmed.insert(slot);
        let path = self.ancestors(*self.confirmed.last().unwrap());
        assert!(
            self.confirmed.iter().all(|slot| path.contains(slot)),
            "confirmed on different forks: {:?}",
            self.confirmed
        );
    }

    /// The node's machine starts again at its root, replays what it had, and adopts its tower.
    fn restart(&mut self, node: usize) {
        let root = self.nodes[node].root;
        let config = Config { vote_account: account(node), identity: account(node) };
        self.nodes[node].machine = Voter::new(config, self.frozen(root, node), []);
        let above: Vec<Slot> = self.nodes[node].has.iter().copied().filter(|slot| *slot > root).collect();
        for slot in above {
            if self.ancestors(slot).contains(&root) {
                let event = Event::Frozen(self.frozen(slot, node));
                self.send(node, event);
            }
        }
        let tower = self.nodes[node].tower.clone();
        let last_vote = tower.last_voted_slot().map(|slot| LastVote {
            block: key(slot),
            block_id: Hash::default(),
            timestamp: None,
        });
        let adopted = Adopted { last_vote, rooted: self.ancestors(root), tower, last_timestamp: None };
        self.send(node, Event::Adopt(adopted));
    }
}

/// What a history of votes still forbids after the last one, and until when; ever deeper, never rooted.
fn locked_slots(votes: &[Slot]) -> Vec<(Slot, u64)> {
    let mut locked: Vec<(Slot, u32)> = Vec::new();
    for vote in votes {
        while locked.last().is_some_and(|(slot, depth)| slot + 2u64.pow(*depth) < *vote) {
            locked.pop();
        }
        locked.push((*vote, 0));
        let height = locked.len() as u32;
        for (position, (_, depth)) in locked.iter_mut().enumerate() {
            *depth = (*depth).max((height - position as u32).min(31));
        }
    }
    locked.into_iter().map(|(slot, depth)| (slot, slot + 2u64.pow(depth))).collect()
}

fn simulate(stakes: Vec<u64>, bytes: &[u8], slots: Slot, chaos: usize, split: std::ops::Range<Slot>) -> Cluster {
    let mut choices = Choices(bytes.iter().cycle(), 1);
    let mut cluster = Cluster::new(stakes);
    let count = cluster.stakes.len();
    for slot in 1..=slots {
        cluster.now.tick = Tick::from_millis(slot * 400);
        cluster.now.wall = UnixMillis(1_000_000 + slot * 400);
        cluster.is_split = split.contains(&slot);
        // The last quarter of the run is calm: everybody gets everything.
        let chaos = if slot * 4 > slots * 3 { 0 } else { chaos };
        let leader = choices.below(count);
        if choices.percent(90) {
            cluster.produce(slot, leader, &mut choices);
        }
        for node in 0..count {
            let old = slot.saturating_sub(choices.below(8) as Slot);
            for wanted in [old, slot] {
                let is_heard = cluster.blocks.get(&wanted).is_some_and(|block| cluster.hears(node, block.leader));
                if is_heard && !choices.percent(chaos) {
                    cluster.deliver(node, wanted);
                }
            }
            let from = choices.below(count);
            if let Some(vote) = cluster.sent[from].as_ref().filter(|_| choices.percent(70)).map(Decision::block)
                && cluster.hears(node, from)
            {
                cluster.send(node, Event::GossipVote { vote_account: account(from), block: vote });
            }
            if choices.percent(1) {
                cluster.restart(node);
            }
        }
    }
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn lockouts_hold_and_roots_agree(
        stakes in prop::collection::vec(1u64..100, 3..8),
        bytes in prop::collection::vec(any::<u8>(), 64..256),
        chaos in 0usize..80,
        split in 0u64..160,
    ) {
        simulate(stakes, &bytes, 260, chaos, 20..20 + split);
    }
}

/// The judge is worth something only if voters do vote, switch and root in these runs.
#[test]
fn the_simulation_makes_roots_and_switches() {
    let bytes: Vec<u8> = (0..=255).collect();
    let calm = simulate(vec![20; 5], &bytes, 200, 0, 0..0);
    assert!(
        calm.nodes.iter().all(|node| node.root > 100),
        "{:?}",
        calm.nodes.iter().map(|n| n.root).collect::<Vec<_>>()
    );
    let rough = simulate(vec![20; 5], &bytes, 400, 40, 0..0);
    let off_chain = |node: &Node| {
        let path = rough.ancestors(*node.votes.last().unwrap());
        node.votes.iter().filter(|vote| !path.contains(vote)).count()
    };
    assert!(rough.nodes.iter().map(off_chain).sum::<usize>() > 0, "nobody was ever on the wrong fork");
    assert!(
        rough.nodes.iter().all(|node| node.root > 0),
        "{:?}",
        rough.nodes.iter().map(|n| n.root).collect::<Vec<_>>()
    );
}

/// Neither half has two thirds: for as long as they do not hear each other, nobody makes a root. Then they agree.
#[test]
fn a_split_cluster_makes_no_root_and_heals() {
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let split = simulate(vec![25; 4], &bytes, 160, 0, 10..161);
    assert!(split.nodes.iter().all(|node| node.root < 10));
    let healed = simulate(vec![25; 4], &bytes, 600, 0, 10..60);
    assert!(
        healed.nodes.iter().all(|node| node.root > 60),
        "{:?}",
        healed.nodes.iter().map(|n| n.root).collect::<Vec<_>>()
    );
}

/// 2,000 voters, each with a new vote in each block: the work between "frozen" and "decided" must be small.
#[test]
fn two_thousand_voters_are_no_burden() {
    let count = 2000;
    let stakes: Vec<u64> = (0..count).map(|voter| 1000 + voter).collect();
    let accounts: Vec<Pubkey> = (0..count)
        .map(|voter| Pubkey::new_from_array(std::array::from_fn(|at| (voter >> (at % 4 * 8)) as u8)))
        .collect();
    let mut towers: Vec<Arc<TowerState>> = vec![Arc::default(); count as usize];
    let config = Config { vote_account: accounts[0], identity: accounts[0] };
    let mut machine: Option<Voter> = None;
    let (mut decided, mut spent, mut worst) = (0, 0, 0);
    for slot in 0..120 {
        let votes = accounts.iter().zip(&stakes).zip(&towers).map(|((account, stake), tower)| LandedVote {
            vote_account: *account,
            node: *account,
            stake: *stake,
            tower: tower.clone(),
        });
        let block = FrozenBlock {
            key: key(slot),
            parent: key(slot.saturating_sub(1)),
            block_id: Hash::default(),
            last_blockhash: key(slot).hash,
            block_height: slot,
            epoch: 0,
            leader: accounts[7],
            votes: votes.collect(),
            total_stake: stakes.iter().sum(),
            our_landed: Some(OurVote { tower: towers[0].clone(), timestamp: None }),
        };
        let Some(machine) = &mut machine else {
            let mut new = Voter::new(config, block, []);
            new.handle(Now::default(), Event::Adopt(Adopted::default()), &mut Vec::new());
            machine = Some(new);
            continue;
        };
        let mut effects = Vec::new();
        let start = std::time::Instant::now();
        machine.handle(Now::default(), Event::Frozen(block), &mut effects);
        let micros = start.elapsed().as_micros();
        (spent, worst) = (spent + micros, worst.max(micros));
        for effect in effects {
            if let Effect::Decide(decision) = effect {
                decided += 1;
                machine.handle(Now::default(), Event::Recorded { id: decision.id }, &mut Vec::new());
            }
        }
        towers = towers.iter().map(|tower| Arc::new(tower.after_vote(slot))).collect();
    }
    assert_eq!(decided, 119);
    println!("2000 voters: {} us a block, worst {worst} us", spent / 119);
    assert!(spent / 119 < 50_000, "{} us a block", spent / 119);
}
