//! Violations planted in each form the witness reads are found, and what is only repeated is not.

mod made;

use {
    made::{Folder, block, clean_votes, conflicting, identity, payloads, pcap, push, unlocked},
    std::path::Path,
    tandem_shred::Shred,
    tandem_witness::{Judge, RecordKind, Verdict},
};

fn judged(mut judge: Judge, paths: &[&Path]) -> Verdict {
    for path in paths {
        judge.add_path(path).expect("readable");
    }
    judge.verdict()
}

fn audit(paths: &[&Path]) -> Verdict {
    let all = judged(Judge::default(), paths);
    let ours = judged(Judge::of_identity(identity()), paths);
    assert_eq!((all.violations(), all.votes_checked), (ours.violations(), ours.votes_checked), "{all:?} {ours:?}");
    let theirs = judged(Judge::of_identity([1; 32]), paths);
    assert_eq!((theirs.violations(), theirs.votes_checked, theirs.shreds_checked), (0, 0, 0), "nothing is of another");
    ours
}

/// Conflicting votes, lockout violations, duplicate blocks.
fn counts(verdict: &Verdict) -> (u64, u64, u64) {
    (verdict.conflicting_votes, verdict.lockout_violations, verdict.duplicate_blocks)
}

#[test]
fn release_logs() {
    logs_that_say_where_promises_stand(true);
    // As the first version wrote them.
    logs_that_say_where_promises_stand(false);
}

fn logs_that_say_where_promises_stand(placed: bool) {
    let folder = Folder::new();
    let votes = |votes: Vec<Vec<u8>>| votes.into_iter().map(|vote| (RecordKind::Vote, vote)).collect::<Vec<_>>();
    let shreds =
        |slot, flavour| payloads(&block(slot, flavour, &[])).into_iter().map(|shred| (RecordKind::Shred, shred));
    let mut records = votes(clean_votes());
    records.extend(shreds(20, 1).chain(shreds(20, 1)));
    let clean = folder.release_log("clean", 1, placed, &records);
    let verdict = audit(&[&clean]);
    assert!(verdict.clean(), "{verdict:?}");
    assert_eq!((verdict.votes_checked, verdict.shreds_checked), (5, 128));
    let other = folder.release_log("conflicting", 1_000, placed, &votes(vec![conflicting()]));
    assert_eq!(counts(&audit(&[&clean, &other])), (1, 0, 0));
    let other = folder.release_log("unlocked", 1_000, placed, &votes(vec![clean_votes()[2].clone(), unlocked()]));
    assert_eq!(counts(&audit(&[&other])), (0, 1, 0));
    let other = folder.release_log("duplicate", 1_000, placed, &shreds(20, 2).collect::<Vec<_>>());
    assert_eq!(counts(&audit(&[&clean, &other])), (0, 0, 1));
}

#[test]
fn packets_of_every_link_type() {
    let folder = Folder::new();
    let datagrams = |votes: &[Vec<u8>], shreds: &[Shred]| {
        // Gossip hands on votes late and in another order; repair's answers have a nonce behind the shred.
        let late: Vec<_> = votes.iter().rev().cloned().collect();
        let repaired = payloads(shreds).into_iter().map(|shred| [shred, vec![1, 2, 3, 4]].concat());
        let quic = vec![vec![0xc0; 1200]];
        [votes.to_vec(), late.chunks(2).map(push).collect(), payloads(shreds), repaired.collect(), quic].concat()
    };
    for (link, big_endian) in [(1, false), (1, true), (101, false), (113, false), (276, false)] {
        let file = |name: &str, datagrams: &[Vec<u8>]| {
            folder.file(&format!("{name}-{link}-{big_endian}"), &pcap(link, big_endian, datagrams))
        };
        let clean = file("clean", &datagrams(&clean_votes(), &block(20, 1, &[])));
        let verdict = audit(&[&clean]);
        assert!(verdict.clean(), "{verdict:?}");
        assert_eq!((verdict.votes_checked, verdict.shreds_checked, verdict.passed_over), (10, 128, 1), "{verdict:?}");
        for planted in [vec![conflicting()], vec![push(&[conflicting()])]] {
            let verdict = audit(&[&clean, &file("conflicting", &planted)]);
            assert_eq!(counts(&verdict), (1, 0, 0), "{verdict:?}");
            let seen: Vec<_> = verdict.findings[0].items.iter().map(|item| item.seen.as_str()).collect();
            assert!(seen[0].ends_with("packet 3") && seen[1].ends_with("packet 1"), "{seen:?}");
        }
        // The lockout is broken in whatever order the two are seen.
        let second = clean_votes()[2].clone();
        for planted in [vec![second.clone(), unlocked()], vec![push(&[unlocked(), second])]] {
            assert_eq!(counts(&audit(&[&file("unlocked", &planted)])), (0, 1, 0));
        }
        let duplicate = file("duplicate", &payloads(&block(20, 2, &[])[40..41]));
        let verdict = audit(&[&clean, &duplicate]);
        assert_eq!(counts(&verdict), (0, 0, 1), "{verdict:?}");
    }
}

#[test]
fn forged_votes_and_shreds_accuse_nobody() {
    let folder = Folder::new();
    let mut forged_vote = conflicting();
    forged_vote[10] ^= 1;
    let mut forged_shred = payloads(&block(20, 2, &[]))[0].clone();
    forged_shred[10] ^= 1;
    let datagrams = [clean_votes(), payloads(&block(20, 1, &[])), vec![forged_vote, forged_shred]].concat();
    let path = folder.file("forged", &pcap(101, false, &datagrams));
    let verdict = judged(Judge::of_identity(identity()), &[&path]);
    assert!(verdict.clean(), "{verdict:?}");
    assert_eq!((verdict.votes_checked, verdict.shreds_checked, verdict.foreign), (5, 64, 2));
}

#[test]
fn ledgers_and_the_votes_in_their_blocks() {
    let folder = Folder::new();
    let landed = clean_votes();
    let one = folder.ledger("one", [block(20, 1, &landed[..3]), block(21, 1, &landed[3..])].concat());
    let verdict = audit(&[&one]);
    assert!(verdict.clean(), "{verdict:?}");
    assert_eq!((verdict.votes_checked, verdict.shreds_checked, verdict.passed_over), (5, 64, 0), "{verdict:?}");
    let verdict = audit(&[&one, &folder.ledger("conflicting", block(22, 1, &[conflicting()]))]);
    assert_eq!(counts(&verdict), (1, 0, 0), "{verdict:?}");
    assert!(verdict.findings[0].items[1].seen.contains("22.shreds, shred 0"), "{verdict:?}");
    let verdict = audit(&[&folder.ledger("unlocked", block(22, 1, &[unlocked(), landed[2].clone()]))]);
    assert_eq!(counts(&verdict), (0, 1, 0), "{verdict:?}");
    let verdict = audit(&[&one, &folder.ledger("duplicate", block(20, 2, &[]))]);
    assert_eq!(counts(&verdict), (0, 0, 1), "{verdict:?}");
}

#[test]
fn captures_of_shreds() {
    let folder = Folder::new();
    let landed = clean_votes();
    let clean = [block(20, 1, &landed), block(21, 1, &[])].concat();
    let verdict = audit(&[&folder.shred_capture("clean", &clean)]);
    assert!(verdict.clean(), "{verdict:?}");
    assert_eq!((verdict.votes_checked, verdict.shreds_checked), (5, 128), "{verdict:?}");
    let all = [clean.clone(), block(22, 1, &[conflicting()])].concat();
    assert_eq!(counts(&audit(&[&folder.shred_capture("conflicting", &all)])), (1, 0, 0));
    let all = block(22, 1, &[landed[2].clone(), unlocked()]);
    assert_eq!(counts(&audit(&[&folder.shred_capture("unlocked", &all)])), (0, 1, 0));
    let all = [clean, block(21, 2, &[])].concat();
    assert_eq!(counts(&audit(&[&folder.shred_capture("duplicate", &all)])), (0, 0, 1));
}

#[test]
fn what_is_none_of_these_is_named() {
    let folder = Folder::new();
    for (name, bytes, reason) in [
        ("text", &b"hello there, I am no capture"[..], "neither"),
        ("pcapng", &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0], "editcap"),
        ("short", &pcap(101, false, &[])[..20], "fill whole buffer"),
    ] {
        let error = Judge::default().add_path(&folder.file(name, bytes)).expect_err("not readable").to_string();
        assert!(error.contains(reason) && error.contains(name), "{error}");
    }
    let empty = Judge::default().add_path(&folder.empty()).expect_err("an empty folder").to_string();
    assert!(empty.contains("without slot files"), "{empty}");
}

#[test]
fn cut_and_damaged_captures_neither_panic_nor_accuse() {
    let folder = Folder::new();
    let shred = payloads(&block(20, 1, &[]))[0].clone();
    let whole = pcap(1, false, &[clean_votes()[0].clone(), push(&clean_votes()), shred]);
    for cut in 24..whole.len() {
        let verdict = judged(Judge::default(), &[&folder.file("cut", &whole[..cut])]);
        assert!(verdict.clean(), "cut at {cut}");
    }
    let datagram = push(&clean_votes());
    for at in 0..datagram.len() {
        for change in [1, 0x80, 0xff] {
            let mut damaged = datagram.clone();
            damaged[at] ^= change;
            let verdict = judged(Judge::default(), &[&folder.file("damaged", &pcap(101, false, &[damaged]))]);
            assert_eq!(verdict.violations(), 0, "byte {at}");
        }
    }
}
