//! The lattice hash: one sum over all accounts that can be updated account by account.

use {
    blake3::Hasher,
    rayon::prelude::*,
    solana_account::{AccountSharedData, ReadableAccount},
    std::{collections::HashMap, fmt},
    tandem_types::{Hash, Pubkey},
};

/// 1024 wrapping 16-bit counters (solana-lattice-hash-4.2.2/src/lt_hash.rs). The empty set of accounts is all zero.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash([u16; LtHash::COUNTERS]);

impl LtHash {
    const COUNTERS: usize = 1024;
    /// Bytes of the hash as the bank hash takes it in.
    pub const BYTES: usize = 2 * Self::COUNTERS;

    pub const fn identity() -> Self {
        Self([0; Self::COUNTERS])
    }

    /// The next 2048 bytes that `hasher` can give, read as little-endian counters.
    pub fn from_hasher(hasher: &Hasher) -> Self {
        let mut bytes = [0; Self::BYTES];
        hasher.finalize_xof().fill(&mut bytes);
        Self::from_bytes(&bytes)
    }

    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut counters = [0; Self::COUNTERS];
        for (counter, pair) in counters.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *counter = u16::from_le_bytes(*pair);
        }
        Self(counters)
    }

    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (pair, counter) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(&self.0) {
            *pair = counter.to_le_bytes();
        }
        bytes
    }

    pub fn mix_in(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.wrapping_add(*theirs);
        }
    }

    pub fn mix_out(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = mine.wrapping_sub(*theirs);
        }
    }

    /// The short form that agave logs and that names snapshots.
    pub fn checksum(&self) -> Hash {
        Hash::new_from_array(*blake3::hash(&self.to_bytes()).as_bytes())
    }
}

impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LtHash({})", self.checksum())
    }
}

/// What one account adds to the sum; an account without lamports does not exist and adds nothing.
/// Its rent epoch is not hashed (accounts_db.rs: `hash_account_helper`).
pub fn account_element(pubkey: &Pubkey, account: &AccountSharedData) -> LtHash {
    if account.lamports() == 0 {
        return LtHash::identity();
    }
    let mut hasher = Hasher::new();
    hasher.update(&account.lamports().to_le_bytes());
    hasher.update(account.data());
    let mut tail = [0; 65];
    tail[0] = u8::from(account.executable());
    tail[1..33].copy_from_slice(account.owner().as_ref());
    tail[33..].copy_from_slice(pubkey.as_ref());
    hasher.update(&tail);
    LtHash::from_hasher(&hasher)
}

/// An account a slot wrote: as the parent saw it and as it is now.
#[derive(Clone, Debug)]
pub struct Change {
    pub key: Pubkey,
    pub before: Option<AccountSharedData>,
    pub after: AccountSharedData,
}

/// What a slot adds to its parent's hash.
#[derive(Clone, Debug)]
pub struct Delta {
    pub sum: LtHash,
    /// Elements of the larger accounts as they are now, for the slot's children to pass as `known`.
    pub elements: HashMap<Pubkey, LtHash>,
}

impl Delta {
    /// `known` are the elements of accounts as the parent left them, so that nothing large is hashed twice.
    pub fn new(changes: &[Change], known: &HashMap<Pubkey, LtHash>) -> Self {
        let bytes: usize = changes.iter().map(|change| change.after.data().len() + ELEMENT_BYTES_ESTIMATE).sum();
        let pairs: Vec<_> = if bytes < PARALLEL_BYTES_MIN {
            changes.iter().filter_map(|change| change.elements(known)).collect()
        } else {
            changes.par_iter().with_min_len(8).filter_map(|change| change.elements(known)).collect()
        };
        let mut delta = Self { sum: LtHash::identity(), elements: HashMap::new() };
        for (change, before, after) in pairs {
            if let Some(before) = before {
                delta.sum.mix_out(&before);
            }
            delta.sum.mix_in(&after);
            if change.after.data().len() >= KEPT_DATA_BYTES_MIN {
                delta.elements.insert(change.key, after);
            }
        }
        delta
    }
}

impl Change {
    /// Elements before and after; nothing if they are the same.
    fn elements(&self, known: &HashMap<Pubkey, LtHash>) -> Option<(&Change, Option<LtHash>, LtHash)> {
        if self.before.as_ref().is_some_and(|before| is_same(before, &self.after)) {
            return None;
        }
        let before = self.before.as_ref().map(|before| match known.get(&self.key) {
            Some(element) => element.clone(),
            None => account_element(&self.key, before),
        });
        Some((self, before, account_element(&self.key, &self.after)))
    }
}

/// Whether two versions have one element.
fn is_same(before: &AccountSharedData, after: &AccountSharedData) -> bool {
    before.lamports() == after.lamports()
        && before.owner() == after.owner()
        && before.executable() == after.executable()
        && before.data() == after.data()
}

/// Below about a megabyte one core is done before a second one has woken up.
const PARALLEL_BYTES_MIN: usize = 1 << 20;
/// Making 2 KB of hash from anything costs as much as hashing this many bytes.
const ELEMENT_BYTES_ESTIMATE: usize = 4096;
/// An element is 2 KB itself: keeping it for a smaller account costs more than it saves.
const KEPT_DATA_BYTES_MIN: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn account(lamports: u64, data: &[u8]) -> AccountSharedData {
        let mut account = AccountSharedData::new(lamports, data.len(), &Pubkey::new_from_array([7; 32]));
        account.set_data_from_slice(data);
        account
    }

    #[test]
    fn mixing_out_undoes_mixing_in_in_any_order() {
        let elements =
            [1u8, 2, 3].map(|n| account_element(&Pubkey::new_from_array([n; 32]), &account(u64::from(n), &[n])));
        let mut sum = LtHash::identity();
        elements.iter().for_each(|element| sum.mix_in(element));
        [1, 0, 2].iter().for_each(|n| sum.mix_out(&elements[*n]));
        assert_eq!(sum, LtHash::identity());
    }

    #[test]
    fn every_hashed_field_changes_the_element() {
        let key = Pubkey::new_from_array([1; 32]);
        let base = account_element(&key, &account(1, b"x"));
        assert_ne!(base, account_element(&key, &account(2, b"x")));
        assert_ne!(base, account_element(&key, &account(1, b"y")));
        assert_ne!(base, account_element(&Pubkey::new_from_array([2; 32]), &account(1, b"x")));
        let mut executable = solana_account::Account::from(account(1, b"x"));
        executable.executable = true;
        assert_ne!(base, account_element(&key, &executable.clone().into()));
        executable.executable = false;
        executable.rent_epoch = 9;
        assert_eq!(base, account_element(&key, &executable.into()), "the rent epoch is not hashed");
    }

    #[test]
    fn an_account_without_lamports_is_nothing() {
        assert_eq!(account_element(&Pubkey::new_from_array([1; 32]), &account(0, b"data")), LtHash::identity());
    }

    #[test]
    fn bytes_round_trip_and_are_little_endian() {
        let element = account_element(&Pubkey::new_from_array([3; 32]), &account(5, b"abc"));
        assert_eq!(LtHash::from_bytes(&element.to_bytes()), element);
        assert_eq!(element.to_bytes()[..2], element.0[0].to_le_bytes());
    }

    #[test]
    fn a_delta_leads_from_the_parents_sum_to_the_childs() {
        let key = |n: u16| Pubkey::new_from_array([n as u8, (n >> 8) as u8].repeat(16).try_into().unwrap());
        let sum = |accounts: &[(u16, AccountSharedData)]| {
            let mut sum = LtHash::identity();
            accounts.iter().for_each(|(n, account)| sum.mix_in(&account_element(&key(*n), account)));
            sum
        };
        // 1 is new, 2 changes, 3 goes, 4 stays as it is although it was written; then enough accounts for several threads.
        for extra in [0u16, 600] {
            let mut before = vec![(2, account(1, &[1; 5000])), (3, account(1, b"gone")), (4, account(7, b"same"))];
            let mut after = vec![
                (1, account(9, b"new")),
                (2, account(1, &[2; 5000])),
                (3, account(0, b"")),
                (4, account(7, b"same")),
            ];
            for n in 10..10 + extra {
                before.push((n, account(u64::from(n), &[1; 100])));
                after.push((n, account(u64::from(n) + 1, &[1; 100])));
            }
            let changes: Vec<Change> = after
                .iter()
                .map(|(n, after)| Change {
                    key: key(*n),
                    before: before.iter().find(|(m, _)| m == n).map(|(_, account)| account.clone()),
                    after: after.clone(),
                })
                .collect();
            let delta = Delta::new(&changes, &HashMap::new());
            let mut moved = sum(&before);
            moved.mix_in(&delta.sum);
            assert_eq!(moved, sum(&after), "{extra} more accounts");
            assert_eq!(delta.elements.keys().collect::<Vec<_>>(), [&key(2)]);

            let undo = [Change { key: key(2), before: Some(after[1].1.clone()), after: before[0].1.clone() }];
            let undone = Delta::new(&undo, &delta.elements);
            let mut back = sum(&after);
            back.mix_in(&undone.sum);
            after[1] = before[0].clone();
            assert_eq!(back, sum(&after), "a known element stands for the account before");
        }
    }
}
