//! What the methods read: values published by others, never changed from here.

use {
    crate::history::History,
    arc_swap::ArcSwap,
    solana_commitment_config::{CommitmentConfig, CommitmentLevel},
    solana_rpc_client_types::response::RpcContactInfo,
    solana_transaction_status::{TransactionConfirmationStatus, TransactionStatus},
    std::{ops::RangeInclusive, sync::Arc},
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
        match commitment.unwrap_or_default().commitment {
            CommitmentLevel::Processed => &self.processed,
            CommitmentLevel::Confirmed => &self.confirmed,
            CommitmentLevel::Finalized => &self.finalized,
        }
    }
}

/// What happened to the chain, for subscribers. Whoever sends one has put its block into `History` and the new view into
/// `Context::chain` before: that is what subscribers look at.
#[derive(Clone, Debug)]
pub enum ChainEvent {
    Frozen(Arc<Bank>),
    /// It became the tip of the heaviest fork.
    Processed(Arc<Bank>),
    Confirmed(Arc<Bank>),
    Rooted(Slot),
    Dead {
        slot: Slot,
        reason: String,
    },
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
    /// The text of `GET /metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Takes (wire bytes, first signature, last valid block height) and sees to it that a leader gets the transaction.
    pub submit: Box<Submit>,
    pub events: broadcast::Sender<ChainEvent>,
    pub faucet: Option<Keypair>,
}

impl Context {
    pub fn bank(&self, commitment: Option<CommitmentConfig>) -> Arc<Bank> {
        self.chain.load().at(commitment).clone()
    }

    /// How a transaction on the heaviest fork ended, if it is recent enough for the banks to remember.
    pub fn status(&self, signature: &Signature) -> Option<TransactionStatus> {
        let view = self.chain.load();
        let (slot, status) = view.processed.signature_status(signature)?;
        let (confirmation_status, confirmations) = if slot <= view.finalized.slot() {
            (TransactionConfirmationStatus::Finalized, None)
        } else {
            let depth = usize::try_from(view.processed.slot().saturating_sub(slot)).unwrap_or(usize::MAX);
            // Where agave counts lockouts of votes, clients only ask whether there is a number.
            let depth = Some(depth.min(CONFIRMATIONS_MAX));
            match view.confirmed.signature_status(signature) {
                Some(_) => (TransactionConfirmationStatus::Confirmed, depth),
                None => (TransactionConfirmationStatus::Processed, depth),
            }
        };
        let err = status.clone().err();
        Some(TransactionStatus { slot, confirmations, status, err, confirmation_status: Some(confirmation_status) })
    }

    /// As `status`, for a transaction that only the history remembers.
    pub fn old_status(&self, signature: &Signature) -> Option<TransactionStatus> {
        let (block, index) = self.history.transaction(signature)?;
        if block.slot > self.bank(None).slot() || !self.history.is_rooted(block.slot) {
            return None;
        }
        let status = block.transactions[index].info.status.clone();
        Some(TransactionStatus {
            slot: block.slot,
            confirmations: None,
            err: status.clone().err(),
            status,
            confirmation_status: Some(TransactionConfirmationStatus::Finalized),
        })
    }

    /// Slots in `range` of blocks that are `tip` or its ancestors, ascending, at most `limit`.
    pub fn blocks(&self, tip: &Arc<Bank>, range: RangeInclusive<Slot>, limit: usize) -> Vec<Slot> {
        let last = tip.slot().min(*range.end());
        let mut slots = self.history.rooted(*range.start(), last, limit);
        if slots.len() < limit {
            let rooted = self.history.highest_rooted();
            let mut newer = Vec::new();
            let mut next = Some(tip.clone());
            while let Some(bank) = next.filter(|bank| rooted.is_none_or(|rooted| bank.slot() > rooted)) {
                if range.contains(&bank.slot()) {
                    newer.push(bank.slot());
                }
                next = bank.parent();
            }
            slots.extend(newer.into_iter().rev());
            slots.truncate(limit);
        }
        slots
    }

    /// Whether the block of `slot` is `tip` or one of its ancestors.
    pub fn is_on_chain(&self, tip: &Arc<Bank>, slot: Slot) -> bool {
        !self.blocks(tip, slot..=slot, 1).is_empty()
    }
}

/// Agave counts at most as many as a tower has votes (vote-interface: MAX_LOCKOUT_HISTORY).
const CONFIRMATIONS_MAX: usize = 31;
