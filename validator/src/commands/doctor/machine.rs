//! The machine: open files, disk space, ports.

use {
    super::{Finding, Patient},
    rustix::{
        fs::statvfs,
        process::{Resource, getrlimit},
    },
    std::{
        net::{SocketAddr, TcpListener, UdpSocket},
        path::Path,
    },
};

pub fn look(patient: &Patient<'_>, runs: bool, findings: &mut Vec<Finding>) {
    findings.push(open_files());
    findings.push(disk(&patient.ledger));
    let run = &patient.run;
    let bind = run.bind_address;
    if let Some(port) = run.gossip_port {
        findings.push(port_state("--gossip-port", SocketAddr::new(bind, port), runs, true));
    }
    if let Some(port) = run.rpc_port {
        let address = run.rpc_bind_address.unwrap_or(bind);
        findings.push(port_state("--rpc-port", SocketAddr::new(address, port), runs, false));
        if let Some(next) = port.checked_add(1) {
            findings.push(port_state("--rpc-port (WebSocket)", SocketAddr::new(address, next), runs, false));
        }
    }
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let Some(soft) = limit.current else { return Finding::ok("open files", "no limit") };
    if soft < OPEN_FILES_MIN {
        return Finding::warn(
            "open files",
            format!("at most {soft}"),
            "connections of a busy cluster, the ledger and JSON-RPC clients share this number",
            "ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit",
        );
    }
    Finding::ok("open files", format!("at most {soft}"))
}

fn disk(ledger: &Path) -> Finding {
    let subject = format!("disk of {}", ledger.display());
    // The folder may not be there yet: then the one it will be made in.
    let folder = ledger.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => return Finding::warn(subject, "unknown", error, format!("df {}", folder.display())),
    };
    let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let percent = (free * 100).checked_div(all).unwrap_or(0);
    let fact = format!("{} GiB free, {percent} %", free >> 30);
    let remedy = format!("make room on the disk of {} (df -h {0})", folder.display());
    match free {
        free if free < DISK_FAIL => {
            Finding::fail(subject, fact, "a validator that cannot write its ledger stops", remedy)
        }
        _ if percent < DISK_WARN_PERCENT => Finding::warn(subject, fact, "it is nearly full", remedy),
        _ => Finding::ok(subject, fact),
    }
}

fn port_state(flag: &str, address: SocketAddr, runs: bool, udp_too: bool) -> Finding {
    let tcp = TcpListener::bind(address).map(drop);
    let bound = if udp_too { tcp.and_then(|()| UdpSocket::bind(address).map(drop)) } else { tcp };
    let subject = format!("port {address}");
    match bound {
        Ok(()) if runs => Finding::warn(
            subject,
            "free, though the validator runs",
            format!("it was started with another {flag}"),
            "give doctor the flags the validator was started with, or only --ledger",
        ),
        Ok(()) => Finding::ok(subject, "free"),
        Err(_) if runs => Finding::ok(subject, "bound, by the running validator as far as can be seen"),
        Err(error) => Finding::fail(
            subject,
            "cannot be bound",
            error,
            format!("find who has it with `ss -tulpn | grep :{}`, or choose another {flag}", address.port()),
        ),
    }
}

/// Enough for a few thousand connections and the ledger's files.
const OPEN_FILES_MIN: u64 = 8_192;
const DISK_FAIL: u64 = 1 << 30;
const DISK_WARN_PERCENT: u64 = 10;
