//! The gossip stage: the shell of `tandem_gossip::Gossip`. Packets and our own records come in; packets, contacts and the votes of
//! others go out.

use {
    super::{
        observe::{note_own_vote, seen_vote},
        signer::NodeSigner,
    },
    crate::{
        exit::Failure,
        stage::{Progress, Stage},
        topology::{GossipCommand, RoleInput, Shared, VoteInput},
    },
    rayon::prelude::*,
    std::{net::SocketAddr, sync::Arc, time::Duration},
    tandem_entry::verify_signatures,
    tandem_env::{Rx, wall_clock},
    tandem_gossip::{Effect, Event, Gossip, GossipVote, Publication},
    tandem_net::{Packet, UdpPort},
    tandem_shred::Shred,
    tandem_types::{Epoch, Pubkey, Slot, Tick, UnixMillis},
    tandem_wire::{contact_info::ContactInfo, duplicate_shred::DuplicateProof},
};

pub struct GossipStage {
    shared: Shared,
    packets: Rx<Packet>,
    commands: Rx<GossipCommand>,
    port: UdpPort,
    gossip: Gossip,
    signer: NodeSigner,
    effects: Vec<Effect>,
    next_look: Tick,
    looks: u64,
    /// The stakes the machine knows are those of this epoch.
    epoch: Option<Epoch>,
    /// Complete slots up to this one were published.
    published: Slot,
}

impl GossipStage {
    pub fn new(
        shared: Shared,
        packets: Rx<Packet>,
        commands: Rx<GossipCommand>,
        port: UdpPort,
        gossip: Gossip,
    ) -> Self {
        let signer = NodeSigner::of(&shared.views.vault);
        Self {
            shared,
            packets,
            commands,
            port,
            gossip,
            signer,
            effects: Vec::new(),
            next_look: Tick::ZERO,
            looks: 0,
            epoch: None,
            published: 0,
        }
    }

    fn handle(&mut self, now: Tick, wall: UnixMillis, event: Event) {
        self.gossip.handle(now, wall, event, &self.signer, &mut self.effects);
    }

    fn command(&mut self, now: Tick, wall: UnixMillis, command: GossipCommand) {
        let event = match command {
            GossipCommand::SetIdentity(contact) => {
                // The new name has published nothing yet.
                self.published = 0;
                Event::SetIdentity { contact }
            }
            GossipCommand::PublishVote { slot, transaction } => Event::PublishVote { slot, transaction },
            GossipCommand::Publish(publication) => Event::Publish(publication),
        };
        self.handle(now, wall, event);
    }

    /// Once a second: what the machine has to know of the chain, and what of the machine others want to know.
    fn look(&mut self, now: Tick, wall: UnixMillis) {
        let bank = self.shared.views.chain.load().processed.clone();
        if self.epoch != Some(bank.epoch())
            && let Some(stakes) = bank.epoch_stakes(bank.epoch())
        {
            self.epoch = Some(bank.epoch());
            let stakes = stakes.staked_nodes().iter().map(|(node, stake)| (*node, *stake)).collect();
            self.handle(now, wall, Event::Stakes(Arc::new(stakes)));
        }
        if self.looks.is_multiple_of(2) {
            let mut complete = Vec::new();
            let mut next = Some(bank);
            while let Some(bank) = next.filter(|bank| bank.slot() > self.published && complete.len() < SLOTS_A_TIME) {
                complete.push(bank.slot());
                next = bank.parent();
            }
            complete.reverse();
            if let Some(last) = complete.last() {
                self.published = *last;
                self.handle(now, wall, Event::Publish(Publication::EpochSlots(complete)));
            }
            if let Some(lowest) = self.shared.views.ledger.lowest_slot() {
                self.handle(now, wall, Event::Publish(Publication::LowestSlot(lowest)));
            }
        }
        self.looks += 1;
        self.publish_contacts();
    }

    /// Readers rebuild what they derive from the contacts when the list is replaced, so it is replaced only if it changed.
    fn publish_contacts(&self) {
        let views = &self.shared.views;
        let peers: Vec<ContactInfo> = self.gossip.peers().cloned().collect();
        let known = views.peers.load();
        if known.len() != peers.len() || !known.iter().zip(&peers).all(|(known, peer)| is_same(known, peer)) {
            views.peers.store(Arc::new(peers));
        }
        if !is_same(&views.contact.load(), self.gossip.me()) {
            views.contact.store(Arc::new(self.gossip.me().clone()));
        }
    }

    fn perform(&mut self) -> Result<(), Failure> {
        let mut out: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let counters = &self.shared.views.counters;
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send { to, bytes } => out.push((to, bytes)),
                Effect::Votes(votes) => self.votes(votes),
                Effect::ContactsChanged => self.publish_contacts(),
                Effect::DuplicateProof { slot, proof, .. } => self.duplicate(slot, &proof)?,
                Effect::IdentityElsewhere { contact, alive, .. } => {
                    tracing::warn!(identity = %contact.pubkey, alive, gossip = ?contact.gossip(), "our identity is in gossip from elsewhere");
                    self.shared.writers.role.send(RoleInput::SeenElsewhere { alive }).map_err(stopping)?;
                }
                Effect::ShredVersionLearned(version) => {
                    tracing::warn!(
                        version,
                        ours = self.shared.views.shred_version,
                        "an entrypoint told a shred version"
                    );
                }
                Effect::Counted(reason) => {
                    tracing::trace!(reason = reason.label(), "gossip dropped something");
                    counters.add("gossip_dropped", 1);
                }
            }
        }
        let datagrams: Vec<(SocketAddr, &[u8])> = out.iter().map(|(to, bytes)| (*to, bytes.as_slice())).collect();
        let sent = self.port.send_many(&datagrams);
        counters.add("gossip_packets_sent", sent.packets as u64);
        counters.add("gossip_packets_failed", sent.failed as u64);
        Ok(())
    }

    fn votes(&self, votes: Vec<GossipVote>) {
        let views = &self.shared.views;
        let bank = views.chain.load().processed.clone();
        views.counters.add("gossip_votes", votes.len() as u64);
        let seen: Vec<_> = votes
            .par_iter()
            .filter(|vote| verify_signatures(&vote.transaction).is_ok())
            .filter_map(|vote| {
                let seen = seen_vote(&bank, &vote.transaction)?;
                note_own_vote(&self.shared, &seen, &vote.transaction);
                Some(seen)
            })
            .collect();
        views.saw_votes(self.shared.clock.now(), &bank, &seen);
        if !seen.is_empty() {
            self.shared.writers.vote.offer(VoteInput::SeenVotes(seen));
        }
    }

    fn duplicate(&self, slot: Slot, proof: &DuplicateProof) -> Result<(), Failure> {
        let views = &self.shared.views;
        let leader = views.chain.load().processed.leader_at(slot).map(|leader| leader.identity);
        if leader.is_some_and(|leader| proves(proof, slot, views.shred_version, &leader)) {
            views.counters.add("duplicate_proofs_seen", 1);
            return self.shared.writers.vote.send(VoteInput::DuplicateSlot(slot)).map_err(stopping);
        }
        views.counters.add("duplicate_proofs_refused", 1);
        Ok(())
    }
}

impl Stage for GossipStage {
    fn step(&mut self, now: Tick) -> Result<Progress, Failure> {
        let wall = wall_clock();
        self.signer = NodeSigner::of(&self.shared.views.vault);
        let mut taken = 0;
        while let Some(command) = self.commands.pop() {
            self.command(now, wall, command);
            taken += 1;
        }
        for _ in 0..PACKETS_A_STEP {
            let Some(Packet { from, bytes }) = self.packets.pop() else { break };
            self.handle(now, wall, Event::Packet { from, bytes });
            taken += 1;
        }
        if self.gossip.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.handle(now, wall, Event::Timer);
        }
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            self.look(now, wall);
        }
        self.perform()?;
        if taken > 0 {
            return Ok(Progress::Busy);
        }
        Ok(Progress::Idle(self.gossip.next_deadline().into_iter().chain([self.next_look]).min()))
    }
}

/// Whether two shreds prove that the leader made two blocks (gossip/src/duplicate_shred.rs: check_shreds, v4.2).
pub(super) fn proves(proof: &DuplicateProof, slot: Slot, version: u16, leader: &Pubkey) -> bool {
    let (Ok(one), Ok(two)) = (Shred::parse_slice(&proof.shred1), Shred::parse_slice(&proof.shred2)) else {
        return false;
    };
    let genuine = |shred: &Shred| shred.slot() == slot && shred.version() == version && shred.verify(leader);
    if !genuine(&one) || !genuine(&two) {
        return false;
    }
    if one.fec_set_index() == two.fec_set_index() && one.merkle_root() != two.merkle_root() {
        return true;
    }
    if one.kind() != two.kind() {
        return false;
    }
    if one.index() == two.index() {
        return one.conflicts_with(&two);
    }
    let beyond = |last: &Shred, other: &Shred| last.last_in_slot() && other.index() > last.index();
    one.is_data() && (beyond(&one, &two) || beyond(&two, &one))
}

/// But for the time it was last renewed.
fn is_same(one: &ContactInfo, two: &ContactInfo) -> bool {
    one.pubkey == two.pubkey
        && one.outset == two.outset
        && one.shred_version == two.shred_version
        && one.version == two.version
        && one.sockets().eq(two.sockets())
}

fn stopping(_: tandem_env::Closed) -> Failure {
    Failure::failed("a stage has stopped")
}

const PACKETS_A_STEP: usize = 256;
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Complete slots published in one go; older ones are of no use to anybody's repair.
const SLOTS_A_TIME: usize = 4_096;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::stages::testing::{leader, world},
        tandem_types::{Keypair, Signer},
    };

    #[test]
    fn only_two_versions_signed_by_the_leader_prove_anything() {
        let (world, _, _) = world();
        let block = world.block(1);
        let entries = world.entries(&world.root, 1);
        let other = world.shred(1, 0, world.root_id(), &entries[..2], true);
        let longer = world.shred(1, 0, world.root_id(), &vec![entries.clone(); 200].concat(), true);
        let version = world.genesis.shred_version;
        let proof = |one: &Shred, two: &Shred| DuplicateProof {
            shred1: one.payload().to_vec(),
            shred2: two.payload().to_vec(),
        };
        let holds = |one: &Shred, two: &Shred| proves(&proof(one, two), 1, version, &leader().pubkey());
        let (first, last) = (&block.data[0], &block.data[31]);
        assert!(holds(first, &other.data[0]), "two roots of a set");
        assert!(holds(first, &other.code[5]));
        assert!(longer.data.len() > 32, "the next check is about a second set");
        assert!(holds(last, &longer.data[40]) && holds(&longer.data[40], last), "a shred behind the last");
        assert!(!holds(first, first));
        assert!(!holds(first, &block.data[1]) && !holds(first, &block.code[0]), "one version");
        assert!(!holds(&longer.data[0], &longer.data[40]));
        let honest = proof(first, &other.data[0]);
        assert!(!proves(&honest, 2, version, &leader().pubkey()), "of another slot");
        assert!(!proves(&honest, 1, version + 1, &leader().pubkey()), "of another cluster");
        assert!(!proves(&honest, 1, version, &Keypair::new_from_array([1; 32]).pubkey()), "of another leader");
        let junk = DuplicateProof { shred1: vec![1; 1203], ..honest };
        assert!(!proves(&junk, 1, version, &leader().pubkey()));
    }
}
