//! The listening side of the admin socket.

use {
    super::{
        framing::{Frame, take_frame},
        methods::{AdminContext, methods},
        places::{Place, Places},
        secret::Buffer,
        usable_socket_path,
    },
    crate::exit::Failure,
    jsonrpsee::RpcModule,
    std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
        sync::Arc,
        time::Duration,
    },
    tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
        time::{Instant, timeout, timeout_at},
    },
    tracing::{debug, warn},
    zeroize::{Zeroize, Zeroizing},
};

/// From a request's first byte to its last, and for taking a reply: who needs longer has stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// No method subscribes, but the library wants room for it.
const SUBSCRIPTION_MESSAGES: usize = 1;

/// The socket file disappears when this is dropped.
pub struct AdminServer {
    path: PathBuf,
}

impl AdminServer {
    /// Listens on `<ledger>/admin.rpc`, mode 0600. The ledger's lock is held by this process, so a socket file that is
    /// already there was left by a process that died.
    /// Of more than `connections_max` connections the one that has been quiet longest is closed.
    pub fn start(
        ledger: &Path,
        context: AdminContext,
        connections_max: usize,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Failure> {
        let path = usable_socket_path(ledger)?;
        let failure = |what: &str, error: std::io::Error| {
            Failure::failed(format!("{what} {}: {error}", path.display()))
                .remedy("check that this user may write the ledger folder")
        };
        if path.exists() {
            fs::remove_file(&path).map_err(|error| failure("removing the stale admin socket", error))?;
        }
        let _guard = runtime.enter();
        let listener = UnixListener::bind(&path).map_err(|error| failure("listening on the admin socket", error))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|error| failure("restricting the admin socket", error))?;
        runtime.spawn(accept(listener, Places::new(connections_max), Arc::new(methods(context))));
        Ok(Self { path })
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // Nothing to do about a failure: the next start removes what is left.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, places: Arc<Places>, methods: Arc<RpcModule<AdminContext>>) {
    // SAFETY: geteuid has no preconditions and cannot fail.
    let owner = unsafe { libc::geteuid() };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("admin socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let uid = stream.peer_cred().map(|peer| peer.uid());
        if !matches!(uid, Ok(uid) if uid == owner || uid == 0) {
            warn!("admin socket: connection of another user refused");
            continue;
        }
        let Some(place) = places.take() else {
            warn!("admin socket: every connection it has room for is being answered, another is refused");
            continue;
        };
        let methods = methods.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = serve(stream, &place, methods) => {
                    if let Err(error) = served {
                        debug!("admin connection: {error}");
                    }
                }
                () = place.asked_to_leave() => debug!("a quiet admin connection is closed: another wants in"),
            }
        });
    }
}

async fn serve(mut stream: UnixStream, place: &Place, methods: Arc<RpcModule<AdminContext>>) -> std::io::Result<()> {
    // Requests bring keys.
    let mut buffer = Buffer::default();
    let mut chunk = Zeroizing::new([0u8; 4096]);
    let mut begun: Option<Instant> = None;
    loop {
        let read = match begun {
            Some(begun) => timeout_at(begun + PATIENCE, stream.read(&mut chunk[..])).await??,
            None => stream.read(&mut chunk[..]).await?,
        };
        if read == 0 {
            return Ok(());
        }
        buffer.extend(&chunk[..read]);
        chunk[..read].zeroize();
        loop {
            match take_frame(&mut buffer) {
                Frame::Partial => break,
                Frame::Broken => {
                    let reply = r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}"#;
                    return timeout(PATIENCE, stream.write_all(format!("{reply}\n").as_bytes())).await?;
                }
                Frame::Message(request) => {
                    place.note(true);
                    let reply = match methods.raw_json_request(&request, SUBSCRIPTION_MESSAGES).await {
                        Ok((reply, _)) => reply.get().to_owned(),
                        Err(_) => r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request"},"id":null}"#
                            .to_owned(),
                    };
                    timeout(PATIENCE, stream.write_all(format!("{reply}\n").as_bytes())).await??;
                    place.note(false);
                }
            }
        }
        begun = (!buffer.bytes().is_empty()).then(|| begun.unwrap_or_else(Instant::now));
    }
}
