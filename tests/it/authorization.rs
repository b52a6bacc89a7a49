//! Every API of the table, asked by somebody who may do nothing: the answer says so, nothing is told and nothing is done.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsResource};
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialDeletion;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest as ProducersOfTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig,
};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use klamm::api::{APIS, Dispatcher, client_apis};
use klamm::clock::Clock;
use klamm::ids::Uuid;
use klamm::network::channel::encode_request;
use klamm::network::{Answer, Endpoints, Handled, Service};
use klamm::protocol::frame::Piece;
use klamm::security::{Authorizer, Operation, Principal, Resource, ResourceType};

use crate::broker::{
    Broker, Topic, batch, builder, fetch, group_id, list_offsets, new_topic, produce, text, topic_name,
};
use crate::security::{AllowNothing, describe_acls};
use crate::transaction_authorization::of_transactions;

pub(crate) const TOPIC: &str = "hidden-topic";
pub(crate) const GROUP: &str = "hidden-group";

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
pub(crate) const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const GROUP_AUTHORIZATION_FAILED: i16 = 30;
pub(crate) const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
pub(crate) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;
const DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: i16 = 64;

/// Versions up to which an API's answer has no place for its error, so that it is empty.
const SILENT: (i16, i16) = (DescribeLogDirsRequest::KEY, 2);

/// APIs whose requests here are refused for other reasons than authorisation, in the order of their keys.
const NEVER_DONE: &[i16] = &[
    // Nobody is a member of the group.
    JoinGroupRequest::KEY,
    HeartbeatRequest::KEY,
    LeaveGroupRequest::KEY,
    SyncGroupRequest::KEY,
    // There are no ACLs.
    DescribeAclsRequest::KEY,
    CreateAclsRequest::KEY,
    DeleteAclsRequest::KEY,
    // There is no such directory.
    AlterReplicaLogDirsRequest::KEY,
    // There are no tokens.
    CreateDelegationTokenRequest::KEY,
    RenewDelegationTokenRequest::KEY,
    ExpireDelegationTokenRequest::KEY,
    DescribeDelegationTokenRequest::KEY,
    // The leader is the preferred one.
    ElectLeadersRequest::KEY,
    // There is no such credential, level or voter.
    AlterUserScramCredentialsRequest::KEY,
    UpdateFeaturesRequest::KEY,
    AddRaftVoterRequest::KEY,
    RemoveRaftVoterRequest::KEY,
];

/// A request that names something, and the only error that its answer may hold; 0 where Kafka says nothing and leaves out.
pub(crate) struct Case {
    key: i16,
    error: i16,
    /// The request at a version, with its header; `None` where that version cannot hold it.
    frame: Box<dyn Fn(i16) -> Option<Bytes>>,
    /// The response as text.
    tell: fn(Bytes, i16) -> String,
}

pub(crate) fn case<R>(error: i16, request: impl Fn(i16) -> R + 'static) -> Case
where
    R: Request,
    R::Response: Decodable + HeaderVersion + Debug,
{
    Case {
        key: R::KEY,
        error,
        frame: Box::new(move |version| encode_request(1, &text("it"), version, &request(version)).ok()),
        tell: |mut bytes, version| {
            ResponseHeader::decode(&mut bytes, R::Response::header_version(version)).unwrap();
            let response = R::Response::decode(&mut bytes, version).unwrap();
            assert!(bytes.is_empty(), "bytes are left over after {response:?}");
            format!("{response:?}")
        },
    }
}

fn produced(topic: &Topic) -> Vec<Case> {
    let (one, two, three, four) = (topic.clone(), topic.clone(), topic.clone(), topic.clone());
    let transactional = builder(&["a"]).producer(7, 0, 0).transactional().build();
    let transactional = produce(topic, 0, transactional).with_transactional_id(Some(text("hidden").into()));
    let unknown = produce(&Topic::unknown("hidden-topic-too"), 0, batch(&["a"]));
    let replica = fetch(topic, &[(0, 0)]).with_replica_id(BrokerId(1));
    vec![
        case(TOPIC_AUTHORIZATION_FAILED, move |_| produce(&one, 0, batch(&["a"]))),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, move |_| transactional.clone()),
        // Whether there is such a topic is not told; ids are no secret.
        case(TOPIC_AUTHORIZATION_FAILED, move |version| {
            if version < 13 { unknown.clone() } else { produce(&three, 0, batch(&["a"])) }
        }),
        case(TOPIC_AUTHORIZATION_FAILED, move |_| fetch(&two, &[(0, 0)]).with_max_wait_ms(60_000).with_min_bytes(1)),
        case(TOPIC_AUTHORIZATION_FAILED, move |_| replica.clone()),
        case(TOPIC_AUTHORIZATION_FAILED, move |_| list_offsets(&four, 0, -1)),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let partition = DeleteRecordsPartition::default().with_offset(-1);
            let topic = DeleteRecordsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
            DeleteRecordsRequest::default().with_topics(vec![topic])
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let partition = OffsetForLeaderPartition::default();
            let topic = OffsetForLeaderTopic::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
            OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let topic = ProducersOfTopic::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
            DescribeProducersRequest::default().with_topics(vec![topic])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| InitProducerIdRequest::default().with_transactional_id(None)),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |_| {
            InitProducerIdRequest::default().with_transactional_id(Some(text("hidden").into()))
        }),
    ]
}

fn of_groups() -> Vec<Case> {
    vec![
        case(GROUP_AUTHORIZATION_FAILED, |_| {
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
            let topic =
                OffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
            OffsetCommitRequest::default().with_group_id(group_id(GROUP)).with_topics(vec![topic])
        }),
        case(GROUP_AUTHORIZATION_FAILED, |version| {
            if version >= 8 {
                let topic =
                    OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
                let group =
                    OffsetFetchRequestGroup::default().with_group_id(group_id(GROUP)).with_topics(Some(vec![topic]));
                return OffsetFetchRequest::default().with_groups(vec![group]);
            }
            let topic = OffsetFetchRequestTopic::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
            OffsetFetchRequest::default().with_group_id(group_id(GROUP)).with_topics(Some(vec![topic]))
        }),
        case(GROUP_AUTHORIZATION_FAILED, |version| coordinator(version, GROUP, 0)),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |version| coordinator(version, "hidden", 1)),
        case(GROUP_AUTHORIZATION_FAILED, |_| {
            JoinGroupRequest::default().with_group_id(group_id(GROUP)).with_session_timeout_ms(10_000)
        }),
        case(GROUP_AUTHORIZATION_FAILED, |_| HeartbeatRequest::default().with_group_id(group_id(GROUP))),
        case(GROUP_AUTHORIZATION_FAILED, |version| {
            let leave = LeaveGroupRequest::default().with_group_id(group_id(GROUP));
            let member = MemberIdentity::default().with_member_id(text("m"));
            if version >= 3 { leave.with_members(vec![member]) } else { leave.with_member_id(text("m")) }
        }),
        case(GROUP_AUTHORIZATION_FAILED, |_| {
            SyncGroupRequest::default()
                .with_group_id(group_id(GROUP))
                .with_protocol_type(Some(text("consumer")))
                .with_protocol_name(Some(text("range")))
        }),
        case(GROUP_AUTHORIZATION_FAILED, |_| DescribeGroupsRequest::default().with_groups(vec![group_id(GROUP)])),
        case(0, |_| ListGroupsRequest::default()),
        case(GROUP_AUTHORIZATION_FAILED, |_| DeleteGroupsRequest::default().with_groups_names(vec![group_id(GROUP)])),
        case(GROUP_AUTHORIZATION_FAILED, |_| {
            let partition = OffsetDeleteRequestPartition::default();
            let topic =
                OffsetDeleteRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
            OffsetDeleteRequest::default().with_group_id(group_id(GROUP)).with_topics(vec![topic])
        }),
    ]
}

fn coordinator(version: i16, key: &str, key_type: i8) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(key_type);
    if version >= 4 { request.with_coordinator_keys(vec![text(key)]) } else { request.with_key(text(key)) }
}

fn of_topics(topic: &Topic) -> Vec<Case> {
    let id = topic.id;
    vec![
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let topic = |name| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
            MetadataRequest::default()
                .with_topics(Some(vec![topic(TOPIC), topic("hidden-topic-too")]))
                .with_allow_auto_topic_creation(true)
        }),
        case(0, |version| MetadataRequest::default().with_topics((version == 0).then(Vec::new))),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let topic = TopicRequest::default().with_name(topic_name(TOPIC));
            DescribeTopicPartitionsRequest::default().with_topics(vec![topic]).with_response_partition_limit(10)
        }),
        case(0, |_| DescribeTopicPartitionsRequest::default().with_response_partition_limit(10)),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            CreateTopicsRequest::default().with_topics(vec![new_topic("another", 1, 1)]).with_timeout_ms(1000)
        }),
        case(TOPIC_AUTHORIZATION_FAILED, move |version| {
            let by_id = DeleteTopicState::default().with_name(None).with_topic_id(id);
            let delete = DeleteTopicsRequest::default().with_timeout_ms(1000);
            if version >= 6 {
                delete.with_topics(vec![by_id])
            } else {
                delete.with_topic_names(vec![topic_name(TOPIC)])
            }
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let topic =
                CreatePartitionsTopic::default().with_name(topic_name(TOPIC)).with_count(5).with_assignments(None);
            CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000)
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let topic = DescribeConfigsResource::default().with_resource_type(2).with_resource_name(text(TOPIC));
            DescribeConfigsRequest::default().with_resources(vec![topic])
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let value = Some(text("1"));
            let config =
                alter_configs_request::AlterableConfig::default().with_name(text("retention.ms")).with_value(value);
            let topic = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text(TOPIC));
            AlterConfigsRequest::default().with_resources(vec![topic.with_configs(vec![config])])
        }),
        case(TOPIC_AUTHORIZATION_FAILED, |_| {
            let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1")));
            let topic = IncrementalResource::default().with_resource_type(2).with_resource_name(text(TOPIC));
            IncrementalAlterConfigsRequest::default().with_resources(vec![topic.with_configs(vec![config])])
        }),
    ]
}

fn of_the_cluster() -> Vec<Case> {
    vec![
        case(CLUSTER_AUTHORIZATION_FAILED, |_| describe_acls()),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let creation = AclCreation::default().with_resource_type(2).with_resource_name(text(TOPIC));
            let creation = creation.with_operation(3).with_permission_type(3).with_principal(text("User:a"));
            CreateAclsRequest::default()
                .with_creations(vec![creation.with_host(text("*")).with_resource_pattern_type(3)])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let filter = DeleteAclsFilter::default().with_resource_type_filter(2).with_pattern_type_filter(1);
            DeleteAclsRequest::default().with_filters(vec![filter.with_operation(1).with_permission_type(1)])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![0]);
            let directory = AlterReplicaLogDir::default().with_path(text("/nowhere")).with_topics(vec![topic]);
            AlterReplicaLogDirsRequest::default().with_dirs(vec![directory])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| DescribeLogDirsRequest::default().with_topics(None)),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let topic = TopicPartitions::default().with_topic(topic_name(TOPIC)).with_partitions(vec![0]);
            ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic])).with_timeout_ms(1000)
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let partition = ReassignablePartition::default().with_replicas(Some(vec![BrokerId(1)]));
            let topic = ReassignableTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
            AlterPartitionReassignmentsRequest::default().with_topics(vec![topic])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| ListPartitionReassignmentsRequest::default().with_topics(None)),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| DescribeClientQuotasRequest::default()),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text("a")));
            let rate = OpData::default().with_key(text("producer_byte_rate")).with_value(1.0);
            let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![rate]);
            AlterClientQuotasRequest::default().with_entries(vec![entry])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| DescribeUserScramCredentialsRequest::default().with_users(None)),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let deletion = ScramCredentialDeletion::default().with_name(text("a")).with_mechanism(1);
            AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let topic = TopicData::default().with_topic_name(topic_name("__cluster_metadata"));
            let topic = topic.with_partitions(vec![PartitionData::default()]);
            DescribeQuorumRequest::default().with_topics(vec![topic])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let feature = FeatureUpdateKey::default().with_feature(text("metadata.version")).with_max_version_level(1);
            UpdateFeaturesRequest::default().with_feature_updates(vec![feature])
        }),
        case(0, |_| DescribeClusterRequest::default().with_include_cluster_authorized_operations(true)),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| UnregisterBrokerRequest::default().with_broker_id(BrokerId(1))),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| ListConfigResourcesRequest::default()),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let listener = Listener::default().with_name(text("CONTROLLER")).with_host(text("h")).with_port(9);
            AddRaftVoterRequest::default().with_voter_id(2).with_listeners(vec![listener])
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| RemoveRaftVoterRequest::default().with_voter_id(1)),
        // Who is not authenticated has no tokens to be asked about, as in Kafka.
        case(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, |_| CreateDelegationTokenRequest::default()),
        case(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, |_| RenewDelegationTokenRequest::default()),
        case(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, |_| ExpireDelegationTokenRequest::default()),
        case(DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, |_| DescribeDelegationTokenRequest::default()),
        case(0, |version| {
            let name = if version >= 3 { text("it") } else { text("") };
            ApiVersionsRequest::default().with_client_software_name(name.clone()).with_client_software_version(name)
        }),
    ]
}

/// At least one case for every API.
fn cases(topic: &Topic) -> Vec<Case> {
    [of_transactions(), produced(topic), of_groups(), of_topics(topic), of_the_cluster()]
        .into_iter()
        .flatten()
        .collect()
}

async fn ask(dispatcher: &Dispatcher, mut frame: Bytes) -> Bytes {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut session = dispatcher.open(Endpoints { listener: "PLAINTEXT".into(), peer: address, local: address });
    frame.advance(4);
    let Answer { frame, .. } = match dispatcher.handle(&mut session, frame).await {
        Handled::Ready(answer) => answer,
        Handled::Owed(answer) => answer.await.unwrap(),
        Handled::NoAnswer(_) => panic!("it has an answer"),
    };
    let bytes = frame.into_pieces().flat_map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::File(_) => panic!("records were sent"),
    });
    bytes.skip(4).collect()
}

/// Allows what a function says.
#[derive(Debug)]
pub(crate) struct AllowOnly(pub(crate) fn(Operation, ResourceType) -> bool);

impl Authorizer for AllowOnly {
    fn allows(&self, _: &Principal, _: IpAddr, operation: Operation, resource: Resource<'_>) -> bool {
        (self.0)(operation, resource.resource_type)
    }
}

/// The codes of all errors in a response's text.
pub(crate) fn errors(told: &str) -> BTreeSet<i16> {
    let codes = [" error_code: ", " partition_error_code: "].into_iter().flat_map(|name| told.split(name).skip(1));
    let codes = codes.filter_map(|rest| rest.split([',', ' ']).next()?.parse().ok());
    codes.filter(|code| *code != 0).collect()
}

/// What there is: the cluster's metadata, the end of the topic's log, the group's offset, and the transaction.
async fn state(broker: &Broker, topic: &Topic) -> impl PartialEq + Debug + use<> {
    let mut client = broker.client().await;
    let end = client.offset(topic, 0, -1).await;
    let start = client.offset(topic, 0, -2).await;
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id(GROUP));
    let offsets = client.ask(8, &OffsetFetchRequest::default().with_groups(vec![group.with_topics(None)])).await;
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![text("hidden").into()]);
    let transaction = client.ask(0, &describe).await;
    (broker.0.broker().image(), start, end, format!("{offsets:?} {transaction:?}"))
}

/// A broker with a topic that has a record, a group that has an offset, and a transactional producer.
pub(crate) async fn start() -> (Broker, Topic) {
    let broker = Broker::start().await;
    let (mut client, topic) = broker.client_with_topic(TOPIC, 1).await;
    client.append(&topic, 0, &["a secret"]).await;
    client.find_coordinator(GROUP).await;
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let committed = OffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default().with_group_id(group_id(GROUP)).with_topics(vec![committed]);
    let commit = commit.with_generation_id_or_member_epoch(-1);
    assert_eq!(client.ask(8, &commit).await.topics[0].partitions[0].error_code, 0);
    assert_eq!(client.ask(3, &coordinator(3, "hidden", 1)).await.error_code, 0);
    let init = InitProducerIdRequest::default().with_transactional_id(Some(text("hidden").into()));
    let producer = client.ask(4, &init.with_transaction_timeout_ms(60_000)).await;
    assert_eq!((producer.error_code, producer.producer_id.0, producer.producer_epoch), (0, 0, 0));
    (broker, topic)
}

pub(crate) fn dispatcher(broker: &Broker, authorizer: impl Authorizer + 'static) -> Dispatcher {
    Dispatcher::with_authorizer(Arc::clone(broker.0.broker()), Clock::system(), Arc::new(authorizer))
}

#[tokio::test]
async fn who_may_do_nothing_learns_nothing_and_changes_nothing_by_any_api() {
    let (broker, topic) = start().await;
    let cases = cases(&topic);
    let missing: Vec<_> =
        client_apis().map(|api| api.key).filter(|key| cases.iter().all(|case| case.key != *key)).collect();
    assert!(missing.is_empty(), "APIs without a case: {missing:?}");

    let dispatcher = dispatcher(&broker, AllowNothing::default());
    let before = state(&broker, &topic).await;
    for api in client_apis() {
        for version in api.min_version..=api.max_version {
            let of_api = cases.iter().filter(|case| case.key == api.key);
            let asked = of_api.filter_map(|case| Some((case, (case.frame)(version)?)));
            let asked: Vec<_> = asked.collect();
            assert!(!asked.is_empty(), "key {} v{version} was not asked", api.key);
            for (case, frame) in asked {
                let told = (case.tell)(ask(&dispatcher, frame).await, version);
                let is_silent = api.key == SILENT.0 && version <= SILENT.1;
                let expected: BTreeSet<_> =
                    Some(case.error).filter(|error| *error != 0 && !is_silent).into_iter().collect();
                assert_eq!(errors(&told), expected, "key {} v{version}: {told}", api.key);
                if expected.is_empty() {
                    assert!(!told.contains("hidden"), "key {} v{version}: {told}", api.key);
                }
            }
        }
    }
    assert_eq!(state(&broker, &topic).await, before);
    broker.stop().await;
}

/// Asks at every version that can hold the request; the responses as text.
pub(crate) async fn tell_all(dispatcher: &Dispatcher, case: &Case) -> Vec<String> {
    let api = APIS.iter().find(|api| api.key == case.key).unwrap();
    let mut told = Vec::new();
    for version in api.min_version..=api.max_version {
        if let Some(frame) = (case.frame)(version) {
            told.push((case.tell)(ask(dispatcher, frame).await, version));
        }
    }
    assert!(!told.is_empty());
    told
}

#[tokio::test]
async fn a_group_that_may_be_read_does_not_open_topics_that_may_not() {
    let (broker, topic) = start().await;
    let before = state(&broker, &topic).await;
    let dispatcher = dispatcher(&broker, AllowOnly(|_, resource_type| resource_type == ResourceType::Group));
    let offsets = [OffsetCommitRequest::KEY, OffsetFetchRequest::KEY, OffsetDeleteRequest::KEY];
    for case in of_groups().iter().filter(|case| offsets.contains(&case.key)) {
        for told in tell_all(&dispatcher, case).await {
            assert_eq!(errors(&told), [TOPIC_AUTHORIZATION_FAILED].into(), "{told}");
        }
    }
    let all = case(0, |version| {
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(GROUP)).with_topics(None);
        let request = OffsetFetchRequest::default();
        if version >= 8 {
            request.with_groups(vec![group])
        } else {
            request.with_group_id(group_id(GROUP)).with_topics(None)
        }
    });
    for told in tell_all(&dispatcher, &all).await {
        assert!(errors(&told).is_empty() && !told.contains(TOPIC), "{told}");
    }
    assert_eq!(state(&broker, &topic).await, before);
    broker.stop().await;
}

fn delete(name: &'static str, id: Uuid) -> Case {
    case(TOPIC_AUTHORIZATION_FAILED, move |version| {
        let request = DeleteTopicsRequest::default().with_timeout_ms(1000);
        if version < 6 {
            return request.with_topic_names(vec![topic_name(name)]);
        }
        let topic = DeleteTopicState::default().with_topic_id(id);
        request.with_topics(vec![topic.with_name(id.is_nil().then(|| topic_name(name)))])
    })
}

#[tokio::test]
async fn who_may_see_or_create_is_told_no_more_than_that() {
    let (broker, topic) = start().await;
    let only_seeing = dispatcher(&broker, AllowOnly(|operation, _| operation == Operation::Describe));
    for told in tell_all(&only_seeing, &delete(TOPIC, topic.id)).await {
        assert_eq!(errors(&told), [TOPIC_AUTHORIZATION_FAILED].into(), "{told}");
        assert!(told.contains(TOPIC), "its name is no secret: {told}");
    }
    for told in tell_all(&only_seeing, &delete("missing", Uuid::nil())).await {
        assert_eq!(errors(&told), [UNKNOWN_TOPIC_OR_PARTITION].into(), "{told}");
    }
    let auto_created = case(TOPIC_AUTHORIZATION_FAILED, |_| {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name("new")));
        MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
    });
    for told in tell_all(&only_seeing, &auto_created).await {
        assert_eq!(errors(&told), [TOPIC_AUTHORIZATION_FAILED].into(), "{told}");
    }
    let only_creating = dispatcher(&broker, AllowOnly(|operation, _| operation == Operation::Create));
    let request = CreateTopicsRequest::default().with_topics(vec![new_topic("c", 1, 1)]);
    let mut told = ask(&only_creating, encode_request(1, &text("it"), 7, &request).unwrap()).await;
    ResponseHeader::decode(&mut told, CreateTopicsResponse::header_version(7)).unwrap();
    let created = &CreateTopicsResponse::decode(&mut told, 7).unwrap().topics[0];
    assert_eq!((created.error_code, created.topic_config_error_code), (0, TOPIC_AUTHORIZATION_FAILED));
    assert_eq!((created.num_partitions, created.replication_factor), (-1, -1));
    assert_eq!(created.configs.as_deref(), Some(&[][..]));
    broker.stop().await;
}

/// The same requests as above, so that it is authorisation alone that refuses them there; each answer, with what there is
/// in it, is one of the request's version.
#[tokio::test]
async fn who_may_do_everything_is_answered_at_every_version() {
    let (broker, topic) = start().await;
    let dispatcher = Dispatcher::new(Arc::clone(broker.0.broker()), Clock::system());
    let mut cases = cases(&topic);
    // What the others ask about is gone then.
    let last = [DeleteGroupsRequest::KEY, DeleteTopicsRequest::KEY, UnregisterBrokerRequest::KEY];
    cases.sort_by_key(|case| last.contains(&case.key));
    let refused = [
        TOPIC_AUTHORIZATION_FAILED,
        GROUP_AUTHORIZATION_FAILED,
        CLUSTER_AUTHORIZATION_FAILED,
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ];
    let mut without_error = BTreeSet::new();
    for case in &cases {
        for told in tell_all(&dispatcher, case).await {
            let errors = errors(&told);
            assert!(errors.is_disjoint(&refused.into()), "key {}: {told}", case.key);
            if errors.is_empty() {
                without_error.insert(case.key);
            }
        }
    }
    let failing: Vec<_> = client_apis().map(|api| api.key).filter(|key| !without_error.contains(key)).collect();
    assert_eq!(failing, NEVER_DONE, "APIs that never succeed");
    broker.stop().await;
}
