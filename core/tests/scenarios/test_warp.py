"""Labels follow the pixels: poses of a turned camera project to where the homography puts their points."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.data.scenes.shape_scenes import SyntheticDataset
from anydet.geometry import masks
from anydet.geometry.pose_errors import project
from anydet.geometry.rotations import random_rotation, turn_by
from anydet.scenarios.warp import Warp
from anydet.types import Intrinsics, Labels, Poses

CAMERA = Intrinsics(600.0, 580.0, 310.0, 250.0)
SIZE = (640, 480)
WARPS = {
    "rotation": lambda: Warp.turned(turn_by(np.array([0.0, 0.0, 0.3])), CAMERA, SIZE),
    "jitter": lambda: Warp.turned(turn_by(np.array([0.02, -0.03, 0.01])), CAMERA, SIZE),
    "zoom": lambda: Warp.zoomed(0.5, CAMERA, SIZE),
}


def posed():
    rng = np.random.default_rng(0)
    rotations = np.stack([random_rotation(rng) for _ in range(4)])
    translations = np.concatenate([rng.uniform(-0.2, 0.2, (4, 2)), rng.uniform(1, 2, (4, 1))], axis=1)
    centers = project(translations, CAMERA)
    boxes = np.concatenate([centers - 30, np.full((4, 2), 60.0)], axis=1)
    poses = Poses(rotations=rotations, translations_m=translations, log_z=np.log(translations[:, 2]))
    return Labels(np.zeros(4, np.int64), boxes, np.full(4, 3600.0), np.zeros(4, np.bool_), poses=poses)


@pytest.mark.parametrize("name", WARPS)
def test_poses_project_to_where_the_image_shows_them(name):
    warp, labels = WARPS[name](), posed()
    moved = warp.labels(labels, 0.0)
    points = np.random.default_rng(1).uniform(-0.05, 0.05, (8, 3))
    before = points @ labels.poses.rotations.transpose(0, 2, 1) + labels.poses.translations_m[:, None]
    after = points @ moved.poses.rotations.transpose(0, 2, 1) + moved.poses.translations_m[:, None]
    np.testing.assert_allclose(project(after, warp.camera), warp.points(project(before, CAMERA)), atol=1e-9)


@pytest.mark.parametrize(
    "there_and_back",
    [
        [Warp.turned(turn_by(np.array([0.0, 0.0, sign * 0.2])), CAMERA, SIZE) for sign in (1, -1)],
        [Warp.zoomed(0.5, CAMERA, SIZE), Warp.zoomed(2.0, Warp.zoomed(0.5, CAMERA, SIZE).camera, SIZE)],
    ],
    ids=["rotation", "zoom"],
)
def test_there_and_back_is_where_it_was(there_and_back):
    labels = posed()
    poses = there_and_back[0].poses(labels.poses, *[np.zeros((4, 4))] * 2)
    back = there_and_back[1].poses(poses, *[np.zeros((4, 4))] * 2)
    np.testing.assert_allclose(back.rotations, labels.poses.rotations, atol=1e-12)
    np.testing.assert_allclose(back.translations_m, labels.poses.translations_m, atol=1e-12)
    xy = np.array([[10.0, 20.0], [600.0, 400.0]])
    np.testing.assert_allclose(there_and_back[1].points(there_and_back[0].points(xy)), xy, atol=1e-9)


def test_a_turn_of_nothing_changes_no_pixel():
    image = np.random.default_rng(2).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    assert (Warp.turned(np.eye(3), None, (64, 48)).image(image) == image).all()


WIDTH, HEIGHT = 200, 160
HALF = Warp.zoomed(0.5, None, (WIDTH, HEIGHT))
TURNS = {
    "rotation": Warp.turned(turn_by(np.array([0.0, 0.0, 0.4])), None, (WIDTH, HEIGHT)),
    "jitter": Warp.turned(turn_by(np.array([0.04, -0.05, 0.03])), None, (WIDTH, HEIGHT)),
    "half": HALF,
}
RECTANGLE = (60.0, 50.0, 120.0, 50.0, 120.0, 90.0, 60.0, 90.0)


def disk(center, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (columns - center[0]) ** 2 + (rows - center[1]) ** 2 < radius**2


def labels_of(boxes, **fields):
    array = np.array(boxes, np.float64).reshape(-1, 4)
    n = len(array)
    return Labels(np.zeros(n, np.int64), array, array[:, 2] * array[:, 3], np.zeros(n, np.bool_), **fields)


@pytest.mark.parametrize("name", TURNS)
def test_a_polygon_moves_corner_by_corner_and_its_box_is_around_it(name):
    warp = TURNS[name]
    moved = warp.labels(labels_of([[60, 50, 60, 40]], segmentations=((RECTANGLE,),)), 0.3)
    corners = np.array(moved.segmentations[0][0]).reshape(-1, 2)
    np.testing.assert_allclose(corners, warp.points(np.array(RECTANGLE).reshape(-1, 2)))
    x, y, width, height = moved.boxes_xywh_px[0]
    np.testing.assert_allclose([x, y], corners.min(axis=0))
    np.testing.assert_allclose([x + width, y + height], corners.max(axis=0))


@pytest.mark.parametrize("name", TURNS)
def test_a_mask_is_where_its_pixels_are_seen(name):
    """The image of a white disk, moved, is white where the moved mask is."""
    warp, mask = TURNS[name], disk((90, 70), 30)
    coded = masks.encode(mask)
    moved = warp.labels(labels_of([masks.bounds_xywh(coded)], segmentations=(coded,)), 0.3)
    image = np.where(mask[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    white = warp.image(image)[..., 0] > 127
    inside = warp.mask(np.ones_like(mask))  # elsewhere the image is gray
    found = masks.decode(moved.segmentations[0])
    assert (found != (white & inside)).sum() < 0.03 * found.sum()
    np.testing.assert_array_equal(moved.boxes_xywh_px[0], masks.bounds_xywh(moved.segmentations[0]))


@pytest.mark.parametrize("name", TURNS)
def test_a_box_without_an_outline_is_that_of_the_ellipse_in_it(name):
    """Against the moved corners of a polygon of many points of that ellipse."""
    warp, around = TURNS[name], np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ellipse = np.stack([90 + 30 * np.cos(around), 70 + 20 * np.sin(around)], axis=1)
    points = warp.points(ellipse)
    (found,) = warp.labels(labels_of([[60, 50, 60, 40]]), 0.3).boxes_xywh_px
    expected = np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])
    np.testing.assert_allclose(found, expected, atol=1.0 if name == "jitter" else 0.01)


def test_half_the_scale_is_a_quarter_of_the_area():
    coded = masks.encode(disk((90, 70), 30))
    shapes = (None, (RECTANGLE,), coded)
    boxes = [[60, 50, 60, 40], [60, 50, 60, 40], masks.bounds_xywh(coded)]
    labels = labels_of(boxes, segmentations=shapes)
    moved = HALF.labels(labels, 0.3)
    np.testing.assert_allclose(moved.areas[:2] / labels.areas[:2], 0.25)
    assert moved.areas[2] / labels.areas[2] == pytest.approx(0.25, abs=0.02)


def test_what_left_the_image_is_gone_and_what_is_hardly_left_counts_neither_way():
    double = Warp.zoomed(2.0, None, (WIDTH, HEIGHT))  # what is seen is x 50..150, y 40..120
    square = (40.0, 60.0, 60.0, 60.0, 60.0, 80.0, 40.0, 80.0)  # half of it stays
    gone = tuple(value - 40.0 for value in square)
    coded = masks.encode(disk((50, 80), 20))
    boxes = [[0, 20, 20, 20], [40, 60, 20, 20], [30, 60, 40, 40], [44, 60, 20, 20], [0, 0, 9, 9]]
    shapes = ((gone,), (square,), coded, None, None)
    labels = labels_of(boxes, segmentations=shapes)
    for least, crowd in ((0.3, [False, False, False]), (0.6, [True, True, False]), (0.8, [True] * 3)):
        moved = double.labels(labels, least)
        assert len(moved) == 3
        assert moved.iscrowd.tolist() == crowd
    np.testing.assert_allclose(moved.boxes_xywh_px[0], [0, 40, 20, 40])
    np.testing.assert_allclose(moved.boxes_xywh_px[2], [0, 40, 28, 40])


def test_keypoints_move_and_those_outside_of_the_image_are_unlabeled():
    double = Warp.zoomed(2.0, None, (WIDTH, HEIGHT))
    keypoints = np.array([[[100.0, 80, 2], [110, 90, 1], [10, 80, 2], [0, 0, 0]]])
    moved = double.labels(labels_of([[90, 70, 40, 40]], keypoints=keypoints), 0.3)
    expected = [[[100, 80, 2], [120, 100, 1], [0, 0, 0], [0, 0, 0]]]
    np.testing.assert_allclose(moved.keypoints, expected)


@pytest.mark.parametrize("name", TURNS)
def test_keypoints_stay_on_their_masks(name):
    scenes = SyntheticDataset(3, 3, (WIDTH, HEIGHT))
    for record in scenes:
        labels = record.labels
        moved = TURNS[name].labels(labels, 0.0)
        for coded, points in zip(moved.segmentations, moved.keypoints, strict=True):
            mask = masks.decode(coded)
            near = np.pad(mask, 2)
            grown = np.any([near[a : a + HEIGHT, b : b + WIDTH] for a in range(5) for b in range(5)], axis=0)
            for x, y, visibility in points:
                if visibility == 2 and x < WIDTH and y < HEIGHT:
                    assert grown[int(y), int(x)]


def test_without_a_camera_poses_are_unknown():
    labels = posed()
    assert Warp.turned(turn_by(np.array([0.0, 0.0, 0.3])), None, SIZE).labels(labels, 0.0).poses is None


def test_depth_alone_stays_where_its_object_is():
    """The projected center of an object keeps its place beside the box that moved."""
    labels = posed()
    poses = Poses(log_z=labels.poses.log_z)
    warp = WARPS["jitter"]()
    boxes = labels.boxes_xywh_px
    old = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    moved = warp.poses(poses, old, old)
    centers = (old[:, :2] + old[:, 2:]) / 2
    np.testing.assert_allclose(centers + moved.offsets_px, warp.points(centers), atol=1e-9)


def test_class_masks_move_and_what_comes_from_beyond_has_no_class():
    whole = np.ones((HEIGHT, WIDTH), bool)
    found = HALF.semantic({0: masks.encode(whole)})
    kept = masks.decode(found[0])
    assert kept.sum() == HEIGHT * WIDTH // 4
    assert kept[HEIGHT // 4 : -HEIGHT // 4, WIDTH // 4 : -WIDTH // 4].all()
