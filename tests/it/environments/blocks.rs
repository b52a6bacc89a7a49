//! The environment blocks that images and test containers' modules are started with, over the image's own configuration.
//!
//! `tests/fixtures/environments` holds them: a block is a title after `#`, `NAME=value` of the environment, `key=value` of a
//! mounted `server.properties` (small letters), and what follows from them after `=>`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use klamm::config::{Config, Environment, Settings, Storage};

/// A file of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What the image is, with these lines of a block.
fn configured(block: &str) -> Result<Config, String> {
    let image = std::fs::read_to_string(repository("docker/root/etc/klamm/klamm.yaml")).unwrap();
    let given = || block.lines().filter(|line| !line.starts_with("=>")).filter_map(|line| line.split_once('='));
    let is_variable = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
    let properties: Vec<String> =
        given().filter(|(name, _)| !is_variable(name)).map(|(name, value)| format!("{name}={value}")).collect();
    let variables: Environment = given()
        .filter(|(name, _)| is_variable(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    with_image(&image, &properties.join("\n"), &variables)
}

/// What a container of the image is that is started in this environment.
pub(super) fn container(variables: &Environment) -> Result<Config, String> {
    let image = std::fs::read_to_string(repository("docker/root/etc/klamm/klamm.yaml")).unwrap();
    with_image(&image, "", variables)
}

fn with_image(image: &str, properties: &str, variables: &Environment) -> Result<Config, String> {
    let mut settings = Settings::default();
    settings.read_file("klamm.yaml", image, variables).unwrap();
    settings.read_file("server.properties", properties, variables).map_err(|error| error.to_string())?;
    let read = |path: &str| Err(format!("{path} is not there"));
    settings.read_environment(variables, read).map_err(|error| error.to_string())?;
    Config::new(settings).map_err(|error| error.to_string())
}

/// What follows from a block, in the lines of the fixtures.
fn effective(config: &Config) -> String {
    let cluster = config.cluster_id.as_deref().unwrap_or("new");
    let Storage::Disk(directories) = &config.storage else { panic!("in memory") };
    let [directory] = &directories.log_dirs[..] else { panic!("{directories:?}") };
    let mut lines = vec![format!("=> node {} of cluster {cluster} in {}", config.node_id, directory.display())];
    lines.extend(config.listeners.iter().map(|listener| {
        let told = listener.advertised.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        format!("=> {} on {} is told as {told}", listener.name, listener.bind)
    }));
    lines.push(format!("=> between brokers {}", config.inter_broker_listener));
    if !config.initial_topics.is_empty() {
        let names: Vec<_> = config.initial_topics.iter().map(|topic| topic.name.as_str()).collect();
        lines.push(format!("=> creates {}", names.join(" ")));
    }
    // What is passed over must be meant: a key that nobody knows is not.
    let unknown = config.passed_over().iter().filter(|note| note.contains("unknown"));
    lines.extend(unknown.map(|note| format!("=> {note}")));
    lines.join("\n")
}

#[test]
fn every_block_means_what_its_image_makes_of_it() {
    let (mut checked, mut wrong) = (0, String::new());
    for entry in std::fs::read_dir(repository("tests/fixtures/environments")).unwrap() {
        let path = entry.unwrap().path();
        for block in std::fs::read_to_string(&path).unwrap().split("\n\n") {
            let title = block.lines().next().unwrap();
            let expected: Vec<_> = block.lines().filter(|line| line.starts_with("=>")).collect();
            let found = configured(block).map_or_else(|error| format!("=> {error}"), |config| effective(&config));
            if found != expected.join("\n") {
                writeln!(wrong, "{}: {title}\n{found}", path.display()).unwrap();
            }
            checked += 1;
        }
    }
    assert_eq!(wrong, "", "these follow, and others were expected");
    assert!(checked >= 24, "only {checked} blocks");
}
