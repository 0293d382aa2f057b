"""The house keeps its walls: layers, no cycles, no torch at start-up, schema and suites in sync."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_lite.engine.attack import attacks
from robustbench_lite.suite.builder import load
from robustbench_lite.suite.schema import schema_text
from tests.helpers import ROOT

PACKAGE = ROOT / "robustbench_lite"
# imports may only point up this list; rooms on one line do not import each other, so there are no cycles
LAYERS = [
    {"errors", "files", "glossary", "lazy", "robustbench_lite", "text", "unfold"},
    {"limits", "stages"},
    {"foreign"},
    {"svg", "registry", "record", "batch", "measure", "memory", "sealed"},
    {"rng", "quasi_newton", "provenance", "references", "suite_yaml", "gate", "imported"},
    {"threat", "suite_compose", "regress"},
    {"box"},
    {"oracle", "store", "transforms", "views"},
    {"attack", "dataset", "model", "table", "figure", "groups", "naming"},
    {"change", "check", "engine"},
    {"checks", "baseline"},
    {"attacks", "datasets", "models", "pairing", "tables", "judge", "render", "suite_records", "own_attacks"},
    {"suite_attacks"},
    {"suite", "train", "comparison", "verdicts", "inspection", "probing"},
    {"bench", "suite_schema", "catalogue", "calibration", "recorded"},
    {"figures"},
    {"plan", "report"},
    {"tabulate", "namesake"},
    {"execute"},
    {"runner", "rejudge"},
    {"progress", "verify", "preview", "doctor", "drawing", "gate_session", "handwritten"},
    {"pytest_items"},
    {"pytest_plugin"},
    {"cli_end"},
    {"cli_gate"},
    {"cli_compare"},
    {"cli"},
    {"__main__"},
]


def imports(path: Path):
    """(room, line) of every import of ours that is executed, type-checking blocks aside."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden or not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module == "robustbench_lite":
            for name in node.names:
                inner = (PACKAGE / f"{name.name}.py").exists() or (PACKAGE / name.name).is_dir()
                yield (name.name if inner else "robustbench_lite"), node.lineno
        elif node.module.startswith("robustbench_lite."):
            yield node.module.split(".")[1], node.lineno


def test_imports_point_up():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        own = "robustbench_lite" if own == "__init__" else own
        for other, line in imports(path):
            if other != own and level[other] >= level[own]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {other}")
    assert not wrong


def test_no_file_outgrows_its_room():
    assert not [p.name for p in PACKAGE.rglob("*.py") if len(p.read_text().splitlines()) > 400]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["validate", "suites/deepfool.yaml"], ["list", "models"], ["describe", "deepfool"], ["schema"]],
    ids=lambda arguments: arguments[0],
)
def test_quick_verbs_do_not_import_torch(arguments):
    code = (
        "import sys\nfrom robustbench_lite.cli.verbs import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: assert e.code == 0, e.code\n"
        "heavy = {'torch', 'pandas', 'torchvision', 'timm', 'kornia', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_committed_schema_is_the_one_that_is_generated():
    assert (PACKAGE / "suite.schema.json").read_text() == schema_text()


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_is_valid_and_known_to_editors(path):
    assert load(path).name == path.stem
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../robustbench_lite/suite.schema.json"


@pytest.mark.parametrize("name", list(attacks))
def test_every_attack_says_what_a_reviewer_asks(name):
    record = attacks[name]
    assert record.card.arxiv.count(".") == 1
    assert record.card.protocol
    assert all(field.description for key, field in record.model_fields.items() if field.annotation is not type(None))
    assert attacks.build(name, attacks.build(name).params()) == attacks.build(name)  # params rebuild the record


def test_the_readme_opens_with_two_commands():
    text = (ROOT / "README.md").read_text()
    block = text.split("```sh\n", 1)[1].split("```", 1)[0].strip().splitlines()
    assert len(block) == 2
