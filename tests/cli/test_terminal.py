"""What a person meets at the terminal: a plan on one screen, all names, colours, completion, and what to do next."""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections import Counter

import click
import pytest

from robustbench_lite import errors
from robustbench_lite.cli import catalogue, terminal
from robustbench_lite.cli.conclude import next_steps, open_page
from robustbench_lite.cli.verbs import KINDS, cli, main
from robustbench_lite.runner.plan_grid import folded
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.render import render
from robustbench_lite.trust.smell import checks
from tests.helpers import ROOT
from tests.synthetic import example


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code, capsys.readouterr()


def planned(*cells):
    """A plan as `preview` makes it, of (dataset, classifier, attack, seconds, state)."""
    keys = ("dataset", "source", "attack")
    columns = (*(Column(key, key, numeric=False) for key in keys), Column("seconds", "estimate"), Column("state", "s"))
    rows = [
        {key: Value(text, kind="label") for key, text in zip(keys, cell[:3], strict=True)}
        | {"seconds": Value(str(cell[3]), cell[3]), "state": Value(cell[4], kind="label")}
        for cell in cells
    ]
    return Table("plan", "plan", columns, tuple(rows))


def test_a_plan_is_folded_to_classifiers_and_attacks():
    cells = [("d", model, attack, 2.0, "to run") for model in ("m", "n") for attack in ("a", "b", "c")]
    cells[0] = ("d", "m", "a", None, "in the store")
    grid = folded(planned(*cells, ("d", "m", "b", 3.0, "to run"), ("e", "n", "c", None, "fails: no such class")))
    texts = {(row["dataset"].text, row["name"].text): (row["_0"].text, row["_1"].text) for row in grid.rows}
    assert texts == {
        ("d", "a"): ("stored", "2.0"),
        ("d", "b"): ("5.0", "2.0"),  # of two cells
        ("d", "c"): ("2.0", "2.0"),
        ("e", "c"): ("", "fails"),
    }
    assert "fails: no such class" in grid.footnotes and "`--cells` lists all 8 cells" in grid.footnotes
    turned = folded(planned(*(("d", model, "a", 1.0, "to run") for model in "mno")))
    assert [row["name"].text for row in turned.rows] == ["m", "n", "o"]


def test_datasets_stay_together_in_a_folded_plan():
    grid = folded(planned(*((data, "m", attack, 1.0, "to run") for attack in "ab" for data in "de")))
    assert [row["dataset"].text for row in grid.rows] == ["d", "d", "e", "e"]


def test_plan_fits_a_screen_and_cells_shows_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "version: 1\nname: many\ndata: {mnist: {samples: 2}}\nmodels: [lenet_mnist, fc500_150_10_mnist]\n"
        "attacks: [{fgsm: {matrix: {epsilon: [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]}}}]\n"
    )
    command = ("plan", suite, "--results", tmp_path / "r", "--device", "cpu")
    code, out = printed(capsys, *command)
    assert code == 0 and "`--cells` lists all 20 cells" in out.out
    assert len(out.out.splitlines()) <= 24 and max(map(len, out.out.splitlines())) <= 80
    whole = printed(capsys, *command, "--cells")[1].out
    assert sum(line.rstrip().endswith("to run") or "fgsm" in line for line in whole.splitlines()) >= 20


def test_list_without_a_kind_has_all_kinds_a_line_each(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out = printed(capsys, "list")
    lines = out.out.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    assert [line.split(" (")[0] for line in lines if line and line[0] != " " and " (" in line] == list(KINDS)
    assert any(line.startswith("  transfer ") for line in lines)
    assert max(map(len, printed(capsys, "list", "--wide")[1].out.splitlines())) > 80


def test_wide_shows_all_columns(tmp_path, capsys, monkeypatch):
    example(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    assert "left out for want of room" in printed(capsys, "table", tmp_path, "accuracy")[1].out.replace("\n  ", " ")
    wide = printed(capsys, "table", tmp_path, "accuracy", "--wide")[1].out
    assert "left out" not in wide and max(map(len, wide.splitlines())) > 40


def test_what_does_not_stand_is_red_and_words_say_so_too():
    bad = Value("90.0", 90.0, red=True, mark="[1]")
    table = Table("t", "t", (Column("a", "a"), Column("b", "b")), ({"a": bad, "b": Value("1", 1.0)},), ("[1] no",))
    plain, red = render(table, "text"), render(table, "text", color=True)
    assert "\x1b[31m90.0 [1]\x1b[0m" in red
    assert red.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain  # the mark is there without colour
    assert all("\x1b" not in render(table, style, color=True) for style in ("markdown", "latex", "csv", "json"))


def test_the_trust_table_tells_red_from_warnings_and_says_what_to_do(tmp_path):
    made = tables.make("trust", example(tmp_path))
    levels = Counter(row["level"].text for row in made.rows)
    assert levels["RED"] and levels["WARNING"]
    assert all(row["level"].red is (row["level"].text == "RED") for row in made.rows)
    many, *advice = made.footnotes
    assert many.startswith(f"{levels['RED']} red and {levels['WARNING']} warning")
    red, said = next(i for i, line in enumerate(advice) if line.startswith("RED: ")), advice
    mild = next(i for i, line in enumerate(advice) if line.startswith("WARNING: "))
    loud = {row["check"].text for row in made.rows if row["level"].text == "RED"}
    assert red < mild and {line.partition(":")[0].strip() for line in said[red + 1 : mild]} == loud


@pytest.mark.parametrize("check", list(checks.values()), ids=lambda check: check.name)
def test_every_check_says_what_to_do_and_is_described(check):
    assert check.remedy.endswith(".") and check.remedy not in check.why
    for name in (check.name, check.title):
        assert f"What to do: {check.remedy}" in " ".join(catalogue.description(name).split())


def test_every_word_of_the_output_is_described():
    said = ("red", "Yellow", "worst case", "worst-cases", "near ties", "in 8 bits", "does not stand", "cannot tell")
    for word in said:
        assert catalogue.description(word)
    assert catalogue.description("yellow") == catalogue.description("warning")
    both = catalogue.description("bracket")  # a word, and a check
    assert both.startswith("bracket: A test of the attack itself") and "bracket (exact-answer bracket): " in both


@pytest.mark.parametrize("word", ["frobnicate", "deepfol", "", "resnet18", "trnsfer"])
def test_an_unknown_word_gets_the_nearest_few(word):
    with pytest.raises(errors.UsageError) as raised:
        catalogue.description(word)
    text = str(raised.value)
    assert "`robustbench-lite list`" in text and len(text) < 200
    assert ("'deepfool'" in text) is (word == "deepfol")
    assert ("did you mean" in text) is (word not in {"frobnicate", ""})


def test_descriptions_are_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("pgd", "autoattack", "red", "misleading_gradient", "lenet_mnist"):
        assert max(len(line) for line in catalogue.description(name).splitlines() if " " in line.strip()) <= 60


def test_a_folder_that_is_not_there_may_be_meant_by_another_name(tmp_path, capsys, monkeypatch):
    example(tmp_path / "results" / "mine")
    monkeypatch.chdir(tmp_path)
    for given in ("results/mien", "mine"):
        code, out = printed(capsys, "table", given, "accuracy")
        assert code == 2 and f"{given}: no such folder; did you mean 'results/mine'?" in out.err


@pytest.mark.parametrize(("terminal_", "said", "expected"), [(True, "", True), (True, "1", False), (False, "", False)])
def test_colour_is_for_terminals_that_want_it(monkeypatch, terminal_, said, expected):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal_, raising=False)
    monkeypatch.setenv("NO_COLOR", said)
    assert terminal.colorful() is expected


def kinds(base=errors.RobustbenchError):
    for one in base.__subclasses__():
        yield one
        yield from kinds(one)


@pytest.mark.parametrize("kind", [errors.RobustbenchError, *kinds()])
def test_every_error_names_a_next_step_that_exists(kind):
    step = kind.next_step
    for named in step.split("robustbench-lite ")[1:]:
        verb = named.split()[0].strip("`")
        assert verb == "VERB" or verb in cli.commands
    for doc in (word.strip("();,`") for word in step.split() if "docs/" in word):
        assert (ROOT / doc).is_file()


def test_an_error_ends_with_the_next_step(capsys, tmp_path):
    code, out = printed(capsys, "table", tmp_path / "nowhere", "accuracy")
    assert code == 2 and out.err.splitlines()[-1] == f"next: {errors.NoResultsError.next_step}"


def test_run_says_verbs_that_parse(tmp_path):
    results = example(tmp_path)
    for failed in (True, False):
        said = next_steps(results, failed=failed)
        for command in (part for line in said for part in line.split("robustbench-lite ")[1:]):
            verb, *arguments = command.split(", later ")[0].split()
            with click.Context(cli) as context:
                cli.commands[verb].make_parser(context).parse_args(arguments)
    assert "failed cells" in next_steps(results, failed=True)[0]


@pytest.mark.parametrize("there", [True, False])
def test_the_page_is_opened_or_its_path_is_said(tmp_path, capsys, monkeypatch, there):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or there)
    open_page(example(tmp_path))
    path = tmp_path / "report.html"
    assert path.read_text().startswith("<!") and opened == [path.resolve().as_uri()]
    said = capsys.readouterr().err
    assert str(path) in said and ("no browser" in said) is not there


@pytest.mark.parametrize(
    ("words", "expected"),
    [("pl", "plan"), ("run tran", "transfer"), ("describe deepf", "deepfool"), ("table results rho", "rho_adv")],
)
def test_bash_completes(tmp_path, words, expected):
    """The emitted script as bash runs it, with the program on the path."""
    program = tmp_path / "robustbench-lite"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m robustbench_lite "$@"\n')
    program.chmod(0o755)
    parts = ["robustbench-lite", *words.split(" ")]
    script = (
        f'eval "$(robustbench-lite completion bash)"; COMP_WORDS=({" ".join(parts)}); COMP_CWORD={len(parts) - 1}; '
        '_robustbench_lite_completion robustbench-lite; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        check=False,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert expected in done.stdout.split() and done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(capsys, shell):
    code, out = printed(capsys, "completion", shell)
    assert code == 0 and f"_ROBUSTBENCH_LITE_COMPLETE={shell}_complete" in out.out
