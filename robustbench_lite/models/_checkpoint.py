"""Weights from files, without running code: what training scripts wrap them in, sentences for what is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError, nearest
from robustbench_lite.lazy import torch
from robustbench_lite.models._bounds import DEEPEST, check_file, check_nesting, check_tensors

if TYPE_CHECKING:
    from torch import nn

__all__ = ["COUNTERS", "State", "choose", "equal", "load_state", "misfit", "read_states", "read_weights"]
__all__ += ["refuse_what_is_no_weights", "shown"]

State = dict[str, "torch.Tensor"]
_SUFFIXES = {".pt", ".pth", ".bin", ".ckpt", ".tar", ".th"}
_SHOWN = 3
_SAVE = "save its weights with torch.save(model.state_dict(), ...) or as .safetensors"
_COUNTS = "num_batches_tracked"
COUNTERS = {"n_averaged"}  # of torch.optim.swa_utils.AveragedModel


def read_weights(path: Path, what: str, key: str | None = None) -> State:
    """The one state dict of a file, `read_states`. Raises ModelError otherwise.

    `key`: the entry of a checkpoint that holds it, `state_dict_ema` or `ema.shadow`; null: there is only one.
    """
    return choose(read_states(path, what), what, path.name, key)


def read_states(path: Path, what: str) -> dict[str, State]:
    """Every state dict in .safetensors or .pt/.pth by its key, without running code. Raises ModelError otherwise."""
    if path.suffix != ".safetensors" and path.suffix not in _SUFFIXES:
        raise ModelError(f"{what}: expected a .safetensors, .pt or .pth file, got '{path.name}'")
    refuse_what_is_no_weights(path, what)
    check_file(path, what)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # imports torch

            state: object = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  (unpicklers fail in every way there is)
        raise ModelError(f"{what}: {_why(path, error)}") from None
    check_nesting(state, what, path.name)
    found = dict(_states(state))
    check_tensors((tensor for one in found.values() for tensor in one.values()), path.stat().st_size, what, path.name)
    return found


def refuse_what_is_no_weights(path: Path, what: str) -> None:
    """What a clone or a download leaves in the place of weights."""
    if not path.is_file():  # a pipe may never answer
        return
    with path.open("rb") as file:
        start = file.read(200).lstrip()
    if not start:
        raise ModelError(f"{what}: '{path.name}' is empty")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(f"{what}: '{path.name}' is a Git LFS pointer, not the weights; run `git lfs pull`")
    if start[:15].lower().startswith((b"<!doctype", b"<html")):
        raise ModelError(f"{what}: '{path.name}' is a web page, not the weights; download it again")


def _why(path: Path, error: Exception) -> str:
    """Why a file was not loaded, and what to do."""
    reason = str(error).strip().split("\n")[0]
    if "TorchScript" in reason:
        return f"'{path.name}' is a TorchScript archive, which is code, and was not loaded; {_SAVE}"
    classes = _classes(path)
    if classes:
        names = f"{', '.join(classes[:_SHOWN])}{' ...' if len(classes) > _SHOWN else ''}"
        return (
            f"'{path.name}' holds more than weights, a whole pickled module or other objects ({names}), and was not "
            f"loaded: that would run code; {_SAVE}"
        )
    return (
        f"'{path.name}' holds more than weights or is damaged, and was not loaded ({type(error).__name__}: "
        f"{reason[:120]}); {_SAVE}"
    )


def _classes(path: Path) -> list[str]:
    """What else a pickle names, read without running it."""
    try:
        found: list[str] = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # noqa: BLE001  (damaged files)
        return []
    return sorted(found, key=lambda name: name.startswith("torch."))


def choose(found: dict[str, State], what: str, file: str, key: str | None) -> State:
    """The one state dict in what a training script saved. Raises ModelError where there is none, or several."""
    if key is not None:
        for flat in list(found.values()):  # a network among several in one state dict
            found |= {key: part} if key not in found and (part := _under(key, flat)) else {}
        if key not in found:
            raise ModelError(f"{what}: no weights under the key '{key}' in '{file}'; {_listed(found)}")
        return _floats(found[key])
    if not found:
        raise ModelError(f"{what}: expected a state dict of tensors in '{file}'")
    first = next(iter(found.values()))
    if any(not equal(first, other) for other in found.values()):
        raise ModelError(
            f"{what}: '{file}' holds several sets of weights, and they differ; name one with `key`; {_listed(found)}"
        )
    return _floats(first)


def _states(state: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """(key, tensors by name) of every mapping of names to tensors; numbers beside them are of no interest."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        return
    inner = {name: value for name, value in state.items() if isinstance(value, Mapping)} if depth < DEEPEST else {}
    found = [one for name, value in inner.items() for one in _states(value, f"{path}.{name}".strip("."), depth + 1)]
    yield from found
    if found:
        return
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if any(value.is_floating_point() and value.ndim for value in tensors.values()):
        yield path, tensors


def _under(key: str, state: State) -> State:
    return {name.removeprefix(f"{key}."): value for name, value in state.items() if name.startswith(f"{key}.")}


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _listed(found: Mapping[str, State]) -> str:
    return f"it has {', '.join(repr(name) for name in found)}" if any(found) else "it is a plain state dict"


def _floats(state: State) -> State:
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_state(net: nn.Module, state: State, what: str, which: str = "") -> None:
    """Load strictly; the sentence names what is missing, unexpected or of another shape, of `which` weights."""
    if complaint := misfit(net, state, which):
        raise ModelError(f"{what}: {complaint}")
    counters = {key: value for key, value in net.state_dict().items() if key.endswith(_COUNTS)}
    net.load_state_dict(counters | state)


def misfit(net: nn.Module, state: State, which: str = "") -> str:
    """Why weights are not those of a network, which may be on the meta device; empty: they are."""
    own = net.state_dict()
    # counters of training batches, which published files often leave out, as PyTorch itself allows
    state = {key: value for key, value in own.items() if key.endswith(_COUNTS)} | state
    complaints = [f"{word} {shown(names)}" for word, names in _complaints(own, state).items() if names]
    told = f"the weights{f' ({which})' if which else ''} do not fit the architecture"
    return f"{told}: {'; '.join(complaints)}" if complaints else ""


def _complaints(own: State, state: State) -> dict[str, list[str]]:
    """Names and shapes; with a name that the network does not have, the nearest of those that it misses."""
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    odd = sorted(key for key in own.keys() & state.keys() if own[key].shape != state[key].shape)
    near = {name: nearest(name, missing) for name in extra[:_SHOWN]}
    return {
        "missing": [_shaped(name, own) for name in missing],
        "unexpected": [
            f"{_shaped(name, state)}{f', the nearest is {_shaped(near[name], own)}' if near.get(name) else ''}"
            for name in extra
        ],
        "wrong shape": [f"{_shaped(key, state)} for {tuple(own[key].shape)}" for key in odd],
    }


def _shaped(name: str, state: State) -> str:
    return f"{name} {tuple(state[name].shape)}"


def shown(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
