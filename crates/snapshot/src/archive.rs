//! An archive's members, one after the other, without unpacking anything to disk.

use {
    crate::{ArchiveName, Compression, Member, SnapshotError},
    lz4_flex::frame::FrameDecoder,
    std::{
        fs::File,
        io::{self, BufRead, BufReader, Read},
        path::{Path, PathBuf},
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    },
    tandem_types::Slot,
    tar::{Archive, EntryType},
};

/// What a member is, by its name (agave-snapshots-4.2.2/src/hardened_unpack.rs: is_valid_snapshot_archive_entry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Version,
    BankFields { slot: Slot },
    StatusCache,
    Accounts { slot: Slot, id: u64 },
    Folder,
}

/// Hands over each member with its bytes, in the archive's order. `bytes_read` follows how much of the file is behind us.
pub(crate) fn for_each_member(
    path: &Path,
    bytes_read: Arc<AtomicU64>,
    mut visit: impl FnMut(Content, u64, &mut dyn BufRead) -> Result<(), (Member, io::Error)>,
) -> Result<(), SnapshotError> {
    let name = ArchiveName::of(path)?;
    let damaged = |member, source| SnapshotError::Damaged { path: path.to_owned(), member, source };
    let list = |source| damaged(Member::Archive, source);
    let mut archive = Archive::new(open(path, name.compression, bytes_read)?);
    let mut total_bytes = 0u64;
    for (index, entry) in archive.entries().map_err(list)?.enumerate() {
        let entry = entry.map_err(list)?;
        let refused = |reason: String| SnapshotError::Refused { path: path.to_owned(), reason };
        let content = {
            let name = entry.path_bytes();
            content_of(&name, entry.header().entry_type())
                .ok_or_else(|| refused(format!("no snapshot has a member {:?}", String::from_utf8_lossy(&name))))?
        };
        total_bytes = total_bytes.saturating_add(entry.size());
        if index >= MEMBERS_MAX || total_bytes > BYTES_MAX {
            return Err(refused(format!("more than {MEMBERS_MAX} members or {BYTES_MAX} bytes")));
        }
        let bytes = entry.size();
        visit(content, bytes, &mut BufReader::with_capacity(BUFFER_BYTES, entry))
            .map_err(|(member, source)| damaged(member, source))?;
    }
    // The archive's own checksum stands behind its last member: reading to the end is what compares it.
    io::copy(&mut archive.into_inner().take(TRAILER_BYTES_MAX), &mut io::sink()).map_err(list)?;
    Ok(())
}

fn open(path: &Path, compression: Compression, bytes_read: Arc<AtomicU64>) -> Result<Box<dyn Read>, SnapshotError> {
    let failed = |source| SnapshotError::Read { path: PathBuf::from(path), source };
    let file = Counted { file: File::open(path).map_err(failed)?, bytes_read };
    Ok(match compression {
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(file).map_err(failed)?;
            // Archives are written with a long window only by hand; the default bound keeps a hostile one from asking for gigabytes.
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(decoder)
        }
        Compression::Lz4 => Box::new(FrameDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))),
    })
}

fn content_of(name: &[u8], entry_type: EntryType) -> Option<Content> {
    let name = str::from_utf8(name).ok()?;
    if entry_type == EntryType::Directory {
        let is_known = match name.trim_end_matches('/') {
            "snapshots" | "accounts" => true,
            other => number(other.strip_prefix("snapshots/")?).is_some(),
        };
        return is_known.then_some(Content::Folder);
    }
    if !matches!(entry_type, EntryType::Regular | EntryType::GNUSparse) {
        return None;
    }
    match name {
        "version" => Some(Content::Version),
        "snapshots/status_cache" => Some(Content::StatusCache),
        _ => {
            if let Some(file) = name.strip_prefix("accounts/") {
                let (slot, id) = file.split_once('.')?;
                return Some(Content::Accounts { slot: number(slot)?, id: number(id)? });
            }
            let (folder, file) = name.strip_prefix("snapshots/")?.split_once('/')?;
            (folder == file).then_some(Content::BankFields { slot: number(file)? })
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

const BUFFER_BYTES: usize = 1 << 17;
/// zstd's own bound for decoders: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// A tar ends with zeros up to a full block of 10 KiB.
const TRAILER_BYTES_MAX: u64 = 1 << 20;
/// hardened_unpack.rs: MAX_SNAPSHOT_ARCHIVE_UNPACKED_COUNT, MAX_SNAPSHOT_ARCHIVE_UNPACKED_ACTUAL_SIZE.
const MEMBERS_MAX: usize = 5_000_000;
const BYTES_MAX: u64 = 4 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_snapshots_own_names_are_members() {
        let file = |name: &str| content_of(name.as_bytes(), EntryType::Regular);
        assert_eq!(file("version"), Some(Content::Version));
        assert_eq!(file("snapshots/12/12"), Some(Content::BankFields { slot: 12 }));
        assert_eq!(file("snapshots/status_cache"), Some(Content::StatusCache));
        assert_eq!(file("accounts/3.14"), Some(Content::Accounts { slot: 3, id: 14 }));
        for name in [
            "/version",
            "../version",
            "snapshots/1/2",
            "accounts/3",
            "accounts/+3.1",
            "accounts/3.",
            "x",
            "accounts/3.1/../x",
        ] {
            assert_eq!(file(name), None, "{name}");
        }
        assert_eq!(content_of(b"snapshots/5/", EntryType::Directory), Some(Content::Folder));
        assert_eq!(content_of(b"etc/", EntryType::Directory), None);
        assert_eq!(content_of(b"version", EntryType::Symlink), None);
    }
}
