//! Captures of agave ledgers, replayed through our own ledger and bank and compared with what agave logged of each bank.
//! Owns: reading a capture, the order of its replay, the comparison.   Never knows: networks, votes, the command line.
//! In: a folder.  Out: `Report`.  Invariant: a bank counts as equal only if every field that agave logged is.
//! Read first: `replay.rs`, then `files.rs`.
//! Must match: shared/captures/README.md in what the files are.

mod error;
mod files;
mod replay;

pub use {
    error::CaptureError,
    files::{Capture, Golden, captures_folder},
    replay::{Difference, Field, How, Report},
};
