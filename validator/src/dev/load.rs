//! A steady stream of transfers through JSON-RPC, each followed until it is finalized.

use {
    super::{TELL_EVERY, interrupt},
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
    /// Finalized with an error.
    pub failed: u64,
    /// Accepted by the node, not finalized, and not able to be any more.
    pub lost: u64,
    /// Neither finalized nor lost when the count was closed.
    pub open: u64,
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
    /// No block above this height can hold it.
    last_valid_height: u64,
    confirmed: bool,
}

#[derive(Clone, Copy)]
struct Blockhash {
    hash: Hash,
    last_valid_height: u64,
    since: Instant,
}

/// Payers in turn, so that transfers do not all lock one account.
const PAYERS: usize = 8;
/// A blockhash is good for about a minute; a new one every few seconds keeps each transfer far from that limit.
const BLOCKHASH_AGE_MAX: Duration = Duration::from_secs(2);
const AIRDROP_TIME_MAX: Duration = Duration::from_secs(60);

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

    /// Stops sending, waits until every transfer is finalized or cannot be any more, `patience` at most, and counts.
    /// `progress` hears every few seconds how many are still on their way.
    pub fn finish(mut self, patience: Duration, progress: impl Fn(&TransferCounts, usize)) -> TransferCounts {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + patience;
        let mut told = Instant::now();
        loop {
            let pending = lock(&self.shared.pending).len();
            if pending == 0 || Instant::now() >= deadline || interrupt::interrupted() {
                break;
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                progress(&lock(&self.shared.counts).clone(), pending);
            }
            thread::sleep(Duration::from_millis(100));
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has already been reported by the panic hook.
            let _ = thread.join();
        }
        let mut counts = lock(&self.shared.counts).clone();
        counts.open = lock(&self.shared.pending).len() as u64;
        counts
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn airdrop(rpc: &RpcClient, accounts: &[Pubkey]) -> Result<(), Failure> {
    for account in accounts {
        rpc.call::<String>("requestAirdrop", json!([account.to_string(), AIRDROP_LAMPORTS]))
            .map_err(|error| Failure::failed(format!("airdrop: {error}")))?;
    }
    let started = Instant::now();
    let mut told = started;
    for (index, account) in accounts.iter().enumerate() {
        while !has_lamports(rpc, account) {
            if started.elapsed() > AIRDROP_TIME_MAX {
                return Err(Failure::failed(format!(
                    "the airdrop to {account} was not confirmed within {AIRDROP_TIME_MAX:?}"
                )));
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                println!(
                    "  {index} of {} airdrops are confirmed ({:.0} s)",
                    accounts.len(),
                    started.elapsed().as_secs_f64()
                );
            }
            interrupt::pause(Duration::from_millis(100))?;
        }
    }
    Ok(())
}

fn has_lamports(rpc: &RpcClient, account: &Pubkey) -> bool {
    let params = json!([account.to_string(), { "commitment": "confirmed" }]);
    let balance: Result<Value, RpcError> = rpc.call("getBalance", params);
    balance.is_ok_and(|balance| balance["value"].as_u64().unwrap_or_default() > 0)
}

impl Shared {
    fn send(&self, payers: &[Keypair], recipient: &Pubkey, per_second: u32) {
        let pause = Duration::from_secs(1) / per_second.max(1);
        let mut next = Instant::now();
        let mut blockhash: Option<Blockhash> = None;
        for (number, payer) in (0u64..).zip(payers.iter().cycle()) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            if self.stop_sending.load(Ordering::Relaxed) {
                return;
            }
            // After a stall, the pace is taken up again from a second ago at most.
            next = (next + pause).max(Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(next));
            if blockhash.is_none_or(|known| known.since.elapsed() > BLOCKHASH_AGE_MAX) {
                blockhash = self.latest_blockhash().or(blockhash);
            }
            let Some(blockhash) = blockhash else { continue };
            // The amount makes each transfer of a payer and blockhash another transaction.
            let transfer = solana_system_transaction::transfer(payer, recipient, 1 + number, blockhash.hash);
            self.submit(&VersionedTransaction::from(transfer), blockhash.last_valid_height);
        }
    }

    fn latest_blockhash(&self) -> Option<Blockhash> {
        let reply: Value = self.rpc.call("getLatestBlockhash", json!([{ "commitment": "confirmed" }])).ok()?;
        let value = &reply["value"];
        Some(Blockhash {
            hash: value["blockhash"].as_str()?.parse().ok()?,
            last_valid_height: value["lastValidBlockHeight"].as_u64()?,
            since: Instant::now(),
        })
    }

    fn submit(&self, transaction: &VersionedTransaction, last_valid_height: u64) {
        let Ok(bytes) = bincode::serialize(transaction) else { return };
        let options = json!({ "encoding": "base64", "skipPreflight": true });
        match self.rpc.call::<String>("sendTransaction", json!([BASE64_STANDARD.encode(bytes), options])) {
            Ok(signature) => {
                lock(&self.counts).sent += 1;
                lock(&self.pending).push_back(Pending { signature, last_valid_height, confirmed: false });
            }
            Err(_) => lock(&self.counts).refused += 1,
        }
    }

    fn watch(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(200));
            // The height first: what a later answer does not call finalized was not in a block up to this height.
            let finalized_height: u64 =
                self.rpc.call("getBlockHeight", json!([{ "commitment": "finalized" }])).unwrap_or_default();
            let signatures: Vec<String> = lock(&self.pending).iter().map(|pending| pending.signature.clone()).collect();
            for batch in signatures.chunks(SIGNATURES_MAX) {
                let Ok(reply) = self.rpc.call::<Value>("getSignatureStatuses", json!([batch])) else { break };
                let Some(statuses) = reply["value"].as_array() else { break };
                self.note(batch, statuses, finalized_height);
            }
        }
    }

    fn note(&self, batch: &[String], statuses: &[Value], finalized_height: u64) {
        let mut pending = lock(&self.pending);
        let mut counts = lock(&self.counts);
        for (signature, status) in batch.iter().zip(statuses) {
            let Some(position) = pending.iter().position(|pending| pending.signature == *signature) else { continue };
            let level = status["confirmationStatus"].as_str().unwrap_or_default();
            if matches!(level, "confirmed" | "finalized") && !pending[position].confirmed {
                pending[position].confirmed = true;
                counts.confirmed += 1;
            }
            let lost = level != "finalized" && finalized_height > pending[position].last_valid_height;
            if level == "finalized" {
                counts.finalized += 1;
                counts.failed += u64::from(!status["err"].is_null());
            }
            counts.lost += u64::from(lost);
            if lost || level == "finalized" {
                pending.remove(position);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const AIRDROP_LAMPORTS: u64 = 1_000_000_000_000;
/// Agave rpc.rs: MAX_GET_SIGNATURE_STATUSES_QUERY_ITEMS.
const SIGNATURES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(signatures: &[&str]) -> Shared {
        let pending =
            |signature: &&str| Pending { signature: (*signature).to_owned(), last_valid_height: 200, confirmed: false };
        Shared {
            rpc: RpcClient::new(([127, 0, 0, 1], 1).into()),
            stop_sending: AtomicBool::new(true),
            stop: AtomicBool::new(true),
            counts: Mutex::default(),
            pending: Mutex::new(signatures.iter().map(pending).collect()),
        }
    }

    #[test]
    fn a_transfer_is_followed_until_it_is_finalized_or_cannot_be() {
        let batch = ["a", "b", "c", "d"].map(str::to_owned);
        let shared = shared(&["a", "b", "c", "d"]);
        let status = |level: &str| json!({ "confirmationStatus": level, "err": null });
        shared.note(&batch, &[status("processed"), status("confirmed"), Value::Null, status("finalized")], 200);
        shared.note(&batch, &[status("confirmed"), status("confirmed"), Value::Null], 200);
        {
            let counts = lock(&shared.counts);
            assert_eq!((counts.confirmed, counts.finalized, counts.lost), (3, 1, 0), "at height 200 it may still come");
        }
        let failed = json!({ "confirmationStatus": "finalized", "err": "AccountInUse" });
        shared.note(&batch, &[status("finalized"), failed, Value::Null], 201);
        let counts = lock(&shared.counts);
        assert_eq!((counts.confirmed, counts.finalized, counts.failed, counts.lost), (3, 3, 1, 1));
        assert!(lock(&shared.pending).is_empty());
    }
}
