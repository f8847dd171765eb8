"""Records in, finished predictions out, chunk by chunk.

Order of a chunk: decode -> TTT ``adapt`` -> views -> ``predict``, batch by batch -> undo and fuse -> clip,
threshold, cut.
Without TTT, where chunks begin and end changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from anydet.contract.encode import encode_json
from anydet.data.dataset.protocols import Dataset
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import ContractError, PluginError
from anydet.geometry.boxes import clip_xyxy
from anydet.plugins.adapter import Adapter
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.prediction.checks import check_values
from anydet.prediction.choices import TTA, TTT
from anydet.prediction.decode import Undecodable, decode_ahead, measured
from anydet.prediction.hooks import Fusion, PredictContext, TTTDescription, TTTMethod, View, ViewResult
from anydet.types import ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self

OnError: TypeAlias = Literal["stop", "skip"]
Predict: TypeAlias = Callable[[Sequence[Record]], Iterable[ImagePredictions]]
"""Results of records: ``Adapter.predict``, or that of a model in training."""


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
class RunningTTA:
    """Test-time augmentation as it runs.

    Attributes:
        choices: what it was built from.
        views: in their order.
        fusion: makes one result of several.
    """

    choices: TTA
    views: tuple[View, ...]
    fusion: Fusion


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
        tta: test-time augmentation, or ``None`` for the images as they are.
        ttt: test-time training, or ``None``.
        on_error: "stop" raises at an undecodable image, "skip" gives an empty result with the reason; for an
            adapter that needs no pixels, an image is undecodable only where its size is unknown.
        workers: decoding threads.
        plugins: observe ``before_predict`` and ``after_predict``.
    """

    adapter: Adapter
    limits: Limits = Limits()
    tta: RunningTTA | None = None
    ttt: RunningTTT | None = None
    on_error: OnError = "stop"
    workers: int = 2
    plugins: Plugins | None = None

    def close(self) -> None:
        """Close the adapter. Safe to call twice."""
        self.adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def batch_size(self) -> int:
        """Records that the adapter gets at once."""
        return max(1, self.adapter.settings.batch_size)

    @property
    def chunk_size(self) -> int:
        """Records of a chunk: those of a batch, or more where the method wants more."""
        if not self.ttt:
            return self.batch_size
        with self._ttt_calls.to("min_images"):
            return max(self.batch_size, self.ttt.method.min_images)

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
            PluginError: the adapter gave other results than one per record, in order, a view gave records
                that it did not derive, a fusion gave a result of another image, values are out of range, or
                one of them, or the method of test-time training, raised what is no ``AnydetError``.
        """
        context = PredictContext(self.adapter.name, first, total)

        def predict(chunk: Sequence[Record]) -> list[ImagePredictions]:
            return self._predict(chunk, context)

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
            for results in chunks:
                self._notify("after_predict", predictions=results, context=context)
                yield results
                context = replace(context, first=context.first + len(results))
        finally:
            # also where the caller leaves early: decoding threads end before the model is put back
            chunks.close()
            if self.ttt:
                with self._ttt_calls.to("restore"):
                    self.ttt.method.restore()

    def describe_ttt(self) -> tuple[TTTDescription, Mapping[str, Any]]:
        """Description and report of the method, as ``meta`` states them; empty ones without a method.

        Raises:
            PluginError: one of them has no JSON form, or is no description.
        """
        if not self.ttt:
            return TTTDescription(), {}
        method, calls = self.ttt.method, self._ttt_calls
        with calls.to("describe"):
            description = method.describe()
            if not isinstance(description, TTTDescription):
                raise calls.error(f"gave {type(description).__name__} in describe, not a TTTDescription")
            _require_json(asdict(description), "describe", calls)
        with calls.to("report"):
            report = dict(method.report())
            _require_json(report, "report", calls)
        return description, report

    @property
    def _strict(self) -> bool:
        return self.plugins is not None and self.plugins.strict

    @property
    def _ttt_calls(self) -> PluginCalls:
        assert self.ttt is not None
        return PluginCalls("ttt_methods", self.ttt.choices.method, self._strict)

    def _predict(self, records: Sequence[Record], context: PredictContext) -> list[ImagePredictions]:
        self._notify("before_predict", adapter=self.adapter, records=records, context=context)
        if not self.ttt:
            return list(self._predict_adapted(records))
        with self._ttt_calls.to("adapt"):
            self.ttt.method.adapt(records)
        # What the adapter, views and fusion raise is a PluginError already, and passes.
        with self._ttt_calls.to("predicting"), self.ttt.method.predicting():
            return list(self._predict_adapted(records))

    def _predict_adapted(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, fused from those of its views."""
        derived = self._derive(records)
        found: list[ViewResult] = []
        current = 0
        calls = PluginCalls("adapters", self.adapter.name, self._strict)
        classes = self._class_count(calls)
        # Batches of all views of all records together, so that they are full whatever the number of views.
        while batch := list(islice(derived, self.batch_size)):
            shown = [derived.record for derived in batch]
            with calls.to("predict", shown[0].key if len(shown) == 1 else None):
                results = predict_checked(self.adapter.predict, shown, self.adapter.name)
                check_values(results, classes, calls)
            for one, result in zip(batch, results, strict=True):
                # Fused as soon as all views of a record are there, so that few results wait.
                if one.at != current:
                    yield self._fused(found, records[current], classes)
                    found, current = [], one.at
                found.append(self._bring_back(one, result, records[one.at]))
        if found:
            yield self._fused(found, records[current], classes)

    def _derive(self, records: Sequence[Record]) -> Iterator[_Derived]:
        """The records that the views give of each; itself once, for the first view that leaves it alone."""
        if not self.tta:
            yield from (_Derived(at, record, 1.0, "") for at, record in enumerate(records))
            return
        views = self.tta.views
        weights = self.tta.choices.weights or (1.0,) * len(views)
        for at, record in enumerate(records):
            gave_itself, count = False, 0
            for view, choice, weight in zip(views, self.tta.choices.views, weights, strict=True):
                calls = PluginCalls("views", choice.name, self._strict)
                with calls.to("apply", record.key):
                    given = tuple(view.apply(record))
                    for derived in given:
                        _check_derived(derived, record, calls)
                for derived in given:
                    if derived is record and gave_itself:
                        continue
                    gave_itself |= derived is record
                    count += 1
                    yield _Derived(at, derived, weight, choice.name)
            if not count:
                names = ", ".join(choice.name for choice in self.tta.choices.views)
                raise PluginError(
                    f"no view gave a record of image {record.key!r} (views: {names})",
                    fix="add the view 'original', or make a view give at least one record",
                )

    def _bring_back(self, derived: _Derived, result: ImagePredictions, source: Record) -> ViewResult:
        if not derived.view:
            return derived.bring_back(result, source)
        with PluginCalls("views", derived.view, self._strict).to("undo", source.key):
            return derived.bring_back(result, source)

    def _fused(self, results: Sequence[ViewResult], record: Record, classes: int | None) -> ImagePredictions:
        if len(results) == 1 or not self.tta:
            return results[0].predictions
        calls = PluginCalls("fusions", self.tta.choices.fusion.name, self._strict)
        with calls.to("fuse", record.key):
            fused = self.tta.fusion.fuse(results)
            if not isinstance(fused, ImagePredictions):
                raise calls.error(f"gave {type(fused).__name__} for {record.key!r}, not ImagePredictions")
            if fused.image != record.key:
                raise calls.error(f"gave a result of {fused.image!r} for {record.key!r}")
            wanted = results[0].predictions.size_wh
            if tuple(fused.size_wh) != tuple(wanted):
                raise calls.error(f"gave size_wh {fused.size_wh} for {record.key!r}, which has {wanted}")
            check_values([fused], classes, calls)
        return fused

    def _class_count(self, calls: PluginCalls) -> int | None:
        with calls.to("classes"):
            return None if self.adapter.classes is None else len(self.adapter.classes)

    def _notify(self, event: str, **arguments: Any) -> None:
        if self.plugins is not None:
            self.plugins.notify(event, **arguments)


@dataclass(frozen=True, slots=True)
class _Derived:
    """What the adapter gets of a record of the chunk.

    Attributes:
        at: position of that record in the chunk.
        record: derived from it, or itself.
        weight: of the view.
        view: registered name; empty without test-time augmentation.
    """

    at: int
    record: Record
    weight: float
    view: str

    def bring_back(self, result: ImagePredictions, source: Record) -> ViewResult:
        """The result in pixels of the record of the chunk."""
        width, height = self.record.size_wh
        everything = np.array([[0, 0, width, height]], np.float64)
        window = ImagePredictions(
            result.image, (width, height), everything, np.ones(1), np.zeros(1, np.int64)
        )
        x1, y1, x2, y2 = self.record.undo(window, to=source).boxes_xyxy_px[0].tolist()
        return ViewResult(self.record.undo(result, to=source), self.weight, (x1, y1, x2, y2))


def _check_derived(derived: object, record: Record, calls: PluginCalls) -> None:
    if not isinstance(derived, Record):
        raise calls.error(f"gave {type(derived).__name__} for {record.key!r}, not a Record")
    if not derived.derives_from(record):
        raise calls.error(f"gave a record with key {derived.key!r} that was not derived from {record.key!r}")


def _require_json(value: Mapping[str, Any], method: str, calls: PluginCalls) -> None:
    try:
        encode_json(value, where=method)
    except ContractError as exc:
        raise calls.error(f"gave what meta cannot state: {exc.problem}") from exc


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


def predict_checked(predict: Predict, records: Sequence[Record], adapter: str) -> list[ImagePredictions]:
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
