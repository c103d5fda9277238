//! The four steps of a durable write, apart from each other so that a test can crash between any two.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

pub trait Disk: Send {
    /// Creates or empties the file and writes all of it.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Makes a file's content survive a power cut.
    fn sync_file(&mut self, path: &Path) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the folder's names survive a power cut.
    fn sync_folder(&mut self) -> io::Result<()>;
}

pub struct RealDisk {
    /// Opened once. When the files that a process may open have run out, the steps before the rename fail without harm; after it there is no
    /// way back, so that this last step must not need to open anything.
    folder: File,
}

impl RealDisk {
    pub fn of(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: File::open(folder)? })
    }
}

impl Disk for RealDisk {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)
    }

    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        // fsync is a matter of the file, not of the handle it was written through.
        File::options().write(true).open(path)?.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.folder.sync_all()
    }
}
