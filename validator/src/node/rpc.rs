//! The JSON-RPC server over the published views.

use {
    crate::{
        config::Config,
        exit::{Failure, Status},
        topology::{Parcel, Writers},
        views::Views,
    },
    arc_swap::ArcSwap,
    solana_rpc_client_types::response::RpcContactInfo,
    std::{
        sync::{Arc, Weak},
        time::Duration,
    },
    tandem_rpc::{Context, Health, RpcServer, SubmitError},
    tandem_types::Keypair,
    tandem_wire::contact_info::{ContactInfo, SocketTag},
    zeroize::Zeroizing,
};

const NODES_EVERY: Duration = Duration::from_secs(1);

pub fn start(
    config: &Config,
    connections_max: u32,
    runtime: &tokio::runtime::Runtime,
    views: &Arc<Views>,
    writers: &Writers,
) -> Result<Option<RpcServer>, Failure> {
    let Some(address) = config.network.rpc else { return Ok(None) };
    let nodes = Arc::new(ArcSwap::from_pointee(nodes_of(views)));
    runtime.spawn(refresh(Arc::downgrade(views), nodes.clone()));
    let health = {
        let views = views.clone();
        Arc::new(move || {
            let status = views.status.load();
            match status.slots_behind {
                _ if status.caught_up => Health::Ok,
                Some(slots) => Health::Behind { slots },
                None => Health::Unknown,
            }
        })
    };
    let submit = {
        let courier = writers.courier.clone();
        Box::new(move |bytes, signature, last_valid_block_height| {
            let parcel = Parcel { bytes, signature, last_valid_block_height };
            if courier.offer(parcel) { Ok(()) } else { Err(SubmitError::Busy) }
        })
    };
    let faucet =
        config.keys.faucet.as_ref().map(|key| Keypair::try_from(&Zeroizing::new(key.to_bytes())[..])).transpose();
    let context = Context {
        chain: views.chain.clone(),
        nodes,
        identity: views.identity.clone(),
        genesis_hash: views.genesis_hash,
        shred_version: views.shred_version,
        feature_set: feature_set(),
        history: views.history.clone(),
        health,
        metrics: {
            let views = views.clone();
            Arc::new(move || super::metrics::page(&views))
        },
        submit,
        events: views.events.clone(),
        faucet: faucet.map_err(|error| Failure::failed(format!("the faucet's keypair: {error}")))?,
    };
    runtime
        .block_on(RpcServer::start(address, connections_max, context))
        .map(Some)
        .map_err(|error| Failure::caused(Status::Failed, &error))
}

/// First four bytes of the identifier of agave's feature set.
pub fn feature_set() -> u32 {
    let id = agave_feature_set::ID.to_bytes();
    u32::from_le_bytes([id[0], id[1], id[2], id[3]])
}

async fn refresh(views: Weak<Views>, nodes: Arc<ArcSwap<Vec<RpcContactInfo>>>) {
    loop {
        tokio::time::sleep(NODES_EVERY).await;
        let Some(views) = views.upgrade() else { return };
        nodes.store(Arc::new(nodes_of(&views)));
    }
}

fn nodes_of(views: &Views) -> Vec<RpcContactInfo> {
    let own = views.contact.load();
    views.peers.load().iter().chain([&**own]).map(node_of).collect()
}

fn node_of(contact: &ContactInfo) -> RpcContactInfo {
    let version = &contact.version;
    RpcContactInfo {
        pubkey: contact.pubkey.to_string(),
        gossip: contact.gossip(),
        tvu: contact.socket(SocketTag::Tvu),
        tpu: None,
        tpu_quic: contact.socket(SocketTag::TpuQuic),
        tpu_forwards: None,
        tpu_forwards_quic: contact.socket(SocketTag::TpuForwardsQuic),
        tpu_vote: contact.socket(SocketTag::TpuVote),
        serve_repair: contact.socket(SocketTag::ServeRepair),
        rpc: contact.socket(SocketTag::Rpc),
        pubsub: contact.socket(SocketTag::RpcPubsub),
        version: Some(format!("{}.{}.{}", version.major, version.minor, version.patch)),
        client_id: Some(match version.client {
            tandem_wire::contact_info::CLIENT_TANDEM => "Tandem".to_owned(),
            3 => "Agave".to_owned(),
            other => format!("Unknown({other})"),
        }),
        feature_set: Some(version.feature_set),
        shred_version: Some(contact.shred_version),
    }
}
