"""The house keeps its walls: layers, no cycles, no torch at start-up, schema and suites in sync."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from robustbench_lite.engine.attack import attacks
from robustbench_lite.suite.builder import load
from robustbench_lite.suite.schema import schema_text
from tests.helpers import ROOT

PACKAGE = ROOT / "robustbench_lite"
# imports may only point up this list; rooms on one line do not import each other
ROOMS = [
    {"errors", "lazy", "text"},
    {"guards"},
    {"registry"},
    {"results", "threat"},
    {"transforms"},
    {"physical"},
    {"engine"},
    {"attacks", "datasets"},
    {"models", "sparse_coding"},
    {"generators", "trust"},
    {"defenses", "peers"},
    {"tables"},
    {"figures", "gate"},
    {"suite"},
    {"report", "runner"},
    {"api"},
    {"cli", "pytest_plugin"},
]
LEVEL = {name: i for i, names in enumerate(ROOMS) for name in names}
TOP = {"__init__.py", "__main__.py", "errors.py", "lazy.py", "py.typed", "registry.py", "suite.schema.json", "text.py"}


def module(path: Path) -> str:
    """`engine.judge` for the file of that module; a room is called as its face."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports(name: str) -> dict[str, int]:
    """Every module of ours that `name` imports, anywhere in it and for type checkers too, and the line."""
    lines: dict[str, int] = {}
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in named:
            inner = full.removeprefix("robustbench_lite.")
            if inner != full:
                known = inner if inner in MODULES else inner.rpartition(".")[0]
                lines.setdefault(known, node.lineno)
    return lines


def arrows():
    """(importer, imported, where) between modules, the version of the package aside."""
    for name, path in MODULES.items():
        for other, line in imports(name).items():
            if name not in {"", "__main__"} and other:
                yield name, other, f"{path.relative_to(ROOT)}:{line} imports {other}"


def room(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def test_imports_point_up():
    across = [(room(name), room(other), where) for name, other, where in arrows() if room(name) != room(other)]
    assert not [where for own, other, where in across if LEVEL[other] >= LEVEL[own]]


def test_no_imports_run_in_a_circle():
    graph: dict[str, set[str]] = {}
    for name, other, _ in arrows():
        graph.setdefault(name, set()).add(other)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_is_private_to_a_room_stays_there():
    """`_file` belongs to the folder that it lies in."""
    for _, other, where in arrows():
        parts = other.split(".")
        folder = next((".".join(parts[:i]) for i, part in enumerate(parts) if part.startswith("_")), None)
        importer = where.split(":")[0].removeprefix("robustbench_lite/").replace("/", ".")
        assert folder is None or importer.startswith(f"{folder}."), where


def test_a_newcomer_sees_few_files_and_folders():
    seen = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert {path.name for path in seen if path.is_file()} == TOP
    folders = {path.name for path in seen if path.is_dir()}
    assert folders <= set(LEVEL) and len(folders) <= 23
    assert {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()} - {"__pycache__"} <= folders | {"data"}


def test_no_file_outgrows_its_room():
    assert not [p.name for p in PACKAGE.rglob("*.py") if len(p.read_text().splitlines()) > 300]


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
