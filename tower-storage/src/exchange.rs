//! Tower files of agave: `tower-1_9-<identity>.bin` in and out of the store. The store holds exactly these bytes.

use {
    crate::tower::{BadTower, StoredTower},
    std::{
        fs::{self, File},
        io::{self, Write},
        path::{Path, PathBuf},
    },
    tandem_types::Pubkey,
    tandem_wire::tower_file,
    thiserror::Error,
};

#[derive(Debug, Error)]
pub enum ExchangeError {
    #[error("cannot read the tower file {file}")]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{file} cannot be used: {source}")]
    Bad {
        file: PathBuf,
        #[source]
        source: BadTower,
    },
    #[error("cannot write the tower file {file}")]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads and checks the identity's tower file out of a folder, or the file itself.
pub fn import_tower(path: &Path, identity: &Pubkey) -> Result<StoredTower, ExchangeError> {
    let file = if path.is_dir() { path.join(tower_file::file_name(identity)) } else { path.to_path_buf() };
    let bytes = fs::read(&file).map_err(|source| ExchangeError::Read { file: file.clone(), source })?;
    StoredTower::decode(bytes, identity).map_err(|source| ExchangeError::Bad { file, source })
}

/// Writes the identity's tower file into a folder, durably; returns its path.
pub fn export_tower(tower: &StoredTower, identity: &Pubkey, folder: &Path) -> Result<PathBuf, ExchangeError> {
    let file = folder.join(tower_file::file_name(identity));
    let write = || -> io::Result<()> {
        let new = file.with_extension("bin.new");
        let mut out = File::create(&new)?;
        out.write_all(tower.bytes())?;
        out.sync_all()?;
        fs::rename(&new, &file)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| ExchangeError::Write { file: file.clone(), source })?;
    Ok(file)
}
