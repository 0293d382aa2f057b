"""User code that raises whatever there is, prints, and changes settings: a failed cell, and nothing else."""

from __future__ import annotations

import io
import random
import sys

import numpy as np
import pytest
import torch

from robustbench_lite.cli.progress import Lines
from robustbench_lite.cli.verbs import main
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from tests.test_text import is_safe

NETS = '''
import random, signal, sys
import numpy as np
import torch


class Odd(BaseException):
    pass


class Mute(RuntimeError):
    def __str__(self):
        raise SystemExit(0)


def recurse(n=0):
    return recurse(n + 1)


RAISED = {
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    "odd": lambda: (_ for _ in ()).throw(Odd("odd")),
    "generator": lambda: (_ for _ in ()).throw(GeneratorExit()),
    "mute": lambda: (_ for _ in ()).throw(Mute()),
    "recursion": recurse,
    "long": lambda: (_ for _ in ()).throw(ValueError("long\\x1b[31m\\u202e\\ud800 " * 500_000)),
    "signal": lambda: signal.raise_signal(signal.SIGINT),
    "end": lambda: (_ for _ in ()).throw(EOFError()),
    "stop": lambda: next(iter(())),
    "assertion": lambda: (_ for _ in ()).throw(AssertionError()),
    "key": lambda: {}["key"],
    "unicode": lambda: "\\ud800".encode(),
}


class Net(torch.nn.Module):
    """Raises at the n-th batch that wants a gradient, or at any; prints and changes settings on its way."""

    def __init__(self, raised=None, gradient=True, at=1):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        self.raised, self.gradient, self.at, self.seen = raised, gradient, at, 0

    def forward(self, x):
        print("a word on stdout")
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.manual_seed(7); np.random.seed(7); random.seed(7)
        sys.setrecursionlimit(1234)
        if self.raised and (x.requires_grad or not self.gradient):
            self.seen += 1
            if self.seen >= self.at:
                RAISED[self.raised]()
        return self.net(x)


def factory(raised=None, **options):
    if raised and options.pop("now", False):
        RAISED[raised]()
    return Net(raised, **options)
'''
RAISED = [
    "exit",
    "interrupt",
    "odd",
    "generator",
    "mute",
    "recursion",
    "long",
    "end",
    "stop",
    "assertion",
    "key",
    "unicode",
]
WHEN = {"factory": {"now": True}, "attack": {}, "second": {"at": 2}, "clean": {"gradient": False, "at": 3}}


def entry(name, **arguments):
    facts = {"size": [1, 28, 28], "classes": 10, "trust": True}
    return {"python": "nets.py:factory", "name": name, "args": arguments, **facts}


def suite(folder, *models, **changes):
    (folder / "nets.py").write_text(NETS)
    plain = {"version": 1, "name": "s", "data": {"mnist": {"samples": 6}}, "models": list(models)}
    return load({**plain, "attacks": [{"pgd": {"steps": 4, "goal": "prediction"}}], **changes}, root=folder)


@pytest.mark.parametrize("when", WHEN)
def test_whatever_it_raises_is_its_failed_cell_and_the_others_run(tmp_path, when):
    models = [entry("good"), *(entry(name, raised=name, **WHEN[when]) for name in RAISED), entry("better")]
    log = io.StringIO()
    results = run_suite(suite(tmp_path, *models), Options(results=tmp_path, batch_size=3), Lines(log))
    cells = {row["source"]: row for row in results.cell_table.to_pylist()}
    assert [cells[name]["status"] for name in ("good", "better")] == ["ok", "ok"]
    assert {name: cells[name]["status"] for name in RAISED} == dict.fromkeys(RAISED, "failed")
    assert max(len(row["error"] or "") for row in cells.values()) < 1000
    assert max(len(row["traceback"] or "") for row in cells.values()) < 30_000
    assert is_safe(log.getvalue())
    assert len(log.getvalue()) < 50_000


def test_settings_and_random_numbers_are_as_before_and_stdout_is_ours(tmp_path, capsys):
    def state():
        tensor = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        return torch.get_default_dtype(), torch.get_num_threads(), sys.getrecursionlimit(), tensor

    before = state()
    results = run_suite(suite(tmp_path, entry("net")), Options(results=tmp_path))
    assert results.cell_table["status"].to_pylist() == ["ok"]
    assert state() == before
    out, error = capsys.readouterr()
    assert "a word" not in out
    assert "a word" in error


def test_a_signal_is_an_interrupt(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_suite(suite(tmp_path, entry("net", raised="signal")), Options(results=tmp_path))


def test_the_exit_code_is_3(tmp_path, capsys):
    import json

    plain = suite(tmp_path, entry("exit", raised="exit"), tables=["accuracy"]).resolved()
    (tmp_path / "s.yaml").write_text(json.dumps(plain))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "s.yaml"), "--results", str(tmp_path / "r")])
    assert ended.value.code == 3
    assert "a word" not in capsys.readouterr().out
