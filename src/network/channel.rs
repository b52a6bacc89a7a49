//! The way to another node: typed requests out, typed responses back.

use std::collections::HashMap;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::clock::{Clock, TimedOut};
use crate::protocol::header::skip_tagged_fields;
use crate::protocol::{DecodeError, EncodeError};

/// How much room is made at once for what is announced but has not arrived: an answer to a follower's Fetch
/// (`replica.fetch.response.max.bytes`) fits without growing, and a length that is none costs no more.
const ROOM_AHEAD: usize = 16 * 1024 * 1024;

/// Room for the beginning of a frame, in which small ones fit whole.
const ROOM_FOR_A_START: usize = 4 * 1024;

/// What a conversation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLimits {
    /// `socket.connection.setup.timeout.ms`: how long connecting may take.
    pub connect_timeout: Duration,
    /// `request.timeout.ms`: how long sending one request, and awaiting one answer, may take.
    pub request_timeout: Duration,
    /// The longest frame that is read.
    pub max_response_bytes: usize,
}

/// For conversations between nodes: 10 s to connect and 30 s for an answer, as Kafka's brokers have it.
impl Default for ChannelLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_response_bytes: 100 * 1024 * 1024,
        }
    }
}

/// Why a conversation failed; the connection is of no further use.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The connection broke or was never made; also because it took too long.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The answer is longer than may be read.
    #[error("an answer of {length} bytes is longer than the {limit} that are read")]
    TooLong {
        /// What it announces.
        length: usize,
        /// [`ChannelLimits::max_response_bytes`].
        limit: usize,
    },
    /// The request has no form at the version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The answer is not what the version prescribes.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The broker has no version of the API in common with us.
    #[error("the broker does not serve API {api_key} in any version that we speak")]
    NoCommonVersion {
        /// The API asked for.
        api_key: i16,
    },
}

impl From<TimedOut> for ChannelError {
    fn from(_: TimedOut) -> Self {
        Self::Io(io::ErrorKind::TimedOut.into())
    }
}

/// The claim on the answer to one request.
#[derive(Debug)]
#[must_use = "the answer stays in memory until it is received"]
pub struct Ticket<R> {
    correlation_id: i32,
    api_version: i16,
    request: PhantomData<R>,
}

/// A connection that we opened to a broker. Requests may be pipelined; answers may be taken in any order.
#[derive(Debug)]
pub struct Channel {
    stream: TcpStream,
    id: StrBytes,
    next_correlation_id: i32,
    buffer: BytesMut,
    limits: Option<(Clock, ChannelLimits)>,
    /// Answers that arrived before they were asked for.
    arrived: HashMap<i32, Bytes>,
    /// What ApiVersions told: key to oldest and newest version.
    versions: HashMap<i16, (i16, i16)>,
}

impl Channel {
    /// Connects, without sending anything yet. Nothing has a limit: whoever asks for a person waits as long as that one.
    pub async fn connect(address: impl ToSocketAddrs, client_id: &str) -> Result<Self, ChannelError> {
        Self::new(TcpStream::connect(address).await?, client_id, None)
    }

    /// The same, and everything within `limits`. After a failure, a request that took too long among them, the
    /// connection is of no further use.
    pub async fn connect_within(
        address: impl ToSocketAddrs,
        client_id: &str,
        clock: Clock,
        limits: ChannelLimits,
    ) -> Result<Self, ChannelError> {
        let stream = clock.timeout(limits.connect_timeout, TcpStream::connect(address)).await??;
        Self::new(stream, client_id, Some((clock, limits)))
    }

    fn new(stream: TcpStream, client_id: &str, limits: Option<(Clock, ChannelLimits)>) -> Result<Self, ChannelError> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            limits,
            id: StrBytes::from_string(client_id.to_owned()),
            next_correlation_id: 0,
            buffer: BytesMut::new(),
            arrived: HashMap::new(),
            versions: HashMap::new(),
        })
    }

    /// Sends a request at the newest version that both sides speak and awaits the answer; asks ApiVersions first when
    /// that has not been done.
    pub async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ChannelError> {
        self.call_at_most(i16::MAX, request).await
    }

    /// As [`Channel::call`], at version `newest` or below.
    pub async fn call_at_most<R: Request>(&mut self, newest: i16, request: &R) -> Result<R::Response, ChannelError> {
        let api_version = self.version_of::<R>(newest).await?;
        self.call_at(api_version, request).await
    }

    /// Sends a request at `api_version` and awaits the answer.
    pub async fn call_at<R: Request>(&mut self, api_version: i16, request: &R) -> Result<R::Response, ChannelError> {
        let ticket = self.send(api_version, request).await?;
        self.receive(ticket).await
    }

    /// Sends a request without awaiting its answer. A request without answer (Produce with acks=0) leaves its ticket unused.
    pub async fn send<R: Request>(&mut self, api_version: i16, request: &R) -> Result<Ticket<R>, ChannelError> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        let frame = encode_request(correlation_id, &self.id, api_version, request)?;
        match &self.limits {
            Some((clock, limits)) => clock.timeout(limits.request_timeout, self.stream.write_all(&frame)).await??,
            None => self.stream.write_all(&frame).await?,
        }
        Ok(Ticket { correlation_id, api_version, request: PhantomData })
    }

    /// Awaits the answer to a request; answers to others are kept for their tickets.
    pub async fn receive<R: Request>(&mut self, ticket: Ticket<R>) -> Result<R::Response, ChannelError> {
        let mut body = match self.limits.clone() {
            Some((clock, limits)) => {
                clock.timeout(limits.request_timeout, self.answer_to(ticket.correlation_id)).await??
            }
            None => self.answer_to(ticket.correlation_id).await?,
        };
        if R::Response::header_version(ticket.api_version) >= 1 {
            // Behind the correlation id, which is taken off already, the header has tagged fields only.
            skip_tagged_fields(&mut body)?;
        }
        Ok(R::Response::decode(&mut body, ticket.api_version).map_err(|error| malformed(&error))?)
    }

    /// What follows the correlation id in the answer that carries it.
    async fn answer_to(&mut self, correlation_id: i32) -> Result<Bytes, ChannelError> {
        loop {
            if let Some(body) = self.arrived.remove(&correlation_id) {
                return Ok(body);
            }
            let mut frame = self.read_frame().await?;
            let arrived = frame.try_get_i32().map_err(|error| malformed(&error))?;
            self.arrived.insert(arrived, frame);
        }
    }

    /// The newest version up to `at_most` that both sides speak of a request; asks ApiVersions first when that has not
    /// been done.
    pub async fn version_of<R: Request>(&mut self, at_most: i16) -> Result<i16, ChannelError> {
        if self.versions.is_empty() {
            let request = ApiVersionsRequest::default()
                .with_client_software_name(StrBytes::from_static_str("klamm"))
                .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
            let response = self.call_at(3, &request).await?;
            self.versions =
                response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        }
        let (min, max) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let newest = max.min(R::VERSIONS.max).min(at_most);
        if newest < min.max(R::VERSIONS.min) {
            return Err(ChannelError::NoCommonVersion { api_key: R::KEY });
        }
        Ok(newest)
    }

    async fn read_frame(&mut self) -> Result<Bytes, ChannelError> {
        let limit = self.limits.as_ref().map_or(usize::MAX, |(_, limits)| limits.max_response_bytes);
        loop {
            let mut room = ROOM_FOR_A_START;
            if let Some(prefix) = self.buffer.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*prefix)).map_err(|error| malformed(&error))?;
                if length > limit {
                    return Err(ChannelError::TooLong { length, limit });
                }
                if self.buffer.len() - 4 >= length {
                    self.buffer.advance(4);
                    return Ok(self.buffer.split_to(length).freeze());
                }
                room = (4 + length - self.buffer.len()).min(ROOM_AHEAD);
            }
            if self.buffer.capacity() - self.buffer.len() < room.min(ROOM_FOR_A_START) {
                self.buffer.reserve(room);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// A request as one frame, its length prefix included.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: &StrBytes,
    api_version: i16,
    request: &R,
) -> Result<Bytes, EncodeError> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(api_version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(client_id.clone()));
    let failed = |reason: &dyn std::fmt::Display| EncodeError { api_version, reason: reason.to_string() };
    let mut frame = BytesMut::new();
    frame.put_i32(0);
    header.encode(&mut frame, R::header_version(api_version)).map_err(|error| failed(&error))?;
    request.encode(&mut frame, api_version).map_err(|error| failed(&error))?;
    let length = i32::try_from(frame.len() - 4).map_err(|error| failed(&error))?;
    if let Some(prefix) = frame.first_chunk_mut::<4>() {
        *prefix = length.to_be_bytes();
    }
    Ok(frame.freeze())
}

fn malformed(reason: &dyn std::fmt::Display) -> DecodeError {
    DecodeError::Malformed(format!("response: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
    use tokio::net::TcpListener;

    async fn connected(clock: &Clock, max_response_bytes: usize) -> (Channel, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let limits = ChannelLimits { max_response_bytes, ..ChannelLimits::default() };
        let connecting =
            Channel::connect_within(listener.local_addr().expect("an address"), "test", clock.clone(), limits);
        let (channel, accepted) = tokio::join!(connecting, listener.accept());
        (channel.expect("a connection"), accepted.expect("a connection").0)
    }

    #[tokio::test]
    async fn a_large_answer_with_tagged_fields_in_its_header_arrives_whole() {
        let (mut channel, mut broker) = connected(&Clock::system(), usize::MAX).await;
        let cluster_id = StrBytes::from_string("c".repeat(10 * 1024 * 1024));
        let response = DescribeClusterResponse::default().with_cluster_id(cluster_id);
        let mut body = BytesMut::new();
        response.encode(&mut body, 0).expect("encodes");
        let ticket = channel.send(0, &DescribeClusterRequest::default()).await.expect("sent");
        let header = b"\x00\x00\x00\x00\x01\x05\x01x";
        broker.write_all(&u32::try_from(header.len() + body.len()).unwrap().to_be_bytes()).await.unwrap();
        broker.write_all(header).await.unwrap();
        let (received, written) = tokio::join!(channel.receive(ticket), broker.write_all(&body));
        written.unwrap();
        assert_eq!(received.expect("an answer"), response);
    }

    #[tokio::test]
    async fn an_answer_longer_than_the_limit_is_an_error_before_it_arrives() {
        let (mut channel, mut broker) = connected(&Clock::system(), 1_000).await;
        let ticket = channel.send(0, &DescribeClusterRequest::default()).await.expect("sent");
        broker.write_all(&1_001_i32.to_be_bytes()).await.unwrap();
        let failed = channel.receive(ticket).await.expect_err("too long");
        assert!(matches!(failed, ChannelError::TooLong { length: 1_001, limit: 1_000 }), "{failed}");
    }

    #[tokio::test]
    async fn an_answer_is_awaited_no_longer_than_the_clock_says() {
        let clock = Clock::manual(0);
        let (mut channel, _broker) = connected(&clock, 1_000).await;
        let ticket = channel.send(0, &DescribeClusterRequest::default()).await.expect("sent");
        let late = async {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(30));
        };
        let (received, ()) = tokio::join!(channel.receive(ticket), late);
        let failed = received.expect_err("nothing arrived");
        assert!(matches!(&failed, ChannelError::Io(error) if error.kind() == io::ErrorKind::TimedOut), "{failed}");
    }
}
