"""What a grid of rotations and translations costs, beside bare forwards and beside foolbox (docs/performance.md).

pytest benchmarks/test_spatial_cost.py --benchmark-enable -s
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from benchmarks.test_cost import HERE, ours, paired
from robustbench_lite.datasets.base import datasets, images
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.job import Job
from robustbench_lite.models.base import models
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
BATCHES = (32, 64, 128, 256)
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder shared/ beside the checkout")


def published(n: int) -> tuple[torch.nn.Module, Job]:
    """The published ResNet-20 and n lossless CIFAR-10 images."""
    weights = str(SHARED / "weights" / "cifar10_resnet20_idelbayev.safetensors")
    source = {"file": weights, "arch": "resnet20", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    net = models.build("file", {**source, "size": [3, 32, 32], "classes": 10}).load(HERE).module
    options = {"parquet": str(SHARED / "data/cifar10/test_lossless_500.parquet"), "samples": n}
    samples = datasets.build("parquet", options).load(HERE)
    label = torch.from_numpy(samples.labels)
    return net, Job(images(samples), Goal(label, 10), Draw(keys(0, "benchmark", samples.ids)))


def bare(net: torch.nn.Module, total: int, batch_size: int) -> None:
    x = torch.rand(batch_size, 3, 32, 32)
    with torch.no_grad():
        for _ in range(total // batch_size):
            net(x)


def test_a_grid_costs_little_more_than_its_forwards(benchmark):
    """`over_bare_forwards`: the whole attack, transforms included, against the forwards alone at their best batch."""
    net, work = published(4)
    record = attacks.build("spatial")
    total = 775 * len(work.x)
    bare(net, 256, 32)
    seconds = {}
    for batch_size in BATCHES:
        start = time.perf_counter()
        bare(net, total, batch_size)
        seconds[batch_size] = time.perf_counter() - start
    best = min(seconds, key=lambda size: seconds[size])
    benchmark.pedantic(lambda: ours(record, net, work, best), rounds=1)
    ratio = paired(lambda: ours(record, net, work, best), lambda: bare(net, total, best), pairs=3)
    benchmark.extra_info |= {"best_batch": best, "over_bare_forwards": ratio}
    print(benchmark.extra_info)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_the_verdict_only_search_against_foolbox(benchmark):
    foolbox = pytest.importorskip("foolbox")
    net, work = published(16)
    record = attacks.build("spatial", {"stop": "success"})
    options = {"max_translation": 3, "max_rotation": 30, "num_translations": 5, "num_rotations": 31}
    attack = foolbox.attacks.SpatialAttack(**options, grid_search=True)
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    mine = benchmark.pedantic(lambda: ours(record, net, work)[0], rounds=1)
    _, _, theirs = attack(box, work.x, work.goal.label)
    fallen = net(mine.candidates).argmax(1) != work.goal.label
    benchmark.extra_info |= {
        "fallen": int(fallen.sum()),
        "fallen_foolbox": int(theirs.sum()),
        "time_to_foolbox": paired(lambda: ours(record, net, work), lambda: attack(box, work.x, work.goal.label), 1),
    }
    print(benchmark.extra_info)
