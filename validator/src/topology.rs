//! Every link between stages: what goes over it, how much it holds, what happens when it is full.
//!
//! `offer` drops and counts when a link is full (packets and hints: the network or the next look makes up for it). `send` waits
//! (orders and answers: losing one would lose the node's mind); the stages that wait are ordered so that no circle of full
//! links can form: net -> gossip/shreds/repair -> replay -> vote -> promise -> role.

use {
    crate::{admin::RoleRequest, exit::Failure, views::Views},
    std::sync::Arc,
    tandem_bank::Bank,
    tandem_env::{Doorbell, Rx, Tx, link},
    tandem_gossip::Publication,
    tandem_identity::Permit,
    tandem_net::Packet,
    tandem_role::event::ReadId,
    tandem_shred::Shred,
    tandem_tower_storage::{LeaderSlotClaim, PromisedAt},
    tandem_types::{BlockKey, Pubkey, Slot, Tick, VersionedTransaction},
    tandem_vote as vote,
    tandem_wire::contact_info::ContactInfo,
    tokio::sync::oneshot,
};

/// To gossip.
pub enum GossipCommand {
    /// We show ourselves as this node from now on.
    SetIdentity(Box<ContactInfo>),
    PublishVote {
        slot: Slot,
        transaction: VersionedTransaction,
    },
    Publish(Publication),
}

/// To the shred stage, the ledger's one writer.
pub enum ShredInput {
    /// A repair answer whose nonce was ours.
    Repaired(Shred),
    /// Cut and signed here, under a leader-slot claim: kept, then sent.
    Own {
        slot: Slot,
        /// Where that claim stands.
        at: PromisedAt,
        data: Vec<Shred>,
        code: Vec<Shred>,
    },
    /// Facts about blocks, to be kept.
    Frozen {
        key: BlockKey,
    },
    Root(Slot),
    Dead(Slot),
    /// The cluster confirmed another version: forget ours and fetch that one.
    Dump(Slot),
}

/// To repair.
pub enum RepairInput {
    /// Replay wants this slot, or its parent, and it is not here.
    Wanted(Slot),
}

/// To replay.
pub enum ReplayInput {
    /// The ledger has more consecutive data of a slot.
    Progress(tandem_ledger::Progress),
    /// Our producer makes this block: it comes as `OwnFrozen` or `OwnAbandoned`.
    OwnBegun {
        slot: Slot,
        parent: Slot,
    },
    OwnFrozen {
        bank: Arc<Bank>,
        records: Vec<tandem_rpc::TransactionRecord>,
    },
    OwnAbandoned {
        slot: Slot,
    },
    Root(BlockKey),
    DuplicateConfirmed(BlockKey),
}

/// To the vote stage.
pub enum VoteInput {
    Frozen {
        bank: Arc<Bank>,
        block: Box<vote::FrozenBlock>,
        at: Tick,
    },
    /// Votes seen in gossip or on the vote port; signatures checked.
    SeenVotes(Vec<(Pubkey, BlockKey)>),
    Purged(Slot),
    DuplicateSlot(Slot),
    Recorded {
        id: vote::DecisionId,
    },
    Refused {
        id: vote::DecisionId,
    },
    /// The tower claimed from the store: look at it and answer the role stage; used from `Activate` on.
    Prepare {
        term: tandem_types::Term,
        identity: Pubkey,
        adopted: Box<vote::Adopted>,
    },
    Activate,
    StandDown,
}

/// To the promise stage, the only one that talks to the promise store.
pub enum PromiseInput {
    /// With the moment its bank was frozen; `None` for a refreshed vote.
    Vote {
        decision: Box<vote::Decision>,
        frozen_at: Option<Tick>,
    },
    ClaimSlot(Slot),
    Store(StoreCommand),
}

/// What the role stage wants of the store; each is answered by a role event.
pub enum StoreCommand {
    /// From now on the store of this identity is meant; the one before is let go first. Answered by `StoreOpened` or `StoreNotOpened`.
    Open {
        identity: Pubkey,
    },
    Read {
        read: ReadId,
    },
    WriteIntent {
        owner_revision: u64,
        term_seen: tandem_types::Term,
        from: String,
        deadline_ms: u64,
        reason: String,
    },
    Claim {
        owner_revision: u64,
        term_seen: tandem_types::Term,
        previous_host: Option<String>,
        reason: String,
        slot: Slot,
    },
    /// No tower in the store: votes are checked against the chain's.
    AdoptChainTower {
        tower: tandem_tower_storage::Tower,
    },
    Release {
        reason: String,
    },
    /// A person vouches for the store.
    Vouch {
        vouch: Vouch,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// Votes and leader slots are refused from now on until `Resume`; answered when none is in flight.
    HaltVotes,
    Resume {
        permit: Permit,
    },
}

/// What a person says of a store that is not believed.
pub enum Vouch {
    /// It is the identity's own, and has lost nothing.
    Store,
    /// It may have lost votes, and the chain has passed this slot: none of them binds any more.
    NoTower { slot: Slot },
}

/// To the producer.
pub enum ProducerInput {
    /// Build the next block on this one.
    Reset {
        bank: Arc<Bank>,
        propagated: bool,
    },
    SlotClaimed(LeaderSlotClaim),
    SlotRefused(Slot),
    /// The ledger refused our shreds of this slot: another version of it is known.
    OwnRefused(Slot),
    /// The role machine lets this node lead for `identity`.
    Allow {
        identity: Pubkey,
        permit: Permit,
    },
    Halt {
        abandon: bool,
    },
}

/// A transaction that wants into a block: wire bytes checked, signatures verified.
pub struct VerifiedTransaction {
    pub transaction: VersionedTransaction,
    pub message_hash: tandem_types::Hash,
    pub is_vote: bool,
}

/// To the role stage.
pub enum RoleInput {
    Event(tandem_role::event::Event),
    Request(RoleRequest),
    /// The store answered a claim: its tower and watermark, for adoption.
    Claimed(Box<tandem_tower_storage::Claim>),
    /// The vote stage looked at the tower to adopt.
    Prepared {
        /// Of the claim it was asked for: a late answer must not pass for one to a later claim.
        term: tandem_types::Term,
        last_vote: Option<BlockKey>,
        last_vote_replayed: bool,
        free_from: Slot,
    },
    /// The producer has no slot in production and starts none.
    ProducerHalted,
    Quarantine {
        reason: String,
    },
    SeenElsewhere {
        alive: bool,
    },
    Failover(FailoverInput),
}

/// Hints for automatic failover, from the watch and from the heart thread.
pub enum FailoverInput {
    /// The store changed at this revision, by the owner's hand: a beat, a tower, a leader slot.
    Sign(u64),
    /// What an owner that may vote says of itself.
    Beat(tandem_role::event::OwnerSign),
    Owner {
        term: tandem_types::Term,
        released: bool,
        revision: u64,
    },
    Hold(Box<tandem_role::hints::HoldRecord>),
    /// The answer to a look at the store; nothing if there was none.
    Looked {
        asked: Tick,
        pulse: Option<Box<tandem_role::protocol::Pulse>>,
    },
    BeatFenced {
        term: tandem_types::Term,
        by: String,
    },
}

/// To the courier, which brings transactions of clients to the leaders.
pub struct Parcel {
    pub bytes: Vec<u8>,
    pub signature: tandem_types::Signature,
    pub last_valid_block_height: u64,
}

/// The bells of the stages, each rung by every link into it.
#[derive(Default)]
pub struct Bells {
    pub gossip: Doorbell,
    pub shreds: Doorbell,
    pub repair: Doorbell,
    pub replay: Doorbell,
    pub vote: Doorbell,
    pub promise: Doorbell,
    pub role: Doorbell,
    pub producer: Doorbell,
    pub tpu: Doorbell,
    pub courier: Doorbell,
}

macro_rules! links {
    ($($(#[$doc:meta])* $name:ident: $item:ty, $capacity:expr, $bell:ident;)*) => {
        /// The writing ends, cloned into whoever writes.
        #[derive(Clone)]
        pub struct Writers { $($(#[$doc])* pub $name: Tx<$item>,)* }

        /// The reading ends, each moved into its one reader.
        pub struct Readers { $($(#[$doc])* pub $name: Rx<$item>,)* }

        pub fn build(bells: &Bells) -> (Writers, Readers) {
            $(let $name = link::<$item>($capacity, &bells.$bell);)*
            (Writers { $($name: $name.0,)* }, Readers { $($name: $name.1,)* })
        }
    };
}

links! {
    /// net -> gossip; offered.
    gossip_packets: Packet, 4_096, gossip;
    /// role, promise, shreds -> gossip; sent.
    gossip: GossipCommand, 1_024, gossip;
    /// net (turbine) -> shreds; offered.
    tvu_packets: Packet, 8_192, shreds;
    /// repair, producer, replay, vote -> shreds; sent.
    shreds: ShredInput, 8_192, shreds;
    /// net (answers to our requests) -> repair; offered.
    repair_packets: Packet, 4_096, repair;
    /// net (requests of others) -> repair; offered.
    serve_repair_packets: Packet, 4_096, repair;
    /// replay -> repair; offered.
    repair: RepairInput, 1_024, repair;
    /// shreds, producer, vote -> replay; sent.
    replay: ReplayInput, 16_384, replay;
    /// replay, gossip, tpu, promise, role -> vote; sent (seen votes are offered).
    vote: VoteInput, 8_192, vote;
    /// vote, producer, role -> promise; sent.
    promise: PromiseInput, 256, promise;
    /// vote, promise, shreds, role -> producer; sent.
    producer: ProducerInput, 1_024, producer;
    /// tpu, rpc -> producer; offered.
    transactions: VerifiedTransaction, 16_384, producer;
    /// promise, vote, producer, gossip, admin, etcd watch -> role; sent.
    role: RoleInput, 1_024, role;
    /// net (QUIC) -> tpu; offered.
    tpu_packets: tandem_net::TpuPacket, 16_384, tpu;
    /// net (UDP votes) -> tpu; offered.
    vote_packets: Packet, 8_192, tpu;
    /// rpc -> courier; offered (the client is told when it is full).
    courier: Parcel, 8_192, courier;
}

/// What most stages read besides their links.
#[derive(Clone)]
pub struct Shared {
    pub views: Arc<Views>,
    pub writers: Writers,
    pub clock: tandem_env::MonotonicClock,
}
