//! Who has the port that a broker should have: its process, as far as the system tells, and whether it speaks Kafka.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;

use super::Failure;
use crate::config::{FromValue, HostPort};
use crate::network::channel::Channel;
use crate::server::StartError;

/// How long whoever has the port may take to answer as a Kafka broker.
const PATIENCE: Duration = Duration::from_millis(800);

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// What is known of the program that has a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PortOwner {
    /// Its process id and its name, where this process may see them; only Linux tells.
    process: Option<(u32, String)>,
    /// What it answers, if it answers as a Kafka broker.
    broker: Option<String>,
}

/// Tells of a start that failed; of a port that is taken, with who has it.
pub(super) async fn explain(error: StartError) -> Failure {
    let StartError::AddressTaken { listener, address } = &error else { return error.into() };
    // It was read from such a text before.
    let Ok(place) = HostPort::from_value(address) else { return error.into() };
    let broker = tokio::time::timeout(PATIENCE, ask(&place)).await.ok().flatten();
    let owner = PortOwner { process: process_with(place.port, Path::new("/proc")), broker };
    Failure {
        what: format!("{address} is taken by {owner}, so listener {listener} cannot be opened"),
        hint: Some(owner.hint(place.port)),
    }
}

impl PortOwner {
    fn hint(&self, port: u16) -> String {
        let stop = self.process.as_ref().map_or("stop it".to_owned(), |(pid, _)| format!("stop it (kill {pid})"));
        let other = port.checked_add(100).unwrap_or(9192);
        format!("{stop}, or listen elsewhere: --listen localhost:{other}, or --listen localhost:0 for any free port")
    }
}

/// As the end of "it is taken by".
impl fmt::Display for PortOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_klamm = self.process.as_ref().is_some_and(|(_, name)| name == "klamm");
        match (&self.process, is_klamm) {
            (Some((pid, _)), true) => write!(formatter, "another Klamm (pid {pid})")?,
            (Some((pid, name)), false) => write!(formatter, "{name} (pid {pid})")?,
            (None, _) => formatter.write_str("another program")?,
        }
        match &self.broker {
            Some(broker) if is_klamm => write!(formatter, ", {broker}"),
            Some(broker) => write!(formatter, ", which speaks Kafka ({broker})"),
            None if is_klamm => Ok(()),
            None => formatter.write_str(", which does not speak Kafka"),
        }
    }
}

/// What answers at `place`, if a Kafka broker does.
async fn ask(place: &HostPort) -> Option<String> {
    let host = if place.is_any_address() { "localhost" } else { &place.host };
    let mut channel = Channel::connect((host, place.port), "klamm").await.ok()?;
    // No topic, from version 1 on.
    let metadata = channel.call(&MetadataRequest::default().with_topics(Some(Vec::new()))).await.ok()?;
    let cluster = metadata.cluster_id.as_ref().map_or("unknown", |id| id.as_str());
    Some(match metadata.brokers.as_slice() {
        [node] => format!("node {} of cluster {cluster}", node.node_id.0),
        nodes => format!("one of {} nodes of cluster {cluster}", nodes.len()),
    })
}

/// The process that listens on `port`, and its name, by what is below `/proc`.
fn process_with(port: u16, proc: &Path) -> Option<(u32, String)> {
    let table = |file| std::fs::read_to_string(proc.join(file)).unwrap_or_default();
    let sockets = listening_sockets(&(table("net/tcp") + &table("net/tcp6")), port);
    if sockets.is_empty() {
        return None;
    }
    let entries = std::fs::read_dir(proc).ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_socket(&proc.join(pid.to_string()), &sockets))?;
    let name = std::fs::read_to_string(proc.join(format!("{pid}/comm"))).ok()?;
    Some((pid, name.trim().to_owned()))
}

/// The links that stand for the sockets listening on `port`, by the lines of `/proc/net/tcp` and `tcp6`.
fn listening_sockets(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let socket = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_it = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTENING;
        is_it.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    };
    table.lines().filter_map(socket).collect()
}

/// Whether one of the open files of the process in this directory is one of `sockets`; those of others cannot be seen.
fn has_socket(process: &Path, sockets: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    let links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    links.into_iter().any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_found_by_its_port() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5551 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2384 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 5552 1 0000000000000000 100 0 0 10 0
   2: 00000000000000000000000001000000:2384 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 5553 1
   3: 0100007F:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 5554 1
   4: 0100007F:2384 0A
";
        assert_eq!(listening_sockets(table, 0x2384), ["socket:[5551]", "socket:[5553]"]);
        assert!(listening_sockets(table, 1).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_a_port_of_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (pid, name) = process_with(listener.local_addr().unwrap().port(), Path::new("/proc")).expect("it listens");
        assert_eq!(pid, std::process::id());
        assert!(!name.is_empty());
    }

    #[test]
    fn what_is_known_of_the_owner_is_told() {
        let owner = |process: Option<&str>, broker: Option<&str>| PortOwner {
            process: process.map(|name| (4711, name.to_owned())),
            broker: broker.map(str::to_owned),
        };
        let kafka = owner(Some("java"), Some("node 1 of cluster c"));
        assert_eq!(kafka.to_string(), "java (pid 4711), which speaks Kafka (node 1 of cluster c)");
        assert_eq!(
            owner(Some("klamm"), Some("node 1 of cluster c")).to_string(),
            "another Klamm (pid 4711), node 1 of cluster c"
        );
        assert_eq!(owner(Some("klamm"), None).to_string(), "another Klamm (pid 4711)");
        assert_eq!(owner(None, None).to_string(), "another program, which does not speak Kafka");
        assert_eq!(
            kafka.hint(9092),
            "stop it (kill 4711), or listen elsewhere: --listen localhost:9192, or --listen localhost:0 for any free port"
        );
        assert!(owner(None, None).hint(65_535).starts_with("stop it, or listen elsewhere: --listen localhost:9192"));
    }
}
