//! A shred's headers, read from hostile bytes with every rule that needs no context.

use {
    crate::{
        id::{FecSetId, ShredId, ShredKind},
        layout::*,
    },
    tandem_types::Slot,
};

/// Why bytes are not a shred anyone should keep. Counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Reject {
    #[error("too short for its variant")]
    Short,
    #[error("unknown or dead variant")]
    Variant,
    #[error("index beyond any slot's limit")]
    Index,
    #[error("FEC set not aligned, or index outside of it")]
    FecSet,
    #[error("erasure code other than 32:32")]
    ErasureConfig,
    #[error("code position outside of the set")]
    Position,
    #[error("parent is not an earlier slot")]
    Parent,
    #[error("data size outside of the buffer")]
    Size,
    #[error("flags that exclude each other")]
    Flags,
    #[error("last shred of the slot is not at the end of a set")]
    LastIndex,
    #[error("merkle proof does not lead to a root")]
    Proof,
}

/// What both kinds of shred say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShredHeader {
    pub slot: Slot,
    pub index: u32,
    pub version: u16,
    pub fec_set_index: u32,
    pub body: Body,
    pub(crate) layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Data {
        parent_offset: u16,
        flags: u8,
        /// Headers and data used, from the payload's start.
        size: u16,
    },
    Code {
        num_data: u16,
        num_coding: u16,
        /// Place among the set's code shreds.
        position: u16,
    },
}

/// What a packet says it is, if it could be a shred at all. Hashes nothing and verifies nothing.
pub fn peek(packet: &[u8]) -> Option<ShredHeader> {
    ShredHeader::parse(packet).ok()
}

impl ShredHeader {
    /// The rules of agave's `sanitize` (ledger/src/shred/{shred_data,shred_code}.rs) and those of its packet filter
    /// (filter.rs:should_discard_shred) that depend on nothing but the shred.
    pub fn parse(packet: &[u8]) -> Result<Self, Reject> {
        let layout = Layout::from_variant(*packet.get(AT_VARIANT).ok_or(Reject::Short)?).ok_or(Reject::Variant)?;
        let payload = packet.get(..layout.payload_bytes()).ok_or(Reject::Short)?;
        let header = Self {
            slot: Slot::from_le_bytes(bytes_at(payload, AT_SLOT)),
            index: u32::from_le_bytes(bytes_at(payload, AT_INDEX)),
            version: u16::from_le_bytes(bytes_at(payload, AT_VERSION)),
            fec_set_index: u32::from_le_bytes(bytes_at(payload, AT_FEC_SET_INDEX)),
            body: Body::read(payload, layout.kind),
            layout,
        };
        header.check()?;
        Ok(header)
    }

    pub fn kind(&self) -> ShredKind {
        self.layout.kind
    }

    pub fn id(&self) -> ShredId {
        ShredId { slot: self.slot, index: self.index, kind: self.layout.kind }
    }

    pub fn fec_set(&self) -> FecSetId {
        FecSetId { slot: self.slot, index: self.fec_set_index }
    }

    /// Whether the shred has room for the signature of the node that sent it on.
    pub fn resigned(&self) -> bool {
        self.layout.resigned
    }

    /// Only data shreds know their parent.
    pub fn parent_slot(&self) -> Option<Slot> {
        match self.body {
            Body::Data { parent_offset, .. } => self.slot.checked_sub(u64::from(parent_offset)),
            Body::Code { .. } => None,
        }
    }

    pub fn data_complete(&self) -> bool {
        matches!(self.body, Body::Data { flags, .. } if flags & FLAG_DATA_COMPLETE != 0)
    }

    pub fn last_in_slot(&self) -> bool {
        matches!(self.body, Body::Data { flags, .. } if flags & FLAGS_LAST == FLAGS_LAST)
    }

    /// The leader's tick, within the slot, when it cut the batch up.
    pub fn reference_tick(&self) -> Option<u8> {
        match self.body {
            Body::Data { flags, .. } => Some(flags & REFERENCE_TICK_MAX),
            Body::Code { .. } => None,
        }
    }

    /// Place among the leaves of the set's merkle tree: data first, then code.
    pub(crate) fn leaf(&self) -> usize {
        match self.body {
            Body::Data { .. } => (self.index - self.fec_set_index) as usize,
            Body::Code { position, .. } => DATA_SHREDS_PER_SET + usize::from(position),
        }
    }

    /// The index of the set's first code shred.
    pub(crate) fn first_code_index(&self) -> Option<u32> {
        match self.body {
            Body::Code { position, .. } => self.index.checked_sub(u32::from(position)),
            Body::Data { .. } => None,
        }
    }

    pub(crate) fn write(&self, payload: &mut [u8]) {
        payload[AT_VARIANT] = self.layout.variant();
        payload[AT_SLOT..AT_INDEX].copy_from_slice(&self.slot.to_le_bytes());
        payload[AT_INDEX..AT_VERSION].copy_from_slice(&self.index.to_le_bytes());
        payload[AT_VERSION..AT_FEC_SET_INDEX].copy_from_slice(&self.version.to_le_bytes());
        payload[AT_FEC_SET_INDEX..AT_PARENT_OFFSET].copy_from_slice(&self.fec_set_index.to_le_bytes());
        match self.body {
            Body::Data { parent_offset, flags, size } => {
                payload[AT_PARENT_OFFSET..AT_FLAGS].copy_from_slice(&parent_offset.to_le_bytes());
                payload[AT_FLAGS] = flags;
                payload[AT_SIZE..DATA_HEADERS_BYTES].copy_from_slice(&size.to_le_bytes());
            }
            Body::Code { num_data, num_coding, position } => {
                payload[AT_NUM_DATA..AT_NUM_CODE].copy_from_slice(&num_data.to_le_bytes());
                payload[AT_NUM_CODE..AT_POSITION].copy_from_slice(&num_coding.to_le_bytes());
                payload[AT_POSITION..CODE_HEADERS_BYTES].copy_from_slice(&position.to_le_bytes());
            }
        }
    }

    fn check(&self) -> Result<(), Reject> {
        if self.index >= SHREDS_PER_SLOT_MAX {
            return Err(Reject::Index);
        }
        // SIMD-0317: sets start at multiples of 32 and hold the indices up to the next multiple. Agave asks this of code
        // shreds too (filter.rs:check_fixed_fec_set), although theirs is another numbering.
        let set_size = DATA_SHREDS_PER_SET as u32;
        if !self.fec_set_index.is_multiple_of(set_size) || self.index / set_size != self.fec_set_index / set_size {
            return Err(Reject::FecSet);
        }
        match self.body {
            Body::Data { parent_offset, flags, size } => self.check_data(parent_offset, flags, size),
            Body::Code { num_data, num_coding, position } => self.check_code(num_data, num_coding, position),
        }
    }

    fn check_data(&self, parent_offset: u16, flags: u8, size: u16) -> Result<(), Reject> {
        if flags & FLAGS_LAST == FLAG_LAST_ALONE {
            return Err(Reject::Flags);
        }
        // Slot 0 is its own parent.
        if self.parent_slot().is_none() || (parent_offset == 0) != (self.slot == 0) {
            return Err(Reject::Parent);
        }
        let buffer = DATA_HEADERS_BYTES..=self.layout.chained_root_at();
        if !buffer.contains(&usize::from(size)) {
            return Err(Reject::Size);
        }
        if self.last_in_slot() && !(self.index + 1).is_multiple_of(DATA_SHREDS_PER_SET as u32) {
            return Err(Reject::LastIndex);
        }
        Ok(())
    }

    fn check_code(&self, num_data: u16, num_coding: u16, position: u16) -> Result<(), Reject> {
        if usize::from(num_data) != DATA_SHREDS_PER_SET || usize::from(num_coding) != CODE_SHREDS_PER_SET {
            return Err(Reject::ErasureConfig);
        }
        let last_code = self.first_code_index().map(|first| first + CODE_SHREDS_PER_SET as u32 - 1);
        let within_slot = last_code.is_some_and(|last| last < SHREDS_PER_SLOT_MAX);
        if usize::from(position) >= CODE_SHREDS_PER_SET || !within_slot {
            return Err(Reject::Position);
        }
        Ok(())
    }
}

impl Body {
    fn read(payload: &[u8], kind: ShredKind) -> Self {
        let short = |at| u16::from_le_bytes(bytes_at(payload, at));
        match kind {
            ShredKind::Data => {
                Self::Data { parent_offset: short(AT_PARENT_OFFSET), flags: payload[AT_FLAGS], size: short(AT_SIZE) }
            }
            ShredKind::Code => Self::Code {
                num_data: short(AT_NUM_DATA),
                num_coding: short(AT_NUM_CODE),
                position: short(AT_POSITION),
            },
        }
    }
}

/// Larger ticks are written as this one.
pub(crate) const REFERENCE_TICK_MAX: u8 = 0b0011_1111;
/// End of an entry batch.
pub(crate) const FLAG_DATA_COMPLETE: u8 = 0b0100_0000;
/// End of the slot, which is the end of a batch as well; the upper bit alone means nothing.
pub(crate) const FLAGS_LAST: u8 = 0b1100_0000;
const FLAG_LAST_ALONE: u8 = 0b1000_0000;

#[cfg(test)]
mod tests {
    use {super::*, crate::testing, proptest::prelude::*};

    /// A data and a code shred of the last set of slot 7, whose parent is slot 5.
    fn pair() -> (Vec<u8>, Vec<u8>) {
        let made = testing::make(7, 5, &[1; 100], true);
        (made.data[31].payload().to_vec(), made.code[3].payload().to_vec())
    }

    fn with(payload: &[u8], at: usize, bytes: &[u8]) -> Result<ShredHeader, Reject> {
        let mut changed = payload.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        ShredHeader::parse(&changed)
    }

    #[test]
    fn honest_headers() {
        let (data, code) = pair();
        let header = ShredHeader::parse(&data).unwrap();
        assert_eq!(header.id(), ShredId { slot: 7, index: 31, kind: ShredKind::Data });
        assert_eq!(header.parent_slot(), Some(5));
        assert!(header.data_complete() && header.last_in_slot() && header.resigned());
        assert_eq!(header.reference_tick(), Some(testing::REFERENCE_TICK));
        assert_eq!(header.leaf(), 31);
        let header = ShredHeader::parse(&code).unwrap();
        assert_eq!(header.body, Body::Code { num_data: 32, num_coding: 32, position: 3 });
        assert_eq!((header.leaf(), header.first_code_index()), (35, Some(0)));
        assert_eq!((header.parent_slot(), header.reference_tick()), (None, None));
        assert!(!header.data_complete() && !header.last_in_slot());
    }

    #[test]
    fn each_rule_of_data_shreds() {
        let (data, _) = pair();
        assert_eq!(ShredHeader::parse(&data[..data.len() - 1]), Err(Reject::Short));
        assert_eq!(ShredHeader::parse(&data[..64]), Err(Reject::Short));
        assert_eq!(with(&data, AT_VARIANT, &[0xA5]), Err(Reject::Variant));
        assert_eq!(with(&data, AT_INDEX, &32_768u32.to_le_bytes()), Err(Reject::Index));
        assert_eq!(with(&data, AT_FEC_SET_INDEX, &1u32.to_le_bytes()), Err(Reject::FecSet));
        assert_eq!(with(&data, AT_FEC_SET_INDEX, &32u32.to_le_bytes()), Err(Reject::FecSet));
        assert_eq!(with(&data, AT_INDEX, &32u32.to_le_bytes()), Err(Reject::FecSet));
        assert_eq!(with(&data, AT_PARENT_OFFSET, &[0, 0]), Err(Reject::Parent));
        assert_eq!(with(&data, AT_PARENT_OFFSET, &[8, 0]), Err(Reject::Parent));
        assert!(with(&data, AT_PARENT_OFFSET, &[7, 0]).is_ok());
        assert_eq!(with(&data, AT_SLOT, &[0; 8]), Err(Reject::Parent));
        assert_eq!(with(&data, AT_SIZE, &87u16.to_le_bytes()), Err(Reject::Size));
        assert!(with(&data, AT_SIZE, &(88u16 + 899).to_le_bytes()).is_ok());
        assert_eq!(with(&data, AT_SIZE, &(88u16 + 900).to_le_bytes()), Err(Reject::Size));
        assert_eq!(with(&data, AT_FLAGS, &[0x80]), Err(Reject::Flags));
        assert_eq!(with(&data, AT_INDEX, &30u32.to_le_bytes()), Err(Reject::LastIndex));
        // Where DATA_COMPLETE may stand is the policy's matter.
        let mut complete = data.clone();
        complete[AT_FLAGS] = FLAG_DATA_COMPLETE;
        assert!(with(&complete, AT_INDEX, &30u32.to_le_bytes()).is_ok());
    }

    #[test]
    fn each_rule_of_code_shreds() {
        let (_, code) = pair();
        assert_eq!(with(&code, AT_NUM_DATA, &31u16.to_le_bytes()), Err(Reject::ErasureConfig));
        assert_eq!(with(&code, AT_NUM_CODE, &33u16.to_le_bytes()), Err(Reject::ErasureConfig));
        assert_eq!(with(&code, AT_POSITION, &4u16.to_le_bytes()), Err(Reject::Position), "before the first index");
        assert_eq!(with(&code, AT_POSITION, &32u16.to_le_bytes()), Err(Reject::Position));
        let mut late = code.clone();
        late[AT_FEC_SET_INDEX..AT_FEC_SET_INDEX + 4].copy_from_slice(&32_736u32.to_le_bytes());
        late[AT_INDEX..AT_INDEX + 4].copy_from_slice(&32_740u32.to_le_bytes());
        assert_eq!(ShredHeader::parse(&late), Err(Reject::Position), "the set would end beyond the slot");
        assert!(with(&late, AT_POSITION, &4u16.to_le_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1400), variant in any::<u8>()) {
            let mut bytes = bytes;
            if let Some(byte) = bytes.get_mut(AT_VARIANT) {
                *byte = variant;
            }
            let _ = ShredHeader::parse(&bytes);
            let _ = crate::Shred::parse(bytes);
        }
    }
}
