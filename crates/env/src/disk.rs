//! Files that survive a crash whole, and folders that belong to one process.

use {
    std::{
        fs::{self, File, OpenOptions, TryLockError},
        io::{self, Read, Seek, Write},
        os::unix::fs::OpenOptionsExt,
        path::{Path, PathBuf},
        process,
    },
    thiserror::Error,
};

#[derive(Debug, Error)]
pub enum DiskError {
    #[error("{action} {}: {source}{}", path.display(), remedy(source))]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "folder {} is in use by another process{}: stop that one, or give this one a folder of its own",
        folder.display(), holder_text(holder)
    )]
    Locked { folder: PathBuf, holder: Option<u32> },
}

/// Replaces the content of `path`, so that after a crash at any point it holds either the old content or the new:
/// write beside it, fsync, rename, fsync the folder. When this returns, the new content is durable.
/// The file is readable by its owner only. One writer at a time for each path.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let folder = parent(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let doing = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::Io { action, path, source }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(doing("creating", &beside))?;
    file.write_all(bytes).map_err(doing("writing", &beside))?;
    file.sync_all().map_err(doing("making durable", &beside))?;
    fs::rename(&beside, path).map_err(doing("putting in place", path))?;
    sync_folder(&folder)
}

/// Makes the names in a folder durable: a renamed or created file is only then sure to be found again.
pub fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|source| DiskError::Io { action: "making durable", path: folder.to_owned(), source })
}

/// The sole right to a folder, as long as this value lives. The kernel gives it back when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    folder: PathBuf,
}

impl FolderLock {
    /// Creates the folder if it is missing.
    pub fn acquire(folder: &Path) -> Result<Self, DiskError> {
        let path = folder.join(LOCK_NAME);
        let doing = |action| {
            let path = path.clone();
            move |source| DiskError::Io { action, path, source }
        };
        fs::create_dir_all(folder).map_err(doing("making the folder of"))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(doing("opening"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unknown_holder = file.read_to_string(&mut holder);
                return Err(DiskError::Locked { folder: folder.to_owned(), holder: holder.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(doing("locking")(source)),
        }
        // Who holds it, for the error of the one who does not get it. The lock itself is the kernel's.
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", process::id())
        };
        note(&mut file).map_err(doing("writing"))?;
        Ok(Self { _file: file, folder: folder.to_owned() })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ": free space on that disk",
        io::ErrorKind::PermissionDenied => ": this user needs write access there",
        io::ErrorKind::ReadOnlyFilesystem => ": the disk is mounted read-only; check it for errors",
        io::ErrorKind::NotFound => ": the folder does not exist",
        _other => "",
    }
}

fn holder_text(holder: &Option<u32>) -> String {
    holder.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

const LOCK_NAME: &str = "tandem.lock";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use {super::*, tempfile::TempDir};

    #[test]
    fn content_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tower.bin");
        for content in [b"first, and longer".as_slice(), b"second", b""] {
            write_durably(&path, content).unwrap();
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["tower.bin"]);
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_content() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tower.bin");
        write_durably(&path, b"old").unwrap();
        fs::write(folder.path().join("tower.bin.new"), b"half of a lon").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_durably(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn errors_name_the_path_and_the_remedy() {
        let folder = TempDir::new().unwrap();
        let missing = folder.path().join("none").join("tower.bin");
        let error = write_durably(&missing, b"x").unwrap_err().to_string();
        assert!(error.contains("none/tower.bin.new") && error.contains("does not exist"), "{error}");
    }

    #[test]
    fn a_folder_belongs_to_one_and_the_other_is_told_to_whom() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger");
        let lock = FolderLock::acquire(&path).unwrap();
        assert_eq!(lock.folder(), path);
        let error = FolderLock::acquire(&path).unwrap_err();
        assert!(matches!(error, DiskError::Locked { holder: Some(pid), .. } if pid == process::id()), "{error}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && text.contains("stop that one"), "{text}");
        drop(lock);
        FolderLock::acquire(&path).expect("free again");
    }
}
