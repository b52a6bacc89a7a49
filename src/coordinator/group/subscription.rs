//! The one thing the coordinator reads in a consumer's metadata: which topics it subscribes to.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes};

use crate::ids::TopicName;

/// The topics of a `ConsumerProtocolSubscription`, or `None` where the bytes are no such thing.
///
/// All versions begin like version 0: the version as an int16, an array of topic names, user data.
pub(super) fn subscribed_topics(metadata: &Bytes) -> Option<BTreeSet<TopicName>> {
    let mut rest = &metadata[..];
    let version = rest.try_get_i16().ok()?;
    if version < 0 {
        return None;
    }
    let count = rest.try_get_i32().ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.into());
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_whatever_follows_them() {
        let metadata = Bytes::from_static(b"\0\x03\0\0\0\x02\0\x01b\0\x02aa\xff\xff\xff\xff\0\0\0\0");
        assert_eq!(subscribed_topics(&metadata), Some(BTreeSet::from(["aa".into(), "b".into()])));
    }

    #[test]
    fn anything_else_is_none() {
        for bytes in [&b""[..], b"\0\x01", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x05a", b"\xff\xff\0\0\0\0"] {
            assert_eq!(subscribed_topics(&Bytes::from_static(bytes)), None, "{bytes:?}");
        }
    }
}
