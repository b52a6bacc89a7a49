//! Where clients are told to connect: by the address that they have come by, and by what is advertised.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use kafka_protocol::messages::{DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest};
use klamm::network::channel::Channel;

use crate::broker::{Broker, Client, text};

/// What the three APIs that tell an address tell a client which connects to `address`.
async fn told(address: SocketAddr) -> String {
    let mut client = Client(Channel::connect(address, "it").await.unwrap());
    let metadata = client.ask(12, &MetadataRequest::default()).await.brokers.remove(0);
    let cluster = client.ask(0, &DescribeClusterRequest::default()).await.brokers.remove(0);
    let group = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let coordinator = client.ask(4, &group).await.coordinators.remove(0);
    let told = [(metadata.host, metadata.port), (cluster.host, cluster.port), (coordinator.host, coordinator.port)];
    assert!(told.iter().all(|(host, port)| *host == told[0].0 && *port == told[0].1), "{told:?}");
    let port = told[0].1;
    told[0].0.to_string() + if port == i32::from(address.port()) { "" } else { " at another port" }
}

/// An address of this machine that is no loopback one, if it has any.
fn address_on_a_network() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the system only picks the address by which it would go.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[tokio::test]
async fn a_listener_on_every_interface_tells_each_client_how_it_came() {
    for listener in ["PLAINTEXT://:0", "PLAINTEXT://0.0.0.0:0"] {
        let broker = Broker::with(&[("listeners", listener)]).await;
        let at = |ip: IpAddr| SocketAddr::new(ip, broker.port());
        for loopback in ["127.0.0.1", "127.0.0.2"] {
            assert_eq!(told(at(loopback.parse().unwrap())).await, "localhost", "{loopback} of {listener}");
        }
        if let Some(ip) = address_on_a_network() {
            assert_eq!(told(at(ip)).await, ip.to_string(), "{listener}");
        }
        broker.stop().await;
    }
}

#[tokio::test]
async fn what_is_bound_or_advertised_by_name_is_told_to_all() {
    let named = Broker::with(&[("listeners", "PLAINTEXT://127.0.0.2:0")]).await;
    let address = named.0.listeners()[0].1;
    assert_eq!(told(address).await, "127.0.0.2");
    let advertised = [("listeners", "PLAINTEXT://:0"), ("advertised.listeners", "PLAINTEXT://kafka:1234")];
    let broker = Broker::with(&advertised).await;
    assert_eq!(told(([127, 0, 0, 1], broker.port()).into()).await, "kafka at another port");
    broker.stop().await;
}

#[tokio::test]
async fn a_listener_for_ipv6_tells_addresses_of_ipv6() {
    let Ok(probe) = std::net::TcpListener::bind("[::1]:0") else { return };
    drop(probe);
    let everywhere = Broker::with(&[("listeners", "PLAINTEXT://:0")]).await;
    assert_eq!(told(format!("[::1]:{}", everywhere.port()).parse().unwrap()).await, "localhost");
    everywhere.stop().await;
    let named = Broker::with(&[("listeners", "PLAINTEXT://[::1]:0")]).await;
    assert_eq!(told(named.0.listeners()[0].1).await, "::1");
}
