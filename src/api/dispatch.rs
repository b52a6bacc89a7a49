//! What happens once around every handler: header, version check, decoding, encoding.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Request;

use super::context::{ClientSoftware, RequestContext};
use super::reply::Reply;
use super::{Api, ApiError, api_versions, route};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::network::{Endpoints, Handled, LogLimit, Service};
use crate::protocol::EncodeError;
use crate::protocol::frame::Frame;
use crate::protocol::header::{RequestHeader, peek_api};
use crate::protocol::request::decode_request;
use crate::protocol::response::encode_response;

/// Serves the table's APIs on behalf of a broker.
#[derive(Debug)]
pub struct Dispatcher {
    broker: Arc<Broker>,
    clock: Clock,
    unsupported_log: Mutex<LogLimit>,
}

impl Dispatcher {
    /// Serves `broker`; `clock` paces the log.
    pub fn new(broker: Arc<Broker>, clock: Clock) -> Self {
        Self { broker, clock, unsupported_log: Mutex::default() }
    }

    async fn dispatch(&self, session: &mut Session, mut frame: Bytes) -> Result<Handled, ApiError> {
        let header = RequestHeader::decode(&mut frame)?;
        let api_versions = ApiKey::ApiVersions as i16;
        match Api::of(header.api_key) {
            Some(api) if api.serves(header.api_version) => {
                let context = session.context(&header);
                let call = Call { broker: &self.broker, context: &context, body: frame };
                route(header.api_key, call).await
            }
            _ if header.api_key == api_versions => {
                let response = api_versions::unsupported_version();
                Ok(Handled::Ready(encode_response(header.correlation_id, 0, &response)?))
            }
            api => Err(self.refuse(session, &header, api)),
        }
    }

    /// Kafka closes such connections without a word; one line says what the client wanted and what it may have.
    fn refuse(&self, session: &Session, header: &RequestHeader, api: Option<&Api>) -> ApiError {
        let now = self.clock.monotonic();
        let allowed = self.unsupported_log.lock().unwrap_or_else(PoisonError::into_inner).allow(now);
        if let Some(suppressed) = allowed {
            let served = api.map_or_else(
                || Cow::Borrowed("this API is not served"),
                |api| Cow::Owned(format!("versions {} to {} are served", api.min_version, api.max_version)),
            );
            tracing::warn!(
                client = %session.software(),
                client_id = %client_id(header),
                peer = %session.endpoints.peer,
                api = %api_name(header.api_key),
                api_key = header.api_key,
                api_version = header.api_version,
                suppressed,
                "closing a connection that sent an unsupported request: {served}"
            );
        }
        ApiError::close("unsupported API key or version")
    }
}

impl Service for Dispatcher {
    type Session = Session;

    fn open(&self, endpoints: Endpoints) -> Session {
        Session { endpoints, client_id: Arc::default(), client_software: Arc::default() }
    }

    fn frame_limit(&self, _session: &Session, start: [u8; 4]) -> usize {
        let (api_key, _) = peek_api(start);
        Api::of(api_key).map_or(super::SMALL, |api| api.max_request_bytes)
    }

    async fn handle(&self, session: &mut Session, frame: Bytes) -> Handled {
        self.dispatch(session, frame).await.unwrap_or_else(|ApiError::Close(reason)| Handled::Close(reason))
    }
}

/// What is remembered of a connection between its requests.
#[derive(Debug)]
pub struct Session {
    endpoints: Endpoints,
    /// The latest request's client id; the next one shares it, as long as it is the same.
    client_id: Arc<str>,
    client_software: Arc<OnceLock<ClientSoftware>>,
}

impl Session {
    fn context(&mut self, header: &RequestHeader) -> RequestContext {
        let client_id = client_id(header);
        if *self.client_id != *client_id {
            self.client_id = client_id.into();
        }
        RequestContext {
            listener: Arc::clone(&self.endpoints.listener),
            peer: self.endpoints.peer,
            local: self.endpoints.local,
            client_id: Arc::clone(&self.client_id),
            client_software: Arc::clone(&self.client_software),
            api_version: header.api_version,
            correlation_id: header.correlation_id,
        }
    }

    fn software(&self) -> impl fmt::Display {
        let software = Arc::clone(&self.client_software);
        fmt::from_fn(move |formatter| match software.get() {
            Some(ClientSoftware { name, version }) => write!(formatter, "{name}/{version}"),
            None => formatter.write_str("unknown software"),
        })
    }
}

fn client_id(header: &RequestHeader) -> Cow<'_, str> {
    header.client_id.as_deref().map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}

fn api_name(api_key: i16) -> String {
    ApiKey::try_from(api_key).map_or_else(|()| "unknown".to_owned(), |key| format!("{key:?}"))
}

/// One request on its way through the table: what [`route`] needs to call a handler and to send its reply.
pub(super) struct Call<'a> {
    pub(super) broker: &'a Broker,
    pub(super) context: &'a RequestContext,
    body: Bytes,
}

/// Writes a response: correlation id, version, message.
type Encoder<T> = fn(i32, i16, &T) -> Result<Frame, EncodeError>;

impl Call<'_> {
    /// The body as a request of type `R`.
    pub(super) fn decode<R: Request>(&self) -> Result<R, ApiError> {
        let api_version = self.context.api_version;
        let decoded = decode_request::<R>(self.body.clone(), api_version).map_err(|error| {
            ApiError::close(format!(
                "it sent a malformed {} request of version {api_version}: {error}",
                api_name(R::KEY)
            ))
        })?;
        if decoded.surplus > 0 {
            let (surplus, peer) = (decoded.surplus, self.context.peer);
            tracing::debug!(api_key = R::KEY, surplus, %peer, "ignored bytes behind a request's body");
        }
        Ok(decoded.message)
    }

    /// The reply as the network takes it.
    pub(super) fn answer<T: Send + 'static>(&self, reply: Reply<T>, encode: Encoder<T>) -> Result<Handled, ApiError> {
        let (correlation_id, api_version) = (self.context.correlation_id, self.context.api_version);
        Ok(match reply {
            Reply::None => Handled::NoAnswer,
            Reply::Ready(response) => Handled::Ready(encode(correlation_id, api_version, &response)?),
            Reply::Owed(response) => Handled::Owed(Box::pin(async move {
                encode(correlation_id, api_version, &response.await).map_err(|error| error.to_string().into())
            })),
        })
    }
}
