//! The methods, grouped by what they are about.

pub mod accounts;
mod blocks;
mod cluster;
mod epochs;
mod history;
mod tokens;
mod transactions;

use {crate::context::Context, jsonrpsee::RpcModule};

pub fn register(module: &mut RpcModule<Context>) -> Result<(), jsonrpsee::core::RegisterMethodError> {
    accounts::register(module)?;
    blocks::register(module)?;
    cluster::register(module)?;
    epochs::register(module)?;
    history::register(module)?;
    tokens::register(module)?;
    transactions::register(module)
}
