use {super::*, crate::programs::standard_programs, tandem_types::Signer};

fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

fn validator(first_key: u8) -> ValidatorSpec {
    ValidatorSpec {
        identity: key(first_key),
        vote: key(first_key + 1),
        stake: key(first_key + 2),
        lamports: 500,
        stake_lamports: 10_000_000_000,
        bls: None,
    }
}

fn spec() -> DevelopmentGenesis {
    DevelopmentGenesis::new(1_700_000_000, key(1), 1_000, vec![validator(10), validator(20)])
}

#[test]
fn equal_descriptions_give_equal_clusters() {
    let genesis = spec().build().unwrap();
    assert_eq!(genesis, spec().build().unwrap());
    let later = DevelopmentGenesis { creation_time: 1_700_000_001, ..spec() };
    assert_ne!(genesis.hash, later.build().unwrap().hash);
}

#[test]
fn features_and_programs_are_accounts() {
    let off = features_for_steady_slots();
    let genesis = DevelopmentGenesis {
        deactivated_features: off.clone(),
        programs: standard_programs(&Rent::default()),
        ..spec()
    };
    let accounts = genesis.build().unwrap().config.accounts;
    let features = accounts.values().filter(|account| account.owner == feature::id()).count();
    assert_eq!(features, FEATURE_NAMES.len() - off.len() - 1);
    assert!(!accounts.contains_key(&alpenglow::id()) && !off.iter().any(|id| accounts.contains_key(id)));
    assert!(accounts[&stake::id()].executable);
    assert!(accounts.values().all(|account| account.lamports > 0));
}

#[test]
fn bls_key_belongs_to_the_identity() {
    let identity = Keypair::new_from_array([9; 32]);
    let derived = bls_pubkey(&identity).unwrap();
    assert_eq!(derived, bls_pubkey(&identity).unwrap());
    assert_ne!(derived, bls_pubkey(&Keypair::new_from_array([8; 32])).unwrap());
    let with_key = ValidatorSpec { identity: identity.pubkey(), bls: Some(derived), ..validator(10) };
    let genesis = DevelopmentGenesis { validators: vec![with_key], ..spec() }.build().unwrap();
    let state = VoteStateV4::deserialize(&genesis.config.accounts[&key(11)].data, &key(11)).unwrap();
    assert_eq!(state.bls_pubkey_compressed, Some(derived));
}

#[test]
fn mistakes_are_named() {
    let refusal = |genesis: DevelopmentGenesis| genesis.build().unwrap_err().to_string();
    assert!(refusal(DevelopmentGenesis { validators: vec![], ..spec() }).contains("at least one validator"));
    assert!(refusal(DevelopmentGenesis { faucet_lamports: 0, ..spec() }).contains("faucet"));
    let twice = refusal(DevelopmentGenesis { validators: vec![validator(10), validator(11)], ..spec() });
    assert!(twice.contains(&key(11).to_string()), "{twice}");
    let poor = ValidatorSpec { stake_lamports: 2_282_880, ..validator(10) };
    assert!(refusal(DevelopmentGenesis { validators: vec![poor], ..spec() }).contains("give 2282881"));
    let unknown = DevelopmentGenesis { deactivated_features: vec![key(3)], ..spec() };
    assert!(refusal(unknown).contains("no feature"));
    assert!(refusal(DevelopmentGenesis { slots_per_epoch: 31, ..spec() }).contains("at least 32 slots"));
    assert!(refusal(DevelopmentGenesis { ticks_per_slot: 0, ..spec() }).contains("ticks per slot"));
    assert!(refusal(DevelopmentGenesis { hashes_per_tick: Some(1), ..spec() }).contains("hashes per tick"));
    assert!(refusal(DevelopmentGenesis { slot_duration: Duration::ZERO, ..spec() }).contains("duration"));
    let rich = ValidatorSpec { lamports: u64::MAX, ..validator(10) };
    assert!(refusal(DevelopmentGenesis { validators: vec![rich], ..spec() }).contains("64 bits"));
}
