//! The state of a block: accounts, sysvars, stakes, fees, rewards, features, and the bank hash over all of it.
//! Owns: how a child block begins, executes, and freezes; drives `solana-svm`.   Never knows: networks, votes, fork choice, shreds.
//! In: genesis, entries' transactions, ticks.  Out: results, the bank hash, reads.  Invariant: a frozen bank never changes.
//! Read first: `bank.rs`, then `child.rs`, `execute.rs`, `freeze.rs`; `epoch.rs` for boundaries.
//! Must match: solana-runtime-4.2.2 bank.rs and bank/*, solana-ledger-4.2.2 blockstore_processor.rs (protocol.md 6, 8.3, 11).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bank;
mod beyond;
mod blockhashes;
mod checks;
mod child;
mod commit;
mod core_programs;
mod costs;
mod epoch;
mod error;
mod execute;
mod features;
mod fees;
mod forks;
mod freeze;
mod genesis;
mod prepare;
mod reads;
mod replay;
mod restore;
mod runtime;
mod simulate;
mod statuses;
mod store;
mod sysvars;
#[cfg(test)]
mod tests;

pub use bank::{Bank, EpochEntry};
pub use beyond::{BeyondUs, ForeignGate};
pub use blockhashes::BlockhashQueue;
pub use commit::{CommitInfo, TokenBalance, TransactionBalances};
pub use costs::{BlockCost, PackingFigures};
pub use error::{BankError, DeadBlock};
pub use execute::{ExecutedBatch, Fate, Mode};
pub use forks::{Forks, RootReport, SlotTree};
pub use freeze::OpenGuard;
pub use prepare::{PreparedTx, Verify};
pub use replay::ExecutedEntry;
pub use restore::{RestoreError, RestoredBank, RestoredEpochStakes, RestoredStakes};
pub use simulate::SimulationResult;
pub use statuses::{RestoredStatuses, Statuses};
