"""ONNX graphs as exporters write them, held against the module that they were made of, and as they should not be."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from packaging.version import Version
from torch import nn

from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import ModelError
from robustbench_lite.models.base import models
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.threat.goal import Goal
from tests.attacks.test_strong import settled
from tests.helpers import attack

if Version(torch.__version__).release < (2, 9):
    pytest.skip("graphs are made with the exporter of PyTorch 2.9", allow_module_level=True)
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxruntime", reason="needs the extra onnx")
onnx2torch = pytest.importorskip("onnx2torch", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="the exporter of PyTorch needs it")

SHAPE = (3, 8, 8)


class Net(nn.Module):
    """What today's networks consist of, and operators that are newer than the converter."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.layer_norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(nn.functional.gelu(self.norm(self.conv(x))), 2)
        first, second = x.chunk(2, 1)
        x = self.layer_norm(torch.cat([first, second], 1).mean((2, 3)).reshape(x.shape[0], -1))
        return self.head(self.drop(x))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    net(torch.rand(8, *SHAPE))  # running statistics of its own
    return net.eval()


@pytest.fixture(scope="module")
def folder(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    anything = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = torch.rand(2, *SHAPE)
        export = torch.onnx.export
        export(net, (x,), folder / "any.onnx", dynamic_shapes=anything, verbose=False)
        export(net, (x[:1],), folder / "one.onnx", verbose=False)
        export(net, (x,), folder / "two.onnx", verbose=False, external_data=False)
        names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
        export(net, (x,), folder / "old.onnx", dynamo=False, opset_version=13, **names)
        export(
            nn.Sequential(net, nn.Softmax(1)).eval(),
            (x,),
            folder / "soft.onnx",
            dynamo=False,
            opset_version=13,
            **names,
        )
    return folder


def source(name, **more):
    return models.build("onnx", {"onnx": f"{name}.onnx", **more})


def written(folder, nodes, given=("N", 3, 8, 8), kind="FLOAT", initializers=(), made=("y",), opset=17):
    """A graph of nodes from `x` to `y`, (N, 5)."""
    helper, number = onnx.helper, getattr(onnx.TensorProto, kind)
    x = helper.make_tensor_value_info("x", number, given)
    y = [helper.make_tensor_value_info(name, number, ("N", "K")) for name in made]
    graph = helper.make_graph(list(nodes), "g", [x], y, list(initializers))
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "g.onnx")


def node(kind, given, made, **more):
    return onnx.helper.make_node(kind, given.split(), made.split(), **more)


def weights(name, value):
    return onnx.numpy_helper.from_array(value.numpy(), name)


@pytest.mark.parametrize("name", ["any", "one", "two", "old"])
def test_logits_and_gradients_are_those_of_the_module_behind_its_normalisation(name, net, folder):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    classifier = source(name, mean=mean, std=std).load(folder)
    assert (classifier.card.classes, classifier.card.size, classifier.name) == (5, SHAPE, name)
    fixed = {
        "one": "it is handed batches of 1, as the file fixes",
        "two": "it is handed batches of 2, as the file fixes",
    }
    assert classifier.notes == ((fixed[name],) if name in fixed else ())
    for n in (1, 5):
        x = torch.rand(n, *SHAPE).requires_grad_()
        expected = net((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
        pull = torch.randn(n, 5)
        (slope,) = torch.autograd.grad((expected * pull).sum(), x)
        logits = classifier.module(x)
        torch.testing.assert_close(logits, expected)
        torch.testing.assert_close(torch.autograd.grad((logits * pull).sum(), x)[0], slope)


def test_the_verified_nets_are_their_twins(shared):
    for verdict in ("violated", "holds"):
        for net, epsilon, x, label in settled(shared, verdict):
            linear = sum(isinstance(layer, nn.Linear) for layer in net)
            place = shared / "data" / "verified"
            twin = source(f"mnist_net_256x{linear - 1}", size=(1, 28, 28)).load(place).module
            leaf = x.clone().requires_grad_()
            both = [one(leaf) for one in (net, twin)]
            assert (both[0] - both[1]).abs().max() <= 1e-5
            slopes = [torch.autograd.grad(logits.logsumexp(1).sum(), leaf)[0] for logits in both]
            torch.testing.assert_close(*slopes)
            pgd = attacks.build("pgd", {"epsilon": epsilon, "steps": 10})
            found = [one(attack(pgd, one, x, 64, Goal(label, 10)).candidates).argmax(1) for one in (net, twin)]
            assert (found[0] == found[1]).all()


def test_what_cannot_be_converted_is_asked_forward_only(folder, tmp_path):
    """`Hardmax` has no converter; what is asked through onnxruntime says so and has no gradient."""
    table = torch.randn(192, 5)
    steps = [node("Flatten", "x", "f"), node("MatMul", "f w", "m"), node("Hardmax", "m", "h"), node("Add", "m h", "y")]
    written(tmp_path, steps, initializers=[weights("w", table)])
    classifier = source("g").load(tmp_path)
    assert classifier.notes[-1].startswith("forward only: onnxruntime answers") and "Hardmax" in classifier.notes[-1]
    x = torch.rand(7, *SHAPE).requires_grad_()
    product = x.flatten(1) @ table
    expected = product + nn.functional.one_hot(product.argmax(1), 5)
    torch.testing.assert_close(classifier.module(x), expected.detach())
    torch.testing.assert_close(copy.deepcopy(classifier.module)(x), expected.detach())
    assert not classifier.module(x).requires_grad


def digit_graph(folder, kind="Identity"):
    torch.manual_seed(0)
    steps = [node("Flatten", "x", "f"), node("MatMul", "f w", "m"), node(kind, "m", "h"), node("Add", "m h", "y")]
    written(folder, steps, given=("N", 1, 28, 28), initializers=[weights("w", torch.randn(784, 10) / 28)])


def ran(folder, *attacks, **more):
    suite = {"version": 1, "name": "t", "data": {"mnist": {"samples": 6}}, "images": "none", "attacks": list(attacks)}
    entry = {"onnx": "g.onnx", **more}
    cells = run_suite(load({**suite, "models": [entry]}, root=folder), Options(results=folder, timing=False))
    return {cell["variant"]: cell for cell in cells.cell_table.to_pylist()}


@pytest.mark.parametrize("option", [{}, {"gradients": "none"}])
def test_without_a_gradient_only_attacks_that_need_one_fail_and_say_why(option, tmp_path):
    digit_graph(tmp_path, "Identity" if option else "Hardmax")
    cells = ran(tmp_path, {"square": {"epsilon": 0.3, "n_queries": 5}}, {"pgd": {"epsilon": 0.3, "steps": 2}}, **option)
    assert cells["square"]["status"] == "ok" and "forward only" in " ".join(cells["square"]["notes"])
    assert cells["pgd"]["status"] == "failed" and "gives no gradient in the image" in cells["pgd"]["error"]


def test_a_conversion_that_is_wrong_is_not_used(tmp_path, monkeypatch):
    digit_graph(tmp_path)
    right = onnx2torch.convert
    monkeypatch.setattr(onnx2torch, "convert", lambda model: nn.Sequential(right(model), nn.Hardtanh(-0.3, 0.3)))
    classifier = source("g").load(tmp_path)
    assert "forward only" in classifier.notes[-1] and "of their spread" in classifier.notes[-1]


def test_one_that_is_wrong_on_the_images_of_a_run_alone_is_refused_there(tmp_path, monkeypatch):
    """Noise is never exactly 1, as strokes are."""
    digit_graph(tmp_path)
    right = onnx2torch.convert

    class Wrong(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.net = right(model)

        def forward(self, x):
            return self.net(x) + torch.arange(10.0) * (x.flatten(1).amax(1, keepdim=True) == 1)

    assert ran(tmp_path, "fgsm")["fgsm"]["status"] == "ok"
    monkeypatch.setattr(onnx2torch, "convert", Wrong)
    cell = ran(tmp_path, {"fgsm": {"epsilon": 0.2}})["fgsm"]
    assert cell["status"] == "failed" and "otherwise than onnxruntime on images of this run" in cell["error"]
    assert "say `gradients: none`" in cell["error"]


def test_channels_that_come_last_are_handed_over_so(tmp_path):
    table = torch.randn(192, 5)
    steps = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    written(tmp_path, steps, given=("N", 8, 8, 3), initializers=[weights("w", table)])
    classifier = source("g").load(tmp_path)
    x = torch.rand(4, *SHAPE)
    assert classifier.card.size == SHAPE and classifier.notes == ("it is handed images (N, H, W, C)",)
    torch.testing.assert_close(classifier.module(x), x.permute(0, 2, 3, 1).flatten(1) @ table)
    written(tmp_path, steps, given=("N", "h", "w", "c"), initializers=[weights("w", table)])
    with pytest.raises(ModelError, match=r"takes images \(C, H, W\) of \['any', 'any', 'any'\]; state such a `size`"):
        source("g").load(tmp_path)
    stated = source("g", size=SHAPE, layout="nhwc").load(tmp_path).module
    torch.testing.assert_close(stated(x), classifier.module(x))


def test_a_graph_in_half_precision_gets_its_images_so_and_says_it(tmp_path):
    table = torch.randn(192, 5).half()
    steps = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    written(tmp_path, steps, kind="FLOAT16", initializers=[weights("w", table)])
    classifier = source("g").load(tmp_path)
    assert classifier.notes == ("it computes in float16",)
    logits = classifier.module(torch.rand(3, *SHAPE).requires_grad_())
    assert logits.dtype == torch.float16 and logits.requires_grad


def test_the_weights_are_known_by_what_is_computed(net, folder, tmp_path):
    first = source("any").load(folder)
    with_data = onnx.load(folder / "any.onnx")
    with_data.producer_name, with_data.graph.node[0].doc_string = "somebody", "net.py line 3"
    onnx.save(with_data, tmp_path / "other.onnx")
    assert source("other").load(tmp_path).weights == first.weights
    with_data.graph.initializer[0].raw_data = bytes(len(with_data.graph.initializer[0].raw_data))
    onnx.save(with_data, tmp_path / "other.onnx")
    assert source("other").load(tmp_path).weights != first.weights
    assert source("any", gradients="none").load(folder).weights != first.weights


def test_of_a_softmax_what_goes_into_it_can_be_named(net, folder):
    with pytest.raises(ModelError, match=r"ends in Softmax, expected logits: say `output: ([^`]+)`") as refused:
        source("soft").load(folder)
    name = str(refused.value).split("`output: ")[1].split("`")[0]
    classifier = source("soft", output=name).load(folder)
    x = torch.rand(3, *SHAPE)
    torch.testing.assert_close(classifier.module(x), net(x))
    with pytest.raises(ModelError, match="makes no value 'gone'; its outputs are"):
        source("soft", output="gone").load(folder)


def test_rounded_images_and_rows_of_unknown_length_are_refused(tmp_path):
    written(tmp_path, [node("Cast", "x", "c", to=1), node("Flatten", "c", "y")], kind="UINT8")
    with pytest.raises(ModelError, match="takes images of type uint8, expected float32, float16 or float64"):
        source("g").load(tmp_path)
    written(tmp_path, [node("Identity", "x", "y")], given=("N", 192))
    with pytest.raises(ModelError, match=r"takes rows of \[192\] numbers, not images; state a `size`"):
        source("g").load(tmp_path)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname", "link.bin", "gone.bin"])
def test_weights_outside_the_folder_are_not_read(place, tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(192 * 5 * 4))
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    steps = [node("Flatten", "x", "f"), node("MatMul", "f w", "y")]
    table = weights("w", torch.zeros(192, 5))
    table.ClearField("raw_data")
    table.data_location = onnx.TensorProto.EXTERNAL
    table.external_data.add(key="location", value=place)
    written(inner, steps, initializers=[table])
    sentence = "which is missing; copy it" if place == "gone.bin" else "names weights outside its folder"
    with pytest.raises(ModelError, match=sentence):
        source("g").load(inner)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "'g.onnx' is empty"),
        (b"version https://git-lfs", "a Git LFS pointer"),
        (b"\x80\x02garbage", "is no ONNX file, or damaged"),
    ],
)
def test_what_is_no_graph_ends_in_one_sentence(content, sentence, tmp_path):
    (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        source("g").load(tmp_path)
