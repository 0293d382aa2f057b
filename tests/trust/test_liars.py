"""Classifiers that say the same as the network inside them, in another type, scale or manner: so must every attack."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from robustbench_lite.datasets.base import images as as_images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.judge import judge, look
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.models.archs.normalized import Normalized
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU, ROOT

N = 24


class Around(nn.Module):
    """after(net(before(x)))."""

    def __init__(self, net, before=nn.Identity(), after=nn.Identity()):  # noqa: B008  (identities have no state)
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def switched_off(at, count=2):
    return lambda z: torch.cat([z, z.new_full((len(z), count), at)], 1)


def autocast(net):
    """Computes in bfloat16 inside, as mixed precision does."""

    class Cast(nn.Module):
        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return net(x)

    return Cast()


SAME = {
    "scaled": lambda net: Around(net, after=lambda z: 1000 * z),
    "offset": lambda net: Around(net, after=lambda z: z + 1e5),
    "off at -1e6": lambda net: Around(net, after=switched_off(-1e6)),
    "off at -1e9": lambda net: Around(net, after=switched_off(-1e9)),
    "float64 logits": lambda net: Around(net, after=torch.Tensor.double),
    "bfloat16 logits": lambda net: Around(net, after=torch.Tensor.bfloat16),
    "float16 logits": lambda net: Around(net, after=torch.Tensor.half),
    "in place first": lambda net: Around(net, before=lambda x: x.clamp_(0, 1)),
    "in place and last": lambda net: Around(net, before=lambda x: x.mul_(1), after=lambda z: z.add_(0)),
    "clamped first": lambda net: Around(net, before=lambda x: x.clamp(0, 1)),
}
ROUGH = {"offset", "bfloat16 logits", "float16 logits", "scaled"}  # a rounding or a temperature of their own
ATTACKS = {
    "pgd": {"epsilon": 0.1, "steps": 10},
    "pgd in l2": {"norm": "l2", "epsilon": 1.5, "steps": 10},
    "pgd in l1": {"norm": "l1", "epsilon": 12, "steps": 10},
    "fgsm": {"epsilon": 0.1},
    "deepfool": {},
    "deepfool in linf": {"norm": "linf"},
    "lbfgs": {"targets": 2, "search_steps": 6},
}


@cache
def digits():
    samples = Bundled(bundled="mnist", samples=N).load(ROOT)
    return Zoo(zoo="lenet_mnist").load(ROOT).module, as_images(samples), torch.from_numpy(samples.labels)


def attacked(name, net):
    """Success and size of every digit under an attack on this classifier; the digits stay what they are."""
    record = attacks.build(name.split()[0], ATTACKS[name])
    _, x, y = digits()
    before, module = x.clone(), Normalized(net, [0], [1]).eval()
    clean = look(module, x, CPU, 64)
    goal = Goal(y if record.goal == "label" else clean.argmax(1), clean.shape[1])
    draw = Draw(keys(0, record.stream(), [str(i) for i in range(N)]))
    outcome = run(record, Oracle(module, CPU, 16), Job(x, goal, draw))
    assert torch.equal(x, before)
    verdicts = judge(record, lambda part: look(module, part, CPU, 64), x, outcome.candidates, goal)
    assert set(outcome.reasons()) == {"ok"}
    return verdicts.success, verdicts.sizes[record.threat or "l2"], outcome


@cache
def honest(name):
    return attacked(name, digits()[0])


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("liar", SAME)
def test_who_says_the_same_gets_the_same(liar, name):
    won, sizes, outcome = attacked(name, SAME[liar](digits()[0]))
    expected, exact, reference = honest(name)
    # the direction of cross-entropy's gradient depends on the scale of the logits, and with it a close call
    assert int((won != expected).sum()) <= (2 if liar == "scaled" and name in {"fgsm", "pgd in l1"} else 0)
    won &= expected
    change = (sizes[won] / exact[won] - 1).abs()
    assert abs(float(sizes[won].mean() / exact[won].mean()) - 1) < 0.01
    if liar not in ROUGH:
        assert float(change.max()) < 0.01
        assert outcome.backwards.sum() <= 1.1 * reference.backwards.sum()
    assert (change < 0.01).double().mean() > 0.6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_a_network_of_another_type_gets_images_of_that_type(dtype):
    net = Zoo(zoo="lenet_mnist").load(ROOT).module.net.to(dtype)
    assert {parameter.dtype for parameter in net.parameters()} == {dtype}
    won, _, _ = attacked("pgd", net)
    deepfooled, sizes, _ = attacked("deepfool", net)
    assert int((won != honest("pgd")[0]).sum()) <= (0 if dtype is torch.float64 else 2)
    assert deepfooled.all()
    assert float((sizes / honest("deepfool")[1]).mean()) == pytest.approx(
        1, abs=0.001 if dtype is torch.float64 else 0.03
    )


def test_mixed_precision_inside_a_model_is_attacked_as_it_is():
    won, sizes, _ = attacked("deepfool", autocast(digits()[0]))
    assert won.all()
    assert float(sizes.mean() / honest("deepfool")[1].mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("net", ["z", "-z"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("clip", [True, False])
def test_two_classes_whose_logits_vanish_at_the_boundary_do_not_stall(clip, norm, net):
    """3 or 8, as two logits, as [0, z] and as [-z, z]: one boundary, so one answer."""
    lenet, x, _ = digits()
    odds = lambda z: z[:, 8:9] - z[:, 3:4]
    after = {"z": lambda z: torch.cat([0 * odds(z), odds(z)], 1), "-z": lambda z: torch.cat([-odds(z), odds(z)], 1)}[
        net
    ]
    record = attacks.build("deepfool", {"norm": norm, "clip": clip})
    found = []
    for module in (Around(lenet, after=lambda z: z[:, [3, 8]]), Around(lenet, after=after)):
        goal = Goal(look(module, x, CPU, 64).argmax(1), 2)
        outcome = run(record, Oracle(module, CPU, 16), Job(x, goal, Draw(keys(0, "", [str(i) for i in range(N)]))))
        verdicts = judge(record, lambda part, module=module: look(module, part, CPU, 64), x, outcome.candidates, goal)
        assert verdicts.success.all()
        assert verdicts.near_tie.sum() <= 1
        found.append(verdicts.sizes[norm])
    assert torch.allclose(found[0], found[1], rtol=0.01)
