//! The role stage over links with nobody behind them.

use {
    super::*,
    crate::{
        node::runs,
        stages::testing::{World, leader, settle, world},
        topology::Readers,
    },
    tandem_role::{
        Config, ConfiguredRole, Failback, OnLoss, Phases, StoreFacts,
        config::CHAIN_TOWER_HOLD_SLOTS,
        records::{Nonce, OwnerRecord, Preference},
    },
    tandem_types::{InstanceId, Term, UnixMillis},
};

const HOST: &str = "alpha";

fn stage(world: &World, inbox: Rx<RoleInput>, run: InstanceId) -> RoleStage {
    let dead_runs = runs::record(world.folder.path(), run).expect("recorded");
    let identity = leader().pubkey();
    world.shared.views.vault.hold_identity(leader());
    let machine = Machine::new(config(), run, Some(identity), Keypair::new().pubkey()).with_dead_runs(dead_runs);
    let setup = RoleSetup {
        machine,
        tls: TpuIdentity::new(&leader()),
        chain: ChainWatch::new(false, 0),
        store_name: "a store".to_owned(),
        auto: None,
        meet: Box::new(|_| Ok(None)),
    };
    RoleStage::new(world.shared.clone(), inbox, ExitLatch::default(), setup)
}

fn config() -> Config {
    Config {
        role: ConfiguredRole::Primary,
        host: HOST.to_owned(),
        failback: Failback::Preferred,
        on_identity_loss: OnLoss::Exit,
        on_store_loss: OnLoss::Exit,
        require_tower: false,
        adopt_chain_tower: false,
        store_is_exclusive: false,
        intent_deadline: Duration::from_secs(2),
        caught_up_slots_max: CAUGHT_UP_SLOTS_MAX,
        replay_deadline: Duration::from_secs(2),
        takeover_deadline: Duration::from_secs(30),
        chain_tower_hold_slots: CHAIN_TOWER_HOLD_SLOTS,
        standby_poll: Duration::from_secs(1),
        release_poll: Duration::from_millis(50),
    }
}

fn commands(promise: &mut Rx<PromiseInput>) -> Vec<StoreCommand> {
    let commands = std::iter::from_fn(|| promise.pop()).map(|input| match input {
        PromiseInput::Store(command) => command,
        _ => panic!("the role stage speaks of the store"),
    });
    commands.collect()
}

fn owned_by(instance: InstanceId) -> Box<StoreFacts> {
    let owner = OwnerRecord {
        term: Term(4),
        instance,
        host: HOST.to_owned(),
        version: String::new(),
        standby_identity: String::new(),
        slot_at_claim: 0,
        released: false,
        lease: None,
        preference: Preference::Primary,
        claimed_at: UnixMillis(0),
        nonce: Nonce::default(),
        vote_account: None,
        moved_to: None,
    };
    Box::new(StoreFacts {
        owner: Some(owner),
        owner_revision: 70,
        has_tower: false,
        tower_last_vote: None,
        intent: None,
        accepted: false,
    })
}

/// What a primary on a ledger that run 1 was recorded in does about an owner.
fn approach(owner: InstanceId) -> Vec<StoreCommand> {
    let (world, readers, _ledger) = world();
    runs::record(world.folder.path(), InstanceId([1; 16])).expect("recorded");
    let Readers { role, mut promise, .. } = readers;
    let mut stage = stage(&world, role, InstanceId([2; 16]));
    settle(&mut stage);
    let asked = commands(&mut promise);
    let [StoreCommand::Read { read }] = asked[..] else { panic!("{} commands", asked.len()) };
    let event = Event::StoreRead { read, facts: owned_by(owner) };
    world.shared.writers.role.send(RoleInput::Event(event)).expect("open");
    settle(&mut stage);
    commands(&mut promise)
}

#[test]
fn a_run_of_this_ledger_that_has_ended_is_not_asked_to_let_go() {
    let said = approach(InstanceId([1; 16]));
    assert!(matches!(said[..], [StoreCommand::Claim { owner_revision: 70, term_seen: Term(4), .. }]));
}

#[test]
fn any_other_run_on_this_host_is_asked() {
    let said = approach(InstanceId([9; 16]));
    assert!(matches!(said[..], [StoreCommand::WriteIntent { owner_revision: 70, term_seen: Term(4), .. }]));
}

#[test]
fn a_report_tells_the_slots_missed_also_where_nobody_asked_for_it() {
    let mut stopwatch = Stopwatch::default();
    stopwatch.mark("intent");
    let report = tandem_role::HandoverReport {
        role: RoleState::Active,
        term: Term(5),
        last_vote_slot: Some(99),
        phases: Phases::default(),
        slots_missed: 4,
    };
    let shown = stopwatch.report(&report, leader().pubkey());
    assert_eq!((shown.slots_missed, shown.last_vote_slot, shown.term), (4, Some(99), Some(5)));
    assert_eq!(shown.phases_ms.keys().collect::<Vec<_>>(), ["intent"]);
}
