//! A budget that refills with time.

use tandem_types::Tick;

pub(crate) struct Tokens {
    per_second: u64,
    max: u64,
    left: u64,
    filled_at: Option<Tick>,
}

impl Tokens {
    /// Full at the start; saves up at most a second's worth.
    pub(crate) fn per_second(per_second: u64) -> Self {
        Self { per_second, max: per_second, left: per_second, filled_at: None }
    }

    pub(crate) fn left(&mut self, now: Tick) -> u64 {
        let since = now.since(*self.filled_at.get_or_insert(now));
        let gained = u64::try_from(since.as_nanos() * u128::from(self.per_second) / 1_000_000_000).unwrap_or(u64::MAX);
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(self.max);
            self.filled_at = Some(now);
        }
        self.left
    }

    pub(crate) fn take(&mut self, now: Tick, count: u64) -> bool {
        let enough = self.left(now) >= count;
        if enough {
            self.left -= count;
        }
        enough
    }

    pub(crate) fn give_back(&mut self, count: u64) {
        self.left = self.left.saturating_add(count).min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refills_with_time_and_no_further_than_full() {
        let mut tokens = Tokens::per_second(1000);
        let at = Tick::from_millis;
        assert!(tokens.take(at(5), 1000) && !tokens.take(at(5), 1));
        assert_eq!(tokens.left(at(105)), 100);
        assert!(!tokens.take(at(105), 101) && tokens.take(at(105), 60));
        tokens.give_back(10);
        assert_eq!(tokens.left(at(105)), 50);
        assert_eq!(tokens.left(at(1_000_000)), 1000);
        // Many small steps lose nothing.
        assert!(tokens.take(at(1_000_000), 1000));
        (1..=2000u64).for_each(|n| _ = tokens.left(Tick(1_000_000_000_000 + n * 500_000)));
        assert!(tokens.left(at(1_001_000)) >= 990);
    }
}
