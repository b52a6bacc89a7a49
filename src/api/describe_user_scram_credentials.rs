//! `DescribeUserScramCredentials` (key 50): which users have credentials for which mechanisms (KIP-554).

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;

use super::owned::message_text;
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::metadata::{MetadataImage, ScramMechanism};
use crate::protocol::ErrorCode;

/// Serves one request; one without users asks for all who have credentials.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> Result<Reply<DescribeUserScramCredentialsResponse>, ApiError> {
    let image = broker.image();
    // How often each user was named.
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for user in request.users.iter().flatten() {
        *users.entry(user.name.to_string()).or_default() += 1;
    }
    if users.is_empty() {
        users.extend(image.scram_credentials().map(|((user, _), _)| (user.to_string(), 1)));
    }
    let results = users.iter().map(|(user, times)| {
        if *times == 1 {
            described(&image, user)
        } else {
            let message = "Cannot describe SCRAM credentials for the same user twice in a single request: ";
            refused(user, ErrorCode::DuplicateResource, message)
        }
    });
    let response = DescribeUserScramCredentialsResponse::default().with_error_message(None);
    Ok(Reply::Ready(response.with_results(results.collect())))
}

/// The answer to who may not describe users.
pub fn refuse(request: &DescribeUserScramCredentialsRequest, code: ErrorCode) -> DescribeUserScramCredentialsResponse {
    let message = Some(StrBytes::from_string(code.to_string()));
    let result =
        DescribeUserScramCredentialsResult::default().with_error_code(code.code()).with_error_message(message.clone());
    DescribeUserScramCredentialsResponse::default()
        .with_error_code(code.code())
        .with_error_message(message)
        .with_results(vec![result; request.users.as_ref().map_or(0, Vec::len)])
}

fn described(image: &MetadataImage, user: &str) -> DescribeUserScramCredentialsResult {
    let credential = |mechanism: ScramMechanism| {
        let credential = image.scram_credential(user, mechanism)?;
        Some(CredentialInfo::default().with_mechanism(mechanism.type_id()).with_iterations(credential.iterations))
    };
    let credentials: Vec<_> = ScramMechanism::ALL.into_iter().filter_map(credential).collect();
    if credentials.is_empty() {
        let message = "Attempt to describe a user credential that does not exist: ";
        return refused(user, ErrorCode::ResourceNotFound, message);
    }
    DescribeUserScramCredentialsResult::default()
        .with_user(message_text(user))
        .with_error_message(None)
        .with_credential_infos(credentials)
}

fn refused(user: &str, code: ErrorCode, message: &str) -> DescribeUserScramCredentialsResult {
    DescribeUserScramCredentialsResult::default()
        .with_user(message_text(user))
        .with_error_code(code.code())
        .with_error_message(Some(StrBytes::from_string(format!("{message}{user}"))))
}
