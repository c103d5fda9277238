//! What a handover now would do, and what is known about the newest vote: looking only, nothing changes.

use {
    super::{Machine, RoleState, State, standby::Objection},
    crate::event::{Candidate, RefusedKind, StoreFacts},
    tandem_types::{Pubkey, Slot},
};

/// A handover that was thought through and not begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub steps: Vec<PlanStep>,
    /// Empty: it would go through, as far as can be told from here.
    pub refused: Vec<(RefusedKind, String, &'static str)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanStep {
    pub what: String,
    /// The most it may take, where there is a limit.
    pub at_most_ms: Option<u64>,
}

/// The newest vote of the identity by source, and from where on voting is safe whatever was voted before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The newest the store has ever shown to this process.
    pub seen_in_store: Option<Slot>,
    pub chain: Option<Slot>,
    pub gossip: Option<Slot>,
    pub tip: Slot,
    /// Why nothing is signed on the store's word, if so.
    pub quarantine: Option<String>,
    /// Nothing while nothing was ever voted.
    pub safe_from: Option<Slot>,
}

impl Recovery {
    /// Whether the votes of a store that cannot be trusted may be forgotten, given that a person says `slot`.
    pub fn accepts(&self, slot: Slot) -> Result<(), String> {
        let Some(safe_from) = self.safe_from else {
            return Err("no vote of this identity is known from anywhere: there is nothing to accept".into());
        };
        if self.chain.is_none() {
            return Err("this node knows no vote of the identity on chain: no tower could be made from it".into());
        }
        if slot < safe_from {
            return Err(format!("slot {slot} is before {safe_from}: a vote that is not known here may still bind it"));
        }
        if self.tip < slot {
            let left = slot - self.tip;
            return Err(format!("the chain is at slot {} only: {left} slots to go until {slot}", self.tip));
        }
        Ok(())
    }
}

impl Machine {
    /// What `set-identity` would refuse this node for without asking the store.
    pub fn objection_to_itself(&self, candidate: &Candidate) -> Option<String> {
        let Some(identity) = self.identity else {
            return Some("this node does not know the identity: it has no vote account of this cluster".into());
        };
        let objection = self.admissible(&identity, candidate).err().or_else(|| self.distrust())?;
        Some(format!("{}; {}", objection.reason, objection.remedy))
    }

    /// In STANDBY, with nothing under way.
    pub fn is_standing_by(&self) -> bool {
        matches!(self.state, State::Standby(None))
    }

    /// `identity`: the one to become.
    pub fn plan(&self, identity: &Pubkey, candidate: &Candidate, facts: &StoreFacts) -> Plan {
        let in_store = self.objection_in_store(facts, self.config.require_tower, self.newest_known_vote());
        let is_told = in_store.as_ref().is_some_and(|objection| objection.kind == RefusedKind::Quarantined);
        let refused = self
            .not_now()
            .into_iter()
            .chain(self.admissible(identity, candidate).err())
            .chain(self.distrust().filter(|_| !is_told))
            .chain(in_store)
            .map(|objection| (objection.kind, objection.reason, objection.remedy))
            .collect();
        Plan { steps: self.steps(facts), refused }
    }

    /// The store is not believed, whatever a fresh look at it shows.
    pub(super) fn distrust(&self) -> Option<Objection> {
        let reason = self.quarantine.clone()?;
        Some(Objection { kind: RefusedKind::Quarantined, reason, remedy: super::standby::RECOVER })
    }

    fn not_now(&self) -> Option<Objection> {
        let (kind, reason) = match (&self.state, self.role()) {
            (State::Standby(None), _) => return None,
            (State::Standby(Some(_)), _) => {
                (RefusedKind::Busy, "a takeover is under way on this node already".to_owned())
            }
            (_, RoleState::Active) => (RefusedKind::Busy, "this node is ACTIVE: it owns the identity already".into()),
            (_, role) => (RefusedKind::Busy, format!("this node is in the middle of a change of role ({role})")),
        };
        Some(Objection { kind, reason, remedy: "run it on the machine that stands by" })
    }

    fn steps(&self, facts: &StoreFacts) -> Vec<PlanStep> {
        let step = |what: String, at_most_ms| PlanStep { what, at_most_ms };
        let millis = |span: std::time::Duration| Some(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let mut steps = Vec::new();
        match facts.owner.as_ref() {
            None => steps.push(step("nobody owns the identity: nobody is asked".into(), None)),
            Some(owner) if owner.released => {
                steps.push(step(
                    format!("{} gave the identity back at term {}: nobody is asked", owner.host, owner.term),
                    None,
                ));
            }
            Some(owner) => {
                steps.push(step(
                    format!(
                        "ask {} (term {}) to finish its slot, record its last vote, and let go; without an answer go on",
                        owner.host, owner.term
                    ),
                    millis(self.config.intent_deadline),
                ));
            }
        }
        let term = facts.owner.as_ref().map_or(1, |owner| owner.term.0 + 1);
        steps.push(step(format!("claim term {term} in one transaction that nobody else can win too"), None));
        steps.push(match (facts.has_tower, facts.tower_last_vote) {
            (true, Some(slot)) if slot > self.chain.tip => step(
                format!("adopt the tower up to the vote for slot {slot}, and replay to it from {}", self.chain.tip),
                millis(self.config.replay_deadline),
            ),
            (true, Some(slot)) => step(format!("adopt the tower up to the vote for slot {slot}"), None),
            (true, None) => step("adopt the tower, which has no vote".into(), None),
            (false, _) if self.newest_known_vote().is_some() => step(
                format!(
                    "the store has no tower: take the vote account's from the chain, and wait {} slots before voting",
                    self.config.chain_tower_hold_slots
                ),
                None,
            ),
            (false, _) => step("begin a new tower: this identity has never voted".into(), None),
        });
        steps.push(step("show this node in gossip under the identity, unlock its keys, vote and lead".into(), None));
        steps
    }

    /// What is known from where. The chain's own tower has every vote that landed; what did not is not older than
    /// the newest vote seen anywhere, and `chain_tower_hold_slots` outlast the lockouts of those few.
    pub fn recovery(&self) -> Recovery {
        let newest = self.newest_known_vote();
        Recovery {
            seen_in_store: self.tower_seen,
            chain: self.chain.own_vote_on_chain,
            gossip: self.chain.own_vote_in_gossip,
            tip: self.chain.tip,
            quarantine: self.quarantine.clone(),
            safe_from: newest.map(|slot| slot.saturating_add(self.config.chain_tower_hold_slots)),
        }
    }
}
