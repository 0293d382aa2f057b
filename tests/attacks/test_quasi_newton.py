from __future__ import annotations

import torch

from robustbench_lite.attacks._quasi_newton import History


def textbook(pairs, g, c):
    """The two-loop recursion for one problem, as Nocedal and Wright print it."""
    q, alphas = g.clone(), []
    for s, y in reversed(pairs):
        alphas.append((s @ q) / (s @ y))
        q -= alphas[-1] * y
    s, y = pairs[-1] if pairs else (None, None)
    r = q * ((s @ y) / (y @ y) if pairs else 1 / (2 * c))
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r += s * (alpha - (y @ r) / (s @ y))
    return -r


def test_directions_equal_the_textbook_recursion_for_every_row_and_any_c():
    torch.manual_seed(0)
    n, m = 4, 3
    history = History.empty(torch.zeros(n, 3, 2, 2, dtype=torch.float64), m)
    stored = [[] for _ in range(n)]
    for step in range(6):
        s = torch.randn(n, 3, 2, 2, dtype=torch.float64)
        y = s * 2 + 0.1 * torch.randn_like(s)
        which = torch.tensor([True, step > 1, step % 2 == 0, False])
        history = history.add(which, s, y)
        for row in range(n):
            if which[row]:
                stored[row] = [*stored[row], (s[row].flatten(), y[row].flatten())][-m:]
        g, c = torch.randn(n, 3, 2, 2, dtype=torch.float64), torch.rand(n, dtype=torch.float64) + 0.1
        found = history.direction(g, c)
        for row in range(n):
            pairs = [(s, y + 2 * c[row] * s) for s, y in stored[row]]
            assert torch.allclose(found[row].flatten(), textbook(pairs, g[row].flatten(), c[row]), rtol=1e-8)


def test_negative_curvature_is_not_stored():
    history = History.empty(torch.zeros(1, 4), 2)
    s = torch.ones(1, 4)
    assert history.add(torch.tensor([True]), s, -s).count.item() == 0
    assert history.add(torch.tensor([True]), s, s).count.item() == 1
