//! The syntax of `listeners`, `advertised.listeners` and `listener.security.protocol.map`.
//!
//! What people write is wider than Kafka's documentation: hosts are left out (`PLAINTEXT://:9092`), lists end in a
//! comma, names hold dashes (`TC-0`), addresses are IPv6 in brackets. All of it is read as Kafka reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::value::FromValue;

/// A host and a port, as written; what an empty host or port 0 means depends on where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HostPort {
    /// A name or an address; IPv6 without brackets; empty where none was given.
    pub host: String,
    /// The port; 0 where the operating system shall choose.
    pub port: u16,
}

impl HostPort {
    /// Whether the host stands for every interface of this machine, so that no client could connect to it.
    pub fn is_any_address(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

/// `host:port`, with brackets around IPv6.
impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl FromValue for HostPort {
    fn from_value(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unreadable = || format!("\"{text}\" is not of the form host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(unreadable)?;
        let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        let is_host = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte));
        if !is_host {
            return Err(unreadable());
        }
        let port = port.parse().map_err(|_| format!("\"{port}\" is not a port between 0 and 65535"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// How bytes travel on a listener (`listener.security.protocol.map`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// The number that Kafka gives the protocol in metadata records.
    pub fn id(self) -> i16 {
        match self {
            Self::Plaintext => 0,
            Self::Ssl => 1,
            Self::SaslPlaintext => 2,
            Self::SaslSsl => 3,
        }
    }

    const ALL: [Self; 4] = [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl];

    /// The protocol with that number, if there is one.
    pub fn of_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.id() == id)
    }

    /// The protocol that is written so, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.to_string() == name)
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        })
    }
}

impl FromValue for SecurityProtocol {
    fn from_value(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Ok(Self::Plaintext),
            "SSL" => Ok(Self::Ssl),
            "SASL_PLAINTEXT" => Ok(Self::SaslPlaintext),
            "SASL_SSL" => Ok(Self::SaslSsl),
            other => Err(format!("\"{other}\" is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL")),
        }
    }
}

/// A listener, with everything that several keys say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals.
    pub name: Arc<str>,
    /// Where to listen: an empty host is every interface, port 0 is the system's choice.
    pub bind: HostPort,
    /// What clients are told. An empty host stands for the address by which each client has come (see
    /// `api::told_address`), and port 0 for the port that was bound. `None` where `advertised.listeners` is set and leaves this listener out.
    pub advertised: Option<HostPort>,
    /// How bytes travel on it.
    pub protocol: SecurityProtocol,
}

/// A list of `NAME://host:port`, in the order written; names in capitals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ListenerList(pub(super) Vec<(Arc<str>, HostPort)>);

impl FromValue for ListenerList {
    fn from_value(text: &str) -> Result<Self, String> {
        let mut listeners: Vec<(Arc<str>, HostPort)> = Vec::new();
        for element in elements(text) {
            let (name, address) = element
                .split_once("://")
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("\"{element}\" is not of the form NAME://host:port"))?;
            let (name, address) = (name.to_ascii_uppercase().into(), HostPort::from_value(address)?);
            if listeners.iter().any(|(other, _)| *other == name) {
                return Err(format!("Each listener must have a different name, and {name} is there twice"));
            }
            listeners.push((name, address));
        }
        Ok(Self(listeners))
    }
}

/// Which protocol is spoken on the listener of each name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ProtocolMap(pub(super) BTreeMap<String, SecurityProtocol>);

impl FromValue for ProtocolMap {
    fn from_value(text: &str) -> Result<Self, String> {
        elements(text)
            .map(|element| {
                let (name, protocol) =
                    element.split_once(':').ok_or_else(|| format!("\"{element}\" is not of the form NAME:PROTOCOL"))?;
                Ok((name.trim().to_ascii_uppercase(), SecurityProtocol::from_value(protocol)?))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
}

fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(text: &str) -> Result<Vec<(String, String)>, String> {
        let list = ListenerList::from_value(text)?.0;
        Ok(list.into_iter().map(|(name, address)| (name.to_string(), address.to_string())).collect())
    }

    #[test]
    fn what_people_write_is_read() {
        let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
        assert_eq!(listeners("PLAINTEXT://:9092"), Ok(vec![pair("PLAINTEXT", ":9092")]));
        assert_eq!(
            listeners("TC-0://kafka:19092, plaintext://[::1]:9092 ,BROKER://10.0.0.1:0,"),
            Ok(vec![pair("TC-0", "kafka:19092"), pair("PLAINTEXT", "[::1]:9092"), pair("BROKER", "10.0.0.1:0")])
        );
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        for text in [
            "localhost:9092",
            "://localhost:9092",
            "A://localhost",
            "A://localhost:",
            "A://localhost:70000",
            "A://localhost:-1",
            "A://loc alhost:1",
            "A://one:1,a://two:2",
        ] {
            assert!(listeners(text).is_err(), "{text} was accepted");
        }
        assert!(ProtocolMap::from_value("A:PLAIN").is_err());
        assert!(ProtocolMap::from_value("A").is_err());
    }

    #[test]
    fn protocols_are_mapped_by_names_in_capitals() {
        let map = ProtocolMap::from_value("broker:plaintext, TC-0:SASL_SSL,").unwrap().0;
        assert_eq!(map["BROKER"], SecurityProtocol::Plaintext);
        assert_eq!(map["TC-0"], SecurityProtocol::SaslSsl);
    }
}
