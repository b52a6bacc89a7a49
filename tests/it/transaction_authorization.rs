//! Who may have transactions, in which topics, and who may see them.

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    ListTransactionsRequest, TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};
use klamm::security::{Operation, ResourceType};

use crate::authorization::{
    AllowOnly, CLUSTER_AUTHORIZATION_FAILED, Case, GROUP, TOPIC, TOPIC_AUTHORIZATION_FAILED,
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED, case, dispatcher, errors, start, tell_all,
};
use crate::broker::{group_id, text, topic_name};

/// Who [`crate::authorization::start`] has made the producer of the transactional id `hidden`.
pub(crate) fn of_transactions() -> Vec<Case> {
    let named = || {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![0]);
        vec![topic]
    };
    vec![
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, move |_| {
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(text("hidden").into())
                .with_v3_and_below_topics(named())
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, move |_| {
            let transaction = AddPartitionsToTxnTransaction::default().with_transactional_id(text("hidden").into());
            AddPartitionsToTxnRequest::default().with_transactions(vec![transaction.with_topics(named())])
        }),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |_| {
            AddOffsetsToTxnRequest::default()
                .with_transactional_id(text("hidden").into())
                .with_group_id(group_id(GROUP))
        }),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |_| {
            let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(7);
            let topic =
                TxnOffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
            TxnOffsetCommitRequest::default()
                .with_transactional_id(text("hidden").into())
                .with_group_id(group_id(GROUP))
                .with_topics(vec![topic])
        }),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |_| {
            EndTxnRequest::default().with_transactional_id(text("hidden").into())
        }),
        case(CLUSTER_AUTHORIZATION_FAILED, |_| {
            let topic = WritableTxnMarkerTopic::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
            let marker = WritableTxnMarker::default().with_producer_id(77.into()).with_topics(vec![topic]);
            WriteTxnMarkersRequest::default().with_markers(vec![marker])
        }),
        case(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, |_| {
            DescribeTransactionsRequest::default().with_transactional_ids(vec![text("hidden").into()])
        }),
        // What may not be seen is left out.
        case(0, |_| ListTransactionsRequest::default()),
    ]
}

#[tokio::test]
async fn a_transaction_does_not_open_topics_that_may_not_be_written() {
    let (broker, _topic) = start().await;
    let [add, _, _, _, _, markers, describe, _] = &of_transactions()[..] else { panic!("eight cases") };
    let without_topics = dispatcher(&broker, AllowOnly(|_, kind| kind == ResourceType::TransactionalId));
    for told in tell_all(&without_topics, add).await {
        assert_eq!(errors(&told), [TOPIC_AUTHORIZATION_FAILED].into(), "{told}");
    }
    let with_topics = dispatcher(&broker, AllowOnly(|_, kind| kind != ResourceType::Cluster));
    assert!(tell_all(&with_topics, add).await.iter().all(|told| errors(told).is_empty()));
    assert!(tell_all(&with_topics, describe).await.iter().all(|told| told.contains(TOPIC)));
    for told in tell_all(&without_topics, describe).await {
        assert!(errors(&told).is_empty() && !told.contains(TOPIC), "{told}");
    }
    // Kafka lets those who may alter the cluster write markers, as well as brokers.
    for allowed in [
        AllowOnly(|operation, _| operation == Operation::Alter),
        AllowOnly(|operation, _| operation == Operation::ClusterAction),
    ] {
        let told = tell_all(&dispatcher(&broker, allowed), markers).await;
        assert!(told.iter().all(|told| errors(told).is_empty()), "{told:?}");
    }
    broker.stop().await;
}
