"""An attack called on a module and tensors at hand says what a run says, and leaves the module as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import robustbench_lite.attacks as face
from robustbench_lite.attacks import EOT3D, FGSM, PGD, RP2, DeepFool, Ensemble, Spatial, Universal, attacks
from robustbench_lite.datasets.base import images as floats
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.evaluate import evaluate
from robustbench_lite.errors import AttackError, ModelError, UsageError
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.results.schema import SAMPLES
from robustbench_lite.runner.run import run
from robustbench_lite.threat.goal import Goal
from tests.helpers import ROOT, images, mlp
from tests.linear import problems


@pytest.fixture
def net() -> nn.Module:
    return mlp()


def labels_of(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x).argmax(1)


# exact answers


@pytest.mark.parametrize("problem", problems(12), ids=lambda problem: problem.name)
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_pgd_fails_below_the_exact_radius_and_succeeds_above_it(problem, norm):
    y = problem.logits().argmax(1)
    radius = problem.radius(Goal(y, problem.classes), norm)
    below = PGD(norm=norm, epsilon=0.98 * float(radius.min()))(problem.module, problem.x, y)
    assert not below.success.any() and below.robust.all()
    above = PGD(norm=norm, epsilon=1.05 * float(radius.max()))(problem.module, problem.x, y)
    assert above.success.all() and not above.robust.any()
    assert (above.size(norm) <= 1.05 * float(radius.max()) * (1 + 1e-5) + 1e-6).all()


def test_deepfool_finds_the_exact_radius():
    problem = problems(12)[3]
    y = problem.logits().argmax(1)
    result = DeepFool()(problem.module, problem.x, y)
    radius = problem.radius(Goal(y, problem.classes), "l2").double()
    assert result.success.all()
    assert ((result.size("l2") >= radius * (1 - 1e-4)) & (result.size("l2") <= 1.05 * radius)).all()


# the same as a run

SUITE = {
    "version": 1,
    "name": "same",
    "seed": 7,
    "data": {"fashion_mnist": {"samples": 12}},
    "models": ["resnet8_fashion"],
    "images": "none",
}
SAME = {
    "pgd": PGD(epsilon=0.01, steps=5),
    "deepfool": DeepFool(),
    "fgsm": FGSM(epsilon=0.02, target="random"),
    "spatial": Spatial(rotation=10, translation=1, search="worst_of_k", k=3),
}
OURS = ["cell", "suite", "dataset", "source", "model", "weights", "seconds"]  # what only a run has, and times


@pytest.mark.parametrize("name", SAME)
def test_the_same_images_give_the_rows_of_a_run(name, tmp_path):
    attack = SAME[name]
    stored = run({**SUITE, "attacks": [{name: attack.params()}]}, tmp_path, timing=False)
    assert not stored.problems and set(stored.cells()["status"]) == {"ok"}
    samples = Bundled(bundled="fashion_mnist", samples=12).load(ROOT)
    module = Zoo(zoo="resnet8_fashion").load(ROOT).module
    result = attack(module, floats(samples), torch.from_numpy(samples.labels), seed=7)
    assert list(result.frame().columns) == list(stored.samples().columns) == SAMPLES.names
    ours, theirs = (frame.drop(columns=OURS) for frame in (result.frame(), stored.samples()))
    assert ours.equals(theirs)
    few = attack(module, floats(samples), torch.from_numpy(samples.labels), seed=7, batch_size=5)
    assert list(few.success) == list(result.success)
    assert list(attack(module, floats(samples), torch.from_numpy(samples.labels)).ids) == list(theirs["sample"])


# whatever happens, the module stays as it was


class Busy(nn.Module):
    """Counts its passes in a buffer, and raises at the one that it is told to."""

    def __init__(self, inner: nn.Module, at: int = -1) -> None:
        super().__init__()
        self.inner, self.norm, self.drop, self.at = inner, nn.BatchNorm2d(1), nn.Dropout(0.5), at
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise KeyError("at hand")
        self.passes = self.passes + 1
        return self.inner(self.drop(self.norm(x)))


def state(net: nn.Module) -> list[object]:
    modes = [part.training for part in net.modules()]
    wanted = [parameter.requires_grad for parameter in net.parameters()]
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in net.parameters()]
    return [modes, wanted, gradients, {key: value.clone() for key, value in net.state_dict().items()}]


@pytest.mark.parametrize("at", [-1, 1, 5, 40])
def test_the_module_is_left_as_it_was(net, at):
    busy = Busy(net.requires_grad_(requires_grad=True)).train()
    busy.norm.eval()
    busy.inner[1].bias.requires_grad_(requires_grad=False)
    busy(images(4)).sum().backward()
    before, buffer = state(busy), busy.passes
    x = images(8)
    busy.calls, busy.at = 0, at
    if at > 0:
        with pytest.raises((KeyError, ModelError)):
            PGD(steps=60, stop="never")(busy, x, torch.zeros(8, dtype=torch.int64))
    else:
        result = PGD(steps=3)(busy, x, torch.zeros(8, dtype=torch.int64))
        assert result.warnings == ("the forward pass changes passes, which was put back",)
    assert str(state(busy)) == str(before)
    assert busy.passes is buffer


class Adapted(nn.Module):
    """Merges its weights in eval mode, as adapters do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.merged = inner, False

    def train(self, mode: bool = True) -> Adapted:
        self.merged = not mode
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.mark.parametrize("modes", [(True,), (False,), (True, False), (False, True)])
def test_what_a_module_does_when_its_mode_changes_is_undone(net, modes):
    members = [Adapted(mlp(seed=seed)).train(mode) for seed, mode in enumerate(modes)]
    result = FGSM()(members, images(4), torch.zeros(4).long())
    assert len(result) == 4
    assert [(member.training, member.merged, member.inner.training) for member in members] == [
        (mode, not mode, mode) for mode in modes
    ]


def test_settings_of_the_caller_change_nothing_and_stay(net):
    x = images(8)
    y = labels_of(net, x)
    attack = PGD(epsilon=0.1, steps=4)
    plain = attack(net, x, y)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        inside = attack(net, x, y)
        assert torch.is_inference_mode_enabled()
    with torch.no_grad():
        assert torch.equal(attack(net, x.requires_grad_(), y).images, plain.images)
    assert torch.equal(inside.images, plain.images) and not inside.images.requires_grad
    assert torch.equal(torch.get_rng_state(), before)


class Small(nn.Module):
    """Has memory for so many images, and its logits are not finite where an image is too bright."""

    def __init__(self, inner: nn.Module, most: int = 99, brightest: float = 2.0) -> None:
        super().__init__()
        self.inner, self.most, self.brightest = inner, most, brightest

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        bright = (x.flatten(1).amax(1) > self.brightest).float()
        return self.inner(x) + (bright * float("inf")).nan_to_num(posinf=float("nan"))[:, None]


def test_batches_are_halved_when_memory_runs_out(net):
    x = images(30)
    y = labels_of(net, x)
    attack = PGD(epsilon=0.1, steps=5)
    few, many = attack(Small(net, most=3), x, y, batch_size=20), attack(net, x, y)
    assert torch.equal(few.success, many.success) and set(few.status) == {"ok"}


def test_what_failed_is_neither_success_nor_robust(net):
    x = 0.5 * images(10)
    result = FGSM(epsilon=0.4)(Small(net, brightest=0.6), x, labels_of(net, x))
    failed = torch.tensor([status != "ok" for status in result.status])
    assert failed.any() and not (result.success & failed).any() and not (result.robust & failed).any()
    assert f"{int(failed.sum())} FAILED (" in repr(result)


# what is handed over


def test_a_result_is_readable(net):
    x = images(10)
    y = labels_of(net, x)
    y[0] = (y[0] + 1) % 5
    result = PGD(epsilon=0.2, steps=10)(net, x, y)
    assert len(result) == 10 and result.images.shape == x.shape
    text = repr(result)
    assert text.startswith("<AttackResult pgd on Sequential: 10 images; 9 classified correctly, ")
    assert set(result.status) == {"ok"} and (result.forwards > 0).all()
    with pytest.raises(UsageError, match="unknown norm 'linff'; did you mean 'linf'"):
        result.size("linff")
    assert (result.size("linf") <= 0.2 + 1e-5).all() and result.size("l0").max() <= 36
    assert torch.equal(net(result.images).argmax(1), result.predictions)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": lambda x: x.double()}, "expected float32 images, got float64; use x.float()"),
        ({"x": lambda x: (255 * x).byte()}, "got uint8; use x.float() / 255"),
        ({"x": lambda x: 255 * x}, "use x / 255 where they go to 255"),
        ({"x": lambda x: (x - 0.5) / 0.2}, "normalise in the forward of the model"),
        ({"x": lambda x: x.ceil() + 1e-5}, "use x.clamp(0, 1) where that is rounding"),
        ({"x": lambda x: x.index_fill(0, torch.tensor([1]), float("nan"))}, "1 of 6 images have NaN or inf"),
        ({"x": lambda x: x[0]}, "one image is a batch of one: x[None]"),
        ({"x": lambda x: x[:0]}, "at least one, got (0, 1, 6, 6)"),
        ({"x": lambda x: x.numpy()}, "expected a tensor of images (N, C, H, W), got ndarray; use torch.as_tensor"),
        ({"y": lambda y: y[:5]}, "expected 6 labels (6,), one for each image, got (5,)"),
        ({"y": lambda y: y.float()}, "expected class numbers, got float32; use long()"),
        ({"y": lambda y: torch.eye(5)[y]}, "use argmax(1) where a row is one-hot"),
        ({"y": lambda y: torch.eye(5).long()[y]}, "use argmax(1) where a row is one-hot"),
        ({"y": lambda y: torch.arange(6)}, "from 0 to 4, as many classes as the model has logits, got 5"),
        ({"y": lambda y: torch.arange(6) % 5 + 1}, "got 5; use y - 1 where classes are counted from 1"),
        ({"y": lambda y: y - 1 - y}, "got -1"),
        ({"y": lambda y: y.tolist()}, "got list; use torch.as_tensor"),
        ({"y": lambda _: None}, "expected a tensor of 6 class numbers, got nothing"),
        ({"net": lambda net: net.forward}, "expected an nn.Module that maps images in [0, 1] to logits, got method"),
        ({"net": type}, "got the class Sequential; make one of it: Sequential()"),
        ({"net": lambda _: []}, "got an empty list"),
        ({"net": lambda net: nn.Sequential(net, nn.Softmax(1))}, "outputs are probabilities"),
        ({"net": lambda net: nn.Sequential(nn.Dropout(0.5), net)}, ""),
        ({"net": lambda net: nn.Sequential(net, nn.Linear(5, 1))}, "return torch.cat([torch.zeros_like(z), z], 1)"),
        ({"attack": lambda _: PGD(target=0)}, "2 of 6 images are of class 0 already; leave them out"),
        ({"attack": lambda _: PGD(target=9)}, "expected a class below 5"),
        ({"attack": lambda _: PGD(norm="l2", epsilon=90)}, "did you mean 90/255?"),
        ({"attack": lambda _: Universal(fit=4)}, "expected 4 in fit=, or fewer with the parameter `fit`, got none"),
        ({"attack": lambda _: RP2()}, "rp2 works on photographs of one object"),
        ({"attack": lambda _: EOT3D()}, "`object:`), not on images: run it in a suite"),
        ({"attack": lambda _: Ensemble(sources=("a", "b"))}, "give the modules instead, in a list"),
        ({"attack": lambda _: Ensemble(sources="all", weights=(1, 2))}, "weights: expected 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_the_fix(net, change, sentence):
    x = images(6)
    parts = {"attack": FGSM(), "net": net, "x": x, "y": torch.tensor([0, 1, 2, 3, 4, 0])}
    parts |= {name: how(parts[name]) for name, how in change.items()}
    if not sentence:
        parts["attack"](parts["net"], parts["x"], parts["y"])
        return
    with pytest.raises((UsageError, ModelError, AttackError)) as caught:
        parts["attack"](parts["net"], parts["x"], parts["y"])
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"eps": 0.1}, "PGD: unknown key 'eps'; did you mean 'epsilon'?"),
        ({"steps": 0}, "PGD: steps: expected greater than 0, got 0"),
        ({"epsilon": 8}, "PGD: epsilon: 8 is larger than the whole range [0, 1] of a pixel; did you mean 8/255?"),
        (
            {"norm": "l7", "restarts": 1.5},
            "PGD: norm: expected 'linf', 'l2' or 'l1', got 'l7'; PGD: restarts: expected",
        ),
    ],
)
def test_a_wrong_parameter_is_a_sentence(params, sentence):
    with pytest.raises(UsageError) as caught:
        PGD(**params)
    assert str(caught.value).startswith(sentence)
    assert PGD(epsilon="8/255").epsilon == 8 / 255


def test_outputs_that_are_no_logits_are_a_sentence_without_an_inspection_too(net):
    flat = nn.Sequential(net, nn.Linear(5, 1), nn.Flatten(0))
    for inspect in (True, False):
        with pytest.raises(ModelError, match=r"expected logits \(N, K\)"):
            FGSM()(flat, images(3), torch.zeros(3).long(), inspect=inspect)


def test_several_modules_are_attacked_as_the_mean_of_their_probabilities():
    nets, x = [mlp(seed=seed) for seed in (0, 1)], images(12)
    y = sum(net(x).softmax(1) for net in nets).argmax(1)
    result = Ensemble(sources="all", steps=20, lr=0.05)(nets, x, y)
    assert result.clean_correct.all() and result.success.any()
    together = sum(net(result.images).softmax(1) for net in nets).argmax(1)
    assert torch.equal(together != y, result.success)
    assert set(result.frame()["source"]) == {"Sequential+Sequential"}
    assert (result.forwards >= 2 * 20).all()  # a pass counts once for each


def test_without_labels_the_predictions_are_left(net):
    x = images(6)
    result = DeepFool(goal="prediction")(net, x)
    assert torch.equal(result.labels, labels_of(net, x)) and result.success.all()


def test_one_perturbation_is_fitted_on_other_images(net):
    x, others = images(20), images(40, seed=9)
    result = Universal(fit=30, epsilon=0.3)(net, x, labels_of(net, x), fit=others)
    assert set(result.artifacts) == {"perturbation", "control"}
    assert torch.allclose(result.images, (x + result.artifacts["perturbation"]).clamp(0, 1))
    assert result.frame()["control_pred"].notna().all()
    with pytest.raises(UsageError, match="fgsm is not fitted on other images"):
        FGSM()(net, x, labels_of(net, x), fit=others)


def test_views_are_scored_where_an_attack_is_seen_under_transformations(net):
    x = images(4)
    attack = PGD(steps=2, under=[{"rotation": {"degrees": 10}}], evaluation_draws=5)
    frame = attack(net, x, labels_of(net, x)).frame()
    assert set(frame["draws"]) == {5} and frame["draws_label"].between(0, 5).all()


def test_a_module_may_have_no_parameters_and_images_of_more_than_8_bits(net):
    class Bare(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return net(x)

    x = images(5)
    result = FGSM(epsilon=0.1)(Bare(), x, labels_of(net, x), inspect=False)
    twice = FGSM(epsilon=0.1)(Bare(), torch.cat([x, x]), labels_of(net, x).repeat(2), inspect=False)
    assert len(set(twice.ids)) == 10 and twice.ids[:5] == result.ids


def test_what_is_called_is_what_the_engine_does(net):
    x = images(5)
    y = labels_of(net, x)
    assert torch.equal(evaluate(PGD(), net, x, y).images, PGD()(net, x, y).images)


# the face of the room


def test_every_registered_attack_is_a_class_of_the_room():
    assert {attacks[name].__name__ for name in attacks} <= set(dir(face))
    assert all(callable(getattr(face, name)) for name in dir(face) if name not in {"attacks", "Number"})
    names: dict[str, object] = {}
    exec("from robustbench_lite.attacks import *", names)
    assert set(dir(face)) <= set(names)
    with pytest.raises(AttributeError, match="has no attribute 'PDG'; did you mean 'PGD'"):
        face.PDG  # noqa: B018


def test_a_new_attack_appears_without_an_edit(monkeypatch):
    class Brandnew(FGSM):
        """An attack."""

    monkeypatch.setattr(attacks, "_members", dict(attacks._members))
    attacks.register("brandnew")(Brandnew)
    assert face.Brandnew is Brandnew and "Brandnew" in dir(face)


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, robustbench_lite.attacks\n"
        "heavy = {'torch', 'kornia', 'PIL', 'pandas', 'scipy'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


OWN = """
from dataclasses import replace
import torch
from robustbench_lite.attacks import State, StepAttack

class Noise(StepAttack):
    norm: str = "linf"
    epsilon: float = 0.1

    def start(self, x, goal, draw):
        adv = (x + self.epsilon * (2 * draw.uniform("noise", x.shape[1:]) - 1)).clamp(0, 1)
        return State(x, goal, draw, adv, x.new_zeros(len(x)), x.new_zeros(len(x)).bool())

    def step(self, oracle, state):
        return replace(state, won=state.goal.reached(oracle.logits(state.candidate)), done=torch.ones_like(state.done))

net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 5))
result = Noise(epsilon=0.2)(net, torch.rand(7, 1, 6, 6), torch.zeros(7).long())
assert repr(result).startswith("<AttackResult noise on Sequential: 7 images;"), result
assert set(result.frame()["attack"]) == {"noise"}
"""


def test_an_attack_that_was_typed_in_needs_no_file():
    done = subprocess.run([sys.executable, "-"], input=OWN, text=True, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


class Noisy(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x + 0.1 * torch.randn_like(x))


def test_a_random_model_is_attacked_as_its_mean(tmp_path):
    noisy, x, attack = Noisy(mlp()).train(), (255 * images(20)).round() / 255, PGD(epsilon=0.03, steps=5)
    y = labels_of(mlp(), x)
    with pytest.raises(ModelError, match=r"Noisy: two calls .* or expectation=20 in a call"):
        attack(noisy, x, y)
    whole, some = (attack(noisy, x, y, expectation=4, batch_size=size) for size in (20, 3))
    assert torch.equal(whole.success, some.success) and whole.success.any() and not whole.success.all()
    assert noisy.training and repr(whole).startswith("<AttackResult pgd on Noisy")
    suite = {"version": 1, "name": "t", "attacks": [{"pgd": {"epsilon": 0.03, "steps": 5}}]}
    data, model = {"d": (x, y)}, {"module": noisy, "expectation": 4}
    rows = run(suite, tmp_path, models={"Noisy": model}, data=data, timing=False).samples()
    theirs, ours = (dict(zip(part["sample"], part["success"], strict=True)) for part in (rows, whole.frame()))
    assert theirs == ours


@pytest.mark.parametrize("draws", [0, -1, 2.0, True, "3"])
def test_a_number_of_draws_is_a_whole_one(draws):
    with pytest.raises(UsageError, match="expectation: expected a number of draws, 1 at least, or None, got"):
        PGD()(mlp(), images(2), torch.zeros(2).long(), expectation=draws)


def test_several_random_models_are_the_mean_of_their_means():
    x, attack = images(12), PGD(epsilon=0.05, steps=3)
    result = attack([Noisy(mlp()), Noisy(mlp(seed=1))], x, torch.zeros(12).long(), expectation=3)
    assert (result.forwards % 2 == 0).all() and len(result.success) == 12
