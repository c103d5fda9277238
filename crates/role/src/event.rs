//! What goes into the role machine and what comes out.

use {
    crate::{
        kv::Revision,
        records::{IntentRecord, OwnerRecord},
        status::ExitStatus,
    },
    std::fmt,
    tandem_types::{Pubkey, Slot, Term},
};

/// Names a request of the admin socket, so that its answer finds its way back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// Tells the answer to one `ReadStore` from the answer to an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct ReadId(pub u64);

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Where this node stands in the chain; at each change of tip or root.
    Chain(ChainStatus),
    /// Answer to `ReadStore`.
    StoreRead {
        read: ReadId,
        facts: Box<StoreFacts>,
    },
    /// This did not succeed in time, and did not happen.
    StoreUnavailable {
        call: StoreCall,
        reason: String,
    },
    /// The store contradicts what we know (I6), or holds what we cannot read.
    StoreQuarantined {
        reason: String,
    },
    /// Answer to `OpenStore`: what is asked of the store from now on is this identity's.
    StoreOpened {
        identity: Pubkey,
    },
    /// None is open now.
    StoreNotOpened {
        identity: Pubkey,
        kind: RefusedKind,
        reason: String,
    },
    /// A person has vouched for the store (`failover recover`): as it is, or without its tower.
    StoreVouched {
        tower_forgotten: bool,
    },
    /// The watch saw the owner record change (`None`: it may have, events were missed). A hint.
    OwnerChanged(Option<Box<OwnerRecord>>),
    /// The watch saw a wish to take over.
    IntentSeen(Box<IntentRecord>),
    IntentWritten,
    /// `set-identity`.
    SetIdentity(SetIdentity),
    /// The watchdog (`auto.rs`) found the owner of this term dead.
    Promote {
        term: Term,
        candidate: Candidate,
    },
    /// Answer to `Claim`.
    ClaimDone(Box<ClaimFacts>),
    /// The owner changed since it was read: nothing was claimed. The facts are from the refusing transaction.
    ClaimRefused(Box<StoreFacts>),
    /// The claim was sent and never answered: it may or may not have happened.
    ClaimUnresolved {
        reason: String,
    },
    /// The voter took the tower over. `free_from`: from this slot on none of its lockouts keeps us from the fork we are
    /// on (votes that lie on that fork never did).
    TowerAdopted {
        last_vote: Option<Slot>,
        last_vote_replayed: bool,
        free_from: Slot,
    },
    /// The tower cannot be used: it is older than what is known, or no tower of ours. `safe_from`: slot from which
    /// voting would be safe again, if that can be said.
    TowerQuarantined {
        reason: String,
        safe_from: Option<Slot>,
    },
    /// Gossip, repair and TLS speak under this key now, and no other.
    NodeIdentitySwitched(NodeIdentity),
    /// A vote was recorded.
    Recorded {
        slot: Slot,
    },
    /// A recorded vote went out.
    VoteReleased,
    /// A decision was refused, or recorded and could not be signed.
    VoteUnreleased {
        reason: String,
    },
    /// A write of ours was refused: somebody else owns the identity.
    RecordFenced {
        by: String,
    },
    /// A write could not be made, or resolved, within the write timeout.
    RecordTimeout {
        reason: String,
    },
    /// No block of ours is in production any more, and none will be begun until `Unlock`.
    LeaderSlotDone,
    /// No vote is being recorded or signed any more, and none will be begun until `Unlock`.
    VotesSettled,
    /// The identity was given back, or somebody had taken it already.
    Released,
    /// It could not be given back: the next owner will have to wait out its deadline.
    ReleaseFailed {
        reason: String,
    },
    /// Our identity appeared in gossip from elsewhere with a newer start. A hint. `alive`: it has spoken again since, so
    /// that it is no echo of an earlier run.
    SeenElsewhere {
        alive: bool,
    },
    /// A vote of the vote account, rightly signed, that this process did not release. `voter_stopped`: it is newer than
    /// the voter's tower, so that the voter decides nothing any more.
    VoteElsewhere {
        slot: Slot,
        voter_stopped: bool,
    },
    Shutdown,
    /// `next_deadline` has passed.
    Timer,
}

/// What the store was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreCall {
    Read(ReadId),
    Intent,
    Claim,
}

/// Numbers the machine judges by; they are facts, the judgement is the machine's. Those of the cluster come from `joining.rs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChainStatus {
    /// Highest slot replayed.
    pub tip: Slot,
    /// Slots between our tip and the cluster's; `u64::MAX` while that is not known.
    pub slots_behind: u64,
    /// The root or the confirmed block moved lately: what we replay is what two thirds of the stake vote for.
    pub root_advancing: bool,
    /// The cluster cannot root anything without this identity's votes (it holds a third of the stake or more), so that
    /// the root will not move before we vote; and we follow the cluster closely enough to vote on its fork.
    pub root_needs_us: bool,
    /// The newest vote of the contested identity in any block we replayed.
    pub own_vote_on_chain: Option<Slot>,
    /// The newest vote of the contested identity seen in gossip.
    pub own_vote_in_gossip: Option<Slot>,
    /// The block of the adopted tower's last vote is among the replayed ones.
    pub last_vote_replayed: bool,
    /// Whether this node could vote at all, as of the current root and epoch.
    pub candidate: Candidate,
    /// What the owner has beaten in the store within the last moments, if somebody does.
    pub owner: Option<OwnerSign>,
}

/// Where an owner is, by its own word: a hint. It can hold off a claim, and makes none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnerSign {
    pub term: Term,
    pub tip: Slot,
    /// It sees blocks become final.
    pub finalizes: bool,
}

/// What the store says, as far as roles are concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreFacts {
    pub owner: Option<OwnerRecord>,
    /// What a claim must compare.
    pub owner_revision: Revision,
    pub has_tower: bool,
    /// Last vote of the stored tower; `None` also for a tower without votes.
    pub tower_last_vote: Option<Slot>,
    pub intent: Option<IntentRecord>,
    /// A person has said that there need not be a tower (`failover recover`).
    pub accepted: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimFacts {
    pub term: Term,
    pub has_tower: bool,
    pub tower_last_vote: Option<Slot>,
    pub watermark: Option<Slot>,
}

/// A request to become `identity`. The key itself is in the vault already; only its name is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetIdentity {
    pub request: RequestId,
    pub identity: Pubkey,
    pub require_tower: bool,
    pub candidate: Candidate,
}

/// Whether this node could vote at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Candidate {
    /// What this node votes for, if it votes.
    pub vote_account: Option<Pubkey>,
    /// The root that the next is of.
    pub root: Slot,
    /// Node identity that the vote account names; `None`: it does not exist in our root.
    pub vote_account_node: Option<Pubkey>,
    /// The same at the tip: what the root is about to say.
    pub node_at_tip: Option<Pubkey>,
    /// The vault holds the key that may vote for the vote account now.
    pub authorized_voter_held: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Let the store of the identity before go, then open this one's. Never two at once: a folder has one lock, and what a process owns
    /// in a store that it has left nobody gives back.
    OpenStore {
        identity: Pubkey,
    },
    ReadStore {
        read: ReadId,
    },
    WriteIntent {
        owner_revision: Revision,
        term_seen: Term,
        from: String,
        deadline_ms: u64,
        reason: String,
    },
    /// Claim for the term after `term_seen`.
    Claim {
        owner_revision: Revision,
        term_seen: Term,
        previous_host: Option<String>,
        reason: String,
    },
    /// Make the claimed tower the voter's. The answer is `TowerAdopted` or `TowerQuarantined`.
    Adopt {
        term: Term,
        source: TowerSource,
    },
    /// The identity may sign votes and blocks under this term; block production starts above the watermark.
    Unlock {
        term: Term,
        watermark: Option<Slot>,
    },
    /// Begin no leader slot any more. With `abandon`, drop the one in production; else finish it. Answer: `LeaderSlotDone`.
    HaltLead {
        abandon: bool,
    },
    /// Begin no vote any more. Answer: `VotesSettled` when none is in flight.
    HaltVote,
    /// Every signature for the identity fails from now on.
    Lock,
    /// Give the identity back in the store. Answer: `Released` or `ReleaseFailed`.
    Release {
        term: Term,
        reason: String,
    },
    SwitchNodeIdentity(NodeIdentity),
    /// Announce ourselves in gossip with a newer start.
    Reannounce,
    /// Nothing changes, but an operator must hear of it at once.
    Alarm {
        reason: String,
    },
    Reply {
        request: RequestId,
        outcome: Result<HandoverReport, Refused>,
    },
    Exit {
        status: ExitStatus,
        reason: String,
    },
    Log(Transition),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeIdentity {
    /// The contested one.
    Active(Pubkey),
    /// Our own, while standby.
    Standby,
    /// A key given by an operator (`set-identity` with another key than the contested one) to stand by under.
    StandbyAs(Pubkey),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TowerSource {
    /// The one in the store.
    Store,
    /// The store has none: the vote account's state on chain.
    Chain,
    /// Nothing was ever voted.
    Fresh,
}

/// What `set-identity` prints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandoverReport {
    /// Active, or Standby when the node was told to step down.
    pub role: RoleState,
    pub term: Term,
    pub last_vote_slot: Option<Slot>,
    pub phases: Phases,
    /// Slots between the last vote of the owner before and our tip when we may vote.
    pub slots_missed: u64,
}

/// Milliseconds of each part of a hand-over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Phases {
    pub read_ms: u64,
    /// From the intent until the owner let go, or the deadline.
    pub intent_ms: u64,
    pub claim_ms: u64,
    pub adopt_ms: u64,
    pub replay_ms: u64,
    pub switch_ms: u64,
    pub total_ms: u64,
}

/// Nothing was claimed, or what was claimed was given back; the node is as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub kind: RefusedKind,
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusedKind {
    Busy,
    NotCaughtUp,
    WrongVoteAccount,
    NoAuthorizedVoter,
    TowerMissing,
    Quarantined,
    /// The identity's store could not be opened.
    WrongStore,
    /// Somebody else votes or speaks for the identity, and does not share our store.
    Twin,
    TakenMeanwhile,
    /// It took too long from the claim to the first signature.
    TooLong,
    StoreUnavailable,
    Unresolved,
    Stopping,
}

impl RefusedKind {
    pub fn exit_status(self) -> ExitStatus {
        match self {
            Self::TowerMissing => ExitStatus::TowerMissing,
            Self::StoreUnavailable => ExitStatus::StoreLost,
            Self::Unresolved | Self::TooLong => ExitStatus::TimedOut,
            Self::Twin => ExitStatus::Twin,
            Self::Busy
            | Self::NotCaughtUp
            | Self::WrongVoteAccount
            | Self::NoAuthorizedVoter
            | Self::Quarantined
            | Self::WrongStore
            | Self::TakenMeanwhile
            | Self::Stopping => ExitStatus::Refused,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {}; {}", self.reason, self.remedy)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    pub from: RoleState,
    pub to: RoleState,
    pub term: Option<Term>,
    pub why: String,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {} -> {}", self.from, self.to)?;
        if let Some(term) = self.term {
            write!(f, " (term {term})")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// The states of section 5, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RoleState {
    Standby,
    Acquired,
    Recovered,
    CaughtUp,
    Active,
    HaltLead,
    HaltVote,
    Locked,
}

impl fmt::Display for RoleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standby => "STANDBY",
            Self::Acquired => "ACQUIRED",
            Self::Recovered => "RECOVERED",
            Self::CaughtUp => "CAUGHT_UP",
            Self::Active => "ACTIVE",
            Self::HaltLead => "HALT_LEAD",
            Self::HaltVote => "HALT_VOTE",
            Self::Locked => "LOCKED",
        })
    }
}
