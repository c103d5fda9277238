//! The embedded store: one folder, one lock, one file. What etcd is for a pair, this is for a single machine.
//!
//! A transaction writes the whole state beside the old one, syncs it, renames it over the old one and syncs the folder
//! (agave never syncs its tower file). Whatever a crash leaves, the file is the old state or the new.

mod disk;
mod format;
mod look;
#[cfg(test)]
mod tests;

pub use look::FileLook;

use {
    disk::{Disk, RealDisk},
    rustix::fs::{FlockOperation, flock},
    std::{
        fs::{self, File},
        io,
        path::{Path, PathBuf},
        time::Duration,
    },
    tandem_role::{
        kv::{Kv, KvError, Txn, TxnReply},
        memory::Memory,
    },
    thiserror::Error,
};

#[derive(Debug, Error)]
pub enum FileKvError {
    #[error("cannot create the tower store's folder {folder}; give another with --tower")]
    Folder {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the tower store {folder} is in use by another process; stop that validator, or give this one its own with --tower"
    )]
    Locked { folder: PathBuf },
    #[error("cannot lock the tower store {folder}; it must be on a local disk that knows flock")]
    Lock {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read the tower store's file {file}")]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{file} is not a tower store, or was damaged: {reason}. It is left as it is. Restore it from the machine it belongs to; or, if it is lost, move it away and see `failover recover` for the slot from which voting is safe"
    )]
    Damaged { file: PathBuf, reason: String },
    #[error("cannot write the tower store's file {file}; is the disk full?")]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub struct FileKv {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    state: Memory,
    /// A sync failed: what is on disk is not known any more, and the kernel will not tell (a second fsync after a
    /// failed one reports success). Only a new process that reads the file again may go on.
    poisoned: Option<String>,
    /// Held as long as the store is; the kernel drops it with the process, however that ends.
    _lock: File,
}

impl FileKv {
    /// Opens the folder, or makes it. Fails if another process has it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, FileKvError> {
        let folder = folder.into();
        let made = fs::create_dir_all(&folder).and_then(|()| RealDisk::of(&folder));
        let disk = made.map_err(|source| FileKvError::Folder { folder: folder.clone(), source })?;
        Self::open_on(folder, Box::new(disk))
    }

    fn open_on(folder: PathBuf, disk: Box<dyn Disk>) -> Result<Self, FileKvError> {
        let lock = lock(&folder)?;
        let file = folder.join(STATE);
        let mut disk = disk;
        let state = match fs::read(&file) {
            Ok(bytes) => {
                format::decode(&bytes).map_err(|error| FileKvError::Damaged { file, reason: error.to_string() })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The new store is written at once: its id must not change before the first transaction.
                let state = Memory::new(rand::random());
                write_durably(disk.as_mut(), &folder, &state)
                    .map_err(|(_, source)| FileKvError::Write { file, source })?;
                state
            }
            Err(source) => return Err(FileKvError::Read { file, source }),
        };
        Ok(Self { folder, disk, state, poisoned: None, _lock: lock })
    }

    fn change(&mut self, next: Memory) -> Result<(), KvError> {
        match write_durably(self.disk.as_mut(), &self.folder, &next) {
            Ok(()) => {
                self.state = next;
                Ok(())
            }
            // The old file is untouched.
            Err((Reached::Nothing, error)) => {
                Err(KvError::Refused { endpoint: self.describe(), reason: error.to_string() })
            }
            Err((Reached::Perhaps, error)) => {
                let reason = format!("{error}; the file must be read anew by a new process");
                self.poisoned = Some(reason.clone());
                Err(KvError::Unknown { endpoint: self.describe(), reason })
            }
        }
    }
}

impl Kv for FileKv {
    fn txn(&mut self, txn: &Txn, _deadline: Duration) -> Result<TxnReply, KvError> {
        if let Some(reason) = &self.poisoned {
            return Err(KvError::Unknown { endpoint: self.describe(), reason: reason.clone() });
        }
        let mut next = self.state.clone();
        let reply = next.apply(txn);
        if next.revision != self.state.revision {
            self.change(next)?;
        }
        Ok(reply)
    }

    fn describe(&self) -> String {
        format!("folder {}", self.folder.display())
    }
}

/// How far a failed write came.
enum Reached {
    Nothing,
    /// The new file may or may not be in place, or may not survive a power cut.
    Perhaps,
}

fn write_durably(disk: &mut dyn Disk, folder: &Path, state: &Memory) -> Result<(), (Reached, io::Error)> {
    let (new, file) = (folder.join(NEW), folder.join(STATE));
    let nothing = |error| (Reached::Nothing, error);
    let perhaps = |error| (Reached::Perhaps, error);
    disk.write(&new, &format::encode(state)).map_err(nothing)?;
    disk.sync_file(&new).map_err(nothing)?;
    disk.rename(&new, &file).map_err(perhaps)?;
    disk.sync_folder().map_err(perhaps)
}

fn lock(folder: &Path) -> Result<File, FileKvError> {
    let failed = |source| FileKvError::Lock { folder: folder.to_path_buf(), source };
    let file = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(FileKvError::Locked { folder: folder.to_path_buf() }),
        Err(error) => Err(failed(error.into())),
    }
}

const STATE: &str = "tower-store";
const NEW: &str = "tower-store.new";
const LOCK: &str = "lock";
