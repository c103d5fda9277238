//! What the role stage needs of the node around it for the identity it is there for: the watch, the hints, with `--failover auto` the key.

use {
    super::store::Store,
    crate::{
        config::Config,
        exit::Failure,
        failover::Whose,
        stages::role::{AutoSetup, Meet},
        topology::RoleInput,
    },
    std::sync::Arc,
    tandem_env::Tx,
    tandem_identity::Vault,
    tandem_role::{Keys, auto::AutoConfig},
    tandem_types::{Hash, InstanceId, Keypair, Pubkey, Signer},
    zeroize::Zeroizing,
};

/// With `--failover auto` the identity's key must be here from the start: nobody brings it later. Holding it gives no
/// right to sign.
pub fn take_key(config: &Config, identity: Option<Pubkey>, vault: &Vault) -> Result<(), Failure> {
    if config.auto.is_none() {
        return Ok(());
    }
    // Said once the vote account is there, and names somebody.
    let Some(identity) = identity else { return Ok(()) };
    if vault.identity() == Some(identity) {
        return Ok(());
    }
    let Some(key) = config.keys.authorized_voters.iter().find(|key| key.pubkey() == identity) else {
        return Err(Failure::refused(format!(
            "--failover auto, but the keypair of identity {identity} is not on this machine: it could not promote itself"
        ))
        .remedy("name that keypair file with --authorized-voter, or leave --failover auto out"));
    };
    let copy = Keypair::try_from(&Zeroizing::new(key.to_bytes())[..]);
    vault.hold_identity(copy.map_err(|error| Failure::failed(format!("copying a keypair: {error}")))?);
    Ok(())
}

/// For each identity that this node is there for, one after the other.
pub fn meeting(
    config: &Config,
    store: &Store,
    genesis_hash: Hash,
    instance: InstanceId,
    (vault, whose): (Arc<Vault>, Whose),
    role: Tx<RoleInput>,
) -> Meet {
    let (host, auto) = (config.roles.host.clone(), config.auto);
    let store = store.clone();
    Box::new(move |identity| {
        whose.store(Some(Arc::new(identity)));
        store.watch(&genesis_hash, &identity, role.clone())?;
        if auto.is_some() && vault.identity() != Some(identity) && !vault.hold_voters_as_identity(&identity) {
            tracing::error!(
                "--failover auto, but the keypair of identity {identity} is not on this machine: it cannot promote itself; name that \
                 keypair file with --authorized-voter"
            );
        }
        let Store::Etcd { kv, .. } = &store else { return Ok(None) };
        Ok(Some(AutoSetup {
            kv: kv.clone(),
            keys: Keys::new(&genesis_hash, &identity),
            instance,
            host: host.clone(),
            config: auto.map(AutoConfig::of_priority),
        }))
    })
}
