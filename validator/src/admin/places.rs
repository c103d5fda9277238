//! Who is connected to the admin socket, and who has to leave when somebody else wants in.
//!
//! Connections are few and may be kept open. Whoever comes when all places are taken gets the place of the one that has been
//! quiet longest, so that forgotten connections, or a script that opens them without end, never lock an operator out. One
//! whose request is being answered stays.

use {
    std::{
        collections::BTreeMap,
        sync::{Arc, Mutex, PoisonError},
        time::Instant,
    },
    tokio::sync::Notify,
};

pub(super) struct Places {
    max: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Guest>,
}

struct Guest {
    /// Nothing while a request of it is being answered.
    quiet_since: Option<Instant>,
    leave: Arc<Notify>,
}

/// Given back when dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
}

impl Places {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, table: Mutex::default() })
    }

    /// Nothing when everybody is being answered.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.open.len() >= self.max {
            let quiet = table.open.iter().filter_map(|(number, guest)| Some((guest.quiet_since?, *number)));
            let (_, longest) = quiet.min()?;
            if let Some(guest) = table.open.remove(&longest) {
                guest.leave.notify_one();
            }
        }
        let number = table.next;
        table.next += 1;
        let leave = Arc::new(Notify::new());
        table.open.insert(number, Guest { quiet_since: Some(Instant::now()), leave: leave.clone() });
        Some(Place { places: self.clone(), number, leave })
    }
}

impl Place {
    /// Ends when somebody else gets this place.
    pub async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// A request is being answered from now on, or not any more.
    pub fn note(&self, answering: bool) {
        let mut table = self.places.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = table.open.get_mut(&self.number) {
            guest.quiet_since = (!answering).then(Instant::now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_has_been_quiet_longest_makes_room() {
        let places = Places::new(2);
        let (one, two) = (places.take().unwrap(), places.take().unwrap());
        one.note(true);
        one.note(false);
        let three = places.take().expect("for one more");
        let numbers = |places: &Places| places.table.lock().unwrap().open.keys().copied().collect::<Vec<_>>();
        assert_eq!(numbers(&places), [one.number, three.number], "two had said nothing for longer");
        drop(two);
        assert_eq!(numbers(&places).len(), 2, "its place is another's already");
        one.note(true);
        three.note(true);
        assert!(places.take().is_none(), "both are being answered");
        drop(one);
        assert!(places.take().is_some());
    }
}
