//! `failover rehearse`.

use {
    super::{Source, print_json, source},
    crate::{
        args::RehearseArgs,
        exit::{Failure, Status},
        failover::report::RehearsalReport,
    },
    serde_json::json,
    std::path::Path,
};

pub fn rehearse(ledger: &Path, args: &RehearseArgs) -> Result<(), Failure> {
    let target = source(ledger, &args.target)?;
    if !args.format.json() {
        println!("rehearsing {} rounds on shadow keys; the real records are not touched", args.rounds);
    }
    let report: RehearsalReport = match target {
        Source::Node(mut client) => client.call("tandemFailoverRehearse", json!([args.rounds]))?,
        Source::Store(desk) => desk.rehearse(args.rounds)?,
    };
    if args.format.json() {
        print_json(&report)?;
    } else {
        println!("{:<20} {:>9} {:>9} {:>9}", "phase", "p50 ms", "p99 ms", "max ms");
        for (phase, ms) in &report.phases_ms {
            println!("{phase:<20} {:>9.1} {:>9.1} {:>9.1}", ms.p50, ms.p99, ms.max);
        }
        println!(
            "the deposed owner was refused {}",
            if report.fenced_every_time { "every time" } else { "NOT every time" }
        );
        for peer in &report.peers {
            let ready = if peer.caught_up { "caught up" } else { "not caught up" };
            println!("peer {} is there: {}, {ready}", peer.host, peer.role);
        }
        if report.peers.is_empty() {
            println!("no other machine has the store open now");
        }
    }
    if report.fenced_every_time {
        return Ok(());
    }
    Err(Failure::new(Status::Failed, "the store let a deposed owner write: it does not fence")
        .remedy("do not run a pair on it; is it really etcd, without anything between?"))
}
