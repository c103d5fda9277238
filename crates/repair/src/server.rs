//! The answering side: who may be answered, and with what.

use {
    crate::{
        Effect, Packet, Reason, ServerEvent, ShredSource, Signer, answer::ORPHAN_ANSWERS_MAX, pings::Pings,
        tokens::Tokens,
    },
    rand::SeedableRng,
    rand_chacha::ChaChaRng,
    std::{cmp::Reverse, collections::HashMap, net::SocketAddr, sync::Arc},
    tandem_types::{PACKET_BYTES_MAX, Pubkey, Slot, Tick, UnixMillis},
    tandem_wire::{
        ping::{Ping, Pong},
        repair::{AncestorHashesResponse, Nonce, RepairRequest, RepairResponse, RequestKind, with_nonce},
    },
};

pub struct RepairServer {
    rng: ChaChaRng,
    stakes: Arc<HashMap<Pubkey, u64>>,
    leading: bool,
    pings: Pings,
    bytes: Tokens,
}

/// A request that is well-formed, for us, and signed.
struct Asked {
    from: SocketAddr,
    sender: Pubkey,
    nonce: Nonce,
    kind: RequestKind,
}

impl RepairServer {
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: ChaChaRng::from_seed(seed),
            stakes: Arc::default(),
            leading: false,
            pings: Pings::default(),
            bytes: Tokens::per_second(BYTES_PER_SECOND),
        }
    }

    /// Handles one event. There is no deadline to wait for: a server only answers.
    pub fn handle(
        &mut self,
        now: Tick,
        wall: UnixMillis,
        event: ServerEvent,
        source: &mut dyn ShredSource,
        signer: &dyn Signer,
        out: &mut Vec<Effect>,
    ) {
        match event {
            ServerEvent::Requests(packets) => self.handle_requests(now, wall, packets, source, signer, out),
            ServerEvent::Stakes(stakes) => self.stakes = stakes,
            ServerEvent::Leading(leading) => self.leading = leading,
        }
    }

    fn handle_requests(
        &mut self,
        now: Tick,
        wall: UnixMillis,
        packets: Vec<Packet>,
        source: &mut dyn ShredSource,
        signer: &dyn Signer,
        out: &mut Vec<Effect>,
    ) {
        // A signature costs more to check than most answers to send: look at no more than could be answered, twice over
        // so that the staked can still be preferred.
        let affordable = 2 * self.bytes.left(now) / (PACKET_BYTES_MAX as u64 * self.cost_of_byte());
        let looked_at = usize::try_from(affordable).unwrap_or(usize::MAX).min(LOOKED_AT_MAX);
        let me = signer.pubkey();
        let mut asked = Vec::new();
        for (n, packet) in packets.into_iter().enumerate() {
            let checked = if n < looked_at { self.check(now, wall, &me, packet) } else { Err(Reason::Overload) };
            match checked {
                Ok(request) => asked.extend(request),
                Err(reason) => out.push(Effect::Counted(reason)),
            }
        }
        asked.sort_by_key(|request| Reverse(self.stakes.get(&request.sender).copied().unwrap_or(0)));
        for (n, request) in asked.into_iter().enumerate() {
            let answered =
                if n < ANSWERED_MAX { self.answer(now, &request, source, signer, out) } else { Err(Reason::Overload) };
            if let Err(reason) = answered {
                out.push(Effect::Counted(reason));
            }
        }
    }

    /// serve_repair.rs:decode_request and verify_signed_packet. None: a good pong, which asks for nothing.
    fn check(&mut self, now: Tick, wall: UnixMillis, me: &Pubkey, packet: Packet) -> Result<Option<Asked>, Reason> {
        let Packet { from, bytes } = packet;
        let unanswerable = from.port() == 0 || from.ip().is_unspecified() || from.ip().is_multicast();
        if unanswerable {
            return Err(Reason::BadAddress);
        }
        let request = RepairRequest::decode(&bytes).map_err(Reason::Rejected)?;
        if let RepairRequest::Ask { header, .. } = &request {
            if header.recipient != *me || header.sender == *me {
                return Err(Reason::NotForUs);
            }
            if wall.0.abs_diff(header.timestamp.0) > TIME_WINDOW_MS {
                return Err(Reason::WrongTime);
            }
        }
        if !request.verify() {
            return Err(Reason::BadSignature);
        }
        match request {
            RepairRequest::Pong(pong) => self.receive_pong(now, &pong, from).map(|()| None),
            RepairRequest::Ask { header, kind, .. } => {
                Ok(Some(Asked { from, sender: header.sender, nonce: header.nonce, kind }))
            }
        }
    }

    fn receive_pong(&mut self, now: Tick, pong: &Pong, from: SocketAddr) -> Result<(), Reason> {
        let expected = self.pings.receive(&mut self.rng, now, pong, from);
        if expected { Ok(()) } else { Err(Reason::UnexpectedPong) }
    }

    fn answer(
        &mut self,
        now: Tick,
        asked: &Asked,
        source: &mut dyn ShredSource,
        signer: &dyn Signer,
        out: &mut Vec<Effect>,
    ) -> Result<(), Reason> {
        let packets_max = match asked.kind {
            RequestKind::Orphan { .. } => u64::from(ORPHAN_ANSWERS_MAX),
            RequestKind::WindowIndex { .. }
            | RequestKind::HighestWindowIndex { .. }
            | RequestKind::AncestorHashes { .. } => 1,
        };
        // Taken for the longest answer, and given back for what was not sent.
        let reserved = packets_max * PACKET_BYTES_MAX as u64 * self.cost_of_byte();
        if !self.bytes.take(now, reserved) {
            return Err(Reason::Overload);
        }
        let check = self.pings.check(&mut self.rng, now, (asked.sender, asked.from));
        if let Some(token) = check.ping {
            let ping = Ping::signed(signer.pubkey(), token, |bytes| signer.sign(bytes));
            let bytes = match asked.kind {
                RequestKind::AncestorHashes { .. } => AncestorHashesResponse::Ping(ping).encode(),
                RequestKind::WindowIndex { .. }
                | RequestKind::HighestWindowIndex { .. }
                | RequestKind::Orphan { .. } => RepairResponse::Ping(ping).encode(),
            };
            out.push(Effect::Send { to: asked.from, bytes });
        }
        if !check.proven {
            self.bytes.give_back(reserved);
            return Err(Reason::UnverifiedAddress);
        }
        let before = out.len();
        for shred in shreds_for(asked.kind, source) {
            out.push(Effect::Send { to: asked.from, bytes: with_nonce(shred, asked.nonce) });
        }
        let sent: usize = out[before..]
            .iter()
            .map(|effect| match effect {
                Effect::Send { bytes, .. } => bytes.len(),
                Effect::Shred { .. } | Effect::Counted(_) => 0,
            })
            .sum();
        self.bytes.give_back(reserved.saturating_sub(sent as u64 * self.cost_of_byte()));
        if sent == 0 { Err(Reason::NotHere) } else { Ok(()) }
    }

    fn cost_of_byte(&self) -> u64 {
        if self.leading { LEADING_COST } else { 1 }
    }
}

/// repair_handler.rs and standard_repair_handler.rs.
fn shreds_for(kind: RequestKind, source: &mut dyn ShredSource) -> Vec<Vec<u8>> {
    match kind {
        RequestKind::WindowIndex { slot, shred_index } => source.shred(slot, shred_index).into_iter().collect(),
        RequestKind::HighestWindowIndex { slot, shred_index } => {
            source.highest(slot, shred_index).into_iter().collect()
        }
        RequestKind::Orphan { slot } => orphan_chain(slot, source),
        // Agave answers these for slots the cluster has confirmed as duplicates, and an empty list for others; an asker
        // asks several peers and lives without our word (protocol.md 3.3).
        RequestKind::AncestorHashes { .. } => Vec::new(),
    }
}

/// The highest shred of the slot and of each ancestor, as far as we have them without a hole.
fn orphan_chain(slot: Slot, source: &mut dyn ShredSource) -> Vec<Vec<u8>> {
    let mut shreds = Vec::new();
    let mut next = Some(slot);
    while let Some(slot) = next.filter(|_| shreds.len() < ORPHAN_ANSWERS_MAX as usize) {
        let Some(shred) = source.highest(slot, 0) else { break };
        shreds.push(shred);
        // Slot 0 is its own parent.
        next = source.parent(slot).filter(|parent| *parent < slot);
    }
    shreds
}

/// serve_repair.rs: MAX_BYTES_PER_SECOND, LEADER_BYTE_COST_MULTIPLIER, SIGNED_REPAIR_TIME_WINDOW,
/// MAX_REQUESTS_PER_ITERATION.
const BYTES_PER_SECOND: u64 = 12_000_000;
const LEADING_COST: u64 = 10;
const TIME_WINDOW_MS: u64 = 10 * 60 * 1000;
const ANSWERED_MAX: usize = 1024;
const LOOKED_AT_MAX: usize = 2 * ANSWERED_MAX;

#[cfg(test)]
mod tests {
    use {
        super::*,
        crate::testing::{Key, shred},
        std::collections::BTreeMap,
        tandem_wire::{Reject, repair::RequestHeader},
    };

    const WALL: UnixMillis = UnixMillis(1_700_000_000_000);

    /// Slots with their parent and how many shreds they have.
    #[derive(Default)]
    struct Shelf(BTreeMap<Slot, (Slot, u32)>);

    impl ShredSource for Shelf {
        fn shred(&mut self, slot: Slot, index: u64) -> Option<Vec<u8>> {
            let index = u32::try_from(index).ok()?;
            self.0.get(&slot).filter(|(_, count)| index < *count).map(|_| shred(slot, index))
        }

        fn highest(&mut self, slot: Slot, min_index: u64) -> Option<Vec<u8>> {
            let last = self.0.get(&slot)?.1.checked_sub(1)?;
            (u64::from(last) >= min_index).then(|| shred(slot, last))
        }

        fn parent(&mut self, slot: Slot) -> Option<Slot> {
            self.0.get(&slot).map(|(parent, _)| *parent)
        }
    }

    struct Case {
        server: RepairServer,
        me: Key,
        shelf: Shelf,
        now: Tick,
    }

    fn addr(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 9000).into()
    }

    fn request(to: &Key, from: &Key, kind: RequestKind, timestamp: UnixMillis) -> Vec<u8> {
        let header = RequestHeader { sender: from.pubkey(), recipient: to.pubkey(), timestamp, nonce: 42 };
        RepairRequest::ask(header, kind, |bytes| from.sign(bytes)).encode()
    }

    impl Case {
        fn new(slots: &[(Slot, Slot, u32)]) -> Self {
            let shelf = Shelf(slots.iter().map(|(slot, parent, count)| (*slot, (*parent, *count))).collect());
            Self { server: RepairServer::new([4; 32]), me: Key::new(1), shelf, now: Tick::from_millis(1000) }
        }

        fn handle(&mut self, event: ServerEvent) -> Vec<Effect> {
            let mut out = Vec::new();
            self.server.handle(self.now, WALL, event, &mut self.shelf, &self.me, &mut out);
            out
        }

        fn packet(&mut self, n: u8, bytes: Vec<u8>) -> Vec<Effect> {
            self.handle(ServerEvent::Requests(vec![Packet { from: addr(n), bytes }]))
        }

        fn ask(&mut self, n: u8, kind: RequestKind) -> Vec<Effect> {
            let bytes = request(&self.me, &Key::new(n), kind, WALL);
            self.packet(n, bytes)
        }

        /// Asks, is pinged, and answers.
        fn prove(&mut self, n: u8) {
            let effects = self.ask(n, RequestKind::WindowIndex { slot: 1, shred_index: 0 });
            let [Effect::Send { bytes, .. }, Effect::Counted(Reason::UnverifiedAddress)] = &effects[..] else {
                panic!("a stranger gets a ping only: {effects:?}")
            };
            let Ok(RepairResponse::Ping(ping)) = RepairResponse::decode(bytes) else { panic!("not a ping") };
            assert!(ping.verify());
            let pong = Pong::answering(&ping, Key::new(n).pubkey(), |bytes| Key::new(n).sign(bytes));
            assert_eq!(self.packet(n, RepairRequest::Pong(pong).encode()), []);
        }
    }

    fn answer(n: u8, slot: Slot, index: u32) -> Effect {
        Effect::Send { to: addr(n), bytes: with_nonce(shred(slot, index), 42) }
    }

    fn counted(reason: Reason) -> Vec<Effect> {
        vec![Effect::Counted(reason)]
    }

    #[test]
    fn a_stranger_is_pinged_once_and_answered_after_its_pong() {
        let mut case = Case::new(&[(1, 0, 40)]);
        case.prove(7);
        let window = |shred_index| RequestKind::WindowIndex { slot: 1, shred_index };
        assert_eq!(case.ask(7, window(39)), [answer(7, 1, 39)]);
        assert_eq!(case.ask(7, window(40)), counted(Reason::NotHere));
        // Another address of the same key, or another key, has proven nothing.
        let bytes = request(&case.me, &Key::new(7), window(1), WALL);
        assert!(matches!(case.packet(8, bytes)[..], [Effect::Send { .. }, Effect::Counted(Reason::UnverifiedAddress)]));
        assert_eq!(case.ask(9, window(1)).len(), 2);
        assert_eq!(case.ask(9, window(1)), counted(Reason::UnverifiedAddress), "no second ping within two seconds");
        let pong = Pong { from: Key::new(9).pubkey(), hash: Default::default(), signature: Key::new(9).sign(&[0; 32]) };
        assert_eq!(case.packet(9, RepairRequest::Pong(pong).encode()), counted(Reason::UnexpectedPong));
    }

    #[test]
    fn highest_and_orphan() {
        let mut case = Case::new(&[(1, 0, 40), (2, 1, 32), (5, 2, 64), (6, 5, 3)]);
        case.prove(7);
        let highest = |slot, shred_index| RequestKind::HighestWindowIndex { slot, shred_index };
        assert_eq!(case.ask(7, highest(5, 0)), [answer(7, 5, 63)]);
        assert_eq!(case.ask(7, highest(5, 63)), [answer(7, 5, 63)]);
        assert_eq!(case.ask(7, highest(5, 64)), counted(Reason::NotHere));
        assert_eq!(case.ask(7, highest(9, 0)), counted(Reason::NotHere));
        let chain = [answer(7, 6, 2), answer(7, 5, 63), answer(7, 2, 31), answer(7, 1, 39)];
        assert_eq!(case.ask(7, RequestKind::Orphan { slot: 6 }), chain);
        assert_eq!(case.ask(7, RequestKind::AncestorHashes { slot: 6 }), counted(Reason::NotHere));
        case.shelf.0.extend((100..130).map(|slot| (slot, (slot - 1, 1))));
        assert_eq!(case.ask(7, RequestKind::Orphan { slot: 129 }).len(), 11);
        case.shelf.0.insert(0, (0, 1));
        assert_eq!(case.ask(7, RequestKind::Orphan { slot: 0 }), [answer(7, 0, 0)], "slot 0 is its own parent");
    }

    #[test]
    fn what_is_not_for_us_or_not_of_now_or_not_signed_is_dropped() {
        let mut case = Case::new(&[(1, 0, 40)]);
        let (kind, peer) = (RequestKind::WindowIndex { slot: 1, shred_index: 0 }, Key::new(7));
        let other = request(&Key::new(2), &peer, kind, WALL);
        assert_eq!(case.packet(7, other), counted(Reason::NotForUs));
        let own = request(&Key::new(1), &Key::new(1), kind, WALL);
        assert_eq!(case.packet(7, own), counted(Reason::NotForUs));
        for wrong in [WALL.0 - TIME_WINDOW_MS - 1, WALL.0 + TIME_WINDOW_MS + 1, 0, u64::MAX] {
            let bytes = request(&case.me, &peer, kind, UnixMillis(wrong));
            assert_eq!(case.packet(7, bytes), counted(Reason::WrongTime));
        }
        let mut forged = request(&case.me, &peer, kind, WALL);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(case.packet(7, forged), counted(Reason::BadSignature));
        assert_eq!(case.packet(7, vec![]), counted(Reason::Rejected(Reject::Truncated("repair request"))));
        assert_eq!(case.packet(7, vec![1, 0, 0, 0]), counted(Reason::Rejected(Reject::Deprecated("repair request"))));
        let from = SocketAddr::from(([0, 0, 0, 0], 0));
        let bytes = request(&case.me, &peer, kind, WALL);
        assert_eq!(case.handle(ServerEvent::Requests(vec![Packet { from, bytes }])), counted(Reason::BadAddress));
    }

    #[test]
    fn the_budget_bounds_what_leaves_and_the_staked_are_first() {
        let mut case = Case::new(&[(1, 0, 40)]);
        (7..=9).for_each(|n| case.prove(n));
        case.handle(ServerEvent::Stakes(Arc::new(HashMap::from([
            (Key::new(8).pubkey(), 5),
            (Key::new(9).pubkey(), 9),
        ]))));
        case.now = Tick::from_millis(60_000);
        let kind = RequestKind::WindowIndex { slot: 1, shred_index: 0 };
        let packet = |case: &Case, n: u8| Packet { from: addr(n), bytes: request(&case.me, &Key::new(n), kind, WALL) };
        let packets = vec![packet(&case, 7), packet(&case, 8), packet(&case, 9)];
        assert_eq!(case.handle(ServerEvent::Requests(packets)), [answer(9, 1, 0), answer(8, 1, 0), answer(7, 1, 0)]);
        // While leading a byte costs ten: nothing is left of the second after about a thousand answers.
        case.handle(ServerEvent::Leading(true));
        let (mut sent, mut dropped) = (0, 0);
        let one = packet(&case, 9);
        for _ in 0..6 {
            for effect in case.handle(ServerEvent::Requests(vec![one.clone(); 200])) {
                match effect {
                    Effect::Send { bytes, .. } => sent += bytes.len() as u64,
                    Effect::Counted(Reason::Overload) => dropped += 1,
                    Effect::Shred { .. } | Effect::Counted(_) => panic!("{effect:?}"),
                }
            }
        }
        assert!(sent * LEADING_COST <= BYTES_PER_SECOND && sent * LEADING_COST > BYTES_PER_SECOND / 10 * 9, "{sent}");
        assert!(dropped > 200);
    }

    #[test]
    fn a_flood_is_not_even_looked_at() {
        let mut case = Case::new(&[(1, 0, 40)]);
        let junk = vec![Packet { from: addr(7), bytes: vec![0; 10] }; 5000];
        let effects = case.handle(ServerEvent::Requests(junk));
        let overload = effects.iter().filter(|effect| **effect == Effect::Counted(Reason::Overload)).count();
        assert_eq!((effects.len(), overload), (5000, 5000 - LOOKED_AT_MAX));
    }
}
