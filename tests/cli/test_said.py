"""What a person reads who makes a mistake: the place, the fix, and a next step that fits this very case."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from robustbench_lite.cli.conclude import _reds as reds
from robustbench_lite.cli.progress import _suspicions as suspicions
from robustbench_lite.cli.verbs import KINDS, cli, main
from robustbench_lite.results.store import Store, read
from robustbench_lite.trust.smell import doubts
from tests.synthetic import cell_row, example, put

HEAD = "version: 1\nname: s\nmodels: [lenet_mnist]\n"
FGSM = "attacks: [fgsm]\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path / "nothing"))
    return tmp_path


def said(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code, capsys.readouterr()


def suite(text, name="s.yaml"):
    Path(name).write_text(text, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {folder: images}\n" + FGSM, "s.yaml:4:16: give it a name, here mine: `data: {mine: {folder: images}}`"),
        ("data: [{folder: images, samples: 9}]\n" + FGSM, "`data: {mine: {folder: images, samples: 9}}`"),
        ("data: cifar10\n" + FGSM, "images of your own: `data: {mine: {folder: images}}`"),
        ("data: mnist\nattack: [fgsm]\n", "s.yaml:5:1: unknown key 'attack'; did you mean 'attacks'?"),
        ("data: mnist\nattacks: [fgsm\n", "s.yaml:5:10: not valid YAML: what begins here is not closed"),
    ],
)
def test_a_suite_that_is_wrong_has_one_problem(home, capsys, text, expected):
    code, out = said(capsys, "validate", suite(HEAD + text))
    assert code == 2 and expected in out.err
    assert "1 problem; nothing was run" in out.err


@pytest.mark.parametrize(
    ("arguments", "error", "step"),
    [
        (["run", "trasnfer"], "did you mean 'transfer'?", "`robustbench-lite list suites`"),
        (["run", "gone.yaml"], "gone.yaml: no such file", "`robustbench-lite init` writes one"),
        (["init", "--model", "a", "--python", "b:c"], "the function itself loads its weights", "init --python b:c`"),
        (["init", "--data", "pictures"], "--data: whose?", "with `--model FILE`"),
        (["init", "--arch", "lenet"], "--arch: whose?", "with `--model FILE`"),
        (["list", "modls"], "unknown 'modls'; did you mean 'models'?", ""),
        (["plan", "transfer", "--format", "cvs"], "unknown 'cvs'; did you mean 'csv'?", ""),
    ],
)
def test_the_next_step_fits(home, capsys, arguments, error, step):
    code, out = said(capsys, *arguments)
    assert code == 2 and error in out.err and step in out.err.splitlines()[-1], out.err


def test_init_does_not_write_over_a_suite_and_says_what_to_do(home, capsys):
    assert said(capsys, "init")[0] == 0
    code, out = said(capsys, "init")
    assert code == 2 and "robustness.yaml is there already" in out.err
    assert out.err.splitlines()[-1].startswith("next: `robustbench-lite run robustness.yaml`")
    assert "baseline.parquet" in Path(".github/workflows/robustness.yml").read_text()


def test_init_for_images_that_are_not_there_asks_for_images(home, capsys):
    Path("net.py").write_text("import torch\ndef make():\n    return torch.nn.Conv2d(7, 3, 3)\n", encoding="utf-8")
    code, out = said(capsys, "init", "--python", "net.py:make")
    assert code == 2 and out.err.splitlines()[-1].startswith("next: the same command with `--data FOLDER`"), out.err


def test_why_cells_fail_is_said_once_with_where_paths_start(home, capsys):
    Path("net.py").write_text("import torch\ndef make():\n    return torch.load('w/mine.pth')\n", encoding="utf-8")
    model = "{python: net.py:make, size: [1, 28, 28], classes: 10, trust: true}"
    text = f"version: 1\nname: s\ndata: {{mnist: {{samples: 2}}}}\nmodels: [{model}]\nattacks: [fgsm, pgd]\n"
    code, out = said(capsys, "run", suite(text), "--no-timing")
    assert code == 3
    reason = (
        "No such file or directory: 'w/mine.pth' (net.py line 3, in make); relative paths start at the current folder"
    )
    assert out.err.count(reason) == 2  # as it happens, and at the end with all cells
    assert "[2/2] mnist · make · pgd: FAILED for the same reason" in out.err
    assert "failed: mnist · make · fgsm and mnist · make · pgd: " in out.err
    assert "compare:" not in out.err and "gate:" not in out.err  # there is nothing to look at
    code, out = said(capsys, "plan", "s.yaml")
    assert code == 0 and out.out.startswith("s: 2 cells, 2 fail\n")


def test_a_plan_says_that_all_is_there_and_a_folder_says_what_it_holds(home, capsys):
    name = suite("version: 1\nname: s\ndata: {mnist: {samples: 2}}\nmodels: [lenet_mnist]\nattacks: [fgsm]\n")
    code, out = said(capsys, "run", name, "--no-timing")
    assert code == 0 and "1 cell, 0 already in the store" in out.err
    code, out = said(capsys, "plan", name)
    assert code == 0 and out.out.startswith("s: 1 cell, all in the store\n") and not out.out.endswith("\n\n")
    code, out = said(capsys, "baseline", "results", "-o", "b.parquet")
    assert code == 2 and "it holds results/s: name one of them" in out.err
    code, out = said(capsys, "table", "results/s", "accuracy")
    assert code == 0 and "card" in " ".join(out.out.split())  # mnist, for which it states one


def test_help_has_a_line_for_each_verb_and_names_every_kind(home, capsys):
    _, out = said(capsys, "--help")
    verbs = out.out.partition("Commands:")[2].splitlines()
    assert len([line for line in verbs if line.strip()]) == len(cli.commands)
    assert not any(line.endswith("...") for line in verbs)
    told = " ".join(said(capsys, "list", "--help")[1].out.split())
    assert f"Kinds: {', '.join(KINDS)}." in told
    assert "Usage: robustbench-lite list" in told


@pytest.mark.parametrize("verb", cli.commands)
def test_every_option_has_a_help(verb):
    options = [one for one in cli.commands[verb].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []


def test_a_run_says_how_many_numbers_do_not_stand(tmp_path):
    results = example(tmp_path)
    red = {cell for cell, why in doubts(results).items() if why}
    assert red
    text = reds(results)
    assert text.startswith("RED: ") and f"{len(red)} cell" in text
    assert f"`robustbench-lite table {tmp_path} trust`" in text
    put(Store(tmp_path / "fine"), cell_row("a"))
    Store(tmp_path / "fine").write_run({"models": ["lenet"]})
    assert reds(read(tmp_path / "fine")) == ""


def test_what_calibration_misses_is_one_line_an_attack():
    missed = [f"problem {i}: expected none, found 1/9" for i in range(8)]
    lines = suspicions({"pgd": {"failed": missed}, "fgsm": {"failed": []}})
    assert lines == [f"RED: calibration of pgd, whose numbers will not stand: {missed[0]}; and 7 more"]
