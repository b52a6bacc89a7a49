"""What is asked of both brokers: each module's `talk` is one section, in the order of SECTIONS."""

from conversation import cluster, commits, fetch, groups, metadata, offsets, produce, topics, wire

SECTIONS = [wire, metadata, topics, produce, offsets, fetch, groups, commits, cluster]
