//! What a handover cost, from the release logs and the chain itself.

use {
    super::{
        cluster::{Cluster, VOTER_A},
        report::HandoverRecord,
    },
    crate::{exit::Failure, status::HandoverReport},
    serde_json::{Value, json},
    std::collections::{BTreeMap, BTreeSet, HashMap},
    tandem_types::Slot,
    tandem_witness::{RecordKind, Vote, read_log},
};

/// One handover as it was asked for.
pub struct Trigger {
    pub kind: String,
    pub from: usize,
    pub to: usize,
    pub unix_nanos: u64,
    pub report: HandoverReport,
}

/// What one machine released for the pair's vote account and identity.
struct Released {
    /// (time, voted slot)
    votes: Vec<(u64, Slot)>,
    /// (time of the first shred, slot)
    blocks: Vec<(u64, Slot)>,
}

/// Slots looked at after the new owner's first vote: what it skipped there it skipped because of the handover.
const SLOTS_AFTER: u64 = 4;

pub fn handovers(cluster: &Cluster, triggers: &[Trigger]) -> Result<Vec<HandoverRecord>, Failure> {
    let mut released = HashMap::new();
    for trigger in triggers {
        for index in [trigger.from, trigger.to] {
            if let std::collections::hash_map::Entry::Vacant(entry) = released.entry(index) {
                entry.insert(read(cluster, index)?);
            }
        }
    }
    let chain = rooted_blocks(cluster)?;
    let leader_slots = leader_slots(cluster)?;
    let voted: BTreeSet<Slot> = released.values().flat_map(|released| released.votes.iter().map(|(_, slot)| *slot)).collect();
    Ok(triggers.iter().map(|trigger| record(cluster, trigger, &released, &voted, &chain, &leader_slots)).collect())
}

fn record(
    cluster: &Cluster,
    trigger: &Trigger,
    released: &HashMap<usize, Released>,
    voted: &BTreeSet<Slot>,
    chain: &BTreeSet<Slot>,
    leader_slots: &BTreeSet<Slot>,
) -> HandoverRecord {
    let (from, to) = (&released[&trigger.from], &released[&trigger.to]);
    let before = |list: &[(u64, Slot)]| list.iter().filter(|(time, _)| *time < trigger.unix_nanos).count() as u64;
    let after = |list: &[(u64, Slot)]| list.iter().filter(|(time, _)| *time >= trigger.unix_nanos).count() as u64;
    let last_old = from.votes.iter().filter(|(time, _)| *time < trigger.unix_nanos).map(|(_, slot)| *slot).max();
    let first_new = to.votes.iter().find(|(time, _)| *time >= trigger.unix_nanos);
    let (first_vote_ms, until) = match first_new {
        Some((time, slot)) => ((*time - trigger.unix_nanos) as f64 / 1e6, slot + SLOTS_AFTER),
        None => (f64::INFINITY, last_old.unwrap_or_default()),
    };
    let span = last_old.map_or(until, |slot| slot + 1)..=until;
    HandoverRecord {
        kind: trigger.kind.clone(),
        from: cluster.nodes[trigger.from].name.clone(),
        to: cluster.nodes[trigger.to].name.clone(),
        ms: trigger.report.ms,
        first_vote_ms,
        phases_ms: trigger.report.phases_ms.clone(),
        slots_missed: chain.range(span.clone()).filter(|slot| !voted.contains(slot)).count() as u64,
        leader_slots_missed: leader_slots.range(span).filter(|slot| !chain.contains(slot)).count() as u64,
        term: trigger.report.term.unwrap_or_default(),
        votes_before: before(&from.votes),
        votes_after: after(&to.votes),
        blocks_before: before(&from.blocks),
        blocks_after: after(&to.blocks),
    }
}

fn read(cluster: &Cluster, index: usize) -> Result<Released, Failure> {
    let account = cluster.vote_account.to_bytes();
    let mut released = Released { votes: Vec::new(), blocks: Vec::new() };
    let mut seen = BTreeMap::new();
    for record in read_log(&cluster.nodes[index].release_log).map_err(Failure::failed)? {
        match record.kind {
            RecordKind::Vote => {
                if let Some(vote) = Vote::from_transaction(&record.bytes).filter(|vote| vote.vote_account == account) {
                    released.votes.push((record.unix_nanos, vote.slot));
                }
            }
            RecordKind::Shred => {
                // The slot stands at bytes 65..73 of every shred.
                if let Some(slot) = record.bytes.get(65..73).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) {
                    seen.entry(slot).or_insert(record.unix_nanos);
                }
            }
        }
    }
    released.blocks = seen.into_iter().map(|(slot, time)| (time, slot)).collect();
    Ok(released)
}

/// The blocks that stayed: as the first voter has them.
fn rooted_blocks(cluster: &Cluster) -> Result<BTreeSet<Slot>, Failure> {
    let rpc = cluster.rpc(VOTER_A);
    let slots: Vec<Slot> = rpc.call("getBlocks", json!([0, null, { "commitment": "confirmed" }])).map_err(Failure::failed)?;
    Ok(slots.into_iter().collect())
}

fn leader_slots(cluster: &Cluster) -> Result<BTreeSet<Slot>, Failure> {
    let identity = cluster.pair_identity.to_string();
    let schedule: Value =
        cluster.rpc(VOTER_A).call("getLeaderSchedule", json!([0, { "identity": identity }])).map_err(Failure::failed)?;
    Ok(schedule[&identity].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
}
