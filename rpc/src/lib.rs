//! JSON-RPC and WebSocket: what wallets, the `solana` CLI and web3.js ask of a node.
//! Owns: methods, their shapes and errors, subscriptions, the short history of transactions.   Never knows: protocol decisions.
//! In: published views (`Context`), requests.  Out: replies, notifications, transactions to send.
//! Read first: `context.rs`, then `server.rs` and `methods/`.
//! Must match: solana-rpc-4.2.2 rpc.rs and rpc_pubsub.rs, by the shapes of solana-rpc-client-types 4.2.2.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connections;
mod context;
mod encode;
mod error;
mod history;
mod methods;
mod pages;
mod params;
mod pubsub;
mod server;

pub use {
    context::{ChainEvent, ChainView, Context, Health, SubmitError},
    history::{BlockRecord, History, TransactionRecord},
    server::{RpcServer, ServeError},
};
