//! Three nodes and a network that loses, delays and repeats, with leaders that are killed, lose power and come back.
//!
//! The time is the real one: a clock that can be stopped would have to be built into what is shipped. So many worlds run
//! beside each other, and a seed repeats the faults and not every interleaving.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, join_all};
use openraft::vote::RaftLeaderId;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::driver::{Committed, Driver, MachineClient};
use super::*;
use crate::clock::{Monotonic, Now};
use crate::ids::Uuid;
use crate::metadata::TopicRecord;
use crate::state_machine::{Effects, Question, ReplyTo, StateMachine};

const NODES: [NodeId; 3] = [1, 2, 3];

/// What must happen some time has this long for it; a machine under load is slow.
const PATIENCE: Duration = Duration::from_mins(1);

/// Numbers that only the seed decides (splitmix64).
#[derive(Debug)]
struct Chance(Mutex<u64>);

impl Chance {
    fn below(&self, end: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn millis(&self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// A machine that gives each topic to the first who asks for it, and counts them.
#[derive(Debug)]
struct Registry {
    names: BTreeSet<String>,
}

impl Registry {
    fn of(image: &MetadataImage) -> Self {
        Self { names: image.topics().map(|topic| topic.name.to_string()).collect() }
    }
}

#[derive(Debug, Clone)]
enum Ask {
    Create(String, Uuid),
    Count,
}

impl StateMachine for Registry {
    type Request = Ask;
    type Response = usize;
    type Record = MetadataRecord;
    type Message = Infallible;

    fn handle(&mut self, request: Ask, reply_to: ReplyTo, _now: Now, effects: &mut Effects<Self>) {
        if let Ask::Create(name, id) = request
            && !self.names.contains(&name)
        {
            effects.record(TopicRecord::Topic { name: name.into(), id }.into());
        }
        effects.reply(reply_to, self.names.len());
    }

    fn handle_timeout(&mut self, _now: Now, _effects: &mut Effects<Self>) {}

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }

    fn replay(&mut self, record: &MetadataRecord) {
        if let MetadataRecord::Topics(TopicRecord::Topic { name, .. }) = record {
            self.names.insert(name.to_string());
        }
    }
}

impl Question<Registry> for Ask {
    type Answer = usize;

    fn into_request(self) -> Ask {
        self
    }

    fn answer(response: usize) -> Option<usize> {
        Some(response)
    }
}

/// One running node.
#[derive(Debug)]
struct RunningNode {
    quorum: Arc<MetadataQuorum>,
    driver: Driver,
    controller: MachineClient<Registry>,
    observer: JoinHandle<()>,
}

#[derive(Debug)]
struct World {
    chance: Chance,
    directories: Vec<TempDir>,
    nodes: Mutex<BTreeMap<NodeId, RunningNode>>,
    /// Nodes that nothing reaches and that reach nobody.
    cut_off: Mutex<BTreeSet<NodeId>>,
    loss_percent: AtomicUsize,
    entries_between_snapshots: u64,
    /// What the image at each offset is, whoever said so first.
    images: Mutex<BTreeMap<i64, (i32, Vec<MetadataRecord>)>>,
    leaders: Mutex<BTreeMap<u64, NodeId>>,
    violations: Mutex<Vec<String>>,
}

/// The network as one node sees it.
#[derive(Debug)]
struct Wire {
    from: NodeId,
    world: Arc<World>,
}

impl Transport for Wire {
    fn call(&self, to: NodeId, request: Bytes) -> BoxFuture<'static, io::Result<Bytes>> {
        let (from, world) = (self.from, Arc::clone(&self.world));
        if world.chance.percent(5) {
            let world = Arc::clone(&world);
            let request = request.clone();
            // A second one comes late, and nobody hears the answer.
            tokio::spawn(async move { world.carry(from, to, request, 300).await });
        }
        let carried = tokio::spawn(async move { world.carry(from, to, request, 15).await });
        Box::pin(async move { carried.await.map_err(io::Error::other)? })
    }
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let chance = Chance(Mutex::new(seed));
        let entries_between_snapshots = if chance.percent(50) { 10 } else { 10_000 };
        Arc::new(Self {
            chance,
            directories: NODES.map(|_| tempfile::tempdir().unwrap()).into(),
            nodes: Mutex::default(),
            cut_off: Mutex::default(),
            loss_percent: AtomicUsize::new(0),
            entries_between_snapshots,
            images: Mutex::default(),
            leaders: Mutex::default(),
            violations: Mutex::default(),
        })
    }

    /// Takes a request to a node and its answer back; what is lost comes never, as the one who waits sees it.
    async fn carry(&self, from: NodeId, to: NodeId, request: Bytes, delay_ms: u64) -> io::Result<Bytes> {
        self.pass(from, to, delay_ms).await;
        let node = self.nodes.lock().unwrap().get(&to).map(|node| Arc::clone(&node.quorum));
        let Some(node) = node else { return Err(io::ErrorKind::ConnectionRefused.into()) };
        let answer = node.answer(request).await;
        self.pass(to, from, delay_ms).await;
        answer
    }

    async fn pass(&self, from: NodeId, to: NodeId, delay_ms: u64) {
        sleep(self.chance.millis(delay_ms)).await;
        let is_cut = {
            let cut_off = self.cut_off.lock().unwrap();
            cut_off.contains(&from) || cut_off.contains(&to)
        };
        if is_cut || self.chance.percent(self.loss_percent.load(Ordering::Relaxed) as u64) {
            sleep(Duration::from_hours(1)).await;
        }
    }

    fn directory(&self, id: NodeId) -> PathBuf {
        self.directories[id as usize - 1].path().to_path_buf()
    }

    async fn start(self: &Arc<Self>, id: NodeId) {
        let voters = NODES.map(|id| (id, directory_id(id)));
        let formation = if id == 1 { Formation::Found(voters.into()) } else { Formation::Join };
        let options = QuorumOptions {
            cluster_id: "simulated".into(),
            directory_id: directory_id(id),
            entries_between_snapshots: self.entries_between_snapshots,
            formation,
            heartbeat_interval: Duration::from_millis(50),
            ..QuorumOptions::new(id, Some(self.directory(id)))
        };
        let wire = Arc::new(Wire { from: id, world: Arc::clone(self) });
        let quorum = Arc::new(MetadataQuorum::open_with(options, wire, Clock::system()).await.unwrap());
        let observer = tokio::spawn(observe(Arc::clone(self), id, Arc::clone(&quorum)));
        let (driver, controller) = Driver::start(Arc::clone(&quorum), Clock::system(), Registry::of);
        self.nodes.lock().unwrap().insert(id, RunningNode { quorum, driver, controller, observer });
    }

    /// Stops a node. With the power goes what was written and not yet made durable.
    async fn kill(&self, id: NodeId, loses_power: bool) {
        let Some(node) = self.nodes.lock().unwrap().remove(&id) else { return };
        let log = self.directory(id).join("log");
        // What the disk has for sure at this moment; what the node writes while it stops is lost, too.
        let durable = std::fs::read_to_string(log.with_file_name("durable-end")).unwrap_or_default();
        let durable: Option<u64> = durable.get(..20).and_then(|digits| digits.parse().ok());
        node.quorum.halt().await;
        node.driver.stop().await;
        node.observer.abort();
        if let (true, Some(durable)) = (loses_power && self.entries_between_snapshots > 1_000, durable) {
            let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
            file.set_len(durable.max(8)).unwrap();
            std::fs::remove_file(log.with_file_name("durable-end")).unwrap();
        }
    }

    fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    fn controllers(&self) -> Vec<MachineClient<Registry>> {
        self.nodes.lock().unwrap().values().map(|node| node.controller.clone()).collect()
    }

    fn quorums(&self) -> Vec<Arc<MetadataQuorum>> {
        self.nodes.lock().unwrap().values().map(|node| Arc::clone(&node.quorum)).collect()
    }

    /// Asks one node after the other until one answers.
    async fn ask(&self, ask: impl Fn() -> Ask) -> Committed<usize> {
        let until_answered = async {
            loop {
                for controller in self.controllers() {
                    if let Ok(Ok(answer)) = timeout(Duration::from_millis(500), controller.ask(ask())).await {
                        return answer;
                    }
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, until_answered).await.expect("the quorum answers within a minute")
    }

    /// Creates topics one after the other until `stop`, and counts those that were there before each count.
    async fn create(&self, stop: &AtomicUsize) -> usize {
        let mut created = 0;
        while stop.load(Ordering::Relaxed) == 0 {
            // Each attempt would give the name another id.
            self.ask(|| Ask::Create(name(created), Uuid::from_u128(u128::from(self.chance.below(u64::MAX)) + 1))).await;
            created += 1;
            if self.chance.percent(30) {
                let counted = self.ask(|| Ask::Count).await.response;
                if counted != created {
                    self.violated(format!("a read saw {counted} of {created} topics"));
                }
            }
            sleep(self.chance.millis(30)).await;
        }
        created
    }

    /// Breaks things and mends them.
    async fn disturb(self: &Arc<Self>) {
        self.loss_percent.store(self.chance.below(15) as usize, Ordering::Relaxed);
        for _ in 0..4 {
            sleep(self.chance.millis(500)).await;
            let leader = self.quorums().iter().find_map(|quorum| quorum.controller_id());
            let any = NODES[self.chance.below(3) as usize];
            let victim = leader.filter(|_| self.chance.percent(70)).unwrap_or(any);
            if self.chance.percent(60) {
                self.kill(victim, self.chance.percent(50)).await;
                sleep(self.chance.millis(800)).await;
                self.start(victim).await;
            } else {
                self.cut_off.lock().unwrap().insert(victim);
                sleep(self.chance.millis(1_200)).await;
                self.cut_off.lock().unwrap().clear();
            }
        }
        self.loss_percent.store(0, Ordering::Relaxed);
    }
}

fn directory_id(id: NodeId) -> Uuid {
    Uuid::from_u128(u128::from(id.unsigned_abs()) << 64)
}

fn name(number: usize) -> String {
    format!("topic-{number:04}")
}

/// Compares every image of a node with those of the others, and who leads.
async fn observe(world: Arc<World>, id: NodeId, quorum: Arc<MetadataQuorum>) {
    let mut changes = quorum.subscribe();
    let mut epoch = -1;
    loop {
        let (_, image) = changes.next().await;
        let seen = (image.controller_epoch, image.to_records());
        let first = world.images.lock().unwrap().entry(image.offset).or_insert_with(|| seen.clone()).clone();
        if first != seen {
            world.violated(format!("node {id} has at offset {} {seen:?} instead of {first:?}", image.offset));
        }
        let now = quorum.epoch();
        if now < epoch || now < image.controller_epoch {
            world.violated(format!("the epoch of node {id} was {epoch} and is {now}"));
        }
        epoch = now;
        let vote = quorum.raft.server_metrics().borrow_watched().vote;
        if vote.is_committed() {
            let (term, leader) = (vote.leader_id().term(), *vote.leader_id().node_id());
            let known = *world.leaders.lock().unwrap().entry(term).or_insert(leader);
            if known != leader {
                world.violated(format!("term {term} has the leaders {known} and {leader}"));
            }
        }
    }
}

/// Lives through one world; what was wrong in it.
async fn live(seed: u64) -> Vec<String> {
    let world = World::new(seed);
    for id in NODES {
        world.start(id).await;
    }
    let stop = AtomicUsize::new(0);
    let disturbed = async {
        world.disturb().await;
        stop.store(1, Ordering::Relaxed);
    };
    let (created, ()) = tokio::join!(world.create(&stop), disturbed);
    let last = world.ask(|| Ask::Create("last".to_owned(), Uuid::from_u128(1 << 100))).await;
    let expected: Vec<_> = std::iter::once("last".to_owned()).chain((0..created).map(name)).collect();
    for quorum in world.quorums() {
        let deadline = Instant::now() + PATIENCE;
        while quorum.image().offset < last.image_offset && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        let names: Vec<_> = quorum.image().topics().map(|topic| topic.name.to_string()).collect();
        if names != expected {
            world.violated(format!("{names:?} is there instead of {expected:?}"));
        }
    }
    let logs: BTreeSet<_> = world.quorums().iter().map(|quorum| format!("{:?}", quorum.logged_records())).collect();
    if world.entries_between_snapshots > 1_000 && logs.len() != 1 {
        world.violated(format!("the logs differ: {logs:?}"));
    }
    for id in NODES {
        world.kill(id, false).await;
    }
    let violations = std::mem::take(&mut *world.violations.lock().unwrap());
    violations.into_iter().map(|violation| format!("seed {seed}: {violation}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_on_all_nodes_in_one_order_whatever_breaks() {
    let worlds = (0..12).map(|seed| tokio::spawn(live(seed)));
    let lived = join_all(worlds).await;
    let violations: Vec<_> = lived.into_iter().flat_map(|world| world.expect("a world ends by itself")).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// The three nodes once there is a leader: it, and another one.
async fn settled(world: &Arc<World>) -> (NodeId, NodeId) {
    for id in NODES {
        world.start(id).await;
    }
    world.ask(|| Ask::Create(name(0), Uuid::from_u128(1))).await;
    let leader = world.quorums().iter().find_map(|quorum| quorum.controller_id()).unwrap();
    (leader, if leader == 1 { 2 } else { 1 })
}

fn client(world: &World, id: NodeId) -> MachineClient<Registry> {
    world.nodes.lock().unwrap()[&id].controller.clone()
}

fn quorum(world: &World, id: NodeId) -> Arc<MetadataQuorum> {
    Arc::clone(&world.nodes.lock().unwrap()[&id].quorum)
}

async fn end(world: Arc<World>) {
    for id in NODES {
        world.kill(id, false).await;
    }
    assert_eq!(*world.violations.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_answers_nothing_and_learns_what_its_successor_decided() {
    let world = World::new(1);
    let (old, other) = settled(&world).await;
    let epoch = quorum(&world, old).epoch();
    world.cut_off.lock().unwrap().insert(old);
    let elected = async {
        while quorum(&world, other).epoch() <= epoch {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, elected).await.expect("the others elect a leader");
    // It still takes itself for the leader, and must not answer from what it knows.
    let read = timeout(Duration::from_secs(5), client(&world, old).ask(Ask::Count)).await;
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    let stale = tokio::spawn({
        let client = client(&world, old);
        async move { client.ask(Ask::Create("stale".to_owned(), Uuid::from_u128(2))).await }
    });
    sleep(Duration::from_millis(50)).await;
    let created = world.ask(|| Ask::Create(name(1), Uuid::from_u128(3))).await;
    world.cut_off.lock().unwrap().clear();
    assert_eq!(timeout(PATIENCE, stale).await.unwrap().unwrap(), Err(ErrorCode::NotController));
    let regained = async {
        while quorum(&world, old).image().offset < created.image_offset {
            sleep(Duration::from_millis(10)).await;
        }
        // Only it can answer now, once it leads again.
        loop {
            quorum(&world, old).raft.trigger().elect(true).await.unwrap();
            let leader = quorum(&world, other).controller_id();
            if let Some(leader) = leader.filter(|leader| *leader != old) {
                let from = quorum(&world, leader);
                from.raft.trigger().transfer_leader(old).await.unwrap();
            }
            if let Ok(counted) = client(&world, old).ask(Ask::Count).await {
                return counted.response;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(
        timeout(PATIENCE, regained).await.expect("it leads again"),
        2,
        "with both topics, and without the stale"
    );
    end(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_of_three_opens_without_a_leader_and_raises_no_epoch() {
    let world = World::new(2);
    let (leader, _) = settled(&world).await;
    let epoch = quorum(&world, leader).epoch();
    for id in NODES {
        world.kill(id, false).await;
    }
    world.start(leader).await;
    sleep(Duration::from_millis(700)).await;
    let alone = quorum(&world, leader);
    assert_eq!(client(&world, leader).ask(Ask::Count).await, Err(ErrorCode::NotController));
    assert!(alone.epoch() <= epoch, "nobody has elected it");
    let term = alone.raft.metrics().borrow_watched().current_term;
    assert_eq!(controller_epoch(term), epoch, "nobody has let it begin another term");
    end(world).await;
}
