"""Objectives against their closed forms, the gradient penalty against finite differences, schedules as published."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from robustbench_lite.generators.losses.least_squares import LeastSquares
from robustbench_lite.generators.losses.minimax import Minimax
from robustbench_lite.generators.losses.non_saturating import NonSaturating
from robustbench_lite.generators.losses.wgan import WGAN
from robustbench_lite.generators.losses.wgan_gp import WGANGP, slopes
from robustbench_lite.generators.objective import objectives

# two distributions on three places
P, Q = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.1, 0.3, 0.6]).double()


class Linear(nn.Module):
    """Scores w.x."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.as_tensor(w, dtype=torch.float64))

    def forward(self, x):
        return x.flatten(1) @ self.w


class Quadratic(nn.Module):
    """Scores |x|^2 / 2: its slope at x is |x|."""

    def forward(self, x):
        return x.flatten(1).square().sum(1) / 2


def images(seed, n=5):
    return torch.randn(n, 2, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def epsilons(n=5):
    return torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def weighted(game, scores):
    """The critic's loss where real images are of P and generated ones of Q, `scores` of the three places."""
    counts = lambda p: torch.repeat_interleave(scores, (10 * p).round().long())
    return game.critic_loss(counts(P), counts(Q))


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_that_of_its_weights(norm):
    w = torch.full((8,), norm / math.sqrt(8))
    penalty = WGANGP(weight=7).penalty(Linear(w), images(0), images(1), epsilons())
    assert penalty.item() == pytest.approx(7 * (norm - 1) ** 2, rel=1e-6, abs=1e-12)


def test_the_penalty_is_taken_between_the_real_and_the_generated_image_with_one_epsilon_per_sample():
    real, fake, epsilon = images(0), images(1), epsilons()
    x_hat = torch.stack([e * x + (1 - e) * g for e, x, g in zip(epsilon, real, fake, strict=True)])
    expected = x_hat.flatten(1).norm(dim=1)
    assert torch.allclose(slopes(Quadratic(), real, fake, epsilon), expected)
    assert torch.allclose(slopes(Quadratic(), real, fake, torch.ones(5).double()), real.flatten(1).norm(dim=1))
    assert torch.allclose(slopes(Quadratic(), real, fake, torch.zeros(5).double()), fake.flatten(1).norm(dim=1))


def test_the_gradient_of_the_penalty_is_that_of_finite_differences():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 1), nn.Flatten(0)).double()
    real, fake, epsilon, game = images(0), images(1), epsilons(), WGANGP()
    game.penalty(critic, real, fake, epsilon).backward()
    for parameter in (critic[1].weight, critic[1].bias, critic[3].weight):
        for place in range(0, parameter.numel(), 5):
            values = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.view(-1)[place] += step
                values.append(game.penalty(critic, real, fake, epsilon).item())
                with torch.no_grad():
                    parameter.view(-1)[place] -= step
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(parameter.grad.view(-1)[place].item(), rel=1e-5)


def test_a_flat_critic_has_a_gradient_that_is_a_number():
    critic = Linear(torch.zeros(8))
    WGANGP().penalty(critic, images(0), images(1), epsilons()).backward()
    assert torch.isfinite(critic.w.grad).all()


@pytest.mark.parametrize("game", [Minimax(), NonSaturating()])
def test_where_the_discriminator_cannot_tell_the_value_is_minus_log_4(game):
    scores = torch.zeros(7)  # D = 1/2
    assert -game.critic_loss(scores, scores).item() == pytest.approx(-math.log(4))


def test_the_best_discriminator_reaches_the_divergence_of_jensen_and_shannon():
    best = torch.log(P / Q)  # D = P / (P + Q)
    middle = (P + Q) / 2
    divergence = ((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum()) / 2
    assert -weighted(Minimax(), best).item() == pytest.approx(2 * divergence.item() - math.log(4))
    assert weighted(Minimax(), best + 0.1) > weighted(Minimax(), best) < weighted(Minimax(), best - 0.1)


def test_the_best_critic_of_least_squares_is_the_share_of_real_images():
    best = P / (P + Q)
    assert weighted(LeastSquares(), best).item() == pytest.approx(0.5 * (P * Q / (P + Q)).sum().item())
    assert weighted(LeastSquares(), best + 0.1) > weighted(LeastSquares(), best) < weighted(LeastSquares(), best - 0.1)


def test_what_generators_minimise():
    scores = torch.tensor([-2.0, 0.5], dtype=torch.float64)
    sigmoid = torch.sigmoid(scores)
    assert torch.isclose(Minimax().generator_loss(scores), torch.log(1 - sigmoid).mean())
    assert torch.isclose(NonSaturating().generator_loss(scores), -torch.log(sigmoid).mean())
    assert torch.isclose(LeastSquares().generator_loss(scores), ((scores - 1) ** 2).mean() / 2)
    for game in (WGAN(), WGANGP()):
        assert torch.isclose(game.generator_loss(scores), -scores.mean())
        assert torch.isclose(game.critic_loss(scores + 1, scores), torch.tensor(-1.0).double())


def test_the_gradient_of_the_generator_vanishes_only_in_the_game_as_defined():
    """Section 3: early, D(G(z)) is near 0, and log(1 - D) saturates."""
    score = torch.tensor([-20.0], requires_grad=True)
    steep, flat = (torch.autograd.grad(game.generator_loss(score), score)[0] for game in (NonSaturating(), Minimax()))
    assert abs(steep.item()) == pytest.approx(1, abs=1e-6) and abs(flat.item()) < 1e-8


def test_clipping_leaves_no_weight_above_the_bound():
    critic = Linear([0.5, -0.3, 0.004])
    WGAN().constrain(critic)
    assert torch.allclose(critic.w, torch.tensor([0.01, -0.01, 0.004]).double())


def test_the_wgan_critic_learns_a_hundred_steps_at_first_and_every_500th():
    steps = [WGAN().critic_steps(i) for i in range(1002)]
    assert [i for i, n in enumerate(steps) if n == 100] == [*range(25), 500, 1000]
    assert set(steps) == {5, 100}


@pytest.mark.parametrize(
    ("game", "kind", "expected"),
    [
        (WGAN(), torch.optim.RMSprop, {"lr": 5e-5, "momentum": 0}),
        (WGANGP(), torch.optim.Adam, {"lr": 1e-4, "betas": (0.0, 0.9)}),
        (NonSaturating(), torch.optim.Adam, {"lr": 2e-4, "betas": (0.5, 0.999)}),
        (LeastSquares(), torch.optim.RMSprop, {"lr": 1e-4}),
    ],
    ids=lambda value: getattr(value, "registered", ""),
)
def test_optimisers_are_those_of_the_papers(game, kind, expected):
    optimizer = game.optimizer([nn.Parameter(torch.zeros(1))])
    assert type(optimizer) is kind
    assert {key: optimizer.defaults[key] for key in expected} == expected


def test_a_linear_critic_is_as_steep_as_the_penalty_lets_it():
    """delta s - lambda (s - 1)^2 is largest at s = 1 + delta / (2 lambda), on real images `delta` to the right."""
    critic, game, delta = Linear([0.2]), WGANGP(), 3.0
    fake = images(0)[:, :1, 0, 0]
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        loss = game.critic_loss(critic(fake + delta), critic(fake))
        (loss + game.penalty(critic, fake + delta, fake, epsilons())).backward()
        optimizer.step()
    assert critic.w.item() == pytest.approx(1 + delta / 20, rel=1e-6)


def test_the_critic_estimates_the_distance_of_two_gaussians():
    """W1 of N(-1, 1) and N(1, 1) is 2; a strong penalty holds the slope at one."""
    torch.manual_seed(3)
    critic = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    nn.init.zeros_(critic[4].weight)  # flat: steep the wrong way, it would have to pay on the way round
    game, optimizer = WGANGP(weight=100), torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9))
    for _ in range(400):
        real, fake, epsilon = torch.randn(256, 1) + 1, torch.randn(256, 1) - 1, torch.rand(256)
        optimizer.zero_grad()
        (game.critic_loss(critic(real), critic(fake)) + game.penalty(critic, real, fake, epsilon)).backward()
        optimizer.step()
    with torch.no_grad():
        base = torch.randn(20_000, 1)
        estimate = -game.critic_loss(critic(base + 1), critic(base - 1)).item()
    assert estimate == pytest.approx(2, rel=0.05)


def test_the_clipped_critic_estimates_the_distance_times_its_bound():
    """A linear critic ends at the bound of its weight: c times W1."""
    torch.manual_seed(0)
    critic, game = Linear([0.0]), WGAN(clip=0.05, lr=0.01)
    optimizer = game.optimizer(critic.parameters())
    for _ in range(50):
        real, fake = torch.randn(512, 1).double() + 1, torch.randn(512, 1).double() - 1
        optimizer.zero_grad()
        loss = game.critic_loss(critic(real), critic(fake))
        loss.backward()
        optimizer.step()
        game.constrain(critic)
    base = torch.randn(1000, 1).double()
    assert -game.critic_loss(critic(base + 1), critic(base - 1)).item() / game.clip == pytest.approx(2)


@pytest.mark.parametrize("name", list(objectives))
def test_every_objective_says_where_it_is_from(name):
    record = objectives[name]
    assert record.card.arxiv.count(".") == 1 and record.card.protocol
    assert all(field.description for field in record.model_fields.values())
