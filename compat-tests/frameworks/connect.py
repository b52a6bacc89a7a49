"""A distributed Connect worker, and what it is asked for."""

import json
import urllib.request

from programs import until


def worker_properties(bootstrap, port, properties, topics):
    """The text of a worker's properties file: what every worker here needs, `properties`, and the configs of its `topics`."""
    properties = {
        "bootstrap.servers": bootstrap,
        "group.id": "connect",
        "listeners": f"http://127.0.0.1:{port}",
        "reconnect.backoff.max.ms": "100",
        **properties,
    }
    for kind in ("config", "offset", "status"):
        properties[f"{kind}.storage.topic"] = f"connect-{kind}"
        properties[f"{kind}.storage.replication.factor"] = "1"
        if kind != "config":
            properties[f"{kind}.storage.partitions"] = "1"
        properties |= {f"{kind}.storage.{key}": value for key, value in topics.items()}
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def put_connector(port, name, log, **config):
    """Creates a connector, as soon as the worker answers."""
    body = json.dumps({"tasks.max": "1", **{key.replace("_", "."): value for key, value in config.items()}}).encode()
    url = f"http://127.0.0.1:{port}/connectors/{name}/config"

    def is_taken():
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status in (200, 201)
        except OSError:
            return False

    until(is_taken, lambda: f"the worker does not take {name}", log)
