//! What a block's state consists of.

use {
    crate::{BlockhashQueue, Forks, SlotTree, runtime::RuntimeCaches},
    agave_feature_set::FeatureSet,
    agave_reserved_account_keys::ReservedAccountKeys,
    solana_cost_model::cost_tracker::CostTracker,
    solana_fee_calculator::FeeRateGovernor,
    solana_fee_structure::FeeDetails,
    solana_hard_forks::HardForks,
    solana_inflation::Inflation,
    solana_rent::Rent,
    solana_svm::transaction_processor::TransactionBatchProcessor,
    std::{
        collections::{BTreeMap, HashMap},
        fmt,
        sync::{Arc, Mutex, OnceLock, RwLock, atomic::AtomicU64},
    },
    tandem_accounts::{Ancestors, LtHash},
    tandem_epoch::{
        EpochFeatures, EpochStakes, LeaderSchedule, RewardDistribution, RewardInfo, SlotLeader, SlotParamsTable,
        StakesCache,
    },
    tandem_types::{BlockId, Epoch, EpochSchedule, Hash, Pubkey, Slot, UnixTimestamp},
};

/// A block's state. Used as `Arc<Bank>`: made by `Bank::from_genesis` or `Bank::child`, filled by `commit` and
/// `register_tick` until it is complete, then frozen for good.
pub struct Bank {
    pub(crate) forks: Arc<Forks>,
    pub(crate) chain: Arc<Chain>,
    /// Until this bank is rooted: then nobody needs the way down any more.
    pub(crate) parent: RwLock<Option<Arc<Bank>>>,

    pub(crate) slot: Slot,
    pub(crate) parent_slot: Slot,
    pub(crate) parent_hash: Hash,
    pub(crate) epoch: Epoch,
    pub(crate) block_height: u64,
    pub(crate) leader: SlotLeader,
    pub(crate) ancestors: Ancestors,

    // Fixed when the bank begins.
    pub(crate) fees: FeeRateGovernor,
    pub(crate) hashes_per_tick: Option<u64>,
    pub(crate) max_tick_height: u64,
    pub(crate) slot_params: SlotParamsTable,
    pub(crate) inflation: Inflation,
    pub(crate) rent: Rent,
    pub(crate) features: Arc<FeatureSet>,
    pub(crate) epoch_features: EpochFeatures,
    pub(crate) reserved: Arc<ReservedAccountKeys>,
    pub(crate) epoch_stakes: Arc<BTreeMap<Epoch, Arc<EpochEntry>>>,
    pub(crate) distribution: Option<Arc<RewardDistribution>>,
    pub(crate) processor: TransactionBatchProcessor<SlotTree>,
    pub(crate) runtime: RuntimeCaches,

    // Changed while the block executes.
    pub(crate) stakes: RwLock<StakesCache>,
    pub(crate) blockhashes: RwLock<Arc<BlockhashQueue>>,
    pub(crate) tick_height: AtomicU64,
    pub(crate) transaction_count: AtomicU64,
    pub(crate) signature_count: AtomicU64,
    pub(crate) capitalization: AtomicU64,
    pub(crate) collected_fees: Mutex<FeeDetails>,
    pub(crate) costs: Mutex<CostTracker>,
    pub(crate) rewards: Mutex<Vec<(Pubkey, RewardInfo)>>,

    // The end.
    /// Whoever changes the bank holds this for reading; freezing holds it for writing, and so waits for them.
    pub(crate) gate: RwLock<()>,
    /// The bank hash. Apart from the gate, so that asking for it never waits.
    pub(crate) frozen: OnceLock<Hash>,
    pub(crate) lattice: OnceLock<Lattice>,
    pub(crate) block_id: RwLock<Option<BlockId>>,
}

/// What never changes on a chain.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) genesis_hash: Hash,
    pub(crate) genesis_creation_time: UnixTimestamp,
    pub(crate) genesis_slot_params: tandem_epoch::SlotParams,
    pub(crate) ticks_per_slot: u64,
    pub(crate) epoch_schedule: EpochSchedule,
    pub(crate) hard_forks: HardForks,
}

/// The stakes of one epoch and the leader schedule drawn from them.
#[derive(Debug)]
pub struct EpochEntry {
    pub stakes: Arc<EpochStakes>,
    /// `None` if nobody with stake may lead.
    pub schedule: Option<Arc<LeaderSchedule>>,
}

/// The lattice hash of a frozen bank.
pub(crate) struct Lattice {
    pub(crate) sum: LtHash,
    /// Elements of the larger accounts this slot wrote: a child that writes them again need not hash them again.
    pub(crate) elements: HashMap<Pubkey, LtHash>,
}

impl EpochEntry {
    pub(crate) fn new(stakes: EpochStakes, schedule: &EpochSchedule) -> Self {
        let epoch = stakes.epoch();
        let leaders = LeaderSchedule::new(epoch, schedule.get_slots_in_epoch(epoch), &stakes).ok();
        Self { stakes: Arc::new(stakes), schedule: leaders.map(Arc::new) }
    }
}

impl Drop for Bank {
    /// Parents one after the other: a long unrooted line dropped recursively could overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.get_mut().ok().and_then(Option::take);
        while let Some(mut bank) = next.and_then(Arc::into_inner) {
            next = bank.parent.get_mut().ok().and_then(Option::take);
        }
    }
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank")
            .field("slot", &self.slot)
            .field("parent_slot", &self.parent_slot)
            .field("block_height", &self.block_height)
            .field("hash", &self.frozen.get())
            .finish_non_exhaustive()
    }
}
