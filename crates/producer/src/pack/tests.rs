use {super::*, proptest::prelude::*, std::collections::HashSet};

const LIMITS: BlockLimits = BlockLimits { cost: 1000, account_cost: 400, alloc_bytes: 100, entry_bytes: 10_000 };
const CONFIG: PackConfig = PackConfig {
    others_max: 50,
    votes_max: 10,
    batches_in_flight_max: 4,
    batch_transactions_max: 3,
    batch_cost_max: 300,
    scan_max: 100,
    conflicts_within_batch: false,
};

fn key(number: u8) -> Pubkey {
    Pubkey::new_from_array([number; 32])
}

/// `reward` decides the order: every candidate here costs 99, so that reward and priority are alike.
fn candidate(id: u64, reward: u64, writes: &[u8], reads: &[u8]) -> Candidate {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&id.to_le_bytes());
    Candidate {
        id,
        message_hash: Hash::new_from_array(hash),
        reward,
        cost: 99,
        alloc_bytes: 0,
        entry_bytes: 200,
        writes: writes.iter().map(|number| key(*number)).collect(),
        reads: reads.iter().map(|number| key(*number)).collect(),
        expires_after_height: 100,
        vote: None,
    }
}

fn vote(id: u64, voter: u8, slot: Slot) -> Candidate {
    Candidate { vote: Some(VoteKey { account: key(voter), slot }), ..candidate(id, 1, &[voter], &[]) }
}

struct Run {
    pack: Pack,
    drops: Vec<Drop>,
}

impl Run {
    fn new(config: PackConfig) -> Self {
        let mut run = Self { pack: Pack::new(config), drops: Vec::new() };
        run.pack.begin_block(10, LIMITS, &mut run.drops);
        run
    }

    fn add(&mut self, candidates: impl IntoIterator<Item = Candidate>) -> &mut Self {
        for candidate in candidates {
            self.pack.insert(candidate, &mut self.drops);
        }
        self
    }

    #[track_caller]
    fn next(&mut self, expect: &[u64]) -> BatchId {
        let batch = self.pack.next_batch(&mut self.drops).expect("a batch");
        assert_eq!(batch.ids, expect);
        batch.id
    }

    #[track_caller]
    fn none(&mut self) {
        assert_eq!(self.pack.next_batch(&mut self.drops), None);
    }

    fn done(&mut self, batch: BatchId, outcomes: &[Outcome]) {
        self.pack.complete(batch, outcomes, &mut self.drops);
    }

    #[track_caller]
    fn dropped(&mut self, expect: &[(u64, DropWhy)]) {
        assert_eq!(self.drops.drain(..).map(|drop| (drop.id, drop.why)).collect::<Vec<_>>(), expect);
    }
}

const ALL_DONE: [Outcome; 3] = [Outcome::Committed { cost: 99 }; 3];

#[test]
fn best_paid_first_and_first_come_among_equals() {
    let mut run = Run::new(CONFIG);
    run.add([
        candidate(1, 5, &[1], &[]),
        candidate(2, 9, &[2], &[]),
        candidate(3, 5, &[3], &[]),
        candidate(4, 1, &[4], &[]),
    ]);
    run.next(&[2, 1, 3]);
    run.next(&[4]);
    run.none();
}

#[test]
fn votes_go_first_and_alone() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 900, &[1], &[]), vote(2, 2, 7), vote(3, 3, 7)]);
    run.next(&[2, 3]);
    run.next(&[1]);
}

#[test]
fn writers_wait_for_readers_and_readers_for_writers() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 9, &[1], &[9]), candidate(2, 8, &[2], &[9]), candidate(3, 7, &[9], &[])]);
    let readers = run.next(&[1, 2]);
    run.none();
    run.done(readers, &ALL_DONE);
    let writer = run.next(&[3]);
    run.add([candidate(4, 1, &[4], &[9])]);
    run.none();
    run.done(writer, &ALL_DONE);
    run.next(&[4]);
}

#[test]
fn one_that_waits_for_locks_is_not_overtaken_on_its_other_accounts() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 9, &[1], &[])]);
    let first = run.next(&[1]);
    // 2 waits for account 1; 3 is cheaper and wants account 2, which 2 will need; 4 has nothing to do with either.
    run.add([candidate(2, 8, &[1, 2], &[]), candidate(3, 7, &[2], &[]), candidate(4, 6, &[4], &[])]);
    run.next(&[4]);
    run.none();
    run.done(first, &ALL_DONE);
    run.next(&[2]);
}

#[test]
fn conflicts_within_a_batch_only_where_entries_allow_them() {
    let both = || [candidate(1, 9, &[1], &[]), candidate(2, 8, &[1], &[])];
    let mut run = Run::new(CONFIG);
    run.add(both()).next(&[1]);
    let mut run = Run::new(PackConfig { conflicts_within_batch: true, ..CONFIG });
    let batch = run.add(both()).next(&[1, 2]);
    run.done(batch, &[Outcome::Committed { cost: 99 }, Outcome::Retry]);
    run.next(&[2]);
}

#[test]
fn an_accounts_share_and_the_block_are_never_exceeded() {
    let mut run = Run::new(PackConfig { batch_transactions_max: 1, batches_in_flight_max: 100, ..CONFIG });
    run.add((0..6).map(|id| candidate(id, 9, &[1], &[])));
    for id in 0..4 {
        let batch = run.next(&[id]);
        run.done(batch, &[Outcome::Committed { cost: 99 }]);
    }
    run.none();
    // Another account still has room, up to the block's limit.
    run.add((10..20).map(|id| candidate(id, 1, &[u8::try_from(id).unwrap()], &[])));
    for id in 10..16 {
        run.next(&[id]);
    }
    run.none();
    assert_eq!(run.pack.block_use().unwrap().cost, 990);
    // The next block starts from nothing.
    run.pack.begin_block(11, LIMITS, &mut run.drops);
    run.next(&[4]);
}

#[test]
fn unused_cost_is_given_back() {
    let mut run = Run::new(CONFIG);
    run.add((0..5).map(|id| candidate(id, 9, &[1], &[])));
    for id in 0..5 {
        let batch = run.next(&[id]);
        run.done(batch, &[Outcome::Committed { cost: 10 }]);
    }
    assert_eq!(run.pack.block_use(), Some(BlockUse { cost: 50, alloc_bytes: 0, entry_bytes: 1000 }));
}

#[test]
fn a_batch_of_an_earlier_block_does_not_touch_this_ones_budget() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 9, &[1], &[])]);
    let batch = run.next(&[1]);
    run.pack.end_block();
    run.none();
    run.pack.begin_block(11, LIMITS, &mut run.drops);
    run.done(batch, &[Outcome::Retry]);
    assert_eq!(run.pack.block_use(), Some(BlockUse::default()));
    run.next(&[1]);
}

#[test]
fn what_a_block_has_no_room_for_waits_for_the_next() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 9, &[1], &[]), candidate(2, 3, &[2], &[])]);
    let batch = run.next(&[1, 2]);
    run.done(batch, &[Outcome::NextBlock, Outcome::Retry]);
    let batch = run.next(&[2]);
    run.done(batch, &[Outcome::Committed { cost: 9 }]);
    run.none();
    assert_eq!(run.pack.waiting(), 1);
    run.pack.begin_block(11, LIMITS, &mut run.drops);
    run.next(&[1]);
}

#[test]
fn duplicates_expired_and_impossible_ones_are_told() {
    let mut run = Run::new(CONFIG);
    run.add([candidate(1, 9, &[1], &[])]);
    run.add([Candidate { id: 2, ..candidate(1, 9, &[2], &[]) }]);
    run.add([Candidate { expires_after_height: 9, ..candidate(3, 9, &[3], &[]) }]);
    run.dropped(&[(2, DropWhy::Duplicate), (3, DropWhy::Expired)]);
    run.add([Candidate { cost: 401, ..candidate(4, 9, &[4], &[]) }]);
    let batch = run.next(&[1]);
    run.dropped(&[(4, DropWhy::TooCostly)]);
    // Still the same message while in flight, a new one once it is gone.
    run.add([Candidate { id: 5, ..candidate(1, 9, &[1], &[]) }]);
    run.dropped(&[(5, DropWhy::Duplicate)]);
    run.done(batch, &ALL_DONE);
    run.add([Candidate { id: 6, expires_after_height: 10, ..candidate(1, 9, &[1], &[]) }]);
    run.pack.begin_block(11, LIMITS, &mut run.drops);
    run.dropped(&[(6, DropWhy::Expired)]);
}

#[test]
fn a_full_buffer_keeps_what_pays() {
    let mut run = Run::new(PackConfig { others_max: 2, ..CONFIG });
    run.add([
        candidate(1, 5, &[1], &[]),
        candidate(2, 3, &[2], &[]),
        candidate(3, 4, &[3], &[]),
        candidate(4, 1, &[4], &[]),
    ]);
    run.dropped(&[(2, DropWhy::Full), (4, DropWhy::Full)]);
    run.next(&[1, 3]);
}

#[test]
fn only_the_latest_vote_of_an_account_waits() {
    let mut run = Run::new(CONFIG);
    run.add([vote(1, 1, 7), vote(2, 1, 8), vote(3, 1, 6)]);
    run.dropped(&[(1, DropWhy::OldVote), (3, DropWhy::OldVote)]);
    let batch = run.next(&[2]);
    run.add([vote(4, 1, 9)]);
    run.done(batch, &[Outcome::Retry]);
    run.dropped(&[(2, DropWhy::OldVote)]);
    run.next(&[4]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn never_in_conflict_never_over_the_limits_never_out_of_order(
        steps in proptest::collection::vec(step(), 1..120),
        within in any::<bool>(),
    ) {
        let config = PackConfig { conflicts_within_batch: within, batches_in_flight_max: 3, ..CONFIG };
        let mut pack = Pack::new(config);
        let mut drops = Vec::new();
        pack.begin_block(10, LIMITS, &mut drops);
        let mut all: HashMap<u64, Candidate> = HashMap::new();
        let mut waiting: HashSet<u64> = HashSet::new();
        let mut flying: Vec<Batch> = Vec::new();
        let mut committed: Vec<(Candidate, u64)> = Vec::new();
        let mut refused: HashSet<u64> = HashSet::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Add(mut new) => {
                    new.id = number as u64;
                    let mut hash = [0; 32];
                    hash[..8].copy_from_slice(&new.id.to_le_bytes());
                    new.message_hash = Hash::new_from_array(hash);
                    all.insert(new.id, new.clone());
                    waiting.insert(new.id);
                    pack.insert(new, &mut drops);
                }
                Step::Next => {
                    let before = flying.clone();
                    if let Some(batch) = pack.next_batch(&mut drops) {
                        for id in &batch.ids {
                            prop_assert!(waiting.remove(id));
                            prop_assert!(!refused.contains(id), "{id} again in the block that refused it");
                            for other in before.iter().flat_map(|other| &other.ids) {
                                prop_assert!(!conflict(&all[id], &all[other]), "{id} and {other} are both in flight");
                            }
                        }
                        if !within {
                            for (at, id) in batch.ids.iter().enumerate() {
                                prop_assert!(batch.ids[..at].iter().all(|other| !conflict(&all[id], &all[other])));
                            }
                        }
                        // Of two that conflict the better paid goes first, unless the limits kept it out.
                        for id in batch.ids.iter().filter(|id| all[id].vote.is_none()) {
                            let overtaken = waiting.difference(&refused).filter(|other| {
                                let other = &all[other];
                                other.vote.is_none() && priority(other) > priority(&all[id]) && conflict(other, &all[id])
                            });
                            for other in overtaken {
                                let reserved: Vec<_> = before.iter().chain([&batch]).flat_map(|b| &b.ids).map(|id| (all[id].clone(), all[id].cost)).collect();
                                let full = over_with(&all[other], committed.iter().chain(&reserved));
                                let batch_full = batch.cost + all[other].cost > config.batch_cost_max;
                                prop_assert!(full || batch_full || drops.iter().any(|drop| drop.id == *other), "{other} was overtaken by {id}");
                            }
                        }
                        flying.push(batch);
                    }
                }
                Step::Complete(which, outcomes) if !flying.is_empty() => {
                    let batch = flying.remove(which % flying.len());
                    for (id, outcome) in batch.ids.iter().zip(&outcomes) {
                        match outcome {
                            Outcome::Committed { cost } => committed.push((all[id].clone(), (*cost).min(all[id].cost))),
                            Outcome::Retry => { waiting.insert(*id); }
                            Outcome::NextBlock => { waiting.insert(*id); refused.insert(*id); }
                            Outcome::Dropped => {}
                        }
                    }
                    pack.complete(batch.id, &outcomes, &mut drops);
                }
                Step::Complete(..) => {}
                Step::NewBlock => {
                    if flying.is_empty() {
                        (committed, refused) = Default::default();
                        pack.begin_block(10, LIMITS, &mut drops);
                    }
                }
            }
            for drop in drops.drain(..) {
                waiting.remove(&drop.id);
            }
            prop_assert_eq!(pack.waiting(), waiting.len());
            prop_assert_eq!(pack.in_flight(), flying.len());
            let reserved: Vec<_> = flying.iter().flat_map(|b| &b.ids).map(|id| (all[id].clone(), all[id].cost)).collect();
            let used = || committed.iter().chain(&reserved);
            prop_assert_eq!(pack.block_use().unwrap().cost, used().map(|(_, cost)| cost).sum::<u64>());
            prop_assert!(used().map(|(_, cost)| cost).sum::<u64>() <= LIMITS.cost);
            prop_assert!(used().map(|(c, _)| c.alloc_bytes).sum::<u64>() <= LIMITS.alloc_bytes);
            for account in 0..6 {
                let sum: u64 = used().filter(|(c, _)| c.writes.contains(&key(account))).map(|(_, cost)| cost).sum();
                prop_assert!(sum <= LIMITS.account_cost);
            }
        }
    }
}

#[derive(Clone)]
enum Step {
    Add(Candidate),
    Next,
    Complete(usize, Vec<Outcome>),
    NewBlock,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Add(c) => {
                write!(f, "add reward {} cost {} w {} r {}", c.reward, c.cost, c.writes.len(), c.reads.len())
            }
            Step::Next => write!(f, "next"),
            Step::Complete(which, _) => write!(f, "complete {which}"),
            Step::NewBlock => write!(f, "block"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let accounts = || proptest::collection::btree_set(0u8..6, 0..3);
    let add =
        (0u64..1000, 1u64..450, 0u64..60, accounts(), accounts(), proptest::option::weighted(0.2, (0u8..4, 0u64..50)))
            .prop_map(|(reward, cost, alloc, writes, reads, vote)| {
                let reads: Vec<u8> = reads.difference(&writes).copied().collect();
                let writes: Vec<u8> = writes.into_iter().collect();
                Step::Add(Candidate {
                    cost,
                    alloc_bytes: alloc,
                    vote: vote.map(|(voter, slot)| VoteKey { account: key(100 + voter), slot }),
                    ..candidate(0, reward, &writes, &reads)
                })
            });
    let outcome = prop_oneof![
        (0u64..450).prop_map(|cost| Outcome::Committed { cost }),
        Just(Outcome::Retry),
        Just(Outcome::NextBlock),
        Just(Outcome::Dropped)
    ];
    prop_oneof![
        5 => add,
        4 => Just(Step::Next),
        3 => (any::<usize>(), proptest::collection::vec(outcome, 3)).prop_map(|(which, outcomes)| Step::Complete(which, outcomes)),
        1 => Just(Step::NewBlock),
    ]
}

fn conflict(a: &Candidate, b: &Candidate) -> bool {
    let touches = |writes: &[Pubkey], other: &Candidate| {
        writes.iter().any(|key| other.writes.contains(key) || other.reads.contains(key))
    };
    touches(&a.writes, b) || touches(&b.writes, a)
}

fn over_with<'a>(candidate: &Candidate, used: impl Iterator<Item = &'a (Candidate, u64)>) -> bool {
    let used: Vec<_> = used.collect();
    let total: u64 = used.iter().map(|(_, cost)| cost).sum();
    let alloc: u64 = used.iter().map(|(other, _)| other.alloc_bytes).sum();
    let over_account = candidate.writes.iter().any(|key| {
        let sum: u64 = used.iter().filter(|(other, _)| other.writes.contains(key)).map(|(_, cost)| cost).sum();
        sum + candidate.cost > LIMITS.account_cost
    });
    total + candidate.cost > LIMITS.cost || alloc + candidate.alloc_bytes > LIMITS.alloc_bytes || over_account
}
