use {
    super::*,
    crate::development::{DevelopmentGenesis, ValidatorSpec},
    tandem_types::Pubkey,
};

fn genesis() -> Genesis {
    let key = |byte| Pubkey::new_from_array([byte; 32]);
    let validator = ValidatorSpec {
        identity: key(2),
        vote: key(3),
        stake: key(4),
        lamports: 5,
        stake_lamports: 10_000_000_000,
        bls: None,
    };
    DevelopmentGenesis { hashes_per_tick: Some(3), ..DevelopmentGenesis::new(7, key(1), 1_000, vec![validator]) }
        .build()
        .unwrap()
}

#[test]
fn written_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("new/ledger");
    let genesis = genesis();
    genesis.write(&ledger).unwrap();
    let mut names: Vec<_> = fs::read_dir(&ledger).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [GENESIS_FILE, ARCHIVE_FILE], "nothing unfinished is left");
    for path in [ledger.clone(), ledger.join(GENESIS_FILE), ledger.join(ARCHIVE_FILE)] {
        assert_eq!(Genesis::load(&path).unwrap(), genesis, "{}", path.display());
    }
    fs::remove_file(ledger.join(GENESIS_FILE)).unwrap();
    assert_eq!(Genesis::load(&ledger).unwrap(), genesis);
    // The SDK's own idea of the name.
    assert_eq!(genesis.hash, genesis.config.hash());
}

#[test]
fn every_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Genesis::load(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("copy one of them") && missing.contains(&*folder.path().to_string_lossy()), "{missing}");
    let path = folder.path().join("no.bin");
    assert!(Genesis::load(&path).unwrap_err().to_string().contains("no.bin"));
    fs::write(&path, b"nonsense").unwrap();
    assert!(matches!(Genesis::load(&path), Err(GenesisError::InFile { path: named, .. }) if named == path));
    fs::write(&path, b"").unwrap();
    assert!(matches!(Genesis::load(&path), Err(GenesisError::InFile { path: named, .. }) if named == path));
    let genesis = genesis();
    assert!(genesis.check_hash(&genesis.hash).is_ok());
    let other = genesis.check_hash(&Hash::default()).unwrap_err().to_string();
    assert!(other.contains(&genesis.hash.to_string()) && other.contains("another cluster"), "{other}");
}

#[test]
fn damaged_bytes_are_an_error_or_another_genesis() {
    let genesis = genesis();
    let bytes = genesis.encode().unwrap();
    for cut in (0..bytes.len()).step_by(97) {
        assert!(Genesis::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in (0..bytes.len()).step_by(61) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        if let Ok(read) = Genesis::from_bytes(&damaged) {
            assert_ne!(read.hash, genesis.hash, "damage at {at}");
        }
    }
}

#[test]
fn slot_zero_is_made_of_ticks_alone() {
    let genesis = genesis();
    let zero = genesis.slot_zero();
    assert_eq!(zero.entries.len(), 64);
    assert!(zero.entries.iter().all(|entry| entry.is_tick() && entry.num_hashes == 3));
    let mut hash = genesis.hash.to_bytes();
    for _ in 0..64 * 3 {
        hash = Sha256::digest(hash).into();
    }
    assert_eq!(zero.last_blockhash.to_bytes(), hash);
    assert_eq!((zero.data_shreds.len(), zero.code_shreds.len()), (32, 32));
    assert_eq!(zero.block_id.0, zero.data_shreds[31].merkle_root());
    let again = genesis.slot_zero();
    assert!(zero.data_shreds.iter().zip(&again.data_shreds).all(|(one, other)| one.payload() == other.payload()));
}
