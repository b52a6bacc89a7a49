//! The loggers of the process that a broker runs in, as its clients see and set them (KIP-412).
//!
//! Logging belongs to the process, not to one of its brokers: whoever starts a broker hands it what it may set, or nothing.

use std::collections::BTreeMap;
use std::fmt;

/// The name of the logger that the others have their level from.
pub const ROOT_LOGGER: &str = "root";

/// From when on something is logged; Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing is: there is no such level here.
    Fatal,
    /// What somebody must look at.
    Error,
    /// What may need a look.
    Warn,
    /// What happens now and then.
    Info,
    /// What explains a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Every level, in the order of their names.
    pub const ALL: [Self; 6] = [Self::Debug, Self::Error, Self::Fatal, Self::Info, Self::Trace, Self::Warn];

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }

    /// The level of that name, in capitals.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What can be told of the loggers, and done to them.
pub trait Loggers: fmt::Debug + Send + Sync {
    /// Every logger, [`ROOT_LOGGER`] among them, with the level that holds for it.
    fn levels(&self) -> BTreeMap<String, LogLevel>;

    /// Gives loggers these levels; one without a level has again that of the logger above it.
    fn set(&self, changes: &[(String, Option<LogLevel>)]);
}
