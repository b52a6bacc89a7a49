//! The compose files in `docker/`, as far as they can be judged without a container engine.

use std::path::Path;

use klamm::config::{Config, Environment};
use serde_yaml::Value;

use super::blocks::container;

/// The text of a file of `docker/`.
fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker").join(name)).unwrap()
}

fn compose(name: &str) -> Value {
    serde_yaml::from_str(&text(name)).unwrap()
}

#[test]
fn a_broker_is_four_lines_and_of_this_version() {
    let one = compose("compose.yaml");
    assert_eq!(text("compose.yaml").lines().filter(|line| !line.starts_with('#')).count(), 4);
    let ui = compose("compose.ui.yaml");
    let image = concat!("klamm:", env!("CARGO_PKG_VERSION"));
    for broker in [&one["services"]["kafka"], &ui["services"]["kafka"]] {
        assert_eq!(broker["image"], Value::from(image));
        assert_eq!(broker["ports"][0], Value::from("9092:9092"));
    }
}

#[test]
fn who_waits_for_a_healthy_broker_waits_for_the_check_of_the_image() {
    let ui = compose("compose.ui.yaml");
    let waits = &ui["services"]["ui"]["depends_on"]["kafka"]["condition"];
    assert_eq!(*waits, Value::from("service_healthy"));
    assert!(ui["services"]["kafka"]["healthcheck"].is_null());
    let dockerfile = text("Dockerfile");
    // Compose runs what the last stage builds.
    let last = dockerfile.rsplit("\nFROM ").next().unwrap();
    assert!(last.contains("\nHEALTHCHECK "), "{last}");
}

/// The environment of a service, as the engine makes it.
fn environment(service: &Value) -> Environment {
    let variables = service["environment"].as_mapping().unwrap().iter();
    variables.map(|(name, value)| (name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn three_services_are_one_cluster() {
    let mut cluster = compose("compose.cluster.yaml");
    cluster.apply_merge().unwrap();
    let services = cluster["services"].as_mapping().unwrap();
    let mut voters = Vec::new();
    for (place, (name, service)) in (1..).zip(services) {
        let name = name.as_str().unwrap();
        assert_eq!(service["image"], Value::from(concat!("klamm:", env!("CARGO_PKG_VERSION"))));
        let config: Config = container(&environment(service)).unwrap();
        assert_eq!((config.node_id, config.passed_over()), (place, &[][..]), "{name}");
        let told = |listener: &str| {
            let found = config.listeners.iter().find(|one| *one.name == *listener).unwrap();
            (found.bind.port, found.advertised.as_ref().unwrap().to_string())
        };
        let outside = 9091 + place;
        assert_eq!(told("HOST"), (9092, format!("localhost:{outside}")));
        assert_eq!(service["ports"][0], Value::from(format!("{outside}:9092")));
        assert_eq!(told("INSIDE"), (19_092, format!("{name}:19092")));
        assert_eq!((config.listeners.len(), config.inter_broker_listener.as_str()), (2, "INSIDE"));
        assert_eq!(config.controller_listener.unwrap().bind.port, 9095);
        assert_eq!((config.broker.default_replication_factor, config.topic_defaults.min_insync_replicas), (3, 2));
        let own = config.quorum_voters.iter().find(|voter| voter.id == place).unwrap();
        assert_eq!((own.host.as_str(), own.port), (name, 9095));
        voters.push(config.quorum_voters);
    }
    assert_eq!(voters.len(), 3);
    assert!(voters.iter().all(|one| *one == voters[0]));
}
