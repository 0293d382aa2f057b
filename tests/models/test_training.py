"""Training against an adversary: its step in closed form, its ball and box, and what a recipe without one keeps."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from robustbench_lite.datasets.base import Samples
from robustbench_lite.models import training
from robustbench_lite.models.adversary import FastSign, Madry, Registered, Trades, adversary
from robustbench_lite.models.recipe import Recipe, recipe, recipes
from robustbench_lite.threat.box import steepest_within
from robustbench_lite.threat.norms import size

cross_entropy = nn.functional.cross_entropy
TINY = {
    "name": "tiny",
    "arch": "lenet",
    "size": [1, 28, 28],
    "classes": 10,
    "mean": [0.1],
    "std": [0.3],
    "dataset": "digits",
    "train": [{"idx": "nowhere"}],
    "test": {"idx": "nowhere"},
    "epochs": 2,
    "batch_size": 16,
    "lr": 0.05,
    "shift": 1,
}
BALL = {"fgsm_rs": {"epsilon": 0.1}}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 1, 6, 6) of which a third of the numbers lie at an end of the box, and labels of three classes."""
    x = (torch.rand(n, 1, 6, 6, generator=generator(1)) * 1.5 - 0.25).clamp(0, 1)
    return x, torch.arange(n) % 3


def two_classes() -> nn.Module:
    """Linear: of class 1 the more, the larger w.x; from every image the best perturbation is known exactly."""
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 2))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_on_a_linear_classifier_pgd_ends_at_the_best_point_of_ball_and_box(norm):
    net, (x, y), epsilon = two_classes(), pictures(), {"linf": 0.1, "l2": 0.6, "l1": 3.0}[norm]
    y = y % 2
    adv = Madry(norm=norm, epsilon=epsilon, steps=100, step_size=epsilon).perturb(net, x, y, generator())
    w = net[1].weight[1 - y] - net[1].weight[y]
    best = steepest_within(x, w.detach().view_as(x), norm, epsilon)
    rise = lambda r: (w.view_as(x) * r).flatten(1).sum(1).detach()
    assert torch.allclose(
        rise(adv - x), rise(best), rtol=1e-5 if norm == "linf" else 0.05
    )  # at the box the l2 step turns


def test_a_long_single_step_on_a_linear_classifier_is_the_closed_form():
    net, (x, y) = two_classes(), pictures()
    y = y % 2
    adv = FastSign(epsilon=0.1, step_size=0.2).perturb(net, x, y, generator())  # from any start to the far side
    w = (net[1].weight[1 - y] - net[1].weight[y]).view_as(x)
    assert torch.allclose(adv, (x + 0.1 * w.sign()).clamp(0, 1), atol=1e-6)


def test_a_single_step_goes_from_its_start_by_its_size():
    net, (x, y) = two_classes(), pictures()
    y = y % 2
    opponent = FastSign(epsilon=0.1)
    start = opponent.anywhere(x, generator()).clamp(0, 1)
    w = (net[1].weight[1 - y] - net[1].weight[y]).view_as(x)
    expected = (start + 0.125 * w.sign()).clamp(x - 0.1, x + 0.1).clamp(0, 1)
    assert torch.allclose(opponent.perturb(net, x, y, generator()), expected, atol=1e-6)
    assert (start - x).abs().max() > 0.09 and not torch.allclose(expected, (x + 0.1 * w.sign()).clamp(0, 1))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("kind", [FastSign, Madry])
def test_what_a_network_is_trained_on_is_in_the_ball_and_in_the_box(kind, norm):
    (x, y), epsilon = pictures(), 0.3
    adv = kind(norm=norm, epsilon=epsilon).perturb(two_classes(), x, y % 2, generator())
    assert adv.min() >= 0 and adv.max() <= 1
    assert (size(adv - x, norm) <= epsilon * 1.0001).all() and size(adv - x, norm).min() > epsilon / 10


@pytest.mark.parametrize("entry", [BALL, {"pgd": {"epsilon": 0.1, "steps": 2}}, {"deepfool": {"norm": "l2"}}])
def test_the_loss_is_that_on_other_images_and_the_network_is_left_as_it_was(entry):
    net, (x, _) = nn.Sequential(two_classes(), nn.BatchNorm1d(2)), pictures()
    y = net.eval()(x).argmax(1)
    clean = cross_entropy(net(x), y)
    kept = {key: value.clone() for key, value in net.train().state_dict().items()}
    calls, forward = [], net.forward
    net.forward = lambda images: calls.append((net.training, images)) or forward(images)
    adversary(entry).loss(net, x, y, cross_entropy, generator()).backward()
    *inner, (mode, seen) = calls
    assert mode and inner and not any(mode for mode, _ in inner)  # perturbed in eval mode, learnt in training mode
    assert seen.shape == x.shape and cross_entropy(forward(seen), y) > clean
    assert all(p.requires_grad and p.grad is not None for p in net.parameters())
    moved = {key for key, value in net.state_dict().items() if not torch.equal(value, kept[key])}
    assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_trades_is_cross_entropy_where_beta_is_nothing_and_grows_with_it():
    net, (x, y) = two_classes(), pictures()
    losses = [
        Trades(epsilon=0.1, beta=beta).loss(net, x, y % 2, cross_entropy, generator()).item() for beta in (0, 1, 2)
    ]
    assert losses[0] == cross_entropy(net(x), y % 2).item()
    assert losses[1] > losses[0] and losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)


def test_trades_adds_the_divergence_at_the_worst_point():
    net, (x, y) = two_classes(), pictures()
    w = (net[1].weight[1] - net[1].weight[0]).view(1, 1, 6, 6)
    ends = [net((x + side * 0.1 * w.sign()).clamp(0, 1)).log_softmax(1) for side in (-1, 1)]
    p = net(x).softmax(1)
    worst = torch.stack([(p * (p.log() - end)).sum(1) for end in ends]).amax(0).mean()
    loss = Trades(epsilon=0.1, beta=1).loss(net, x, y % 2, cross_entropy, generator())
    added, worst = (loss - cross_entropy(net(x), y % 2)).item(), worst.item()
    assert 0.9 * worst <= added <= 1.0001 * worst  # the start decides between the two ends


def test_adversaries_are_built_by_name_and_wrong_ones_are_told():
    assert adversary({"trades": {"epsilon": "8/255"}}) == Trades(epsilon=8 / 255)
    assert adversary({"deepfool": {}}) == Registered(attack="deepfool")
    for entry, said in [
        ({"pgdd": {}}, "did you mean 'pgd'"),
        ({"pgd": {}}, "epsilon"),
        ({"deepfool": {"norm": "l3"}}, "norm"),
        ({"pgd": {"epsilon": 1}, "trades": {"epsilon": 1}}, "one name"),
    ]:
        with pytest.raises(ValidationError, match=said):
            Recipe(**TINY, adversary=entry)
    for changes, said in [({"ramp": 1}, "ramp"), ({"holdout": 5}, "holdout"), ({"holdout": -5}, "than or equal to 0")]:
        with pytest.raises(ValidationError, match=said):
            Recipe(**TINY, **changes)
    with pytest.raises(ValidationError, match="at most the 2 epochs"):
        Recipe(**TINY, adversary=BALL, ramp=3)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A function that trains the tiny recipe with changes, and gives its weights."""
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    samples = Samples("digits", tuple(map(str, range(64))), pixels, np.arange(64) % 10, tuple("0123456789"))
    monkeypatch.setattr(training, "_source", lambda *_: samples)

    def run(**changes) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        todo = Recipe(**TINY, **changes)
        monkeypatch.setattr(training, "recipe", lambda _: todo)
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        training.train("tiny", out)
        return load_file(out / "tiny.safetensors")

    return run


def test_without_an_adversary_the_weights_are_those_of_the_plain_loop(trained):
    """Written out once more, with the same draws: order, augmentation, optimiser."""
    from robustbench_lite.models import archs
    from robustbench_lite.models._augment import augment

    todo, samples = Recipe(**TINY, half=False), training._source()
    torch.manual_seed(0)
    net = archs.build("lenet", 1, 10).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=8, pct_start=0.2)
    images, labels = torch.from_numpy(samples.images), torch.from_numpy(samples.labels)
    for epoch in range(2):
        order = torch.randperm(64, generator=(draws := generator(epoch)))
        for batch in order.view(4, 16):
            x = (augment(images[batch], todo, draws) - torch.tensor([0.1])) / torch.tensor([0.3])
            optimizer.zero_grad()
            cross_entropy(net(x.contiguous(memory_format=torch.channels_last)), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    weights = trained(half=False)
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


def test_with_one_they_differ_and_come_out_the_same_again(trained):
    plain, first, again = trained(half=False), trained(half=False, adversary=BALL), trained(half=False, adversary=BALL)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not any(torch.equal(value, plain[key]) for key, value in first.items())


@pytest.mark.parametrize(("robust", "kept"), [([7, 3], 0), ([3, 7], 1), ([0, 0], 1)])
def test_the_epoch_that_withstands_most_is_kept(trained, monkeypatch, robust, kept):
    states = []

    def counts(self, seen, todo):
        assert len(self.labels) == 16 and not seen.net.training
        states.append({key: value.clone() for key, value in seen.net.state_dict().items()})
        return 9, robust[len(states) - 1]

    monkeypatch.setattr(training.Held, "counts", counts)
    weights = trained(half=False, adversary=BALL, holdout=16)
    assert all(torch.equal(value, weights[key]) for key, value in states[kept].items())


def test_fingerprints_of_recipes_do_not_move_with_new_options():
    from robustbench_lite.models import zoo

    assert all(f"recipe {name} ({recipe(name).hash})" in zoo.card(name).source for name in zoo.available())
    assert {"adversary", "ramp", "holdout"} <= set(Recipe.model_fields)
    assert sum(bool(recipe(name).adversary) for name in recipes()) >= 4
