//! What requests about voters of the metadata quorum have in common (KIP-853).

use kafka_protocol::protocol::StrBytes;

use crate::controller::Refusal;
use crate::ids::{NodeId, Uuid};
use crate::protocol::ErrorCode;

/// Kafka's checks of whom a request is for and about; `verb` says what it wants done with the voter.
pub(super) fn check_voter(
    verb: &str,
    cluster_id: &str,
    asked_cluster_id: Option<&StrBytes>,
    (voter_id, directory_id): (NodeId, Uuid),
) -> Result<(), Refusal> {
    if let Some(asked) = asked_cluster_id
        && asked.as_str() != cluster_id
    {
        let message = format!("The given id \"{}\" doesn't match the cluster id \"{cluster_id}\"", asked.as_str());
        return Err(Refusal::new(ErrorCode::InconsistentClusterId, message));
    }
    if voter_id < 0 || directory_id.is_nil() {
        let message = format!("{verb} voter request didn't include a valid voter");
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

/// What a quorum says that stays as it was made: the feature that would let it change, `kraft.version`, is at level 0.
pub(super) fn unsupported(participle: &str) -> Refusal {
    let message = format!("Cluster doesn't support {participle} voter because the kraft.version feature is 0");
    Refusal::new(ErrorCode::UnsupportedVersion, message)
}
