//! The release log: what one machine handed to its sockets, written before it was handed over. The operating system keeps
//! what was written when the process is killed, so the log misses nothing that was sent.
//!
//! A record: kind u8 (1 vote transaction, 2 own shred) | unix nanoseconds u64 | length u32 | bytes; little-endian.

use {
    crate::bytes::Reader,
    std::{
        fs::{File, OpenOptions},
        io::{self, BufReader, Read, Write},
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
    torn: u64,
}

impl ReleaseLog {
    /// A record that a killed process left half written is cut off: with the next one behind it, nothing after it could be read.
    pub fn append(path: &Path) -> Result<Self, LogError> {
        let io = |source| LogError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).create(true).append(true).open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let whole = whole_bytes(path, &file, length)?;
        if whole < length {
            file.set_len(whole).and_then(|()| file.sync_all()).map_err(io)?;
        }
        Ok(Self { file, torn: length - whole })
    }

    /// Bytes of a half-written record that were cut off when the log was opened.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    pub fn write(&mut self, kind: RecordKind, unix_nanos: u64, bytes: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(HEADER_BYTES as usize + bytes.len());
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

/// Where the last whole record ends. The records are passed over, not read.
fn whole_bytes(path: &Path, file: &File, length: u64) -> Result<u64, LogError> {
    let io = |source| LogError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(file);
    let mut whole = 0;
    while length - whole >= HEADER_BYTES {
        let mut bytes = [0; HEADER_BYTES as usize];
        reader.read_exact(&mut bytes).map_err(io)?;
        let Some((1 | 2, _, size)) = header(&mut Reader(&bytes)) else {
            let offset = usize::try_from(whole).unwrap_or(usize::MAX);
            return Err(LogError::Malformed { path: path.to_owned(), offset });
        };
        let end = whole + HEADER_BYTES + u64::from(size);
        if end > length {
            break;
        }
        reader.seek_relative(i64::from(size)).map_err(io)?;
        whole = end;
    }
    Ok(whole)
}

/// Kind, time, length.
const HEADER_BYTES: u64 = 13;

fn header(reader: &mut Reader<'_>) -> Option<(u8, u64, u32)> {
    Some((reader.u8()?, reader.u64()?, reader.u32()?))
}

#[cfg(test)]
mod tests {
    use {super::*, std::fs};

    #[test]
    fn a_torn_last_record_is_cut_off_and_the_rest_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("released");
        let write = |bytes: &[u8]| {
            let mut log = ReleaseLog::append(&path).expect("a log");
            log.write(RecordKind::Shred, 7, bytes).expect("written");
            log.torn()
        };
        assert_eq!((write(&[1; 100]), write(&[2; 50])), (0, 0));
        let two = fs::read(&path).expect("a file");
        // A kill at any byte of the second record.
        for length in 113..two.len() {
            fs::write(&path, &two[..length]).expect("written");
            assert_eq!(write(&[3; 9]), length as u64 - 113, "cut after {length} bytes");
            let records = read_log(&path).expect("all of it can be read");
            assert_eq!(records.iter().map(|record| record.bytes.len()).collect::<Vec<_>>(), [100, 9]);
        }
        // What is no release log is left alone.
        fs::write(&path, "an operator's notes, of which one would not want to lose a byte").expect("written");
        assert!(matches!(ReleaseLog::append(&path), Err(LogError::Malformed { offset: 0, .. })));
        assert!(fs::read_to_string(&path).expect("text").starts_with("an operator's notes"));
    }
}
