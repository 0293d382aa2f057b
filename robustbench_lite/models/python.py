"""A classifier that the user's own code makes: `python: package.module:factory`. Runs that code, so needs trust."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from robustbench_lite.errors import ModelError, UsageError
from robustbench_lite.guards.foreign import told, trace, undisturbed, where
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Card, Classifier, ModelSource, models
from robustbench_lite.models.finish import finish
from robustbench_lite.models.imported import Home
from robustbench_lite.registry import canonical, fingerprint

__all__ = ["Python", "told_apart"]


@models.register("python")
class Python(ModelSource):
    """A function that returns an nn.Module; without mean and std it normalises images itself."""

    python: str = Field(description="`package.module:factory` or `path/to/file.py:factory`.")
    args: dict[str, Any] = Field({}, description="Keyword arguments of the factory: {width: 2}.")

    @field_validator("args")
    @classmethod
    def _plain(cls, args: dict[str, Any]) -> dict[str, Any]:
        wrong = [key for key in args if not key.isidentifier()]
        if wrong:
            raise ValueError(f"expected names of the factory's arguments, got '{wrong[0]}'")
        canonical(args)  # plain data, as YAML has it
        return args

    @model_validator(mode="after")
    def _stated(self) -> Python:
        if not all(self.python.rpartition(":")):
            raise ValueError(f"expected module:factory, got '{self.python}'")
        missing = [key for key in ("size", "classes") if getattr(self, key) is None]
        if missing:
            raise ValueError(f"'{', '.join(missing)}' must be stated for a factory")
        if (self.mean is None) != (self.std is None):
            raise ValueError("state both mean and std, or neither when the factory's module normalises itself")
        return self

    @property
    def title(self) -> str:
        return self.name or self.python.rpartition(":")[2]

    @property
    def runs_code(self) -> bool:
        return True

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        place = self.python.rpartition(":")[0]
        if place.endswith(".py") and not (root / place).is_file():
            yield "python", f"no file '{place}' under the suite's folder"

    def load(self, root: Path) -> Classifier:
        if not self.trust:
            raise ModelError(f"{self.title}: 'python:' runs code; say `trust: true` if you trust it")
        place, _, factory = self.python.rpartition(":")
        try:
            with undisturbed(), Home(place, root) as home:
                with undisturbed():
                    sys.argv[:] = [place]  # a factory that parses arguments must not see ours
                    net = home.get(factory)(**self.args)
                classifier = finish(self._card(), self._module(net))
                code = fingerprint({"factory": factory, "args": self.args, "sources": home.digest()})
        except ModelError:
            raise
        except UsageError as error:
            raise ModelError(f"{self.title}: {error}") from None
        except SystemExit as error:
            raise self._failed(
                f"ended the program with {error.code!r} ({where(error)}); a factory gets its arguments from `args`, "
                "not from the command line, and returns a module",
                error,
            ) from None
        except Exception as error:  # noqa: BLE001  (the user's code fails in its own ways)
            raise self._failed(f"failed: {told(error)}", error) from None
        weights = fingerprint([classifier.weights, code])
        return replace(classifier, weights=weights, code=code, opaque=True)

    def _failed(self, text: str, error: BaseException) -> ModelError:
        problem = ModelError(f"{self.title}: {self.python} {text}")
        problem.stage, problem.traceback = "load", trace(error)
        return problem

    def _module(self, net: Any) -> Any:
        if isinstance(net, torch.nn.Module):
            return net
        hint = "; it is a state dict: build the network and load it" if isinstance(net, dict) else ""
        raise ModelError(
            f"{self.title}: {self.python} returned {type(net).__name__}, expected an nn.Module"
            f"{'; return an instance of it, not the class' if isinstance(net, type) else hint}"
        )

    def _card(self) -> Card:
        assert self.size and self.classes
        return Card(
            name=self.title,
            arch=self.python,
            classes=self.classes,
            size=self.size,
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source=f"python {self.python}",
        )


def told_apart(sources: Sequence[ModelSource]) -> list[ModelSource]:
    """The same; factories without a name that are called with different `args` get those into their titles."""
    alike: dict[str, list[Python]] = {}
    for source in sources:
        if isinstance(source, Python) and not source.name:
            alike.setdefault(source.title, []).append(source)
    return [_named(source, alike.get(source.title, [])) for source in sources]


def _named(source: ModelSource, others: Sequence[Python]) -> ModelSource:
    if not isinstance(source, Python) or source.name:
        return source
    absent = object()
    keys = dict.fromkeys(key for other in others for key in other.args)
    telling = [key for key in keys if len({canonical(o.args[key]) if key in o.args else absent for o in others}) > 1]
    text = ", ".join(f"{key}={_short(source.args[key])}" for key in telling if key in source.args)
    return source.model_copy(update={"name": f"{source.title}({text})"}) if text else source


def _short(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
