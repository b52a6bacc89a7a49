"""Runs a scenario: everyone in turn, in alternating order, round after round."""

import os

import judgement
import machine
from clients import Void
from participants import AGAIN, KAFKA, KLAMM, participant
from trials import Trial


def say(text):
    """Progress, for who watches."""
    print(text, flush=True)


class Field:
    """The participants of one scenario, in one directory on one disk; only one of them runs at a time."""

    def __init__(self, scenario, directory, settings):
        self.scenario, self.settings = scenario, settings
        names = [*([] if scenario.by_itself else [KAFKA]), KLAMM, AGAIN, *scenario.floors]
        self.members = {name: participant(name, directory) for name in names if name not in settings.without}

    def __enter__(self):
        for member in self.members.values():
            member.wipe()
            member.prepare()
            if not self.scenario.fresh:
                member.launch()
                member.pause()
        return self

    def __exit__(self, *_):
        for member in self.members.values():
            member.kill()
            member.wipe()

    def turn(self, name, number, action):
        """One participant's turn: what `action` measured, or why it is void."""
        member = self.members[name]
        trial = Trial(self.scenario, member, number, self.settings.scale)
        if not self.scenario.fresh:
            member.resume()
        try:
            result = action(trial) or {}
        except Void as reason:
            result = {"void": str(reason)}
        if not self.scenario.fresh:
            member.pause()
        return result

    def warm_up(self):
        """The setup, and turns that do not count: the first ones pay for compilation, connections and new files."""
        for name in self.members:
            if self.scenario.setup:
                result = self.turn(name, -1, self.scenario.setup)
                if "void" in result:
                    raise RuntimeError(f"{name}: {result['void']}")
            # A process that starts anew each round has nothing to warm.
            turns = 0 if self.scenario.fresh else self.settings.warm_ups if name == KAFKA else 1
            for number in range(turns):
                self.turn(name, -2 - number, self.scenario.run)

    def order(self, number):
        """Who comes when: forward in even rounds, backward in odd ones."""
        names = list(self.members)
        return names if number % 2 == 0 else names[::-1]

    def round(self, number):
        """Everyone once: name -> what was measured."""
        load = os.getloadavg()[0]
        results = {name: self.turn(name, number, self.scenario.run) for name in self.order(number)}
        figures = "  ".join(f"{name} {headline(self.scenario, results[name])}" for name in self.members)
        say(f"  round {number + 1} (load {load:.2f}): {figures}")
        return results


def headline(scenario, result):
    """A round's first figure."""
    if "void" in result:
        return f"VOID ({result['void'][-300:]})"
    return f"{result[scenario.metrics[0]]:.1f}"


def run(scenario, directory, settings):
    """All rounds of a scenario, as a list of name -> metric -> figure."""
    say(f"row {scenario.row}, {scenario.name}: {scenario.title}")
    machine.pre_touch(directory, scenario.pre_touch_bytes(settings.scale))
    with Field(scenario, directory, settings) as field:
        field.warm_up()
        found = []
        while is_another_due(scenario, found, settings):
            found.append(field.round(len(found)))
        return found


def is_another_due(scenario, found, settings):
    """Whether a round has to follow those found: there are too few, or two runs of Klamm do not agree yet.

    How Klamm compares with others does not enter into it, so that going on favours nobody.
    """
    least, most = (min(limit, scenario.most_rounds) for limit in (settings.rounds, settings.most_rounds))
    return len(found) < least or (len(found) < most and not judgement.is_settled(scenario, found))
