"""The gate on a real ResNet-20: what must pass passes, what must fail fails."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustbench_lite.gate.baseline import Baseline, baseline_of
from robustbench_lite.gate.pairing import Report, check
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.models import zoo
from robustbench_lite.runner.run import run
from tests.helpers import ROOT

pytestmark = pytest.mark.slow
SHARED = Path(os.environ.get("ROBUSTBENCH_LITE_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Subject:
    weights: Path
    facts: dict[str, object]
    data: dict[str, object]
    epsilon: float
    layer: str
    sigma: float  # of the noise on that layer: robust accuracy falls by about five points


def subject() -> Subject:
    """The published CIFAR-10 network where it lies beside the checkout, else the bundled one for Fashion-MNIST."""
    published = SHARED / "weights" / "cifar10_resnet20_idelbayev.safetensors"
    if published.is_file():
        facts = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "size": [3, 32, 32]}
        data = {"cifar": {"parquet": str(SHARED / "data/cifar10/test_lossless_500.parquet")}}
        return Subject(published, facts, data, 0.5 / 255, "layer3.0.conv1.weight", 0.07)
    card = zoo.card("resnet20_fashion")
    facts = {"mean": list(card.mean), "std": list(card.std), "size": list(card.size)}
    weights = ROOT / "robustbench_lite" / "models" / "cards" / "resnet20_fashion.safetensors"
    data = {"fashion_mnist": {"samples": 500}}
    return Subject(weights, facts, data, 2 / 255, "layer3.0.conv1.weight", 0.085)


class Bed:
    """Runs weights, and judges them against those as published."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.subject = folder, subject()
        self.state = load_file(self.subject.weights)
        self.baseline: Baseline = baseline_of(self.results("published", self.state))

    def results(self, name: str, state: dict[str, torch.Tensor], seed: int = 0):
        path = self.folder / f"{name}.safetensors"
        save_file(state, path)
        model = {"file": str(path), "arch": "resnet20", "name": "resnet20", "classes": 10, **self.subject.facts}
        attacks = [{"pgd": {"epsilon": self.subject.epsilon, "steps": 3}}, {"fgsm": {"epsilon": self.subject.epsilon}}]
        suite = {"version": 1, "name": "real", "seed": seed, "models": [model], "attacks": attacks, "images": "none"}
        return run({**suite, "data": self.subject.data}, self.folder / name)

    def judged(self, name: str, state: dict[str, torch.Tensor], seed: int = 0) -> Report:
        return check(self.baseline, scores_of(self.results(name, state, seed)), gate_of(None))


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    return Bed(tmp_path_factory.mktemp("real"))


def test_the_same_weights_pass_without_a_flip(bed):
    report = bed.judged("again", bed.state)
    assert report.exit_code == 0
    assert all(finding.lost == finding.won == 0 for verdict in report.verdicts for finding in verdict.findings)
    assert all(10 < finding.before < 90 for verdict in report.verdicts for finding in verdict.findings)


def test_noise_on_one_layer_fails(bed):
    weight = bed.state[bed.subject.layer]
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    report = bed.judged("noisy", bed.state | {bed.subject.layer: weight + bed.subject.sigma * noise})
    pgd = next(verdict for verdict in report.verdicts if verdict.scores.attack == "pgd")
    assert 3.5 < pgd.findings[0].drop < 7
    assert pgd.status == "failed"
    assert report.exit_code == 1


def test_half_precision_passes(bed):
    report = bed.judged("half", {name: value.half() for name, value in bed.state.items()})
    assert report.exit_code == 0
    weights = {one.facts["weights"] for one in bed.baseline.scores} | {
        verdict.scores.facts["weights"] for verdict in report.verdicts
    }
    assert len(weights) == 2  # other weights, the same gate


def test_another_seed_of_the_attack_passes(bed):
    report = bed.judged("seed", bed.state, seed=1)
    assert report.exit_code == 0
    assert {verdict.scores.facts["seed"] for verdict in report.verdicts} == {1}
