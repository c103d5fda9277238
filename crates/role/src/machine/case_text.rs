//! Cases as text: one event a line, and after `=>` exactly the effects it must have.

use {
    super::Machine,
    crate::{
        config::{CHAIN_TOWER_HOLD_SLOTS, Config, ConfiguredRole, Failback, OnLoss},
        event::{
            Candidate, ChainStatus, ClaimFacts, Effect, Event, HandoverReport, NodeIdentity, OwnerSign, ReadId,
            RefusedKind, RequestId, SetIdentity, StoreCall, StoreFacts,
        },
        records::{IntentRecord, Nonce, OwnerRecord, Preference},
    },
    std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    },
    tandem_types::{InstanceId, Pubkey, Slot, Term, Tick, UnixMillis},
};

const ME: InstanceId = InstanceId([1; 16]);

fn identity() -> Pubkey {
    Pubkey::new_from_array([7; 32])
}

fn standby() -> Pubkey {
    Pubkey::new_from_array([8; 32])
}

fn other_key() -> Pubkey {
    Pubkey::new_from_array([9; 32])
}

/// Runs a case. Lines: `event words key=value … => effect; effect`. No `=>` means no effects.
pub fn check(case: &str) {
    let mut harness = Harness::default();
    for (number, line) in case.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (event, expected) = line.split_once("=>").unwrap_or((line, ""));
        let effects = harness.step(event.trim());
        assert_eq!(effects, expected.trim(), "line {number}: `{line}`\nmachine: {:#?}", harness.machine);
    }
}

#[derive(Default)]
struct Harness {
    machine: Option<Machine>,
    now: Tick,
    read: ReadId,
    requests: u64,
    opens_by_hand: bool,
    oracle: Oracle,
}

/// What must hold whatever happens.
#[derive(Default)]
struct Oracle {
    unlocked: bool,
    /// Claimed, and not locked since.
    claimed: Option<Term>,
    claim_asked: bool,
    answered: BTreeSet<RequestId>,
    ended: bool,
}

impl Oracle {
    fn judge(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Unlock { term, .. } => {
                    assert!(!self.unlocked && !self.ended, "ORACLE unlocked twice");
                    assert_eq!(self.claimed, Some(*term), "ORACLE unlocked without a claim");
                    self.unlocked = true;
                }
                Effect::Lock => (self.unlocked, self.claimed) = (false, None),
                Effect::Release { .. } => assert!(!self.unlocked, "ORACLE given back before it was locked"),
                Effect::Claim { .. } => {
                    assert!(!self.unlocked, "ORACLE claimed while active");
                    self.claim_asked = true;
                }
                Effect::SwitchNodeIdentity(NodeIdentity::Active(_)) => {}
                Effect::SwitchNodeIdentity(NodeIdentity::Standby | NodeIdentity::StandbyAs(_)) => {
                    assert!(!self.unlocked, "ORACLE another key speaks while this one signs");
                }
                Effect::Exit { .. } => {
                    assert!(!self.unlocked && !self.ended, "ORACLE exit while unlocked, or twice");
                    self.ended = true;
                }
                Effect::Reply { request, outcome } => {
                    let told = outcome.as_ref().err().map(|refused| refused.reason.as_str()).unwrap_or_default();
                    assert!(
                        !told.contains(&u64::MAX.to_string()),
                        "ORACLE a number that means `unknown` is told: {told}"
                    );
                    assert!(self.answered.insert(*request), "ORACLE answered twice");
                }
                Effect::OpenStore { .. } => assert_eq!(self.claimed, None, "ORACLE a store is left while it is owned"),
                Effect::ReadStore { .. }
                | Effect::WriteIntent { .. }
                | Effect::Adopt { .. }
                | Effect::HaltLead { .. }
                | Effect::HaltVote
                | Effect::Reannounce
                | Effect::Alarm { .. }
                | Effect::Log(_) => {}
            }
        }
    }
}

/// Runs lines without expectations, under the oracle alone. Returns whether the node was ever active.
pub fn run(lines: &[&str]) -> bool {
    let mut harness = Harness::default();
    let mut active = false;
    for line in lines {
        // A time is a step here, so that lines can come in any order.
        let stepped = line.strip_prefix("after ").map(|ms| {
            let ms: u64 = ms.parse().expect("milliseconds");
            format!("at {}", harness.now.as_millis() + ms)
        });
        harness.step(stepped.as_deref().unwrap_or(line));
        active |= harness.oracle.unlocked;
    }
    active
}

struct Words<'a> {
    flags: Vec<&'a str>,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(text: &'a str) -> (&'a str, Self) {
        let mut words = text.split_whitespace();
        let name = words.next().expect("a line has a word");
        let (mut flags, mut values) = (Vec::new(), BTreeMap::new());
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => _ = values.insert(key, value),
                None => flags.push(word),
            }
        }
        (name, Self { flags, values })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.values.get(key).filter(|value| **value != "none").map(|value| value.parse().expect("a number"))
    }

    fn owner(&self) -> Option<OwnerRecord> {
        let text = self.values.get("owner").copied().unwrap_or("none");
        if text == "none" {
            return None;
        }
        let mut parts = text.split(':');
        let host = parts.next().expect("an owner has a name");
        let rest: Vec<&str> = parts.collect();
        let instance = match host {
            "me" => ME,
            "alpha" => InstanceId([2; 16]),
            _ => InstanceId([3; 16]),
        };
        Some(OwnerRecord {
            term: Term(self.number("term").unwrap_or(1)),
            instance,
            host: if host == "me" { "alpha".into() } else { host.into() },
            version: String::new(),
            standby_identity: String::new(),
            slot_at_claim: 0,
            released: rest.contains(&"released"),
            lease: None,
            preference: if rest.contains(&"secondary") { Preference::Secondary } else { Preference::Primary },
            claimed_at: UnixMillis(0),
            nonce: Nonce::default(),
            vote_account: None,
            moved_to: None,
        })
    }

    fn facts(&self) -> StoreFacts {
        let tower = self.values.get("tower").copied().unwrap_or("none");
        StoreFacts {
            owner: self.owner(),
            owner_revision: self.number("rev").unwrap_or(0),
            has_tower: tower != "none",
            tower_last_vote: tower.parse().ok(),
            intent: self.number("intent").map(|term| intent(false, 2000, term)),
            accepted: self.has("accepted"),
        }
    }
}

impl Harness {
    fn step(&mut self, line: &str) -> String {
        let (name, words) = Words::of(line);
        if name == "node" {
            self.machine = Some(machine(&words));
            self.opens_by_hand = words.has("opens-by-hand");
            return String::new();
        }
        if name == "report" {
            let machine = self.machine.as_ref().expect("the first line makes the node");
            return machine.last_takeover().map_or("none".into(), report_text);
        }
        if let Some(seen) = self.look(name, &words) {
            return seen;
        }
        let event = self.event(name, &words);
        let mut effects = self.handle(event);
        // Which store is open matters to few cases; in the others it opens by itself.
        while let Some(at) = effects.iter().position(|effect| matches!(effect, Effect::OpenStore { .. })) {
            let Effect::OpenStore { identity } = effects[at] else { break };
            if self.opens_by_hand {
                break;
            }
            self.oracle.judge(&effects[at..=at]);
            effects.remove(at);
            effects.extend(self.handle(Event::StoreOpened { identity }));
        }
        if let Some(Effect::ReadStore { read }) =
            effects.iter().rfind(|effect| matches!(effect, Effect::ReadStore { .. }))
        {
            self.read = *read;
        }
        self.oracle.judge(&effects);
        effects.iter().map(text).collect::<Vec<_>>().join("; ")
    }

    /// Questions that change nothing.
    fn look(&self, name: &str, words: &Words) -> Option<String> {
        let machine = self.machine.as_ref().expect("the first line makes the node");
        match name {
            "plan" => {
                let plan = machine.plan(&identity(), &candidate(words), &words.facts());
                let refused = plan.refused.iter().map(|(kind, _, _)| format!(", refused {kind:?}"));
                Some(format!("{} steps{}", plan.steps.len(), refused.collect::<String>()))
            }
            "recover" => {
                let known = machine.recovery();
                let [seen, chain, gossip, safe] =
                    [known.seen_in_store, known.chain, known.gossip, known.safe_from].map(slot);
                if let Some(slot) = words.number("accept") {
                    return Some(if known.accepts(slot).is_ok() { "accepted".into() } else { "not accepted".into() });
                }
                Some(format!("seen {seen}, chain {chain}, gossip {gossip}, safe from {safe}"))
            }
            _ => None,
        }
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let machine = self.machine.as_mut().expect("the first line makes the node");
        let mut effects = Vec::new();
        machine.handle(self.now, event, &mut effects);
        let deadline = machine.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "a deadline that has passed would spin: {machine:#?}");
        effects
    }

    fn event(&mut self, name: &str, words: &Words) -> Event {
        if name == "claimed" && std::mem::take(&mut self.oracle.claim_asked) {
            self.oracle.claimed = words.number("term").map(Term);
        }
        match name {
            "at" => {
                let ms: u64 = words.flags[0].parse().expect("milliseconds");
                let at = Tick::from_millis(ms);
                assert!(at >= self.now, "time goes on");
                self.now = at;
                Event::Timer
            }
            "chain" => Event::Chain(ChainStatus {
                tip: words.number("tip").unwrap_or(0),
                slots_behind: words.number("behind").unwrap_or(0),
                root_advancing: !words.has("stuck") && !words.has("needs-us"),
                root_needs_us: words.has("needs-us"),
                own_vote_on_chain: words.number("vote"),
                own_vote_in_gossip: words.number("gossip"),
                last_vote_replayed: words.has("replayed"),
                candidate: candidate(words),
                owner: words.number("owner-at").map(|tip| OwnerSign {
                    term: Term(words.number("term").unwrap_or(1)),
                    tip,
                    finalizes: words.has("finalizes"),
                }),
            }),
            "store" => Event::StoreRead { read: self.read, facts: Box::new(words.facts()) },
            "stale-store" => Event::StoreRead { read: ReadId(0), facts: Box::new(words.facts()) },
            "unavailable" => Event::StoreUnavailable { call: StoreCall::Read(self.read), reason: "refused".into() },
            "intent-unavailable" => Event::StoreUnavailable { call: StoreCall::Intent, reason: "refused".into() },
            "claim-unavailable" => Event::StoreUnavailable { call: StoreCall::Claim, reason: "refused".into() },
            "store-quarantined" => Event::StoreQuarantined { reason: "went back in time".into() },
            "vouched" => Event::StoreVouched { tower_forgotten: words.has("tower-forgotten") },
            "opened" => Event::StoreOpened { identity: if words.has("another") { other_key() } else { identity() } },
            "not-opened" => Event::StoreNotOpened {
                identity: if words.has("another") { other_key() } else { identity() },
                kind: RefusedKind::WrongStore,
                reason: "of another identity".into(),
            },
            "owner-changed" => Event::OwnerChanged(words.owner().map(Box::new)),
            "intent" => {
                let (deadline_ms, term) = (words.number("deadline").unwrap_or(2000), words.number("term").unwrap_or(1));
                Event::IntentSeen(Box::new(intent(words.has("mine"), deadline_ms, term)))
            }
            "intent-written" => Event::IntentWritten,
            "set-identity" => {
                self.requests += 1;
                let key = if words.has("junk") {
                    other_key()
                } else if words.has("own-standby") {
                    standby()
                } else {
                    identity()
                };
                Event::SetIdentity(SetIdentity {
                    request: RequestId(self.requests),
                    identity: key,
                    require_tower: words.has("require-tower"),
                    candidate: candidate(words),
                })
            }
            "promote" => {
                Event::Promote { term: Term(words.number("term").expect("a term")), candidate: candidate(words) }
            }
            "claimed" => Event::ClaimDone(Box::new(ClaimFacts {
                term: Term(words.number("term").expect("a term")),
                has_tower: words.facts().has_tower,
                tower_last_vote: words.facts().tower_last_vote,
                watermark: words.number("w"),
            })),
            "claim-refused" => Event::ClaimRefused(Box::new(words.facts())),
            "claim-unresolved" => Event::ClaimUnresolved { reason: "timed out".into() },
            "adopted" => Event::TowerAdopted {
                last_vote: words.number("vote"),
                last_vote_replayed: words.has("replayed"),
                free_from: words.number("free").unwrap_or(0),
            },
            "tower-bad" => Event::TowerQuarantined { reason: "older".into(), safe_from: Some(99) },
            "speaking" => Event::NodeIdentitySwitched(match words.flags[0] {
                "identity" => NodeIdentity::Active(identity()),
                "junk" => NodeIdentity::StandbyAs(other_key()),
                _ => NodeIdentity::Standby,
            }),
            "recorded" => Event::Recorded { slot: words.number("slot").expect("a slot") },
            "vote-out" => Event::VoteReleased,
            "vote-not-out" => Event::VoteUnreleased { reason: "no key".into() },
            "fenced" => Event::RecordFenced { by: "term 9 belongs to beta".into() },
            "record-timeout" => Event::RecordTimeout { reason: "5 s".into() },
            "leader-slot-done" => Event::LeaderSlotDone,
            "votes-settled" => Event::VotesSettled,
            "released" => Event::Released,
            "release-failed" => Event::ReleaseFailed { reason: "refused".into() },
            "seen-elsewhere" => Event::SeenElsewhere { alive: words.has("alive") },
            "vote-elsewhere" => Event::VoteElsewhere {
                slot: words.number("slot").expect("a slot"),
                voter_stopped: words.has("voter-stopped"),
            },
            "shutdown" => Event::Shutdown,
            other => panic!("unknown event `{other}`"),
        }
    }
}

fn intent(mine: bool, deadline_ms: u64, term: u64) -> IntentRecord {
    IntentRecord {
        from: "alpha".into(),
        to: "beta".into(),
        instance: if mine { ME } else { InstanceId([3; 16]) },
        deadline_ms,
        reason: "set-identity".into(),
        term_seen: Term(term),
    }
}

fn candidate(words: &Words) -> Candidate {
    Candidate {
        vote_account: Some(Pubkey::new_from_array([6; 32])),
        root: words.number("root").unwrap_or(0),
        vote_account_node: match words.values.get("account-of") {
            Some(&"another") => Some(other_key()),
            Some(_) | None => (!words.has("no-vote-account")).then(identity),
        },
        node_at_tip: match words.values.get("tip-of") {
            Some(&"another") => Some(other_key()),
            Some(_) | None => Some(identity()),
        },
        authorized_voter_held: !words.has("no-voter"),
    }
}

fn machine(words: &Words) -> Machine {
    let primary = words.has("primary");
    let on = |word: &str| if words.has(word) { OnLoss::Standby } else { OnLoss::Exit };
    let config = Config {
        role: if primary { ConfiguredRole::Primary } else { ConfiguredRole::Secondary },
        host: if primary { "alpha".into() } else { "beta".into() },
        failback: if words.has("sticky") { Failback::Sticky } else { Failback::Preferred },
        on_identity_loss: on("loss-standby"),
        on_store_loss: on("store-loss-standby"),
        require_tower: words.has("require-tower"),
        adopt_chain_tower: words.has("adopts"),
        store_is_exclusive: words.has("file-store"),
        intent_deadline: Duration::from_millis(if words.has("unasked") { 0 } else { 2000 }),
        caught_up_slots_max: 8,
        replay_deadline: Duration::from_millis(10_000),
        takeover_deadline: Duration::from_millis(30_000),
        chain_tower_hold_slots: CHAIN_TOWER_HOLD_SLOTS,
        standby_poll: Duration::from_millis(5000),
        release_poll: Duration::from_millis(100),
    };
    let machine = Machine::new(config, ME, (primary || words.has("knows")).then(identity), standby());
    // The runs of the owners `alpha` and `gamma` in these cases.
    if words.has("recorded-runs") {
        return machine.with_dead_runs(vec![InstanceId([2; 16]), InstanceId([3; 16])]);
    }
    machine
}

fn report_text(report: &HandoverReport) -> String {
    format!(
        "{} term={} vote={} missed={} in {}ms",
        report.role,
        report.term,
        slot(report.last_vote_slot),
        report.slots_missed,
        report.phases.total_ms
    )
}

fn slot(slot: Option<Slot>) -> String {
    slot.map_or("none".into(), |slot| slot.to_string())
}

fn text(effect: &Effect) -> String {
    match effect {
        Effect::OpenStore { identity: other } if *other == other_key() => "open another".into(),
        Effect::OpenStore { .. } => "open".into(),
        Effect::ReadStore { .. } => "read".into(),
        Effect::WriteIntent { owner_revision, term_seen, from, deadline_ms, .. } => {
            format!("intent {from} term={term_seen} rev={owner_revision} {deadline_ms}ms")
        }
        Effect::Claim { owner_revision, term_seen, .. } => format!("claim over term={term_seen} rev={owner_revision}"),
        Effect::Adopt { source, .. } => format!("adopt {source:?}"),
        Effect::Unlock { term, watermark } => format!("unlock {term} w={}", slot(*watermark)),
        Effect::HaltLead { abandon: false } => "halt-lead".into(),
        Effect::HaltLead { abandon: true } => "abandon-lead".into(),
        Effect::HaltVote => "halt-vote".into(),
        Effect::Lock => "lock".into(),
        Effect::Release { term, .. } => format!("release {term}"),
        Effect::SwitchNodeIdentity(NodeIdentity::Active(_)) => "speak-as identity".into(),
        Effect::SwitchNodeIdentity(NodeIdentity::Standby) => "speak-as standby".into(),
        Effect::SwitchNodeIdentity(NodeIdentity::StandbyAs(_)) => "speak-as junk".into(),
        Effect::Reannounce => "reannounce".into(),
        Effect::Alarm { reason } => {
            assert!(!reason.is_empty(), "an alarm says why");
            "alarm".into()
        }
        Effect::Reply { request, outcome: Ok(report) } => format!("reply {} {}", request.0, report_text(report)),
        Effect::Reply { request, outcome: Err(refused) } => {
            assert!(!refused.reason.is_empty() && !refused.remedy.is_empty(), "a refusal says why and what to do");
            format!("refuse {} {:?}", request.0, refused.kind)
        }
        Effect::Exit { status, reason } => {
            assert!(!reason.is_empty(), "an exit says why");
            format!("exit {}", status.code())
        }
        Effect::Log(transition) => format!("{}->{}", transition.from, transition.to),
    }
}
