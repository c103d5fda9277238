//! What goes into the two machines and what comes out of them.

use {
    std::{collections::HashMap, net::SocketAddr, sync::Arc},
    tandem_types::{Pubkey, Signature, Slot},
    tandem_wire::Reject,
};

/// The holder of the identity's key. We are who it says we are: after a change of identity the next request is signed
/// by the new one.
pub trait Signer {
    fn pubkey(&self) -> Pubkey;
    fn sign(&self, bytes: &[u8]) -> Signature;
}

/// Where the server finds what it is asked for. A payload is a data shred's, 1203 bytes, without a nonce.
pub trait ShredSource {
    fn shred(&mut self, slot: Slot, index: u64) -> Option<Vec<u8>>;
    /// The data shred with the highest index, if that index is not below `min_index`.
    fn highest(&mut self, slot: Slot, min_index: u64) -> Option<Vec<u8>>;
    fn parent(&mut self, slot: Slot) -> Option<Slot>;
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    pub from: SocketAddr,
    pub bytes: Vec<u8>,
}

pub enum ClientEvent {
    /// From the socket that our requests leave from: a shred we asked for, or a ping.
    Packet(Packet),
    /// Everything that is missing now; replaces what was said before.
    Missing(Vec<SlotGap>),
    /// Everybody who can be asked now; replaces what was said before.
    Peers(Vec<RepairPeer>),
    /// Send it when `next_deadline` has come.
    Timer,
}

pub enum ServerEvent {
    /// Requests that came together: they compete for what we may send, and the staked are first.
    Requests(Vec<Packet>),
    /// Stakes of the current epoch by node identity.
    Stakes(Arc<HashMap<Pubkey, u64>>),
    /// While we lead, the uplink belongs to our block: each byte costs ten times as much.
    Leading(bool),
}

/// What a slot lacks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SlotGap {
    pub slot: Slot,
    /// The highest data index received, plus one; 0: nothing at all.
    pub received: u32,
    /// Data indexes below `received` that are missing, ascending.
    pub missing: Vec<u32>,
    /// We have not seen the shred that says it is the last.
    pub unknown_last: bool,
    /// We do not know the chain of its parents.
    pub orphan: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepairPeer {
    pub pubkey: Pubkey,
    /// Its serve_repair socket.
    pub addr: SocketAddr,
    pub stake: u64,
    /// It has nothing below this slot (gossip's LowestSlot).
    pub lowest_slot: Slot,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    Send {
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// The payload of a data shred that we asked for. Its leader's signature is not checked here.
    Shred {
        bytes: Vec<u8>,
        from: SocketAddr,
    },
    Counted(Reason),
}

/// Why something was dropped or not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Rejected(Reject),
    BadSignature,
    /// Not an address that can be answered.
    BadAddress,
    /// A request for another node, or of our own making.
    NotForUs,
    /// A request that was signed at another time than about now.
    WrongTime,
    /// The asker has not yet shown that it reads its address: it got a ping instead of an answer.
    UnverifiedAddress,
    /// A pong nobody asked for.
    UnexpectedPong,
    /// More requests than we look at or may answer; the least staked lose.
    Overload,
    /// We do not have what was asked for.
    NotHere,
    /// An answer to a question we did not ask, or asked too long ago.
    UnknownNonce,
    /// An answer to another question than the one its nonce belongs to.
    WrongAnswer,
    /// Nobody can be asked.
    NoPeer,
}

impl Reason {
    /// A name with few values, for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::Rejected(reject) => reject.label(),
            Reason::BadSignature => "bad_signature",
            Reason::BadAddress => "bad_address",
            Reason::NotForUs => "not_for_us",
            Reason::WrongTime => "wrong_time",
            Reason::UnverifiedAddress => "unverified_address",
            Reason::UnexpectedPong => "unexpected_pong",
            Reason::Overload => "overload",
            Reason::NotHere => "not_here",
            Reason::UnknownNonce => "unknown_nonce",
            Reason::WrongAnswer => "wrong_answer",
            Reason::NoPeer => "no_peer",
        }
    }
}
