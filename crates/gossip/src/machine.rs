//! The machine: its state, its one entrance, and what can be read from it.
//!
//! `impl Gossip` is spread over files by what starts the work: a packet (`receive`, and `serve` for pull requests),
//! the clock (`tick`), or our own node (`originate`).

mod originate;
mod receive;
mod serve;
#[cfg(test)]
mod tests;
mod tick;

use {
    crate::{
        Config, Effect, Event, Reason, Signer,
        active_set::ActiveSet,
        addresses::is_sendable,
        budget::{ScanBudget, SendBudget},
        config::ACTIVE_MS,
        ping_cache::PingCache,
        proofs::Proofs,
        received::Received,
        table::{Entry, Table},
        verified::Verified,
    },
    rand::SeedableRng,
    rand_chacha::ChaChaRng,
    std::{
        collections::{BTreeMap, HashMap, VecDeque},
        net::SocketAddr,
        sync::Arc,
    },
    tandem_types::{Pubkey, Signature, Slot, Tick, UnixMillis},
    tandem_wire::{
        contact_info::ContactInfo,
        crds::{CrdsData, CrdsValue, Kind, Label},
        gossip::Protocol,
        ping::Ping,
    },
};

pub struct Gossip {
    config: Config,
    me: ContactInfo,
    /// Identities we had before, and the instance as which we had them: their old records are not news.
    former: BTreeMap<Pubkey, u64>,
    stakes: Arc<HashMap<Pubkey, u64>>,
    any_stake: bool,
    rng: ChaChaRng,
    table: Table,
    pings: PingCache,
    verified: Verified,
    /// Contact infos whose address has yet to answer our ping.
    unverified: BTreeMap<(Pubkey, SocketAddr), Arc<CrdsValue>>,
    active_set: ActiveSet,
    received: Received,
    proofs: Proofs,
    send_budget: SendBudget,
    scan_budget: ScanBudget,
    /// Slots of the epoch-slots record being filled, and its index.
    epoch_slots: (u8, Vec<Slot>),
    /// Everything that arrived before has been pushed.
    pushed_until: u64,
    /// Parts of the hash space still to be asked about in this turn, with the number of mask bits they are cut by.
    parts: (u32, Vec<u64>),
    /// Addresses that get our contact info soon (see `config::GREET_AFTER`).
    greetings: VecDeque<(Tick, SocketAddr)>,
    at: Deadlines,
    elsewhere: Option<Elsewhere>,
    /// The wall clock of the last event, for readers.
    wall: UnixMillis,
}

/// A later instance of our own identity, at another address.
#[derive(Clone, Copy)]
struct Elsewhere {
    outset: u64,
    /// The time of its record when it was first seen.
    first: UnixMillis,
    alive: bool,
    told_at: Tick,
}

/// When each regular duty is due.
struct Deadlines {
    refresh: Tick,
    pull: Tick,
    purge: Tick,
    push: Option<Tick>,
    rotate: Option<Tick>,
    /// When to ask an entrypoint about everything, and when we last did.
    sweep: Tick,
    swept: Option<Tick>,
    entrypoint: Tick,
}

/// What every step works with.
struct Step<'a> {
    now: Tick,
    wall: UnixMillis,
    signer: &'a dyn Signer,
    out: &'a mut Vec<Effect>,
}

impl Gossip {
    /// `contact` is our own, unsigned; its shred version is 0 if the entrypoints shall tell it.
    pub fn new(config: Config, contact: ContactInfo, seed: [u8; 32]) -> Self {
        Self {
            config,
            me: contact,
            former: BTreeMap::new(),
            stakes: Arc::default(),
            any_stake: false,
            rng: ChaChaRng::from_seed(seed),
            table: Table::default(),
            pings: PingCache::default(),
            verified: Verified::default(),
            unverified: BTreeMap::new(),
            active_set: ActiveSet::new(),
            received: Received::default(),
            proofs: Proofs::default(),
            send_budget: SendBudget::new(),
            scan_budget: ScanBudget::default(),
            epoch_slots: (0, Vec::new()),
            pushed_until: 0,
            parts: (0, Vec::new()),
            greetings: VecDeque::new(),
            at: Deadlines {
                refresh: Tick::ZERO,
                pull: Tick::ZERO,
                purge: Tick::ZERO,
                push: None,
                rotate: None,
                // Until then an entrypoint that does not know us has time to ping.
                sweep: Tick::from_millis(1_000),
                swept: None,
                entrypoint: Tick::ZERO,
            },
            elsewhere: None,
            wall: UnixMillis(0),
        }
    }

    /// Handles one event. Never blocks, never fails: what is dropped is an `Effect::Counted`.
    pub fn handle(&mut self, now: Tick, wall: UnixMillis, event: Event, signer: &dyn Signer, out: &mut Vec<Effect>) {
        self.wall = wall;
        let mut step = Step { now, wall, signer, out };
        match event {
            Event::Packet { from, bytes } => self.handle_packet(&mut step, from, &bytes),
            Event::Timer => self.handle_timer(&mut step),
            Event::SetIdentity { contact } => self.handle_identity(&mut step, *contact),
            Event::PublishVote { slot, transaction } => self.handle_vote(&mut step, slot, transaction),
            Event::Publish(publication) => self.handle_publication(&mut step, publication),
            Event::Stakes(stakes) => {
                self.any_stake = stakes.values().any(|stake| *stake > 0);
                self.stakes = stakes;
            }
        }
    }

    pub fn next_deadline(&self) -> Option<Tick> {
        let regular = [self.at.refresh, self.at.pull, self.at.purge];
        let greeting = self.greetings.front().map(|(at, _)| *at);
        regular.into_iter().chain(self.at.push).chain(self.at.rotate).chain(greeting).min()
    }

    /// Ourselves, as we announce it.
    pub fn me(&self) -> &ContactInfo {
        &self.me
    }

    /// The other nodes of our shred version that were heard of within the last minute.
    pub fn peers(&self) -> impl Iterator<Item = &ContactInfo> {
        let cutoff = self.wall.0.saturating_sub(ACTIVE_MS);
        self.others().filter(move |(_, entry)| entry.heard_at.0 >= cutoff).map(|(info, _)| info)
    }

    /// The other nodes of our shred version, also those long silent (staked nodes are kept for an epoch).
    pub fn contacts(&self) -> impl Iterator<Item = &ContactInfo> {
        self.others().map(|(info, _)| info)
    }

    pub fn contact(&self, node: &Pubkey) -> Option<&ContactInfo> {
        self.table.contact(node)
    }

    /// The first slot a node says it can serve.
    pub fn lowest_slot(&self, node: &Pubkey) -> Option<Slot> {
        match self.table.get(&Label { origin: *node, kind: Kind::LowestSlot })?.value.data() {
            CrdsData::LowestSlot(lowest) => Some(lowest.lowest),
            _ => None,
        }
    }

    /// The slots a node says it has, not below `slot_min`; unordered, may repeat.
    pub fn epoch_slots(&self, node: &Pubkey, slot_min: Slot) -> impl Iterator<Item = Slot> {
        self.table.of_origin(node).flat_map(move |(_, entry)| match entry.value.data() {
            CrdsData::EpochSlots(_, slots) => slots.slots(slot_min),
            _ => Vec::new(),
        })
    }

    /// Newest snapshots a node offers: slot and hash of the full one, and of those on top of it.
    pub fn snapshot_hashes(&self, node: &Pubkey) -> Option<&tandem_wire::crds::SnapshotHashes> {
        match self.table.get(&Label { origin: *node, kind: Kind::SnapshotHashes })?.value.data() {
            CrdsData::SnapshotHashes(hashes) => Some(hashes),
            _ => None,
        }
    }

    /// Number of records in the table, for metrics.
    pub fn records(&self) -> usize {
        self.table.len()
    }

    fn others(&self) -> impl Iterator<Item = (&ContactInfo, &Entry)> {
        let version = self.me.shred_version;
        self.table.contacts().filter(move |(info, _)| info.pubkey != self.me.pubkey && info.shred_version == version)
    }

    /// Nodes to gossip with: alive, of our shred version, at an address of their own, and verified.
    /// Those not verified are pinged. Of several at one address the one with most stake counts.
    fn verified_peers(&mut self, step: &mut Step) -> Vec<(Pubkey, SocketAddr, u64)> {
        let allow_private = self.config.allow_private_addresses;
        let mut peers: BTreeMap<SocketAddr, (u64, Pubkey)> = BTreeMap::new();
        for info in self.peers() {
            let Some(addr) = info.gossip().filter(|addr| is_sendable(addr, allow_private)) else { continue };
            let stake = self.stakes.get(&info.pubkey).copied().unwrap_or(0);
            let best = peers.entry(addr).or_insert((stake, info.pubkey));
            *best = (*best).max((stake, info.pubkey));
        }
        // Who has our own address is ourselves under a former name.
        peers.retain(|addr, _| Some(*addr) != self.me.gossip());
        peers
            .into_iter()
            .filter(|(addr, (_, node))| self.is_verified_or_pinged(step, (*node, *addr)))
            .map(|(addr, (stake, node))| (node, addr, stake))
            .collect()
    }

    fn is_verified_or_pinged(&mut self, step: &mut Step, node: (Pubkey, SocketAddr)) -> bool {
        let check = self.pings.check(&mut self.rng, step.now, node);
        if let Some(token) = check.ping
            && let Some(signer) = self.signer(step)
        {
            let ping = Ping::signed(self.me.pubkey, token, |bytes| signer.sign(bytes));
            step.send(node.1, &Protocol::PingMessage(ping));
        }
        check.verified
    }

    /// The signer, if it is ours. While an identity changes hands the shell may hold another key for a moment.
    fn signer<'a>(&self, step: &mut Step<'a>) -> Option<&'a dyn Signer> {
        if step.signer.pubkey() == self.me.pubkey {
            return Some(step.signer);
        }
        step.count(Reason::SignerIsAnother);
        None
    }

    fn signed(&self, step: &mut Step, data: CrdsData) -> Option<Arc<CrdsValue>> {
        let signer = self.signer(step)?;
        Some(Arc::new(CrdsValue::signed(data, |bytes| -> Signature { signer.sign(bytes) })))
    }

    fn is_sendable(&self, addr: &SocketAddr) -> bool {
        is_sendable(addr, self.config.allow_private_addresses)
    }
}

impl Step<'_> {
    fn send(&mut self, to: SocketAddr, message: &Protocol) {
        self.out.push(Effect::Send { to, bytes: message.encode() });
    }

    fn count(&mut self, reason: Reason) {
        self.out.push(Effect::Counted(reason));
    }
}
