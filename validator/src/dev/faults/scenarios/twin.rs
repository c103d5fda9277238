//! A second process with the same keys and a store of its own (I7): the fence cannot part the two, so each must find out by itself.

use {
    crate::{
        dev::{
            cluster::{PRIMARY, VOTER_B, store_flags},
            etcd::{Etcd, Plan},
            faults::{
                lab::{ACTIVE, CATCH_UP, END, FIRST_MEMBER, Lab, active, until},
                round::Round,
            },
            interrupt,
        },
        exit::{Failure, Status},
    },
    std::{
        fs,
        time::{Duration, Instant},
    },
    tandem_env::unix_nanos,
};

/// How long a twin that must not vote is watched once it has caught up.
const WATCH: Duration = Duration::from_secs(45);
/// Until the copy is found the cluster sends its shreds to the newer address. A leader that hears nobody makes its blocks on an old tip and
/// votes for them, up to the depth at which two thirds of the stake must have followed (8): the first of these votes is locked for 2^8
/// slots, some 103 s.
const LOCKED_OUT: Duration = Duration::from_secs(180);
/// What it must have said: the remedy, in its log.
const REMEDY: &str = "find the other process and stop it";

/// `--tower-storage etcd` was forgotten: a file store of its own, in a folder of its own.
pub fn file_store(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let term = lab.cluster.status(PRIMARY)?.term;
    let twin = lab.cluster.add_twin(PRIMARY, insisting(Vec::new()))?;
    let started = Instant::now();
    lab.cluster.start(twin)?;
    never_active(lab, twin, CATCH_UP, true)?;
    lab.gone(twin, &[Status::Twin], END)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    says_why(lab, twin)?;
    owner_goes_on(lab, term)?;
    lab.round(since, PRIMARY, ms)
}

/// The same flags with the endpoints of another etcd.
pub fn second_etcd(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let term = lab.cluster.status(PRIMARY)?.term;
    let folder = lab.dir.join("second-etcd");
    fs::create_dir_all(&folder).map_err(Failure::failed)?;
    let places = lab.network.as_ref().map(|network| (0..3).map(|index| network.place(FIRST_MEMBER + index)).collect());
    let plan = Plan {
        program: lab.etcd.plan().program.clone(),
        folder: folder.clone(),
        port: lab.etcd.plan().port + PORTS_APART,
        places: places.unwrap_or_default(),
        more: Vec::new(),
    };
    let other = Etcd::start_planned(plan, &lab.pki)?;
    let twin = lab.cluster.add_twin(PRIMARY, insisting(store_flags(&other, &lab.pki)))?;
    let started = Instant::now();
    lab.cluster.start(twin)?;
    lab.cluster.wait_for(twin, "caught up", CATCH_UP, |status| status.caught_up)?;
    // It stands by, tries again, and is told again.
    never_active(lab, twin, WATCH, false)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    says_why(lab, twin)?;
    if lab.cluster.status(twin)?.twin.is_none() {
        return Err(Failure::failed(
            "the twin's status, from which doctor and monitor speak, does not show that there are two",
        ));
    }
    lab.kill(twin);
    drop(other);
    fs::remove_dir_all(&folder).map_err(Failure::failed)?;
    owner_goes_on(lab, term)?;
    lab.round(since, PRIMARY, ms)
}

/// A voter with a file store, and the same voter from another folder. A folder cannot tell who is right: whoever finds the other
/// ends, and both may.
pub fn second_folder(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let twin = lab.cluster.add_twin(VOTER_B, insisting(Vec::new()))?;
    let started = Instant::now();
    lab.cluster.start(twin)?;
    let mut ended = [false; 2];
    until("one of two processes with one key has ended", CATCH_UP, || {
        ended = [VOTER_B, twin]
            .map(|index| lab.cluster.nodes[index].process.as_mut().is_none_or(|process| process.try_wait().is_some()));
        ended.contains(&true)
    })?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    for (index, ended) in [VOTER_B, twin].into_iter().zip(ended) {
        if ended {
            lab.gone(index, &[Status::Twin], END)?;
            says_why(lab, index)?;
        }
    }
    // Whoever is left may find out too. Then the operator ends the copy, and starts the voter if it has gone; what the copy said last may
    // reach it only after that, and it is started once more.
    interrupt::pause(Duration::from_secs(5))?;
    lab.kill(twin);
    start_if_ended(lab, VOTER_B)?;
    if let Err(failure) = votes_again(lab, VOTER_B) {
        if !start_if_ended(lab, VOTER_B)? {
            return Err(failure);
        }
        votes_again(lab, VOTER_B)?;
    }
    lab.round(since, PRIMARY, ms)
}

/// What has found a twin has ended with that status, and is started again. True: it was.
fn start_if_ended(lab: &mut Lab, index: usize) -> Result<bool, Failure> {
    let process = lab.cluster.nodes[index].process.as_mut();
    let ended = process.is_none_or(|process| process.try_wait().is_some());
    if ended {
        lab.gone(index, &[Status::Twin], END)?;
        lab.cluster.start(index)?;
    }
    Ok(ended)
}

fn votes_again(lab: &mut Lab, index: usize) -> Result<(), Failure> {
    lab.cluster.wait_for(index, "become ACTIVE again", CATCH_UP, active)?;
    lab.wait_vote(index, LOCKED_OUT)
}

/// Without this a store that has no tower is quarantined, and nothing is ever claimed in it: the operator's second mistake is what
/// these scenarios are about.
fn insisting(mut store: Vec<String>) -> Vec<String> {
    store.push("--adopt-chain-tower".to_owned());
    store
}

/// Watches until it has ended (if it must) or the time is up.
fn never_active(lab: &mut Lab, twin: usize, limit: Duration, must_end: bool) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        if lab.cluster.status(twin).is_ok_and(|status| status.role == ACTIVE) {
            return Err(Failure::failed("a twin with another store became ACTIVE while the owner votes"));
        }
        let ended = lab.cluster.nodes[twin].process.as_mut().is_none_or(|process| process.try_wait().is_some());
        match (ended, must_end) {
            (true, true) => return Ok(()),
            (true, false) => return Err(Failure::failed("the twin has ended instead of standing by")),
            (false, true) if started.elapsed() > limit => {
                return Err(Failure::failed(format!("the twin still runs after {limit:?}")));
            }
            (false, false) if started.elapsed() > limit => return Ok(()),
            (false, _) => interrupt::pause(Duration::from_millis(50))?,
        }
    }
}

fn says_why(lab: &Lab, index: usize) -> Result<(), Failure> {
    let node = &lab.cluster.nodes[index];
    let log = fs::read_to_string(lab.dir.join(format!("{}.log", node.name))).map_err(Failure::failed)?;
    let said = log.lines().any(|line| line.contains(REMEDY));
    said.then_some(()).ok_or_else(|| Failure::failed(format!("{} does not say what to do", node.name)))
}

/// Under the same term, voting.
fn owner_goes_on(lab: &mut Lab, term: Option<u64>) -> Result<(), Failure> {
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    let after = lab.cluster.status(PRIMARY)?.term;
    (after == term).then_some(()).ok_or_else(|| Failure::failed(format!("term {term:?} became {after:?}")))
}

/// From the first etcd's ports: past its members' and their peers'.
const PORTS_APART: u16 = 20;
