"""Attacks of a user's own: a file beside the suite, another package's entry point, and broken ones of both."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint

import pytest

from robustbench_lite import registry
from robustbench_lite.cli.catalogue import listing, problems
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.errors import SuiteError
from robustbench_lite.registry import Records
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from tests.helpers import CPU, ROOT, cli

TEN_LINES = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL).group(1)
PLAIN = {"version": 1, "name": "t", "data": {"mnist": {"samples": 8}}, "models": ["lenet_mnist"]}


@pytest.fixture(autouse=True)
def _as_before():
    list(attacks)
    members = dict(attacks._members)
    yield
    attacks._members.clear()
    attacks._members.update(members)
    attacks.problems.clear()


def own(**more) -> dict:
    return {"python": "my_attack.py:Speckle", "trust": True, **more}


def suite(folder, *entries, code=TEN_LINES):
    (folder / "my_attack.py").write_text(code)
    return load({**PLAIN, "attacks": list(entries)}, root=folder)


def problem(folder, *entries, code=TEN_LINES) -> str:
    with pytest.raises(SuiteError) as caught:
        suite(folder, *entries, code=code)
    return str(caught.value)


def test_the_ten_lines_of_contributing_run_and_verify(tmp_path):
    loaded = suite(tmp_path, own(epsilon="1/10"), {"fgsm": {"epsilon": 0.1}})
    results = run_suite(loaded, Options(results=tmp_path))
    cells = results.cells().set_index("attack")
    assert list(cells["status"]) == ["ok", "ok"], list(cells["error"])
    assert cells.loc["speckle", "eps"] == pytest.approx(0.1)
    frame = results.samples()
    speckle = frame[frame["attack"] == "speckle"]
    assert speckle["linf"].between(0.05, 0.1 + 1e-6).all()  # of 784 uniform draws one comes close
    assert speckle["success"].mean() <= frame[frame["attack"] == "fgsm"]["success"].mean()
    attacks._members.pop("speckle")  # another process reads them
    report = verify(tmp_path / "t", trust=True)
    assert (report.rows, list(report.disagreements)) == (16, [])


SET = '''from __future__ import annotations
from typing import ClassVar
from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import CONTROL, PERTURBATION, Crafted, Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.setting import Setting

CARD = Card(title="Mine", paper="none", arxiv="0000.00000", protocol="One step.")

class Inverted(SetAttack):
    """All images upside down in colour."""
    card: ClassVar[Card] = CARD

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"), reach=0)

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        return Crafted(1 - job.x, ("inverted",))

class Mean(Inverted):
    """Away from the mean image of others."""
    needs: ClassVar[type[Setting]] = Fitting

    @property
    def images_to_fit(self) -> int:
        return 5

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        some = Fitting.of(job.setting, self.registered)
        oracle.logits(some.x)
        r = 0.1 * (0.5 - some.x.mean(0, keepdim=True)).sign()
        return Crafted(self.apply(job.x, r), (), {PERTURBATION: r, CONTROL: -r})
'''


def test_attacks_on_whole_sets_and_on_what_they_need_run_and_verify(tmp_path):
    entries = [own(python=f"my_attack.py:{name}") for name in ("Inverted", "Mean")]
    results = run_suite(suite(tmp_path, *entries, code=SET), Options(results=tmp_path))
    cells, frame = results.cells().set_index("attack"), results.samples()
    assert list(cells["status"]) == ["ok", "ok"], list(cells["error"])
    assert list(cells.loc["inverted", "notes"])[:1] == ["inverted"]
    assert (cells.loc["mean", "fit_n"], cells.loc["mean", "forwards"]) == (5, 5)
    assert frame.groupby("attack")["control_pred"].count().to_dict() == {"inverted": 0, "mean": 8}
    assert frame.loc[frame["attack"] == "mean", "linf"].to_list() == pytest.approx([0.1] * 8)
    assert not list(verify(tmp_path / "t", trust=True).disagreements)


def test_names_parameters_and_matrices_are_as_for_any_attack(tmp_path):
    loaded = suite(tmp_path, own(), own(matrix={"epsilon": ["8/255", 0.1, 0.2]}, exclude=[{"epsilon": "8/255"}]))
    assert [entry.variant for entry in loaded.attacks] == [
        "speckle(epsilon=8/255)",
        "speckle(epsilon=0.1)",
        "speckle(epsilon=0.2)",
    ]
    loaded = suite(tmp_path, own(**{"as": "mine"}))
    assert [entry.variant for entry in loaded.attacks] == ["mine"]


def test_without_the_decorator_it_is_called_as_its_class(tmp_path):
    loaded = suite(tmp_path, own(), code=TEN_LINES.replace('@attacks.register("speckle")\n', ""))
    assert loaded.attacks[0].attack.registered == "speckle"


def test_its_code_is_in_the_cell_id_neighbours_included(tmp_path):
    code = TEN_LINES + "\nfrom near import FACTOR\n"

    def id_of(code, near):
        (tmp_path / "near.py").write_text(near)
        loaded = suite(tmp_path, own(), code=code)
        return plan(loaded, Assets(loaded, CPU))[0].id

    base = id_of(code, "FACTOR = 1\n")
    assert id_of(code, "FACTOR = 1\n") == base
    assert (
        len({base, id_of(code, "FACTOR = 2\n"), id_of(code.replace("clamp(0, 1)", "clamp(0, 2)"), "FACTOR = 1\n")}) == 3
    )


@pytest.mark.parametrize(
    ("entry", "code", "sentence"),
    [
        ({"trust": False}, TEN_LINES, "say `trust: true`"),
        ({"epsilom": 1}, TEN_LINES, "unknown key 'epsilom'; did you mean 'epsilon'?"),
        ({"epsilon": -1}, TEN_LINES, "epsilon: "),
        ({"python": "absent.py:Speckle"}, TEN_LINES, "no file 'absent.py'"),
        ({"python": "my_attack.py:Nose"}, TEN_LINES, "'my_attack.py' has no 'Nose'"),
        ({"python": "my_attack.py"}, TEN_LINES, "expected path/to/file.py:Class"),
        ({"python": "my_attack.py:Goal"}, TEN_LINES, "expected a class derived from StepAttack"),
        ({}, "def broken(:\n", "SyntaxError: invalid syntax (my_attack.py line 1)"),
        ({}, "import no_such_module\n", "No module named 'no_such_module' (my_attack.py line 1, in <module>)"),
        ({}, "raise SystemExit(3)\n", "SystemExit: 3 (my_attack.py line 1, in <module>)"),
        ({}, TEN_LINES.replace("def step(", "def stop("), "the class does not define step"),
        ({}, TEN_LINES.replace('register("speckle")', 'register("pgd")'), "two attacks are called 'pgd'"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(entry, code, sentence, tmp_path):
    assert sentence in problem(tmp_path, own(**entry), code=code)


def test_two_of_one_name_are_told(tmp_path):
    (tmp_path / "other.py").write_text(TEN_LINES)
    text = problem(tmp_path, own(), own(python="other.py:Speckle", epsilon=0.2))
    assert "two attacks are called 'speckle'" in text


def point(value: str, folder, monkeypatch, code=TEN_LINES, name="speckle") -> None:
    """An installed package `pkg_own` with an entry point, and a registry that has not looked yet."""
    (folder / "pkg_own.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("pkg_own", None)
    entry = EntryPoint(name, value, "robustbench_lite.attacks")
    monkeypatch.setattr(registry, "_entry_points", lambda group: [entry] if group == entry.group else [])
    monkeypatch.setattr(attacks, "_loaded", False)


def test_an_entry_point_is_a_name_like_any_other(tmp_path, monkeypatch):
    point("pkg_own:Speckle", tmp_path, monkeypatch)
    loaded = load({**PLAIN, "attacks": [{"speckle": {"epsilon": 0.1}}]})
    assert loaded.attacks[0].attack.fingerprint() != ""
    assert "speckle" in dict(listing("attacks"))
    before = loaded.attacks[0].attack.fingerprint()
    assert "source" not in loaded.attacks[0].attack.params()
    from robustbench_lite.engine._code import source_of

    source_of.cache_clear()
    (tmp_path / "pkg_own.py").write_text(TEN_LINES + "\n# changed\n")
    assert load({**PLAIN, "attacks": [{"speckle": {"epsilon": 0.1}}]}).attacks[0].attack.fingerprint() != before


@pytest.mark.parametrize(
    ("value", "code", "sentence"),
    [
        ("pkg_own:Speckle", "1 / 0\n", "entry point speckle (pkg_own:Speckle) cannot be loaded: ZeroDivisionError"),
        ("pkg_own:Nose", TEN_LINES, "entry point speckle (pkg_own:Nose) cannot be loaded: AttributeError"),
        ("pkg_own:Goal", TEN_LINES, "expected a class of attacks"),
        ("pkg_gone:Speckle", TEN_LINES, "No module named 'pkg_gone'"),
    ],
)
def test_a_broken_entry_point_is_said_and_the_others_go_on(value, code, sentence, tmp_path, monkeypatch):
    point(value, tmp_path, monkeypatch, code)
    assert "pgd" in dict(listing("attacks"))
    assert [text for text in problems() if sentence in text]
    with pytest.raises(SuiteError, match="unknown attack 'nose'") as caught:
        load({**PLAIN, "attacks": ["nose"]})
    assert sentence in str(caught.value)


def test_a_broken_file_among_others_is_said_and_the_others_go_on(tmp_path, monkeypatch):
    package = tmp_path / "some_attacks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text(
        "from tests.attacks.test_own_attacks import KNOWN\nfrom robustbench_lite.attacks.fgsm import FGSM\n"
        "@KNOWN.register('good')\nclass Good(FGSM):\n    '''Another name.'''\n"
    )
    (package / "worse.py").write_text("from nowhere import nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list(KNOWN) == ["good"]
    assert "some_attacks.worse cannot be loaded: ModuleNotFoundError" in KNOWN.problems[0]
    assert "(worse.py line 1, in <module>)" in KNOWN.problems[0]
    assert KNOWN.problems[0] in KNOWN.unknown("worse")


KNOWN: Records[Attack] = Records("attack", "some_attacks")


def test_nothing_of_ours_is_broken():
    for kind in ("attacks", "models", "datasets", "figures", "operations"):
        listing(kind)
    assert not problems()


def test_plan_says_that_it_runs_code_and_validate_does_not_load_torch(tmp_path):
    suite(tmp_path, own())
    path = tmp_path / "s.yaml"
    path.write_text(
        "version: 1\nname: t\ndata: {mnist: {samples: 8}}\nmodels: [lenet_mnist]\n"
        "attacks: [{python: my_attack.py:Speckle, trust: true, epsilon: 0.1}]\n"
    )
    assert "runs code of yours: speckle" in cli("plan", str(path), "--results", str(tmp_path)).stdout
    code = (
        f"import sys\nfrom robustbench_lite.suite.builder import load\n"
        f"load(__import__('pathlib').Path({str(path)!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
