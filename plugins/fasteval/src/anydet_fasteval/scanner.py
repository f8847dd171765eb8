"""The compiled scanner: JSON files straight to columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anydet.dataclass import dataclass
from anydet.mask_columns import MaskColumn
from anydet.scanner import (
    MaskFacts,
    Ragged,
    RawTexts,
    ScannedAnnotations,
    ScannedPredictions,
    ScannedResults,
    Scanner,
    Sparse,
    Stop,
)
from anydet.types import ByteImage, IntArray
from anydet_fasteval import _scanner

BLOCK = 1 << 19
"""Bytes that are read at once."""
SMALLEST_SHARE = 1 << 20
"""Bytes of a file below which no further thread is started."""
_LINES = (".jsonl", ".ndjson")
_POSES = ("log_z", "rot6d", "R", "t", "offsets", "k_delta", "log_sigma_z", "log_sigma_rot")
_ABOUT = ("classification", "semantic_mask", "intrinsics", "preprocess")


@dataclass(frozen=True, slots=True)
class CompiledScanner:
    """``anydet.scanner.Scanner`` in C++. The result does not depend on any of its settings.

    Attributes:
        threads: how many read one file; one a core by default.
        block: bytes that are read at once; an element that is larger is read whole.
        smallest_share: bytes of a file below which no further thread is started.
    """

    threads: int | None = None
    block: int = BLOCK
    smallest_share: int = SMALLEST_SHARE

    def predictions(self, path: Path) -> ScannedPredictions | Stop:
        """A list, an object that wraps one, a legacy map, or (by the file's suffix) JSON Lines."""
        found = self._read(_scanner.read_predictions, path, lines=path.suffix.lower() in _LINES)
        return found if isinstance(found, Stop) else _predictions(found)

    def coco_results(self, path: Path) -> ScannedResults | Stop:
        """A COCO results file."""
        found = self._read(_scanner.read_coco_results, path)
        if isinstance(found, Stop):
            return found
        return ScannedResults(
            found["image_ids"],
            found["category_ids"],
            found["scores"],
            found["boxes"],
            _masks(len(found["scores"]), *found["masks"]),
            Ragged(*found["keypoints"]),
        )

    def annotations(self, path: Path) -> ScannedAnnotations | Stop:
        """A COCO annotations file."""
        found = self._read(_scanner.read_coco_truth, path)
        return found if isinstance(found, Stop) else _annotations(found)

    def masks(self, masks: MaskColumn) -> MaskFacts:
        """Look into masks."""
        whole, areas, boxes = _scanner.read_masks(
            np.ascontiguousarray(masks.sizes_hw),
            np.ascontiguousarray(masks.starts),
            np.ascontiguousarray(masks.ends),
            np.ascontiguousarray(masks.text),
            threads=self._threads,
        )
        return MaskFacts(whole.astype(np.bool_) | masks.missing, areas, boxes)

    def ahead(self, predictions: Path, annotations: Path | None = None) -> Scanner:
        """A scanner that begins to read these files now, in the background."""
        from anydet_fasteval.ahead import ReadAhead

        return ReadAhead(self, predictions, annotations)

    @property
    def _threads(self) -> int:
        return self.threads or os.cpu_count() or 1

    def _read(self, read: Callable[..., dict[str, Any]], path: Path, **how: Any) -> dict[str, Any] | Stop:
        try:
            return read(path, threads=self._threads, block=self.block, share=self.smallest_share, **how)
        except _scanner.RefusedError as exc:
            return Stop(*exc.args)
        except OSError as exc:
            return Stop(0, exc.strerror or "cannot be read")


def _predictions(found: Mapping[str, Any]) -> ScannedPredictions:
    about = {name: RawTexts(*found[name]) for name in _ABOUT}
    rows, ends, points = found["keypoints"]
    return ScannedPredictions(
        **{name: found[name] for name in ("shape", "meta", "images", "places", "counts", "sizes_wh")},
        **{name: found[name] for name in ("class_ids", "scores", "boxes")},
        states=Sparse(*found["state"]),
        state_scores=Ragged(*found["state_scores"]),
        keypoints=Ragged(rows, ends // 4, points),
        masks=_masks(len(found["scores"]), *found["masks"]),
        poses={name: Sparse(*found[name]) for name in _POSES},
        extra=RawTexts(*found["extra"]),
        about=about | {"extra": RawTexts(*found["image_extra"])},
    )


def _annotations(found: Mapping[str, Any]) -> ScannedAnnotations:
    rows, ends, ring_ends, points = found["outlines"]
    frequencies = [""] * len(found["names"])
    for row, frequency in zip(found["frequency_rows"].tolist(), found["frequencies"], strict=True):
        frequencies[row] = frequency
    direct = ("keys", "image_ids", "sizes_wh", "category_ids", "names", "boxes", "areas")
    return ScannedAnnotations(
        **{name: found[name] for name in direct},
        negative=Ragged(*found["negative"]),
        not_exhaustive=Ragged(*found["not_exhaustive"]),
        frequencies=tuple(frequencies),
        annotation_ids=found["annotation_ids"] if found["any_ids"] else None,
        annotation_images=found["annotation_images"],
        annotation_categories=found["annotation_categories"],
        iscrowd=found["crowd"].view(np.bool_),
        states=Sparse(*found["states"]),
        keypoints=Ragged(*found["keypoints"]),
        masks=_masks(len(found["areas"]), *found["masks"]),
        rings=Ragged(rows, ends, ring_ends),
        points=points,
    )


def _masks(
    count: int, rows: IntArray, ends: IntArray, text: ByteImage, sizes_hw: IntArray
) -> MaskColumn | None:
    """A column over all rows of the masks that some of them have."""
    if not len(rows):
        return None
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    if len(rows) == count:
        return MaskColumn(sizes_hw, starts, ends, text)
    sizes, all_starts, all_ends = np.full((count, 2), -1, np.int64), *np.zeros((2, count), np.int64)
    sizes[rows], all_starts[rows], all_ends[rows] = sizes_hw, starts, ends
    return MaskColumn(sizes, all_starts, all_ends, text)
