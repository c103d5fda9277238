//! What a node says under its name: gossip records, prunes, pings and pongs, repair requests, TLS handshakes. No term
//! is needed for these, so it matters that nothing else passes: each message is told by its shape, and a vote
//! transaction has none of these shapes. (A pong is a bare hash of 32 bytes and so is the root of a shred set; these two
//! cannot be told apart, which is why blocks are signed by another type.)

use {
    crate::refusal::Refusal,
    std::{fmt, sync::Arc},
    tandem_types::{Keypair, Pubkey, Signature, Signer},
};

/// The key the node speaks under, as of when it was taken from the vault.
#[derive(Clone)]
pub struct NodeKey {
    key: Arc<Keypair>,
}

impl NodeKey {
    pub(crate) fn new(key: Arc<Keypair>) -> Self {
        Self { key }
    }

    pub fn pubkey(&self) -> Pubkey {
        self.key.pubkey()
    }

    pub fn sign(&self, message: &[u8]) -> Result<Signature, Refusal> {
        let is_own = is_tagged(message) || self.is_prune(message) || message.len() == PING_BYTES || is_tls(message);
        if is_own { Ok(self.key.sign_message(message)) } else { Err(Refusal::NotANodeMessage) }
    }

    /// `PruneData`: our name, the pruned names, the destination, a time (crds_gossip; protocol.md 4.7).
    fn is_prune(&self, message: &[u8]) -> bool {
        let Some(rest) = message.strip_prefix(self.key.pubkey().as_ref()) else { return false };
        let Some((count, rest)) = rest.split_first_chunk::<8>() else { return false };
        let count = u64::from_le_bytes(*count);
        count <= PRUNES_MAX && rest.len() as u64 == count * 32 + 32 + 8
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.pubkey())
    }
}

/// Gossip records and repair requests begin with a small enum tag in four bytes. A legacy transaction begins with its
/// number of signers and, in the fourth byte, its number of accounts, which is never zero; a versioned one with 0x80.
fn is_tagged(message: &[u8]) -> bool {
    matches!(message, [tag, 0, 0, 0, _, ..] if *tag < TAGS)
}

/// TLS 1.3 signs 64 spaces, a name, a zero and a hash (RFC 8446, 4.4.3).
fn is_tls(message: &[u8]) -> bool {
    message.strip_prefix(&[b' '; 64]).is_some_and(|rest| rest.starts_with(b"TLS 1.3, "))
}

/// CRDS has 14 kinds, repair 15 (protocol.md 3.1, 4.2).
const TAGS: u8 = 16;
const PRUNES_MAX: u64 = 32;
const PING_BYTES: usize = 32;
