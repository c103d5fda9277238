//! What the machine does after every event: follow the cluster's root, move the reset block, decide at most one thing.
//! (A second `impl Voter`, apart from the handlers of events, because each event ends here.)

use {
    crate::{
        Decision, DecisionId, DecisionKind, Effect, Now,
        choice::{Choice, Situation, Vote},
        voter::{Active, Pending, Role, Voter},
    },
    tandem_types::{BlockKey, UnixMillis, UnixTimestamp, mutant::mutant},
};

impl Voter {
    pub(crate) fn decide(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.follow_majority_root(out);
        self.refresh_at = None;
        self.recheck_at = None;
        let choice = self.choose();
        if let Some(to) = choice.reset {
            let is_new = self.reset != Some(to);
            // Whether our block has spread is told again when it has: nothing else might come to build on.
            let may_lead = self.may_lead(to.slot.saturating_add(1), &to);
            if is_new || (may_lead && !self.reset_may_lead) {
                out.push(Effect::Reset { to });
            }
            (self.reset, self.reset_may_lead) = (Some(to), may_lead);
        }
        if self.hold != choice.hold {
            self.hold = choice.hold;
            out.extend(choice.hold.map(Effect::Held));
        }
        let Role::Active(active) = &self.role else { return };
        if active.pending.is_some() && !mutant("voter: decides while a decision is out") {
            // One at a time. What is newest when the answer comes is decided then; what was newest in between, never.
            return;
        }
        let vote = choice.vote.filter(|vote| active.refused.is_none_or(|refused| vote.block.slot > refused));
        let pending = match vote {
            Some(vote) => self.vote(active, &vote, now.wall),
            None => {
                let refresh = choice.same_fork.and_then(|tip| self.refresh(active, &tip));
                self.refresh_at = refresh.is_some().then_some(active.refresh_after);
                refresh.filter(|_| now.tick >= active.refresh_after)
            }
        };
        if let (Some(pending), Role::Active(active)) = (pending, &mut self.role) {
            self.next_id = DecisionId(self.next_id.0 + 1);
            out.push(Effect::Decide(pending.decision.clone()));
            active.pending = Some(pending);
            self.refresh_at = None;
        }
    }

    fn choose(&mut self) -> Choice {
        let heaviest = self.forks.heaviest();
        let Role::Active(active) = &self.role else {
            return Choice { vote: None, reset: Some(heaviest), same_fork: None, hold: None };
        };
        let situation = Situation {
            config: &self.config,
            forks: &self.forks,
            voters: &self.voters,
            rooted: &self.rooted,
            tower: &active.tower,
            last: active.last.as_ref(),
            last_height: active.last_height,
        };
        situation.choose(&mut self.propagation)
    }

    /// While active, our root is our tower's: nothing newer is final for *us*. In standby there is no tower, yet the
    /// tree and the ledger must not grow for ever, and a promoted standby must be at the cluster's tip. The slot that
    /// more than 2/3 of the stake has rooted, as the heaviest fork tells, is final for everybody, so it is our root.
    fn follow_majority_root(&mut self, out: &mut Vec<Effect>) {
        let heaviest = self.forks.heaviest();
        let Some(slot) = self.forks.get(&heaviest).and_then(|node| node.info.majority_root) else { return };
        if self.majority_root < Some(slot) {
            self.majority_root = Some(slot);
            out.push(Effect::SupermajorityRoot(slot));
        }
        let root = self.forks.ancestor_at(&heaviest, slot);
        if let (Role::Standby | Role::Quarantined, Some(root)) = (&self.role, root) {
            self.set_root(root, out);
        }
    }

    fn vote(&self, active: &Active, vote: &Vote, wall: UnixMillis) -> Option<Pending> {
        let info = &self.forks.get(&vote.block)?.info;
        let decision = Decision {
            id: self.next_id,
            kind: DecisionKind::Vote,
            slot: vote.block.slot,
            hash: vote.block.hash,
            block_id: info.block_id,
            tower: active.tower.after_vote(vote.block.slot),
            timestamp: active.timestamp(vote, wall),
            recent_blockhash: info.last_blockhash,
            switch: vote.switch,
        };
        Some(Pending { decision, sent_height: info.block_height })
    }

    /// The last vote once more, if some vote of ours landed behind it but this one did not, and its blockhash has
    /// become old (agave replay_stage.rs:maybe_refresh_last_vote). `tip`: the tip of the last vote's fork.
    fn refresh(&self, active: &Active, tip: &BlockKey) -> Option<Pending> {
        let last = active.last?;
        let info = &self.forks.get(tip)?.info;
        let is_landed = info.our_last_landed? >= last.block.slot;
        let is_fresh = active.sent_height.is_some_and(|sent| info.block_height.saturating_sub(sent) <= REFRESH_BLOCKS);
        if is_landed || is_fresh || tip.slot <= last.block.slot {
            return None;
        }
        // One second later than the last one, or it would look like the same transaction to filters of duplicates.
        let before = last.timestamp.or(active.last_timestamp.map(|time| time.unix));
        let decision = Decision {
            id: self.next_id,
            kind: DecisionKind::Refresh,
            slot: last.block.slot,
            hash: last.block.hash,
            block_id: last.block_id,
            tower: active.tower.clone(),
            timestamp: before.map(|unix| unix.saturating_add(1)),
            recent_blockhash: info.last_blockhash,
            switch: false,
        };
        Some(Pending { decision, sent_height: info.block_height })
    }
}

impl Active {
    /// Timestamps of one voter grow with its slots, and never go back; if the clock did, the vote goes without one.
    fn timestamp(&self, vote: &Vote, wall: UnixMillis) -> Option<UnixTimestamp> {
        let unix = wall.as_secs();
        let fits = self.last_timestamp.is_none_or(|last| vote.block.slot > last.slot && unix >= last.unix);
        fits.then_some(unix)
    }
}

/// Agave replay_stage.rs:REFRESH_VOTE_BLOCKHEIGHT.
const REFRESH_BLOCKS: u64 = 16;
