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
from anydet.scanner import ScannedPredictions, Scanner, Stop

_decode_free = msgspec.json.Decoder(Free).decode
_DECODE: Mapping[str, Any] = {
    "classification": msgspec.json.Decoder(ImageClass).decode,
    "semantic_mask": msgspec.json.Decoder(SemanticMask).decode,
    "intrinsics": msgspec.json.Decoder(Camera).decode,
    "preprocess": _decode_free,
    "extra": _decode_free,
}


def scan_predictions(path: Path, scanner: Scanner | None) -> RawPredictions | Stop:
    """The columns of a file that keeps the contract in every point, or where to doubt it.

    A ``Stop`` with the reason ``COCO_RESULTS`` says that the file is one of those; any other, that the slow
    path must read it.
    """
    shape: Shape | None = "parquet" if path.suffix.lower() == ".parquet" else None
    found = _read(path, scanner, shape)
    if isinstance(found, Stop):
        return found
    try:
        raw = _judged(path, found, shape or found.shape)
    except UNREADABLE as exc:
        return Stop(0, str(exc))
    if raw is None or not _masks_fit(raw, scanner):
        return Stop(0, "something that only the slow path explains")
    return raw


def _read(path: Path, scanner: Scanner | None, shape: Shape | None) -> ScannedPredictions | Stop:
    if shape == "parquet":
        from anydet.contract.reading.parquet_columns import read_columns

        return read_columns(path) or Stop(0, "not as this program writes Parquet")
    return scanner.predictions(path) if scanner else Stop(0, "nothing to scan it with")


def _judged(path: Path, found: ScannedPredictions, shape: Shape) -> RawPredictions | None:
    """Everything put together; ``None`` where an image or the meta is not right."""
    keys = set(map(unix_path, found.images))
    meta, wrong = findings(found.meta, "meta") if found.meta else (None, [])
    if len(keys) < len(found.images) or wrong:
        return None
    extra = {row: _decode_free(text) for row, text in found.extra.items()}
    return assemble(str(path), shape, found, meta=meta, details=dict(_details(found)), extra=extra)


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
    if isinstance(raw.masks, MaskColumn):
        sizes_wh = raw.sizes_wh[raw.image_index]
        known = (sizes_wh[:, 0] > 0) & ~raw.masks.missing
        if not scanner.masks(raw.masks).whole.all():
            return False
        if (raw.masks.sizes_hw[:, ::-1] != sizes_wh)[known].any():
            return False
    return next(mask_findings(replace(raw, masks=None)), None) is None
