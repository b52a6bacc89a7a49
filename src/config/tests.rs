//! What follows from a set of keys.

use std::collections::BTreeMap;

use super::*;

fn refused(pairs: &[(&str, &str)]) -> String {
    Config::with(pairs).expect_err("the configuration was accepted").to_string()
}

fn overrides(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn every_row_of_the_table_holds_together() {
    let mut names = std::collections::BTreeSet::new();
    for key in keys::all() {
        assert!(names.insert(key.name), "{} is there twice", key.name);
        assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{} has no sentence", key.name);
        if let Some(default) = key.default {
            assert_eq!(key.check(key.name, default), Ok(()));
        }
    }
}

#[test]
fn a_row_has_an_effect_exactly_where_something_reads_it() {
    let bounds = group::BOUNDS.iter().flat_map(|(_, least, most)| least.iter().copied().chain([*most]));
    let typed = BrokerConfig::KEYS.iter().chain(TopicConfig::KEYS).chain(RESOLVED_KEYS).copied();
    let read: Vec<&str> = typed.chain(bounds).collect();
    for name in &read {
        let is_row = keys::all().any(|key| key.name == *name || key.topic_key() == Some(name));
        assert!(is_row, "{name} is not in the table");
    }
    for key in keys::all() {
        let is_read = read.contains(&key.name) || key.topic_key().is_some_and(|topic_key| read.contains(&topic_key));
        assert_eq!(key.has_effect, is_read, "{} is said to have an effect or none, wrongly", key.name);
    }
}

#[test]
fn a_key_without_effect_is_named_with_what_it_would_have_decided() {
    let config = Config::with(&[("num.partitions", "2"), ("controller.socket.timeout.ms", "4")]).unwrap();
    assert_eq!(
        config.without_effect(),
        [
            "--set: controller.socket.timeout.ms=4 has no effect here. In Kafka: How long a connection to the controller \
             waits."
        ]
    );
}

#[test]
fn a_typed_struct_begins_with_the_defaults_of_the_table() {
    let config = Config::with(&[]).unwrap();
    assert_eq!((config.broker, config.topic_defaults), (BrokerConfig::default(), TopicConfig::default()));
}

#[test]
fn a_broker_that_nobody_configured_is_a_single_node_on_localhost() {
    let config = Config::with(&[]).unwrap();
    assert_eq!(config.node_id, 1);
    assert_eq!(config.storage, Storage::Disk(DataDirectories::one("./data")));
    assert_eq!(config.inter_broker_listener, "PLAINTEXT");
    let localhost = HostPort { host: "localhost".to_owned(), port: 9092 };
    let listener = Listener {
        name: "PLAINTEXT".into(),
        bind: localhost.clone(),
        advertised: Some(localhost),
        protocol: SecurityProtocol::Plaintext,
    };
    assert_eq!(config.listeners, [listener]);
    assert_eq!(config.broker.offsets_topic_num_partitions, 50);
    assert_eq!(config.broker.group_initial_rebalance_delay_ms, 200);
    assert_eq!(config.topic_defaults.retention_ms, 604_800_000);
    assert_eq!(config.topic_defaults.segment_bytes, 1 << 30);
    assert_eq!(config.topic_defaults.cleanup_policy, CleanupPolicy { compact: false, delete: true });
}

#[test]
fn setting_every_key_to_its_default_changes_nothing() {
    let unset = Config::with(&[]).unwrap();
    for key in keys::all().filter(|key| key.is_for_broker()) {
        let Some(default) = key.default else { continue };
        let set = Config::with(&[(key.name, default)]).unwrap();
        assert_eq!((set.broker, set.topic_defaults, set.listeners), parts(&unset), "{}", key.name);
    }
}

fn parts(config: &Config) -> (BrokerConfig, TopicConfig, Vec<Listener>) {
    (config.broker.clone(), config.topic_defaults.clone(), config.listeners.clone())
}

#[test]
fn the_first_of_several_broker_keys_is_the_topics_default() {
    let retention = |pairs: &[(&str, &str)]| Config::with(pairs).unwrap().topic_defaults.retention_ms;
    assert_eq!(retention(&[("log.retention.hours", "2")]), 7_200_000);
    assert_eq!(retention(&[("log.retention.hours", "-1")]), -1);
    assert_eq!(retention(&[("log.retention.minutes", "3"), ("log.retention.hours", "2")]), 180_000);
    assert_eq!(retention(&[("log.retention.ms", "5"), ("log.retention.minutes", "3")]), 5);
    let flush = Config::with(&[("log.flush.scheduler.interval.ms", "40")]).unwrap();
    assert_eq!((flush.topic_defaults.flush_ms, flush.broker.log_flush_scheduler_interval_ms), (40, 40));
    assert_eq!(flush.text("flush.ms").as_deref(), Some("40"));
    assert!(refused(&[("log.retention.minutes", "0")]).contains("unlimited"));
}

#[test]
fn a_topics_overrides_win_over_the_brokers_defaults() {
    let config = Config::with(&[("log.segment.bytes", "2000000"), ("message.max.bytes", "500")]).unwrap();
    let topic = config.topic(&overrides(&[("cleanup.policy", "compact"), ("segment.ms", "7"), ("segment.bytes", "1")]));
    assert_eq!(topic.cleanup_policy, CleanupPolicy { compact: true, delete: false });
    assert_eq!((topic.segment_ms, topic.max_message_bytes), (7, 500));
    assert_eq!(topic.segment_bytes, 2_000_000, "an invalid override was taken");
    assert_eq!(config.topic(&overrides(&[("internal.segment.bytes", "64")])).internal_segment_bytes, Some(64));
}

#[test]
fn a_topics_configs_are_checked_as_kafka_checks_them() {
    let config = Config::with(&[]).unwrap();
    let refused = |pairs: &[(&'static str, Option<&'static str>)]| {
        config.validate_topic(pairs.iter().copied()).expect_err("accepted").to_string()
    };
    assert_eq!(
        config.validate_topic([("retention.ms", Some("-1")), ("cleanup.policy", Some("compact,delete"))]),
        Ok(())
    );
    assert_eq!(refused(&[("retention.ms", None)]), "Null value not supported for topic configs: retention.ms");
    assert_eq!(refused(&[("retention", Some("1"))]), "Unknown topic config name: retention");
    assert_eq!(refused(&[("log.retention.ms", Some("1"))]), "Unknown topic config name: log.retention.ms");
    assert_eq!(
        refused(&[("retention.ms", Some("-2"))]),
        "Invalid value -2 for configuration retention.ms: Value must be at least -1"
    );
    assert_eq!(
        refused(&[("cleanup.policy", Some("shred"))]),
        "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete"
    );
    assert_eq!(
        refused(&[("min.compaction.lag.ms", Some("9")), ("max.compaction.lag.ms", Some("8"))]),
        "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)"
    );
    assert!(refused(&[("remote.storage.enable", Some("true"))]).starts_with("Tiered Storage"));
}

#[test]
fn listeners_are_resolved_across_their_keys() {
    let config = Config::with(&[
        ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093,BROKER://0.0.0.0:9094"),
        ("advertised.listeners", "BROKER://kafka:19094,PLAINTEXT://0.0.0.0:9092,"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:SSL,BROKER:PLAINTEXT"),
        ("controller.listener.names", "controller"),
        ("inter.broker.listener.name", "broker"),
    ])
    .unwrap();
    let told: Vec<(String, String)> = config
        .listeners
        .iter()
        .map(|listener| (listener.name.to_string(), listener.advertised.clone().unwrap_or_default().to_string()))
        .collect();
    assert_eq!(told, [("PLAINTEXT".to_owned(), ":9092".to_owned()), ("BROKER".to_owned(), "kafka:19094".to_owned())]);
    assert_eq!(config.inter_broker_listener, "BROKER");
    let silent = Config::with(&[
        ("listeners", "PLAINTEXT://a:1,B://b:2"),
        ("advertised.listeners", "PLAINTEXT://a:1"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,B:PLAINTEXT"),
    ]);
    assert_eq!(silent.unwrap().listeners[1].advertised, None);
}

#[test]
fn contradictions_are_refused_with_their_reason() {
    assert!(refused(&[("listeners", "BROKER://:9092")]).contains("BROKER has no protocol"));
    assert!(refused(&[("listeners", "SSL://:9092")]).contains("only PLAINTEXT is served yet"));
    assert!(refused(&[("listeners", "")]).contains("none for clients"));
    assert!(
        refused(&[("advertised.listeners", "OTHER://h:1")])
            .contains("OTHER is advertised, and is not among the listeners")
    );
    assert!(refused(&[("inter.broker.listener.name", "OTHER")]).contains("OTHER is none of the advertised listeners"));
    assert!(refused(&[("process.roles", "controller")]).contains("a controller alone is not served"));
    let both = "A:PLAINTEXT,B:PLAINTEXT";
    for (listeners, is_shared) in [
        ("A://one:1,B://one:1", true),
        ("A://one:1,B://two:1", false),
        ("A://:1,B://two:1", true),
        ("A://one:1,B://0.0.0.0:1", true),
        ("A://:0,B://:0", false),
    ] {
        let config = Config::with(&[("listeners", listeners), ("listener.security.protocol.map", both)]);
        let refused = config.is_err_and(|errors| errors.to_string().contains("A and B are both to listen on port 1"));
        assert_eq!(refused, is_shared, "{listeners}");
    }
    assert!(refused(&[("log.dirs", "/a,/b,/a")]).contains("it names /a twice"));
    assert!(refused(&[("log.dirs", "/a,/b,/b")]).contains("it names /b twice"));
    assert!(refused(&[("log.dir", "")]).contains("it must name a directory"));
    assert!(refused(&[("node.id", "1"), ("broker.id", "2")]).contains("node.id is 1"));
    assert_eq!(Config::with(&[("broker.id", "4")]).unwrap().node_id, 4);
    assert_eq!(Config::with(&[("klamm.storage.kind", "memory")]).unwrap().storage, Storage::Memory);
}

#[test]
fn data_may_be_in_several_directories_and_the_metadata_in_the_first_or_in_one_of_its_own() {
    let directories = |pairs: &[(&str, &str)]| match Config::with(pairs).unwrap().storage {
        Storage::Disk(directories) => directories,
        Storage::Memory => panic!("in memory"),
    };
    let of = |log_dirs: &[&str], metadata: &str| DataDirectories {
        log_dirs: log_dirs.iter().map(Into::into).collect(),
        metadata: metadata.into(),
    };
    assert_eq!(directories(&[("log.dirs", "/a, /b")]), of(&["/a", "/b"], "/a"));
    assert_eq!(directories(&[("log.dir", "/a,/b")]), of(&["/a", "/b"], "/a"));
    assert_eq!(directories(&[("log.dirs", "/a,/b"), ("log.dir", "/c")]), of(&["/a", "/b"], "/a"));
    let second = directories(&[("log.dirs", "/a,/b"), ("metadata.log.dir", "/b")]);
    assert_eq!(second, of(&["/a", "/b"], "/b"));
    assert_eq!(second.all(), ["/b", "/a"].map(std::path::Path::new));
    let apart = directories(&[("log.dirs", "/a"), ("metadata.log.dir", "/m")]);
    assert_eq!(apart.all(), ["/m", "/a"].map(std::path::Path::new));
}

#[test]
fn what_clients_set_while_the_broker_runs_lies_over_the_file() {
    let dynamic = |cluster_wide: &[(&str, &str)], per_broker: &[(&str, &str)]| {
        let config = Config::with(&[("log.retention.ms", "5"), ("num.partitions", "2")]).unwrap();
        config.with_dynamic(overrides(cluster_wide), overrides(per_broker)).unwrap()
    };
    let config =
        dynamic(&[("message.max.bytes", "100"), ("log.segment.bytes", "2000000")], &[("message.max.bytes", "200")]);
    assert_eq!((config.topic_defaults.max_message_bytes, config.topic_defaults.segment_bytes), (200, 2_000_000));
    assert_eq!(
        (config.origin("message.max.bytes"), config.origin("log.segment.bytes")),
        (Origin::PerBroker, Origin::ClusterWide)
    );
    // What was refused when a client asked for it holds as little when it is found in the metadata.
    let config = dynamic(&[("num.partitions", "9"), ("log.segment.bytes", "1"), ("my.own.key", "x")], &[]);
    assert_eq!((config.broker.num_partitions, config.topic_defaults.segment_bytes), (2, 1 << 30));
    // What is set while the broker runs is withdrawn whole.
    assert_eq!(dynamic(&[("log.retention.ms", "7")], &[]).topic_defaults.retention_ms, 7);
    assert_eq!(dynamic(&[], &[]).topic_defaults.retention_ms, 5);
}

#[test]
fn a_quorum_of_several_has_a_controller_listener() {
    let voters = ("controller.quorum.voters", "2@b:9193,1@a:9093");
    let told = |pairs: &[(&str, &str)]| {
        let config = Config::with(pairs).unwrap();
        let listener = config.controller_listener.map(|listener| format!("{}://{}", listener.name, listener.bind));
        (config.quorum_voters.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), listener)
    };
    let both = "1@a:9093,2@b:9193".to_owned();
    assert_eq!(told(&[voters, ("node.id", "2")]), (both.clone(), Some("CONTROLLER://:9193".to_owned())));
    let named = [
        voters,
        ("listeners", "PLAINTEXT://:9092,CTRL://127.0.0.1:0"),
        ("controller.listener.names", "ctrl"),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CTRL:PLAINTEXT"),
    ];
    assert_eq!(told(&named), (both, Some("CTRL://127.0.0.1:0".to_owned())));
    let alone = [("controller.quorum.voters", "1@localhost:9093"), ("controller.listener.names", "CONTROLLER")];
    assert_eq!(told(&alone), (String::new(), None));
    assert!(refused(&[voters, ("node.id", "3")]).contains("this node, 3, is not among them"));
    assert!(refused(&[("controller.quorum.voters", "1@a:1,1@b:1")]).contains("have the same node id"));
    assert!(refused(&[voters, ("listeners", "PLAINTEXT://:9093")]).contains("PLAINTEXT is to listen on that port"));
    let secret = [named[0], named[1], named[2], (named[3].0, "PLAINTEXT:PLAINTEXT,CTRL:SSL")];
    assert!(refused(&secret).contains("CTRL is to speak SSL"));
}
