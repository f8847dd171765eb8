"""A predictions file that keeps the contract, made of one that does not, and a list of all changes."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from anydet.contract.checking.nothing_left import nothing_left
from anydet.contract.checking.score_range import Change, change_of, changed, words
from anydet.contract.columns import images_of_raw
from anydet.contract.documents import Detection, Entry
from anydet.contract.encode import encode_entry, encode_json
from anydet.contract.image_sizes import require_sizes
from anydet.contract.join import unix_path
from anydet.contract.locations import Path as Where
from anydet.contract.locations import Place, path_text, show
from anydet.contract.reading.foreign.formats import no_predictions, of_path, of_source, read_path, value_of
from anydet.contract.reading.foreign.given import Given
from anydet.contract.reading.load import without_truth
from anydet.contract.reading.opening import open_source
from anydet.contract.reading.source import Source
from anydet.contract.run_lengths import rle_problem
from anydet.contract.violations import parse, unspeakable, violations
from anydet.contract.write import check_output, write_predictions
from anydet.errors import ContractError, OptionError
from anydet.geometry.boxes import (
    BOX_FORMATS,
    clip_xyxy,
    to_xywh_px,
    xywh_to_xyxy,
    xyxy_to_cxcywh_norm,
    xyxy_to_xywh,
)
from anydet.text import safe_line, shortened
from anydet.types import RLE, FloatArray, GroundTruthColumns, Size

_REQUIRED = ("class_id", "score", "bbox")
_SIDES = ("cx", "cy", "w", "h")
_ROUNDING = 1e-9
"""Fraction of the image's side by which a box may stick out without being touched."""


def repair(
    path: Path | str,
    out: Path | str,
    truth: Callable[[], GroundTruthColumns] | None = None,
    class_map: str | None = None,
    *,
    box_format: str | None = None,
) -> list[str]:
    """Write a valid copy of a predictions file and say what was changed, a line a change.

    Scores are brought into [0, 1] (``score_range``) and boxes into the image. Unknown keys move to ``extra``.
    What cannot be kept is left out: fields, detections (without a usable class, score or box, or wholly
    outside the image), entries (unreadable, without a key, or a second one for an image), fields of ``meta``.

    COCO results and documents are written as such again, with what is left of them. Files of other tools
    become files of the contract.

    Args:
        path: the file, of any kind that is read.
        out: another file; its suffix says how it is written.
        truth: gives the data set, which COCO results and most other tools' files need.
        class_map: how numbers of classes count, where they are not the data set's.
        box_format: what the file's boxes are in, where that is not what it states.

    Raises:
        ContractError: the file cannot be read at all, is of a later version, has no list of entries, or needs
            a data set; or nothing of it can be kept, and nothing is written.
        OptionError: ``out`` is ``path``, or has a suffix that cannot be written; or the boxes cannot be in
            that format.
    """
    path, out = Path(path), Path(out)
    check_output(out)
    if os.path.realpath(out) == os.path.realpath(path):
        raise OptionError(f"{out} is the file to repair", fix="give --repair another name")
    name = of_path(path)
    if name is not None:
        return _foreign(path, name, out, truth, class_map=class_map, box_format=box_format)
    if path.is_dir():
        raise no_predictions(path)
    changes: list[str] = []
    with open_source(path, recode=True) as source:
        encoding = [safe_line(f"{path}: written as UTF-8: {source.recoded}")] if source.recoded else []
        name = of_source(source)
        if source.shape == "coco" or name == "coco-document":
            said = _of_coco(source, out, truth, class_map, box_format)
            return encoding + [safe_line(f"{path}: {line}") for line in said]
        if name is not None:
            text = source.text
            return encoding + _foreign(
                path, name, out, truth, text, class_map=class_map, box_format=box_format
            )
        meta = _stating(_meta(source, changes), box_format, changes)
        change = _score_change(source, changes)
        fixed = _entries(source, _box_format(meta), change, changes)
        lines = (encode_json(entry, where=entry["image"]) for entry in fixed)
        write_predictions(lines, out, meta=meta, wrap=meta is not None)
    return [
        *encoding,
        *(f"{line} (left out)" for line in source.problems),
        *(safe_line(f"{path}: {line}") for line in changes),
    ]


def _of_coco(
    source: Source,
    out: Path,
    truth: Callable[[], GroundTruthColumns] | None,
    class_map: str | None,
    box_format: str | None,
) -> list[str]:
    from anydet.contract.checking.repair_results import repair_document, repair_results

    if source.shape != "coco":
        if box_format not in (None, "xywh_abs"):
            raise OptionError(
                f"{source.path}: its boxes cannot be {box_format}: those of this format are xywh_abs",
                fix="leave out --bbox-format",
            )
        given = Given(source.path, value_of(source.path, source.text), None if truth is None else truth())
        return repair_document(given, out)
    if truth is None:
        raise without_truth(source.path)
    return repair_results(source, out, truth(), class_map, box_format)


def _foreign(
    path: Path,
    name: str,
    out: Path,
    truth: Callable[[], GroundTruthColumns] | None,
    text: bytes = b"",
    *,
    class_map: str | None = None,
    box_format: str | None = None,
) -> list[str]:
    """What is right in a file of another tool, as a file of the contract."""
    known = None if truth is None else truth()
    found = read_path(path, name, known, text, class_map, repairing=True)
    raw = found.predictions
    require_sizes(raw, known)
    raw = replace(raw, box_format=raw.format_used(box_format))
    if found.errors and not len(raw):
        raise nothing_left(path, found.errors)
    change = change_of(raw.scores)
    lines = [f"{path}: {line}" for line in raw.oddities]
    if change:
        row = int(np.argmax((raw.scores < 0) | (raw.scores > 1)))
        image = shortened(raw.images[int(raw.image_index[row])])
        lines.append(f"{path}: {words(raw.scores, change, f'image {image}')}")
        raw = replace(raw, scores=changed(raw.scores, change))
    write_predictions(
        map(encode_entry, images_of_raw(raw, known, need_sizes=True)),
        out,
        meta=None if raw.classes is None else {"classes": list(raw.classes)},
        wrap=True,
    )
    return [*(f"{line} (left out)" for line in found.errors), *map(safe_line, lines)]


def _stating(
    meta: dict[str, Any] | None, box_format: str | None, changes: list[str]
) -> dict[str, Any] | None:
    """``meta`` that states the format of boxes that was given, where it is not the file's."""
    if box_format in (None, _box_format(meta)):
        return meta
    if box_format not in BOX_FORMATS:
        raise OptionError(f"unknown box format {box_format!r}", fix=f"use one of {', '.join(BOX_FORMATS)}")
    changes.append(f"meta.conventions.bbox_format: {box_format}, the format given")
    conventions = {**((meta or {}).get("conventions") or {}), "bbox_format": box_format}
    return {**(meta or {}), "conventions": conventions}


def _box_format(meta: Mapping[str, Any] | None) -> str:
    return str(((meta or {}).get("conventions") or {}).get("bbox_format", "cxcywh_norm"))


def _score_change(source: Source, changes: list[str]) -> Change:
    """What brings the scores of a file into 0..1; a line where all of them change."""
    scores = array("d")
    before = list(source.problems)
    for place, raw in source.entries():
        value = parse(bytes(raw))[0]
        rows = value if place.shape == "map" else value.get("detections") if isinstance(value, dict) else None
        for row in rows if isinstance(rows, list) else ():
            score: Any = row.get("score") if isinstance(row, dict) else None
            if _is_score(score):
                scores.append(float(score))
    source.problems[:] = before  # entries are read once more, and say theirs then
    known = np.array(scores, np.float64)
    change = change_of(known)
    if change not in ("", "clamp"):
        changes.append(words(known, change))
    return change


def _is_score(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(float(value)) < np.inf
    except OverflowError:
        return False


def _entries(source: Source, box_format: str, change: Change, changes: list[str]) -> Iterator[dict[str, Any]]:
    """Entries that can be kept; raises at their end where there are some and nothing is left of them."""
    seen: set[str] = set()
    count = left = 0
    for place, raw in source.entries():
        count += 1
        value, problems = parse(bytes(raw))
        if place.shape == "map":
            value = {"image": place.key, "detections": value}
        fixer = _Fixer(place, box_format, change, changes)
        if not isinstance(value, dict) or not isinstance(value.get("image"), str) or not value["image"]:
            why = problems[0][1] if problems else "no image key"
            fixer.note((), f"entry dropped: {why}")
        elif unix_path(value["image"]) in seen:
            fixer.note((), f"entry dropped: a second one for image {value['image']}")
        else:
            fixed = fixer.entry(value)
            if "image" in fixed:
                seen.add(unix_path(value["image"]))
                # An image without detections has lost none.
                left += bool(fixed["detections"]) or value.get("detections") == []
                yield fixed
            else:
                fixer.note((), "entry dropped: its image key is no text")
    if source.fatal:
        raise ContractError(
            f"{source.fatal}, so that nothing can be repaired", fix="write the file again with this anydet"
        )
    if count and not left:
        raise nothing_left(source.path, [safe_line(f"{source.path}: {line}") for line in changes])


class _Fixer:
    """Repairs one entry in place."""

    def __init__(self, place: Place, box_format: str, change: Change, changes: list[str]) -> None:
        self._place, self._format, self._change, self._changes = place, box_format, change, changes
        self._size: Size | None = None

    def note(self, where: Where, what: str) -> None:
        """Note a change."""
        self._changes.append(f"{self._place.at(where)}: {what}")

    def entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry, valid."""
        detections = entry.get("detections")
        if not isinstance(detections, list):
            self.note(("detections",), "not a list, so that none are left")
            detections = []
        fixed = {**entry, "detections": []}
        self._unknown_to_extra(fixed, Entry, ())
        self._drop_invalid(fixed, "entry", ())
        if "image_size" in fixed:
            self._size = int(fixed["image_size"]["width"]), int(fixed["image_size"]["height"])
        for key, mask in list(fixed.get("semantic_mask", {}).items()):
            self._drop_mask(fixed["semantic_mask"], key, mask, ("semantic_mask",))
        kept = (self._detection(d, ("detections", i)) for i, d in enumerate(detections))
        fixed["detections"] = [d for d in kept if d is not None]
        return fixed

    def _detection(self, detection: Any, where: tuple[str | int, ...]) -> dict[str, Any] | None:
        kept = dict(detection) if isinstance(detection, dict) else {}
        why = self._mend(kept, where) if kept else f"{show(detection)} where an object belongs"
        if not why:
            return kept
        self.note(where, f"detection dropped: {why}")
        return None

    def _mend(self, detection: dict[str, Any], where: tuple[str | int, ...]) -> str:
        """Repair a detection in place; why it cannot be kept, or an empty string."""
        self._unknown_to_extra(detection, Detection, where)
        score = detection.get("score")
        if isinstance(score, int | float) and _is_score(score):
            if self._change in ("percent", "logits"):
                detection["score"] = float(changed(np.array([score], np.float64), self._change)[0])
            else:
                detection["score"] = min(max(score, 0), 1)
                if detection["score"] != score:
                    self.note((*where, "score"), f"{show(score)} clamped to {detection['score']}")
        lost = self._drop_invalid(detection, "detection", where)
        if lost:
            return "; ".join(lost)
        if "mask" in detection:
            self._drop_mask(detection, "mask", detection["mask"], where)
        return "" if self._clip(detection, where) else "its box is outside the image"

    def _unknown_to_extra(self, value: dict[str, Any], kind: Any, where: Where) -> None:
        unknown = {key: value.pop(key) for key in list(value) if key not in kind.__struct_fields__}
        for key in unknown:
            self.note((*where, key), "unknown key moved to extra")
        extra = value.get("extra", {})
        if unknown and isinstance(extra, dict):
            value["extra"] = unknown | extra

    def _drop_invalid(self, value: dict[str, Any], definition: str, where: Where) -> list[str]:
        """Drop optional fields that are not valid; gives what is wrong with required ones."""
        needed = []
        for path, text in [*unspeakable(value), *violations(value, definition)]:
            if not path:
                needed.append(text)
            elif path[0] in _REQUIRED:
                needed.append(f"{path_text(path)}: {text}")
            elif path[0] in value:
                self.note((*where, *path), f"field {path[0]} dropped: {text}")
                del value[str(path[0])]
        return needed

    def _drop_mask(self, owner: dict[str, Any], key: str, mask: dict[str, Any], where: Where) -> None:
        height, width = map(int, mask["size"])
        problem = rle_problem(RLE((height, width), mask["counts"]))
        if not problem and self._size is not None and (width, height) != self._size:
            problem = f"size [{height}, {width}] is not the image's"
        if problem:
            self.note((*where, key), f"mask dropped: {problem}")
            del owner[key]

    def _clip(self, detection: dict[str, Any], where: Where) -> bool:
        """Move the box into the image; false where nothing of it is inside."""
        size = (1, 1) if self._format == "cxcywh_norm" else self._size
        if size is None:
            return True
        box = detection["bbox"]
        numbers = list(box) if isinstance(box, list) else [box[side] for side in _SIDES]
        corners = xywh_to_xyxy(
            to_xywh_px(np.array([numbers], np.float64), self._format, np.ones(2, np.int64))
        )
        inside = clip_xyxy(corners, size)
        if np.abs(inside - corners).max() <= _ROUNDING * max(size):
            return True
        if (inside[:, 2:] <= inside[:, :2]).any():
            return False
        clipped = _FROM_CORNERS[self._format](inside)[0].tolist()
        detection["bbox"] = clipped if isinstance(box, list) else dict(zip(_SIDES, clipped, strict=True))
        self.note((*where, "bbox"), f"{show(numbers)} clipped to {show(clipped)}")
        return True


def _centered(corners: FloatArray) -> FloatArray:
    return xyxy_to_cxcywh_norm(corners, (1, 1))


_FROM_CORNERS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "cxcywh_norm": _centered,
    "cxcywh_abs": _centered,
    "xywh_abs": xyxy_to_xywh,
    "xyxy_abs": lambda corners: corners,
}


def _meta(source: Source, changes: list[str]) -> dict[str, Any] | None:
    """``meta`` without its invalid fields."""
    if source.meta is None:
        return None
    meta, unreadable = parse(source.meta)
    if not isinstance(meta, dict):
        changes.append(f"meta: dropped: {unreadable[0][1] if unreadable else 'not an object'}")
        return None
    for path, text in [*unreadable, *violations(meta, "meta")]:
        owner, key = _innermost(meta, path)
        if key in owner:
            del owner[key]
            changes.append(f"{path_text(('meta', *path))}: dropped: {text}")
    return meta


def _innermost(meta: dict[str, Any], path: Where) -> tuple[dict[str, Any], str]:
    """The last object on the way, and its key there."""
    owner, (key, *rest) = meta, map(str, path)
    for step in rest:
        if not isinstance(owner.get(key), dict):
            break
        owner, key = owner[key], step
    return owner, key
