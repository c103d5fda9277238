//! The ledger's shred files (docs: ledger/src/slot_file.rs), read a second time: 64 bytes of header, then a place of 1,208 bytes
//! for each data shred: checksum, source, shred. A place that is empty or does not hold is passed over.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"TNDSHRD1";
const HEADER_BYTES: usize = 64;
const RECORD_BYTES: usize = 4 + 1 + 1203;
const EXTENSION: &str = "shreds";
/// A ledger folder holds `…/<thousand>/<slot>.shreds`, not deeper than this.
const DEPTH_MAX: usize = 5;

pub fn is_slot_file(first: &[u8]) -> bool {
    first.starts_with(MAGIC)
}

/// All slot files below `folder`, by slot.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect(folder, DEPTH_MAX, &mut found)?;
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<(u64, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && depth > 0 {
            collect(&path, depth - 1, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == EXTENSION) {
            let slot = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            found.extend(slot.map(|slot| (slot, path)));
        }
    }
    Ok(())
}

/// Hands each shred to `take`. Returns how many places did not hold.
pub fn read(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut file = BufReader::with_capacity(64 * RECORD_BYTES, File::open(path)?);
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    let mut damaged = 0;
    let mut record = [0; RECORD_BYTES];
    loop {
        match file.read_exact(&mut record) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(damaged),
            Err(error) => return Err(error),
        }
        if record.iter().all(|byte| *byte == 0) {
            continue;
        }
        let (checksum, rest) = record.split_at(4);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(rest);
        if checksum == hasher.finalize().to_le_bytes() { take(&rest[1..]) } else { damaged += 1 }
    }
}
