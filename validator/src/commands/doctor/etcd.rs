//! Each etcd endpoint, and the cluster they make.

use {
    super::{Finding, Patient},
    crate::{args::TowerStorageKind, config::TowerStorage},
    std::time::Duration,
    tandem_etcd::{EtcdKv, Examination, MemberFacts},
};

pub fn look(patient: &Patient<'_>, findings: &mut Vec<Finding>) {
    if patient.run.store.tower_storage == TowerStorageKind::File {
        findings.push(Finding::warn(
            "tower store",
            "a folder on this machine",
            "it fences nobody: no other machine may ever use this identity's key",
            "for a pair: --tower-storage etcd with --etcd-endpoint and the certificate flags",
        ));
        return;
    }
    let opened =
        TowerStorage::new(&patient.ledger, &patient.run.store).map_err(|failure| (failure.what, failure.remedy));
    let options = match opened {
        Ok(TowerStorage::Etcd { options, .. }) => options,
        Ok(TowerStorage::File { .. }) => return,
        Err((what, remedy)) => {
            let remedy = remedy.unwrap_or_else(|| "correct that flag or file".to_owned());
            findings.push(Finding::fail("etcd", "cannot be asked", what, remedy));
            return;
        }
    };
    match EtcdKv::open(options) {
        Ok(kv) => cluster(&kv.examine(CALL_DEADLINE), findings),
        Err(error) => findings.push(Finding::fail("etcd", "cannot be asked", error, "correct the --etcd flags")),
    }
}

fn cluster(all: &[Examination], findings: &mut Vec<Finding>) {
    let mut good: Vec<&MemberFacts> = Vec::new();
    for examination in all {
        let subject = format!("etcd {}", examination.endpoint);
        match &examination.found {
            Ok(facts) => {
                good.push(facts);
                member(&subject, facts, findings);
            }
            Err(reason) => findings.push(Finding::fail(
                &subject,
                "cannot be used",
                reason,
                format!(
                    "on its machine: systemctl status etcd; from here: etcdctl --endpoints {} endpoint health",
                    examination.endpoint
                ),
            )),
        }
    }
    if let Some(first) = good.first() {
        quorum(first, &good, all.len(), findings);
    }
}

fn member(subject: &str, facts: &MemberFacts, findings: &mut Vec<Finding>) {
    let place = if facts.is_leader { "leader" } else { "follower" };
    findings.push(Finding::ok(
        subject,
        format!("answers, {place}, version {}, database {} MiB", facts.version, facts.db_bytes.max(0) >> 20),
    ));
    findings.extend(version(subject, &facts.version));
    for alarm in &facts.alarms {
        findings.push(Finding::fail(
            subject,
            format!("alarm {alarm}"),
            match alarm.as_str() {
                "NOSPACE" => "etcd refuses every write: no vote can be recorded",
                _ => "this member's data is damaged",
            },
            match alarm.as_str() {
                "NOSPACE" => "etcdctl compact $(revision), etcdctl defrag, etcdctl alarm disarm; and give etcd --auto-compaction-mode revision --auto-compaction-retention 1000",
                _ => "remove this member from the cluster, delete its data, and add it again",
            },
        ));
    }
    if facts.db_bytes > DB_WARN_BYTES {
        findings.push(Finding::warn(
            subject,
            format!("database of {} MiB", facts.db_bytes >> 20),
            "etcd stops all writes at 2 GiB, its default quota",
            "etcdctl defrag; and give etcd --auto-compaction-mode revision --auto-compaction-retention 1000",
        ));
    }
    let (read, txn) = (facts.read, facts.transaction);
    let fact = format!(
        "read p50 {:.1} ms, p99 {:.1}; fenced transaction p50 {:.1} ms, p99 {:.1}",
        read.p50_ms, read.p99_ms, txn.p50_ms, txn.p99_ms
    );
    let subject = format!("latency of {}", subject.trim_start_matches("etcd "));
    findings.push(if txn.p50_ms > TXN_WARN_MS {
        Finding::warn(
            subject,
            fact,
            "every vote waits for one such transaction; a vote that lands a slot later earns less",
            "give etcd a disk of its own (fsync under 10 ms) and members near both machines",
        )
    } else {
        Finding::ok(subject, fact)
    });
}

/// What is known of etcd's versions: 3.5.0 to 3.5.2 could lose data after a crash (fixed in 3.5.3), and reads of 3.4 and 3.5
/// can be stale after a member was paused (github.com/etcd-io/etcd/issues/20418, mended from February 2026 on).
fn version(subject: &str, version: &str) -> Option<Finding> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let remedy = "upgrade etcd, one member after the other, to the newest release of its line or to 3.6";
    match (major, minor, patch) {
        (3, 5, 0..=2) => Some(Finding::fail(
            subject,
            format!("version {version}"),
            "it can come back from a crash with data that differs from the other members'",
            remedy,
        )),
        (3, 4 | 5, _) => Some(Finding::warn(
            subject,
            format!("version {version}"),
            "releases of this line before the spring of 2026 can answer reads with old data after a pause; decisions here are \
             made by transactions only, but other programs may not be as careful",
            remedy,
        )),
        (0..=2, _, _) | (3, 0..=3, _) => Some(Finding::fail(
            subject,
            format!("version {version}"),
            "it is older than what this program is tested with (3.4 and later)",
            remedy,
        )),
        (_, _, _) => None,
    }
}

fn quorum(first: &MemberFacts, good: &[&MemberFacts], named: usize, findings: &mut Vec<Finding>) {
    if let Some(other) = good.iter().find(|facts| facts.store_id != first.store_id) {
        findings.push(Finding::fail(
            "etcd cluster",
            format!("ids {:016x} and {:016x}", first.store_id, other.store_id),
            "the endpoints belong to different clusters: a fence in one does not hold in the other",
            "name the members of one cluster only with --etcd-endpoint",
        ));
        return;
    }
    let (answer, all) = (good.len(), first.members.max(named));
    let fact = format!("{answer} of {all} members answer, cluster {:016x}", first.store_id);
    let needed = all / 2 + 1;
    findings.push(if answer < needed && named >= all {
        Finding::fail("etcd quorum", fact, "a majority is needed for every write", "start the missing members")
    } else if answer < named {
        let spare = answer.saturating_sub(needed);
        Finding::warn(
            "etcd quorum",
            fact,
            format!("{spare} more may fail before no vote can be recorded"),
            "start the missing members",
        )
    } else if named < all {
        Finding::warn(
            "etcd quorum",
            fact,
            format!("the cluster has {all} members, {named} are named: this machine cannot go on without those"),
            "name every member, one --etcd-endpoint for each",
        )
    } else if all == 1 {
        Finding::warn(
            "etcd quorum",
            fact,
            "when its only machine is down, no vote can be recorded",
            "run three members on three machines",
        )
    } else {
        Finding::ok("etcd quorum", fact)
    });
}

const CALL_DEADLINE: Duration = Duration::from_secs(3);
const DB_WARN_BYTES: i64 = 1 << 30;
/// A twentieth of a slot.
const TXN_WARN_MS: f64 = 20.0;

#[cfg(test)]
mod tests {
    use {super::*, crate::commands::finding::Verdict};

    #[test]
    fn versions_with_known_faults_are_named() {
        let verdict = |text: &str| version("etcd", text).map(|finding| finding.verdict);
        assert_eq!(verdict("3.5.2"), Some(Verdict::Fail));
        assert_eq!(verdict("3.5.3"), Some(Verdict::Warn));
        assert_eq!(verdict("3.4.23"), Some(Verdict::Warn));
        assert_eq!(verdict("3.3.27"), Some(Verdict::Fail));
        assert_eq!(verdict("3.6.4"), None);
        assert_eq!(verdict("not a version"), None, "an unknown version is no finding");
    }
}
