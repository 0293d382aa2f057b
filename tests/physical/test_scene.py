"""Objects before a camera: what is seen where is known in closed form; views are linear in the texture."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from robustbench_lite.errors import DataError
from robustbench_lite.physical import rasterize as raster
from robustbench_lite.physical.mesh import Mesh, joined, read_obj, smooth, unit
from robustbench_lite.physical.paints import OBJECTS, made, painted
from robustbench_lite.physical.rasterize import rasterize
from robustbench_lite.physical.scene import Pose, Scene, expose, lookup, turned
from robustbench_lite.physical.shapes import SHAPES, cube
from robustbench_lite.threat.draws import Draw, keys
from tests.helpers import CPU

AWAY = torch.tensor([0.0, 0.0, -4.0], dtype=torch.float64)


def square(half=1.0, z=0.0, uv=((0, 0), (1, 0), (1, 1), (0, 1)), flip=False):
    """A square that faces the camera; flipped, its triangles run the other way."""
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(corners, faces[:, ::-1] if flip else faces, np.array(uv, float), np.tile([0.0, 0.0, 1.0], (4, 1)))


def shot(mesh, size=(8, 8), focal=2.0, away=AWAY):
    parts = [torch.from_numpy(np.ascontiguousarray(p)) for p in (mesh.vertices, mesh.faces, mesh.uv, mesh.normals)]
    return rasterize(parts[0] + away, *parts[1:], size, focal)


def texture(n=1, side=16, seed=0, dtype=torch.float32):
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def draws(n=7):
    return Draw(keys(0, "scene", [str(i) for i in range(n)]))


# what is seen where


def test_a_square_face_on_covers_the_pixels_that_the_pinhole_says():
    # half width 1 at depth 4 with focal 2: half the screen, so columns 2 to 5 of 8
    seen = shot(square())
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:6, 2:6] = True
    assert torch.equal(seen.seen, expected)
    centres = (torch.arange(4, dtype=torch.float64) + 0.5) / 4  # of the four pixels across the square
    assert torch.allclose(seen.uv[2, 2:6, 0], centres)
    assert torch.allclose(seen.uv[2:6, 2, 1], centres.flip(0))  # v runs up, rows run down
    assert torch.equal(seen.uv[~expected], torch.zeros(48, 2, dtype=torch.float64))


def test_a_cube_face_on_shows_its_front_and_nothing_else():
    front, *_ = cube()
    mesh = joined([patch.mesh() for patch in cube()])
    seen = shot(mesh, (40, 40), 2.0)  # the front is at depth 3: half of it is 2 / 3 of half the screen, 13.3 pixels
    assert seen.seen.sum() == 26**2
    left, bottom, right, top = front.inner
    u, v = seen.uv[seen.seen].unbind(1)
    assert left < u.min() and u.max() < right and bottom < v.min() and v.max() < top
    pixel = seen.uv[20, 19] - seen.uv[20, 20]
    assert torch.allclose(pixel, torch.tensor([-(right - left) / (40 / 3 * 2), 0.0], dtype=torch.float64))


def test_perspective_is_undone_on_a_slanted_square():
    # a floor: y = -1, from depth 2 to 4; the row that shows depth d is at slope 1 / d, and v is linear in depth
    corners = np.array([[-1, -1, -2], [1, -1, -2], [1, -1, -4], [-1, -1, -4]], float)
    floor = Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), square().uv, np.tile([0.0, 1.0, 0.0], (4, 1)))
    seen = shot(floor, (64, 64), 1.0, torch.zeros(3, dtype=torch.float64))
    rows = seen.seen[:, 32].nonzero()[:, 0]
    slope = (rows + 0.5) / 32 - 1
    assert torch.allclose(seen.uv[rows, 32, 1], (1 / slope.double() - 2) / 2)
    assert len(rows) == 8  # slopes from 1/4 to 1/2 of half the screen


def test_a_ball_covers_the_area_of_its_silhouette():
    mesh = unit(joined([patch.mesh() for patch in SHAPES["sphere"]()]))
    seen = shot(mesh, (200, 200), 2.0, torch.tensor([0, 0, -3.0], dtype=torch.float64))
    slope = 1 / math.sqrt(3**2 - 1)  # of the line of sight that touches the ball
    assert float(seen.seen.sum()) == pytest.approx(math.pi * (2 * slope * 100) ** 2, rel=0.01)
    assert torch.equal(seen.seen, seen.seen.flip(0))


def test_normals_of_a_ball_point_away_from_its_middle():
    mesh = unit(joined([patch.mesh() for patch in SHAPES["sphere"]()]))
    assert (mesh.normals * mesh.vertices).sum(1).min() > 0.997  # the seam too
    assert np.allclose(abs(made("crate").normals).max(1), 1)  # a crate has edges


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_the_nearer_triangle_wins(first, flip):
    near, far = square(0.5, 1.0, flip=flip), square(1.0, 0.0)
    mesh = joined([near, far] if first else [far, near])
    seen, alone = shot(mesh, (24, 24)), shot(near, (24, 24))
    assert torch.allclose(seen.uv[alone.seen], alone.uv[alone.seen])
    assert torch.equal(seen.seen, shot(far, (24, 24)).seen)


def test_what_is_behind_is_hidden():
    mesh = joined([patch.mesh() for patch in cube()])
    turned_round = Mesh(mesh.vertices * [-1, 1, -1], mesh.faces, mesh.uv, mesh.normals)
    back = next(patch for patch in cube() if patch.name == "back")
    u, v = shot(turned_round, (20, 20)).uv[shot(turned_round, (20, 20)).seen].unbind(1)
    left, bottom, right, top = back.inner
    assert left < u.min() and u.max() < right and bottom < v.min() and v.max() < top


def test_neighbours_leave_no_crack_and_edges_no_hole():
    mesh = made("soccer_ball")
    for seed in range(4):
        turn = turned(tuple(torch.randn(4, generator=torch.Generator().manual_seed(seed)).tolist()))
        spun = Mesh(mesh.vertices @ turn.numpy().T, mesh.faces, mesh.uv, mesh.normals)
        seen = shot(spun, (61, 61), 2.0).seen
        first, last = seen.int().argmax(1), 60 - seen.flip(1).int().argmax(1)
        assert torch.equal(seen.sum(1)[seen.any(1)], (last - first + 1)[seen.any(1)])


def test_chunks_do_not_change_what_is_seen(monkeypatch):
    mesh = made("turtle")
    whole = shot(mesh, (64, 64), 3.0)
    monkeypatch.setattr(raster, "FRAGMENTS", 100)
    sizes = []
    split = raster._fragments

    def watched(box):
        for part in split(box):
            sizes.append(len(part[0]))
            yield part

    monkeypatch.setattr(raster, "_fragments", watched)
    parts = shot(mesh, (64, 64), 3.0)
    assert torch.equal(whole.uv, parts.uv) and torch.equal(whole.seen, parts.seen)
    assert len(sizes) > 10 and max(sizes) <= 100


# textures


def test_corner_texels_are_at_the_corners():
    x = texture()
    corners = torch.tensor([[[[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 1.0]]]])
    found = lookup(x, corners)[0]
    assert torch.equal(found[:, 0, 0], x[0, :, -1, 0])  # v = 0 is the last row
    assert torch.equal(found[:, 1, 1], x[0, :, 0, -1])


@pytest.mark.parametrize("name", list(OBJECTS))
def test_bundled_objects_fit_and_are_painted_everywhere(name):
    mesh, paint = made(name), painted(name, 32)
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(1)
    assert paint.shape == (3, 32, 32) and paint.dtype == np.uint8
    assert np.array_equal(paint, painted(name, 32))
    assert paint.std() > 10


def test_patches_do_not_share_texels():
    for make in SHAPES.values():
        boxes = [patch.box for patch in make()]
        area = sum((right - left) * (top - bottom) for left, bottom, right, top in boxes)
        apart = [
            min(a[2], b[2]) <= max(a[0], b[0]) + 1e-12 or min(a[3], b[3]) <= max(a[1], b[1]) + 1e-12
            for i, a in enumerate(boxes)
            for b in boxes[:i]
        ]
        assert all(apart) and area == pytest.approx(1)


# views


def test_no_rotation_is_no_rotation():
    assert torch.equal(turned((2.0, 0.0, 0.0, 0.0)), torch.eye(3, dtype=torch.float64))
    quarter = turned((math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)))  # about the line of sight
    assert torch.allclose(quarter @ torch.tensor([1.0, 0, 0], dtype=torch.float64), torch.tensor([0, 1.0, 0]).double())
    scene = Scene(square(), (8, 8), field=math.degrees(2 * math.atan(0.5)))
    seen = scene.shoot(Pose(distance=4.0), CPU)
    assert torch.allclose(seen.uv.double(), shot(square()).uv, atol=1e-7)
    assert torch.equal(seen.light, torch.ones(8, 8))


def test_a_turn_and_a_shift_of_the_object_move_the_picture():
    scene = Scene(square(), (8, 8), field=math.degrees(2 * math.atan(0.5)))
    straight = scene.shoot(Pose(distance=4.0), CPU)
    quarter = scene.shoot(Pose((math.sqrt(0.5), 0, 0, math.sqrt(0.5)), distance=4.0), CPU)
    assert torch.allclose(quarter.uv, straight.uv.rot90(1), atol=1e-6)
    shifted = scene.shoot(Pose(shift=(0.5, 0.0), distance=4.0), CPU)  # a quarter of its width: one pixel
    assert torch.allclose(shifted.uv[:, 3:], straight.uv[:, 2:-1], atol=1e-6)


def test_light_is_lamberts():
    scene = Scene(square(), (8, 8))
    pose = Pose(distance=2.0, light=(math.sqrt(0.75), 0.0, 0.5), depth=0.4)
    lit = scene.shoot(pose, CPU)
    assert torch.allclose(lit.light[lit.seen], torch.tensor(1 - 0.4 + 0.4 * 0.5))


def test_a_view_is_the_texture_where_the_object_is_and_the_background_elsewhere():
    scene, x = Scene(square(), (8, 8)), torch.full((1, 3, 4, 4), 0.25)
    seen = scene.shoot(Pose(background=(0.1, 0.6, 0.9)), CPU)
    view = expose(x, [seen])[0]
    assert torch.allclose(view[:, seen.seen], torch.tensor(0.25))
    assert torch.allclose(view[:, ~seen.seen], torch.tensor([0.1, 0.6, 0.9])[:, None])


def test_where_pixels_look_does_not_depend_on_the_texture():
    scene = Scene(made("turtle"), (32, 32), noise=(0.1, 0.1))
    one, other = (scene.see(texture(3, seed=i), draws(3), 5) for i in range(2))
    both = scene.see(torch.cat([texture(3, seed=0), texture(3, seed=1)]), Draw(draws(3).key.repeat(2)), 5)
    assert torch.equal(both, torch.cat([one, other]))


def test_views_are_linear_in_the_texture():
    scene = Scene(made("turtle"), (32, 32), shading=(0.2, 0.4))
    x, y = texture(1, seed=1, dtype=torch.float64), texture(1, seed=2, dtype=torch.float64)
    shots = [scene.shoot(scene.pose(draws(1), 0), CPU)]
    mean = expose((x + 3 * y) / 4, shots)
    assert torch.allclose(mean, (expose(x, shots) + 3 * expose(y, shots)) / 4, atol=1e-14)


def test_gradients_agree_with_finite_differences():
    scene = Scene(made("crate"), (10, 12), shading=(0.1, 0.3), noise=(0.01, 0.02))
    x = (0.3 + 0.4 * texture(2, 5, dtype=torch.float64)).requires_grad_()
    steps = torch.tensor([0, 3])
    assert torch.autograd.gradcheck(lambda t: scene.see(t, draws(2), steps), x, eps=1e-6, atol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_same_views_for_any_batch_size(size):
    scene = Scene(made("turtle"), (24, 24), shading=(0, 0.3), noise=(0, 0.05))
    x, draw, steps = texture(7), draws(7), torch.arange(7) * 3 - 5
    whole = scene.see(x, draw, steps)
    parts = [scene.see(x[i : i + size], Draw(draw.key[i : i + size]), steps[i : i + size]) for i in range(0, 7, size)]
    assert torch.equal(whole, torch.cat(parts))
    assert whole.min() >= 0 and whole.max() <= 1


def test_draws_stay_in_their_ranges_and_turn_every_way():
    scene = Scene(square(), distance=(2.5, 3.0), shift=0.05, background=(0.1, 1.0), shading=(0.1, 0.3), noise=(0, 0.02))
    poses = [scene.pose(draws(1), step) for step in range(300)]
    assert all(2.5 <= p.distance <= 3.0 and max(map(abs, p.shift)) <= 0.05 and p.light[2] >= 0 for p in poses)
    assert all(0.1 <= min(p.background) <= max(p.background) <= 1 and 0.1 <= p.depth <= 0.3 for p in poses)
    facing = torch.stack([turned(p.rotation)[:, 2] for p in poses])  # where the object's front looks: uniform
    assert facing.mean(0).abs().max() < 0.12
    assert torch.allclose(facing.square().mean(0), torch.full((3,), 1 / 3).double(), atol=0.06)


def test_noise_has_the_stated_size():
    scene = Scene(square(), (64, 64), background=(0.5, 0.5), noise=(0.05, 0.05))
    still = Scene(square(), (64, 64), background=(0.5, 0.5))
    x = torch.full((1, 3, 4, 4), 0.5)
    assert float((scene.see(x, draws(1), 0) - still.see(x, draws(1), 0)).std()) == pytest.approx(0.05, rel=0.03)


# meshes from files and wrong ones

OBJ = """mtllib box.mtl
v -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl skin
f 1/1 2/2 3/3\nf 1/1 3/3 4/4
"""


def test_an_obj_file_with_its_texture(tmp_path):
    pytest.importorskip("trimesh")
    from PIL import Image

    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "skin.png")
    (tmp_path / "box.obj").write_text(OBJ)
    (tmp_path / "box.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    mesh, pixels = read_obj(tmp_path / "box.obj")
    assert np.array_equal(pixels, np.arange(48).reshape(4, 4, 3).transpose(2, 0, 1))
    assert torch.allclose(shot(mesh).uv, shot(square()).uv)


def test_an_obj_file_without_texture_coordinates_is_refused(tmp_path):
    pytest.importorskip("trimesh")
    (tmp_path / "bare.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(DataError, match="no texture coordinates"):
        read_obj(tmp_path / "bare.obj")


def test_without_trimesh_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(DataError, match=r"pip install '.\[mesh\]'"):
        read_obj(tmp_path / "box.obj")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"uv": np.full((4, 2), 1.5)}, r"texture coordinates in \[0, 1\]"),
        ({"faces": np.array([[0, 1, 9]])}, "indices below 4"),
        ({"vertices": np.full((4, 3), np.nan)}, "finite"),
        ({"uv": np.zeros((3, 2))}, "expected vertices and normals"),
    ],
)
def test_a_broken_mesh_is_refused(change, sentence):
    parts = {**vars(square()), **change}
    with pytest.raises(DataError, match=sentence):
        Mesh(**parts)


def test_an_object_without_extent_is_refused():
    faces = np.array([[0, 1, 2]])
    with pytest.raises(DataError, match="extent"):
        unit(Mesh(np.ones((3, 3)), faces, np.zeros((3, 2)), smooth(np.ones((3, 3)), faces)))
