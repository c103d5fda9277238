//! What passes between the stages of one node: the product's `topology.rs`, without what the store and the roles never see.

use {
    tandem_identity::Permit,
    tandem_role::{
        event::{Event, ReadId},
        kv::Revision,
        protocol::Pulse,
    },
    tandem_tower_storage::{Claim, LeaderSlotClaim, Tower},
    tandem_types::{BlockKey, Pubkey, Slot, Term, Tick},
    tandem_vote::{Adopted, Decision, DecisionId},
};

#[derive(Debug)]
pub enum PromiseInput {
    Vote(Box<Decision>),
    ClaimSlot(Slot),
    Beat {
        beat: u64,
        may_vote: bool,
    },
    /// The watchdog's look at the owner, with the moment it was asked for.
    Look(Tick),
    Store(StoreCommand),
}

#[derive(Debug)]
pub enum StoreCommand {
    Open,
    Read { read: ReadId },
    WriteIntent { owner_revision: Revision, term_seen: Term, from: String, deadline_ms: u64, reason: String },
    Claim { owner_revision: Revision, term_seen: Term, previous_host: Option<String>, reason: String, slot: Slot },
    AdoptChainTower { tower: Tower },
    Resume { permit: Permit },
    HaltVotes,
    Release { reason: String },
}

#[derive(Debug)]
pub enum RoleInput {
    Event(Event),
    Claimed(Box<Claim>),
    Prepared { last_vote: Option<BlockKey>, last_vote_replayed: bool, free_from: Slot },
    ProducerHalted,
    Looked { asked: Tick, pulse: Option<Box<Pulse>> },
    BeatFenced { term: Term, by: String },
    Quarantine { reason: String },
}

#[derive(Debug)]
pub enum VoteInput {
    Frozen(usize),
    Seen(BlockKey),
    Recorded(DecisionId),
    Refused(DecisionId),
    Prepare(Box<Adopted>),
    Activate,
    StandDown,
}

#[derive(Debug)]
pub enum ProducerInput {
    Claimed(LeaderSlotClaim),
    Refused,
    Allow { identity: Pubkey, permit: Permit },
    Halt { abandon: bool },
}
