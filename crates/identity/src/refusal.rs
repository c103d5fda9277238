//! Why something was not signed.

use {
    tandem_types::{Pubkey, Slot, Term},
    thiserror::Error,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    #[error("the keys were locked, or unlocked for another term, since this permit was given")]
    Locked,
    #[error("promised under term {promised}, but the permit is for term {permitted}")]
    OtherTerm { promised: Term, permitted: Term },
    #[error("the key of identity {0} is not here")]
    NoIdentityKey(Pubkey),
    #[error("the key of authorized voter {0} is not here")]
    NoVoterKey(Pubkey),
    #[error("slot {slot}: set {set} does not come after the sets signed before it (next is {next})")]
    SetSignedBefore { slot: Slot, set: u32, next: u32 },
    #[error("the message is none that a node signs")]
    NotANodeMessage,
}
