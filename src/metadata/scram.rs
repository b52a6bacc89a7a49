//! The SCRAM credentials of users (KIP-554): what RFC 5802 has a server keep, and never a password.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::BufMut;
use rpds::RedBlackTreeMapSync;

use super::error::{MetadataDecodeError, ReplayError};
use super::fields::{array, byte_string, int, put_byte_string, put_string, string};
use super::kind::RecordKind;
use super::maps::changed_keys;

/// A hash function that SCRAM is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramMechanism {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl ScramMechanism {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its number on the wire.
    pub fn type_id(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The mechanism of that number.
    pub fn from_type_id(type_id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.type_id() == type_id)
    }
}

/// What a server needs to check a user by SCRAM. Its `Debug` form shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// The salt that the password was hashed with.
    pub salt: Arc<[u8]>,
    /// RFC 5802's `StoredKey`.
    pub stored_key: Arc<[u8]>,
    /// RFC 5802's `ServerKey`.
    pub server_key: Arc<[u8]>,
    /// How often the password was hashed.
    pub iterations: i32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ScramCredential([hidden])")
    }
}

/// A user and a mechanism, for which there is one credential.
pub type ScramKey = (Arc<str>, ScramMechanism);

/// A change of the SCRAM credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScramRecord {
    /// A user got a credential, or another one.
    UserScramCredential {
        /// The user.
        user: Arc<str>,
        /// The mechanism that it is for.
        mechanism: ScramMechanism,
        /// The credential.
        credential: ScramCredential,
    },
    /// A user lost the credential for a mechanism.
    RemoveUserScramCredential {
        /// The user.
        user: Arc<str>,
        /// The mechanism that it was for.
        mechanism: ScramMechanism,
    },
}

/// The credentials, by user and mechanism.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ScramCredentials {
    by_key: RedBlackTreeMapSync<ScramKey, ScramCredential>,
}

impl ScramCredentials {
    pub(super) fn of(&self, user: &str, mechanism: ScramMechanism) -> Option<&ScramCredential> {
        self.by_key.get(&(Arc::from(user), mechanism))
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&ScramKey, &ScramCredential)> {
        self.by_key.iter()
    }

    /// Answers which credential changed; after an error none has.
    pub(super) fn replay(&mut self, record: &ScramRecord) -> Result<ScramKey, ReplayError> {
        match record {
            ScramRecord::UserScramCredential { user, mechanism, credential } => {
                let key = (Arc::clone(user), *mechanism);
                self.by_key.insert_mut(key.clone(), credential.clone());
                Ok(key)
            }
            ScramRecord::RemoveUserScramCredential { user, mechanism } => {
                let key = (Arc::clone(user), *mechanism);
                if self.by_key.remove_mut(&key) { Ok(key) } else { Err(ReplayError::UnknownCredential(key.0)) }
            }
        }
    }

    pub(super) fn to_records(&self) -> impl Iterator<Item = ScramRecord> {
        let Self { by_key } = self;
        by_key.iter().map(|((user, mechanism), credential)| ScramRecord::UserScramCredential {
            user: Arc::clone(user),
            mechanism: *mechanism,
            credential: credential.clone(),
        })
    }

    /// The credentials that are not what they were in `before`.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<ScramKey> {
        changed_keys(&before.by_key, &self.by_key)
    }
}

impl ScramRecord {
    pub(super) fn kind(&self) -> RecordKind {
        match self {
            Self::UserScramCredential { .. } => RecordKind::UserScramCredential,
            Self::RemoveUserScramCredential { .. } => RecordKind::RemoveUserScramCredential,
        }
    }

    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        match self {
            Self::UserScramCredential { user, mechanism, credential } => {
                let ScramCredential { salt, stored_key, server_key, iterations } = credential;
                put_key(user, *mechanism, buffer);
                for bytes in [salt, stored_key, server_key] {
                    put_byte_string(bytes, buffer);
                }
                buffer.put_i32(*iterations);
            }
            Self::RemoveUserScramCredential { user, mechanism } => put_key(user, *mechanism, buffer),
        }
    }

    pub(super) fn decode_user_scram_credential(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let (user, mechanism) = key(bytes)?;
        let credential = ScramCredential {
            salt: byte_string(bytes)?.into(),
            stored_key: byte_string(bytes)?.into(),
            server_key: byte_string(bytes)?.into(),
            iterations: int(bytes)?,
        };
        Ok(Self::UserScramCredential { user, mechanism, credential })
    }

    pub(super) fn decode_remove_user_scram_credential(bytes: &mut &[u8]) -> Result<Self, MetadataDecodeError> {
        let (user, mechanism) = key(bytes)?;
        Ok(Self::RemoveUserScramCredential { user, mechanism })
    }
}

fn put_key(user: &str, mechanism: ScramMechanism, buffer: &mut Vec<u8>) {
    put_string(user, buffer);
    buffer.put_i8(mechanism.type_id());
}

fn key(bytes: &mut &[u8]) -> Result<ScramKey, MetadataDecodeError> {
    let user = string(bytes)?.into();
    let [type_id] = array(bytes)?;
    let mechanism = ScramMechanism::from_type_id(type_id.cast_signed()).ok_or(MetadataDecodeError::InvalidField)?;
    Ok((user, mechanism))
}
