"""How often `trust` is red on honest classifiers, defended ones too: `python benchmarks/false_reds.py [FOLDER]`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from robustbench_lite.api import run
from robustbench_lite.trust.smell import Case, cases, checks

N = 60
BUDGETS = {  # data, classifiers, budgets (linf, l2, l1) that some images survive
    "mnist": ("mnist", ["lenet_mnist", "fc500_150_10_mnist"], 0.1, 1.5, 8),
    "mnist, linf": ("mnist", ["smallcnn_linf_mnist"], 0.3, 1.5, 5),
    "mnist, l2": ("mnist", ["smallcnn_l2_mnist"], 0.2, 1.5, 15),
    "fashion": ("fashion_mnist", ["resnet8_fashion"], 0.02, 0.4, 5),
    "fashion, linf": ("fashion_mnist", ["smallcnn_linf_fashion"], 0.1, 1.5, 15),
}


def attacks(linf: float, l2: float, l1: float) -> Iterator[dict[str, Any]]:
    """What runs on each classifier."""
    for norm, epsilon in (("linf", linf), ("l2", l2), ("l1", l1)):
        ball = {"norm": norm, "epsilon": epsilon}
        yield {"fgsm": ball, "as": f"fgsm, {norm}"}
        for steps in (5, 20, 60):
            yield {"pgd": {**ball, "steps": steps}, "as": f"pgd {steps}, {norm}"}
        yield {"apgd": {**ball, "steps": 50}, "as": f"apgd, {norm}"}
        yield {"apgd": {**ball, "steps": 50, "loss": "dlr_targeted", "targets": 3}, "as": f"apgd-t, {norm}"}
        yield {"square": {**ball, "n_queries": 1000}, "as": f"square, {norm}"}
        yield {"fab": {"norm": norm, "steps": 30, "targets": 4}, "as": f"fab, {norm}"}
        yield {"noise": {**ball, "draws": 20}, "as": f"noise, {norm}"}
        yield {"cascade": {**ball, "attacks": ["apgd", {"square": {"n_queries": 1000}}]}, "as": f"cascade, {norm}"}
        yield {"fmn": {"norm": norm}, "as": f"fmn, {norm}"}
    yield {"autoattack": {"epsilon": linf}, "as": "autoattack, linf"}
    yield {"mifgsm": {"epsilon": linf}, "as": "mifgsm, linf"}
    for norm in ("linf", "l2"):
        yield {"deepfool": {"norm": norm}, "as": f"deepfool, {norm}"}
        yield {"hop_skip_jump": {"norm": norm, "n_queries": 1000}, "as": f"hop_skip_jump, {norm}"}
    yield from ({name: {}, "as": name} for name in ("ddn", "cw", "lbfgs", "sigma_zero"))
    yield {"fmn": {"norm": "l0"}, "as": "fmn, l0"}


def honest(name: str, folder: Path) -> tuple[Case, ...]:
    """Cells of the classifiers of one line under all attacks."""
    data, models, *budgets = BUDGETS[name]
    suite = {"version": 1, "name": name.replace(", ", "_"), "images": "none", "data": {data: {"samples": N}}}
    return cases(run({**suite, "models": models, "attacks": list(attacks(*budgets))}, folder, timing=False))


def look(every: tuple[Case, ...]) -> Counter[str]:
    """Print each cell and what is red of it; count cells, checks, and those that are red."""
    count: Counter[str] = Counter()
    for case in every:
        found = [(check.name, check.look(case, every)) for check in checks.values()]
        alarms = [f"{name}: {finding.text}" for name, finding in found if finding.red]
        count.update(cells=1, checks=len(found), red=bool(alarms))
        robust = float(case.scored[0].robust.mean())
        print(f"{case.cell['source']:20} {case.cell['variant']:20} {robust:6.1%} {'; '.join(alarms) or 'green'}")
    return count


def main() -> None:
    """Print how many cells and checks are red, and each of these."""
    with TemporaryDirectory() as own:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else own)
        count = sum((look(honest(name, folder)) for name in BUDGETS), Counter[str]())
    print(f"{count['red']} of {count['cells']} cells are red, {count['checks']} checks")


if __name__ == "__main__":
    main()
