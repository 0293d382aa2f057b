"""Who does what next: the longest first, and what is loaded already where that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from robustbench_lite.runner.executors.schedule import finish, pick


@dataclass(frozen=True)
class Job:
    seconds: float
    classifiers: frozenset[str] = frozenset()


def jobs(*parts):
    return [Job(seconds, frozenset(names)) for seconds, names in parts]


@pytest.mark.parametrize(
    ("queue", "loaded", "elsewhere", "place"),
    [
        (jobs((9, "a"), (8, "b"), (5, "a")), {"b"}, set(), 1),  # loaded, and not much shorter
        (jobs((9, "a"), (4, "b")), {"b"}, set(), 0),  # much shorter: it would leave the longest to the end
        (jobs((9, "a"), (8, "b")), set(), {"a"}, 1),  # others have a, and will go on with it
        (jobs((9, "ab"), (8, "b"), (7, "a")), {"a"}, {"a"}, 2),
        (jobs((0, "a"), (0, "b")), {"b"}, set(), 1),  # nothing is known of their times
    ],
)
def test_pick(queue, loaded, elsewhere, place):
    assert pick(queue, loaded, elsewhere) == place


def test_the_end_is_that_of_the_last_worker():
    assert finish([], 4) == 0
    assert finish(jobs((3, "a"), (2, "a"), (2, "a")), 1, start=1) == 8
    assert finish(jobs((3, "a"), (2, "a"), (2, "a")), 2) == 4
    assert finish(jobs((3, "a"), (2, "a"), (2, "a")), 99, start=1) == 4


def test_a_classifier_is_loaded_once_by_each_worker_that_needs_it():
    work = jobs(*[(10, "a"), (10, "b")] * 4)
    assert finish(work, 2, lambda _: 1.0) == 41  # one does all of a, the other all of b
    assert finish(work, 1, lambda _: 1.0) == 82
    assert finish(work, 8, lambda _: 1.0) == 11
