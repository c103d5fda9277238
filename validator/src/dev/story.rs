//! The demonstration: the handovers an operator does, played and narrated on a cluster under load.

use {
    super::{
        cluster::{Cluster, PRIMARY, SECONDARY, VOTER_A, VOTER_B},
        load::Load,
        measure::{self, Trigger},
        report::{HandoverRecord, Report},
        sampler::Sampler,
    },
    crate::{
        exit::{Failure, Status},
        status::{HandoverReport, NodeStatus},
    },
    rustix::process::Signal,
    std::{
        process::Command,
        thread,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    },
    tandem_witness::{Judge, read_log},
};

pub struct Story<'a> {
    cluster: &'a mut Cluster,
    started: Instant,
    triggers: Vec<Trigger>,
}

/// How long a node may take to replay, catch up and take the identity back.
const CATCH_UP_TIME_MAX: Duration = Duration::from_secs(60);
/// Each owner votes and leads for a while before the identity moves on.
const SETTLE: Duration = Duration::from_secs(8);

/// Plays everything on a cluster whose four nodes run already.
pub fn play(cluster: &mut Cluster, transfers_per_second: u32, planned_handovers: u32) -> Result<Report, Failure> {
    let mut story = Story { cluster, started: Instant::now(), triggers: Vec::new() };
    story.say(&format!("airdrop, then {transfers_per_second} transfers a second through JSON-RPC"));
    let sampler = Sampler::start(&story.cluster.nodes);
    let load = Load::start(story.cluster.rpc(VOTER_A), transfers_per_second)?;
    story.settle();

    story.planned("planned")?;
    story.reclaim("reclaim after restart")?;

    story.say("kill -9 of the primary, then set-identity on the secondary");
    story.signal(PRIMARY, Signal::KILL);
    story.wait_gone(PRIMARY, None)?;
    story.take_over("forced after kill -9")?;
    story.settle();
    story.reclaim("reclaim after kill -9")?;

    story.say("SIGSTOP of the owner, set-identity on the secondary, then SIGCONT: the old owner wakes up");
    story.signal(PRIMARY, Signal::STOP);
    story.take_over("forced after SIGSTOP")?;
    story.settle();
    story.signal(PRIMARY, Signal::CONT);
    story.wait_gone(PRIMARY, Some(Status::Fenced))?;
    story.reclaim("reclaim after SIGSTOP")?;

    for round in 0..planned_handovers {
        story.say(&format!("planned handover {} of {planned_handovers}", round + 1));
        story.planned("planned")?;
        story.reclaim("reclaim after restart")?;
    }

    story.say("waiting until every transfer is finalized");
    let transfers = load.finish();
    let nodes = sampler.finish();
    story.say("auditing everything the machines released");
    let mut judge = Judge::default();
    for node in &story.cluster.nodes {
        judge.add_machine(read_log(&node.release_log).map_err(Failure::failed)?);
    }
    let audit = judge.verdict();
    let handovers = story.measure()?;
    Ok(Report::judge(handovers, transfers, audit, nodes, story.started.elapsed().as_secs_f64()))
}

impl Story<'_> {
    /// `wait-for-restart-window … && set-identity …` on the secondary; the primary ends by itself.
    fn planned(&mut self, kind: &str) -> Result<(), Failure> {
        self.say("on the secondary: wait-for-restart-window --identity K && set-identity K");
        let keypair = self.cluster.keys.join("validator-keypair.json");
        let mut wait = self.command(SECONDARY)?;
        wait.args(["wait-for-restart-window", "--min-idle-time", "0.02", "--timeout", "60", "--identity"]).arg(&keypair);
        run(wait)?;
        self.take_over(kind)?;
        self.wait_gone(PRIMARY, Some(Status::Fenced))?;
        self.settle();
        Ok(())
    }

    /// `set-identity K` on the secondary.
    fn take_over(&mut self, kind: &str) -> Result<(), Failure> {
        let keypair = self.cluster.keys.join("validator-keypair.json");
        let mut command = self.command(SECONDARY)?;
        command.args(["set-identity", "--output", "json"]).arg(&keypair);
        let unix_nanos = unix_nanos();
        let output = run(command)?;
        let report: HandoverReport = serde_json::from_str(output.trim())
            .map_err(|error| Failure::failed(format!("set-identity printed {output:?}: {error}")))?;
        self.say(&format!("  {} in {:.1} ms, term {}", report.role, report.ms, report.term.unwrap_or_default()));
        self.triggers.push(Trigger { kind: kind.to_owned(), from: PRIMARY, to: SECONDARY, unix_nanos, report });
        Ok(())
    }

    /// The primary starts again, catches up, takes the identity back; the secondary ends and starts under its own key.
    fn reclaim(&mut self, kind: &str) -> Result<(), Failure> {
        self.say("the primary is restarted: it catches up and reclaims; the secondary ends");
        self.cluster.start(PRIMARY)?;
        let status = self.cluster.wait_for(PRIMARY, "reclaimed its identity", CATCH_UP_TIME_MAX, active)?;
        let report = status
            .last_handover
            .ok_or_else(|| Failure::failed("the primary is ACTIVE but reports no handover"))?;
        self.say(&format!("  ACTIVE in {:.1} ms, term {}", report.ms, report.term.unwrap_or_default()));
        let unix_nanos = report.requested_unix_nanos;
        self.triggers.push(Trigger { kind: kind.to_owned(), from: SECONDARY, to: PRIMARY, unix_nanos, report });
        self.wait_gone(SECONDARY, Some(Status::Fenced))?;
        self.say("the secondary is restarted under its own identity");
        self.cluster.start(SECONDARY)?;
        self.cluster.wait_for(SECONDARY, "caught up", CATCH_UP_TIME_MAX, |status| status.role == "STANDBY" && status.caught_up)?;
        self.settle();
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
        let Some(process) = &mut node.process else { return Ok(()) };
        let Some(ended) = process.wait(Duration::from_secs(15)) else {
            return Err(Failure::failed(format!("{} still runs 15 s after it lost the identity:\n{}", node.name, process.log_tail(12))));
        };
        if let Some(status) = status
            && ended.code() != Some(status as i32)
        {
            return Err(Failure::failed(format!(
                "{} ended with {ended} instead of exit status {}:\n{}",
                node.name,
                status as i32,
                process.log_tail(12)
            )));
        }
        node.process = None;
        Ok(())
    }

    fn measure(&self) -> Result<Vec<HandoverRecord>, Failure> {
        measure::handovers(self.cluster, &self.triggers)
    }

    fn command(&self, index: usize) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe().map_err(Failure::failed)?);
        command.arg("--ledger").arg(&self.cluster.nodes[index].ledger);
        Ok(command)
    }

    fn settle(&self) {
        thread::sleep(SETTLE);
    }

    fn say(&self, what: &str) {
        println!("[{:>5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}

fn active(status: &NodeStatus) -> bool {
    status.role == "ACTIVE"
}

/// Starts the four nodes and waits until the cluster runs and the pair has its parts.
pub fn start_cluster(cluster: &mut Cluster) -> Result<(), Failure> {
    let limit = Duration::from_secs(60);
    for index in [VOTER_A, VOTER_B, PRIMARY, SECONDARY] {
        println!("starting {}", cluster.nodes[index].name);
        cluster.start(index)?;
    }
    for index in [VOTER_A, VOTER_B, PRIMARY] {
        cluster.wait_for(index, "become ACTIVE", limit, active)?;
    }
    cluster.wait_for(SECONDARY, "caught up", limit, |status| status.role == "STANDBY" && status.caught_up)?;
    cluster.wait_for(VOTER_A, "seen a confirmed block", limit, |status| status.confirmed > 0)?;
    Ok(())
}

fn run(mut command: Command) -> Result<String, Failure> {
    let output = command.output().map_err(Failure::failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::failed(format!("{command:?} ended with {}: {text}{reason}", output.status)))
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
