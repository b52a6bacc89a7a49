"""Requests as bytes, without a client that tries again: what is answered, and how soon."""

import socket
import struct
import threading
import time

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, HEARTBEAT = 0, 1, 3, 10, 12
JOIN_GROUP, SYNC_GROUP, API_VERSIONS = 11, 14, 18
CREATE_TOPICS, DELETE_RECORDS = 19, 21
# COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
RETRIABLE = (14, 15, 16)
PROBE_EVERY_S = 0.1


def text(value):
    """A string, as old request versions have it."""
    return struct.pack(">h", len(value)) + value.encode()


def data(value):
    """Bytes, as old request versions have them."""
    return struct.pack(">i", len(value)) + value


def array(items):
    """An array of encoded items."""
    return struct.pack(">i", len(items)) + b"".join(items)


class Connection:
    """One connection that sends a request and waits for its answer."""

    def __init__(self, port, timeout_s=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, api, version, body=b""):
        """The answer's bytes behind the correlation id."""
        request = struct.pack(">hhi", api, version, 7) + text("probe") + body
        self.socket.sendall(struct.pack(">i", len(request)) + request)
        return self.read(struct.unpack(">i", self.read(4))[0])[4:]

    def read(self, count):
        """Exactly so many bytes."""
        parts = []
        while count:
            part = self.socket.recv(count)
            if not part:
                raise ConnectionError("closed by the broker")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def fetch(self, partition, offset, max_bytes=1 << 20):
        """Fetch v6 of one partition, without waiting: the error code, and the records' bytes."""
        topic, number = partition
        body = struct.pack(">iiiib", -1, 0, 1, max_bytes, 0)
        body += array([text(topic) + array([struct.pack(">iqqi", number, offset, -1, max_bytes)])])
        answer = self.call(FETCH, 6, body)
        at = 4 + 4 + 2 + len(topic) + 4
        code = struct.unpack_from(">h", answer, at + 4)[0]
        aborted = struct.unpack_from(">i", answer, at + 30)[0]
        at += 34 + max(aborted, 0) * 16
        return code, answer[at + 4 :]

    def produce(self, partition, batch, acks, timeout_ms):
        """Produce v3 of one batch: the error code and the base offset."""
        topic, number = partition
        body = struct.pack(">hhi", -1, acks, timeout_ms)
        body += array([text(topic) + array([struct.pack(">i", number) + data(batch)])])
        return struct.unpack_from(">hq", self.call(PRODUCE, 3, body), 4 + 2 + len(topic) + 4 + 4)

    def create_topic(self, topic, timeout_ms):
        """CreateTopics v2 of one partition: the error code."""
        body = array([text(topic) + struct.pack(">ih", 1, 1) + array([]) + array([])])
        answer = self.call(CREATE_TOPICS, 2, body + struct.pack(">ib", timeout_ms, 0))
        return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))[0]

    def delete_records(self, partition, offset, timeout_ms):
        """DeleteRecords v0 of what lies before an offset: the error code."""
        topic, number = partition
        body = array([text(topic) + array([struct.pack(">iq", number, offset)])]) + struct.pack(">i", timeout_ms)
        return struct.unpack_from(">h", self.call(DELETE_RECORDS, 0, body), 4 + 4 + 2 + len(topic) + 4 + 4 + 8)[0]

    def leader_epoch(self, topic):
        """Metadata v7 of one topic: the leader epoch of its first partition, or None while it is unknown."""
        answer = self.call(METADATA, 7, array([text(topic)]) + b"\0")

        def string(at):
            length = struct.unpack_from(">h", answer, at)[0]
            return at + 2 + max(length, 0)

        brokers, at = struct.unpack_from(">i", answer, 4)[0], 8
        for _ in range(brokers):
            at = string(string(at + 4) + 4)
        at = string(at) + 4 + 4
        code = struct.unpack_from(">h", answer, at)[0]
        if code:
            return None
        at = string(at + 2) + 1 + 4
        return struct.unpack_from(">hiii", answer, at)[3]

    def join(self, group):
        """Joins a group alone; the body of its heartbeats."""
        protocols = array([text("range") + data(b"")])
        body = text(group) + struct.pack(">i", 30_000) + text("") + text("consumer") + protocols
        # The first one makes the topic of the offsets, and its partition loads.
        while struct.unpack_from(">h", self.call(FIND_COORDINATOR, 0, text(group)))[0]:
            time.sleep(0.05)
        answer = self.call(JOIN_GROUP, 0, body)
        while struct.unpack_from(">h", answer)[0] in RETRIABLE:
            time.sleep(0.05)
            answer = self.call(JOIN_GROUP, 0, body)
        code, generation, length = struct.unpack_from(">hih", answer)
        if code:
            raise RuntimeError(f"JoinGroup: {code}")
        at = 8 + length
        member = answer[at + 2 : at + 2 + struct.unpack_from(">h", answer, at)[0]].decode()
        who = text(group) + struct.pack(">i", generation) + text(member)
        code = struct.unpack_from(">h", self.call(SYNC_GROUP, 0, who + array([text(member) + data(b"")])))[0]
        if code:
            raise RuntimeError(f"SyncGroup: {code}")
        return who


class Probe:
    """Asks the same ten times a second on a connection of its own, and remembers how long the answers took."""

    def __init__(self, name, ask):
        self.name = name
        self.ask = ask
        self.taken_ms = []
        self.errors = []
        self.asked_at = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Goes on until told to stop."""
        while not self.stopping.wait(PROBE_EVERY_S):
            self.asked_at = time.monotonic()
            try:
                wrong = self.ask()
            except (OSError, RuntimeError, struct.error) as error:
                wrong = repr(error)
            self.taken_ms.append((time.monotonic() - self.asked_at) * 1000)
            self.asked_at = None
            if wrong:
                self.errors.append(wrong)
                self.stopping.wait(1)

    def take(self):
        """The times since the last call, in milliseconds; a question that is not answered yet counts with its age."""
        pending = self.asked_at
        taken, self.taken_ms = self.taken_ms, []
        return [*taken, *([(time.monotonic() - pending) * 1000] if pending else [])]

    def stop(self):
        """Ends the asking."""
        self.stopping.set()
        self.thread.join()


def probes(port, cached, hot=None):
    """Probes of what needs no disk: ApiVersions, Metadata, a member's heartbeat, fetches of what is in the page cache."""

    def fetch(connection, partition):
        code, records = connection.fetch(partition, 0, max_bytes=100_000)
        return f"code {code}, {len(records)} bytes" if code or not records else None

    def simple(api, version, body=b"", code_at=None):
        connection = Connection(port)

        def ask():
            answer = connection.call(api, version, body)
            code = 0 if code_at is None else struct.unpack_from(">h", answer, code_at)[0]
            return f"code {code}" if code else None

        return ask

    member = Connection(port)
    heartbeat = member.join("probed")
    found = [
        Probe("ApiVersions", simple(API_VERSIONS, 0, code_at=0)),
        Probe("Metadata", simple(METADATA, 1, array([text(cached[0])]))),
        Probe("Heartbeat", lambda: beat(member, heartbeat)),
    ]
    for name, partition in [("Fetch of a quiet partition", cached), ("Fetch of a busy partition", hot)]:
        if partition:
            connection = Connection(port)
            found.append(Probe(name, lambda connection=connection, partition=partition: fetch(connection, partition)))
    return found


def late(taken_ms, bound_ms):
    """The answers that took longer, if they are more than half of them: others use this machine, but who waits for the disk
    waits each time."""
    found = [f"{taken:.0f} ms" for taken in taken_ms if taken > bound_ms]
    return found if len(found) > len(taken_ms) / 2 else []


def beat(connection, body):
    """What is wrong with the answer to a heartbeat."""
    code = struct.unpack_from(">h", connection.call(HEARTBEAT, 0, body))[0]
    return f"code {code}" if code else None


class Fetcher:
    """Fetches from a partition until told to stop, over new connections when the broker was killed."""

    def __init__(self, port, partition):
        self.port = port
        self.partition = partition
        self.reads = 0
        self.out_of_range = 0
        self.wrong = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        """Goes on until told to stop."""
        offset = 0
        while not self.stopping.is_set():
            try:
                connection = Connection(self.port, timeout_s=5)
                while not self.stopping.is_set():
                    offset = self.step(connection, offset)
            except OSError:
                time.sleep(0.02)

    def step(self, connection, offset):
        """One fetch; returns where to go on."""
        raise NotImplementedError

    def stop(self):
        """Ends the reading."""
        self.stopping.set()
        self.thread.join()
