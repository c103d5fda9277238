//! Against the real etcd, started by the tests. Where none is installed they print a line and pass.
#![allow(clippy::unwrap_used)]

use {
    std::{
        fs,
        time::{Duration, Instant},
    },
    tandem_etcd::{
        CheckError, EtcdKv, EtcdOptions,
        testing::{Authority, EtcdCluster, etcd_is_installed},
    },
    tandem_role::kv::{Compare, Kv, KvError, Op, Txn, TxnReply, WatchEvent},
};

const DEADLINE: Duration = Duration::from_secs(3);

macro_rules! cluster {
    ($count:expr) => {{
        if !etcd_is_installed(std::thread::current().name().unwrap_or("?")) {
            return;
        }
        EtcdCluster::start($count).expect("etcd starts")
    }};
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: value.into() }
}

fn get(key: &str) -> Op {
    Op::Get { key: key.into() }
}

fn when(key: &str, mod_revision: u64) -> Vec<Compare> {
    vec![Compare { key: key.into(), mod_revision }]
}

fn read(kv: &mut EtcdKv, key: &str) -> Option<(String, u64)> {
    let reply = kv.txn(&Txn { then: vec![get(key)], ..Txn::default() }, DEADLINE).expect("a read");
    reply.reads[0].first().map(|kv| (String::from_utf8(kv.value.clone()).unwrap(), kv.mod_revision))
}

fn try_write(kv: &mut EtcdKv, key: &str, value: &str, deadline: Duration) -> Result<TxnReply, KvError> {
    kv.txn(&Txn { then: vec![put(key, value)], ..Txn::default() }, deadline)
}

#[test]
fn transactions_compare_write_and_read_at_once() {
    let cluster = cluster!(1);
    let mut kv = EtcdKv::open(cluster.options()).unwrap();

    let claim = Txn {
        compares: when("/t/owner", 0),
        then: vec![put("/t/owner", "one"), get("/t/tower"), put("/t/log/1", "first")],
        otherwise: vec![get("/t/owner")],
    };
    let first = kv.txn(&claim, DEADLINE).unwrap();
    assert!(first.succeeded && first.store_id != 0);
    assert_eq!(first.reads, vec![vec![], vec![], vec![]]);

    let second = kv.txn(&claim, DEADLINE).unwrap();
    assert!(!second.succeeded);
    assert_eq!(second.store_id, first.store_id);
    assert_eq!(
        (second.reads[0][0].value.as_slice(), second.reads[0][0].mod_revision),
        (b"one".as_slice(), first.revision)
    );

    let change = Txn {
        compares: when("/t/owner", first.revision),
        then: vec![put("/t/owner", "two"), Op::GetPrefix { prefix: "/t/".into(), limit: 10 }],
        ..Txn::default()
    };
    let changed = kv.txn(&change, DEADLINE).unwrap();
    assert!(changed.succeeded && changed.revision > first.revision);
    let keys: Vec<&str> = changed.reads[1].iter().map(|kv| kv.key.as_str()).collect();
    assert_eq!(keys, ["/t/log/1", "/t/owner"], "in order of key");
    assert!(!kv.txn(&change, DEADLINE).unwrap().succeeded, "the same compare holds only once");
    assert_eq!(read(&mut kv, "/t/owner"), Some(("two".into(), changed.revision)));

    let limited = Txn { then: vec![Op::GetPrefix { prefix: "/t/".into(), limit: 1 }, get("/none")], ..Txn::default() };
    let limited = kv.txn(&limited, DEADLINE).unwrap();
    assert_eq!((limited.reads[0].len(), limited.reads[1].len()), (1, 0));
    let gone = Txn { then: vec![Op::Delete { key: "/t/owner".into() }], ..Txn::default() };
    assert!(kv.txn(&gone, DEADLINE).unwrap().succeeded);
    assert_eq!(read(&mut kv, "/t/owner"), None);

    // The same key twice in one transaction is malformed: etcd says so, and nothing happens.
    let twice = Txn { then: vec![put("/t/x", "1"), put("/t/x", "2")], ..Txn::default() };
    assert!(matches!(kv.txn(&twice, DEADLINE), Err(KvError::Refused { .. })));

    // From inside another runtime, and from a clone.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let mut clone = kv.clone();
        drop(kv);
        assert!(try_write(&mut clone, "/t/async", "1", DEADLINE).unwrap().succeeded);
    });
}

#[test]
fn a_hanging_member_costs_no_more_than_the_deadline() {
    let cluster = cluster!(1);
    let mut kv = EtcdKv::open(cluster.options()).unwrap();
    try_write(&mut kv, "/k", "1", DEADLINE).unwrap();
    cluster.pause(0);
    // Just heard of: the write is sent, and nobody knows what became of it.
    let start = Instant::now();
    let error = try_write(&mut kv, "/k", "2", Duration::from_millis(400)).unwrap_err();
    assert!(matches!(error, KvError::Unknown { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    // Now it is suspect: it is asked first, and so nothing was sent.
    let start = Instant::now();
    let error = try_write(&mut kv, "/k", "3", Duration::from_millis(400)).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_millis(600), "{:?}", start.elapsed());
    let read = kv.txn(&Txn { then: vec![get("/k")], ..Txn::default() }, Duration::from_millis(300));
    assert!(matches!(read, Err(KvError::Unavailable { .. })), "{read:?}");
    cluster.resume(0);
    let end = Instant::now() + DEADLINE;
    while try_write(&mut kv, "/back", "1", Duration::from_millis(500)).is_err() {
        assert!(Instant::now() < end, "it must be used again when it is back");
    }
    let reply = kv.txn(&Txn { then: vec![get("/k")], ..Txn::default() }, DEADLINE).unwrap();
    assert_ne!(reply.reads[0][0].value, b"3", "what was reported as not done must not be done later");
}

#[test]
fn nobody_there_is_unavailable_with_a_reason() {
    let mut kv = EtcdKv::open(EtcdOptions::new(vec!["http://127.0.0.1:1".into()])).unwrap();
    let error = try_write(&mut kv, "/k", "1", DEADLINE).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1") && error.to_string().contains("refused"), "{error}");
    let error = kv.check(DEADLINE).unwrap_err();
    assert!(matches!(error, CheckError::NoMember(_)) && error.to_string().contains("is etcd running there"), "{error}");
}

#[test]
fn wrong_files_are_named_with_the_remedy() {
    let cluster = cluster!(1);
    let other = Authority::new("another authority");
    other.write(&cluster.path("other-ca.pem"));
    other.issue(&cluster.path("other.pem"), &cluster.path("other-key.pem"), &[], false);
    cluster.authority.issue(&cluster.path("old.pem"), &cluster.path("old-key.pem"), &[], true);
    fs::write(cluster.path("empty.pem"), "nothing").unwrap();

    let open = |change: &dyn Fn(&mut EtcdOptions)| {
        let mut options = cluster.options();
        change(&mut options);
        EtcdKv::open(options)
    };
    let opened = |change: &dyn Fn(&mut EtcdOptions)| open(change).map(drop).unwrap_err().to_string();
    let checked = |change: &dyn Fn(&mut EtcdOptions)| open(change).unwrap().check(DEADLINE).unwrap_err().to_string();
    let has = |text: String, parts: &[&str]| {
        parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in: {text}"));
    };

    // Judged when the store is opened.
    has(opened(&|o| o.cacert_file = Some("/no/such.pem".into())), &["/no/such.pem", "--etcd-cacert-file"]);
    has(
        opened(&|o| o.cert_file = Some(cluster.path("empty.pem"))),
        &["empty.pem", "no certificate", "--etcd-cert-file"],
    );
    has(
        opened(&|o| o.key_file = Some(cluster.path("other-key.pem"))),
        &["other-key.pem", "does not fit", "client.pem"],
    );
    has(opened(&|o| o.key_file = None), &["--etcd-cert-file needs --etcd-key-file"]);
    has(opened(&|o| o.cacert_file = None), &["--etcd-cacert-file"]);

    // Judged by the preflight.
    let wrong_ca = |o: &mut EtcdOptions| o.cacert_file = Some(cluster.path("other-ca.pem"));
    has(checked(&wrong_ca), &["other-ca.pem", "not signed by", "--etcd-cacert-file"]);
    let expired = |o: &mut EtcdOptions| {
        o.cert_file = Some(cluster.path("old.pem"));
        o.key_file = Some(cluster.path("old-key.pem"));
    };
    has(checked(&expired), &["old.pem", "expired on", "2021"]);
    let foreign = |o: &mut EtcdOptions| {
        o.cert_file = Some(cluster.path("other.pem"));
        o.key_file = Some(cluster.path("other-key.pem"));
    };
    has(checked(&foreign), &["refused our certificate", "other.pem", "--etcd-cert-file"]);
    has(checked(&|o| (o.cert_file, o.key_file) = (None, None)), &["refused our certificate", "no certificate"]);
    has(checked(&|o| o.domain_name = Some("elsewhere.test".into())), &["elsewhere.test", "--etcd-domain-name"]);

    // None of them ever leaves a write in doubt: no connection, no request.
    for change in [&wrong_ca as &dyn Fn(&mut EtcdOptions), &expired, &foreign] {
        let error = try_write(&mut open(change).unwrap(), "/k", "1", DEADLINE).unwrap_err();
        assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    }

    // The name given is the one verified, whatever the address is.
    let named = open(&|o| o.domain_name = Some("etcd.test".into())).unwrap().check(DEADLINE).expect("a valid name");
    assert_eq!(named.members.len(), 1);
    assert!(named.members[0].is_leader && named.members[0].version.starts_with("3."), "{named:?}");
    assert!(named.warnings.iter().any(|warning| warning.contains("one etcd endpoint only")), "{named:?}");
}

#[test]
fn new_certificate_files_are_used_without_a_restart() {
    let mut cluster = cluster!(1);
    let (ca, pem, key) = (cluster.path("my-ca.pem"), cluster.path("my.pem"), cluster.path("my-key.pem"));
    Authority::new("another authority").write(&ca);
    cluster.authority.issue(&pem, &key, &[], true);
    let options = EtcdOptions {
        cacert_file: Some(ca.clone()),
        cert_file: Some(pem.clone()),
        key_file: Some(key.clone()),
        ..cluster.options()
    };
    let mut kv = EtcdKv::open(options).unwrap();
    assert!(try_write(&mut kv, "/k", "1", DEADLINE).is_err(), "a wrong authority");
    cluster.authority.write(&ca);
    assert!(try_write(&mut kv, "/k", "1", DEADLINE).is_err(), "an expired certificate");
    cluster.authority.issue(&pem, &key, &[], false);
    try_write(&mut kv, "/k", "1", DEADLINE).expect("good files");
    // Half written files are not used; the last good content is, for a new connection too.
    fs::write(&pem, "-----BEGIN CERT").unwrap();
    cluster.restart(0).unwrap();
    cluster.wait_healthy(Duration::from_secs(10)).unwrap();
    let end = Instant::now() + DEADLINE;
    while let Err(error) = try_write(&mut kv, "/k", "2", DEADLINE) {
        assert!(Instant::now() < end, "{error}");
    }
    let error = kv.check(DEADLINE).unwrap_err().to_string();
    assert!(error.contains("my.pem"), "{error}");
}

/// Certificates expire under a running node: one whose files were renewed in time goes on over new connections, one whose
/// files were not does not, and says why.
#[test]
fn an_expired_certificate_matters_only_to_who_did_not_renew_it() {
    let mut cluster = cluster!(1);
    let valid = Duration::from_secs(6);
    let issued = Instant::now();
    let options = |name: &str| {
        let (cert, key) = (cluster.path(&format!("{name}.pem")), cluster.path(&format!("{name}-key.pem")));
        cluster.authority.issue_for(&cert, &key, valid);
        EtcdOptions { cert_file: Some(cert), key_file: Some(key), ..cluster.options() }
    };
    let mut renewed = EtcdKv::open(options("renewed")).unwrap();
    let mut forgotten = EtcdKv::open(options("forgotten")).unwrap();
    try_write(&mut renewed, "/k", "1", DEADLINE).unwrap();
    try_write(&mut forgotten, "/k", "2", DEADLINE).unwrap();

    let (cert, key) = (cluster.path("renewed.pem"), cluster.path("renewed-key.pem"));
    cluster.authority.issue_for(&cert, &key, Duration::from_secs(3_600));
    std::thread::sleep((valid + Duration::from_secs(2)).saturating_sub(issued.elapsed()));
    // Connections that were made before outlive the certificate; a restart of etcd ends them all.
    cluster.restart(0).unwrap();
    cluster.wait_healthy(Duration::from_secs(10)).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = try_write(&mut renewed, "/k", "3", DEADLINE) {
        assert!(Instant::now() < end, "{error}");
    }
    let error = try_write(&mut forgotten, "/k", "4", DEADLINE).unwrap_err();
    assert!(matches!(error, KvError::Unavailable { .. }), "{error}");
    let error = forgotten.check(DEADLINE).unwrap_err().to_string();
    assert!(error.contains("forgotten.pem") && error.contains("expired on"), "{error}");
}

#[test]
fn three_members_go_on_without_their_leader() {
    let mut cluster = cluster!(3);
    let mut kv = EtcdKv::open(cluster.options()).unwrap();
    assert_eq!(kv.check(DEADLINE).unwrap().members.len(), 3);
    let store_id = try_write(&mut kv, "/n", "0", DEADLINE).unwrap().store_id;
    let watch = kv.watch("/n");

    let leader = cluster.leader().unwrap();
    cluster.kill(leader);
    // Count up under a compare, as the store protocol does: an unknown outcome is resolved by reading back.
    let (mut wrote, end) = (0, Instant::now() + Duration::from_secs(10));
    while wrote < 5 {
        assert!(Instant::now() < end, "the other two must go on");
        let Ok(now) = kv.txn(&Txn { then: vec![get("/n")], ..Txn::default() }, Duration::from_secs(1)) else {
            continue;
        };
        let (value, revision) = (now.reads[0][0].value.clone(), now.reads[0][0].mod_revision);
        wrote = String::from_utf8(value).unwrap().parse::<u32>().unwrap();
        let next =
            Txn { compares: when("/n", revision), then: vec![put("/n", &(wrote + 1).to_string())], ..Txn::default() };
        match kv.txn(&next, Duration::from_secs(1)) {
            Ok(reply) => assert!(reply.succeeded && reply.store_id == store_id, "nobody else writes: {reply:?}"),
            Err(error) => println!("on the way: {error}"),
        }
    }
    // The watch goes on as well, or says that it may have missed something.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match watch.recv_deadline(end).expect("an event or a gap") {
            WatchEvent::Put(kv) if kv.value == b"5" => break,
            WatchEvent::Gap => break,
            WatchEvent::Put(_) | WatchEvent::Deleted { .. } => {}
        }
    }

    // One member hangs now: the cluster has no quorum, and says so within the deadline.
    let other = (0..3).find(|n| *n != leader).unwrap();
    cluster.pause(other);
    let start = Instant::now();
    let error = try_write(&mut kv, "/q", "1", Duration::from_millis(700)).unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(matches!(error, KvError::Unknown { .. } | KvError::Unavailable { .. }), "{error}");
    cluster.resume(other);
    let end = Instant::now() + Duration::from_secs(10);
    while try_write(&mut kv, "/q", "2", Duration::from_secs(1)).is_err() {
        assert!(Instant::now() < end, "quorum is back");
    }
}

#[test]
fn watches_see_changes_and_survive_a_restart() {
    let mut cluster = cluster!(1);
    let mut kv = EtcdKv::open(cluster.options()).unwrap();
    let watch = kv.watch("/w/");
    let next = || watch.recv_timeout(Duration::from_secs(8)).expect("an event");

    let written = try_write(&mut kv, "/w/a", "1", DEADLINE).unwrap();
    let WatchEvent::Put(seen) = next() else { panic!("the put must come first") };
    assert_eq!(
        (seen.key.as_str(), seen.value.as_slice(), seen.mod_revision),
        ("/w/a", b"1".as_slice(), written.revision)
    );
    try_write(&mut kv, "/elsewhere", "1", DEADLINE).unwrap();
    let deleted = kv.txn(&Txn { then: vec![Op::Delete { key: "/w/a".into() }], ..Txn::default() }, DEADLINE).unwrap();
    assert_eq!(next(), WatchEvent::Deleted { key: "/w/a".into(), mod_revision: deleted.revision });

    cluster.restart(0).unwrap();
    assert_eq!(next(), WatchEvent::Gap, "an interruption is told");
    while try_write(&mut kv, "/w/b", "2", DEADLINE).is_err() {}
    assert!(matches!(next(), WatchEvent::Put(kv) if kv.key == "/w/b"));

    // A member that is paused does not close anything: only silence tells.
    cluster.pause(0);
    std::thread::sleep(Duration::from_millis(2500));
    cluster.resume(0);
    assert_eq!(next(), WatchEvent::Gap);
}

#[test]
fn a_leased_key_lives_while_it_is_renewed() {
    let cluster = cluster!(1);
    let mut options = cluster.options();
    options.lease_ttl = Duration::from_secs(1);
    let mut kv = EtcdKv::open(options).unwrap();
    let mut observer = EtcdKv::open(cluster.options()).unwrap();
    let beat = Txn { then: vec![Op::PutLeased { key: "/beat".into(), value: b"1".to_vec() }], ..Txn::default() };
    kv.txn(&beat, DEADLINE).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(read(&mut observer, "/beat").is_some(), "renewed, it outlives its time to live");

    // The lease is taken away behind our back: the next beat brings a new one.
    let leases = cluster.etcdctl(&["lease", "list"]).unwrap();
    let id = leases.lines().last().unwrap().trim().to_owned();
    cluster.etcdctl(&["lease", "revoke", &id]).unwrap();
    assert_eq!(read(&mut observer, "/beat"), None);
    assert!(kv.txn(&beat, DEADLINE).unwrap().succeeded);
    assert!(read(&mut observer, "/beat").is_some());

    kv.revoke_lease(DEADLINE);
    assert_eq!(read(&mut observer, "/beat"), None, "a polite stop");
    kv.txn(&beat, DEADLINE).unwrap();
    drop(kv);
    let end = Instant::now() + Duration::from_secs(5);
    while read(&mut observer, "/beat").is_some() {
        assert!(Instant::now() < end, "nobody renews it any more");
        std::thread::sleep(Duration::from_millis(50));
    }
}
