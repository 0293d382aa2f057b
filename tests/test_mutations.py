"""Planted bugs, each of which the bracket must catch: a bracket that catches nothing proves nothing."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite import engine, judge, threat
from robustbench_lite.attacks import deepfool, fgsm, lbfgs, pgd, spatial, universal, universal_sgd
from robustbench_lite.calibration import calibrate, finding, usual
from robustbench_lite.threat import Goal, size
from tests.helpers import attack
from tests.linear import problems


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

    monkeypatch.setattr(finding, "run", leak)


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


def box_ignored(monkeypatch):
    """Steps are taken as if there were no box, and clipped at the end: half of each is lost in a corner."""

    def ascend(self, x, adv, gradient):
        step = threat.steepest(gradient, self.norm) * 2.5 * self.epsilon / self.steps
        return x + threat.project(adv + step - x, self.norm, self.epsilon)

    monkeypatch.setattr(pgd.PGD, "_ascend", ascend)


def half_the_budget(monkeypatch):
    project = threat.project
    for module in (pgd, universal, universal_sgd):
        monkeypatch.setattr(module, "project", lambda r, norm, epsilon: project(r, norm, epsilon / 2))
    monkeypatch.setattr(fgsm, "steepest", lambda g, norm: threat.steepest(g, norm) / 2)


def tiny_steps(monkeypatch):
    ascend = pgd.PGD._ascend
    late = lambda self, x, adv, gradient: adv + (ascend(self, x, adv, gradient) - adv) * 1e-3
    monkeypatch.setattr(pgd.PGD, "_ascend", late)


def blind_to_the_last_class(monkeypatch):
    """Its logit neither pushes nor is it a competitor: a loop over classes that ends one too early."""
    ascent, start = Goal.ascent, deepfool.DeepFool.start

    def blind(self, logits):
        hidden = logits.clone()
        hidden[:, -1] = logits.amin(1) - 1
        loss, seed = ascent(self, hidden)
        return loss, seed * (torch.arange(logits.shape[1]) < logits.shape[1] - 1)

    def fewer(self, x, goal, draw):
        state = start(self, x, goal, draw)
        state.classes = state.classes.clamp_max(goal.classes - 2)
        return state

    monkeypatch.setattr(Goal, "ascent", blind)
    monkeypatch.setattr(deepfool.DeepFool, "start", fewer)


def long_gradients_missed(monkeypatch):
    """Of two boundaries that of the class with the larger logit is taken for the nearer one."""
    monkeypatch.setattr(deepfool.DeepFool, "_all", lambda _self, _goal: False)
    competitors = deepfool.DeepFool._competitors

    def likeliest(self, state, logits):
        return competitors(self, state, logits)[:, :1].expand_as(state.classes)

    monkeypatch.setattr(deepfool.DeepFool, "_competitors", likeliest)


def a_row_of_pixels_left_out(monkeypatch):
    move = fgsm.FGSM._move

    def partly(self, x, direction, epsilon):
        moved = move(self, x, direction, epsilon)
        moved[..., -1, :] = x[..., -1, :]
        return moved

    monkeypatch.setattr(fgsm.FGSM, "_move", partly)


MUTATIONS = {
    box_ignored: ["pgd"],
    half_the_budget: ["pgd", "fgsm", "universal", "universal_sgd"],
    tiny_steps: ["pgd"],
    blind_to_the_last_class: ["pgd", "fgsm", "deepfool", "lbfgs", "mifgsm"],
    long_gradients_missed: ["deepfool"],
    a_row_of_pixels_left_out: ["fgsm"],
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
    plant(monkeypatch)
    assert any(not found.passed for one in usual(name) for found in calibrate(one))


def test_labels_instead_of_predictions_are_caught():
    """An attack that reads the true label where the goal says prediction: the judge scores it 0 on wrong samples."""
    problem = problems()[0]
    goal = Goal(problem.logits().argmax(1), 2)
    record = deepfool.DeepFool()
    outcome = attack(record, problem.module, problem.x, goal=Goal(1 - goal.label, 2))
    verdicts = judge.judge(record, problem.module, problem.x, outcome.candidates, goal)
    assert not verdicts.success.any()
