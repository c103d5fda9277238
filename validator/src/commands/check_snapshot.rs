//! `validator ledger check-snapshot`: whether a validator could start from these archives, found out by doing it.

use {
    crate::{
        args::CheckSnapshotArgs,
        exit::{Failure, Status},
    },
    serde_json::json,
    std::{
        path::{Path, PathBuf},
        time::{Duration, Instant},
    },
    tandem_genesis::Genesis,
    tandem_snapshot::{Progress, Source, find_newest, load},
};

pub fn check_snapshot(ledger: &Path, args: &CheckSnapshotArgs) -> Result<(), Failure> {
    let source = source(&args.archives)?;
    let genesis_path = args.genesis.as_deref().unwrap_or(ledger);
    let genesis = Genesis::load(genesis_path)
        .map_err(|error| Failure::caused(Status::Failed, &error).remedy("name the cluster's genesis with --genesis"))?;
    let started = Instant::now();
    let mut said = started;
    let loaded = load(&source, &genesis.config, genesis.hash, |progress| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            eprintln!("{}", progress_line(progress, started.elapsed()));
        }
    })
    .map_err(|error| Failure::caused(Status::Failed, &error))?;
    let (bank, seconds) = (&loaded.bank, started.elapsed().as_secs_f64());
    if args.format.json() {
        println!(
            "{}",
            json!({
                "slot": bank.slot(), "epoch": bank.epoch(), "bank_hash": bank.hash().to_string(),
                "block_height": bank.block_height(), "capitalization": bank.capitalization(),
                "accounts": loaded.accounts, "archive_bytes": loaded.bytes, "seconds": seconds,
                "full": source.full, "incremental": source.incremental,
            })
        );
    } else {
        println!("slot {}, epoch {}, bank hash {}", bank.slot(), bank.epoch(), bank.hash());
        println!(
            "{} accounts, {} lamports, block height {}",
            loaded.accounts,
            bank.capitalization(),
            bank.block_height()
        );
        println!("{} bytes read and every check made in {seconds:.1} s", loaded.bytes);
    }
    Ok(())
}

fn source(archives: &[PathBuf]) -> Result<Source, Failure> {
    match archives {
        [folder] if folder.is_dir() => {
            let newest = find_newest(folder).map_err(|error| Failure::caused(Status::Failed, &error))?;
            let (full, incremental) = newest.ok_or_else(|| {
                Failure::failed(format!("there is no full snapshot archive in {}", folder.display()))
                    .remedy("name a folder with snapshot-SLOT-HASH.tar.zst")
            })?;
            Ok(Source { full, incremental })
        }
        [full] => Ok(Source { full: full.clone(), incremental: None }),
        [full, increment, ..] => Ok(Source { full: full.clone(), incremental: Some(increment.clone()) }),
        [] => Err(Failure::usage("no archive is named")),
    }
}

/// How far it is, how fast, and how long it will take at this rate.
fn progress_line(progress: Progress, elapsed: Duration) -> String {
    let Progress { bytes, bytes_total, accounts } = progress;
    let percent = bytes.saturating_mul(100).checked_div(bytes_total).unwrap_or(100);
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let left = bytes_total.saturating_sub(bytes) as f64 / rate.max(1.0);
    format!("{percent:>3} % read, {accounts} accounts, {:.1} MB/s, about {left:.0} s left", rate / 1e6)
}

const PROGRESS_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_rate_and_time_left() {
        let progress = Progress { bytes: 25_000_000, bytes_total: 100_000_000, accounts: 7 };
        assert_eq!(
            progress_line(progress, Duration::from_secs(5)),
            " 25 % read, 7 accounts, 5.0 MB/s, about 15 s left"
        );
        let nothing = progress_line(Progress::default(), Duration::ZERO);
        assert!(nothing.starts_with("100 % read"), "{nothing}");
    }
}
