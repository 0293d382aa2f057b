"""What users get: the wheel works alone, its types are seen, and what names dependencies twice says the same."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile

import pytest
from ruamel.yaml import YAML

from tests.helpers import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OTHER_NAMES = {"torch": "pytorch"}  # on conda-forge


def done(*command, cwd, **env):
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | env
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_recipe_and_the_citation_are_of_this_version():
    recipe = YAML(typ="safe").load(ROOT / ".ci" / "conda" / "recipe.yaml")
    run = {entry.replace(" ", "") for entry in recipe["requirements"]["run"]} - {f"python{PROJECT['requires-python']}"}
    wanted = {part.partition(">")[0]: part.partition(">")[2] for part in PROJECT["dependencies"]}
    assert run == {f"{OTHER_NAMES.get(name, name)}>{rest}" for name, rest in wanted.items()}
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert recipe["context"]["version"] == citation["version"] == PROJECT["version"]
    assert recipe["about"]["license"] == citation["license"] == PROJECT["license"]


@pytest.mark.parametrize("room", ["models", "generators"])
def test_every_weight_has_its_card(room):
    cards = ROOT / "robustbench_lite" / room / "cards"
    weights = {path.stem for path in cards.glob("*.safetensors")}
    assert weights and weights <= {path.stem for path in cards.glob("*.yaml")}


@pytest.mark.slow
def test_the_wheel_works_alone_in_an_empty_folder(tmp_path):
    done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = done("git", "ls-files", "robustbench_lite", cwd=ROOT).splitlines()
    assert set(tracked) <= packed  # cards, samples, templates, py.typed
    venv.create(tmp_path / "venv", with_pip=False)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(packages)
    # dependencies are borrowed; a .pth in a folder that a .pth names is not read, so that an editable install is not
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    work, python = tmp_path / "work", tmp_path / "venv" / "bin" / "python"
    work.mkdir()

    def verb(*arguments):
        return done(python, "-m", "robustbench_lite", *arguments, cwd=work)

    assert str(packages) in done(python, "-c", "import robustbench_lite as r; print(r.__file__)", cwd=work)
    assert "transfer" in verb("list", "suites")
    assert "resnet20_fashion" in verb("run", "transfer", "--limit", "4", "--no-timing", "--device", "cpu")
    verb("init")
    assert "valid" in verb("validate", "robustness.yaml")
    verb("report", "results/transfer")
    assert (work / "reports" / "report.html").is_file()
    verb("baseline", "results/transfer", "-o", "b.parquet")
    assert "passed" in verb("check", "results/transfer", "--baseline", "b.parquet")
    (work / "user.py").write_text(
        "import robustbench_lite as rbl\nresults = rbl.run('transfer')\nreveal_type(results)\nrbl.run(3)\n"
    )
    mypy = [python, "-m", "mypy", "--no-incremental", "--follow-imports", "silent", "user.py"]
    said = subprocess.run(list(map(str, mypy)), cwd=work, capture_output=True, text=True, timeout=600, check=False)
    assert "untyped" not in said.stdout and 'Revealed type is "robustbench_lite' in said.stdout
    assert 'user.py:4: error: Argument 1 to "run" has incompatible type "int"' in said.stdout
