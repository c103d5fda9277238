//! The preflight: is this store usable, and if not, what is wrong and what to do, one line for each finding.

use {
    crate::{
        classify::Failure,
        kv::{Core, EtcdKv},
        member::Member,
        tls::FileError,
    },
    std::{fmt, sync::Arc, time::Duration},
    tokio::{task::JoinSet, time},
};

/// What a usable store looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckReport {
    /// etcd's cluster id.
    pub store_id: u64,
    pub members: Vec<MemberReport>,
    /// What works now and will not for long, or not for all: one line each.
    pub warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberReport {
    pub endpoint: String,
    pub version: String,
    pub is_leader: bool,
    pub db_bytes: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckError {
    #[error("etcd certificate file {0}")]
    File(FileError),
    /// One line for each member.
    #[error("no etcd member can be used:\n{}", Lines(.0))]
    NoMember(Vec<String>),
    #[error("the etcd endpoints belong to different clusters ({0}): name the members of one cluster only")]
    TwoClusters(String),
}

impl EtcdKv {
    /// Asks every member, with a linearizable read, within `deadline`. At least one must answer.
    pub fn check(&self, deadline: Duration) -> Result<CheckReport, CheckError> {
        let mut warnings = match &self.core.tls {
            Some(tls) => tls.check().map_err(CheckError::File)?,
            None => vec!["the connection to etcd is not encrypted: use https:// beyond one machine".to_owned()],
        };
        let core = self.core.clone();
        let asked = self.threads.run(deadline + Duration::from_millis(100), ask_all(core, deadline));
        let asked = asked.ok_or_else(|| CheckError::NoMember(vec!["this machine is too busy to ask".to_owned()]))?;
        let mut found: Vec<(u64, MemberReport)> = Vec::new();
        let mut failures: Vec<String> = Vec::new();
        for (member, result) in asked {
            match result {
                Ok((store_id, report, complaints)) => {
                    found.push((store_id, report));
                    warnings.extend(complaints);
                }
                Err(reason) => failures.push(format!("{}: {reason}", member.name)),
            }
        }
        let Some(store_id) = found.first().map(|(store_id, _)| *store_id) else {
            return Err(CheckError::NoMember(failures));
        };
        if found.iter().any(|(other, _)| *other != store_id) {
            let ids = found.iter().map(|(id, report)| format!("{} is of {id:x}", report.endpoint));
            return Err(CheckError::TwoClusters(ids.collect::<Vec<_>>().join(", ")));
        }
        if found.len() == 1 && failures.is_empty() {
            warnings.push("one etcd endpoint only: when that machine is down, the validator cannot vote".to_owned());
        }
        warnings.extend(failures);
        Ok(CheckReport { store_id, members: found.into_iter().map(|(_, report)| report).collect(), warnings })
    }
}

type Answer = Result<(u64, MemberReport, Vec<String>), String>;

async fn ask_all(core: Arc<Core>, deadline: Duration) -> Vec<(Arc<Member>, Answer)> {
    let mut asked = JoinSet::new();
    for (index, member) in core.members.iter().cloned().enumerate() {
        let core = core.clone();
        asked.spawn(async move {
            let answer = time::timeout(deadline, ask(&core, &member)).await.unwrap_or_else(|_elapsed| {
                Err(format!("no answer within {} ms: it hangs, or its cluster has no leader", deadline.as_millis()))
            });
            (index, member, answer)
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(index, _, _)| *index);
    answers.into_iter().map(|(_, member, answer)| (member, answer)).collect()
}

async fn ask(core: &Core, member: &Arc<Member>) -> Answer {
    let read = member.client.kv_client().get("/tandem/probe", None).await;
    let read = read.map_err(|error| match core.classify(&error) {
        Failure::NotDone(reason) | Failure::Refused(reason) | Failure::Unknown(reason) => reason,
        Failure::LeaseGone => error.to_string(),
    })?;
    let store_id = read.header().map(|header| header.cluster_id()).ok_or("its answer has no header")?;
    member.answered();
    let status = member.client.maintenance_client().status().await.map_err(|error| error.to_string())?;
    let report = MemberReport {
        endpoint: member.name.clone(),
        version: status.version().to_owned(),
        is_leader: status.header().is_some_and(|header| header.member_id() == status.leader()),
        db_bytes: status.db_size(),
    };
    // NOSPACE and CORRUPT alarms, in etcd's own words.
    let complaints = status.errors().iter().map(|error| format!("{}: etcd reports {error}", member.name)).collect();
    Ok((store_id, report, complaints))
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
