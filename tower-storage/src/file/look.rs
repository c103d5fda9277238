//! Reading a file store while its validator runs: the file is replaced whole by a rename, so that whoever reads it sees
//! one state or the next. Takes no lock, makes no folder, writes nothing.

use {
    super::{FileKvError, STATE, format},
    std::{fs, io, path::PathBuf, time::Duration},
    tandem_role::{
        kv::{Kv, KvError, Op, Txn, TxnReply},
        memory::Memory,
    },
};

pub struct FileLook {
    folder: PathBuf,
}

impl FileLook {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn state(&self) -> Result<Memory, FileKvError> {
        let file = self.folder.join(STATE);
        match fs::read(&file) {
            Ok(bytes) => {
                format::decode(&bytes).map_err(|error| FileKvError::Damaged { file, reason: error.to_string() })
            }
            // No validator has voted with this folder yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Memory::new(0)),
            Err(source) => Err(FileKvError::Read { file, source }),
        }
    }
}

impl Kv for FileLook {
    fn txn(&mut self, txn: &Txn, _deadline: Duration) -> Result<TxnReply, KvError> {
        let refused = |reason: String| KvError::Refused { endpoint: self.describe(), reason };
        if txn.then.iter().chain(&txn.otherwise).any(|op| !matches!(op, Op::Get { .. } | Op::GetPrefix { .. })) {
            return Err(refused("it was opened for reading only".to_owned()));
        }
        let mut state = self.state().map_err(|error| refused(error.to_string()))?;
        Ok(state.apply(txn))
    }

    fn describe(&self) -> String {
        format!("folder {}", self.folder.display())
    }
}

#[cfg(test)]
mod tests {
    use {super::*, crate::FileKv};

    #[test]
    fn a_store_in_use_can_be_looked_at_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("store");
        let read = Txn { then: vec![Op::Get { key: "k".into() }], ..Txn::default() };
        let put = Txn { then: vec![Op::Put { key: "k".into(), value: b"v".to_vec() }], ..Txn::default() };
        let mut look = FileLook::new(&place);
        assert_eq!(look.txn(&read, Duration::ZERO).unwrap().reads, vec![vec![]], "nobody has voted yet");
        assert!(!place.exists(), "looking makes no folder");
        let mut store = FileKv::open(&place).unwrap();
        store.txn(&put, Duration::ZERO).unwrap();
        assert_eq!(look.txn(&read, Duration::ZERO).unwrap().reads[0][0].value, b"v");
        assert!(matches!(look.txn(&put, Duration::ZERO), Err(KvError::Refused { .. })));
        fs::write(place.join(STATE), b"damaged").unwrap();
        let error = look.txn(&read, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains(STATE), "{error}");
    }
}
