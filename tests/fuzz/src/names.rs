//! The files that targets fill and seeds have. New names go to the end, because inputs name files by their number.

/// The recovery points of the partitions.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";

/// What makes the next start believe that nothing needs recovery.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// A partition: segments as the seeds have them, one at the end of all offsets, and what interrupted work leaves.
pub const PARTITION: &[&str] = &[
    "orders-0/00000000000000000000.log",
    "orders-0/00000000000000000000.index",
    "orders-0/00000000000000000000.timeindex",
    "orders-0/00000000000000000008.log",
    "orders-0/00000000000000000008.index",
    "orders-0/00000000000000000008.timeindex",
    "orders-0/00000000000000000008.snapshot",
    "orders-0/00000000000000000016.log",
    "orders-0/00000000000000000016.index",
    "orders-0/00000000000000000016.timeindex",
    "orders-0/00000000000000000016.snapshot",
    "orders-0/00000000000000000020.snapshot",
    "orders-0/leader-epoch-checkpoint",
    "orders-0/partition.metadata",
    RECOVERY_POINTS,
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    "orders-0/00000000000000000000.log.swap",
    "orders-0/00000000000000000008.log.swap",
    "orders-0/00000000000000000000.index.swap",
    "orders-0/00000000000000000000.log.cleaned",
    "orders-0/00000000000000000008.log.cleaned",
    "orders-0/00000000000000000000.log.deleted",
    "orders-0/00000000000000000000.txnindex",
    "orders-0/09223372036854775800.log",
    "orders-0/09223372036854775800.snapshot",
    "orders-0/leader-epoch-checkpoint.tmp",
];

/// What a data directory says about itself and its partitions, and the metadata log.
pub const CHECKPOINTS: &[&str] = &[
    "meta.properties",
    RECOVERY_POINTS,
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    CLEAN_SHUTDOWN,
    "orders-0/00000000000000000000.log",
    "orders-0/leader-epoch-checkpoint",
    "orders-0/partition.metadata",
    METADATA_LOG,
    METADATA_SNAPSHOT,
    METADATA_RECORDS,
];

/// The metadata log, where this package's programs put it.
pub const METADATA_LOG: &str = "metadata/log";

/// And its snapshot.
pub const METADATA_SNAPSHOT: &str = "metadata/snapshot";

/// No file of the broker, but what its metadata log's entries and snapshots hold.
pub const METADATA_RECORDS: &str = "metadata/records";
