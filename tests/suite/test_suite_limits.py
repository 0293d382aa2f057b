"""Suites that are too much: too many problems, exclusions or bytes; words where truth values and numbers belong."""

from __future__ import annotations

import pytest

from robustbench_lite.errors import SuiteError
from robustbench_lite.suite._matrix import expand
from robustbench_lite.suite.builder import load

BASE = {
    "version": 1,
    "name": "x",
    "data": {"fashion_mnist": {"samples": 5}},
    "models": ["resnet8_fashion"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}],
}
FACTORY = {"python": "a.py:make", "classes": 10, "size": [1, 28, 28]}


def problems(**changes):
    with pytest.raises(SuiteError) as caught:
        load(BASE | changes)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("word", ["yes", "true", "on", "no", 1, 0, 1.0])
def test_a_word_or_a_number_is_no_truth_value(word):
    """`trust: 'yes'` is not what switches code on."""
    assert f"trust: expected a valid boolean, got {word!r}" in problems(models=[FACTORY | {"trust": word}])[0]
    data = {"fashion_mnist": {"samples": 5, "stratified": word}}
    assert f"stratified: expected a valid boolean, got {word!r}" in problems(data=data)[0]
    assert f"clip: expected a valid boolean, got {word!r}" in problems(attacks=[{"deepfool": {"clip": word}}])[0]


@pytest.mark.parametrize("value", [True, False, "5"])
def test_a_truth_value_or_a_text_is_no_number(value):
    """`samples: true` would be one sample."""
    data = {"fashion_mnist": {"samples": value}}
    assert problems(data=data) == [f"data.fashion_mnist.samples: samples: expected a valid integer, got {value!r}"]
    for attack in ({"pgd": {"epsilon": 0.1, "steps": value}}, {"fgsm": {"epsilon": 0.1, "target": value}}):
        assert "a valid integer" in problems(attacks=[attack])[0]


def test_whole_numbers_stay_numbers():
    attacks = [{"pgd": {"epsilon": 0.1, "steps": 7.0, "target": 3}}, {"pgd": {"epsilon": 0.1, "target": "random"}}]
    first, second = (entry.attack for entry in load(BASE | {"attacks": attacks}).attacks)
    assert (first.steps, first.target, second.target) == (7, 3, "random")


def test_a_hundred_problems_are_enough():
    found = problems(attacks=[{"pgd": {"epsilonn": 0.1, "stepz": i}} for i in range(5000)])
    assert len(found) == 101 and found[-1] == "suite: 100 problems; more were not looked for"
    assert len(problems(attacks=[{"pgd": {"epsilonn": i}} for i in range(50)])) == 50
    rules = [{"epsilonn": i} for i in range(900)]
    assert len(problems(attacks=[{"pgd": {"matrix": {"epsilon": [0.1]}, "exclude": rules}}])) == 101


def expanded(axes, exclude):
    said = []
    entries = enumerate([{"pgd": {"matrix": axes, "exclude": exclude}}])
    out = [params for _, _, params, _ in expand(entries, lambda path, message, key=False: said.append((path, message)))]
    return out, said


def test_exclusions_are_looked_up():
    """Not compared one by one with every combination: that is 10,000 times 2,000 comparisons."""
    axes = {"a": list(range(100)), "b": list(range(100))}
    rules = [{"a": i, "b": j} for i in range(40) for j in range(50)]
    out, said = expanded(axes, [*rules, {"a": 99}])
    wanted = [{"a": i, "b": j} for i in range(100) for j in range(100) if not (i < 40 and j < 50) and i != 99]
    assert out == wanted and said == []


RULES = [("2/255", 1), ("4/510", 1), ("1.0 / 127.5", 1), (1, 1), (1.0, 1), (True, 0), ("1", 0)]


@pytest.mark.parametrize(("rule", "gone"), RULES)
def test_an_exclusion_means_the_number_however_it_is_written(rule, gone):
    out, said = expanded({"a": ["2/255", 1, "x"]}, [{"a": rule}])
    assert len(out) == 3 - gone and len(said) == 1 - gone


def test_what_is_included_counts_together(tmp_path):
    (tmp_path / "part.yaml").write_text("title: x\n" + "# " + "x" * 400_000 + "\n")
    text = "version: 1\nname: x\ndata: fashion_mnist\nmodels: [resnet8_fashion]\nattacks: [deepfool]\ninclude: "
    suite = tmp_path / "suite.yaml"
    suite.write_text(text + "[part.yaml, part.yaml]\n")
    assert load(suite).title == "x"
    suite.write_text(text + "[part.yaml, part.yaml, part.yaml]\n")
    with pytest.raises(SuiteError, match=r"part.yaml: larger than 1 MiB with all that is included, which no suite is"):
        load(suite)
