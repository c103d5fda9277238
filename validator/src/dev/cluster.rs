//! The four validators of the playground: two voters with most of the stake, and the pair.

use {
    super::{
        TELL_EVERY,
        etcd::{self, Etcd},
        interrupt,
        pki::Pki,
        place::Place,
        process::{self, Process},
    },
    crate::{admin::client::AdminClient, exit::Failure, rpc_client::RpcClient, status::NodeStatus},
    serde_json::json,
    std::{
        collections::BTreeMap,
        fs,
        net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
        path::{Path, PathBuf},
        process::Command,
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
    /// Whose keys it has: its own name, or that of the node it is a twin of.
    keys: String,
    /// What a twin has instead of the pair's store.
    store: Option<Vec<String>>,
    pub ledger: PathBuf,
    pub rpc_address: SocketAddr,
    pub release_log: PathBuf,
    pub process: Option<Process>,
    pub place: Place,
    /// Values that stand in for those of `flags`, or flags that come besides; `None` for a flag without a value.
    pub changes: BTreeMap<&'static str, Option<String>>,
    ports: Ports,
}

pub struct Cluster {
    pub keys: PathBuf,
    pub nodes: Vec<Node>,
    pub pair_identity: Pubkey,
    pub vote_account: Pubkey,
    dir: PathBuf,
    base_port: u16,
    /// Of both machines of the pair.
    pair_flags: Vec<String>,
}

pub const VOTER_A: usize = 0;
pub const VOTER_B: usize = 1;
pub const PRIMARY: usize = 2;
pub const SECONDARY: usize = 3;

const PARTS: [(&str, Part); 4] =
    [("voter-a", Part::Voter), ("voter-b", Part::Voter), ("primary", Part::Primary), ("secondary", Part::Secondary)];

/// The voters have 80 % of the stake, so the cluster goes on whatever the pair does; the pair leads every fifth slot.
const STAKES: [u64; 3] = [4_000_000_000_000, 4_000_000_000_000, 2_000_000_000_000];
const SMALL_STAKE: u64 = 350_000_000_000;
const SHORT_EPOCH_SLOTS: u64 = 64;

/// What a genesis has besides the usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Genesis {
    #[default]
    Usual,
    /// A voter with a thirtieth of the stake, whose node never runs: its keys are at hand.
    SmallVoter,
    /// Epochs of half a minute, and an authorized voter that can be changed by itself.
    ShortEpochs,
}

impl Cluster {
    /// Makes keys and a genesis, and a ledger folder for each node. Starts nothing.
    pub fn prepare(
        dir: &Path,
        base_port: u16,
        etcd: &Etcd,
        pki: &Pki,
        pair_flags: Vec<String>,
    ) -> Result<Self, Failure> {
        Self::prepare_at(dir, base_port, etcd, pki, pair_flags, &[const { None }; PARTS.len()], Genesis::Usual)
    }

    /// The same with each node in a place of its own, where one is given.
    pub fn prepare_at(
        dir: &Path,
        base_port: u16,
        etcd: &Etcd,
        pki: &Pki,
        mut pair_flags: Vec<String>,
        places: &[Option<Place>],
        genesis: Genesis,
    ) -> Result<Self, Failure> {
        let keys = dir.join("keys");
        let pair_identity = new_key(&keys, "validator-keypair")?;
        let vote_account = new_key(&keys, "vote-account-keypair")?;
        for name in ["stake-keypair", "secondary-validator-keypair", "faucet"] {
            new_key(&keys, name)?;
        }
        let small = (genesis == Genesis::SmallVoter).then_some("small");
        for voter in ["a", "b"].into_iter().chain(small) {
            for part in ["identity", "vote", "stake"] {
                new_key(&keys, &format!("voter-{voter}-{part}"))?;
            }
        }
        let plan = genesis;
        let genesis = dir.join("genesis");
        make_genesis(&keys, &genesis, plan)?;
        let mut nodes = Vec::new();
        for (index, (name, part)) in (0u16..).zip(PARTS) {
            let ledger = dir.join(name);
            let copy = || {
                fs::create_dir_all(&ledger)?;
                fs::copy(genesis.join("genesis.bin"), ledger.join("genesis.bin"))
            };
            copy().map_err(|error| Failure::failed(format!("{}: {error}", ledger.display())))?;
            let ports = Ports::of_node(base_port, index);
            let place = places.get(usize::from(index)).cloned().flatten().unwrap_or_else(Place::here);
            nodes.push(Node {
                name: name.to_owned(),
                part,
                keys: name.to_owned(),
                store: None,
                release_log: dir.join(format!("{name}.released")),
                ledger,
                rpc_address: SocketAddr::from((place.ip, ports.rpc)),
                process: None,
                place,
                changes: BTreeMap::new(),
                ports,
            });
        }
        pair_flags.extend(store_flags(etcd, pki));
        Ok(Self { dir: dir.to_owned(), base_port, keys, nodes, pair_identity, vote_account, pair_flags })
    }

    /// The flags a node is started with: for the pair, those of Solana's failover guide (docs/book).
    pub fn flags(&self, index: usize) -> Vec<String> {
        let node = &self.nodes[index];
        let key = |name: &str| self.keys.join(format!("{name}.json")).display().to_string();
        let mut flags = vec!["--ledger".to_owned(), node.ledger.display().to_string()];
        let mut add = |flag: &str, value: String| flags.extend([flag.to_owned(), value]);
        add("--bind-address", node.place.ip.to_string());
        add("--gossip-port", node.ports.gossip.to_string());
        add("--dynamic-port-range", format!("{}-{}", node.ports.first_dynamic, node.ports.last_dynamic));
        add("--rpc-port", node.ports.rpc.to_string());
        add("--faucet-keypair", key("faucet"));
        add("--release-log", node.release_log.display().to_string());
        match node.part {
            Part::Voter => {
                add("--identity", key(&format!("{}-identity", node.keys)));
                add("--vote-account", key(&format!("{}-vote", node.keys)));
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
            add("--entrypoint", {
                let voter = &self.nodes[VOTER_A];
                SocketAddr::from((voter.place.ip, voter.ports.gossip)).to_string()
            });
        }
        if node.part == Part::Secondary {
            flags.push("--no-check-vote-account".to_owned());
        }
        match (&node.store, node.part) {
            (Some(store), _) => flags.extend(store.iter().cloned()),
            (None, Part::Voter) => {}
            (None, Part::Primary | Part::Secondary) => flags.extend(self.pair_flags.iter().cloned()),
        }
        for (flag, value) in &node.changes {
            match (flags.iter().position(|known| known == flag), value) {
                (Some(at), Some(value)) => flags[at + 1].clone_from(value),
                (Some(_), None) => {}
                (None, value) => flags.extend([(*flag).to_owned()].into_iter().chain(value.clone())),
            }
        }
        flags
    }

    /// A process with the keys of the node `of`, in the same place, but with a ledger folder and ports of its own and with a
    /// store (its flags) that the others know nothing of. Returns its number; nothing is started.
    pub fn add_twin(&mut self, of: usize, store: Vec<String>) -> Result<usize, Failure> {
        let original = &self.nodes[of];
        let name = format!("{}-twin", original.name);
        let ledger = self.dir.join(&name);
        let copy = || {
            fs::create_dir_all(&ledger)?;
            fs::copy(original.ledger.join("genesis.bin"), ledger.join("genesis.bin"))
        };
        copy().map_err(|error| Failure::failed(format!("{}: {error}", ledger.display())))?;
        let ports = Ports::of_node(self.base_port, u16::try_from(self.nodes.len()).unwrap_or(u16::MAX));
        let twin = Node {
            part: original.part,
            keys: original.keys.clone(),
            store: Some(store),
            rpc_address: SocketAddr::from((original.place.ip, ports.rpc)),
            process: None,
            place: original.place.clone(),
            changes: BTreeMap::new(),
            release_log: self.dir.join(format!("{name}.released")),
            ledger,
            ports,
            name,
        };
        self.nodes.push(twin);
        Ok(self.nodes.len() - 1)
    }

    /// Ends the twins and forgets what they held.
    pub fn dismiss_twins(&mut self) -> Result<(), Failure> {
        for twin in self.nodes.drain(PARTS.len()..) {
            let Node { process, ledger, release_log, .. } = twin;
            drop(process);
            fs::remove_dir_all(&ledger).map_err(|error| Failure::failed(format!("{}: {error}", ledger.display())))?;
            // It is not there if nothing was released.
            let _ = fs::remove_file(release_log);
        }
        Ok(())
    }

    /// The nodes that speak, or may speak, with the keys of the node `of`.
    pub fn with_keys_of(&self, of: usize) -> Vec<usize> {
        let is_of_pair = |node: &Node| node.part != Part::Voter;
        let original = &self.nodes[of];
        let same = |node: &Node| node.keys == original.keys || (is_of_pair(node) && is_of_pair(original));
        (0..self.nodes.len()).filter(|index| same(&self.nodes[*index])).collect()
    }

    /// The voters' addresses are not kept: only a scenario with a twin of one asks.
    pub fn identity_of_voter_b(&self) -> Result<Pubkey, Failure> {
        let path = self.keys.join("voter-b-identity.json");
        tandem_identity::read_keypair_file(&path).map(|key| key.pubkey()).map_err(Failure::failed)
    }

    pub fn start(&mut self, index: usize) -> Result<(), Failure> {
        let mut command = self.nodes[index].place.command(own_program()?.get_program());
        command.args(self.flags(index));
        let node = &mut self.nodes[index];
        let log = self.dir.join(format!("{}.log", node.name));
        node.process = Some(Process::spawn(&node.name, command, &log)?);
        Ok(())
    }

    /// This program, addressing the node.
    pub fn command(&self, index: usize) -> Result<Command, Failure> {
        let mut command = own_program()?;
        command.arg("--ledger").arg(&self.nodes[index].ledger);
        Ok(command)
    }

    pub fn status(&self, index: usize) -> Result<NodeStatus, Failure> {
        AdminClient::connect_within(&self.nodes[index].ledger, Duration::from_secs(2))?.call("tandemStatus", json!([]))
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
        let started = Instant::now();
        let mut told = started;
        loop {
            let seen = match self.status(index) {
                Ok(status) if wanted(&status) => return Ok(status),
                Ok(status) => {
                    format!("{}, slot {} of {}, root {}", status.role, status.tip, status.cluster_tip, status.root)
                }
                Err(failure) => failure.to_string(),
            };
            let node = &mut self.nodes[index];
            if let Some(process) = &mut node.process
                && let Some(status) = process.try_wait()
            {
                println!("{}", process.log_tail(LOG_LINES));
                return Err(Failure::failed(format!("{} ended with {status} before it {what}", node.name)));
            }
            if started.elapsed() >= limit {
                node.process.iter().for_each(|process| println!("{}", process.log_tail(LOG_LINES)));
                return Err(Failure::failed(format!("{} has not {what} after {limit:?}: {seen}", node.name)));
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                println!("  {} has not yet {what}: {seen} ({:.0} s)", node.name, started.elapsed().as_secs_f64());
            }
            interrupt::pause(Duration::from_millis(20))?;
        }
    }

    /// How to play by hand.
    pub fn print_hints(&self) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(Failure::failed)?;
        let (program, keypair) = (program.display(), self.keys.join("validator-keypair.json"));
        let secondary = self.nodes[SECONDARY].ledger.display();
        println!("\nwallets: solana --url http://{} airdrop 1", self.nodes[VOTER_A].rpc_address);
        println!("a handover by hand:");
        println!(
            "  {program} --ledger {secondary} wait-for-restart-window --min-idle-time 0.02 --identity {0} \\",
            keypair.display()
        );
        println!("    && {program} --ledger {secondary} set-identity {}", keypair.display());
        println!("watch it: {program} --ledger {secondary} monitor");
        println!("logs and keys are in {}; press Ctrl-C to end\n", self.dir.display());
        Ok(())
    }

    /// Until it is interrupted: says which node ended, how, and how to start it again.
    pub fn watch(&mut self) -> Result<(), Failure> {
        while interrupt::pause(Duration::from_millis(200)).is_ok() {
            for index in 0..self.nodes.len() {
                let Some(process) = &mut self.nodes[index].process else { continue };
                let Some(status) = process.try_wait() else { continue };
                let name = self.nodes[index].name.clone();
                self.nodes[index].process = None;
                println!("{name} ended with {status}; started again it does what the guide says. Start it with");
                let mut command = own_program()?;
                command.args(self.flags(index));
                println!("  {command:?}");
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once, then each is waited for as it is dropped.
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut()).for_each(Process::ask_to_end);
    }
}

/// Fails while nothing is started yet when a port of the playground is taken.
pub fn check_ports(base_port: u16) -> Result<(), Failure> {
    let mut tcp: Vec<u16> =
        (0..etcd::MEMBERS).flat_map(|index| [base_port + index, base_port + etcd::PEER_PORTS + index]).collect();
    let mut udp = Vec::new();
    for index in 0..u16::try_from(PARTS.len()).unwrap_or(0) {
        let ports = Ports::of_node(base_port, index);
        tcp.extend([ports.gossip, ports.rpc, ports.rpc + 1]);
        udp.push(ports.gossip);
    }
    let taken = |port: u16, error: std::io::Error| {
        Err(Failure::failed(format!("port {port} of 127.0.0.1 cannot be used: {error}"))
            .remedy("end what uses it, or choose other ports with --base-port"))
    };
    for port in tcp {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return taken(port, error);
        }
    }
    for port in udp {
        if let Err(error) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            return taken(port, error);
        }
    }
    Ok(())
}

/// A hundred ports for each node, after the hundred of etcd.
#[derive(Clone, Copy)]
struct Ports {
    gossip: u16,
    first_dynamic: u16,
    last_dynamic: u16,
    /// WebSocket is on the next one.
    rpc: u16,
}

impl Ports {
    fn of_node(base_port: u16, index: u16) -> Self {
        let gossip = base_port + 100 * (index + 1);
        Self { gossip, first_dynamic: gossip + 1, last_dynamic: gossip + 40, rpc: gossip + 50 }
    }
}

fn own_program() -> Result<Command, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::failed(format!("finding this program to start it again: {error}")))?;
    Ok(Command::new(path))
}

fn new_key(folder: &Path, name: &str) -> Result<Pubkey, Failure> {
    let keypair = Keypair::new();
    tandem_identity::write_keypair_file(&keypair, &folder.join(format!("{name}.json"))).map_err(Failure::failed)?;
    Ok(keypair.pubkey())
}

/// Through the command an operator would use.
fn make_genesis(keys: &Path, genesis: &Path, plan: Genesis) -> Result<(), Failure> {
    let key = |name: &str| keys.join(format!("{name}.json"));
    let mut command = own_program()?;
    command.arg("genesis").arg("--ledger").arg(genesis).arg("--faucet-pubkey").arg(key("faucet"));
    for voter in ["a", "b"] {
        command.arg("--bootstrap-validator");
        command.args(["identity", "vote", "stake"].map(|part| key(&format!("voter-{voter}-{part}"))));
    }
    command.arg("--bootstrap-validator");
    command.args(["validator-keypair", "vote-account-keypair", "stake-keypair"].map(key));
    let mut stakes = STAKES.to_vec();
    match plan {
        Genesis::Usual => {}
        Genesis::SmallVoter => {
            command.arg("--bootstrap-validator");
            command.args(["identity", "vote", "stake"].map(|part| key(&format!("voter-small-{part}"))));
            stakes.push(SMALL_STAKE);
        }
        Genesis::ShortEpochs => {
            command.arg("--slots-per-epoch").arg(SHORT_EPOCH_SLOTS.to_string());
            // Where an account has a BLS key, and this is active, a voter is changed together with that key, by other tools.
            let together = agave_feature_set::bls_pubkey_management_in_vote_account::id();
            command.arg("--deactivate-feature").arg(together.to_string());
        }
    }
    for stake in stakes {
        command.arg("--bootstrap-validator-stake-lamports").arg(stake.to_string());
    }
    process::output(command, Duration::from_secs(60)).map(drop)
}

/// How a node is told of this store.
pub fn store_flags(etcd: &Etcd, pki: &Pki) -> Vec<String> {
    let mut flags: Vec<String> = ["--tower-storage", "etcd"].map(str::to_owned).to_vec();
    for endpoint in &etcd.endpoints {
        flags.extend(["--etcd-endpoint".to_owned(), endpoint.clone()]);
    }
    for (flag, path) in
        [("--etcd-cacert-file", &pki.ca), ("--etcd-cert-file", &pki.client.cert), ("--etcd-key-file", &pki.client.key)]
    {
        flags.extend([flag.to_owned(), path.display().to_string()]);
    }
    flags
}

/// How much of a log a failure shows.
const LOG_LINES: usize = 15;
