//! A three-member etcd with mutual TLS on this machine.

use {
    super::{interrupt, pki::Pki, process::Process},
    crate::exit::{Failure, Status},
    std::{
        path::Path,
        process::Command,
        time::{Duration, Instant},
    },
    tandem_etcd::{EtcdKv, EtcdOptions},
};

pub struct Etcd {
    /// First client port; the others follow.
    pub endpoints: Vec<String>,
    members: Vec<Process>,
}

impl Etcd {
    /// Client ports are `port`, `port + 1`, …; peer ports follow at `port + 10`. Returns when every member answers
    /// linearizable reads over mutual TLS.
    pub fn start(folder: &Path, pki: &Pki, port: u16) -> Result<Self, Failure> {
        let mut etcd = Self { endpoints: Vec::new(), members: Vec::new() };
        for index in 0..MEMBERS {
            let name = format!("m{index}");
            let log = folder.join(format!("etcd-{name}.log"));
            let command = member(folder, pki, port, index, &name);
            etcd.members.push(Process::spawn(&format!("etcd {name}"), command, &log)?);
            etcd.endpoints.push(client_url(port, index));
        }
        etcd.wait_until_healthy(pki)?;
        Ok(etcd)
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
            for member in &mut self.members {
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
        self.members.iter_mut().for_each(Process::ask_to_end);
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

fn member(folder: &Path, pki: &Pki, port: u16, index: u16, name: &str) -> Command {
    let (client, peer) = (client_url(port, index), peer_url(port, index));
    let peers: Vec<String> = (0..MEMBERS).map(|index| format!("m{index}={}", peer_url(port, index))).collect();
    let mut command = Command::new("etcd");
    command
        .args(["--name", name, "--data-dir"])
        .arg(folder.join(format!("etcd-{name}")))
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
        .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
        .args(["--initial-cluster-token", "tandem-dev", "--logger", "zap", "--log-level", "warn"]);
    command
}

fn client_url(port: u16, index: u16) -> String {
    format!("https://127.0.0.1:{}", port + index)
}

fn peer_url(port: u16, index: u16) -> String {
    format!("https://127.0.0.1:{}", port + PEER_PORTS + index)
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
