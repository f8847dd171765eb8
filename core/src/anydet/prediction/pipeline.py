"""Records in, finished predictions out, chunk by chunk.

Order of a chunk: decode -> TTT ``adapt`` -> views -> ``predict`` -> undo and fuse -> clip, threshold, cut.
Without TTT, where chunks begin and end changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from anydet.data.record.record import Record
from anydet.errors import PluginError
from anydet.geometry.boxes import clip_xyxy
from anydet.plugins.adapter import Adapter
from anydet.prediction.decode import Undecodable, decode_ahead
from anydet.prediction.hooks import PredictContext, TTTMethod, View
from anydet.types import ImagePredictions

Fuse = Callable[[Sequence[ImagePredictions]], ImagePredictions]
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
    """How predictions are made of records.

    Attributes:
        adapter: who predicts.
        limits: what is kept.
        views: what the adapter looks at; empty means the image as it is.
        fuse: joins the results of several views; required when there are several.
        ttt: trains on each chunk before it is predicted.
        on_error: "stop" raises at an undecodable image, "skip" gives an empty result that says why.
        workers: decoding threads.
        hook: where ``before_predict`` and ``after_predict`` fire (``Plugins.hook``).
    """

    adapter: Adapter
    limits: Limits = Limits()
    views: tuple[View, ...] = ()
    fuse: Fuse | None = None
    ttt: TTTMethod | None = None
    on_error: Literal["stop", "skip"] = "stop"
    workers: int = 2
    hook: Any = None

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
        size = max(1, self.adapter.settings.batch_size)
        decoded = decode_ahead(records, workers=self.workers, ahead=2 * size)
        if self.ttt:
            self.ttt.prepare(self.adapter)
        try:
            while chunk := list(islice(decoded, size)):
                yield self._chunk(chunk, PredictContext(self.adapter.name, first, total))
                first += len(chunk)
        finally:
            decoded.close()
            if self.ttt:
                self.ttt.restore()

    def _chunk(
        self, chunk: Sequence[Record | Undecodable], context: PredictContext
    ) -> list[ImagePredictions]:
        records = [r for r in chunk if isinstance(r, Record)]
        if self.on_error == "stop":
            for item in chunk:
                if isinstance(item, Undecodable):
                    raise item.error
        found = iter(self._predict(records, context))
        results = [
            _skipped(r) if isinstance(r, Undecodable) else self.limits.apply(next(found)) for r in chunk
        ]
        self._notify("after_predict", predictions=results, context=context)
        return results

    def _predict(self, records: Sequence[Record], context: PredictContext) -> list[ImagePredictions]:
        if not records:
            return []
        self._notify("before_predict", adapter=self.adapter, records=records, context=context)
        if self.ttt:
            self.ttt.adapt(records)
        if not self.views:
            return self._predict_checked(records)
        return self._predict_views(records)

    def _notify(self, event: str, **what: Any) -> None:
        """Fire an event; what an observer raises is an error that says how to leave it out."""
        if not self.hook:
            return
        try:
            getattr(self.hook, event)(**what)
        except Exception as exc:  # foreign code
            raise PluginError(
                f"a plugin failed in its {event} hook: {type(exc).__name__}: {exc}",
                fix="leave it out with ANYDET_PLUGINS=a,b, or see which with ANYDET_TRACE=1",
            ) from exc

    def _predict_views(self, records: Sequence[Record]) -> list[ImagePredictions]:
        """Predict every view of every record; a view that left a record alone is predicted once."""
        seen: list[list[ImagePredictions]] = [[] for _ in records]
        plain: set[int] = set()
        for view in self.views:
            derived = [view.apply(record) for record in records]
            same = {i for i, record in enumerate(records) if derived[i] is record}
            fresh = [i for i in range(len(records)) if i not in same & plain]
            plain |= same
            for i, result in zip(fresh, self._predict_checked([derived[i] for i in fresh]), strict=True):
                seen[i].append(result if i in same else view.undo(result))
        return [self._fused(results) for results in seen]

    def _fused(self, results: Sequence[ImagePredictions]) -> ImagePredictions:
        if len(results) == 1 or self.fuse is None:
            return results[0]
        return self.fuse(results)

    def _predict_checked(self, records: Sequence[Record]) -> list[ImagePredictions]:
        if not records:
            return []
        results = list(self.adapter.predict(records))
        wanted, got = [r.key for r in records], [p.image for p in results]
        if wanted != got:
            raise PluginError(
                f"adapter {self.adapter.name!r} gave results for {got[:3]}... ({len(got)}) where "
                f"{wanted[:3]}... ({len(wanted)}) were asked for: one result a record, in order",
                fix=f"run 'anydet adapters check {self.adapter.name}' and report it to the plugin's author",
            )
        return results


def _skipped(failed: Undecodable) -> ImagePredictions:
    return ImagePredictions.empty(
        failed.key, failed.stated_wh or (0, 0), extra={"error": failed.error.problem}
    )
