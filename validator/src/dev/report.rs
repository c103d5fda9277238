//! The report of a demonstration: what is printed, and the JSON.

use {
    super::{load::TransferCounts, sampler::NodeReport},
    serde::Serialize,
    std::{collections::BTreeMap, fmt::Write},
    tandem_witness::Verdict,
};

#[derive(Clone, Debug, Serialize)]
pub struct HandoverRecord {
    pub kind: String,
    pub from: String,
    pub to: String,
    /// From the trigger until the new owner may vote and lead.
    pub ms: f64,
    /// From the trigger until the new owner's first vote was released.
    pub first_vote_ms: f64,
    pub phases_ms: BTreeMap<String, f64>,
    /// Blocks that stayed on the chain and that the identity never voted on, around this handover.
    pub slots_missed: u64,
    pub leader_slots_missed: u64,
    pub term: u64,
    pub votes_before: u64,
    pub votes_after: u64,
    pub blocks_before: u64,
    pub blocks_after: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub handovers: Vec<HandoverRecord>,
    pub transfers: TransferCounts,
    pub audit: Verdict,
    pub nodes: Vec<NodeReport>,
    pub seconds: f64,
    pub failures: Vec<String>,
    /// "pass" or "fail".
    pub verdict: String,
}

impl Report {
    pub fn judge(
        handovers: Vec<HandoverRecord>,
        transfers: TransferCounts,
        audit: Verdict,
        nodes: Vec<NodeReport>,
        seconds: f64,
    ) -> Self {
        let mut failures = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                failures.push(what);
            }
        };
        expect(audit.conflicting_votes == 0, format!("{} conflicting votes", audit.conflicting_votes));
        expect(audit.lockout_violations == 0, format!("{} lockout violations", audit.lockout_violations));
        expect(audit.duplicate_blocks == 0, format!("{} duplicate blocks", audit.duplicate_blocks));
        expect(audit.unreadable == 0, format!("{} unreadable records", audit.unreadable));
        expect(audit.votes_checked > 0, "the audit saw no vote".into());
        expect(audit.shreds_checked > 0, "the audit saw no shred".into());
        expect(transfers.lost == 0, format!("{} transfers lost", transfers.lost));
        expect(transfers.finalized > 0, "no transfer was finalized".into());
        expect(handovers.len() >= 4, format!("{} handovers instead of at least 4", handovers.len()));
        let verdict = if failures.is_empty() { "pass" } else { "fail" }.to_owned();
        Self { handovers, transfers, audit, nodes, seconds, failures, verdict }
    }

    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format!(
            "{:<34} {:>9} {:>13} {:>7} {:>13} {:>5}  votes and blocks before/after",
            "handover", "ms", "first vote ms", "missed", "leader missed", "term"
        ));
        for handover in &self.handovers {
            line(format!(
                "{:<34} {:>9.1} {:>13.1} {:>7} {:>13} {:>5}  {}/{} votes, {}/{} blocks",
                format!("{} ({} -> {})", handover.kind, handover.from, handover.to),
                handover.ms,
                handover.first_vote_ms,
                handover.slots_missed,
                handover.leader_slots_missed,
                handover.term,
                handover.votes_before,
                handover.votes_after,
                handover.blocks_before,
                handover.blocks_after,
            ));
            let phases: Vec<String> = handover.phases_ms.iter().map(|(phase, ms)| format!("{phase} {ms:.1}")).collect();
            line(format!("    {}", phases.join(", ")));
        }
        line(format!(
            "transfers: {} sent, {} confirmed, {} finalized, {} lost",
            self.transfers.sent, self.transfers.confirmed, self.transfers.finalized, self.transfers.lost
        ));
        line(format!(
            "audit: {} votes and {} shreds checked: {} conflicting votes, {} lockout violations, {} duplicate blocks",
            self.audit.votes_checked,
            self.audit.shreds_checked,
            self.audit.conflicting_votes,
            self.audit.lockout_violations,
            self.audit.duplicate_blocks
        ));
        for finding in &self.audit.findings {
            line(format!("    {finding}"));
        }
        for node in &self.nodes {
            line(format!(
                "{:<10} p99 {} (max {}) slots behind the tip, {} MB, {:.1} % of a core",
                node.name, node.p99_slots_behind, node.max_slots_behind, node.rss_mb, node.cpu_percent
            ));
        }
        for failure in &self.failures {
            line(format!("FAILED: {failure}"));
        }
        line(format!("verdict: {} after {:.0} s", self.verdict, self.seconds));
        text
    }
}
