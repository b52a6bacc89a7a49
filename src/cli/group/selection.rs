//! Which partitions are meant by `orders`, `orders:0,1`.

use std::str::FromStr;

use crate::client::{ClientError, ClusterClient};
use crate::ids::{TopicName, TopicPartition};

/// A topic, and those of its partitions that are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct TopicSelection {
    topic: TopicName,
    /// All, where none is named.
    partitions: Option<Vec<i32>>,
}

impl FromStr for TopicSelection {
    type Err = String;

    /// Reads `TOPIC` or `TOPIC:PARTITION,...`; what is wrong is said in the words of Kafka's tool.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let topic = parts.next().unwrap_or_default();
        let Some(list) = parts.next() else { return Ok(Self { topic: topic.into(), partitions: None }) };
        if topic.is_empty() || list.is_empty() || parts.next().is_some() {
            return Err(format!("Invalid topic arg '{text}', expected topic name and partitions"));
        }
        let index = |part: &str| {
            part.parse().map_err(|_| format!("Invalid partition '{part}' specified in topic arg '{text}''"))
        };
        let partitions = list.split(',').map(index).collect::<Result<_, _>>()?;
        Ok(Self { topic: topic.into(), partitions: Some(partitions) })
    }
}

/// The partitions that are meant: those that are named, and all of the other topics, which must exist.
pub(in crate::cli) async fn partitions(
    client: &mut ClusterClient,
    selections: &[TopicSelection],
) -> Result<Vec<TopicPartition>, ClientError> {
    let whole: Vec<TopicName> = selections.iter().filter_map(TopicSelection::whole).collect();
    let mut partitions: Vec<_> = selections.iter().flat_map(TopicSelection::named).collect();
    partitions.extend(client.all_partitions(&whole).await?);
    partitions.sort();
    partitions.dedup();
    Ok(partitions)
}

impl TopicSelection {
    /// The topic, if all its partitions are meant.
    pub(in crate::cli) fn whole(&self) -> Option<TopicName> {
        self.partitions.is_none().then(|| TopicName::clone(&self.topic))
    }

    /// The partitions that are named one by one.
    pub(in crate::cli) fn named(&self) -> impl Iterator<Item = TopicPartition> {
        let indexes = self.partitions.iter().flatten();
        indexes.map(|index| TopicPartition::new(TopicName::clone(&self.topic), *index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_a_topic_or_some_of_its_partitions() {
        let read = |text: &str| text.parse::<TopicSelection>();
        assert_eq!(read("t").unwrap().whole(), Some("t".into()));
        let some = read("t:0,2").unwrap();
        assert_eq!(some.whole(), None);
        assert_eq!(some.named().map(|one| one.partition).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(read("t:x").unwrap_err(), "Invalid partition 'x' specified in topic arg 't:x''");
        for wrong in ["t:", ":0", "t:0:1"] {
            assert!(read(wrong).unwrap_err().starts_with("Invalid topic arg"), "{wrong}");
        }
    }
}
