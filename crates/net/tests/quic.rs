//! Real QUIC over loopback, ports chosen by the system: our client to our server.
#![allow(clippy::unwrap_used)]

use {
    bytes::Bytes,
    crossbeam_channel::Receiver,
    std::{
        net::{SocketAddr, UdpSocket},
        sync::{Arc, atomic::AtomicU64, atomic::Ordering},
        time::{Duration, Instant},
    },
    tandem_net::{
        QuicServer, QuicServerCounters, QuicServerOptions, SenderCounters, SenderOptions, Stake, TpuIdentity,
        TpuPacket, TpuSender, quic_server::QuicServerSetup,
    },
    tandem_types::{Keypair, Signer},
    tokio::runtime::{Handle, Runtime},
};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn key(n: u8) -> Keypair {
    Keypair::new_from_array([n; 32])
}

fn loopback() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

struct Server {
    server: QuicServer,
    inbox: Receiver<TpuPacket>,
    counters: Arc<QuicServerCounters>,
}

impl Server {
    fn start(handle: &Handle, socket: UdpSocket, change: impl FnOnce(&mut QuicServerOptions)) -> Self {
        let mut options = QuicServerOptions::agave();
        change(&mut options);
        let (sender, inbox) = crossbeam_channel::bounded(100);
        let counters = Arc::<QuicServerCounters>::default();
        let staked = key(1).pubkey();
        let setup = QuicServerSetup {
            socket,
            identity: TpuIdentity::new(&key(200)),
            stakes: Arc::new(move |peer| Stake { of_peer: if *peer == staked { 10 } else { 0 }, total: 100 }),
            out: sender.into(),
            options,
            counters: counters.clone(),
        };
        Self { server: QuicServer::spawn(handle, setup).unwrap(), inbox, counters }
    }

    fn next(&self) -> TpuPacket {
        self.inbox.recv_timeout(Duration::from_secs(5)).expect("a transaction")
    }

    fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }
}

fn sender(handle: &Handle, identity: &TpuIdentity) -> (TpuSender, Arc<SenderCounters>) {
    let counters = Arc::<SenderCounters>::default();
    let mut options = SenderOptions::usual();
    options.connect_timeout = Duration::from_millis(500);
    options.backoff_min = Duration::from_millis(20);
    options.backoff_max = Duration::from_millis(100);
    let (sender, _task) = TpuSender::spawn(handle, loopback(), identity, options, counters.clone()).unwrap();
    (sender, counters)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < end, "not within 5 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn at(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[test]
fn transactions_arrive_whole_with_the_key_and_address_of_the_sender() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |_| ());
    let (sender, counters) = sender(runtime.handle(), &TpuIdentity::new(&key(1)));
    sender.warm(server.addr());
    let payloads: Vec<Vec<u8>> = (1..60).map(|n: usize| vec![n as u8; n * 4096 / 60]).collect();
    for payload in &payloads {
        assert!(sender.send(server.addr(), payload.clone()));
    }
    for payload in payloads {
        let packet = server.next();
        assert_eq!(packet.bytes, payload);
        assert_eq!(packet.peer, Some(key(1).pubkey()));
        assert!(packet.from.ip().is_loopback());
    }
    assert_eq!(at(&counters.connections_opened), 1, "one connection is used for all");
    assert_eq!((at(&server.counters.open_staked), at(&server.counters.open_unstaked)), (1, 0));
    assert_eq!(at(&server.counters.transactions), 59);
}

#[test]
fn a_stopping_sender_sends_what_is_queued() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |_| ());
    let identity = TpuIdentity::new(&key(2));
    let (sender, task) =
        TpuSender::spawn(runtime.handle(), loopback(), &identity, SenderOptions::usual(), Arc::default()).unwrap();
    (0..50u8).for_each(|n| assert!(sender.send(server.addr(), vec![n])));
    drop(sender);
    runtime.block_on(task).expect("ends");
    assert_eq!((0..50).map(|_| server.next().bytes[0]).collect::<Vec<u8>>(), (0..50).collect::<Vec<u8>>());
}

#[test]
fn a_change_of_identity_closes_the_connection_and_shows_the_new_key() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |_| ());
    let identity = TpuIdentity::new(&key(1));
    let (sender, counters) = sender(runtime.handle(), &identity);
    for (n, round) in [1u8, 2, 1, 3].into_iter().enumerate() {
        identity.set(&key(round));
        assert!(sender.send(server.addr(), vec![round]));
        let packet = server.next();
        assert_eq!((packet.bytes.as_ref(), packet.peer), ([round].as_slice(), Some(key(round).pubkey())), "round {n}");
    }
    until("the server saw the old ones close", || at(&server.counters.closed) == at(&server.counters.accepted) - 1);
    assert_eq!(at(&counters.closed_by_identity_change), at(&server.counters.accepted) - 1);
}

#[test]
fn the_sender_finds_a_restarted_server_again() {
    let runtime = runtime();
    let first = Server::start(runtime.handle(), loopback(), |_| ());
    let addr = first.addr();
    let (sender, counters) = sender(runtime.handle(), &TpuIdentity::new(&key(1)));
    sender.send(addr, vec![1]);
    first.next();
    first.server.stop();
    runtime.block_on(first.server.stopped());
    drop(first);
    until("the loss is seen", || at(&counters.connections_lost) == 1);
    let mut socket = None;
    until("the port is free", || {
        socket = UdpSocket::bind(addr).ok();
        socket.is_some()
    });
    let second = Server::start(runtime.handle(), socket.unwrap(), |_| ());
    until("a transaction gets through", || {
        sender.send(addr, vec![2]);
        second.inbox.recv_timeout(Duration::from_millis(50)).is_ok()
    });
}

#[test]
fn nobody_there_drops_and_counts() {
    let runtime = runtime();
    let silent = loopback();
    let (sender, counters) = sender(runtime.handle(), &TpuIdentity::new(&key(1)));
    (0..20u8).for_each(|n| assert!(sender.send(silent.local_addr().unwrap(), vec![n])));
    until("all are dropped", || at(&counters.dropped_unreachable) == 20);
    assert_eq!(at(&counters.sent), 0);
}

#[test]
fn too_long_or_empty_cuts_the_peer_off() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |options| options.transaction_bytes_max = 1000);
    for bad in [vec![0; 1001], vec![]] {
        let (sender, counters) = sender(runtime.handle(), &TpuIdentity::new(&key(1)));
        sender.send(server.addr(), bad);
        until("the connection is lost", || at(&counters.connections_lost) >= 1);
    }
    assert!(at(&server.counters.streams_invalid) >= 2);
    assert_eq!(at(&server.counters.transactions), 0);
}

#[test]
fn a_full_link_drops_and_counts() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |_| ());
    let (sender, _) = sender(runtime.handle(), &TpuIdentity::new(&key(1)));
    (0..150u8).for_each(|n| assert!(sender.send(server.addr(), vec![n])));
    until("the rest is dropped", || at(&server.counters.dropped_full) == 50);
    assert_eq!(server.inbox.len(), 100);
}

#[test]
fn an_address_over_its_rate_is_not_answered() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |options| options.connections_per_ip_per_minute = 1);
    let senders: Vec<_> = (0..12).map(|n| sender(runtime.handle(), &TpuIdentity::new(&key(50 + n)))).collect();
    for (sender, _) in &senders {
        sender.send(server.addr(), vec![1]);
    }
    // Ten at once, and eight of them for one unstaked address.
    until("two are over the rate", || at(&server.counters.refused_rate_ip) >= 2);
    until("two are too many of one peer", || at(&server.counters.refused_peer) >= 2);
    assert_eq!(at(&server.counters.open_unstaked), 8);
}

/// A client of its own, to be rude in ways that `TpuSender` is not.
async fn rude(addr: SocketAddr) -> quinn::Connection {
    #[derive(Debug)]
    struct Anyone;
    impl rustls::client::danger::ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &[rustls_pki_types::CertificateDer<'_>],
            _: &rustls_pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls_pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            Ok(rustls::client::danger::ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &rustls_pki_types::CertificateDer<'_>,
            _: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            vec![rustls::SignatureScheme::ED25519]
        }
    }
    let keypair = key(9);
    let mut pkcs8 = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    pkcs8.extend_from_slice(keypair.secret_bytes());
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_client_auth_cert(
            vec![tandem_net::tls::node_certificate(&keypair.pubkey())],
            rustls_pki_types::PrivateKeyDer::Pkcs8(pkcs8.into()),
        )
        .unwrap();
    tls.alpn_protocols = vec![b"solana-tpu".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(addr, "x.sol").unwrap().await.unwrap()
}

#[test]
fn a_slow_stream_is_given_up_and_the_next_is_read() {
    let runtime = runtime();
    let server =
        Server::start(runtime.handle(), loopback(), |options| options.chunk_timeout = Duration::from_millis(50));
    runtime.block_on(async {
        let connection = rude(server.addr()).await;
        let mut slow = connection.open_uni().await.unwrap();
        slow.write_all(b"half of a").await.unwrap();
        let mut good = connection.open_uni().await.unwrap();
        good.write_all(b"whole").await.unwrap();
        good.finish().unwrap();
        assert_eq!(server.next().bytes, Bytes::from_static(b"whole"));
        assert_eq!(at(&server.counters.stream_timeouts), 1);
        // Bidirectional streams are not part of the protocol: the peer is never given one.
        let bidi = tokio::time::timeout(Duration::from_millis(100), connection.open_bi()).await;
        assert!(bidi.is_err(), "no bidirectional stream may be opened");
    });
}

#[test]
fn stopping_closes_connections_with_a_reason() {
    let runtime = runtime();
    let server = Server::start(runtime.handle(), loopback(), |_| ());
    runtime.block_on(async {
        let connection = rude(server.addr()).await;
        // Before the server's side of the handshake is done, QUIC does not let a reason through.
        until("the server has taken it", || at(&server.counters.accepted) == 1);
        server.server.stop();
        let reason = connection.closed().await.to_string();
        assert!(reason.contains("stopped"), "{reason}");
    });
}
