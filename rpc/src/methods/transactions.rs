//! Sending and simulating transactions; the faucet.

use {
    super::{accounts, cluster::check_health},
    crate::{
        context::{ChainEvent, Context, SubmitError},
        encode,
        error::{Reply, internal, invalid, preflight, refused},
        params::{Args, bank, bank_of, message, parse, transaction, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    solana_account_decoder::{UiAccount, UiAccountEncoding},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::{
        config::{
            RpcRequestAirdropConfig, RpcSendTransactionConfig, RpcSimulateTransactionAccountsConfig,
            RpcSimulateTransactionConfig,
        },
        response::{Response, RpcBlockhash, RpcSimulateTransactionResult, UiLoadedAddresses},
    },
    solana_transaction_status::{map_inner_instructions, parse_ui_inner_instructions},
    tandem_bank::{Bank, PreparedTx, SimulationResult, Verify},
    tandem_types::{Hash, Pubkey, Signature, TransactionError, VersionedTransaction},
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getLatestBlockhash", |params, context, _| -> Reply<Response<RpcBlockhash>> {
        let bank = bank_of(context, Args::of(&params, 0..=1)?.or_default(0)?)?;
        Ok(with_context(&bank, latest_blockhash(&bank)))
    })?;
    module.register_method("isBlockhashValid", |params, context, _| -> Reply<Response<bool>> {
        let args = Args::of(&params, 1..=2)?;
        let blockhash: Hash = parse(&args.required::<String>(0)?)?;
        let bank = bank_of(context, args.or_default(1)?)?;
        Ok(with_context(&bank, bank.is_blockhash_valid(&blockhash)))
    })?;
    module.register_method("getFeeForMessage", |params, context, _| -> Reply<Response<Option<u64>>> {
        let args = Args::of(&params, 1..=2)?;
        let message = message(&args.required::<String>(0)?)?;
        let bank = bank_of(context, args.or_default(1)?)?;
        let signatures = vec![Signature::default(); usize::from(message.header().num_required_signatures)];
        let prepared = bank
            .prepare(VersionedTransaction { signatures, message }, Verify::Done)
            .map_err(|error| invalid(format!("invalid transaction message: {error}")))?;
        Ok(with_context(&bank, bank.fee_for_message(&prepared)))
    })?;
    // These check signatures and execute: a millisecond, or many.
    module.register_blocking_method("sendTransaction", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        send(&context, &args.required::<String>(0)?, args.or_default(1)?)
    })?;
    module.register_blocking_method("simulateTransaction", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        simulate(&context, &args.required::<String>(0)?, args.or_default(1)?)
    })?;
    module.register_method("requestAirdrop", |params, context, _| -> Reply<String> {
        let args = Args::of(&params, 2..=3)?;
        airdrop(context, &args.pubkey(0)?, args.required(1)?, args.or_default(2)?)
    })?;
    Ok(())
}

fn latest_blockhash(bank: &Bank) -> RpcBlockhash {
    let blockhash = bank.last_blockhash();
    RpcBlockhash {
        blockhash: blockhash.to_string(),
        last_valid_block_height: last_valid_block_height(bank, &blockhash),
    }
}

/// A blockhash the bank does not know may be a nonce, or newer than the bank: its transaction is tried for as long as one
/// with a fresh blockhash.
fn last_valid_block_height(bank: &Bank, blockhash: &Hash) -> u64 {
    let fresh = bank.block_height().saturating_add(BLOCKHASH_AGE_MAX);
    bank.blockhash_last_valid_block_height(blockhash).unwrap_or(fresh)
}

fn send(context: &Context, text: &str, config: RpcSendTransactionConfig) -> Reply<String> {
    let (bytes, transaction) = transaction(text, config.encoding)?;
    let commitment = match config.skip_preflight {
        true => Some(CommitmentConfig::processed()),
        false => config.preflight_commitment.map(|commitment| CommitmentConfig { commitment }),
    };
    let bank = bank(context, commitment, config.min_context_slot)?;
    let blockhash = *transaction.message.recent_blockhash();
    // Without preflight nothing but the form is checked, as in agave: a leader checks the rest.
    let verify = if config.skip_preflight { Verify::Done } else { Verify::Signatures };
    let prepared = match bank.prepare(transaction, verify) {
        Ok(prepared) => prepared,
        Err(TransactionError::SignatureFailure) => {
            return Err(preflight(TransactionError::SignatureFailure, failed(TransactionError::SignatureFailure)));
        }
        Err(error) => return Err(invalid(format!("invalid transaction: {error}"))),
    };
    let signature = *prepared.signature();
    if !config.skip_preflight {
        check_health(context)?;
        let simulation = bank.simulate(&prepared, false);
        if let Some(error) = simulation.err.clone() {
            // Agave leaves balances and addresses out here.
            let result = RpcSimulateTransactionResult {
                loaded_addresses: None,
                pre_balances: None,
                post_balances: None,
                pre_token_balances: None,
                post_token_balances: None,
                ..simulated(simulation, &prepared)
            };
            return Err(preflight(error, result));
        }
    }
    submit(context, bytes, signature, last_valid_block_height(&bank, &blockhash))
}

fn submit(context: &Context, bytes: Vec<u8>, signature: Signature, last_valid_height: u64) -> Reply<String> {
    (context.submit)(bytes, signature, last_valid_height).map_err(|error: SubmitError| internal(error))?;
    // Nobody may be listening.
    let _ = context.events.send(ChainEvent::Received(signature));
    Ok(signature.to_string())
}

fn simulate(
    context: &Context,
    text: &str,
    config: RpcSimulateTransactionConfig,
) -> Reply<Response<RpcSimulateTransactionResult>> {
    let (_, mut transaction) = transaction(text, config.encoding)?;
    let bank = bank(context, config.commitment, config.min_context_slot)?;
    let mut replacement = None;
    if config.replace_recent_blockhash {
        if config.sig_verify {
            return Err(invalid("sigVerify may not be used with replaceRecentBlockhash"));
        }
        transaction.message.set_recent_blockhash(bank.last_blockhash());
        replacement = Some(latest_blockhash(&bank));
    }
    let is_signed = !config.sig_verify || transaction.verify_with_results().into_iter().all(|is_good| is_good);
    let prepared =
        bank.prepare(transaction, Verify::Done).map_err(|error| invalid(format!("invalid transaction: {error}")))?;
    let simulation = match is_signed {
        true => bank.simulate(&prepared, config.inner_instructions),
        false => SimulationResult { err: Some(TransactionError::SignatureFailure), ..SimulationResult::default() },
    };
    let accounts = config.accounts.map(|wanted| post_accounts(&bank, &prepared, &simulation, &wanted)).transpose()?;
    let result = RpcSimulateTransactionResult {
        accounts,
        replacement_blockhash: replacement,
        ..simulated(simulation, &prepared)
    };
    Ok(with_context(&bank, result))
}

/// The accounts a client wants to see as they would be after the transaction.
fn post_accounts(
    bank: &Bank,
    prepared: &PreparedTx,
    simulation: &SimulationResult,
    wanted: &RpcSimulateTransactionAccountsConfig,
) -> Reply<Vec<Option<UiAccount>>> {
    let encoding = wanted.encoding.unwrap_or(UiAccountEncoding::Base64);
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) {
        return Err(invalid("base58 encoding not supported"));
    }
    let most = prepared.message().account_keys().len();
    if wanted.addresses.len() > most {
        return Err(invalid(format!("Too many accounts provided; max {most}")));
    }
    if simulation.err.is_some() {
        return Ok(vec![None; wanted.addresses.len()]);
    }
    let account = |text: &String| {
        let key: Pubkey = parse(text)?;
        let after = simulation.post_accounts.iter().find(|(post, _)| *post == key).map(|(_, account)| account.clone());
        let account = after.or_else(|| bank.account(&key));
        account.map(|account| accounts::encode(bank, &key, &account, encoding, None)).transpose()
    };
    wanted.addresses.iter().map(account).collect()
}

fn simulated(simulation: SimulationResult, prepared: &PreparedTx) -> RpcSimulateTransactionResult {
    let keys = prepared.message().account_keys();
    let inner_instructions = simulation
        .inner_instructions
        .map(|lists| map_inner_instructions(lists).map(|inner| parse_ui_inner_instructions(inner, &keys)).collect());
    let mut result = RpcSimulateTransactionResult {
        err: simulation.err.map(Into::into),
        logs: Some(simulation.logs),
        accounts: None,
        units_consumed: Some(simulation.units_consumed),
        loaded_accounts_data_size: Some(simulation.loaded_accounts_bytes),
        return_data: simulation.return_data.map(Into::into),
        inner_instructions,
        replacement_blockhash: None,
        fee: simulation.fee,
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: Some(UiLoadedAddresses::from(&prepared.get_loaded_addresses())),
    };
    if let Some(balances) = simulation.balances {
        let tokens = |balances| encode::token_balances(balances).into_iter().map(Into::into).collect();
        result.pre_token_balances = Some(tokens(&balances.pre_token));
        result.post_token_balances = Some(tokens(&balances.post_token));
        result.pre_balances = Some(balances.pre);
        result.post_balances = Some(balances.post);
    }
    result
}

/// Of a transaction that was not executed.
fn failed(error: TransactionError) -> RpcSimulateTransactionResult {
    RpcSimulateTransactionResult {
        err: Some(error.into()),
        logs: Some(Vec::new()),
        accounts: None,
        units_consumed: Some(0),
        loaded_accounts_data_size: Some(0),
        return_data: None,
        inner_instructions: None,
        replacement_blockhash: None,
        fee: None,
        pre_balances: None,
        post_balances: None,
        pre_token_balances: None,
        post_token_balances: None,
        loaded_addresses: None,
    }
}

fn airdrop(context: &Context, to: &Pubkey, lamports: u64, config: RpcRequestAirdropConfig) -> Reply<String> {
    let no_faucet = || refused("Invalid request: this node has no faucet; start it with --faucet-keypair");
    let faucet = context.faucet.as_ref().ok_or_else(no_faucet)?;
    // Agave takes a finalized blockhash here; a confirmed one lives longer.
    let bank = context.bank(Some(config.commitment.unwrap_or(CommitmentConfig::confirmed())));
    let blockhash = match &config.recent_blockhash {
        Some(text) => parse(text)?,
        None => bank.last_blockhash(),
    };
    let transfer = VersionedTransaction::from(solana_system_transaction::transfer(faucet, to, lamports, blockhash));
    let signature = transfer.signatures.first().copied().unwrap_or_default();
    let bytes = wincode::serialize(&transfer).map_err(internal)?;
    submit(context, bytes, signature, last_valid_block_height(&bank, &blockhash))
}

/// solana-clock: MAX_PROCESSING_AGE.
const BLOCKHASH_AGE_MAX: u64 = 150;
