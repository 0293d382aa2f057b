"""Commands of a page as somebody types them, in this process: starting PyTorch once for each would cost minutes."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from robustbench_lite.cli.verbs import cli
from tests.helpers import ROOT

OURS = (["robustbench-lite"], ["python", "-m", "robustbench_lite"])


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
        path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["bash", "-euc", line], check=True, env=os.environ | path)
        return
    if ours[0] == "run":
        at = ours.index("--limit") if "--limit" in ours else len(ours)
        ours = [*ours[:at], *ours[at + 2 :], "--limit", _few(Path(ours[1])), "--no-timing"]
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


def weights_of(name: str) -> None:
    """Weights of a bundled classifier in the current folder, in the place of the reader's."""
    shutil.copy(ROOT / "robustbench_lite" / "models" / "cards" / f"{name}.safetensors", ".")
