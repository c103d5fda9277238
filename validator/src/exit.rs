//! How every command ends: an exit status that monitoring can act on, and three lines for a person.

use std::{fmt, process::ExitCode};

/// Exit statuses; docs/book has a runbook for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Refused = 5,
    TimedOut = 6,
    Fenced = 7,
    StoreLost = 8,
    TowerMissing = 9,
}

impl Status {
    pub fn from_code(code: u8) -> Status {
        match code {
            0 => Status::Done,
            2 => Status::Usage,
            5 => Status::Refused,
            6 => Status::TimedOut,
            7 => Status::Fenced,
            8 => Status::StoreLost,
            9 => Status::TowerMissing,
            _ => Status::Failed,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// Why a command did not do what was asked: what was tried, the reason, and the command or change that mends it.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub what: String,
    pub remedy: Option<String>,
}

impl Failure {
    pub fn new(status: Status, what: impl fmt::Display) -> Self {
        Self { status, what: what.to_string(), remedy: None }
    }

    pub fn failed(what: impl fmt::Display) -> Self {
        Self::new(Status::Failed, what)
    }

    pub fn usage(what: impl fmt::Display) -> Self {
        Self::new(Status::Usage, what)
    }

    pub fn refused(what: impl fmt::Display) -> Self {
        Self::new(Status::Refused, what)
    }

    pub fn remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = Some(remedy.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, " — {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
