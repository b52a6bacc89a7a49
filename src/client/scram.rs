//! The SCRAM credentials of users (`DescribeUserScramCredentials`, `AlterUserScramCredentials`, KIP-554). A password
//! never leaves this process: brokers get it salted.

use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::describe_user_scram_credentials_response::CredentialInfo;
use kafka_protocol::messages::{AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest};
use kafka_protocol::protocol::StrBytes;

use super::outcomes::ItemOutcomes;
use super::{ClientError, ClusterClient, To};
use crate::ids::Uuid;
use crate::metadata::ScramMechanism;
use crate::security::scram::{sha_256_salted, sha_512_salted};

/// A password that a user gets.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramPassword {
    /// The mechanism that it is for.
    pub mechanism: ScramMechanism,
    /// How often it is hashed.
    pub iterations: u32,
    /// The password.
    pub password: String,
}

/// The hidden form: passwords are not for logs.
impl std::fmt::Debug for ScramPassword {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ScramPassword({:?}, {}, [hidden])", self.mechanism, self.iterations)
    }
}

impl ClusterClient {
    /// The mechanisms that each of `users` has a credential for, with how often it is hashed; of all users that have any
    /// if none is named.
    pub async fn describe_scram_credentials(
        &mut self,
        users: &[String],
    ) -> Result<ItemOutcomes<String, Vec<(ScramMechanism, i32)>>, ClientError> {
        let named = users.iter().map(|user| UserName::default().with_name(text(user))).collect();
        let request = DescribeUserScramCredentialsRequest::default().with_users((!users.is_empty()).then_some(named));
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            ClientError::check(response.error_code, response.error_message.as_deref())?;
            ItemOutcomes::read(response.results, |result| {
                let outcome = ClientError::check(result.error_code, result.error_message.as_deref());
                let mechanism =
                    |info: CredentialInfo| Some((ScramMechanism::from_type_id(info.mechanism)?, info.iterations));
                let credentials = result.credential_infos.into_iter().filter_map(mechanism).collect();
                (result.user.to_string(), outcome.map(|()| credentials))
            })
        })
        .await
    }

    /// Takes credentials from a user and gives others.
    pub async fn alter_scram_credentials(
        &mut self,
        user: &str,
        removed: &[ScramMechanism],
        given: &[ScramPassword],
    ) -> Result<(), ClientError> {
        let deletions = removed.iter().map(|mechanism| {
            ScramCredentialDeletion::default().with_name(text(user)).with_mechanism(mechanism.type_id())
        });
        let request = AlterUserScramCredentialsRequest::default()
            .with_deletions(deletions.collect())
            .with_upsertions(given.iter().map(|password| upsertion(user, password)).collect());
        self.retry(async |client| {
            let response = client.ask(To::Controller, &request).await?;
            response
                .results
                .iter()
                .try_for_each(|result| ClientError::check(result.error_code, result.error_message.as_deref()))
        })
        .await
    }
}

fn upsertion(user: &str, given: &ScramPassword) -> ScramCredentialUpsertion {
    // A random UUID is random but for six bits; two make a salt of 32 bytes.
    let salt = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let hi = match given.mechanism {
        ScramMechanism::Sha256 => sha_256_salted,
        ScramMechanism::Sha512 => sha_512_salted,
    };
    let salted = hi(given.password.as_bytes(), &salt, given.iterations);
    ScramCredentialUpsertion::default()
        .with_name(text(user))
        .with_mechanism(given.mechanism.type_id())
        .with_iterations(i32::try_from(given.iterations).unwrap_or(i32::MAX))
        .with_salt(salt.into())
        .with_salted_password(salted.into())
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
