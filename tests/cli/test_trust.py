"""No file of a results folder can start code: trust is the word of whoever types the command."""

from __future__ import annotations

import json
import shutil

import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.errors import NoResultsError, UsageError
from robustbench_lite.results.sealed import parsed, sealed_json
from robustbench_lite.runner.figure import figure
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load

NETS = """
import pathlib, torch
pathlib.Path(__file__).with_name("ran").touch()

def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
"""
MODEL = {"python": "nets.py:net", "size": [1, 28, 28], "classes": 10, "trust": True}
SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 3}},
    "models": [MODEL],
    "attacks": [{"fgsm": {"epsilon": 0.1}}],
    "tables": ["accuracy"],
}
DRAWN = {**SUITE, "attacks": [{"spatial": {"angles": 3, "shifts": 1}}], "figures": ["spatial_landscape"]}


@pytest.fixture(scope="module")
def arrived(tmp_path_factory):
    """A results folder whose suite names code."""
    folder = tmp_path_factory.mktemp("arrived")
    (folder / "nets.py").write_text(NETS)
    run_suite(load(SUITE, root=folder), Options(results=folder))
    (folder / "ran").unlink()
    return folder


def exit_code(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.mark.parametrize("verb", [["verify"], ["figure", "decision_regions"]], ids=lambda verb: verb[0])
def test_code_that_a_folder_names_does_not_run(arrived, verb, capsys):
    name, *rest = verb
    assert exit_code(name, arrived / "small", *rest) == 2
    error = capsys.readouterr().err
    assert "names code that would run here: python: nets.py:net" in error
    assert "say --trust if you trust it" in error
    assert not (arrived / "ran").exists()


def test_with_trust_it_runs(arrived, capsys):
    assert exit_code("verify", arrived / "small", "--trust") == 0
    assert "3 rows re-scored, 0 values disagree" in capsys.readouterr().out
    assert (arrived / "ran").exists()
    (arrived / "ran").unlink()


@pytest.mark.parametrize(
    "entry",
    [
        MODEL,
        {**MODEL, "trust": "yes"},
        {**MODEL, "trust": 1},
        {"python": "nets.py:net", "trust": [True]},
        {"anything": {"deep": [{"trust": True}]}},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("key", ["models", "attacks", "data"])
def test_whatever_says_that_it_may_be_trusted_is_refused(arrived, tmp_path, key, entry):
    folder = shutil.copytree(arrived / "small", tmp_path / "small")
    run = parsed(folder / "run.json")
    run["suite"][key] = [entry]
    (folder / "run.json").write_bytes(sealed_json(run))
    for ask in (lambda: verify(folder), lambda: figure(folder, "decision_regions", {})):
        with pytest.raises(UsageError, match="say --trust if you trust it"):
            ask()
    assert not (arrived / "ran").exists()


@pytest.mark.parametrize("change", [{"suite": None}, {"suite": [1]}, {"root": None}, {"root": 7}], ids=str)
def test_a_run_that_does_not_say_its_suite_is_a_sentence(arrived, tmp_path, change):
    folder = shutil.copytree(arrived / "small", tmp_path / "small")
    run = parsed(folder / "run.json") | change
    (folder / "run.json").write_bytes(sealed_json(run))
    with pytest.raises(NoResultsError, match="does not say which suite this was"):
        verify(folder)


def test_a_run_draws_the_figures_of_its_own_code(tmp_path, capsys):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "small.yaml").write_text(json.dumps(DRAWN))
    assert exit_code("run", tmp_path / "small.yaml", "--results", tmp_path / "r") == 0, capsys.readouterr().err
    assert (tmp_path / "r" / "small" / "figures" / "spatial_landscape.parquet").is_file()
    assert exit_code("figure", tmp_path / "r" / "small", "spatial_landscape") == 2
    assert "say --trust" in capsys.readouterr().err


def test_code_that_ends_the_program_is_no_success(arrived, capsys, monkeypatch):
    monkeypatch.setattr(
        "robustbench_lite.runner.verify.compared", lambda *_, **__: (_ for _ in ()).throw(SystemExit(0))
    )
    assert exit_code("verify", arrived / "small", "--trust") not in {0, 5}
    assert "1 value disagrees" in capsys.readouterr().out


def test_a_verb_that_code_has_ended_is_no_success(monkeypatch, capsys):
    monkeypatch.setattr("robustbench_lite.cli.catalogue.listing", lambda _: (_ for _ in ()).throw(SystemExit()))
    assert exit_code("list", "models") == 3
    assert "ended the program" in capsys.readouterr().err
