"""Records in, finished predictions out, chunk by chunk.

Order of a chunk: decode -> TTT ``adapt`` -> views -> ``predict``, batch by batch -> undo and fuse -> clip,
threshold, cut -> perturb, in mode "prediction".
Without TTT, where chunks begin and end changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from anydet.arguments import require_flag, require_integer, require_number
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import PluginError
from anydet.geometry.boxes import clip_xyxy
from anydet.plugins.adapter import Adapter
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.prediction.checks import require_json
from anydet.prediction.choices import TTT
from anydet.prediction.decode import Undecodable, decode_ahead, measured
from anydet.prediction.hooks import PredictContext, TTTDescription, TTTMethod
from anydet.prediction.observing import read_only
from anydet.prediction.perturbation import RunningPerturbation
from anydet.prediction.predictor import OnError, Predictor, RunningTTA, skipped
from anydet.types import ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self

Predict: TypeAlias = Callable[[Sequence[Record]], Iterable[ImagePredictions]]
"""Results of records: ``Adapter.predict``, or that of a model in training."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of an adapter's detections is kept, applied once, after fusion.

    Attributes:
        score_threshold: lowest score kept.
        max_detections: best ones kept an image.
        clip: move boxes into the image and drop those without area. Boxes whose right edge is left of the
            left one, or whose bottom is above their top, are dropped in any case: no file can state them.
    """

    score_threshold: float = 0.001
    max_detections: int = 100
    clip: bool = True

    def __post_init__(self) -> None:
        """Raises ``OptionError`` where a value has the wrong type or is out of range."""
        require_number("score_threshold", self.score_threshold, 0, 1)
        require_integer("max_detections", self.max_detections, 1)
        require_flag("clip", self.clip)

    def apply(self, predictions: ImagePredictions) -> ImagePredictions:
        """Detections kept, best score first, equal scores in the adapter's order."""
        keep = predictions.scores >= self.score_threshold
        boxes = predictions.boxes_xyxy_px
        if self.clip:
            boxes = clip_xyxy(boxes, predictions.size_wh)
            predictions = replace(predictions, boxes_xyxy_px=boxes)
            keep &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        else:
            keep &= (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
        rows = np.flatnonzero(keep)
        best = rows[np.argsort(-predictions.scores[rows], kind="stable")]
        return predictions.take(best[: self.max_detections])


@dataclass(frozen=True, slots=True)
class RunningTTT:
    """Test-time training as it runs.

    Attributes:
        choices: what it was built from.
        method: trains on each chunk before it is predicted.
        source: data set like that which the model was trained on, or ``None``.
    """

    choices: TTT
    method: TTTMethod
    source: Dataset | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """An adapter's predictions, with test-time augmentation and training around it.

    A context manager that closes the adapter; ``Recipe.open`` builds one from plain data.

    Attributes:
        adapter: predicts.
        limits: detections that are kept.
        tta: test-time augmentation, a perturbation of the results, or ``None`` for the images as they are.
        ttt: test-time training, or ``None``.
        on_error: "stop" raises at an image that cannot be decoded or predicted, "skip" gives an empty result
            with the reason; for an adapter that needs no pixels, an image is undecodable only where its size
            is unknown.
        workers: decoding threads.
        plugins: observe ``before_predict`` and ``after_predict``, and know the packages that errors name.
    """

    adapter: Adapter
    limits: Limits = Limits()
    tta: RunningTTA | RunningPerturbation | None = None
    ttt: RunningTTT | None = None
    on_error: OnError = "stop"
    workers: int = 2
    plugins: Plugins | None = None

    def close(self) -> None:
        """Close the adapter. Safe to call twice. Raises ``PluginError`` where that fails."""
        with PluginCalls("adapters", self.adapter.name, self.plugins).to("close"):
            self.adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except PluginError:
            # The first error is the one to raise.
            if error is None:
                raise

    @property
    def batch_size(self) -> int:
        """Records that the adapter gets at once."""
        return max(1, self.adapter.settings.batch_size)

    @property
    def chunk_size(self) -> int:
        """Records of a chunk: those of a batch, or the method's minimum, where that is more."""
        if not self.ttt:
            return self.batch_size
        calls = self._ttt_calls
        with calls.to("min_images"):
            wanted = self.ttt.method.min_images
            if not isinstance(wanted, int):
                raise calls.error(f"gave {type(wanted).__name__} as min_images, not an integer")
            return max(self.batch_size, wanted)

    def run(
        self, records: Iterable[Record | Undecodable], *, first: int = 0, total: int = 0
    ) -> Iterator[list[ImagePredictions]]:
        """Finished predictions, a list per chunk.

        Args:
            records: what to predict; taken lazily.
            first: position of the first record in the run (a resumed run starts later).
            total: number of records in the run, for events.

        Raises:
            ImageError: an image cannot be decoded and ``on_error`` is "stop".
            PluginError: ``on_error`` is "stop" and adapter, view or fusion failed on an image
                (``predictor``); an adapter broke; or the method of test-time training, or an observer, raised
                what is no ``AnydetError``.
        """
        context = PredictContext(self.adapter.name, first, total)
        perturbation = self.tta if isinstance(self.tta, RunningPerturbation) else None
        views = None if isinstance(self.tta, RunningPerturbation) else self.tta
        predictor = Predictor(self.adapter, views, self.on_error, self.plugins)

        def predict(chunk: Sequence[Record]) -> list[ImagePredictions]:
            return self._predict(predictor, chunk, context)

        chunks = predict_chunks(
            predict,
            records,
            size=self.chunk_size,
            limits=self.limits,
            on_error=self.on_error,
            workers=self.workers,
            needs_pixels=self.adapter.needs_pixels,
        )
        if self.ttt:
            with self._ttt_calls.to("prepare"):
                self.ttt.method.prepare(self.adapter, self.ttt.source)
        try:
            if self.ttt:
                # Before the first image: what meta cannot state would be found after the last one.
                self.describe_ttt()
                self.report_ttt()
            for kept in chunks:
                results = [perturbation.apply(result) for result in kept] if perturbation else kept
                if self._observed("after_predict"):
                    self._notify("after_predict", predictions=read_only(results), context=context)
                yield results
                context = replace(context, first=context.first + len(results))
        finally:
            # also where the caller leaves early: decoding threads end before the model is put back
            chunks.close()
            if self.ttt:
                with self._ttt_calls.to("restore"):
                    self.ttt.method.restore()

    def describe_ttt(self) -> TTTDescription:
        """Settings that the method runs with, as ``meta`` states them; empty ones without a method.

        Raises ``PluginError`` where it gives what is no description, or has no JSON form.
        """
        if not self.ttt:
            return TTTDescription()
        calls = self._ttt_calls
        with calls.to("describe"):
            description = self.ttt.method.describe()
            if not isinstance(description, TTTDescription):
                raise calls.error(f"gave {type(description).__name__} in describe, not a TTTDescription")
            require_json(asdict(description), "describe", calls)
        return description

    def report_ttt(self) -> Mapping[str, Any]:
        """What the method has to report so far; nothing without a method.

        Raises ``PluginError`` where it has no JSON form.
        """
        if not self.ttt:
            return {}
        calls = self._ttt_calls
        with calls.to("report"):
            report = dict(self.ttt.method.report())
            require_json(report, "report", calls)
        return report

    @property
    def _ttt_calls(self) -> PluginCalls:
        assert self.ttt is not None
        return PluginCalls("ttt_methods", self.ttt.choices.method, self.plugins)

    def _predict(
        self, predictor: Predictor, records: Sequence[Record], context: PredictContext
    ) -> list[ImagePredictions]:
        if self._observed("before_predict"):
            self._notify("before_predict", adapter=self.adapter, records=read_only(records), context=context)
        if not self.ttt:
            return self._results(predictor, records)
        with self.adapter.keeping_inputs():
            return self._adapt_and_predict(self.ttt.method, predictor, records)

    def _results(self, predictor: Predictor, records: Sequence[Record]) -> list[ImagePredictions]:
        # Where views are fused, what one of them has to add may be in its last detections.
        most = self.limits.max_detections if predictor.tta is None else None
        with self.adapter.keeping_best(most):
            return list(predictor(records))

    def _adapt_and_predict(
        self, method: TTTMethod, predictor: Predictor, records: Sequence[Record]
    ) -> list[ImagePredictions]:
        calls = self._ttt_calls
        with calls.to("adapt"):
            method.adapt(tuple(records))
        # What the adapter, views and fusion raise is a PluginError already, and passes.
        with calls.to("predicting"), method.predicting():
            return self._results(predictor, records)
        raise calls.error("kept an error to itself in predicting")

    def _observed(self, event: str) -> bool:
        return self.plugins is not None and self.plugins.observed(event)

    def _notify(self, event: str, **arguments: Any) -> None:
        assert self.plugins is not None
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
                skipped(item.key, item.stated_wh or (0, 0), item.error)
                if isinstance(item, Undecodable)
                else limits.apply(next(found))
                for item in chunk
            ]
