//! The figures an operator watches, as `GET /metrics` shows them.

use {
    crate::{status::NodeStatus, views::Views},
    tandem_telemetry::Page,
};

/// The states of failover.md, and the time before the role machine runs.
const ROLES: [&str; 9] =
    ["STARTING", "STANDBY", "ACQUIRED", "RECOVERED", "CAUGHT_UP", "ACTIVE", "HALT_LEAD", "HALT_VOTE", "LOCKED"];

pub fn page(views: &Views) -> String {
    let status = views.status.load();
    let mut page = Page::new("tandem");
    page.state("role", "Role of this node for the identity of its vote account", &ROLES, &status.role);
    for (name, help, value) in gauges(&status) {
        page.gauge(name, help, i64::try_from(value).unwrap_or(i64::MAX));
    }
    for (name, value) in &status.counters {
        page.counter(name, "Counted since this process started", *value);
    }
    page.text()
}

fn gauges(status: &NodeStatus) -> Vec<(&'static str, &'static str, u64)> {
    let path = &status.vote_path;
    vec![
        ("caught_up", "1 when this node follows the tip of the cluster", u64::from(status.caught_up)),
        ("cluster_tip_slot", "Slot that voters with a third of the stake have reached", status.cluster_tip),
        ("confirmed_slot", "Highest block more than two thirds of the stake voted for", status.confirmed),
        ("last_vote_slot", "Slot of the last recorded vote, 0 for none", status.last_vote.unwrap_or_default()),
        ("peers", "Nodes heard of in gossip within a minute", status.peers as u64),
        (
            "cannot_vote",
            "1 when the vote account does not exist, or names another identity, as of the root",
            u64::from(status.objection.is_some()),
        ),
        (
            "quarantined",
            "1 when nothing is signed on the store's word, until `failover recover`",
            u64::from(status.quarantine.is_some()),
        ),
        ("root_slot", "Our root", status.root),
        (
            "slots_behind",
            "Slots behind the cluster, 0 also while that is not known",
            status.slots_behind.unwrap_or_default(),
        ),
        ("term", "Term under which this node owns the identity, 0 for none", status.term.unwrap_or_default()),
        ("tip_slot", "Highest block replayed", status.tip),
        ("vote_own_p50_microseconds", "From bank frozen to vote on the wire, the store apart, median", path.own_p50_us),
        ("vote_own_p99_microseconds", "The same, 99th percentile", path.own_p99_us),
        ("vote_record_p50_microseconds", "The store's commit of a vote, median", path.record_p50_us),
        ("vote_record_p99_microseconds", "The same, 99th percentile", path.record_p99_us),
    ]
}
