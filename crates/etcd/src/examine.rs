//! One look at every endpoint for `doctor`: does it answer, what is it, how fast is it. Changes nothing in the store: the
//! timed transaction compares what can never be, but has a write in it, so that it goes through the cluster's log to disk
//! like every record of a vote.

use {
    crate::{
        classify::Failure,
        kv::{Core, EtcdKv},
        member::Member,
    },
    etcd_client::{AlarmAction, AlarmType, Compare, CompareOp, Txn, TxnOp},
    std::{
        sync::Arc,
        time::{Duration, Instant},
    },
    tokio::time,
};

/// What was found at one endpoint.
#[derive(Clone, PartialEq, Debug)]
pub struct Examination {
    pub endpoint: String,
    /// Err: why it cannot be used, in words.
    pub found: Result<MemberFacts, String>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct MemberFacts {
    pub store_id: u64,
    pub member_id: u64,
    pub version: String,
    pub is_leader: bool,
    pub has_leader: bool,
    pub db_bytes: i64,
    /// As `NOSPACE`.
    pub alarms: Vec<String>,
    /// Members that the cluster says it has.
    pub members: usize,
    pub read: Latency,
    pub transaction: Latency,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl EtcdKv {
    /// Asks one endpoint after the other; `deadline` is for each single call.
    pub fn examine(&self, deadline: Duration) -> Vec<Examination> {
        let mut found = Vec::new();
        for member in self.core.members.clone() {
            let (core, endpoint) = (self.core.clone(), member.name.clone());
            let all = deadline * 4 + Duration::from_secs(10);
            let answer = self.threads.run(all, async move { examine(&core, &member, deadline).await });
            let found_here = answer.unwrap_or_else(|| Err("it answers too slowly to be measured".to_owned()));
            found.push(Examination { endpoint, found: found_here });
        }
        found
    }
}

async fn examine(core: &Core, member: &Arc<Member>, deadline: Duration) -> Result<MemberFacts, String> {
    let late =
        |_elapsed| format!("no answer within {} ms: it hangs, or its cluster has no leader", deadline.as_millis());
    let say = |error: etcd_client::Error| match core.classify(&error) {
        Failure::NotDone(reason) | Failure::Refused(reason) | Failure::Unknown(reason) => reason,
        Failure::LeaseGone => error.to_string(),
    };
    let mut kv = member.client.kv_client();
    let first = time::timeout(deadline, kv.get(PROBE_KEY, None)).await.map_err(late)?.map_err(say)?;
    let store_id = first.header().map(|header| header.cluster_id()).ok_or("its answer has no header")?;
    let mut maintenance = member.client.maintenance_client();
    let status = time::timeout(deadline, maintenance.status()).await.map_err(late)?.map_err(say)?;
    let alarms = maintenance.alarm(AlarmAction::Get, AlarmType::None, None);
    let alarms = time::timeout(deadline, alarms).await.map_err(late)?.map_err(say)?;
    let alarms = alarms.alarms().iter().map(|alarm| match alarm.alarm() {
        AlarmType::None => "none".to_owned(),
        AlarmType::Nospace => "NOSPACE".to_owned(),
        AlarmType::Corrupt => "CORRUPT".to_owned(),
    });
    let alarms = alarms.collect();
    let mut cluster = member.client.cluster_client();
    let members = time::timeout(deadline, cluster.member_list()).await.map_err(late)?.map_err(say)?;
    let mut reads = Vec::with_capacity(SAMPLES);
    let mut transactions = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let started = Instant::now();
        time::timeout(deadline, kv.get(PROBE_KEY, None)).await.map_err(late)?.map_err(say)?;
        reads.push(started.elapsed());
        let started = Instant::now();
        let answer = time::timeout(deadline, kv.txn(impossible())).await.map_err(late)?;
        match answer {
            Ok(_) => transactions.push(started.elapsed()),
            // A cluster out of space refuses every write; the alarm says so better.
            Err(error) => match core.classify(&error) {
                Failure::Refused(_) => break,
                Failure::NotDone(reason) | Failure::Unknown(reason) => return Err(reason),
                Failure::LeaseGone => return Err(error.to_string()),
            },
        }
    }
    Ok(MemberFacts {
        store_id,
        member_id: status.header().map_or(0, |header| header.member_id()),
        version: status.version().to_owned(),
        is_leader: status.header().is_some_and(|header| header.member_id() == status.leader()),
        has_leader: status.leader() != 0,
        db_bytes: status.db_size(),
        alarms,
        members: members.members().len(),
        read: latency(reads),
        transaction: latency(transactions),
    })
}

/// Nothing has been changed at the last revision there can ever be.
fn impossible() -> Txn {
    Txn::new()
        .when([Compare::mod_revision(PROBE_KEY, CompareOp::Equal, i64::MAX)])
        .and_then([TxnOp::put(PROBE_KEY, "", None)])
}

fn latency(mut samples: Vec<Duration>) -> Latency {
    samples.sort_unstable();
    let at = |percent: usize| {
        let place = (samples.len() * percent).div_ceil(100).saturating_sub(1);
        samples.get(place).map_or(0.0, |sample| sample.as_secs_f64() * 1_000.0)
    };
    Latency { p50_ms: at(50), p99_ms: at(99) }
}

const PROBE_KEY: &str = "/tandem/probe";
const SAMPLES: usize = 30;
