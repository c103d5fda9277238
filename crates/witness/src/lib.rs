//! Judges what the machines of a pair released: conflicting votes, lockout violations, duplicate blocks.
//! Owns: the release log's format, a parser of vote transactions and shreds, and lockout rules, all written a second time.
//! Never knows: our other crates. A mistake in `vote` or `tower-storage` must not be repeated here.
//! In: release logs (`ReleaseLog`).  Out: `Verdict`.
//! Read first: `judge.rs`.

mod bytes;
mod judge;
mod log;
mod shred;
mod vote;

pub use {
    judge::{Judge, Verdict},
    log::{LogError, Record, RecordKind, ReleaseLog, read_log},
    vote::Vote,
};
