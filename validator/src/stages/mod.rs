//! The shells: each owns its ends of links and the machines or stores behind them.

pub mod courier;
pub mod gossip;
pub mod observe;
pub mod producer;
pub mod promise;
pub mod repair;
pub mod replay;
pub mod role;
pub mod shreds;
mod signer;
#[cfg(test)]
mod testing;
pub mod tpu;
pub mod vote;
