//! The node and the cluster: identity, version, health, contacts, slots, who made blocks.

use {
    crate::{
        context::{Context, Health},
        error::{Reply, invalid, no_slot_history, no_snapshot, unhealthy},
        history::SAMPLES_MAX,
        params::{Args, bank_of, parse, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::Value,
    solana_account::ReadableAccount,
    solana_rpc_client_types::{
        config::RpcBlockProductionConfig,
        response::{
            Response, RpcBlockCommitment, RpcBlockProduction, RpcBlockProductionRange, RpcIdentity, RpcPerfSample,
            RpcSnapshotSlotInfo, RpcVersionInfo,
        },
    },
    solana_sdk_ids::sysvar,
    solana_slot_history::{Check, SlotHistory},
    std::collections::HashMap,
    tandem_bank::Bank,
    tandem_types::{Pubkey, Slot},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getHealth", |params, context, _| -> Reply<&'static str> {
        Args::none(&params)?;
        check_health(context).map(|()| "ok")
    })?;
    module.register_method("getVersion", |params, context, _| -> Reply<RpcVersionInfo> {
        Args::none(&params)?;
        Ok(RpcVersionInfo { solana_core: SOLANA_CORE.to_owned(), feature_set: Some(context.feature_set) })
    })?;
    module.register_method("getIdentity", |params, context, _| -> Reply<RpcIdentity> {
        Args::none(&params)?;
        Ok(RpcIdentity { identity: context.identity.load().to_string() })
    })?;
    module.register_method("getGenesisHash", |params, context, _| -> Reply<String> {
        Args::none(&params)?;
        Ok(context.genesis_hash.to_string())
    })?;
    module.register_method("getClusterNodes", |params, context, _| {
        Args::none(&params)?;
        Reply::Ok(context.nodes.load().to_vec())
    })?;
    module.register_method("getSlot", |params, context, _| -> Reply<Slot> {
        Ok(bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?.slot())
    })?;
    module.register_method("getBlockHeight", |params, context, _| -> Reply<u64> {
        Ok(bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?.block_height())
    })?;
    module.register_method("getTransactionCount", |params, context, _| -> Reply<u64> {
        Ok(bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?.transaction_count())
    })?;
    // The highest slot of which shreds came or went: what is replayed is a lower bound that clients can use.
    for name in ["getMaxRetransmitSlot", "getMaxShredInsertSlot"] {
        module.register_method(name, |params, context, _| -> Reply<Slot> {
            Args::none(&params)?;
            Ok(context.chain.load().processed.slot())
        })?;
    }
    // This node makes no snapshots, and it takes no part in Alpenglow.
    module.register_method("getHighestSnapshotSlot", |params, _, _| -> Reply<RpcSnapshotSlotInfo> {
        Args::none(&params)?;
        Err(no_snapshot())
    })?;
    module.register_method("getAgGenesisCert", |params, _, _| -> Reply<Value> {
        Args::none(&params)?;
        Ok(Value::Null)
    })?;
    // Agave answers no commitment for a slot it keeps no count of; this node keeps none of any.
    module.register_method("getBlockCommitment", |params, context, _| -> Reply<RpcBlockCommitment<Value>> {
        let _: Slot = Args::of(&params, 1..=1)?.required(0)?;
        let bank = context.bank(None);
        let total_stake = bank.epoch_stakes(bank.epoch()).map_or(0, |stakes| stakes.total_stake());
        Ok(RpcBlockCommitment { commitment: None, total_stake })
    })?;
    module.register_method("getRecentPerformanceSamples", |params, context, _| -> Reply<Vec<RpcPerfSample>> {
        let limit = Args::of(&params, 0..=1)?.optional(0)?.unwrap_or(SAMPLES_MAX);
        if limit > SAMPLES_MAX {
            return Err(invalid(format!("Invalid limit; max {SAMPLES_MAX}")));
        }
        let samples = context.history.samples(limit).into_iter();
        Ok(samples
            .map(|sample| RpcPerfSample {
                slot: sample.slot,
                num_slots: sample.slots,
                num_transactions: sample.transactions,
                num_non_vote_transactions: Some(sample.non_votes),
                sample_period_secs: sample.seconds,
            })
            .collect())
    })?;
    module.register_blocking_method("getBlockProduction", |params, context, _| {
        block_production(&context, Args::of(&params, 0..=1)?.or_default(0)?)
    })?;
    Ok(())
}

pub fn check_health(context: &Context) -> Reply<()> {
    match (context.health)() {
        Health::Ok => Ok(()),
        Health::Behind { slots } => Err(unhealthy(Some(slots))),
        Health::Unknown => Err(unhealthy(None)),
    }
}

fn block_production(context: &Context, config: RpcBlockProductionConfig) -> Reply<Response<RpcBlockProduction>> {
    let wanted: Option<Pubkey> = config.identity.as_deref().map(parse).transpose()?;
    let bank = context.bank(config.commitment);
    let (first, last) = match config.range {
        None => (bank.epoch_schedule().get_first_slot_in_epoch(bank.epoch()), bank.slot()),
        Some(range) => (range.first_slot, range.last_slot.unwrap_or(bank.slot())),
    };
    if last < first {
        return Err(invalid(format!("lastSlot, {last}, cannot be less than firstSlot, {first}")));
    }
    let history = slot_history(&bank)?;
    if first < history.oldest() {
        return Err(invalid(format!("firstSlot, {first}, is too small; min {}", history.oldest())));
    }
    if last > history.newest() {
        return Err(invalid(format!("lastSlot, {last}, is too large; max {}", history.newest())));
    }
    let mut by_identity: HashMap<Pubkey, (usize, usize)> = HashMap::new();
    for slot in first..=last {
        let Some(leader) = bank.leader_at(slot) else { return Err(no_schedule(bank.epoch_schedule().get_epoch(slot))) };
        if wanted.is_none_or(|wanted| wanted == leader.identity) {
            let (slots, blocks) = by_identity.entry(leader.identity).or_default();
            *slots += 1;
            *blocks += usize::from(history.check(slot) == Check::Found);
        }
    }
    let by_identity = by_identity.into_iter().map(|(identity, counts)| (identity.to_string(), counts)).collect();
    let range = RpcBlockProductionRange { first_slot: first, last_slot: last };
    Ok(with_context(&bank, RpcBlockProduction { by_identity, range }))
}

pub fn no_schedule(epoch: u64) -> jsonrpsee::types::ErrorObjectOwned {
    invalid(format!("Invalid slot range: leader schedule for epoch {epoch} is unavailable"))
}

/// Which of the last million slots have a block on this fork; a sysvar of 128 kB.
fn slot_history(bank: &Bank) -> Reply<SlotHistory> {
    let account = bank.account(&sysvar::slot_history::id()).ok_or_else(no_slot_history)?;
    bincode::deserialize(account.data()).map_err(|_| no_slot_history())
}

/// What we are compatible with: clients choose features by it.
const SOLANA_CORE: &str = "4.2.2";
