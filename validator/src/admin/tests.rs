//! A server and clients over a real Unix socket.

use {
    super::{client::AdminClient, *},
    crate::{
        exit::Status,
        status::{HandoverReport, NodeStatus},
        vote_path::VotePathReport,
    },
    arc_swap::ArcSwap,
    serde_json::{Value, json},
    std::{
        collections::BTreeMap,
        io::{BufRead, BufReader, Write},
        net::SocketAddr,
        os::unix::{fs::PermissionsExt, net::UnixStream},
        sync::{Arc, Mutex},
        time::{Duration, UNIX_EPOCH},
    },
    tandem_env::Closed,
    tandem_identity::Vault,
    tandem_types::{Keypair, Pubkey, Signer},
    tandem_wire::contact_info::{ContactInfo, SocketTag, Version},
    tempfile::TempDir,
};

/// A validator that is nothing but its admin socket; its role stage takes over for any key but this one.
const JUNK: u8 = 66;

struct Bench {
    ledger: TempDir,
    asked: Arc<Mutex<Vec<(Pubkey, bool)>>>,
    vault: Arc<Vault>,
    server: Option<AdminServer>,
    runtime: tokio::runtime::Runtime,
}

fn key(seed: u8) -> Keypair {
    Keypair::new_from_array([seed; 32])
}

impl Bench {
    fn new() -> Self {
        let ledger = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let vault = Arc::new(Vault::new(key(1)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut contact = ContactInfo::new(key(1).pubkey(), 5_000_000, 7, Version::default());
        contact.set_socket(SocketTag::Gossip, SocketAddr::from(([127, 0, 0, 1], 8001))).expect("a good address");
        let context = AdminContext {
            rpc_addr: Some(SocketAddr::from(([127, 0, 0, 1], 8899))),
            started: UNIX_EPOCH + Duration::from_millis(1_500),
            role: Box::new(role_stage(asked.clone())),
            contact: Arc::new(ArcSwap::from_pointee(contact)),
            status: Arc::new(ArcSwap::from_pointee(status())),
            vault: vault.clone(),
            set_log_filter: Box::new(|filter| if filter == "info" { Ok(()) } else { Err("no such level".into()) }),
            failover: None,
        };
        let server = AdminServer::start(ledger.path(), context, 4, runtime.handle()).expect("listens");
        Self { ledger, asked, vault, server: Some(server), runtime }
    }

    fn client(&self) -> AdminClient {
        AdminClient::connect_within(self.ledger.path(), Duration::from_secs(10)).expect("connects")
    }

    fn call(&self, method: &str, params: Value) -> Value {
        self.client().call(method, params).expect(method)
    }

    fn refused(&self, method: &str, params: Value) -> (Status, String) {
        let failure = self.client().call::<Value>(method, params).expect_err(method);
        (failure.status, failure.to_string())
    }

    /// Sends bytes as they are and reads `replies` lines.
    fn raw(&self, bytes: &[u8], replies: usize) -> Vec<Value> {
        let mut stream = UnixStream::connect(socket_path(self.ledger.path())).expect("connects");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(bytes).expect("written");
        let lines = BufReader::new(stream).lines().take(replies);
        lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")).collect()
    }

    fn asked(&self) -> Vec<(Pubkey, bool)> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn role_stage(asked: Arc<Mutex<Vec<(Pubkey, bool)>>>) -> impl Fn(RoleRequest) -> Result<(), Closed> {
    move |request| {
        match request {
            RoleRequest::SetIdentity { keypair, require_tower, reply } => {
                asked.lock().expect("not poisoned").push((keypair.pubkey(), require_tower));
                let answer = if keypair.pubkey() == key(JUNK).pubkey() {
                    Err(AdminError { status: 9, reason: "no tower".into(), remedy: Some("import one".into()) })
                } else {
                    Ok(HandoverReport { role: "ACTIVE".into(), term: Some(3), ..HandoverReport::default() })
                };
                reply.send(answer).expect("somebody waits");
            }
            RoleRequest::Exit { reply } => reply.send(()).expect("somebody waits"),
            RoleRequest::Failover(_) => panic!("nobody asks for this here"),
        }
        Ok(())
    }
}

fn status() -> NodeStatus {
    NodeStatus {
        objection: None,
        twin: None,
        role: "STANDBY".into(),
        identity: key(1).pubkey().to_string(),
        pair_identity: None,
        vote_account: None,
        term: None,
        tip: 12,
        cluster_tip: 13,
        slots_behind: Some(1),
        caught_up: true,
        root: 2,
        confirmed: 10,
        last_vote: None,
        next_leader_slot: None,
        peers: 3,
        store: "file".into(),
        quarantine: None,
        last_step_down: None,
        last_handover: None,
        vote_path: VotePathReport::default(),
        counters: BTreeMap::new(),
        failover: Default::default(),
    }
}

#[test]
fn only_the_owner_can_reach_the_socket_and_it_goes_with_the_server() {
    let mut bench = Bench::new();
    let path = socket_path(bench.ledger.path());
    assert_eq!(path, bench.ledger.path().join("admin.rpc"), "where agave's tools look for it");
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    drop(bench.server.take());
    assert!(!path.exists());
    let failure = AdminClient::connect(bench.ledger.path()).map(drop).expect_err("nobody there").to_string();
    assert!(failure.contains("admin.rpc") && failure.contains("--ledger"), "{failure}");
}

#[test]
fn a_socket_left_by_a_dead_process_is_replaced() {
    let bench = Bench::new();
    let ledger = tempfile::tempdir().expect("a temporary folder");
    drop(std::os::unix::net::UnixListener::bind(socket_path(ledger.path())).expect("a stale socket"));
    let context = AdminContext {
        rpc_addr: None,
        started: UNIX_EPOCH,
        role: Box::new(|_| Err(Closed)),
        contact: Arc::new(ArcSwap::from_pointee(ContactInfo::new(key(1).pubkey(), 0, 0, Version::default()))),
        status: Arc::new(ArcSwap::from_pointee(status())),
        vault: bench.vault.clone(),
        set_log_filter: Box::new(|_| Ok(())),
        failover: None,
    };
    let _server = AdminServer::start(ledger.path(), context, 4, bench.runtime.handle()).expect("replaces it");
    let mut client = AdminClient::connect(ledger.path()).expect("connects");
    assert_eq!(client.call::<Option<SocketAddr>>("rpcAddress", json!([])).expect("answers"), None);
    let failure = client.call::<()>("exit", json!([])).expect_err("the role stage has ended").to_string();
    assert!(failure.contains("stopping"), "{failure}");
}

/// What agave's own client sends and expects (admin_rpc_service.rs, jsonrpc-core-client).
#[test]
fn agaves_methods_answer_in_agaves_shapes() {
    let bench = Bench::new();
    assert_eq!(bench.call("pid", json!([])), json!(std::process::id()));
    assert_eq!(bench.call("rpcAddress", json!([])), json!("127.0.0.1:8899"));
    assert_eq!(bench.call("startTime", json!([])), json!({ "secs_since_epoch": 1, "nanos_since_epoch": 500_000_000 }));
    assert_eq!(bench.call("startProgress", json!([])), json!("Running"));
    assert_eq!(bench.call("isGeneratingSnapshots", json!([])), json!(false));
    assert_eq!(bench.call("exit", json!([])), Value::Null);
    assert_eq!(bench.call("setLogFilter", json!(["info"])), Value::Null);
    let contact = bench.call("contactInfo", json!([]));
    assert_eq!(contact["id"], json!(key(1).pubkey().to_string()));
    assert_eq!((&contact["gossip"], &contact["tvu"]), (&json!("127.0.0.1:8001"), &json!("0.0.0.0:0")));
    assert_eq!((&contact["last_updated_timestamp"], &contact["shred_version"]), (&json!(5_000), &json!(7)));
    let fields = "id gossip tvu serve_repair_quic tpu tpu_forwards tpu_vote rpc rpc_pubsub serve_repair \
                  last_updated_timestamp shred_version";
    assert!(fields.split_whitespace().all(|field| !contact[field].is_null()), "{contact}");
    let status: NodeStatus = bench.client().call("tandemStatus", json!([])).expect("our own");
    assert_eq!((status.tip, status.role.as_str()), (12, "STANDBY"));
}

#[test]
fn set_identity_with_two_parameters_and_with_three() {
    let bench = Bench::new();
    let path = bench.ledger.path().join("key.json");
    tandem_identity::write_keypair_file(&key(5), &path).expect("writable");
    let bytes = key(6).to_bytes().to_vec();
    assert_eq!(bench.call("setIdentity", json!([path, true])), Value::Null, "agave 2.3");
    assert_eq!(bench.call("setIdentity", json!([path, false, true])), Value::Null, "agave 4.2");
    assert_eq!(bench.call("setIdentityFromBytes", json!([bytes, true])), Value::Null);
    assert_eq!(bench.call("setIdentityFromBytes", json!([bytes, false, false])), Value::Null);
    let report: HandoverReport = bench.client().call("tandemSetIdentity", json!([bytes, true])).expect("taken over");
    assert_eq!((report.role.as_str(), report.term), ("ACTIVE", Some(3)));
    let (five, six) = (key(5).pubkey(), key(6).pubkey());
    assert_eq!(bench.asked(), [(five, true), (five, false), (six, true), (six, false), (six, true)]);
}

#[test]
fn a_refusal_keeps_its_status_reason_and_remedy() {
    let bench = Bench::new();
    let junk = key(JUNK).to_bytes().to_vec();
    for method in ["tandemSetIdentity", "setIdentityFromBytes"] {
        assert_eq!(bench.refused(method, json!([junk, true])), (Status::TowerMissing, "no tower — import one".into()));
    }
    let missing = bench.ledger.path().join("none.json");
    let (status, text) = bench.refused("setIdentity", json!([missing, false]));
    assert!(status == Status::Refused && text.contains("none.json"), "{text}");
    let (status, text) = bench.refused("setIdentityFromBytes", json!([[1, 2, 3], false]));
    assert!(status == Status::Refused && text.contains("3 bytes are not a keypair"), "{text}");
    let (_, text) = bench.refused("setIdentity", json!(["-", false]));
    assert!(text.contains("names no file"), "{text}");
    let (_, text) = bench.refused("setLogFilter", json!(["loud"]));
    assert!(text.contains("no such level") && text.contains("info"), "{text}");
    assert_eq!(bench.asked().len(), 2, "what is no keypair never reached the role stage");
    bench.refused("setIdentity", json!([]));
    bench.refused("setIdentity", json!({ "path": 1 }));
}

#[test]
fn authorized_voters_come_and_go() {
    let bench = Bench::new();
    let path = bench.ledger.path().join("voter.json");
    tandem_identity::write_keypair_file(&key(8), &path).expect("writable");
    bench.call("addAuthorizedVoter", json!([path]));
    bench.call("addAuthorizedVoterFromBytes", json!([key(9).to_bytes().to_vec()]));
    assert_eq!(bench.vault.voters(), [key(8).pubkey(), key(9).pubkey()]);
    bench.call("removeAllAuthorizedVoters", json!([]));
    assert!(bench.vault.voters().is_empty());
}

/// jsonrpc-ipc-server with `Separator::Empty`: requests one after another, one line a reply, in order.
#[test]
fn requests_need_no_separator_and_may_come_in_pieces() {
    let bench = Bench::new();
    let request =
        |id: u64, method: &str| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [] }).to_string();
    let text = format!("{}{}  \n{}", request(1, "pid"), request(2, "startProgress"), request(3, "no-such-method"));
    let replies = bench.raw(text.as_bytes(), 3);
    assert_eq!(replies.iter().map(|reply| reply["id"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert_eq!(replies[1]["result"], json!("Running"));
    assert_eq!(replies[2]["error"]["code"], json!(-32601));

    let mut stream = UnixStream::connect(socket_path(bench.ledger.path())).expect("connects");
    for piece in request(4, "pid").as_bytes().chunks(7) {
        stream.write_all(piece).expect("written");
        stream.flush().expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["result"], json!(std::process::id()));
}

#[test]
fn nonsense_is_answered_and_ends_at_most_its_own_connection() {
    let bench = Bench::new();
    let replies = bench.raw(b"GET / HTTP/1.1\r\n\r\n", 2);
    assert_eq!(replies.len(), 1, "the connection is closed after it");
    assert_eq!(replies[0]["error"]["code"], json!(-32700));
    for (text, code) in [("[]", -32600), ("17", -32600), (r#"{"jsonrpc":"2.0","id":1}"#, -32600)] {
        assert_eq!(bench.raw(text.as_bytes(), 1)[0]["error"]["code"], json!(code), "{text}");
    }
    assert_eq!(bench.call("pid", json!([])), json!(std::process::id()), "others are served");
}

#[test]
fn half_open_connections_lock_nobody_out() {
    let bench = Bench::new();
    let mut half: Vec<UnixStream> = Vec::new();
    for _ in 0..40 {
        let mut stream = UnixStream::connect(socket_path(bench.ledger.path())).expect("connects");
        stream.write_all(br#"{"jsonrpc":"2.0","id":1,"meth"#).expect("written");
        half.push(stream);
        assert_eq!(bench.call("pid", json!([])), json!(std::process::id()), "with {} half open", half.len());
    }
    // The newest ones are still served.
    let mut last = half.pop().expect("forty");
    last.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    last.write_all(br#"od":"pid","params":[]}"#).expect("written");
    let mut line = String::new();
    BufReader::new(last).read_line(&mut line).expect("a reply");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["result"], json!(std::process::id()));
}
