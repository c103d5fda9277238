//! Whose the vote account is, by the current root: what it says there decides whom a node may claim for, and whether an owner goes on.
//! It may be made, or be given to another identity (`vote-update-validator`), while nodes run.

use {
    super::{Machine, State},
    crate::{
        event::{Candidate, Effect, RefusedKind, RoleState},
        status::ExitStatus,
    },
    tandem_types::{Pubkey, Tick},
};

/// What the root's vote account says against this identity, and what to do about it.
pub(super) fn misfit(identity: &Pubkey, candidate: &Candidate) -> Option<(String, &'static str)> {
    let Some(account) = candidate.vote_account else {
        return Some((
            "this node votes for no vote account".into(),
            "start it with --vote-account, and without --no-voting; nothing was claimed",
        ));
    };
    let root = candidate.root;
    match candidate.vote_account_node {
        None => Some((
            format!("vote account {account} does not exist at root {root} yet"),
            "this node stands by until it does: make it, or, if it should be there, check --vote-account and the genesis; \
             nothing was claimed",
        )),
        Some(node) if node != *identity => Some((
            format!("vote account {account} belongs to identity {node} at root {root}, not to {identity}"),
            "give the key of that identity, or the right --vote-account; a secondary is started with --no-check-vote-account; \
             nothing was claimed",
        )),
        Some(_) => None,
    }
}

impl Machine {
    /// Before that the root is an old one, and says little.
    pub fn is_near_the_tip(&self) -> bool {
        self.chain.slots_behind <= self.config.caught_up_slots_max
    }

    /// What the vote account, as of the newest look at the chain, says against this node's identity. What monitoring shows.
    pub fn account_objection(&self) -> Option<String> {
        let identity = self.identity.or(self.chain.candidate.vote_account_node).unwrap_or_default();
        self.chain.candidate.vote_account?;
        misfit(&identity, &self.chain.candidate).map(|(reason, remedy)| format!("{reason}; {remedy}"))
    }

    /// A primary that waits for an account which is somebody else's waits for nothing, and its operator has mixed something up. An
    /// account that does not exist can still be made, and one that names us at the tip is ours a moment later.
    pub(super) fn end_if_misnamed(&mut self, identity: &Pubkey, out: &mut Vec<Effect>) {
        let candidate = &self.chain.candidate;
        let is_anothers = candidate.vote_account_node.is_some_and(|node| node != *identity);
        if !is_anothers || candidate.node_at_tip.is_none_or(|node| node == *identity) {
            return;
        }
        if let Some((reason, remedy)) = misfit(identity, candidate) {
            let reason = format!("{reason}; {remedy}");
            out.push(Effect::Exit { status: ExitStatus::Refused, reason });
            self.state = State::Ended(RoleState::Standby);
        }
    }

    /// An owner whose vote account is gone, or names somebody else, speaks for nobody: what it votes is not counted, and the other
    /// identity's machine must not find it voting.
    pub(super) fn owner_misnamed(&mut self, now: Tick, out: &mut Vec<Effect>) {
        let identity = match &self.state {
            State::Acquired(takeover) | State::Recovered(takeover) | State::CaughtUp(takeover) => takeover.identity,
            State::Active(active) => active.identity,
            State::Standby(_) | State::HaltLead(_) | State::HaltVote(_) | State::Locked(_) | State::Ended(_) => return,
        };
        let candidate = &self.chain.candidate;
        if candidate.vote_account_node == Some(identity) {
            return;
        }
        let account = candidate.vote_account.unwrap_or_default();
        let now_is = match candidate.vote_account_node {
            Some(node) => format!("belongs to identity {node}"),
            None => "does not exist any more".into(),
        };
        let reason = format!(
            "vote account {account} {now_is} at root {}: {identity} votes and leads for it no longer, and was given back; start the \
             machine that has the other identity's key, or put the vote account right",
            candidate.root
        );
        if let State::Active(_) = self.state {
            let end = self.end_after_loss(self.config.on_identity_loss, ExitStatus::Refused, &reason);
            self.leave_politely(now, self.config.intent_deadline, end, &reason, out);
        } else {
            self.back_out(now, RefusedKind::WrongVoteAccount, &reason, out);
        }
    }
}
