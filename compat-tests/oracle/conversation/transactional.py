"""What the sections about transactions share: producers with transactional ids, and the requests that they send."""

import time

from batches import ATTRIBUTES, batch

from conversation.produce import request

NOT_YET = {
    14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE",
    16: "NOT_COORDINATOR",
    51: "CONCURRENT_TRANSACTIONS",
}
TIMEOUT_MS = 60_000


def initialising(name, timeout=TIMEOUT_MS, producer=(-1, -1)):
    """An InitProducerId request; `producer` is (id, epoch) here and below."""
    fields = {"TransactionalId": name, "TransactionTimeoutMs": timeout}
    return {**fields, "ProducerId": producer[0], "ProducerEpoch": producer[1]}


def transaction(name, producer, topics, verify=False):
    """One transaction of an AddPartitionsToTxn request of version 4 and above; `topics` are name -> partitions."""
    listed = [{"Name": topic, "Partitions": list(partitions)} for topic, partitions in topics.items()]
    fields = {"TransactionalId": name, "ProducerId": producer[0], "ProducerEpoch": producer[1]}
    return {**fields, "VerifyOnly": verify, "Topics": listed}


def adding(name, producer, topics, verify=False):
    """An AddPartitionsToTxn request in the form of old and new versions."""
    one = transaction(name, producer, topics, verify)
    old = {f"V3AndBelow{field}": one[field] for field in ("TransactionalId", "ProducerId", "ProducerEpoch", "Topics")}
    return {"Transactions": [one], **old}


def adding_offsets(name, producer, group):
    """An AddOffsetsToTxn request."""
    return {"TransactionalId": name, "ProducerId": producer[0], "ProducerEpoch": producer[1], "GroupId": group}


def ending(name, producer, commits=True):
    """An EndTxn request."""
    return {"TransactionalId": name, "ProducerId": producer[0], "ProducerEpoch": producer[1], "Committed": commits}


def committing(name, producer, group, *partitions, topic, member="", generation=-1, instance=None):
    """A TxnOffsetCommit request; partitions are (index, offset) or (index, offset, metadata)."""
    listed = []
    for index, offset, *metadata in partitions:
        fields = {"PartitionIndex": index, "CommittedOffset": offset, "CommittedLeaderEpoch": -1}
        listed.append({**fields, "CommittedMetadata": metadata[0] if metadata else ""})
    return {
        "TransactionalId": name,
        "GroupId": group,
        "ProducerId": producer[0],
        "ProducerEpoch": producer[1],
        "GenerationId": generation,
        "MemberId": member,
        "GroupInstanceId": instance,
        "Topics": [{"Name": topic, "Partitions": listed}],
    }


def marker(producer, topics, commits=True, coordinator_epoch=0):
    """One marker of a WriteTxnMarkers request; `topics` are name -> partitions."""
    listed = [{"Name": topic, "PartitionIndexes": list(partitions)} for topic, partitions in topics.items()]
    fields = {"ProducerId": producer[0], "ProducerEpoch": producer[1], "TransactionResult": commits}
    return {**fields, "Topics": listed, "CoordinatorEpoch": coordinator_epoch}


def transactional_batch(producer, sequence, values=("a",), **wrong):
    """A batch of a transaction."""
    fields = {"attributes": ATTRIBUTES["transactional"], "producer_id": producer[0], "producer_epoch": producer[1]}
    return batch(values, **{**fields, "base_sequence": sequence, **wrong})


def error_codes(answer):
    """All error codes of an answer."""
    if isinstance(answer, list):
        return [code for element in answer for code in error_codes(element)]
    if not isinstance(answer, dict):
        return []
    found = [content for field, content in answer.items() if field.endswith("ErrorCode") and isinstance(content, int)]
    return found + [code for content in answer.values() for code in error_codes(content)]


def settled(broker, api, version, body, on=None, tries=400):
    """An answer other than "not yet", as clients wait for it too: markers are written after EndTxn is answered."""
    connection = on or broker.main
    for _ in range(tries):
        answer = connection.ask(api, version, body)
        if NOT_YET.keys().isdisjoint(error_codes(answer)):
            return answer
        time.sleep(0.005)
    return answer


def wait_for_coordinator(broker):
    """Waits until there is a coordinator; the topic of its state comes with the first question for it."""
    settled(broker, "FindCoordinator", 4, {"KeyType": 1, "CoordinatorKeys": ["any"]})


def ask_settled(broker, step, api, version, body):
    """Notes a settled answer; returns it."""
    return broker.note(f"{step}, {api} v{version}", settled(broker, api, version, body))


def describe(broker, name):
    """A transactional id as DescribeTransactions tells of it, once its markers are written."""
    for _ in range(1000):
        answer = broker.main.ask("DescribeTransactions", 0, {"TransactionalIds": [name]})["TransactionStates"][0]
        if not answer["TransactionState"].startswith("Prepare") and answer["ErrorCode"] not in NOT_YET:
            return answer
        time.sleep(0.005)
    return answer


class Producer:
    """A transactional id and its producer, which asks without noting anything, unless it is told a step's name."""

    def __init__(self, broker, name, timeout=TIMEOUT_MS):
        self.broker, self.name = broker, name
        answer = settled(broker, "InitProducerId", 4, initialising(name, timeout))
        assert answer["ErrorCode"] == 0, answer
        self.id, self.epoch = answer["ProducerId"], answer["ProducerEpoch"]
        self.sequences = {}

    @property
    def now(self):
        """The producer id and epoch."""
        return self.id, self.epoch

    def add(self, topics, version=3):
        """Adds partitions; returns the answer."""
        body = adding(self.name, self.now, topics)
        return settled(self.broker, "AddPartitionsToTxn", version, body)

    def send(self, topic, partition=0, values=("a",), version=9):
        """Sends records of the transaction; returns the answer. Version 12 adds the partition."""
        sequence = self.sequences.get((topic, partition), 0)
        records = transactional_batch(self.now, sequence, values)
        body = request(self.broker, topic, records, partition, transaction=self.name)
        answer = settled(self.broker, "Produce", version, body)
        if not any(error_codes(answer)):
            self.sequences[topic, partition] = sequence + len(values)
        return answer

    def end(self, commits=True, version=4):
        """Ends the transaction and waits until its markers are written; follows the epoch of version 5."""
        answer = settled(self.broker, "EndTxn", version, ending(self.name, self.now, commits))
        if version >= 5 and answer["ErrorCode"] == 0 and answer["ProducerId"] >= 0:
            if (answer["ProducerId"], answer["ProducerEpoch"]) != self.now:
                self.sequences = {}
            self.id, self.epoch = answer["ProducerId"], answer["ProducerEpoch"]
        describe(self.broker, self.name)
        return answer
