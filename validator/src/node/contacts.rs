//! What this node announces of itself, and whom it asks first.

use {
    super::sockets::Ports,
    crate::{config::Config, exit::Failure},
    std::net::IpAddr,
    tandem_env::unix_nanos,
    tandem_net::ip_echo,
    tandem_turbine::AddressRule,
    tandem_types::Pubkey,
    tandem_wire::{
        contact_info::{CLIENT_TANDEM, ContactInfo, SocketTag, Version},
        ip_echo::Request,
    },
};

pub fn own(config: &Config, ports: &Ports, pubkey: Pubkey, shred_version: u16) -> Result<ContactInfo, Failure> {
    // Clients and peers choose by agave's version; the client id says who we are.
    let version = Version {
        major: 4,
        minor: 2,
        patch: 2,
        feature_set: super::rpc::feature_set(),
        client: CLIENT_TANDEM,
        ..Version::default()
    };
    let mut contact = ContactInfo::new(pubkey, unix_nanos() / 1_000, shred_version, version);
    let mut sockets = vec![
        (SocketTag::Gossip, ports.gossip.local_addr()),
        (SocketTag::Tvu, ports.tvu.local_addr()),
        (SocketTag::ServeRepair, ports.serve_repair.local_addr()),
        (SocketTag::TpuQuic, ports.tpu_quic.local_addr()),
        (SocketTag::TpuForwardsQuic, ports.tpu_forwards_quic.local_addr()),
        (SocketTag::TpuVote, ports.tpu_vote.local_addr()),
    ];
    if let Some(rpc) = config.network.rpc.filter(|_| config.network.announce_rpc) {
        sockets.push((SocketTag::Rpc, rpc));
        let mut pubsub = rpc;
        pubsub.set_port(rpc.port().saturating_add(1));
        sockets.push((SocketTag::RpcPubsub, pubsub));
    }
    let announce = match config.network.announce {
        Some(address) => address,
        None => ask_entrypoints(config)?,
    };
    for (tag, mut address) in sockets {
        address.set_ip(announce);
        contact.set_socket(tag, address).map_err(|reject| {
            Failure::usage(format!("{address} cannot be announced ({reject:?})"))
                .remedy("bind to an IPv4 address of this machine with --bind-address, announce it with --gossip-host")
        })?;
    }
    Ok(contact)
}

/// How an entrypoint sees us: for a node that is bound to every address it has.
fn ask_entrypoints(config: &Config) -> Result<IpAddr, Failure> {
    let request = Request { tcp_ports: Default::default(), udp_ports: Default::default() };
    let mut reasons = Vec::new();
    for entrypoint in &config.network.entrypoints {
        match ip_echo::ask(*entrypoint, None, &request) {
            Ok(response) => return Ok(response.address),
            Err(error) => reasons.push(format!("{entrypoint}: {error}")),
        }
    }
    Err(Failure::failed(format!("no entrypoint told this node its address ({})", reasons.join("; ")))
        .remedy("give it with --gossip-host ADDRESS"))
}

pub fn gossip_config(config: &Config) -> tandem_gossip::Config {
    tandem_gossip::Config::new(config.network.entrypoints.clone(), config.network.allow_private_addresses)
}

/// On a development cluster several nodes share an address; elsewhere one node an address is counted for turbine.
pub fn address_rule(config: &Config) -> AddressRule {
    if config.network.allow_private_addresses { AddressRule::Any } else { AddressRule::OnePerIp }
}
