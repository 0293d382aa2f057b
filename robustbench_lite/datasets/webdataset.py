"""Shards of WebDataset: tar files in which the members KEY.jpg, KEY.cls, ... are a sample; read where they lie."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydantic import Field

from robustbench_lite.datasets._known import ids_of_rows
from robustbench_lite.datasets._labels import Raw, listed, printable
from robustbench_lite.datasets._parts import Encoded, RowSource
from robustbench_lite.datasets._paths import find, missing
from robustbench_lite.datasets._pictures import SUFFIXES, is_pointer
from robustbench_lite.datasets._room import FILE
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import regular
from robustbench_lite.threat.ids import content_id

__all__ = ["WebDataset"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 100_000  # shards that a pattern stands for
_LABEL = 2**20  # bytes of a label
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
Member = tuple[int, int]  # where in the file, and how many bytes


@dataclass(frozen=True)
class Shard:
    """What one tar file holds, as a `Part`."""

    file: Path
    keys: list[str]
    members: list[Member]
    labels: list[Raw]
    start: int
    names: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """The sentence's place of a sample."""
        return f"{self.file} sample {printable(self.keys[row])}"

    def ids(self) -> list[str]:
        """Of all images; an unchanged file is not read again."""
        of = f"webdataset {hash_of(self.members)}"
        return ids_of_rows(self.file, of, lambda: [content_id(data) for _, data in self._bytes(range(len(self.keys)))])

    def images(self, rows: Iterable[int]) -> dict[int, Encoded]:
        """Some of them."""
        return dict(self._bytes(rows))

    def _bytes(self, rows: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        with self.file.open("rb") as file:
            for row in rows:
                yield row, _read(file, self.members[row], self.place(row))


def hash_of(members: list[Member]) -> str:
    return content_id(json.dumps(members).encode())


@datasets.register("webdataset")
class WebDataset(RowSource):
    """Shards of WebDataset: tar files, not compressed, whose members KEY.jpg and KEY.cls are one sample."""

    webdataset: str = Field(
        description="A shard, a folder of them, or a pattern: data/test-*.tar, data/test-{000..012}.tar."
    )
    image: str | None = Field(None, description="Suffix of the images; null: the only one of a sample that is one.")
    label: str = Field("cls", description="Suffix of the labels: numbers or names as text, or json.")
    field: str = Field("label", description="Where labels are in json: the field that holds them.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from missing("webdataset", lambda: self._files(root))
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        parts, n = list[Shard](), 0
        for file in self._files(root):
            parts.append(self._read(file, n))
            n += len(parts[-1].keys)
        return self.of_parts(self.webdataset, parts)

    def _files(self, root: Path) -> list[Path]:
        """In the order of their names. Raises DataError."""
        if counted := _RANGE.search(self.webdataset):
            return [find(name, root, "webdataset") for name in _counted(self.webdataset, counted)]
        given = Path(self.webdataset)
        if not any(sign in given.name for sign in "*?["):
            path = find(self.webdataset, root, "webdataset")
            return _globbed(path, "*.tar") if path.is_dir() else [path]
        return _globbed(find(str(given.parent), root, "webdataset"), given.name)

    def _read(self, file: Path, start: int) -> Shard:
        """All of a shard but its images."""
        keys, images, labels = list[str](), list[Member](), list[Raw]()
        samples = _samples(file)
        with file.open("rb") as opened:
            for key, members in samples.items():
                place = f"{file} sample {printable(key)}"
                keys.append(key)
                images.append(members[self._image(place, members)])
                labels.append(self._label(opened, place, members))
        return Shard(file, keys, images, labels, start)

    def _image(self, place: str, members: dict[str, Member]) -> str:
        pictures = [name for name in members if f".{name.rsplit('.', 1)[-1]}" in SUFFIXES]
        if self.image is not None and self.image.removeprefix(".") in members:
            return self.image.removeprefix(".")
        if self.image is None and len(pictures) == 1:
            return pictures[0]
        asked = "" if self.image is None else f" with the suffix '{self.image}'"
        advice = "; say which with `image: ...` on the dataset"
        raise DataError(f"{place}: expected one image{asked}, got the members {listed(members)}{advice}")

    def _label(self, file: BinaryIO, place: str, members: dict[str, Member]) -> Raw:
        if self.label not in members:
            return None
        try:
            text = _read(file, members[self.label], place, _LABEL).decode().strip()
            found = json.loads(text)[self.field] if self.label.endswith("json") else text
        except (ValueError, LookupError, TypeError, RecursionError):
            what = f"a field '{self.field}' in its {self.label}" if self.label.endswith("json") else "text"
            raise DataError(f"{place}: expected {what}, which is its label") from None
        if isinstance(found, str) and found.isascii() and found.removeprefix("-").isdecimal():
            return int(found)
        if found is None or isinstance(found, str) or type(found) is int:
            return found or None if isinstance(found, str) else found
        raise DataError(f"{place}: the label is {found!r}, expected a class number or name")


def _counted(text: str, found: re.Match[str]) -> list[str]:
    """`test-{08..10}.tar` as names. Raises DataError."""
    first, last = found.groups()
    if not 0 <= int(last) - int(first) < _MOST:
        raise DataError(f"webdataset: {found[0]} stands for no shards, or for more than {_MOST:,}")
    return [
        f"{text[: found.start()]}{number:0{len(first)}d}{text[found.end() :]}"
        for number in range(int(first), int(last) + 1)
    ]


def _globbed(folder: Path, pattern: str) -> list[Path]:
    files = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    if not files:
        raise DataError(f"{folder}: no shard '{pattern}' in this folder")
    return files


def _samples(file: Path) -> dict[str, dict[str, Member]]:
    """Key -> suffix -> member, of every sample in the order of the file. Raises DataError."""
    found = dict[str, dict[str, Member]]()
    try:
        size = regular(file).stat().st_size
        with file.open("rb") as opened:
            _check(file, opened.read(64))
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if not member.isdir() and not PurePosixPath(member.name).name.startswith("."):
                    _add(found, file, member, size)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: not a readable tar file ({error}); is it whole?") from None
    return found


def _check(file: Path, start: bytes) -> None:
    if is_pointer(start):
        raise DataError(f"{file}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
    if start.startswith(_PACKED):
        raise DataError(f"{file}: is compressed, so that no image can be read alone; unpack it, such as with gunzip")


def _add(found: dict[str, dict[str, Member]], file: Path, member: tarfile.TarInfo, size: int) -> None:
    path = PurePosixPath(member.name)
    stem, _, suffix = path.name.partition(".")
    key, suffix = str(path.with_name(stem)), suffix.lower()
    if not member.isreg() or member.issparse():
        raise DataError(f"{file}: {printable(member.name)} is a link or not a plain file; pack the file itself")
    if member.offset_data + member.size > size:
        raise DataError(f"{file}: ends within {printable(member.name)}; it is not whole, get it again")
    if suffix in found.setdefault(key, {}):
        raise DataError(f"{file}: holds {printable(member.name)} twice, expected samples with keys of their own")
    found[key][suffix] = (member.offset_data, member.size)


def _read(file: BinaryIO, member: Member, place: str, most: int = FILE) -> bytes:
    offset, size = member
    if size > most:
        raise DataError(f"{place}: {size:,} bytes, at most {most:,} are read")
    file.seek(offset)
    return file.read(size)
