//! When to start a leader slot: the grace rules, and "claimed before started".
//!
//! ```text
//!   Reset on parent P ──► waiting (time counts as ticks from P's end) ──► Start s ──► Finished s ──► Reset on s ─► ...
//!                            │  a little before it can start: ClaimSlot s        │ at once: ClaimSlot s+1
//!                            ▼                                                   ▼
//!                    missed: refused, unclaimed, exists, halted          Abandon: halted, another fork won
//!                                                                        Broken: a later slot on the same parent
//! ```
//!
//! Which slot is started is the slot that time has reached, as in agave 4.2.2 (poh_recorder.rs: reached_leader_slot):
//! who is late makes a later slot of the same window. What replaces agave's wait for a rooted vote is the claim: a slot
//! is started only if the promise store moved the watermark to exactly this slot, in this term (failover.md, 4).
//!
//! Whatever becomes of a slot, the parent stays known and time goes on from it, so that a leader who is alone (or whose
//! cluster is away) makes the next slot it can: nobody would send it another reset. A run that has gone by is followed by
//! the next one (`WantRun`); when the schedule has none, or the skipped slots would be more than a block can hold the ticks
//! of, time starts again at the parent.

use {
    crate::params::BlockParams,
    std::{collections::BTreeSet, time::Duration},
    tandem_types::{Hash, NUM_CONSECUTIVE_LEADER_SLOTS, Slot, Tick},
};

#[derive(Clone, Copy, Debug)]
pub struct WindowConfig {
    /// Wait the grace ticks out while a block of the previous leader is still being received or replayed.
    pub delay_for_pending_fork: bool,
    /// How long before a slot may start its claim is requested: the store's round trip, with room for a retry.
    pub claim_lead: Duration,
}

/// The block we would build on has changed (or is the same, seen again with other leader slots).
#[derive(Clone, Debug)]
pub struct Reset {
    pub parent: Slot,
    pub parent_blockhash: Hash,
    pub parent_was_mine: bool,
    /// The highest slot below my next one that another identity leads, where the schedule is known.
    pub others_slot_before: Option<Slot>,
    /// My latest block below the parent has been seen by enough of the cluster (replay knows).
    pub propagated: bool,
    /// My next leader slots, first and last, above the parent; one run without gaps. Slots in it that have a block are told by
    /// `BlockExists`, at any time. The run after it is asked for (`WantRun`).
    pub mine: Option<(Slot, Slot)>,
    pub params: BlockParams,
}

#[derive(Clone, Debug)]
pub enum Event {
    Reset(Reset),
    Timer,
    /// Answer to `WantRun`: my first run that has a slot at `from` or above it, cut off below `from`.
    Run(Run),
    /// The watermark is durably at `slot`, in our term.
    SlotClaimed {
        slot: Slot,
    },
    /// The claim failed, or its outcome is unknown: the slot is not ours to make.
    SlotRefused {
        slot: Slot,
    },
    /// The ledger holds shreds of this slot, or a bank exists for it.
    BlockExists(Slot),
    /// Blocks under way above the parent that could soon become the better parent.
    PendingForks(Vec<Slot>),
    /// The slot in production has had its last tick.
    Finished {
        slot: Slot,
    },
    /// The block of this slot could not be begun, or not gone on with: its claim, a signature or the ledger refused it. The
    /// slot is lost; a later one may still be made on the same parent.
    Broken {
        slot: Slot,
    },
    /// The role machine lets us lead (new term: earlier claims are void).
    Allow,
    Halt(Halt),
    /// This process did not run for a while (it was stopped, its machine was suspended). Whoever waited for us has gone on
    /// since, perhaps another machine in our name: what was claimed before is not used any more.
    Slept,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub parent: Slot,
    pub from: Slot,
    pub mine: Option<(Slot, Slot)>,
    pub others_slot_before: Option<Slot>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Halt {
    /// Finish the slot in production, start no other.
    AfterSlot,
    /// Give the slot in production up.
    Now,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    Halted,
    OtherFork,
    Refused,
    Unclaimed,
    Exists,
    NotPropagated,
    Late,
    Slept,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Proof of history starts again here: hand it to `Pacer::reset`.
    Anchor {
        at: Tick,
        blockhash: Hash,
        tick_height: u64,
        params: BlockParams,
    },
    ClaimSlot {
        slot: Slot,
    },
    /// My run went by: what is my next one above this parent, from this slot on? Answered by `Event::Run`.
    WantRun {
        parent: Slot,
        from: Slot,
    },
    /// Make the block: ticks of skipped slots come first, the last tick has height `max_tick_height`.
    Start {
        slot: Slot,
        parent: Slot,
        max_tick_height: u64,
    },
    /// Stop making this block; what was sent is closed with a last-in-slot batch, unless the slot exists elsewhere, or
    /// we slept: then nothing more is signed.
    Abandon {
        slot: Slot,
        why: Why,
    },
    /// One of my slots went by.
    Missed {
        slot: Slot,
        why: Why,
    },
    /// Answer to `Halt`: no slot is in production and none will start until `Allow`.
    Halted,
}

pub struct Window {
    config: WindowConfig,
    now: Tick,
    allowed: bool,
    anchor: Option<Anchor>,
    producing: Option<Producing>,
    /// A slot is never started twice and never below one that was started, whatever resets say.
    started_max: Option<Slot>,
    claim_pending: Option<Slot>,
    claimed: BTreeSet<Slot>,
    refused: BTreeSet<Slot>,
    existing: BTreeSet<Slot>,
    pending_forks: Vec<Slot>,
    /// My own block that has just been finished, and how long nothing is built on its parent: what it is replaced by is news
    /// that may not come (the block came too late, or another fork is heavier).
    settling: Option<(Slot, Tick)>,
    /// The run asked for last, so that it is asked for once.
    wanted: Option<Slot>,
    /// My slots up to here are either started or reported missed.
    accounted: Option<Slot>,
    /// What kept us from starting when we last could have: the reason reported for a slot that goes by.
    held_by: Option<Why>,
}

struct Anchor {
    reset: Reset,
    at: Tick,
}

struct Producing {
    slot: Slot,
    parent: Slot,
}

enum Readiness {
    NotYet,
    Ready(Slot),
    Blocked(Slot, Why),
    Past(Slot),
}

impl Window {
    pub fn new(config: WindowConfig) -> Self {
        Self {
            config,
            now: Tick::ZERO,
            allowed: false,
            anchor: None,
            producing: None,
            started_max: None,
            claim_pending: None,
            claimed: BTreeSet::new(),
            refused: BTreeSet::new(),
            existing: BTreeSet::new(),
            pending_forks: Vec::new(),
            settling: None,
            wanted: None,
            accounted: None,
            held_by: None,
        }
    }

    pub fn handle(&mut self, now: Tick, event: Event, out: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        self.settle();
        match event {
            Event::Reset(reset) => self.handle_reset(reset, out),
            Event::Timer => {}
            Event::Run(run) => self.handle_run(&run, out),
            Event::SlotClaimed { slot } => self.handle_claimed(slot),
            Event::SlotRefused { slot } => self.handle_refused(slot),
            Event::BlockExists(slot) => self.handle_exists(slot),
            Event::PendingForks(slots) => self.pending_forks = slots,
            Event::Finished { slot } => self.handle_finished(slot, out),
            Event::Broken { slot } => self.handle_broken(slot, out),
            Event::Allow => self.handle_allow(),
            Event::Halt(halt) => self.handle_halt(halt, out),
            Event::Slept => self.handle_slept(out),
        }
        self.advance(out);
    }

    /// When to call with `Event::Timer` if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        if self.producing.is_some() || !self.allowed {
            return None;
        }
        if let Some((_, until)) = self.settling {
            return Some(until).filter(|until| *until > self.now);
        }
        let anchor = self.anchor.as_ref()?;
        let (first, last) = anchor.reset.mine?;
        let per_slot = anchor.reset.params.ticks_per_slot;
        let start = anchor.time_of(first.saturating_mul(per_slot));
        let grace_over = anchor.time_of(first.saturating_mul(per_slot).saturating_add(anchor.grace_ticks()));
        let claim = Tick(start.0.saturating_sub(u64::try_from(self.config.claim_lead.as_nanos()).unwrap_or(u64::MAX)));
        let slot = anchor.slot_at(self.now);
        let slot_over =
            (first..=last).contains(&slot).then(|| anchor.time_of(slot.saturating_add(1).saturating_mul(per_slot)));
        [Some(claim), Some(start), Some(grace_over), slot_over].into_iter().flatten().filter(|at| *at > self.now).min()
    }

    pub fn producing(&self) -> Option<Slot> {
        self.producing.as_ref().map(|producing| producing.slot)
    }

    fn handle_reset(&mut self, reset: Reset, out: &mut Vec<Effect>) {
        if let Some(producing) = &self.producing {
            // Our block is not replayed while we make it, so replay keeps naming its parent: no news.
            if reset.parent == producing.parent {
                return;
            }
            if reset.parent != producing.slot {
                out.push(Effect::Abandon { slot: producing.slot, why: Why::OtherFork });
            }
            self.producing = None;
            if !self.allowed {
                // Whoever waits for the end of this slot must not wait in vain.
                out.push(Effect::Halted);
            }
        }
        self.existing = self.existing.split_off(&reset.parent.saturating_add(1));
        self.refused = self.refused.split_off(&reset.parent.saturating_add(1));
        self.claimed = self.claimed.split_off(&reset.parent.saturating_add(1));
        self.wanted = None;
        match &mut self.anchor {
            // The same block again: time went on counting since it was first named.
            Some(anchor) if anchor.is_on(&reset) => anchor.reset = reset,
            Some(_) | None => {
                self.settling = None;
                self.pending_forks.clear();
                self.held_by = None;
                self.anchor_on(reset, out);
            }
        }
    }

    /// Time starts at the parent, now.
    fn anchor_on(&mut self, reset: Reset, out: &mut Vec<Effect>) {
        let (blockhash, params) = (reset.parent_blockhash, reset.params);
        let tick_height = params.last_tick_of(reset.parent);
        out.push(Effect::Anchor { at: self.now, blockhash, tick_height, params });
        self.anchor = Some(Anchor { reset, at: self.now });
    }

    fn handle_run(&mut self, run: &Run, out: &mut Vec<Effect>) {
        let Some(anchor) = self.anchor.as_mut().filter(|anchor| anchor.reset.parent == run.parent) else { return };
        if self.wanted.take_if(|from| *from == run.from).is_none() || self.producing.is_some() {
            return;
        }
        let makeable = run.mine.filter(|(first, _)| *first <= run.parent.saturating_add(SKIPPED_SLOTS_MAX));
        if makeable.is_some() || run.from == run.parent.saturating_add(1) {
            anchor.reset.mine = makeable;
            anchor.reset.others_slot_before = run.others_slot_before;
        } else {
            // Nobody can make the slots that time has reached: not we, for want of a schedule or of room, and nobody else
            // has for so long. The chain goes on from where it stands.
            let reset = anchor.reset.clone();
            self.anchor_on(reset, out);
            self.want_run(run.parent, run.parent.saturating_add(1), out);
        }
    }

    fn want_run(&mut self, parent: Slot, from: Slot, out: &mut Vec<Effect>) {
        if self.wanted.is_none() {
            self.wanted = Some(from);
            out.push(Effect::WantRun { parent, from });
        }
    }

    /// What our finished block is replaced by has not been told for so long that it will not be.
    fn settle(&mut self) {
        if self.settling.is_some_and(|(_, until)| until <= self.now) {
            self.settling = None;
        }
    }

    fn handle_claimed(&mut self, slot: Slot) {
        if self.claim_pending == Some(slot) {
            self.claim_pending = None;
            self.claimed.insert(slot);
        }
    }

    fn handle_refused(&mut self, slot: Slot) {
        if self.claim_pending == Some(slot) {
            self.claim_pending = None;
        }
        self.claimed.remove(&slot);
        self.refused.insert(slot);
    }

    fn handle_exists(&mut self, slot: Slot) {
        self.existing.insert(slot);
        // Peers decide which slots "exist": the furthest are forgotten first, they are told again before they matter.
        if self.existing.len() > SLOTS_REMEMBERED_MAX {
            self.existing.pop_last();
        }
    }

    fn handle_finished(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        if self.producing() != Some(slot) {
            return;
        }
        self.producing = None;
        // The next parent is our own block once it is frozen; nothing is built on the old one meanwhile.
        if let Some(anchor) = &self.anchor {
            let params = &anchor.reset.params;
            let window = params.time_of_ticks(params.ticks_per_slot.saturating_mul(NUM_CONSECUTIVE_LEADER_SLOTS));
            self.settling = Some((slot, self.now + window));
        }
        if !self.allowed {
            out.push(Effect::Halted);
        }
    }

    fn handle_broken(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        self.handle_exists(slot);
        if self.producing() != Some(slot) {
            return;
        }
        // The parent is what it was, and time went on from it: the anchor stays.
        self.producing = None;
        if !self.allowed {
            out.push(Effect::Halted);
        }
    }

    fn handle_allow(&mut self) {
        if !self.allowed {
            self.forget_claims();
            self.allowed = true;
        }
    }

    fn handle_halt(&mut self, halt: Halt, out: &mut Vec<Effect>) {
        self.allowed = false;
        self.forget_claims();
        match (&self.producing, halt) {
            (Some(_), Halt::AfterSlot) => {}
            (Some(producing), Halt::Now) => {
                out.push(Effect::Abandon { slot: producing.slot, why: Why::Halted });
                self.producing = None;
                out.push(Effect::Halted);
            }
            (None, Halt::AfterSlot | Halt::Now) => out.push(Effect::Halted),
        }
    }

    fn handle_slept(&mut self, out: &mut Vec<Effect>) {
        self.forget_claims();
        let Some(producing) = self.producing.take() else { return };
        out.push(Effect::Abandon { slot: producing.slot, why: Why::Slept });
        if !self.allowed {
            out.push(Effect::Halted);
        }
    }

    fn forget_claims(&mut self) {
        self.claim_pending = None;
        self.claimed.clear();
        self.refused.clear();
    }

    fn advance(&mut self, out: &mut Vec<Effect>) {
        if let Some(producing) = &self.producing {
            let next = producing.slot.saturating_add(1);
            if self.allowed {
                self.claim(next, out);
            }
            return;
        }
        match self.readiness() {
            Readiness::NotYet => self.claim_ahead(out),
            Readiness::Ready(slot) => self.start(slot, out),
            Readiness::Blocked(slot, why) => {
                self.report_missed_below(slot, out);
                self.held_by = Some(why);
                match why {
                    Why::Unclaimed => self.claim(slot, out),
                    // This slot is lost; the next one should not start by waiting for its claim.
                    Why::Refused | Why::Exists => self.claim(slot.saturating_add(1), out),
                    Why::Halted | Why::OtherFork | Why::NotPropagated | Why::Late | Why::Slept => {}
                }
            }
            Readiness::Past(slot) => {
                self.report_missed_below(slot, out);
                if let Some(parent) = self.anchor.as_ref().map(|anchor| anchor.reset.parent) {
                    self.want_run(parent, slot, out);
                }
            }
        }
    }

    fn readiness(&self) -> Readiness {
        if self.settling.is_some() {
            return Readiness::NotYet;
        }
        let Some(anchor) = &self.anchor else { return Readiness::NotYet };
        let Some((first, last)) = anchor.reset.mine else { return Readiness::NotYet };
        if !self.reached(anchor, first) {
            return Readiness::NotYet;
        }
        let slot = anchor.slot_at(self.now);
        if slot > last || slot > anchor.reset.parent.saturating_add(SKIPPED_SLOTS_MAX) {
            return Readiness::Past(slot);
        }
        let blocked_by = if !self.allowed {
            Some(Why::Halted)
        } else if self.existing.contains(&slot) || self.started_max.is_some_and(|started| slot <= started) {
            Some(Why::Exists)
        } else if !anchor.reset.propagated {
            Some(Why::NotPropagated)
        } else if self.refused.contains(&slot) {
            Some(Why::Refused)
        } else if !self.claimed.contains(&slot) {
            Some(Why::Unclaimed)
        } else {
            None
        };
        match blocked_by {
            Some(why) => Readiness::Blocked(slot, why),
            None => Readiness::Ready(slot),
        }
    }

    /// poh_recorder.rs: reached_leader_tick.
    fn reached(&self, anchor: &Anchor, first: Slot) -> bool {
        if anchor.reset.parent.saturating_add(1) == first {
            return true;
        }
        let height = anchor.height_at(self.now);
        let ideal = first.saturating_mul(anchor.reset.params.ticks_per_slot);
        if height < ideal {
            return false;
        }
        height >= ideal.saturating_add(anchor.grace_ticks()) || self.may_skip_grace(anchor)
    }

    /// poh_recorder.rs: can_skip_grace_ticks.
    fn may_skip_grace(&self, anchor: &Anchor) -> bool {
        let reset = &anchor.reset;
        if reset.parent_was_mine {
            return true;
        }
        let slot = anchor.slot_at(self.now);
        let previous_window = slot.saturating_sub(NUM_CONSECUTIVE_LEADER_SLOTS)..slot;
        if previous_window.contains(&reset.parent) {
            // The previous leader may have more blocks on the way, unless this was its last.
            return reset.others_slot_before == Some(reset.parent);
        }
        let newer_parent_coming = self.pending_forks.iter().any(|pending| *pending < slot);
        !newer_parent_coming || !self.config.delay_for_pending_fork
    }

    fn claim_ahead(&mut self, out: &mut Vec<Effect>) {
        if !self.allowed || self.settling.is_some() {
            return;
        }
        let Some(anchor) = &self.anchor else { return };
        let Some((first, last)) = anchor.reset.mine else { return };
        let start = anchor.time_of(first.saturating_mul(anchor.reset.params.ticks_per_slot));
        if start > self.now + self.config.claim_lead {
            return;
        }
        // In the grace zone time may already have reached a later slot than the first.
        let slot = anchor.slot_at(self.now).clamp(first, last);
        if !self.existing.contains(&slot) {
            self.claim(slot, out);
        }
    }

    fn claim(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        let known = self.claimed.contains(&slot) || self.refused.contains(&slot);
        let passed = self.started_max.is_some_and(|started| slot <= started);
        // One claim at a time: two unresolved ones on one record could land in either order.
        let mine = self.anchor.as_ref().and_then(|anchor| anchor.reset.mine);
        let foreign = mine.is_none_or(|(first, last)| slot < first || slot > last);
        if known || passed || foreign || self.claim_pending.is_some() {
            return;
        }
        self.claim_pending = Some(slot);
        out.push(Effect::ClaimSlot { slot });
    }

    fn start(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        self.report_missed_below(slot, out);
        self.held_by = None;
        let anchor = self.anchor.as_ref().expect("invariant: readiness() was Ready, which needs an anchor");
        let (parent, max_tick_height) = (anchor.reset.parent, anchor.reset.params.last_tick_of(slot));
        assert!(self.claimed.remove(&slot), "a slot is started only on its own claim");
        assert!(self.started_max.is_none_or(|started| slot > started), "slots are started in ascending order");
        assert!(slot > parent, "a block is above its parent");
        self.started_max = Some(slot);
        self.accounted = Some(slot);
        self.producing = Some(Producing { slot, parent });
        out.push(Effect::Start { slot, parent, max_tick_height });
        self.claim(slot.saturating_add(1), out);
    }

    fn report_missed_below(&mut self, slot: Slot, out: &mut Vec<Effect>) {
        let Some((first, last)) = self.anchor.as_ref().and_then(|anchor| anchor.reset.mine) else { return };
        let from = self.accounted.map_or(first, |accounted| first.max(accounted.saturating_add(1)));
        // A leader window is a few slots; the bound only guards against a nonsensical range.
        for missed in (from..slot.min(last.saturating_add(1))).take(SLOTS_REPORTED_MAX) {
            let why = if self.refused.contains(&missed) {
                Why::Refused
            } else if self.existing.contains(&missed) {
                Why::Exists
            } else {
                self.held_by.unwrap_or(Why::Late)
            };
            out.push(Effect::Missed { slot: missed, why });
            self.accounted = Some(missed);
        }
    }
}

impl Anchor {
    fn is_on(&self, reset: &Reset) -> bool {
        self.reset.parent == reset.parent && self.reset.parent_blockhash == reset.parent_blockhash
    }

    fn height_at(&self, now: Tick) -> u64 {
        let params = &self.reset.params;
        let passed = u64::try_from(now.since(self.at).as_nanos()).unwrap_or(u64::MAX) / params.tick_ns();
        params.last_tick_of(self.reset.parent).saturating_add(passed)
    }

    /// The slot that is being ticked through: the one the next tick belongs to.
    fn slot_at(&self, now: Tick) -> Slot {
        self.height_at(now) / self.reset.params.ticks_per_slot.max(1)
    }

    fn time_of(&self, height: u64) -> Tick {
        let params = &self.reset.params;
        self.at + params.time_of_ticks(height.saturating_sub(params.last_tick_of(self.reset.parent)))
    }

    /// poh_recorder.rs: compute_leader_slot_tick_heights.
    fn grace_ticks(&self) -> u64 {
        let per_slot = self.reset.params.ticks_per_slot;
        let slots = self
            .reset
            .mine
            .map_or(NUM_CONSECUTIVE_LEADER_SLOTS, |(first, last)| last.saturating_sub(first).saturating_add(1));
        per_slot.saturating_mul(GRACE_SLOTS_MAX).min(per_slot.saturating_mul(slots) / GRACE_TICKS_FACTOR)
    }
}

const GRACE_TICKS_FACTOR: u64 = 2;
const GRACE_SLOTS_MAX: u64 = 2;
/// A block holds the ticks of the slots skipped before it. At 64 ticks a slot and 48 bytes a tick these are 25 MB, of the
/// 31 MB that 32,768 data shreds carry.
const SKIPPED_SLOTS_MAX: u64 = 8_192;
const SLOTS_REPORTED_MAX: usize = 64;
const SLOTS_REMEMBERED_MAX: usize = 4096;

#[cfg(test)]
mod tests;
