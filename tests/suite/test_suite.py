"""Suite files: what is built from them, and what is said about mistakes. The members here are small fakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import PositiveInt

from robustbench_lite.datasets.base import DataSource
from robustbench_lite.engine.attack import Attack
from robustbench_lite.errors import SuiteError, did_you_mean, suggestion
from robustbench_lite.models.base import ModelSource
from robustbench_lite.registry import Number, Records
from robustbench_lite.suite import _entries, _values
from robustbench_lite.suite import attacks as suite_attacks
from robustbench_lite.suite.builder import load

HEAD = "version: 1\nname: t\ndata: mnist\nmodels: [lenet]\n"


def install(monkeypatch):
    """Fresh registries with a few members in the place of the real ones."""
    attacks, data, models = Records("attack", ""), Records("data source", ""), Records("model source", "")
    for registry in (attacks, data, models):
        registry._loaded = True

    @attacks.register("pgd")
    class PGD(Attack):
        norm: Literal["linf", "l2"] = "linf"
        epsilon: Number = 8 / 255
        steps: PositiveInt = 40

    @attacks.register("fgsm")
    class FGSM(Attack):
        epsilon: Number = 8 / 255

    @data.register("bundled")
    class Bundled(DataSource):
        bundled: str

        def load(self, root):
            raise NotImplementedError

    @data.register("folder")
    class Folder(Bundled):
        bundled: str = ""
        folder: str

    @models.register("zoo")
    class Zoo(ModelSource):
        zoo: str

        @property
        def title(self):
            return self.name or self.zoo

        def load(self, root):
            raise NotImplementedError

    @models.register("python")
    class Python(Zoo):
        zoo: str = ""
        python: str

        @property
        def title(self):
            return self.name or self.python

        @property
        def runs_code(self):
            return True

    monkeypatch.setattr(_entries, "datasets", data)
    monkeypatch.setattr(_entries, "models", models)
    monkeypatch.setattr(_values, "tables", ["rho_adv", "cost"])
    monkeypatch.setattr(suite_attacks, "attacks", attacks)
    monkeypatch.setattr(_values.references, "known", lambda: ["liu-t4"])


@pytest.fixture(autouse=True)
def _fakes(monkeypatch):
    install(monkeypatch)


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def to_file(text, name="s.yaml"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def attacks_of(write, text, *overrides):
    return load(write(f"{HEAD}attacks:\n{text}"), overrides).attacks


def problems(path, *overrides):
    with pytest.raises(SuiteError) as caught:
        load(path, overrides)
    return str(caught.value).split("\n")


def test_a_whole_suite_becomes_records(write):
    path = write(
        "version: 1\nname: t\ntitle: T\nseed: 3\nreference: liu-t4\nimages: none\ntables: [cost]\n"
        "data: {mnist: {samples: 5, keep: correct_by_all}, signs: {folder: ./imgs}}\n"
        "models: [lenet, {zoo: lenet, name: other}, {python: 'a:b', trust: true}]\n"
        "attacks: [fgsm, pgd: {epsilon: 2/255}]\n",
        "sub/s.yaml",
    )
    suite = load(path)
    assert (suite.name, suite.title, suite.seed, suite.images, suite.tables) == ("t", "T", 3, "none", ("cost",))
    assert [(entry.name, entry.source.registered) for entry in suite.data] == [
        ("mnist", "bundled"),
        ("signs", "folder"),
    ]
    assert (suite.data[0].source.samples, suite.data[1].source.folder) == (5, "./imgs")
    assert [model.title for model in suite.models] == ["lenet", "other", "a:b"]
    assert suite.attacks[1].attack.epsilon == 2 / 255
    assert suite.root == Path("sub")
    assert suite.text == path.read_text(encoding="utf-8")


def test_the_resolved_suite_loads_again_and_is_plain_json(write):
    path = write(HEAD + "attacks: [pgd: {matrix: {steps: [1, 2]}}, fgsm]\ndefaults: {pgd: {norm: l2}}\n")
    first = load(path, ["seed=7"])
    again = load(json.loads(json.dumps(first.resolved())))
    assert (again.seed, again.data, again.models, again.attacks) == (7, first.data, first.models, first.attacks)


def test_loading_leaves_the_given_mapping_alone():
    given = {"version": 1, "name": "t", "data": "mnist", "models": ["lenet"], "attacks": ["pgd"]}
    before = json.dumps(given)
    load(given, ["attacks.0.pgd.steps=3"])
    assert json.dumps(given) == before


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("mnist", ["mnist"]),
        ("[mnist, fashion: {samples: 2}]", ["mnist", "fashion"]),
        ("{mnist: , x: {samples: 2}}", ["mnist", "x"]),
        ("folder:imgs", ["folder:imgs"]),
    ],
)
def test_data_is_a_name_a_list_or_a_mapping(write, data, names):
    suite = load(write(HEAD.replace("data: mnist", f"data: {data}") + "attacks: [pgd]\n"))
    assert [entry.name for entry in suite.data] == names


def test_numbers_follow_yaml_1_2(write):
    suite = load(write(HEAD + "title: on\nattacks: [pgd: {epsilon: 1e-3, steps: 0x10}]\n"))
    assert (suite.title, suite.attacks[0].attack.epsilon, suite.attacks[0].attack.steps) == ("on", 0.001, 16)


def test_defaults_lie_under_explicit_parameters(write):
    entries = attacks_of(write, "- pgd\n- pgd: {steps: 3}\ndefaults: {pgd: {steps: 7}}\n")
    assert [entry.attack.steps for entry in entries] == [7, 3]


def test_a_matrix_is_the_product_without_exclusions(write):
    entries = attacks_of(
        write,
        "- pgd: {norm: l2, matrix: {epsilon: [2/255, 4/255], steps: [10, 40]}, "
        "exclude: [{epsilon: 2/255, steps: 40}]}\n",
    )
    assert [entry.variant for entry in entries] == [
        "pgd(epsilon=2/255, steps=10)",
        "pgd(epsilon=4/255, steps=10)",
        "pgd(epsilon=4/255, steps=40)",
    ]
    assert {entry.attack.norm for entry in entries} == {"l2"}


def test_variants_say_only_what_tells_namesakes_apart(write):
    entries = attacks_of(
        write, "- pgd\n- pgd: {epsilon: 0.12345678}\n- pgd: {epsilon: 0.12345679}\n- {fgsm: {epsilon: 0.1}, as: weak}\n"
    )
    assert [entry.variant for entry in entries] == [
        "pgd(epsilon=8/255)",
        "pgd(epsilon=0.12345678)",
        "pgd(epsilon=0.12345679)",
        "weak",
    ]


def test_all_problems_come_at_once_in_the_order_of_the_file(write):
    text = (
        "version: 2\nname: ../x\ndata: {mnist: {sampels: 3}}\nmodels: [lenet, lenet]\nattaks: []\n"
        "attacks:\n  - pgdd\n  - pgd: {stepz: 3, norm: l9}\n  - pgd\n  - pgd: {steps: 40}\n"
        "tables: [rho, cost, cost]\nseed: -1\nimages: some\nreference: liu-t5\n"
    )
    assert problems(write(text)) == [
        "s.yaml:1:10: expected version 1, got 2",
        "s.yaml:2:7: name: expected lower-case letters, digits, - and _ (it names a folder), got '../x'",
        "s.yaml:3:16: unknown key 'sampels'; did you mean 'samples'?",
        "s.yaml:4:17: two classifiers are called 'lenet'; give one of them another name",
        "s.yaml:5:1: unknown key 'attaks'; did you mean 'attacks'?",
        "s.yaml:7:5: unknown attack 'pgdd'; did you mean 'pgd'?",
        "s.yaml:8:11: unknown key 'stepz'; did you mean 'steps'?",
        "s.yaml:8:27: norm: expected 'linf' or 'l2', got 'l9'",
        "s.yaml:10:10: the same attack with the same parameters is at s.yaml:9:5",
        "s.yaml:11:10: unknown table 'rho'; did you mean 'rho_adv'?",
        "s.yaml:11:21: two tables are called 'cost'; give one of them another name",
        "s.yaml:12:7: seed: expected a number from 0 to 2^63 - 1, got -1",
        "s.yaml:13:9: images: expected one of all, none, got 'some'",
        "s.yaml:14:12: unknown reference 'liu-t5'; did you mean 'liu-t4'?",
    ]


def test_what_is_missing_is_named_at_the_top(write):
    lines = problems(write("title: x\n"))
    assert lines == [f"s.yaml:1:1: '{key}' is missing" for key in ("version", "name", "data", "models", "attacks")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("version: true", "s.yaml:1:10: expected version 1, got True"),
        ("data: {}", "s.yaml:3:7: data: expected at least one dataset, got an empty mapping"),
        ("data: {mnist: 3}", "s.yaml:3:15: expected the name of a dataset or a mapping with its options, got 3"),
        ("data: {x: {folder: a, bundled: b}}", "s.yaml:3:11: expected one source of data, got folder, bundled"),
        ("data: foldr:a", "s.yaml:3:7: unknown data source 'foldr'; did you mean 'folder'?"),
        ("models: ['pyton:a:b']", "s.yaml:4:10: unknown model source 'pyton'; did you mean 'python'?"),
        ("models: []", "s.yaml:4:9: models: the list is empty"),
        ("models: [3]", "s.yaml:4:10: expected a classifier's name or a mapping, got 3"),
        ("models: [{name: x}]", "s.yaml:4:10: expected exactly one of python, zoo in a classifier, got ['name']"),
        ("title: [a]", "s.yaml:5:8: title: expected text, got ['a']"),
        ("defaults: {pgdd: {}}", "s.yaml:5:12: unknown attack 'pgdd'; did you mean 'pgd'?"),
        ("defaults: {fgsm: {eps: 1}}", "s.yaml:5:19: unknown key 'eps'; did you mean 'epsilon'?"),
        ("tables: cost", "s.yaml:5:9: tables: expected a list, got 'cost'"),
        (
            "defaults: {pgd: {target: nxt}}",
            "s.yaml:5:26: target: expected 'random', 'least_likely' or 'next', or a valid integer, got 'nxt'; "
            "did you mean 'next'?",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence_at_its_place(write, line, said):
    key = line.split(":")[0]
    kept = [old for old in HEAD.splitlines() if not old.startswith(f"{key}:")]
    order = ["version", "name", "data", "models"]
    kept.insert(order.index(key) if key in order else 4, line)
    assert problems(write("\n".join(kept) + "\nattacks: [pgd]\n")) == [said]


def test_code_runs_only_for_those_who_trust_it(write):
    (line,) = problems(write(HEAD.replace("lenet", "'python:a:b'") + "attacks: [pgd]\n"))
    assert line.startswith("s.yaml:4:10: 'python:' runs code")
    assert "`trust: true`" in line


def test_a_bad_value_in_defaults_or_a_matrix_is_reported_there_once(write):
    path = write(HEAD + "attacks:\n- pgd\n- pgd: {norm: l2}\ndefaults: {pgd: {steps: x}}\n")
    assert [line.split(": ")[0] for line in problems(path)] == ["s.yaml:8:25"]
    path = write(HEAD + "attacks:\n- pgd: {matrix: {steps: [1, x]}}\n")
    assert [line.split(": ")[0] for line in problems(path)] == ["s.yaml:6:25"]


def test_labels_are_unique(write):
    (line,) = problems(write(HEAD + "attacks:\n- {pgd: {}, as: fgsm}\n- fgsm\n"))
    assert line == "s.yaml:7:3: two attacks are called 'fgsm'; give one of them another name"


def test_too_many_attacks_are_refused_quickly(write):
    steps = ", ".join(str(i) for i in range(1, 100))
    sizes = ", ".join(f"{i}/255" for i in range(1, 100))
    big = f"- pgd: {{matrix: {{steps: [{steps}], epsilon: [{sizes}]}}}}\n"
    different = [big, big.replace("- pgd: {", "- pgd: {norm: l2, ")]
    (line,) = problems(write(HEAD + "attacks:\n" + "".join(different)))
    assert line == "s.yaml:7:8: attacks: more than 10000, matrices expanded"
    huge = "- pgd: {matrix: {" + ", ".join(f"{key}: [{steps}]" for key in ("steps", "epsilon", "norm")) + "}}\n"
    assert len(problems(write(HEAD + "attacks:\n" + huge))) == 1


def test_overrides_change_values_and_name_themselves_when_wrong(write):
    path = write(HEAD.replace("data: mnist", "data: {mnist: }") + "attacks: [pgd]\n")
    suite = load(path, ["attacks.0.pgd.steps=7", "data.mnist.samples=50", "seed=3"])
    assert (suite.attacks[0].attack.steps, suite.data[0].source.samples, suite.seed) == (7, 50, 3)
    assert problems(path, "sed=3") == ["--set sed: unknown key 'sed'; did you mean 'seed'?"]
    assert problems(path, "attcks.0=x") == ["--set attcks.0: the suite has no 'attcks'; did you mean 'attacks'?"]
    assert problems(path, "attacks.0.pgd.stepz=1") == [
        "--set attacks.0.pgd.stepz: unknown key 'stepz'; did you mean 'steps'?"
    ]
    assert problems(path, "include=x.yaml") == ["--set include: include: only a file can include others"]


def test_an_including_file_wins_and_marks_name_the_file(write):
    write(HEAD + "attacks: [pgd: {stepz: 1}]\nseed: 1\ntables: [rho_adv]\n", "base.yaml")
    path = write("include: base.yaml\nseed: 2\ntables: [cost]\n")
    assert problems(path) == ["base.yaml:5:17: unknown key 'stepz'; did you mean 'steps'?"]
    write(HEAD + "attacks: [pgd]\nseed: 1\ntables: [rho_adv]\n", "base.yaml")
    assert (load(path).seed, load(path).tables) == (2, ("cost",))


def test_problems_of_the_suite_itself_come_before_those_of_included_files(write):
    write(HEAD + "attacks: [pgdd]\n", "a.yaml")
    path = write("include: a.yaml\nbogus: 1\n")
    assert [line.split(":")[0] for line in problems(path)] == ["s.yaml", "a.yaml"]


def test_a_suite_given_as_data_is_placed_by_its_path():
    given = {"version": 1, "name": "t", "data": "mnist", "models": ("lenet",), "attacks": [{"pgd": {"stepz": 3}}]}
    assert problems(given) == ["attacks.0.pgd.stepz: unknown key 'stepz'; did you mean 'steps'?"]
    assert problems({**given, "include": "x"})[0] == "include: include: only a file can include others"
    assert problems({"version": object()})[0].startswith("version: expected text, a number, a list or a mapping")


def test_validation_does_not_import_torch():
    code = (
        "import sys; from robustbench_lite.errors import SuiteError; from robustbench_lite.suite.builder import load\n"
        "try: load({'version': 1, 'name': 't', 'data': 'mnist', 'models': ['x'], 'attacks': ['pgd']})\n"
        "except SuiteError: pass\n"
        "print([name for name in ('torch', 'torchvision', 'timm', 'kornia', 'scipy') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("eps", ("epsilon", "steps"), "epsilon"),
        ("EPS", ("epsilon", "steps"), "epsilon"),
        ("eps_iter", ("epsilon", "step_size", "steps"), "step_size"),
        ("alpha", ("epsilon", "step_size"), "step_size"),
        ("nb_iter", ("steps", "restarts"), "steps"),
        ("max_iter", ("steps", "fit"), "steps"),
        ("iterations", ("steps",), "steps"),
        ("bound", ("epsilon",), "epsilon"),
        ("num_random_init", ("restarts", "random_start"), "restarts"),
        ("PGD", ("fgsm", "pgd"), "pgd"),
        ("DeepFool", ("deepfool",), "deepfool"),
        ("L2", ("l1", "l2", "linf"), "l2"),
        ("2", ("l1", "l2", "linf"), "l2"),
        ("inf", ("l1", "l2", "linf"), "linf"),
        ("L_inf", ("l1", "l2", "linf"), "linf"),
        ("CIFAR-10", ("cifar10", "cifar100"), "cifar10"),
        ("FMNIST", ("fashion_mnist", "mnist"), "fashion_mnist"),
        ("pdg", ("fgsm", "pgd"), "pgd"),
        ("rho", ("cost", "rho_adv"), "rho_adv"),
        ("cw", ("deepfool", "fgsm", "pgd"), None),
        ("autoattack", ("deepfool", "fgsm", "pgd"), None),
        ("loss", ("slack", "goal", "steps"), None),
        ("stop", ("norm", "steps"), None),
        ("alpha", ("epsilon", "clip"), None),
        ("", ("epsilon",), None),
        ("!", ("epsilon",), None),
    ],
)
def test_a_suggestion_is_what_was_meant_or_there_is_none(word, known, meant):
    expected = f"; did you mean '{meant}'?" if meant else f"; known: {', '.join(sorted(known))}"
    assert did_you_mean(word, known) == expected
    assert suggestion(word, known) == (expected if meant else "")
