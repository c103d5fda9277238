//! Ping and pong: proof that a node reads what is sent to the address it claims. Gossip and repair use the same bytes.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
    },
    sha2::{Digest, Sha256},
    tandem_types::{Hash, Pubkey, Signature},
};

/// ping_pong.rs:Ping<32>: 128 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ping {
    pub from: Pubkey,
    pub token: [u8; 32],
    pub signature: Signature,
}

/// ping_pong.rs:Pong: 128 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pong {
    pub from: Pubkey,
    /// Hash of the ping's token.
    pub hash: Hash,
    pub signature: Signature,
}

/// What a pong must carry to answer a ping with this token.
pub fn pong_hash(token: &[u8; 32]) -> Hash {
    let digest = Sha256::new().chain_update(PING_PONG_DOMAIN).chain_update(token).finalize();
    Hash::new_from_array(digest.into())
}

impl Ping {
    /// The signature covers the token alone.
    pub fn signed(from: Pubkey, token: [u8; 32], sign: impl FnOnce(&[u8]) -> Signature) -> Self {
        Self { from, token, signature: sign(&token) }
    }

    pub fn verify(&self) -> bool {
        self.signature.verify(self.from.as_ref(), &self.token)
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        Ok(Self { from: input.pubkey()?, token: input.array()?, signature: input.signature()? })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.bytes(self.from.as_ref()).bytes(&self.token).bytes(self.signature.as_ref());
    }
}

impl Pong {
    pub fn answering(ping: &Ping, from: Pubkey, sign: impl FnOnce(&[u8]) -> Signature) -> Self {
        let hash = pong_hash(&ping.token);
        Self { from, hash, signature: sign(hash.as_ref()) }
    }

    pub fn verify(&self) -> bool {
        self.signature.verify(self.from.as_ref(), self.hash.as_ref())
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        Ok(Self { from: input.pubkey()?, hash: input.hash()?, signature: input.signature()? })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.bytes(self.from.as_ref()).bytes(self.hash.as_ref()).bytes(self.signature.as_ref());
    }
}

const PING_PONG_DOMAIN: &[u8] = b"SOLANA_PING_PONG";

#[cfg(test)]
mod tests {
    use {
        super::*,
        tandem_types::{Keypair, Signer},
    };

    #[test]
    fn pong_answers_its_ping_only() {
        let (alice, bob) = (Keypair::new(), Keypair::new());
        let ping = Ping::signed(alice.pubkey(), [7; 32], |bytes| alice.sign_message(bytes));
        assert!(ping.verify());
        let pong = Pong::answering(&ping, bob.pubkey(), |bytes| bob.sign_message(bytes));
        assert!(pong.verify());
        assert_eq!(pong.hash, pong_hash(&[7; 32]));
        assert_ne!(pong.hash, pong_hash(&[8; 32]));
        let forged = Pong { from: alice.pubkey(), ..pong };
        assert!(!forged.verify());
    }
}
