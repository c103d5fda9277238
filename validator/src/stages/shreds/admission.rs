//! Which shreds are looked at, and which are genuine.

use {
    crate::views::Views,
    agave_feature_set::discard_unexpected_data_complete_shreds,
    std::sync::atomic::Ordering::Relaxed,
    tandem_bank::Bank,
    tandem_shred::{Policy, Shred, ShredHeader, SlotRules, VerifiedRoots, max_slot, peek},
    tandem_types::{Pubkey, Slot},
};

pub(super) struct Admission {
    verified: VerifiedRoots,
    policy: Policy,
    /// What the policy was made of: root, and slot of the bank whose features count.
    made_of: Option<(Slot, Slot)>,
}

impl Admission {
    pub fn new() -> Self {
        let policy = Policy { root: 0, max_slot: 0, shred_version: 0, rules: Vec::new() };
        Self { verified: VerifiedRoots::new(VERIFIED_MAX), policy, made_of: None }
    }

    /// Takes note of where the chain is now.
    pub fn look(&mut self, views: &Views, bank: &Bank) {
        let root = views.root.load(Relaxed);
        if self.made_of != Some((root, bank.slot())) {
            self.made_of = Some((root, bank.slot()));
            self.policy = policy(root, views.shred_version, bank);
        }
    }

    /// A packet from turbine. Counted if it is refused.
    pub fn admit(&mut self, views: &Views, bank: &Bank, packet: Vec<u8>) -> Option<Shred> {
        let header = peek(&packet);
        let wanted = header.is_some_and(|header| self.is_wanted(&header));
        let shred = wanted.then(|| Shred::parse(packet).ok()).flatten();
        let Some(shred) = shred else {
            views.counters.add("shreds_discarded", 1);
            return None;
        };
        self.is_genuine(views, bank, &shred).then_some(shred)
    }

    /// An answer to a repair request.
    pub fn verify(&mut self, views: &Views, bank: &Bank, shred: &Shred) -> bool {
        if !self.is_wanted(shred.header()) {
            views.counters.add("shreds_discarded", 1);
            return false;
        }
        self.is_genuine(views, bank, shred)
    }

    /// Slot 0 comes from the genesis; nobody leads it.
    fn is_wanted(&self, header: &ShredHeader) -> bool {
        header.slot > 0 && self.policy.check(header).is_ok()
    }

    fn is_genuine(&mut self, views: &Views, bank: &Bank, shred: &Shred) -> bool {
        let Some(leader) = bank.leader_at(shred.slot()) else {
            views.counters.add("shreds_leader_unknown", 1);
            return false;
        };
        let is_genuine = self.verified.verify(shred, &leader.identity);
        views.counters.add("shreds_bad_signature", u64::from(!is_genuine));
        is_genuine
    }
}

/// Rules change at the first slot of an epoch only, so one row for each epoch that can be looked at says it all.
fn policy(root: Slot, shred_version: u16, bank: &Bank) -> Policy {
    let schedule = bank.epoch_schedule();
    let max_slot = max_slot(root, schedule.slots_per_epoch);
    let rules = (schedule.get_epoch(root)..=schedule.get_epoch(max_slot))
        .map(|epoch| {
            let first = schedule.get_first_slot_in_epoch(epoch);
            let params = bank.slot_params_at(first);
            let rules = SlotRules {
                data_shreds_max: params.data_shreds_max,
                code_shreds_max: params.code_shreds_max,
                enforce_data_complete_placement: is_in_force(
                    bank,
                    &discard_unexpected_data_complete_shreds::id(),
                    first,
                ),
            };
            (first, rules)
        })
        .collect();
    Policy { root, max_slot, shred_version, rules }
}

/// Features of the packet path hold from the epoch after their activation (ledger/src/shred/filter.rs:
/// check_feature_activation, v4.2).
pub(super) fn is_in_force(bank: &Bank, feature: &Pubkey, slot: Slot) -> bool {
    let schedule = bank.epoch_schedule();
    bank.feature_set()
        .activated_slot(feature)
        .is_some_and(|activated| schedule.get_epoch(activated) < schedule.get_epoch(slot))
}

/// FEC sets whose signature is remembered: about a minute of full blocks.
const VERIFIED_MAX: usize = 1 << 13;
