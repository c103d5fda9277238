//! Where things lie in a shred's bytes (agave: ledger/src/shred/{wire,merkle}.rs).
//!
//! ```text
//! 0         64 65   73    77      79            83                     88 or 89
//! |signature|v |slot|index|version|fec_set_index|data or code's own part|buffer|chained root|proof|retransmitter signature|
//!           '-- a data shred's erasure shard: from 64 to the buffer's end
//!                        a code shred's erasure shard: its buffer -----'
//!           '-- the merkle leaf: from 64 to the proof -----------------------------------'
//! ```

use {crate::id::ShredKind, std::ops::Range};

pub const DATA_SHREDS_PER_SET: usize = 32;
pub const CODE_SHREDS_PER_SET: usize = 32;
pub(crate) const SHREDS_PER_SET: usize = DATA_SHREDS_PER_SET + CODE_SHREDS_PER_SET;

/// No slot has more shreds of a kind than this; a slot's parameters may allow fewer (`SlotRules`).
pub const SHREDS_PER_SLOT_MAX: u32 = 32_768;

pub const DATA_PAYLOAD_BYTES: usize = 1203;
/// A packet less the four bytes of a repair nonce.
pub const CODE_PAYLOAD_BYTES: usize = 1228;

/// Entry bytes a full set carries, and a full last set of a slot.
pub const SET_DATA_BYTES: usize = DATA_SHREDS_PER_SET * Layout::data(false).capacity();
pub const SET_DATA_BYTES_LAST: usize = DATA_SHREDS_PER_SET * Layout::data(true).capacity();

pub(crate) const SIGNATURE_BYTES: usize = 64;
pub(crate) const ROOT_BYTES: usize = 32;
pub(crate) const PROOF_NODE_BYTES: usize = 20;
/// log2 of the leaves of a set.
pub(crate) const PROOF_LEN: u8 = 6;

pub(crate) const DATA_HEADERS_BYTES: usize = 88;
pub(crate) const CODE_HEADERS_BYTES: usize = 89;

pub(crate) const AT_VARIANT: usize = 64;
pub(crate) const AT_SLOT: usize = 65;
pub(crate) const AT_INDEX: usize = 73;
pub(crate) const AT_VERSION: usize = 77;
pub(crate) const AT_FEC_SET_INDEX: usize = 79;
pub(crate) const AT_PARENT_OFFSET: usize = 83;
pub(crate) const AT_FLAGS: usize = 85;
pub(crate) const AT_SIZE: usize = 86;
pub(crate) const AT_NUM_DATA: usize = 83;
pub(crate) const AT_NUM_CODE: usize = 85;
pub(crate) const AT_POSITION: usize = 87;

/// What the variant byte says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Layout {
    pub kind: ShredKind,
    /// Nodes in the proof. Every honest set has 64 leaves and so 6, but agave reads whatever the low nibble says, and a
    /// data shred with another proof is good to it if the root is signed: it must be to us. Recovery insists on 6.
    pub proof_len: u8,
    /// Ends with the signature of the node that sent it on: the last set of a slot.
    pub resigned: bool,
}

impl Layout {
    pub const fn data(resigned: bool) -> Self {
        Self { kind: ShredKind::Data, proof_len: PROOF_LEN, resigned }
    }

    pub const fn code(resigned: bool) -> Self {
        Self { kind: ShredKind::Code, proof_len: PROOF_LEN, resigned }
    }

    /// Legacy shreds (0xA5, 0x5A) and unchained ones (0x4p, 0x8p) are dead (SIMD-0313).
    pub fn from_variant(variant: u8) -> Option<Self> {
        let (kind, resigned) = match variant & 0xF0 {
            0x60 => (ShredKind::Code, false),
            0x70 => (ShredKind::Code, true),
            0x90 => (ShredKind::Data, false),
            0xB0 => (ShredKind::Data, true),
            _ => return None,
        };
        Some(Self { kind, proof_len: variant & 0x0F, resigned })
    }

    pub fn variant(self) -> u8 {
        let high = match (self.kind, self.resigned) {
            (ShredKind::Code, false) => 0x60,
            (ShredKind::Code, true) => 0x70,
            (ShredKind::Data, false) => 0x90,
            (ShredKind::Data, true) => 0xB0,
        };
        high | self.proof_len
    }

    pub const fn payload_bytes(self) -> usize {
        match self.kind {
            ShredKind::Data => DATA_PAYLOAD_BYTES,
            ShredKind::Code => CODE_PAYLOAD_BYTES,
        }
    }

    pub const fn headers_bytes(self) -> usize {
        match self.kind {
            ShredKind::Data => DATA_HEADERS_BYTES,
            ShredKind::Code => CODE_HEADERS_BYTES,
        }
    }

    /// Bytes between the headers and the chained root.
    pub const fn capacity(self) -> usize {
        let signature = if self.resigned { SIGNATURE_BYTES } else { 0 };
        self.payload_bytes()
            - self.headers_bytes()
            - ROOT_BYTES
            - self.proof_len as usize * PROOF_NODE_BYTES
            - signature
    }

    pub const fn chained_root_at(self) -> usize {
        self.headers_bytes() + self.capacity()
    }

    pub const fn proof_at(self) -> usize {
        self.chained_root_at() + ROOT_BYTES
    }

    pub const fn retransmitter_at(self) -> usize {
        self.proof_at() + self.proof_len as usize * PROOF_NODE_BYTES
    }

    /// The part that is erasure coded (data) or holds the code.
    pub const fn shard(self) -> Range<usize> {
        match self.kind {
            ShredKind::Data => SIGNATURE_BYTES..self.chained_root_at(),
            ShredKind::Code => CODE_HEADERS_BYTES..self.chained_root_at(),
        }
    }
}

/// A repair response is a shred with the request's nonce behind it.
pub fn split_nonce(packet: &[u8]) -> Option<(&[u8], u32)> {
    let layout = Layout::from_variant(*packet.get(AT_VARIANT)?)?;
    let (shred, rest) = packet.split_at_checked(layout.payload_bytes())?;
    // Agave takes the packet's last four bytes (ledger/src/shred/wire.rs:get_shred_and_repair_nonce).
    Some((shred, u32::from_le_bytes(*rest.last_chunk()?)))
}

/// `N` bytes at a constant offset of a payload whose length has been checked.
pub(crate) fn bytes_at<const N: usize>(payload: &[u8], at: usize) -> [u8; N] {
    payload[at..at + N].try_into().expect("invariant: the slice is N long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_protocol() {
        assert_eq!(Layout::data(false).capacity(), 963);
        assert_eq!(Layout::data(true).capacity(), 899);
        for resigned in [false, true] {
            let (data, code) = (Layout::data(resigned), Layout::code(resigned));
            assert_eq!(data.shard().len(), code.shard().len());
            assert_eq!(data.shard().len(), 24 + data.capacity());
            for layout in [data, code] {
                let end = layout.retransmitter_at() + if resigned { 64 } else { 0 };
                assert_eq!(end, layout.payload_bytes());
            }
        }
    }

    #[test]
    fn variants_round_trip_and_the_dead_ones_are_refused() {
        let known = (0..=255u8).filter(|variant| {
            let layout = Layout::from_variant(*variant);
            assert!(layout.is_none_or(|layout| layout.variant() == *variant));
            layout.is_some()
        });
        assert_eq!(known.count(), 64);
        let six = [0x66, 0x76, 0x96, 0xB6];
        assert!(six.iter().all(|variant| Layout::from_variant(*variant).unwrap().proof_len == PROOF_LEN));
        for dead in [0xA5, 0x5A, 0x46, 0x86, 0x00, 0xFF] {
            assert_eq!(Layout::from_variant(dead), None);
        }
    }

    #[test]
    fn nonce_follows_the_shred() {
        let mut packet = vec![0; DATA_PAYLOAD_BYTES];
        packet[AT_VARIANT] = 0x96;
        assert_eq!(split_nonce(&packet), None);
        packet.extend(77u32.to_le_bytes());
        let (shred, nonce) = split_nonce(&packet).unwrap();
        assert_eq!((shred.len(), nonce), (DATA_PAYLOAD_BYTES, 77));
        assert_eq!(split_nonce(&packet[..64]), None);
        assert_eq!(split_nonce(&[]), None);
    }
}
