//! Account locks: many readers or one writer, by what is in flight and by what waits with a better claim.

use {
    super::Candidate,
    std::collections::{HashMap, HashSet, hash_map::Entry},
    tandem_types::Pubkey,
};

/// Held by batches in flight, counted: transactions of one batch may share an account.
#[derive(Default)]
pub(super) struct Locks {
    held: HashMap<Pubkey, Count>,
}

#[derive(Default)]
struct Count {
    writers: u32,
    readers: u32,
}

impl Locks {
    pub fn conflict(&self, candidate: &Candidate) -> bool {
        candidate.writes.iter().any(|key| self.held.contains_key(key))
            || candidate.reads.iter().any(|key| self.held.get(key).is_some_and(|count| count.writers > 0))
    }

    pub fn acquire(&mut self, candidate: &Candidate) {
        for key in &candidate.writes {
            self.held.entry(*key).or_default().writers += 1;
        }
        for key in &candidate.reads {
            self.held.entry(*key).or_default().readers += 1;
        }
    }

    pub fn release(&mut self, candidate: &Candidate) {
        for key in &candidate.writes {
            self.take(key, |count| &mut count.writers);
        }
        for key in &candidate.reads {
            self.take(key, |count| &mut count.readers);
        }
    }

    fn take(&mut self, key: &Pubkey, side: impl Fn(&mut Count) -> &mut u32) {
        let Entry::Occupied(mut held) = self.held.entry(*key) else {
            panic!("a lock that is released was acquired");
        };
        *side(held.get_mut()) -= 1;
        if held.get().writers == 0 && held.get().readers == 0 {
            held.remove();
        }
    }
}

/// Accounts that better paid transactions wait for, within one scan.
#[derive(Default)]
pub(super) struct Wanted {
    writes: HashSet<Pubkey>,
    reads: HashSet<Pubkey>,
}

impl Wanted {
    pub fn conflict(&self, candidate: &Candidate) -> bool {
        candidate.writes.iter().any(|key| self.writes.contains(key) || self.reads.contains(key))
            || candidate.reads.iter().any(|key| self.writes.contains(key))
    }

    pub fn reserve(&mut self, candidate: &Candidate) {
        self.writes.extend(&candidate.writes);
        self.reads.extend(&candidate.reads);
    }
}
