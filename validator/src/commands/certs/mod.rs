//! `validator certs`: the certificates that etcd and the validators of a pair show each other.

mod init;
mod renew;
mod show;

use {
    crate::{
        args::CertsCommand,
        exit::{Failure, Status},
        pki::Issued,
    },
    std::path::{Path, PathBuf},
    tandem_env::write_durably,
};

pub fn certs(command: &CertsCommand) -> Result<(), Failure> {
    match command {
        CertsCommand::Init(args) => init::init(args),
        CertsCommand::Renew(args) => renew::renew(args),
        CertsCommand::Show(args) => show::show(args),
    }
}

/// Certificate and key of a name.
fn files(dir: &Path, name: &str) -> [PathBuf; 2] {
    [dir.join(format!("{name}.pem")), dir.join(format!("{name}-key.pem"))]
}

/// The key first: a certificate without its key is what readers must never find for long, and they keep the old pair
/// until both fit.
fn write_pair(dir: &Path, name: &str, issued: &Issued) -> Result<(), Failure> {
    let [certificate, key] = files(dir, name);
    write(&key, &issued.key)?;
    write(&certificate, &issued.certificate)
}

/// Whole or not at all, readable by its owner only.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    write_durably(path, text.as_bytes()).map_err(|error| Failure::caused(Status::Failed, &error))
}

const AUTHORITY: &str = "etcd-ca";
