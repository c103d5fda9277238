//! Many handovers back and forth between two running machines, under load, without a restart.

use {
    super::{
        cluster::{Cluster, PRIMARY, SECONDARY, VOTER_A},
        interrupt,
        load::{Load, TransferCounts},
        measure::{self, Measured, Trigger},
        process,
        sampler::{self, Sampler},
        shuttle_report::{AfterLoss, Memory, PLANNED, STOPPED, ShuttleReport, Turn, UNASKED},
    },
    crate::{
        args::DevArgs,
        exit::Failure,
        status::{HandoverReport, NodeStatus},
    },
    rustix::process::Signal,
    std::time::{Duration, Instant},
    tandem_types::Slot,
    tandem_witness::{Judge, Record, RecordKind, Verdict, Vote, read_log},
};

/// The identity is handed over when it has no leader slot within so many slots, as `wait-for-restart-window` has it.
const IDLE_SLOTS: Slot = 3;
/// And when the machine that takes over is at the tip: `catchup` would say so to an operator.
const BEHIND_MAX: Slot = 1;
/// How long a slot takes on this cluster.
const SLOT_MS: u64 = 400;
/// How long a node may take to do what the next handover waits for.
const STEP_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a stopped owner sleeps after another machine took over.
const STOPPED_FOR: Duration = Duration::from_millis(1_500);
/// How long the pair runs before the first handover: its memory is measured from there.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long transfers are waited for at the end; after a failure only what is on its way anyway.
const FINALIZE_TIME_MAX: Duration = Duration::from_secs(150);

struct Shuttle<'a> {
    cluster: &'a mut Cluster,
    started: Instant,
    owner: usize,
    /// The owner is not asked to let go.
    unasked: bool,
    stops: u32,
    triggers: Vec<Trigger>,
    turns: Vec<Turn>,
    memory: Vec<Memory>,
}

/// Plays everything on a cluster whose four nodes run already. Whatever fails is in the report.
pub fn play(cluster: &mut Cluster, args: &DevArgs, handovers: u32, started: Instant) -> ShuttleReport {
    let mut failures = Vec::new();
    let (triggers, turns, memory) = (Vec::new(), Vec::new(), Vec::new());
    let mut shuttle =
        Shuttle { cluster, started, owner: PRIMARY, unasked: args.unasked, stops: 0, triggers, turns, memory };
    let sampler = Sampler::start(&shuttle.cluster.nodes);
    shuttle.say(&format!("airdrop, then {} transfers a second through JSON-RPC", args.transfers_per_second));
    let load = Load::start(shuttle.cluster.rpc(VOTER_A), args.transfers_per_second);
    let gone = match &load {
        Ok(_) => shuttle.go(handovers, args.stops),
        Err(failure) => Err(Failure::failed(failure)),
    };
    if let Err(failure) = gone {
        shuttle.say(&format!("FAILED: {failure}"));
        failures.push(failure.to_string());
    }
    let patience = if failures.is_empty() { FINALIZE_TIME_MAX } else { Duration::ZERO };
    let transfers = load.map(|load| shuttle.finish(load, patience)).unwrap_or_default();
    let nodes = sampler.finish();
    shuttle.say("auditing everything the machines released");
    let (audit, after_loss) = shuttle.audit().unwrap_or_else(|failure| {
        failures.push(failure.to_string());
        (Verdict::default(), AfterLoss::default())
    });
    let measured = measure::measure(shuttle.cluster, &shuttle.triggers).unwrap_or_else(|failure| {
        failures.push(failure.to_string());
        Measured::default()
    });
    let Shuttle { turns, memory, .. } = shuttle;
    let mut report = ShuttleReport {
        asked_for: handovers,
        turns,
        memory,
        after_loss,
        transfers,
        audit,
        nodes,
        blocks: measured.blocks,
        blocks_without_vote: measured.blocks_without_vote,
        handovers: measured.handovers,
        failures,
        seconds: started.elapsed().as_secs_f64(),
        ..ShuttleReport::default()
    };
    report.judge();
    report
}

impl Shuttle<'_> {
    fn go(&mut self, handovers: u32, stops: u32) -> Result<(), Failure> {
        interrupt::pause(WARM_UP)?;
        self.note_memory(0);
        // Told, and measured, a hundred times a thousand, and often enough in a short run.
        let every = (handovers / 10).clamp(1, 100);
        let stops_until = |round: u32| u64::from(round) * u64::from(stops.min(handovers)) / u64::from(handovers);
        for round in 1..=handovers {
            // The stops are spread evenly over the run.
            let stop = stops_until(round) > stops_until(round - 1);
            // At another moment within a slot each time, or all would come at the one just after a vote.
            interrupt::pause(Duration::from_millis(u64::from(round) * 137 % SLOT_MS))?;
            self.hand_over(stop)?;
            if round % every.min(10) == 0 || stop {
                self.tell(round, handovers);
            }
            if round % every == 0 || round == handovers {
                self.note_memory(round);
            }
        }
        Ok(())
    }

    /// To the machine that stands by, and back to rest.
    fn hand_over(&mut self, stop: bool) -> Result<(), Failure> {
        let (from, to) = (self.owner, if self.owner == PRIMARY { SECONDARY } else { PRIMARY });
        // A pause comes when it likes, also in the middle of a leader slot.
        self.cluster.wait_for(to, "caught up on standby", STEP_TIME_MAX, |status| {
            let at_the_tip = status.caught_up && status.slots_behind.is_some_and(|slots| slots <= BEHIND_MAX);
            status.role == "STANDBY" && at_the_tip && (stop || is_idle(status))
        })?;
        let kind = match (stop, self.unasked) {
            (true, _) => STOPPED,
            (false, true) => UNASKED,
            (false, false) => PLANNED,
        };
        if stop {
            self.stop(from)?;
        }
        let (report, command_ms) = self.set_identity(to)?;
        let mut turn = Turn { kind: kind.to_owned(), command_ms, ..Turn::default() };
        if stop {
            interrupt::pause(STOPPED_FOR)?;
            self.signal(from, Signal::CONT);
            turn.woken_unix_nanos = Some(tandem_env::unix_nanos());
        }
        let term = report.term;
        let status = self.cluster.wait_for(from, "stood by", STEP_TIME_MAX, |status| {
            status.role == "STANDBY" && status.last_step_down.as_ref().is_some_and(|down| down.term < term)
        })?;
        turn.claimed_unix_nanos = report.claimed_unix_nanos;
        turn.locked_unix_nanos = status.last_step_down.map(|down| down.locked_unix_nanos);
        let voted = report.last_vote_slot;
        self.cluster.wait_for(to, "voted", STEP_TIME_MAX, |status| status.last_vote > voted)?;
        self.owner = to;
        self.turns.push(turn);
        let kind = kind.to_owned();
        self.triggers.push(Trigger { kind, from, to, command_ms: Some(command_ms), report });
        Ok(())
    }

    /// At any moment, and every second time in the middle of a block of its own.
    fn stop(&mut self, owner: usize) -> Result<(), Failure> {
        self.stops += 1;
        if self.stops.is_multiple_of(2) {
            self.cluster.wait_for(owner, "begun a leader slot", STEP_TIME_MAX, |status| {
                status.next_leader_slot.is_some_and(|slot| slot <= status.tip + 1)
            })?;
            interrupt::pause(Duration::from_millis(SLOT_MS / 4))?;
        }
        self.signal(owner, Signal::STOP);
        Ok(())
    }

    /// `validator set-identity K`, as an operator would.
    fn set_identity(&self, to: usize) -> Result<(HandoverReport, f64), Failure> {
        let mut command = self.cluster.command(to)?;
        command.args(["set-identity", "--output", "json"]).arg(self.cluster.keys.join("validator-keypair.json"));
        let started = Instant::now();
        let output = process::output(command, STEP_TIME_MAX)?;
        let command_ms = started.elapsed().as_secs_f64() * 1e3;
        let report: HandoverReport = serde_json::from_str(output.trim())
            .map_err(|error| Failure::failed(format!("set-identity printed {output:?}: {error}")))?;
        if report.role != "ACTIVE" {
            let name = &self.cluster.nodes[to].name;
            return Err(Failure::failed(format!("{name} is {} after it was to take over", report.role)));
        }
        Ok((report, command_ms))
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(process) = &self.cluster.nodes[index].process {
            process.signal(signal);
        }
    }

    fn note_memory(&mut self, after: u32) {
        let resident = |node: &super::cluster::Node| {
            let (_, rss_mb) = sampler::usage(node.process.as_ref()?.pid())?;
            Some((node.name.clone(), rss_mb))
        };
        let rss_mb = self.cluster.nodes.iter().filter_map(resident).collect();
        self.memory.push(Memory { after, rss_mb });
    }

    fn tell(&self, round: u32, handovers: u32) {
        let Some(last) = self.triggers.last() else { return };
        let mut ms: Vec<f64> = self.triggers.iter().map(|trigger| trigger.report.ms).collect();
        ms.sort_by(f64::total_cmp);
        let worst = ms.last().copied().unwrap_or_default();
        self.say(&format!(
            "{round} of {handovers}: {} to the {} in {:.1} ms, term {}; so far p50 {:.1} ms, worst {worst:.1} ms",
            last.kind,
            self.cluster.nodes[last.to].name,
            last.report.ms,
            last.report.term.unwrap_or_default(),
            ms[ms.len() / 2],
        ));
    }

    fn finish(&self, load: Load, patience: Duration) -> TransferCounts {
        self.say("waiting until every transfer is finalized");
        load.finish(patience, |counts, pending| {
            self.say(&format!("  {} sent, {} finalized, {pending} on their way", counts.sent, counts.finalized));
        })
    }

    fn audit(&self) -> Result<(Verdict, AfterLoss), Failure> {
        let mut judge = Judge::default();
        let mut after_loss = AfterLoss::default();
        for (index, node) in self.cluster.nodes.iter().enumerate() {
            let records = read_log(&node.release_log).map_err(Failure::failed)?;
            if index == PRIMARY || index == SECONDARY {
                self.look_after_loss(index, &records, &mut after_loss);
            }
            judge.add_machine(records);
        }
        Ok((judge.verdict(), after_loss))
    }

    /// What a machine released between the moment another one had claimed and its own next claim.
    fn look_after_loss(&self, machine: usize, records: &[Record], out: &mut AfterLoss) {
        for (index, trigger) in self.triggers.iter().enumerate().filter(|(_, trigger)| trigger.from == machine) {
            let Some(lost) = trigger.report.claimed_unix_nanos else { continue };
            let next = self.triggers.get(index + 1).and_then(|next| next.report.claimed_unix_nanos);
            let adopted = trigger.report.last_vote_slot;
            let span = lost..next.unwrap_or(u64::MAX);
            for record in records.iter().filter(|record| span.contains(&record.unix_nanos)) {
                match record.kind {
                    RecordKind::Shred => out.shreds += 1,
                    RecordKind::Vote => {
                        out.votes += 1;
                        let slot = Vote::from_transaction(&record.bytes).map(|vote| vote.slot);
                        out.votes_past_the_tower += u64::from(slot > adopted);
                    }
                }
            }
        }
    }

    fn say(&self, what: &str) {
        println!("[{:>5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}

/// Neither leading now nor soon.
fn is_idle(status: &NodeStatus) -> bool {
    status.next_leader_slot.is_none_or(|slot| slot > status.tip.max(status.cluster_tip) + IDLE_SLOTS)
}
