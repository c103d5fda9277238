//! Accounts: balances, data, programs' accounts, supply.

use {
    crate::{
        context::Context,
        error::{Reply, invalid},
        params::{Args, ContextConfig, bank, pubkey, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    serde_json::{Value, json},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_account_decoder::{UiAccount, UiAccountEncoding, encode_ui_account, parse_account_data::AccountAdditionalDataV3},
    solana_commitment_config::CommitmentConfig,
    solana_rpc_client_types::{
        config::{RpcAccountInfoConfig, RpcProgramAccountsConfig},
        filter::RpcFilterType,
    },
    tandem_bank::Bank,
    tandem_types::Pubkey,
};

/// Agave request.rs: MAX_MULTIPLE_ACCOUNTS, MAX_GET_PROGRAM_ACCOUNT_FILTERS.
const MULTIPLE_ACCOUNTS_MAX: usize = 100;
const FILTERS_MAX: usize = 4;
/// Above this, base58 is refused (agave encode_account: MAX_BASE58_BYTES).
const BASE58_BYTES_MAX: usize = 128;

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getBalance", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let lamports = bank.account(&args.pubkey(0)?).map_or(0, |account| account.lamports());
        Ok(json!(with_context(&bank, lamports)))
    })?;
    module.register_method("getAccountInfo", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let key = args.pubkey(0)?;
        let config: RpcAccountInfoConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let account = bank.account(&key).map(|account| encode(&bank, &key, &account, &config)).transpose()?;
        Ok(json!(with_context(&bank, account)))
    })?;
    module.register_method("getMultipleAccounts", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let keys: Vec<String> = args.required(0)?;
        if keys.len() > MULTIPLE_ACCOUNTS_MAX {
            return Err(invalid(format!("Too many inputs provided; max {MULTIPLE_ACCOUNTS_MAX}")));
        }
        let config: RpcAccountInfoConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, config.min_context_slot)?;
        let accounts = keys
            .iter()
            .map(|text| {
                let key = pubkey(text)?;
                bank.account(&key).map(|account| encode(&bank, &key, &account, &config)).transpose()
            })
            .collect::<Reply<Vec<Option<UiAccount>>>>()?;
        Ok(json!(with_context(&bank, accounts)))
    })?;
    module.register_method("getProgramAccounts", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let owner = args.pubkey(0)?;
        let config: RpcProgramAccountsConfig = args.optional(1)?.unwrap_or_default();
        let filters = config.filters.unwrap_or_default();
        if filters.len() > FILTERS_MAX {
            return Err(invalid(format!("Too many filters provided; max {FILTERS_MAX}")));
        }
        for filter in &filters {
            filter.verify().map_err(|error| invalid(format!("Invalid param: {error:?}")))?;
        }
        let account_config = config.account_config;
        let bank = bank(context, account_config.commitment, account_config.min_context_slot)?;
        let found = bank.program_accounts(&owner, |_, account| filters.iter().all(|filter| matches(filter, account)));
        let accounts = keyed(&bank, found, &account_config)?;
        Ok(if config.with_context.unwrap_or(false) { json!(with_context(&bank, accounts)) } else { accounts })
    })?;
    module.register_method("getMinimumBalanceForRentExemption", |params, context, _| -> Reply<u64> {
        let args = Args::of(&params)?;
        let bytes: usize = args.required(0)?;
        // Agave rpc.rs: MAX_PERMITTED_DATA_LENGTH bounds what an account can hold.
        if bytes > 10 * 1024 * 1024 {
            return Err(invalid("Data length exceeds the largest account"));
        }
        Ok(context.bank(args.optional::<CommitmentConfig>(1)?).minimum_balance(bytes))
    })?;
    module.register_method("getSupply", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, None)?;
        let total = bank.capitalization();
        let supply = json!({ "total": total, "circulating": total, "nonCirculating": 0, "nonCirculatingAccounts": [] });
        Ok(json!(with_context(&bank, supply)))
    })?;
    module.register_method("getLargestAccounts", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(0)?.unwrap_or_default();
        let bank = bank(context, config.commitment, None)?;
        let mut all: Vec<(u64, Pubkey)> =
            bank.scan_accounts(|_, _| true).into_iter().map(|(key, account)| (account.lamports(), key)).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        let largest: Vec<Value> = all
            .into_iter()
            .take(20)
            .map(|(lamports, key)| json!({ "address": key.to_string(), "lamports": lamports }))
            .collect();
        Ok(json!(with_context(&bank, largest)))
    })?;
    Ok(())
}

pub fn keyed(bank: &Bank, found: Vec<(Pubkey, AccountSharedData)>, config: &RpcAccountInfoConfig) -> Reply<Value> {
    found
        .iter()
        .map(|(key, account)| {
            let account = encode(bank, key, account, config)?;
            Ok(json!({ "pubkey": key.to_string(), "account": account }))
        })
        .collect()
}

pub fn encode(bank: &Bank, key: &Pubkey, account: &AccountSharedData, config: &RpcAccountInfoConfig) -> Reply<UiAccount> {
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) {
        let bytes = config.data_slice.map_or(account.data().len(), |slice| slice.length.min(account.data().len()));
        if bytes > BASE58_BYTES_MAX {
            return Err(invalid(format!(
                "Encoded binary (base 58) data should be less than {BASE58_BYTES_MAX} bytes, please use Base64 encoding."
            )));
        }
    }
    let additional = super::tokens::mint_of(bank, account)
        .map(|mint| AccountAdditionalDataV3 { spl_token_additional_data: Some(mint) });
    Ok(encode_ui_account(key, account, encoding, additional, config.data_slice))
}

pub fn matches(filter: &RpcFilterType, account: &AccountSharedData) -> bool {
    match filter {
        RpcFilterType::DataSize(size) => account.data().len() as u64 == *size,
        RpcFilterType::Memcmp(compare) => compare.bytes_match(account.data()),
        RpcFilterType::TokenAccountState => super::tokens::is_token_account(account),
    }
}
