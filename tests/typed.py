"""Pages as somebody types them, each a process (`python -m tests.typed PROGRAM`) in a folder of its own."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import robustbench_lite as rbl
from robustbench_lite import api
from robustbench_lite.cli.verbs import cli
from robustbench_lite.suite import shipped

OURS = (["robustbench-lite"], ["python", "-m", "robustbench_lite"])
FEW = {"limit": 3, "timing": False}  # of shipped suites, and of those of a page
PICTURE = re.compile(r"\]\(([\w/.-]+\.(?:png|svg))\)")


RUN = api.run


@functools.wraps(RUN)
def few(suite, *folder, **options):
    """`run` on few images."""
    with kept("" if folder or options else suite):
        return RUN(suite, *folder, **FEW | options)


@contextmanager
def kept(suite: object) -> Iterator[None]:
    """What one page has run of a shipped suite is there for the others, as after any run that is resumed."""
    shared = Path(os.environ["ROBUSTBENCH_LITE_CACHE"]) / "runs" / str(suite)
    here = Path("results") / str(suite)
    known = suite in shipped.names() and not here.exists()
    if known and shared.exists():
        shutil.copytree(shared, here)
    yield
    if known and not shared.exists():
        shared.parent.mkdir(parents=True, exist_ok=True)
        mine = shared.with_name(f"{shared.name}-{os.getpid()}")
        shutil.copytree(here, mine)
        try:
            mine.rename(shared)
        except OSError:  # somebody else was quicker
            shutil.rmtree(mine)


def shown(page: str, committed: Path) -> None:
    """Every picture that a page shows or leads to is made by its commands, in the shape of the committed one."""
    for name in PICTURE.findall(page):
        if f"--screenshot={name}" in page and not shutil.which("chromium"):
            continue
        assert Path(name).exists(), f"no command of the page makes {name}"
        assert _shape(Path(name)) == _shape(committed / name), f"{name}: {_shape(Path(name))}: commit the new one"


def _shape(picture: Path) -> object:
    if picture.suffix == ".svg":
        return ET.parse(picture).getroot().get("viewBox")
    with Image.open(picture) as image:
        return image.size


def typed(block: str) -> None:
    """Run each command of a block; one that fails ends the page. Where lines have prompts the others are output."""
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    for line in lines:
        if words := shlex.split(line, comments=True):
            _command(words, line)


def _command(words: list[str], line: str) -> None:
    ours = next((words[len(start) :] for start in OURS if words[: len(start)] == start), None)
    if ours is None:
        if words[0] == "chromium":
            if shutil.which("chromium") is None:
                return
            line = line.replace("chromium", "chromium --no-sandbox --disable-background-networking", 1)
        path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["bash", "-euc", line], check=True, env=os.environ | path)
        return
    suite = ""
    if ours[0] == "run":
        at = ours.index("--limit") if "--limit" in ours else len(ours)
        ours = [*ours[:at], *ours[at + 2 :], "--limit", _few(Path(ours[1])), "--no-timing"]
        suite = "" if "--results" in ours else ours[1]
    if ours[0] == "figure" and ours[2] in {"decision_regions", "loss_landscape"}:
        ours = [*ours, "--set", "points=15"]
    with kept(suite):
        cli.main(ours, prog_name="robustbench-lite", standalone_mode=False)


def _few(suite: Path) -> str:
    """How many images a run takes here: of a generator the fewest that are judged."""
    return "16" if suite.is_file() and "generators:" in suite.read_text(encoding="utf-8") else "3"


def few_of_cifar10() -> None:
    """What `fetch` would leave in the folder of a page: images of noise."""
    folder = Path("data/cifar10")
    folder.mkdir(parents=True)
    images = []
    for k in range(1000):
        file = io.BytesIO()
        Image.frombytes("RGB", (32, 32), hashlib.shake_256(str(k).encode()).digest(3072)).save(file, "PNG")
        images.append({"bytes": file.getvalue()})
    pq.write_table(pa.table({"img": images, "label": [k % 10 for k in range(1000)]}), folder / "test.parquet")


def main(program: Path) -> None:
    """Run a page; a warning is an error."""
    warnings.resetwarnings()
    warnings.simplefilter("error")
    api.run = few  # what `rbl.run` calls
    names = {"__name__": "__main__", "rbl": rbl, "pathlib": pathlib, "sys": sys, "types": types}
    exec(compile(program.read_text(encoding="utf-8"), "page", "exec"), names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
