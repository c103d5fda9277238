//! The shred stage, the ledger's one writer: what turbine, repair and our own producer bring is verified, kept, sent on, and told
//! to replay. Our own shreds are kept and logged before anyone sees them.

mod admission;
#[cfg(test)]
mod tests;
mod turbine;

use {
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{GossipCommand, ProducerInput, ReplayInput, Shared, ShredInput, VoteInput},
    },
    admission::{Admission, is_in_force},
    agave_feature_set::{validate_chained_block_id, validate_chained_block_id_2},
    std::{collections::BTreeMap, error::Error as _, time::Duration},
    tandem_bank::Bank,
    tandem_env::{Rx, wall_clock},
    tandem_gossip::Publication,
    tandem_ledger::{ConflictKind, DuplicateEvidence, InsertReport, Ledger, LedgerError, Source},
    tandem_net::{Packet, UdpPort},
    tandem_shred::{Deduper, Shred},
    tandem_tower_storage::PromisedAt,
    tandem_turbine::AddressRule,
    tandem_types::{Slot, Tick},
    tandem_wire::duplicate_shred::DuplicateProof,
    turbine::Turbine,
};

pub struct ShredStage {
    shared: Shared,
    packets: Rx<Packet>,
    inbox: Rx<ShredInput>,
    ledger: Ledger,
    admission: Admission,
    deduper: Deduper,
    turbine: Turbine,
    /// Slots whose block is made here.
    own: BTreeMap<Slot, Own>,
    /// What replay was not told yet: only the newest word of a slot counts, so this waits here and not in the link. It is also
    /// why this stage and replay, which send to each other, cannot wait for each other.
    progress: BTreeMap<Slot, tandem_ledger::Progress>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Open,
    /// The ledger knows another version: nothing more of ours is sent.
    Refused,
}

impl ShredStage {
    /// `port` is the TVU socket, from which shreds are sent on.
    pub fn new(
        shared: Shared,
        packets: Rx<Packet>,
        inbox: Rx<ShredInput>,
        port: UdpPort,
        ledger: Ledger,
        rule: AddressRule,
    ) -> Self {
        Self {
            shared,
            packets,
            inbox,
            ledger,
            admission: Admission::new(),
            deduper: Deduper::new(DEDUP_MAX),
            turbine: Turbine::new(port, rule),
            own: BTreeMap::new(),
            progress: BTreeMap::new(),
        }
    }

    fn take_packets(&mut self, bank: &Bank) -> Result<bool, Failure> {
        let packets: Vec<Packet> = std::iter::from_fn(|| self.packets.pop()).take(PACKETS_A_STEP).collect();
        if packets.is_empty() {
            return Ok(false);
        }
        let views = self.shared.views.clone();
        views.counters.add("shreds_received", packets.len() as u64);
        let mut shreds = Vec::with_capacity(packets.len());
        for packet in packets {
            let Some(shred) = self.admission.admit(&views, bank, packet.bytes) else { continue };
            if self.deduper.admit(&shred) {
                shreds.push(shred);
            }
        }
        let report = self.insert(shreds.clone(), Source::Turbine)?;
        let recovered = report.into_iter().filter(|shred| self.deduper.admit(shred));
        shreds.extend(recovered);
        self.turbine.retransmit(&views, bank, shreds);
        Ok(true)
    }

    fn take_repaired(&mut self, bank: &Bank, repaired: Vec<Shred>) -> Result<(), Failure> {
        let views = self.shared.views.clone();
        let genuine = repaired.into_iter().filter(|shred| self.admission.verify(&views, bank, shred)).collect();
        self.insert(genuine, Source::Repair).map(|_recovered| ())
    }

    /// Returns what was recovered.
    fn insert(&mut self, shreds: Vec<Shred>, source: Source) -> Result<Vec<Shred>, Failure> {
        let report = self.ledger.insert(shreds, source, wall_clock()).map_err(broken)?;
        self.note(report)
    }

    fn note(&mut self, report: InsertReport) -> Result<Vec<Shred>, Failure> {
        let counters = &self.shared.views.counters;
        counters.add("shreds_kept", report.accepted as u64);
        counters.add("shreds_recovered", report.recovered.len() as u64);
        counters.add("shreds_repeated", report.duplicates as u64);
        counters.add("shreds_refused", report.rejected_count() as u64);
        for evidence in report.conflicts {
            self.tell_duplicate(evidence)?;
        }
        self.progress.extend(report.slots.into_iter().map(|progress| (progress.slot, progress)));
        for slot in report.chain_broken {
            self.judge_chain(slot)?;
        }
        Ok(report.recovered)
    }

    /// A set of the block is not chained to the one before it (agave core/src/window_service.rs: run_check_duplicate, v4.2:
    /// ChainedMerkleRootConflict, FixedFECChainedMerkleRootConflict).
    fn judge_chain(&mut self, slot: Slot) -> Result<(), Failure> {
        let views = self.shared.views.clone();
        let bank = views.chain.load().processed.clone();
        views.counters.add("shred_chains_broken", 1);
        let rules = [validate_chained_block_id::id(), validate_chained_block_id_2::id()];
        if !rules.iter().any(|rule| is_in_force(&bank, rule, slot)) || views.ledger.is_dead(slot) {
            return Ok(());
        }
        tracing::warn!(slot, "the leader's shreds do not follow from each other: the block is dead");
        self.ledger.mark_dead(slot).map_err(broken)?;
        // Replay sees the mark with the next word of the slot, and there may be none.
        if let Some(parent) = views.ledger.slot_meta(slot).and_then(|meta| meta.parent) {
            self.progress.entry(slot).or_insert(tandem_ledger::Progress {
                slot,
                parent,
                components: 0,
                complete: None,
            });
        }
        Ok(())
    }

    fn tell_duplicate(&self, evidence: DuplicateEvidence) -> Result<(), Failure> {
        let DuplicateEvidence { slot, kind, shred1, shred2 } = evidence;
        tracing::warn!(slot, ?kind, "the leader made two versions of its block");
        self.shared.views.counters.add("duplicate_slots", 1);
        match kind {
            ConflictKind::Root | ConflictKind::LastIndex => {
                let proof = DuplicateProof { shred1: shred1.payload().to_vec(), shred2: shred2.payload().to_vec() };
                let publication = Publication::DuplicateShred { slot, proof };
                self.shared.writers.gossip.send(GossipCommand::Publish(publication)).map_err(stopping)?;
                self.shared.writers.vote.send(VoteInput::DuplicateSlot(slot)).map_err(stopping)
            }
        }
    }

    fn take_own(&mut self, bank: &Bank, slot: Slot, at: PromisedAt, shreds: Vec<Shred>) -> Result<(), Failure> {
        let is_first = match self.own.get(&slot) {
            Some(Own::Refused) => return Ok(()),
            Some(Own::Open) => false,
            None => true,
        };
        let begun_at = self.shared.clock.now();
        match self.keep_own(slot, is_first, shreds.clone()) {
            Ok(report) => {
                self.own.insert(slot, Own::Open);
                self.note(report)?;
                let took = self.shared.clock.now().since(begun_at);
                if took > WRITE_USUAL_MAX {
                    tracing::warn!(
                        slot,
                        ms = took.as_millis(),
                        "the ledger's disk is slow: our shreds are late by that much"
                    );
                }
            }
            Err(
                error @ (LedgerError::OwnSlotTaken { .. }
                | LedgerError::OwnSlotNotBegun { .. }
                | LedgerError::OwnShredsRefused { .. }),
            ) => {
                tracing::warn!(slot, "our block is not sent: {error}");
                self.own.insert(slot, Own::Refused);
                return self.shared.writers.producer.send(ProducerInput::OwnRefused(slot)).map_err(stopping);
            }
            Err(error @ (LedgerError::Busy { .. } | LedgerError::Format { .. } | LedgerError::Io { .. })) => {
                return Err(broken(error));
            }
        }
        // Logged before the first of them is sent: what was not logged was not sent.
        shreds.iter().try_for_each(|shred| self.shared.views.release.shred(at, shred.payload()))?;
        self.turbine.broadcast(&self.shared.views, bank, &shreds);
        Ok(())
    }

    /// Nothing waits for the disk here. What makes sure that this slot is never made a second time, also after the machine's
    /// sudden end, is the watermark in the promise store, which was durable before the slot was begun; what the ledger would
    /// lose then, other nodes have.
    fn keep_own(&mut self, slot: Slot, is_first: bool, shreds: Vec<Shred>) -> Result<InsertReport, LedgerError> {
        if is_first {
            self.ledger.begin_own_slot(slot)?;
        }
        self.ledger.insert_own(slot, shreds, wall_clock())
    }

    fn take_root(&mut self, slot: Slot) -> Result<(), Failure> {
        self.own = self.own.split_off(&slot);
        self.progress = self.progress.split_off(&slot);
        // A node that replays its ledger roots again what it had rooted before.
        if slot > self.shared.views.ledger.root() {
            self.ledger.mark_root(slot).map_err(broken)?;
        }
        Ok(())
    }

    fn take_inbox(&mut self, bank: &Bank) -> Result<bool, Failure> {
        let mut repaired = Vec::new();
        let mut taken = 0;
        while taken < INPUTS_A_STEP
            && let Some(input) = self.inbox.pop()
        {
            taken += 1;
            match input {
                ShredInput::Repaired(shred) => repaired.push(shred),
                ShredInput::Own { slot, at, data, code } => {
                    let shreds = data.into_iter().chain(code).collect();
                    self.take_own(bank, slot, at, shreds)?;
                }
                ShredInput::Frozen { key } => self.ledger.set_bank_hash(key.slot, key.hash).map_err(broken)?,
                ShredInput::Root(slot) => self.take_root(slot)?,
                ShredInput::Dead(slot) => self.ledger.mark_dead(slot).map_err(broken)?,
                ShredInput::Dump(slot) => {
                    // What came before the dump is of the version that goes.
                    self.take_repaired(bank, std::mem::take(&mut repaired))?;
                    self.progress.remove(&slot);
                    self.own.remove(&slot);
                    self.ledger.purge_slot(slot).map_err(broken)?;
                }
            }
        }
        self.take_repaired(bank, repaired)?;
        Ok(taken > 0)
    }

    fn tell_replay(&mut self) {
        while let Some((slot, progress)) = self.progress.first_key_value() {
            let (slot, progress) = (*slot, *progress);
            if !self.shared.writers.replay.offer(ReplayInput::Progress(progress)) {
                return;
            }
            self.progress.remove(&slot);
        }
    }
}

impl Stage for ShredStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let bank = self.shared.views.chain.load().processed.clone();
        self.admission.look(&self.shared.views, &bank);
        self.turbine.look(&self.shared.views);
        let inputs = self.take_inbox(&bank)?;
        let packets = self.take_packets(&bank)?;
        self.tell_replay();
        if inputs || packets {
            return Ok(Progress::Busy);
        }
        let again = (!self.progress.is_empty()).then(|| now + TELL_AGAIN_AFTER);
        Ok(Progress::Idle(again))
    }

    fn stop(&mut self) {
        if let Err(error) = self.ledger.sync() {
            tracing::error!("the ledger's last words are not on disk: {error}");
        }
    }
}

fn broken(error: LedgerError) -> Failure {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Failure::failed(format!("the ledger: {error}{source}"))
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}

const PACKETS_A_STEP: usize = 256;
const INPUTS_A_STEP: usize = 256;
/// Shreds of about thirty full blocks.
const DEDUP_MAX: usize = 1 << 16;
/// Writing goes into the system's memory, unless that is full of what the disk has yet to take.
const WRITE_USUAL_MAX: Duration = Duration::from_millis(100);
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(5);
