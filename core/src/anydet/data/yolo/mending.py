"""Lines of YOLO label files as every reader takes them: what ``check-dataset --repair`` writes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from anydet.data.dataset.oddities import Found, Kind
from anydet.data.yolo.label_file import MAX_CLASSES, TOLERANCE, LabelGrammar

_WORDS = Kind("malformed label lines", "label lines that are not numbers", "", "left out")
_CLASS = Kind("unknown classes", "label lines whose class the data set does not have", "", "left out")
_COUNT = Kind(
    "malformed label lines",
    "label lines of too many or too few numbers",
    "",
    "without the number behind the label, as confidences are written; left out where that is no label either",
)
_OUTSIDE = Kind("labels outside", "label lines that leave the image", "", "clipped to the image")
_AWAY = Kind("labels outside", "label lines wholly outside of the image", "", "left out")
_EMPTY = Kind("labels without area", "label lines whose box or polygon has no area", "", "left out")
_POINT = Kind("keypoints outside", "keypoints outside of the image", "", "not labeled")
_SEEN = Kind("odd visibilities", "keypoints with a visibility other than 0, 1 or 2", "", "0 or 2")
_TWICE = Kind("duplicate labels", "label lines that stand twice for an image", "", "left out")


def mend_labels(text: str, where: str, grammar: LabelGrammar, found: Found) -> tuple[list[str], list[int]]:
    """The lines of a label file that can be kept, and which of those that are not blank they are.

    Lines that need no repair stay as they are written.

    Args:
        text: content of the file.
        where: its name, for ``found``.
        grammar: what lines may look like.
        found: counts what is repaired.
    """
    lines: list[str] = []
    kept: list[int] = []
    seen: set[tuple[float, ...]] = set()
    objects = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for position, (number, words) in enumerate(objects):
        place = f"{where}:{number}: {' '.join(words)}"
        mended = _Line(place, grammar, found).mend(words)
        if mended is None:
            continue
        if mended in seen:
            found.add(_TWICE, place)
            continue
        seen.add(mended)
        given = _numbers(words)
        same = given is not None and tuple(given) == mended
        lines.append(" ".join(words) if same else _written(mended))
        kept.append(position)
    return lines, kept


def _written(values: Sequence[float]) -> str:
    return f"{int(values[0])} {' '.join(f'{value:.10g}' for value in values[1:])}"


def _numbers(words: Sequence[str]) -> list[float] | None:
    try:
        values = [math.nan if "_" in word else float(word) for word in words]  # Python's float takes 1_000
    except ValueError:
        return None
    return values if all(map(math.isfinite, values)) else None


class _Line:
    """One line on its way; what is wrong with it is counted."""

    def __init__(self, where: str, grammar: LabelGrammar, found: Found) -> None:
        self.where = where
        self.grammar = grammar
        self.found = found

    def odd(self, kind: Kind) -> None:
        self.found.add(kind, self.where)

    def mend(self, words: Sequence[str]) -> tuple[float, ...] | None:
        """Class and coordinates; ``None`` where nothing is left."""
        values = _numbers(words)
        if values is None:
            self.odd(_WORDS)
            return None
        class_id, rest = values[0], values[1:]
        classes = MAX_CLASSES if self.grammar.classes is None else self.grammar.classes
        if class_id != int(class_id) or not 0 <= class_id < classes:
            self.odd(_CLASS)
            return None
        if not self._fits(len(rest)):
            self.odd(_COUNT)
            rest = rest[:-1]
            if not self._fits(len(rest)):
                return None
        if self.grammar.keypoint_shape is None and len(rest) >= 6:
            shape = self._polygon(rest)
        else:
            box = self._box(rest[:4])
            shape = None if box is None else [*box, *self._points(rest[4:])]
        return None if shape is None else (class_id, *shape)

    def _fits(self, count: int) -> bool:
        """Whether a line may have so many numbers behind its class."""
        if self.grammar.keypoint_shape is not None:
            points, dims = self.grammar.keypoint_shape
            return count in {4, 4 + points * dims}
        return count == 4 or (count >= 6 and count % 2 == 0)

    def _box(self, box: list[float]) -> list[float] | None:
        cx, cy, w, h = box
        if w <= 0 or h <= 0:
            self.odd(_EMPTY)
            return None
        edges = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
        if all(-TOLERANCE <= edge <= 1 + TOLERANCE for edge in edges):
            return box
        x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) for edge in edges)
        if x1 >= x2 or y1 >= y2:
            self.odd(_AWAY)
            return None
        self.odd(_OUTSIDE)
        return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]

    def _polygon(self, ring: list[float]) -> list[float] | None:
        clipped = [min(max(value, 0.0), 1.0) for value in ring]
        outside = not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in ring)
        sides = [max(axis) - min(axis) for axis in (clipped[0::2], clipped[1::2])]
        if min(sides) <= 0:
            self.odd(_AWAY if outside else _EMPTY)
            return None
        if outside:
            self.odd(_OUTSIDE)
        return clipped if outside else ring

    def _points(self, flat: list[float]) -> list[float]:
        if not flat or self.grammar.keypoint_shape is None:
            return []
        dims = self.grammar.keypoint_shape[1]
        points = list(flat)
        for at in range(0, len(flat), dims):
            x, y, visibility = flat[at], flat[at + 1], flat[at + 2] if dims == 3 else 2.0
            if visibility not in {0.0, 1.0, 2.0}:
                self.odd(_SEEN)
                visibility = points[at + 2] = 2.0 if visibility > 0 else 0.0
            missing = visibility == 0 or (dims == 2 and (x < 0 or y < 0))
            if not missing and not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in (x, y)):
                self.odd(_POINT)
                # Of points of two numbers, a negative one says that it is not labeled (Ultralytics).
                points[at : at + dims] = [0.0, 0.0, 0.0] if dims == 3 else [-1.0, -1.0]
        return points
