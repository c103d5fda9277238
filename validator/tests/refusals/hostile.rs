//! A running node, and what strangers and confused scripts may send it.

use {
    super::*,
    serde_json::{Value, json},
    std::{
        collections::BTreeMap,
        io::{BufRead, BufReader, Read, Write},
        net::Shutdown,
        os::unix::net::UnixStream,
    },
};

struct Node {
    place: Place,
    running: Running,
}

impl Node {
    fn start() -> Self {
        let place = Place::new();
        let running = place.run("");
        let mut node = Self { place, running };
        let place = &node.place;
        node.running.wait_until("it confirms blocks", || {
            place.path("ledger/admin.rpc").exists() && status(place)["confirmed"].as_u64() > Some(1)
        });
        node
    }

    fn goes_on(&mut self) {
        self.running.still_runs();
        let before = status(&self.place)["confirmed"].as_u64();
        let place = &self.place;
        self.running.wait_until("it confirms more blocks", || status(place)["confirmed"].as_u64() > before);
        let log = self.running.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(status(&self.place)["counters"].clone()).unwrap()
    }

    fn rss_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn socket(&self) -> UnixStream {
        let stream = UnixStream::connect(self.place.path("ledger/admin.rpc")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn ask(&self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut stream = self.socket();
        stream.write_all(request.to_string().as_bytes()).unwrap();
        line(stream)
    }
}

pub fn status(place: &Place) -> Value {
    let output = place.command("-l @ledger monitor --once --output json").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn line(stream: UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

#[test]
fn the_admin_socket_outlives_whatever_is_written_to_it() {
    let mut node = Node::start();
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\xff\xfe", b"}{", b"'set-identity'", b"nil"] {
        let mut stream = node.socket();
        stream.write_all(nonsense).unwrap();
        assert_eq!(line(stream)["error"]["code"], json!(-32700), "{nonsense:?}");
    }
    for (text, code) in [("[]", -32600), ("17", -32600), ("{}", -32600), (r#"{"jsonrpc":"2.0","id":1}"#, -32600)] {
        let mut stream = node.socket();
        stream.write_all(text.as_bytes()).unwrap();
        assert_eq!(line(stream)["error"]["code"], json!(code), "{text}");
    }
    assert_eq!(node.ask("format-the-disk", &json!([]))["error"]["code"], json!(-32601));
    for params in [json!([]), json!([{}]), json!({ "keypair": 1 }), json!([[1, 2, 3]]), json!(["/", true, true, 9])] {
        for method in ["setIdentity", "setIdentityFromBytes", "addAuthorizedVoter", "tandemSetIdentity", "setLogFilter"]
        {
            let reply = node.ask(method, &params);
            assert!(reply["error"]["code"].is_i64(), "{method} {params}: {reply}");
        }
    }

    // Half a request is waited for, by nobody else.
    let mut half = node.socket();
    half.write_all(br#"{"jsonrpc":"2.0","id":1,"meth"#).unwrap();
    let cut = node.socket();
    (&cut).write_all(br#"{"jsonrpc":"2.0","id":1,"method":"exit""#).unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&cut).read(&mut [0; 64]).unwrap(), 0, "cut off, it is closed and not obeyed");
    assert!(node.ask("pid", &json!([]))["result"] == json!(node.running.child.id()));
    half.write_all(br#"od":"pid","params":[]}"#).unwrap();
    assert_eq!(line(half)["result"], json!(node.running.child.id()));

    // Without end: told so, closed, and the memory given back.
    let huge = |opening: &[u8], filling: u8| {
        let mut stream = node.socket();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = stream.write_all(opening);
        let mut written = 0;
        // The node closes in the middle of it.
        while written < 64 << 20
            && let Ok(more) = stream.write(&[filling; 1 << 16])
        {
            written += more;
        }
        // Nothing but space is no request yet, and takes no memory.
        assert!(written < 2 << 20 || filling == b' ', "{written} bytes were taken");
    };
    let all_kinds = || {
        for _ in 0..4 {
            huge(br#"{"jsonrpc":"2.0","id":1,"method":""#, b'a');
            huge(b"", b'[');
            huge(b"[1", b'1');
            huge(b"", b' ');
        }
    };
    // The first ones fill the allocator's own stock.
    all_kinds();
    let before = node.rss_kb();
    (0..10).for_each(|_| all_kinds());
    let grown = node.rss_kb().saturating_sub(before);
    println!("RSS {before} kB and {grown} kB more");
    assert!(grown < 16_000, "{grown} kB more after 160 endless requests");

    // More connections than it serves, each in the middle of a request: there is room for one more.
    let half_open = || {
        let mut stream = node.socket();
        stream.write_all(br#"{"jsonrpc":"2.0","id":1,"meth"#).unwrap();
        stream
    };
    let many: Vec<UnixStream> = (0..200).map(|_| half_open()).collect();
    thread::sleep(Duration::from_millis(200));
    for _ in 0..3 {
        assert!(status(&node.place)["confirmed"].is_u64(), "200 connections lock everybody out");
    }
    let mut oldest = &many[199];
    thread::sleep(Duration::from_secs(11));
    assert_eq!(oldest.read(&mut [0; 64]).unwrap(), 0, "half a request is not waited for without end");
    drop(many);
    let place = &node.place;
    node.running.wait_until("it answers again", || status(place)["confirmed"].is_u64());
    node.goes_on();
    assert_eq!(status(&node.place)["role"], json!("ACTIVE"));
}

#[test]
fn datagrams_of_strangers_are_counted_and_dropped() {
    let mut node = Node::start();
    let contact = node.ask("contactInfo", &json!([]))["result"].clone();
    let port = |name: &str| -> SocketAddr { contact[name].as_str().unwrap().parse().unwrap() };
    let ports = ["gossip", "tvu", "serve_repair", "tpu", "tpu_forwards", "tpu_vote"].map(port);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = Noise(0x5eed);
    let mut round = |count: usize| {
        for number in 0..count {
            let kind = number % 8;
            let datagram = match kind {
                0 => Vec::new(),
                1 => vec![0; 1232],
                2 => vec![0xff; 1232],
                3 => vec![0x5a; 9_000],
                // Tags that mean something, and nonsense behind them.
                4 => [&[(random.next() % 6) as u8, 0, 0, 0][..], &random.bytes(200)].concat(),
                5 => [&[1; 64][..], &[0xa5], &random.bytes(1_100)].concat(),
                6 => [&[1][..], &random.bytes(300)].concat(),
                _ => {
                    let size = random.next() as usize % 1_232;
                    random.bytes(size)
                }
            };
            for port in &ports {
                // What the kernel does not take is lost, as on any network.
                let _ = socket.send_to(&datagram, port);
            }
            if number % 64 == 63 {
                thread::sleep(Duration::from_millis(2));
            }
        }
    };
    round(4_000);
    node.goes_on();
    let (rss, before) = (node.rss_kb(), node.counters());
    round(12_000);
    node.goes_on();
    let after = node.counters();
    for name in ["gossip_dropped", "shreds_discarded", "vote_port_refused", "repair_requests_refused", "udp_oversize"] {
        let count = |counters: &BTreeMap<String, u64>| counters.get(name).copied().unwrap_or_default();
        assert!(count(&after) > count(&before), "{name} does not grow: {after:?}");
    }
    let grown = node.rss_kb().saturating_sub(rss);
    println!("RSS {rss} kB and {grown} kB more");
    assert!(grown < 20_000, "{grown} kB more after 72,000 datagrams");
    // They are still there for those who mean it: the node votes, over its own vote port, and leads.
    let votes = after["votes_released"];
    let place = &node.place;
    node.running.wait_until("it votes", || status(place)["counters"]["votes_released"].as_u64() > Some(votes));
    assert_eq!(status(&node.place)["role"], json!("ACTIVE"));
}

/// A small generator, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
