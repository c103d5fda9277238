//! The records that gossip replicates: what a node says about itself, signed.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
        contact_info::ContactInfo,
        duplicate_shred::DuplicateShred,
        epoch_slots::CompressedSlots,
        vote_tx::{self, ParsedVote},
    },
    sha2::{Digest, Sha256},
    tandem_types::{Hash, Pubkey, Signature, Slot, UnixMillis, VersionedTransaction},
};

/// crds_data.rs:CrdsData, without the retired kinds that agave 4.2.2 refuses to parse.
#[derive(Clone, PartialEq, Debug)]
pub enum CrdsData {
    Vote(u8, Box<Vote>),
    LowestSlot(LowestSlot),
    EpochSlots(u8, EpochSlots),
    DuplicateShred(u16, DuplicateShred),
    SnapshotHashes(SnapshotHashes),
    ContactInfo(ContactInfo),
    /// Retired, but still parsed so that the records beside it are not lost.
    RestartLastVotedForkSlots(Opaque),
    /// Retired, see above.
    RestartHeaviestFork(Opaque),
}

/// A vote transaction as its sender gossips it. Its own signatures are *not* checked by this crate.
#[derive(Clone, PartialEq, Debug)]
pub struct Vote {
    pub from: Pubkey,
    pub transaction: VersionedTransaction,
    pub parsed: ParsedVote,
    pub wallclock: UnixMillis,
}

/// The first slot a node can still serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LowestSlot {
    pub from: Pubkey,
    pub lowest: Slot,
    pub wallclock: UnixMillis,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochSlots {
    pub from: Pubkey,
    pub sets: Vec<CompressedSlots>,
    pub wallclock: UnixMillis,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotHashes {
    pub from: Pubkey,
    pub full: (Slot, Hash),
    pub incremental: Vec<(Slot, Hash)>,
    pub wallclock: UnixMillis,
}

/// A record of which only origin and time matter to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opaque {
    pub from: Pubkey,
    pub wallclock: UnixMillis,
    body: Vec<u8>,
}

/// A signed record. Its bytes are kept: they are what is verified, hashed and passed on.
#[derive(Clone, PartialEq, Debug)]
pub struct CrdsValue {
    /// Signature, then data.
    bytes: Vec<u8>,
    data: CrdsData,
    hash: Hash,
}

/// What a record replaces: one value is kept per label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label {
    pub origin: Pubkey,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    ContactInfo,
    Vote(u8),
    LowestSlot,
    EpochSlots(u8),
    DuplicateShred(u16),
    SnapshotHashes,
    RestartLastVotedForkSlots,
    RestartHeaviestFork,
}

impl CrdsValue {
    pub fn signed(data: CrdsData, sign: impl FnOnce(&[u8]) -> Signature) -> Self {
        let encoded = data.encode();
        let mut bytes = Vec::with_capacity(64 + encoded.len());
        bytes.extend_from_slice(sign(&encoded).as_ref());
        bytes.extend_from_slice(&encoded);
        let hash = hash_of(&bytes);
        Self { bytes, data, hash }
    }

    pub fn data(&self) -> &CrdsData {
        &self.data
    }

    /// SHA-256 of signature and data: identity of the value, used by filters and to break ties.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// Signature and data, as on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn origin(&self) -> Pubkey {
        self.data.origin()
    }

    pub fn wallclock(&self) -> UnixMillis {
        self.data.wallclock()
    }

    pub fn label(&self) -> Label {
        Label { origin: self.origin(), kind: self.data.kind() }
    }

    pub fn contact_info(&self) -> Option<&ContactInfo> {
        match &self.data {
            CrdsData::ContactInfo(info) => Some(info),
            _ => None,
        }
    }

    pub fn verify(&self) -> bool {
        let (signature, message) = self.bytes.split_at(64);
        Signature::try_from(signature).is_ok_and(|signature| signature.verify(self.origin().as_ref(), message))
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let start = input.clone();
        input.signature()?;
        let data = CrdsData::read(input)?;
        let bytes = input.read_since(&start).to_vec();
        let hash = hash_of(&bytes);
        Ok(Self { bytes, data, hash })
    }
}

impl CrdsData {
    pub fn origin(&self) -> Pubkey {
        match self {
            Self::Vote(_, vote) => vote.from,
            Self::LowestSlot(lowest) => lowest.from,
            Self::EpochSlots(_, slots) => slots.from,
            Self::DuplicateShred(_, shred) => shred.from,
            Self::SnapshotHashes(hashes) => hashes.from,
            Self::ContactInfo(info) => info.pubkey,
            Self::RestartLastVotedForkSlots(opaque) | Self::RestartHeaviestFork(opaque) => opaque.from,
        }
    }

    pub fn wallclock(&self) -> UnixMillis {
        match self {
            Self::Vote(_, vote) => vote.wallclock,
            Self::LowestSlot(lowest) => lowest.wallclock,
            Self::EpochSlots(_, slots) => slots.wallclock,
            Self::DuplicateShred(_, shred) => shred.wallclock,
            Self::SnapshotHashes(hashes) => hashes.wallclock,
            Self::ContactInfo(info) => info.wallclock,
            Self::RestartLastVotedForkSlots(opaque) | Self::RestartHeaviestFork(opaque) => opaque.wallclock,
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Vote(index, _) => Kind::Vote(*index),
            Self::LowestSlot(_) => Kind::LowestSlot,
            Self::EpochSlots(index, _) => Kind::EpochSlots(*index),
            Self::DuplicateShred(index, _) => Kind::DuplicateShred(*index),
            Self::SnapshotHashes(_) => Kind::SnapshotHashes,
            Self::ContactInfo(_) => Kind::ContactInfo,
            Self::RestartLastVotedForkSlots(_) => Kind::RestartLastVotedForkSlots,
            Self::RestartHeaviestFork(_) => Kind::RestartHeaviestFork,
        }
    }

    /// What the origin signs.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(256);
        match self {
            Self::Vote(index, vote) => {
                out.u32(1).u8(*index).bytes(vote.from.as_ref());
                vote_tx::write_legacy(&vote.transaction, &mut out);
                out.u64(vote.wallclock.0);
            }
            Self::LowestSlot(lowest) => {
                // Index, root, slots and stash are retired and must be zero or empty.
                out.u32(2).u8(0).bytes(lowest.from.as_ref()).u64(0).u64(lowest.lowest);
                out.count(0).count(0).u64(lowest.wallclock.0);
            }
            Self::EpochSlots(index, slots) => {
                out.u32(5).u8(*index).bytes(slots.from.as_ref()).count(slots.sets.len());
                slots.sets.iter().for_each(|set| set.write(&mut out));
                out.u64(slots.wallclock.0);
            }
            Self::DuplicateShred(index, shred) => {
                out.u32(9).u16(*index);
                shred.write(&mut out);
            }
            Self::SnapshotHashes(hashes) => {
                out.u32(10).bytes(hashes.from.as_ref()).u64(hashes.full.0).bytes(hashes.full.1.as_ref());
                out.count(hashes.incremental.len());
                for (slot, hash) in &hashes.incremental {
                    out.u64(*slot).bytes(hash.as_ref());
                }
                out.u64(hashes.wallclock.0);
            }
            Self::ContactInfo(info) => {
                out.u32(11);
                info.write(&mut out);
            }
            Self::RestartLastVotedForkSlots(opaque) => opaque.write(12, &mut out),
            Self::RestartHeaviestFork(opaque) => opaque.write(13, &mut out),
        }
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "gossip record");
        let data = Self::read(&mut input)?;
        input.finish()?;
        Ok(data)
    }

    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let tag = input.u32()?;
        let data = match tag {
            0 | 3 | 4 | 6 | 7 | 8 => return Err(Reject::Deprecated("gossip record")),
            1 => Self::Vote(index_below(input.u8()?, VOTE_INDEX_END)?, Box::new(Vote::read(input)?)),
            2 => Self::LowestSlot(LowestSlot::read(input)?),
            5 => Self::EpochSlots(index_below(input.u8()?, EPOCH_SLOTS_INDEX_END)?, EpochSlots::read(input)?),
            9 => Self::DuplicateShred(
                index_below(input.u16()?, DUPLICATE_SHRED_INDEX_END)?,
                DuplicateShred::read(input)?,
            ),
            10 => Self::SnapshotHashes(SnapshotHashes::read(input)?),
            11 => Self::ContactInfo(ContactInfo::read(input)?),
            12 => Self::RestartLastVotedForkSlots(Opaque::read(input, skip_last_voted_fork)?),
            13 => Self::RestartHeaviestFork(Opaque::read(input, |input| input.take(8 + 32 + 8 + 2).map(|_| ()))?),
            _ => return Err(Reject::Tag("gossip record", tag)),
        };
        if data.wallclock().0 >= WALLCLOCK_MAX {
            return Err(Reject::OutOfBounds("gossip record: wallclock"));
        }
        Ok(data)
    }
}

impl Vote {
    /// `None` if the transaction is not a vote in a legacy message: no other kind can be gossiped.
    pub fn new(from: Pubkey, transaction: VersionedTransaction, wallclock: UnixMillis) -> Option<Self> {
        let parsed = ParsedVote::of(&transaction).ok().filter(|_| vote_tx::is_legacy(&transaction))?;
        Some(Self { from, transaction, parsed, wallclock })
    }

    /// The newest slot voted for; an empty vote has none.
    pub fn slot(&self) -> Option<Slot> {
        self.parsed.last_slot()
    }

    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let from = input.pubkey()?;
        let transaction = vote_tx::read_legacy(input)?;
        let parsed = ParsedVote::of(&transaction)?;
        Ok(Self { from, transaction, parsed, wallclock: UnixMillis(input.u64()?) })
    }
}

impl LowestSlot {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (index, from, root, lowest) = (input.u8()?, input.pubkey()?, input.u64()?, input.u64()?);
        let (slots, stash, wallclock) = (input.u64()?, input.u64()?, UnixMillis(input.u64()?));
        if lowest >= SLOT_MAX {
            return Err(Reject::OutOfBounds("lowest slot"));
        }
        if (index, root, slots, stash) != (0, 0, 0, 0) {
            return Err(Reject::Deprecated("lowest slot: retired field"));
        }
        Ok(Self { from, lowest, wallclock })
    }
}

impl EpochSlots {
    /// All slots named, not below `slot_min`.
    pub fn slots(&self, slot_min: Slot) -> Vec<Slot> {
        self.sets.iter().flat_map(|set| set.slots(slot_min)).collect()
    }

    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let from = input.pubkey()?;
        let sets = (0..input.count(28)?).map(|_| CompressedSlots::read(input)).collect::<Result<_, _>>()?;
        Ok(Self { from, sets, wallclock: UnixMillis(input.u64()?) })
    }
}

impl SnapshotHashes {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (from, full) = (input.pubkey()?, (input.u64()?, input.hash()?));
        let mut incremental = Vec::new();
        for _ in 0..input.count(40)? {
            incremental.push((input.u64()?, input.hash()?));
        }
        if full.0 >= SLOT_MAX || incremental.iter().any(|(slot, _)| *slot >= SLOT_MAX || *slot <= full.0) {
            return Err(Reject::OutOfBounds("snapshot hashes: slot"));
        }
        Ok(Self { from, full, incremental, wallclock: UnixMillis(input.u64()?) })
    }
}

impl Opaque {
    fn read(input: &mut Reader, skip_body: impl FnOnce(&mut Reader) -> Result<(), Reject>) -> Result<Self, Reject> {
        let (from, wallclock) = (input.pubkey()?, UnixMillis(input.u64()?));
        let start = input.clone();
        skip_body(input)?;
        Ok(Self { from, wallclock, body: input.read_since(&start).to_vec() })
    }

    fn write(&self, tag: u32, out: &mut Writer) {
        out.u32(tag).bytes(self.from.as_ref()).u64(self.wallclock.0).bytes(&self.body);
    }
}

/// restart_crds_values.rs: offsets as run lengths or as a bit vector, then slot, hash, shred version.
fn skip_last_voted_fork(input: &mut Reader) -> Result<(), Reject> {
    match input.u32()? {
        0 => {
            for _ in 0..input.count(1)? {
                input.varint_u16()?;
            }
        }
        1 => {
            let bytes = if input.some()? { input.count(1)? } else { 0 };
            input.take(bytes)?;
            if input.u64()? > bytes as u64 * 8 {
                return Err(Reject::Inconsistent("last voted fork: bit count"));
            }
        }
        tag => return Err(Reject::Tag("last voted fork", tag)),
    }
    input.take(8 + 32 + 2).map(|_| ())
}

fn index_below<T: PartialOrd>(index: T, end: T) -> Result<T, Reject> {
    if index < end { Ok(index) } else { Err(Reject::OutOfBounds("gossip record: index")) }
}

fn hash_of(bytes: &[u8]) -> Hash {
    Hash::new_from_array(Sha256::digest(bytes).into())
}

/// crds_data.rs:MAX_WALLCLOCK, MAX_SLOT.
pub const WALLCLOCK_MAX: u64 = 1_000_000_000_000_000;
pub const SLOT_MAX: u64 = 1_000_000_000_000_000;
/// Votes are accepted below this index; agave itself uses 12 (crds_data.rs:OLD_MAX_VOTES, MAX_VOTES).
const VOTE_INDEX_END: u8 = 32;
pub const VOTE_INDEX_OWN_END: u8 = 12;
pub const EPOCH_SLOTS_INDEX_END: u8 = 255;
pub const DUPLICATE_SHRED_INDEX_END: u16 = 512;
/// protocol.rs:MAX_CRDS_OBJECT_SIZE: what agave lets an epoch-slots record grow to.
pub(crate) const VALUE_BYTES_MAX: usize = 928;

#[cfg(test)]
#[path = "crds_tests.rs"]
mod tests;
