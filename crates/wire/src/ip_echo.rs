//! "What is my address, and are my ports open?" - one question and one answer over TCP on the gossip port.

use {
    crate::{
        Reject,
        codec::{Reader, Writer},
    },
    std::net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Ports of the asker that the server shall try; 0 means none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Request {
    pub tcp_ports: [u16; 4],
    pub udp_ports: [u16; 4],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// The asker, as the server sees it.
    pub address: IpAddr,
    pub shred_version: Option<u16>,
}

impl Request {
    pub fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut out = Writer::with_capacity(REQUEST_BYTES);
        out.u32(0);
        self.tcp_ports.iter().chain(&self.udp_ports).for_each(|port| _ = out.u16(*port));
        out.u8(b'\n');
        out.0.try_into().expect("invariant: 4 + 16 + 1 bytes")
    }

    pub fn decode(bytes: &[u8; REQUEST_BYTES]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "ip echo request");
        match &input.array::<4>()? {
            b"GET " | b"POST" => return Err(Reject::Http),
            [0, 0, 0, 0] => (),
            header => return Err(Reject::Tag("ip echo request", u32::from_le_bytes(*header))),
        }
        let mut ports = || Ok([input.u16()?, input.u16()?, input.u16()?, input.u16()?]);
        Ok(Self { tcp_ports: ports()?, udp_ports: ports()? })
    }
}

impl Response {
    pub fn encode(&self) -> [u8; RESPONSE_BYTES] {
        let mut out = Writer::with_capacity(RESPONSE_BYTES);
        out.u32(0);
        match self.address {
            IpAddr::V4(v4) => out.u32(0).bytes(&v4.octets()),
            IpAddr::V6(v6) => out.u32(1).bytes(&v6.octets()),
        };
        out.option(self.shred_version, |out, version| _ = out.u16(version));
        out.0.resize(RESPONSE_BYTES, 0);
        out.0.try_into().expect("invariant: an IPv6 address and a version fill the response exactly")
    }

    /// Old servers stop after the address; what is missing then is the shred version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Reject> {
        let mut input = Reader::new(bytes, "ip echo response");
        match &input.array::<4>()? {
            b"HTTP" => return Err(Reject::Http),
            [0, 0, 0, 0] => (),
            header => return Err(Reject::Tag("ip echo response", u32::from_le_bytes(*header))),
        }
        let address = match input.u32()? {
            0 => IpAddr::V4(Ipv4Addr::from(input.array::<4>()?)),
            1 => IpAddr::V6(Ipv6Addr::from(input.array::<16>()?)),
            tag => return Err(Reject::Tag("ip echo address", tag)),
        };
        let shred_version = if input.remaining() == 0 { None } else { input.option(Reader::u16)? };
        Ok(Self { address, shred_version })
    }
}

pub const REQUEST_BYTES: usize = 4 + 16 + 1;
/// solana-net-utils: IP_ECHO_SERVER_RESPONSE_LENGTH.
pub const RESPONSE_BYTES: usize = 4 + 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_layout() {
        let request = Request { tcp_ports: [8001, 0, 0, 0], udp_ports: [8002, 8003, 0, 0] };
        let bytes = request.encode();
        assert_eq!(bytes, *b"\0\0\0\0\x41\x1f\0\0\0\0\0\0\x42\x1f\x43\x1f\0\0\0\0\n");
        assert_eq!(Request::decode(&bytes), Ok(request));
        assert_eq!(Request::decode(b"GET / HTTP/1.1\r\nHost:"), Err(Reject::Http));
        assert!(Request::decode(b"\x16\x03\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").is_err());
    }

    #[test]
    fn response_layout() {
        let response = Response { address: IpAddr::from([10, 1, 2, 3]), shred_version: Some(0x0201) };
        let bytes = response.encode();
        assert_eq!(bytes[..15], *b"\0\0\0\0\0\0\0\0\x0a\x01\x02\x03\x01\x01\x02");
        assert_eq!(bytes[15..], [0; 12]);
        assert_eq!(Response::decode(&bytes), Ok(response));
        let v6 = Response { address: "2001:db8::1".parse().unwrap(), shred_version: Some(7) };
        assert_eq!(Response::decode(&v6.encode()), Ok(v6));
        assert_eq!(Response::decode(&bytes[..12]), Ok(Response { shred_version: None, ..response }));
        assert_eq!(Response::decode(b"HTTP/1.1 400 Bad Request"), Err(Reject::Http));
        assert!(Response::decode(b"\0\0\0\0\0").is_err());
    }
}
