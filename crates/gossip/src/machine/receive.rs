//! Packets from others, pull requests excepted.

use {
    super::{Elsewhere, Gossip, Step},
    crate::{
        Effect, GossipVote, Reason,
        config::{FORWARD_AFTER, GREET_AFTER, PRUNE_TIMEOUT_MS, STAKE_MIN, STAKED_NODES_MIN, TIMEOUT_MS},
        table::{Inserted, Route},
    },
    std::{
        collections::{BTreeMap, BTreeSet},
        net::SocketAddr,
        sync::Arc,
        time::Duration,
    },
    tandem_types::{Pubkey, Tick},
    tandem_wire::{
        contact_info::ContactInfo,
        crds::{CrdsData, CrdsValue},
        gossip::{PRUNES_MAX, Protocol, PruneData},
        ping::{Ping, Pong},
    },
};

/// In which direction a record is about to go (crds_filter.rs:GossipFilterDirection).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Push,
    PullResponse,
}

/// What a batch of values brought; told as effects once it is done.
#[derive(Default)]
struct News {
    votes: Vec<GossipVote>,
    contacts_changed: bool,
}

impl Gossip {
    pub(super) fn handle_packet(&mut self, step: &mut Step, from: SocketAddr, bytes: &[u8]) {
        let mut message = match Protocol::decode(bytes) {
            Ok(message) => message,
            Err(reject) => return step.count(Reason::Rejected(reject)),
        };
        if let Protocol::PullResponse(_, values) | Protocol::PushMessage(_, values) = &mut message {
            let before = values.len();
            values.retain(|value| self.is_welcome(value, Direction::In));
            (before - values.len() > 0).then(|| step.count(Reason::Unstaked));
        }
        if !self.verify(&message) {
            return step.count(Reason::BadSignature);
        }
        match message {
            Protocol::PullRequest(filter, caller) => self.handle_pull_request(step, from, filter, caller),
            Protocol::PullResponse(_, values) => {
                self.learn_shred_version(step, &values);
                let values = self.admitted(step, values);
                self.handle_pull_response(step, values);
            }
            Protocol::PushMessage(sender, values) => {
                let values = self.admitted(step, values);
                self.handle_push(step, sender, values);
            }
            Protocol::PruneMessage(prune) => self.handle_prune(step, &prune),
            Protocol::PingMessage(ping) => self.handle_ping(step, from, &ping),
            Protocol::PongMessage(pong) => self.handle_pong(step, from, &pong),
        }
    }

    /// crds_filter.rs:should_retain_crds_value: in a large cluster most kinds are for staked nodes.
    pub(super) fn is_welcome(&self, value: &CrdsValue, direction: Direction) -> bool {
        let staked = || {
            self.stakes.len() < STAKED_NODES_MIN
                || self.stakes.get(&value.origin()).is_some_and(|stake| *stake >= STAKE_MIN)
        };
        match value.data() {
            CrdsData::ContactInfo(_) | CrdsData::SnapshotHashes(_) => true,
            CrdsData::EpochSlots(..) => direction == Direction::In || staked(),
            CrdsData::Vote(..) => direction != Direction::PullResponse || staked(),
            CrdsData::DuplicateShred(..)
            | CrdsData::LowestSlot(_)
            | CrdsData::RestartLastVotedForkSlots(_)
            | CrdsData::RestartHeaviestFork(_) => staked(),
        }
    }

    /// One bad value makes the packet bad.
    fn verify(&mut self, message: &Protocol) -> bool {
        match message {
            Protocol::PullRequest(_, caller) => self.verified.check(caller),
            Protocol::PullResponse(_, values) | Protocol::PushMessage(_, values) => {
                values.iter().all(|value| self.verified.check(value))
            }
            Protocol::PruneMessage(prune) => prune.verify(),
            Protocol::PingMessage(ping) => ping.verify(),
            Protocol::PongMessage(pong) => pong.verify(),
        }
    }

    /// While our shred version is 0 (unknown), an entrypoint's own contact info tells it.
    fn learn_shred_version(&mut self, step: &mut Step, values: &[Arc<CrdsValue>]) {
        if self.me.shred_version != 0 {
            return;
        }
        let entrypoint = values.iter().filter_map(|value| value.contact_info()).find(|info| {
            info.shred_version != 0 && info.gossip().is_some_and(|addr| self.config.entrypoints.contains(&addr))
        });
        if let Some(version) = entrypoint.map(|info| info.shred_version) {
            self.me.shred_version = version;
            self.at.refresh = step.now;
            step.out.push(Effect::ShredVersionLearned(version));
        }
    }

    /// The values that may enter the table: of our cluster, from known origins, at verified addresses.
    fn admitted(&mut self, step: &mut Step, values: Vec<Arc<CrdsValue>>) -> Vec<Arc<CrdsValue>> {
        values.into_iter().filter(|value| self.is_admitted(step, value)).collect()
    }

    fn is_admitted(&mut self, step: &mut Step, value: &Arc<CrdsValue>) -> bool {
        let Some(info) = value.contact_info() else {
            let origin = value.origin();
            if !self.table.knows(&origin) {
                step.count(Reason::UnknownOrigin);
                return false;
            }
            let bounded = self.stakes.get(&origin).is_none_or(|stake| *stake == 0) && origin != self.me.pubkey;
            if bounded && self.table.count_of(&origin) >= self.config.values_per_unstaked_origin_max {
                // Replacing what is there costs no room.
                if self.table.get(&value.label()).is_none() {
                    step.count(Reason::TableFull);
                    return false;
                }
            }
            return true;
        };
        if info.pubkey == self.me.pubkey {
            self.check_own_identity(step, info);
            return false;
        }
        if info.shred_version != self.me.shred_version {
            step.count(Reason::OtherShredVersion);
            return false;
        }
        if self.former.get(&info.pubkey).is_some_and(|outset| info.outset <= *outset) {
            return false;
        }
        let Some(addr) = info.gossip().filter(|addr| self.is_sendable(addr)) else {
            step.count(Reason::BadAddress);
            return false;
        };
        let node = (info.pubkey, addr);
        if self.is_verified_or_pinged(step, node) {
            return true;
        }
        // Kept until the pong comes: agave drops it and waits for the next time it is sent.
        if self.unverified.len() < UNVERIFIED_MAX || self.unverified.contains_key(&node) {
            let newer = self.unverified.get(&node).is_none_or(|known| known.wallclock() < value.wallclock());
            newer.then(|| self.unverified.insert(node, Arc::clone(value)));
        }
        step.count(Reason::UnverifiedAddress);
        false
    }

    /// Our own contact info, coming back. Only a later instance than ours is worth a word.
    pub(super) fn check_own_identity(&mut self, step: &mut Step, info: &ContactInfo) {
        if info.outset <= self.me.outset {
            return;
        }
        let known = self.elsewhere.filter(|known| known.outset == info.outset);
        let first = known.map_or(info.wallclock, |known| known.first);
        // Who renews its record lives; an earlier run of ours, of before our clock was set back, does not.
        let alive = info.wallclock > first;
        if known.is_some_and(|known| step.now.since(known.told_at) < TELL_ELSEWHERE_EVERY && known.alive == alive) {
            return;
        }
        self.elsewhere = Some(Elsewhere { outset: info.outset, first, alive, told_at: step.now });
        let (outset, contact) = (info.outset, Box::new(info.clone()));
        step.out.push(Effect::IdentityElsewhere { outset, alive, contact });
    }

    /// crds_gossip_pull.rs:filter_pull_responses: what is old enters only beside a contact info that is not.
    fn handle_pull_response(&mut self, step: &mut Step, values: Vec<Arc<CrdsValue>>) {
        let mut news = News::default();
        for value in values {
            let origin = value.origin();
            let fresh = step.wall.0 <= value.wallclock().0.saturating_add(self.timeout_ms(&origin));
            if !self.table.would_insert(&value) || (!fresh && self.table.contact(&origin).is_none()) {
                self.table.remember_purged(*value.hash(), step.wall);
                continue;
            }
            let inserted = self.insert(step, value, Route::Pull, &mut news);
            if fresh && matches!(inserted, Inserted::Yes(_)) {
                self.table.heard_of(&origin, step.wall);
            }
        }
        self.tell(step, news);
    }

    fn handle_push(&mut self, step: &mut Step, sender: Pubkey, values: Vec<Arc<CrdsValue>>) {
        let mut news = News::default();
        let mut origins = BTreeSet::new();
        for value in values {
            let origin = value.origin();
            if value.wallclock().0.abs_diff(step.wall.0) > TIMEOUT_MS {
                step.count(Reason::WrongTime);
                continue;
            }
            let earlier = match self.insert(step, value, Route::Push(sender), &mut news) {
                Inserted::Yes(_) => {
                    origins.insert(origin);
                    0
                }
                Inserted::Duplicate(pushes) => pushes,
                Inserted::Outdated => u8::MAX,
            };
            self.received.record(&mut self.rng, origin, sender, earlier);
        }
        self.tell(step, news);
        self.send_prunes(step, origins);
    }

    fn insert(&mut self, step: &mut Step, value: Arc<CrdsValue>, route: Route, news: &mut News) -> Inserted {
        let inserted = self.table.insert(Arc::clone(&value), step.wall, route);
        let Inserted::Yes(old) = &inserted else { return inserted };
        let foreign = value.origin() != self.me.pubkey;
        match value.data() {
            CrdsData::ContactInfo(info) => {
                let moved = old.as_ref().and_then(|old| old.contact_info()).is_none_or(|old| is_news(info, old));
                news.contacts_changed |= moved;
                if !self.active_set.contains(&info.pubkey) {
                    self.rotate_soon(step.now);
                }
            }
            // Also under our own name: those we publish do not come this way, so another speaks as us, or did before us.
            CrdsData::Vote(_, vote) => {
                let (transaction, parsed) = (vote.transaction.clone(), vote.parsed.clone());
                news.votes.push(GossipVote { from: vote.from, transaction, vote: parsed });
            }
            CrdsData::DuplicateShred(_, chunk) if foreign => {
                if let Some(proof) = self.proofs.add(chunk) {
                    step.out.push(Effect::DuplicateProof { from: chunk.from, slot: chunk.slot, proof });
                }
            }
            CrdsData::DuplicateShred(..)
            | CrdsData::LowestSlot(_)
            | CrdsData::EpochSlots(..)
            | CrdsData::SnapshotHashes(_)
            | CrdsData::RestartLastVotedForkSlots(_)
            | CrdsData::RestartHeaviestFork(_) => (),
        }
        self.push_by(step.now + FORWARD_AFTER);
        inserted
    }

    /// A contact info that came another way than by push or pull response.
    pub(super) fn accept_contact(&mut self, step: &mut Step, value: Arc<CrdsValue>) {
        let mut news = News::default();
        self.insert(step, value, Route::Pull, &mut news);
        self.tell(step, news);
    }

    fn tell(&self, step: &mut Step, news: News) {
        if news.contacts_changed {
            step.out.push(Effect::ContactsChanged);
        }
        if !news.votes.is_empty() {
            step.out.push(Effect::Votes(news.votes));
        }
    }

    /// Tells senders that are always late which origins they may leave out.
    fn send_prunes(&mut self, step: &mut Step, origins: BTreeSet<Pubkey>) {
        let mut prunes: BTreeMap<Pubkey, Vec<Pubkey>> = BTreeMap::new();
        for origin in origins {
            for sender in self.received.prune(&self.me.pubkey, &origin, &self.stakes) {
                prunes.entry(sender).or_default().push(origin);
            }
        }
        for (sender, origins) in prunes {
            let addr = self.table.contact(&sender).and_then(ContactInfo::gossip).filter(|addr| self.is_sendable(addr));
            let (Some(addr), Some(signer)) = (addr, self.signer(step)) else { continue };
            for origins in origins.chunks(PRUNES_MAX) {
                let prune =
                    PruneData::signed(self.me.pubkey, origins.to_vec(), sender, step.wall, |bytes| signer.sign(bytes));
                step.send(addr, &Protocol::PruneMessage(prune));
            }
        }
    }

    fn handle_prune(&mut self, step: &mut Step, prune: &PruneData) {
        if step.wall.0 > prune.wallclock.0.saturating_add(PRUNE_TIMEOUT_MS) {
            return step.count(Reason::WrongTime);
        }
        if prune.destination != self.me.pubkey {
            return step.count(Reason::NotForUs);
        }
        self.active_set.prune(&self.me.pubkey, &prune.pubkey, &prune.prunes, &self.stakes);
    }

    fn handle_ping(&mut self, step: &mut Step, from: SocketAddr, ping: &Ping) {
        if !self.is_sendable(&from) {
            return step.count(Reason::BadAddress);
        }
        let Some(signer) = self.signer(step) else { return };
        let pong = Pong::answering(ping, self.me.pubkey, |bytes| signer.sign(bytes));
        step.send(from, &Protocol::PongMessage(pong));
        // Only to addresses we know for other reasons: a forged ping must not make us send more than a pong.
        let known = self.table.contact(&ping.from).and_then(ContactInfo::gossip) == Some(from);
        if (known || self.config.entrypoints.contains(&from)) && self.greetings.len() < GREETINGS_MAX {
            self.greetings.push_back((step.now + GREET_AFTER, from));
        }
        if self.config.entrypoints.contains(&from) {
            // The entrypoint verifies us now: ask for everything as soon as it has seen the pong. Not on every ping:
            // whoever forges its address must not make us flood it.
            let lately = self.at.swept.is_some_and(|at| step.now.since(at) < SWEEP_AGAIN_AFTER);
            self.at.pull = self.at.pull.min(step.now + GREET_AFTER);
            self.at.sweep = if lately { self.at.sweep } else { self.at.sweep.min(step.now) };
        }
    }

    fn handle_pong(&mut self, step: &mut Step, from: SocketAddr, pong: &Pong) {
        if !self.pings.receive(&mut self.rng, step.now, pong, from) {
            return step.count(Reason::UnexpectedPong);
        }
        self.admit_unverified(step, (pong.from, from));
        if !self.active_set.contains(&pong.from) {
            self.rotate_soon(step.now);
        }
    }

    /// The address has answered: its contact info may enter, if it still could.
    pub(super) fn admit_unverified(&mut self, step: &mut Step, node: (Pubkey, SocketAddr)) {
        let Some(value) = self.unverified.remove(&node) else { return };
        let Some(info) = value.contact_info() else { return };
        let age = step.wall.0.saturating_sub(info.wallclock.0);
        let left = self.former.get(&info.pubkey).is_some_and(|outset| info.outset <= *outset);
        let ours = info.shred_version == self.me.shred_version && info.pubkey != self.me.pubkey;
        if age <= self.timeout_ms(&info.pubkey) && ours && !left {
            self.accept_contact(step, value);
        }
    }

    pub(super) fn push_by(&mut self, at: Tick) {
        self.at.push = Some(self.at.push.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn rotate_soon(&mut self, now: Tick) {
        let at = now + ROTATE_AFTER;
        self.at.rotate = Some(self.at.rotate.map_or(at, |earlier| earlier.min(at)));
    }
}

/// More than a new wall clock.
fn is_news(new: &ContactInfo, old: &ContactInfo) -> bool {
    let mut old = old.clone();
    old.wallclock = new.wallclock;
    *new != old
}

/// Nodes come in groups: one rotation takes them all.
const ROTATE_AFTER: Duration = Duration::from_millis(100);
const TELL_ELSEWHERE_EVERY: Duration = Duration::from_secs(1);
const SWEEP_AGAIN_AFTER: Duration = Duration::from_secs(1);
const UNVERIFIED_MAX: usize = 1_024;
const GREETINGS_MAX: usize = 256;
