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
    let watch = Watch::new(ledger, args)?;
    if !args.format.json() {
        println!("Identity: {}", watch.identity);
        println!(
            "Minimum idle time: {} minutes; maximum delinquent stake: {} %",
            args.min_idle_time, args.max_delinquent_stake
        );
    }
    let started = Instant::now();
    let mut told: Option<Instant> = None;
    loop {
        let verdict = watch.look().unwrap_or_else(|error| Verdict::wait(error.to_string()));
        let timed_out = args.timeout.is_some_and(|timeout| started.elapsed() >= Duration::from_secs(timeout));
        if verdict.ready || timed_out || told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            verdict.print(started.elapsed(), args.format.json());
        }
        if verdict.ready {
            return Ok(());
        }
        if timed_out {
            let waited = started.elapsed().as_secs();
            return Err(Failure::new(Status::TimedOut, format!("no restart window in {waited} s: {}", verdict.why))
                .remedy("ask for a shorter --min-idle-time, or wait longer"));
        }
        // Short windows pass quickly.
        let pause = if args.min_idle_time < 1.0 { Duration::from_millis(200) } else { Duration::from_secs(1) };
        thread::sleep(pause);
    }
}

/// Whom to watch, and how.
struct Watch<'a> {
    rpc: RpcClient,
    identity: String,
    args: &'a WaitArgs,
}

struct Verdict {
    ready: bool,
    why: String,
    slot: Option<Slot>,
    next_leader_slot: Option<Slot>,
}

impl<'a> Watch<'a> {
    fn new(ledger: &Path, args: &'a WaitArgs) -> Result<Self, Failure> {
        let address: Option<SocketAddr> = AdminClient::connect(ledger)?.call("rpcAddress", json!([]))?;
        let address = address.ok_or_else(|| {
            Failure::failed("the validator has no JSON-RPC address").remedy("start it with --rpc-port PORT")
        })?;
        let rpc = RpcClient::new(address);
        let identity = match &args.identity {
            Some(text) => match text.parse::<Pubkey>() {
                Ok(address) => address.to_string(),
                Err(_) => read_keypair(Path::new(text))?.pubkey().to_string(),
            },
            None => {
                let own: Value = rpc.call("getIdentity", json!([])).map_err(Failure::failed)?;
                own["identity"].as_str().unwrap_or_default().to_owned()
            }
        };
        Ok(Self { rpc, identity, args })
    }

    fn look(&self) -> Result<Verdict, RpcError> {
        let epoch_info: Value = self.rpc.call("getEpochInfo", json!([{ "commitment": "processed" }]))?;
        let slot = epoch_info["absoluteSlot"].as_u64().unwrap_or_default();
        if !self.args.skip_health_check
            && let Err(error) = self.rpc.call::<Value>("getHealth", json!([]))
        {
            return Ok(Verdict::wait(format!("the node is not healthy: {error}")).at(slot));
        }
        // Unlike agave's command, this check does not depend on --skip-new-snapshot-check.
        let delinquent = self.delinquent_percent()?;
        if delinquent >= f64::from(self.args.max_delinquent_stake) {
            return Ok(Verdict::wait(format!("{delinquent:.1} % of the stake is delinquent")).at(slot));
        }
        let seconds_per_slot = self.seconds_per_slot();
        let wanted = slots_of(self.args.min_idle_time, seconds_per_slot);
        let (leader_slots, known_until) = self.leader_slots(&epoch_info)?;
        Ok(judge(slot, &leader_slots, known_until, wanted, seconds_per_slot))
    }

    /// The pace the cluster keeps now (agave takes 400 ms, whatever the cluster does).
    fn seconds_per_slot(&self) -> f64 {
        pace(&self.rpc.call("getRecentPerformanceSamples", json!([1])).unwrap_or(Value::Null))
    }

    fn delinquent_percent(&self) -> Result<f64, RpcError> {
        let accounts: Value = self.rpc.call("getVoteAccounts", json!([]))?;
        let sum = |list: &Value| -> f64 {
            list.as_array().into_iter().flatten().filter_map(|account| account["activatedStake"].as_f64()).sum()
        };
        let delinquent = sum(&accounts["delinquent"]);
        let total = delinquent + sum(&accounts["current"]);
        Ok(if total > 0.0 { delinquent * 100.0 / total } else { 0.0 })
    }

    /// Of this epoch and, when its schedule is known already, of the next; and the first slot nothing is known about.
    fn leader_slots(&self, epoch_info: &Value) -> Result<(Vec<Slot>, Slot), RpcError> {
        let slot = epoch_info["absoluteSlot"].as_u64().unwrap_or_default();
        let first = slot.saturating_sub(epoch_info["slotIndex"].as_u64().unwrap_or_default());
        let slots_in_epoch = epoch_info["slotsInEpoch"].as_u64().unwrap_or(1);
        let mut known_until = first;
        let mut slots = Vec::new();
        for first in [first, first.saturating_add(slots_in_epoch)] {
            let params = json!([first, { "identity": self.identity, "commitment": "processed" }]);
            let schedule: Option<HashMap<String, Vec<u64>>> = self.rpc.call("getLeaderSchedule", params)?;
            let Some(mut schedule) = schedule else { break };
            slots.extend(schedule.remove(&self.identity).unwrap_or_default().into_iter().map(|index| first + index));
            known_until = first.saturating_add(slots_in_epoch);
        }
        slots.sort_unstable();
        Ok((slots, known_until))
    }
}

/// Seconds a slot takes, by the newest performance sample.
fn pace(samples: &Value) -> f64 {
    match (samples[0]["samplePeriodSecs"].as_f64(), samples[0]["numSlots"].as_f64()) {
        (Some(seconds), Some(slots)) if slots > 0.0 => (seconds / slots).clamp(0.05, 0.8),
        _ => 0.4,
    }
}

fn slots_of(minutes: f64, seconds_per_slot: f64) -> u64 {
    (minutes * 60.0 / seconds_per_slot).ceil() as u64
}

/// `leader_slots` are in order; `wanted` idle slots are a window.
fn judge(slot: Slot, leader_slots: &[Slot], known_until: Slot, wanted: u64, seconds_per_slot: f64) -> Verdict {
    let coming = &leader_slots[leader_slots.partition_point(|leader| *leader < slot)..];
    let Some(next) = coming.first().copied() else {
        let why = format!("no leader slot before slot {known_until}, which is as far as the schedule is known");
        return Verdict { ready: true, why, slot: Some(slot), next_leader_slot: None };
    };
    let verdict = |ready, why| Verdict { ready, why, slot: Some(slot), next_leader_slot: Some(next) };
    let idle = next - slot;
    if idle >= wanted {
        return verdict(true, format!("next leader slot is {next}, in {idle} slots"));
    }
    let minutes = |slots: u64| slots as f64 * seconds_per_slot / 60.0;
    // From one leader slot to the one after it, and from the last to where the schedule ends.
    let ends = coming[1..].iter().copied().chain([known_until]);
    let windows =
        coming.iter().map(|leader| leader + 1).zip(ends).map(|(begin, end)| (begin, end.saturating_sub(begin)));
    let outlook = match windows.clone().find(|(_, length)| *length >= wanted) {
        Some((begin, _)) => {
            format!("a window begins at slot {begin}, in about {:.1} minutes", minutes(begin.saturating_sub(slot)))
        }
        None => {
            let longest = windows.map(|(_, length)| length).max().unwrap_or_default();
            format!(
                "no window is that long before slot {known_until}; the longest has {longest} slots, {:.1} minutes",
                minutes(longest)
            )
        }
    };
    verdict(false, format!("leader in {idle} slots (slot {next}); {wanted} idle slots are wanted: {outlook}"))
}

impl Verdict {
    fn wait(why: String) -> Self {
        Self { ready: false, why, slot: None, next_leader_slot: None }
    }

    fn at(self, slot: Slot) -> Self {
        Self { slot: Some(slot), ..self }
    }

    fn print(&self, waited: Duration, json: bool) {
        if json {
            let line = json!({
                "ready": self.ready,
                "why": self.why,
                "slot": self.slot,
                "nextLeaderSlot": self.next_leader_slot,
                "waitedMs": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            });
            println!("{line}");
        } else if self.ready {
            println!("Ready to restart: {}", self.why);
        } else {
            let slot = self.slot.map_or("-".to_owned(), |slot| slot.to_string());
            println!("{:>4} s | slot {slot} | {}", waited.as_secs(), self.why);
        }
    }
}

/// An operator wants to know, at least every five seconds, why it is still waiting.
const TELL_EVERY: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(slot: Slot, leader_slots: &[Slot], wanted: u64) -> (bool, String) {
        let verdict = judge(slot, leader_slots, 1_000, wanted, 0.4);
        (verdict.ready, verdict.why)
    }

    #[test]
    fn ready_when_the_next_leader_slot_is_far_enough() {
        assert_eq!(check(10, &[4, 5, 30, 31], 20), (true, "next leader slot is 30, in 20 slots".into()));
        let (ready, why) = check(11, &[4, 5, 30, 31], 20);
        assert!(!ready && why.contains("leader in 19 slots (slot 30)"), "{why}");
        assert!(!check(30, &[30], 1).0, "leading now");
    }

    #[test]
    fn a_window_is_as_long_as_the_clusters_own_slots_make_it() {
        let samples = |slots: u64| json!([{ "samplePeriodSecs": 60, "numSlots": slots }]);
        assert_eq!(slots_of(10.0, pace(&samples(150))), 1_500, "slots of 400 ms");
        assert_eq!(slots_of(10.0, pace(&samples(300))), 3_000, "slots of 200 ms");
        assert_eq!(slots_of(10.0, pace(&Value::Null)), 1_500, "nothing known yet");
        assert_eq!(slots_of(10.0, pace(&samples(0))), 1_500);
    }

    #[test]
    fn no_leader_slot_at_all_is_a_window() {
        let (ready, why) = check(32, &[4, 5, 30, 31], 20_000);
        assert!(ready && why.contains("before slot 1000"), "{why}");
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let (_, why) = check(11, &[20, 21, 22, 23, 100, 101], 70);
        assert!(why.contains("a window begins at slot 24, in about 0.1 minutes"), "{why}");
        let (_, why) = check(11, &[20, 500], 600);
        assert!(
            why.contains("no window is that long before slot 1000; the longest has 499 slots, 3.3 minutes"),
            "{why}"
        );
    }
}
