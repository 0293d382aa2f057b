"""One GPU used fully? PGD-40 and `autoattack` on a ResNet-18, beside foolbox and the official AutoAttack, in turn.

    python benchmarks/gpu.py                                              # on a GPU: some minutes
    python benchmarks/gpu.py --device cpu --images 2 --steps 2 --no-full  # does it run? a few seconds anywhere

Weights are random and the budget is small, so that most images hold: what costs most. Peers that are not installed are
left out. It prints the window that is found, images a second, the share of the time in which the GPU computes, how
often a step waits for it, and whether the same command gives the same bits twice.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import nn

from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.transfer import done
from robustbench_lite.runner.window import grown, measured
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal

EPSILON = 0.05 / 255
SHAPE = (3, 32, 32)


class Bench:
    """A classifier and images on the device, the goal and the draws of each."""

    def __init__(self, device: torch.device, images: int, window: int | None) -> None:
        self.device, self.net = device, resnet18().to(device, memory_format=torch.channels_last)
        self.window = window or grown(measured(self.net, device, SHAPE))
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(images, *SHAPE, generator=generator)
        with torch.no_grad():
            label = torch.cat([self.net(part.to(device)).argmax(1) for part in x.split(self.window)])
        draw = Draw(keys(0, "gpu", [str(i) for i in range(images)]))
        self.job = Job(x, Goal(label.cpu(), 10), draw).to(device)

    def ours(self, attack: Attack, oracle: Oracle | None = None) -> Outcome:
        return run(attack, oracle or Oracle(self.net, self.device, self.window), self.job)

    def seconds(self, work: Callable[[], object]) -> float:
        done(self.device)
        start = time.perf_counter()
        work()
        done(self.device)
        return time.perf_counter() - start


def resnet18() -> nn.Module:
    """Torchvision's, with the stem that images of 32 x 32 pixels get."""
    from torchvision.models import resnet18 as built

    torch.manual_seed(0)
    net = built(num_classes=10)
    net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    return net.eval().requires_grad_(requires_grad=False)


def said(name: str, seconds: float, images: int, more: str = "") -> None:
    print(f"{name:34} {images / seconds:10.1f} images/s {seconds:9.2f} s  {more}", flush=True)


def pgd(bench: Bench, steps: int) -> None:
    n, options = len(bench.job.x), {"epsilon": EPSILON, "steps": steps, "stop": "never"}
    attack = attacks.build("pgd", options)
    bench.ours(attacks.build("pgd", {**options, "steps": 1}))  # whatever is done the first time
    outcomes: list[Outcome] = []
    oracle = Oracle(bench.net, bench.device, bench.window)
    seconds = bench.seconds(lambda: outcomes.append(bench.ours(attack, oracle)))
    inside = (oracle.clock.forward + oracle.clock.backward) / seconds
    said(f"pgd, {steps} steps", seconds, n, f"{inside:.0%} inside its passes")
    if find_spec("foolbox"):
        box = import_module("foolbox").PyTorchModel(bench.net, bounds=(0, 1), device=bench.device)
        peer = import_module("foolbox").attacks.LinfPGD(steps=steps)
        parts = list(zip(bench.job.x.split(bench.window), bench.job.goal.label.split(bench.window), strict=True))
        theirs = bench.seconds(lambda: [peer.run(box, x, label, epsilon=EPSILON) for x, label in parts])
        said("  foolbox, in the same batches", theirs, n, f"ours takes {seconds / theirs:.2f} of its time")
    again = bench.ours(attack)
    print(f"the same bits twice: {torch.equal(outcomes[0].candidates, again.candidates)}", flush=True)
    if bench.device.type == "cuda":
        few = attacks.build("pgd", {**options, "steps": 4})
        print(f"GPU memory at most: {torch.cuda.max_memory_allocated(bench.device) / 2**30:.1f} GiB")
        print(f"the GPU computes {busy(lambda: bench.ours(few)):.0%} of the time")
        print(f"waits for it a step: {waits(lambda: bench.ours(few)) / 4 / -(-n // bench.window):.1f}", flush=True)


def autoattack(bench: Bench) -> None:
    n, attack = len(bench.job.x), attacks.build("autoattack", {"epsilon": EPSILON})
    outcomes: list[Outcome] = []
    seconds = bench.seconds(lambda: outcomes.append(bench.ours(attack)))
    passes = int(outcomes[0].forwards.sum() + outcomes[0].backwards.sum())
    said("autoattack", seconds, n, f"{passes / n:,.0f} passes an image")
    if find_spec("autoattack"):
        options = {"norm": "Linf", "eps": EPSILON, "version": "standard", "device": str(bench.device), "verbose": False}
        official = import_module("autoattack").AutoAttack(bench.net, **options)
        x, label = bench.job.x, bench.job.goal.label
        theirs = bench.seconds(lambda: official.run_standard_evaluation(x, label, bs=bench.window))
        said("  official, standard", theirs, n, f"ours takes {seconds / theirs:.2f} of its time")


def busy(work: Callable[[], object]) -> float:
    """The share of the time in which kernels run, by PyTorch's profiler, which slows what is beside them."""
    from torch.profiler import ProfilerActivity, profile

    done(torch.device("cuda"))
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as watched:
        work()
        done(torch.device("cuda"))
        seconds = time.perf_counter() - start
    return sum(event.self_device_time_total for event in watched.key_averages()) / 1e6 / seconds


def waits(work: Callable[[], object]) -> int:
    """How often the processor waits for the GPU, as PyTorch says."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--full", type=int, default=128, help="images for autoattack")
    parser.add_argument("--no-full", action="store_true", help="without autoattack")
    given = parser.parse_args()
    device = torch.device(given.device)
    window = given.images if device.type == "cpu" else None  # it is searched on a GPU
    with deterministic():
        bench = Bench(device, given.images, window)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        print(f"{name}, torch {torch.__version__}, window {bench.window}")
        pgd(bench, given.steps)
        if not given.no_full:
            autoattack(Bench(device, given.full, bench.window))


if __name__ == "__main__":
    main()
