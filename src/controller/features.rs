//! `UpdateFeatures`: Kafka's `FeatureControlManager` (KIP-584).

use super::{Controller, Refusal};
use crate::ids::NodeId;
use crate::metadata::{FeatureRecord, METADATA_VERSION, MetadataRecord, SUPPORTED_FEATURES};
use crate::protocol::ErrorCode;

/// The last level of `metadata.version`, 4.0-IV1, that changed what records can say: nothing goes back behind it.
const LAST_METADATA_CHANGE: i16 = 23;

/// The levels of features shall change, all of them or none.
#[derive(Debug, Clone)]
pub struct UpdateFeatures {
    /// What shall change.
    pub updates: Vec<FeatureUpdate>,
    /// Only tell whether it would.
    pub validate_only: bool,
    /// The node that this controller is.
    pub node_id: NodeId,
}

/// The change of one feature.
#[derive(Debug, Clone)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// Its new level; 0 removes it.
    pub level: i16,
    /// Which way it may go.
    pub upgrade_type: UpgradeType,
}

/// Which way a feature's level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeType {
    /// A number that Kafka does not know.
    Unknown,
    /// Only up.
    Upgrade,
    /// Down, if no metadata are lost by it.
    SafeDowngrade,
    /// Down, whatever is lost by it.
    UnsafeDowngrade,
}

impl UpgradeType {
    /// The type of that number.
    pub fn from_code(code: i8) -> Self {
        match code {
            1 => Self::Upgrade,
            2 => Self::SafeDowngrade,
            3 => Self::UnsafeDowngrade,
            _ => Self::Unknown,
        }
    }
}

impl Controller {
    /// Refuses all where one update cannot be.
    pub(super) fn update_features(
        &self,
        request: &UpdateFeatures,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<(), Refusal> {
        let mut updated = Vec::new();
        for (place, update) in request.updates.iter().enumerate() {
            // Kafka makes a map of the updates: of several for one feature the last one counts.
            let is_replaced = request.updates.iter().skip(place + 1).any(|later| later.name == update.name);
            if !is_replaced {
                updated.push(self.update_feature(update, request.node_id)?.into());
            }
        }
        if !request.validate_only {
            records.append(&mut updated);
        }
        Ok(())
    }

    fn update_feature(&self, update: &FeatureUpdate, node_id: NodeId) -> Result<FeatureRecord, Refusal> {
        let FeatureUpdate { name, level, upgrade_type } = update;
        let refuse = |reason: &str| {
            let message = format!("Invalid update version {level} for feature {name}. {reason}");
            Err(Refusal::new(ErrorCode::InvalidUpdateVersion, message))
        };
        if *upgrade_type == UpgradeType::Unknown {
            return refuse("The controller does not support the given upgrade type.");
        }
        let current = self.image.feature_level(name).unwrap_or(0);
        if *level < 0 {
            return refuse("A feature version cannot be less than 0.");
        }
        match SUPPORTED_FEATURES.iter().find(|feature| feature.name == name) {
            None if *level == 0 => return refuse(&format!("Feature {name} not found.")),
            None => return refuse(&format!("Local controller {node_id} does not support this feature.")),
            Some(feature) if !(feature.min_level..=feature.max_level).contains(level) => {
                let levels = format!("{}-{}", feature.min_level, feature.max_level);
                return refuse(&format!("Local controller {node_id} only supports versions {levels}"));
            }
            Some(_) => {}
        }
        if *level < current && *upgrade_type == UpgradeType::Upgrade {
            return refuse(
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
                 downgrade.",
            );
        }
        if *level > current && *upgrade_type != UpgradeType::Upgrade {
            return refuse("Can't downgrade to a newer version.");
        }
        if name == METADATA_VERSION {
            check_metadata_version(current, *level, *upgrade_type)?;
        }
        Ok(FeatureRecord::FeatureLevel { name: name.as_str().into(), level: *level })
    }
}

/// Whether `metadata.version` can go from `current` to `level`.
fn check_metadata_version(current: i16, level: i16, upgrade_type: UpgradeType) -> Result<(), Refusal> {
    let reason = match upgrade_type {
        _ if level >= current || level >= LAST_METADATA_CHANGE => return Ok(()),
        UpgradeType::UnsafeDowngrade => "Unsafe metadata downgrade is not supported in this version.",
        UpgradeType::Unknown | UpgradeType::Upgrade | UpgradeType::SafeDowngrade => {
            "Refusing to perform the requested downgrade because it might delete metadata information."
        }
    };
    Err(Refusal::new(ErrorCode::InvalidUpdateVersion, format!("Invalid metadata.version {level}. {reason}")))
}
