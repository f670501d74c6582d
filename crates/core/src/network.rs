//! The network that an address is of: the first 24 bits of an IPv4 address, 48 of an IPv6 address.

use std::fmt;
use std::net::IpAddr;

/// A network. Shown in the usual notation, such as `192.0.2.0/24`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Network([u8; 16]);

impl Network {
    /// The network of an address.
    pub const fn of(ip: IpAddr) -> Self {
        Self::of_octets(octets(ip))
    }

    /// The network of an address that is written as IPv6.
    pub(crate) const fn of_octets(ip: [u8; 16]) -> Self {
        /// Of all IPv4 addresses (RFC 4291, section 2.5.5.2).
        const MAPPED: u128 = 0xffff;
        let bits = u128::from_be_bytes(ip);
        let rest = if bits >> 32 == MAPPED { 8 } else { 80 };
        Self((bits >> rest << rest).to_be_bytes())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match IpAddr::from(self.0).to_canonical() {
            IpAddr::V4(ip) => write!(f, "{ip}/24"),
            IpAddr::V6(ip) => write!(f, "{ip}/48"),
        }
    }
}

/// An address as IPv6.
pub(crate) const fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_told_in_the_usual_notation() {
        for (ip, told) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(Network::of(ip.parse().unwrap()).to_string(), told);
        }
    }
}
