//! Pull requests: what the caller lacks, within what it may cost us.

use {
    super::{Gossip, Step, receive::Direction},
    crate::{Reason, budget::scan_cost, config::TIMEOUT_MS},
    rand::Rng,
    std::{cmp::Reverse, net::SocketAddr, sync::Arc},
    tandem_wire::{
        bloom::CrdsFilter,
        contact_info::ContactInfo,
        crds::CrdsValue,
        gossip::{Protocol, split_values},
    },
};

impl Gossip {
    pub(super) fn handle_pull_request(
        &mut self,
        step: &mut Step,
        from: SocketAddr,
        filter: CrdsFilter,
        caller: Arc<CrdsValue>,
    ) {
        let Some(info) = caller.contact_info() else { return };
        if info.pubkey == self.me.pubkey {
            self.check_own_identity(step, info);
            return step.count(Reason::NotForUs);
        }
        // A caller without a shred version looks for one: it may read (agave refuses it).
        if info.shred_version != self.me.shred_version && info.shred_version != 0 {
            return step.count(Reason::OtherShredVersion);
        }
        if !self.is_sendable(&from) {
            return step.count(Reason::BadAddress);
        }
        // Answers go to where the request came from, so that address is the one to be verified.
        if !self.is_verified_or_pinged(step, (info.pubkey, from)) {
            return step.count(Reason::UnverifiedAddress);
        }
        self.meet_caller(step, from, &caller);
        if caller.wallclock().0.abs_diff(step.wall.0) > TIMEOUT_MS {
            return step.count(Reason::WrongTime);
        }
        let cost = scan_cost(self.table.len(), filter.mask_bits, filter.bloom.keys.len());
        if !self.scan_budget.take(step.now, from.ip(), cost) {
            return step.count(Reason::ScanBudget);
        }
        let values = self.lacking(&filter, caller.wallclock().0);
        self.send_budget.refill(step.now, self.stakes.len());
        for values in split_values(values) {
            let bytes = Protocol::PullResponse(self.me.pubkey, values).encode();
            if !self.send_budget.take(bytes.len()) {
                return step.count(Reason::SendBudget);
            }
            step.out.push(crate::Effect::Send { to: from, bytes });
        }
    }

    /// A verified caller introduces itself; agave waits for its push. Only now and then: each acceptance is pushed on.
    fn meet_caller(&mut self, step: &mut Step, from: SocketAddr, caller: &Arc<CrdsValue>) {
        let Some(info) = caller.contact_info().filter(|info| info.shred_version == self.me.shred_version) else {
            return;
        };
        let known_since = self.table.contact(&info.pubkey).map(|known| (known.outset, known.wallclock.0));
        let stale = known_since.is_none_or(|(outset, wallclock)| {
            outset < info.outset || wallclock.saturating_add(TIMEOUT_MS) < info.wallclock.0
        });
        let left = self.former.get(&info.pubkey).is_some_and(|outset| info.outset <= *outset);
        let fresh = info.wallclock.0.abs_diff(step.wall.0) <= TIMEOUT_MS;
        if stale && fresh && !left && info.gossip() == Some(from) {
            self.accept_contact(step, Arc::clone(caller));
        }
    }

    /// Contact infos first, then the newest: what does not fit the budget is asked for again.
    fn lacking(&mut self, filter: &CrdsFilter, caller_wallclock: u64) -> Vec<Arc<CrdsValue>> {
        // Newer values are on their way by push; the jitter keeps peers from answering alike (crds_gossip_pull.rs).
        let newest = caller_wallclock.saturating_add(self.rng.random_range(0..TIMEOUT_MS / 4));
        let mut values: Vec<_> = self
            .table
            .in_part(filter.prefix_range())
            .map(|entry| &entry.value)
            .filter(|value| value.wallclock().0 <= newest && !filter.bloom.contains(value.hash()))
            .filter(|value| self.is_welcome(value, Direction::PullResponse))
            .cloned()
            .collect();
        let rank = |value: &CrdsValue| (value.contact_info().map(ContactInfo::is_full_peer), value.wallclock());
        values.sort_by_key(|value| Reverse(rank(value)));
        values
    }
}
