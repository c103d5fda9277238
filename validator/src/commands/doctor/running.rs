//! The validator that runs with this ledger, if one does.

use {
    super::Finding,
    crate::{
        admin::{client::AdminClient, socket_path},
        args::{Cli, RunArgs},
        status::NodeStatus,
    },
    clap::Parser,
    serde_json::json,
    std::{
        ffi::OsString,
        fs,
        os::unix::{ffi::OsStringExt, fs::PermissionsExt},
        path::Path,
        time::Duration,
    },
};

pub struct Running {
    pub status: NodeStatus,
    pub pid: u32,
}

pub fn look(ledger: &Path, findings: &mut Vec<Finding>) -> Option<Running> {
    let path = socket_path(ledger);
    let subject = format!("admin socket {}", path.display());
    let Ok(found) = fs::metadata(&path) else {
        findings.push(Finding::warn(
            subject,
            "not there",
            "no validator runs with this ledger: what only a running one knows is not checked",
            format!("start it, or name its ledger folder: validator --ledger DIR doctor (now {})", ledger.display()),
        ));
        return None;
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        findings.push(Finding::fail(
            &subject,
            format!("mode {mode:o}"),
            "others than its owner can hand this identity over or stop the validator",
            format!("chmod 600 {}", path.display()),
        ));
    }
    let asked = AdminClient::connect_within(ledger, Duration::from_secs(5)).and_then(|mut client| {
        Ok(Running { status: client.call("tandemStatus", json!([]))?, pid: client.call("pid", json!([]))? })
    });
    match asked {
        Ok(running) => {
            let status = &running.status;
            let lag =
                status.slots_behind.map_or("does not know how far behind".to_owned(), |n| format!("{n} slots behind"));
            findings.push(Finding::ok(&subject, format!("process {}, {}, {lag}", running.pid, status.role)));
            if let Some(reason) = &status.quarantine {
                findings.push(Finding::fail(
                    "quarantine",
                    reason,
                    "this node signs nothing on the store's word, and cannot take over",
                    "validator failover recover",
                ));
            }
            if let Some(reason) = &status.objection {
                findings.push(Finding::fail(
                    "vote account",
                    reason,
                    "this node cannot claim, vote or lead",
                    "solana vote-account ADDRESS, and validator doctor's flags --vote-account and --identity",
                ));
            }
            if let Some(twin) = &status.twin {
                findings.push(Finding::fail(
                    "twin",
                    format!("{}, seen {} s ago", twin.reason, twin.seconds_ago),
                    "two processes that sign with one key contradict each other, and the fence parts only those who share a store",
                    "stop the other process, and see exit status 10 in the book",
                ));
            }
            if status.caught_up {
                findings.push(Finding::ok("caught up", format!("tip {}, root {}", status.tip, status.root)));
            } else {
                findings.push(Finding::warn(
                    "caught up",
                    format!("no: tip {}, the cluster's {}", status.tip, status.cluster_tip),
                    "a node that has not caught up cannot take over",
                    "wait, and watch it with `validator monitor`",
                ));
            }
            Some(running)
        }
        Err(failure) => {
            let remedy = failure.remedy.unwrap_or_else(|| "see the validator's log".to_owned());
            findings.push(Finding::fail(subject, "no answer", failure.what, remedy));
            None
        }
    }
}

/// The running validator's own flags, when none were given here: out of its command line, with its working folder as ours
/// so that its relative paths mean the same.
pub fn flags(node: Option<&Running>, given: &RunArgs) -> Option<RunArgs> {
    let node = node.filter(|_| given.identity.is_none())?;
    let words = fs::read(format!("/proc/{}/cmdline", node.pid)).ok()?;
    let words = words.strip_suffix(b"\0").unwrap_or(&words).split(|byte| *byte == 0);
    let cli = Cli::try_parse_from(words.map(|word| OsString::from_vec(word.to_vec()))).ok()?;
    let flags = cli.run_args().ok()??.clone();
    std::env::set_current_dir(format!("/proc/{}/cwd", node.pid)).ok()?;
    Some(flags)
}
