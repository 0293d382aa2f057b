"""Entries of RobustBench: built by its package, filled from files as its zoo has them."""

from __future__ import annotations

import hashlib
import io
import sys
import urllib.request

import pytest
import torch

from robustbench_lite.errors import ModelError
from robustbench_lite.models._download import download
from robustbench_lite.models.base import models

NAME = "Gowal2021Improving_R18_ddpm_100m"  # the smallest


def source(name=NAME, **more):
    return models.build("robustbench", {"robustbench": name, **more})


@pytest.fixture(scope="module")
def zoo():
    for package in ("robustbench", "geotorch", "torchdiffeq"):
        pytest.importorskip("importlib.util").find_spec(package) or pytest.skip(f"needs {package}")
    return source()


@pytest.fixture(scope="module")
def net(zoo):
    torch.manual_seed(0)
    return zoo._net()


def stored(state, folder, wrap=lambda state: state):
    torch.save(wrap(state), folder / "w.pt")
    return "w.pt"


WRAPS = {
    "plain": lambda state: state,
    "parallel": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3},
    "without_constants": lambda s: {key: value for key, value in s.items() if key not in {"mean", "std"}},
}


@pytest.mark.filterwarnings("ignore:'saved_variables' is deprecated")  # in the backward pass of their Swish
@pytest.mark.parametrize("wrap", WRAPS)
def test_an_entry_is_what_the_package_builds(wrap, net, tmp_path):
    classifier = source(weights=stored(net.state_dict(), tmp_path, WRAPS[wrap])).load(tmp_path)
    assert (classifier.card.size, classifier.card.classes, classifier.name) == ((3, 32, 32), 10, NAME)
    assert classifier.code.startswith("robustbench ") and "robustbench" not in sys.modules
    x = torch.rand(2, 3, 32, 32).requires_grad_()
    logits, expected = classifier.module(x), net(x)
    torch.testing.assert_close(logits, expected)
    (slope,), (own,) = (torch.autograd.grad(out[:, 0].sum(), x) for out in (expected, logits))
    torch.testing.assert_close(own, slope)


def test_of_two_epochs_the_zoo_takes_the_last(zoo, tmp_path):
    one = source("Andriushchenko2020Understanding")
    torch.manual_seed(0)
    last = one._net()
    best = {key: value + 1 for key, value in last.state_dict().items()}
    torch.save({"best": best, "last": last.state_dict()}, tmp_path / "w.pt")
    classifier = source(one.robustbench, weights="w.pt").load(tmp_path)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(classifier.module(x), last(x))


def test_on_imagenet_the_weights_stand_behind_the_normalisation(zoo, tmp_path):
    one = source("Salman2020Do_R18", dataset="imagenet")
    torch.manual_seed(0)
    net = one._net()
    inner = {f"module.model.{key}": value for key, value in net.model.state_dict().items()}
    entry = {"dataset": "imagenet", "weights": stored(inner, tmp_path)}
    classifier = source("Salman2020Do_R18", **entry).load(tmp_path)
    x = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(classifier.module(x), net(x))
    steps = source("Salman2020Do_R18", **entry, preprocess="published").load(tmp_path)
    assert steps.card.size == (3, 256, 256)
    assert "a shorter side of 256 (bilinear), and the middle 224 x 224" in steps.notes[-1]


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("Gowal2021Improving_R18", {}, "has no 'Gowal2021Improving_R18' for cifar10, Linf; did you mean Gowal2021Impr"),
        ("Chen2020Adversarial", {}, "it is put together of 3 files"),
        ("Standard_R50", {"dataset": "imagenet"}, "say torchvision: resnet50@IMAGENET1K_V1"),
        (NAME, {"sha256": "00"}, "sha256 of 'w.pt' is .*, expected 00"),
        (NAME, {}, "do not fit the architecture: missing"),
    ],
)
def test_what_cannot_be_loaded_ends_in_one_sentence(name, more, sentence, zoo, tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match=sentence):
        source(name, weights="w.pt", **more).load(tmp_path)


def test_weights_are_looked_for_where_the_package_keeps_them(tmp_path):
    sentence = f"no file 'models/cifar10/L2/{NAME}.pt' under the suite's .*; `fetch` downloads it"
    with pytest.raises(ModelError, match=sentence):
        source(threat="L2").load(tmp_path)


def test_no_pickle_is_read(zoo, tmp_path):
    (tmp_path / "w.pt").write_bytes(b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR.")
    with pytest.raises(ModelError, match="was not loaded"):
        source(weights="w.pt").load(tmp_path)
    assert not (tmp_path / "ran").exists()


class Answer(io.BytesIO):
    def __init__(self, content, url):
        super().__init__(content)
        self.url = url


def test_a_download_is_kept_only_with_its_sha256(tmp_path, monkeypatch):
    asked, digest = [], hashlib.sha256(b"weights").hexdigest()

    def answer(url, timeout):
        asked.append(url)
        return Answer(b"weights", url.replace("https://led", "http://led"))

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    place = tmp_path / "deep" / "w.pt"
    for url, sha256, sentence in [
        ("https://x", None, f"state `sha256: {digest}`"),
        ("https://x", "00", f"is {digest}, expected 00; it is not kept"),
        ("https://led", digest, "expected https, was led to http://led"),
        ("http://x", digest, "expected https, got http://x"),
    ]:
        with pytest.raises(ModelError, match=sentence):
            download(url, place, sha256, "m")
        assert not list(place.parent.iterdir())
    download("https://x", place, digest.upper(), "m")
    assert place.read_bytes() == b"weights" and asked == ["https://x", "https://x", "https://led", "https://x"]


def test_fetch_asks_for_the_file_of_the_zoo(zoo, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: asked.append(url) or Answer(b"w", url))
    source(sha256=hashlib.sha256(b"w").hexdigest()).fetch(tmp_path)
    assert (tmp_path / "models/cifar10/Linf" / f"{NAME}.pt").read_bytes() == b"w"
    assert asked[0].startswith("https://drive.usercontent.google.com/download?id=1-0EuCJashqSXEkkd1DOzFA4tH8KL2kim&")
