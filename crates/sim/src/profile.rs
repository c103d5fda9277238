//! What a seed stands for: how many machines, how they are configured, and which faults are about.

use {
    crate::{
        node::Spec,
        rng::Rng,
        world::{SECOND, Time},
    },
    std::time::Duration,
    tandem_role::{Config, ConfiguredRole, Failback, OnLoss, auto::AutoConfig, records::Preference},
    tandem_types::Slot,
};

/// Kinds of fault that a seed may switch on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Stop,
    Crash,
    CutEtcd,
    CutCluster,
    CutGossip,
    LeaderChange,
    QuorumLoss,
    NoSpace,
    Storm,
    WallJump,
    Compaction,
    Restore,
}

const FAULTS: [(Fault, u64); 12] = [
    (Fault::Stop, 700),
    (Fault::Crash, 600),
    (Fault::CutEtcd, 600),
    (Fault::CutCluster, 400),
    (Fault::CutGossip, 400),
    (Fault::LeaderChange, 500),
    (Fault::QuorumLoss, 250),
    (Fault::NoSpace, 200),
    (Fault::Storm, 600),
    (Fault::WallJump, 300),
    (Fault::Compaction, 300),
    (Fault::Restore, 60),
];

#[derive(Clone, Debug)]
pub struct Profile {
    pub specs: Vec<Spec>,
    pub faults: Vec<Fault>,
    pub fault_span: Time,
    /// The identity has votes on chain from before it had a store.
    pub history: bool,
    pub stale_reads: bool,
    /// The other voters change forks at once.
    pub lawless: bool,
    /// Each how many windows of four slots one is ours.
    lead_every: u64,
    /// Of a thousand passes of a point between two steps, how many are hit.
    pub sharp: u64,
}

impl Profile {
    pub fn draw(rng: &mut Rng) -> Self {
        let count = match rng.below(100) {
            0..60 => 2,
            60..85 => 3,
            _ => 4,
        };
        let auto = rng.permille(350);
        let two_primaries = rng.permille(120);
        let sticky = rng.permille(300);
        let specs = (0..count).map(|node| spec(node, auto, two_primaries, sticky, rng)).collect();
        let faults = FAULTS.iter().filter(|(_, chance)| rng.permille(*chance)).map(|(fault, _)| *fault).collect();
        Self {
            specs,
            faults,
            fault_span: rng.between(8, 36) * SECOND,
            history: rng.permille(200),
            stale_reads: rng.permille(50),
            lawless: rng.permille(400),
            lead_every: rng.between(2, 6),
            sharp: rng.pick(&[0, 5, 15, 40]),
        }
    }

    /// Whether the slot is our identity's.
    pub fn leads(&self, slot: Slot) -> bool {
        (slot / 4).is_multiple_of(self.lead_every)
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

fn spec(node: usize, auto: bool, two_primaries: bool, sticky: bool, rng: &mut Rng) -> Spec {
    let primary = node == 0 || (node == 1 && two_primaries);
    let loss = |rng: &mut Rng| if rng.permille(500) { OnLoss::Exit } else { OnLoss::Standby };
    let config = Config {
        role: if primary { ConfiguredRole::Primary } else { ConfiguredRole::Secondary },
        host: format!("machine{node}"),
        failback: if sticky { Failback::Sticky } else { Failback::Preferred },
        on_identity_loss: loss(rng),
        on_store_loss: loss(rng),
        require_tower: false,
        adopt_chain_tower: true,
        store_is_exclusive: false,
        intent_deadline: Duration::from_millis(rng.pick(&[300, 1000, 2000])),
        caught_up_slots_max: 8,
        replay_deadline: Duration::from_secs(2),
        takeover_deadline: Duration::from_secs(30),
        chain_tower_hold_slots: 64,
        standby_poll: Duration::from_secs(1),
        release_poll: Duration::from_millis(50),
    };
    let auto = auto.then(|| AutoConfig {
        silence: Duration::from_millis(1_200 + 900 * node as u64),
        missed_slots: 3,
        missed_for: Duration::from_millis(250),
        hold_down: Duration::from_secs(4),
        promotions_per_hour_max: 20,
        retry_after: Duration::from_secs(2),
    });
    Spec {
        preference: if primary { Preference::Primary } else { Preference::Secondary },
        knows_identity: primary || auto.is_some() || rng.permille(500),
        config,
        auto,
        // No safety may hang on a clock, so some are a fifth fast or slow.
        clock_ppm: if rng.permille(300) { rng.between(0, 400_000) as i64 - 200_000 } else { 0 },
    }
}
