//! Which addresses may be believed and sent to.

use std::net::{IpAddr, SocketAddr};

/// contact_info.rs:is_valid_address with socket_addr_space.rs:SocketAddrSpace::check.
pub fn is_sendable(addr: &SocketAddr, allow_private: bool) -> bool {
    let IpAddr::V4(ip) = addr.ip() else { return false };
    let public = !ip.is_private() && !ip.is_loopback();
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && (allow_private || public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_a_choice() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, open, private) in [
            ("8.8.8.8:8001", true, true),
            ("127.0.0.1:8001", false, true),
            ("10.0.0.1:8001", false, true),
            ("192.168.1.1:8001", false, true),
            ("8.8.8.8:0", false, false),
            ("0.0.0.0:8001", false, false),
            ("224.0.0.1:8001", false, false),
            ("[::1]:8001", false, false),
        ] {
            assert_eq!((is_sendable(&addr(text), false), is_sendable(&addr(text), true)), (open, private), "{text}");
        }
    }
}
