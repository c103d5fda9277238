//! The vote stage: the shell of `tandem_vote::Voter`. Blocks and votes come in; decisions go to the promise stage, the block to
//! build on goes to the producer, and what is confirmed is published.

#[cfg(test)]
mod tests;

use {
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{ProducerInput, PromiseInput, ReplayInput, RoleInput, Shared, VoteInput},
    },
    std::{
        collections::{BTreeMap, HashMap},
        sync::{Arc, atomic::Ordering::Relaxed},
    },
    tandem_bank::Bank,
    tandem_env::{Rx, wall_clock},
    tandem_role::event::Event as RoleEvent,
    tandem_rpc::{ChainEvent, ChainView},
    tandem_types::{BlockKey, Pubkey, Slot, Term, Tick},
    tandem_vote::{Adopted, DecisionKind, Effect, Event, FrozenBlock, Now, Quarantine, Voter},
};

pub struct VoteStage {
    shared: Shared,
    inbox: Rx<VoteInput>,
    voter: Voter,
    vote_account: Option<Pubkey>,
    /// Banks of the blocks the voter knows, and of the rooted chain down to what is finalized.
    banks: HashMap<BlockKey, Arc<Bank>>,
    chain: BTreeMap<Slot, Arc<Bank>>,
    /// Claimed and looked at, in use from `Activate` on.
    prepared: Option<Adopted>,
    /// When the newest blocks were frozen, for the vote path's timing.
    frozen_at: BTreeMap<Slot, Tick>,
    effects: Vec<Effect>,
}

const FROZEN_SLOTS_KEPT: u64 = 64;
/// A vote of ours so far ahead of the root was never cast by a validator (agave: MAX_VOTE_SLOT_DISTANCE_FROM_ROOT); to believe it would
/// make every store look too old for ever.
const OWN_VOTE_DISTANCE_MAX: u64 = 50_000;

impl VoteStage {
    /// `root` is frozen: the genesis block, or the ledger's root.
    pub fn new(
        shared: Shared,
        inbox: Rx<VoteInput>,
        config: tandem_vote::Config,
        root: FrozenBlock,
        bank: Arc<Bank>,
        vote_account: Option<Pubkey>,
    ) -> Self {
        let key = root.key;
        Self {
            shared,
            inbox,
            voter: Voter::new(config, root, []),
            vote_account,
            banks: HashMap::from([(key, bank.clone())]),
            chain: BTreeMap::from([(key.slot, bank)]),
            prepared: None,
            frozen_at: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    fn take(&mut self, now: Now, input: VoteInput) -> Result<(), Failure> {
        let event = match input {
            VoteInput::Frozen { bank, block, at } => {
                self.frozen_at = self.frozen_at.split_off(&block.key.slot.saturating_sub(FROZEN_SLOTS_KEPT));
                self.frozen_at.insert(block.key.slot, at);
                self.banks.insert(block.key, bank);
                Event::Frozen(*block)
            }
            VoteInput::SeenVotes(votes) => {
                for (vote_account, block) in votes {
                    let sane = block.slot <= self.voter.view().root.slot.saturating_add(OWN_VOTE_DISTANCE_MAX);
                    if Some(vote_account) == self.vote_account && sane {
                        self.shared.views.own_vote_seen.fetch_max(block.slot, Relaxed);
                    }
                    self.voter.handle(now, Event::GossipVote { vote_account, block }, &mut self.effects);
                }
                return Ok(());
            }
            VoteInput::Purged(slot) => {
                self.banks.retain(|key, _| key.slot != slot);
                Event::Purged(slot)
            }
            VoteInput::DuplicateSlot(slot) => Event::DuplicateSlot(slot),
            VoteInput::Recorded { id } => Event::Recorded { id },
            VoteInput::Refused { id } => Event::Refused { id },
            VoteInput::Prepare { term, identity, adopted } => {
                self.voter.speak_for(identity);
                self.prepare(term, *adopted)?;
                return Ok(());
            }
            VoteInput::Activate => match self.prepared.take() {
                Some(adopted) => Event::Adopt(adopted),
                None => return Ok(()),
            },
            VoteInput::StandDown => {
                self.prepared = None;
                Event::StandDown
            }
        };
        self.voter.handle(now, event, &mut self.effects);
        Ok(())
    }

    /// Tells the role stage what it needs to know of a tower before it is used.
    fn prepare(&mut self, term: Term, adopted: Adopted) -> Result<(), Failure> {
        let last_vote = adopted.last_vote.map(|last| last.block);
        let last_vote_replayed = last_vote.is_none_or(|block| self.banks.contains_key(&block));
        let free_from = self.voter.free_from(&adopted);
        self.prepared = Some(adopted);
        self.send_role(RoleInput::Prepared { term, last_vote, last_vote_replayed, free_from })
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Decide(decision) => {
                let frozen_at = match decision.kind {
                    DecisionKind::Vote => self.frozen_at.get(&decision.slot).copied(),
                    DecisionKind::Refresh => None,
                };
                let decision = Box::new(decision);
                self.shared.writers.promise.send(PromiseInput::Vote { decision, frozen_at }).map_err(stopping)
            }
            Effect::Reset { to } => self.reset(to),
            Effect::Root(key) => self.root(key),
            Effect::OptimisticallyConfirmed(key) => {
                if let Some(bank) = self.banks.get(&key).cloned() {
                    self.publish(|view| view.confirmed = bank.clone());
                    self.tell(ChainEvent::Confirmed(bank));
                }
                Ok(())
            }
            Effect::DuplicateConfirmed(key) => {
                self.shared.writers.replay.send(ReplayInput::DuplicateConfirmed(key)).map_err(stopping)
            }
            Effect::SupermajorityRoot(slot) => {
                self.finalize(slot);
                Ok(())
            }
            Effect::Held(hold) => {
                tracing::debug!(?hold, "vote held");
                self.shared.views.counters.add("votes_held", 1);
                Ok(())
            }
            Effect::Quarantine(quarantine) => {
                let reason = format!("{quarantine:?}");
                tracing::warn!("the voter stops: {reason}");
                self.send_role(match quarantine {
                    // Whoever did that has our keys, and has not asked our store.
                    Quarantine::ChainAhead { on_chain: slot, .. }
                    | Quarantine::GossipAhead { seen: BlockKey { slot, .. }, .. } => {
                        RoleInput::Event(RoleEvent::VoteElsewhere { slot, voter_stopped: true })
                    }
                    Quarantine::Malformed(_) => RoleInput::Quarantine { reason },
                })
            }
            Effect::Ignored(ignored) => {
                tracing::trace!(?ignored, "voter ignored");
                self.shared.views.counters.add("voter_ignored", 1);
                Ok(())
            }
        }
    }

    fn reset(&mut self, to: BlockKey) -> Result<(), Failure> {
        let Some(bank) = self.banks.get(&to).cloned() else { return Ok(()) };
        let propagated = self.voter.may_lead(to.slot.saturating_add(1), &to);
        self.publish(|view| view.processed = bank.clone());
        self.tell(ChainEvent::Processed(bank.clone()));
        self.shared.writers.producer.send(ProducerInput::Reset { bank, propagated }).map_err(stopping)
    }

    fn root(&mut self, key: BlockKey) -> Result<(), Failure> {
        let Some(bank) = self.banks.get(&key).cloned() else { return Ok(()) };
        // Before replay squashes the forks: the chain down to the last root, for finalization.
        let mut ancestor = Some(bank);
        while let Some(bank) = ancestor.filter(|bank| !self.chain.contains_key(&bank.slot())) {
            ancestor = bank.parent();
            self.chain.insert(bank.slot(), bank);
        }
        self.banks.retain(|known, _| known.slot >= key.slot);
        self.shared.views.root.store(key.slot, Relaxed);
        self.shared.writers.replay.send(ReplayInput::Root(key)).map_err(stopping)?;
        if let Some(majority) = self.voter.view().supermajority_root {
            self.finalize(majority);
        }
        self.tell(ChainEvent::Rooted(key.slot));
        Ok(())
    }

    /// Final is what more than two thirds of the stake have rooted and we have rooted ourselves.
    fn finalize(&mut self, majority: Slot) {
        let Some((slot, bank)) = self.chain.range(..=majority).next_back().map(|(slot, bank)| (*slot, bank.clone()))
        else {
            return;
        };
        if slot > self.shared.views.chain.load().finalized.slot() {
            self.publish(|view| view.finalized = bank.clone());
        }
        self.chain = self.chain.split_off(&slot);
    }

    /// Keeps the order of the view: finalized, confirmed, processed never pass each other the wrong way round.
    fn publish(&self, change: impl FnOnce(&mut ChainView)) {
        let chain = &self.shared.views.chain;
        let mut view = (**chain.load()).clone();
        change(&mut view);
        if view.confirmed.slot() < view.finalized.slot() {
            view.confirmed = view.finalized.clone();
        }
        if view.processed.slot() < view.confirmed.slot() {
            view.processed = view.confirmed.clone();
        }
        chain.store(Arc::new(view));
    }

    fn tell(&self, event: ChainEvent) {
        // Nobody may be listening.
        let _ = self.shared.views.events.send(event);
    }

    fn send_role(&self, input: RoleInput) -> Result<(), Failure> {
        self.shared.writers.role.send(input).map_err(stopping)
    }
}

impl Stage for VoteStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let now = Now { tick: now, wall: wall_clock() };
        match self.inbox.pop() {
            Some(input) => self.take(now, input)?,
            None => {
                let deadline = self.voter.next_deadline();
                if deadline.is_none_or(|deadline| deadline > now.tick) {
                    return Ok(Progress::Idle(deadline));
                }
                self.voter.handle(now, Event::Timer, &mut self.effects);
                if self.effects.is_empty() && self.voter.next_deadline() == deadline {
                    // Due, but nothing can be done about it now: not to be asked again at once.
                    return Ok(Progress::Idle(None));
                }
            }
        }
        for effect in std::mem::take(&mut self.effects) {
            self.perform(effect)?;
        }
        Ok(Progress::Busy)
    }
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}
