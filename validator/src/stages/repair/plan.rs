//! What to ask for, from what the ledger has.
//!
//! ```text
//!   root 10 -- 11 -- 12 .. 13 .. 14 .. 15 .. 16 -- 17      tip 19
//!              |     |     '----- ahead -----'     '- its parent is missing: ask for 16 and for ancestors of 17
//!              '-----'- connected; holes in them are asked for
//! ```
//! From the connected end the slots ahead are asked for many at a time, whether they exist or not; from the loose end their
//! chain is asked for backwards. The two meet.

use {
    std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    },
    tandem_repair::SlotGap,
    tandem_types::Slot,
};

/// A slot the ledger has shreds of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    pub parent: Slot,
    pub received: u32,
    pub missing: Vec<u32>,
    pub last_known: bool,
    pub complete: bool,
    /// Since its first shred came.
    pub age: Duration,
}

impl Known {
    pub fn complete(parent: Slot, age: Duration) -> Self {
        Self { parent, received: 0, missing: Vec::new(), last_known: true, complete: true, age }
    }
}

pub(super) struct Outlook<'a> {
    pub root: Slot,
    /// The slot the cluster has reached.
    pub tip: Slot,
    /// How long nothing at it or up to it has come.
    pub behind_for: Duration,
    pub wanted: &'a BTreeSet<Slot>,
}

/// `can_ask`: an answer could be verified.
pub(super) fn gaps(
    outlook: &Outlook<'_>,
    known: &BTreeMap<Slot, Known>,
    can_ask: impl Fn(Slot) -> bool,
) -> Vec<SlotGap> {
    let root = outlook.root;
    let mut gaps: BTreeMap<Slot, SlotGap> = BTreeMap::new();
    let mut connected: BTreeSet<Slot> = BTreeSet::from([root]);
    // The lowest slot that something hangs on and that is not here.
    let mut lowest_missing: Option<Slot> = None;
    let mut is_loose = false;
    for (slot, state) in known {
        if connected.contains(&state.parent) {
            connected.insert(*slot);
        }
        // Turbine may bring a child's first shred before its parent's.
        let is_settled = state.age >= ORPHAN_AFTER;
        is_loose |= is_settled && !connected.contains(slot);
        // What hangs on a slot below the root can never become part of the chain.
        let hangs = state.parent > root && !known.contains_key(&state.parent);
        if hangs {
            lowest_missing = Some(lowest_missing.map_or(state.parent, |lowest| lowest.min(state.parent)));
        }
        let is_orphan = hangs && is_settled;
        if is_orphan {
            gaps.insert(state.parent, nothing_of(state.parent));
        }
        if is_orphan || !state.complete {
            let gap = SlotGap {
                slot: *slot,
                received: state.received,
                missing: state.missing.clone(),
                unknown_last: !state.last_known,
                orphan: is_orphan,
            };
            gaps.insert(*slot, gap);
        }
    }
    for slot in outlook.wanted.iter().filter(|slot| **slot > root && !known.contains_key(slot)) {
        gaps.insert(*slot, nothing_of(*slot));
    }
    // Nor does a block that one leader hangs on ours far ahead say that what lies between is here.
    let upto = if outlook.tip > root { outlook.tip } else { Slot::MAX };
    let end = connected.range(..=upto).next_back().copied().unwrap_or(root);
    let highest = newest_upto(known, outlook.tip).unwrap_or(root);
    let mut ahead_to = lowest_missing.filter(|_| is_loose);
    let is_waiting = outlook.tip > highest && outlook.behind_for >= TURBINE_TIME;
    if is_waiting || outlook.tip > highest.saturating_add(BEHIND_MIN) {
        // Nothing arrives although the cluster goes on: the newest slot brings its own ancestors.
        gaps.insert(outlook.tip, SlotGap { orphan: true, ..nothing_of(outlook.tip) });
        ahead_to = ahead_to.or(Some(outlook.tip));
    }
    if let Some(to) = ahead_to {
        let ahead = end.saturating_add(1)..=to.min(end.saturating_add(AHEAD_MAX));
        for slot in ahead.filter(|slot| !known.contains_key(slot)) {
            gaps.entry(slot).or_insert_with(|| nothing_of(slot));
        }
    }
    let mut plan: Vec<SlotGap> = gaps.into_values().filter(|gap| can_ask(gap.slot)).take(GAPS_MAX).collect();
    let mut holes_left = HOLES_MAX;
    for gap in &mut plan {
        gap.missing.truncate(holes_left);
        holes_left -= gap.missing.len();
    }
    plan
}

/// The newest slot that shreds came of, up to the cluster's tip: what a single leader signs for slots beyond it says nothing.
pub(super) fn newest_upto(known: &BTreeMap<Slot, Known>, tip: Slot) -> Option<Slot> {
    known.range(..=tip).next_back().map(|(slot, _)| *slot)
}

fn nothing_of(slot: Slot) -> SlotGap {
    SlotGap { slot, unknown_last: true, ..SlotGap::default() }
}

const ORPHAN_AFTER: Duration = Duration::from_millis(200);
/// So far ahead votes may be of what turbine is about to bring …
const BEHIND_MIN: u64 = 4;
/// … but whoever votes for a block has all of it, so it is not long in coming, if it comes: a node without stake gets nothing
/// while those through whom it would come are not there.
const TURBINE_TIME: Duration = Duration::from_millis(200);
/// More than the slots two absent leaders can leave empty, and no more than can be asked for in a tenth of a second.
const AHEAD_MAX: u64 = 96;
/// Holes asked for at a time, the lowest first. Peers answer some ten thousand a second; who asks for more is refused and has
/// to ask again.
pub(super) const HOLES_MAX: usize = 1_024;
const GAPS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    /// `known`: slots as `slot<parent`, with `!` behind an incomplete one of 40 shreds whose shred 3 is missing, with `?` behind one
    /// of which only shreds without the last came; `*` makes it a moment old. The plan: `slot`, with `^` for its ancestors,
    /// with the missing shreds.
    fn check(root: Slot, tip: Slot, known: &str, wanted: &[Slot], expected: &str) {
        let known = known
            .split_whitespace()
            .map(|word| {
                let (slot, rest) = word.split_once('<').unwrap();
                let parent = rest.trim_end_matches(['!', '?', '*']).parse().unwrap();
                let mut state = Known { received: 40, ..Known::complete(parent, Duration::MAX) };
                if rest.contains('!') {
                    (state.complete, state.missing) = (false, vec![3]);
                }
                if rest.contains('?') {
                    (state.complete, state.last_known) = (false, false);
                }
                if rest.contains('*') {
                    state.age = Duration::from_millis(10);
                }
                (slot.parse().unwrap(), state)
            })
            .collect();
        let wanted = wanted.iter().copied().collect();
        let outlook = Outlook { root, tip, behind_for: Duration::ZERO, wanted: &wanted };
        let plan = gaps(&outlook, &known, |slot| slot < 1000);
        assert_eq!(text(&plan), expected);
    }

    fn text(plan: &[SlotGap]) -> String {
        let text: Vec<String> = plan
            .iter()
            .map(|gap| {
                let last = if gap.unknown_last { "?" } else { "" };
                let orphan = if gap.orphan { "^" } else { "" };
                let missing = if gap.missing.is_empty() { String::new() } else { format!("{:?}", gap.missing) };
                format!("{}{last}{orphan}{missing}", gap.slot)
            })
            .collect();
        text.join(" ")
    }

    #[test]
    fn nothing_is_asked_for_where_nothing_is_missing() {
        check(10, 10, "", &[], "");
        check(10, 14, "11<10 12<11 14<12", &[], "");
        check(10, 16, "11<10 12<11", &[], "");
    }

    #[test]
    fn holes_and_unknown_ends() {
        check(10, 13, "11<10! 12<11? 13<12", &[], "11[3] 12?");
    }

    #[test]
    fn the_chain_is_followed_from_both_ends() {
        check(10, 17, "11<10 17<16", &[], "12? 13? 14? 15? 16? 17^");
        // 13 says that 12 never was: nothing before it is asked for any more.
        check(10, 17, "11<10 13<11! 17<16?", &[], "13[3] 14? 15? 16? 17?^");
    }

    #[test]
    fn a_parent_may_come_a_little_later_than_its_child() {
        check(10, 17, "11<10 17<16*", &[], "");
    }

    #[test]
    fn both_ends_are_worked_on_while_the_loose_one_moves() {
        check(10, 20, "11<10 17<16* 20<17", &[], "12? 13? 14? 15? 16?");
    }

    #[test]
    fn a_late_node_asks_for_what_it_heard_of() {
        check(10, 15, "", &[], "11? 12? 13? 14? 15?^");
        check(10, 14, "", &[], "");
    }

    #[test]
    fn shreds_of_a_far_slot_do_not_hide_that_nothing_comes() {
        check(10, 15, "300<10!", &[], "11? 12? 13? 14? 15?^ 300[3]");
    }

    /// A joiner without stake, while whoever would send it the blocks is not there: nothing comes by itself, however little it is.
    #[test]
    fn the_last_few_slots_are_asked_for_when_turbine_does_not_bring_them() {
        let known = BTreeMap::from([(11, Known::complete(10, Duration::MAX))]);
        let plan = |tip, ms| {
            let outlook = Outlook { root: 10, tip, behind_for: Duration::from_millis(ms), wanted: &NOTHING };
            text(&gaps(&outlook, &known, |_| true))
        };
        assert_eq!(plan(13, 190), "");
        assert_eq!(plan(13, 200), "12? 13?^");
        assert_eq!(plan(11, 5_000), "", "the tip is here");
    }

    static NOTHING: BTreeSet<Slot> = BTreeSet::new();

    #[test]
    fn not_more_than_a_window_ahead() {
        let outlook = |tip| Outlook { root: 10, tip, behind_for: Duration::ZERO, wanted: &NOTHING };
        let plan = |tip| gaps(&outlook(tip), &BTreeMap::new(), |_| true);
        assert_eq!(plan(900).len() as u64, AHEAD_MAX + 1);
        assert_eq!(plan(900).last().map(|gap| (gap.slot, gap.orphan)), Some((900, true)));
    }

    #[test]
    fn the_lowest_holes_come_first() {
        let state = Known { complete: false, missing: (0..400).collect(), ..Known::complete(10, Duration::MAX) };
        let known = (11..20).map(|slot| (slot, Known { parent: slot - 1, ..state.clone() })).collect();
        let outlook = Outlook { root: 10, tip: 20, behind_for: Duration::ZERO, wanted: &NOTHING };
        let plan = gaps(&outlook, &known, |_| true);
        let holes: Vec<usize> = plan.iter().map(|gap| gap.missing.len()).collect();
        assert_eq!(holes, [400, 400, 224, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_replay_wants_and_what_can_be_verified() {
        check(10, 11, "11<10", &[9, 11, 12, 1000], "12?");
        check(990, 1010, "1005<1003", &[], "991? 992? 993? 994? 995? 996? 997? 998? 999?");
    }

    #[test]
    fn forks_below_the_root_are_left_alone() {
        check(10, 12, "11<9 12<10", &[], "");
    }
}
