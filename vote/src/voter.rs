//! The machine: events in, decisions and confirmations out.
//!
//! ```text
//!            Adopt                   a block froze            Recorded
//!   standby ------> active: idle --------------------> deciding ------> tower + vote, root, next decision
//!      ^              |  ^                                |
//!      |   StandDown  |  '------------- Refused ----------'
//!      '--------------'      (quarantined: a vote of ours turned up that the tower does not know; until Adopt)
//! ```

use {
    crate::{
        Adopted, Config, Decision, DecisionId, DecisionKind, Effect, Event, FrozenBlock, Hold, Ignored, LastVote, Now,
        Quarantine, TowerFault, TowerState, VoteTime,
        choice::{RootedSlots, newest_landed},
        confirm::Confirmations,
        forks::Forks,
        info::{BlockInfo, is_duplicate_confirming, path_to_root},
        propagation::Propagation,
        voters::{VoterIx, Voters},
    },
    std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    },
    tandem_types::{BlockKey, Hash, NUM_CONSECUTIVE_LEADER_SLOTS, Slot, Tick, mutant::mutant},
};

#[derive(Debug)]
pub struct Voter {
    pub(crate) config: Config,
    pub(crate) forks: Forks,
    pub(crate) voters: Voters,
    confirmations: Confirmations,
    pub(crate) propagation: Propagation,
    pub(crate) rooted: RootedSlots,
    /// Slots with several versions, and versions the cluster agreed on; of slots above the root, frozen or not.
    duplicates: BTreeSet<Slot>,
    agreed: BTreeMap<Slot, Hash>,
    pub(crate) role: Role,
    pub(crate) next_id: DecisionId,
    /// The newest vote of ours seen in gossip.
    own_gossip: Option<BlockKey>,
    pub(crate) reset: Option<BlockKey>,
    /// `may_lead` of the slot after `reset`, as of the last look.
    pub(crate) reset_may_lead: bool,
    pub(crate) hold: Option<Hold>,
    confirmed: Option<BlockKey>,
    pub(crate) majority_root: Option<Slot>,
    /// When the last vote is to be sent again, should nothing change before.
    pub(crate) refresh_at: Option<Tick>,
    /// When to look again, because votes came that may end a hold.
    pub(crate) recheck_at: Option<Tick>,
}

#[derive(Debug)]
pub(crate) enum Role {
    Standby,
    Active(Box<Active>),
    Quarantined,
}

#[derive(Debug)]
pub(crate) struct Active {
    /// Contains recorded votes only.
    pub tower: TowerState,
    pub last: Option<LastVote>,
    /// Height of the last vote's block, if we saw it.
    pub last_height: Option<u64>,
    pub last_timestamp: Option<VoteTime>,
    /// Height of the block whose blockhash the last vote was sent with. `None`: the vote is from before the adoption.
    pub sent_height: Option<u64>,
    pub refresh_after: Tick,
    pub pending: Option<Pending>,
    /// Not tried again before something newer comes up.
    pub refused: Option<Slot>,
}

#[derive(Debug)]
pub(crate) struct Pending {
    pub decision: Decision,
    /// Height of the block whose blockhash it is sent with.
    pub sent_height: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoleView {
    Standby,
    Active { last_vote: Option<Slot>, tower_root: Option<Slot>, deciding: bool },
    Quarantined,
}

/// The state for readers: RPC commitments, health, metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    pub role: RoleView,
    pub root: BlockKey,
    pub heaviest: BlockKey,
    pub reset: Option<BlockKey>,
    /// The highest optimistically confirmed block.
    pub confirmed: Option<BlockKey>,
    pub supermajority_root: Option<Slot>,
    pub hold: Option<Hold>,
    pub blocks: usize,
}

impl Voter {
    /// Starts in standby with the block that replay starts from: genesis, a snapshot's, or the ledger's root.
    /// `rooted`: slots of its ancestors as far as they are known; may be empty (see `Adopted::rooted`).
    pub fn new(config: Config, root: FrozenBlock, rooted: impl IntoIterator<Item = Slot>) -> Self {
        let mut voters = Voters::default();
        let numbers = voters.learn(&root);
        let info = BlockInfo::new(&root, &[], &numbers);
        let mut slots = RootedSlots::default();
        slots.extend(rooted);
        Self {
            config,
            majority_root: info.majority_root,
            forks: Forks::new(root.key, info),
            voters,
            confirmations: Confirmations::default(),
            propagation: Propagation::default(),
            rooted: slots,
            duplicates: BTreeSet::new(),
            agreed: BTreeMap::new(),
            role: Role::Standby,
            next_id: DecisionId::default(),
            own_gossip: None,
            reset: None,
            reset_may_lead: true,
            hold: None,
            confirmed: None,
            refresh_at: None,
            recheck_at: None,
        }
    }

    /// Whose blocks are our own: another identity's than at the start, where the vote account was made or rotated since.
    pub fn speak_for(&mut self, identity: tandem_types::Pubkey) {
        self.config.identity = identity;
    }

    /// Handles one event. Never fails: what makes no sense comes back as `Effect::Ignored`.
    pub fn handle(&mut self, now: Now, event: Event, out: &mut Vec<Effect>) {
        let before = out.len();
        let is_gossip = matches!(event, Event::GossipVote { .. });
        match event {
            Event::Frozen(block) => self.handle_frozen(&block, out),
            Event::Purged(slot) => self.voters.forget(&self.forks.purge(slot)),
            Event::GossipVote { vote_account, block } => self.handle_gossip_vote(&vote_account, block, out),
            Event::DuplicateSlot(slot) => self.handle_duplicate(slot),
            Event::DuplicateConfirmed(key) => self.agree(key, out),
            Event::Recorded { id } => self.handle_recorded(now, id, out),
            Event::Refused { id } => self.handle_refused(now, id, out),
            Event::Adopt(adopted) => self.handle_adopt(now, adopted, out),
            Event::StandDown => self.role = Role::Standby,
            Event::Timer => {}
        }
        if !is_gossip || self.is_decisive(now, &out[before..]) {
            self.decide(now, out);
        }
        if let Role::Active(active) = &self.role {
            assert!(active.tower.check().is_ok(), "lockouts shrink towards the tip: {:?}", active.tower);
        }
    }

    /// When `Event::Timer` is wanted, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.refresh_at.into_iter().chain(self.recheck_at).min()
    }

    pub fn view(&self) -> View {
        let role = match &self.role {
            Role::Standby => RoleView::Standby,
            Role::Quarantined => RoleView::Quarantined,
            Role::Active(active) => RoleView::Active {
                last_vote: active.tower.last_voted_slot(),
                tower_root: active.tower.root,
                deciding: active.pending.is_some(),
            },
        };
        View {
            role,
            root: self.forks.root(),
            heaviest: self.forks.heaviest(),
            reset: self.reset,
            confirmed: self.confirmed,
            supermajority_root: self.majority_root,
            hold: self.hold,
            blocks: self.forks.len(),
        }
    }

    /// Whether our last leader block behind `parent` has spread far enough to lead `slot` on top of it. Within one
    /// leader window we do not wait (agave replay_stage.rs:check_propagation_for_start_leader).
    pub fn may_lead(&mut self, slot: Slot, parent: &BlockKey) -> bool {
        let path = path_to_root(&self.forks, parent);
        let window = NUM_CONSECUTIVE_LEADER_SLOTS;
        self.forks.contains(parent)
            && self
                .propagation
                .missing(&self.config, &self.forks, &self.voters, &path)
                .is_none_or(|own| slot.saturating_sub(own.slot) < window)
    }

    /// Thousands of votes a second pass by in gossip. One of them can change what we decide when it makes a slot agreed
    /// on, or when we wait for votes, to vote or to lead; then a look every 100 ms is enough, for that look goes over all voters.
    fn is_decisive(&mut self, now: Now, effects: &[Effect]) -> bool {
        let is_turn = |effect: &Effect| matches!(effect, Effect::DuplicateConfirmed(_) | Effect::Quarantine(_));
        if effects.iter().any(is_turn) {
            return true;
        }
        let is_held = matches!(self.hold, Some(Hold::Switch { .. } | Hold::NotPropagated { .. }));
        if !is_held && self.reset_may_lead {
            return false;
        }
        let at = *self.recheck_at.get_or_insert(now.tick + RECHECK_INTERVAL);
        now.tick >= at
    }

    fn handle_frozen(&mut self, block: &FrozenBlock, out: &mut Vec<Effect>) {
        let ignored = if self.forks.contains(&block.key) {
            Some(Ignored::AlreadyFrozen(block.key))
        } else if !self.forks.contains(&block.parent) {
            Some(Ignored::UnknownParent(block.key))
        } else if block.parent.slot >= block.key.slot {
            Some(Ignored::NotAfterParent(block.key))
        } else {
            None
        };
        if let Some(ignored) = ignored {
            out.push(Effect::Ignored(ignored));
            return;
        }
        let path = path_to_root(&self.forks, &block.parent);
        let numbers = self.voters.learn(block);
        self.forks.insert(block.key, block.parent, BlockInfo::new(block, &path, &numbers));
        let (differences, votes) = self.voters.land(block, &numbers, &path, &self.forks);
        self.forks.shift(&differences);

        // What was known of this slot before we had it.
        if let Some(hash) = self.agreed.get(&block.key.slot) {
            if *hash == block.key.hash {
                self.forks.mark_confirmed(&block.key);
            } else {
                self.forks.mark_duplicate(&block.key);
            }
        } else if self.duplicates.contains(&block.key.slot) {
            self.forks.mark_duplicate(&block.key);
        }
        for voter in self.confirmations.voters(block.key) {
            self.voters.saw(voter, block.key);
        }
        self.announce(block.key, out);

        for (voter, key) in votes {
            self.voters.saw(voter, key);
            self.confirm(voter, key, out);
        }
        // Votes for descendants speak for a block as well, when they landed. Once a block is confirmed, so are its
        // ancestors, so this ends after a step or two.
        for key in path.iter().take_while(|key| self.forks.get(key).is_some_and(|node| !node.confirmed)) {
            let info = &self.forks.get(&block.key).expect("invariant: it was just added").info;
            if is_duplicate_confirming(info.stake_voted(key.slot), info.total_stake) {
                self.agree(*key, out);
                break;
            }
        }
        if let Role::Active(active) = &mut self.role
            && active.last.is_some_and(|last| last.block == block.key)
        {
            active.last_height = Some(block.block_height);
        }
        self.check_landed(block, out);
    }

    fn handle_gossip_vote(&mut self, account: &tandem_types::Pubkey, key: BlockKey, out: &mut Vec<Effect>) {
        let root = self.forks.root().slot;
        if *account == self.config.vote_account {
            self.check_own_gossip(key, out);
        }
        let Some(voter) = self.voters.get(account) else {
            out.push(Effect::Ignored(Ignored::UnknownVoter));
            return;
        };
        if key.slot <= root || key.slot > root.saturating_add(VOTE_DISTANCE_MAX) {
            out.push(Effect::Ignored(Ignored::VoteOutOfRange));
            return;
        }
        if self.forks.contains(&key) {
            self.voters.saw(voter, key);
        }
        self.confirm(voter, key, out);
    }

    fn handle_duplicate(&mut self, slot: Slot) {
        let root = self.forks.root().slot;
        if slot <= root || slot > root.saturating_add(VOTE_DISTANCE_MAX) || !self.duplicates.insert(slot) {
            return;
        }
        for key in self.forks.blocks_of(slot).collect::<Vec<_>>() {
            self.forks.mark_duplicate(&key);
        }
    }

    /// Counts a vote for exactly this block.
    fn confirm(&mut self, voter: VoterIx, key: BlockKey, out: &mut Vec<Effect>) {
        let node = self.forks.get(&key);
        // Of a block that we do not have we cannot tell the epoch; that of our heaviest one is right but at a boundary.
        let heaviest = self.forks.heaviest();
        let epoch = node.or_else(|| self.forks.get(&heaviest)).map_or(0, |node| node.info.epoch);
        let (stake, total) = (self.voters.stake(epoch, voter), self.voters.total(epoch));
        match self.confirmations.add(voter, key, node.is_some(), stake, total) {
            Ok(reached) => {
                if reached.duplicate {
                    self.agree(key, out);
                }
                if reached.optimistic {
                    self.announce(key, out);
                }
            }
            Err(_) => out.push(Effect::Ignored(Ignored::RivalVersion)),
        }
    }

    fn announce(&mut self, key: BlockKey, out: &mut Vec<Effect>) {
        if self.forks.contains(&key) && self.confirmations.announce(key) {
            self.confirmed = self.confirmed.max(Some(key));
            out.push(Effect::OptimisticallyConfirmed(key));
        }
    }

    /// The cluster agreed on this version of a slot.
    fn agree(&mut self, key: BlockKey, out: &mut Vec<Effect>) {
        let root = self.forks.root().slot;
        if key.slot <= root || key.slot > root.saturating_add(VOTE_DISTANCE_MAX) || self.agreed.contains_key(&key.slot)
        {
            return;
        }
        self.agreed.insert(key.slot, key.hash);
        for rival in self.forks.blocks_of(key.slot).filter(|rival| *rival != key).collect::<Vec<_>>() {
            self.forks.mark_duplicate(&rival);
        }
        self.forks.mark_confirmed(&key);
        out.push(Effect::DuplicateConfirmed(key));
    }

    fn handle_adopt(&mut self, now: Now, adopted: Adopted, out: &mut Vec<Effect>) {
        let last = adopted.tower.last_voted_slot();
        let named = adopted.last_vote.map(|vote| vote.block.slot);
        let fault = adopted.tower.check().err().or((last != named).then_some(TowerFault::LastVote { last, named }));
        self.hold = None;
        if let Some(fault) = fault {
            self.quarantine(Quarantine::Malformed(fault), out);
            return;
        }
        self.rooted.extend(adopted.rooted.into_iter().filter(|slot| *slot <= self.forks.root().slot));
        // The vote program refuses a vote whose timestamp is older than the last landed one's.
        let landed = self.forks.get(&self.forks.heaviest()).and_then(|node| node.info.our_timestamp);
        let later = |time: &VoteTime| (time.unix, time.slot);
        self.role = Role::Active(Box::new(Active {
            tower: adopted.tower,
            last_height: adopted
                .last_vote
                .and_then(|last| self.forks.get(&last.block))
                .map(|node| node.info.block_height),
            last: adopted.last_vote,
            last_timestamp: adopted.last_timestamp.into_iter().chain(landed).max_by_key(later),
            sent_height: None,
            refresh_after: now.tick + REFRESH_INTERVAL,
            pending: None,
            refused: None,
        }));
        if let Some((slot, block)) = newest_landed(&self.forks)
            && last.is_none_or(|last| last < slot)
        {
            self.quarantine(Quarantine::ChainAhead { ours: last, on_chain: slot, block }, out);
        } else if let Some(seen) = self.own_gossip
            && last.is_none_or(|last| last < seen.slot)
        {
            self.quarantine(Quarantine::GossipAhead { ours: last, seen }, out);
        }
    }

    fn check_landed(&mut self, block: &FrozenBlock, out: &mut Vec<Effect>) {
        let Role::Active(active) = &self.role else { return };
        let landed = block.our_landed.as_ref().and_then(|our| our.tower.last_voted_slot());
        if let Some(on_chain) = landed.filter(|slot| active.newest_known() < Some(*slot)) {
            let ours = active.tower.last_voted_slot();
            self.quarantine(Quarantine::ChainAhead { ours, on_chain, block: block.key }, out);
        }
    }

    fn check_own_gossip(&mut self, seen: BlockKey, out: &mut Vec<Effect>) {
        self.own_gossip = self.own_gossip.max(Some(seen));
        if let Role::Active(active) = &self.role
            && active.newest_known() < Some(seen.slot)
        {
            let ours = active.tower.last_voted_slot();
            self.quarantine(Quarantine::GossipAhead { ours, seen }, out);
        }
    }

    fn quarantine(&mut self, reason: Quarantine, out: &mut Vec<Effect>) {
        self.role = Role::Quarantined;
        out.push(Effect::Quarantine(reason));
    }

    fn handle_recorded(&mut self, now: Now, id: DecisionId, out: &mut Vec<Effect>) {
        let Role::Active(active) = &mut self.role else {
            out.push(Effect::Ignored(Ignored::StaleAnswer(id)));
            return;
        };
        let Some(Pending { decision, sent_height }) = active.pending.take_if(|pending| pending.decision.id == id)
        else {
            out.push(Effect::Ignored(Ignored::StaleAnswer(id)));
            return;
        };
        let block = decision.block();
        if let Some(unix) = decision.timestamp {
            active.last_timestamp = Some(VoteTime { slot: decision.slot, unix });
        }
        active.last = Some(LastVote { block, block_id: decision.block_id, timestamp: decision.timestamp });
        active.sent_height = Some(sent_height);
        match decision.kind {
            DecisionKind::Vote => active.last_height = Some(sent_height),
            DecisionKind::Refresh => active.refresh_after = now.tick + REFRESH_INTERVAL,
        }
        if !mutant("voter: a recorded vote is not counted") {
            active.tower = decision.tower;
        }
        active.refused = None;
        let root = active.tower.root.and_then(|root| self.forks.ancestor_at(&block, root));
        if let Some(root) = root {
            self.set_root(root, out);
        }
    }

    fn handle_refused(&mut self, now: Now, id: DecisionId, out: &mut Vec<Effect>) {
        if let Role::Active(active) = &mut self.role
            && let Some(pending) = active.pending.take_if(|pending| pending.decision.id == id)
        {
            match pending.decision.kind {
                DecisionKind::Vote => active.refused = Some(pending.decision.slot),
                DecisionKind::Refresh => active.refresh_after = now.tick + REFRESH_INTERVAL,
            }
        } else {
            out.push(Effect::Ignored(Ignored::StaleAnswer(id)));
        }
    }

    pub(crate) fn set_root(&mut self, root: BlockKey, out: &mut Vec<Effect>) {
        if root == self.forks.root() {
            return;
        }
        let path = self.forks.set_root(root);
        self.rooted.extend(path.iter().map(|key| key.slot));
        let tower = if let Role::Active(active) = &self.role { Some(&active.tower) } else { None };
        self.rooted.trim(root.slot, tower);
        self.confirmations.forget_before(root.slot);
        self.propagation.forget_before(root);
        self.duplicates = self.duplicates.split_off(&root.slot);
        self.agreed = self.agreed.split_off(&root.slot);
        let epoch = self.forks.get(&root).map_or(0, |node| node.info.epoch);
        self.voters.forget_epochs_before(epoch);
        out.push(Effect::Root(root));
    }
}

impl Active {
    fn newest_known(&self) -> Option<Slot> {
        self.tower.last_voted_slot().max(self.pending.as_ref().map(|pending| pending.decision.slot))
    }
}

/// Agave replay_stage.rs:MAX_VOTE_REFRESH_INTERVAL_MILLIS.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Agave cluster_info_vote_listener.rs:MAX_VOTE_SLOT_DISTANCE_FROM_ROOT.
const VOTE_DISTANCE_MAX: Slot = 50_000;
