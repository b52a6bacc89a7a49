//! A client that knows frames: what it costs beside the broker is little.

use std::error::Error;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
    unread: BytesMut,
}

impl Client {
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Outcome<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, answer: Vec::new(), unread: BytesMut::new() })
    }

    pub(crate) async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Outcome<R::Response> {
        self.exchange(&frame(version, request)?).await?;
        let mut answer = Bytes::copy_from_slice(&self.answer);
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        Ok(R::Response::decode(&mut answer, version)?)
    }

    /// Sends a frame and reads the answer, without its length, into `answer`.
    pub(crate) async fn exchange(&mut self, frame: &[u8]) -> Outcome<()> {
        self.stream.write_all(frame).await?;
        let size = self.stream.read_i32().await?;
        self.answer.resize(usize::try_from(size)?, 0);
        self.stream.read_exact(&mut self.answer).await?;
        Ok(())
    }

    /// Sends `count` frames at once and reads as many answers, each of which `look` is given without its length.
    pub(crate) async fn pipeline(&mut self, frames: &[u8], count: usize, mut look: impl FnMut(&[u8])) -> Outcome<()> {
        self.stream.write_all(frames).await?;
        for _ in 0..count {
            while self.unread.len() < 4 || self.unread.len() - 4 < self.next_size() {
                if self.stream.read_buf(&mut self.unread).await? == 0 {
                    return Err("the broker closed the connection".into());
                }
            }
            let size = self.next_size();
            self.unread.advance(4);
            look(&self.unread[..size]);
            self.unread.advance(size);
        }
        Ok(())
    }

    fn next_size(&self) -> usize {
        self.unread.first_chunk().map_or(0, |size| u32::from_be_bytes(*size) as usize)
    }
}

/// A request with its header, behind its length.
pub(crate) fn frame<R: Request>(version: i16, request: &R) -> Outcome<Bytes> {
    let mut body = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("c")))
        .encode(&mut body, R::header_version(version))?;
    request.encode(&mut body, version)?;
    let size = i32::try_from(body.remaining())?.to_be_bytes();
    Ok([&size[..], &body].concat().into())
}
