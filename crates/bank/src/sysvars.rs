//! The sysvar accounts a block writes about itself.
//!
//! The two large ones are changed in place: building 131 KB of slot history anew would cost more than a small block.

use {
    crate::Bank,
    solana_account::ReadableAccount,
    solana_clock::Clock,
    solana_last_restart_slot::LastRestartSlot,
    solana_sdk_ids::sysvar,
    std::collections::BTreeSet,
    tandem_types::{Hash, Slot},
};

impl Bank {
    pub fn clock(&self) -> Clock {
        self.sysvar(&sysvar::clock::id()).unwrap_or_default()
    }

    pub(crate) fn write_clock(&self, clock: &Clock) {
        self.store_sysvar(&sysvar::clock::id(), serialized(clock, CLOCK_BYTES));
    }

    pub(crate) fn write_rent(&self) {
        self.store_sysvar(&sysvar::rent::id(), serialized(&self.rent, RENT_BYTES));
    }

    pub(crate) fn write_epoch_schedule(&self) {
        self.store_sysvar(&sysvar::epoch_schedule::id(), serialized(&self.chain.epoch_schedule, EPOCH_SCHEDULE_BYTES));
    }

    pub(crate) fn write_stake_history(&self) {
        let data = {
            let stakes = self.stakes.read().expect("invariant: no panic while the stakes cache is held");
            serialized(stakes.history(), STAKE_HISTORY_BYTES)
        };
        self.store_sysvar(&sysvar::stake_history::id(), data);
    }

    /// Newest first, as many as fit; written when the last tick registers the block's hash.
    pub(crate) fn write_recent_blockhashes(&self) {
        let newest = {
            let queue = self.blockhashes.read().expect("invariant: no panic while the blockhashes are held");
            queue.newest_first(RECENT_BLOCKHASHES_MAX)
        };
        let mut data = Vec::with_capacity(RECENT_BLOCKHASHES_BYTES);
        data.extend_from_slice(&(newest.len() as u64).to_le_bytes());
        for (hash, lamports_per_signature) in newest {
            data.extend_from_slice(hash.as_ref());
            data.extend_from_slice(&lamports_per_signature.to_le_bytes());
        }
        data.resize(RECENT_BLOCKHASHES_BYTES, 0);
        // The id is deprecated in the SDK; the account is not.
        #[allow(deprecated)]
        self.store_sysvar(&sysvar::recent_blockhashes::id(), data);
    }

    /// Puts the parent's bank hash in front.
    pub(crate) fn write_slot_hashes(&self) {
        let before = self.load(&sysvar::slot_hashes::id()).map(|(account, _)| account);
        let data = pushed_slot_hash(before.as_ref().map(ReadableAccount::data), self.parent_slot, self.parent_hash);
        self.store_sysvar(&sysvar::slot_hashes::id(), data);
    }

    /// Adds this slot's own bit.
    pub(crate) fn write_slot_history(&self) {
        let mut data = match self.load(&sysvar::slot_history::id()) {
            Some((account, _)) => account.data().to_vec(),
            None => empty_slot_history(),
        };
        add_to_slot_history(&mut data, self.slot);
        self.store_sysvar(&sysvar::slot_history::id(), data);
    }

    /// The latest hard fork at or before this slot; written only when it changes.
    pub(crate) fn write_last_restart_slot(&self) {
        let id = sysvar::last_restart_slot::id();
        let now =
            self.chain.hard_forks.iter().rev().map(|(slot, _)| *slot).find(|slot| *slot <= self.slot).unwrap_or(0);
        let before = self.sysvar::<LastRestartSlot>(&id).map(|sysvar| sysvar.last_restart_slot);
        if before != Some(now) {
            self.store_sysvar(&id, now.to_le_bytes().to_vec());
        }
    }

    pub(crate) fn sysvar<T: serde::de::DeserializeOwned>(&self, id: &tandem_types::Pubkey) -> Option<T> {
        bincode::deserialize(self.load(id)?.0.data()).ok()
    }
}

/// bincode in a buffer of the account's fixed size.
pub(crate) fn serialized(value: &impl serde::Serialize, account_bytes: usize) -> Vec<u8> {
    let mut data = bincode::serialize(value).expect("invariant: sysvars have no unserializable parts");
    data.resize(data.len().max(account_bytes), 0);
    data
}

/// Layout: u64 count, then (slot u64, hash) descending by slot.
fn pushed_slot_hash(before: Option<&[u8]>, slot: Slot, hash: Hash) -> Vec<u8> {
    let count_before = before.map_or(0, |data| usize::try_from(read_u64(data, 0)).unwrap_or(0)).min(SLOT_HASHES_MAX);
    let kept = count_before.min(SLOT_HASHES_MAX - 1);
    let mut data = Vec::with_capacity(SLOT_HASHES_BYTES);
    data.extend_from_slice(&(kept as u64 + 1).to_le_bytes());
    data.extend_from_slice(&slot.to_le_bytes());
    data.extend_from_slice(hash.as_ref());
    if let Some(before) = before {
        data.extend_from_slice(&before[8..8 + kept * SLOT_HASH_BYTES]);
    }
    data.resize(SLOT_HASHES_BYTES, 0);
    data
}

/// Layout: one byte 1, u64 count of words, the words, u64 count of bits, u64 next slot
/// (bincode of a `BitVec<u64>` and a slot; solana-slot-history).
fn empty_slot_history() -> Vec<u8> {
    let mut data = vec![0; SLOT_HISTORY_BYTES];
    data[0] = 1;
    data[1..9].copy_from_slice(&(SLOT_HISTORY_SLOTS / 64).to_le_bytes());
    data[SLOT_HISTORY_WORDS] = 1; // Slot 0 is always in.
    data[SLOT_HISTORY_TAIL..SLOT_HISTORY_TAIL + 8].copy_from_slice(&SLOT_HISTORY_SLOTS.to_le_bytes());
    data[SLOT_HISTORY_TAIL + 8..].copy_from_slice(&1u64.to_le_bytes());
    data
}

fn add_to_slot_history(data: &mut [u8], slot: Slot) {
    let next_slot = read_u64(data, SLOT_HISTORY_TAIL + 8);
    let bits = &mut data[SLOT_HISTORY_WORDS..SLOT_HISTORY_TAIL];
    // Words are little-endian, so bit n of the vector is bit n % 8 of byte n / 8.
    let place = |slot: Slot| ((slot % SLOT_HISTORY_SLOTS / 8) as usize, 1u8 << (slot % 8));
    if slot > next_slot && slot - next_slot >= SLOT_HISTORY_SLOTS {
        bits.fill(0);
    } else {
        for skipped in next_slot..slot {
            let (byte, bit) = place(skipped);
            bits[byte] &= !bit;
        }
    }
    let (byte, bit) = place(slot);
    bits[byte] |= bit;
    data[SLOT_HISTORY_TAIL + 8..SLOT_HISTORY_TAIL + 16].copy_from_slice(&(slot + 1).to_le_bytes());
}

/// The newest slots of the history, at most `count`; `None` if it is not a slot history whose newest slot is `newest`.
pub(crate) fn newest_slots(data: &[u8], newest: Slot, count: usize) -> Option<BTreeSet<Slot>> {
    let is_history = data.len() == SLOT_HISTORY_BYTES
        && data[0] == 1
        && read_u64(data, 1) == SLOT_HISTORY_SLOTS / 64
        && read_u64(data, SLOT_HISTORY_TAIL) == SLOT_HISTORY_SLOTS
        && read_u64(data, SLOT_HISTORY_TAIL + 8).checked_sub(1) == Some(newest);
    if !is_history {
        return None;
    }
    let bits = &data[SLOT_HISTORY_WORDS..SLOT_HISTORY_TAIL];
    let is_in = |slot: &Slot| bits[(*slot % SLOT_HISTORY_SLOTS / 8) as usize] & (1 << (*slot % 8)) != 0;
    let oldest = (newest + 1).saturating_sub(SLOT_HISTORY_SLOTS);
    Some((oldest..=newest).rev().filter(is_in).take(count).collect())
}

fn read_u64(data: &[u8], at: usize) -> u64 {
    data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

// Account sizes: protocol.md 6.4.
const CLOCK_BYTES: usize = 40;
const RENT_BYTES: usize = 17;
const EPOCH_SCHEDULE_BYTES: usize = 33;
const STAKE_HISTORY_BYTES: usize = 16_392;
const RECENT_BLOCKHASHES_MAX: usize = 150;
const RECENT_BLOCKHASHES_BYTES: usize = 8 + RECENT_BLOCKHASHES_MAX * 40;
const SLOT_HASHES_MAX: usize = 512;
const SLOT_HASH_BYTES: usize = 40;
const SLOT_HASHES_BYTES: usize = 8 + SLOT_HASHES_MAX * SLOT_HASH_BYTES;
const SLOT_HISTORY_SLOTS: u64 = 1024 * 1024;
const SLOT_HISTORY_WORDS: usize = 9;
const SLOT_HISTORY_TAIL: usize = SLOT_HISTORY_WORDS + SLOT_HISTORY_SLOTS as usize / 8;
const SLOT_HISTORY_BYTES: usize = SLOT_HISTORY_TAIL + 16;

#[cfg(test)]
mod tests {
    use {super::*, solana_slot_hashes::SlotHashes, solana_slot_history::SlotHistory};

    fn hash(n: u64) -> Hash {
        Hash::new_from_array([n as u8; 32])
    }

    #[test]
    fn slot_hashes_are_what_the_sdk_would_write() {
        let mut ours: Option<Vec<u8>> = None;
        let mut theirs = SlotHashes::default();
        for slot in (0..1200).filter(|slot| slot % 7 != 3) {
            ours = Some(pushed_slot_hash(ours.as_deref(), slot, hash(slot)));
            theirs.add(slot, hash(slot));
            assert_eq!(ours.as_deref().unwrap(), serialized(&theirs, SLOT_HASHES_BYTES), "slot {slot}");
        }
        assert_eq!(ours.unwrap().len(), 20_488);
    }

    #[test]
    fn slot_history_is_what_the_sdk_would_write() {
        let mut ours = empty_slot_history();
        let mut theirs = SlotHistory::default();
        assert_eq!(ours.len(), 131_097);
        assert_eq!(ours, bincode::serialize(&theirs).unwrap());
        let slots = [
            0,
            1,
            2,
            5,
            64,
            65,
            1000,
            SLOT_HISTORY_SLOTS - 1,
            SLOT_HISTORY_SLOTS,
            SLOT_HISTORY_SLOTS + 9,
            5 * SLOT_HISTORY_SLOTS,
        ];
        for slot in slots {
            add_to_slot_history(&mut ours, slot);
            theirs.add(slot);
            assert!(ours == bincode::serialize(&theirs).unwrap(), "slot {slot}");
        }
    }

    #[test]
    fn the_newest_slots_come_from_the_history() {
        let mut data = empty_slot_history();
        [3, 4, 9].iter().for_each(|slot| add_to_slot_history(&mut data, *slot));
        assert_eq!(newest_slots(&data, 9, 3), Some([3, 4, 9].into()));
        assert_eq!(newest_slots(&data, 9, 300), Some([0, 3, 4, 9].into()));
        assert_eq!(newest_slots(&data, 8, 300), None);
        assert_eq!(newest_slots(&data[1..], 9, 300), None);
        add_to_slot_history(&mut data, 2_000_000);
        assert_eq!(newest_slots(&data, 2_000_000, 300), Some([2_000_000].into()));
    }
}
