//! The report of many handovers: what must hold, what is printed, and the JSON.

use {
    super::{load::TransferCounts, report::HandoverRecord, sampler::NodeReport},
    crate::exit::Failure,
    serde::Serialize,
    std::{collections::BTreeMap, fmt::Write},
    tandem_witness::Verdict,
};

/// One handover, as far as it is not in its `HandoverRecord`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Turn {
    /// "planned", "unasked" (the owner was not asked to let go), "stopped" (it was paused before and woken up after).
    pub kind: String,
    /// The whole command, its start included.
    pub command_ms: f64,
    /// When the claim was known to be durable, and when the old owner's keys were locked.
    pub claimed_unix_nanos: Option<u64>,
    pub locked_unix_nanos: Option<u64>,
    /// When a stopped owner was woken up.
    pub woken_unix_nanos: Option<u64>,
}

impl Turn {
    /// How long the old owner's keys stayed unlocked after the claim was known to be durable (or, paused meanwhile, after
    /// it woke up); 0 when its watch was faster than the claim's answer. None for one that was asked, and let go before.
    fn demotion_ms(&self) -> Option<f64> {
        let lost = self.claimed_unix_nanos?.max(self.woken_unix_nanos.unwrap_or_default());
        let locked = self.locked_unix_nanos?;
        (self.kind != PLANNED).then(|| locked.saturating_sub(lost) as f64 / 1e6)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// So many handovers were done.
    pub after: u32,
    /// Resident megabytes by node.
    pub rss_mb: BTreeMap<String, u64>,
}

/// What old owners released after they had lost the identity.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct AfterLoss {
    pub votes: u64,
    /// Of these, votes that the new owner cannot have known: there must be none.
    pub votes_past_the_tower: u64,
    /// Of the slot that was in production.
    pub shreds: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(rank).copied().unwrap_or_default()
        };
        Self { count: values.len(), p50: at(50), p99: at(99), max: at(100) }
    }

    fn text(&self) -> String {
        format!("p50 {:.1}, p99 {:.1}, max {:.1} ms ({})", self.p50, self.p99, self.max, self.count)
    }
}

/// Of the handovers of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KindReport {
    /// Until the new owner may vote and lead; until its first vote was released; the operator's whole command.
    pub ms: Spread,
    pub first_vote_ms: Spread,
    pub command_ms: Spread,
    pub phases_ms: BTreeMap<String, Spread>,
    pub demotion_ms: Spread,
    /// Blocks around the handovers that the identity never voted for, and its leader slots there without a block.
    pub slots_missed: u64,
    pub leader_slots_missed: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ShuttleReport {
    pub asked_for: u32,
    pub kinds: BTreeMap<String, KindReport>,
    /// The whole run: blocks of the chain, and those the identity never voted for.
    pub blocks: u64,
    pub blocks_without_vote: u64,
    pub after_loss: AfterLoss,
    pub transfers: TransferCounts,
    pub audit: Verdict,
    pub nodes: Vec<NodeReport>,
    pub memory: Vec<Memory>,
    /// What the rule for the memory's growth is, in words.
    pub memory_bound: String,
    pub seconds: f64,
    pub failures: Vec<String>,
    /// "pass" or "fail".
    pub verdict: String,
    pub handovers: Vec<HandoverRecord>,
    pub turns: Vec<Turn>,
}

/// A node may use this much more at the end than after the first tenth of the handovers (when caches have their size).
const GROWTH_PERCENT_MAX: u64 = 25;
const GROWTH_MB_MAX: u64 = 64;
/// The kinds of handovers: see `Turn::kind`.
pub const PLANNED: &str = "planned";
pub const UNASKED: &str = "unasked";
pub const STOPPED: &str = "stopped";
/// How many of the slowest handovers are printed.
const SLOWEST: usize = 8;

impl ShuttleReport {
    /// Of a run that did not get as far as its first transfer.
    pub fn of_failure(failure: &Failure, seconds: f64) -> Self {
        let failures = vec![failure.to_string()];
        Self { failures, seconds, verdict: "fail".to_owned(), ..Self::default() }
    }

    /// Adds to `failures` whatever must not be, and derives the rest from what was measured.
    pub fn judge(&mut self) {
        self.memory_bound = format!(
            "resident memory of each node at the end at most {GROWTH_PERCENT_MAX} % and {GROWTH_MB_MAX} MB above that after a tenth of the handovers"
        );
        self.summarize();
        let (audit, transfers, lost) = (&self.audit, &self.transfers, &self.after_loss);
        let mut failures: Vec<String> = [
            (audit.conflicting_votes > 0, format!("{} conflicting votes", audit.conflicting_votes)),
            (audit.lockout_violations > 0, format!("{} lockout violations", audit.lockout_violations)),
            (audit.duplicate_blocks > 0, format!("{} duplicate blocks", audit.duplicate_blocks)),
            (audit.unreadable > 0, format!("{} unreadable records", audit.unreadable)),
            (audit.votes_checked == 0, "the audit saw no vote".to_owned()),
            (audit.shreds_checked == 0, "the audit saw no shred".to_owned()),
            (
                lost.votes_past_the_tower > 0,
                format!("{} votes of an owner after it had lost the identity", lost.votes_past_the_tower),
            ),
            (transfers.lost > 0, format!("{} transfers lost", transfers.lost)),
            (transfers.open > 0, format!("{} transfers not finalized in time", transfers.open)),
            (transfers.failed > 0, format!("{} transfers failed", transfers.failed)),
            (transfers.finalized == 0, "no transfer was finalized".to_owned()),
            (
                self.turns.len() != self.asked_for as usize,
                format!("{} handovers instead of {}", self.turns.len(), self.asked_for),
            ),
        ]
        .into_iter()
        .filter_map(|(is_bad, what)| is_bad.then_some(what))
        .collect();
        let silent = self.handovers.iter().filter(|handover| handover.first_vote_ms.is_none());
        failures.extend(silent.map(|silent| format!("term {}: the new owner never voted", silent.term)));
        failures.extend(self.grown());
        self.failures.extend(failures);
        self.verdict = if self.failures.is_empty() { "pass" } else { "fail" }.to_owned();
    }

    fn summarize(&mut self) {
        let kinds: std::collections::BTreeSet<&String> = self.turns.iter().map(|turn| &turn.kind).collect();
        let report = |kind: &String| {
            let records = || self.handovers.iter().filter(|handover| handover.kind == *kind);
            let turns = || self.turns.iter().filter(|turn| turn.kind == *kind);
            let mut phases: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for (phase, ms) in records().flat_map(|record| &record.phases_ms) {
                phases.entry(phase.clone()).or_default().push(*ms);
            }
            KindReport {
                ms: Spread::of(records().map(|record| record.ms)),
                first_vote_ms: Spread::of(records().filter_map(|record| record.first_vote_ms)),
                command_ms: Spread::of(turns().map(|turn| turn.command_ms)),
                phases_ms: phases.into_iter().map(|(phase, ms)| (phase, Spread::of(ms.into_iter()))).collect(),
                demotion_ms: Spread::of(turns().filter_map(Turn::demotion_ms)),
                slots_missed: records().map(|record| record.slots_missed).sum(),
                leader_slots_missed: records().map(|record| record.leader_slots_missed).sum(),
            }
        };
        self.kinds = kinds.into_iter().map(|kind| (kind.clone(), report(kind))).collect();
    }

    /// Nodes that use more than they may.
    fn grown(&self) -> Vec<String> {
        let warm = self.memory.iter().find(|memory| memory.after * 10 >= self.asked_for && memory.after > 0);
        let (Some(warm), Some(end)) = (warm, self.memory.last()) else { return Vec::new() };
        let allowed = |mb: u64| mb + mb * GROWTH_PERCENT_MAX / 100 + GROWTH_MB_MAX;
        warm.rss_mb
            .iter()
            .filter_map(|(node, before)| Some((node, *before, *end.rss_mb.get(node)?)))
            .filter(|(_, before, after)| *after > allowed(*before))
            .map(|(node, before, after)| {
                format!("{node} grew from {before} MB after {} handovers to {after} MB", warm.after)
            })
            .collect()
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        for (kind, report) in &self.kinds {
            line(format!("{kind}: {}", report.ms.text()));
            line(format!("    first vote     {}", report.first_vote_ms.text()));
            line(format!("    whole command  {}", report.command_ms.text()));
            for (phase, spread) in &report.phases_ms {
                line(format!("    phase {phase:<8} {}", spread.text()));
            }
            if report.demotion_ms.count > 0 {
                line(format!("    old owner locked after the loss {}", report.demotion_ms.text()));
            }
            line(format!(
                "    {} slots missed, {} leader slots missed",
                report.slots_missed, report.leader_slots_missed
            ));
        }
        let mut slowest: Vec<&HandoverRecord> =
            self.handovers.iter().filter(|handover| handover.kind != STOPPED).collect();
        slowest.sort_by(|one, two| two.ms.total_cmp(&one.ms));
        for handover in slowest.iter().take(SLOWEST) {
            let phases: Vec<String> = handover.phases_ms.iter().map(|(phase, ms)| format!("{phase} {ms:.1}")).collect();
            line(format!(
                "slow: term {} to the {} {:.1} ms: {}",
                handover.term,
                handover.to,
                handover.ms,
                phases.join(", ")
            ));
        }
        line(format!(
            "votes: {} of {} blocks without a vote of the identity; released after the loss: {} votes ({} past the tower), {} shreds",
            self.blocks_without_vote,
            self.blocks,
            self.after_loss.votes,
            self.after_loss.votes_past_the_tower,
            self.after_loss.shreds
        ));
        let transfers = &self.transfers;
        line(format!(
            "transfers: {} sent, {} confirmed, {} finalized, {} failed, {} lost, {} open; {} refused at the door",
            transfers.sent,
            transfers.confirmed,
            transfers.finalized,
            transfers.failed,
            transfers.lost,
            transfers.open,
            transfers.refused
        ));
        line(format!(
            "audit: {} votes and {} shreds checked: {} conflicting votes, {} lockout violations, {} duplicate blocks",
            self.audit.votes_checked,
            self.audit.shreds_checked,
            self.audit.conflicting_votes,
            self.audit.lockout_violations,
            self.audit.duplicate_blocks
        ));
        self.audit.findings.iter().for_each(|finding| line(format!("    {finding}")));
        for memory in &self.memory {
            let nodes: Vec<String> = memory.rss_mb.iter().map(|(node, mb)| format!("{node} {mb} MB")).collect();
            line(format!("memory after {:>5}: {}", memory.after, nodes.join(", ")));
        }
        line(format!("allowed: {}", self.memory_bound));
        for node in &self.nodes {
            line(format!(
                "{:<10} p99 {} (max {}) slots behind the tip, {:.1} % of a core",
                node.name, node.p99_slots_behind, node.max_slots_behind, node.cpu_percent
            ));
        }
        self.failures.iter().for_each(|failure| line(format!("FAILED: {failure}")));
        line(format!("verdict: {}, {} handovers, {:.0} s", self.verdict, self.turns.len(), self.seconds));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(term: u64, ms: f64) -> HandoverRecord {
        HandoverRecord {
            kind: "planned".into(),
            from: "primary".into(),
            to: "secondary".into(),
            ms,
            first_vote_ms: Some(ms + 300.0),
            command_ms: Some(ms + 20.0),
            phases_ms: BTreeMap::from([("claim".to_owned(), 2.0)]),
            slots_missed: 0,
            leader_slots_missed: 0,
            term,
            votes_before: 1,
            votes_after: 1,
            blocks_before: 0,
            blocks_after: 0,
        }
    }

    fn memory(after: u32, mb: u64) -> Memory {
        Memory { after, rss_mb: BTreeMap::from([("primary".to_owned(), mb)]) }
    }

    fn judged(change: impl FnOnce(&mut ShuttleReport)) -> ShuttleReport {
        let turn = |term: u64| Turn {
            kind: "planned".into(),
            command_ms: 40.0,
            claimed_unix_nanos: Some(term * 1_000_000_000),
            locked_unix_nanos: Some(term * 1_000_000_000 - 5),
            woken_unix_nanos: None,
        };
        let mut report = ShuttleReport {
            asked_for: 100,
            handovers: (1..=100).map(|term| record(term, term as f64)).collect(),
            turns: (1..=100).map(turn).collect(),
            transfers: TransferCounts { sent: 5, confirmed: 5, finalized: 5, ..TransferCounts::default() },
            audit: Verdict { votes_checked: 9, shreds_checked: 9, ..Verdict::default() },
            memory: vec![memory(0, 100), memory(10, 200), memory(20, 210), memory(100, 220)],
            ..ShuttleReport::default()
        };
        change(&mut report);
        report.judge();
        report
    }

    #[test]
    fn each_thing_that_must_not_be_fails_the_verdict() {
        let good = judged(|_| {});
        assert_eq!((good.failures.as_slice(), good.verdict.as_str()), (&[][..], "pass"));
        for (report, reason) in [
            (judged(|report| report.audit.conflicting_votes = 1), "1 conflicting votes"),
            (judged(|report| report.audit.lockout_violations = 1), "1 lockout violations"),
            (judged(|report| report.audit.duplicate_blocks = 1), "1 duplicate blocks"),
            (judged(|report| report.audit.unreadable = 1), "unreadable"),
            (judged(|report| report.audit.votes_checked = 0), "no vote"),
            (judged(|report| report.audit.shreds_checked = 0), "no shred"),
            (judged(|report| report.after_loss.votes_past_the_tower = 1), "1 votes of an owner"),
            (judged(|report| report.transfers.lost = 1), "1 transfers lost"),
            (judged(|report| report.transfers.open = 1), "1 transfers not finalized"),
            (judged(|report| report.transfers.failed = 1), "1 transfers failed"),
            (judged(|report| report.transfers.finalized = 0), "no transfer was finalized"),
            (judged(|report| report.turns.truncate(99)), "99 handovers instead of 100"),
            (judged(|report| report.handovers[7].first_vote_ms = None), "term 8: the new owner never voted"),
            (judged(|report| report.memory.push(memory(100, 400))), "primary grew from 200 MB"),
        ] {
            assert_eq!(report.verdict, "fail");
            assert!(report.failures[0].contains(reason), "{:?}", report.failures);
            assert!(report.text().contains("verdict: fail"));
        }
    }

    #[test]
    fn spreads_and_the_time_to_lock() {
        let report = judged(|report| {
            report.turns[2].kind = UNASKED.into();
            report.turns[3].kind = UNASKED.into();
            report.turns[4].kind = UNASKED.into();
            report.turns[3].locked_unix_nanos = Some(4_000_000_000 + 7_000_000);
            report.turns[4].locked_unix_nanos = Some(9_000_000_000);
            report.turns[4].woken_unix_nanos = Some(8_950_000_000);
        });
        let planned = &report.kinds["planned"];
        assert_eq!((planned.ms.p50, planned.ms.p99, planned.ms.max), (50.0, 99.0, 100.0));
        assert_eq!(planned.demotion_ms.count, 0, "who let go when it was asked has lost nothing");
        let locked = report.kinds["unasked"].demotion_ms;
        assert_eq!((locked.count, locked.p50, locked.max), (3, 7.0, 50.0), "one had seen it before the claimant knew");
        assert_eq!(Spread::of(std::iter::empty()), Spread::default());
        assert!(report.text().contains("slow: term 100 to the secondary 100.0 ms: claim 2.0"), "{}", report.text());
    }
}
