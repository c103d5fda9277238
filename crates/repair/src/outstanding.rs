//! The questions we asked and still wait for, by nonce (outstanding_requests.rs).

use {
    crate::answer::{answers, answers_max},
    rand::Rng,
    rand_chacha::ChaChaRng,
    std::{
        collections::{BTreeMap, VecDeque},
        time::Duration,
    },
    tandem_types::{Slot, Tick},
    tandem_wire::repair::{Nonce, RequestKind},
};

#[derive(Default)]
pub(crate) struct Outstanding {
    by_nonce: BTreeMap<Nonce, Waiting>,
    /// Oldest first; nonces that were answered are skipped.
    order: VecDeque<(Tick, Nonce)>,
}

struct Waiting {
    kind: RequestKind,
    asked_at: Tick,
    answers_left: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    Answer {
        slot: Slot,
        index: u32,
    },
    /// Nothing is waiting under this nonce.
    Unknown,
    /// The nonce is spent now: who guesses gets one try.
    Wrong,
}

impl Outstanding {
    pub(crate) fn add(&mut self, rng: &mut ChaChaRng, now: Tick, kind: RequestKind) -> Nonce {
        self.forget_old(now);
        let nonce = std::iter::repeat_with(|| rng.random::<Nonce>())
            .find(|nonce| !self.by_nonce.contains_key(nonce))
            .expect("invariant: the table holds far fewer than all nonces");
        self.by_nonce.insert(nonce, Waiting { kind, asked_at: now, answers_left: answers_max(&kind) });
        self.order.push_back((now, nonce));
        nonce
    }

    pub(crate) fn take(&mut self, now: Tick, nonce: Nonce, shred: &[u8]) -> Match {
        self.forget_old(now);
        let Some(waiting) = self.by_nonce.get_mut(&nonce) else { return Match::Unknown };
        let answer = answers(&waiting.kind, shred);
        waiting.answers_left -= 1;
        if answer.is_none() || waiting.answers_left == 0 {
            self.by_nonce.remove(&nonce);
        }
        answer.map_or(Match::Wrong, |(slot, index)| Match::Answer { slot, index })
    }

    pub(crate) fn len(&self) -> usize {
        self.by_nonce.len()
    }

    fn forget_old(&mut self, now: Tick) {
        while let Some((asked_at, nonce)) = self.order.front() {
            if now.since(*asked_at) < EXPIRE_AFTER && self.order.len() < OUTSTANDING_MAX {
                break;
            }
            // A nonce that came back by chance belongs to a later question: only its own entry may go.
            if self.by_nonce.get(nonce).is_some_and(|waiting| waiting.asked_at == *asked_at) {
                self.by_nonce.remove(nonce);
            }
            self.order.pop_front();
        }
    }
}

/// outstanding_requests.rs:DEFAULT_REQUEST_EXPIRATION_MS and its capacity.
const EXPIRE_AFTER: Duration = Duration::from_secs(60);
const OUTSTANDING_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use {super::*, crate::testing::shred, rand::SeedableRng};

    fn at(ms: u64) -> Tick {
        Tick::from_millis(ms)
    }

    #[test]
    fn each_question_takes_its_own_answer_once() {
        let (mut rng, mut outstanding) = (ChaChaRng::from_seed([1; 32]), Outstanding::default());
        let kind = RequestKind::WindowIndex { slot: 7, shred_index: 3 };
        let nonce = outstanding.add(&mut rng, at(0), kind);
        assert_eq!(outstanding.take(at(1), nonce ^ 1, &shred(7, 3)), Match::Unknown);
        assert_eq!(outstanding.take(at(1), nonce, &shred(7, 3)), Match::Answer { slot: 7, index: 3 });
        assert_eq!(outstanding.take(at(1), nonce, &shred(7, 3)), Match::Unknown);
        for wrong in [shred(8, 3), shred(7, 4), vec![], vec![0x96; 1228]] {
            let nonce = outstanding.add(&mut rng, at(1), kind);
            assert_eq!(outstanding.take(at(1), nonce, &wrong), Match::Wrong);
            assert_eq!(outstanding.take(at(1), nonce, &shred(7, 3)), Match::Unknown, "a wrong answer spends the nonce");
        }
    }

    #[test]
    fn highest_and_orphan_take_what_fits_them() {
        let (mut rng, mut outstanding) = (ChaChaRng::from_seed([1; 32]), Outstanding::default());
        let highest = RequestKind::HighestWindowIndex { slot: 7, shred_index: 3 };
        for (answer, fits) in [(shred(7, 3), true), (shred(7, 90), true), (shred(7, 2), false), (shred(6, 3), false)] {
            let nonce = outstanding.add(&mut rng, at(0), highest);
            assert_eq!(matches!(outstanding.take(at(0), nonce, &answer), Match::Answer { .. }), fits);
        }
        let nonce = outstanding.add(&mut rng, at(0), RequestKind::Orphan { slot: 20 });
        for slot in 10..=20 {
            assert_eq!(outstanding.take(at(0), nonce, &shred(slot, 0)), Match::Answer { slot, index: 0 });
        }
        assert_eq!(outstanding.take(at(0), nonce, &shred(9, 0)), Match::Unknown, "eleven answers are all");
        let nonce = outstanding.add(&mut rng, at(0), RequestKind::Orphan { slot: 20 });
        assert_eq!(outstanding.take(at(0), nonce, &shred(21, 0)), Match::Wrong);
    }

    #[test]
    fn it_forgets_in_time_and_never_grows_beyond_its_bound() {
        let (mut rng, mut outstanding) = (ChaChaRng::from_seed([1; 32]), Outstanding::default());
        let kind = RequestKind::WindowIndex { slot: 7, shred_index: 3 };
        let nonce = outstanding.add(&mut rng, at(0), kind);
        assert_eq!(outstanding.take(at(60_000), nonce, &shred(7, 3)), Match::Unknown);
        for n in 0..OUTSTANDING_MAX as u64 + 500 {
            outstanding.add(&mut rng, at(60_000 + n / 100), kind);
        }
        assert_eq!((outstanding.len(), outstanding.order.len()), (OUTSTANDING_MAX, OUTSTANDING_MAX));
    }
}
