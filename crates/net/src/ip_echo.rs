//! ip echo, TCP on the gossip port: tells a node its public address and the cluster's shred version, and knocks at its
//! ports so that it learns which are reachable (solana-net-utils-4.2.2/src/{ip_echo_server,ip_echo_client}.rs).

use {
    crate::{NetError, udp::UdpPort},
    std::{
        collections::HashSet,
        io::{self, Read, Write},
        net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
        sync::{
            Arc, Mutex, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
        time::Duration,
    },
    tandem_wire::{
        Reject,
        ip_echo::{REQUEST_BYTES, RESPONSE_BYTES, Request, Response},
    },
    tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        runtime::Handle,
        task::JoinHandle,
        time,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum IpEchoError {
    #[error(
        "entrypoint {server} cannot be reached over TCP: {source}: is it running, and is its gossip port open for TCP?"
    )]
    Unreachable { server: SocketAddr, source: io::Error },
    #[error("entrypoint {server} answers HTTP: give its gossip port, not its RPC port")]
    Http { server: SocketAddr },
    #[error("entrypoint {server} gave an answer that is not one of ip echo ({reason}): is this a gossip port?")]
    Malformed { server: SocketAddr, reason: Reject },
}

/// Asks `server` who we are, from `bind` if given (the address we announce). Blocks for at most `IO_TIMEOUT` a step.
pub fn ask(server: SocketAddr, bind: Option<IpAddr>, request: &Request) -> Result<Response, IpEchoError> {
    let mut reply = Vec::with_capacity(RESPONSE_BYTES);
    let mut talk = || -> io::Result<()> {
        let mut stream = connect(server, bind)?;
        stream.set_read_timeout(Some(IO_TIMEOUT))?;
        stream.set_write_timeout(Some(IO_TIMEOUT))?;
        stream.write_all(&request.encode())?;
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut reply).map(drop)
    };
    match talk() {
        Ok(()) => {}
        // A server that keeps the connection open after its answer runs into the read timeout: the answer is here.
        Err(_) if reply.len() >= RESPONSE_BYTES => {}
        Err(source) => return Err(IpEchoError::Unreachable { server, source }),
    }
    Response::decode(&reply).map_err(|reason| match reason {
        Reject::Http => IpEchoError::Http { server },
        reason => IpEchoError::Malformed { server, reason },
    })
}

/// Which of our UDP ports `server` can reach: it knocks at each, up to `tries` times. Takes bytes off the ports, so it
/// belongs before their receivers start.
pub fn unreachable_udp_ports(server: SocketAddr, ports: &[&UdpPort], tries: u32) -> Result<Vec<u16>, IpEchoError> {
    let mut missing: Vec<&UdpPort> = ports.to_vec();
    for _ in 0..tries {
        for four in missing.chunks(PORTS) {
            let mut request = Request::default();
            four.iter().zip(&mut request.udp_ports).for_each(|(port, wanted)| *wanted = port.local_addr().port());
            ask(server, None, &request)?;
        }
        missing.retain(|port| !knocked(port).unwrap_or(false));
        if missing.is_empty() {
            break;
        }
    }
    Ok(missing.iter().map(|port| port.local_addr().port()).collect())
}

fn knocked(port: &UdpPort) -> io::Result<bool> {
    let socket = port.socket()?;
    socket.set_read_timeout(Some(KNOCK_WAIT))?;
    Ok(socket.recv_from(&mut [0; 64]).is_ok())
}

fn connect(server: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(bind) = bind.filter(|ip| !ip.is_unspecified()) else {
        return TcpStream::connect_timeout(&server, IO_TIMEOUT);
    };
    let socket = socket2::Socket::new(socket2::Domain::for_address(server), socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(bind, 0).into())?;
    socket.connect_timeout(&server.into(), IO_TIMEOUT)?;
    Ok(socket.into())
}

#[derive(Debug, Default)]
pub struct EchoCounters {
    pub answered: AtomicU64,
    pub rejected: AtomicU64,
}

/// A running server; dropping it stops it.
pub struct IpEchoServer {
    task: JoinHandle<()>,
    local: SocketAddr,
}

impl IpEchoServer {
    /// `shred_version` is asked for each answer: an entrypoint may learn it after it started. Each connection may take two
    /// files: its own, and one to knock at the ports it names.
    pub fn spawn(
        handle: &Handle,
        listener: TcpListener,
        connections_max: usize,
        shred_version: impl Fn() -> Option<u16> + Send + Sync + 'static,
        counters: Arc<EchoCounters>,
    ) -> Result<Self, NetError> {
        let start = |source| NetError::Start { what: "the ip echo server".into(), source };
        let local = listener.local_addr().map_err(start)?;
        listener.set_nonblocking(true).map_err(start)?;
        let listener = {
            let _context = handle.enter();
            tokio::net::TcpListener::from_std(listener).map_err(start)?
        };
        let server =
            Server { shred_version: Box::new(shred_version), connections_max, busy: Mutex::default(), counters };
        let server = Arc::new(server);
        Ok(Self { task: handle.spawn(accept(server, listener)), local })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for IpEchoServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Server {
    shred_version: Box<dyn Fn() -> Option<u16> + Send + Sync>,
    connections_max: usize,
    busy: Mutex<Busy>,
    counters: Arc<EchoCounters>,
}

#[derive(Default)]
struct Busy {
    connections: usize,
    addresses: HashSet<IpAddr>,
}

/// One place in the table of busy addresses, given back when dropped.
struct Place {
    server: Arc<Server>,
    ip: IpAddr,
}

impl Place {
    /// A bound for all, and one connection at a time for each address but loopback, where tests run many nodes.
    fn take(server: &Arc<Server>, ip: IpAddr) -> Option<Self> {
        let mut busy = server.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.connections >= server.connections_max || (!ip.is_loopback() && !busy.addresses.insert(ip)) {
            return None;
        }
        busy.connections += 1;
        Some(Self { server: Arc::clone(server), ip })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut busy = self.server.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.connections -= 1;
        busy.addresses.remove(&self.ip);
    }
}

async fn accept(server: Arc<Server>, listener: tokio::net::TcpListener) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors: give others the time to close some.
            time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Some(place) = Place::take(&server, from.ip()) else {
            server.counters.rejected.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        tokio::spawn(async move {
            let answered = time::timeout(IO_TIMEOUT, answer(&place.server, stream, from)).await;
            let counters = &place.server.counters;
            let counter = if let Ok(Ok(true)) = answered { &counters.answered } else { &counters.rejected };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
}

async fn answer(server: &Server, mut stream: tokio::net::TcpStream, from: SocketAddr) -> io::Result<bool> {
    let mut bytes = [0; REQUEST_BYTES];
    stream.read_exact(&mut bytes).await?;
    let request = match Request::decode(&bytes) {
        Ok(request) => request,
        Err(reject) => {
            if reject == Reject::Http {
                stream.write_all(b"HTTP/1.1 400 Bad Request\nContent-length: 0\n\n").await?;
            }
            return Ok(false);
        }
    };
    if request.udp_ports.iter().any(|port| *port != 0) {
        let any: IpAddr = if from.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        for port in request.udp_ports.into_iter().filter(|port| *port != 0) {
            // Only ever to the address that asked, so that nobody can be flooded through us.
            let _lost_if_closed = socket.send_to(&[0], SocketAddr::new(from.ip(), port));
        }
    }
    for port in request.tcp_ports.into_iter().filter(|port| *port != 0) {
        tokio::net::TcpStream::connect(SocketAddr::new(from.ip(), port)).await?.shutdown().await?;
    }
    let reply = Response { address: from.ip(), shred_version: (server.shred_version)() };
    stream.write_all(&reply.encode()).await?;
    stream.shutdown().await?;
    Ok(true)
}

/// Ports in one request.
const PORTS: usize = 4;
const ANSWER_BYTES_MAX: u64 = 1024;
const IO_TIMEOUT: Duration = Duration::from_secs(5);
const KNOCK_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn server(runtime: &tokio::runtime::Runtime) -> IpEchoServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        IpEchoServer::spawn(runtime.handle(), listener, 2, || Some(50_093), Arc::default()).unwrap()
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_node_learns_its_address_and_the_shred_version() {
        let runtime = runtime();
        let server = server(&runtime);
        let reply = ask(server.local_addr(), Some("127.0.0.1".parse().unwrap()), &Request::default()).unwrap();
        assert_eq!(reply, Response { address: "127.0.0.1".parse().unwrap(), shred_version: Some(50_093) });
    }

    #[test]
    fn the_server_knocks_at_udp_and_tcp_ports() {
        let runtime = runtime();
        let server = server(&runtime);
        let ports: Vec<UdpPort> =
            (0..5).map(|_| UdpPort::bind("127.0.0.1:0".parse().unwrap(), &crate::UdpOptions::big()).unwrap()).collect();
        let ports: Vec<&UdpPort> = ports.iter().collect();
        assert_eq!(unreachable_udp_ports(server.local_addr(), &ports, 2).unwrap(), Vec::<u16>::new());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let request = Request { tcp_ports: [listener.local_addr().unwrap().port(), 0, 0, 0], ..Request::default() };
        ask(server.local_addr(), None, &request).unwrap();
        listener.accept().expect("the knock is in the queue");
    }

    #[test]
    fn nonsense_is_refused_and_an_http_port_is_named() {
        let runtime = runtime();
        let server = server(&runtime);
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        let _reset_after_the_answer = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

        let http = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = http.local_addr().unwrap();
        let web =
            std::thread::spawn(move || http.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\n\n").unwrap());
        let error = ask(address, None, &Request::default()).unwrap_err();
        assert!(matches!(error, IpEchoError::Http { .. } | IpEchoError::Unreachable { .. }), "{error}");
        web.join().unwrap();
    }

    #[test]
    fn one_address_has_one_connection_at_a_time() {
        let server = Arc::new(Server {
            shred_version: Box::new(|| None),
            connections_max: 2,
            busy: Mutex::default(),
            counters: Arc::default(),
        });
        let ip: IpAddr = "192.0.2.7".parse().unwrap();
        let place = Place::take(&server, ip).expect("free");
        assert!(Place::take(&server, ip).is_none());
        drop(place);
        let again = Place::take(&server, ip);
        assert!(again.is_some());
        let here = Ipv4Addr::LOCALHOST.into();
        let local = Place::take(&server, here);
        assert!(local.is_some() && Place::take(&server, here).is_none(), "two in all");
        drop(again);
        assert!(Place::take(&server, here).is_some());
    }
}
