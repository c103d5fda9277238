//! What this machine has seen of an identity's store (`tandem_tower_storage::Known`), kept in the ledger folder: read when the store is
//! opened, so that a restart forgets nothing (I6).

use {
    crate::{
        exit::{Failure, Status},
        stages::promise::{Keeper, When},
    },
    crossbeam_channel::{Receiver, Sender, bounded},
    std::{
        fs, io,
        path::{Path, PathBuf},
        thread,
        time::{Duration, Instant},
    },
    tandem_env::{DiskError, write_durably},
    tandem_tower_storage::Known,
    tandem_types::Pubkey,
};

/// What earlier runs have seen, and where to put what this one sees.
pub fn open(ledger: &Path, identity: &Pubkey) -> Result<(Option<Known>, Box<dyn Keeper>), Failure> {
    let path = file_of(ledger, identity);
    let known = match fs::read(&path) {
        Ok(bytes) => Some(Known::decode(&bytes).map_err(|reason| {
            Failure::refused(format!(
                "{}, where this machine keeps what it has seen of the promise store, is damaged: {reason}",
                path.display()
            ))
            .remedy(
                "if you know that the store is the identity's own and was not restored from a backup, delete the file",
            )
        })?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(Failure::failed(format!("reading {}: {error}", path.display()))
                .remedy("let this user read and write it; without it a store that was lost would be believed"));
        }
    };
    let (orders, inbox) = bounded(1);
    thread::Builder::new()
        .name("memory".into())
        .spawn(move || write(&path, &inbox))
        .map_err(|error| Failure::failed(format!("starting a thread: {error}")))?;
    Ok((known, Box::new(FileMemory { orders, next: Instant::now() })))
}

pub fn file_of(ledger: &Path, identity: &Pubkey) -> PathBuf {
    ledger.join(format!("seen-{identity}.json"))
}

/// Nobody on the vote path waits for a disk: a thread writes.
struct FileMemory {
    orders: Sender<Order>,
    next: Instant,
}

struct Order {
    known: Known,
    done: Option<Sender<Result<(), DiskError>>>,
}

impl Keeper for FileMemory {
    fn keep(&mut self, known: &Known, when: When) -> Result<(), Failure> {
        let stopped = || Failure::failed("the thread that keeps what was seen of the store has stopped");
        match when {
            When::Soon if Instant::now() < self.next => Ok(()),
            When::Soon => {
                self.next = Instant::now() + KEEP_EVERY;
                // Busy with an earlier one: the next will do.
                let _ = self.orders.try_send(Order { known: known.clone(), done: None });
                Ok(())
            }
            When::Now => {
                let (done, answer) = bounded(1);
                self.orders.send(Order { known: known.clone(), done: Some(done) }).map_err(|_| stopped())?;
                let written = answer.recv().map_err(|_| stopped())?;
                written.map_err(|error| {
                    Failure::caused(Status::Failed, &error)
                        .remedy("check free space, and that this user may write the ledger folder")
                })
            }
        }
    }
}

fn write(path: &Path, inbox: &Receiver<Order>) {
    for Order { known, done } in inbox {
        let written = write_durably(path, &known.encode());
        match done {
            // Whoever asked may have gone.
            Some(done) => drop(done.send(written)),
            None => {
                if let Err(error) = written {
                    tracing::warn!("what was seen of the promise store is not kept: {error}");
                }
            }
        }
    }
}

/// To lose what was seen since then makes us less suspicious, never wrong.
const KEEP_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use {super::*, tandem_types::Term, tempfile::TempDir};

    #[test]
    fn what_one_run_has_seen_the_next_one_knows() {
        let folder = TempDir::new().expect("a folder");
        let identity = Pubkey::new_from_array([7; 32]);
        let (known, mut memory) = open(folder.path(), &identity).expect("a first run");
        assert_eq!(known, None);
        let seen = Known { store_id: Some(9), term: Term(3), quarantine: Some("restored".into()), ..Known::default() };
        memory.keep(&seen, When::Now).expect("kept");
        assert_eq!(open(folder.path(), &identity).expect("a second run").0, Some(seen.clone()));
        // One identity's store says nothing about another's.
        let other = Pubkey::new_from_array([8; 32]);
        assert_eq!(open(folder.path(), &other).expect("another identity").0, None);
        // Not with each vote, but soon.
        let later = Known { revision: 5, ..seen.clone() };
        memory.keep(&later, When::Soon).expect("taken");
        memory.keep(&Known { revision: 6, ..seen }, When::Soon).expect("passed over");
        memory.keep(&later, When::Now).expect("kept");
        assert_eq!(open(folder.path(), &identity).expect("a third run").0, Some(later));
    }

    #[test]
    fn a_damaged_memory_is_no_empty_one() {
        let folder = TempDir::new().expect("a folder");
        let identity = Pubkey::new_from_array([7; 32]);
        fs::write(file_of(folder.path(), &identity), "{").expect("written");
        let Err(failure) = open(folder.path(), &identity) else { panic!("it must be refused") };
        assert_eq!(failure.status, Status::Refused);
        assert!(failure.what.contains("seen-") && failure.remedy.is_some(), "{failure}");
    }
}
