//! The tower as it lies in the store: agave's file format, signed by the identity.

use {
    crate::{
        check::{Violation, well_formed},
        decision::{Tower, VoteDecision},
    },
    tandem_types::{Hash, Pubkey, Signature, Slot, UnixTimestamp},
    tandem_wire::{
        Reject,
        tower_file::{self, BlockTimestamp, LastUpdate, SavedTower, SavedTowerFile},
    },
    thiserror::Error,
};

/// Signs the bytes of a tower with the identity's key. Implemented by the vault: this crate has no keys.
pub trait TowerSigner {
    fn identity(&self) -> Pubkey;

    /// `None`: the key is not here.
    fn sign_tower(&self, tower: &[u8]) -> Option<Signature>;
}

/// The newest vote of a tower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastVote {
    pub slot: Slot,
    pub hash: Hash,
    /// All zeros in towers of agave before tower sync.
    pub block_id: Hash,
    pub timestamp: Option<UnixTimestamp>,
}

/// A tower whose signature, identity and form were checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTower {
    bytes: Vec<u8>,
    tower: Tower,
    last_vote: Option<LastVote>,
    /// The newest timestamp any vote carried.
    last_timestamp: Option<(Slot, UnixTimestamp)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BadTower {
    #[error("the tower is not signed by {identity} or damaged ({reject:?})")]
    Unreadable { identity: Pubkey, reject: Reject },
    #[error("the tower of {identity} cannot have come from voting: {violation}")]
    Malformed { identity: Pubkey, violation: Violation },
    #[error("the tower of {identity} ends with {last:?}, but names {named:?} as its last vote")]
    LastVote { identity: Pubkey, last: Option<Slot>, named: Option<Slot> },
}

impl StoredTower {
    pub fn decode(bytes: Vec<u8>, identity: &Pubkey) -> Result<Self, BadTower> {
        let identity = *identity;
        let unreadable = |reject| BadTower::Unreadable { identity, reject };
        let file = SavedTowerFile::decode(&bytes).map_err(unreadable)?;
        file.verify(&identity).map_err(unreadable)?;
        let saved = &file.tower;
        let mut tower = Tower { votes: saved.vote_state.votes.iter().copied().collect(), root: saved.vote_state.root };
        // Agave may leave the vote that became the root in its tower (it drops votes below the root only). It forbids nothing
        // that the root does not. Were it the only one, it would be the last vote, which must not be forgotten.
        if tower.votes.len() > 1 && tower.votes.first().map(|(slot, _)| *slot) == tower.root {
            tower.votes.remove(0);
        }
        well_formed(&tower).map_err(|violation| BadTower::Malformed { identity, violation })?;
        let last_vote = tower.last_slot().map(|slot| last_vote(slot, &saved.last_vote));
        let (last, named) = (tower.last_slot(), saved.last_vote.last_slot());
        if last.is_some() && last != named {
            return Err(BadTower::LastVote { identity, last, named });
        }
        let at = saved.last_timestamp;
        let last_timestamp = (at != BlockTimestamp::default()).then_some((at.slot, at.timestamp));
        Ok(Self { bytes, tower, last_vote, last_timestamp })
    }

    /// The tower with a decision in it, signed. The decision must have passed the check: towers that did not cannot be
    /// encoded.
    pub(crate) fn of_decision(
        decision: &VoteDecision,
        before: Option<&StoredTower>,
        signer: &dyn TowerSigner,
    ) -> Option<Self> {
        let VoteDecision { slot, hash, block_id, timestamp, tower, .. } = decision;
        let update = LastUpdate { lockouts: tower.votes.clone(), root: tower.root, hash: *hash, timestamp: *timestamp };
        let last = tower_file::LastVote::TowerSync { update, block_id: *block_id };
        let votes = tower.votes.iter().copied().collect();
        let mut saved = SavedTower::new(signer.identity(), votes, tower.root, last);
        let last_timestamp =
            timestamp.map(|timestamp| (*slot, timestamp)).or_else(|| before.and_then(|before| before.last_timestamp));
        if let Some((slot, timestamp)) = last_timestamp {
            saved.last_timestamp = BlockTimestamp { slot, timestamp };
        }
        let signature = signer.sign_tower(&saved.signable_bytes())?;
        let bytes = SavedTowerFile::signed(saved, |_| signature).encode();
        let last_vote = LastVote { slot: *slot, hash: *hash, block_id: *block_id, timestamp: *timestamp };
        Some(Self { bytes, tower: tower.clone(), last_vote: Some(last_vote), last_timestamp })
    }

    /// Agave's `SavedTowerVersions`: what `tower-1_9-<identity>.bin` holds.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn tower(&self) -> &Tower {
        &self.tower
    }

    pub fn last_vote(&self) -> Option<&LastVote> {
        self.last_vote.as_ref()
    }

    pub fn last_slot(&self) -> Option<Slot> {
        self.tower.last_slot()
    }

    pub fn last_timestamp(&self) -> Option<(Slot, UnixTimestamp)> {
        self.last_timestamp
    }
}

fn last_vote(slot: Slot, saved: &tower_file::LastVote) -> LastVote {
    use tower_file::LastVote as Saved;
    let (timestamp, block_id) = match saved {
        Saved::Vote { timestamp, .. } => (*timestamp, Hash::default()),
        Saved::VoteStateUpdate(update) | Saved::CompactVoteStateUpdate(update) => (update.timestamp, Hash::default()),
        Saved::TowerSync { update, block_id } => (update.timestamp, *block_id),
    };
    LastVote { slot, hash: saved.hash(), block_id, timestamp }
}

#[cfg(test)]
mod tests {
    use {
        super::*,
        tandem_types::{Keypair, Signer},
    };

    /// As agave writes it.
    fn saved(votes: &[(Slot, u32)], root: Option<Slot>) -> Result<StoredTower, BadTower> {
        let key = Keypair::new_from_array([5; 32]);
        let last = votes.last().map(|(slot, _)| *slot);
        let update = LastUpdate { lockouts: votes.to_vec(), root, hash: Hash::default(), timestamp: None };
        let last_vote = tower_file::LastVote::VoteStateUpdate(update);
        let tower = SavedTower::new(key.pubkey(), votes.iter().copied().collect(), root, last_vote);
        let bytes = SavedTowerFile::signed(tower, |bytes| key.sign_message(bytes)).encode();
        let stored = StoredTower::decode(bytes, &key.pubkey())?;
        assert_eq!(stored.last_slot(), last);
        Ok(stored)
    }

    #[test]
    fn the_roots_own_vote_may_be_left_in_a_tower_and_older_ones_may_not() {
        let stored = saved(&[(5, 3), (6, 2), (7, 1)], Some(5)).unwrap();
        assert_eq!(stored.tower(), &Tower { votes: vec![(6, 2), (7, 1)], root: Some(5) });
        let violation = |result: Result<StoredTower, BadTower>| match result {
            Err(BadTower::Malformed { violation, .. }) => violation,
            other => panic!("{other:?}"),
        };
        assert_eq!(violation(saved(&[(5, 3), (6, 2), (7, 1)], Some(6))), Violation::SlotOrder(5));
        assert_eq!(violation(saved(&[(4, 4), (5, 3), (7, 1)], Some(5))), Violation::SlotOrder(4));
        assert_eq!(violation(saved(&[(5, 1)], Some(5))), Violation::SlotOrder(5), "it is the last vote");
    }
}
