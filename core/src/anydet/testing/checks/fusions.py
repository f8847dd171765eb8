"""What a fusion of results is held to: each check is one function, as those of adapters are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.adaptation.tta.merging import join_results
from anydet.geometry import masks
from anydet.geometry.rotations import matrix_to_rot6d, random_rotation
from anydet.plugins.manager import Plugins
from anydet.prediction.hooks import Fusion, FusionSettings, ViewResult
from anydet.testing.checks.adapters.results import assert_boxes, assert_schema, assert_scores, assert_shapes
from anydet.testing.comparison import Tolerance, first_difference
from anydet.testing.kit import Subject, checks_of
from anydet.types import Classification, ImagePredictions, Intrinsics, Poses

if TYPE_CHECKING:
    from typing_extensions import Self

_SIZE_WH = (120, 90)


@dataclass(frozen=True)
class FusionSubject(Subject):
    """A fusion under test.

    Attributes:
        build: gives a new fusion.
    """

    build: Callable[[], Fusion]

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """An installed fusion with its options."""
        settings = FusionSettings(plugins.options("fusions", name, options or {}))
        return cls(partial(plugins.build, "fusions", name, settings), folder=folder)

    def set_up(self) -> None:
        """Build it once."""
        self.build()


def results_are_of_the_image(subject: FusionSubject) -> None:
    """The result has the key and the size of the image, with detections or without."""
    empty = ImagePredictions.empty("a.png", _SIZE_WH)
    for results in (several_results(), [_whole(empty), _whole(empty)]):
        fused = subject.build().fuse(results)
        assert isinstance(fused, ImagePredictions), f"fuse gave a {type(fused).__name__}, no result"
        assert (fused.image, fused.size_wh) == ("a.png", _SIZE_WH), (
            f"a result of {fused.image!r} {fused.size_wh}; keep those of the results"
        )


def columns_are_legal(subject: FusionSubject) -> None:
    """Shapes, boxes and scores are those of the contract, and all that is written fits its schema."""
    fused = subject.build().fuse(several_results())
    assert_shapes(fused)
    assert_boxes(fused)
    assert_scores(fused)
    assert_schema([fused])


def objects_that_all_views_agree_on_are_kept(subject: FusionSubject) -> None:
    """Of equal results with objects far apart each object comes back once, where it is.

    A copy may stay if it scores less, as it does after soft-NMS.
    """
    one = _apart()
    fused = subject.build().fuse([_whole(one), _whole(one)])
    # One object a class: the best of each class is the object, the others are copies.
    best = np.lexsort((-fused.scores, fused.class_ids))
    ids, first = np.unique(fused.class_ids[best], return_index=True)
    assert len(ids) == len(one), f"{len(ids)} classes of {len(one)} objects that both views found"
    objects = fused.take(best[first])
    copies = np.setdiff1d(np.arange(len(fused)), best[first])
    lower = objects.scores[np.searchsorted(ids, fused.class_ids[copies])]
    assert (fused.scores[copies] < lower).all(), (
        f"{len(fused)} detections of {len(one)} objects that both views found"
    )
    boxes, wanted = objects.boxes_xyxy_px, one.boxes_xyxy_px[np.argsort(one.class_ids)]
    assert np.allclose(boxes, wanted, atol=1e-6), (
        f"boxes {boxes.round(2).tolist()} where both views have {wanted.tolist()}"
    )


def classes_stay_apart(subject: FusionSubject) -> None:
    """Two objects of different classes in one place are two objects."""
    one = _apart().take(np.array([0, 0]))
    one = replace(one, class_ids=np.array([0, 1]))
    fused = subject.build().fuse([_whole(one), _whole(one)])
    assert sorted(set(fused.class_ids.tolist())) == [0, 1], (
        f"classes {fused.class_ids.tolist()}; merge detections of one class alone"
    )


def values_of_the_image_follow_the_rule(subject: FusionSubject) -> None:
    """Class, semantic mask, camera and free data of the image are those of ``join_results``."""
    results = several_results()
    fused, (joined, _) = subject.build().fuse(results), join_results(results)
    for name in ("classification", "semantic_mask", "intrinsics", "preprocess", "extra"):
        assert getattr(fused, name) == getattr(joined, name), (
            f"{name} {getattr(fused, name)}; start from join_results(results)"
        )


def results_are_left_alone(subject: FusionSubject) -> None:
    """The results that go in are the same afterwards."""
    results = several_results()
    subject.build().fuse(results)
    before, after = ([r.predictions for r in found] for found in (several_results(), results))
    difference = first_difference(before, after, Tolerance(0, 0), floor=-1)
    assert not difference, f"{difference}; copy arrays before writing to them"


def fusions_are_repeatable(subject: FusionSubject) -> None:
    """The same results give the same result: again, and from a new fusion."""
    fusion = subject.build()
    first = fusion.fuse(several_results())
    for again in (fusion, subject.build()):
        found = again.fuse(several_results())
        difference = first_difference([first], [found], Tolerance(0, 0), floor=-1)
        assert not difference, f"{difference}; keep nothing from one image to the next"


def several_results() -> list[ViewResult]:
    """Three results of one image with all columns that there are; one is of a tile."""
    rng = np.random.default_rng(16)
    objects = _random_predictions(rng, 12)
    found = []
    for window, weight in (((0, 0, 120, 90), 1.0), ((0, 0, 120, 90), 2.0), ((0, 0, 60, 90), 0.5)):
        seen = objects.take(rng.permutation(12)[:9])
        moved = seen.boxes_xyxy_px + rng.normal(0, 0.5, (9, 4))
        boxes = np.concatenate([moved[:, :2], np.maximum(moved[:, 2:], moved[:, :2] + 1)], axis=1)
        changed = replace(seen, boxes_xyxy_px=boxes, scores=rng.uniform(0.1, 1, 9))
        found.append(ViewResult(changed, weight, window))
    return found


def _random_predictions(rng: np.random.Generator, count: int) -> ImagePredictions:
    corners = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 35, (count, 2))], axis=1)
    rotations = np.stack([random_rotation(rng) for _ in range(count)])
    shape = np.zeros(_SIZE_WH[::-1], np.bool_)
    shape[10:40, 20:70] = True
    return ImagePredictions(
        "a.png",
        _SIZE_WH,
        boxes,
        rng.uniform(0.1, 1, count),
        rng.integers(0, 3, count),
        states=rng.integers(-1, 3, count),
        state_scores=rng.dirichlet(np.ones(3), count),
        masks=tuple(masks.encode(np.roll(shape, i, axis=1)) for i in range(count)),
        keypoints=np.concatenate([rng.uniform(0, 90, (count, 4, 2)), rng.random((count, 4, 1))], axis=2),
        keypoint_visibility=rng.integers(0, 3, (count, 4)),
        poses=Poses(
            log_z=rng.normal(size=count),
            rot6d=matrix_to_rot6d(rotations),
            rotations=rotations,
            translations_m=rng.uniform(0.1, 2, (count, 3)),
        ),
        detection_extra=tuple({"object": i} for i in range(count)),
        classification=Classification(1, 0.7, (0.3, 0.7)),
        semantic_mask={0: masks.encode(shape)},
        intrinsics=Intrinsics(100.0, 100.0, 60.0, 45.0),
        extra={"kit": True},
    )


def _apart() -> ImagePredictions:
    """Three objects of three classes in different places."""
    boxes = np.array([[2, 2, 20, 20], [40, 5, 60, 30], [70, 50, 110, 80]], np.float64)
    return ImagePredictions("a.png", _SIZE_WH, boxes, np.array([0.9, 0.6, 0.4]), np.array([2, 0, 1]))


def _whole(predictions: ImagePredictions) -> ViewResult:
    return ViewResult(predictions, 1.0, (0, 0, *_SIZE_WH))


CHECKS = checks_of(
    results_are_of_the_image,
    columns_are_legal,
    objects_that_all_views_agree_on_are_kept,
    classes_stay_apart,
    values_of_the_image_follow_the_rule,
    results_are_left_alone,
    fusions_are_repeatable,
)
"""Name -> check, in the order in which they are run."""
