"""The suites that come with the package, by name: in the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from robustbench_lite.errors import Problem, SuiteError, suggestion

__all__ = ["find", "names", "shipped"]

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped() -> Path | None:
    """The folder of the shipped suites; None: this installation has none."""
    for folder in (_PACKAGE / "suites", _PACKAGE.parent / "suites"):
        if folder.is_dir() and (folder.parent == _PACKAGE or (_PACKAGE.parent / "pyproject.toml").is_file()):
            return folder
    return None


def names() -> list[str]:
    """What the shipped suites are called."""
    folder = shipped()
    return [] if folder is None else sorted(path.stem for path in folder.glob("*.yaml"))


def find(suite: str | Path) -> Path:
    """The file: as it is named, or where no file is, that of the shipped suite of this name. Raises SuiteError."""
    path, folder = Path(suite), shipped()
    if path.name != str(suite) or path.suffix or path.is_file():
        return path
    if folder is not None and path.name in names():
        return folder / f"{path.name}.yaml"
    if not path.exists():
        hint = suggestion(path.name, names())
        raise SuiteError([Problem(str(suite), f"no such file, and no shipped suite of this name{hint}")]).with_next(
            "`robustbench-lite list suites` has the shipped ones, `robustbench-lite init` writes one of yours"
        )
    return path
