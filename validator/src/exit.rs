//! How every command ends: an exit status that monitoring can act on, and one line for a person.

use std::{error::Error, fmt, process::ExitCode};

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
    Twin = 10,
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
            10 => Status::Twin,
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

    /// A failed operation with everything that led to it. What an error says of its source already is not said again.
    pub fn caused(status: Status, error: &dyn Error) -> Self {
        let mut what = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !what.contains(&cause_text) {
                what = format!("{what}: {cause_text}");
            }
            source = cause.source();
        }
        Self::new(status, what)
    }

    pub fn remedy(mut self, remedy: impl fmt::Display) -> Self {
        self.remedy = Some(remedy.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever was quoted: logs and monitoring read lines.
        let lines = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.collect::<Vec<_>>().join("; ").replace(":; ", ": ")
        };
        f.write_str(&lines(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, " — {}", lines(remedy)),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_with_its_causes_and_the_remedy() {
        let cause = std::io::Error::other("no such device");
        let failure = Failure::caused(Status::Failed, &cause).remedy("plug it in");
        assert_eq!(failure.to_string(), "no such device — plug it in");
        let twice = std::io::Error::other(Failure::failed("no such device"));
        assert_eq!(Failure::caused(Status::Failed, &twice).to_string(), "no such device");
        let quoted = Failure::refused("etcd:\n  m0: refused\n\n  m1: refused\n");
        assert_eq!(quoted.to_string(), "etcd: m0: refused; m1: refused");
    }

    #[test]
    fn statuses_survive_the_admin_socket() {
        for status in
            [Status::Done, Status::Usage, Status::Refused, Status::TimedOut, Status::Fenced, Status::StoreLost]
        {
            assert_eq!(Status::from_code(status as u8), status);
        }
        assert_eq!(Status::from_code(Status::TowerMissing as u8), Status::TowerMissing);
        assert_eq!(Status::from_code(Status::Twin as u8), Status::Twin);
        assert_eq!(Status::from_code(77), Status::Failed);
    }
}
