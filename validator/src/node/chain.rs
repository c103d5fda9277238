//! The chain this node starts from: its ledger folder, its genesis, the first bank.

use {
    crate::{
        config::Config,
        exit::{Failure, Status},
    },
    std::sync::Arc,
    tandem_bank::Bank,
    tandem_genesis::Genesis,
    tandem_ledger::{Ledger, LedgerReader, Options},
};

pub fn open_ledger(config: &Config, files_open_max: usize) -> Result<(Ledger, LedgerReader), Failure> {
    let options = Options { recent_bytes_max: 16 << 20, code_bytes_max: 32 << 20, files_open_max };
    Ledger::open(&config.ledger, options).map_err(|error| Failure::caused(Status::Failed, &error))
}

pub fn load_genesis(config: &Config, ledger: &LedgerReader) -> Result<Genesis, Failure> {
    let genesis = Genesis::load(&config.ledger).map_err(|error| Failure::caused(Status::Failed, &error))?;
    if let Some(expected) = &config.expected_genesis_hash
        && genesis.hash != *expected
    {
        return Err(Failure::refused(format!(
            "the genesis in {} has hash {}, not the expected {expected}",
            config.ledger.display(),
            genesis.hash
        ))
        .remedy("give the ledger folder the cluster's genesis.bin, or correct --expected-genesis-hash"));
    }
    if let Some(expected) = config.expected_shred_version
        && genesis.shred_version != expected
    {
        return Err(Failure::refused(format!(
            "the genesis in {} gives shred version {}, not the expected {expected}",
            config.ledger.display(),
            genesis.shred_version
        ))
        .remedy("give the ledger folder the cluster's genesis.bin, or correct --expected-shred-version"));
    }
    stay_with(config, ledger, &genesis)?;
    Ok(genesis)
}

/// A ledger folder is of one cluster: with another's genesis its blocks would be dead, and its memory of what this node has
/// made worthless. As long as there is no block in it, another genesis may take the place of a wrong one.
fn stay_with(config: &Config, ledger: &LedgerReader, genesis: &Genesis) -> Result<(), Failure> {
    let path = config.ledger.join(GENESIS_HASH_FILE);
    let failure = |doing: &str, error: std::io::Error| {
        Failure::failed(format!("{doing} {}: {error}", path.display()))
            .remedy("check free space, and that this user may write the ledger folder")
    };
    let ours = genesis.hash.to_string();
    let known = match std::fs::read_to_string(&path) {
        Ok(known) => known.trim().to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failure("reading", error)),
    };
    if known == ours {
        Ok(())
    } else if known.is_empty() || ledger.highest_slot().is_none() {
        std::fs::write(&path, format!("{ours}\n")).map_err(|error| failure("writing", error))
    } else {
        Err(Failure::refused(format!(
            "the ledger {} is of the cluster with genesis hash {known}, but the genesis in it now has hash {ours}",
            config.ledger.display()
        ))
        .remedy("put the ledger's own genesis.bin back, or give the other cluster an empty folder with --ledger"))
    }
}

const GENESIS_HASH_FILE: &str = "genesis-hash";

/// Slot 0, which every node makes from the genesis by itself.
pub fn genesis_bank(genesis: &Genesis) -> Result<Arc<Bank>, Failure> {
    let bank =
        Bank::from_genesis(&genesis.config, genesis.hash).map_err(|error| Failure::caused(Status::Failed, &error))?;
    let slot_zero = genesis.slot_zero();
    for entry in &slot_zero.entries {
        bank.register_tick(&entry.hash);
    }
    bank.set_block_id(slot_zero.block_id);
    bank.freeze();
    if let Some(beyond) = bank.beyond_us() {
        return Err(Failure::refused(format!("this version cannot follow the genesis' cluster: {beyond}")).remedy(
            "see `validator doctor`; a node that goes on without a rule of its cluster votes for a fork of its own",
        ));
    }
    bank.forks().record_transactions(true);
    Ok(bank)
}

/// A genesis may have no vote account with stake in a form that counts today. It can be looked at, and nobody can lead from it.
pub fn check_leaders(config: &Config, root: &Bank) -> Result<(), Failure> {
    if root.leader_schedule(0).is_some() {
        return Ok(());
    }
    let what =
        format!("no vote account in the genesis of {} has stake: nobody can lead from it", config.ledger.display());
    if config.voting && config.vote_account.is_some() {
        return Err(Failure::refused(what).remedy(
            "make a genesis with a bootstrap validator that has stake; to look at this one, leave --vote-account out",
        ));
    }
    tracing::warn!("{what}; this node stays at slot 0");
    Ok(())
}
