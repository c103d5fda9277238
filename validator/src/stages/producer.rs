//! The producer stage: the shell of the leader window, the PoH pacer, the packer and the batch cutter. It makes the blocks of
//! this identity: claims a slot, ticks, executes, records, cuts, signs under the claim, and hands shreds to the shred stage.

mod block;
mod intake;
#[cfg(test)]
mod tests;

use {
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{ProducerInput, PromiseInput, ReplayInput, RoleInput, Shared, ShredInput, VerifiedTransaction},
    },
    block::Block,
    intake::Intake,
    std::{collections::HashMap, sync::Arc, time::Duration},
    tandem_bank::Bank,
    tandem_env::{Rx, Seen},
    tandem_identity::Permit,
    tandem_producer::{
        BlockParams,
        broadcast::{Batch, Coalescer},
        pacer::{Pace, PacedTick, Pacer},
        window::{Effect, Event, Halt, Reset, Run, Why, Window, WindowConfig},
    },
    tandem_tower_storage::LeaderSlotClaim,
    tandem_types::{NUM_CONSECUTIVE_LEADER_SLOTS, Pubkey, Slot, Tick},
};

pub struct ProducerStage {
    shared: Shared,
    inbox: Rx<ProducerInput>,
    transactions: Rx<VerifiedTransaction>,
    window: Window,
    pacer: Option<Pacer>,
    coalescer: Coalescer,
    intake: Intake,
    identity: Option<(Pubkey, Permit)>,
    parent: Option<Arc<Bank>>,
    claims: HashMap<Slot, LeaderSlotClaim>,
    block: Option<Block>,
    effects: Vec<Effect>,
    /// Pauses of the process that were acted on.
    slept: Seen,
}

/// How long before its start a slot is claimed: an etcd transaction with room for a retry.
const CLAIM_LEAD: Duration = Duration::from_millis(150);
/// Hashes made between looks at the links: about a fifth of a millisecond.
const HASHES_A_SLICE: u64 = 2_000;
/// Transactions taken in between looks at the clock.
const INTAKE_A_STEP: usize = 64;

impl ProducerStage {
    pub fn new(shared: Shared, inbox: Rx<ProducerInput>, transactions: Rx<VerifiedTransaction>) -> Self {
        let config = WindowConfig { delay_for_pending_fork: true, claim_lead: CLAIM_LEAD };
        Self {
            shared,
            inbox,
            transactions,
            window: Window::new(config),
            pacer: None,
            coalescer: Coalescer::default(),
            intake: Intake::new(),
            identity: None,
            parent: None,
            claims: HashMap::new(),
            block: None,
            effects: Vec::new(),
            slept: Seen::default(),
        }
    }

    fn take(&mut self, now: Tick, input: ProducerInput) -> Result<(), Failure> {
        let event = match input {
            ProducerInput::Reset { bank, propagated } => {
                let reset = self.reset(&bank, propagated);
                self.parent = Some(bank);
                Event::Reset(reset)
            }
            ProducerInput::SlotClaimed(claim) => {
                let slot = claim.slot();
                self.claims.retain(|known, _| *known + 64 > slot);
                self.claims.insert(slot, claim);
                Event::SlotClaimed { slot }
            }
            ProducerInput::SlotRefused(slot) => Event::SlotRefused { slot },
            ProducerInput::OwnRefused(slot) => {
                if self.block.as_ref().is_some_and(|block| block.slot() == slot) {
                    self.drop_block(now, false)?;
                }
                Event::Broken { slot }
            }
            ProducerInput::Allow { identity, permit } => {
                self.identity = Some((identity, permit));
                self.window.handle(now, Event::Allow, &mut self.effects);
                // The new identity's leader slots are others than those the last reset named.
                let Some(parent) = self.parent.clone() else { return Ok(()) };
                Event::Reset(self.reset(&parent, true))
            }
            ProducerInput::Halt { abandon } => Event::Halt(if abandon { Halt::Now } else { Halt::AfterSlot }),
        };
        self.window.handle(now, event, &mut self.effects);
        Ok(())
    }

    fn reset(&self, bank: &Arc<Bank>, propagated: bool) -> Reset {
        let identity = self.identity.as_ref().map(|(identity, _)| *identity);
        let (mine, others_slot_before) = leader_run(bank, identity.as_ref(), bank.slot() + 1);
        Reset {
            parent: bank.slot(),
            parent_blockhash: bank.last_blockhash(),
            parent_was_mine: identity == Some(bank.leader().identity),
            others_slot_before,
            propagated,
            mine,
            params: params_of(bank),
        }
    }

    fn run_from(&self, parent: Slot, from: Slot) -> Run {
        let identity = self.identity.as_ref().map(|(identity, _)| identity);
        let bank = self.parent.as_ref().filter(|bank| bank.slot() == parent);
        let (mine, others_slot_before) = bank.map_or((None, None), |bank| leader_run(bank, identity, from));
        Run { parent, from, mine, others_slot_before }
    }

    fn perform(&mut self, now: Tick, effect: Effect) -> Result<(), Failure> {
        match effect {
            Effect::Anchor { at, blockhash, tick_height, params } => match &mut self.pacer {
                Some(pacer) => pacer.reset(at, blockhash, tick_height, params),
                None => self.pacer = Some(Pacer::new(at, blockhash, tick_height, params)),
            },
            Effect::ClaimSlot { slot } => {
                self.shared.writers.promise.send(PromiseInput::ClaimSlot(slot)).map_err(stopping)?;
            }
            Effect::WantRun { parent, from } => {
                let run = self.run_from(parent, from);
                self.window.handle(now, Event::Run(run), &mut self.effects);
            }
            Effect::Start { slot, parent, max_tick_height } => self.start(now, slot, parent, max_tick_height)?,
            Effect::Abandon { slot, why } => {
                tracing::info!(slot, ?why, "own block abandoned");
                self.drop_block(now, !matches!(why, Why::Exists | Why::Slept))?;
            }
            Effect::Missed { slot, why } => {
                tracing::debug!(slot, ?why, "own leader slot missed");
                self.shared.views.counters.add("leader_slots_missed", 1);
            }
            Effect::Halted => {
                self.identity = None;
                self.claims.clear();
                self.shared.writers.role.send(RoleInput::ProducerHalted).map_err(stopping)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, now: Tick, slot: Slot, parent: Slot, max_tick_height: u64) -> Result<(), Failure> {
        let exists = self.shared.views.ledger.has_shreds(slot);
        let (Some(claim), Some((_, permit)), Some(parent_bank), false) = (
            self.claims.remove(&slot),
            &self.identity,
            self.parent.clone().filter(|bank| bank.slot() == parent),
            exists,
        ) else {
            self.window.handle(now, Event::Broken { slot }, &mut self.effects);
            return Ok(());
        };
        let signer = match self.shared.views.vault.block_signer(claim, permit) {
            Ok(signer) => signer,
            Err(refusal) => {
                tracing::warn!(slot, "no block: {refusal}");
                self.window.handle(now, Event::Broken { slot }, &mut self.effects);
                return Ok(());
            }
        };
        self.shared.writers.replay.send(ReplayInput::OwnBegun { slot, parent }).map_err(stopping)?;
        let block = Block::begin(&parent_bank, slot, signer, self.shared.views.shred_version)?;
        let bank = block.bank().clone();
        self.block = Some(block);
        self.intake.begin_block(&bank);
        let mut batches = Vec::new();
        self.coalescer.begin(slot, max_tick_height, bank.ticks_per_slot(), &mut batches);
        self.send_batches(&batches)?;
        let mut ticks = Vec::new();
        if let Some(pacer) = &mut self.pacer {
            pacer.begin_block(now, params_of(&bank), max_tick_height, &mut ticks);
        }
        self.push_ticks(now, &ticks)
    }

    /// One look at the block in production: what the clock owes it, then what the packer has for it.
    fn produce(&mut self, now: Tick) -> Result<Progress, Failure> {
        let Some(pacer) = &mut self.pacer else { return Ok(Progress::Idle(None)) };
        let mut ticks = Vec::new();
        let pace = pacer.poll(now, HASHES_A_SLICE, &mut ticks);
        self.push_ticks(now, &ticks)?;
        if self.block.is_none() {
            return Ok(match pace {
                Pace::Behind => Progress::Busy,
                Pace::Wait(deadline) => Progress::Idle(deadline),
                Pace::Ended => Progress::Idle(None),
            });
        }
        if pace == Pace::Ended {
            self.end_refused(now)?;
            self.finish(now)?;
            return Ok(Progress::Busy);
        }
        let packed = self.pack(now)?;
        let mut batches = Vec::new();
        self.coalescer.poll(now, &mut batches);
        self.send_batches(&batches)?;
        Ok(match pace {
            Pace::Behind => Progress::Busy,
            _ if packed => Progress::Busy,
            Pace::Wait(deadline) => {
                let cut = self.coalescer.next_deadline();
                Progress::Idle([deadline, cut].into_iter().flatten().min())
            }
            Pace::Ended => Progress::Busy,
        })
    }

    fn push_ticks(&mut self, now: Tick, ticks: &[PacedTick]) -> Result<(), Failure> {
        for tick in ticks {
            let Some(block) = &mut self.block else { return Ok(()) };
            let entry = block.tick(tick);
            let mut batches = Vec::new();
            self.coalescer.push(now, entry, tick.height, &mut batches).map_err(Failure::failed)?;
            self.send_batches(&batches)?;
        }
        Ok(())
    }

    /// Executes what can go into the block now, in parallel where nothing conflicts; records and commits in order.
    fn pack(&mut self, now: Tick) -> Result<bool, Failure> {
        let (Some(block), Some(pacer)) = (&mut self.block, &mut self.pacer) else { return Ok(false) };
        let batches = self.intake.next_batches();
        if batches.is_empty() {
            return Ok(false);
        }
        let executed = block.execute(batches, &mut self.intake);
        for batch in executed {
            let mut ticks = Vec::new();
            let entry = block.record(batch, pacer, &mut ticks, &mut self.intake);
            let mut cut = Vec::new();
            for tick in &ticks {
                let tick_entry = block.tick(tick);
                self.coalescer.push(now, tick_entry, tick.height, &mut cut).map_err(Failure::failed)?;
            }
            if let Some((entry, height)) = entry {
                self.coalescer.push(now, entry, height, &mut cut).map_err(Failure::failed)?;
            }
            for batch in &cut {
                send_batch(&self.shared, block, batch)?;
            }
        }
        Ok(true)
    }

    fn send_batches(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        let Some(block) = &mut self.block else { return Ok(()) };
        for batch in batches {
            send_batch(&self.shared, block, batch)?;
        }
        Ok(())
    }

    /// The last tick is in: freeze, and hand the block to replay as if it had come over the network.
    fn finish(&mut self, now: Tick) -> Result<(), Failure> {
        let Some(block) = self.block.take() else { return Ok(()) };
        if let Some(pacer) = &mut self.pacer {
            pacer.end_block();
        }
        self.intake.end_block();
        let slot = block.slot();
        let (bank, records) = block.finish();
        self.shared.views.counters.add("blocks_produced", 1);
        self.shared.writers.replay.send(ReplayInput::OwnFrozen { bank, records }).map_err(stopping)?;
        self.window.handle(now, Event::Finished { slot }, &mut self.effects);
        Ok(())
    }

    /// A block of which a signature was refused cannot be had by anybody: it must not be frozen here either.
    fn end_refused(&mut self, now: Tick) -> Result<(), Failure> {
        let Some(slot) = self.block.as_ref().filter(|block| block.is_refused()).map(Block::slot) else { return Ok(()) };
        self.drop_block(now, false)?;
        self.window.handle(now, Event::Broken { slot }, &mut self.effects);
        Ok(())
    }

    /// Gives the block up. With `close`, what was sent is closed with a last batch, so that receivers stop asking for more.
    fn drop_block(&mut self, _now: Tick, close: bool) -> Result<(), Failure> {
        let mut batches = Vec::new();
        self.coalescer.abandon(&mut batches);
        if close {
            self.send_batches(&batches)?;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.give_up_block();
        }
        self.intake.end_block();
        if let Some(block) = self.block.take() {
            let slot = block.slot();
            drop(block);
            self.shared.writers.replay.send(ReplayInput::OwnAbandoned { slot }).map_err(stopping)?;
        }
        Ok(())
    }

    fn run_effects(&mut self, now: Tick) -> Result<(), Failure> {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                self.perform(now, effect)?;
            }
        }
        Ok(())
    }
}

fn send_batch(shared: &Shared, block: &mut Block, batch: &Batch) -> Result<(), Failure> {
    let Some(shredded) = block.shred(batch) else { return Ok(()) };
    let own = ShredInput::Own { slot: batch.slot, at: block.claimed_at(), data: shredded.0, code: shredded.1 };
    shared.writers.shreds.send(own).map_err(stopping)
}

impl Stage for ProducerStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let mut busy = false;
        // Before anything is signed: the role stage may hear only later that another machine has taken over. A stage that only
        // waited, for a disk or a full link, goes on: which slot may still be made is a matter of that slot's time.
        if self.shared.views.pulse.slept(self.shared.clock.now(), &mut self.slept) {
            tracing::warn!("this process did not run for a while: claimed leader slots are given up");
            self.shared.views.counters.add("process_slept", 1);
            self.claims.clear();
            self.window.handle(now, Event::Slept, &mut self.effects);
            self.run_effects(now)?;
        }
        while let Some(input) = self.inbox.pop() {
            self.take(now, input)?;
            self.run_effects(now)?;
            busy = true;
        }
        for _ in 0..INTAKE_A_STEP {
            let Some(transaction) = self.transactions.pop() else { break };
            let bank = self.block.as_ref().map(Block::bank).or(self.parent.as_ref());
            if let Some(bank) = bank {
                self.intake.insert(transaction, bank);
            }
            busy = true;
        }
        if self.window.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.window.handle(now, Event::Timer, &mut self.effects);
        }
        self.run_effects(now)?;
        let progress = self.produce(now)?;
        self.end_refused(now)?;
        self.run_effects(now)?;
        Ok(match progress {
            Progress::Busy => Progress::Busy,
            Progress::Idle(_) if busy => Progress::Busy,
            Progress::Idle(deadline) => {
                Progress::Idle([deadline, self.window.next_deadline()].into_iter().flatten().min())
            }
        })
    }

    fn stop(&mut self) {
        self.block = None;
    }
}

fn params_of(bank: &Bank) -> BlockParams {
    BlockParams {
        ticks_per_slot: bank.ticks_per_slot(),
        hashes_per_tick: bank.hashes_per_tick(),
        ns_per_slot: u64::try_from(bank.ns_per_slot()).unwrap_or(u64::MAX),
    }
}

/// The next run of `identity`, and the last slot before it that another identity leads.
fn leader_run(bank: &Bank, identity: Option<&Pubkey>, from: Slot) -> (Option<(Slot, Slot)>, Option<Slot>) {
    let mine = identity.and_then(|identity| next_leader_slots(bank, identity, from));
    let others_slot_before = mine.and_then(|(first, _)| {
        // Only the parent counts, and only when it is within a leader window before.
        (bank.slot().max(first.saturating_sub(NUM_CONSECUTIVE_LEADER_SLOTS + 1))..first)
            .rev()
            .find(|slot| bank.leader_at(*slot).is_some_and(|leader| Some(&leader.identity) != identity))
    });
    (mine, others_slot_before)
}

/// The first run of slots from `from` on that `identity` leads, as far as `bank` knows the schedule: its own epoch and the next.
fn next_leader_slots(bank: &Bank, identity: &Pubkey, from: Slot) -> Option<(Slot, Slot)> {
    let schedule = bank.epoch_schedule();
    let first_epoch = schedule.get_epoch(from);
    for epoch in [first_epoch, first_epoch + 1] {
        let Some(leaders) = bank.leader_schedule(epoch) else { continue };
        let start = schedule.get_first_slot_in_epoch(epoch);
        let mut slots = leaders.slots_of(identity, from.saturating_sub(start)).map(|index| start + index);
        let Some(first) = slots.next() else { continue };
        let mut last = first;
        for slot in slots {
            if slot != last + 1 {
                break;
            }
            last = slot;
        }
        return Some((first, last));
    }
    None
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}
