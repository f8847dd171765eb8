"""What detections have that become one, and images that were seen several times. One rule for all fusions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anydet.columns import concatenate
from anydet.geometry import masks
from anydet.geometry.boxes import covered_by_class
from anydet.geometry.oriented import CORNERS, aligned
from anydet.geometry.rotations import matrix_to_rot6d, nearest_rotation, rot6d_to_matrix
from anydet.prediction.hooks import ViewResult
from anydet.types import RLE, BoolArray, Classification, FloatArray, ImagePredictions, IntArray, Poses


def join_results(results: Sequence[ViewResult]) -> tuple[ImagePredictions, IntArray]:
    """All detections, one result after the other, and the position of the result that each came from.

    Pieces of objects that a window cuts are left out where a whole detection is there, see ``whole_rows``.

    Image-level values count by the weights of their views: ``classification`` has the mean of all class
    scores where every result has them, else the class with most weight times score; a pixel of
    ``semantic_mask`` has the class with most weight among the results that name one. ``intrinsics``,
    ``preprocess`` and ``extra`` are those of the first result.
    """
    found = [
        result.predictions if len(rows) == len(result.predictions) else result.predictions.take(rows)
        for result, rows in zip(results, whole_rows(results), strict=True)
    ]
    origin = np.repeat(np.arange(len(found)), [len(predictions) for predictions in found])
    joined = replace(
        concatenate(found),
        classification=_merge_classifications(results),
        semantic_mask=_merge_semantic_masks(results),
    )
    return joined, origin


def whole_rows(results: Sequence[ViewResult]) -> list[IntArray]:
    """Rows of each result without the pieces of objects that its window cuts and another result has whole.

    A detection at an edge of its window that is no edge of the image is a piece, if one of its class that is
    none covers most of it. Pieces that nothing covers stay: they are all that is known of the object.
    """
    windows = np.array([result.window_xyxy_px for result in results])
    if (np.abs(windows - np.array([0.0, 0.0, *results[0].predictions.size_wh])) <= 1.0).all():
        return [np.arange(len(result.predictions)) for result in results]
    cut = [_at_inner_edge(result) for result in results]
    if not any(pieces.any() for pieces in cut):
        return [np.arange(len(result.predictions)) for result in results]
    found = concatenate([result.predictions for result in results])
    is_piece = np.concatenate(cut)
    pieces, whole = np.flatnonzero(is_piece), np.flatnonzero(~is_piece)
    boxes, class_ids = found.boxes_xyxy_px, found.class_ids
    stays = np.ones(len(is_piece), np.bool_)
    stays[pieces] = ~covered_by_class(
        boxes[pieces], class_ids[pieces], boxes[whole], class_ids[whole], _COVERED
    )
    return [np.flatnonzero(rows) for rows in np.split(stays, np.cumsum(list(map(len, cut)))[:-1])]


_EDGE_PX = 4.0
"""How near to an edge a box counts as cut by it: detectors stop a few pixels before the edge or behind it."""
_COVERED = 0.6
"""Fraction of a piece that a whole detection covers."""


def _at_inner_edge(result: ViewResult) -> BoolArray:
    """(N,) whether a detection ends at an edge of the window that is none of the image."""
    boxes, window = result.predictions.boxes_xyxy_px, np.array(result.window_xyxy_px)
    inner = np.abs(window - np.array([0.0, 0.0, *result.predictions.size_wh])) > 1.0
    outwards = np.array([-1.0, -1.0, 1.0, 1.0])
    at_edge: BoolArray = (((boxes - window) * outwards > -_EDGE_PX) & inner).any(axis=1)
    return at_edge


def merge_clusters(rows: ImagePredictions, cluster: IntArray, weights: FloatArray) -> ImagePredictions:
    """One detection a cluster, in the order of the clusters' numbers.

    A cluster of one stays as it is, bit for bit. Of several detections the one of most weight, in ties the
    first, gives the score, the class and the free data (the first that has any). The rest counts by weight,
    among those that have a value:

    - boxes and state scores: mean;
    - states: the one with most weight;
    - masks: pixels in which at least half of the weight agrees;
    - keypoints: mean of their scores, and of their places by weight times score; visibility of the detection
      of most weight that knows it; corners of oriented boxes are those that are nearest to each other;
    - poses: mean of depths, translations, offsets and corrections; rotations averaged on SO(3).

    Args:
        rows: (N) detections of one image.
        cluster: (N,) number of each one's cluster; 0..K-1, none left out.
        weights: (N,) not negative.
    """
    groups = _Groups.of(cluster, weights)
    merged = rows.take(groups.best)
    several = np.flatnonzero(groups.sizes > 1)
    if not len(several):
        return merged
    inside = groups.sizes[cluster] > 1
    renumbered = np.cumsum(groups.sizes > 1) - 1
    members = rows.take(inside)
    return _put(merged, several, _merge(members, _Groups.of(renumbered[cluster[inside]], weights[inside])))


def complete_poses(poses: Poses, others: Poses | None) -> Poses:
    """Poses with missing values taken from others of the same objects."""
    if others is None:
        return poses
    filled = {}
    for field in fields(Poses):
        own, other = getattr(poses, field.name), getattr(others, field.name)
        # All numbers of a rotation or a place, or none: halves of two estimates make no third one.
        known = None if own is None else np.isfinite(own).reshape(len(own), -1).all(axis=1)
        if known is not None and other is not None and not known.all():
            filled[field.name] = np.where(known.reshape((-1,) + (1,) * (own.ndim - 1)), own, other)
    return replace(poses, **filled)


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    """Which rows belong together, sorted by group and, within it, most weight first.

    Attributes:
        order: (N,) rows in that order.
        starts: (K,) where each group begins in it.
        sizes: (K,) rows of each.
        group: (N,) group of each row in that order.
        weights: (N,) of the rows in that order, positive.
    """

    order: IntArray
    starts: IntArray
    sizes: IntArray
    group: IntArray
    weights: FloatArray

    @classmethod
    def of(cls, cluster: IntArray, weights: FloatArray) -> _Groups:
        order = np.lexsort((-weights, cluster))
        sizes = np.bincount(cluster)
        starts = np.cumsum(sizes) - sizes
        # A group whose weights are all zero has a mean too.
        positive = np.maximum(weights[order], 1e-300)
        return cls(order, starts, sizes, cluster[order], positive)

    @property
    def best(self) -> IntArray:
        """(K,) row of most weight of each group."""
        return self.order[self.starts]

    def sum(self, values: NDArray[Any]) -> FloatArray:
        """(K, ...) sums of (N, ...) values in this order."""
        total: FloatArray = np.add.reduceat(values, self.starts, axis=0)
        return total

    def mean(self, column: FloatArray, weights: FloatArray | None = None) -> FloatArray:
        """(K, ...) weighted means of (N, ...) rows, NaN left out; NaN where a group has nothing else.

        Args:
            column: in the rows' own order.
            weights: (N, ...) broadcast to the column, in the groups' order; the rows' by default.
        """
        values = column[self.order]
        given = self.weights if weights is None else weights
        given = given.reshape(given.shape + (1,) * (values.ndim - given.ndim))
        known = np.isfinite(values)
        total = self.sum(np.where(known, given, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            means: FloatArray = self.sum(np.where(known, given * values, 0.0)) / total
        return means

    def first(self, column: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[Any]:
        """(K, ...) value of the row of most weight that has one; that of the heaviest row where none has."""
        known = known[self.order]
        position = np.arange(len(known)).reshape((-1,) + (1,) * (known.ndim - 1))
        at = np.minimum.reduceat(np.where(known, position, len(known)), self.starts, axis=0)
        heaviest = self.starts.reshape((-1,) + (1,) * (known.ndim - 1))
        found: NDArray[Any] = np.take_along_axis(
            column[self.order], np.where(at < len(known), at, heaviest), axis=0
        )
        return found

    def rows(self) -> list[IntArray]:
        """Positions of each group's rows in this order."""
        return [np.arange(a, a + n) for a, n in zip(self.starts.tolist(), self.sizes.tolist(), strict=True)]


def _merge(rows: ImagePredictions, groups: _Groups) -> ImagePredictions:
    """One detection a group of two or more."""
    best = rows.take(groups.best)
    visibility, scores = rows.keypoint_visibility, rows.state_scores
    return replace(
        best,
        boxes_xyxy_px=groups.mean(rows.boxes_xyxy_px),
        states=_if(rows.states, lambda states: _vote(states, groups)),
        state_scores=_if(scores, groups.mean),
        masks=_if(rows.masks, lambda column: _merge_masks(column, groups)),
        keypoints=_if(rows.keypoints, lambda keypoints: _merge_keypoints(keypoints, groups)),
        keypoint_visibility=_if(visibility, lambda column: groups.first(column, column >= 0)),
        poses=_if(rows.poses, lambda poses: _merge_poses(poses, groups)),
        detection_extra=_if(rows.detection_extra, lambda extra: _first_extra(extra, groups)),
    )


def _if(column: Any, merge: Callable[[Any], Any]) -> Any:
    return None if column is None else merge(column)


def _put(into: ImagePredictions, at: IntArray, rows: ImagePredictions) -> ImagePredictions:
    """The detections with those at some positions replaced."""
    order = np.arange(len(into))
    order[at] = len(into) + np.arange(len(at))
    return concatenate([into, rows]).take(order)


def _vote(states: IntArray, groups: _Groups) -> IntArray:
    """(K,) state of most weight; -1 where all are unknown."""
    ordered = states[groups.order]
    votes = np.zeros((len(groups.sizes), max(0, int(ordered.max(initial=-1))) + 1))
    known = ordered >= 0
    np.add.at(votes, (groups.group[known], ordered[known]), groups.weights[known])
    elected: IntArray = np.where(votes.max(axis=1) > 0, votes.argmax(axis=1), -1)
    return elected


def _merge_masks(column: Sequence[RLE | None], groups: _Groups) -> tuple[RLE | None, ...]:
    return tuple(
        _vote_mask([(column[groups.order[i]], float(groups.weights[i])) for i in positions.tolist()])
        for positions in groups.rows()
    )


def _vote_mask(found: Sequence[tuple[RLE | None, float]]) -> RLE | None:
    """Pixels in which at least half of the weight agrees; the heaviest mask where it has none."""
    known = [(mask, weight) for mask, weight in found if mask is not None]
    if not known:
        return None
    heaviest, most = known[0]
    total = sum(weight for _, weight in known)
    # More than half of the weight is a majority by itself: nothing to decode.
    if 2 * most > total:
        return heaviest
    votes = np.sum([weight * masks.decode(mask) for mask, weight in known], axis=0)
    agreed = 2 * votes >= total
    return masks.encode(agreed) if agreed.any() else heaviest


def _merge_keypoints(keypoints: FloatArray, groups: _Groups) -> FloatArray:
    """(K, P, 3) of (N, P, 3)."""
    scores = keypoints[groups.order][..., 2]
    if keypoints.shape[1] == len(CORNERS) and not np.isfinite(scores).any():
        keypoints = _aligned_corners(keypoints, groups)
    # Never zero, so that a keypoint whose scores are all zero still has a place.
    counted = np.where(np.isfinite(scores), np.maximum(scores, 1e-9), 1.0)
    places = groups.mean(keypoints[..., :2], groups.weights[:, None] * counted)
    return np.concatenate([places, groups.mean(keypoints[..., 2:])], axis=-1)


def _aligned_corners(keypoints: FloatArray, groups: _Groups) -> FloatArray:
    """Corners of oriented boxes, which alone have no scores, in the order of those of most weight."""
    heaviest = np.empty(len(keypoints), np.int64)
    heaviest[groups.order] = np.repeat(groups.best, groups.sizes)
    turned = np.array(keypoints)
    turned[..., :2] = aligned(keypoints[..., :2], keypoints[heaviest][..., :2])
    return turned


def _merge_poses(poses: Poses, groups: _Groups) -> Poses:
    means = {
        field.name: _if(getattr(poses, field.name), groups.mean)
        for field in fields(Poses)
        if field.name not in {"rotations", "rot6d"}
    }
    return Poses(
        rotations=_if(poses.rotations, lambda matrices: _mean_rotations(matrices, groups)),
        rot6d=_if(
            poses.rot6d, lambda rot6d: matrix_to_rot6d(_mean_rotations(rot6d_to_matrix(rot6d), groups))
        ),
        **means,
    )


def _mean_rotations(rotations: FloatArray, groups: _Groups) -> FloatArray:
    """(K, 3, 3) rotations nearest to the weighted means of (N, 3, 3): the chordal L2 mean.

    Source: Hartley et al. 2013, "Rotation Averaging", section 5.3.
    """
    means = groups.mean(rotations)
    known = np.isfinite(means).all(axis=(1, 2))
    means[known] = nearest_rotation(means[known])
    return means


def _first_extra(
    extra: tuple[Mapping[str, Any] | None, ...], groups: _Groups
) -> tuple[Mapping[str, Any] | None, ...]:
    """Free data of the row of most weight that has any."""
    ordered = [extra[i] for i in groups.order.tolist()]
    return tuple(
        next((ordered[i] for i in positions.tolist() if ordered[i]), ordered[positions[0]])
        for positions in groups.rows()
    )


def _merge_classifications(results: Sequence[ViewResult]) -> Classification | None:
    found = [(r.predictions.classification, r.weight) for r in results]
    known = [(one, weight) for one, weight in found if one is not None]
    if len(known) < 2:
        return known[0][0] if known else None
    total = sum(weight for _, weight in known)
    lengths = {None if one.scores is None else len(one.scores) for one, _ in known}
    if len(lengths) == 1 and None not in lengths:
        means = np.sum([weight * np.array(one.scores) for one, weight in known], axis=0) / total
        best = int(np.argmax(means))
        return Classification(best, float(means[best]), tuple(means.tolist()))
    votes: dict[int, float] = {}
    for one, weight in known:
        votes[one.class_id] = votes.get(one.class_id, 0.0) + weight * one.score
    elected = max(votes, key=votes.__getitem__)
    behind = sum(weight for one, weight in known if one.class_id == elected)
    return Classification(elected, votes[elected] / behind)


def _merge_semantic_masks(results: Sequence[ViewResult]) -> Mapping[int, RLE] | None:
    found = [(r.predictions.semantic_mask, r.weight) for r in results]
    known = [(masks_, weight) for masks_, weight in found if masks_ is not None]
    if len(known) < 2:
        return known[0][0] if known else None
    class_ids = sorted({class_id for named, _ in known for class_id in named})
    if not class_ids:
        return {}
    width, height = results[0].predictions.size_wh
    votes = np.zeros((len(class_ids), height, width), np.float32)
    for named, weight in known:
        for class_id, mask in named.items():
            votes[class_ids.index(class_id)] += np.float32(weight) * masks.decode(mask)
    elected = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0), -1)
    merged = {class_id: elected == i for i, class_id in enumerate(class_ids)}
    return {class_id: masks.encode(mask) for class_id, mask in merged.items() if mask.any()}
