//! One endpoint: its connection, and what is known about its health.
//!
//! Each member has a channel of its own, because the client library's balancer keeps sending to dead members. The
//! connector is ours too: only so are certificates read anew, deadlines kept, and failures told apart.

use {
    crate::{
        options::{Address, EtcdOptions},
        tls::TlsFiles,
    },
    etcd_client::{Client, ConnectOptions},
    hyper_util::rt::TokioIo,
    rustls_pki_types::ServerName,
    std::{
        io,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
        task::{Context, Poll},
        time::{Duration, Instant},
    },
    tokio::{
        io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, ReadBuf},
        net::TcpStream,
        task, time,
    },
    tokio_rustls::TlsConnector,
    tonic::transport::{Endpoint, Uri},
};

pub(crate) struct Member {
    /// As the operator wrote it, with scheme and port.
    pub name: String,
    pub client: Client,
    health: Arc<Health>,
    born: Instant,
}

/// Milliseconds count from the member's birth; zero means never.
#[derive(Default)]
struct Health {
    open: AtomicU64,
    answered_ms: AtomicU64,
    failed_ms: AtomicU64,
}

/// No connection could be made, so nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    #[error("no TCP connection: {0}")]
    Tcp(#[source] io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("no answer within {}", human(.0))]
    Timeout(Duration),
    #[error("{0} is not a host name")]
    Name(String),
}

impl Member {
    /// Connects lazily. Must be called on the runtime that is to drive the connection.
    pub(crate) async fn new(
        address: &Address,
        options: &EtcdOptions,
        tls: Option<Arc<TlsFiles>>,
    ) -> Result<Self, etcd_client::Error> {
        let health = Arc::new(Health::default());
        let name = address.to_string();
        // TLS is made by our connector: to the library the endpoint is plain, with the true name as its origin.
        let authority = name.trim_start_matches("https://").trim_start_matches("http://");
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(etcd_client::Error::from)?
            .origin(name.parse::<Uri>().map_err(etcd_client::Error::from)?)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let dial = Arc::new(Dial {
            address: address.clone(),
            server_name: options.domain_name.clone().unwrap_or_else(|| address.host.clone()),
            tls: tls.filter(|_| address.https),
            connect_timeout: options.connect_timeout,
            health: health.clone(),
        });
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_uri: Uri| {
            let dial = dial.clone();
            async move { dial.connect().await }
        }));
        let connect_options = ConnectOptions::new().with_require_leader(true);
        let client = Client::from_channel(etcd_client::Channel::Tonic(channel), Some(connect_options)).await?;
        Ok(Self { name, client, health, born: Instant::now() })
    }

    pub(crate) fn answered(&self) {
        self.health.answered_ms.store(self.now_ms(), Ordering::Relaxed);
        self.health.failed_ms.store(0, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.health.failed_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Failed since it last answered, and not so long ago that it deserves another chance.
    pub(crate) fn is_suspect(&self) -> bool {
        let failed = self.health.failed_ms.load(Ordering::Relaxed);
        failed != 0 && self.now_ms().saturating_sub(failed) < SUSPECT_MS
    }

    /// Connected, and answered just now. What is not fresh is probed with a read before it gets a write: a read that
    /// fails leaves no doubt about what happened.
    pub(crate) fn is_fresh(&self) -> bool {
        let answered = self.health.answered_ms.load(Ordering::Relaxed);
        self.health.open.load(Ordering::Relaxed) > 0
            && answered != 0
            && self.health.failed_ms.load(Ordering::Relaxed) == 0
            && self.now_ms().saturating_sub(answered) < FRESH_MS
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

struct Dial {
    address: Address,
    server_name: String,
    tls: Option<Arc<TlsFiles>>,
    connect_timeout: Duration,
    health: Arc<Health>,
}

impl Dial {
    async fn connect(&self) -> Result<TokioIo<Connection>, ConnectFailure> {
        match time::timeout(self.connect_timeout, self.connect_unbounded()).await {
            Ok(connected) => connected.map(TokioIo::new),
            Err(_elapsed) => Err(ConnectFailure::Timeout(self.connect_timeout)),
        }
    }

    async fn connect_unbounded(&self) -> Result<Connection, ConnectFailure> {
        let tcp = TcpStream::connect((self.address.host.as_str(), self.address.port)).await;
        let tcp = tcp.map_err(ConnectFailure::Tcp)?;
        tcp.set_nodelay(true).map_err(ConnectFailure::Tcp)?;
        let Some(files) = self.tls.clone() else {
            return Ok(Connection::new(Box::pin(tcp), &self.health));
        };
        let config = task::spawn_blocking(move || files.config())
            .await
            .map_err(|error| ConnectFailure::Tls(io::Error::other(error)))?;
        let server_name = ServerName::try_from(self.server_name.clone())
            .map_err(|_malformed| ConnectFailure::Name(self.server_name.clone()))?;
        let stream = TlsConnector::from(config).connect(server_name, tcp).await.map_err(ConnectFailure::Tls)?;
        let mut stream = BufReader::new(stream);
        // In TLS 1.3 our handshake is done before the server has judged our certificate; but an HTTP/2 server speaks
        // first. Its first byte says that we are in, a refusal comes instead of it: then no request was ever sent.
        if let Ok(first) = time::timeout(FIRST_BYTE_WAIT, stream.fill_buf()).await
            && first.map_err(ConnectFailure::Tls)?.is_empty()
        {
            let closed = io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection");
            return Err(ConnectFailure::Tls(closed));
        }
        Ok(Connection::new(Box::pin(stream), &self.health))
    }
}

trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// A connection that is counted while it exists.
struct Connection {
    io: Pin<Box<dyn Io>>,
    health: Arc<Health>,
}

impl Connection {
    fn new(io: Pin<Box<dyn Io>>, health: &Arc<Health>) -> Self {
        health.open.fetch_add(1, Ordering::Relaxed);
        Self { io, health: Arc::clone(health) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.health.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.as_mut().poll_shutdown(cx)
    }
}

fn human(span: &Duration) -> String {
    format!("{} ms", span.as_millis())
}

/// Not below etcd's --grpc-keepalive-min-time (5 s): a server may cut off clients that ping more often.
const KEEP_ALIVE: Duration = Duration::from_secs(6);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// A proxy may wait for us to speak first: then go on without knowing.
const FIRST_BYTE_WAIT: Duration = Duration::from_millis(300);
/// Votes come several times a second; after a second of silence a member is asked before it is trusted with a write.
const FRESH_MS: u64 = 1000;
const SUSPECT_MS: u64 = 5000;
