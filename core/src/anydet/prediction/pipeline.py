"""Records in, finished predictions out, chunk by chunk.

Order of a chunk: decode -> TTT ``adapt`` -> views -> ``predict``, batch by batch -> undo and fuse -> clip,
threshold, cut.
Without TTT, where chunks begin and end changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import PluginError
from anydet.geometry.boxes import clip_xyxy
from anydet.plugins.adapter import Adapter
from anydet.plugins.manager import Plugins
from anydet.prediction.decode import Undecodable, decode_ahead, measured
from anydet.prediction.hooks import PredictContext, TTTMethod, View
from anydet.types import ImagePredictions

OnError: TypeAlias = Literal["stop", "skip"]
Predict: TypeAlias = Callable[[Sequence[Record]], Iterable[ImagePredictions]]
"""Results of records: ``Adapter.predict``, or that of a model in training."""
Fuse: TypeAlias = Callable[[Sequence[ImagePredictions]], ImagePredictions]
"""Results of several views of one image, all in the original image's pixels, as one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of an adapter's detections is kept, applied once, after fusion.

    Attributes:
        score_threshold: lowest score kept.
        max_detections: best ones kept an image.
        clip: move boxes into the image and drop those without area.
    """

    score_threshold: float = 0.001
    max_detections: int = 100
    clip: bool = True

    def apply(self, predictions: ImagePredictions) -> ImagePredictions:
        """Detections kept, best score first, equal scores in the adapter's order."""
        keep = predictions.scores >= self.score_threshold
        if self.clip:
            boxes = clip_xyxy(predictions.boxes_xyxy_px, predictions.size_wh)
            predictions = replace(predictions, boxes_xyxy_px=boxes)
            keep &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        rows = np.flatnonzero(keep)
        best = rows[np.argsort(-predictions.scores[rows], kind="stable")]
        return predictions.take(best[: self.max_detections])


@dataclass(frozen=True, slots=True)
class Pipeline:
    """An adapter's predictions, with test-time augmentation and training around it.

    Attributes:
        adapter: predicts.
        limits: detections that are kept.
        views: images that the adapter gets of each image; empty means the image as it is.
        fuse: joins the results of several views; required when there are several.
        ttt: trains on each chunk before it is predicted.
        on_error: "stop" raises at an undecodable image, "skip" gives an empty result with the reason; for an
            adapter that needs no pixels, an image is undecodable only where its size is unknown.
        workers: decoding threads.
        plugins: observe ``before_predict`` and ``after_predict``.
    """

    adapter: Adapter
    limits: Limits = Limits()
    views: tuple[View, ...] = ()
    fuse: Fuse | None = None
    ttt: TTTMethod | None = None
    on_error: OnError = "stop"
    workers: int = 2
    plugins: Plugins | None = None

    @property
    def batch_size(self) -> int:
        """Records that the adapter gets at once."""
        return max(1, self.adapter.settings.batch_size)

    def run(
        self, records: Iterable[Record | Undecodable], *, first: int = 0, total: int = 0
    ) -> Iterator[list[ImagePredictions]]:
        """Finished predictions, a list per chunk of ``adapter.settings.batch_size`` records.

        Args:
            records: what to predict; taken lazily.
            first: position of the first record in the run (a resumed run starts later).
            total: number of records in the run, for events.

        Raises:
            ImageError: an image cannot be decoded and ``on_error`` is "stop".
            PluginError: the adapter gave other results than one per record, in order.
        """
        context = PredictContext(self.adapter.name, first, total)

        def predict(chunk: Sequence[Record]) -> list[ImagePredictions]:
            return self._predict(chunk, context)

        chunks = predict_chunks(
            predict,
            records,
            size=self.batch_size,
            limits=self.limits,
            on_error=self.on_error,
            workers=self.workers,
            needs_pixels=self.adapter.needs_pixels,
        )
        if self.ttt:
            self.ttt.prepare(self.adapter)
        try:
            for results in chunks:
                self._notify("after_predict", predictions=results, context=context)
                yield results
                context = replace(context, first=context.first + len(results))
        finally:
            # also where the caller leaves early: decoding threads end before the model is put back
            chunks.close()
            if self.ttt:
                self.ttt.restore()

    def _predict(self, records: Sequence[Record], context: PredictContext) -> list[ImagePredictions]:
        self._notify("before_predict", adapter=self.adapter, records=records, context=context)
        if self.ttt:
            self.ttt.adapt(records)
        return [self._fused(results) for results in self._predict_derived(records)]

    def _predict_derived(self, records: Sequence[Record]) -> list[list[ImagePredictions]]:
        """Results of each record's derived records, mapped back to it."""
        found: list[list[ImagePredictions]] = [[] for _ in records]
        derived = self._derive(records)
        # Of all records together, so that batches are full whatever the number of views.
        while batch := list(islice(derived, self.batch_size)):
            results = self._predict_checked([record for _, record in batch])
            for (at, record), result in zip(batch, results, strict=True):
                found[at].append(record.undo(result, to=records[at]))
        return found

    def _derive(self, records: Sequence[Record]) -> Iterator[tuple[int, Record]]:
        """The records that the views give of each, with its position; itself at most once."""
        for at, record in enumerate(records):
            if not self.views:
                yield at, record
            itself = count = 0
            for view in self.views:
                for derived in view.apply(record):
                    if not derived.derives_from(record):
                        raise PluginError(
                            f"view {type(view).__name__} gave a record with key {derived.key!r} that was not "
                            f"derived from {record.key!r}",
                            fix="views return record.derive(transform), or the record itself",
                        )
                    count += 1
                    itself += derived is record
                    if derived is not record or itself == 1:
                        yield at, derived
            if self.views and not count:
                names = ", ".join(type(view).__name__ for view in self.views)
                raise PluginError(
                    f"no view gave a record of image {record.key!r} (views: {names})",
                    fix="add the view 'original', or make a view return at least one record",
                )

    def _fused(self, results: Sequence[ImagePredictions]) -> ImagePredictions:
        if len(results) == 1 or self.fuse is None:
            return results[0]
        return self.fuse(results)

    def _predict_checked(self, records: Sequence[Record]) -> list[ImagePredictions]:
        return predict_checked(self.adapter.predict, records, adapter=self.adapter.name)

    def _notify(self, event: str, **arguments: Any) -> None:
        if self.plugins is not None:
            self.plugins.notify(event, **arguments)


def predict_chunks(
    predict: Predict,
    records: Iterable[Record | Undecodable],
    *,
    size: int,
    limits: Limits = Limits(),
    on_error: OnError = "stop",
    workers: int = 2,
    needs_pixels: bool = True,
) -> Generator[list[ImagePredictions]]:
    """Decode records ahead, predict them chunk by chunk, keep what ``limits`` keeps.

    Args:
        predict: gives one result a record, in order; called with the decodable records of a chunk, where
            there are any.
        records: taken lazily.
        size: records of a chunk.
        limits: detections that are kept.
        on_error: as ``Pipeline.on_error``.
        workers: decoding threads.
        needs_pixels: as ``Adapter.needs_pixels``.

    Raises ``ImageError`` at an undecodable image where ``on_error`` is "stop".
    """
    # two chunks ahead: the next one is decoded while this one is predicted
    ahead = decode_ahead(records, workers=workers, ahead=2 * size) if needs_pixels else measured(records)
    with closing(ahead) as ready:
        while chunk := list(islice(ready, size)):
            readable = [record for record in chunk if isinstance(record, Record)]
            if on_error == "stop":
                for item in chunk:
                    if isinstance(item, Undecodable):
                        raise item.error
            found = iter(predict(readable) if readable else ())
            yield [
                _skipped(item) if isinstance(item, Undecodable) else limits.apply(next(found))
                for item in chunk
            ]


def predict_checked(predict: Predict, records: Sequence[Record], *, adapter: str) -> list[ImagePredictions]:
    """What ``predict`` gives, which must be one result a record, in order; ``PluginError`` otherwise."""
    if not records:
        return []
    results = list(predict(records))
    wanted, got = [r.key for r in records], [p.image for p in results]
    if wanted != got:
        raise PluginError(
            f"adapter {adapter!r} gave results for {got[:3]}... ({len(got)}) where "
            f"{wanted[:3]}... ({len(wanted)}) were expected: one result a record, in order",
            fix=f"run 'anydet adapters check {adapter}' and report it to the plugin's author",
        )
    return results


def _skipped(failed: Undecodable) -> ImagePredictions:
    return ImagePredictions.empty(
        failed.key, failed.stated_wh or (0, 0), extra={"error": failed.error.problem}
    )
