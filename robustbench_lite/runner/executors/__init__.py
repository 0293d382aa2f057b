"""Who attacks: this process, several processes of this machine. Each is given cells and yields what became of them."""

from robustbench_lite.runner.executors.base import Executor, Setup
from robustbench_lite.runner.executors.local import Local
from robustbench_lite.runner.executors.pool import Pool

__all__ = ["Executor", "Local", "Pool", "Setup"]
