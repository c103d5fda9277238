//! Consecutive data shreds -> the entry batches of a block.

use {
    crate::{layout::DATA_SHREDS_PER_SET, shred::Shred},
    std::ops::Range,
    tandem_entry::{DecodeError, Entry, decode_entries},
    tandem_types::{BlockId, Slot},
};

/// What lies between two ends of batches: usually entries, see `tandem_entry::decode_entries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub bytes: Vec<u8>,
    /// Indices of the data shreds it came from.
    pub shreds: Range<u32>,
    pub last_in_slot: bool,
}

impl Component {
    pub fn entries(&self) -> Result<Vec<Entry>, DecodeError> {
        decode_entries(&self.bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DeshredError {
    #[error("data shred {expected} expected, {got} given")]
    Gap { expected: u32, got: u32 },
    #[error("shred of slot {got} in slot {expected}")]
    OtherSlot { expected: Slot, got: Slot },
    #[error("code shred given")]
    NotData,
    #[error("shred {0} after the slot's last one")]
    AfterLast(u32),
}

/// Joins the data shreds of one slot, given in order of their index. Holds at most the bytes of one component.
#[derive(Clone, Debug, Default)]
pub struct Deshredder {
    slot: Option<Slot>,
    /// First shred of the component being joined.
    start: u32,
    next: u32,
    bytes: Vec<u8>,
    done: bool,
}

impl Deshredder {
    /// From the middle of a slot: `start` is the first index of a component.
    pub fn starting_at(start: u32) -> Self {
        Self { start, next: start, ..Self::default() }
    }

    /// The index wanted next.
    pub fn next_index(&self) -> u32 {
        self.next
    }

    /// The component that this shred completes, if it completes one. An error leaves the state as it was.
    pub fn push(&mut self, shred: &Shred) -> Result<Option<Component>, DeshredError> {
        let slot = *self.slot.get_or_insert(shred.slot());
        let got = shred.index();
        if !shred.is_data() {
            return Err(DeshredError::NotData);
        }
        if shred.slot() != slot {
            return Err(DeshredError::OtherSlot { expected: slot, got: shred.slot() });
        }
        if self.done {
            return Err(DeshredError::AfterLast(got));
        }
        if got != self.next {
            return Err(DeshredError::Gap { expected: self.next, got });
        }
        if self.bytes.is_empty() {
            self.bytes.reserve(DATA_SHREDS_PER_SET * shred.data().len());
        }
        self.bytes.extend_from_slice(shred.data());
        self.next += 1;
        self.done = shred.last_in_slot();
        if !shred.data_complete() {
            return Ok(None);
        }
        let component = Component {
            bytes: std::mem::take(&mut self.bytes),
            shreds: self.start..self.next,
            last_in_slot: self.done,
        };
        self.start = self.next;
        Ok(Some(component))
    }
}

/// The block id, known from the slot's last data shred.
pub fn block_id(last: &Shred) -> Option<BlockId> {
    last.last_in_slot().then(|| BlockId(last.merkle_root()))
}

#[cfg(test)]
mod tests {
    use {super::*, crate::testing};

    #[test]
    fn shreds_must_come_in_order() {
        let made = testing::make(12, 11, &[5; 40_000], true);
        let other = testing::make(13, 11, &[5; 10], true);
        let mut deshredder = Deshredder::default();
        assert_eq!(deshredder.push(&made.data[1]), Err(DeshredError::Gap { expected: 0, got: 1 }));
        assert_eq!(deshredder.push(&made.data[0]), Ok(None));
        assert_eq!(deshredder.push(&made.data[0]), Err(DeshredError::Gap { expected: 1, got: 0 }));
        assert_eq!(deshredder.push(&made.code[1]), Err(DeshredError::NotData));
        assert_eq!(deshredder.push(&other.data[1]), Err(DeshredError::OtherSlot { expected: 12, got: 13 }));
        let mut last = None;
        for shred in &made.data[1..] {
            assert_eq!(last, None);
            assert_eq!(deshredder.next_index(), shred.index());
            last = deshredder.push(shred).unwrap();
        }
        let component = last.unwrap();
        assert_eq!((component.bytes.len(), component.shreds.clone()), (40_000, 0..64));
        assert!(component.last_in_slot);
        assert_eq!(deshredder.push(&made.data[63]), Err(DeshredError::AfterLast(63)));
        assert_eq!(block_id(&made.data[63]), Some(BlockId(made.next.chained_root)));
        assert_eq!(block_id(&made.data[62]), None);

        let mut tail = Deshredder::starting_at(32);
        assert!(made.data[32..63].iter().all(|shred| tail.push(shred) == Ok(None)));
        assert_eq!(tail.push(&made.data[63]).unwrap().unwrap().shreds, 32..64);
    }
}
