from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_lite.datasets.base import datasets
from robustbench_lite.errors import SuiteError
from robustbench_lite.physical.camera import OVER, STATIONARY, Camera, Pose, approach, photograph
from robustbench_lite.physical.roadside import BACKGROUND_NUMBERS, background
from robustbench_lite.physical.sign import face, outline, stop_sign

HERE = Path()


def at(distance: float, angle: float) -> Pose:
    return Pose.at(torch.tensor([distance], dtype=torch.float64), torch.tensor([angle], dtype=torch.float64))


def sides(distance: float, angle: float, **options: float) -> tuple[float, float, float]:
    """Width, height of the left edge, height of the right edge, in pixels of the frame."""
    a, b, c, d = Camera(**options).corners(at(distance, angle))[0]
    return float(b[0] - a[0]), float(d[1] - a[1]), float(c[1] - b[1])


@pytest.mark.parametrize(("distance", "focal", "width"), [(5, 1000, 2.5), (40, 1000, 2.5), (10, 700, 1)])
def test_from_the_front_the_size_is_focal_times_width_by_distance(distance, focal, width):
    assert sides(distance, 0, focal=focal, width=width) == pytest.approx((focal * width / distance,) * 3, rel=1e-12)


@pytest.mark.parametrize("angle", [15, 30, 60])
def test_far_away_the_width_shrinks_by_the_cosine(angle):
    width, left, right = sides(1e6, angle)
    assert width / left == pytest.approx(math.cos(math.radians(angle)), rel=1e-5)
    assert left == pytest.approx(right, rel=1e-5)


def test_the_near_edge_is_larger_by_the_ratio_of_depths():
    _, left, right = sides(5, 30)
    move = 2.5 / 2 * math.sin(math.radians(30))
    assert left / right == pytest.approx((5 + move) / (5 - move), rel=1e-12)


def test_from_the_front_the_homography_only_scales():
    camera = Camera(size=32, margin=1.25)
    matrix = camera.places(at(10, 0), 101).homography[0]
    fine = 32 * OVER
    scale = (fine - 1) / 1.25 / 100
    expected = [[scale, 0, (fine - 1) * 0.1], [0, scale, (fine - 1) * 0.1], [0, 0, 1]]
    np.testing.assert_allclose(matrix, expected, atol=1e-9)


def test_the_blur_is_that_of_the_formula_and_grows_with_distance():
    camera = Camera(size=32, blur=0.7)
    for distance in (5.0, 40.0):
        crop = 1.2 * 1000 * 2.5 / distance
        expected = 32 * OVER / crop * math.sqrt(0.7**2 + 1 / 12)
        assert float(camera.places(at(distance, 0), 64).sigma) == pytest.approx(expected, rel=1e-12)


def test_the_stationary_poses_are_the_papers():
    table = {5: (0, 15, 30, 45, 60), 10: (0, 15, 30), 15: (0, 15), 20: (0, 15), 25: (0,), 30: (0,), 40: (0,)}
    assert set(STATIONARY) == {(d, a) for d, angles in table.items() for a in angles}
    assert len(STATIONARY) == 15


def test_a_photograph_is_linear_in_the_layer():
    placed = Camera(size=16).places(at(20, 25), 40)
    one, other = torch.rand(2, 3, 40, 40, dtype=torch.float64)
    together = photograph(one + 2 * other, placed, 16)
    torch.testing.assert_close(together, photograph(one, placed, 16) + 2 * photograph(other, placed, 16))


def test_its_gradient_agrees_with_finite_differences():
    placed = Camera(size=4).places(at(20, 25), 6)
    layer = torch.rand(1, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: photograph(x, placed, 4), layer)


def test_the_middle_of_a_white_object_is_its_gain():
    pose = at(10, 0)
    placed = Camera(size=32).places(replace(pose, gain=pose.gain * 0.8), 64)
    seen = photograph(torch.ones(1, 64, 64, dtype=torch.float64), placed, 32)[0, 0]
    assert float(seen[16, 16]) == pytest.approx(0.8, abs=1e-6)
    assert float(seen[0, 0]) == pytest.approx(0, abs=1e-6)  # outside the margin


def test_blurring_keeps_the_light():
    dot = torch.zeros(1, 65, 65, dtype=torch.float64)
    dot[0, 32, 32] = 1
    total = [photograph(dot, Camera(size=32, blur=blur).places(at(30, 0), 65), 32).sum() for blur in (0.0, 1.0)]
    assert float(total[0]) == pytest.approx(float(total[1]), rel=1e-6)


def test_a_row_does_not_depend_on_the_others():
    poses = torch.tensor(STATIONARY, dtype=torch.float64)
    camera, layer = Camera(size=16), torch.rand(3, 40, 40, dtype=torch.float64)
    every = photograph(layer, camera.places(Pose.at(*poses.unbind(1)), 40), 16)
    for i, (distance, angle) in enumerate(STATIONARY):
        alone = photograph(layer, camera.places(at(distance, angle), 40), 16)[0]
        torch.testing.assert_close(every[i], alone, atol=1e-14, rtol=0)


def test_a_drive_comes_nearer_frame_by_frame():
    frames = approach(start=100, stop=10, speed=30, aside=6, every=10, rate=30)
    assert [frame for frame, _, _ in frames] == list(range(0, 91, 10))
    for frame, distance, angle in frames:
        along = 100 - frame
        assert distance == pytest.approx(math.hypot(along, 6))
        assert angle == pytest.approx(math.degrees(math.atan2(6, along)))
    assert all(far > near for (_, far, _), (_, near, _) in itertools.pairwise(frames))


def test_the_sign_is_an_octagon_with_a_red_face_and_a_white_border():
    sign = stop_sign(128)
    np.testing.assert_array_equal(sign, stop_sign(128))
    assert sign[20, 64].tolist() == [170, 22, 32]
    assert (sign[2, 64] > 220).all()
    assert (sign[0, 0] == 0).all()
    assert outline(128).mean() == pytest.approx(2 * (math.sqrt(2) - 1), rel=0.01)
    assert (face(128) <= outline(128)).all()
    assert face(128).mean() < outline(128).mean()


def test_a_background_belongs_to_its_numbers():
    numbers = torch.rand(5, BACKGROUND_NUMBERS)
    every = background(numbers, 32)
    assert every.shape == (5, 3, 32, 32)
    assert 0 <= float(every.min()) <= float(every.max()) <= 1
    torch.testing.assert_close(background(numbers[3:4], 32)[0], every[3])
    assert not torch.equal(every[0], every[1])


def test_the_photographs_of_the_sign():
    source = datasets.build("sign", {"sign": "stop"})
    one, two = source.load(HERE), source.load(HERE)
    assert one.images.shape == (15, 3, 32, 32)
    np.testing.assert_array_equal(one.images, two.images)
    assert len(set(one.ids)) == 15
    assert set(one.labels.tolist()) == {14}
    assert one.classes[14] == "Stop"
    assert one.classes[5] == "Speed limit 80"
    assert {(fact["distance"], fact["angle"]) for fact in one.scene.facts} == set(STATIONARY)
    both = datasets.build("sign", {"sign": "stop", "poses": ["stationary", "approach"], "every": 30}).load(HERE)
    frames = [fact["frame"] for fact in both.scene.facts if "frame" in fact]
    assert sorted(frames) == [0, 30, 60, 90, 120]
    some = datasets.build("sign", {"sign": "stop", "samples": 4}).load(HERE)
    assert some.ids == one.ids[:4]
    assert some.scene.facts == one.scene.facts[:4]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"stop": 200}, "less than the start"),
        ({"poses": ["approach", "approach"]}, "different grids"),
        ({"poses": []}, "different grids"),
        ({"sign": "yield"}, "stop"),
    ],
)
def test_bad_options_are_one_sentence(options, says):
    with pytest.raises(SuiteError, match=says):
        datasets.build("sign", {"sign": "stop", **options})
