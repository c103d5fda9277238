//! Replays ledgers made by agave 4.2.2 and compares every bank with what agave logged of it.

use {
    tandem_bank::Verify,
    tandem_capture::{Capture, How, captures_folder},
};

/// Minor forks, skipped slots, two leaders, eight epoch boundaries. Also with the root right behind the tip and with no
/// root at all: neither may change a hash.
#[test]
fn forks_real_poh() {
    check("forks-real-poh", &[(32, false), (0, true), (u64::MAX, false)]);
}

/// Every kind of transaction, programs deployed and upgraded, twelve epoch boundaries.
#[test]
fn stakes_programs_12_epochs() {
    check("stakes-programs-12-epochs", &[(32, false), (3, true)]);
}

/// The 200 ms row from epoch 1 on.
#[test]
fn all_features_200ms() {
    check("all-features-200ms", &[(32, true)]);
}

/// Each variant: how many slots the root is behind, and whether entries run side by side.
fn check(name: &str, variants: &[(u64, bool)]) {
    let Some(folder) = captures_folder().map(|captures| captures.join(name)).filter(|folder| folder.is_dir()) else {
        println!("SKIPPED {name}: no captures (set TANDEM_SHARED to the folder that holds captures/)");
        return;
    };
    let capture = Capture::read(&folder, &mut |_| ()).expect("a capture");
    for (root_lag, in_parallel) in variants {
        let how = How {
            root_lag: *root_lag,
            verify: Verify::Signatures,
            in_parallel: *in_parallel,
            stop_at_difference: false,
        };
        let report = capture.replay(how, &mut |_, _| ()).expect("a replay");
        println!(
            "{name}: {}/{} banks equal, {} transactions, {} slots rooted",
            report.equal, report.compared, report.transactions, report.roots
        );
        if let Some(difference) = &report.first_difference {
            println!("first difference: {difference:?}");
        }
        assert!(
            report.compared > 0 && report.equal == report.compared && report.dead.is_empty(),
            "{name}: {:?} {:?}",
            report.first_difference,
            report.dead
        );
        let last = report.last.expect("a bank was replayed");
        assert_eq!(Some(last.recomputed_lt_hash_checksum()), last.lt_hash_checksum());
    }
}
