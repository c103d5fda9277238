use super::*;

/// Votes of one account: `slot[/hash] tower`, as "5 1^3 2^2 5^1"; a machine a line.
fn vote(slot: u64, hash: u8, root: Option<u64>, tower: &[(u64, u32)]) -> Vec<u8> {
    let mut data = 14u32.to_le_bytes().to_vec();
    data.extend_from_slice(&root.unwrap_or(u64::MAX).to_le_bytes());
    data.push(tower.len() as u8);
    let mut previous = root.unwrap_or(0);
    for (voted, count) in tower {
        data.push((voted - previous) as u8);
        data.push(*count as u8);
        previous = *voted;
    }
    assert_eq!(previous, slot);
    data.extend_from_slice(&[hash; 32]);
    data.push(0);
    data.extend_from_slice(&[0; 32]);

    let mut bytes = vec![1];
    bytes.extend_from_slice(&[9; 64]);
    bytes.extend_from_slice(&[1, 0, 1, 3]);
    for key in [[1; 32], [2; 32]] {
        bytes.extend_from_slice(&key);
    }
    let program = [
        7, 97, 72, 29, 53, 116, 116, 187, 124, 77, 118, 36, 235, 211, 189, 179, 216, 53, 94, 115, 209, 16, 67, 252, 13,
        163, 83, 128, 0, 0, 0, 0,
    ];
    bytes.extend_from_slice(&program);
    bytes.extend_from_slice(&[3; 32]);
    bytes.extend_from_slice(&[1, 2, 2, 1, 0]);
    bytes.push(data.len() as u8);
    bytes.extend_from_slice(&data);
    bytes
}

/// The first data shred of a block that is as `content` says, or of the block's second set.
fn shred(slot: u64, set: usize, content: u8) -> Vec<u8> {
    made(slot, content)[set].clone()
}

/// The data shreds of a block of two sets.
fn made(slot: u64, content: u8) -> Vec<Vec<u8>> {
    let sign = |_: &tandem_types::Hash| Ok::<_, std::convert::Infallible>(tandem_types::Signature::from([content; 64]));
    let shredder = tandem_shred::Shredder::new(slot, slot - 1, 1, 0).expect("a parent below");
    let start = tandem_shred::Cursor::start(tandem_types::BlockId(tandem_types::Hash::new_from_array([7; 32])));
    let made = shredder.make(sign, start, &vec![content; 40_000], true).expect("fits");
    assert_eq!(made.data.len(), 64);
    made.data.iter().map(|shred| shred.payload().to_vec()).collect()
}

fn judge(machines: &[Vec<(u64, RecordKind, Vec<u8>)>]) -> Verdict {
    let mut judge = Judge::default();
    for machine in machines {
        judge.add_machine(
            machine
                .iter()
                .map(|(time, kind, bytes)| Record {
                    kind: *kind,
                    unix_nanos: *time,
                    promise: None,
                    bytes: bytes.clone(),
                })
                .collect(),
        );
    }
    judge.verdict()
}

use RecordKind::{Shred, Vote as V};

#[test]
fn a_handover_that_carries_the_tower_is_clean() {
    let verdict = judge(&[
        vec![(1, V, vote(1, 1, None, &[(1, 1)])), (2, V, vote(2, 2, None, &[(1, 2), (2, 1)]))],
        vec![(3, V, vote(3, 3, None, &[(1, 3), (2, 2), (3, 1)])), (4, V, vote(3, 3, None, &[(1, 3), (2, 2), (3, 1)]))],
    ]);
    assert!(verdict.clean(), "{verdict:?}");
    assert_eq!(verdict.votes_checked, 4);
}

#[test]
fn a_second_hash_for_a_slot_conflicts() {
    let verdict = judge(&[vec![(1, V, vote(1, 1, None, &[(1, 1)]))], vec![(2, V, vote(1, 7, None, &[(1, 1)]))]]);
    assert_eq!((verdict.conflicting_votes, verdict.lockout_violations), (1, 0), "{verdict:?}");
}

#[test]
fn leaving_a_locked_fork_is_a_violation_until_the_lock_ends() {
    // 2 is locked until 2 + 2^1 = 4: 4 may not leave it, 5 may.
    let first = vec![(1, V, vote(1, 1, None, &[(1, 1)])), (2, V, vote(2, 2, None, &[(1, 2), (2, 1)]))];
    let early = judge(&[first.clone(), vec![(3, V, vote(4, 4, None, &[(1, 2), (4, 1)]))]]);
    assert_eq!(early.lockout_violations, 1, "{early:?}");
    let late = judge(&[first, vec![(3, V, vote(5, 5, None, &[(1, 2), (5, 1)]))]]);
    assert_eq!(late.lockout_violations, 0, "{late:?}");
}

#[test]
fn a_forgotten_tower_is_a_violation() {
    // The second machine starts with an empty tower although slot 2 of the first is still locked.
    let verdict = judge(&[
        vec![(1, V, vote(1, 1, None, &[(1, 1)])), (2, V, vote(2, 2, None, &[(1, 2), (2, 1)]))],
        vec![(3, V, vote(3, 3, None, &[(3, 1)]))],
    ]);
    assert_eq!(verdict.lockout_violations, 1, "{verdict:?}");
}

#[test]
fn going_back_is_a_violation() {
    let verdict = judge(&[vec![(1, V, vote(9, 1, None, &[(9, 1)]))], vec![(2, V, vote(8, 2, None, &[(8, 1)]))]]);
    assert_eq!(verdict.lockout_violations, 1, "{verdict:?}");
}

#[test]
fn rooted_votes_bind_no_longer_but_roots_never_go_back() {
    let clean = judge(&[vec![(1, V, vote(1, 1, None, &[(1, 1)])), (2, V, vote(3, 3, Some(1), &[(3, 1)]))]]);
    assert!(clean.clean(), "{clean:?}");
    let back = judge(&[vec![(1, V, vote(3, 3, Some(2), &[(3, 1)])), (2, V, vote(9, 3, Some(1), &[(3, 2), (9, 1)]))]]);
    assert_eq!(back.lockout_violations, 1, "{back:?}");
}

#[test]
fn two_blocks_of_a_slot_are_one_duplicate() {
    let same = judge(&[vec![(1, Shred, shred(4, 0, 1)), (2, Shred, shred(4, 32, 1)), (3, Shred, shred(4, 0, 1))]]);
    assert!(same.clean(), "{same:?}");
    assert_eq!(same.shreds_checked, 3);
    let rewritten = judge(&[vec![(1, Shred, shred(4, 0, 1)), (2, Shred, shred(4, 5, 2))]]);
    assert_eq!(rewritten.duplicate_blocks, 1, "{rewritten:?}");
    let (first, second) = (&rewritten.findings[0].items[0], &rewritten.findings[0].items[1]);
    assert!(first.what.contains("data shred 0 of slot 4") && second.what.contains("data shred 5"), "{rewritten:?}");
    assert_eq!((first.seen.as_str(), second.seen.as_str()), ("machine 0, record 1", "machine 0, record 2"));
    let two_machines = judge(&[vec![(1, Shred, shred(4, 0, 1))], vec![(2, Shred, shred(4, 32, 1))]]);
    assert_eq!(two_machines.duplicate_blocks, 1, "{two_machines:?}");
}

#[test]
fn parts_of_two_blocks_are_a_duplicate_even_without_a_place_in_common() {
    let chain = judge(&[vec![(1, Shred, shred(4, 0, 1)), (2, Shred, shred(4, 40, 2))]]);
    assert_eq!(chain.duplicate_blocks, 1, "{chain:?}");
    let backwards = judge(&[vec![(1, Shred, shred(4, 40, 2)), (2, Shred, shred(4, 0, 1))]]);
    assert_eq!(backwards.duplicate_blocks, 1, "{backwards:?}");
}

#[test]
fn what_cannot_be_read_is_not_clean() {
    let verdict = judge(&[vec![(1, V, vec![1, 2, 3]), (2, Shred, vec![0; 10])]]);
    assert_eq!(verdict.unreadable, 2);
    assert!(!verdict.clean());
}

#[test]
fn a_log_survives_a_cut_at_any_byte() {
    let folder = std::env::temp_dir().join(format!("witness-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("log");
    let mut log = crate::ReleaseLog::append(&path).expect("a log");
    log.write(V, 7, None, &[1; 20]).expect("write");
    log.write(Shred, 8, None, &[2; 30]).expect("write");
    let whole = std::fs::read(&path).expect("read");
    for cut in 0..=whole.len() {
        std::fs::write(&path, &whole[..cut]).expect("write");
        let records = crate::read_log(&path).expect("a cut log is read up to the cut");
        let expected = usize::from(cut >= 33) + usize::from(cut >= whole.len());
        assert_eq!(records.len(), expected, "cut at {cut}");
    }
    std::fs::remove_dir_all(&folder).expect("clean up");
}

/// A vote with its promise's place: (time, store, term, revision).
fn placed(at: (u64, u64, u64, u64), bytes: Vec<u8>) -> Record {
    let promise = Some(PromisedAt { store: at.1, term: at.2, revision: at.3 });
    Record { kind: V, unix_nanos: at.0, promise, bytes }
}

fn judge_records(machines: Vec<Vec<Record>>) -> Verdict {
    let mut judge = Judge::default();
    machines.into_iter().for_each(|machine| judge.add_machine(machine));
    judge.verdict()
}

/// The first machine promised slot 2, was stopped, and sent it after the second had taken over and voted on: late, and legal. Its clock is
/// an hour ahead besides.
#[test]
fn promises_are_judged_in_the_order_they_were_made_and_not_in_that_of_clocks() {
    let first = |late: u64| {
        let one = placed((3_600_001, 7, 1, 10), vote(1, 1, None, &[(1, 1)]));
        vec![one, placed((3_600_000 + late, 7, 1, 11), vote(2, 2, None, &[(1, 2), (2, 1)]))]
    };
    let second = vec![
        placed((5, 7, 2, 13), vote(3, 3, None, &[(1, 3), (2, 2), (3, 1)])),
        placed((6, 7, 2, 14), vote(4, 4, None, &[(1, 4), (2, 3), (3, 2), (4, 1)])),
    ];
    let verdict = judge_records(vec![first(90), second.clone()]);
    assert!(verdict.clean() && verdict.ordered_by_clock == 0, "{verdict:?}");
    // The same without places: by the clocks, and it says so.
    let forgets = |records: Vec<Record>| records.into_iter().map(|record| Record { promise: None, ..record }).collect();
    let verdict = judge_records(vec![forgets(first(90)), forgets(second.clone())]);
    assert_eq!((verdict.ordered_by_clock, verdict.clean()), (4, false), "{verdict:?}");
    // One that does not say it is enough.
    let mut mixed = second;
    mixed[1].promise = None;
    assert_eq!(judge_records(vec![first(90), mixed]).ordered_by_clock, 4);
}

/// Clocks that make a contradiction look legal do not hide it.
#[test]
fn a_contradiction_that_clocks_would_hide_is_seen() {
    // Slot 1 was promised after slot 2, but its machine's clock says that it came first.
    let first = vec![placed((50, 7, 1, 10), vote(2, 2, None, &[(1, 2), (2, 1)]))];
    let second = vec![placed((40, 7, 2, 12), vote(1, 1, None, &[(1, 1)]))];
    assert_eq!(judge_records(vec![first, second]).lockout_violations, 1);
}

/// A store that was replaced begins its terms anew: stores follow each other as their first votes did.
#[test]
fn terms_of_two_stores_are_not_compared() {
    let folder = vec![
        placed((1, 7, 9, 100), vote(1, 1, None, &[(1, 1)])),
        placed((2, 7, 9, 101), vote(2, 2, None, &[(1, 2), (2, 1)])),
    ];
    let etcd = vec![placed((3, 8, 1, 10), vote(3, 3, None, &[(1, 3), (2, 2), (3, 1)]))];
    let back = placed((4, 7, 10, 102), vote(4, 4, None, &[(1, 4), (2, 3), (3, 2), (4, 1)]));
    let verdict = judge_records(vec![folder, etcd, vec![back]]);
    assert!(verdict.clean(), "{verdict:?}");
}

#[test]
fn an_account_is_judged_whoever_signs_for_it() {
    let mut moved = vote(2, 2, None, &[(2, 1)]);
    // The first signer's key.
    let at = moved.windows(32).position(|key| key == [1; 32]).expect("a signer");
    moved[at..at + 32].copy_from_slice(&[8; 32]);
    let before = placed((1, 7, 1, 10), vote(1, 1, None, &[(1, 1)]));
    let verdict = judge_records(vec![vec![before], vec![placed((2, 7, 2, 12), moved)]]);
    assert_eq!(verdict.lockout_violations, 1, "slot 1 is locked for the account, not for an identity: {verdict:?}");
}
