//! How long a takeover took, phase by phase, on this machine's own clock.

use {
    crate::status::HandoverReport,
    std::{collections::BTreeMap, time::Instant},
    tandem_env::unix_nanos,
    tandem_types::Pubkey,
};

#[derive(Default)]
pub struct Stopwatch {
    started: Option<(Instant, u64)>,
    mark: Option<Instant>,
    claimed_unix_nanos: Option<u64>,
    phases: BTreeMap<String, f64>,
}

impl Stopwatch {
    pub fn begin(&mut self) {
        let now = Instant::now();
        self.started = Some((now, unix_nanos()));
        self.mark = Some(now);
        self.phases.clear();
        self.claimed_unix_nanos = None;
    }

    pub fn claimed(&mut self) {
        self.claimed_unix_nanos = Some(unix_nanos());
    }

    /// Ends a phase. A takeover that began by itself begins with its first phase.
    pub fn mark(&mut self, phase: &str) {
        if self.started.is_none() {
            self.begin();
        }
        let now = Instant::now();
        if let Some(mark) = self.mark.replace(now) {
            *self.phases.entry(phase.to_owned()).or_default() += millis(now - mark);
        }
    }

    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What the machine said of the takeover, with the times of this watch.
    pub fn report(&self, report: &tandem_role::event::HandoverReport, identity: Pubkey) -> HandoverReport {
        let (ms, requested_unix_nanos) = match self.started {
            Some((started, unix_nanos)) => (millis(started.elapsed()), unix_nanos),
            None => (0.0, unix_nanos()),
        };
        HandoverReport {
            role: report.role.to_string(),
            last_vote_slot: report.last_vote_slot,
            slots_missed: report.slots_missed,
            identity: identity.to_string(),
            term: Some(report.term.0),
            requested_unix_nanos,
            claimed_unix_nanos: self.claimed_unix_nanos,
            ms,
            phases_ms: self.phases.clone(),
        }
    }
}

fn millis(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}
