//! What one round cost.

use {
    crate::{
        dev::cluster::{Cluster, PRIMARY, SECONDARY, VOTER_A},
        exit::Failure,
    },
    serde_json::json,
    std::collections::BTreeSet,
    tandem_types::Slot,
    tandem_witness::{RecordKind, Vote, read_log},
};

#[derive(Clone, Copy, Debug, Default)]
pub struct Round {
    /// From the trigger until the identity's owner was ACTIVE, or until whatever the scenario is about was over.
    pub ms: f64,
    /// From the trigger until the owner's next vote.
    pub first_vote_ms: Option<f64>,
    /// Blocks that stayed and that the identity never voted on, from the last vote before the trigger to the newest.
    pub slots_missed: u64,
}

impl Round {
    /// `since`: the trigger, in Unix nanoseconds. `to`: whose vote ends the gap.
    pub fn measure(cluster: &Cluster, since: u64, to: usize, ms: f64) -> Result<Self, Failure> {
        let mut votes: Vec<(u64, usize, Slot)> = Vec::new();
        for index in [PRIMARY, SECONDARY] {
            let log = read_log(&cluster.nodes[index].release_log).map_err(Failure::failed)?;
            let of_pair = |vote: &Vote| vote.vote_account == cluster.vote_account.to_bytes();
            votes.extend(log.iter().filter(|record| record.kind == RecordKind::Vote).filter_map(|record| {
                let vote = Vote::from_transaction(&record.bytes).filter(of_pair)?;
                Some((record.unix_nanos, index, vote.slot))
            }));
        }
        votes.sort_unstable();
        let first = votes.iter().find(|(nanos, index, _)| *nanos >= since && *index == to);
        let voted: BTreeSet<Slot> = votes.iter().map(|(_, _, slot)| *slot).collect();
        let before = votes.iter().filter(|(nanos, ..)| *nanos < since).map(|(_, _, slot)| *slot).max();
        let (from, end) = (before.map_or(0, |slot| slot + 1), voted.last().copied().unwrap_or_default());
        let chain: Vec<Slot> = match from <= end {
            true => cluster
                .rpc(VOTER_A)
                .call("getBlocks", json!([from, end, { "commitment": "confirmed" }]))
                .map_err(Failure::failed)?,
            false => Vec::new(),
        };
        Ok(Self {
            ms,
            first_vote_ms: first.map(|(nanos, ..)| (nanos - since) as f64 / 1e6),
            slots_missed: chain.iter().filter(|slot| !voted.contains(slot)).count() as u64,
        })
    }
}
