"""Other colours: closed forms, the best change for a classifier that looks at one pixel, and what the judge wants."""

from __future__ import annotations

import json

import pytest
import torch

from robustbench_lite.attacks import Recolor
from robustbench_lite.engine.judge import judge
from robustbench_lite.errors import AttackError, UsageError
from robustbench_lite.report.pictures import _moved
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket import calibrate
from tests.helpers import attack, images, mlp

RED, GREEN, BLUE = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])


def pixel(colour):
    return torch.tensor(colour).view(1, len(colour), 1, 1)


def changed(colour, **numbers):
    """The colour (C,) of a pixel after it."""
    names = ("brightness", "contrast", "saturation", "hue")
    found = torch.tensor([[numbers.get(name, 0.0) for name in names]], dtype=torch.float64)
    return Recolor().rebuild(pixel(colour), found).flatten().tolist()


def test_each_of_the_four_by_hand():
    assert changed([0.2, 0.4, 0.9], brightness=0.3) == pytest.approx([0.5, 0.7, 1.0], abs=1e-6)
    assert changed([0.2, 0.4, 0.9], contrast=0.5) == pytest.approx([0.05, 0.35, 1.0], abs=1e-6)
    grey = 0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.9
    assert changed([0.2, 0.4, 0.9], saturation=-1) == pytest.approx([grey] * 3, abs=1e-6)
    for colour, other in ((RED, GREEN), (GREEN, BLUE), (BLUE, RED)):
        assert changed(colour, hue=120) == pytest.approx(other, abs=1e-6)
        assert changed(other, hue=-120) == pytest.approx(colour, abs=1e-6)
    assert changed([0.4]) == pytest.approx([0.4]) and changed([0.4], saturation=1, hue=90) == pytest.approx([0.4])


class Reads(torch.nn.Module):
    """Class 1 where one pixel has more of a channel than the threshold."""

    def __init__(self, channel: int, threshold: float) -> None:
        super().__init__()
        self.channel, self.threshold = channel, threshold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gap = 30 * (x[:, self.channel, 1, 1] - self.threshold)
        return torch.stack([-gap, gap], 1)


# a pixel [0.6, 0.4, 0.4], which channel, the limits, and the most that it can become, by hand
BEST = [
    ({"brightness": 0.1}, 0, 0.7),
    ({"contrast": 0.5}, 0, 0.65),
    ({"contrast": 0.5}, 1, 0.45),  # less contrast
    ({"brightness": 0.1, "contrast": 0.5}, 0, 0.75),
    ({"saturation": 0.5}, 0, 0.6 + 0.5 * (0.6 - (0.4 + 0.299 * 0.2))),
    ({"hue": 180}, 1, 0.6),  # the brightest channel can be any
    ({"hue": 30}, 1, 0.5),  # half way from red to yellow
    ({"hue": 30}, 0, 0.6),
]


@pytest.mark.parametrize(("limits", "channel", "most"), BEST)
def test_the_best_change_for_who_looks_at_one_pixel_is_found_and_no_better_one(limits, channel, most):
    record = Recolor(**({"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0} | limits), draws=8, steps=30)
    x = images(6, (3, 4, 4))
    x[:, :, 1, 1] = torch.tensor([0.6, 0.4, 0.4])
    goal, now = Goal(torch.zeros(6, dtype=torch.int64), 2), float(x[0, channel, 1, 1])
    for share, success in ((0.97, True), (1.03, False)):
        threshold = now + share * (most - now) if most > now else most + (0.01 if share > 1 else -0.01)
        net = Reads(channel, threshold)
        outcome = attack(record, net, x, goal=goal)
        verdicts = judge(record, net, x, outcome.candidates, goal, outcome.found)
        assert verdicts.success.tolist() == [success] * 6 and not any(verdicts.fault)
        if most > now:
            best = outcome.candidates[:, channel, 1, 1]
            assert ((best - most).abs() < 0.02 * (most - now)).all()


def test_the_judge_wants_numbers_within_the_limits_that_give_the_image():
    record, net, x = Recolor(), mlp(shape=(3, 6, 6)), images(4, (3, 6, 6))
    found = torch.tensor([[0.1, 0.2, 0.3, 29.0]] * 4, dtype=torch.float64)
    candidates = record.rebuild(x, found)
    candidates[1, 2, 3, 3] += 1e-4 * (-1 if candidates[1, 2, 3, 3] > 0.5 else 1)
    found[2, 3] = 31
    found[3] = float("nan")
    fault = judge(record, net, x, candidates, Goal(net(x).argmax(1), 5), found).fault
    other = "its numbers give other colours"
    assert fault == ["", other, "colours outside the limits", other]  # the last: no numbers, but other colours


def test_neither_batches_nor_more_draws_make_it_worse():
    net, x = mlp(shape=(3, 6, 6)), images(20, (3, 6, 6))
    goal = Goal(net(x).argmax(1), 5)
    first, other = (attack(Recolor(draws=5, steps=4), net, x, size, goal) for size in (3, 50))
    assert (first.found - other.found).abs().max() < 1e-9 and torch.equal(first.candidates, other.candidates)
    assert first.forwards.tolist() == [10] * 20 and first.backwards.tolist() == [5] * 20
    worth = [attack(Recolor(**one), net, x, 8, goal).candidates for one in ({"draws": 5, "steps": 0}, {"draws": 5}, {})]
    won = [goal.reached(net(candidates)).sum() for candidates in worth]
    losses = [goal.loss(net(candidates)).mean() for candidates in worth]
    assert won[0] <= won[1] and losses[0] <= losses[1] and won[0] <= won[2]


def test_what_is_no_colour_image_and_no_change_at_all_are_refused():
    with pytest.raises(AttackError, match="recolor: expected images of 1 or 3 channels, got 2"):
        attack(Recolor(), mlp(shape=(2, 6, 6)), images(2, (2, 6, 6)))
    with pytest.raises(UsageError, match="brightness, contrast, saturation, hue: expected one above 0, got none"):
        Recolor(brightness=0, contrast=0, saturation=0, hue=0)


@pytest.mark.parametrize("weak", [{"draws": 1, "steps": 1, "step_size": 1e-3}, {}])
def test_the_bracket_sees_one_that_does_not_look(weak):
    findings = list(calibrate(Recolor(**weak)))
    assert len(findings) == 4 and all(finding.passed for finding in findings) == (not weak)


def test_random_colours_promise_nothing():
    findings = list(calibrate(Recolor(steps=0, draws=1)))
    assert len(findings) == 2 and all(finding.passed and finding.expected == "0 of 16" for finding in findings)


def test_a_run_stores_the_numbers_and_verify_makes_the_colours_again(tmp_path):
    suite = {
        "version": 1,
        "name": "recolor",
        "images": "all",
        "data": {"stop_sign": {"sign": "stop"}},
        "models": ["gtsrb_cnn"],
        "attacks": [{"recolor": {"draws": 4, "steps": 2}}],
    }
    results = run(suite, tmp_path, device="cpu", timing=False)
    samples = results.samples()
    for text in samples["transform"]:
        numbers = json.loads(text)
        assert (
            set(numbers) == {*Recolor.found, "distance", "angle"}
            and abs(numbers["hue"]) <= 30
            and abs(numbers["contrast"]) <= 0.3
        )
    (row,) = tables.make("recolor", results).rows
    assert row["limits"].text == "brightness ±0.2, contrast ±30 %, saturation ±30 %, hue ±30°"
    assert row["left"].value == pytest.approx(100 * (samples["clean_correct"] & ~samples["success"]).mean())
    assert verify(results.folder, "cpu").sound


def test_the_page_says_what_was_done():
    made = {"brightness": -0.1, "contrast": 0.25, "saturation": -0.3, "hue": 12, "distance": 5.0, "angle": 0.0}
    said = _moved({"transform": json.dumps(made)})
    assert said == "brightness -0.10, contrast +25\u00a0%, saturation -30\u00a0%, hue +12°"
    patch = {"x": 3.0, "y": 4.0, "angle": -20.0, "area": 0.1}
    assert _moved({"transform": json.dumps(patch)}) == "a patch on 10.0\u00a0%, turned by -20°"
    assert _moved({"transform": json.dumps({"distance": 5.0, "angle": 0.0})}) == ""  # a photograph's place
