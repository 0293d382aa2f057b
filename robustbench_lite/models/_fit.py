"""Which part of a checkpoint is the network: the key it stands under, and what its names begin with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError
from robustbench_lite.models._checkpoint import COUNTERS, State, choose, equal, read_states, shown

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Part", "fits", "fitting"]


@dataclass(frozen=True)
class Part:
    """The entry `key` of a checkpoint, of it the names that begin with `prefix`, which is taken off."""

    key: str
    prefix: str
    state: State
    aside: tuple[str, ...]  # names of the entry that do not begin so

    def told(self, file: str) -> str:
        """What it is, where it is not simply the file."""
        found = [f"'{self.key}' of {file}"] if self.key else [file] if self.prefix else []
        found += [f"'{self.prefix}' taken off the names"] if self.prefix else []
        found += [f"left aside: {shown(self.aside)}"] if self.aside else []
        return ", ".join(found)

    def notes(self, file: str) -> tuple[str, ...]:
        """The same for the card of a cell."""
        return (f"weights: {self.told(file)}",) if self.told(file) else ()


def fitting(
    net: nn.Module,
    path: Path,
    what: str,
    key: str | None = None,
    spare: frozenset[str] = frozenset(),
    left: re.Pattern[str] | None = None,
) -> Part:
    """The one part that has the network's names and shapes, else the nearest. Raises ModelError where several differ.

    `key`: the only entry to look into. `spare`: names of the network's that the file may leave out. `left`: names of
    the file's that are not looked at. `module.` of DataParallel, `_orig_mod.` of compile and `model.` of Lightning are
    such prefixes, in any nesting.
    """
    own = net.state_dict()
    states = read_states(path, what)
    if key is not None:
        states = {key: choose(states, what, path.name, key)}
    if left is not None:
        states = {key: {n: v for n, v in state.items() if not left.fullmatch(n)} for key, state in states.items()}
    must = [name for name in own if name not in spare and not _counts(name)]
    parts = [part for name, state in states.items() for part in _parts(name, state, must)]
    fit = [part for part in parts if _fits(part.state, own, must)]
    if any(not equal(fit[0].state, other.state) for other in fit):
        keys = dict.fromkeys(part.key for part in fit)
        names = keys if len(keys) > 1 else [part.prefix.removesuffix(".") for part in fit]
        raise ModelError(
            f"{what}: '{path.name}' holds several sets of weights, and they differ; name one with `key`; the "
            f"names and shapes of the architecture are those of {', '.join(map(repr, names))}"
        )
    return fit[0] if fit else _nearest(parts, states, own, what, path)


def fits(net: nn.Module, states: Mapping[str, State], *, shapes: bool = True) -> bool:
    """Whether a part of the checkpoint has the network's names, those alone, and its shapes."""
    own = net.state_dict()
    must = [name for name in own if not _counts(name)]
    parts = (part for name, state in states.items() for part in _parts(name, state, must))
    if not shapes:
        return any(set(must) <= part.state.keys() <= own.keys() for part in parts)
    return any(_fits(part.state, own, must) for part in parts)


def _parts(key: str, state: State, names: list[str]) -> Iterator[Part]:
    """The state, and what is under each prefix before which one of the network's names stands."""
    state = {name: value for name, value in state.items() if name not in COUNTERS}
    ends = {name[: -len(last)] for name in state for last in names[:1] + names[-1:] if name.endswith(f".{last}")}
    for prefix in ("", *sorted(ends)):
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        yield Part(key, prefix, inside, tuple(name for name in state if not name.startswith(prefix)))


def _fits(state: State, own: Mapping[str, Tensor], must: list[str]) -> bool:
    """Whether all names that `must` be are there and no unknown ones, in the same shapes."""
    return set(must) <= state.keys() <= own.keys() and all(state[name].shape == own[name].shape for name in state)


def _counts(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _nearest(parts: list[Part], states: dict[str, State], own: Mapping[str, Tensor], what: str, path: Path) -> Part:
    """That with most of the network's names, for the sentence about what does not fit; where none has one, the only."""
    best = max(parts, key=lambda part: len(own.keys() & part.state.keys()), default=None)
    if best is not None and own.keys() & best.state.keys():
        return best
    return Part("", "", choose(states, what, path.name, None), ())
