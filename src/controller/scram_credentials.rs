//! `AlterUserScramCredentials`: Kafka's `ScramControlManager` (KIP-554).

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Controller, Refusal};
use crate::metadata::{MetadataRecord, ScramCredential, ScramMechanism, ScramRecord};
use crate::protocol::ErrorCode;

/// How often a password must be hashed at least.
const MIN_ITERATIONS: i32 = 4_096;

/// How often a password may be hashed at most: a server that checks one must do it, too.
const MAX_ITERATIONS: i32 = 16_384;

/// Credentials shall be or be gone, those of each user by themselves.
#[derive(Debug, Clone)]
pub struct AlterUserScramCredentials {
    /// Credentials that shall be gone.
    pub deletions: Vec<ScramDeletion>,
    /// Credentials that shall be.
    pub upsertions: Vec<ScramUpsertion>,
}

/// A user shall lose a credential.
#[derive(Debug, Clone)]
pub struct ScramDeletion {
    /// The user.
    pub user: Arc<str>,
    /// The mechanism that it is for; `None` for one that nobody knows.
    pub mechanism: Option<ScramMechanism>,
}

/// A user shall have a credential.
#[derive(Debug, Clone)]
pub struct ScramUpsertion {
    /// The user.
    pub user: Arc<str>,
    /// The mechanism that it is for; `None` for one that nobody knows.
    pub mechanism: Option<ScramMechanism>,
    /// The credential, whose number of iterations is unchecked.
    pub credential: ScramCredential,
}

/// What became of one user's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramCredentialsAltered {
    /// The user.
    pub user: Arc<str>,
    /// Nothing, or why they stay as they are.
    pub result: Result<(), Refusal>,
}

impl Controller {
    /// One result per user, in the order in which they came first.
    pub(super) fn alter_user_scram_credentials(
        &self,
        request: AlterUserScramCredentials,
        records: &mut Vec<MetadataRecord>,
    ) -> Vec<ScramCredentialsAltered> {
        let mut users: IndexMap<Arc<str>, Result<ScramRecord, Refusal>> = IndexMap::new();
        let mut alter = |user: Arc<str>, decide: &dyn Fn(Arc<str>) -> Result<ScramRecord, Refusal>| {
            match users.entry(Arc::clone(&user)) {
                indexmap::map::Entry::Vacant(first) => drop(first.insert(decide(user))),
                // The first error stays.
                indexmap::map::Entry::Occupied(mut again) if again.get().is_ok() => {
                    let message = "A user credential cannot be altered twice in the same request";
                    *again.get_mut() = Err(Refusal::new(ErrorCode::DuplicateResource, message));
                }
                indexmap::map::Entry::Occupied(_) => {}
            }
        };
        for deletion in request.deletions {
            alter(deletion.user, &|user| self.delete_credential(user, deletion.mechanism));
        }
        for upsertion in request.upsertions {
            alter(upsertion.user, &|user| upsert_credential(user, upsertion.mechanism, upsertion.credential.clone()));
        }
        let results = users.into_iter().map(|(user, result)| ScramCredentialsAltered {
            user,
            result: result.map(|record| records.push(record.into())),
        });
        results.collect()
    }

    fn delete_credential(&self, user: Arc<str>, mechanism: Option<ScramMechanism>) -> Result<ScramRecord, Refusal> {
        let mechanism = checked(&user, mechanism)?;
        if self.image.scram_credential(&user, mechanism).is_none() {
            let message = "Attempt to delete a user credential that does not exist";
            return Err(Refusal::new(ErrorCode::ResourceNotFound, message));
        }
        Ok(ScramRecord::RemoveUserScramCredential { user, mechanism })
    }
}

fn upsert_credential(
    user: Arc<str>,
    mechanism: Option<ScramMechanism>,
    credential: ScramCredential,
) -> Result<ScramRecord, Refusal> {
    let mechanism = checked(&user, mechanism)?;
    match credential.iterations {
        ..MIN_ITERATIONS => Err(Refusal::new(ErrorCode::UnacceptableCredential, "Too few iterations")),
        MIN_ITERATIONS..=MAX_ITERATIONS => Ok(ScramRecord::UserScramCredential { user, mechanism, credential }),
        _ => Err(Refusal::new(ErrorCode::UnacceptableCredential, "Too many iterations")),
    }
}

fn checked(user: &str, mechanism: Option<ScramMechanism>) -> Result<ScramMechanism, Refusal> {
    if user.is_empty() {
        return Err(Refusal::new(ErrorCode::UnacceptableCredential, "Username must not be empty"));
    }
    mechanism.ok_or_else(|| Refusal::new(ErrorCode::UnsupportedSaslMechanism, "Unknown SCRAM mechanism"))
}
