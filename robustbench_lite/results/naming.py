"""What results are called beside each other, by a label or by what tells their folders apart; and their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import UsageError

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["called", "class_names", "labels_of", "names_of"]


def labels_of(texts: Sequence[str], folders: Sequence[str | Path]) -> dict[Path, str]:
    """`NAME=FOLDER` for some of the folders. Raises UsageError for another form, folder, or a name used twice."""
    given = {Path(folder).resolve() for folder in folders}
    out: dict[Path, str] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name.strip() and equals and folder):
            raise UsageError(f"--label {text}: expected NAME=FOLDER, such as v1={next(iter(folders), 'results/ci')}")
        place = Path(folder).resolve()
        if place not in given:
            told = ", ".join(str(one) for one in folders)
            raise UsageError(f"--label {text}: {folder} is none of the folders that are looked at: {told}")
        if place in out or name.strip() in out.values():
            raise UsageError(f"--label {text}: a folder has one label, and a label one folder")
        out[place] = name.strip()
    return out


def names_of(folders: Sequence[str | Path], labels: Mapping[Path, str] | None = None) -> list[str]:
    """A name for each folder: its label, else its last part, else the part in which namesakes differ."""
    paths = [Path(folder).resolve() for folder in folders]
    names = [(labels or {}).get(path, "") or _telling(path, paths) for path in paths]
    return [_numbered(name, i, names) for i, name in enumerate(names)]


def _telling(path: Path, paths: Sequence[Path]) -> str:
    """The last part that no folder of the same name has in that place; of equal folders the last part."""
    rivals = [other for other in paths if other.name == path.name and other != path]
    for place in range(1, len(path.parts) + 1):
        part = path.parts[-place]
        if all(len(other.parts) < place or other.parts[-place] != part for other in rivals):
            return part
    return path.name


def _numbered(name: str, place: int, names: Sequence[str]) -> str:
    if names.count(name) == 1:
        return name
    return f"{name} ({1 + names[:place].count(name)})"


def called(runs: Sequence[Results], labels: Mapping[Path, str] | None = None) -> list[Results]:
    """The results with a label each; a single one only has what was given."""
    names = names_of([results.folder for results in runs], labels)
    given = labels or {}
    if len(runs) == 1:
        names = [given.get(results.folder.resolve(), results.label) for results in runs]
    return [replace(results, label=results.label or name) for results, name in zip(runs, names, strict=True)]


def class_names(results: Results, dataset: str) -> list[str]:
    """The names of the classes of a dataset as the run stored them; empty: it did not."""
    names = results.run.get("classes")
    return [str(name) for name in (names.get(dataset) if isinstance(names, dict) else None) or []]
