//! What the watchdog thinks, in words for `failover status`.

use {
    super::{Standing, Watchdog},
    std::time::Duration,
    tandem_types::{Term, Tick},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Claim over the owner of this term.
    Promote(Term),
    /// This node is the owner, or on its way to or from it.
    NotStandingBy,
    Held,
    /// `set-identity` would be refused too.
    NotAble,
    StoreSilent,
    HoldDown,
    NoOwner,
    OwnerSpeaks,
    VotesLand,
    BudgetSpent,
    Tried,
}

impl Watchdog {
    /// The two signals in numbers, for the log of a promotion.
    pub fn evidence(&self, now: Tick) -> String {
        let ms = |span: Option<Duration>| span.map_or("-".to_owned(), |span| span.as_millis().to_string());
        format!(
            "nothing from it in the store for {} ms, newest vote {} at tip {} for {} ms",
            ms(self.silent_for()),
            self.newest_vote.map_or("none".to_owned(), |slot| slot.to_string()),
            self.tip,
            ms(self.missing_since.map(|since| now - since)),
        )
    }

    /// "would promote" or "would not promote, because …".
    pub fn explain(&self, now: Tick, standing: &Standing) -> String {
        let because = match self.verdict(now, standing) {
            Verdict::Promote(term) => return format!("would promote now: the owner of term {term} is dead"),
            Verdict::NotStandingBy => "this node is not standing by".to_owned(),
            Verdict::Held => "`failover hold` is on".to_owned(),
            Verdict::NotAble => standing.objection.clone().unwrap_or_default(),
            Verdict::StoreSilent => "the store does not answer this node".to_owned(),
            Verdict::HoldDown => {
                format!("{} s of hold-down are left", (self.quiet_until - now).as_secs_f64().ceil())
            }
            Verdict::NoOwner => "the identity has no owner, or was given back: that is for an operator".to_owned(),
            Verdict::OwnerSpeaks => "the owner speaks".to_owned(),
            Verdict::VotesLand => "the owner is silent in the store, but its votes are as new as the chain".to_owned(),
            Verdict::BudgetSpent => {
                format!("it has promoted itself {} times within an hour already", self.config.promotions_per_hour_max)
            }
            Verdict::Tried => format!("it has just tried, and will again after {}", seconds(self.config.retry_after)),
        };
        format!("would not promote: {because}")
    }
}

fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}
