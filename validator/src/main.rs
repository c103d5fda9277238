//! The `validator` binary: parse, dispatch, report. What runs is in `node.rs`; the commands are in `commands/` and `dev/`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[macro_use]
mod out;

mod admin;
mod args;
mod commands;
mod config;
mod dev;
mod exit;
mod failover;
mod logging;
mod node;
mod own_votes;
mod pki;
mod release;
mod rpc_client;
mod signals;
mod stage;
mod stages;
mod status;
mod topology;
mod views;
mod vote_path;

use {
    args::{Cli, Command},
    clap::Parser,
    exit::{Failure, Status},
    std::process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    signals::hold();
    let ended = dispatch(&Cli::parse());
    logging::flush();
    match ended {
        Ok(()) => Status::Done.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.status.into()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<(), Failure> {
    if let Some(args) = cli.run_args().unwrap_or_else(|error| error.exit()) {
        signals::answer()?;
        let config = config::Config::new(&cli.ledger, args)?;
        logging::start(config.log.as_deref())?;
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        return node::run(config);
    }
    signals::let_go();
    let ledger = &cli.ledger;
    match &cli.command {
        None | Some(Command::Run(_)) => Ok(()),
        Some(Command::Genesis(args)) => commands::genesis(ledger, args),
        Some(Command::Dev(args)) => dev::run(args),
        Some(Command::SetIdentity(args)) => commands::set_identity(ledger, args),
        Some(Command::WaitForRestartWindow(args)) => commands::wait_for_restart_window(ledger, args),
        Some(Command::Exit(args)) => commands::exit(ledger, args),
        Some(Command::ContactInfo(format)) => commands::contact_info(ledger, *format),
        Some(Command::AuthorizedVoter { command }) => commands::authorized_voter(ledger, command),
        Some(Command::SetLogFilter { filter }) => commands::set_log_filter(ledger, filter),
        Some(Command::Audit(args)) => commands::audit(args),
        Some(Command::FaultTests(args)) => dev::faults::run(args),
        Some(Command::Certs { command }) => commands::certs(command),
        Some(Command::Doctor(args)) => commands::doctor(ledger, args),
        Some(Command::Tower { command }) => commands::tower(ledger, command),
        Some(Command::Ledger { command }) => commands::ledger(ledger, command),
        Some(Command::Monitor(args)) => commands::monitor(ledger, args),
        Some(Command::Failover { command }) => commands::failover(ledger, command),
    }
}
