"""Classifiers that hide what attacks need are red in `trust`, ranked nowhere, refused by the gate; honest ones not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from robustbench_lite.api import run
from robustbench_lite.datasets.base import images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.slopes import LEAST, agreement, misleading
from robustbench_lite.gate.baseline import baseline_of
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.rules import Gate
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.report.ranking import rankings
from robustbench_lite.trust.smell import doubts
from tests.helpers import CPU, ROOT, mlp
from tests.helpers import images as random_images
from tests.masked import HONEST, MASKED, Around

SUITE = {
    "version": 1,
    "name": "t",
    "data": {"mnist": {"samples": 12}},
    "images": "none",
    "attacks": [{"pgd": {"epsilon": 0.2, "steps": 5}}, {"deepfool": {"steps": 20}}],
}
NETS = {"lenet_mnist": "mnist", "resnet8_fashion": "fashion_mnist"}
GREEN = {name: HONEST[name] for name in ("itself", "temperature", "bfloat16", "switched off", "straight through")}
REFUSED = "another function with gradients"  # before it is attacked


@pytest.fixture(scope="module", params=NETS)
def net_and_images(request):
    return Zoo(zoo=request.param).load(ROOT).module, images(Bundled(bundled=NETS[request.param], samples=40).load(ROOT))


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_gradient_does_not_predict_the_loss(name, net_and_images):
    net, x = net_and_images
    (found,) = misleading(Scorer("it", MASKED[name](net).eval(), CPU, 64), x)
    assert "the gradient does not predict how the loss changes on" in found


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_gradient_does(name, net_and_images):
    net, x = net_and_images
    scorer = Scorer("it", HONEST[name](net).eval(), CPU, 16)
    assert not list(misleading(scorer, x))
    assert float(agreement(scorer, x).median()) > LEAST + 0.1


def test_agreement_on_a_linear_classifier_is_exact_and_measures_what_is_hidden():
    """Of a gradient of which a share s of the squared length is left, the agreement is 2 s / (1 + s)."""
    weight = torch.randn(2, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.rand(40, 1, 20, 20, generator=torch.Generator().manual_seed(2))

    class Linear(torch.nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.hidden = hidden

        def forward(self, x):
            flat = x.flatten(1).double()
            return torch.cat([flat[:, : self.hidden].detach(), flat[:, self.hidden :]], 1) @ weight.T

    assert agreement(Scorer("it", Linear(0), CPU, 8), x).min() > 1 - 1e-4
    for hidden in (100, 200, 300):
        left = weight[:, hidden:].diff(dim=0).norm() ** 2 / weight.diff(dim=0).norm() ** 2
        found = agreement(Scorer("it", Linear(hidden), CPU, 8), x)
        assert float(found.median()) == pytest.approx(float(2 * left / (1 + left)), abs=0.2)


def test_without_a_gradient_there_is_nothing_to_say_and_one_image_will_do():
    x, net = random_images(), mlp().eval()
    assert agreement(Scorer("it", Around(net, after=torch.Tensor.detach), CPU, 8), x) is None  # an attack will say so
    assert agreement(Scorer("it", Around(net, Unfinished.apply), CPU, 8), x) is None
    assert len(agreement(Scorer("it", net, CPU, 8), x[:1])) == 1


class Unfinished(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The net itself under every name, as a baseline; and what bears these names."""
    net = Zoo(zoo="lenet_mnist").load(ROOT).module
    wraps = {name.replace(" ", "-"): wrap for name, wrap in (MASKED | GREEN).items()}
    folder = tmp_path_factory.mktemp("masked")
    before = baseline_of(run(SUITE, folder / "before", models={"net": net}))
    every = [_named(one, name) for one in before.scores for name in wraps]
    after = run(SUITE, folder / "after", models={name: wrap(net).eval() for name, wrap in wraps.items()})
    return after, check(replace(before, scores=tuple(every)), scores_of(after), Gate())


def _named(one, name):
    """The same gate under the name of another classifier."""
    return replace(one, facts=one.facts | {"source": name, "model": name})


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_classifier_is_red_ranked_nowhere_and_refused_by_the_gate(name, runs):
    after, report = runs
    own = name.replace(" ", "-")
    cells = [cell for cell in after.cell_table.to_pylist() if cell["source"] == own]
    assert len(cells) == len(SUITE["attacks"])
    if name == REFUSED:
        assert all("logits change when gradients are recorded" in cell["error"] for cell in cells)
    else:
        known = doubts(after)
        assert all("misleading_gradient" in {one.check for one in known[cell["cell"]]} for cell in cells)
    entries = [entry for ranking in rankings(after) for entry in ranking.entries if entry.model == own]
    assert all(entry.red for entry in entries)
    assert not any(own == entry.model for ranking in rankings(after) for entry in ranking.known)
    verdicts = [verdict for verdict in report.verdicts if verdict.scores.model == own]
    assert len(verdicts) == len(cells)
    assert {verdict.status for verdict in verdicts} <= {"incomparable", "failed"}


@pytest.mark.parametrize("name", GREEN)
def test_an_honest_classifier_stays_green(name, runs):
    after, report = runs
    own, known = name.replace(" ", "-"), doubts(after)
    cells = [cell["cell"] for cell in after.cell_table.to_pylist() if cell["source"] == own]
    assert [known[cell] for cell in cells] == [()] * len(SUITE["attacks"])
    assert all(own in {entry.model for entry in ranking.known} for ranking in rankings(after))
    assert {one.status for one in report.verdicts if one.scores.model == own} <= {"passed", "improved"}
