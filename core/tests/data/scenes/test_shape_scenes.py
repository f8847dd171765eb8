from __future__ import annotations

import multiprocessing
import pickle
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from anydet.data.scenes import layers
from anydet.data.scenes.layers import MIN_VISIBLE_PX
from anydet.data.scenes.shape_scenes import SyntheticDataset, label_scene, render_scene
from anydet.data.scenes.shapes import CLASSES, KEYPOINTS, KEYPOINTS_OF, OUTLINES
from anydet.geometry import masks

SCENES = [render_scene(5, index) for index in range(30)]


def digest(seed_and_index):
    scene = render_scene(*seed_and_index)
    return sha256(scene.image.tobytes() + scene.labels.boxes_xywh_px.tobytes()).hexdigest()


@pytest.mark.slow
def test_a_scene_is_the_same_in_another_process():
    wanted = [(0, 0), (0, 7), (3, 2)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.starmap(render_scene, wanted)  # by name of a module that the child can import
    for scene, (seed, index) in zip(there, wanted, strict=True):
        here = render_scene(seed, index)
        assert np.array_equal(scene.image, here.image)
        assert np.array_equal(scene.labels.boxes_xywh_px, here.labels.boxes_xywh_px)


def test_a_scene_is_the_same_whatever_the_number_of_scenes():
    few, many = SyntheticDataset(3, seed=9), SyntheticDataset(300, seed=9)
    assert np.array_equal(few[2].image(), many[2].image())
    assert np.array_equal(few[2].labels.boxes_xywh_px, many[2].labels.boxes_xywh_px)
    assert few.keys == many.keys[:3]


def test_seeds_and_indices_give_different_scenes():
    assert len({digest((seed, index)) for seed in range(3) for index in range(3)}) == 9


@pytest.mark.slow
def test_scenes_without_shapes_differ_by_their_background():
    empty = [index for index in range(60) if not len(label_scene(5, index))]
    one, other = (render_scene(5, index).image for index in empty[:2])
    assert (one != other).any(axis=2).mean() > 0.9


def test_boxes_are_the_smallest_around_masks_and_areas_count_their_pixels():
    for scene in SCENES:
        for box, area, rle in zip(
            scene.labels.boxes_xywh_px, scene.labels.areas, scene.labels.segmentations, strict=True
        ):
            rows, columns = np.nonzero(masks.decode(rle))
            assert rle.size_hw == scene.image.shape[:2]
            assert area == len(rows) >= MIN_VISIBLE_PX
            low, high = [columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [*low, high[0] - low[0], high[1] - low[1]]


def test_masks_of_one_scene_have_no_pixel_in_common():
    for scene in SCENES:
        visible = [masks.decode(rle) for rle in scene.labels.segmentations]
        assert np.sum(visible, axis=0).max(initial=0) <= 1


@pytest.mark.slow
def test_every_painted_shape_is_labeled_and_every_label_is_painted():
    """Chroma is high inside the masks and, but for a rim of one pixel, nowhere else."""
    for scene in SCENES:
        inside = np.zeros(scene.image.shape[:2], np.uint8)
        for rle in scene.labels.segmentations:
            mask = masks.decode(rle)
            assert np.median(np.ptp(scene.image[mask].astype(int), axis=1)) > 60
            inside |= mask.astype(np.uint8)
        near = np.asarray(Image.fromarray(inside).filter(ImageFilter.MaxFilter(3))).astype(bool)
        assert (np.ptp(scene.image[~near].astype(int), axis=1) > 110).mean() < 1e-3


def test_shapes_of_which_too_little_is_seen_are_not_there(monkeypatch):
    monkeypatch.setattr(layers, "MIN_VISIBLE", 0.99)
    whole = [label_scene(5, index) for index in range(30)]
    assert 0 < sum(map(len, whole)) < sum(len(scene.labels) for scene in SCENES)
    assert all((labels.keypoints[..., 2] == 2).all() for labels in whole)


def test_scenes_hold_all_classes_and_some_hold_none():
    counts = [len(scene.labels) for scene in SCENES]
    assert min(counts) == 0
    assert max(counts) >= 5
    assert set(np.concatenate([scene.labels.class_ids for scene in SCENES])) == set(range(len(CLASSES)))


def test_visible_keypoints_are_on_their_mask_and_the_others_do_not():
    seen = set()
    for scene in SCENES:
        for points, rle in zip(scene.labels.keypoints, scene.labels.segmentations, strict=True):
            mask = masks.decode(rle)
            height, width = mask.shape
            for x, y, visibility in points:
                seen.add(visibility)
                if visibility == 0:
                    assert (x, y) == (0, 0)
                else:
                    assert 0 <= x < width
                    assert 0 <= y < height
                    assert mask[int(y), int(x)] == (visibility == 2)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("name", OUTLINES)
def test_keypoints_are_inside_their_outline_and_outlines_in_the_unit_circle(name):
    assert np.linalg.norm(OUTLINES[name], axis=1).max() == pytest.approx(1.0)
    assert len(KEYPOINTS_OF[name]) == len(KEYPOINTS)
    canvas = Image.new("1", (400, 400))
    ImageDraw.Draw(canvas).polygon([(200 + 190 * x, 200 + 190 * y) for x, y in OUTLINES[name]], fill=1)
    assert all(canvas.getpixel((200 + 190 * x, 200 + 190 * y)) for x, y in KEYPOINTS_OF[name])


def test_labels_need_no_pixels_and_are_those_of_the_rendered_scene():
    labels, scene = label_scene(5, 3), SCENES[3]
    assert labels.segmentations == scene.labels.segmentations
    assert np.array_equal(labels.keypoints, scene.labels.keypoints)


def test_the_layout_scales_with_the_image():
    small, large = label_scene(5, 1, (160, 120)), label_scene(5, 1, (640, 480))
    assert small.class_ids.tolist() == large.class_ids.tolist()
    assert np.allclose(small.boxes_xywh_px * 4, large.boxes_xywh_px, atol=8)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 300), (17, 16)])
def test_odd_sizes_render(size_wh):
    scene = render_scene(0, 1, size_wh)
    assert scene.image.shape == (size_wh[1], size_wh[0], 3)


def test_records_render_on_access_and_survive_pickling():
    record = pickle.loads(pickle.dumps(SyntheticDataset(10, seed=5)))[3]
    copy = pickle.loads(pickle.dumps(record))
    assert len(pickle.dumps(record)) < 20_000
    assert copy.size_wh == (320, 240)
    assert np.array_equal(copy.image(), SCENES[3].image)


def test_ground_truth_is_that_of_the_records():
    dataset = SyntheticDataset(12, seed=5)
    truth = dataset.ground_truth(max_images=7)
    assert truth.images == dataset.keys[:7]
    assert truth.classes == CLASSES
    for index in range(7):
        part, labels = truth.labels.take(truth.image_index == index), dataset[index].labels
        assert np.array_equal(part.boxes_xywh_px, labels.boxes_xywh_px)
        assert np.array_equal(part.class_ids, labels.class_ids)
        assert part.segmentations == labels.segmentations


def test_a_dataset_ends():
    dataset = SyntheticDataset(2)
    assert [record.key for record in dataset] == ["000000.png", "000001.png"]
    assert dataset[-1].key == "000001.png"
    with pytest.raises(IndexError):
        dataset[2]


def test_fingerprints_differ_by_seed_size_and_count():
    different = [
        SyntheticDataset(4),
        SyntheticDataset(4, 1),
        SyntheticDataset(5),
        SyntheticDataset(4, 0, (64, 64)),
    ]
    assert len({dataset.fingerprint() for dataset in different}) == 4
    assert SyntheticDataset(4).fingerprint() == SyntheticDataset(4).fingerprint()
