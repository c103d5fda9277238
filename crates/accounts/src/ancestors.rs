//! The line of slots a block stands on.

use tandem_types::Slot;

/// The unrooted slots a block can see: itself and its parents down to the root that held when it was made.
///
/// Rooted slots need not be listed: whatever they wrote is in the rooted store, which every block sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestors {
    ascending: Vec<Slot>,
}

impl Ancestors {
    pub fn only(slot: Slot) -> Self {
        Self { ascending: vec![slot] }
    }

    /// The view of a child at `slot`; slots up to `root` are left out because they are rooted already.
    pub fn child(&self, slot: Slot, root: Slot) -> Self {
        assert!(self.ascending.last().is_none_or(|tip| *tip < slot), "a child's slot is after its parent's");
        let rooted_count = self.ascending.partition_point(|ancestor| *ancestor <= root);
        let mut ascending = Vec::with_capacity(self.ascending.len() - rooted_count + 1);
        ascending.extend_from_slice(&self.ascending[rooted_count..]);
        ascending.push(slot);
        Self { ascending }
    }

    /// The same line without its tip: what the block saw before it wrote anything.
    pub fn without_tip(&self) -> Self {
        let mut parents = self.ascending.clone();
        parents.pop();
        Self { ascending: parents }
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.ascending.binary_search(&slot).is_ok()
    }

    pub fn tip(&self) -> Option<Slot> {
        self.ascending.last().copied()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> + '_ {
        self.ascending.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_sees_its_line_down_to_the_root() {
        let line = Ancestors::only(1).child(2, 0).child(5, 1);
        assert_eq!(line.iter().collect::<Vec<_>>(), [2, 5]);
        assert!(line.contains(5) && line.contains(2) && !line.contains(1) && !line.contains(3));
        assert_eq!(line.without_tip().iter().collect::<Vec<_>>(), [2]);
        assert_eq!(line.tip(), Some(5));
    }
}
