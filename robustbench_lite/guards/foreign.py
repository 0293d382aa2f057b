"""Other people's code: it runs under the state that we found, and what it raises becomes a sentence with a place."""

from __future__ import annotations

import os
import random
import re
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.guards.limits import Interrupted, Overtime, Stopped, listening
from robustbench_lite.lazy import torch
from robustbench_lite.text import storable

__all__ = ["OURS", "blamed", "excerpt", "generators", "installed", "is_interrupt", "real", "theirs"]
__all__ += ["told", "trace", "undisturbed", "where"]

OURS = Path(__file__).resolve().parent.parent
_STDLIB = Path(sysconfig.get_path("stdlib")).resolve()
_SHOWN = 400  # characters of a message; a tensor's may fill a screen
_KEPT = 20_000  # characters of a traceback
_FRAMES = 3
_FRAME = re.compile(r'^  (File "([^"]+)", line \d+, in .+)\n((?:    .*\n)*)', re.MULTILINE)
_REFUSAL = re.compile(r"^robustbench_lite\.errors\.\w+: ", re.MULTILINE)
Switch = tuple[Callable[[], Any], Callable[[Any], object]]


@contextmanager
def undisturbed() -> Iterator[None]:
    """Afterwards every global setting is as it was: PyTorch's, random numbers, paths, arguments, warnings.

    What is printed inside goes to stderr: stdout is for results.
    """
    kept = [(get, set_, get()) for get, set_ in _switches()]
    states = [(set_, get()) for get, set_ in generators()]
    path, arguments, folder = list(sys.path), list(sys.argv), _folder()
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr), listening():
            yield
    finally:
        for get, set_, value in kept:
            if get() != value:
                set_(value)
        for set_, state in states:
            set_(state)
        sys.path[:], sys.argv[:] = path, arguments
        with suppress(OSError):
            os.chdir(folder)


def _switches() -> Iterator[Switch]:
    """(get, set) of what a factory may have changed."""
    backends = torch.backends
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.get_default_device, lambda device: torch.set_default_device(None if device.type == "cpu" else device)
    yield torch.is_grad_enabled, torch.set_grad_enabled
    yield torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly
    yield torch.get_num_threads, torch.set_num_threads
    yield _deterministic, lambda how: torch.use_deterministic_algorithms(how[0], warn_only=how[1])
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    for kind in ("cpu", "cuda"):
        yield partial(torch.is_autocast_enabled, kind), partial(torch.set_autocast_enabled, kind)
    places: list[tuple[object, str]] = [
        *((backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")),
        (backends.cuda.matmul, "allow_tf32"),
    ]
    for place, name in places:
        yield partial(getattr, place, name), partial(setattr, place, name)
    yield sys.getrecursionlimit, sys.setrecursionlimit
    yield np.geterr, lambda how: np.seterr(**how)


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def generators() -> Iterator[Switch]:
    """(get, set) of the state of every random generator that other people's code may draw from."""
    yield random.getstate, random.setstate
    yield np.random.get_state, np.random.set_state
    yield torch.get_rng_state, torch.set_rng_state
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        yield torch.cuda.get_rng_state_all, torch.cuda.set_rng_state_all


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  (a text that chdir takes back)
    except OSError:  # somebody has removed it
        return "/"


@contextmanager
def blamed(what: str, kind: type[RobustbenchError], stage: str) -> Iterator[None]:
    """Whatever is raised inside becomes a `kind` whose text begins with `what`; interrupts of ours pass.

    It knows its stage, its place in the user's code and the whole traceback; our own errors get the stage only.
    """
    problem: RobustbenchError | None = None
    try:
        yield
    except RobustbenchError as error:
        error.stage = error.stage or stage
        raise
    except BaseException as error:
        if is_interrupt(error):
            raise
        problem = kind(f"{what}{': ' if what else ''}{told(error)}")
        problem.stage, problem.traceback = stage, trace(error)
    if problem is not None:  # outside of the handler: the frames and their tensors need not live on with it
        raise problem


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody wants the program to end, and not user code that has raised something by such a name."""
    if isinstance(error, (Exception, SystemExit, Overtime)):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, (Interrupted, Stopped)) or not frames or installed(frames[-1].filename)


def told(error: BaseException) -> str:
    """One sentence: what was raised and, in brackets, where."""
    place = where(error)
    hint = "; relative paths start at the current folder" if _astray(error) else ""
    return f"{type(error).__name__}: {_message(error)}{f' ({place})' if place else ''}{hint}"


def _astray(error: BaseException) -> bool:
    """Whether a file was looked for by a path that depends on where the program was started."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    return isinstance(name, str) and not Path(name).is_absolute()


def _message(error: BaseException) -> str:
    try:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        text = " ".join(said.split()) or "no message"
    except (Exception, SystemExit):  # noqa: BLE001  (its __str__ may be the bug)
        return "its message cannot be shown"
    return storable(text) if len(text) <= _SHOWN else f"{storable(text[:_SHOWN])} ..."


def where(error: BaseException) -> str:
    """`net.py line 17, in forward`: the innermost line of the user's own, else of ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name} line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not installed(frame.filename)]
    own = own or [frame for frame in frames if OURS in real(frame.filename).parents] or frames
    return f"{Path(own[-1].filename).name} line {own[-1].lineno}, in {own[-1].name}" if own else ""


@cache
def installed(file: str) -> bool:
    """Whether a source file is ours, Python's or an installed package's: not the user's own."""
    if file.startswith("<"):
        return not file.startswith("<ipython")
    path = real(file)
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or OURS in path.parents or _STDLIB in path.parents


@cache
def real(file: str) -> Path:
    """The file behind links; asked thousands of times."""
    return Path(file).resolve()


def trace(error: BaseException) -> str:
    """The whole traceback as Python prints it; its middle is left out where it is endless."""
    try:
        text = "".join(traceback.format_exception(error))
    except (Exception, SystemExit):  # noqa: BLE001  (formatting looks into objects of the user's)
        text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    half = _KEPT // 2
    return storable(text if len(text) <= _KEPT else f"{text[:half]}\n...\n{text[-half:]}")


def theirs(text: str) -> str:
    """A stored traceback where somebody else's code raised; empty where we refused something, with a sentence."""
    return "" if _REFUSAL.search(text) else text


def excerpt(text: str) -> list[str]:
    """The lines of a stored traceback that are about the user's own code, at most the last few."""
    frames = _FRAME.findall(theirs(text))
    own = [(head, body) for head, file, body in frames if not installed(file)]
    return [line.strip() for head, body in own[-_FRAMES:] for line in (head, *body.splitlines()[:1]) if line.strip()]
