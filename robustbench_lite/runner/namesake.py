"""Two suites of one name would write into one results folder: the second is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.guards.files import regular
from robustbench_lite.registry import canonical
from robustbench_lite.suite.builder import Suite
from robustbench_lite.suite.yaml import read

__all__ = ["refuse_namesake"]


def refuse_namesake(suite: Suite, folder: Path) -> None:
    """Raise UsageError where `folder` holds the results of another suite file that still goes by this name.

    The same file edited, or with `--set`, goes on; so does a file that was moved or renamed, and an equal copy of it.
    """
    before = _run(folder)
    other = before.get("file")
    if not isinstance(other, str) or (suite.file is not None and suite.file.resolve() == Path(other)):
        return
    if canonical(before.get("suite")) == canonical(suite.resolved()) or not _goes_by(Path(other), suite.name):
        return
    raise UsageError(
        f"{folder}: holds the results of another suite that is called '{suite.name}', {other}; "
        "give one of them another name, or use --results for another folder"
    )


def _run(folder: Path) -> dict[str, Any]:
    """run.json; empty where there is none that can be read."""
    try:
        run = json.loads(regular(folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return run if isinstance(run, dict) else {}


def _goes_by(file: Path, name: str) -> bool:
    """Whether there is a suite in `file` that is called `name`; one that includes its name counts as one."""
    try:
        data = read(file)[0].data
    except SuiteError:
        return False
    return isinstance(data, dict) and data.get("name", name) == name
