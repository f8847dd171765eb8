"""The records of a chunk through views, adapter and fusion; one that fails takes no other along."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np

from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import AnydetError, ContractError, DatasetError, PluginError, TransformError
from anydet.plugins.adapter import Adapter
from anydet.plugins.calls import PluginCalls
from anydet.plugins.manager import Plugins
from anydet.prediction.checks import check_results, check_values
from anydet.prediction.choices import TTA
from anydet.prediction.hooks import Fusion, View, ViewResult
from anydet.types import ImagePredictions, Size

OnError: TypeAlias = Literal["stop", "skip"]
_OF_AN_IMAGE = (PluginError, DatasetError, ContractError)
"""Errors that one image may have and another not. All others are those of the run, such as wrong options."""


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


@dataclass(slots=True)
class Predictor:
    """Predicts records, one result each, in order.

    Attributes:
        adapter: predicts.
        tta: test-time augmentation, or ``None`` for the images as they are.
        on_error: "stop" raises the first error, "skip" gives an empty result with the reason.
        plugins: that adapter, views and fusion come from, for errors; ``None`` where they are not registered.
    """

    adapter: Adapter
    tta: RunningTTA | None = None
    on_error: OnError = "stop"
    plugins: Plugins | None = None
    _failed: dict[int, AnydetError] = field(default_factory=dict)
    _good: Record | None = None

    def __call__(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record, fused from those of its views.

        Where ``on_error`` is "skip", a batch that fails is predicted again image by image, and what fails
        then is skipped, unless the adapter now fails on an image that it has predicted before, too: then it
        is the adapter that broke, not the image, and the error is raised.

        Raises:
            PluginError: adapter, view or fusion raised what is no ``AnydetError``, or gave what is no whole
                result of the record (``checks``).
        """
        self._failed.clear()
        classes = self._class_count()
        derived = self._derive(records)
        found: list[list[ViewResult]] = [[] for _ in records]
        done = 0
        # Batches of all views of all records together, so that they are full whatever the number of views.
        while batch := list(islice(derived, max(1, self.adapter.settings.batch_size))):
            for one, result in zip(batch, self._predict(batch, classes), strict=True):
                if result is not None:
                    found[one.at] += self._brought_back(one, result, records[one.at], classes)
            # Fused as soon as all views of a record are there, so that few results wait.
            while done < batch[-1].at:
                yield self._finished(done, found[done], records[done], classes)
                found[done], done = [], done + 1
        for at in range(done, len(records)):
            yield self._finished(at, found[at], records[at], classes)

    def _keep(self, exc: AnydetError, at: int) -> None:
        """Keep the first error of the record at this position, where images are skipped, or raise it."""
        if self.on_error == "stop":
            raise exc
        self._failed.setdefault(at, exc)

    def _class_count(self) -> int | None:
        with self._calls.to("classes"):
            return None if self.adapter.classes is None else len(self.adapter.classes)

    @property
    def _calls(self) -> PluginCalls:
        return PluginCalls("adapters", self.adapter.name, self.plugins)

    def _derive(self, records: Sequence[Record]) -> Iterator[_Derived]:
        """The records that the views give of each; itself once, for the first view that leaves it alone."""
        for at, record in enumerate(records):
            try:
                given = self._views_of(at, record)
            except _OF_AN_IMAGE as exc:
                self._keep(exc, at)
            else:
                yield from given

    def _views_of(self, at: int, record: Record) -> list[_Derived]:
        if not self.tta:
            return [_Derived(at, record, 1.0, "")]
        views = self.tta.views
        weights = self.tta.choices.weights or (1.0,) * len(views)
        found: list[_Derived] = []
        for view, choice, weight in zip(views, self.tta.choices.views, weights, strict=True):
            calls = PluginCalls("views", choice.name, self.plugins)
            with calls.to("apply", record.key):
                given = tuple(view.apply(record))
                for derived in given:
                    _check_derived(derived, record, calls)
            for derived in given:
                if derived is not record or all(one.record is not record for one in found):
                    found.append(_Derived(at, derived, weight, choice.name))
        if not found:
            names = ", ".join(choice.name for choice in self.tta.choices.views)
            raise PluginError(
                f"no view gave a record of image {record.key!r} (views: {names})",
                fix="add the view 'original', or make a view give at least one record",
            )
        return found

    def _predict(self, batch: Sequence[_Derived], classes: int | None) -> Sequence[ImagePredictions | None]:
        """A result each; ``None`` for those that failed, where images are skipped."""
        try:
            results = self._predict_at_once(batch, classes)
        except _OF_AN_IMAGE as exc:
            if self.on_error == "stop":
                raise
            if len(batch) > 1:
                # Which image it was, and whether it was one, is seen image by image.
                return [self._predict([one], classes)[0] for one in batch]
            self._raise_where_broken(exc, batch[0].record.key, classes)
            self._failed.setdefault(batch[0].at, exc)
            return [None]
        self._good = batch[-1].record
        return results

    def _predict_at_once(self, batch: Sequence[_Derived], classes: int | None) -> list[ImagePredictions]:
        shown = [one.record for one in batch]
        try:
            with self._calls.to("predict", shown[0].key if len(shown) == 1 else None):
                # A list of its own: what the adapter does with it must not change which results are expected.
                return check_results(self.adapter.predict(shown[:]), shown, classes, self._calls)
        except TransformError as exc:
            view = next((one.view for one in batch if one.has(exc.transform)), "")
            if not view:
                raise
            raise PluginCalls("views", view, self.plugins).error(f"has a wrong image: {exc.problem}") from exc

    def _raise_where_broken(self, exc: AnydetError, key: str, classes: int | None) -> None:
        """Raise where an image that was predicted before fails now, too."""
        good = self._good
        if good is None:
            return
        try:
            self._predict_at_once([_Derived(0, good, 1.0, "")], classes)
        except _OF_AN_IMAGE as again:
            raise self._calls.error(
                f"fails on every image since {key!r}, on {good.key!r}, too, which it predicted before: "
                f"{exc.problem}"
            ) from again

    def _brought_back(
        self, derived: _Derived, result: ImagePredictions, source: Record, classes: int | None
    ) -> Sequence[ViewResult]:
        """The result in pixels of the record of the chunk; none where that fails and images are skipped."""
        if derived.record is source:
            width, height = source.size_wh
            return [ViewResult(result, derived.weight, (0.0, 0.0, float(width), float(height)))]
        calls = PluginCalls("views", derived.view, self.plugins)
        try:
            with calls.to("undo", source.key):
                found = derived.bring_back(result, source)
                whole = self._one(found.predictions, source, classes, calls)
                return [ViewResult(whole, found.weight, found.window_xyxy_px)]
        except _OF_AN_IMAGE as exc:
            self._keep(exc, derived.at)
            return []

    def _finished(
        self, at: int, found: Sequence[ViewResult], record: Record, classes: int | None
    ) -> ImagePredictions:
        if at not in self._failed:
            try:
                return self._fused(found, record, classes)
            except _OF_AN_IMAGE as exc:
                self._keep(exc, at)
        return skipped(record.key, record.size_wh, self._failed[at])

    def _fused(self, results: Sequence[ViewResult], record: Record, classes: int | None) -> ImagePredictions:
        if len(results) == 1 or not self.tta:
            return results[0].predictions
        calls = PluginCalls("fusions", self.tta.choices.fusion.name, self.plugins)
        with calls.to("fuse", record.key):
            return self._one(self.tta.fusion.fuse(results), record, classes, calls)

    def _one(
        self, given: object, record: Record, classes: int | None, calls: PluginCalls
    ) -> ImagePredictions:
        """A whole result of the record."""
        if not isinstance(given, ImagePredictions):
            raise calls.error(f"gave {type(given).__name__} for {record.key!r}, not ImagePredictions")
        if given.image != record.key:
            raise calls.error(f"gave a result of {given.image!r} for {record.key!r}")
        return check_values([given], [record.size_wh], classes, calls)[0]


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

    def has(self, transform: object) -> bool:
        """Whether a transform is one of the record's."""
        return any(own is transform for own in self.record.transforms)

    def bring_back(self, result: ImagePredictions, source: Record) -> ViewResult:
        """The result in pixels of the record of the chunk."""
        width, height = self.record.size_wh
        everything = np.array([[0, 0, width, height]], np.float64)
        window = ImagePredictions(
            result.image, (width, height), everything, np.ones(1), np.zeros(1, np.int64)
        )
        x1, y1, x2, y2 = self.record.undo(window, to=source).boxes_xyxy_px[0].tolist()
        return ViewResult(self.record.undo(result, to=source), self.weight, (x1, y1, x2, y2))


def skipped(key: str, size_wh: Size, error: AnydetError) -> ImagePredictions:
    """The empty result of an image that has none, with the reason."""
    return ImagePredictions.empty(key, size_wh, extra={"error": error.problem})


def _check_derived(derived: object, record: Record, calls: PluginCalls) -> None:
    if not isinstance(derived, Record):
        raise calls.error(f"gave {type(derived).__name__} for {record.key!r}, not a Record")
    if not derived.derives_from(record):
        raise calls.error(f"gave a record with key {derived.key!r} that was not derived from {record.key!r}")
