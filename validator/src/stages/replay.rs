//! The replay stage: the shell of `tandem_replay::Replay`. It holds the banks above the root, executes what the machine says, and
//! tells what was frozen.

mod execute;
#[cfg(test)]
mod tests;

use {
    super::observe::{Observer, note_own_vote, seen_vote},
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{RepairInput, ReplayInput, Shared, ShredInput, VoteInput},
    },
    execute::{Building, Dead, Finished},
    std::{
        collections::{BTreeMap, VecDeque},
        sync::{Arc, atomic::Ordering::Relaxed},
        time::Duration,
    },
    tandem_bank::{Bank, Forks},
    tandem_env::Rx,
    tandem_replay::{Config, Effect, Event, Ignored, Replay},
    tandem_rpc::{BlockRecord, ChainEvent, TransactionRecord},
    tandem_types::{BlockKey, Pubkey, Slot, Tick, UnixTimestamp, VersionedTransaction},
};

pub struct ReplayStage {
    shared: Shared,
    inbox: Rx<ReplayInput>,
    machine: Replay,
    todo: VecDeque<Effect>,
    forks: Arc<Forks>,
    /// The root's bank and those above it.
    frozen: BTreeMap<Slot, Arc<Bank>>,
    building: BTreeMap<Slot, Building>,
    observer: Observer,
    /// Up to here an earlier life of this node had rooted its ledger.
    rooted_before: Slot,
    pace: Pace,
}

/// For the log while the node catches up.
#[derive(Default)]
struct Pace {
    next_look: Tick,
    slots: u64,
}

impl ReplayStage {
    /// `root` is frozen and has its block id. Slots the ledger holds above it are replayed first.
    pub fn new(shared: Shared, inbox: Rx<ReplayInput>, root: Arc<Bank>, vote_account: Option<Pubkey>) -> Self {
        let config = Config { executing_max: EXECUTING_MAX, unrooted_max: UNROOTED_MAX, ahead_max: AHEAD_MAX };
        let mut stage = Self {
            machine: Replay::new(config, root.slot(), root.hash()),
            todo: VecDeque::new(),
            forks: root.forks().clone(),
            building: BTreeMap::new(),
            observer: Observer::new(vote_account),
            rooted_before: shared.views.ledger.root(),
            pace: Pace::default(),
            frozen: BTreeMap::from([(root.slot(), root)]),
            shared,
            inbox,
        };
        stage.scan();
        stage
    }

    /// Reports what the ledger has.
    fn scan(&mut self) {
        let ledger = self.shared.views.ledger.clone();
        let root = self.machine.root();
        for slot in ledger.slots_from(root).take_while(|slot| *slot <= root + AHEAD_MAX) {
            let Some(meta) = ledger.slot_meta(slot) else { continue };
            let Some(parent) = meta.parent else { continue };
            let last = meta.last_index.filter(|_| meta.is_complete());
            self.take_progress(tandem_ledger::Progress {
                slot,
                parent,
                components: meta.components.len(),
                complete: last,
            });
        }
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(event, &mut effects);
        self.todo.extend(effects);
    }

    fn take(&mut self, input: ReplayInput) -> Result<(), Failure> {
        match input {
            ReplayInput::Progress(progress) => self.take_progress(progress),
            ReplayInput::OwnBegun { slot, parent } => self.handle(Event::OwnBlock { slot, parent }),
            ReplayInput::OwnFrozen { bank, records } => return self.take_own(bank, records),
            ReplayInput::OwnAbandoned { slot } => {
                self.handle(Event::Failed { slot, reason: "given up by our producer".into() });
            }
            ReplayInput::Root(key) => return self.take_root(key),
            ReplayInput::DuplicateConfirmed(BlockKey { slot, hash }) => {
                self.handle(Event::DuplicateConfirmed { slot, hash });
            }
        }
        Ok(())
    }

    fn take_progress(&mut self, progress: tandem_ledger::Progress) {
        let tandem_ledger::Progress { slot, parent, components, complete } = progress;
        self.handle(Event::Seen { slot, parent });
        // Found dead in an earlier life, or by what its shreds alone show.
        if self.shared.views.ledger.is_dead(slot) {
            self.handle(Event::Condemned { slot, reason: "it is marked dead in the ledger".into() });
        }
        let upto = u32::try_from(components).unwrap_or(u32::MAX);
        self.handle(Event::Ready { slot, upto, complete: complete.is_some() });
    }

    fn take_own(&mut self, bank: Arc<Bank>, records: Vec<TransactionRecord>) -> Result<(), Failure> {
        let mut effects = Vec::new();
        let slot = bank.slot();
        self.machine.handle(Event::Frozen { slot, hash: bank.hash() }, &mut effects);
        let is_refused = effects.contains(&Effect::Ignored { slot, why: Ignored::Unexpected });
        self.todo.extend(effects);
        if is_refused {
            tracing::warn!(slot, "our block came too late, or another version of it was there before");
            return Ok(());
        }
        self.publish(bank, records)
    }

    /// The voter made a frozen block the root: what does not descend from it goes.
    fn take_root(&mut self, key: BlockKey) -> Result<(), Failure> {
        let Some(bank) = self.frozen.get(&key.slot).filter(|bank| bank.hash() == key.hash).cloned() else {
            tracing::warn!(root = %key, "the voter's root is not here");
            return Ok(());
        };
        let old_root = self.forks.root();
        let mut chain: Vec<(Slot, UnixTimestamp)> = Vec::new();
        let mut next = Some(bank.clone());
        while let Some(bank) = next.filter(|bank| bank.slot() > old_root) {
            chain.push((bank.slot(), bank.clock().unix_timestamp));
            next = bank.parent();
        }
        chain.reverse();
        let report = self.forks.set_root(&bank);
        // Their banks must not be used any more, whatever is still to be done about them.
        for slot in &report.dropped {
            self.frozen.remove(slot);
            self.building.remove(slot);
        }
        self.frozen = self.frozen.split_off(&key.slot);
        self.shared.views.history.root(&chain);
        for slot in report.rooted {
            self.tell_shreds(ShredInput::Root(slot))?;
        }
        self.handle(Event::Root(key.slot));
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Begin { slot, parent } => self.begin(slot, parent),
            Effect::Execute { slot, from, upto, last: _ } => {
                let event = match self.execute(slot, from, upto) {
                    Ok(()) => Event::Executed { slot, through: upto },
                    Err(dead) => self.failed(slot, &dead),
                };
                self.handle(event);
            }
            Effect::Finish { slot } => match self.finish(slot) {
                Ok(finished) => return self.take_finished(finished),
                Err(dead) => {
                    let event = self.failed(slot, &dead);
                    self.handle(event);
                }
            },
            Effect::Drop { slot } => self.give_up(slot),
            Effect::Dead { slot } => self.tell_shreds(ShredInput::Dead(slot))?,
            Effect::Dump { slot, wanted } => {
                tracing::warn!(slot, %wanted, "the cluster confirmed another version of this block: fetching that one");
                self.shared.views.counters.add("blocks_dumped", 1);
                self.tell_voter(VoteInput::Purged(slot))?;
                self.tell_shreds(ShredInput::Dump(slot))?;
                self.shared.writers.repair.offer(RepairInput::Wanted(slot));
            }
            Effect::GaveUp { slot, wanted } => {
                tracing::error!(
                    slot, %wanted,
                    "this node's result for the slot differs from the cluster's, whatever it fetches: \
                     stop it, compare the bank hashes in its log with another node's, and report the difference"
                );
                self.shared.views.counters.add("blocks_given_up", 1);
            }
            Effect::MissingParent { parent, .. } => {
                self.shared.writers.repair.offer(RepairInput::Wanted(parent));
            }
            Effect::Rescan => self.scan(),
            Effect::Ignored { slot, why } => {
                tracing::trace!(slot, ?why, "replay ignored");
                self.shared.views.counters.add("replay_ignored", 1);
            }
        }
        Ok(())
    }

    fn begin(&mut self, slot: Slot, parent: Slot) {
        // A parent that was dropped after this was said: so was the slot.
        let Some(parent) = self.frozen.get(&parent) else { return };
        let hash = self.shared.views.ledger.bank_hash(slot).filter(|_| slot <= self.rooted_before);
        self.building.insert(slot, Building::begin(parent, slot, hash, self.shared.views.vote_account));
    }

    fn execute(&mut self, slot: Slot, from: u32, upto: u32) -> Result<(), Dead> {
        let ledger = &self.shared.views.ledger;
        let building = self.building.get_mut(&slot).ok_or(Dead::Gone)?;
        if from == 0 {
            let parent = self.frozen.get(&building.parent_slot()).and_then(|parent| parent.block_id());
            building.check_parent(parent, ledger.parent_block_id(slot))?;
        }
        let mut components = ledger.components(slot, from as usize);
        let wanted = upto.saturating_sub(from) as usize;
        if components.len() < wanted {
            return Err(Dead::Gone);
        }
        components.truncate(wanted);
        building.execute(&components)
    }

    fn finish(&mut self, slot: Slot) -> Result<Finished, Dead> {
        let id = self.shared.views.ledger.block_id(slot).ok_or(Dead::Gone)?;
        self.building.remove(&slot).ok_or(Dead::Gone)?.finish(id)
    }

    fn take_finished(&mut self, finished: Finished) -> Result<(), Failure> {
        let Finished { bank, records, own_votes, hash_before } = finished;
        if let Some(before) = hash_before.filter(|before| *before != bank.hash()) {
            let what = format!(
                "replaying slot {} of this node's own ledger gives bank hash {}, but it was rooted with {before}",
                bank.slot(),
                bank.hash()
            );
            return Err(Failure::failed(what).remedy(
                "keep the ledger folder for a report, and start with an empty one: the blocks are fetched again",
            ));
        }
        let event = Event::Frozen { slot: bank.slot(), hash: bank.hash() };
        self.note_own_votes(&bank, &own_votes);
        // Published before the machine speaks of it: a dump has to come after.
        self.publish(bank, records)?;
        self.handle(event);
        Ok(())
    }

    fn failed(&mut self, slot: Slot, dead: &Dead) -> Event {
        let reason = dead.to_string();
        // A block that was dropped in the meantime is nobody's concern.
        if self.building.contains_key(&slot) {
            tracing::warn!(slot, reason, "block is dead");
            self.shared.views.counters.add("blocks_dead", 1);
            let _nobody_listens = self.shared.views.events.send(ChainEvent::Dead { slot, reason: reason.clone() });
        }
        Event::Failed { slot, reason }
    }

    fn give_up(&mut self, slot: Slot) {
        let building = self.building.remove(&slot).is_some();
        let frozen = self.frozen.remove(&slot).is_some();
        if building || frozen {
            self.forks.purge(slot);
        }
    }

    /// A block is frozen: the ledger keeps its hash, readers see it, the voter decides about it.
    fn publish(&mut self, bank: Arc<Bank>, records: Vec<TransactionRecord>) -> Result<(), Failure> {
        let views = self.shared.views.clone();
        let (slot, at) = (bank.slot(), self.shared.clock.now());
        views.counters.add("blocks_frozen", 1);
        views.counters.add("transactions_replayed", records.len() as u64);
        self.pace.slots += 1;
        self.frozen.insert(slot, bank.clone());
        views.history.add(BlockRecord::new(&bank, records));
        self.tell_shreds(ShredInput::Frozen { key: BlockKey::new(slot, bank.hash()) })?;
        let block = Box::new(self.observer.block(&bank));
        self.tell_voter(VoteInput::Frozen { bank: bank.clone(), block, at })?;
        let _nobody_listens = views.events.send(ChainEvent::Frozen(bank));
        Ok(())
    }

    /// Votes of ours that are in a block of another leader, refused ones too: a twin's shows here even where nobody told us of it
    /// before. What is in a block of our own came through our own ports.
    fn note_own_votes(&self, bank: &Bank, own_votes: &[VersionedTransaction]) {
        for transaction in own_votes {
            if let Some(seen) = seen_vote(bank, transaction) {
                note_own_vote(&self.shared, &seen, transaction);
            }
        }
    }

    fn tell_shreds(&self, input: ShredInput) -> Result<(), Failure> {
        self.shared.writers.shreds.send(input).map_err(stopping)
    }

    fn tell_voter(&self, input: VoteInput) -> Result<(), Failure> {
        self.shared.writers.vote.send(input).map_err(stopping)
    }

    /// Once a second: which fork comes first, and how far we are.
    fn look(&mut self, now: Tick) {
        if now < self.pace.next_look {
            return;
        }
        self.pace.next_look = now + LOOK_EVERY;
        let slots = std::mem::take(&mut self.pace.slots);
        let views = self.shared.views.clone();
        self.handle(Event::Prefer(views.chain.load().processed.slot()));
        let frozen = self.frozen.keys().next_back().copied().unwrap_or_default();
        let tip = views.cluster_tip.load(Relaxed).max(views.ledger.highest_slot().unwrap_or_default());
        if slots > 0 && tip > frozen + BEHIND_MIN {
            tracing::info!(slot = frozen, tip, slots_a_second = slots, "catching up");
        }
    }
}

impl Stage for ReplayStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        self.look(now);
        let mut taken = 0;
        while taken < INPUTS_A_STEP
            && let Some(input) = self.inbox.pop()
        {
            self.take(input)?;
            taken += 1;
        }
        // One piece of work, then a look at the links: roots must not wait until a long catch-up is over.
        let effect = self.todo.pop_front();
        let is_busy = taken > 0 || effect.is_some();
        if let Some(effect) = effect {
            self.perform(effect)?;
        }
        Ok(if is_busy { Progress::Busy } else { Progress::Idle(None) })
    }
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}

const INPUTS_A_STEP: usize = 64;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Blocks whose execution has begun; a block that waits for shreds must not hold up the others.
const EXECUTING_MAX: usize = 4;
const UNROOTED_MAX: usize = 4_096;
const AHEAD_MAX: u64 = 1 << 16;
const BEHIND_MIN: u64 = 8;
