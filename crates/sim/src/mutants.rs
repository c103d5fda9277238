//! The table of planted bugs: each is switched on alone, and seeds are run until an oracle sees it. A bug that no oracle
//! sees would be one that could be made by accident and shipped.

#[cfg(feature = "mutants")]
use crate::run::run_seed;

/// The names of all planted bugs, as the code calls them (`tandem_types::mutant`).
pub const MUTANTS: &[&str] = &[
    "both: voter and check ignore lockouts",
    "claim: a refused claim is taken for done",
    "claim: the owner is not compared",
    "claim: the term does not grow",
    "claim: the tower found is dropped",
    "claim: the watermark found is dropped",
    "claim: whoever has the term is taken for us",
    "knowledge: a store that went back is believed",
    "knowledge: another cluster id is ignored",
    "release: the owner is not compared",
    "role: --require-tower is ignored",
    "role: a lost fence does not lock",
    "role: a lost fence is ignored",
    "role: a voter that doubts is ignored",
    "role: an older tower is adopted",
    "role: answers before it is active",
    "role: does not wait for the last vote's block",
    "role: does not wait until it has caught up",
    "role: gives back without locking",
    "role: newer votes that turn up are ignored",
    "role: the chain's tower is not held",
    "role: unlocks before the tower is adopted",
    "shell: a fence is not reported",
    "shell: a lost store is not reported",
    "shell: a new owner begins with an empty tower",
    "shell: lock does not lock",
    "shell: the chain's tower is not told to the store",
    "shell: the last vote is lost when the tower is adopted",
    "slot: W may go down",
    "slot: a refused claim of a slot is taken for done",
    "slot: the owner is not compared",
    "slot: the window is not compared",
    "store: a leader slot is given before it is claimed",
    "store: a record without an answer is taken for done",
    "store: a vote is promised before it is written",
    "store: the tower before the vote is written",
    "store: the tower recorded is not the next one's base",
    "store: the tower's revision is not carried on",
    "store: the window's revision is not carried on",
    "vault: a permit outlives the lock",
    "vault: lock does not lock",
    "vote: a refused record is taken for done",
    "vote: nothing is compared",
    "vote: the owner is not compared",
    "vote: the tower is not compared",
    "voter: a recorded vote is not counted",
    "voter: an expired vote stays",
    "voter: decides while a decision is out",
    "voter: lockouts are ignored",
    "voter: lockouts grow too slowly",
];

/// What became of one planted bug.
#[derive(Clone, Debug)]
pub struct Caught {
    pub mutant: &'static str,
    /// The oracle that saw it, what it said, and the seed.
    pub by: Option<(&'static str, String, u64)>,
    pub seeds_run: u64,
    /// How often the planted place was passed.
    pub reached: u64,
}

/// Runs seeds from `first` on, at most `seeds_max`, until the bug is seen.
#[cfg(feature = "mutants")]
pub fn hunt(mutant: &'static str, first: u64, seeds_max: u64) -> Caught {
    use tandem_types::mutant::{plant, reached};
    let mut passed = 0;
    for seed in first..first + seeds_max {
        plant(mutant);
        let outcome = run_seed(seed);
        passed += reached();
        plant("");
        if let Some(violation) = outcome.violation {
            let by = Some((violation.oracle, violation.what, seed));
            return Caught { mutant, by, seeds_run: seed - first + 1, reached: passed };
        }
    }
    Caught { mutant, by: None, seeds_run: seeds_max, reached: passed }
}

/// Planted bugs that the simulation does not see today, and why. Each is work left to do; any other that survives is an error.
#[cfg(feature = "mutants")]
const UNSEEN: [(&str, &str); 3] = [
    ("role: a voter that doubts is ignored", "the node then leads and never votes, which no oracle calls wrong yet"),
    ("shell: a fence is not reported", "the watch and the refused heartbeat tell of the new owner as well"),
    (
        "shell: a lost store is not reported",
        "the owner's regular look finds the loss within the time that the oracle of liveness allows",
    ),
];

#[cfg(feature = "mutants")]
pub fn unseen(mutant: &str) -> Option<&'static str> {
    UNSEEN.iter().find(|(name, _)| *name == mutant).map(|(_, why)| *why)
}
