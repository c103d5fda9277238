//! UDP datagrams of a capture file in the classic pcap format, as `tcpdump -w` writes it (and tshark with `-F pcap`).

use {
    crate::bytes::Reader,
    std::io::{self, Read},
};

/// A datagram, with the number tcpdump and Wireshark show for its packet.
pub struct Datagram<'a> {
    pub packet: u64,
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Null,
    Ethernet,
    Raw,
    Cooked,
    Cooked2,
}

#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("link type {0} is not read here; capture on an interface with Ethernet, raw IP or Linux cooked frames")]
    Link(u32),
    #[error("packet {0} is longer than any packet: the file is damaged")]
    Damaged(u64),
}

#[derive(Default)]
pub struct PcapCounts {
    pub packets: u64,
    /// Not whole UDP datagrams: other protocols, fragments, packets the capture cut short.
    pub skipped: u64,
}

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// Whether a file that begins like this is a classic pcap file.
pub fn is_pcap(first: &[u8]) -> bool {
    first.first_chunk().is_some_and(|magic: &[u8; 4]| {
        [u32::from_le_bytes(*magic), u32::from_be_bytes(*magic)]
            .iter()
            .any(|magic| [MICROSECONDS, NANOSECONDS].contains(magic))
    })
}

/// Hands each datagram to `take`. A packet cut off at the end (the capture was still being written) ends the file.
pub fn read(input: &mut impl Read, mut take: impl FnMut(Datagram<'_>)) -> Result<PcapCounts, PcapError> {
    let mut header = [0; 24];
    input.read_exact(&mut header)?;
    let big = [MICROSECONDS, NANOSECONDS].contains(&u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
    let number = |bytes: &[u8]| {
        let bytes = bytes.first_chunk().copied().unwrap_or_default();
        if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    // The upper bits may tell how long a frame check sequence is.
    let link = match number(&header[20..]) & 0xffff {
        0 => Link::Null,
        1 => Link::Ethernet,
        12 | 14 | 101 => Link::Raw,
        113 => Link::Cooked,
        276 => Link::Cooked2,
        other => return Err(PcapError::Link(other)),
    };
    let mut counts = PcapCounts::default();
    let mut packet = Vec::new();
    let mut head = [0; 16];
    while filled(input, &mut head)? {
        counts.packets += 1;
        let length = number(&head[8..]);
        if length > PACKET_BYTES_MAX {
            return Err(PcapError::Damaged(counts.packets));
        }
        packet.resize(length as usize, 0);
        if !filled(input, &mut packet)? {
            counts.packets -= 1;
            break;
        }
        match network_layer(link, &packet).and_then(udp_payload) {
            Some(payload) => take(Datagram { packet: counts.packets, payload }),
            None => counts.skipped += 1,
        }
    }
    Ok(counts)
}

/// False at the end of the file, even in the middle of `buffer`.
fn filled(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn network_layer(link: Link, frame: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(frame);
    match link {
        Link::Raw => {}
        Link::Null => {
            reader.take(4)?;
        }
        Link::Cooked => {
            reader.take(16)?;
        }
        Link::Cooked2 => {
            reader.take(20)?;
        }
        Link::Ethernet => {
            reader.take(12)?;
            // 802.1Q and 802.1ad tags stand before the type.
            while matches!(reader.u16_be()?, 0x8100 | 0x88a8) {
                reader.take(2)?;
            }
        }
    }
    Some(reader.0)
}

fn udp_payload(network: &[u8]) -> Option<&[u8]> {
    const UDP: u8 = 17;
    let mut reader = Reader(network);
    match network.first()? >> 4 {
        4 => {
            let header = usize::from(network[0] & 0xf) * 4;
            let fragment = u16::from_be_bytes(network.get(6..8)?.try_into().ok()?);
            // "More fragments", or an offset: only part of a datagram.
            if *network.get(9)? != UDP || fragment & 0x3fff != 0 {
                return None;
            }
            reader.take(header)?;
        }
        6 => {
            if *network.get(6)? != UDP {
                return None;
            }
            reader.take(40)?;
        }
        _ => return None,
    }
    reader.take(4)?;
    let length = usize::from(reader.u16_be()?);
    reader.take(2)?;
    reader.take(length.checked_sub(8)?)
}
