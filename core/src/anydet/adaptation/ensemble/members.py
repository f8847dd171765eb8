"""Predictions files laid over each other: one table of images and one of classes for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from anydet.contract.columns import image_at
from anydet.contract.join import KeyIndex, join_keys
from anydet.contract.raw import RawPredictions
from anydet.dataclass import dataclass
from anydet.errors import ContractError, OptionError
from anydet.text import counted
from anydet.types import Classification, GroundTruthColumns, ImagePredictions, IntArray, Size


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One model's file among those that are fused.

    Attributes:
        raw: what it says.
        weight: of its detections, positive.
        rows: (I,) position in the file of each image of the common table, -1 where the model has no result.
        class_ids: common class id of each of its own, or ``None`` where they are the same.
        complete: whether the model predicted the images, too, that the file does not mention (COCO results).
        box_format: what its boxes are in, where it is not what the file says.
    """

    raw: RawPredictions
    weight: float
    rows: IntArray
    class_ids: IntArray | None
    complete: bool
    box_format: str | None

    def image(self, at: int, key: str, size_wh: Size) -> ImagePredictions | None:
        """The model's result of an image under the common classes; ``None`` where it has none."""
        row = int(self.rows[at])
        if row < 0:
            return ImagePredictions.empty(key, size_wh) if self.complete else None
        found = replace(image_at(self.raw, row, size_wh, self.box_format), image=key)
        return found if self.class_ids is None else _renumbered(found, self.class_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Files over one table of images and one of classes.

    Attributes:
        files: in the order in which they were given.
        images: keys of all images that a file mentions.
        sizes_wh: (I, 2) of the original images in pixels, 0 where no file states it.
        classes: names, or ``None`` where no file states any.
        states: names of the states, or ().
        keypoint_names: of all detections with keypoints, or ().
    """

    files: tuple[Member, ...]
    images: tuple[str, ...]
    sizes_wh: IntArray
    classes: tuple[str, ...] | None
    states: tuple[str, ...]
    keypoint_names: tuple[str, ...]

    def image(self, at: int) -> Iterator[tuple[Member, ImagePredictions | None]]:
        """What each model has of an image of the table."""
        width, height = self.sizes_wh[at].tolist()
        for member in self.files:
            yield member, member.image(at, self.images[at], (width, height))

    def lacking(self) -> list[IntArray]:
        """Positions of the images that each model has no result of."""
        return [
            np.zeros(0, np.int64) if member.complete else np.flatnonzero(member.rows < 0)
            for member in self.files
        ]


def lay_over(
    raws: Sequence[RawPredictions],
    weights: Sequence[float],
    truth: Callable[[], GroundTruthColumns] | None = None,
    box_format: str | None = None,
) -> Members:
    """Join images and classes of several files.

    Images join as predictions and data sets do: exactly, by path, or by a basename that is unique. Classes
    join by name; files without names have the ids of those that state some. An image that a run skipped
    (``extra.error``) counts as one that the file does not mention.

    Args:
        raws: at least one file.
        weights: one a file.
        truth: gives the data set, for the order of images, sizes and classes that files do not state.
        box_format: what boxes are in, for files other than COCO results; what each says by default.

    Raises:
        ContractError: files that contradict each other or the data set, or lack what is needed.
    """
    known = None if truth is None else truth()
    images, places = _join_images(raws, known)
    sizes = _sizes(raws, places, images, known)
    names = _class_names(raws, known)
    files = []
    for raw, place, weight in zip(raws, places, weights, strict=True):
        _check_scores(raw)
        rows = np.full(len(images), -1, np.int64)
        rows[place] = np.where(_skipped(raw), -1, np.arange(len(place)))
        coco = raw.shape == "coco"
        used = None if coco else box_format
        files.append(Member(raw, weight, rows, _class_map(raw, names), coco, used))
    _check_keypoints(raws)
    return Members(
        tuple(files),
        images,
        sizes,
        None if names is None else names[0],
        _agreed("meta.states", [(r, tuple((r.meta or {}).get("states", ()))) for r in raws]),
        _agreed("meta.extra.keypoint_names", [(r, _keypoint_names(r)) for r in raws]),
    )


def _join_images(
    raws: Sequence[RawPredictions], known: GroundTruthColumns | None
) -> tuple[tuple[str, ...], list[IntArray]]:
    """Keys of the common table, and the position in it of each file's images."""
    if known is not None:
        places = [join_keys(raw.images, known.images, source=raw.path) for raw in raws]
        # COCO results do not mention images on which nothing was found.
        if any(raw.shape == "coco" for raw in raws):
            return known.images, places
        used = np.unique(np.concatenate(places))
        return tuple(known.images[i] for i in used.tolist()), [np.searchsorted(used, at) for at in places]
    keys, places = list(raws[0].images), [np.arange(len(raws[0].images))]
    for raw in raws[1:]:
        index = KeyIndex(tuple(keys))
        at = index.exact(raw.images)
        for i in np.flatnonzero(at < 0).tolist():
            found = index.find(raw.images[i])
            if len(found) > 1:
                raise ContractError(
                    f"{raw.path}: image {raw.images[i]!r} may be any of "
                    f"{', '.join(repr(keys[j]) for j in list(found)[:5])} of the files before it",
                    fix="write image keys as paths relative to the split's image folder",
                )
            at[i] = found[0] if found else len(keys)
            if not found:
                keys.append(raw.images[i])
        twice, counts = np.unique(at, return_counts=True)
        for place in twice[counts > 1][:1].tolist():
            same = " and ".join(repr(raw.images[i]) for i in np.flatnonzero(at == place).tolist())
            raise ContractError(
                f"{raw.path}: images {same} are both {keys[place]!r} of the files before it",
                fix="write image keys as paths relative to the split's image folder",
            )
        places.append(at)
    return tuple(keys), places


def _sizes(
    raws: Sequence[RawPredictions],
    places: Sequence[IntArray],
    images: Sequence[str],
    known: GroundTruthColumns | None,
) -> IntArray:
    """(I, 2) sizes of the images, 0 where nobody states one."""
    sizes = np.zeros((len(images), 2), np.int64)
    owner = np.full(len(images), -1, np.int64)
    if known is not None:
        position = {key: i for i, key in enumerate(known.images)}
        sizes = np.maximum(known.sizes_wh[[position[key] for key in images]], 0).reshape(-1, 2)
        owner[sizes[:, 0] > 0] = len(raws)
    sources = [*(raw.path for raw in raws), "the data set"]
    for number, (raw, place) in enumerate(zip(raws, places, strict=True)):
        stated = np.maximum(raw.sizes_wh, 0)
        differ = ((stated != sizes[place]) & (stated > 0) & (sizes[place] > 0)).any(axis=1)
        for i in np.flatnonzero(differ)[:1].tolist():
            (width, height), (other_width, other_height) = stated[i].tolist(), sizes[place[i]].tolist()
            raise ContractError(
                f"image {raw.images[i]}: {raw.path} says {width} x {height} pixels, "
                f"{sources[owner[place[i]]]} {other_width} x {other_height} "
                f"({counted(int(np.count_nonzero(differ)), 'such image')})",
                fix="give predictions of the same original images",
            )
        new = (sizes[place, 0] == 0) & (stated[:, 0] > 0)
        sizes[place[new]], owner[place[new]] = stated[new], number
    for raw, place in zip(raws, places, strict=True):
        counts = np.bincount(raw.image_index, minlength=len(place))
        for i in np.flatnonzero((counts > 0) & (sizes[place, 0] == 0))[:1].tolist():
            raise ContractError(
                f"{raw.path}: image {raw.images[i]}: its size is needed, and no file states it",
                fix="give the data set of the predictions: --dataset",
            )
    return sizes


def _class_names(
    raws: Sequence[RawPredictions], known: GroundTruthColumns | None
) -> tuple[tuple[str, ...], str] | None:
    """The names of the common classes and who states them; ``None`` where nobody does."""
    # The names of a data set without names of its own are its ids as text.
    if known is not None and known.classes.names != tuple(map(str, range(len(known.classes)))):
        return known.classes.names, "the data set"
    return next(((raw.classes, raw.path) for raw in raws if raw.classes is not None), None)


def _class_map(raw: RawPredictions, common: tuple[tuple[str, ...], str] | None) -> IntArray | None:
    """Common class id of each class id of a file; ``None`` where they are the same."""
    if common is None:
        return None
    names, source = common
    own = names if raw.classes is None else raw.classes
    most = int(raw.class_ids.max(initial=-1))
    if most >= len(own):
        stated = source if raw.classes is None else raw.path
        fix = "export each with the names of its classes (--wrap)"
        raise ContractError(f"{raw.path}: class id {most}, and {stated} names {len(own)} classes", fix=fix)
    if own == names:
        return None
    position = {name: i for i, name in enumerate(names)}
    if len(position) < len(names) or sorted(own) != sorted(names):
        only = [name for name in own if name not in position]
        missing = [name for name in names if name not in set(own)]
        raise ContractError(
            f"classes differ: only in {raw.path} {_listed(only)}, only in {source} {_listed(missing)}",
            fix="give predictions of models with the same classes; names that mean the same must be written "
            "the same in meta.classes",
        )
    return np.array([position[name] for name in own], np.int64)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + ", ..." * (len(names) > 10) if names else "none"


def _renumbered(found: ImagePredictions, class_ids: IntArray) -> ImagePredictions:
    """The result with other class ids; an image's own classes, of which there are more, stay."""
    whole, semantic = found.classification, found.semantic_mask
    if whole is not None and whole.class_id < len(class_ids) >= len(whole.scores or ()):
        scores = whole.scores
        if scores is not None and len(scores) == len(class_ids):
            moved = np.empty(len(scores))
            moved[class_ids] = scores
            scores = tuple(moved.tolist())
        whole = Classification(int(class_ids[whole.class_id]), whole.score, scores)
    if semantic is not None and max(semantic, default=-1) < len(class_ids):
        semantic = {int(class_ids[class_id]): mask for class_id, mask in semantic.items()}
    return replace(found, class_ids=class_ids[found.class_ids], classification=whole, semantic_mask=semantic)


def _skipped(raw: RawPredictions) -> list[bool]:
    """Whether a run skipped each image: no detections, and the reason."""
    counts = np.bincount(raw.image_index, minlength=len(raw.images))
    return [
        i in raw.details and "error" in raw.details[i].extra and not counts[i] for i in range(len(raw.images))
    ]


def _check_scores(raw: RawPredictions) -> None:
    wrong = (raw.scores < 0) | (raw.scores > 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ContractError(
            f"{raw.path}: {raw.describe(row, 'score')}: {raw.scores[row]} is not in [0, 1]",
            fix="give predictions whose scores are confidences from 0 to 1",
        )


def _keypoint_names(raw: RawPredictions) -> tuple[str, ...]:
    extra = (raw.meta or {}).get("extra")
    names = extra.get("keypoint_names") if isinstance(extra, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _check_keypoints(raws: Sequence[RawPredictions]) -> None:
    """Refuse files whose detections have different numbers of keypoints."""
    with_points = [raw for raw in raws if raw.keypoints is not None]
    counts = [0 if raw.keypoints is None else raw.keypoints.shape[1] for raw in with_points]
    for raw, count in zip(with_points, counts, strict=True):
        if count != counts[0]:
            raise ContractError(
                f"detections have {counts[0]} keypoints in {with_points[0].path}, {count} in {raw.path}",
                fix="give predictions of models with the same keypoints",
            )


def _agreed(field: str, stated: Sequence[tuple[RawPredictions, tuple[str, ...]]]) -> tuple[str, ...]:
    """The value of those files that state one; refused where they differ."""
    known = [(raw, names) for raw, names in stated if names]
    for raw, names in known:
        if names != known[0][1]:
            raise ContractError(
                f"{field} differ: {', '.join(known[0][1])} in {known[0][0].path}, {', '.join(names)} in "
                f"{raw.path}",
                fix=f"give predictions of models with the same ones, or correct {field}",
            )
    return known[0][1] if known else ()


def check_weights(weights: Sequence[float], files: int) -> tuple[float, ...]:
    """A weight a file, all 1 where none are given; raises ``OptionError`` for another number of them."""
    if weights and len(weights) != files:
        raise OptionError(
            f"{counted(len(weights), 'weight')} for {counted(files, 'file')}", fix="give one weight a file"
        )
    return tuple(weights) or (1.0,) * files
