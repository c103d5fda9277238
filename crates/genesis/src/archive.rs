//! genesis.tar.bz2: how a genesis travels. Comes from other nodes, so nothing in it is believed, and nothing is unpacked.

use {
    crate::{
        error::GenesisError,
        genesis::{GENESIS_FILE, read_at_most},
    },
    bzip2::{Compression, read::BzDecoder, write::BzEncoder},
    std::{
        ffi::OsStr,
        io::{self, Read, Write},
        path::{Component, Path},
    },
    tar::{Archive, Builder, EntryType, Header},
};

/// The bytes of the archive's genesis.bin. The blockstore that solana-genesis puts beside it is passed over, as agave does
/// (hardened_unpack.rs: is_valid_genesis_archive_entry); anything else is refused.
pub(crate) fn read(path: &Path, file: impl Read, bytes_max: u64) -> Result<Vec<u8>, GenesisError> {
    let broken = |source| GenesisError::Archive { path: path.to_owned(), source };
    let too_large = || GenesisError::TooLarge { path: path.to_owned(), max: bytes_max };
    // Everything in the archive counts, so that a small file cannot keep us unpacking for hours.
    let mut archive =
        Archive::new(BzDecoder::new(file).take(bytes_max.saturating_mul(2).saturating_add(OVERHEAD_BYTES_MAX)));
    let mut genesis = None;
    for (index, entry) in archive.entries().map_err(broken)?.enumerate() {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let refused =
            || GenesisError::ArchiveEntry { path: path.to_owned(), entry: name.to_string_lossy().into_owned() };
        if index >= ENTRIES_MAX {
            return Err(refused());
        }
        match content(&name, entry.header().entry_type()) {
            Some(Content::Blockstore) => {}
            Some(Content::Genesis) if genesis.is_none() => {
                genesis = Some(read_at_most(entry, bytes_max).map_err(broken)?.ok_or_else(too_large)?);
            }
            Some(Content::Genesis) | None => return Err(refused()),
        }
    }
    genesis.ok_or_else(|| GenesisError::ArchiveEmpty { path: path.to_owned() })
}

/// An archive with genesis.bin alone: equal bytes for equal genesis, no time and no owner in it.
pub(crate) fn write(file: &mut impl Write, genesis: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(genesis.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(EntryType::Regular);
    let mut archive = Builder::new(BzEncoder::new(file, Compression::best()));
    archive.append_data(&mut header, GENESIS_FILE, genesis)?;
    archive.into_inner()?.finish()?;
    Ok(())
}

enum Content {
    Genesis,
    Blockstore,
}

fn content(name: &Path, kind: EntryType) -> Option<Content> {
    let parts: Option<Vec<&OsStr>> = name
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| if let Component::Normal(part) = part { Some(part) } else { None })
        .collect();
    let is_file = matches!(kind, EntryType::Regular | EntryType::GNUSparse);
    match parts?.as_slice() {
        [file] if *file == GENESIS_FILE && is_file => Some(Content::Genesis),
        [folder] if is_blockstore(folder) && kind == EntryType::Directory => Some(Content::Blockstore),
        [folder, _] if is_blockstore(folder) && is_file => Some(Content::Blockstore),
        _ => None,
    }
}

fn is_blockstore(folder: &OsStr) -> bool {
    folder == "rocksdb" || folder == "rocksdb_fifo"
}

/// hardened_unpack.rs: MAX_GENESIS_ARCHIVE_UNPACKED_COUNT.
const ENTRIES_MAX: usize = 100;
/// Headers, names and padding of that many entries.
const OVERHEAD_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(BzEncoder::new(Vec::new(), Compression::fast()));
        for (name, kind, data) in entries {
            let mut header = Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(*kind);
            // The crate refuses to write hostile names, so they are put in by hand.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, *data).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn unpack(entries: &[(&str, EntryType, &[u8])]) -> Result<Vec<u8>, GenesisError> {
        read(Path::new("a.tar.bz2"), pack(entries).as_slice(), 100)
    }

    #[test]
    fn takes_the_genesis_and_passes_over_the_blockstore() {
        let entries = [
            ("rocksdb", EntryType::Directory, &b""[..]),
            ("rocksdb/CURRENT", EntryType::Regular, b"MANIFEST"),
            ("genesis.bin", EntryType::Regular, b"content"),
        ];
        assert_eq!(unpack(&entries).unwrap(), b"content");
        let mut written = Vec::new();
        write(&mut written, b"content").unwrap();
        assert_eq!(read(Path::new("a.tar.bz2"), written.as_slice(), 100).unwrap(), b"content");
    }

    #[test]
    fn refuses_what_does_not_belong() {
        for (name, kind) in [
            ("../genesis.bin", EntryType::Regular),
            ("/genesis.bin", EntryType::Regular),
            ("rocksdb/../../x", EntryType::Regular),
            ("genesis.bin", EntryType::Symlink),
            ("other", EntryType::Regular),
            ("rocksdb", EntryType::Regular),
            ("rocksdb/folder", EntryType::Directory),
        ] {
            let error = unpack(&[(name, kind, b"")]).unwrap_err();
            assert!(matches!(error, GenesisError::ArchiveEntry { .. }), "{name}: {error}");
        }
        let twice = [("genesis.bin", EntryType::Regular, &b"1"[..]), ("genesis.bin", EntryType::Regular, b"2")];
        assert!(matches!(unpack(&twice), Err(GenesisError::ArchiveEntry { .. })));
        assert!(matches!(unpack(&[]), Err(GenesisError::ArchiveEmpty { .. })));
        let large = [("genesis.bin", EntryType::Regular, &[7; 101][..])];
        assert!(matches!(unpack(&large), Err(GenesisError::TooLarge { max: 100, .. })));
    }

    #[test]
    fn refuses_garbage_and_half_an_archive() {
        let whole = pack(&[("genesis.bin", EntryType::Regular, b"content")]);
        for bytes in [&b"BZh9 but then nonsense"[..], &whole[..whole.len() / 2]] {
            assert!(matches!(read(Path::new("a.tar.bz2"), bytes, 100), Err(GenesisError::Archive { .. })));
        }
    }
}
