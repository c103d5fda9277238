//! The machines that are broken and mended: four validators (two voters, the pair), three etcd members.

use {
    super::{
        network::{Cut, Network},
        round::Round,
    },
    crate::{
        args::FaultTestsArgs,
        dev::{
            cluster::{Cluster, Genesis, PRIMARY, SECONDARY, VOTER_A, VOTER_B},
            etcd::{self, Etcd, Plan},
            interrupt,
            pki::{Pair, Pki},
            process::{self, Process},
            story,
        },
        exit::{Failure, Status},
        status::{HandoverReport, NodeStatus},
    },
    rustix::process::Signal,
    std::{
        ffi::OsStr,
        fs,
        path::{Path, PathBuf},
        process::Command,
        time::{Duration, Instant},
    },
    tandem_types::{Keypair, Pubkey},
    tandem_witness::{Judge, Verdict, read_log},
};

pub struct Lab {
    pub cluster: Cluster,
    pub etcd: Etcd,
    pub pki: Pki,
    pub dir: PathBuf,
    /// Nothing where namespaces are not permitted.
    pub network: Option<Network>,
    /// Other identities that the pair's vote account was given.
    pub rotated: Vec<Pubkey>,
    /// What these machines began with.
    pub genesis: Genesis,
    capture: Option<Process>,
    // Dropped last: the processes above live in it.
    mounts: Vec<Mount>,
}

/// What the pair's release logs and the wire say together.
pub struct Audit {
    pub verdict: Verdict,
    /// Of a voter's identity, if it had a twin.
    pub voter: Option<Verdict>,
    /// Votes and shreds seen on the wire, where it was captured.
    pub wire: Option<(u64, u64)>,
}

/// Machines of the network: the nodes by their numbers, then the members of etcd.
const MACHINES: [&str; 7] = ["voter-a", "voter-b", "primary", "secondary", "etcd0", "etcd1", "etcd2"];
pub const FIRST_MEMBER: usize = 4;
/// How long a node may take to replay, catch up and take the identity back.
pub const CATCH_UP: Duration = Duration::from_secs(90);
/// How long a node may take to end once it has lost the identity or the store.
pub const END: Duration = Duration::from_secs(20);

impl Lab {
    pub fn start(dir: &Path, args: &FaultTestsArgs, genesis: Genesis) -> Result<Self, Failure> {
        fs::create_dir_all(dir).map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;
        let network = match Network::create(&MACHINES) {
            Ok(network) => Some(network),
            Err(failure) => {
                println!("no network namespaces, so no cuts and no capture of the wire: {failure}");
                None
            }
        };
        let places: Vec<_> =
            (0..MACHINES.len()).map(|index| network.as_ref().map(|network| network.place(index))).collect();
        let hosts: Vec<_> = places.iter().flatten().map(|place| place.ip).collect();
        let pki = Pki::create_for(&dir.join("certs"), &hosts)?;
        let plan = Plan {
            program: args.etcd.clone(),
            folder: dir.to_owned(),
            port: args.base_port,
            places: places[FIRST_MEMBER..].iter().flatten().cloned().collect(),
            more: Vec::new(),
        };
        let etcd = Etcd::start_planned(plan, &pki)?;
        let mut mounts = Vec::new();
        let primary = dir.join("primary");
        match Mount::small(&primary) {
            Ok(mount) => mounts.push(mount),
            Err(failure) => println!("no small file system for the primary's ledger: {failure}"),
        }
        let cluster = Cluster::prepare_at(dir, args.base_port, &etcd, &pki, Vec::new(), &places, genesis)?;
        let mut lab = Self {
            cluster,
            etcd,
            pki,
            dir: dir.to_owned(),
            network,
            rotated: Vec::new(),
            genesis,
            capture: None,
            mounts,
        };
        lab.start_capture()?;
        story::start_cluster(&mut lab.cluster)?;
        Ok(lab)
    }

    /// Everything mended: the primary votes, the secondary stands by.
    pub fn ready(&mut self) -> Result<(), Failure> {
        if let Some(network) = &self.network {
            network.heal()?;
        }
        self.cluster.dismiss_twins()?;
        self.etcd.revive(&self.pki)?;
        for index in [PRIMARY, SECONDARY] {
            let node = &mut self.cluster.nodes[index];
            node.changes.clear();
            node.place.wrapper.clear();
            let _ = fs::remove_file(node.ledger.join(FILLER));
            if node.process.as_mut().is_some_and(|process| process.try_wait().is_some()) {
                node.process = None;
            }
        }
        if self.cluster.nodes[PRIMARY].process.is_none() {
            self.cluster.start(PRIMARY)?;
        } else if self.cluster.status(PRIMARY).is_ok_and(|status| status.role == "STANDBY") {
            self.set_identity(PRIMARY, "validator-keypair", &[])?;
        }
        let judged = |status: &NodeStatus| active(status) || status.quarantine.is_some();
        self.cluster.wait_for(PRIMARY, "become ACTIVE again", CATCH_UP, judged)?;
        if self.vouch_for_the_store(PRIMARY)? {
            // A primary whose restart was held up by the quarantine claims by itself now.
            let is_settled = |status: &NodeStatus| active(status) || standing_by(status);
            if !active(&self.cluster.wait_for(PRIMARY, "stand by or claim", CATCH_UP, is_settled)?) {
                self.set_identity(PRIMARY, "validator-keypair", &[])?;
            }
        }
        self.cluster.wait_for(PRIMARY, "become ACTIVE again", CATCH_UP, active)?;
        // A secondary that owned the identity ends when the primary has it back, and needs a moment for it.
        let deadline = Instant::now() + CATCH_UP;
        while !self.cluster.status(SECONDARY).is_ok_and(|status| standing_by(&status)) {
            let secondary = &mut self.cluster.nodes[SECONDARY];
            if secondary.process.as_mut().is_none_or(|process| process.try_wait().is_some()) {
                secondary.process = None;
                self.cluster.start(SECONDARY)?;
            }
            self.vouch_for_the_store(SECONDARY)?;
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("the secondary does not stand by after {CATCH_UP:?}")));
            }
            interrupt::pause(Duration::from_millis(50))?;
        }
        self.wait_vote(PRIMARY, CATCH_UP)?;
        interrupt::pause(Duration::from_secs(1))
    }

    /// The true data is back, and only a person's word ends a quarantine. True: one was ended.
    fn vouch_for_the_store(&mut self, index: usize) -> Result<bool, Failure> {
        if !self.cluster.status(index).is_ok_and(|status| status.quarantine.is_some()) {
            return Ok(false);
        }
        let mut command = self.cluster.command(index)?;
        command.args(["failover", "recover", "--accept-store"]);
        process::output(command, Duration::from_secs(20))?;
        // The status is published now and then: asked again at once, it would still show what has just been ended.
        self.cluster.wait_for(index, "believe its store", CATCH_UP, |status| status.quarantine.is_none())?;
        Ok(true)
    }

    /// Waits for a vote of `index` that is newer than what it has voted when this is called.
    pub fn wait_vote(&mut self, index: usize, limit: Duration) -> Result<(), Failure> {
        let before = self.cluster.status(index).ok().and_then(|status| status.last_vote);
        let newer = |status: &NodeStatus| status.role == ACTIVE && status.last_vote > before;
        self.cluster.wait_for(index, "voted", limit, newer).map(drop)
    }

    /// `set-identity` with the key called `key`; the command's own report.
    pub fn set_identity(&self, index: usize, key: &str, more: &[&str]) -> Result<HandoverReport, Failure> {
        let mut command = self.cluster.command(index)?;
        command.args(["set-identity", "--output", "json"]).args(more);
        command.arg(self.cluster.keys.join(format!("{key}.json")));
        let output = process::output(command, Duration::from_secs(60))?;
        serde_json::from_str(output.trim())
            .map_err(|error| Failure::failed(format!("set-identity printed {output:?}: {error}")))
    }

    /// The secondary takes over, and must be ACTIVE after it.
    pub fn take_over(&self) -> Result<HandoverReport, Failure> {
        let report = self.set_identity(SECONDARY, "validator-keypair", &[])?;
        if report.role == ACTIVE {
            Ok(report)
        } else {
            Err(Failure::failed(format!("took over, but is {}", report.role)))
        }
    }

    pub fn signal(&self, index: usize, signal: Signal) {
        if let Some(process) = &self.cluster.nodes[index].process {
            process.signal(signal);
        }
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.cluster.nodes[index].process.take() {
            process.signal(Signal::KILL);
            process.wait(END);
        }
    }

    /// SIGTERM: the node releases its identity and ends well.
    pub fn end(&mut self, index: usize) -> Result<(), Failure> {
        self.signal(index, Signal::TERM);
        self.gone(index, &[Status::Done], END)
    }

    /// Waits for the end of a node with one of these exit statuses.
    pub fn gone(&mut self, index: usize, wanted: &[Status], limit: Duration) -> Result<(), Failure> {
        let node = &mut self.cluster.nodes[index];
        let Some(process) = &mut node.process else { return Ok(()) };
        let Some(ended) = process.wait(limit) else {
            println!("{}", process.log_tail(8));
            return Err(Failure::failed(format!("{} still runs after {limit:?}", node.name)));
        };
        let tail = process.log_tail(8);
        node.process = None;
        if wanted.iter().any(|status| ended.code() == Some(*status as i32)) {
            // Whoever ends by itself says why, in one line.
            let explained = ended.success() || tail.lines().any(|line| line.trim_start().starts_with("error: "));
            return if explained {
                Ok(())
            } else {
                Err(Failure::failed(format!("{} ended without a reason", node.name)))
            };
        }
        println!("{tail}");
        Err(Failure::failed(format!("{} ended with {ended} instead of {wanted:?}", node.name)))
    }

    pub fn key(&self, name: &str) -> Result<Keypair, Failure> {
        tandem_identity::read_keypair_file(&self.cluster.keys.join(format!("{name}.json"))).map_err(Failure::failed)
    }

    /// Whether the node has said this, in its present life or an earlier one.
    pub fn says(&self, index: usize, wanted: &str) -> bool {
        let log = self.dir.join(format!("{}.log", self.cluster.nodes[index].name));
        fs::read_to_string(log).is_ok_and(|log| log.contains(wanted))
    }

    /// The line that the newest process to end by itself has ended with.
    pub fn last_error(&self, index: usize) -> Option<String> {
        let log = self.dir.join(format!("{}.log", self.cluster.nodes[index].name));
        let log = fs::read_to_string(log).ok()?;
        log.lines().rev().find(|line| line.starts_with("error: ")).map(str::to_owned)
    }

    pub fn cut(&self, from: usize, to: usize, cut: Cut) -> Result<(), Failure> {
        let network = self.network.as_ref().ok_or_else(|| Failure::failed("no network namespaces"))?;
        network.cut(from, to, cut)
    }

    pub fn cut_from_etcd(&self, index: usize, cut: Cut) -> Result<(), Failure> {
        (0..etcd::MEMBERS).try_for_each(|member| self.cut(index, FIRST_MEMBER + usize::from(member), cut))
    }

    /// Takes all that is left of the file system of the primary's ledger.
    pub fn fill_disk(&self) -> Result<(), Failure> {
        let path = self.cluster.nodes[PRIMARY].ledger.join(FILLER);
        let mut file = fs::File::create(&path).map_err(Failure::failed)?;
        // It ends with an error, and that is what it is for.
        let _ = std::io::copy(&mut std::io::repeat(1), &mut file);
        Ok(())
    }

    /// `etcdctl` against one member, or against all.
    pub fn etcdctl<S: AsRef<OsStr>>(&self, member: Option<u16>, words: &[S]) -> Result<String, Failure> {
        process::output(self.etcdctl_command(member, words), Duration::from_secs(20))
    }

    /// For a value that is no text.
    pub fn etcdctl_command<S: AsRef<OsStr>>(&self, member: Option<u16>, words: &[S]) -> Command {
        let endpoints = member.map_or(self.etcd.endpoints.join(","), |member| self.etcd.plan().client_url(member));
        let mut command = self.etcdctl_program();
        command.args(["--dial-timeout", "3s", "--command-timeout", "5s", "--endpoints", &endpoints]).arg("--cacert");
        let Pair { cert, key } = &self.pki.client;
        command.arg(&self.pki.ca).arg("--cert").arg(cert).arg("--key").arg(key).args(words);
        command
    }

    /// Beside the etcd that is tested.
    pub fn etcdctl_program(&self) -> Command {
        let mut command = Command::new(self.etcd.plan().program.with_file_name("etcdctl"));
        command.env("ETCDCTL_API", "3");
        command
    }

    /// The member that leads, by its number.
    pub fn etcd_leader(&self) -> Result<usize, Failure> {
        for member in 0..etcd::MEMBERS {
            let status = self.etcdctl(Some(member), &["endpoint", "status", "-w", "json"])?;
            let status: serde_json::Value = serde_json::from_str(&status).map_err(Failure::failed)?;
            let status = &status[0]["Status"];
            if status["leader"] == status["header"]["member_id"] {
                return Ok(usize::from(member));
            }
        }
        Err(Failure::failed("no member of etcd says that it leads"))
    }

    pub fn kill_member(&mut self, member: usize) {
        if let Some(mut process) = self.etcd.members[member].take() {
            process.signal(Signal::KILL);
            process.wait(END);
        }
    }

    pub fn revive_etcd(&mut self) -> Result<(), Failure> {
        self.etcd.revive(&self.pki)
    }

    /// What the pair and its twins released since this harness began, and what passed on the wire since the last audit.
    pub fn audit(&mut self) -> Result<Audit, Failure> {
        let mut judge = self.judge_of(PRIMARY, &[&[self.cluster.pair_identity], self.rotated.as_slice()].concat())?;
        let voter = match self.cluster.with_keys_of(VOTER_B).len() {
            1 => None,
            _ => Some(self.judge_of(VOTER_B, &[self.cluster.identity_of_voter_b()?])?.verdict()),
        };
        let mut wire = None;
        if let Some(mut process) = self.capture.take() {
            process.signal(Signal::INT);
            process.wait(Duration::from_secs(5));
            let logged = judge.checked();
            judge.add_path(&self.capture_file()).map_err(Failure::failed)?;
            let all = judge.checked();
            wire = Some((all.0 - logged.0, all.1 - logged.1));
            self.start_capture()?;
        }
        Ok(Audit { verdict: judge.verdict(), voter, wire })
    }

    /// What every process with the keys of the node `of` has released.
    fn judge_of(&self, of: usize, identities: &[Pubkey]) -> Result<Judge, Failure> {
        let mut judge = Judge::of_identities(identities.iter().map(Pubkey::to_bytes).collect());
        for node in self.cluster.with_keys_of(of).into_iter().map(|index| &self.cluster.nodes[index]) {
            // A twin that released nothing has no log.
            if node.release_log.exists() {
                judge.add_log(&node.name, read_log(&node.release_log).map_err(Failure::failed)?);
            }
        }
        Ok(judge)
    }

    fn capture_file(&self) -> PathBuf {
        self.dir.join("wire.pcap")
    }

    fn start_capture(&mut self) -> Result<(), Failure> {
        let Some(network) = &self.network else { return Ok(()) };
        let mut command = Command::new("tcpdump");
        command.args(["-i", network.bridge(), "-n", "-U", "-Z", "root", "-B", "16384", "-w"]);
        command.arg(self.capture_file()).arg("udp");
        match Process::spawn("tcpdump", command, &self.dir.join("tcpdump.log")) {
            Ok(process) => self.capture = Some(process),
            Err(failure) => println!("no capture of the wire: {failure}"),
        }
        Ok(())
    }

    pub fn has_small_disk(&self) -> bool {
        !self.mounts.is_empty()
    }

    pub fn round(&self, since: u64, to: usize, ms: f64) -> Result<Round, Failure> {
        Round::measure(&self.cluster, since, to, ms)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The nodes are asked first: they release their identity in etcd, which ends after them.
        for index in [PRIMARY, SECONDARY, VOTER_A, VOTER_B] {
            if let Some(process) = &mut self.cluster.nodes[index].process {
                process.ask_to_end();
            }
        }
        for node in &mut self.cluster.nodes {
            node.process = None;
        }
        self.capture = None;
        self.etcd.members.iter_mut().for_each(|member| *member = None);
    }
}

/// A small file system in memory, so that a disk can be full without filling this machine's.
struct Mount(PathBuf);

impl Mount {
    fn small(path: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(path).map_err(Failure::failed)?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1500m", "tandem-faults"]).arg(path);
        process::output(command, Duration::from_secs(10))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command.arg("-l").arg(&self.0);
        process::output(command, Duration::from_secs(10)).map(drop).unwrap_or_else(|failure| eprintln!("{failure}"));
    }
}

pub fn active(status: &NodeStatus) -> bool {
    status.role == ACTIVE
}

pub fn standing_by(status: &NodeStatus) -> bool {
    status.role == "STANDBY" && status.caught_up
}

/// Waits until `wanted` holds; says what was waited for when it does not in time.
pub fn until(what: &str, limit: Duration, mut wanted: impl FnMut() -> bool) -> Result<f64, Failure> {
    let started = Instant::now();
    while !wanted() {
        if started.elapsed() > limit {
            return Err(Failure::failed(format!("not so after {limit:?}: {what}")));
        }
        interrupt::pause(Duration::from_millis(10))?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

pub const ACTIVE: &str = "ACTIVE";
const FILLER: &str = "filler";
