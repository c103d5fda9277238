//! Flags of `validator [run]`.

use {
    super::StoreArgs,
    clap::{Args, ValueEnum},
    std::{net::IpAddr, path::PathBuf},
};

#[derive(Args, Debug, Clone, PartialEq)]
pub struct RunArgs {
    /// Keypair of this node's identity. With --vote-account this node is the primary and claims the identity once caught up; with
    /// --no-check-vote-account besides it is a secondary, and stays under this one until `set-identity`
    #[arg(short = 'i', long, value_name = "KEYPAIR")]
    pub identity: Option<PathBuf>,

    /// Vote account: address or keypair file. Without it this node never votes and never leads. One that does not exist yet is
    /// waited for; a primary ends with status 5 when it is another identity's
    #[arg(long, value_name = "ADDRESS")]
    pub vote_account: Option<String>,

    /// Keypair that may sign votes besides the identity; may be given several times. A secondary names the primary's
    /// identity keypair here
    #[arg(long = "authorized-voter", value_name = "KEYPAIR")]
    pub authorized_voter: Vec<PathBuf>,

    /// A secondary: --identity is not the one that --vote-account names, and is not claimed without `set-identity`
    #[arg(long)]
    pub no_check_vote_account: bool,

    /// Gossip address of a node to join the cluster through; may be given several times
    #[arg(short = 'n', long, value_name = "HOST:PORT")]
    pub entrypoint: Vec<String>,

    /// Gossip port [default: the first free port of --dynamic-port-range]
    #[arg(long, value_name = "PORT")]
    pub gossip_port: Option<u16>,

    /// Ports for everything else
    #[arg(long, value_name = "FROM-TO", default_value = "8000-10000")]
    pub dynamic_port_range: String,

    /// Address to bind sockets to, and to announce
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub bind_address: IpAddr,

    /// Address to announce in gossip [default: --bind-address]
    #[arg(long, value_name = "IP")]
    pub gossip_host: Option<IpAddr>,

    /// JSON-RPC port; WebSocket is the next one
    #[arg(long, value_name = "PORT")]
    pub rpc_port: Option<u16>,

    /// Address JSON-RPC listens on [default: --bind-address]
    #[arg(long, value_name = "IP")]
    pub rpc_bind_address: Option<IpAddr>,

    /// Do not announce the JSON-RPC port in gossip
    #[arg(long)]
    pub private_rpc: bool,

    /// Loopback and private addresses are allowed in gossip (they always are when the node is bound to one)
    #[arg(long)]
    pub allow_private_addr: bool,

    /// Refuse to start on another genesis
    #[arg(long, value_name = "HASH")]
    pub expected_genesis_hash: Option<String>,

    /// Refuse to start with another shred version
    #[arg(long, value_name = "VERSION")]
    pub expected_shred_version: Option<u16>,

    #[command(flatten)]
    pub store: StoreArgs,

    /// Allow a file store for an identity that was last used with etcd in this ledger folder: no machine uses that etcd for
    /// it any more, and its tower was brought here
    #[arg(long)]
    pub leave_etcd: bool,

    /// How long a record is retried before the store counts as lost, in milliseconds (an etcd leader change takes 1-2 s)
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub etcd_write_timeout: u64,

    /// How long a takeover waits for the owner to release before it goes through anyway, in milliseconds; with 0 the owner is
    /// not even asked
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub intent_deadline: u64,

    /// After a restart, with another machine as owner: take the identity back when caught up, or stay standby
    #[arg(long, value_enum, default_value = "preferred")]
    pub failback: Failback,

    /// Whether this node, while it stands by, promotes itself when the owner is dead: silent in the store, and the
    /// identity's votes have stopped while the cluster moved on. It needs --tower-storage etcd and the identity's
    /// keypair on this machine (a secondary names it with --authorized-voter). `failover hold on` forbids it for a while
    #[arg(long, value_enum, default_value = "off")]
    pub failover: FailoverMode,

    /// With several standbys: who promotes itself first. 10 does not wait; each step below waits half a second longer
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub failover_priority: u8,

    /// When another machine has taken our identity: end with status 7, or stay and stand by under our own key, ready to be
    /// promoted again with `set-identity`
    #[arg(long, value_enum, default_value = "exit")]
    pub on_identity_loss: OnLoss,

    /// When the store cannot be written for --etcd-write-timeout: end with status 8, or stand by; when it is back and still
    /// names this process, it goes on by itself
    #[arg(long, value_enum, default_value = "exit")]
    pub on_store_loss: OnLoss,

    /// Refuse to vote unless the store already holds a tower of this identity
    #[arg(long)]
    pub require_tower: bool,

    /// The first start of an identity that has voted before, with a store that has no tower of it: take the vote account's from the
    /// chain. Nothing is signed for 512 slots then. Not for a store that has lost its tower (see `failover recover`)
    #[arg(long)]
    pub adopt_chain_tower: bool,

    /// Never vote
    #[arg(long)]
    pub no_voting: bool,

    /// Keypair of a development faucet: answers requestAirdrop
    #[arg(long, value_name = "KEYPAIR")]
    pub faucet_keypair: Option<PathBuf>,

    /// Write the log to FILE instead of standard error (`-`)
    #[arg(short = 'o', long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Write every vote and own shred that this node releases to FILE, for an independent audit
    #[arg(long, value_name = "FILE")]
    pub release_log: Option<PathBuf>,

    #[command(flatten)]
    pub ignored: IgnoredArgs,
}

/// Flags that scripts written for agave pass and that have nothing to act on here. They are named in the log.
#[derive(Args, Debug, Clone, Default, PartialEq)]
pub struct IgnoredArgs {
    #[arg(long, hide = true)]
    pub full_rpc_api: bool,
    #[arg(long, hide = true)]
    pub no_wait_for_vote_to_start_leader: bool,
    #[arg(long, hide = true)]
    pub no_os_network_limits_test: bool,
    #[arg(long, hide = true)]
    pub no_poh_speed_test: bool,
    #[arg(long, hide = true)]
    pub no_port_check: bool,
    #[arg(long, hide = true)]
    pub no_genesis_fetch: bool,
    #[arg(long, hide = true)]
    pub no_snapshot_fetch: bool,
    #[arg(long, hide = true)]
    pub no_incremental_snapshots: bool,
    #[arg(long, hide = true)]
    pub only_known_rpc: bool,
    #[arg(long, hide = true)]
    pub known_validator: Vec<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = false)]
    pub limit_ledger_size: Option<Option<String>>,
    #[arg(long, hide = true)]
    pub accounts: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub snapshots: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub wal_recovery_mode: Option<String>,
}

impl IgnoredArgs {
    /// The flags that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--full-rpc-api", self.full_rpc_api),
            ("--no-wait-for-vote-to-start-leader", self.no_wait_for_vote_to_start_leader),
            ("--no-os-network-limits-test", self.no_os_network_limits_test),
            ("--no-poh-speed-test", self.no_poh_speed_test),
            ("--no-port-check", self.no_port_check),
            ("--no-genesis-fetch", self.no_genesis_fetch),
            ("--no-snapshot-fetch", self.no_snapshot_fetch),
            ("--no-incremental-snapshots", self.no_incremental_snapshots),
            ("--only-known-rpc", self.only_known_rpc),
            ("--known-validator", !self.known_validator.is_empty()),
            ("--limit-ledger-size", self.limit_ledger_size.is_some()),
            ("--accounts", self.accounts.is_some()),
            ("--snapshots", self.snapshots.is_some()),
            ("--wal-recovery-mode", self.wal_recovery_mode.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failback {
    Preferred,
    Sticky,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnLoss {
    Exit,
    Standby,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailoverMode {
    Off,
    Auto,
}
