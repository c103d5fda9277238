//! Accounts of every living fork over the rooted store.
//!
//! ```text
//!            unrooted: key -> versions by slot          rooted: key -> account
//!   9 --.        K: [7, 9]   J: [8]                        K: 3    L: 2
//!   7 - 8        a block on 7-8 reads K at 7, J at 8, L at 2
//! ```
//! A read is one look into the index and, if no ancestor wrote the account, one into the rooted store: its cost does
//! not grow with the length of the fork.

use {
    crate::{Ancestors, MemoryStore, RootedStore},
    dashmap::DashMap,
    solana_account::{AccountSharedData, ReadableAccount},
    std::{
        collections::{HashMap, HashSet},
        sync::Mutex,
    },
    tandem_types::{Pubkey, Slot},
};

pub struct Accounts {
    /// Versions by unrooted slots, ascending by slot.
    unrooted: DashMap<Pubkey, Vec<Version>>,
    written: Mutex<HashMap<Slot, HashSet<Pubkey>>>,
    rooted: Box<dyn RootedStore>,
}

struct Version {
    slot: Slot,
    account: AccountSharedData,
}

impl Accounts {
    pub fn new() -> Self {
        Self::over(Box::new(MemoryStore::default()))
    }

    pub fn over(rooted: Box<dyn RootedStore>) -> Self {
        Self { unrooted: DashMap::new(), written: Mutex::new(HashMap::new()), rooted }
    }

    /// Writes accounts in an unrooted slot; a later write of the same slot replaces an earlier one.
    pub fn store(&self, slot: Slot, accounts: &[(Pubkey, AccountSharedData)]) {
        // The key is listed before its version exists, so that `root` and `purge` can never miss a version.
        {
            let mut written = self.written.lock().expect("invariant: no panic while the list of keys is held");
            written.entry(slot).or_default().extend(accounts.iter().map(|(pubkey, _)| *pubkey));
        }
        for (pubkey, account) in accounts {
            let mut versions = self.unrooted.entry(*pubkey).or_default();
            match versions.binary_search_by_key(&slot, |version| version.slot) {
                Ok(index) => versions[index].account = account.clone(),
                Err(index) => versions.insert(index, Version { slot, account: account.clone() }),
            }
        }
    }

    /// The account as a block on `ancestors` sees it, with the slot that wrote it. An account without lamports does not exist.
    pub fn load(&self, pubkey: &Pubkey, ancestors: &Ancestors) -> Option<(AccountSharedData, Slot)> {
        // Rooting moves a version by writing the rooted store first, so looking there second cannot miss it.
        match self.unrooted_version(pubkey, ancestors) {
            Some((account, slot)) => (account.lamports() > 0).then_some((account, slot)),
            None => self.rooted.load(pubkey),
        }
    }

    /// What `slot` itself wrote to the account, while the slot is unrooted; an account without lamports is a deletion.
    pub fn written_in(&self, pubkey: &Pubkey, slot: Slot) -> Option<AccountSharedData> {
        let versions = self.unrooted.get(pubkey)?;
        let index = versions.binary_search_by_key(&slot, |version| version.slot).ok()?;
        Some(versions[index].account.clone())
    }

    /// The accounts an unrooted slot wrote.
    pub fn keys_written_in(&self, slot: Slot) -> Vec<Pubkey> {
        let written = self.written.lock().expect("invariant: no panic while the list of keys is held");
        written.get(&slot).map(|keys| keys.iter().copied().collect()).unwrap_or_default()
    }

    /// Moves what `slot` wrote into the rooted store. Call it for the slots of the rooted line in ascending order.
    pub fn root(&self, slot: Slot) {
        for pubkey in self.take_keys(slot) {
            if let Some(account) = self.written_in(&pubkey, slot) {
                self.rooted.apply(slot, pubkey, account);
            }
            self.remove_version(&pubkey, slot);
        }
    }

    /// Forgets what a dropped slot wrote.
    pub fn purge(&self, slot: Slot) {
        for pubkey in self.take_keys(slot) {
            self.remove_version(&pubkey, slot);
        }
    }

    /// All accounts the view can see for which `wanted` holds. Walks everything: for start-up, checks and rare requests.
    pub fn scan(
        &self,
        ancestors: &Ancestors,
        wanted: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData)> {
        let mut candidates: HashSet<Pubkey> = self.unrooted.iter().map(|entry| *entry.key()).collect();
        self.rooted.for_each(&mut |pubkey, _, _| {
            candidates.insert(*pubkey);
        });
        self.visible(candidates, ancestors, wanted)
    }

    /// The accounts of one owner that the view can see and for which `wanted` holds.
    pub fn owned_by(
        &self,
        owner: &Pubkey,
        ancestors: &Ancestors,
        wanted: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData)> {
        let mut candidates: HashSet<Pubkey> = self
            .unrooted
            .iter()
            .filter(|entry| entry.value().iter().any(|version| version.account.owner() == owner))
            .map(|entry| *entry.key())
            .collect();
        candidates.extend(self.rooted.owned_by(owner));
        self.visible(candidates, ancestors, |pubkey, account| account.owner() == owner && wanted(pubkey, account))
    }

    pub fn unrooted_slots(&self) -> Vec<Slot> {
        self.written.lock().expect("invariant: no panic while the list of keys is held").keys().copied().collect()
    }

    pub fn rooted(&self) -> &dyn RootedStore {
        self.rooted.as_ref()
    }

    fn unrooted_version(&self, pubkey: &Pubkey, ancestors: &Ancestors) -> Option<(AccountSharedData, Slot)> {
        let versions = self.unrooted.get(pubkey)?;
        let version = versions.iter().rev().find(|version| ancestors.contains(version.slot))?;
        Some((version.account.clone(), version.slot))
    }

    fn visible(
        &self,
        candidates: HashSet<Pubkey>,
        ancestors: &Ancestors,
        wanted: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData)> {
        candidates
            .into_iter()
            .filter_map(|pubkey| self.load(&pubkey, ancestors).map(|(account, _)| (pubkey, account)))
            .filter(|(pubkey, account)| wanted(pubkey, account))
            .collect()
    }

    fn take_keys(&self, slot: Slot) -> HashSet<Pubkey> {
        let mut written = self.written.lock().expect("invariant: no panic while the list of keys is held");
        written.remove(&slot).unwrap_or_default()
    }

    fn remove_version(&self, pubkey: &Pubkey, slot: Slot) {
        let is_last = self.unrooted.get_mut(pubkey).is_some_and(|mut versions| {
            versions.retain(|version| version.slot != slot);
            versions.is_empty()
        });
        if is_last {
            self.unrooted.remove_if(pubkey, |_, versions| versions.is_empty());
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        rand::{Rng, SeedableRng, rngs::StdRng},
        std::collections::BTreeMap,
    };

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    fn with(lamports: u64) -> AccountSharedData {
        AccountSharedData::new(lamports, 0, &key(200))
    }

    fn line(slots: &[Slot]) -> Ancestors {
        slots.iter().skip(1).fold(Ancestors::only(slots[0]), |line, slot| line.child(*slot, 0))
    }

    fn lamports(accounts: &Accounts, n: u8, slots: &[Slot]) -> Option<(u64, Slot)> {
        accounts.load(&key(n), &line(slots)).map(|(account, slot)| (account.lamports(), slot))
    }

    // 1 - 2 - 4
    //  `- 3
    #[test]
    fn forks_do_not_see_each_other() {
        let accounts = Accounts::new();
        accounts.store(1, &[(key(1), with(10))]);
        accounts.store(2, &[(key(1), with(20))]);
        accounts.store(3, &[(key(1), with(30)), (key(2), with(1))]);
        assert_eq!(lamports(&accounts, 1, &[1, 2, 4]), Some((20, 2)));
        assert_eq!(lamports(&accounts, 1, &[1, 3]), Some((30, 3)));
        assert_eq!(lamports(&accounts, 1, &[1]), Some((10, 1)));
        assert_eq!(lamports(&accounts, 2, &[1, 2, 4]), None);
    }

    #[test]
    fn a_deletion_hides_the_rooted_account_and_then_removes_it() {
        let accounts = Accounts::new();
        accounts.store(1, &[(key(1), with(10))]);
        accounts.root(1);
        accounts.store(2, &[(key(1), with(0))]);
        assert_eq!(lamports(&accounts, 1, &[2]), None);
        assert_eq!(lamports(&accounts, 1, &[3]), Some((10, 1)), "a fork without the deletion still sees it");
        accounts.root(2);
        assert_eq!(lamports(&accounts, 1, &[3]), None);
        assert_eq!(accounts.rooted().len(), 0);
    }

    #[test]
    fn a_purged_slot_leaves_nothing() {
        let accounts = Accounts::new();
        accounts.store(1, &[(key(1), with(10))]);
        accounts.store(2, &[(key(1), with(20))]);
        accounts.purge(2);
        assert_eq!(lamports(&accounts, 1, &[1, 2]), Some((10, 1)));
        assert_eq!(accounts.unrooted_slots(), [1]);
    }

    #[test]
    fn owners_are_followed_through_rooting() {
        let accounts = Accounts::new();
        let owner = key(200);
        accounts.store(1, &[(key(1), with(10)), (key(2), with(20))]);
        accounts.root(1);
        let other = AccountSharedData::new(10, 0, &key(201));
        accounts.store(2, &[(key(1), other), (key(3), with(5))]);
        let sorted = |view: &[Slot]| {
            let mut keys: Vec<_> =
                accounts.owned_by(&owner, &line(view), |_, _| true).into_iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(sorted(&[2]), [key(2), key(3)]);
        assert_eq!(sorted(&[9]), [key(1), key(2)]);
        accounts.root(2);
        assert_eq!(sorted(&[9]), [key(2), key(3)]);
    }

    /// Random trees of writes and roots against a model that walks parents.
    #[test]
    fn agrees_with_a_walk_over_parents() {
        for seed in 0..50 {
            let mut rng = StdRng::seed_from_u64(seed);
            let accounts = Accounts::new();
            let mut parents: BTreeMap<Slot, Slot> = BTreeMap::new();
            let mut writes: BTreeMap<(Slot, u8), u64> = BTreeMap::new();
            for slot in 1..30u64 {
                let parent = rng.random_range(slot.saturating_sub(3)..slot);
                parents.insert(slot, parent);
                for _ in 0..rng.random_range(0..4) {
                    let (n, amount) = (rng.random_range(0..5u8), rng.random_range(0..3u64));
                    writes.insert((slot, n), amount);
                    accounts.store(slot, &[(key(n), with(amount))]);
                }
            }
            let path = |tip: Slot| {
                let mut path = vec![tip];
                while let Some(parent) = parents.get(path.last().unwrap()).filter(|parent| **parent > 0) {
                    path.push(*parent);
                }
                path.reverse();
                path
            };
            let model = |path: &[Slot], n: u8| {
                path.iter().rev().find_map(|slot| writes.get(&(*slot, n))).copied().filter(|amount| *amount > 0)
            };
            for tip in 1..30 {
                for n in 0..5 {
                    assert_eq!(
                        lamports(&accounts, n, &path(tip)).map(|(amount, _)| amount),
                        model(&path(tip), n),
                        "seed {seed} tip {tip} key {n}"
                    );
                }
            }
            let rooted_path = path(29);
            let (rooted, rest) = rooted_path.split_at(rooted_path.len() / 2);
            rooted.iter().for_each(|slot| accounts.root(*slot));
            (1..30).filter(|slot| !rooted_path.contains(slot)).for_each(|slot| accounts.purge(slot));
            for n in 0..5 {
                assert_eq!(
                    lamports(&accounts, n, rest).map(|(amount, _)| amount),
                    model(&rooted_path, n),
                    "seed {seed} rooted key {n}"
                );
            }
        }
    }
}
