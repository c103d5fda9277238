//! The admin socket `<ledger>/admin.rpc`: what an operator, or a script, asks of a running validator.

pub mod client;
mod failover;
mod framing;
mod methods;
mod places;
mod server;
#[cfg(test)]
mod tests;

pub use {
    methods::{AdminContext, AdminError, RoleRequest},
    server::AdminServer,
};

use std::path::{Path, PathBuf};

/// Where the socket of a validator with this ledger is.
pub fn socket_path(ledger: &Path) -> PathBuf {
    ledger.join("admin.rpc")
}
