//! What goes into the machine and what comes out of it.

use {
    std::{collections::HashMap, net::SocketAddr, sync::Arc},
    tandem_types::{Hash, Pubkey, Signature, Slot, VersionedTransaction},
    tandem_wire::{Reject, contact_info::ContactInfo, duplicate_shred::DuplicateProof, vote_tx::ParsedVote},
};

/// The holder of the identity's key. It signs for one identity; if that is not ours, nothing is signed.
pub trait Signer {
    fn pubkey(&self) -> Pubkey;
    fn sign(&self, bytes: &[u8]) -> Signature;
}

pub enum Event {
    Packet {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Send it when `Gossip::next_deadline` has come.
    Timer,
    /// We are another node from now on: pubkey, outset and sockets are taken from `contact`.
    SetIdentity {
        contact: Box<ContactInfo>,
    },
    /// A vote of ours, as sent to the leaders. `slot` is the newest slot it votes for; a refreshed vote has the same.
    PublishVote {
        slot: Slot,
        transaction: VersionedTransaction,
    },
    Publish(Publication),
    /// Stakes of the current epoch by node identity.
    Stakes(Arc<HashMap<Pubkey, u64>>),
}

/// What else we originate.
pub enum Publication {
    /// The first slot we can serve.
    LowestSlot(Slot),
    /// Slots that have become complete, ascending.
    EpochSlots(Vec<Slot>),
    DuplicateShred {
        slot: Slot,
        proof: DuplicateProof,
    },
    SnapshotHashes {
        full: (Slot, Hash),
        incremental: Vec<(Slot, Hash)>,
    },
}

#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    Send {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Votes that others published, new to us; under our own name too. The gossip records are verified; the transactions inside are not.
    Votes(Vec<GossipVote>),
    /// A node appeared, left, or changed an address.
    ContactsChanged,
    /// A complete proof that a leader made two blocks; its shreds are not verified.
    DuplicateProof {
        from: Pubkey,
        slot: Slot,
        proof: DuplicateProof,
    },
    /// Our identity runs elsewhere and began later than we did. A hint: the owner is decided elsewhere. `alive`: it has
    /// renewed its record since it was first seen.
    IdentityElsewhere {
        outset: u64,
        alive: bool,
        contact: Box<ContactInfo>,
    },
    /// The shred version was 0 and an entrypoint has told it.
    ShredVersionLearned(u16),
    Counted(Reason),
}

#[derive(Clone, PartialEq, Debug)]
pub struct GossipVote {
    pub from: Pubkey,
    pub transaction: VersionedTransaction,
    pub vote: ParsedVote,
}

/// Why something was dropped or not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Rejected(Reject),
    BadSignature,
    /// Not an address we may send to.
    BadAddress,
    OtherShredVersion,
    /// Only staked nodes may send this in a large cluster.
    Unstaked,
    /// A record of a node that has not introduced itself.
    UnknownOrigin,
    /// Pushed values or callers whose clock is off, or prunes that come late.
    WrongTime,
    /// The sender has not yet shown that it reads its address.
    UnverifiedAddress,
    /// A pong nobody asked for.
    UnexpectedPong,
    /// A request or prune of our own making, or one meant for another node.
    NotForUs,
    ScanBudget,
    SendBudget,
    /// The table is full for this origin.
    TableFull,
    /// Gossip holds a newer vote of this identity: publishing an older one would look like a second voter.
    OlderVoteThanInGossip,
    NotAVote,
    /// The signer holds another key than ours: nothing was signed.
    SignerIsAnother,
}

impl Reason {
    /// A name with few values, for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::Rejected(reject) => reject.label(),
            Reason::BadSignature => "bad_signature",
            Reason::BadAddress => "bad_address",
            Reason::OtherShredVersion => "other_shred_version",
            Reason::Unstaked => "unstaked",
            Reason::UnknownOrigin => "unknown_origin",
            Reason::WrongTime => "wrong_time",
            Reason::UnverifiedAddress => "unverified_address",
            Reason::UnexpectedPong => "unexpected_pong",
            Reason::NotForUs => "not_for_us",
            Reason::ScanBudget => "scan_budget",
            Reason::SendBudget => "send_budget",
            Reason::TableFull => "table_full",
            Reason::OlderVoteThanInGossip => "older_vote_than_in_gossip",
            Reason::NotAVote => "not_a_vote",
            Reason::SignerIsAnother => "signer_is_another",
        }
    }
}
