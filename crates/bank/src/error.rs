//! Why a bank cannot be made, and why a block is dead.

use {
    solana_transaction_error::TransactionError,
    tandem_epoch::ScheduleError,
    tandem_types::{Pubkey, Signature},
};

/// A genesis no bank can be made from.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    #[error("account {0} is twice in the genesis; make a new genesis")]
    RepeatedAccount(Pubkey),
    #[error("ticks per slot of the genesis is 0; make a new genesis")]
    NoTicks,
    #[error("the program runtime of slot 0: {0}")]
    Runtime(String),
    #[error("no leader schedule can be drawn from the genesis")]
    Schedule(#[from] ScheduleError),
}

/// Why every node must refuse the block. A block that is dead here is dead everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeadBlock {
    #[error("transaction {signature} cannot be in this block: {error}")]
    Transaction { signature: Signature, error: TransactionError },
    #[error("transaction {signature} takes the block over its limits: {error}")]
    Cost { signature: Signature, error: TransactionError },
}
