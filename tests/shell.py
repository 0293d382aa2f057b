"""`robustbench-lite` for shell scripts: a program of that name that has the tests fork it, as tests/forks.py does."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from tests.forks import prepared, started

__all__ = ["program"]

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as door:
    door.connect({door!r})
    door.sendall(json.dumps([os.getpid(), os.getcwd(), sys.argv[1:], dict(os.environ)]).encode())
    door.shutdown(socket.SHUT_WR)
    sys.exit(int(door.makefile().read()))
"""


@contextmanager
def program() -> Iterator[Path]:
    """The folder of the program, first in the PATH of a script; it writes where its caller reads (Linux: /proc)."""
    prepared()
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{folder}/door")
        door.listen()
        file = Path(folder, "robustbench-lite")
        file.write_text(CLIENT.format(python=sys.executable, door=f"{folder}/door"))
        file.chmod(0o755)
        Thread(target=_serve, args=(door,), daemon=True).start()
        yield file.parent
        door.shutdown(socket.SHUT_RDWR)  # wakes the thread


def _serve(door: socket.socket) -> None:
    with suppress(OSError):  # the door is closed
        while True:
            Thread(target=_answer, args=(door.accept()[0],), daemon=True).start()


def _answer(caller: socket.socket) -> None:
    with caller:
        pid, cwd, arguments, env = json.loads(caller.makefile().read())
        out, err = (Path(f"/proc/{pid}/fd/{number}") for number in (1, 2))
        process = started(["robustbench_lite", *arguments], cwd, env, out, err)
        process.join()
        caller.sendall(str(process.exitcode).encode())
