//! Who this node is to its cluster before it has claimed anything.

use {
    super::*,
    crate::args::Cli,
    clap::Parser,
    tandem_role::config::ConfiguredRole::{Primary, Secondary},
};

/// Key and keys of a node with these flags, before any claim.
fn vault(configured: role_config::ConfiguredRole, flags: &str) -> (Pubkey, Vault) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let identity = Keypair::new();
    let path = folder.path().join("identity.json");
    tandem_identity::write_keypair_file(&identity, &path).expect("writable");
    let line = format!("validator --identity {} {flags}", path.display());
    let cli = Cli::parse_from(line.split_whitespace());
    let args = cli.run_args().expect("no conflict").expect("the validator is to run");
    let config = Config::new(&cli.ledger, args).expect("a configuration");
    let role = Role { configured, identity: Some(identity.pubkey()) };
    (identity.pubkey(), vault_of(&config, role).expect("a vault"))
}

#[test]
fn a_voter_alone_on_its_store_is_in_gossip_and_turbine_from_the_start() {
    let (identity, vault) = vault(Primary, "");
    assert_eq!(vault.node().pubkey(), identity);
    assert!(!vault.is_unlocked(), "which gives it no right to vote or lead");
    assert_ne!(vault.standby(), identity, "and it can still step down to another key");
}

#[test]
fn a_primary_of_a_pair_stands_by_under_a_throw_away_key() {
    let (identity, vault) = vault(Primary, "--tower-storage etcd --etcd-endpoint http://127.0.0.1:2379");
    assert_ne!(vault.node().pubkey(), identity);
    assert_eq!(vault.identity(), Some(identity));
}

#[test]
fn a_secondary_stands_by_under_its_own_key() {
    let (own, vault) = vault(Secondary, "");
    assert_eq!(vault.node().pubkey(), own);
    assert_eq!(vault.identity(), None);
}
