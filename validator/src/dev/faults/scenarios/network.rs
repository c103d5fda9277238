//! The network fails between two that go on.

use {
    super::machine::taken_over,
    crate::{
        dev::{
            cluster::{PRIMARY, SECONDARY, VOTER_A, VOTER_B},
            faults::{
                lab::{CATCH_UP, END, FIRST_MEMBER, Lab},
                network::Cut,
                round::Round,
            },
            interrupt,
        },
        exit::{Failure, Status},
    },
    std::time::{Duration, Instant},
    tandem_env::unix_nanos,
    tandem_witness::read_log,
};

/// What --etcd-write-timeout gives a record, and then some for ending.
const WRITE_TIMEOUT_AND_END: Duration = Duration::from_secs(10);

pub fn etcd_refused(lab: &mut Lab) -> Result<Round, Failure> {
    cut_from_etcd(lab, Cut::Refused)
}

pub fn etcd_dropped(lab: &mut Lab) -> Result<Round, Failure> {
    cut_from_etcd(lab, Cut::Dropped)
}

fn cut_from_etcd(lab: &mut Lab, cut: Cut) -> Result<Round, Failure> {
    lab.cut_from_etcd(PRIMARY, cut)?;
    let cut_at = unix_nanos();
    // It answers its operator while it waits for the store: nothing hangs.
    let asked = Instant::now();
    lab.cluster.status(PRIMARY)?;
    if asked.elapsed() > Duration::from_secs(1) {
        return Err(Failure::failed(format!("the cut off owner took {:?} to answer", asked.elapsed())));
    }
    let since = unix_nanos();
    let round = taken_over(lab, since)?;
    lab.gone(PRIMARY, &[Status::StoreLost, Status::Fenced], WRITE_TIMEOUT_AND_END)?;
    // A record on its way may still have been made; nothing after the new owner's claim can have been.
    let taken_at = since + (round.ms * 1e6) as u64;
    let log = read_log(&lab.cluster.nodes[PRIMARY].release_log).map_err(Failure::failed)?;
    match log.iter().filter(|record| record.unix_nanos > taken_at.max(cut_at)).count() {
        0 => Ok(round),
        late => {
            Err(Failure::failed(format!("the owner cut off released {late} more votes or shreds after the takeover")))
        }
    }
}

pub fn one_member_dropped(lab: &mut Lab) -> Result<Round, Failure> {
    let leader = lab.etcd_leader()?;
    let since = unix_nanos();
    let started = Instant::now();
    lab.cut(PRIMARY, FIRST_MEMBER + leader, Cut::Dropped)?;
    lab.wait_vote(PRIMARY, Duration::from_secs(10))?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    lab.wait_vote(PRIMARY, Duration::from_secs(10))?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, PRIMARY, ms)
}

pub fn nodes_cut(lab: &mut Lab) -> Result<Round, Failure> {
    lab.cut(PRIMARY, SECONDARY, Cut::Dropped)?;
    let since = unix_nanos();
    let round = taken_over(lab, since)?;
    lab.gone(PRIMARY, &[Status::Fenced], END)?;
    Ok(round)
}

pub fn isolated(lab: &mut Lab) -> Result<Round, Failure> {
    for other in [VOTER_A, VOTER_B, SECONDARY] {
        lab.cut(PRIMARY, other, Cut::Dropped)?;
    }
    lab.cut_from_etcd(PRIMARY, Cut::Dropped)?;
    let since = unix_nanos();
    let round = taken_over(lab, since)?;
    if let Some(network) = &lab.network {
        network.heal()?;
    }
    lab.gone(PRIMARY, &[Status::StoreLost, Status::Fenced], END)?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    Ok(round)
}
