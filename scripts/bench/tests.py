"""Tests of what is made of the measurements: ranges, verdicts, and how many rounds are run. Prints `N passed, M failed`."""

import sys
import unittest
from types import SimpleNamespace

sys.dont_write_bytecode = True

import administration  # noqa: E402
import clients  # noqa: E402
import judgement  # noqa: E402
import ladders  # noqa: E402
import ranges  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
from participants import AGAIN, KAFKA, KLAMM  # noqa: E402
from scenarios import SCENARIOS, Scenario, at_least, at_most  # noqa: E402


def scenario(*targets, metrics=("mb_s",), **fields):
    """One that is judged and never run."""
    return Scenario("0", "none", "no scenario", None, metrics, targets, **fields)


def figures(kafka, klamm, again, metric="mb_s"):
    """A round's results."""
    return {KAFKA: {metric: kafka}, KLAMM: {metric: klamm}, AGAIN: {metric: again}}


def verdict(target, found):
    """The verdict on the scenario's only target."""
    return judgement.judge(scenario(target), found)["targets"][0]["verdict"]


class Ranges(unittest.TestCase):
    def test_the_range_holds_the_median_and_what_it_may_be(self):
        median, low, high = ranges.median_range([1, 2, 3, 4, 100])
        self.assertEqual(median, 3)
        self.assertTrue(1 <= low < 3 < high <= 100)

    def test_equal_values_leave_no_range_and_none_leave_nothing(self):
        self.assertEqual(ranges.median_range([7, 7, 7]), (7, 7, 7))
        self.assertIsNone(ranges.median_range([]))

    def test_a_ratio_leaves_out_void_rounds(self):
        found = [figures(2, 4, 4), {KAFKA: {"void": "gone"}, KLAMM: {"mb_s": 4}}]
        self.assertEqual(ranges.ratios(found, "mb_s", KLAMM, KAFKA), [2])

    def test_an_exponent_is_that_of_the_power(self):
        points = [{"n": n, "cpu": 3 * n**1.5} for n in (1, 10, 100)]
        self.assertAlmostEqual(ladders.exponent(points, "cpu"), 1.5)


class Verdicts(unittest.TestCase):
    def test_the_worse_end_of_the_range_decides(self):
        steady = [figures(100, 200, 200)] * 9
        self.assertEqual(verdict(at_least("mb_s", 1.5), steady), "met")
        self.assertEqual(verdict(at_most("mb_s", 1.5), steady), "missed")
        wavering = [figures(100, 140, 140), figures(100, 200, 200), figures(100, 201, 201)] * 3
        self.assertEqual(verdict(at_least("mb_s", 1.5), wavering), "missed")

    def test_runs_of_one_broker_that_differ_leave_it_open(self):
        self.assertEqual(verdict(at_least("mb_s", 1.5), [figures(100, 200, 170)] * 9), "INCONCLUSIVE")

    def test_a_void_turn_voids_the_row(self):
        broken = {**figures(100, 200, 200), KAFKA: {"void": "gone"}}
        self.assertEqual(verdict(at_least("mb_s", 1.5), [figures(100, 200, 200), broken]), "VOID")

    def test_a_client_at_its_limit_excuses_throughput_alone(self):
        busy = {"broker_busy": 0.5, "client_busy": 1.0}
        found = [{name: {**turn, **busy} for name, turn in figures(100, 110, 110).items()}] * 9
        self.assertEqual(verdict(at_least("mb_s", 1.5, or_client_bound=True), found), "client-bound")
        self.assertEqual(verdict(at_least("mb_s", 1.5), found), "missed")


class Rounds(unittest.TestCase):
    def count(self, again, least=2, most=6, **fields):
        """How many rounds are run when Klamm makes 100 and then `again` in each."""
        judged, found = scenario(at_least("mb_s", 1.5), **fields), []
        while rounds.is_another_due(judged, found, SimpleNamespace(rounds=least, most_rounds=most)):
            found.append(figures(50, 100, again))
        return len(found)

    def test_the_least_is_enough_where_two_runs_agree(self):
        self.assertEqual(self.count(again=101), 2)

    def test_it_goes_on_to_the_most_where_they_do_not(self):
        self.assertEqual(self.count(again=150), 6)

    def test_a_scenario_may_allow_fewer(self):
        self.assertEqual(self.count(again=150, most_rounds=1), 1)

    def test_what_has_no_target_need_not_agree(self):
        judged = scenario(at_least("mb_s", 1.5), metrics=("mb_s", "p99_us"))
        found = [{name: {"mb_s": 100, "p99_us": us} for name, us in ((KAFKA, 1), (KLAMM, 1), (AGAIN, 9))}]
        self.assertTrue(judgement.is_settled(judged, found))


class Rows(unittest.TestCase):
    def test_names_are_unique_and_what_is_judged_is_measured_and_has_a_unit(self):
        names = [row.name for row in SCENARIOS]
        self.assertEqual(len(names), len(set(names)))
        for row in SCENARIOS:
            self.assertEqual([metric for metric in row.metrics if metric not in report.UNITS], [], row.name)
            self.assertEqual([target.metric for target in row.targets if target.metric not in row.metrics], [], row.name)


class Broker:
    """Answers every request at once, with one error code for all topics."""

    def __init__(self, code=0):
        self.code, self.asked = code, []

    def ask(self, api, _version, body):
        """The answer to CreateTopics or DeleteTopics."""
        names = [topic["Name"] for topic in body["Topics"]] if api == "CreateTopics" else body["TopicNames"]
        self.asked.append((api, names))
        answers = [{"Name": name, "ErrorCode": self.code} for name in names]
        return {"Topics": answers, "Responses": answers}


class Administration(unittest.TestCase):
    def test_many_topics_are_created_in_pieces(self):
        broker = Broker()
        names = administration.fill(broker, "t", administration.AT_ONCE + 1)
        self.assertEqual([len(asked) for _, asked in broker.asked], [administration.AT_ONCE, 1])
        self.assertEqual([name for _, asked in broker.asked for name in asked], names)
        self.assertEqual(len(set(names)), administration.AT_ONCE + 1)

    def test_a_refusal_voids_the_round(self):
        self.assertRaises(clients.Void, administration.created, Broker(code=36), ["t"])
        self.assertRaises(clients.Void, administration.deleted, Broker(code=3), ["t"])
        self.assertGreaterEqual(administration.created(Broker(), ["t"]), 0)

    def test_words_are_of_one_size_and_always_the_same(self):
        lines = clients.words(100, 50)
        self.assertEqual({len(line) for line in lines}, {100})
        self.assertEqual(lines, clients.words(100, 50))
        self.assertGreater(len(set(lines)), 40)


if __name__ == "__main__":
    outcome = unittest.main(exit=False, verbosity=1).result
    failed = len(outcome.failures) + len(outcome.errors)
    print(f"{outcome.testsRun - failed} passed, {failed} failed")
    sys.exit(failed != 0)
