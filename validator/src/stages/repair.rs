//! The repair stage: the shell of both repair machines. It looks at the ledger for what is missing, asks, takes the answers to the
//! shred stage, and answers others from the ledger.

mod plan;
#[cfg(test)]
mod tests;

use {
    super::signer::NodeSigner,
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{RepairInput, Shared, ShredInput},
    },
    plan::{Known, Outlook},
    std::{
        collections::{BTreeMap, BTreeSet, HashSet},
        net::SocketAddr,
        sync::{Arc, atomic::Ordering::Relaxed},
        time::Duration,
    },
    tandem_bank::Bank,
    tandem_env::{Rx, wall_clock},
    tandem_ledger::LedgerReader,
    tandem_net::{Packet, UdpPort},
    tandem_repair::{ClientEvent, Effect, RepairClient, RepairPeer, RepairServer, ServerEvent, ShredSource},
    tandem_shred::Shred,
    tandem_types::{Epoch, Pubkey, Slot, Tick, UnixMillis},
    tandem_wire::contact_info::SocketTag,
};

pub struct RepairStage {
    shared: Shared,
    answers: Rx<Packet>,
    requests: Rx<Packet>,
    inbox: Rx<RepairInput>,
    /// Our requests leave here, and their answers come back here.
    client_port: UdpPort,
    /// The announced socket: requests of others.
    server_port: UdpPort,
    client: RepairClient,
    server: RepairServer,
    asked: Vec<Effect>,
    answered: Vec<Effect>,
    /// Slots replay waits for.
    wanted: BTreeSet<Slot>,
    /// Complete slots: what is known of them does not change.
    complete: BTreeMap<Slot, Whole>,
    on_the_way: OnTheWay,
    /// Since when the cluster's tip has been above all the ledger has shreds of.
    behind_since: Option<Tick>,
    next_plan: Tick,
    next_peers: Tick,
    /// What the machines were told: stakes of this epoch, this leader.
    epoch: Option<Epoch>,
    leader: Option<Pubkey>,
}

struct Whole {
    parent: Slot,
    first_shred_at: UnixMillis,
}

/// The links into the stage.
pub struct RepairLinks {
    pub answers: Rx<Packet>,
    pub requests: Rx<Packet>,
    pub inbox: Rx<RepairInput>,
}

pub struct RepairPorts {
    pub client: UdpPort,
    pub server: UdpPort,
}

impl RepairStage {
    pub fn new(shared: Shared, links: RepairLinks, ports: RepairPorts, seeds: [[u8; 32]; 2]) -> Self {
        let [client_seed, server_seed] = seeds;
        Self {
            shared,
            answers: links.answers,
            requests: links.requests,
            inbox: links.inbox,
            client_port: ports.client,
            server_port: ports.server,
            client: RepairClient::new(client_seed),
            server: RepairServer::new(server_seed),
            asked: Vec::new(),
            answered: Vec::new(),
            wanted: BTreeSet::new(),
            complete: BTreeMap::new(),
            on_the_way: OnTheWay::default(),
            behind_since: None,
            next_plan: Tick::ZERO,
            next_peers: Tick::ZERO,
            epoch: None,
            leader: None,
        }
    }

    fn ask(&mut self, now: Tick, wall: UnixMillis, event: ClientEvent, signer: &NodeSigner) {
        self.client.handle(now, wall, event, signer, &mut self.asked);
    }

    fn serve(&mut self, now: Tick, wall: UnixMillis, event: ServerEvent, signer: &NodeSigner) {
        let mut source = Source(&self.shared.views.ledger);
        self.server.handle(now, wall, event, &mut source, signer, &mut self.answered);
    }

    /// Who can be asked, and who may be answered first.
    fn look_at_peers(&mut self, now: Tick, wall: UnixMillis, bank: &Bank, signer: &NodeSigner) {
        let stakes = bank.epoch_stakes(bank.epoch());
        let stake = |node| stakes.as_ref().and_then(|stakes| stakes.staked_nodes().get(node).copied()).unwrap_or(0);
        let leader = self.leader;
        let peers = self.shared.views.peers.load();
        let peers = peers.iter().filter_map(|peer| {
            let addr = peer.socket(SocketTag::ServeRepair)?;
            // Whoever leads now answers a tenth of what it answers at other times.
            let stake = if Some(peer.pubkey) == leader { 0 } else { stake(&peer.pubkey) };
            Some(RepairPeer { pubkey: peer.pubkey, addr, stake, lowest_slot: 0 })
        });
        let peers = peers.collect();
        self.ask(now, wall, ClientEvent::Peers(peers), signer);
        if self.epoch != Some(bank.epoch())
            && let Some(stakes) = &stakes
        {
            self.epoch = Some(bank.epoch());
            let stakes = stakes.staked_nodes().iter().map(|(node, stake)| (*node, *stake)).collect();
            self.serve(now, wall, ServerEvent::Stakes(Arc::new(stakes)), signer);
        }
        self.serve(now, wall, ServerEvent::Leading(leader == Some(signer.pubkey())), signer);
    }

    fn look(&mut self, now: Tick, wall: UnixMillis, signer: &NodeSigner) {
        self.next_plan = now + PLAN_EVERY;
        let views = &self.shared.views;
        let bank = views.chain.load().processed.clone();
        let tip = bank.slot().max(views.cluster_tip.load(Relaxed));
        let leader = bank.leader_at(tip.saturating_add(1)).map(|leader| leader.identity);
        if now >= self.next_peers || leader != self.leader {
            self.next_peers = now + PEERS_EVERY;
            self.leader = leader;
            self.look_at_peers(now, wall, &bank, signer);
        }
        self.plan(now, wall, &bank, signer);
    }

    /// What is missing now.
    fn plan(&mut self, now: Tick, wall: UnixMillis, bank: &Bank, signer: &NodeSigner) {
        let views = &self.shared.views;
        // What the ledger rooted in an earlier life is complete, though replay has yet to get there.
        let root = views.root.load(Relaxed).max(views.ledger.root());
        self.on_the_way.turn(now);
        self.wanted = self.wanted.split_off(&root.saturating_add(1));
        self.complete = self.complete.split_off(&root);
        let mut known = BTreeMap::new();
        let mut holes = 0;
        for slot in views.ledger.slots_from(root).take(SLOTS_MAX) {
            let Some(mut found) = look_at(&views.ledger, slot, wall, &mut self.complete) else { continue };
            if !found.complete && holes < plan::HOLES_MAX {
                found.missing = views.ledger.missing(slot, HOLES_A_SLOT);
                found.missing.retain(|index| !self.on_the_way.contains(slot, *index));
                holes += found.missing.len();
            }
            known.insert(slot, found);
        }
        let tip = views.cluster_tip.load(Relaxed);
        let highest = plan::newest_upto(&known, tip).unwrap_or(root);
        self.behind_since = (tip > highest).then(|| self.behind_since.unwrap_or(now));
        let behind_for = self.behind_since.map_or(Duration::ZERO, |since| now.since(since));
        let outlook = Outlook { root, tip, behind_for, wanted: &self.wanted };
        // Without its leader a shred cannot be verified, and would be asked for again and again.
        let gaps = plan::gaps(&outlook, &known, |slot| bank.leader_at(slot).is_some());
        tracing::trace!(root, tip = outlook.tip, wanted = self.wanted.len(), ?gaps, "repair plan");
        self.wanted.retain(|slot| !known.get(slot).is_some_and(|known| known.complete));
        views.counters.add("repair_plans_with_gaps", u64::from(!gaps.is_empty()));
        self.ask(now, wall, ClientEvent::Missing(gaps), signer);
    }

    fn perform(&mut self) -> Result<(), Failure> {
        let views = &self.shared.views;
        let mut requests: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        for effect in self.asked.drain(..) {
            match effect {
                Effect::Send { to, bytes } => requests.push((to, bytes)),
                Effect::Shred { bytes, .. } => match Shred::parse(bytes) {
                    Ok(shred) => {
                        views.counters.add("repair_shreds", 1);
                        self.on_the_way.insert(shred.slot(), shred.index());
                        self.shared.writers.shreds.send(ShredInput::Repaired(shred)).map_err(stopping)?;
                    }
                    Err(_) => views.counters.add("repair_shreds_malformed", 1),
                },
                Effect::Counted(reason) => {
                    tracing::trace!(reason = reason.label(), "repair answer or request dropped");
                    views.counters.add("repair_dropped", 1);
                }
            }
        }
        let mut answers: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        for effect in self.answered.drain(..) {
            match effect {
                Effect::Send { to, bytes } => answers.push((to, bytes)),
                Effect::Counted(reason) => {
                    tracing::trace!(reason = reason.label(), "repair request refused");
                    views.counters.add("repair_requests_refused", 1);
                }
                Effect::Shred { .. } => unreachable!("the server asks for nothing"),
            }
        }
        views.counters.add("repair_requests_sent", send(&self.client_port, &requests));
        views.counters.add("repair_answers_sent", send(&self.server_port, &answers));
        Ok(())
    }
}

impl Stage for RepairStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let wall = wall_clock();
        let signer = NodeSigner::of(&self.shared.views.vault);
        let mut taken = 0;
        while let Some(RepairInput::Wanted(slot)) = self.inbox.pop() {
            if self.wanted.len() < WANTED_MAX {
                self.wanted.insert(slot);
            }
        }
        for _ in 0..PACKETS_A_STEP {
            let Some(Packet { from, bytes }) = self.answers.pop() else { break };
            self.ask(now, wall, ClientEvent::Packet(tandem_repair::Packet { from, bytes }), &signer);
            taken += 1;
        }
        let requests: Vec<_> = std::iter::from_fn(|| self.requests.pop())
            .take(PACKETS_A_STEP)
            .map(|Packet { from, bytes }| tandem_repair::Packet { from, bytes })
            .collect();
        if !requests.is_empty() {
            taken += requests.len();
            self.serve(now, wall, ServerEvent::Requests(requests), &signer);
        }
        if now >= self.next_plan {
            self.look(now, wall, &signer);
        }
        if self.client.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.ask(now, wall, ClientEvent::Timer, &signer);
        }
        self.perform()?;
        if taken > 0 {
            return Ok(Progress::Busy);
        }
        Ok(Progress::Idle(self.client.next_deadline().into_iter().chain([self.next_plan]).min()))
    }
}

/// Answers that went to the shred stage and may not be in the ledger yet: not to be asked for again. What the ledger did not
/// take after all is asked for when it is forgotten here.
#[derive(Default)]
struct OnTheWay {
    newer: HashSet<(Slot, u32)>,
    older: HashSet<(Slot, u32)>,
    turn_at: Tick,
}

impl OnTheWay {
    fn insert(&mut self, slot: Slot, index: u32) {
        self.newer.insert((slot, index));
    }

    fn contains(&self, slot: Slot, index: u32) -> bool {
        self.newer.contains(&(slot, index)) || self.older.contains(&(slot, index))
    }

    fn turn(&mut self, now: Tick) {
        if now >= self.turn_at || self.newer.len() >= ON_THE_WAY_MAX {
            self.turn_at = now + ON_THE_WAY;
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

/// The ledger as the machine asks it.
struct Source<'a>(&'a LedgerReader);

impl ShredSource for Source<'_> {
    fn shred(&mut self, slot: Slot, index: u64) -> Option<Vec<u8>> {
        let shred = self.0.shred(slot, u32::try_from(index).ok()?)?;
        Some(shred.payload().to_vec())
    }

    fn highest(&mut self, slot: Slot, min_index: u64) -> Option<Vec<u8>> {
        let shred = self.0.highest_shred(slot, u32::try_from(min_index).ok()?)?;
        Some(shred.payload().to_vec())
    }

    fn parent(&mut self, slot: Slot) -> Option<Slot> {
        self.0.slot_meta(slot)?.parent
    }
}

/// All but the holes.
fn look_at(ledger: &LedgerReader, slot: Slot, wall: UnixMillis, complete: &mut BTreeMap<Slot, Whole>) -> Option<Known> {
    let age_of = |at: UnixMillis| Duration::from_millis(wall.0.saturating_sub(at.0));
    let is_complete = ledger.is_complete(slot);
    if is_complete && let Some(whole) = complete.get(&slot) {
        return Some(Known::complete(whole.parent, age_of(whole.first_shred_at)));
    }
    let meta = ledger.slot_meta(slot)?;
    let (parent, age) = (meta.parent?, age_of(meta.first_shred_at));
    if is_complete {
        complete.insert(slot, Whole { parent, first_shred_at: meta.first_shred_at });
        return Some(Known::complete(parent, age));
    }
    complete.remove(&slot);
    // Of a dead block nothing more is wanted; another version of it is when the cluster has agreed on that one (`Dump`).
    if ledger.is_dead(slot) {
        return Some(Known::complete(parent, age));
    }
    // A block in the making here lacks nothing. One that an earlier life of this node left behind does, and is older.
    if ledger.is_own(slot) && age < OWN_BLOCK_AGE {
        return Some(Known::complete(parent, age));
    }
    let last_known = meta.last_index.is_some();
    Some(Known { parent, received: meta.received, missing: Vec::new(), last_known, complete: false, age })
}

fn send(port: &UdpPort, packets: &[(SocketAddr, Vec<u8>)]) -> u64 {
    let datagrams: Vec<(SocketAddr, &[u8])> = packets.iter().map(|(to, bytes)| (*to, bytes.as_slice())).collect();
    port.send_many(&datagrams).packets as u64
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}

const PACKETS_A_STEP: usize = 256;
const PLAN_EVERY: Duration = Duration::from_millis(50);
const PEERS_EVERY: Duration = Duration::from_secs(1);
const WANTED_MAX: usize = 1_024;
const SLOTS_MAX: usize = 4_096;
const HOLES_A_SLOT: usize = 512;
const ON_THE_WAY: Duration = Duration::from_millis(500);
const ON_THE_WAY_MAX: usize = 1 << 15;
const OWN_BLOCK_AGE: Duration = Duration::from_secs(2);
