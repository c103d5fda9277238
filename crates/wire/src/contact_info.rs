//! A node's addresses as gossip carries them.
//!
//! Ports are written as sums of offsets, so the sockets are ordered by port; addresses are written once each.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
        crds::WALLCLOCK_MAX,
    },
    std::{
        collections::BTreeSet,
        net::{IpAddr, Ipv4Addr, SocketAddr},
    },
    tandem_types::{Pubkey, UnixMillis},
};

/// What a socket is for (contact_info.rs:SOCKET_TAG_*).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum SocketTag {
    Gossip = 0,
    ServeRepairQuic = 1,
    Rpc = 2,
    RpcPubsub = 3,
    ServeRepair = 4,
    Tpu = 5,
    TpuForwards = 6,
    TpuForwardsQuic = 7,
    TpuQuic = 8,
    TpuVote = 9,
    Tvu = 10,
    TvuQuic = 11,
    TpuVoteQuic = 12,
    Alpenglow = 13,
}

/// solana-version/src/v4.rs: a release, or a numbered pre-release (whose patch is then 0).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Prerelease {
    #[default]
    Stable,
    ReleaseCandidate(u16),
    Beta(u16),
    Alpha(u16),
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Version {
    pub major: u16,
    /// At most 16,383: the two bits above carry the kind of pre-release.
    pub minor: u16,
    pub patch: u16,
    pub commit: u32,
    pub feature_set: u32,
    pub client: u16,
    pub prerelease: Prerelease,
}

/// Our client id; ids from 8 on are unknown to agave and shown as such (solana-version/src/client_ids.rs).
pub const CLIENT_TANDEM: u16 = 84;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SocketEntry {
    key: u8,
    addr_index: u8,
    port_offset: u16,
}

/// Unsigned; `crds::CrdsData::ContactInfo` is what gets signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContactInfo {
    pub pubkey: Pubkey,
    pub wallclock: UnixMillis,
    /// Microseconds since the epoch at which this instance of the identity began. The later instance wins.
    pub outset: u64,
    pub shred_version: u16,
    pub version: Version,
    addrs: Vec<IpAddr>,
    sockets: Vec<SocketEntry>,
    /// Raw type-length-value records. Agave 4.2.2 defines none; they are kept so that signatures still match.
    extensions: Vec<(u8, Vec<u8>)>,
}

impl ContactInfo {
    pub fn new(pubkey: Pubkey, outset: u64, shred_version: u16, version: Version) -> Self {
        Self {
            pubkey,
            wallclock: UnixMillis(outset / 1000),
            outset,
            shred_version,
            version,
            addrs: Vec::new(),
            sockets: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// The socket, unless it is missing or cannot be sent to (port 0, unspecified, multicast).
    pub fn socket(&self, tag: SocketTag) -> Option<SocketAddr> {
        self.sockets().find(|(key, _)| *key == tag as u8).map(|(_, addr)| addr).filter(is_sendable)
    }

    pub fn gossip(&self) -> Option<SocketAddr> {
        self.socket(SocketTag::Gossip)
    }

    /// Every socket with its raw key, in port order; keys we have no name for are included.
    pub fn sockets(&self) -> impl Iterator<Item = (u8, SocketAddr)> + '_ {
        let mut port = 0u16;
        self.sockets.iter().map(move |entry| {
            port += entry.port_offset;
            (entry.key, SocketAddr::new(self.addrs[usize::from(entry.addr_index)], port))
        })
    }

    /// Whether agave counts this node as a full peer (cluster_info.rs:is_spy_node, the opposite).
    pub fn is_full_peer(&self) -> bool {
        [SocketTag::Gossip, SocketTag::Tvu, SocketTag::TpuQuic].into_iter().all(|tag| self.socket(tag).is_some())
    }

    /// Refuses what agave's `sanitize_socket` refuses: IPv6, port 0, unspecified and multicast addresses.
    pub fn set_socket(&mut self, tag: SocketTag, addr: SocketAddr) -> Result<(), Reject> {
        if !is_sendable(&addr) {
            return Err(Reject::OutOfBounds("socket address"));
        }
        let mut sockets: Vec<_> = self.sockets().filter(|(key, _)| *key != tag as u8).collect();
        let place = sockets.iter().position(|(_, other)| other.port() > addr.port()).unwrap_or(sockets.len());
        sockets.insert(place, (tag as u8, addr));
        self.rebuild(&sockets);
        Ok(())
    }

    pub fn remove_socket(&mut self, tag: SocketTag) {
        let sockets: Vec<_> = self.sockets().filter(|(key, _)| *key != tag as u8).collect();
        self.rebuild(&sockets);
    }

    /// Whether this record replaces `other` (same node): the later instance first, then the later wall clock.
    pub fn overrides(&self, other: &ContactInfo) -> Option<bool> {
        let (ours, theirs) = ((self.outset, self.wallclock), (other.outset, other.wallclock));
        (ours != theirs).then_some(ours > theirs)
    }

    /// `sockets` are ordered by port, at most one per key.
    fn rebuild(&mut self, sockets: &[(u8, SocketAddr)]) {
        self.addrs.clear();
        self.sockets.clear();
        let mut last_port = 0;
        for (key, addr) in sockets {
            let index = self.addrs.iter().position(|known| *known == addr.ip()).unwrap_or_else(|| {
                self.addrs.push(addr.ip());
                self.addrs.len() - 1
            });
            let addr_index = u8::try_from(index).expect("invariant: at most 256 keys, so at most 256 addresses");
            self.sockets.push(SocketEntry { key: *key, addr_index, port_offset: addr.port() - last_port });
            last_port = addr.port();
        }
    }

    pub(crate) fn read(input: &mut Reader) -> Result<Self, Reject> {
        let pubkey = input.pubkey()?;
        let wallclock = UnixMillis(input.varint_u64()?);
        let outset = input.u64()?;
        let shred_version = input.u16()?;
        let version = Version::read(input)?;
        let addrs = (0..input.short_count(8)?).map(|_| read_ip(input)).collect::<Result<Vec<_>, _>>()?;
        let sockets = (0..input.short_count(3)?).map(|_| SocketEntry::read(input)).collect::<Result<Vec<_>, _>>()?;
        let extensions = (0..input.short_count(2)?).map(|_| read_extension(input)).collect::<Result<Vec<_>, _>>()?;
        if wallclock.0 >= WALLCLOCK_MAX {
            return Err(Reject::OutOfBounds("contact info wallclock"));
        }
        check_sockets(&addrs, &sockets)?;
        Ok(Self { pubkey, wallclock, outset, shred_version, version, addrs, sockets, extensions })
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.bytes(self.pubkey.as_ref()).varint_u64(self.wallclock.0).u64(self.outset).u16(self.shred_version);
        self.version.write(out);
        out.short_count(self.addrs.len());
        for addr in &self.addrs {
            write_ip(addr, out);
        }
        out.short_count(self.sockets.len());
        for entry in &self.sockets {
            out.u8(entry.key).u8(entry.addr_index).varint_u64(u64::from(entry.port_offset));
        }
        out.short_count(self.extensions.len());
        for (kind, bytes) in &self.extensions {
            out.u8(*kind).short_count(bytes.len()).bytes(bytes);
        }
    }
}

impl Version {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        let (major, packed, patch) = (input.varint_u16()?, input.varint_u16()?, input.varint_u16()?);
        let (commit, feature_set, client) = (input.u32()?, input.u32()?, input.varint_u16()?);
        let minor = packed & MINOR_MASK;
        let (patch, prerelease) = match packed >> MINOR_BITS {
            0 => (patch, Prerelease::Stable),
            1 => (0, Prerelease::ReleaseCandidate(patch)),
            2 => (0, Prerelease::Beta(patch)),
            _ => (0, Prerelease::Alpha(patch)),
        };
        Ok(Self { major, minor, patch, commit, feature_set, client, prerelease })
    }

    fn write(&self, out: &mut Writer) {
        let (kind, patch) = match self.prerelease {
            Prerelease::Stable => (0, self.patch),
            Prerelease::ReleaseCandidate(number) => (1, number),
            Prerelease::Beta(number) => (2, number),
            Prerelease::Alpha(number) => (3, number),
        };
        let packed = (self.minor & MINOR_MASK) | (kind << MINOR_BITS);
        out.varint_u64(u64::from(self.major)).varint_u64(u64::from(packed)).varint_u64(u64::from(patch));
        out.u32(self.commit).u32(self.feature_set).varint_u64(u64::from(self.client));
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        match self.prerelease {
            Prerelease::Stable => Ok(()),
            Prerelease::ReleaseCandidate(number) => write!(f, "-rc.{number}"),
            Prerelease::Beta(number) => write!(f, "-beta.{number}"),
            Prerelease::Alpha(number) => write!(f, "-alpha.{number}"),
        }
    }
}

impl SocketEntry {
    fn read(input: &mut Reader) -> Result<Self, Reject> {
        Ok(Self { key: input.u8()?, addr_index: input.u8()?, port_offset: input.varint_u16()? })
    }
}

fn read_extension(input: &mut Reader) -> Result<(u8, Vec<u8>), Reject> {
    let kind = input.u8()?;
    let count = input.short_count(1)?;
    Ok((kind, input.take(count)?.to_vec()))
}

/// serde's `IpAddr` under bincode: a u32 tag, then the octets. IPv6 is refused, as agave does for now.
fn read_ip(input: &mut Reader) -> Result<IpAddr, Reject> {
    match input.u32()? {
        0 => Ok(IpAddr::V4(Ipv4Addr::from(input.array::<4>()?))),
        1 => Err(Reject::OutOfBounds("contact info: IPv6 address")),
        tag => Err(Reject::Tag("ip address", tag)),
    }
}

fn write_ip(addr: &IpAddr, out: &mut Writer) {
    match addr {
        IpAddr::V4(v4) => out.u32(0).bytes(&v4.octets()),
        IpAddr::V6(v6) => out.u32(1).bytes(&v6.octets()),
    };
}

/// contact_info.rs:sanitize_entries: each address once and used, each key once, port sums within u16.
fn check_sockets(addrs: &[IpAddr], sockets: &[SocketEntry]) -> Result<(), Reject> {
    let unique: BTreeSet<_> = addrs.iter().collect();
    let keys: BTreeSet<_> = sockets.iter().map(|entry| entry.key).collect();
    if unique.len() != addrs.len() || keys.len() != sockets.len() {
        return Err(Reject::Inconsistent("contact info: address or key given twice"));
    }
    let used: BTreeSet<_> = sockets.iter().map(|entry| usize::from(entry.addr_index)).collect();
    if used.len() != addrs.len() || used.last().is_some_and(|last| *last >= addrs.len()) {
        return Err(Reject::Inconsistent("contact info: address index"));
    }
    let last_port = sockets.iter().try_fold(0u16, |port, entry| port.checked_add(entry.port_offset));
    last_port.map(|_| ()).ok_or(Reject::OutOfBounds("contact info: port"))
}

fn is_sendable(addr: &SocketAddr) -> bool {
    addr.port() != 0 && addr.is_ipv4() && !addr.ip().is_unspecified() && !addr.ip().is_multicast()
}

const MINOR_BITS: u16 = 14;
const MINOR_MASK: u16 = (1 << MINOR_BITS) - 1;

#[cfg(test)]
mod tests {
    use {super::*, proptest::prelude::*};

    fn encode(info: &ContactInfo) -> Vec<u8> {
        let mut out = Writer::default();
        info.write(&mut out);
        out.0
    }

    fn decode(bytes: &[u8]) -> Result<ContactInfo, Reject> {
        let mut input = Reader::new(bytes, "contact info");
        let info = ContactInfo::read(&mut input)?;
        input.finish()?;
        Ok(info)
    }

    fn localhost(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// The layout of protocol.md 4.3, byte by byte.
    #[test]
    fn layout() {
        let version = Version {
            major: 4,
            minor: 2,
            patch: 300,
            commit: 0x0403_0201,
            feature_set: 0x0807_0605,
            client: 84,
            prerelease: Prerelease::Stable,
        };
        let mut info = ContactInfo::new(Pubkey::new_from_array([9; 32]), 0x1122_3344, 0xabcd, version);
        info.wallclock = UnixMillis(300);
        info.set_socket(SocketTag::Tvu, localhost(8003)).unwrap();
        info.set_socket(SocketTag::Gossip, localhost(8001)).unwrap();
        info.set_socket(SocketTag::TpuQuic, SocketAddr::from(([10, 0, 0, 2], 8001))).unwrap();
        let mut expected = vec![9; 32];
        expected.extend([0xac, 0x02]); // wallclock 300
        expected.extend([0x44, 0x33, 0x22, 0x11, 0, 0, 0, 0]); // outset
        expected.extend([0xcd, 0xab]); // shred version
        expected.extend([4, 2, 0xac, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 84]); // version
        expected.extend([2, 0, 0, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 10, 0, 0, 2]); // addresses
        expected.extend([3, 0, 0, 0xc1, 0x3e, 8, 1, 0, 10, 0, 2]); // sockets: 8001, 8001+0, 8001+2
        expected.push(0); // extensions
        assert_eq!(encode(&info), expected);
        let parsed = decode(&expected).unwrap();
        assert_eq!(parsed, info);
        assert_eq!(parsed.socket(SocketTag::TpuQuic), Some(SocketAddr::from(([10, 0, 0, 2], 8001))));
        assert_eq!(parsed.socket(SocketTag::Tvu), Some(localhost(8003)));
        assert_eq!(parsed.socket(SocketTag::Rpc), None);
        assert!(parsed.is_full_peer());
    }

    #[test]
    fn sockets_can_be_replaced_and_removed() {
        let mut info = ContactInfo::new(Pubkey::default(), 1, 1, Version::default());
        info.set_socket(SocketTag::Gossip, localhost(8001)).unwrap();
        info.set_socket(SocketTag::Gossip, SocketAddr::from(([10, 0, 0, 1], 9000))).unwrap();
        assert_eq!(info.addrs.len(), 1, "the unused address is gone");
        info.remove_socket(SocketTag::Gossip);
        assert_eq!(info.gossip(), None);
        assert_eq!(info.set_socket(SocketTag::Rpc, localhost(0)), Err(Reject::OutOfBounds("socket address")));
        assert!(info.set_socket(SocketTag::Rpc, "[::1]:80".parse().unwrap()).is_err());
        assert_eq!(decode(&encode(&info)).unwrap(), info);
    }

    /// The refusals of contact_info.rs:sanitize_entries.
    #[test]
    fn contradictions_are_refused() {
        let mut info = ContactInfo::new(Pubkey::default(), 1, 1, Version::default());
        let entry = |key, addr_index, port_offset| SocketEntry { key, addr_index, port_offset };
        let addr = |last| IpAddr::from([10, 0, 0, last]);
        for (addrs, sockets) in [
            (vec![addr(1), addr(1)], vec![entry(0, 0, 1), entry(1, 1, 1)]), // an address twice
            (vec![addr(1), addr(2)], vec![entry(0, 0, 1)]),                 // an unused address
            (vec![addr(1)], vec![entry(0, 1, 1)]),                          // no such address
            (vec![addr(1)], vec![entry(3, 0, 1), entry(3, 0, 1)]),          // a key twice
            (vec![addr(1)], vec![entry(0, 0, 65_000), entry(1, 0, 65_000)]), // port above 65,535
        ] {
            (info.addrs, info.sockets) = (addrs, sockets);
            assert!(decode(&encode(&info)).is_err(), "{info:?}");
        }
        (info.addrs, info.sockets) = (vec!["::1".parse().unwrap()], vec![entry(0, 0, 1)]);
        assert!(decode(&encode(&info)).is_err(), "IPv6");
    }

    /// A later instance of an identity wins whatever its clock says (cluster_info.rs:check_duplicate).
    #[test]
    fn later_instance_overrides() {
        let old = ContactInfo::new(Pubkey::default(), 5_000, 1, Version::default());
        let mut new = ContactInfo::new(Pubkey::default(), 5_001, 1, Version::default());
        new.wallclock = UnixMillis(0);
        assert_eq!(new.overrides(&old), Some(true));
        assert_eq!(old.overrides(&new), Some(false));
        assert_eq!(old.overrides(&old), None);
    }

    proptest! {
        #[test]
        fn round_trip(
            sockets in proptest::collection::vec((0u8..14, any::<[u8; 4]>(), any::<u16>()), 0..20),
            wallclock in 0..WALLCLOCK_MAX, outset: u64, minor in 0u16..16_384, patch: u16, kind in 0..4,
        ) {
            let prerelease = [Prerelease::Stable, Prerelease::ReleaseCandidate(patch), Prerelease::Beta(patch),
                Prerelease::Alpha(patch)][kind as usize];
            let patch = if kind == 0 { patch } else { 0 };
            let version = Version { major: 1, minor, patch, commit: 1, feature_set: 2, client: 3, prerelease };
            let mut info = ContactInfo::new(Pubkey::new_unique(), outset, 7, version);
            info.wallclock = UnixMillis(wallclock);
            for (key, ip, port) in sockets {
                let tag = TAGS[usize::from(key)];
                let addr = SocketAddr::from((ip, port));
                if info.set_socket(tag, addr).is_ok() {
                    prop_assert_eq!(info.socket(tag), Some(addr));
                }
            }
            prop_assert_eq!(decode(&encode(&info)), Ok(info));
        }
    }

    const TAGS: [SocketTag; 14] = [
        SocketTag::Gossip,
        SocketTag::ServeRepairQuic,
        SocketTag::Rpc,
        SocketTag::RpcPubsub,
        SocketTag::ServeRepair,
        SocketTag::Tpu,
        SocketTag::TpuForwards,
        SocketTag::TpuForwardsQuic,
        SocketTag::TpuQuic,
        SocketTag::TpuVote,
        SocketTag::Tvu,
        SocketTag::TvuQuic,
        SocketTag::TpuVoteQuic,
        SocketTag::Alpenglow,
    ];
}
