//! Blocks of the recent past, and what was paid in them.

use {
    crate::{
        context::Context,
        encode,
        error::{Reply, block_cleaned_up, block_not_available, invalid, not_encodable, slot_skipped},
        params::{Args, at_least_confirmed, bank_of, parse},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError, types::ErrorObjectOwned},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::{
        config::{RpcBlockConfig, RpcBlocksConfigWrapper, RpcContextConfig, RpcEncodingConfigWrapper},
        response::{RpcPrioritizationFee, UiConfirmedBlock},
    },
    solana_sdk_ids::compute_budget,
    solana_transaction_status::{BlockEncodingOptions, UiTransactionEncoding},
    std::sync::Arc,
    tandem_bank::Bank,
    tandem_types::{Pubkey, Slot, UnixTimestamp},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_blocking_method("getBlock", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let config: Option<RpcEncodingConfigWrapper<RpcBlockConfig>> = args.optional(1)?;
        block(&context, args.required(0)?, config.map(|config| config.convert_to_current()).unwrap_or_default())
    })?;
    module.register_method("getBlockTime", |params, context, _| -> Reply<Option<UnixTimestamp>> {
        let slot: Slot = Args::of(&params, 1..=1)?.required(0)?;
        let tip = context.bank(Some(CommitmentConfig::processed()));
        if slot == 0 {
            return Ok(Some(tip.genesis_creation_time()));
        }
        let time = context.history.block_time(slot).filter(|_| context.is_on_chain(&tip, slot));
        time.map(Some).ok_or_else(|| missing(context, slot))
    })?;
    module.register_blocking_method("getBlocks", |params, context, _| -> Reply<Vec<Slot>> {
        let args = Args::of(&params, 1..=3)?;
        // The end may be left out, and the config stand in its place.
        let second: Option<RpcBlocksConfigWrapper> = args.optional(1)?;
        let (end, config) = second.map(|second| second.unzip()).unwrap_or_default();
        let tip = confirmed_tip(&context, args.optional(2)?.or(config))?;
        let start: Slot = args.required(0)?;
        let end = end.unwrap_or_else(|| start.saturating_add(BLOCKS_RANGE_MAX)).min(tip.slot());
        if end.saturating_sub(start) > BLOCKS_RANGE_MAX {
            return Err(invalid(format!("Slot range too large; max {BLOCKS_RANGE_MAX}")));
        }
        Ok(if end < start { Vec::new() } else { context.blocks(&tip, start..=end, usize::MAX) })
    })?;
    module.register_blocking_method("getBlocksWithLimit", |params, context, _| -> Reply<Vec<Slot>> {
        let args = Args::of(&params, 2..=3)?;
        let (start, limit): (Slot, usize) = (args.required(0)?, args.required(1)?);
        let tip = confirmed_tip(&context, args.optional(2)?)?;
        if limit as u64 > BLOCKS_RANGE_MAX {
            return Err(invalid(format!("Limit too large; max {BLOCKS_RANGE_MAX}")));
        }
        Ok(context.blocks(&tip, start..=Slot::MAX, limit))
    })?;
    for name in ["getFirstAvailableBlock", "minimumLedgerSlot"] {
        module.register_method(name, |params, context, _| -> Reply<Slot> {
            Args::none(&params)?;
            Ok(context.history.first_block().unwrap_or_default())
        })?;
    }
    module.register_blocking_method("getRecentPrioritizationFees", |params, context, _| {
        let keys: Vec<String> = Args::of(&params, 0..=1)?.or_default(0)?;
        if keys.len() > ACCOUNT_LOCKS_MAX {
            return Err(invalid(format!("Too many inputs provided; max {ACCOUNT_LOCKS_MAX}")));
        }
        let keys = keys.iter().map(|text| parse(text)).collect::<Reply<Vec<Pubkey>>>()?;
        Ok(prioritization_fees(&context, &keys))
    })?;
    Ok(())
}

fn confirmed_tip(context: &Context, config: Option<RpcContextConfig>) -> Reply<Arc<Bank>> {
    let config = config.unwrap_or_default();
    at_least_confirmed(config.commitment)?;
    bank_of(context, config)
}

/// Why there is no block of `slot` to show.
fn missing(context: &Context, slot: Slot) -> ErrorObjectOwned {
    let first = context.history.first_block().unwrap_or_default();
    if slot > context.bank(None).slot() {
        block_not_available(slot)
    } else if slot < first {
        block_cleaned_up(slot, first)
    } else {
        slot_skipped(slot)
    }
}

fn block(context: &Context, slot: Slot, config: RpcBlockConfig) -> Reply<UiConfirmedBlock> {
    let tip = context.bank(Some(at_least_confirmed(config.commitment)?));
    let block = context.history.block(slot).filter(|_| context.is_on_chain(&tip, slot));
    let options = BlockEncodingOptions {
        transaction_details: config.transaction_details.unwrap_or_default(),
        show_rewards: config.rewards.unwrap_or(true),
        max_supported_transaction_version: config.max_supported_transaction_version,
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    let block = block.ok_or_else(|| missing(context, slot))?;
    encode::block(&block).encode_with_options(encoding, options).map_err(not_encodable)
}

/// Of each recent block the lowest price, in millionths of a lamport per compute unit, that bought a transaction a place in
/// it: of any transaction, or, if that is more, of one that wrote to one of `keys` (prioritization_fee.rs).
fn prioritization_fees(context: &Context, keys: &[Pubkey]) -> Vec<RpcPrioritizationFee> {
    let tip = context.bank(Some(CommitmentConfig::processed()));
    let blocks = context.history.newest(tip.slot(), FEE_BLOCKS).into_iter().rev();
    let on_chain = blocks.filter(|block| context.is_on_chain(&tip, block.slot));
    let lowest = |prices: &mut dyn Iterator<Item = u64>| prices.min().unwrap_or(0);
    on_chain
        .map(|block| {
            let paying = || block.transactions.iter().filter(|record| !record.info.is_simple_vote);
            let block_price = lowest(&mut paying().map(unit_price));
            let key_prices =
                keys.iter().map(|key| lowest(&mut paying().filter(|record| writes(record, key)).map(unit_price)));
            RpcPrioritizationFee { slot: block.slot, prioritization_fee: key_prices.fold(block_price, u64::max) }
        })
        .collect()
}

fn unit_price(record: &crate::TransactionRecord) -> u64 {
    let message = &record.transaction.message;
    let keys = message.static_account_keys();
    let to_budget = message
        .instructions()
        .iter()
        .filter(|each| keys.get(usize::from(each.program_id_index)).is_some_and(compute_budget::check_id));
    // ComputeBudgetInstruction::SetComputeUnitPrice: its tag and the price.
    let price = |data: &[u8]| {
        data.strip_prefix(&[3]).and_then(|price| price.first_chunk()).map(|price| u64::from_le_bytes(*price))
    };
    to_budget.filter_map(|each| price(&each.data)).next().unwrap_or(0)
}

fn writes(record: &crate::TransactionRecord, key: &Pubkey) -> bool {
    let message = &record.transaction.message;
    let Some(index) = record.accounts.iter().position(|account| account == key) else { return false };
    let own = message.static_account_keys().len();
    if index < own {
        return message.is_maybe_writable(index, None);
    }
    let writable = message.address_table_lookups().unwrap_or_default().iter().map(|table| table.writable_indexes.len());
    index - own < writable.sum()
}

/// Agave request.rs: MAX_GET_CONFIRMED_BLOCKS_RANGE; rpc.rs: MAX_TX_ACCOUNT_LOCKS; prioritization_fee_cache.rs:
/// MAX_NUM_RECENT_BLOCKS.
const BLOCKS_RANGE_MAX: u64 = 500_000;
const ACCOUNT_LOCKS_MAX: usize = 128;
const FEE_BLOCKS: usize = 150;
