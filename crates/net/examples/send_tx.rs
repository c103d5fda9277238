//! Sends a transfer to a real node over our QUIC client and waits until its RPC shows the new balance:
//! `cargo run -p tandem-net --example send_tx -- RPC_ADDRESS KEYPAIR_FILE RECIPIENT LAMPORTS`

use {
    serde_json::{Value, json},
    std::{
        error::Error,
        io::{Read, Write},
        net::{SocketAddr, TcpStream, UdpSocket},
        sync::{Arc, atomic::Ordering},
        thread,
        time::{Duration, Instant},
    },
    tandem_net::{SenderCounters, SenderOptions, TpuIdentity, TpuSender},
    tandem_types::{Hash, Keypair, Pubkey},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rpc, keypair, recipient, lamports] = arguments.as_slice() else {
        return Err("usage: send_tx RPC_ADDRESS KEYPAIR_FILE RECIPIENT LAMPORTS".into());
    };
    let rpc: SocketAddr = rpc.parse()?;
    let payer = read_keypair(keypair)?;
    let recipient: Pubkey = recipient.parse()?;
    let lamports: u64 = lamports.parse()?;

    let nodes = call(rpc, "getClusterNodes", json!([]))?;
    let tpu = nodes[0]["tpuQuic"].as_str().ok_or("the node tells no tpuQuic address")?.parse()?;
    let before = balance(rpc, &recipient)?;
    let blockhash: Hash = call(rpc, "getLatestBlockhash", json!([{"commitment": "processed"}]))?["value"]["blockhash"]
        .as_str()
        .ok_or("no blockhash")?
        .parse()?;
    let transaction = solana_system_transaction::transfer(&payer, &recipient, lamports, blockhash);
    println!("{} for {recipient} to {tpu}", transaction.signatures[0]);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let counters = Arc::<SenderCounters>::default();
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let identity = TpuIdentity::new(&Keypair::new());
    let (sender, task) =
        TpuSender::spawn(runtime.handle(), socket, &identity, SenderOptions::usual(), counters.clone())?;
    let start = Instant::now();
    sender.send(tpu, bincode::serialize(&transaction)?);
    drop(sender);
    runtime.block_on(task)?;
    println!("sent: {}, connections: {}", at(&counters.sent), at(&counters.connections_opened));

    while balance(rpc, &recipient)? < before + lamports {
        if start.elapsed() > Duration::from_secs(30) {
            return Err("the balance did not change within 30 s".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    println!("balance {before} -> {} after {} ms", balance(rpc, &recipient)?, start.elapsed().as_millis());
    Ok(())
}

fn at(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn read_keypair(path: &str) -> Outcome<Keypair> {
    let bytes: Vec<u8> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(Keypair::try_from(bytes.as_slice())?)
}

fn balance(rpc: SocketAddr, key: &Pubkey) -> Outcome<u64> {
    let reply = call(rpc, "getBalance", json!([key.to_string(), {"commitment": "processed"}]))?;
    Ok(reply["value"].as_u64().ok_or("no balance")?)
}

/// One JSON-RPC call over plain HTTP/1.0, so that this example needs no HTTP library.
fn call(rpc: SocketAddr, method: &str, params: Value) -> Outcome<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(rpc)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: {rpc}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (_headers, body) = reply.split_once("\r\n\r\n").ok_or("malformed HTTP reply")?;
    let mut reply: Value = serde_json::from_str(body.trim())?;
    if let Some(error) = reply.get("error") {
        return Err(format!("{method}: {error}").into());
    }
    Ok(reply["result"].take())
}
