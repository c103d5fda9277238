//! Accounts: balances, data, programs' accounts, supply.

use {
    super::tokens,
    crate::{
        context::Context,
        error::{Reply, invalid, refused},
        history::clock,
        params::{Args, bank, bank_of, parse, with_context},
    },
    jsonrpsee::{RpcModule, core::RegisterMethodError},
    solana_account::{AccountSharedData, ReadableAccount},
    solana_account_decoder::{MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account},
    solana_rpc_client_types::{
        config::{
            RpcAccountInfoConfig, RpcLargestAccountsConfig, RpcLargestAccountsFilter, RpcProgramAccountsConfig,
            RpcSupplyConfig,
        },
        filter::RpcFilterType,
        response::{OptionalContext, Response, RpcAccountBalance, RpcKeyedAccount, RpcSupply},
    },
    solana_sdk_ids::stake,
    solana_stake_interface::state::StakeStateV2,
    std::{
        cell::RefCell,
        cmp::Reverse,
        collections::{BinaryHeap, HashMap},
    },
    tandem_bank::Bank,
    tandem_types::Pubkey,
};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    module.register_method("getBalance", |params, context, _| -> Reply<Response<u64>> {
        let args = Args::of(&params, 1..=2)?;
        let key = args.pubkey(0)?;
        let bank = bank_of(context, args.or_default(1)?)?;
        Ok(with_context(&bank, bank.account(&key).map_or(0, |account| account.lamports())))
    })?;
    module.register_blocking_method("getAccountInfo", |params, context, _| -> Reply<Response<Option<UiAccount>>> {
        let args = Args::of(&params, 1..=2)?;
        let key = args.pubkey(0)?;
        let config: RpcAccountInfoConfig = args.or_default(1)?;
        let bank = bank(&context, config.commitment, config.min_context_slot)?;
        let encoding = config.encoding.unwrap_or(UiAccountEncoding::Binary);
        let account = bank.account(&key).map(|account| encode(&bank, &key, &account, encoding, config.data_slice));
        Ok(with_context(&bank, account.transpose()?))
    })?;
    module.register_blocking_method("getMultipleAccounts", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        let keys: Vec<String> = args.required(0)?;
        if keys.len() > MULTIPLE_ACCOUNTS_MAX {
            return Err(invalid(format!("Too many inputs provided; max {MULTIPLE_ACCOUNTS_MAX}")));
        }
        let keys = keys.iter().map(|text| parse(text)).collect::<Reply<Vec<Pubkey>>>()?;
        let config: RpcAccountInfoConfig = args.or_default(1)?;
        let bank = bank(&context, config.commitment, config.min_context_slot)?;
        // Not as for one account, where agave kept the old default.
        let encoding = config.encoding.unwrap_or(UiAccountEncoding::Base64);
        let show = |key| bank.account(key).map(|account| encode(&bank, key, &account, encoding, config.data_slice));
        let accounts = keys.iter().map(|key| show(key).transpose()).collect::<Reply<Vec<Option<UiAccount>>>>()?;
        Ok(with_context(&bank, accounts))
    })?;
    module.register_blocking_method("getProgramAccounts", |params, context, _| {
        let args = Args::of(&params, 1..=2)?;
        program_accounts(&context, &args.pubkey(0)?, args.or_default(1)?)
    })?;
    module.register_method("getMinimumBalanceForRentExemption", |params, context, _| -> Reply<u64> {
        let args = Args::of(&params, 1..=2)?;
        let bytes: usize = args.required(0)?;
        if bytes > ACCOUNT_BYTES_MAX {
            return Err(refused("Invalid request"));
        }
        Ok(context.bank(args.optional(1)?).minimum_balance(bytes))
    })?;
    module.register_blocking_method("getSupply", |params, context, _| {
        Reply::Ok(supply(&context, Args::of(&params, 0..=1)?.or_default(0)?))
    })?;
    module.register_blocking_method("getLargestAccounts", |params, context, _| {
        Reply::Ok(largest_accounts(&context, Args::of(&params, 0..=1)?.or_default(0)?))
    })?;
    Ok(())
}

fn program_accounts(
    context: &Context,
    owner: &Pubkey,
    config: RpcProgramAccountsConfig,
) -> Reply<OptionalContext<Vec<RpcKeyedAccount>>> {
    let filters = checked(config.filters)?;
    let account_config = config.account_config;
    let bank = bank(context, account_config.commitment, account_config.min_context_slot)?;
    let mut found = bank.program_accounts(owner, |_, account| filters.iter().all(|filter| matches(filter, account)));
    if config.sort_results.unwrap_or(true) {
        found.sort_unstable_by_key(|(key, _)| *key);
    }
    let encoding = account_config.encoding.unwrap_or(UiAccountEncoding::Binary);
    let accounts = keyed(&bank, owner, found, encoding, account_config.data_slice)?;
    Ok(match config.with_context.unwrap_or(false) {
        true => OptionalContext::Context(with_context(&bank, accounts)),
        false => OptionalContext::NoContext(accounts),
    })
}

/// Filters whose bytes are decoded, once for all accounts.
pub fn checked(filters: Option<Vec<RpcFilterType>>) -> Reply<Vec<RpcFilterType>> {
    let mut filters = filters.unwrap_or_default();
    if filters.len() > FILTERS_MAX {
        return Err(invalid(format!("Too many filters provided; max {FILTERS_MAX}")));
    }
    for filter in &mut filters {
        filter.verify().map_err(|error| invalid(format!("Invalid param: {error:?}")))?;
        if let RpcFilterType::Memcmp(compare) = filter {
            compare.convert_to_raw_bytes().map_err(|error| invalid(format!("Invalid param: {error:?}")))?;
        }
    }
    Ok(filters)
}

pub fn matches(filter: &RpcFilterType, account: &AccountSharedData) -> bool {
    match filter {
        RpcFilterType::DataSize(size) => account.data().len() as u64 == *size,
        RpcFilterType::Memcmp(compare) => compare.bytes_match(account.data()),
        RpcFilterType::TokenAccountState => tokens::is_token_account_data(account.data()),
    }
}

/// Accounts of one program. Of a token program, parsed, those that cannot be are left out.
pub fn keyed(
    bank: &Bank,
    owner: &Pubkey,
    found: Vec<(Pubkey, AccountSharedData)>,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Reply<Vec<RpcKeyedAccount>> {
    if tokens::is_token_program(owner) && encoding == UiAccountEncoding::JsonParsed {
        return Ok(tokens::parsed(bank, found));
    }
    found
        .into_iter()
        .map(|(key, account)| {
            let pubkey = key.to_string();
            Ok(RpcKeyedAccount { pubkey, account: encode(bank, &key, &account, encoding, slice)? })
        })
        .collect()
}

pub fn encode(
    bank: &Bank,
    key: &Pubkey,
    account: &AccountSharedData,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> Reply<UiAccount> {
    let bytes = account.data().len();
    let shown = slice.map_or(bytes, |slice| slice.length.min(bytes.saturating_sub(slice.offset)));
    if matches!(encoding, UiAccountEncoding::Binary | UiAccountEncoding::Base58) && shown > MAX_BASE58_BYTES {
        return Err(refused(format!(
            "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, please use Base64 encoding."
        )));
    }
    Ok(show(bank, key, account, encoding, slice))
}

/// As `encode`, with an error's text where base58 data is too long: for subscriptions, as agave's.
pub fn show(
    bank: &Bank,
    key: &Pubkey,
    account: &AccountSharedData,
    encoding: UiAccountEncoding,
    slice: Option<UiDataSliceConfig>,
) -> UiAccount {
    if tokens::is_token_program(account.owner()) && encoding == UiAccountEncoding::JsonParsed {
        return tokens::show(bank, key, account);
    }
    encode_ui_account(key, account, encoding, None, slice)
}

fn supply(context: &Context, config: RpcSupplyConfig) -> Response<RpcSupply> {
    let bank = context.bank(config.commitment);
    let total = bank.capitalization();
    let locked = locked_stakes(&bank);
    let non_circulating = locked.values().sum();
    let non_circulating_accounts = match config.exclude_non_circulating_accounts_list {
        true => Vec::new(),
        false => locked.keys().map(Pubkey::to_string).collect(),
    };
    let circulating = total.saturating_sub(non_circulating);
    with_context(&bank, RpcSupply { total, circulating, non_circulating, non_circulating_accounts })
}

/// Stake accounts that are locked up. (Agave counts some hundred named accounts of mainnet besides:
/// solana-runtime-4.2.2 non_circulating_supply.rs.)
fn locked_stakes(bank: &Bank) -> HashMap<Pubkey, u64> {
    let clock = clock(bank);
    let is_locked = |account: &AccountSharedData| match bincode::deserialize(account.data()) {
        Ok(StakeStateV2::Initialized(meta) | StakeStateV2::Stake(meta, ..)) => meta.lockup.is_in_force(&clock, None),
        Ok(StakeStateV2::Uninitialized | StakeStateV2::RewardsPool) | Err(_) => false,
    };
    let found = bank.program_accounts(&stake::id(), |_, account| is_locked(account));
    found.into_iter().map(|(key, account)| (key, account.lamports())).collect()
}

fn largest_accounts(context: &Context, config: RpcLargestAccountsConfig) -> Response<Vec<RpcAccountBalance>> {
    let bank = context.bank(config.commitment);
    let locked = config.filter.as_ref().map(|_| locked_stakes(&bank)).unwrap_or_default();
    let is_wanted = |key: &Pubkey| match config.filter {
        None => true,
        Some(RpcLargestAccountsFilter::Circulating) => !locked.contains_key(key),
        Some(RpcLargestAccountsFilter::NonCirculating) => locked.contains_key(key),
    };
    // The walk hands out nothing: a copy of every account there is would be too much to hold.
    let largest = RefCell::new(Largest::default());
    bank.scan_accounts(|key, account| {
        if is_wanted(key) {
            largest.borrow_mut().offer(account.lamports(), *key);
        }
        false
    });
    let balance = |(lamports, key): (u64, Pubkey)| RpcAccountBalance { address: key.to_string(), lamports };
    with_context(&bank, largest.into_inner().descending().map(balance).collect())
}

/// The twenty largest of what is offered.
#[derive(Default)]
pub struct Largest(BinaryHeap<Reverse<(u64, Pubkey)>>);

impl Largest {
    pub fn offer(&mut self, amount: u64, key: Pubkey) {
        self.0.push(Reverse((amount, key)));
        if self.0.len() > LARGEST_SHOWN {
            self.0.pop();
        }
    }

    pub fn descending(self) -> impl Iterator<Item = (u64, Pubkey)> {
        self.0.into_sorted_vec().into_iter().map(|Reverse(entry)| entry)
    }
}

/// Agave request.rs: MAX_MULTIPLE_ACCOUNTS, MAX_GET_PROGRAM_ACCOUNT_FILTERS, NUM_LARGEST_ACCOUNTS; system-interface:
/// MAX_PERMITTED_DATA_LENGTH.
const MULTIPLE_ACCOUNTS_MAX: usize = 100;
const FILTERS_MAX: usize = 4;
const LARGEST_SHOWN: usize = 20;
const ACCOUNT_BYTES_MAX: usize = 10 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_largest_come_in_order() {
        let mut largest = Largest::default();
        (0..100u64).for_each(|amount| largest.offer(amount * 7 % 100, Pubkey::default()));
        let amounts: Vec<u64> = largest.descending().map(|(amount, _)| amount).collect();
        assert_eq!(amounts, (80..100).rev().collect::<Vec<u64>>());
    }
}
