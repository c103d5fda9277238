//! At most so many connections, whoever opens them. The library counts requests in work, and lets idle connections grow until
//! the process has no file left for anything else.
//!
//! When all places are taken, whoever comes gets the place of the connection that has been quiet longest, if it has been quiet
//! for a while; else it is turned away. A place is given back when the socket is closed, and not before.

use {
    std::{
        collections::BTreeMap,
        io,
        pin::Pin,
        sync::{Arc, Mutex, PoisonError},
        task::{Context, Poll, Waker},
        time::{Duration, Instant},
    },
    tokio::io::{AsyncRead, AsyncWrite, ReadBuf},
};

#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Table>>);

struct Table {
    max: usize,
    next: u64,
    open: BTreeMap<u64, Guest>,
}

struct Guest {
    heard: Instant,
    /// Somebody else gets its place.
    leaves: bool,
    reader: Option<Waker>,
}

impl Places {
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(Table { max, next: 0, open: BTreeMap::new() })))
    }

    /// The connection with its place, or nothing: then it is to be closed.
    pub fn seat<S>(&self, stream: S) -> Option<Seated<S>> {
        self.seat_at(Instant::now(), stream)
    }

    fn seat_at<S>(&self, now: Instant, stream: S) -> Option<Seated<S>> {
        let mut table = self.table();
        // Those that were asked to leave are on their way out.
        let staying = table.open.values().filter(|guest| !guest.leaves).count();
        if staying >= table.max {
            // No more may be leaving at a time than come on top: each newcomer waits for the one it replaces.
            if table.open.len() > table.max {
                return None;
            }
            let quietest = table.open.values_mut().filter(|guest| !guest.leaves).min_by_key(|guest| guest.heard)?;
            if now.saturating_duration_since(quietest.heard) < QUIET_MIN {
                return None;
            }
            quietest.leaves = true;
            if let Some(reader) = quietest.reader.take() {
                reader.wake();
            }
        }
        let number = table.next;
        table.next += 1;
        table.open.insert(number, Guest { heard: now, leaves: false, reader: None });
        Some(Seated { stream, number, places: self.clone() })
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection; its place is free when this is dropped.
pub(crate) struct Seated<S> {
    stream: S,
    number: u64,
    places: Places,
}

impl<S> Seated<S> {
    /// False: it has to leave.
    fn note(&self, heard: bool, reader: Option<&Context<'_>>) -> bool {
        let mut table = self.places.table();
        let Some(guest) = table.open.get_mut(&self.number) else { return false };
        if heard {
            guest.heard = Instant::now();
        }
        if let Some(context) = reader {
            guest.reader = Some(context.waker().clone());
        }
        !guest.leaves
    }
}

impl<S> Drop for Seated<S> {
    fn drop(&mut self) {
        self.places.table().open.remove(&self.number);
    }
}

fn leave() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "another connection got the place of this quiet one")
}

impl<S: AsyncRead + Unpin> AsyncRead for Seated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.note(false, Some(context)) {
            return Poll::Ready(Err(leave()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.note(true, None);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seated<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        let written = matches!(polled, Poll::Ready(Ok(_)));
        if self.note(written, None) { polled } else { Poll::Ready(Err(leave())) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A method that scans accounts may take seconds, and is not to be cut off by a newcomer.
const QUIET_MIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_makes_room_and_nobody_else_does() {
        let places = Places::new(2);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let one = places.seat_at(after(0), ()).unwrap();
        let two = places.seat_at(after(5), ()).unwrap();
        assert!(places.seat_at(after(9), ()).is_none(), "both spoke within ten seconds");
        let three = places.seat_at(after(11), ()).expect("one was quiet for longer");
        assert!(!one.note(false, None) && two.note(false, None) && three.note(false, None));
        assert!(places.seat_at(after(100), ()).is_none(), "not before one has gone");
        drop(one);
        let four = places.seat_at(after(100), ()).expect("now two");
        assert!(!two.note(false, None) && four.note(false, None));
        drop((two, three));
        assert!(places.seat_at(after(100), ()).is_some(), "a free place");
    }
}
