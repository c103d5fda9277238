//! Flags of `validator fault-tests`.

use {clap::Args, std::path::PathBuf};

#[derive(Args, Debug)]
#[command(
    after_help = "Runs real validators and a real three-member etcd with mutual TLS, breaks things, and judges what was released. As \
                        root every machine gets a network namespace of its own, and the wire is captured; otherwise the scenarios \
                        that need it are skipped, with a line that says so. Exit status 1 when anything was not SAFE, or not LIVE \
                        where that is promised."
)]
pub struct FaultTestsArgs {
    /// How often each scenario is repeated
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: u32,

    /// Only these scenarios (see --list); may be given several times, or with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,

    /// Name the scenarios and end
    #[arg(long)]
    pub list: bool,

    /// Write the table as JSON to FILE
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// The etcd to use, with etcdctl beside it
    #[arg(long, value_name = "PATH", default_value = "etcd")]
    pub etcd: PathBuf,

    /// Folder to work in [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// First port to use
    #[arg(long, value_name = "PORT", default_value_t = 17000, value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    pub base_port: u16,
}
