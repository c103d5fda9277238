//! Flags of `validator failover`.

use {
    super::{OutputFormat, WaitArgs},
    clap::{Args, Subcommand, ValueEnum},
    std::{path::PathBuf, time::Duration},
};

#[derive(Subcommand, Debug)]
pub enum FailoverCommand {
    /// Both machines at a glance: owner, term, last vote, heartbeat, hold, and whether this node would promote itself
    Status(StatusArgs),
    /// What a handover to this node would do now, step by step, and what would refuse it; changes nothing
    Plan(PlanArgs),
    /// Hand over to this node at a good moment: wait-for-restart-window, then set-identity
    Run(RunHandoverArgs),
    /// Hand over and back on shadow keys in the real store, and measure it; safe at any time
    Rehearse(RehearseArgs),
    /// Forbid automatic failover on every machine for a while
    Hold(HoldArgs),
    /// Who owned the identity when, and why
    History(HistoryArgs),
    /// What is known about the newest vote when the store cannot be trusted, and what to do
    Recover(RecoverArgs),
}

/// Which store to look at when no validator runs at the ledger.
#[derive(Args, Debug, Clone, Default)]
pub struct FailoverTarget {
    /// etcd endpoint, for when no validator answers at the ledger; the other --etcd flags go with it
    #[arg(long, alias = "etcd-endpoints", value_name = "HOST:PORT", value_delimiter = ',', requires = "pair_identity")]
    pub etcd_endpoint: Vec<String>,

    #[arg(long, value_name = "FILE", requires = "etcd_endpoint")]
    pub etcd_cacert_file: Option<PathBuf>,

    #[arg(long, value_name = "FILE", requires = "etcd_endpoint")]
    pub etcd_cert_file: Option<PathBuf>,

    #[arg(long, value_name = "FILE", requires = "etcd_endpoint")]
    pub etcd_key_file: Option<PathBuf>,

    #[arg(long, value_name = "DOMAIN", requires = "etcd_endpoint")]
    pub etcd_domain_name: Option<String>,

    /// With --etcd-endpoint: the identity of the pair, an address or a keypair file
    #[arg(long = "identity", id = "pair_identity", value_name = "ADDRESS")]
    pub identity: Option<String>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Asks the validator of --ledger; when none runs there, the store itself, named by the --etcd flags. The heartbeat's \
                        age compares two machines' wall clocks. Exit status 8: the store cannot be read."
)]
pub struct StatusArgs {
    #[command(flatten)]
    pub target: FailoverTarget,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit status 0: a handover now would go through, as far as can be told from here. Otherwise the status that \
                        set-identity would end with."
)]
pub struct PlanArgs {
    /// Identity to become, an address or a keypair file [default: that of the vote account]
    #[arg(long, value_name = "ADDRESS")]
    pub identity: Option<String>,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Run it on the machine that is to take over. With --output json the last line is the report of set-identity."
)]
pub struct RunHandoverArgs {
    /// Do not wait for a restart window: now
    #[arg(long)]
    pub no_wait: bool,

    /// Refuse, before anything is claimed, when the store holds no tower of that identity
    #[arg(long)]
    pub require_tower: bool,

    /// --identity names the keypair to take over; the other flags are those of wait-for-restart-window
    #[command(flatten)]
    pub window: WaitArgs,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Each round claims, votes, claims a leader slot, asks, releases, claims again, takes over by force, and checks that the \
                        deposed owner is refused: all with the code of a real handover, under a shadow identity that nobody \
                        else uses, in the real store. The real records are not touched."
)]
pub struct RehearseArgs {
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,

    #[command(flatten)]
    pub target: FailoverTarget,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum HoldWish {
    On,
    Off,
    Show,
}

#[derive(Args, Debug)]
#[command(
    after_help = "The hold lies in the store: every standby of this identity obeys it, whatever its own flags. Handovers by operators go \
                        through all the same. Each change leaves an entry in `failover history`."
)]
pub struct HoldArgs {
    #[arg(value_enum)]
    pub wish: HoldWish,

    /// With `on`: for how long, as 90s, 30m, 2h, 1d [default: until `hold off`]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub lasts: Option<Duration>,

    /// Why, for the audit
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    pub reason: String,

    #[command(flatten)]
    pub target: FailoverTarget,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
pub struct HistoryArgs {
    #[command(flatten)]
    pub target: FailoverTarget,

    #[command(flatten)]
    pub format: OutputFormat,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Exit status 0: nothing to recover, or recovered; 5: the store is quarantined. Changes nothing without \
                        --accept-slot or --accept-store."
)]
pub struct RecoverArgs {
    /// Forget the store's old tower: the next owner takes the one on chain. SLOT is the safe slot that this command names;
    /// accepted only once the chain has passed it, when no lockout of a vote the store may have lost is left
    #[arg(long, value_name = "SLOT")]
    pub accept_slot: Option<u64>,

    /// This is the identity's own store, moved without a loss (another cluster id, say): believe it again. Refused if it has
    /// less than this machine has ever seen in it. No restart is needed; run it on each machine
    #[arg(long, conflicts_with = "accept_slot")]
    pub accept_store: bool,

    #[command(flatten)]
    pub target: FailoverTarget,

    #[command(flatten)]
    pub format: OutputFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is not a duration: write it as 90s, 30m, 2h or 1d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some(_) | None => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "a hold lasts from a second to a year".to_owned())
}

const LONGEST: u64 = 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "s", "5", "5w", "-1s", "0s", "99999d", "5µ", "18446744073709551615d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
