//! `validator wait-for-restart-window`: when an identity may hand over or restart without losing leader slots.

use {
    super::read_keypair,
    crate::{
        admin::client::AdminClient,
        args::WaitArgs,
        exit::{Failure, Status},
        rpc_client::{RpcClient, RpcError},
    },
    serde_json::{Value, json},
    std::{
        collections::HashMap,
        net::SocketAddr,
        path::Path,
        thread,
        time::{Duration, Instant},
    },
    tandem_types::{Pubkey, Signer, Slot},
};

pub fn wait_for_restart_window(ledger: &Path, args: &WaitArgs) -> Result<(), Failure> {
    let address: Option<SocketAddr> = AdminClient::connect(ledger)?.call("rpcAddress", json!([]))?;
    let address = address.ok_or_else(|| {
        Failure::failed("the validator has no JSON-RPC address").remedy("start it with --rpc-port PORT")
    })?;
    let rpc = RpcClient::new(address);
    let own: Value = rpc.call("getIdentity", json!([])).map_err(Failure::failed)?;
    let own = own["identity"].as_str().unwrap_or_default().to_owned();
    let identity = match &args.identity {
        None => own,
        Some(text) => match text.parse::<Pubkey>() {
            Ok(pubkey) => pubkey.to_string(),
            Err(_) => read_keypair(Path::new(text))?.pubkey().to_string(),
        },
    };
    if !args.format.json() {
        println!("Identity: {identity}");
        println!("Minimum idle time: {} minutes; maximum delinquent stake: {} %", args.min_idle_time, args.max_delinquent_stake);
    }

    let started = Instant::now();
    loop {
        let verdict = match look(&rpc, &identity, args) {
            Ok(verdict) => verdict,
            Err(error) => Verdict { ready: false, why: error.to_string(), slot: None, next_leader_slot: None },
        };
        if args.format.json() {
            println!(
                "{}",
                json!({ "ready": verdict.ready, "why": verdict.why, "slot": verdict.slot, "nextLeaderSlot": verdict.next_leader_slot,
                        "waitedMs": started.elapsed().as_millis() as u64 })
            );
        } else if verdict.ready {
            println!("Ready to restart: {}", verdict.why);
        } else {
            println!("{:>4} s | slot {} | {}", started.elapsed().as_secs(), verdict.slot.unwrap_or_default(), verdict.why);
        }
        if verdict.ready {
            return Ok(());
        }
        if args.timeout.is_some_and(|timeout| started.elapsed() >= Duration::from_secs(timeout)) {
            return Err(Failure::new(Status::TimedOut, format!("no restart window in {:?}: {}", started.elapsed(), verdict.why))
                .remedy("ask for a shorter --min-idle-time, or wait longer"));
        }
        // Short windows pass quickly; long ones are looked at every few seconds.
        let pause = if args.min_idle_time < 1.0 { Duration::from_millis(200) } else { Duration::from_secs(5) };
        thread::sleep(pause);
    }
}

struct Verdict {
    ready: bool,
    why: String,
    slot: Option<Slot>,
    next_leader_slot: Option<Slot>,
}

fn look(rpc: &RpcClient, identity: &str, args: &WaitArgs) -> Result<Verdict, RpcError> {
    let epoch_info: Value = rpc.call("getEpochInfo", json!([{ "commitment": "processed" }]))?;
    let slot = epoch_info["absoluteSlot"].as_u64().unwrap_or_default();
    let no = |why: String, next: Option<Slot>| Ok(Verdict { ready: false, why, slot: Some(slot), next_leader_slot: next });

    if !args.skip_health_check && !matches!(rpc.call::<Value>("getHealth", json!([])), Ok(health) if health == "ok") {
        return no("the node is not healthy (behind the cluster)".into(), None);
    }
    let delinquent = delinquent_percent(rpc)?;
    // Unlike agave's command, this check does not depend on --skip-new-snapshot-check.
    if delinquent >= f64::from(args.max_delinquent_stake) {
        return no(format!("{delinquent:.1} % of the stake is delinquent"), None);
    }
    let min_idle_slots = idle_slots(rpc, args.min_idle_time)?;
    let next = next_leader_slot(rpc, &epoch_info, identity)?;
    match next {
        Some(next) if next < slot + min_idle_slots => no(
            format!("leader in {} slots (slot {next}); {min_idle_slots} idle slots are wanted", next.saturating_sub(slot)),
            Some(next),
        ),
        Some(next) => Ok(Verdict {
            ready: true,
            why: format!("next leader slot {next}, in {} slots", next.saturating_sub(slot)),
            slot: Some(slot),
            next_leader_slot: Some(next),
        }),
        None => Ok(Verdict {
            ready: true,
            why: "no leader slot in the epochs whose schedule is known".into(),
            slot: Some(slot),
            next_leader_slot: None,
        }),
    }
}

/// Minutes as slots, by the pace the cluster keeps now (agave takes 400 ms, whatever the cluster does).
fn idle_slots(rpc: &RpcClient, minutes: f64) -> Result<u64, RpcError> {
    let samples: Value = rpc.call("getRecentPerformanceSamples", json!([1])).unwrap_or(Value::Null);
    let seconds_per_slot = match (samples[0]["samplePeriodSecs"].as_f64(), samples[0]["numSlots"].as_f64()) {
        (Some(seconds), Some(slots)) if slots > 0.0 => (seconds / slots).clamp(0.05, 0.8),
        _ => 0.4,
    };
    Ok((minutes * 60.0 / seconds_per_slot).ceil() as u64)
}

fn delinquent_percent(rpc: &RpcClient) -> Result<f64, RpcError> {
    let accounts: Value = rpc.call("getVoteAccounts", json!([]))?;
    let sum = |list: &Value| -> f64 {
        list.as_array().into_iter().flatten().filter_map(|account| account["activatedStake"].as_f64()).sum()
    };
    let delinquent = sum(&accounts["delinquent"]);
    let total = delinquent + sum(&accounts["current"]);
    Ok(if total > 0.0 { delinquent * 100.0 / total } else { 0.0 })
}

/// The first leader slot at or after now: of this epoch, or of the next, whose schedule is known already.
fn next_leader_slot(rpc: &RpcClient, epoch_info: &Value, identity: &str) -> Result<Option<Slot>, RpcError> {
    let slot = epoch_info["absoluteSlot"].as_u64().unwrap_or_default();
    let first = slot.saturating_sub(epoch_info["slotIndex"].as_u64().unwrap_or_default());
    let slots_in_epoch = epoch_info["slotsInEpoch"].as_u64().unwrap_or(u64::MAX);
    for first in [first, first.saturating_add(slots_in_epoch)] {
        let schedule: Option<HashMap<String, Vec<u64>>> =
            rpc.call("getLeaderSchedule", json!([first, { "identity": identity, "commitment": "processed" }]))?;
        let slots = schedule.and_then(|mut schedule| schedule.remove(identity)).unwrap_or_default();
        if let Some(next) = slots.into_iter().map(|index| first + index).filter(|next| *next >= slot).min() {
            return Ok(Some(next));
        }
    }
    Ok(None)
}
