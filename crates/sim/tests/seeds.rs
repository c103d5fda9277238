//! A thousand histories, each judged; and the same seed gives the same history.
#![allow(clippy::unwrap_used)]

use {
    std::{
        collections::BTreeMap,
        sync::{
            Mutex,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
        thread,
    },
    tandem_sim::{Outcome, run_seed},
};

const SEEDS: u64 = 1000;

fn run_all(seeds: u64) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let all: Mutex<Vec<Outcome>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = run_seed(seed);
                    all.lock().unwrap().push(outcome);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

#[test]
fn a_thousand_seeds_break_nothing_and_were_not_empty() {
    let all = run_all(SEEDS);
    let found: Vec<_> =
        all.iter().filter_map(|outcome| outcome.violation.as_ref().map(|v| (outcome.seed, v))).collect();
    // The coroutines' panic hook keeps a message to itself.
    found.iter().for_each(|violation| eprintln!("{violation:?}"));
    assert!(found.is_empty(), "{found:#?}");
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in all.iter().flat_map(|outcome| &outcome.counts) {
        *counts.entry(what).or_default() += count;
    }
    // At least so often on average over a thousand seeds: a simulation in which little happens shows little.
    for (what, least) in [
        ("takeovers", 2_000),
        ("votes released", 8_000),
        ("own blocks", 2_000),
        ("crashes", 500),
        ("pauses", 500),
        ("replies lost after commit", 200),
        ("requests late", 200),
        ("stopped at once (fenced, store lost)", 100),
        ("polite step-downs", 500),
        ("towers from the chain", 100),
        ("restores from a backup", 10),
        ("hits between two steps", 200),
        ("live after the faults", 800),
    ] {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{what}: {count}, fewer than {least}: {counts:#?}");
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..40 {
        let (one, two) = (run_seed(seed), run_seed(seed));
        assert_eq!((one.trace, &one.counts), (two.trace, &two.counts), "seed {seed}");
        assert_ne!(one.trace, run_seed(seed + 1000).trace, "seed {seed}");
    }
}
