"""YOLO's label files with confidences, one an image: ``save_txt save_conf`` of Ultralytics and YOLOv5.

A line is a class id, numbers in fractions of the image and a confidence, and a track id where there is one.
The numbers are a box (center and size), a box with keypoints, or the corners of a polygon; where the data set
has oriented boxes, polygons of four corners are such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from anydet.contract.reading.foreign.assembling import Kind
from anydet.contract.reading.foreign.given import FileName, Found, Given
from anydet.contract.segmentations import mask_of
from anydet.dataclass import dataclass
from anydet.errors import ContractError
from anydet.inputs import SAVE_AS_UTF8, read_file, recoded
from anydet.mask_columns import SegmentationColumn
from anydet.text import quoted
from anydet.types import RLE, BoolArray, FloatArray, GroundTruthColumns, Size

YOLO = Kind("cxcywh_norm", labels="class")
_NAMES_FILES = ("classes.txt", "obj.names", "readme.txt")
_LOOKED_AT = 100
_BOX = 6
"""Columns of a line with a class, a box and a confidence."""
_SLACK = 0.01
"""Fraction of the image by which a box may reach beyond it: rounded numbers, boxes that nobody clipped."""


def label_files(folder: Path) -> list[Path]:
    """The files of a folder that can be labels, those of its folders too, by name."""
    found = (file for file in folder.rglob("*") if file.suffix.lower() == ".txt")
    return sorted(file for file in found if file.name.lower() not in _NAMES_FILES and file.is_file())


def columns_of(path: Path) -> int:
    """Numbers in a line of a label file, or of most of those of a folder; 0 without a line of numbers."""
    counts = Counter(map(_columns, label_files(path)[:_LOOKED_AT] if path.is_dir() else [path]))
    del counts[0]
    return max(counts, key=lambda one: counts[one], default=0)


def _columns(file: Path) -> int:
    """Numbers in the first line of numbers of a file; single lines, and files, may be broken."""
    try:
        raw = read_file(file)
    except OSError:
        return 0
    lines = (recoded(raw) or raw).decode("utf-8", "replace").splitlines()
    return next((len(values) for line in lines[:_LOOKED_AT] if (values := _values(line))), 0)


def has_confidences(path: Path) -> bool:
    """Whether the first line has a confidence: is of a class, a box and one more number, or of a polygon."""
    count = columns_of(path)
    return (count >= _BOX and count % 2 == 0) or count == _BOX + 1


@dataclass(frozen=True, slots=True)
class _Line:
    class_id: int
    box: Sequence[float]
    score: float
    ring: Sequence[float] = ()
    points: Sequence[Sequence[float]] = ()
    track: int | None = None


@dataclass(frozen=True, slots=True)
class _Expected:
    """What lines hold: so many keypoints, the confidence second, oriented boxes as polygons of four."""

    keypoints: int
    second: bool
    oriented: bool


def read_labels(given: Given, *, second: bool = False) -> Iterator[Found]:
    """The detections of each label file.

    Args:
        given: a folder, or one file; the data set says which of its images a file is for, and whether they
            have keypoints.
        second: whether the confidence is the second number of a line, as in Darknet's own and others' files.
    """
    truth = given.need_truth("label files name images without their ending, and classes by number")
    points = truth.labels.keypoints
    expected = 0 if points is None else points.shape[1]
    oriented = points is None and _is_oriented(truth)
    folder = given.path
    files = label_files(folder) if folder.is_dir() else [folder]
    if not files:
        raise ContractError(f"{folder}: no label files there", fix="give a folder of .txt files")
    numbers = []
    for file in files:
        relative = file.relative_to(folder) if folder.is_dir() else Path(file.name)
        image = FileName(relative.with_suffix("").as_posix())
        found = _read(given, file, image, _Expected(expected, second, oriented))
        if found.masks is None and found.keypoints is None:
            numbers.append(np.column_stack([found.boxes, found.scores]))
        yield found
    if not second and numbers:
        given.oddities += _confidence_second(folder, np.concatenate(numbers))


def _confidence_second(folder: Path, numbers: FloatArray) -> list[str]:
    """The line on boxes that lie in their images where the first number is the confidence, and only then.

    Args:
        folder: for the message.
        numbers: (N, 5) what stands behind the class in each line.
    """
    outside = ~_inside(numbers[:, :4])
    if not np.count_nonzero(outside) > len(numbers) / 4 or not _inside(numbers[:, 1:]).all():
        return []
    return [
        f"boxes beyond their image: {np.count_nonzero(outside)} of {len(numbers)}, and none with the second "
        f"column as the confidence: if it is, 'anydet convert {folder} OUT.json --dataset DATASET --from "
        "yolo-confidence-second' reads it so; scores and boxes are wrong then"
    ]


def _inside(boxes: FloatArray) -> BoolArray:
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    inside: BoolArray = np.all((low > -_SLACK) & (high < 1 + _SLACK), axis=1)
    return inside


def _is_oriented(truth: GroundTruthColumns) -> bool:
    """Whether all annotations are polygons of four corners, so that predicted ones are oriented boxes."""
    outlines = truth.labels.segmentations
    if not isinstance(outlines, SegmentationColumn | tuple | list) or not len(truth):
        return False
    return not np.isnan(SegmentationColumn.of(outlines).quadrilaterals).any()


def _read(given: Given, file: Path, image: str, expected: _Expected) -> Found:
    lines = _lines(given, file)
    kept: list[_Line] = []
    places = []
    for number, text in enumerate(lines, 1):
        if text.strip():
            line = _line(text, expected.keypoints, expected.second)
            if isinstance(line, str):
                given.blame(f"{file.name}:{number}", line)
            else:
                kept.append(_with_corners(line) if expected.oriented else line)
                places.append(f"{file.name}:{number}")
    size = given.size_wh(image)
    tracks = [None if line.track is None else {"track_id": line.track} for line in kept]
    return Found(
        image,
        file.name,
        np.array([line.box for line in kept], np.float64).reshape(-1, 4),
        np.array([line.score for line in kept], np.float64),
        [line.class_id for line in kept],
        rows=places,
        masks=_masks(given, kept, places, size) if any(line.ring for line in kept) else None,
        keypoints=_keypoints(kept, size) if any(line.points for line in kept) else None,
        extra=tracks if any(tracks) else None,
    )


def _with_corners(line: _Line) -> _Line:
    """The same with the corners of a polygon of four as keypoints."""
    if len(line.ring) != 8:
        return line
    corners = [[*line.ring[i : i + 2], np.nan] for i in range(0, 8, 2)]
    return replace(line, points=corners)


def _lines(given: Given, file: Path) -> list[str]:
    """The lines of a file; one that is no text is named and left out, as the others may be right."""
    try:
        return given.open_text(file).getvalue().splitlines()
    except OSError as exc:
        given.blame(file.name, f"cannot be read: {exc.strerror or exc}")
    except ContractError as exc:
        given.blame(file.name, f"{exc.problem.removeprefix(f'{file}: ')}: {SAVE_AS_UTF8}")
    return []


def _line(text: str, keypoints: int, second: bool) -> _Line | str:
    """What a line says, or what is wrong with it."""
    values = _values(text)
    if values is None:
        return f"{quoted(text.strip())} where a class id and numbers belong"
    class_id, *numbers = values
    if class_id < 0 or class_id != int(class_id) or class_id > 2**31 - 1:
        return f"{text.split(maxsplit=1)[0]} is not a class id, a whole number from 0"
    if second and len(numbers) == _BOX - 1:
        numbers = [*numbers[1:], numbers[0]]
    ends = _ends([class_id, *numbers], keypoints)
    if ends is not None:
        return _shape(int(class_id), *ends, keypoints)
    if len(numbers) == _BOX - 2:
        return "no confidence: predict with save_conf=True"
    return f"{len(numbers)} numbers, where a box (4) or a polygon (6, 8, ...) and a confidence belong"


def _shape(class_id: int, body: list[float], score: float, track: int | None, keypoints: int) -> _Line:
    """A box, a box with keypoints, or a polygon with the box around it."""
    for width in (3, 2) if keypoints else ():
        if len(body) == 4 + width * keypoints:
            flat = body[4:]
            rows = [flat[i : i + width] for i in range(0, len(flat), width)]
            points = [[*row, *[np.nan] * (3 - width)] for row in rows]
            return _Line(class_id, body[:4], score, points=points, track=track)
    if len(body) == 4:
        return _Line(class_id, body, score, track=track)
    xs, ys = body[0::2], body[1::2]
    span, height = max(xs) - min(xs), max(ys) - min(ys)
    box = (min(xs) + span / 2, min(ys) + height / 2, span, height)
    return _Line(class_id, box, score, ring=body, track=track)


def _ends(values: Sequence[float], keypoints: int) -> tuple[list[float], float, int | None] | None:
    """The numbers of the shape, the confidence and the track id of a line; ``None`` where it has no such.

    A polygon has an even number of numbers, so that one more is a confidence, and two more are one and a
    track id; a box with keypoints is told from them by the number of keypoints that the data set has.
    """
    numbers = list(values[1:])
    shapes = [4] + ([4 + 3 * keypoints, 4 + 2 * keypoints] if keypoints else [])
    for track in (0, 1):
        body = len(numbers) - 1 - track
        polygon = body >= 6 and body % 2 == 0
        if body not in shapes and not polygon:
            continue
        score = numbers[body]
        last = numbers[-1]
        if track and (last != int(last) or last < 0 or not 0 <= score <= 1):
            continue
        return numbers[:body], score, int(last) if track else None
    return None


def _values(line: str) -> list[float] | None:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        return None
    return values if all(np.isfinite(values)) else None


def _masks(given: Given, kept: Sequence[_Line], places: Sequence[str], size: Size | None) -> list[RLE | None]:
    masks = []
    for line, place in zip(kept, places, strict=True):
        ring = [v * side for v, side in zip(line.ring, (size or (0, 0)) * len(line.ring), strict=False)]
        mask, problem = mask_of([ring] if ring else None, size)
        if problem:
            given.blame(place, problem)
        masks.append(mask)
    return masks


def _keypoints(kept: Sequence[_Line], size: Size | None) -> FloatArray:
    most = max(len(line.points) for line in kept)
    column = np.full((len(kept), most, 3), np.nan)
    for row, line in enumerate(kept):
        if line.points:
            column[row] = line.points
    column[:, :, :2] *= np.array(size or (1, 1), np.float64)
    return column
