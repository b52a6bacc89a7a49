//! The text that is scraped: Prometheus's format, version 0.0.4.
//!
//! Not that of `OpenMetrics`, in which a counter's name is not that of its series: `promtool` and older scrapers read it
//! wrong, and Prometheus takes both.

use std::fmt::{self, Display, Write};

use super::counters::Histogram;
use super::table::Metric;

/// What was read of all metrics; each one's samples are kept together, whatever the order in which they come.
#[derive(Debug)]
pub struct Exposition {
    samples: Vec<String>,
    has_partitions: bool,
}

impl Exposition {
    /// What a scraper is told that the text is.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Nothing read yet. Without partitions, what has a series for each of them is left out.
    pub fn new(has_partitions: bool) -> Self {
        Self { samples: vec![String::new(); Metric::ALL.len()], has_partitions }
    }

    /// Tells a value of a metric, with the values of its labels; without the last of them it is a sum over those.
    pub fn add(&mut self, metric: Metric, labels: &[&str], value: impl Display) {
        self.sample(metric, "", labels, None, value);
    }

    /// Tells a histogram, in seconds.
    pub fn add_histogram(&mut self, metric: Metric, labels: &[&str], histogram: &Histogram) {
        let mut count = 0;
        for (bound, below) in histogram.cumulative() {
            self.sample(metric, "_bucket", labels, Some(&bound), below);
            count = below;
        }
        // What is counted meanwhile is in the next scrape: the buckets must not be more than the count.
        let count = histogram.count().max(count);
        self.sample(metric, "_bucket", labels, Some(&"+Inf"), count);
        self.sample(metric, "_sum", labels, None, histogram.sum().as_secs_f64());
        self.sample(metric, "_count", labels, None, count);
    }

    /// Tells a sum and how many numbers are in it.
    pub fn add_summary(&mut self, metric: Metric, labels: &[&str], sum: f64, count: u64) {
        self.sample(metric, "_sum", labels, None, sum);
        self.sample(metric, "_count", labels, None, count);
    }

    fn sample(
        &mut self,
        metric: Metric,
        ending: &str,
        labels: &[&str],
        bound: Option<&dyn Display>,
        value: impl Display,
    ) {
        if metric.is_per_partition() && !self.has_partitions {
            return;
        }
        let bound = bound.map(|bound| ("le", Escaped(bound)));
        let labels = metric.labels().iter().zip(labels).map(|(name, value)| (*name, Escaped(value as &dyn Display)));
        let Some(text) = self.samples.get_mut(metric as usize) else { return };
        text.push_str(metric.name());
        text.push_str(ending);
        let mut separator = '{';
        for (name, value) in labels.chain(bound) {
            append(text, format_args!("{separator}{name}=\"{value}\""));
            separator = ',';
        }
        append(text, format_args!("{} {value}\n", if separator == ',' { "}" } else { "" }));
    }

    /// The text; a metric without a sample is not in it.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for (metric, samples) in Metric::ALL.iter().zip(&self.samples).filter(|(_, samples)| !samples.is_empty()) {
            let (name, kind) = (metric.name(), metric.kind().word());
            append(&mut text, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n{samples}", metric.help()));
        }
        text
    }
}

/// A string takes whatever is written to it.
fn append(text: &mut String, more: fmt::Arguments<'_>) {
    let _ = text.write_fmt(more);
}

/// A label's value as it stands between quotes.
struct Escaped<'a>(&'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(formatter), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '\\' => self.0.write_str("\\\\"),
            '"' => self.0.write_str("\\\""),
            '\n' => self.0.write_str("\\n"),
            other => self.0.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn samples_of_a_metric_stand_together_behind_its_help() {
        let mut exposition = Exposition::new(true);
        exposition.add(Metric::BytesIn, &[], 7);
        exposition.add(Metric::GroupMembers, &["a\"b\\c\nd"], 2);
        exposition.add(Metric::BytesIn, &["orders"], 5);
        assert_eq!(
            exposition.finish(),
            "# HELP kafka_consumergroup_members Members of the group.\n# TYPE kafka_consumergroup_members gauge\n\
             kafka_consumergroup_members{consumergroup=\"a\\\"b\\\\c\\nd\"} 2\n\
             # HELP kafka_server_brokertopicmetrics_bytesin_total Bytes of record batches that were appended.\n\
             # TYPE kafka_server_brokertopicmetrics_bytesin_total counter\n\
             kafka_server_brokertopicmetrics_bytesin_total 7\n\
             kafka_server_brokertopicmetrics_bytesin_total{topic=\"orders\"} 5\n"
        );
    }

    #[test]
    fn a_histogram_is_told_by_its_bounds() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_micros(100));
        histogram.observe(Duration::from_mins(1));
        let mut exposition = Exposition::new(true);
        exposition.add_histogram(Metric::RequestDuration, &["Produce"], &histogram);
        let text = exposition.finish();
        for line in [
            "klamm_request_duration_seconds_bucket{request=\"Produce\",le=\"0.000064\"} 0",
            "klamm_request_duration_seconds_bucket{request=\"Produce\",le=\"0.000128\"} 1",
            "klamm_request_duration_seconds_bucket{request=\"Produce\",le=\"16.777216\"} 1",
            "klamm_request_duration_seconds_bucket{request=\"Produce\",le=\"+Inf\"} 2",
            "klamm_request_duration_seconds_sum{request=\"Produce\"} 60.0001",
            "klamm_request_duration_seconds_count{request=\"Produce\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn without_partitions_what_has_a_series_for_each_is_left_out() {
        let mut exposition = Exposition::new(false);
        exposition.add(Metric::LogSize, &["orders", "0"], 1);
        exposition.add(Metric::TopicPartitions, &["orders"], 1);
        let text = exposition.finish();
        assert!(text.contains("kafka_topic_partitions{topic=\"orders\"} 1") && !text.contains("log_size"), "{text}");
    }
}
