//! The QUIC front of the TPU: takes connections within the limits and hands on one transaction for each stream.
//! A stream is one transaction; anything longer, empty or slow is dropped, and a peer that sends such is cut off.

mod admission;

use {
    crate::{
        BindError, NetError,
        link::{Offered, Outlet, TpuPacket},
        tls::{self, TpuIdentity},
    },
    admission::{Admission, Peer, Refusal, THROTTLE_INTERVAL_MS, scale_by_round_trip},
    bytes::{Bytes, BytesMut},
    quinn::{
        Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, ServerConfig, TokioRuntime, VarInt,
        crypto::rustls::QuicServerConfig,
    },
    std::{
        array,
        net::{SocketAddr, UdpSocket},
        sync::{
            Arc, Mutex, MutexGuard, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, Instant},
    },
    tandem_types::Pubkey,
    tokio::{
        runtime::Handle,
        sync::{OwnedSemaphorePermit, Semaphore},
        time,
    },
};

/// Limits of a server. `agave()` are those of a 4.2.2 validator (solana-streamer-4.2.2/src/quic.rs).
#[derive(Clone, Debug)]
pub struct QuicServerOptions {
    pub staked_connections_max: usize,
    pub unstaked_connections_max: usize,
    pub connections_per_staked_peer: usize,
    pub connections_per_unstaked_peer: usize,
    /// And ten times as many at once. All nodes of a local cluster share one address: raise it there.
    pub connections_per_ip_per_minute: u32,
    pub handshakes_per_second: f64,
    pub handshake_burst: f64,
    pub streams_per_ms: u64,
    pub unstaked_streams_per_second: u64,
    pub transaction_bytes_max: usize,
    pub handshake_timeout: Duration,
    pub chunk_timeout: Duration,
    pub idle_timeout: Duration,
}

impl QuicServerOptions {
    pub fn agave() -> Self {
        Self {
            staked_connections_max: 2000,
            unstaked_connections_max: 2000,
            connections_per_staked_peer: 16,
            connections_per_unstaked_peer: 8,
            connections_per_ip_per_minute: 8,
            handshakes_per_second: 2500.0,
            handshake_burst: 1000.0,
            streams_per_ms: 500,
            unstaked_streams_per_second: 200,
            // A transaction of version 1 (solana-message v1: MAX_TRANSACTION_SIZE); older ones fit a packet of 1232.
            transaction_bytes_max: 4096,
            handshake_timeout: Duration::from_secs(2),
            chunk_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(30),
        }
    }

    fn staked_streams_per_interval(&self) -> u64 {
        // A fifth of the capacity is left to unstaked peers, if there are to be any.
        let percent = if self.unstaked_connections_max > 0 { 80 } else { 100 };
        self.streams_per_ms * THROTTLE_INTERVAL_MS * percent / 100
    }

    fn unstaked_streams_per_interval(&self) -> u64 {
        self.unstaked_streams_per_second * THROTTLE_INTERVAL_MS / 1000
    }
}

/// What a peer weighs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
    pub of_peer: u64,
    pub total: u64,
}

/// Answers what a key weighs now. Asked once for each connection, on a network thread: it must not wait.
pub type StakeLookup = Arc<dyn Fn(&Pubkey) -> Stake + Send + Sync>;

#[derive(Debug, Default)]
pub struct QuicServerCounters {
    pub attempts: AtomicU64,
    pub refused_rate_ip: AtomicU64,
    pub refused_rate_all: AtomicU64,
    pub refused_peer: AtomicU64,
    pub refused_room: AtomicU64,
    pub handshakes_failed: AtomicU64,
    pub accepted: AtomicU64,
    pub evicted: AtomicU64,
    pub closed: AtomicU64,
    pub throttled: AtomicU64,
    pub transactions: AtomicU64,
    pub bytes: AtomicU64,
    pub dropped_full: AtomicU64,
    pub stream_timeouts: AtomicU64,
    pub stream_errors: AtomicU64,
    /// Too long or empty: the peer was cut off.
    pub streams_invalid: AtomicU64,
    pub open_staked: AtomicU64,
    pub open_unstaked: AtomicU64,
}

/// What a server needs.
pub struct QuicServerSetup {
    pub socket: UdpSocket,
    pub identity: TpuIdentity,
    pub stakes: StakeLookup,
    pub out: Outlet<TpuPacket>,
    pub options: QuicServerOptions,
    pub counters: Arc<QuicServerCounters>,
}

/// A running server. Dropping it stops it.
pub struct QuicServer {
    endpoint: Endpoint,
    local: SocketAddr,
}

impl QuicServer {
    /// Starts the server's tasks on `handle`.
    pub fn spawn(handle: &Handle, setup: QuicServerSetup) -> Result<Self, NetError> {
        let QuicServerSetup { socket, identity, stakes, out, options, counters } = setup;
        let config = quinn_config(&identity, &options)?;
        let local = socket.local_addr().map_err(|source| NetError::Start { what: "a QUIC server".into(), source })?;
        let endpoint = {
            let _context = handle.enter();
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
                .map_err(|source| BindError::new(local, source))?
        };
        // A quarter more than the tables hold may be in their handshake (swqos.rs: max_concurrent_connections).
        let open_max = (options.staked_connections_max + options.unstaked_connections_max) * 5 / 4;
        let server = Arc::new(Server {
            admission: Mutex::new(Admission::new(options.clone(), Instant::now())),
            room: Arc::new(Semaphore::new(open_max)),
            options,
            stakes,
            out,
            counters,
        });
        handle.spawn(accept(server, endpoint.clone()));
        Ok(Self { endpoint, local })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Closes all connections and takes no more. Tasks end by themselves; `stopped` waits until peers were told.
    pub fn stop(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"stopped");
    }

    pub async fn stopped(&self) {
        self.endpoint.wait_idle().await;
    }
}

impl Drop for QuicServer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Server {
    admission: Mutex<Admission<Connection>>,
    room: Arc<Semaphore>,
    options: QuicServerOptions,
    stakes: StakeLookup,
    out: Outlet<TpuPacket>,
    counters: Arc<QuicServerCounters>,
}

impl Server {
    /// Held for table look-ups only, never across an await.
    fn admission(&self) -> MutexGuard<'_, Admission<Connection>> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_refusal(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::RateOfAll => &self.counters.refused_rate_all,
            Refusal::RateOfIp => &self.counters.refused_rate_ip,
            Refusal::TooManyOfPeer => &self.counters.refused_peer,
            Refusal::NoRoom => &self.counters.refused_room,
        };
        bump(counter);
    }

    fn publish_open(&self) {
        let (staked, unstaked) = self.admission().open();
        self.counters.open_staked.store(staked as u64, Ordering::Relaxed);
        self.counters.open_unstaked.store(unstaked as u64, Ordering::Relaxed);
    }
}

fn quinn_config(identity: &TpuIdentity, options: &QuicServerOptions) -> Result<ServerConfig, NetError> {
    let tls_error = |reason: String| NetError::Tls { what: "the TPU server", reason };
    let crypto = QuicServerConfig::try_from(identity.server_config()?).map_err(|error| tls_error(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.migration(false);
    let mut transport = quinn::TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(u32::try_from(options.transaction_bytes_max).unwrap_or(u32::MAX)))
        .receive_window(CONNECTION_WINDOW)
        // None until the peer is admitted; its share comes then.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(
            IdleTimeout::try_from(options.idle_timeout).map_err(|error| tls_error(error.to_string()))?,
        ))
        // We only ever answer with acknowledgements: ten times less memory for each.
        .enable_segmentation_offload(false);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

async fn accept(server: Arc<Server>, endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        bump(&server.counters.attempts);
        let may = server.admission().may_handshake(incoming.remote_address().ip(), Instant::now());
        if let Err(refusal) = may {
            server.count_refusal(refusal);
            // No answer: an answer to a forged address would be an attack on its owner.
            incoming.ignore();
            continue;
        }
        let Ok(room) = Arc::clone(&server.room).try_acquire_owned() else {
            server.count_refusal(Refusal::NoRoom);
            incoming.refuse();
            continue;
        };
        tokio::spawn(serve(Arc::clone(&server), incoming, room));
    }
}

async fn serve(server: Arc<Server>, incoming: Incoming, _room: OwnedSemaphorePermit) {
    let handshake = async { incoming.accept()?.await };
    let Ok(Ok(connection)) = time::timeout(server.options.handshake_timeout, handshake).await else {
        bump(&server.counters.handshakes_failed);
        return;
    };
    let pubkey = tls::peer_pubkey(&connection);
    let stake = pubkey.map_or_else(Stake::default, |pubkey| (server.stakes)(&pubkey));
    let peer = Peer { pubkey, ip: connection.remote_address().ip(), stake };
    let admitted = server.admission().admit(peer, connection.clone(), Instant::now());
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            server.count_refusal(refusal);
            let (code, reason) = refusal.close();
            connection.close(VarInt::from_u32(code), reason);
            return;
        }
    };
    bump(&server.counters.accepted);
    for evicted in admitted.evicted {
        bump(&server.counters.evicted);
        evicted.close(CLOSE_DROPPED.0, CLOSE_DROPPED.1);
    }
    server.publish_open();
    let streams = scale_by_round_trip(admitted.streams_max, connection.rtt());
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(streams));
    // One stream at a time for each connection, as agave: a peer that stalls a stream stalls itself.
    while let Ok(mut stream) = connection.accept_uni().await {
        if let Some(pause) = admitted.throttle.stream(Instant::now()) {
            bump(&server.counters.throttled);
            time::sleep(pause).await;
        }
        match read_transaction(&server, &mut stream).await {
            Ok(bytes) => deliver(&server, TpuPacket { peer: pubkey, from: connection.remote_address(), bytes }),
            Err(StreamEnd::Timeout) => bump(&server.counters.stream_timeouts),
            Err(StreamEnd::Broken) => bump(&server.counters.stream_errors),
            Err(StreamEnd::Invalid) => {
                bump(&server.counters.streams_invalid);
                connection.close(CLOSE_INVALID.0, CLOSE_INVALID.1);
            }
        }
    }
    server.admission().remove(admitted.ticket);
    server.publish_open();
    bump(&server.counters.closed);
}

enum StreamEnd {
    Timeout,
    Broken,
    Invalid,
}

async fn read_transaction(server: &Server, stream: &mut RecvStream) -> Result<Bytes, StreamEnd> {
    let max = server.options.transaction_bytes_max;
    let mut parts: Vec<Bytes> = Vec::new();
    let mut length = 0;
    let mut chunks: [Bytes; 4] = array::from_fn(|_| Bytes::new());
    loop {
        let read = time::timeout(server.options.chunk_timeout, stream.read_chunks(&mut chunks)).await;
        let count = match read {
            Err(_elapsed) => return Err(StreamEnd::Timeout),
            Ok(Err(_broken)) => return Err(StreamEnd::Broken),
            Ok(Ok(count)) => count.unwrap_or(0),
        };
        if count == 0 {
            break;
        }
        for chunk in &mut chunks[..count] {
            length += chunk.len();
            if length > max {
                return Err(StreamEnd::Invalid);
            }
            parts.push(std::mem::take(chunk));
        }
    }
    match parts.len() {
        0 => Err(StreamEnd::Invalid),
        // Most transactions come in one chunk, which is handed on without a copy.
        1 => Ok(parts.swap_remove(0)),
        _many => {
            let mut whole = BytesMut::with_capacity(length);
            parts.iter().for_each(|part| whole.extend_from_slice(part));
            Ok(whole.freeze())
        }
    }
}

fn deliver(server: &Server, packet: TpuPacket) {
    let length = packet.bytes.len() as u64;
    match server.out.offer(packet) {
        Offered::Taken => {
            bump(&server.counters.transactions);
            server.counters.bytes.fetch_add(length, Ordering::Relaxed);
            server.out.wake();
        }
        Offered::Full | Offered::Closed => bump(&server.counters.dropped_full),
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Agave's close codes and texts (solana-streamer-4.2.2/src/nonblocking/quic.rs).
const CLOSE_DROPPED: (VarInt, &[u8]) = (VarInt::from_u32(1), b"dropped");
const CLOSE_INVALID: (VarInt, &[u8]) = (VarInt::from_u32(5), b"invalid_stream");
const CONNECTION_WINDOW: VarInt = VarInt::from_u32(8 * 1024 * 1024);
