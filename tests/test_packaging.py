"""What users get: the wheel works alone, its types are seen, and what names dependencies twice says the same."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile

import pytest
from ruamel.yaml import YAML

from robustbench_lite.datasets.bundled import available
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
    assert recipe["about"]["license"] == PROJECT["license"]
    assert citation["license"] in PROJECT["license"].split(" AND ")  # of the software, without the bundled digits


@pytest.mark.parametrize(("room", "measured"), [("models", "accuracy"), ("generators", "scores")])
def test_every_weight_has_its_card_with_data_measurement_and_licence(room, measured):
    weights = list((ROOT / "robustbench_lite" / room / "cards").glob("*.safetensors"))
    assert weights
    for path in weights:
        card = YAML(typ="safe").load(path.with_suffix(".yaml"))
        assert card["name"] == path.stem and card["licence"] == "MIT" and card["dataset"] and card[measured]
        assert "recipe" in card["source"] and " on " in card["source"] and "trained 20" in card["source"]
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_bundled_is_under_a_licence_that_the_project_states():
    said = {}
    for one in tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]:
        for path in [one["path"]] if isinstance(one["path"], str) else one["path"]:
            said[path] = one["SPDX-License-Identifier"]
    assert {path.stem for path in (ROOT / "LICENSES").iterdir()} == set(said.values())
    assert set(PROJECT["license"].split(" AND ")) == set(said.values())
    spoken = {"MIT": "MIT", "CC-BY-SA-3.0": "CC BY-SA 3.0"}
    for one in available():
        assert spoken[said[f"robustbench_lite/datasets/bundled_samples/{one.name}.parquet"]] in one.licence
    packed = [pattern for pattern in PROJECT["license-files"] if list(ROOT.glob(pattern))]
    assert {"LICENSE", "LICENSES/*", "REUSE.toml"} <= set(packed)


def test_what_the_image_is_built_from_is_all_that_the_wheel_needs():
    lines = (ROOT / ".ci" / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["readme"], *wheel["packages"], *wheel["force-include"]}
    needed |= {pattern.partition("/")[0] for pattern in PROJECT["license-files"]}
    assert lines[0] == "**" and let_in == needed and all((ROOT / path).exists() for path in let_in)


def test_the_oldest_releases_are_told_in_the_docs():
    text = (ROOT / "docs" / "packaging.md").read_text()
    for name in ("torch", "torchvision", "timm", "kornia", "numpy", "pandas", "pyarrow", "pillow", "scipy", "pydantic"):
        (bound,) = (part.partition(">=")[2] for part in PROJECT["dependencies"] if part.partition(">=")[0] == name)
        assert re.search(rf"\| {name} \| {re.escape(bound)}", text), name


CHECKPOINT = """
import torch, torchvision
from pathlib import Path
from PIL import Image
torch.save(torchvision.models.resnet18(num_classes=10).state_dict(), "net.pth")
for i in range(10):
    folder = Path("photos", f"class{i}")
    folder.mkdir(parents=True)
    Image.effect_noise((40, 40), 10 + 9 * i).convert("RGB").save(folder / "0.png")
"""

OWN_TEST = """
def test_mine(robustness):
    suite = {"version": 1, "name": "mine", "data": {"mnist": {"samples": 4}}, "attacks": [{"fgsm": {"epsilon": 0.1}}]}
    suite["models"] = ["lenet_mnist"]
    assert len(robustness.run(suite).samples()) == 4
"""


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
    done(python, "-c", CHECKPOINT, cwd=work)
    assert "torchvision:resnet18" in verb("init", "--model", "net.pth", "--data", "photos")
    assert "valid" in verb("validate", "robustness.yaml")
    (work / "nets.py").write_text(
        "from torchvision.models import resnet18\n\ndef make():\n    return resnet18(num_classes=10)\n"
    )
    assert "nets.py:make" in verb("init", "--python", "nets.py:make", "--data", "photos", "--force")
    assert "valid" in verb("validate", "robustness.yaml")
    verb("figure", "results/transfer", "decision_regions", "-o", "plane.svg")
    assert (work / "plane.svg").read_text().startswith("<svg")
    verb("report", "results/transfer")
    assert (work / "reports" / "report.html").is_file()
    verb("baseline", "results/transfer", "-o", "b.parquet")
    assert "passed" in verb("check", "results/transfer", "--baseline", "b.parquet")
    (work / "test_user.py").write_text(OWN_TEST)
    assert "1 passed" in done(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_user.py", cwd=work)
    (work / "user.py").write_text(
        "import robustbench_lite as rbl\nresults = rbl.run('transfer')\nreveal_type(results)\nrbl.run(3)\n"
    )
    mypy = [python, "-m", "mypy", "--no-incremental", "--follow-imports", "silent", "user.py"]
    said = subprocess.run(list(map(str, mypy)), cwd=work, capture_output=True, text=True, timeout=600, check=False)
    assert "untyped" not in said.stdout and 'Revealed type is "robustbench_lite' in said.stdout
    assert 'user.py:4: error: Argument 1 to "run" has incompatible type "int"' in said.stdout
