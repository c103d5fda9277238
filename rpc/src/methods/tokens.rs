//! SPL token accounts: balances, supplies, holders.

use {
    super::accounts::{Largest, keyed},
    crate::{
        context::Context,
        error::{Reply, invalid},
        history::clock,
        params::{Args, bank, parse, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_account_decoder::{
        UiAccount, UiAccountData, UiAccountEncoding, encode_ui_account,
        parse_account_data::{AccountAdditionalDataV3, SplTokenAdditionalDataV2},
        parse_token::{get_token_account_mint, token_amount_to_ui_amount_v3},
    },
    solana_rpc_client_types::{
        config::{RpcAccountInfoConfig, RpcTokenAccountsFilter},
        response::{Response, RpcKeyedAccount, RpcTokenAccountBalance, UiTokenAmount},
    },
    spl_token_2022_interface::{
        extension::{
            BaseStateWithExtensions, StateWithExtensions, interest_bearing_mint::InterestBearingConfig,
            scaled_ui_amount::ScaledUiAmountConfig,
        },
        generic_token_account::GenericTokenAccount,
        state::{Account as TokenAccount, Mint},
    },
    std::collections::HashMap,
    tandem_bank::Bank,
    tandem_types::Pubkey,
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getTokenAccountBalance", |params, context, _| -> Reply<Response<UiTokenAmount>> {
        let args = Args::of(&params, 1..=2)?;
        let key = args.pubkey(0)?;
        let bank = context.bank(args.optional(1)?);
        let account = bank.account(&key).ok_or_else(|| invalid("Invalid param: could not find account"))?;
        let token = Some(&account).filter(|account| is_token_program(account.owner()));
        let token = token.and_then(read_account);
        let token = token.ok_or_else(|| invalid("Invalid param: not a Token account"))?;
        let (_, mint) = mint_of(&bank, &token.mint)?;
        Ok(with_context(&bank, token_amount_to_ui_amount_v3(token.amount, &mint)))
    })?;
    module.register_method("getTokenSupply", |params, context, _| -> Reply<Response<UiTokenAmount>> {
        let args = Args::of(&params, 1..=2)?;
        let key = args.pubkey(0)?;
        let bank = context.bank(args.optional(1)?);
        let account = bank.account(&key).ok_or_else(|| invalid("Invalid param: could not find account"))?;
        if !is_token_program(account.owner()) {
            return Err(invalid("Invalid param: not a Token mint"));
        }
        let (supply, mint) =
            read_mint(&bank, account.data()).ok_or_else(|| invalid("Invalid param: mint could not be unpacked"))?;
        Ok(with_context(&bank, token_amount_to_ui_amount_v3(supply, &mint)))
    })?;
    module.register_blocking_method("getTokenLargestAccounts", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let mint = args.pubkey(0)?;
        largest_holders(&context.bank(args.optional(1)?), &mint)
    })?;
    module.register_blocking_method("getTokenAccountsByOwner", |params, context, _| {
        let args = Args::of(&params, 2..=3)?;
        let owner = args.pubkey(0)?;
        token_accounts(&context, &args, |data| key_at(data, OWNER_OFFSET) == Some(owner.as_array()))
    })?;
    module.register_blocking_method("getTokenAccountsByDelegate", |params, context, _| {
        let args = Args::of(&params, 2..=3)?;
        let delegate = args.pubkey(0)?;
        token_accounts(&context, &args, |data| {
            let is_delegated = data.get(DELEGATE_OFFSET..DELEGATE_OFFSET + 4) == Some(&[1, 0, 0, 0]);
            is_delegated && key_at(data, DELEGATE_OFFSET + 4) == Some(delegate.as_array())
        })
    })?;
    Ok(())
}

fn largest_holders(bank: &Bank, mint: &Pubkey) -> Reply<Response<Vec<RpcTokenAccountBalance>>> {
    let (program, data) = mint_of(bank, mint)?;
    if !is_token_program(&program) {
        return Err(invalid("Invalid param: not a Token mint"));
    }
    let mut largest = Largest::default();
    for (key, account) in bank.program_accounts(&program, |_, account| has_mint(account.data(), mint)) {
        largest.offer(read_account(&account).map_or(0, |token| token.amount), key);
    }
    let holder = |(amount, key): (u64, Pubkey)| RpcTokenAccountBalance {
        address: key.to_string(),
        amount: token_amount_to_ui_amount_v3(amount, &data),
    };
    Ok(with_context(bank, largest.descending().map(holder).collect()))
}

/// Parameters after the first: which mint or token program, and how to show.
fn token_accounts(
    context: &Context,
    args: &Args,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> Reply<Response<Vec<RpcKeyedAccount>>> {
    let (mint, program): (Option<Pubkey>, Option<Pubkey>) = match args.required(1)? {
        RpcTokenAccountsFilter::Mint(text) => (Some(parse(&text)?), None),
        RpcTokenAccountsFilter::ProgramId(text) => (None, Some(parse(&text)?)),
    };
    let config: RpcAccountInfoConfig = args.or_default(2)?;
    let bank = bank(context, config.commitment, config.min_context_slot)?;
    let program = match (mint, program) {
        (Some(mint), _) => mint_of(&bank, &mint)?.0,
        (None, program) => program.unwrap_or_default(),
    };
    if !is_token_program(&program) {
        let what = if mint.is_some() { "not a Token mint" } else { "unrecognized Token program id" };
        return Err(invalid(format!("Invalid param: {what}")));
    }
    let mut found = bank.program_accounts(&program, |_, account| {
        let data = account.data();
        is_token_account_data(data) && is_wanted(data) && mint.is_none_or(|mint| has_mint(data, &mint))
    });
    found.sort_unstable_by_key(|(key, _)| *key);
    let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
    Ok(with_context(&bank, keyed(&bank, &program, found, encoding, config.data_slice)?))
}

/// Token accounts with their amounts written out. What cannot be parsed is left out.
pub fn parsed(bank: &Bank, found: Vec<(Pubkey, AccountSharedData)>) -> Vec<RpcKeyedAccount> {
    let mut mints: HashMap<Pubkey, Option<AccountAdditionalDataV3>> = HashMap::new();
    found
        .into_iter()
        .filter_map(|(key, account)| {
            let mint = get_token_account_mint(account.data());
            let data = mint.and_then(|mint| *mints.entry(mint).or_insert_with(|| additional(bank, &mint)));
            let shown = encode_ui_account(&key, &account, UiAccountEncoding::JsonParsed, data, None);
            let is_parsed = matches!(shown.data, UiAccountData::Json(_));
            is_parsed.then(|| RpcKeyedAccount { pubkey: key.to_string(), account: shown })
        })
        .collect()
}

pub fn show(bank: &Bank, key: &Pubkey, account: &AccountSharedData) -> UiAccount {
    let data = get_token_account_mint(account.data()).and_then(|mint| additional(bank, &mint));
    encode_ui_account(key, account, UiAccountEncoding::JsonParsed, data, None)
}

pub fn is_token_program(program: &Pubkey) -> bool {
    *program == spl_token_2022_interface::id() || *program == TOKEN_PROGRAM
}

pub fn is_token_account_data(data: &[u8]) -> bool {
    TokenAccount::valid_account_data(data)
}

fn additional(bank: &Bank, mint: &Pubkey) -> Option<AccountAdditionalDataV3> {
    let (_, data) = mint_of(bank, mint).ok()?;
    Some(AccountAdditionalDataV3 { spl_token_additional_data: Some(data) })
}

/// A mint's program, and how its amounts are written.
fn mint_of(bank: &Bank, mint: &Pubkey) -> Reply<(Pubkey, SplTokenAdditionalDataV2)> {
    if *mint == NATIVE_MINT {
        return Ok((TOKEN_PROGRAM, SplTokenAdditionalDataV2::with_decimals(NATIVE_DECIMALS)));
    }
    let account = bank.account(mint).ok_or_else(|| invalid("Invalid param: could not find mint"))?;
    let (_, data) =
        read_mint(bank, account.data()).ok_or_else(|| invalid("Invalid param: Token mint could not be unpacked"))?;
    Ok((*account.owner(), data))
}

/// Supply, and how amounts are written.
fn read_mint(bank: &Bank, data: &[u8]) -> Option<(u64, SplTokenAdditionalDataV2)> {
    let mint = StateWithExtensions::<Mint>::unpack(data).ok()?;
    let now = || clock(bank).unix_timestamp;
    let data = SplTokenAdditionalDataV2 {
        decimals: mint.base.decimals,
        interest_bearing_config: mint.get_extension::<InterestBearingConfig>().map(|config| (*config, now())).ok(),
        scaled_ui_amount_config: mint.get_extension::<ScaledUiAmountConfig>().map(|config| (*config, now())).ok(),
    };
    Some((mint.base.supply, data))
}

fn read_account(account: &AccountSharedData) -> Option<TokenAccount> {
    StateWithExtensions::<TokenAccount>::unpack(account.data()).map(|token| token.base).ok()
}

fn has_mint(data: &[u8], mint: &Pubkey) -> bool {
    is_token_account_data(data) && key_at(data, 0) == Some(mint.as_array())
}

fn key_at(data: &[u8], offset: usize) -> Option<&[u8; 32]> {
    data.get(offset..)?.first_chunk()
}

/// Both token programs lay accounts out alike: mint, owner at 32, amount, delegate (a tag of four bytes, a key) at 72.
const OWNER_OFFSET: usize = 32;
const DELEGATE_OFFSET: usize = 72;
const TOKEN_PROGRAM: Pubkey = Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// Wrapped SOL has no mint account at first.
const NATIVE_MINT: Pubkey = Pubkey::from_str_const("So11111111111111111111111111111111111111112");
const NATIVE_DECIMALS: u8 = 9;
