//! Records that inform and never decide: who is alive, who stands by, whether automatic failover is held. Whoever
//! loses or forges them can cost liveness, never safety.

use {
    crate::records::Record,
    serde::{Deserialize, Serialize},
    tandem_types::{Slot, Term, UnixMillis},
};

/// The owner's sign of life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BeatRecord {
    pub term: Term,
    pub beat: u64,
    #[serde(default)]
    pub tip: Slot,
    /// It signs, or is on its way to it. One that has claimed and still cannot vote after a while is there, and counts for nothing.
    #[serde(default = "yes")]
    pub may_vote: bool,
    /// It sees blocks become final: with its votes, since it owns the identity.
    #[serde(default)]
    pub finalizes: bool,
    /// Wall clock of the owner; only for people.
    #[serde(default)]
    pub at: UnixMillis,
}

/// What a beat of the first version meant.
fn yes() -> bool {
    true
}

/// `failover hold`: no standby promotes itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldRecord {
    pub on: bool,
    pub by: String,
    pub reason: String,
    pub at: UnixMillis,
    /// Off by itself from then on, by the wall clock of whoever asks.
    #[serde(default)]
    pub until: Option<UnixMillis>,
    /// How many times the hold was changed; numbers the audit entries.
    #[serde(default)]
    pub count: u64,
}

impl HoldRecord {
    pub fn holds(&self, now: UnixMillis) -> bool {
        self.on && self.until.is_none_or(|until| now < until)
    }

    /// Of a record that cannot be read: somebody wanted to say something, and doing nothing is the safe reading.
    pub fn unreadable() -> Self {
        let reason = "the hold record in the store cannot be read".to_owned();
        Self { on: true, by: String::new(), reason, at: UnixMillis(0), until: None, count: 0 }
    }
}

/// One line of the audit that is not a change of owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoteRecord {
    pub at: UnixMillis,
    pub by: String,
    pub what: String,
}

/// A machine that has the store open, by its own word, on a lease.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PresenceRecord {
    pub host: String,
    pub version: String,
    pub role: String,
    pub identity: String,
    pub tip: Slot,
    pub caught_up: bool,
    /// What its watchdog says; nothing when automatic failover is off there.
    #[serde(default)]
    pub auto: Option<String>,
    /// Wall clock of that machine; only for people.
    pub at: UnixMillis,
}

impl Record for BeatRecord {
    const KIND: &'static str = "alive";
}
impl Record for HoldRecord {
    const KIND: &'static str = "hold";
}
impl Record for NoteRecord {
    const KIND: &'static str = "note";
}
impl Record for PresenceRecord {
    const KIND: &'static str = "machine";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_by_itself_or_by_hand() {
        let hold = |on, until| HoldRecord { on, until, ..HoldRecord::unreadable() };
        let now = UnixMillis(100);
        assert!(hold(true, None).holds(now) && hold(true, Some(UnixMillis(101))).holds(now));
        assert!(!hold(true, Some(now)).holds(now) && !hold(false, None).holds(now));
        assert!(HoldRecord::unreadable().holds(now));
    }
}
