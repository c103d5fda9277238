//! What the node says of itself, published many times a second.

use {
    super::RoleStage,
    crate::status::NodeStatus,
    std::sync::{Arc, atomic::Ordering::Relaxed},
    tandem_types::Slot,
};

impl RoleStage {
    pub(super) fn publish_status(&self) {
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
            last_handover: self.last_handover.clone(),
            last_step_down: self.last_step_down.clone(),
            vote_path: views.vote_path.report(),
            counters: views.counters.all(),
            failover: self.failover_status(self.shared.clock.now()),
        }));
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

/// Replay this close to the cluster's tip counts as caught up, for roles and for health.
pub const CAUGHT_UP_SLOTS_MAX: u64 = 8;
