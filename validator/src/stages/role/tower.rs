//! From what is stored, or from what is on chain, to what the voter adopts.

use {
    solana_account::ReadableAccount,
    std::collections::VecDeque,
    tandem_bank::Bank,
    tandem_tower_storage::{StoredTower, Tower},
    tandem_types::{BlockKey, Hash, Pubkey, Slot},
    tandem_vote::{Adopted, LastVote, Lockout, TowerState, VoteTime},
};

pub fn adopted(stored: &StoredTower, bank: &Bank, root: Slot) -> Adopted {
    let tower = state_of(stored.tower());
    let rooted = rooted(&tower, bank, root);
    Adopted {
        tower,
        last_vote: stored.last_vote().map(|last| LastVote {
            block: BlockKey::new(last.slot, last.hash),
            block_id: last.block_id,
            timestamp: stored.last_timestamp().filter(|(slot, _)| *slot == last.slot).map(|(_, unix)| unix),
        }),
        last_timestamp: stored.last_timestamp().map(|(slot, unix)| VoteTime { slot, unix }),
        rooted,
    }
}

/// The vote account's own tower: for an identity that has voted before it had a store. `hash_of` gives the bank hash of a
/// replayed slot.
pub fn from_chain(
    bank: &Bank,
    root: Slot,
    vote_account: Option<Pubkey>,
    hash_of: impl Fn(Slot) -> Option<Hash>,
) -> Result<(Adopted, Tower), String> {
    let accounts = bank.vote_accounts();
    let account = vote_account.and_then(|key| accounts.get(&key)).ok_or("the vote account does not exist")?;
    let state = account.state();
    let votes: Vec<(Slot, u32)> = state.votes.iter().map(|vote| (vote.slot, vote.confirmation_count)).collect();
    let promised = Tower { votes, root: state.root };
    let tower = state_of(&promised);
    let last_vote = match tower.last_voted_slot() {
        None => None,
        Some(slot) => {
            let hash = hash_of(slot)
                .ok_or_else(|| format!("the block of its last vote, slot {slot}, is not replayed here"))?;
            Some(LastVote { block: BlockKey::new(slot, hash), block_id: Hash::default(), timestamp: None })
        }
    };
    let last_timestamp = Some(VoteTime { slot: state.last_timestamp.slot, unix: state.last_timestamp.timestamp })
        .filter(|time| time.slot > 0);
    let rooted = rooted(&tower, bank, root);
    Ok((Adopted { tower, last_vote, last_timestamp, rooted }, promised))
}

fn state_of(tower: &Tower) -> TowerState {
    let votes: VecDeque<Lockout> =
        tower.votes.iter().map(|(slot, count)| Lockout::new_with_confirmation_count(*slot, *count)).collect();
    TowerState { votes, root: tower.root }
}

/// Which of the tower's slots are our root or ancestors of it. The bank descends from the root, so those of its slot history
/// that are not above the root are.
fn rooted(tower: &TowerState, bank: &Bank, root: Slot) -> Vec<Slot> {
    let history = bank
        .account(&solana_slot_history::sysvar::id())
        .and_then(|account| bincode::deserialize::<solana_slot_history::SlotHistory>(account.data()).ok());
    let Some(history) = history else { return Vec::new() };
    let slots = tower.votes.iter().map(Lockout::slot).chain(tower.root);
    slots.filter(|slot| *slot <= root && history.check(*slot) == solana_slot_history::Check::Found).collect()
}
