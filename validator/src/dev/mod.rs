//! `validator dev`: a whole cluster on this machine, to try things on, and the demonstration of the handovers.

mod cluster;
mod etcd;
mod load;
mod measure;
mod pki;
mod process;
mod report;
mod sampler;
mod story;

use {
    crate::{args::DevArgs, exit::Failure},
    std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
        thread,
        time::Duration,
    },
};

static STOP: AtomicBool = AtomicBool::new(false);

pub fn run(args: &DevArgs) -> Result<(), Failure> {
    // Everything lives in one folder; a temporary one goes with this value, whichever way this function ends.
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("tandem-dev-").tempdir().map_err(Failure::failed)?),
    };
    let dir = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err(Failure::failed("no folder to work in")),
    };
    fs::create_dir_all(&dir).map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))?;

    println!("making certificates and a three-member etcd with --client-cert-auth in {}", dir.display());
    let pki = pki::Pki::create(&dir.join("certs"))?;
    let etcd = etcd::Etcd::start(&dir, &pki, args.base_port)?;
    println!("making keys and a genesis: two voters with 90 % of the stake, and the pair");
    let mut cluster = cluster::Cluster::prepare(&dir, args.base_port, &etcd, &pki)?;
    story::start_cluster(&mut cluster)?;
    for node in &cluster.nodes {
        println!("{:<10} http://{}  ledger {}", node.name, node.rpc_address, node.ledger.display());
    }
    println!("etcd       {}", etcd.endpoints.join(" "));

    if !args.failover_demo {
        println!("keys are in {}; press Ctrl-C to end", cluster.keys.display());
        return wait_for_interrupt();
    }
    let report = story::play(&mut cluster, args.transfers_per_second, args.planned_handovers)?;
    print!("\n{}", report.text());
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(Failure::failed)?;
        fs::write(path, json).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    }
    if !report.passed() {
        return Err(Failure::failed(format!("the demonstration failed: {}", report.failures.join("; "))));
    }
    Ok(())
}

fn wait_for_interrupt() -> Result<(), Failure> {
    extern "C" fn stop(_: libc::c_int) {
        STOP.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = stop;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    while !STOP.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
