//! What a connection knows: who speaks, from where, with which software.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use kafka_protocol::messages::ApiKey;

use super::authorization::Authorized;
use super::context::{ClientSoftware, RequestContext};
use super::requester::Requester;
use super::throttling::Work;
use crate::broker::Broker;
use crate::broker::hints::Hints;
use crate::broker::quotas::{Meter, Quotas};
use crate::metrics::CountedConnection;
use crate::network::Endpoints;
use crate::protocol::header::RequestHeader;
use crate::quota::QuotaType;
use crate::security::{Authorizer, Principal};

/// What is remembered of a connection between its requests.
#[derive(Debug)]
pub struct Session {
    endpoints: Endpoints,
    principal: Arc<Principal>,
    authorizer: Arc<dyn Authorizer>,
    /// The latest request's client id; the next one shares it, as long as it is the same.
    client_id: Arc<str>,
    client_software: Arc<OnceLock<ClientSoftware>>,
    /// `None` where the client is connected to another broker.
    _counted: Option<CountedConnection>,
    hints: Arc<Hints>,
    /// Whether the client has asked for what only this broker can answer.
    has_arrived: bool,
}

/// What clients ask of any broker before they know which one they need, and to know it.
const ASKED_OF_ANY_BROKER: [ApiKey; 9] = [
    ApiKey::ApiVersions,
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::InitProducerId,
    ApiKey::DescribeCluster,
    ApiKey::SaslHandshake,
    ApiKey::SaslAuthenticate,
    ApiKey::GetTelemetrySubscriptions,
    ApiKey::PushTelemetry,
];

impl Session {
    /// A connection without authentication, which counts as open for as long as the session is there.
    pub(super) fn new(
        endpoints: Endpoints,
        authorizer: Arc<dyn Authorizer>,
        counted: CountedConnection,
        hints: Arc<Hints>,
    ) -> Self {
        Self {
            endpoints,
            principal: Arc::new(Principal::anonymous()),
            authorizer,
            client_id: Arc::default(),
            client_software: Arc::default(),
            _counted: Some(counted),
            hints,
            has_arrived: false,
        }
    }

    /// That of a client whose request another broker has passed on, by the connection of `context`.
    pub(super) fn of_forwarded(context: &RequestContext, principal: Principal, host: IpAddr, broker: &Broker) -> Self {
        // Nobody knows the client's port here, and nobody asks for it.
        let peer = SocketAddr::new(host, 0);
        Self {
            endpoints: Endpoints { listener: Arc::clone(&context.listener), peer, local: context.local },
            principal: Arc::new(principal),
            authorizer: Arc::clone(context.authorized.authorizer()),
            client_id: Arc::default(),
            client_software: Arc::default(),
            _counted: None,
            hints: Arc::clone(&broker.hints),
            has_arrived: true,
        }
    }

    /// Whom the connection speaks for, and from where.
    pub(super) fn requester(&self) -> Requester {
        Requester { principal: Principal::clone(&self.principal), host: self.endpoints.peer.ip() }
    }

    /// The name of the listener.
    pub(super) fn listener(&self) -> &str {
        &self.endpoints.listener
    }

    /// Notes what a request's header says of its sender.
    pub(super) fn note(&mut self, header: &RequestHeader) {
        let client_id = client_id(header);
        if *self.client_id != *client_id {
            self.client_id = client_id.into();
        }
        if !self.has_arrived && !ASKED_OF_ANY_BROKER.iter().any(|api| *api as i16 == header.api_key) {
            self.has_arrived = true;
            self.hints.arrived(self.endpoints.peer.ip());
        }
    }

    /// The session's own authorisation, of which nothing has been asked.
    pub(super) fn unasked(&self) -> Authorized {
        Authorized::unasked(&self.principal, self.endpoints.peer.ip(), &self.authorizer)
    }

    /// The facts around the request with `header`.
    pub(super) fn context(
        &self,
        header: &RequestHeader,
        request_size: usize,
        work: Option<Arc<Work>>,
        authorized: Authorized,
    ) -> RequestContext {
        RequestContext {
            authorized,
            work,
            listener: Arc::clone(&self.endpoints.listener),
            peer: self.endpoints.peer,
            local: self.endpoints.local,
            client_id: Arc::clone(&self.client_id),
            client_software: Arc::clone(&self.client_software),
            api_version: header.api_version,
            request_size,
            correlation_id: header.correlation_id,
        }
    }

    /// What measures this connection's requests, if some client has a quota of requests.
    pub(super) fn request_meter(&self, quotas: &Arc<Quotas>) -> Option<Meter> {
        quotas.meter(QuotaType::Request, &self.principal, &self.client_id)
    }

    /// The client's address.
    pub(super) fn peer(&self) -> SocketAddr {
        self.endpoints.peer
    }

    /// The client's software, to be shown.
    pub(super) fn software(&self) -> impl fmt::Display {
        let software = Arc::clone(&self.client_software);
        fmt::from_fn(move |formatter| match software.get() {
            Some(ClientSoftware { name, version }) => write!(formatter, "{name}/{version}"),
            None => formatter.write_str("unknown software"),
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.has_arrived {
            self.hints.closed(self.endpoints.peer);
        }
    }
}

/// The header's client id; Kafka does not insist on UTF-8 in it.
pub(super) fn client_id(header: &RequestHeader) -> Cow<'_, str> {
    header.client_id.as_deref().map_or(Cow::Borrowed(""), String::from_utf8_lossy)
}
