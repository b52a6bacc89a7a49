//! ApiVersions: what this broker speaks.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::context::{ClientSoftware, RequestContext};
use super::owned::message_text;
use super::reply::Reply;
use super::{APIS, Api, ApiError, Place};
use crate::broker::Broker;
use crate::metadata::{MetadataImage, SUPPORTED_FEATURES, SupportedFeature};
use crate::protocol::ErrorCode;

/// The first version whose requests name the client's software, and whose answers have features.
const FIRST_VERSION_WITH_SOFTWARE: i16 = 3;

/// Before version 4, a supported feature with minimum 0 breaks the client's parser (KAFKA-17011).
const FIRST_VERSION_WITH_FEATURE_LEVEL_0: i16 = 4;

/// Answers with the table of APIs, and remembers what the client says it is.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> Result<Reply<ApiVersionsResponse>, ApiError> {
    if context.api_version >= FIRST_VERSION_WITH_SOFTWARE {
        let (name, version) = (&request.client_software_name, &request.client_software_version);
        if !is_software_word(name) || !is_software_word(version) {
            return Ok(Reply::Ready(refusal(ErrorCode::InvalidRequest)));
        }
        // A connection's software does not change; of several answers the first stays.
        let _ = context
            .client_software
            .set(ClientSoftware { name: name.as_str().into(), version: version.as_str().into() });
    }
    let is_between_nodes = broker.is_controller_listener(&context.listener);
    let there = |api: &&Api| is_between_nodes || api.place != Place::Quorum;
    Ok(Reply::Ready(
        versions(context.api_version, &broker.image()).with_api_keys(APIS.iter().filter(there).map(entry).collect()),
    ))
}

/// The answer to a version that is not served, to be written as version 0: the client reads from it which versions of
/// ApiVersions it may use instead (KIP-511).
pub fn unsupported_version() -> ApiVersionsResponse {
    let own = APIS.iter().filter(|api| api.key == ApiKey::ApiVersions as i16).map(entry).collect();
    refusal(ErrorCode::UnsupportedVersion).with_api_keys(own)
}

/// The features.
///
/// Unlike Kafka, `kraft.version`, `group.version` and their like are not among the features: clients take them as the offer
/// of protocols that this broker does not speak.
fn versions(api_version: i16, image: &MetadataImage) -> ApiVersionsResponse {
    let told = |feature: &&SupportedFeature| feature.min_level > 0 || api_version >= FIRST_VERSION_WITH_FEATURE_LEVEL_0;
    let supported = SUPPORTED_FEATURES.iter().filter(told).map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.min_level)
            .with_max_version(feature.max_level)
    });
    let finalized = image.features().map(|(name, level)| {
        FinalizedFeatureKey::default()
            .with_name(message_text(name))
            .with_min_version_level(level)
            .with_max_version_level(level)
    });
    ApiVersionsResponse::default()
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(image.offset)
}

fn entry(api: &Api) -> ApiVersion {
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(api.advertised_min_version)
        .with_max_version(api.max_version)
}

fn refusal(error: ErrorCode) -> ApiVersionsResponse {
    ApiVersionsResponse::default().with_error_code(error.code())
}

/// Kafka's pattern for names and versions: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_word(word: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_words_are_kafkas() {
        for word in ["a", "apache-kafka-java", "4.1.0", "0", "a--b", "librdkafka"] {
            assert!(is_software_word(word), "{word}");
        }
        for word in ["", "-a", "a-", ".", "a b", "a_b", "é", "a\n"] {
            assert!(!is_software_word(word), "{word:?}");
        }
    }

    #[test]
    fn an_unsupported_version_is_told_only_the_versions_of_api_versions() {
        let response = unsupported_version();
        assert_eq!(response.error_code, 35);
        let keys: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(keys, [(18, 0, 4)]);
    }

    #[test]
    fn version_3_hides_features_whose_minimum_is_0() {
        assert!(
            versions(3, &MetadataImage::default()).supported_features.iter().all(|feature| feature.min_version > 0)
        );
    }
}
