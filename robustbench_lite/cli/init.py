"""`init`: a first suite for one's own classifier and images, and the job that gates merges on it."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_lite.cli.exit import say, write
from robustbench_lite.errors import DataError, ModelError, UsageError

__all__ = ["init"]

_SUITE, _BASELINE, _JOB = "robustness.yaml", "baseline.parquet", ".github/workflows/robustness.yml"


@click.command(short_help="Write a first suite for a classifier of yours.")
@click.option("--model", type=click.Path(path_type=Path), help="Weights: my.pth, a checkpoint, my.safetensors.")
@click.option("--python", metavar="FILE.py:FACTORY", help="The function that makes the classifier; its code is run.")
@click.option("--arch", help="Architecture of the weights, where it is not found: timm:resnet18d.")
@click.option("--data", type=click.Path(path_type=Path), help="Images; default: ./data, else those of the package.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
def init(model: Path | None, python: str | None, arch: str | None, data: Path | None, force: bool) -> None:
    """Write a first suite for a classifier of yours, and a job that gates merges on it; asks nothing.

    Looks at the weights and the images, and measures which normalisation fits. Without options: a bundled classifier.
    """
    from robustbench_lite.suite.begin import job, look, suite
    from robustbench_lite.suite.builder import load

    if model is not None and python is not None:
        raise UsageError(
            "--model and --python: name one of them; with --python the function itself loads its weights"
        ).with_next(f"`robustbench-lite init --python {python}`, or the same with --model alone (docs/models.md)")
    if model is None and (python is None and (data or arch)):
        raise UsageError(f"{'--data' if data else '--arch'}: whose? name the classifier, too").with_next(
            "the same command with `--model FILE`, or with `--python FILE.py:FACTORY` (docs/models.md)"
        )
    _vacant(force=force)
    try:
        start = look(model, python, arch, data, Path.cwd())
    except DataError as problem:
        step = (
            "the same command with `--data FOLDER`: a folder of images per class, or a Parquet file (docs/datasets.md)"
        )
        raise problem.with_next(step) from None
    except ModelError as problem:
        raise problem.with_next("mend the file or the function, then the same command again (docs/models.md)") from None
    Path(_JOB).parent.mkdir(parents=True, exist_ok=True)
    write(Path(_SUITE), suite(start, _SUITE))
    write(Path(_JOB), job(start, _SUITE, _BASELINE))
    load(Path(_SUITE), files=True)
    _tell(start)


def _vacant(*, force: bool) -> None:
    there = [name for name in (_SUITE, _JOB) if Path(name).exists()]
    if there and not force:
        raise UsageError(f"{there[0]} is there already; move it away, or write over it with --force").with_next(
            f"`robustbench-lite run {_SUITE}`, if it is the suite that you want"
            if there[0] == _SUITE
            else "the same command with --force"
        )


def _tell(start: object) -> None:
    from robustbench_lite.suite.begin import Start

    assert isinstance(start, Start)
    if start.arch:
        way, share = next(iter(start.right.items()))
        click.echo(f"{start.name}: {start.arch}, images {list(start.size or ())}")
        click.echo(f"normalisation: {way}; so {share:.1%} of {start.images} images are right")
    if start.doubt:
        say(f"warning: {start.doubt}; are these the images and labels that it was trained for?")
    click.echo(f"wrote {_SUITE} and {_JOB}; next:")
    click.echo(f"  robustbench-lite run {_SUITE} --no-timing")
    click.echo(f"  robustbench-lite baseline results/{start.name} -o {_BASELINE}")
