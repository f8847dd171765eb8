"""Each row of the table of formats in the docs: a data set in that layout opens and has what the row says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anydet.data.dataset.protocols import NamingFormat
from anydet.data.opening import builtin_formats, open_dataset
from anydet.data.writing.conversion import convert_dataset
from anydet.evaluation.dataset_check import check_dataset
from anydet.inputs import is_kept, keeping_inputs
from anydet.plugins.manager import Plugins
from anydet.testing import KITS
from anydet.testing.checks.datasets import DatasetSubject

PAGE = Path(__file__).parents[3] / "docs/reference/data-formats.md"
BOX = [5.0, 5.0, 10.0, 10.0]
RING = [5, 5, 15, 5, 15, 15, 5, 15]
POINTS = [5.0, 5.0, 2, 15.0, 15.0, 1]
EDGES = "<xmin>5</xmin><ymin>5</ymin><xmax>15</xmax><ymax>15</ymax>"


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells if row[0] != "format"}


def photo(root: Path, name: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20)).save(root / name)


def text(root: Path, name: str, content: Any) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def document(name: str = "a.png", **image: Any) -> dict[str, Any]:
    ring = {"image_id": 1, "category_id": 1, "bbox": BOX, "area": 100, "segmentation": [RING]}
    return {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 20, **image}],
        "annotations": [{"id": 1, **ring, "keypoints": POINTS}, {"id": 2, **ring, "iscrowd": 1}],
        "categories": [{"id": 1, "name": "dog"}],
    }


def coco(file: str, image: str, key: str = "a.png") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        photo(root, image)
        text(root, file, document(key))

    return write


def lvis(root: Path) -> None:
    photo(root, "val2017/a.png")
    content = document(coco_url="http://images.cocodataset.org/val2017/a.png")
    del content["images"][0]["file_name"], content["annotations"][1], content["annotations"][0]["keypoints"]
    text(root, "lvis_v1_val.json", content)


def panoptic(root: Path) -> None:
    photo(root, "images/val/a.png")
    segments = np.zeros((20, 40, 3), np.uint8)
    segments[5:15, 5:15, 0] = 7
    segments[0:3, 0:3, 0] = 8
    (root / "annotations/panoptic_val").mkdir(parents=True)
    Image.fromarray(segments).save(root / "annotations/panoptic_val/a.png")
    info = [
        {"id": 7, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": BOX},
        {"id": 8, "category_id": 1, "iscrowd": 1, "area": 9, "bbox": [0, 0, 3, 3]},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 20}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": info}],
        "categories": [{"id": 1, "name": "dog", "isthing": 1}],
    }
    text(root, "annotations/panoptic_val.json", content)


def voc(image: str, xml: str, more: str = "") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        photo(root, image)
        thing = f"<object><name>dog</name>{{}}<bndbox>{EDGES}</bndbox></object>"
        crowd = thing.format("<difficult>1</difficult>")
        text(root, xml, f"<annotation><filename>a.png</filename>{thing.format(more)}{crowd}</annotation>")

    return write


def voc_masks(root: Path) -> None:
    voc("JPEGImages/a.png", "Annotations/a.xml")(root)
    file = root / "Annotations/a.xml"
    thing, crowd = file.read_text().split("</object>", 1)
    file.write_text(f"{thing}</object>{crowd.replace('<xmin>5</xmin>', '<xmin>0</xmin>')}")
    numbers = np.zeros((20, 40), np.uint8)
    numbers[5:15, 5:15], numbers[5:15, :5] = 1, 2
    (root / "SegmentationObject").mkdir()
    Image.fromarray(numbers).save(root / "SegmentationObject/a.png")


def yolo(line: str, *, more: str = "") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        photo(root, "images/val/a.png")
        text(root, "labels/val/a.txt", f"0 {line}\n")
        text(root, "data.yaml", f"names: [dog]\nval: images/val\n{more}")

    return write


PARTS_OF_RING = " ".join(str(v / (20 if i % 2 else 40)) for i, v in enumerate(RING))
PARTS_OF_BOX = "0.25 0.5 0.25 0.5"


def flat(root: Path) -> None:
    photo(root, "a.png")
    text(root, "a.txt", f"0 {PARTS_OF_RING}\n")
    text(root, "classes.txt", "dog\n")


def darknet(root: Path) -> None:
    photo(root, "obj_train_data/a.png")
    text(root, "obj_train_data/a.txt", f"0 {PARTS_OF_RING}\n")
    text(root, "obj.names", "dog\n")
    text(root, "train.txt", "data/obj_train_data/a.png\n")
    text(root, "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")


SHAPES = (
    '<box label="dog" {0} xtl="5" ytl="5" xbr="15" ybr="15"/>'
    '<polygon label="dog" {0} points="5,5;15,5;15,15"/>'
    '<skeleton label="dog" {0}><points label="a" points="5,5"/><points label="b" points="15,15"/></skeleton>'
)
META = "<meta><original_size><width>40</width><height>20</height></original_size></meta>"


def cvat(root: Path) -> None:
    photo(root, "images/a.png")
    image = f'<image name="a.png" width="40" height="20">{SHAPES.format("")}</image>'
    text(root, "annotations.xml", f"<annotations>{META}{image}</annotations>")


def cvat_video(root: Path) -> None:
    photo(root, "images/frame_000003.png")
    shapes = SHAPES.format('frame="3"')
    track = f'<track label="dog">{shapes}</track>'
    text(root, "annotations.xml", f"<annotations>{META}{track}</annotations>")


def regions() -> list[dict[str, Any]]:
    size = {"original_width": 40, "original_height": 20}
    rectangle = {"x": 12.5, "y": 25, "width": 25, "height": 50, "rectanglelabels": ["dog"]}
    ring = [[12.5, 25], [37.5, 25], [37.5, 75]]
    return [
        {"value": rectangle, "type": "rectanglelabels", **size},
        {"value": {"points": ring, "polygonlabels": ["dog"]}, "type": "polygonlabels", **size},
    ]


def label_studio(root: Path) -> None:
    photo(root, "images/a.png")
    text(
        root,
        "export.json",
        [{"data": {"image": "/data/upload/1/a.png"}, "annotations": [{"result": regions()}]}],
    )


def json_min(root: Path) -> None:
    photo(root, "images/a.png")
    flat_regions = [{**one["value"], **one} for one in regions()]
    text(root, "export.json", [{"id": 1, "image": "/data/upload/1/a.png", "label": flat_regions}])


def supervisely(root: Path) -> None:
    photo(root, "val/img/a.png")
    text(root, "meta.json", {"classes": [{"title": "dog"}]})
    corners, ring = [[5, 5], [15, 15]], [[5, 5], [15, 5], [15, 15]]
    nodes = {"n0": {"loc": [5, 5]}, "n1": {"loc": [15, 15]}}
    objects = [
        {"geometryType": "rectangle", "points": {"exterior": corners}},
        {"geometryType": "polygon", "points": {"exterior": ring, "interior": []}},
        {"geometryType": "graph", "nodes": nodes},
    ]
    content = {"size": {"width": 40, "height": 20}, "objects": [{"classTitle": "dog", **o} for o in objects]}
    text(root, "val/ann/a.png.json", content)


PART_BOX = [0.125, 0.25, 0.25, 0.5]


def fiftyone(root: Path) -> None:
    photo(root, "data/a.png")
    ring, points = [[0.125, 0.25], [0.375, 0.25], [0.375, 0.75]], [[0.125, 0.25], [0.375, 0.75]]
    labels = [
        {"label": "dog", "bounding_box": PART_BOX},
        {"label": "dog", "points": [ring], "closed": True},
        {"label": "dog", "points": points},
        {"label": "dog", "bounding_box": PART_BOX, "iscrowd": True},
    ]
    sample = {"filepath": "data/a.png", "metadata": {"width": 40, "height": 20}}
    kept = {"_cls": "Detections", "detections": labels}
    text(root, "samples.json", {"samples": [{**sample, "ground_truth": kept}]})


def image_detections(root: Path) -> None:
    photo(root, "data/a.png")
    label = {"label": "dog", "bounding_box": PART_BOX}
    ring = {"label": "dog", "points": [[[0.125, 0.25], [0.375, 0.25], [0.375, 0.75]]], "closed": True}
    crowd = {**label, "attributes": {"iscrowd": 1}}
    text(root, "labels.json", {"classes": ["dog"], "labels": {"a": [label, ring, crowd]}})


def imagefolder(root: Path) -> None:
    photo(root, "val/a.png")
    objects = {"bbox": [BOX, BOX], "categories": [0, 0], "iscrowd": [0, 1]}
    row = {"file_name": "a.png", "width": 40, "height": 20, "objects": objects}
    text(root, "val/metadata.jsonl", f"{json.dumps(row)}\n")
    text(root, "val/classes.txt", "dog\n")


def labelme(root: Path) -> None:
    photo(root, "a.png")
    shapes = [
        {"label": "dog", "points": [[15, 15], [5, 5]], "shape_type": "rectangle", "group_id": None},
        {"label": "dog", "points": [[5, 5], [15, 5], [15, 15]], "shape_type": "polygon", "flags": {}},
    ]
    about = {"imagePath": "..\\photos\\a.png", "imageData": None, "imageHeight": 20, "imageWidth": 40}
    text(root, "a.json", {"version": "5.5.0", "flags": {}, "shapes": shapes, **about})


def dota(root: Path) -> None:
    photo(root, "val/images/P0001.png")
    lines = "".join(f"{' '.join(map(str, RING))} dog {difficult}\n" for difficult in (0, 1))
    text(root, "val/labelTxt/P0001.txt", f"imagesource:GoogleEarth\ngsd:0.146\n{lines}")


def open_images(root: Path) -> None:
    photo(root, "validation/a.png")
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf"
    boxes = "".join(f"a,xclick,/m/0bt9lr,1,0.125,0.375,0.25,0.75,0,0,{group}\n" for group in (0, 1))
    text(root, "validation-annotations-bbox.csv", f"{header}\n{boxes}")
    text(root, "class-descriptions-boxable.csv", "/m/0bt9lr,dog\n")


def class_masks(root: Path) -> None:
    photo(root, "images/val/a.png")
    mask = np.full((20, 40), 255, np.uint8)
    mask[5:15, 5:15] = 0
    (root / "masks/val").mkdir(parents=True)
    Image.fromarray(mask).save(root / "masks/val/a.png")
    text(root, "classes.txt", "dog\n")


def described(root: Path) -> None:
    photo(root, "val/a.png")
    text(root, "instances.json", document())
    text(root, "dataset.json", {"images_dir": "val", "annotations": "instances.json"})


ROBOFLOW_RING = "".join(
    f"<{'xy'[i % 2]}{i // 2 + 1}>{v}</{'xy'[i % 2]}{i // 2 + 1}>" for i, v in enumerate(RING)
)
WRITERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "COCO": (
        coco("annotations/instances_val.json", "images/val/a.png"), ("", "annotations/instances_val.json")
    ),
    "COCO keypoints alone": (
        coco("annotations/person_keypoints_val.json", "val/a.png"),
        ("", "annotations/person_keypoints_val.json"),
    ),
    "Roboflow COCO": (
        coco("valid/_annotations.coco.json", "valid/a.png"), ("", "valid", "valid/_annotations.coco.json")
    ),
    "MMDetection": (coco("annotations/val.json", "val/a.png"), ("", "annotations/val.json")),
    "LVIS": (lvis, ("", "lvis_v1_val.json")),
    "Label Studio COCO": (coco("result.json", "images/a.png", "images\\a.png"), ("", "result.json")),
    "FiftyOne COCO": (coco("labels.json", "data/a.png"), ("", "labels.json")),
    "COCO panoptic": (panoptic, ("", "annotations/panoptic_val.json")),
    "Pascal VOC": (voc("JPEGImages/a.png", "Annotations/a.xml"), ("", "Annotations", "Annotations/a.xml")),
    "Pascal VOC with masks": (voc_masks, ("", "Annotations")),
    "labelImg and Roboflow VOC": (
        voc("valid/a.png", "valid/a.xml", f"<polygon>{ROBOFLOW_RING}</polygon>"), ("", "valid", "valid/a.xml")
    ),
    "YOLO": (yolo(PARTS_OF_BOX), ("", "data.yaml")),
    "YOLO-seg": (yolo(PARTS_OF_RING), ("", "data.yaml")),
    "YOLO-pose": (
        yolo(f"{PARTS_OF_BOX} 0.125 0.25 2 0.375 0.75 1", more="kpt_shape: [2, 3]\n"), ("", "data.yaml")
    ),
    "labelImg YOLO": (flat, ("", "classes.txt")),
    "Darknet": (darknet, ("", "obj.data")),
    "CVAT for images": (cvat, ("", "annotations.xml")),
    "CVAT for video": (cvat_video, ("", "annotations.xml")),
    "Label Studio": (label_studio, ("", "export.json")),
    "Label Studio JSON-MIN": (json_min, ("", "export.json")),
    "Supervisely": (supervisely, ("", "meta.json")),
    "FiftyOne": (fiftyone, ("", "samples.json")),
    "FiftyOne image detections": (image_detections, ("", "labels.json")),
    "Hugging Face ImageFolder": (imagefolder, ("", "val", "val/metadata.jsonl")),
    "LabelMe": (labelme, ("", "a.json")),
    "DOTA": (dota, ("", "val", "val/labelTxt")),
    "Open Images": (open_images, ("", "validation-annotations-bbox.csv")),
    "class masks": (class_masks, ("",)),
    "dataset.json": (described, ("", "dataset.json")),
    "images": (lambda root: photo(root, "a.png"), ("",)),
}  # fmt: skip
"""Format of the table -> what writes one, and what may be named of it."""


def test_the_table_has_these_formats():
    assert list(rows()) == list(WRITERS)


def has(labels: Any) -> list[bool]:
    """Whether there are masks, labeled keypoints, crowds."""
    masks = labels.segmentations is not None and any(one is not None for one in labels.segmentations)
    points = labels.keypoints is not None and bool((np.nan_to_num(labels.keypoints)[..., 2] > 0).any())
    return [masks, points, bool(labels.iscrowd.any())]


@pytest.mark.parametrize("name", WRITERS)
def test_each_row_is_read_as_it_says(name: str, tmp_path: Path) -> None:
    write, paths = WRITERS[name]
    root = tmp_path / "data"
    write(root)
    *_, masks, keypoints, crowds, writer = rows()[name]
    for path in paths:
        dataset = open_dataset(root / path)
        assert dataset[0].image().shape == (20, 40, 3)
        if name == "images":
            assert dataset[0].labels is None
            continue
        truth = dataset.ground_truth()
        assert truth.classes.names == ("dog",)
        assert truth.labels.boxes_xywh_px[0].tolist() == pytest.approx(BOX)
        assert has(truth.labels) == [cell != "-" for cell in (masks, keypoints, crowds)]
    if writer != "-":
        layout = writer.strip("`").removeprefix("--to ")
        convert_dataset(open_dataset(root), tmp_path / "out", layout)
        labels = open_dataset(tmp_path / "out").ground_truth().labels
        assert labels.boxes_xywh_px[0].tolist() == pytest.approx(BOX)
        assert has(labels) == [cell != "-" for cell in (masks, keypoints, crowds)]


def test_no_layout_is_taken_for_another_one_that_has_something_of_its_own_to_name(tmp_path: Path) -> None:
    for name, (write, _) in WRITERS.items():
        root = tmp_path / name
        write(root)
        matching = [known.matching(root) for known in builtin_formats()]
        assert sum(isinstance(known, NamingFormat) for known in matching) <= 1, name


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_each_row_conforms_to_what_every_command_relies_on(name: str, tmp_path: Path) -> None:
    WRITERS[name][0](tmp_path / "data")
    found = next(known for one in builtin_formats() if (known := one.matching(tmp_path / "data")) is not None)
    kit = KITS["datasets"]
    subject = DatasetSubject(found.name, found, Plugins([]), tmp_path / "data", folder=tmp_path / "kit")
    (tmp_path / "kit").mkdir()
    outcomes = list(kit.run(subject))
    assert not [outcome for outcome in outcomes if outcome.state == "FAIL"]


@pytest.mark.parametrize("name", ["Pascal VOC", "CVAT for images", "Supervisely", "Darknet", "Roboflow COCO"])
def test_views_checks_and_inputs_work_on_each_kind(name: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    WRITERS[name][0](root)
    fog = open_dataset(f"corruption:fog:3:{root}")
    assert fog.keys == open_dataset(root).keys
    assert fog.fingerprint() != open_dataset(root).fingerprint()
    checked = check_dataset(root)
    assert checked.ok
    assert checked.annotations >= 1
    # A file of the data set is kept: no output replaces it.
    with keeping_inputs():
        open_dataset(root).ground_truth()
        labels = [path for path in root.rglob("*") if path.suffix in {".xml", ".json", ".txt", ".data"}]
        kept = [path for path in labels if is_kept(path)]
    assert kept
