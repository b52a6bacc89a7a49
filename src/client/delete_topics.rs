//! The end of topics (DeleteTopics).

use kafka_protocol::messages::DeleteTopicsRequest;

use super::metadata::wire_name;
use super::outcomes::ItemOutcomes;
use super::{ClientError, ClusterClient, To};
use crate::ids::TopicName;

/// The last version that names topics in a list of names; the later ones have room for ids.
const NAMES_ALONE: i16 = 5;

impl ClusterClient {
    /// Deletes topics with all their records. Each comes with what became of it.
    pub async fn delete_topics(&mut self, names: &[TopicName]) -> Result<ItemOutcomes<TopicName, ()>, ClientError> {
        let request = DeleteTopicsRequest::default()
            .with_topic_names(names.iter().map(|name| wire_name(name)).collect())
            .with_timeout_ms(self.request_timeout_ms());
        self.retry(async |client| {
            let response = client.ask_at_most(To::Controller, NAMES_ALONE, &request).await?;
            ItemOutcomes::read(response.responses, |topic| {
                let name = topic.name.as_ref().map_or("", |name| name.as_str());
                (name.into(), ClientError::check(topic.error_code, topic.error_message.as_deref()))
            })
        })
        .await
    }
}
