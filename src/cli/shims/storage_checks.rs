//! What `kafka-storage format` finds wrong before it touches a directory (`kafka.tools.StorageTool`,
//! `org.apache.kafka.metadata.storage.Formatter`, `org.apache.kafka.raft.DynamicVoter`). Pure; errors are in Kafka's words.

use std::collections::BTreeMap;

use crate::storage::parse_uuid;

/// The releases whose metadata Kafka 4.1's tool can format: the name, and how many versions it has.
const RELEASES: [(&str, u32, u32); 9] = [
    ("3.3", 3, 3),
    ("3.4", 0, 0),
    ("3.5", 0, 2),
    ("3.6", 0, 2),
    ("3.7", 0, 4),
    ("3.8", 0, 0),
    ("3.9", 0, 0),
    ("4.0", 0, 3),
    ("4.1", 0, 1),
];
/// The features that it knows.
const FEATURES: [&str; 6] = [
    "eligible.leader.replicas.version",
    "group.version",
    "kraft.version",
    "share.version",
    "streams.version",
    "transaction.version",
];
/// The flags by which a quorum is begun.
const QUORUM_FLAGS: &str = "--standalone, --initial-controllers, or --no-initial-controllers";

/// What is asked of the quorum of controllers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct QuorumFlags<'a> {
    /// A controller that is a quorum by itself (`--standalone`).
    pub(super) standalone: bool,
    /// A server that learns the quorum from others (`--no-initial-controllers`).
    pub(super) no_initial_controllers: bool,
    /// The controllers of the first quorum (`--initial-controllers`).
    pub(super) initial_controllers: Option<&'a str>,
}

/// The kind of a directory, as it is told, if the properties of a node and the flags agree.
///
/// Unlike Kafka, a file may leave `process.roles` out; then nothing is asked of the quorum.
pub(super) fn directory_kind(
    properties: &BTreeMap<String, String>,
    node_id: i32,
    flags: QuorumFlags<'_>,
) -> Result<&'static str, String> {
    let text = |key: &str| properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let has_role = |wanted: &str| text("process.roles").map(|roles| roles.split(',').any(|role| role.trim() == wanted));
    let has_voters = text("controller.quorum.voters").is_some();
    if has_voters && (flags.standalone || flags.initial_controllers.is_some()) {
        return Err(
            "You cannot specify controller.quorum.voters and format the node with --initial-controllers or --standalone. If \
             you want to use dynamic quorum, please remove controller.quorum.voters and specify \
             controller.quorum.bootstrap.servers instead."
                .to_owned(),
        );
    }
    let is_controller = has_role("controller");
    if let Some(voters) = flags.initial_controllers {
        let is_voter = voter_ids(voters).map_err(|what| exception("java.lang.IllegalArgumentException", &what))?;
        let is_voter = is_voter.contains(&node_id);
        return Ok(if is_voter { "dynamic metadata voter directory" } else { "dynamic metadata directory" });
    }
    if flags.standalone {
        return match is_controller {
            Some(false) => Err("You can only use --standalone on a controller.".to_owned()),
            _ => Ok("dynamic metadata voter directory"),
        };
    }
    if !flags.no_initial_controllers && is_controller == Some(true) && !has_voters {
        return Err(format!(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: \
             {QUORUM_FLAGS}."
        ));
    }
    Ok("metadata directory")
}

/// Whether there is such a release: `4.0`, `4.0-IV3` or `4.0.1`.
pub(super) fn check_release(version: &str) -> Result<(), String> {
    let mut parts = version.splitn(3, '.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (minor, stage) = minor.split_once("-IV").map_or((minor, None), |(minor, stage)| (minor, Some(stage)));
    let release = format!("{major}.{minor}");
    let is_known = RELEASES.iter().any(|(name, first, last)| {
        *name == release && stage.is_none_or(|stage| stage.parse().is_ok_and(|stage| (*first..=*last).contains(&stage)))
    });
    if is_known {
        return Ok(());
    }
    let limits = "The minimum version is 3.3-IV3 and the maximum version is 4.2-IV1";
    Err(exception("java.lang.IllegalArgumentException", &format!("Version {version} is not a valid version. {limits}")))
}

/// Whether there are such features, as `feature=level`.
pub(super) fn check_features(
    features: &[String],
    properties: &BTreeMap<String, String>,
    has_release: bool,
) -> Result<(), String> {
    let is_static = properties.get("controller.quorum.voters").is_some_and(|voters| !voters.trim().is_empty());
    let mut levels = BTreeMap::new();
    for feature in features {
        let unreadable = |why: &str| {
            exception("java.lang.RuntimeException", &format!("Can't parse feature=level string {feature}: {why}"))
        };
        let (name, level) = feature.split_once('=').ok_or_else(|| unreadable("equals sign not found."))?;
        let level: i16 =
            level.trim().parse().map_err(|_| unreadable(&format!("unable to parse {} as a short.", level.trim())))?;
        levels.insert(name.trim(), level);
    }
    if has_release && levels.contains_key("metadata.version") {
        return Err("Use --release-version instead of --feature metadata.version=X to avoid ambiguity.".to_owned());
    }
    for (name, level) in levels {
        if name != "metadata.version" && !FEATURES.contains(&name) {
            return Err(format!("Unsupported feature: {name}. Supported features are: {}", FEATURES.join(", ")));
        }
        if name == "kraft.version" && level != 0 && is_static {
            return Err(format!(
                "Cannot set kraft.version to {level} unless controller.quorum.voters is empty and one of the flags \
                 {QUORUM_FLAGS} is used. For dynamic controllers support, try using one of {QUORUM_FLAGS} and removing \
                 controller.quorum.voters."
            ));
        }
    }
    Ok(())
}

/// The ids of the nodes in `ID@HOST:PORT:DIRECTORY,...`.
fn voter_ids(text: &str) -> Result<Vec<i32>, String> {
    text.trim().split(',').filter(|voter| !voter.is_empty()).map(voter_id).collect()
}

fn voter_id(text: &str) -> Result<i32, String> {
    let (id, address) = text.trim().split_once('@').ok_or("No @ found in dynamic voter string.")?;
    if id.is_empty() {
        return Err("Invalid @ at beginning of dynamic voter string.".to_owned());
    }
    let id: i32 = id.parse().map_err(|_| "Failed to parse node id in dynamic voter string.")?;
    if id < 0 {
        return Err(format!("Invalid negative node id {id} in dynamic voter string."));
    }
    if address.is_empty() {
        return Err("No hostname found after node id.".to_owned());
    }
    let after_host = match address.strip_prefix('[') {
        Some(bracketed) => bracketed
            .split_once(']')
            .map(|(_, rest)| rest)
            .ok_or("Hostname began with left bracket, but no right bracket was found.")?,
        None => {
            address.find(':').and_then(|at| address.get(at..)).ok_or("No colon following hostname could be found.")?
        }
    };
    let port = after_host.strip_prefix(':').ok_or("Port section must start with a colon.")?;
    let (port, directory) = port.split_once(':').ok_or("No colon following port could be found.")?;
    let port: i32 = port.parse().map_err(|_| "Failed to parse port in dynamic voter string.")?;
    if !(0..=65_535).contains(&port) {
        return Err(format!("Invalid port {port} in dynamic voter string."));
    }
    parse_uuid(directory).map(|_| id).ok_or_else(|| "Failed to parse directory ID in dynamic voter string.".to_owned())
}

/// What Java prints where an exception ends a program.
pub(super) fn exception(class: &str, message: &str) -> String {
    format!("Exception in thread \"main\" {class}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(file: &str, flags: QuorumFlags<'_>) -> Result<&'static str, String> {
        let pairs = file.lines().filter_map(|line| line.split_once('='));
        let properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        directory_kind(&properties, 1, flags)
    }

    #[test]
    fn the_flags_of_the_quorum_must_agree_with_the_file() {
        let (voters, controller) =
            ("process.roles=broker, controller\ncontroller.quorum.voters=1@h:9", "process.roles=controller");
        let (none, standalone) = (QuorumFlags::default(), QuorumFlags { standalone: true, ..QuorumFlags::default() });
        let learns = QuorumFlags { no_initial_controllers: true, ..QuorumFlags::default() };
        let named = |text| QuorumFlags { initial_controllers: Some(text), ..QuorumFlags::default() };
        assert_eq!(kind(voters, none), Ok("metadata directory"));
        assert_eq!(kind(controller, standalone), Ok("dynamic metadata voter directory"));
        assert_eq!(kind(controller, named("1@h:9:JEXY6aqzQY-32P5TStzaFg")), Ok("dynamic metadata voter directory"));
        assert_eq!(kind(controller, named("2@[::1]:9:JEXY6aqzQY-32P5TStzaFg")), Ok("dynamic metadata directory"));
        assert_eq!((kind(controller, learns), kind("", none)), (Ok("metadata directory"), Ok("metadata directory")));
        let refused = |file, flags, beginning: &str| {
            let error = kind(file, flags).expect_err(beginning);
            assert!(error.starts_with(beginning), "{error}");
        };
        refused(voters, standalone, "You cannot specify controller.quorum.voters and");
        refused(controller, none, "Because controller.quorum.voters is not set on this controller, you must");
        refused("process.roles=broker", standalone, "You can only use --standalone on a controller.");
        refused(controller, named("x"), "Exception in thread \"main\" java.lang.IllegalArgumentException: No @ found");
    }

    #[test]
    fn voters_are_read_as_kafka_reads_them() {
        assert_eq!(voter_ids("1@a:1:JEXY6aqzQY-32P5TStzaFg,2@b:2:JEXY6aqzQY-32P5TStzaFg"), Ok(vec![1, 2]));
        for (text, wrong) in [
            ("@a", "Invalid @ at beginning"),
            ("x@a", "Failed to parse node id"),
            ("-1@a", "Invalid negative node id -1"),
            ("1@", "No hostname found"),
            ("1@[::1", "Hostname began with left bracket"),
            ("1@host", "No colon following hostname"),
            ("1@[::1]9", "Port section must start"),
            ("1@h:9", "No colon following port"),
            ("1@h:nine:x", "Failed to parse port"),
            ("1@h:70000:x", "Invalid port 70000"),
            ("1@h:9:x", "Failed to parse directory ID"),
        ] {
            let error = voter_ids(text).expect_err(text);
            assert!(error.starts_with(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn releases_and_features_must_be_known() {
        for good in ["4.0", "4.0-IV3", "3.9.1", "3.3-IV3"] {
            assert_eq!(check_release(good), Ok(()), "{good}");
        }
        for bad in ["2.8", "9.9", "4.0-IV9", "four", ""] {
            assert!(check_release(bad).is_err(), "{bad}");
        }
        let features = |given: &[&str], has_release| {
            let given: Vec<_> = given.iter().map(|feature| (*feature).to_owned()).collect();
            let properties = BTreeMap::from([("controller.quorum.voters".to_owned(), "1@h:9".to_owned())]);
            check_features(&given, &properties, has_release)
                .map_err(|error| error.split(':').next_back().unwrap().to_owned())
        };
        assert_eq!(features(&["group.version=0", "metadata.version=20"], false), Ok(()));
        assert_eq!(features(&["group.version"], false), Err(" equals sign not found.".to_owned()));
        assert_eq!(features(&["group.version=x"], false), Err(" unable to parse x as a short.".to_owned()));
        assert!(features(&["no.such=1"], false).is_err() && features(&["kraft.version=1"], false).is_err());
        assert!(features(&["metadata.version=20"], true).is_err());
    }
}
