//! Programs that a development cluster has from the start: since agave 4 staking, lookup tables and config are programs too.

use {
    solana_account::{Account, ReadableAccount},
    solana_program_binaries::{core_bpf_programs, spl_programs},
    solana_rent::Rent,
    solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, config, stake},
    std::collections::BTreeMap,
    tandem_types::Pubkey,
};

/// A program and the accounts it consists of.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    pub id: Pubkey,
    pub accounts: Vec<(Pubkey, Account)>,
}

/// The set that the test genesis of agave peers has: stake, config, address lookup table, token, token-2022, associated
/// token account, memo. The all-zero upgrade authority is what solana-genesis makes of "none".
pub fn standard_programs(rent: &Rent) -> Vec<Program> {
    let mut accounts: BTreeMap<Pubkey, Account> = core_bpf_programs(rent, |_| true)
        .into_iter()
        .chain(spl_programs(rent))
        // solana-genesis writes rent epoch 0 where this library says "never".
        .map(|(key, account)| (key, Account { rent_epoch: 0, ..account.into() }))
        .collect();
    STANDARD_PROGRAMS
        .iter()
        .filter_map(|id| {
            let program = accounts.remove(id)?;
            let (data_address, _) = Pubkey::find_program_address(&[id.as_ref()], &bpf_loader_upgradeable::id());
            let data = accounts.remove(&data_address).map(|data| (data_address, data));
            debug_assert_eq!(data.is_some(), bpf_loader_upgradeable::check_id(program.owner()));
            Some(Program { id: *id, accounts: [(*id, program)].into_iter().chain(data).collect() })
        })
        .collect()
}

const STANDARD_PROGRAMS: [Pubkey; 7] = [
    stake::ID,
    config::ID,
    address_lookup_table::ID,
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"),
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
    Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"),
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_there_and_rent_exempt() {
        let rent = Rent::default();
        let programs = standard_programs(&rent);
        assert_eq!(programs.iter().map(|program| program.id).collect::<Vec<_>>(), STANDARD_PROGRAMS);
        for Program { id, accounts } in &programs {
            assert!(accounts[0].1.executable, "{id}");
            for (address, account) in accounts {
                assert_eq!(account.lamports, rent.minimum_balance(account.data.len()), "{address}");
            }
        }
        assert_eq!(programs.iter().map(|program| program.accounts.len()).sum::<usize>(), 12);
    }
}
