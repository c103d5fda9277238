//! Flags of `validator audit`.

use {super::OutputFormat, clap::Args, std::path::PathBuf};

#[derive(Args, Debug)]
#[command(
    after_help = "Give everything that belongs together at once: the release logs of both machines (--release-log), packet captures \
                        (tcpdump -w FILE udp), ledger folders, captures of shreds. Votes over QUIC are encrypted and cannot be \
                        read from a packet capture; they are found in gossip and in blocks. Exit status 0: nothing contradicts \
                        itself; 1: something does, or there was nothing to judge."
)]
pub struct AuditArgs {
    /// Release logs, packet captures, ledger folders
    #[arg(required = true, value_name = "FILE_OR_LEDGER")]
    pub inputs: Vec<PathBuf>,

    /// Judge only what this identity signed, and check its signatures: an address or a keypair file. Several, if a vote account has changed
    /// its identity
    #[arg(long, value_name = "ADDRESS")]
    pub identity: Vec<String>,

    #[command(flatten)]
    pub format: OutputFormat,
}
