"""The first suite as text, with comments, and the job that gates merges on it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from robustbench_lite.suite.begin.look import NONE, Start

__all__ = ["job", "suite"]

_SMALL = 64  # pixels of a side, up to which CIFAR's budgets are customary
_SUITE = """\
# What `robustbench-lite init` found; every line is yours to change. docs/suites.md explains all keys.
#   robustbench-lite run {file}               # runs it; again: goes on where it was
#   robustbench-lite report results/{name}    # one page to look at
version: 1
name: {name}
title: Robustness of {name}
seed: 0
data:
  - {data}
models:
{found}  - {model}
attacks:
  # {customary}
  - pgd: {{epsilon: {epsilon}, steps: 20}}
  # the smallest perturbation of each image, whatever its norm
  - deepfool
  # for a number that a reviewer accepts; takes some hundred times as long:
  # - autoattack: {{epsilon: {epsilon}}}
tables: [accuracy]
gate:
  max_drop: 0.5   # points of robust accuracy that a merge may lose; a larger loss fails if it is certain
"""
_JOB = """\
# A merge that makes {name} less robust fails. Before the first: write the baseline, and commit it.
#   robustbench-lite run {file} --no-timing && robustbench-lite baseline results/{name} -o {baseline}
name: robustness
on: [pull_request]
permissions:
  contents: read
jobs:
  gate:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
          cache: pip
      - run: pip install robustbench-lite    # on no index yet: a wheel, or the address of a checkout, in its place
      - run: robustbench-lite run {file} --no-timing || test $? -eq 3
      - run: robustbench-lite check results/{name} --baseline {baseline} --format github
"""


def suite(start: Start, file: str) -> str:
    """The YAML of a first suite."""
    epsilon, customary = _budget(start)
    model = start.model if isinstance(start.model, str) else _flow({"name": start.name, **start.model})
    return _SUITE.format(
        file=file, name=start.name, data=_flow(start.data), model=model, found=_found(start), epsilon=epsilon,
        customary=customary,
    )  # fmt: skip


def job(start: Start, file: str, baseline: str) -> str:
    """The YAML of a job for GitHub Actions."""
    return _JOB.format(name=start.name, file=file, baseline=baseline)


def _found(start: Start) -> str:
    """How the entry of the classifier came about, as comments."""
    if not start.right:
        return "  # a bundled one; `robustbench-lite init --model my.pth` writes a suite for yours\n"
    ways = ", ".join(f"{'without' if way == NONE else way} {share:.1%}" for way, share in start.right.items())
    lines = [f"normalisation: the best of the customary ones on {start.images} images: {ways}"]
    if start.doubt:
        lines.append(f"{start.doubt}: are these the images and labels that it was trained for?")
    return "".join(f"  # {line}\n" for line in lines)


def _budget(start: Start) -> tuple[str, str]:
    """Epsilon in the maximum norm as the literature has it, and where it is from."""
    channels, height, _ = start.size or (1, 28, 28)
    if channels == 1:
        return "0.1", "0.3 is customary for MNIST, and leaves nothing of a classifier that was not trained for it"
    if height <= _SMALL:
        return "8/255", "8/255 is customary for images of this size (CIFAR-10)"
    return "4/255", "4/255 is customary for ImageNet"


def _flow(entry: Mapping[str, Any]) -> str:
    """A mapping on one line, as YAML."""
    out, writer = io.StringIO(), YAML(typ="safe", pure=True)
    writer.default_flow_style, writer.width = True, 10_000
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared as None there
    writer.dump(dict(entry), out)
    return out.getvalue().strip()
