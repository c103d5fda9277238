//! Where the secret keys are. They leave it as signatures only.
//!
//! `Keypair` wipes its secret when dropped (ed25519-dalek's `zeroize`), is never cloned here but shared by `Arc`, and
//! nothing in this crate prints one.

use {
    crate::{
        node::NodeKey,
        permit::{Gate, Permit},
        refusal::Refusal,
    },
    arc_swap::{ArcSwap, ArcSwapOption},
    std::{fmt, sync::Arc},
    tandem_tower_storage::TowerSigner,
    tandem_types::{Keypair, Pubkey, Signature, Signer, Term},
};

/// All keys of the node. Shared by the stages; every method takes `&self`.
pub struct Vault {
    /// The key this node stands by under.
    standby: ArcSwap<Keypair>,
    /// The contested identity's, if it was given.
    identity: ArcSwapOption<Keypair>,
    /// Keys that may vote for the vote account in some epoch.
    voters: ArcSwap<Vec<Arc<Keypair>>>,
    /// Under which of the first two gossip, repair and TLS speak.
    speaker: ArcSwap<Keypair>,
    gate: Gate,
}

impl Vault {
    /// Locked, and speaking as the standby key.
    pub fn new(standby: Keypair) -> Self {
        let standby = Arc::new(standby);
        Self {
            speaker: ArcSwap::new(standby.clone()),
            standby: ArcSwap::new(standby),
            identity: ArcSwapOption::empty(),
            voters: ArcSwap::default(),
            gate: Gate::default(),
        }
    }

    /// Takes in the contested identity's key: at start, or with `set-identity`. Holding it gives no right to sign.
    pub fn hold_identity(&self, key: Keypair) -> Pubkey {
        let pubkey = key.pubkey();
        let known = self.identity.load().as_ref().is_some_and(|held| held.pubkey() == pubkey);
        if !known {
            // Another identity than the one a permit may be out for: whatever was unlocked was not this.
            self.gate.lock();
            self.identity.store(Some(Arc::new(key)));
        }
        pubkey
    }

    /// Another identity's key takes the place of the one held, which is returned: a request that is refused puts it back.
    pub fn exchange_identity(&self, key: Keypair) -> Option<HeldKey> {
        self.gate.lock();
        self.identity.swap(Some(Arc::new(key))).map(HeldKey)
    }

    /// Nothing: none was held before.
    pub fn put_back_identity(&self, key: Option<HeldKey>) {
        self.gate.lock();
        self.identity.store(key.map(|key| key.0));
    }

    /// A key that was given for voting may be the identity's own. False: none of them is.
    pub fn hold_voters_as_identity(&self, identity: &Pubkey) -> bool {
        let Some(key) = self.voters.load().iter().find(|key| key.pubkey() == *identity).cloned() else { return false };
        if Vault::identity(self) != Some(*identity) {
            self.put_back_identity(Some(HeldKey(key)));
        }
        true
    }

    pub fn add_voter(&self, key: Keypair) -> Pubkey {
        let pubkey = key.pubkey();
        let key = Arc::new(key);
        self.voters.rcu(|voters| {
            let others = voters.iter().filter(|voter| voter.pubkey() != pubkey).cloned();
            others.chain([key.clone()]).collect::<Vec<_>>()
        });
        pubkey
    }

    pub fn remove_voters(&self) {
        self.voters.store(Arc::default());
    }

    pub fn voters(&self) -> Vec<Pubkey> {
        self.voters.load().iter().map(|voter| voter.pubkey()).collect()
    }

    /// The identity's own key may vote too, as agave has it when no voter is named.
    pub fn holds_voter(&self, voter: &Pubkey) -> bool {
        self.voter(voter).is_ok()
    }

    pub fn identity(&self) -> Option<Pubkey> {
        self.identity.load().as_ref().map(|key| key.pubkey())
    }

    pub fn standby(&self) -> Pubkey {
        self.standby.load().pubkey()
    }

    /// Lets the identity's keys sign what is promised under `term`. Permits given before are worthless.
    pub fn unlock(&self, term: Term) -> Permit {
        self.gate.unlock(term)
    }

    /// From now on every permit is worthless.
    pub fn lock(&self) {
        self.gate.lock();
    }

    pub fn is_unlocked(&self) -> bool {
        self.gate.is_unlocked()
    }

    /// Gossip, repair and TLS speak as the contested identity.
    pub fn speak_as_identity(&self, identity: &Pubkey) -> Result<(), Refusal> {
        self.speaker.store(self.identity_key(identity)?);
        Ok(())
    }

    pub fn speak_as_standby(&self) {
        self.speaker.store(self.standby.load_full());
    }

    /// Takes another key to stand by under, and speaks as it.
    pub fn stand_by_as(&self, key: Keypair) -> Pubkey {
        let pubkey = key.pubkey();
        let key = Arc::new(key);
        self.standby.store(key.clone());
        self.speaker.store(key);
        pubkey
    }

    /// The key gossip, repair and TLS speak under now. Take it anew for each message.
    pub fn node(&self) -> NodeKey {
        NodeKey::new(self.speaker.load_full())
    }

    pub(crate) fn identity_key(&self, identity: &Pubkey) -> Result<Arc<Keypair>, Refusal> {
        let held = self.identity.load_full().filter(|key| key.pubkey() == *identity);
        held.ok_or(Refusal::NoIdentityKey(*identity))
    }

    pub(crate) fn voter(&self, voter: &Pubkey) -> Result<Arc<Keypair>, Refusal> {
        let named = self.voters.load().iter().find(|key| key.pubkey() == *voter).cloned();
        named.or_else(|| self.identity_key(voter).ok()).ok_or(Refusal::NoVoterKey(*voter))
    }
}

/// An identity's key, while another has its place.
pub struct HeldKey(Arc<Keypair>);

impl HeldKey {
    pub fn pubkey(&self) -> Pubkey {
        self.0.pubkey()
    }
}

impl TowerSigner for Vault {
    /// All zeros if there is no key: no store is opened for that identity.
    fn identity(&self) -> Pubkey {
        Vault::identity(self).unwrap_or_default()
    }

    /// Only what begins as a tower of this identity does, so that nothing else can be slipped in.
    fn sign_tower(&self, tower: &[u8]) -> Option<Signature> {
        let key = self.identity.load_full()?;
        tower.starts_with(key.pubkey().as_ref()).then(|| key.sign_message(tower))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("standby", &self.standby())
            .field("identity", &self.identity())
            .field("voters", &self.voters())
            .field("unlocked", &self.is_unlocked())
            .finish()
    }
}
