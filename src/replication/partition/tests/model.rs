//! A random world: one partition on five brokers, a controller that is a few lines, and messages that are late or lost. No
//! election is unclean, so nothing that any replica has known as committed may ever be missing anywhere.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::follower::{FetchPosition, FollowerLog, FollowerStep, LeaderAnswer, ReplicaFetch};
use super::*;

const NODES: [NodeId; 5] = [1, 2, 3, 4, 5];
const TICK: Duration = Duration::from_secs(4);

/// A record: the epoch that it was appended in, and what tells it from all others.
type Record = (LeaderEpoch, u32);

#[derive(Debug, Clone, Default)]
struct ModelLog {
    records: Vec<Record>,
    epochs: Vec<(LeaderEpoch, i64)>,
}

impl ModelLog {
    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    fn begin_epoch(&mut self, epoch: LeaderEpoch, start: i64) {
        if self.epochs.last().is_none_or(|(last, _)| *last < epoch) {
            self.epochs.retain(|(_, other)| *other < start);
            self.epochs.push((epoch, start));
        }
    }

    fn append(&mut self, record: Record) {
        self.begin_epoch(record.0, self.end());
        self.records.push(record);
    }

    fn truncate(&mut self, end: i64) {
        self.records.truncate(end as usize);
        self.epochs.retain(|(_, start)| *start < end);
    }

    fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, i64)> {
        if self.epochs.last().is_some_and(|(last, _)| *last == epoch) {
            return Some((epoch, self.end()));
        }
        let (_, end) = self.epochs.iter().find(|(other, _)| *other > epoch)?;
        let floor = self.epochs.iter().rev().find(|(other, _)| *other <= epoch);
        (epoch >= 0).then_some((floor.map_or(epoch, |(floor, _)| *floor), *end))
    }
}

/// One broker's replica.
struct Node {
    partition: Partition,
    log: ModelLog,
    fetch: Option<ReplicaFetch>,
}

impl Node {
    fn new(id: NodeId, min_isr: usize, log: ModelLog, high_watermark: i64) -> Self {
        let config = IsrConfig { min_insync_replicas: min_isr, lag_time_max: LAG };
        let partition = Partition::new(id, config, log.end(), high_watermark);
        Self { partition, log, fetch: None }
    }

    fn follower_log(&self) -> FollowerLog {
        FollowerLog {
            log_start_offset: 0,
            log_end_offset: self.log.end(),
            high_watermark: self.partition.high_watermark(),
            latest_epoch: self.log.epochs.last().map(|(epoch, _)| *epoch),
        }
    }

    fn apply(&mut self, state: &PartitionState, moment: &Moment<'_>) {
        let (epoch, end) = (state.leader_epoch, self.log.end());
        match self.partition.apply(state.clone(), end, moment) {
            RoleChange::LeadsAnew => {
                self.log.begin_epoch(epoch, end);
                self.fetch = None;
            }
            RoleChange::FollowsAnew => {
                let log = self.follower_log();
                let step = match &mut self.fetch {
                    Some(fetch) => fetch.follow(epoch, &log),
                    fetch => fetch.insert(ReplicaFetch::new(epoch, &log, TICK).0).follow(epoch, &log),
                };
                assert_eq!(step, FollowerStep::None);
            }
            RoleChange::None => {}
        }
    }
}

#[derive(Debug, Clone)]
struct Request {
    from: NodeId,
    to: NodeId,
    broker_epoch: i64,
    position: FetchPosition,
}

#[derive(Debug, Clone)]
struct Answer {
    request: Request,
    high_watermark: i64,
    outcome: Result<LeaderAnswer, ErrorCode>,
    records: Vec<Record>,
}

/// What the controller has decided at one time.
#[derive(Debug, Clone)]
struct Image {
    state: PartitionState,
    brokers: BTreeMap<NodeId, BrokerState>,
}

struct World {
    now: Monotonic,
    min_isr: usize,
    images: Vec<Image>,
    /// The in-sync replicas of each partition epoch.
    isrs: Vec<Vec<NodeId>>,
    nodes: BTreeMap<NodeId, Node>,
    /// The last image that each broker knows, as an index.
    known: BTreeMap<NodeId, usize>,
    /// What each broker's process is registered under.
    broker_epochs: BTreeMap<NodeId, i64>,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    proposals: Vec<(NodeId, IsrProposal)>,
    outcomes: Vec<(NodeId, IsrProposal, Result<AlteredIsr, ErrorCode>)>,
    /// Appends with `acks=all` that nobody was told of: where, in which epoch, at which offset, and what.
    waits: Vec<(NodeId, LeaderEpoch, i64, Record)>,
    committed: Vec<Record>,
    next_record: u32,
}

impl World {
    fn new(replicas: usize, min_isr: usize) -> Self {
        let replicas = NODES[..replicas].to_vec();
        let state = PartitionState { leader: 1, leader_epoch: 0, partition_epoch: 0, isr: replicas.clone(), replicas };
        let brokers = NODES.into_iter().map(|id| (id, registered(i64::from(id)))).collect();
        let mut world = Self {
            now: Duration::from_secs(1_000),
            min_isr,
            isrs: vec![state.isr.clone()],
            images: vec![Image { state, brokers }],
            nodes: BTreeMap::new(),
            known: BTreeMap::new(),
            broker_epochs: NODES.into_iter().map(|id| (id, i64::from(id))).collect(),
            requests: Vec::new(),
            answers: Vec::new(),
            proposals: Vec::new(),
            outcomes: Vec::new(),
            waits: Vec::new(),
            committed: Vec::new(),
            next_record: 0,
        };
        for id in NODES {
            world.learn(id, 0);
        }
        world
    }

    fn image(&self) -> &Image {
        &self.images[self.images.len() - 1]
    }

    /// Has the controller decide something.
    fn decide(&mut self, change: impl FnOnce(&mut Image)) {
        let mut image = self.image().clone();
        change(&mut image);
        if image.state != self.image().state {
            image.state.partition_epoch += 1;
            self.isrs.push(image.state.isr.clone());
        }
        self.images.push(image);
    }

    fn brokers_at(&self, known: usize) -> BrokerStates {
        self.images[known].brokers.iter().map(|(id, state)| (*id, *state)).collect()
    }

    /// Has a machine decide by what its node knows.
    fn with_node<T>(&mut self, id: NodeId, act: impl FnOnce(&mut Node, &Moment<'_>) -> T) -> Option<T> {
        let brokers = self.brokers_at(self.known[&id]);
        Some(act(self.nodes.get_mut(&id)?, &Moment { now: self.now, brokers: &brokers }))
    }

    /// A node gets to know an image; those in between, if there are any, are passed over.
    fn learn(&mut self, id: NodeId, index: usize) {
        let image = self.images[index].clone();
        self.known.insert(id, index);
        if !image.state.replicas.contains(&id) {
            self.nodes.remove(&id);
            return;
        }
        let min_isr = self.min_isr;
        self.nodes.entry(id).or_insert_with(|| Node::new(id, min_isr, ModelLog::default(), 0));
        self.with_node(id, |node, moment| {
            node.apply(&image.state, moment);
            node.partition.brokers_changed(moment);
        });
    }

    fn learn_some(&mut self, id: NodeId, choice: u8) {
        let known = self.known[&id];
        let unknown = self.images.len() - known - 1;
        if unknown > 0 {
            self.learn(id, known + 1 + usize::from(choice) % unknown);
        }
    }

    fn append(&mut self, id: NodeId) {
        let number = self.next_record;
        let appended = self.with_node(id, |node, moment| {
            let acks = node.partition.may_append(RequiredAcks::All).is_ok();
            node.partition.may_append(RequiredAcks::Leader).ok()?;
            let record = (node.partition.leader_epoch(), number);
            node.log.append(record);
            node.partition.appended(node.log.end(), moment);
            acks.then_some((id, record.0, node.log.end() - 1, record))
        });
        self.next_record += 1;
        self.waits.extend(appended.flatten());
    }

    fn send_fetch(&mut self, from: NodeId) {
        let Some(node) = self.nodes.get(&from) else { return };
        let Some(position) = node.fetch.as_ref().and_then(|fetch| fetch.position(self.now)) else { return };
        let (to, broker_epoch) = (node.partition.leader(), self.broker_epochs[&from]);
        if to != -1 {
            self.requests.push(Request { from, to, broker_epoch, position });
        }
    }

    fn serve(&mut self, request: Request, most: usize) {
        let FetchPosition { leader_epoch, fetch_offset, last_fetched_epoch } = request.position;
        let served = self.with_node(request.to, |node, moment| {
            let high_watermark = node.partition.high_watermark();
            let mut records = Vec::new();
            let mut proposal = None;
            let mut read = || {
                node.partition.check_follower(request.from, leader_epoch)?;
                let diverging = if last_fetched_epoch < 0 {
                    None
                } else {
                    let end = node.log.end_of(last_fetched_epoch).ok_or(ErrorCode::OffsetOutOfRange)?;
                    (end.0 < last_fetched_epoch || end.1 < fetch_offset).then_some(end)
                };
                let (leader_log_end_offset, diverges) = (node.log.end(), diverging.is_some());
                if !diverges {
                    let behind = node.log.records.get(fetch_offset as usize..).ok_or(ErrorCode::OffsetOutOfRange)?;
                    records = behind.iter().take(most).copied().collect();
                }
                let (follower, broker_epoch) = (request.from, request.broker_epoch);
                let fetch = FollowerFetch {
                    follower,
                    broker_epoch,
                    fetch_offset,
                    log_start_offset: 0,
                    leader_log_end_offset,
                    diverges,
                };
                proposal = node.partition.follower_fetched(&fetch, moment)?.1;
                Ok(LeaderAnswer { diverging, first_offset: (!records.is_empty()).then_some(fetch_offset) })
            };
            let answer = read();
            (high_watermark, answer, records, proposal)
        });
        let Some((high_watermark, answer, records, proposal)) = served else { return };
        self.proposals.extend(proposal.map(|proposal| (request.to, proposal)));
        self.answers.push(Answer { request, high_watermark, outcome: answer, records });
    }

    fn take_answer(&mut self, answered: &Answer) {
        let Answer { request, high_watermark, outcome, records } = answered;
        let now = self.now;
        let Some(node) = self.nodes.get_mut(&request.from) else { return };
        let log = node.follower_log();
        let Node { fetch: Some(fetch), log: own, partition, .. } = node else { return };
        match fetch.answered(&request.position, *outcome, &log, |epoch| own.end_of(epoch), now) {
            FollowerStep::None => {}
            FollowerStep::Append { newest_epoch, start_at } => {
                assert_eq!(start_at, None);
                let taken = records.iter().take_while(|(epoch, _)| *epoch <= newest_epoch);
                let last = taken.inspect(|record| own.append(**record)).last().map(|(epoch, _)| *epoch);
                partition.replicated(0, own.end(), *high_watermark);
                let log = node.follower_log();
                node.fetch.as_mut().unwrap().appended(&log, last);
            }
            FollowerStep::Truncate { offset, loses_committed } => {
                assert!(!loses_committed, "truncated to {offset} below the high watermark");
                own.truncate(offset);
                partition.truncated(offset);
                let log = node.follower_log();
                node.fetch.as_mut().unwrap().restarted(&log);
            }
            step => panic!("no log starts elsewhere than at 0, so there is no need to {step:?}"),
        }
    }

    /// What Kafka's controller checks, without what cannot go wrong here.
    fn alter_isr(&mut self, leader: NodeId, proposal: &IsrProposal) -> Result<AlteredIsr, ErrorCode> {
        let Image { state, brokers } = self.image().clone();
        if proposal.leader_epoch < state.leader_epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        } else if state.leader != leader {
            return Err(ErrorCode::InvalidRequest);
        } else if proposal.partition_epoch < state.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let isr = ids(proposal);
        assert!(isr.contains(&leader) && isr.iter().all(|id| state.replicas.contains(id)), "{isr:?} of {state:?}");
        let is_eligible = |(id, epoch): &(NodeId, i64)| {
            let broker = brokers[id];
            !broker.is_fenced && !broker.is_shutting_down && (*epoch == -1 || *epoch == broker.epoch)
        };
        if !proposal.new_isr.iter().all(is_eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        self.decide(|image| image.state.isr = isr);
        let PartitionState { leader_epoch, partition_epoch, isr, .. } = self.image().state.clone();
        Ok(AlteredIsr { leader_epoch, partition_epoch, isr })
    }

    fn take_outcome(&mut self, leader: NodeId, proposal: IsrProposal, outcome: Result<AlteredIsr, ErrorCode>) {
        let verdict = self.with_node(leader, |node, moment| node.partition.isr_answered(&proposal, outcome, moment).0);
        if verdict == Some(IsrVerdict::Retry) {
            self.proposals.push((leader, proposal));
        }
    }

    fn elect(image: &mut Image, choice: u8) {
        let Image { state, brokers } = image;
        let valid: Vec<_> = state.isr.iter().copied().filter(|id| !brokers[id].is_fenced).collect();
        state.leader = valid.get(usize::from(choice) % valid.len().max(1)).copied().unwrap_or(-1);
        state.leader_epoch += 1;
    }

    fn fence(image: &mut Image, id: NodeId, choice: u8) {
        image.brokers.get_mut(&id).unwrap().is_fenced = true;
        if image.state.isr.len() > 1 {
            image.state.isr.retain(|other| *other != id);
        }
        if image.state.leader == id {
            Self::elect(image, choice);
        }
    }

    fn unfence(image: &mut Image, id: NodeId) {
        image.brokers.get_mut(&id).unwrap().is_fenced = false;
        if image.state.leader == -1 && image.state.isr.contains(&id) {
            Self::elect(image, 0);
        }
    }

    /// A broker's process ends and comes back as another registration. What others hold, it may have lost.
    fn restart(&mut self, id: NodeId, lost: u8) {
        let epoch = self.broker_epochs.values().max().unwrap() + 1;
        self.broker_epochs.insert(id, epoch);
        self.decide(|image| {
            Self::fence(image, id, lost);
            image.brokers.insert(id, BrokerState { is_fenced: true, ..registered(epoch) });
        });
        let is_alone = self.image().state.isr == [id];
        if let Some(Node { partition, mut log, .. }) = self.nodes.remove(&id) {
            if !is_alone {
                log.truncate((log.end() - i64::from(lost % 4)).max(0));
            }
            self.nodes.insert(id, Node::new(id, self.min_isr, log, partition.high_watermark()));
        }
        self.waits.retain(|(node, ..)| *node != id);
        // It has read the metadata up to its own registration before it does anything.
        self.learn(id, self.images.len() - 1);
        self.decide(|image| Self::unfence(image, id));
    }

    /// Adds a replica, or removes one that is not in sync.
    fn reassign(&mut self, id: NodeId) {
        self.decide(|image| {
            let state = &mut image.state;
            if !state.replicas.contains(&id) {
                state.replicas.push(id);
            } else if !state.isr.contains(&id) {
                state.replicas.retain(|other| *other != id);
                let leader = state.leader;
                state.leader_epoch += i32::from(leader != -1);
            }
        });
    }

    fn step(&mut self, (action, choice, more): (u8, u8, u8)) {
        let id = NODES[usize::from(choice) % NODES.len()];
        match action % 32 {
            0..=5 => self.append(id),
            6..=12 => self.send_fetch(id),
            13..=18 if !self.requests.is_empty() => {
                let request = self.requests.remove(usize::from(choice) % self.requests.len());
                self.serve(request, usize::from(more % 5));
            }
            19..=22 if !self.answers.is_empty() => {
                let answer = self.answers.remove(usize::from(choice) % self.answers.len());
                self.take_answer(&answer);
            }
            23 if !self.proposals.is_empty() => {
                let (leader, proposal) = self.proposals.remove(usize::from(choice) % self.proposals.len());
                let outcome = self.alter_isr(leader, &proposal);
                // Some are lost on the way back.
                let outcome = if more % 4 == 0 { Err(ErrorCode::NotController) } else { outcome };
                self.outcomes.push((leader, proposal, outcome));
            }
            24 if !self.outcomes.is_empty() => {
                let (leader, proposal, outcome) = self.outcomes.remove(usize::from(choice) % self.outcomes.len());
                self.take_outcome(leader, proposal, outcome);
            }
            25 | 26 => self.learn_some(id, more),
            27 => self.now += TICK * u32::from(more % 4),
            28 => {
                let proposal = self.with_node(id, |node, moment| node.partition.shrink_isr(moment)).flatten();
                self.proposals.extend(proposal.map(|proposal| (id, proposal)));
            }
            29 if self.image().brokers[&id].is_fenced => self.decide(|image| Self::unfence(image, id)),
            29 => self.decide(|image| Self::fence(image, id, more)),
            30 if more % 2 == 0 => self.decide(|image| Self::elect(image, more / 2)),
            30 => self.reassign(id),
            31 if more % 3 == 0 => self.restart(id, more / 3),
            _ => self.look(),
        }
        self.check();
    }

    fn check(&mut self) {
        for (id, Node { partition, log, .. }) in &self.nodes {
            let high_watermark = usize::try_from(partition.high_watermark()).unwrap();
            let known = &log.records[..high_watermark];
            let both = high_watermark.min(self.committed.len());
            assert_eq!(known[..both], self.committed[..both], "{id} knows other records as committed");
            self.committed.extend(&known[both..]);
            if partition.is_leader() {
                let isr = &self.isrs[partition.partition_epoch() as usize];
                assert_eq!(partition.isr(), isr, "the controller has committed others");
                assert!(partition.isr().iter().all(|member| partition.replicas().contains(member)));
            }
        }
        // Whoever may be elected has all that is committed.
        for member in &self.image().state.isr {
            let Some(node) = self.nodes.get(member) else { continue };
            let records = &node.log.records;
            assert!(records.len() >= self.committed.len(), "{member} is in sync and lacks committed records");
            assert_eq!(records[..self.committed.len()], self.committed, "{member} is in sync and has others");
        }
    }

    /// Those who wait look again, which they do some time after there is something to see.
    fn look(&mut self) {
        let (nodes, committed) = (&self.nodes, &self.committed);
        self.waits.retain(|(id, epoch, offset, record)| {
            let acknowledged = nodes.get(id).map(|node| node.partition.is_acknowledged(*epoch, offset + 1));
            if acknowledged == Some(Ok(true)) {
                assert_eq!(committed.get(*offset as usize), Some(record), "acknowledged by {id} in {epoch}");
            }
            acknowledged == Some(Ok(false))
        });
    }

    /// Everybody lives, everything arrives: then all are in sync, and everything is committed.
    fn heal(&mut self) {
        for id in NODES {
            self.decide(|image| Self::unfence(image, id));
        }
        for _ in 0..100 {
            self.now += Duration::from_millis(100);
            for id in NODES {
                self.learn(id, self.images.len() - 1);
                let proposal = self.with_node(id, |node, moment| node.partition.shrink_isr(moment)).flatten();
                self.proposals.extend(proposal.map(|proposal| (id, proposal)));
                self.send_fetch(id);
            }
            for request in std::mem::take(&mut self.requests) {
                self.serve(request, 100);
            }
            for answer in std::mem::take(&mut self.answers) {
                self.take_answer(&answer);
            }
            for (leader, proposal) in std::mem::take(&mut self.proposals) {
                let outcome = self.alter_isr(leader, &proposal);
                self.outcomes.push((leader, proposal, outcome));
            }
            for (leader, proposal, outcome) in std::mem::take(&mut self.outcomes) {
                self.take_outcome(leader, proposal, outcome);
            }
            self.check();
            self.look();
        }
        let state = self.image().state.clone();
        assert_eq!(state.isr.len(), state.replicas.len(), "{state:?}");
        let ends: Vec<_> = state.replicas.iter().map(|id| self.nodes[id].log.end()).collect();
        let high_watermarks: Vec<_> =
            state.replicas.iter().map(|id| self.nodes[id].partition.high_watermark()).collect();
        assert_eq!(high_watermarks, vec![ends[0]; ends.len()]);
        assert_eq!(ends, high_watermarks);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_that_is_committed_is_ever_lost(
        replicas in 2..=5_usize,
        min_isr in 1..=3_usize,
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 1..600),
    ) {
        let mut world = World::new(replicas, min_isr);
        for step in steps {
            world.step(step);
        }
        world.heal();
    }
}
