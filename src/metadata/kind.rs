//! The type bytes of records: each kind once, so that no two can be the same.

/// Declares the kinds with their bytes, and a list of all of them.
macro_rules! kinds {
    ($($kind:ident = $byte:literal,)*) => {
        /// What a record is about, by the byte that stands for it on the log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum RecordKind {
            $($kind = $byte,)*
        }

        impl RecordKind {
            /// Every kind, by its byte.
            pub(super) const ALL: &[Self] = &[$(Self::$kind,)*];
        }
    };
}

// A byte, once given, is never given to another kind: it is in the logs of those who upgrade.
kinds! {
    ClusterId = 1,
    FeatureLevel = 2,
    RegisterBroker = 3,
    BrokerChange = 4,
    Topic = 5,
    Partition = 6,
    PartitionChange = 7,
    RemoveTopic = 8,
    TopicConfig = 9,
    ProducerIds = 10,
    Config = 11,
    ClientQuota = 12,
    UserScramCredential = 13,
    RemoveUserScramCredential = 14,
    UnregisterBroker = 15,
    UsedBrokerEpoch = 16,
}

impl RecordKind {
    /// The newest version that this program reads.
    pub(super) fn last_version(self) -> u8 {
        match self {
            Self::RegisterBroker | Self::BrokerChange | Self::Partition | Self::PartitionChange => 1,
            _ => 0,
        }
    }

    /// The kind that `byte` stands for.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u8 == byte)
    }
}
