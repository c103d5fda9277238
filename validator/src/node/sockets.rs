//! The sockets of the node: bound early, so that a port in use is said before anything else happens.

use {
    crate::{
        config::Config,
        exit::{Failure, Status},
        topology::Writers,
        views::Views,
    },
    std::{
        net::{SocketAddr, TcpListener},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread::JoinHandle,
    },
    tandem_env::Tx,
    tandem_net::{
        Outlet, QuicServer, QuicServerOptions, SenderOptions, Stake, StakeLookup, TpuIdentity, TpuSender, UdpOptions,
        UdpPort, bind_in_range, ip_echo::IpEchoServer, quic_server::QuicServerSetup, spawn_receiver,
    },
    tokio::runtime::Handle,
};

pub struct Ports {
    pub gossip: UdpPort,
    pub tvu: UdpPort,
    pub serve_repair: UdpPort,
    /// Our repair requests leave from here, their answers come here.
    pub repair: UdpPort,
    pub tpu_vote: UdpPort,
    pub vote_sender: UdpPort,
    pub tpu_quic: UdpPort,
    pub tpu_forwards_quic: UdpPort,
    client: UdpPort,
    echo: TcpListener,
    stop: Arc<AtomicBool>,
}

const IN_RANGE: usize = 8;

impl Ports {
    pub fn bind(config: &Config) -> Result<Self, Failure> {
        let options = UdpOptions::big();
        let network = &config.network;
        let range = network.ports.first..=network.ports.last;
        let gossip = match network.gossip_port {
            Some(port) => UdpPort::bind(SocketAddr::new(network.bind, port), &options),
            None => bind_in_range(network.bind, range.clone(), 1, &options).map(|mut ports| ports.remove(0)),
        }
        .map_err(|error| Failure::caused(Status::Failed, &error))?;
        let mut ports = bind_in_range(network.bind, range, IN_RANGE, &options)
            .map_err(|error| Failure::caused(Status::Failed, &error))?
            .into_iter();
        let mut next = || ports.next().ok_or_else(|| Failure::failed("too few ports in --dynamic-port-range"));
        let echo = TcpListener::bind(gossip.local_addr()).map_err(|error| {
            Failure::failed(format!("listening on TCP {} (ip echo): {error}", gossip.local_addr()))
                .remedy("choose another --gossip-port")
        })?;
        Ok(Self {
            tvu: next()?,
            serve_repair: next()?,
            repair: next()?,
            tpu_vote: next()?,
            vote_sender: next()?,
            tpu_quic: next()?,
            tpu_forwards_quic: next()?,
            client: next()?,
            gossip,
            echo,
            stop: Arc::default(),
        })
    }

    /// One receiving thread for each kind of packet.
    pub fn receive(&self, writers: &Writers, views: &Views) -> Result<Vec<JoinHandle<()>>, Failure> {
        let receivers = [
            (&self.gossip, "rx-gossip", &writers.gossip_packets),
            (&self.tvu, "rx-tvu", &writers.tvu_packets),
            (&self.repair, "rx-repair", &writers.repair_packets),
            (&self.serve_repair, "rx-serve-rep", &writers.serve_repair_packets),
            (&self.tpu_vote, "rx-votes", &writers.vote_packets),
        ];
        receivers
            .into_iter()
            .map(|(port, name, link)| {
                spawn_receiver(port, name, outlet(link), self.stop.clone(), views.counters.udp.clone())
                    .map_err(|error| Failure::caused(Status::Failed, &error))
            })
            .collect()
    }

    pub fn serve_quic(
        &self,
        handle: &Handle,
        tls: &TpuIdentity,
        views: &Arc<Views>,
        writers: &Writers,
    ) -> Result<Vec<QuicServer>, Failure> {
        let stakes: StakeLookup = {
            let views = views.clone();
            Arc::new(move |peer| {
                let bank = views.chain.load().processed.clone();
                let stakes = bank.epoch_stakes(bank.epoch());
                stakes.map_or(Stake::default(), |stakes| Stake {
                    of_peer: stakes.node_stake(peer).unwrap_or_default(),
                    total: stakes.total_stake(),
                })
            })
        };
        let mut options = QuicServerOptions::agave();
        if self.tpu_quic.local_addr().ip().is_loopback() {
            // All nodes and clients of a local cluster share one address.
            options.connections_per_ip_per_minute = 10_000;
        }
        [&self.tpu_quic, &self.tpu_forwards_quic]
            .into_iter()
            .map(|port| {
                let setup = QuicServerSetup {
                    socket: port.socket().map_err(|error| Failure::caused(Status::Failed, &error))?,
                    identity: tls.clone(),
                    stakes: stakes.clone(),
                    out: outlet(&writers.tpu_packets),
                    options: options.clone(),
                    counters: views.counters.quic.clone(),
                };
                QuicServer::spawn(handle, setup).map_err(|error| Failure::caused(Status::Failed, &error))
            })
            .collect()
    }

    pub fn serve_echo(
        &self,
        handle: &Handle,
        connections_max: usize,
        shred_version: u16,
    ) -> Result<IpEchoServer, Failure> {
        let listener = self.echo.try_clone().map_err(|error| Failure::caused(Status::Failed, &error))?;
        IpEchoServer::spawn(handle, listener, connections_max, move || Some(shred_version), Arc::default())
            .map_err(|error| Failure::caused(Status::Failed, &error))
    }

    pub fn quic_client(&self, handle: &Handle, tls: &TpuIdentity) -> Result<TpuSender, Failure> {
        let socket = self.client.socket().map_err(|error| Failure::caused(Status::Failed, &error))?;
        let (sender, _task) = TpuSender::spawn(handle, socket, tls, SenderOptions::usual(), Arc::default())
            .map_err(|error| Failure::caused(Status::Failed, &error))?;
        Ok(sender)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn outlet<T: Send + 'static>(link: &Tx<T>) -> Outlet<T> {
    let (sender, bell) = link.parts();
    Outlet::waking(sender, Arc::new(move || bell.ring()))
}
