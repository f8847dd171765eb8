"""A scanner that has begun before its result is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from anydet.mask_columns import MaskColumn
from anydet.scanner import (
    COCO_RESULTS,
    MaskFacts,
    ScannedAnnotations,
    ScannedPredictions,
    ScannedResults,
    Scanner,
    Stop,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class ReadAhead:
    """Reads files in the background, and hands out what it found once.

    Args:
        scanner: reads the files.
        predictions: a predictions file, whatever its kind; its masks are looked into as well.
        annotations: a file of COCO annotations, read before the predictions.
    """

    def __init__(self, scanner: Scanner, predictions: Path, annotations: Path | None = None) -> None:
        self._scanner = scanner
        self._found: dict[tuple[str, Path], Any] = {}
        self._facts: tuple[MaskColumn, MaskFacts] | None = None
        self._first = Thread(target=_quietly, args=(self._read_annotations, annotations))
        self._second = Thread(target=_quietly, args=(self._read_predictions, predictions))
        self._first.start()
        self._second.start()

    def predictions(self, path: Path) -> ScannedPredictions | Stop:
        """As ``Scanner.predictions``."""
        found: ScannedPredictions | Stop = self._take("predictions", path, self._second)
        return found

    def coco_results(self, path: Path) -> ScannedResults | Stop:
        """As ``Scanner.coco_results``."""
        found: ScannedResults | Stop = self._take("coco_results", path, self._second)
        return found

    def annotations(self, path: Path) -> ScannedAnnotations | Stop:
        """As ``Scanner.annotations``."""
        found: ScannedAnnotations | Stop = self._take("annotations", path, self._first)
        return found

    def masks(self, masks: MaskColumn) -> MaskFacts:
        """As ``Scanner.masks``."""
        known, self._facts = self._facts, None
        return known[1] if known is not None and known[0] is masks else self._scanner.masks(masks)

    def ahead(self, predictions: Path, annotations: Path | None = None) -> Self:
        """Another one, for other files."""
        return type(self)(self._scanner, predictions, annotations)

    def _take(self, kind: str, path: Path, thread: Thread) -> Any:
        """What the thread found; read now where it did not, or where it is asked for again."""
        thread.join()
        found = self._found.pop((kind, path), None)
        return getattr(self._scanner, kind)(path) if found is None else found

    def _read_annotations(self, path: Path | None) -> None:
        if path is not None:
            self._found["annotations", path] = self._scanner.annotations(path)

    def _read_predictions(self, path: Path) -> None:
        # One file after the other, each with all threads: annotations are needed first.
        self._first.join()
        found: ScannedPredictions | ScannedResults | Stop = self._scanner.predictions(path)
        self._found["predictions", path] = found
        if isinstance(found, Stop) and found.reason == COCO_RESULTS:
            found = self._found["coco_results", path] = self._scanner.coco_results(path)
        if not isinstance(found, Stop) and found.masks is not None:
            self._facts = found.masks, self._scanner.masks(found.masks)


def _quietly(read: Callable[[Any], None], path: Path | None) -> None:
    """A failure here is ignored: the request reads the file again and raises."""
    try:
        read(path)
    except (MemoryError, OSError, ValueError):
        return
