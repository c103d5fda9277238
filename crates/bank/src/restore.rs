//! A bank as a snapshot describes it, frozen and rooted (bank.rs: new_from_snapshot, verify_snapshot_bank;
//! snapshot_bank_utils.rs). Nothing in a snapshot is believed that can be computed.

use {
    crate::{
        Bank, BankError, BeyondUs, BlockhashQueue, Forks, RestoredStatuses,
        bank::{Chain, EpochEntry, Lattice},
        runtime::{self, RuntimeCaches},
    },
    agave_feature_set::FeatureSet,
    agave_reserved_account_keys::ReservedAccountKeys,
    solana_account::{AccountSharedData, ReadableAccount},
    solana_cost_model::cost_tracker::CostTracker,
    solana_fee_calculator::FeeRateGovernor,
    solana_fee_structure::FeeDetails,
    solana_genesis_config::GenesisConfig,
    solana_hard_forks::HardForks,
    solana_inflation::Inflation,
    solana_sdk_ids::{stake, sysvar, vote},
    solana_stake_interface::state::Delegation,
    solana_svm::transaction_processor::TransactionBatchProcessor,
    std::{
        collections::{BTreeMap, HashMap},
        sync::{
            Arc, Mutex, OnceLock, RwLock,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    },
    tandem_accounts::{Accounts, Ancestors, Change, Delta, LtHash},
    tandem_epoch::{
        EpochFeatures, EpochRewards, EpochStakes, PointValue, RewardDistribution, RewardInputs, SlotLeader, SlotParams,
        SlotParamsTable, StakeHistory, StakesCache, VoteAccount, recalculate_stake_rewards,
    },
    tandem_types::{BlockId, Epoch, EpochSchedule, Hash, Pubkey, Slot, UnixTimestamp},
};

/// What a snapshot says of the bank, besides its accounts. Names as in `Bank`.
pub struct RestoredBank {
    pub slot: Slot,
    pub hash: Hash,
    pub parent_slot: Slot,
    pub parent_hash: Hash,
    pub block_id: Option<BlockId>,
    pub block_height: u64,
    pub leader: Pubkey,
    pub tick_height: u64,
    pub max_tick_height: u64,
    pub hashes_per_tick: Option<u64>,
    pub ticks_per_slot: u64,
    pub transaction_count: u64,
    pub signature_count: u64,
    pub capitalization: u64,
    pub genesis_creation_time: UnixTimestamp,
    pub hard_forks: HardForks,
    pub fees: FeeRateGovernor,
    pub epoch_schedule: EpochSchedule,
    pub inflation: Inflation,
    pub blockhashes: BlockhashQueue,
    pub stakes: RestoredStakes,
    pub epoch_stakes: BTreeMap<Epoch, RestoredEpochStakes>,
    pub lt_hash: LtHash,
    pub statuses: RestoredStatuses,
}

pub struct RestoredStakes {
    pub epoch: Epoch,
    pub history: StakeHistory,
    /// Stake and account by vote account.
    pub vote_stakes: HashMap<Pubkey, (u64, AccountSharedData)>,
    pub delegations: HashMap<Pubkey, Delegation>,
}

pub struct RestoredEpochStakes {
    pub vote_accounts: Vec<(Pubkey, u64, AccountSharedData)>,
    pub total_stake: u64,
    pub authorized_voters: BTreeMap<Pubkey, Pubkey>,
}

/// What does not hold together.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "the snapshot is of another cluster: its {what} differs from the genesis'; use a genesis and a snapshot of one cluster"
    )]
    OtherCluster { what: &'static str },
    #[error("the snapshot says {field} {said}, but it is {computed}; fetch another one")]
    Differs { field: &'static str, said: String, computed: String },
    #[error("the snapshot has no usable account {0}; fetch another one")]
    NoAccount(Pubkey),
    #[error("the snapshot's stakes do not match its {what} {key}; fetch another one")]
    Stakes { what: &'static str, key: Pubkey },
    #[error("the snapshot has no stakes of epoch {0}, or nobody may lead in it; fetch another one")]
    EpochStakes(Epoch),
    #[error(
        "the snapshot's list of processed transactions does not fit its slot history at slot {0}; fetch another one"
    )]
    Statuses(Slot),
    #[error("the snapshot is of a cluster that this version cannot follow: {0}")]
    BeyondUs(BeyondUs),
    #[error("the bank cannot be set up")]
    Bank(#[from] BankError),
}

impl Bank {
    /// `accounts` holds everything the snapshot does, rooted. Checked: the cluster, the tick height, the leader, stakes
    /// against accounts, stakes of all epochs needed, processed transactions against the slot history, the lattice hash and
    /// the capitalization over all accounts, and the bank hash.
    pub fn restore(
        genesis: &GenesisConfig,
        genesis_hash: Hash,
        restored: RestoredBank,
        accounts: Accounts,
    ) -> Result<Arc<Bank>, RestoreError> {
        check_cluster(genesis, &restored)?;
        let RestoredState { hash, leader, lt_hash, mut bank, stakes, statuses } =
            RestoredState::new(genesis, genesis_hash, restored, accounts)?;
        bank.restore_features()?;
        // First of all checks: what such a snapshot says otherwise would be judged by rules that do not hold there.
        bank.beyond_us().map_or(Ok(()), |beyond| Err(RestoreError::BeyondUs(beyond)))?;
        bank.restore_stakes(stakes)?;
        bank.resume_rewards()?;
        bank.check_epoch_stakes()?;
        bank.check_leader(leader)?;
        bank.check_statuses(&statuses)?;
        bank.check_accounts(&lt_hash)?;
        bank.forks.statuses.write().expect("invariant: the forks are new").restore(statuses);
        differs("bank hash", hash, bank.bank_hash(&lt_hash))?;
        let lattice = Lattice { sum: lt_hash, elements: HashMap::new() };
        assert!(bank.lattice.set(lattice).is_ok() && bank.frozen.set(hash).is_ok(), "a bank is frozen once");
        bank.processor.fill_missing_sysvar_cache_entries(&bank);
        Ok(Arc::new(bank))
    }

    /// The runtime as the active features make it. (bank.rs: initialize_after_snapshot_restore)
    fn restore_features(&mut self) -> Result<(), RestoreError> {
        let (features, _) = self.active_features(false);
        self.apply_features(features);
        self.rent = self.sysvar(&sysvar::rent::id()).ok_or(RestoreError::NoAccount(sysvar::rent::id()))?;
        self.processor.set_execution_cost(runtime::compute_budget(&self.features).to_cost());
        self.processor.program_runtime_environment = runtime::environment(&self.features)?;
        self.register_builtins();
        Ok(())
    }

    /// From the accounts alone; what the snapshot says of stakes only has to agree.
    fn restore_stakes(&mut self, said: RestoredStakes) -> Result<(), RestoreError> {
        let math = self.epoch_features.stake_math;
        let mut accounts = self.rooted_accounts_of(&vote::id());
        accounts.extend(self.rooted_accounts_of(&stake::id()));
        let pairs = accounts.iter().map(|(key, account)| (key, account));
        let cache = StakesCache::restored(pairs, said.epoch, said.history, &math);

        for (key, stake, account) in cache.vote_accounts().iter() {
            let is_equal =
                said.vote_stakes.get(key).is_some_and(|said| said.0 == stake && said.1 == *account.account());
            if !is_equal {
                return Err(RestoreError::Stakes { what: "vote account", key: *key });
            }
        }
        let surplus = said.vote_stakes.keys().find(|key| cache.vote_accounts().get(key).is_none());
        if let Some(key) = surplus {
            return Err(RestoreError::Stakes { what: "vote account", key: *key });
        }
        for (key, account) in cache.delegations() {
            if said.delegations.get(key) != Some(account.delegation()) {
                return Err(RestoreError::Stakes { what: "stake account", key: *key });
            }
        }
        if let Some(key) = said.delegations.keys().find(|key| cache.delegation(key).is_none()) {
            return Err(RestoreError::Stakes { what: "stake account", key: *key });
        }
        differs("epoch of its stakes", cache.epoch(), self.epoch)?;
        self.stakes = RwLock::new(cache);
        Ok(())
    }

    /// A snapshot may be taken while the last epoch's rewards are being paid: what is left is computed again
    /// (partitioned_epoch_rewards/calculation.rs: recalculate_partitioned_rewards_if_active).
    fn resume_rewards(&mut self) -> Result<(), RestoreError> {
        let Some(rewards) = self.sysvar::<EpochRewards>(&sysvar::epoch_rewards::id()).filter(|rewards| rewards.active)
        else {
            return Ok(());
        };
        if rewards.num_partitions > self.chain.epoch_schedule.get_slots_in_epoch(self.epoch) {
            return Err(RestoreError::NoAccount(sysvar::epoch_rewards::id()));
        }
        let next = self.chain.epoch_schedule.get_leader_schedule_epoch(self.slot);
        let rewarded_epoch = self.epoch.saturating_sub(1);
        let votes_of = |epoch: Epoch| self.epoch_stakes.get(&epoch).map(|entry| entry.stakes.vote_accounts());
        let recalculated = {
            let stakes = self.stakes.read().expect("invariant: no panic while the stakes are held");
            let inputs = RewardInputs {
                rewarded_epoch,
                // Only for the point value, which the sysvar holds.
                epoch_lamports: 0,
                stakes: &stakes,
                history: stakes.history(),
                distribution_votes: votes_of(next).ok_or(RestoreError::EpochStakes(next))?,
                rewarded_votes: votes_of(self.epoch),
                snapshot_votes: votes_of(rewarded_epoch),
                features: self.epoch_features,
                rent: &self.rent,
            };
            let point_value = PointValue { rewards: rewards.total_rewards, points: rewards.total_points };
            recalculate_stake_rewards(&inputs, point_value)
        };
        self.distribution = Some(Arc::new(RewardDistribution::resume(recalculated, &rewards)));
        Ok(())
    }

    /// This epoch's and, as far as its leaders must be known, the next one's; none later.
    fn check_epoch_stakes(&self) -> Result<(), RestoreError> {
        let last = self.chain.epoch_schedule.get_leader_schedule_epoch(self.slot);
        let needed = |epoch: &Epoch| self.epoch_stakes.get(epoch).is_some_and(|entry| entry.schedule.is_some());
        if let Some(missing) = (self.epoch..=last).find(|epoch| !needed(epoch)) {
            return Err(RestoreError::EpochStakes(missing));
        }
        match self.epoch_stakes.keys().find(|epoch| **epoch > last) {
            Some(surplus) => Err(RestoreError::EpochStakes(*surplus)),
            None => Ok(()),
        }
    }

    /// Nobody was drawn to lead slot 0; the identity with the most stake counts as its leader.
    fn check_leader(&mut self, said: Pubkey) -> Result<(), RestoreError> {
        let leader = if self.slot == 0 {
            self.stakes.get_mut().expect("invariant: no panic while the stakes are held").highest_staked_node()
        } else {
            self.leader_at(self.slot)
        };
        self.leader = leader.ok_or(RestoreError::EpochStakes(self.epoch))?;
        differs("leader", said, self.leader.identity)
    }

    /// The slots of the list must be the newest ones that the slot history knows (snapshot_bank_utils.rs:
    /// verify_slot_deltas): a slot left out would let its transactions be processed again.
    fn check_statuses(&self, statuses: &RestoredStatuses) -> Result<(), RestoreError> {
        let no_history = || RestoreError::NoAccount(sysvar::slot_history::id());
        let (account, _) = self.load(&sysvar::slot_history::id()).ok_or_else(no_history)?;
        let newest =
            crate::sysvars::newest_slots(account.data(), self.slot, statuses.roots_max()).ok_or_else(no_history)?;
        match newest.symmetric_difference(statuses.roots()).last() {
            Some(slot) => Err(RestoreError::Statuses(*slot)),
            None => Ok(()),
        }
    }

    fn check_accounts(&self, said: &LtHash) -> Result<(), RestoreError> {
        let mut lamports = 0u64;
        let mut sum = LtHash::identity();
        let mut changes = Vec::with_capacity(ACCOUNTS_PER_SUM);
        let mut add = |changes: &mut Vec<Change>| {
            sum.mix_in(&Delta::new(changes, &HashMap::new()).sum);
            changes.clear();
        };
        self.forks.accounts.rooted().for_each(&mut |key, account, _| {
            lamports = lamports.saturating_add(account.lamports());
            changes.push(Change { key: *key, before: None, after: account.clone() });
            if changes.len() == ACCOUNTS_PER_SUM {
                add(&mut changes);
            }
        });
        add(&mut changes);
        differs("lattice hash", said.checksum(), sum.checksum())?;
        differs("capitalization", self.capitalization.load(Relaxed), lamports)
    }

    fn rooted_accounts_of(&self, owner: &Pubkey) -> Vec<(Pubkey, AccountSharedData)> {
        self.forks.accounts.owned_by(owner, &self.ancestors, |_, _| true)
    }
}

/// The parts of a bank under construction that are still to be checked or moved in.
struct RestoredState {
    hash: Hash,
    leader: Pubkey,
    lt_hash: LtHash,
    bank: Bank,
    stakes: RestoredStakes,
    statuses: RestoredStatuses,
}

impl RestoredState {
    fn new(
        genesis: &GenesisConfig,
        genesis_hash: Hash,
        restored: RestoredBank,
        accounts: Accounts,
    ) -> Result<Self, RestoreError> {
        let slot = restored.slot;
        let schedule = restored.epoch_schedule;
        let epoch = schedule.get_epoch(slot);
        let features = FeatureSet::default();
        let genesis_slot_params =
            SlotParams::genesis(genesis.ns_per_slot(), genesis.slots_per_year(), genesis.hashes_per_tick());
        let epoch_stakes = restored
            .epoch_stakes
            .into_iter()
            .map(|(epoch, said)| Ok((epoch, Arc::new(EpochEntry::new(epoch_stakes(epoch, said)?, &schedule)))))
            .collect::<Result<BTreeMap<_, _>, RestoreError>>()?;
        let forks = Arc::new(Forks::restored(accounts, slot));
        let processor = TransactionBatchProcessor::new_uninitialized(slot, epoch);
        processor
            .global_program_cache
            .write()
            .expect("invariant: the cache is new")
            .set_fork_graph(Arc::downgrade(&forks.tree));
        let _ = forks.programs.set(processor.global_program_cache.clone());
        let no_stakes = StakesCache::restored([], epoch, StakeHistory::default(), &Default::default());
        let bank = Bank {
            slot_params: SlotParamsTable::new(&features, &schedule, genesis_slot_params),
            epoch_features: EpochFeatures::new(&features, &schedule),
            runtime: RuntimeCaches::new(&features),
            features: Arc::new(features),
            chain: Arc::new(Chain {
                genesis_hash,
                genesis_creation_time: genesis.creation_time,
                genesis_slot_params,
                ticks_per_slot: genesis.ticks_per_slot,
                epoch_schedule: schedule,
                hard_forks: restored.hard_forks,
            }),
            forks,
            parent: RwLock::new(None),
            slot,
            parent_slot: restored.parent_slot,
            parent_hash: restored.parent_hash,
            epoch,
            block_height: restored.block_height,
            leader: SlotLeader::default(),
            ancestors: Ancestors::only(slot),
            fees: restored.fees,
            hashes_per_tick: restored.hashes_per_tick,
            max_tick_height: restored.max_tick_height,
            inflation: restored.inflation,
            rent: genesis.rent.clone(),
            reserved: Arc::new(ReservedAccountKeys::default()),
            epoch_stakes: Arc::new(epoch_stakes),
            distribution: None,
            processor,
            stakes: RwLock::new(no_stakes),
            blockhashes: RwLock::new(Arc::new(restored.blockhashes)),
            tick_height: AtomicU64::new(restored.tick_height),
            transaction_count: AtomicU64::new(restored.transaction_count),
            signature_count: AtomicU64::new(restored.signature_count),
            capitalization: AtomicU64::new(restored.capitalization),
            collected_fees: Mutex::new(FeeDetails::default()),
            costs: Mutex::new(CostTracker::default()),
            rewards: Mutex::new(Vec::new()),
            gate: RwLock::new(()),
            frozen: OnceLock::new(),
            lattice: OnceLock::new(),
            block_id: RwLock::new(restored.block_id),
        };
        Ok(Self {
            hash: restored.hash,
            leader: restored.leader,
            lt_hash: restored.lt_hash,
            bank,
            stakes: restored.stakes,
            statuses: restored.statuses,
        })
    }
}

fn check_cluster(genesis: &GenesisConfig, restored: &RestoredBank) -> Result<(), RestoreError> {
    let differing = [
        ("creation time", restored.genesis_creation_time == genesis.creation_time),
        ("number of ticks per slot", restored.ticks_per_slot == genesis.ticks_per_slot),
        ("epoch schedule", restored.epoch_schedule == genesis.epoch_schedule),
    ];
    if let Some((what, _)) = differing.iter().find(|(_, is_equal)| !is_equal) {
        return Err(RestoreError::OtherCluster { what });
    }
    let ticks = restored.slot.saturating_add(1).saturating_mul(genesis.ticks_per_slot);
    differs("max tick height", restored.max_tick_height, ticks)?;
    differs("tick height", restored.tick_height, ticks)
}

fn epoch_stakes(epoch: Epoch, said: RestoredEpochStakes) -> Result<EpochStakes, RestoreError> {
    let vote_accounts = said
        .vote_accounts
        .into_iter()
        .map(|(key, stake, account)| {
            let account = VoteAccount::parse(&account).ok();
            account.map(|account| (key, (stake, account))).ok_or(RestoreError::Stakes { what: "vote account", key })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let stakes = EpochStakes::new(epoch, vote_accounts.into_iter().collect());
    differs("total stake of an epoch", said.total_stake, stakes.total_stake())?;
    if **stakes.authorized_voters() != said.authorized_voters {
        return Err(RestoreError::EpochStakes(epoch));
    }
    Ok(stakes)
}

fn differs<T: PartialEq + ToString>(field: &'static str, said: T, computed: T) -> Result<(), RestoreError> {
    if said == computed {
        return Ok(());
    }
    Err(RestoreError::Differs { field, said: said.to_string(), computed: computed.to_string() })
}

/// Enough for every core to have its share, few enough not to hold a second copy of all accounts.
const ACCOUNTS_PER_SUM: usize = 1 << 16;
