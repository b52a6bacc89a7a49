//! Derived files are fresh: `UPDATE=1 cargo test --test generated` writes them anew.

use std::fs;
use std::path::PathBuf;

use kafka_protocol::messages::ApiKey;
use klamm::api::APIS;
use klamm::config::{Config, Environment, Settings, reference};
use klamm::metrics::{Metric, MetricOrigin};

/// The page of lists that follow from the source.
const COMPATIBILITY: &str = "docs/compatibility.md";

const STATUS_BEGIN: &str = "<!-- status: derived from src/api/mod.rs by tests/generated.rs -->\n";
const STATUS_END: &str = "<!-- end of status -->";

const ORACLE_BEGIN: &str =
    "<!-- oracle: derived from compat-tests/oracle/expected_differences.txt by tests/generated.rs -->\n";
const ORACLE_END: &str = "<!-- end of oracle -->";

/// The keys of Kafka's protocol run from 0 to below this.
const API_KEYS: i16 = 100;

/// What a newcomer looks for first among the missing APIs: configs, `DeleteRecords`, transactions, ACLs, and the groups
/// of KIP-848 and KIP-932. Those that are served drop out by themselves.
const LOOKED_FOR: &[i16] = &[32, 33, 44, 21, 24, 25, 26, 28, 29, 30, 31, 68, 69, 76, 77, 78, 79];

/// Whether brokers and controllers ask this of each other, and clients do not.
fn is_inner(key: i16) -> bool {
    matches!(key, 4..=7 | 27 | 52..=54 | 56 | 58 | 59 | 62 | 63 | 67 | 70 | 73 | 82 | 83..=87)
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares a file with what it should be, or, with `UPDATE=1`, makes it so.
fn assert_fresh(name: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some() {
        drop(fs::write(path(name), expected));
    }
    let text = fs::read_to_string(path(name)).unwrap_or_default();
    assert!(text == expected, "{name} is stale; run: UPDATE=1 cargo test --test generated");
}

/// `text` with what stands between the two marks replaced.
fn with_block(text: &str, begin: &str, end: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{block}{end}{after}"))
}

/// The table of served APIs, and the names of those that Kafka has beside them.
fn status() -> String {
    let name = |key: i16| ApiKey::try_from(key).map_or_else(|()| key.to_string(), |key| format!("{key:?}"));
    let rows: Vec<String> = APIS
        .iter()
        .map(|api| format!("| {} | {} | {}-{} |\n", api.key, name(api.key), api.min_version, api.max_version))
        .collect();
    let is_served = |key: &i16| APIS.iter().any(|api| api.key == *key);
    let is_missing = |key: &i16| !is_served(key) && ApiKey::try_from(*key).is_ok();
    let (inner, missing): (Vec<i16>, Vec<i16>) = (0..API_KEYS).filter(is_missing).partition(|key| is_inner(*key));
    let looked_for: Vec<i16> = LOOKED_FOR.iter().copied().filter(is_missing).collect();
    let others: Vec<i16> = missing.into_iter().filter(|key| !LOOKED_FOR.contains(key)).collect();
    let names = |keys: Vec<i16>| keys.into_iter().map(name).collect::<Vec<_>>().join(", ");
    format!(
        "\n| Key | API | Versions |\n|---:|---|---|\n{}\nNot served, of what clients and tools may ask: {}; {}.\n\nNor \
         is what brokers and controllers ask each other: {}.\n\n",
        rows.concat(),
        names(looked_for),
        names(others),
        names(inner),
    )
}

/// The differences that the oracle expects: what is asked, which part of the answer differs, and why. `None` where a rule
/// has no reason.
fn expected_differences(rules: &str) -> Option<String> {
    let rules = rules.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let rows = rules.map(|rule| rule.split_once(" => ").map(|(pattern, reason)| format!("- `{pattern}`: {reason}.\n")));
    Some(format!("\n{}\n", rows.collect::<Option<String>>()?))
}

/// The page of metrics: for each source of names a table.
fn metrics() -> String {
    let sources = [
        (
            MetricOrigin::KafkaExporter,
            "By the names of kafka_exporter",
            "Dashboards for kafka_exporter, such as Grafana's 7589, need no exporter beside this broker.",
        ),
        (
            MetricOrigin::Jmx,
            "By the names of Kafka's JMX metrics",
            "As the JMX exporter tells them with the rules that Strimzi and others give it. What Kafka counts for each topic \
             and for all of them has both here: a series without the label `topic` is the sum.",
        ),
        (MetricOrigin::Process, "Of the process", "As Prometheus's client libraries name them; on Linux."),
        (MetricOrigin::Klamm, "Our own", "`promtool check metrics` is content with these names."),
    ];
    let page = "\
# Metrics

Derived from the table in `src/metrics/table.rs`; a test fails when this page is stale.

`http://localhost:9021/metrics` tells them in Prometheus's text format. `klamm.http.bind` is the address;
`klamm.metrics.per.partition=false` leaves out what has a series for each partition. Counters begin with 0 when the broker
starts. A metric without a sample, such as the lag where there is no group, is left out.
";
    sources.iter().fold(page.to_owned(), |page, (origin, title, about)| {
        let metrics = Metric::ALL.iter().filter(|metric| metric.origin() == *origin);
        let row = |metric: &Metric| {
            let labels: Vec<String> = metric.labels().iter().map(|label| format!("`{label}`")).collect();
            let (name, kind, labels, help) = (metric.name(), metric.kind().word(), labels.join(", "), metric.help());
            format!("| `{name}` | {kind} | {labels} | {help} |\n")
        };
        let rows: String = metrics.map(row).collect();
        format!("{page}\n## {title}\n\n{about}\n\n| Name | Kind | Labels | What it tells |\n|---|---|---|---|\n{rows}")
    })
}

#[test]
fn the_list_of_metrics_is_fresh() {
    assert_fresh("docs/metrics.md", &metrics());
}

#[test]
fn the_list_of_oracle_differences_is_fresh() {
    let page = fs::read_to_string(path(COMPATIBILITY)).unwrap();
    let rules = fs::read_to_string(path("compat-tests/oracle/expected_differences.txt")).unwrap();
    let block = expected_differences(&rules).expect("a rule has no reason");
    let expected = with_block(&page, ORACLE_BEGIN, ORACLE_END, &block).expect("the page has no oracle block");
    assert_fresh(COMPATIBILITY, &expected);
}

#[test]
fn the_page_of_commands_is_fresh() {
    assert_fresh("docs/cli.md", &klamm::cli::reference());
}

#[test]
fn the_reference_of_keys_is_fresh() {
    assert_fresh("config/klamm.reference.yaml", &reference::yaml());
}

#[test]
fn the_table_of_apis_is_fresh() {
    let page = fs::read_to_string(path(COMPATIBILITY)).unwrap();
    let expected = with_block(&page, STATUS_BEGIN, STATUS_END, &status()).expect("the page has no status block");
    assert_fresh(COMPATIBILITY, &expected);
}

#[test]
fn a_block_is_replaced_between_its_marks_only() {
    assert_eq!(with_block("a<b>old<c>d", "<b>", "<c>", "new").as_deref(), Some("a<b>new<c>d"));
    assert_eq!(with_block("a<b>old", "<b>", "<c>", "new"), None);
}

/// Whether a comment, without its mark, is a line of configuration.
fn is_yaml(comment: &str) -> bool {
    comment.starts_with("  - {") || comment.ends_with(':') || comment.contains(": {")
}

#[test]
fn the_examples_of_configuration_are_accepted() {
    let read = |name: &str| (name.to_owned(), fs::read_to_string(path(name)).unwrap());
    let reference = ("config/klamm.reference.yaml".to_owned(), reference::yaml());
    let first = read("config/klamm.yaml");
    let uncommented = first.1.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_yaml(rest)).unwrap_or(line));
    let uncommented = (first.0.clone(), uncommented.collect::<Vec<_>>().join("\n"));
    assert!(uncommented.1.contains("\ntopics:\n  - {") && uncommented.1.contains("\nhttp: {"));
    let cluster = read("config/cluster.yaml");
    for (name, text) in [first, uncommented, read("docker/root/etc/klamm/klamm.yaml"), reference, cluster] {
        let mut settings = Settings::default();
        settings.read_file(&name, &text, &Environment::new()).unwrap_or_else(|error| panic!("{error}"));
        Config::new(settings).unwrap_or_else(|error| panic!("{error}"));
    }
}
