"""A first suite for a classifier and images of somebody's: what they are is looked at, not asked."""

from robustbench_lite.suite.begin.look import Start, look
from robustbench_lite.suite.begin.words import job, suite

__all__ = ["Start", "job", "look", "suite"]
