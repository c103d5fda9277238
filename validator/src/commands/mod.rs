//! One file for each command of the command line.

mod audit;
mod authorized_voter;
mod certs;
mod check_snapshot;
mod contact_info;
mod doctor;
mod exit;
mod failover;
mod finding;
mod genesis;
mod ledger;
mod monitor;
mod on_chain;
mod place;
mod restart_window;
mod set_identity;
mod set_log_filter;
mod tower;

use {
    crate::exit::{Failure, Status},
    std::{
        io,
        path::{Path, PathBuf},
    },
    tandem_types::Keypair,
};

pub use {
    audit::audit, authorized_voter::authorized_voter, certs::certs, contact_info::contact_info, doctor::doctor,
    exit::exit, failover::failover, genesis::genesis, ledger::ledger, monitor::monitor,
    restart_window::wait_for_restart_window, set_identity::set_identity, set_log_filter::set_log_filter, tower::tower,
};

/// The keypair of a file, or of standard input.
fn keypair_from(path: Option<&PathBuf>) -> Result<Keypair, Failure> {
    match path {
        Some(path) => read_keypair(path),
        None => tandem_identity::read_keypair(&mut io::stdin().lock(), "standard input")
            .map_err(|error| Failure::caused(Status::Usage, &error)),
    }
}

pub fn read_keypair(path: &Path) -> Result<Keypair, Failure> {
    tandem_identity::read_keypair_file(path).map_err(|error| Failure::caused(Status::Usage, &error))
}
