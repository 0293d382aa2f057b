"""Several classifiers as one, and the attacks on them: against hand computations, torch's own Adam, and by counting."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.mixture import Mixture, mix
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.helpers import CPU, images, mlp


def members(n: int = 3, **options) -> list[nn.Module]:
    return [mlp(seed=seed, **options) for seed in range(n)]


def job(x, label, classes=5, targeted=False, sources=1) -> Job:
    draw = Draw(keys(0, "t", [str(i) for i in range(len(x))]))
    return Job(x, Goal(label, classes, targeted, sources), draw)


def on(record, nets, work: Job, batch_size: int = 16):
    victim = Mixture(nets) if len(nets) > 1 else nets[0]
    oracle = Oracle(victim.eval(), CPU, batch_size, tuple(nets) if len(nets) > 1 else ())
    goal = Goal(work.goal.label, work.goal.classes, work.goal.targeted, len(nets))
    return run(record, oracle, Job(work.x, goal, work.draw))


def test_the_mixture_is_the_mean_of_probabilities_not_of_logits():
    nets = [net.double() for net in members(2)]
    weights, x = (0.3, 0.7), images(6).double()
    probability = 0.3 * nets[0](x).softmax(1) + 0.7 * nets[1](x).softmax(1)
    mixed = Mixture(nets, weights)(x)
    assert torch.allclose(mixed.exp().double(), probability, rtol=1e-5)
    logits_averaged = (0.3 * nets[0](x) + 0.7 * nets[1](x)).softmax(1)
    assert not torch.allclose(logits_averaged, probability, rtol=1e-2)


def test_the_gradient_of_the_mixture_equals_a_hand_computation():
    """d/dx -log(1 - p_y) = sum_i a_i p_y,i (W_i' (e_y - p_i)) / (1 - p_y) for linear members, in float64."""
    generator = torch.Generator().manual_seed(3)
    matrices = [torch.randn((4, 6), generator=generator, dtype=torch.float64) for _ in range(3)]
    nets = []
    for matrix in matrices:
        layer = nn.Linear(6, 4, bias=False).double()
        layer.weight.data = matrix
        nets.append(nn.Sequential(nn.Flatten(), layer).requires_grad_(requires_grad=False))
    shares = (0.5, 0.3, 0.2)
    x = torch.rand((5, 1, 2, 3), generator=generator, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 3, 0])
    expected = torch.zeros((5, 6), dtype=torch.float64)
    for row in range(5):
        p = [torch.softmax(matrix @ x[row].flatten(), 0) for matrix in matrices]
        p_y = sum(a * q[y[row]] for a, q in zip(shares, p, strict=True))
        unit = torch.eye(4, dtype=torch.float64)[y[row]]
        for a, q, matrix in zip(shares, p, matrices, strict=True):
            expected[row] += a * q[y[row]] * (matrix.T @ (unit - q)) / (1 - p_y)
    oracle = Oracle(Mixture(nets, shares), CPU, 8, tuple(nets))
    oracle.open(5)
    view = oracle.differentiate(x)
    gradient, _ = view.gradient(Goal(y, 4).nll(view.logits)[1])
    assert torch.allclose(gradient.flatten(1), expected, rtol=1e-5, atol=1e-6)
    by_logits = torch.stack([a * (x.flatten(1) @ m.T) for a, m in zip(shares, matrices, strict=True)]).sum(0)
    seed = Goal(y, 4).nll(by_logits)[1]
    wrong = sum(a * seed @ m for a, m in zip(shares, matrices, strict=True))
    assert not torch.allclose(wrong, expected, rtol=1e-2)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_loss_is_the_papers(targeted):
    z = torch.randn((7, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    label = torch.arange(7) % 5
    p = z.softmax(1)[torch.arange(7), label]
    naive = -p.log() if targeted else -(1 - p).log()
    loss, seed = Goal(label, 5, targeted).nll(z.detach())
    assert torch.allclose(loss, naive, rtol=1e-10)
    assert torch.allclose(seed, torch.autograd.grad(naive.sum(), z)[0], rtol=1e-8, atol=1e-12)


def test_a_classifier_that_is_certain_in_float32_still_yields_a_gradient():
    nets = [mlp(), mlp()]
    for factor, net in zip((200, 100), nets, strict=True):  # both certain, and of the same
        net[3].weight.data *= factor
    x = images(8)
    label = nets[0](x).argmax(1)
    sure = Mixture(nets)(x).exp()[torch.arange(8), label]
    assert (sure == 1).any()  # 1 - p_y is 0 in float32: the naive loss is infinite and its gradient NaN
    oracle = Oracle(Mixture(nets), CPU, 8, tuple(nets))
    oracle.open(8)
    view = oracle.differentiate(x)
    loss, seed = Goal(label, 5).nll(view.logits)
    gradient, norm = view.gradient(seed)
    assert loss.isfinite().all()
    assert gradient.isfinite().all()
    assert (norm[sure == 1] > 1e-3).all()


def reference(nets, x, label, *, steps, lr, penalty=0.0, summed=False):
    """Torch's own Adam and autograd on the paper's objective, the iterate projected to the box."""
    adv = x.clone().requires_grad_()
    optimizers = [torch.optim.Adam([adv], lr=lr) for _ in (nets if summed else [0])]
    rows = torch.arange(len(x))

    def objective(some):
        p = torch.stack([net(adv).softmax(1) for net in some]).mean(0)[rows, label]
        r = (adv - x).flatten(1)
        rmsd = 255 * (r.square().sum(1) + 1e-30).sqrt() / r.shape[1] ** 0.5
        return (-(1 - p).log() + penalty * rmsd).sum()

    for _ in range(steps):
        before = adv.detach().clone()
        moves = []
        for optimizer, some in zip(optimizers, [[net] for net in nets] if summed else [nets], strict=True):
            optimizer.zero_grad()
            objective(some).backward()
            gradient = adv.grad.clone()
            optimizer.step()
            moves.append(adv.detach() - before)
            with torch.no_grad():
                adv.copy_(before)
            del gradient
        with torch.no_grad():
            adv.copy_((before + sum(moves)).clamp(0, 1))
    return adv.detach()


@pytest.mark.parametrize("options", [{}, {"penalty": 0.02}, {"update": "summed"}])
def test_the_iterates_are_those_of_torchs_adam(options):
    nets, x = [net.double() for net in members(3)], images(6).double()
    label = Mixture(nets)(x).argmax(1)
    record = attacks.build("ensemble", {"steps": 12, "lr": 0.01, **options})
    outcome = on(record, nets, job(x, label))
    options = {"penalty": options.get("penalty", 0.0), "summed": options.get("update") == "summed"}
    expected = reference(nets, x, label, steps=12, lr=0.01, **options)
    assert torch.allclose(outcome.candidates, expected, atol=1e-6)
    assert torch.equal(outcome.forwards, torch.full((6,), 12 * 3))  # every member counts, the final iterate costs none
    assert torch.equal(outcome.backwards, torch.full((6,), 12 * 3))


def test_lambda_shrinks_the_distortion():
    nets, x = members(3), images(20)
    work = job(x, Mixture(nets)(x).argmax(1))
    records = [attacks.build("ensemble", {"steps": 40, "lr": 0.02, "penalty": p}) for p in (0.0, 0.2)]
    free, bound = (size(on(record, nets, work).candidates - x, "l2").mean() for record in records)
    assert bound < 0.7 * free


@pytest.mark.parametrize("name", ["ensemble", "mifgsm"])
@pytest.mark.parametrize("targeted", [False, True])
def test_it_reaches_its_goal_on_what_it_sees(name, targeted):
    nets, x = members(3), images(30)
    z = Mixture(nets)(x)
    label = z.argsort(1)[:, -2] if targeted else z.argmax(1)
    params = {"epsilon": 0.3} if name == "mifgsm" else {"steps": 60, "lr": 0.02}
    outcome = on(attacks.build(name, params), nets, job(x, label, targeted=targeted))
    assert Goal(label, 5, targeted).reached(Mixture(nets)(outcome.candidates)).float().mean() > 0.9
    assert outcome.candidates.amin() >= 0
    assert outcome.candidates.amax() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"diversity": 0.7},
        {"translation": 3},
        {"scales": 3},
        {"diversity": 1.0, "scales": 2},
        {"nesterov": True, "around": "variance", "neighbours": 3},
        {"around": "flat", "neighbours": 2, "diversity": 0.5},
    ],
)
def test_mifgsm_does_not_depend_on_the_batch(options):
    nets, x = members(2), images(30)
    work = job(x, Mixture(nets)(x).argmax(1))
    record = attacks.build("mifgsm", {"epsilon": 0.1, "steps": 5, **options})
    found = [on(record, nets, work, batch_size).candidates for batch_size in (1, 7, 50)]
    for other in found[1:]:
        assert ((other - found[0]).abs().flatten(1).amax(1) < 1e-4).float().mean() > 0.9
    assert ((found[0] - x).abs() <= 0.1 + 1e-6).all()


def test_mifgsm_by_hand():
    net, x = mlp().double(), images(4).double()
    label = net(x).argmax(1)
    adv, momentum = x.clone(), torch.zeros_like(x)
    for _ in range(4):
        leaf = adv.clone().requires_grad_()
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(net(leaf), label, reduction="sum"), leaf)
        momentum = 0.9 * momentum + g / g.flatten(1).abs().mean(1).view(-1, 1, 1, 1)
        adv = (x + (adv + 0.02 * momentum.sign() - x).clamp(-0.06, 0.06)).clamp(0, 1)
    record = attacks.build("mifgsm", {"epsilon": 0.06, "steps": 4, "step_size": 0.02, "decay": 0.9})
    assert torch.allclose(on(record, [net], job(x, label)).candidates, adv, atol=1e-9)


LINEAR = {
    "plain": {},
    "a kernel of one pixel": {"translation": 1},
    "one copy": {"scales": 1},
    "nesterov": {"nesterov": True},
    "vmi": {"around": "variance", "neighbours": 4},
    "pgn": {"around": "flat", "neighbours": 4},
    "all": {"nesterov": True, "scales": 3, "around": "variance", "neighbours": 4},
}


def two_classes(slope):
    """Log-odds of class 1 that grow in the image x (n, 36) with `slope(x)`, a scalar function of each; float64."""

    class Net(nn.Module):
        def forward(self, x):
            odds = slope(x.flatten(1))
            return torch.stack([torch.zeros_like(odds), odds], 1).double()

    return Net()


@pytest.mark.parametrize("options", LINEAR.values(), ids=LINEAR)
def test_on_a_linear_classifier_every_aid_leaves_the_sign_step(options):
    w = torch.randn(36, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = images(5).double() / 2 + 0.25
    record = attacks.build("mifgsm", {"epsilon": 0.06, "steps": 3, **options})
    found = on(record, [two_classes(lambda x: x @ w)], job(x, torch.zeros(5, dtype=torch.long), classes=2))
    assert torch.allclose(found.candidates, x + 0.06 * w.sign().view(1, 1, 6, 6), atol=1e-9)


def curved():
    """A quadratic loss x A x / 2 + b x of images (n, 36), its A and b."""
    generator = torch.Generator().manual_seed(4)
    a = torch.randn((36, 36), generator=generator, dtype=torch.float64)
    a, b = a + a.T, torch.randn(36, generator=generator, dtype=torch.float64)
    return a, b, two_classes(lambda x: ((x @ a) * x).sum(1) / 2 + x @ b)


def slopes(record, net, x):
    """What the attack accumulates in its first step, and the variance for the next."""
    oracle, work = Oracle(net, CPU, 16), job(x, torch.zeros(len(x), dtype=torch.long), classes=2)
    oracle.open(len(x))
    state = record.start(x, Goal(work.goal.label, 2), work.draw)
    points = []
    record._mean(state, x, lambda point, _: points.append(point) or point)
    return *record._slope(oracle, state), [point.flatten(1) for point in points]


def test_the_variance_is_the_mean_gradient_around_less_the_own():
    a, b, net = curved()
    x = images(4).double() / 2 + 0.25
    record = attacks.build("mifgsm", {"epsilon": 0.1, "around": "variance", "neighbours": 6})
    own, variance, points = slopes(record, net, x)
    assert torch.allclose(own.flatten(1), x.flatten(1) @ a + b, atol=1e-9)  # nothing is added in the first step
    assert torch.allclose(variance.flatten(1), sum(points) / 6 @ a - x.flatten(1) @ a, atol=1e-9)
    away = torch.stack(points) - x.flatten(1)
    assert 0.14 < away.abs().max() < 0.15 and abs(away.mean()) < 0.02  # 1.5 epsilon, to either side
    linear = two_classes(lambda x: x @ b)
    assert torch.allclose(slopes(record, linear, x)[1], torch.zeros(()).double(), atol=1e-12)


def test_the_variance_of_a_step_is_added_in_the_next():
    _, _, net = curved()
    x = images(4).double() / 2 + 0.25
    record = attacks.build("mifgsm", {"epsilon": 0.1, "steps": 2, "around": "variance", "neighbours": 2, "decay": 0})
    oracle, work = Oracle(net, CPU, 16), job(x, torch.zeros(4, dtype=torch.long), classes=2)
    oracle.open(4)
    first = record.step(oracle, record.start(x, Goal(work.goal.label, 2), work.draw))
    own = record._gradient(oracle, first, first.adv, first.draw)
    expected = (own + first.variance).sign()
    last = record.step(oracle, first)
    assert first.variance.abs().max() > 0 and (expected != own.sign()).any()
    assert torch.equal((last.adv - first.adv).sign()[:, 0], expected[:, 0])


def test_the_gradients_norm_is_penalised_exactly_on_a_quadratic_loss():
    """grad (J - lambda ||grad J||) = g - lambda A g / ||g||; the difference goes back by length g / mean |g|."""
    a, b, net = curved()
    x = images(4).double() / 2 + 0.25
    record = attacks.build("mifgsm", {"epsilon": 0.1, "around": "flat", "neighbours": 1, "balance": 0.3})
    found, _, (point,) = slopes(record, net, x)
    g = point @ a + b
    size_of, length = g.norm(dim=1, keepdim=True), 0.1 / 10 / g.abs().mean(1, keepdim=True)
    penalty = 0.3 * length * size_of
    assert torch.allclose(found.flatten(1), g - penalty * (g @ a) / size_of, atol=1e-9)
    assert (point - x.flatten(1)).abs().max() > 0.25  # of 3 epsilon


def test_nesterov_looks_a_step_ahead():
    a, b, net = curved()
    x = images(4).double() / 2 + 0.25
    record = attacks.build("mifgsm", {"epsilon": 0.1, "steps": 5, "nesterov": True, "decay": 0.5})
    oracle, work = Oracle(net, CPU, 16), job(x, torch.zeros(4, dtype=torch.long), classes=2)
    oracle.open(4)
    state = record.step(oracle, record.start(x, Goal(work.goal.label, 2), work.draw))
    ahead = state.adv + 0.02 * 0.5 * state.momentum
    assert torch.allclose(record._slope(oracle, state)[0].flatten(1), ahead.flatten(1) @ a + b, atol=1e-9)


def test_aids_cost_what_is_said():
    x = images(3)
    work = job(x, mlp()(x).argmax(1))
    for options, points in (({}, 1), ({"around": "variance"}, 21), ({"around": "flat", "scales": 2}, 80)):
        record = attacks.build("mifgsm", {"steps": 2, **options})
        found = on(record, [mlp()], work)
        assert found.forwards.tolist() == found.backwards.tolist() == [2 * points] * 3
        assert record.typical_passes == 4 * points


def test_scale_invariance_averages_the_copies_and_translation_smooths():
    weight = torch.randn((2, 36), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer = nn.Linear(36, 2, bias=False).double()
    layer.weight.data = weight
    net = nn.Sequential(nn.Flatten(), layer).requires_grad_(requires_grad=False)
    x = images(5).double()
    label = net(x).argmax(1)
    way = (weight[1 - label] - weight[label]).view(-1, 1, 6, 6)  # of a linear classifier, at every scale the same
    scaled = on(attacks.build("mifgsm", {"epsilon": 0.01, "steps": 1, "scales": 4}), [net], job(x, label))
    expected = (x + 0.01 * way.sign()).clamp(0, 1)
    assert torch.allclose(scaled.candidates, expected, atol=1e-12)
    assert scaled.forwards.tolist() == [4] * 5
    bell = torch.exp(-0.5 * torch.linspace(-3, 3, 3, dtype=torch.float64) ** 2)
    kernel = (bell[:, None] * bell / bell.sum() ** 2)[None, None]
    smooth = nn.functional.conv2d(way, kernel, padding=1)
    shifted = on(attacks.build("mifgsm", {"epsilon": 0.01, "steps": 1, "translation": 3}), [net], job(x, label))
    assert torch.allclose(shifted.candidates, (x + 0.01 * smooth.sign()).clamp(0, 1), atol=1e-12)


def test_input_diversity_shrinks_inside_the_frame_and_leaves_the_rest_alone():
    record = attacks.build("mifgsm", {"diversity": 0.5, "smallest": 0.5})
    x = torch.ones((400, 1, 12, 12))
    work = job(x, torch.zeros(400, dtype=torch.long))
    state = record.start(x, work.goal, work.draw)
    seen = record._diverse(x, state.draw, state.taken)
    untouched = (seen > 0.9999).flatten(1).all(1)
    assert 0.4 < untouched.float().mean() < 0.6
    area = seen[~untouched].sum((1, 2, 3)) / 144
    assert area.min() > 0.5**2 * 0.8
    assert area.max() < 1
    assert area.std() > 0.1


def test_mix_normalises_its_shares():
    z = [torch.randn((3, 4)), torch.randn((3, 4))]
    assert torch.allclose(mix(z, (2.0, 2.0)), mix(z), atol=1e-6)
    assert torch.allclose(mix(z).exp().sum(1), torch.ones(3), atol=1e-6)
