//! The rooted state: what no fork can take back.

use {
    dashmap::DashMap,
    solana_account::{AccountSharedData, ReadableAccount},
    std::collections::HashSet,
    tandem_types::{Pubkey, Slot},
};

/// Where rooted accounts live. Slots are applied in ascending order, each once.
pub trait RootedStore: Send + Sync {
    /// Never returns an account without lamports.
    fn load(&self, pubkey: &Pubkey) -> Option<(AccountSharedData, Slot)>;
    /// Takes over what `slot` wrote; an account without lamports is removed.
    fn apply(&self, slot: Slot, pubkey: Pubkey, account: AccountSharedData);
    fn owned_by(&self, owner: &Pubkey) -> Vec<Pubkey>;
    fn for_each(&self, visit: &mut dyn FnMut(&Pubkey, &AccountSharedData, Slot));
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All of it in memory, with an index by owner.
#[derive(Default)]
pub struct MemoryStore {
    accounts: DashMap<Pubkey, (AccountSharedData, Slot)>,
    by_owner: DashMap<Pubkey, HashSet<Pubkey>>,
}

impl RootedStore for MemoryStore {
    fn load(&self, pubkey: &Pubkey) -> Option<(AccountSharedData, Slot)> {
        self.accounts.get(pubkey).map(|entry| entry.value().clone())
    }

    fn apply(&self, slot: Slot, pubkey: Pubkey, account: AccountSharedData) {
        let owner = (account.lamports() > 0).then(|| *account.owner());
        let previous = match owner {
            Some(_) => self.accounts.insert(pubkey, (account, slot)),
            None => self.accounts.remove(&pubkey).map(|(_, removed)| removed),
        };
        let previous_owner = previous.map(|(account, _)| *account.owner());
        if previous_owner == owner {
            return;
        }
        if let Some(previous_owner) = previous_owner {
            self.forget_owner(&previous_owner, &pubkey);
        }
        if let Some(owner) = owner {
            self.by_owner.entry(owner).or_default().insert(pubkey);
        }
    }

    fn owned_by(&self, owner: &Pubkey) -> Vec<Pubkey> {
        self.by_owner.get(owner).map(|keys| keys.iter().copied().collect()).unwrap_or_default()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&Pubkey, &AccountSharedData, Slot)) {
        for entry in &self.accounts {
            let (account, slot) = entry.value();
            visit(entry.key(), account, *slot);
        }
    }

    fn len(&self) -> usize {
        self.accounts.len()
    }
}

impl MemoryStore {
    fn forget_owner(&self, owner: &Pubkey, pubkey: &Pubkey) {
        let is_last = self.by_owner.get_mut(owner).is_some_and(|mut keys| {
            keys.remove(pubkey);
            keys.is_empty()
        });
        if is_last {
            self.by_owner.remove_if(owner, |_, keys| keys.is_empty());
        }
    }
}
