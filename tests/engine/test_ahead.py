"""On a GPU every question to the device is a wait: how many a step asks, and that leaving them out changes nothing.

There need not be a GPU: what an oracle does `ahead` of its device is the same anywhere.
"""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robustbench_lite.engine.attack import StepAttack, attacks
from robustbench_lite.engine.clock import Clock
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU, images, mlp

ASKING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::masked_select"}
ASKING |= {"aten::repeat_interleave.Tensor", "aten::_unique2"}
SHORT = {"steps": 4, "n_queries": 30, "targets": 2, "search_steps": 2, "draws": 3}
FIXED = {
    "apgd": {"loss": "dlr_targeted"},
    "lbfgs": {"targets": 1},
    "spatial": {"search": "first_order", "steps": 4},
    "pgd": {"restarts": 2},
}
STEPPING = [name for name in attacks if issubclass(attacks[name], StepAttack) and attacks[name].needs is None]


class Questions(TorchDispatchMode):
    """Counts what a processor cannot go on without an answer to."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        where = args[1] if func.name().startswith("aten::index") and isinstance(args[1], list) else ()
        masks = any(part is not None and part.dtype == torch.bool for part in where)
        self.count += masks or func.name().removesuffix(".default") in ASKING
        return func(*args, **(kwargs or {}))


def job(net, n: int) -> Job:
    x = images(n)
    return Job(x, Goal(net(x).argmax(1), 5), Draw(keys(0, "", [str(i) for i in range(n)])))


def drive(record, net, n: int, *, ahead: bool = True):
    work, oracle = job(net, n), Oracle(net, CPU, n)
    oracle.ahead = ahead
    with Questions() as questions:
        outcome = run(record, oracle, work)
    return outcome, questions.count


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize(("name", "most"), [("mifgsm", 1), ("pgd", 2), ("square", 2), ("apgd", 4)])
def test_a_step_asks_the_device_as_little_as_this_whatever_the_batch(name, most, n):
    steps = "n_queries" if name == "square" else "steps"
    counts = [drive(attacks.build(name, {steps: k, "epsilon": 1e-5}), mlp(), n)[1] for k in (12, 32)]
    assert (counts[1] - counts[0]) / 20 <= most + 0.5  # halved steps, checkpoints and the like are no step each


def test_one_step_asks_nothing():
    assert drive(attacks.build("fgsm"), mlp(), 40)[1] == 0


class Rough(torch.nn.Module):
    """Not finite for some images, and without a gradient for others."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        logits = torch.where(first < 0.3, self.inner(x).detach() + 0 * self.inner(x), self.inner(x))
        return torch.where(first > 0.9, float("nan") * logits, logits)


@pytest.mark.parametrize("name", STEPPING)
@pytest.mark.parametrize("net", [mlp(), Rough().eval()], ids=["smooth", "rough"])
def test_going_ahead_of_the_device_changes_no_bit(name, net):
    params = {key: value for key, value in SHORT.items() if key in attacks[name].model_fields} | FIXED.get(name, {})
    record = attacks.build(name, params)
    (one, asked), (other, fewer) = (drive(record, net, 24, ahead=ahead) for ahead in (False, True))
    assert fewer < asked
    assert torch.equal(one.candidates, other.candidates)
    assert torch.equal(one.ledger.counts, other.ledger.counts)
    assert torch.equal(one.status, other.status)
    assert torch.equal(one.found.nan_to_num(), other.found.nan_to_num())


class Queue:
    """A device whose marks are 2 ms apart, and which says how often somebody waited for it."""

    def __init__(self) -> None:
        self.at, self.waits = 0.0, 0

    def mark(self):
        self.at += 2.0
        return Mark(self, self.at)


class Mark:
    def __init__(self, queue: Queue, time: float) -> None:
        self.queue, self.time = queue, time

    def synchronize(self) -> None:
        self.queue.waits += 1

    def elapsed_time(self, end: Mark) -> float:
        return end.time - self.time


def test_passes_on_a_device_are_timed_without_waiting_for_it():
    queue = Queue()
    clock = Clock(queue.mark)
    for _ in range(300):
        with clock("forward"):
            pass
    with clock("backward"):
        pass
    assert queue.waits == 0
    assert clock.forward == pytest.approx(0.6)
    assert clock.backward == pytest.approx(0.002)
    assert queue.waits == 1


def test_marks_of_a_device_do_not_pile_up():
    queue = Queue()
    clock = Clock(queue.mark)
    for _ in range(5000):
        with clock("forward"):
            pass
    assert len(clock._marked) < 2000
    assert clock.forward == pytest.approx(10.0)


def test_a_pass_that_fails_counts_for_nothing():
    queue = Queue()
    for clock in (Clock(queue.mark), Clock()):
        with pytest.raises(ZeroDivisionError), clock("forward"):
            raise ZeroDivisionError
        assert clock.forward == 0
