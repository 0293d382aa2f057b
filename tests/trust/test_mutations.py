"""Planted bugs, each of which the bracket must catch: a bracket that catches nothing proves nothing."""

from __future__ import annotations

import math

import pytest
import torch

from robustbench_lite.attacks import _steps, deepfool, fgsm, lbfgs, pgd, spatial, universal, universal_sgd
from robustbench_lite.engine import drive as engine
from robustbench_lite.engine import judge, oracle
from robustbench_lite.threat import box
from robustbench_lite.threat import norms as threat
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.trust.bracket import calibrate, finding, usual
from tests.attacks import test_attacks
from tests.engine import test_engine, test_judge
from tests.helpers import attack
from tests.linear import problems
from tests.trust import test_liars


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
    monkeypatch.setattr(box, "project", lambda r, _norm, _epsilon: r)
    monkeypatch.setattr(box, "project_within", lambda x, r, _norm, _epsilon: (x + r).clamp(0, 1) - x)
    monkeypatch.setattr(box, "_shed", lambda r, _g, _epsilon: r)


def rescaled_instead_of_projected(monkeypatch):
    def rescale(r, norm, epsilon):
        length = size(r, norm).clamp_min(1e-20)
        return r * (epsilon / length).view(-1, 1, 1, 1) * 0.9

    monkeypatch.setattr(box, "project", rescale)
    monkeypatch.setattr(box, "project_within", lambda _x, r, norm, epsilon: rescale(r, norm, epsilon))


def wrong_norm_in_the_projection(monkeypatch):
    project = threat.project
    swapped = {"linf": "l2", "l2": "linf", "l1": "linf"}
    for module in (box, universal, universal_sgd):
        monkeypatch.setattr(module, "project", lambda r, norm, epsilon: project(r, swapped[norm], epsilon))


def no_best_so_far(monkeypatch):
    def keep_last(window):
        window.best.copy_(window.state.candidate)

    monkeypatch.setattr(engine, "_keep_best", keep_last)


def off_by_one_step(monkeypatch):
    """The first evaluation counts as the last: no step is ever taken."""
    monkeypatch.setattr(pgd.PGD, "_ascend", lambda _self, _x, adv, _gradient, _taken: adv)


def missing_square_in_deepfool(monkeypatch):
    """The misprint of the lecture's line 11: the step is divided by the norm once."""
    offer = deepfool.Nearest.offer

    def longer(self, row, distance, gap, slope, way):
        offer(self, row, distance, gap, slope, way * slope.view(-1, 1, 1, 1))

    monkeypatch.setattr(deepfool.Nearest, "offer", longer)


def overshoot_ignored(monkeypatch):
    move = deepfool.DeepFool._move
    farther = lambda self, view, s, done: move(self.model_copy(update={"overshoot": 0.2}), view, s, done)
    monkeypatch.setattr(deepfool.DeepFool, "_move", farther)


def farthest_class(monkeypatch):
    offer = deepfool.Nearest.offer

    def farthest(self, row, distance, gap, slope, way):
        self.distance.fill_(float("inf"))
        offer(self, row, distance, gap, slope, way)
        self.distance.fill_(float("inf"))  # the last one offered wins

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
    swap = lambda self, s, won, value, found, *rest: better(self, s, won, value, found.flip(1), *rest)
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
    for module in (box, universal, universal_sgd):
        monkeypatch.setattr(module, "project", lambda r, norm, epsilon: project(r, norm, epsilon / 2))
    monkeypatch.setattr(fgsm, "steepest", lambda g, norm: threat.steepest(g, norm) / 2)


def tiny_steps(monkeypatch):
    ascend = pgd.PGD._ascend
    late = lambda self, x, adv, *rest: adv + (ascend(self, x, adv, *rest) - adv) * 1e-3
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


# what the bracket cannot see, other tests of exact answers must


def logits_as_they_come(monkeypatch):
    for module in (oracle, judge):
        monkeypatch.setattr(module, "logits_of", lambda net, x: net(x.clone()))


def the_callers_own_images(monkeypatch):
    for module in (oracle, judge):
        monkeypatch.setattr(module, "logits_of", lambda net, x: net(x).float())
    monkeypatch.setattr(oracle, "interior", lambda x: x)


def gradients_at_the_ends_of_a_clamp(monkeypatch):
    monkeypatch.setattr(oracle, "interior", lambda x: x)


def a_tie_with_a_class_that_is_switched_off(monkeypatch):
    margin = Goal.margin
    eps = 64 * torch.finfo(torch.float32).eps
    largest = lambda self, z, _least=None: margin(self, z) > eps * z.abs().amax(1)
    monkeypatch.setattr(Goal, "secured", largest)


def argmax_of_nan(monkeypatch):
    monkeypatch.setattr(judge, "_scored", lambda classify, _x, candidates, fault: (classify(candidates), fault))


def the_same_pixel_for_ever(monkeypatch):
    def climb(x, adv, g, norm, length, epsilon, _share):
        moved = threat.steepest(g, norm) * length + adv - x
        return (threat.project(moved, norm, epsilon) + x).clamp(0, 1)

    monkeypatch.setattr(_steps, "climb", climb)


def one_step_clipped(monkeypatch):
    monkeypatch.setattr(fgsm, "steepest_within", lambda _x, g, norm, epsilon: threat.steepest(g, norm) * epsilon)


def lengths_that_were_never_seen(monkeypatch):
    """Every gradient is taken to be about as long as the first one."""
    none = deepfool.Nearest.none
    start = deepfool.DeepFool.start

    def known(self, x, goal, draw):
        state = start(self, x, goal, draw)
        state.lengths.fill_(10.0)
        return state

    monkeypatch.setattr(deepfool.DeepFool, "start", known)
    monkeypatch.setattr(deepfool.Nearest, "none", none)


def never_further_than_rounding(monkeypatch):
    """A tie may stall: the step is never longer than what the gap asks for."""
    monkeypatch.setattr(deepfool, "rounding", lambda first, _second: torch.zeros_like(first))
    move = deepfool.DeepFool._move

    def timid(self, view, s, done):
        s.push.zero_()
        return move(self, view, s, done)

    monkeypatch.setattr(deepfool.DeepFool, "_move", timid)


def halves_to_even(monkeypatch):
    monkeypatch.setattr(judge, "_rounded", lambda x: (255 * x).round() / 255)


def rounded_beyond_the_budget(monkeypatch):
    rounded = judge._rounded
    every = lambda _attack, x, candidates: (rounded(candidates.double()).float(), torch.ones(len(x), dtype=torch.bool))
    for module in (judge, test_judge):
        monkeypatch.setattr(module, "eight_bit", every)


def a_count_of_rounded_numbers(monkeypatch):
    monkeypatch.setattr(test_attacks, "enough", lambda share, n: math.ceil(share * n))


def only_wanted_rows_are_counted(monkeypatch):
    gradient = oracle.Pass.gradient

    def wanted(self, seed):
        before = self.oracle.ledger.counts.clone()
        out = gradient(self, seed)
        if self.wanted is not None:
            self.oracle.ledger.counts.copy_(before)
            self.oracle.ledger.add(oracle.BACKWARD, self.wanted)
        return out

    monkeypatch.setattr(oracle.Pass, "gradient", wanted)


def counted_again_when_retried(monkeypatch):
    monkeypatch.setattr(oracle.Ledger, "restore", lambda _self, _before: None)


def any_score_before_success(monkeypatch):
    def by_score(window, *, ahead):
        better = window.state.score < window.score
        window.best[better] = window.state.candidate[better]
        window.score = torch.fmin(window.score, window.state.score)

    monkeypatch.setattr(engine, "_keep_best", by_score)


SAME = test_liars.test_who_says_the_same_gets_the_same
BUDGET = test_attacks.test_a_budget_is_enough_just_above_the_exact_radius_in_the_box
BOX = test_attacks.test_deepfool_finds_the_nearest_boundary_within_the_box
LONG = test_attacks.test_deepfool_does_not_miss_a_class_whose_gradient_is_long
SAVED = test_judge.test_the_saved_image_is_within_the_budget_and_next_to_the_candidate
CAUGHT = [
    (logits_as_they_come, SAME, ("float64 logits", "deepfool")),
    (the_callers_own_images, SAME, ("in place first", "fgsm")),
    (gradients_at_the_ends_of_a_clamp, SAME, ("clamped first", "pgd")),
    (a_tie_with_a_class_that_is_switched_off, SAME, ("off at -1e6", "deepfool")),
    (a_tie_with_a_class_that_is_switched_off, SAME, ("off at -1e9", "pgd")),
    (
        argmax_of_nan,
        test_judge.test_logits_that_are_not_finite_are_a_fault_whatever_argmax_makes_of_them,
        (math.nan, 1),
    ),
    (the_same_pixel_for_ever, BUDGET, ("pgd", "l1", 0.02, "digits")),
    (the_same_pixel_for_ever, BUDGET, ("eot", "l1", 0.02, "corners")),
    (one_step_clipped, BUDGET, ("fgsm", "l1", 0.001, "digits")),
    (one_step_clipped, BUDGET, ("fgsm", "l2", 0.001, "corners")),
    (lengths_that_were_never_seen, LONG, (7, 10, "l2")),
    (lengths_that_were_never_seen, LONG, (7, 100, "linf")),
    (never_further_than_rounding, SAME, ("bfloat16 logits", "deepfool in linf")),
    (halves_to_even, test_judge.test_halves_are_rounded_up_as_image_libraries_do, ()),
    (rounded_beyond_the_budget, SAVED, ("linf", 0.1)),
    (rounded_beyond_the_budget, SAVED, ("l2", 0.5)),
    (a_count_of_rounded_numbers, test_attacks.test_a_share_is_that_of_the_number_as_it_is_written, (0.55, 100, 55)),
    (only_wanted_rows_are_counted, test_engine.test_what_is_counted_is_what_went_through_the_network, ("pgd", 64)),
    (counted_again_when_retried, test_engine.test_a_step_that_ran_out_of_memory_is_counted_once, ("pgd",)),
    (counted_again_when_retried, test_engine.test_a_step_that_ran_out_of_memory_is_counted_once, ("fgsm",)),
    (any_score_before_success, test_engine.test_a_success_is_kept_before_any_score, ()),
]


@pytest.mark.parametrize(("plant", "test", "arguments"), CAUGHT, ids=lambda value: getattr(value, "__name__", None))
def test_a_test_catches(plant, test, arguments, monkeypatch):
    test(*arguments)
    plant(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        test(*arguments)
