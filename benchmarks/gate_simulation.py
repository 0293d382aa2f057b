"""How often the gate alarms without any change, and how often it catches a true drop: the numbers in docs/ci.md.

    python benchmarks/gate_simulation.py [--runs 2000]

Prints a Markdown table. Each run is judged by the code that `check` uses.
"""

from __future__ import annotations

import argparse

import numpy as np

from robustbench_lite.gate.rules import Gate
from robustbench_lite.gate.statistics import Pairs, findings


def pairs(rng: np.random.Generator, gates: int, n: int, churn: float, drop: float = 0.0) -> list[Pairs]:
    """Gates that are 50 % robust, of which a share `churn` of samples flips by chance, either way.

    The first one also loses: its robust accuracy falls by `drop` on average.
    """
    out = []
    for gate in range(gates):
        before = rng.random(n) < 0.5
        after = before ^ (rng.random(n) < churn)
        if gate == 0:
            after &= ~(before & (rng.random(n) < 2 * drop / (1 - churn)))
        out.append(Pairs((before, after)))
    return out


def alarms(rng: np.random.Generator, runs: int, gate: Gate, gates: int, n: int, drop: float = 0.0) -> float:
    """The share of runs in which a gate fails; with a drop, in which the gate that has it fails. Churn is 2 %."""
    hits = 0
    for _ in range(runs):
        found = findings(pairs(rng, gates, n, 0.02, drop), gate)
        watched = found[:1] if drop else found
        hits += any(finding.worse(gate) for group in watched for finding in group)
    return hits / runs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    runs, rng = parser.parse_args().runs, np.random.default_rng(0)
    test, point = Gate(), Gate(mode="point")
    rows = [
        ("no change, 40 gates, n=500", alarms(rng, runs, test, 40, 500)),
        ("no change, 40 gates, n=500, `mode: point`", alarms(rng, runs, point, 40, 500)),
        ("no change, 40 gates, n=500, `mode: point`, `max_drop: 1`", alarms(rng, runs, _wide(), 40, 500)),
        ("one of 40 gates 3 points lower, n=1,000", alarms(rng, runs, test, 40, 1000, 0.03)),
        ("one of 40 gates 3 points lower, n=500", alarms(rng, runs, test, 40, 500, 0.03)),
        ("the only gate 3 points lower, n=1,000", alarms(rng, runs, test, 1, 1000, 0.03)),
    ]
    print(f"| {runs:,} runs, 2 % of samples flip by chance | the gate fails |\n| :--- | ---: |")
    for name, share in rows:
        print(f"| {name} | {100 * share:.1f} % |")


def _wide() -> Gate:
    return Gate(mode="point", max_drop=1)


if __name__ == "__main__":
    main()
