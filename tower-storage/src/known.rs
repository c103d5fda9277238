//! What this machine has seen of a store, kept beside the ledger. A lower bound: to lose the newest line of it makes us
//! less suspicious, never wrong, so it is written now and then and not synced with each vote.

use {
    serde::{Deserialize, Serialize},
    std::{
        fs, io,
        path::{Path, PathBuf},
    },
    tandem_role::kv::Revision,
    tandem_types::Slot,
    thiserror::Error,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Known {
    pub store_id: Option<u64>,
    pub revision: Revision,
    pub newest_vote: Option<Slot>,
    pub highest_watermark: Option<Slot>,
}

#[derive(Debug, Error)]
pub enum KnownError {
    #[error("cannot read {file}, where this machine keeps what it has seen of the promise store")]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{file}, where this machine keeps what it has seen of the promise store, is damaged: {reason}. If you know that the store was not restored from a backup, delete it"
    )]
    Damaged { file: PathBuf, reason: String },
    #[error("cannot write {file}, where this machine keeps what it has seen of the promise store")]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Known {
    pub fn load(path: &Path) -> Result<Option<Self>, KnownError> {
        let file = path.to_path_buf();
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| KnownError::Damaged { file, reason: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KnownError::Read { file, source }),
        }
    }

    pub fn save(&self, path: &Path) -> Result<(), KnownError> {
        let new = path.with_extension("new");
        let text = serde_json::to_vec(self).expect("invariant: four numbers always encode");
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
        written.map_err(|source| KnownError::Write { file: path.to_path_buf(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.json");
        assert_eq!(Known::load(&path).unwrap(), None);
        let known = Known { store_id: Some(u64::MAX), revision: 7, newest_vote: Some(3), highest_watermark: None };
        known.save(&path).unwrap();
        assert_eq!(Known::load(&path).unwrap(), Some(known));
        fs::write(&path, "{").unwrap();
        let error = Known::load(&path).expect_err("damaged").to_string();
        assert!(error.contains("seen.json") && error.contains("delete it"), "{error}");
    }
}
