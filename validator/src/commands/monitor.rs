//! `validator monitor`: one plain line, then one a second.

use {
    crate::{admin::client::AdminClient, args::MonitorArgs, exit::Failure, out, status::NodeStatus},
    serde_json::json,
    std::{path::Path, thread, time::Duration},
};

pub fn monitor(ledger: &Path, args: &MonitorArgs) -> Result<(), Failure> {
    let mut client = AdminClient::connect(ledger)?;
    loop {
        let status: NodeStatus = client.call("tandemStatus", json!([]))?;
        if args.format.json() {
            println!("{}", serde_json::to_string(&status).map_err(Failure::failed)?);
        } else {
            println!("{}", line(&status));
        }
        if args.once || out::is_closed() {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn line(status: &NodeStatus) -> String {
    let or_dash = |value: Option<u64>| value.map_or("-".to_string(), |value| value.to_string());
    let behind = match status.slots_behind {
        Some(slots) => format!("{slots} behind"),
        None => "the cluster's tip is not known yet".to_owned(),
    };
    let quarantine = status.quarantine.as_ref().map_or(String::new(), |reason| format!(" | QUARANTINED: {reason}"));
    let objection = status.objection.as_ref().map_or(String::new(), |reason| format!(" | CANNOT VOTE: {reason}"));
    let twin = status.twin.as_ref().map_or("", |_| " | TWIN: see the log, or `validator doctor`");
    format!(
        "{} {} | term {} | tip {} ({behind}) | confirmed {} | root {} | last vote {} | next leader slot {} | peers {} | {}{quarantine}{objection}{twin}",
        status.role,
        status.identity,
        or_dash(status.term),
        status.tip,
        status.confirmed,
        status.root,
        or_dash(status.last_vote),
        or_dash(status.next_leader_slot),
        status.peers,
        status.store,
    )
}
