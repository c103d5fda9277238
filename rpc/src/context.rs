//! What the methods read: values published by others, never changed from here.

use {
    crate::history::History,
    arc_swap::ArcSwap,
    solana_commitment_config::{CommitmentConfig, CommitmentLevel},
    solana_rpc_client_types::response::RpcContactInfo,
    std::sync::Arc,
    tandem_bank::Bank,
    tandem_types::{Hash, Keypair, Pubkey, Signature, Slot},
    tokio::sync::broadcast,
};

/// The chain at one moment, by commitment. Each is an ancestor of the one before it, or the same.
#[derive(Clone)]
pub struct ChainView {
    /// The tip of the heaviest fork.
    pub processed: Arc<Bank>,
    /// More than two thirds of the stake voted for it.
    pub confirmed: Arc<Bank>,
    /// More than two thirds of the stake rooted it.
    pub finalized: Arc<Bank>,
}

impl ChainView {
    pub fn at(&self, commitment: Option<CommitmentConfig>) -> &Arc<Bank> {
        match commitment.map(|config| config.commitment).unwrap_or(CommitmentLevel::Finalized) {
            CommitmentLevel::Processed => &self.processed,
            CommitmentLevel::Confirmed => &self.confirmed,
            CommitmentLevel::Finalized => &self.finalized,
        }
    }
}

/// What happened to the chain, for subscribers.
#[derive(Clone)]
pub enum ChainEvent {
    Frozen(Arc<Bank>),
    Confirmed(Arc<Bank>),
    Rooted(Slot),
    Dead { slot: Slot, reason: String },
    /// A transaction was taken in here.
    Received(Signature),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    Ok,
    Behind { slots: u64 },
    Unknown,
}

#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the node's queue of transactions is full; try again")]
    Busy,
}

type Submit = dyn Fn(Vec<u8>, Signature, u64) -> Result<(), SubmitError> + Send + Sync;

pub struct Context {
    pub chain: Arc<ArcSwap<ChainView>>,
    pub nodes: Arc<ArcSwap<Vec<RpcContactInfo>>>,
    pub identity: Arc<ArcSwap<Pubkey>>,
    pub genesis_hash: Hash,
    pub shred_version: u16,
    /// First four bytes of the identifier of the feature set, as in gossip.
    pub feature_set: u32,
    pub history: Arc<History>,
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
    /// Takes (wire bytes, first signature, last valid block height) and sees to it that a leader gets the transaction.
    pub submit: Box<Submit>,
    pub events: broadcast::Sender<ChainEvent>,
    pub faucet: Option<Keypair>,
}

impl Context {
    pub fn bank(&self, commitment: Option<CommitmentConfig>) -> Arc<Bank> {
        self.chain.load().at(commitment).clone()
    }

    /// (slot, outcome, commitment reached) of a recent transaction.
    pub fn status(&self, signature: &Signature) -> Option<Status> {
        let view = self.chain.load();
        let (slot, result) = view.processed.signature_status(signature)?;
        let commitment = if slot <= view.finalized.slot() {
            CommitmentLevel::Finalized
        } else if slot <= view.confirmed.slot() {
            CommitmentLevel::Confirmed
        } else {
            CommitmentLevel::Processed
        };
        let confirmations = match commitment {
            CommitmentLevel::Finalized => None,
            CommitmentLevel::Confirmed | CommitmentLevel::Processed => {
                Some(usize::try_from(view.processed.slot().saturating_sub(slot)).unwrap_or(usize::MAX))
            }
        };
        Some(Status { slot, result, commitment, confirmations })
    }
}

pub struct Status {
    pub slot: Slot,
    pub result: Result<(), tandem_types::TransactionError>,
    pub commitment: CommitmentLevel,
    pub confirmations: Option<usize>,
}

impl Status {
    pub fn reached(&self, wanted: Option<CommitmentConfig>) -> bool {
        let rank = |level: CommitmentLevel| match level {
            CommitmentLevel::Processed => 0,
            CommitmentLevel::Confirmed => 1,
            CommitmentLevel::Finalized => 2,
        };
        rank(self.commitment) >= rank(wanted.unwrap_or_default().commitment)
    }
}
