//! The shell of automatic failover: beats while we own the identity, watches the owner while we do not, says to the other
//! machines that we are here. The judgement is `tandem_role::auto`'s.

use {
    super::RoleStage,
    crate::{
        exit::Failure,
        status::FailoverStatus,
        topology::{FailoverInput, RoleInput},
    },
    crossbeam_channel::{Sender, bounded},
    std::{thread, time::Duration},
    tandem_env::{Tx, wall_clock},
    tandem_etcd::EtcdKv,
    tandem_role::{
        Keys,
        auto::{AutoConfig, Heart, Standing, Verdict, Watchdog},
        event::{Candidate, Event, OwnerSign, RoleState},
        hints::{HoldRecord, PresenceRecord},
    },
    tandem_tower_storage::{Beater, SignOfLife, Skipped, announce, look},
    tandem_types::{InstanceId, Slot, Tick},
};

/// What the stage needs for it. Nothing with the file store, or without an identity to be owner of.
pub struct AutoSetup {
    pub kv: EtcdKv,
    pub keys: Keys,
    pub instance: InstanceId,
    pub host: String,
    /// `--failover auto`.
    pub config: Option<AutoConfig>,
}

#[derive(Default)]
pub(super) struct Auto {
    host: String,
    config: Option<AutoConfig>,
    watchdog: Option<Watchdog>,
    hold: Option<HoldRecord>,
    /// The newest beat that the watch has seen, and when.
    beat: Option<(Tick, OwnerSign)>,
    heart: Option<Heart>,
    presence_at: Tick,
    presence_as: Option<RoleState>,
    errands: Option<Sender<Errand>>,
}

enum Errand {
    Beat { beater: Beater, sign: SignOfLife },
    Announce(Box<PresenceRecord>),
    Look { asked: Tick },
}

/// How often a machine says that it is there; its lease outlives two of these.
const PRESENCE_EVERY: Duration = Duration::from_secs(1);
/// An errand that takes longer is worth nothing any more.
const ERRAND_DEADLINE: Duration = Duration::from_millis(400);

/// Many beats long: of what an owner said before that, nothing is known any more.
const BEAT_FRESH: Duration = Duration::from_secs(2);

impl Auto {
    pub(super) fn new(setup: Option<AutoSetup>, role: Tx<RoleInput>) -> Self {
        let Some(setup) = setup else { return Self::default() };
        let AutoSetup { kv, keys, instance, host, config } = setup;
        let (errands, inbox) = bounded(4);
        let run = move || {
            let mut kv = kv;
            for errand in inbox {
                let input = match errand {
                    Errand::Beat { beater, sign } => match beater.beat(&mut kv, ERRAND_DEADLINE, sign, wall_clock()) {
                        Err(Skipped::Fenced { by }) => FailoverInput::BeatFenced { term: beater.term(), by },
                        Ok(()) | Err(Skipped::NoAnswer { .. }) => continue,
                    },
                    Errand::Announce(presence) => {
                        // The next one comes in a second.
                        let _ = announce(&mut kv, &keys, instance, &presence, ERRAND_DEADLINE);
                        continue;
                    }
                    Errand::Look { asked } => {
                        FailoverInput::Looked { asked, pulse: look(&mut kv, &keys, ERRAND_DEADLINE).map(Box::new) }
                    }
                };
                if role.send(RoleInput::Failover(input)).is_err() {
                    return;
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("heart".into()).spawn(run) {
            tracing::error!("no heartbeat and no automatic failover: starting their thread: {error}");
            return Self::default();
        }
        Self { host, config, errands: Some(errands), ..Self::default() }
    }

    /// False: the thread has not finished the ones before.
    fn send(&self, errand: Errand) -> bool {
        self.errands.as_ref().is_some_and(|errands| errands.try_send(errand).is_ok())
    }

    /// What an owner said of itself just now.
    pub(super) fn owner_sign(&self, now: Tick) -> Option<OwnerSign> {
        self.beat.filter(|(at, _)| now.since(*at) < BEAT_FRESH).map(|(_, sign)| sign)
    }

    fn held(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.holds(wall_clock()))
    }
}

impl RoleStage {
    pub(super) fn failover_input(&mut self, now: Tick, input: FailoverInput) -> Result<(), Failure> {
        match input {
            FailoverInput::Sign(revision) => {
                if let Some(dog) = &mut self.auto.watchdog {
                    dog.sign(now, revision);
                }
            }
            FailoverInput::Beat(sign) => self.auto.beat = Some((now, sign)),
            FailoverInput::Owner { term, released, revision } => {
                if let Some(dog) = &mut self.auto.watchdog {
                    dog.owner_is(now, term, released, revision);
                }
            }
            FailoverInput::Hold(hold) => self.auto.hold = Some(*hold),
            FailoverInput::Looked { asked, pulse } => match (&mut self.auto.watchdog, pulse) {
                (Some(dog), Some(pulse)) => {
                    dog.looked(asked, now, &pulse);
                    self.auto.hold = pulse.hold.map(|hold| hold.value);
                }
                (Some(dog), None) => dog.look_failed(),
                (None, _) => {}
            },
            // A beat of an earlier term of ours proves nothing about this one.
            FailoverInput::BeatFenced { term, by } if self.machine.term() == Some(term) => {
                return self.handle(now, Event::RecordFenced { by });
            }
            FailoverInput::BeatFenced { .. } => {}
        }
        Ok(())
    }

    /// Once in every step of the stage.
    pub(super) fn auto_step(&mut self, now: Tick) -> Result<(), Failure> {
        if self.auto.errands.is_none() {
            return Ok(());
        }
        let status = self.chain.last();
        self.beat(now, status.tip);
        let role = self.machine.role();
        if now >= self.auto.presence_at || self.auto.presence_as != Some(role) {
            self.auto.presence_as = Some(role);
            self.auto.presence_at = now + PRESENCE_EVERY;
            let presence = Box::new(self.presence(now));
            self.auto.send(Errand::Announce(presence));
        }
        let Some(config) = self.auto.config.clone() else { return Ok(()) };
        let held = self.auto.held();
        let dog = self.auto.watchdog.get_or_insert_with(|| Watchdog::new(config, now));
        dog.hold(held);
        dog.chain(now, status.tip, status.own_vote_on_chain.max(status.own_vote_in_gossip));
        if !self.machine.is_standing_by() {
            return Ok(());
        }
        let mut looked = true;
        if dog.look_due(now) {
            looked = self.auto.send(Errand::Look { asked: now });
        }
        let Some(dog) = &mut self.auto.watchdog else { return Ok(()) };
        if !looked {
            dog.look_failed();
        }
        // What else may stand against it takes longer to find out.
        let able = Standing { standing_by: true, objection: None };
        if !matches!(dog.verdict(now, &able), Verdict::Promote(_)) {
            return Ok(());
        }
        let (standing, candidate) = self.standing();
        let Some(dog) = &mut self.auto.watchdog else { return Ok(()) };
        let Some(term) = dog.decide(now, &standing) else { return Ok(()) };
        tracing::warn!("automatic failover: the owner of term {term} is dead ({}): claiming", dog.evidence(now));
        self.stopwatch.begin();
        self.handle(now, Event::Promote { term, candidate })
    }

    fn beat(&mut self, now: Tick, tip: Slot) {
        let Some(claim) = self.claim.as_ref().filter(|claim| self.machine.term() == Some(claim.term)) else {
            self.auto.heart = None;
            return;
        };
        let heart = self.auto.heart.get_or_insert_with(|| Heart::new(now));
        if let Some(beat) = heart.beat(now, tip) {
            let beater = claim.beater.clone();
            let may_vote = self.machine.may_vote(now);
            let finalizes = self.chain.last().root_advancing;
            self.auto.send(Errand::Beat { beater, sign: SignOfLife { beat, tip, may_vote, finalizes } });
        }
    }

    fn standing(&self) -> (Standing, Candidate) {
        let candidate = self.chain.candidate(&self.shared, None);
        let objection = self.machine.objection_to_itself(&candidate);
        (Standing { standing_by: self.machine.is_standing_by(), objection }, candidate)
    }

    pub(super) fn failover_status(&self, now: Tick) -> FailoverStatus {
        let Some(dog) = &self.auto.watchdog else { return FailoverStatus::default() };
        let (standing, _) = self.standing();
        FailoverStatus {
            auto: true,
            outlook: Some(dog.explain(now, &standing)),
            promotions_left: Some(dog.promotions_left(now)),
            owner_silent_ms: dog.silent_for().map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn presence(&self, now: Tick) -> PresenceRecord {
        let status = self.shared.views.status.load();
        PresenceRecord {
            host: self.auto.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: self.machine.role().to_string(),
            identity: self.shared.views.vault.node().pubkey().to_string(),
            tip: status.tip,
            caught_up: status.caught_up,
            auto: self.failover_status(now).outlook,
            at: wall_clock(),
        }
    }

    pub(super) fn auto_deadline(&self, now: Tick) -> Option<Tick> {
        self.auto.errands.as_ref()?;
        let heart = self.auto.heart.as_ref().map(Heart::next_deadline);
        let standing_by = self.machine.is_standing_by();
        let dog = self.auto.watchdog.as_ref().filter(|_| standing_by).map(|dog| dog.next_deadline(now));
        [heart, dog, Some(self.auto.presence_at)].into_iter().flatten().min()
    }

    /// Questions of `validator failover` that only this stage can answer.
    pub(super) fn failover_question(&self, question: crate::failover::Question) -> Result<(), Failure> {
        use crate::failover::{Question, report};
        match question {
            Question::Plan { identity, facts, reply } => {
                let candidate = self.chain.candidate(&self.shared, identity.as_ref());
                let identity = identity.or(self.machine.identity()).or(candidate.vote_account_node).unwrap_or_default();
                let plan = self.machine.plan(&identity, &candidate, &facts);
                let mut report = report::PlanReport::of(identity, &plan);
                if self.shared.views.vault.identity() != Some(identity) {
                    report.steps.insert(
                        0,
                        report::Step::note("the identity's key comes with the command: it is not on this node"),
                    );
                }
                // The asker may have gone.
                let _ = reply.send(report);
            }
            Question::Vouch { vouch, reply } => {
                if let Some(term) = self.machine.term() {
                    let refused = Failure::refused(format!(
                        "this node owns the identity (term {term}): there is nothing to recover"
                    ));
                    drop(reply.send(Err(refused.remedy("run it on the machine that stands by"))));
                    return Ok(());
                }
                return self.store(crate::topology::StoreCommand::Vouch { vouch, reply });
            }
            Question::Recovery { reply } => {
                let _ = reply.send(self.machine.recovery());
            }
        }
        Ok(())
    }
}
