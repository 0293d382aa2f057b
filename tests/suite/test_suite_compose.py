"""Includes, overrides and matrices: what they do, and what is said about mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from robustbench_lite.errors import SuiteError
from robustbench_lite.registry import Number
from robustbench_lite.suite.builder import load
from tests.suite.test_suite import HEAD, install


@pytest.fixture(autouse=True)
def _fakes(monkeypatch, tmp_path):
    install(monkeypatch)
    monkeypatch.chdir(tmp_path)


def written(text, name="s.yaml"):
    Path(name).write_text(text, encoding="utf-8")
    return name


def problems(path, *overrides):
    with pytest.raises(SuiteError) as caught:
        load(path, overrides)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("data", ["mnist", "[mnist]", "{mnist: }", "[other, mnist: {keep: all}]"])
@pytest.mark.parametrize("entry", ["pgd", "{pgd: }", "{pgd: {norm: l2}}"])
def test_an_override_opens_every_short_form(data, entry):
    path = written(HEAD.replace("data: mnist", f"data: {data}") + f"attacks: [{entry}]\n")
    suite = load(path, ["attacks.0.pgd.steps=7", "data.mnist.samples=50", "attacks.0.as=mine"])
    assert (suite.attacks[0].attack.steps, suite.attacks[0].variant) == (7, "mine")
    assert suite.data[-1].source.samples == 50


def test_an_override_names_an_attack_or_creates_defaults_and_a_matrix():
    path = written(HEAD + "attacks: [pgd, fgsm]\n")
    assert load(path, ["attacks.pgd.steps=3"]).attacks[0].attack.steps == 3
    assert load(path, ["defaults.pgd.steps=3"]).attacks[0].attack.steps == 3
    assert len(load(path, ["attacks.0.pgd.matrix.steps=[1, 2]"]).attacks) == 3
    assert problems(path, "defaults.pdg.steps=3") == [
        "--set defaults.pdg.steps: unknown attack 'pdg'; did you mean 'pgd'?"
    ]


def test_what_an_override_replaces_is_not_blamed_on_the_file():
    path = written(HEAD + "attacks: [pgd: {steps: 3}]\n")
    assert problems(path, "attacks=[pgd: {steps: x}]")[0].startswith("--set attacks: steps: expected")


@pytest.mark.parametrize("path", ["attacks.²", "attacks.1", "attacks.-1", "attacks." + "9" * 5000, "attacks.x"])
def test_an_index_that_is_not_there_is_one_sentence(path):
    (line,) = problems(written(HEAD + "attacks: [pgd]\n"), f"{path}=1")
    assert "attacks has entries 0 to 0" in line


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("matrix: {steps: []}", "s.yaml:6:25: matrix: no values for 'steps'"),
        ("steps: 3, matrix: {steps: [1]}", "s.yaml:6:28: matrix: 'steps' is a parameter outside it too"),
        ("matrix: {steps: [1]}, exclude: [{}]", "s.yaml:6:40: exclude: expected a list of mappings"),
        ("matrix: {steps: [1]}, exclude: [{stepz: 1}]", "s.yaml:6:42: exclude: 'stepz' is not in the matrix"),
        ("matrix: {steps: [1]}, exclude: [{steps: 1}]", "s.yaml:6:40: exclude: nothing of the matrix is left"),
        ("matrix: {steps: [1]}, exclude: [{steps: true}]", "s.yaml:6:41: exclude: {'steps': True} matches no"),
    ],
)
def test_a_matrix_that_says_nothing_is_a_problem(params, said):
    lines = problems(written(f"{HEAD}attacks:\n- pgd: {{{params}}}\n"))
    assert any(line.startswith(said) for line in lines), lines


def test_exclusions_compare_numbers_not_their_spelling():
    path = written(HEAD + "attacks: [pgd: {matrix: {epsilon: [2/255, 0.5]}, exclude: [{epsilon: 1/2}]}]\n")
    assert [entry.attack.epsilon for entry in load(path).attacks] == [2 / 255]


@pytest.mark.parametrize("label", ["''", "[x]", "3", '"a\\nb"'])
def test_a_label_is_one_line_of_text(label):
    (line,) = problems(written(HEAD + f"attacks:\n- {{pgd: , as: {label}}}\n"))
    assert "as: expected a label on one line" in line


def test_includes_that_multiply_are_refused():
    for i in range(18):
        written(f"include: [d{i + 1}.yaml, d{i + 1}.yaml]\n", f"d{i}.yaml")
    written(HEAD, "d18.yaml")
    assert "include: more than 50 files" in problems("d0.yaml")[0]


def test_a_loop_of_links_is_no_file():
    Path("loop.yaml").symlink_to("loop.yaml")
    assert problems(written("include: loop.yaml\n")) == ["s.yaml:1:10: include: no file 'loop.yaml'"]


HALVES = [
    ("0.5/255", 0.5 / 255),
    ("1.5 / 255", 1.5 / 255),
    (".5/255", 0.5 / 255),
    ("0.3/255", 0.3 / 255),
    ("1/2.", 0.5),
]


@pytest.mark.parametrize(("text", "value"), HALVES)
def test_a_number_may_be_a_fraction_of_decimals_wherever_one_is_read(text, value):
    path = written(f"{HEAD}attacks: [fgsm: {{epsilon: {text}}}]\ngate: {{max_cost: {text}}}\n")
    suite = load(path, ["attacks.0.fgsm.epsilon=" + text])
    assert suite.attacks[0].attack.epsilon == load(path).attacks[0].attack.epsilon == suite.gate.max_cost == value
    pattern = TypeAdapter(Number).json_schema()["anyOf"][1]["pattern"]
    assert re.fullmatch(pattern, text)


@pytest.mark.parametrize("text", ["8//255", "1/0", "1e3/255", "0x1/2", ".../255", "9" * 400 + "/1", "8/-255", "/255"])
def test_what_is_no_fraction_of_decimals_is_refused(text):
    path = written(f"{HEAD}attacks: [fgsm: {{epsilon: '{text}'}}]\n")
    with pytest.raises(SuiteError, match="epsilon: expected a number or a fraction such as 8/255, got"):
        load(path)
