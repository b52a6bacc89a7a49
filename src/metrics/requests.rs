//! What is counted of one API's requests.

use std::array;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

use super::counters::{Counter, Histogram};

/// Kafka's error codes run from -1 to below this; there is room for some that Kafka has not given out yet.
const ERROR_CODES_END: i16 = 192;

/// The requests of one API, by version, the errors in their answers, and how long they took.
#[derive(Debug)]
pub struct RequestMetrics {
    versions: RangeInclusive<i16>,
    by_version: Box<[Counter]>,
    /// The error codes of the answers.
    pub errors: Errors,
    /// From when a request had arrived until its answer was written to the socket. Requests without an answer are not
    /// in it.
    pub duration: Histogram,
}

impl RequestMetrics {
    /// Nothing counted yet, of an API that is served in these versions.
    pub fn new(versions: RangeInclusive<i16>) -> Self {
        let by_version = versions.clone().map(|_| Counter::default()).collect();
        Self { versions, by_version, errors: Errors::default(), duration: Histogram::default() }
    }

    /// Counts a request of `version`; one that is not served does not count.
    pub fn count(&self, version: i16) {
        let place = usize::try_from(i32::from(version) - i32::from(*self.versions.start()));
        if let Some(counter) = place.ok().and_then(|place| self.by_version.get(place)) {
            counter.add(1);
        }
    }

    /// The versions, each with its requests.
    pub fn by_version(&self) -> impl Iterator<Item = (i16, u64)> {
        self.versions.clone().zip(self.by_version.iter().map(Counter::value))
    }
}

/// How often each error code was answered.
#[derive(Debug, Default)]
pub struct Errors {
    none: Counter,
    /// Made with the first error, which most APIs never see.
    others: OnceLock<Box<[Counter; ERROR_CODES_END as usize + 1]>>,
}

impl Errors {
    /// Counts `more` places of answers without an error.
    pub fn none(&self, more: u64) {
        self.none.add(more);
    }

    /// Counts one error code; 0 is none. Kafka has none outside of what there is room for.
    pub fn count(&self, code: i16) {
        if code == 0 {
            return self.none.add(1);
        }
        let others = self.others.get_or_init(|| Box::new(array::from_fn(|_| Counter::default())));
        if let Some(counter) = usize::try_from(i32::from(code) + 1).ok().and_then(|place| others.get(place)) {
            counter.add(1);
        }
    }

    /// The codes that were counted, each with its number; 0, which is none, first.
    pub fn counts(&self) -> impl Iterator<Item = (i16, u64)> {
        let others = self.others.get().into_iter().flat_map(|others| (-1..).zip(others.iter().map(Counter::value)));
        std::iter::once((0, self.none.value())).chain(others).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_at_their_version() {
        let requests = RequestMetrics::new(3..=5);
        for version in [3, 5, 5, 2, 6, -1, i16::MIN, i16::MAX] {
            requests.count(version);
        }
        assert_eq!(requests.by_version().collect::<Vec<_>>(), [(3, 1), (4, 0), (5, 2)]);
    }

    #[test]
    fn errors_count_at_their_code() {
        let errors = Errors::default();
        assert_eq!(errors.counts().count(), 0);
        errors.none(3);
        for code in [0, 3, -1, 3, i16::MAX, i16::MIN, ERROR_CODES_END - 1, ERROR_CODES_END] {
            errors.count(code);
        }
        let counted: Vec<(i16, u64)> = errors.counts().collect();
        assert_eq!(counted, [(0, 4), (-1, 1), (3, 2), (ERROR_CODES_END - 1, 1)]);
    }
}
