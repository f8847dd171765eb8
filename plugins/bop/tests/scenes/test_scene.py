"""Pose scenes show what their labels say."""

from __future__ import annotations

import numpy as np
import pytest

from anydet.geometry import masks
from anydet.geometry.pose_errors import Shape, project
from anydet.geometry.rotations import random_rotation
from anydet_bop.rendering.raster import compose, rasterize
from anydet_bop.scenes.scene import (
    MIN_VISIBLE,
    MIN_VISIBLE_PX,
    Placed,
    PoseScene,
    build_scene,
    camera_of,
    paint_scene,
)
from anydet_bop.scenes.solids import CLASSES, solids

SIZE = (160, 120)
SCENES = [build_scene(3, index, SIZE) for index in range(24)]


def alone(class_id, rotation, translation, size_wh=SIZE):
    camera = camera_of(size_wh)
    surface = rasterize(solids()[class_id].mesh, rotation, translation, camera)
    return PoseScene(
        size_wh, camera, (Placed(class_id, rotation, translation, surface),), compose([surface], size_wh)
    )


def test_boxes_are_the_smallest_around_what_is_seen_and_masks_are_disjoint():
    for scene in SCENES:
        labels = scene.labels()
        seen = [masks.decode(rle) for rle in labels.segmentations]
        assert np.sum(seen, axis=0).max() <= 1
        for mask, box, area in zip(seen, labels.boxes_xywh_px, labels.areas, strict=True):
            rows, columns = np.nonzero(mask)
            low, high = [columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [*low, high[0] - low[0], high[1] - low[1]]
            assert area == len(rows)


def test_every_object_that_is_painted_is_labeled_and_seen_enough():
    visible = np.concatenate([scene.visibility() for scene in SCENES])
    assert visible.min() >= MIN_VISIBLE
    assert (visible < 0.95).any()
    assert (visible == 1).any()
    for scene in SCENES:
        assert len(scene.labels()) == len(scene.objects)
        assert set(np.unique(scene.view.owners)) <= {-1, *range(len(scene.objects))}
        assert min(scene.labels().areas) >= MIN_VISIBLE_PX


def test_the_projected_model_falls_on_the_mask_and_its_depth_on_the_depth_map():
    checked = 0
    for scene in SCENES:
        for position, one in enumerate(scene.objects):
            if scene.visibility()[position] < 1:
                continue
            points = solids()[one.class_id].fine_mesh.points_m @ one.rotation.T + one.translation_m
            column, row = np.floor(project(points, scene.camera)).astype(int).T
            low, high = np.array([column.min(), row.min()]), np.array([column.max(), row.max()])
            x, y, width, height = scene.labels().boxes_xywh_px[position]
            assert np.allclose(low, [x, y], atol=1.01)
            assert np.allclose(high + 1, [x + width, y + height], atol=1.01)
            silhouette = np.pad(scene.mask(position), 1)
            near = np.logical_or.reduce([silhouette[row + i, column + j] for i in range(3) for j in range(3)])
            assert near.all()
            depth = scene.depth_m()[scene.mask(position)]
            assert points[:, 2].min() - 1e-9 <= depth.min()
            assert depth.max() <= points[:, 2].max() + 1e-9
            checked += 1
    assert checked > 20


def test_the_nearer_of_two_objects_is_seen_where_their_silhouettes_meet():
    hidden = 0
    for scene in SCENES:
        for i, one in enumerate(scene.objects):
            for j, other in enumerate(scene.objects[:i]):
                both = one.surface.mask(SIZE) & other.surface.mask(SIZE)
                front, back = (i, j) if one.translation_m[2] < other.translation_m[2] else (j, i)
                assert (
                    not (both & scene.mask(back)).any()
                    or abs(one.translation_m[2] - other.translation_m[2]) < 0.18
                )
                hidden += (both & scene.mask(front)).sum()
    assert hidden > 100


@pytest.mark.parametrize("name", ["beam", "bottle"])
def test_symmetric_solids_look_the_same_in_poses_of_their_symmetries(name):
    """Discretized turns of the axis are whole numbers of its flat sides, so that the pixels are the same."""
    class_id = CLASSES.names.index(name)
    rng = np.random.default_rng(5)
    rotation, translation = random_rotation(rng), np.array([0.01, -0.02, 0.4])
    shape = Shape.of(solids()[class_id].model)
    turns = 2 * np.pi / 48 * np.array([1, 7, 24])
    around = [np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]]) for a in turns]
    motions = around if shape.model.axes else [motion[:3, :3] for motion in shape.motions]
    wanted = alone(class_id, rotation, translation)
    painted = paint_scene(wanted, np.random.default_rng(1)).astype(int)
    assert len(motions) >= 3
    for motion in motions:
        seen = alone(class_id, rotation @ motion, translation)
        assert (seen.view.owners != wanted.view.owners).sum() <= 2
        apart = np.abs(paint_scene(seen, np.random.default_rng(1)) - painted)
        assert np.quantile(apart, 0.999) <= 2


@pytest.mark.parametrize("name", ["carton", "can", "bracket"])
def test_other_solids_look_different_after_half_a_turn_about_each_axis(name):
    class_id = CLASSES.names.index(name)
    rotation, translation = random_rotation(np.random.default_rng(5)), np.array([0.01, -0.02, 0.4])
    wanted = alone(class_id, rotation, translation)
    painted = paint_scene(wanted, np.random.default_rng(1)).astype(float)
    for signs in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        seen = alone(class_id, rotation @ np.diag(signs), translation)
        apart = np.abs(paint_scene(seen, np.random.default_rng(1)) - painted)
        assert apart[wanted.mask(0)].mean() > 15
    assert not solids()[class_id].model.symmetric


def test_pixels_outside_the_masks_are_those_of_the_background():
    """The same generator paints the same background, whatever stands before it."""
    scene = SCENES[0]
    empty = PoseScene(SIZE, scene.camera, (), compose([], SIZE))
    shown, bare = (paint_scene(one, np.random.default_rng(2)).astype(int) for one in (scene, empty))
    covered = np.pad(scene.view.owners >= 0, 2)
    height, width = SIZE[::-1]
    near = np.logical_or.reduce([covered[i : i + height, j : j + width] for i in range(5) for j in range(5)])
    assert np.array_equal(shown[~near], bare[~near])
    assert np.abs(shown - bare)[scene.view.owners >= 0].mean() > 15


def test_scenes_hold_all_classes_and_all_numbers_of_objects():
    scenes = [build_scene(1, index, (48, 48)) for index in range(60)]
    assert {one.class_id for scene in scenes for one in scene.objects} == set(range(len(CLASSES)))
    assert {len(scene.objects) for scene in scenes} >= {1, 2, 3, 4}
    depths = np.array([one.translation_m[2] for scene in scenes for one in scene.objects])
    assert depths.max() / depths.min() > 2
