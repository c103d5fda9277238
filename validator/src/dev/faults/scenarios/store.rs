//! The store fails: members die, data is lost or old, certificates do not hold.

use {
    super::machine::taken_over,
    crate::{
        dev::{
            cluster::{PRIMARY, SECONDARY},
            etcd::{MEMBERS, Plan},
            faults::{
                lab::{ACTIVE, CATCH_UP, END, Lab, until},
                round::Round,
            },
            interrupt,
            pki::Pki,
            process,
        },
        exit::{Failure, Status},
    },
    std::{
        fs,
        io::Write,
        process::{Command, Stdio},
        time::{Duration, Instant},
    },
    tandem_env::unix_nanos,
};

/// What must be true of the pair on other data, given the owner's last vote on the true data.
type Judge = fn(&mut Lab, Option<u64>) -> Result<Round, Failure>;

/// A vote may wait for etcd's next leader, within the write timeout.
const RESUME: Duration = Duration::from_secs(10);
/// How often a supervisor starts it again, and how long it is watched once it could claim.
const RESTARTS: u32 = 3;
const SILENT: Duration = Duration::from_secs(12);
/// One value: less than what a program may be given as one argument.
const FILLER_BYTES: u64 = 100_000;

pub fn leader_killed(lab: &mut Lab) -> Result<Round, Failure> {
    let leader = lab.etcd_leader()?;
    goes_on(lab, |lab| {
        lab.kill_member(leader);
        Ok(())
    })
}

pub fn member_killed(lab: &mut Lab) -> Result<Round, Failure> {
    let follower = (lab.etcd_leader()? + 1) % usize::from(MEMBERS);
    goes_on(lab, |lab| {
        lab.kill_member(follower);
        Ok(())
    })
}

pub fn quorum_lost_short(lab: &mut Lab) -> Result<Round, Failure> {
    goes_on(lab, |lab| {
        lab.kill_member(0);
        lab.kill_member(1);
        interrupt::pause(Duration::from_secs(2))?;
        lab.revive_etcd()
    })
}

pub fn quorum_lost_long(lab: &mut Lab) -> Result<Round, Failure> {
    let since = unix_nanos();
    let started = Instant::now();
    lab.kill_member(0);
    lab.kill_member(1);
    lab.gone(PRIMARY, &[Status::StoreLost], Duration::from_secs(10))?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    lab.revive_etcd()?;
    lab.cluster.start(PRIMARY)?;
    lab.cluster.wait_for(PRIMARY, "become ACTIVE again", CATCH_UP, |status| status.role == ACTIVE)?;
    lab.wait_vote(PRIMARY, CATCH_UP)?;
    interrupt::pause(Duration::from_secs(2))?;
    lab.round(since, PRIMARY, ms)
}

pub fn no_space(lab: &mut Lab) -> Result<Round, Failure> {
    goes_on(lab, |lab| {
        let pki = &lab.pki;
        let mut alarm = Command::new("curl");
        alarm.args(["-sS", "--fail", "--max-time", "5", "--cacert"]).arg(&pki.ca);
        alarm.arg("--cert").arg(&pki.client.cert).arg("--key").arg(&pki.client.key);
        alarm.arg(format!("{}/v3/maintenance/alarm", lab.etcd.plan().client_url(0)));
        let leader = lab.etcdctl(Some(0), &["endpoint", "status", "-w", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&leader).map_err(Failure::failed)?;
        let member = &status[0]["Status"]["header"]["member_id"];
        alarm.arg("-d").arg(format!(r#"{{"action":"ACTIVATE","memberID":"{member}","alarm":"NOSPACE"}}"#));
        process::output(alarm, Duration::from_secs(10))?;
        if !lab.etcdctl(None, &["alarm", "list"])?.contains("NOSPACE") {
            return Err(Failure::failed("the alarm was not raised"));
        }
        interrupt::pause(Duration::from_millis(1500))?;
        lab.etcdctl(None, &["alarm", "disarm"]).map(drop)
    })
}

/// No alarm by hand: the database grows past its quota, and it may be the owner's own record that crosses it. That one etcd keeps and
/// answers with an error.
pub fn quota_crossed(lab: &mut Lab) -> Result<Round, Failure> {
    patient(lab)?;
    let size = database_bytes(lab)?;
    let quota = size + 4 * FILLER_BYTES;
    lab.etcd.restart_with(&["--quota-backend-bytes".to_owned(), quota.to_string()], &lab.pki)?;
    let crossed = goes_on(lab, |lab| {
        let filler = "x".repeat(usize::try_from(FILLER_BYTES).unwrap_or_default());
        let mut number = 0;
        until("etcd has no space left", CATCH_UP, || {
            // Close to the quota the owner's records do the rest; etcd's file grows in steps, so a little more now and then.
            number += 1;
            let value = if number <= 3 { filler.as_str() } else { &filler[..1024] };
            let _ = lab.etcdctl(None, &["put", &format!("/filler/{number}"), value]);
            lab.etcdctl(None, &["alarm", "list"]).is_ok_and(|alarms| alarms.contains("NOSPACE"))
        })?;
        interrupt::pause(Duration::from_secs(2))?;
        // What a runbook says: delete, compact, defragment, disarm.
        lab.etcdctl(None, &["del", "--prefix", "/filler/"])?;
        let status = lab.etcdctl(Some(0), &["endpoint", "status", "-w", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(Failure::failed)?;
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        lab.etcdctl(Some(0), &["compact", revision.as_str(), "--physical"])?;
        for member in 0..MEMBERS {
            lab.etcdctl(Some(member), &["defrag"])?;
        }
        lab.etcdctl(None, &["alarm", "disarm"]).map(drop)
    });
    lab.etcd.restart_with(&[], &lab.pki)?;
    crossed
}

fn database_bytes(lab: &Lab) -> Result<u64, Failure> {
    let mut largest = 0;
    for member in 0..MEMBERS {
        let status = lab.etcdctl(Some(member), &["endpoint", "status", "-w", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(Failure::failed)?;
        largest = largest.max(status[0]["Status"]["dbSize"].as_u64().unwrap_or_default());
    }
    Ok(largest)
}

pub fn compaction(lab: &mut Lab) -> Result<Round, Failure> {
    goes_on(lab, |lab| {
        let status = lab.etcdctl(Some(0), &["endpoint", "status", "-w", "json"])?;
        let status: serde_json::Value = serde_json::from_str(&status).map_err(Failure::failed)?;
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        lab.etcdctl(Some(0), &["compact", revision.as_str(), "--physical"])?;
        for member in 0..MEMBERS {
            lab.etcdctl(Some(member), &["defrag"])?;
        }
        Ok(())
    })
}

/// Breaks something that the owner must outlive: it votes again in time, and neither ends nor loses the identity.
fn goes_on(lab: &mut Lab, fault: impl FnOnce(&mut Lab) -> Result<(), Failure>) -> Result<Round, Failure> {
    let before = lab.cluster.status(PRIMARY)?;
    let since = unix_nanos();
    let started = Instant::now();
    fault(lab)?;
    lab.wait_vote(PRIMARY, RESUME)?;
    let ms = started.elapsed().as_secs_f64() * 1e3;
    lab.wait_vote(PRIMARY, RESUME)?;
    interrupt::pause(Duration::from_secs(2))?;
    let after = lab.cluster.status(PRIMARY)?;
    if after.term != before.term {
        return Err(Failure::failed(format!("term {:?} became {:?}", before.term, after.term)));
    }
    lab.round(since, PRIMARY, ms)
}

pub fn restored_backup(lab: &mut Lab) -> Result<Round, Failure> {
    from_backup(lab, refuses_to_vote)
}

/// The same, and then somebody restarts both machines: what they knew must not be forgotten.
pub fn restored_backup_restarts(lab: &mut Lab) -> Result<Round, Failure> {
    from_backup(lab, |lab, last_vote| {
        let round = refuses_to_vote(lab, last_vote)?;
        lab.kill(SECONDARY);
        for index in [PRIMARY, SECONDARY] {
            lab.cluster.start(index)?;
        }
        stays_silent(lab, PRIMARY)?;
        stays_silent(lab, SECONDARY)?;
        match lab.set_identity(SECONDARY, "validator-keypair", &[]) {
            Ok(report) if report.role == ACTIVE => {
                Err(Failure::failed("after a restart the secondary became ACTIVE on the word of a restored store"))
            }
            Ok(_) | Err(_) => Ok(round),
        }
    })
}

fn from_backup(lab: &mut Lab, judge: Judge) -> Result<Round, Failure> {
    let backup = lab.dir.join("backup.db");
    let _ = fs::remove_file(&backup);
    patient(lab)?;
    lab.etcdctl(Some(0), &["snapshot".as_ref(), "save".as_ref(), backup.as_os_str()])?;
    // Votes that the backup knows nothing of.
    for _ in 0..3 {
        lab.wait_vote(PRIMARY, CATCH_UP)?;
    }
    with_other_data(
        lab,
        |lab| {
            for member in 0..MEMBERS {
                let plan = lab.etcd.plan();
                let mut restore = lab.etcdctl_program();
                restore.args(["snapshot", "restore"]).arg(&backup).arg("--name").arg(format!("m{member}"));
                restore.arg("--data-dir").arg(plan.data_dir(member));
                restore.args(["--initial-cluster", &plan.initial_cluster()]);
                restore.args(["--initial-cluster-token", "tandem-dev"]);
                restore.args(["--initial-advertise-peer-urls", &plan.peer_url(member)]);
                process::output(restore, Duration::from_secs(30))?;
            }
            Ok(())
        },
        judge,
    )
}

pub fn wiped(lab: &mut Lab) -> Result<Round, Failure> {
    patient(lab)?;
    with_other_data(lab, |_| Ok(()), refuses_to_vote)
}

/// The same under a supervisor that starts the owner again whatever it ended with (`Restart=always`).
pub fn wiped_restart_always(lab: &mut Lab) -> Result<Round, Failure> {
    patient(lab)?;
    with_other_data(
        lab,
        |_| Ok(()),
        |lab, last_vote| {
            let round = refuses_to_vote(lab, last_vote)?;
            for _ in 0..RESTARTS {
                lab.cluster.start(PRIMARY)?;
                stays_silent(lab, PRIMARY)?;
                lab.kill(PRIMARY);
            }
            Ok(round)
        },
    )
}

/// Started on a store that is not the one it knew: it ends with a reason, or stands by; it never votes.
fn stays_silent(lab: &mut Lab, index: usize) -> Result<(), Failure> {
    let started = Instant::now();
    let mut caught_up_at = None;
    loop {
        let process = lab.cluster.nodes[index].process.as_mut();
        if process.is_none_or(|process| process.try_wait().is_some()) {
            return lab.gone(index, &[Status::Refused, Status::TowerMissing], END);
        }
        if let Ok(status) = lab.cluster.status(index) {
            // A claim would be too much already: it would begin to take the chain's tower for its own.
            if status.role == ACTIVE || status.term.is_some() {
                let (name, role) = (&lab.cluster.nodes[index].name, status.role);
                return Err(Failure::failed(format!(
                    "{name} is {role}, with a term, on a store that lost what it knew"
                )));
            }
            if status.caught_up {
                caught_up_at.get_or_insert_with(Instant::now);
            }
        }
        if caught_up_at.is_some_and(|at| at.elapsed() > SILENT) {
            return Ok(());
        }
        if started.elapsed() > CATCH_UP + SILENT {
            return Err(Failure::failed("it has neither ended nor caught up"));
        }
        interrupt::pause(Duration::from_millis(50))?;
    }
}

/// Starts the owner anew with a write timeout that outlasts the change of etcd's data: it must meet the other data, not end
/// because there is none.
fn patient(lab: &mut Lab) -> Result<(), Failure> {
    lab.end(PRIMARY)?;
    lab.cluster.nodes[PRIMARY].changes.insert("--etcd-write-timeout", Some("120000".to_owned()));
    lab.cluster.start(PRIMARY)?;
    lab.cluster.wait_for(PRIMARY, "become ACTIVE again", CATCH_UP, |status| status.role == ACTIVE)?;
    lab.wait_vote(PRIMARY, CATCH_UP)
}

/// Puts other data in the place of etcd's, under the running nodes; sees that neither votes on its word, also when it is told to
/// take over; then puts the true data back.
fn with_other_data(
    lab: &mut Lab,
    make: impl FnOnce(&mut Lab) -> Result<(), Failure>,
    judge: Judge,
) -> Result<Round, Failure> {
    (0..usize::from(MEMBERS)).for_each(|member| lab.kill_member(member));
    let last_vote = lab.cluster.status(PRIMARY)?.last_vote;
    let set_aside = |plan: &Plan, member| plan.data_dir(member).with_extension("true");
    for member in 0..MEMBERS {
        let plan = lab.etcd.plan();
        fs::rename(plan.data_dir(member), set_aside(plan, member)).map_err(Failure::failed)?;
    }
    make(lab)?;
    lab.revive_etcd()?;
    let judged = judge(lab, last_vote);
    // The true data is put back whatever was seen.
    (0..usize::from(MEMBERS)).for_each(|member| lab.kill_member(member));
    lab.kill(PRIMARY);
    lab.kill(SECONDARY);
    for member in 0..MEMBERS {
        let plan = lab.etcd.plan();
        fs::remove_dir_all(plan.data_dir(member)).map_err(Failure::failed)?;
        fs::rename(set_aside(plan, member), plan.data_dir(member)).map_err(Failure::failed)?;
    }
    lab.revive_etcd()?;
    judged
}

fn refuses_to_vote(lab: &mut Lab, last_vote: Option<u64>) -> Result<Round, Failure> {
    let started = Instant::now();
    // One record may have been on its way.
    let allowed = last_vote.map(|slot| slot + 1);
    let taken = lab.set_identity(SECONDARY, "validator-keypair", &[]);
    if let Ok(report) = &taken
        && report.role == ACTIVE
    {
        return Err(Failure::failed("the secondary became ACTIVE on the word of a store that is not the one it knew"));
    }
    let mut voted = None;
    until("the owner has ended", END, || {
        if let Ok(status) = lab.cluster.status(PRIMARY) {
            voted = voted.max(status.last_vote);
        }
        lab.cluster.nodes[PRIMARY].process.as_mut().is_none_or(|process| process.try_wait().is_some())
    })?;
    lab.gone(PRIMARY, &[Status::Refused, Status::Fenced], END)?;
    let why = lab.last_error(PRIMARY).unwrap_or_default();
    if !why.contains("failover recover") {
        return Err(Failure::failed(format!("the owner does not name the remedy: {why}")));
    }
    if voted > allowed {
        return Err(Failure::failed(format!("the owner voted on to {voted:?} after {last_vote:?}")));
    }
    Ok(Round { ms: started.elapsed().as_secs_f64() * 1e3, ..Round::default() })
}

/// A value that is no text.
fn put(lab: &Lab, key: &str, value: &[u8]) -> Result<(), Failure> {
    let mut command = lab.etcdctl_command(None, &["put", key]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(Failure::failed)?;
    child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(value)).map_err(Failure::failed)?;
    let ended = child.wait().map_err(Failure::failed)?;
    if ended.success() { Ok(()) } else { Err(Failure::failed(format!("etcdctl put {key} ended with {ended}"))) }
}

pub fn certificate_expired(lab: &mut Lab) -> Result<Round, Failure> {
    let pair = &lab.pki.expired;
    let (cert, key) = (pair.cert.display().to_string(), pair.key.display().to_string());
    let changes = [("--etcd-cert-file", cert), ("--etcd-key-file", key)];
    without_the_store(lab, changes)
}

pub fn wrong_ca(lab: &mut Lab) -> Result<Round, Failure> {
    let other = Pki::create(&lab.dir.join("other-certs"))?;
    let ca = other.ca.display().to_string();
    let key = lab.pki.client.key.display().to_string();
    without_the_store(lab, [("--etcd-cacert-file", ca), ("--etcd-key-file", key)])
}

/// The primary is restarted with credentials that etcd does not take: it must take nothing, and say why.
fn without_the_store(lab: &mut Lab, changes: [(&'static str, String); 2]) -> Result<Round, Failure> {
    lab.end(PRIMARY)?;
    let since = unix_nanos();
    for (flag, value) in changes {
        lab.cluster.nodes[PRIMARY].changes.insert(flag, Some(value));
    }
    lab.cluster.start(PRIMARY)?;
    lab.gone(PRIMARY, &[Status::StoreLost, Status::Usage], END)?;
    taken_over(lab, since)
}

/// The tower is taken out of the store while the owner is stopped, as if this were the wrong store.
pub fn require_tower(lab: &mut Lab) -> Result<Round, Failure> {
    let started = Instant::now();
    lab.signal(PRIMARY, rustix::process::Signal::STOP);
    let keys = lab.etcdctl(None, &["get", "--prefix", "--keys-only", "/tandem/v1/"])?;
    let tower = keys.lines().find(|key| key.ends_with("/tower"));
    let tower = tower.ok_or_else(|| Failure::failed(format!("no tower among the keys of etcd: {keys}")))?;
    let owner = tower.replace("/tower", "/owner");
    let owner_before = lab.etcdctl(None, &["get", owner.as_str(), "-w", "json"])?;
    let bytes = lab.etcdctl_command(None, &["get", "--print-value-only", tower]).output().map_err(Failure::failed)?;
    let bytes = bytes.stdout.strip_suffix(b"\n").unwrap_or(&bytes.stdout);
    lab.etcdctl(None, &["del", tower])?;
    let refused = lab.set_identity(SECONDARY, "validator-keypair", &["--require-tower"]);
    let owner_after = lab.etcdctl(None, &["get", owner.as_str(), "-w", "json"])?;
    lab.signal(PRIMARY, rustix::process::Signal::CONT);
    let ms = started.elapsed().as_secs_f64() * 1e3;
    match refused {
        Ok(report) => return Err(Failure::failed(format!("not refused: {}", report.role))),
        // 9, the tower is missing; or 5, by a node that has seen the tower that is missing now.
        Err(failure) if ["exit status: 9", "exit status: 5"].iter().any(|text| failure.to_string().contains(text)) => {}
        Err(failure) => return Err(Failure::failed(format!("refused, but not for the tower: {failure}"))),
    }
    let revision = |text: &str| -> Result<serde_json::Value, Failure> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(Failure::failed)?;
        Ok(json["kvs"][0]["mod_revision"].clone())
    };
    if revision(&owner_before)? != revision(&owner_after)? {
        return Err(Failure::failed("the refused takeover has written the owner"));
    }
    let secondary = lab.cluster.status(SECONDARY)?;
    if secondary.role != "STANDBY" {
        return Err(Failure::failed(format!("the refused node is {}", secondary.role)));
    }
    // The owner finds its tower gone and must not vote on; it is started anew, with the tower back where it was.
    lab.kill(PRIMARY);
    put(lab, tower, bytes)?;
    Ok(Round { ms, ..Round::default() })
}
