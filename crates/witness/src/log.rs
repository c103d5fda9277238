//! The release log: what one machine handed to its sockets, written before it was handed over. The operating system keeps
//! what was written when the process is killed, so the log misses nothing that was sent.
//!
//! A record: kind u8 (1 vote transaction, 2 own shred) | unix nanoseconds u64 | length u32 | bytes; little-endian.

use {
    crate::bytes::Reader,
    std::{
        fs::{File, OpenOptions},
        io::{self, Write},
        path::{Path, PathBuf},
    },
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    Vote = 1,
    Shred = 2,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub kind: RecordKind,
    pub unix_nanos: u64,
    pub bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("release log {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("release log {}: not a record at byte {offset}", path.display())]
    Malformed { path: PathBuf, offset: usize },
}

/// Appends to the log of one machine.
pub struct ReleaseLog {
    file: File,
}

impl ReleaseLog {
    pub fn append(path: &Path) -> Result<Self, LogError> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|source| LogError::Io { path: path.to_owned(), source })?;
        Ok(Self { file })
    }

    pub fn write(&mut self, kind: RecordKind, unix_nanos: u64, bytes: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(13 + bytes.len());
        record.push(kind as u8);
        record.extend_from_slice(&unix_nanos.to_le_bytes());
        record.extend_from_slice(&u32::try_from(bytes.len()).map_err(io::Error::other)?.to_le_bytes());
        record.extend_from_slice(bytes);
        self.file.write_all(&record)
    }
}

/// All records of a log. A record cut off at the end was never released: the write had not returned.
pub fn read_log(path: &Path) -> Result<Vec<Record>, LogError> {
    let bytes = std::fs::read(path).map_err(|source| LogError::Io { path: path.to_owned(), source })?;
    let mut reader = Reader(&bytes);
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        let offset = bytes.len() - reader.0.len();
        let Some((kind, unix_nanos, length)) = header(&mut reader) else { break };
        let kind = match kind {
            1 => RecordKind::Vote,
            2 => RecordKind::Shred,
            _ => return Err(LogError::Malformed { path: path.to_owned(), offset }),
        };
        let Some(bytes) = reader.take(length as usize) else { break };
        records.push(Record { kind, unix_nanos, bytes: bytes.to_vec() });
    }
    Ok(records)
}

fn header(reader: &mut Reader<'_>) -> Option<(u8, u64, u32)> {
    Some((reader.u8()?, reader.u64()?, reader.u32()?))
}
