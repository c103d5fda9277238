//! The command line. Flags have agave's names where agave has them; they are checked once, here.

mod audit;
mod certs;
mod dev;
mod doctor;
mod failover;
mod faults;
mod ledger;
mod operate;
mod run;
mod store;
mod tower;

#[cfg(test)]
mod tests;

use {
    clap::{CommandFactory, Parser, Subcommand},
    std::path::PathBuf,
};

pub use {
    audit::AuditArgs,
    certs::{CertsCommand, CertsInitArgs, CertsRenewArgs, CertsShowArgs},
    dev::{DevArgs, GenesisArgs},
    doctor::DoctorArgs,
    failover::{
        FailoverCommand, FailoverTarget, HistoryArgs, HoldArgs, HoldWish, PlanArgs, RecoverArgs, RehearseArgs,
        RunHandoverArgs, StatusArgs,
    },
    faults::FaultTestsArgs,
    ledger::{CheckSnapshotArgs, GenesisHashArgs, LedgerCommand, VerifyArgs},
    operate::{AuthorizedVoterCommand, ExitArgs, MonitorArgs, OutputFormat, SetIdentityArgs, WaitArgs},
    run::{Failback, FailoverMode, OnLoss, RunArgs},
    store::{StoreArgs, TowerStorageKind},
    tower::{
        TowerCommand, TowerDiffArgs, TowerExportArgs, TowerFormat, TowerImportArgs, TowerPlaceArgs, TowerShowArgs,
        TowerVerifyArgs,
    },
};

/// A Solana-compatible validator with failover built in: one identity on two machines, its votes and leader slots
/// recorded in etcd before they are signed, so that the two can never contradict each other.
#[derive(Parser, Debug)]
#[command(
    name = "validator",
    version,
    after_help = "Without a command the validator runs. Try a whole cluster on this machine with: validator dev\n\
                  Exit status: 0 done, 1 failed, 2 usage, 5 refused, 6 timed out, 7 fenced (another machine has the \
                  identity), 8 store lost, 9 tower missing, 10 a twin with another store."
)]
pub struct Cli {
    /// Folder of the ledger; the admin socket is <LEDGER>/admin.rpc
    #[arg(short = 'l', long, value_name = "DIR", default_value = "ledger", global = true)]
    pub ledger: PathBuf,

    #[command(flatten)]
    pub run: RunArgs,

    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// What to run the validator with, when that is what was asked for. `Err`: flags before the word `run`, which would
    /// otherwise be silently forgotten.
    pub fn run_args(&self) -> Result<Option<&RunArgs>, clap::Error> {
        match &self.command {
            None => Ok(Some(&self.run)),
            Some(Command::Run(_)) if self.run != Cli::parse_from(["validator"]).run => Err(Cli::command().error(
                clap::error::ErrorKind::ArgumentConflict,
                "flags of the validator go after the word `run`, or leave the word out",
            )),
            Some(Command::Run(args)) => Ok(Some(args)),
            Some(_) => Ok(None),
        }
    }
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the validator (what happens without a command)
    Run(Box<RunArgs>),
    /// Make a development genesis
    Genesis(GenesisArgs),
    /// Run a whole cluster on this machine: certificates, three etcd members, two voters, a primary and a secondary
    Dev(DevArgs),
    /// Take over an identity on a running validator (or, with another key, step down to it)
    SetIdentity(SetIdentityArgs),
    /// Wait for a good moment to hand over or restart
    WaitForRestartWindow(WaitArgs),
    /// Stop a running validator at a good moment; it releases its identity first
    Exit(ExitArgs),
    /// Show the gossip contact of a running validator
    ContactInfo(OutputFormat),
    /// Change the authorized voters of a running validator
    AuthorizedVoter {
        #[command(subcommand)]
        command: AuthorizedVoterCommand,
    },
    /// Change what a running validator logs (RUST_LOG syntax)
    SetLogFilter {
        /// For example `info` or `tandem_vote=debug,info`
        filter: String,
    },
    /// The promises of an identity: show, export, import, verify, compare
    Tower {
        #[command(subcommand)]
        command: Box<TowerCommand>,
    },
    /// Certificates for etcd and the validators of a pair: make, renew, show
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Check everything a failover needs: keys, certificates, etcd, ports, the tower, the chain
    Doctor(Box<DoctorArgs>),
    /// Judge what was released for conflicting votes, lockout violations and duplicate blocks
    Audit(AuditArgs),
    /// Break a cluster on this machine again and again, and report what stayed SAFE and LIVE (ci/faults)
    #[command(hide = true)]
    FaultTests(FaultTestsArgs),
    /// Look at ledgers, and compare our banks with agave's
    Ledger {
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Watch a running validator: one plain line now, then one a second
    Monitor(MonitorArgs),
    /// Look at the pair, plan, rehearse and run a handover, forbid automatic failover, recover
    Failover {
        #[command(subcommand)]
        command: FailoverCommand,
    },
}
