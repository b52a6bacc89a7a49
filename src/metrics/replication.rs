//! What happens to the in-sync replicas of the partitions that a broker leads: Kafka's counts in `ReplicaManager`.

use super::counters::Counter;

/// Counted once for all partitions of a broker.
///
/// Unlike Kafka, which counts what a leader has asked for, changes that the controller has made by itself while the leader
/// stays count, too: who watches a cluster wants to see them.
#[derive(Debug, Default)]
pub struct ReplicationMetrics {
    /// How often in-sync replicas became more.
    pub isr_expands: Counter,
    /// How often they became fewer, whether the leader or the controller has found out.
    pub isr_shrinks: Counter,
    /// How often the controller did not make true what a leader had asked for.
    pub failed_isr_updates: Counter,
}

impl ReplicationMetrics {
    /// Counts that there were `before` in-sync replicas, and are `after`.
    pub fn isr_changed(&self, before: usize, after: usize) {
        match after.cmp(&before) {
            std::cmp::Ordering::Less => self.isr_shrinks.add(1),
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => self.isr_expands.add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_by_its_direction() {
        let metrics = ReplicationMetrics::default();
        for (before, after) in [(3, 2), (2, 2), (2, 1), (1, 3)] {
            metrics.isr_changed(before, after);
        }
        assert_eq!((metrics.isr_shrinks.value(), metrics.isr_expands.value()), (2, 1));
    }
}
