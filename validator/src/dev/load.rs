//! A steady stream of transfers through JSON-RPC, each followed until it is finalized.

use {
    crate::{
        exit::Failure,
        rpc_client::{RpcClient, RpcError},
    },
    base64::{Engine, prelude::BASE64_STANDARD},
    serde::Serialize,
    serde_json::{Value, json},
    std::{
        collections::VecDeque,
        sync::{
            Arc, Mutex, MutexGuard,
            atomic::{AtomicBool, Ordering},
        },
        thread::{self, JoinHandle},
        time::{Duration, Instant},
    },
    tandem_types::{Hash, Keypair, Pubkey, Signer, VersionedTransaction},
};

#[derive(Clone, Default, Debug, Serialize)]
pub struct TransferCounts {
    pub sent: u64,
    pub confirmed: u64,
    pub finalized: u64,
    /// Accepted by the node, and neither finalized nor still able to be when the count was closed.
    pub lost: u64,
    /// Refused at the door (the client knows and would try again).
    pub refused: u64,
}

/// Runs until `finish` is called.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    rpc: RpcClient,
    stop_sending: AtomicBool,
    stop: AtomicBool,
    counts: Mutex<TransferCounts>,
    pending: Mutex<VecDeque<Pending>>,
}

struct Pending {
    signature: String,
    sent: Instant,
    confirmed: bool,
}

/// Payers in turn, so that transfers do not all lock one account.
const PAYERS: usize = 8;
/// A blockhash is good for about 151 blocks (60 s); what is not finalized well after that never will be.
const FINALIZE_TIME_MAX: Duration = Duration::from_secs(100);

impl Load {
    /// Gives the payers their first lamports by airdrop, then sends `per_second` transfers a second.
    pub fn start(rpc: RpcClient, per_second: u32) -> Result<Self, Failure> {
        let payers: Vec<Keypair> = (0..PAYERS).map(|_| Keypair::new()).collect();
        let recipient = Keypair::new().pubkey();
        let accounts: Vec<Pubkey> = payers.iter().map(Signer::pubkey).chain([recipient]).collect();
        airdrop(&rpc, &accounts)?;
        let shared = Arc::new(Shared {
            rpc,
            stop_sending: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            counts: Mutex::default(),
            pending: Mutex::default(),
        });
        let sender = {
            let shared = shared.clone();
            thread::Builder::new().name("load-send".into()).spawn(move || shared.send(&payers, &recipient, per_second))
        };
        let watcher = {
            let shared = shared.clone();
            thread::Builder::new().name("load-watch".into()).spawn(move || shared.watch())
        };
        let threads = [sender, watcher].into_iter().collect::<Result<_, _>>().map_err(Failure::failed)?;
        Ok(Self { shared, threads })
    }

    pub fn counts(&self) -> TransferCounts {
        lock(&self.shared.counts).clone()
    }

    /// Stops sending, waits until every transfer is finalized or cannot be any more, and counts.
    pub fn finish(mut self) -> TransferCounts {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + FINALIZE_TIME_MAX;
        while !lock(&self.shared.pending).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(100));
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has already been reported by the panic hook.
            let _ = thread.join();
        }
        let mut counts = lock(&self.shared.counts).clone();
        counts.lost += lock(&self.shared.pending).len() as u64;
        counts
    }
}

fn airdrop(rpc: &RpcClient, accounts: &[Pubkey]) -> Result<(), Failure> {
    for account in accounts {
        let signature: String = rpc
            .call("requestAirdrop", json!([account.to_string(), 1_000_000_000_000u64]))
            .map_err(|error| Failure::failed(format!("airdrop: {error}")))?;
        drop(signature);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    for account in accounts {
        loop {
            let balance: Result<Value, RpcError> =
                rpc.call("getBalance", json!([account.to_string(), { "commitment": "confirmed" }]));
            if balance.is_ok_and(|balance| balance["value"].as_u64().unwrap_or_default() > 0) {
                break;
            }
            if Instant::now() > deadline {
                return Err(Failure::failed(format!("the airdrop to {account} was not confirmed within 30 s")));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

impl Shared {
    fn send(&self, payers: &[Keypair], recipient: &Pubkey, per_second: u32) {
        let pause = Duration::from_secs(1) / per_second.max(1);
        let mut next = Instant::now();
        let mut blockhash: Option<(Hash, Instant)> = None;
        for number in 0u64.. {
            if self.stop_sending.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = (next + pause).max(Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(next));
            if blockhash.is_none_or(|(_, since)| since.elapsed() > Duration::from_secs(2)) {
                match self.latest_blockhash() {
                    Some(hash) => blockhash = Some((hash, Instant::now())),
                    None => continue,
                }
            }
            let Some((hash, _)) = blockhash else { continue };
            let payer = &payers[number as usize % payers.len()];
            // The amount makes each transfer of a payer and blockhash another transaction.
            let transfer = solana_system_transaction::transfer(payer, recipient, 1 + number, hash);
            self.submit(&VersionedTransaction::from(transfer));
        }
    }

    fn latest_blockhash(&self) -> Option<Hash> {
        let reply: Value = self.rpc.call("getLatestBlockhash", json!([{ "commitment": "confirmed" }])).ok()?;
        reply["value"]["blockhash"].as_str()?.parse().ok()
    }

    fn submit(&self, transaction: &VersionedTransaction) {
        let Ok(bytes) = bincode::serialize(transaction) else { return };
        let options = json!({ "encoding": "base64", "skipPreflight": true });
        match self.rpc.call::<String>("sendTransaction", json!([BASE64_STANDARD.encode(bytes), options])) {
            Ok(signature) => {
                lock(&self.counts).sent += 1;
                lock(&self.pending).push_back(Pending { signature, sent: Instant::now(), confirmed: false });
            }
            Err(_) => lock(&self.counts).refused += 1,
        }
    }

    fn watch(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(200));
            let batches: Vec<Vec<String>> = {
                let pending = lock(&self.pending);
                let signatures: Vec<String> = pending.iter().map(|pending| pending.signature.clone()).collect();
                signatures.chunks(256).map(<[String]>::to_vec).collect()
            };
            for batch in batches {
                let Ok(reply) = self.rpc.call::<Value>("getSignatureStatuses", json!([batch])) else { break };
                let Some(statuses) = reply["value"].as_array() else { break };
                self.note(&batch, statuses);
            }
        }
    }

    fn note(&self, batch: &[String], statuses: &[Value]) {
        let mut pending = lock(&self.pending);
        let mut counts = lock(&self.counts);
        for (signature, status) in batch.iter().zip(statuses) {
            let Some(position) = pending.iter().position(|pending| pending.signature == *signature) else { continue };
            let level = status["confirmationStatus"].as_str().unwrap_or_default();
            if matches!(level, "confirmed" | "finalized") && !pending[position].confirmed {
                pending[position].confirmed = true;
                counts.confirmed += 1;
            }
            if level == "finalized" {
                counts.finalized += 1;
                pending.remove(position);
            } else if pending[position].sent.elapsed() > FINALIZE_TIME_MAX {
                counts.lost += 1;
                pending.remove(position);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
