//! The shells of the role, vote and producer stages, in the order of the product's (`validator/src/stages`): what is
//! decided is decided by the machines.

use {
    crate::{
        chain,
        node::{Producing, identity_key, standby_key},
        wire::{ProducerInput, PromiseInput, RoleInput, StoreCommand, VoteInput},
        world::{Event as WorldEvent, MS, SECOND, SLOT, What, World},
    },
    tandem_identity::SignedVote,
    tandem_role::{
        auto::Standing,
        event::{Candidate, Effect, Event, NodeIdentity, RequestId, RoleState, SetIdentity, TowerSource},
        hints::BeatRecord,
        kv::{KvError, TxnReply, WatchEvent},
        records::{IntentRecord, OwnerRecord, Record},
    },
    tandem_types::{BlockKey, Hash, Signer, Slot, mutant::mutant},
    tandem_vote::{Adopted, DecisionKind, Effect as VoteEffect, Event as VoteEvent, Lockout, Quarantine},
};

impl World {
    // The role stage.

    pub fn role_take(&mut self, node: usize, input: RoleInput) {
        let now = self.now;
        let Some(life) = self.life(node) else { return };
        let event = match input {
            RoleInput::Event(event) => event,
            RoleInput::Claimed(claim) => {
                let facts = claim.facts();
                life.seen.claimed = Some(facts.term);
                life.seen.prepared = false;
                life.claim = Some(*claim);
                Event::ClaimDone(Box::new(facts))
            }
            RoleInput::Prepared { last_vote, last_vote_replayed, free_from } => {
                life.adopted_vote = last_vote;
                life.seen.free_from = free_from;
                Event::TowerAdopted { last_vote: last_vote.map(|block| block.slot), last_vote_replayed, free_from }
            }
            RoleInput::ProducerHalted => Event::LeaderSlotDone,
            RoleInput::Looked { asked, pulse } => {
                let tick = life.tick(now);
                match (&mut life.watchdog, pulse) {
                    (Some(dog), Some(pulse)) => dog.looked(asked, tick, &pulse),
                    (Some(dog), None) => dog.look_failed(),
                    (None, _) => {}
                }
                return;
            }
            // A beat of an earlier term of ours proves nothing about this one.
            RoleInput::BeatFenced { term, by } if life.machine.term() == Some(term) => Event::RecordFenced { by },
            RoleInput::BeatFenced { .. } => return,
            RoleInput::Quarantine { reason } => Event::TowerQuarantined { reason, safe_from: None },
        };
        self.role_handle(node, event);
    }

    pub fn role_handle(&mut self, node: usize, event: Event) {
        let now = self.now;
        if let Event::StoreQuarantined { .. } = &event {
            self.count("quarantines");
            if !self.oracle.restored && !self.profile.stale_reads {
                self.oracle.violate("no false alarm", format!("node {node} doubts a store that is sound: {event:?}"));
            }
            if let Some(life) = self.life(node) {
                life.seen.quarantined = true;
            }
        }
        let mut effects = Vec::new();
        let Some(life) = self.life(node) else { return };
        let tick = life.tick(now);
        life.machine.handle(tick, event, &mut effects);
        // Effects may answer themselves (switching the name): those answers are events of their own.
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                let answer = self.role_perform(node, effect);
                let Some(life) = self.life(node) else { return };
                if let Some(answer) = answer {
                    life.machine.handle(tick, answer, &mut effects);
                }
            }
        }
        self.arm_role(node);
    }

    fn arm_role(&mut self, node: usize) {
        let now = self.now;
        let Some(life) = self.life(node) else { return };
        let Some(deadline) = life.machine.next_deadline() else { return };
        let at = life.time_of(deadline).max(now + MS);
        if life.timers[0].is_none_or(|armed| at < armed) {
            life.timers[0] = Some(at);
            self.node_after(at - now, node, What::RoleTimer);
        }
    }

    pub fn role_timer(&mut self, node: usize) {
        let now = self.now;
        let Some(life) = self.life(node) else { return };
        life.timers[0] = None;
        let tick = life.tick(now);
        if life.machine.next_deadline().is_some_and(|deadline| deadline <= tick) {
            self.role_handle(node, Event::Timer);
        }
        self.arm_role(node);
    }

    fn role_perform(&mut self, node: usize, effect: Effect) -> Option<Event> {
        match effect {
            Effect::OpenStore { identity } => {
                self.store(node, StoreCommand::Open);
                return Some(Event::StoreOpened { identity });
            }
            Effect::ReadStore { read } => self.store(node, StoreCommand::Read { read }),
            Effect::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason } => {
                self.store(node, StoreCommand::WriteIntent { owner_revision, term_seen, from, deadline_ms, reason });
            }
            Effect::Claim { owner_revision, term_seen, previous_host, reason } => {
                let life = self.hosts[node].life.as_mut()?;
                // What the machine was told; what the node learns later is looked at again, before the keys are unlocked.
                let look = life.last_look;
                life.seen.vote_at_claim = look.own_vote_on_chain.max(look.own_vote_in_gossip);
                life.seen.tip_at_claim = look.tip;
                let slot = self.chain.blocks[life.processed].key.slot;
                self.store(node, StoreCommand::Claim { owner_revision, term_seen, previous_host, reason, slot });
            }
            Effect::Adopt { term: _, source } => return self.adopt(node, source),
            Effect::Unlock { term, watermark: _ } => {
                self.check_unlock(node, term);
                let identity = self.identity;
                let life = self.life(node)?;
                let permit = life.vault.unlock(term);
                life.seen.unlocked = true;
                self.store(node, StoreCommand::Resume { permit: permit.clone() });
                self.post(node, What::Vote(VoteInput::Activate));
                self.post(node, What::Producer(ProducerInput::Allow { identity, permit }));
            }
            Effect::HaltLead { abandon } => self.post(node, What::Producer(ProducerInput::Halt { abandon })),
            Effect::HaltVote => {
                self.post(node, What::Vote(VoteInput::StandDown));
                self.store(node, StoreCommand::HaltVotes);
            }
            Effect::Lock => {
                let life = self.life(node)?;
                life.seen.unlocked = false;
                if !mutant("shell: lock does not lock") {
                    life.vault.lock();
                }
            }
            Effect::Release { term: _, reason } => self.store(node, StoreCommand::Release { reason }),
            Effect::SwitchNodeIdentity(to) => {
                self.switch(node, to);
                return Some(Event::NodeIdentitySwitched(to));
            }
            Effect::Reannounce => {}
            Effect::Alarm { .. } => self.count("alarms"),
            Effect::Reply { request, outcome } => {
                let life = self.life(node)?;
                if !life.requests.remove(&request) {
                    self.oracle.violate("one answer", format!("node {node} answered {request:?} twice, or unasked"));
                }
                match outcome {
                    Ok(report) if report.role == RoleState::Active => {
                        let life = self.life(node)?;
                        let no_tower = life.claim.as_ref().is_none_or(|claim| claim.tower.is_none());
                        if life.seen.insists == Some(request) && no_tower {
                            self.oracle.violate(
                                "order",
                                format!("node {node} became active without a tower, which was required"),
                            );
                        }
                        self.check_active(node);
                        self.count("set-identity done");
                    }
                    Ok(_) => self.count("stepped down on request"),
                    Err(_) => self.count("set-identity refused"),
                }
            }
            Effect::Exit { status, reason: _ } => {
                self.note(node, "exit", status.code() as u64);
                self.count("exits");
                if self.hosts[node].life.as_ref().is_some_and(|life| life.vault.is_unlocked()) {
                    self.oracle.violate("locked first", format!("node {node} ended with its keys unlocked"));
                }
                self.end(node);
            }
            Effect::Log(transition) => {
                self.note(node, &transition.to_string(), transition.term.map_or(0, |term| term.0));
                match (transition.from, transition.to) {
                    (RoleState::CaughtUp, RoleState::Active) => self.count("takeovers"),
                    (RoleState::Active, RoleState::Locked) => self.count("stopped at once (fenced, store lost)"),
                    (RoleState::Active, RoleState::HaltLead) => self.count("polite step-downs"),
                    _ => {}
                }
            }
        }
        None
    }

    fn store(&mut self, node: usize, command: StoreCommand) {
        self.post(node, What::Promise(PromiseInput::Store(command)));
    }

    fn adopt(&mut self, node: usize, source: TowerSource) -> Option<Event> {
        let no_tower = |reason: &str| Event::TowerQuarantined { reason: reason.to_owned(), safe_from: None };
        let life = self.hosts[node].life.as_ref()?;
        let claimed = life.claim.as_ref().and_then(|claim| claim.tower.as_ref());
        let source_now = Some(source);
        let adopted = match source {
            TowerSource::Store => match claimed {
                Some(stored) => life.adopted(stored, &self.chain),
                None => return Some(no_tower("the store's tower is gone")),
            },
            TowerSource::Fresh => Adopted::default(),
            TowerSource::Chain => match life.chain_tower(&self.chain) {
                Ok((adopted, promised)) => {
                    self.count("towers from the chain");
                    self.store(node, StoreCommand::AdoptChainTower { tower: promised });
                    adopted
                }
                Err(reason) => return Some(no_tower(&reason)),
            },
        };
        if let Some(life) = self.life(node) {
            life.seen.source = source_now;
        }
        self.post(node, What::Vote(VoteInput::Prepare(Box::new(adopted))));
        None
    }

    fn switch(&mut self, node: usize, to: NodeIdentity) {
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        match to {
            NodeIdentity::Active(identity) => {
                let spoken = life.vault.speak_as_identity(&identity);
                if spoken.is_err() {
                    self.oracle.violate("names", format!("node {node} has no key to speak as the identity"));
                }
            }
            NodeIdentity::Standby | NodeIdentity::StandbyAs(_) => {
                if life.vault.is_unlocked() {
                    self.oracle.violate("locked first", format!("node {node} speaks as another while unlocked"));
                }
                life.vault.speak_as_standby();
            }
        }
    }

    /// Before the keys are unlocked: a claim of this term, a tower that was adopted, and nothing older than was seen (I6).
    fn check_unlock(&mut self, node: usize, term: tandem_types::Term) {
        let Some(life) = self.hosts[node].life.as_ref() else { return };
        let (seen, adopted) = (life.seen, life.adopted_vote.map(|block| block.slot));
        if seen.claimed != Some(term) {
            self.oracle.violate("order", format!("node {node} unlocked {term} and had claimed {:?}", seen.claimed));
        }
        if !seen.prepared || life.prepared.is_none() {
            self.oracle.violate("order", format!("node {node} unlocked before the tower was adopted"));
        }
        if life.vault.node().pubkey() != self.identity {
            self.oracle.violate("names", format!("node {node} unlocked under another name"));
        }
        let look = life.last_look;
        let told = seen.vote_at_claim.max(look.own_vote_on_chain).max(look.own_vote_in_gossip);
        if told > adopted {
            self.oracle.violate("I6", format!("node {node} adopted {adopted:?}, and was told of a vote for {told:?}"));
        }
        let on_block = life.adopted_vote.is_none_or(|block| life.bank_hash(block.slot) == Some(block.hash));
        if !on_block && look.tip < seen.free_from {
            let what = format!("node {node} unlocked at {} without the block of {adopted:?}", look.tip);
            self.oracle.violate("order", what);
        }
        let config = &self.hosts[node].spec.config;
        if look.slots_behind > config.caught_up_slots_max || !look.root_advancing {
            self.oracle.violate("order", format!("node {node} unlocked and had not caught up: {look:?}"));
        }
        let held = seen.tip_at_claim + config.chain_tower_hold_slots;
        if seen.source == Some(TowerSource::Chain) && look.tip < held {
            self.oracle.violate("order", format!("node {node} did not hold the chain's tower: {} < {held}", look.tip));
        }
        if seen.went_back {
            self.oracle.violate("I6", format!("node {node} unlocked on the word of a store that went back"));
        }
    }

    fn check_active(&mut self, node: usize) {
        let unlocked = self.hosts[node].life.as_ref().is_some_and(|life| life.vault.is_unlocked());
        if !unlocked {
            self.oracle.violate("order", format!("node {node} said it was active before it was unlocked"));
        }
    }

    /// What a reply has shown to this process (I6).
    pub fn learn_from(&mut self, node: usize, answer: &Result<TxnReply, KvError>) {
        let tower_key = self.oracle.keys().tower();
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let Ok(reply) = answer else { return };
        if life.seen.errand {
            return;
        }
        let shown = (reply.store_id, reply.revision);
        if let Some((id, revision)) = life.seen.store
            && (id != shown.0 || revision > shown.1)
        {
            life.seen.went_back = true;
        }
        life.seen.store = Some(shown);
        let tower = reply.reads.iter().flatten().find(|entry| entry.key == tower_key);
        if let Some(tower) = tower
            && let Ok(file) = tandem_wire::tower_file::SavedTowerFile::decode(&tower.value)
        {
            life.saw_vote(file.tower.last_vote.last_slot());
        }
    }

    pub fn look(&mut self, node: usize) {
        self.node_after(100 * MS, node, What::Look);
        let now = self.now;
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let status = life.chain_status(now, &self.chain);
        life.last_look = status;
        life.saw_vote(status.own_vote_on_chain);
        self.role_handle(node, Event::Chain(status));
        self.watchdog(node);
    }

    fn watchdog(&mut self, node: usize) {
        let now = self.now;
        let candidate = self.candidate(node);
        let Some(life) = self.life(node) else { return };
        let (tick, status) = (life.tick(now), life.last_look);
        let standing = Standing {
            standing_by: life.machine.is_standing_by(),
            objection: life.machine.objection_to_itself(&candidate),
        };
        let Some(dog) = &mut life.watchdog else { return };
        dog.chain(tick, status.tip, status.own_vote_on_chain.max(status.own_vote_in_gossip));
        if !standing.standing_by {
            return;
        }
        let look = dog.look_due(tick);
        let promote = dog.decide(tick, &standing);
        if look {
            self.post(node, What::Promise(PromiseInput::Look(tick)));
        }
        if let Some(term) = promote {
            self.count("automatic promotions begun");
            self.role_handle(node, Event::Promote { term, candidate });
        }
    }

    fn candidate(&self, node: usize) -> Candidate {
        let held = self.hosts[node].life.as_ref().is_some_and(|life| life.vault.holds_voter(&self.identity));
        Candidate {
            vote_account: Some(chain::vote_account()),
            root: self.hosts[node].life.as_ref().map_or(0, |life| life.root),
            vote_account_node: Some(self.identity),
            node_at_tip: Some(self.identity),
            authorized_voter_held: held,
        }
    }

    pub fn set_identity(&mut self, node: usize, contested: bool, require_tower: bool) {
        let identity = if contested { self.identity } else { standby_key(node).pubkey() };
        if contested && let Some(life) = self.life(node) {
            life.vault.hold_identity(identity_key());
        }
        let candidate = self.candidate(node);
        let Some(life) = self.life(node) else { return };
        life.next_request += 1;
        let request = RequestId(life.next_request);
        life.requests.insert(request);
        if require_tower && life.machine.role() == RoleState::Standby {
            life.seen.insists = Some(request);
        }
        self.note(node, "set-identity", u64::from(contested));
        let wish = SetIdentity { request, identity, require_tower, candidate };
        self.role_handle(node, Event::SetIdentity(wish));
    }

    pub fn watch_event(&mut self, node: usize, event: WatchEvent) {
        let now = self.now;
        let keys = self.oracle.keys();
        let (owner, intent) = (keys.owner(), keys.intent());
        let alive = keys.alive();
        let signs = [keys.alive(), keys.tower(), keys.window()];
        let Some(life) = self.life(node) else { return };
        // A secondary that was not told yet whom it stands by for watches nothing.
        if life.machine.identity().is_none() {
            return;
        }
        let tick = life.tick(now);
        let event = match event {
            WatchEvent::Put(entry) if entry.key == owner => {
                let owner = OwnerRecord::decode(&entry.value).ok();
                if let (Some(dog), Some(owner)) = (&mut life.watchdog, &owner) {
                    dog.owner_is(tick, owner.term, owner.released, entry.mod_revision);
                }
                Event::OwnerChanged(owner.map(Box::new))
            }
            WatchEvent::Put(entry) if entry.key == intent => match IntentRecord::decode(&entry.value) {
                Ok(intent) => Event::IntentSeen(Box::new(intent)),
                Err(_) => return,
            },
            WatchEvent::Put(entry) if signs.contains(&entry.key) => {
                let mute = entry.key == alive && BeatRecord::decode(&entry.value).is_ok_and(|beat| !beat.may_vote);
                if mute {
                    return;
                }
                if let Some(dog) = &mut life.watchdog {
                    dog.sign(tick, entry.mod_revision);
                }
                return;
            }
            WatchEvent::Gap => Event::OwnerChanged(None),
            WatchEvent::Put(_) | WatchEvent::Deleted { .. } => return,
        };
        self.role_handle(node, event);
    }

    pub fn beat(&mut self, node: usize) {
        self.node_after(400 * MS, node, What::Beat);
        let now = self.now;
        let Some(life) = self.life(node) else { return };
        // From the claim on: an owner that waits for its hold to pass must not look dead.
        if life.machine.term().is_some() {
            life.beats += 1;
            let count = life.beats;
            let may_vote = life.machine.may_vote(life.tick(now));
            self.post(node, What::Promise(PromiseInput::Beat { beat: count, may_vote }));
        }
    }

    // The vote stage.

    pub fn vote_take(&mut self, node: usize, input: VoteInput) {
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let event = match input {
            VoteInput::Frozen(block) => {
                let frozen = self.chain.frozen(block, self.identity);
                life.replayed.insert(frozen.key.slot, frozen.key);
                VoteEvent::Frozen(frozen)
            }
            VoteInput::Seen(block) => {
                life.own_vote_seen = life.own_vote_seen.max(block.slot);
                life.saw_vote(Some(block.slot));
                life.cluster_tip = life.cluster_tip.max(block.slot);
                VoteEvent::GossipVote { vote_account: chain::vote_account(), block }
            }
            VoteInput::Recorded(id) => VoteEvent::Recorded { id },
            VoteInput::Refused(id) => VoteEvent::Refused { id },
            VoteInput::Prepare(adopted) => return self.prepare(node, *adopted),
            VoteInput::Activate => match life.prepared.take() {
                Some(adopted) => VoteEvent::Adopt(adopted),
                None => return,
            },
            VoteInput::StandDown => {
                life.prepared = None;
                VoteEvent::StandDown
            }
        };
        self.vote_handle(node, event);
    }

    fn prepare(&mut self, node: usize, adopted: Adopted) {
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let last_vote = adopted.last_vote.map(|last| last.block);
        let last_vote_replayed = last_vote.is_none_or(|block| life.replayed.get(&block.slot) == Some(&block));
        let free_from = life.voter.free_from(&adopted);
        life.prepared = Some(adopted);
        life.seen.prepared = true;
        self.post(node, What::Role(RoleInput::Prepared { last_vote, last_vote_replayed, free_from }));
    }

    fn vote_handle(&mut self, node: usize, event: VoteEvent) {
        let (now, skew) = (self.now, self.hosts[node].wall_skew_ms);
        let mut effects = Vec::new();
        let Some(life) = self.life(node) else { return };
        let at = life.now(now, skew);
        life.voter.handle(at, event, &mut effects);
        for effect in effects {
            self.vote_perform(node, effect);
        }
        self.arm_voter(node);
    }

    fn vote_perform(&mut self, node: usize, effect: VoteEffect) {
        match effect {
            VoteEffect::Decide(decision) => {
                if decision.kind == DecisionKind::Refresh {
                    self.count("refreshes");
                }
                self.count("decisions");
                self.post(node, What::Promise(PromiseInput::Vote(Box::new(decision))));
            }
            VoteEffect::Reset { to } => {
                let found = self.chain.blocks.iter().rposition(|block| block.key == to);
                if let (Some(block), Some(life)) = (found, self.hosts[node].life.as_mut()) {
                    life.processed = block;
                }
            }
            VoteEffect::Root(key) => {
                let found = self.chain.blocks.iter().rposition(|block| block.key == key);
                if let Some(life) = self.hosts[node].life.as_mut() {
                    life.root = key.slot;
                    life.replayed = life.replayed.split_off(&key.slot.saturating_sub(64));
                }
                self.hosts[node].ledger_root = found.unwrap_or(self.hosts[node].ledger_root);
            }
            VoteEffect::Quarantine(quarantine) => {
                self.count("voter quarantined");
                let reason = format!("{quarantine:?}");
                self.note(node, &reason, 0);
                if let Some(life) = self.life(node) {
                    life.seen.quarantined = true;
                }
                let told = match quarantine {
                    Quarantine::ChainAhead { on_chain: slot, .. }
                    | Quarantine::GossipAhead { seen: BlockKey { slot, .. }, .. } => {
                        RoleInput::Event(Event::VoteElsewhere { slot, voter_stopped: true })
                    }
                    Quarantine::Malformed(_) => RoleInput::Quarantine { reason },
                };
                self.post(node, What::Role(told));
            }
            VoteEffect::Held(_) => self.count("votes held"),
            VoteEffect::OptimisticallyConfirmed(_)
            | VoteEffect::DuplicateConfirmed(_)
            | VoteEffect::SupermajorityRoot(_)
            | VoteEffect::Ignored(_) => {}
        }
    }

    fn arm_voter(&mut self, node: usize) {
        let now = self.now;
        let Some(life) = self.life(node) else { return };
        let Some(deadline) = life.voter.next_deadline() else { return };
        let at = life.time_of(deadline);
        // Due, but nothing can be done about it now: not to be asked again at once.
        if at > now && life.timers[1].is_none_or(|armed| at < armed) {
            life.timers[1] = Some(at);
            self.node_after(at - now, node, What::VoteTimer);
        }
    }

    pub fn vote_timer(&mut self, node: usize) {
        if let Some(life) = self.life(node) {
            life.timers[1] = None;
            self.vote_handle(node, VoteEvent::Timer);
        }
    }

    pub fn release_vote(&mut self, node: usize, vote: &SignedVote) {
        let bytes = vote.bytes();
        let Some(parsed) = tandem_witness::Vote::from_transaction(&bytes) else {
            return self.oracle.violate("I1", "a vote that the witness cannot read".into());
        };
        let key = BlockKey::new(parsed.slot, Hash::new_from_array(parsed.hash));
        let Some(life) = self.hosts[node].life.as_ref() else { return };
        self.oracle.vote_released(node, life, parsed.slot, key.hash, vote.term(), bytes);
        self.note(node, "vote", parsed.slot);
        self.count("votes released");
        let lockout = |(slot, count): &(Slot, u32)| Lockout::new_with_confirmation_count(*slot, *count);
        let tower = tandem_vote::TowerState { votes: parsed.lockouts.iter().map(lockout).collect(), root: parsed.root };
        let lost = self.hosts[node].cluster_cut || (self.healed_at.is_none() && self.rng.permille(100));
        if !lost {
            let delay = self.rng.between(30 * MS, 300 * MS);
            self.after(delay, WorldEvent::VoteAtCluster(key, Box::new(tower)));
        }
        self.gossip(Some(node), key);
    }

    /// A block came; what is missing below it is repaired with it.
    pub fn block_arrives(&mut self, node: usize, block: usize) {
        let mut missing = Vec::new();
        let mut at = block;
        while at != 0 && self.hosts[node].blocks.insert(at) {
            missing.push(at);
            at = self.chain.blocks[at].parent;
        }
        let slot = self.chain.blocks[block].key.slot;
        if let Some(life) = self.life(node) {
            life.cluster_tip = life.cluster_tip.max(slot);
        }
        for block in missing.into_iter().rev() {
            self.vote_take(node, VoteInput::Frozen(block));
        }
    }

    // The producer.

    pub fn producer_take(&mut self, node: usize, input: ProducerInput) {
        let Some(life) = self.life(node) else { return };
        let producer = &mut life.producer;
        match input {
            ProducerInput::Claimed(claim) => {
                producer.claims.insert(claim.slot(), claim);
            }
            ProducerInput::Refused => {}
            ProducerInput::Allow { identity, permit } => {
                producer.allowed = Some((identity, permit));
                producer.claims.clear();
                producer.asked.clear();
                producer.halting = false;
            }
            ProducerInput::Halt { abandon } => {
                producer.allowed = None;
                producer.claims.clear();
                let busy = producer.producing.is_some();
                if busy && !abandon {
                    producer.halting = true;
                    return;
                }
                producer.producing = None;
                producer.halting = false;
                self.post(node, What::Role(RoleInput::ProducerHalted));
            }
        }
    }

    /// A little before the slot begins.
    pub fn claim_ahead(&mut self, node: usize, slot: Slot) {
        let Some(life) = self.life(node) else { return };
        if life.producer.allowed.is_some() && life.producer.asked.insert(slot) {
            self.post(node, What::Promise(PromiseInput::ClaimSlot(slot)));
        }
    }

    pub fn lead(&mut self, node: usize, slot: Slot) {
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let parent = life.processed;
        let (Some((_, permit)), Some(claim)) = (&life.producer.allowed, life.producer.claims.remove(&slot)) else {
            return;
        };
        if life.producer.producing.is_some() || self.chain.blocks[parent].key.slot >= slot {
            return;
        }
        match life.vault.block_signer(claim, permit) {
            Ok(signer) => life.producer.producing = Some(Producing { slot, parent, signer }),
            Err(_) => return,
        }
        self.note(node, "leads", slot);
        for set in 0..3u32 {
            self.node_after(10 * MS + u64::from(set) * 180 * MS, node, What::LeadSet { slot, set });
        }
        let next = slot + 1;
        if self.profile.leads(next) {
            self.claim_ahead(node, next);
        }
    }

    pub fn lead_set(&mut self, node: usize, slot: Slot, set: u32) {
        let salt = self.rng.next();
        let now = self.now;
        let Some(life) = self.hosts[node].life.as_mut() else { return };
        let Some(producing) = life.producer.producing.as_mut().filter(|producing| producing.slot == slot) else {
            return;
        };
        // No two blocks have the same content: their signatures tell them apart.
        let mut root = [set as u8; 32];
        root[8..16].copy_from_slice(&salt.to_le_bytes());
        root[16..24].copy_from_slice(&now.to_le_bytes());
        let signed = producing.signer.sign_shred_root(set, &Hash::new_from_array(root));
        let (term, parent) = (producing.signer.term(), producing.parent);
        if signed.is_ok() && !life.vault.is_unlocked() {
            self.oracle.violate("locked first", format!("node {node} signed a block for {slot} with locked keys"));
        }
        let last = set == 2;
        match signed {
            Ok(signature) => {
                let bytes = shred(signature.as_ref(), slot, set, &root);
                if let Some(life) = self.hosts[node].life.as_ref() {
                    self.oracle.shred_released(node, life, slot, term, bytes);
                }
                if last {
                    let mut rng = self.rng.clone();
                    let block = self.chain.add_own(slot, parent, &mut rng);
                    self.rng = rng;
                    if !self.hosts[node].cluster_cut {
                        self.spread(block, Some(node));
                    }
                    self.block_arrives(node, block);
                }
            }
            Err(_) => self.finish_slot(node),
        }
        if last {
            self.finish_slot(node);
        }
    }

    fn finish_slot(&mut self, node: usize) {
        let Some(life) = self.life(node) else { return };
        life.producer.producing = None;
        if std::mem::take(&mut life.producer.halting) {
            self.post(node, What::Role(RoleInput::ProducerHalted));
        }
    }
}

/// As much of a data shred as the witness reads: signature, variant (six proof nodes), slot, index, version, set, and
/// content, from which it finds the root itself.
fn shred(signature: &[u8], slot: Slot, set: u32, content: &[u8; 32]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.push(0x96);
    bytes.extend_from_slice(&slot.to_le_bytes());
    bytes.extend_from_slice(&set.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&set.to_le_bytes());
    bytes.resize(88, 0);
    bytes.extend_from_slice(content);
    bytes.resize(1203, 0);
    bytes
}

/// A slot is over before the next one of ours can be asked for.
const _: () = assert!(370 * MS < SLOT && SLOT < SECOND);
