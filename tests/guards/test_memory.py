"""Lack of memory makes batches smaller everywhere and no number other; where one image is too much, cells fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from robustbench_lite.engine.attack import attacks
from robustbench_lite.guards.memory import chunked, is_out_of_memory
from robustbench_lite.models.memory import Memory
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from tests.helpers import images, mlp

SAID = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried ..."),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB, max allowed: 9.07 GB)."),
    RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("could not create a memory object"),
    RuntimeError("std::bad_alloc"),
]
OTHERS = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (7x784 and 100x10)"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"),
    ValueError("out of memory"),
    RuntimeError(),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", SAID, ids=lambda error: str(error)[:40])
def test_every_way_to_say_that_memory_is_out(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_what_is_something_else(error):
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(("n", "size", "room", "calls"), [(10, 8, 3, [8, 4, 2, 2, 2, 2, 2]), (3, 99, 1, [3, 1, 1, 1])])
def test_parts_are_halved_until_they_fit_and_every_row_is_done_once(n, size, room, calls):
    tried, done = [], []

    def work(part):
        rows = list(range(n))[part]
        tried.append(len(rows))
        if len(rows) > room:
            raise MemoryError
        done.extend(rows)
        return rows

    again = []
    parts, left = chunked(work, n, size, lambda: again.append(1))
    assert [row for part in parts for row in part] == done == list(range(n))
    assert tried == calls
    assert left <= room
    assert len(again) == sum(rows > room for rows in tried)


def test_at_one_row_it_is_raised():
    with pytest.raises(MemoryError):
        chunked(lambda _: (_ for _ in ()).throw(MemoryError()), 5, 4)


class Starved(nn.Module):
    """Has no room for more than a few images at once; with gradients, for fewer."""

    def __init__(self, most: int, with_gradient: int, error: BaseException) -> None:
        super().__init__()
        self.net, self.most, self.with_gradient, self.error = mlp(10, (1, 28, 28)), most, with_gradient, error

    def forward(self, x):
        if len(x) > (self.with_gradient if x.requires_grad else self.most):
            raise self.error
        return self.net(x)


ATTACKS = [
    {"fgsm": {"epsilon": 0.1, "goal": "prediction"}},
    {"pgd": {"epsilon": 0.1, "steps": 3, "goal": "prediction"}},
    {"pgd": {"epsilon": 0.1, "steps": 2, "goal": "prediction", "under": ["rotation"], "evaluation_draws": 20}},
    {"deepfool": {"steps": 5}},
    {"spatial": {"angles": 3, "shifts": 3}},
    {"universal": {"fit": 12, "epsilon": 0.2, "passes": 1}},
    {"universal_sgd": {"fit": 12, "epsilon": 0.2, "epochs": 1}},
]


def results_of(net, folder, entries=ATTACKS):
    plain = {"version": 1, "name": "s", "data": {"mnist": {"samples": 12}}, "models": ["lenet_mnist"]}
    suite = load({**plain, "attacks": entries})
    facts = {"name": "net", "size": (1, 28, 28), "classes": 10}
    return run_suite(replace(suite, models=(Memory.of(net, **facts),)), Options(results=folder, batch_size=12))


@pytest.mark.parametrize("error", [SAID[0], SAID[5], SAID[9]], ids=["cuda", "cublas", "mps"])
def test_a_classifier_with_room_for_few_images_gives_the_same_verdicts(tmp_path, error):
    plenty = results_of(mlp(10, (1, 28, 28)), tmp_path / "plenty")
    scarce = results_of(Starved(3, 2, error), tmp_path / "scarce")
    assert set(plenty.cells()["status"]) == {"ok"}
    assert scarce.cell_table["error"].to_pylist() == [None] * len(ATTACKS)
    same = ["variant", "sample", "clean_pred", "adv_pred", "success", "success_8bit", "status", "draws", "draws_label"]
    assert plenty.samples()[same].equals(scarce.samples()[same])
    assert (abs(plenty.samples()["l2"] - scarce.samples()["l2"]) < 1e-4).all()


@pytest.mark.parametrize("entry", ATTACKS, ids=lambda entry: next(iter(entry)))
def test_without_memory_for_one_gradient_no_cell_shows_a_number(tmp_path, entry):
    cell = results_of(Starved(12, 0, SAID[0]), tmp_path, [entry]).cells().iloc[0]
    assert cell["status"] == "failed"
    assert "out of memory" in cell["error"]


@pytest.mark.parametrize("name", ["universal", "universal_sgd"])
def test_fitting_without_memory_at_batch_size_one_is_raised(name):
    from robustbench_lite.engine.drive import run
    from robustbench_lite.engine.job import Fitting, Job
    from robustbench_lite.engine.oracle import Oracle
    from robustbench_lite.threat.draws import Draw, keys
    from robustbench_lite.threat.goal import Goal
    from tests.helpers import CPU

    x = images(8, (1, 28, 28))
    part = lambda rows: Job(x[rows], Goal(mlp(10, (1, 28, 28))(x[rows]).argmax(1), 10), Draw(keys(0, "u", ["a"] * 4)))
    some = part(slice(4, 8))
    job = replace(part(slice(0, 4)), setting=Fitting(some.x, some.goal, some.draw))
    with pytest.raises(Exception, match="out of memory"):
        run(attacks.build(name, {"fit": 4}), Oracle(Starved(8, 0, SAID[0]), CPU, 4), job)
