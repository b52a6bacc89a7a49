//! The compose files in `docker/`, as far as they can be judged without a container engine.

use std::path::Path;

use serde_yaml::Value;

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
