//! Does an answer answer the question? Looks at three fields of the shred; the shred stage checks the rest.

use {tandem_types::Slot, tandem_wire::repair::RequestKind};

/// serve_repair.rs:ShredRepairType::verify_response. We only ever ask for data shreds.
pub(crate) fn answers(kind: &RequestKind, shred: &[u8]) -> Option<(Slot, u32)> {
    let (slot, index) = data_shred(shred)?;
    let fits = match *kind {
        RequestKind::WindowIndex { slot: asked, shred_index } => slot == asked && u64::from(index) == shred_index,
        RequestKind::HighestWindowIndex { slot: asked, shred_index } => {
            slot == asked && u64::from(index) >= shred_index
        }
        RequestKind::Orphan { slot: asked } => slot <= asked,
        RequestKind::AncestorHashes { .. } => false,
    };
    fits.then_some((slot, index))
}

/// How many packets may answer one question.
pub(crate) fn answers_max(kind: &RequestKind) -> u32 {
    match kind {
        RequestKind::Orphan { .. } => ORPHAN_ANSWERS_MAX,
        RequestKind::WindowIndex { .. } | RequestKind::HighestWindowIndex { .. } => 1,
        RequestKind::AncestorHashes { .. } => 0,
    }
}

/// Slot and index of a data shred (protocol.md 1.1).
fn data_shred(shred: &[u8]) -> Option<(Slot, u32)> {
    if shred.len() != DATA_SHRED_BYTES || !matches!(shred[64] & 0xf0, 0x90 | 0xb0) {
        return None;
    }
    let slot = Slot::from_le_bytes(*shred[65..].first_chunk()?);
    let index = u32::from_le_bytes(*shred[73..].first_chunk()?);
    Some((slot, index))
}

/// serve_repair.rs:MAX_ORPHAN_REPAIR_RESPONSES.
pub(crate) const ORPHAN_ANSWERS_MAX: u32 = 11;
pub(crate) const DATA_SHRED_BYTES: usize = 1203;
