//! Shreds a second on this machine: making them, checking them, getting lost ones back. One line each.
//!
//! cargo run --release -p tandem-shred --example rates

use {
    std::{
        convert::Infallible,
        hint::black_box,
        time::{Duration, Instant},
    },
    tandem_entry::Poh,
    tandem_shred::{Cursor, SET_DATA_BYTES, Shred, ShredHeader, Shredder, VerifiedRoots, recover},
    tandem_types::{BlockId, Hash, Keypair, Signer},
};

fn main() {
    let leader = Keypair::new_from_array([1; 32]);
    let sign = |root: &Hash| Ok::<_, Infallible>(leader.sign_message(root.as_ref()));
    let shredder = Shredder::new(10, 9, 1, 5).expect("a parent before its child");
    let start = Cursor::start(BlockId::default());
    let batch = |sets: usize| vec![7; sets * SET_DATA_BYTES];

    for sets in [1, 2, 16] {
        let batch = batch(sets);
        rate(&format!("make, {sets} sets a batch"), sets * 64, || {
            black_box(shredder.make(sign, start, &batch, false).expect("fits a slot"));
        });
    }

    let made = shredder.make(sign, start, &batch(16), false).expect("fits a slot");
    let all: Vec<Shred> = made.data.into_iter().chain(made.code).collect();
    let packets: Vec<_> = all.iter().map(|shred| shred.payload().clone()).collect();
    rate("read headers", packets.len(), || {
        for packet in &packets {
            black_box(ShredHeader::parse(packet).expect("a shred"));
        }
    });
    rate("parse", packets.len(), || {
        for packet in &packets {
            black_box(Shred::parse(packet.clone()).expect("a shred"));
        }
    });
    rate("parse + verify each signature", packets.len() / 16, || {
        for packet in packets.iter().step_by(16) {
            assert!(Shred::parse(packet.clone()).expect("a shred").verify(&leader.pubkey()));
        }
    });
    rate("parse + verify once a set", packets.len(), || {
        let mut verified = VerifiedRoots::new(64);
        for packet in &packets {
            assert!(verified.verify(&Shred::parse(packet.clone()).expect("a shred"), &leader.pubkey()));
        }
    });

    let first: Vec<Shred> = all.iter().filter(|shred| shred.fec_set_index() == 0).cloned().collect();
    for lost in [1, 8, 32] {
        // Loses data shreds: the dearest case, as the matrix of the rest must be inverted.
        rate(&format!("recover {lost} of a set (sets x 64)"), 64, || {
            assert_eq!(recover(&first[lost..]).expect("enough of them").len(), lost);
        });
    }

    let mut poh = Poh::new(Hash::default(), None);
    rate("PoH hashes", 100_000, || {
        poh.hash(100_000);
    });
}

/// Repeats `work`, which handles `count` things, for a while and prints how many of them a second.
fn rate(what: &str, count: usize, mut work: impl FnMut()) {
    work(); // Tables and caches are made on first use.
    let (begin, mut rounds) = (Instant::now(), 0u32);
    while begin.elapsed() < Duration::from_millis(400) {
        work();
        rounds += 1;
    }
    let each = begin.elapsed().as_secs_f64() / f64::from(rounds) / count as f64;
    println!("{what:36} {:>12.0} /s   {:>8.2} us each", 1.0 / each, each * 1e6);
}
