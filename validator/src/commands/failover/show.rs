//! `failover status`, `history`, `recover`: they look and change nothing.

use {
    super::{Source, date, or_none, print_json, source},
    crate::{
        args::{HistoryArgs, RecoverArgs, StatusArgs},
        exit::{Failure, Status},
        failover::report::{HistoryReport, RecoverReport, StoreReport},
        status::NodeStatus,
    },
    serde_json::json,
    std::path::Path,
    tandem_role::config::CHAIN_TOWER_HOLD_SLOTS,
    tandem_types::UnixMillis,
};

pub fn status(ledger: &Path, args: &StatusArgs) -> Result<(), Failure> {
    let (node, store) = match source(ledger, &args.target)? {
        Source::Node(mut client) => {
            let node: NodeStatus = client.call("tandemStatus", json!([]))?;
            (Some(node), client.call::<StoreReport>("tandemFailoverStore", json!([])))
        }
        Source::Store(desk) => (None, desk.view()),
    };
    if args.format.json() {
        let error = store.as_ref().err().map(ToString::to_string);
        print_json(&json!({ "node": node, "store": store.as_ref().ok(), "storeError": error }))?;
    } else {
        if let Ok(store) = &store {
            print_store(store);
        }
        if let Some(node) = &node {
            print_node(node);
        }
    }
    store.map(drop)
}

fn print_store(store: &StoreReport) {
    println!("identity   {}", store.identity);
    println!("store      {} (id {}, revision {})", store.store, store.store_id, store.revision);
    match &store.owner {
        None => println!("owner      nobody has ever claimed this identity"),
        Some(owner) => {
            let released = if owner.released { ", given back: anybody may claim" } else { "" };
            println!("owner      {} (term {}, version {}){released}", owner.host, owner.term, owner.version);
            println!("           claimed {} at slot {}", date(owner.claimed_at), owner.slot_at_claim);
        }
    }
    println!("last vote  {}", or_none(store.last_vote));
    println!("watermark  {} (highest leader slot ever claimed)", or_none(store.watermark));
    match (store.heartbeat_age_ms, store.heartbeat_tip) {
        (Some(age), Some(tip)) => println!("heartbeat  {age} ms ago, at slot {tip}"),
        (_, _) => println!("heartbeat  none"),
    }
    if let Some(to) = &store.intent_to {
        println!("intent     {to} wants to take over");
    }
    match &store.hold {
        Some(hold) if store.held => {
            let until = hold.until.map_or(String::new(), |until| format!(", until {}", date(until)));
            println!("hold       ON by {} ({}){until}: no standby promotes itself", hold.by, hold.reason);
        }
        Some(_) | None => println!("hold       off"),
    }
    for machine in &store.machines {
        let tip = if machine.caught_up { "caught up" } else { "not caught up" };
        println!(
            "machine    {} is {} at slot {} ({tip}, version {})",
            machine.host, machine.role, machine.tip, machine.version
        );
        match &machine.auto {
            Some(outlook) => println!("           automatic failover: {outlook}"),
            None => println!("           automatic failover: off"),
        }
    }
}

fn print_node(node: &NodeStatus) {
    let behind = node
        .slots_behind
        .map_or("the cluster's tip is not known yet".to_owned(), |slots| format!("{slots} slots behind"));
    println!("this node  {} as {}, slot {} ({behind})", node.role, node.identity, node.tip);
    if let Some(reason) = &node.quarantine {
        println!("           QUARANTINED: {reason}; see `validator failover recover`");
    }
    if let Some(reason) = &node.objection {
        println!("           CANNOT VOTE: {reason}");
    }
    if let Some(twin) = &node.twin {
        println!("           TWIN, seen {} s ago: {}", twin.seconds_ago, twin.reason);
    }
    if let Some(outlook) = &node.failover.outlook {
        let left = node.failover.promotions_left.unwrap_or_default();
        println!("           {outlook} (budget: {left} more promotions within the hour)");
    } else {
        println!("           automatic failover is off (--failover auto turns it on)");
    }
}

pub fn history(ledger: &Path, args: &HistoryArgs) -> Result<(), Failure> {
    let report: HistoryReport = match source(ledger, &args.target)? {
        Source::Node(mut client) => client.call("tandemFailoverHistory", json!([]))?,
        Source::Store(desk) => desk.history()?,
    };
    if args.format.json() {
        return print_json(&report);
    }
    if report.entries.is_empty() {
        println!("nobody has ever claimed this identity");
    }
    for entry in &report.entries {
        let at = date(UnixMillis(entry.at_unix_ms));
        let Some(term) = entry.term else {
            println!("{at}  {:>9}  {}  {}", "", entry.host, entry.what);
            continue;
        };
        let from = entry.previous_host.as_ref().map_or(String::new(), |host| format!(", after {host}"));
        println!("{at}  term {term:>4}  {}  {} at slot {}{from}", entry.host, entry.what, or_none(entry.slot_at_claim));
        if let Some(released) = entry.released_at_unix_ms {
            let vote = or_none(entry.last_vote_slot);
            println!("{}             given back, last vote {vote}", date(UnixMillis(released)));
        }
    }
    Ok(())
}

pub fn recover(ledger: &Path, args: &RecoverArgs) -> Result<(), Failure> {
    if let Some(slot) = args.accept_slot {
        return accept(ledger, args, slot);
    }
    if args.accept_store {
        return accept_store(ledger, args);
    }
    let report: RecoverReport = match source(ledger, &args.target)? {
        Source::Node(mut client) => client.call("tandemFailoverRecover", json!([]))?,
        Source::Store(desk) => desk.recovery()?.advise(),
    };
    if args.format.json() {
        print_json(&report)?;
    } else {
        println!("store      {}", report.store);
        println!("quarantine {}", report.quarantined.as_deref().unwrap_or("none"));
        println!("newest vote known");
        println!(
            "  store    {} (watermark {}, revision {})",
            or_none(report.store_last_vote),
            or_none(report.store_watermark),
            or_none(report.store_revision)
        );
        if report.tip.is_some() {
            println!("  earlier  {} (the most this node has seen in the store)", or_none(report.seen_in_store));
            println!("  chain    {}", or_none(report.chain_last_vote));
            println!("  gossip   {}", or_none(report.gossip_last_vote));
            println!("tip        {}", or_none(report.tip));
            println!("safe from  {}", or_none(report.safe_from));
        } else {
            println!("  no validator runs at this ledger: what the chain and gossip know is not known here");
        }
        for line in &report.advice {
            println!("- {line}");
        }
    }
    match report.quarantined {
        None => Ok(()),
        Some(reason) => Err(Failure::new(Status::Refused, reason).remedy("do what the list above says")),
    }
}

/// Only with a running node: it knows what was ever seen in the store.
fn accept_store(ledger: &Path, args: &RecoverArgs) -> Result<(), Failure> {
    let Source::Node(mut client) = source(ledger, &args.target)? else {
        return Err(Failure::refused(
            "no validator runs at this ledger, and only one that does knows what it has seen in the store",
        )
        .remedy("start this node, and ask again"));
    };
    client.call::<()>("tandemFailoverAcceptStore", json!([]))?;
    if args.format.json() {
        return print_json(&json!({ "acceptedStore": true }));
    }
    println!(
        "the store has everything this machine has ever seen in it, and is believed again; do the same on the other machine"
    );
    Ok(())
}

/// Only with a running node: the chain is what makes it safe.
fn accept(ledger: &Path, args: &RecoverArgs, slot: u64) -> Result<(), Failure> {
    let Source::Node(mut client) = source(ledger, &args.target)? else {
        return Err(Failure::refused("no validator runs at this ledger, and only one that follows the chain can tell whether the slot has passed")
            .remedy("start this node, wait until it has caught up, and ask again"));
    };
    client.call::<()>("tandemFailoverAcceptSlot", json!([slot]))?;
    if args.format.json() {
        return print_json(&json!({ "acceptedSlot": slot }));
    }
    println!(
        "the store's old tower is forgotten; do the same on the other machine, then make one of them active: `validator set-identity`"
    );
    println!("whoever claims takes the tower from the chain and waits {CHAIN_TOWER_HOLD_SLOTS} slots before it votes");
    Ok(())
}
