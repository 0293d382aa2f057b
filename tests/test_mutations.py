"""Planted bugs, each of which the bracket must catch: a bracket that catches nothing proves nothing."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite import calibration, engine, judge, threat
from robustbench_lite.attacks import deepfool, lbfgs, pgd, spatial, universal, universal_sgd
from robustbench_lite.threat import Goal, size


def wrong_sign(monkeypatch):
    ascent = Goal.ascent
    monkeypatch.setattr(Goal, "ascent", lambda self, logits: (ascent(self, logits)[0], -ascent(self, logits)[1]))


def sign_of_targeted_ignored(monkeypatch):
    ascent = Goal.ascent

    def ignored(self, logits):
        loss, seed = ascent(self, logits)
        return (loss, -seed) if self.targeted else (loss, seed)

    monkeypatch.setattr(Goal, "ascent", ignored)


def no_projection(monkeypatch):
    monkeypatch.setattr(pgd, "project", lambda r, _norm, _epsilon: r)


def rescaled_instead_of_projected(monkeypatch):
    def rescale(r, norm, epsilon):
        length = size(r, norm).clamp_min(1e-20)
        return r * (epsilon / length).view(-1, 1, 1, 1) * 0.9

    monkeypatch.setattr(pgd, "project", rescale)


def wrong_norm_in_the_projection(monkeypatch):
    project = threat.project
    swapped = {"linf": "l2", "l2": "linf", "l1": "linf"}
    for module in (pgd, universal, universal_sgd):
        monkeypatch.setattr(module, "project", lambda r, norm, epsilon: project(r, swapped[norm], epsilon))


def no_best_so_far(monkeypatch):
    def keep_last(window):
        window.best.copy_(window.state.candidate)

    monkeypatch.setattr(engine, "_keep_best", keep_last)


def off_by_one_step(monkeypatch):
    """The first evaluation counts as the last: no step is ever taken."""
    monkeypatch.setattr(pgd.PGD, "_ascend", lambda _self, _x, adv, _gradient: adv)


def missing_square_in_deepfool(monkeypatch):
    """The misprint of the lecture's line 11: the step is divided by the norm once."""
    monkeypatch.setattr(deepfool.Nearest, "step", lambda self, _norm: (self.gradient, self.distance))


def overshoot_ignored(monkeypatch):
    start = deepfool.DeepFool.start

    def doubled(self, x, goal, draw):
        object.__setattr__(self, "overshoot", 0.2)
        return start(self, x, goal, draw)

    monkeypatch.setattr(deepfool.DeepFool, "start", doubled)


def farthest_class(monkeypatch):
    offer = deepfool.Nearest.offer

    def farthest(self, row, gap, gradient, length):
        self.distance[row] = float("inf")
        offer(self, row, gap, gradient, length)

    monkeypatch.setattr(deepfool.Nearest, "offer", farthest)
    start = deepfool.DeepFool.start

    def every_class(self, x, goal, draw):
        object.__setattr__(self, "slack", None)
        return start(self, x, goal, draw)

    monkeypatch.setattr(deepfool.DeepFool, "start", every_class)


def first_success_is_good_enough(monkeypatch):
    """No line search over c: the first minimiser is the answer."""
    init = lbfgs.LBFGS.start

    def one_solve(self, x, goal, draw):
        object.__setattr__(self, "search_steps", 1)
        return init(self, x, goal, draw)

    monkeypatch.setattr(lbfgs.LBFGS, "start", one_solve)
    first = lbfgs.LBFGS._first_c
    monkeypatch.setattr(lbfgs.LBFGS, "_first_c", lambda self, *values: first(self, *values) / 4)


def missing_clip(monkeypatch):
    """Candidates leave [0, 1] by a hair."""
    refuse = engine.run

    def leak(*arguments, **keywords):
        outcome = refuse(*arguments, **keywords)
        outcome.candidates[:, 0, 0, 0] = -0.001
        return outcome

    monkeypatch.setattr(calibration, "run", leak)


def last_candidates_left_out(monkeypatch):
    total = spatial.Spatial._total.fget
    monkeypatch.setattr(spatial.Spatial, "_total", property(lambda self: total(self) - 10))


def one_transform_for_the_whole_batch(monkeypatch):
    rebuild = spatial.Spatial.rebuild
    monkeypatch.setattr(spatial.Spatial, "rebuild", lambda self, x, found: rebuild(self, x, found[:1].expand_as(found)))


def parameters_of_another_candidate(monkeypatch):
    better = spatial.Spatial._better
    swap = lambda self, s, value, found, *rest: better(self, s, value, found.flip(1), *rest)
    monkeypatch.setattr(spatial.Spatial, "_better", swap)


def universal_without_projection(monkeypatch):
    monkeypatch.setattr(universal, "project", lambda r, _norm, _epsilon: r)
    monkeypatch.setattr(universal_sgd, "project", lambda r, _norm, _epsilon: r)


def universal_without_a_sum(monkeypatch):
    """Every image starts from nothing instead of from what the images before it have left."""
    step = universal.Universal._step
    start = lambda self, oracle, some, v, row: step(self, oracle, some, torch.zeros_like(v), row)
    monkeypatch.setattr(universal.Universal, "_step", start)


def universal_downhill(monkeypatch):
    ascent = universal_sgd.UniversalSGD._ascent
    monkeypatch.setattr(universal_sgd.UniversalSGD, "_ascent", lambda self, *values: -ascent(self, *values))


MUTATIONS = {
    wrong_sign: ["pgd", "fgsm", "lbfgs"],
    sign_of_targeted_ignored: ["pgd"],
    no_projection: ["pgd"],
    rescaled_instead_of_projected: ["pgd"],
    wrong_norm_in_the_projection: ["pgd", "universal", "universal_sgd"],
    no_best_so_far: ["lbfgs"],
    off_by_one_step: ["pgd"],
    missing_square_in_deepfool: ["deepfool", "universal"],
    overshoot_ignored: ["deepfool"],
    farthest_class: ["deepfool"],
    first_success_is_good_enough: ["lbfgs"],
    missing_clip: ["pgd", "deepfool", "fgsm", "universal", "universal_sgd"],
    last_candidates_left_out: ["spatial"],
    one_transform_for_the_whole_batch: ["spatial"],
    parameters_of_another_candidate: ["spatial"],
    universal_without_projection: ["universal", "universal_sgd"],
    universal_without_a_sum: ["universal"],
    universal_downhill: ["universal_sgd"],
}


@pytest.mark.parametrize(
    ("plant", "name"),
    [(plant, name) for plant, names in MUTATIONS.items() for name in names],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_the_bracket_catches(plant, name, monkeypatch):
    monkeypatch.setattr(calibration, "BATCH_SIZES", (8,))
    monkeypatch.setattr(calibration, "_N", 12)
    plant(monkeypatch)
    assert any(not finding.passed for finding in calibration.calibrate(name))


def test_labels_instead_of_predictions_are_caught():
    """An attack that reads the true label where the goal says prediction: the judge scores it 0 on wrong samples."""
    problem = calibration.problems()[0]
    z = problem.logits()
    goal = Goal(z.argmax(1), 2)
    confused = Goal(1 - goal.label, 2)
    record = deepfool.DeepFool()
    outcome = engine.run(
        record,
        calibration.Oracle(problem.module, torch.device("cpu"), 8),
        engine.Job(problem.x, confused, calibration.Draw(calibration.keys(0, "", [str(i) for i in range(len(z))]))),
    )
    verdicts = judge.judge(record, problem.module, problem.x, outcome.candidates, goal)
    assert not verdicts.success.any()
