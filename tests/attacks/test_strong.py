"""APGD and FAB-T: the paper's schedule, losses against autograd, and networks whose verdicts verifiers settled."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from robustbench_lite.attacks._losses import climbed
from robustbench_lite.attacks.apgd import _periods
from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import SuiteError
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.attacks.test_attacks import digits
from tests.helpers import attack, images, mlp

NORMS = ("linf", "l2", "l1")
BUDGET = {"linf": 0.05, "l2": 0.5, "l1": 3.0}


def test_checkpoints_are_those_of_the_paper():
    """p = 0, 0.22, 0.41, 0.57, 0.7, 0.8, 0.87, 0.93, 0.99 of all steps."""
    periods = _periods(100)
    at = periods.nonzero()[:, 0].tolist()
    assert at == [22, 41, 57, 70, 80, 87, 93, 99]
    assert periods[at].tolist() == [22, 19, 16, 13, 10, 7, 6, 6]
    assert not _periods(1)[:1].any()  # a single step has no period before it


def ratio(z: torch.Tensor, label: int, rival: int | None) -> torch.Tensor:
    """The difference of logits ratio of one row, as the paper writes it."""
    order, _ = z.sort(descending=True)
    if rival is not None:
        return -(z[label] - z[rival]) / (order[0] - (order[2] + order[3]) / 2)
    other = torch.cat([z[:label], z[label + 1 :]]).max()
    return -(z[label] - other) / (order[0] - order[2])


@pytest.mark.parametrize("rival", [None, 4])
def test_the_ratio_and_its_gradient_are_those_of_autograd(rival):
    z = torch.randn((20, 6), generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    goal = Goal(torch.arange(20) % 4, 6)
    wanted = torch.stack([ratio(row, int(k), rival) for row, k in zip(z, goal.label, strict=True)])
    rivals = None if rival is None else torch.full((20,), rival)
    value, seed = climbed("dlr", goal, z.detach().float(), rivals)
    (slope,) = torch.autograd.grad(wanted.sum(), z)
    assert torch.allclose(value.double(), wanted.detach(), rtol=1e-4, atol=1e-6)
    assert torch.allclose(seed.double(), slope, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4, 7])
def test_losses_grow_towards_the_goal_and_are_finite(loss, targeted, classes):
    z = torch.randn((30, classes), generator=torch.Generator().manual_seed(1))
    z[:5] = 0.0  # all classes alike
    z[5:10, -1] = -1e9
    goal = Goal(torch.zeros(30, dtype=torch.int64), classes, targeted)
    value, seed = climbed(loss, goal, z)
    assert value.isfinite().all() and seed.isfinite().all()
    steep = torch.arange(30) >= 10  # the ratio is flat where it is largest
    steep &= seed.norm(dim=1) > 1e-3
    assert steep.sum() >= 10
    better = z[steep] + 1e-3 * seed[steep] / seed[steep].norm(dim=1, keepdim=True)
    assert (climbed(loss, Goal(goal.label[steep], classes, targeted), better)[0] > value[steep]).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", ["ce", "dlr", "dlr_targeted", "margin"])
def test_apgd_breaks_what_pgd_breaks(norm, loss):
    net, x, label = digits(60)
    options = {"norm": norm, "epsilon": 2 * BUDGET[norm]}
    goal = Goal(label, 10)
    mine, pgd = (
        attack(attacks.build(n, {**options, **o}), net, x, 64, goal) for n, o in (("apgd", {"loss": loss}), ("pgd", {}))
    )
    mine_won, pgd_won = (net(one.candidates).argmax(1) != label for one in (mine, pgd))
    assert mine_won.sum() > 3 and mine_won.sum() >= pgd_won.sum() - (4 if norm == "l1" else 1)
    assert float(size(mine.candidates - x, norm).max()) <= 2 * BUDGET[norm] * (1 + 1e-5)


def test_a_step_is_one_pass_and_a_success_is_the_end():
    net, x = mlp(), images(30)
    outcome = attack(attacks.build("apgd", {"epsilon": 0.01, "steps": 20}), net, x, 30)
    label = net(x).argmax(1)
    robust = net(outcome.candidates).argmax(1) == label
    assert robust.any() and (outcome.backwards[robust] == 20).all()
    many = attack(
        attacks.build("apgd", {"epsilon": 0.01, "steps": 20, "loss": "dlr_targeted", "restarts": 2}), net, x, 30
    )
    assert (many.backwards[net(many.candidates).argmax(1) == label] == 2 * 4 * 20).all()  # four wrong classes
    wrong = attack(attacks.build("apgd"), net, x, goal=Goal((label + 1) % 5, 5))
    assert (wrong.forwards == 1).all() and torch.equal(wrong.candidates, x)


def test_targets_belong_to_losses_that_have_some():
    with pytest.raises(SuiteError, match="targets: expected null with loss: ce"):
        attacks.build("apgd", {"targets": 3})


@pytest.mark.parametrize("norm", NORMS)
def test_fab_is_no_farther_than_deepfool(norm):
    net, x, _ = digits(30, "fc500_150_10_mnist")
    found = attack(attacks.build("fab", {"norm": norm, "steps": 30, "targets": 3}), net, x, 30)
    assert (net(found.candidates).argmax(1) != net(x).argmax(1)).all()
    if norm != "l1":
        fool = attack(attacks.build("deepfool", {"norm": norm}), net, x, 30)
        shorter = size(found.candidates - x, norm) / size(fool.candidates - x, norm)
        assert shorter.mean() < 0.99 and shorter.max() < 1.05


def test_fab_reaches_its_target_and_more_runs_only_help():
    net, x = mlp(), images(20)
    target = Goal((net(x).argmax(1) + 2) % 5, 5, targeted=True)
    found = attack(attacks.build("fab", {"target": 0, "steps": 20}), net, x, goal=target)
    assert (net(found.candidates).argmax(1) == target.label).float().mean() > 0.9
    once, twice = (attack(attacks.build("fab", {"steps": 10, "restarts": n}), net, x) for n in (1, 2))
    sizes = [size(one.candidates - x, "linf") for one in (once, twice)]
    assert (sizes[1] <= sizes[0] * (1 + 1e-4)).all()


def settled(shared, verdict: str):
    """(network, epsilon, images, labels) for the questions that complete verifiers settled so."""
    folder = shared / "data" / "verified"
    table = pd.read_parquet(folder / "mnistfc.parquet")
    for (name, epsilon), part in table[table["verdict"] == verdict].groupby(["net", "eps"]):
        state = load_file(folder / f"{name}.safetensors")
        layers: list[nn.Module] = [nn.Flatten()]
        for i in sorted({int(key.split(".")[1]) for key in state}):
            weight = state[f"layers.{i}.weight"]
            layers += [nn.Linear(weight.shape[1], weight.shape[0]), nn.ReLU()]
            layers[-2].load_state_dict({"weight": weight, "bias": state[f"layers.{i}.bias"]})
        net = nn.Sequential(*layers[:-1]).eval().requires_grad_(requires_grad=False)
        x = torch.stack([torch.from_numpy(_pixels(image)) for image in part["image"]])
        yield net, float(epsilon), x[:, None].float() / 255, torch.tensor(part["label"].to_numpy())


def _pixels(image) -> np.ndarray:
    content = image["bytes"] if isinstance(image, dict) else image
    if content[:4] == b"\x89PNG":
        return np.array(Image.open(io.BytesIO(content)))
    return np.frombuffer(content, np.uint8).reshape(28, 28).copy()


class Routed(nn.Module):
    """Each image (1, 28, 29) to the network that its last column names in grey, by more than a ball can change."""

    def __init__(self, nets: list[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def column(self, k: int, n: int) -> torch.Tensor:
        return torch.full((n, 1, 28, 1), k / max(1, len(self.nets) - 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shade = (x[:, 0, 0, -1].detach() * max(1, len(self.nets) - 1)).round()
        rows = [(shade == k).nonzero()[:, 0] for k in range(len(self.nets))]
        logits = torch.cat([net(x[part, ..., :-1]) for net, part in zip(self.nets, rows, strict=True)])
        return logits[torch.cat(rows).argsort()]


def together(shared, verdict: str):
    """The questions of all networks about balls of one size, as one: an attack takes its thousands of steps once."""
    questions = list(settled(shared, verdict))
    for epsilon in sorted({one[1] for one in questions}):
        nets, _, images, labels = zip(*(one for one in questions if one[1] == epsilon), strict=True)
        net = Routed(list(nets)).eval()
        x = [torch.cat([x, net.column(k, len(x))], 3) for k, x in enumerate(images)]
        yield net, epsilon, torch.cat(x), torch.cat(labels)


def test_together_they_say_what_each_says(shared):
    alone = [torch.cat([net(x) for net, e, x, _ in settled(shared, "violated") if e == 0.05])]
    (joint,) = [net(x) for net, e, x, _ in together(shared, "violated") if e == 0.05]
    torch.testing.assert_close([joint], alone)


def broken(shared, verdict: str, name: str, questions=settled, **options) -> int:
    total = 0
    for net, epsilon, x, label in questions(shared, verdict):
        record = attacks.build(name, {"epsilon": epsilon, **options})
        total += int(_broken(net, epsilon, x, label, record).sum())
    return total


def _broken(net, epsilon, x, label, record) -> torch.Tensor:
    candidates = attack(record, net, x, 64, Goal(label, 10)).candidates
    inside = size((candidates - x).double(), "linf") <= epsilon * (1 + 1e-5) + 1e-6
    return (net(candidates).argmax(1) != label) & inside


def test_the_first_two_of_autoattack_find_what_verifiers_know_and_nothing_else(shared):
    assert broken(shared, "violated", "cascade") >= 21
    assert broken(shared, "holds", "apgd", together) == 0


def test_smoothed_gradients_find_all_that_verifiers_know_and_nothing_else(shared):
    """On the plateau of one network, 5 of 256 units active, every other gradient points nowhere."""
    assert sum(_corners(shared, "violated", 8)) == 22
    assert sum(_corners(shared, "violated", 0, together)) < 22
    assert sum(_corners(shared, "holds", 8)) == 0


def _corners(shared, verdict, smoothing, questions=settled):
    """How many fall in each group to steps from corner to corner, three times."""
    for net, epsilon, x, label in questions(shared, verdict):
        outcome = attack(_smoothed(epsilon, smoothing), net, x, 64, Goal(label, 10))
        yield int((net(outcome.candidates).argmax(1) != label).sum())


def _smoothed(epsilon, smoothing=8):
    steps = {"steps": 100, "restarts": 3, "epsilon": epsilon, "step_size": 2 * epsilon, "smoothing": smoothing}
    return attacks.build("pgd", {"loss": "margin", "targets": 9, **steps})


@pytest.mark.slow
def test_strong_attacks_find_what_verifiers_know(shared):
    assert broken(shared, "violated", "autoattack") >= 21
    assert broken(shared, "violated", "strongest") >= 22


@pytest.mark.slow
@pytest.mark.parametrize("member", ["apgd-ce", "apgd-t", "fab-t", "square", "apgd-margin-t"])
def test_strong_attacks_find_nothing_else(shared, member):
    """Of what holds none is broken, so each of a list has it whole; autoattack's are all on the longer list."""
    for net, epsilon, x, label in together(shared, "holds"):
        usual, strongest = (attacks.build(name, {"epsilon": epsilon}).members for name in ("autoattack", "strongest"))
        assert usual.items() <= strongest.items()
        assert strongest.pop("pgd-smoothed-t") == _smoothed(epsilon)  # of which the test above says it
        assert list(strongest) == ["apgd-ce", "apgd-t", "fab-t", "square", "apgd-margin-t"]
        assert not _broken(net, epsilon, x, label, strongest[member]).any()
