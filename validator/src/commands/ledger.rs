//! `validator ledger`: our banks against agave's, what a snapshot holds, and what a genesis is.

use {
    super::check_snapshot::check_snapshot,
    crate::{
        args::{GenesisHashArgs, LedgerCommand, VerifyArgs},
        exit::{Failure, Status},
    },
    serde_json::json,
    std::{
        path::Path,
        time::{Duration, Instant},
    },
    tandem_bank::Verify,
    tandem_capture::{Capture, Difference, How},
    tandem_genesis::Genesis,
};

const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// How far behind the tip a cluster roots.
const ROOT_LAG_SLOTS: u64 = 32;

pub fn ledger(ledger: &Path, command: &LedgerCommand) -> Result<(), Failure> {
    match command {
        LedgerCommand::Verify(args) => verify(args),
        LedgerCommand::CheckSnapshot(args) => check_snapshot(ledger, args),
        LedgerCommand::GenesisHash(args) => genesis_hash(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let mut said = started;
    let mut say = |line: String| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            eprintln!("{line}");
        }
    };
    let failed = |error| Failure::caused(Status::Failed, &error);
    let capture = Capture::read(&args.capture, &mut |shreds| say(format!("{shreds} shreds in our ledger")));
    let capture = capture.map_err(failed)?;
    let how = How { root_lag: ROOT_LAG_SLOTS, verify: Verify::Signatures, in_parallel: true, stop_at_difference: true };
    let report = capture.replay(how, &mut |done, of| say(format!("{done} of {of} slots replayed"))).map_err(failed)?;
    // Replay stops at a difference, so what is to be compared is counted from the capture.
    let (equal, compared) = (report.equal, report.compared);
    if args.format.json() {
        let mut difference = report.first_difference.clone();
        if let Some(difference) = difference.as_mut().filter(|_| !args.accounts) {
            difference.accounts.clear();
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({
                "equal": equal, "compared": compared, "transactions": report.transactions, "seconds": seconds,
                "dead": report.dead, "first_difference": difference, "clean": report.is_equal(),
            })
        );
    } else {
        println!("{equal}/{compared} bank hashes equal");
        if let Some(difference) = &report.first_difference {
            print(difference, args.accounts);
        }
    }
    match &report.first_difference {
        None if report.is_equal() => Ok(()),
        None => Err(Failure::failed("the capture has no bank to compare").remedy("check its banks.jsonl")),
        Some(difference) => Err(Failure::failed(format!("slot {} differs from agave's", difference.slot))
            .remedy("do not run this version; report it with the capture")),
    }
}

fn print(difference: &Difference, with_accounts: bool) {
    println!("first difference: slot {} (parent {})", difference.slot, difference.parent);
    if let Some(dead) = &difference.dead {
        println!("  no bank here: {dead}");
    }
    for field in &difference.fields {
        println!("  {:<17} {} (agave {})", field.name, field.ours, field.agave);
    }
    if with_accounts {
        println!("  accounts written:");
        difference.accounts.iter().for_each(|account| println!("    {account}"));
    }
}

fn genesis_hash(args: &GenesisHashArgs) -> Result<(), Failure> {
    let genesis = Genesis::load(&args.path).map_err(|error| {
        Failure::caused(Status::Failed, &error).remedy("give a genesis.bin, a genesis.tar.bz2 or their folder")
    })?;
    if args.format.json() {
        println!("{}", json!({ "genesis_hash": genesis.hash.to_string(), "shred_version": genesis.shred_version }));
    } else {
        println!("{}", genesis.hash);
    }
    Ok(())
}
