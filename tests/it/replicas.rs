//! What a leader serves to a follower on another broker, which is played by a connection.

use kafka_protocol::messages::create_topics_request::CreatableReplicaAssignment;
use kafka_protocol::messages::fetch_request::ReplicaState;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{BrokerId, CreateTopicsRequest, TopicName};
use klamm::controller::{BrokerHeartbeat, RegisterBroker};
use klamm::ids::Uuid;

use crate::broker::{Broker, Client, FETCH, PRODUCE, Topic, batch, fetch, list_offsets, new_topic, produce, records};
use crate::server::within;

/// A version that names the fetching replica and its broker's epoch.
const FETCH_BY_REPLICA: i16 = 17;

const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const UNKNOWN_LEADER_EPOCH: i16 = 75;

/// Has broker 2 registered, and alive; its epoch.
async fn register_another(broker: &Broker) -> i64 {
    let inside = broker.0.broker();
    let request = RegisterBroker {
        id: 2,
        cluster_id: inside.image().cluster_id().clone(),
        incarnation: Uuid::new_v4(),
        listeners: Vec::new(),
        rack: None,
        log_dirs: vec![Uuid::from_u128(2_000)],
        previous_broker_epoch: -1,
    };
    let broker_epoch = within(inside.controller.register_broker(request)).await.unwrap().response.unwrap();
    let heartbeat = BrokerHeartbeat {
        broker_id: 2,
        broker_epoch,
        current_metadata_offset: i64::MAX,
        wants_fence: false,
        wants_shutdown: false,
    };
    let alive = within(inside.controller.broker_heartbeat(heartbeat)).await.unwrap();
    within(inside.replicas_applied(alive.image_offset)).await.unwrap();
    broker_epoch
}

/// A topic whose partition is led by 1 and followed by 2.
async fn followed_topic(client: &mut Client) -> Topic {
    let assignment =
        CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(vec![BrokerId(1), BrokerId(2)]);
    let topic = new_topic("t", -1, -1).with_assignments(vec![assignment]);
    let response = client.ask(7, &CreateTopicsRequest::default().with_topics(vec![topic])).await;
    assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    Topic { name: response.topics[0].name.clone(), id: response.topics[0].topic_id }
}

async fn fetch_as(
    client: &mut Client,
    topic: &Topic,
    (replica, broker_epoch): (i32, i64),
    (offset, leader_epoch): (i64, i32),
) -> PartitionData {
    let replica = ReplicaState::default().with_replica_id(BrokerId(replica)).with_replica_epoch(broker_epoch);
    let mut request = fetch(topic, &[(0, offset)]).with_replica_state(replica);
    request.topics[0].partitions[0].current_leader_epoch = leader_epoch;
    request.topics[0].topic = TopicName::default();
    let mut response = client.ask(FETCH_BY_REPLICA, &request).await;
    response.responses.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn a_follower_reads_to_the_logs_end_and_what_it_has_is_committed() {
    let broker = Broker::start().await;
    let epoch = register_another(&broker).await;
    let (mut client, mut follower) = (broker.client().await, broker.client().await);
    let topic = followed_topic(&mut client).await;
    let produced = client.0.send(PRODUCE, &produce(&topic, 0, batch(&["a"]))).await.unwrap();
    let found = loop {
        let found = fetch_as(&mut follower, &topic, (2, epoch), (0, 0)).await;
        if !records(&found).is_empty() {
            break found;
        }
    };
    assert_eq!(records(&found), [(0, "a".to_owned())]);
    assert_eq!((found.error_code, found.high_watermark), (0, 0), "it has nothing yet");
    // A consumer does not see it.
    let mut consumer = broker.client().await;
    assert_eq!(consumer.ask(FETCH, &fetch(&topic, &[(0, 0)])).await.responses[0].partitions[0].high_watermark, 0);
    assert_eq!(consumer.offset(&topic, 0, -1).await, 0);
    let by_follower = list_offsets(&topic, 0, -1).with_replica_id(BrokerId(2));
    assert_eq!(follower.ask(6, &by_follower).await.topics[0].partitions[0].offset, 1);
    let found = fetch_as(&mut follower, &topic, (2, epoch), (1, 0)).await;
    assert_eq!((found.error_code, found.high_watermark), (0, 1));
    let response = within(client.0.receive(produced)).await.unwrap();
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    assert_eq!(consumer.read(&topic, 0, 0).await, ["a"]);
    broker.stop().await;
}

#[tokio::test]
async fn a_fetch_by_no_replica_or_by_one_of_another_time_is_refused() {
    let broker = Broker::start().await;
    let epoch = register_another(&broker).await;
    let mut client = broker.client().await;
    let topic = followed_topic(&mut client).await;
    for (replica, position, code) in [
        ((2, epoch), (0, 0), 0),
        ((2, epoch), (0, 7), UNKNOWN_LEADER_EPOCH),
        ((3, 9), (0, 0), UNKNOWN_LEADER_EPOCH),
        ((3, 9), (0, -1), NOT_LEADER_OR_FOLLOWER),
        // Before it restarted.
        ((2, epoch - 1), (0, 0), NOT_LEADER_OR_FOLLOWER),
    ] {
        let found = fetch_as(&mut client, &topic, replica, position).await;
        assert_eq!(found.error_code, code, "{replica:?} at {position:?}");
    }
    broker.stop().await;
}
