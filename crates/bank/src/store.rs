//! How a bank reads and writes accounts.

use {
    crate::Bank,
    solana_account::{AccountSharedData, ReadableAccount, WritableAccount},
    solana_clock::INITIAL_RENT_EPOCH,
    solana_sdk_ids::sysvar,
    std::sync::atomic::Ordering::Relaxed,
    tandem_types::{Pubkey, Slot},
};

impl Bank {
    /// The account with the slot that last wrote it.
    pub(crate) fn load(&self, pubkey: &Pubkey) -> Option<(AccountSharedData, Slot)> {
        self.forks.accounts.load(pubkey, &self.ancestors)
    }

    /// Writes accounts and tells the stakes cache. The caller keeps the bank open (see `frozen`).
    pub(crate) fn store(&self, accounts: &[(Pubkey, AccountSharedData)]) {
        {
            let mut stakes = self.stakes.write().expect("invariant: no panic while the stakes cache is held");
            for (pubkey, account) in accounts {
                stakes.update(pubkey, account, &self.epoch_features.stake_math);
            }
        }
        self.forks.accounts.store(self.slot, accounts);
    }

    /// Writes one account and moves the capitalization by what it gained or lost.
    pub(crate) fn store_and_count(&self, pubkey: &Pubkey, account: AccountSharedData) {
        let before = self.load(pubkey).map_or(0, |(account, _)| account.lamports());
        self.move_capitalization(before, account.lamports());
        self.store(&[(*pubkey, account)]);
    }

    /// Writes a sysvar. Its lamports are kept, but raised to the rent-exempt minimum (bank.rs:update_sysvar_account).
    pub(crate) fn store_sysvar(&self, pubkey: &Pubkey, data: Vec<u8>) {
        let before = self.load(pubkey).map(|(account, _)| account);
        let lamports = before.as_ref().map_or(LAMPORTS_BEFORE_RENT, ReadableAccount::lamports);
        self.store_sysvar_with(pubkey, data, lamports);
    }

    /// As `store_sysvar`, from given lamports: what the account holds above them and the minimum is burned.
    pub(crate) fn store_sysvar_with(&self, pubkey: &Pubkey, data: Vec<u8>, lamports: u64) {
        let rent_epoch = self.load(pubkey).map_or(INITIAL_RENT_EPOCH, |(account, _)| account.rent_epoch());
        let lamports = lamports.max(self.minimum_balance(data.len()));
        let account = AccountSharedData::create_from_existing_shared_data(
            lamports,
            std::sync::Arc::new(data),
            sysvar::id(),
            false,
            rent_epoch,
        );
        self.store_and_count(pubkey, account);
    }

    /// Takes an account that sits where a program of the runtime must be out of existence (bank.rs:burn_and_purge_account).
    pub(crate) fn burn(&self, pubkey: &Pubkey, mut account: AccountSharedData) {
        self.capitalization.fetch_sub(account.lamports(), Relaxed);
        account.set_lamports(0);
        account.data_as_mut_slice().fill(0);
        self.store(&[(*pubkey, account)]);
    }

    pub(crate) fn move_capitalization(&self, before: u64, after: u64) {
        if after >= before {
            self.capitalization.fetch_add(after - before, Relaxed);
        } else {
            self.capitalization.fetch_sub(before - after, Relaxed);
        }
    }
}

/// What a sysvar account is created with before the rent rule raises it.
pub(crate) const LAMPORTS_BEFORE_RENT: u64 = 1;
