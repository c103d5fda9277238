//! What the node says of itself, published many times a second.

use {
    super::RoleStage,
    crate::status::{NodeStatus, TwinReport},
    std::{
        sync::{Arc, atomic::Ordering::Relaxed},
        time::Duration,
    },
    tandem_types::{Slot, Tick},
};

impl RoleStage {
    pub(super) fn publish_status(&self, now: Tick) {
        let views = &self.shared.views;
        let chain = views.chain.load();
        let status = self.chain.last();
        let identity = views.vault.node().pubkey();
        views.status.store(Arc::new(NodeStatus {
            role: self.machine.role().to_string(),
            identity: identity.to_string(),
            pair_identity: self.machine.identity().map(|identity| identity.to_string()),
            vote_account: views.vote_account.map(|account| account.to_string()),
            term: self.machine.term().map(|term| term.0),
            tip: chain.processed.slot(),
            cluster_tip: views.cluster_tip.load(Relaxed).max(chain.processed.slot()),
            slots_behind: Some(status.slots_behind).filter(|slots| *slots != u64::MAX),
            caught_up: status.slots_behind <= CAUGHT_UP_SLOTS_MAX && (status.root_advancing || status.root_needs_us),
            root: views.root.load(Relaxed),
            confirmed: chain.confirmed.slot(),
            last_vote: self.last_vote,
            next_leader_slot: self.next_leader_slot(chain.processed.slot()),
            peers: views.peers.load().len(),
            store: self.store_name.clone(),
            objection: self.objection.as_ref().map(|(reason, _)| reason.clone()),
            quarantine: self.machine.quarantine().map(str::to_owned),
            twin: self.twin_report(now),
            last_handover: self.last_handover.clone(),
            last_step_down: self.last_step_down.clone(),
            vote_path: views.vote_path.report(),
            counters: views.counters.all(),
            failover: self.failover_status(now),
        }));
    }

    fn twin_report(&self, now: Tick) -> Option<TwinReport> {
        let (reason, at) = self.twin.as_ref()?;
        let ago = now.since(*at);
        (ago <= TWIN_SHOWN).then(|| TwinReport { reason: reason.clone(), seconds_ago: ago.as_secs() })
    }

    fn next_leader_slot(&self, tip: Slot) -> Option<Slot> {
        let identity = self.machine.identity()?;
        let bank = self.shared.views.chain.load().processed.clone();
        let epoch = bank.epoch();
        let first = bank.epoch_schedule().get_first_slot_in_epoch(epoch);
        let schedule = bank.leader_schedule(epoch)?;
        schedule.slots_of(&identity, (tip + 1).saturating_sub(first)).next().map(|index| first + index)
    }
}

/// A twin that stands by is silent between its attempts to claim; one that was stopped must not look alive for long.
const TWIN_SHOWN: Duration = Duration::from_secs(600);
/// Replay this close to the cluster's tip counts as caught up, for roles and for health.
pub const CAUGHT_UP_SLOTS_MAX: u64 = 8;
