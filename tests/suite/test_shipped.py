"""Suites that come with the package are known by name, from any folder, in the wheel and in a checkout."""

from __future__ import annotations

import tomllib

import pytest

from robustbench_lite.cli.catalogue import listing
from robustbench_lite.errors import SuiteError
from robustbench_lite.suite import shipped
from robustbench_lite.suite.builder import load
from tests.helpers import ROOT, cli

SUITE = "version: 1\nname: {name}\ndata: mnist\nmodels: [lenet_mnist]\nattacks: [fgsm]\n"


def test_every_suite_of_the_checkout_is_shipped():
    assert shipped.names() == sorted(path.stem for path in (ROOT / "suites").glob("*.yaml"))
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["force-include"] == {"suites": "robustbench_lite/suites"}


def test_names_work_from_any_folder(tmp_path):
    listed = cli("list", "suites", cwd=tmp_path)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == shipped.names()
    valid = cli("validate", "transfer", cwd=tmp_path)
    assert valid.stdout == "transfer: valid (1 dataset, 5 classifiers, 1 attack)\n", valid.stderr
    assert "classifiers: resnet20_fashion" in cli("describe", "transfer", cwd=tmp_path).stdout
    planned = cli("run", "ci", "--limit", "2", "--no-timing", "--set", "models=[lenet_mnist]", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert (tmp_path / "results" / "ci" / "run.json").is_file()


def test_an_installed_package_has_them_in_itself(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "robustbench_lite"
    (package / "suites" / "parts").mkdir(parents=True)
    (tmp_path / "site-packages" / "suites").mkdir()  # somebody else's
    (tmp_path / "site-packages" / "suites" / "other.yaml").write_text(SUITE.format(name="other"))
    monkeypatch.setattr(shipped, "_PACKAGE", package)
    (package / "suites" / "parts" / "base.yaml").write_text(SUITE.format(name="base"))
    (package / "suites" / "mine.yaml").write_text("include: parts/base.yaml\nname: mine\n")
    assert shipped.names() == ["mine"] and load("mine").name == "mine"
    (package / "suites" / "mine.yaml").unlink()
    for part in ((package / "suites" / "parts" / "base.yaml"), package / "suites" / "parts", package / "suites"):
        part.unlink() if part.is_file() else part.rmdir()
    assert shipped.shipped() is None and shipped.names() == []  # and not somebody else's


def test_files_come_before_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "transfer").mkdir()  # a folder is no suite
    assert load("transfer").name == "transfer"
    (tmp_path / "transfer").rmdir()
    (tmp_path / "transfer").write_text(SUITE.format(name="own"))
    assert load("transfer").name == "own"
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "own.yaml").write_text(SUITE.format(name="own") + "title: Mine\n")
    assert listing("suites")[-1] == ("suites/own.yaml", "Mine")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("trasfer", "trasfer: no such file, and no shipped suite of this name; did you mean 'transfer'?"),
        ("xyzzy", "no shipped suite of this name"),
        ("transfer.yaml", "transfer.yaml: no such file"),
        ("elsewhere/transfer", "elsewhere/transfer: no such file"),
    ],
)
def test_an_unknown_name_is_a_sentence(name, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as caught:
        load(name)
    assert sentence in str(caught.value)
