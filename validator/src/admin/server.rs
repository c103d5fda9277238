//! The listening side of the admin socket.

use {
    super::{
        framing::{Frame, take_frame},
        methods::{AdminContext, methods},
        socket_path,
    },
    crate::exit::Failure,
    jsonrpsee::RpcModule,
    std::{
        fs,
        os::unix::fs::PermissionsExt,
        path::{Path, PathBuf},
        sync::Arc,
    },
    tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
        sync::Semaphore,
    },
    tracing::{debug, warn},
};

/// More at once is somebody's runaway script.
const CONNECTIONS_MAX: usize = 64;

/// No method subscribes, but the library wants room for it.
const SUBSCRIPTION_MESSAGES: usize = 1;

/// The socket file disappears when this is dropped.
pub struct AdminServer {
    path: PathBuf,
}

impl AdminServer {
    /// Listens on `<ledger>/admin.rpc`, mode 0600. The ledger's lock is held by this process, so a socket file that is
    /// already there was left by a process that died.
    pub fn start(ledger: &Path, context: AdminContext, runtime: &tokio::runtime::Handle) -> Result<Self, Failure> {
        let path = socket_path(ledger);
        let failure = |what: &str, error: std::io::Error| {
            Failure::failed(format!("{what} {}: {error}", path.display()))
                .remedy("check that the ledger folder is writable and its path is shorter than 100 bytes")
        };
        if path.exists() {
            fs::remove_file(&path).map_err(|error| failure("removing the stale admin socket", error))?;
        }
        let _guard = runtime.enter();
        let listener = UnixListener::bind(&path).map_err(|error| failure("listening on the admin socket", error))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(|error| failure("restricting the admin socket", error))?;
        runtime.spawn(accept(listener, Arc::new(methods(context))));
        Ok(Self { path })
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        // Nothing to do about a failure: the next start removes what is left.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, methods: Arc<RpcModule<AdminContext>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // SAFETY: geteuid has no preconditions and cannot fail.
    let owner = unsafe { libc::geteuid() };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("admin socket: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let uid = stream.peer_cred().map(|peer| peer.uid());
        if !matches!(uid, Ok(uid) if uid == owner || uid == 0) {
            warn!("admin socket: connection of another user refused");
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            warn!("admin socket: {CONNECTIONS_MAX} connections are open, another is refused");
            continue;
        };
        let methods = methods.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, methods).await {
                debug!("admin connection: {error}");
            }
            drop(place);
        });
    }
}

async fn serve(mut stream: UnixStream, methods: Arc<RpcModule<AdminContext>>) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..read]);
        loop {
            match take_frame(&mut buffer) {
                Frame::Partial => break,
                Frame::Broken => {
                    let reply = r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}"#;
                    stream.write_all(format!("{reply}\n").as_bytes()).await?;
                    return Ok(());
                }
                Frame::Message(request) => {
                    let reply = match methods.raw_json_request(&request, SUBSCRIPTION_MESSAGES).await {
                        Ok((reply, _)) => reply.get().to_owned(),
                        Err(_) => r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid request"},"id":null}"#
                            .to_owned(),
                    };
                    stream.write_all(reply.as_bytes()).await?;
                    stream.write_all(b"\n").await?;
                }
            }
        }
    }
}
