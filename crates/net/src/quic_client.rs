//! Sends transactions to the TPUs of others: one connection for each address, kept alive and reopened, never waited for.
//!
//! `send` puts bytes into a bounded queue and returns. A peer that cannot be reached loses what is queued for it; the
//! caller sends its vote to the next leader instead. A change of identity closes every connection.

mod worker;

use {
    crate::{BindError, NetError, tls::TpuIdentity},
    bytes::Bytes,
    lru::LruCache,
    quinn::{
        ClientConfig, Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt,
        congestion::CubicConfig, crypto::rustls::QuicClientConfig,
    },
    std::{
        net::{SocketAddr, UdpSocket},
        num::NonZeroUsize,
        sync::{Arc, atomic::AtomicU64, atomic::Ordering},
        time::{Duration, Instant},
    },
    tandem_types::PACKET_BYTES_MAX,
    tokio::{
        runtime::Handle,
        sync::mpsc::{self, error::TrySendError},
        task::{JoinHandle, JoinSet},
        time,
    },
};

#[derive(Clone, Debug)]
pub struct SenderOptions {
    /// Sends waiting for all peers together.
    pub queue_max: usize,
    /// Sends waiting for one peer.
    pub peer_queue_max: usize,
    /// The longest unused connection goes when there are more.
    pub connections_max: NonZeroUsize,
    /// A connection nobody sends on is closed after this.
    pub idle_after: Duration,
    pub connect_timeout: Duration,
    pub send_timeout: Duration,
    /// What waited longer than this is dropped: nobody wants an old transaction.
    pub age_max: Duration,
    /// A peer that cannot be reached is tried again after `backoff_min`, then twice that, up to `backoff_max`.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

impl SenderOptions {
    pub fn usual() -> Self {
        Self {
            queue_max: 8192,
            peer_queue_max: 1024,
            connections_max: NonZeroUsize::new(1024).expect("not zero"),
            idle_after: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(2),
            send_timeout: Duration::from_secs(2),
            age_max: Duration::from_secs(10),
            backoff_min: Duration::from_millis(100),
            // Agave takes 8 connections a minute from one address: a steady retry stays below that.
            backoff_max: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Default)]
pub struct SenderCounters {
    pub queued: AtomicU64,
    /// Written to a stream that was finished; whether it arrived, QUIC knows, and the chain tells.
    pub sent: AtomicU64,
    pub dropped_full: AtomicU64,
    pub dropped_old: AtomicU64,
    pub dropped_unreachable: AtomicU64,
    pub connections_opened: AtomicU64,
    pub connections_failed: AtomicU64,
    pub connections_lost: AtomicU64,
    pub closed_by_identity_change: AtomicU64,
}

/// Sends to TPUs. Clones share the connections; when the last clone is gone, what is queued is sent and all is closed.
#[derive(Clone)]
pub struct TpuSender {
    queue: mpsc::Sender<(SocketAddr, Item)>,
    counters: Arc<SenderCounters>,
}

/// Bytes for a peer; none to only open the connection.
struct Item {
    bytes: Option<Bytes>,
    at: Instant,
}

struct Shared {
    endpoint: Endpoint,
    identity: TpuIdentity,
    options: SenderOptions,
    counters: Arc<SenderCounters>,
}

impl TpuSender {
    /// Starts the sender's tasks on `handle`. The join handle ends when the last clone is dropped and all was sent.
    pub fn spawn(
        handle: &Handle,
        socket: UdpSocket,
        identity: &TpuIdentity,
        options: SenderOptions,
        counters: Arc<SenderCounters>,
    ) -> Result<(Self, JoinHandle<()>), NetError> {
        let local = socket.local_addr().map_err(|source| NetError::Start { what: "the TPU client".into(), source })?;
        let config = quinn_config(identity)?;
        let mut endpoint = {
            let _context = handle.enter();
            Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))
                .map_err(|source| BindError::new(local, source))?
        };
        endpoint.set_default_client_config(config);
        let (queue, inbox) = mpsc::channel(options.queue_max);
        let shared = Arc::new(Shared { endpoint, identity: identity.clone(), options, counters: counters.clone() });
        let task = handle.spawn(dispatch(shared, inbox));
        Ok((Self { queue, counters }, task))
    }

    /// Queues bytes for the TPU at `to`. False: the queue is full and they are dropped (and counted).
    pub fn send(&self, to: SocketAddr, bytes: impl Into<Bytes>) -> bool {
        let queued = self.put(to, Some(bytes.into()));
        let counter = if queued { &self.counters.queued } else { &self.counters.dropped_full };
        counter.fetch_add(1, Ordering::Relaxed);
        queued
    }

    /// Opens the connection ahead of time, so that the next `send` costs no handshake. May overlap a commit.
    pub fn warm(&self, to: SocketAddr) {
        self.put(to, None);
    }

    fn put(&self, to: SocketAddr, bytes: Option<Bytes>) -> bool {
        self.queue.try_send((to, Item { bytes, at: Instant::now() })).is_ok()
    }
}

/// Hands each item to the worker of its peer, which exists as long as it is used.
async fn dispatch(shared: Arc<Shared>, mut inbox: mpsc::Receiver<(SocketAddr, Item)>) {
    let mut peers: LruCache<SocketAddr, mpsc::Sender<Item>> = LruCache::new(shared.options.connections_max);
    let mut workers = JoinSet::new();
    while let Some((to, item)) = inbox.recv().await {
        while workers.try_join_next().is_some() {}
        let offered = match peers.get(&to) {
            Some(peer) => peer.try_send(item),
            None => Err(TrySendError::Closed(item)),
        };
        match offered {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                shared.counters.dropped_full.fetch_add(1, Ordering::Relaxed);
            }
            // Never seen, or idle for so long that its worker has ended.
            Err(TrySendError::Closed(item)) => {
                let (peer, inbox) = mpsc::channel(shared.options.peer_queue_max);
                let taken = peer.try_send(item).is_ok();
                assert!(taken, "a new queue has room");
                // The peer this pushes out sends what it has and ends, as its queue is closed.
                peers.push(to, peer);
                workers.spawn(worker::run(Arc::clone(&shared), to, inbox));
            }
        }
    }
    peers.clear();
    let all_done = async { while workers.join_next().await.is_some() {} };
    let _in_time = time::timeout(DRAIN_MAX, all_done).await;
    workers.abort_all();
    shared.endpoint.close(VarInt::from_u32(0), b"done");
    let _in_time = time::timeout(DRAIN_MAX, shared.endpoint.wait_idle()).await;
}

fn quinn_config(identity: &TpuIdentity) -> Result<ClientConfig, NetError> {
    let tls_error = |reason: String| NetError::Tls { what: "the TPU client", reason };
    let crypto = QuicClientConfig::try_from(identity.client_config()?).map_err(|error| tls_error(error.to_string()))?;
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW_BYTES);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).map_err(|error| tls_error(error.to_string()))?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .datagram_receive_buffer_size(None)
        // A transaction is of use when it is whole: finish one stream before the next.
        .send_fairness(false)
        .congestion_controller_factory(Arc::new(cubic));
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// solana-tpu-client-next-4.2.2/src/quic_networking.rs: QUIC_MAX_TIMEOUT, QUIC_KEEP_ALIVE, INITIAL_CONGESTION_WINDOW.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const INITIAL_WINDOW_BYTES: u64 = 128 * PACKET_BYTES_MAX as u64;
/// How long a stopping sender goes on sending.
const DRAIN_MAX: Duration = Duration::from_secs(2);
