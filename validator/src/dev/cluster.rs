//! The four validators of the playground: two voters with most of the stake, and the pair.

use {
    super::{etcd::Etcd, pki::Pki, process::Process},
    crate::{admin::client::AdminClient, exit::Failure, rpc_client::RpcClient, status::NodeStatus},
    serde_json::json,
    std::{
        fs,
        net::SocketAddr,
        path::{Path, PathBuf},
        process::Command,
        thread,
        time::{Duration, Instant},
    },
    tandem_types::{Keypair, Pubkey, Signer},
};

/// Which part a node plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Voter,
    Primary,
    Secondary,
}

pub struct Node {
    pub name: String,
    pub part: Part,
    pub ledger: PathBuf,
    pub rpc_address: SocketAddr,
    pub release_log: PathBuf,
    pub starts: u32,
    pub process: Option<Process>,
    port: u16,
}

pub struct Cluster {
    pub dir: PathBuf,
    pub keys: PathBuf,
    pub nodes: Vec<Node>,
    pub pair_identity: Pubkey,
    pub vote_account: Pubkey,
    etcd_flags: Vec<String>,
}

pub const VOTER_A: usize = 0;
pub const VOTER_B: usize = 1;
pub const PRIMARY: usize = 2;
pub const SECONDARY: usize = 3;

/// The voters have 90 % of the stake, so the cluster goes on whatever the pair does.
const STAKES: [u64; 3] = [4_500_000_000_000, 4_500_000_000_000, 1_000_000_000_000];

impl Cluster {
    /// Makes keys and a genesis, and a ledger folder for each node. Starts nothing.
    pub fn prepare(dir: &Path, base_port: u16, etcd: &Etcd, pki: &Pki) -> Result<Self, Failure> {
        let keys = dir.join("keys");
        fs::create_dir_all(&keys).map_err(|error| Failure::failed(format!("{}: {error}", keys.display())))?;
        let pair_identity = new_key(&keys, "validator-keypair")?.pubkey();
        let vote_account = new_key(&keys, "vote-account-keypair")?.pubkey();
        for name in ["stake-keypair", "secondary-validator-keypair", "faucet"] {
            new_key(&keys, name)?;
        }
        for voter in ["a", "b"] {
            for part in ["identity", "vote", "stake"] {
                new_key(&keys, &format!("voter-{voter}-{part}"))?;
            }
        }
        let genesis = dir.join("genesis");
        let key = |name: &str| keys.join(format!("{name}.json"));
        let mut command = Command::new(std::env::current_exe().map_err(Failure::failed)?);
        command.arg("genesis").arg("--ledger").arg(&genesis).arg("--faucet-pubkey").arg(key("faucet"));
        for voter in ["a", "b"] {
            command.arg("--bootstrap-validator");
            for part in ["identity", "vote", "stake"] {
                command.arg(key(&format!("voter-{voter}-{part}")));
            }
        }
        command.arg("--bootstrap-validator");
        command.arg(key("validator-keypair")).arg(key("vote-account-keypair")).arg(key("stake-keypair"));
        for stake in STAKES {
            command.arg("--bootstrap-validator-stake-lamports").arg(stake.to_string());
        }
        let output = command.output().map_err(Failure::failed)?;
        if !output.status.success() {
            return Err(Failure::failed(format!("genesis: {}", String::from_utf8_lossy(&output.stderr).trim())));
        }

        let mut etcd_flags: Vec<String> = ["--tower-storage", "etcd"].map(str::to_owned).to_vec();
        for endpoint in &etcd.endpoints {
            etcd_flags.extend(["--etcd-endpoint".to_owned(), endpoint.clone()]);
        }
        for (flag, path) in
            [("--etcd-cacert-file", &pki.ca), ("--etcd-cert-file", &pki.client.cert), ("--etcd-key-file", &pki.client.key)]
        {
            etcd_flags.extend([flag.to_owned(), path.display().to_string()]);
        }

        let mut nodes = Vec::new();
        let parts =
            [("voter-a", Part::Voter), ("voter-b", Part::Voter), ("primary", Part::Primary), ("secondary", Part::Secondary)];
        for (index, (name, part)) in (0u16..).zip(parts) {
            let ledger = dir.join(name);
            fs::create_dir_all(&ledger).map_err(Failure::failed)?;
            fs::copy(genesis.join("genesis.bin"), ledger.join("genesis.bin")).map_err(Failure::failed)?;
            let port = base_port + 100 * (index + 1);
            nodes.push(Node {
                name: name.to_owned(),
                part,
                release_log: dir.join(format!("{name}.released")),
                ledger,
                rpc_address: SocketAddr::from(([127, 0, 0, 1], port + 50)),
                starts: 0,
                process: None,
                port,
            });
        }
        Ok(Self { dir: dir.to_owned(), keys, nodes, pair_identity, vote_account, etcd_flags })
    }

    /// The flags a node is started with: those of the guide, in docs/book.
    pub fn flags(&self, index: usize) -> Vec<String> {
        let node = &self.nodes[index];
        let key = |name: &str| self.keys.join(format!("{name}.json")).display().to_string();
        let mut flags = vec!["--ledger".to_owned(), node.ledger.display().to_string()];
        let mut add = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
        add("--gossip-port", node.port.to_string());
        add("--dynamic-port-range", format!("{}-{}", node.port + 1, node.port + 40));
        add("--rpc-port", node.rpc_address.port().to_string());
        add("--faucet-keypair", key("faucet"));
        add("--release-log", node.release_log.display().to_string());
        match node.part {
            Part::Voter => {
                add("--identity", key(&format!("{}-identity", node.name)));
                add("--vote-account", key(&format!("{}-vote", node.name)));
            }
            Part::Primary => {
                add("--identity", key("validator-keypair"));
                add("--vote-account", key("vote-account-keypair"));
            }
            Part::Secondary => {
                add("--identity", key("secondary-validator-keypair"));
                add("--authorized-voter", key("validator-keypair"));
                add("--vote-account", key("vote-account-keypair"));
            }
        }
        if index != VOTER_A {
            add("--entrypoint", format!("127.0.0.1:{}", self.nodes[VOTER_A].port));
        }
        flags.push("--allow-private-addr".to_owned());
        match node.part {
            Part::Voter => {}
            Part::Primary => flags.extend(self.etcd_flags.iter().cloned()),
            Part::Secondary => {
                flags.push("--no-check-vote-account".to_owned());
                flags.extend(self.etcd_flags.iter().cloned());
            }
        }
        flags
    }

    pub fn start(&mut self, index: usize) -> Result<(), Failure> {
        let flags = self.flags(index);
        let mut command = Command::new(std::env::current_exe().map_err(Failure::failed)?);
        command.args(flags);
        let node = &mut self.nodes[index];
        node.starts += 1;
        let log = self.dir.join(format!("{}.log", node.name));
        node.process = Some(Process::spawn(&node.name, command, &log)?);
        Ok(())
    }

    pub fn status(&self, index: usize) -> Result<NodeStatus, Failure> {
        AdminClient::connect(&self.nodes[index].ledger)?.call("tandemStatus", json!([]))
    }

    pub fn rpc(&self, index: usize) -> RpcClient {
        RpcClient::new(self.nodes[index].rpc_address)
    }

    /// Waits until the node's status satisfies `wanted`. A node that ends meanwhile is a failure that shows its log.
    pub fn wait_for(
        &mut self,
        index: usize,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&NodeStatus) -> bool,
    ) -> Result<NodeStatus, Failure> {
        let deadline = Instant::now() + limit;
        let mut last = String::from("no status yet");
        loop {
            match self.status(index) {
                Ok(status) if wanted(&status) => return Ok(status),
                Ok(status) => last = format!("{} tip {} of {}, root {}", status.role, status.tip, status.cluster_tip, status.root),
                Err(failure) => last = format!("{last}; {failure}"),
            }
            let node = &mut self.nodes[index];
            if let Some(process) = &mut node.process
                && let Some(status) = process.try_wait()
            {
                return Err(Failure::failed(format!("{} ended with {status} before it {what}:\n{}", node.name, process.log_tail(12))));
            }
            if Instant::now() >= deadline {
                let tail = node.process.as_ref().map(|process| process.log_tail(12)).unwrap_or_default();
                return Err(Failure::failed(format!("{} has not {what} after {limit:?} ({last}):\n{tail}", node.name)));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn new_key(folder: &Path, name: &str) -> Result<Keypair, Failure> {
    let keypair = Keypair::new();
    let path = folder.join(format!("{name}.json"));
    tandem_identity::write_keypair_file(&keypair, &path).map_err(Failure::failed)?;
    Ok(keypair)
}
