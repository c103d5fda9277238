//! What a process killed in the middle of a write leaves behind.

use super::{hostile::status, *};

#[test]
fn a_release_log_torn_by_a_kill_is_audited_whole() {
    let place = Place::new();
    let log = place.path("released");
    for run in 0..3 {
        let before = status(&place)["confirmed"].as_u64();
        let mut node = place.run("--release-log @released");
        node.wait_until("it confirms blocks", || {
            status(&place)["confirmed"].as_u64() > before.max(Some(1))
                && fs::metadata(&log).is_ok_and(|log| log.len() > 0)
        });
        if run > 0 {
            assert!(node.log().contains("half-written record"), "it is said:\n{}", node.log());
        }
        // SIGKILL, in the middle of the last write.
        drop(node);
        let length = fs::metadata(&log).unwrap().len();
        fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 5).unwrap();
    }
    let output = place.command("audit @released --output json").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report["clean"], serde_json::json!(true), "{report}");
    let read: u64 = tandem_witness::read_log(&log).unwrap().len() as u64;
    assert_eq!(report["inputs"][0]["items"].as_u64(), Some(read), "{report}");
    assert!(read > 100, "{read} records of three runs");
}

/// What a machine forgets that loses power: nothing waited for the ledger's disk. What the promise store holds is durable.
#[test]
fn a_machine_that_lost_power_makes_no_slot_twice() {
    let place = Place::new();
    let log = place.path("released");
    let produced = || status(&place)["counters"]["blocks_produced"].as_u64();
    let own_slots = |skip: usize| -> Vec<u64> {
        let records = tandem_witness::read_log(&log).unwrap();
        let shreds = records.iter().skip(skip).filter(|record| record.kind == tandem_witness::RecordKind::Shred);
        shreds.map(|record| tandem_shred::peek(&record.bytes).unwrap().slot).collect()
    };
    let voted = || -> u64 {
        let shown = place.command("-l @ledger tower show -i @i.json --output json").output().unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        shown["tower"]["lastVote"].as_u64().unwrap()
    };
    // In the middle of a slot, as most moments are.
    let last = (0..10)
        .find_map(|_| {
            let mut node = place.run("--release-log @released");
            node.wait_until("it makes blocks", || produced() > Some(8));
            drop(node);
            own_slots(0).into_iter().max().filter(|last| *last > voted())
        })
        .expect("a kill in the middle of a slot");
    let before = tandem_witness::read_log(&log).unwrap().len();
    // The machine's memory of the block in production goes. (What it had voted for, others would have; here nobody has.)
    fs::remove_file(place.path("ledger/facts")).unwrap();
    for slot in voted() + 1..=last {
        let _never_made = fs::remove_file(place.path(&format!("ledger/slots/0/{slot}.shreds")));
    }
    let mut node = place.run("--release-log @released");
    node.wait_until("it makes blocks again", || produced() > Some(3));
    drop(node);
    let again = own_slots(before);
    assert!(again.iter().all(|slot| *slot > last), "slot {last} was sent, and then {:?}", again.iter().min());
    let output = place.command("audit @released").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}
