//! The machine: what is known of slots in, what to execute out.
//!
//! ```text
//!   Seen         parent frozen, data       all executed          Frozen
//!   ---> incomplete ----------------> executing ----------> (Finish) ----> frozen ---> root
//!                                        |                                   |
//!                                        '---- Failed ----> dead             | the cluster agreed on another version
//!                                                             '--------------'----> Dump, seen again
//! ```

use {
    crate::{
        Config, Effect, Event, Ignored, SlotView, StateView, View,
        tree::{Asked, Node, State, Tree},
    },
    std::collections::{BTreeMap, BTreeSet},
    tandem_types::{Hash, Slot},
};

#[derive(Debug)]
pub struct Replay {
    config: Config,
    tree: Tree,
    /// Slots that have something to do and wait for no answer.
    runnable: BTreeSet<Slot>,
    /// Slots with an answer outstanding. A slot that was dropped meanwhile stays here until its answer came, and is
    /// not begun before: two executions of one slot at a time would mix up their answers.
    busy: BTreeSet<Slot>,
    preferred: Option<Slot>,
    agreed: BTreeMap<Slot, Hash>,
    dumps: BTreeMap<Slot, u32>,
    was_full: bool,
}

impl Replay {
    pub fn new(config: Config, root: Slot, root_hash: Hash) -> Self {
        assert!(config.executing_max > 0 && config.unrooted_max > 0, "limits leave room for one slot");
        Self {
            config,
            tree: Tree::new(root, root_hash),
            runnable: BTreeSet::new(),
            busy: BTreeSet::new(),
            preferred: None,
            agreed: BTreeMap::new(),
            dumps: BTreeMap::new(),
            was_full: false,
        }
    }

    /// Handles one event. Never fails: what makes no sense comes back as `Effect::Ignored`.
    pub fn handle(&mut self, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Seen { slot, parent } => self.handle_seen(slot, parent, out),
            Event::Ready { slot, upto, complete } => self.handle_ready(slot, upto, complete, out),
            Event::Executed { slot, through } => self.handle_executed(slot, through, out),
            Event::Frozen { slot, hash } => self.handle_frozen(slot, hash, out),
            Event::Failed { slot, reason } => self.handle_failed(slot, reason, out),
            Event::Condemned { slot, reason } => self.handle_condemned(slot, reason, out),
            Event::OwnBlock { slot, parent } => self.handle_own_block(slot, parent, out),
            Event::Root(slot) => self.handle_root(slot, out),
            Event::Prefer(slot) => self.preferred = Some(slot),
            Event::DuplicateConfirmed { slot, hash } => self.handle_agreed(slot, hash, out),
        }
        self.schedule(out);
    }

    pub fn root(&self) -> Slot {
        self.tree.root
    }

    pub fn view(&self) -> View {
        let slots = self.tree.iter().map(|(slot, node)| SlotView {
            slot,
            parent: node.parent,
            state: match &node.state {
                State::Incomplete => StateView::Incomplete,
                State::Executing { .. } => StateView::Executing,
                State::Producing => StateView::Producing,
                State::Frozen(hash) => StateView::Frozen(*hash),
                State::Dead(reason) => StateView::Dead(reason.clone()),
            },
            available: node.available,
            executed: node.executed,
            complete: node.complete,
            connected: self.tree.is_connected(slot),
        });
        View { root: self.tree.root, root_hash: self.tree.root_hash, slots: slots.collect() }
    }

    fn handle_seen(&mut self, slot: Slot, parent: Slot, out: &mut Vec<Effect>) {
        if let Some(node) = self.tree.get(slot) {
            if node.parent != parent {
                out.push(ignored(slot, Ignored::OtherParent));
            }
        } else if self.admit(slot, parent, State::Incomplete, out) && !self.tree.knows(parent) {
            out.push(Effect::MissingParent { slot, parent });
        }
    }

    fn handle_own_block(&mut self, slot: Slot, parent: Slot, out: &mut Vec<Effect>) {
        match self.tree.get_mut(slot) {
            None => _ = self.admit(slot, parent, State::Producing, out),
            // Our own shreds come back through the ledger, sometimes before the producer's word does.
            Some(node) if node.parent == parent && node.state == State::Incomplete => {
                node.state = State::Producing;
                self.refresh(slot);
            }
            Some(_) => out.push(ignored(slot, Ignored::Unexpected)),
        }
    }

    /// Begins to keep track of a slot, if it can descend from the root and there is room.
    fn admit(&mut self, slot: Slot, parent: Slot, state: State, out: &mut Vec<Effect>) -> bool {
        let refused = if slot <= self.tree.root {
            Some(Ignored::Rooted)
        } else if parent >= slot || parent < self.tree.root {
            Some(Ignored::BadParent)
        } else if slot - self.tree.root > self.config.ahead_max {
            self.was_full = true;
            Some(Ignored::TooFarAhead)
        } else if self.tree.len() >= self.config.unrooted_max && !self.make_room(slot, out) {
            Some(Ignored::NoRoom)
        } else {
            None
        };
        if let Some(why) = refused {
            out.push(ignored(slot, why));
            return false;
        }
        self.tree.insert(slot, parent, state);
        for child in self.tree.children(slot) {
            self.refresh(child);
        }
        true
    }

    /// A lower slot is needed before a higher one: the highest slot not begun yet gives way to it.
    fn make_room(&mut self, slot: Slot, out: &mut Vec<Effect>) -> bool {
        self.was_full = true;
        let highest =
            self.tree.iter().rev().find(|(_, node)| node.state == State::Incomplete).map(|(highest, _)| highest);
        let Some(highest) = highest.filter(|highest| *highest > slot) else { return false };
        self.tree.remove(highest);
        self.runnable.remove(&highest);
        out.push(ignored(highest, Ignored::Evicted));
        true
    }

    fn handle_ready(&mut self, slot: Slot, upto: u32, complete: bool, out: &mut Vec<Effect>) {
        let Some(node) = self.tree.get_mut(slot) else {
            let why = if slot <= self.tree.root { Ignored::Rooted } else { Ignored::Unexpected };
            out.push(ignored(slot, why));
            return;
        };
        if upto < node.available || (node.complete && upto > node.available) {
            out.push(ignored(slot, Ignored::Unexpected));
            return;
        }
        node.available = upto;
        node.complete |= complete;
        self.refresh(slot);
    }

    fn handle_executed(&mut self, slot: Slot, through: u32, out: &mut Vec<Effect>) {
        if self.is_stale_answer(slot) {
            return;
        }
        match self.tree.get_mut(slot) {
            Some(Node { state: State::Executing { asked }, executed, .. })
                if *asked == Some(Asked::Execute { upto: through }) =>
            {
                *asked = None;
                *executed = through;
                self.busy.remove(&slot);
                self.refresh(slot);
            }
            Some(_) | None => out.push(ignored(slot, Ignored::Unexpected)),
        }
    }

    fn handle_frozen(&mut self, slot: Slot, hash: Hash, out: &mut Vec<Effect>) {
        if self.is_stale_answer(slot) {
            return;
        }
        match self.tree.get_mut(slot) {
            Some(node) if matches!(node.state, State::Producing | State::Executing { asked: Some(Asked::Finish) }) => {
                node.state = State::Frozen(hash);
            }
            Some(_) | None => {
                out.push(ignored(slot, Ignored::Unexpected));
                return;
            }
        }
        self.busy.remove(&slot);
        self.refresh(slot);
        if self.agreed.get(&slot).is_some_and(|agreed| *agreed != hash) {
            self.dump(slot, out);
            return;
        }
        for child in self.tree.children(slot) {
            self.refresh(child);
        }
    }

    fn handle_failed(&mut self, slot: Slot, reason: String, out: &mut Vec<Effect>) {
        if self.is_stale_answer(slot) {
            return;
        }
        match self.tree.get_mut(slot) {
            Some(node) if matches!(node.state, State::Producing | State::Executing { asked: Some(_) }) => {
                node.state = State::Dead(reason);
            }
            Some(_) | None => {
                out.push(ignored(slot, Ignored::Unexpected));
                return;
            }
        }
        self.busy.remove(&slot);
        self.refresh(slot);
        out.push(Effect::Dead { slot });
        if self.agreed.contains_key(&slot) {
            self.dump(slot, out);
        }
    }

    /// A block that is frozen stays (agave: set_dead_slot reaches only blocks still in replay), and one that is dead is so.
    fn handle_condemned(&mut self, slot: Slot, reason: String, out: &mut Vec<Effect>) {
        match self.tree.get_mut(slot) {
            // An answer that is outstanding is stale when it comes: `busy` remembers it.
            Some(node) if matches!(node.state, State::Incomplete | State::Executing { .. }) => {
                node.state = State::Dead(reason);
            }
            Some(_) | None => {
                out.push(ignored(slot, Ignored::Unexpected));
                return;
            }
        }
        self.refresh(slot);
        out.push(Effect::Dead { slot });
        if self.agreed.contains_key(&slot) {
            self.dump(slot, out);
        }
    }

    /// True for the answer to a question that was asked before the slot was dropped.
    fn is_stale_answer(&mut self, slot: Slot) -> bool {
        let waits = matches!(self.tree.get(slot), Some(Node { state: State::Executing { asked: Some(_) }, .. }));
        if waits || !self.busy.remove(&slot) {
            return false;
        }
        self.refresh(slot);
        true
    }

    fn handle_agreed(&mut self, slot: Slot, hash: Hash, out: &mut Vec<Effect>) {
        if slot <= self.tree.root || slot - self.tree.root > self.config.ahead_max {
            out.push(ignored(slot, if slot <= self.tree.root { Ignored::Rooted } else { Ignored::TooFarAhead }));
            return;
        }
        // The first word counts: 52 % for two versions of a slot is not possible while 4 % are honest.
        let agreed = *self.agreed.entry(slot).or_insert(hash);
        match self.tree.get(slot).map(|node| &node.state) {
            Some(State::Frozen(ours)) if *ours != agreed => self.dump(slot, out),
            Some(State::Dead(_)) => self.dump(slot, out),
            Some(State::Frozen(_) | State::Executing { .. } | State::Producing | State::Incomplete) | None => {}
        }
    }

    /// Forgets our version of a slot, and begins anew with what descends from it when the right one is there.
    fn dump(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        let wanted = *self.agreed.get(&slot).expect("invariant: only a slot that the cluster agreed on is dumped");
        let dumps = self.dumps.entry(slot).or_default();
        *dumps += 1;
        if *dumps > DUMPS_MAX {
            if *dumps == DUMPS_MAX + 1 {
                out.push(Effect::GaveUp { slot, wanted });
            }
            return;
        }
        // Children before parents: a bank is given up only when nothing is built on it.
        let subtree = self.tree.subtree(slot);
        for below in subtree.iter().skip(1).rev() {
            if let Some(node) = self.tree.get_mut(*below)
                && node.state != State::Incomplete
            {
                // Its data stays. It is begun again when the right version of the dumped slot is frozen.
                node.state = State::Incomplete;
                node.executed = 0;
                out.push(Effect::Drop { slot: *below });
            }
        }
        self.tree.remove(slot);
        for slot in subtree {
            self.refresh(slot);
        }
        out.push(Effect::Drop { slot });
        out.push(Effect::Dump { slot, wanted });
    }

    fn handle_root(&mut self, root: Slot, out: &mut Vec<Effect>) {
        let hash = match self.tree.get(root).map(|node| &node.state) {
            Some(State::Frozen(hash)) if self.tree.is_connected(root) => *hash,
            Some(_) | None => {
                let why = if root <= self.tree.root { Ignored::Rooted } else { Ignored::Unexpected };
                out.push(ignored(root, why));
                return;
            }
        };
        let kept: BTreeSet<Slot> = self.tree.subtree(root).into_iter().collect();
        let rooted: BTreeSet<Slot> = self.tree.ancestors(root).collect();
        // What hangs on a parent that is not known may yet turn out to descend from the root, if that is above it.
        let is_open = |slot: Slot| {
            let bottom = std::iter::once(slot).chain(self.tree.ancestors(slot)).last().unwrap_or(slot);
            bottom > root && !self.tree.knows(bottom)
        };
        let all: Vec<Slot> = self.tree.iter().rev().map(|(slot, _)| slot).collect();
        let gone: Vec<Slot> = all.into_iter().filter(|slot| !kept.contains(slot) && !is_open(*slot)).collect();
        for slot in gone {
            let node = self.tree.remove(slot);
            self.runnable.remove(&slot);
            if !rooted.contains(&slot) && node.is_some() {
                out.push(Effect::Drop { slot });
            }
        }
        self.tree.remove(root);
        self.tree.root = root;
        self.tree.root_hash = hash;
        self.agreed = self.agreed.split_off(&(root + 1));
        self.dumps = self.dumps.split_off(&(root + 1));
        if std::mem::take(&mut self.was_full) {
            out.push(Effect::Rescan);
        }
    }

    /// Puts the slot among the runnable ones, or takes it out.
    fn refresh(&mut self, slot: Slot) {
        let runs = self.tree.get(slot).is_some_and(|node| {
            !self.busy.contains(&slot)
                && match node.state {
                    State::Incomplete => node.available > 0 && self.tree.is_frozen(node.parent),
                    State::Executing { .. } => node.available > node.executed || node.complete,
                    State::Producing | State::Frozen(_) | State::Dead(_) => false,
                }
        });
        if runs {
            self.runnable.insert(slot);
        } else {
            self.runnable.remove(&slot);
        }
    }

    fn schedule(&mut self, out: &mut Vec<Effect>) {
        while self.busy.len() < self.config.executing_max
            && let Some(slot) = self.next_slot()
        {
            self.runnable.remove(&slot);
            self.busy.insert(slot);
            let node = self.tree.get_mut(slot).expect("invariant: runnable slots are in the tree");
            if node.state == State::Incomplete {
                out.push(Effect::Begin { slot, parent: node.parent });
            }
            let (from, upto, last) = (node.executed, node.available, node.complete);
            let asked = if upto > from { Asked::Execute { upto } } else { Asked::Finish };
            node.state = State::Executing { asked: Some(asked) };
            out.push(match asked {
                Asked::Execute { upto } => Effect::Execute { slot, from, upto, last },
                Asked::Finish => Effect::Finish { slot },
            });
        }
    }

    /// The lowest slot of the preferred fork, else the lowest.
    fn next_slot(&self) -> Option<Slot> {
        let lowest = self.runnable.first().copied();
        let Some(preferred) = self.preferred.filter(|_| self.runnable.len() > 1) else { return lowest };
        let below: BTreeSet<Slot> = std::iter::once(preferred).chain(self.tree.ancestors(preferred)).collect();
        let is_preferred = |slot: &Slot| below.contains(slot) || self.tree.ancestors(*slot).any(|at| at == preferred);
        self.runnable.iter().copied().find(|slot| is_preferred(slot)).or(lowest)
    }
}

fn ignored(slot: Slot, why: Ignored) -> Effect {
    Effect::Ignored { slot, why }
}

/// Agave replay_stage.rs:MAX_REPAIR_RETRY_LOOP_ATTEMPTS.
const DUMPS_MAX: u32 = 10;
