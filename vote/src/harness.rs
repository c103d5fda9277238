//! Reads a case as text, plays it against the machine, and compares what came out. See `cases.rs` for the language:
//!
//! ```text
//!   voters me=10 a=30 b=60     stakes; `me` is us
//!   forks 1-2-3, 2-5'          blocks and their parents; 0 is the root; 5' is another version of slot 5
//!   adopt 1 2 | adopt          we become active with the tower those votes make (their blocks are frozen first)
//!   adopt 1 2' root 0          the last vote was for 2', the tower's root is 0
//!   know 1 2                   what the next `adopt` says of slots that are rooted
//!   freeze 5 6 : a=3 b=r2      5 and 6 (and missing ancestors) freeze; in 5 landed a's vote for 3, and b has root 2
//!   gossip a=5                 a verified vote
//!   lead 5 6                   we are the leader of these slots
//!   store hold | auto          whether decisions wait for `recorded` / `refused`
//!   time 5000                  milliseconds pass, and the timer rings
//!   duplicate 5 | agree 5' | purge 5 | stand-down
//!   line => vote 5 (1 2 5), reset 5
//! ```
//! After `=>`: votes, holds, roots, quarantines and ignored events must be exactly these, in any order
//! (`nothing`: none at all; a tower may be left out); the last reset, confirmations and final slots are
//! compared only where the line names some.

use {
    crate::{
        Adopted, Config, Decision, DecisionId, DecisionKind, Effect, Event, FrozenBlock, Hold, LandedVote, LastVote,
        Now, OurVote, Quarantine, TowerState, VoteTime, Voter,
    },
    std::{
        collections::{BTreeMap, BTreeSet},
        sync::Arc,
    },
    tandem_types::{BlockKey, Hash, Pubkey, Slot, Tick, UnixMillis},
};

pub(crate) fn check(case: &str) {
    play(case);
}

/// Plays a case and returns the world, for what the text cannot ask.
pub(crate) fn play(case: &str) -> World {
    let mut world = World::new();
    for line in case.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, wanted) = line.split_once("=>").map_or((line, None), |(left, right)| (left, Some(right)));
        let got: Vec<String> = world.run(command.trim()).iter().map(render).collect();
        world.log.push(format!("{line}\n      got: {}", got.join(", ")));
        if let Some(wanted) = wanted {
            let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|text| *text != "nothing").collect();
            compare(&wanted, &got).unwrap_or_else(|why| panic!("{why}\n{}", world.log.join("\n")));
        }
    }
    world
}

pub(crate) struct World {
    stakes: BTreeMap<String, u64>,
    parents: BTreeMap<BlockKey, BlockKey>,
    accounts: BTreeMap<BlockKey, BTreeMap<String, Arc<TowerState>>>,
    led: BTreeSet<Slot>,
    known: Vec<Slot>,
    pub voter: Voter,
    pub now: Now,
    holds: bool,
    pub outstanding: Option<Decision>,
    pub decisions: Vec<Decision>,
    log: Vec<String>,
}

impl World {
    fn new() -> Self {
        let root = block("0");
        let parents = BTreeMap::new();
        let accounts = BTreeMap::from([(root, BTreeMap::new())]);
        let now = Now { tick: Tick::ZERO, wall: UnixMillis(1_000_000) };
        let mut world = Self {
            stakes: BTreeMap::new(),
            parents,
            accounts,
            led: BTreeSet::new(),
            known: Vec::new(),
            voter: Voter::new(config(), empty_block(root), []),
            now,
            holds: false,
            outstanding: None,
            decisions: Vec::new(),
            log: Vec::new(),
        };
        world.set_voters("me=100");
        world
    }

    fn set_voters(&mut self, stakes: &str) {
        self.stakes = pairs(stakes).map(|(name, stake)| (name, stake.parse().expect("a stake"))).collect();
        let towers = self.stakes.keys().map(|name| (name.clone(), Arc::default())).collect();
        let root = block("0");
        self.accounts = BTreeMap::from([(root, towers)]);
        self.voter = Voter::new(config(), self.frozen_block(root), []);
    }

    fn run(&mut self, command: &str) -> Vec<Effect> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let mut out = Vec::new();
        match verb {
            "voters" => self.set_voters(rest),
            "forks" => self.add_forks(rest),
            "lead" => self.led.extend(slots(rest)),
            "know" => self.known = slots(rest),
            "store" => self.holds = rest == "hold",
            "adopt" => self.adopt(rest, &mut out),
            "freeze" => {
                let (blocks, votes) = rest.split_once(':').unwrap_or((rest, ""));
                let mut votes = Some(votes);
                for name in blocks.split_whitespace() {
                    self.freeze(block(name), votes.take().unwrap_or(""), &mut out);
                }
            }
            "gossip" => {
                for (name, voted) in pairs(rest) {
                    self.send(Event::GossipVote { vote_account: account(&name), block: block(&voted) }, &mut out);
                }
            }
            "duplicate" => self.send(Event::DuplicateSlot(block(rest).slot), &mut out),
            "agree" => self.send(Event::DuplicateConfirmed(block(rest)), &mut out),
            "purge" => self.send(Event::Purged(block(rest).slot), &mut out),
            "stand-down" => self.send(Event::StandDown, &mut out),
            "recorded" => self.answer(true, &mut out),
            "refused" => self.answer(false, &mut out),
            "time" => {
                let ms: u64 = rest.parse().expect("milliseconds");
                self.now.tick = Tick(self.now.tick.0 + ms * 1_000_000);
                self.now.wall = UnixMillis(self.now.wall.0 + ms);
                self.send(Event::Timer, &mut out);
            }
            "clock" => self.now.wall = UnixMillis(rest.parse::<u64>().expect("seconds") * 1000),
            other => panic!("no such command: {other}"),
        }
        out
    }

    fn send(&mut self, event: Event, out: &mut Vec<Effect>) {
        let before = out.len();
        self.voter.handle(self.now, event, out);
        let decided = out[before..].iter().filter_map(|effect| match effect {
            Effect::Decide(decision) => Some(decision.clone()),
            _ => None,
        });
        let decided: Vec<Decision> = decided.collect();
        for decision in decided {
            assert!(self.outstanding.is_none(), "one decision at a time");
            self.decisions.push(decision.clone());
            self.outstanding = Some(decision);
            if !self.holds {
                self.answer(true, out);
            }
        }
    }

    fn answer(&mut self, recorded: bool, out: &mut Vec<Effect>) {
        let id = self.outstanding.take().map_or(DecisionId(u64::MAX), |decision| decision.id);
        let event = if recorded { Event::Recorded { id } } else { Event::Refused { id } };
        self.send(event, out);
    }

    fn add_forks(&mut self, forks: &str) {
        for chain in forks.split(',') {
            let mut parent = None;
            for name in chain.trim().split('-') {
                let key = block(name);
                if let Some(parent) = parent {
                    self.parents.insert(key, parent);
                } else if key != block("0") {
                    self.parents.entry(key).or_insert(block("0"));
                }
                parent = Some(key);
            }
        }
    }

    fn adopt(&mut self, text: &str, out: &mut Vec<Effect>) {
        let (votes, root) = text.split_once("root").unwrap_or((text, ""));
        let mut tower = TowerState::default();
        for name in votes.split_whitespace() {
            if self.parents.contains_key(&block(name)) && !name.contains('!') {
                self.freeze(block(name), "", out);
            }
            tower.vote(block(name).slot);
        }
        tower.root = root.trim().parse().ok().or(tower.root);
        let last = votes.split_whitespace().last().map(block);
        let last_vote = last.map(|block| LastVote { block, block_id: id_of(&block), timestamp: Some(1) });
        let last_timestamp = last.map(|block| VoteTime { slot: block.slot, unix: 1 });
        let rooted = std::mem::take(&mut self.known);
        self.send(Event::Adopt(Adopted { tower, last_vote, last_timestamp, rooted }), out);
    }

    fn freeze(&mut self, key: BlockKey, votes: &str, out: &mut Vec<Effect>) {
        if self.accounts.contains_key(&key) {
            return;
        }
        let parent = *self.parents.get(&key).unwrap_or_else(|| panic!("no parent of {key}"));
        self.freeze(parent, "", out);
        let mut towers = self.accounts[&parent].clone();
        for (name, vote) in pairs(votes) {
            let tower = Arc::make_mut(towers.get_mut(&name).expect("a known voter"));
            if let Some(root) = vote.strip_prefix('r') {
                let root = root.parse().expect("a slot");
                tower.root = Some(root);
                tower.votes.retain(|vote| vote.slot() > root);
            } else {
                tower.vote(block(&vote).slot);
            }
        }
        self.accounts.insert(key, towers);
        let frozen = self.frozen_block(key);
        self.send(Event::Frozen(frozen), out);
    }

    fn frozen_block(&self, key: BlockKey) -> FrozenBlock {
        let towers = &self.accounts[&key];
        let height = std::iter::successors(Some(&key), |key| self.parents.get(key)).count() as u64;
        let vote = |(name, tower): (&String, &Arc<TowerState>)| LandedVote {
            vote_account: account(name),
            node: account(name),
            stake: self.stakes[name],
            tower: tower.clone(),
        };
        FrozenBlock {
            parent: self.parents.get(&key).copied().unwrap_or(key),
            block_height: height,
            leader: if self.led.contains(&key.slot) { account("me") } else { account("leader") },
            votes: towers.iter().map(vote).collect(),
            total_stake: self.stakes.values().sum(),
            our_landed: towers.get("me").map(|tower| OurVote { tower: tower.clone(), timestamp: None }),
            ..empty_block(key)
        }
    }
}

/// `5'` is another version of the block `5`; `5!` is a block that `adopt` does not freeze.
pub(crate) fn block(name: &str) -> BlockKey {
    let digits = name.trim().trim_end_matches(['\'', '!']);
    let slot: Slot = digits.parse().unwrap_or_else(|_| panic!("not a slot: {name}"));
    let mut hash = [0; 32];
    hash[0] = name.matches('\'').count() as u8;
    hash[24..].copy_from_slice(&slot.to_be_bytes());
    BlockKey::new(slot, Hash::new_from_array(hash))
}

pub(crate) fn empty_block(key: BlockKey) -> FrozenBlock {
    FrozenBlock {
        key,
        parent: key,
        block_id: id_of(&key),
        last_blockhash: key.hash,
        block_height: 0,
        epoch: 0,
        leader: Pubkey::default(),
        votes: Vec::new(),
        total_stake: 0,
        our_landed: None,
    }
}

fn id_of(key: &BlockKey) -> Hash {
    let mut id = key.hash.to_bytes();
    id[1] = 0xb1;
    Hash::new_from_array(id)
}

fn config() -> Config {
    Config { vote_account: account("me"), identity: account("me") }
}

fn account(name: &str) -> Pubkey {
    let mut bytes = [0; 32];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Pubkey::new_from_array(bytes)
}

fn slots(text: &str) -> Vec<Slot> {
    text.split_whitespace().map(|slot| slot.parse().expect("a slot")).collect()
}

fn pairs(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    text.split_whitespace().map(|pair| pair.split_once('=').expect("name=value")).map(|(a, b)| (a.into(), b.into()))
}

fn name(key: &BlockKey) -> String {
    format!("{}{}", key.slot, "'".repeat(usize::from(key.hash.to_bytes()[0])))
}

fn render(effect: &Effect) -> String {
    match effect {
        Effect::Decide(decision) => {
            let verb = match (decision.kind, decision.switch) {
                (DecisionKind::Refresh, _) => "refresh",
                (DecisionKind::Vote, true) => "switch",
                (DecisionKind::Vote, false) => "vote",
            };
            let tower: Vec<String> = decision.tower.votes.iter().map(|vote| vote.slot().to_string()).collect();
            format!("{verb} {} ({})", name(&decision.block()), tower.join(" "))
        }
        Effect::Reset { to } => format!("reset {}", name(to)),
        Effect::Root(key) => format!("root {}", name(key)),
        Effect::OptimisticallyConfirmed(key) => format!("confirmed {}", name(key)),
        Effect::DuplicateConfirmed(key) => format!("agreed {}", name(key)),
        Effect::SupermajorityRoot(slot) => format!("final {slot}"),
        Effect::Held(hold) => match hold {
            Hold::LockedOut { slot, by, until } => format!("hold {slot}: locked by {by} until {until}"),
            Hold::RootMissing { slot, root } => format!("hold {slot}: root {root} missing"),
            Hold::Threshold { slot, deep, stake, total } => format!("hold {slot}: threshold {deep} {stake}/{total}"),
            Hold::Switch { slot, stake, total } => format!("hold {slot}: switch {stake}/{total}"),
            Hold::DuplicateRollback { slot, duplicate } => format!("hold {slot}: rollback {duplicate}"),
            Hold::NotPropagated { slot, own } => format!("hold {slot}: own {own} unseen"),
        },
        Effect::Quarantine(reason) => match reason {
            Quarantine::ChainAhead { on_chain, .. } => format!("quarantine chain {on_chain}"),
            Quarantine::GossipAhead { seen, .. } => format!("quarantine gossip {}", seen.slot),
            Quarantine::Malformed(_) => "quarantine malformed".into(),
        },
        Effect::Ignored(ignored) => {
            let text = format!("{ignored:?}");
            format!("ignored {}", text.split(['(', '{']).next().unwrap_or_default())
        }
    }
}

fn compare(wanted: &[&str], got: &[String]) -> Result<(), String> {
    let kind = |text: &str| text.split(' ').next().unwrap_or_default().to_string();
    let loose = ["reset", "confirmed", "agreed", "final"];
    let named: BTreeSet<String> = wanted.iter().map(|text| kind(text)).collect();
    let last_reset = got.iter().rposition(|text| kind(text) == "reset");
    let is_judged = |(at, text): &(usize, &String)| match kind(text).as_str() {
        "reset" => named.contains("reset") && Some(*at) == last_reset,
        other => !loose.contains(&other) || named.contains(other),
    };
    let judged: Vec<&String> = got.iter().enumerate().filter(is_judged).map(|(_, text)| text).collect();
    let same = |wanted: &&str, got: &String| {
        *wanted == got || (!wanted.contains('(') && got.starts_with(&format!("{wanted} (")))
    };
    let mut left = judged.clone();
    for text in wanted {
        let at =
            left.iter().position(|got| same(text, got)).ok_or_else(|| format!("wanted `{text}`, got {judged:?}"))?;
        left.remove(at);
    }
    if left.is_empty() { Ok(()) } else { Err(format!("wanted {wanted:?}, got also {left:?}")) }
}
