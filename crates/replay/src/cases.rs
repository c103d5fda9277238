//! The rules as cases:
//!
//! ```text
//!   seen 2<1             a shred of 2 that names 1 as parent      own 5<4      our producer makes 5
//!   ready 2:3  2:3.      components before 3 are there (all)      executed 2:3
//!   frozen 2  2'         with this hash (2' is another)           failed 2     agreed 2'
//!   root 2               prefer 2                                 condemned 2  the ledger says it is not valid
//!   line => begin 2<1, execute 2 0..3, finish 2        exactly these effects, in this order (`nothing`: none)
//! ```

use {
    crate::{Config, Effect, Event, Replay, StateView},
    tandem_types::{Hash, Slot},
};

fn check(case: &str) {
    play(Config { executing_max: 8, unrooted_max: 100, ahead_max: 1000 }, case);
}

fn play(config: Config, case: &str) -> Replay {
    let mut replay = Replay::new(config, 0, hash("0"));
    let mut log = String::new();
    for line in case.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, wanted) = line.split_once("=>").map_or((line, None), |(left, right)| (left, Some(right.trim())));
        let (verb, rest) = command.trim().split_once(' ').unwrap_or((command, ""));
        let mut out = Vec::new();
        for argument in rest.split_whitespace() {
            replay.handle(event(verb, argument), &mut out);
        }
        let got = out.iter().map(render).collect::<Vec<_>>().join(", ");
        log += &format!("{line}\n      got: {got}\n");
        if let Some(wanted) = wanted {
            assert_eq!(if got.is_empty() { "nothing" } else { &got }, wanted, "\n{log}");
        }
    }
    replay
}

fn event(verb: &str, text: &str) -> Event {
    let number = |text: &str| -> Slot { text.trim_matches(['\'', '.']).parse().expect("a number") };
    let (slot, parent) = text.split_once('<').map_or((0, 0), |(slot, parent)| (number(slot), number(parent)));
    let (named, upto) = text.split_once(':').map_or((0, 0), |(slot, upto)| (number(slot), number(upto) as u32));
    match verb {
        "seen" => Event::Seen { slot, parent },
        "own" => Event::OwnBlock { slot, parent },
        "ready" => Event::Ready { slot: named, upto, complete: text.ends_with('.') },
        "executed" => Event::Executed { slot: named, through: upto },
        "frozen" => Event::Frozen { slot: number(text), hash: hash(text) },
        "condemned" => Event::Condemned { slot: number(text), reason: "bad".into() },
        "failed" => Event::Failed { slot: number(text), reason: "bad".into() },
        "agreed" => Event::DuplicateConfirmed { slot: number(text), hash: hash(text) },
        "root" => Event::Root(number(text)),
        "prefer" => Event::Prefer(number(text)),
        other => panic!("no such command: {other}"),
    }
}

fn hash(text: &str) -> Hash {
    let mut bytes = [0; 32];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Hash::new_from_array(bytes)
}

fn render(effect: &Effect) -> String {
    let named = |hash: &Hash| String::from_utf8_lossy(hash.as_ref()).trim_end_matches('\0').to_string();
    match effect {
        Effect::Begin { slot, parent } => format!("begin {slot}<{parent}"),
        Effect::Execute { slot, from, upto, last } => {
            format!("execute {slot} {from}..{upto}{}", if *last { "." } else { "" })
        }
        Effect::Finish { slot } => format!("finish {slot}"),
        Effect::Drop { slot } => format!("drop {slot}"),
        Effect::Dead { slot } => format!("dead {slot}"),
        Effect::Dump { slot: _, wanted } => format!("dump for {}", named(wanted)),
        Effect::GaveUp { slot: _, wanted } => format!("gave up {}", named(wanted)),
        Effect::MissingParent { slot, parent } => format!("missing {parent} for {slot}"),
        Effect::Rescan => "rescan".into(),
        Effect::Ignored { slot, why } => format!("ignored {slot} {why:?}"),
    }
}

#[test]
fn a_slot_is_executed_while_it_arrives() {
    check(
        "
        seen 1<0      => nothing
        ready 1:2     => begin 1<0, execute 1 0..2
        ready 1:3     => nothing
        ready 1:5     => nothing
        executed 1:2  => execute 1 2..5
        executed 1:5  => nothing
        ready 1:6.    => execute 1 5..6.
        executed 1:6  => finish 1
        frozen 1      => nothing
        ",
    );
}

#[test]
fn children_wait_for_their_parent_to_freeze() {
    check(
        "
        seen 1<0 2<1 3<1 4<2
        ready 2:1. 3:1 4:1. => nothing
        ready 1:1.    => begin 1<0, execute 1 0..1.
        executed 1:1  => finish 1
        frozen 1      => begin 2<1, execute 2 0..1., begin 3<1, execute 3 0..1
        executed 2:1  => finish 2
        frozen 2      => begin 4<2, execute 4 0..1.
        ",
    );
}

#[test]
fn the_preferred_fork_goes_first_and_then_the_lowest_slot() {
    let narrow = Config { executing_max: 1, unrooted_max: 100, ahead_max: 1000 };
    let case = |preference: &str, order: &str| {
        play(
            narrow,
            &format!(
                "
                seen 1<0 2<0 3<0 6<3
                {preference}
                ready 1:1 => begin 1<0, execute 1 0..1
                ready 3:1 2:1 => nothing
                executed 1:1 => {order}
                "
            ),
        );
    };
    case("", "begin 2<0, execute 2 0..1");
    case("prefer 6", "begin 3<0, execute 3 0..1");
    case("prefer 3", "begin 3<0, execute 3 0..1");
    case("prefer 99", "begin 2<0, execute 2 0..1");
}

#[test]
fn nothing_is_executed_on_a_dead_slot() {
    check(
        "
        seen 1<0 2<1 3<2
        ready 2:1. 3:1.
        ready 1:1.   => begin 1<0, execute 1 0..1.
        failed 1     => dead 1
        ready 1:1.   => nothing
        seen 4<1     => nothing
        ready 4:1    => nothing
        ",
    );
    let replay = play(
        Config { executing_max: 8, unrooted_max: 9, ahead_max: 9 },
        "
        seen 1<0
        ready 1:1.
        executed 1:1 => finish 1
        failed 1     => dead 1
        frozen 1     => ignored 1 Unexpected
        ",
    );
    assert_eq!(replay.view().slots[0].state, StateView::Dead("bad".into()));
}

#[test]
fn a_slot_without_its_parent_is_kept_and_the_parent_is_wanted() {
    check(
        "
        seen 3<2     => missing 2 for 3
        ready 3:1.   => nothing
        seen 2<1     => missing 1 for 2
        seen 1<0     => nothing
        ready 1:1. 2:1. => begin 1<0, execute 1 0..1.
        executed 1:1 => finish 1
        frozen 1     => begin 2<1, execute 2 0..1.
        executed 2:1 => finish 2
        frozen 2     => begin 3<2, execute 3 0..1.
        ",
    );
}

#[test]
fn a_new_root_drops_what_does_not_descend_from_it() {
    let replay = play(
        Config { executing_max: 8, unrooted_max: 100, ahead_max: 1000 },
        "
        seen 1<0 2<1 3<1 4<2 5<3 9<8 7<6
        seen 8<7
        ready 1:1. 2:1. 3:2
        executed 1:1
        frozen 1     => begin 2<1, execute 2 0..1., begin 3<1, execute 3 0..2
        executed 2:1
        frozen 2
        root 3       => ignored 3 Unexpected
        root 2       => drop 5, drop 3
        executed 3:2 => nothing
        root 2       => ignored 2 Rooted
        root 1       => ignored 1 Rooted
        seen 3<1     => ignored 3 BadParent
        seen 2<1     => ignored 2 Rooted
        seen 5<5     => ignored 5 BadParent
        ready 4:1.   => begin 4<2, execute 4 0..1.
        executed 4:1 => finish 4
        frozen 4     => nothing
        ",
    );
    let slots: Vec<Slot> = replay.view().slots.iter().map(|slot| slot.slot).collect();
    assert_eq!((replay.root(), slots), (2, vec![4, 7, 8, 9]), "7 may still turn out to descend from 2, by 6");
}

#[test]
fn orphans_that_cannot_reach_the_root_go_with_it() {
    check(
        "
        seen 1<0 2<1 3<2 4<3 7<2 6<5 8<6
        ready 1:1. 2:1. 3:1. 4:1.
        executed 1:1
        frozen 1
        executed 2:1
        frozen 2
        executed 3:1
        frozen 3
        executed 4:1
        frozen 4
        root 4 => drop 7
        ",
    );
    check(
        "
        seen 1<0 5<1 8<3
        ready 1:1. 5:1.
        executed 1:1
        frozen 1
        executed 5:1
        frozen 5
        root 5 => drop 8
        ",
    );
}

#[test]
fn our_own_block_is_not_replayed() {
    check(
        "
        seen 1<0 2<1
        ready 2:1.
        own 1<0    => nothing
        ready 1:3. => nothing
        frozen 1   => begin 2<1, execute 2 0..1.
        own 2<1    => ignored 2 Unexpected
        own 4<0    => nothing
        seen 5<4
        ready 5:1
        failed 4   => dead 4
        ",
    );
}

#[test]
fn a_version_the_cluster_did_not_agree_on_is_dumped() {
    check(
        "
        seen 1<0 2<1 3<2 4<2
        ready 1:1. 2:1. 3:1. 4:1
        executed 1:1
        frozen 1
        executed 2:1
        frozen 2      => begin 3<2, execute 3 0..1., begin 4<2, execute 4 0..1
        executed 3:1
        frozen 3
        agreed 2'     => drop 4, drop 3, drop 2, dump for 2'
        seen 2<1      => nothing
        ready 2:2.    => begin 2<1, execute 2 0..2.
        executed 2:2  => finish 2
        frozen 2'     => begin 3<2, execute 3 0..1.
        executed 4:1  => begin 4<2, execute 4 0..1
        agreed 2'     => nothing
        ",
    );
    // The cluster's word came first; and what we found dead, the cluster did not.
    check(
        "
        agreed 1' 2
        seen 1<0 2<1
        ready 1:1.
        executed 1:1
        frozen 1     => drop 1, dump for 1'
        seen 1<0
        ready 1:1. 2:1.
        executed 1:1
        frozen 1'    => begin 2<1, execute 2 0..1.
        failed 2     => dead 2, drop 2, dump for 2
        ",
    );
}

#[test]
fn dumping_ends_after_ten_times() {
    let again = "
        seen 1<0
        ready 1:1.
        executed 1:1
        frozen 1     => drop 1, dump for 1'"
        .repeat(10);
    let last = again.lines().take(4).collect::<Vec<_>>().join("\n");
    check(&format!("agreed 1'{again}{last}\nfrozen 1 => gave up 1'\nagreed 1' => nothing"));
}

#[test]
fn there_is_room_for_the_lowest_slots_only() {
    let tight = Config { executing_max: 1, unrooted_max: 3, ahead_max: 10 };
    play(
        tight,
        "
        seen 11<10   => ignored 11 TooFarAhead
        seen 9<8 7<6 => missing 8 for 9, missing 6 for 7
        seen 1<0     => nothing
        seen 10<9    => ignored 10 NoRoom
        seen 2<1     => ignored 9 Evicted
        ready 1:1.   => begin 1<0, execute 1 0..1.
        seen 3<2     => ignored 7 Evicted
        executed 1:1 => finish 1
        frozen 1     => nothing
        root 1       => rescan
        seen 9<8     => missing 8 for 9
        agreed 12    => ignored 12 TooFarAhead
        ",
    );
}

#[test]
fn contradictions_are_ignored() {
    check(
        "
        seen 2<1 => missing 1 for 2
        seen 2<0      => ignored 2 OtherParent
        seen 2<1      => nothing
        ready 3:1     => ignored 3 Unexpected
        ready 2:4.    => nothing
        ready 2:3     => ignored 2 Unexpected
        ready 2:5     => ignored 2 Unexpected
        executed 2:4  => ignored 2 Unexpected
        frozen 2      => ignored 2 Unexpected
        failed 7      => ignored 7 Unexpected
        ready 0:1     => ignored 0 Rooted
        ",
    );
}

#[test]
fn what_the_ledger_condemns_is_not_executed() {
    check(
        "
        seen 1<0
        condemned 1    => dead 1
        ready 1:3.     => nothing
        seen 2<1
        ready 2:1.     => nothing
        condemned 1    => ignored 1 Unexpected
        agreed 1       => drop 1, dump for 1
        seen 1<0
        ready 1:2.     => begin 1<0, execute 1 0..2.
        ",
    );
}

#[test]
fn a_block_condemned_while_it_is_executed_ends_there() {
    check(
        "
        seen 1<0
        ready 1:1      => begin 1<0, execute 1 0..1
        condemned 1    => dead 1
        executed 1:1   => nothing
        ready 1:3.     => nothing
        seen 3<0
        ready 3:1.     => begin 3<0, execute 3 0..1.
        executed 3:1   => finish 3
        frozen 3       => nothing
        condemned 3 7  => ignored 3 Unexpected, ignored 7 Unexpected
        ",
    );
}
