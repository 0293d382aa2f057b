"""How often `trust` is red on honest classifiers, five under six attacks: `python benchmarks/false_reds.py`."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from robustbench_lite.api import run
from robustbench_lite.trust.smell import Case, cases, checks

N = 50
BUDGETS = {"mnist": (0.1, 1.5), "fashion_mnist": (0.02, 0.4)}  # linf, l2: some images survive
MODELS = {
    "mnist": ["lenet_mnist", "fc500_150_10_mnist"],
    "fashion_mnist": ["resnet8_fashion", "resnet20_fashion", "vgg_fashion"],
}


def honest(data: str, folder: str) -> tuple[Case, ...]:
    """Cells of every classifier on these data under six attacks."""
    linf, l2 = BUDGETS[data]
    attacks = [
        {"pgd": {"epsilon": linf, "steps": 20}, "as": "pgd"},
        {"pgd": {"epsilon": linf, "steps": 5}, "as": "pgd, short"},
        {"pgd": {"norm": "l2", "epsilon": l2, "steps": 20}, "as": "pgd, l2"},
        {"fgsm": {"epsilon": linf}},
        {"mifgsm": {"epsilon": linf}},
        "deepfool",
    ]
    suite = {"version": 1, "name": data, "images": "none", "data": {data: {"samples": N}}}
    return cases(run({**suite, "models": MODELS[data], "attacks": attacks}, folder))


def main() -> None:
    """Print how many cells and checks are red, and each of these."""
    cells = red = looks = 0
    with TemporaryDirectory() as folder:
        for data in MODELS:
            every = honest(data, folder)
            for case in every:
                found = [(check.name, check.look(case, every)) for check in checks.values()]
                alarms = [f"{name}: {finding.text}" for name, finding in found if finding.red]
                cells, looks, red = cells + 1, looks + len(found), red + bool(alarms)
                robust = float(case.scored[0].robust.mean())
                print(
                    f"{case.cell['source']:20} {case.cell['variant']:12} {robust:6.1%} {'; '.join(alarms) or 'green'}"
                )
    print(f"{red} of {cells} cells are red, {looks} checks")


if __name__ == "__main__":
    main()
