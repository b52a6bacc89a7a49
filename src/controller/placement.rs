//! Which brokers hold a new partition.

use super::Refusal;
use crate::ids::NodeId;
use crate::metadata::{BrokerRegistration, MetadataImage};
use crate::protocol::ErrorCode;

/// The replicas of `partitions` new partitions, `replication_factor` each: round robin over the brokers from a start that
/// `seed` gives, so that leaders are spread evenly. Fenced brokers come last and only where the others do not suffice.
///
/// Refuses with Kafka's `INVALID_REPLICATION_FACTOR` where there are too few brokers. `partitions` is bounded by the
/// caller.
pub(super) fn place(
    image: &MetadataImage,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    let ring = ring(image);
    let fenced: Vec<_> = image.brokers().filter(|broker| broker.fenced).map(|broker| broker.id).collect();
    if ring.is_empty() {
        return refuse("All brokers are currently fenced.".to_owned());
    }
    if replication_factor > ring.len() + fenced.len() {
        return refuse(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {} broker(s) are \
             registered.",
            ring.len() + fenced.len()
        ));
    }
    let start = (seed % ring.len() as u64) as usize;
    let replicas = |partition: usize| {
        let first = (start + partition) % ring.len();
        let alive = ring.iter().cycle().skip(first).take(ring.len());
        alive.chain(&fenced).copied().take(replication_factor).collect()
    };
    Ok((0..partitions).map(replicas).collect())
}

/// The brokers that are not fenced, taken from the racks in turn, so that neighbours are in different racks.
fn ring(image: &MetadataImage) -> Vec<NodeId> {
    let mut racks: Vec<(Option<&str>, Vec<&BrokerRegistration>)> = Vec::new();
    for broker in image.alive_brokers() {
        match racks.iter_mut().find(|(rack, _)| *rack == broker.rack.as_deref()) {
            Some((_, brokers)) => brokers.push(broker),
            None => racks.push((broker.rack.as_deref(), vec![broker])),
        }
    }
    let deepest = racks.iter().map(|(_, brokers)| brokers.len()).max().unwrap_or(0);
    let row = |depth: usize| racks.iter().filter_map(move |(_, brokers)| brokers.get(depth)).map(|broker| broker.id);
    (0..deepest).flat_map(row).collect()
}
