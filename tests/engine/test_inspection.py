"""Classifiers that lie are refused or doubted, and honest ones are not, whatever they compute in."""

from __future__ import annotations

import importlib.util
import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.inspection import Scorer, doubts_about, looked, spread
from robustbench_lite.errors import ModelError
from robustbench_lite.models.archs.normalized import TwoClasses
from robustbench_lite.models.base import Card, Classifier
from robustbench_lite.models.finish import content_hash, finish
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.runner.assets import Assets, images
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.trust.smell import cases
from robustbench_lite.trust.smells.outputs import outputs
from tests.helpers import CPU, ROOT, attack, mlp
from tests.helpers import images as random_images

SIZE = (1, 28, 28)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 40}}, "models": ["lenet_mnist"]}
    return images(Assets(load({**plain, "attacks": ["fgsm"]}), CPU).samples("mnist"))


@pytest.fixture(scope="module")
def lenet() -> nn.Module:
    return Zoo(zoo="lenet_mnist").load(ROOT).module


class Wrapped(nn.Module):
    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def finished(net: nn.Module, classes: int = 10, size=SIZE) -> Classifier:
    card = Card(name="it", arch="a", classes=classes, size=size, mean=(0,), std=(1,))
    return finish(card, net)


def scorer(net: nn.Module, x: torch.Tensor, classes: int = 10, batch: int = 16) -> torch.Tensor:
    found = finished(net, classes, tuple(x.shape[1:]))
    return looked(Scorer(found.name, found.module, CPU, batch), x, found.card.classes)


HONEST = {
    "itself": {},
    "scaled": {"after": lambda z: 1000 * z},
    "tiny": {"after": lambda z: 1e-6 * z},
    "offset": {"after": lambda z: z + 1e5},
    "switched_off": {"after": lambda z: torch.cat([z, z.new_full((len(z), 2), -1e9)], 1)},
    "float64": {"after": lambda z: z.double()},
    "bfloat16": {"after": lambda z: z.bfloat16()},
    "float16": {"after": lambda z: z.half()},
    "in_place": {"before": lambda x: x.clamp_(0, 1)},
    "log_softmax": {"after": lambda z: z.log_softmax(1)},
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_classifiers_pass_without_a_doubt(name, lenet, digits):
    logits = scorer(Wrapped(lenet, **HONEST[name]), digits, 12 if name == "switched_off" else 10)
    assert not list(doubts_about(logits))
    assert (logits.argmax(1) == lenet(digits).argmax(1)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_networks_stored_in_another_type_pass(dtype, digits):
    scorer(Zoo(zoo="lenet_mnist").load(ROOT).module.net.to(dtype), digits)


def test_a_network_under_autocast_passes(lenet, digits):
    class Auto(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = lenet

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.net(x).float()

    scorer(Auto(), digits)


def of_gradients(z: torch.Tensor) -> torch.Tensor:
    return z + 0.1 * z.flip(1) if torch.is_grad_enabled() else z


MIXING = "logits change with the batch size or with the other images of a batch"
LIARS = {
    "mixes": ({"before": lambda x: (x - 0.15 * (x.mean() - 0.13)).clamp(0, 1)}, MIXING),
    "mixes_little": ({"after": lambda z: z + 0.02 * z.mean(0)}, MIXING),
    "mixes_neighbours": ({"after": lambda z: z + 0.02 * z.roll(1, 0)}, MIXING),
    "normalised_by_the_batch": ({"before": lambda x: functional.batch_norm(x, None, None, training=True)}, MIXING),
    "counts_the_batch": ({"after": lambda z: z + 0.05 * len(z) * z.flip(1)}, MIXING),
    "only_when_small": ({"after": lambda z: z if len(z) > 1 else 0.98 * z.flip(1)}, MIXING),
    "of_gradients": ({"after": of_gradients}, "logits change when gradients are recorded"),
    "of_the_leaf": (
        {"before": lambda x: x * 0.9 if x.requires_grad else x},
        "logits change when gradients are recorded",
    ),
    "random": ({"after": lambda z: z + 0.05 * torch.randn_like(z)}, "two calls on the same images give different"),
    "softmax": ({"after": lambda z: z.softmax(1)}, "outputs are probabilities"),
    "bfloat16_softmax": ({"after": lambda z: z.bfloat16().softmax(1)}, "outputs are probabilities"),
    "float16_softmax": ({"after": lambda z: z.half().softmax(1)}, "outputs are probabilities"),
    "infinite": ({"after": lambda z: z / 0}, "logits are not finite on 40 of 40"),
}


@pytest.mark.parametrize("name", LIARS)
def test_liars_are_refused_with_a_sentence_that_says_how(name, lenet, digits):
    how, sentence = LIARS[name]
    with pytest.raises(ModelError, match=sentence) as caught:
        scorer(Wrapped(lenet, **how), digits)
    assert caught.value.stage in {"load", "inspect"}


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 33])
def test_mixing_is_seen_however_few_images_there_are(n, lenet, digits):
    x = digits[:n]
    scorer(lenet, x)
    with pytest.raises(ModelError, match=MIXING):
        scorer(Wrapped(lenet, **LIARS["mixes"][0]), x, batch=64)


DOUBTED = {
    "sigmoid": (lambda z: z.sigmoid(), r"outputs lie in \[0, 1\]"),
    "a_tenth_of_softmax": (lambda z: z.softmax(1) / 10, r"outputs lie in \[0, 1\]"),
    "bfloat16_sigmoid": (lambda z: z.bfloat16().sigmoid(), r"outputs lie in \[0, 1\]"),
    "saturated": (lambda z: (1000 * z).softmax(1) * 10, "every row sums to 10"),
    "clamped_log": (lambda z: (50 * z).softmax(1).clamp(1e-12).log(), "are exactly the smallest one, -27.63"),
    "relu": (lambda z: z.relu(), "are exactly the smallest one, 0"),
    "hard_tanh": (lambda z: z.clamp(-1, 1), "are exactly the"),
}


@pytest.mark.parametrize("name", DOUBTED)
def test_outputs_that_look_like_something_else_are_doubted(name, lenet, digits):
    how, sentence = DOUBTED[name]
    found = " ".join(doubts_about(scorer(Wrapped(lenet, after=how), digits)))
    assert re.search(sentence, found), found
    assert "instead of logits?" in found


def test_few_logits_are_not_taken_for_clamped_ones():
    assert not list(doubts_about(torch.tensor([[1.0, -2.0]])))
    assert not list(doubts_about(torch.tensor([[1.0, -2.0], [0.5, -1.0]])))
    assert not list(doubts_about(torch.stack([torch.zeros(9), torch.randn(9)], 1)))  # one logit as two


def test_the_spread_does_not_see_what_is_switched_off():
    z = torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
    far = torch.cat([z, torch.full((64, 2), -1e9)], 1)
    assert spread(far) == pytest.approx(spread(z), rel=0.2)
    assert spread(z + 1e5) == pytest.approx(spread(z), rel=0.05)


def test_a_batch_norm_without_running_statistics_is_named():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.LazyLinear(3)
    )
    net(torch.zeros(2, *SIZE))
    with pytest.raises(ModelError, match=r"1 \(BatchNorm2d\) has no running statistics"):
        finished(net, 3)


def test_batch_norm_by_the_batch_at_batch_size_one_is_one_sentence():
    class Net(nn.Module):
        def forward(self, x):
            return functional.batch_norm(x.flatten(1)[:, :3], None, None, training=True)

    with pytest.raises(ModelError, match=r"fails on a single image .*Expected more than 1 value per channel"):
        finished(Net(), 3)


def test_the_shared_classifiers(shared, lenet, digits):
    spec = importlib.util.spec_from_file_location("classifiers", shared / "cases" / "classifiers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, wrap in module.WRAPPERS.items():
        classes = 12 if name == "classes_switched_off" else 10
        if name == "mixes_the_batch":
            with pytest.raises(ModelError, match=MIXING):
                scorer(wrap(lenet), digits)
        else:
            found = list(doubts_about(scorer(wrap(lenet), digits, classes)))
            assert bool(found) == (name in {"saturated", "clamped_log"}), name


# one logit


class One(nn.Module):
    """A linear classifier with one logit w x + b."""

    def __init__(self, shape=(-1, 1)):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.w = nn.Parameter(torch.randn(36, generator=generator))
        self.b = nn.Parameter(torch.tensor(-0.3))
        self.shape = shape

    def forward(self, x):
        return (x.flatten(1) @ self.w + self.b).reshape(self.shape)


@pytest.mark.parametrize(("shape", "classes"), [((-1, 1), 1), ((-1,), 1), ((-1, 1), 2), ((-1,), 2)])
def test_one_logit_is_two_classes(shape, classes):
    x, net = random_images(), One(shape)
    found = finished(net, classes, (1, 6, 6))
    assert found.card.classes == 2
    assert found.notes == ("one logit z is read as two classes with the logits 0 and z: class 1 where z > 0",)
    logits, z = looked(Scorer(found.name, found.module, CPU, 16), x, 2), One((-1,))(x).detach()
    torch.testing.assert_close(logits.softmax(1)[:, 1], z.sigmoid())
    assert (logits.argmax(1) == (z > 0).long()).all()


def test_deepfool_on_one_logit_finds_the_distance_to_the_plane():
    x, one = random_images(), One((-1,))
    net = finished(One(), 1, (1, 6, 6)).module
    record = attacks.build("deepfool", {"clip": False})
    found = attack(record, net, x)
    exact = ((x.flatten(1) @ one.w + one.b).abs() / one.w.norm()).detach()
    sizes = (found.candidates - x).flatten(1).norm(dim=1)
    assert (net(found.candidates).argmax(1) != net(x).argmax(1)).all()
    torch.testing.assert_close(sizes, exact * 1.02, rtol=1e-2, atol=1e-5)  # the paper's overshoot


def test_squeeze_takes_the_batch_away_and_is_refused():
    with pytest.raises(ModelError, match=r"expected logits \(1, 5\) for a single image, got \(5,\)"):
        finished(Wrapped(mlp(), after=lambda z: z.squeeze()), 5, (1, 6, 6))
    with pytest.raises(ModelError, match=r"expected logits \(N, 5\), got \(2,\)"):
        finished(One((-1,)), 5, (1, 6, 6))
    assert isinstance(finished(Wrapped(One(), after=lambda z: z.squeeze()), 1, (1, 6, 6)).module, TwoClasses)


class Output:
    def __init__(self, logits):
        self.hidden, self.logits = torch.zeros(1, 2), logits


class Tree(nn.Module):
    """Returns what `around` makes of the logits."""

    def __init__(self, around):
        super().__init__()
        self.net, self.around = mlp(), around

    def forward(self, x):
        return self.around(self.net(x))


@pytest.mark.parametrize(
    ("around", "note"),
    [
        (lambda z: (z, z * 2), "it returns tuple, of which entry 0, its first tensor of two dimensions, is"),
        (lambda z: [z.sum(), z[:, :, None], z], "it returns list, of which entry 2, its first tensor of"),
        (lambda z: {"features": z * 2, "logits": z}, "it returns dict, of which `logits` is read as the logits"),
        (lambda z: {"loss": None, "out": z, "aux": z * 2}, "it returns dict, of which entry 'out', its first"),
        (Output, "it returns Output, of which `logits` is read as the logits"),
    ],
)
def test_logits_are_taken_out_of_what_is_around_them_and_the_note_says_how(around, note):
    made, x = finished(Tree(around), 5, (1, 6, 6)), random_images(3).requires_grad_()
    expected = mlp()(x)
    torch.testing.assert_close(made.module(x), expected)
    slopes = [torch.autograd.grad(z.square().sum(), x)[0] for z in (made.module(x), expected)]
    torch.testing.assert_close(*slopes)
    assert len(made.notes) == 1 and note in made.notes[0]


@pytest.mark.parametrize(
    "around", [lambda z: {"logits": 1}, lambda z: (z.sum(),), lambda z: "x", lambda z: Output(None)]
)
def test_where_no_logits_are_found_it_is_one_sentence(around):
    with pytest.raises(ModelError, match="without `logits` or a tensor of two dimensions; wrap it so that it returns"):
        finished(Tree(around), 5, (1, 6, 6))


def test_logits_inside_have_as_many_classes_as_stated():
    with pytest.raises(ModelError, match=r"expected logits \(N, 7\), got \(2, 5\)"):
        finished(Tree(lambda z: (z,)), 7, (1, 6, 6))


@pytest.mark.filterwarnings("ignore")
def test_content_of_quantised_layers_is_hashed():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    one = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    before = content_hash(one)
    net[1].weight.data *= 2
    other = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    assert content_hash(one) == before != content_hash(other)


def test_trust_is_red_where_outputs_are_no_logits(tmp_path):
    """As `12_sigmoid_outputs`: looks 96.7 % robust where 73.3 % are."""
    (tmp_path / "net.py").write_text(
        "from pathlib import Path\nfrom torch import nn\nfrom robustbench_lite.models.zoo import Zoo\n"
        "def logits():\n    return Zoo(zoo='lenet_mnist').load(Path()).module.net\n"
        "def sigmoid():\n    return nn.Sequential(logits(), nn.Sigmoid())\n"
    )
    made = [
        {"python": f"net.py:{name}", "size": list(SIZE), "classes": 10, "trust": True} for name in ("logits", "sigmoid")
    ]
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 30}}, "models": made}
    loaded = load({**plain, "attacks": [{"pgd": {"epsilon": 0.1, "steps": 5}}]}, root=tmp_path)
    results = run_suite(loaded, Options(results=tmp_path))
    everything = cases(results)
    red = {case.cell["source"]: outputs.look(case, everything).red for case in everything}
    assert red == {"logits": False, "sigmoid": True}
