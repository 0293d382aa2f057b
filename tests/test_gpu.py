"""What a GPU must keep of what a CPU promises: skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run as attacked
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.runner.window import grown, measured
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.generators.test_training import PAIRS, numbers, pictures, state, tiny

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS:UserWarning"),  # the first backward pass of a process
]

GPU = torch.device("cuda")
ATTACKS = {
    "fgsm": {"epsilon": 0.03},
    "pgd": {"epsilon": 0.03, "steps": 10},
    "apgd": {"epsilon": 0.03, "steps": 10},
    "autoattack": {"epsilon": 0.03},
    "square": {"epsilon": 0.03, "n_queries": 50},
    "deepfool": {},
    "cw": {"steps": 20},
    "ddn": {"steps": 20},
    "fmn": {"steps": 20},
    "mifgsm": {"epsilon": 0.03},
    "lbfgs": {},
    "hop_skip_jump": {"n_queries": 200},
    "spatial": {},
}
SUITE = {
    "version": 1,
    "name": "gpu",
    "data": {"mnist": {"samples": 48}},
    "models": ["lenet_mnist"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}, {"pgd": {"epsilon": 0.1, "steps": 10}}, "deepfool"],
}


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(128, 5))
    return net.eval().requires_grad_(requires_grad=False)


def outcome(name, device, net):
    x = torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    goal, draw = Goal(net.cpu()(x).argmax(1), 5), Draw(keys(0, name, [str(i) for i in range(24)]))
    oracle = Oracle(net.to(device), device, 24)
    with deterministic():
        return attacked(attacks.build(name, ATTACKS[name]), oracle, Job(x, goal, draw).to(device))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gives_the_same_bits_twice_and_errs_where_it_errs_on_a_cpu(name):
    net = convolutional()
    first, second = outcome(name, GPU, net), outcome(name, GPU, net)
    assert torch.equal(first.candidates, second.candidates)
    here = outcome(name, torch.device("cpu"), net)
    fooled = [net.cpu()(one.candidates.cpu()).argmax(1) for one in (first, here)]
    label = net(torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(1))).argmax(1)
    differ = ((fooled[0] != label) != (fooled[1] != label)).sum()
    assert differ <= 2, f"{differ} of 24 verdicts differ by more than rounding explains"


def test_the_judge_gives_what_a_gpu_made_the_same_verdicts_on_a_cpu(tmp_path):
    found = run(SUITE, tmp_path, device="cuda", timing=False)
    assert (found.cells()["status"] == "ok").all()
    report = verify(found.folder, device="cpu")
    assert report.rows > 0 and not report.disagreements


def test_two_processes_on_one_gpu_store_the_rows_of_one(tmp_path):
    options = {"device": "cuda", "batch_size": 1, "timing": False}
    one, two = run(SUITE, tmp_path / "one", **options), run(SUITE, tmp_path / "two", **options, jobs=2)
    stable = ["sample", "variant", "success", "adv_pred", "linf", "l2", "forwards", "backwards"]
    rows = [found.samples().sort_values(["variant", "sample"])[stable].to_dict("records") for found in (one, two)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("kind", PAIRS)
def test_a_killed_training_goes_on_bit_for_bit(kind, tmp_path):
    from robustbench_lite.generators import Training
    from robustbench_lite.generators._data import data_of

    def training(name):
        todo = tiny(kind)
        return Training(todo, data_of(todo, tmp_path) if todo.points else pictures(), tmp_path / name, GPU)

    def kill(text):
        if "step 5/" in text:
            raise KeyboardInterrupt

    with deterministic():
        whole = training("whole.pt")
        whole.run(lambda _: None)
        with pytest.raises(KeyboardInterrupt):
            training("killed.pt").run(kill)
        resumed = training("killed.pt")
        resumed.run(lambda _: None)
    assert numbers(resumed.rows) == numbers(whole.rows)
    ours, theirs = state(resumed), state(whole)
    assert all(torch.equal(v, theirs[k]) if isinstance(v, torch.Tensor) else v == theirs[k] for k, v in ours.items())


def test_the_window_grows_beyond_a_few_images():
    assert grown(measured(convolutional().to(GPU), GPU, (3, 16, 16))) >= 256
