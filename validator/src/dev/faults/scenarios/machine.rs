//! The machine itself fails: killed, stopped, its clock wrong, its disk full.

use {
    crate::{
        dev::{
            cluster::{PRIMARY, SECONDARY},
            faults::{
                lab::{CATCH_UP, END, Lab, standing_by},
                round::Round,
            },
            interrupt,
        },
        exit::{Failure, Status},
    },
    rustix::process::Signal,
    std::time::Duration,
    tandem_env::unix_nanos,
};

pub fn kill(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    lab.kill(PRIMARY);
    taken_over(lab, since)
}

pub fn pause(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    lab.signal(PRIMARY, Signal::STOP);
    let round = taken_over(lab, since)?;
    lab.signal(PRIMARY, Signal::CONT);
    lab.gone(PRIMARY, &[Status::Fenced], END)?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    Ok(round)
}

pub fn clock_ahead(lab: &mut Lab) -> Result<Round, Failure> {
    skewed(lab, "+3600s")
}

pub fn clock_behind(lab: &mut Lab) -> Result<Round, Failure> {
    skewed(lab, "-3600s")
}

fn skewed(lab: &mut Lab, offset: &str) -> Result<Round, Failure> {
    lab.end(SECONDARY)?;
    lab.cluster.nodes[SECONDARY].place.wrapper = ["faketime", "-f", offset].map(str::to_owned).to_vec();
    lab.cluster.start(SECONDARY)?;
    lab.cluster.wait_for(SECONDARY, "caught up with a wrong clock", CATCH_UP, standing_by)?;
    let report = lab.take_over()?;
    lab.gone(PRIMARY, &[Status::Fenced], END)?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    // Its release log has its own clock, so the time of its first vote says nothing.
    Ok(Round { ms: report.ms, ..Round::default() })
}

pub fn disk_full(lab: &mut Lab) -> Result<Round, Failure> {
    lab.fill_disk()?;
    // Time for it to run into the wall.
    interrupt::pause(Duration::from_secs(3))?;
    let since = unix_nanos();
    let round = taken_over(lab, since)?;
    lab.kill(PRIMARY);
    Ok(round)
}

/// The secondary takes over, and votes.
pub fn taken_over(lab: &mut Lab, since: u64) -> Result<Round, Failure> {
    let report = lab.take_over()?;
    lab.wait_vote(SECONDARY, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, SECONDARY, report.ms)
}
