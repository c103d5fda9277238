//! JOINING: what a node may believe about the cluster it comes to, before it claims an identity and votes.
//!
//! A joiner that votes before it has the others' blocks votes on a fork of its own, and the lockouts of those votes keep it
//! there for minutes. So it must have heard where the cluster is, have replayed what its ledger held, and then either see
//! finality move (what it replays is what two thirds vote for), or, where nothing can become final without its own votes,
//! have followed the cluster's tip for a while.
//!
//! ```text
//!   nobody heard ── peers speak, or stay silent ──> tip known ── tips come in on time for a while ──> follows
//!                                                      └── near for longer, or nothing moves at all ────┘
//! ```

use {
    std::{collections::VecDeque, time::Duration},
    tandem_types::{Slot, Tick},
};

/// What does not change while the node runs.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Entrypoints were named: there is a cluster to join. Without them this node is the first.
    pub joins: bool,
    /// What the ledger held at the start has to be replayed first.
    pub replay_until: Slot,
    /// So many slots behind is near the tip.
    pub near_slots_max: u64,
}

/// What the node sees at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sight {
    /// Highest slot replayed on the fork this node prefers.
    pub tip: Slot,
    pub root: Slot,
    /// Newest block that two thirds of the stake voted for, and that is replayed here.
    pub confirmed: Slot,
    /// The slot that voters with a third of the stake have reached (`reach.rs`), or this identity's own owner. 0 while that is not known.
    pub cluster_tip: Slot,
    /// Others than this node's own vote account have said where they are.
    pub others_heard: bool,
    /// Gossip knows somebody.
    pub has_peers: bool,
    /// This node's vote account holds a third of the stake or more: without it nothing can be confirmed.
    pub holds_third: bool,
}

/// What follows from it, for the role machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Slots between our tip and the cluster's; `u64::MAX` while the cluster's tip is not known or replay has not begun.
    pub slots_behind: u64,
    /// The root, or the confirmed block, moved lately.
    pub root_advancing: bool,
    /// Nothing becomes final without this node's votes, and it is close enough to the others to cast them.
    pub root_needs_us: bool,
}

/// Looks again and again, and remembers since when things have been as they are.
#[derive(Debug)]
pub struct Joining {
    start: Start,
    seen: Sight,
    finality_moved_at: Option<Tick>,
    /// The last time our tip or the cluster's moved.
    moved_at: Option<Tick>,
    peers_since: Option<Tick>,
    /// Tips that were heard of and are not replayed yet, with the time they were first heard of; the oldest first.
    awaited: VecDeque<(Slot, Tick)>,
    on_time: Since,
    near: Since,
}

/// Since when something has held without a break.
#[derive(Default, Debug)]
struct Since(Option<Tick>);

impl Since {
    fn note(&mut self, now: Tick, holds: bool) {
        self.0 = if holds { self.0.or(Some(now)) } else { None };
    }

    fn lasts(&self, now: Tick, span: Duration) -> bool {
        self.0.is_some_and(|since| now.since(since) >= span)
    }
}

impl Joining {
    pub fn new(start: Start) -> Self {
        Self {
            start,
            seen: Sight::default(),
            finality_moved_at: None,
            moved_at: None,
            peers_since: None,
            awaited: VecDeque::new(),
            on_time: Since::default(),
            near: Since::default(),
        }
    }

    /// To be called many times a second: what happens between two looks is not seen.
    pub fn look(&mut self, now: Tick, sight: &Sight) -> Judgement {
        self.note(now, sight);
        let is_known = self.knows_cluster(now) && sight.tip >= self.start.replay_until;
        let behind = sight.cluster_tip.saturating_sub(sight.tip);
        self.on_time.note(now, is_known && self.is_on_time(now));
        self.near.note(now, is_known && behind <= self.start.near_slots_max);
        let is_stuck = sight.holds_third && self.is_stuck(now);
        Judgement {
            slots_behind: match (is_known, is_stuck) {
                (false, _) => u64::MAX,
                // A tip that nobody delivers is not the cluster's.
                (true, true) => 0,
                (true, false) => behind,
            },
            root_advancing: self.finality_moved_at.is_some_and(|at| now.since(at) < FINALITY_STALE),
            root_needs_us: sight.holds_third && is_known && (is_stuck || self.follows(now)),
        }
    }

    fn note(&mut self, now: Tick, sight: &Sight) {
        let before = std::mem::replace(&mut self.seen, *sight);
        if sight.root > before.root || sight.confirmed > before.confirmed {
            self.finality_moved_at = Some(now);
        }
        if sight.tip != before.tip || sight.cluster_tip != before.cluster_tip {
            self.moved_at = Some(now);
        }
        if sight.has_peers {
            self.peers_since.get_or_insert(now);
        }
        if sight.cluster_tip > before.cluster_tip {
            // When it is full, the oldest alone say that we are late.
            if self.awaited.len() < AWAITED_MAX {
                self.awaited.push_back((sight.cluster_tip, now));
            }
        }
        while self.awaited.front().is_some_and(|(slot, _)| *slot <= sight.tip) {
            self.awaited.pop_front();
        }
    }

    /// A node that joins must not take silence for "the cluster is at slot 0". So it waits for a sign of the tip, and only
    /// when peers stay silent, or there are none, is it among the first.
    fn knows_cluster(&self, now: Tick) -> bool {
        if !self.start.joins {
            return true;
        }
        match self.peers_since {
            Some(since) if self.seen.others_heard => now.since(since) >= HEARD_FOR,
            Some(since) => now.since(since) >= ALONE_AFTER,
            None => now.since(Tick::ZERO) >= ALONE_AFTER,
        }
    }

    /// Nothing that was heard of has been waiting for long.
    fn is_on_time(&self, now: Tick) -> bool {
        self.awaited.front().is_none_or(|(_, at)| now.since(*at) <= LATE_AFTER)
    }

    /// Where nothing becomes final, only following shows that this node is on the cluster's fork.
    fn follows(&self, now: Tick) -> bool {
        !self.start.joins
            || !self.seen.others_heard
            || self.on_time.lasts(now, ON_TIME_FOR)
            || self.near.lasts(now, NEAR_FOR)
    }

    /// Neither we nor the cluster get any further, and nothing becomes final: if it takes us to go on, then from here.
    fn is_stuck(&self, now: Tick) -> bool {
        self.moved_at.is_some_and(|at| now.since(at) >= STUCK_AFTER)
            && self.finality_moved_at.is_none_or(|at| now.since(at) >= STUCK_AFTER)
    }
}

/// Finality that has not moved for so long is not advancing. A leader's window lost by two voters in a row is under 4 s.
const FINALITY_STALE: Duration = Duration::from_secs(15);
/// The cluster's tip is known once peers have had this long to send shreds and votes.
const HEARD_FOR: Duration = Duration::from_millis(1_500);
/// A node that finds nobody is alone, or the first.
const ALONE_AFTER: Duration = Duration::from_secs(6);
/// Two slots: turbine and replay bring a block within one, repair within the next.
const LATE_AFTER: Duration = Duration::from_millis(800);
const ON_TIME_FOR: Duration = Duration::from_secs(2);
/// A machine that is always a little late is let in after this.
const NEAR_FOR: Duration = Duration::from_secs(20);
/// Longer than repair needs for what anybody has.
const STUCK_AFTER: Duration = Duration::from_secs(20);
const AWAITED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines: `ms key=value … flag … => judgement`. What a line says holds from its time on, and the node looks every 20 ms until the
    /// next line's time. `from..to` runs evenly until that time. The judgement is the one at the line's own time.
    fn check(start: &str, lines: &str) {
        let number = |word: &str| word.parse::<u64>().unwrap();
        let mut joining = Joining::new(Start {
            joins: start.contains("joins"),
            replay_until: start.split_once("replay=").map_or(0, |(_, slot)| number(slot)),
            near_slots_max: 8,
        });
        let mut sight = Sight::default();
        let mut runs: Vec<(&str, u64, u64)> = Vec::new();
        let (mut now, mut since) = (0, 0);
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (facts, expected) = line.split_once("=>").unwrap();
            let mut words = facts.split_whitespace();
            let at = number(words.next().unwrap());
            let span = (at - since).max(1);
            while now < at {
                for (key, from, to) in &runs {
                    set(&mut sight, key, from + (to - from) * (now - since) / span);
                }
                joining.look(Tick::from_millis(now), &sight);
                now += 20;
            }
            for (key, _, to) in std::mem::take(&mut runs) {
                set(&mut sight, key, to);
            }
            (now, since) = (at, at);
            for word in words {
                match word.split_once('=') {
                    Some((key, value)) => match value.split_once("..") {
                        Some((from, to)) => {
                            set(&mut sight, key, number(from));
                            runs.push((key, number(from), number(to)));
                        }
                        None => set(&mut sight, key, number(value)),
                    },
                    None if word == "peers" => sight.has_peers = true,
                    None if word == "third" => sight.holds_third = true,
                    None => panic!("unknown word `{word}`"),
                }
            }
            let judgement = joining.look(Tick::from_millis(at), &sight);
            assert_eq!(text(&judgement), expected.trim(), "`{line}`: {joining:#?}");
        }
    }

    fn set(sight: &mut Sight, key: &str, value: u64) {
        match key {
            "tip" => sight.tip = value,
            "heard" => (sight.cluster_tip, sight.others_heard) = (value, value > 0),
            "own" => sight.cluster_tip = value,
            "root" => sight.root = value,
            "confirmed" => sight.confirmed = value,
            _ => panic!("unknown key `{key}`"),
        }
    }

    fn text(judgement: &Judgement) -> String {
        let behind = match judgement.slots_behind {
            u64::MAX => "unknown".to_owned(),
            slots => format!("behind {slots}"),
        };
        let advancing = if judgement.root_advancing { ", final moves" } else { "" };
        let needed = if judgement.root_needs_us { ", needed" } else { "" };
        format!("{behind}{advancing}{needed}")
    }

    #[test]
    fn the_first_node_of_a_cluster_waits_for_nobody() {
        check("first", "0 third => behind 0, needed");
        check("first", "0 => behind 0");
    }

    #[test]
    fn a_restarted_first_node_replays_its_ledger_first() {
        check(
            "first replay=50",
            "0    third           => unknown
             20   tip=49          => unknown
             40   tip=50          => behind 0, needed",
        );
    }

    #[test]
    fn silence_is_not_slot_zero() {
        check(
            "joins",
            "0     third            => unknown
             300   peers            => unknown
             6280                   => unknown
             # Peers that say nothing for so long have nothing to say.
             6300                   => behind 0, needed",
        );
    }

    #[test]
    fn a_node_that_finds_nobody_is_alone() {
        check(
            "joins",
            "0      third => unknown
             5980         => unknown
             6000         => behind 0, needed",
        );
    }

    #[test]
    fn peers_have_a_moment_to_tell_the_tip() {
        check(
            "joins",
            "300   peers heard=3 third => unknown
             1780                      => unknown
             1800                      => behind 3",
        );
    }

    #[test]
    fn ones_own_votes_are_no_sign_of_the_others_but_what_they_name_is_to_be_reached() {
        check(
            "joins",
            "300   peers own=20 third tip=3 => unknown
             1800                           => unknown
             6300                           => behind 17, needed
             6400  tip=20                   => behind 0, needed",
        );
    }

    #[test]
    fn a_joiner_has_to_bring_in_what_it_heard_of_and_then_keep_up() {
        check(
            "joins",
            "300   peers third heard=3    => unknown
             1800                         => behind 3
             # Repair brings it; from now on each block comes while the next is made.
             2000  tip=3 heard=4          => behind 1
             2400  tip=4 heard=5          => behind 1
             2800  tip=5 heard=6          => behind 1
             3200  tip=6 heard=8          => behind 2
             3600  tip=8 heard=9          => behind 1
             3980                         => behind 1
             4000  tip=9                  => behind 0, needed",
        );
    }

    #[test]
    fn a_block_that_is_late_begins_the_watch_anew() {
        check(
            "joins",
            "0     peers third heard=3 tip=3 => unknown
             2000  heard=4                   => behind 1
             2900                            => behind 1
             3000  tip=4                     => behind 0
             4980                            => behind 0
             5000                            => behind 0, needed",
        );
    }

    #[test]
    fn the_first_blocks_of_the_first_voter_are_not_passed_over() {
        // What forked: the first voter is at slot 8 of eight short slots, nothing of it came, and eight slots counted as near.
        check(
            "joins",
            "0     peers third heard=1..9 => unknown
             3200  heard=9..20            => behind 9
             7600                         => behind 20",
        );
    }

    #[test]
    fn a_machine_that_is_always_a_little_late_is_let_in() {
        check(
            "joins",
            "0      peers third tip=2..52 heard=5..55 => unknown
             20000  tip=52..60 heard=55..63           => behind 3
             # Known since 1.5 s.
             21480                                    => behind 3
             21500                                    => behind 3, needed",
        );
    }

    #[test]
    fn a_tip_that_nobody_can_deliver_does_not_hold_us_for_ever() {
        check(
            "joins",
            "0      peers third heard=900 => unknown
             2000   tip=20                => behind 880
             21980                        => behind 880
             22000                        => behind 0, needed
             # Once the cluster goes on after all, it is to be followed.
             23000  heard=901             => behind 881",
        );
    }

    #[test]
    fn while_the_cluster_goes_on_it_is_to_be_followed_however_long_that_takes() {
        check("joins", "0 peers third heard=900..1100 => unknown\n 80000 => behind 1100");
    }

    #[test]
    fn whom_the_cluster_does_not_need_waits_for_finality() {
        check(
            "joins",
            "0      peers heard=4 tip=4       => unknown
             2000                             => behind 0
             60000                            => behind 0
             # Two thirds voted for what is replayed here: no need to wait thirty-two slots for the first root.
             60400  tip=5 heard=5 confirmed=5 => behind 0, final moves
             75380                            => behind 0, final moves
             75400                            => behind 0
             75800  root=1                    => behind 0, final moves",
        );
    }

    #[test]
    fn a_cluster_that_stands_still_is_no_reason_to_claim_for_whom_it_does_not_need() {
        check("joins", "0 peers heard=900 tip=20 => unknown\n 60000 => behind 880");
    }
}
