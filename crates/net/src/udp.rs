//! UDP ports: binding with reasons, receiving in batches on a thread, sending in batches.

use {
    crate::{
        NetError,
        link::{Offered, Outlet, Packet},
        mmsg,
    },
    socket2::{Domain, Protocol, Socket, Type},
    std::{
        io,
        net::{IpAddr, SocketAddr, UdpSocket},
        ops::RangeInclusive,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        thread::{self, JoinHandle},
        time::Duration,
    },
    tandem_types::PACKET_BYTES_MAX,
};

#[derive(Clone, Debug)]
pub struct UdpOptions {
    /// Asked of the kernel for each direction; it gives at most net.core.rmem_max / wmem_max, which is not an error.
    pub buffer_bytes: usize,
}

impl UdpOptions {
    /// What agave asks for (solana-net-utils-4.2.2/src/lib.rs asks for the system's maximum of 128 MiB; a burst of a
    /// whole slot of shreds is 20 MB).
    pub fn big() -> Self {
        Self { buffer_bytes: 64 * 1024 * 1024 }
    }
}

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "UDP {addr} is in use by another process: stop it (`ss -ulpn 'sport = :{port}'` names it) or choose another port"
    )]
    InUse { addr: SocketAddr, port: u16 },
    #[error("UDP {addr} is not an address of this machine: check --bind-address (`ip addr` lists what it has)")]
    NotOurs { addr: SocketAddr },
    #[error("UDP {addr} may not be bound by this user: choose a port above 1023")]
    Forbidden { addr: SocketAddr },
    #[error("binding UDP {addr}: {source}")]
    Other { addr: SocketAddr, source: io::Error },
    #[error("{found} of {wanted} free UDP ports at {ip} in {first}-{last}: widen --dynamic-port-range")]
    RangeFull { ip: IpAddr, first: u16, last: u16, wanted: usize, found: usize },
}

impl BindError {
    pub(crate) fn new(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr, port: addr.port() },
            io::ErrorKind::AddrNotAvailable => BindError::NotOurs { addr },
            io::ErrorKind::PermissionDenied => BindError::Forbidden { addr },
            _other => BindError::Other { addr, source },
        }
    }
}

/// What a receiver counted. Relaxed atomics: read by metrics, never by decisions.
#[derive(Debug, Default)]
pub struct UdpCounters {
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
    /// Dropped because the link was full.
    pub dropped_full: AtomicU64,
    /// Dropped because longer than any packet of the protocol.
    pub dropped_oversize: AtomicU64,
    pub errors: AtomicU64,
}

/// A bound UDP port. Cheap to clone: clones share the socket.
#[derive(Clone, Debug)]
pub struct UdpPort {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
}

/// What `send_many` did. Datagrams that failed are lost, as datagrams are: nobody retries them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    pub packets: usize,
    pub failed: usize,
}

impl UdpPort {
    pub fn bind(addr: SocketAddr, options: &UdpOptions) -> Result<Self, BindError> {
        let bind = || {
            let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
            // The kernel clamps what it does not allow; a refusal leaves the default, which works for small clusters.
            let _clamped = socket.set_recv_buffer_size(options.buffer_bytes);
            let _clamped = socket.set_send_buffer_size(options.buffer_bytes);
            socket.bind(&addr.into())?;
            let socket = UdpSocket::from(socket);
            let local = socket.local_addr()?;
            Ok(Self { socket: Arc::new(socket), local })
        };
        bind().map_err(|source| BindError::new(addr, source))
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Bytes of the receive buffer the kernel granted: a doctor warns when it is far below what was asked for.
    pub fn recv_buffer_bytes(&self) -> io::Result<usize> {
        socket2::SockRef::from(&*self.socket).recv_buffer_size()
    }

    pub fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        self.socket.send_to(bytes, to).map(|_sent| ())
    }

    /// Sends all of them with few system calls. One unreachable address does not stop the others.
    pub fn send_many(&self, datagrams: &[(SocketAddr, &[u8])]) -> Sent {
        let mut sent = Sent::default();
        let mut rest = datagrams;
        while !rest.is_empty() {
            match mmsg::send(&self.socket, rest) {
                Ok(count) => {
                    sent.packets += count;
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The error is about the first of the rest (no route, refused, full buffer): skip it.
                Err(_) => {
                    sent.failed += 1;
                    rest = &rest[1..];
                }
            }
        }
        sent
    }

    /// A second handle of the same socket, for QUIC, which wants to own one.
    pub fn socket(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone()
    }
}

/// `count` different free ports of `range`, lowest first.
pub fn bind_in_range(
    ip: IpAddr,
    range: RangeInclusive<u16>,
    count: usize,
    options: &UdpOptions,
) -> Result<Vec<UdpPort>, BindError> {
    let mut ports = Vec::with_capacity(count);
    for port in range.clone() {
        if ports.len() == count {
            break;
        }
        match UdpPort::bind(SocketAddr::new(ip, port), options) {
            Ok(port) => ports.push(port),
            Err(BindError::InUse { .. } | BindError::Forbidden { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if ports.len() < count {
        let (first, last) = (*range.start(), *range.end());
        return Err(BindError::RangeFull { ip, first, last, wanted: count, found: ports.len() });
    }
    Ok(ports)
}

/// Starts a thread that puts every datagram of `port` into `out`. It ends within `STOP_POLL` of `stop`, or when nobody
/// reads `out` any more. A full link drops and counts: a receiver never waits for a stage.
pub fn spawn_receiver(
    port: &UdpPort,
    name: &str,
    out: impl Into<Outlet<Packet>>,
    stop: Arc<AtomicBool>,
    counters: Arc<UdpCounters>,
) -> Result<JoinHandle<()>, NetError> {
    let socket = Arc::clone(&port.socket);
    let out = out.into();
    let start = |source| NetError::Start { what: format!("the receiver {name} of UDP {}", port.local), source };
    socket.set_read_timeout(Some(STOP_POLL)).map_err(start)?;
    let run = move || receive_until(&socket, &out, &stop, &counters);
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(start)
}

fn receive_until(socket: &UdpSocket, out: &Outlet<Packet>, stop: &AtomicBool, counters: &UdpCounters) {
    let mut batch = mmsg::RecvBatch::new();
    while !stop.load(Ordering::Relaxed) {
        let mut closed = false;
        let received = batch.recv(socket, |datagram| {
            let Some((from, bytes)) = datagram.filter(|(_, bytes)| bytes.len() <= PACKET_BYTES_MAX) else {
                counters.dropped_oversize.fetch_add(1, Ordering::Relaxed);
                return;
            };
            counters.packets.fetch_add(1, Ordering::Relaxed);
            counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            match out.offer(Packet { from, bytes: bytes.to_vec() }) {
                Offered::Taken => {}
                Offered::Full => {
                    counters.dropped_full.fetch_add(1, Ordering::Relaxed);
                }
                Offered::Closed => closed = true,
            }
        });
        match received {
            Ok(_) => out.wake(),
            Err(error) if is_quiet(&error) => {}
            Err(_) => {
                counters.errors.fetch_add(1, Ordering::Relaxed);
                // A port unreachable of an earlier send comes back here as an error; anything that persists must not spin.
                thread::sleep(ERROR_PAUSE);
            }
        }
        if closed {
            return;
        }
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// How long a receiver may sleep before it looks at its stop flag.
const STOP_POLL: Duration = Duration::from_millis(100);
const ERROR_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use {super::*, std::net::Ipv4Addr};

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn port() -> UdpPort {
        UdpPort::bind(SocketAddr::new(LOOPBACK, 0), &UdpOptions::big()).expect("a free loopback port")
    }

    struct Receiver {
        port: UdpPort,
        inbox: crossbeam_channel::Receiver<Packet>,
        counters: Arc<UdpCounters>,
        stop: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Receiver {
        fn start(capacity: usize) -> Self {
            let (port, (sender, inbox)) = (port(), crossbeam_channel::bounded(capacity));
            let (counters, stop) = (Arc::<UdpCounters>::default(), Arc::<AtomicBool>::default());
            let thread = spawn_receiver(&port, "test-udp", sender, stop.clone(), counters.clone()).expect("thread");
            Self { port, inbox, counters, stop, thread: Some(thread) }
        }

        fn next(&self) -> Packet {
            self.inbox.recv_timeout(Duration::from_secs(5)).expect("a packet")
        }
    }

    impl Drop for Receiver {
        fn drop(&mut self) {
            self.stop.store(true, Ordering::Relaxed);
            self.thread.take().expect("running").join().expect("receiver must not panic");
        }
    }

    #[test]
    fn a_batch_arrives_in_order_with_its_sender() {
        let (receiver, sender) = (Receiver::start(1000), port());
        let payloads: Vec<Vec<u8>> = (0..200u16).map(|n| n.to_le_bytes().repeat(1 + usize::from(n))).collect();
        let datagrams: Vec<_> = payloads.iter().map(|p| (receiver.port.local_addr(), p.as_slice())).collect();
        assert_eq!(sender.send_many(&datagrams), Sent { packets: 200, failed: 0 });
        for payload in payloads {
            assert_eq!(receiver.next(), Packet { from: sender.local_addr(), bytes: payload });
        }
    }

    #[test]
    fn a_full_link_drops_and_counts() {
        let (receiver, sender) = (Receiver::start(1), port());
        let datagrams: Vec<(SocketAddr, &[u8])> = vec![(receiver.port.local_addr(), b"x"); 50];
        sender.send_many(&datagrams);
        while receiver.counters.packets.load(Ordering::Relaxed) < 50 {
            thread::yield_now();
        }
        assert_eq!(receiver.inbox.len(), 1);
        drop(receiver.next());
        assert_eq!(receiver.counters.dropped_full.load(Ordering::Relaxed), 49);
    }

    #[test]
    fn a_packet_longer_than_the_protocol_allows_is_not_delivered() {
        let (receiver, sender) = (Receiver::start(10), port());
        let to = receiver.port.local_addr();
        sender.send(to, &[1; PACKET_BYTES_MAX + 1]).expect("loopback");
        sender.send(to, &[2; 8000]).expect("loopback");
        sender.send(to, &[3; PACKET_BYTES_MAX]).expect("loopback");
        assert_eq!(receiver.next().bytes, vec![3; PACKET_BYTES_MAX]);
        assert_eq!(receiver.counters.dropped_oversize.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn one_bad_address_does_not_stop_the_batch() {
        let (receiver, sender) = (Receiver::start(10), port());
        // A v4 socket cannot send to a v6 address: the kernel refuses that one.
        let v6: SocketAddr = "[::1]:9".parse().unwrap();
        let to = receiver.port.local_addr();
        let sent = sender.send_many(&[(to, b"a".as_slice()), (v6, b"b".as_slice()), (to, b"c".as_slice())]);
        assert_eq!(sent, Sent { packets: 2, failed: 1 });
        assert_eq!(receiver.next().bytes, b"a");
        assert_eq!(receiver.next().bytes, b"c");
    }

    #[test]
    fn a_port_in_use_is_named_with_the_remedy() {
        let taken = port();
        let error = UdpPort::bind(taken.local_addr(), &UdpOptions::big()).expect_err("already bound").to_string();
        assert!(error.contains(&taken.local_addr().to_string()) && error.contains("another process"), "{error}");
        let foreign = UdpPort::bind("192.0.2.1:0".parse().unwrap(), &UdpOptions::big()).expect_err("not ours");
        assert!(foreign.to_string().contains("--bind-address"), "{foreign}");
    }

    #[test]
    fn a_range_gives_free_ports_and_says_when_it_is_too_small() {
        let taken = port();
        let first = taken.local_addr().port();
        let last = first.saturating_add(60);
        let ports = bind_in_range(LOOPBACK, first..=last, 3, &UdpOptions::big()).expect("three of sixty");
        let mut numbers: Vec<u16> = ports.iter().map(|port| port.local_addr().port()).collect();
        assert!(numbers.is_sorted() && !numbers.contains(&first), "{numbers:?}");
        numbers.dedup();
        assert_eq!(numbers.len(), 3);
        let error = bind_in_range(LOOPBACK, first..=first, 1, &UdpOptions::big()).expect_err("full").to_string();
        assert!(error.contains("0 of 1") && error.contains("--dynamic-port-range"), "{error}");
    }
}
