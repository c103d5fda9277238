//! All wiring: what is started, in which order, what ends the node, and in which order it stops.

mod chain;
mod contacts;
mod failover;
mod files;
mod last_store;
mod memory;
mod metrics;
mod rpc;
pub(crate) mod runs;
mod sockets;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use {
    crate::{
        admin::{self, AdminContext, AdminServer},
        config::{Config, TowerStorage},
        exit::{Failure, Status},
        failover::Whose,
        logging,
        release::ReleaseRecorder,
        signals,
        stage::{ExitLatch, Stage, StageThread},
        stages::{
            courier::CourierStage,
            gossip::GossipStage,
            observe,
            producer::ProducerStage,
            promise::{PromiseStage, Signature},
            repair::{RepairLinks, RepairPorts, RepairStage},
            replay::ReplayStage,
            role::{CAUGHT_UP_SLOTS_MAX, RoleChainWatch, RoleSetup, RoleStage},
            shreds::ShredStage,
            tpu::TpuStage,
            vote::VoteStage,
        },
        status::NodeStatus,
        topology::{self, Bells, Readers, RoleInput, Shared},
        views::Views,
    },
    arc_swap::{ArcSwap, ArcSwapOption},
    sockets::Ports,
    std::{
        sync::{Arc, atomic::AtomicU64},
        time::{Duration, SystemTime},
    },
    tandem_bank::Bank,
    tandem_env::{Doorbell, MonotonicClock, Pulse, random_instance_id, random_seed},
    tandem_gossip::Gossip,
    tandem_identity::Vault,
    tandem_ledger::{Ledger, LedgerReader},
    tandem_net::TpuIdentity,
    tandem_role::{config as role_config, machine::Machine, records::Preference},
    tandem_rpc::{ChainView, History},
    tandem_types::{InstanceId, Keypair, Pubkey, Signer},
    tokio::sync::broadcast,
    zeroize::Zeroizing,
};

/// Finished transactions kept for `getTransaction` and `getBlock`.
const HISTORY_BYTES_MAX: usize = 32 << 20;
const BLOCKING_THREADS_MAX: usize = 8;
/// Events a slow subscriber may be behind before it loses some.
const EVENTS_BEHIND_MAX: usize = 1_024;

/// Runs until the node is asked to end, or must. `Ok` when it was asked.
pub fn run(config: Config) -> Result<(), Failure> {
    let clock = MonotonicClock::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Calls that scan accounts run on these: no more of them than leave the stages their cores.
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("tandem-async")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("starting the async runtime: {error}")))?;

    // What can refuse comes first: nothing is announced and nothing claimed before all of it is good.
    let files = files::make_room()?;
    admin::usable_socket_path(&config.ledger)?;
    let (ledger, reader) = chain::open_ledger(&config, files.ledger)?;
    let instance = random_instance_id();
    // The ledger is locked: whoever recorded itself there before has ended.
    let dead_runs = runs::record(&config.ledger, instance)?;
    let genesis = chain::load_genesis(&config, &reader)?;
    let root = chain::genesis_bank(&genesis)?;
    chain::check_leaders(&config, &root)?;
    let role = role_of(&config, &root);
    let kv = store::open(&config, &runtime)?;
    let ports = Ports::bind(&config)?;
    let release = ReleaseRecorder::open(config.release_log.as_deref())?;

    let vault = Arc::new(vault_of(&config, role)?);
    failover::take_key(&config, role.identity, &vault)?;
    let tls = TpuIdentity::new(&Keypair::new());
    let node_key = vault.node();
    tls.set_signer(node_key.pubkey(), Arc::new(move |message: &[u8]| node_key.sign(message).ok()));

    let exit = ExitLatch::default();
    let bells = Bells::default();
    let (writers, readers) = topology::build(&bells);
    let contact = contacts::own(&config, &ports, vault.node().pubkey(), genesis.shred_version)?;
    let views = Arc::new(Views {
        chain: Arc::new(ArcSwap::from_pointee(ChainView {
            processed: root.clone(),
            confirmed: root.clone(),
            finalized: root.clone(),
        })),
        root: AtomicU64::new(0),
        cluster_tip: AtomicU64::new(0),
        others_tip: AtomicU64::new(0),
        reach: Default::default(),
        own_vote_seen: AtomicU64::new(0),
        own_votes: Default::default(),
        peers: ArcSwap::from_pointee(Vec::new()),
        contact: Arc::new(ArcSwap::from_pointee(contact)),
        identity: Arc::new(ArcSwap::from_pointee(vault.node().pubkey())),
        status: Arc::new(ArcSwap::from_pointee(starting_status(&vault))),
        ledger: reader.clone(),
        history: Arc::new(History::new(HISTORY_BYTES_MAX)),
        events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
        vault: vault.clone(),
        genesis_hash: genesis.hash,
        shred_version: genesis.shred_version,
        vote_account: config.vote_account.filter(|_| config.voting),
        release,
        counters: Default::default(),
        pulse: Pulse::start(clock).map_err(|error| Failure::failed(format!("starting the pulse: {error}")))?,
        vote_path: Default::default(),
    });
    let shared = Shared { views: views.clone(), writers: writers.clone(), clock };
    let whose: Whose = Arc::new(ArcSwapOption::from(role.identity.map(Arc::new)));
    let desk = kv.desk(genesis.hash, whose.clone(), &config).map(Arc::new);

    views.history.root(&[(0, root.genesis_creation_time())]);

    // JSON-RPC first: its port may be taken, and then nothing must have been claimed. Until the stages run it says so.
    let rpc = rpc::start(&config, files.rpc, &runtime, &views, &writers)?;

    // From here on the identity may be claimed, and whoever ends the node must have it released.
    signals::forward(writers.role.clone());
    if let store::Store::Etcd { kv: etcd, .. } = &kv {
        let etcd = etcd.clone();
        signals::on_reload(Box::new(move || etcd.reload_certificates()));
    }

    // Stages, from the wire inwards. A stage may be fed before its reader runs: links hold.
    let parts = Parts {
        config: &config,
        shared,
        readers,
        bells,
        clock,
        exit: exit.clone(),
        role,
        instance,
        dead_runs,
        kv,
        whose,
        tls: tls.clone(),
    };
    let stages = parts.start(&runtime, ledger, &reader, root, &ports)?;
    files::tell(&files);

    // The outside, once there is something behind it.
    let receivers = ports.receive(&writers, &views)?;
    let quic = ports.serve_quic(runtime.handle(), &tls, &views, &writers)?;
    let echo = ports.serve_echo(runtime.handle(), (files.echo / 2).max(1), genesis.shred_version)?;
    let admin = AdminServer::start(
        &config.ledger,
        AdminContext {
            rpc_addr: config.network.rpc,
            started: SystemTime::now(),
            role: {
                let role = writers.role.clone();
                Box::new(move |request| role.send(RoleInput::Request(request)))
            },
            contact: views.contact.clone(),
            status: views.status.clone(),
            vault,
            set_log_filter: Box::new(logging::set_filter),
            failover: desk,
        },
        files.admin,
        runtime.handle(),
    )?;

    let reason = loop {
        if let Some(reason) = exit.wait(Duration::from_secs(1)) {
            break reason;
        }
    };

    // Stop order: no new orders from people and clients; no packets; the stages; what they wrote to.
    tracing::info!("stopping: {reason}");
    drop(admin);
    drop(rpc);
    drop(quic);
    drop(echo);
    exit.stop_stages();
    ports.stop();
    for stage in stages {
        stage.join();
    }
    for receiver in receivers {
        // A receiver that panicked has already been reported.
        let _ = receiver.join();
    }
    runtime.shutdown_timeout(Duration::from_millis(500));
    if reason.status == Status::Done { Ok(()) } else { Err(reason) }
}

/// What this node is to the identity of its vote account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Role {
    configured: role_config::ConfiguredRole,
    /// The contested one: a primary's own. A secondary learns it from the vote account.
    identity: Option<Pubkey>,
}

/// By the flags alone. What the vote account says is a matter of the current root, which is not known before the ledger is replayed: the
/// account may be made later, or may have changed its identity since the genesis.
fn role_of(config: &Config, genesis: &Bank) -> Role {
    let secondary = |identity| Role { configured: role_config::ConfiguredRole::Secondary, identity };
    let Some(vote_account) = config.vote_account.filter(|_| config.voting) else { return secondary(None) };
    let named = genesis.vote_accounts().get(&vote_account).map(|account| *account.node());
    let own = config.keys.identity.pubkey();
    if config.check_vote_account || named == Some(own) {
        if named.is_none() {
            tracing::warn!(
                "vote account {vote_account} does not exist in the genesis: this node stands by until a root has it; if it should be \
                 there, check --vote-account and the genesis"
            );
        }
        return Role { configured: role_config::ConfiguredRole::Primary, identity: Some(own) };
    }
    secondary(named)
}

/// A primary stands by under a throw-away key, so that two machines with one key never speak under it at once. One whose
/// store is a folder of its own has no other machine to mind. It shows its identity from the start, as agave does, and must:
/// turbine's first receiver of a shred is drawn by stake, so as long as a staked node is in gossip under another name, what
/// it is drawn for is sent to nobody, and a cluster that starts would have its blocks from repair alone.
fn vault_of(config: &Config, role: Role) -> Result<Vault, Failure> {
    let copy = |key: &Keypair| {
        Keypair::try_from(&Zeroizing::new(key.to_bytes())[..])
            .map_err(|error| Failure::failed(format!("copying a keypair: {error}")))
    };
    let vault = match role.configured {
        role_config::ConfiguredRole::Primary => {
            let vault = Vault::new(Keypair::new());
            let identity = vault.hold_identity(copy(&config.keys.identity)?);
            if let TowerStorage::File { .. } = config.tower_storage {
                vault.speak_as_identity(&identity).map_err(Failure::refused)?;
            }
            vault
        }
        role_config::ConfiguredRole::Secondary => Vault::new(copy(&config.keys.identity)?),
    };
    for voter in &config.keys.authorized_voters {
        vault.add_voter(copy(voter)?);
    }
    Ok(vault)
}

/// What the stages are made of.
struct Parts<'a> {
    config: &'a Config,
    shared: Shared,
    readers: Readers,
    bells: Bells,
    clock: MonotonicClock,
    exit: ExitLatch,
    role: Role,
    instance: InstanceId,
    dead_runs: Vec<InstanceId>,
    kv: store::Store,
    whose: Whose,
    tls: TpuIdentity,
}

impl Parts<'_> {
    fn start(
        self,
        runtime: &tokio::runtime::Runtime,
        ledger: Ledger,
        reader: &LedgerReader,
        root: Arc<Bank>,
        ports: &Ports,
    ) -> Result<Vec<StageThread>, Failure> {
        let Parts { config, shared, readers, bells, clock, exit, role, instance, dead_runs, kv, whose, tls } = self;
        let mut threads = Vec::new();
        let mut spawn = |name: &'static str, stage: Box<dyn Stage>, bell: &Doorbell| -> Result<(), Failure> {
            let thread = StageThread::spawn(name, stage, bell.clone(), clock, exit.clone())
                .map_err(|error| Failure::failed(format!("starting the {name} stage: {error}")))?;
            threads.push(thread);
            Ok(())
        };
        let vote_account = shared.views.vote_account;
        let voter_config = tandem_vote::Config {
            vote_account: vote_account.unwrap_or_default(),
            identity: role.identity.unwrap_or_default(),
        };

        // The record of promises first: whoever decides finds it there.
        let signature = Signature {
            instance,
            host: config.roles.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            preference: match role.configured {
                role_config::ConfiguredRole::Primary => Preference::Primary,
                role_config::ConfiguredRole::Secondary => Preference::Secondary,
            },
            require_tower: config.roles.require_tower,
        };
        let open = kv.opener(config, shared.views.genesis_hash, vote_account, instance);
        let promise = PromiseStage::new(
            shared.clone(),
            readers.promise,
            open,
            signature,
            vote_account,
            ports.vote_sender.clone(),
            role.identity,
        )?;
        spawn("promise", Box::new(promise), &bells.promise)?;

        let block = observe::Observer::new(vote_account).block(&root);
        let vote = VoteStage::new(shared.clone(), readers.vote, voter_config, block, root.clone(), vote_account);
        spawn("vote", Box::new(vote), &bells.vote)?;

        let replay_until = reader.highest_slot().filter(|slot| reader.is_complete(*slot)).unwrap_or_default();
        let machine = Machine::new(role_config_of(config, role), instance, role.identity, shared.views.vault.standby())
            .with_dead_runs(dead_runs);
        let (genesis_hash, to_role) = (shared.views.genesis_hash, shared.writers.role.clone());
        let mut meet =
            failover::meeting(config, &kv, genesis_hash, instance, (shared.views.vault.clone(), whose), to_role);
        let auto = role.identity.map(&mut meet).transpose()?.flatten();
        let setup = RoleSetup {
            machine,
            tls: tls.clone(),
            chain: RoleChainWatch::new(!config.network.entrypoints.is_empty(), replay_until.min(reader.root())),
            store_name: kv.name(),
            auto,
            meet,
        };
        let role_stage = RoleStage::new(shared.clone(), readers.role, exit.clone(), setup);
        spawn("role", Box::new(role_stage), &bells.role)?;

        let producer = ProducerStage::new(shared.clone(), readers.producer, readers.transactions);
        spawn("producer", Box::new(producer), &bells.producer)?;
        let replay = ReplayStage::new(shared.clone(), readers.replay, root, vote_account);
        spawn("replay", Box::new(replay), &bells.replay)?;
        let shreds = ShredStage::new(
            shared.clone(),
            readers.tvu_packets,
            readers.shreds,
            ports.tvu.clone(),
            ledger,
            contacts::address_rule(config),
        );
        spawn("shreds", Box::new(shreds), &bells.shreds)?;
        let repair = RepairStage::new(
            shared.clone(),
            RepairLinks {
                answers: readers.repair_packets,
                requests: readers.serve_repair_packets,
                inbox: readers.repair,
            },
            RepairPorts { client: ports.repair.clone(), server: ports.serve_repair.clone() },
            [random_seed(), random_seed()],
        );
        spawn("repair", Box::new(repair), &bells.repair)?;
        let tpu = TpuStage::new(shared.clone(), readers.tpu_packets, readers.vote_packets);
        spawn("tpu", Box::new(tpu), &bells.tpu)?;
        let sender = ports.quic_client(runtime.handle(), &tls)?;
        let courier = CourierStage::new(shared.clone(), readers.courier, sender);
        spawn("courier", Box::new(courier), &bells.courier)?;
        let contact = (**shared.views.contact.load()).clone();
        let gossip = Gossip::new(contacts::gossip_config(config), contact, random_seed());
        let gossip = GossipStage::new(shared, readers.gossip_packets, readers.gossip, ports.gossip.clone(), gossip);
        spawn("gossip", Box::new(gossip), &bells.gossip)?;
        Ok(threads)
    }
}

fn role_config_of(config: &Config, role: Role) -> role_config::Config {
    role_config::Config {
        role: role.configured,
        host: config.roles.host.clone(),
        failback: config.roles.failback,
        on_identity_loss: config.roles.on_identity_loss,
        on_store_loss: config.roles.on_store_loss,
        require_tower: config.roles.require_tower,
        adopt_chain_tower: config.roles.adopt_chain_tower,
        store_is_exclusive: matches!(config.tower_storage, TowerStorage::File { .. }),
        intent_deadline: config.roles.intent_deadline,
        caught_up_slots_max: CAUGHT_UP_SLOTS_MAX,
        replay_deadline: Duration::from_secs(2),
        takeover_deadline: Duration::from_secs(30),
        chain_tower_hold_slots: role_config::CHAIN_TOWER_HOLD_SLOTS,
        standby_poll: Duration::from_secs(1),
        release_poll: Duration::from_millis(25),
    }
}

pub(crate) fn starting_status(vault: &Vault) -> NodeStatus {
    NodeStatus {
        role: "STARTING".into(),
        identity: vault.node().pubkey().to_string(),
        pair_identity: vault.identity().map(|identity| identity.to_string()),
        vote_account: None,
        term: None,
        tip: 0,
        cluster_tip: 0,
        slots_behind: None,
        caught_up: false,
        root: 0,
        confirmed: 0,
        last_vote: None,
        next_leader_slot: None,
        peers: 0,
        store: String::new(),
        last_handover: None,
        objection: None,
        twin: None,
        quarantine: None,
        last_step_down: None,
        vote_path: Default::default(),
        counters: Default::default(),
        failover: Default::default(),
    }
}
