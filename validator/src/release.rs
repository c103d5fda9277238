//! The release log of this node (`--release-log`): what it is about to send, written first.

use {
    crate::exit::Failure,
    std::{
        path::Path,
        sync::{Mutex, PoisonError},
    },
    tandem_env::unix_nanos,
    tandem_tower_storage::PromisedAt,
    tandem_witness::{self as witness, RecordKind, ReleaseLog},
};

/// Does nothing when no file was asked for.
#[derive(Default)]
pub struct ReleaseRecorder(Option<Mutex<ReleaseLog>>);

impl ReleaseRecorder {
    pub fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            None => Ok(Self(None)),
            Some(path) => {
                let log = ReleaseLog::append(path)
                    .map_err(|error| Failure::failed(error).remedy("choose another file with --release-log"))?;
                if log.torn() > 0 {
                    tracing::warn!(
                        file = %path.display(),
                        bytes = log.torn(),
                        "the release log ended in a half-written record, as a killed process leaves it: cut off, nothing of it was sent"
                    );
                }
                Ok(Self(Some(Mutex::new(log))))
            }
        }
    }

    pub fn vote(&self, at: PromisedAt, transaction: &[u8]) -> Result<(), Failure> {
        self.write(RecordKind::Vote, at, transaction)
    }

    pub fn shred(&self, at: PromisedAt, payload: &[u8]) -> Result<(), Failure> {
        self.write(RecordKind::Shred, at, payload)
    }

    /// A release that cannot be logged must not happen: the audit would miss it.
    fn write(&self, kind: RecordKind, at: PromisedAt, bytes: &[u8]) -> Result<(), Failure> {
        let Some(log) = &self.0 else { return Ok(()) };
        let promise = witness::PromisedAt { store: at.store_id, term: at.term.0, revision: at.revision };
        log.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(kind, unix_nanos(), Some(promise), bytes)
            .map_err(|error| Failure::failed(format!("writing the release log: {error}")))
    }
}
