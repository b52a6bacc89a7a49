"""Record batches (magic 2), good and deliberately wrong, and what a fetched batch looks like."""

import gzip
import struct

HEADER = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4, "append time": 8, "transactional": 16, "control": 32}
START_MS = 1_700_000_000_000


def crc_table():
    """The table of CRC-32C (Castagnoli)."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    """The CRC-32C of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    """The bytes of a signed varint."""
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(content):
    """A nullable field of a record."""
    return zigzag(-1) if content is None else zigzag(len(content)) + content


def record(delta, key, value, headers=(), time_delta=None):
    """The bytes of one record, ten milliseconds after the one before it."""
    body = b"\0" + zigzag(10 * delta if time_delta is None else time_delta) + zigzag(delta) + sized(key) + sized(value)
    body += zigzag(len(headers)) + b"".join(sized(name) + sized(content) for name, content in headers)
    return zigzag(len(body)) + body


def batch(values=("a",), keys=None, codec=None, payload=None, **wrong):
    """A batch of string values. `wrong` sets header fields by name; `payload` replaces the encoded records."""
    records = b"".join(
        record(delta, keys[delta].encode() if keys else None, None if value is None else value.encode())
        for delta, value in enumerate(values)
    )
    if codec == "gzip":
        records = gzip.compress(records, mtime=0)
    records = records if payload is None else payload
    start = wrong.get("base_timestamp", START_MS)
    tail = struct.pack(
        ">hiqqqhii",
        wrong.get("attributes", 0) | (ATTRIBUTES[codec] if codec else 0),
        wrong.get("last_offset_delta", len(values) - 1),
        start,
        wrong.get("max_timestamp", start + 10 * (len(values) - 1)),
        wrong.get("producer_id", -1),
        wrong.get("producer_epoch", -1),
        wrong.get("base_sequence", -1),
        wrong.get("count", len(values)),
    )
    crc = wrong.get("crc", crc32c(tail + records))
    length = wrong.get("length", 9 + len(tail) + len(records))
    head = struct.pack(
        ">qiibI", wrong.get("base_offset", 0), length, wrong.get("leader_epoch", -1), wrong.get("magic", 2), crc
    )
    return head + tail + records


def legacy(magic):
    """A message of the old formats 0 and 1."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", START_MS) if magic else b"") + struct.pack(">ii", -1, -1)
    return struct.pack(">qiI", 0, len(body) + 4, 0) + body


def describe(records):
    """The header fields of fetched batches; bytes of an incomplete last one are counted."""
    found = []
    while records:
        size = 12 + struct.unpack(">i", records[8:12])[0] if len(records) >= HEADER.size else HEADER.size
        if len(records) < size:
            return found + [{"incomplete": len(records)}]
        base, length, _, magic, _, attributes, last, first_ms, max_ms, producer, epoch, sequence, count = HEADER.unpack(
            records[: HEADER.size]
        )
        found.append(
            {
                "baseOffset": base,
                "length": length,
                "magic": magic,
                "attributes": attributes,
                "lastOffsetDelta": last,
                "timestamps": [first_ms, max_ms],
                "ProducerId": producer,
                "producer": [epoch, sequence],
                "count": count,
                "crcIsRight": struct.unpack(">I", records[17:21])[0] == crc32c(records[21:size]),
            }
        )
        records = records[size:]
    return found
