//! The report of a demonstration: what is printed, and the JSON.

use {
    super::{load::TransferCounts, sampler::NodeReport},
    crate::exit::Failure,
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
    /// From the trigger until the new owner's first vote was released; nothing if it never voted.
    pub first_vote_ms: Option<f64>,
    /// How long the operator's command took, its start and its connection included; nothing for a reclaim.
    pub command_ms: Option<f64>,
    pub phases_ms: BTreeMap<String, f64>,
    /// Blocks that stayed on the chain and that the identity never voted on, around this handover.
    pub slots_missed: u64,
    pub leader_slots_missed: u64,
    pub term: u64,
    /// By the old owner since the handover before, and by the new owner until the next.
    pub votes_before: u64,
    pub votes_after: u64,
    pub blocks_before: u64,
    pub blocks_after: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub count: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub first_vote_p50_ms: f64,
    pub first_vote_p99_ms: f64,
    pub slots_missed: u64,
}

impl Percentiles {
    fn of(handovers: &[HandoverRecord]) -> Self {
        let polite: Vec<&HandoverRecord> =
            handovers.iter().filter(|handover| !handover.kind.starts_with("forced")).collect();
        let at = |mut values: Vec<f64>, percent: usize| {
            values.sort_by(f64::total_cmp);
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(rank).copied().unwrap_or_default()
        };
        let ms: Vec<f64> = polite.iter().map(|handover| handover.ms).collect();
        let first: Vec<f64> = polite.iter().filter_map(|handover| handover.first_vote_ms).collect();
        Self {
            count: polite.len(),
            p50_ms: at(ms.clone(), 50),
            p99_ms: at(ms, 99),
            first_vote_p50_ms: at(first.clone(), 50),
            first_vote_p99_ms: at(first, 99),
            slots_missed: polite.iter().map(|handover| handover.slots_missed).sum(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub handovers: Vec<HandoverRecord>,
    pub transfers: TransferCounts,
    pub audit: Verdict,
    pub nodes: Vec<NodeReport>,
    /// Of handovers with both machines alive: planned ones and reclaims.
    pub polite: Percentiles,
    pub seconds: f64,
    pub failures: Vec<String>,
    /// "pass" or "fail".
    pub verdict: String,
}

impl Report {
    /// `failures`: what went wrong before anything could be judged.
    pub fn judge(
        mut failures: Vec<String>,
        handovers: Vec<HandoverRecord>,
        transfers: TransferCounts,
        audit: Verdict,
        nodes: Vec<NodeReport>,
        seconds: f64,
    ) -> Self {
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
        expect(transfers.open == 0, format!("{} transfers not finalized in time", transfers.open));
        expect(transfers.failed == 0, format!("{} transfers failed", transfers.failed));
        expect(transfers.finalized > 0, "no transfer was finalized".into());
        expect(
            handovers.len() >= HANDOVERS_MIN,
            format!("{} handovers instead of at least {HANDOVERS_MIN}", handovers.len()),
        );
        for silent in handovers.iter().filter(|handover| handover.first_vote_ms.is_none()) {
            expect(false, format!("{}: the new owner, the {}, never voted", silent.kind, silent.to));
        }
        let verdict = if failures.is_empty() { "pass" } else { "fail" }.to_owned();
        let polite = Percentiles::of(&handovers);
        Self { handovers, transfers, audit, nodes, polite, seconds, failures, verdict }
    }

    /// Of a demonstration that did not get as far as its first transfer.
    pub fn of_failure(failure: &Failure, seconds: f64) -> Self {
        let nothing = (Vec::new(), TransferCounts::default(), Verdict::default(), Vec::new());
        let (handovers, transfers, audit, nodes) = nothing;
        Self {
            handovers,
            transfers,
            audit,
            nodes,
            polite: Percentiles::default(),
            seconds,
            failures: vec![failure.to_string()],
            verdict: "fail".to_owned(),
        }
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
            "{:<46} {:>9} {:>13} {:>7} {:>13} {:>5}  votes and blocks before/after",
            "handover", "ms", "first vote ms", "missed", "leader missed", "term"
        ));
        for handover in &self.handovers {
            line(format!(
                "{:<46} {:>9.1} {:>13} {:>7} {:>13} {:>5}  {}/{} votes, {}/{} blocks",
                format!("{} ({} -> {})", handover.kind, handover.from, handover.to),
                handover.ms,
                handover.first_vote_ms.map_or("never".into(), |ms| format!("{ms:.1}")),
                handover.slots_missed,
                handover.leader_slots_missed,
                handover.term,
                handover.votes_before,
                handover.votes_after,
                handover.blocks_before,
                handover.blocks_after,
            ));
            let command = handover.command_ms.map(|ms| format!("the whole command {ms:.1}"));
            let phases = handover.phases_ms.iter().map(|(phase, ms)| format!("{phase} {ms:.1}")).chain(command);
            line(format!("    {}", phases.collect::<Vec<_>>().join(", ")));
        }
        line(format!(
            "transfers: {} sent, {} confirmed, {} finalized, {} failed, {} lost, {} open; {} refused at the door",
            self.transfers.sent,
            self.transfers.confirmed,
            self.transfers.finalized,
            self.transfers.failed,
            self.transfers.lost,
            self.transfers.open,
            self.transfers.refused
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
            let path = &node.vote_path;
            line(format!(
                "{:<10} bank frozen -> vote on the wire, {} votes: own work p50 {} us, p99 {} us; store's commit p50 {} us, p99 {} us",
                "", path.votes, path.own_p50_us, path.own_p99_us, path.record_p50_us, path.record_p99_us
            ));
        }
        let polite = &self.polite;
        line(format!(
            "{} handovers with both alive: p50 {:.1} ms, p99 {:.1} ms; first vote p50 {:.1} ms, p99 {:.1} ms; {} slots missed",
            polite.count,
            polite.p50_ms,
            polite.p99_ms,
            polite.first_vote_p50_ms,
            polite.first_vote_p99_ms,
            polite.slots_missed
        ));
        for failure in &self.failures {
            line(format!("FAILED: {failure}"));
        }
        line(format!("verdict: {} after {:.0} s", self.verdict, self.seconds));
        text
    }
}

/// Planned, reclaim after restart, after kill -9, after SIGSTOP.
const HANDOVERS_MIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn handover(first_vote_ms: Option<f64>) -> HandoverRecord {
        HandoverRecord {
            kind: "planned".into(),
            from: "primary".into(),
            to: "secondary".into(),
            ms: 20.5,
            first_vote_ms,
            command_ms: Some(30.0),
            phases_ms: BTreeMap::from([("claim".to_owned(), 2.0)]),
            slots_missed: 0,
            leader_slots_missed: 0,
            term: 2,
            votes_before: 10,
            votes_after: 11,
            blocks_before: 1,
            blocks_after: 0,
        }
    }

    fn judged(change: impl FnOnce(&mut TransferCounts, &mut Verdict, &mut Vec<HandoverRecord>)) -> Report {
        let mut transfers = TransferCounts { sent: 5, confirmed: 5, finalized: 5, ..TransferCounts::default() };
        let mut audit = Verdict { votes_checked: 9, shreds_checked: 9, ..Verdict::default() };
        let mut handovers = vec![handover(Some(400.0)); 4];
        change(&mut transfers, &mut audit, &mut handovers);
        Report::judge(Vec::new(), handovers, transfers, audit, Vec::new(), 1.0)
    }

    #[test]
    fn each_thing_that_must_not_be_fails_the_verdict() {
        assert!(judged(|_, _, _| {}).passed());
        for (report, reason) in [
            (judged(|_, audit, _| audit.conflicting_votes = 1), "1 conflicting votes"),
            (judged(|_, audit, _| audit.lockout_violations = 1), "1 lockout violations"),
            (judged(|_, audit, _| audit.duplicate_blocks = 1), "1 duplicate blocks"),
            (judged(|_, audit, _| audit.unreadable = 1), "unreadable"),
            (judged(|_, audit, _| audit.votes_checked = 0), "no vote"),
            (judged(|_, audit, _| audit.shreds_checked = 0), "no shred"),
            (judged(|transfers, _, _| transfers.lost = 1), "1 transfers lost"),
            (judged(|transfers, _, _| transfers.open = 1), "1 transfers not finalized"),
            (judged(|transfers, _, _| transfers.failed = 1), "1 transfers failed"),
            (judged(|transfers, _, _| transfers.finalized = 0), "no transfer was finalized"),
            (judged(|_, _, handovers| handovers.truncate(3)), "3 handovers"),
            (judged(|_, _, handovers| handovers[1] = handover(None)), "never voted"),
        ] {
            assert_eq!((report.passed(), report.verdict.as_str()), (false, "fail"));
            assert!(report.failures[0].contains(reason), "{:?}", report.failures);
            assert!(report.text().contains("verdict: fail"));
        }
    }

    /// Programs read it: the names that the issue fixed.
    #[test]
    fn the_json_has_the_agreed_fields() {
        let json = serde_json::to_value(judged(|_, _, _| {})).expect("plain data");
        let has = |value: &serde_json::Value, names: &[&str]| {
            names.iter().for_each(|name| assert!(!value[name].is_null(), "{name} is missing in {value}"));
        };
        has(&json, &["handovers", "transfers", "audit", "nodes", "verdict"]);
        let handover = ["kind", "ms", "first_vote_ms", "phases_ms", "slots_missed", "leader_slots_missed", "term"];
        has(&json["handovers"][0], &handover);
        has(&json["transfers"], &["sent", "confirmed", "finalized", "lost"]);
        let audit = ["votes_checked", "shreds_checked", "conflicting_votes", "lockout_violations", "duplicate_blocks"];
        has(&json["audit"], &audit);
        let failed = Report::of_failure(&Failure::failed("no etcd"), 1.0);
        assert_eq!(serde_json::to_value(failed).expect("plain data")["verdict"], "fail");
    }
}
