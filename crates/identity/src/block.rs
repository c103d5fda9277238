//! Signing the shreds of one block. A [`BlockSigner`] exists for one claimed slot, and signs each set of it once.

use {
    crate::{permit::Permit, refusal::Refusal, vault::Vault},
    std::{fmt, sync::Arc},
    tandem_tower_storage::{LeaderSlotClaim, PromisedAt},
    tandem_types::{Hash, Keypair, Signature, Signer, Slot, Term},
};

/// Signs merkle roots for one slot that was claimed for the identity.
pub struct BlockSigner {
    key: Arc<Keypair>,
    claim: LeaderSlotClaim,
    permit: Permit,
    /// No set below this may be signed: a second root for a set would be a second block.
    next_set: u32,
}

impl BlockSigner {
    pub fn slot(&self) -> Slot {
        self.claim.slot()
    }

    pub fn term(&self) -> Term {
        self.claim.term()
    }

    /// Where the claim of the slot stands.
    pub fn at(&self) -> PromisedAt {
        self.claim.at()
    }

    /// Signs the merkle root of the set that begins at data index `set`. Sets come in order, each once.
    pub fn sign_shred_root(&mut self, set: u32, root: &Hash) -> Result<Signature, Refusal> {
        self.permit.admits(self.claim.term())?;
        if set < self.next_set {
            return Err(Refusal::SetSignedBefore { slot: self.slot(), set, next: self.next_set });
        }
        self.next_set = set.saturating_add(1);
        Ok(self.key.sign_message(root.as_ref()))
    }
}

impl Vault {
    /// Binds the identity's key to a claimed slot. The claim is used up: there is one signer for a slot, ever.
    pub fn block_signer(&self, claim: LeaderSlotClaim, permit: &Permit) -> Result<BlockSigner, Refusal> {
        permit.admits(claim.term())?;
        let key = self.identity_key(claim.identity())?;
        Ok(BlockSigner { key, claim, permit: permit.clone(), next_set: 0 })
    }
}

impl fmt::Debug for BlockSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockSigner").field("claim", &self.claim).field("next_set", &self.next_set).finish()
    }
}
