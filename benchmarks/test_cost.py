"""Ratios within one run: attacks against their own passes, and against other libraries (needs `.[peers]`
and adv-lib, see docs/performance.md).

    pytest benchmarks --benchmark-enable                 # pytest-benchmark's table; extra_info has the ratios
    pytest benchmarks --benchmark-enable -m peers        # against adversarial-library and foolbox

Each ratio is the median over interleaved pairs, so that a machine whose speed drifts does not decide it.
"""

from __future__ import annotations

import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robustbench_lite.datasets.base import images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.attack import StepAttack, attacks
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.guards.memory import auto_batch_size
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size

HERE, CPU = Path(), torch.device("cpu")
N, BATCH, PAIRS = 128, 128, 5


def job(name: str, n: int = N) -> tuple[torch.nn.Module, Job]:
    net = Zoo(zoo=name).load(HERE).module
    samples = Bundled(bundled="mnist", samples=n).load(HERE)
    x = images(samples)
    with torch.no_grad():
        label = net(x).argmax(1)
    return net, Job(x, Goal(label, 10), Draw(keys(0, "benchmark", samples.ids)))


def ours(record, net, work: Job, batch_size: int = BATCH) -> tuple[Outcome, Oracle]:
    oracle = Oracle(net, CPU, batch_size)
    return run(record, oracle, work), oracle


def paired(first: Callable[[], object], second: Callable[[], object], pairs: int = PAIRS) -> float:
    """The median of time(first) / time(second) over interleaved pairs, after one warm-up of each."""
    first(), second()
    ratios = []
    for _ in range(pairs):
        times = []
        for work in (first, second):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


@pytest.mark.parametrize("model", ["lenet_mnist", "fc500_150_10_mnist"])
@pytest.mark.parametrize("name", ["pgd", "deepfool", "fgsm"])
def test_overhead_over_the_attacks_own_passes(benchmark, monkeypatch, name, model):
    """`overhead`: everything beyond the passes; `engine`: what is outside the attack's own steps."""
    net, work = job(model, 512)
    record = attacks.build(name, {"stop": "never", "steps": 10} if name == "pgd" else {})
    window = auto_batch_size(work.x, CPU)
    steps, whole, engine = [], [], []
    if isinstance(record, StepAttack):
        step = type(record).step

        def timed(self, oracle, state):
            start = time.perf_counter()
            state = step(self, oracle, state)
            steps.append(time.perf_counter() - start)
            return state

        monkeypatch.setattr(type(record), "step", timed)
    ours(record, net, work, window)

    def once() -> None:
        steps.clear()
        outcome, oracle = ours(record, net, work, window)
        passes = oracle.clock.forward + oracle.clock.backward
        whole.append(outcome.wall / passes - 1)
        engine.append((outcome.wall - sum(steps)) / passes if steps else float("nan"))

    benchmark.pedantic(once, rounds=PAIRS)
    benchmark.extra_info |= {"overhead": statistics.median(whole), "engine": statistics.median(engine)}
    print(name, model, benchmark.extra_info)


def bare_deepfool(net: torch.nn.Module, x: torch.Tensor, label: torch.Tensor, steps: int = 12) -> float:
    """Overhead of the least that DeepFool can be: one class a step, nobody retired, nothing counted or checked."""
    inside, start, adv = 0.0, time.perf_counter(), x
    for _ in range(steps):
        begin = time.perf_counter()
        leaf = adv.detach().requires_grad_()
        graph = net(leaf)
        inside += time.perf_counter() - begin
        logits, own = graph.detach(), graph.detach().gather(1, label[:, None])
        gap, k = (own - logits.scatter(1, label[:, None], float("-inf"))).min(1)
        seed = torch.zeros_like(logits).scatter_(1, k[:, None], 1.0).scatter_(1, label[:, None], -1.0)
        begin = time.perf_counter()
        (gradient,) = torch.autograd.grad(graph, leaf, seed)
        inside += time.perf_counter() - begin
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        adv = (adv + gradient * (1.02 * gap.abs() / norm.square()).view(-1, 1, 1, 1)).clamp_(0, 1)
        bool((gap < 0).all())  # whether anybody is done
    return (time.perf_counter() - start) / inside - 1


@pytest.mark.parametrize("model", ["lenet_mnist", "fc500_150_10_mnist"])
def test_the_floor_under_deepfools_overhead(benchmark, model):
    net, work = job(model, 512)
    bare_deepfool(net, work.x, work.goal.label)
    overheads = []
    benchmark.pedantic(lambda: overheads.append(bare_deepfool(net, work.x, work.goal.label)), rounds=2 * PAIRS)
    benchmark.extra_info["overhead"] = statistics.median(overheads)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", ["lenet_mnist", "fc500_150_10_mnist"])
def test_deepfool_against_adversarial_library_and_foolbox(benchmark, model):
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))  # only its plots need it
    df = pytest.importorskip("adv_lib.attacks").df
    foolbox = pytest.importorskip("foolbox")
    net, work = job(model)
    record = attacks.build("deepfool")
    mine = benchmark.pedantic(lambda: ours(record, net, work)[0], rounds=PAIRS, warmup_rounds=1)
    theirs = df(net, work.x, work.goal.label, steps=50)
    rho = lambda adversarial: (size(adversarial - work.x, "l2") / size(work.x, "l2")).mean().item()
    assert (net(mine.candidates).argmax(1) != work.goal.label).all()
    assert rho(mine.candidates) == pytest.approx(rho(theirs), rel=0.01)
    fool = foolbox.attacks.L2DeepFoolAttack(steps=50, candidates=10)
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    benchmark.extra_info |= {
        "rho": rho(mine.candidates),
        "rho_adversarial_library": rho(theirs),
        "time_to_adversarial_library": paired(
            lambda: ours(record, net, work), lambda: df(net, work.x, work.goal.label, steps=50)
        ),
        "time_to_foolbox": paired(
            lambda: ours(record, net, work), lambda: fool.run(box, work.x, work.goal.label), pairs=2
        ),
    }
    print(model, benchmark.extra_info)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_pgd_on_the_published_resnet20_against_foolbox(benchmark):
    foolbox = pytest.importorskip("foolbox")
    shared = Path(__file__).resolve().parent.parent.parent / "shared"
    if not shared.is_dir():
        pytest.skip("needs the folder shared/ beside the checkout")
    from robustbench_lite.datasets.base import datasets
    from robustbench_lite.models.base import models

    weights = str(shared / "weights" / "cifar10_resnet20_idelbayev.safetensors")
    source = {"file": weights, "arch": "resnet20", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    net = models.build("file", {**source, "size": [3, 32, 32], "classes": 10}).load(HERE).module
    options = {"parquet": str(shared / "data/cifar10/test_lossless_500.parquet"), "samples": 128}
    samples = datasets.build("parquet", options).load(HERE)
    x, label = images(samples), torch.from_numpy(samples.labels)
    work = Job(x, Goal(label, 10), Draw(keys(0, "benchmark", samples.ids)))
    record = attacks.build("pgd", {"epsilon": 8 / 255, "steps": 40})
    attack = foolbox.attacks.LinfPGD(steps=40)
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")

    def foolboxes() -> torch.Tensor:
        return attack.run(box, x, label, epsilon=8 / 255)

    mine = benchmark.pedantic(lambda: ours(record, net, work)[0], rounds=3, warmup_rounds=1)
    verdicts = [net(adversarial).argmax(1) != label for adversarial in (mine.candidates, foolboxes())]
    benchmark.extra_info["same_verdicts"] = bool(torch.equal(*verdicts))
    benchmark.extra_info["time_to_foolbox"] = paired(lambda: ours(record, net, work), foolboxes, pairs=2)
    print(benchmark.extra_info)
    assert benchmark.extra_info["same_verdicts"]
