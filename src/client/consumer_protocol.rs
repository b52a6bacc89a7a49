//! What members of a consumer group tell each other through the coordinator, which passes it on unread: subscriptions
//! and assignments. Pure.
//!
//! They come from other programs: no length in them makes memory appear. Later versions only add behind what is read here.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::ids::{TopicName, TopicPartition};

/// The version that Kafka's consumer writes.
const VERSION: i16 = 3;
/// In place of the length of bytes that are not there.
const NONE: i32 = -1;
/// In place of the generation of a member that keeps nothing from one to the next.
const NO_GENERATION: i32 = -1;
/// In place of the length of text that is not there.
const NO_TEXT: i16 = -1;

/// Says which topics a member wants. It has no data of its own, keeps no partitions, and is in no rack.
pub(super) fn write_subscription<'a>(topics: impl ExactSizeIterator<Item = &'a TopicName>) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    bytes.put_i32(topics.len() as i32);
    for topic in topics {
        put_string(&mut bytes, topic);
    }
    bytes.put_i32(NONE);
    bytes.put_i32(0);
    bytes.put_i32(NO_GENERATION);
    bytes.put_i16(NO_TEXT);
    bytes.freeze()
}

/// The topics that a member wants; `None` if that is not what the bytes say.
pub(super) fn read_subscription(mut bytes: Bytes) -> Option<Vec<TopicName>> {
    bytes.try_get_i16().ok()?;
    let mut topics = Vec::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        topics.push(read_string(&mut bytes)?);
    }
    Some(topics)
}

/// Says which partitions a member gets.
pub(super) fn write_assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(VERSION);
    let runs = || partitions.chunk_by(|one, other| one.topic == other.topic);
    bytes.put_i32(runs().count() as i32);
    for run in runs() {
        if let Some(first) = run.first() {
            put_string(&mut bytes, &first.topic);
        }
        bytes.put_i32(run.len() as i32);
        for one in run {
            bytes.put_i32(one.partition);
        }
    }
    bytes.put_i32(NONE);
    bytes.freeze()
}

/// The partitions that a member gets; no bytes are none. `None` if that is not what the bytes say.
pub(super) fn read_assignment(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    bytes.try_get_i16().ok()?;
    for _ in 0..bytes.try_get_i32().ok()? {
        let topic = read_string(&mut bytes)?;
        for _ in 0..bytes.try_get_i32().ok()? {
            let partition = bytes.try_get_i32().ok()?;
            partitions.push(TopicPartition { topic: TopicName::clone(&topic), partition });
        }
    }
    Some(partitions)
}

fn put_string(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(text.len() as i16);
    bytes.put_slice(text.as_bytes());
}

fn read_string(bytes: &mut Bytes) -> Option<TopicName> {
    let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
    if bytes.len() < length {
        return None;
    }
    std::str::from_utf8(&bytes.split_to(length)).ok().map(TopicName::from)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn others_read_what_we_write_and_we_do_at_any_version() {
        let topics = [TopicName::from("t"), TopicName::from("u")];
        let written = write_subscription(topics.iter());
        let read = ConsumerProtocolSubscription::decode(&mut written.slice(2..), VERSION).unwrap();
        assert!(read.topics.iter().eq(["t", "u"]) && read.owned_partitions.is_empty());
        assert_eq!((read.generation_id, read.rack_id, read.user_data), (NO_GENERATION, None, None));
        let partitions = [TopicPartition::new("t", 2), TopicPartition::new("t", 0), TopicPartition::new("u", 1)];
        let assignment = write_assignment(&partitions);
        let read = ConsumerProtocolAssignment::decode(&mut assignment.slice(2..), 0).unwrap();
        assert_eq!(read.assigned_partitions.len(), 2);
        for version in [0_i16, 3, 9] {
            let at = |bytes: &Bytes| Bytes::from([&version.to_be_bytes(), &bytes[2..]].concat());
            assert_eq!(read_subscription(at(&written)).unwrap(), topics);
            assert_eq!(read_assignment(at(&assignment)).unwrap(), partitions);
        }
        assert_eq!(read_assignment(Bytes::new()), Some(Vec::new()));
    }

    #[test]
    fn bytes_that_lie_are_refused() {
        for lies in [&[0][..], &[0, 0], &[0, 0, 0x7f, 0xff, 0xff, 0xff], &[0, 0, 0, 0, 0, 1, 0x7f, 0xff, b't']] {
            let lies = Bytes::copy_from_slice(lies);
            assert_eq!((read_subscription(lies.clone()), read_assignment(lies.clone())), (None, None), "{lies:?}");
        }
    }
}
