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

pub fn open_ledger(config: &Config) -> Result<(Ledger, LedgerReader), Failure> {
    let options = Options { recent_bytes_max: 16 << 20, code_bytes_max: 32 << 20 };
    Ledger::open(&config.ledger, options).map_err(|error| Failure::caused(Status::Failed, &error))
}

pub fn load_genesis(config: &Config) -> Result<Genesis, Failure> {
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
    Ok(genesis)
}

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
    bank.forks().record_transactions(true);
    Ok(bank)
}
