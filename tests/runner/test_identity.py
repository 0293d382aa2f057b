"""A cell's id is what changes its outcome, and nothing else; what is stored under it is what the suite now means."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_lite.models.memory import Memory
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.run import Options, Silent, run_suite
from robustbench_lite.suite.builder import load
from tests.helpers import CPU

NET = """
from pathlib import Path
import torch
from torch import nn
from helper import scale, Base

class Net(Base):
    def forward(self, x):
        return self.net(scale(x, 1.0))

class Same(Base):
    def forward(self, x):
        return self.net(x)

def make(width=1):
    return Net()

def same():
    return Same()
"""
HELPER = """
from pathlib import Path
import torch
from torch import nn
from robustbench_lite.models.zoo import Zoo

SETTING = Path(__file__).with_name("setting.txt")

def scale(x, by):
    return (x - 0.5) * by * float(SETTING.read_text()) + 0.5

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = Zoo(zoo="lenet_mnist").load(Path()).module.net
"""
FGSM = {"fgsm": {"epsilon": 0.1}}


def written(folder, net=NET, helper=HELPER, setting="1.0", name="net.py"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(net)
    (folder / "helper.py").write_text(helper)
    (folder / "setting.txt").write_text(setting)
    return folder


def mine(factory="make", file="net.py", **more):
    return {"python": f"{file}:{factory}", "size": [1, 28, 28], "classes": 10, "trust": True, **more}


def suite(folder, models=None, data=None, attacks=(FGSM,), **more):
    data = data or {"mnist": {"samples": 20, "stratified": True}}
    plain = {"version": 1, "name": "t", "data": data, "models": models or [mine()], "attacks": list(attacks), **more}
    return load(plain, root=folder)


def ids(folder, *arguments, batch_size=None, **more) -> list[str]:
    cells = plan(suite(folder, *arguments, **more), Assets(suite(folder, *arguments, **more), CPU, batch_size))
    assert not any(cell.error for cell in cells), [cell.error for cell in cells]
    return [cell.id for cell in cells]


class Watching(Silent):
    def planned(self, cells, cached):
        self.due = len(cells) - len(cached)


def ran(loaded, folder, **options):
    """(how many cells had to run, the results)."""
    told = Watching()
    results = run_suite(loaded, Options(results=folder / "r", **options), told)
    assert set(results.cells()["status"]) == {"ok"}, list(results.cells()["error"])
    return told.due, results


def robust(results) -> float:
    frame = results.samples()
    return float((frame["clean_correct"] & (frame["adv_pred"] == frame["label"])).mean())


def digits(folder, labels=lambda label: label, ext="png", **options):
    """40 of the bundled digits as files; `labels` renames their folders."""
    source = suite(folder, ["lenet_mnist"], {"mnist": {"samples": 40, "stratified": True}}).data[0].source
    samples = source.load(folder)
    for i, (image, label) in enumerate(zip(samples.images[:, 0], samples.labels.tolist(), strict=True)):
        path = folder / "images" / str(labels(label)) / f"{i:03}.{ext}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def test_the_code_of_a_classifier_is_in_the_id_and_names_are_not(tmp_path):
    one = written(tmp_path / "one")
    (base,) = ids(one)
    assert ids(one, batch_size=3) == [base]
    assert ids(one, [mine(name="another")]) == [base]
    assert ids(written(tmp_path / "two", name="renamed.py"), [mine(file="renamed.py")]) == [base]
    others = [
        ids(written(tmp_path / "code", NET.replace("scale(x, 1.0)", "scale(x, 3.0)"))),
        ids(written(tmp_path / "neighbour", helper=HELPER + "\nother = 1\n")),
        ids(one, [mine("same")]),
        ids(one, [mine(args={"width": 2})]),
        ids(one, [mine(mean=[0.1], std=[0.9])]),
        ids(one, ["lenet_mnist"]),
    ]
    assert len({base, *(other for (other,) in others)}) == 1 + len(others)


def test_an_edit_of_the_same_length_within_the_same_second_is_seen(tmp_path):
    """Python's byte-code cache would not see it, nor would `sys.modules` in one process."""
    x = np.full((1, 1, 28, 28), 0.3, np.float32)
    answers = []
    for by in ("1.0", "3.0", "1.0"):
        folder = written(tmp_path / "net", NET.replace("scale(x, 1.0)", f"scale(x, {by})"))
        assets = Assets(suite(folder), CPU)
        answers.append((plan(suite(folder), assets)[0].id, assets.classifier("make").module(torch.from_numpy(x))))
    assert answers[0][0] == answers[2][0] != answers[1][0]
    torch.testing.assert_close(answers[0][1], answers[2][1])
    assert not torch.allclose(answers[0][1], answers[1][1], atol=0.1)


def test_a_changed_forward_runs_again(tmp_path):
    """Digits' reference, 40 samples: PGD (0.1, 5 steps) leaves 77.5 % robust."""
    attacks, data = ({"pgd": {"epsilon": 0.1, "steps": 5}},), {"mnist": {"samples": 40, "stratified": True}}
    loaded = suite(written(tmp_path), None, data, attacks)
    due, results = ran(loaded, tmp_path)
    assert (due, robust(results)) == (1, pytest.approx(0.775))
    assert ran(loaded, tmp_path)[0] == 0
    written(tmp_path, NET.replace("scale(x, 1.0)", "scale(x, 3.0)"))
    due, results = ran(loaded, tmp_path)
    assert due == 1
    assert robust(results) < 0.7
    assert robust(ran(loaded, tmp_path, fresh=True)[1]) == robust(results)


def test_a_setting_that_no_code_shows_runs_again_too(tmp_path):
    """The id is the same, the logits on the run's first images are not."""
    loaded = suite(written(tmp_path))
    assert ran(loaded, tmp_path)[0] == 1
    assert ran(loaded, tmp_path, batch_size=3)[0] == 0
    (tmp_path / "setting.txt").write_text("3.0")
    assert ids(tmp_path) == [cell.id for cell in plan(loaded, Assets(loaded, CPU))]
    due, results = ran(loaded, tmp_path)
    assert due == 1
    assert len(results.cells()) == 1
    assert ran(loaded, tmp_path)[0] == 0


def test_a_module_in_memory_whose_forward_changes_runs_again(tmp_path):
    from dataclasses import replace

    from robustbench_lite.models import zoo

    inner = zoo.Zoo(zoo="lenet_mnist").load(tmp_path).module.net

    class Net(torch.nn.Module):
        by = 1.0

        def __init__(self):
            super().__init__()
            self.net = inner

        def forward(self, x):
            return self.net(x * self.by)

    facts = {"name": "n", "size": (1, 28, 28), "classes": 10}
    loaded = replace(suite(tmp_path, ["lenet_mnist"]), models=(Memory.of(Net(), **facts),))
    assert [ran(loaded, tmp_path)[0], ran(loaded, tmp_path)[0]] == [1, 0]
    Net.by = 0.5
    assert ran(loaded, tmp_path)[0] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"resize": 40},
        {"resize": 40, "interpolation": "nearest"},
        {"pad": 0, "size": 24},
        {"trim": True},
        {"channels": 3},
    ],
)
def test_pixels_as_decoded_are_in_the_id(change, tmp_path):
    digits(tmp_path)
    model = ["lenet_mnist"]
    base = ids(tmp_path, model, {"plain": {"folder": "images", "size": 28}})
    assert ids(tmp_path, model, {"other": {"folder": "images", "size": 28, **change}}) != base
    shutil.copytree(tmp_path / "images", tmp_path / "elsewhere")
    assert ids(tmp_path, model, {"other": {"folder": "elsewhere", "size": 28, "resize": 28}}) == base


def test_labels_are_in_the_id(tmp_path):
    digits(tmp_path / "a")
    digits(tmp_path / "b", labels=lambda label: {3: 8, 8: 3}.get(label, label))
    data = {"d": {"folder": "images"}}
    assert ids(tmp_path / "a", ["lenet_mnist"], data) != ids(tmp_path / "b", ["lenet_mnist"], data)


def test_the_order_of_keys_and_models_is_not_in_the_id(tmp_path):
    models = ["lenet_mnist", "fc500_150_10_mnist"]
    attacks = [{"fgsm": {"epsilon": 0.1, "sources": "all"}}]
    assert ids(tmp_path, models, attacks=attacks) == ids(tmp_path, models[::-1], attacks=attacks)


def test_two_names_for_one_thing_both_get_their_cells(tmp_path):
    again = {"zoo": "lenet_mnist", "name": "again"}
    alone = ids(tmp_path, ["lenet_mnist"])
    both = ids(tmp_path, ["lenet_mnist", again])
    assert len(set(both)) == 2
    assert both[::-1] == ids(tmp_path, [again, "lenet_mnist"])  # the order does not matter
    assert not set(both) & set(alone)
    due, results = ran(suite(tmp_path, ["lenet_mnist", again]), tmp_path)
    assert due == 2
    assert sorted(results.cells()["source"]) == ["again", "lenet_mnist"]
    groups = results.samples().groupby("model")
    assert {name: len(frame) for name, frame in groups} == {"again": 20, "lenet_mnist": 20}
    assert len({tuple(frame["adv_pred"]) for _, frame in groups}) == 1


def test_two_datasets_of_one_content_both_get_their_cells(tmp_path):
    digits(tmp_path)
    shutil.copytree(tmp_path / "images", tmp_path / "copy")
    data = {"one": {"folder": "images"}, "two": {"folder": "copy"}}
    due, results = ran(suite(tmp_path, ["lenet_mnist"], data), tmp_path)
    assert due == 2
    assert sorted(results.samples().groupby("dataset").size().items()) == [("one", 40), ("two", 40)]


def test_a_renamed_classifier_is_not_attacked_again_and_its_rows_have_the_new_name(tmp_path):
    attacks = [FGSM, {"fgsm": {"epsilon": 0.05, "sources": "all"}}]
    models = ["lenet_mnist", "fc500_150_10_mnist"]
    due, before = ran(suite(tmp_path, models, attacks=attacks), tmp_path)
    assert due == 3
    renamed = [{"zoo": "lenet_mnist", "name": "candidate"}, "fc500_150_10_mnist"]
    due, after = ran(suite(tmp_path, renamed, attacks=attacks), tmp_path)
    assert due == 0
    assert sorted(after.cells()["source"]) == [
        "candidate", "candidate+fc500_150_10_mnist", "fc500_150_10_mnist"
    ]  # fmt: skip
    columns = ["cell", "sample", "model", "adv_pred", "margin"]
    old, new = (results.samples()[columns] for results in (before, after))
    old["model"] = old["model"].replace({"lenet_mnist": "candidate"})
    key = ["cell", "model", "sample"]
    assert old.sort_values(key, ignore_index=True).equals(new.sort_values(key, ignore_index=True))
    assert not len(after.problems)
    assert len(after.images()) == len(before.images())


def test_swapped_names_go_with_the_weights(tmp_path):
    models = ["lenet_mnist", "fc500_150_10_mnist"]
    _, before = ran(suite(tmp_path, models), tmp_path)
    swapped = [{"zoo": "lenet_mnist", "name": "b"}, {"zoo": "fc500_150_10_mnist", "name": "lenet_mnist"}]
    due, after = ran(suite(tmp_path, swapped), tmp_path)
    assert due == 0
    rate = lambda results: results.samples().groupby("model")["success"].mean().to_dict()
    one, other = rate(before), rate(after)
    assert other == {"b": one["lenet_mnist"], "lenet_mnist": one["fc500_150_10_mnist"]}


def test_a_label_that_a_longer_suite_gives_is_in_the_stored_rows(tmp_path):
    ran(suite(tmp_path, ["lenet_mnist"]), tmp_path)
    due, results = ran(suite(tmp_path, ["lenet_mnist"], attacks=[FGSM, {"fgsm": {"epsilon": 0.05}}]), tmp_path)
    assert due == 1
    assert set(results.samples()["variant"]) == {"fgsm(epsilon=0.1)", "fgsm(epsilon=0.05)"}
    assert set(results.cells()["variant"]) == {"fgsm(epsilon=0.1)", "fgsm(epsilon=0.05)"}


def test_neighbours_of_a_file_in_another_folder_are_not_mixed_up(tmp_path):
    """Two files `net.py`, each with its own `helper.py`, in one suite."""
    for name, number in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"NUMBER = {number}\n")
        (tmp_path / name / "net.py").write_text(
            "from helper import NUMBER\nimport torch\nfrom torch import nn\ndef make():\n"
            "    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
            "    nn.init.constant_(net[1].bias, NUMBER)\n    nn.init.zeros_(net[1].weight)\n    return net\n"
        )
    assets = Assets(suite(tmp_path, [mine(file=f"{name}/net.py", name=name) for name in "ab"]), CPU)
    x = torch.zeros(1, 1, 28, 28)
    assert [float(assets.classifier(name).module(x)[0, 0]) for name in "ab"] == [1, 2]


def test_a_file_called_as_a_module_of_pythons_harms_nobody(tmp_path):
    import json

    written(tmp_path, name="json.py")
    assets = Assets(suite(tmp_path, [mine(file="json.py")]), CPU)
    assert assets.classifier("make").card.classes == 10
    import json as again

    assert again is json


PACKAGE = {
    "__init__.py": "",
    "nets.py": "from torch import nn\nfrom shop.parts import bias\ndef make():\n"
    "    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n    nn.init.zeros_(net[1].weight)\n"
    "    nn.init.constant_(net[1].bias, bias())\n    return net\n",
    "parts.py": "def bias():\n    return 1.0\n",
}


@pytest.mark.parametrize("place", ["", "src", "site-packages"])
def test_a_package_is_read_with_its_parts_wherever_it_lies(place, tmp_path, monkeypatch):
    """Under the suite's folder, on the path as in an editable installation, and installed."""
    folder = tmp_path / "elsewhere" / place if place else tmp_path
    (folder / "shop").mkdir(parents=True)
    for name, text in PACKAGE.items():
        (folder / "shop" / name).write_text(text)
    if place:
        monkeypatch.syspath_prepend(str(folder))
    named = {**mine(), "python": "shop.nets:make"}

    def look() -> tuple[str, float]:
        assets = Assets(suite(tmp_path, [named]), CPU)
        (cell,) = plan(suite(tmp_path, [named]), assets)
        return cell.id, float(assets.classifier("make").module(torch.zeros(1, 1, 28, 28))[0, 0])

    before = look()
    assert look() == before
    (folder / "shop" / "parts.py").write_text(PACKAGE["parts.py"].replace("1.0", "2.0"))
    after = look()
    assert before[0] != after[0]
    assert (before[1], after[1]) == (1.0, 1.0 if place == "site-packages" else 2.0)  # Python keeps what is installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]
