//! The way to another node: typed requests out, typed responses back.

use std::collections::HashMap;
use std::io;
use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::protocol::{DecodeError, EncodeError};

/// Why a conversation failed; the connection is of no further use.
#[derive(Debug, Error)]
pub enum ChannelError {
    /// The connection broke or was never made.
    #[error(transparent)]
    Io(#[from] io::Error),
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
    /// Answers that arrived before they were asked for.
    arrived: HashMap<i32, Bytes>,
    /// What ApiVersions told: key to oldest and newest version.
    versions: HashMap<i16, (i16, i16)>,
}

impl Channel {
    /// Connects, without sending anything yet.
    pub async fn connect(address: impl ToSocketAddrs, client_id: &str) -> Result<Self, ChannelError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
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
        self.stream.write_all(&frame).await?;
        Ok(Ticket { correlation_id, api_version, request: PhantomData })
    }

    /// Awaits the answer to a request; answers to others are kept for their tickets.
    pub async fn receive<R: Request>(&mut self, ticket: Ticket<R>) -> Result<R::Response, ChannelError> {
        let mut body = loop {
            if let Some(body) = self.arrived.remove(&ticket.correlation_id) {
                break body;
            }
            let mut frame = self.read_frame().await?;
            let correlation_id = frame.try_get_i32().map_err(|error| malformed(&error))?;
            self.arrived.insert(correlation_id, frame);
        };
        if R::Response::header_version(ticket.api_version) >= 1 {
            // Behind the correlation id, which is taken off already, the header has tagged fields only.
            let mut header = Bytes::from_static(&[0; 4]).chain(body.as_ref());
            let mut whole = header.copy_to_bytes(header.remaining());
            ResponseHeader::decode(&mut whole, 1).map_err(|error| malformed(&error))?;
            body.advance(body.len() - whole.len());
        }
        Ok(R::Response::decode(&mut body, ticket.api_version).map_err(|error| malformed(&error))?)
    }

    async fn version_of<R: Request>(&mut self, at_most: i16) -> Result<i16, ChannelError> {
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
        loop {
            if let Some(prefix) = self.buffer.first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*prefix)).map_err(|error| malformed(&error))?;
                if self.buffer.len() - 4 >= length {
                    self.buffer.advance(4);
                    return Ok(self.buffer.split_to(length).freeze());
                }
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
