//! The configurations of several brokers in one process, which follow from one.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors};
use super::listener::{HostPort, Listener};
use super::origin::Origin;
use super::quorum::QuorumVoter;
use super::resolved::{Config, DataDirectories, Storage};
use crate::ids::NodeId;

/// How somebody asks for several.
const FLAG: &str = "--brokers";

impl Config {
    /// Checks that this configuration does not say already which node this is, and of which cluster.
    ///
    /// # Errors
    /// It names voters, or an argument names the node.
    pub fn check_for_several(&self) -> Result<(), ConfigErrors> {
        let wrong = |key: &'static str, reason: &str| {
            let hint = format!("leave one of {FLAG} and {key} out");
            let error = ConfigError::Contradiction { key, reason: reason.to_owned(), hint, origin: self.origin(key) };
            Err(ConfigErrors(vec![error]))
        };
        if !self.quorum_voters.is_empty() {
            return wrong("controller.quorum.voters", "several brokers in one process are their own voters");
        }
        if matches!(self.origin("node.id"), Origin::Flag(_)) {
            return wrong("node.id", "several brokers in one process have the ids from 1 on");
        }
        Ok(())
    }

    /// The listeners for clients of the broker that is `step` behind the first one: each on the port that is as much
    /// higher; port 0 stays the system's choice.
    pub fn following_listeners(&self, step: u16) -> Vec<Listener> {
        let following = |listener: &Listener| Listener {
            bind: following(&listener.bind, step),
            advertised: listener.advertised.as_ref().map(|told| following(told, step)),
            ..listener.clone()
        };
        self.listeners.iter().map(following).collect()
    }

    /// Where the broker that is `step` behind the first one serves HTTP: only the first does, unless somebody has said
    /// where.
    pub fn following_http(&self, step: u16) -> Option<HostPort> {
        let is_asked = !matches!(self.origin("klamm.http.bind"), Origin::Program | Origin::Default);
        self.http.as_ref().filter(|_| step == 0 || is_asked).map(|bind| following(bind, step))
    }

    /// The directory below each of this configuration's that is the broker's own.
    pub fn own_directories(&self, node_id: NodeId) -> Option<DataDirectories> {
        let Storage::Disk(DataDirectories { log_dirs, metadata }) = &self.storage else { return None };
        let own = |directory: &PathBuf| directory.join(format!("node-{node_id}"));
        Some(DataDirectories { log_dirs: log_dirs.iter().map(own).collect(), metadata: own(metadata) })
    }

    /// The configuration of one of several brokers in one process: this one, with a place of its own.
    ///
    /// # Errors
    /// As [`Config::new`].
    pub fn for_node(
        &self,
        node_id: NodeId,
        listeners: &[Listener],
        http: Option<&HostPort>,
        voters: &[QuorumVoter],
    ) -> Result<Self, ConfigErrors> {
        let advertised = listeners.iter().filter_map(|one| Some((&one.name, one.advertised.as_ref()?)));
        let mut pairs = vec![
            ("node.id", node_id.to_string()),
            ("listeners", joined(listeners.iter().map(|one| format!("{}://{}", one.name, one.bind)))),
            ("advertised.listeners", joined(advertised.map(|(name, told)| format!("{name}://{told}")))),
            ("controller.quorum.voters", joined(voters.iter().map(ToString::to_string))),
        ];
        if let Some(DataDirectories { log_dirs, metadata }) = self.own_directories(node_id) {
            pairs.push(("log.dirs", joined(log_dirs.iter().map(|path| text(path)))));
            pairs.push(("metadata.log.dir", text(&metadata)));
        }
        let mut settings = self.layers.fixed.clone();
        for (key, value) in pairs {
            settings.set(key, &value, Origin::Flag(FLAG))?;
        }
        let told = http.map(ToString::to_string).unwrap_or_default();
        // Who asked for it decides whether a port that is taken is an error.
        settings.set("klamm.http.bind", &told, self.origin("klamm.http.bind"))?;
        Self::new(settings)
    }
}

fn following(place: &HostPort, step: u16) -> HostPort {
    let port = if place.port == 0 { 0 } else { place.port.checked_add(step).unwrap_or(0) };
    HostPort { host: place.host.clone(), port }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters() -> Vec<QuorumVoter> {
        [1, 2]
            .map(|id| QuorumVoter { id, host: "127.0.0.1".to_owned(), port: 5000 + u16::try_from(id).unwrap() })
            .into()
    }

    #[test]
    fn each_node_has_places_of_its_own() {
        let config = Config::with(&[
            ("listeners", "IN://localhost:9092,OUT://0.0.0.0:9192"),
            ("advertised.listeners", "OUT://example.com:19192"),
            ("listener.security.protocol.map", "IN:PLAINTEXT,OUT:PLAINTEXT"),
            ("inter.broker.listener.name", "OUT"),
            ("log.dirs", "/a,/b"),
            ("klamm.http.bind", "localhost:9021"),
            ("num.partitions", "3"),
        ])
        .unwrap();
        config.check_for_several().unwrap();
        let (listeners, http) = (config.following_listeners(1), config.following_http(1));
        let second = config.for_node(2, &listeners, http.as_ref(), &voters()).unwrap();
        assert_eq!((second.node_id, second.broker.num_partitions, second.quorum_voters.len()), (2, 3, 2));
        let places: Vec<_> = second.listeners.iter().map(|one| (one.bind.port, one.advertised.clone())).collect();
        let told = HostPort { host: "example.com".to_owned(), port: 19_193 };
        assert_eq!(places, [(9093, None), (9193, Some(told))]);
        assert_eq!(second.controller_listener.as_ref().map(|one| one.bind.port), Some(5002));
        assert_eq!(second.http.as_ref().map(|bind| bind.port), Some(9022), "it was asked for");
        let Storage::Disk(directories) = second.storage else { panic!("in memory") };
        assert_eq!(directories.log_dirs, ["/a/node-2", "/b/node-2"].map(PathBuf::from));
        assert_eq!(directories.metadata, PathBuf::from("/a/node-2"));
    }

    #[test]
    fn what_nobody_asked_for_is_the_first_ones_alone() {
        let mut settings = super::super::Settings::default();
        settings.set("klamm.http.bind", "localhost:9021", Origin::Program).unwrap();
        let config = Config::new(settings).unwrap();
        assert_eq!(config.following_http(0).map(|bind| bind.port), Some(9021));
        assert_eq!(config.following_http(1), None);
        let last = HostPort { host: String::new(), port: u16::MAX };
        assert_eq!((following(&last, 1).port, following(&HostPort::default(), 3).port), (0, 0));
    }

    #[test]
    fn who_is_one_node_is_not_several() {
        let told = |key: &str, value: &str| {
            Config::with(&[(key, value)]).unwrap().check_for_several().expect_err(key).to_string()
        };
        let voters = told("controller.quorum.voters", "1@localhost:9093,2@localhost:9094");
        assert!(voters.contains("--set: controller.quorum.voters: several brokers in one process"), "{voters}");
        assert!(told("node.id", "1").contains("have the ids from 1 on"));
    }
}
