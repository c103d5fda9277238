//! Judges what the machines of a pair released: conflicting votes, lockout violations, duplicate blocks.
//! Owns: the release log's format, parsers of votes, gossip, shreds, blocks and packet captures, and lockout rules, all written a second time.
//! Never knows: our other crates. A mistake in `vote` or `tower-storage` must not be repeated here.
//! In: release logs (`ReleaseLog`), packet captures, ledgers.  Out: `Verdict`.
//! Read first: `judge.rs`, then `input.rs`.

mod block;
mod blocks;
mod bytes;
mod gossip;
mod input;
mod judge;
mod log;
mod pcap;
mod shred;
mod slot_file;
mod verdict;
mod vote;

pub use {
    input::{Input, InputError},
    judge::Judge,
    log::{LogError, PromisedAt, Record, RecordKind, ReleaseLog, read_log},
    verdict::{Finding, FindingKind, Item, Verdict},
    vote::Vote,
};
