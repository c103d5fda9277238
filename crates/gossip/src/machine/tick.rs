//! What the clock starts: renewing ourselves, pulling, pushing on, forgetting.

use {
    super::{Gossip, Step, receive::Direction},
    crate::{
        Effect,
        config::{
            ENTRYPOINT_EVERY, POKE_EVERY, PULL_EVERY, PULL_SHARE, PURGE_EVERY, PUSHES_MAX, REFRESH, SWEEP_EVERY,
            TIMEOUT_MS,
        },
        table::Bounds,
    },
    rand::{Rng, seq::SliceRandom},
    std::{collections::BTreeMap, net::SocketAddr, sync::Arc},
    tandem_types::Pubkey,
    tandem_wire::{
        bloom::{Bloom, CrdsFilter, FilterPlan, hash_prefix},
        contact_info::ContactInfo,
        crds::{CrdsData, CrdsValue, Kind, Label},
        gossip::{Protocol, split_values},
    },
};

impl Gossip {
    pub(super) fn handle_timer(&mut self, step: &mut Step) {
        if self.at.refresh <= step.now {
            self.renew_contact(step);
            self.at.rotate = Some(step.now);
            self.at.refresh = step.now + REFRESH;
        }
        if self.at.rotate.is_some_and(|at| at <= step.now) {
            self.at.rotate = None;
            self.rotate(step);
        }
        if self.at.push.is_some_and(|at| at <= step.now) {
            self.push(step);
        }
        self.greet(step);
        if self.at.pull <= step.now {
            self.pull(step);
        }
        if self.at.purge <= step.now {
            self.at.purge = step.now + PURGE_EVERY;
            self.purge(step);
        }
    }

    /// Signs our contact info anew and pushes it.
    pub(super) fn renew_contact(&mut self, step: &mut Step) {
        let label = Label { origin: self.me.pubkey, kind: Kind::ContactInfo };
        self.me.wallclock = self.next_wallclock(step.wall, &label);
        self.originate(step, CrdsData::ContactInfo(self.me.clone()));
    }

    fn rotate(&mut self, step: &mut Step) {
        let peers: Vec<_> = self.verified_peers(step).into_iter().map(|(node, _, stake)| (node, stake)).collect();
        let joined = self.active_set.rotate(&mut self.rng, &peers);
        // Who is new to the set has missed our last announcement.
        for node in joined {
            let addr = self.table.contact(&node).and_then(ContactInfo::gossip);
            addr.into_iter().for_each(|addr| self.send_contact(step, addr));
        }
    }

    /// Sends everything that has arrived since the last push to those who may lack it.
    pub(super) fn push(&mut self, step: &mut Step) {
        self.at.push = None;
        let mut packets: BTreeMap<Pubkey, Vec<Arc<CrdsValue>>> = BTreeMap::new();
        let (mut pushes, mut until) = (0, self.table.next_arrival());
        for entry in self.table.since(self.pushed_until) {
            if pushes >= PUSHES_MAX {
                until = entry.arrival;
                self.at.push = Some(step.now);
                break;
            }
            let origin = entry.value.origin();
            let in_time = entry.value.wallclock().0.abs_diff(step.wall.0) <= TIMEOUT_MS;
            if !in_time || !self.is_welcome(&entry.value, Direction::Push) {
                continue;
            }
            for node in self.active_set.targets(&self.me.pubkey, &origin, &self.stakes) {
                if entry.pushed_by == Some(*node) {
                    continue;
                }
                packets.entry(*node).or_default().push(Arc::clone(&entry.value));
                pushes += 1;
            }
        }
        self.pushed_until = until;
        for (node, values) in packets {
            let addr = self.table.contact(&node).and_then(ContactInfo::gossip).filter(|addr| self.is_sendable(addr));
            let Some(addr) = addr else { continue };
            for values in split_values(values) {
                step.send(addr, &Protocol::PushMessage(self.me.pubkey, values));
            }
        }
    }

    fn greet(&mut self, step: &mut Step) {
        while let Some((at, addr)) = self.greetings.front().copied()
            && at <= step.now
        {
            self.greetings.pop_front();
            self.send_contact(step, addr);
        }
    }

    /// Our contact info as a push message of its own.
    fn send_contact(&self, step: &mut Step, addr: SocketAddr) {
        let own = self.table.contact_entry(&self.me.pubkey).map(|entry| Arc::clone(&entry.value));
        if let Some(own) = own {
            step.send(addr, &Protocol::PushMessage(self.me.pubkey, vec![own]));
        }
    }

    fn pull(&mut self, step: &mut Step) {
        let peers = self.verified_peers(step);
        let Some(caller) = self.caller(step) else {
            self.at.pull = step.now + PULL_EVERY;
            return;
        };
        if peers.is_empty() {
            self.at.pull = step.now + POKE_EVERY;
            self.pull_from_entrypoints(step, &caller);
            return;
        }
        self.at.pull = step.now + PULL_EVERY;
        let plan = self.plan(&caller);
        let parts = self.next_parts(plan, plan.parts().div_ceil(PULL_SHARE));
        let filters = self.filters(plan, &parts);
        let weights: Vec<_> = peers.iter().map(|(_, _, stake)| self.pull_weight(*stake)).collect();
        for filter in &filters {
            let to = peers[self.draw(&weights)].1;
            step.send(to, &Protocol::PullRequest(filter.clone(), Arc::clone(&caller)));
        }
        // An entrypoint that is not among the peers may belong to a part of the cluster we do not see.
        if self.at.entrypoint <= step.now && !self.config.entrypoints.is_empty() {
            self.at.entrypoint = step.now + ENTRYPOINT_EVERY;
            let entrypoint = self.config.entrypoints[self.rng.random_range(0..self.config.entrypoints.len())];
            let known = self.table.contacts().any(|(info, _)| info.gossip() == Some(entrypoint));
            if !known {
                filters.into_iter().for_each(|filter| {
                    step.send(entrypoint, &Protocol::PullRequest(filter, Arc::clone(&caller)));
                });
            }
        }
    }

    /// While nobody is known. The first request makes an entrypoint ping us; our pong then makes it answer, and
    /// we ask about the whole hash space at once, for in a small cluster nearly all parts of it are empty.
    fn pull_from_entrypoints(&mut self, step: &mut Step, caller: &Arc<CrdsValue>) {
        let own_addr = self.me.gossip();
        let entrypoints: Vec<_> =
            self.config.entrypoints.iter().copied().filter(|addr| Some(*addr) != own_addr).collect();
        if entrypoints.is_empty() {
            return;
        }
        let plan = self.plan(caller);
        let sweep = self.at.sweep <= step.now;
        if sweep {
            (self.at.swept, self.at.sweep) = (Some(step.now), step.now + SWEEP_EVERY);
            self.parts.1.clear();
        }
        let parts = self.next_parts(plan, if sweep { plan.parts() } else { 1 });
        let to = entrypoints[self.rng.random_range(0..entrypoints.len())];
        for filter in self.filters(plan, &parts) {
            step.send(to, &Protocol::PullRequest(filter, Arc::clone(caller)));
        }
        self.send_contact(step, to);
    }

    /// Our contact info with the time of this request; it does not enter the table.
    fn caller(&mut self, step: &mut Step) -> Option<Arc<CrdsValue>> {
        let mut info = self.me.clone();
        info.wallclock = step.wall.max(info.wallclock);
        self.signed(step, CrdsData::ContactInfo(info))
    }

    fn plan(&self, caller: &CrdsValue) -> FilterPlan {
        FilterPlan::new(self.table.len() + self.table.purged_len(), caller.bytes().len())
    }

    /// The next parts of the hash space in this turn's random order.
    fn next_parts(&mut self, plan: FilterPlan, count: u64) -> Vec<u64> {
        let (mask_bits, parts) = &mut self.parts;
        if *mask_bits != plan.mask_bits || parts.is_empty() {
            *mask_bits = plan.mask_bits;
            *parts = (0..plan.parts()).collect();
            parts.shuffle(&mut self.rng);
        }
        let rest = parts.len().saturating_sub(count as usize);
        parts.split_off(rest)
    }

    fn filters(&mut self, plan: FilterPlan, parts: &[u64]) -> Vec<CrdsFilter> {
        let mut blooms: BTreeMap<u64, Bloom> =
            parts.iter().map(|part| (*part, Bloom::random(plan.shape, &mut self.rng))).collect();
        let shift = u64::BITS - plan.mask_bits;
        for hash in self.table.known_hashes() {
            if let Some(bloom) = blooms.get_mut(&hash_prefix(hash).checked_shr(shift).unwrap_or(0)) {
                bloom.add(hash);
            }
        }
        let filter = |(part, bloom)| CrdsFilter {
            bloom,
            mask: CrdsFilter::mask_of(part, plan.mask_bits),
            mask_bits: plan.mask_bits,
        };
        blooms.into_iter().map(filter).collect()
    }

    /// crds_gossip_pull.rs:new_pull_request: the square of the bits of the smaller stake, in SOL.
    fn pull_weight(&self, stake: u64) -> u64 {
        let own = self.stakes.get(&self.me.pubkey).copied().unwrap_or(0);
        let sol = stake.min(own) / 1_000_000_000;
        (u64::from(u64::BITS - sol.leading_zeros()) + 1).pow(2)
    }

    fn draw(&mut self, weights: &[u64]) -> usize {
        let mut place = self.rng.random_range(0..weights.iter().sum::<u64>().max(1));
        for (at, weight) in weights.iter().enumerate() {
            match place.checked_sub(*weight) {
                None => return at,
                Some(rest) => place = rest,
            }
        }
        0
    }

    fn purge(&mut self, step: &mut Step) {
        let gone = {
            let (me, stakes, any_stake) = (self.me.pubkey, Arc::clone(&self.stakes), self.any_stake);
            let epoch_ms = self.epoch_ms();
            self.table.purge(step.wall, |origin| timeout_of(&me, &stakes, any_stake, epoch_ms, origin))
        };
        let (me, entrypoints) = (self.me.pubkey, self.config.entrypoints.clone());
        let kept: Vec<_> = self
            .table
            .contacts()
            .filter(|(info, _)| info.gossip().is_some_and(|addr| entrypoints.contains(&addr)))
            .map(|(info, _)| info.pubkey)
            .chain([me])
            .collect();
        let bounds = Bounds { origins_max: self.config.origins_max, values_max: self.config.values_max };
        let stakes = Arc::clone(&self.stakes);
        let trimmed = self.table.trim(bounds, |origin| kept.contains(origin), &stakes, step.wall);
        if !gone.is_empty() || !trimmed.is_empty() {
            step.out.push(Effect::ContactsChanged);
        }
        self.retry_unverified(step);
    }

    /// Pings and pongs get lost: asks again those whose contact info waits for it, until it is too old.
    fn retry_unverified(&mut self, step: &mut Step) {
        let wall = step.wall.0;
        self.unverified.retain(|_, value| value.wallclock().0.saturating_add(TIMEOUT_MS) > wall);
        let waiting: Vec<_> = self.unverified.keys().copied().collect();
        for node in waiting {
            if self.is_verified_or_pinged(step, node) {
                self.admit_unverified(step, node);
            }
        }
    }

    pub(super) fn timeout_ms(&self, origin: &Pubkey) -> u64 {
        timeout_of(&self.me.pubkey, &self.stakes, self.any_stake, self.epoch_ms(), origin)
    }

    fn epoch_ms(&self) -> u64 {
        u64::try_from(self.config.epoch_duration.as_millis()).unwrap_or(u64::MAX).max(TIMEOUT_MS)
    }
}

/// crds_gossip_pull.rs:CrdsTimeouts: while no stakes are known, everybody is kept as if staked.
fn timeout_of(
    me: &Pubkey,
    stakes: &std::collections::HashMap<Pubkey, u64>,
    any_stake: bool,
    epoch_ms: u64,
    origin: &Pubkey,
) -> u64 {
    let staked = stakes.get(origin).is_some_and(|stake| *stake > 0);
    match (origin == me, staked || !any_stake) {
        (true, _) => u64::MAX,
        (false, true) => epoch_ms,
        (false, false) => TIMEOUT_MS,
    }
}
