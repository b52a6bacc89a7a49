"""Frames, headers, versions: what a connection does with input that is no request it serves."""

import struct

HUGE = struct.pack(">i", 0x7FFFFFFF)


def talk(broker):
    """Runs the section."""
    api_versions(broker)
    unserved(broker)
    frames(broker)
    bodies(broker)


def api_versions(broker):
    """The table itself, and bad requests for it."""
    software = {"ClientSoftwareName": "oracle", "ClientSoftwareVersion": "1.0"}
    for version in broker.versions("ApiVersions", 3):
        answer = broker.main.ask("ApiVersions", version, software)
        features = {key: answer.pop(key) for key in list(answer) if "eature" in key or key.startswith("Zk")}
        broker.note(f"table, v{version}", answer)
        if features:
            broker.note(f"features, v{version}", features)
    broker.ask("unsupported version", "ApiVersions", 99, b"")
    broker.ask("still usable after an unsupported version", "Metadata", 1, {"Topics": []})
    for name, bad in (("empty", ""), ("space", "a b"), ("dash first", "-a"), ("good", "a.b-c")):
        broker.ask_alone(f"software name {name}", "ApiVersions", 3, {**software, "ClientSoftwareName": bad})
    broker.ask_alone("software version bad", "ApiVersions", 3, {**software, "ClientSoftwareVersion": "1.0 (x)"})


def unserved(broker):
    """Unknown keys and versions."""
    header = struct.pack(">hhih", 999, 0, 1, -1)
    broker.note("unknown key", close_of(broker, header))
    broker.note("negative key", close_of(broker, struct.pack(">hhih", -1, 0, 1, -1)))
    for api in sorted(broker.ranges):
        first, last = broker.ranges[api]
        if api != "ApiVersions":
            key = broker.messages[f"{api}Request"].key
            broker.note(f"{api} above its range", close_of(broker, struct.pack(">hhih", key, last + 1, 1, -1)))
            broker.note(f"{api} version -1", close_of(broker, struct.pack(">hhih", key, -1, 1, -1)))


def close_of(broker, frame, length=None):
    """What comes back for a frame on a connection of its own."""
    connection = broker.connect()
    size = len(frame) if length is None else length
    answer = connection.is_closed_after(struct.pack(">i", size) + frame)
    connection.close()
    return answer


def frames(broker):
    """Lengths that are no lengths, and other protocols."""
    broker.note("negative length", close_of(broker, b"", -1))
    broker.note("length above the limit", close_of(broker, b"abcd", 200_000_000))
    broker.note("length 0", close_of(broker, b""))
    for size in (1, 3, 7, 9):
        broker.note(f"frame of {size} bytes", close_of(broker, b"\0" * size))
    http = broker.connect()
    broker.note("HTTP", http.is_closed_after(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    tls = broker.connect()
    broker.note("TLS", tls.is_closed_after(bytes.fromhex("160301020001000 1fc0303".replace(" ", "")) + b"\0" * 508))


def bodies(broker):
    """Bodies that end early, lie about their lengths or go on after their end."""
    broker.wait_for_coordinator("wire")
    good = broker.messages["MetadataRequest"].encode(1, {"Topics": [{"Name": "wire"}]})
    broker.ask_alone("truncated body", "Metadata", 1, good[:-2])
    broker.ask_alone("empty body", "Metadata", 1, b"")
    broker.ask_alone("array count huge", "Metadata", 1, HUGE)
    broker.ask_alone("array count -2", "Metadata", 1, struct.pack(">i", -2))
    broker.ask_alone("compact array count huge", "Metadata", 12, b"\xff\xff\xff\xff\x0f")
    broker.ask_alone("varint too long", "Metadata", 12, b"\xff\xff\xff\xff\xff\x01")
    broker.ask_alone("string length past the end", "Metadata", 1, struct.pack(">ih", 1, 9000) + b"abc")
    broker.ask_alone("string length -2", "Metadata", 1, struct.pack(">ih", 1, -2))
    broker.ask_alone("null for a name", "Metadata", 1, struct.pack(">ih", 1, -1))
    broker.ask_alone("name is no UTF-8", "FindCoordinator", 0, struct.pack(">h", 2) + b"\xff\xfe")
    broker.ask_alone("bytes after the body", "Metadata", 1, struct.pack(">i", 0) + b"more")
    broker.ask_alone("null client id", "Metadata", 1, {"Topics": []}, client=None)
    broker.ask_alone("empty client id", "Metadata", 1, {"Topics": []}, client="")
    tags = broker.messages["MetadataRequest"].encode(12, {"Topics": []})[:-1]
    broker.ask_alone("unknown tagged field", "Metadata", 12, tags + b"\x01\x63\x02hi")
    broker.ask_alone("tagged fields out of order", "Metadata", 12, tags + b"\x02\x63\x00\x62\x00")
    broker.ask_alone("tagged field twice", "Metadata", 12, tags + b"\x02\x63\x00\x63\x00")
