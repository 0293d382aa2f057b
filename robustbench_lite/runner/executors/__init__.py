"""Who attacks: this process, several of this machine, workers of a cluster. Cells go in, reports come out."""

from robustbench_lite.runner.executors.base import Executor, Setup, apart
from robustbench_lite.runner.executors.local import Local
from robustbench_lite.runner.executors.pool import Pool
from robustbench_lite.runner.executors.ray import Ray

__all__ = ["Executor", "Local", "Pool", "Ray", "Setup", "apart"]
