//! Epochs: schedule, leaders, stakes, inflation.

use {
    super::cluster::no_schedule,
    crate::{
        context::Context,
        error::{Reply, block_cleaned_up, block_not_available, invalid, refused},
        params::{Args, bank_of, parse, with_context},
    },
    agave_feature_set::{commission_rate_in_basis_points, upgrade_bpf_stake_program_to_v5},
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    solana_commitment_config::CommitmentConfig,
    solana_epoch_info::EpochInfo,
    solana_rpc_client_types::{
        config::{
            RpcContextConfig, RpcEpochConfig, RpcGetVoteAccountsConfig, RpcLeaderScheduleConfig,
            RpcLeaderScheduleConfigWrapper,
        },
        response::{
            Response, RpcInflationGovernor, RpcInflationRate, RpcInflationReward, RpcLeaderSchedule,
            RpcVoteAccountInfo, RpcVoteAccountStatus,
        },
    },
    std::collections::HashMap,
    tandem_bank::Bank,
    tandem_epoch::{RewardInfo, RewardType, VoteAccount, inflation_start_slot},
    tandem_types::{EpochSchedule, Pubkey, Slot},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getEpochInfo", |params, context, _| -> Reply<EpochInfo> {
        let bank = bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?;
        let (epoch, slot_index) = bank.epoch_schedule().get_epoch_and_slot_index(bank.slot());
        Ok(EpochInfo {
            epoch,
            slot_index,
            slots_in_epoch: bank.epoch_schedule().get_slots_in_epoch(epoch),
            absolute_slot: bank.slot(),
            block_height: bank.block_height(),
            transaction_count: Some(bank.transaction_count()),
        })
    })?;
    module.register_method("getEpochSchedule", |params, context, _| -> Reply<EpochSchedule> {
        Args::none(&params)?;
        Ok(context.bank(None).epoch_schedule().clone())
    })?;
    module.register_blocking_method("getLeaderSchedule", |params, context, _| -> Reply<Option<RpcLeaderSchedule>> {
        let args = Args::of(&params, 0..=2)?;
        // The slot, or the config in its place.
        let first: Option<RpcLeaderScheduleConfigWrapper> = args.optional(0)?;
        let (slot, config) = first.map(|first| first.unzip()).unwrap_or_default();
        let config = config.or(args.optional(1)?).unwrap_or_default();
        leader_schedule(&context, slot, config)
    })?;
    module.register_method("getSlotLeader", |params, context, _| -> Reply<String> {
        Ok(bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?.leader().identity.to_string())
    })?;
    module.register_method("getSlotLeaders", |params, context, _| -> Reply<Vec<String>> {
        let args = Args::of(&params, 2..=2)?;
        let (start, limit): (Slot, u64) = (args.required(0)?, args.required(1)?);
        if limit > SLOT_LEADERS_MAX {
            return Err(invalid(format!("Invalid limit; max {SLOT_LEADERS_MAX}")));
        }
        let bank = context.bank(Some(CommitmentConfig::processed()));
        let leader = |slot| {
            let leader = bank.leader_at(slot).ok_or_else(|| no_schedule(bank.epoch_schedule().get_epoch(slot)))?;
            Ok(leader.identity.to_string())
        };
        (start..start.saturating_add(limit)).map(leader).collect()
    })?;
    module.register_blocking_method("getVoteAccounts", |params, context, _| {
        vote_accounts(&context, Args::of(&params, 0..=1)?.or_default(0)?)
    })?;
    module.register_method("getStakeMinimumDelegation", |params, context, _| -> Reply<Response<u64>> {
        let bank = bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?;
        let raised = bank.feature_set().is_active(&upgrade_bpf_stake_program_to_v5::id());
        Ok(with_context(&bank, if raised { LAMPORTS_PER_SOL } else { 1 }))
    })?;
    module.register_method("getInflationGovernor", |params, context, _| -> Reply<RpcInflationGovernor> {
        Ok((*context.bank(Args::of(&params, 0..=1)?.optional(0)?).inflation()).into())
    })?;
    module.register_method("getInflationRate", |params, context, _| -> Reply<RpcInflationRate> {
        Args::none(&params)?;
        let bank = context.bank(None);
        let (years, inflation) = (inflation_years(&bank), bank.inflation());
        Ok(RpcInflationRate {
            total: inflation.total(years),
            validator: inflation.validator(years),
            foundation: inflation.foundation(years),
            epoch: bank.epoch(),
        })
    })?;
    module.register_blocking_method("getInflationReward", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let addresses: Vec<String> = args.required(0)?;
        let addresses = addresses.iter().map(|text| parse(text)).collect::<Reply<Vec<Pubkey>>>()?;
        inflation_rewards(&context, &addresses, args.or_default(1)?)
    })?;
    Ok(())
}

fn leader_schedule(
    context: &Context,
    slot: Option<Slot>,
    config: RpcLeaderScheduleConfig,
) -> Reply<Option<RpcLeaderSchedule>> {
    let wanted: Option<Pubkey> = config.identity.as_deref().map(parse).transpose()?;
    let bank = context.bank(config.commitment);
    let epoch = bank.epoch_schedule().get_epoch(slot.unwrap_or(bank.slot()));
    // A younger bank may know one epoch more.
    let newest = context.bank(Some(CommitmentConfig::processed()));
    let Some(schedule) = bank.leader_schedule(epoch).or_else(|| newest.leader_schedule(epoch)) else { return Ok(None) };
    let mut slots: HashMap<Pubkey, Vec<usize>> = HashMap::new();
    for (index, leader) in schedule.iter().enumerate() {
        if wanted.is_none_or(|wanted| wanted == leader.identity) {
            slots.entry(leader.identity).or_default().push(index);
        }
    }
    Ok(Some(slots.into_iter().map(|(leader, slots)| (leader.to_string(), slots)).collect()))
}

fn vote_accounts(context: &Context, config: RpcGetVoteAccountsConfig) -> Reply<RpcVoteAccountStatus> {
    let wanted: Option<Pubkey> = config.vote_pubkey.as_deref().map(parse).transpose()?;
    let bank = context.bank(config.commitment);
    let epoch_stakes = bank.epoch_stakes(bank.epoch()).ok_or_else(|| refused("Invalid request"))?;
    let in_basis_points = bank.feature_set().is_active(&commission_rate_in_basis_points::id());
    let distance = config.delinquent_slot_distance.unwrap_or(DELINQUENT_SLOT_DISTANCE);
    let (current, mut delinquent): (Vec<_>, Vec<_>) = bank
        .vote_accounts()
        .iter()
        .filter(|(key, ..)| wanted.is_none_or(|wanted| wanted == **key))
        .map(|(key, stake, account)| {
            let of_this_epoch = epoch_stakes.vote_account(key).is_some();
            vote_account(key, stake, account, of_this_epoch, in_basis_points)
        })
        // Below `distance` it is enough to have voted at all.
        .partition(|info| info.last_vote > bank.slot().saturating_sub(distance));
    if !config.keep_unstaked_delinquents.unwrap_or(false) {
        delinquent.retain(|info| info.activated_stake > 0);
    }
    Ok(RpcVoteAccountStatus { current, delinquent })
}

fn vote_account(
    key: &Pubkey,
    stake: u64,
    account: &VoteAccount,
    epoch_vote_account: bool,
    in_basis_points: bool,
) -> RpcVoteAccountInfo {
    let state = account.state();
    let (commission, basis_points) = match in_basis_points {
        true => {
            let basis_points = state.inflation_rewards_commission_bps;
            (u8::try_from(basis_points.div_ceil(100)).unwrap_or(u8::MAX), basis_points)
        }
        false => (state.commission_percent(), u16::from(state.commission_percent()) * 100),
    };
    let epochs_before = state.epoch_credits.len().saturating_sub(EPOCH_CREDITS_SHOWN);
    RpcVoteAccountInfo {
        vote_pubkey: key.to_string(),
        node_pubkey: account.node().to_string(),
        activated_stake: stake,
        commission,
        inflation_rewards_commission_bps: Some(basis_points),
        epoch_vote_account,
        epoch_credits: state
            .epoch_credits
            .iter()
            .skip(epochs_before)
            .map(|entry| (entry.epoch, entry.credits, entry.previous))
            .collect(),
        last_vote: state.last_voted_slot().unwrap_or(0),
        root_slot: state.root.unwrap_or(0),
    }
}

/// Since inflation began, counted from the epoch before it was switched on (bank.rs: slot_in_year_for_inflation).
fn inflation_years(bank: &Bank) -> f64 {
    let schedule = bank.epoch_schedule();
    let switched_on = schedule.get_epoch(inflation_start_slot(bank.feature_set()));
    let first = schedule.get_first_slot_in_epoch(switched_on.saturating_sub(1));
    let now = schedule.get_first_slot_in_epoch(bank.epoch());
    // Slots may have had other lengths before; a rate that is shown, and pays nobody, can do without that.
    now.saturating_sub(first) as f64 / bank.slot_params().slots_per_year
}

/// Rewards for an epoch are in the first blocks of the next one: commissions in the first, stakes' in those after it.
fn inflation_rewards(
    context: &Context,
    addresses: &[Pubkey],
    config: RpcEpochConfig,
) -> Reply<Vec<Option<RpcInflationReward>>> {
    let bank = bank_of(
        context,
        RpcContextConfig { commitment: config.commitment, min_context_slot: config.min_context_slot },
    )?;
    let schedule = bank.epoch_schedule();
    let epoch = config.epoch.unwrap_or_else(|| schedule.get_epoch(bank.slot()).saturating_sub(1));
    let first_slot = schedule.get_first_slot_in_epoch(epoch.saturating_add(1));
    let first_kept = context.history.first_block().unwrap_or_default();
    if first_slot < first_kept {
        return Err(block_cleaned_up(first_slot, first_kept));
    }
    let last_slot = schedule.get_last_slot_in_epoch(epoch.saturating_add(1));
    let blocks = context.blocks(&bank, first_slot..=last_slot, usize::MAX);
    if blocks.is_empty() {
        return Err(block_not_available(first_slot));
    }
    let mut found: HashMap<Pubkey, (Slot, RewardInfo)> = HashMap::new();
    for block in blocks.into_iter().filter_map(|slot| context.history.block(slot)) {
        for (key, info) in block.rewards.iter().filter(|(key, info)| is_inflation(info) && addresses.contains(key)) {
            found.entry(*key).or_insert((block.slot, *info));
        }
    }
    let reward = |address| {
        found.get(address).map(|(slot, info)| RpcInflationReward {
            epoch,
            effective_slot: *slot,
            amount: info.lamports.unsigned_abs(),
            post_balance: info.post_balance,
            commission: info.commission_bps.map(|bps| u8::try_from(bps / 100).unwrap_or(u8::MAX)),
            commission_bps: info.commission_bps,
        })
    };
    Ok(addresses.iter().map(reward).collect())
}

fn is_inflation(info: &RewardInfo) -> bool {
    match info.reward_type {
        RewardType::Staking | RewardType::Voting | RewardType::DeactivatedStake => true,
        RewardType::Fee | RewardType::Rent => false,
    }
}

/// Agave request.rs: DELINQUENT_VALIDATOR_SLOT_DISTANCE, MAX_GET_SLOT_LEADERS, MAX_RPC_VOTE_ACCOUNT_INFO_EPOCH_CREDITS_HISTORY.
const DELINQUENT_SLOT_DISTANCE: u64 = 128;
const SLOT_LEADERS_MAX: u64 = 5000;
const EPOCH_CREDITS_SHOWN: usize = 5;
const LAMPORTS_PER_SOL: u64 = 1_000_000_000;
