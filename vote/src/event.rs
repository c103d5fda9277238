//! What goes into the machine and what comes out.

use {
    crate::{TowerFault, TowerState},
    std::sync::Arc,
    tandem_types::{BlockKey, Epoch, Hash, Pubkey, Slot, Tick, UnixMillis, UnixTimestamp},
};

/// The two clocks of one moment. The wall clock goes into vote timestamps only; nothing is decided by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    pub tick: Tick,
    pub wall: UnixMillis,
}

/// Whom the machine works for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    pub vote_account: Pubkey,
    /// The identity that leads our slots, whichever machine of the pair holds it.
    pub identity: Pubkey,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A block was executed and frozen. Parents come before children.
    Frozen(FrozenBlock),
    /// The block of this slot was dumped (the cluster confirmed another version), and with it all that descend from it.
    Purged(Slot),
    /// Somebody's vote, seen in gossip or on the vote port; its signature and its authorized voter were checked.
    GossipVote { vote_account: Pubkey, block: BlockKey },
    /// A proof that the slot's leader made more than one block.
    DuplicateSlot(Slot),
    /// The cluster agreed on this version of a slot, learned from somewhere else than votes (ancestor hashes).
    DuplicateConfirmed(BlockKey),
    /// The decision is durable under our term: the tower now contains it.
    Recorded { id: DecisionId },
    /// The decision was not recorded and never will be: it is forgotten.
    Refused { id: DecisionId },
    /// We became active with this tower.
    Adopt(Adopted),
    /// Decide nothing until the next `Adopt`.
    StandDown,
    /// The deadline passed.
    Timer,
}

/// The tower that the promise store gave us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Adopted {
    pub tower: TowerState,
    /// The newest vote of `tower`; the store knows the hash voted for. `None` exactly when the tower has no votes.
    pub last_vote: Option<LastVote>,
    pub last_timestamp: Option<VoteTime>,
    /// Those slots of `tower` (votes and root) that are ancestors of our root block or the root block itself, as its
    /// `SlotHistory` sysvar tells. The machine sees blocks from its root on only, and must not take an old vote on the
    /// rooted chain for a vote on another fork.
    pub rooted: Vec<Slot>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastVote {
    pub block: BlockKey,
    pub block_id: Hash,
    pub timestamp: Option<UnixTimestamp>,
}

/// The time a vote carried for its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VoteTime {
    pub slot: Slot,
    pub unix: UnixTimestamp,
}

#[derive(Clone, Debug)]
pub struct FrozenBlock {
    pub key: BlockKey,
    pub parent: BlockKey,
    pub block_id: Hash,
    pub last_blockhash: Hash,
    pub block_height: u64,
    pub epoch: Epoch,
    /// The node that produced it.
    pub leader: Pubkey,
    /// Every vote account with stake in `epoch`, as its state is in this block.
    pub votes: Vec<LandedVote>,
    /// All stake of `epoch`.
    pub total_stake: u64,
    /// Our own vote account, staked or not; `None` if it does not exist in this block.
    pub our_landed: Option<OurVote>,
}

/// One vote account in one block. Blocks share the towers that did not change between them.
#[derive(Clone, Debug)]
pub struct LandedVote {
    pub vote_account: Pubkey,
    pub node: Pubkey,
    pub stake: u64,
    pub tower: Arc<TowerState>,
}

#[derive(Clone, Debug)]
pub struct OurVote {
    pub tower: Arc<TowerState>,
    pub timestamp: Option<VoteTime>,
}

/// Tells a late answer of the store from an answer to what was decided last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct DecisionId(pub u64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecisionKind {
    Vote,
    /// The last vote again, same slot and hash, with a newer blockhash, because it did not land.
    Refresh,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    pub id: DecisionId,
    pub kind: DecisionKind,
    pub slot: Slot,
    pub hash: Hash,
    pub block_id: Hash,
    /// The tower with this vote in it.
    pub tower: TowerState,
    pub timestamp: Option<UnixTimestamp>,
    pub recent_blockhash: Hash,
    /// The vote leaves the fork of the last one: it goes out as `TowerSyncSwitch` with an all-zero proof hash.
    pub switch: bool,
}

impl Decision {
    pub fn block(&self) -> BlockKey {
        BlockKey::new(self.slot, self.hash)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Record this, and only then sign and send it. The answer is `Recorded` or `Refused`; until then nothing else is decided.
    Decide(Decision),
    /// Build our next block on this one. Emitted when it changes, and when `may_lead` has become true for it.
    Reset {
        to: BlockKey,
    },
    /// This block is final for us: what does not descend from it can be dropped.
    Root(BlockKey),
    /// More than 2/3 of the stake voted for exactly this block, and we have frozen it too.
    OptimisticallyConfirmed(BlockKey),
    /// More than 52 % of the stake voted for this block or (landed) its descendants: another version of it is to be dumped.
    DuplicateConfirmed(BlockKey),
    /// More than 2/3 of the stake has this slot or a later one as its root.
    SupermajorityRoot(Slot),
    /// There is a newer block, but we may not vote for it. Emitted when the reason changes.
    Held(Hold),
    /// Somebody knows more of our votes than the adopted tower: nothing is decided until the next `Adopt`.
    Quarantine(Quarantine),
    Ignored(Ignored),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// An earlier vote on another fork forbids slots up to and including `until`.
    LockedOut { slot: Slot, by: Slot, until: Slot },
    /// The tower's root is not an ancestor: the ledger is behind the tower, or on another fork than it.
    RootMissing { slot: Slot, root: Slot },
    /// Too little stake voted for what our ninth newest vote would be.
    Threshold { slot: Slot, deep: Slot, stake: u64, total: u64 },
    /// Too little stake is locked out on other forks for us to leave ours.
    Switch { slot: Slot, stake: u64, total: u64 },
    /// The last vote's block or an ancestor of it has a rival version and neither is confirmed yet.
    DuplicateRollback { slot: Slot, duplicate: Slot },
    /// Our own leader slot was not seen by a third of the stake yet.
    NotPropagated { slot: Slot, own: Slot },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quarantine {
    /// A frozen block contains a vote of ours that the tower does not know.
    ChainAhead { ours: Option<Slot>, on_chain: Slot, block: BlockKey },
    /// A vote of ours that the tower does not know is in gossip.
    GossipAhead { ours: Option<Slot>, seen: BlockKey },
    /// The adopted tower is not one that voting can produce.
    Malformed(TowerFault),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    AlreadyFrozen(BlockKey),
    /// Its parent was never frozen, or was dropped since.
    UnknownParent(BlockKey),
    NotAfterParent(BlockKey),
    /// A vote account without stake in any epoch we know.
    UnknownVoter,
    /// A vote for a slot at or below the root, or absurdly far ahead of it.
    VoteOutOfRange,
    /// The same voter voted for another version of this slot, or too many versions of it are about.
    RivalVersion,
    /// An answer to a decision that is not outstanding.
    StaleAnswer(DecisionId),
}
