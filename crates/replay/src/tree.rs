//! Slots above the root and how they hang together. A slot whose parent is not known yet is kept all the same.

use {
    std::collections::{BTreeMap, BTreeSet},
    tandem_types::{Hash, Slot},
};

#[derive(Debug)]
pub(crate) struct Node {
    pub parent: Slot,
    pub state: State,
    pub available: u32,
    pub complete: bool,
    pub executed: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Incomplete,
    /// `asked`: an `Execute` or `Finish` waits for its answer.
    Executing {
        asked: Option<Asked>,
    },
    Producing,
    Frozen(Hash),
    Dead(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Execute { upto: u32 },
    Finish,
}

#[derive(Debug)]
pub(crate) struct Tree {
    pub root: Slot,
    pub root_hash: Hash,
    nodes: BTreeMap<Slot, Node>,
    /// By parent, also where the parent itself is not known.
    children: BTreeMap<Slot, BTreeSet<Slot>>,
}

impl Tree {
    pub fn new(root: Slot, root_hash: Hash) -> Self {
        Self { root, root_hash, nodes: BTreeMap::new(), children: BTreeMap::new() }
    }

    pub fn get(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(&slot)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        self.nodes.get_mut(&slot)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Slot, &Node)> {
        self.nodes.iter().map(|(slot, node)| (*slot, node))
    }

    pub fn knows(&self, slot: Slot) -> bool {
        slot == self.root || self.nodes.contains_key(&slot)
    }

    pub fn children(&self, slot: Slot) -> Vec<Slot> {
        self.children.get(&slot).into_iter().flatten().copied().collect()
    }

    pub fn insert(&mut self, slot: Slot, parent: Slot, state: State) {
        let node = Node { parent, state, available: 0, complete: false, executed: 0 };
        assert!(slot > parent && slot > self.root && self.nodes.insert(slot, node).is_none(), "new slots only");
        self.children.entry(parent).or_default().insert(slot);
    }

    /// Takes out one slot. Its children stay, without a parent.
    pub fn remove(&mut self, slot: Slot) -> Option<Node> {
        let node = self.nodes.remove(&slot)?;
        if let Some(siblings) = self.children.get_mut(&node.parent) {
            siblings.remove(&slot);
            if siblings.is_empty() {
                self.children.remove(&node.parent);
            }
        }
        Some(node)
    }

    /// The slot and all that descend from it, parents first.
    pub fn subtree(&self, slot: Slot) -> Vec<Slot> {
        let mut all = vec![slot];
        let mut at = 0;
        while let Some(slot) = all.get(at).copied() {
            all.extend(self.children.get(&slot).into_iter().flatten());
            at += 1;
        }
        all
    }

    /// From the parent up to the root, as far as it is known.
    pub fn ancestors(&self, slot: Slot) -> impl Iterator<Item = Slot> + '_ {
        std::iter::successors(self.nodes.get(&slot).map(|node| node.parent), |slot| {
            self.nodes.get(slot).map(|node| node.parent)
        })
    }

    pub fn is_connected(&self, slot: Slot) -> bool {
        self.ancestors(slot).last() == Some(self.root)
    }

    /// A block can be made on this slot.
    pub fn is_frozen(&self, slot: Slot) -> bool {
        slot == self.root || matches!(self.nodes.get(&slot), Some(Node { state: State::Frozen(_), .. }))
    }
}
