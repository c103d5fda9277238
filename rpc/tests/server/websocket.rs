//! Subscriptions.

use {
    crate::node::{Node, SOL, key},
    serde_json::{Value, json},
    std::{
        net::{SocketAddr, TcpStream},
        time::Duration,
    },
    tandem_rpc::ChainEvent,
    tandem_types::Signer,
    tungstenite::{Message, WebSocket},
};

struct Client(WebSocket<TcpStream>);

impl Client {
    /// On the port after the RPC port, as clients expect it.
    fn connect(node: &Node) -> Self {
        Self::on(SocketAddr::new(node.address.ip(), node.address.port() + 1))
    }

    fn on(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(tungstenite::client(format!("ws://{address}/"), stream).unwrap().0)
    }

    fn send(&mut self, method: &str, params: Value) {
        let request = json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": params });
        self.0.send(Message::text(request.to_string())).unwrap();
    }

    fn read(&mut self) -> Value {
        serde_json::from_str(self.0.read().unwrap().to_text().unwrap()).unwrap()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(method, params);
        self.read()
    }

    fn subscribe(&mut self, method: &str, params: Value) -> u64 {
        self.call(method, params)["result"].as_u64().expect("the id of a subscription is a number")
    }

    /// The next message is a notification of this kind to that subscription.
    fn expect(&mut self, kind: &str, subscription: u64) -> Value {
        let mut message = self.read();
        assert_eq!(
            (&message["method"], &message["params"]["subscription"]),
            (&json!(kind), &json!(subscription)),
            "{message}"
        );
        message["params"]["result"].take()
    }
}

#[test]
fn a_signature_is_told_once_it_is_confirmed() {
    let node = Node::start();
    node.block(&[]);
    let transfer = node.transfer(key(50), SOL);
    let mut client = Client::connect(&node);
    let config = json!({ "commitment": "confirmed", "enableReceivedNotification": true });
    let id = client.subscribe("signatureSubscribe", json!([transfer.signatures[0].to_string(), config]));
    node.events.send(ChainEvent::Received(transfer.signatures[0])).unwrap();
    assert_eq!(client.expect("signatureNotification", id)["value"], "receivedSignature");
    let bank = node.block(std::slice::from_ref(&transfer));
    node.confirm(&bank);
    let told = client.expect("signatureNotification", id);
    assert_eq!(told, json!({ "context": { "slot": 2, "apiVersion": "4.2.2" }, "value": { "err": null } }));
    // A late subscriber is told at once.
    let id = client
        .subscribe("signatureSubscribe", json!([transfer.signatures[0].to_string(), { "commitment": "processed" }]));
    assert_eq!(client.expect("signatureNotification", id)["value"], json!({ "err": null }));
}

#[test]
fn accounts_and_programs_tell_of_writes() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    let config = json!({ "commitment": "confirmed", "encoding": "base64" });
    let account = client.subscribe("accountSubscribe", json!([key(50).to_string(), config]));
    let first = node.block(&[node.transfer(key(51), SOL)]);
    node.confirm(&first);
    let second = node.block(&[node.transfer(key(50), SOL)]);
    node.confirm(&second);
    let told = client.expect("accountNotification", account);
    assert_eq!((&told["context"]["slot"], &told["value"]["lamports"]), (&json!(2), &json!(SOL)));
    assert_eq!(client.call("accountUnsubscribe", json!([account]))["result"], true);

    let config = json!({ "commitment": "finalized", "encoding": "base64", "filters": [{ "dataSize": 0 }] });
    let system = "11111111111111111111111111111111";
    let program = client.subscribe("programSubscribe", json!([system, config]));
    node.finalize(&second);
    let keys: Vec<Value> =
        (0..3).map(|_| client.expect("programNotification", program)["value"]["pubkey"].take()).collect();
    for key in [node.faucet.pubkey(), key(50), key(51)] {
        assert!(keys.contains(&json!(key.to_string())), "{keys:?}");
    }
}

#[test]
fn a_write_right_after_the_subscription_is_told() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    let config = json!({ "commitment": "confirmed", "encoding": "base64" });
    // Each round is a race between the subscription's task and the write.
    for round in 1..=100 {
        let account = client.subscribe("accountSubscribe", json!([key(50).to_string(), config]));
        let bank = node.block(&[node.transfer(key(50), SOL)]);
        node.confirm(&bank);
        assert_eq!(client.expect("accountNotification", account)["value"]["lamports"], json!(round * SOL));
        assert_eq!(client.call("accountUnsubscribe", json!([account]))["result"], true);
    }
}

#[test]
fn logs_slots_and_roots() {
    let node = Node::start();
    let mut client = Client::on(node.address);
    let logs = client
        .subscribe("logsSubscribe", json!([{ "mentions": [key(50).to_string()] }, { "commitment": "finalized" }]));
    let slots = client.subscribe("slotSubscribe", Value::Null);
    let bank = node.block(&[node.transfer(key(51), SOL)]);
    assert_eq!(client.expect("slotNotification", slots), json!({ "slot": 1, "parent": 0, "root": 0 }));
    client.call("slotUnsubscribe", json!([slots]));
    let transfer = node.transfer(key(50), SOL);
    let tip = node.block(std::slice::from_ref(&transfer));
    node.confirm(&bank);
    node.finalize(&tip);
    let told = client.expect("logsNotification", logs);
    assert_eq!(told["value"]["signature"], transfer.signatures[0].to_string());
    assert!(told["value"]["logs"][0].as_str().unwrap().starts_with("Program 11111111111111111111111111111111"));
    let roots = client.subscribe("rootSubscribe", json!([]));
    let tip = node.block(&[]);
    node.finalize(&tip);
    assert_eq!(client.expect("rootNotification", roots), 3);
}

#[test]
fn nonsense_is_refused_and_heartbeats_are_not_answered() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    let error = client.call("signatureSubscribe", json!(["x"]))["error"].take();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!(-32602), &json!("Invalid Request: Invalid signature provided"))
    );
    assert_eq!(client.call("logsSubscribe", json!([{ "mentions": [] }]))["error"]["code"], -32602);
    assert_eq!(client.call("blockSubscribe", json!(["all"]))["error"]["code"], -32601);
    // What web3.js sends every five seconds.
    client.0.send(Message::text(r#"{"jsonrpc":"2.0","method":"ping"}"#)).unwrap();
    assert_eq!(client.call("getSlot", json!([]))["result"], 0);
}
