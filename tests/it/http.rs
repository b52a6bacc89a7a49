//! Health and metrics by HTTP.

use klamm::config::Config;
use klamm::server::{Server, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::Broker;
use crate::server::within;

/// The whole answer to a GET of `path`.
pub(crate) async fn get(broker: &Broker, path: &str) -> String {
    get_from(&broker.0, path).await
}

pub(crate) async fn get_from(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.http().unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: k\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// A broker with HTTP on a port of its own.
pub(crate) async fn broker() -> Broker {
    Broker::with(&[("klamm.http.bind", "127.0.0.1:0")]).await
}

#[tokio::test]
async fn a_broker_tells_that_it_is_ready() {
    let broker = broker().await;
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = get(&broker, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    }
    assert!(get(&broker, "/nowhere").await.starts_with("HTTP/1.1 404"));
    broker.stop().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_does_not_hold_up_the_stop() {
    let broker = broker().await;
    let mut silent = TcpStream::connect(broker.0.http().unwrap()).await.unwrap();
    silent.write_all(b"GET /metr").await.unwrap();
    within(broker.stop()).await;
}

#[tokio::test]
async fn silent_clients_cannot_take_all_descriptors() {
    let broker = broker().await;
    let address = broker.0.http().unwrap();
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let mut asked = Box::pin(get(&broker, "/healthz"));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut asked).await;
    assert!(early.is_err(), "the ninth is accepted");
    drop(silent.pop());
    assert!(asked.await.starts_with("HTTP/1.1 200"));
    broker.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let pairs =
        [("klamm.http.bind", &*address), ("listeners", "PLAINTEXT://127.0.0.1:0"), ("klamm.storage.kind", "memory")];
    let refused = Server::start(Config::with(&pairs).unwrap()).await.err().unwrap();
    assert!(matches!(&refused, StartError::AddressTaken { listener, .. } if listener == "HTTP"), "{refused}");
}
