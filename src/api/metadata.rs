//! Metadata (key 3): brokers, topics and their leaders; missing topics are created before the answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::StrBytes;

use super::authorization::OPERATIONS_NOT_ASKED;
use super::deadline::soon;
use super::mutations::Mutations;
use super::partition_view::{PartitionView, PartitionViewer, failed_replica_of};
use super::told_address::leads_elsewhere;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::broker::hints::unreached::Encounter;
use crate::config::HostPort;
use crate::controller::{CreateTopics, NewTopic};
use crate::ids::{GROUP_METADATA_TOPIC, NO_TOPIC_ID, TRANSACTION_STATE_TOPIC, TopicName, Uuid, is_internal_topic};
use crate::metadata::{BrokerRegistration, MetadataImage, TopicImage, topic_name};
use crate::protocol::ErrorCode;
use crate::security::{Operation, Resource};

/// The first version in which a topic may be named by its id alone.
const FIRST_WITH_NULL_NAMES: i16 = 10;

/// How many topics one request creates.
///
/// Unlike Kafka, there is a limit: a request is a list of names, and each of them would become files. A client that
/// subscribes to more asks again and gets the rest.
const MAX_AUTO_CREATED_TOPICS: usize = 100;

/// The controller where none is known.
const NO_CONTROLLER: i32 = -1;

/// What our own programs call themselves.
const OWN_SOFTWARE: &str = "klamm";

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: MetadataRequest,
) -> Result<Reply<MetadataResponse>, ApiError> {
    let version = context.api_version;
    let has_null_name = request.topics.iter().flatten().any(|topic| topic.name.is_none());
    if version < FIRST_WITH_NULL_NAMES && has_null_name {
        return Err(ApiError::close("a topic name is null"));
    }
    let mut topics = match asked(&request, version) {
        AskedTopics::All => all_topics(broker, context),
        AskedTopics::Ids(ids) => topics_by_id(broker, context, &ids),
        AskedTopics::Names(names) => topics_by_name(broker, context, &names, request.allow_auto_topic_creation).await,
        AskedTopics::Invalid(topics) => return Ok(Reply::Ready(MetadataResponse::default().with_topics(topics))),
    };
    if version >= 8 && request.include_topic_authorized_operations {
        let denied = ErrorCode::TopicAuthorizationFailed.code();
        for topic in topics.iter_mut().filter(|topic| topic.error_code != denied) {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            topic.topic_authorized_operations = context.operations(Resource::topic(name));
        }
    }
    let asked_for_cluster = (8..=10).contains(&version) && request.include_cluster_authorized_operations;
    let operations = if asked_for_cluster { context.cluster_operations() } else { OPERATIONS_NOT_ASKED };
    let image = broker.image();
    note_told(broker, &image, context, matches!(asked(&request, version), AskedTopics::All));
    let response = MetadataResponse::default()
        .with_brokers(brokers(broker, &image, context))
        .with_cluster_id(Some(StrBytes::from_string(image.cluster_id().as_ref().to_owned())))
        .with_controller_id(BrokerId(broker.metadata.controller_id().unwrap_or(NO_CONTROLLER)))
        .with_topics(topics)
        .with_cluster_authorized_operations(operations);
    Ok(Reply::Ready(response))
}

/// What the request is about.
enum AskedTopics {
    All,
    Ids(Vec<Uuid>),
    Names(Vec<TopicName>),
    Invalid(Vec<MetadataResponseTopic>),
}

fn asked(request: &MetadataRequest, version: i16) -> AskedTopics {
    let Some(topics) = &request.topics else { return AskedTopics::All };
    if topics.is_empty() && version == 0 {
        return AskedTopics::All;
    }
    let is_for_later_version = |topic: &MetadataRequestTopic| topic.name.is_none() || topic.topic_id != NO_TOPIC_ID;
    if version < 12 && topics.iter().any(is_for_later_version) {
        return AskedTopics::Invalid(topics.iter().map(invalid_topic).collect());
    }
    // One id is enough for Kafka to pass over all names.
    let mut seen = HashSet::new();
    let ids: Vec<_> =
        topics.iter().map(|topic| topic.topic_id).filter(|id| *id != NO_TOPIC_ID && seen.insert(*id)).collect();
    if !ids.is_empty() {
        return AskedTopics::Ids(ids);
    }
    let mut seen = HashSet::new();
    let names = topics.iter().filter_map(|topic| topic.name.as_ref()).filter(|name| seen.insert(name.as_str()));
    AskedTopics::Names(names.map(|name| TopicName::from(name.as_str())).collect())
}

/// The name is answered empty where it is null, as the version cannot say null.
fn invalid_topic(topic: &MetadataRequestTopic) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(ErrorCode::InvalidRequest.code())
        .with_name(Some(topic.name.clone().unwrap_or_default()))
        .with_topic_id(topic.topic_id)
}

fn all_topics(broker: &Broker, context: &RequestContext) -> Vec<MetadataResponseTopic> {
    let image = broker.image();
    image
        .topics()
        .filter(|topic| may_see(context, &topic.name))
        .map(|topic| known_topic(broker, &image, context, topic))
        .collect()
}

fn may_see(context: &RequestContext, topic: &str) -> bool {
    context.authorize(Operation::Describe, Resource::topic(topic)).is_ok()
}

fn topics_by_id(broker: &Broker, context: &RequestContext, ids: &[Uuid]) -> Vec<MetadataResponseTopic> {
    let image = broker.image();
    let unknown = |id: &Uuid| {
        MetadataResponseTopic::default()
            .with_error_code(ErrorCode::UnknownTopicId.code())
            .with_name(None)
            .with_topic_id(*id)
    };
    let topic = |id: &Uuid| match image.topic_by_id(*id) {
        None => unknown(id),
        Some(topic) if may_see(context, &topic.name) => known_topic(broker, &image, context, topic),
        Some(_) => unknown(id).with_error_code(ErrorCode::TopicAuthorizationFailed.code()),
    };
    ids.iter().map(topic).collect()
}

async fn topics_by_name(
    broker: &Broker,
    context: &RequestContext,
    names: &[TopicName],
    allow_creation: bool,
) -> Vec<MetadataResponseTopic> {
    let mut errors = HashMap::new();
    if allow_creation && broker.config.load().broker.auto_create_topics_enable {
        errors = create_missing(broker, context, names).await;
    }
    let image = broker.image();
    let topic = |name: &TopicName| match (errors.get(name), image.topic(name)) {
        _ if !may_see(context, name) => {
            missing_topic(name, ErrorCode::TopicAuthorizationFailed).with_is_internal(false)
        }
        (None, Some(topic)) => known_topic(broker, &image, context, topic),
        (Some(error), _) => missing_topic(name, *error),
        (None, None) if topic_name::is_valid(name) => missing_topic(name, ErrorCode::UnknownTopicOrPartition),
        (None, None) => missing_topic(name, ErrorCode::InvalidTopicException),
    };
    names.iter().map(topic).collect()
}

/// Creates those of `names` that are missing and may be created, and returns the errors of those that could not be.
///
/// Returns once this broker leads the new partitions, so that a client's next request finds them. Internal topics are
/// created as their coordinators need them.
async fn create_missing(
    broker: &Broker,
    context: &RequestContext,
    names: &[TopicName],
) -> HashMap<TopicName, ErrorCode> {
    let image = broker.image();
    let is_missing =
        |name: &&TopicName| image.topic(name).is_none() && topic_name::is_valid(name) && may_see(context, name);
    let missing = names.iter().filter(is_missing).take(MAX_AUTO_CREATED_TOPICS).cloned();
    let may_create_all = context.authorize(Operation::Create, Resource::CLUSTER).is_ok();
    let may_create =
        |name: &TopicName| may_create_all || context.authorize(Operation::Create, Resource::topic(name)).is_ok();
    let (missing, denied): (Vec<_>, Vec<_>) = missing.partition(may_create);
    let mut errors: HashMap<_, _> =
        denied.into_iter().map(|name| (name, ErrorCode::TopicAuthorizationFailed)).collect();
    // Upon this clients ask again; what is created may be there by then.
    let late = ErrorCode::LeaderNotAvailable;
    let (internal, missing): (Vec<_>, Vec<_>) = missing.into_iter().partition(|name| is_internal_topic(name));
    for name in internal {
        let created = if &*name == GROUP_METADATA_TOPIC {
            soon(&broker.clock, late, broker.ensure_group_metadata_topic()).await
        } else if &*name == TRANSACTION_STATE_TOPIC {
            soon(&broker.clock, late, broker.ensure_transaction_state_topic()).await
        } else {
            Ok(())
        };
        if let Err(error) = created {
            errors.insert(name, error);
        }
    }
    if !missing.is_empty() {
        match soon(&broker.clock, late, create(broker, context, &missing)).await {
            Ok(refused) => errors.extend(refused),
            Err(error) => errors.extend(missing.into_iter().map(|name| (name, error))),
        }
    }
    errors
}

/// Creates topics at the charge of the client, as Kafka's controller does, to which a broker forwards this as a request of
/// the client's. Above its quota the client is told that the topic is unknown, and asks again.
async fn create(
    broker: &Broker,
    context: &RequestContext,
    names: &[TopicName],
) -> Result<HashMap<TopicName, ErrorCode>, ErrorCode> {
    let new_topic = |name: &TopicName| NewTopic {
        name: TopicName::clone(name),
        id: Uuid::new_v4(),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Ok(BTreeMap::new()),
    };
    let topics = names.iter().map(new_topic).collect();
    let mutations = Mutations::strict(broker, context);
    let quota = mutations.quota();
    let create = CreateTopics { quota, ..CreateTopics::with_defaults(&broker.config.load().broker, topics) };
    let created = broker.controller.create_topics(create).await?;
    // The topics exist, but are not ready: clients ask again upon this error.
    broker.topics_applied(&created).await.map_err(|_| ErrorCode::LeaderNotAvailable)?;
    for (name, topic) in created.response.iter().filter_map(|topic| Some((&topic.name, topic.result.as_ref().ok()?))) {
        let partitions =
            if topic.partitions == 1 { "1 partition" } else { &format!("{} partitions", topic.partitions) };
        tracing::info!("topic {name} created ({partitions}) by {} at {}", context.client_name(), context.peer.ip());
    }
    let partitions =
        created.response.iter().filter_map(|topic| topic.result.as_ref().ok()).map(|topic| topic.partitions);
    mutations.settle(usize::try_from(partitions.sum::<i32>()).unwrap_or(0), std::iter::empty());
    let error = |refusal: crate::controller::Refusal| match refusal.code {
        // Somebody else was faster.
        ErrorCode::TopicAlreadyExists => None,
        ErrorCode::ThrottlingQuotaExceeded => Some(ErrorCode::UnknownTopicOrPartition),
        code => Some(code),
    };
    let errors = created.response.into_iter();
    Ok(errors.filter_map(|topic| Some((topic.name, topic.result.err().and_then(error)?))).collect())
}

fn missing_topic(name: &TopicName, error: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(StrBytes::from_string(name.as_ref().to_owned()).into()))
        .with_is_internal(is_internal_topic(name))
}

fn known_topic(
    broker: &Broker,
    image: &MetadataImage,
    context: &RequestContext,
    topic: &TopicImage,
) -> MetadataResponseTopic {
    let failed_replica = failed_replica_of(broker);
    let (listener, version) = (&*context.listener, context.api_version);
    let viewer = PartitionViewer { listener, version, failed_replica: &failed_replica };
    let partition = |(index, partition)| {
        let view = PartitionView::new(image, viewer, &topic.name, (index, partition));
        MetadataResponsePartition::default()
            .with_error_code(view.error_code)
            .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_leader_id(view.leader)
            .with_leader_epoch(view.leader_epoch)
            .with_replica_nodes(view.replicas)
            .with_isr_nodes(view.isr)
            .with_offline_replicas(view.offline_replicas)
    };
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.as_ref().to_owned()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal_topic(&topic.name))
        .with_partitions(topic.partitions.iter().enumerate().map(partition).collect())
}

fn brokers(broker: &Broker, image: &MetadataImage, context: &RequestContext) -> Vec<MetadataResponseBroker> {
    let told = |registration: &BrokerRegistration| {
        let address = context.told_address(broker, registration.endpoint(&context.listener)?);
        let answer = MetadataResponseBroker::default()
            .with_node_id(BrokerId(registration.id))
            .with_host(address.host)
            .with_port(i32::from(address.port))
            .with_rack(registration.rack.as_ref().map(|rack| StrBytes::from_string(rack.as_ref().to_owned())));
        Some(answer)
    };
    image.alive_brokers().filter_map(told).collect()
}

/// Has it noticed if this client does not find its way to what it is told of this broker. Our own programs are passed over:
/// `klamm healthcheck` asks for Metadata every other second, and for nothing else.
fn note_told(broker: &Broker, image: &MetadataImage, context: &RequestContext, is_listing: bool) {
    let own = image.broker(broker.node_id).and_then(|registration| registration.endpoint(&context.listener));
    let Some(endpoint) = own.filter(|_| context.software_name() != Some(OWN_SOFTWARE)) else { return };
    let told = context.told_address(broker, endpoint);
    broker.hints.told(Encounter {
        peer: context.peer,
        local: context.local,
        listener: Arc::clone(&context.listener),
        leads_elsewhere: leads_elsewhere(&told, context.local, context.peer, &broker.gateways),
        through_gateway: broker.gateways.contains(context.peer.ip()),
        told: HostPort { host: told.host.to_string(), port: told.port },
        is_listing,
    });
}
