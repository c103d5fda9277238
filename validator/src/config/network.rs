//! Addresses and ports.

use {
    crate::{args::RunArgs, exit::Failure},
    std::net::{IpAddr, SocketAddr, ToSocketAddrs},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// Sockets are bound to it.
    pub bind: IpAddr,
    /// Announced in gossip. `None`: ask an entrypoint how it sees us (there is one then).
    pub announce: Option<IpAddr>,
    /// `None`: the first free one of `ports`.
    pub gossip_port: Option<u16>,
    pub ports: PortRange,
    pub entrypoints: Vec<SocketAddr>,
    /// JSON-RPC; WebSocket is on the next port.
    pub rpc: Option<SocketAddr>,
    /// Whether gossip tells others where JSON-RPC is.
    pub announce_rpc: bool,
    pub allow_private_addresses: bool,
}

/// Both ends belong to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl Network {
    pub(super) fn new(args: &RunArgs) -> Result<Self, Failure> {
        let bind = ipv4("--bind-address", args.bind_address)?;
        let entrypoints = args.entrypoint.iter().map(|text| entrypoint(text)).collect::<Result<Vec<_>, _>>()?;
        let announce = match args.gossip_host {
            Some(host) => Some(ipv4("--gossip-host", host)?),
            None => Some(bind).filter(|bind| !bind.is_unspecified()),
        };
        if announce.is_some_and(|host| host.is_unspecified() || host.is_multicast()) {
            return Err(Failure::usage("--gossip-host: nobody can send to that address")
                .remedy("give the address other nodes reach this one by"));
        }
        if announce.is_none() && entrypoints.is_empty() {
            return Err(Failure::usage(format!("--bind-address {bind} says nothing about how others reach this node"))
                .remedy("give --gossip-host ADDRESS, or an --entrypoint that can tell"));
        }
        let rpc = args.rpc_port.map(|port| SocketAddr::new(args.rpc_bind_address.unwrap_or(bind), port));
        check_port("--gossip-port", args.gossip_port, 0)?;
        check_port("--rpc-port", args.rpc_port, 1)?;
        if let (Some(gossip), Some(rpc)) = (args.gossip_port, args.rpc_port)
            && (gossip == rpc || gossip == rpc + 1)
        {
            return Err(Failure::usage(format!(
                "--gossip-port {gossip} and --rpc-port {rpc} collide: both listen on TCP"
            ))
            .remedy("choose another --rpc-port (it takes that port and the next)"));
        }
        Ok(Self {
            bind,
            announce,
            gossip_port: args.gossip_port,
            ports: PortRange::parse(&args.dynamic_port_range)?,
            entrypoints,
            rpc,
            announce_rpc: !args.private_rpc,
            // A node that is bound to such an address can only meet others there.
            allow_private_addresses: args.allow_private_addr || !is_public(bind),
        })
    }
}

impl PortRange {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |reason: &str| {
            Failure::usage(format!("--dynamic-port-range {text}: {reason}"))
                .remedy("write it as 8000-8020, both ends included")
        };
        let (first, last) = text.split_once('-').ok_or_else(|| wrong("it is not FROM-TO"))?;
        let port = |text: &str| text.trim().parse().map_err(|_| wrong("a port is a number from 1 to 65535"));
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first == 0 {
            return Err(wrong("port 0 is no port"));
        }
        if range.first > range.last {
            return Err(wrong("it ends before it begins"));
        }
        if range.last - range.first < PORTS_MIN - 1 {
            return Err(wrong("it is too small: a node needs 16 ports"));
        }
        Ok(range)
    }
}

fn entrypoint(text: &str) -> Result<SocketAddr, Failure> {
    let wrong = |reason: String| {
        Failure::usage(format!("--entrypoint {text}: {reason}"))
            .remedy("give HOST:PORT, the gossip address of a running node")
    };
    let (_, port) = text.rsplit_once(':').ok_or_else(|| wrong("it has no port".into()))?;
    if port.parse::<u16>().ok().is_none_or(|port| port == 0) {
        return Err(wrong("its port is not a number from 1 to 65535".into()));
    }
    let mut found = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?;
    found.find(SocketAddr::is_ipv4).ok_or_else(|| wrong("it has no IPv4 address, and gossip carries no other".into()))
}

fn ipv4(flag: &str, address: IpAddr) -> Result<IpAddr, Failure> {
    if address.is_ipv4() {
        return Ok(address);
    }
    Err(Failure::usage(format!("{flag} {address}: gossip carries IPv4 addresses only")).remedy("give an IPv4 address"))
}

/// `more`: how many ports after this one are taken too.
fn check_port(flag: &str, port: Option<u16>, more: u16) -> Result<(), Failure> {
    match port {
        Some(port) if port == 0 || port.checked_add(more).is_none() => {
            Err(Failure::usage(format!("{flag} {port}: not a port that can be used"))
                .remedy(format!("choose one from 1 to {}", u16::MAX - more)))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(_) => false,
    }
}

/// Gossip, turbine, repair both ways, three for transactions and votes, and outgoing QUIC, with room for retries.
const PORTS_MIN: u16 = 16;
