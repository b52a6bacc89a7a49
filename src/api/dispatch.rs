//! What happens once around every handler: header, version check, decoding, authorisation, throttling, encoding.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Request;

use super::context::RequestContext;
use super::forwarding::{Forwarded, forward};
use super::reply::Reply;
use super::requester::Requester;
use super::response_errors::ErrorCodes;
use super::session::{Session, client_id};
use super::throttle_time::ThrottleTime;
use super::throttling::{Work, throttle, throttle_unanswered};
use super::{Api, ApiError, Place, api_versions, route};
use crate::broker::Broker;
use crate::clock::{Clock, Monotonic};
use crate::metrics::RequestMetrics;
use crate::network::{Answer, Asked, Endpoints, Handled, LogLimit, Service, Then};
use crate::protocol::frame::{Frame, Piece};
use crate::protocol::header::{RequestHeader, peek_api};
use crate::protocol::request::decode_request;
use crate::protocol::response::{LENGTH_SIZE, encode_response};
use crate::protocol::{EncodeError, ErrorCode};
use crate::security::{AllowEverything, Authorizer, Operation};

/// Serves the table's APIs on behalf of a broker.
#[derive(Debug)]
pub struct Dispatcher {
    broker: Arc<Broker>,
    clock: Clock,
    authorizer: Arc<dyn Authorizer>,
    unsupported_log: Mutex<LogLimit>,
}

impl Dispatcher {
    /// Serves `broker` to everybody; `clock` paces the log.
    pub fn new(broker: Arc<Broker>, clock: Clock) -> Self {
        Self::with_authorizer(broker, clock, Arc::new(AllowEverything))
    }

    /// Serves what `authorizer` allows.
    pub fn with_authorizer(broker: Arc<Broker>, clock: Clock, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { broker, clock, authorizer, unsupported_log: Mutex::default() }
    }

    async fn dispatch(&self, session: &mut Session, mut frame: Bytes) -> Result<Handled, ApiError> {
        let request_size = frame.len();
        // What may have to go to another node goes as it came.
        let connections = self.broker.controller.connections();
        let whole = connections.map(|connections| (connections, frame.clone()));
        let header = RequestHeader::decode(&mut frame)?;
        let api_versions = ApiKey::ApiVersions as i16;
        let requests = self.requests(header.api_key);
        match Api::of(header.api_key) {
            Some(api) if api.serves(header.api_version) && self.is_there(api, session) => {
                requests.inspect(|requests| requests.count(header.api_version));
                session.note(&header);
                let session: &Session = session;
                if let (Place::Controller, Some((connections, whole))) = (api.place, whole) {
                    match forward(connections, &session.requester(), &whole).await {
                        Forwarded::Answered(frame) => return Ok(Handled::Ready(frame.into())),
                        Forwarded::Refused(code) => {
                            return Err(ApiError::close(format!("the controller does not take its request: {code}")));
                        }
                        Forwarded::Here => {}
                    }
                }
                let meter = session.request_meter(&self.broker.quotas);
                let work = meter.map(|meter| Arc::new(Work::new(meter, self.clock.clone())));
                let call = Call {
                    broker: &self.broker,
                    session,
                    header: &header,
                    request_size,
                    body: frame,
                    work: work.as_ref(),
                    requests,
                    is_elsewhere: None,
                };
                match &work {
                    None => route(header.api_key, call).await,
                    Some(work) => work.carry_out(route(header.api_key, call)).await,
                }
            }
            _ if header.api_key == api_versions => {
                let response = api_versions::unsupported_version();
                requests.inspect(|requests| response.count_errors(&requests.errors));
                Ok(Handled::Ready(encode_response(header.correlation_id, 0, &response)?.into()))
            }
            api => Err(self.refuse(session, &header, api)),
        }
    }

    /// Whether the API is there for whoever comes by the session's listener.
    fn is_there(&self, api: &Api, session: &Session) -> bool {
        api.place != Place::Quorum || self.broker.is_controller_listener(session.listener())
    }

    /// What is counted of the requests of one API.
    fn requests(&self, api_key: i16) -> Option<&RequestMetrics> {
        Api::place(api_key).and_then(|place| self.broker.metrics.request(place))
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
                peer = %session.peer(),
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
        let counted = self.broker.metrics.connection(&endpoints.listener);
        Session::new(endpoints, Arc::clone(&self.authorizer), counted, Arc::clone(&self.broker.hints))
    }

    fn frame_limit(&self, _session: &Session, start: [u8; 4]) -> usize {
        let (api_key, _) = peek_api(start);
        Api::of(api_key).map_or(super::SMALL, |api| api.max_request_bytes)
    }

    async fn handle(&self, session: &mut Session, frame: Bytes) -> Handled {
        self.dispatch(session, frame).await.unwrap_or_else(|ApiError::Close(reason)| Handled::close(reason))
    }

    fn answered(&self, asked: Asked, now: Monotonic) {
        let (api_key, _) = peek_api(asked.start);
        if let Some(requests) = self.requests(api_key) {
            requests.duration.observe_between(asked.arrived, now);
        }
    }
}

fn api_name(api_key: i16) -> String {
    ApiKey::try_from(api_key).map_or_else(|()| "unknown".to_owned(), |key| format!("{key:?}"))
}

/// One request on its way through the table: what [`route`] needs to call a handler and to send its reply.
pub(super) struct Call<'a> {
    pub(super) broker: &'a Broker,
    session: &'a Session,
    header: &'a RequestHeader,
    request_size: usize,
    body: Bytes,
    /// Measures the handler, if some client has a quota of requests.
    work: Option<&'a Arc<Work>>,
    /// What is counted of the API's requests.
    requests: Option<&'a RequestMetrics>,
    /// Becomes true where the answer says that the controller is another node, for whom that concerns.
    is_elsewhere: Option<&'a Arc<AtomicBool>>,
}

/// Writes a response: correlation id, version, message.
type Encoder<T> = fn(i32, i16, &T) -> Result<Frame, EncodeError>;

impl Call<'_> {
    /// The body as a request of type `R`.
    pub(super) fn decode<R: Request>(&self) -> Result<R, ApiError> {
        let api_version = self.header.api_version;
        let decoded = decode_request::<R>(self.body.clone(), api_version).map_err(|error| {
            ApiError::close(format!(
                "it sent a malformed {} request of version {api_version}: {error}",
                api_name(R::KEY)
            ))
        })?;
        if decoded.surplus > 0 {
            let (surplus, peer) = (decoded.surplus, self.session.peer());
            tracing::debug!(api_key = R::KEY, surplus, %peer, "ignored bytes behind a request's body");
        }
        Ok(decoded.message)
    }

    /// The context for a handler that asks for itself, or that nothing is asked of.
    pub(super) fn admit(&self) -> RequestContext {
        self.session.context(self.header, self.request_size, self.work.cloned(), self.session.unasked())
    }

    /// The context for a handler that is called only where `operation` is allowed on the cluster.
    pub(super) fn ask(&self, operation: Operation) -> Result<RequestContext, ErrorCode> {
        Ok(self.session.context(
            self.header,
            self.request_size,
            self.work.cloned(),
            self.session.unasked().once(operation)?,
        ))
    }

    /// The reply as the network takes it.
    pub(super) fn answer<T>(&self, reply: Reply<T>, encode: Encoder<T>) -> Result<Handled, ApiError>
    where
        T: ThrottleTime + ErrorCodes + Send + 'static,
    {
        let (correlation_id, api_version) = (self.header.correlation_id, self.header.api_version);
        let is_elsewhere = self.is_elsewhere.cloned();
        let due = self.work.map(|work| work.due());
        Ok(match reply {
            Reply::None(throttle_time) => Handled::NoAnswer(throttle_unanswered(throttle_time, due.as_deref())),
            Reply::Ready(mut response) => {
                note_errors(&response, self.requests, is_elsewhere.as_deref());
                let then = throttle(&mut response, due.as_deref());
                Handled::Ready(Answer { frame: encode(correlation_id, api_version, &response)?, then })
            }
            Reply::Owed(response) => {
                let (metrics, place) = (Arc::clone(&self.broker.metrics), Api::place(self.header.api_key));
                Handled::Owed(Box::pin(async move {
                    let mut response = response.await;
                    let requests = place.and_then(|place| metrics.request(place));
                    note_errors(&response, requests, is_elsewhere.as_deref());
                    let then = throttle(&mut response, due.as_deref());
                    let frame = encode(correlation_id, api_version, &response).map_err(|error| error.to_string())?;
                    Ok(Answer { frame, then })
                }))
            }
            Reply::Last(response, reason) => {
                note_errors(&response, self.requests, is_elsewhere.as_deref());
                let frame = encode(correlation_id, api_version, &response)?;
                Handled::Ready(Answer { frame, then: Then::Close(reason) })
            }
        })
    }
}

fn note_errors(response: &impl ErrorCodes, requests: Option<&RequestMetrics>, is_elsewhere: Option<&AtomicBool>) {
    requests.inspect(|requests| response.count_errors(&requests.errors));
    if let Some(is_elsewhere) = is_elsewhere {
        response.each_error_code(&mut |code| {
            is_elsewhere.fetch_or(code == ErrorCode::NotController.code(), Ordering::Relaxed);
        });
    }
}

/// The answer, its header included, to a request that another broker has passed on, which came by `context`.
///
/// Errors: `NotController` where this node does not lead or did not to the end, and those by which Kafka's controller
/// refuses what is no request that may be passed on.
pub(super) fn unwrapped<'a>(
    broker: &'a Broker,
    context: &'a RequestContext,
    requester: Requester,
    frame: Bytes,
) -> Pin<Box<dyn Future<Output = Result<Bytes, ErrorCode>> + Send + 'a>> {
    Box::pin(async move {
        let mut body = frame;
        let request_size = body.len();
        let header = RequestHeader::decode(&mut body).map_err(|_| ErrorCode::InvalidRequest)?;
        let api = Api::of(header.api_key).filter(|api| api.place == Place::Controller);
        let api = api.ok_or(ErrorCode::InvalidRequest)?;
        if !api.serves(header.api_version) {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if !broker.is_controller() {
            return Err(ErrorCode::NotController);
        }
        let mut session = Session::of_forwarded(context, requester.principal, requester.host, broker);
        session.note(&header);
        let is_elsewhere = Arc::default();
        let call = Call {
            broker,
            session: &session,
            header: &header,
            request_size,
            body,
            work: None,
            requests: None,
            is_elsewhere: Some(&is_elsewhere),
        };
        let answer = match route(header.api_key, call).await {
            Ok(Handled::Ready(answer)) => answer,
            Ok(Handled::Owed(owed)) => owed.await.map_err(|_| ErrorCode::UnknownServerError)?,
            Ok(Handled::NoAnswer(_)) => return Err(ErrorCode::UnknownServerError),
            Err(ApiError::Close(reason)) => {
                tracing::info!(peer = %context.peer, "a request that was passed on has no answer: {reason}");
                return Err(ErrorCode::InvalidRequest);
            }
        };
        if is_elsewhere.load(Ordering::Relaxed) {
            return Err(ErrorCode::NotController);
        }
        Ok(without_length(answer.frame))
    })
}

/// A frame behind its length prefix. Nothing that the controller answers has parts in files.
fn without_length(frame: Frame) -> Bytes {
    let mut bytes = BytesMut::with_capacity(frame.size_in_bytes());
    for piece in frame.into_pieces() {
        if let Piece::Bytes(piece) = piece {
            bytes.extend_from_slice(&piece);
        }
    }
    bytes.freeze().slice(LENGTH_SIZE..)
}
