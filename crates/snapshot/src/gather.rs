//! The newest version of every account, whatever the order in which the archives bring them.

use {
    crate::SnapshotError,
    solana_account::{AccountSharedData, ReadableAccount},
    std::collections::{HashMap, hash_map::Entry},
    tandem_types::{Pubkey, Slot},
};

#[derive(Default)]
pub(crate) struct Gathered {
    versions: HashMap<Pubkey, Version>,
}

pub(crate) struct Version {
    pub(crate) slot: Slot,
    pub(crate) account: AccountSharedData,
    /// The number of the file that holds it.
    file: u64,
}

impl Gathered {
    /// Later slots win; within a file the later record wins. Two files of one slot must not both hold an account: nobody
    /// could say which counts.
    pub(crate) fn add(
        &mut self,
        slot: Slot,
        file: u64,
        key: Pubkey,
        account: AccountSharedData,
    ) -> Result<(), SnapshotError> {
        match self.versions.entry(key) {
            Entry::Vacant(place) => {
                place.insert(Version { slot, account, file });
            }
            Entry::Occupied(place) if slot == place.get().slot && file != place.get().file => {
                return Err(SnapshotError::WrittenTwice { key, slot });
            }
            Entry::Occupied(mut place) if slot >= place.get().slot => {
                place.insert(Version { slot, account, file });
            }
            Entry::Occupied(_) => {}
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// Without the accounts whose newest version is their deletion.
    pub(crate) fn into_living(self) -> impl Iterator<Item = (Pubkey, Version)> {
        self.versions.into_iter().filter(|(_, version)| version.account.lamports() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_wins_in_any_order() {
        let (key, dead) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([2; 32]));
        let with = |lamports| AccountSharedData::new(lamports, 0, &Pubkey::default());
        let mut writes = [(5, 50, key, 1), (7, 70, key, 2), (7, 70, key, 3), (6, 60, dead, 0), (4, 40, dead, 9)];
        for _ in 0..2 {
            let mut gathered = Gathered::default();
            for (slot, file, key, lamports) in writes {
                gathered.add(slot, file, key, with(lamports)).unwrap();
            }
            let living: Vec<_> =
                gathered.into_living().map(|(key, version)| (key, version.slot, version.account.lamports())).collect();
            assert_eq!(living, [(key, 7, 3)]);
            // The slots the other way round; within a file the order is given.
            writes.reverse();
            writes.swap(2, 3);
        }
    }

    #[test]
    fn two_files_of_a_slot_do_not_share_an_account() {
        let mut gathered = Gathered::default();
        let account = AccountSharedData::default();
        gathered.add(5, 1, Pubkey::default(), account.clone()).unwrap();
        assert!(matches!(
            gathered.add(5, 2, Pubkey::default(), account),
            Err(SnapshotError::WrittenTwice { slot: 5, .. })
        ));
    }
}
