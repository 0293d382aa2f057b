"""Processor time of attacks over that of the same attack in other libraries: same classifier, images, budget and steps.

    pytest benchmarks/test_peer_cost.py --benchmark-enable -s -m peers

One thread, processor time instead of wall time, median of interleaved pairs: other work on the machine drops out. Peers
that are not installed are left out; `autoattack` and `adv_lib` are not on PyPI under these names (docs/performance.md).
"""

from __future__ import annotations

import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
from test_cost import HERE, ours

from robustbench_lite.datasets.base import images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.job import Job
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

N, QUERIES = 60, 1000
BUDGET = {"lenet_mnist": 0.3, "smallcnn_linf_mnist": 0.3, "smallcnn_linf_fashion": 0.1}  # the first is not defended
MINIMAL = {"l2": 2, "linf": float("inf"), "l1": 1, "l0": 0}
Peers = Iterator[tuple[str, Callable[[], object]]]


@dataclass
class Case:
    """A classifier with frozen parameters, images, their labels, and a budget in linf."""

    net: torch.nn.Module
    x: torch.Tensor
    label: torch.Tensor
    ids: tuple[str, ...]
    epsilon: float

    def ours(self, name: str, **options: Any) -> Callable[[], object]:
        record = attacks.build(name, options)
        work = Job(self.x, Goal(self.label, 10), Draw(keys(0, "benchmark", self.ids)))
        return lambda: ours(record, self.net, work)

    def foolbox(self, attack: object, epsilon: float | None = None) -> Callable[[], object]:
        box = import_module("foolbox").PyTorchModel(self.net, bounds=(0, 1), device="cpu")
        given = {"epsilon": epsilon} if epsilon else {"epsilons": None}
        call = attack.run if epsilon else attack  # type: ignore[attr-defined]
        return lambda: call(box, self.x, self.label, **given)


@pytest.fixture(params=BUDGET, scope="module")
def case(request) -> Case:
    dataset = "fashion_mnist" if "fashion" in request.param else "mnist"
    samples = Bundled(bundled=dataset, samples=N).load(HERE)
    net = Zoo(zoo=request.param).load(HERE).module
    return Case(net, images(samples), torch.from_numpy(samples.labels), samples.ids, BUDGET[request.param])


def there(name: str) -> Any:
    """The module, or None where it is not installed."""
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))  # only adv_lib's plots need it
    try:
        return import_module(name)
    except ImportError:
        return None


def compare(benchmark, mine: Callable[[], object], peers: Peers, pairs: int = 3) -> None:
    """The ratios into the benchmark's extra_info, and on the screen."""
    ratios, taken = {}, []
    for name, theirs in peers:
        found = []
        for _ in range(pairs):
            start = time.process_time()
            mine()
            middle = time.process_time()
            theirs()
            found.append((middle - start) / (time.process_time() - middle))
            taken.append(middle - start)
        ratios[name] = round(statistics.median(found), 2)
    if not ratios:
        pytest.skip("expected a peer to compare with, none is installed: foolbox, adv_lib, torchattacks or autoattack")
    benchmark.pedantic(mine, rounds=1)
    benchmark.extra_info |= {"ratios": ratios, "seconds": min(taken)}
    print(benchmark.name, f"{min(taken):.2f} s", ratios, flush=True)


def test_apgd(benchmark, case):
    def peers() -> Peers:
        x, label, most = case.x, case.label, case.epsilon
        if base := there("autoattack.autopgd_base"):
            yield "official", lambda: base.APGDAttack(case.net, eps=most, device="cpu").perturb(x, label)
        if library := there("adv_lib.attacks"):
            options = {"norm": float("inf"), "loss_function": "ce"}
            yield "adv_lib", lambda: library.apgd(case.net, x, label, eps=most, **options)
        if library := there("torchattacks"):
            yield "torchattacks", lambda: library.APGD(case.net, eps=most, steps=100)(x, label)

    compare(benchmark, case.ours("apgd", epsilon=case.epsilon), peers())


def test_pgd(benchmark, case):
    def peers() -> Peers:
        x, label, most = case.x, case.label, case.epsilon
        if library := there("foolbox"):
            yield "foolbox", case.foolbox(library.attacks.LinfPGD(steps=40), most)
        if library := there("adv_lib.attacks"):
            yield "adv_lib", lambda: library.pgd_linf(case.net, x, label, most, steps=40)
        if library := there("torchattacks"):
            yield "torchattacks", lambda: library.PGD(case.net, eps=most, alpha=most / 16, steps=40)(x, label)

    compare(benchmark, case.ours("pgd", epsilon=case.epsilon), peers())


def test_fab(benchmark, case):
    """Official: with a budget that stops nobody, as a minimum-norm attack."""

    def peers() -> Peers:
        if base := there("autoattack.fab_pt"):
            options = {"n_iter": 30, "eps": 1e-4, "targeted": True, "n_target_classes": 3, "device": "cpu"}
            yield "official", lambda: base.FABAttack_PT(case.net, **options).perturb(case.x, case.label)

    compare(benchmark, case.ours("fab", steps=30, targets=3), peers())


def test_square(benchmark, case):
    def peers() -> Peers:
        if base := there("autoattack.square"):
            options = {"eps": case.epsilon, "n_queries": QUERIES, "resc_schedule": True, "device": "cpu"}
            yield "official", lambda: base.SquareAttack(case.net, norm="Linf", **options).perturb(case.x, case.label)

    compare(benchmark, case.ours("square", epsilon=case.epsilon, n_queries=QUERIES), peers())


@pytest.mark.parametrize("norm", MINIMAL)
def test_fmn(benchmark, case, norm):
    def peers() -> Peers:
        if library := there("foolbox"):
            kind = getattr(library.attacks, f"{'LInf' if norm == 'linf' else norm.upper()}FMNAttack")
            yield "foolbox", case.foolbox(kind(steps=100))
        if library := there("adv_lib.attacks"):
            yield "adv_lib", lambda: library.fmn(case.net, case.x, case.label, norm=MINIMAL[norm], steps=100)

    compare(benchmark, case.ours("fmn", norm=norm), peers())


def test_ddn(benchmark, case):
    def peers() -> Peers:
        if library := there("foolbox"):
            yield "foolbox", case.foolbox(library.attacks.DDNAttack(steps=100))
        if library := there("adv_lib.attacks"):
            yield "adv_lib", lambda: library.ddn(case.net, case.x, case.label, steps=100, levels=None)

    compare(benchmark, case.ours("ddn"), peers())


def test_cw(benchmark, case):
    def peers() -> Peers:
        if library := there("foolbox"):
            kind = library.attacks.L2CarliniWagnerAttack
            yield "foolbox", case.foolbox(kind(binary_search_steps=5, steps=60))
        if library := there("adv_lib.attacks"):
            options = {"binary_search_steps": 5, "max_iterations": 60}
            yield "adv_lib", lambda: library.carlini_wagner_l2(case.net, case.x, case.label, **options)

    compare(benchmark, case.ours("cw"), peers(), pairs=1)


class Spent(Exception):  # noqa: N818  (no error: the peer has asked as often as it may)
    pass


class Limited(torch.nn.Module):
    """Raises `Spent` at the query after the last one of each image."""

    def __init__(self, case: Case):
        super().__init__()
        self.case, self.left = case, QUERIES

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= len(x) == len(self.case.x)
        if self.left < 0:
            raise Spent
        logits: torch.Tensor = self.case.net(x)
        return logits


def test_hop_skip_jump(benchmark, case):
    """Of images that are classified correctly: foolbox does not begin with others."""
    with torch.no_grad():
        case = Case(case.net, case.x, case.net(case.x).argmax(1), case.ids, case.epsilon)

    def peers() -> Peers:
        if library := there("foolbox"):
            attack = library.attacks.HopSkipJumpAttack(steps=10**6, constraint="l2")

            def theirs() -> None:
                box = library.PyTorchModel(Limited(case).eval(), bounds=(0, 1), device="cpu")
                with suppress(Spent):
                    attack(box, case.x, case.label, epsilons=None)

            yield "foolbox", theirs

    compare(benchmark, case.ours("hop_skip_jump", norm="l2", n_queries=QUERIES), peers(), pairs=1)


def test_autoattack(benchmark, case):
    def peers() -> Peers:
        if official := there("autoattack"):
            options = {"norm": "Linf", "eps": case.epsilon, "version": "standard", "verbose": False, "device": "cpu"}
            attack = official.AutoAttack(case.net, **options)
            yield "official", lambda: attack.run_standard_evaluation(case.x, case.label, bs=128)

    compare(benchmark, case.ours("autoattack", epsilon=case.epsilon), peers(), pairs=1)
