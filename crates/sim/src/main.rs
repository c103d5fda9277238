//! `tandem-sim`: seeds, one after the other, on all cores. Started by `cargo xtask sim`.

use {
    clap::Parser,
    std::{
        collections::BTreeMap,
        process::ExitCode,
        sync::{
            Mutex,
            atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        },
        thread,
        time::{Duration, Instant},
    },
    tandem_sim::{Outcome, run_seed, run_seed_verbose},
};

/// Runs simulated failovers and looks for what must never happen.
#[derive(Parser)]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Plant each known bug, one after the other, and show which oracle sees it and how soon (needs the feature `mutants`)
    #[arg(long)]
    mutants: bool,
    /// With --mutants: only those whose name contains this
    #[arg(long, requires = "mutants")]
    only: Option<String>,
    /// Print the whole history of the first seed
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.trace {
        let (outcome, log) = run_seed_verbose(args.first_seed);
        for line in log {
            println!("{line}");
        }
        println!("{:?} {:016x}", outcome.violation, outcome.trace);
        return ExitCode::from(u8::from(outcome.violation.is_some()));
    }
    if args.mutants {
        return mutants(&args);
    }
    let next = AtomicU64::new(args.first_seed);
    let end = args.first_seed + args.seeds;
    let found: Mutex<Vec<Outcome>> = Mutex::default();
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let done = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Relaxed);
                        if seed >= end {
                            return;
                        }
                        let outcome = run_seed(seed);
                        let mut sum = counts.lock().expect("invariant: no worker panics");
                        for (what, count) in &outcome.counts {
                            *sum.entry(what).or_default() += count;
                        }
                        drop(sum);
                        if let Some(violation) = &outcome.violation {
                            eprintln!("seed {seed}: {} VIOLATED: {}", violation.oracle, violation.what);
                            found.lock().expect("invariant: no worker panics").push(outcome);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut said = Instant::now();
            while !done.load(Relaxed) {
                thread::sleep(Duration::from_millis(50));
                if said.elapsed() >= Duration::from_secs(10) {
                    said = Instant::now();
                    let ran = next.load(Relaxed).min(end) - args.first_seed;
                    eprintln!("{ran} seeds, {:.0}/s", ran as f64 / start.elapsed().as_secs_f64());
                }
            }
        });
        for worker in workers {
            if worker.join().is_err() {
                eprintln!("a worker ended early");
            }
        }
        done.store(true, Relaxed);
    });
    let found = found.into_inner().expect("invariant: no worker panics");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} seeds in {seconds:.1} s ({:.0}/s), {} with a violation",
        args.seeds,
        args.seeds as f64 / seconds,
        found.len()
    );
    for (what, count) in counts.into_inner().expect("invariant: no worker panics") {
        println!("{count:>10}  {what}");
    }
    ExitCode::from(u8::from(!found.is_empty()))
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: &Args) -> ExitCode {
    eprintln!("this build holds no planted bugs; run `cargo xtask sim --mutants`");
    ExitCode::from(2)
}

#[cfg(feature = "mutants")]
fn mutants(args: &Args) -> ExitCode {
    use {
        std::sync::atomic::AtomicUsize,
        tandem_sim::{Caught, MUTANTS, hunt, unseen},
    };
    let wanted: Vec<&str> = MUTANTS
        .iter()
        .copied()
        .filter(|name| args.only.as_ref().is_none_or(|only| name.contains(only.as_str())))
        .collect();
    let next = AtomicUsize::new(0);
    let table: Mutex<Vec<Caught>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(mutant) = wanted.get(next.fetch_add(1, Relaxed)) {
                    let caught = hunt(mutant, args.first_seed, args.seeds);
                    match &caught.by {
                        Some((oracle, what, seed)) => {
                            eprintln!("{mutant}: {oracle} at seed {seed} ({} seeds): {what:.120}", caught.seeds_run);
                        }
                        None => eprintln!("{mutant}: SURVIVED {} seeds", caught.seeds_run),
                    }
                    table.lock().expect("invariant: no worker panics").push(caught);
                }
            });
        }
    });
    let mut table = table.into_inner().expect("invariant: no worker panics");
    table.sort_by_key(|caught| caught.mutant);
    println!("{:<58} {:<18} {:>8} {:>6} {:>9}", "planted bug", "seen by", "at seed", "seeds", "passed");
    for caught in &table {
        let (oracle, seed) = match &caught.by {
            Some((oracle, _, seed)) => (*oracle, seed.to_string()),
            None if unseen(caught.mutant).is_some() => ("not seen (known)", String::new()),
            None => ("SURVIVED", String::new()),
        };
        let Caught { mutant, seeds_run, reached, .. } = caught;
        println!("{mutant:<58} {oracle:<18} {seed:>8} {seeds_run:>6} {reached:>9}");
    }
    let seen = table.iter().filter(|caught| caught.by.is_some()).count();
    println!("{seen} of {} planted bugs seen", table.len());
    let survived = |caught: &&Caught| caught.by.is_none();
    for (mutant, why) in
        table.iter().filter(survived).filter_map(|caught| Some((caught.mutant, unseen(caught.mutant)?)))
    {
        println!("not seen: {mutant}: {why}");
    }
    ExitCode::from(u8::from(table.iter().any(|caught| survived(&caught) && unseen(caught.mutant).is_none())))
}
