//! Archives written by agave 4.2.2 (a development cluster of one validator, 64 slots an epoch; see testdata/README.md).

#![allow(clippy::unwrap_used)]

use {
    std::{
        fs,
        io::Write,
        path::{Path, PathBuf},
        str::FromStr,
    },
    tandem_bank::{BeyondUs, RestoreError},
    tandem_genesis::Genesis,
    tandem_snapshot::{Loaded, Progress, SnapshotError, Source, find_newest, load},
    tandem_types::Hash,
};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn newest() -> Source {
    let (full, incremental) = find_newest(&testdata()).unwrap().unwrap();
    Source { full, incremental }
}

fn load_here(source: &Source) -> Result<Loaded, SnapshotError> {
    let genesis = Genesis::load(&testdata().join("genesis.tar.bz2")).unwrap();
    load(source, &genesis.config, genesis.hash, |_| {})
}

/// What agave logged when it froze the bank.
struct Frozen {
    slot: u64,
    hash: &'static str,
    capitalization: u64,
}

fn check(loaded: &Loaded, agave: &Frozen) {
    let bank = &loaded.bank;
    assert_eq!(bank.slot(), agave.slot);
    assert_eq!(bank.hash(), Hash::from_str(agave.hash).unwrap());
    assert_eq!(bank.capitalization(), agave.capitalization);
    assert!(bank.is_frozen() && bank.is_complete());
}

#[test]
fn a_full_snapshot_becomes_the_bank_it_was() {
    check(&load_here(&Source { incremental: None, ..newest() }).unwrap(), &FULL);
}

#[test]
fn an_incremental_snapshot_goes_on_top() {
    let source = newest();
    assert!(source.incremental.is_some());
    let full = load_here(&Source { incremental: None, ..source.clone() }).unwrap();
    let both = load_here(&source).unwrap();
    check(&both, &INCREMENTAL);
    assert!(both.bytes > full.bytes);
}

#[test]
fn progress_ends_at_the_whole() {
    let source = newest();
    let genesis = Genesis::load(&testdata().join("genesis.tar.bz2")).unwrap();
    let mut last = Progress::default();
    load(&source, &genesis.config, genesis.hash, |progress| last = progress).unwrap();
    assert!(last.accounts > 0 && last.bytes <= last.bytes_total);
    assert!(last.bytes > last.bytes_total / 2, "{last:?}");
}

/// Every cut is refused. A changed byte is refused, or it is one that no hash covers (a write version, a time in the tar header, a
/// count of transactions) and the very same bank comes out. Nothing panics.
#[test]
fn a_damaged_archive_gives_no_other_bank() {
    let folder = tempfile::tempdir().unwrap();
    let source = newest();
    let bytes = fs::read(&source.full).unwrap();
    let path = folder.path().join(source.full.file_name().unwrap());
    let damaged = Source { full: path.clone(), incremental: None };
    for cut in [0, 1, 100, bytes.len() / 2, bytes.len() - 100] {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(load_here(&damaged).is_err(), "cut at {cut}");
    }
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / CHANGED_BYTES) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        fs::write(&path, &changed).unwrap();
        match load_here(&damaged) {
            Ok(loaded) => check(&loaded, &FULL),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > CHANGED_BYTES * 3 / 4, "{refused} of {CHANGED_BYTES}");
}
const CHANGED_BYTES: usize = 50;

/// Agave 4.4.0 writes a new zstd frame every 32 MiB; 4.2.2 could also write lz4.
#[test]
fn frames_and_compressions_make_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let full = newest().full;
    let tar = zstd::decode_all(fs::File::open(&full).unwrap()).unwrap();
    let frames: Vec<u8> = tar.chunks(tar.len() / 3).flat_map(|part| zstd::encode_all(part, 1).unwrap()).collect();
    let several = folder.path().join(full.file_name().unwrap());
    fs::write(&several, &frames).unwrap();
    check(&load_here(&Source { full: several.clone(), incremental: None }).unwrap(), &FULL);

    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(&tar).unwrap();
    let lz4 = several.to_str().unwrap().replace(".tar.zst", ".tar.lz4");
    fs::write(&lz4, encoder.finish().unwrap()).unwrap();
    check(&load_here(&Source { full: lz4.into(), incremental: None }).unwrap(), &FULL);

    // A last frame that is missing is not an end.
    let first = zstd::encode_all(&tar[..tar.len() / 3], 1).unwrap();
    fs::write(&several, first).unwrap();
    assert!(load_here(&Source { full: several, incremental: None }).is_err());
}

/// Archives of agave 4.4.0 with all its features: read to their end and hashed, and refused for the rules this version lacks.
#[test]
fn a_cluster_of_newer_features_is_refused_for_them() {
    let shared = std::env::var_os("TANDEM_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let capture = shared.join("captures-4.4.0/tower-all-features");
    if !capture.is_dir() {
        println!("SKIPPED: no captures of agave 4.4.0 (set TANDEM_SHARED to the folder that holds captures-4.4.0/)");
        return;
    }
    let genesis = Genesis::load(&capture).unwrap();
    let (full, incremental) = find_newest(&capture.join("snapshots")).unwrap().unwrap();
    let refused = load(&Source { full, incremental }, &genesis.config, genesis.hash, |_| {}).err().unwrap();
    let SnapshotError::Restore(RestoreError::BeyondUs(BeyondUs::Features(unknown))) = refused else {
        panic!("{refused:?}");
    };
    assert!(unknown.len() > 5, "{unknown:?}");
}

#[test]
fn archives_that_do_not_belong_together_are_refused() {
    let source = newest();
    let folder = tempfile::tempdir().unwrap();
    let place = |path: &Path, name: String| {
        let to = folder.path().join(name);
        fs::copy(path, &to).unwrap();
        to
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let increment = source.incremental.unwrap();

    let of_another_base = place(&increment, name(&increment).replace("snapshot-500-", "snapshot-499-"));
    let wrong = load_here(&Source { full: source.full.clone(), incremental: Some(of_another_base) });
    assert!(matches!(wrong, Err(SnapshotError::WrongBase { wanted: 499, found: 500 })));

    let other_hash = Hash::new_from_array([1; 32]);
    let renamed = place(&source.full, format!("snapshot-500-{other_hash}.tar.zst"));
    let wrong = load_here(&Source { full: renamed, incremental: None });
    assert!(matches!(wrong, Err(SnapshotError::NameHash { .. })));

    let alone = load_here(&Source { full: increment, incremental: None });
    assert!(matches!(alone, Err(SnapshotError::Refused { .. })));
}

#[test]
fn a_genesis_of_another_cluster_is_refused() {
    let mut genesis = Genesis::load(&testdata().join("genesis.tar.bz2")).unwrap();
    genesis.config.creation_time += 1;
    let wrong = load(&newest(), &genesis.config, genesis.hash, |_| {}).err().unwrap();
    let report = std::error::Error::source(&wrong).unwrap().to_string();
    assert!(report.contains("another cluster"), "{report}");
}

const FULL: Frozen =
    Frozen { slot: 500, hash: "3U75nFd3Ki3s1yH6j64bkXuYQPRpGNAh3eiwa41YsKB1", capitalization: 500_010_886_608_466_653 };
/// In the next epoch.
const INCREMENTAL: Frozen =
    Frozen { slot: 525, hash: "89Yxio4s62mpCFX6ShmmdPd4CrrZMV7EgbDmpTXFkFn8", capitalization: 500_010_917_435_873_061 };
