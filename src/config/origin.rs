//! Where a value came from.

use std::fmt;

/// Where a value came from, from the weakest to the strongest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// The program that starts the broker: what it has where nobody says otherwise.
    Program,
    /// A line of a configuration file.
    File {
        /// The file, as the user named it.
        name: String,
        /// The line, from 1.
        line: usize,
        /// The environment variables that its value was taken from.
        variables: Box<[String]>,
    },
    /// An environment variable.
    Variable(String),
    /// An argument, such as `--set` or `--listen`.
    Flag(&'static str),
    /// The dynamic configuration of all brokers.
    ClusterWide,
    /// The dynamic configuration of this broker.
    PerBroker,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Program => formatter.write_str("klamm start"),
            Self::File { name, line, variables } => {
                write!(formatter, "{name}:{line}")?;
                if variables.is_empty() { Ok(()) } else { write!(formatter, " (env {})", variables.join("; ")) }
            }
            Self::Variable(name) => write!(formatter, "env {name}"),
            Self::Flag(flag) => formatter.write_str(flag),
            Self::ClusterWide => formatter.write_str("the dynamic configuration of all brokers"),
            Self::PerBroker => formatter.write_str("the dynamic configuration of this broker"),
        }
    }
}
