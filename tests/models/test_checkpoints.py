"""Weights as training scripts save them, and what is no weights at all."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from robustbench_lite.errors import ModelError
from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import load_state, read_weights
from robustbench_lite.models.base import models

LENET = {"arch": "lenet", "mean": [0], "std": [1], "size": [1, 28, 28], "classes": 10}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return archs.build("lenet", 1, 10)


def other(net: nn.Module) -> dict:
    return {key: value + 1 for key, value in net.state_dict().items()}


def under(prefix: str, state: dict) -> dict:
    return {f"{prefix}{key}": value for key, value in state.items()}


FORMS = {
    "plain": lambda s, n: s,
    "net": lambda s, n: {"net": s, "acc": 95.0, "epoch": 3},
    "state_dict": lambda s, n: {"state_dict": s, "epoch": torch.tensor(3)},
    "ema": lambda s, n: {"state_dict_ema": s, "epoch": 1},
    "model": lambda s, n: {"model": s, "optimizer": torch.optim.SGD(n.parameters(), 0.1, 0.9).state_dict()},
    "twice_the_same": lambda s, n: {"model": s, "model_ema": dict(s)},
    "nested": lambda s, n: {"ema": {"decay": 0.9, "shadow": s}},
    "parallel": lambda s, n: under("module.", s),
    "compiled": lambda s, n: under("_orig_mod.", s),
    "compiled_in_parallel": lambda s, n: {"state_dict": under("module._orig_mod.", s)},
    "lightning": lambda s, n: {"state_dict": under("model.", s), "hyper_parameters": {"lr": 0.1}},
    "swa": lambda s, n: torch.optim.swa_utils.AveragedModel(n).state_dict(),
    "ema_of_parallel": lambda s, n: {"ema": torch.optim.swa_utils.AveragedModel(nn.DataParallel(n)).state_dict()},
    "half": lambda s, n: {key: value.half().float() for key, value in s.items()},
}


@pytest.mark.parametrize("name", FORMS)
def test_weights_are_found_as_scripts_wrap_them(name, net, tmp_path):
    state = net.state_dict()
    torch.save(FORMS[name](state, net), tmp_path / "w.pt")
    module = models.build("file", {"file": "w.pt", **LENET}).load(tmp_path).module
    x = torch.rand(2, 1, 28, 28)
    tolerance = 1e-2 if name == "half" else 1e-5
    torch.testing.assert_close(module(x), net(x), rtol=tolerance, atol=tolerance)


def test_where_there_are_several_that_differ_the_suite_must_say_which(net, tmp_path):
    state, averaged = net.state_dict(), other(net)
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "w.pt")
    with pytest.raises(
        ModelError, match="several sets of weights, and they differ; name one with `key`; it has 'state_d"
    ):
        read_weights(tmp_path / "w.pt", "w")
    for key, expected in (("state_dict", state), ("state_dict_ema", averaged)):
        found = read_weights(tmp_path / "w.pt", "w", key)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(ModelError, match="no weights under the key 'ema'"):
        read_weights(tmp_path / "w.pt", "w", "ema")


def test_a_key_names_a_part_of_a_flat_state_dict_too(net, tmp_path):
    torch.save({**under("student.", net.state_dict()), **under("teacher.", other(net))}, tmp_path / "w.pt")
    fresh = copy.deepcopy(net)
    load_state(fresh, read_weights(tmp_path / "w.pt", "w", "teacher"), "w")
    assert all(torch.equal(fresh.state_dict()[key], value) for key, value in other(net).items())
    with pytest.raises(ModelError, match="do not fit the architecture: missing"):
        load_state(fresh, read_weights(tmp_path / "w.pt", "w"), "w")


def whole(net, path):
    torch.save(net, path)


def scripted(net, path):
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 1, 28, 28)), path)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda n, p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
         "is a Git LFS pointer, not the weights; run `git lfs pull`"),
        (lambda n, p: p.write_text("<!DOCTYPE html><html>not found</html>"), "is a web page, not the weights"),
        (lambda n, p: p.write_bytes(b""), "is empty"),
        (whole, r"a whole pickled module or other objects \(.*archs.lenet.LeNet.* torch.save\(model.st"),
        (scripted, "is a TorchScript archive, which is code, .*torch.save"),
        (lambda n, p: torch.save([1, 2], p), "expected a state dict of tensors"),
        (lambda n, p: torch.save({"a": 1}, p), "expected a state dict of tensors"),
        (lambda n, p: p.write_bytes(b"PK\x03\x04junk" * 99), "damaged or cut off|more than weights or is damaged"),
    ],
    ids=["lfs", "html", "empty", "module", "torchscript", "list", "numbers", "junk"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_weights_says_what_it_is_and_what_to_do(write, sentence, net, tmp_path):
    write(net, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=sentence):
        read_weights(tmp_path / "w.pt", "w")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_pointer_is_seen_behind_every_suffix(suffix, tmp_path):
    (tmp_path / f"w.{suffix}").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="Git LFS pointer"):
        models.build("file", {"file": f"w.{suffix}", **LENET}).load(tmp_path)


def notes_of(state, folder, **more):
    torch.save(state, folder / "w.ckpt")
    return models.build("file", {"file": "w.ckpt", **LENET, **more}).load(folder)


def lightning(state: dict) -> dict:
    """The layout of a LightningModule with `self.model`, a loss with weights and a metric, as its Trainer saves it."""
    beside = {"criterion.weight": torch.ones(10), "train_acc.tp": torch.zeros(10)}
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**under("model._orig_mod.", state), **beside},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.rand(3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.1},
    }


@pytest.mark.parametrize(
    ("form", "note"),
    [
        (lambda s: s, ""),
        (lambda s: {"model_state_dict": s, "epoch": 1}, "'model_state_dict' of w.ckpt"),
        (lambda s: under("net.", s), "w.ckpt, 'net.' taken off the names"),
        (lambda s: {"ema": {"module": under("module._orig_mod.", s)}},
         "'ema.module' of w.ckpt, 'module._orig_mod.' taken off the names"),
        (lambda s: {"model": s, "loss": {"weight": torch.ones(10)}}, "'model' of w.ckpt"),
        (lambda s: {**under("1.", s), "0.mean": torch.zeros(1), "0.std": torch.ones(1)},
         "w.ckpt, '1.' taken off the names, left aside: 0.mean, 0.std"),
        (lightning, "'state_dict' of w.ckpt, 'model._orig_mod.' taken off the names, left aside: criterion.weight, "
         "train_acc.tp"),
    ],
    ids=["plain", "model_state_dict", "net", "ema", "loss", "normalised", "lightning"],
)  # fmt: skip
def test_what_was_taken_is_said_and_its_gradients_are_the_networks(form, note, net, tmp_path):
    classifier = notes_of(form(net.state_dict()), tmp_path)
    assert classifier.notes == ((f"weights: {note}",) if note else ())
    x = torch.rand(2, 1, 28, 28).requires_grad_()
    (expected,) = torch.autograd.grad(net(x).square().sum(), x)
    torch.testing.assert_close(torch.autograd.grad(classifier.module(x).square().sum(), x)[0], expected)


def test_two_networks_that_both_fit_must_be_told_apart(net, tmp_path):
    state = {**under("student.", net.state_dict()), **under("teacher.", other(net))}
    with pytest.raises(ModelError, match=r"several sets of weights.*`key`; .* are those of 'student', 'teacher'"):
        notes_of(state, tmp_path)
    with pytest.raises(ModelError, match=r"several sets of weights.*`key`; .* are those of 'model', 'model_ema'"):
        notes_of({"model": under("module.", net.state_dict()), "model_ema": other(net)}, tmp_path)
    found = notes_of(state, tmp_path, key="teacher")
    assert all(torch.equal(found.module.net.state_dict()[name], value) for name, value in other(net).items())


def test_what_does_not_fit_is_said_key_by_key_with_the_nearest_name_and_both_shapes(net, tmp_path):
    state = dict(net.state_dict())
    first, *_, weight, bias = state  # a convolution's weight, and the last layer's
    state["x" + first] = state.pop(first)[:2]
    state[weight], state[bias] = torch.rand(7, state[weight].shape[1]), torch.rand(7)
    old, inputs = tuple(net.state_dict()[first].shape), state[weight].shape[1]
    with pytest.raises(ModelError) as caught:
        notes_of({"state_dict": under("module.", state)}, tmp_path)
    text = str(caught.value)
    assert "the weights ('state_dict' of w.ckpt, 'module.' taken off the names) do not fit the architecture" in text
    assert f"missing {first} {old}" in text
    assert f"unexpected x{first} {(2, *old[1:])}, the nearest is {first} {old}" in text
    assert f"{weight} (7, {inputs}) for (10, {inputs})" in text and f"{bias} (7,) for (10,)" in text


def test_of_many_that_do_not_fit_a_few_are_shown_and_the_others_counted(net, tmp_path):
    state = {**net.state_dict(), **{f"more.{i}": torch.ones(1) for i in range(9)}}
    with pytest.raises(ModelError, match=r"unexpected more.0 \(1,\), more.1 \(1,\), more.2 \(1,\) and 6 more$"):
        notes_of(state, tmp_path)
