"""Only regular files are read, and no more of them than is allowed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from robustbench_lite.guards.files import RefusedError, contents, regular


def traps(folder):
    """What hangs or never ends where it is read as if it were a file."""
    os.mkfifo(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "folder").mkdir()
    return {
        "pipe": "a pipe",
        "zero": "a device",
        "loop": "symbolic links",
        "folder": "a folder",
        "none": "No such file",
    }


@pytest.mark.parametrize("read", [regular, lambda path: contents(path, 100)], ids=["regular", "contents"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, read):
    for name, reason in traps(tmp_path).items():
        with pytest.raises(OSError, match=reason):
            read(tmp_path / name)


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(RefusedError, match="expected a regular file, got a socket"):
            regular(tmp_path / "socket")


def test_contents_are_those_of_the_file_up_to_the_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345678")
    assert contents(path, 8) == b"12345678"
    assert regular(path, 8) == path
    (tmp_path / "link").symlink_to(path)
    assert contents(tmp_path / "link", 100) == b"12345678"
    for read in (contents, regular):
        with pytest.raises(RefusedError, match="larger than 0 MiB"):
            read(path, 7)


def test_a_file_that_does_not_know_its_size_is_read_to_its_end():
    assert contents(Path("/proc/self/status"), 2**20).startswith(b"Name:")
    assert contents(Path("/proc/self/status"), 2**20).endswith(b"\n")


def test_a_file_that_does_not_know_its_size_is_cut_off_too():
    with pytest.raises(RefusedError, match="the most that is read"):
        contents(Path("/proc/self/status"), 10)
