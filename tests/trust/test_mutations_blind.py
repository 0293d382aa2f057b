"""Bugs planted in attacks that see no gradient: the bracket must catch each."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks import _squares, hop_skip_jump, noise, square
from robustbench_lite.engine.attack import attacks
from robustbench_lite.threat.norms import size
from robustbench_lite.trust.bracket import calibrate


def squares_that_do_not_shrink(monkeypatch):
    monkeypatch.setattr(_squares, "_HALVINGS", ())
    monkeypatch.setattr(_squares, "_sides", _squares._sides.__wrapped__)  # what is remembered is not planted elsewhere


def nothing_is_kept(monkeypatch):
    propose = square.Square._propose

    def anew(self, s):
        s.best = s.x
        return propose(self, s)

    monkeypatch.setattr(square.Square, "_propose", anew)


def a_tenth_too_far(monkeypatch):
    for name in ("coloured", "moved"):
        draw = getattr(_squares, name)
        monkeypatch.setattr(_squares, name, lambda *args, draw=draw: draw(*args[:-1], 1.1 * args[-1]))


def the_rest_is_never_spent(monkeypatch):
    """Mass is moved, and the budget that clipping leaves is lost."""
    moved = _squares.moved

    def spent(x, best, draw, query, length, norm, epsilon):
        used = float(size(best - x, norm).min())
        return moved(x, best, draw, query, length, norm, min(used, 0.2 * epsilon))

    monkeypatch.setattr(_squares, "moved", spent)


def steps_in_any_direction(monkeypatch):
    turn = hop_skip_jump.HopSkipJump._turn

    def turned(self, s, phase):
        s.votes = torch.ones_like(s.votes) * ((torch.arange(s.votes[0].numel()) % 2) * 2 - 1).view_as(s.votes[0])
        s.drift = s.drift * 0
        return turn(self, s, phase)

    monkeypatch.setattr(hop_skip_jump.HopSkipJump, "_turn", turned)


def answers_turned_round(monkeypatch):
    count = hop_skip_jump.HopSkipJump._count
    monkeypatch.setattr(
        hop_skip_jump.HopSkipJump, "_count", lambda self, s, at, images, decided: count(self, s, at, images, ~decided)
    )


def no_search(monkeypatch):
    monkeypatch.setattr(hop_skip_jump, "_LEAST", 0.6)


def beyond_the_box(monkeypatch):
    monkeypatch.setattr(noise, "stretched_within", lambda x, way, _norm, epsilon: 3 * epsilon * way.sign() + 0 * x)


MUTATIONS = [
    (squares_that_do_not_shrink, "square", {}),
    (nothing_is_kept, "square", {}),
    (a_tenth_too_far, "square", {}),
    (a_tenth_too_far, "square", {"norm": "l2", "epsilon": 0.5}),
    (the_rest_is_never_spent, "square", {"norm": "l2", "epsilon": 0.5}),
    (steps_in_any_direction, "hop_skip_jump", {}),
    (answers_turned_round, "hop_skip_jump", {}),
    (no_search, "hop_skip_jump", {}),
    (beyond_the_box, "noise", {}),
]


@pytest.mark.parametrize(
    ("plant", "name", "params"), MUTATIONS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_the_bracket_catches(plant, name, params, monkeypatch):
    record = attacks.build(name, params)
    plant(monkeypatch)
    assert any(not found.passed for found in calibrate(record))
