//! What the writer and the readers have in common: slots by number, each behind a lock of its own, and the facts.
//!
//! Lock order: `slots` or `children` or `facts` for a look-up only, never while a slot's lock is taken inside it; a slot's
//! lock is held while its file is read or written, so that nothing is visible before it is written.

use {
    crate::{
        error::LedgerError,
        journal::Facts,
        slot_file::{self, Record},
        state::{SlotState, first_of_set},
    },
    std::{
        collections::{BTreeMap, BTreeSet, VecDeque},
        fs::File,
        io,
        ops::Range,
        path::PathBuf,
        sync::{
            Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
            atomic::{AtomicU64, Ordering},
        },
    },
    tandem_shred::Shred,
    tandem_types::{Hash, Slot, UnixMillis},
    tracing::warn,
};

pub(crate) struct Shared {
    /// Of the slot files.
    pub dir: PathBuf,
    slots: RwLock<BTreeMap<Slot, Arc<Cell>>>,
    /// Known for slots from the root on, and for every slot that was loaded since.
    children: RwLock<BTreeMap<Slot, BTreeSet<Slot>>>,
    facts: RwLock<Facts>,
    corrupt_records: AtomicU64,
    read_errors: AtomicU64,
    /// Loaded slots below the root, oldest first: they are unloaded when there are too many.
    cold: Mutex<VecDeque<Slot>>,
}

/// `None`: what is known of the slot must be read from its file first.
pub(crate) struct Cell {
    state: RwLock<Option<SlotState>>,
}

impl Cell {
    pub fn write(&self) -> RwLockWriteGuard<'_, Option<SlotState>> {
        unpoisoned(self.state.write())
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<SlotState>> {
        unpoisoned(self.state.read())
    }
}

impl Shared {
    pub fn new(dir: PathBuf, slots: Vec<Slot>, facts: Facts) -> Self {
        let cell = |slot| (slot, Arc::new(Cell { state: RwLock::new(None) }));
        Self {
            dir,
            slots: RwLock::new(slots.into_iter().map(cell).collect()),
            children: RwLock::default(),
            facts: RwLock::new(facts),
            corrupt_records: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
            cold: Mutex::default(),
        }
    }

    pub fn facts(&self) -> RwLockReadGuard<'_, Facts> {
        unpoisoned(self.facts.read())
    }

    pub fn facts_mut(&self) -> RwLockWriteGuard<'_, Facts> {
        unpoisoned(self.facts.write())
    }

    pub fn cell(&self, slot: Slot) -> Option<Arc<Cell>> {
        unpoisoned(self.slots.read()).get(&slot).cloned()
    }

    pub fn cell_or_new(&self, slot: Slot, now: UnixMillis) -> Arc<Cell> {
        if let Some(cell) = self.cell(slot) {
            return cell;
        }
        let cell = Arc::new(Cell { state: RwLock::new(Some(SlotState::new(slot, now))) });
        unpoisoned(self.slots.write()).insert(slot, cell.clone());
        cell
    }

    pub fn slots_in(&self, range: impl std::ops::RangeBounds<Slot>) -> Vec<Slot> {
        unpoisoned(self.slots.read()).range(range).map(|(slot, _)| *slot).collect()
    }

    pub fn remove(&self, slot: Slot) {
        let removed = unpoisoned(self.slots.write()).remove(&slot);
        let parent = removed.and_then(|cell| cell.read().as_ref().and_then(|state| state.parent));
        if let Some(parent) = parent {
            let mut children = unpoisoned(self.children.write());
            if let Some(siblings) = children.get_mut(&parent) {
                siblings.remove(&slot);
                if siblings.is_empty() {
                    children.remove(&parent);
                }
            }
        }
    }

    pub fn forget_children_below(&self, slot: Slot) {
        let mut children = unpoisoned(self.children.write());
        *children = children.split_off(&slot);
    }

    pub fn add_child(&self, parent: Slot, child: Slot) {
        // Slot 0 is its own parent and nobody's child.
        if parent != child && !unpoisoned(self.children.read()).get(&parent).is_some_and(|of| of.contains(&child)) {
            unpoisoned(self.children.write()).entry(parent).or_default().insert(child);
        }
    }

    pub fn children(&self, slot: Slot) -> Vec<Slot> {
        unpoisoned(self.children.read())
            .get(&slot)
            .map(|children| children.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Runs `look` on what is known of the slot; reads its file first where needed.
    pub fn with<R>(&self, slot: Slot, look: impl FnOnce(&SlotState) -> R) -> Option<R> {
        let cell = self.cell(slot)?;
        if let Some(state) = cell.read().as_ref() {
            return Some(look(state));
        }
        let result = {
            let mut guard = cell.write();
            let state = match &mut *guard {
                Some(state) => state,
                empty => empty.insert(self.report_error(slot, self.load(slot))?),
            };
            look(state)
        };
        self.note_cold(slot);
        Some(result)
    }

    /// What the slot's file says.
    pub fn load(&self, slot: Slot) -> Result<SlotState, LedgerError> {
        let path = slot_file::path(&self.dir, slot);
        let failed = |error| LedgerError::io("reading", &path)(error);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SlotState::new(slot, UnixMillis(0))),
            Err(error) => return Err(failed(error)),
        };
        let mut state = SlotState::new(slot, slot_file::header(&file, slot).unwrap_or_default());
        let mut corrupt = 0;
        let end = slot_file::end(&file).map_err(failed)?;
        slot_file::read(&file, slot, 0..end, |_, record| match record {
            Record::Shred(shred, _) => state.add(&shred),
            Record::Corrupt => corrupt += 1,
            Record::Missing => {}
        })
        .map_err(failed)?;
        self.report_corrupt(slot, corrupt);
        if let Some(parent) = state.parent {
            self.add_child(parent, slot);
        }
        Ok(state)
    }

    /// The data shreds of a range, all of them or none. Those that turn out to be damaged are missing from then on.
    pub fn read(&self, slot: Slot, range: Range<u32>) -> Option<Vec<Shred>> {
        let (mut found, roots) = self.with(slot, |state| {
            let all = range.clone().all(|index| state.present.contains(index));
            let found: Vec<Option<Shred>> = range.clone().map(|index| state.recent.get(&index).cloned()).collect();
            let sets = state.sets.range(first_of_set(range.start)..range.end);
            let roots: BTreeMap<u32, Hash> = sets.map(|(first, set)| (*first, set.root)).collect();
            all.then_some((found, roots))
        })??;
        if found.iter().all(Option::is_some) {
            return found.into_iter().collect();
        }
        let file = match File::open(slot_file::path(&self.dir, slot)) {
            Ok(file) => file,
            // Purged since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return self.report_error(slot, Err(error)),
        };
        let first = range.start + u32::try_from(found.iter().position(Option::is_none)?).ok()?;
        let end = range.start + u32::try_from(found.iter().rposition(Option::is_none)?).ok()? + 1;
        let mut damaged = Vec::new();
        let done = slot_file::read(&file, slot, first..end, |index, record| {
            let place = &mut found[(index - range.start) as usize];
            match record {
                // Another root: the slot was thrown away and is being filled with another version just now.
                Record::Shred(shred, _) if roots.get(&shred.fec_set_index()) == Some(&shred.merkle_root()) => {
                    place.get_or_insert(*shred);
                }
                Record::Shred(..) => {}
                Record::Missing | Record::Corrupt if place.is_none() => damaged.push(index),
                Record::Missing | Record::Corrupt => {}
            }
        });
        self.report_error(slot, done)?;
        if !damaged.is_empty() {
            self.forget(slot, &damaged);
        }
        found.into_iter().collect()
    }

    fn forget(&self, slot: Slot, indices: &[u32]) {
        let Some(cell) = self.cell(slot) else { return };
        if let Some(state) = cell.write().as_mut() {
            for index in indices {
                state.forget(*index);
            }
        }
        self.report_corrupt(slot, indices.len() as u64);
    }

    pub fn corrupt_records(&self) -> u64 {
        self.corrupt_records.load(Ordering::Relaxed)
    }

    pub fn read_errors(&self) -> u64 {
        self.read_errors.load(Ordering::Relaxed)
    }

    /// Makes room when too many slots below the root are loaded; the newest loaded stay.
    pub fn note_cold(&self, slot: Slot) {
        if slot >= self.facts().root() {
            return;
        }
        let unload = {
            let mut cold = self.lock_cold();
            if cold.contains(&slot) {
                return;
            }
            cold.push_back(slot);
            if cold.len() > COLD_SLOTS_MAX { cold.pop_front() } else { None }
        };
        if let Some(cell) = unload.and_then(|slot| self.cell(slot)) {
            *cell.write() = None;
        }
    }

    fn lock_cold(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        unpoisoned(self.cold.lock())
    }

    fn report_corrupt(&self, slot: Slot, count: u64) {
        if count > 0 {
            self.corrupt_records.fetch_add(count, Ordering::Relaxed);
            let path = slot_file::path(&self.dir, slot);
            warn!(slot, count, path = %path.display(), "damaged shred records; they count as missing and can be repaired");
        }
    }

    /// A reader cannot stop the node; what it could not read is missing, and somebody should look at the disk.
    fn report_error<T, E: std::error::Error>(&self, slot: Slot, result: Result<T, E>) -> Option<T> {
        result
            .inspect_err(|error| {
                self.read_errors.fetch_add(1, Ordering::Relaxed);
                warn!(slot, %error, path = %self.dir.display(), "shreds could not be read; they count as missing");
            })
            .ok()
    }
}

/// A panic elsewhere stops the node; until it does, what the lock guards is whole: it is changed by plain assignments.
fn unpoisoned<G>(result: Result<G, PoisonError<G>>) -> G {
    result.unwrap_or_else(PoisonError::into_inner)
}

const COLD_SLOTS_MAX: usize = 256;
