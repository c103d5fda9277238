//! What others may ask a bank.

use {
    crate::{Bank, BlockhashQueue, Forks, PreparedTx},
    agave_feature_set::FeatureSet,
    solana_account::AccountSharedData,
    solana_inflation::Inflation,
    solana_rent::Rent,
    solana_runtime_transaction::transaction_meta::TransactionMeta,
    solana_svm_transaction::svm_message::SVMStaticMessage,
    solana_transaction_error::TransactionError,
    std::sync::{Arc, atomic::Ordering::Relaxed},
    tandem_epoch::{EpochStakes, LeaderSchedule, RewardInfo, SlotLeader, SlotParams, VoteAccounts},
    tandem_types::{BlockId, BlockKey, Epoch, EpochSchedule, Hash, Pubkey, Signature, Slot, UnixTimestamp},
};

impl Bank {
    pub fn slot(&self) -> Slot {
        self.slot
    }

    pub fn parent_slot(&self) -> Slot {
        self.parent_slot
    }

    /// `None` for slot 0 and for rooted banks.
    pub fn parent(&self) -> Option<Arc<Bank>> {
        self.parent.read().expect("invariant: no panic while the parent is held").clone()
    }

    /// The bank hash; the default until the bank is frozen.
    pub fn hash(&self) -> Hash {
        self.frozen.get().copied().unwrap_or_default()
    }

    /// The name of the block in votes, once frozen.
    pub fn key(&self) -> Option<BlockKey> {
        self.frozen.get().map(|hash| BlockKey::new(self.slot, *hash))
    }

    pub fn parent_hash(&self) -> Hash {
        self.parent_hash
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.get().is_some()
    }

    /// All ticks are there: nothing but `freeze` can follow.
    pub fn is_complete(&self) -> bool {
        self.tick_height() == self.max_tick_height
    }

    pub fn block_id(&self) -> Option<BlockId> {
        *self.block_id.read().expect("invariant: no panic while the block id is held")
    }

    /// The merkle root of the block's last FEC set: what children are chained to.
    pub fn set_block_id(&self, id: BlockId) {
        *self.block_id.write().expect("invariant: no panic while the block id is held") = Some(id);
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn epoch_schedule(&self) -> &EpochSchedule {
        &self.chain.epoch_schedule
    }

    pub fn block_height(&self) -> u64 {
        self.block_height
    }

    pub fn capitalization(&self) -> u64 {
        self.capitalization.load(Relaxed)
    }

    /// Since genesis, with failed ones.
    pub fn transaction_count(&self) -> u64 {
        self.transaction_count.load(Relaxed)
    }

    /// Of this block.
    pub fn signature_count(&self) -> u64 {
        self.signature_count.load(Relaxed)
    }

    pub fn tick_height(&self) -> u64 {
        self.tick_height.load(Relaxed)
    }

    pub fn max_tick_height(&self) -> u64 {
        self.max_tick_height
    }

    pub fn ticks_per_slot(&self) -> u64 {
        self.chain.ticks_per_slot
    }

    pub fn hashes_per_tick(&self) -> Option<u64> {
        self.hashes_per_tick
    }

    pub fn ns_per_slot(&self) -> u128 {
        self.slot_params().ns_per_slot
    }

    /// The row in force at this slot.
    pub fn slot_params(&self) -> &SlotParams {
        self.slot_params.at(self.slot)
    }

    /// The row in force at another slot, as far as this bank's features say.
    pub fn slot_params_at(&self, slot: Slot) -> &SlotParams {
        self.slot_params.at(slot)
    }

    pub fn leader(&self) -> SlotLeader {
        self.leader
    }

    pub fn forks(&self) -> &Arc<Forks> {
        &self.forks
    }

    // Accounts.

    pub fn account(&self, pubkey: &Pubkey) -> Option<AccountSharedData> {
        self.load(pubkey).map(|(account, _)| account)
    }

    /// With the slot that wrote it.
    pub fn account_with_slot(&self, pubkey: &Pubkey) -> Option<(AccountSharedData, Slot)> {
        self.load(pubkey)
    }

    pub fn program_accounts(
        &self,
        owner: &Pubkey,
        wanted: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData)> {
        self.forks.accounts.owned_by(owner, &self.ancestors, wanted)
    }

    /// Walks all accounts.
    pub fn scan_accounts(
        &self,
        wanted: impl Fn(&Pubkey, &AccountSharedData) -> bool,
    ) -> Vec<(Pubkey, AccountSharedData)> {
        self.forks.accounts.scan(&self.ancestors, wanted)
    }

    /// What this slot wrote so far; nothing once it is rooted.
    pub fn written_accounts(&self) -> Vec<Pubkey> {
        self.forks.accounts.keys_written_in(self.slot)
    }

    pub fn minimum_balance(&self, data_bytes: usize) -> u64 {
        self.rent.minimum_balance(data_bytes).max(1)
    }

    // Transactions.

    pub fn last_blockhash(&self) -> Hash {
        self.with_blockhashes(BlockhashQueue::last)
    }

    /// Whether a transaction with this blockhash could be processed in this bank, nonces aside.
    pub fn is_blockhash_valid(&self, hash: &Hash) -> bool {
        self.with_blockhashes(|queue| queue.is_valid(hash, crate::checks::AGE_MAX))
    }

    /// The last block height at which a transaction with this blockhash is good.
    pub fn blockhash_last_valid_block_height(&self, hash: &Hash) -> Option<u64> {
        let age = self.with_blockhashes(|queue| queue.age(hash))?;
        Some((self.block_height + crate::checks::AGE_MAX).saturating_sub(age))
    }

    /// What the transaction would pay; `None` if its blockhash or nonce is unknown, or its limits cannot be read.
    pub fn fee_for_message(&self, tx: &PreparedTx) -> Option<u64> {
        let is_known = self.with_blockhashes(|queue| queue.age(tx.recent_blockhash()).is_some());
        if !is_known {
            self.nonce_of(tx, false)?;
        }
        let config = tx.transaction_configuration(&self.features).ok()?;
        Some(self.fee_details(tx, &config).total_fee())
    }

    /// How a recent transaction ended, if it is in this block or an ancestor.
    pub fn signature_status(&self, signature: &Signature) -> Option<(Slot, Result<(), TransactionError>)> {
        let statuses = self.forks.statuses.read().expect("invariant: no panic while the statuses are held");
        statuses.status(signature, &self.ancestors)
    }

    /// Fees, commissions and stake rewards this block paid.
    pub fn rewards(&self) -> Vec<(Pubkey, RewardInfo)> {
        self.rewards.lock().expect("invariant: no panic while the rewards are held").clone()
    }

    // The chain.

    pub fn genesis_hash(&self) -> Hash {
        self.chain.genesis_hash
    }

    pub fn genesis_creation_time(&self) -> UnixTimestamp {
        self.chain.genesis_creation_time
    }

    pub fn rent(&self) -> &Rent {
        &self.rent
    }

    pub fn inflation(&self) -> &Inflation {
        &self.inflation
    }

    pub fn feature_set(&self) -> &Arc<FeatureSet> {
        &self.features
    }

    /// The lattice hash in the short form agave logs; `None` until frozen.
    pub fn lt_hash_checksum(&self) -> Option<Hash> {
        self.lattice.get().map(|lattice| lattice.sum.checksum())
    }

    // Stakes.

    /// As of now: changes with every vote.
    pub fn vote_accounts(&self) -> VoteAccounts {
        self.stakes.read().expect("invariant: no panic while the stakes are held").vote_accounts().clone()
    }

    /// What was fixed for an epoch: weights of votes, of turbine, of leaders.
    pub fn epoch_stakes(&self, epoch: Epoch) -> Option<Arc<EpochStakes>> {
        self.epoch_stakes.get(&epoch).map(|entry| entry.stakes.clone())
    }

    pub fn leader_schedule(&self, epoch: Epoch) -> Option<Arc<LeaderSchedule>> {
        self.epoch_stakes.get(&epoch)?.schedule.clone()
    }

    /// Known for the epochs whose stakes are: this one and the next.
    pub fn leader_at(&self, slot: Slot) -> Option<SlotLeader> {
        let (epoch, index) = self.chain.epoch_schedule.get_epoch_and_slot_index(slot);
        let schedule = self.epoch_stakes.get(&epoch)?.schedule.as_ref()?;
        Some(schedule.slot_leader(index))
    }

    /// The stakes fixed during this epoch: what programs are told as the epoch's stake (bank.rs:current_epoch_stakes).
    pub(crate) fn next_epoch_stakes(&self) -> &EpochStakes {
        let entry =
            self.epoch_stakes.get(&self.epoch.saturating_add(1)).or_else(|| self.epoch_stakes.values().next_back());
        &entry.expect("invariant: a bank always has stakes of an epoch").stakes
    }

    pub(crate) fn forget_parent(&self) {
        *self.parent.write().expect("invariant: no panic while the parent is held") = None;
    }

    fn with_blockhashes<T>(&self, read: impl FnOnce(&BlockhashQueue) -> T) -> T {
        read(&self.blockhashes.read().expect("invariant: no panic while the blockhashes are held"))
    }
}
