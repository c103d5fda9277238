//! Repair: asking a peer for shreds that did not arrive, and the ping that comes before the first answer.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
        ping::{Ping, Pong},
    },
    tandem_types::{Hash, PACKET_BYTES_MAX, Pubkey, Signature, Slot, UnixMillis},
};

/// Sent back behind every answer, so that an answer can be matched with its question.
pub type Nonce = u32;

/// serve_repair.rs:RepairRequestHeader, without the signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    pub sender: Pubkey,
    pub recipient: Pubkey,
    pub timestamp: UnixMillis,
    pub nonce: Nonce,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RequestKind {
    /// The data shred with this index.
    WindowIndex { slot: Slot, shred_index: u64 },
    /// The last data shred the peer has, if its index is not below this one.
    HighestWindowIndex { slot: Slot, shred_index: u64 },
    /// The last shreds of this slot and of its ancestors.
    Orphan { slot: Slot },
    /// Slots and bank hashes of the ancestors of this slot, as the cluster confirmed them.
    AncestorHashes { slot: Slot },
}

/// serve_repair.rs:RepairProtocol, the variants alive without Alpenglow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RepairRequest {
    Pong(Pong),
    Ask { header: RequestHeader, kind: RequestKind, signature: Signature },
}

/// The challenge sent instead of an answer to a requester who has not yet shown it reads its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RepairResponse {
    Ping(Ping),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AncestorHashesResponse {
    Hashes(Vec<(Slot, Hash)>),
    Ping(Ping),
}

impl RepairRequest {
    /// A signed question.
    pub fn ask(header: RequestHeader, kind: RequestKind, sign: impl FnOnce(&[u8]) -> Signature) -> Self {
        let signature = sign(&signable(&header, &kind));
        Self::Ask { header, kind, signature }
    }

    pub fn sender(&self) -> &Pubkey {
        match self {
            Self::Pong(pong) => &pong.from,
            Self::Ask { header, .. } => &header.sender,
        }
    }

    pub fn verify(&self) -> bool {
        match self {
            Self::Pong(pong) => pong.verify(),
            Self::Ask { header, kind, signature } => signature.verify(header.sender.as_ref(), &signable(header, kind)),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(160);
        match self {
            Self::Pong(pong) => pong.write(out.u32(PONG_TAG)),
            Self::Ask { header, kind, signature } => {
                out.u32(kind.tag()).bytes(signature.as_ref());
                write_after_signature(header, kind, &mut out);
            }
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "repair request");
        let tag = input.u32()?;
        let request = match tag {
            0..=6 => return Err(Reject::Deprecated("repair request")),
            PONG_TAG => Self::Pong(Pong::read(&mut input)?),
            8..=11 => {
                let signature = input.signature()?;
                let header = RequestHeader::read(&mut input)?;
                let slot = input.u64()?;
                let kind = match tag {
                    8 => RequestKind::WindowIndex { slot, shred_index: input.u64()? },
                    9 => RequestKind::HighestWindowIndex { slot, shred_index: input.u64()? },
                    10 => RequestKind::Orphan { slot },
                    _ => RequestKind::AncestorHashes { slot },
                };
                Self::Ask { header, kind, signature }
            }
            _ => return Err(Reject::Tag("repair request", tag)),
        };
        input.finish()?;
        Ok(request)
    }
}

impl RequestKind {
    pub fn slot(&self) -> Slot {
        match self {
            Self::WindowIndex { slot, .. }
            | Self::HighestWindowIndex { slot, .. }
            | Self::Orphan { slot }
            | Self::AncestorHashes { slot } => *slot,
        }
    }

    fn tag(&self) -> u32 {
        match self {
            Self::WindowIndex { .. } => 8,
            Self::HighestWindowIndex { .. } => 9,
            Self::Orphan { .. } => 10,
            Self::AncestorHashes { .. } => 11,
        }
    }
}

impl RequestHeader {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        Ok(Self {
            sender: input.pubkey()?,
            recipient: input.pubkey()?,
            timestamp: UnixMillis(input.u64()?),
            nonce: input.u32()?,
        })
    }
}

impl RepairResponse {
    pub fn encode(&self) -> Vec<u8> {
        let Self::Ping(ping) = self;
        let mut out = Writer::with_capacity(PING_RESPONSE_BYTES);
        ping.write(out.u32(0));
        out.0
    }

    /// A response that is a ping, not a shred: only the length tells them apart (repair_response and
    /// fetch stages of agave go by REPAIR_RESPONSE_SERIALIZED_PING_BYTES).
    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "repair response");
        let response = match input.u32()? {
            0 => Self::Ping(Ping::read(&mut input)?),
            tag => return Err(Reject::Tag("repair response", tag)),
        };
        input.finish()?;
        Ok(response)
    }
}

impl AncestorHashesResponse {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(PACKET_BYTES_MAX);
        match self {
            Self::Hashes(hashes) => {
                out.u32(0).count(hashes.len());
                for (slot, hash) in hashes {
                    out.u64(*slot).bytes(hash.as_ref());
                }
            }
            Self::Ping(ping) => ping.write(out.u32(1)),
        }
        out.0
    }

    /// Without the nonce (see `split_nonce`); a ping comes without one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "ancestor hashes");
        let response = match input.u32()? {
            0 => {
                let count = input.count(40)?;
                if count > ANCESTORS_MAX {
                    return Err(Reject::OutOfBounds("ancestor hashes"));
                }
                let read = |_| Ok((input.u64()?, input.hash()?));
                Self::Hashes((0..count).map(read).collect::<Result<_, _>>()?)
            }
            1 => Self::Ping(Ping::read(&mut input)?),
            tag => return Err(Reject::Tag("ancestor hashes", tag)),
        };
        input.finish()?;
        Ok(response)
    }
}

/// An answer (a shred's payload, or ancestor hashes) with the nonce of its question behind it.
pub fn with_nonce(mut answer: Vec<u8>, nonce: Nonce) -> Vec<u8> {
    answer.extend_from_slice(&nonce.to_le_bytes());
    answer
}

pub fn split_nonce(packet: &[u8]) -> Option<(&[u8], Nonce)> {
    let (answer, nonce) = packet.split_last_chunk::<4>()?;
    Some((answer, u32::from_le_bytes(*nonce)))
}

/// Everything but the signature, which stands between tag and header (serve_repair.rs:repair_proto_to_bytes).
fn signable(header: &RequestHeader, kind: &RequestKind) -> Vec<u8> {
    let mut out = Writer::with_capacity(96);
    out.u32(kind.tag());
    write_after_signature(header, kind, &mut out);
    out.0
}

fn write_after_signature(header: &RequestHeader, kind: &RequestKind, out: &mut Writer) {
    out.bytes(header.sender.as_ref()).bytes(header.recipient.as_ref()).u64(header.timestamp.0).u32(header.nonce);
    match kind {
        RequestKind::WindowIndex { slot, shred_index } | RequestKind::HighestWindowIndex { slot, shred_index } => {
            out.u64(*slot).u64(*shred_index);
        }
        RequestKind::Orphan { slot } | RequestKind::AncestorHashes { slot } => {
            out.u64(*slot);
        }
    }
}

const PONG_TAG: u32 = 7;
/// Length of an encoded `RepairResponse::Ping`.
pub const PING_RESPONSE_BYTES: usize = 4 + 32 + 32 + 64;
/// serve_repair.rs:MAX_ANCESTOR_RESPONSES.
pub const ANCESTORS_MAX: usize = 30;

#[cfg(test)]
mod tests {
    use {
        super::*,
        proptest::prelude::*,
        tandem_types::{Keypair, Signer},
    };

    fn header(sender: &Keypair) -> RequestHeader {
        let recipient = Pubkey::new_from_array([2; 32]);
        RequestHeader { sender: sender.pubkey(), recipient, timestamp: UnixMillis(0x0102), nonce: 0x0a0b }
    }

    /// protocol.md 3.1: tag, signature, sender, recipient, timestamp, nonce, slot, index.
    #[test]
    fn layout() {
        let me = Keypair::new_from_array([1; 32]);
        let kind = RequestKind::WindowIndex { slot: 7, shred_index: 9 };
        let request = RepairRequest::ask(header(&me), kind, |bytes| me.sign_message(bytes));
        let bytes = request.encode();
        assert_eq!(bytes.len(), 4 + 64 + 32 + 32 + 8 + 4 + 8 + 8);
        assert_eq!(bytes[..4], [8, 0, 0, 0]);
        assert_eq!(bytes[68..100], me.pubkey().to_bytes());
        assert_eq!(bytes[100..132], [2; 32]);
        assert_eq!(bytes[132..144], [2, 1, 0, 0, 0, 0, 0, 0, 0x0b, 0x0a, 0, 0]);
        assert_eq!(bytes[144..], [7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        let covered = [&bytes[..4], &bytes[68..]].concat();
        assert_eq!(bytes[4..68], *me.sign_message(&covered).as_ref(), "the signature covers tag and what follows it");
    }

    #[test]
    fn requests_round_trip_and_are_bound_to_every_field() {
        let me = Keypair::new();
        for kind in [
            RequestKind::WindowIndex { slot: 7, shred_index: 9 },
            RequestKind::HighestWindowIndex { slot: 7, shred_index: 9 },
            RequestKind::Orphan { slot: 7 },
            RequestKind::AncestorHashes { slot: 7 },
        ] {
            let request = RepairRequest::ask(header(&me), kind, |bytes| me.sign_message(bytes));
            let bytes = request.encode();
            assert_eq!(RepairRequest::decode(&bytes), Ok(request.clone()));
            assert!(request.verify());
            for at in [68, 100, 132, 140, bytes.len() - 1] {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(!RepairRequest::decode(&changed).unwrap().verify(), "byte {at}");
            }
        }
    }

    #[test]
    fn pings_and_pongs() {
        let me = Keypair::new();
        let ping = Ping::signed(me.pubkey(), [3; 32], |bytes| me.sign_message(bytes));
        let bytes = RepairResponse::Ping(ping.clone()).encode();
        assert_eq!(bytes.len(), PING_RESPONSE_BYTES);
        assert_eq!(RepairResponse::decode(&bytes), Ok(RepairResponse::Ping(ping.clone())));
        let pong = RepairRequest::Pong(Pong::answering(&ping, me.pubkey(), |bytes| me.sign_message(bytes)));
        assert_eq!(RepairRequest::decode(&pong.encode()), Ok(pong.clone()));
        assert!(pong.verify());
        assert_eq!(pong.sender(), &me.pubkey());
    }

    #[test]
    fn answers_carry_the_nonce_last() {
        let packet = with_nonce(vec![1, 2, 3], 0x0403_0201);
        assert_eq!(packet, [1, 2, 3, 1, 2, 3, 4]);
        assert_eq!(split_nonce(&packet), Some((&[1u8, 2, 3][..], 0x0403_0201)));
        assert_eq!(split_nonce(&[1, 2, 3]), None);
        let hashes = AncestorHashesResponse::Hashes(vec![(5, Hash::new_unique()); ANCESTORS_MAX]);
        assert_eq!(AncestorHashesResponse::decode(&hashes.encode()), Ok(hashes.clone()));
        assert!(with_nonce(hashes.encode(), 1).len() <= PACKET_BYTES_MAX);
        let many = AncestorHashesResponse::Hashes(vec![(5, Hash::new_unique()); ANCESTORS_MAX + 1]);
        assert_eq!(AncestorHashesResponse::decode(&many.encode()), Err(Reject::OutOfBounds("ancestor hashes")));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(tag in 0u32..16, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = [&tag.to_le_bytes()[..], &bytes].concat();
            let _ = RepairRequest::decode(&bytes);
            let _ = RepairResponse::decode(&bytes);
            let _ = AncestorHashesResponse::decode(&bytes);
        }
    }
}
