"""One image that fails takes no other along, and an adapter that breaks is not taken for bad images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from anydet.adaptation.tta.views import Mirrored, Original
from anydet.data.record.transforms import PixelTransform
from anydet.errors import OptionError, PluginError
from anydet.plugins.hookspecs import hookimpl
from anydet.plugins.manager import Plugins
from anydet.prediction.choices import TTA, Choice
from anydet.prediction.hooks import ViewSettings
from anydet.prediction.pipeline import Pipeline
from anydet.prediction.predictor import RunningTTA


def flat(pipeline, records):
    return [found for chunk in pipeline.run(records) for found in chunk]


def reasons(results):
    return {p.image: p.extra["error"] for p in results if "error" in p.extra}


class First:
    def fuse(self, results):
        return results[0].predictions


class Odd:
    """A view or fusion that fails at one image, each in its own way."""

    def __init__(self, key, give):
        self.key, self.give = key, give

    def apply(self, record):
        return self.give(record) if record.key == self.key else (record,)

    def fuse(self, results):
        first = results[0].predictions
        return self.give(first) if first.image == self.key else first


def views(*views, fusion=None):
    return RunningTTA(TTA(tuple(Choice(type(view).__name__) for view in views)), views, fusion or First())


def divide(*_):
    return 1 / 0


def leave(*_):
    raise SystemExit(0)


def failing(adapter, keys, how):
    """The adapter, with ``how`` instead of what it gives for batches that have one of these images."""
    predict = adapter.predict

    def odd(records):
        results = list(predict(records))
        return how(results, [r.key in keys for r in records]) if keys & {r.key for r in records} else results

    adapter.predict = odd
    return adapter


def nan_scores(results, bad):
    return [replace(p, scores=p.scores * np.nan) if b else p for p, b in zip(results, bad, strict=True)]


HOWS = {
    "raises": divide,
    "exits": leave,
    "gives nothing": lambda results, bad: None,
    "loses one": lambda results, bad: [p for p, b in zip(results, bad, strict=True) if not b],
    "gives one more": lambda results, bad: [*results, results[0]],
    "gives NaN": nan_scores,
    "gives something else": lambda results, bad: [[] if b else p for p, b in zip(results, bad, strict=True)],
}


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_image_that_the_adapter_fails_on_is_skipped_with_the_reason(make_adapter, spots, how, batch_size):
    bad = {"002.png", "003.png", "009.png"}
    whole = flat(Pipeline(make_adapter()), spots(10))
    found = flat(Pipeline(failing(make_adapter(batch_size), bad, how), on_error="skip"), spots(10))
    assert [p.image for p in found] == [p.image for p in whole]
    assert set(reasons(found)) == bad
    assert all("adapter 'Brightest'" in reason for reason in reasons(found).values())
    for got, right in zip(found, whole, strict=True):
        if got.image in bad:
            assert (len(got), got.size_wh) == (0, right.size_wh)
        else:
            assert np.array_equal(got.boxes_xyxy_px, right.boxes_xyxy_px)
    with pytest.raises(PluginError, match="adapter 'Brightest'"):
        flat(Pipeline(failing(make_adapter(batch_size), bad, how)), spots(10))


def test_an_adapter_that_breaks_stops_the_run_before_an_image_is_blamed(make_adapter, spots):
    """As after a fault of the device, from which on nothing works."""
    adapter = make_adapter(4)
    predict, seen = adapter.predict, []

    def breaking(records):
        if len(seen) == 2:
            raise RuntimeError("device lost")
        seen.append(records)
        return predict(records)

    adapter.predict = breaking
    chunks = Pipeline(adapter, on_error="skip").run(spots(20))
    assert not reasons([*next(chunks), *next(chunks)])
    with pytest.raises(PluginError, match=r"fails on every image since '008\.png', on '007\.png', too.*lost"):
        next(chunks)


def test_wrong_options_are_no_fault_of_an_image(make_adapter, spots):
    adapter = make_adapter()

    def refuse(records):
        raise OptionError("no such layout", fix="give another one")

    adapter.predict = refuse
    with pytest.raises(OptionError, match="no such layout"):
        flat(Pipeline(adapter, on_error="skip"), spots(3))


@dataclass(frozen=True)
class Grown(PixelTransform):
    """Says that the size stays, and adds a column."""

    def image(self, image):
        return np.concatenate([image, image[:, :1]], axis=1)


@dataclass(frozen=True)
class Scaled(PixelTransform):
    """Floats, which no adapter expects."""

    def image(self, image):
        return image / 255


@dataclass(frozen=True)
class Undoing(PixelTransform):
    """Gives other results back than it should."""

    keeps_geometry: ClassVar[bool] = True
    change: object = None

    def image(self, image):
        return image

    def undo(self, predictions, source_wh):
        return self.change(predictions) if len(predictions) > 1 else predictions


VIEWS = {
    "fails": (divide, "failed in apply on image '002.png': ZeroDivisionError"),
    "exits": (leave, "failed in apply on image '002.png': SystemExit"),
    "gives another": (lambda record: ("a",), "gave str for '002.png', not a Record"),
    "gives a larger image": (
        lambda record: (record.derive(Grown()),),
        "has a wrong image: transform Grown gave uint8 (6, 9, 3) as the image of '002.png', where its size "
        "says uint8 (6, 8, 3)",
    ),
    "gives floats": (
        lambda record: (record.derive(Scaled()),),
        "has a wrong image: transform Scaled gave float64 (6, 8, 3)",
    ),
    "undoes to NaN": (
        lambda record: (
            record.derive(Undoing(change=lambda p: replace(p, boxes_xyxy_px=p.boxes_xyxy_px * np.nan))),
        ),
        "gave a box that is not a number on image '002.png'",
    ),
    "undoes to another image": (
        lambda record: (record.derive(Undoing(change=lambda p: replace(p, image="b"))),),
        "gave a result of 'b' for '002.png'",
    ),
    "cannot undo": (
        lambda record: (record.derive(Undoing(change=divide)),),
        "failed in undo on image '002.png': ZeroDivisionError",
    ),
}


@pytest.mark.parametrize(("give", "message"), VIEWS.values(), ids=VIEWS)
def test_an_image_that_a_view_fails_on_is_skipped_with_the_reason(make_adapter, spots, give, message):
    tta = views(Original(ViewSettings()), Odd("002.png", give))
    found = flat(Pipeline(make_adapter(), tta=tta, on_error="skip"), spots(6))
    assert set(reasons(found)) == {"002.png"}
    assert f"view 'Odd' {message}" in reasons(found)["002.png"]
    assert [len(p) for p in found] == [2, 2, 0, 2, 2, 2]
    with pytest.raises(PluginError, match="view 'Odd'"):
        flat(Pipeline(make_adapter(), tta=tta), spots(6))


@pytest.mark.parametrize("give", [divide, leave, lambda p: None, lambda p: replace(p, scores=p.scores * 2)])
def test_an_image_that_a_fusion_fails_on_is_skipped_with_the_reason(make_adapter, spots, give):
    tta = views(Original(ViewSettings()), Mirrored(ViewSettings()), fusion=Odd("002.png", give))
    found = flat(Pipeline(make_adapter(), tta=tta, on_error="skip"), spots(6))
    assert set(reasons(found)) == {"002.png"}
    assert "fusion 'wbf' " in reasons(found)["002.png"]
    assert [len(p) for p in found] == [2, 2, 0, 2, 2, 2]


def test_an_image_that_no_view_shows_is_skipped(make_adapter, spots):
    tta = views(Odd("002.png", lambda record: ()))
    found = flat(Pipeline(make_adapter(), tta=tta, on_error="skip"), spots(4))
    assert "no view gave a record" in reasons(found)["002.png"]
    assert [len(p) for p in found] == [2, 2, 0, 2]


class Meddling:
    """An observer that empties and overwrites what it is shown."""

    def __init__(self):
        self.refused = []

    def _try(self, shown, method, *arguments):
        try:
            getattr(shown, method)(*arguments)
        except (ValueError, TypeError, AttributeError) as exc:
            self.refused.append(type(exc).__name__)

    @hookimpl
    def before_predict(self, records):
        self._try(records, "clear")
        self._try(records[0].image(), "fill", 255)

    @hookimpl
    def after_predict(self, predictions):
        self._try(predictions, "clear")
        self._try(predictions[0].scores, "fill", 0)
        self._try(predictions[0].boxes_xyxy_px, "sort")
        predictions[0].extra["error"] = "mine"


def test_an_observer_cannot_change_what_it_is_shown(make_adapter, spots):
    observer, plugins = Meddling(), Plugins([])
    plugins.manager.register(observer)
    found = flat(Pipeline(make_adapter(), plugins=plugins), spots(6))
    right = flat(Pipeline(make_adapter()), spots(6))
    chunk = ["AttributeError", "ValueError", "AttributeError", "ValueError", "ValueError"]
    assert observer.refused == chunk * 2
    assert not reasons(found)
    for got, wanted in zip(found, right, strict=True):
        assert np.array_equal(got.scores, wanted.scores)
        assert np.array_equal(got.boxes_xyxy_px, wanted.boxes_xyxy_px)
