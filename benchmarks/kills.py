"""Kill workers and drivers at random and go on with the same command: nothing may be lost, nothing made twice.

    python benchmarks/kills.py --executor pool --workers 30 --drivers 10
    python benchmarks/kills.py --executor ray --workers 30 --drivers 10

An attack of its own writes down every sample that it begins. Whatever lay in the results folder when somebody was
killed must not be begun again after it, and the results must be those of a run that nobody has disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from robustbench_lite.datasets.base import images
from robustbench_lite.lazy import torch
from robustbench_lite.results.store import Results, Store, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.suite.builder import load

ROOT = Path(__file__).resolve().parents[1]
ATTACK = '''
import hashlib, os, time
from dataclasses import replace
from typing import ClassVar, Literal
from pydantic import Field
from robustbench_lite.attacks import Card, Draw, Goal, Number, Oracle, State, StepAttack
from robustbench_lite.lazy import torch
from robustbench_lite.threat.norms import sample

class Logged(StepAttack):
    """Noise that takes its time, and writes down what it begins."""
    card: ClassVar[Card] = Card(title="Noise", paper="none", arxiv="0000.00000", protocol="Ten draws.")
    norm: Literal["linf"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(0.2, gt=0, description="Radius of the ball.")

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> State:
        names = [hashlib.sha256(image.cpu().numpy().tobytes()).hexdigest()[:16] for image in x]
        if os.getpid() != int(os.environ["KILLS_DRIVER"]):  # which calibrates, on some of the same images
            with open(os.environ["KILLS_LOG"], "a", encoding="utf-8") as file:
                file.writelines(f"{time.time()} {os.getpid()} {self.epsilon} {name}\\n" for name in names)
        adv = (x + sample(draw, x, self.norm, self.epsilon)).clamp(0, 1)
        return State(x, goal, draw, adv, x.new_zeros(len(x)), x.new_zeros(len(x), dtype=torch.bool))

    def step(self, oracle: Oracle, state: State) -> State:
        time.sleep(PAUSE)
        return replace(state, score=-state.goal.loss(oracle.logits(state.candidate)), done=torch.ones_like(state.done))
'''
DRIVER = """
import json, os, sys
from robustbench_lite.runner.run import run
from robustbench_lite.suite.builder import load
from pathlib import Path
if __name__ == "__main__":
    suite, root, out, options = sys.argv[1:]
    os.environ["KILLS_DRIVER"] = str(os.getpid())
    run(load(json.loads(suite), root=Path(root)), out, device="cpu", batch_size=4, timing=False, shard_size=4,
        **json.loads(options))
"""
OPTIONS = {"pool": {"jobs": 2}, "ray": {"jobs": 2, "executor": "ray"}}


@dataclass
class Ground:
    """Where suites are run, and what was seen there."""

    folder: Path
    samples: int
    pause: float
    executor: str
    rounds: int = 0
    stored: list[tuple[float, Path, set[tuple[str, str]]]] = field(default_factory=list)  # at every kill

    def __post_init__(self) -> None:
        (self.folder / "root").mkdir(parents=True)
        (self.folder / "root" / "logged.py").write_text(ATTACK.replace("PAUSE", str(self.pause)))
        (self.folder / "driver.py").write_text(DRIVER)

    def suite(self) -> dict:
        attack = {"python": "logged.py:Logged", "trust": True}
        attacks = [{**attack, "epsilon": epsilon, "as": f"by {epsilon}"} for epsilon in (0.1, 0.3)]
        data = {"mnist": {"samples": self.samples}}
        return {"version": 1, "name": "kills", "data": data, "models": ["lenet_mnist"], "attacks": attacks}

    def begin(self, out: Path, options: dict) -> subprocess.Popen:
        suite = json.dumps(self.suite())
        command = [sys.executable, str(self.folder / "driver.py"), suite, str(self.folder / "root"), str(out)]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "disabled",
            "KILLS_LOG": str(out / "log"),
        }
        return subprocess.Popen([*command, json.dumps(options)], env=environment)

    def out(self) -> Path:
        self.rounds += 1
        out = self.folder / f"out{self.rounds}"
        out.mkdir()
        return out

    def look(self, out: Path) -> set[tuple[str, str]]:
        """(attack, sample) of all that is stored."""
        store = Store(out / "kills")
        if not store.folder.exists():
            return set()
        found = set[tuple[str, str]]()
        for row in store.standing().values():
            table = read(store.folder).sample_table
            found |= {(r["variant"], r["sample"]) for r in table.to_pylist() if r["cell"] == row["cell"]}
        for cell in store.sharded():
            for shard in store.shards(cell).stored():
                found |= {(r["variant"], r["sample"]) for r in shard.samples.to_pylist()}
        return found

    def killed(self, out: Path) -> None:
        """Remember what was there. Looked at before the time is taken: more may have come since, never less."""
        found = self.look(out)
        self.stored.append((time.time(), out, found))


def workers_of(driver: int) -> list[psutil.Process]:
    found = []
    try:
        for process in psutil.Process(driver).children(recursive=True):
            text = " ".join(process.cmdline())
            if "ray::_Actor" in text or ("spawn_main" in text and "resource_tracker" not in text):
                found.append(process)
    except psutil.NoSuchProcess:
        pass
    return found


def at_work(out: Path) -> set[int]:
    """Processes that have stored a shard: three deaths without one fail a cell, as they should."""
    lines = (out / "log").read_text().splitlines() if (out / "log").exists() else []
    count = Counter(int(line.split()[1]) for line in lines)
    return {pid for pid, samples in count.items() if samples > 4}


def kill_workers(ground: Ground, times: int, chance: random.Random) -> int:
    """So many of them die, of one run after another."""
    killed = 0
    while killed < times:
        out = ground.out()
        driver = ground.begin(out, OPTIONS[ground.executor])
        while driver.poll() is None:
            time.sleep(chance.uniform(0.5, 2.5))
            workers = [worker for worker in workers_of(driver.pid) if worker.pid in at_work(out)]
            if workers and killed < times:
                try:
                    chance.choice(workers).kill()
                except psutil.NoSuchProcess:
                    continue
                killed += 1
                ground.killed(out)
        assert driver.returncode == 0, driver.returncode
        print(f"  {killed} workers killed so far, the run is done", flush=True)
    return killed


def kill_drivers(ground: Ground, times: int, chance: random.Random) -> int:
    """So many of them die; the same command goes on."""
    killed, out = 0, ground.out()
    while killed < times:
        before = len(ground.look(out))
        driver = ground.begin(out, OPTIONS[ground.executor])
        while driver.poll() is None and len(ground.look(out)) == before:
            time.sleep(0.05)
        time.sleep(chance.uniform(0.0, 1.0))
        others = workers_of(driver.pid)
        if driver.poll() is None:
            driver.send_signal(signal.SIGKILL)
            killed += 1
        driver.wait()
        _, alive = psutil.wait_procs(others, timeout=30)
        assert not alive, f"outlive their driver: {alive}"
        ground.killed(out)
        if len(ground.look(out)) == 2 * ground.samples and killed < times:
            finish(ground, out)
            out = ground.out()
    finish(ground, out)
    print(f"  {killed} drivers killed", flush=True)
    return killed


def finish(ground: Ground, out: Path) -> None:
    assert ground.begin(out, OPTIONS[ground.executor]).wait() == 0


def rows(results: Results) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results.sample_table.to_pylist()]


def begun(ground: Ground, out: Path) -> Iterator[tuple[float, str, str]]:
    """(when, attack, sample) of all that workers have begun."""
    assets = Assets(load(ground.suite(), root=ground.folder / "root"), torch.device("cpu"))
    samples = assets.samples("mnist")
    digests = [hashlib.sha256(x.numpy().tobytes()).hexdigest()[:16] for x in images(samples)]
    names = dict(zip(digests, samples.ids, strict=True))
    for line in (out / "log").read_text().splitlines():
        when, _, epsilon, digest = line.split()
        yield float(when), f"by {epsilon}", names[digest]


def judge(ground: Ground) -> tuple[int, int, int]:
    """How many samples were asked for, begun, and begun although they were stored. Results must be those of one run."""
    whole = ground.out()
    assert ground.begin(whole, {}).wait() == 0
    expected = rows(read(whole / "kills"))
    asked = every = twice = 0
    for number in range(1, ground.rounds):
        out = ground.folder / f"out{number}"
        assert rows(read(out / "kills")) == expected, out
        assert not (out / "kills" / "shards").exists()
        log = list(begun(ground, out))
        asked, every = asked + 2 * ground.samples, every + len(log)
        assert {(attack, name) for _, attack, name in log} == {(r["variant"], r["sample"]) for r in expected}
        for when, where, stored in ground.stored:
            if where == out:
                twice += sum(begin > when and (attack, name) in stored for begin, attack, name in log)
    return asked, every, twice


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--executor", choices=list(OPTIONS), default="pool")
    parser.add_argument("--workers", type=int, default=30, help="how many are killed")
    parser.add_argument("--drivers", type=int, default=10)
    parser.add_argument("--samples", type=int, default=80)
    parser.add_argument("--pause", type=float, default=0.4, help="seconds of every shard of 4 samples")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder) / "ground", given.samples, given.pause, given.executor)
        workers = kill_workers(ground, given.workers, chance) if given.workers else 0
        drivers = kill_drivers(ground, given.drivers, chance) if given.drivers else 0
        asked, every, twice = judge(ground)
    suites = f"{ground.rounds - 1} suites, with the results of one that nobody has disturbed"
    print(f"{given.executor}: {workers} workers and {drivers} drivers killed in {suites}")
    print(f"{asked} samples asked for, {every} begun, {twice} of those that were stored")
    assert twice == 0


if __name__ == "__main__":
    main()
