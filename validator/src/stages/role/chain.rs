//! Where this node stands in the chain: the facts, for `tandem_role::joining` and the role machine to judge.

use {
    super::CAUGHT_UP_SLOTS_MAX,
    crate::topology::Shared,
    std::{sync::atomic::Ordering::Relaxed, time::Duration},
    tandem_bank::Bank,
    tandem_role::{
        event::{Candidate, ChainStatus, OwnerSign},
        joining::{Joining, Sight, Start},
    },
    tandem_types::{BlockKey, Pubkey, Slot, Tick},
};

pub struct ChainWatch {
    joining: Joining,
    last: Option<ChainStatus>,
    last_at: Tick,
}

/// The machine hears at least this often, changed or not: its deadlines may hang on it.
const REPEAT_EVERY: Duration = Duration::from_millis(500);

impl ChainWatch {
    /// `replay_until`: what the ledger held at the start.
    pub fn new(has_entrypoints: bool, replay_until: Slot) -> Self {
        let start = Start { joins: has_entrypoints, replay_until, near_slots_max: CAUGHT_UP_SLOTS_MAX };
        Self { joining: Joining::new(start), last: None, last_at: Tick::ZERO }
    }

    /// `None` while nothing has changed.
    pub fn look(
        &mut self,
        now: Tick,
        shared: &Shared,
        adopted_vote: Option<BlockKey>,
        owner: Option<OwnerSign>,
    ) -> Option<ChainStatus> {
        let views = &shared.views;
        let chain = views.chain.load();
        let bank = chain.processed.clone();
        let (others, own) = (views.others_tip.load(Relaxed), views.own_vote_seen.load(Relaxed));
        let sight = Sight {
            tip: bank.slot(),
            root: views.root.load(Relaxed),
            confirmed: chain.confirmed.slot(),
            // A standby has the owner's votes to follow as well.
            cluster_tip: others.max(own),
            others_heard: others > 0,
            has_peers: !views.peers.load().is_empty(),
            holds_third: views.vote_account.is_some_and(|account| holds_third(&bank, &account)),
        };
        let judgement = self.joining.look(now, &sight);
        let status = ChainStatus {
            candidate: self.candidate(shared, None),
            owner,
            tip: sight.tip,
            slots_behind: judgement.slots_behind,
            root_advancing: judgement.root_advancing,
            root_needs_us: judgement.root_needs_us,
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

    pub fn last(&self) -> ChainStatus {
        self.last.unwrap_or_default()
    }

    /// What the chain says of this node's vote account. `with`: a key that is about to be given to this node.
    pub fn candidate(&self, shared: &Shared, with: Option<&Pubkey>) -> Candidate {
        let views = &shared.views;
        let chain = views.chain.load();
        let (root, tip) = (&chain.finalized, &chain.processed);
        let named = |bank: &Bank| bank.vote_accounts().get(&views.vote_account?).map(|account| *account.node());
        let voter = views
            .vote_account
            .and_then(|account| tip.vote_accounts().get(&account)?.state().authorized_voter(tip.epoch()).copied());
        Candidate {
            vote_account: views.vote_account,
            root: root.slot(),
            vote_account_node: named(root),
            node_at_tip: named(tip),
            authorized_voter_held: voter.is_some_and(|voter| with == Some(&voter) || views.vault.holds_voter(&voter)),
        }
    }
}

/// Whether the vote account has a third of the stake: without it nothing can be confirmed or rooted.
fn holds_third(bank: &Bank, account: &Pubkey) -> bool {
    bank.epoch_stakes(bank.epoch()).is_some_and(|stakes| {
        u128::from(stakes.vote_account_stake(account)) * 3 >= u128::from(stakes.total_stake())
            && stakes.total_stake() > 0
    })
}
