//! The two constructors that the safety of this product hangs on. Nothing outside this file can make a [`Promised`] or
//! a [`LeaderSlotClaim`]: their fields are private to it, they are neither `Clone` nor `Default`, and each is built in
//! exactly one place, the line after the store confirmed the write under our term. A signature for the identity needs
//! one of them. So a signature that was not promised does not compile.

use {
    super::{PromiseStore, Tenure},
    crate::{
        check::check,
        decision::VoteDecision,
        error::RecordError,
        tower::{StoredTower, TowerSigner},
    },
    tandem_role::{
        kv::Revision,
        protocol::{ClaimLeaderSlot, RecordVote},
    },
    tandem_types::{Pubkey, Slot, Term, mutant::mutant},
};

/// Where a promise stands among all others of its store: by term, then by revision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PromisedAt {
    pub store_id: u64,
    pub term: Term,
    pub revision: Revision,
}

/// Proof that a vote is legal, durable, and recorded while the term was ours.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a recorded vote that is not sent is a vote lost"]
pub struct Promised {
    decision: VoteDecision,
    at: PromisedAt,
}

impl Promised {
    pub fn decision(&self) -> &VoteDecision {
        &self.decision
    }

    pub fn term(&self) -> Term {
        self.at.term
    }

    pub fn at(&self) -> PromisedAt {
        self.at
    }
}

/// Proof that no other block for this slot was or will be signed for the identity.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a claimed slot can never be claimed again"]
pub struct LeaderSlotClaim {
    identity: Pubkey,
    slot: Slot,
    at: PromisedAt,
}

impl LeaderSlotClaim {
    pub fn identity(&self) -> &Pubkey {
        &self.identity
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn term(&self) -> Term {
        self.at.term
    }

    pub fn at(&self) -> PromisedAt {
        self.at
    }
}

impl PromiseStore {
    /// Checks a vote with code of our own, writes it under our term, and only then promises it.
    pub fn record(&mut self, decision: VoteDecision, signer: &dyn TowerSigner) -> Result<Promised, RecordError> {
        let (identity, vote_account) = (self.identity, self.vote_account);
        for found in [decision.identity, signer.identity()] {
            if found != identity {
                return Err(RecordError::WrongIdentity { expected: identity, found });
            }
        }
        if decision.vote_account != vote_account {
            return Err(RecordError::WrongVoteAccount { expected: vote_account, found: decision.vote_account });
        }
        let Tenure { held, tower, base, .. } = self.tenure()?;
        let recorded = tower.as_ref().map_or(base, StoredTower::tower);
        if !mutant("both: voter and check ignore lockouts") {
            check(recorded, tower.as_ref().and_then(StoredTower::last_vote), &decision)?;
        }
        let Some(next) = StoredTower::of_decision(&decision, tower.as_ref(), signer) else {
            return Err(RecordError::NoKey { identity });
        };
        let written = if mutant("store: the tower before the vote is written") { tower.as_ref() } else { None };
        let bytes = written.unwrap_or(&next).bytes().to_vec();
        let write = RecordVote::new(&self.keys, held, bytes);
        let term = held.fence.term;
        if mutant("store: a vote is promised before it is written") {
            return Ok(Promised { decision, at: self.place(term, 0) });
        }
        let revision = match self.write(write) {
            Err(RecordError::StoreLost { unresolved: true, .. })
                if mutant("store: a record without an answer is taken for done") =>
            {
                return Ok(Promised { decision, at: self.place(term, 0) });
            }
            written => written?,
        };
        let tenure = self.tenure_mut()?;
        if !mutant("store: the tower's revision is not carried on") {
            tenure.held.tower_revision = revision;
        }
        if !mutant("store: the tower recorded is not the next one's base") {
            tenure.tower = Some(next);
        }
        self.newest_vote = self.newest_vote.max(Some(decision.slot));
        // There is a tower again: to be without one would be a loss.
        self.accepted = None;
        Ok(Promised { decision, at: self.place(term, revision) })
    }

    /// Moves the watermark to `slot` under our term; only then may a block for it be signed.
    pub fn claim_leader_slot(&mut self, slot: Slot) -> Result<LeaderSlotClaim, RecordError> {
        let identity = self.identity;
        let held = self.tenure()?.held;
        let nonce = self.pace.nonce();
        let Some(write) = ClaimLeaderSlot::new(&self.keys, &held, slot, nonce) else {
            let watermark = held.watermark.unwrap_or(0);
            return Err(RecordError::SlotNotAboveWatermark { slot, watermark });
        };
        if mutant("store: a leader slot is given before it is claimed") {
            return Ok(LeaderSlotClaim { identity, slot, at: self.place(held.fence.term, 0) });
        }
        let revision = self.write(write)?;
        let tenure = self.tenure_mut()?;
        if !mutant("store: the window's revision is not carried on") {
            tenure.held.window_revision = revision;
        }
        tenure.held.watermark = Some(slot);
        let term = tenure.held.fence.term;
        self.highest_watermark = self.highest_watermark.max(Some(slot));
        Ok(LeaderSlotClaim { identity, slot, at: self.place(term, revision) })
    }

    fn place(&self, term: Term, revision: Revision) -> PromisedAt {
        PromisedAt { store_id: self.knowledge.store_id.unwrap_or(0), term, revision }
    }
}
