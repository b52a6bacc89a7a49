//! Who a connection speaks for.

use std::fmt;

/// The type of every principal that Kafka's own mechanisms give out.
const USER_TYPE: &str = "User";

/// The name of whoever has not said who they are.
const ANONYMOUS_NAME: &str = "ANONYMOUS";

/// An identity, as ACLs and quotas name it (`KafkaPrincipal`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// `User`, in everything that Kafka itself does.
    pub principal_type: Box<str>,
    /// The name within its type.
    pub name: Box<str>,
}

impl Principal {
    /// The principal of connections without authentication: `User:ANONYMOUS`.
    pub fn anonymous() -> Self {
        Self { principal_type: USER_TYPE.into(), name: ANONYMOUS_NAME.into() }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.principal_type, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_kafka_writes_it() {
        assert_eq!(Principal::anonymous().to_string(), "User:ANONYMOUS");
    }
}
