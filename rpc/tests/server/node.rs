//! A chain in memory and a server over it.

use {
    arc_swap::ArcSwap,
    serde_json::{Value, json},
    std::{
        net::{Ipv4Addr, SocketAddr},
        sync::{
            Arc, Mutex,
            atomic::{AtomicU8, Ordering},
        },
    },
    tandem_bank::{Bank, Verify},
    tandem_genesis::{DevelopmentGenesis, ValidatorSpec},
    tandem_rpc::{
        BlockRecord, ChainEvent, ChainView, Context, Health, History, RpcServer, SubmitError, TransactionRecord,
    },
    tandem_types::{Hash, Keypair, Pubkey, Signature, Signer, VersionedTransaction},
    tokio::{runtime::Runtime, sync::broadcast},
};

pub const SOL: u64 = 1_000_000_000;

pub struct Node {
    runtime: Runtime,
    server: Option<RpcServer>,
    pub address: SocketAddr,
    pub chain: Arc<ArcSwap<ChainView>>,
    pub history: Arc<History>,
    pub events: broadcast::Sender<ChainEvent>,
    pub health: Arc<Mutex<Health>>,
    pub submitted: Arc<Mutex<Vec<Submitted>>>,
    pub faucet: Keypair,
    pub identity: Pubkey,
    pub vote: Pubkey,
}

pub struct Submitted {
    pub bytes: Vec<u8>,
    pub signature: Signature,
    pub last_valid_block_height: u64,
}

impl Node {
    /// At slot 0, which is final.
    pub fn start() -> Self {
        let (faucet, identity, vote) = (Keypair::new_from_array([1; 32]), key(10), key(11));
        let spec = ValidatorSpec {
            identity,
            vote,
            stake: key(12),
            lamports: 500 * SOL,
            stake_lamports: 1_000 * SOL,
            bls: None,
        };
        let genesis = DevelopmentGenesis {
            slots_per_epoch: 64,
            ..DevelopmentGenesis::new(1_700_000_000, faucet.pubkey(), 1_000_000 * SOL, vec![spec])
        };
        let genesis = genesis.build().unwrap();
        let start = Bank::from_genesis(&genesis.config, genesis.hash).unwrap();
        start.forks().record_transactions(true);
        finish(&start);
        let view = ChainView { processed: start.clone(), confirmed: start.clone(), finalized: start };
        let chain = Arc::new(ArcSwap::from_pointee(view));
        let history = Arc::new(History::new(1 << 24));
        let (events, _) = broadcast::channel(64);
        let health = Arc::new(Mutex::new(Health::Ok));
        let submitted = Arc::new(Mutex::new(Vec::new()));
        let context = Context {
            chain: chain.clone(),
            nodes: Arc::new(ArcSwap::from_pointee(Vec::new())),
            identity: Arc::new(ArcSwap::from_pointee(identity)),
            genesis_hash: genesis.hash,
            shred_version: genesis.shred_version,
            feature_set: 7,
            history: history.clone(),
            metrics: Arc::new(|| "tandem_tip_slot 7\n# EOF\n".to_owned()),
            health: Arc::new({
                let health = health.clone();
                move || *health.lock().unwrap()
            }),
            submit: Box::new({
                let submitted = submitted.clone();
                move |bytes, signature, last_valid_block_height| {
                    let mut submitted = submitted.lock().unwrap();
                    if submitted.len() == QUEUE {
                        return Err(SubmitError::Busy);
                    }
                    submitted.push(Submitted { bytes, signature, last_valid_block_height });
                    Ok(())
                }
            }),
            events: events.clone(),
            faucet: Some(faucet.insecure_clone()),
        };
        let runtime = Runtime::new().unwrap();
        let (address, server) = serve(&runtime, context);
        Self {
            runtime,
            server: Some(server),
            address,
            chain,
            history,
            events,
            health,
            submitted,
            faucet,
            identity,
            vote,
        }
    }

    /// A processed block with these transactions.
    pub fn block(&self, transactions: &[VersionedTransaction]) -> Arc<Bank> {
        let parent = self.chain.load().processed.clone();
        let bank = Bank::child(&parent, parent.slot() + 1);
        let prepared: Vec<_> =
            transactions.iter().map(|tx| bank.prepare(tx.clone(), Verify::Signatures).unwrap()).collect();
        let infos = bank.execute_prepared(&prepared).unwrap();
        finish(&bank);
        let records = prepared.iter().zip(infos).map(|(tx, info)| TransactionRecord::new(tx, info)).collect();
        self.history.add(BlockRecord::new(&bank, records));
        self.publish(|view| view.processed = bank.clone());
        let _ = self.events.send(ChainEvent::Frozen(bank.clone()));
        bank
    }

    pub fn confirm(&self, bank: &Arc<Bank>) {
        self.publish(|view| view.confirmed = bank.clone());
        let _ = self.events.send(ChainEvent::Confirmed(bank.clone()));
    }

    pub fn finalize(&self, bank: &Arc<Bank>) {
        let report = bank.forks().set_root(bank);
        let chain: Vec<_> = report.rooted.iter().map(|slot| (*slot, self.history.block_time(*slot).unwrap())).collect();
        self.history.root(&chain);
        self.publish(|view| view.finalized = bank.clone());
        let _ = self.events.send(ChainEvent::Rooted(bank.slot()));
    }

    fn publish(&self, change: impl FnOnce(&mut ChainView)) {
        let mut view = ChainView::clone(&self.chain.load());
        change(&mut view);
        self.chain.store(Arc::new(view));
    }

    /// From the faucet, with the latest blockhash.
    pub fn transfer(&self, to: Pubkey, lamports: u64) -> VersionedTransaction {
        let blockhash = self.chain.load().processed.last_blockhash();
        solana_system_transaction::transfer(&self.faucet, &to, lamports, blockhash).into()
    }

    pub fn result(&self, method: &str, params: Value) -> Value {
        let mut reply = self.call(method, params);
        assert!(reply.get("error").is_none(), "{method}: {reply}");
        reply["result"].take()
    }

    pub fn error(&self, method: &str, params: Value) -> Value {
        let mut reply = self.call(method, params);
        assert!(reply.get("result").is_none(), "{method}: {reply}");
        reply["error"].take()
    }

    fn call(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let (status, text) = self.post(&request.to_string());
        assert_eq!(status, 200, "{method}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub fn post(&self, body: &str) -> (u16, String) {
        let request = agent().post(format!("http://{}/", self.address)).header("content-type", "application/json");
        let mut reply = request.send(body).unwrap();
        (reply.status().as_u16(), reply.body_mut().read_to_string().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.server.take();
    }
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

pub fn key(byte: u8) -> Pubkey {
    Pubkey::new_from_array([byte; 32])
}

/// On a loopback address of this test's own (Linux has millions), so that its ports are free.
fn serve(runtime: &Runtime, context: Context) -> (SocketAddr, RpcServer) {
    static NODES: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, high | 128, low, NODES.fetch_add(1, Ordering::Relaxed));
    let address = SocketAddr::from((ip, 21_700));
    (address, runtime.block_on(RpcServer::start(address, 100, context)).unwrap())
}

fn finish(bank: &Bank) {
    while !bank.is_complete() {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&bank.tick_height().to_le_bytes());
        hash[8..16].copy_from_slice(&bank.slot().to_le_bytes());
        bank.register_tick(&Hash::new_from_array(hash));
    }
    bank.freeze();
}

/// As many transactions as the node of a test takes.
const QUEUE: usize = 3;
