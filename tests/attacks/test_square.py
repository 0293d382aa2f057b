"""Square Attack: its squares against the formulas of the paper, its queries, and exact answers."""

from __future__ import annotations

import math

import pytest
import torch

from robustbench_lite.attacks import _squares as squares
from robustbench_lite.attacks.square import Square
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.attacks.test_attacks import halves, placed
from tests.helpers import attack, images, mlp

NORMS = ["linf", "l2", "l1"]


def draw(n: int) -> Draw:
    return Draw(keys(0, "square", [str(i) for i in range(n)]))


@pytest.mark.parametrize(
    ("query", "share"),
    [
        (0, 1),
        (9, 1),
        (10, 2),
        (50, 4),
        (199, 4),
        (200, 8),
        (1000, 16),
        (2000, 32),
        (4000, 64),
        (6000, 128),
        (9999, 256),
    ],
)
@pytest.mark.parametrize("queries", [10_000, 5000])
def test_squares_shrink_on_the_papers_schedule(queries, query, share):
    at = torch.tensor([query * queries // 10_000])
    side = squares.side(0.8, at, queries, (1, 3, 224, 224), odd=False)
    assert side.item() == round(math.sqrt(0.8 / share) * 224)
    odd = squares.side(0.8, at, queries, (1, 3, 224, 224), odd=True)
    assert odd.item() % 2 == 1
    assert abs(odd.item() - math.sqrt(0.8 / share) * 224) <= 2


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 4, 9), (1, 1, 2, 2), (1, 3, 1, 5)])
@pytest.mark.parametrize("odd", [True, False])
def test_squares_fit_into_the_image(shape, odd):
    side = squares.side(1.0, torch.arange(0, 1000, 7), 1000, shape, odd=odd)
    assert side.min() >= 1
    assert side.max() <= min(shape[2:])


def by_the_formula(h: int) -> torch.Tensor:
    """Equation (2) of the paper as it stands, with its indices from 1."""

    def rectangle(h1: int, h2: int) -> torch.Tensor:
        n = max(h1, h2) // 2
        values = torch.zeros(h1, h2)
        for r in range(1, h1 + 1):
            for s in range(1, h2 + 1):
                m = n - max(abs(r - h1 // 2 - 1), abs(s - h2 // 2 - 1))
                values[r - 1, s - 1] = sum(1 / (n + 1 - k) ** 2 for k in range(m + 1))
        return values

    k = h // 2
    return torch.cat([rectangle(k, h), -rectangle(h - k, h)])


@pytest.mark.parametrize("h", [2, 3, 5, 6, 9])
def test_the_shape_of_moved_mass_is_that_of_the_paper(h):
    line = torch.arange(12) - 2
    down, across = line[:, None].expand(12, 12)[None], line[None].expand(12, 12)[None]
    for turned in (False, True):
        shape = squares.shape_of(down, across, torch.tensor([h]), torch.tensor([[[turned]]]))[0]
        wanted = by_the_formula(h).T if turned else by_the_formula(h)
        assert torch.allclose(shape[2 : 2 + h, 2 : 2 + h], wanted, atol=1e-6)
        shape[2 : 2 + h, 2 : 2 + h] = 0
        assert (shape == 0).all()


def test_a_coloured_square_is_one_square_of_one_colour():
    x, best = images(200, (3, 9, 7)), images(200, (3, 9, 7), seed=2)
    length = torch.arange(200) % 5 + 1
    fresh = squares.coloured(x, best, draw(200), torch.arange(200), length, 0.1)
    changed = (fresh != best).any(1)
    assert torch.equal(changed.flatten(1).sum(1), length**2)
    assert torch.equal(changed.any(2).sum(1), length)
    up, down = ((fresh - end).abs() < 1e-6 for end in ((x + 0.1).clamp(0, 1), (x - 0.1).clamp(0, 1)))
    whole = lambda hit: (hit | ~changed[:, None]).flatten(2).all(2)
    assert (whole(up) | whole(down)).all()
    places = {tuple(row.nonzero()[0].tolist()) for row in changed[length == 5]}
    assert max(r for r, _ in places) <= 4
    assert max(s for _, s in places) <= 2


def test_no_query_is_spent_on_what_is_known():
    x = images(400, (1, 6, 6))
    best = (x + 0.1).clamp(0, 1)
    fresh = squares.coloured(x, best, draw(400), torch.zeros(400, dtype=torch.int64), torch.ones(400).long(), 0.1)
    assert (fresh != best).flatten(1).any(1).all()


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_moved_mass_spends_the_budget_and_empties_a_square(norm):
    x = 0.5 + 0.1 * (images(300, (3, 12, 12)) - 0.5)
    best = squares.tiles(x, draw(300), norm, 0.9)
    assert torch.allclose(size(best - x, norm), torch.tensor(0.9), rtol=1e-3)
    length = torch.full((300,), 3)
    fresh = squares.moved(x, best, draw(300), torch.arange(300), length, norm, 1.0)
    assert torch.allclose(size(fresh - x, norm), torch.tensor(1.0), rtol=1e-3)  # what was left of it, too
    changed = ((fresh - best).abs() > 1e-6).any(1)
    assert changed.flatten(1).sum(1).max() <= 2 * 9
    emptied = ((fresh - x).abs() < 1e-7).all(1) & ((best - x).abs() > 1e-7).any(1)
    assert (emptied.flatten(1).sum(1) > 0).float().mean() > 0.8


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_the_budget_holds_where_the_box_binds(norm):
    x = images(60, (3, 9, 9)).round()
    at, epsilon = squares.tiles(x, draw(60), norm, 2.0), 2.0
    for query in range(30):
        at = squares.moved(x, at, draw(60), torch.full((60,), query), torch.full((60,), 3), norm, epsilon)
        assert at.min() >= 0
        assert at.max() <= 1
        assert size(at - x, norm).max() <= epsilon * (1 + 1e-5)


def test_a_row_is_done_when_it_is_broken_and_asks_no_more_than_it_may():
    net, x = mlp(), images(60)
    label = net(x).argmax(1)
    label[:5] = (label[:5] + 1) % 5  # wrong to begin with
    outcome = attack(Square(epsilon=0.04, n_queries=60), net, x, 7, Goal(label, 5))
    won = net(outcome.candidates).argmax(1) != label
    assert (outcome.forwards[:5] <= 3).all()
    assert (outcome.forwards[~won] == 60).all()
    assert (outcome.forwards[won] < 60).any()
    assert (~won).sum() > 0
    assert (outcome.backwards == 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_more_queries_come_closer(norm):
    net, x = mlp(seed=2), images(60)
    label, epsilon = net(x).argmax(1), {"linf": 0.05, "l2": 0.2, "l1": 0.5}[norm]
    goal = Goal(label, 5)
    few, many = (
        attack(Square(norm=norm, epsilon=epsilon, n_queries=n), net, x, 60, goal).candidates for n in (20, 400)
    )
    margins = [goal.margin(net(found)) for found in (few, many)]
    assert (margins[1] > 0).sum() >= (margins[0] > 0).sum()
    assert margins[1][margins[0] < 0].mean() > margins[0][margins[0] < 0].mean()


@pytest.mark.parametrize("kind", ["inside", "anywhere", "corners"])
@pytest.mark.parametrize(("norm", "factor"), [("linf", 1.3), ("l2", 2.0), ("l1", 4.0)])
def test_exact_answers(norm, factor, kind):
    """A budget below the exact radius is never enough; what factor above it is, after as many queries."""
    x = placed(kind)
    net, _, exact = halves(x, norm)
    label = net(x).argmax(1)
    epsilon = float(exact[exact.isfinite()].median()) * factor
    record = Square(norm=norm, epsilon=epsilon, n_queries=800)
    found = attack(record, net, x, 24, Goal(label, 2)).candidates
    won = net(found).argmax(1) != label
    assert won[exact * factor <= epsilon].all()
    assert (exact * factor <= epsilon).sum() >= 6
    low = float(exact[exact > 0].min()) * 0.98
    too_little = attack(Square(norm=norm, epsilon=low, n_queries=200), net, x, 24, Goal(label, 2)).candidates
    assert torch.equal(net(too_little).argmax(1), label)


@pytest.mark.parametrize("norm", NORMS)
def test_a_target_is_reached(norm):
    net, x = mlp(), images(40)
    target = (net(x).argmax(1) + 1) % 5
    epsilon = {"linf": 0.3, "l2": 2.0, "l1": 10.0}[norm]
    record = Square(norm=norm, epsilon=epsilon, n_queries=300, target=0)
    outcome = attack(record, net, x, goal=Goal(target, 5, targeted=True))
    assert (net(outcome.candidates).argmax(1) == target).float().mean() > 0.7
