//! What the operator asked for, checked once and turned into plain data. Everything after this file can trust it.
//!
//! A failure here is one line: the file or address, the reason, the remedy.

mod network;
mod store;

pub use {network::Network, store::TowerStorage};

use {
    crate::{
        args::{Failback, FailoverMode, OnLoss, RunArgs, TowerStorageKind},
        exit::{Failure, Status},
    },
    std::{
        fmt, fs,
        path::{Path, PathBuf},
        time::Duration,
    },
    tandem_types::{Hash, Keypair, Pubkey, Signer},
};

/// How to run the validator.
#[derive(Debug)]
pub struct Config {
    /// Absolute.
    pub ledger: PathBuf,
    pub keys: Keys,
    /// Without one this node never votes and never leads.
    pub vote_account: Option<Pubkey>,
    /// Refuse to start unless `keys.identity` is the identity of the vote account.
    pub check_vote_account: bool,
    /// False: follow the cluster, never vote.
    pub voting: bool,
    pub network: Network,
    pub expected_genesis_hash: Option<Hash>,
    pub expected_shred_version: Option<u16>,
    pub tower_storage: TowerStorage,
    /// Go from etcd to a file store, in a ledger folder that knows of the etcd.
    pub leave_etcd: bool,
    pub roles: Roles,
    /// `--failover auto`, with its priority.
    pub auto: Option<u8>,
    pub log: Option<PathBuf>,
    pub release_log: Option<PathBuf>,
    /// What to tell the operator once there is a log.
    pub warnings: Vec<String>,
}

/// Every secret that was given. Shown as public keys only.
pub struct Keys {
    pub identity: Keypair,
    pub authorized_voters: Vec<Keypair>,
    pub faucet: Option<Keypair>,
}

/// What an operator decides about roles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roles {
    /// Name of this node in the store: two nodes on one computer differ, two runs of one node do not.
    pub host: String,
    pub failback: tandem_role::Failback,
    pub on_identity_loss: tandem_role::OnLoss,
    pub on_store_loss: tandem_role::OnLoss,
    pub require_tower: bool,
    pub adopt_chain_tower: bool,
    pub intent_deadline: Duration,
    /// How long a record is retried before the store counts as lost.
    pub write_timeout: Duration,
}

impl Config {
    /// Reads the key files, asks DNS for the entrypoints, looks at the certificate files. Changes nothing.
    pub fn new(ledger: &Path, args: &RunArgs) -> Result<Self, Failure> {
        let ledger = std::path::absolute(ledger)
            .map_err(|error| Failure::usage(format!("--ledger {}: {error}", ledger.display())))?;
        let keys = Keys::read(args)?;
        let vote_account = args.vote_account.as_deref().map(vote_account).transpose()?;
        if vote_account == Some(keys.identity.pubkey()) {
            return Err(Failure::usage("--vote-account is the identity itself")
                .remedy("give the vote account's own address; `solana create-vote-account` makes one"));
        }
        let roles = Roles {
            host: host_name(&ledger),
            failback: match args.failback {
                Failback::Preferred => tandem_role::Failback::Preferred,
                Failback::Sticky => tandem_role::Failback::Sticky,
            },
            on_identity_loss: on_loss(args.on_identity_loss),
            on_store_loss: on_loss(args.on_store_loss),
            require_tower: args.require_tower,
            adopt_chain_tower: args.adopt_chain_tower,
            intent_deadline: Duration::from_millis(args.intent_deadline),
            write_timeout: Duration::from_millis(args.etcd_write_timeout),
        };
        Ok(Self {
            vote_account,
            check_vote_account: !args.no_check_vote_account,
            voting: !args.no_voting && vote_account.is_some(),
            network: Network::new(args)?,
            expected_genesis_hash: args.expected_genesis_hash.as_deref().map(genesis_hash).transpose()?,
            expected_shred_version: args.expected_shred_version,
            tower_storage: TowerStorage::new(&ledger, &args.store)?,
            leave_etcd: args.leave_etcd,
            auto: auto(args)?,
            roles,
            log: args.log.clone().filter(|path| path != Path::new("-")),
            release_log: args.release_log.clone(),
            warnings: warnings(args, vote_account),
            keys,
            ledger,
        })
    }
}

impl Keys {
    fn read(args: &RunArgs) -> Result<Self, Failure> {
        let Some(identity) = &args.identity else {
            return Err(Failure::usage("the validator needs a keypair to speak under")
                .remedy("give --identity KEYPAIR, or try a whole cluster on this machine with `validator dev`"));
        };
        Ok(Self {
            identity: read("--identity", identity)?,
            authorized_voters: args
                .authorized_voter
                .iter()
                .map(|path| read("--authorized-voter", path))
                .collect::<Result<_, _>>()?,
            faucet: args.faucet_keypair.as_ref().map(|path| read("--faucet-keypair", path)).transpose()?,
        })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters: Vec<Pubkey> = self.authorized_voters.iter().map(Signer::pubkey).collect();
        f.debug_struct("Keys")
            .field("identity", &self.identity.pubkey())
            .field("authorized_voters", &voters)
            .field("faucet", &self.faucet.as_ref().map(Signer::pubkey))
            .finish()
    }
}

fn read(flag: &str, path: &Path) -> Result<Keypair, Failure> {
    tandem_identity::read_keypair_file(path).map_err(|error| {
        let failure = Failure::caused(Status::Usage, &error);
        Failure { what: format!("{flag}: {}", failure.what), ..failure }
    })
}

/// An address, or a keypair file whose public half is meant.
fn vote_account(text: &str) -> Result<Pubkey, Failure> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if !Path::new(text).exists() {
        return Err(Failure::usage(format!("--vote-account {text}: neither an address nor a keypair file"))
            .remedy("give the vote account's address in base58, or the path of its keypair file"));
    }
    Ok(read("--vote-account", Path::new(text))?.pubkey())
}

fn genesis_hash(text: &str) -> Result<Hash, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format!("--expected-genesis-hash {text}: {error}"))
            .remedy("give it in base58, as `solana genesis-hash` prints it")
    })
}

/// What can be said against automatic failover before the genesis is known.
fn auto(args: &RunArgs) -> Result<Option<u8>, Failure> {
    match (args.failover, args.store.tower_storage) {
        (FailoverMode::Off, _) => Ok(None),
        (FailoverMode::Auto, _) if args.vote_account.is_none() || args.no_voting => {
            Err(Failure::usage("--failover auto on a node that never votes").remedy("give --vote-account ADDRESS"))
        }
        (FailoverMode::Auto, TowerStorageKind::File) => {
            Err(Failure::usage("--failover auto, but the tower store is a folder of this machine: no other can see it")
                .remedy("add --tower-storage etcd and its --etcd flags"))
        }
        (FailoverMode::Auto, TowerStorageKind::Etcd) => Ok(Some(args.failover_priority)),
    }
}

fn on_loss(wanted: OnLoss) -> tandem_role::OnLoss {
    match wanted {
        OnLoss::Exit => tandem_role::OnLoss::Exit,
        OnLoss::Standby => tandem_role::OnLoss::Standby,
    }
}

/// `machine:ledger`. The ledger folder belongs to one process at a time, so no two running nodes share this name unless
/// two machines share both their names and their folder layout; the store's random instance ids tell even those apart.
fn host_name(ledger: &Path) -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    format!("{}:{}", if machine.is_empty() { "localhost" } else { machine }, ledger.display())
}

fn warnings(args: &RunArgs, vote_account: Option<Pubkey>) -> Vec<String> {
    let mut warnings = Vec::new();
    let files = args.identity.iter().chain(&args.authorized_voter).chain(&args.faucet_keypair);
    for path in files.filter(|path| tandem_identity::is_readable_by_others(path)) {
        warnings.push(format!("{} can be read by other users: `chmod 600 {0}`", path.display()));
    }
    let ignored = args.ignored.given();
    if !ignored.is_empty() {
        warnings.push(format!("accepted for scripts written for agave, without effect here: {}", ignored.join(" ")));
    }
    if vote_account.is_none() {
        warnings.push("no --vote-account: this node follows the cluster, and never votes or leads".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests;
