//! Input that no client sends, over the real dispatch: rows B1 to B15 of the bad-input matrix.

use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};
use klamm::api::{APIS, Dispatcher};
use klamm::clock::Clock;
use klamm::config::Config;
use klamm::network::Limits;
use klamm::network::channel::Channel;

use crate::server::{Server, framed, start};

const API_VERSIONS: i16 = 18;

/// A broker in memory, and its dispatch behind a port of its own; the broker must be kept for as long as the port.
async fn server() -> (klamm::server::Server, Server<Dispatcher>) {
    let pairs = [("klamm.storage.kind", "memory"), ("listeners", "PLAINTEXT://127.0.0.1:0")];
    let broker = klamm::server::Server::start(Config::with(&pairs).unwrap()).await.unwrap();
    let dispatch = start(Dispatcher::new(Arc::clone(broker.broker()), Clock::system()), Limits::default());
    (broker, dispatch)
}

/// A request with a header of version 1 or, with its empty tagged fields, 2.
fn request(api_key: i16, api_version: i16, flexible: bool, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i16(api_key);
    frame.put_i16(api_version);
    frame.put_i32(7);
    frame.put_slice(b"\x00\x04test");
    if flexible {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    framed(&frame)
}

/// The answer's correlation id and, decoded at `api_version`, its body.
fn api_versions_answer(mut answer: &[u8], api_version: i16) -> (i32, ApiVersionsResponse) {
    let correlation_id = bytes::Buf::get_i32(&mut answer);
    let response = ApiVersionsResponse::decode(&mut answer, api_version).unwrap();
    assert!(answer.is_empty(), "{answer:?} is left");
    (correlation_id, response)
}

#[tokio::test]
async fn b1_to_b3_lengths_that_cannot_be() {
    let (_broker, server) = server().await;
    for length in [-1_i32, i32::MIN, 104_857_601, i32::MAX] {
        server.assert_closes_on(&length.to_be_bytes()).await;
    }
    for length in 0..8 {
        server.assert_closes_on(&framed(&vec![0; length])).await;
    }
    // Produce may be large, ApiVersions may not.
    server.assert_closes_on(b"\x00\x10\x00\x00\x00\x12\x00\x03").await;
}

#[tokio::test]
async fn b6_other_protocols() {
    let (_broker, server) = server().await;
    server.assert_closes_on(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    server.assert_closes_on(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    server.assert_closes_on(b"SSH-2.0-OpenSSH_9.9\r\n").await;
}

#[tokio::test]
async fn b7_b8_unknown_keys_and_versions() {
    let (_broker, server) = server().await;
    for key in [-1, 4, 5, 6, 7, 1000, i16::MAX] {
        server.assert_closes_on(&request(key, 0, false, b"")).await;
    }
    for api in APIS.iter().filter(|api| api.key != API_VERSIONS) {
        for version in [-1, api.min_version - 1, api.max_version + 1] {
            server.assert_closes_on(&request(api.key, version, true, b"")).await;
        }
    }
}

#[tokio::test]
async fn b8_an_unsupported_version_of_api_versions_is_answered_in_version_0() {
    let (_broker, server) = server().await;
    let mut peer = server.connect().await;
    for version in [5, 99, i16::MAX, -1] {
        peer.send(&request(API_VERSIONS, version, version > 0, b"whatever this version has")).await;
        let (correlation_id, response) = api_versions_answer(&peer.answer().await, 0);
        let keys: Vec<_> = response.api_keys.iter().map(|api| api.api_key).collect();
        assert_eq!((correlation_id, response.error_code, keys), (7, 35, vec![API_VERSIONS]));
    }
}

#[tokio::test]
async fn b9_software_names_must_be_words() {
    let (_broker, server) = server().await;
    let mut client = Channel::connect(("127.0.0.1", server.port), "test").await.unwrap();
    for (name, version, expected) in [("ok-1.x", "1.0", 0), ("", "1.0", 42), ("a b", "1.0", 42), ("ok", "-", 42)] {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(name))
            .with_client_software_version(StrBytes::from_static_str(version));
        for api_version in [3, 4] {
            let response = client.call_at(api_version, &request).await.unwrap();
            assert_eq!(response.error_code, expected, "{name:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn b10_b14_bodies_that_contradict_their_schema() {
    let (_broker, server) = server().await;
    let bodies: [&[u8]; 5] = [
        b"",                         // nothing at all
        b"\x05ab",                   // a string that ends too early
        b"\x00\x02a\x00",            // null where the schema has none
        b"\xff\xff\xff\xff\x0fab",   // a string of 4 GiB
        b"\xff\xff\xff\xff\xff\xff", // a varint without end
    ];
    for body in bodies {
        server.assert_closes_on(&request(API_VERSIONS, 3, true, body)).await;
    }
    let tagged: [&[u8]; 2] = [b"\x02a\x02b\xff\xff\xff\xff\x0f", b"\x02a\x02b\x01\x00\xff\xff\xff\x7f"];
    for body in tagged {
        server.assert_closes_on(&request(API_VERSIONS, 3, true, body)).await;
    }
}

#[tokio::test]
async fn b13_unknown_tagged_fields_do_no_harm() {
    let (_broker, server) = server().await;
    let mut peer = server.connect().await;
    let mut body = b"\x02a\x02b\xe8\x07".to_vec();
    (0..1000).for_each(|_| body.extend_from_slice(b"\x09\x01z"));
    peer.send(&request(API_VERSIONS, 3, true, &body)).await;
    assert_eq!(api_versions_answer(&peer.answer().await, 3).1.error_code, 0);
}

#[tokio::test]
async fn b15_bytes_behind_a_body_are_ignored() {
    let (_broker, server) = server().await;
    let mut peer = server.connect().await;
    peer.send(&request(API_VERSIONS, 0, false, b"surplus")).await;
    assert_eq!(api_versions_answer(&peer.answer().await, 0).1.error_code, 0);
}

#[tokio::test]
async fn answers_come_at_once() {
    let (_broker, server) = server().await;
    let mut client = Channel::connect(("127.0.0.1", server.port), "test").await.unwrap();
    let started = Instant::now();
    for _ in 0..100 {
        client
            .call(
                &ApiVersionsRequest::default()
                    .with_client_software_name("a".into())
                    .with_client_software_version("1".into()),
            )
            .await
            .unwrap();
    }
    assert!(started.elapsed().as_millis() < 1_000, "an answer waited for Nagle or a timer: {:?}", started.elapsed());
}
