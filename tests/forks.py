"""Processes of their own that start in tenths of a second: forked from one that has loaded PyTorch and nothing of ours.

A fresh interpreter spends four seconds on libraries before the first line of ours. What is loaded here is loaded anew
in each process: its signals, exit code, environment and folder are those of `python -m`. How a fresh interpreter starts
(what is imported when, its hash seed) is seen by the tests that start one themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir
from functools import cache
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory

__all__ = ["ROOT", "finished", "heard", "prepared", "started"]

ROOT = Path(__file__).resolve().parent.parent
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.libraries"])


@cache
def prepared() -> None:
    """The server has begun, where it finds tests.libraries."""
    with chdir(ROOT):
        forkserver.ensure_running()


def started(
    words: Sequence[str],
    cwd: Path | str,
    env: Mapping[str, str],
    out: Path | str = os.devnull,
    err: Path | str = os.devnull,
) -> BaseProcess:
    """`python -m WORDS` has begun; what it says is written to the files `out` and `err`."""
    prepared()
    process = _FORKS.Process(target=_module, args=(list(words), str(cwd), dict(env), str(out), str(err)))
    process.start()
    return process


def heard(process: BaseProcess, text: str, file: Path) -> None:
    """The process has written the text to the file."""
    while not (file.exists() and text in file.read_text(encoding="utf-8")):
        process.join(0.01)
        assert process.exitcode is None, file.read_text(encoding="utf-8")


def finished(words: Sequence[str], cwd: Path | str, env: Mapping[str, str], timeout: float) -> CompletedProcess[str]:
    """`python -m WORDS` has ended."""
    with TemporaryDirectory() as folder:
        said = [Path(folder, name) for name in ("out", "err")]
        process = started(words, cwd, env, *said)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutExpired(list(words), timeout)
        out, err = (file.read_text(encoding="utf-8") for file in said)
        return CompletedProcess(list(words), process.exitcode, out, err)


def _module(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    for descriptor, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever runs the tests may ignore
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [cwd, *(path for path in sys.path if path != cwd)]
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
