"""Code that a suite names, `path/to/file.py:name` or `package.module:name`: imported afresh, and what it consists of.

The folder of a file, and the suite's, are on the path while it is imported and runs for the first time, so that its
neighbours can be imported as from a script. Each of them is compiled from its source as it is now: a change within a
process, or within a second, is seen. Their contents are the code's digest; names of files do not matter.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, NoReturn, Self

from robustbench_lite.errors import UsageError
from robustbench_lite.guards.foreign import installed, real
from robustbench_lite.registry import fingerprint

__all__ = ["Home"]

_brought: dict[str, ModuleType] = {}  # what was imported here before: to be forgotten when it is wanted again


class _Fresh(SourceFileLoader):
    """Without a byte-code cache, which tells two edits within a second apart by their length only."""

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(path)


class Home:
    """A context in which `get(name)` imports: a finder of modules, which remembers those that are the user's own."""

    def __init__(self, where: str, root: Path) -> None:
        self.where, self.root = where, root.resolve()
        self.folders: tuple[Path, ...] = ()
        self.own: set[str] = set()  # files
        self._others: dict[str, ModuleType] = {}
        self._elsewhere: dict[str, ModuleType] = {}

    def __enter__(self) -> Self:
        self.folders = tuple(dict.fromkeys([self._folder(), self.root]))
        sys.path[:0] = [str(folder) for folder in self.folders]
        self._forget()
        importlib.invalidate_caches()
        sys.meta_path.insert(0, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.meta_path.remove(self)
        for folder in self.folders:
            if str(folder) in sys.path:
                sys.path.remove(str(folder))
        _brought.update({name: module for name, module in list(sys.modules.items()) if self._at_home(module)})
        for name, module in self._others.items():  # they belong to whoever imported them first
            _brought.pop(name, None)
            sys.modules[name] = module
        for name, module in self._elsewhere.items():
            sys.modules.setdefault(name, module)

    def get(self, name: str) -> Any:
        """What the module calls `name`. Raises UsageError where it has none, and what its code raises."""
        module = self._file() if self.where.endswith(".py") else importlib.import_module(self.where)
        if not hasattr(module, name):
            raise UsageError(f"'{self.where}' has no '{name}'")
        return getattr(module, name)

    def digest(self) -> str:
        """A hash of the sources of all that was imported of the user's own, or of the installed package's."""
        contents = {hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in self.own or self._package()}
        return fingerprint(sorted(contents))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """For Python: where a module is; those at home get a loader that reads their sources."""
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)
        if spec and spec.origin and self._own(spec.origin):
            self.own.add(spec.origin)
            if type(spec.loader) is SourceFileLoader:
                spec.loader = _Fresh(name, spec.origin)
        return spec

    def _path(self) -> Path:
        path = self.root / self.where
        if not path.is_file():
            raise UsageError(f"no file '{self.where}' under the suite's folder")
        return path.resolve()

    def _folder(self) -> Path:
        """What is at home beside the suite's folder: that of the file, or of the package wherever it lies."""
        if self.where.endswith(".py"):
            return self._path().parent
        top = self._spec()
        place = Path(top.origin).parent if top and top.origin else self.root
        return place.parent if top and top.submodule_search_locations else place

    def _spec(self) -> ModuleSpec | None:
        """Of the top package of a dotted name; the suite's folder comes first."""
        sys.path.insert(0, str(self.root))
        try:
            importlib.invalidate_caches()
            return find_spec(self.where.split(".")[0])
        except (ValueError, ImportError):  # a module without a spec, as __main__ is
            return None
        finally:
            sys.path.remove(str(self.root))

    def _package(self) -> list[str]:
        """The sources of an installed package."""
        spec = self._spec()
        folders = list(spec.submodule_search_locations or ()) if spec else []
        files = [str(path) for folder in folders for path in Path(folder).rglob("*.py")]
        return files or [spec.origin] if spec and spec.origin and Path(spec.origin).is_file() else files

    def _file(self) -> ModuleType:
        path = self._path()
        name = path.stem if path.stem not in sys.modules else f"suite_{path.stem}"  # never in the place of another's
        spec = spec_from_file_location(name, path, loader=_Fresh(name, str(path)))
        assert spec and spec.loader
        self.own.add(str(path))
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _forget(self) -> None:
        """Take the modules at home out of Python's list, so that they are read again; and those of other homes.

        Two files in different folders may each have a neighbour `helper`.
        """
        for name, module in list(sys.modules.items()):
            brought, here = _brought.get(name) is module, self._at_home(module)
            if here or brought:
                del sys.modules[name]
            if here and not brought:
                self._others[name] = module
            if brought and not here:
                self._elsewhere[name] = module

    def _at_home(self, module: object) -> bool:
        file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
        return isinstance(file, str) and module is not sys.modules.get("__main__") and self._own(file)

    def _own(self, file: str) -> bool:
        return not installed(file) and any(folder in real(file).parents for folder in self.folders)
