//! The topics that coordinators keep their state in, which are created when somebody first needs them.

use crate::config::{BrokerConfig, Config, Origin};
use crate::controller::{CreateTopics, NewTopic};
use crate::ids::{GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC, Uuid};

/// How many replicas Kafka gives such topics.
const KAFKAS_REPLICAS: i16 = 3;

/// `__consumer_offsets`, with the configuration that Kafka gives it.
pub(super) fn group_metadata(config: &Config) -> CreateTopics {
    let replicas =
        replicas(config, "offsets.topic.replication.factor", |config| config.offsets_topic_replication_factor);
    let config = &config.broker;
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
    ];
    create(config, GROUP_METADATA_TOPIC, config.offsets_topic_num_partitions, replicas, configs)
}

/// `__transaction_state`, with the configuration that Kafka gives it.
pub(super) fn transaction_state(config: &Config) -> CreateTopics {
    let replicas = replicas(config, "transaction.state.log.replication.factor", |config| {
        config.transaction_state_log_replication_factor
    });
    let config = &config.broker;
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "uncompressed".to_owned()),
        ("min.insync.replicas", config.transaction_state_log_min_isr.to_string()),
        ("segment.bytes", config.transaction_state_log_segment_bytes.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    let partitions = config.transaction_state_log_num_partitions;
    create(config, TRANSACTION_STATE_TOPIC, partitions, replicas, configs)
}

/// What `name` says; where nobody has set it, Kafka's number in a cluster that is made for it, and the default of one
/// broker elsewhere.
fn replicas(config: &Config, name: &str, configured: fn(&BrokerConfig) -> i16) -> i16 {
    let is_open = matches!(config.origin(name), Origin::Default | Origin::Program);
    if is_open && config.quorum_voters.len() >= usize::from(KAFKAS_REPLICAS.unsigned_abs()) {
        return KAFKAS_REPLICAS;
    }
    configured(&config.broker)
}

fn create<const N: usize>(
    config: &BrokerConfig,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: [(&str, String); N],
) -> CreateTopics {
    let topic = NewTopic {
        name: name.into(),
        id: Uuid::new_v4(),
        partitions,
        replication_factor,
        assignments: Vec::new(),
        configs: Ok(configs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
    };
    // The leaders of such topics need not be spread by chance: there are many partitions.
    CreateTopics { seed: 0, ..CreateTopics::with_defaults(config, vec![topic]) }
}
