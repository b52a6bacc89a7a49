"""The form of the steps' files, and one run of their steps against one broker.

    # A comment.
    $ TOOL ARGUMENTS          runs a tool, which ends with status 0; `$1` one that ends with status 1
    ... < TEXT                ... and reads TEXT, in which \\n begins a line and \\t is a tab
    ... ~ TEXT                ... again and again until it prints TEXT
    ... | TEXT                ... and only the lines that hold TEXT are compared
    & NAME TOOL ARGUMENTS     starts a tool that runs until `stop NAME` (by SIGTERM), `wait NAME` (by itself) or `kill NAME`
    file NAME TEXT            writes a file into the directory in which the tools run
    restart                   kills the broker with SIGKILL and starts it again

`{bootstrap}` is the broker's address; a tool whose arguments do not hold it gets `--bootstrap-server`, unless it asks no broker.
`{id:TOPIC}` is a topic's id, if a step has printed it, `{data}` the broker's log directory, and `{here}` where the tools run.
"""

import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass

from comparable import comparable
from programs import LOCAL, PATIENCE_S

AGAIN_S = 0.5
TOPIC_ID = re.compile(r"Topic: (\S+)\s+TopicId: (\S+)")


@dataclass
class Step:
    """One line of a steps' file. `kind` is its first word; `status` the exit status that a tool must have."""

    name: str
    kind: str
    words: list
    text: str = ""
    until: str = ""
    only: str = ""
    status: int | None = None

    @property
    def noted(self):
        """Whether the step's output is compared."""
        return self.kind in ("$", "stop", "wait")


def take(words, operator):
    """Takes `operator` and the word after it out of a command line; returns that word, or nothing."""
    if operator not in words:
        return ""
    at = words.index(operator)
    _, value = words[at], words[at + 1]
    del words[at : at + 2]
    return value.replace("\\n", "\n").replace("\\t", "\t")


def read_steps(path):
    """The steps of a file. Equal command lines are told apart by a number."""
    steps, seen = [], {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, rest = line.partition(" ")
        seen[line] = seen.get(line, 0) + 1
        name = (rest if kind[0] == "$" else line) + (f" ({seen[line]})" if seen[line] > 1 else "")
        if kind == "file":
            file, _, content = rest.partition(" ")
            steps.append(Step(name, kind, [file, content]))
            continue
        words = shlex.split(rest)
        text, until, only = (take(words, operator) for operator in ("<", "~", "|"))
        step = Step(name, kind[0] if kind[0] == "$" else kind, words, text, until, only)
        step.status = int(kind[1:] or 0) if kind[0] == "$" else None
        steps.append(step)
    return steps


class Run:
    """Runs steps against one broker. `notes` are what they printed, made comparable: step -> (lines, exit status)."""

    def __init__(self, broker, programs):
        self.broker = broker
        self.programs = programs
        self.directory = programs.directory
        self.running = {}
        self.topic_ids = {}
        self.notes = {}

    def all(self, steps):
        """Runs the steps in their order."""
        kinds = {"$": self.run, "&": self.start, "stop": self.stop, "wait": self.wait}
        kinds |= {"file": self.write, "restart": self.restart, "kill": self.kill}
        for step in steps:
            kinds[step.kind](step)

    def filled(self, text):
        """A text with what stands in braces filled in."""
        places = {"bootstrap": self.broker.bootstrap, "data": self.broker.data, "here": self.directory}
        for name, place in places.items():
            text = text.replace(f"{{{name}}}", str(place))
        return re.sub(r"\{id:(\S+?)\}", lambda match: self.topic_ids.get(match[1], "no-such-topic-seen"), text)

    def arguments(self, tool, words):
        """A tool's arguments, with the broker's address."""
        addressed = tool in LOCAL or any("{bootstrap}" in word for word in words)
        return [*map(self.filled, words), *([] if addressed else ["--bootstrap-server", self.broker.bootstrap])]

    def note(self, step, command, output, status):
        """Notes what a command line printed."""
        self.topic_ids.update(TOPIC_ID.findall(output))
        lines = comparable(command, output, self.broker, self.directory)
        self.notes[step.name] = ([line for line in lines if step.only in line], status)

    def run(self, step):
        """Runs a tool, again until it prints what the step waits for."""
        tool, *words = step.words
        deadline = time.monotonic() + PATIENCE_S
        while True:
            output, status = self.programs.run(tool, self.arguments(tool, words), self.filled(step.text))
            if step.until in output or time.monotonic() > deadline:
                break
            time.sleep(AGAIN_S)
        self.note(step, step.words, output, status)

    def start(self, step):
        """Starts a tool that other steps run beside."""
        name, tool, *words = step.words
        self.running[name] = [tool, *words], self.programs.start(tool, self.arguments(tool, words))

    def stop(self, step):
        """Stops a tool as a person does, and notes all that it printed."""
        self.running[step.words[0]][1].send_signal(signal.SIGTERM)
        self.wait(step)

    def kill(self, step):
        """Ends a tool with SIGKILL; what it printed up to then is nobody's business."""
        _, process = self.running.pop(step.words[0])
        process.kill()
        process.communicate()

    def wait(self, step):
        """Waits for a tool's own end, and notes all that it printed."""
        command, process = self.running.pop(step.words[0])
        try:
            output, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0] + f"\nkilled after {PATIENCE_S} s"
        self.note(step, command, output, None)

    def write(self, step):
        """Writes a file for the tools to read."""
        name, content = step.words
        (self.directory / name).write_text(self.filled(content).replace("\\n", "\n") + "\n")

    def restart(self, _step):
        """Kills the broker and starts it on the same data."""
        self.broker.kill()
        self.broker.start()

    def close(self):
        """Ends what still runs, and removes what it wrote."""
        for _, process in self.running.values():
            process.kill()
            process.communicate()
        self.programs.empty_directory()
