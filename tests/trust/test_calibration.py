"""The bracket: its references against solvers, its problems, attacks that ship and weak ones, what runs store."""

from __future__ import annotations

import dataclasses
import io
import json
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from scipy.optimize import linprog, minimize

import robustbench_lite
from robustbench_lite.cli.progress import Lines
from robustbench_lite.engine.attack import State, StepAttack, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import Options, run, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.box import box_radius
from robustbench_lite.threat.norms import sample
from robustbench_lite.trust.bracket import cache, calibrate, thorough, usual
from robustbench_lite.trust.bracket.bracket import lengthy
from robustbench_lite.trust.bracket.exact import Slope
from robustbench_lite.trust.bracket.images import on_images
from robustbench_lite.trust.bracket.problems import build
from robustbench_lite.trust.bracket.recipes import RECIPES, Task
from robustbench_lite.trust.smell import cases
from robustbench_lite.trust.smells.bracket import bracket
from tests.helpers import ROOT

SUITES = sorted((ROOT / "suites").glob("*.yaml"))
CONFIGURED = {
    entry.attack.fingerprint(): pytest.param(entry.attack, id=f"{path.stem}: {entry.variant}")
    for path in SUITES
    for entry in load(path).attacks
}


def failures(attack, **options) -> list[str]:
    """What the bracket holds against the attack; it must have looked."""
    findings = list(calibrate(attack, **options))
    assert findings
    return [str(finding) for finding in findings if not finding.passed]


# the references

KINDS = ("corner", "grey", "mixed")


def slopes(kind: str, norm: str, numbers: int = 7, n: int = 6) -> tuple[Slope, torch.Tensor]:
    generator = torch.Generator().manual_seed(KINDS.index(kind))
    x = torch.rand((n, numbers), generator=generator, dtype=torch.float64)
    if kind == "corner":
        x = x.round()
    if kind == "mixed":
        x[:, ::2] = x[:, ::2].round()
    slope = Slope(x, torch.randn((n, numbers), generator=generator, dtype=torch.float64), norm)
    most = slope.gain(torch.full((n,), 1e9, dtype=torch.float64))
    return slope, most * torch.linspace(0.05, 0.95, n, dtype=torch.float64)


def solved(x: np.ndarray, w: np.ndarray, gain: float, norm: str) -> float:
    """The smallest norm of r with w.r >= gain and x + r in the box, by a solver that knows nothing of paths."""
    n = len(x)
    if norm == "l2":
        start = np.where(w > 0, 1 - x, -x)
        far = {"type": "ineq", "fun": lambda r: w @ r - gain, "jac": lambda _r: w}
        bounds = list(zip(-x, 1 - x, strict=True))
        options = {"ftol": 1e-15, "maxiter": 1000}
        found = minimize(lambda r: r @ r, start, jac=lambda r: 2 * r, bounds=bounds, constraints=[far], options=options)
        return float(np.sqrt(found.fun))
    # r = up - down, both >= 0; linf: a bound t above both
    extra = np.ones(1) if norm == "linf" else np.zeros(1)
    cost = np.concatenate([np.full(2 * n, 0.0 if norm == "linf" else 1.0), extra])
    above = np.hstack([np.eye(2 * n), -np.ones((2 * n, 1))]) if norm == "linf" else np.zeros((0, 2 * n + 1))
    rows = np.vstack([np.concatenate([-w, w, [0]]), above])
    bounds = [*zip(np.zeros(n), 1 - x, strict=True), *zip(np.zeros(n), x, strict=True), (0, None)]
    return float(linprog(cost, rows, np.concatenate([[-gain], np.zeros(len(above))]), bounds=bounds).fun)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_exact_radius_is_what_solvers_find(norm, kind):
    slope, gain = slopes(kind, norm)
    radius = slope.radius(gain)
    other = [solved(x, w, g, norm) for x, w, g in zip(slope.x.numpy(), slope.w.numpy(), gain.tolist(), strict=True)]
    assert radius.tolist() == pytest.approx(other, rel=1e-5)
    assert torch.allclose(radius, box_radius(slope.x, slope.w, gain, norm), rtol=1e-6)  # sorted instead of bisected
    assert torch.allclose(slope.gain(radius), gain)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_without_a_box_the_radius_is_the_gain_over_the_dual_norm(norm):
    slope, gain = slopes("grey", norm)
    free = dataclasses.replace(slope, boxed=False)
    dual = {"linf": 1, "l2": 2, "l1": float("inf")}[norm]
    assert torch.allclose(free.radius(gain), gain / torch.linalg.vector_norm(slope.w, ord=dual, dim=1))
    assert (free.radius(gain) <= slope.radius(gain) * (1 + 1e-9)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_straight_step_that_is_clipped_is_what_it_says(norm):
    slope, gain = slopes("mixed", norm)
    straight = dataclasses.replace(slope, straight=True)
    size = straight.radius(gain / 3)
    way = slope.w.sign() if norm == "linf" else slope.w / torch.linalg.vector_norm(slope.w, dim=1, keepdim=True)
    moved = (slope.x + size[:, None] * way).clamp(0, 1)
    assert torch.allclose((slope.w * (moved - slope.x)).sum(1), gain / 3)
    assert (size >= slope.radius(gain / 3) * (1 - 1e-9)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_exact_radius_in_l0_is_that_of_the_best_of_all_subsets(kind):
    slope, gain = slopes(kind, "l0")
    gains = slope.w.abs() * torch.where(slope.w > 0, 1 - slope.x, slope.x)
    subsets = torch.tensor([[i >> k & 1 for k in range(7)] for i in range(128)]).double()
    fewest = torch.where(gains @ subsets.T >= gain[:, None], subsets.sum(1), 8.0).amin(1)
    assert slope.radius(gain).tolist() == fewest.tolist() == box_radius(slope.x, slope.w, gain, "l0").tolist()
    best = torch.where(subsets.sum(1) == fewest[:, None], gains @ subsets.T, 0.0).amax(1)
    assert torch.allclose(slope.gain(fewest), best)


def test_what_the_box_does_not_allow_is_infinitely_far():
    slope, gain = slopes("corner", "linf")
    assert slope.radius(gain * 100).isinf().all()
    assert (slope.radius(-gain) == 0).all()


# the problems

BOUNDED = Task("linf", 8 / 255, 1.05, True, False, None, False, False, True, False)
TASKS = {
    "linf": BOUNDED,
    "l2": dataclasses.replace(BOUNDED, norm="l2", size=0.5),
    "l1": dataclasses.replace(BOUNDED, norm="l1", size=5.0),
    "targeted": dataclasses.replace(BOUNDED, targeted=True),
    "minimal": dataclasses.replace(BOUNDED, norm="l2", size=None, several=True),
}


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_problem_is_what_it_says(recipe, task):
    problem = build(recipe, task)
    z, flat = problem.module.exact(problem.x), problem.x.flatten(1)
    assert problem.module(problem.x).dtype == getattr(torch, recipe.dtype)
    assert flat.min() >= 0
    assert flat.max() <= 1
    if recipe.images == "corners":
        assert ((flat == 0) | (flat == 1)).all()
    if recipe.images == "digits":
        assert ((flat == 0).float().mean(1) > 0.5).all()
    own = z.argmax(1)
    assert (own == recipe.classes - 1).any()  # the last class, to begin with
    if recipe.spread == 1:  # else that of the shortest gradient, so that it is the nearest, too
        assert (z.topk(2).indices[:, 1] == recipe.classes - 1).any()  # and as the likeliest other
    if recipe.classes == 2:
        assert torch.allclose(z[:, 0], -z[:, 1], rtol=0.1)
    if recipe.off:
        assert (z[:, recipe.classes // 2] < -9e8).all()
    if recipe.spread > 1:
        length = torch.linalg.vector_norm(problem.module.weight, dim=1)
        assert length.max() / length.min() > 30
    if task.size is not None:
        share, coarse = problem.exact / task.size, problem.blur / task.size
        assert ((share > 0.85 - coarse) & (share < 0.97)).sum() >= 2  # just below what is allowed
        assert ((share > 1.03) & (share < 1.2 + coarse)).sum() >= 2  # just above
    reached = problem.goal.reached(z)
    assert torch.equal(problem.exact == 0, reached)
    assert int(reached.sum()) == (1 if task.targeted else 2)  # on the goal's side to begin with


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.dtype in {"float32", "float64"}], ids=str)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_the_radius_of_a_problem_has_a_witness(recipe, task):
    """Just beyond the radius there is an image that reaches the goal; half as far away the best one does not."""
    problem = build(recipe, task)
    todo = (problem.exact > 0).nonzero()[:, 0]
    x, label, w = problem.x[todo].flatten(1).double(), problem.goal.label[todo], problem.module.weight.double()
    for share, wanted in ((1.02, True), (0.98, False)):
        won = torch.zeros(len(todo), dtype=torch.bool)
        for k in range(recipe.classes):
            toward = (w[label] - w[k]) if task.targeted else (w[k] - w[label])
            r = _best(x, toward, task.norm, problem.exact[todo] * share)
            z = problem.module.exact((x + r).view(len(todo), -1))
            hit = z.argmax(1) == label
            won |= (hit if task.targeted else ~hit) & (toward.abs().sum(1) > 0)
        assert bool(won.all() if wanted else not won.any())


def _best(x: torch.Tensor, w: torch.Tensor, norm: str, size: torch.Tensor) -> torch.Tensor:
    """The r of that size (n,) along which w grows most, in the box: by the package's other implementation."""
    from robustbench_lite.threat.box import steepest_within

    return torch.cat([steepest_within(x[i : i + 1], w[i : i + 1], norm, float(size[i])) for i in range(len(x))])


# attacks


@pytest.mark.parametrize("name", [name for name in attacks if not lengthy(attacks.build(name))])
def test_every_attack_passes_with_its_usual_parameters(name):
    """Those of thousands of passes an image: `test_the_whole_bracket`, which is slow."""
    assert not [text for attack in usual(name) for text in failures(attack)]


@pytest.mark.parametrize("epsilon", [8, 15])
@pytest.mark.parametrize("steps", [50, 100])
def test_what_rounding_leaves_of_a_number_does_not_stall_sparse_steps(epsilon, steps):
    record = attacks.build("apgd", {"norm": "l1", "epsilon": epsilon, "steps": steps})
    found = list(on_images(record, (16,), whole=False, recipes=RECIPES[2:4]))
    assert found and all(one.passed for one in found), found


@pytest.mark.parametrize("attack", CONFIGURED.values())
def test_every_attack_of_every_suite_passes_as_it_is_configured(attack):
    if attack.lacking:
        pytest.skip(attack.lacking)
    assert not failures(attack)


def called(attack) -> str:
    """Its name, and what `usual` sets on it."""
    chosen = [str(value) for key in ("norm", "search") if (value := getattr(attack, key, None))]
    return " ".join([attack.registered, *chosen, *(["targeted"] if attack.target is not None else [])])


@pytest.mark.slow
@pytest.mark.parametrize("attack", [attack for name in attacks for attack in usual(name)], ids=called)
def test_the_whole_bracket(attack):
    findings = list(thorough(attack))
    assert findings
    assert not [str(finding) for finding in findings if not finding.passed]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("pgd", {"steps": 1, "step_size": 1e-6}),
        ("pgd", {"steps": 10, "step_size": 1 / 2550, "random_start": False}),
        ("pgd", {"norm": "l2", "epsilon": 0.5, "steps": 2, "step_size": 0.1}),
        ("mifgsm", {"steps": 1, "step_size": 1e-6}),
        ("mifgsm", {"diversity": 0.5, "steps": 1, "step_size": 1e-6}),
        ("eot", {"steps": 2, "step_size": 1e-6}),
        ("deepfool", {"steps": 1, "overshoot": 0}),
        ("lbfgs", {"steps": 1, "search_steps": 1}),
        ("ensemble", {"steps": 1, "lr": 1e-6}),
        ("eot", {"penalty": [0.001], "steps": 1, "step_size": 1e-6}),
        ("eot3d", {"steps": 1, "step_size": 1e-6}),
        ("rp2", {"steps": 1, "step_size": 1e-6}),
        ("spatial", {"search": "first_order", "steps": 1, "step_size": 1e-6}),
        ("universal_sgd", {"epochs": 1, "step_size": 1e-6}),
        ("spatial", {"search": "random", "then": {"pgd": {"steps": 1, "step_size": 1e-6}}}),
    ],
)
def test_what_is_too_weak_as_it_is_configured_is_red(name, params):
    assert failures(attacks.build(name, params))


def test_what_an_attack_raises_is_a_finding():
    class Broken(type(attacks.build("pgd"))):
        def step(self, oracle, state):
            raise ZeroDivisionError("by the attack")

    texts = failures(Broken())
    assert len(texts) == len(RECIPES)
    assert all("ZeroDivisionError: by the attack" in text for text in texts)


class Noise(StepAttack):
    """A baseline that promises nothing; it must not do the impossible all the same."""

    card: ClassVar[Card] = Card(title="Noise", paper="none", arxiv="0000.00000", protocol="One draw.")
    norm: Literal["linf"] = Field("linf")
    epsilon: float = 8 / 255
    beyond: float = 1.0

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"))

    def start(self, x, goal, draw):
        adv = (x + self.beyond * sample(draw, x, self.norm, self.epsilon)).clamp(0, 1)
        return State(x, goal, draw, adv, torch.zeros(len(x)), torch.zeros(len(x), dtype=torch.bool))

    def step(self, oracle, state):
        score = -state.goal.loss(oracle.logits(state.candidate))
        return dataclasses.replace(state, score=score, done=torch.ones_like(state.done))


def test_a_baseline_promises_nothing_and_is_checked_all_the_same():
    assert not failures(Noise())
    assert all("contract violations" in text for text in failures(Noise(beyond=1.2)))
    assert len(failures(Noise(beyond=1.2))) == len(RECIPES)


# the cache


@pytest.fixture
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "calibration"


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """The attacks that were really calibrated."""
    done: list[str] = []

    def summary(attack):
        done.append(attack.registered)
        return {"checks": 3, "failed": ["missed"] if attack.steps == 13 else [], "seconds": 0.5}

    monkeypatch.setattr(cache, "summary", summary)
    return done


def pgd(**params):
    return attacks.build("pgd", params)


def test_an_attack_is_calibrated_once(own_cache, counted):
    first, second = cache.calibrated(pgd()), cache.calibrated(pgd(epsilon="8/255"))
    assert counted == ["pgd"]
    assert first == second
    assert json.loads(first["params"])["steps"] == 40
    cache.calibrated(pgd(steps=41))
    assert len(counted) == 2
    assert len(list(own_cache.iterdir())) == 2  # nothing temporary is left


def test_what_failed_is_tried_anew(own_cache, counted):
    assert cache.calibrated(pgd(steps=13))["failed"] == ["missed"]
    cache.calibrated(pgd(steps=13))
    assert len(counted) == 2
    assert not own_cache.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"checks": 3}', '{"checks": 0, "failed": [], "seconds": 1}', "null"])
def test_a_damaged_file_is_ignored_and_written_anew(own_cache, counted, text):
    cache.calibrated(pgd())
    (file,) = own_cache.iterdir()
    whole = file.read_text()
    file.write_text(text)
    cache.calibrated(pgd())
    assert len(counted) == 2
    assert file.read_text() == whole


def test_another_version_or_other_code_is_another_result(own_cache, counted, monkeypatch):
    cache.calibrated(pgd())
    monkeypatch.setattr(type(pgd()), "version", 99)
    cache.calibrated(pgd())
    monkeypatch.undo()
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(own_cache.parent))
    monkeypatch.setattr(
        cache, "summary", lambda _attack: counted.append("pgd") or {"checks": 3, "failed": [], "seconds": 1}
    )
    monkeypatch.setattr(cache, "_code", lambda: "other")
    cache.calibrated(pgd())
    assert len(counted) == 3


@pytest.mark.parametrize("place", ["", "file", "homeless"])
def test_without_a_place_for_the_cache_there_is_none(tmp_path, counted, monkeypatch, place):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path / place) if place else "")
    if place == "homeless":
        monkeypatch.delenv("ROBUSTBENCH_LITE_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert cache.calibrated(pgd())["checks"] == 3
    assert cache.calibrated(pgd())["checks"] == 3
    assert len(counted) == 2


def test_the_cache_is_where_users_expect_it(monkeypatch):
    monkeypatch.delenv("ROBUSTBENCH_LITE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/robustbench_lite/calibration")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache.folder() == Path("/home/someone/.cache/robustbench_lite/calibration")


# what runs store

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 8}},
    "models": ["fc500_150_10_mnist"],
    "attacks": [
        {"pgd": {"epsilon": 0.1, "steps": 5}, "as": "usual"},
        {"pgd": {"epsilon": 0.1, "steps": 1, "step_size": 1e-6}, "as": "weak"},
    ],
    "tables": ["cost"],
}


def unsealed(record: dict[str, object]) -> dict[str, object]:
    """What earlier versions wrote: without a digest."""
    return {key: value for key, value in record.items() if key not in {"sealed", "sha256"}}


def levels(results) -> dict[str, str]:
    everything = cases(results)
    return {case.cell["variant"]: bracket.look(case, everything) for case in everything}


def test_a_run_says_of_each_attack_as_it_is_configured_whether_it_passed(tmp_path, own_cache):
    stream = io.StringIO()
    results = run_suite(load(SUITE), Options(results=tmp_path), Lines(stream))
    found = results.run["calibration"]
    assert list(found) == ["usual", "weak"]
    assert not found["usual"]["failed"]
    assert found["weak"]["failed"]
    assert "RED: calibration of weak" in stream.getvalue()
    assert "calibration of usual" not in stream.getvalue()
    judged = levels(results)
    assert judged["usual"].level == "ok"
    assert judged["weak"].red
    assert "weak failed some" in " ".join(tables.make("cost", results).footnotes)


def test_what_is_in_the_store_is_not_calibrated_again_and_its_result_stays(tmp_path, own_cache, monkeypatch):
    before = run(SUITE, tmp_path).run["calibration"]
    monkeypatch.setattr("robustbench_lite.runner.run.calibrated", lambda _attack: pytest.fail("calibrated twice"))
    assert run(SUITE, tmp_path).run["calibration"] == before


def test_a_mistake_in_an_attack_is_loud(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr("robustbench_lite.threat.box.project", lambda r, _norm, _epsilon: r)
    results = run({**SUITE, "attacks": SUITE["attacks"][:1]}, tmp_path)
    assert results.run["calibration"]["usual"]["failed"]


def test_other_parameters_under_the_same_name_are_not_taken_for_it(tmp_path, own_cache):
    run(SUITE, tmp_path)
    path = tmp_path / "small" / "run.json"
    record = json.loads(path.read_text())
    record["calibration"]["usual"]["params"] = "{}"
    path.write_text(json.dumps(unsealed(record)))
    assert levels(read(tmp_path / "small"))["usual"].level == "unknown"


def test_runs_of_earlier_versions_are_still_read(tmp_path, own_cache):
    run(SUITE, tmp_path)
    path = tmp_path / "small" / "run.json"
    record = json.loads(path.read_text())
    record["calibration"] = {"pgd": {"version": attacks["pgd"].version, "checks": 6, "failed": []}}
    path.write_text(json.dumps(unsealed(record)))
    old = read(tmp_path / "small")
    assert levels(old)["weak"].text == "6 checks passed by the attack's defaults"
    assert "6 checks of pgd" in " ".join(tables.make("cost", old).footnotes)
    assert run(SUITE, tmp_path).run["calibration"] == record["calibration"]  # nothing is due: what is known stays


def test_what_an_earlier_run_says_of_another_version_of_an_attack_says_nothing_of_this_one(tmp_path, own_cache):
    run(SUITE, tmp_path)
    path = tmp_path / "small" / "run.json"
    record = json.loads(path.read_text())
    for version, level in ((attacks["pgd"].version, "ok"), (attacks["pgd"].version - 1, "unknown")):
        record["calibration"] = {"pgd": {"version": version, "checks": 6, "failed": []}}
        path.write_text(json.dumps(unsealed(record)))
        assert levels(read(tmp_path / "small"))["usual"].level == level


def test_all_code_of_ours_counts_wherever_the_cache_lies():
    assert robustbench_lite.__path__ == [str(cache._PACKAGE)]


def test_all_code_of_the_package_that_an_attack_comes_from_counts(tmp_path, monkeypatch):
    package = tmp_path / "pkg_attacks" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package.parent / "steps.py").write_text("LENGTH = 1\n")
    (package / "mine.py").write_text(
        "from robustbench_lite.attacks.fgsm import FGSM\nclass Mine(FGSM):\n    '''Mine.'''\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    attack = import_module("pkg_attacks.inner.mine").Mine()
    before = cache.key_of(attack)
    assert cache.key_of(attack) == before
    (package.parent / "steps.py").write_text("LENGTH = 2\n")
    assert cache.key_of(attack) != before


def test_a_bracket_that_does_not_exist_is_a_failed_check_and_stops_nothing():
    class Odd(type(pgd())):
        """PGD that says it has to pass something else."""

        @property
        def bracket(self) -> str:
            return "unheard of"

    (finding,) = calibrate(Odd())
    assert not finding.passed
    assert "unheard of" in finding.found
