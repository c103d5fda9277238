//! What a handover cost, from the release logs and the chain itself.

use {
    super::{
        cluster::{Cluster, VOTER_A},
        report::HandoverRecord,
    },
    crate::{exit::Failure, status::HandoverReport},
    serde_json::{Value, json},
    std::{
        collections::{BTreeMap, BTreeSet, HashMap},
        ops::Range,
    },
    tandem_types::Slot,
    tandem_witness::{RecordKind, Vote, read_log},
};

/// One handover as it was asked for, and as the new owner reported it.
pub struct Trigger {
    pub kind: String,
    pub from: usize,
    pub to: usize,
    /// How long the operator's command took, where there was one.
    pub command_ms: Option<f64>,
    pub report: HandoverReport,
}

/// What one machine released for the pair's vote account and identity, in order of time.
#[derive(Default)]
struct Released {
    votes: Vec<Event>,
    /// The first shred of each block.
    blocks: Vec<Event>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Event {
    unix_nanos: u64,
    slot: Slot,
}

/// What is known when the demonstration is over.
struct Evidence {
    released: HashMap<usize, Released>,
    /// The blocks that stayed.
    chain: BTreeSet<Slot>,
    leader_slots: BTreeSet<Slot>,
}

pub fn handovers(cluster: &Cluster, triggers: &[Trigger]) -> Result<Vec<HandoverRecord>, Failure> {
    measure(cluster, triggers).map(|measured| measured.handovers)
}

#[derive(Default)]
pub struct Measured {
    pub handovers: Vec<HandoverRecord>,
    /// Blocks that stayed, from the first trigger to the last vote.
    pub blocks: u64,
    /// Of these, those the identity never voted for, for whatever reason.
    pub blocks_without_vote: u64,
}

pub fn measure(cluster: &Cluster, triggers: &[Trigger]) -> Result<Measured, Failure> {
    if triggers.is_empty() {
        return Ok(Measured::default());
    }
    let machines: BTreeSet<usize> = triggers.iter().flat_map(|trigger| [trigger.from, trigger.to]).collect();
    let mut released = HashMap::new();
    for index in machines {
        released.insert(index, read(cluster, index)?);
    }
    let evidence = Evidence { released, chain: chain(cluster)?, leader_slots: leader_slots(cluster)? };
    let moments: Vec<u64> = triggers.iter().map(|trigger| trigger.report.requested_unix_nanos).collect();
    let mut records = Vec::new();
    for (index, trigger) in triggers.iter().enumerate() {
        // What happened before is counted from the handover before this one, what happened after until the next.
        let before = index.checked_sub(1).map_or(0, |index| moments[index])..moments[index];
        let after = moments[index]..moments.get(index + 1).copied().unwrap_or(u64::MAX);
        let (from, to) = (&cluster.nodes[trigger.from].name, &cluster.nodes[trigger.to].name);
        records.push(record(trigger, (from, to), &evidence, before, after));
    }
    let voted: BTreeSet<Slot> =
        evidence.released.values().flat_map(|released| released.votes.iter().map(|vote| vote.slot)).collect();
    let first = triggers.iter().find_map(|trigger| trigger.report.last_vote_slot).unwrap_or_default();
    let last = voted.last().copied().unwrap_or_default();
    let span = || evidence.chain.iter().filter(|slot| (first..=last).contains(slot));
    Ok(Measured {
        handovers: records,
        blocks: span().count() as u64,
        blocks_without_vote: span().filter(|slot| !voted.contains(slot)).count() as u64,
    })
}

fn record(
    trigger: &Trigger,
    (from_name, to_name): (&str, &str),
    evidence: &Evidence,
    before: Range<u64>,
    after: Range<u64>,
) -> HandoverRecord {
    let (from, to) = (&evidence.released[&trigger.from], &evidence.released[&trigger.to]);
    let count = |events: &[Event], span: &Range<u64>| within(events, span).count() as u64;
    let first_new = within(&to.votes, &after).next();
    let first_vote_ms = first_new.map(|event| (event.unix_nanos - after.start) as f64 / 1e6);
    // The old owner may go on voting after the trigger, until it lets go.
    let old_votes = from.votes.iter().filter(|event| first_new.is_none_or(|new| event.unix_nanos < new.unix_nanos));
    let last_old = old_votes.map(|event| event.slot).max();
    let last_known = evidence.chain.last().copied().unwrap_or_default();
    // What comes after the next handover is counted there.
    let last_new = within(&to.votes, &after).map(|event| event.slot).max().unwrap_or(last_known);
    let end = first_new.map_or(last_known, |new| new.slot + SLOTS_AFTER).min(last_known).min(last_new);
    let gap = last_old.map_or(end, |slot| slot + 1)..end + 1;
    let voted = |slot: &Slot| evidence.released.values().any(|one| one.votes.iter().any(|vote| vote.slot == *slot));
    HandoverRecord {
        kind: trigger.kind.clone(),
        from: from_name.to_owned(),
        to: to_name.to_owned(),
        ms: trigger.report.ms,
        first_vote_ms,
        command_ms: trigger.command_ms,
        phases_ms: trigger.report.phases_ms.clone(),
        slots_missed: gap.clone().filter(|slot| evidence.chain.contains(slot) && !voted(slot)).count() as u64,
        leader_slots_missed: gap
            .filter(|slot| evidence.leader_slots.contains(slot) && !evidence.chain.contains(slot))
            .count() as u64,
        term: trigger.report.term.unwrap_or_default(),
        votes_before: count(&from.votes, &before),
        votes_after: count(&to.votes, &after),
        blocks_before: count(&from.blocks, &before),
        blocks_after: count(&to.blocks, &after),
    }
}

fn within<'a>(events: &'a [Event], span: &Range<u64>) -> impl Iterator<Item = &'a Event> {
    let span = span.clone();
    events.iter().filter(move |event| span.contains(&event.unix_nanos))
}

fn read(cluster: &Cluster, index: usize) -> Result<Released, Failure> {
    let account = cluster.vote_account.to_bytes();
    let mut votes = Vec::new();
    let mut blocks = BTreeMap::new();
    for record in read_log(&cluster.nodes[index].release_log).map_err(Failure::failed)? {
        match record.kind {
            RecordKind::Vote => {
                if let Some(vote) = Vote::from_transaction(&record.bytes).filter(|vote| vote.vote_account == account) {
                    votes.push(Event { unix_nanos: record.unix_nanos, slot: vote.slot });
                }
            }
            RecordKind::Shred => {
                if let Some(slot) = slot_of_shred(&record.bytes) {
                    blocks.entry(slot).or_insert(record.unix_nanos);
                }
            }
        }
    }
    let blocks = blocks.into_iter().map(|(slot, unix_nanos)| Event { unix_nanos, slot }).collect();
    Ok(Released { votes, blocks })
}

/// The slot stands at bytes 65 to 72 of every shred.
fn slot_of_shred(shred: &[u8]) -> Option<Slot> {
    Some(u64::from_le_bytes(shred.get(65..73)?.try_into().ok()?))
}

/// The confirmed blocks, as the first voter has them.
fn chain(cluster: &Cluster) -> Result<BTreeSet<Slot>, Failure> {
    let rpc = cluster.rpc(VOTER_A);
    let slots: Vec<Slot> =
        rpc.call("getBlocks", json!([0, null, { "commitment": "confirmed" }])).map_err(Failure::failed)?;
    Ok(slots.into_iter().collect())
}

/// Of the first epoch, which is much longer than a demonstration.
fn leader_slots(cluster: &Cluster) -> Result<BTreeSet<Slot>, Failure> {
    let identity = cluster.pair_identity.to_string();
    let schedule: Value = cluster
        .rpc(VOTER_A)
        .call("getLeaderSchedule", json!([0, { "identity": identity }]))
        .map_err(Failure::failed)?;
    Ok(schedule[&identity].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
}

/// Slots looked at after the new owner's first vote: what it skipped there it skipped because of the handover.
const SLOTS_AFTER: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn events(list: &[(u64, Slot)]) -> Vec<Event> {
        list.iter().map(|(ms, slot)| Event { unix_nanos: ms * 1_000_000, slot: *slot }).collect()
    }

    fn judge(old: &[(u64, Slot)], new: &[(u64, Slot)], chain: &[Slot], leader: &[Slot]) -> HandoverRecord {
        let released = HashMap::from([
            (2, Released { votes: events(old), ..Released::default() }),
            (3, Released { votes: events(new), blocks: events(&[(1_500, 21)]) }),
        ]);
        let evidence = Evidence {
            released,
            chain: chain.iter().copied().collect(),
            leader_slots: leader.iter().copied().collect(),
        };
        let report = HandoverReport { ms: 20.0, requested_unix_nanos: 1_000_000_000, ..HandoverReport::default() };
        let trigger = Trigger { kind: "planned".into(), from: 2, to: 3, command_ms: None, report };
        record(&trigger, ("primary", "secondary"), &evidence, 0..1_000_000_000, 1_000_000_000..u64::MAX)
    }

    #[test]
    fn a_vote_of_the_old_owner_after_the_trigger_is_no_gap() {
        let record = judge(&[(900, 10), (1_010, 11)], &[(1_100, 12), (1_500, 13)], &[10, 11, 12, 13], &[]);
        assert_eq!((record.slots_missed, record.first_vote_ms), (0, Some(100.0)));
        assert_eq!((record.votes_before, record.votes_after, record.blocks_after), (1, 2, 1));
    }

    #[test]
    fn blocks_nobody_voted_on_and_slots_nobody_led_are_missed() {
        let record = judge(&[(900, 10)], &[(3_000, 15), (3_400, 16)], &[10, 11, 13, 14, 15, 16], &[12, 13, 20]);
        assert_eq!((record.slots_missed, record.leader_slots_missed), (3, 1), "11, 13, 14; and 12");
    }

    #[test]
    fn what_comes_after_the_next_handover_is_counted_there() {
        let votes = [(1_100, 12), (1_500, 13)];
        let record = judge(&[(900, 11)], &votes, &[11, 12, 13, 14, 15], &[]);
        assert_eq!(record.slots_missed, 0, "the new owner's own successor misses 14 and 15, if anybody does");
    }

    #[test]
    fn a_new_owner_that_never_votes_misses_everything_to_the_end() {
        let record = judge(&[(900, 10)], &[], &[10, 11, 12], &[]);
        assert_eq!((record.slots_missed, record.first_vote_ms), (2, None));
        let record = judge(&[(900, 10)], &[], &[9, 10], &[]);
        assert_eq!(record.slots_missed, 0, "the chain ends with the old owner's last vote");
        let record = judge(&[], &[(1_100, 5)], &[], &[]);
        assert_eq!(record.slots_missed, 0, "no chain at all");
    }
}
