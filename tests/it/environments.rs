//! Configurations that people have: environment blocks of compose files and of test containers, stock properties, and our
//! own compose files.

mod blocks;
mod compose;
mod stock;

use klamm::config::{Config, Environment, Settings};
use klamm::server::Server;
use proptest::prelude::*;

fn properties(text: &str) -> Config {
    let mut settings = Settings::default();
    settings.read_file("server.properties", text, &Environment::new()).unwrap();
    Config::new(settings).unwrap()
}

#[tokio::test]
async fn topics_that_are_asked_for_are_there_at_the_start_and_a_wrong_one_is_no_reason_not_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let topics = "payments:3:1:compact,unreplicable:1:3,odd:1:1:retention.ms=x";
    let pairs = [
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("log.dirs", data),
        ("klamm.create.topics", topics),
        ("klamm.cluster.id", "abc"),
    ];
    // The second start finds what is there.
    for _ in 0..2 {
        let server = Server::start(Config::with(&pairs).unwrap()).await.unwrap();
        let image = server.broker().image();
        let names: Vec<_> = image.topics().map(|topic| topic.name.to_string()).collect();
        assert_eq!(names, ["payments"]);
        let payments = image.topic("payments").unwrap();
        assert_eq!((payments.partitions.len(), &*payments.configs["cleanup.policy"]), (3, "compact"));
        assert_eq!(&**image.cluster_id(), "abc");
        server.stop().await.unwrap();
    }
}

#[test]
fn a_key_that_nobody_knows_is_passed_over_in_properties_alone() {
    let config = properties("num.partition=3\n");
    let note = "server.properties:1: unknown key \"num.partition\" is passed over (did you mean \"num.partitions\"?)";
    assert_eq!(config.passed_over(), [note]);
    let yaml = Settings::default().read_file("k.yaml", "num.partition: 3\n", &Environment::new()).unwrap_err();
    assert_eq!(yaml.to_string(), "k.yaml:1: unknown key \"num.partition\"");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// What it sets or refuses does not matter here; that it comes to an end without a panic does.
    #[test]
    fn no_text_is_too_odd_for_a_configuration_file(text in "([a-z.]{0,6}|[-:=,*&|>{}\\[\\]\"'#$!%@`?~\\\\]|\\$\\{|[ \t\n]|\\PC){0,80}") {
        let environment = Environment::from([("a".to_owned(), text.clone())]);
        for name in ["klamm.yaml", "server.properties"] {
            let mut settings = Settings::default();
            if let Err(errors) = settings.read_file(name, &text, &environment) {
                prop_assert!(errors.into_iter().all(|error| !error.to_string().is_empty()));
            }
        }
    }
}
