//! What the scripts in `tests/scripts/` cannot tell well: numbers.

use bytes::Bytes;

use super::request::{CommitOffsetsRequest, JoinRequest, OffsetToCommit, Protocol};
use super::*;
use crate::clock::Clock;
use crate::ids::Uuid;

fn join(group: &str, uuid: u128) -> GroupRequest {
    GroupRequest::Join(JoinRequest {
        group_id: group.into(),
        member_id: "".into(),
        group_instance_id: None,
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol { name: "range".into(), metadata: Bytes::new() }],
        new_member_uuid: Uuid::from_u128(uuid),
        requires_known_member_id: true,
        supports_skipping_assignment: true,
    })
}

fn commit(group: &str, partitions: i32) -> GroupRequest {
    let offset = |partition| OffsetToCommit { partition, offset: 1, leader_epoch: -1, metadata: "".into() };
    GroupRequest::CommitOffsets(CommitOffsetsRequest {
        member: MemberRequest {
            group_id: group.into(),
            member_id: "".into(),
            group_instance_id: None,
            generation_id: -1,
        },
        retention_ms: None,
        topics: vec![("t".into(), (0..partitions).map(offset).collect())],
    })
}

/// Decides, replays, and gives back what was decided.
fn apply(
    machine: &mut GroupCoordinator,
    decide: impl FnOnce(&mut GroupCoordinator, &mut Effects<GroupCoordinator>),
) -> Effects<GroupCoordinator> {
    let mut effects = Effects::new();
    decide(machine, &mut effects);
    for record in &effects.records {
        machine.replay(record);
    }
    effects
}

fn join_error(effects: &Effects<GroupCoordinator>) -> Option<ErrorCode> {
    match &effects.replies[0].1 {
        GroupResponse::Join(response) => response.error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_that_never_return_with_their_id_count_to_a_cap_and_expire() {
    let clock = Clock::manual(0);
    let mut machine = GroupCoordinator::new(GroupCoordinatorConfig::default());
    let mut ask = |uuid| {
        let now = clock.now();
        join_error(&apply(&mut machine, |machine, effects| machine.handle(join("g", uuid), ReplyTo(0), now, effects)))
    };
    for uuid in 0..10_000 {
        assert_eq!(ask(uuid), Some(ErrorCode::MemberIdRequired));
    }
    assert_eq!(ask(10_000), Some(ErrorCode::GroupMaxSizeReached));
    clock.advance(std::time::Duration::from_secs(10));
    apply(&mut machine, |machine, effects| machine.handle_timeout(clock.now(), effects));
    assert_eq!(machine.next_deadline(), None);
    assert!(machine.groups["g"].pending_join.is_empty());
}

#[test]
fn many_offsets_expire_a_thousand_at_a_time() {
    let clock = Clock::manual(0);
    let config = GroupCoordinatorConfig::default();
    let mut machine = GroupCoordinator::new(config.clone());
    apply(&mut machine, |machine, effects| machine.handle(commit("g", 2_500), ReplyTo(0), clock.now(), effects));
    machine.loaded(clock.now());
    clock.advance(config.offsets_retention);
    let mut rounds = Vec::new();
    while !machine.groups.is_empty() {
        let effects = apply(&mut machine, |machine, effects| machine.handle_timeout(clock.now(), effects));
        rounds.push(effects.records.len());
        clock.advance(machine.next_deadline().unwrap().saturating_sub(clock.monotonic()));
    }
    assert_eq!(rounds, [1_000, 1_000, 501]);
}
