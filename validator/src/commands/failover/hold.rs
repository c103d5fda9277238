//! `failover hold`.

use {
    super::{Source, date, print_json, source},
    crate::{
        args::{HoldArgs, HoldWish},
        exit::Failure,
    },
    serde_json::json,
    std::path::Path,
    tandem_env::wall_clock,
    tandem_role::hints::HoldRecord,
};

pub fn hold(ledger: &Path, args: &HoldArgs) -> Result<(), Failure> {
    let on = match args.wish {
        HoldWish::On => Some(true),
        HoldWish::Off => Some(false),
        HoldWish::Show => None,
    };
    if args.lasts.is_some() && on != Some(true) {
        return Err(Failure::usage("--for goes with `failover hold on`"));
    }
    let hold: Option<HoldRecord> = match source(ledger, &args.target)? {
        Source::Node(mut client) => {
            let ms = args.lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX));
            let params = if on.is_some() { json!([on, args.reason, ms]) } else { json!([]) };
            client.call("tandemFailoverHold", params)?
        }
        Source::Store(desk) => match on {
            Some(on) => desk.set_hold(on, args.reason.clone(), args.lasts).map(Some)?,
            None => desk.hold()?,
        },
    };
    let held = hold.as_ref().is_some_and(|hold| hold.holds(wall_clock()));
    if args.format.json() {
        return print_json(&json!({ "held": held, "hold": hold }));
    }
    match hold.filter(|_| held) {
        Some(hold) => {
            let until =
                hold.until.map_or("until `failover hold off`".to_owned(), |until| format!("until {}", date(until)));
            println!("hold is ON {until}, by {}: {}", hold.by, hold.reason);
            println!("no standby promotes itself; `set-identity` works as ever");
        }
        None => println!("hold is off: standbys with --failover auto may promote themselves"),
    }
    Ok(())
}
