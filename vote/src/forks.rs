//! The tree of frozen blocks above the root, and which of them is the heaviest.
//!
//! Weights are kept up to date by difference: votes that moved are applied where they were and where they are, and
//! the change climbs towards the root only as far as it changes something.

use {
    crate::info::BlockInfo,
    std::{
        cmp::Reverse,
        collections::{BTreeMap, BTreeSet},
    },
    tandem_types::{BlockKey, Hash, Slot},
};

#[derive(Debug)]
pub(crate) struct Node {
    pub parent: Option<BlockKey>,
    pub children: BTreeSet<BlockKey>,
    pub info: BlockInfo,
    /// Stake whose latest vote is exactly this block.
    stake_at: u64,
    /// Stake whose latest vote is this block or a descendant, invalid ones included: if a child turns out to be a
    /// duplicate, the votes on it still speak for this block and against its siblings.
    pub stake: u64,
    height: u32,
    best: BlockKey,
    deepest: BlockKey,
    /// Its slot is known to have several versions.
    duplicate: bool,
    /// More than 52 % agreed on this version.
    pub confirmed: bool,
    /// The newest block on the way here (itself included) that is a duplicate and not confirmed. Such blocks are no
    /// candidates for a vote, or to build on.
    pub invalid_ancestor: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct Forks {
    root: BlockKey,
    nodes: BTreeMap<BlockKey, Node>,
}

impl Forks {
    pub fn new(root: BlockKey, info: BlockInfo) -> Self {
        let mut node = Node::leaf(root, None, info);
        node.confirmed = true;
        Self { root, nodes: BTreeMap::from([(root, node)]) }
    }

    pub fn root(&self) -> BlockKey {
        self.root
    }

    pub fn get(&self, key: &BlockKey) -> Option<&Node> {
        self.nodes.get(key)
    }

    pub fn contains(&self, key: &BlockKey) -> bool {
        self.nodes.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The heaviest valid block.
    pub fn heaviest(&self) -> BlockKey {
        self.node(&self.root).best
    }

    /// The heaviest valid block of the subtree, and its deepest whether valid or not.
    pub fn best_of(&self, key: &BlockKey) -> Option<BlockKey> {
        self.nodes.get(key).map(|node| node.best)
    }

    pub fn deepest_of(&self, key: &BlockKey) -> Option<BlockKey> {
        self.nodes.get(key).map(|node| node.deepest)
    }

    /// Newest first, without the block itself, down to the root.
    pub fn ancestors(&self, key: &BlockKey) -> impl Iterator<Item = BlockKey> + '_ {
        std::iter::successors(self.parent(key), |ancestor| self.parent(ancestor))
    }

    /// The ancestor of `key`, or itself, that has this slot.
    pub fn ancestor_at(&self, key: &BlockKey, slot: Slot) -> Option<BlockKey> {
        let mut at = *key;
        while at.slot > slot {
            at = self.parent(&at)?;
        }
        (at.slot == slot && self.contains(&at)).then_some(at)
    }

    /// Whether `ancestor` is `key` or lies on its way to the root.
    pub fn descends(&self, key: &BlockKey, ancestor: &BlockKey) -> bool {
        self.ancestor_at(key, ancestor.slot) == Some(*ancestor)
    }

    pub fn blocks_of(&self, slot: Slot) -> impl Iterator<Item = BlockKey> + '_ {
        self.nodes.range(slot_range(slot)).map(|(key, _)| *key)
    }

    pub fn leaves(&self) -> impl Iterator<Item = (&BlockKey, &Node)> {
        self.nodes.iter().filter(|(_, node)| node.children.is_empty())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&BlockKey, &Node)> {
        self.nodes.iter()
    }

    /// Adds a leaf. The caller has checked that the parent is there, is older, and that the block is new.
    pub fn insert(&mut self, key: BlockKey, parent: BlockKey, info: BlockInfo) {
        assert!(parent.slot < key.slot, "a block comes after its parent");
        let mut node = Node::leaf(key, Some(parent), info);
        let above = self.nodes.get_mut(&parent).expect("invariant: the caller checked that the parent is in the tree");
        node.invalid_ancestor = above.invalid_ancestor;
        above.children.insert(key);
        above.info.towers = Vec::new();
        assert!(self.nodes.insert(key, node).is_none(), "a block is added once");
        self.settle(BTreeSet::from([parent]));
    }

    /// Applies differences of stake at blocks; blocks that are gone are passed over.
    pub fn shift(&mut self, differences: &BTreeMap<BlockKey, i128>) {
        let mut changed = BTreeSet::new();
        for (key, difference) in differences {
            if let Some(node) = self.nodes.get_mut(key)
                && *difference != 0
            {
                let stake = i128::from(node.stake_at) + difference;
                node.stake_at = u64::try_from(stake).expect("invariant: only stake that was added is taken away");
                changed.insert(*key);
            }
        }
        self.settle(changed);
    }

    /// Makes `root` the root. Returns the blocks from the old root to it, oldest first, without `root`.
    pub fn set_root(&mut self, root: BlockKey) -> Vec<BlockKey> {
        // What is final is no question any more, whatever versions of it there are.
        self.mark_confirmed(&root);
        let mut path: Vec<BlockKey> = self.ancestors(&root).collect();
        path.reverse();
        let mut gone = vec![self.root];
        while let Some(key) = gone.pop() {
            if key != root {
                let node = self.nodes.remove(&key).expect("invariant: children are in the tree");
                gone.extend(node.children);
            }
        }
        let node = self.nodes.get_mut(&root).expect("invariant: the caller found the new root in the tree");
        node.parent = None;
        self.root = root;
        path
    }

    /// Removes all versions of a slot and what descends from them. Never the root. Returns what was removed.
    pub fn purge(&mut self, slot: Slot) -> Vec<BlockKey> {
        let mut gone: Vec<BlockKey> = self.blocks_of(slot).filter(|key| *key != self.root).collect();
        let mut parents = BTreeSet::new();
        for key in &gone {
            let parent = self.parent(key).expect("invariant: only the root has no parent");
            self.nodes.get_mut(&parent).expect("invariant: parents are in the tree").children.remove(key);
            parents.insert(parent);
        }
        let mut at = 0;
        while let Some(key) = gone.get(at).copied() {
            let node = self.nodes.remove(&key).expect("invariant: children are in the tree");
            gone.extend(node.children);
            at += 1;
        }
        self.settle(parents);
        gone
    }

    /// The slot has several versions: none is a candidate until one is confirmed.
    pub fn mark_duplicate(&mut self, key: &BlockKey) {
        if let Some(node) = self.nodes.get_mut(key)
            && !node.duplicate
        {
            node.duplicate = true;
            if !node.confirmed {
                self.revalidate();
            }
        }
    }

    /// The cluster agreed on this block, and with it on its ancestors.
    pub fn mark_confirmed(&mut self, key: &BlockKey) {
        let mut freed = false;
        let mut at = Some(*key);
        while let Some(key) = at {
            let Some(node) = self.nodes.get_mut(&key) else { break };
            if node.confirmed {
                break;
            }
            node.confirmed = true;
            freed |= node.duplicate;
            at = node.parent;
        }
        if freed {
            self.revalidate();
        }
    }

    fn parent(&self, key: &BlockKey) -> Option<BlockKey> {
        self.nodes.get(key).and_then(|node| node.parent)
    }

    fn node(&self, key: &BlockKey) -> &Node {
        self.nodes.get(key).expect("invariant: links point into the tree")
    }

    /// Duplicates are rare: everything is computed again, parents before children, then weights the other way.
    fn revalidate(&mut self) {
        let keys: Vec<BlockKey> = self.nodes.keys().copied().collect();
        for key in &keys {
            let above = self.parent(key).and_then(|parent| self.node(&parent).invalid_ancestor);
            let node = self.nodes.get_mut(key).expect("invariant: the keys were just read");
            node.invalid_ancestor = if node.duplicate && !node.confirmed { Some(key.slot) } else { above };
        }
        self.settle(keys.into_iter().collect());
    }

    /// Brings blocks up to date with their children, then the blocks above them as long as something changes.
    /// The largest slot first: a parent is always smaller than its children, so each block is visited once.
    fn settle(&mut self, mut stale: BTreeSet<BlockKey>) {
        while let Some(key) = stale.pop_last() {
            if self.aggregate(&key)
                && let Some(parent) = self.parent(&key)
            {
                stale.insert(parent);
            }
        }
    }

    /// Agave heaviest_subtree_fork_choice.rs:aggregate_slot. A tie goes to the smaller (slot, hash).
    fn aggregate(&mut self, key: &BlockKey) -> bool {
        let Some(node) = self.nodes.get(key) else { return false };
        let children = || node.children.iter().map(|key| (key, self.node(key)));
        let stake = node.stake_at + children().map(|(_, child)| child.stake).sum::<u64>();
        let best = children()
            .filter(|(_, child)| child.invalid_ancestor.is_none())
            .max_by_key(|(key, child)| (child.stake, Reverse(**key)))
            .map_or(*key, |(_, child)| child.best);
        let deepest = children().max_by_key(|(key, child)| (child.height, child.stake, Reverse(**key)));
        let (height, deepest) = deepest.map_or((1, *key), |(_, child)| (child.height + 1, child.deepest));

        // A sibling order can change though nothing of this summary does, and a validity change shows only above:
        // the callers that change validity mark every block stale, so comparing the summary is enough.
        let node = self.nodes.get_mut(key).expect("invariant: it was just read");
        let changed = (node.stake, node.best, node.height, node.deepest) != (stake, best, height, deepest);
        (node.stake, node.best, node.height, node.deepest) = (stake, best, height, deepest);
        changed
    }
}

impl Node {
    fn leaf(key: BlockKey, parent: Option<BlockKey>, info: BlockInfo) -> Self {
        Self {
            parent,
            children: BTreeSet::new(),
            info,
            stake_at: 0,
            stake: 0,
            height: 1,
            best: key,
            deepest: key,
            duplicate: false,
            confirmed: false,
            invalid_ancestor: None,
        }
    }
}

fn slot_range(slot: Slot) -> std::ops::RangeInclusive<BlockKey> {
    BlockKey::new(slot, Hash::new_from_array([0; 32]))..=BlockKey::new(slot, Hash::new_from_array([0xff; 32]))
}

#[cfg(test)]
mod tests {
    //! Whatever happens to the tree, the kept summaries are what a walk over all of it gives.

    use {
        super::*,
        crate::harness::{block, empty_block},
        proptest::prelude::*,
    };

    fn info() -> BlockInfo {
        BlockInfo::new(&empty_block(block("0")), &[], &[])
    }

    fn weigh(forks: &Forks, key: &BlockKey) -> (u64, u32, BlockKey, BlockKey) {
        let node = forks.node(key);
        let (mut stake, mut height, mut best, mut deepest) = (node.stake_at, 1, *key, *key);
        let (mut best_stake, mut deep) = (None, None);
        // Ascending keys: a later one wins only if it is strictly heavier, or deeper, or as deep and heavier.
        for child in &node.children {
            let (child_stake, child_height, child_best, child_deepest) = weigh(forks, child);
            stake += child_stake;
            let is_valid = std::iter::once(*child).chain(forks.ancestors(child)).all(|key| {
                let node = forks.node(&key);
                !node.duplicate || node.confirmed
            });
            if is_valid && best_stake.is_none_or(|before| child_stake > before) {
                (best_stake, best) = (Some(child_stake), child_best);
            }
            if deep.is_none_or(|before| (child_height, child_stake) > before) {
                (deep, deepest) = (Some((child_height, child_stake)), child_deepest);
                height = child_height + 1;
            }
        }
        (stake, height, best, deepest)
    }

    proptest! {
        #[test]
        fn summaries_are_what_a_full_walk_gives(ops in prop::collection::vec((0u8..12, any::<u16>(), 1u64..50), 1..120)) {
            let mut forks = Forks::new(block("0"), info());
            let mut next = 1;
            let mut votes: Vec<Option<(BlockKey, u64)>> = vec![None; 6];
            for (op, choice, stake) in ops {
                let keys: Vec<BlockKey> = forks.nodes.keys().copied().collect();
                let key = keys[usize::from(choice) % keys.len()];
                match op {
                    0..=3 => {
                        forks.insert(block(&next.to_string()), key, info());
                        next += 1;
                    }
                    4..=7 => {
                        let mut differences = BTreeMap::new();
                        if let Some((before, counted)) = votes[usize::from(choice) % 6].replace((key, stake)) {
                            *differences.entry(before).or_default() -= i128::from(counted);
                        }
                        *differences.entry(key).or_default() += i128::from(stake);
                        forks.shift(&differences);
                    }
                    8 => forks.mark_duplicate(&key),
                    9 => forks.mark_confirmed(&key),
                    10 if choice % 4 == 0 => {
                        let path = forks.set_root(key);
                        prop_assert!(path.iter().all(|key| !forks.contains(key)));
                    }
                    11 => {
                        let gone = forks.purge(key.slot);
                        for vote in &mut votes {
                            *vote = vote.filter(|(key, _)| !gone.contains(key));
                        }
                    }
                    _ => {}
                }
                for key in forks.nodes.keys() {
                    let node = forks.node(key);
                    prop_assert_eq!((node.stake, node.height, node.best, node.deepest), weigh(&forks, key), "{}", key);
                }
            }
        }
    }
}
