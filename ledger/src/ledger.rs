//! The one writer: inserts shreds, records facts about slots, purges.

use {
    crate::{
        error::LedgerError,
        insert::SlotInsert,
        journal::{Fact, Journal, sync_folder_of},
        reader::LedgerReader,
        report::{ConflictKind, InsertReport, Progress, Rejection},
        shared::{Cell, Shared},
        slot_file::{self, Record},
        source::Source,
        state::SlotState,
    },
    std::{
        collections::{BTreeMap, BTreeSet, btree_map::Entry},
        fs::{self, File, TryLockError},
        io,
        path::{Path, PathBuf},
        sync::Arc,
    },
    tandem_shred::{CODE_PAYLOAD_BYTES, DATA_PAYLOAD_BYTES, Shred},
    tandem_types::{Hash, Slot, UnixMillis, UnixTimestamp},
    tracing::warn,
};

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Newest data shreds kept in memory besides the disk.
    pub recent_bytes_max: usize,
    /// Code shreds of sets that are not whole yet; they are in memory only.
    pub code_bytes_max: usize,
    /// Files of slots kept open for writing.
    pub files_open_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { recent_bytes_max: 16 << 20, code_bytes_max: 32 << 20, files_open_max: 64 }
    }
}

pub struct Ledger {
    shared: Arc<Shared>,
    options: Options,
    journal: Journal,
    /// Conflicts told already.
    told: BTreeSet<(Slot, ConflictKind)>,
    /// Files of the slots written last; opening one for every batch would cost more than writing it.
    files: BTreeMap<Slot, File>,
    /// Shreds in memory by slot, for the two bounds of `Options`.
    recent: BTreeMap<Slot, usize>,
    code: BTreeMap<Slot, usize>,
    /// Slots begun as our own by this process.
    own_open: BTreeSet<Slot>,
    /// Slots whose file names are known to be durable.
    names_synced: BTreeSet<Slot>,
    _lock: File,
}

impl Ledger {
    /// Opens the ledger in `dir`, or makes one. Slots from the root on are read, so this takes longer the further the root
    /// is behind.
    pub fn open(dir: &Path, options: Options) -> Result<(Ledger, LedgerReader), LedgerError> {
        let slots_dir = dir.join("slots");
        fs::create_dir_all(&slots_dir).map_err(LedgerError::io("creating", &slots_dir))?;
        let lock = lock_folder(dir)?;
        check_format(dir)?;
        let (journal, facts, lost) = Journal::open(dir.join("facts"))?;
        if lost > 0 {
            warn!(dir = %dir.display(), lost, "records of the facts file did not hold; one at its end is what a killed process leaves");
        }
        let slots = slot_file::list(&slots_dir)?;
        let root = facts.root();
        let shared = Arc::new(Shared::new(slots_dir, slots, facts));
        for slot in shared.slots_in(root..) {
            let state = shared.load(slot)?;
            if let Some(cell) = shared.cell(slot) {
                *cell.write() = Some(state);
            }
        }
        let reader = LedgerReader::new(shared.clone());
        let ledger = Ledger {
            shared,
            options,
            journal,
            told: BTreeSet::new(),
            files: BTreeMap::new(),
            recent: BTreeMap::new(),
            code: BTreeMap::new(),
            own_open: BTreeSet::new(),
            names_synced: BTreeSet::new(),
            _lock: lock,
        };
        Ok((ledger, reader))
    }

    /// Inserts verified shreds that passed `tandem_shred::Policy`. When it returns, a killed process does not lose what it
    /// accepted (a machine that loses power may, without `sync_slot`).
    pub fn insert(&mut self, shreds: Vec<Shred>, source: Source, now: UnixMillis) -> Result<InsertReport, LedgerError> {
        let mut report = InsertReport::default();
        let mut by_slot: BTreeMap<Slot, Vec<Shred>> = BTreeMap::new();
        for shred in shreds {
            by_slot.entry(shred.slot()).or_default().push(shred);
        }
        for (slot, shreds) in by_slot {
            if slot < self.shared.facts().purged_below {
                shreds.iter().for_each(|_| report.reject(Rejection::Purged));
                continue;
            }
            self.insert_into(slot, shreds, source, now, &mut report)?;
        }
        self.trim_recent();
        self.trim_code();
        Ok(report)
    }

    /// Marks `slot` as one we make the block of. Refused where the slot has shreds already, whoever made them, and where it was
    /// begun before, also by an earlier process that was killed. A machine that loses power may forget the mark; whoever calls
    /// this has made durable elsewhere that the slot is used up (the promise store's watermark), and does not wait here.
    pub fn begin_own_slot(&mut self, slot: Slot) -> Result<(), LedgerError> {
        let taken = |what| Err(LedgerError::OwnSlotTaken { slot, what });
        if self.shared.facts().own.contains(&slot) {
            return taken("a block of ours");
        }
        if slot < self.shared.facts().purged_below {
            return taken("a past that was purged");
        }
        if self.shared.with(slot, SlotState::is_known) == Some(true) {
            return taken("shreds");
        }
        self.add(Fact::Own(slot))?;
        self.own_open.insert(slot);
        Ok(())
    }

    /// Inserts shreds of a slot that `begin_own_slot` opened. All of them must fit, or none of the block is to be sent on.
    pub fn insert_own(&mut self, slot: Slot, shreds: Vec<Shred>, now: UnixMillis) -> Result<InsertReport, LedgerError> {
        if !self.own_open.contains(&slot) || shreds.iter().any(|shred| shred.slot() != slot) {
            return Err(LedgerError::OwnSlotNotBegun { slot });
        }
        // Code shreds are of no use here, and one that came before its set's last data shred would recover that shred.
        let (data, code): (Vec<_>, Vec<_>) = shreds.into_iter().partition(Shred::is_data);
        let mut report = self.insert(data, Source::Own, now)?;
        report.unneeded += code.len();
        match report.rejected_count() + report.duplicates + report.chain_broken.len() {
            0 => Ok(report),
            refused => Err(LedgerError::OwnShredsRefused { slot, refused }),
        }
    }

    /// Makes the slot's shreds survive the machine's sudden end.
    pub fn sync_slot(&mut self, slot: Slot) -> Result<(), LedgerError> {
        let path = slot_file::path(&self.shared.dir, slot);
        let file = match self.files.get(&slot) {
            Some(file) => file,
            None => &File::open(&path).map_err(LedgerError::io("opening", &path))?,
        };
        file.sync_data().map_err(LedgerError::io("syncing", &path))?;
        if self.names_synced.insert(slot) {
            sync_folder_of(&path)?;
            path.parent().map_or(Ok(()), sync_folder_of)?;
        }
        Ok(())
    }

    /// The same for everything from the root on, and all facts: for an orderly end.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        let root = self.shared.facts().root();
        for slot in self.shared.slots_in(root..) {
            if slot_file::path(&self.shared.dir, slot).exists() {
                self.sync_slot(slot)?;
            }
        }
        self.journal.sync()
    }

    /// Each slot of the rooted chain is to be marked, ascending; the last one is where the next start begins.
    pub fn mark_root(&mut self, slot: Slot) -> Result<(), LedgerError> {
        let before = self.shared.facts().root();
        self.add(Fact::Root(slot))?;
        self.told = self.told.split_off(&(slot, ConflictKind::Root));
        self.own_open = self.own_open.split_off(&slot);
        self.names_synced = self.names_synced.split_off(&slot);
        for passed in self.code.keys().copied().take_while(|held| *held <= slot).collect::<Vec<_>>() {
            self.drop_code(passed);
        }
        for passed in self.shared.slots_in(before..slot) {
            self.shared.note_cold(passed);
        }
        Ok(())
    }

    pub fn mark_dead(&mut self, slot: Slot) -> Result<(), LedgerError> {
        self.add(Fact::Dead(slot))
    }

    pub fn set_bank_hash(&mut self, slot: Slot, hash: Hash) -> Result<(), LedgerError> {
        self.add(Fact::BankHash(slot, hash))
    }

    pub fn set_block_time(&mut self, slot: Slot, time: UnixTimestamp) -> Result<(), LedgerError> {
        self.add(Fact::BlockTime(slot, time))
    }

    pub fn set_block_height(&mut self, slot: Slot, height: u64) -> Result<(), LedgerError> {
        self.add(Fact::BlockHeight(slot, height))
    }

    /// Throws a slot's shreds and what was concluded from them away, so that another version of it can be fetched.
    pub fn purge_slot(&mut self, slot: Slot) -> Result<(), LedgerError> {
        self.remove_files(slot)?;
        self.told.retain(|(told, _)| *told != slot);
        self.add(Fact::Forgotten(slot))
    }

    /// Drops every slot below `slot`. The mark of the root stays.
    pub fn purge_below(&mut self, slot: Slot) -> Result<usize, LedgerError> {
        let gone = self.shared.slots_in(..slot);
        for old in &gone {
            self.remove_files(*old)?;
        }
        self.shared.forget_children_below(slot);
        self.add(Fact::PurgedBelow(slot))?;
        Ok(gone.len())
    }

    fn add(&mut self, fact: Fact) -> Result<(), LedgerError> {
        self.journal.add(&mut self.shared.facts_mut(), fact)
    }

    fn insert_into(
        &mut self,
        slot: Slot,
        shreds: Vec<Shred>,
        source: Source,
        now: UnixMillis,
        report: &mut InsertReport,
    ) -> Result<(), LedgerError> {
        let root = self.shared.facts().root();
        let cell = self.shared.cell_or_new(slot, now);
        let mut guard = cell.write();
        if guard.is_none() {
            *guard = Some(self.shared.load(slot)?);
        }
        let state = guard.as_mut().expect("invariant: loaded three lines above");
        let path = slot_file::path(&self.shared.dir, slot);
        let read = |index| read_one(&path, slot, index);
        let mut insert = SlotInsert {
            state,
            root,
            told: &mut self.told,
            read: &read,
            report: &mut *report,
            writes: BTreeMap::new(),
        };
        for shred in shreds {
            insert.insert(shred, source);
        }
        let writes: Vec<(Shred, Source)> = insert.writes.into_values().collect();
        let wrote = writes.len();
        if wrote > 0
            && let Err(error) = self.write(slot, &path, &writes, now)
        {
            // Only the disk knows now what is there.
            *guard = None;
            return Err(error);
        }
        let state = guard.as_ref().expect("invariant: loaded above, taken away only where this function returns");
        let held: usize = state.sets.values().map(|set| set.code.len()).sum();
        if held > 0 {
            self.code.insert(slot, held)
        } else {
            self.code.remove(&slot)
        };
        if !state.recent.is_empty() {
            self.recent.insert(slot, state.recent.len());
        }
        let nothing = !state.is_known();
        let progress = state.parent.filter(|_| wrote > 0).map(|parent| Progress {
            slot,
            parent,
            components: state.components().count(),
            complete: state.last_index.filter(|_| state.is_complete()),
        });
        drop(guard);
        if let Some(progress) = progress {
            self.shared.add_child(progress.parent, slot);
            report.slots.push(progress);
        }
        if nothing && !path.exists() {
            // Everything was refused; nobody shall make us remember slots by that.
            self.shared.remove(slot);
        } else {
            self.shared.note_cold(slot);
        }
        Ok(())
    }

    fn write(
        &mut self,
        slot: Slot,
        path: &Path,
        writes: &[(Shred, Source)],
        now: UnixMillis,
    ) -> Result<(), LedgerError> {
        let file = match self.files.entry(slot) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => place.insert(slot_file::open_for_writing(path, slot, now)?),
        };
        slot_file::write(file, writes).map_err(LedgerError::io("writing", path))?;
        if self.files.len() > self.options.files_open_max {
            // Slots are filled in ascending order, by and large.
            self.files.pop_first();
        }
        Ok(())
    }

    /// The oldest slots leave memory first: replay reads upwards.
    fn trim_recent(&mut self) {
        let mut total: usize = self.recent.values().sum();
        while total * DATA_PAYLOAD_BYTES > self.options.recent_bytes_max {
            let Some((slot, count)) = self.recent.pop_first() else { return };
            total -= count;
            self.change(slot, |state| state.recent.clear());
        }
    }

    /// The furthest slots lose theirs first: they can still be repaired, and what comes next matters more.
    fn trim_code(&mut self) {
        let mut total: usize = self.code.values().sum();
        while total * CODE_PAYLOAD_BYTES > self.options.code_bytes_max {
            let Some(slot) = self.code.last_key_value().map(|(slot, _)| *slot) else { return };
            total -= self.drop_code(slot);
        }
    }

    fn drop_code(&mut self, slot: Slot) -> usize {
        self.change(slot, |state| state.sets.values_mut().for_each(|set| set.code = Vec::new()));
        self.code.remove(&slot).unwrap_or(0)
    }

    fn change(&self, slot: Slot, change: impl FnOnce(&mut SlotState)) {
        let cell: Option<Arc<Cell>> = self.shared.cell(slot);
        if let Some(state) = cell.as_ref().map(|cell| cell.write()).as_mut().and_then(|guard| guard.as_mut()) {
            change(state);
        }
    }

    fn remove_files(&mut self, slot: Slot) -> Result<(), LedgerError> {
        self.files.remove(&slot);
        self.names_synced.remove(&slot);
        self.recent.remove(&slot);
        self.code.remove(&slot);
        let path = slot_file::path(&self.shared.dir, slot);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(LedgerError::io("removing", path)(error)),
        }
        self.shared.remove(slot);
        // Only an empty folder goes, and a failure leaves nothing worse than an empty folder.
        path.parent().map(fs::remove_dir);
        Ok(())
    }
}

fn read_one(path: &Path, slot: Slot, index: u32) -> Option<Shred> {
    let mut found = None;
    let file = File::open(path).ok()?;
    slot_file::read(&file, slot, index..index + 1, |_, record| {
        if let Record::Shred(shred, _) = record {
            found = Some(*shred);
        }
    })
    .ok()?;
    found
}

fn lock_folder(dir: &Path) -> Result<File, LedgerError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(LedgerError::io("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(LedgerError::io("locking", path)(error)),
    }
}

fn check_format(dir: &Path) -> Result<(), LedgerError> {
    let path: PathBuf = dir.join("format");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == FORMAT => Ok(()),
        // Empty: the process that made it was killed before it wrote.
        Ok(found) if !found.is_empty() => {
            Err(LedgerError::Format { dir: dir.to_owned(), found: found.trim().to_owned(), expected: FORMAT })
        }
        Ok(_) => fs::write(&path, FORMAT).map_err(LedgerError::io("writing", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(&path, FORMAT).map_err(LedgerError::io("writing", path))
        }
        Err(error) => Err(LedgerError::io("reading", path)(error)),
    }
}

const FORMAT: &str = "tandem-ledger-1";
