//! The node's key, as the gossip and repair machines want it.

use {
    tandem_identity::{NodeKey, Vault},
    tandem_types::{Pubkey, Signature},
};

/// Taken anew for each step: the identity may have changed since the last one.
pub struct NodeSigner(NodeKey);

impl NodeSigner {
    pub fn of(vault: &Vault) -> Self {
        Self(vault.node())
    }

    pub fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }

    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).unwrap_or_else(|refusal| {
            // A signature of zeros is good nowhere, so nothing goes out under our name that must not.
            tracing::error!(bytes = message.len(), "not signed: {refusal}");
            Signature::default()
        })
    }
}

impl tandem_gossip::Signer for NodeSigner {
    fn pubkey(&self) -> Pubkey {
        self.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.sign(bytes)
    }
}

impl tandem_repair::Signer for NodeSigner {
    fn pubkey(&self) -> Pubkey {
        self.pubkey()
    }

    fn sign(&self, bytes: &[u8]) -> Signature {
        self.sign(bytes)
    }
}
