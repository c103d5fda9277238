//! `validator tower diff`.

use {
    super::{named_identity, no_tower, read_file, read_store},
    crate::{args::TowerDiffArgs, commands::place::Place, exit::Failure},
    serde_json::json,
    std::path::Path,
    tandem_tower_storage::{Relation, StoredTower, relation},
    tandem_types::{Pubkey, Slot},
};

pub fn diff(ledger: &Path, args: &TowerDiffArgs) -> Result<(), Failure> {
    let names = [&args.first, &args.second];
    let mut identity = named_identity(&args.place)?;
    // Files first: they say whose tower the store is asked for.
    let mut towers: [Option<StoredTower>; 2] = [None, None];
    for (name, tower) in names.iter().zip(&mut towers).filter(|(name, _)| !is_store(name)) {
        let file = read_file(name, identity)?;
        identity = Some(file.identity);
        *tower = Some(file.tower);
    }
    for (_, tower) in names.iter().zip(&mut towers).filter(|(name, _)| is_store(name)) {
        let place = match identity {
            Some(identity) => Place::of(ledger, &args.place, identity)?,
            None => Place::new(ledger, &args.place)?,
        };
        *tower = Some(read_store(&place)?.tower.ok_or_else(|| no_tower(&place))?);
    }
    let [Some(first), Some(second)] = towers else {
        return Err(Failure::usage("two towers are compared").remedy("name two files, or a file and the word store"));
    };
    judge(args, identity, &first, &second)
}

fn is_store(name: &Path) -> bool {
    name == Path::new("store")
}

fn judge(
    args: &TowerDiffArgs,
    identity: Option<Pubkey>,
    first: &StoredTower,
    second: &StoredTower,
) -> Result<(), Failure> {
    let names = [args.first.display().to_string(), args.second.display().to_string()];
    let relation = relation(first.tower(), second.tower());
    let (word, verdict) = match &relation {
        // The same slots may still have been voted for with other hashes.
        Relation::Same if first.last_vote().map(|vote| vote.hash) != second.last_vote().map(|vote| vote.hash) => {
            ("contradiction", "the last votes are for one slot and two different blocks".to_owned())
        }
        Relation::Same => ("same", "the same votes".to_owned()),
        Relation::Newer => ("newer", format!("{} can have grown out of {}", names[1], names[0])),
        Relation::Older => ("older", format!("{} can have grown out of {}", names[0], names[1])),
        Relation::Contradiction(why) => ("contradiction", format!("no voting leads from one to the other: {why}")),
    };
    let mut slots: Vec<Slot> =
        [first, second].iter().flat_map(|tower| &tower.tower().votes).map(|vote| vote.0).collect();
    slots.sort_unstable();
    slots.dedup();
    let confirmations = |tower: &StoredTower, slot: Slot| {
        tower.tower().votes.iter().find(|(voted, _)| *voted == slot).map(|(_, count)| *count)
    };
    let differing: Vec<(Slot, Option<u32>, Option<u32>)> = slots
        .into_iter()
        .map(|slot| (slot, confirmations(first, slot), confirmations(second, slot)))
        .filter(|(_, one, other)| one != other)
        .collect();
    if args.format.json() {
        let votes: Vec<_> =
            differing.iter().map(|(slot, one, other)| json!({ "slot": slot, "first": one, "second": other })).collect();
        println!(
            "{}",
            json!({
                "identity": identity.map(|identity| identity.to_string()),
                "second": word,
                "verdict": verdict,
                "lastVotes": [first.last_slot(), second.last_slot()],
                "roots": [first.tower().root, second.tower().root],
                "confirmations": votes,
            })
        );
    } else {
        let show = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        println!("A: {}   last vote {}, root {}", names[0], show(first.last_slot()), show(first.tower().root));
        println!("B: {}   last vote {}, root {}", names[1], show(second.last_slot()), show(second.tower().root));
        if !differing.is_empty() {
            println!("{:>12}  {:>8}  {:>8}   confirmations", "slot", "A", "B");
        }
        for (slot, one, other) in differing {
            println!("{slot:>12}  {:>8}  {:>8}", show(one.map(u64::from)), show(other.map(u64::from)));
        }
        println!("{verdict}");
    }
    if word == "same" { Ok(()) } else { Err(Failure::failed(format!("the towers differ: {verdict}"))) }
}
