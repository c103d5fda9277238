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
