"""AdvGAN: its losses by hand, its ball to the last bit, what is known of a classifier that only looks at brightness."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_lite.attacks import AdvGAN
from robustbench_lite.attacks.advgan import adversarial, fooling, hinge, telling, within
from robustbench_lite.engine.drive import run as drive
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import UsageError
from robustbench_lite.results.sealed import seal
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.helpers import CPU, images, mlp

SUITE = {
    "version": 1,
    "name": "advgan",
    "data": {"mnist": {"samples": 20}},
    "models": ["lenet_mnist", "fc500_150_10_mnist"],
    "attacks": [
        {"advgan": {"fit": 40, "steps": 3, "batch": 20, "sources": "single"}},
        {"pgd": {"epsilon": 0.3, "steps": 2, "sources": "single"}},
        {"noise": {"epsilon": 0.3}},
    ],
}


def brightness(threshold: float):
    """Two classes: brighter on average than the threshold, or not. Its nearest image in linf is known."""

    class Bright(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gap = 20 * (x.flatten(1).mean(1) - threshold)
            return torch.stack([-gap / 2, gap / 2], 1)

    return Bright().eval()


def work(net, n=12, fit=24, classes=2, shape=(1, 8, 8)):
    """Images of medium brightness, so that no pixel meets the box, and others to fit on."""
    x = 0.4 + 0.2 * images(n + fit, shape)
    label = net(x).argmax(1)

    def one(part: slice) -> Job:
        names = [str(i) for i in range(n + fit)][part]
        return Job(x[part], Goal(label[part], classes), Draw(keys(0, "advgan", names)))

    job, some = one(slice(n)), one(slice(n, None))
    job.setting = Fitting(some.x, some.goal, some.draw)
    return job


def test_the_adversarial_loss_is_that_of_carlini_and_wagner():
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 4.0, 0.0], [0.0, 1.0, 9.0]])
    loss, slope = adversarial(Goal(torch.zeros(3, dtype=torch.int64), 3), logits, kappa=5.0)
    assert loss.tolist() == [1, -3, -5]  # the last one is 9 ahead, and pulls no more
    assert slope.tolist() == [[1, -1, 0], [1, -1, 0], [0, 0, 0]]
    loss, slope = adversarial(Goal(torch.tensor([1, 1, 1]), 3, targeted=True), logits, kappa=0.0)
    assert loss.tolist() == [1, 0, 8]
    assert slope.tolist() == [[1, -1, 0], [0, 0, 0], [0, -1, 1]]


def test_the_other_losses():
    assert float(telling(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.0]))) == pytest.approx((0.5 + 0.125) / 2)
    assert float(fooling(torch.tensor([0.0, 1.0, 3.0]))) == pytest.approx(5 / 3)
    assert float(hinge(torch.tensor([[3.0, 4.0], [0.6, 0.8]]), 2.0)) == pytest.approx(1.5)  # (5 - 2) and nothing


def test_what_is_within_is_so_to_the_last_bit():
    x, far = images(200, (3, 5, 5), seed=3), images(200, (3, 5, 5), seed=4) * 3 - 1
    for epsilon in (0.3, 8 / 255, 0.1):
        adv = within(x, far, epsilon)
        away = (adv.double() - x.double()).abs()
        assert float(away.max()) <= epsilon and float(adv.min()) >= 0 and float(adv.max()) <= 1
        stopped = (far - x).abs() > epsilon
        assert float((away - epsilon).abs()[stopped & (adv > 0) & (adv < 1)].max()) < 1e-7  # no bit less than it may
        assert float(((x + epsilon).double() - x.double()).max()) > epsilon  # which plain float32 is not


@pytest.mark.parametrize(("share", "success"), [(1.1, True), (0.9, False)])
def test_where_brightness_is_all_it_learns_to_brighten_others(share, success):
    """All images are dark; the classifier errs from a linf size on that is known, and on no smaller one."""
    dark = brightness(0.7)
    job = work(dark)
    exact = 0.7 - job.x.flatten(1).mean(1)
    assert not bool(job.goal.label.any()) and float(exact.min()) > 0.15
    epsilon = share * float(exact.max() if success else exact.min())
    record = AdvGAN(epsilon=epsilon, fit=24, batch=12, steps=40, beta=0)
    outcome = drive(record, Oracle(dark, CPU, 16), job)
    assert bool((dark(outcome.candidates).argmax(1) == int(success)).all())
    assert float((outcome.candidates.double() - job.x.double()).abs().max()) <= epsilon
    aimed = AdvGAN(epsilon=epsilon, fit=24, batch=12, steps=40, beta=0, target=1)
    again = drive(aimed, Oracle(dark, CPU, 16), job)
    assert bool((dark(again.candidates).argmax(1) == int(success)).all())


def test_the_l2_ball_and_the_weight_of_its_hinge():
    net = mlp(2, (1, 8, 8))
    job = work(net)
    sizes = []
    for beta in (0.0, 1e4):
        record = AdvGAN(norm="l2", epsilon=2.0, fit=24, batch=24, steps=20, beta=beta, c=0.5, alpha=0)
        outcome = drive(record, Oracle(net, CPU, 16), job)
        sizes.append(float(size(outcome.candidates - job.x, "l2").max()))
    assert sizes[0] <= 2.0 + 1e-5 and sizes[0] > 1.9 and sizes[1] < 1.0  # a large weight leaves little beyond c


def test_neither_batches_nor_threads_nor_the_other_samples_change_a_bit():
    net = mlp(2, (1, 8, 8))
    job = work(net, n=70)
    record = AdvGAN(epsilon=0.1, fit=24, batch=10, steps=4)
    first = drive(record, Oracle(net, CPU, 16), job)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        other = drive(record, Oracle(net, CPU, 1), job)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(first.artifacts["generator"], other.artifacts["generator"])
    assert torch.equal(first.candidates, other.candidates)
    part = record.perturbed(job.x[3:68], first.artifacts)
    assert torch.equal(part, first.candidates[3:68])


def test_every_pass_is_spent_on_fitting_and_counted():
    net, seen = mlp(2, (1, 8, 8)), [0]
    job = work(net)
    handle = net.register_forward_hook(lambda _net, inputs, _out: seen.__setitem__(0, seen[0] + len(inputs[0])))
    outcome = drive(AdvGAN(epsilon=0.1, fit=24, batch=10, steps=4), Oracle(net, CPU, 16), job)
    handle.remove()
    assert int(outcome.forwards.sum()) == int(outcome.backwards.sum()) == seen[0] == 40


def test_a_call_needs_images_to_fit_on():
    with pytest.raises(UsageError, match="expected 9 in fit=, or fewer with the parameter `fit`, got none"):
        AdvGAN(fit=9)(mlp(2, (1, 8, 8)), images(2, (1, 8, 8)), torch.zeros(2, dtype=torch.int64))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("advgan"), device="cpu", timing=False)


def test_the_table_sets_it_beside_pgd_and_noise_on_the_classifier_that_is_tested(results):
    samples = results.samples()
    rows = tables.make("advgan", results).rows
    assert [(row["source"].text, row["model"].text) for row in rows] == [
        (source, model) for source in SUITE["models"] for model in SUITE["models"]
    ]
    for row in rows:
        for column, attack in (("success", "advgan"), ("pgd", "pgd"), ("noise", "noise")):
            some = samples[(samples["attack"] == attack) & (samples["model"] == row["model"].text)]
            some = some[(some["source"] == row["source"].text) | (attack == "noise")]
            right = some[some["clean_correct"]]
            assert len(some) == 20 and row[column].value == pytest.approx(100 * right["success"].mean())
        assert row["fit_n"].value == 40
        assert row["passes"].value == pytest.approx(2 * 3 * 20 / 20)


def test_shards_make_the_same_rows(results, tmp_path):
    again = run(SUITE, tmp_path, device="cpu", timing=False, shard_size=7, batch_size=3)
    drop = {"seconds"}
    first, other = (
        [{k: v for k, v in row.items() if k not in drop} for row in found.sample_table.to_pylist()]
        for found in (results, again)
    )
    assert [row["sample"] for row in first] == [row["sample"] for row in other]
    own = [(a, b) for a, b in zip(first, other, strict=True) if a["attack"] == "advgan"]
    assert own and all(a["linf"] == b["linf"] and a["l2"] == b["l2"] and a["success"] == b["success"] for a, b in own)
    assert again.artifacts().to_pylist() == results.artifacts().to_pylist()


def test_verify_sees_when_images_are_not_what_the_generator_makes(results, tmp_path):
    assert not verify(results.folder, "cpu").disagreements
    folder = shutil.copytree(results.folder, tmp_path / "copy")
    cell = results.cells().query("attack == 'advgan'")["cell"].iloc[0]
    path = folder / "artifacts" / f"{cell}.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    (row,) = (row for row in rows if row["name"] == "generator")
    row["values"] = (np.frombuffer(row["values"], "<f4") * np.float32(1.5)).tobytes()
    seal(pa.Table.from_pylist(rows, table.schema), path)
    wrong = verify(folder, "cpu").disagreements
    assert len([one for one in wrong if one.column == "perturbation"]) == 20 and {one.cell for one in wrong} == {cell}
