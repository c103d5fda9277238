//! Epochs: schedule, leaders, stakes, inflation.

use {
    crate::{
        context::Context,
        error::{Reply, invalid},
        params::{Args, ContextConfig, bank, pubkey, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::{Map, Value, json},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::config::{RpcEpochConfig, RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig},
    std::collections::BTreeMap,
    tandem_types::Slot,
};

/// Agave request.rs: DELINQUENT_VALIDATOR_SLOT_DISTANCE, MAX_GET_SLOT_LEADERS.
const DELINQUENT_SLOT_DISTANCE: u64 = 128;
const SLOT_LEADERS_MAX: u64 = 5000;

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getEpochInfo", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let (epoch, index) = bank.epoch_schedule().get_epoch_and_slot_index(bank.slot());
        Ok(json!({
            "epoch": epoch,
            "slotIndex": index,
            "slotsInEpoch": bank.epoch_schedule().get_slots_in_epoch(epoch),
            "absoluteSlot": bank.slot(),
            "blockHeight": bank.block_height(),
            "transactionCount": bank.transaction_count(),
        }))
    })?;
    module.register_method("getEpochSchedule", |_, context, _| -> Reply<Value> {
        serde_json::to_value(context.bank(None).epoch_schedule()).map_err(crate::error::internal)
    })?;
    module.register_method("getLeaderSchedule", |params, context, _| leader_schedule(&Args::of(&params)?, context))?;
    module.register_method("getSlotLeader", |params, context, _| -> Reply<String> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        Ok(bank.leader().identity.to_string())
    })?;
    module.register_method("getSlotLeaders", |params, context, _| -> Reply<Vec<String>> {
        let args = Args::of(&params)?;
        let (start, limit): (Slot, u64) = (args.required(0)?, args.required(1)?);
        if limit == 0 || limit > SLOT_LEADERS_MAX {
            return Err(invalid(format!("Invalid limit; max {SLOT_LEADERS_MAX}")));
        }
        let bank = context.bank(Some(CommitmentConfig::processed()));
        let slots = start..start.saturating_add(limit);
        slots
            .map(|slot| bank.leader_at(slot).map(|leader| leader.identity.to_string()))
            .take_while(Option::is_some)
            .map(|leader| leader.ok_or_else(|| invalid("Invalid slot range: leader schedule is unavailable")))
            .collect::<Reply<Vec<String>>>()
            .and_then(|leaders| {
                if leaders.is_empty() {
                    return Err(invalid("Invalid slot range: leader schedule for the epoch is unavailable"));
                }
                Ok(leaders)
            })
    })?;
    module.register_method("getVoteAccounts", |params, context, _| vote_accounts(&Args::of(&params)?, context))?;
    module.register_method("getStakeMinimumDelegation", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        // One lamport until stake_raise_minimum_delegation_to_1_sol, which is not in 4.2.2's Core BPF program.
        Ok(json!(with_context(&bank, 1)))
    })?;
    module.register_method("getInflationGovernor", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let bank = context.bank(args.optional::<CommitmentConfig>(0)?);
        let inflation = bank.inflation();
        Ok(json!({ "initial": inflation.initial, "terminal": inflation.terminal, "taper": inflation.taper,
                   "foundation": inflation.foundation, "foundationTerm": inflation.foundation_term }))
    })?;
    module.register_method("getInflationRate", |_, context, _| -> Reply<Value> {
        let bank = context.bank(None);
        let seconds = bank.epoch_schedule().get_first_slot_in_epoch(bank.epoch()) as f64 * bank.ns_per_slot() as f64 / 1e9;
        let years = seconds / SECONDS_PER_YEAR;
        let inflation = bank.inflation();
        Ok(json!({ "total": inflation.total(years), "validator": inflation.validator(years),
                   "foundation": inflation.foundation(years), "epoch": bank.epoch() }))
    })?;
    module.register_method("getInflationReward", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let addresses: Vec<String> = args.required(0)?;
        let config: RpcEpochConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let rewards: BTreeMap<String, u64> = bank
            .rewards()
            .into_iter()
            .map(|(key, info)| (key.to_string(), u64::try_from(info.lamports).unwrap_or_default()))
            .collect();
        // Rewards of past blocks are not kept yet: an address without one in this block has none.
        addresses
            .iter()
            .map(|address| {
                pubkey(address)?;
                Ok(rewards.get(address).map_or(Value::Null, |amount| {
                    json!({ "epoch": bank.epoch().saturating_sub(1), "effectiveSlot": bank.slot(), "amount": amount,
                            "postBalance": 0, "commission": null })
                }))
            })
            .collect()
    })?;
    Ok(())
}

const SECONDS_PER_YEAR: f64 = 365.242_199 * 86_400.0;

/// Parameters: an optional slot of the wanted epoch, and a config; or the config alone.
fn leader_schedule(args: &Args, context: &Context) -> Reply<Value> {
    let first: Option<Value> = args.optional(0)?;
    let (slot, config) = match first {
        Some(Value::Number(slot)) => (slot.as_u64(), args.optional::<RpcLeaderScheduleConfig>(1)?),
        Some(config) => (None, serde_json::from_value(config).map(Some).map_err(invalid)?),
        None => (None, args.optional::<RpcLeaderScheduleConfig>(1)?),
    };
    let config = config.unwrap_or_default();
    let bank = bank(context, config.commitment, None)?;
    let epoch = bank.epoch_schedule().get_epoch(slot.unwrap_or(bank.slot()));
    let Some(schedule) = bank.leader_schedule(epoch) else { return Ok(Value::Null) };
    let wanted = config.identity.as_deref().map(pubkey).transpose()?;
    let mut slots: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (index, leader) in (0u64..).zip(schedule.iter()) {
        if wanted.is_none_or(|wanted| wanted == leader.identity) {
            slots.entry(leader.identity.to_string()).or_default().push(index);
        }
    }
    Ok(slots.into_iter().map(|(leader, slots)| (leader, json!(slots))).collect::<Map<String, Value>>().into())
}

fn vote_accounts(args: &Args, context: &Context) -> Reply<Value> {
    let config: RpcGetVoteAccountsConfig = args.optional(0)?.unwrap_or_default();
    let bank = bank(context, config.commitment, None)?;
    let wanted = config.vote_pubkey.as_deref().map(pubkey).transpose()?;
    let distance = config.delinquent_slot_distance.unwrap_or(DELINQUENT_SLOT_DISTANCE);
    let epoch_stakes = bank.epoch_stakes(bank.epoch());
    let (mut current, mut delinquent) = (Vec::new(), Vec::new());
    for (key, stake, account) in bank.vote_accounts().iter() {
        if wanted.is_some_and(|wanted| wanted != *key) {
            continue;
        }
        let state = account.state();
        let last_vote = state.votes.last().map_or(0, |vote| vote.slot);
        let credits: Vec<(u64, u64, u64)> =
            state.epoch_credits.iter().rev().take(5).rev().map(|entry| (entry.0, entry.1, entry.2)).collect();
        let info = json!({
            "votePubkey": key.to_string(),
            "nodePubkey": account.node().to_string(),
            "activatedStake": stake,
            "commission": state.inflation_rewards_commission_bps.div_ceil(100).min(255),
            "inflationRewardsCommissionBps": state.inflation_rewards_commission_bps,
            "epochVoteAccount": epoch_stakes.as_ref().is_some_and(|stakes| stakes.vote_account(key).is_some()),
            "epochCredits": credits,
            "lastVote": last_vote,
            "rootSlot": state.root_slot.unwrap_or_default(),
        });
        if last_vote.saturating_add(distance) > bank.slot() {
            current.push(info);
        } else if stake > 0 || config.keep_unstaked_delinquents.unwrap_or(false) {
            delinquent.push(info);
        }
    }
    Ok(json!({ "current": current, "delinquent": delinquent }))
}
