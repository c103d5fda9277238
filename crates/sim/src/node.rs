//! One machine, and one life of its process: the product's machines, with shells as thin as the product's.
//! The shells follow `validator/src/stages/{role,vote,producer}.rs`; what they say to each other goes through the world.

use {
    crate::{
        chain::{self, Chain},
        fiber::Fiber,
        promise,
        wire::PromiseInput,
        world::Time,
    },
    std::{
        collections::{BTreeMap, BTreeSet, VecDeque},
        sync::Arc,
        time::Duration,
    },
    tandem_identity::{BlockSigner, Permit, Vault},
    tandem_role::{
        Config, Machine,
        auto::{AutoConfig, Watchdog},
        event::{Candidate, ChainStatus, RequestId},
        records::Preference,
    },
    tandem_tower_storage::{Claim, LeaderSlotClaim, StoredTower, Tower},
    tandem_types::{BlockKey, Hash, InstanceId, Keypair, Pubkey, Signer, Slot, Tick, UnixMillis, mutant::mutant},
    tandem_vote::{Adopted, LastVote, Lockout, Now, TowerState, VoteTime, Voter},
};

/// What a machine is configured as, whatever becomes of its processes.
#[derive(Clone, Debug)]
pub struct Spec {
    pub config: Config,
    pub preference: Preference,
    /// Started with the identity, or told which one it stands by for.
    pub knows_identity: bool,
    pub auto: Option<AutoConfig>,
    /// How much faster than true time its monotonic clock runs.
    pub clock_ppm: i64,
}

/// What outlives a process.
pub struct Host {
    pub spec: Spec,
    pub life: Option<Life>,
    pub lives: u64,
    /// Of each life, the first first.
    pub instances: Vec<InstanceId>,
    pub blocks: BTreeSet<usize>,
    pub ledger_root: usize,
    pub wall_skew_ms: i64,
    /// Stopped (SIGSTOP) until then; what arrives meanwhile waits.
    pub stopped_until: Option<Time>,
    pub deferred: Vec<crate::world::Event>,
    /// Links: to etcd, to the cluster.
    pub etcd_cut: Option<Cut>,
    pub cluster_cut: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Refused,
    RequestsDropped,
    RepliesDropped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FiberState {
    Idle,
    /// Waits for the answer, or the moment, with this number.
    Waiting(u64),
    Dead,
}

pub struct Producing {
    pub slot: Slot,
    pub parent: usize,
    pub signer: BlockSigner,
}

/// The producer's shell: a slot is claimed a little before it begins, and the next while one is made.
#[derive(Default)]
pub struct Producer {
    pub allowed: Option<(Pubkey, Permit)>,
    pub claims: BTreeMap<Slot, LeaderSlotClaim>,
    pub asked: BTreeSet<Slot>,
    pub producing: Option<Producing>,
    /// Told to stop after the slot in production.
    pub halting: bool,
}

pub struct Life {
    pub instance: InstanceId,
    pub boot: Time,
    pub clock_ppm: i64,
    pub vault: Arc<Vault>,
    pub machine: Machine,
    pub voter: Voter,
    pub promise: Option<Fiber>,
    pub fiber: FiberState,
    pub inbox: VecDeque<PromiseInput>,
    pub watchdog: Option<Watchdog>,
    pub beats: u64,
    // The role stage's.
    pub claim: Option<Claim>,
    pub adopted_vote: Option<BlockKey>,
    pub next_request: u64,
    pub requests: BTreeSet<RequestId>,
    pub last_look: ChainStatus,
    // The vote stage's.
    pub prepared: Option<Adopted>,
    pub replayed: BTreeMap<Slot, BlockKey>,
    pub processed: usize,
    pub root: Slot,
    pub majority: (Option<Slot>, Time),
    pub own_vote_seen: Slot,
    pub cluster_tip: Slot,
    pub producer: Producer,
    pub timers: [Option<Time>; 2],
    // What the oracles hold against it.
    pub seen: Seen,
}

/// The newest this process has seen of the identity (I6), from whatever source.
#[derive(Clone, Copy, Default, Debug)]
pub struct Seen {
    pub vote: Option<Slot>,
    /// As of when the last claim was sent.
    pub vote_at_claim: Option<Slot>,
    /// Where the chain was then.
    pub tip_at_claim: Slot,
    pub source: Option<tandem_role::event::TowerSource>,
    pub free_from: Slot,
    /// A request of an operator who insists on a tower.
    pub insists: Option<RequestId>,
    pub store: Option<(u64, u64)>,
    pub went_back: bool,
    /// What is under way in the store decides nothing.
    pub errand: bool,
    pub claimed: Option<tandem_types::Term>,
    pub prepared: bool,
    pub unlocked: bool,
    pub quarantined: bool,
}

pub const IDENTITY_SEED: [u8; 32] = [77; 32];

pub fn identity_key() -> Keypair {
    Keypair::new_from_array(IDENTITY_SEED)
}

pub fn standby_key(node: usize) -> Keypair {
    Keypair::new_from_array([10 + node as u8; 32])
}

impl Life {
    pub fn boot(node: usize, spec: &Spec, root: usize, chain: &Chain, now: Time, salt: u64) -> Self {
        let identity = identity_key().pubkey();
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&salt.to_le_bytes());
        instance[8] = node as u8;
        let instance = InstanceId(instance);
        let vault = Arc::new(Vault::new(standby_key(node)));
        if spec.knows_identity {
            vault.hold_identity(identity_key());
        }
        let known = spec.knows_identity.then_some(identity);
        let machine = Machine::new(spec.config.clone(), instance, known, vault.standby());
        let config = tandem_vote::Config { vote_account: chain::vote_account(), identity };
        let block = chain.frozen(root, identity);
        let key = block.key;
        let setup = promise::Setup {
            vault: vault.clone(),
            identity,
            vote_account: chain::vote_account(),
            instance,
            host: spec.config.host.clone(),
            preference: spec.preference,
            require_tower: spec.config.require_tower,
            open_at_start: spec.knows_identity,
            kv: None,
        };
        Self {
            instance,
            boot: now,
            clock_ppm: spec.clock_ppm,
            vault,
            machine,
            voter: Voter::new(config, block, []),
            promise: Some(Fiber::spawn(move || promise::run(setup))),
            fiber: FiberState::Waiting(0),
            inbox: VecDeque::new(),
            watchdog: spec.auto.clone().map(|auto| Watchdog::new(auto, Tick::ZERO)),
            beats: 0,
            claim: None,
            adopted_vote: None,
            next_request: 0,
            requests: BTreeSet::new(),
            last_look: ChainStatus::default(),
            prepared: None,
            replayed: BTreeMap::from([(key.slot, key)]),
            processed: root,
            root: key.slot,
            majority: (None, 0),
            own_vote_seen: 0,
            cluster_tip: 0,
            producer: Producer::default(),
            timers: [None; 2],
            seen: Seen::default(),
        }
    }

    pub fn tick(&self, now: Time) -> Tick {
        let age = i128::from(now.saturating_sub(self.boot));
        Tick((age * i128::from(1_000_000 + self.clock_ppm) / 1_000_000) as u64)
    }

    /// The true time of a moment of this process's clock.
    pub fn time_of(&self, tick: Tick) -> Time {
        let age = i128::from(tick.0) * 1_000_000 / i128::from(1_000_000 + self.clock_ppm);
        self.boot + age as u64 + 1
    }

    pub fn now(&self, now: Time, wall_skew_ms: i64) -> Now {
        Now { tick: self.tick(now), wall: wall(now, wall_skew_ms) }
    }

    pub fn saw_vote(&mut self, slot: Option<Slot>) {
        self.seen.vote = self.seen.vote.max(slot);
    }

    /// What the role machine judges by (`stages/role/chain.rs`).
    pub fn chain_status(&mut self, now: Time, chain: &Chain) -> ChainStatus {
        let majority = self.voter.view().supermajority_root;
        if majority > self.majority.0 {
            self.majority = (majority, now);
        }
        let tip = chain.blocks[self.processed].key.slot;
        let heard = now.saturating_sub(self.boot) >= HEARD_FOR && self.cluster_tip > 0;
        ChainStatus {
            tip,
            slots_behind: if heard { self.cluster_tip.saturating_sub(tip) } else { u64::MAX },
            root_advancing: self.majority.0.is_some() && now - self.majority.1 < ROOT_STALE,
            root_needs_us: false,
            owner: None,
            own_vote_on_chain: chain.own_landed(self.processed).last_voted_slot(),
            own_vote_in_gossip: Some(self.own_vote_seen).filter(|slot| *slot > 0),
            candidate: Candidate {
                vote_account: Some(chain::vote_account()),
                root: self.root,
                node_at_tip: Some(identity_key().pubkey()),
                vote_account_node: Some(identity_key().pubkey()),
                authorized_voter_held: self.vault.holds_voter(&identity_key().pubkey()),
            },
            last_vote_replayed: self.adopted_vote.is_none_or(|block| self.bank_hash(block.slot) == Some(block.hash)),
        }
    }

    pub fn bank_hash(&self, slot: Slot) -> Option<Hash> {
        // The ledger of before the simulation's root is there as well.
        let old = (slot < chain::ROOT_SLOT).then(|| chain::key(slot).hash);
        self.replayed.get(&slot).map(|key| key.hash).or(old)
    }

    /// From what is stored to what the voter adopts (`stages/role/tower.rs`).
    pub fn adopted(&self, stored: &StoredTower, chain: &Chain) -> Adopted {
        let mut tower = state_of(stored.tower());
        let mut last_vote = stored.last_vote().map(|last| LastVote {
            block: BlockKey::new(last.slot, last.hash),
            block_id: last.block_id,
            timestamp: stored.last_timestamp().filter(|(slot, _)| *slot == last.slot).map(|(_, unix)| unix),
        });
        if mutant("shell: the last vote is lost when the tower is adopted") {
            tower.votes.pop_back();
            last_vote = tower.last_voted_slot().map(|slot| LastVote {
                block: BlockKey::new(slot, self.bank_hash(slot).unwrap_or_default()),
                block_id: Hash::default(),
                timestamp: None,
            });
        }
        if mutant("shell: a new owner begins with an empty tower") {
            return Adopted::default();
        }
        let rooted = self.rooted(&tower, chain);
        let last_timestamp = stored.last_timestamp().map(|(slot, unix)| VoteTime { slot, unix });
        Adopted { tower, last_vote, last_timestamp, rooted }
    }

    /// The vote account's own tower.
    pub fn chain_tower(&self, chain: &Chain) -> Result<(Adopted, Tower), String> {
        let tower = chain.own_landed(self.processed).clone();
        let votes = tower.votes.iter().map(|vote| (vote.slot(), vote.confirmation_count())).collect();
        let promised = Tower { votes, root: tower.root };
        let last_vote = match tower.last_voted_slot() {
            None => None,
            Some(slot) => {
                let hash = self.bank_hash(slot).ok_or("the block of its last vote is not replayed here")?;
                Some(LastVote { block: BlockKey::new(slot, hash), block_id: Hash::default(), timestamp: None })
            }
        };
        let rooted = self.rooted(&tower, chain);
        Ok((Adopted { tower, last_vote, last_timestamp: None, rooted }, promised))
    }

    fn rooted(&self, tower: &TowerState, chain: &Chain) -> Vec<Slot> {
        let slots = tower.votes.iter().map(Lockout::slot).chain(tower.root);
        slots.filter(|slot| *slot <= self.root && chain.slot_on_fork(*slot, self.processed)).collect()
    }
}

fn state_of(tower: &Tower) -> TowerState {
    let lockout = |(slot, count): &(Slot, u32)| Lockout::new_with_confirmation_count(*slot, *count);
    TowerState { votes: tower.votes.iter().map(lockout).collect(), root: tower.root }
}

pub fn wall(now: Time, skew_ms: i64) -> UnixMillis {
    UnixMillis((1_700_000_000_000 + (now / 1_000_000) as i64 + skew_ms) as u64)
}

pub fn pace(now: Tick) -> Duration {
    Duration::from_nanos(now.0)
}

const ROOT_STALE: Time = 15_000_000_000;
const HEARD_FOR: Time = 1_500_000_000;
