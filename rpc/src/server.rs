//! The listening side: one method table for HTTP and WebSocket, on the RPC port and (WebSocket, as clients expect) the next.

use {
    crate::{
        context::Context,
        methods,
        pages::{Pages, PagesLayer},
        pubsub,
    },
    jsonrpsee::{
        RpcModule,
        server::{Server, ServerConfig, ServerHandle},
    },
    std::net::SocketAddr,
    tower::ServiceBuilder,
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
    /// Listens on `address` and on the port after it.
    pub async fn start(address: SocketAddr, context: Context) -> Result<Self, ServeError> {
        let pages = Pages::of(&context);
        let mut module = RpcModule::new(context);
        methods::register(&mut module)
            .and_then(|()| pubsub::register(&mut module))
            .expect("invariant: every method name is registered once");
        let pubsub_address = SocketAddr::new(address.ip(), address.port().saturating_add(1));
        let mut handles = Vec::new();
        for address in [address, pubsub_address] {
            let config = ServerConfig::builder()
                .max_connections(CONNECTIONS_MAX)
                .max_subscriptions_per_connection(SUBSCRIPTIONS_PER_CONNECTION_MAX)
                .max_request_body_size(REQUEST_BYTES_MAX)
                .max_response_body_size(RESPONSE_BYTES_MAX)
                .build();
            let extras = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(PagesLayer(pages.clone()));
            let server = Server::builder()
                .set_config(config)
                .set_http_middleware(extras)
                .build(address)
                .await
                .map_err(|source| ServeError { address, source })?;
            handles.push(server.start(module.clone()));
        }
        Ok(Self { handles })
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

const CONNECTIONS_MAX: u32 = 1_000;
const SUBSCRIPTIONS_PER_CONNECTION_MAX: u32 = 1_024;
/// Agave rpc_service.rs: MAX_REQUEST_BODY_SIZE is 50 kB.
const REQUEST_BYTES_MAX: u32 = 50 * 1024;
const RESPONSE_BYTES_MAX: u32 = 256 << 20;
