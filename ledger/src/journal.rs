//! Facts about slots that do not follow from their shreds: roots, dead slots, bank hashes, block times, our own slots.
//!
//! A file that is only appended to, fixed-size records with checksums. Half a record at its end (a process killed while
//! writing) is cut off at opening, a damaged one is passed over. It is written anew when most of it is out of date.

use {
    crate::{checksum::checksum, error::LedgerError},
    std::{
        collections::{BTreeMap, BTreeSet},
        fs::{self, File, OpenOptions},
        io::Write,
        path::{Path, PathBuf},
    },
    tandem_types::{Hash, Slot, UnixTimestamp},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    Root(Slot),
    Dead(Slot),
    /// The slot's shreds were thrown away to be fetched anew: nothing is known of it any more.
    Forgotten(Slot),
    BankHash(Slot, Hash),
    BlockTime(Slot, UnixTimestamp),
    BlockHeight(Slot, u64),
    /// We began a block for this slot.
    Own(Slot),
    /// Everything below is gone.
    PurgedBelow(Slot),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub roots: BTreeSet<Slot>,
    pub dead: BTreeSet<Slot>,
    pub bank_hashes: BTreeMap<Slot, Hash>,
    pub block_times: BTreeMap<Slot, UnixTimestamp>,
    pub block_heights: BTreeMap<Slot, u64>,
    pub own: BTreeSet<Slot>,
    pub purged_below: Slot,
}

impl Facts {
    pub fn root(&self) -> Slot {
        self.roots.last().copied().unwrap_or(0)
    }

    fn apply(&mut self, fact: Fact) {
        match fact {
            Fact::Root(slot) => {
                self.roots.insert(slot);
            }
            Fact::Dead(slot) => {
                self.dead.insert(slot);
            }
            Fact::Forgotten(slot) => {
                self.dead.remove(&slot);
                self.bank_hashes.remove(&slot);
                self.block_times.remove(&slot);
                self.block_heights.remove(&slot);
                // `own` stays: that we made a block for this slot remains true whatever becomes of its shreds.
            }
            Fact::BankHash(slot, hash) => {
                self.bank_hashes.insert(slot, hash);
            }
            Fact::BlockTime(slot, time) => {
                self.block_times.insert(slot, time);
            }
            Fact::BlockHeight(slot, height) => {
                self.block_heights.insert(slot, height);
            }
            Fact::Own(slot) => {
                self.own.insert(slot);
            }
            Fact::PurgedBelow(slot) => {
                self.purged_below = self.purged_below.max(slot);
                // The newest root stays even if it is below: it is where the ledger stands.
                let root = self.roots.last().copied();
                self.roots = self.roots.split_off(&slot);
                self.roots.extend(root);
                self.dead = self.dead.split_off(&slot);
                self.bank_hashes = self.bank_hashes.split_off(&slot);
                self.block_times = self.block_times.split_off(&slot);
                self.block_heights = self.block_heights.split_off(&slot);
                // Nothing is begun below `purged_below` any more, so these marks have done their duty.
                self.own = self.own.split_off(&slot);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = Fact> + '_ {
        let purged = (self.purged_below > 0).then_some(Fact::PurgedBelow(self.purged_below));
        purged
            .into_iter()
            .chain(self.roots.iter().map(|slot| Fact::Root(*slot)))
            .chain(self.dead.iter().map(|slot| Fact::Dead(*slot)))
            .chain(self.bank_hashes.iter().map(|(slot, hash)| Fact::BankHash(*slot, *hash)))
            .chain(self.block_times.iter().map(|(slot, time)| Fact::BlockTime(*slot, *time)))
            .chain(self.block_heights.iter().map(|(slot, height)| Fact::BlockHeight(*slot, *height)))
            .chain(self.own.iter().map(|slot| Fact::Own(*slot)))
    }

    fn len(&self) -> usize {
        self.iter().count()
    }
}

pub struct Journal {
    path: PathBuf,
    file: File,
    records: usize,
}

impl Journal {
    /// Opens or makes `path`; returns what it says, and how many records did not hold.
    pub fn open(path: PathBuf) -> Result<(Self, Facts, usize), LedgerError> {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LedgerError::io("reading", path)(error)),
        };
        let mut facts = Facts::default();
        let mut lost = 0;
        for record in bytes.chunks(RECORD_BYTES) {
            match decode(record) {
                Some(fact) => facts.apply(fact),
                None => lost += 1,
            }
        }
        let file = append_to(&path)?;
        let records = bytes.len() / RECORD_BYTES;
        if !bytes.len().is_multiple_of(RECORD_BYTES) {
            file.set_len((records * RECORD_BYTES) as u64).map_err(LedgerError::io("truncating", &path))?;
        }
        let mut journal = Self { path, file, records };
        journal.shrink(&facts)?;
        Ok((journal, facts, lost))
    }

    /// Appends and applies. A killed process keeps what was appended; a lost machine only what was synced.
    pub fn add(&mut self, facts: &mut Facts, fact: Fact) -> Result<(), LedgerError> {
        self.file.write_all(&encode(fact)).map_err(LedgerError::io("appending to", &self.path))?;
        self.records += 1;
        facts.apply(fact);
        if matches!(fact, Fact::PurgedBelow(_)) {
            self.shrink(facts)?;
        }
        Ok(())
    }

    pub fn sync(&self) -> Result<(), LedgerError> {
        self.file.sync_data().map_err(LedgerError::io("syncing", &self.path))
    }

    fn shrink(&mut self, facts: &Facts) -> Result<(), LedgerError> {
        let live = facts.len();
        if self.records < live.saturating_mul(2).saturating_add(RECORDS_SPARE) {
            return Ok(());
        }
        let fresh = self.path.with_extension("new");
        let bytes: Vec<u8> = facts.iter().flat_map(encode).collect();
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(LedgerError::io("rewriting", &self.path))?;
        sync_folder_of(&self.path)?;
        self.file = append_to(&self.path)?;
        self.records = live;
        Ok(())
    }
}

/// Makes the names in the folder durable.
pub fn sync_folder_of(path: &Path) -> Result<(), LedgerError> {
    let Some(folder) = path.parent() else { return Ok(()) };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(LedgerError::io("syncing", folder))
}

fn append_to(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new().append(true).create(true).open(path).map_err(LedgerError::io("opening", path))
}

fn encode(fact: Fact) -> [u8; RECORD_BYTES] {
    let number = |value: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let (kind, slot, value) = match fact {
        Fact::Root(slot) => (1, slot, [0; 32]),
        Fact::Dead(slot) => (2, slot, [0; 32]),
        Fact::Forgotten(slot) => (3, slot, [0; 32]),
        Fact::BankHash(slot, hash) => (4, slot, hash.to_bytes()),
        Fact::BlockTime(slot, time) => (5, slot, number(time.cast_unsigned())),
        Fact::BlockHeight(slot, height) => (6, slot, number(height)),
        Fact::Own(slot) => (7, slot, [0; 32]),
        Fact::PurgedBelow(slot) => (8, slot, [0; 32]),
    };
    let mut record = [0; RECORD_BYTES];
    record[4] = kind;
    record[5..13].copy_from_slice(&slot.to_le_bytes());
    record[13..].copy_from_slice(&value);
    let crc = checksum(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Option<Fact> {
    let record: &[u8; RECORD_BYTES] = record.try_into().ok()?;
    if record[..4] != checksum(&record[4..]).to_le_bytes() {
        return None;
    }
    let u64_at = |at: usize| -> Option<u64> { Some(u64::from_le_bytes(record[at..at + 8].try_into().ok()?)) };
    let slot = u64_at(5)?;
    match record[4] {
        1 => Some(Fact::Root(slot)),
        2 => Some(Fact::Dead(slot)),
        3 => Some(Fact::Forgotten(slot)),
        4 => Some(Fact::BankHash(slot, Hash::new_from_array(record[13..].try_into().ok()?))),
        5 => Some(Fact::BlockTime(slot, u64_at(13)?.cast_signed())),
        6 => Some(Fact::BlockHeight(slot, u64_at(13)?)),
        7 => Some(Fact::Own(slot)),
        8 => Some(Fact::PurgedBelow(slot)),
        _ => None,
    }
}

/// crc 4, kind 1, slot 8, value 32.
const RECORD_BYTES: usize = 45;
/// Out-of-date records that are not worth a rewrite: 190 KB.
const RECORDS_SPARE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Fact> {
        let hash = Hash::new_from_array([3; 32]);
        vec![
            Fact::Root(5),
            Fact::Root(6),
            Fact::Dead(7),
            Fact::BankHash(6, hash),
            Fact::BlockTime(6, -5),
            Fact::BlockHeight(6, 4),
            Fact::Own(8),
            Fact::Dead(9),
            Fact::BankHash(9, hash),
            Fact::Forgotten(9),
        ]
    }

    #[test]
    fn what_was_added_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let (mut journal, mut facts, _) = Journal::open(path.clone()).unwrap();
        for fact in all() {
            journal.add(&mut facts, fact).unwrap();
        }
        assert_eq!(facts.root(), 6);
        assert_eq!(facts.dead, BTreeSet::from([7]));
        let (_, again, lost) = Journal::open(path).unwrap();
        assert_eq!((again, lost), (facts, 0));
    }

    #[test]
    fn a_torn_end_is_cut_off_and_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let bytes: Vec<u8> = all().into_iter().flat_map(encode).collect();
        for keep in 0..=bytes.len() {
            fs::write(&path, &bytes[..keep]).unwrap();
            let (mut journal, mut facts, lost) = Journal::open(path.clone()).unwrap();
            assert_eq!(lost, usize::from(keep % RECORD_BYTES > 0));
            journal.add(&mut facts, Fact::Root(100)).unwrap();
            let (_, again, lost) = Journal::open(path.clone()).unwrap();
            assert_eq!((again, lost), (facts, 0));
        }
    }

    #[test]
    fn a_damaged_record_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let mut bytes: Vec<u8> = all().into_iter().flat_map(encode).collect();
        bytes[2 * RECORD_BYTES + 20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let (_, facts, lost) = Journal::open(path).unwrap();
        assert_eq!(lost, 1);
        assert!(facts.dead.is_empty(), "the damaged one said that 7 is dead");
        assert_eq!((facts.root(), facts.own), (6, BTreeSet::from([8])));
    }

    #[test]
    fn purging_keeps_the_root_and_shrinks_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let (mut journal, mut facts, _) = Journal::open(path.clone()).unwrap();
        journal.add(&mut facts, Fact::Own(3)).unwrap();
        journal.add(&mut facts, Fact::Own(7000)).unwrap();
        for slot in 0..6000 {
            journal.add(&mut facts, Fact::Root(slot)).unwrap();
        }
        journal.add(&mut facts, Fact::PurgedBelow(7000)).unwrap();
        assert_eq!(facts.roots, BTreeSet::from([5999]));
        assert_eq!(facts.own, BTreeSet::from([7000]));
        assert!(fs::metadata(&path).unwrap().len() < 1000);
        let (_, again, _) = Journal::open(path).unwrap();
        assert_eq!(again, facts);
    }
}
