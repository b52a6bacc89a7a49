"""A JVM in which Kafka's command-line tools run one after another."""

import select
import subprocess
from base64 import b64decode, b64encode

from harness.toolchains import java_tests_classpath

# How long after a tool's own time the JVM may take to tell that it is over.
BEYOND_S = 30


def host_command(*options):
    """The command line of a host, with options of its JVM."""
    return ["java", *options, "-cp", java_tests_classpath(appended=True), "klamm.ToolHost"]


class ToolHost:
    """A process of `klamm.ToolHost`, whose class tells how it is spoken to."""

    def __init__(self, command, directory=None, environment=None, patience_s=60):
        """The tools run in a directory, with an environment, for at most `patience_s` each."""
        self.patience_s = patience_s
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=directory, env=environment)

    def run(self, main_class, arguments, text):
        """Runs a tool; returns its output, its exit status, and whether this JVM can run others."""
        words = [str(self.patience_s), main_class, text, *map(str, arguments)]
        self.process.stdin.write(b"\t".join(b64encode(word.encode()) for word in words) + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], self.patience_s + BEYOND_S)
        answer = self.process.stdout.readline().split(b"\t") if ready else []
        if len(answer) != 3:
            self.close()
            raise RuntimeError(f"the JVM that ran {main_class} {' '.join(words[3:])} is gone: {answer}")
        status, goes_on = int(answer[0]), answer[1] == b"again"
        # As the pipe of a process of its own reads it.
        output = b64decode(answer[2]).decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
        if status == -9:
            output += f"\nkilled after {self.patience_s} s"
        if not goes_on:
            self.close()
        return output, status, goes_on

    def close(self):
        """Ends the JVM."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
