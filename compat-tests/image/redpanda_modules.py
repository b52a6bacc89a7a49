"""The modules and compose files that start Redpanda's image."""

from contract import WAIT, Module, module

SERVER_STARTED = r".*Started Kafka API server.*"
SUCCESSFULLY = r".*Successfully started Redpanda!.*"
LISTENERS = (
    "--kafka-addr PLAINTEXT://0.0.0.0:29092,OUTSIDE://0.0.0.0:9092"
    " --advertise-kafka-addr PLAINTEXT://127.0.0.1:29092,OUTSIDE://localhost:9092"
)
START = "#!/bin/bash\n/usr/bin/rpk redpanda start"
DEV = "--mode dev-container --smp 1 --memory 1G"
CLUSTER_FILE = "# Injected by testcontainers\nsuperusers:\n  []\n\nauto_create_topics_enabled: true\n"
NODE_FILE = """# Injected by testcontainers
redpanda:
  admin:
    address: 0.0.0.0
    port: 9644
  kafka_api:
    - address: 0.0.0.0
      name: external
      port: 9092
      authentication_method: none
    - address: 0.0.0.0
      name: internal
      port: 9093
      authentication_method: none
  advertised_kafka_api:
    - address: localhost
      name: external
      port: 9092
    - address: 127.0.0.1
      name: internal
      port: 9093
schema_registry:
  schema_registry_api:
  - address: "0.0.0.0"
    name: main
    port: 8081
    authentication_method: none
schema_registry_client:
  brokers:
    - address: localhost
      port: 9093
"""
FILES = {"/etc/redpanda/.bootstrap.yaml": CLUSTER_FILE}
LATE_FILES = {"/etc/redpanda/redpanda.yaml": NODE_FILE}
WAIT_FOR_FILE = """#!/usr/bin/env bash
until grep -q "# Injected by testcontainers" "/etc/redpanda/redpanda.yaml"
do
  sleep 0.1
done
exec /entrypoint.sh $@"""
PYTHON = "/var/lib/redpanda/tc-start.sh"
NODE = "/testcontainers_start.sh"
DOTNET = "/testcontainers.sh"
QUARKUS = "/var/lib/redpanda/redpanda.sh"
MODULES = [
    Module(
        "Redpanda, Java", entrypoint=["/entrypoint-tc.sh"], waits_for=SUCCESSFULLY, user="root",
        command=["redpanda", "start", "--mode=dev-container", "--smp=1", "--memory=1G"],
        files={"/entrypoint-tc.sh": WAIT_FOR_FILE, **FILES}, late_files=LATE_FILES,
    ),
    Module(
        "Redpanda, Python", entrypoint=["sh"], waits_for=SERVER_STARTED,
        command=["-c", WAIT.format(tests="-f", script=PYTHON, run=f"sh {PYTHON}")],
        path=PYTHON, script=f"{START} {DEV} {LISTENERS}",
    ),
    Module(
        "Redpanda, Node", entrypoint=["sh"], waits_for=SUCCESSFULLY, user="root",
        command=["-c", "echo 'Waiting for script...'; " + WAIT.format(tests="-f", script=NODE, run=NODE)],
        path=NODE, script="#!/bin/bash\nrpk redpanda start --mode dev-container --smp=1 --memory=1G",
        files=FILES, late_files=LATE_FILES, script_comes_first=True,
    ),
    module(
        "Redpanda, .NET", "/bin/sh", DOTNET, DOTNET, f"{START} {DEV} {LISTENERS}", {}, waits_for=SERVER_STARTED,
        mode=0o755,
    ),
    module(
        "Redpanda, Quarkus", "sh", QUARKUS, f"sleep 0.1; {QUARKUS}",
        f"{START} --check=false --node-id 0 --smp 1 --memory 1G --overprovisioned --reserve-memory 0M {LISTENERS} "
        "--set redpanda.auto_create_topics_enabled=true --set redpanda.enable_idempotence=true "
        "--set redpanda.enable_transactions=true ", {}, waits_for=SERVER_STARTED,
    ),
    Module(
        "Redpanda, the compose file of its quickstart", port=19092, waits_for=SUCCESSFULLY,
        command=[
            "redpanda start", "--kafka-addr internal://0.0.0.0:9092,external://0.0.0.0:19092",
            "--advertise-kafka-addr internal://kafka:9092,external://localhost:19092",
            "--pandaproxy-addr internal://0.0.0.0:8082", "--schema-registry-addr internal://0.0.0.0:8081",
            "--rpc-addr kafka:33145", "--advertise-rpc-addr kafka:33145", "--mode dev-container", "--smp 1",
            "--default-log-level=info",
        ],
    ),
]  # fmt: skip
NOT_SERVED = [
    "Redpanda, Go: it waits for the schema registry, the HTTP proxy and the admin API, ports 8081, 8082 and 9644",
]
