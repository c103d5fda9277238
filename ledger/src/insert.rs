//! Whether a shred fits what the slot already has, and what it completes. Works on one slot, which the caller has locked.
//!
//! The rules are those of protocol.md 1.4 (agave ledger/src/blockstore.rs: check_insert_data_shred, check_insert_coding_shred,
//! should_insert_data_shred, check_*_chained_merkle_root_consistency, v4.2). Signatures were verified before.
//!
//! Sets that are not chained to each other are kept, as agave keeps them: what that makes of the block hangs on features, which
//! are not known here (`InsertReport::chain_broken`). Refused, they would be asked for again for ever, of a block that a cluster
//! without those features votes for.

use {
    crate::{
        report::{ConflictKind, DuplicateEvidence, InsertReport, Rejection},
        source::Source,
        state::{SET, SlotState, range_of_set},
    },
    std::collections::{BTreeMap, BTreeSet},
    tandem_shred::{CODE_SHREDS_PER_SET, DATA_SHREDS_PER_SET, RecoverError, Shred, ShredKind, recover},
    tandem_types::Slot,
};

/// Inserts into one slot; what it accepts is to be written before the slot's lock is released.
pub(crate) struct SlotInsert<'a> {
    pub state: &'a mut SlotState,
    pub root: Slot,
    pub told: &'a mut BTreeSet<(Slot, ConflictKind)>,
    /// Data shreds of this slot that memory does not have any more.
    pub read: &'a dyn Fn(u32) -> Option<Shred>,
    pub report: &'a mut InsertReport,
    pub writes: BTreeMap<u32, (Shred, Source)>,
}

enum Refusal {
    Duplicate,
    Unneeded,
    Reject(Rejection),
    /// With a shred that the ledger holds, if it can still be found.
    Conflict(ConflictKind, Option<Shred>),
}

impl SlotInsert<'_> {
    pub fn insert(&mut self, shred: Shred, source: Source) {
        match self.check(&shred) {
            Ok(()) => {
                self.report.accepted += 1;
                let set = shred.fec_set_index();
                if self.breaks_chain(&shred) {
                    self.report.chain_broken.insert(shred.slot());
                }
                self.accept(shred, source);
                self.try_recover(set);
            }
            Err(refusal) => self.refuse(refusal, shred),
        }
    }

    fn check(&self, shred: &Shred) -> Result<(), Refusal> {
        self.check_set(shred)?;
        match shred.kind() {
            ShredKind::Data => self.check_data(shred),
            ShredKind::Code => self.check_code(shred),
        }
    }

    fn check_set(&self, shred: &Shred) -> Result<(), Refusal> {
        let first = shred.fec_set_index();
        if self.state.sets.get(&first).is_some_and(|set| set.root != shred.merkle_root()) {
            return Err(Refusal::Conflict(ConflictKind::Root, self.any_of_set(first)));
        }
        Ok(())
    }

    /// Whether the first shred of its set shows that the set does not fit the one before it, or the one after it. The set's
    /// other shreds have its root, and so would show nothing else.
    fn breaks_chain(&self, shred: &Shred) -> bool {
        let sets = &self.state.sets;
        let first = shred.fec_set_index();
        let before = first.checked_sub(SET).and_then(|before| sets.get(&before));
        let after = sets.get(&first.saturating_add(SET));
        !sets.contains_key(&first)
            && (before.is_some_and(|set| set.root != shred.chained_root())
                || after.is_some_and(|set| set.chained != shred.merkle_root()))
    }

    fn check_data(&self, shred: &Shred) -> Result<(), Refusal> {
        let index = shred.index();
        let state = &self.state;
        if state.present.contains(index) {
            return Err(Refusal::Duplicate);
        }
        if let Some(last) = state.last_index.filter(|last| index > *last) {
            return Err(Refusal::Conflict(ConflictKind::LastIndex, self.find(last)));
        }
        if shred.last_in_slot() && index + 1 < state.received() {
            return Err(Refusal::Conflict(ConflictKind::LastIndex, self.find(state.received() - 1)));
        }
        let Some(parent) = shred.parent_slot() else { return Err(Refusal::Reject(Rejection::Parent)) };
        let genesis = shred.slot() == 0 && parent == 0 && self.root == 0;
        if !genesis && (parent < self.root || parent >= shred.slot()) {
            return Err(Refusal::Reject(Rejection::Rooted));
        }
        if state.parent.is_some_and(|known| known != parent) {
            return Err(Refusal::Reject(Rejection::Parent));
        }
        Ok(())
    }

    fn check_code(&self, shred: &Shred) -> Result<(), Refusal> {
        if shred.slot() <= self.root {
            return Err(Refusal::Reject(Rejection::Rooted));
        }
        let first = shred.fec_set_index();
        if self.state.data_count(first) == DATA_SHREDS_PER_SET {
            return Err(Refusal::Unneeded);
        }
        if let Some(set) = self.state.sets.get(&first) {
            if set.unrecoverable {
                return Err(Refusal::Unneeded);
            }
            if set.code.iter().any(|held| held.index() == shred.index()) {
                return Err(Refusal::Duplicate);
            }
        }
        Ok(())
    }

    fn accept(&mut self, shred: Shred, source: Source) {
        match shred.kind() {
            ShredKind::Data => {
                self.state.add(&shred);
                self.state.recent.insert(shred.index(), shred.clone());
                self.writes.insert(shred.index(), (shred, source));
            }
            ShredKind::Code => self.state.set_of(&shred).code.push(shred),
        }
    }

    fn refuse(&mut self, refusal: Refusal, shred: Shred) {
        match refusal {
            Refusal::Duplicate => self.report.duplicates += 1,
            Refusal::Unneeded => self.report.unneeded += 1,
            Refusal::Reject(why) => self.report.reject(why),
            Refusal::Conflict(kind, held) => {
                self.report.reject(match kind {
                    ConflictKind::Root => Rejection::ConflictRoot,
                    ConflictKind::LastIndex => Rejection::ConflictLastIndex,
                });
                if let Some(held) = held
                    && self.told.insert((shred.slot(), kind))
                {
                    let slot = shred.slot();
                    self.report.conflicts.push(DuplicateEvidence { slot, kind, shred1: held, shred2: shred });
                }
            }
        }
    }

    fn try_recover(&mut self, first: u32) {
        let data = self.state.data_count(first);
        let Some(set) = self.state.sets.get_mut(&first) else { return };
        if data == DATA_SHREDS_PER_SET {
            set.code = Vec::new();
            return;
        }
        if set.unrecoverable || set.code.is_empty() || data + set.code.len() < DATA_SHREDS_PER_SET {
            return;
        }
        let mut present = std::mem::take(&mut set.code);
        assert!(present.len() <= CODE_SHREDS_PER_SET, "a set holds each code shred once");
        let indices: Vec<u32> = self.state.present.ones(range_of_set(first)).collect();
        // A shred that cannot be read any more is missing; the rest may still do, now or later.
        present.extend(indices.into_iter().filter_map(|index| self.find(index)));
        match recover(&present) {
            Ok(missing) => {
                for shred in missing {
                    self.keep_recovered(&shred);
                    self.report.recovered.push(shred);
                }
                // Some did not fit the slot (beyond its last index, say): no second attempt will differ.
                let whole = self.state.data_count(first) == DATA_SHREDS_PER_SET;
                if let Some(set) = self.state.sets.get_mut(&first) {
                    set.unrecoverable = !whole;
                }
            }
            Err(error) => {
                let fatal = match error {
                    RecoverError::TooFew(_) | RecoverError::NoCode => false,
                    RecoverError::Mixed | RecoverError::ProofLength | RecoverError::Inconsistent => true,
                };
                if fatal {
                    self.report.reject(Rejection::Unrecoverable);
                }
                if let Some(set) = self.state.sets.get_mut(&first) {
                    set.unrecoverable = fatal;
                    present.retain(|shred| !fatal && !shred.is_data());
                    set.code = present;
                }
            }
        }
    }

    fn keep_recovered(&mut self, shred: &Shred) {
        if !shred.is_data() {
            return;
        }
        match self.check(shred) {
            // A copy: the recovered shreds share one allocation, which would live as long as any of them.
            Ok(()) => match Shred::parse_slice(shred.payload()) {
                Ok(copy) => self.accept(copy, Source::Recovered),
                Err(_) => self.report.reject(Rejection::Unrecoverable),
            },
            Err(refusal) => self.refuse(refusal, shred.clone()),
        }
    }

    fn find(&self, index: u32) -> Option<Shred> {
        self.state.recent.get(&index).cloned().or_else(|| (self.read)(index))
    }

    fn any_of_set(&self, first: u32) -> Option<Shred> {
        let code = self.state.sets.get(&first).and_then(|set| set.code.first()).cloned();
        code.or_else(|| self.state.present.ones(range_of_set(first)).find_map(|index| self.find(index)))
    }
}
