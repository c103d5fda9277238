//! The table of a run, and its JSON.

use {
    super::{lab::Audit, round::Round, scenarios::Scenario},
    serde::Serialize,
    std::fmt::Write,
};

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub scenario: &'static str,
    pub what: &'static str,
    /// What the design promises for this case, in milliseconds or words.
    pub target: &'static str,
    pub rounds: u32,
    /// Nothing contradicted itself, in the release logs and on the wire.
    pub safe: bool,
    /// The wire was captured and judged too, in each round.
    pub wire: bool,
    /// Of the identity, seen on the wire.
    pub wire_votes: u64,
    pub wire_shreds: u64,
    /// Rounds in which what is promised came to pass.
    pub live: u32,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub first_vote_p50_ms: f64,
    pub first_vote_p99_ms: f64,
    pub slots_missed: u64,
    pub votes_checked: u64,
    pub shreds_checked: u64,
    pub failures: Vec<String>,
    pub skipped: Option<String>,
}

impl Row {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            scenario: scenario.name,
            what: scenario.what,
            target: scenario.target,
            rounds: 0,
            safe: true,
            wire: true,
            wire_votes: 0,
            wire_shreds: 0,
            live: 0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            first_vote_p50_ms: 0.0,
            first_vote_p99_ms: 0.0,
            slots_missed: 0,
            votes_checked: 0,
            shreds_checked: 0,
            failures: Vec::new(),
            skipped: None,
        }
    }

    pub fn judge(&mut self, audit: &Audit) {
        let verdict = &audit.verdict;
        let (votes, shreds) = audit.wire.unwrap_or_default();
        // A capture without the pair in it has shown nothing.
        self.wire &= votes > 0;
        self.wire_votes += votes;
        self.wire_shreds += shreds;
        self.votes_checked = verdict.votes_checked;
        self.shreds_checked = verdict.shreds_checked;
        // It may not have led yet, but it has voted.
        if verdict.votes_checked == 0 {
            self.safe = false;
            self.failures.push("the audit saw no vote".to_owned());
        }
        for verdict in [Some(verdict), audit.voter.as_ref()].into_iter().flatten().filter(|verdict| !verdict.clean()) {
            self.safe = false;
            self.failures.extend(verdict.findings.iter().map(ToString::to_string));
            if verdict.unreadable > 0 {
                self.failures.push(format!("{} records that cannot be read", verdict.unreadable));
            }
        }
    }

    pub fn close(&mut self, rounds: &[Round]) {
        let at = |mut values: Vec<f64>, percent: usize| {
            values.sort_by(f64::total_cmp);
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(rank).map_or(0.0, |ms| (ms * 10.0).round() / 10.0)
        };
        let ms: Vec<f64> = rounds.iter().map(|round| round.ms).collect();
        let first: Vec<f64> = rounds.iter().filter_map(|round| round.first_vote_ms).collect();
        (self.p50_ms, self.p99_ms) = (at(ms.clone(), 50), at(ms, 99));
        (self.first_vote_p50_ms, self.first_vote_p99_ms) = (at(first.clone(), 50), at(first, 99));
        self.slots_missed = rounds.iter().map(|round| round.slots_missed).sum();
    }

    pub fn good(&self) -> bool {
        self.skipped.is_some() || (self.safe && self.live == self.rounds && self.rounds > 0)
    }
}

/// For people, as Markdown, so that it can be put into a page.
pub fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    line("| scenario | rounds | SAFE | LIVE | ms p50 / p99 | first vote ms p50 / p99 | slots missed | target |".into());
    line("|---|---|---|---|---|---|---|---|".into());
    for row in rows {
        if let Some(reason) = &row.skipped {
            line(format!("| {} | skipped: {reason} | | | | | | {} |", row.scenario, row.target));
            continue;
        }
        let safe = match (row.safe, row.wire) {
            (true, true) => "yes (logs, wire)",
            (true, false) => "yes (logs)",
            (false, _) => "NO",
        };
        line(format!(
            "| {} | {} | {safe} | {}/{} | {} / {} | {} / {} | {} | {} |",
            row.scenario,
            row.rounds,
            row.live,
            row.rounds,
            row.p50_ms,
            row.p99_ms,
            row.first_vote_p50_ms,
            row.first_vote_p99_ms,
            row.slots_missed,
            row.target
        ));
    }
    for row in rows {
        for failure in &row.failures {
            line(format!("FAILED {}: {failure}", row.scenario));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use {super::*, crate::dev::faults::scenarios::SCENARIOS, std::collections::HashSet, tandem_witness::Verdict};

    fn audited(change: impl FnOnce(&mut Verdict)) -> Row {
        let mut row = Row::new(&SCENARIOS[0]);
        (row.rounds, row.live) = (1, 1);
        let mut verdict = Verdict { votes_checked: 9, shreds_checked: 9, ..Verdict::default() };
        change(&mut verdict);
        row.judge(&Audit { verdict, voter: None, wire: Some((3, 0)) });
        row
    }

    #[test]
    fn a_row_is_good_only_when_safe_and_live_in_every_round() {
        assert!(audited(|_| {}).good());
        assert!(!audited(|verdict| verdict.conflicting_votes = 1).good());
        assert!(!audited(|verdict| verdict.lockout_violations = 1).good());
        assert!(!audited(|verdict| verdict.duplicate_blocks = 1).good());
        assert!(!audited(|verdict| verdict.unreadable = 1).good());
        assert!(!audited(|verdict| verdict.votes_checked = 0).good());
        let mut row = audited(|_| {});
        row.rounds = 2;
        assert!(!row.good(), "one round of two");
        assert!(!Row::new(&SCENARIOS[0]).good(), "never played");
    }

    #[test]
    fn the_table_says_what_was_not_safe() {
        let mut row = audited(|verdict| verdict.duplicate_blocks = 1);
        row.close(&[
            Round { ms: 2.0, first_vote_ms: Some(5.0), slots_missed: 1 },
            Round { ms: 1.0, ..Round::default() },
        ]);
        assert_eq!((row.p50_ms, row.p99_ms, row.first_vote_p99_ms, row.slots_missed), (1.0, 2.0, 5.0, 1));
        assert!(text(&[row]).contains("| NO | 1/1 | 1 / 2 |"));
        let mut skipped = Row::new(&SCENARIOS[1]);
        skipped.skipped = Some("no root".into());
        assert!(skipped.good() && text(&[skipped]).contains("skipped: no root"));
    }

    #[test]
    fn a_wire_on_which_nothing_of_the_pair_was_seen_is_not_claimed() {
        let mut row = audited(|_| {});
        assert!(row.wire);
        row.judge(&Audit {
            verdict: Verdict { votes_checked: 9, ..Verdict::default() },
            voter: None,
            wire: Some((0, 0)),
        });
        assert!(!row.wire && text(&[row]).contains("yes (logs)"));
    }

    #[test]
    fn names_are_different() {
        let names: HashSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        assert!(names.len() >= 24);
    }
}
