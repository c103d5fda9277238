//! A three-member etcd with mutual TLS on this machine.

use {
    super::{pki::Pki, process::Process},
    crate::exit::Failure,
    std::{
        net::TcpStream,
        path::Path,
        process::Command,
        thread,
        time::{Duration, Instant},
    },
};

pub struct Etcd {
    pub members: Vec<Process>,
    pub endpoints: Vec<String>,
}

const MEMBERS: u16 = 3;

impl Etcd {
    /// Client ports are `port`, `port + 1`, …; peer ports follow at `port + 10`.
    pub fn start(folder: &Path, pki: &Pki, port: u16) -> Result<Self, Failure> {
        let peers: Vec<String> = (0..MEMBERS).map(|index| format!("m{index}=https://127.0.0.1:{}", port + 10 + index)).collect();
        let mut members = Vec::new();
        let mut endpoints = Vec::new();
        for index in 0..MEMBERS {
            let client = format!("https://127.0.0.1:{}", port + index);
            let peer = format!("https://127.0.0.1:{}", port + 10 + index);
            let name = format!("m{index}");
            let mut command = Command::new("etcd");
            command
                .args(["--name", &name])
                .arg("--data-dir")
                .arg(folder.join(&name))
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
                .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new", "--initial-cluster-token", "tandem-dev"])
                .args(["--logger", "zap", "--log-level", "warn"]);
            members.push(Process::spawn(&format!("etcd {name}"), command, &folder.join(format!("etcd-{name}.log")))?);
            endpoints.push(client);
        }
        let mut etcd = Self { members, endpoints };
        etcd.wait_until_listening(port)?;
        Ok(etcd)
    }

    fn wait_until_listening(&mut self, port: u16) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(20);
        for index in 0..MEMBERS {
            while TcpStream::connect(("127.0.0.1", port + index)).is_err() {
                let member = &mut self.members[usize::from(index)];
                if let Some(status) = member.try_wait() {
                    return Err(Failure::failed(format!("{} ended with {status}:\n{}", member.name, member.log_tail(5)))
                        .remedy("choose free ports with --base-port"));
                }
                if Instant::now() > deadline {
                    return Err(Failure::failed(format!("{} does not listen after 20 s", member.name)));
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}
