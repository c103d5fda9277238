//! The release log: what one machine handed to its sockets, written before it was handed over. The operating system keeps
//! what was written when the process is killed, so the log misses nothing that was sent.
//!
//! A record: kind u8 | unix nanoseconds u64 | length u32 | as many bytes; little-endian. Kinds 3 (vote transaction) and 4 (own shred) begin
//! with where the promise stands: store u64 | term u64 | revision u64. Kinds 1 and 2 are the same without it, as older versions wrote them.

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
    /// Not told by older versions.
    pub promise: Option<PromisedAt>,
    pub bytes: Vec<u8>,
}

/// Where the promise stands that a release was made under. Within a store, terms and revisions order promises as they were made,
/// whatever clocks say and however late a machine sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PromisedAt {
    pub store: u64,
    pub term: u64,
    pub revision: u64,
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

    pub fn write(
        &mut self,
        kind: RecordKind,
        unix_nanos: u64,
        promise: Option<PromisedAt>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let place = promise.map_or(Vec::new(), |PromisedAt { store, term, revision }| {
            [store, term, revision].iter().flat_map(|number| number.to_le_bytes()).collect()
        });
        let length = u32::try_from(place.len() + bytes.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(HEADER_BYTES as usize + length as usize);
        record.push(kind as u8 + if promise.is_some() { PLACED } else { 0 });
        record.extend_from_slice(&unix_nanos.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(&place);
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
        let malformed = || LogError::Malformed { path: path.to_owned(), offset };
        let (kind, is_placed) = kind_of(kind).ok_or_else(malformed)?;
        let Some(content) = reader.take(length as usize) else { break };
        let mut content = Reader(content);
        let promise = if is_placed { Some(place(&mut content).ok_or_else(malformed)?) } else { None };
        records.push(Record { kind, unix_nanos, promise, bytes: content.0.to_vec() });
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
        let found = header(&mut Reader(&bytes)).filter(|(kind, ..)| kind_of(*kind).is_some());
        let Some((_, _, size)) = found else {
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

/// Whether a release log may begin like this. One that nothing was released into is empty.
pub(crate) fn may_begin(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|kind| kind_of(*kind).is_some())
}

/// The kind, and whether the promise's place comes first.
fn kind_of(byte: u8) -> Option<(RecordKind, bool)> {
    match byte {
        1 => Some((RecordKind::Vote, false)),
        2 => Some((RecordKind::Shred, false)),
        3 => Some((RecordKind::Vote, true)),
        4 => Some((RecordKind::Shred, true)),
        _ => None,
    }
}

fn place(reader: &mut Reader<'_>) -> Option<PromisedAt> {
    Some(PromisedAt { store: reader.u64()?, term: reader.u64()?, revision: reader.u64()? })
}

/// What the kind of a record grows by when the promise's place comes first.
const PLACED: u8 = 2;

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
            log.write(RecordKind::Shred, 7, Some(PromisedAt { store: 1, term: 2, revision: 3 }), bytes)
                .expect("written");
            log.torn()
        };
        assert_eq!((write(&[1; 100]), write(&[2; 50])), (0, 0));
        let two = fs::read(&path).expect("a file");
        // A kill at any byte of the second record.
        for length in 137..two.len() {
            fs::write(&path, &two[..length]).expect("written");
            assert_eq!(write(&[3; 9]), length as u64 - 137, "cut after {length} bytes");
            let records = read_log(&path).expect("all of it can be read");
            assert_eq!(records.iter().map(|record| record.bytes.len()).collect::<Vec<_>>(), [100, 9]);
        }
        // What is no release log is left alone.
        fs::write(&path, "an operator's notes, of which one would not want to lose a byte").expect("written");
        assert!(matches!(ReleaseLog::append(&path), Err(LogError::Malformed { offset: 0, .. })));
        assert!(fs::read_to_string(&path).expect("text").starts_with("an operator's notes"));
    }

    #[test]
    fn logs_of_older_versions_are_read_and_gone_on_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("released");
        // Byte for byte what the first version wrote: a vote of three bytes at nanosecond 7.
        fs::write(&path, [1, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 9, 9]).expect("written");
        let promise = Some(PromisedAt { store: u64::MAX, term: 5, revision: 70 });
        let mut log = ReleaseLog::append(&path).expect("a log");
        log.write(RecordKind::Vote, 8, promise, &[4; 2]).expect("written");
        let expected = [
            Record { kind: RecordKind::Vote, unix_nanos: 7, promise: None, bytes: vec![9; 3] },
            Record { kind: RecordKind::Vote, unix_nanos: 8, promise, bytes: vec![4; 2] },
        ];
        assert_eq!(read_log(&path).expect("both"), expected);
        // Too short for what its kind says.
        fs::write(&path, [3, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 9, 9]).expect("written");
        assert!(matches!(read_log(&path), Err(LogError::Malformed { offset: 0, .. })));
    }
}
