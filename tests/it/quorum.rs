//! Three nodes that form a metadata quorum over TCP, and keep it when one of them goes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use klamm::api::controller_listener::ControllerListener;
use klamm::clock::Clock;
use klamm::config::{HostPort, Listener, QuorumVoter, SecurityProtocol};
use klamm::ids::{NodeId, Uuid};
use klamm::metadata::TopicRecord;
use klamm::network::{BoundListener, Limits, SocketServer};
use klamm::quorum::meeting::{Meeting, meet};
use klamm::quorum::{Formation, Hello, MetadataQuorum, QuorumDoor, QuorumError, QuorumOptions, TcpTransport, is_new};
use tempfile::TempDir;

use crate::server::PATIENCE;

const IDS: [NodeId; 3] = [1, 2, 3];

/// The way to a node and from it, before it has a log.
struct Reachable {
    transport: Arc<TcpTransport>,
    door: Arc<QuorumDoor>,
    network: SocketServer,
    own: Hello,
}

struct Node {
    quorum: Arc<MetadataQuorum>,
    transport: Arc<TcpTransport>,
    network: SocketServer,
}

struct Cluster {
    voters: Vec<QuorumVoter>,
    directories: Vec<TempDir>,
}

fn bind(port: u16) -> BoundListener {
    let bind = HostPort { host: "127.0.0.1".to_owned(), port };
    let listener =
        Listener { name: "CONTROLLER".into(), bind, advertised: None, protocol: SecurityProtocol::Plaintext };
    BoundListener::bind(&listener, 50).unwrap()
}

impl Cluster {
    /// Three ports that nobody listens on.
    fn new() -> Self {
        let bound: Vec<_> = IDS.map(|_| bind(0)).into();
        let voters = IDS.iter().zip(&bound).map(|(id, bound)| QuorumVoter {
            id: *id,
            host: "127.0.0.1".to_owned(),
            port: bound.local.port(),
        });
        Self { voters: voters.collect(), directories: IDS.map(|_| tempfile::tempdir().unwrap()).into() }
    }

    fn directory(&self, id: NodeId) -> &Path {
        self.directories[usize::try_from(id - 1).unwrap()].path()
    }

    fn reachable(&self, id: NodeId, directory_id: Uuid) -> Reachable {
        let clock = Clock::system();
        let own = Hello::new((id, directory_id), Uuid::from_u128(1), None, &self.voters);
        let door = Arc::new(QuorumDoor::new(own.clone(), clock.clone()));
        let service = Arc::new(ControllerListener::new(Arc::clone(&door)));
        let port = self.voters.iter().find(|voter| voter.id == id).unwrap().port;
        let network = SocketServer::start(vec![bind(port)], service, Limits::default(), clock.clone()).unwrap();
        Reachable { transport: TcpTransport::start(id, &self.voters, &clock), door, network, own }
    }

    async fn meet(&self, node: &Reachable, patience: Duration) -> Result<Meeting, QuorumError> {
        meet(&node.transport, &node.own, &self.voters, &Clock::system(), patience).await
    }

    async fn start(&self, id: NodeId) -> Node {
        let directory_id = Uuid::from_u128(u128::from(id.unsigned_abs()));
        let reachable = self.reachable(id, directory_id);
        let mut options = QuorumOptions::new(id, Some(self.directory(id).to_path_buf()));
        (options.directory_id, options.cluster_id) = (directory_id, "founded".into());
        options.heartbeat_interval = Duration::from_millis(50);
        options.formation = Formation::Join;
        if is_new(self.directory(id)).unwrap() {
            let Meeting { formation, cluster_id } = self.meet(&reachable, PATIENCE).await.unwrap();
            assert_eq!(matches!(formation, Formation::Found(_)), id == 1);
            options.cluster_id = cluster_id.unwrap_or(options.cluster_id);
            options.formation = formation;
        }
        let Reachable { transport, door, network, .. } = reachable;
        let quorum = Box::pin(MetadataQuorum::open_with(options, transport.clone(), Clock::system())).await.unwrap();
        let quorum = Arc::new(quorum);
        door.open(Arc::clone(&quorum));
        Node { quorum, transport, network }
    }

    /// All three, once each knows the leader.
    async fn start_all(&self) -> Vec<Node> {
        let (one, two, three) = tokio::join!(self.start(1), self.start(2), self.start(3));
        let nodes = vec![one, two, three];
        for node in &nodes {
            tokio::time::timeout(PATIENCE, node.quorum.caught_up()).await.expect("a leader");
        }
        nodes
    }
}

impl Node {
    async fn stop(self) {
        self.quorum.shutdown().await;
        self.kill().await;
    }

    /// Breaks its connections first, as they are when a process is killed.
    async fn kill(self) {
        self.transport.stop().await;
        self.network.stop(Duration::ZERO).await;
        self.quorum.shutdown().await;
    }
}

/// The leader that these nodes agree on.
async fn leader(nodes: &[Node]) -> usize {
    let begun = Instant::now();
    loop {
        let known: BTreeSet<_> = nodes.iter().map(|node| node.quorum.controller_id()).collect();
        let leading = nodes.iter().position(|node| {
            known.iter().eq([&node.quorum.controller_id()]) && node.quorum.state().leader_id == Some(node.quorum.id())
        });
        if let Some(leading) = leading {
            return leading;
        }
        assert!(begun.elapsed() < PATIENCE, "no leader: {known:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn has_topics(node: &Node, names: &[&str]) {
    let begun = Instant::now();
    while names.iter().any(|name| node.quorum.image().topic(name).is_none()) {
        assert!(begun.elapsed() < PATIENCE, "{} topics", node.quorum.image().topics().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Runs a test in which errors are expected: other tests do not hear them.
fn apart(test: impl Future<Output = ()>) {
    let silence = || tracing::dispatcher::set_default(&tracing::Dispatch::none());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // As long as the thread lives.
    let runtime = runtime.worker_threads(2).enable_all().on_thread_start(move || std::mem::forget(silence()));
    let _silent = silence();
    runtime.build().unwrap().block_on(test);
}

/// Has the leader write a topic, whoever leads; the topic's name.
async fn write(nodes: &[Node]) -> String {
    let begun = Instant::now();
    loop {
        let leading = leader(nodes).await;
        // What was refused may be written all the same: each attempt is another topic.
        let id = Uuid::new_v4();
        let topic = TopicRecord::Topic { name: id.to_string().into(), id };
        match nodes[leading].quorum.propose(vec![topic.into()]).await {
            Ok(_) => return id.to_string(),
            Err(code) => assert!(begun.elapsed() < PATIENCE, "{code}"),
        }
    }
}

#[test]
fn three_nodes_form_a_quorum_and_go_on_when_the_leader_is_killed_or_stops() {
    apart(live_through_kill_and_stop());
}

#[test]
fn a_node_that_has_lost_its_disk_is_neither_its_old_self_nor_a_founder() {
    apart(lose_a_disk());
}

#[test]
fn nobody_founds_without_all_voters() {
    apart(meet_without_the_third());
}

async fn live_through_kill_and_stop() {
    let cluster = Cluster::new();
    let begun = Instant::now();
    let mut nodes = cluster.start_all().await;
    eprintln!("formed after {:?}", begun.elapsed());
    let before = write(&nodes).await;
    let first = nodes.swap_remove(leader(&nodes).await);
    let (killed, epoch) = (first.quorum.id(), first.quorum.epoch());
    let begun = Instant::now();
    first.kill().await;
    let after_kill = write(&nodes).await;
    eprintln!("killed the leader; the next one has written after {:?}", begun.elapsed());
    assert!(nodes.iter().all(|node| node.quorum.epoch() > epoch));
    // It comes back with its log, without meeting anybody.
    nodes.push(cluster.start(killed).await);
    has_topics(nodes.last().unwrap(), &[&before, &after_kill]).await;
    let second = nodes.swap_remove(leader(&nodes).await);
    let begun = Instant::now();
    second.stop().await;
    let after_stop = write(&nodes).await;
    eprintln!("stopped the leader; the next one has written after {:?}", begun.elapsed());
    for node in &nodes {
        has_topics(node, &[&before, &after_kill, &after_stop]).await;
    }
    for node in nodes {
        node.stop().await;
    }
}

async fn lose_a_disk() {
    let cluster = Cluster::new();
    let mut nodes = cluster.start_all().await;
    write(&nodes).await;
    // Node 1 would found, if anybody did.
    nodes.remove(0).kill().await;
    std::fs::remove_dir_all(cluster.directory(1)).unwrap();
    let wiped = cluster.reachable(1, Uuid::from_u128(99));
    let refused = cluster.meet(&wiped, Duration::from_secs(1)).await.unwrap_err().to_string();
    assert!(refused.contains("the disk was lost or replaced"), "{refused}");
    // Even if it went on, nobody would listen, and it would listen to nobody.
    let mut options = QuorumOptions::new(1, None);
    (options.directory_id, options.cluster_id) = (Uuid::from_u128(99), "founded".into());
    (options.formation, options.heartbeat_interval) = (Formation::Join, Duration::from_millis(50));
    let opened = Box::pin(MetadataQuorum::open_with(options, wiped.transport.clone(), Clock::system())).await.unwrap();
    let opened = Arc::new(opened);
    wiped.door.open(Arc::clone(&opened));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((opened.controller_id(), opened.image().topics().len()), (None, 0));
    write(&nodes).await;
    Node { quorum: opened, transport: wiped.transport, network: wiped.network }.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

async fn meet_without_the_third() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.reachable(1, Uuid::from_u128(1)), cluster.reachable(2, Uuid::from_u128(2)));
    let within = Duration::from_millis(300);
    let (first, second) = tokio::join!(cluster.meet(&one, within), cluster.meet(&two, within));
    for met in [first, second] {
        assert!(met.unwrap_err().to_string().contains("these voters do not answer: 3@127.0.0.1"));
    }
    for node in [one, two] {
        node.transport.stop().await;
        node.network.stop(Duration::ZERO).await;
    }
}
