"""Each check of views catches a bad view of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from anydet.adaptation.tta.views import Mirrored
from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop, HorizontalFlip, Resize
from anydet.prediction.hooks import ViewSettings
from anydet.testing.checks.views import CHECKS, ViewSubject
from anydet.testing.kit import NotApplicable


def view(apply):
    """A view that is one function."""
    return type("View", (), {"apply": staticmethod(apply)})


class GivesNothing:
    def apply(self, record):
        return ()


class GivesAGenerator:
    def apply(self, record):
        return (record for _ in range(1))


@dataclass(frozen=True)
class HalvesBySide(Resize):
    """Gives results back in the size of the view, doubled: not that of its source."""

    def undo(self, predictions, source_wh):
        width, height = predictions.size_wh
        return super().undo(predictions, (2 * width, 2 * height))


@dataclass(frozen=True)
class StatesAnotherSize(HorizontalFlip):
    def size(self, source_wh):
        return (source_wh[0] + 1, source_wh[1])


@dataclass(frozen=True)
class WritesToItsSource(HorizontalFlip):
    def image(self, image):
        image[:2] = 9
        return image[:, ::-1].copy()


@dataclass(frozen=True)
class HoldsAFunction(HorizontalFlip):
    hook: object = lambda: None


@dataclass(frozen=True)
class Shifted(HorizontalFlip):
    """Shows the image moved by a fifth of its width, and gives boxes back unmoved."""

    def image(self, image):
        return np.roll(image, image.shape[1] // 5, axis=1)

    def undo(self, predictions, source_wh):
        return predictions


def halved(record):
    width, height = record.size_wh
    return (record.derive(HalvesBySide((width // 2, height // 2))),)


def renamed(record):
    return (replace(record, key="other.png"),)


def from_the_source(record):
    """Forgets the transforms that the record has already."""
    return (replace(record, transforms=()).derive(HorizontalFlip()),)


class FlipsACoin:
    def apply(self, record):
        return (record.derive(HorizontalFlip()) if np.random.default_rng().random() < 0.5 else record,)


class MovesGlobalState:
    def apply(self, record):
        np.random.random()
        return (record,)


def derives(transform):
    return view(lambda record: (record.derive(transform()),))


BAD = [
    ("apply_gives_records", GivesNothing, "no record"),
    ("apply_gives_records", GivesAGenerator, "gave a generator"),
    ("records_are_derived", view(renamed), "key 'other.png'"),
    ("records_are_derived", view(from_the_source), "give record.derive"),
    ("sizes_are_those_of_the_images", view(halved), "results come back in size"),
    ("sizes_are_those_of_the_images", derives(StatesAnotherSize), "where its size says"),
    ("boxes_come_back_to_what_they_show", derives(Shifted), "comes back at"),
    ("views_are_repeatable", FlipsACoin, "other images"),
    ("records_are_left_alone", derives(WritesToItsSource), "pixels were changed"),
    ("records_are_left_alone", MovesGlobalState, "random state moved"),
    ("records_are_picklable", derives(HoldsAFunction), "cannot be pickled"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_view_passes(check, tmp_path):
    CHECKS[check](ViewSubject(lambda: Mirrored(ViewSettings()), folder=tmp_path))


def test_every_check_has_a_bad_view():
    assert {name for name, *_ in BAD} == set(CHECKS)


@pytest.mark.parametrize(("check", "bad", "message"), BAD)
def test_a_check_catches_its_bad_view(check, bad, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](ViewSubject(bad, folder=tmp_path))


def test_tiles_are_compared_by_what_they_show(tmp_path):
    def tiles(record):
        width, height = record.size_wh
        return [record.derive(Crop(x, 0, (width // 2, height))) for x in (0, width - width // 2)]

    for check in CHECKS.values():
        check(ViewSubject(view(tiles), folder=tmp_path))


def test_a_view_that_shows_next_to_nothing_cannot_be_compared(tmp_path):
    corner = view(lambda record: (record.derive(Crop(0, 0, (4, 4))),))
    with pytest.raises(NotApplicable, match="shows too little"):
        CHECKS["boxes_come_back_to_what_they_show"](ViewSubject(corner, folder=tmp_path))


def test_records_of_the_kit_are_whole_images_and_parts_of_them(tmp_path):
    records = ViewSubject(GivesNothing, (np.zeros((20, 30, 3), np.uint8),), folder=tmp_path).records()
    assert [record.size_wh for record in records] == [(30, 20), (27, 15)]
    assert all(isinstance(record, Record) and isinstance(record.pixels, ImageArray) for record in records)
