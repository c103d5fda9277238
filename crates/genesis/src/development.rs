//! Makes the genesis of a development cluster, with the content solana-genesis gives one.

use {
    crate::{error::GenesisError, genesis::Genesis, programs::Program},
    agave_feature_set::{
        FEATURE_NAMES, alpenglow, disable_sbpf_v0_v1_v2_deployment, reduce_slot_time_to_200ms,
        reduce_slot_time_to_250ms, reduce_slot_time_to_300ms, reduce_slot_time_to_350ms,
    },
    solana_account::Account,
    solana_bls_signatures::keypair::Keypair as BlsKeypair,
    solana_cluster_type::ClusterType,
    solana_epoch_rewards as epoch_rewards,
    solana_epoch_schedule::EpochSchedule,
    solana_feature_gate_interface::Feature,
    solana_fee_calculator::FeeRateGovernor,
    solana_genesis_config::GenesisConfig,
    solana_inflation::Inflation,
    solana_poh_config::PohConfig,
    solana_rent::Rent,
    solana_sdk_ids::{config, feature, stake, system_program, sysvar, vote},
    solana_stake_interface::{
        stake_flags::StakeFlags,
        state::{Authorized, Delegation, Meta, Stake, StakeStateV2},
    },
    solana_vote_interface::{
        authorized_voters::AuthorizedVoters,
        state::{VoteStateV4, VoteStateVersions},
    },
    std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    },
    tandem_types::{Epoch, Keypair, Pubkey, UnixTimestamp},
};

/// A validator that is there from the start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValidatorSpec {
    pub identity: Pubkey,
    pub vote: Pubkey,
    pub stake: Pubkey,
    /// Of the identity.
    pub lamports: u64,
    /// Of the stake account, its rent included.
    pub stake_lamports: u64,
    /// From `bls_pubkey`; `None` is 48 zero bytes as solana-genesis writes without one, which admits the validator too.
    pub bls: Option<[u8; 48]>,
}

/// What the cluster shall be like. `new` gives what `solana-genesis --cluster-type development` gives by default.
#[derive(Clone, PartialEq, Debug)]
pub struct DevelopmentGenesis {
    pub creation_time: UnixTimestamp,
    pub validators: Vec<ValidatorSpec>,
    pub faucet: Pubkey,
    pub faucet_lamports: u64,
    pub slots_per_epoch: u64,
    pub ticks_per_slot: u64,
    pub slot_duration: Duration,
    /// `None`: no hash count, ticks are paced by the clock alone.
    pub hashes_per_tick: Option<u64>,
    /// Every feature agave 4.2.2 knows is active from slot 0, except Alpenglow and these.
    pub deactivated_features: Vec<Pubkey>,
    /// See `standard_programs`.
    pub programs: Vec<Program>,
    pub rent: Rent,
    pub vote_commission_percent: u8,
}

#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    #[error("a cluster needs at least one validator")]
    NoValidators,
    #[error(
        "the key {0} is used for two accounts; every validator needs an identity, a vote and a stake key of its own"
    )]
    KeyUsedTwice(Pubkey),
    #[error(
        "{lamports} lamports of stake for {identity} are less than rent and one lamport to delegate: give {needed}"
    )]
    TooLittleStake { identity: Pubkey, lamports: u64, needed: u64 },
    #[error("the faucet has no lamports; give it some, nothing else can pay for transactions")]
    EmptyFaucet,
    #[error("{0} is no feature of agave 4.2.2; check the id")]
    UnknownFeature(Pubkey),
    #[error("all accounts together have more lamports than fit in 64 bits; give less to validators and faucet")]
    TooManyLamports,
    #[error(transparent)]
    Genesis(#[from] GenesisError),
}

#[derive(Debug, thiserror::Error)]
#[error("deriving a BLS key from the identity")]
pub struct BlsKeyError(#[from] solana_bls_signatures::BlsError);

/// The BLS key that belongs to an identity: the CLI derives the same one for `create-vote-account`
/// (solana-cli vote.rs: process_create_vote_account).
pub fn bls_pubkey(identity: &Keypair) -> Result<[u8; 48], BlsKeyError> {
    Ok(BlsKeypair::derive_from_signer(identity, BLS_KEY_SEED)?.public.to_bytes_compressed())
}

/// Deactivate these for a cluster whose slots stay as long as the genesis says, and into which programs built for SBPF
/// before version 3 can be deployed: what one wants on a desk.
pub fn features_for_steady_slots() -> Vec<Pubkey> {
    vec![
        reduce_slot_time_to_350ms::id(),
        reduce_slot_time_to_300ms::id(),
        reduce_slot_time_to_250ms::id(),
        reduce_slot_time_to_200ms::id(),
        disable_sbpf_v0_v1_v2_deployment::id(),
    ]
}

impl DevelopmentGenesis {
    /// 400 ms slots of 64 ticks without hash count, 8,192 slots an epoch, all features but Alpenglow, no programs.
    pub fn new(
        creation_time: UnixTimestamp,
        faucet: Pubkey,
        faucet_lamports: u64,
        validators: Vec<ValidatorSpec>,
    ) -> Self {
        Self {
            creation_time,
            validators,
            faucet,
            faucet_lamports,
            slots_per_epoch: solana_clock::DEFAULT_DEV_SLOTS_PER_EPOCH,
            ticks_per_slot: solana_clock::DEFAULT_TICKS_PER_SLOT,
            slot_duration: Duration::from_millis(solana_clock::DEFAULT_MS_PER_SLOT),
            hashes_per_tick: None,
            deactivated_features: Vec::new(),
            programs: Vec::new(),
            rent: Rent::default(),
            vote_commission_percent: 100,
        }
    }

    pub fn build(&self) -> Result<Genesis, DevelopmentError> {
        self.check()?;
        let mut accounts = BTreeMap::new();
        // In solana-genesis' order: what comes later replaces what has the same key.
        accounts.insert(self.faucet, system_account(self.faucet_lamports));
        accounts.insert(stake_config_id(), self.stake_config_account());
        accounts.insert(sysvar::epoch_rewards::id(), self.epoch_rewards_account());
        accounts.extend(self.active_features().map(|id| (id, self.feature_account())));
        for validator in &self.validators {
            accounts.insert(validator.identity, system_account(validator.lamports));
            accounts.insert(validator.stake, self.stake_account(validator));
            accounts.insert(validator.vote, self.vote_account(validator));
        }
        accounts.extend(self.programs.iter().flat_map(|program| program.accounts.iter().cloned()));
        let lamports = accounts.values().try_fold(0_u64, |sum, account| sum.checked_add(account.lamports));
        lamports.ok_or(DevelopmentError::TooManyLamports)?;
        Ok(Genesis::new(self.config(accounts))?)
    }

    fn check(&self) -> Result<(), DevelopmentError> {
        if self.validators.is_empty() {
            return Err(DevelopmentError::NoValidators);
        }
        if self.faucet_lamports == 0 {
            return Err(DevelopmentError::EmptyFaucet);
        }
        let mut keys = BTreeSet::from([self.faucet]);
        let mut validator_keys = self.validators.iter().flat_map(|spec| [spec.identity, spec.vote, spec.stake]);
        if let Some(twice) = validator_keys.find(|key| !keys.insert(*key)) {
            return Err(DevelopmentError::KeyUsedTwice(twice));
        }
        let needed = self.rent.minimum_balance(StakeStateV2::size_of()).saturating_add(1);
        if let Some(spec) = self.validators.iter().find(|spec| spec.stake_lamports < needed) {
            let ValidatorSpec { identity, stake_lamports: lamports, .. } = *spec;
            return Err(DevelopmentError::TooLittleStake { identity, lamports, needed });
        }
        match self.deactivated_features.iter().find(|id| !FEATURE_NAMES.contains_key(*id)) {
            Some(unknown) => Err(DevelopmentError::UnknownFeature(*unknown)),
            None => Ok(()),
        }
    }

    fn config(&self, accounts: BTreeMap<Pubkey, Account>) -> GenesisConfig {
        // A schedule of fewer than 32 slots panics in the SDK; `Genesis::new` refuses it with a reason.
        let slots_per_epoch = self.slots_per_epoch;
        let epoch_schedule = EpochSchedule {
            slots_per_epoch,
            leader_schedule_slot_offset: slots_per_epoch,
            warmup: false,
            first_normal_epoch: 0,
            first_normal_slot: 0,
        };
        let ticks = u32::try_from(self.ticks_per_slot.max(1)).unwrap_or(u32::MAX);
        GenesisConfig {
            creation_time: self.creation_time,
            accounts,
            native_instruction_processors: Vec::new(),
            rewards_pools: BTreeMap::new(),
            ticks_per_slot: self.ticks_per_slot,
            unused: solana_genesis_config::UNUSED_DEFAULT,
            poh_config: PohConfig {
                target_tick_duration: self.slot_duration / ticks,
                target_tick_count: None,
                hashes_per_tick: self.hashes_per_tick,
            },
            __backwards_compat_with_v0_23: 0,
            fee_rate_governor: FeeRateGovernor::new(
                solana_fee_calculator::DEFAULT_TARGET_LAMPORTS_PER_SIGNATURE,
                solana_fee_calculator::DEFAULT_TARGET_SIGNATURES_PER_SLOT,
            ),
            rent: self.rent.clone(),
            inflation: Inflation::default(),
            epoch_schedule,
            cluster_type: ClusterType::Development,
        }
    }

    fn active_features(&self) -> impl Iterator<Item = Pubkey> {
        FEATURE_NAMES.keys().copied().filter(|id| *id != alpenglow::id() && !self.deactivated_features.contains(id))
    }

    fn feature_account(&self) -> Account {
        let data = bytes_of(&Feature { activated_at: Some(0) });
        // The largest form of the data is reserved, which `Some` happens to be.
        self.rent_exempt(data, feature::id())
    }

    /// A relic that some programs still read: warm-up rate and slash penalty, behind an empty list of config keys.
    #[allow(deprecated)]
    fn stake_config_account(&self) -> Account {
        let mut data = vec![0];
        data.extend(bytes_of(&solana_stake_interface::config::Config::default()));
        self.rent_exempt(data, config::id())
    }

    fn epoch_rewards_account(&self) -> Account {
        let account = self.rent_exempt(vec![0; epoch_rewards::SIZE], sysvar::id());
        Account { rent_epoch: Epoch::MAX, ..account }
    }

    fn vote_account(&self, spec: &ValidatorSpec) -> Account {
        let state = VoteStateV4 {
            node_pubkey: spec.identity,
            authorized_withdrawer: spec.identity,
            authorized_voters: AuthorizedVoters::new(0, spec.identity),
            inflation_rewards_collector: spec.vote,
            inflation_rewards_commission_bps: u16::from(self.vote_commission_percent) * 100,
            block_revenue_collector: spec.identity,
            block_revenue_commission_bps: 0,
            bls_pubkey_compressed: Some(spec.bls.unwrap_or([0; 48])),
            ..VoteStateV4::default()
        };
        let mut data = bytes_of(&VoteStateVersions::new_v4(state));
        data.resize(VoteStateV4::size_of(), 0);
        let rent = self.rent_exempt(data, vote::id());
        Account { lamports: rent.lamports.saturating_add(ADMISSION_TICKETS_LAMPORTS), ..rent }
    }

    /// Delegated from the epoch that stands for "at the beginning": effective at once.
    fn stake_account(&self, spec: &ValidatorSpec) -> Account {
        let rent_min = self.rent.minimum_balance(StakeStateV2::size_of());
        #[allow(deprecated)]
        let meta =
            Meta { authorized: Authorized::auto(&spec.identity), rent_exempt_reserve: rent_min, ..Meta::default() };
        let delegated = spec.stake_lamports.saturating_sub(rent_min);
        let stake_state = Stake { delegation: Delegation::new(&spec.vote, delegated, Epoch::MAX), credits_observed: 0 };
        let mut data = bytes_of(&StakeStateV2::Stake(meta, stake_state, StakeFlags::empty()));
        data.resize(StakeStateV2::size_of(), 0);
        Account { lamports: spec.stake_lamports, data, owner: stake::id(), executable: false, rent_epoch: 0 }
    }

    fn rent_exempt(&self, data: Vec<u8>, owner: Pubkey) -> Account {
        let lamports = self.rent.minimum_balance(data.len()).max(1);
        Account { lamports, data, owner, executable: false, rent_epoch: 0 }
    }
}

fn system_account(lamports: u64) -> Account {
    Account { lamports, data: Vec::new(), owner: system_program::id(), executable: false, rent_epoch: 0 }
}

fn bytes_of(value: &impl serde::Serialize) -> Vec<u8> {
    bincode::serialize(value).expect("invariant: these are plain structures of a few hundred bytes")
}

#[allow(deprecated)]
fn stake_config_id() -> Pubkey {
    solana_stake_interface::config::id()
}

/// agave-votor-messages consensus_message.rs: BLS_KEYPAIR_DERIVE_SEED.
const BLS_KEY_SEED: &[u8] = b"alpenglow";
/// solana-genesis main.rs: DEFAULT_VAT_MINIMUM_LAMPORTS, a hundred epochs of admission tickets at 1.6 SOL.
const ADMISSION_TICKETS_LAMPORTS: u64 = 100 * 1_600_000_000;

#[cfg(test)]
mod tests;
