"""What the sources share whose key names a file: where it is looked for, and whether it is the one that is meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.models.base import ModelSource
from robustbench_lite.models.finish import sha256_of

__all__ = ["InFile"]


class InFile(ModelSource):
    """A classifier in a file, under the suite's folder or the current one; the source's own key names it."""

    sha256: str | None = Field(None, description="Refuse the file when its sha256 differs.")

    @property
    def place(self) -> str:
        """The file, as the suite names it."""
        return str(getattr(self, self.registered))

    @property
    def title(self) -> str:
        return self.name or Path(self.place).stem

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        if self._path(root) is None:
            yield self.registered, self._missing()

    def present(self, root: Path) -> tuple[Path, str]:
        """The file and its sha256. Raises ModelError where it is missing, or another than the suite says."""
        path = self._path(root)
        if path is None:
            raise ModelError(self._missing())
        digest = sha256_of(path)
        if self.sha256 and digest != self.sha256.lower():
            raise ModelError(f"{self.title}: sha256 of '{path.name}' is {digest}, expected {self.sha256}")
        return path, digest

    def _path(self, root: Path) -> Path | None:
        return next((place for place in (root / self.place, Path.cwd() / self.place) if place.is_file()), None)

    def _missing(self) -> str:
        return f"{self.title}: no file '{self.place}' under the suite's folder or the current one"
