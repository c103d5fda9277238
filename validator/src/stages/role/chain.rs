//! Where this node stands in the chain, as the role machine judges it.

use {
    crate::topology::Shared,
    std::{sync::atomic::Ordering::Relaxed, time::Duration},
    tandem_role::event::ChainStatus,
    tandem_types::{BlockKey, Pubkey, Slot, Tick},
};

/// Remembers when the root moved last, and whether anybody of the cluster was heard.
pub struct ChainWatch {
    has_entrypoints: bool,
    /// What the ledger held at start has to be replayed first.
    replay_until: Slot,
    root: Slot,
    root_moved_at: Option<Tick>,
    peers_since: Option<Tick>,
    close: Since,
    near: Since,
    last: Option<ChainStatus>,
    last_at: Tick,
}

/// Since when something has held without a break.
#[derive(Default)]
struct Since(Option<Tick>);

impl Since {
    fn note(&mut self, now: Tick, holds: bool) {
        self.0 = if holds { self.0.or(Some(now)) } else { None };
    }

    fn lasts(&self, now: Tick, span: Duration) -> bool {
        self.0.is_some_and(|since| now.since(since) >= span)
    }
}

/// A root that has not moved for so long is not advancing. A leader's window lost by two voters in a row is under 4 s.
const ROOT_STALE: Duration = Duration::from_secs(15);
/// The cluster's tip is known once peers have had this long to send turbine shreds, votes, and slots.
const HEARD_FOR: Duration = Duration::from_millis(1_500);
/// A joiner follows the cluster when it was so close to its tip for so long, or at least near it for longer. Three slots instead
/// of one let second voters claim on an empty chain while the first made its first blocks, and fork off.
const CLOSE_SLOTS_MAX: u64 = 1;
const CLOSE_FOR: Duration = Duration::from_secs(2);
const NEAR_FOR: Duration = Duration::from_secs(20);
/// A node that finds nobody is alone, or the first.
const ALONE_AFTER: Duration = Duration::from_secs(6);
/// The machine hears at least this often, changed or not: its deadlines may hang on it.
const REPEAT_EVERY: Duration = Duration::from_millis(500);

impl ChainWatch {
    pub fn new(has_entrypoints: bool, replay_until: Slot) -> Self {
        Self {
            has_entrypoints,
            replay_until,
            root: 0,
            root_moved_at: None,
            peers_since: None,
            close: Since::default(),
            near: Since::default(),
            last: None,
            last_at: Tick::ZERO,
        }
    }

    /// `None` while nothing has changed.
    pub fn look(&mut self, now: Tick, shared: &Shared, adopted_vote: Option<BlockKey>) -> Option<ChainStatus> {
        let views = &shared.views;
        let bank = views.chain.load().processed.clone();
        let root = views.root.load(Relaxed);
        if root > self.root {
            self.root = root;
            self.root_moved_at = Some(now);
        }
        if !views.peers.load().is_empty() {
            self.peers_since.get_or_insert(now);
        }
        let (tip, cluster_tip) = (bank.slot(), views.cluster_tip.load(Relaxed));
        let slots_behind = if self.knows_cluster(now, cluster_tip) && tip >= self.replay_until {
            cluster_tip.saturating_sub(tip)
        } else {
            u64::MAX
        };
        self.close.note(now, slots_behind <= CLOSE_SLOTS_MAX);
        self.near.note(now, slots_behind <= super::CAUGHT_UP_SLOTS_MAX);
        let status = ChainStatus {
            tip,
            slots_behind,
            root_advancing: self.root_moved_at.is_some_and(|at| now.since(at) < ROOT_STALE),
            root_needs_us: self.follows(now, cluster_tip) && self.root_needs_us(shared),
            own_vote_on_chain: views
                .vote_account
                .and_then(|account| bank.vote_accounts().get(&account)?.state().last_voted_slot()),
            own_vote_in_gossip: Some(views.own_vote_seen.load(Relaxed)).filter(|slot| *slot > 0),
            last_vote_replayed: adopted_vote.is_none_or(|block| {
                block == BlockKey::new(0, bank.genesis_hash()) || views.ledger.bank_hash(block.slot) == Some(block.hash)
            }),
        };
        if self.last == Some(status) && now.since(self.last_at) < REPEAT_EVERY {
            return None;
        }
        self.last = Some(status);
        self.last_at = now;
        Some(status)
    }

    /// Where no root moves, only following shows that this node is on the cluster's fork: a joiner that votes before it has
    /// the others' blocks locks itself out on a fork of its own. A tip that nobody can deliver must not hold it for ever.
    fn follows(&self, now: Tick, cluster_tip: Slot) -> bool {
        !self.has_entrypoints || cluster_tip == 0 || self.close.lasts(now, CLOSE_FOR) || self.near.lasts(now, NEAR_FOR)
    }

    pub fn last(&self) -> ChainStatus {
        self.last.unwrap_or_default()
    }

    /// A node that joins must not take silence for "the cluster is at slot 0": it would vote on a fork of its own, and its
    /// lockouts would keep it there for minutes. So it waits for a sign of the tip (a shred, a vote), and only when peers
    /// stay silent, or there are none, is it among the first.
    fn knows_cluster(&self, now: Tick, cluster_tip: Slot) -> bool {
        if !self.has_entrypoints {
            return true;
        }
        match self.peers_since {
            Some(since) if cluster_tip > 0 => now.since(since) >= HEARD_FOR,
            Some(since) => now.since(since) >= ALONE_AFTER,
            None => now.since(Tick::ZERO) >= ALONE_AFTER,
        }
    }

    /// Without a third of the stake nothing can be rooted.
    fn root_needs_us(&self, shared: &Shared) -> bool {
        let Some(account) = shared.views.vote_account else { return false };
        let bank = shared.views.chain.load().processed.clone();
        bank.epoch_stakes(bank.epoch()).is_some_and(|stakes| {
            u128::from(stakes.vote_account_stake(&account)) * 3 >= u128::from(stakes.total_stake())
                && stakes.total_stake() > 0
        })
    }

    /// The identity that our vote account names in the root.
    pub fn vote_account_node(&self, shared: &Shared) -> Option<Pubkey> {
        let bank = shared.views.chain.load().finalized.clone();
        bank.vote_accounts().get(&shared.views.vote_account?).map(|account| *account.node())
    }

    pub fn authorized_voter_held(&self, shared: &Shared) -> bool {
        let bank = shared.views.chain.load().processed.clone();
        let voter = shared
            .views
            .vote_account
            .and_then(|account| bank.vote_accounts().get(&account)?.state().authorized_voter(bank.epoch()).copied());
        voter.is_some_and(|voter| shared.views.vault.holds_voter(&voter))
    }
}
