//! What the commands of `validator failover` print, as data: the admin socket carries it, `--output json` shows it.

use {
    serde::{Deserialize, Serialize},
    std::collections::BTreeMap,
    tandem_role::{
        hints::{HoldRecord, NoteRecord, PresenceRecord},
        machine::{Plan, Recovery},
        protocol::Pulse,
        records::{LogRecord, OwnerRecord},
    },
    tandem_tower_storage::{StoreSnapshot, StoredTower},
    tandem_types::{Pubkey, Slot, UnixMillis},
};

/// The pair as the store shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreReport {
    pub store: String,
    pub store_id: String,
    pub revision: u64,
    pub identity: String,
    pub owner: Option<OwnerRecord>,
    pub last_vote: Option<Slot>,
    pub watermark: Option<Slot>,
    /// Age of the owner's last beat by the two machines' wall clocks, and where it was.
    pub heartbeat_age_ms: Option<u64>,
    pub heartbeat_tip: Option<Slot>,
    pub held: bool,
    pub hold: Option<HoldRecord>,
    /// Every machine that has the store open, by its own word of the last seconds.
    pub machines: Vec<PresenceRecord>,
    /// A wish to take over that nobody has answered by another term yet.
    pub intent_to: Option<String>,
}

impl StoreReport {
    pub fn of(store: String, identity: Pubkey, snapshot: &StoreSnapshot, pulse: &Pulse, now: UnixMillis) -> Self {
        let owner = snapshot.owner.as_ref();
        let current = |term| owner.is_some_and(|owner| owner.term == term && !owner.released);
        let beat = pulse.beat.as_ref().filter(|beat| current(beat.value.term));
        let hold = pulse.hold.as_ref().map(|hold| hold.value.clone());
        Self {
            store,
            store_id: format!("{:016x}", snapshot.store_id),
            revision: snapshot.revision,
            identity: identity.to_string(),
            owner: owner.cloned(),
            last_vote: snapshot.tower.as_ref().and_then(StoredTower::last_slot),
            watermark: snapshot.window.map(|window| window.watermark),
            heartbeat_age_ms: beat.map(|beat| now.0.saturating_sub(beat.value.at.0)),
            heartbeat_tip: beat.map(|beat| beat.value.tip),
            held: hold.as_ref().is_some_and(|hold| hold.holds(now)),
            hold,
            machines: pulse.machines.clone(),
            intent_to: snapshot
                .intent
                .as_ref()
                .filter(|intent| current(intent.term_seen))
                .map(|intent| intent.to.clone()),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanReport {
    pub identity: String,
    pub would_succeed: bool,
    pub steps: Vec<Step>,
    pub refused: Vec<Refusal>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub what: String,
    pub at_most_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Exit status that `set-identity` would end with.
    pub status: u8,
    pub reason: String,
    pub remedy: String,
}

impl PlanReport {
    pub fn of(identity: Pubkey, plan: &Plan) -> Self {
        let refused = plan.refused.iter().map(|(kind, reason, remedy)| Refusal {
            status: kind.exit_status().code() as u8,
            reason: reason.clone(),
            remedy: (*remedy).to_owned(),
        });
        let steps = plan.steps.iter().map(|step| Step { what: step.what.clone(), at_most_ms: step.at_most_ms });
        Self {
            identity: identity.to_string(),
            would_succeed: plan.refused.is_empty(),
            steps: steps.collect(),
            refused: refused.collect(),
        }
    }
}

impl Step {
    pub fn note(what: &str) -> Self {
        Self { what: what.to_owned(), at_most_ms: None }
    }
}

/// The audit, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryReport {
    pub entries: Vec<HistoryEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub at_unix_ms: u64,
    pub host: String,
    /// Nothing for what is no change of owner.
    pub term: Option<u64>,
    pub what: String,
    pub previous_host: Option<String>,
    pub slot_at_claim: Option<Slot>,
    pub released_at_unix_ms: Option<u64>,
    pub last_vote_slot: Option<Slot>,
}

impl HistoryReport {
    pub fn of(terms: &[LogRecord], notes: &[NoteRecord]) -> Self {
        let terms = terms.iter().map(|log| HistoryEntry {
            at_unix_ms: log.claimed_at.0,
            host: log.host.clone(),
            term: Some(log.term.0),
            what: log.reason.clone(),
            previous_host: log.previous_host.clone(),
            slot_at_claim: Some(log.slot_at_claim),
            released_at_unix_ms: log.released_at.map(|at| at.0),
            last_vote_slot: log.last_vote_slot,
        });
        let notes = notes.iter().map(|note| HistoryEntry {
            at_unix_ms: note.at.0,
            host: note.by.clone(),
            term: None,
            what: note.what.clone(),
            previous_host: None,
            slot_at_claim: None,
            released_at_unix_ms: None,
            last_vote_slot: None,
        });
        let mut entries: Vec<HistoryEntry> = terms.chain(notes).collect();
        // Stable: terms stay in their order should a clock have been wrong by less than their distance.
        entries.sort_by_key(|entry| entry.at_unix_ms);
        Self { entries }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RehearsalReport {
    pub rounds: u32,
    /// A write of an owner that had been claimed over was refused, every time.
    pub fenced_every_time: bool,
    pub phases_ms: BTreeMap<String, Percentiles>,
    /// The other machines that have the store open, and what they are.
    pub peers: Vec<PresenceRecord>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// What stands in the way of signing, and where the newest votes are known from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RecoverReport {
    pub store: String,
    /// Nothing: the store can be read, and is not older than anything known.
    pub quarantined: Option<String>,
    pub store_last_vote: Option<Slot>,
    pub store_watermark: Option<Slot>,
    pub store_revision: Option<u64>,
    /// Of the running node; nothing of these when none runs.
    pub seen_in_store: Option<Slot>,
    pub chain_last_vote: Option<Slot>,
    pub gossip_last_vote: Option<Slot>,
    pub tip: Option<Slot>,
    pub safe_from: Option<Slot>,
    pub advice: Vec<String>,
}

impl RecoverReport {
    pub fn of_store(store: String, snapshot: &StoreSnapshot) -> Self {
        Self {
            store,
            store_last_vote: snapshot.tower.as_ref().and_then(StoredTower::last_slot),
            store_watermark: snapshot.window.map(|window| window.watermark),
            store_revision: Some(snapshot.revision),
            ..Self::default()
        }
    }

    pub fn of_failure(store: String, reason: &str) -> Self {
        Self { store, quarantined: Some(reason.to_owned()), ..Self::default() }
    }

    /// With what the node knew from elsewhere *before* the store was read: an owner that votes meanwhile is no contradiction.
    pub fn with(mut self, known: &Recovery) -> Self {
        self.seen_in_store = known.seen_in_store;
        self.chain_last_vote = known.chain;
        self.gossip_last_vote = known.gossip;
        self.tip = Some(known.tip);
        self.safe_from = known.safe_from;
        self.quarantined = self.quarantined.or(known.quarantine.clone());
        let newest = known.seen_in_store.max(known.chain).max(known.gossip);
        // As the role machine judges: a store that never had a tower is no older than anything.
        let older = |newest: &Slot| match self.store_last_vote {
            Some(vote) => vote < *newest,
            None => known.seen_in_store.is_some(),
        };
        if self.quarantined.is_none()
            && let Some(newest) = newest.filter(older)
        {
            let found = self.store_last_vote.map_or("no vote".to_owned(), |slot| format!("votes up to slot {slot}"));
            self.quarantined =
                Some(format!("the store has {found}, but slot {newest} was voted for: it is older than what is known"));
        }
        self
    }

    pub fn advise(mut self) -> Self {
        self.advice = match (&self.quarantined, self.safe_from) {
            (None, _) => vec!["nothing to recover: the store is as new as anything known".to_owned()],
            (Some(_), safe_from) => {
                let mut advice = vec![
                    "first choice: bring the newer store back (its members, or its newest data folder); if this is it, moved without \
                     a loss: `validator failover recover --accept-store` on each machine"
                        .to_owned(),
                    "if it is lost for good, let no machine vote meanwhile (a quarantined one does not)".to_owned(),
                ];
                if let Some(slot) = safe_from {
                    advice.push(format!(
                        "then wait until the cluster has passed slot {slot}: from there on no lockout of a vote that may be \
                         unknown binds this identity{}",
                        match self.tip {
                            Some(tip) if tip >= slot => " (it has)".to_owned(),
                            Some(tip) => format!(" (now at {tip}, {} slots to go)", slot - tip),
                            None => String::new(),
                        }
                    ));
                }
                advice.push(match self.safe_from {
                    Some(slot) => format!(
                        "then, on each machine, when it has caught up: `validator failover recover --accept-slot {slot}`; \
                         it forgets the old tower, and whoever is made active then takes the chain's"
                    ),
                    None => "no vote is known from anywhere on this node: run this on one that follows the chain".to_owned(),
                });
                advice
            }
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(store: Option<Slot>, known: Recovery) -> RecoverReport {
        RecoverReport { store_last_vote: store, ..RecoverReport::default() }.with(&known).advise()
    }

    #[test]
    fn a_store_is_older_than_what_is_known_or_it_is_not() {
        let chain =
            Recovery { chain: Some(50), gossip: Some(52), tip: 60, safe_from: Some(116), ..Recovery::default() };
        assert_eq!(judged(Some(52), chain.clone()).quarantined, None);
        let older = judged(Some(51), chain.clone());
        assert!(older.quarantined.is_some_and(|reason| reason.contains("up to slot 51, but slot 52")));
        let advice = older.advice.join("\n");
        assert!(advice.contains("56 slots to go") && advice.contains("recover --accept-slot 116"), "{advice}");
        assert_eq!(judged(None, chain.clone()).quarantined, None, "an identity that is new to this store");
        let doubted = Recovery { quarantine: Some("another id".into()), ..chain.clone() };
        assert_eq!(
            judged(Some(52), doubted).quarantined.as_deref(),
            Some("another id"),
            "what the node has seen counts"
        );
        let lost = Recovery { seen_in_store: Some(52), ..chain };
        assert!(judged(None, lost).quarantined.is_some(), "it had a tower before");
    }
}
