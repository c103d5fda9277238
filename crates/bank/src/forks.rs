//! What all banks of a process share, and what moving the root does to it.

use {
    crate::{Bank, Statuses},
    solana_program_runtime::loaded_programs::{BlockRelation, ForkGraph, ProgramCache},
    std::{
        collections::HashMap,
        sync::{
            Arc, OnceLock, RwLock,
            atomic::{AtomicBool, Ordering},
        },
    },
    tandem_accounts::Accounts,
    tandem_types::Slot,
};

/// Shared by every bank made from one genesis. (The program cache is shared too, inside the banks' processors.)
#[derive(Default)]
pub struct Forks {
    pub(crate) accounts: Accounts,
    pub(crate) statuses: RwLock<Statuses>,
    /// In an `Arc` because the program cache wants a `Weak` of it.
    pub(crate) tree: Arc<RwLock<SlotTree>>,
    /// The program cache of the banks' processors; set with the first bank.
    pub(crate) programs: OnceLock<Arc<RwLock<ProgramCache<SlotTree>>>>,
    records_transactions: AtomicBool,
}

/// What a new root changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootReport {
    /// Ascending; the new root is the last.
    pub rooted: Vec<Slot>,
    /// Slots of forks that can no longer win.
    pub dropped: Vec<Slot>,
}

impl Forks {
    /// Of a process that begins at `root`, with everything in `accounts` rooted.
    pub(crate) fn restored(accounts: Accounts, root: Slot) -> Self {
        let tree = SlotTree { root, highest: root, parents: HashMap::new() };
        Self { accounts, tree: Arc::new(RwLock::new(tree)), ..Self::default() }
    }

    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub fn root(&self) -> Slot {
        self.tree.read().expect("invariant: no panic while the tree is held").root
    }

    /// Whether commits carry logs, inner instructions, return data and balances (an RPC node wants them; they cost time).
    pub fn record_transactions(&self, on: bool) {
        self.records_transactions.store(on, Ordering::Relaxed);
    }

    pub(crate) fn records_transactions(&self) -> bool {
        self.records_transactions.load(Ordering::Relaxed)
    }

    /// Makes `bank` the root: its line becomes final, every other fork is dropped. Banks of dropped forks must not be
    /// used afterwards.
    pub fn set_root(&self, bank: &Arc<Bank>) -> RootReport {
        bank.freeze();
        // A copy, because the program cache looks into the tree while it is locked: holding both the other way round
        // could stop two threads for ever.
        let tree = self.tree.read().expect("invariant: no panic while the tree is held").clone();
        if bank.slot() <= tree.root {
            return RootReport::default();
        }
        let rooted: Vec<Slot> = bank.ancestors.iter().filter(|slot| *slot > tree.root).collect();
        rooted.iter().for_each(|slot| self.accounts.root(*slot));
        bank.prune_programs(&tree);
        let dropped = self.tree.write().expect("invariant: no panic while the tree is held").set_root(bank.slot());
        dropped.iter().for_each(|slot| self.accounts.purge(*slot));
        {
            let mut statuses = self.statuses.write().expect("invariant: no panic while the statuses are held");
            dropped.iter().for_each(|slot| statuses.purge(*slot));
            statuses.add_roots(rooted.iter().copied());
        }
        bank.forget_parent();
        RootReport { rooted, dropped }
    }

    /// Forgets a slot that will be replaced by another version or that is dead. It must have no children.
    pub fn purge(&self, slot: Slot) {
        self.accounts.purge(slot);
        self.statuses.write().expect("invariant: no panic while the statuses are held").purge(slot);
        if let Some(programs) = self.programs.get() {
            let mut programs = programs.write().expect("invariant: no panic while the program cache is held");
            programs.prune_by_deployment_slot(slot);
        }
        self.tree.write().expect("invariant: no panic while the tree is held").remove(slot);
    }
}

/// Parents of all living slots. The program cache asks it which deployments a block can see.
#[derive(Clone, Debug, Default)]
pub struct SlotTree {
    root: Slot,
    highest: Slot,
    parents: HashMap<Slot, Slot>,
}

impl SlotTree {
    pub(crate) fn add(&mut self, slot: Slot, parent: Slot) {
        let earlier = self.parents.insert(slot, parent);
        assert!(earlier.is_none(), "slot {slot} has a bank already: purge it before making another");
        self.highest = self.highest.max(slot);
    }

    pub(crate) fn root(&self) -> Slot {
        self.root
    }

    fn remove(&mut self, slot: Slot) {
        self.parents.remove(&slot);
    }

    /// Returns the slots it drops, ascending.
    fn set_root(&mut self, root: Slot) -> Vec<Slot> {
        let dropped = self.dropped_by(root);
        dropped.iter().for_each(|slot| self.remove(*slot));
        self.parents.retain(|slot, _| *slot > root);
        self.root = root;
        dropped
    }

    /// Every slot that is neither on the line to `root` nor on top of it.
    fn dropped_by(&self, root: Slot) -> Vec<Slot> {
        let mut dropped: Vec<Slot> = self
            .parents
            .keys()
            .copied()
            .filter(|slot| *slot != root && !self.is_ancestor(*slot, root) && !self.is_ancestor(root, *slot))
            .collect();
        dropped.sort_unstable();
        dropped
    }

    fn is_ancestor(&self, ancestor: Slot, mut slot: Slot) -> bool {
        while slot > ancestor {
            match self.parents.get(&slot) {
                Some(parent) => slot = *parent,
                None => return false,
            }
        }
        slot == ancestor
    }
}

impl ForkGraph for SlotTree {
    fn relationship(&self, a: Slot, b: Slot) -> BlockRelation {
        let known = self.root..=self.highest;
        if !known.contains(&a) || !known.contains(&b) {
            BlockRelation::Unknown
        } else if a == b {
            BlockRelation::Equal
        } else if a < b && self.is_ancestor(a, b) {
            BlockRelation::Ancestor
        } else if b < a && self.is_ancestor(b, a) {
            BlockRelation::Descendant
        } else {
            BlockRelation::Unrelated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //  0 - 1 - 2 - 5
    //       `- 3 - 4
    fn tree() -> SlotTree {
        let mut tree = SlotTree::default();
        [(1, 0), (2, 1), (3, 1), (4, 3), (5, 2)].iter().for_each(|(slot, parent)| tree.add(*slot, *parent));
        tree
    }

    #[test]
    fn relations() {
        let tree = tree();
        assert_eq!(tree.relationship(1, 5), BlockRelation::Ancestor);
        assert_eq!(tree.relationship(5, 1), BlockRelation::Descendant);
        assert_eq!(tree.relationship(3, 5), BlockRelation::Unrelated);
        assert_eq!(tree.relationship(4, 4), BlockRelation::Equal);
        assert_eq!(tree.relationship(4, 6), BlockRelation::Unknown);
    }

    #[test]
    fn a_new_root_drops_the_other_forks() {
        let mut tree = tree();
        assert_eq!(tree.dropped_by(2), [3, 4]);
        tree.set_root(2);
        assert_eq!(tree.relationship(2, 5), BlockRelation::Ancestor);
        assert_eq!(tree.relationship(1, 5), BlockRelation::Unknown);
        assert_eq!(tree.relationship(4, 5), BlockRelation::Unrelated);
    }

    #[test]
    #[should_panic(expected = "purge it before")]
    fn one_bank_per_slot() {
        tree().add(5, 4);
    }
}
