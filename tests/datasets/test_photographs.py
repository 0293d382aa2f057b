from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from robustbench_lite.datasets.base import datasets
from robustbench_lite.errors import DataError, SuiteError, UsageError
from robustbench_lite.figures.poses import Poses
from robustbench_lite.physical.camera import photograph
from robustbench_lite.physical.shots import paste
from robustbench_lite.physical.sign import stop_sign
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.run import run as run_suite
from robustbench_lite.suite.builder import load

SIDE = 128
CORNERS = [f"{axis}{i}" for i in range(1, 5) for axis in "xy"]


def sheet(folder: Path, rows: list[dict[str, object]], name: str = "poses.csv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file", "distance", "angle", *CORNERS])
        writer.writeheader()
        writer.writerows(rows)
    return path


def photo(folder: Path, name: str = "a.png", light: float = 1.0, left: int = 0, top: int = 0, frame: int = SIDE) -> str:
    """The drawn sign as a picture; with an offset, somewhere in a larger frame."""
    picture = np.zeros((frame, frame, 3), np.uint8)
    picture[top : top + SIDE, left : left + SIDE] = (stop_sign(SIDE) * light).astype(np.uint8)
    Image.fromarray(picture).save(folder / name)
    return name


def built(folder: Path, **options: object):
    return datasets.build("photographs", {"photographs": str(folder / "poses.csv"), **options}).load(folder)


def test_a_cropped_photograph_is_filled_by_the_object(tmp_path):
    sheet(tmp_path, [{"file": photo(tmp_path), "distance": 5, "angle": 15}])
    found = built(tmp_path, size=SIDE)
    assert found.images.shape == (1, 3, SIDE, SIDE)
    assert found.scene.facts == ({"distance": 5.0, "angle": 15.0},)
    assert found.labels.tolist() == [14]
    assert found.classes[14] == "Stop"
    np.testing.assert_array_equal(found.images[0], stop_sign(SIDE).transpose(2, 0, 1))


def test_a_sticker_lands_where_the_object_is(tmp_path):
    where = {"left": 60, "top": 90, "frame": 300}
    ends = [60, 90, 60 + SIDE, 90, 60 + SIDE, 90 + SIDE, 60, 90 + SIDE]  # edges of the square, clockwise
    row = {"file": photo(tmp_path, **where), "distance": 10, "angle": 0, **dict(zip(CORNERS, ends, strict=True))}
    sheet(tmp_path, [row])
    found = built(tmp_path, size=48, margin=1.5)
    ones = torch.ones(1, SIDE, SIDE)
    seen = photograph(ones, found.scene.placed, 48)[0, 0]
    assert seen[24, 24] == pytest.approx(float(found.scene.placed.gain), rel=1e-4)
    inside = (seen > seen.max() / 2).nonzero()
    # the object is two thirds of the crop: 32 of 48 pixels, in the middle
    assert inside.amin(0).tolist() == pytest.approx([8, 8], abs=1)
    assert inside.amax(0).tolist() == pytest.approx([39, 39], abs=1)


def test_a_sticker_of_the_objects_own_colours_changes_nothing(tmp_path):
    sheet(tmp_path, [{"file": photo(tmp_path), "distance": 5, "angle": 0}])
    found = built(tmp_path)
    x = torch.from_numpy(found.images).float() / 255
    assert torch.equal(paste(x, torch.zeros(3, SIDE, SIDE), found.scene.placed), x)


@pytest.mark.parametrize("light", [1.0, 0.5])
def test_a_sticker_is_as_light_as_the_photograph(tmp_path, light):
    sheet(tmp_path, [{"file": photo(tmp_path, light=light), "distance": 5, "angle": 0}])
    assert float(built(tmp_path).scene.placed.gain) == pytest.approx(light, abs=0.02)


def test_the_texture_of_a_picture_is_the_first_photograph(tmp_path):
    sheet(tmp_path, [{"file": photo(tmp_path), "distance": 5, "angle": 0}])
    found = built(tmp_path, size=SIDE, object="picture")
    own = torch.from_numpy(stop_sign(SIDE).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(found.scene.texture, own, atol=1e-3, rtol=0)


def test_a_sticker_is_optimised_on_the_photographs_of_fit_from(tmp_path):
    files = [photo(tmp_path, f"{i}.png", 0.2 + 0.2 * i) for i in range(4)]
    rows = [{"file": name, "distance": 5, "angle": i} for i, name in enumerate(files)]
    sheet(tmp_path, rows[:1])
    sheet(tmp_path, rows[1:], "others.csv")
    found = built(tmp_path, fit_from={"photographs": str(tmp_path / "others.csv")})
    assert (len(found), len(found.scene.album), len(found.scene.album_placed)) == (1, 3, 3)
    assert built(tmp_path).scene.identity != found.scene.identity
    with pytest.raises(DataError, match="crops of 32 pixels"):
        built(tmp_path, fit_from={"photographs": str(tmp_path / "others.csv"), "size": 16})
    with pytest.raises(DataError, match="other photographs of the object"):
        built(tmp_path, fit_from={"bundled": "mnist"})


def test_crops_of_one_class_from_a_parquet_file(tmp_path):
    photo(tmp_path)
    data = (tmp_path / "a.png").read_bytes()
    image = pa.array([{"bytes": data, "path": "a"}] * 3, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path = tmp_path / "signs.parquet"
    pq.write_table(pa.table({"image": image, "label": [14, 3, 14]}), path)
    found = datasets.build("photographs", {"photographs": str(path)}).load(tmp_path)
    assert len(found) == 2
    assert found.scene.facts == ({}, {})
    with pytest.raises(DataError, match="no image with the label 7"):
        datasets.build("photographs", {"photographs": str(path), "label": 7}).load(tmp_path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"file": "missing.png", "distance": 5, "angle": 0}, "line 2: no file"),
        ({"file": "a.png", "distance": "far", "angle": 0}, "line 2: expected numbers"),
        ({"file": "a.png", "distance": 5, "angle": 0, "x1": 3}, "line 2: expected numbers"),
        ({"file": "a.png", "distance": 5, "angle": 0, **dict.fromkeys(CORNERS, 3)}, "one point"),
        ({"file": "poses.csv", "distance": 5, "angle": 0}, "not a readable image"),
    ],
)
def test_bad_lines_are_named(tmp_path, row, says):
    photo(tmp_path)
    sheet(tmp_path, [row])
    with pytest.raises(DataError, match=says):
        built(tmp_path)


def test_bad_files_are_one_sentence(tmp_path):
    (tmp_path / "poses.csv").write_text("picture,far\na.png,3\n")
    with pytest.raises(DataError, match="columns file, distance and angle"):
        built(tmp_path)
    with pytest.raises(SuiteError, match="expected a CSV file"):
        datasets.build("photographs", {"photographs": "poses.txt"})


def test_the_figure_shows_every_pose_before_and_after(tmp_path):
    record = {
        "version": 1,
        "name": "signs",
        "data": {"stop": {"sign": "stop"}},
        "models": ["gtsrb_cnn"],
        "attacks": [{"rp2": {"target": 5, "steps": 2, "draws": 2}, "as": "stripes"}],
        "tables": ["pose"],
        "figures": ["poses"],
    }
    suite = load(record, root=tmp_path)
    assert suite.figures == ("poses",)
    results = run_suite(record, results=tmp_path / "results")
    figure, rows = Poses(), Poses().compute(results, Assets(suite, torch.device("cpu")))
    assert rows.num_rows == 30
    assert [row["caption"] for row in rows.to_pylist()[:5]] == [f"5 ft, {angle}\u00b0" for angle in (0, 15, 30, 45, 60)]
    drawn = figure.draw(rows)
    assert drawn.count("<image") == 30
    assert "Speed limit" in drawn or "Stop" in drawn
    (row,) = figure.data(rows).rows
    won = sum(row["success"] for row in results.sample_table.to_pylist())
    assert row["poses"].value == 15
    assert row["success"].value == pytest.approx(100 * won / 15)
    plain = load({**record, "name": "plain", "data": "mnist", "models": ["lenet_mnist"], "attacks": ["fgsm"]})
    with pytest.raises(UsageError, match="no stored photographs"):
        Poses().compute(
            run_suite(plain.resolved(), results=tmp_path / "results", limit=2), Assets(plain, torch.device("cpu"))
        )


def test_unknown_figures_of_a_suite_are_named():
    record = {"version": 1, "name": "a", "data": "mnist", "models": ["lenet_mnist"], "attacks": ["fgsm"]}
    with pytest.raises(SuiteError, match="unknown figure 'pose'; did you mean 'poses'"):
        load({**record, "figures": ["pose"]})
