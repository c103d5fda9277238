//! The words every other crate speaks: slots, times, hashes, keys, terms.
//! Owns: newtypes that carry a safety argument, and the one place that re-exports the Solana SDK's types.
//! Never knows: anything that does something.
//! Read first: `block.rs`, then `time.rs`.

mod block;
pub mod mutant;
mod term;
mod time;

pub use block::{BlockId, BlockKey};
pub use solana_clock::{DEFAULT_TICKS_PER_SLOT, Epoch, Slot, UnixTimestamp};
pub use solana_epoch_schedule::EpochSchedule;
pub use solana_hash::Hash;
pub use solana_keypair::Keypair;
pub use solana_pubkey::Pubkey;
pub use solana_signature::Signature;
pub use solana_signer::Signer;
pub use solana_transaction::versioned::VersionedTransaction;
pub use solana_transaction_error::{TransactionError, TransactionResult};
pub use term::{InstanceId, Term};
pub use time::{Tick, UnixMillis};

/// A leader gets this many slots in a row (solana-leader-schedule 4.2.2: NUM_CONSECUTIVE_LEADER_SLOTS).
pub const NUM_CONSECUTIVE_LEADER_SLOTS: u64 = 4;

/// Largest UDP payload of the protocol: IPv6 minimum MTU 1280 minus 40 (IP) and 8 (UDP) bytes.
pub const PACKET_BYTES_MAX: usize = 1232;
