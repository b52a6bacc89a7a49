//! This machine's default gateways: the addresses from which connections come that another machine passes on, such as
//! docker for a published port, or a virtual machine's host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A route that goes through another machine (`RTF_GATEWAY`).
const THROUGH_GATEWAY: u32 = 0x2;

/// The addresses of the default gateways; none where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateways(Arc<[IpAddr]>);

impl Gateways {
    /// Those of this machine or container, now; only Linux tells. In Kubernetes the gateway is the node, on which others
    /// than the publisher of a port run, so that none counts there.
    pub fn of_this_machine() -> Self {
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            return Self::default();
        }
        // What cannot be read has no routes.
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        Self::parse(&read("/proc/net/route"), &read("/proc/net/ipv6_route"))
    }

    /// Those that the texts of `/proc/net/route` and `/proc/net/ipv6_route` name.
    pub fn parse(routes: &str, ipv6_routes: &str) -> Self {
        let v4 = routes.lines().filter_map(default_gateway).map(IpAddr::V4);
        let v6 = ipv6_routes.lines().filter_map(default_ipv6_gateway).map(IpAddr::V6);
        Self(v4.chain(v6).collect())
    }

    /// Whether `ip` is one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<IpAddr> for Gateways {
    fn from_iter<T: IntoIterator<Item = IpAddr>>(addresses: T) -> Self {
        Self(addresses.into_iter().collect())
    }
}

/// Their addresses, with commas between.
impl fmt::Display for Gateways {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.0.iter().map(IpAddr::to_string).collect();
        formatter.write_str(&addresses.join(", "))
    }
}

/// The gateway of a line of `/proc/net/route`, if it is the default route's. Addresses stand there as the numbers that the
/// machine reads from their bytes.
fn default_gateway(line: &str) -> Option<Ipv4Addr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let (destination, gateway, flags, mask) = (number(1)?, number(2)?, number(3)?, number(7)?);
    let is_default = destination == 0 && mask == 0 && flags & THROUGH_GATEWAY != 0;
    is_default.then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
}

/// The same of `/proc/net/ipv6_route`, where addresses stand byte by byte.
fn default_ipv6_gateway(line: &str) -> Option<Ipv6Addr> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let address = |index: usize| u128::from_str_radix(fields.get(index)?, 16).ok();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let (destination, length, gateway, flags) = (address(0)?, number(1)?, address(4)?, number(8)?);
    let is_default = destination == 0 && length == 0 && flags & THROUGH_GATEWAY != 0;
    is_default.then(|| Ipv6Addr::from(gateway))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a container sees them, on a machine whose lowest byte is first.
    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0000000A\t0100000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
";
    const IPV6_ROUTES: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[cfg(target_endian = "little")]
    #[test]
    fn the_default_routes_name_the_gateways() {
        let gateways = Gateways::parse(ROUTES, IPV6_ROUTES);
        assert_eq!(gateways.to_string(), "172.17.0.1, fd00::1");
        assert!(gateways.contains("172.17.0.1".parse().unwrap()) && gateways.contains("fd00::1".parse().unwrap()));
        assert!(gateways.contains("::ffff:172.17.0.1".parse().unwrap()));
        assert!(!gateways.contains("172.17.0.2".parse().unwrap()));
        assert!(!gateways.contains("10.0.0.1".parse().unwrap()), "that is the way to one network only");
    }

    #[test]
    fn what_is_no_table_of_routes_names_none() {
        for text in ["", "\n\n", "eth0 x y", "eth0\t00000000\t010011AC", "0 0 0 0 0 0 0 0 0 0"] {
            assert!(Gateways::parse(text, text).is_empty(), "{text:?}");
        }
    }
}
