//! A subscriber and what has changed since it was told.

use {
    crate::context::{ChainEvent, ChainView, Context},
    jsonrpsee::{PendingSubscriptionSink, SubscriptionSink},
    serde::Serialize,
    serde_json::value::to_raw_value,
    solana_commitment_config::CommitmentConfig,
    std::{collections::BTreeSet, sync::Arc},
    tandem_bank::Bank,
    tandem_types::{Hash, Slot},
    tokio::sync::broadcast::{Receiver, error::RecvError},
};

pub struct Feed {
    sink: SubscriptionSink,
    events: Receiver<ChainEvent>,
    context: Arc<Context>,
    /// Where the chain was before the subscriber was accepted. Let go at the first event: it keeps banks alive.
    opened: Option<Arc<ChainView>>,
}

/// `None`, from each of these: the subscriber has gone or the node stops.
impl Feed {
    pub async fn open(pending: PendingSubscriptionSink, context: Arc<Context>) -> Option<Self> {
        // Subscribed before it is accepted: what happens in between is not missed.
        let events = context.events.subscribe();
        let opened = Some(context.chain.load_full());
        let sink = pending.accept().await.ok()?;
        Some(Self { sink, events, context, opened })
    }

    /// The block from which on changes are news: the one of before the subscriber was accepted, for it may have acted on
    /// its acceptance already.
    pub fn start(&self, commitment: Option<CommitmentConfig>) -> Arc<Bank> {
        match &self.opened {
            Some(view) => view.at(commitment).clone(),
            None => self.context.bank(commitment),
        }
    }

    /// The next event. A subscriber that cannot keep up loses events, not memory.
    pub async fn next(&mut self) -> Option<ChainEvent> {
        loop {
            if let Some(event) = self.wake().await? {
                return Some(event);
            }
        }
    }

    /// Waits until the block of the wanted commitment is another than `last`. Any event is an occasion to look, so that
    /// lost ones do no harm.
    pub async fn tip(&mut self, commitment: Option<CommitmentConfig>, last: &mut Tip) -> Option<Arc<Bank>> {
        loop {
            let bank = self.context.bank(commitment);
            let tip = Tip::of(&bank);
            if tip != *last {
                *last = tip;
                return Some(bank);
            }
            self.wake().await?;
        }
    }

    /// An event, or the news that some were lost.
    pub async fn wake(&mut self) -> Option<Option<ChainEvent>> {
        self.opened = None;
        tokio::select! {
            () = self.sink.closed() => None,
            event = self.events.recv() => match event {
                Ok(event) => Some(Some(event)),
                Err(RecvError::Lagged(_)) => Some(None),
                Err(RecvError::Closed) => None,
            }
        }
    }

    pub async fn send(&self, value: &impl Serialize) -> Option<()> {
        self.sink.send(to_raw_value(value).ok()?).await.ok()
    }
}

/// A block, by its slot and bank hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tip(Slot, Hash);

impl Tip {
    pub fn of(bank: &Bank) -> Self {
        Self(bank.slot(), bank.hash())
    }
}

/// Which blocks a subscriber was told of.
pub struct Told {
    from: Slot,
    slots: BTreeSet<Slot>,
}

impl Told {
    /// Nothing up to `tip` is news.
    pub fn up_to(tip: Slot) -> Self {
        Self { from: tip.saturating_add(1), slots: BTreeSet::new() }
    }

    /// The blocks from here to `tip`, oldest first, that were not told of. On another fork than before these may be older
    /// than the last ones.
    pub fn news(&mut self, context: &Context, tip: &Arc<Bank>) -> Vec<Slot> {
        let mut slots = context.blocks(tip, self.from..=tip.slot(), usize::MAX);
        slots.retain(|slot| self.slots.insert(*slot));
        while self.slots.len() > TOLD_MAX {
            self.from = self.slots.pop_first().map_or(self.from, |slot| slot.saturating_add(1));
        }
        slots
    }
}

const TOLD_MAX: usize = 256;
