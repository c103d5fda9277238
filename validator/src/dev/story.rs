//! The demonstration: the handovers an operator does, played and narrated on a cluster under load.

use {
    super::{
        cluster::{Cluster, PRIMARY, SECONDARY, VOTER_A, VOTER_B},
        interrupt,
        load::{Load, TransferCounts},
        measure::{self, Trigger},
        process,
        report::{HandoverRecord, Report},
        sampler::Sampler,
    },
    crate::{
        args::DevArgs,
        exit::{Failure, Status},
        status::{HandoverReport, NodeStatus},
    },
    rustix::process::Signal,
    std::time::{Duration, Instant},
    tandem_witness::{Judge, Verdict, read_log},
};

struct Story<'a> {
    cluster: &'a mut Cluster,
    started: Instant,
    triggers: Vec<Trigger>,
}

/// How long a node may take to replay, catch up and take the identity back.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a node may take to end once it has lost the identity.
const END_TIME_MAX: Duration = Duration::from_secs(15);
/// Each owner votes and leads for a while before the identity moves on.
const SETTLE: Duration = Duration::from_secs(8);
/// The same between the many handovers of a measurement.
const SETTLE_SHORT: Duration = Duration::from_secs(3);
/// How long transfers are waited for at the end; after a failure only what is on its way anyway.
const FINALIZE_TIME_MAX: Duration = Duration::from_secs(150);

/// Starts the four nodes and waits until the cluster runs and the pair has its parts.
pub fn start_cluster(cluster: &mut Cluster) -> Result<(), Failure> {
    let limit = Duration::from_secs(180);
    for index in [VOTER_A, VOTER_B, PRIMARY, SECONDARY] {
        println!("starting {}", cluster.nodes[index].name);
        cluster.start(index)?;
    }
    for index in [VOTER_A, VOTER_B, PRIMARY] {
        cluster.wait_for(index, "become ACTIVE", limit, active)?;
    }
    cluster.wait_for(SECONDARY, "caught up", limit, standing_by)?;
    cluster.wait_for(VOTER_A, "seen a confirmed block", limit, |status| status.confirmed > 0)?;
    Ok(())
}

/// Plays everything on a cluster whose four nodes run already. Whatever fails is in the report.
pub fn play(cluster: &mut Cluster, args: &DevArgs, started: Instant) -> Report {
    let mut failures = Vec::new();
    let mut story = Story { cluster, started, triggers: Vec::new() };
    let sampler = Sampler::start(&story.cluster.nodes);
    story.say(&format!("airdrop, then {} transfers a second through JSON-RPC", args.transfers_per_second));
    let load = Load::start(story.cluster.rpc(VOTER_A), args.transfers_per_second);
    let told = match &load {
        Ok(_) => story.tell(args.planned_handovers),
        Err(failure) => Err(Failure::failed(failure)),
    };
    if let Err(failure) = told {
        story.say(&format!("FAILED: {failure}"));
        failures.push(failure.to_string());
    }
    let patience = if failures.is_empty() { FINALIZE_TIME_MAX } else { Duration::ZERO };
    let transfers = load.map(|load| story.finish(load, patience)).unwrap_or_default();
    let nodes = sampler.finish();
    story.say("auditing everything the machines released");
    let audit = story.audit().unwrap_or_else(|failure| {
        failures.push(failure.to_string());
        Verdict::default()
    });
    let handovers = story.measure().unwrap_or_else(|failure| {
        failures.push(failure.to_string());
        Vec::new()
    });
    Report::judge(failures, handovers, transfers, audit, nodes, started.elapsed().as_secs_f64())
}

impl Story<'_> {
    fn tell(&mut self, planned_handovers: u32) -> Result<(), Failure> {
        interrupt::pause(SETTLE)?;
        self.planned("planned", SETTLE)?;
        self.reclaim("reclaim after restart", SETTLE)?;

        self.say("kill -9 of the primary, then set-identity on the secondary");
        self.signal(PRIMARY, Signal::KILL);
        self.wait_gone(PRIMARY, None)?;
        self.take_over("forced after kill -9")?;
        interrupt::pause(SETTLE)?;
        self.reclaim("reclaim after kill -9", SETTLE)?;

        self.say("SIGSTOP of the owner, set-identity on the secondary, then SIGCONT: the old owner wakes up");
        self.signal(PRIMARY, Signal::STOP);
        self.take_over("forced after SIGSTOP")?;
        interrupt::pause(SETTLE)?;
        self.signal(PRIMARY, Signal::CONT);
        self.wait_gone(PRIMARY, Some(Status::Fenced))?;
        self.reclaim("reclaim after SIGSTOP", SETTLE)?;

        for round in 1..=planned_handovers {
            self.say(&format!("planned handover {round} of {planned_handovers}"));
            self.planned("planned", SETTLE_SHORT)?;
            self.reclaim("reclaim after restart", SETTLE_SHORT)?;
        }
        Ok(())
    }

    /// `wait-for-restart-window … && set-identity …` on the secondary; the primary ends by itself.
    fn planned(&mut self, kind: &str, settle: Duration) -> Result<(), Failure> {
        self.say("on the secondary: wait-for-restart-window --identity K && set-identity K");
        let mut wait = self.cluster.command(SECONDARY)?;
        wait.args(["wait-for-restart-window", "--min-idle-time", "0.02", "--timeout", "60", "--identity"]);
        wait.arg(self.cluster.keys.join("validator-keypair.json"));
        process::output(wait, Duration::from_secs(90))?;
        self.take_over(kind)?;
        self.wait_gone(PRIMARY, Some(Status::Fenced))?;
        interrupt::pause(settle)
    }

    /// `set-identity K` on the secondary.
    fn take_over(&mut self, kind: &str) -> Result<(), Failure> {
        let mut command = self.cluster.command(SECONDARY)?;
        command.args(["set-identity", "--output", "json"]).arg(self.cluster.keys.join("validator-keypair.json"));
        let started = Instant::now();
        let output = process::output(command, Duration::from_secs(150))?;
        let command_ms = started.elapsed().as_secs_f64() * 1e3;
        let report: HandoverReport = serde_json::from_str(output.trim())
            .map_err(|error| Failure::failed(format!("set-identity printed {output:?}: {error}")))?;
        self.note(kind, PRIMARY, SECONDARY, Some(command_ms), report)
    }

    /// The primary starts again, catches up, takes the identity back; the secondary ends and starts under its own key.
    fn reclaim(&mut self, kind: &str, settle: Duration) -> Result<(), Failure> {
        self.say("the primary is restarted: it catches up and reclaims; the secondary ends");
        self.cluster.start(PRIMARY)?;
        let status = self.cluster.wait_for(PRIMARY, "reclaimed its identity", CATCH_UP_TIME_MAX, active)?;
        let report =
            status.last_handover.ok_or_else(|| Failure::failed("the primary is ACTIVE but reports no handover"))?;
        self.note(kind, SECONDARY, PRIMARY, None, report)?;
        self.wait_gone(SECONDARY, Some(Status::Fenced))?;
        self.say("the secondary is restarted under its own identity");
        self.cluster.start(SECONDARY)?;
        self.cluster.wait_for(SECONDARY, "caught up", CATCH_UP_TIME_MAX, standing_by)?;
        interrupt::pause(settle)
    }

    fn note(
        &mut self,
        kind: &str,
        from: usize,
        to: usize,
        command_ms: Option<f64>,
        report: HandoverReport,
    ) -> Result<(), Failure> {
        let name = &self.cluster.nodes[to].name;
        self.say(&format!(
            "  {name} is {} in {:.1} ms, term {}",
            report.role,
            report.ms,
            report.term.unwrap_or_default()
        ));
        if report.role != ACTIVE {
            return Err(Failure::failed(format!("{name} is {} after it was to take over", report.role)));
        }
        self.triggers.push(Trigger { kind: kind.to_owned(), from, to, command_ms, report });
        Ok(())
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(process) = &self.cluster.nodes[index].process {
            process.signal(signal);
        }
    }

    /// Waits for the end of a node; `status` is the exit status it must have.
    fn wait_gone(&mut self, index: usize, status: Option<Status>) -> Result<(), Failure> {
        let node = &mut self.cluster.nodes[index];
        let Some(mut process) = node.process.take() else { return Ok(()) };
        let Some(ended) = process.wait(END_TIME_MAX) else {
            println!("{}", process.log_tail(15));
            return Err(Failure::failed(format!(
                "{} still runs {END_TIME_MAX:?} after it lost the identity",
                node.name
            )));
        };
        if let Some(status) = status
            && ended.code() != Some(status as i32)
        {
            println!("{}", process.log_tail(15));
            let wanted = status as i32;
            return Err(Failure::failed(format!("{} ended with {ended} instead of exit status {wanted}", node.name)));
        }
        let name = node.name.clone();
        self.say(&format!("  {name} ended with {ended}"));
        Ok(())
    }

    fn finish(&self, load: Load, patience: Duration) -> TransferCounts {
        self.say("waiting until every transfer is finalized");
        load.finish(patience, |counts, pending| {
            self.say(&format!("  {} sent, {} finalized, {pending} on their way", counts.sent, counts.finalized));
        })
    }

    fn audit(&self) -> Result<Verdict, Failure> {
        let mut judge = Judge::default();
        for node in &self.cluster.nodes {
            judge.add_machine(read_log(&node.release_log).map_err(Failure::failed)?);
        }
        Ok(judge.verdict())
    }

    fn measure(&self) -> Result<Vec<HandoverRecord>, Failure> {
        measure::handovers(self.cluster, &self.triggers)
    }

    fn say(&self, what: &str) {
        println!("[{:>5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}

fn active(status: &NodeStatus) -> bool {
    status.role == ACTIVE
}

fn standing_by(status: &NodeStatus) -> bool {
    status.role == "STANDBY" && status.caught_up
}

const ACTIVE: &str = "ACTIVE";
