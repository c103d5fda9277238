//! A real etcd cluster for tests: one or three members on free loopback ports, mutual TLS with development certificates.
//! Everything lives in a temporary folder and ends when the cluster is dropped.

use {
    crate::EtcdOptions,
    rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
        KeyUsagePurpose,
    },
    rustix::process::{Pid, Signal, kill_process},
    std::{
        fs::{self, File},
        io,
        net::{Ipv4Addr, SocketAddr, TcpListener},
        path::{Path, PathBuf},
        process::{Child, Command, Stdio},
        thread,
        time::{Duration, Instant, SystemTime},
    },
    tempfile::TempDir,
};

/// Is there an etcd to start? Prints why a test is skipped when not.
pub fn etcd_is_installed(test: &str) -> bool {
    let found = Command::new("etcd").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        println!("SKIPPED {test}: no `etcd` in PATH (Debian: apt-get install etcd-server)");
    }
    found
}

/// A development authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn write(&self, path: &Path) {
        fs::write(path, self.0.pem()).expect("the temporary folder is writable");
    }

    /// Writes a certificate for server and client use and its key.
    pub fn issue(&self, certificate: &Path, key: &Path, names: &[&str], expired: bool) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("well-formed names");
        params.distinguished_name.push(DnType::CommonName, "tandem test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = if expired { rcgen::date_time_ymd(2021, 1, 1) } else { rcgen::date_time_ymd(2099, 1, 1) };
        self.sign(params, certificate, key);
    }

    /// The same for a client, valid for so long from now.
    pub fn issue_for(&self, certificate: &Path, key: &Path, valid: Duration) {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "tandem test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = (SystemTime::now() + valid).into();
        self.sign(params, certificate, key);
    }

    fn sign(&self, params: CertificateParams, certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&pair, &self.0).expect("a certificate");
        fs::write(certificate, signed.pem()).expect("the temporary folder is writable");
        fs::write(key, pair.serialize_pem()).expect("the temporary folder is writable");
    }
}

/// A running cluster.
pub struct EtcdCluster {
    folder: TempDir,
    members: Vec<Member>,
    pub authority: Authority,
}

struct Member {
    client: SocketAddr,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl EtcdCluster {
    /// Starts `count` members and waits until the cluster has a leader.
    pub fn start(count: usize) -> io::Result<Self> {
        let folder = TempDir::with_prefix("tandem-etcd-")?;
        let authority = Authority::new("tandem test authority");
        authority.write(&folder.path().join("ca.pem"));
        authority.issue(
            &folder.path().join("server.pem"),
            &folder.path().join("server-key.pem"),
            &["127.0.0.1", "localhost", "etcd.test"],
            false,
        );
        authority.issue(&folder.path().join("client.pem"), &folder.path().join("client-key.pem"), &[], false);
        let ports = free_ports(count * 2)?;
        let urls: Vec<String> = ports[count..].iter().map(|peer| format!("https://{peer}")).collect();
        let initial: Vec<String> = urls.iter().enumerate().map(|(n, url)| format!("m{n}={url}")).collect();
        let members = (0..count)
            .map(|n| Member {
                client: ports[n],
                arguments: arguments(n, folder.path(), ports[n], &urls[n], &initial.join(",")),
                process: None,
            })
            .collect();
        let mut cluster = Self { folder, members, authority };
        (0..count).try_for_each(|n| cluster.spawn(n))?;
        cluster.wait_healthy(Duration::from_secs(20))?;
        Ok(cluster)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("https://{}", member.client)).collect()
    }

    /// Options as an operator would give them, with the good certificates.
    pub fn options(&self) -> EtcdOptions {
        EtcdOptions {
            cacert_file: Some(self.path("ca.pem")),
            cert_file: Some(self.path("client.pem")),
            key_file: Some(self.path("client-key.pem")),
            ..EtcdOptions::new(self.endpoints())
        }
    }

    /// `etcdctl` with the cluster's certificates. Returns its standard output.
    pub fn etcdctl(&self, arguments: &[&str]) -> io::Result<String> {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.endpoints().join(","), "--cacert"])
            .arg(self.path("ca.pem"))
            .arg("--cert")
            .arg(self.path("client.pem"))
            .arg("--key")
            .arg(self.path("client-key.pem"))
            .args(arguments)
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The index of the member that leads.
    pub fn leader(&self) -> io::Result<usize> {
        // Columns: endpoint, id, version, size, is leader, is learner, term, …
        let status = self.etcdctl(&["endpoint", "status"])?;
        status
            .lines()
            .filter(|line| line.split(", ").nth(4) == Some("true"))
            .find_map(|line| self.endpoints().iter().position(|endpoint| line.starts_with(endpoint.as_str())))
            .ok_or_else(|| io::Error::other(format!("no leader in {status:?}")))
    }

    pub fn pause(&self, member: usize) {
        self.signal(member, Signal::STOP);
    }

    pub fn resume(&self, member: usize) {
        self.signal(member, Signal::CONT);
    }

    /// As `kill -9`: nothing is said to anybody.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            process.kill().expect("our own child");
            process.wait().expect("our own child");
        }
    }

    /// Starts a member again, with its data.
    pub fn restart(&mut self, member: usize) -> io::Result<()> {
        self.kill(member);
        self.spawn(member)
    }

    pub fn wait_healthy(&self, at_most: Duration) -> io::Result<()> {
        let end = Instant::now() + at_most;
        loop {
            match self.etcdctl(&["--dial-timeout=1s", "--command-timeout=1s", "get", "none"]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    return Err(io::Error::other(format!("etcd is not up after {at_most:?}: {error}{}", self.logs())));
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn spawn(&mut self, n: usize) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.path(&format!("m{n}.log")))?;
        let child = Command::new("etcd")
            .args(&self.members[n].arguments)
            // Settings of the machine's own etcd must not reach ours.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.members[n].process = Some(child);
        Ok(())
    }

    fn signal(&self, n: usize, signal: Signal) {
        let process = self.members[n].process.as_ref().expect("a running member");
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("our own child");
    }

    fn logs(&self) -> String {
        let tail = |n: usize| {
            let log = fs::read_to_string(self.path(&format!("m{n}.log"))).unwrap_or_default();
            log.lines().rev().take(5).map(|line| format!("\n  m{n}: {line}")).collect::<String>()
        };
        (0..self.members.len()).map(tail).collect()
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|n| self.kill(n));
    }
}

fn arguments(n: usize, folder: &Path, client: SocketAddr, peer_url: &str, initial: &str) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let flags = [
        ("name", format!("m{n}")),
        ("data-dir", file(&format!("m{n}"))),
        ("listen-client-urls", format!("https://{client}")),
        ("advertise-client-urls", format!("https://{client}")),
        ("listen-peer-urls", peer_url.to_owned()),
        ("initial-advertise-peer-urls", peer_url.to_owned()),
        ("initial-cluster", initial.to_owned()),
        ("trusted-ca-file", file("ca.pem")),
        ("cert-file", file("server.pem")),
        ("key-file", file("server-key.pem")),
        ("peer-trusted-ca-file", file("ca.pem")),
        ("peer-cert-file", file("server.pem")),
        ("peer-key-file", file("server-key.pem")),
        ("heartbeat-interval", "50".to_owned()),
        ("election-timeout", "500".to_owned()),
    ];
    let mut arguments = vec!["--client-cert-auth".to_owned(), "--peer-client-cert-auth".to_owned()];
    arguments.extend(flags.into_iter().map(|(flag, value)| format!("--{flag}={value}")));
    arguments
}

/// Ports that were free a moment ago.
fn free_ports(count: usize) -> io::Result<Vec<SocketAddr>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    listeners.iter().map(TcpListener::local_addr).collect()
}
