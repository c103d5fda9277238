//! Faults, operators, and the end of both.

use {
    crate::{
        fiber::Answer,
        node::{Cut, Host, Life, Spec},
        profile::Fault,
        world::{Event, MS, SECOND, SLOT, Time, What, World},
    },
    std::collections::BTreeSet,
    tandem_role::event::RoleState,
};

impl Host {
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            life: None,
            lives: 0,
            instances: Vec::new(),
            blocks: BTreeSet::new(),
            ledger_root: 0,
            wall_skew_ms: 0,
            stopped_until: None,
            deferred: Vec::new(),
            etcd_cut: None,
            cluster_cut: false,
        }
    }
}

impl World {
    // Processes.

    pub fn boot(&mut self, node: usize) {
        if self.hosts[node].life.is_some() {
            return;
        }
        let salt = self.rng.next();
        let host = &mut self.hosts[node];
        host.lives += 1;
        let (number, root) = (host.lives, host.ledger_root);
        host.life = Some(Life::boot(node, &host.spec, root, &self.chain, self.now, salt));
        let instance = host.life.as_ref().map(|life| life.instance);
        host.instances.extend(instance);
        // What the ledger kept is replayed; the rest comes with the next block.
        let kept: Vec<usize> = host.blocks.iter().copied().filter(|block| *block > root).collect();
        self.note(node, "boots", number);
        self.drive(node, Answer::Go);
        for block in kept {
            self.vote_take(node, crate::wire::VoteInput::Frozen(block));
        }
        self.node_after(100 * MS, node, What::Look);
        if self.hosts[node].spec.auto.is_some() {
            self.node_after(400 * MS, node, What::Beat);
        }
    }

    /// The process is gone; what it had in memory with it. What it sent is on its way.
    pub fn kill(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        host.life = None;
        host.deferred.clear();
        host.stopped_until = None;
    }

    /// The process ended by itself: somebody starts it again, after a while.
    pub fn end(&mut self, node: usize) {
        self.kill(node);
        let span = self.rng.between(500 * MS, 5 * SECOND);
        self.after(span, Event::Boot { node });
    }

    fn crash(&mut self, node: usize) {
        if self.hosts[node].life.is_none() {
            return;
        }
        self.count("crashes");
        self.note(node, "crash", 0);
        self.end(node);
    }

    fn stop(&mut self, node: usize, span: Time) {
        let host = &mut self.hosts[node];
        if host.life.is_none() || host.stopped_until.is_some() {
            return;
        }
        host.stopped_until = Some(self.now + span);
        self.count("pauses");
        self.note(node, "stopped", span / MS);
        self.after(span, Event::Continue { node });
    }

    pub fn carry_on(&mut self, node: usize) {
        if self.hosts[node].stopped_until.is_none_or(|until| until > self.now) {
            return;
        }
        self.note(node, "continues", 0);
        self.hosts[node].stopped_until = None;
        for event in std::mem::take(&mut self.hosts[node].deferred) {
            self.at(self.now, event);
        }
    }

    /// Between two steps of a process: perhaps it is stopped here, or killed. `Some`: it goes on after so long.
    pub fn sharp(&mut self, node: usize, _name: &'static str) -> Option<Time> {
        if self.healed_at.is_some() || !self.rng.permille(self.profile.sharp) {
            return None;
        }
        self.count("hits between two steps");
        match self.rng.below(10) {
            0..3 if self.profile.has(Fault::Crash) => {
                self.crash(node);
                None
            }
            3..7 if self.profile.has(Fault::Stop) => {
                let span = self.long();
                self.stop(node, span);
                Some(MS)
            }
            _ => Some(self.rng.between(MS, 300 * MS)),
        }
    }

    /// Mostly short, sometimes past a takeover.
    fn long(&mut self) -> Time {
        if self.rng.permille(500) { self.rng.between(20 * MS, SECOND) } else { self.rng.between(SECOND, 9 * SECOND) }
    }

    // Chaos.

    pub fn chaos(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let next = self.rng.between(200 * MS, 2500 * MS);
        self.after(next, Event::Chaos);
        if self.profile.faults.is_empty() {
            return;
        }
        let fault = self.rng.index(self.profile.faults.len());
        let node = self.rng.index(self.hosts.len());
        let span = self.long();
        match self.profile.faults[fault] {
            Fault::Stop => self.stop(node, span),
            Fault::Crash => self.crash(node),
            Fault::CutEtcd => {
                let cut = self.rng.pick(&[Cut::Refused, Cut::RequestsDropped, Cut::RepliesDropped]);
                self.hosts[node].etcd_cut = Some(cut);
                self.count("cuts from etcd");
                self.note(node, "cut from etcd", span / MS);
                self.after(span, Event::EtcdLink { node });
            }
            Fault::CutCluster => {
                self.hosts[node].cluster_cut = true;
                self.count("cuts from the cluster");
                self.after(span, Event::ClusterLink { node });
            }
            Fault::CutGossip => {
                self.gossip_cut = true;
                self.count("cuts between the machines");
                self.after(span, Event::GossipLink);
            }
            Fault::LeaderChange => {
                let away = self.rng.between(200 * MS, 2500 * MS);
                self.no_leader(away);
            }
            Fault::QuorumLoss => {
                let away = self.rng.between(2 * SECOND, 9 * SECOND);
                self.no_leader(away);
            }
            Fault::NoSpace => {
                self.etcd.no_space = true;
                self.count("disk full");
                self.after(span, Event::Space);
            }
            Fault::Storm => {
                self.storm = true;
                self.count("storms");
                self.after(span, Event::Calm);
            }
            Fault::WallJump => {
                self.hosts[node].wall_skew_ms = self.rng.between(0, 7_200_000) as i64 - 3_600_000;
                self.count("wall clock jumps");
            }
            Fault::Compaction => {
                self.count("compactions");
                for node in 0..self.hosts.len() {
                    self.gap(node);
                }
            }
            Fault::Restore => self.begin_restore(),
        }
    }

    fn no_leader(&mut self, away: Time) {
        self.etcd.no_leader_until = self.etcd.no_leader_until.max(self.now + away);
        self.count("etcd without a leader");
    }

    /// A backup is taken now; later the members are stopped for longer than a leader slot, and come back with it.
    fn begin_restore(&mut self) {
        if self.etcd.backup.is_none() && !self.oracle.restored {
            self.etcd.backup = Some(self.etcd.memory.clone());
            let span = self.rng.between(SECOND, 6 * SECOND);
            self.after(span, Event::Backup);
        }
    }

    pub fn backup(&mut self) {
        let Some(backup) = self.etcd.backup.take() else { return };
        if self.healed_at.is_some() {
            return;
        }
        self.no_leader(4 * SLOT);
        let new_id = if self.rng.permille(700) { Some(5000 + self.rng.below(1000)) } else { None };
        self.etcd.restore(backup, new_id);
        self.oracle.forget_store(&self.etcd.memory);
        self.count("restores from a backup");
        self.note(0, "restored", self.etcd.memory.revision);
    }

    // Operators.

    pub fn operator(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let next = self.rng.between(500 * MS, 5 * SECOND);
        self.after(next, Event::Operator);
        let node = self.rng.index(self.hosts.len());
        let require_tower = self.rng.permille(150);
        let contested = What::SetIdentity { contested: true, require_tower };
        match self.rng.below(100) {
            0..55 => self.node_after(0, node, contested),
            55..75 => {
                // Two at once.
                let other = (node + 1) % self.hosts.len();
                self.node_after(0, node, contested);
                let delay = self.rng.below(30 * MS);
                self.node_after(delay, other, What::SetIdentity { contested: true, require_tower: false });
            }
            75..87 => self.node_after(0, node, What::SetIdentity { contested: false, require_tower: false }),
            87..94 => self.node_after(0, node, What::Shutdown),
            _ => {}
        }
    }

    // The end: no faults any more, and then somebody must be voting before long.

    pub fn heal(&mut self) {
        self.healed_at = Some(self.now);
        self.note(0, "healed", 0);
        self.etcd.no_leader_until = self.now;
        self.etcd.no_space = false;
        (self.storm, self.gossip_cut) = (false, false);
        for node in 0..self.hosts.len() {
            let host = &mut self.hosts[node];
            (host.etcd_cut, host.cluster_cut) = (None, false);
            if host.stopped_until.is_some() {
                host.stopped_until = Some(self.now);
                self.carry_on(node);
            }
            if self.hosts[node].life.is_none() {
                self.after(SECOND, Event::Boot { node });
            }
            self.gap(node);
        }
        self.votes_at_heal = self.oracle.released_votes();
        self.after(2 * SECOND, Event::Monitor);
    }

    pub fn monitor(&mut self) {
        self.after(SECOND, Event::Monitor);
        let since = self.now - self.healed_at.unwrap_or(self.now);
        let active = |host: &Host| host.life.as_ref().is_some_and(|life| life.machine.role() == RoleState::Active);
        // Where the others change forks at once, our own lockouts may rightly hold us back for long.
        let voting = self.profile.lawless || self.oracle.released_votes() >= self.votes_at_heal + 3;
        let owner = self.oracle.owner();
        let impostor = |host: &Host| active(host) && host.life.as_ref().map(|life| life.instance) != owner;
        if voting && self.hosts.iter().any(active) && !self.hosts.iter().any(impostor) {
            self.count("live after the faults");
            self.done = true;
            return;
        }
        let idle_owner = |host: &Host| {
            let stopped = |life: &crate::node::Life| life.voter.view().role == tandem_vote::RoleView::Quarantined;
            active(host) && host.life.as_ref().is_some_and(stopped)
        };
        if since > 4 * SECOND && self.hosts.iter().any(idle_owner) {
            self.oracle.violate("liveness", "an owner stays active though its voter has stopped for good".into());
            return;
        }
        // A node whose store was restored, or that doubts it, waits for a person: liveness is not promised there.
        let doubts = |host: &Host| host.life.as_ref().is_some_and(|life| life.seen.quarantined);
        let has_cause = self.oracle.restored || (self.profile.stale_reads && self.hosts.iter().any(doubts));
        if since > 4 * SECOND && has_cause {
            self.count("waits for a person");
            self.done = true;
            return;
        }
        if since >= LIVE_WITHIN {
            let roles: Vec<String> = self.hosts.iter().map(describe).collect();
            self.oracle.violate(
                "liveness",
                format!("nobody votes {} s after the faults: {}", since / SECOND, roles.join("; ")),
            );
            return;
        }
        // Monitoring asks one machine after the other, while none of them is on its way.
        let idle = |host: &Host| host.life.as_ref().is_none_or(|life| life.machine.role() == RoleState::Standby);
        if since >= 6 * SECOND && self.hosts.iter().all(idle) && (since / SECOND).is_multiple_of(3) {
            let node = (since / SECOND / 3) as usize % self.hosts.len();
            self.node_after(0, node, What::SetIdentity { contested: true, require_tower: false });
        }
    }
}

fn describe(host: &Host) -> String {
    match &host.life {
        None => format!("{} is down", host.spec.config.host),
        Some(life) => format!(
            "{} {} {:?} {:?} {:?}",
            host.spec.config.host,
            life.machine.role(),
            life.fiber,
            life.voter.view().role,
            life.last_look
        ),
    }
}

/// The longest waits in it: a tower taken from the chain is held for 64 slots, 26 s, after the claim; who still cannot vote 30 s later,
/// because the cluster roots nothing yet, gives the identity back, and the next claim begins its hold anew (seed 715).
pub const LIVE_WITHIN: Time = 150 * SECOND;
