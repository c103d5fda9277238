//! Flags of `validator certs`.

use {
    super::OutputFormat,
    clap::{Args, Subcommand},
    std::path::PathBuf,
};

#[derive(Subcommand, Debug)]
pub enum CertsCommand {
    /// Make an authority, server certificates for etcd and client certificates for the validators
    Init(CertsInitArgs),
    /// Make new certificates from the authority, for the same names; nothing needs a restart
    Renew(CertsRenewArgs),
    /// Show whose a certificate is, for which names, and how long it lasts
    Show(CertsShowArgs),
}

#[derive(Args, Debug)]
#[command(
    after_help = "Writes etcd-ca.pem and etcd-ca-key.pem, etcd.pem (etcd-1.pem, etcd-2.pem, … when there are several members), and one \
                  pair for each machine. Every file is readable by its owner only. Keep etcd-ca-key.pem off all machines."
)]
pub struct CertsInitArgs {
    /// Folder to write to
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,

    /// An etcd member: every name and address it is reached by, with commas between; give it once for each member
    #[arg(long = "member", value_name = "HOST[,HOST]", default_values = ["127.0.0.1"])]
    pub members: Vec<String>,

    /// A machine that runs a validator: the name of its certificate file
    #[arg(long = "machine", value_name = "NAME", default_values = ["validator", "secondary-validator"])]
    pub machines: Vec<String>,

    /// Days until the server and client certificates expire
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,

    /// Days until the authority expires
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    pub ca_days: u32,

    /// Overwrite files that are there already: nothing signed by the old authority is trusted any more
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Keys and certificates are made anew in --dir and replaced whole. Copy each pair to its machine: validators read them \
                  with their next connection to etcd, etcd with its next connection from anybody."
)]
pub struct CertsRenewArgs {
    /// Which, by the name of the file without .pem [default: all that the authority signed]
    pub names: Vec<String>,

    /// Folder of the authority and the certificates
    #[arg(long, value_name = "DIR", default_value = "certs")]
    pub dir: PathBuf,

    /// Days until they expire
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

#[derive(Args, Debug)]
pub struct CertsShowArgs {
    /// Certificate files (PEM)
    #[arg(required = true)]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    pub format: OutputFormat,
}
