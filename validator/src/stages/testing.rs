//! One leader's small chain, for the tests of the stages: a genesis, an empty ledger, and all links with nobody behind them.

pub mod store;

use {
    crate::{
        node::starting_status,
        release::ReleaseRecorder,
        stage::{Progress, Stage},
        topology::{self, Bells, Readers, Shared},
        views::Views,
    },
    arc_swap::ArcSwap,
    std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc},
    tandem_bank::Bank,
    tandem_entry::{Entry, create_ticks},
    tandem_env::MonotonicClock,
    tandem_genesis::{DevelopmentGenesis, Genesis, ValidatorSpec},
    tandem_identity::Vault,
    tandem_ledger::{Ledger, LedgerReader, Options},
    tandem_net::{UdpOptions, UdpPort},
    tandem_rpc::{ChainView, History},
    tandem_shred::{Cursor, Shredded, Shredder},
    tandem_types::{BlockId, Hash, Keypair, Pubkey, Signature, Signer, Slot, Tick},
    tandem_wire::contact_info::{ContactInfo, Version},
    tempfile::TempDir,
    tokio::sync::broadcast,
};

pub struct World {
    pub genesis: Genesis,
    pub root: Arc<Bank>,
    pub shared: Shared,
    pub folder: TempDir,
}

pub const VOTE: Pubkey = Pubkey::new_from_array([32; 32]);

/// Leads every slot and is who this node is.
pub fn leader() -> Keypair {
    Keypair::new_from_array([31; 32])
}

/// The ledger goes to the shred stage, or is filled by the test; of the links a stage takes its own.
pub fn world() -> (World, Readers, Ledger) {
    world_of(|_| {})
}

/// With another plan of the genesis.
pub fn world_of(change: impl FnOnce(&mut DevelopmentGenesis)) -> (World, Readers, Ledger) {
    let identity = leader().pubkey();
    let spec = ValidatorSpec {
        identity,
        vote: VOTE,
        stake: Pubkey::new_from_array([33; 32]),
        lamports: 1 << 40,
        stake_lamports: 1 << 40,
        bls: None,
    };
    let mut plan = DevelopmentGenesis::new(1_700_000_000, Pubkey::new_from_array([34; 32]), 1 << 40, vec![spec]);
    plan.ticks_per_slot = TICKS;
    change(&mut plan);
    let genesis = plan.build().expect("a genesis");
    let root = Bank::from_genesis(&genesis.config, genesis.hash).expect("a first bank");
    let slot_zero = genesis.slot_zero();
    slot_zero.entries.iter().for_each(|entry| root.register_tick(&entry.hash));
    root.set_block_id(slot_zero.block_id);
    root.freeze();
    let folder = TempDir::new().expect("a folder");
    let (ledger, reader) = Ledger::open(&folder.path().join("ledger"), Options::default()).expect("a ledger");
    let (shared, readers) = shared(&genesis, &root, reader, &folder);
    (World { genesis, root, shared, folder }, readers, ledger)
}

fn shared(genesis: &Genesis, root: &Arc<Bank>, ledger: LedgerReader, folder: &TempDir) -> (Shared, Readers) {
    let (writers, readers) = topology::build(&Bells::default());
    let vault = Arc::new(Vault::new(leader()));
    let view = ChainView { processed: root.clone(), confirmed: root.clone(), finalized: root.clone() };
    let contact = ContactInfo::new(leader().pubkey(), 1, genesis.shred_version, Version::default());
    let views = Views {
        chain: Arc::new(ArcSwap::from_pointee(view)),
        root: Default::default(),
        cluster_tip: Default::default(),
        others_tip: Default::default(),
        reach: Default::default(),
        own_vote_seen: Default::default(),
        own_votes: Default::default(),
        peers: ArcSwap::from_pointee(Vec::new()),
        contact: Arc::new(ArcSwap::from_pointee(contact)),
        identity: Arc::new(ArcSwap::from_pointee(leader().pubkey())),
        status: Arc::new(ArcSwap::from_pointee(starting_status(&vault))),
        ledger,
        history: Arc::new(History::new(1 << 20)),
        events: broadcast::Sender::new(16),
        vault,
        genesis_hash: genesis.hash,
        shred_version: genesis.shred_version,
        vote_account: Some(VOTE),
        release: ReleaseRecorder::open(Some(&folder.path().join("released"))).expect("a log"),
        counters: Default::default(),
        pulse: Default::default(),
        vote_path: Default::default(),
    };
    (Shared { views: Arc::new(views), writers, clock: MonotonicClock::start() }, readers)
}

impl World {
    pub fn release_log(&self) -> PathBuf {
        self.folder.path().join("released")
    }

    pub fn count(&self, name: &str) -> u64 {
        self.shared.views.counters.all().get(name).copied().unwrap_or(0)
    }

    pub fn root_id(&self) -> BlockId {
        self.root.block_id().expect("slot 0 has one")
    }

    /// All ticks of a block on `parent`, as the protocol wants them.
    pub fn entries(&self, parent: &Bank, slot: Slot) -> Vec<Entry> {
        create_ticks((slot - parent.slot()) * TICKS, 0, parent.last_blockhash())
    }

    pub fn shred(&self, slot: Slot, parent: Slot, chained: BlockId, entries: &[Entry], last: bool) -> Shredded {
        self.shred_as(&leader(), slot, parent, chained, entries, last)
    }

    pub fn shred_as(
        &self,
        key: &Keypair,
        slot: Slot,
        parent: Slot,
        chained: BlockId,
        entries: &[Entry],
        last: bool,
    ) -> Shredded {
        let shredder = Shredder::new(slot, parent, self.genesis.shred_version, 5).expect("near its parent");
        let sign = |root: &Hash| -> Result<Signature, Infallible> { Ok(key.sign_message(root.as_ref())) };
        shredder.make_entries(sign, Cursor::start(chained), entries, last).expect("a small block")
    }

    /// A good block on slot 0.
    pub fn block(&self, slot: Slot) -> Shredded {
        self.shred(slot, 0, self.root_id(), &self.entries(&self.root, slot), true)
    }
}

/// Steps until there is nothing to do.
pub fn settle(stage: &mut impl Stage) {
    for _ in 0..10_000 {
        match stage.step(Tick::from_millis(1_000)).expect("no failure") {
            Progress::Busy => {}
            Progress::Idle(_) => return,
        }
    }
    panic!("the stage does not come to rest");
}

pub fn port() -> UdpPort {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    UdpPort::bind(any, &UdpOptions { buffer_bytes: 1 << 20 }).expect("a port")
}

/// How many datagrams wait at the port.
pub fn received(port: &UdpPort) -> usize {
    let socket = port.socket().expect("a handle");
    socket.set_nonblocking(true).expect("a mode");
    let mut buffer = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count()
}

const TICKS: u64 = 4;
