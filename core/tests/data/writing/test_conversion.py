from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from anydet.cli import main
from anydet.data.dataset.protocols import Dataset
from anydet.data.opening import open_dataset
from anydet.data.writing.conversion import convert_dataset
from anydet.errors import DatasetError
from anydet.geometry import masks
from anydet.types import Labels


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def images(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, size in (("a.png", (60, 40)), ("b.png", (50, 30)), ("c.png", (9, 9))):
        Image.new("RGB", size).save(folder / name)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Everything that is read of a COCO file, and more."""
    root = tmp_path / "start"
    images(root / "images" / "val")
    square = [[1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0]]
    point = [5.0, 5.0, 2]
    common, noted = {"iscrowd": 0, "category_id": 7}, {"note": "mine", "state": 3}
    annotations = [
        {**common, "id": 40, "image_id": 9, "bbox": [1, 1, 8, 8], "area": 64.0, "segmentation": square},
        {**common, "id": 41, "image_id": 9, "bbox": [0, 0, 20, 10], "area": 90.5, "keypoints": point * 2},
        {**common, "id": 42, "image_id": 4, "bbox": [2, 3, 4, 5], "keypoints": point, **noted},
        {**common, "id": 43, "image_id": 4, "bbox": [0, 0, 40, 20], "area": 800, "iscrowd": 1},
    ]  # fmt: skip
    sizes = ((9, "a.png", 60, 40), (4, "b.png", 50, 30), (2, "c.png", 9, 9))
    data = {
        "info": {"year": 2020},
        "images": [
            {"id": i, "file_name": name, "width": width, "height": height, "license": 1}
            for i, name, width, height in sizes
        ],
        "annotations": annotations,
        "categories": [
            {"id": 7, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]},
            {"id": 8, "name": "dog"},
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val.json").write_text(json.dumps(data))
    return root


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Everything that YOLO and its sidecars hold."""
    root = tmp_path / "start"
    images(root / "images" / "val")
    labels = root / "labels" / "val"
    labels.mkdir(parents=True)
    (root / "data.yaml").write_text("names: [cat, dog]\n")
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.25 0.5 0.1 0.4\n")
    (labels / "b.txt").write_text("1 0.1 0.1 0.3 0.9 0.5 0.2\n")
    (labels / "depth.npy").write_bytes(b"")
    sidecar = {
        "image_hw": [40, 60],
        "intrinsics": [500, 500, 30, 20],
        "R_gt": [np.eye(3).tolist(), None],
        "t_gt": [[0, 0, 1], None],
        "depth_path": "depth.npy",
        "weather": "rain",
    }
    (labels / "a.json").write_text(json.dumps(sidecar))
    return root


def rows(labels: Labels | None, name: str) -> list[Any]:
    """Values of a column in the rows that are no crowds, ``None`` where one is unknown."""
    if labels is None:
        return []
    column = getattr(labels, name)
    kept = np.flatnonzero(~labels.iscrowd).tolist()
    if column is None:
        return [None] * len(kept)
    if name == "poses":
        return [
            None
            if column.rotations is None or np.isnan(column.rotations[row]).any()
            else column.rotations[row].tolist()
            for row in kept
        ]
    if name == "keypoints":
        # A point that is not labeled may be missing or zeros.
        points = column.round(5)
        return [points[row][np.nan_to_num(points[row])[:, 2] > 0].tolist() or None for row in kept]
    values = [column[row] if name == "segmentations" else column[row].tolist() for row in kept]
    return [None if value == -1 else value for value in values]


def values(dataset: Dataset) -> dict[str, list[Any]]:
    records = list(dataset)
    columns = {"states": "states", "masks": "segmentations", "keypoints": "keypoints", "poses": "poses"}
    columns |= {"annotation ids": "annotation_ids"}
    found = {name: [v for r in records for v in rows(r.labels, column)] for name, column in columns.items()}
    found["areas"] = [round(v, 5) for r in records for v in rows(r.labels, "areas")]
    found["crowds"] = [int(r.labels.iscrowd.sum()) or None for r in records if r.labels is not None]
    found["image ids"] = [r.extra.get("image_id") for r in records]
    found["category ids"] = [
        None if own == i else own
        for i, own in enumerate(dataset.classes.source_ids if dataset.classes else ())
    ]
    found["intrinsics"] = [r.camera for r in records]
    found["side files"] = [r.depth_path and r.depth_path.name for r in records]
    found["extras of images"] = [
        {k: v for k, v in r.extra.items() if k != "image_id"} or None for r in records
    ]
    return found


def json_keys(root: Path) -> set[str]:
    """Keys of an annotations file; entries' keys with the kind of the entry."""
    file = root / "annotations" / "instances_val.json"
    if not file.exists():
        return set()
    data = json.loads(file.read_text())
    lists = {kind: entries for kind, entries in data.items() if isinstance(entries, list)}
    return {
        *(data.keys() - lists.keys()),
        *(f"{kind}.{key}" for kind in lists for e in lists[kind] for key in e),
    }


NOT_OUR_KEYS = {"info", "images.license", "annotations.note", "categories.keypoints", "categories.skeleton"}


def differences(start: Path, end: Path) -> Iterator[str]:
    """Fields of which something that was there is there no more, or is another."""
    before, after = open_dataset(start), open_dataset(end)
    assert after.keys == before.keys
    here, there = values(before), values(after)
    for name in here:
        if any(a is not None and a != b for a, b in zip(here[name], there[name], strict=True)):
            yield name
    yield from (json_keys(start) & NOT_OUR_KEYS) - json_keys(end)


@pytest.mark.parametrize("layout", ["coco", "yolo", "yolo-detect", "voc"])
@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_what_a_conversion_of_a_data_set_changes_is_what_it_lists(
    kind: str, layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    start, out = request.getfixturevalue(kind), tmp_path / "out"
    lost = convert_dataset(open_dataset(start), out, layout)
    assert set(differences(start, out)) == set(lost)
    kept = open_dataset(start).ground_truth().labels
    if layout.startswith("yolo"):
        kept = kept.take(~kept.iscrowd)
    end = open_dataset(out).ground_truth().labels
    np.testing.assert_array_equal(end.class_ids, kept.class_ids)
    np.testing.assert_allclose(end.boxes_xywh_px, kept.boxes_xywh_px, atol=1e-6)


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_the_page_says_what_each_layout_cannot_hold(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    start = request.getfixturevalue(kind)
    page = (Path(__file__).parents[4] / "docs/reference/conversion.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"
    ]
    table = {cells[0]: cells[1:] for cells in rows if len(cells) == 6}
    for column, layout in enumerate(("yolo-detect", "yolo-seg", "yolo-pose", "voc", "coco")):
        if layout == "yolo-pose" and kind == "yolo":
            continue  # it has no keypoints
        lost = convert_dataset(open_dataset(start), tmp_path / layout, layout)
        for name in (name for name in lost if "." not in name):
            found = [cells for what, cells in table.items() if _names(what, name)]
            assert [cells[column] for cells in found] == ["-"], (name, layout)


def _names(what: str, name: str) -> bool:
    """Whether a row of the page is about this, which it may give as an example in a comment."""
    return name in re.sub(r" \(.*", "", what).split(", ") or f"`{name}`" in what


def drawn(dataset: Dataset) -> list[Any]:
    """Masks of all objects as pixels."""
    shown = []
    for record in dataset:
        assert record.labels is not None
        for segmentation in record.labels.segmentations or ():
            rle = masks.as_rle(segmentation, record.size_wh)
            shown.append(None if rle is None else masks.decode(rle))
    return shown


SQUARE = (4.0, 4.0, 14.0, 4.0, 14.0, 14.0, 4.0, 14.0)
FAR = (20.0, 20.0, 26.0, 20.0, 26.0, 30.0)


def masked(tmp_path: Path, *segmentations: Any, **annotation: Any) -> Path:
    """A COCO file with one image and an object for each segmentation, whose box is around it."""
    images(tmp_path / "photos")
    square = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 10, 10], "area": 100.0, **annotation}
    data = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [
            {"id": i, **square, **({} if one is None else {"segmentation": one})}
            for i, one in enumerate(segmentations, 1)
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "photos" / "labels.json").write_text(json.dumps(data))
    return tmp_path / "photos"


IDS = {"image ids": 1, "annotation ids": 1, "category ids": 1}


def test_polygons_go_to_yolo_seg_and_back(tmp_path: Path) -> None:
    start, out = masked(tmp_path, [SQUARE]), tmp_path / "out"
    assert convert_dataset(open_dataset(start), out, "yolo") == IDS
    text = (out / "labels/val/a.txt").read_text()
    assert text == "0 0.06666666667 0.1 0.2333333333 0.1 0.2333333333 0.35 0.06666666667 0.35\n"
    labels = open_dataset(out).ground_truth().labels
    np.testing.assert_allclose(labels.segmentations[0], [SQUARE], atol=1e-6)
    assert convert_dataset(open_dataset(out), tmp_path / "back", "coco") == {}
    assert (drawn(open_dataset(tmp_path / "back"))[0] == drawn(open_dataset(start))[0]).all()


def test_masks_of_pixels_and_of_several_parts_become_one_polygon(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60), np.bool_)
    pixels[4:14, 4:14] = True
    pixels[7:9, 7:9] = False
    rle = masks.encode(pixels)
    coded = {"size": [40, 60], "counts": rle.counts}
    start, out = masked(tmp_path, coded, [SQUARE, FAR]), tmp_path / "out"
    lost = convert_dataset(open_dataset(start), out, "yolo-seg")
    assert lost["holes of masks"] == 1
    assert lost["separate parts of masks"] == 1
    assert lost["boxes other than the bounds of the mask"] == 1
    filled, both = drawn(open_dataset(out))
    pixels[7:9, 7:9] = True
    assert (filled == pixels).all()
    expected = drawn(open_dataset(start))[1]
    assert (both | ~expected).all()
    assert (both & ~expected).sum() < 20  # the bridge
    assert open_dataset(out).ground_truth().labels.boxes_xywh_px[1].tolist() == pytest.approx([4, 4, 22, 26])


def test_an_object_without_a_mask_among_others_is_the_rectangle_of_its_box_and_counted(
    tmp_path: Path,
) -> None:
    start, out = masked(tmp_path, [SQUARE], None), tmp_path / "out"
    assert convert_dataset(open_dataset(start), tmp_path / "boxes", "yolo")["masks"] == 1
    lost = convert_dataset(open_dataset(start), out, "yolo-seg")
    assert lost["objects without a mask among those with one"] == 1
    first, second = (out / "labels/val/a.txt").read_text().splitlines()
    assert first == second


def test_keypoints_go_to_yolo_pose_and_back(tmp_path: Path) -> None:
    points = [5.0, 5.0, 2, 0.0, 0.0, 0, 8.0, 9.0, 1]
    start, out = masked(tmp_path, None, keypoints=points), tmp_path / "out"
    assert convert_dataset(open_dataset(start), out, "yolo") == IDS
    assert "kpt_shape:\n- 3\n- 3\n" in (out / "data.yaml").read_text()
    labels = open_dataset(out).ground_truth().labels
    assert labels.keypoints.round(6).reshape(-1).tolist() == points
    assert convert_dataset(open_dataset(out), tmp_path / "back", "coco") == {}
    assert convert_dataset(open_dataset(start), tmp_path / "boxes", "yolo-detect") == {**IDS, "keypoints": 1}


def test_a_keypoint_beyond_the_edge_is_not_labeled_and_counted(tmp_path: Path) -> None:
    start, out = masked(tmp_path, None, keypoints=[5.0, 5.0, 2, 70.0, 5.0, 2]), tmp_path / "out"
    assert convert_dataset(open_dataset(start), out, "yolo-pose") == {**IDS, "keypoints beyond the edge": 1}
    assert open_dataset(out).ground_truth().labels.keypoints[0, 1].tolist() == [0, 0, 0]


def test_poses_need_keypoints(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no keypoints"):
        convert_dataset(open_dataset(masked(tmp_path, None)), tmp_path / "out", "yolo-pose")


def test_voc_there_and_back_has_the_same_boxes_classes_and_crowds(coco: Path, tmp_path: Path) -> None:
    lost = convert_dataset(open_dataset(coco), tmp_path / "voc", "voc")
    assert lost == {
        "image ids": 3, "masks": 1, "areas": 1, "keypoints": 2, "states": 1, "annotation ids": 4,
        "category ids": 2, "info": 1, "images.license": 3, "annotations.note": 1, "categories.keypoints": 1,
        "categories.skeleton": 1,
    }  # fmt: skip
    assert convert_dataset(open_dataset(tmp_path / "voc"), tmp_path / "back", "coco") == {}
    start, end = (open_dataset(path).ground_truth() for path in (coco, tmp_path / "back"))
    assert end.images == start.images
    assert end.classes.names == start.classes.names == ("cat", "dog")
    for column in ("class_ids", "boxes_xywh_px", "iscrowd"):
        np.testing.assert_array_equal(getattr(end.labels, column), getattr(start.labels, column))


def test_voc_has_no_folders_and_refuses_two_images_of_one_name(tmp_path: Path) -> None:
    images(tmp_path / "data/images/val/x")
    (tmp_path / "data/labels/val").mkdir(parents=True)
    (tmp_path / "data/classes.txt").write_text("cat\n")
    dataset = open_dataset(tmp_path / "data")
    assert convert_dataset(dataset, tmp_path / "voc", "voc") == {"folders of images": 3}
    assert open_dataset(tmp_path / "voc").keys == ("x_a.png", "x_b.png", "x_c.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "data/images/val/x_a.jpg")
    with pytest.raises(DatasetError, match=r"x_a\.xml"):
        convert_dataset(open_dataset(tmp_path / "data"), tmp_path / "again", "voc")


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_a_name_that_leads_out_of_the_folder_writes_nothing_there(layout: str, tmp_path: Path) -> None:
    start = masked(tmp_path, None)
    file = start / "labels.json"
    file.write_text(file.read_text().replace("a.png", "../made/gone.png"))
    with pytest.raises(DatasetError, match=r"outside of the data set's folder|no path below") as caught:
        convert_dataset(open_dataset(file), tmp_path / "out" / "deep", layout)
    assert "partial" not in str(caught.value)  # the folder that was begun, which is gone
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", "out"}


def test_losses_are_counted(coco: Path, tmp_path: Path) -> None:
    assert convert_dataset(open_dataset(coco), tmp_path / "out", "yolo") == {
        "image ids": 3, "crowds": 1, "masks": 1, "areas": 1, "states": 1, "annotation ids": 3,
        "category ids": 2, "info": 1, "images.license": 3, "annotations.note": 1, "categories.keypoints": 1,
        "categories.skeleton": 1,
    }  # fmt: skip


@pytest.mark.slow
def test_real_images_go_from_yolo_to_coco_and_back_with_the_same_numbers(
    coco128: Path, tmp_path: Path
) -> None:
    lost = convert_dataset(open_dataset(coco128), tmp_path / "yolo", "yolo-detect")
    assert lost["crowds"] == 10
    assert convert_dataset(open_dataset(tmp_path / "yolo"), tmp_path / "coco", "coco") == {}
    again = convert_dataset(open_dataset(tmp_path / "coco"), tmp_path / "again", "yolo")
    assert again == {"image ids": 128, "annotation ids": 929}
    labels = tmp_path / "yolo" / "labels" / "train2017"
    for file in labels.iterdir():
        ours, theirs = table(file), table(coco128 / "labels/train2017" / file.name)
        twice = table(tmp_path / "again/labels/train2017" / file.name)
        np.testing.assert_allclose(twice, ours, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], rtol=0, atol=2e-6)
    found = tmp_path / "p.json"
    found.write_text(json.dumps(list(jittered(open_dataset(tmp_path / "yolo")))))
    numbers = []
    for name in ("yolo", "coco", "again"):
        done = run("eval-coco", "--dataset", tmp_path / name, "--predictions", found, "--json", "-")
        assert done.exit_code == 0, done.output
        numbers.append(json.loads(done.stdout)["metrics"])
    assert 0.1 < numbers[0]["AP"] < 0.9
    for other in numbers[1:]:
        assert other == pytest.approx(numbers[0], abs=1e-9)


def table(file: Path) -> Any:
    """(N, 5) class and box; a missing file has none."""
    lines = file.read_text().splitlines() if file.exists() else []
    return np.array([line.split() for line in lines], np.float64).reshape(-1, 5)


def jittered(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Detections that are about right."""
    noise = np.random.default_rng(0)
    for record in dataset:
        width, height = record.size_wh
        assert record.labels is not None
        boxes = record.labels.boxes_xywh_px * noise.uniform(0.85, 1.15, record.labels.boxes_xywh_px.shape)
        normalized = (boxes / (width, height, width, height)).tolist()
        yield {
            "image": record.key,
            "image_size": {"width": width, "height": height},
            "detections": [
                {"class_id": c, "score": s, "bbox": {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h}}
                for c, s, (x, y, w, h) in zip(
                    record.labels.class_ids.tolist(),
                    noise.uniform(size=len(boxes)).tolist(),
                    normalized,
                    strict=True,
                )
            ],
        }
