//! Stands in for the crate of this name, of which openraft makes a histogram per node.
//!
//! That crate, at its first use, fills the tables of all its sixteen resolutions: 35 MB of resident memory and 4 ms of
//! every start, for statistics that openraft offers only under its feature `runtime-stats`, which is off here. This one has
//! what openraft needs to compile without that feature: it counts samples, and forgets their distribution.

use std::fmt;
use std::marker::PhantomData;

/// Counts samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram<T = ()> {
    samples: u64,
    data: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// No samples yet.
    pub fn new() -> Self {
        Self { samples: 0, data: PhantomData }
    }

    /// Counts one sample; its value is forgotten.
    pub fn record(&mut self, _value: u64) {
        self.samples = self.samples.saturating_add(1);
    }

    /// Counts `count` samples of one value.
    pub fn record_n(&mut self, _value: u64, count: u64) {
        self.samples = self.samples.saturating_add(count);
    }

    /// The number of samples, and zeros.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats { samples: self.samples, ..PercentileStats::default() }
    }
}

/// Percentiles of a histogram's samples; the field names are those of the crate that this one stands in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PercentileStats {
    /// How many samples were recorded.
    pub samples: u64,
    /// The 0.1st percentile, which is not kept.
    pub p0_1: u64,
    /// The 1st percentile, which is not kept.
    pub p1: u64,
    /// The 5th percentile, which is not kept.
    pub p5: u64,
    /// The 10th percentile, which is not kept.
    pub p10: u64,
    /// The 50th percentile, which is not kept.
    pub p50: u64,
    /// The 90th percentile, which is not kept.
    pub p90: u64,
    /// The 99th percentile, which is not kept.
    pub p99: u64,
    /// The 99.9th percentile, which is not kept.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[samples: {}]", self.samples)
    }
}

/// A drawing of histograms; empty, as there is no distribution to draw.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {}

impl AsciiChart {
    /// An empty drawing.
    pub fn new() -> Self {
        Self {}
    }

    /// Adds nothing to the drawing.
    #[must_use]
    pub fn add<T>(self, _name: impl Into<String>, _histogram: Histogram<T>) -> Self {
        self
    }
}
