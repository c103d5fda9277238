//! Metrics as Prometheus reads them.
//! Owns: the text of `GET /metrics`.   Never knows: what is measured, and nothing in layers 0 to 2 knows it.
//! In: named figures.  Out: OpenMetrics text.
//! Read first: this file.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::ConstCounter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Figures of one moment, under one prefix.
pub struct Page {
    registry: Registry,
}

impl Page {
    pub fn new(prefix: &str) -> Self {
        Self { registry: Registry::with_prefix(prefix) }
    }

    /// Something that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: i64) {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        self.registry.register(name, help, gauge);
    }

    /// Something that only grows while the process lives.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.registry.register(name, help, ConstCounter::new(value));
    }

    /// One of several states, as Prometheus has them: a series for each label, 1 for the present one.
    pub fn state(&mut self, name: &str, help: &str, states: &[&str], present: &str) {
        let family = Family::<Vec<(String, String)>, Gauge>::default();
        for state in states {
            let label = vec![("state".to_owned(), (*state).to_owned())];
            family.get_or_create(&label).set(i64::from(*state == present));
        }
        self.registry.register(name, help, family);
    }

    /// The whole page; it ends as OpenMetrics wants it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Formatting into a String fails only if a metric's own encoding does; an empty page is valid.
            Err(_) => "# EOF\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn a_page_reads_as_openmetrics() {
        let mut page = Page::new("tandem");
        page.gauge("root_slot", "Our root", 7);
        page.counter("votes_released", "Votes sent", 3);
        page.state("role", "What this node is", &["STANDBY", "ACTIVE"], "ACTIVE");
        let text = page.text();
        for line in [
            "tandem_root_slot 7",
            "tandem_votes_released_total 3",
            "tandem_role{state=\"ACTIVE\"} 1",
            "tandem_role{state=\"STANDBY\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }
}
