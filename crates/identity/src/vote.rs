//! Vote transactions. [`SignedVote`] has private fields and one constructor, and that takes a `Promised`: there is no
//! other way to a vote signature in this program.

use {
    crate::{permit::Permit, refusal::Refusal, vault::Vault},
    solana_instruction::Instruction,
    solana_message::Message,
    solana_transaction::Transaction,
    solana_vote_interface::{
        instruction::{tower_sync, tower_sync_switch},
        state::{Lockout, TowerSync},
    },
    tandem_tower_storage::{Promised, PromisedAt, VoteDecision},
    tandem_types::{Hash, Pubkey, Signature, Signer, Slot, Term, VersionedTransaction},
};

/// A vote that may be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedVote {
    transaction: VersionedTransaction,
    slot: Slot,
    at: PromisedAt,
}

impl SignedVote {
    pub fn transaction(&self) -> &VersionedTransaction {
        &self.transaction
    }

    pub fn into_transaction(self) -> VersionedTransaction {
        self.transaction
    }

    pub fn signature(&self) -> Signature {
        self.transaction.signatures.first().copied().unwrap_or_default()
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn term(&self) -> Term {
        self.at.term
    }

    /// Where its promise stands.
    pub fn at(&self) -> PromisedAt {
        self.at
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        bincode::serialize(&self.transaction).expect("invariant: a transaction of our own making serializes")
    }
}

impl Vault {
    /// Signs a promised vote. `authorized_voter` is who may vote for the account in the vote's epoch.
    pub fn sign_vote(
        &self,
        promised: Promised,
        permit: &Permit,
        authorized_voter: &Pubkey,
    ) -> Result<SignedVote, Refusal> {
        permit.admits(promised.term())?;
        let decision = promised.decision();
        let identity = self.identity_key(&decision.identity)?;
        let voter = self.voter(authorized_voter)?;
        // A legacy message: fee payer first, then the voter if it is another key (replay_stage.rs:generate_vote_tx).
        let instruction = instruction(decision, authorized_voter);
        let message = Message::new_with_blockhash(&[instruction], Some(&decision.identity), &decision.recent_blockhash);
        let bytes = message.serialize();
        let signers = message.account_keys.iter().take(usize::from(message.header.num_required_signatures));
        let signatures = signers
            .map(|signer| if *signer == decision.identity { &identity } else { &voter })
            .map(|key| key.sign_message(&bytes))
            .collect();
        let transaction = VersionedTransaction::from(Transaction { signatures, message });
        Ok(SignedVote { transaction, slot: decision.slot, at: promised.at() })
    }
}

fn instruction(decision: &VoteDecision, voter: &Pubkey) -> Instruction {
    let lockout = |(slot, count): &(Slot, u32)| Lockout::new_with_confirmation_count(*slot, *count);
    let sync = TowerSync {
        lockouts: decision.tower.votes.iter().map(lockout).collect(),
        root: decision.tower.root,
        hash: decision.hash,
        timestamp: decision.timestamp,
        block_id: decision.block_id,
    };
    let vote_account = &decision.vote_account;
    if decision.switch {
        // No cluster checks the proof; agave sends zeros.
        tower_sync_switch(vote_account, voter, sync, Hash::default())
    } else {
        tower_sync(vote_account, voter, sync)
    }
}
