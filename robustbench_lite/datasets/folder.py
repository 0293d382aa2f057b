"""A folder of images, one sub-folder per class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from robustbench_lite.datasets._decode import ImageSource
from robustbench_lite.datasets._known import ids_of_files
from robustbench_lite.datasets._labels import labelled, listed, printable
from robustbench_lite.datasets._paths import absent, find, read_file
from robustbench_lite.datasets._pictures import SUFFIXES
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.stream import Images, Reader
from robustbench_lite.errors import DataError
from robustbench_lite.threat.ids import unique_ids

__all__ = ["Folder"]

_HALVES = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}  # and what begins with a dot


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of classes: images with the names of their classes, all classes, and what is left out."""

    images: tuple[tuple[Path, str], ...]
    classes: tuple[str, ...]
    others: tuple[str, ...]


@datasets.register("folder")
class Folder(ImageSource):
    """Image files in one folder per class; folders are the classifier's classes by name, by number, or in order."""

    folder: str = Field(description="The folder that holds a folder per class.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from absent("folder", self.folder, root)
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        base = find(self.folder, root, "folder")
        if not base.is_dir():
            raise DataError(f"{base}: expected a folder with a folder per class, got a file")
        listing = _listing(base)
        files = listing.images
        if not files:
            left = f"; there are {listed(listing.others, 3)}" if listing.others else ""
            raise DataError(f"{base}: expected image files in a folder per class (class/image.png), found none{left}")
        raw = [name for _, name in files]
        labels = labelled(raw, self.labels, where=lambda i: printable(str(files[i][0])), beside=listing.classes)
        ids = unique_ids(ids_of_files(base, [path for path, _ in files]))
        said = []
        if listing.others:
            count = "1 file is" if len(listing.others) == 1 else f"{len(listing.others)} files are"
            said = [f"{self.folder}: {count} left out, no image of a class: {listed(listing.others, 3)}"]
        reader = Reader(lambda places: ((printable(str(files[i][0])), files[i][0]) for i in places), self._image)
        return self.gather(self.folder, ids, labels, reader, sortable=True, warnings=said)

    def _image(self, name: str, path: Path) -> Images:
        return self.picture(name, read_file(path))


def _listing(base: Path) -> Listing:
    """Raises DataError where the folders are halves of a dataset instead of classes."""
    classes = sorted(path.name for path in base.iterdir() if path.is_dir() and not _litter(path))
    halves = [name for name in classes if name.casefold() in _HALVES]
    if halves and len(halves) == len(classes):
        last = next((name for name in halves if name.casefold().startswith("test")), halves[-1])
        raise DataError(
            f"{base}: {listed(halves)} are parts of a dataset, not classes; name one, `folder: {base.name}/{last}`"
        )
    strays = [path for path in sorted(base.iterdir()) if path.is_file() and path.suffix.lower() in SUFFIXES]
    images, others = list[tuple[Path, str]](), [path.name for path in strays if not _litter(path)]
    for name in classes:
        for path in sorted((base / name).rglob("*")):
            inner = path.relative_to(base)
            if path.is_dir() or any(_litter(Path(part)) for part in inner.parts):
                continue
            if path.suffix.lower() in SUFFIXES:
                images.append((path, printable(name)))
            else:
                others.append(str(inner))
    return Listing(tuple(images), tuple(map(printable, classes)), tuple(others))


def _litter(path: Path) -> bool:
    """What systems leave behind: hidden files, previews, forks of resources."""
    return path.name.startswith(".") or path.name.casefold() in _LITTER
