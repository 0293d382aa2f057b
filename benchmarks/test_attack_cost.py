"""What each attack costs per sample, in forward and backward passes of the same classifier, timed in the same run.

    pytest benchmarks/test_attack_cost.py --benchmark-enable --robustness-expect-benchmarks benchmarks/expected.json

Each attack has a stated ratio: its wall time over that of its passes. expected.json names the benchmarks: one
that is gone fails the run (pytest-benchmark alone would pass). After adding an attack: --benchmark-json, and its names.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest
import torch
from test_cost import BATCH, N, job, ours

from robustbench_lite.datasets.base import datasets, images
from robustbench_lite.engine.attack import Composition, attacks
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.rows import rows

ROUNDS = 5
# wall time over the time of its passes alone: the attack's own arithmetic, bookkeeping, narrow batches at the end
# spatial: resampling a digit costs more than LeNet's look at it; hop_skip_jump: so do random numbers for each query;
# fab, fmn: sorting pixels within the box; corruption: one pass, beside noise that is drawn image by image in float64
RATIO = {"lbfgs": 2.2, "spatial": 4.5, "corruption": 9.0, "hop_skip_jump": 2.4, "fab": 2.2, "fmn": 2.0}
USUAL = 1.7
# lists of attacks aside: what they cost is what their members cost
ALONE = [name for name in attacks if attacks[name].needs is None and not issubclass(attacks[name], Composition)]
FITTED = [name for name in attacks if attacks[name].needs is Fitting]
# wall time over that inside its own passes, of attacks that are fitted; universal: DeepFool for one image at a time,
# whose steps within the box are a few dozen small operations beside few passes of LeNet; advgan: most of its time goes
# into its own networks, which are no passes of the classifier
INSIDE = {"universal": 2.4, "universal_sgd": 1.6, "advgan": 12.0, "adversarial_patch": 6.0}
FITS = {"universal": {"passes": 1}, "universal_sgd": {"epochs": 5}, "advgan": {"steps": 10, "batch": 20}}
FITS["adversarial_patch"] = {"steps": 20, "batch": 20}
# wall time over that inside its own passes, of attacks that see random views of 32 x 32 pixels: making these costs more
# than a small classifier's look at them
SEEN = {"eot": 1.5, "rp2": 3.5}
VIEWS = {"eot": {"under": [{"affine": {"degrees": 20, "scale": [0.9, 1.1]}}], "steps": 4}, "rp2": {"steps": 8}}
PARAMS = {
    "apgd": {"steps": 10},
    "cw": {"steps": 10, "search_steps": 2},
    "ddn": {"steps": 10},
    "fab": {"steps": 5, "targets": 1},
    "fmn": {"steps": 10},
    "hop_skip_jump": {"n_queries": 200},
    "noise": {"draws": 10},
    "sigma_zero": {"steps": 10},
    "square": {"n_queries": 100},
    "ensemble": {"sources": None, "steps": 10},
    "pgd": {"stop": "never", "steps": 10},
    "lbfgs": {"targets": 1},
    "spatial": {"search": "worst_of_k"},
}


def passes_alone(net: torch.nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """Seconds per sample of a forward and of a backward pass to the images at the benchmark's batch size."""
    leaf = x[:BATCH].clone().requires_grad_()
    start = time.perf_counter()
    out = net(leaf)
    middle = time.perf_counter()
    torch.autograd.grad(out.logsumexp(1).sum(), leaf)
    return (middle - start) / len(leaf), (time.perf_counter() - middle) / len(leaf)


@pytest.mark.parametrize("name", ALONE)
def test_cost_per_sample(benchmark, name):
    net, work = job("lenet_mnist", N)
    record = attacks.build(name, PARAMS.get(name, {}))
    passes_alone(net, work.x)
    ours(record, net, work)
    ratios, equivalents, counts = [], [], []

    def once() -> None:
        alone = [passes_alone(net, work.x) for _ in range(5)]
        forward, backward = (statistics.median(part) for part in zip(*alone, strict=True))
        outcome, _ = ours(record, net, work)
        made = int(outcome.forwards.sum()) * forward + int(outcome.backwards.sum()) * backward
        ratios.append(outcome.wall / made)
        equivalents.append(outcome.wall / N / (forward + backward))
        counts.append((int(outcome.forwards.sum()) / N, int(outcome.backwards.sum()) / N))

    benchmark.pedantic(once, rounds=ROUNDS)
    benchmark.extra_info |= {
        "forwards_per_sample": counts[0][0],
        "backwards_per_sample": counts[0][1],
        "forward_backward_equivalents_per_sample": statistics.median(equivalents),
        "time_over_passes_alone": statistics.median(ratios),
        "stated": RATIO.get(name, USUAL),
    }
    assert statistics.median(ratios) <= RATIO.get(name, USUAL)


@pytest.mark.parametrize("name", FITTED)
def test_cost_of_fitting(benchmark, name):
    """DeepFool one image at a time has nothing to do with the pace of a full batch: its own clock is the measure."""
    net, work = job("lenet_mnist", N)
    index = torch.arange(40)
    work.setting = Fitting(*(rows(part, index) for part in (work.x, work.goal, work.draw)))
    record = attacks.build(name, {"fit": len(index), **FITS[name]})
    ratios = []

    def once() -> None:
        outcome, oracle = ours(record, net, work)
        ratios.append(outcome.wall / (oracle.clock.forward + oracle.clock.backward))

    benchmark.pedantic(once, rounds=3, warmup_rounds=1)
    benchmark.extra_info |= {"time_over_own_passes": statistics.median(ratios), "stated": INSIDE[name]}
    assert statistics.median(ratios) <= INSIDE[name]


@pytest.mark.parametrize("name", SEEN)
def test_cost_of_views(benchmark, name):
    net = Zoo(zoo="gtsrb_cnn").load(Path()).module
    samples = datasets.build("sign", {"sign": "stop"}).load(Path())
    x, index = images(samples), torch.zeros(len(samples), dtype=torch.int64)
    goal, draw = Goal(index + 5, len(samples.classes), targeted=True), Draw(keys(0, name, samples.ids))
    record, ratios = attacks.build(name, VIEWS[name]), []

    def once() -> None:
        outcome, oracle = ours(record, net, Job(x, goal, draw, setting=samples.scene))
        ratios.append(outcome.wall / (oracle.clock.forward + oracle.clock.backward))

    benchmark.pedantic(once, rounds=ROUNDS, warmup_rounds=1)
    benchmark.extra_info |= {"time_over_own_passes": statistics.median(ratios), "stated": SEEN[name]}
    assert statistics.median(ratios) <= SEEN[name]
