"""Scaling and cropping as timm, torchvision and transformers publish them; classifiers as the Hub has them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from robustbench_lite.errors import ModelError, SuiteError
from robustbench_lite.models import torchvision as ours
from robustbench_lite.models.base import models

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STEP = 1.5 / 255  # of a pixel: Pillow rounds


def picture(height: int, width: int) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def with_gradient(classifier, x: torch.Tensor) -> torch.Tensor:
    """What the network is handed, and a gradient in every image that reaches it."""
    seen = []
    inner = classifier.module
    while hasattr(inner, "net"):
        inner = inner.net
    handle = inner.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    leaf = x.clone().requires_grad_()
    classifier.module(leaf)[:, 0].sum().backward()
    handle.remove()
    assert leaf.grad.shape == x.shape and bool(leaf.grad.ne(0).any())
    return seen[0].detach()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A ViT and a timm network, each as its library saves it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    folder = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    labels = {0: "cat", 1: "dog", 2: "tench, Tinca"}
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=4,
        id2label=labels,
    )  # fmt: skip
    transformers.utils.logging.disable_progress_bar()
    transformers.ViTForImageClassification(config).save_pretrained(folder / "vit")
    processor = transformers.ViTImageProcessor
    seen = {"size": {"height": 16, "width": 16}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    processor(**seen).save_pretrained(folder / "vit")
    return folder


def hf(name, **more):
    return models.build("hf", {"hf": name, **more})


def test_a_classifier_of_transformers_is_what_the_library_says(folder):
    transformers = pytest.importorskip("transformers")
    classifier = hf("./vit").load(folder)
    card = classifier.card
    assert (card.size, card.classes, card.labels) == ((3, 16, 16), 3, ("cat", "dog", "tench, Tinca"))
    assert any("`logits`" in note for note in classifier.notes)
    net = transformers.AutoModelForImageClassification.from_pretrained(folder / "vit")
    processor = transformers.AutoImageProcessor.from_pretrained(folder / "vit")
    image = picture(16, 16)
    leaf = tensor(image).requires_grad_()
    given = processor(images=image, return_tensors="pt")["pixel_values"].requires_grad_()
    logits, expected = classifier.module(leaf), net(given).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    slope, theirs = (
        torch.autograd.grad(logits[:, 0].sum(), leaf)[0],
        torch.autograd.grad(expected[:, 0].sum(), given)[0],
    )
    torch.testing.assert_close(slope, theirs / torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1), rtol=1e-3, atol=1e-4)


def test_images_of_another_size_go_through_what_the_processor_does(folder):
    transformers = pytest.importorskip("transformers")
    classifier = hf("./vit", preprocess="published", size=(3, 40, 30)).load(folder)
    assert "scaled to 16 x 16 (bilinear)" in classifier.notes[-1] and classifier.card.size == (3, 40, 30)
    image = picture(40, 30)
    processor = transformers.AutoImageProcessor.from_pretrained(folder / "vit")
    expected = processor(images=image, return_tensors="pt")["pixel_values"]
    assert (with_gradient(classifier, tensor(image)) - expected).abs().max() <= STEP / 0.2
    assert classifier.weights != hf("./vit").load(folder).weights


def cached(folder, source, monkeypatch):
    """A cache of the Hub, as huggingface_hub lays it out."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    blobs, snapshot = folder / "models--me--net" / "blobs", folder / "models--me--net" / "snapshots" / COMMIT
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for file in source.iterdir():
        shutil.copy(file, blobs / f"blob_{file.name}")
        (snapshot / file.name).symlink_to(f"../../blobs/blob_{file.name}")


def test_a_name_on_the_hub_is_found_in_the_cache_at_its_commit(folder, tmp_path, monkeypatch):
    cached(tmp_path, folder / "vit", monkeypatch)
    found = hf("me/net", revision=COMMIT).load(tmp_path)
    assert found.weights == hf("./vit").load(folder).weights
    assert found.card.source == f"me/net at {COMMIT}" and found.name == "net"
    with pytest.raises(ModelError, match=r"me/net at f{40} is not in the hub's cache .*; run `fetch`"):
        hf("me/net", revision="f" * 40).load(tmp_path)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"hf": "me/net"}, "state the commit, 40 digits"),
        ({"hf": "me/net", "revision": "main"}, "revision"),
        ({"hf": "net"}, "expected owner/name of the Hub, or ./folder"),
        ({"hf": "./net", "revision": COMMIT}, "a folder has none"),
    ],
)
def test_what_is_not_pinned_is_refused_with_the_fix(entry, sentence):
    with pytest.raises(SuiteError, match=sentence):
        models.build("hf", entry)


def changed(folder, tmp_path, **config):
    shutil.copytree(folder / "vit", tmp_path / "vit")
    path = tmp_path / "vit" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return tmp_path / "vit"


def test_no_pickle_no_code_and_no_head_at_random(folder, tmp_path):
    place = changed(folder, tmp_path)
    state = load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    torch.save(state, place / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"expected model.safetensors, found none; pickled weights are not read"):
        hf("./vit").load(tmp_path)
    headless = {name: value for name, value in state.items() if not name.startswith("classifier")}
    save_file(headless, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"not those of the classifier in config.json: missing classifier.bias"):
        hf("./vit").load(tmp_path)


def test_code_in_the_folder_does_not_run(folder, tmp_path):
    code = {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Net"}
    place = changed(folder, tmp_path, auto_map=code, model_type="evil")
    (place / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(ModelError, match="cannot be loaded"):
        hf("./vit").load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_processor_that_does_more_is_refused(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    place = changed(folder, tmp_path)
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"without preprocessor_config.json; state mean, std"):
        hf("./vit").load(tmp_path)
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    transformers.MobileViTImageProcessor(**sizes).save_pretrained(place)  # swaps red and blue
    with pytest.raises(ModelError, match=r"MobileViTImageProcessor\) does more than scale, crop and normalise"):
        hf("./vit").load(tmp_path)
    transformers.LevitImageProcessor(**sizes).save_pretrained(place)  # scales by 256 / 224 more than it says
    assert hf("./vit").load(tmp_path).card.size == (3, 16, 16)
    with pytest.raises(ModelError, match="scales or crops by a rule of its own; leave `preprocess` out"):
        hf("./vit", preprocess="published").load(tmp_path)


def test_a_timm_network_of_the_hub_and_its_transform(tmp_path):
    import timm
    from timm.data import create_transform, resolve_data_config
    from timm.models._hub import save_for_hf  # where it lies in the oldest release, too

    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=4).eval()
    save_for_hf(net, tmp_path / "net", safe_serialization=True)
    source = hf("./net", preprocess="published", size=(3, 250, 300))
    classifier = source.load(tmp_path)
    image = picture(250, 300)
    transform = create_transform(**resolve_data_config(net.pretrained_cfg))
    expected = transform(image)[None]
    std = torch.tensor(classifier.card.std).view(3, 1, 1)
    assert ((with_gradient(classifier, tensor(image)) - expected) * std).abs().max() <= STEP
    torch.testing.assert_close(hf("./net").load(tmp_path).module(tensor(image)[..., :176, :176]), plain(net, image))


def plain(net, image):
    x = tensor(image)[..., :176, :176]
    mean, std = (torch.tensor(net.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    return net((x - mean) / std).detach()


def test_the_transform_of_torchvision_inside_the_classifier():
    from torchvision import models as known

    weights = known.SqueezeNet1_1_Weights.IMAGENET1K_V1
    source = models.build("torchvision", {"torchvision": "squeezenet1_1@IMAGENET1K_V1", "preprocess": "published"})
    torch.manual_seed(0)
    classifier = source.finished(source._card(weights), ours.build_torchvision("squeezenet1_1", 3, 1000))
    assert classifier.card.size == (3, 256, 256)
    assert "a shorter side of 256 (bilinear), and the middle 224 x 224" in classifier.notes[-1]
    for height, width in ((256, 256), (300, 280)):
        image = picture(height, width)
        std = torch.tensor(classifier.card.std).view(3, 1, 1)
        gap = with_gradient(classifier, tensor(image)) - weights.transforms()(image)[None]
        assert (gap * std).abs().max() <= STEP
