//! `validator fault-tests`: failover.md's section 7 on real processes. Each scenario breaks something, again and again; then what
//! was released is judged, and what it cost is measured.

mod lab;
mod network;
mod round;
mod scenarios;
mod small_voter;
mod table;

use {
    super::{Folder, cluster::Genesis, interrupt},
    crate::{args::FaultTestsArgs, exit::Failure},
    lab::Lab,
    scenarios::{Need, SCENARIOS, Scenario},
    serde_json::json,
    std::{fs, path::Path, process::Command, time::Instant},
    table::Row,
};

pub fn run(args: &FaultTestsArgs) -> Result<(), Failure> {
    if args.list {
        for scenario in SCENARIOS {
            println!("{:<24} {}", scenario.name, scenario.what);
        }
        return Ok(());
    }
    let chosen = chosen(&args.only)?;
    interrupt::catch_signals();
    let folder = Folder::open(args.dir.as_deref())?;
    let started = Instant::now();
    let mut labs = Labs { folder: &folder.path, args, made: 0, current: None };
    let mut rows = Vec::new();
    for scenario in chosen {
        rows.push(play(scenario, &mut labs, started)?);
        report(&rows, args)?;
    }
    drop(labs);
    print!("\n{}", table::text(&rows));
    if rows.iter().all(Row::good) {
        return Ok(());
    }
    let bad: Vec<&str> = rows.iter().filter(|row| !row.good()).map(|row| row.scenario).collect();
    Err(Failure::failed(format!("not as promised: {}", bad.join(", "))))
}

/// After each scenario: a run takes long, and what it has found must not be lost with it.
fn report(rows: &[Row], args: &FaultTestsArgs) -> Result<(), Failure> {
    let Some(path) = &args.json else { return Ok(()) };
    let etcd = version(&args.etcd);
    let json = json!({ "etcd": etcd, "scenarios": rows, "good": rows.iter().all(Row::good) });
    let text = serde_json::to_string_pretty(&json).map_err(Failure::failed)?;
    fs::write(path, text + "\n").map_err(|error| Failure::failed(format!("--json {}: {error}", path.display())))
}

fn version(program: &Path) -> String {
    let mut command = Command::new(program);
    command.arg("--version");
    super::process::output(command, std::time::Duration::from_secs(5))
        .map(|text| text.lines().next().unwrap_or_default().to_owned())
        .unwrap_or_else(|failure| failure.to_string())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Scenario>, Failure> {
    if only.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    only.iter()
        .map(|name| {
            SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
                Failure::usage(format!("--only {name}: there is no such scenario"))
                    .remedy("validator fault-tests --list names them")
            })
        })
        .collect()
}

/// One set of machines is used for all rounds, and made anew only when it cannot be mended.
struct Labs<'a> {
    folder: &'a Path,
    args: &'a FaultTestsArgs,
    made: u32,
    current: Option<Lab>,
}

impl Labs<'_> {
    fn ready(&mut self, genesis: Genesis) -> Result<&mut Lab, Failure> {
        if self.current.as_ref().is_some_and(|lab| lab.genesis != genesis) {
            self.current = None;
        }
        if let Some(lab) = &mut self.current
            && let Err(failure) = lab.ready()
        {
            interrupt::check()?;
            println!("these machines cannot be mended, so others are made: {failure}");
            self.current = None;
        }
        if self.current.is_none() {
            self.made += 1;
            let dir = self.folder.join(format!("lab{}", self.made));
            self.current = Some(Lab::start(&dir, self.args, genesis)?);
        }
        let lab = self.current.as_mut().ok_or_else(|| Failure::failed("no machines"))?;
        lab.ready()?;
        Ok(lab)
    }
}

fn play(scenario: &'static Scenario, labs: &mut Labs<'_>, started: Instant) -> Result<Row, Failure> {
    let mut row = Row::new(scenario);
    let mut rounds = Vec::new();
    let wanted = labs.args.rounds;
    for number in 1..=wanted {
        let lab = labs.ready(scenario.genesis)?;
        if let Some(reason) = scenario.needs.iter().find_map(|need| need.missing(lab)) {
            println!("SKIPPED {}: {reason}", scenario.name);
            row.skipped = Some(reason);
            return Ok(row);
        }
        println!("[{:>5.0} s] {} {number} of {}", started.elapsed().as_secs_f64(), scenario.name, wanted);
        let result = (scenario.run)(lab);
        interrupt::check()?;
        row.rounds += 1;
        match result {
            Ok(round) => {
                row.live += 1;
                rounds.push(round);
            }
            Err(failure) => {
                println!("  FAILED: {failure}");
                row.failures.push(format!("round {number}: {failure}"));
            }
        }
        row.judge(&lab.audit()?);
        if scenario.ruins {
            labs.current = None;
        }
        if !row.safe {
            // What contradicts itself would be found again in every round after it.
            labs.current = None;
            break;
        }
    }
    row.close(&rounds);
    Ok(row)
}

impl Need {
    /// Why the scenario cannot be played here.
    fn missing(self, lab: &Lab) -> Option<String> {
        match self {
            Self::Network if lab.network.is_none() => {
                Some("network namespaces need root, iproute2 and nftables".into())
            }
            Self::Network => None,
            Self::Program(program) => {
                let mut command = Command::new(program);
                command.arg("--version");
                let found = super::process::output(command, std::time::Duration::from_secs(5)).is_ok();
                (!found).then(|| format!("no {program} in PATH"))
            }
            Self::SmallDisk => {
                (!lab.has_small_disk()).then(|| "a small file system for the primary's ledger needs root".into())
            }
        }
    }
}
