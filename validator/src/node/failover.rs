//! What automatic failover needs at the start: a store that is shared, and the identity's key.

use {
    super::store::Store,
    crate::{config::Config, exit::Failure, stages::role::AutoSetup},
    tandem_identity::Vault,
    tandem_role::{Keys, auto::AutoConfig},
    tandem_types::{Hash, InstanceId, Keypair, Pubkey, Signer},
};

/// With `--failover auto` the identity's key must be here from the start: nobody brings it later. Holding it gives no
/// right to sign.
pub fn take_key(config: &Config, identity: Option<Pubkey>, vault: &Vault) -> Result<(), Failure> {
    if config.auto.is_none() {
        return Ok(());
    }
    let Some(identity) = identity else {
        return Err(Failure::refused(
            "--failover auto, but the vote account does not exist in the genesis of this ledger",
        )
        .remedy("check --vote-account and the genesis, or leave --failover auto out"));
    };
    if vault.identity() == Some(identity) {
        return Ok(());
    }
    let Some(key) = config.keys.authorized_voters.iter().find(|key| key.pubkey() == identity) else {
        return Err(Failure::refused(format!(
            "--failover auto, but the keypair of identity {identity} is not on this machine: it could not promote itself"
        ))
        .remedy("name that keypair file with --authorized-voter, or leave --failover auto out"));
    };
    let copy = Keypair::try_from(&key.to_bytes()[..]);
    vault.hold_identity(copy.map_err(|error| Failure::failed(format!("copying a keypair: {error}")))?);
    Ok(())
}

/// Beats, presence and the watchdog. Nothing with a store that no other machine shares.
pub fn setup(
    config: &Config,
    store: &Store,
    genesis_hash: Hash,
    identity: Option<Pubkey>,
    instance: InstanceId,
) -> Option<AutoSetup> {
    let Store::Etcd { kv, .. } = store else { return None };
    Some(AutoSetup {
        kv: kv.clone(),
        keys: Keys::new(&genesis_hash, &identity?),
        instance,
        host: config.roles.host.clone(),
        config: config.auto.map(AutoConfig::of_priority),
    })
}
