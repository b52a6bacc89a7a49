//! The table: every key once, with Kafka's name, type, default and bounds, and what it decides.
//!
//! Everything else about configuration follows from it: validation of files, flags and of what clients ask for, the typed
//! structs, the defaults of topics and groups, what DescribeConfigs tells, `config/klamm.reference.yaml`. A topic's or a
//! group's key stands in the row of the broker key that is its default; where several broker keys are the default of one
//! topic key, the first one that has a value counts, in the order given here. Defaults, importance and update modes are
//! those of Apache Kafka 4.1, except where a comment begins with `Unlike Kafka,`; a row that says nothing of them is of
//! medium importance and read-only.

use super::key::{Key, Scope};
use super::value::{Kind, Valid};

const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_HOUR: i64 = 3_600_000;
/// 2^63 - 1: never, or without bound.
const NEVER: &str = "9223372036854775807";
/// 2^31 - 1: as many as there may be.
const UNBOUNDED: &str = "2147483647";
const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// The section of the table that a key stands in, for the reference file.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// What the keys are about.
    pub title: &'static str,
    /// The keys, in the order of the reference file.
    pub keys: &'static [Key],
}

/// All keys, by section.
pub static SECTIONS: &[Section] = &[
    Section { title: "Node and listeners", keys: NODE },
    Section { title: "Connections and requests", keys: NETWORK },
    Section { title: "Topics", keys: TOPICS },
    Section { title: "Log: segments and retention", keys: LOG },
    Section { title: "Log: messages", keys: MESSAGES },
    Section { title: "Log: flushing", keys: FLUSH },
    Section { title: "Log: compaction", keys: COMPACTION },
    Section { title: "Consumer groups and offsets", keys: GROUPS },
    Section { title: "The groups of KIP-848, KIP-932 and KIP-1071", keys: NEW_GROUPS },
    Section { title: "Producer ids and transactions", keys: TRANSACTIONS },
    Section { title: "Replication", keys: REPLICATION },
    Section { title: "Controller and metadata", keys: CONTROLLER },
    Section { title: "Kafka's threads, quotas and metrics", keys: RUNTIME },
    Section { title: "Topic keys without a broker-wide default", keys: TOPIC_ONLY },
    Section { title: "Group keys without a broker-wide default", keys: GROUP_ONLY },
    Section { title: "Client metrics subscriptions", keys: CLIENT_METRICS },
    Section { title: "Throttles, which are set while a broker runs", keys: DYNAMIC_ONLY },
];

const NODE: &[Key] = &[
    // Unlike Kafka, a node id is not required: a single broker is node 1.
    Key::int("node.id", "1", "The id of this node, unique in its cluster.").at_least(0).high(),
    Key::int("broker.id", "-1", "The older name of node.id; where both are set they must be equal.").high(),
    Key::list("process.roles", "broker,controller", "The roles of this node; one process is always both.")
        .one_of(&["broker", "controller"])
        .high(),
    // Unlike Kafka, which listens on every interface: a broker that nobody configured, and that asks nobody for a
    // password, is reachable from this machine only.
    // Unlike Kafka, which opens and closes listeners while it runs, these two hold from the start to the stop.
    Key::string("listeners", "PLAINTEXT://localhost:9092", "Where to listen: NAME://host:port, separated by commas.")
        .high(),
    Key::unset(
        Kind::String,
        "advertised.listeners",
        "What clients are told to connect to, per listener; by default where it listens, or how each has come.",
    )
    .high(),
    Key::string(
        "listener.security.protocol.map",
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "The protocol spoken on the listener of each name; PLAINTEXT is the one that is served.",
    )
    .low(),
    Key::unset(Kind::String, "inter.broker.listener.name", "The listener that brokers use among themselves."),
    Key::string("security.inter.broker.protocol", "PLAINTEXT", "The protocol that brokers use among themselves.")
        .one_of(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        .no_effect(),
    Key::unset(
        Kind::String,
        "controller.listener.names",
        "The listeners that only controllers talk on; opened where controller.quorum.voters names other nodes.",
    )
    .high(),
    Key::unset(Kind::String, "early.start.listeners", "Listeners to open before the broker is ready.")
        .high()
        .no_effect(),
    Key::unset(Kind::String, "broker.rack", "The rack, or zone, that this broker is in, as Metadata reports it."),
    // Unlike Kafka, whose default /tmp/kafka-logs may be emptied at any boot.
    Key::string("log.dir", "./data", "The data directories, where log.dirs is not set.").high(),
    Key::unset(
        Kind::String,
        "log.dirs",
        "The data directories, by commas; a new partition is put where the fewest are.",
    )
    .high(),
    Key::unset(Kind::String, "klamm.cluster.id", "The id that a new cluster gets; a random one where it is not set.")
        .low(),
    Key::list(
        "klamm.create.topics",
        "",
        "Topics to create at the start unless they are there: name:partitions:replicas:cleanup.policy, by commas.",
    ),
    Key::unset(
        Kind::String,
        "klamm.http.bind",
        "Where health and metrics are served by HTTP, host:port; klamm start has localhost:9021. Set to nothing: nowhere.",
    ),
    Key::string(
        "klamm.log.format",
        "plain",
        "How the log is written: in lines for people, or in one JSON object per line.",
    )
    .one_of(&["plain", "json"]),
    Key::string(
        "klamm.log.level",
        "info",
        "What is logged: a level (off, error, warn, info, debug, trace), and levels of loggers, such as \
         warn,klamm::network=debug.",
    ),
    Key::boolean(
        "klamm.metrics.per.partition",
        "true",
        "Whether /metrics has series for each partition, which are too many for some where there are very many.",
    )
    .low(),
    Key::string("klamm.storage.kind", "disk", "Where data is kept: on disk, or in memory until the process ends.")
        .one_of(&["disk", "memory"]),
];

const NETWORK: &[Key] = &[
    Key::int("max.connections", UNBOUNDED, "How many connections the broker accepts in all.")
        .at_least(0)
        .cluster_wide(),
    Key::int("max.connections.per.ip", UNBOUNDED, "How many connections it accepts from one address.")
        .at_least(0)
        .cluster_wide(),
    Key::string("max.connections.per.ip.overrides", "", "Other limits for some addresses: host:count, by commas.")
        .cluster_wide()
        .no_effect(),
    Key::int("max.connection.creation.rate", UNBOUNDED, "How many connections it accepts in a second.")
        .at_least(0)
        .cluster_wide()
        .no_effect(),
    Key::long("connections.max.idle.ms", "600000", "How long a connection may be silent before it is closed."),
    Key::long(
        "connections.max.reauth.ms",
        "0",
        "How long an authentication lasts; 0 is for as long as the connection.",
    )
    .no_effect(),
    Key::int(
        "connection.failed.authentication.delay.ms",
        "100",
        "How long a failed authentication waits for its answer.",
    )
    .at_least(0)
    .low()
    .no_effect(),
    Key::int("socket.request.max.bytes", "104857600", "The largest request that is read.").at_least(1).high(),
    Key::int("socket.send.buffer.bytes", "102400", "The socket's send buffer; -1 leaves it to the system.")
        .high()
        .no_effect(),
    Key::int("socket.receive.buffer.bytes", "102400", "The socket's receive buffer; -1 leaves it to the system.")
        .high()
        .no_effect(),
    Key::int("socket.listen.backlog.size", "50", "How many connections may wait to be accepted.").at_least(1),
    Key::long(
        "socket.connection.setup.timeout.ms",
        "10000",
        "How long a connection to another node may take at first.",
    )
    .no_effect(),
    Key::long("socket.connection.setup.timeout.max.ms", "30000", "How long it may take after several failures.")
        .no_effect(),
    Key::int("fetch.max.bytes", "57671680", "The most bytes that one Fetch answer holds.").at_least(1024),
    Key::int("max.incremental.fetch.session.cache.slots", "1000", "How many fetch sessions are remembered.")
        .at_least(0),
    Key::int(
        "max.request.partition.size.limit",
        "2000",
        "The most partitions that DescribeTopicPartitions answers at once.",
    )
    .at_least(1),
    Key::int("queued.max.requests", "500", "How many requests Kafka queues between its threads.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::long("queued.max.request.bytes", "-1", "How many bytes of requests Kafka queues between its threads.")
        .no_effect(),
    Key::int("request.timeout.ms", "30000", "How long this node waits for others, in work of its own.").high(),
    Key::int("fetch.purgatory.purge.interval.requests", "1000", "How often Kafka sweeps its waiting fetches.")
        .no_effect(),
    Key::int("producer.purgatory.purge.interval.requests", "1000", "How often Kafka sweeps its waiting produces.")
        .no_effect(),
    Key::int("delete.records.purgatory.purge.interval.requests", "1", "How often Kafka sweeps its waiting deletions.")
        .no_effect(),
    Key::int(
        "share.fetch.purgatory.purge.interval.requests",
        "1000",
        "How often Kafka sweeps its waiting share fetches.",
    )
    .no_effect(),
];

const TOPICS: &[Key] = &[
    Key::boolean("auto.create.topics.enable", "true", "Whether a client that asks for an unknown topic creates it.")
        .high(),
    Key::boolean("delete.topic.enable", "true", "Whether topics may be deleted.").high(),
    Key::int("num.partitions", "1", "The partitions of a topic whose creator does not say how many.").at_least(1),
    Key::int("default.replication.factor", "1", "The replicas of a topic whose creator does not say how many."),
    Key::int("min.insync.replicas", "1", "How many in-sync replicas a write with acks=all needs.")
        .at_least(1)
        .for_topics("min.insync.replicas")
        .high()
        .cluster_wide(),
    Key::boolean(
        "unclean.leader.election.enable",
        "false",
        "Whether a replica that is not in sync may become the leader, at the price of losing records.",
    )
    .for_topics("unclean.leader.election.enable")
    .high()
    .cluster_wide(),
    Key::unset(
        Kind::Class,
        "create.topic.policy.class.name",
        "A Java class that judges new topics; there is none here.",
    )
    .low()
    .no_effect(),
    Key::unset(
        Kind::Class,
        "alter.config.policy.class.name",
        "A Java class that judges new configs; there is none here.",
    )
    .low()
    .no_effect(),
];

const LOG: &[Key] = &[
    Key::int("log.segment.bytes", "1073741824", "The size at which a segment is closed and the next begun.")
        .at_least(1_048_576)
        .for_topics("segment.bytes")
        .high()
        .cluster_wide(),
    Key::unset(Kind::Long, "log.roll.ms", "The age at which a segment is closed and the next begun.")
        .at_least(1)
        .for_topics("segment.ms")
        .high()
        .cluster_wide(),
    Key::int("log.roll.hours", "168", "The same in hours, where log.roll.ms is not set.")
        .at_least(1)
        .for_topics_times("segment.ms", MS_PER_HOUR)
        .high(),
    Key::unset(Kind::Long, "log.roll.jitter.ms", "The most that is taken at random from that age.")
        .at_least(0)
        .for_topics("segment.jitter.ms")
        .high()
        .cluster_wide(),
    Key::int("log.roll.jitter.hours", "0", "The same in hours, where log.roll.jitter.ms is not set.")
        .at_least(0)
        .for_topics_times("segment.jitter.ms", MS_PER_HOUR)
        .high(),
    Key::int(
        "log.index.size.max.bytes",
        "10485760",
        "The most bytes of an index; a segment whose index is full is closed.",
    )
    .at_least(4)
    .for_topics("segment.index.bytes")
    .cluster_wide(),
    Key::int("log.index.interval.bytes", "4096", "How many bytes of records lie between two entries of an index.")
        .at_least(0)
        .for_topics("index.interval.bytes")
        .cluster_wide(),
    Key::boolean("log.preallocate", "false", "Whether a new segment reserves its whole size on disk.")
        .for_topics("preallocate")
        .cluster_wide()
        .no_effect(),
    Key::list("log.cleanup.policy", "delete", "What happens to old segments: delete, compact, or both.")
        .one_of(&["compact", "delete"])
        .for_topics("cleanup.policy")
        .cluster_wide(),
    Key::unset(Kind::Long, "log.retention.ms", "The age at which a closed segment is deleted; -1 is never.")
        .at_least(-1)
        .for_topics("retention.ms")
        .high()
        .cluster_wide(),
    Key::unset(Kind::Int, "log.retention.minutes", "The same in minutes, where log.retention.ms is not set.")
        .for_topics_times("retention.ms", MS_PER_MINUTE)
        .high(),
    Key::int("log.retention.hours", "168", "The same in hours, where neither of them is set.")
        .for_topics_times("retention.ms", MS_PER_HOUR)
        .high(),
    Key::long(
        "log.retention.bytes",
        "-1",
        "The size of a partition beyond which old segments are deleted; -1 is never.",
    )
    .for_topics("retention.bytes")
    .high()
    .cluster_wide(),
    Key::long("log.local.retention.ms", "-2", "As retention.ms, for what tiered storage keeps locally.")
        .at_least(-2)
        .for_topics("local.retention.ms")
        .cluster_wide()
        .no_effect(),
    Key::long("log.local.retention.bytes", "-2", "As retention.bytes, for what tiered storage keeps locally.")
        .at_least(-2)
        .for_topics("local.retention.bytes")
        .cluster_wide()
        .no_effect(),
    Key::long("log.retention.check.interval.ms", "300000", "How often segments are checked for deletion.").at_least(1),
    Key::long("log.segment.delete.delay.ms", "60000", "How long the files of a deleted segment stay for readers.")
        .at_least(0)
        .for_topics("file.delete.delay.ms")
        .high()
        .cluster_wide(),
    Key::long("log.initial.task.delay.ms", "30000", "How long after the start the first of these checks comes.")
        .at_least(0)
        .low()
        .internal()
        .no_effect(),
    Key::long("log.dir.failure.timeout.ms", "30000", "How long a failed data directory may stay unreported.")
        .at_least(1)
        .low()
        .no_effect(),
    Key::int("num.recovery.threads.per.data.dir", "2", "How many threads load logs at a start.")
        .at_least(1)
        .high()
        .cluster_wide(),
    Key::unset(
        Kind::Int,
        "num.replica.alter.log.dirs.threads",
        "Threads that move replicas between data directories; as many as there are directories where it is not set.",
    )
    .high(),
];

const MESSAGES: &[Key] = &[
    Key::int("message.max.bytes", "1048588", "The largest record batch that is accepted, as it arrives.")
        .at_least(0)
        .for_topics("max.message.bytes")
        .high()
        .cluster_wide(),
    Key::string("compression.type", "producer", "The compression that records are kept in; producer is as they came.")
        .one_of(COMPRESSION_TYPES)
        .for_topics("compression.type")
        .high()
        .cluster_wide(),
    Key::int("compression.gzip.level", "-1", "How hard gzip tries.")
        .valid(Valid::BetweenOr(1, 9, -1))
        .for_topics("compression.gzip.level")
        .cluster_wide()
        .no_effect(),
    Key::int("compression.lz4.level", "9", "How hard lz4 tries.")
        .valid(Valid::Between(1, 17))
        .for_topics("compression.lz4.level")
        .cluster_wide()
        .no_effect(),
    Key::int("compression.zstd.level", "3", "How hard zstd tries.")
        .valid(Valid::Between(-131_072, 22))
        .for_topics("compression.zstd.level")
        .cluster_wide()
        .no_effect(),
    Key::string(
        "log.message.timestamp.type",
        "CreateTime",
        "Whose clock a record's timestamp is: the producer's or ours.",
    )
    .one_of(&["CreateTime", "LogAppendTime"])
    .for_topics("message.timestamp.type")
    .cluster_wide(),
    Key::long("log.message.timestamp.before.max.ms", NEVER, "How far a producer's timestamp may lie in the past.")
        .at_least(0)
        .for_topics("message.timestamp.before.max.ms")
        .cluster_wide(),
    Key::long("log.message.timestamp.after.max.ms", "3600000", "How far a producer's timestamp may lie in the future.")
        .at_least(0)
        .for_topics("message.timestamp.after.max.ms")
        .cluster_wide(),
];

const FLUSH: &[Key] = &[
    Key::long(
        "log.flush.interval.messages",
        NEVER,
        "After how many records a partition is written through to the disk.",
    )
    .at_least(1)
    .for_topics("flush.messages")
    .high()
    .cluster_wide(),
    Key::unset(Kind::Long, "log.flush.interval.ms", "After how long a partition is written through to the disk.")
        .at_least(0)
        .for_topics("flush.ms")
        .high()
        .cluster_wide(),
    Key::long(
        "log.flush.scheduler.interval.ms",
        NEVER,
        "How often that is checked; also the default of log.flush.interval.ms.",
    )
    .for_topics("flush.ms")
    .high(),
    Key::int("log.flush.offset.checkpoint.interval.ms", "60000", "How often recovery points are written down.")
        .at_least(0)
        .high(),
    Key::int("log.flush.start.offset.checkpoint.interval.ms", "60000", "How often log start offsets are written down.")
        .at_least(0)
        .high()
        .no_effect(),
];

const COMPACTION: &[Key] = &[
    Key::boolean("log.cleaner.enable", "true", "Whether logs are compacted at all."),
    Key::int("log.cleaner.threads", "1", "How many threads compact.").at_least(0).cluster_wide(),
    Key::double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", "How fast they read and write.")
        .cluster_wide(),
    Key::long("log.cleaner.dedupe.buffer.size", "134217728", "The memory for the keys of what is being compacted.")
        .cluster_wide(),
    Key::int("log.cleaner.io.buffer.size", "524288", "The memory for reading and writing.").at_least(0).cluster_wide(),
    Key::double("log.cleaner.io.buffer.load.factor", "0.9", "How full the memory for keys may get.").cluster_wide(),
    Key::long("log.cleaner.backoff.ms", "15000", "How long compaction rests when there is nothing to do.")
        .at_least(0)
        .cluster_wide(),
    Key::double("log.cleaner.min.cleanable.ratio", "0.5", "The share of a log that must be uncompacted before it is.")
        .valid(Valid::Between(0, 1))
        .for_topics("min.cleanable.dirty.ratio")
        .cluster_wide(),
    Key::long("log.cleaner.delete.retention.ms", "86400000", "How long a tombstone stays readable.")
        .at_least(0)
        .for_topics("delete.retention.ms")
        .cluster_wide(),
    Key::long("log.cleaner.min.compaction.lag.ms", "0", "How long a record is safe from compaction.")
        .at_least(0)
        .for_topics("min.compaction.lag.ms")
        .cluster_wide(),
    Key::long("log.cleaner.max.compaction.lag.ms", NEVER, "How long a record may escape compaction.")
        .at_least(1)
        .for_topics("max.compaction.lag.ms")
        .cluster_wide(),
];

const GROUPS: &[Key] = &[
    Key::int("group.min.session.timeout.ms", "6000", "The shortest session timeout that a member may ask for."),
    Key::int("group.max.session.timeout.ms", "1800000", "The longest session timeout that a member may ask for."),
    // Unlike Kafka, whose 3000 makes everybody's first consumer wait. Not 0: kafka-python 3.0 asks for its topics' metadata
    // 100 ms after it has joined, and may never notice that the assignment it made before then is empty.
    Key::int("group.initial.rebalance.delay.ms", "200", "How long a new group waits for more members."),
    Key::int("group.max.size", UNBOUNDED, "The most members of a group.").at_least(1),
    Key::list("group.coordinator.rebalance.protocols", "classic,consumer,streams", "The group protocols Kafka offers.")
        .one_of(&["consumer", "classic", "share", "streams"])
        .no_effect(),
    // Unlike Kafka 4.1, whose 5 makes a lone commit wait; -1 is the default of Kafka 4.2.
    Key::int(
        "group.coordinator.append.linger.ms",
        "-1",
        "How long a coordinator gathers records for one write; -1: while requests wait for it.",
    )
    .at_least(-1),
    Key::int("group.coordinator.threads", "4", "How many threads Kafka's coordinator has.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::int("offset.metadata.max.bytes", "4096", "The most bytes of metadata in an offset commit.").high(),
    Key::int("offsets.retention.minutes", "10080", "How long the offsets of a group without members are kept.")
        .at_least(1)
        .high(),
    Key::long("offsets.retention.check.interval.ms", "600000", "How often offsets are checked for that.")
        .at_least(1)
        .high(),
    Key::int("offsets.commit.timeout.ms", "5000", "How long an offset commit may wait for its write.")
        .at_least(1)
        .high(),
    Key::int("offsets.load.buffer.size", "5242880", "How many bytes are read at once when a coordinator loads.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::int("offsets.topic.num.partitions", "50", "The partitions of __consumer_offsets.").at_least(1).high(),
    // Unlike Kafka, whose 3 and 2 below are for clusters: with one broker they would refuse every group.
    Key::short("offsets.topic.replication.factor", "1", "The replicas of __consumer_offsets.").at_least(1).high(),
    Key::int("offsets.topic.segment.bytes", "104857600", "The segment size of __consumer_offsets.").at_least(1).high(),
    Key::int("offsets.topic.compression.codec", "0", "The compression of __consumer_offsets, by Kafka's number.")
        .high()
        .no_effect(),
];

const NEW_GROUPS: &[Key] = &[
    Key::int("group.consumer.session.timeout.ms", "45000", "How long a member of a consumer group may be silent.")
        .at_least(1)
        .for_groups("consumer.session.timeout.ms")
        .no_effect(),
    Key::int(
        "group.consumer.min.session.timeout.ms",
        "45000",
        "The shortest session timeout that a consumer group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.consumer.max.session.timeout.ms",
        "60000",
        "The longest session timeout that a consumer group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.consumer.heartbeat.interval.ms",
        "5000",
        "How often a member of a consumer group is to send a heartbeat.",
    )
    .at_least(1)
    .for_groups("consumer.heartbeat.interval.ms")
    .no_effect(),
    Key::int(
        "group.consumer.min.heartbeat.interval.ms",
        "5000",
        "The shortest heartbeat interval that a consumer group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.consumer.max.heartbeat.interval.ms",
        "15000",
        "The longest heartbeat interval that a consumer group may be configured with.",
    )
    .at_least(1),
    Key::int("group.consumer.max.size", UNBOUNDED, "The most members of a consumer group.").at_least(1).no_effect(),
    Key::list(
        "group.consumer.assignors",
        "uniform,range",
        "The assignors that a consumer group may use; the first is the default.",
    )
    .no_effect(),
    Key::string(
        "group.consumer.migration.policy",
        "bidirectional",
        "Which way a group may change between the classic and the consumer protocol.",
    )
    .valid(Valid::OneOfIgnoringCase(&["disabled", "downgrade", "upgrade", "bidirectional"]))
    .no_effect(),
    Key::int(
        "group.consumer.regex.refresh.interval.ms",
        "600000",
        "How often subscriptions by pattern are matched against new topics.",
    )
    .at_least(10_000)
    .internal()
    .no_effect(),
    Key::int("group.share.session.timeout.ms", "45000", "How long a member of a share group may be silent.")
        .at_least(1)
        .for_groups("share.session.timeout.ms")
        .no_effect(),
    Key::int(
        "group.share.min.session.timeout.ms",
        "45000",
        "The shortest session timeout that a share group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.share.max.session.timeout.ms",
        "60000",
        "The longest session timeout that a share group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.share.heartbeat.interval.ms",
        "5000",
        "How often a member of a share group is to send a heartbeat.",
    )
    .at_least(1)
    .for_groups("share.heartbeat.interval.ms")
    .no_effect(),
    Key::int(
        "group.share.min.heartbeat.interval.ms",
        "5000",
        "The shortest heartbeat interval that a share group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.share.max.heartbeat.interval.ms",
        "15000",
        "The longest heartbeat interval that a share group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.share.record.lock.duration.ms",
        "30000",
        "How long a record is a member's own before another member may have it.",
    )
    .valid(Valid::Between(1000, 3_600_000))
    .for_groups("share.record.lock.duration.ms")
    .no_effect(),
    Key::int(
        "group.share.min.record.lock.duration.ms",
        "15000",
        "The shortest lock duration that a share group may be configured with.",
    )
    .valid(Valid::Between(1000, 30_000)),
    Key::int(
        "group.share.max.record.lock.duration.ms",
        "60000",
        "The longest lock duration that a share group may be configured with.",
    )
    .valid(Valid::Between(30_000, 3_600_000)),
    Key::int("group.share.max.size", "200", "The most members of a share group.")
        .valid(Valid::Between(1, 1000))
        .no_effect(),
    Key::int("group.share.max.share.sessions", "2000", "The most share sessions of this broker.")
        .at_least(1)
        .no_effect(),
    Key::int(
        "group.share.partition.max.record.locks",
        "2000",
        "How many records of a partition may be locked at once.",
    )
    .valid(Valid::Between(100, 10_000))
    .no_effect(),
    Key::int("group.share.delivery.count.limit", "5", "How often a record is handed out before it is given up.")
        .valid(Valid::Between(2, 10))
        .no_effect(),
    Key::list("group.share.assignors", "simple", "The assignors that a share group may use.").no_effect(),
    Key::boolean("group.share.enable", "false", "Whether share groups were offered in the early versions of KIP-932.")
        .internal()
        .no_effect(),
    Key::int("group.streams.session.timeout.ms", "45000", "How long a member of a streams group may be silent.")
        .at_least(1)
        .for_groups("streams.session.timeout.ms")
        .no_effect(),
    Key::int(
        "group.streams.min.session.timeout.ms",
        "45000",
        "The shortest session timeout that a streams group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.streams.max.session.timeout.ms",
        "60000",
        "The longest session timeout that a streams group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.streams.heartbeat.interval.ms",
        "5000",
        "How often a member of a streams group is to send a heartbeat.",
    )
    .at_least(1)
    .for_groups("streams.heartbeat.interval.ms")
    .no_effect(),
    Key::int(
        "group.streams.min.heartbeat.interval.ms",
        "5000",
        "The shortest heartbeat interval that a streams group may be configured with.",
    )
    .at_least(1),
    Key::int(
        "group.streams.max.heartbeat.interval.ms",
        "15000",
        "The longest heartbeat interval that a streams group may be configured with.",
    )
    .at_least(1),
    Key::int("group.streams.max.size", UNBOUNDED, "The most members of a streams group.").at_least(1).no_effect(),
    Key::int(
        "group.streams.num.standby.replicas",
        "0",
        "How many standby copies of a task's state a streams group keeps.",
    )
    .at_least(0)
    .for_groups("streams.num.standby.replicas")
    .no_effect(),
    Key::int(
        "group.streams.max.standby.replicas",
        "2",
        "The most standby copies that a streams group may be configured with.",
    )
    .at_least(0),
];

const TRANSACTIONS: &[Key] = &[
    Key::int("producer.id.expiration.ms", "86400000", "How long an idle producer's sequence numbers are remembered.")
        .at_least(1)
        .low()
        .cluster_wide(),
    Key::int("producer.id.expiration.check.interval.ms", "600000", "How often that is checked.")
        .at_least(1)
        .low()
        .internal(),
    Key::int("transaction.max.timeout.ms", "900000", "The longest timeout that a transaction may ask for.")
        .at_least(1)
        .high(),
    Key::int("transactional.id.expiration.ms", "604800000", "How long an idle transactional id is remembered.")
        .at_least(1)
        .high(),
    Key::int("transaction.state.log.num.partitions", "50", "The partitions of __transaction_state.").at_least(1).high(),
    Key::short("transaction.state.log.replication.factor", "1", "The replicas of __transaction_state.")
        .at_least(1)
        .high(),
    Key::int("transaction.state.log.min.isr", "1", "The min.insync.replicas of __transaction_state.")
        .at_least(1)
        .high(),
    Key::int("transaction.state.log.segment.bytes", "104857600", "The segment size of __transaction_state.")
        .at_least(1)
        .high(),
    Key::int("transaction.state.log.load.buffer.size", "5242880", "How many bytes a coordinator reads at once.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::int(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "10000",
        "How often transactions are checked for their timeout.",
    )
    .at_least(1)
    .low(),
    Key::int(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        "3600000",
        "How often transactional ids are checked for their expiry.",
    )
    .at_least(1)
    .low(),
    Key::boolean(
        "transaction.partition.verification.enable",
        "true",
        "Whether writes check that their transaction exists.",
    )
    .low()
    .cluster_wide(),
    Key::boolean(
        "transaction.two.phase.commit.enable",
        "false",
        "Whether transactions may take part in two-phase commits.",
    )
    .low()
    .no_effect(),
    Key::int(
        "add.partitions.to.txn.retry.backoff.ms",
        "20",
        "The pause before a write asks again to be added to a transaction whose last one is ending.",
    )
    .at_least(1)
    .high(),
    Key::int("add.partitions.to.txn.retry.backoff.max.ms", "100", "How long a write asks so, before its client must.")
        .at_least(0)
        .high(),
    Key::int("share.coordinator.state.topic.num.partitions", "50", "The partitions of __share_group_state.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::short("share.coordinator.state.topic.replication.factor", "1", "The replicas of __share_group_state.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::short("share.coordinator.state.topic.min.isr", "1", "The min.insync.replicas of __share_group_state.")
        .at_least(1)
        .high()
        .no_effect(),
    Key::int("share.coordinator.state.topic.segment.bytes", "104857600", "The segment size of __share_group_state.")
        .at_least(1)
        .high()
        .no_effect(),
];

const REPLICATION: &[Key] = &[
    Key::long("replica.lag.time.max.ms", "30000", "How long a follower may lag before it leaves the in-sync replicas.")
        .high(),
    Key::long("replica.high.watermark.checkpoint.interval.ms", "5000", "How often high watermarks are written down.")
        .high(),
    Key::int("replica.fetch.max.bytes", "1048576", "How many bytes a follower asks for, per partition.").at_least(0),
    Key::int("replica.fetch.response.max.bytes", "10485760", "How many bytes a follower asks for in all.").at_least(0),
    Key::int("replica.fetch.min.bytes", "1", "How many bytes a follower waits for.").high(),
    Key::int("replica.fetch.wait.max.ms", "500", "How long a follower waits for them.").high(),
    Key::int("replica.fetch.backoff.ms", "1000", "How long a follower pauses after an error.").at_least(0),
    Key::int("replica.socket.timeout.ms", "30000", "How long a follower waits for an answer.").high(),
    Key::int("replica.socket.receive.buffer.bytes", "65536", "The receive buffer of a follower's socket.")
        .high()
        .no_effect(),
    Key::unset(Kind::String, "replica.selector.class", "A Java class that picks the replica to fetch from.")
        .no_effect(),
    Key::int("num.replica.fetchers", "1", "How many connections a follower fetches over, per leader.")
        .high()
        .cluster_wide(),
    Key::boolean("auto.leader.rebalance.enable", "true", "Whether leadership returns to the preferred replicas.")
        .high(),
    Key::long("leader.imbalance.check.interval.seconds", "300", "How often that is checked.").at_least(1).high(),
    Key::long("unclean.leader.election.interval.ms", "300000", "How often unclean elections are considered.")
        .at_least(1)
        .internal()
        .no_effect(),
    Key::boolean("controlled.shutdown.enable", "true", "Whether a stopping broker first hands over its leaderships."),
];

const CONTROLLER: &[Key] = &[
    Key::int("broker.heartbeat.interval.ms", "2000", "How often a broker shows the controller that it lives."),
    Key::int("broker.session.timeout.ms", "9000", "How long a broker may be silent before it is fenced."),
    Key::int("initial.broker.registration.timeout.ms", "60000", "How long a starting broker tries to register."),
    Key::list(
        "controller.quorum.voters",
        "",
        "The controllers, this one among them: id@host:port, separated by commas.",
    )
    .high(),
    Key::list(
        "controller.quorum.bootstrap.servers",
        "",
        "Where to find the controllers: host:port, separated by commas.",
    )
    .high()
    .no_effect(),
    Key::int("controller.quorum.election.timeout.ms", "1000", "How long without a leader before an election.")
        .at_least(0)
        .high()
        .no_effect(),
    Key::int("controller.quorum.election.backoff.max.ms", "1000", "The longest pause between elections.")
        .at_least(0)
        .high()
        .no_effect(),
    Key::int("controller.quorum.fetch.timeout.ms", "2000", "How long a leader may be silent before it is replaced.")
        .at_least(0)
        .high()
        .no_effect(),
    Key::int("controller.quorum.append.linger.ms", "25", "How long Kafka's controller gathers records.")
        .at_least(0)
        .no_effect(),
    Key::int("controller.quorum.request.timeout.ms", "2000", "How long a controller waits for an answer.")
        .at_least(0)
        .no_effect(),
    Key::int("controller.quorum.retry.backoff.ms", "20", "How long a controller pauses before it tries again.")
        .at_least(0)
        .low()
        .no_effect(),
    Key::int("controller.socket.timeout.ms", "30000", "How long a connection to the controller waits.").no_effect(),
    Key::unset(
        Kind::String,
        "metadata.log.dir",
        "The directory of the metadata log; the first of log.dirs if not set.",
    )
    .high(),
    Key::int("metadata.log.segment.bytes", "1073741824", "The segment size of Kafka's metadata log.")
        .at_least(8_388_608)
        .high()
        .no_effect(),
    Key::long("metadata.log.segment.ms", "604800000", "The segment age of Kafka's metadata log.").high().no_effect(),
    Key::long(
        "metadata.log.max.record.bytes.between.snapshots",
        "20971520",
        "How much log there is between snapshots.",
    )
    .at_least(1)
    .high()
    .no_effect(),
    Key::long("metadata.log.max.snapshot.interval.ms", "3600000", "How long there is between snapshots.")
        .at_least(0)
        .high()
        .no_effect(),
    Key::long("metadata.max.retention.bytes", "104857600", "How much of Kafka's metadata log is kept.")
        .high()
        .no_effect(),
    Key::long("metadata.max.retention.ms", "604800000", "How long Kafka's metadata log is kept.").high().no_effect(),
    Key::int("metadata.max.idle.interval.ms", "500", "How often Kafka's idle controller writes a record.")
        .at_least(0)
        .low()
        .no_effect(),
];

const RUNTIME: &[Key] = &[
    Key::int("num.network.threads", "3", "Kafka's network threads; here every core serves every connection.")
        .at_least(1)
        .high()
        .cluster_wide()
        .no_effect(),
    Key::int("num.io.threads", "8", "Kafka's request threads; here every core serves every connection.")
        .at_least(1)
        .high()
        .cluster_wide()
        .no_effect(),
    Key::int("background.threads", "10", "Kafka's background threads.").at_least(1).high().cluster_wide().no_effect(),
    Key::int("quota.window.num", "11", "How many samples a client quota looks back.").at_least(1).low(),
    Key::int("quota.window.size.seconds", "1", "How long such a sample is.").at_least(1).low(),
    Key::int("controller.quota.window.num", "11", "How many samples a controller quota looks back.").at_least(1).low(),
    Key::int("controller.quota.window.size.seconds", "1", "How long such a sample is.").at_least(1).low(),
    Key::int("replication.quota.window.num", "11", "How many samples a replication quota looks back.")
        .at_least(1)
        .low()
        .no_effect(),
    Key::int("replication.quota.window.size.seconds", "1", "How long such a sample is.").at_least(1).low().no_effect(),
    Key::unset(Kind::Class, "client.quota.callback.class", "A Java class that computes quotas; there is none here.")
        .low()
        .no_effect(),
    Key::string(
        "authorizer.class.name",
        "",
        "A Java class that authorises; a broker that is told one does not start, since there is none here.",
    )
    .low(),
    Key::list("metric.reporters", "", "Java classes that report metrics; there are none here.")
        .low()
        .cluster_wide()
        .no_effect(),
    Key::int("metrics.num.samples", "2", "How many samples Kafka's metrics look back.").at_least(1).low().no_effect(),
    Key::string("metrics.recording.level", "INFO", "How much Kafka's metrics record.").low().no_effect(),
    Key::long("metrics.sample.window.ms", "30000", "How long such a sample is.").at_least(1).low().no_effect(),
    Key::list("kafka.metrics.reporters", "", "Java classes that report metrics; there are none here.")
        .low()
        .no_effect(),
    Key::int("kafka.metrics.polling.interval.secs", "10", "How often those report.").at_least(1).low().no_effect(),
    Key::int("telemetry.max.bytes", "1048576", "The most bytes of metrics that a client may push.")
        .at_least(1)
        .low()
        .no_effect(),
    Key::long("server.max.startup.time.ms", NEVER, "How long Kafka's start may take.")
        .at_least(0)
        .internal()
        .no_effect(),
    Key::boolean("unstable.api.versions.enable", "false", "Whether unfinished API versions are offered.")
        .high()
        .internal()
        .no_effect(),
    Key::boolean("unstable.feature.versions.enable", "false", "Whether unfinished feature versions are offered.")
        .high()
        .internal()
        .no_effect(),
];

const TOPIC_ONLY: &[Key] = &[
    Key::unset(Kind::Int, "internal.segment.bytes", "Overrides segment.bytes without its lower bound; for tests.")
        .topic_only()
        .internal(),
    Key::list("leader.replication.throttled.replicas", "", "Replicas whose leaders are throttled.")
        .valid(Valid::ThrottledReplicas)
        .topic_only()
        .no_effect(),
    Key::list("follower.replication.throttled.replicas", "", "Replicas whose followers are throttled.")
        .valid(Valid::ThrottledReplicas)
        .topic_only()
        .no_effect(),
    Key::boolean("remote.storage.enable", "false", "Whether old segments move to tiered storage; there is none here.")
        .topic_only(),
    Key::boolean("remote.log.copy.disable", "false", "Whether no more segments are copied there.")
        .topic_only()
        .no_effect(),
    Key::boolean("remote.log.delete.on.disable", "false", "Whether turning it off deletes what is there.")
        .topic_only()
        .no_effect(),
];

const GROUP_ONLY: &[Key] = &[
    Key::string("share.auto.offset.reset", "latest", "Where a share group without offsets begins.")
        .valid(Valid::AutoOffsetReset)
        .group_only()
        .no_effect(),
    Key::string(
        "share.isolation.level",
        "read_uncommitted",
        "Whether a share group sees records of open transactions.",
    )
    .one_of(&["read_committed", "read_uncommitted"])
    .group_only()
    .no_effect(),
];

const CLIENT_METRICS: &[Key] = &[
    Key::int("interval.ms", "300000", "How often a client of the subscription pushes its metrics.")
        .client_metrics_only()
        .no_effect(),
    Key::list("match", "", "Which clients the subscription is for: attribute=pattern, separated by commas.")
        .client_metrics_only()
        .no_effect(),
    Key::list("metrics", "", "The prefixes of the metrics that such a client pushes.")
        .client_metrics_only()
        .no_effect(),
];

const DYNAMIC_ONLY: &[Key] = &[
    Key::long(
        "leader.replication.throttled.rate",
        NEVER,
        "How many bytes a second throttled leaders send to followers.",
    )
    .at_least(0)
    .dynamic_only()
    .no_effect(),
    Key::long("follower.replication.throttled.rate", NEVER, "How many bytes a second throttled followers fetch.")
        .at_least(0)
        .dynamic_only()
        .no_effect(),
    Key::long(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        NEVER,
        "How many bytes a second replicas move between data directories, all together.",
    )
    .at_least(0)
    .dynamic_only(),
];

/// The keys that a broker is configured with, each with its meaning.
pub fn broker_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().filter(|key| key.is_for_broker()).map(|key| (key.name, key.doc))
}

/// The keys that a topic is configured with, each with its meaning.
pub fn topic_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
    all().filter_map(|key| Some((key.topic_key()?, key.doc)))
}

/// Every row, in the table's order.
pub fn all() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// The row of a key that may stand in a file or a flag.
pub fn broker_key(name: &str) -> Option<&'static Key> {
    all().find(|key| key.is_for_broker() && key.name == name)
}

/// The row of a key that this broker's dynamic configuration may hold, where it is known.
pub fn dynamic_broker_key(name: &str) -> Option<&'static Key> {
    all().find(|key| (key.is_for_broker() || key.scope == Scope::Dynamic) && key.name == name)
}

/// The rows of a topic key: those of its broker-wide defaults, the strongest first, or its own.
pub fn topic_key_rows(topic_key: &str) -> impl Iterator<Item = &'static Key> {
    all().filter(move |key| key.topic_key() == Some(topic_key))
}

/// The row of a group's key: that of its broker-wide default, or its own.
pub fn group_key(name: &str) -> Option<&'static Key> {
    all().find(|key| key.group_key() == Some(name))
}

/// The row of a key of a client metrics subscription.
pub fn client_metrics_key(name: &str) -> Option<&'static Key> {
    all().find(|key| key.scope == Scope::ClientMetrics && key.name == name)
}

/// The names under which the value of the broker key called `name` may be given, the strongest first: hours, minutes
/// and milliseconds of one time are several keys.
pub fn synonyms(name: &str) -> Vec<&'static str> {
    let Some(key) = dynamic_broker_key(name) else { return Vec::new() };
    match key.topic_key() {
        Some(topic_key) => topic_key_rows(topic_key).map(|row| row.name).collect(),
        None => vec![key.name],
    }
}
