//! What a snapshot archive is called: the name says what is in it (agave-snapshots-4.2.2/src/paths.rs).

use {
    crate::SnapshotError,
    std::{
        fmt, fs,
        path::{Path, PathBuf},
        str::FromStr,
    },
    tandem_types::{Hash, Slot},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveName {
    pub kind: Kind,
    pub slot: Slot,
    /// Checksum of the bank's lattice hash.
    pub hash: Hash,
    pub compression: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Full,
    /// What changed after the full snapshot of slot `base`.
    Incremental {
        base: Slot,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    Zstd,
    Lz4,
}

impl ArchiveName {
    pub fn of(path: &Path) -> Result<Self, SnapshotError> {
        path.file_name()
            .and_then(|name| name.to_str())
            .and_then(Self::parse)
            .ok_or_else(|| SnapshotError::Name(path.to_owned()))
    }

    fn parse(name: &str) -> Option<Self> {
        let (rest, compression) = match (name.strip_suffix(".tar.zst"), name.strip_suffix(".tar.lz4")) {
            (Some(rest), _) => (rest, Compression::Zstd),
            (None, Some(rest)) => (rest, Compression::Lz4),
            (None, None) => return None,
        };
        let (kind, rest) = match rest.strip_prefix("incremental-snapshot-") {
            Some(rest) => {
                let (base, rest) = rest.split_once('-')?;
                (Kind::Incremental { base: parse_slot(base)? }, rest)
            }
            None => (Kind::Full, rest.strip_prefix("snapshot-")?),
        };
        let (slot, hash) = rest.split_once('-')?;
        let (slot, hash) = (parse_slot(slot)?, Hash::from_str(hash).ok()?);
        let is_ordered = match kind {
            Kind::Full => true,
            Kind::Incremental { base } => base < slot,
        };
        is_ordered.then_some(Self { kind, slot, hash, compression })
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = match self.compression {
            Compression::Zstd => "tar.zst",
            Compression::Lz4 => "tar.lz4",
        };
        match self.kind {
            Kind::Full => write!(f, "snapshot-{}-{}.{extension}", self.slot, self.hash),
            Kind::Incremental { base } => {
                write!(f, "incremental-snapshot-{base}-{}-{}.{extension}", self.slot, self.hash)
            }
        }
    }
}

/// The newest state that the archives in `folder` hold: a full one, and what goes on top of it if there is something. A
/// full snapshot without an increment wins over an older one whose increment ends at the same slot. Other files are passed over.
pub fn find_newest(folder: &Path) -> Result<Option<(PathBuf, Option<PathBuf>)>, SnapshotError> {
    let broken = |source| SnapshotError::Read { path: folder.to_owned(), source };
    let mut archives = Vec::new();
    for entry in fs::read_dir(folder).map_err(broken)? {
        let path = entry.map_err(broken)?.path();
        if let Ok(name) = ArchiveName::of(&path) {
            archives.push((name, path));
        }
    }
    let newest_increment = |full: Slot| {
        archives
            .iter()
            .filter(|(name, _)| name.kind == Kind::Incremental { base: full })
            .max_by_key(|(name, _)| name.slot)
    };
    let newest = archives
        .iter()
        .filter(|(name, _)| name.kind == Kind::Full)
        .map(|(name, path)| (name.slot, path, newest_increment(name.slot)))
        .max_by_key(|(slot, _, increment)| (increment.map_or(*slot, |(name, _)| name.slot), *slot));
    Ok(newest.map(|(_, full, increment)| (full.clone(), increment.map(|(_, path)| path.clone()))))
}

/// Digits alone: `+5` would parse too, and `05` would be another name for 5.
fn parse_slot(text: &str) -> Option<Slot> {
    let slot: Slot = text.parse().ok()?;
    (slot.to_string() == text).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(slot: Slot) -> String {
        format!("snapshot-{slot}-{}.tar.zst", Hash::new_from_array([7; 32]))
    }

    fn increment(base: Slot, slot: Slot) -> String {
        format!("incremental-snapshot-{base}-{slot}-{}.tar.lz4", Hash::new_from_array([8; 32]))
    }

    #[test]
    fn names_come_back_as_they_were() {
        for name in [full(0), full(123), increment(100, 150)] {
            assert_eq!(ArchiveName::parse(&name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_names_are_refused() {
        let hash = Hash::new_from_array([7; 32]);
        for name in [
            "snapshot-1.tar.zst".into(),
            format!("snapshot-+1-{hash}.tar.zst"),
            format!("snapshot-01-{hash}.tar.zst"),
            format!("snapshot-1-{hash}.tar.bz2"),
            format!("snapshot-1-{hash}x.tar.zst"),
            format!("tmp-snapshot-1-{hash}.tar.zst"),
            increment(150, 150),
        ] {
            assert_eq!(ArchiveName::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_state_wins() {
        let check = |names: &[String], wanted: Option<(String, Option<String>)>| {
            let folder = tempfile::tempdir().unwrap();
            names.iter().for_each(|name| fs::write(folder.path().join(name), b"").unwrap());
            let found = find_newest(folder.path()).unwrap();
            let text = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(found.map(|(full, increment)| (text(full), increment.map(text))), wanted, "{names:?}");
        };
        check(&["notes.txt".into(), increment(100, 200)], None);
        check(&[full(100), full(90), increment(90, 99)], Some((full(100), None)));
        check(&[full(100), full(90), increment(90, 101)], Some((full(90), Some(increment(90, 101)))));
        check(&[full(100), increment(100, 120), increment(100, 110)], Some((full(100), Some(increment(100, 120)))));
        check(&[full(100), full(90), increment(90, 100)], Some((full(100), None)));
    }
}
