//! ApiVersions: what this broker speaks.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::context::{ClientSoftware, RequestContext};
use super::reply::Reply;
use super::{APIS, Api, ApiError};
use crate::broker::Broker;
use crate::protocol::ErrorCode;

/// The first version whose requests name the client's software, and whose answers have features.
const FIRST_VERSION_WITH_SOFTWARE: i16 = 3;

/// Before version 4, a supported feature with minimum 0 breaks the client's parser (KAFKA-17011).
const FIRST_VERSION_WITH_FEATURE_LEVEL_0: i16 = 4;

/// A feature as KIP-584 knows it.
struct Feature {
    name: &'static str,
    supported: (i16, i16),
    /// The level in force; 0 is not told.
    finalized: i16,
}

/// The features of Kafka 4.1 that are served. The levels of `metadata.version` are 3.3-IV3 and 4.1-IV1.
///
/// Unlike Kafka, `kraft.version`, `transaction.version`, `group.version` and their like are not among them: clients
/// take them as the offer of protocols that this broker does not speak.
const FEATURES: &[Feature] = &[Feature { name: "metadata.version", supported: (7, 27), finalized: 27 }];

/// Answers with the table of APIs, and remembers what the client says it is.
pub async fn handle(
    _broker: &Broker,
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
    Ok(Reply::Ready(versions(context.api_version)))
}

/// The answer to a version that is not served, to be written as version 0: the client reads from it which versions of
/// ApiVersions it may use instead (KIP-511).
pub fn unsupported_version() -> ApiVersionsResponse {
    let own = APIS.iter().filter(|api| api.key == ApiKey::ApiVersions as i16).map(entry).collect();
    refusal(ErrorCode::UnsupportedVersion).with_api_keys(own)
}

fn versions(api_version: i16) -> ApiVersionsResponse {
    let told = |feature: &&Feature| feature.supported.0 > 0 || api_version >= FIRST_VERSION_WITH_FEATURE_LEVEL_0;
    let supported = FEATURES.iter().filter(told).map(|feature| {
        SupportedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version(feature.supported.0)
            .with_max_version(feature.supported.1)
    });
    let finalized = FEATURES.iter().filter(|feature| feature.finalized != 0).map(|feature| {
        FinalizedFeatureKey::default()
            .with_name(StrBytes::from_static_str(feature.name))
            .with_min_version_level(feature.finalized)
            .with_max_version_level(feature.finalized)
    });
    ApiVersionsResponse::default()
        .with_api_keys(APIS.iter().map(entry).collect())
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(0)
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
        assert!(versions(3).supported_features.iter().all(|feature| feature.min_version > 0));
    }
}
