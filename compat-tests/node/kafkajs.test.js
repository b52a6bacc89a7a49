// kafkajs: producer, consumer groups and admin.
const assert = require("node:assert");
const { after, test } = require("node:test");
const { setTimeout: sleep } = require("node:timers/promises");
const { randomUUID } = require("node:crypto");
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require("kafkajs");

CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");

const PATIENCE_MS = 20_000;
const kafka = new Kafka({
  clientId: "kafkajs-test",
  brokers: [process.env.BROKER],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 8 },
});
const opened = [];

/** Connects a client that is disconnected when all tests are over. */
async function open(client) {
  await client.connect();
  opened.push(client);
  return client;
}

after(() => Promise.all(opened.map((client) => client.disconnect())));

const admin = () => open(kafka.admin());
const unique = (name) => `${name}-${randomUUID().slice(0, 6)}`;

/** Creates a topic of its own for a test; returns its name. */
async function createTopic(name, numPartitions = 1, configs = {}) {
  const topic = unique(name);
  const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }));
  await (await admin()).createTopics({ topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }] });
  return topic;
}

/** Sends string values; returns what the broker acknowledged. */
async function send(topic, values, options = {}, producerOptions = {}) {
  const producer = await open(kafka.producer(producerOptions));
  return producer.send({ topic, messages: values.map((value) => ({ value })), ...options });
}

/** Starts a member of a group that reads from the beginning; its `messages` grow as it reads. */
async function member(topic, groupId, options = {}, run = {}) {
  const consumer = await open(kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 6000, maxWaitTimeInMs: 200, ...options }));
  const state = { consumer, messages: [], partitions: [] };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (state.partitions = payload.memberAssignment[topic] ?? []));
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      state.messages.push({ partition, ...message });
    },
    ...run,
  });
  return state;
}

/** Waits until a condition holds. */
async function until(condition, state) {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never came: ${JSON.stringify(state())}`);
    await sleep(20);
  }
}

const values = ({ messages }) => messages.map(({ value }) => value?.toString() ?? null);
const rejectedAs = (type) => (error) => (error.type ?? error.errors?.[0]?.type) === type;

for (const acks of [0, 1, -1]) {
  test(`acks ${acks}`, async () => {
    const topic = await createTopic("acks");
    await send(topic, ["a", "b"], { acks });
    const reader = await member(topic, topic);
    await until(() => reader.messages.length === 2, () => values(reader));
    assert.deepStrictEqual(values(reader), ["a", "b"]);
  });
}

for (const codec of ["GZIP", "Snappy"]) {
  test(`compression ${codec}`, async () => {
    const topic = await createTopic("compression");
    const expected = Array.from({ length: 200 }, (_, number) => `${number} ${"x".repeat(100)}`);
    await send(topic, expected, { compression: CompressionTypes[codec] });
    const reader = await member(topic, topic);
    await until(() => reader.messages.length === 200, () => reader.messages.length);
    assert.deepStrictEqual(values(reader), expected);
  });
}

test("key, headers, null value", async () => {
  const topic = await createTopic("record");
  const messages = [{ key: "user-10", value: null, headers: { trace: "1" }, timestamp: "1600000000000" }];
  await send(topic, [], { messages });
  const reader = await member(topic, topic);
  await until(() => reader.messages.length === 1, () => values(reader));
  const [{ key, value, headers, timestamp }] = reader.messages;
  assert.deepStrictEqual([key.toString(), value, headers.trace.toString(), timestamp], ["user-10", null, "1", "1600000000000"]);
});

test("too large message", async () => {
  const topic = await createTopic("large", 1, { "max.message.bytes": "10000" });
  await assert.rejects(send(topic, ["x".repeat(20_000)]), rejectedAs("MESSAGE_TOO_LARGE"));
});

test("big messages", async () => {
  const topic = await createTopic("big");
  await send(topic, ["x".repeat(900_000)]);
  const reader = await member(topic, topic);
  await until(() => reader.messages.length === 1, () => "nothing");
  assert.strictEqual(reader.messages[0].value.length, 900_000);
});

test("idempotent producer", async () => {
  const topic = await createTopic("idempotent");
  const producer = await open(kafka.producer({ idempotent: true, maxInFlightRequests: 1 }));
  for (let number = 0; number < 20; number++) {
    await producer.send({ topic, messages: [{ value: `${number}` }] });
  }
  const reader = await member(topic, topic);
  await until(() => reader.messages.length === 20, () => values(reader));
  assert.deepStrictEqual(values(reader), Array.from({ length: 20 }, (_, number) => `${number}`));
});

test("auto creation", async () => {
  const topic = unique("auto");
  const [{ errorCode }] = await send(topic, ["a"]);
  assert.strictEqual(errorCode, 0);
});

test("members share and rebalance", async () => {
  const topic = await createTopic("share", 4);
  const shared = (members) => members.flatMap(({ partitions }) => partitions).sort().join() === "0,1,2,3" && members.every(({ partitions }) => partitions.length);
  const members = [await member(topic, topic)];
  await until(() => shared(members), () => members.map(({ partitions }) => partitions));
  members.push(await member(topic, topic), await member(topic, topic));
  await until(() => shared(members), () => members.map(({ partitions }) => partitions));
  await members.pop().consumer.disconnect();
  await until(() => shared(members), () => members.map(({ partitions }) => partitions));
  await send(topic, ["a", "b", "c", "d"]);
  await until(() => members.flatMap(({ messages }) => messages).length === 4, () => members.map(values));
});

test("commit and continue", async () => {
  const topic = await createTopic("commit");
  await send(topic, ["a", "b"]);
  const first = await member(topic, topic, {}, { autoCommit: false });
  await until(() => first.messages.length === 2, () => values(first));
  await first.consumer.commitOffsets([{ topic, partition: 0, offset: "1" }]);
  await first.consumer.disconnect();
  const second = await member(topic, topic);
  await until(() => second.messages.length === 1, () => values(second));
  assert.deepStrictEqual(values(second), ["b"]);
});

test("seek", async () => {
  const topic = await createTopic("seek");
  await send(topic, ["a", "b", "c"]);
  const reader = await member(topic, topic);
  await until(() => reader.messages.length === 3, () => values(reader));
  reader.consumer.seek({ topic, partition: 0, offset: "1" });
  await until(() => reader.messages.length === 5, () => values(reader));
  assert.deepStrictEqual(values(reader), ["a", "b", "c", "b", "c"]);
});

test("topics by admin", async () => {
  const client = await admin();
  const topic = await createTopic("admin", 2);
  assert.ok((await client.listTopics()).includes(topic));
  assert.strictEqual(await client.createTopics({ topics: [{ topic }] }), false);
  await client.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
  const { topics } = await client.fetchTopicMetadata({ topics: [topic] });
  assert.strictEqual(topics[0].partitions.length, 3);
  await client.deleteTopics({ topics: [topic] });
  assert.ok(!(await client.listTopics()).includes(topic));
  await assert.rejects(client.createTopics({ topics: [{ topic: "not/valid" }] }), rejectedAs("INVALID_TOPIC_EXCEPTION"));
});

test("cluster by admin", async () => {
  const cluster = await (await admin()).describeCluster();
  assert.strictEqual(cluster.brokers.length, 1);
  assert.strictEqual(cluster.controller, cluster.brokers[0].nodeId);
  assert.ok(cluster.clusterId);
});

test("offsets by admin", async () => {
  const client = await admin();
  const topic = await createTopic("offsets");
  await send(topic, [], { messages: [{ value: "a", timestamp: "1700000000000" }, { value: "b", timestamp: "1700000001000" }] });
  const [{ low, high }] = await client.fetchTopicOffsets(topic);
  assert.deepStrictEqual([low, high], ["0", "2"]);
  const [{ offset }] = await client.fetchTopicOffsetsByTimestamp(topic, 1700000000500);
  assert.strictEqual(offset, "1");
  await client.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: "1" }] });
  const [fetched] = await client.fetchOffsets({ groupId: topic, topics: [topic] });
  assert.strictEqual(fetched.partitions[0].offset, "1");
});

test("groups by admin", async () => {
  const client = await admin();
  const topic = await createTopic("groups");
  const reader = await member(topic, topic);
  await until(() => reader.partitions.length === 1, () => reader.partitions);
  assert.ok((await client.listGroups()).groups.some(({ groupId, protocolType }) => groupId === topic && protocolType === "consumer"));
  const { groups } = await client.describeGroups([topic]);
  assert.deepStrictEqual([groups[0].state, groups[0].members.length], ["Stable", 1]);
  await assert.rejects(client.deleteGroups([topic]), (error) => error.groups[0].error.type === "NON_EMPTY_GROUP");
  await reader.consumer.disconnect();
  await client.deleteGroups([topic]);
});

test("configs by admin", async () => {
  const client = await admin();
  const topic = await createTopic("configs", 1, { "retention.ms": "1000" });
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  const read = async () => {
    const { resources } = await client.describeConfigs({ resources: [resource], includeSynonyms: true });
    return Object.fromEntries(resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue]));
  };
  assert.deepStrictEqual((await read())["retention.ms"], "1000");
  const configEntries = [{ name: "cleanup.policy", value: "compact" }];
  await client.alterConfigs({ validateOnly: true, resources: [{ ...resource, configEntries }] });
  assert.strictEqual((await read())["cleanup.policy"], "delete");
  await client.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] });
  const after = await read();
  assert.deepStrictEqual([after["cleanup.policy"], after["retention.ms"]], ["compact", "604800000"]);
  const wrong = [{ ...resource, configEntries: [{ name: "no.such.key", value: "1" }] }];
  await assert.rejects(client.alterConfigs({ validateOnly: false, resources: wrong }), rejectedAs("INVALID_CONFIG"));
});

test("records by admin", async () => {
  const client = await admin();
  const topic = await createTopic("records");
  await send(topic, ["a", "b", "c"]);
  assert.strictEqual((await client.fetchTopicOffsets(topic))[0].low, "0");
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "2" }] });
  assert.strictEqual((await client.fetchTopicOffsets(topic))[0].low, "2");
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "-1" }] });
  assert.strictEqual((await client.fetchTopicOffsets(topic))[0].low, "3");
});

test("reset offsets by admin", async () => {
  const client = await admin();
  const topic = await createTopic("reset");
  await send(topic, ["a", "b"]);
  for (const [earliest, offset] of [[true, "0"], [false, "2"]]) {
    await client.resetOffsets({ groupId: topic, topic, earliest });
    const [fetched] = await client.fetchOffsets({ groupId: topic, topics: [topic], resolveOffsets: true });
    assert.strictEqual(fetched.partitions[0].offset, offset);
  }
});

test("reassignments by admin", async () => {
  const client = await admin();
  const topic = await createTopic("reassign");
  const brokerId = (await client.describeCluster()).brokers[0].nodeId;
  await client.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [brokerId] }] }] });
  const { topics } = await client.listPartitionReassignments({ topics: [{ topic, partitions: [0] }] });
  assert.deepStrictEqual(topics, []);
});

test("access by admin, without an authorizer", async () => {
  const client = await admin();
  const filter = { resourceType: 2, resourceName: "a", resourcePatternType: 3, principal: "User:b", host: "*", operation: 3, permissionType: 3 };
  const disabled = rejectedAs("SECURITY_DISABLED");
  await assert.rejects(client.describeAcls(filter), disabled);
  await assert.rejects(client.createAcls({ acl: [filter] }), disabled);
  await assert.rejects(client.deleteAcls({ filters: [filter] }), disabled);
});
