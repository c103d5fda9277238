//! `failover rehearse`: two handovers a round on shadow keys, under a shadow identity, against the real etcd, with the code
//! of the real thing. The first is asked for and released, the second forced; the deposed owner then tries to write.

use {
    super::{
        Desk, LIMITS, failure,
        report::{Percentiles, RehearsalReport},
    },
    crate::exit::{Failure, Status},
    std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    },
    tandem_env::{random_instance_id, wall_clock},
    tandem_role::records::{IntentRecord, Preference},
    tandem_tower_storage::{
        ClaimError, ClaimRequest, Opening, PromiseStore, RecordError, SystemPace, Tower, TowerSigner, VoteDecision,
        VoteKind,
    },
    tandem_types::{Hash, Keypair, Pubkey, Signature, Signer, Slot, Term},
};

pub fn rehearse(desk: &Desk, rounds: u32) -> Result<RehearsalReport, Failure> {
    let mut clock = Laps::default();
    let mut fenced_every_time = true;
    for _ in 0..rounds {
        // A key of its own each time: what a broken-off rehearsal left behind is in nobody's way.
        let shadow = Shadow(Keypair::new());
        let mut ours = open(desk, &shadow)?;
        let fenced = round(&shadow, &mut ours, open(desk, &shadow)?, &mut clock);
        let forgotten = ours.forget_rehearsal(LAST_TERM).map_err(failure);
        fenced_every_time &= fenced?;
        forgotten?;
    }
    let peers = desk.view()?.machines.into_iter().filter(|machine| machine.host != desk.host).collect();
    Ok(RehearsalReport { rounds, fenced_every_time, phases_ms: clock.percentiles(), peers })
}

fn open(desk: &Desk, shadow: &Shadow) -> Result<PromiseStore, Failure> {
    let opening = Opening {
        genesis_hash: desk.genesis_hash,
        identity: desk.identity()?,
        vote_account: Pubkey::default(),
        instance: random_instance_id(),
        limits: LIMITS,
    };
    let store = PromiseStore::open(Box::new(desk.kv.clone()), Box::new(SystemPace::start()), opening);
    Ok(store.rehearsal(shadow.0.pubkey()))
}

/// Whether the deposed owner was refused.
fn round(
    shadow: &Shadow,
    ours: &mut PromiseStore,
    mut theirs: PromiseStore,
    clock: &mut Laps,
) -> Result<bool, Failure> {
    claim(ours, "first", clock)?;
    let _nobody_to_send_it_to =
        clock.lap("record a vote", || ours.record(shadow.vote(&[(1, 1)]), shadow)).map_err(recorded)?;
    let _nothing_to_lead = clock.lap("claim a leader slot", || ours.claim_leader_slot(1)).map_err(recorded)?;
    let seen = clock.lap("read", || theirs.read()).map_err(failure)?;
    let intent = IntentRecord {
        from: "first".into(),
        to: "second".into(),
        instance: random_instance_id(),
        deadline_ms: 0,
        reason: "rehearsal".into(),
        term_seen: Term(1),
    };
    clock.lap("write the intent", || theirs.write_intent(seen.owner_revision, intent)).map_err(failure)?;
    clock.lap("release", || ours.release(wall_clock())).map_err(failure)?;
    claim(&mut theirs, "second", clock)?;
    let _nobody_to_send_it_to =
        clock.lap("record a vote", || theirs.record(shadow.vote(&[(1, 2), (2, 1)]), shadow)).map_err(recorded)?;
    claim(ours, "first again, by force", clock)?;
    let deposed = theirs.record(shadow.vote(&[(1, 3), (2, 2), (3, 1)]), shadow);
    Ok(matches!(deposed, Err(RecordError::Fenced { .. })))
}

fn claim(store: &mut PromiseStore, host: &str, clock: &mut Laps) -> Result<(), Failure> {
    let seen = clock.lap("read", || store.read()).map_err(failure)?;
    let request = ClaimRequest {
        owner_revision: seen.owner_revision,
        term_seen: seen.owner.as_ref().map_or(Term(0), |owner| owner.term),
        previous_host: seen.owner.map(|owner| owner.host),
        host: host.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        standby_identity: String::new(),
        preference: Preference::Secondary,
        slot_at_claim: 0,
        reason: "rehearsal".into(),
        claimed_at: wall_clock(),
        require_tower: false,
    };
    clock.lap("claim", || store.claim(request)).map(drop).map_err(|error| match error {
        ClaimError::Unavailable { .. } | ClaimError::Unresolved { .. } => Failure::caused(Status::StoreLost, &error),
        ClaimError::Refused(_) | ClaimError::TowerMissing { .. } | ClaimError::Quarantined { .. } => {
            Failure::caused(Status::Failed, &error)
        }
    })
}

fn recorded(error: RecordError) -> Failure {
    let status = if matches!(error, RecordError::StoreLost { .. }) { Status::StoreLost } else { Status::Failed };
    Failure::caused(status, &error)
}

/// An identity that exists for one rehearsal only.
struct Shadow(Keypair);

impl Shadow {
    fn vote(&self, votes: &[(Slot, u32)]) -> VoteDecision {
        VoteDecision {
            identity: self.0.pubkey(),
            vote_account: Pubkey::default(),
            kind: VoteKind::Vote,
            slot: votes.last().map_or(0, |(slot, _)| *slot),
            hash: Hash::new_from_array([1; 32]),
            block_id: Hash::default(),
            tower: Tower { votes: votes.to_vec(), root: None },
            timestamp: None,
            recent_blockhash: Hash::default(),
            switch: false,
        }
    }
}

impl TowerSigner for Shadow {
    fn identity(&self) -> Pubkey {
        self.0.pubkey()
    }

    fn sign_tower(&self, tower: &[u8]) -> Option<Signature> {
        Some(self.0.sign_message(tower))
    }
}

#[derive(Default)]
struct Laps(BTreeMap<String, Vec<Duration>>);

impl Laps {
    fn lap<T>(&mut self, phase: &str, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let answer = call();
        self.0.entry(phase.to_owned()).or_default().push(started.elapsed());
        answer
    }

    fn percentiles(self) -> BTreeMap<String, Percentiles> {
        let of = |mut spans: Vec<Duration>| {
            spans.sort_unstable();
            let at = |percent: usize| {
                let rank = (spans.len() * percent).div_ceil(100).saturating_sub(1);
                spans.get(rank).map_or(0.0, |span| (span.as_secs_f64() * 1e6).round() / 1e3)
            };
            Percentiles { p50: at(50), p99: at(99), max: at(100) }
        };
        self.0.into_iter().map(|(phase, spans)| (phase, of(spans))).collect()
    }
}

/// Of a round's three claims.
const LAST_TERM: Term = Term(3);
