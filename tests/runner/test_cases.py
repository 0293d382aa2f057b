"""Public complaints, each as a user would hit it: every script ends in the right number or in one right sentence.

The digits are 40 of the bundled ones: clean 100.0, FGSM (0.1) robust 82.5, PGD (0.1, 5 steps) robust 77.5 %.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from robustbench_lite.results.store import Results, read
from tests.helpers import ROOT, cli
from tests.shell import program

pytestmark = pytest.mark.slow
FGSM, PGD = 82.5, 77.5


@dataclass(frozen=True)
class Told:
    """What the script of a case printed, and the folder where it ran."""

    text: str
    folder: Path

    @property
    def flat(self) -> str:
        return " ".join(self.text.split())

    @property
    def exits(self) -> list[int]:
        return [int(code) for code in re.findall(r"^exit (\d+)$", self.text, re.MULTILINE)]

    def results(self, name: str = "t") -> Results:
        return read(self.folder / "results" / name)

    def shares(self, name: str = "t") -> dict[tuple[str, str], tuple[float, float]]:
        """(classifier, attack) -> percent right before, and before and after."""
        rows = self.results(name).samples()
        rows["robust"] = rows.clean_correct & (rows.adv_pred == rows.label)
        found = rows.groupby(["model", "variant"])[["clean_correct", "robust"]].mean() * 100
        return {key: (float(row.clean_correct), float(row.robust)) for key, row in found.iterrows()}


@pytest.fixture
def case(shared, tmp_path, request):
    """Run the case that the test is named after, in a copy, and hand over what it printed."""
    number = request.node.name.split("_")[1]
    (source,) = (shared / "cases" / "reports").glob(f"{number}_*")
    folder = tmp_path / "reports" / source.name
    shutil.copytree(source, folder)
    shutil.copy(shared / "cases" / "make_data.py", tmp_path)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    with program() as ours:
        path = f"{ours}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
        done = subprocess.run(
            ["bash", "run.sh"], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
        )
    told = Told(done.stdout + done.stderr, folder)
    assert "internal error" not in told.text, told.text
    return told


def rows(text: str, attack: str) -> list[str]:
    """The lines of text tables that begin with the attack."""
    return [" ".join(line.split()) for line in text.splitlines() if line.split()[:1] == [attack]]


def test_01_what_decoding_changes_is_run_again(case):
    first, resized, fresh = rows(case.text, "fgsm")[-3:]
    assert resized == fresh != first
    assert len(list((case.folder / "results/t/cells").glob("*.parquet"))) == 3
    assert len(case.results().cells()) == 3


def test_03_a_changed_forward_is_run_again_and_fails_the_gate(case):
    before, changed, fresh = rows(case.text, "pgd")
    assert changed == fresh != before
    assert case.text.count("1 of 1 gates failed") == 2


def test_04_the_same_weights_twice_are_two_classifiers(case):
    shares = case.shares()
    assert shares["lenet_mnist", "fgsm"] == shares["again", "fgsm"]
    assert case.results().samples().groupby("model").size().to_dict() == {"lenet_mnist": 30, "again": 30}


def test_06_deepfool_breaks_every_image_of_two_classes(case):
    assert case.exits == [0]
    assert {model for model, _ in case.shares()} == {"plain", "zero_and_z", "minus_z_and_z"}
    assert case.results().samples().success.all()


def test_08_sixteen_bits_are_read(case):
    assert list(case.shares().values()) == [(100.0, PGD)]


def test_10_float_images_are_read(case):
    assert list(case.shares().values()) == [(100.0, FGSM)]


def test_11_photographs_are_turned_as_a_person_sees_them(case):
    ((clean, robust),) = case.shares().values()  # a JPEG of quality 95, so nearly
    assert clean == 100 and abs(robust - FGSM) <= 5


def test_12_outputs_that_are_no_logits_are_said(case):
    assert "[0, 1]" in case.flat and "logits" in case.flat
    honest, masked = (case.shares()[model, "pgd"][1] for model in ("logits", "sigmoid"))
    assert honest <= masked


def test_14_a_missing_class_shifts_no_label(case):
    ((clean, robust),) = case.shares().values()
    assert clean == 100 and abs(robust - FGSM) <= 2.5
    assert set(case.results().samples().label) == set(range(10)) - {4}


def test_17_zero_gradients_are_no_improvement(case):
    assert case.exits[0] in {1, 4}
    assert "improved" not in case.text and "gradient" in case.flat


def test_18_an_epsilon_of_eight_is_refused(case):
    assert case.exits == [2] and "8/255" in case.text
    assert not (case.folder / "results").exists()


def test_19_a_forward_that_raises_fails_its_own_cells(case):
    assert case.exits == [3, 0]
    assert case.shares()["lenet_mnist", "fgsm"][0] == 100
    error = case.results().cells().set_index("source").error["make"]
    assert "KeyError" in error and "net.py" in error and "logits" in error


def test_22_a_factory_that_exits_fails_its_own_cells(case):
    assert case.exits == [3]
    assert case.shares()["lenet_mnist", "fgsm"][0] == 100
    error = case.results().cells().set_index("source").error["make"]
    assert "ended the program with 2" in error and "net.py line 17" in error


def test_23_labels_that_are_text_are_names(case):
    assert ("labels" in case.flat and case.exits[0] in {2, 3}) or list(case.shares().values()) == [(100.0, FGSM)]


def test_24_shards_of_two_integer_types_are_one_data_set(case):
    assert list(case.shares().values()) == [(100.0, FGSM)]


def test_26_pixels_in_lists_are_images(case):
    assert list(case.shares().values()) == [(100.0, FGSM)]


def test_28_one_logit_is_two_classes(case):
    assert case.exits == [3, 2]  # the second suite has the first one's name
    assert "the classes 0 to 1" in case.flat and "another suite that is called 't'" in case.flat
    squeezed = cli("run", "squeeze.yaml", "--results", "elsewhere", cwd=case.folder)
    assert squeezed.returncode == 3 and "single image" in " ".join(squeezed.stderr.split())


def test_29_a_classifier_without_gradient_is_one_sentence(case):
    assert case.exits == [3]
    assert "gradient" in case.results().cells().error[0]


def test_31_labels_from_one_are_one_sentence(case):
    assert case.exits[0] in {2, 3}
    assert "labels that start at 1 need `labels: {from: 1}` on the dataset" in case.flat


def test_33_an_empty_folder_is_no_class(case):
    assert list(case.shares().values()) == [(100.0, FGSM)]


def test_34_hidden_files_are_no_images(case):
    assert list(case.shares().values()) == [(100.0, FGSM)]


def test_35_checkpoints_are_read_as_trainers_write_them(case):
    assert case.exits == [0]
    assert len(case.shares()) == 5 and len(set(case.shares().values())) == 1


def test_37_a_factory_may_import_its_siblings(case):
    assert case.exits == [0, 0]


def test_40_advice_can_be_taken(case):
    assert case.exits[0] == 3 and "size" in case.flat
    assert "valid (" in case.text or "size" in case.text.splitlines()[-1]


def test_41_did_you_mean_means_it(case):
    for name in ("epsilon", "pgd", "l2"):
        assert f"did you mean '{name}'" in case.text


def test_42_a_renamed_classifier_finds_its_partner(case):
    assert "another suite that is called 't'" in case.flat and case.exits == [0]  # so the first one was checked
    assert cli("baseline", "results/t", "-o", "base.parquet", cwd=case.folder).returncode == 0
    assert cli("run", "renamed.yaml", "--results", "elsewhere", cwd=case.folder).returncode == 0
    done = cli("check", "elsewhere/t", "--baseline", "base.parquet", cwd=case.folder)
    assert done.returncode == 0, done.stdout
    assert "called lenet_mnist" in " ".join(done.stdout.split()) and "candidate" in done.stdout


def test_44_other_endings_of_jpeg_are_read(case):
    assert case.results().samples().label.value_counts()[3] == 4
    ((clean, robust),) = case.shares().values()
    assert clean == 100 and abs(robust - FGSM) <= 5


def test_45_a_factory_changes_nothing_for_the_others(case):
    assert case.exits[0] in {0, 3}
    assert case.shares()["lenet_mnist", "fgsm"][0] == 100
