"""Predictions files through a scanner: columns at once where all is well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from anydet.contract.documents import Camera, Entry, Free, ImageClass, SemanticMask
from anydet.contract.join import unix_path
from anydet.contract.locations import Shape
from anydet.contract.raw import ImageDetails, RawPredictions
from anydet.contract.reading.assemble import assemble
from anydet.contract.reading.json_source import UNREADABLE
from anydet.contract.reading.table import image_details
from anydet.contract.run_lengths import mask_findings
from anydet.contract.violations import findings
from anydet.mask_columns import MaskColumn
from anydet.scanner import ScannedPredictions, Scanner

_decode_free = msgspec.json.Decoder(Free).decode
_DECODE: Mapping[str, Any] = {
    "classification": msgspec.json.Decoder(ImageClass).decode,
    "semantic_mask": msgspec.json.Decoder(SemanticMask).decode,
    "intrinsics": msgspec.json.Decoder(Camera).decode,
    "preprocess": _decode_free,
    "extra": _decode_free,
}


def join_columns(
    path: Path | str, found: ScannedPredictions, scanner: Scanner | None
) -> RawPredictions | None:
    """The predictions of a scanned file that keeps the contract in every point; ``None`` of any other."""
    meta, wrong = findings(found.meta, "meta") if found.meta else (None, [])
    return None if wrong else whole(path, found.shape, found, meta, scanner)


def whole(
    path: Path | str,
    shape: Shape,
    found: ScannedPredictions,
    meta: Mapping[str, Any] | None,
    scanner: Scanner | None = None,
) -> RawPredictions | None:
    """Scanned columns put together; ``None`` where an image, free data or a mask is not right.

    Args:
        path: the file.
        shape: its shape.
        found: its columns.
        meta: judged.
        scanner: looks into masks, faster.
    """
    if len(set(map(unix_path, found.images))) < len(found.images):
        return None
    try:
        extra = {row: _decode_free(text) for row, text in found.extra.items()}
        details = dict(_details(found))
    except UNREADABLE:
        return None
    raw = assemble(str(path), shape, found, meta=meta, details=details, extra=extra)
    return raw if _masks_fit(raw, scanner) else None


def _details(found: ScannedPredictions) -> Iterator[tuple[int, ImageDetails]]:
    about: dict[int, dict[str, Any]] = {}
    for name, texts in found.about.items():
        for row, text in texts.items():
            about.setdefault(row, {})[name] = _DECODE[name](text)
    for row in sorted(about):
        details = image_details(Entry(found.images[row], [], **about[row]))
        if details is not None:
            yield row, details


def _masks_fit(raw: RawPredictions, scanner: Scanner | None) -> bool:
    """Whether all masks decode to their size, and that is the image's."""
    if scanner is None:
        return next(mask_findings(raw), None) is None
    # The scanner looks into the masks of detections; those of whole images are few.
    if isinstance(raw.masks, MaskColumn):
        sizes_wh = raw.sizes_wh[raw.image_index]
        known = (sizes_wh[:, 0] > 0) & ~raw.masks.missing
        if not scanner.masks(raw.masks).whole.all():
            return False
        if (raw.masks.sizes_hw[:, ::-1] != sizes_wh)[known].any():
            return False
    return next(mask_findings(replace(raw, masks=None)), None) is None
