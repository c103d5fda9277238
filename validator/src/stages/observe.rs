//! What the voter is told of blocks and of other voters: the votes a frozen bank holds, and votes seen on their way.

use {
    crate::topology::{RoleInput, Shared},
    std::{
        collections::{HashMap, VecDeque},
        sync::Arc,
    },
    tandem_bank::Bank,
    tandem_epoch::{VoteAccount, VoteState},
    tandem_role::event::Event as RoleEvent,
    tandem_types::{BlockKey, Pubkey, VersionedTransaction},
    tandem_vote::{FrozenBlock, LandedVote, Lockout, OurVote, TowerState, VoteTime},
    tandem_wire::vote_tx::ParsedVote,
};

/// Makes the voter's picture of frozen banks. Blocks share the towers that did not change between them.
pub struct Observer {
    vote_account: Option<Pubkey>,
    towers: HashMap<Pubkey, (VoteAccount, Arc<TowerState>)>,
}

impl Observer {
    pub fn new(vote_account: Option<Pubkey>) -> Self {
        Self { vote_account, towers: HashMap::new() }
    }

    /// `bank` is frozen. A bank without block id (a root from before ids were known) shows zeros.
    pub fn block(&mut self, bank: &Bank) -> FrozenBlock {
        let accounts = bank.vote_accounts();
        let stakes = bank.epoch_stakes(bank.epoch());
        let mut votes = Vec::new();
        let staked = stakes.iter().flat_map(|stakes| stakes.vote_accounts().iter());
        for (vote_account, stake, then) in staked.filter(|(_, stake, _)| *stake > 0) {
            let tower = accounts.get(vote_account).map(|now| self.tower(vote_account, now)).unwrap_or_default();
            votes.push(LandedVote { vote_account: *vote_account, node: *then.node(), stake, tower });
        }
        if self.towers.len() > 2 * votes.len() + TOWERS_EXTRA {
            self.towers.retain(|vote_account, _| accounts.get(vote_account).is_some());
        }
        FrozenBlock {
            key: BlockKey::new(bank.slot(), bank.hash()),
            parent: BlockKey::new(bank.parent_slot(), bank.parent_hash()),
            block_id: bank.block_id().unwrap_or_default().0,
            last_blockhash: bank.last_blockhash(),
            block_height: bank.block_height(),
            epoch: bank.epoch(),
            leader: bank.leader().identity,
            votes,
            total_stake: stakes.map_or(0, |stakes| stakes.total_stake()),
            our_landed: self.ours(bank),
        }
    }

    fn ours(&mut self, bank: &Bank) -> Option<OurVote> {
        let vote_account = self.vote_account?;
        // An account without stake is not among the bank's vote accounts.
        let known = bank.vote_accounts().get(&vote_account).cloned();
        let account = known.or_else(|| VoteAccount::parse(&bank.account(&vote_account)?).ok())?;
        let last = &account.state().last_timestamp;
        let timestamp = (last.timestamp != 0).then_some(VoteTime { slot: last.slot, unix: last.timestamp });
        Some(OurVote { tower: self.tower(&vote_account, &account), timestamp })
    }

    fn tower(&mut self, vote_account: &Pubkey, account: &VoteAccount) -> Arc<TowerState> {
        match self.towers.get(vote_account) {
            Some((known, tower)) if known == account => tower.clone(),
            Some(_) | None => {
                let tower = Arc::new(tower_of(account.state()));
                self.towers.insert(*vote_account, (account.clone(), tower.clone()));
                tower
            }
        }
    }
}

/// The vote a transaction casts, if the one who may vote for the account in that epoch signed it. The signatures were
/// verified (cluster_info_vote_listener.rs: verify_vote_transaction_signature and what follows it, v4.2).
pub fn seen_vote(bank: &Bank, transaction: &VersionedTransaction) -> Option<(Pubkey, BlockKey)> {
    let vote = ParsedVote::of(transaction).ok()?;
    let slot = vote.last_slot()?;
    let stakes = bank.epoch_stakes(bank.epoch_schedule().get_epoch(slot))?;
    let voter = stakes.authorized_voter(&vote.vote_account)?;
    let signers = usize::from(transaction.message.header().num_required_signatures);
    let signed = transaction.message.static_account_keys().iter().take(signers).any(|key| key == voter);
    (signed && vote.authorized_voter == *voter).then_some((vote.vote_account, BlockKey::new(slot, vote.hash)))
}

/// Tells the role stage, while we own the identity, of a vote of our vote account that this process did not release.
/// `vote`: as [`seen_vote`] gave it.
pub fn note_own_vote(shared: &Shared, vote: &(Pubkey, BlockKey), transaction: &VersionedTransaction) {
    let (account, BlockKey { slot, .. }) = *vote;
    let Some(signature) = transaction.signatures.first().filter(|_| shared.views.vote_account == Some(account)) else {
        return;
    };
    // An owner only: a standby sees the owner's votes, and whoever replays its ledger its own of before.
    if shared.views.vault.is_unlocked() && shared.views.own_votes.is_foreign(slot, signature) {
        shared.views.counters.add("own_votes_elsewhere", 1);
        // A twin votes again with the next slot.
        shared.writers.role.offer(RoleInput::Event(RoleEvent::VoteElsewhere { slot, voter_stopped: false }));
    }
}

fn tower_of(state: &VoteState) -> TowerState {
    let lockout =
        |vote: &tandem_epoch::LandedVote| Lockout::new_with_confirmation_count(vote.slot, vote.confirmation_count);
    TowerState { votes: state.votes.iter().map(lockout).collect::<VecDeque<_>>(), root: state.root }
}

/// Towers kept of accounts that have no stake any more.
const TOWERS_EXTRA: usize = 64;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::stages::testing::{VOTE, leader, world},
        tandem_types::Signer,
    };

    #[test]
    fn blocks_share_the_towers_that_did_not_change() {
        let (world, _, _) = world();
        let child = Bank::child(&world.root, 1);
        world.entries(&world.root, 1).iter().for_each(|entry| child.register_tick(&entry.hash));
        child.freeze();
        let mut observer = Observer::new(Some(VOTE));
        let (root, next) = (observer.block(&world.root), observer.block(&child));
        assert_eq!((root.key.slot, root.block_id), (0, world.root_id().0));
        assert_eq!((next.parent, next.leader), (root.key, leader().pubkey()));
        let [(one, two)] = root.votes.iter().zip(&next.votes).collect::<Vec<_>>()[..] else { panic!("one voter") };
        assert_eq!((one.vote_account, one.node, one.stake), (VOTE, leader().pubkey(), root.total_stake));
        assert!(one.stake > 0 && Arc::ptr_eq(&one.tower, &two.tower));
        let ours = next.our_landed.expect("our account exists");
        assert!(Arc::ptr_eq(&ours.tower, &two.tower) && ours.timestamp.is_none());
        assert!(Observer::new(None).block(&child).our_landed.is_none());
    }
}
