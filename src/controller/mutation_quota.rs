//! How many partitions one request may create and delete (KIP-599).

use super::Refusal;
use crate::protocol::ErrorCode;

/// What a client has left of its `controller_mutation_rate` when its request arrives; without limit by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MutationQuota {
    left: Option<f64>,
}

impl MutationQuota {
    /// A quota of which so many partitions are left; fewer than 0 when more were taken before.
    pub fn strict(left: f64) -> Self {
        Self { left: Some(left) }
    }

    /// Takes some partitions. As in Kafka one topic may take more than are left, after which none may.
    pub(super) fn take(&mut self, partitions: usize) -> Result<(), Refusal> {
        match &mut self.left {
            None => Ok(()),
            Some(left) if *left < 0.0 => {
                Err(Refusal::new(ErrorCode::ThrottlingQuotaExceeded, "The throttling quota has been exceeded."))
            }
            Some(left) => {
                *left -= partitions as f64;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_may_take_more_than_is_left_and_the_next_may_not() {
        let mut quota = MutationQuota::strict(3.0);
        assert!(quota.take(3).is_ok() && quota.take(10).is_ok());
        assert_eq!(quota.take(0).map_err(|refusal| refusal.code), Err(ErrorCode::ThrottlingQuotaExceeded));
        assert!(MutationQuota::default().take(usize::MAX).is_ok());
    }
}
