"""Functions of others: what they do is known exactly, and so is what the judge, the rows and the table must say."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_lite.errors import AttackError, SuiteError, UsageError
from robustbench_lite.peers import Call, Foolbox, peers
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.trust.bracket import calibrate
from tests.helpers import ROOT
from tests.peers import theirs

PLACE = "tests/peers/theirs.py"
EPSILON = 0.1


class Brightness(nn.Module):
    """Class 1 where the mean pixel is above one half: the distance of an image in linf is |mean - 1/2|."""

    def forward(self, x):
        gap = x.flatten(1).mean(1) - 0.5
        return torch.stack([-gap, gap], 1)


def samples(n: int = 12):
    """Images of distances 0.01, 0.03, ... from the boundary, above and below in turn, and their classes."""
    distance = (0.01 + 0.02 * torch.arange(n)) * torch.tensor([1.0, -1.0]).repeat(n)[:n]
    x = (0.5 + distance).view(-1, 1, 1, 1).expand(n, 1, 4, 4).clone()
    return x, (distance > 0).long(), distance.abs()


def called(function, **params):
    record = Call.of(function, **{"norm": "linf", **params})
    x, y, distance = samples()
    return record(Brightness(), x, y, inspect=False), distance


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_what_is_within_reach_falls_and_what_is_not_does_not(batch):
    result, distance = called(theirs.honest, epsilon=EPSILON, batch=batch)
    within = distance < EPSILON
    assert torch.equal(result.success, within) and torch.equal(result.claimed, within)
    assert set(result.status) == {"ok"}
    assert result.forwards.tolist() == [1] * 12 and result.backwards.tolist() == [1] * 12
    assert (result.size("linf") - EPSILON).abs().max() < 1e-6


def test_a_lie_is_told_and_believed_by_nobody():
    result, _ = called(theirs.liar, epsilon=EPSILON)
    assert result.claimed.all() and not result.success.any() and result.robust.all()
    assert "by its own account it succeeds on 12 of 12" in result.notes


@pytest.mark.parametrize(
    ("function", "reason"),
    [(theirs.nothing_but_nan, "candidate not finite"), (theirs.too_far, "linf size 0.5 exceeds epsilon 0.1")],
)
def test_what_breaks_the_contract_is_the_judges_business(function, reason):
    result, _ = called(function, epsilon=EPSILON)
    assert not result.success.any() and not result.robust.any()
    assert {status for status in result.status if "[0, 1]" not in status} == {reason}


def test_one_image_that_it_cannot_stand_does_not_take_the_others_with_it():
    x, y, distance = samples()
    x[3, 0, 0, 0] = 0.0
    result = Call.of(theirs.picky, norm="linf", epsilon=EPSILON, batch=4)(Brightness(), x, y, inspect=False)
    assert result.status[3].startswith("no candidate: call:picky: ValueError: too dark (theirs.py line ")
    assert [status for i, status in enumerate(result.status) if i != 3] == ["ok"] * 11
    others = torch.arange(12) != 3
    assert torch.equal(result.success[others], (distance < EPSILON)[others])
    assert not result.success[3] and not result.robust[3] and not result.claimed[3]


@pytest.mark.parametrize("function", [theirs.broken, theirs.flat])
def test_one_that_gets_nowhere_is_an_error_with_its_place(function):
    said = {theirs.broken: r"RuntimeError: always \(theirs.py line", theirs.flat: r"expected images \(.*\) back, got"}
    with pytest.raises(AttackError, match=said[function]) as caught:
        called(function)
    assert caught.value.stage == "attack"


def test_what_it_does_to_its_arguments_stays_with_it():
    x, y, distance = samples()
    net, before = Brightness().eval(), (x.clone(), y.clone())
    result = Call.of(theirs.careless, norm="linf", epsilon=EPSILON)(net, x, y, inspect=False)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1]) and not net.training
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(result.success, distance < EPSILON)


def test_labels_that_are_read_wrongly_break_nothing():
    result, _ = called(theirs.confused, epsilon=EPSILON)
    assert not result.success.any() and not result.claimed.any()


def test_targets_are_those_of_the_suite():
    x, y, distance = samples()
    result = Call.of(theirs.towards, norm="linf", target="next")(Brightness(), x, y, inspect=False)
    assert torch.equal(result.success, distance < theirs.STEP) and torch.equal(result.claimed, result.success)
    with pytest.raises(AttackError, match="target: call:honest has no parameter `targets`"):
        called(theirs.honest, target="next")


def test_random_numbers_follow_from_seed_and_samples_and_the_callers_are_untouched():
    x, y, _ = samples()
    record = Call.of(theirs.drawn, norm="linf", batch=5)

    def run(seed=0, part=slice(None)):
        return record(Brightness(), x[part], y[part], seed=seed, inspect=False, batch_size=3).images

    torch.manual_seed(1), np.random.seed(1), random.seed(1)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = run()
    assert torch.equal(states[0], torch.get_rng_state()) and states[2] == random.getstate()
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    torch.manual_seed(2), np.random.seed(2), random.seed(2)  # noqa: NPY002
    assert torch.equal(run(), first)
    assert torch.equal(run(part=slice(5, 10)), first[5:10])  # the same batch of samples, wherever it is cut from
    assert not torch.equal(run(seed=1), first)
    assert not torch.equal(first[0] - x[0], first[5] - x[5])


def test_passes_over_some_of_a_batch_are_shared_and_none_is_lost():
    result, _ = called(theirs.shy, batch=4)
    assert int(result.forwards.sum()) == 12 + 3 and int(result.backwards.sum()) == 0


@pytest.mark.parametrize("function", [theirs.honest, theirs.liar])
def test_the_bracket_holds_it_to_the_possible_alone(function):
    (finding,) = calibrate(Call.of(function, norm="linf", epsilon=0.05))
    assert finding.passed, finding


def test_the_bracket_finds_what_leaves_the_ball():
    (finding,) = calibrate(Call.of(theirs.too_far, norm="linf", epsilon=0.05))
    assert not finding.passed and "24 contract violations" in finding.found


def suite(*entries, **more):
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 8}}, "models": ["lenet_mnist"]}
    return load({**plain, "attacks": list(entries), **more}, root=ROOT, files=True)


def entry(function, **more):
    return {"call": {"function": f"{PLACE}:{function}", "trust": True, "norm": "linf", **more}}


def test_a_suite_runs_judges_tells_and_verifies_it(tmp_path):
    loaded = suite(entry("liar", epsilon=0.1), entry("honest", epsilon=0.1), {"fgsm": {"epsilon": 0.1}})
    assert [one.variant for one in loaded.attacks] == ["call:liar", "call:honest", "fgsm"]
    results = run_suite(loaded, Options(results=tmp_path))
    cells, frame = results.cells().set_index("attack"), results.samples()
    assert set(cells["status"]) == {"ok"}, list(cells["error"])
    assert frame.groupby("attack")["claimed"].count().to_dict() == {"call:liar": 8, "call:honest": 8, "fgsm": 0}
    rows = {row["attack"].text: row for row in tables.make("peers", results).rows}
    assert (rows["call:liar"]["claimed"].value, rows["call:liar"]["refused"].value) == (8, 8)
    assert rows["call:honest"]["refused"].value == 0 and rows["fgsm"]["claimed"].text == ""
    text = " ".join(tables.make("peers", results).footnotes)
    assert "refused, call:liar: 8 of 8: the classifier gets it right" in text
    report = verify(tmp_path / "t", trust=True)
    assert (report.rows, list(report.disagreements)) == (24, [])
    with pytest.raises(UsageError, match=r"names code that would run here: function: tests/peers/theirs\.py:liar"):
        verify(tmp_path / "t")


def test_samples_that_it_gave_up_are_rows_with_a_reason_and_verify(tmp_path):
    results = run_suite(suite(entry("broken")), Options(results=tmp_path / "a"))
    (cell,) = results.cells().to_dict("records")
    assert cell["stage"] == "attack" and "always" in cell["traceback"]
    (tmp_path / "own.py").write_text(
        "def some(model, images, labels):\n    if len(images) > 1 or images[0].mean() > 0.13:\n"
        "        raise ValueError('bright')\n    return images\n"
    )
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 8}}, "models": ["lenet_mnist"], "attacks": []}
    plain["attacks"] = [{"call": {"function": "own.py:some", "trust": True, "norm": "l2"}}]
    results = run_suite(load(plain, root=tmp_path), Options(results=tmp_path / "b"))
    said = set(results.samples()["status"])
    assert said == {"ok", "no candidate: call:some: ValueError: bright (own.py line 3, in some)"}
    assert not list(verify(tmp_path / "b" / "t", trust=True).disagreements)


def test_its_code_is_in_the_cell_id_and_its_place_is_not(tmp_path):
    def id_of(name, code):
        (tmp_path / name).write_text(code)
        plain = {"version": 1, "name": "t", "data": "mnist", "models": ["lenet_mnist"]}
        params = {"function": f"{name}:f", "trust": True, "norm": "l2"}
        return load({**plain, "attacks": [{"call": params}]}, root=tmp_path).attacks[0].attack.fingerprint()

    one = "def f(model, images, labels):\n    return images\n"
    assert id_of("a.py", one) == id_of("b.py", one) != id_of("c.py", one + "# changed\n")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (entry("honest", trust=False), "say `trust: true`"),
        (entry("honset"), "'tests/peers/theirs.py' has no 'honset'"),
        (entry("honest", args={"stepp": 1}), "args: call:honest takes no 'stepp'"),
        (entry("towards", args={"stpe": 1}), "takes no 'stpe'; did you mean 'step'?"),
        (entry("honest", args={"epsilon": 1}), "is given 'epsilon'; say `epsilon` beside args"),
        (entry("honest", target="next"), "has no parameter `targets`"),
        (entry("honest", norm=None, epsilon=1), "expected a norm beside it"),
        (entry("honest", epsilom=1), "unknown key 'epsilom'; did you mean 'epsilon'?"),
        ({"call": {"trust": True, "norm": "l2"}}, "'function' is missing"),
        ({"call": {"function": "honest", "trust": True, "norm": "l2"}}, "expected path/to/file.py:function"),
        ({"foolbocks:DDN": {"norm": "l2"}}, "unknown attack 'foolbocks:DDN'"),
        ({"foolbox:DDN": {}}, "'norm' is missing"),
    ],
)
def test_what_is_wrong_is_one_sentence(given, sentence):
    with pytest.raises(SuiteError) as caught:
        suite(given)
    assert sentence in str(caught.value)


def test_validate_does_not_load_torch_for_a_function(tmp_path):
    (tmp_path / "own.py").write_text("def f(model, images, labels):\n    return images\n")
    plain = {"version": 1, "name": "t", "data": "mnist", "models": ["lenet_mnist"]}
    plain["attacks"] = [{"call": {"function": "own.py:f", "trust": True, "norm": "l2"}}]
    code = (
        "import sys\nfrom pathlib import Path\nfrom robustbench_lite.suite.builder import load\n"
        f"suite = load({plain!r}, root=Path({str(tmp_path)!r}), files=True)\n"
        "assert suite.attacks[0].attack.source and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_peer_says_what_a_reviewer_asks():
    for name in peers:
        record = peers[name]
        assert record.card.arxiv.count(".") == 1 and record.card.protocol and record.registered == name
        assert all(field.description for field in record.model_fields.values())
    made = Foolbox(attack="DDN", norm="l2")
    assert (made.title, made.minimal, made.spends) == ("foolbox:DDN", True, False)
    assert peers.build("foolbox", made.params()) == made
