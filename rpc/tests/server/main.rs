//! The server as clients see it: over real sockets, on a chain that a test makes block by block.
#![allow(clippy::unwrap_used)]

mod http;
mod node;
mod websocket;
