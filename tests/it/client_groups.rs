//! Our own client's calls about groups, against a broker of ours.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{JoinGroupRequest, SyncGroupRequest};
use klamm::client::{ClusterClient, MemberToRemove, OffsetTarget, To};
use klamm::ids::TopicPartition;
use klamm::protocol::ErrorCode;

use crate::broker::{Broker, Topic, group_id, text};
use crate::client::client_of;
use crate::server::within;

/// The only member of `group` is assigned both partitions of `payments`.
async fn join(client: &mut ClusterClient, group: &str, instance: Option<&str>) -> String {
    let coordinator = To::Broker(within(client.group_coordinator(group)).await.unwrap());
    let metadata = Bytes::from_static(b"\0\0\0\0\0\x01\0\x08payments\xff\xff\xff\xff");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata);
    let request = JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_group_instance_id(instance.map(text))
        .with_protocols(vec![protocol]);
    // Up to version 3 a new member is let in at once; from version 5 on it may be a static one.
    let newest = if instance.is_some() { 5 } else { 3 };
    let joined = within(client.ask_at_most(coordinator, newest, &request)).await.unwrap();
    assert_eq!(joined.error_code, 0);
    let both = Bytes::from_static(b"\0\0\0\0\0\x01\0\x08payments\0\0\0\x02\0\0\0\0\0\0\0\x01\xff\xff\xff\xff");
    let assignment =
        SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone()).with_assignment(both);
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_group_instance_id(instance.map(text))
        .with_assignments(vec![assignment]);
    let synced = within(client.ask_at_most(coordinator, 3, &request)).await.unwrap();
    assert_eq!(synced.error_code, 0);
    joined.member_id.to_string()
}

fn payments(partition: i32) -> TopicPartition {
    TopicPartition::new("payments", partition)
}

async fn broker() -> Broker {
    Broker::with(&[("klamm.create.topics", "payments:2:1"), ("group.initial.rebalance.delay.ms", "0")]).await
}

#[tokio::test]
async fn groups_are_listed_and_described_with_what_their_members_have() {
    let broker = broker().await;
    let mut client = client_of(&broker).await;
    let member = join(&mut client, "readers", None).await;
    within(client.alter_offsets("simple", &BTreeMap::from([(payments(0), 0)]))).await.unwrap();
    let listed = within(client.list_groups(&[], &[])).await.unwrap();
    let words: Vec<_> = listed.iter().map(|group| (group.group_id.as_str(), group.protocol_type.as_str())).collect();
    assert_eq!(words, [("readers", "consumer"), ("simple", "")]);
    assert_eq!(listed[0].state.as_deref(), Some("Stable"));
    assert!(listed[0].group_type.as_deref().unwrap().eq_ignore_ascii_case("classic"));
    let empty = within(client.list_groups(&["Empty"], &[])).await.unwrap();
    assert_eq!(empty.iter().map(|group| group.group_id.as_str()).collect::<Vec<_>>(), ["simple"]);
    let group = within(client.describe_group("readers")).await.unwrap();
    assert_eq!((group.state.as_str(), group.assignor.as_str(), group.coordinator), ("Stable", "range", 1));
    assert_eq!(group.coordinator_address.port, broker.port());
    assert_eq!((group.members.len(), group.members[0].member_id.as_str()), (1, member.as_str()));
    assert_eq!(group.members[0].client_id, "it");
    assert_eq!(group.members[0].assignment, [payments(0), payments(1)]);
    let missing = within(client.describe_group("missing")).await.expect_err("there is no such group");
    assert_eq!(missing.code(), Some(ErrorCode::GroupIdNotFound));
    assert_eq!(missing.to_string(), "Group missing not found.");
    broker.stop().await;
}

#[tokio::test]
async fn offsets_are_set_read_and_deleted_while_nobody_uses_them() {
    let broker = broker().await;
    let mut client = client_of(&broker).await;
    let wanted = BTreeMap::from([(payments(0), 3), (payments(1), 4)]);
    let altered = within(client.alter_offsets("readers", &wanted)).await.unwrap();
    assert_eq!(altered, BTreeMap::from([(payments(0), Ok(())), (payments(1), Ok(()))]));
    let committed = within(client.committed_offsets("readers")).await.unwrap();
    assert_eq!(committed.into_iter().map(|(one, at)| (one, at.offset)).collect::<BTreeMap<_, _>>(), wanted);
    let deleted = within(client.delete_offsets("readers", &[payments(1)])).await.unwrap();
    assert_eq!(deleted, BTreeMap::from([(payments(1), Ok(()))]));
    assert_eq!(within(client.committed_offsets("readers")).await.unwrap().len(), 1);
    join(&mut client, "readers", None).await;
    let altered = within(client.alter_offsets("readers", &wanted)).await.unwrap();
    assert_eq!(altered[&payments(0)], Err(ErrorCode::UnknownMemberId));
    let deleted = within(client.delete_offsets("readers", &[payments(0)])).await.unwrap();
    assert_eq!(deleted[&payments(0)], Err(ErrorCode::GroupSubscribedToTopic));
    let missing = within(client.delete_offsets("missing", &[payments(0)])).await.expect_err("no such group");
    assert_eq!(missing.to_string(), "The group id does not exist.");
    broker.stop().await;
}

#[tokio::test]
async fn a_group_is_deleted_once_its_members_are_removed() {
    let broker = broker().await;
    let mut client = client_of(&broker).await;
    join(&mut client, "readers", Some("first")).await;
    let refused = within(client.delete_group("readers")).await.expect_err("it has a member");
    assert_eq!(
        (refused.code(), refused.to_string().as_str()),
        (Some(ErrorCode::NonEmptyGroup), "The group is not empty.")
    );
    let member = within(client.describe_group("readers")).await.unwrap().members.remove(0).to_remove();
    assert_eq!(member, MemberToRemove::Static("first".to_owned()));
    let stranger = MemberToRemove::Dynamic("stranger".to_owned());
    let removed = within(client.remove_members("readers", &[member.clone(), stranger.clone()])).await.unwrap();
    assert_eq!(removed, [(member, Ok(())), (stranger, Err(ErrorCode::UnknownMemberId))]);
    within(client.delete_group("readers")).await.unwrap();
    let gone = within(client.delete_group("readers")).await.expect_err("it is gone");
    assert_eq!(gone.code(), Some(ErrorCode::GroupIdNotFound));
    broker.stop().await;
}

/// The offsets of a plan, and which of them are ends in place of a later record.
async fn planned(client: &mut ClusterClient, target: OffsetTarget) -> Vec<(i64, bool)> {
    let committed = within(client.committed_offsets("readers")).await.unwrap();
    let plan = within(client.plan_offsets(&[payments(0), payments(1)], target, &committed)).await.unwrap();
    plan.into_values().map(|planned| (planned.offset, planned.is_too_late)).collect()
}

#[tokio::test]
async fn a_reset_is_planned_within_the_log_as_kafkas_tool_plans_it() {
    let broker = broker().await;
    let mut client = client_of(&broker).await;
    let topic = Topic::unknown("payments");
    broker.client().await.append(&topic, 0, &["a", "b", "c"]).await;
    within(client.alter_offsets("readers", &BTreeMap::from([(payments(0), 2)]))).await.unwrap();
    for (target, first) in [
        (OffsetTarget::Earliest, 0),
        (OffsetTarget::Latest, 3),
        (OffsetTarget::Current, 2),
        (OffsetTarget::Offset(1), 1),
        (OffsetTarget::Offset(1000), 3),
        (OffsetTarget::Offset(-7), 0),
    ] {
        assert_eq!(planned(&mut client, target).await, [(first, false), (0, false)], "{target:?}");
    }
    assert_eq!(planned(&mut client, OffsetTarget::Timestamp(0)).await, [(0, false), (0, true)]);
    assert_eq!(planned(&mut client, OffsetTarget::Timestamp(i64::MAX)).await, [(3, true), (0, true)]);
    let committed = within(client.committed_offsets("readers")).await.unwrap();
    let shifted = within(client.plan_offsets(&[payments(0)], OffsetTarget::Shift(-1), &committed)).await.unwrap();
    assert_eq!(shifted[&payments(0)].offset, 1);
    for (partition, target, expected) in [
        (payments(1), OffsetTarget::Shift(1), "Cannot shift offset for partition payments-1 since there is no"),
        (payments(7), OffsetTarget::Latest, "The partitions \"payments-7\" do not exist"),
    ] {
        let refused = within(client.plan_offsets(&[partition], target, &committed)).await.expect_err(expected);
        assert!(refused.to_string().starts_with(expected), "{refused}");
    }
    broker.stop().await;
}

#[tokio::test]
async fn lag_is_from_what_is_committed_to_the_end() {
    let broker = broker().await;
    let mut client = client_of(&broker).await;
    broker.client().await.append(&Topic::unknown("payments"), 0, &["a", "b", "c"]).await;
    within(client.alter_offsets("readers", &BTreeMap::from([(payments(0), 1)]))).await.unwrap();
    join(&mut client, "readers", None).await;
    let group = within(client.describe_group("readers")).await.unwrap();
    let partitions = within(client.group_partitions(&group)).await.unwrap();
    let lags: Vec<_> = partitions.iter().map(|one| (one.partition.partition, one.lag(), one.end, one.member)).collect();
    assert_eq!(lags, [(0, Some(2), Some(3), Some(0)), (1, None, Some(0), Some(0))]);
    broker.stop().await;
}
