//! `UpdateFeatures` (key 57): the finalized levels of features change (KIP-584).

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{FeatureUpdate, UpdateFeatures, UpgradeType};
use crate::protocol::ErrorCode;

/// The last version whose answers have a result for each feature.
const LAST_VERSION_WITH_RESULTS: i16 = 1;

/// Serves one request.
pub async fn handle(
    broker: &Broker,
    context: &RequestContext,
    request: UpdateFeaturesRequest,
) -> Result<Reply<UpdateFeaturesResponse>, ApiError> {
    let update = UpdateFeatures {
        updates: request.feature_updates.iter().map(feature_update).collect(),
        validate_only: request.validate_only,
        node_id: broker.node_id,
    };
    let updated = match broker.controller.update_features(update).await {
        Ok(updated) => updated.response,
        Err(code) => return Ok(Reply::Ready(refuse(&request, code))),
    };
    Ok(Reply::Ready(match updated {
        Ok(()) => {
            let with_results = context.api_version <= LAST_VERSION_WITH_RESULTS;
            let told = request.feature_updates.iter().filter(|_| with_results);
            let result = |update: &FeatureUpdateKey| {
                UpdatableFeatureResult::default()
                    .with_feature(message_text(&update.feature))
                    .with_error_message(Some(StrBytes::from_static_str("NONE")))
            };
            UpdateFeaturesResponse::default().with_error_message(None).with_results(told.map(result).collect())
        }
        Err(refusal) => {
            let message = format!(
                "The update failed for all features since the following feature had an error: {}",
                refusal.message
            );
            failed(refusal.code, message)
        }
    }))
}

/// The answer to who may not change features.
pub fn refuse(_request: &UpdateFeaturesRequest, code: ErrorCode) -> UpdateFeaturesResponse {
    failed(code, code.to_string())
}

fn failed(code: ErrorCode, message: String) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse::default()
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

fn feature_update(update: &FeatureUpdateKey) -> FeatureUpdate {
    FeatureUpdate {
        name: update.feature.to_string(),
        level: update.max_version_level,
        upgrade_type: UpgradeType::from_code(update.upgrade_type),
    }
}
