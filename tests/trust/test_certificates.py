"""Certificates: exact where the answer is known, never above the truth, and refused where no bound is known."""

from __future__ import annotations

import runpy
from itertools import pairwise

import pytest
import torch
from torch import nn

from robustbench_lite.errors import ModelError, UsageError
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.box import box_radius, steepest_within
from robustbench_lite.threat.norms import dual_size
from robustbench_lite.trust.certificates import NORMS, certify, ladder, parts, region, relaxations
from robustbench_lite.trust.certificates.bounds import bounds_of, value_of
from robustbench_lite.trust.certificates.read import nodes_of
from robustbench_lite.trust.certificates.region import Region
from tests.attacks.test_published import published, read_idx
from tests.attacks.test_strong import settled
from tests.helpers import images, mlp
from tests.linear import problems


def absolute(level: float) -> nn.Module:
    """Logits (level, |2 x - 1|) of an image of one number x, as two units of ReLU."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    weights = ([[2.0], [-2.0]], [-1.0, 1.0], [[0.0, 0.0], [1.0, 1.0]], [level, 0.0])
    for one, value in zip(net.parameters(), weights, strict=True):
        one.data = torch.tensor(value)
    return net.eval()


@pytest.mark.parametrize(("method", "margin"), [("ibp", -0.3), ("crown_ibp", 0.1), ("crown", 0.1)])
def test_two_units_of_relu_by_hand(method, margin):
    """On [0.3, 0.7] the units reach 0.4 each but their sum, |2 x - 1|, too: intervals say 0.8, linear bounds 0.4."""
    found = certify(absolute(0.5), torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), epsilon=0.2, method=method)
    assert found.margin.item() == pytest.approx(margin, abs=1e-4)
    assert found.proven.tolist() == [margin > 0]
    assert found.by == ("crown_ibp" if margin > 0 else "",)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("problem", problems(6), ids=lambda problem: problem.name)
def test_of_a_linear_classifier_the_margin_is_exact(problem, norm):
    """The gap of each pair of logits less the dual norm of its gradient times the radius, where the box is far away."""
    z, label = problem.logits().double(), problem.logits().argmax(1)
    epsilon = 0.3
    gap = z.gather(1, label[:, None]) - z
    slope = dual_size((problem.weight[label][:, None] - problem.weight[None]).double().flatten(0, 1), norm)
    exact = gap - slope.view_as(gap) * allowed(epsilon)
    exact = exact.scatter(1, label[:, None], float("inf")).amin(1)
    found = certify(problem.module, problem.x, label, norm=norm, epsilon=epsilon)
    assert torch.allclose(found.margin, exact, rtol=1e-4, atol=1e-4 * float(slope.max()))
    assert bool((found.margin <= exact).all())


@pytest.mark.parametrize("norm", NORMS)
def test_of_a_linear_classifier_the_radius_is_exact_where_the_box_binds(norm):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand((20, 1, 4, 4), generator=generator).round()  # every number in a corner
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    net[1].weight.data = torch.randn((2, 16), generator=generator)
    z = net(x).detach()
    w = (net[1].weight[0] - net[1].weight[1]).detach().expand(20, -1).view(20, 1, 4, 4)
    away = torch.where(z.argmax(1) == 0, -1.0, 1.0)
    radius = box_radius(x, w * away.view(-1, 1, 1, 1), (z[:, 0] - z[:, 1]).abs(), norm)
    reachable = radius.isfinite() & (radius > 0.05)
    assert reachable.sum() > 5
    for i in reachable.nonzero()[:, 0].tolist():
        one = slice(i, i + 1)
        below, above = (certify(net, x[one], z[one].argmax(1), norm=norm, epsilon=f * float(radius[i]))
                        for f in (0.99, 1.01))  # fmt: skip
        assert bool(below.proven) and not bool(above.proven)
    for i in radius.isinf().nonzero()[:, 0].tolist():
        assert bool(certify(net, x[i : i + 1], z[i : i + 1].argmax(1), norm=norm, epsilon=1.0).proven)


class Residual(nn.Module):
    """Every layer that is known, in one: a shortcut that subsamples and pads, several kinds of pooling, constants."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 4, (3, 2), padding=(1, 0), dilation=(1, 2), groups=2)
        self.pools = nn.ModuleList([nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True)])
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8 + 4, 3)
        self.register_buffer("mean", torch.tensor([0.4, 0.6]).view(1, 2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - self.mean) / 0.25
        out = torch.relu(self.norm(self.conv(x)))
        short = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))
        out = nn.functional.relu(out + short)
        out = self.down(out)
        parts = [pool(out) for pool in self.pools]
        flat = torch.cat([2 * parts[0], parts[1] - 1], 1)[:, 2:6]
        flat = self.drop(flat.reshape(flat.size(0), -1))
        logits: torch.Tensor = self.head(torch.cat([flat, (1 - out).mean((2, 3))], 1))
        return logits


def randomised(net: nn.Module, scale: float = 0.5) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    for one in [*net.parameters(), *(one for one in net.buffers() if one.is_floating_point() and one.ndim == 1)]:
        one.data = torch.rand(one.shape, generator=generator) * 2 * scale - scale * (one.ndim > 1)
    return net.eval().requires_grad_(requires_grad=False)


def pooled() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)
    )


NETS = {
    "residual": lambda: (randomised(Residual()), images(6, (2, 7, 7))),
    "pooled": lambda: (randomised(pooled()), images(6, (2, 6, 6))),
    "mlp": lambda: (mlp(), images(6)),
}


def lowest(net: nn.Module, x: torch.Tensor, norm: str, epsilon: float, inner: str = "linear") -> float:
    """The least by which logits of images in the region are above their lower bounds: at its border, and descended."""
    nodes, at = nodes_of(net, tuple(x.shape[1:])), Region(x.double(), norm, epsilon)
    bounds = bounds_of(nodes, at, inner)
    classes = nodes[-1].shape[0]
    owner = torch.arange(len(x)).repeat_interleave(classes)
    w = torch.eye(classes, dtype=torch.float64).repeat(len(x), 1)
    low = bounds.least(len(nodes) - 1, w, owner) if inner == "linear" else bounds.low[-1].flatten()
    found = [(value_of(nodes, moved).flatten() - low).min() for moved in _moved(net, x, at, classes)]
    return float(torch.stack(found).min())


def _moved(net: nn.Module, x: torch.Tensor, at: Region, classes: int):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        yield _inside(x, torch.randn(x.shape, generator=generator), at)
    for target in range(classes):
        leaf = x.clone()
        for _ in range(5):
            leaf.requires_grad_()
            (gradient,) = torch.autograd.grad(net(leaf)[:, target].sum(), leaf)
            leaf = _inside(x, -gradient, at).float()
        yield leaf.double().clamp(*at.ends) if at.norm == "linf" else leaf.double()


def _inside(x: torch.Tensor, direction: torch.Tensor, at: Region) -> torch.Tensor:
    return x.double() + (1 - 1e-9) * steepest_within(x.double(), direction.double(), at.norm, at.epsilon)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", NETS)
def test_no_image_of_the_region_is_below_its_bound(name, norm):
    net, x = NETS[name]()
    for inner in ("intervals", "linear"):
        found = [lowest(net, x, norm, epsilon, inner) for epsilon in (0.01, 0.1, 0.5)]
        assert min(found) >= 0
        assert inner == "intervals" or norm == "l1" or found[0] < 0.5  # and it is not idle


def test_what_is_read_is_what_the_module_says():
    net, x = NETS["residual"]()
    assert torch.allclose(value_of(nodes_of(net, (2, 7, 7)), x.double()), net(x).double(), atol=1e-4)


def halved(lines):
    return lambda *ends: (found := lines(*ends), setattr(found, "intercept", found.intercept / 2))[0]


def drooping(lines):
    """The upper line of what is undecided without its intercept."""
    return lambda *ends: (found := lines(*ends), setattr(found, "intercept", 0 * found.intercept))[0]


def steep(lines):
    return lambda *ends: (found := lines(*ends), setattr(found, "slope", found.slope * 1.5))[0]


PLANTED = {
    "rectifier, intercept halved": (relaxations.RectifierLines, "between", halved),
    "rectifier, no intercept": (relaxations.RectifierLines, "between", drooping),
    "rectifier, lower slope above 1": (relaxations.RectifierLines, "between", steep),
    "pooling, intercept halved": (relaxations.MaximumLines, "between", halved),
    "radius too small": (region.Region, "radius", lambda _: property(lambda self: 0.8 * self.epsilon)),
    "intervals without bias": (parts.Dense, "constant", lambda _: lambda self: 0 * self.bias),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_bug_is_caught(monkeypatch, planted):
    owner, name, change = PLANTED[planted]
    monkeypatch.setattr(owner, name, change(getattr(owner, name)))
    assert min(lowest(*NETS[net](), norm, 0.3) for net in ("pooled", "mlp") for norm in ("linf", "l2")) < -1e-3


def cancelling() -> tuple[nn.Module, torch.Tensor]:
    """A margin of 1e-3 between sums of numbers of 1e5: float32 holds no such thing."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    net[1].weight.data = torch.tensor([[1e5, 1e5, -1e5, -1e5], [0.0, 0.0, 0.0, 0.0]])
    net[1].bias.data = torch.tensor([0.0, -1e-3])
    return net.eval(), torch.full((1, 1, 2, 2), 0.5)


def test_the_rounding_of_float32_is_part_of_the_bound(monkeypatch):
    monkeypatch.setattr(region.Region, "radius", 0.0)
    net, x = cancelling()
    assert not bool(certify(net, x, torch.tensor([0]), epsilon=0.1).proven)
    for owner in (ladder, parts):  # without it the same is taken for a proof
        monkeypatch.setattr(owner, "gamma", lambda _: 1e-12, raising=False)
    assert bool(certify(net, x, torch.tensor([0]), epsilon=0.1).proven)


class Shifted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean()


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.Tanh(), "0: no bound is known for Tanh; known are Linear, Conv2d"),
        (nn.Softmax(1), "no bound is known for Softmax"),
        (nn.Conv2d(1, 1, 3, padding="same"), "expected a number of zeros"),
        (nn.BatchNorm2d(1, track_running_stats=False), "without running statistics"),
        (Shifted(), "depend on the others of its batch"),
        (Branching(), "its forward cannot be read"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_of_which_no_bound_is_known_is_named(layer, said):
    net = nn.Sequential(layer, nn.Flatten(), nn.Linear(36, 5)).eval()
    with pytest.raises(ModelError, match="certify: Sequential: ") as raised:
        certify(net, images(2), torch.zeros(2, dtype=torch.int64), epsilon=0.1)
    assert said in str(raised.value)


def test_a_network_that_does_something_else_than_its_layers_is_refused():
    net = mlp()
    net.register_forward_hook(lambda _, __, out: out + 1)
    with pytest.raises(ModelError, match="differ by up to 1 from those of its layers"):
        certify(net, images(2), torch.zeros(2, dtype=torch.int64), epsilon=0.1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": "l0"}, "norm: expected one of linf, l2, l1, got 'l0'"),
        ({"method": "magic"}, "method: expected one of ibp, crown_ibp, crown, alpha_crown"),
        ({"epsilon": 0}, "epsilon: expected a size above 0"),
    ],
)
def test_what_cannot_be_is_said(options, said):
    with pytest.raises(UsageError, match=said):
        certify(mlp(), images(2), torch.zeros(2, dtype=torch.int64), **{"epsilon": 0.1} | options)


def test_a_better_method_proves_what_a_cheaper_one_does_and_slopes_that_are_chosen_no_less():
    net, x = mlp(), images(40)
    y = net(x).argmax(1)
    found = [certify(net, x, y, epsilon=0.02, method=method) for method in ladder.METHODS]
    for cheap, dear in pairwise(found):
        assert bool((dear.proven >= cheap.proven).all() and (dear.margin >= cheap.margin).all())
    assert found[1].proven.sum() > found[0].proven.sum() and found[3].margin.sum() > found[2].margin.sum()


def test_wrong_before_is_never_proven():
    net, x = mlp(), images(8)
    found = certify(net, x, (net(x).argmax(1) + 1) % 5, epsilon=1e-4)
    assert not found.proven.any() and bool((found.margin < 0).all())


def test_nothing_that_verifiers_broke_is_proven_and_much_of_what_holds_is(shared):
    proven = {
        verdict: sum(int(certify(net, x, y, epsilon=e).proven.sum()) for net, e, x, y in settled(shared, verdict))
        for verdict in ("violated", "holds")
    }
    assert proven["violated"] == 0 and proven["holds"] >= 24  # of 22 and 40


@pytest.mark.parametrize(("n", "least"), [(40, 0.93), pytest.param(300, 0.94, marks=pytest.mark.slow)])
def test_a_provably_robust_network_is_proven_as_its_paper_says(shared, n, least):
    """Wong and Kolter: 94.18 % of the test set at linf 0.1."""
    folder = shared / "data" / "MNIST" / "raw"
    x, y = (torch.tensor(read_idx(folder / f"t10k-{what}-ubyte.gz")[:n]) for what in ("images-idx3", "labels-idx1"))
    x, y = x[:, None].float() / 255, y.long()
    assert certify(published(shared, "kw_mnist_01"), x, y, epsilon=0.1).proven.double().mean() >= least


HONEST = {"scaled", "offset", "float64"}  # of the cases; the others hide something, or do what is not a known layer


def test_of_classifiers_that_lie_nothing_is_proven(shared):
    wrappers = runpy.run_path(str(shared / "cases" / "classifiers.py"))["WRAPPERS"]
    net, x = mlp(), images(12)
    y = net(x).argmax(1)
    plain = certify(net, x, y, epsilon=0.01).proven
    assert plain.any()
    for name, wrapped in wrappers.items():
        if name in HONEST:  # an offset of 1e5 leaves less of what float32 holds
            proven = certify(wrapped(net).eval(), x, y, epsilon=0.01).proven
            assert bool((proven <= plain).all()) and (name == "offset" or bool((proven == plain).all())), name
        else:
            with pytest.raises(ModelError, match=r"no bound is known|cannot be read|depend on the others"):
                certify(wrapped(net).eval(), x, y, epsilon=0.01)
