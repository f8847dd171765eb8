"""A scanner that has begun before its result is needed."""

from __future__ import annotations

from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

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
    """Reads one predictions file in the background, whatever its kind, and hands it out once.

    Args:
        scanner: who reads.
        path: the file; any other is read on request.
    """

    def __init__(self, scanner: Scanner, path: Path) -> None:
        self._scanner, self._path = scanner, path
        self._predictions: ScannedPredictions | Stop | None = None
        self._results: ScannedResults | Stop | None = None
        self._thread = Thread(target=self._read)
        self._thread.start()

    def predictions(self, path: Path) -> ScannedPredictions | Stop:
        """As ``Scanner.predictions``."""
        self._wait(path)
        found, self._predictions = self._predictions, None
        return self._scanner.predictions(path) if found is None or path != self._path else found

    def coco_results(self, path: Path) -> ScannedResults | Stop:
        """As ``Scanner.coco_results``."""
        self._wait(path)
        found, self._results = self._results, None
        return self._scanner.coco_results(path) if found is None or path != self._path else found

    def annotations(self, path: Path) -> ScannedAnnotations | Stop:
        """As ``Scanner.annotations``."""
        return self._scanner.annotations(path)

    def masks(self, masks: MaskColumn) -> MaskFacts:
        """As ``Scanner.masks``."""
        return self._scanner.masks(masks)

    def ahead(self, path: Path) -> Self:
        """Another one, for another file."""
        return type(self)(self._scanner, path)

    def _wait(self, path: Path) -> None:
        if path == self._path:
            self._thread.join()

    def _read(self) -> None:
        """A failure here is ignored: the request reads the file again and raises."""
        try:
            found = self._scanner.predictions(self._path)
            if isinstance(found, Stop) and found.reason == COCO_RESULTS:
                self._results = self._scanner.coco_results(self._path)
            self._predictions = found
        except (MemoryError, OSError, ValueError):
            self._predictions = self._results = None
