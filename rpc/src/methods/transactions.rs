//! Sending, simulating and following transactions; the faucet.

use {
    super::accounts,
    crate::{
        context::{ChainEvent, Context, SubmitError},
        encode::{self, Encoding},
        error::{Reply, bad_signature, internal, invalid, preflight, unhealthy},
        params::{Args, ContextConfig, bank, hash, pubkey, signature, transaction, with_context},
    },
    base64::{Engine, prelude::BASE64_STANDARD},
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::{Value, json},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::config::{
        RpcAccountInfoConfig, RpcRequestAirdropConfig, RpcSendTransactionConfig, RpcSignaturesForAddressConfig,
        RpcSimulateTransactionConfig, UiTransactionEncoding,
    },
    tandem_bank::{Bank, SimulationResult, Verify},
    tandem_types::{Hash, Signature, TransactionError, VersionedTransaction},
};

/// Agave request.rs: MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS, MAX_GET_CONFIRMED_SIGNATURES_FOR_ADDRESS2_LIMIT.
const STATUSES_MAX: usize = 256;
const SIGNATURES_MAX: usize = 1000;

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getLatestBlockhash", |params, context, _| -> Reply<Value> {
        let config: ContextConfig = Args::of(&params)?.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let blockhash = bank.last_blockhash();
        let height = bank.blockhash_last_valid_block_height(&blockhash).unwrap_or(bank.block_height());
        Ok(json!(with_context(&bank, json!({ "blockhash": blockhash.to_string(), "lastValidBlockHeight": height }))))
    })?;
    module.register_method("isBlockhashValid", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        Ok(json!(with_context(&bank, bank.is_blockhash_valid(&hash(&args.required::<String>(0)?)?))))
    })?;
    module.register_method("getFeeForMessage", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        Ok(json!(with_context(&bank, fee(&bank, &args.required::<String>(0)?)?)))
    })?;
    module.register_method("getRecentPrioritizationFees", |_, context, _| -> Reply<Value> {
        let slot = context.bank(Some(CommitmentConfig::processed())).slot();
        Ok(json!([{ "slot": slot, "prioritizationFee": 0 }]))
    })?;
    module.register_method("sendTransaction", |params, context, _| send(&Args::of(&params)?, context))?;
    module.register_method("simulateTransaction", |params, context, _| simulate(&Args::of(&params)?, context))?;
    module.register_method("requestAirdrop", |params, context, _| airdrop(&Args::of(&params)?, context))?;
    module.register_method("getSignatureStatuses", |params, context, _| -> Reply<Value> {
        let signatures: Vec<String> = Args::of(&params)?.required(0)?;
        if signatures.len() > STATUSES_MAX {
            return Err(invalid(format!("Too many inputs provided; max {STATUSES_MAX}")));
        }
        let statuses = signatures
            .iter()
            .map(|text| {
                let signature = signature(text)?;
                Ok(context.status(&signature).map_or(Value::Null, |status| {
                    json!({
                        "slot": status.slot,
                        "confirmations": status.confirmations,
                        "status": encode::status(&status.result),
                        "err": encode::optional_error(&status.result),
                        "confirmationStatus": status.commitment.to_string(),
                    })
                }))
            })
            .collect::<Reply<Vec<Value>>>()?;
        Ok(json!(with_context(&context.bank(Some(CommitmentConfig::processed())), statuses)))
    })?;
    module.register_method("getTransaction", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let signature = signature(&args.required::<String>(0)?)?;
        let config: Value = args.optional(1)?.unwrap_or(Value::Null);
        let encoding = Encoding::of(config.as_str().or(config["encoding"].as_str())).map_err(invalid)?;
        let commitment: Option<CommitmentConfig> = serde_json::from_value(config.clone()).ok();
        let highest = context.bank(commitment).slot();
        let Some((block, index)) = context.history.transaction(&signature).filter(|(block, _)| block.slot <= highest) else {
            return Ok(Value::Null);
        };
        let with_version = config["maxSupportedTransactionVersion"].is_u64();
        let mut value = encode::with_meta(&block.transactions[index], encoding, with_version);
        value["slot"] = json!(block.slot);
        value["blockTime"] = json!(block.block_time);
        Ok(value)
    })?;
    module.register_method("getSignaturesForAddress", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let address = args.pubkey(0)?;
        let config: RpcSignaturesForAddressConfig = args.optional(1)?.unwrap_or_default();
        let limit = config.limit.unwrap_or(SIGNATURES_MAX);
        if limit == 0 || limit > SIGNATURES_MAX {
            return Err(invalid(format!("Invalid limit; max {SIGNATURES_MAX}")));
        }
        let before = config.before.as_deref().map(signature).transpose()?;
        let until = config.until.as_deref().map(signature).transpose()?;
        let highest = context.bank(config.commitment).slot();
        let all = context.history.of_address(&address, highest, usize::MAX);
        let of = |(block, index): &(std::sync::Arc<crate::BlockRecord>, usize)| block.transactions[*index].info.signature;
        let finalized = context.bank(None).slot();
        Ok(all
            .iter()
            .skip_while(|found| before.is_some_and(|before| of(found) != before))
            .skip(usize::from(before.is_some()))
            .take_while(|found| until.is_none_or(|until| of(found) != until))
            .take(limit)
            .map(|(block, index)| {
                let info = &block.transactions[*index].info;
                let reached = if block.slot <= finalized { "finalized" } else { "confirmed" };
                json!({ "signature": info.signature.to_string(), "slot": block.slot, "err": encode::optional_error(&info.status),
                        "memo": null, "blockTime": block.block_time, "confirmationStatus": reached })
            })
            .collect())
    })?;
    Ok(())
}

/// What the message would pay: base64 of a message, unsigned.
fn fee(bank: &Bank, text: &str) -> Reply<Option<u64>> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|error| invalid(format!("invalid base64 encoding: {error:?}")))?;
    let message = bincode::deserialize(&bytes).map_err(|error| invalid(format!("failed to deserialize message: {error}")))?;
    let mut unsigned = VersionedTransaction { signatures: Vec::new(), message };
    unsigned.signatures = vec![Signature::default(); usize::from(unsigned.message.header().num_required_signatures)];
    let prepared = bank.prepare(unsigned, Verify::Done).map_err(|error| invalid(format!("invalid message: {error}")))?;
    Ok(bank.fee_for_message(&prepared))
}

fn encoding_name(encoding: Option<UiTransactionEncoding>) -> Reply<Option<&'static str>> {
    match encoding {
        None => Ok(None),
        Some(UiTransactionEncoding::Base58 | UiTransactionEncoding::Binary) => Ok(Some("base58")),
        Some(UiTransactionEncoding::Base64) => Ok(Some("base64")),
        Some(UiTransactionEncoding::Json | UiTransactionEncoding::JsonParsed) => {
            Err(invalid("unsupported encoding. Supported encodings: base58, base64"))
        }
    }
}

fn send(args: &Args, context: &Context) -> Reply<String> {
    let config: RpcSendTransactionConfig = args.optional(1)?.unwrap_or_default();
    let (bytes, transaction) = transaction(&args.required::<String>(0)?, encoding_name(config.encoding)?)?;
    let first = transaction.signatures.first().copied().ok_or_else(|| invalid("the transaction has no signature"))?;
    let commitment = config.preflight_commitment.map(|commitment| CommitmentConfig { commitment });
    let bank = bank(context, commitment, config.min_context_slot)?;
    let blockhash = *transaction.message.recent_blockhash();
    if !config.skip_preflight {
        match (context.health)() {
            crate::Health::Ok => {}
            crate::Health::Behind { slots } => return Err(unhealthy(Some(slots))),
            crate::Health::Unknown => return Err(unhealthy(None)),
        }
        let prepared = match bank.prepare(transaction, Verify::Signatures) {
            Ok(prepared) => prepared,
            Err(TransactionError::SignatureFailure) => return Err(bad_signature()),
            Err(error) => return Err(invalid(format!("invalid transaction: {error}"))),
        };
        let simulation = bank.simulate(&prepared, false);
        if let Some(error) = &simulation.err {
            return Err(preflight(error, simulated(&simulation, Value::Null)));
        }
    }
    submit(context, bytes, first, last_valid_height(&bank, &blockhash))
}

fn last_valid_height(bank: &Bank, blockhash: &Hash) -> u64 {
    // A blockhash this bank does not know may be a nonce, or newer than the bank: try for as long as a fresh one lives.
    bank.blockhash_last_valid_block_height(blockhash).unwrap_or(bank.block_height() + 150)
}

fn submit(context: &Context, bytes: Vec<u8>, signature: Signature, last_valid_height: u64) -> Reply<String> {
    (context.submit)(bytes, signature, last_valid_height).map_err(|error: SubmitError| internal(error))?;
    // Nobody may be listening.
    let _ = context.events.send(ChainEvent::Received(signature));
    Ok(signature.to_string())
}

fn simulate(args: &Args, context: &Context) -> Reply<Value> {
    let config: RpcSimulateTransactionConfig = args.optional(1)?.unwrap_or_default();
    let (_, mut transaction) = transaction(&args.required::<String>(0)?, encoding_name(config.encoding)?)?;
    let bank = bank(context, config.commitment, config.min_context_slot)?;
    let mut replacement = Value::Null;
    if config.replace_recent_blockhash {
        if config.sig_verify {
            return Err(invalid("sigVerify may not be used with replaceRecentBlockhash"));
        }
        let blockhash = bank.last_blockhash();
        transaction.message.set_recent_blockhash(blockhash);
        replacement =
            json!({ "blockhash": blockhash.to_string(), "lastValidBlockHeight": last_valid_height(&bank, &blockhash) });
    }
    let verify = if config.sig_verify { Verify::Signatures } else { Verify::Done };
    let prepared = match bank.prepare(transaction, verify) {
        Ok(prepared) => prepared,
        Err(TransactionError::SignatureFailure) => return Err(bad_signature()),
        Err(error) => return Err(invalid(format!("invalid transaction: {error}"))),
    };
    let result = bank.simulate(&prepared, config.inner_instructions);
    let mut value = simulated(&result, replacement);
    if let Some(wanted) = config.accounts {
        let encoding = RpcAccountInfoConfig { encoding: wanted.encoding, ..RpcAccountInfoConfig::default() };
        value["accounts"] = wanted
            .addresses
            .iter()
            .map(|address| {
                let key = pubkey(address)?;
                let post = result.post_accounts.iter().find(|(post, _)| *post == key).map(|(_, account)| account.clone());
                let account = post.or_else(|| bank.account(&key));
                let account = account.map(|account| accounts::encode(&bank, &key, &account, &encoding)).transpose()?;
                Ok(json!(account))
            })
            .collect::<Reply<Value>>()?;
    }
    Ok(json!(with_context(&bank, value)))
}

fn simulated(result: &SimulationResult, replacement: Value) -> Value {
    let balances = result.balances.clone().unwrap_or_default();
    json!({
        "err": result.err.as_ref().map(encode::error),
        "logs": result.logs,
        "accounts": null,
        "unitsConsumed": result.units_consumed,
        "loadedAccountsDataSize": result.loaded_accounts_bytes,
        "fee": result.fee,
        "returnData": result.return_data.as_ref().map(|data| {
            json!({ "programId": data.program_id.to_string(), "data": [BASE64_STANDARD.encode(&data.data), "base64"] })
        }),
        "innerInstructions": null,
        "replacementBlockhash": replacement,
        "preBalances": balances.pre,
        "postBalances": balances.post,
        "preTokenBalances": encode::token_balances(&balances.pre_token),
        "postTokenBalances": encode::token_balances(&balances.post_token),
    })
}

fn airdrop(args: &Args, context: &Context) -> Reply<String> {
    let faucet = context.faucet.as_ref().ok_or_else(|| invalid("this node has no faucet"))?;
    let to = args.pubkey(0)?;
    let lamports: u64 = args.required(1)?;
    let config: RpcRequestAirdropConfig = args.optional(2)?.unwrap_or_default();
    let bank = context.bank(Some(config.commitment.unwrap_or(CommitmentConfig::confirmed())));
    let blockhash = match &config.recent_blockhash {
        Some(text) => hash(text)?,
        None => bank.last_blockhash(),
    };
    let transfer = VersionedTransaction::from(solana_system_transaction::transfer(faucet, &to, lamports, blockhash));
    let signature = transfer.signatures.first().copied().unwrap_or_default();
    let bytes = bincode::serialize(&transfer).map_err(internal)?;
    submit(context, bytes, signature, last_valid_height(&bank, &blockhash))
}
