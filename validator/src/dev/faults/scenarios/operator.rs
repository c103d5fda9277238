//! What operators do, at the worst moment, or twice.

use {
    super::machine::taken_over,
    crate::{
        dev::{
            cluster::{PRIMARY, SECONDARY, VOTER_A},
            faults::{
                lab::{ACTIVE, CATCH_UP, END, Lab, active, standing_by, until},
                round::Round,
            },
            interrupt, process,
        },
        exit::{Failure, Status},
    },
    serde_json::{Value, json},
    std::{
        thread,
        time::{Duration, Instant},
    },
    tandem_env::unix_nanos,
};

/// A primary's claim may be this far behind the tip when it is made.
const BEHIND_MAX: u64 = 8;

pub fn planned(lab: &mut Lab) -> Result<Round, Failure> {
    let round = taken_over(lab, unix_nanos())?;
    lab.gone(PRIMARY, &[Status::Fenced], END)?;
    Ok(round)
}

pub fn mid_leader_slot(lab: &mut Lab) -> Result<Round, Failure> {
    let identity = lab.cluster.pair_identity.to_string();
    let rpc = lab.cluster.rpc(VOTER_A);
    let schedule: Value =
        rpc.call("getLeaderSchedule", json!([0, { "identity": identity }])).map_err(Failure::failed)?;
    let slots: Vec<u64> = schedule[&identity].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    until("the owner leads", Duration::from_secs(60), || {
        // The block in production is the one after the newest frozen.
        lab.cluster.status(PRIMARY).is_ok_and(|status| slots.contains(&(status.tip + 1)))
    })?;
    planned(lab)
}

pub fn two_primaries(lab: &mut Lab) -> Result<Round, Failure> {
    lab.end(PRIMARY)?;
    lab.end(SECONDARY)?;
    let key = lab.cluster.keys.join("validator-keypair.json").display().to_string();
    lab.cluster.nodes[SECONDARY].changes.insert("--identity", Some(key));
    let since = unix_nanos();
    let started = Instant::now();
    lab.cluster.start(PRIMARY)?;
    lab.cluster.start(SECONDARY)?;
    // Each reclaims from the other once; one of them ends, the other votes on.
    let mut owner = None;
    until("one of two primaries is ACTIVE and the other has ended", CATCH_UP, || {
        let ended = [PRIMARY, SECONDARY].map(|index| {
            let process = lab.cluster.nodes[index].process.as_mut();
            process.is_none_or(|process| process.try_wait().is_some())
        });
        owner = match ended {
            [false, true] => Some(PRIMARY),
            [true, false] => Some(SECONDARY),
            _ => None,
        };
        owner.is_some_and(|owner| lab.cluster.status(owner).is_ok_and(|status| status.role == ACTIVE))
    })?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    let owner = owner.ok_or_else(|| Failure::failed("no owner"))?;
    let other = if owner == PRIMARY { SECONDARY } else { PRIMARY };
    lab.gone(other, &[Status::Fenced], END)?;
    lab.wait_vote(owner, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    let round = lab.round(since, owner, ms)?;
    lab.end(owner)?;
    Ok(round)
}

pub fn two_takeovers(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let lab_ref = &*lab;
    let reports = thread::scope(|scope| {
        let asked: Vec<_> = [SECONDARY, SECONDARY, PRIMARY]
            .map(|index| scope.spawn(move || lab_ref.set_identity(index, "validator-keypair", &[])))
            .into_iter()
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let won = reports.iter().flatten().filter(|report| report.role == ACTIVE).map(|report| report.ms);
    let ms = won.fold(0.0, f64::max);
    if ms == 0.0 && !reports.iter().any(Result::is_ok) {
        let said: Vec<String> =
            reports.iter().filter_map(|report| report.as_ref().err()).map(ToString::to_string).collect();
        return Err(Failure::failed(format!("nobody became the owner: {}", said.join("; "))));
    }
    let mut owner = PRIMARY;
    until("one owner that votes", CATCH_UP, || {
        let roles = [PRIMARY, SECONDARY].map(|index| lab.cluster.status(index).is_ok_and(|status| active(&status)));
        owner = if roles[1] { SECONDARY } else { PRIMARY };
        roles[0] != roles[1]
    })?;
    lab.wait_vote(owner, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, owner, ms)
}

pub fn restart(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    lab.end(PRIMARY)?;
    // Long enough for the cluster to move on, so that claiming before catching up would show.
    interrupt::pause(Duration::from_secs(5))?;
    claims_when_caught_up(lab, since)
}

pub fn reclaim(lab: &mut Lab) -> Result<Round, Failure> {
    planned(lab)?;
    let since = unix_nanos();
    let started_voting = lab.cluster.status(SECONDARY)?.last_vote;
    let mut round = claims_when_caught_up(lab, since)?;
    let status = lab.cluster.status(PRIMARY)?;
    // The owner before went on voting until the claim: downtime is the handover's alone.
    round.ms = status.last_handover.map_or(round.ms, |report| report.ms);
    lab.gone(SECONDARY, &[Status::Fenced], END)?;
    if status.last_vote <= started_voting {
        return Err(Failure::failed("the primary reclaimed, but the identity has not voted on"));
    }
    Ok(round)
}

/// Starts the primary, and sees that it is not the owner before it has caught up.
fn claims_when_caught_up(lab: &mut Lab, since: u64) -> Result<Round, Failure> {
    let started = Instant::now();
    lab.cluster.start(PRIMARY)?;
    let mut early = None;
    until("the primary is ACTIVE", CATCH_UP, || {
        let Ok(status) = lab.cluster.status(PRIMARY) else { return false };
        if status.term.is_some() && status.slots_behind.is_none_or(|behind| behind > BEHIND_MAX) {
            early.get_or_insert((status.role.clone(), status.slots_behind));
        }
        status.role == ACTIVE
    })?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    if let Some((role, behind)) = early {
        return Err(Failure::failed(format!("the primary was {role} with a term while {behind:?} slots behind")));
    }
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, PRIMARY, ms)
}

pub fn upgrade(lab: &mut Lab) -> Result<Round, Failure> {
    let round = planned(lab)?;
    // The primary's new version starts, and reclaims; the secondary ends.
    lab.cluster.start(PRIMARY)?;
    lab.cluster.wait_for(PRIMARY, "reclaimed", CATCH_UP, active)?;
    lab.gone(SECONDARY, &[Status::Fenced], END)?;
    // The secondary's new version starts under its own key.
    lab.cluster.start(SECONDARY)?;
    lab.cluster.wait_for(SECONDARY, "caught up", CATCH_UP, standing_by)?;
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    Ok(round)
}

pub fn junk_identity(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    // Any other key will do; the faucet's is at hand.
    let down = lab.set_identity(PRIMARY, "faucet", &[])?;
    if down.role == ACTIVE {
        return Err(Failure::failed("the owner is still ACTIVE after it was told to step down"));
    }
    interrupt::pause(Duration::from_secs(2))?;
    let lives = lab.cluster.nodes[PRIMARY].process.as_mut().is_some_and(|process| process.try_wait().is_none());
    if !lives {
        return Err(Failure::failed("stepping down ended the process"));
    }
    let released = tandem_witness::read_log(&lab.cluster.nodes[PRIMARY].release_log).map_err(Failure::failed)?;
    let stepped_down = down.requested_unix_nanos + (down.ms * 1e6) as u64;
    if released.iter().any(|record| record.unix_nanos > stepped_down) {
        return Err(Failure::failed("votes or shreds were released after stepping down"));
    }
    let back = lab.set_identity(PRIMARY, "validator-keypair", &[])?;
    if back.role != ACTIVE {
        return Err(Failure::failed(format!("{} after taking the identity back", back.role)));
    }
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, PRIMARY, back.ms)
}

/// `wait-for-restart-window` refuses for delinquent stake even when it is told to skip the check of snapshots.
pub fn window_refused(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let started = Instant::now();
    let mut wait = lab.cluster.command(SECONDARY)?;
    // With no share of delinquent stake allowed, none at all is too much.
    wait.args(["wait-for-restart-window", "--skip-new-snapshot-check", "--max-delinquent-stake", "0"]);
    wait.args(["--min-idle-time", "0", "--timeout", "2", "--identity"]);
    wait.arg(lab.cluster.keys.join("validator-keypair.json"));
    match process::output(wait, Duration::from_secs(30)) {
        Ok(printed) => Err(Failure::failed(format!("found a window: {printed}"))),
        Err(failure) => {
            let said = failure.to_string();
            if !said.contains("exit status: 6") || !said.contains("of the stake is delinquent") {
                return Err(Failure::failed(format!("refused for another reason: {said}")));
            }
            let ms = started.elapsed().as_secs_f64() * 1e3;
            lab.round(since, PRIMARY, ms)
        }
    }
}
