//! Where a client is told to connect. Pure.
//!
//! What `advertised.listeners` says is told to everybody. A listener that is bound to every interface and advertises
//! nothing has no address that is right for all.
//!
//! Unlike Kafka, which tells them all the machine's host name, each client is told the address by which it has come:
//!
//! | the client comes from | it is told |
//! |---|---|
//! | a loopback address | `localhost` |
//! | the default gateway: a port that docker or the host of a virtual machine publishes | `localhost` |
//! | anywhere else | the address of ours that it has connected to |

use std::net::{IpAddr, SocketAddr};

use kafka_protocol::protocol::StrBytes;

use crate::metadata::Endpoint;
use crate::network::Gateways;

/// A host and a port, as the answers name them; an IPv6 address without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToldAddress {
    /// A name or an address.
    pub host: StrBytes,
    /// The port.
    pub port: u16,
}

/// The address of `endpoint` for a client at `peer` that has connected to us at `local`.
pub(super) fn told_address(
    endpoint: &Endpoint,
    local: SocketAddr,
    peer: SocketAddr,
    gateways: &Gateways,
) -> ToldAddress {
    let host = match &*endpoint.host {
        "" if peer.ip().to_canonical().is_loopback() || gateways.contains(peer.ip()) => {
            StrBytes::from_static_str("localhost")
        }
        "" => StrBytes::from_string(local.ip().to_canonical().to_string()),
        host => StrBytes::from_string(host.to_owned()),
    };
    ToldAddress { host, port: endpoint.port }
}

/// Whether `told` is certainly another machine than this one to a client at `peer` that has come by `local`: a loopback
/// address, to a client that is neither on this machine nor comes through a port that it publishes.
pub(super) fn leads_elsewhere(told: &ToldAddress, local: SocketAddr, peer: SocketAddr, gateways: &Gateways) -> bool {
    let is_loopback =
        told.host.parse::<IpAddr>().map_or(&*told.host == "localhost", |ip| ip.to_canonical().is_loopback());
    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
    is_loopback && !peer.is_loopback() && peer != local && !gateways.contains(peer)
}

#[cfg(test)]
mod tests {

    use super::*;

    /// What a client of `peer` that has come by `local` is told; the gateways are those of a container of docker's.
    fn told(host: &str, local: &str, peer: &str) -> String {
        let endpoint = Endpoint { listener: "A".into(), host: host.into(), port: 9092, protocol: "PLAINTEXT".into() };
        let address = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 1);
        let gateways = Gateways::from_iter(["172.17.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()));
        let ToldAddress { host, port } = told_address(&endpoint, address(local), address(peer), &gateways);
        assert_eq!(port, 9092, "the port is the listener's, not the connection's");
        host.to_string()
    }

    #[test]
    fn a_client_of_this_machine_is_told_localhost() {
        for (local, peer) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.2", "127.0.0.1"),
            ("::1", "::1"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ] {
            assert_eq!(told("", local, peer), "localhost", "{peer} to {local}");
        }
    }

    #[test]
    fn a_client_through_a_published_port_is_told_localhost() {
        for (local, peer) in
            [("172.17.0.2", "172.17.0.1"), ("::ffff:172.17.0.2", "::ffff:172.17.0.1"), ("fd00::2", "fd00::1")]
        {
            assert_eq!(told("", local, peer), "localhost", "{peer} to {local}");
        }
    }

    #[test]
    fn other_clients_are_told_the_address_by_which_they_came() {
        for (local, peer, expected) in [
            ("172.17.0.2", "172.17.0.3", "172.17.0.2"),
            ("::ffff:172.17.0.2", "::ffff:172.17.0.3", "172.17.0.2"),
            ("fd00::2", "fd00::3", "fd00::2"),
            // From this very container, by its own address.
            ("172.17.0.2", "172.17.0.2", "172.17.0.2"),
            ("192.168.1.5", "10.1.2.3", "192.168.1.5"),
        ] {
            assert_eq!(told("", local, peer), expected, "{peer} to {local}");
        }
    }

    #[test]
    fn what_is_advertised_is_told_to_all() {
        for peer in ["127.0.0.1", "172.17.0.1", "172.17.0.3"] {
            assert_eq!(told("kafka", "172.17.0.2", peer), "kafka", "{peer}");
            assert_eq!(told("127.0.0.2", "127.0.0.2", peer), "127.0.0.2", "{peer}");
        }
    }

    #[test]
    fn localhost_leads_elsewhere_from_another_machine_only() {
        let gateways = Gateways::from_iter(["172.17.0.1".parse().unwrap()]);
        let leads = |host: &'static str, peer: &str| {
            let address = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 1);
            let told = ToldAddress { host: StrBytes::from_static_str(host), port: 9092 };
            leads_elsewhere(&told, address("172.17.0.2"), address(peer), &gateways)
        };
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            assert!(leads(host, "172.17.0.3") && leads(host, "10.0.0.1"), "{host}");
            for peer in ["127.0.0.1", "::1", "172.17.0.1", "::ffff:172.17.0.1", "172.17.0.2", "::ffff:172.17.0.2"] {
                assert!(!leads(host, peer), "{host} to {peer}");
            }
        }
        assert!(!leads("kafka", "172.17.0.3") && !leads("172.17.0.2", "172.17.0.3"));
    }
}
