"""A pickled record is what is known of one image, whatever the size of its data set."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from PIL import Image

from anydet.columns import LazyColumn
from anydet.data.dataset.image_files import open_image_files
from anydet.data.dataset.in_memory import InMemory
from anydet.data.opening import open_dataset
from anydet.data.scenes.mask_scenes import SyntheticMasks
from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.geometry import masks
from anydet.mask_columns import SegmentationColumn

MANY = 1000
FEW_BYTES = 64
"""Numbers and names of images are longer where there are many of them."""
SIZE = (24, 16)
RING = [2.0, 3.0, 12.5, 3.0, 12.0, 9.0, 2.0, 9.0]
CATEGORIES = [{"id": 1, "name": "cow"}, {"id": 2, "name": "grass", "isthing": 0}]


def numbered(count):
    return [f"{i:04d}.png" for i in range(count)]


def stripes():
    """(H, W) 0 above, 1 below."""
    return np.repeat([0, 1], SIZE[1] // 2)[:, None].repeat(SIZE[0], axis=1)


def code(mask):
    rle = masks.encode(mask)
    return {"size": list(rle.size_hw), "counts": rle.counts}


def write_images(folder, names, array):
    folder.mkdir(parents=True)
    Image.fromarray(array.astype(np.uint8)).save(folder / names[0])
    content = (folder / names[0]).read_bytes()
    for name in names[1:]:
        (folder / name).write_bytes(content)


def coco_document(count):
    """Each image with polygons, a mask, and an object that has neither."""
    images = [
        {"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]}
        for i, name in enumerate(numbered(count))
    ]
    kinds = ([RING, RING[::-1]], code(stripes() == 1), [])
    annotations = [
        {
            "id": 3 * i + j,
            "image_id": i,
            "category_id": 1 + j % 2,
            "bbox": [2, 3, 10, 6],
            "area": 60.0 + j,
            "iscrowd": 0,
            **({"segmentation": kind} if kind else {}),
        }
        for i in range(count)
        for j, kind in enumerate(kinds)
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def coco(root, count):
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "instances_val.json").write_text(json.dumps(coco_document(count)))
    return open_dataset(root)


def coco_columns(root, count):
    """As a scanner reads it: masks and points of all images in two arrays."""
    dataset = coco(root, count)
    labels = dataset.table.labels
    column = SegmentationColumn.of(labels.segmentations)
    return replace(dataset, table=replace(dataset.table, labels=replace(labels, segmentations=column)))


def coco_semantic(root, count):
    document = coco_document(count)
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "stuff_val.json").write_text(json.dumps(document))
    return open_dataset(root)


def coco_panoptic(root, count):
    names = numbered(count)
    segments = [
        {"id": 1 + j, "category_id": 1 + j, "bbox": [0, 8 * j, 24, 8], "area": 192, "iscrowd": 0}
        for j in range(2)
    ]
    document = {
        "images": [
            {"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in enumerate(names)
        ],
        "annotations": [
            {"image_id": i, "file_name": name, "segments_info": segments} for i, name in enumerate(names)
        ],
        "categories": CATEGORIES,
    }
    ids = np.zeros((*stripes().shape, 3))
    ids[..., 0] = 1 + stripes()
    write_images(root / "annotations" / "panoptic_val", names, ids)
    (root / "annotations" / "panoptic_val.json").write_text(json.dumps(document))
    return open_dataset(root)


def class_masks(root, count):
    write_images(root / "images" / "val", numbered(count), np.zeros((*stripes().shape, 3)))
    write_images(root / "masks" / "val", numbered(count), stripes())
    (root / "classes.txt").write_text("background\ncow\n")
    return open_dataset(root)


def yolo(root, count):
    write_images(root / "images" / "val", numbered(count), np.zeros((*stripes().shape, 3)))
    labels = root / "labels" / "val"
    labels.mkdir(parents=True)
    for name in numbered(count):
        ring = " ".join(str(v / side) for v, side in zip(RING, SIZE * (len(RING) // 2), strict=True))
        (labels / name).with_suffix(".txt").write_text(f"0 {ring}\n1 {ring}\n")
    return open_dataset(root)


def folder(root, count):
    write_images(root, numbered(count), np.zeros((*stripes().shape, 3)))
    return open_dataset(root)


def image_files(root, count):
    write_images(root, numbered(count), np.zeros((*stripes().shape, 3)))
    return open_image_files([root])


def painted_masks(root, count):
    return SyntheticMasks(count, 0, SIZE)


def painted_shapes(root, count):
    return SyntheticDataset(count, 0, SIZE)


def in_memory(root, count):
    return InMemory.read(class_masks(root, count))


LABELED = [coco, coco_columns, coco_semantic, coco_panoptic, class_masks, yolo]
WHOLE = [*LABELED, folder, image_files, in_memory]


def differences(left, right, where="record"):
    """Places at which two records differ; columns that are read on access are read, and scenes painted."""
    if callable(left) and callable(right):
        left, right = left(), right()
    if is_dataclass(left) and type(left) is type(right) and not isinstance(left, LazyColumn):
        pairs = [(f.name, getattr(left, f.name), getattr(right, f.name)) for f in fields(left)]
        return [found for name, a, b in pairs for found in differences(a, b, f"{where}.{name}")]
    if isinstance(left, np.ndarray):
        same = left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
        return [] if same else [where]
    if isinstance(left, Mapping) and isinstance(right, Mapping) and left.keys() == right.keys():
        return [found for key in left for found in differences(left[key], right[key], f"{where}[{key}]")]
    return [] if left == right else [where]


@pytest.mark.slow
@pytest.mark.parametrize("make", WHOLE)
def test_any_record_of_many_is_as_small_as_that_of_an_image_alone(make, tmp_path):
    (alone,) = make(tmp_path / "one", 1)
    limit = len(pickle.dumps(alone)) + FEW_BYTES
    sizes = [len(pickle.dumps(record)) for record in make(tmp_path / "set", MANY)]
    assert len(sizes) == MANY
    assert max(sizes) <= limit


@pytest.mark.parametrize("make", [painted_shapes, painted_masks])
def test_a_scene_is_as_small_in_a_large_data_set_as_alone(make, tmp_path):
    many, alone = make(tmp_path, MANY), make(tmp_path, 1)
    assert len(pickle.dumps(many[0])) == len(pickle.dumps(alone[0]))
    few = make(tmp_path, 20)
    most = max(len(pickle.dumps(record)) for record in few)
    _ = [(record.image(), record.class_map()) for record in few]
    assert max(len(pickle.dumps(record)) for record in few) == most  # nothing that was painted is kept


@pytest.mark.parametrize("make", [*WHOLE, painted_shapes, painted_masks])
def test_an_unpickled_record_is_equal(make, tmp_path):
    dataset = make(tmp_path / "set", 20)
    for record in (dataset[0], dataset[7], dataset[-1]):
        again = pickle.loads(pickle.dumps(record))
        assert differences(record, again) == []
        if record.class_mask is not None:
            assert np.array_equal(again.class_map(), record.class_map())


@pytest.mark.parametrize("make", LABELED)
def test_the_data_sets_have_masks(make, tmp_path):
    record = make(tmp_path / "set", 3)[1]
    has_objects = record.labels is not None and any(record.labels.segmentations or ())
    assert has_objects or record.class_map().max() == 1


def test_a_difference_between_records_is_found(tmp_path):
    first, second, _ = coco_columns(tmp_path / "set", 3)
    assert "record.key" in differences(first, second)
    assert "record.labels.annotation_ids" in differences(first, second)
    assert differences(first, replace(first, labels=None)) == ["record.labels"]
    assert differences(
        first, replace(first, labels=replace(first.labels, segmentations=(None, None, None)))
    ) == ["record.labels.segmentations"]
