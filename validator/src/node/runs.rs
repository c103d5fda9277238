//! The runs of this ledger folder. Whoever holds the folder's lock knows that the runs recorded before it have ended, so that a
//! node that comes back after a crash need not ask its own dead run to let the identity go.

use {
    crate::exit::{Failure, Status},
    std::{
        fs, io,
        path::{Path, PathBuf},
    },
    tandem_env::write_durably,
    tandem_types::InstanceId,
};

/// Records `run` as the newest run of the ledger, durably, and returns those before it. The caller holds the ledger's lock, and
/// claims nothing before this returns.
pub fn record(ledger: &Path, run: InstanceId) -> Result<Vec<InstanceId>, Failure> {
    let path = file_of(ledger);
    let mut runs = match fs::read(&path) {
        Ok(bytes) => parse(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(Failure::failed(format!("reading {}: {error}", path.display()))
                .remedy("let this user read and write it, or remove it: it only makes restarts faster"));
        }
    };
    let before = runs.clone();
    runs.push(run);
    let kept = &runs[runs.len().saturating_sub(RUNS_MAX)..];
    let text: String = kept.iter().map(|run| format!("{run}\n")).collect();
    write_durably(&path, text.as_bytes()).map_err(|error| Failure::caused(Status::Failed, &error))?;
    Ok(before)
}

pub fn file_of(ledger: &Path) -> PathBuf {
    ledger.join("runs")
}

/// What is no run is passed over: a run that is not known is asked to let go, which costs two seconds.
fn parse(text: &str) -> Vec<InstanceId> {
    let run = |line: &str| {
        let is_one = line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| u128::from_str_radix(line, 16).ok()).flatten().map(|number| InstanceId(number.to_be_bytes()))
    };
    let runs: Vec<InstanceId> = text.lines().filter_map(run).collect();
    runs[runs.len().saturating_sub(RUNS_MAX)..].to_vec()
}

/// The owner in the store may be an older run than the last: one that claimed before runs that ended too early to claim.
const RUNS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use {super::*, tempfile::TempDir};

    fn run(number: u8) -> InstanceId {
        InstanceId([number; 16])
    }

    #[test]
    fn each_run_learns_of_those_before_it() {
        let folder = TempDir::new().expect("a folder");
        for number in 0..20 {
            let before = record(folder.path(), run(number)).expect("recorded");
            let expected: Vec<InstanceId> = (number.saturating_sub(16)..number).map(run).collect();
            assert_eq!(before, expected);
        }
        let text = fs::read_to_string(file_of(folder.path())).expect("the file");
        assert_eq!(text.lines().count(), 16);
        assert_eq!(text.lines().last(), Some("13131313131313131313131313131313"));
    }

    #[test]
    fn what_is_no_run_is_passed_over() {
        let folder = TempDir::new().expect("a folder");
        let good = run(0xab).to_string();
        let text = format!("+{}\n{good}\n{good}0\n\nzz\n{}\n", &good[1..], &good[..31]);
        fs::write(file_of(folder.path()), [text.as_bytes(), b"\xff\xfe\n"].concat()).expect("written");
        assert_eq!(record(folder.path(), run(1)).expect("recorded"), [run(0xab)]);
        assert_eq!(record(folder.path(), run(2)).expect("recorded"), [run(0xab), run(1)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_remedy() {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir(file_of(folder.path())).expect("a folder in its place");
        let failure = record(folder.path(), run(1)).expect_err("no file");
        assert!(failure.what.contains("runs"), "{failure}");
        assert!(failure.remedy.is_some_and(|remedy| remedy.contains("remove it")));
    }
}
