//! The ledger as its users see it.

use {
    crate::{
        testing::{self, all},
        *,
    },
    proptest::prelude::*,
    std::{collections::BTreeSet, fs, path::Path},
    tandem_shred::{Shred, Shredded},
    tandem_types::{BlockId, Hash, Slot, UnixMillis},
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

struct Run {
    dir: tempfile::TempDir,
    /// `None` only while it is being opened again: two at once are refused.
    open: Option<(Ledger, LedgerReader)>,
}

impl Run {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let open = Some(Ledger::open(dir.path(), options).unwrap());
        Self { dir, open }
    }

    fn reopen(&mut self) {
        self.open = None;
        self.open = Some(Ledger::open(self.dir.path(), Options::default()).unwrap());
    }

    fn ledger(&mut self) -> &mut Ledger {
        &mut self.open.as_mut().unwrap().0
    }

    fn reader(&self) -> &LedgerReader {
        &self.open.as_ref().unwrap().1
    }

    fn insert(&mut self, shreds: impl IntoIterator<Item = Shred>) -> InsertReport {
        self.ledger().insert(shreds.into_iter().collect(), Source::Turbine, NOW).unwrap()
    }

    fn file_of(&self, slot: Slot) -> std::path::PathBuf {
        self.dir.path().join("slots").join((slot / 1000).to_string()).join(format!("{slot}.shreds"))
    }

    #[track_caller]
    fn assert_holds(&self, slot: Slot, made: &Shredded) {
        let meta = self.reader().slot_meta(slot).expect("slot is known");
        assert!(meta.is_complete(), "{meta:?}");
        assert_eq!(meta.received as usize, made.data.len());
        for shred in &made.data {
            assert_eq!(self.reader().shred(slot, shred.index()).as_ref(), Some(shred));
        }
        assert_eq!(self.reader().block_id(slot), Some(BlockId(made.next.chained_root)));
    }
}

#[test]
fn components_appear_as_their_shreds_come() {
    let mut run = Run::new();
    let made = testing::slot(10, 9, 3);
    let report = run.insert(made.data[..40].to_vec());
    assert_eq!(report.accepted, 40);
    assert_eq!(report.slots, [Progress { slot: 10, parent: 9, components: 1, complete: None }]);
    assert_eq!(run.reader().components(10, 0)[0].entries().unwrap(), testing::entries(10, 0, 0));
    assert!(run.reader().components(10, 1).is_empty());
    assert!(run.reader().block(10).is_none());
    assert_eq!(run.reader().block_id(10), None);
    let report = run.insert(made.data[40..].to_vec());
    assert_eq!(report.slots, [Progress { slot: 10, parent: 9, components: 3, complete: Some(95) }]);
    let rest = run.reader().components(10, 1);
    assert_eq!(rest.iter().map(|part| part.shreds.clone()).collect::<Vec<_>>(), [32..64, 64..96]);
    let entries: Vec<_> = (0..3).flat_map(|batch| testing::entries(10, batch, 0)).collect();
    assert_eq!(run.reader().block(10).unwrap().unwrap(), entries);
    run.assert_holds(10, &made);
}

#[test]
fn thirty_two_of_sixty_four_are_enough_and_the_rest_is_told() {
    let mut run = Run::new();
    let made = testing::slot(10, 9, 1);
    run.insert(made.data[..20].to_vec());
    let report = run.insert(made.code[..11].to_vec());
    assert!(report.recovered.is_empty());
    let report = run.insert([made.code[11].clone()]);
    let recovered: Vec<_> = made.data[20..].iter().chain(&made.code[12..]).cloned().collect();
    assert_eq!(report.recovered, recovered);
    assert_eq!(report.slots[0].complete, Some(31));
    run.assert_holds(10, &made);
    // What comes after is of no use.
    let report = run.insert([made.data[25].clone(), made.code[20].clone(), made.code[3].clone()]);
    assert_eq!((report.accepted, report.duplicates, report.unneeded), (0, 1, 2));
    run.reopen();
    run.assert_holds(10, &made);
}

#[test]
fn code_alone_gives_the_whole_set() {
    let mut run = Run::new();
    let made = testing::slot(10, 9, 2);
    run.insert(made.code.clone());
    run.assert_holds(10, &made);
}

#[test]
fn missing_and_highest_are_what_repair_asks_for() {
    let mut run = Run::new();
    let made = testing::slot(10, 9, 2);
    assert_eq!(run.reader().slot_meta(10), None);
    run.insert([0, 1, 5, 40].map(|at| made.data[at].clone()));
    let reader = run.reader();
    assert_eq!(reader.missing(10, 5), [2, 3, 4, 6, 7]);
    assert_eq!(reader.missing(10, 1000).len(), 37);
    assert_eq!(reader.highest_shred(10, 40).unwrap().index(), 40);
    assert_eq!(reader.highest_shred(10, 41), None);
    let meta = reader.slot_meta(10).unwrap();
    assert_eq!((meta.parent, meta.received, meta.consumed, meta.last_index), (Some(9), 41, 2, None));
    assert_eq!(meta.first_shred_at, NOW);
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let mut run = Run::new();
    let blocks: Vec<_> = (1..6).map(|slot| (slot, testing::slot(slot, slot - 1, 2))).collect();
    for (_, made) in &blocks {
        run.insert(all(made));
    }
    run.insert(testing::slot(7, 4, 1).data[..3].to_vec());
    run.ledger().mark_root(1).unwrap();
    run.ledger().mark_root(2).unwrap();
    run.ledger().mark_dead(5).unwrap();
    run.ledger().set_bank_hash(2, Hash::new_from_array([1; 32])).unwrap();
    run.ledger().set_block_time(2, 1234).unwrap();
    for _ in 0..2 {
        for (slot, made) in &blocks {
            run.assert_holds(*slot, made);
        }
        let reader = run.reader();
        assert_eq!((reader.root(), reader.is_root(1), reader.is_root(3)), (2, true, false));
        assert_eq!(reader.slots_from(2).collect::<Vec<_>>(), [3, 4, 5, 7]);
        assert_eq!(reader.next_slots(4), [5, 7]);
        assert_eq!(reader.slot_meta(7).unwrap().first_shred_at, NOW);
        assert!(reader.is_dead(5) && !reader.is_dead(4));
        assert_eq!(reader.bank_hash(2), Some(Hash::new_from_array([1; 32])));
        assert_eq!(reader.block_time(2), Some(1234));
        assert_eq!((reader.lowest_slot(), reader.highest_slot()), (Some(1), Some(7)));
        run.reopen();
    }
}

#[test]
fn one_at_a_time_in_one_folder() {
    let run = Run::new();
    let Err(busy) = Ledger::open(run.dir.path(), Options::default()).map(drop) else { panic!("opened twice") };
    assert!(matches!(busy, LedgerError::Busy { .. }));
    assert!(busy.to_string().contains(run.dir.path().to_str().unwrap()), "{busy}");
}

#[test]
fn another_format_is_not_touched() {
    let mut run = Run::new();
    run.open = None;
    fs::write(run.dir.path().join("format"), "tandem-ledger-9").unwrap();
    let Err(error) = Ledger::open(run.dir.path(), Options::default()).map(drop) else { panic!("opened") };
    assert!(error.to_string().contains("tandem-ledger-9"), "{error}");
}

#[test]
fn two_versions_of_a_set_are_evidence_once() {
    let (one, two) = (testing::version_of(10, 9, 2, 1), testing::version_of(10, 9, 2, 2));
    for held in [one.data[3].clone(), one.code[3].clone()] {
        let mut run = Run::new();
        run.insert([held.clone()]);
        let report = run.insert(two.data[..3].to_vec());
        assert_eq!(report.accepted, 0);
        assert_eq!(report.rejected[&Rejection::ConflictRoot], 3);
        let [evidence] = &report.conflicts[..] else { panic!("{:?}", report.conflicts) };
        assert_eq!((evidence.slot, evidence.kind), (10, ConflictKind::Root));
        assert_eq!((&evidence.shred1, &evidence.shred2), (&held, &two.data[0]));
        assert!(run.insert([two.code[9].clone()]).conflicts.is_empty());
        // The first version is still the one that completes.
        run.insert(all(&one));
        run.assert_holds(10, &one);
    }
}

#[test]
fn a_set_that_is_not_chained_to_its_neighbours_is_kept_and_told() {
    let (one, two) = (testing::version_of(10, 9, 3, 1), testing::version_of(10, 9, 3, 2));
    for (held, new) in [(&one.data[5], &two.data[40]), (&two.data[40], &one.data[5]), (&two.code[40], &one.code[5])] {
        let mut run = Run::new();
        run.insert([held.clone()]);
        let report = run.insert([new.clone()]);
        assert_eq!((report.accepted, report.rejected_count()), (1, 0));
        assert_eq!(report.chain_broken, BTreeSet::from([10]));
        assert!(report.conflicts.is_empty(), "there is no proof of this in gossip");
    }
    // Such a block becomes whole: nothing of it is asked for again and again.
    let mixed = [&one.data[..32], &two.data[32..]].concat();
    let mut run = Run::new();
    assert!(run.insert(mixed[..40].to_vec()).chain_broken.contains(&10));
    assert!(run.insert(mixed[40..].to_vec()).chain_broken.is_empty(), "the other shreds of the set say nothing new");
    assert!(run.reader().is_complete(10));
    assert!(run.insert(mixed).chain_broken.is_empty());
    let mut run = Run::new();
    assert!(run.insert(all(&one)).chain_broken.is_empty(), "a good block");
}

#[test]
fn a_slot_has_one_last_shred() {
    // The shorter version's sets are the longer one's first sets, but for the last: its root differs.
    let (short, long) = (testing::slot(10, 9, 1), testing::slot(10, 9, 3));
    let mut run = Run::new();
    run.insert(short.data[31..].to_vec());
    let report = run.insert([long.data[70].clone()]);
    assert_eq!(report.rejected[&Rejection::ConflictLastIndex], 1);
    assert_eq!(report.conflicts[0].shred1, short.data[31]);

    let mut run = Run::new();
    run.insert([long.data[70].clone()]);
    let report = run.insert([short.data[31].clone()]);
    assert_eq!(report.rejected[&Rejection::ConflictLastIndex], 1);
    assert_eq!(report.conflicts[0].shred1, long.data[70]);
}

#[test]
fn one_parent_a_slot_and_none_below_the_root() {
    let mut run = Run::new();
    run.insert([testing::slot(10, 9, 2).data[0].clone()]);
    let report = run.insert([testing::slot(10, 8, 4).data[96].clone()]);
    assert_eq!(report.rejected[&Rejection::Parent], 1);
    run.ledger().mark_root(9).unwrap();
    let report = run.insert([
        testing::slot(11, 8, 1).data[0].clone(),
        testing::slot(9, 8, 1).data[0].clone(),
        testing::slot(9, 8, 1).code[0].clone(),
    ]);
    assert_eq!(report.rejected[&Rejection::Rooted], 3);
    assert_eq!(run.insert([testing::slot(12, 9, 1).data[0].clone()]).accepted, 1);
    assert_eq!(run.reader().slot_meta(11), None);
    assert_eq!(run.reader().next_slots(8), [0; 0]);
}

#[test]
fn damaged_records_are_missing_and_can_be_repaired() {
    let made = testing::slot(10, 9, 2);
    for reopen in [true, false] {
        let mut run = Run::with(Options { recent_bytes_max: 0, ..Options::default() });
        run.insert(made.data.clone());
        damage(&run.file_of(10), &[3, 50, 63]);
        if reopen {
            run.reopen();
        }
        let before = run.reader().components(10, 0).len();
        assert_eq!(before, 0, "component 0 lost shred 3");
        assert_eq!(run.reader().shred(10, 63), None);
        assert_eq!(run.reader().shred(10, 50), None);
        assert_eq!(run.reader().missing(10, 10)[..2], [3, 50]);
        assert_eq!(run.reader().corrupt_records(), 3);
        assert!(!run.reader().is_complete(10));
        run.insert([3, 50, 63].map(|at| made.data[at].clone()));
        run.assert_holds(10, &made);
    }
}

/// Flips a bit inside the records of these shreds.
fn damage(path: &Path, indices: &[usize]) {
    let mut bytes = fs::read(path).unwrap();
    for index in indices {
        bytes[64 + index * 1208 + 600] ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn our_own_slot_is_begun_once_and_never_over_foreign_shreds() {
    let mut run = Run::new();
    let made = testing::slot(10, 9, 2);
    let refused = run.ledger().insert_own(10, made.data.clone(), NOW);
    assert!(matches!(refused, Err(LedgerError::OwnSlotNotBegun { slot: 10 })));
    run.ledger().begin_own_slot(10).unwrap();
    assert_eq!(run.ledger().insert_own(10, made.data[..32].to_vec(), NOW).unwrap().accepted, 32);
    run.ledger().sync_slot(10).unwrap();
    run.ledger().insert_own(10, all(&made)[32..].to_vec(), NOW).unwrap();
    run.assert_holds(10, &made);
    let again = run.ledger().insert_own(10, testing::version_of(10, 9, 2, 7).data, NOW);
    assert!(matches!(again, Err(LedgerError::OwnShredsRefused { slot: 10, refused: 64 })));
    for _ in 0..2 {
        assert!(matches!(run.ledger().begin_own_slot(10), Err(LedgerError::OwnSlotTaken { slot: 10, .. })));
        assert!(run.reader().is_own(10));
        run.reopen();
    }
    // Even when its shreds are gone: they may have been sent.
    run.ledger().purge_slot(10).unwrap();
    assert!(matches!(run.ledger().begin_own_slot(10), Err(LedgerError::OwnSlotTaken { .. })));
    run.insert([testing::slot(11, 10, 1).data[0].clone()]);
    assert!(matches!(run.ledger().begin_own_slot(11), Err(LedgerError::OwnSlotTaken { .. })));
    // One code shred of somebody's version is enough.
    run.insert([testing::slot(12, 10, 1).code[0].clone()]);
    assert!(matches!(run.ledger().begin_own_slot(12), Err(LedgerError::OwnSlotTaken { .. })));
    run.ledger().begin_own_slot(13).unwrap();
    let mut mixed = all(&testing::slot(13, 10, 1));
    mixed.reverse();
    assert_eq!(run.ledger().insert_own(13, mixed, NOW).unwrap().unneeded, 32);
    run.ledger().sync().unwrap();
}

#[test]
fn a_purged_slot_takes_another_version() {
    let mut run = Run::new();
    let (one, two) = (testing::version_of(10, 9, 2, 1), testing::version_of(10, 8, 1, 2));
    run.insert(one.data.clone());
    run.ledger().set_bank_hash(10, Hash::default()).unwrap();
    run.ledger().mark_dead(10).unwrap();
    let old = run.reader().clone();
    run.ledger().purge_slot(10).unwrap();
    assert_eq!(run.reader().slot_meta(10), None);
    assert_eq!(run.reader().bank_hash(10), None);
    assert!(!run.reader().is_dead(10));
    assert!(run.reader().next_slots(9).is_empty());
    run.insert(two.data.clone());
    run.assert_holds(10, &two);
    assert_eq!(old.next_slots(8), [10]);
    run.reopen();
    run.assert_holds(10, &two);
}

#[test]
fn purging_below_leaves_nothing_behind() {
    let mut run = Run::new();
    for slot in 995..1005 {
        run.insert(testing::slot(slot, slot - 1, 1).data);
        run.ledger().mark_root(slot).unwrap();
    }
    assert_eq!(run.ledger().purge_below(1002).unwrap(), 7);
    assert_eq!(run.reader().lowest_slot(), Some(1002));
    assert_eq!(run.reader().slot_meta(1001), None);
    assert!(!run.dir.path().join("slots/0").exists());
    let report = run.insert(testing::slot(1001, 1000, 1).data);
    assert_eq!(report.rejected[&Rejection::Purged], 32);
    run.reopen();
    assert_eq!((run.reader().lowest_slot(), run.reader().root()), (Some(1002), 1004));
    assert_eq!(run.reader().roots_from(0, 10), [1002, 1003, 1004]);
}

#[test]
fn memory_is_bounded_and_answers_stay_the_same() {
    let options = Options { recent_bytes_max: 40 * 1203, code_bytes_max: 40 * 1228, files_open_max: 2 };
    let mut run = Run::with(options);
    let blocks: Vec<_> = (1..5).map(|slot| (slot, testing::slot(slot, slot - 1, 2))).collect();
    for (_, made) in &blocks {
        run.insert(made.data.clone());
    }
    for (slot, made) in &blocks {
        run.assert_holds(*slot, made);
    }
    // 30 code shreds of three slots do not fit: the furthest slots lose theirs, the nearest is still recovered.
    let far: Vec<_> = (5..8).map(|slot| testing::slot(slot, slot - 1, 1)).collect();
    for made in &far {
        run.insert(made.code[..30].to_vec());
    }
    assert_eq!(run.insert(far[2].data[..2].to_vec()).recovered.len(), 0);
    assert_eq!(run.insert(far[0].data[..2].to_vec()).recovered.len(), 32);
}

#[test]
fn readers_read_while_the_writer_writes() {
    let mut run = Run::with(Options { recent_bytes_max: 0, ..Options::default() });
    let blocks: Vec<_> = (1..40).map(|slot| (slot, testing::slot(slot, slot - 1, 2))).collect();
    let reader = run.reader().clone();
    std::thread::scope(|scope| {
        let looking = scope.spawn(move || {
            while reader.highest_slot() != Some(39) || !reader.is_complete(39) {
                for slot in 1..40 {
                    let Some(meta) = reader.slot_meta(slot) else { continue };
                    for index in 0..meta.consumed {
                        assert!(reader.shred(slot, index).is_some(), "slot {slot} says it has {index}");
                    }
                    if meta.is_complete() {
                        assert_eq!(reader.block(slot).unwrap().unwrap().len(), 40);
                    }
                }
            }
        });
        for (_, made) in &blocks {
            for part in all(made).chunks(7) {
                run.insert(part.to_vec());
            }
        }
        looking.join().unwrap();
    });
    assert_eq!(run.reader().corrupt_records(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Any order, any loss, any duplication: what the ledger says is what a set of shreds would say, before and after a restart.
    #[test]
    fn agrees_with_a_model(
        picks in proptest::collection::vec((0usize..3, 0usize..128), 1..400),
        chunk in 1usize..50,
        recent_bytes_max in prop_oneof![Just(0usize), Just(50_000), Just(1 << 24)],
    ) {
        let blocks = [testing::slot(1, 0, 2), testing::slot(2, 1, 2), testing::slot(5, 2, 2)];
        let slots = [1, 2, 5];
        let mut run = Run::with(Options { recent_bytes_max, ..Options::default() });
        let mut seen: [std::collections::BTreeSet<usize>; 3] = Default::default();
        for part in picks.chunks(chunk) {
            let shreds = part.iter().map(|(block, at)| all(&blocks[*block])[*at].clone());
            let report = run.insert(shreds);
            prop_assert_eq!(report.rejected_count(), 0);
            prop_assert!(report.conflicts.is_empty());
            for (block, at) in part {
                seen[*block].insert(*at);
            }
        }
        for _ in 0..2 {
            for (number, block) in blocks.iter().enumerate() {
                // 64 data then 64 code shreds; sets are halves of each.
                let expected: Vec<u32> = (0..64u32).filter(|index| {
                    let set = *index as usize / 32;
                    let of_set = |at: &&usize| (**at % 64) / 32 == set;
                    seen[number].contains(&(*index as usize)) || seen[number].iter().filter(of_set).count() >= 32
                }).collect();
                let slot = slots[number];
                let reader = run.reader();
                let have: Vec<u32> = (0..64).filter(|index| reader.shred(slot, *index).is_some()).collect();
                prop_assert_eq!(&have, &expected);
                for index in have {
                    prop_assert_eq!(reader.shred(slot, index), Some(block.data[index as usize].clone()));
                }
                let Some(meta) = reader.slot_meta(slot) else { continue };
                let consumed = (0..).find(|index| !expected.contains(index)).unwrap();
                prop_assert_eq!(meta.consumed, consumed);
                prop_assert_eq!(meta.received, expected.last().map_or(0, |last| last + 1));
                prop_assert_eq!(meta.is_complete(), consumed == 64);
                prop_assert_eq!(reader.components(slot, 0).len() as u32, consumed / 32);
                prop_assert_eq!(reader.missing(slot, 100).len() as u32, meta.received - expected.len() as u32);
            }
            run.reopen();
        }
    }
}
