//! What the voter wants to promise. The wiring makes it from the voter's own type: this crate shares none with it.

use tandem_types::{Hash, Pubkey, Slot, UnixTimestamp};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoteKind {
    Vote,
    /// The last vote again under a newer blockhash.
    Refresh,
}

/// Votes from the oldest to the newest, each with its confirmation count, and the slot that fell off the full stack.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tower {
    pub votes: Vec<(Slot, u32)>,
    pub root: Option<Slot>,
}

impl Tower {
    pub fn last_slot(&self) -> Option<Slot> {
        self.votes.last().map(|(slot, _)| *slot)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoteDecision {
    pub identity: Pubkey,
    pub vote_account: Pubkey,
    pub kind: VoteKind,
    pub slot: Slot,
    /// Bank hash of the block voted for.
    pub hash: Hash,
    pub block_id: Hash,
    /// The tower with this vote in it.
    pub tower: Tower,
    pub timestamp: Option<UnixTimestamp>,
    pub recent_blockhash: Hash,
    /// The vote leaves the fork of the last one.
    pub switch: bool,
}
