//! The asking side: turns what is missing into questions, and takes only the answers to them.

use {
    crate::{
        ClientEvent, Effect, Packet, Reason, Signer, SlotGap,
        outstanding::{Match, Outstanding},
        peers::Peers,
        tokens::Tokens,
    },
    rand::SeedableRng,
    rand_chacha::ChaChaRng,
    std::{collections::BTreeMap, time::Duration},
    tandem_types::{Slot, Tick, UnixMillis},
    tandem_wire::{
        ping::{Ping, Pong},
        repair::{PING_RESPONSE_BYTES, RepairRequest, RepairResponse, RequestHeader, RequestKind, split_nonce},
    },
};

pub struct RepairClient {
    rng: ChaChaRng,
    peers: Peers,
    /// What is missing, lowest slot first: replay waits for the lowest.
    gaps: BTreeMap<Slot, SlotGap>,
    /// For each slot, when each of its FEC sets was first seen to have begun.
    begun: BTreeMap<Slot, Vec<Tick>>,
    /// When each question was last asked.
    asked: BTreeMap<RequestKind, Tick>,
    outstanding: Outstanding,
    pongs: Tokens,
    next_pass: Option<Tick>,
}

impl RepairClient {
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: ChaChaRng::from_seed(seed),
            peers: Peers::default(),
            gaps: BTreeMap::new(),
            begun: BTreeMap::new(),
            asked: BTreeMap::new(),
            outstanding: Outstanding::default(),
            pongs: Tokens::per_second(PONGS_PER_SECOND),
            next_pass: None,
        }
    }

    /// Handles one event. Never blocks, never fails: what is wrong is `Effect::Counted`.
    pub fn handle(
        &mut self,
        now: Tick,
        wall: UnixMillis,
        event: ClientEvent,
        signer: &dyn Signer,
        out: &mut Vec<Effect>,
    ) {
        match event {
            ClientEvent::Packet(packet) => self.handle_packet(now, packet, signer, out),
            ClientEvent::Missing(gaps) => self.handle_missing(now, gaps),
            ClientEvent::Peers(peers) => self.peers.set(peers),
            ClientEvent::Timer => {}
        }
        if self.next_pass.is_some_and(|at| at <= now) {
            self.ask(now, wall, signer, out);
            self.next_pass = (!self.gaps.is_empty()).then(|| now + PASS_EVERY);
        }
    }

    pub fn next_deadline(&self) -> Option<Tick> {
        self.next_pass
    }

    /// Questions still waiting for an answer.
    pub fn waiting(&self) -> usize {
        self.outstanding.len()
    }

    fn handle_packet(&mut self, now: Tick, packet: Packet, signer: &dyn Signer, out: &mut Vec<Effect>) {
        let Packet { from, mut bytes } = packet;
        // Only its length tells a ping from a shred (serve_repair.rs:handle_repair_response_pings).
        if bytes.len() == PING_RESPONSE_BYTES {
            match RepairResponse::decode(&bytes) {
                Ok(RepairResponse::Ping(ping)) => self.answer_ping(now, &ping, signer, from, out),
                Err(reject) => out.push(Effect::Counted(Reason::Rejected(reject))),
            }
            return;
        }
        let Some((shred, nonce)) = split_nonce(&bytes) else {
            out.push(Effect::Counted(Reason::UnknownNonce));
            return;
        };
        match self.outstanding.take(now, nonce, shred) {
            Match::Answer { slot, index } => {
                // The ledger will say so too, but its next word may come after our next question.
                if let Some(gap) = self.gaps.get_mut(&slot)
                    && let Ok(place) = gap.missing.binary_search(&index)
                {
                    gap.missing.remove(place);
                }
                bytes.truncate(bytes.len() - size_of_val(&nonce));
                out.push(Effect::Shred { bytes, from });
            }
            Match::Unknown => out.push(Effect::Counted(Reason::UnknownNonce)),
            Match::Wrong => out.push(Effect::Counted(Reason::WrongAnswer)),
        }
    }

    /// The classic silent failure is not to answer: without a pong nobody ever sends us a shred.
    fn answer_ping(
        &mut self,
        now: Tick,
        ping: &Ping,
        signer: &dyn Signer,
        from: std::net::SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        if !self.pongs.take(now, 1) {
            out.push(Effect::Counted(Reason::Overload));
            return;
        }
        if !ping.verify() {
            out.push(Effect::Counted(Reason::BadSignature));
            return;
        }
        let pong = Pong::answering(ping, signer.pubkey(), |bytes| signer.sign(bytes));
        out.push(Effect::Send { to: from, bytes: RepairRequest::Pong(pong).encode() });
    }

    fn handle_missing(&mut self, now: Tick, gaps: Vec<SlotGap>) {
        self.gaps = gaps.into_iter().map(|gap| (gap.slot, gap)).collect();
        self.begun.retain(|slot, _| self.gaps.contains_key(slot));
        for gap in self.gaps.values_mut() {
            // Promised ascending; a binary search in anything else would ask for the wrong ones.
            gap.missing.sort_unstable();
            let sets = (gap.received as usize).div_ceil(FEC_SET);
            let begun = self.begun.entry(gap.slot).or_default();
            // A later set that has begun says that the earlier ones have, even when nothing of them came.
            if begun.len() < sets {
                begun.resize(sets, now);
            }
        }
        self.next_pass.get_or_insert(now);
    }

    fn ask(&mut self, now: Tick, wall: UnixMillis, signer: &dyn Signer, out: &mut Vec<Effect>) {
        self.asked.retain(|_, at| now.since(*at) < ASK_AGAIN_AFTER);
        let mut left = Left { orphans: ORPHANS_MAX, unknown_last: UNKNOWN_LAST_MAX, shreds: SHREDS_MAX };
        let mut questions = Vec::new();
        for gap in self.gaps.values() {
            self.questions_about(now, gap, &mut left, &mut questions);
        }
        for kind in questions {
            self.asked.insert(kind, now);
            let Some(peer) = self.peers.choose(&mut self.rng, kind.slot(), &signer.pubkey()) else {
                out.push(Effect::Counted(Reason::NoPeer));
                continue;
            };
            let nonce = self.outstanding.add(&mut self.rng, now, kind);
            let header = RequestHeader { sender: signer.pubkey(), recipient: peer.pubkey, timestamp: wall, nonce };
            let request = RepairRequest::ask(header, kind, |bytes| signer.sign(bytes));
            out.push(Effect::Send { to: peer.addr, bytes: request.encode() });
        }
    }

    fn questions_about(&self, now: Tick, gap: &SlotGap, left: &mut Left, questions: &mut Vec<RequestKind>) {
        let slot = gap.slot;
        if gap.orphan {
            self.question(RequestKind::Orphan { slot }, &mut left.orphans, questions);
        }
        let begun = self.begun.get(&slot).map_or(&[][..], Vec::as_slice);
        // Turbine has a quarter of a second to bring the rest of a set, or enough of it to recover the others.
        let is_due = |at: Option<&Tick>| at.is_some_and(|at| now.since(*at) >= FEC_REPAIR_DELAY);
        // With nothing received there is no set to wait for; with gaps, those are asked for first.
        let quiet = gap.received == 0 || (gap.missing.is_empty() && is_due(begun.last()));
        if gap.unknown_last && quiet {
            let highest = RequestKind::HighestWindowIndex { slot, shred_index: u64::from(gap.received) };
            self.question(highest, &mut left.unknown_last, questions);
        }
        for index in &gap.missing {
            if left.shreds == 0 {
                break;
            }
            if is_due(begun.get(*index as usize / FEC_SET)) {
                let kind = RequestKind::WindowIndex { slot, shred_index: u64::from(*index) };
                self.question(kind, &mut left.shreds, questions);
            }
        }
    }

    fn question(&self, kind: RequestKind, left: &mut usize, questions: &mut Vec<RequestKind>) {
        if *left > 0 && !self.asked.contains_key(&kind) {
            *left -= 1;
            questions.push(kind);
        }
    }
}

/// What may still be asked in this pass.
struct Left {
    orphans: usize,
    unknown_last: usize,
    shreds: usize,
}

const FEC_SET: usize = 32;
/// repair_service.rs: FEC_REPAIR_DELAY, REPAIR_REQUEST_TIMEOUT_MS, MAX_ORPHANS, MAX_UNKNOWN_LAST_INDEX_REPAIRS,
/// MAX_REPAIR_LENGTH.
const FEC_REPAIR_DELAY: Duration = Duration::from_millis(250);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(150);
const ORPHANS_MAX: usize = 5;
const UNKNOWN_LAST_MAX: usize = 10;
const SHREDS_MAX: usize = 512;
/// Agave looks every millisecond, at its database; we are told what is missing, and only time can make more due.
const PASS_EVERY: Duration = Duration::from_millis(10);
/// A peer pings us once in two seconds.
const PONGS_PER_SECOND: u64 = 2000;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::{
            RepairPeer,
            testing::{Key, shred},
        },
        std::net::SocketAddr,
        tandem_wire::{Reject, repair::with_nonce},
    };

    struct Case {
        client: RepairClient,
        me: Key,
        peer: Key,
        now: Tick,
        out: Vec<Effect>,
    }

    fn peer_addr() -> SocketAddr {
        ([10, 0, 0, 2], 8010).into()
    }

    fn gap(slot: Slot, received: u32, missing: &[u32]) -> SlotGap {
        SlotGap { slot, received, missing: missing.to_vec(), ..SlotGap::default() }
    }

    impl Case {
        fn new() -> Self {
            let (me, peer) = (Key::new(1), Key::new(2));
            let mut case =
                Self { client: RepairClient::new([3; 32]), me, peer, now: Tick::from_millis(1000), out: vec![] };
            let peer = RepairPeer { pubkey: case.peer.pubkey(), addr: peer_addr(), stake: 1, lowest_slot: 0 };
            case.handle(ClientEvent::Peers(vec![peer]));
            case
        }

        fn handle(&mut self, event: ClientEvent) {
            self.client.handle(self.now, UnixMillis(77), event, &self.me, &mut self.out);
        }

        /// Runs the clock, stopping at each deadline; returns the questions asked with their nonces.
        fn run(&mut self, ms: u64) -> Vec<(RequestKind, u32)> {
            let end = self.now + Duration::from_millis(ms);
            while let Some(at) = self.client.next_deadline().filter(|at| *at <= end) {
                self.now = self.now.max(at);
                self.handle(ClientEvent::Timer);
            }
            self.now = end;
            self.questions()
        }

        fn questions(&mut self) -> Vec<(RequestKind, u32)> {
            let sent = std::mem::take(&mut self.out).into_iter().map(|effect| {
                let Effect::Send { to, bytes } = effect else { panic!("{effect:?}") };
                assert_eq!(to, peer_addr());
                let request = RepairRequest::decode(&bytes).unwrap();
                assert!(request.verify());
                let RepairRequest::Ask { header, kind, .. } = request else { panic!("a pong") };
                assert_eq!((header.sender, header.recipient), (self.me.pubkey(), self.peer.pubkey()));
                assert_eq!(header.timestamp, UnixMillis(77));
                (kind, header.nonce)
            });
            sent.collect()
        }

        fn answer(&mut self, shred: Vec<u8>, nonce: u32) -> Vec<Effect> {
            self.handle(ClientEvent::Packet(Packet { from: peer_addr(), bytes: with_nonce(shred, nonce) }));
            std::mem::take(&mut self.out)
        }
    }

    fn kinds(questions: &[(RequestKind, u32)]) -> Vec<RequestKind> {
        questions.iter().map(|(kind, _)| *kind).collect()
    }

    fn window(slot: Slot, shred_index: u64) -> RequestKind {
        RequestKind::WindowIndex { slot, shred_index }
    }

    #[test]
    fn turbine_has_its_time_then_each_hole_is_asked_for_and_again_if_unanswered() {
        let mut case = Case::new();
        case.handle(ClientEvent::Missing(vec![gap(9, 40, &[3, 35])]));
        assert_eq!(case.run(240), []);
        assert_eq!(kinds(&case.run(20)), [window(9, 3), window(9, 35)]);
        assert_eq!(case.run(130), [], "not again before the peer could answer");
        assert_eq!(kinds(&case.run(30)), [window(9, 3), window(9, 35)]);
    }

    #[test]
    fn a_later_set_waits_from_when_it_began() {
        let mut case = Case::new();
        case.handle(ClientEvent::Missing(vec![gap(9, 20, &[3])]));
        assert_eq!(case.run(200), []);
        case.handle(ClientEvent::Missing(vec![gap(9, 50, &[3, 40])]));
        assert_eq!(kinds(&case.run(60)), [window(9, 3)]);
        assert_eq!(kinds(&case.run(130)), []);
        assert_eq!(kinds(&case.run(70)), [window(9, 3), window(9, 40)]);
    }

    #[test]
    fn an_answer_goes_on_once_and_is_not_asked_for_again() {
        let mut case = Case::new();
        case.handle(ClientEvent::Missing(vec![gap(9, 40, &[3, 35])]));
        let asked = case.run(260);
        let nonce = asked[0].1;
        assert_eq!(case.answer(shred(9, 35), nonce ^ 1), [Effect::Counted(Reason::UnknownNonce)]);
        assert_eq!(case.answer(shred(9, 3), nonce), [Effect::Shred { bytes: shred(9, 3), from: peer_addr() }]);
        assert_eq!(case.answer(shred(9, 3), nonce), [Effect::Counted(Reason::UnknownNonce)]);
        assert_eq!(case.answer(shred(8, 35), asked[1].1), [Effect::Counted(Reason::WrongAnswer)]);
        assert_eq!(kinds(&case.run(200)), [window(9, 35)]);
        // When the ledger has all, nothing is asked and nothing is waited for.
        case.handle(ClientEvent::Missing(vec![]));
        assert_eq!(case.run(1000), []);
        assert_eq!(case.client.next_deadline(), None);
    }

    #[test]
    fn an_empty_slot_is_asked_about_at_once_a_quiet_one_later() {
        let mut case = Case::new();
        let empty = SlotGap { slot: 5, unknown_last: true, ..SlotGap::default() };
        let quiet = SlotGap { slot: 6, received: 64, unknown_last: true, ..SlotGap::default() };
        let busy = SlotGap { missing: vec![1], slot: 7, ..quiet.clone() };
        case.handle(ClientEvent::Missing(vec![empty, quiet, busy]));
        let highest = |slot, shred_index| RequestKind::HighestWindowIndex { slot, shred_index };
        assert_eq!(kinds(&case.run(10)), [highest(5, 0)]);
        assert_eq!(kinds(&case.run(130)), []);
        assert_eq!(kinds(&case.run(120)), [highest(5, 0), highest(6, 64), window(7, 1)]);
    }

    #[test]
    fn an_orphan_is_asked_about_and_its_ancestors_go_on() {
        let mut case = Case::new();
        case.handle(ClientEvent::Missing(vec![SlotGap { orphan: true, ..gap(90, 1, &[]) }]));
        let asked = case.run(1);
        assert_eq!(kinds(&asked), [RequestKind::Orphan { slot: 90 }]);
        for slot in [90, 88, 87] {
            assert!(matches!(case.answer(shred(slot, 5), asked[0].1)[..], [Effect::Shred { .. }]));
        }
        assert_eq!(case.answer(shred(91, 5), asked[0].1), [Effect::Counted(Reason::WrongAnswer)]);
    }

    #[test]
    fn a_pass_asks_only_so_much_and_the_lowest_slot_first() {
        let mut case = Case::new();
        let all: Vec<u32> = (0..1000).collect();
        let mut gaps: Vec<SlotGap> = (10..40).rev().map(|slot| gap(slot, 1000, &all)).collect();
        gaps.iter_mut().for_each(|gap| gap.orphan = true);
        case.handle(ClientEvent::Missing(gaps));
        let orphans = case.run(0);
        assert_eq!(kinds(&orphans), (10..15).map(|slot| RequestKind::Orphan { slot }).collect::<Vec<_>>());
        case.run(249);
        case.now = case.now + Duration::from_millis(1);
        case.handle(ClientEvent::Timer);
        let first = kinds(&case.questions());
        let windows: Vec<_> = first.iter().filter(|kind| matches!(kind, RequestKind::WindowIndex { .. })).collect();
        assert_eq!(windows.len(), 512);
        assert!(windows.iter().all(|kind| kind.slot() == 10));
    }

    #[test]
    fn pings_are_answered_by_whoever_we_are_now() {
        let mut case = Case::new();
        for n in [1, 5] {
            case.me = Key::new(n);
            let ping = Ping::signed(case.peer.pubkey(), [n; 32], |bytes| case.peer.sign(bytes));
            let bytes = RepairResponse::Ping(ping.clone()).encode();
            case.handle(ClientEvent::Packet(Packet { from: peer_addr(), bytes }));
            let Some(Effect::Send { to, bytes }) = case.out.pop() else { panic!("no pong") };
            assert_eq!(to, peer_addr());
            let pong = Pong::answering(&ping, case.me.pubkey(), |bytes| case.me.sign(bytes));
            assert_eq!(RepairRequest::decode(&bytes), Ok(RepairRequest::Pong(pong)));
        }
        let mut forged = Ping::signed(case.peer.pubkey(), [7; 32], |bytes| case.peer.sign(bytes));
        forged.token[0] ^= 1;
        let bytes = RepairResponse::Ping(forged).encode();
        case.handle(ClientEvent::Packet(Packet { from: peer_addr(), bytes }));
        assert_eq!(case.out, [Effect::Counted(Reason::BadSignature)]);
    }

    #[test]
    fn junk_is_counted_and_nobody_to_ask_is_too() {
        let mut case = Case::new();
        for (bytes, reason) in [
            (vec![], Reason::UnknownNonce),
            (vec![1, 2, 3], Reason::UnknownNonce),
            (vec![0; 1207], Reason::UnknownNonce),
            (vec![9; PING_RESPONSE_BYTES], Reason::Rejected(Reject::Tag("repair response", 0x0909_0909))),
        ] {
            case.handle(ClientEvent::Packet(Packet { from: peer_addr(), bytes }));
            assert_eq!(std::mem::take(&mut case.out), [Effect::Counted(reason)]);
        }
        case.handle(ClientEvent::Peers(vec![]));
        case.handle(ClientEvent::Missing(vec![SlotGap { slot: 5, unknown_last: true, ..SlotGap::default() }]));
        assert_eq!(case.out, [Effect::Counted(Reason::NoPeer)]);
        assert_eq!(case.client.waiting(), 0);
    }
}
