"""Results of images as ``RawPredictions``: joined to the data set, checked, in columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from anydet.columns import concatenate
from anydet.contract.class_names import as_known
from anydet.contract.hints import COCO_IDS, hint_values
from anydet.contract.locations import repair_command, show
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.foreign.given import Found, Given, whole_numbers
from anydet.contract.reading.result_ids import categories, class_positions
from anydet.dataclass import dataclass
from anydet.errors import ContractError, did_you_mean
from anydet.ids import positions
from anydet.mask_columns import MaskColumn
from anydet.text import counted, listed, quoted
from anydet.types import BoolArray, FloatArray, IntArray, Poses

Labels = Literal["class", "category", "model", "results"]
"""What whole numbers in labels are: class ids from 0; category ids of the data set; or either of them; or
category ids joined as those of COCO results are, which may also be text."""
UNSTATED = ""
"""Box format of a file that does not say what its four numbers are."""
_NUMBERED = re.compile(r"LABEL_(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Kind:
    """How the numbers of a format are meant.

    Attributes:
        box_format: of ``geometry.boxes.BOX_FORMATS``, or ``UNSTATED``.
        labels: what whole numbers in labels are; names are always names.
        any_score: whether scores may be any finite number, as in COCO results.
    """

    box_format: str = "xyxy_abs"
    labels: Labels = "class"
    any_score: bool = False


def assemble(given: Given, kind: Kind, found: Iterable[Found]) -> RawPredictions:
    """The columns of what was found; what is wrong goes to ``given`` and is left out.

    Raises ``ContractError`` where labels cannot be read without a data set.
    """
    images: dict[str, int] = {}
    first: dict[str, str] = {}
    kept: list[Found] = []
    index: list[int] = []
    for one in found:
        key = _key(given, one)
        if key is None:
            continue
        there = first.setdefault(key, str(one.image))
        if there != str(one.image):
            given.blame(
                one.where, f"{quoted(there)} and {quoted(str(one.image))} are both image {quoted(key)}"
            )
            continue
        index.append(images.setdefault(key, len(images)))
        kept.append(_checked(given, kind, one))
    return _columns(given, kind, list(images), kept, np.array(index, np.int64))


def _key(given: Given, one: Found) -> str | None:
    """The data set's key of an image, or the file's own where there is no data set."""
    if given.truth is None:
        return str(one.image)
    at, problem = given.images.find(one.image)
    if at is None:
        given.blame(one.where, problem)
        return None
    return given.truth.images[at]


def _checked(given: Given, kind: Kind, one: Found) -> Found:
    """The detections that are right."""
    boxes = one.boxes
    with np.errstate(over="ignore", invalid="ignore"):
        sides = boxes[:, 2:] - (boxes[:, :2] if kind.box_format == "xyxy_abs" else 0)
    wrong: BoolArray = np.zeros(len(boxes), np.bool_)
    checks: list[tuple[Any, str, FloatArray]] = [
        (~np.isfinite(boxes).all(axis=1), "box: {} has a number that is not finite", boxes),
        (~np.isfinite(one.scores), "score: {} is not a finite number", one.scores),
    ]
    if kind.box_format != UNSTATED:
        checks.append(((sides < 0).any(axis=1), "box: {} has a negative size", boxes))
    if not (kind.any_score or given.repairing):
        checks.append((one.scores > 1, "score: {} is above the maximum 1", one.scores))
        checks.append((one.scores < 0, "score: {} is below the minimum 0", one.scores))
    for bad, text, column in checks:
        for row in np.flatnonzero(bad & ~wrong).tolist():
            given.blame(one.row(row), text.format(show(column[row].tolist())))
        wrong |= bad
    return _take(one, np.flatnonzero(~wrong)) if wrong.any() else one


def _take(one: Found, rows: IntArray) -> Found:
    at = rows.tolist()

    def some(column: Sequence[Any] | None) -> Any:
        return None if column is None else [column[i] for i in at]

    return replace(
        one,
        boxes=one.boxes[rows],
        scores=one.scores[rows],
        labels=some(one.labels),
        rows=[one.row(i) for i in at],
        masks=some(one.masks),
        keypoints=None if one.keypoints is None else one.keypoints[rows],
        poses=None if one.poses is None else one.poses.take(rows),
        extra=some(one.extra),
    )


def _columns(
    given: Given, kind: Kind, images: list[str], found: list[Found], index: IntArray
) -> RawPredictions:
    class_ids, classes, known = _classes(given, kind, found)
    counts = [len(one.scores) for one in found]
    # Rows of one image stand together, in the order of the file.
    order = np.argsort(np.repeat(index, counts), kind="stable")
    order = order[known[order]]
    sizes = np.full((len(images), 2), -1, np.int64)
    for at, one in zip(index.tolist(), found, strict=True):
        if one.size_wh is not None:
            sizes[at] = one.size_wh
    rows = [row for one in found for row in _rows(one)]
    masks = [row[0] for row in rows]
    extra = [row[1] for row in rows]
    picked = order.tolist()
    return RawPredictions(
        path=str(given.path),
        shape="other",
        images=tuple(images),
        places=np.arange(len(images)),
        sizes_wh=sizes,
        details={},
        image_index=np.repeat(index, counts)[order],
        class_ids=class_ids[order],
        boxes=np.concatenate([np.zeros((0, 4)), *(one.boxes for one in found)])[order],
        scores=np.concatenate([np.zeros(0), *(one.scores for one in found)])[order],
        masks=MaskColumn.of([masks[i] for i in picked]) if any(masks) else None,
        keypoints=_keypoints(found, order),
        poses=_poses(found, order),
        detection_extra=tuple(extra[i] for i in picked) if any(extra) else None,
        classes=classes,
        box_format=kind.box_format,
        keypoints_in_pixels=True,
        notes=tuple(given.notes),
        oddities=tuple(given.oddities),
    )


def _rows(one: Found) -> Iterable[tuple[Any, Any]]:
    none = (None,) * len(one.scores)
    return zip(one.masks or none, one.extra or none, strict=True)


def _keypoints(found: Sequence[Found], order: IntArray) -> FloatArray | None:
    most = max((one.keypoints.shape[1] for one in found if one.keypoints is not None), default=0)
    if not most:
        return None
    column = np.full((sum(len(one.scores) for one in found), most, 3), np.nan)
    start = 0
    for one in found:
        if one.keypoints is not None:
            column[start : start + len(one.scores), : one.keypoints.shape[1]] = one.keypoints
        start += len(one.scores)
    return column[order]


def _poses(found: Sequence[Found], order: IntArray) -> Poses | None:
    poses = [one.poses for one in found if one.poses is not None]
    return concatenate(poses).take(order) if poses and len(poses) == len(found) else None


def _classes(
    given: Given, kind: Kind, found: Sequence[Found]
) -> tuple[IntArray, tuple[str, ...] | None, BoolArray]:
    """(N,) class ids, names of classes that they count in, and (N,) which of them are known."""
    labels = [label for one in found for label in one.labels]
    numbered = [_NUMBERED.fullmatch(label) for label in labels if isinstance(label, str)]
    if labels and len(numbered) == len(labels) and all(numbered):
        # What transformers calls classes of a model whose names nobody stated.
        labels = [int(match[1]) for match in numbered if match]
        kind = replace(kind, labels="model")
    own = () if given.truth is None else given.truth.classes.own_ids
    named = all(isinstance(one, str) and one not in own for one in labels)
    if given.class_map is not None or (kind.labels == "results" and not named):
        joined = _as_results(given, found, labels)
        return joined, None, joined >= 0
    names = {label for label in labels if isinstance(label, str)}
    if names:
        return _by_name(given, found, [str(label) for label in labels])
    ids = whole_numbers(labels)
    if ids is None:
        raise ContractError(
            f"{given.path}: classes are neither whole numbers from 0 nor names", fix="correct the file"
        )
    if kind.labels != "class":
        ids = _categories(given, found, ids, either=kind.labels == "model")
    return ids, None, ids >= 0


def _as_results(given: Given, found: Sequence[Found], labels: Sequence[Any]) -> IntArray:
    """(N,) class ids of category ids, joined as those of COCO results; -1 of those that are left out."""
    what = "its category ids are those" if given.class_map is None else "a class map is of the classes"
    truth = given.need_truth(f"{what} of its data set")
    table = categories(truth.classes, given.class_map)
    at, odd = class_positions(
        given.path,
        labels,
        table,
        own_ids=truth.image_ids is not None,
        where=lambda row: _place(found, row),
    )
    given.oddities += [odd] if odd else []
    return np.append(np.fromiter(table.values(), np.int64, len(table)), -1)[at]


def _by_name(
    given: Given, found: Sequence[Found], labels: list[str]
) -> tuple[IntArray, tuple[str, ...], BoolArray]:
    names = tuple(dict.fromkeys(labels)) if given.truth is None else given.truth.classes.names
    position = {name: i for i, name in enumerate(names)}
    own = as_known(given.path, labels, names)
    labels = [own[label] for label in labels]
    ids = np.fromiter((position.get(label, -1) for label in labels), np.int64, len(labels))
    unknown = Counter(label for label in labels if label not in position)
    for name, count in unknown.items():
        given.blame(
            _place(found, labels.index(name)),
            f"class {quoted(name)} is not in the data set{did_you_mean(name, names)} "
            f"({counted(count, 'detection')})",
        )
    return ids, names, ids >= 0


def _categories(given: Given, found: Sequence[Found], labels: IntArray, *, either: bool) -> IntArray:
    """(N,) class ids of category ids of the data set, or of ids of either kind; -1 where unknown."""
    truth = given.need_truth("its labels are category ids of its data set")
    source = np.array(truth.classes.source_ids, np.int64)
    count = len(source)
    if (source == np.arange(count)).all():
        ids = np.where(labels < count, labels, -1)
    else:
        ids = positions(labels, source)
    if either and len(labels) and (ids < 0).any() and labels.max() < count:
        given.notes.append(
            f"labels are read as positions among the {count} classes of the data set, from 0: "
            f"they are not its category ids ({listed(source.tolist(), 3, quotes=False)})"
        )
        return labels
    if either and len(labels) and labels.max() < count and (ids != labels).any():
        given.notes.append(
            f"labels are read as category ids of the data set ({listed(source.tolist(), 3, quotes=False)}), "
            "as torchvision's references have them"
        )
    hint = " (COCO's 91-id numbering)" if count == 80 and set(labels.tolist()) <= set(COCO_IDS) else ""
    for label in np.unique(labels[ids < 0]).tolist():
        times = int(np.count_nonzero(labels == label))
        row = int(np.argmax(labels == label))
        given.blame(
            _place(found, row),
            f"class {label} is not in the data set{hint} ({counted(times, 'detection')})",
        )
    return ids


def _place(found: Sequence[Found], row: int) -> str:
    for one in found:
        if row < len(one.labels):
            return one.row(row)
        row -= len(one.labels)
    raise IndexError(row)


def fix_of(given: Given) -> str:
    """What to type for a file of which something is wrong."""
    dataset = " --dataset DATASET" if given.truth is not None else ""
    return f"{hint_values(given.problems)}write it again, or {repair_command(given.path, dataset)}"
