//! `validator failover …`: each command asks the running validator, or the store itself when none runs.

mod hold;
mod plan;
mod rehearse;
mod run;
mod show;

use {
    super::read_keypair,
    crate::{
        admin::client::AdminClient,
        args::{FailoverCommand, FailoverTarget},
        exit::{Failure, Status},
        failover::Desk,
    },
    arc_swap::ArcSwapOption,
    serde::Serialize,
    std::{path::Path, sync::Arc},
    tandem_etcd::{EtcdKv, EtcdOptions},
    tandem_genesis::Genesis,
    tandem_types::{Pubkey, Signer, UnixMillis},
};

pub fn failover(ledger: &Path, command: &FailoverCommand) -> Result<(), Failure> {
    match command {
        FailoverCommand::Status(args) => show::status(ledger, args),
        FailoverCommand::History(args) => show::history(ledger, args),
        FailoverCommand::Recover(args) => show::recover(ledger, args),
        FailoverCommand::Plan(args) => plan::plan(ledger, args),
        FailoverCommand::Run(args) => run::run(ledger, args),
        FailoverCommand::Rehearse(args) => rehearse::rehearse(ledger, args),
        FailoverCommand::Hold(args) => hold::hold(ledger, args),
    }
}

/// Whom a command asks.
enum Source {
    Node(AdminClient),
    Store(Desk),
}

/// The running validator if there is one.
fn source(ledger: &Path, target: &FailoverTarget) -> Result<Source, Failure> {
    let no_node = match AdminClient::connect(ledger) {
        Ok(client) => return Ok(Source::Node(client)),
        Err(failure) => failure,
    };
    let Some(identity) = target.identity.as_deref().filter(|_| !target.etcd_endpoint.is_empty()) else {
        return Err(no_node.remedy(
            "name the ledger folder of a running validator with --ledger DIR, or the store with --etcd-endpoint HOST:PORT \
             --identity ADDRESS (and --etcd-cacert-file, --etcd-cert-file, --etcd-key-file)",
        ));
    };
    let genesis = Genesis::load(ledger).map_err(|error| {
        Failure::caused(Status::Usage, &error)
            .remedy("the genesis names the keys in the store: give --ledger a folder with the cluster's genesis.bin")
    })?;
    let options = EtcdOptions {
        cacert_file: target.etcd_cacert_file.clone(),
        cert_file: target.etcd_cert_file.clone(),
        key_file: target.etcd_key_file.clone(),
        domain_name: target.etcd_domain_name.clone(),
        ..EtcdOptions::new(target.etcd_endpoint.clone())
    };
    let kv = EtcdKv::open(options).map_err(|error| Failure::caused(Status::Usage, &error))?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = format!("{}:command line", machine.trim());
    let whose = Arc::new(ArcSwapOption::from_pointee(address_of(identity)?));
    Ok(Source::Store(Desk { kv, genesis_hash: genesis.hash, whose, vote_account: None, host }))
}

/// An address, or a keypair file whose public half is meant.
fn address_of(text: &str) -> Result<Pubkey, Failure> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => Ok(read_keypair(Path::new(text))?.pubkey()),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(value).map_err(Failure::failed)?);
    Ok(())
}

fn or_none(slot: Option<u64>) -> String {
    slot.map_or("none".to_owned(), |slot| slot.to_string())
}

/// As `2026-01-31 12:00:05Z`: days by the civil calendar.
fn date(at: UnixMillis) -> String {
    let seconds = at.0 / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years: leap days come last in such a year.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_251_200, "2024-03-01 00:00:00Z"),
            (1_767_225_599, "2025-12-31 23:59:59Z"),
        ] {
            assert_eq!(date(UnixMillis(seconds * 1_000)), text);
        }
    }
}
