//! Crashes at every step, and files that are not ours.

use {
    super::*,
    std::sync::{Arc, Mutex},
    tandem_role::kv::{Compare, Op},
};

/// Does the first `steps` steps of the disk, cuts the step after that, and fails for good.
#[derive(Clone)]
struct FaultyDisk {
    steps_left: Arc<Mutex<usize>>,
    /// How many bytes of a failing write get through.
    torn: usize,
}

impl FaultyDisk {
    fn step(&self) -> io::Result<()> {
        let mut left = self.steps_left.lock().unwrap();
        if *left == 0 {
            return Err(io::Error::other("no space left on device"));
        }
        *left -= 1;
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let fine = self.step();
        let written = if fine.is_ok() { bytes } else { &bytes[..self.torn.min(bytes.len())] };
        fs::write(path, written)?;
        fine
    }

    fn sync_file(&mut self, _: &Path) -> io::Result<()> {
        self.step()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        self.step()
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn put(value: &str, revision: u64) -> Txn {
    Txn {
        compares: vec![Compare { key: "k".into(), mod_revision: revision }],
        then: vec![Op::Put { key: "k".into(), value: value.into() }],
        otherwise: vec![Op::Get { key: "k".into() }],
    }
}

fn value(kv: &mut FileKv) -> (String, u64) {
    let reply = kv.txn(&Txn { then: vec![Op::Get { key: "k".into() }], ..Txn::default() }, SECOND).unwrap();
    reply.reads[0]
        .first()
        .map_or((String::new(), 0), |entry| (String::from_utf8(entry.value.clone()).unwrap(), entry.mod_revision))
}

#[test]
fn a_crash_at_any_step_leaves_the_old_state_or_the_new() {
    for torn in [0, 1, 20, usize::MAX] {
        for steps in 0..=4 {
            let folder = tempfile::tempdir().unwrap();
            let mut kv = FileKv::open(folder.path()).unwrap();
            let old = kv.txn(&put("old", 0), SECOND).unwrap();
            let store_id = old.store_id;
            drop(kv);

            let disk = FaultyDisk { steps_left: Arc::new(Mutex::new(steps)), torn };
            let mut kv = FileKv::open_on(folder.path().into(), Box::new(disk)).unwrap();
            let answer = kv.txn(&put("new", old.revision), SECOND);
            drop(kv);

            let mut kv = FileKv::open(folder.path()).unwrap();
            let (found, revision) = value(&mut kv);
            assert_eq!(kv.state.store_id, store_id, "the same store");
            match (steps, answer) {
                (4, Ok(reply)) => assert_eq!((found.as_str(), revision), ("new", reply.revision)),
                // Before the rename nothing has happened, and the answer says so.
                (0..=1, Err(KvError::Refused { .. })) => assert_eq!(found, "old"),
                (2, Err(KvError::Unknown { .. })) => assert_eq!(found, "old"),
                (3, Err(KvError::Unknown { .. })) => assert_eq!(found, "new"),
                (steps, answer) => panic!("step {steps}: {answer:?}"),
            }
            // And it goes on from there.
            let reply = kv.txn(&put("next", revision), SECOND).unwrap();
            assert!(reply.succeeded && reply.revision > revision);
        }
    }
}

#[test]
fn after_a_failed_sync_the_process_believes_nothing_any_more() {
    let folder = tempfile::tempdir().unwrap();
    FileKv::open(folder.path()).unwrap();
    let steps_left = Arc::new(Mutex::new(3));
    let disk = FaultyDisk { steps_left: steps_left.clone(), torn: 0 };
    let mut kv = FileKv::open_on(folder.path().into(), Box::new(disk)).unwrap();
    assert!(matches!(kv.txn(&put("a", 0), SECOND), Err(KvError::Unknown { .. })));
    *steps_left.lock().unwrap() = 100;
    assert!(matches!(kv.txn(&put("a", 0), SECOND), Err(KvError::Unknown { .. })), "the disk is well again, we are not");
    let read = Txn { then: vec![Op::Get { key: "k".into() }], ..Txn::default() };
    assert!(matches!(kv.txn(&read, SECOND), Err(KvError::Unknown { .. })));
}

#[test]
fn a_full_disk_is_survived_without_harm() {
    let folder = tempfile::tempdir().unwrap();
    FileKv::open(folder.path()).unwrap();
    let steps_left = Arc::new(Mutex::new(0));
    let disk = FaultyDisk { steps_left: steps_left.clone(), torn: 7 };
    let mut kv = FileKv::open_on(folder.path().into(), Box::new(disk)).unwrap();
    assert!(matches!(kv.txn(&put("a", 0), SECOND), Err(KvError::Refused { .. })));
    *steps_left.lock().unwrap() = 100;
    assert!(kv.txn(&put("a", 0), SECOND).unwrap().succeeded);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let kv = FileKv::open(folder.path()).unwrap();
    let error = FileKv::open(folder.path()).err().expect("the folder is locked").to_string();
    assert!(error.contains(&folder.path().display().to_string()) && error.contains("--tower"), "{error}");
    drop(kv);
    FileKv::open(folder.path()).unwrap();
}

#[test]
fn a_damaged_or_foreign_file_is_reported_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = FileKv::open(folder.path()).unwrap();
    kv.txn(&put("a", 0), SECOND).unwrap();
    drop(kv);
    let file = folder.path().join(STATE);
    let good = fs::read(&file).unwrap();
    for bad in [b"somebody's notes".to_vec(), Vec::new(), good[..good.len() - 1].to_vec()] {
        fs::write(&file, &bad).unwrap();
        let error = FileKv::open(folder.path()).err().expect("not a store").to_string();
        assert!(error.contains(&file.display().to_string()) && error.contains("failover recover"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), bad, "it was not touched");
    }
}

#[test]
fn revisions_and_id_survive_and_reads_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut kv = FileKv::open(folder.path()).unwrap();
    let first = kv.txn(&put("a", 0), SECOND).unwrap();
    drop(kv);
    let before = fs::metadata(folder.path().join(STATE)).unwrap().modified().unwrap();
    let mut kv = FileKv::open(folder.path()).unwrap();
    assert_eq!(value(&mut kv), ("a".into(), first.revision));
    let refused = kv.txn(&put("b", 0), SECOND).unwrap();
    assert!(!refused.succeeded && refused.store_id == first.store_id && refused.reads[0][0].value == b"a");
    assert_eq!(fs::metadata(folder.path().join(STATE)).unwrap().modified().unwrap(), before);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(FileKv::open(other.path()).unwrap().state.store_id, first.store_id, "another store has another id");
}

/// As when the files that a process may open have run out: what was renamed must still be made durable, or the vote is neither
/// recorded nor not recorded.
#[test]
fn the_last_step_of_a_record_opens_nothing() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    fs::create_dir(&folder).unwrap();
    let mut disk = RealDisk::of(&folder).unwrap();
    fs::rename(&folder, place.path().join("elsewhere")).unwrap();
    assert!(fs::File::open(&folder).is_err(), "it cannot be opened any more");
    disk.sync_folder().expect("it is open already");
}
