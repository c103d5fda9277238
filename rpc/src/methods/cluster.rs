//! The node and the cluster: identity, version, health, contacts, slots.

use {
    crate::{
        context::{Context, Health},
        error::{Reply, unhealthy},
        params::{Args, ContextConfig, bank},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::{Map, Value, json},
    solana_commitment_config::CommitmentConfig,
    std::collections::BTreeMap,
    tandem_types::Slot,
};

/// What we are compatible with: clients choose features by it.
pub const SOLANA_CORE: &str = "4.2.2";

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getHealth", |_, context, _| -> Reply<&'static str> {
        match (context.health)() {
            Health::Ok => Ok("ok"),
            Health::Behind { slots } => Err(unhealthy(Some(slots))),
            Health::Unknown => Err(unhealthy(None)),
        }
    })?;
    module.register_method("getVersion", |_, context, _| -> Reply<Value> {
        Ok(json!({ "solana-core": SOLANA_CORE, "feature-set": context.feature_set }))
    })?;
    module.register_method("getIdentity", |_, context, _| -> Reply<Value> {
        Ok(json!({ "identity": context.identity.load().to_string() }))
    })?;
    module.register_method("getGenesisHash", |_, context, _| -> Reply<String> { Ok(context.genesis_hash.to_string()) })?;
    module.register_method("getClusterNodes", |_, context, _| -> Reply<Value> { Ok(json!(**context.nodes.load())) })?;
    module.register_method("getSlot", |params, context, _| -> Reply<Slot> {
        let config: ContextConfig = Args::of(&params)?.optional(0)?.unwrap_or_default();
        Ok(bank(context, config.commitment, config.min_context_slot)?.slot())
    })?;
    module.register_method("getBlockHeight", |params, context, _| -> Reply<u64> {
        let config: ContextConfig = Args::of(&params)?.optional(0)?.unwrap_or_default();
        Ok(bank(context, config.commitment, config.min_context_slot)?.block_height())
    })?;
    module.register_method("getTransactionCount", |params, context, _| -> Reply<u64> {
        let config: ContextConfig = Args::of(&params)?.optional(0)?.unwrap_or_default();
        Ok(bank(context, config.commitment, config.min_context_slot)?.transaction_count())
    })?;
    module.register_method("getHighestSnapshotSlot", |_, _, _| -> Reply<Value> {
        Err(jsonrpsee::types::ErrorObjectOwned::owned(-32008, "No snapshot", None::<()>))
    })?;
    module.register_method("getRecentPerformanceSamples", |params, context, _| -> Reply<Value> {
        let limit: usize = Args::of(&params)?.optional(0)?.unwrap_or(720);
        Ok(context
            .history
            .samples(limit.min(720))
            .into_iter()
            .map(|sample| {
                json!({ "slot": sample.slot, "numSlots": sample.slots, "numTransactions": sample.transactions,
                        "numNonVoteTransactions": null, "samplePeriodSecs": sample.seconds })
            })
            .collect())
    })?;
    module.register_method("getBlockProduction", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: Value = args.optional(0)?.unwrap_or(Value::Null);
        let commitment: Option<CommitmentConfig> = serde_json::from_value(config.clone()).ok();
        let bank = context.bank(commitment);
        let first = bank.epoch_schedule().get_first_slot_in_epoch(bank.epoch());
        let from = config["range"]["firstSlot"].as_u64().unwrap_or(first);
        let to = config["range"]["lastSlot"].as_u64().unwrap_or(bank.slot()).min(bank.slot());
        let wanted = config["identity"].as_str();
        let mut production: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for slot in from..=to {
            let Some(leader) = bank.leader_at(slot) else { continue };
            let leader = leader.identity.to_string();
            if wanted.is_none_or(|wanted| wanted == leader) {
                let counts = production.entry(leader).or_default();
                counts.0 += 1;
                counts.1 += u64::from(context.history.is_rooted(slot));
            }
        }
        let by_identity: Map<String, Value> =
            production.into_iter().map(|(leader, counts)| (leader, json!([counts.0, counts.1]))).collect();
        let value = json!({ "byIdentity": by_identity, "range": { "firstSlot": from, "lastSlot": to } });
        Ok(json!(crate::params::with_context(&bank, value)))
    })?;
    Ok(())
}
