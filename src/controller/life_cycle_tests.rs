//! Brokers come and go at random, under controllers that follow one another; what must always hold, does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::clock::Now;
use crate::ids::Uuid;
use crate::metadata::{BrokerRecord, BrokerRegistration, ConfigResource, LeaderRecoveryState, PartitionImage};

/// What happens next. Brokers are 1 to 5, topics and partitions are taken as remainders.
#[derive(Debug, Clone)]
enum Step {
    Register { id: NodeId, new_run: bool, is_clean: bool },
    Heartbeat { id: NodeId, wants_fence: bool, wants_shutdown: bool },
    Silence { ms: u64 },
    AlterPartition { place: usize, isr: Vec<NodeId>, is_recovered: bool },
    Elect { is_unclean: bool },
    CreateTopic { replication_factor: i16, min_isr: u8, is_unclean: bool },
    MinIsr { min_isr: u8 },
    Unregister { id: NodeId },
    FailOver { to: NodeId },
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 1..6_i32;
    prop_oneof![
        4 => (id(), any::<bool>(), any::<bool>())
            .prop_map(|(id, new_run, is_clean)| Step::Register { id, new_run, is_clean }),
        8 => (id(), 0..8_u8).prop_map(|(id, wish)| Step::Heartbeat {
            id,
            wants_fence: wish == 0,
            wants_shutdown: wish == 1,
        }),
        3 => (0..12_000_u64).prop_map(|ms| Step::Silence { ms }),
        6 => (any::<usize>(), vec(id(), 0..4), any::<bool>())
            .prop_map(|(place, isr, is_recovered)| Step::AlterPartition { place, isr, is_recovered }),
        2 => any::<bool>().prop_map(|is_unclean| Step::Elect { is_unclean }),
        2 => (1..4_i16, 1..4_u8, any::<bool>()).prop_map(|(replication_factor, min_isr, is_unclean)| {
            Step::CreateTopic { replication_factor, min_isr, is_unclean }
        }),
        1 => (1..4_u8).prop_map(|min_isr| Step::MinIsr { min_isr }),
        1 => id().prop_map(|id| Step::Unregister { id }),
        1 => id().prop_map(|to| Step::FailOver { to }),
    ]
}

struct World {
    controller: Controller,
    /// What the log has made.
    image: MetadataImage,
    now: Monotonic,
    runs: BTreeMap<NodeId, u128>,
    topics: u128,
    epochs_used: BTreeSet<i64>,
}

impl World {
    fn new() -> Self {
        let image = MetadataImage::default();
        let mut world = Self {
            controller: Controller::new(&image, 1, ControllerSettings::default()),
            image,
            now: Monotonic::ZERO,
            runs: BTreeMap::new(),
            topics: 0,
            epochs_used: BTreeSet::new(),
        };
        for id in 1..4 {
            world.take(Step::Register { id, new_run: true, is_clean: false });
            world.take(Step::Heartbeat { id, wants_fence: false, wants_shutdown: false });
        }
        world
    }

    fn now(&self) -> Now {
        Now { timestamp_ms: 0, monotonic: self.now }
    }

    fn epoch(&self, id: NodeId) -> i64 {
        self.image.broker(id).map_or(-1, |broker| broker.epoch)
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Silence { ms } => self.pass(Monotonic::from_millis(ms)),
            Step::FailOver { to } => {
                self.controller = Controller::new(&self.image, to, ControllerSettings::default());
            }
            Step::Register { id, new_run, is_clean } => {
                let run = self.runs.entry(id).or_default();
                *run += u128::from(new_run);
                let incarnation = Uuid::from_u128(1 + *run);
                let previous_broker_epoch = if is_clean { self.epoch(id) } else { -1 };
                self.ask(ControllerRequest::RegisterBroker(RegisterBroker {
                    id,
                    cluster_id: "c".into(),
                    incarnation,
                    listeners: Vec::new(),
                    rack: Some((id % 2).to_string().into()),
                    log_dirs: vec![Uuid::from_u128(1_000 + u128::from(id.unsigned_abs()))],
                    previous_broker_epoch,
                }));
            }
            Step::Heartbeat { id, wants_fence, wants_shutdown } => {
                let broker_epoch = self.epoch(id);
                self.ask(ControllerRequest::BrokerHeartbeat(BrokerHeartbeat {
                    broker_id: id,
                    broker_epoch,
                    current_metadata_offset: 0,
                    wants_fence,
                    wants_shutdown,
                }));
            }
            Step::Elect { is_unclean } => {
                let election = if is_unclean { ElectionType::Unclean } else { ElectionType::Preferred };
                self.ask(ControllerRequest::ElectLeaders(ElectLeaders { election, topics: None }));
            }
            Step::Unregister { id } => self.ask(ControllerRequest::UnregisterBroker(UnregisterBroker { id })),
            Step::AlterPartition { place, isr, is_recovered } => self.alter_partition(place, &isr, is_recovered),
            Step::MinIsr { min_isr } => self.set_min_isr(min_isr),
            Step::CreateTopic { replication_factor, min_isr, is_unclean } => {
                self.create_topic(replication_factor, min_isr, is_unclean);
            }
        }
    }

    fn create_topic(&mut self, replication_factor: i16, min_isr: u8, is_unclean: bool) {
        self.topics += 1;
        let configs = BTreeMap::from([
            ("min.insync.replicas".to_owned(), min_isr.to_string()),
            ("unclean.leader.election.enable".to_owned(), is_unclean.to_string()),
        ]);
        let topic = NewTopic {
            name: format!("t{}", self.topics).into(),
            id: Uuid::from_u128(self.topics),
            partitions: 3,
            replication_factor,
            assignments: Vec::new(),
            configs: Ok(configs),
        };
        self.ask(ControllerRequest::CreateTopics(CreateTopics {
            topics: vec![topic],
            validate_only: false,
            default_partitions: 1,
            default_replication_factor: 1,
            seed: self.topics as u64,
            quota: MutationQuota::default(),
        }));
    }

    /// Of the topics, whose own setting it replaces.
    fn set_min_isr(&mut self, min_isr: u8) {
        let names: Vec<_> = self.image.topics().map(|topic| topic.name.clone()).collect();
        let change = || {
            ConfigsChange::Incremental(BTreeMap::from([(
                "min.insync.replicas".to_owned(),
                ConfigOperation::Set(min_isr.to_string()),
            )]))
        };
        let resources = names
            .into_iter()
            .map(|name| ConfigAlteration { resource: ConfigResource::Topic(name), change: change() })
            .collect();
        let rules = std::sync::Arc::new(AnythingGoes);
        self.ask(ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only: false, rules }));
    }

    fn alter_partition(&mut self, place: usize, isr: &[NodeId], is_recovered: bool) {
        let all: Vec<_> = self
            .image
            .topics()
            .flat_map(|topic| (0..).zip(topic.partitions.clone()).map(|(index, state)| (topic.id, index, state)))
            .collect();
        let Some((topic_id, partition, state)) = all.get(place % all.len().max(1)) else { return };
        let mut new_isr: Vec<_> = state.replicas.iter().filter(|id| isr.contains(id)).copied().collect();
        if !new_isr.contains(&state.leader) {
            new_isr.push(state.leader);
        }
        let recovery = if is_recovered { LeaderRecoveryState::Recovered } else { state.leader_recovery_state };
        let alteration = PartitionAlteration {
            topic_id: *topic_id,
            partition: *partition,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            new_isr: new_isr.into_iter().map(|id| (id, self.epoch(id))).collect(),
            leader_recovery_state: recovery,
        };
        let (broker_id, broker_epoch) = (state.leader, self.epoch(state.leader));
        self.ask(ControllerRequest::AlterPartition(AlterPartition {
            broker_id,
            broker_epoch,
            partitions: vec![alteration],
        }));
    }

    fn ask(&mut self, request: ControllerRequest) {
        let mut effects = Effects::new();
        self.controller.handle(request, ReplyTo(1), self.now(), &mut effects);
        self.take_in(&effects);
    }

    fn pass(&mut self, time: Monotonic) {
        let end = self.now + time;
        let mut looks = 0;
        while let Some(deadline) = self.controller.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let mut effects = Effects::new();
            self.controller.handle_timeout(self.now(), &mut effects);
            self.take_in(&effects);
            looks += 1;
            assert!(looks < 100, "the controller does not rest");
        }
        self.now = end;
    }

    /// Takes the records in one by one as the log does, each of which must lead from a good state to a good one.
    fn take_in(&mut self, effects: &Effects<Controller>) {
        for record in &effects.records {
            let before = self.image.clone();
            self.controller.replay(record);
            self.image.replay(record).unwrap();
            if let MetadataRecord::Brokers(BrokerRecord::RegisterBroker(broker)) = record {
                let is_known = before.broker(broker.id).is_some_and(|known| known.epoch == broker.epoch);
                assert!(is_known || self.epochs_used.insert(broker.epoch), "an epoch is used twice");
            }
            self.check_epochs(&before);
        }
        self.check();
    }

    fn check_epochs(&self, before: &MetadataImage) {
        for topic in before.topics() {
            let Some(after) = self.image.topic_by_id(topic.id) else { continue };
            for (old, new) in topic.partitions.iter().zip(&after.partitions) {
                assert!(new.partition_epoch >= old.partition_epoch && new.leader_epoch >= old.leader_epoch);
                assert!(new == old || new.partition_epoch == old.partition_epoch + 1);
                assert!(new.leader == old.leader || new.leader_epoch == old.leader_epoch + 1);
            }
        }
    }

    fn check(&self) {
        for topic in self.image.topics() {
            let min_isr: usize = topic.configs["min.insync.replicas"].parse().unwrap();
            for state in &topic.partitions {
                self.check_partition(state, min_isr.min(state.replicas.len()));
            }
        }
        let mut again = MetadataImage::default();
        for record in self.image.to_records() {
            again.replay(&record).unwrap();
        }
        (again.offset, again.controller_epoch) = (self.image.offset, self.image.controller_epoch);
        assert_eq!(again, self.image);
    }

    fn check_partition(&self, state: &PartitionImage, min_isr: usize) {
        let is_active = |id: NodeId| self.image.broker(id).is_some_and(BrokerRegistration::is_active);
        let is_replica = |id: &NodeId| state.replicas.contains(id);
        assert!(state.leader == -1 || (state.isr.contains(&state.leader) && is_active(state.leader)), "{state:?}");
        assert!(state.isr.iter().all(|id| is_replica(id) && is_active(*id)), "{state:?}");
        assert!(state.elr.iter().all(|id| is_replica(id) && !state.isr.contains(id)), "{state:?}");
        assert!(state.isr.len() < min_isr || state.elr.is_empty(), "{state:?}");
        assert!(state.leader == -1 || state.last_known_elr.is_empty(), "{state:?}");
        assert_eq!(state.isr.is_empty(), state.leader == -1, "{state:?}");
        let may_lead = state.elr.iter().any(|id| is_active(*id));
        assert!(state.leader != -1 || !may_lead, "nobody leads, and somebody could: {state:?}");
    }
}

#[derive(Debug)]
struct AnythingGoes;

impl ConfigRules for AnythingGoes {
    fn list_default(&self, _resource: &ConfigResource, _key: &str) -> Option<String> {
        None
    }

    fn validate(
        &self,
        _resource: &ConfigResource,
        _after: &BTreeMap<String, String>,
        _before: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_brokers_partitions_are_led_rightly(steps in vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }
}
