//! The store protocol's key-value port over a real etcd cluster.
//! Owns: endpoints, deadlines, TLS with reload, unknown outcomes, leases, watches.   Never knows: what the keys mean.
//! In: `Txn` from any thread.  Out: `TxnReply`, or an error that says whether it may have happened.
//! Read first: `kv.rs`, then `classify.rs` (what an error means for a write), `member.rs` (one endpoint).
//! Must match: etcd 3.4 and 3.5 (gRPC v3 API), the flags of agave 2.3's etcd tower store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod certificate;
mod check;
mod classify;
mod examine;
mod kv;
mod lease;
mod member;
mod options;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod watch;

pub use {
    certificate::{Certificate, check_client},
    check::{CheckError, CheckReport, MemberReport},
    examine::{Examination, Latency, MemberFacts},
    kv::EtcdKv,
    options::{EtcdOptions, OpenError},
    tls::FileError,
};
