"""Operations and distributions: gradients, identity at zero width, the same views for any batch, exact answers."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from scipy import stats

from robustbench_lite.engine.attack import attacks
from robustbench_lite.errors import AttackError, SuiteError
from robustbench_lite.suite.builder import load
from robustbench_lite.suite.schema import schema
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.transforms.distribution import Distribution, operations
from tests.helpers import ROOT, images

BLUR = {"name": "RandomGaussianBlur", "parameters": {"kernel_size": 3, "sigma": [0.5, 1.0], "p": 1.0}}
WIDE = {
    "affine": {"scale": [0.7, 1.3], "translation": 0.2},
    "perspective": {},
    "brightness": {"add": [-0.2, 0.2], "times": [0.7, 1.2], "per_channel": True},
    "kornia": BLUR,
}
NARROW = {
    "affine": {"degrees": 0, "scale": 1, "translation": 0},
    "rotation": {"degrees": 0},
    "scale": {"factor": 1},
    "translation": {"share": 0},
    "perspective": {"distortion": 0},
    "brightness": {"add": 0, "times": 1},
    "contrast": {"factor": 1},
    "gamma": {"gamma": 1},
    "hue": {"degrees": 0},
    "saturation": {"factor": 1},
    "blur": {"sigma": 0},
    "noise": {"std": 0},
}


def one(name, **params):
    return operations.build(name, params or WIDE.get(name, {}))


def draws(n):
    return Draw(keys(0, "test", [str(i) for i in range(n)]))


def middle(n=4, side=8):
    """Colour images away from black, white and grey, where clipping and hue have kinks."""
    return 0.3 + 0.4 * images(n, (3, side, side))


@pytest.mark.parametrize("name", list(operations))
def test_gradients_agree_with_finite_differences(name):
    operation, draw = one(name), draws(2)
    if name == "hue":
        base = torch.tensor([0.3, 0.45, 0.6]).view(3, 1, 1)  # no two channels come near each other
        x = (base + 0.02 * images(2, (3, 4, 4))).double()
    else:
        x = middle(2, 6).double()
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda leaf: operation.apply(leaf, draw, 3), x, eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("name", list(operations))
def test_the_batch_changes_no_view_and_views_stay_in_the_box(name):
    x, draw = images(15, (3, 16, 16)), draws(15)
    views = Distribution((one(name),))
    together = views.see(x, draw, 5)
    assert together.shape == x.shape
    assert together.min() >= 0 and together.max() <= 1
    for size in (1, 7):
        parts = [views.see(x[i : i + size], Draw(draw.key[i : i + size]), 5) for i in range(0, 15, size)]
        assert torch.equal(torch.cat(parts), together)
    steps = torch.arange(15) % 3
    mixed = views.see(x, draw, steps)  # a step for each row
    assert torch.equal(mixed[4], views.see(x, draw, 1)[4])
    assert not torch.equal(together, views.see(x, draw, 6))
    assert (together - x).abs().amax((1, 2, 3)).gt(0).float().mean() > 0.7  # a blur may be narrower than a pixel


@pytest.mark.parametrize("name", list(operations))
def test_zero_width_is_the_identity_exactly(name):
    x = images(3, (3, 8, 8))
    if name not in NARROW:
        assert not one(name).still  # JPEG and kornia's own have no width that does nothing
        return
    narrow = operations.build(name, NARROW[name])
    assert narrow.still
    assert Distribution((narrow, narrow)).see(x, draws(3), 0) is x
    assert not one(name).still
    assert torch.allclose(narrow.apply(x, draws(3), 0), x, atol=1e-5)  # and it would have been, nearly


def test_black_pixels_have_finite_gradients():
    for name in operations:
        x = (images(3, (3, 16, 16)) * (images(3, (3, 16, 16), seed=5) > 0.5)).requires_grad_()
        (gradient,) = torch.autograd.grad(Distribution((one(name),)).see(x, draws(3), 0).sum(), x)
        assert gradient.isfinite().all(), name


def test_two_of_a_kind_draw_for_themselves():
    x, twice = images(2), Distribution((one("noise", std=0.1), one("noise", std=0.1)))
    once = Distribution((one("noise", std=0.1),))
    first = once.see(torch.full_like(x, 0.5), draws(2), 0) - 0.5
    both = twice.see(torch.full_like(x, 0.5), draws(2), 0) - 0.5
    assert (both - 2 * first).abs().max() > 0.01


def test_draws_are_uniform_over_the_ranges():
    n = 2000
    x = torch.full((n, 1, 2, 2), 0.5)
    shade = Distribution((one("brightness", add=[-0.05, 0.1]),)).see(x, draws(n), 0)[:, 0, 0, 0] - 0.5
    assert stats.kstest(shade.numpy(), stats.uniform(-0.05, 0.15).cdf).pvalue > 0.01
    assert torch.equal(
        shade, Distribution((one("brightness", add=[-0.05, 0.1]),)).see(x, draws(n), 0)[:, 0, 1, 1] - 0.5
    )
    grain = Distribution((one("noise", std=0.1),)).see(x, draws(n), 0) - 0.5
    assert grain.std() == pytest.approx(0.1, rel=0.05)


def test_in_bounds_means_what_it_says():
    x = torch.ones(200, 1, 20, 20)
    enlarged = one("affine", degrees=0, scale=[1.0, 1.4]).apply(x, draws(200), 0)
    assert (enlarged[:, :, 1:-1, 1:-1] > 0.999).all()  # nothing comes in from outside
    spot = torch.zeros(200, 1, 21, 21)
    spot[:, :, 1:-1, 1:-1] = 1
    shrunk = one("affine", degrees=0, scale=[0.6, 0.9]).apply(spot, draws(200), 0)
    edge = torch.ones(21, 21, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert shrunk[:, 0, edge].max() < 0.75  # nothing leaves but half of a border pixel
    free = one("affine", degrees=0, scale=1, translation=0.5).apply(spot, draws(200), 0)
    assert free[:, 0, edge].max() > 0.9


def test_a_plain_background_fills_what_comes_in():
    x = torch.ones(50, 3, 9, 9)
    seen = one("translation", share=0.5, fill=[0.2, 0.6]).apply(x, draws(50), 0)
    assert seen.min() >= 0.2 - 1e-6
    assert (seen < 0.61).any()
    empty = torch.zeros(50, 3, 9, 9)
    colours = one("rotation", degrees=45, fill=[0.2, 0.6]).apply(empty, draws(50), 0)[:, :, 0, 0]
    assert colours.max(1).values.gt(colours.min(1).values).any()  # each channel by itself


def test_gamma_and_contrast_are_what_they_are_called():
    x = middle(2)
    assert torch.allclose(one("gamma", gamma=2).apply(x, draws(2), 0), x**2)
    mean = (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]).mean((1, 2)).view(2, 1, 1, 1)
    assert torch.allclose(one("contrast", factor=0.5).apply(x, draws(2), 0), (x + mean) / 2, atol=1e-5)
    grey = one("saturation", factor=0).apply(x, draws(2), 0)
    assert torch.allclose(grey[:, 0], grey[:, 2])


def test_kornias_own_numbers_do_not_touch_anybody_elses():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one("kornia").apply(middle(2), draws(2), 0)
    assert torch.equal(torch.rand(3), expected)


def test_colour_is_asked_for():
    for name in ("hue", "saturation", "jpeg"):
        with pytest.raises(AttackError, match=f"{name}: expected colour images"):
            one(name).apply(images(2), draws(2), 0)
    with pytest.raises(AttackError, match="needs images larger"):
        one("blur", sigma=5).apply(images(2), draws(2), 0)
    wrong = operations.build("kornia", {"name": "RandomGaussianBlur", "parameters": {"kernel_size": 3}})
    with pytest.raises(AttackError, match="does not take these parameters"):
        wrong.apply(middle(1), draws(1), 0)


@pytest.mark.parametrize(
    ("under", "says"),
    [
        (["rotatoin"], "operation 1: unknown operation 'rotatoin'; did you mean 'rotation'"),
        ([{"rotation": {"degree": 3}}], "unknown key 'degree'; did you mean 'degrees'"),
        ([{"scale": {"factor": [2, 1]}}], r"expected \[low, high\]"),
        ([{"noise": {"std": [0, 2]}}], "expected numbers from 0 to 1"),
        ([{"rotation": {"fill": "zero"}}], "expected zeros, border, reflection or numbers"),
        ([{"noise": {}, "blur": {}}], "expected the name of an operation"),
        ([{"noise": 3}], "with a mapping of parameters"),
        ([], "expected a list of operations"),
        ([{"kornia": {"name": "RandomMotionBlurr"}}], "did you mean 'RandomMotionBlur'"),
        ([{"kornia": {"name": "RandomMotionBlur", "parameters": {"angel": 3}}}], "did you mean 'angle'"),
    ],
)
def test_what_is_wrong_is_a_sentence(under, says):
    with pytest.raises(SuiteError, match=says):
        attacks.build("pgd", {"under": under})


def suite(**changes):
    base = {
        "version": 1,
        "name": "s",
        "data": {"mnist": {"samples": 2}},
        "models": ["lenet_mnist"],
        "attacks": ["pgd", {"eot": {"under": None}}, {"fgsm": {"under": ["noise"]}}],
    }
    return load(base | changes)


def test_a_suite_says_it_once_for_all_attacks(tmp_path):
    found = {entry.variant: entry.attack.under for entry in suite(under=["rotation"]).attacks}
    assert [operation.registered for operation in found["pgd"]] == ["rotation"]
    assert found["eot"] is None
    assert [operation.registered for operation in found["fgsm"]] == ["noise"]
    path = tmp_path / "s.yaml"
    path.write_text(
        "version: 1\nname: s\ndata: mnist\nmodels: [lenet_mnist]\nunder:\n  - rotatoin\nattacks: [pgd, deepfool]\n"
    )
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert [problem.place.removeprefix(str(path)) for problem in caught.value.problems] == [":6:3"]


def test_attacks_that_are_not_seen_in_views_keep_their_names(monkeypatch):
    plain = attacks.build("pgd")
    monkeypatch.setattr(type(plain), "version", 1)
    assert plain.fingerprint() == "43114a5a4acc9e69"  # before there were views
    assert not {"under", "evaluation_draws"} & plain.params().keys()
    viewed = attacks.build("pgd", {"under": ["affine", {"noise": {"std": 0.1}}]})
    assert viewed.fingerprint() != plain.fingerprint()
    assert attacks.build("pgd", viewed.params()) == viewed
    assert attacks.build("pgd", viewed.params()).fingerprint() == viewed.fingerprint()


def test_the_schema_knows_every_operation():
    names = next(one for one in schema()["$defs"]["distribution"]["items"]["anyOf"] if "enum" in one)["enum"]
    assert names == list(operations)


def test_validating_a_distribution_loads_neither_torch_nor_kornia():
    code = (
        "import sys\nfrom robustbench_lite.engine.attack import attacks\n"
        f"attacks.build('pgd', {{'under': ['affine', {{'kornia': {BLUR!r}}}]}})\n"
        "assert not {'torch', 'kornia'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_contact_sheet_shows_the_images_and_their_views(tmp_path):
    from robustbench_lite.errors import UsageError
    from robustbench_lite.figures.contact_sheet import ContactSheet
    from robustbench_lite.runner.assets import Assets
    from robustbench_lite.runner.figure import contact_sheet
    from tests.helpers import CPU

    figure, assets = ContactSheet(images=2, draws=3), Assets(suite(under=["rotation"]), CPU)
    rows = figure.sheet(assets)
    assert rows["draw"].to_pylist() == [-1, -1, 0, 1, 2, 0, 1, 2]
    svg = figure.draw(rows)
    assert svg.count("<image") == 8 and "mnist as pgd is scored" in svg
    assert all(row["change"].value > 1 for row in figure.data(rows).rows)
    assert contact_sheet("noise").count("<image") == 4 * 9
    with pytest.raises(UsageError, match="did you mean 'rotation'"):
        contact_sheet("rotatoin")
    with pytest.raises(UsageError, match="say `under` in the suite"):
        figure.sheet(Assets(suite(attacks=["pgd"]), CPU))


def test_operations_are_listed_and_described():
    from robustbench_lite.cli.catalogue import description, listing

    assert [name for name, text in listing("operations") if text] == list(operations)
    assert "Largest angle" in description("rotation")
