//! Flags of `validator doctor`.

use {
    super::{OutputFormat, RunArgs},
    clap::Args,
};

#[derive(Args, Debug)]
#[command(
    after_help = "Give it the flags the validator is started with; or only --ledger, and the flags of the validator that runs there are \
                  used. It changes nothing anywhere. Exit status 0: nothing is wrong (there may be warnings). 1: something is."
)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub run: RunArgs,

    /// JSON-RPC of a node to compare with [default: the running validator's, if there is one]
    #[arg(short = 'u', long, value_name = "URL")]
    pub url: Option<String>,

    #[command(flatten)]
    pub format: OutputFormat,
}
