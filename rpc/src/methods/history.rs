//! What became of transactions.

use {
    crate::{
        context::Context,
        encode,
        error::{Reply, invalid, not_encodable, transaction_not_found},
        history::{BlockRecord, TransactionRecord},
        params::{Args, at_least_confirmed, bank_of, parse, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::{
        config::{
            RpcContextConfig, RpcEncodingConfigWrapper, RpcSignatureStatusConfig, RpcSignaturesForAddressConfig,
            RpcTransactionConfig,
        },
        response::{Response, RpcConfirmedTransactionStatusWithSignature},
    },
    solana_transaction_status::{
        ConfirmedTransactionWithStatusMeta, EncodedConfirmedTransactionWithStatusMeta, TransactionConfirmationStatus,
        TransactionStatus, TransactionWithStatusMeta, UiTransactionEncoding, extract_and_fmt_memos,
    },
    std::sync::Arc,
    tandem_types::{Pubkey, Signature},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getSignatureStatuses", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let signatures: Vec<String> = args.required(0)?;
        if signatures.len() > STATUSES_MAX {
            return Err(invalid(format!("Too many inputs provided; max {STATUSES_MAX}")));
        }
        let signatures = signatures.iter().map(|text| parse(text)).collect::<Reply<Vec<Signature>>>()?;
        let config: Option<RpcSignatureStatusConfig> = args.optional(1)?;
        Ok(statuses(context, &signatures, config.is_some_and(|config| config.search_transaction_history)))
    })?;
    module.register_blocking_method("getTransaction", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let config: Option<RpcEncodingConfigWrapper<RpcTransactionConfig>> = args.optional(1)?;
        let config = config.map(|config| config.convert_to_current()).unwrap_or_default();
        transaction(&context, &args.signature(0)?, config)
    })?;
    module.register_blocking_method("getSignaturesForAddress", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        signatures_for_address(&context, &args.pubkey(0)?, args.or_default(1)?)
    })?;
    Ok(())
}

fn statuses(context: &Context, signatures: &[Signature], in_history: bool) -> Response<Vec<Option<TransactionStatus>>> {
    let bank = context.bank(Some(CommitmentConfig::processed()));
    let status = |signature| match context.status(signature) {
        None if in_history => context.old_status(signature),
        status => status,
    };
    with_context(&bank, signatures.iter().map(status).collect())
}

fn transaction(
    context: &Context,
    signature: &Signature,
    config: RpcTransactionConfig,
) -> Reply<Option<EncodedConfirmedTransactionWithStatusMeta>> {
    let tip = context.bank(Some(at_least_confirmed(config.commitment)?));
    let found = context.history.transaction(signature).filter(|(block, _)| context.is_on_chain(&tip, block.slot));
    let Some((block, index)) = found else { return Ok(None) };
    let transaction = ConfirmedTransactionWithStatusMeta {
        slot: block.slot,
        tx_with_meta: TransactionWithStatusMeta::Complete(encode::transaction(&block.transactions[index])),
        block_time: Some(block.block_time),
        index: index_in_block(index),
    };
    let encoding = config.encoding.unwrap_or(UiTransactionEncoding::Json);
    transaction.encode(encoding, config.max_supported_transaction_version).map(Some).map_err(not_encodable)
}

/// Newest first: those before `before`, if given, down to the one after `until`.
fn signatures_for_address(
    context: &Context,
    address: &Pubkey,
    config: RpcSignaturesForAddressConfig,
) -> Reply<Vec<RpcConfirmedTransactionStatusWithSignature>> {
    let before: Option<Signature> = config.before.as_deref().map(parse).transpose()?;
    let until: Option<Signature> = config.until.as_deref().map(parse).transpose()?;
    let limit = config.limit.unwrap_or(SIGNATURES_MAX);
    if limit == 0 || limit > SIGNATURES_MAX {
        return Err(invalid(format!("Invalid limit; max {SIGNATURES_MAX}")));
    }
    at_least_confirmed(config.commitment)?;
    let tip = bank_of(
        context,
        RpcContextConfig { commitment: config.commitment, min_context_slot: config.min_context_slot },
    )?;
    // Neither needs to name the address.
    for bound in [before, until].into_iter().flatten() {
        if context.history.transaction(&bound).is_none() {
            return Err(transaction_not_found(&bound));
        }
    }
    let finalized = context.bank(None).slot();
    let blocks = context.history.newest(tip.slot(), usize::MAX);
    let blocks = blocks.iter().filter(|block| context.is_on_chain(&tip, block.slot));
    let all = blocks.flat_map(|block| (0..block.transactions.len()).rev().map(move |index| (block, index)));
    let signature_of = |(block, index): &(&Arc<BlockRecord>, usize)| block.transactions[*index].info.signature;
    Ok(all
        .skip_while(|found| before.is_some_and(|before| signature_of(found) != before))
        .skip(usize::from(before.is_some()))
        .take_while(|found| until.is_none_or(|until| signature_of(found) != until))
        .filter(|(block, index)| block.transactions[*index].accounts.contains(address))
        .take(limit)
        .map(|(block, index)| {
            let status = match block.slot <= finalized {
                true => TransactionConfirmationStatus::Finalized,
                false => TransactionConfirmationStatus::Confirmed,
            };
            shown(block, index, status)
        })
        .collect())
}

fn shown(
    block: &BlockRecord,
    index: usize,
    status: TransactionConfirmationStatus,
) -> RpcConfirmedTransactionStatusWithSignature {
    let record: &TransactionRecord = &block.transactions[index];
    RpcConfirmedTransactionStatusWithSignature {
        signature: record.info.signature.to_string(),
        slot: block.slot,
        err: record.info.status.clone().err().map(Into::into),
        memo: extract_and_fmt_memos(&encode::transaction(record)),
        block_time: Some(block.block_time),
        confirmation_status: Some(status),
        transaction_index: Some(index_in_block(index)),
    }
}

fn index_in_block(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Agave request.rs: MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS, MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT.
const STATUSES_MAX: usize = 256;
const SIGNATURES_MAX: usize = 1000;
