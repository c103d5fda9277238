//! A three-member etcd with mutual TLS on this machine.

use {
    super::{interrupt, pki::Pki, place::Place, process::Process},
    crate::exit::{Failure, Status},
    std::{
        path::{Path, PathBuf},
        process::Command,
        time::{Duration, Instant},
    },
    tandem_etcd::{EtcdKv, EtcdOptions},
};

pub struct Etcd {
    /// First client port; the others follow.
    pub endpoints: Vec<String>,
    /// By number; nothing where a member was ended.
    pub members: Vec<Option<Process>>,
    plan: Plan,
}

/// How members are started.
pub struct Plan {
    /// The program, found in PATH when it is a bare name.
    pub program: PathBuf,
    pub folder: PathBuf,
    /// Client ports are `port`, `port + 1`, …; peer ports follow at `port + 10`.
    pub port: u16,
    /// Where each member runs; loopback where none is given.
    pub places: Vec<Place>,
    /// Flags besides the usual ones, for members that are started from now on.
    pub more: Vec<String>,
}

impl Plan {
    pub fn place(&self, index: u16) -> Place {
        self.places.get(usize::from(index)).cloned().unwrap_or_else(Place::here)
    }

    pub fn client_url(&self, index: u16) -> String {
        format!("https://{}:{}", self.place(index).ip, self.port + index)
    }

    pub fn peer_url(&self, index: u16) -> String {
        format!("https://{}:{}", self.place(index).ip, self.port + PEER_PORTS + index)
    }

    /// All members, as `--initial-cluster` wants them.
    pub fn initial_cluster(&self) -> String {
        let peers: Vec<String> = (0..MEMBERS).map(|index| format!("m{index}={}", self.peer_url(index))).collect();
        peers.join(",")
    }

    pub fn data_dir(&self, index: u16) -> PathBuf {
        self.folder.join(format!("etcd-m{index}"))
    }
}

impl Etcd {
    /// Debian's etcd on loopback, client ports from `port` on. Returns when every member answers linearizable reads over
    /// mutual TLS.
    pub fn start(folder: &Path, pki: &Pki, port: u16) -> Result<Self, Failure> {
        let plan =
            Plan { program: "etcd".into(), folder: folder.to_owned(), port, places: Vec::new(), more: Vec::new() };
        Self::start_planned(plan, pki)
    }

    pub fn start_planned(plan: Plan, pki: &Pki) -> Result<Self, Failure> {
        let endpoints = (0..MEMBERS).map(|index| plan.client_url(index)).collect();
        let mut etcd = Self { endpoints, members: (0..MEMBERS).map(|_| None).collect(), plan };
        etcd.revive(pki)?;
        Ok(etcd)
    }

    /// Starts the members that do not run, and waits until all answer.
    pub fn revive(&mut self, pki: &Pki) -> Result<(), Failure> {
        for index in 0..MEMBERS {
            let member = &mut self.members[usize::from(index)];
            if member.as_mut().is_none_or(|member| member.try_wait().is_some()) {
                let log = self.plan.folder.join(format!("etcd-m{index}.log"));
                let command = member_command(&self.plan, pki, index);
                *member = Some(Process::spawn(&format!("etcd m{index}"), command, &log)?);
            }
        }
        self.wait_until_healthy(pki)
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Ends all members and starts them with these flags besides the usual ones.
    pub fn restart_with(&mut self, more: &[String], pki: &Pki) -> Result<(), Failure> {
        self.plan.more = more.to_vec();
        self.members.iter_mut().flatten().for_each(Process::ask_to_end);
        self.members.iter_mut().for_each(|member| *member = None);
        self.revive(pki)
    }

    fn wait_until_healthy(&mut self, pki: &Pki) -> Result<(), Failure> {
        let store =
            EtcdKv::open(options(&self.endpoints, pki)).map_err(|error| Failure::caused(Status::Failed, &error))?;
        let started = Instant::now();
        let mut told = started;
        loop {
            let reason = match store.check(Duration::from_secs(1)) {
                Ok(report) if report.members.len() == usize::from(MEMBERS) => return Ok(()),
                Ok(report) => format!("{} of {MEMBERS} members answer", report.members.len()),
                Err(error) => error.to_string(),
            };
            for member in self.members.iter_mut().flatten() {
                if let Some(status) = member.try_wait() {
                    println!("{}", member.log_tail(5));
                    return Err(Failure::failed(format!("{} ended with {status}", member.name))
                        .remedy("choose free ports with --base-port"));
                }
            }
            if started.elapsed() > START_TIME_MAX {
                return Err(Failure::failed(format!("etcd is not ready after {START_TIME_MAX:?}: {reason}")));
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                println!("  waiting for etcd: {}", reason.lines().collect::<Vec<_>>().join("; "));
            }
            interrupt::pause(Duration::from_millis(100))?;
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // All at once, then each is waited for as it is dropped.
        self.members.iter_mut().flatten().for_each(Process::ask_to_end);
    }
}

/// How the playground's nodes reach this store.
pub fn options(endpoints: &[String], pki: &Pki) -> EtcdOptions {
    EtcdOptions {
        cacert_file: Some(pki.ca.clone()),
        cert_file: Some(pki.client.cert.clone()),
        key_file: Some(pki.client.key.clone()),
        ..EtcdOptions::new(endpoints.to_vec())
    }
}

fn member_command(plan: &Plan, pki: &Pki, index: u16) -> Command {
    let (client, peer) = (plan.client_url(index), plan.peer_url(index));
    let mut command = plan.place(index).command(&plan.program);
    command
        .args(["--name", &format!("m{index}"), "--data-dir"])
        .arg(plan.data_dir(index))
        .args(["--auto-compaction-retention", "1000", "--auto-compaction-mode", "revision"])
        .arg("--cert-file")
        .arg(&pki.server.cert)
        .arg("--key-file")
        .arg(&pki.server.key)
        .arg("--client-cert-auth")
        .arg("--trusted-ca-file")
        .arg(&pki.ca)
        .arg("--peer-cert-file")
        .arg(&pki.server.cert)
        .arg("--peer-key-file")
        .arg(&pki.server.key)
        .arg("--peer-client-cert-auth")
        .arg("--peer-trusted-ca-file")
        .arg(&pki.ca)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &plan.initial_cluster(), "--initial-cluster-state", "new"])
        .args(["--initial-cluster-token", "tandem-dev", "--logger", "zap", "--log-level", "warn"])
        .args(&plan.more);
    command
}

pub const MEMBERS: u16 = 3;
/// Distance of the peer ports from the client ports.
pub const PEER_PORTS: u16 = 10;
const START_TIME_MAX: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::dev::{pki::Pair, process::output},
        std::{net::TcpListener, process::Stdio},
    };

    fn installed(program: &str) -> bool {
        Command::new(program).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }

    /// Room for the client and the peer ports. Taken from below the ports that the system gives out by itself.
    fn free_port() -> u16 {
        let offset = u16::try_from(std::process::id() % 500).expect("below 500");
        (0..500)
            .map(|round| 20_000 + (offset + round) % 500 * 20)
            .find(|port| (0..13).all(|offset| TcpListener::bind(("127.0.0.1", port + offset)).is_ok()))
            .expect("some ports are free")
    }

    fn etcdctl(endpoint: &str, ca: &Path, pair: Option<&Pair>, words: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("etcdctl");
        command
            .env("ETCDCTL_API", "3")
            .args(["--dial-timeout", "2s", "--command-timeout", "2s", "--endpoints", endpoint, "--cacert"])
            .arg(ca);
        if let Some(pair) = pair {
            command.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        }
        output(
            {
                command.args(words);
                command
            },
            Duration::from_secs(20),
        )
    }

    #[test]
    fn etcd_takes_our_certificates_and_etcdctl_needs_one() {
        if !installed("etcd") || !installed("etcdctl") {
            println!("SKIPPED: no etcd or etcdctl in PATH (Debian: apt-get install etcd-server etcd-client)");
            return;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pki = Pki::create(&folder.path().join("certs")).expect("certificates");
        let etcd = Etcd::start(folder.path(), &pki, free_port()).expect("etcd starts");
        let all = etcd.endpoints.join(",");
        for pair in [&pki.client, &pki.server] {
            etcdctl(&all, &pki.ca, Some(pair), &["endpoint", "health"]).expect("every member is healthy");
        }
        assert_eq!(
            etcdctl(&etcd.endpoints[0], &pki.ca, Some(&pki.client), &["put", "/t", "1"]).expect("written"),
            "OK\n"
        );
        let read = etcdctl(&etcd.endpoints[2], &pki.ca, Some(&pki.client), &["get", "--print-value-only", "/t"]);
        assert_eq!(read.expect("read from another member"), "1\n");
        etcdctl(&etcd.endpoints[0], &pki.ca, None, &["get", "/t"]).expect_err("nobody without a certificate");
        let stranger = Pki::create(&folder.path().join("other")).expect("certificates");
        etcdctl(&etcd.endpoints[0], &pki.ca, Some(&stranger.client), &["get", "/t"])
            .expect_err("nor with another CA's");
    }
}
