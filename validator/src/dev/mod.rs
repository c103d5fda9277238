//! `validator dev`: a whole cluster on this machine, to try things on, and the demonstration of the handovers.

mod cluster;
mod etcd;
pub mod faults;
mod interrupt;
mod load;
mod measure;
pub mod pki;
mod place;
mod process;
mod report;
mod sampler;
mod shuttle;
mod shuttle_report;
mod story;

use {
    crate::{args::DevArgs, exit::Failure},
    cluster::Cluster,
    report::Report,
    shuttle_report::ShuttleReport,
    std::{
        fs,
        path::{Path, PathBuf},
        time::{Duration, Instant},
    },
};

pub fn run(args: &DevArgs) -> Result<(), Failure> {
    interrupt::catch_signals();
    let folder = Folder::open(args.dir.as_deref())?;
    if args.failover_demo {
        return demonstrate(&folder.path, args);
    }
    if let Some(handovers) = args.handovers {
        return shuttle(&folder.path, args, handovers);
    }
    let mut playground = Playground::start(&folder.path, args)?;
    playground.cluster.print_hints()?;
    playground.cluster.watch()
}

/// Ends well only if the verdict is good. A demonstration that does not get far enough to be judged has failed, and says
/// so in the same form.
fn demonstrate(folder: &Path, args: &DevArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let report = match Playground::start(folder, args) {
        Ok(mut playground) => story::play(&mut playground.cluster, args, started),
        Err(failure) => Report::of_failure(&failure, started.elapsed().as_secs_f64()),
    };
    print!("\n{}", report.text());
    write_json(args, &report)?;
    if report.passed() {
        return Ok(());
    }
    Err(Failure::failed(format!("the demonstration failed: {}", report.failures.join("; "))))
}

/// The same for many handovers without a restart.
fn shuttle(folder: &Path, args: &DevArgs, handovers: u32) -> Result<(), Failure> {
    let started = Instant::now();
    let report = match Playground::start(folder, args) {
        Ok(mut playground) => shuttle::play(&mut playground.cluster, args, handovers, started),
        Err(failure) => ShuttleReport::of_failure(&failure, started.elapsed().as_secs_f64()),
    };
    print!("\n{}", report.text());
    write_json(args, &report)?;
    if report.failures.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("the handovers failed: {}", report.failures.join("; "))))
}

fn write_json(args: &DevArgs, report: &impl serde::Serialize) -> Result<(), Failure> {
    let Some(path) = &args.json else { return Ok(()) };
    let json = serde_json::to_string_pretty(report).map_err(Failure::failed)?;
    fs::write(path, json + "\n").map_err(|error| Failure::failed(format!("--json {}: {error}", path.display())))
}

/// How the pair is started for what is to be shown.
fn pair_flags(args: &DevArgs) -> Vec<String> {
    let mut flags: Vec<&str> = Vec::new();
    if args.handovers.is_some() {
        flags.extend(["--on-identity-loss", "standby", "--on-store-loss", "standby"]);
    }
    if args.unasked {
        flags.extend(["--intent-deadline", "0"]);
    }
    flags.into_iter().map(str::to_owned).collect()
}

/// Everything that runs. The nodes are stopped before the store they release their identities in.
struct Playground {
    cluster: Cluster,
    etcd: etcd::Etcd,
}

impl Playground {
    fn start(folder: &Path, args: &DevArgs) -> Result<Self, Failure> {
        cluster::check_ports(args.base_port)?;
        println!("making certificates and a three-member etcd with --client-cert-auth in {}", folder.display());
        let pki = pki::Pki::create(&folder.join("certs"))?;
        let etcd = etcd::Etcd::start(folder, &pki, args.base_port)?;
        println!("making keys and a genesis: two voters with 80 % of the stake, and the pair");
        let cluster = Cluster::prepare(folder, args.base_port, &etcd, &pki, pair_flags(args))?;
        let mut playground = Self { cluster, etcd };
        story::start_cluster(&mut playground.cluster)?;
        println!("{:<10} {}", "etcd", playground.etcd.endpoints.join(" "));
        for node in &playground.cluster.nodes {
            println!("{:<10} http://{}  ledger {}", node.name, node.rpc_address, node.ledger.display());
        }
        Ok(playground)
    }
}

/// Where everything lives: a folder of the user's, which stays, or a temporary one, which goes with this value.
struct Folder {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Folder {
    fn open(wanted: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = wanted else {
            let temporary = tempfile::Builder::new().prefix("tandem-dev-").tempdir().map_err(|error| {
                Failure::failed(format!("making a temporary folder: {error}")).remedy("give one with --dir")
            })?;
            return Ok(Self { path: temporary.path().to_owned(), _temporary: Some(temporary) });
        };
        let failure = |error: std::io::Error| Failure::usage(format!("--dir {}: {error}", path.display()));
        fs::create_dir_all(path).map_err(failure)?;
        if fs::read_dir(path).map_err(failure)?.next().is_some() {
            return Err(Failure::usage(format!("--dir {} is not empty", path.display()))
                .remedy("the playground begins with a new genesis: give a new folder"));
        }
        Ok(Self { path: fs::canonicalize(path).map_err(failure)?, _temporary: None })
    }
}

/// How often something that is being waited for is mentioned.
const TELL_EVERY: Duration = Duration::from_secs(5);
