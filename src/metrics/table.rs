//! The table: every metric once, with its name, kind, labels and meaning. The text that is scraped and `docs/metrics.md`
//! follow from it.
//!
//! ```text
//! Row MetricKind "name" ["label", ...] "What it tells.";
//! ```
//!
//! Names that dashboards know are theirs, also where Prometheus's conventions would have others; those of our own begin
//! with `klamm_`.

/// What a metric's number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Times in buckets, with their sum and number.
    Histogram,
    /// The sum and the number of times, without quantiles.
    Summary,
}

impl MetricKind {
    /// Its word in the text format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// Whose name a metric bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricOrigin {
    /// That of `kafka_exporter`, which asks a cluster for what it tells.
    KafkaExporter,
    /// That under which the JMX exporter tells Apache Kafka's own metric, by the rules that Strimzi and others give it.
    Jmx,
    /// That of Prometheus's client libraries, for what every process has.
    Process,
    /// Our own.
    Klamm,
}

/// What the table says of one metric.
#[derive(Debug)]
struct Row {
    name: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    help: &'static str,
    origin: MetricOrigin,
}

/// Expands the groups of rows (see the top of this file) into [`Metric`].
macro_rules! metrics {
    ($($origin:ident { $($row:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)* })*) => {
        /// A metric, by its row in the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Metric {
            $($(#[doc = $help] $row,)*)*
        }

        impl Metric {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$($(Self::$row,)*)*];

            fn row(self) -> &'static Row {
                match self {
                    $($(Self::$row => &Row {
                        name: $name,
                        kind: MetricKind::$kind,
                        labels: &[$($label),*],
                        help: $help,
                        origin: MetricOrigin::$origin,
                    },)*)*
                }
            }
        }
    };
}

impl Metric {
    /// Its name, without what the samples of histograms and summaries have behind it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What its number does.
    pub fn kind(self) -> MetricKind {
        self.row().kind
    }

    /// The names of its labels; a sum over a label's values lacks that label and those behind it.
    pub fn labels(self) -> &'static [&'static str] {
        self.row().labels
    }

    /// What it tells, in a sentence.
    pub fn help(self) -> &'static str {
        self.row().help
    }

    /// Whose name it bears.
    pub fn origin(self) -> MetricOrigin {
        self.row().origin
    }

    /// Whether it has a series for each partition, of which there may be very many.
    pub fn is_per_partition(self) -> bool {
        self.labels().contains(&"partition")
    }
}

metrics! {
    KafkaExporter {
        Brokers Gauge "kafka_brokers" [] "Brokers in the cluster.";
        BrokerInfo Gauge "kafka_broker_info" ["id", "address"] "1 for each broker, with its address.";
        TopicPartitions Gauge "kafka_topic_partitions" ["topic"] "Partitions of the topic.";
        CurrentOffset Gauge "kafka_topic_partition_current_offset" ["topic", "partition"]
            "Offset after the last record that consumers may read.";
        OldestOffset Gauge "kafka_topic_partition_oldest_offset" ["topic", "partition"] "Offset of the oldest record.";
        PartitionLeader Gauge "kafka_topic_partition_leader" ["topic", "partition"] "Node id of the leader; -1 without one.";
        PartitionReplicas Gauge "kafka_topic_partition_replicas" ["topic", "partition"] "Replicas of the partition.";
        InSyncReplicas Gauge "kafka_topic_partition_in_sync_replica" ["topic", "partition"] "Replicas that are in sync.";
        LeaderIsPreferred Gauge "kafka_topic_partition_leader_is_preferred" ["topic", "partition"]
            "1 if the leader is the preferred one, else 0.";
        UnderReplicated Gauge "kafka_topic_partition_under_replicated_partition" ["topic", "partition"]
            "1 if a replica is not in sync, else 0.";
        GroupOffset Gauge "kafka_consumergroup_current_offset" ["consumergroup", "topic", "partition"]
            "Offset that the group has committed.";
        GroupOffsetSum Gauge "kafka_consumergroup_current_offset_sum" ["consumergroup", "topic"]
            "Offsets that the group has committed, over the topic's partitions.";
        GroupLag Gauge "kafka_consumergroup_lag" ["consumergroup", "topic", "partition"]
            "Records behind the group's committed offset.";
        GroupLagSum Gauge "kafka_consumergroup_lag_sum" ["consumergroup", "topic"]
            "Records behind the group's committed offsets, over the topic's partitions.";
        GroupMembers Gauge "kafka_consumergroup_members" ["consumergroup"] "Members of the group.";
    }
    Jmx {
        MessagesIn Counter "kafka_server_brokertopicmetrics_messagesin_total" ["topic"] "Records that were appended.";
        BytesIn Counter "kafka_server_brokertopicmetrics_bytesin_total" ["topic"]
            "Bytes of record batches that were appended.";
        BytesOut Counter "kafka_server_brokertopicmetrics_bytesout_total" ["topic"]
            "Bytes of records that were given to consumers.";
        BytesRejected Counter "kafka_server_brokertopicmetrics_bytesrejected_total" ["topic"]
            "Bytes of record batches that were too large or damaged.";
        ProduceRequests Counter "kafka_server_brokertopicmetrics_totalproducerequests_total" ["topic"]
            "Appends that were asked for; a request counts once for each of its partitions.";
        FetchRequests Counter "kafka_server_brokertopicmetrics_totalfetchrequests_total" ["topic"]
            "Reads that were asked for; a request counts once for each of its partitions.";
        FailedProduceRequests Counter "kafka_server_brokertopicmetrics_failedproducerequests_total" ["topic"]
            "Appends that failed; as in Kafka without those to what is not here, or too large, damaged or on a failed disk.";
        FailedFetchRequests Counter "kafka_server_brokertopicmetrics_failedfetchrequests_total" ["topic"]
            "Reads that failed by a fault of the broker; as in Kafka without those whose error has a code of its own.";
        PartitionCount Gauge "kafka_server_replicamanager_partitioncount" [] "Partitions of which this broker has a replica.";
        LeaderCount Gauge "kafka_server_replicamanager_leadercount" [] "Partitions that this broker leads.";
        UnderReplicatedPartitions Gauge "kafka_server_replicamanager_underreplicatedpartitions" []
            "Partitions that this broker leads and of which a replica is not in sync.";
        UnderMinIsr Gauge "kafka_server_replicamanager_underminisrpartitioncount" []
            "Partitions that this broker leads with fewer replicas in sync than min.insync.replicas.";
        AtMinIsr Gauge "kafka_server_replicamanager_atminisrpartitioncount" []
            "Partitions that this broker leads with as many replicas in sync as min.insync.replicas.";
        IsrExpands Counter "kafka_server_replicamanager_isrexpands_total" []
            "Times that the in-sync replicas of a partition that this broker leads became more.";
        IsrShrinks Counter "kafka_server_replicamanager_isrshrinks_total" []
            "Times that the in-sync replicas of a partition that this broker leads became fewer.";
        FailedIsrUpdates Counter "kafka_server_replicamanager_failedisrupdates_total" []
            "Changes of in-sync replicas that the controller has not made true.";
        MaxLag Gauge "kafka_server_replicafetchermanager_maxlag" []
            "Committed records that this broker lacks of the partition where it lacks the most.";
        FollowerLag Gauge "kafka_server_fetcherlagmetrics_consumerlag" ["topic", "partition"]
            "Committed records that this broker, which follows the partition, has not fetched.";
        OfflineReplicaCount Gauge "kafka_server_replicamanager_offlinereplicacount" []
            "Replicas on this broker whose log cannot be used.";
        OfflineLogDirectoryCount Gauge "kafka_log_logmanager_offlinelogdirectorycount" []
            "Log directories that have failed, or could not be opened.";
        LogDirectoryOffline Gauge "kafka_log_logmanager_logdirectoryoffline" ["logdirectory"]
            "1 if this log directory has failed or could not be opened, else 0.";
        MaxDirtyPercent Gauge "kafka_log_logcleanermanager_max_dirty_percent" []
            "Percentage of the filthiest log that is not compacted, when the cleaner looked last.";
        TimeSinceLastRun Gauge "kafka_log_logcleanermanager_time_since_last_run_ms" []
            "Milliseconds since the cleaner looked for a log to compact.";
        UncleanablePartitions Gauge "kafka_log_logcleanermanager_uncleanable_partitions_count" ["logdirectory"]
            "Partitions that the cleaner keeps away from because they could not be compacted.";
        UncleanableBytes Gauge "kafka_log_logcleanermanager_uncleanable_bytes" ["logdirectory"]
            "Bytes of these partitions that would be compacted.";
        CleanerRecopyPercent Gauge "kafka_log_logcleaner_cleaner_recopy_percent" []
            "Percentage of the bytes that the last cleaning has kept.";
        MaxBufferUtilization Gauge "kafka_log_logcleaner_max_buffer_utilization_percent" []
            "Percentage of the memory for keys that the last cleaning has used.";
        MaxCleanTime Gauge "kafka_log_logcleaner_max_clean_time_secs" [] "Seconds that the last cleaning took.";
        MaxCompactionDelay Gauge "kafka_log_logcleaner_max_compaction_delay_secs" []
            "Seconds for which a log has escaped compaction beyond max.compaction.lag.ms, at most.";
        ActiveControllerCount Gauge "kafka_controller_kafkacontroller_activecontrollercount" []
            "1 if this node is the active controller, else 0.";
        ActiveBrokerCount Gauge "kafka_controller_kafkacontroller_activebrokercount" [] "Brokers that are alive.";
        FencedBrokerCount Gauge "kafka_controller_kafkacontroller_fencedbrokercount" []
            "Brokers that are registered and not alive.";
        OfflinePartitionsCount Gauge "kafka_controller_kafkacontroller_offlinepartitionscount" []
            "Partitions without a leader.";
        PreferredReplicaImbalance Gauge "kafka_controller_kafkacontroller_preferredreplicaimbalancecount" []
            "Partitions whose leader is not the preferred one.";
        GlobalTopicCount Gauge "kafka_controller_kafkacontroller_globaltopiccount" [] "Topics in the cluster.";
        GlobalPartitionCount Gauge "kafka_controller_kafkacontroller_globalpartitioncount" []
            "Partitions in the cluster.";
        Requests Counter "kafka_network_requestmetrics_requests_total" ["request", "version"]
            "Requests, by API and version.";
        RequestErrors Counter "kafka_network_requestmetrics_errors_total" ["request", "error"]
            "Error codes in answers, by API, NONE among them; an answer counts once for each of its places for a code.";
        TotalTimeMs Summary "kafka_network_requestmetrics_totaltimems" ["request"]
            "Milliseconds from a request's arrival until its answer was written, in sum, and how many there were.";
        ConnectionCount Gauge "kafka_server_socketservermetrics_connection_count" ["listener"]
            "Connections that clients have open.";
        ConnectionCreation Counter "kafka_server_socketservermetrics_connection_creation_total" ["listener"]
            "Connections that were accepted.";
        ConnectionClose Counter "kafka_server_socketservermetrics_connection_close_total" ["listener"]
            "Connections that have ended.";
        LogSize Gauge "kafka_log_log_size" ["topic", "partition"] "Bytes of the partition's log on this broker.";
    }
    Process {
        ResidentMemory Gauge "process_resident_memory_bytes" [] "Bytes of memory that the process occupies.";
        CpuSeconds Counter "process_cpu_seconds_total" [] "Time that processors have worked for the process.";
        OpenFds Gauge "process_open_fds" [] "Files and sockets that the process has open.";
        MaxFds Gauge "process_max_fds" [] "Files and sockets that the process may have open.";
    }
    Klamm {
        RequestDuration Histogram "klamm_request_duration_seconds" ["request"]
            "Time from a request's arrival until its answer was written, waits that the client asked for included.";
        BuildInfo Gauge "klamm_build_info" ["version"] "1, with the version of the program.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that promtool complains of and that dashboards expect: what Prometheus keeps for histograms ends them, or a unit
    /// that is no base unit.
    const FOREIGN_ENDINGS: [Metric; 8] = [
        Metric::GroupOffsetSum,
        Metric::GroupLagSum,
        Metric::ConnectionCount,
        Metric::MaxDirtyPercent,
        Metric::TimeSinceLastRun,
        Metric::UncleanablePartitions,
        Metric::CleanerRecopyPercent,
        Metric::MaxBufferUtilization,
    ];

    /// What `promtool check metrics` would say of a row.
    fn complaint(metric: Metric) -> Option<&'static str> {
        let name = metric.name();
        let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let has_word = |words: &[&str]| name.split('_').any(|word| words.contains(&word));
        if !is_plain(name) || !metric.labels().iter().all(|label| is_plain(label)) {
            return Some("its name or a label has other characters than small letters, digits and underscores");
        }
        if (metric.kind() == MetricKind::Counter) != name.ends_with("_total") {
            return Some("counters, and only they, end with _total");
        }
        if ["_sum", "_count", "_bucket", "_info_total"].iter().any(|ending| name.ends_with(ending)) {
            return Some("its ending belongs to histograms");
        }
        if has_word(&["ms", "us", "ns", "kb", "mb", "gb", "milliseconds", "kilobytes", "minutes", "percent"]) {
            return Some("its unit is no base unit");
        }
        if has_word(&["counter", "gauge", "histogram", "summary"]) {
            return Some("its name holds its kind");
        }
        if metric.labels().contains(&"le") || metric.labels().contains(&"quantile") {
            return Some("a label belongs to histograms or summaries");
        }
        let has_sentence = metric.help().ends_with('.') && !metric.help().contains(['\\', '\n']);
        (!has_sentence).then_some("its help is no plain sentence")
    }

    #[test]
    fn names_follow_the_conventions_except_where_dashboards_expect_others() {
        for &metric in Metric::ALL {
            let is_foreign = FOREIGN_ENDINGS.contains(&metric);
            assert_eq!(complaint(metric).is_some(), is_foreign, "{}: {:?}", metric.name(), complaint(metric));
            assert!(!is_foreign || metric.origin() != MetricOrigin::Klamm, "{} is our own name", metric.name());
        }
    }

    #[test]
    fn a_name_stands_for_one_metric() {
        let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next));
        for metric in Metric::ALL {
            assert_eq!(
                metric.origin() == MetricOrigin::Klamm,
                metric.name().starts_with("klamm_"),
                "{}",
                metric.name()
            );
        }
    }
}
