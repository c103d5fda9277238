//! What goes into the machine and what comes out.
//!
//! Data of a slot is counted in components (entry batches and markers), from 0. `upto` and `through` are counts: what
//! comes before that component.

use tandem_types::{Hash, Slot};

/// Limits. They come from the operator's machine, so there is no default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Slots executed at the same time. More than one, or a slow fork would hold up the right one.
    pub executing_max: usize,
    /// Slots above the root that are kept track of.
    pub unrooted_max: usize,
    /// Slots further than this above the root are refused.
    pub ahead_max: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The ledger has at least one shred of this slot, and it names the parent.
    Seen { slot: Slot, parent: Slot },
    /// Components before `upto` are there without a gap; with `complete`, they are all of the slot.
    Ready { slot: Slot, upto: u32, complete: bool },
    /// The answer to `Execute`.
    Executed { slot: Slot, through: u32 },
    /// The answer to `Finish`, or our producer's block is done.
    Frozen { slot: Slot, hash: Hash },
    /// The answer to `Execute` or `Finish`, or our producer gave up.
    Failed { slot: Slot, reason: String },
    /// The ledger says that the block is not valid, whatever executing it would give.
    Condemned { slot: Slot, reason: String },
    /// Our producer makes this block: it is not replayed, and comes as `Frozen`.
    OwnBlock { slot: Slot, parent: Slot },
    /// This frozen block is the root now.
    Root(Slot),
    /// Blocks of this slot's fork are wanted first.
    Prefer(Slot),
    /// The cluster agreed on the version of the slot with this bank hash.
    DuplicateConfirmed { slot: Slot, hash: Hash },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Make a bank on the frozen parent. Is not answered: `Execute` follows.
    Begin {
        slot: Slot,
        parent: Slot,
    },
    /// Execute components from `from` up to, not including, `upto`; with `last` these are the last ones. Answered
    /// exactly once by `Executed` or `Failed`, even if the slot is dropped in between.
    Execute {
        slot: Slot,
        from: u32,
        upto: u32,
        last: bool,
    },
    /// Everything is executed: check the ticks and freeze. Answered exactly once by `Frozen` or `Failed`.
    Finish {
        slot: Slot,
    },
    /// The slot does not descend from the root, or from what it descended from any more: give up its bank.
    Drop {
        slot: Slot,
    },
    /// The block is not valid. Nothing on top of it is executed.
    Dead {
        slot: Slot,
    },
    /// Our version of the slot is not the one the cluster agreed on: remove its shreds and repair `wanted`.
    Dump {
        slot: Slot,
        wanted: Hash,
    },
    /// The same slot was dumped ten times and still is not what the cluster agreed on: our execution differs from the
    /// cluster's, or our repair is being fed. A human has to look.
    GaveUp {
        slot: Slot,
        wanted: Hash,
    },
    /// `slot` is there, but not its parent: repair wants that.
    MissingParent {
        slot: Slot,
        parent: Slot,
    },
    /// Slots were refused for lack of room, and there is room again: report all of the ledger's slots once more.
    Rescan,
    Ignored {
        slot: Slot,
        why: Ignored,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// At or below the root.
    Rooted,
    TooFarAhead,
    /// As many slots are kept track of as may be, and this one is not lower than any that could make room.
    NoRoom,
    /// It made room for a lower one.
    Evicted,
    /// Its parent is not before it, or is below the root: it can never descend from the root.
    BadParent,
    /// The slot is there already with another parent: another version of it.
    OtherParent,
    /// Not there, or not in a state in which this can happen.
    Unexpected,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    pub root: Slot,
    pub root_hash: Hash,
    /// In order of slots.
    pub slots: Vec<SlotView>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotView {
    pub slot: Slot,
    pub parent: Slot,
    pub state: StateView,
    pub available: u32,
    pub executed: u32,
    /// All data of the slot is there.
    pub complete: bool,
    /// All slots down to the root are known.
    pub connected: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateView {
    /// Not begun: waits for data or for its parent.
    Incomplete,
    Executing,
    /// Our own, in production.
    Producing,
    Frozen(Hash),
    Dead(String),
}
