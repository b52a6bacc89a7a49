//! Every API of the table, at every version, asked in many ways: whatever is answered is a response of that version, whole
//! and with nothing behind it. A new row is covered by itself.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{DescribeAclsRequest, ProduceRequest};
use kafka_protocol::protocol::{Encodable, Request};
use klamm::api::client_apis;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::decode::requests::{REQUEST_TYPES, RequestType};
use crate::hostile::request;
use crate::security::describe_acls;
use crate::server::Peer;

/// Some requests are answered when somebody else has come, or after a long time: those are not waited for.
const PATIENCE: Duration = Duration::from_millis(100);

const CORRELATION_ID: i32 = 77;

/// What became of a request.
enum Outcome {
    Answer(Bytes),
    Closed,
    Silence,
}

async fn ask(peer: &mut Peer, key: i16, version: i16, body: &[u8]) -> Outcome {
    peer.send(&request(key, version, CORRELATION_ID, body)).await;
    let answer = async {
        let size = peer.0.read_u32().await.ok()?;
        let mut frame = vec![0; size as usize];
        peer.0.read_exact(&mut frame).await.ok()?;
        Some(Bytes::from(frame))
    };
    match timeout(PATIENCE, answer).await {
        Ok(Some(frame)) => Outcome::Answer(frame),
        Ok(None) => Outcome::Closed,
        Err(_) => Outcome::Silence,
    }
}

/// The default request, and what comes of it when a byte is another one, with nothing or room for an element behind it.
fn bodies(api: &RequestType, version: i16) -> Vec<Vec<u8>> {
    let Some(default) = (api.default_body)(version) else { return Vec::new() };
    let mut bodies = vec![default.to_vec()];
    if api.key == DescribeAclsRequest::KEY {
        // The default one filters by what nobody knows, which closes the connection.
        let mut body = BytesMut::new();
        describe_acls().encode(&mut body, version).unwrap();
        bodies.push(body.to_vec());
    }
    for place in 0..default.len() {
        for (value, room) in [(1, 0), (2, 24), (1, 40), (0xff, 0), (0x7f, 0)] {
            let (before, behind) = default.split_at(place);
            bodies.push([before, &[value], &vec![0; room], &behind[1..]].concat());
        }
    }
    bodies.retain(|body| (api.decodes)(Bytes::copy_from_slice(body), version));
    bodies
}

/// Asks everything at one version; how many requests were answered.
async fn ask_all(broker: &Broker, api: &RequestType, version: i16) -> usize {
    let mut peer = broker.peer().await;
    let mut answered = 0;
    for body in bodies(api, version) {
        match ask(&mut peer, api.key, version, &body).await {
            Outcome::Answer(mut frame) => {
                let asked = format!("{} v{version} {body:?}", api.name);
                assert_eq!(frame.get_i32(), CORRELATION_ID, "{asked}");
                assert_eq!((api.read_response)(frame, version), Ok(0), "{asked}");
                answered += 1;
            }
            Outcome::Closed | Outcome::Silence => peer = broker.peer().await,
        }
    }
    answered
}

#[tokio::test]
async fn whatever_is_answered_is_a_response_of_the_requests_version() {
    let broker = Broker::with(&[("group.initial.rebalance.delay.ms", "0")]).await;
    broker.client_with_topic("t", 1).await;
    for api in client_apis() {
        let known = REQUEST_TYPES.iter().find(|known| known.key == api.key).unwrap();
        for version in api.min_version..=api.max_version {
            let answered = ask_all(&broker, known, version).await;
            // The default request for records wants no answer, and the others of it differ in one byte.
            assert!(answered > 0 || api.key == ProduceRequest::KEY, "{} v{version} is never answered", known.name);
        }
    }
    broker.stop().await;
}
