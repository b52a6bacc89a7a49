"""kcat, the C tool on librdkafka, as people use it in a shell."""

import json
import subprocess

import pytest

PATIENCE_S = 30


def kcat(bootstrap, *arguments, stdin=""):
    """Runs kcat to its end; returns what it printed. A failure or a warning about missing features is an error."""
    command = ["kcat", "-b", bootstrap, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "does not support" not in done.stderr, done.stderr
    return done.stdout


def test_list_brokers_and_topics(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, stdin="a\n")
    listing = json.loads(kcat(bootstrap, "-L", "-J"))
    assert [broker["name"] for broker in listing["brokers"]] == [bootstrap]
    assert listing["controllerid"] == listing["brokers"][0]["id"]
    topics = {topic["topic"]: topic for topic in listing["topics"]}
    assert [partition["partition"] for partition in topics[name]["partitions"]] == [0]


def test_list_in_text(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, stdin="a\n")
    assert f'topic "{name}" with 1 partitions' in kcat(bootstrap, "-L", "-t", name)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_produce_compressed_and_consume(bootstrap, name, codec):
    lines = [f"{number} {codec * 20}" for number in range(200)]
    kcat(bootstrap, "-P", "-t", name, "-z", codec, stdin="\n".join(lines) + "\n")
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name).splitlines() == lines


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(bootstrap, name, acks):
    kcat(bootstrap, "-P", "-t", name, "-X", f"acks={acks}", stdin="a\nb\n")
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name).splitlines() == ["a", "b"]


def test_keys_headers_nulls(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, "-K:", "-H", "trace=1", "-Z", stdin="user-10:paid\ngone:\n")
    message = '{"key":"%k","length":%S,"headers":"%h"}\\n'
    lines = kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-f", message).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"key": "user-10", "length": 4, "headers": "trace=1"},
        {"key": "gone", "length": -1, "headers": "trace=1"},
    ]


def test_consume_from_offset_and_end(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, stdin="a\nb\nc\n")
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-o", "1").splitlines() == ["b", "c"]
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-o", "-1").splitlines() == ["c"]
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-o", "end") == ""


def test_query_offsets(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, stdin="a\nb\nc\n")
    assert kcat(bootstrap, "-Q", "-t", f"{name}:0:-1").split() == [name, "[0]", "offset", "3"]
    assert kcat(bootstrap, "-Q", "-t", f"{name}:0:-2").split() == [name, "[0]", "offset", "0"]
    first = kcat(bootstrap, "-C", "-c", "1", "-q", "-t", name, "-f", "%T").strip()
    assert kcat(bootstrap, "-Q", "-t", f"{name}:0:{first}").split() == [name, "[0]", "offset", "0"]


def test_consume_by_timestamp(bootstrap, name):
    kcat(bootstrap, "-P", "-t", name, stdin="a\n")
    stamp = int(kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-f", "%T").strip())
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-o", f"s@{stamp}").splitlines() == ["a"]
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name, "-o", f"s@{stamp + 1}") == ""


def test_group(bootstrap, name):
    """A group continues where it committed when it left."""
    group = ["-G", name, "-q", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000"]
    kcat(bootstrap, "-P", "-t", name, stdin="a\nb\n")
    assert kcat(bootstrap, *group, "-e", name).splitlines() == ["a", "b"]
    kcat(bootstrap, "-P", "-t", name, stdin="c\n")
    assert kcat(bootstrap, *group, "-e", name).splitlines() == ["c"]


def test_idempotent_producer(bootstrap, name):
    lines = [str(number) for number in range(1000)]
    kcat(bootstrap, "-P", "-t", name, "-X", "enable.idempotence=true", stdin="\n".join(lines) + "\n")
    assert kcat(bootstrap, "-C", "-e", "-q", "-t", name).splitlines() == lines
