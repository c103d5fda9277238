//! SPL token accounts: balances, supplies, holders.

use {
    super::accounts::keyed,
    crate::{
        context::Context,
        encode::token_amount,
        error::{Reply, invalid},
        params::{Args, ContextConfig, bank, pubkey, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError, types::Params},
    serde_json::{Value, json},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_account_decoder::parse_token::SplTokenAdditionalDataV2,
    solana_rpc_client_types::config::{RpcAccountInfoConfig, RpcTokenAccountsFilter},
    std::str::FromStr,
    tandem_bank::Bank,
    tandem_types::Pubkey,
};

/// The two token programs. Both lay accounts out alike: mint 0, owner 32, amount 64, state 108, 165 bytes; mints have
/// supply 36, decimals 44, initialized 45, 82 bytes (spl-token 3, state.rs).
const PROGRAMS: [&str; 2] =
    ["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"];
const ACCOUNT_BYTES: usize = 165;
const MINT_BYTES: usize = 82;

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getTokenAccountBalance", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, None)?;
        let account = bank.account(&args.pubkey(0)?).filter(is_token_account);
        let account = account.ok_or_else(|| invalid("Invalid param: could not find account"))?;
        let decimals = decimals(&bank, &key_at(&account, 0)).ok_or_else(|| invalid("Invalid param: could not find mint"))?;
        Ok(json!(with_context(&bank, token_amount(u64_at(&account, 64), decimals))))
    })?;
    module.register_method("getTokenSupply", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, None)?;
        let mint = bank.account(&args.pubkey(0)?).filter(is_mint);
        let mint = mint.ok_or_else(|| invalid("Invalid param: not a Token mint"))?;
        Ok(json!(with_context(&bank, token_amount(u64_at(&mint, 36), mint.data()[44]))))
    })?;
    module.register_method("getTokenLargestAccounts", |params, context, _| -> Reply<Value> {
        let args = Args::of(&params)?;
        let mint = args.pubkey(0)?;
        let config: ContextConfig = args.optional(1)?.unwrap_or_default();
        let bank = bank(context, config.commitment, None)?;
        let decimals = decimals(&bank, &mint).ok_or_else(|| invalid("Invalid param: not a Token mint"))?;
        let mut holders: Vec<(u64, Pubkey)> = token_accounts(&bank, None, |account| key_at(account, 0) == mint)
            .into_iter()
            .map(|(key, account)| (u64_at(&account, 64), key))
            .collect();
        holders.sort_unstable_by(|one, other| other.cmp(one));
        let largest: Vec<Value> = holders
            .into_iter()
            .take(20)
            .map(|(amount, key)| {
                let mut value = token_amount(amount, decimals);
                value["address"] = json!(key.to_string());
                value
            })
            .collect();
        Ok(json!(with_context(&bank, largest)))
    })?;
    module.register_method("getTokenAccountsByOwner", |params, context, _| by_key(&params, context, |account| {
        Some(key_at(account, 32))
    }))?;
    module.register_method("getTokenAccountsByDelegate", |params, context, _| {
        by_key(&params, context, |account| {
            // COption: a u32 tag at 72, the delegate at 76.
            (account.data()[72..76] == [1, 0, 0, 0]).then(|| key_at(account, 76))
        })
    })?;
    Ok(())
}

fn by_key(
    params: &Params<'_>,
    context: &Context,
    key_of: impl Fn(&AccountSharedData) -> Option<Pubkey>,
) -> Reply<Value> {
    let args = Args::of(params)?;
    let wanted = args.pubkey(0)?;
    let filter: RpcTokenAccountsFilter = args.required(1)?;
    let config: RpcAccountInfoConfig = args.optional(2)?.unwrap_or_default();
    let bank = bank(context, config.commitment, config.min_context_slot)?;
    let (program, mint) = match filter {
        RpcTokenAccountsFilter::Mint(mint) => (None, Some(pubkey(&mint)?)),
        RpcTokenAccountsFilter::ProgramId(program) => (Some(pubkey(&program)?), None),
    };
    if program.is_some_and(|program| !programs().contains(&program)) {
        return Err(invalid("Invalid param: unrecognized Token program id"));
    }
    let found = token_accounts(&bank, program, |account| {
        key_of(account) == Some(wanted) && mint.is_none_or(|mint| key_at(account, 0) == mint)
    });
    let accounts = keyed(&bank, found, &config)?;
    Ok(json!(with_context(&bank, accounts)))
}

fn token_accounts(
    bank: &Bank,
    program: Option<Pubkey>,
    wanted: impl Fn(&AccountSharedData) -> bool,
) -> Vec<(Pubkey, AccountSharedData)> {
    programs()
        .into_iter()
        .filter(|id| program.is_none_or(|program| program == *id))
        .flat_map(|id| bank.program_accounts(&id, |_, account| is_token_account(account) && wanted(account)))
        .collect()
}

fn programs() -> [Pubkey; 2] {
    PROGRAMS.map(|text| Pubkey::from_str(text).expect("invariant: the program ids above are base58 keys"))
}

pub fn is_token_account(account: &AccountSharedData) -> bool {
    let data = account.data();
    // Token-2022 accounts with extensions carry the account type 2 right behind the base account.
    let length = data.len() == ACCOUNT_BYTES || (data.len() > ACCOUNT_BYTES && data[ACCOUNT_BYTES] == 2);
    programs().contains(account.owner()) && length && data[108] != 0
}

fn is_mint(account: &AccountSharedData) -> bool {
    let data = account.data();
    let length = data.len() == MINT_BYTES || (data.len() > ACCOUNT_BYTES && data[ACCOUNT_BYTES] == 1);
    programs().contains(account.owner()) && length && data[45] == 1
}

/// What the decoder needs to show a token account's amounts.
pub fn mint_of(bank: &Bank, account: &AccountSharedData) -> Option<SplTokenAdditionalDataV2> {
    if !is_token_account(account) {
        return None;
    }
    decimals(bank, &key_at(account, 0)).map(SplTokenAdditionalDataV2::with_decimals)
}

fn decimals(bank: &Bank, mint: &Pubkey) -> Option<u8> {
    bank.account(mint).filter(is_mint).map(|mint| mint.data()[44])
}

/// Callers have checked the length.
fn key_at(account: &AccountSharedData, offset: usize) -> Pubkey {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&account.data()[offset..offset + 32]);
    Pubkey::from(bytes)
}

fn u64_at(account: &AccountSharedData, offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&account.data()[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}
