"""What programs do that start a container of Kafka's: the command they force, the script they bring, what they wait for."""

from dataclasses import dataclass, field

# As their sources have it: the script is brought into the container that waits for it already.
WAIT = "while [ ! {tests} {script} ]; do sleep 0.1; done; {run}"
RUNNING = r".*Transitioning from RECOVERY to RUNNING.*"
STARTED = r".*\[KafkaServer id=\d+\] started.*"
RAFT_STARTED = r".*Kafka Server started.*"
# Not a line of the log: the port is open, seen from outside and, by a shell, from inside.
PORT_IS_OPEN = "the port is open"
# Not a line of the log either: the health check of the image succeeds.
IS_HEALTHY = "the container is healthy"


@dataclass
class Module:
    """One way to start a container. `script` is brought to `path`, and `command` waits for it; none is the image's own.

    `runs` is the command that writes the script, for modules that do not copy it, with SCRIPT for its text. `files` are
    copied into the container before it starts, `late_files` when it runs. `entrypoint` takes the place of the image's, and
    `user` is the one that the module forces.
    """

    name: str
    environment: dict = field(default_factory=dict)
    port: int = 9092
    waits_for: str = RUNNING
    command: list = field(default_factory=list)
    path: str = ""
    script: str = ""
    runs: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    late_files: dict = field(default_factory=dict)
    mode: int = 0o777
    script_comes_first: bool = False
    entrypoint: list = None
    user: str = ""


def module(name, shell, path, run, script, environment, tests="-f", **rest):
    """One that brings a script; `run` is how its command starts it, `tests` how it looks for it."""
    command = [shell, "-c", WAIT.format(tests=tests, script=path, run=run)]
    return Module(name, environment, command=command, path=path, script=script, **rest)
