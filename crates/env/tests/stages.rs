//! Two stages meet: nothing put into a link is forgotten, nobody sleeps through a ring.
#![allow(clippy::unwrap_used)]

use {
    std::{thread, time::Duration},
    tandem_env::{Doorbell, MonotonicClock, link, wall_clock},
};

#[test]
fn a_ring_before_the_wait_is_kept_once() {
    let (bell, clock) = (Doorbell::new(), MonotonicClock::start());
    bell.ring();
    bell.ring();
    bell.wait_until(&clock, None); // would hang if the ring were lost
    let deadline = clock.now() + Duration::from_millis(20);
    bell.wait_until(&clock, Some(deadline));
    assert!(clock.now() >= deadline, "the second ring must not have been kept");
}

#[test]
fn no_ring_is_lost_between_threads() {
    let (there, back) = (Doorbell::new(), Doorbell::new());
    let echo = {
        let (there, back) = (there.clone(), back.clone());
        thread::spawn(move || {
            let clock = MonotonicClock::start();
            for _ in 0..2_000 {
                there.wait_until(&clock, None);
                back.ring();
            }
        })
    };
    let clock = MonotonicClock::start();
    for _ in 0..2_000 {
        there.ring();
        back.wait_until(&clock, Some(clock.now() + Duration::from_secs(10)));
    }
    assert!(clock.now().as_millis() < 10_000, "a lost ring costs ten seconds");
    echo.join().unwrap();
}

#[test]
fn a_full_link_drops_the_newest_and_counts() {
    let bell = Doorbell::new();
    let (tx, rx) = link(2, &bell);
    assert_eq!([tx.offer(1), tx.offer(2), tx.offer(3)], [true, true, false]);
    assert_eq!((tx.dropped(), rx.len()), (1, 2));
    assert_eq!([rx.pop(), rx.pop(), rx.pop()], [Some(1), Some(2), None]);
}

#[test]
fn waiting_for_room_loses_nothing_and_the_end_is_told() {
    let bell = Doorbell::new();
    let (tx, rx) = link(1, &bell);
    let writer = thread::spawn(move || {
        (0..500).for_each(|n| tx.send(n).expect("the reader lives"));
        tx
    });
    let clock = MonotonicClock::start();
    let mut seen = Vec::new();
    while seen.len() < 500 {
        match rx.pop() {
            Some(n) => seen.push(n),
            None => bell.wait_until(&clock, Some(clock.now() + Duration::from_millis(50))),
        }
    }
    assert!(seen.into_iter().eq(0..500));
    let tx = writer.join().unwrap();
    drop(rx);
    assert!(tx.send(1).is_err() && !tx.offer(2));
}

#[test]
fn clocks_count_from_the_start_and_from_1970() {
    let clock = MonotonicClock::start();
    let first = clock.now();
    assert!(first.as_millis() < 10_000 && clock.now() >= first);
    assert!(wall_clock().0 > 1_704_067_200_000, "later than 2024, in milliseconds");
}
