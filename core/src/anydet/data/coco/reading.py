"""Read a COCO annotations file into an ``ImageTable``, checked."""

from __future__ import annotations

from pathlib import Path

from anydet.data.coco.columns import of_scan
from anydet.data.dataset.table import ImageTable
from anydet.errors import DatasetError
from anydet.scanner import ScannedAnnotations, Scanner, Stop


def read_coco(path: Path, scanner: Scanner | None = None) -> ImageTable:
    """Read and check an annotations file.

    COCO's own ``area``, ``iscrowd``, ``segmentation``, ``keypoints`` and ``id`` are kept, and ``state`` where
    annotations have it. Entries that are odd are read as ``mending`` says, with a warning for each kind.

    Args:
        path: the file.
        scanner: reads what it can, faster; the result is the same.

    Raises:
        DatasetError: that names the file and the annotation, image or category that makes a number wrong, or
            the file that is none.
    """
    found = scanner.annotations(path) if scanner and path.is_file() else None
    # A scanner stops at whatever it does not know; reading slowly then either knows it or names the mistake.
    quick = of_scan(found) if isinstance(found, ScannedAnnotations) else None
    if quick is not None:
        return quick
    from anydet.data.coco.parsing import parse_coco

    try:
        return parse_coco(path)
    except DatasetError as exc:
        table = _mended(path, exc, found)
    from anydet.data.dataset.oddities import warn_of

    warn_of(table.oddities, path)
    return table


def _mended(path: Path, why: DatasetError, found: ScannedAnnotations | Stop | None) -> ImageTable:
    """What can be read of a file that is not as COCO has it; raises ``why`` where nothing can."""
    from anydet.data.coco.mending import load, mend
    from anydet.data.coco.parsing import parse_mended
    from anydet.data.dataset.oddities import refuse

    data = load(path)
    if data is None:
        raise why
    mended = mend(data)
    try:
        refuse(mended.oddities, path)
        # A file of which not one annotation is left is another one than was meant.
        if data.get("annotations") and not mended.document["annotations"]:
            raise why
        return parse_mended(path, mended)
    except DatasetError as exc:
        if isinstance(found, Stop):
            (problem,) = found.locate([exc.problem])
            raise DatasetError(problem, fix=exc.fix, details=exc.details) from exc
        raise
