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
        (lambda n, p: p.write_bytes(b"PK\x03\x04junk" * 99), "cannot be read|holds more than weights or is damaged"),
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
