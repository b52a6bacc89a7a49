//! What a broker counts and tells, as a scraper reads it.
#![expect(clippy::float_cmp, reason = "counts are whole numbers, which a float holds as they are")]

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{DeleteTopicsRequest, FetchRequest, ProduceRequest};
use klamm::metrics::Metric;

use crate::broker::{Broker, Client, FETCH, PRODUCE, Topic, batch, fetch, group_id, produce, topic_name};
use crate::http::{broker, get};

/// The selectors of every query of `kafka_exporter`'s dashboard, Grafana's 7589: the metric, the labels that it selects by,
/// and those that it sums over. A scraper adds `job` and `instance`.
const DASHBOARD: [(&str, &[&str]); 5] = [
    ("kafka_topic_partition_current_offset", &["topic"]),
    ("kafka_consumergroup_lag", &["consumergroup", "topic"]),
    ("kafka_consumergroup_current_offset", &["consumergroup", "topic"]),
    ("kafka_topic_partitions", &["topic"]),
    ("kafka_topic_partition_current_offset", &["topic", "partition"]),
];

/// Names that Prometheus's conventions refuse: a gauge whose ending belongs to histograms.
const UNCONVENTIONAL: [&str; 4] = [
    "kafka_consumergroup_current_offset_sum",
    "kafka_consumergroup_lag_sum",
    "kafka_log_logcleanermanager_uncleanable_partitions_count",
    "kafka_server_socketservermetrics_connection_count",
];

type Labels = BTreeMap<String, String>;

/// What one scrape has told.
#[derive(Debug, Default)]
struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    async fn of(broker: &Broker) -> Self {
        let answer = get(broker, "/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        Self::parse(body)
    }

    /// Reads the text format as its definition has it: each metric's lines stand together, behind its help and its type.
    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        let (mut helped, mut current) = (None, None);
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, sentence) = help.split_once(' ').unwrap();
                assert!(sentence.ends_with('.'), "{line}");
                helped = Some(name);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(helped, Some(name), "{line}");
                assert!(scrape.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
                current = Some(name);
            } else {
                let (name, labels, value) = sample(line);
                let family = current.unwrap();
                let ending = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands below {family}"));
                let is_whole = matches!(&*scrape.kinds[family], "counter" | "gauge");
                assert_eq!(is_whole, ending.is_empty(), "{line}");
                let earlier = scrape.samples.insert((name.to_owned(), labels), value);
                assert!(earlier.is_none(), "two samples of one series: {line}");
            }
        }
        scrape
    }

    /// A sample, or 0 where there is none.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied().unwrap_or(0.0)
    }

    /// What is counted of a topic, or of all of them.
    fn traffic(&self, name: &str, topic: Option<&str>) -> f64 {
        let labels: Vec<(&str, &str)> = topic.iter().map(|topic| ("topic", *topic)).collect();
        self.value(&format!("kafka_server_brokertopicmetrics_{name}_total"), &labels)
    }

    fn errors(&self, request: &str, error: &str) -> f64 {
        self.value("kafka_network_requestmetrics_errors_total", &[("error", error), ("request", request)])
    }

    fn requests(&self, request: &str, version: i16) -> f64 {
        let labels = [("request", request), ("version", &*version.to_string())];
        self.value("kafka_network_requestmetrics_requests_total", &labels)
    }

    /// The samples of a metric, each by its labels.
    fn series(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let of_name = self.samples.iter().filter(move |((other, _), _)| other == name);
        of_name.map(|((_, labels), value)| (labels, *value))
    }
}

/// Reads `name{label="value",...} number`; no value here needs an escape.
fn sample(line: &str) -> (&str, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap().split_terminator(',').map(|label| {
        let (name, value) = label.split_once('=').unwrap();
        (name.to_owned(), value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap().to_owned())
    });
    (name, labels.collect(), value.parse().unwrap_or_else(|_| panic!("{line}")))
}

async fn commit(client: &mut Client, group: &str, topic: &str, offset: i64) {
    client.find_coordinator(group).await;
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topics = OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topics]);
    assert_eq!(client.ask(7, &commit).await.topics[0].partitions[0].error_code, 0);
}

/// A broker with a topic of two partitions and 3 records, and a group that has read one of them.
async fn with_traffic() -> (Broker, Client, Topic) {
    let broker = broker().await;
    let (mut client, topic) = broker.client_with_topic("orders", 2).await;
    client.append(&topic, 0, &["a", "b", "c"]).await;
    assert_eq!(client.read(&topic, 0, 0).await.len(), 3);
    commit(&mut client, "kitchen", "orders", 1).await;
    (broker, client, topic)
}

#[tokio::test]
async fn the_text_is_what_the_format_says() {
    let (broker, _client, _) = with_traffic().await;
    let scrape = Scrape::of(&broker).await;
    for (name, kind) in &scrape.kinds {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let has_ending = ["_sum", "_count", "_bucket"].iter().any(|ending| name.ends_with(ending));
        assert_eq!(has_ending, UNCONVENTIONAL.contains(&&**name), "{name}");
    }
    let told: BTreeSet<&str> = scrape.kinds.keys().map(String::as_str).collect();
    // A broker that is alone follows nobody.
    let declared = Metric::ALL.iter().filter(|metric| **metric != Metric::FollowerLag);
    let declared: BTreeSet<&str> = declared.map(|metric| metric.name()).collect();
    assert_eq!(told, declared, "every metric of the table has a sample, where there is traffic");
    broker.stop().await;
}

#[tokio::test]
async fn the_metrics_of_kafka_exporter_are_there() {
    let (broker, _client, _) = with_traffic().await;
    let scrape = Scrape::of(&broker).await;
    let of_topic = ("topic", "orders");
    let (first, second) = ([("partition", "0"), of_topic], [("partition", "1"), of_topic]);
    let of_group = ("consumergroup", "kitchen");
    for (name, labels, value) in [
        ("kafka_brokers", &[][..], 1.0),
        ("kafka_topic_partitions", &[of_topic], 2.0),
        ("kafka_topic_partition_current_offset", &first, 3.0),
        ("kafka_topic_partition_oldest_offset", &first, 0.0),
        ("kafka_topic_partition_leader", &second, 1.0),
        ("kafka_topic_partition_replicas", &second, 1.0),
        ("kafka_topic_partition_in_sync_replica", &second, 1.0),
        ("kafka_topic_partition_leader_is_preferred", &second, 1.0),
        ("kafka_topic_partition_under_replicated_partition", &second, 0.0),
        ("kafka_consumergroup_current_offset", &[of_group, first[0], of_topic], 1.0),
        ("kafka_consumergroup_current_offset_sum", &[of_group, of_topic], 1.0),
        ("kafka_consumergroup_lag", &[of_group, first[0], of_topic], 2.0),
        ("kafka_consumergroup_lag_sum", &[of_group, of_topic], 2.0),
        ("kafka_consumergroup_members", &[of_group], 0.0),
    ] {
        let own = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(scrape.samples.get(&(name.to_owned(), own)), Some(&value), "{name}");
    }
    let address = format!("localhost:{}", broker.port());
    let local = format!("127.0.0.1:{}", broker.port());
    let info = scrape.series("kafka_broker_info").next().unwrap().0;
    assert!(info["id"] == "1" && [address, local].contains(&info["address"]), "{info:?}");
    broker.stop().await;
}

#[tokio::test]
async fn every_query_of_the_dashboard_finds_series() {
    let (broker, _client, _) = with_traffic().await;
    let scrape = Scrape::of(&broker).await;
    for (name, labels) in DASHBOARD {
        let mut found = scrape.series(name).filter(|(own, _)| own.get("topic").is_some_and(|topic| topic == "orders"));
        let own = found.next().unwrap_or_else(|| panic!("no series of {name}")).0;
        assert!(labels.iter().all(|label| own.contains_key(*label)), "{name} lacks one of {labels:?}: {own:?}");
    }
    let lag: f64 = scrape.series("kafka_consumergroup_lag").map(|(_, value)| value).sum();
    assert!(lag > 0.0, "there is a lag, and the query for it sums to {lag}");
    broker.stop().await;
}

#[tokio::test]
async fn traffic_counts_by_topic_and_in_all() {
    let (broker, mut client, topic) = with_traffic().await;
    let other = client.create_topic("others", 1, &[("max.message.bytes", "200")]).await;
    let before = Scrape::of(&broker).await;
    let records = batch(&["d", "e"]);
    let size = records.len() as f64;
    assert_eq!(client.produce(&topic, 1, records.clone()).await.error_code, 0);
    let too_large = batch(&["x".repeat(500).as_str()]);
    let rejected = too_large.len() as f64;
    assert_eq!(client.produce(&other, 0, too_large).await.error_code, 10);
    assert_eq!(client.produce(&Topic::unknown("nowhere"), 0, records).await.error_code, 3);
    assert_eq!(client.read(&topic, 1, 0).await.len(), 2);
    let after = Scrape::of(&broker).await;
    let more = |name, topic| after.traffic(name, topic) - before.traffic(name, topic);
    for (name, orders, others) in [
        ("messagesin", 2.0, 0.0),
        ("bytesin", size, 0.0),
        ("bytesout", size, 0.0),
        ("bytesrejected", 0.0, rejected),
        ("totalproducerequests", 1.0, 1.0),
        ("totalfetchrequests", 1.0, 0.0),
        ("failedproducerequests", 0.0, 0.0),
        ("failedfetchrequests", 0.0, 0.0),
    ] {
        let counted = (more(name, Some("orders")), more(name, Some("others")), more(name, None));
        assert_eq!(counted, (orders, others, orders + others), "{name}");
    }
    assert_eq!(after.traffic("messagesin", Some("orders")), 5.0);
    assert_eq!(after.series("kafka_server_brokertopicmetrics_bytesin_total").count(), 4, "with __consumer_offsets");
    broker.stop().await;
}

#[tokio::test]
async fn a_deleted_topic_leaves_what_it_has_moved_in_the_sum() {
    let (broker, mut client, _) = with_traffic().await;
    let deleted = client
        .ask(5, &DeleteTopicsRequest::default().with_timeout_ms(10_000).with_topic_names(vec![topic_name("orders")]))
        .await;
    assert_eq!(deleted.responses[0].error_code, 0);
    client.create_topic("orders", 1, &[]).await;
    let after = Scrape::of(&broker).await;
    let messages = |topic| after.traffic("messagesin", topic);
    assert_eq!(messages(Some("orders")), 0.0);
    assert_eq!(messages(None) - messages(Some("__consumer_offsets")), 3.0);
    broker.stop().await;
}

#[tokio::test]
async fn requests_count_by_version_and_their_errors_by_code() {
    let (broker, mut client, topic) = with_traffic().await;
    let before = Scrape::of(&broker).await;
    client.append(&topic, 0, &["d"]).await;
    assert_eq!(client.produce(&Topic::unknown("nowhere"), 0, batch(&["e"])).await.error_code, 3);
    client.ask::<ProduceRequest>(7, &produce(&topic, 0, batch(&["f"]))).await;
    client.ask::<FetchRequest>(FETCH, &fetch(&topic, &[(0, 0), (1, 99), (9, 0)])).await;
    let after = Scrape::of(&broker).await;
    let requests = |request, version| after.requests(request, version) - before.requests(request, version);
    assert_eq!((requests("Produce", PRODUCE), requests("Produce", 7), requests("Fetch", FETCH)), (2.0, 1.0, 1.0));
    let errors = |request, error| after.errors(request, error) - before.errors(request, error);
    let produced = ["NONE", "UNKNOWN_TOPIC_OR_PARTITION", "OFFSET_OUT_OF_RANGE"].map(|error| errors("Produce", error));
    assert_eq!(produced, [2.0, 1.0, 0.0]);
    // The answer's own place says "none" as well.
    let fetched = ["NONE", "UNKNOWN_TOPIC_OR_PARTITION", "OFFSET_OUT_OF_RANGE"].map(|error| errors("Fetch", error));
    assert_eq!(fetched, [2.0, 1.0, 1.0]);
    broker.stop().await;
}

#[tokio::test]
async fn each_answered_request_is_timed_once() {
    let (broker, mut client, topic) = with_traffic().await;
    let of_produce = [("request", "Produce")];
    let count = |scrape: &Scrape| scrape.value("klamm_request_duration_seconds_count", &of_produce);
    let before = count(&Scrape::of(&broker).await);
    for _ in 0..20 {
        client.append(&topic, 0, &["d"]).await;
    }
    // The last answer is here, and the broker may be about to note so.
    let mut scrape = Scrape::of(&broker).await;
    while count(&scrape) - before < 20.0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        scrape = Scrape::of(&broker).await;
    }
    assert_eq!(count(&scrape) - before, 20.0);
    let sum = scrape.value("klamm_request_duration_seconds_sum", &of_produce);
    assert!(sum > 0.0 && sum < 60.0, "{sum} s");
    let ms = scrape.value("kafka_network_requestmetrics_totaltimems_sum", &of_produce);
    assert!((ms - sum * 1e3).abs() < 1e-6, "{ms} ms are {sum} s");
    let buckets = |bound: &str| scrape.value("klamm_request_duration_seconds_bucket", &[("le", bound), of_produce[0]]);
    assert_eq!(buckets("+Inf"), count(&scrape));
    assert!(buckets("0.000064") <= buckets("0.016384") && buckets("0.016384") <= buckets("16.777216"));
    broker.stop().await;
}

#[tokio::test]
async fn a_long_poll_is_timed_until_its_answer() {
    let (broker, mut client, topic) = with_traffic().await;
    let of_fetch = [("request", "Fetch")];
    let sum = |scrape: &Scrape| scrape.value("klamm_request_duration_seconds_sum", &of_fetch);
    let before = sum(&Scrape::of(&broker).await);
    let request = fetch(&topic, &[(1, 0)]).with_max_wait_ms(300).with_min_bytes(1);
    client.ask::<FetchRequest>(FETCH, &request).await;
    let mut took = sum(&Scrape::of(&broker).await) - before;
    while took == 0.0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        took = sum(&Scrape::of(&broker).await) - before;
    }
    assert!((0.29..30.0).contains(&took), "{took} s");
    broker.stop().await;
}

#[tokio::test]
async fn connections_count_at_their_listener() {
    let (broker, client, _) = with_traffic().await;
    let listener = [("listener", "PLAINTEXT")];
    let count = |scrape: &Scrape, what: &str| {
        scrape.value(&format!("kafka_server_socketservermetrics_connection_{what}"), &listener)
    };
    let before = Scrape::of(&broker).await;
    drop(client);
    let second = broker.client().await;
    let mut after = Scrape::of(&broker).await;
    while count(&after, "close_total") == count(&before, "close_total") || count(&after, "count") < 1.0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        after = Scrape::of(&broker).await;
    }
    assert_eq!(count(&after, "creation_total") - count(&before, "creation_total"), 1.0);
    assert_eq!((count(&before, "count"), count(&after, "count")), (1.0, 1.0));
    drop(second);
    broker.stop().await;
}

#[tokio::test]
async fn two_brokers_of_one_process_count_apart() {
    let (first, _client, _) = with_traffic().await;
    let second = broker().await;
    let scrape = Scrape::of(&second).await;
    assert_eq!((scrape.traffic("messagesin", None), scrape.requests("Produce", PRODUCE)), (0.0, 0.0));
    assert_eq!(scrape.series("kafka_topic_partitions").count(), 0);
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn the_broker_and_its_process_are_described() {
    let (broker, _client, _) = with_traffic().await;
    let scrape = Scrape::of(&broker).await;
    let partitions = scrape.series("kafka_topic_partitions").map(|(_, value)| value).sum::<f64>();
    for (name, value) in [
        ("kafka_server_replicamanager_partitioncount", partitions),
        ("kafka_server_replicamanager_leadercount", partitions),
        ("kafka_server_replicamanager_atminisrpartitioncount", partitions),
        ("kafka_server_replicamanager_underminisrpartitioncount", 0.0),
        ("kafka_server_replicamanager_underreplicatedpartitions", 0.0),
        ("kafka_server_replicamanager_offlinereplicacount", 0.0),
        ("kafka_controller_kafkacontroller_activecontrollercount", 1.0),
        ("kafka_controller_kafkacontroller_activebrokercount", 1.0),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", 0.0),
        ("kafka_controller_kafkacontroller_globaltopiccount", 2.0),
        ("kafka_controller_kafkacontroller_globalpartitioncount", partitions),
    ] {
        assert_eq!(scrape.value(name, &[]), value, "{name}");
    }
    assert!(scrape.value("kafka_log_log_size", &[("partition", "0"), ("topic", "orders")]) > 60.0);
    assert_eq!(scrape.value("klamm_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.value("process_cpu_seconds_total", &[]) > 0.0);
    let open = scrape.value("process_open_fds", &[]);
    assert!(open > 3.0 && open < scrape.value("process_max_fds", &[]), "{open}");
    broker.stop().await;
}

#[tokio::test]
async fn series_of_each_partition_can_be_left_out() {
    let pairs = [("klamm.http.bind", "127.0.0.1:0"), ("klamm.metrics.per.partition", "false")];
    let broker = Broker::with(&pairs).await;
    let (mut client, topic) = broker.client_with_topic("orders", 2).await;
    client.append(&topic, 0, &["a", "b"]).await;
    commit(&mut client, "kitchen", "orders", 1).await;
    let scrape = Scrape::of(&broker).await;
    let of_partition = scrape.samples.keys().find(|(_, labels)| labels.contains_key("partition"));
    assert_eq!(of_partition, None);
    let lag = scrape.value("kafka_consumergroup_lag_sum", &[("consumergroup", "kitchen"), ("topic", "orders")]);
    assert_eq!((lag, scrape.value("kafka_topic_partitions", &[("topic", "orders")])), (1.0, 2.0));
    broker.stop().await;
}
