//! Whether the shreds seen of each slot can all be of one block.

use {
    crate::{
        shred::{SHREDS_PER_SET, ShredView},
        verdict::{Finding, FindingKind, Item, Place, Places},
    },
    std::collections::{BTreeMap, HashSet},
};

#[derive(Default)]
pub struct Blocks {
    slots: BTreeMap<u64, Block>,
    /// Signatures of the identity that were checked: every shred of a set carries the same one.
    checked: HashSet<([u8; 64], [u8; 32])>,
}

#[derive(Default)]
struct Block {
    machine: Option<(usize, Seen)>,
    sets: BTreeMap<u32, Set>,
    /// The data shred that says it is the last, and the one with the highest index.
    last: Option<Seen>,
    highest: Option<Seen>,
    /// The first two that contradict each other, and how.
    conflict: Option<(Seen, Seen, &'static str)>,
}

struct Set {
    first: Seen,
    chained_root: [u8; 32],
}

#[derive(Clone, Copy)]
struct Seen {
    index: u32,
    is_data: bool,
    set: u32,
    root: [u8; 32],
    place: Place,
}

impl Blocks {
    /// False when none of `identities` signed the shred (none named: whoever did). `machine`: whose release log it is from.
    pub fn add(
        &mut self,
        shred: &ShredView<'_>,
        place: Place,
        machine: Option<usize>,
        identities: &[[u8; 32]],
    ) -> bool {
        if !identities.is_empty() && !self.checked.contains(&(shred.signature, shred.root)) {
            if !identities.iter().any(|identity| shred.is_signed_by(identity)) {
                return false;
            }
            self.checked.insert((shred.signature, shred.root));
        }
        self.slots.entry(shred.slot).or_default().add(shred, place, machine);
        true
    }

    pub fn findings(&self, places: &Places) -> Vec<Finding> {
        let of_slot = |(slot, block): (&u64, &Block)| {
            let (first, second, reason) = block.conflict?;
            Some(Finding {
                kind: FindingKind::DuplicateBlock,
                account: String::new(),
                slot: *slot,
                reason: format!("slot {slot}: more than one block was signed: {reason}"),
                items: [first, second].iter().map(|seen| seen.item(*slot, places)).collect(),
            })
        };
        self.slots.iter().filter_map(of_slot).collect()
    }
}

impl Block {
    fn add(&mut self, shred: &ShredView<'_>, place: Place, machine: Option<usize>) {
        let seen = Seen { index: shred.index, is_data: shred.is_data, set: shred.set, root: shred.root, place };
        if self.conflict.is_none() {
            self.conflict = self.conflict_with(shred, seen, machine);
        }
        if let Some(machine) = machine {
            self.machine.get_or_insert((machine, seen));
        }
        self.sets.entry(shred.set).or_insert(Set { first: seen, chained_root: shred.chained_root });
        if shred.is_data {
            if shred.is_last {
                self.last.get_or_insert(seen);
            }
            if self.highest.is_none_or(|highest| highest.index < shred.index) {
                self.highest = Some(seen);
            }
        }
    }

    fn conflict_with(
        &self,
        shred: &ShredView<'_>,
        seen: Seen,
        machine: Option<usize>,
    ) -> Option<(Seen, Seen, &'static str)> {
        if let (Some(machine), Some((other, theirs))) = (machine, self.machine)
            && machine != other
        {
            return Some((theirs, seen, "two machines made shreds of it"));
        }
        if let Some(set) = self.sets.get(&shred.set)
            && set.first.root != shred.root
        {
            return Some((set.first, seen, "two merkle roots for one set"));
        }
        let before = shred.set.checked_sub(SHREDS_PER_SET).and_then(|before| self.sets.get(&before));
        if let Some(set) = before.filter(|set| set.first.root != shred.chained_root) {
            return Some((set.first, seen, "a set that does not continue the one before"));
        }
        let after = shred.set.checked_add(SHREDS_PER_SET).and_then(|after| self.sets.get(&after));
        if let Some(set) = after.filter(|set| set.chained_root != shred.root) {
            return Some((set.first, seen, "a set that is not continued by the one after"));
        }
        let beyond = match (shred.is_data, shred.is_last) {
            (true, true) => self.highest.filter(|highest| highest.index > shred.index),
            (true, false) => self.last.filter(|last| last.index < shred.index),
            (false, _) => None,
        };
        beyond.map(|other| (other, seen, "a data shred behind the last one"))
    }
}

impl Seen {
    fn item(&self, slot: u64, places: &Places) -> Item {
        let kind = if self.is_data { "data" } else { "code" };
        let root = bs58::encode(self.root).into_string();
        Item {
            what: format!("{kind} shred {} of slot {slot}, set {}, merkle root {root}", self.index, self.set),
            seen: places.name(self.place),
        }
    }
}
