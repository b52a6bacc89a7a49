//! `AlterUserScramCredentials` (key 51): users get and lose credentials (KIP-554).

use std::collections::BTreeSet;

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;

use super::owned::{message_text, owned};
use super::{ApiError, Reply, RequestContext};
use crate::broker::Broker;
use crate::controller::{AlterUserScramCredentials, ScramCredentialsAltered, ScramDeletion, ScramUpsertion};
use crate::metadata::{ScramCredential, ScramMechanism};
use crate::protocol::ErrorCode;
use crate::security::scram;

/// Serves one request; the salted password that a client sends ends here.
pub async fn handle(
    broker: &Broker,
    _context: &RequestContext,
    request: AlterUserScramCredentialsRequest,
) -> Result<Reply<AlterUserScramCredentialsResponse>, ApiError> {
    let alter = AlterUserScramCredentials {
        deletions: request
            .deletions
            .iter()
            .map(|deletion| ScramDeletion {
                user: owned(&deletion.name),
                mechanism: ScramMechanism::from_type_id(deletion.mechanism),
            })
            .collect(),
        upsertions: request.upsertions.iter().map(upsertion).collect(),
    };
    Ok(Reply::Ready(match broker.controller.alter_user_scram_credentials(alter).await {
        Ok(altered) => {
            let results = altered.response.into_iter().map(result).collect();
            AlterUserScramCredentialsResponse::default().with_results(results)
        }
        Err(code) => refuse(&request, code),
    }))
}

/// The answer to who may not change credentials: one result per user, by name.
pub fn refuse(request: &AlterUserScramCredentialsRequest, code: ErrorCode) -> AlterUserScramCredentialsResponse {
    let deleted = request.deletions.iter().map(|deletion| deletion.name.as_str());
    let users: BTreeSet<_> =
        deleted.chain(request.upsertions.iter().map(|upsertion| upsertion.name.as_str())).collect();
    let refused = |user: &str| {
        AlterUserScramCredentialsResult::default()
            .with_user(message_text(user))
            .with_error_code(code.code())
            .with_error_message(Some(StrBytes::from_string(code.to_string())))
    };
    AlterUserScramCredentialsResponse::default().with_results(users.into_iter().map(refused).collect())
}

fn upsertion(upsertion: &ScramCredentialUpsertion) -> ScramUpsertion {
    let mechanism = ScramMechanism::from_type_id(upsertion.mechanism);
    let keys = match mechanism {
        Some(ScramMechanism::Sha256) => scram::sha_256_keys(&upsertion.salted_password),
        Some(ScramMechanism::Sha512) => scram::sha_512_keys(&upsertion.salted_password),
        // The controller refuses it.
        None => scram::ServerKeys::default(),
    };
    let credential = ScramCredential {
        salt: upsertion.salt.as_ref().into(),
        stored_key: keys.stored_key.into(),
        server_key: keys.server_key.into(),
        iterations: upsertion.iterations,
    };
    ScramUpsertion { user: owned(&upsertion.name), mechanism, credential }
}

fn result(altered: ScramCredentialsAltered) -> AlterUserScramCredentialsResult {
    let result = AlterUserScramCredentialsResult::default().with_user(message_text(&altered.user));
    match altered.result {
        Ok(()) => result.with_error_message(None),
        Err(refusal) => {
            result.with_error_code(refusal.code.code()).with_error_message(Some(StrBytes::from_string(refusal.message)))
        }
    }
}
