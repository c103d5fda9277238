//! Blocks of the recent past.

use {
    crate::{
        context::Context,
        encode::{self, Details, Encoding},
        error::{Reply, block_not_available, invalid, slot_skipped},
        params::Args,
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::{Value, json},
    solana_commitment_config::{CommitmentConfig, CommitmentLevel},
    std::sync::Arc,
    tandem_types::Slot,
};

/// Agave request.rs: MAX_GET_CONFIRMED_BLOCKS_RANGE.
const BLOCKS_RANGE_MAX: u64 = 500_000;

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getBlock", |params, context, _| block(&Args::of(&params)?, context))?;
    module.register_method("getBlockTime", |params, context, _| -> Reply<Value> {
        let slot: Slot = Args::of(&params)?.required(0)?;
        match context.history.block_time(slot) {
            Some(time) => Ok(json!(time)),
            None if slot <= context.bank(None).slot() => Err(slot_skipped(slot)),
            None => Err(block_not_available(slot)),
        }
    })?;
    module.register_method("getBlocks", |params, context, _| -> Reply<Vec<Slot>> {
        let args = Args::of(&params)?;
        let from: Slot = args.required(0)?;
        // The end may be left out, and the config stand in its place.
        let second: Option<Value> = args.optional(1)?;
        let (to, commitment) = match second {
            Some(Value::Number(to)) => (to.as_u64(), args.optional::<CommitmentConfig>(2)?),
            Some(config) => (None, serde_json::from_value(config).map(Some).map_err(invalid)?),
            None => (None, args.optional::<CommitmentConfig>(2)?),
        };
        let to = to.unwrap_or(from.saturating_add(BLOCKS_RANGE_MAX)).min(from.saturating_add(BLOCKS_RANGE_MAX));
        Ok(chain(context, commitment, from, to, usize::MAX))
    })?;
    module.register_method("getBlocksWithLimit", |params, context, _| -> Reply<Vec<Slot>> {
        let args = Args::of(&params)?;
        let (from, limit): (Slot, usize) = (args.required(0)?, args.required(1)?);
        if limit as u64 > BLOCKS_RANGE_MAX {
            return Err(invalid(format!("Limit too large; max {BLOCKS_RANGE_MAX}")));
        }
        Ok(chain(context, args.optional(2)?, from, Slot::MAX, limit))
    })?;
    module.register_method("getFirstAvailableBlock", |_, context, _| -> Reply<Slot> {
        Ok(context.history.first_block().unwrap_or_default())
    })?;
    module.register_method("minimumLedgerSlot", |_, context, _| -> Reply<Slot> {
        Ok(context.history.first_block().unwrap_or_default())
    })?;
    Ok(())
}

/// Slots of blocks between `from` and `to`: the rooted ones, and, for `confirmed`, those up to the confirmed block.
fn chain(context: &Context, commitment: Option<CommitmentConfig>, from: Slot, to: Slot, limit: usize) -> Vec<Slot> {
    let mut slots = context.history.rooted(from, to, limit);
    if commitment.is_some_and(|config| config.commitment != CommitmentLevel::Finalized) {
        let rooted = context.history.highest_rooted().unwrap_or_default();
        let mut newer = Vec::new();
        let mut bank = Some(context.bank(commitment));
        while let Some(current) = bank.filter(|bank| bank.slot() > rooted) {
            if (from..=to).contains(&current.slot()) {
                newer.push(current.slot());
            }
            bank = current.parent();
        }
        slots.extend(newer.into_iter().rev());
        slots.truncate(limit);
    }
    slots
}

fn block(args: &Args, context: &Context) -> Reply<Value> {
    let slot: Slot = args.required(0)?;
    let config: Value = args.optional(1)?.unwrap_or(Value::Null);
    // Old clients give the encoding alone.
    let encoding = Encoding::of(config.as_str().or(config["encoding"].as_str())).map_err(invalid)?;
    let details = match config["transactionDetails"].as_str().unwrap_or("full") {
        "full" => Details::Full,
        "accounts" => Details::Accounts,
        "signatures" => Details::Signatures,
        "none" => Details::None,
        other => return Err(invalid(format!("unknown transactionDetails {other:?}"))),
    };
    let commitment: Option<CommitmentConfig> = serde_json::from_value(config.clone()).ok();
    let highest = context.bank(commitment).slot();
    if slot > highest {
        return Err(block_not_available(slot));
    }
    let on_chain = context.history.is_rooted(slot) || chain(context, commitment, slot, slot, 1).contains(&slot);
    match context.history.block(slot) {
        Some(block) if on_chain => Ok(encode::block(
            &Arc::unwrap_or_clone(block),
            encoding,
            details,
            config["maxSupportedTransactionVersion"].is_u64(),
            config["rewards"].as_bool().unwrap_or(true),
        )),
        Some(_) => Err(slot_skipped(slot)),
        None if on_chain => Err(block_not_available(slot)),
        None => Err(slot_skipped(slot)),
    }
}
