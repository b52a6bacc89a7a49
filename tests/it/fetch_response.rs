//! Our writer of Fetch responses against the crate's encoder, over all versions.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
    SnapshotId,
};
use kafka_protocol::messages::{BrokerId, FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use klamm::protocol::fetch_response::{FetchAnswer, encode_fetch_response};
use klamm::protocol::frame::{FileRange, Frame, Piece};
use klamm::protocol::response::encode_response;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn records() -> impl Strategy<Value = Option<Bytes>> {
    let size = prop_oneof![Just(0), Just(1), Just(126), Just(127), Just(1023), Just(1024), 0..5000_usize];
    option::of((any::<u8>(), size).prop_map(|(byte, size)| Bytes::from(vec![byte; size])))
}

prop_compose! {
    fn partition()(
        index in 0..9, error in any::<i16>(), offsets in any::<[i64; 3]>(), epochs in [-1..3, -1..3, -1..3],
        aborted in option::of(vec(any::<(i64, i64)>(), 0..3)), preferred in prop_oneof![4 => Just(-1), 1 => Just(2)],
        records in records(),
    ) -> PartitionData {
        let transaction = |(producer, first): (i64, i64)| {
            AbortedTransaction::default().with_producer_id(producer.into()).with_first_offset(first)
        };
        let [diverging, leader, snapshot] = epochs;
        PartitionData::default()
            .with_partition_index(index)
            .with_error_code(error)
            .with_high_watermark(offsets[0])
            .with_last_stable_offset(offsets[1])
            .with_log_start_offset(offsets[2])
            .with_diverging_epoch(EpochEndOffset::default().with_epoch(diverging))
            .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(BrokerId(leader)))
            .with_snapshot_id(SnapshotId::default().with_epoch(snapshot))
            .with_aborted_transactions(aborted.map(|list| list.into_iter().map(transaction).collect()))
            .with_preferred_read_replica(BrokerId(preferred))
            .with_records(records)
    }
}

prop_compose! {
    fn topic()(name in "[a-z.]{0,200}", id in any::<u128>(), partitions in vec(partition(), 0..4))
    -> FetchableTopicResponse {
        FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_string(name)))
            .with_topic_id(klamm::ids::Uuid::from_u128(id))
            .with_partitions(partitions)
    }
}

prop_compose! {
    fn response()(
        throttle in any::<i32>(), error in any::<i16>(), session in prop_oneof![Just(0), any::<i32>()],
        topics in vec(topic(), 0..4), endpoints in vec(("[a-z]{0,9}", any::<i32>(), option::of("[a-z]{0,3}")), 0..3),
    ) -> FetchResponse {
        let endpoint = |(host, port, rack): (String, i32, Option<String>)| {
            NodeEndpoint::default()
                .with_host(StrBytes::from_string(host))
                .with_port(port)
                .with_rack(rack.map(StrBytes::from_string))
        };
        FetchResponse::default()
            .with_throttle_time_ms(throttle)
            .with_error_code(error)
            .with_session_id(session)
            .with_responses(topics)
            .with_node_endpoints(endpoints.into_iter().map(endpoint).collect())
    }
}

/// Records of a response moved to a file, for each partition that `moved` says so.
fn with_records_in_file(mut response: FetchResponse, moved: &[bool]) -> (FetchAnswer, Arc<File>) {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let mut end = 0;
    let partitions = response.responses.iter_mut().flat_map(|topic| &mut topic.partitions);
    let from_files = partitions
        .zip(moved.iter().chain(std::iter::repeat(&false)))
        .map(|(partition, moved)| {
            let records = partition.records.take_if(|_| *moved)?;
            file.write_all_at(&records, end).unwrap();
            end += records.len() as u64;
            Some(FileRange::new(file.clone(), end - records.len() as u64, records.len()))
        })
        .collect();
    (FetchAnswer { response, from_files }, file)
}

/// What goes onto the wire; ranges are of `file`.
fn on_the_wire(frame: Frame, file: Option<&File>) -> Bytes {
    let size = frame.size_in_bytes();
    let mut wire = BytesMut::new();
    for piece in frame.into_pieces() {
        match piece {
            Piece::Bytes(bytes) => wire.extend_from_slice(&bytes),
            Piece::File(range) => {
                let mut bytes = vec![0; range.len()];
                file.unwrap().read_exact_at(&mut bytes, range.position()).unwrap();
                wire.extend_from_slice(&bytes);
            }
        }
    }
    assert_eq!(wire.len(), size);
    wire.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn every_version_is_written_as_the_crate_writes_it(
        response in response(), correlation_id in any::<i32>(), moved in vec(any::<bool>(), 0..12),
    ) {
        let (from_file, file) = with_records_in_file(response.clone(), &moved);
        let from_memory = FetchAnswer::from(response.clone());
        for version in 4..=18 {
            let encode = |answer| encode_fetch_response(correlation_id, version, answer).ok();
            let theirs = encode_response(correlation_id, version, &response).ok().map(|frame| on_the_wire(frame, None));
            let ours = encode(&from_memory).map(|frame| on_the_wire(frame, None));
            prop_assert_eq!(&ours, &theirs, "version {}", version);
            let ours = encode(&from_file).map(|frame| on_the_wire(frame, Some(&file)));
            prop_assert_eq!(&ours, &theirs, "version {} with records in a file", version);
        }
    }
}

#[test]
fn records_are_not_copied() {
    let records = Bytes::from(vec![7; 100_000]);
    let partition = PartitionData::default().with_records(Some(records.clone()));
    let topic = FetchableTopicResponse::default().with_partitions(vec![partition.clone(), partition]);
    let response = FetchResponse::default().with_responses(vec![topic]);
    let pieces: Vec<_> = encode_fetch_response(1, 17, &response.into()).unwrap().into_pieces().collect();
    let is_original = |piece: &&Piece| matches!(piece, Piece::Bytes(bytes) if bytes.as_ptr() == records.as_ptr());
    assert_eq!(pieces.iter().filter(is_original).count(), 2);
    assert_eq!(pieces.len(), 5);
}
