"""What is asked of both brokers: each module's `talk` is one section, in the order of SECTIONS."""

from conversation import (
    cluster,
    commits,
    configs,
    fetch,
    groups,
    logs,
    metadata,
    offsets,
    produce,
    quotas,
    security,
    topics,
    wire,
)

SECTIONS = [wire, metadata, topics, produce, offsets, fetch, groups, commits, cluster, security, quotas, logs, configs]
