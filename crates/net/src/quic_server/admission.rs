//! Who may connect, and how much a connection may bring: the limits of the TPU, as values. The time is an argument.
//! Figures and rules: solana-streamer-4.2.2/src/{quic.rs, nonblocking/swqos.rs, nonblocking/stream_throttle.rs}.

use {
    super::{QuicServerOptions, Stake},
    lru::LruCache,
    std::{
        collections::HashMap,
        net::IpAddr,
        num::NonZeroUsize,
        sync::{
            Arc, Mutex, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
        time::{Duration, Instant},
    },
    tandem_types::Pubkey,
};

/// Why a connection is not taken. The close code and its text are agave's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    RateOfAll,
    RateOfIp,
    TooManyOfPeer,
    NoRoom,
}

impl Refusal {
    pub(crate) fn close(self) -> (u32, &'static [u8]) {
        match self {
            Refusal::RateOfAll | Refusal::RateOfIp | Refusal::NoRoom => (2, b"disallowed"),
            Refusal::TooManyOfPeer => (4, b"too_many"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum PeerKey {
    Staked(Pubkey),
    /// An unproven right is counted by address: keys cost nothing.
    Unstaked(IpAddr),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub pubkey: Option<Pubkey>,
    pub ip: IpAddr,
    pub stake: Stake,
}

/// A connection that was taken. `C` is the connection itself (a number in tests).
pub(crate) struct Admitted<C> {
    pub ticket: Ticket,
    pub streams_max: u32,
    pub throttle: Arc<Throttle>,
    pub evicted: Vec<C>,
}

/// What `remove` wants back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ticket {
    key: PeerKey,
    id: u64,
}

pub(crate) struct Admission<C> {
    options: QuicServerOptions,
    born: Instant,
    of_all: Bucket,
    by_ip: LruCache<IpAddr, Bucket>,
    staked: Table<C>,
    unstaked: Table<C>,
    next_id: u64,
    load: Arc<Load>,
}

struct Table<C> {
    peers: HashMap<PeerKey, Vec<Entry<C>>>,
    len: usize,
}

struct Entry<C> {
    id: u64,
    connection: C,
    stake: u64,
    throttle: Arc<Throttle>,
}

impl<C> Admission<C> {
    pub(crate) fn new(options: QuicServerOptions, now: Instant) -> Self {
        Self {
            of_all: Bucket::full(options.handshake_burst, now),
            by_ip: LruCache::new(IPS_MAX),
            staked: Table::new(),
            unstaked: Table::new(),
            next_id: 0,
            load: Arc::new(Load::new(options.staked_streams_per_interval())),
            born: now,
            options,
        }
    }

    /// Asked before a handshake is begun. Changes nothing: the address may be forged until the handshake is done.
    pub(crate) fn may_handshake(&mut self, ip: IpAddr, now: Instant) -> Result<(), Refusal> {
        if self.of_all.tokens(self.options.handshakes_per_second, self.options.handshake_burst, now) < 1.0 {
            return Err(Refusal::RateOfAll);
        }
        let (rate, burst) = self.ip_rate();
        match self.by_ip.peek(&ip) {
            Some(bucket) if bucket.tokens(rate, burst, now) < 1.0 => Err(Refusal::RateOfIp),
            Some(_) | None => Ok(()),
        }
    }

    /// Asked when the handshake has proven the address and the key.
    pub(crate) fn admit(&mut self, peer: Peer, connection: C, now: Instant) -> Result<Admitted<C>, Refusal> {
        let (rate, burst) = self.ip_rate();
        if !self.by_ip.get_or_insert_mut(peer.ip, || Bucket::full(burst, now)).take(rate, burst, now) {
            return Err(Refusal::RateOfIp);
        }
        if !self.of_all.take(self.options.handshakes_per_second, self.options.handshake_burst, now) {
            return Err(Refusal::RateOfAll);
        }
        let mut evicted = Vec::new();
        let staked_key = peer.pubkey.filter(|_| self.counts_as_staked(peer.stake)).map(PeerKey::Staked);
        let staked_key = staked_key.filter(|_| self.make_room_for_staked(peer.stake.of_peer, &mut evicted));
        let Some(key) = staked_key else {
            let key = PeerKey::Unstaked(peer.ip);
            self.make_room_for_unstaked(&mut evicted)?;
            return self.insert(key, Stake::default(), connection, evicted, now);
        };
        self.insert(key, peer.stake, connection, evicted, now)
    }

    pub(crate) fn remove(&mut self, ticket: Ticket) {
        match ticket.key {
            PeerKey::Staked(_) => self.staked.remove(ticket),
            PeerKey::Unstaked(_) => self.unstaked.remove(ticket),
        }
    }

    pub(crate) fn open(&self) -> (usize, usize) {
        (self.staked.len, self.unstaked.len)
    }

    fn ip_rate(&self) -> (f64, f64) {
        let per_minute = f64::from(self.options.connections_per_ip_per_minute);
        // Ten times the rate at once: many nodes may share one address (streamer's quic.rs, run_server).
        (per_minute / 60.0, per_minute * 10.0)
    }

    /// A stake that would not earn one stream an interval is treated as none (swqos.rs: build_connection_context).
    fn counts_as_staked(&self, stake: Stake) -> bool {
        let streams = u128::from(self.options.streams_per_ms) * u128::from(THROTTLE_INTERVAL_MS);
        stake.of_peer > 0 && u128::from(stake.of_peer) * streams >= u128::from(stake.total)
    }

    /// Agave looks at two random connections and drops the one with less stake; we drop the least of all, which a
    /// newcomer cannot be lucky with. False: everyone here has at least as much stake.
    fn make_room_for_staked(&mut self, stake: u64, evicted: &mut Vec<C>) -> bool {
        if self.staked.len < self.options.staked_connections_max {
            return true;
        }
        let least = self.staked.peers.iter().min_by_key(|(_, entries)| entries.iter().map(|entry| entry.stake).max());
        let Some((key, _)) = least.filter(|(_, entries)| entries.iter().all(|entry| entry.stake < stake)) else {
            return false;
        };
        let key = *key;
        self.staked.drop_peer(key, evicted);
        true
    }

    /// A full table loses its longest unused peers until a tenth is free (swqos.rs: prune_unstaked_connection_table).
    fn make_room_for_unstaked(&mut self, evicted: &mut Vec<C>) -> Result<(), Refusal> {
        let max = self.options.unstaked_connections_max;
        if max == 0 {
            return Err(Refusal::NoRoom);
        }
        if self.unstaked.len < max {
            return Ok(());
        }
        let mut peers: Vec<(u64, PeerKey)> = self
            .unstaked
            .peers
            .iter()
            .map(|(key, entries)| (entries.first().map_or(0, |entry| entry.throttle.last_used_ms()), *key))
            .collect();
        peers.sort_unstable_by_key(|(last_used, _)| *last_used);
        let keep = (max * 9 / 10).min(max - 1);
        for (_, key) in peers {
            if self.unstaked.len <= keep {
                break;
            }
            self.unstaked.drop_peer(key, evicted);
        }
        Ok(())
    }

    fn insert(
        &mut self,
        key: PeerKey,
        stake: Stake,
        connection: C,
        evicted: Vec<C>,
        now: Instant,
    ) -> Result<Admitted<C>, Refusal> {
        let (table, per_peer) = match key {
            PeerKey::Staked(_) => (&mut self.staked, self.options.connections_per_staked_peer),
            PeerKey::Unstaked(_) => (&mut self.unstaked, self.options.connections_per_unstaked_peer),
        };
        let entries = table.peers.entry(key).or_default();
        if entries.len() >= per_peer {
            return Err(Refusal::TooManyOfPeer);
        }
        // Connections of one peer share its budget: opening more of them brings nothing.
        let throttle = entries.first().map_or_else(
            || Arc::new(Throttle::new(self.born, now, stake, self.options.unstaked_streams_per_interval(), &self.load)),
            |entry| Arc::clone(&entry.throttle),
        );
        let id = self.next_id;
        self.next_id += 1;
        entries.push(Entry { id, connection, stake: stake.of_peer, throttle: Arc::clone(&throttle) });
        table.len += 1;
        Ok(Admitted { ticket: Ticket { key, id }, streams_max: streams_max(stake), throttle, evicted })
    }
}

impl<C> Table<C> {
    fn new() -> Self {
        Self { peers: HashMap::new(), len: 0 }
    }

    fn remove(&mut self, ticket: Ticket) {
        let Some(entries) = self.peers.get_mut(&ticket.key) else { return };
        let before = entries.len();
        entries.retain(|entry| entry.id != ticket.id);
        self.len -= before - entries.len();
        if entries.is_empty() {
            self.peers.remove(&ticket.key);
        }
    }

    fn drop_peer(&mut self, key: PeerKey, evicted: &mut Vec<C>) {
        let entries = self.peers.remove(&key).unwrap_or_default();
        self.len -= entries.len();
        evicted.extend(entries.into_iter().map(|entry| entry.connection));
    }
}

/// Streams a peer may have open at once, before scaling with the round trip (swqos.rs).
fn streams_max(stake: Stake) -> u32 {
    if stake.total == 0 || stake.of_peer == 0 {
        return STREAMS_MIN;
    }
    let share = u128::from(STREAMS_TOTAL - STREAMS_MIN) * u128::from(stake.of_peer) / u128::from(stake.total);
    u32::try_from(share).unwrap_or(u32::MAX).saturating_add(STREAMS_MIN).min(STREAMS_MAX)
}

/// A far peer needs more streams in flight for the same rate (swqos.rs: compute_max_allowed_uni_streams_with_rtt).
pub(crate) fn scale_by_round_trip(streams: u32, round_trip: Duration) -> u32 {
    let ms = u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX).clamp(50, 350);
    streams.saturating_mul(ms) / 50
}

/// How many streams a peer has brought in the current interval, and since when it is unused.
pub(crate) struct Throttle {
    born: Instant,
    last_used_ms: AtomicU64,
    window: Mutex<(Instant, u64)>,
    stake: Stake,
    unstaked_limit: u64,
    load: Arc<Load>,
}

impl Throttle {
    fn new(born: Instant, now: Instant, stake: Stake, unstaked_limit: u64, load: &Arc<Load>) -> Self {
        let last_used_ms = AtomicU64::new(millis_between(born, now));
        Self { born, last_used_ms, window: Mutex::new((now, 0)), stake, unstaked_limit, load: Arc::clone(load) }
    }

    /// Counts one stream. Some: the peer is over its budget, and is not read from for that long.
    pub(crate) fn stream(&self, now: Instant) -> Option<Duration> {
        self.last_used_ms.store(millis_between(self.born, now), Ordering::Relaxed);
        let limit = if self.stake.of_peer == 0 {
            self.unstaked_limit
        } else {
            self.load.limit_of(self.stake, self.unstaked_limit, now)
        };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.0) > THROTTLE_INTERVAL {
            *window = (now, 0);
        }
        window.1 += 1;
        (window.1 > limit).then(|| THROTTLE_INTERVAL.saturating_sub(now.duration_since(window.0)))
    }

    fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }
}

/// The staked streams of all peers: only when they are close to what we can take does stake divide it. (Agave smooths
/// over 5 ms steps; an interval of 100 ms is enough to see sustained load, and simpler.)
struct Load {
    capacity: u64,
    window: Mutex<LoadWindow>,
}

struct LoadWindow {
    since: Option<Instant>,
    count: u64,
    crowded: bool,
}

impl Load {
    fn new(capacity: u64) -> Self {
        Self { capacity, window: Mutex::new(LoadWindow { since: None, count: 0, crowded: false }) }
    }

    fn limit_of(&self, stake: Stake, unstaked_limit: u64, now: Instant) -> u64 {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *window.since.get_or_insert(now);
        if now.duration_since(since) > THROTTLE_INTERVAL {
            window.crowded = window.count >= self.capacity * 95 / 100;
            window.count = 0;
            window.since = Some(now);
        }
        window.count += 1;
        if !window.crowded {
            return self.capacity;
        }
        let share = u128::from(self.capacity) * u128::from(stake.of_peer) / u128::from(stake.total.max(1));
        u64::try_from(share).unwrap_or(u64::MAX).max(unstaked_limit + 1)
    }
}

/// A token bucket. Fractions are kept, so slow rates work.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(burst: f64, now: Instant) -> Self {
        Self { tokens: burst, at: now }
    }

    fn tokens(&self, per_second: f64, burst: f64, now: Instant) -> f64 {
        (self.tokens + now.duration_since(self.at).as_secs_f64() * per_second).min(burst)
    }

    fn take(&mut self, per_second: f64, burst: f64, now: Instant) -> bool {
        let tokens = self.tokens(per_second, burst, now);
        let taken = tokens >= 1.0;
        *self = Self { tokens: if taken { tokens - 1.0 } else { tokens }, at: now };
        taken
    }
}

fn millis_between(born: Instant, now: Instant) -> u64 {
    u64::try_from(now.duration_since(born).as_millis()).unwrap_or(u64::MAX)
}

pub(super) const THROTTLE_INTERVAL_MS: u64 = 100;
const THROTTLE_INTERVAL: Duration = Duration::from_millis(THROTTLE_INTERVAL_MS);
const STREAMS_MIN: u32 = 128;
const STREAMS_MAX: u32 = 512;
const STREAMS_TOTAL: u32 = 100_000;
/// Addresses whose rate is remembered; agave keeps 100,000.
const IPS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

#[cfg(test)]
mod tests {
    use {super::*, std::net::Ipv4Addr};

    struct Case {
        admission: Admission<u32>,
        now: Instant,
        next: u32,
    }

    fn ip(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))
    }

    fn key(n: u8) -> Pubkey {
        Pubkey::new_from_array([n; 32])
    }

    impl Case {
        fn new(change: impl FnOnce(&mut QuicServerOptions)) -> Self {
            let mut options = QuicServerOptions::agave();
            change(&mut options);
            let now = Instant::now();
            Self { admission: Admission::new(options, now), now, next: 0 }
        }

        fn admit(&mut self, n: u8, stake: u64) -> Result<Admitted<u32>, Refusal> {
            let peer = Peer { pubkey: Some(key(n)), ip: ip(n), stake: Stake { of_peer: stake, total: 1000 } };
            self.next += 1;
            self.admission.admit(peer, self.next, self.now)
        }
    }

    #[test]
    fn an_address_has_a_burst_and_then_a_rate() {
        let mut case = Case::new(|options| {
            options.connections_per_ip_per_minute = 8;
            options.connections_per_unstaked_peer = 1000;
        });
        for _ in 0..80 {
            case.admit(1, 0).map(drop).expect("within the burst");
        }
        assert_eq!(case.admission.may_handshake(ip(1), case.now), Err(Refusal::RateOfIp));
        assert_eq!(case.admit(1, 0).map(drop), Err(Refusal::RateOfIp));
        assert_eq!(case.admission.may_handshake(ip(2), case.now), Ok(()));
        case.now += Duration::from_secs(8); // 8 a minute: one every 7.5 s
        case.admit(1, 0).map(drop).expect("one more");
        assert_eq!(case.admit(1, 0).map(drop), Err(Refusal::RateOfIp));
    }

    #[test]
    fn a_forged_address_costs_its_owner_nothing_until_the_handshake_is_done() {
        let mut case = Case::new(|options| options.connections_per_ip_per_minute = 1);
        for _ in 0..100 {
            assert_eq!(case.admission.may_handshake(ip(1), case.now), Ok(()));
        }
    }

    #[test]
    fn all_handshakes_together_are_limited() {
        let mut case = Case::new(|options| options.handshake_burst = 3.0);
        (1..=3).for_each(|n| case.admit(n, 0).map(drop).expect("within the burst"));
        assert_eq!(case.admission.may_handshake(ip(9), case.now), Err(Refusal::RateOfAll));
        assert_eq!(case.admit(9, 0).map(drop), Err(Refusal::RateOfAll));
    }

    #[test]
    fn a_peer_has_only_so_many_connections_and_gets_them_back() {
        let mut case = Case::new(|options| options.connections_per_staked_peer = 2);
        let first = case.admit(1, 100).map_err(drop).unwrap().ticket;
        drop(case.admit(1, 100));
        assert_eq!(case.admit(1, 100).map(drop), Err(Refusal::TooManyOfPeer));
        case.admission.remove(first);
        case.admit(1, 100).map(drop).expect("room again");
        assert_eq!(case.admission.open(), (2, 0));
        case.admission.remove(first); // a second removal of the same ticket changes nothing
        assert_eq!(case.admission.open(), (2, 0));
    }

    #[test]
    fn full_of_stake_the_least_goes_and_a_smaller_newcomer_is_unstaked() {
        let mut case = Case::new(|options| options.staked_connections_max = 2);
        drop((case.admit(1, 10), case.admit(2, 20)));
        assert_eq!(case.admit(3, 15).map_err(drop).unwrap().evicted, vec![1]);
        assert_eq!(case.admission.open(), (2, 0));
        assert!(case.admit(4, 5).map_err(drop).unwrap().evicted.is_empty());
        assert_eq!(case.admission.open(), (2, 1));
    }

    #[test]
    fn full_of_unstaked_the_longest_unused_go() {
        let mut case = Case::new(|options| options.unstaked_connections_max = 10);
        let admitted: Vec<_> = (0..10).map(|n| case.admit(n, 0).map_err(drop).unwrap()).collect();
        case.now += Duration::from_secs(1);
        admitted.iter().skip(1).for_each(|admitted| assert_eq!(admitted.throttle.stream(case.now), None));
        assert_eq!(case.admit(77, 0).map_err(drop).unwrap().evicted, vec![1]);
        assert_eq!(case.admission.open(), (0, 10));
    }

    #[test]
    fn unstaked_peers_get_twenty_streams_an_interval_and_share_them() {
        let mut case = Case::new(|_| ());
        let (a, b) = (case.admit(1, 0).map_err(drop).unwrap(), case.admit(1, 0).map_err(drop).unwrap());
        (0..10).for_each(|_| assert_eq!((a.throttle.stream(case.now), b.throttle.stream(case.now)), (None, None)));
        case.now += Duration::from_millis(40);
        assert_eq!(a.throttle.stream(case.now), Some(Duration::from_millis(60)));
        case.now += Duration::from_millis(61);
        assert_eq!(a.throttle.stream(case.now), None);
    }

    #[test]
    fn stake_divides_the_streams_only_when_they_are_short() {
        let mut case = Case::new(|options| options.streams_per_ms = 10); // 800 staked streams an interval
        let (big, small) = (case.admit(1, 900).map_err(drop).unwrap(), case.admit(2, 100).map_err(drop).unwrap());
        (0..780).for_each(|_| assert_eq!(small.throttle.stream(case.now), None));
        case.now += Duration::from_millis(101);
        (0..80).for_each(|_| assert_eq!(small.throttle.stream(case.now), None));
        assert!(small.throttle.stream(case.now).is_some(), "a tenth of the stake has a tenth of 800");
        (0..720).for_each(|_| assert_eq!(big.throttle.stream(case.now), None));
    }

    #[test]
    fn concurrent_streams_follow_stake_and_distance() {
        assert_eq!(streams_max(Stake::default()), 128);
        assert_eq!(streams_max(Stake { of_peer: 1, total: 1000 }), 227);
        assert_eq!(streams_max(Stake { of_peer: 500, total: 1000 }), 512);
        assert_eq!(scale_by_round_trip(128, Duration::from_millis(1)), 128);
        assert_eq!(scale_by_round_trip(128, Duration::from_millis(100)), 256);
        assert_eq!(scale_by_round_trip(128, Duration::from_secs(9)), 896);
    }
}
