"""What `validate` sees beyond grammar: units, files that are not there; and suites of one name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import SuiteError, UsageError, problems_of
from robustbench_lite.models import archs
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.namesake import refuse_namesake
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load

HEAD = "version: 1\nname: t\ndata: mnist\nmodels: [lenet_mnist]\n"
CPU = torch.device("cpu")


def problems(path: Path, **options) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(path, **options)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in caught.value.problems]


def test_an_epsilon_in_levels_is_refused_at_its_place(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "attacks:\n- pgd: {epsilon: 8, steps: 5}\n- fgsm: {epsilon: 8/255}\n- pgd: {step_size: 2}\n")
    assert problems(path) == [
        "s.yaml:6:18: epsilon: 8 is larger than the whole range [0, 1] of a pixel; did you mean 8/255?",
        "s.yaml:8:20: step_size: 2 is larger than the whole range [0, 1] of a pixel; did you mean 2/255?",
    ]


@pytest.mark.parametrize("name", [name for name in attacks if "epsilon" in attacks[name].model_fields])
def test_every_attack_with_a_budget_refuses_one_beyond_the_range(name):
    whole = attacks.build(name, {"epsilon": 1})
    assert whole.budget == 1
    with pytest.raises(SuiteError, match=r"epsilon: 1\.01 is larger than the whole range"):
        attacks.build(name, {"epsilon": 1.01})
    with pytest.raises(SuiteError, match=r"larger than the whole range \[0, 1\] of a pixel$"):
        attacks.build(name, {"epsilon": 1000})  # no level of 8 bits


@pytest.mark.parametrize(("norm", "most"), [("l2", 28.0), ("l1", 784.0)])
def test_a_budget_beyond_black_to_white_is_refused_in_the_plan(norm, most):
    """The images of 28 x 28 pixels that are farthest apart are black and white: 28 in l2, 784 in l1."""
    sizes = [most, most * 1.01]
    entries = [{"fgsm": {"norm": norm, "epsilon": size}} for size in sizes]
    suite = load({"version": 1, "name": "t", "data": "mnist", "models": ["lenet_mnist"], "attacks": entries})
    fits, too_far = plan(suite, Assets(suite, CPU, limit=2))
    assert fits.error == ""
    assert f"in {norm} is larger than {most:g}, the distance of black from white images of 1x28x28" in too_far.error


def test_validate_names_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUSTBENCH_LITE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    path = Path("s.yaml")
    path.write_text(
        "version: 1\nname: t\ndata:\n  a: {folder: there}\n  b: {parquet: gone.parquet}\n  c: {idx: gone}\n"
        "  mnist: {fit_from: {folder: gone}}\n  d: {parquet: gone/test-*.parquet}\n"
        "models:\n  - {file: gone.pt, arch: lenet, mean: [0], std: [1], size: [1, 28, 28], classes: 10}\n"
        "  - {python: 'gone.py:make', size: [1, 28, 28], classes: 10, trust: true}\n"
        "attacks:\n  - rp2: {mask: two_stripe, target: 3}\n"
    )
    assert load(path).name == "t"  # what is only needed at the run
    said = problems(path, files=True)
    assert [line.split(" '")[0] for line in said] == [
        "s.yaml:5:16: parquet: no file or folder",
        "s.yaml:6:12: idx: no file or folder",
        "s.yaml:7:21: folder: no file or folder",
        "s.yaml:8:16: parquet: no file or folder",
        "s.yaml:10:12: gone: no file",
        "s.yaml:11:14: no file",
        "s.yaml:13:17: mask: no file",
    ]
    assert said[-1].endswith("did you mean 'two_stripes'?")


def test_a_second_suite_of_the_same_name_does_not_take_the_folder(tmp_path):
    """Edited, overridden, moved, copied as it is: the same suite. Another file of that name: refused."""

    def written(file: str, **changes) -> Path:
        suite = {"version": 1, "name": "t", "data": {"mnist": {"samples": 2}}, "models": ["lenet_mnist"]}
        (tmp_path / file).write_text(json.dumps({**suite, "attacks": ["fgsm"], **changes}))
        return tmp_path / file

    def ran(path: Path, *overrides: str) -> None:
        run_suite(load(path, overrides), options)

    options = Options(results=tmp_path / "results")
    first, folder = written("a.yaml"), tmp_path / "results" / "t"
    ran(first)
    ran(written("a.yaml", seed=1), "title=edited")  # edited, and with --set
    other = written("b.yaml", attacks=["deepfool"])
    before = (folder / "run.json").read_bytes()
    for fresh in (False, True):
        with pytest.raises(UsageError, match=rf"another suite that is called 't', {first}; give one of them another"):
            run_suite(load(other), Options(results=tmp_path / "results", fresh=fresh))
    with pytest.raises(UsageError, match="another suite"):
        refuse_namesake(load(json.loads(other.read_text())), folder)  # given as a mapping
    assert (folder / "run.json").read_bytes() == before
    ran(written("a.yaml"))
    refuse_namesake(load(json.loads(first.read_text())), folder)  # the same as a mapping
    (tmp_path / "copy.yaml").write_bytes(first.read_bytes())
    refuse_namesake(load(tmp_path / "copy.yaml"), folder)
    written("a.yaml", name="renamed")
    refuse_namesake(load(other), folder)  # the first one goes by another name now
    first.unlink()
    refuse_namesake(load(other), folder)  # or was moved
    (folder / "run.json").write_text("{")
    refuse_namesake(load(other), folder)


def test_a_complaint_about_a_field_is_placed_at_the_field():
    with pytest.raises(ValueError, match="larger") as caught:
        attacks["pgd"].model_validate({"epsilon": 8})
    ((path, message),) = problems_of(caught.value, attacks["pgd"])
    assert path == ("epsilon",)
    assert message.startswith("epsilon: 8 is larger")


LENET = {"arch": "lenet", "mean": [0], "std": [1], "size": [1, 28, 28], "classes": 10}


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({}, "", ""),
        ({"classes": 7}, "arch", "wrong shape head.2.bias (10,) for (7,)"),
        ({"arch": "small_cnn"}, "arch", "; they are those of 'lenet'"),
        ({"arch": "resnet18"}, "arch", "; did you mean 'torchvision:resnet18' or 'timm:resnet18'?"),
        (
            {"arch": "torchvision:resnet81"},
            "arch",
            "no classifier 'resnet81'; did you mean 'resnet18'?",
        ),
        ({"file": "cut.pth"}, "file", "'cut.pth' is damaged or cut off"),
        ({"file": "module.pth"}, "file", "'module.pth' holds more than weights, a whole pickled module"),
        ({"sha256": "00"}, "file", "expected 00"),
    ],
)
def test_validate_sees_whether_weights_fit_their_architecture(tmp_path, change, place, message):
    net = archs.build("lenet", 1, 10)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    torch.save(net, tmp_path / "module.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:1000])
    path = tmp_path / "s.yaml"
    entry = json.dumps({"file": "w.pth", **LENET, **change})
    path.write_text(f"version: 1\nname: s\ndata: mnist\nmodels: [{entry}]\nattacks: [fgsm]\n")
    found = problems(path, files=True) if message else []
    assert not message or (len(found) == 1 and message in str(found[0])), found
    if place:
        at = path.read_text().splitlines()[3].index(start := f'"{place}": ') + len(start) + 1
        assert f"s.yaml:4:{at}: " in str(found[0])
    else:
        load(path, files=True)
