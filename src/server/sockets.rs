//! The ports of one broker, taken before anything else is done.

use crate::config::{Config, HostPort, Listener, Origin, SecurityProtocol};
use crate::network::{BindError, BoundListener};

use super::StartError;

/// The name of HTTP's listener, in what a person reads.
pub(super) const HTTP: &str = "HTTP";

/// Connections that wait to be accepted by HTTP.
const HTTP_BACKLOG: i32 = 64;

/// What listens, and accepts nothing yet.
pub(super) struct Sockets {
    /// For clients and other brokers, in the order of the configuration.
    pub(super) listeners: Vec<BoundListener>,
    /// For the other controllers, if there are any.
    pub(super) controllers: Option<BoundListener>,
    pub(super) http: Option<BoundListener>,
}

impl Sockets {
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let listeners = config.listeners.iter().map(|listener| bind(config, listener)).collect::<Result<_, _>>()?;
        let controllers = config.controller_listener.as_ref().map(|listener| bind(config, listener)).transpose()?;
        Ok(Self { listeners, controllers, http: bind_http(config)? })
    }
}

pub(super) fn bind(config: &Config, listener: &Listener) -> Result<BoundListener, StartError> {
    BoundListener::bind(listener, config.broker.socket_listen_backlog_size)
        .map_err(|error| StartError::bind(&listener.name, &listener.bind.to_string(), error))
}

/// A listener in plain text that nobody is told of.
pub(super) fn unadvertised(name: &str, bind: HostPort) -> Listener {
    Listener { name: name.into(), bind, advertised: None, protocol: SecurityProtocol::Plaintext }
}

/// `None` where no HTTP is wanted, or where nobody asked for it and something else has its port.
pub(super) fn bind_http(config: &Config) -> Result<Option<BoundListener>, StartError> {
    let Some(bind) = &config.http else { return Ok(None) };
    match BoundListener::bind(&unadvertised(HTTP, bind.clone()), HTTP_BACKLOG) {
        Ok(bound) => Ok(Some(bound)),
        Err(BindError::InUse { address, .. }) if config.origin("klamm.http.bind") == Origin::Program => {
            tracing::info!(%address, "health and metrics are not served by HTTP: something else has the port");
            Ok(None)
        }
        Err(error) => Err(StartError::bind(HTTP, &bind.to_string(), error)),
    }
}
