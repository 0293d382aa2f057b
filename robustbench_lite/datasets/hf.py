"""Folders of Hugging Face's `datasets`: those of `save_to_disk`, and image files that metadata.csv or .jsonl labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from robustbench_lite.datasets._arrow import STATE, ArrowRows, arrow_files, arrow_rows, json_of
from robustbench_lite.datasets._labels import listed
from robustbench_lite.datasets._listed import TABLES, listed_files
from robustbench_lite.datasets._parts import RowSource
from robustbench_lite.datasets._paths import find, missing
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.errors import DataError, suggestion

__all__ = ["HuggingFace"]

_SPLITS = "dataset_dict.json"


@datasets.register("hf")
class HuggingFace(RowSource):
    """A dataset that `save_to_disk` has written, or a folder of images with metadata.csv or metadata.jsonl."""

    hf: str = Field(description="The folder, of all splits or of one.")
    split: str | None = Field(None, description="Which split, such as test; null: the only one.")
    image: str = Field("image", description="Column of the images in what `save_to_disk` has written.")
    label: str = Field("label", description="Column of the labels: numbers, names, or one-hot lists.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from missing("hf", lambda: self._folder(root))
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        folder = self._folder(root)
        if (folder / STATE).exists():
            parts, n = list[ArrowRows](), 0
            for file in arrow_files(folder):
                parts.append(arrow_rows(file, self.image, self.label, n))
                n += len(parts[-1].labels)
            return self.of_parts(self.hf, parts)
        found = listed_files(_table(folder), self.label)
        count = "1 image is" if len(found.others) == 1 else f"{len(found.others)} images are"
        said = f"{self.hf}: {count} left out, in no line of the table: {listed(found.others, 3)}"
        return self.of_parts(self.hf, [found], warnings=[said] if found.others else [])

    def _folder(self, root: Path) -> Path:
        """That of one split. Raises DataError."""
        base = find(self.hf, root, "hf")
        if not base.is_dir():
            raise DataError(f"{base}: expected a folder of Hugging Face's `datasets`, got a file")
        splits = _splits(base)
        if self.split is not None and splits:
            if self.split not in splits:
                raise DataError(f"{base}: no split '{self.split}'{suggestion(self.split, splits)}")
            base = base / self.split
        elif len(splits) > 1:
            raise DataError(f"{base}: holds {listed(splits)}; say which with `split: {splits[-1]}`")
        elif splits:
            base = base / splits[0]
        elif self.split is not None:
            raise DataError(f"{base}: holds no splits, which `split: {self.split}` asks for; leave `split` out")
        if not _readable(base):
            raise DataError(f"{base}: {_unknown(base)}")
        return base


def _readable(folder: Path) -> bool:
    return any((folder / name).exists() for name in (STATE, *TABLES))


def _splits(base: Path) -> list[str]:
    """The folders of splits; none where the folder is one itself."""
    if (base / _SPLITS).exists():
        names = json_of(base / _SPLITS).get("splits")
        named = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        return [name for name in named if Path(name).name == name]
    if _readable(base):
        return []
    return sorted(path.name for path in base.iterdir() if path.is_dir() and _readable(path))


def _table(folder: Path) -> Path:
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    if len(tables) > 1:
        raise DataError(f"{folder}: holds {TABLES[0]} and {TABLES[1]}, expected one of them")
    return tables[0]


def _unknown(folder: Path) -> str:
    if not folder.is_dir():
        return "no folder lies there, though the dataset names it; copy the whole dataset"
    text = f"expected what `save_to_disk` writes ({STATE} and .arrow files), or {' or '.join(TABLES)} beside images"
    if any(folder.glob("*.parquet")) or any(folder.glob("*/*.parquet")):
        return f"{text}; Parquet files are read by `parquet: ...`"
    return f"{text}; one folder per class is read by `folder: ...`"
