//! The listening side: one method table for HTTP and WebSocket, on the RPC port and (WebSocket, as clients expect) the next.

use {
    crate::{
        connections::Places,
        context::Context,
        methods,
        pages::{Pages, PagesLayer},
        pubsub,
    },
    jsonrpsee::{
        RpcModule,
        server::{
            HttpResponse, Server, ServerConfig, ServerHandle, StopHandle, serve_with_graceful_shutdown, stop_channel,
        },
    },
    std::{net::SocketAddr, time::Duration},
    tokio::net::TcpListener,
    tower::{BoxError, Service, ServiceBuilder},
    tower_http::cors::CorsLayer,
};

#[derive(Debug, thiserror::Error)]
#[error("listening on {address} for JSON-RPC: {source}; choose another --rpc-port (WebSocket takes the one after it)")]
pub struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Stops when dropped.
pub struct RpcServer {
    handles: Vec<ServerHandle>,
}

impl RpcServer {
    /// Listens on `address` and on the port after it, and keeps at most `connections_max` connections on each.
    pub async fn start(address: SocketAddr, connections_max: u32, context: Context) -> Result<Self, ServeError> {
        let pages = Pages::of(&context);
        let mut module = RpcModule::new(context);
        methods::register(&mut module)
            .and_then(|()| pubsub::register(&mut module))
            .expect("invariant: every method name is registered once");
        let pubsub_address = SocketAddr::new(address.ip(), address.port().saturating_add(1));
        let mut handles = Vec::new();
        for address in [address, pubsub_address] {
            let config = ServerConfig::builder()
                .max_connections(connections_max.saturating_add(1))
                .max_subscriptions_per_connection(SUBSCRIPTIONS_PER_CONNECTION_MAX)
                .max_request_body_size(REQUEST_BYTES_MAX)
                .max_response_body_size(RESPONSE_BYTES_MAX)
                .build();
            let extras = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(PagesLayer(pages.clone()));
            let listener = TcpListener::bind(address).await.map_err(|source| ServeError { address, source })?;
            let (stop, handle) = stop_channel();
            let service = Server::builder()
                .set_config(config)
                .set_http_middleware(extras)
                .to_service_builder()
                .build(module.clone(), stop.clone());
            let places = Places::new(usize::try_from(connections_max).unwrap_or(usize::MAX));
            tokio::spawn(accept(listener, places, service, stop));
            handles.push(handle);
        }
        Ok(Self { handles })
    }
}

async fn accept<S>(listener: TcpListener, places: Places, service: S, stop: StopHandle)
where
    S: Service<hyper::Request<hyper::body::Incoming>, Response = HttpResponse, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let stopped = stop.clone().shutdown();
    tokio::pin!(stopped);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a JSON-RPC connection: {error}");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        let Some(seated) = places.seat(stream) else {
            tracing::debug!("a JSON-RPC connection is turned away: all places are taken");
            continue;
        };
        let (service, stop) = (service.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_with_graceful_shutdown(seated, service, stop.shutdown()).await {
                tracing::debug!("a JSON-RPC connection: {error}");
            }
        });
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        for handle in &self.handles {
            // Already stopped is as good.
            let _ = handle.stop();
        }
    }
}

/// When the process has no file left, others need time to close some.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
const SUBSCRIPTIONS_PER_CONNECTION_MAX: u32 = 1_024;
/// Agave rpc_service.rs: MAX_REQUEST_BODY_SIZE is 50 kB.
const REQUEST_BYTES_MAX: u32 = 50 * 1024;
const RESPONSE_BYTES_MAX: u32 = 256 << 20;
