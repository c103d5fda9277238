//! A growing set of shred indices, a bit each.

use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    pub fn contains(&self, index: u32) -> bool {
        self.words.get(word(index)).is_some_and(|word| word & bit(index) != 0)
    }

    pub fn insert(&mut self, index: u32) {
        if self.words.len() <= word(index) {
            self.words.resize(word(index) + 1, 0);
        }
        self.words[word(index)] |= bit(index);
    }

    pub fn remove(&mut self, index: u32) {
        if let Some(word) = self.words.get_mut(word(index)) {
            *word &= !bit(index);
        }
    }

    pub fn count(&self, range: Range<u32>) -> usize {
        self.ones(range).count()
    }

    pub fn ones(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        let end = range.end.min(self.limit());
        (range.start..end).filter(|index| self.contains(*index))
    }

    pub fn zeros(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        range.filter(|index| !self.contains(*index))
    }

    /// The first index from `start` on that is not in the set.
    pub fn first_zero(&self, start: u32) -> u32 {
        let mut index = start;
        while index < self.limit() {
            // Bits below `index` count as set, so that the word can be looked at as a whole.
            let below = bit(index) - 1;
            let free = !(self.words[word(index)] | below);
            if free != 0 {
                return (index & !63) + free.trailing_zeros();
            }
            index = (index & !63) + 64;
        }
        index.max(start)
    }

    /// One more than the highest index in the set.
    pub fn end(&self) -> u32 {
        let last = self.words.iter().rposition(|word| *word != 0);
        last.map_or(0, |at| at as u32 * 64 + 64 - self.words[at].leading_zeros())
    }

    fn limit(&self) -> u32 {
        self.words.len() as u32 * 64
    }
}

fn word(index: u32) -> usize {
    (index / 64) as usize
}

fn bit(index: u32) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*, std::collections::BTreeSet};

    proptest! {
        #[test]
        fn is_a_set(inserted in proptest::collection::vec(0u32..300, 0..200), removed in proptest::collection::vec(0u32..300, 0..50), start in 0u32..320) {
            let mut bits = Bits::default();
            let mut set = BTreeSet::new();
            for index in inserted {
                bits.insert(index);
                set.insert(index);
            }
            for index in removed {
                bits.remove(index);
                set.remove(&index);
            }
            prop_assert_eq!(bits.end(), set.last().map_or(0, |last| last + 1));
            prop_assert_eq!(bits.first_zero(start), (start..).find(|index| !set.contains(index)).unwrap());
            prop_assert_eq!(bits.ones(start..400).collect::<Vec<_>>(), set.range(start..400).copied().collect::<Vec<_>>());
            prop_assert_eq!(bits.count(0..u32::MAX), set.len());
            prop_assert_eq!(bits.zeros(start..310).collect::<Vec<_>>(), (start..310).filter(|index| !set.contains(index)).collect::<Vec<_>>());
        }
    }
}
