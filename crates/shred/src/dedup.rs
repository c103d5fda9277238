//! Which shreds were already sent on (turbine/src/retransmit_stage.rs:ShredDeduper).

use {
    crate::{id::ShredId, shred::Shred},
    std::collections::HashMap,
    tandem_types::Hash,
};

/// Remembers, for each name, the contents seen. A second content is let through once, so that everyone learns that the
/// leader made two blocks; a third tells nobody anything. Bounded: the older half is forgotten when the newer is full.
#[derive(Debug)]
pub struct Deduper {
    newer: HashMap<ShredId, Seen>,
    older: HashMap<ShredId, Seen>,
    half: usize,
}

/// The root of its set says what a shred's content is; who sent it on last does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    One(Hash),
    Two,
}

impl Deduper {
    /// `capacity` shreds, about 100 bytes each.
    pub fn new(capacity: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), half: capacity.div_ceil(2).max(1) }
    }

    /// Whether to send the shred on: it, or its second content, is new. Give it verified shreds only, or forged ones
    /// take the places of real ones.
    pub fn admit(&mut self, shred: &Shred) -> bool {
        let (id, root) = (shred.id(), shred.merkle_root());
        let seen = match self.newer.get(&id).or_else(|| self.older.get(&id)) {
            None => Seen::One(root),
            Some(Seen::One(one)) if *one != root => Seen::Two,
            Some(Seen::One(_) | Seen::Two) => return false,
        };
        if self.newer.len() >= self.half {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id, seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing,
        tandem_types::{Signature, Slot},
    };

    fn shred(slot: Slot, content: u8) -> Shred {
        testing::make(slot, slot - 1, &[content; 10], true).data.swap_remove(0)
    }

    #[test]
    fn two_contents_of_a_name_and_no_more() {
        let mut deduper = Deduper::new(10);
        assert!(deduper.admit(&shred(5, 1)));
        assert!(!deduper.admit(&shred(5, 1)));
        let mut sent_on = shred(5, 1);
        assert!(sent_on.resign(&Signature::from([1; 64])));
        assert!(!deduper.admit(&sent_on), "the last sender is not content");
        assert!(deduper.admit(&shred(5, 2)));
        assert!(!deduper.admit(&shred(5, 1)));
        assert!(!deduper.admit(&shred(5, 2)));
        assert!(!deduper.admit(&shred(5, 3)));
        assert!(deduper.admit(&shred(6, 1)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut deduper = Deduper::new(4);
        for slot in 1..30 {
            assert!(deduper.admit(&shred(slot, 1)));
            assert!(!deduper.admit(&shred(slot, 1)));
            assert!(deduper.newer.len() + deduper.older.len() <= 4);
        }
    }
}
