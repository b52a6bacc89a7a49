//! What became of each thing in a request that names several.

use super::ClientError;
use crate::protocol::ErrorCode;

/// What became of each thing that was asked for, in the order of the answer.
#[derive(Debug)]
pub struct ItemOutcomes<K, T>(pub Vec<(K, Result<T, ClientError>)>);

impl<K, T> ItemOutcomes<K, T> {
    /// Reads the items of an answer. One that a broker refuses because it is not the controller speaks for all of them:
    /// nothing was done, and another broker is to be asked.
    pub(super) fn read<I>(
        items: impl IntoIterator<Item = I>,
        mut read: impl FnMut(I) -> (K, Result<T, ClientError>),
    ) -> Result<Self, ClientError> {
        let mut outcomes = Vec::new();
        for item in items {
            match read(item) {
                (_, Err(error)) if error.code() == Some(ErrorCode::NotController) => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        Ok(Self(outcomes))
    }

    /// What all of them came to, or the first refusal.
    pub fn all(self) -> Result<Vec<(K, T)>, ClientError> {
        self.0.into_iter().map(|(key, outcome)| Ok((key, outcome?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(codes: &[i16]) -> Result<ItemOutcomes<usize, ()>, ClientError> {
        ItemOutcomes::read(codes.iter().enumerate(), |(place, code)| (place, ClientError::check(*code, None)))
    }

    #[test]
    fn a_broker_that_is_not_the_controller_has_done_nothing() {
        let error = read(&[36, 41]).expect_err("another broker is to be asked");
        assert!(error.is_retriable(), "{error:?}");
    }

    #[test]
    fn each_thing_has_an_outcome_of_its_own() {
        let outcomes = read(&[0, 36]).unwrap();
        assert!(matches!(outcomes.0.as_slice(), [(0, Ok(())), (1, Err(_))]), "{outcomes:?}");
        assert_eq!(outcomes.all().expect_err("one exists").code(), Some(ErrorCode::TopicAlreadyExists));
        assert_eq!(read(&[0, 0]).unwrap().all().unwrap().len(), 2);
    }
}
