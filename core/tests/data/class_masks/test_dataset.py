"""Images with class masks: folders, COCO panoptic and semantic files, synthetic scenes."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from anydet.data.class_masks.dataset import label_regions
from anydet.data.coco.panoptic import read_segment_ids
from anydet.data.opening import open_dataset
from anydet.data.record.class_mask import background_of
from anydet.data.scenes.layers import paint
from anydet.data.scenes.mask_scenes import CLASSES, MARGIN, SyntheticMasks
from anydet.data.writing.class_masks import write_class_masks
from anydet.errors import DatasetError, OptionError
from anydet.geometry import masks
from anydet.types import ClassTable

SCENES = SyntheticMasks(24, seed=3, image_wh=(96, 64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes") / "data"
    write_class_masks(SCENES, root, "val")
    return root


def class_maps(dataset):
    return [record.class_map() for record in dataset]


def labels_of(dataset):
    return [record.extra.get("classification", {}).get("class_id", -1) for record in dataset]


# Scenes


def test_a_scene_is_the_same_whatever_the_number_of_scenes_and_after_pickling():
    record = pickle.loads(pickle.dumps(SyntheticMasks(300, 3, (96, 64))[7]))
    assert np.array_equal(record.image(), SCENES[7].image())
    assert np.array_equal(record.class_map(), SCENES[7].class_map())
    assert len(pickle.dumps(record)) < 2_000


def test_the_class_of_an_image_covers_most_of_it_by_a_margin_and_all_occur():
    seen = set()
    for classes, label in zip(class_maps(SCENES), labels_of(SCENES), strict=True):
        counts = np.bincount(classes.ravel(), minlength=len(CLASSES))[1:]
        seen.add(label)
        if label == 0:
            assert not counts.any()
        else:
            assert counts[label - 1] >= MARGIN * np.delete(counts, label - 1).max()
    assert seen == set(range(len(CLASSES)))


@pytest.mark.slow
def test_pixels_of_a_class_look_like_it_and_the_background_does_not():
    """Hues of the four shapes are far apart; the background and its clutter are dull."""
    hues = {1: [], 2: [], 3: [], 4: []}
    for record in SCENES:
        hsv = np.asarray(Image.fromarray(record.image()).convert("HSV")).astype(int)
        for class_id in hues:
            hues[class_id] += hsv[..., 0][record.class_map() == class_id].tolist()
    red = np.abs((np.array(hues[1]) + 128) % 256 - 128)  # around 0, the circle's hue
    assert np.median(red) < 15
    assert abs(np.median(hues[2]) - 85) < 15
    assert abs(np.median(hues[3]) - 156) < 15
    assert abs(np.median(hues[4]) - 35) < 15


# Folders


@pytest.mark.slow
def test_what_is_written_is_read_again(folder):
    opened = open_dataset(folder)
    assert opened.classes == CLASSES
    assert opened.keys == SCENES.keys
    assert labels_of(opened) == labels_of(SCENES)
    for ours, theirs in zip(opened, SCENES, strict=True):
        assert np.array_equal(ours.image(), theirs.image())
        assert np.array_equal(ours.class_map(), theirs.class_map())
    truth, expected = opened.ground_truth(), SCENES.ground_truth()
    assert np.array_equal(truth.labels.boxes_xywh_px, expected.labels.boxes_xywh_px)
    assert np.array_equal(truth.about.class_ids, expected.about.class_ids)
    assert truth.about.semantic_masks == expected.about.semantic_masks
    assert truth.sizes_wh.tolist() == [[96, 64]] * len(SCENES)
    assert opened.fingerprint() == open_dataset(folder).fingerprint()


def test_a_second_split_goes_into_the_same_folder(tmp_path):
    root = tmp_path / "data"
    few = SyntheticMasks(2, 0, (32, 32))
    write_class_masks(few, root, "train")
    write_class_masks(SyntheticMasks(3, 1, (32, 32)), root, "val")
    train, val = open_dataset(root, "train"), open_dataset(root, "val")
    assert (len(train), len(val)) == (2, 3)
    assert labels_of(train) == labels_of(few)
    assert labels_of(val) == labels_of(SyntheticMasks(3, 1, (32, 32)))
    assert sorted(path.name for path in root.iterdir()) == ["classes.txt", "images", "labels.csv", "masks"]
    with pytest.raises(OptionError, match=r"images.val: already there"):
        write_class_masks(few, root, "val")
    (root / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(OptionError, match="its classes are not background, circle"):
        write_class_masks(few, root, "test")


def test_folders_of_other_data_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(OptionError, match="not an empty folder"):
        write_class_masks(SyntheticMasks(1, 0, (32, 32)), tmp_path)


def masked(root, key="a.png", values=((0, 1), (255, 1)), *, names="sky\nroad\n"):
    """One image and its mask."""
    for kind, pixels in (("images", np.zeros((2, 2, 3))), ("masks", np.array(values))):
        path = root / kind / key
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    (root / "classes.txt").write_text(names)
    return root


def test_pixels_of_255_are_not_labeled_and_every_class_is_an_object_without_a_background(tmp_path):
    opened = open_dataset(masked(tmp_path))
    assert opened[0].class_map().tolist() == [[0, 1], [-1, 1]]
    truth = opened.ground_truth()
    assert truth.labels.class_ids.tolist() == [0, 1]
    assert truth.labels.boxes_xywh_px.tolist() == [[0, 0, 1, 1], [1, 0, 1, 2]]
    assert truth.labels.areas.tolist() == [1, 2]
    assert truth.about.class_ids is None


def test_without_labels_csv_the_folder_of_an_image_is_its_class(tmp_path):
    masked(tmp_path, "val/road/a.png")
    masked(tmp_path, "val/other/b.png")
    masked(tmp_path, "val/sky.png")
    opened = open_dataset(tmp_path)
    assert dict(zip(opened.keys, labels_of(opened), strict=True)) == {
        "other/b.png": -1,
        "road/a.png": 1,
        "sky.png": -1,
    }


def test_labels_are_names_or_numbers_and_may_be_left_open(tmp_path):
    for name in "abcd":
        masked(tmp_path, f"val/{name}.png")
    text = "label,image,who\nroad,val/a.png,me\n0,val/b.png,me\n,val/c.png,\nsky,train/a.png,\n"
    (tmp_path / "labels.csv").write_text(text)
    assert labels_of(open_dataset(tmp_path)) == [1, 0, -1, -1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image,label\nval/a.png,rode\n", r"labels\.csv:2: label 'rode' is no class; did you mean 'road'"),
        ("image,label\nval/a.png,7\n", r"labels\.csv:2: label '7' is no class"),
        ("image,label\nval/a.png,sky\nval/a.png,sky\n", r"labels\.csv:3: image a\.png is there twice"),
        ("file,class\nval/a.png,sky\n", r"its columns are file, class"),
        ("", "its columns are none"),
    ],
)
def test_malformed_labels_are_named_by_line(tmp_path, text, problem):
    masked(tmp_path, "val/a.png")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=problem):
        open_dataset(tmp_path)


def test_images_without_any_mask_are_refused_with_the_name_that_is_looked_for(tmp_path):
    masked(tmp_path, "val/a.jpg.png")
    (tmp_path / "masks/val/a.jpg.png").rename(tmp_path / "masks/val/b.png")
    with pytest.raises(DatasetError, match=r"no mask of any of the 1 images there \(.* a\.jpg\.png\)"):
        open_dataset(tmp_path)


def test_a_mask_of_another_size_is_named(tmp_path):
    masked(tmp_path, values=((0, 1, 1), (0, 1, 1)))
    with pytest.raises(DatasetError, match=r"a\.png: 2 x 2 pixels, its class mask has 3 x 2"):
        open_dataset(tmp_path).ground_truth()


def test_a_folder_with_label_files_stays_yolo(tmp_path):
    masked(tmp_path, "val/a.png")
    (tmp_path / "labels/val").mkdir(parents=True)
    assert type(open_dataset(tmp_path)).__name__ == "YoloDataset"


@given(arrays(np.int64, (5, 7), elements=st.integers(-1, 3)))
def test_regions_cover_every_labeled_pixel_but_the_background_once(classes):
    labels = label_regions(classes, 2)
    again = np.full_like(classes, -1)
    for class_id, rle, area in zip(labels.class_ids, labels.segmentations, labels.areas, strict=True):
        mask = masks.decode(rle)
        assert mask.sum() == area
        assert (again[mask] == -1).all()
        again[mask] = class_id
    assert np.array_equal(again, np.where(classes == 2, -1, classes))


def test_the_background_is_known_by_its_name():
    assert background_of(ClassTable(("car", "Background"))) == 1
    assert background_of(ClassTable(("car",))) is None
    assert background_of(None) is None


# COCO panoptic and semantic files

CATEGORIES = [
    {"id": 7, "name": "grass", "isthing": 0},
    {"id": 3, "name": "cow", "isthing": 1},
]
IDS = np.array([[0, 500, 500], [70_000, 70_000, 2]])
CLASS_MAP = [[-1, 1, 1], [0, 0, 0]]  # categories sorted by id: cow, grass


def panoptic(root, *, ids=IDS, category_id=None, things=(3, 3, 7)):
    """As panopticapi writes it: R + 256 G + 65536 B."""
    (root / "annotations/panoptic_val").mkdir(parents=True)
    (root / "images/val").mkdir(parents=True)
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(root / "images/val/a.png")
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(root / "annotations/panoptic_val/a.png")
    segments = [
        {"id": 2, "category_id": things[0], "bbox": [2, 1, 1, 1], "area": 1, "iscrowd": 1},
        {"id": 500, "category_id": things[1], "bbox": [1, 0, 2, 1], "area": 2, "iscrowd": 0},
        {"id": 70_000, "category_id": things[2], "bbox": [0, 1, 2, 1], "area": 2},
    ]
    image = {"id": 5, "file_name": "a.png", "width": 3, "height": 2}
    document = {
        "images": [image if category_id is None else {**image, "category_id": category_id}],
        "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": segments}],
        "categories": CATEGORIES,
    }
    file = root / "annotations/panoptic_val.json"
    file.write_text(json.dumps(document))
    return file


def test_panoptic_segments_are_classes_of_pixels_and_things_are_objects(tmp_path):
    file = panoptic(tmp_path, category_id=7)
    assert read_segment_ids(file.with_suffix("") / "a.png").tolist() == IDS.tolist()
    for path in (file, tmp_path):
        opened = open_dataset(path)
        assert (opened.split, opened.classes) == ("val", ClassTable(("cow", "grass"), (3, 7)))
        assert opened[0].class_map().tolist() == [[-1, 0, 0], [1, 1, 0]]
        assert opened[0].image().shape == (2, 3, 3)
        assert labels_of(opened) == [1]
        truth = opened.ground_truth()
        assert truth.labels.class_ids.tolist() == [0, 0]
        assert truth.labels.iscrowd.tolist() == [True, False]
        assert truth.image_ids.tolist() == [5]
        mask = masks.decode(truth.labels.segmentations[1])
        assert mask.tolist() == (IDS == 500).tolist()
        assert masks.bounds_xywh(truth.labels.segmentations[1]).tolist() == [1, 0, 2, 1]
        taken = truth.labels.take(np.array([1])).segmentations
        assert (len(taken), taken[0]) == (1, truth.labels.segmentations[1])


def test_panoptic_files_that_do_not_fit_are_refused_by_image(tmp_path):
    file = panoptic(tmp_path, ids=np.where(IDS == 2, 3, IDS))
    with pytest.raises(DatasetError, match=r"a\.png: segment 3 is not in the segments_info"):
        open_dataset(file)[0].class_map()
    text = file.read_text()
    file.write_text(text.replace('"category_id": 3, "bbox": [1', '"category_id": 4, "bbox": [1'))
    with pytest.raises(DatasetError, match=r"image a\.png: segment 500: category_id 4 is not in categories"):
        open_dataset(file)
    file.write_text(text.replace('"segments_info"', '"segments"'))
    with pytest.raises(DatasetError, match=r"not a COCO panoptic file: .*segments_info"):
        open_dataset(file)
    file.write_text(text)
    (tmp_path / "annotations/panoptic_val").rename(tmp_path / "annotations/png")
    with pytest.raises(DatasetError, match="its PNG files are not in"):
        open_dataset(file)


def semantic(root, **image):
    mask = np.array(CLASS_MAP)
    (root / "annotations").mkdir()
    (root / "images/val").mkdir(parents=True)
    annotations = []
    for number, (category, pixels) in enumerate(((7, mask == 0), (3, mask == 1), (7, mask >= 0)), start=1):
        rle = masks.encode(pixels)
        code = {"size": list(rle.size_hw), "counts": rle.counts}
        box, area = masks.bounds_xywh(rle).tolist(), masks.area(rle)
        annotation = {"id": number, "image_id": 5, "category_id": category, "bbox": box, "area": area}
        annotations.append({**annotation, "segmentation": code, "iscrowd": 0})
    entry = {"id": 5, "file_name": "a.png", "width": 3, "height": 2, **image}
    document = {"images": [entry], "annotations": annotations, "categories": CATEGORIES}
    file = root / "annotations/stuff_val.json"
    file.write_text(json.dumps(document))
    return file


def test_semantic_annotations_are_classes_of_pixels_and_the_smallest_is_on_top(tmp_path):
    file = semantic(tmp_path, category_id=3)
    for path in (file, tmp_path):
        opened = open_dataset(path)
        assert opened.split == "val"
        assert opened[0].class_map().tolist() == [[-1, 0, 0], [1, 1, 1]]
        assert labels_of(opened) == [0]
        truth = opened.ground_truth()
        assert len(truth) == 3
        assert truth.about.class_ids.tolist() == [0]
        assert pickle.loads(pickle.dumps(opened))[0].class_map().tolist() == [[-1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ({"category_id": 9}, r"image a\.png: category_id 9 is not in categories"),
        ({"category_id": "cow"}, "category_id cow is not in categories"),
        ({"width": None, "height": None}, r"image a\.png has no width and height"),
    ],
)
def test_semantic_files_that_do_not_fit_are_refused_by_image(tmp_path, image, problem):
    with pytest.raises(DatasetError, match=problem):
        open_dataset(semantic(tmp_path, **image))


def test_instances_win_where_both_are_there_and_the_file_itself_may_be_named(tmp_path):
    file = semantic(tmp_path)
    (tmp_path / "annotations/instances_val.json").write_text(file.read_text())
    assert type(open_dataset(tmp_path)).__name__ == "CocoDataset"
    assert open_dataset(file)[0].class_map() is not None


def test_painting_a_scene_draws_every_random_number_from_its_own_generator():
    state = np.random.get_state()[1].copy()
    paint([], np.random.default_rng(0), (8, 8))
    SCENES[0].image()
    assert np.array_equal(np.random.get_state()[1], state)
