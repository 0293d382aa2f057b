"""A run.json that is damaged, or of wrong types, is one sentence in every verb that reads it."""

from __future__ import annotations

import shutil

import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.results.sealed import parsed, sealed_json
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 2}},
    "models": ["lenet_mnist"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}],
    "tables": ["accuracy"],
}
VERBS = {
    "verify": ["verify", "{run}"],
    "figure": ["figure", "{run}", "decision_regions", "--set", "points=3"],
    "check": ["check", "{run}", "--baseline", "{baseline}"],
    "report": ["report", "{run}", "-o", "{page}"],
    "table": ["table", "{run}", "cost"],
    "compare": ["compare", "{run}", "{run}"],
    "baseline": ["baseline", "{run}", "-o", "{again}"],
}
NOT_A_RECORD = {"empty": b"", "text": b"abc", "half": b'{"name": "small", ', "list": b"[1, 2]", "deep": b"[" * 100_000}
MISTYPED = [
    ("calibration", {"fgsm": 1}),
    ("calibration", {"fgsm": {"attack": "fgsm", "failed": [], "checks": "many"}}),
    ("cells", 7),
    ("cells", [[]]),
    ("classes", ["0"]),
    ("command", ["run"]),
    ("gate", [1]),
    ("limit", {}),
    ("machine", 7),
    ("planned", [{"cell": [1], "models": ["lenet_mnist"]}]),
    ("planned", [[]]),
    ("published", {"lenet_mnist": 7}),
    ("seed", "x"),
    ("tables", [{}]),
    ("versions", ["torch"]),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_suite(load(SUITE), Options(results=folder, timing=False))
    assert ended("baseline", folder / "small", "-o", folder / "b.parquet") == 0
    return folder


def ended(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def said(whole, folder, verb, content, capsys):
    """The exit code and stderr of a verb where run.json holds this."""
    shutil.copytree(whole / "small", folder / "small")
    (folder / "small" / "run.json").write_bytes(content)
    names = {"run": folder / "small", "baseline": whole / "b.parquet"}
    names |= {"page": folder / "p.html", "again": folder / "c.parquet"}
    capsys.readouterr()
    return ended(*(part.format(**names) for part in VERBS[verb])), capsys.readouterr().err


@pytest.mark.parametrize("content", NOT_A_RECORD.values(), ids=NOT_A_RECORD)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_record_is_a_sentence(whole, tmp_path, capsys, verb, content):
    code, err = said(whole, tmp_path, verb, content, capsys)
    assert "internal error" not in err and "Traceback" not in err
    assert code in ({2, 4} if verb in {"verify", "figure", "check"} else {0, 2, 4}), err
    if code:
        first, *others = err.splitlines()
        assert "run.json" in first and all(line.startswith("next: ") for line in others)


@pytest.mark.parametrize(("key", "value"), MISTYPED, ids=str)
@pytest.mark.parametrize("verb", ["verify", "check", "report"])
def test_what_is_of_another_type_is_damage(whole, tmp_path, capsys, verb, key, value):
    run = parsed(whole / "small" / "run.json") | {key: value}
    code, err = said(whole, tmp_path, verb, sealed_json(run), capsys)
    assert "internal error" not in err and "Traceback" not in err
    assert code in ({2, 4} if verb in {"verify", "figure", "check"} else {0, 2, 4}), err
    (problem,) = read(tmp_path / "small").problems
    assert f"run.json: damaged ('{key}" in problem and ": expected " in problem


@pytest.mark.parametrize("key", ["suite", "root"])
@pytest.mark.parametrize("value", [7, "x", [1], {"a": 1}], ids=str)
@pytest.mark.parametrize("verb", ["verify", "figure", "baseline", "report"])
def test_a_suite_that_is_none_is_a_sentence(whole, tmp_path, capsys, verb, key, value):
    run = parsed(whole / "small" / "run.json") | {key: value}
    code, err = said(whole, tmp_path, verb, sealed_json(run), capsys)
    assert code in {0, 1, 2, 4} and "internal error" not in err, err


def test_what_older_versions_left_out_is_no_damage(whole, tmp_path):
    folder = shutil.copytree(whole / "small", tmp_path / "small")
    run = parsed(folder / "run.json")
    for key in ("published", "classes", "planned", "seconds", "calibration", "file", "text", "limit", "finished"):
        (folder / "run.json").write_bytes(sealed_json({**run, key: None}))
        assert not read(folder).problems
        (folder / "run.json").write_bytes(sealed_json({name: value for name, value in run.items() if name != key}))
        assert not read(folder).problems


@pytest.mark.parametrize("content", NOT_A_RECORD.values(), ids=NOT_A_RECORD)
def test_a_run_replaces_what_is_no_record(whole, tmp_path, content):
    folder = shutil.copytree(whole / "small", tmp_path / "small")
    (folder / "run.json").write_bytes(content)
    assert not run_suite(load(SUITE), Options(results=tmp_path)).problems
    assert not read(folder).problems
