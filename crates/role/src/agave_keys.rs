//! The keys of agave 2.3's etcd tower store, kept in step so that an agave node can be the other half of a pair while
//! it migrates.
//!
//! Agave's side (solana-core 2.3, consensus/tower_storage.rs:EtcdTowerStorage): a load puts eight bytes, the node's
//! start in Unix milliseconds, into `<identity>/instance` with no condition at all, then reads `<identity>/tower` if the
//! instance is still its own; each vote's tower is put there under the condition that the instance's *value* is its own.
//!
//! So the instance key is agave's whole fence. Our claim puts a value of ours there in the same transaction that takes
//! the owner record, and everything an owner writes compares that it still is the one of that transaction. No new
//! number is to be remembered for that: the instance of our own claim has the revision of our owner record.

use {
    crate::{
        kv::Revision,
        protocol::Versioned,
        records::{Nonce, OwnerRecord, Preference},
    },
    tandem_types::{InstanceId, Pubkey, Term, UnixMillis},
};

/// What they are called: flat, without the genesis hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgaveKeys {
    pub instance: String,
    pub tower: String,
}

impl AgaveKeys {
    pub fn new(identity: &Pubkey) -> Self {
        Self { instance: format!("{identity}/instance"), tower: format!("{identity}/tower") }
    }
}

/// What agave's keys hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgaveView {
    pub instance: Option<Versioned<Vec<u8>>>,
    pub tower: Option<Versioned<Vec<u8>>>,
}

/// Our claim's value of the instance key. Agave's are milliseconds since 1970, far below 2^63: the highest bit keeps
/// ours apart from every one of them, so no agave node can take our claim for its own.
pub fn instance_value(instance: &InstanceId) -> Vec<u8> {
    let mut value = [0u8; 8];
    value.copy_from_slice(&instance.0[..8]);
    value[7] |= 0x80;
    value.to_vec()
}

/// The owner as everybody should see it: an agave node that loaded the tower after the last claim or release owns the
/// identity, though no owner record says so. Its revision stays the owner record's, which a claim compares.
pub(crate) fn true_owner(
    owner: Option<Versioned<OwnerRecord>>,
    agave: Option<&AgaveView>,
) -> Option<Versioned<OwnerRecord>> {
    let Some(instance) = agave.and_then(|agave| agave.instance.as_ref()) else { return owner };
    let (term, mod_revision) = owner.as_ref().map_or((Term(0), 0), |owner| (owner.value.term, owner.mod_revision));
    if instance.mod_revision <= mod_revision {
        return owner;
    }
    Some(Versioned { value: agave_owner(&instance.value, term), mod_revision })
}

fn agave_owner(instance: &[u8], term: Term) -> OwnerRecord {
    let mut id = [0u8; 16];
    let known = instance.len().min(8);
    id[..known].copy_from_slice(&instance[..known]);
    let mut started = [0u8; 8];
    started[..known].copy_from_slice(&instance[..known]);
    OwnerRecord {
        term,
        instance: InstanceId(id),
        host: AGAVE_HOST.to_owned(),
        version: "agave".to_owned(),
        standby_identity: String::new(),
        slot_at_claim: 0,
        released: false,
        lease: None,
        preference: Preference::Secondary,
        claimed_at: UnixMillis(u64::from_le_bytes(started)),
        nonce: Nonce::default(),
        vote_account: None,
        moved_to: None,
    }
}

/// Whether an agave node, and not this software, owns the identity.
pub fn is_agave(owner: &OwnerRecord) -> bool {
    owner.host == AGAVE_HOST
}

/// The instance under our own claim was written by that claim, and by nobody since.
pub(crate) fn is_ours(agave: &AgaveView, owner_revision: Revision) -> bool {
    agave.instance.as_ref().is_some_and(|instance| instance.mod_revision == owner_revision)
}

const AGAVE_HOST: &str = "an agave node (through its own instance key)";
