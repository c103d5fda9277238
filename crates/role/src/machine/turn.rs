//! Which identity this node is there for, and so whose store is open. A secondary follows its vote account; an operator's
//! `set-identity` may name the identity that the account has now. A refusal turns back to where the node was.

use {
    super::{
        Machine, State,
        standby::{Objection, Step},
    },
    crate::{
        config::ConfiguredRole,
        event::{Effect, Event, ReadId, RefusedKind},
    },
    tandem_types::{Pubkey, Slot, Term, Tick},
};

/// What one identity's store has shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    tower: Option<Slot>,
    term: Term,
    accepted: bool,
}

impl Machine {
    /// In STANDBY only. Until the answer nothing that comes from a store is about this identity.
    pub(super) fn turn_to(&mut self, identity: Pubkey, out: &mut Vec<Effect>) {
        if let Some(before) = self.identity.replace(identity) {
            let seen = Seen { tower: self.tower_seen, term: self.term_seen, accepted: self.accepted };
            self.set_aside.insert(before, seen);
        }
        let seen = self.set_aside.remove(&identity).unwrap_or_default();
        (self.tower_seen, self.term_seen, self.accepted) = (seen.tower, seen.term, seen.accepted);
        (self.quarantine, self.objected, self.unopened) = (None, None, None);
        (self.claim_unresolved, self.store_was_lost) = (false, false);
        self.last_read = ReadId(self.last_read.0 + 1);
        self.open(identity, out);
    }

    fn open(&mut self, identity: Pubkey, out: &mut Vec<Effect>) {
        self.opening = Some(identity);
        out.push(Effect::OpenStore { identity });
    }

    /// The store that the operator's wish is about, if it is not the one that is open.
    pub(super) fn open_for(&mut self, identity: Pubkey, out: &mut Vec<Effect>) {
        if self.identity != Some(identity) {
            self.turn_to(identity, out);
        } else if self.unopened.is_some() && self.opening.is_none() {
            self.open(identity, out);
        }
    }

    /// A secondary is there for the identity that its vote account names: one that was made, or rotated, after the start too.
    pub(super) fn meet(&mut self, out: &mut Vec<Effect>) {
        let State::Standby(None) = self.state else { return };
        if let (ConfiguredRole::Secondary, Some(node)) = (self.config.role, self.chain.candidate.vote_account_node)
            && self.identity != Some(node)
        {
            self.turn_to(node, out);
        }
    }

    /// Answers of one store come in order, so whatever comes before the new one is open is about the one before.
    pub(super) fn is_of_store_before(&self, event: &Event) -> bool {
        match event {
            Event::StoreRead { .. }
            | Event::StoreUnavailable { .. }
            | Event::StoreQuarantined { .. }
            | Event::OwnerChanged(_)
            | Event::IntentSeen(_) => self.opening.is_some(),
            Event::Chain(_)
            | Event::StoreOpened { .. }
            | Event::StoreNotOpened { .. }
            | Event::StoreVouched { .. }
            | Event::IntentWritten
            | Event::SetIdentity(_)
            | Event::Promote { .. }
            | Event::ClaimDone(_)
            | Event::ClaimRefused(_)
            | Event::ClaimUnresolved { .. }
            | Event::TowerAdopted { .. }
            | Event::TowerQuarantined { .. }
            | Event::NodeIdentitySwitched(_)
            | Event::Recorded { .. }
            | Event::VoteReleased
            | Event::VoteUnreleased { .. }
            | Event::RecordFenced { .. }
            | Event::RecordTimeout { .. }
            | Event::LeaderSlotDone
            | Event::VotesSettled
            | Event::Released
            | Event::ReleaseFailed { .. }
            | Event::SeenElsewhere { .. }
            | Event::VoteElsewhere { .. }
            | Event::Shutdown
            | Event::Timer => false,
        }
    }

    pub(super) fn store_opened(&mut self, now: Tick, identity: Pubkey, out: &mut Vec<Effect>) {
        if self.opening != Some(identity) {
            return;
        }
        (self.opening, self.unopened) = (None, None);
        self.look_once_open(now, out);
    }

    pub(super) fn store_not_opened(
        &mut self,
        now: Tick,
        identity: Pubkey,
        kind: RefusedKind,
        reason: String,
        out: &mut Vec<Effect>,
    ) {
        if self.opening != Some(identity) {
            return;
        }
        self.opening = None;
        let news = self.unopened.as_ref() != Some(&reason);
        self.unopened = Some(reason.clone());
        let why = format!("the store of identity {identity} cannot be opened: {reason}");
        if let State::Standby(Some(pursuit)) = &self.state
            && matches!(pursuit.step, Step::Opening)
        {
            self.refuse_pursuit(now, Objection { kind, reason: why, remedy: "nothing was claimed" }, out);
        } else if news && matches!(self.state, State::Standby(None)) {
            self.enter(State::Standby(None), &why, out);
        }
    }

    /// A standby's look at its store; where none is open, that is tried again.
    pub(super) fn look_or_open(&mut self, out: &mut Vec<Effect>) {
        match self.identity {
            Some(identity) if self.unopened.is_some() => {
                if self.opening.is_none() {
                    self.open(identity, out);
                }
            }
            Some(_) if self.opening.is_none() => _ = self.read_store(out),
            Some(_) | None => {}
        }
    }
}
