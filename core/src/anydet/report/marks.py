"""What is drawn of one image: its objects, and the regions of its semantic classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from anydet.geometry import masks
from anydet.geometry.boxes import xywh_to_xyxy
from anydet.geometry.poses import axes_px
from anydet.report.fonts import undrawable
from anydet.report.palette import Color, color_of
from anydet.text import counted, listed, shortened
from anydet.types import RLE, ClassTable, FloatArray, ImagePredictions, IntArray, Intrinsics, Labels, Poses

SURE_KEYPOINT = 0.3
"""Score from which a predicted keypoint of unknown visibility counts as visible."""
SOLID, DASHED, CORNERS, FAINT = "solid", "dashed", "corners", "faint"
"""Lines of boxes: whole, in pieces, corners alone, and whole but thin."""
_TAG_NAME = 24
"""Characters of a name on a tag."""
_UNDRAWN = 3
"""Names that a warning names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an object is drawn for what became of it.

    Attributes:
        line: of its box.
        badge: sign on its tag (``badges``); "" for none.
        note: what its tag says beside name and score.
    """

    line: str = SOLID
    badge: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """One object to draw.

    Attributes:
        box_xyxy_px: (4,) corners.
        color: of box, mask and keypoints.
        text: on its tag; "" for no tag.
        name: what a legend calls it.
        mask: its pixels, or ``None``.
        keypoints: (K, 3) x, y and visibility as in ``Labels``; ``None`` for none.
        line: of its box, ``SOLID``, ``DASHED``, ``CORNERS`` or ``FAINT``.
        badge: sign on its tag (``badges``); "" for none.
        short: what its tag says where ``text`` has no room.
        axes_px: (4, 2) origin and tips of the x, y and z axes of its pose, or ``None``.
    """

    box_xyxy_px: FloatArray
    color: Color
    text: str = ""
    name: str = ""
    mask: RLE | None = None
    keypoints: FloatArray | None = None
    line: str = SOLID
    badge: str = ""
    short: str = ""
    axes_px: FloatArray | None = None

    def scaled(self, scale_xy: FloatArray) -> Mark:
        """The mark of a resized image, without its mask."""
        return replace(
            self,
            box_xyxy_px=self.box_xyxy_px * np.concatenate([scale_xy, scale_xy]),
            # Masks are blended before an image is resized, by `draw_scaled`.
            mask=None,
            keypoints=None if self.keypoints is None else self.keypoints * np.array([*scale_xy, 1.0]),
            axes_px=None if self.axes_px is None else self.axes_px * scale_xy,
        )


@dataclass(frozen=True, slots=True)
class Region:
    """All pixels of one semantic class."""

    mask: RLE
    color: Color
    name: str


def mark_predictions(
    predictions: ImagePredictions,
    classes: ClassTable | None = None,
    states: Sequence[str] = (),
    verdicts: Sequence[Verdict] = (),
) -> list[Mark]:
    """A mark for each detection, the least sure first, so that the surest end on top.

    Args:
        predictions: with ``intrinsics`` where pose axes are wanted.
        classes: names; without them tags show class ids.
        states: names of states; without them tags show numbers.
        verdicts: on each detection, where there is ground truth.
    """
    points = _predicted_points(predictions)
    axes = _axes(predictions.poses, predictions.boxes_xyxy_px, predictions.intrinsics)
    verdicts = verdicts or [Verdict()] * len(predictions)
    names = [pictured_name(class_id, classes) for class_id in predictions.class_ids.tolist()]
    texts = [
        f"{_cut(names[row])}{_state(predictions.states, row, states)} {predictions.scores[row]:.2f}"
        for row in range(len(predictions))
    ]
    return [
        Mark(
            box_xyxy_px=predictions.boxes_xyxy_px[row],
            color=color_of(int(predictions.class_ids[row])),
            text=f"{texts[row]} {verdicts[row].note}".rstrip(),
            short=texts[row],
            name=names[row],
            line=verdicts[row].line,
            badge=verdicts[row].badge,
            mask=None if predictions.masks is None else predictions.masks[row],
            keypoints=None if points is None else points[row],
            axes_px=None if axes is None else axes[row],
        )
        for row in np.argsort(predictions.scores, kind="stable").tolist()
    ]


def mark_labels(
    labels: Labels,
    classes: ClassTable | None,
    size_hw: tuple[int, int],
    states: Sequence[str] = (),
    camera: Intrinsics | None = None,
    *,
    verdicts: Sequence[Verdict] = (),
) -> list[Mark]:
    """A mark for each annotation, the largest first, so that the smallest end on top."""
    boxes = xywh_to_xyxy(labels.boxes_xywh_px)
    axes = _axes(labels.poses, boxes, camera)
    verdicts = verdicts or [Verdict()] * len(labels)
    names = [pictured_name(class_id, classes) for class_id in labels.class_ids.tolist()]
    return [
        Mark(
            box_xyxy_px=boxes[row],
            color=color_of(int(labels.class_ids[row])),
            text=_cut(names[row])
            + _state(labels.states, row, states)
            + " (crowd)" * bool(labels.iscrowd[row]),
            name=names[row],
            line=verdicts[row].line,
            badge=verdicts[row].badge,
            mask=masks.as_rle(labels.segmentations[row], (size_hw[1], size_hw[0]))
            if labels.segmentations
            else None,
            keypoints=None if labels.keypoints is None else labels.keypoints[row],
            axes_px=None if axes is None else axes[row],
        )
        for row in np.argsort(-labels.areas, kind="stable").tolist()
    ]


def regions_of(predictions: ImagePredictions, classes: ClassTable | None = None) -> list[Region]:
    """The regions of the predicted semantic mask."""
    found = sorted((predictions.semantic_mask or {}).items())
    return [Region(mask, color_of(class_id), pictured_name(class_id, classes)) for class_id, mask in found]


def image_class(predictions: ImagePredictions, classes: ClassTable | None = None) -> str:
    """``dog 0.93``: what the image as a whole shows; "" where nobody says."""
    best = predictions.classification
    return "" if best is None else f"{pictured_name(best.class_id, classes)} {best.score:.2f}"


def class_name(class_id: int, classes: ClassTable | None) -> str:
    """The name of a class, or its number where the table does not have it."""
    if classes is None or not 0 <= class_id < len(classes):
        return str(class_id)
    return shortened(classes.names[class_id])


def pictured_name(class_id: int, classes: ClassTable | None) -> str:
    """The name of a class, or ``class 7`` where no font has its characters."""
    name = class_name(class_id, classes)
    return f"class {class_id}" if undrawable(name) else name


def font_warning(classes: ClassTable | None) -> str | None:
    """What a person should know of names that pictures cannot show; ``None`` where they show all."""
    names = () if classes is None else classes.names
    lost = [i for i in range(len(names)) if undrawable(class_name(i, classes))]
    if not lost:
        return None
    named = listed([f"{class_name(i, classes)} is 'class {i}'" for i in lost], _UNDRAWN, quotes=False)
    return (
        f"no font here has the characters of {counted(len(lost), 'class name')}, which pictures show as "
        f"numbers ({named}); install a font that has them, such as Debian's package fonts-noto-cjk"
    )


def _cut(name: str) -> str:
    """A name as a tag has room for it."""
    return name if len(name) <= _TAG_NAME else f"{name[: _TAG_NAME - 1].rstrip()}…"


def _predicted_points(predictions: ImagePredictions) -> FloatArray | None:
    """Keypoints with visibility in the place of scores; where nobody says, low scores count as hidden."""
    if predictions.keypoints is None:
        return None
    points: FloatArray = predictions.keypoints.copy()
    likely = np.where(points[..., 2] < SURE_KEYPOINT, 1.0, 2.0)
    stated = predictions.keypoint_visibility
    points[..., 2] = likely if stated is None else np.where(stated < 0, likely, stated)
    return points


def _axes(poses: Poses | None, boxes: FloatArray, camera: Intrinsics | None) -> FloatArray | None:
    return None if poses is None or camera is None else axes_px(poses, boxes, camera)


def _state(column: IntArray | None, row: int, names: Sequence[str]) -> str:
    """What a tag says of the state: its name, its number, or nothing where it is unknown."""
    state = -1 if column is None else int(column[row])
    if state < 0:
        return ""
    return f" {shortened(names[state])}" if state < len(names) else f" state {state}"
