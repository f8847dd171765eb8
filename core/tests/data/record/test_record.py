from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from anydet.data.dataset.columns import no_labels
from anydet.data.record.letterbox import Letterbox
from anydet.data.record.pixels import ImageArray, ImageFile
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop, HorizontalFlip, PixelTransform, Resize
from anydet.errors import ImageError
from anydet.types import ImagePredictions, Intrinsics


@pytest.fixture
def record():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return Record("a.jpg", ImageArray(image), labels=no_labels(), camera=Intrinsics(50, 60, 14, 11))


def test_a_record_is_its_pixels(record):
    assert record.image() is record.pixels.read()
    assert record.size_wh == (30, 20)
    assert record.intrinsics == record.camera


def test_a_stated_size_opens_no_file():
    record = Record("a.jpg", ImageFile(Path("/nowhere/a.jpg")), stated_wh=(640, 480))
    assert record.size_wh == (640, 480)
    assert record.derive(Crop(0, 0, (100, 50))).size_wh == (100, 50)
    with pytest.raises(ImageError, match=r"/nowhere/a\.jpg"):
        record.image()


def test_derived_records_transform_pixels_size_and_camera_in_order(record):
    derived = record.derive(Crop(4, 2, (20, 10))).derive(HorizontalFlip()).derive(Resize((40, 30)))
    cut = record.image()[2:12, 4:24]
    flipped = derived.transforms[2].image(np.ascontiguousarray(cut[:, ::-1]))
    assert np.array_equal(derived.image(), flipped)
    assert derived.size_wh == (40, 30)
    assert derived.intrinsics == Intrinsics(100, 180, (20 - (14 - 4)) * 2, (11 - 2) * 3)
    assert derived.labels is None
    assert record.transforms == ()


@dataclass(frozen=True)
class Brightness(PixelTransform):
    """Values times a factor: all that a transform of pixels alone has to define."""

    factor: float

    def image(self, image):
        return np.clip(image * self.factor, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class KnownMask:
    """A class mask in memory."""

    classes: tuple[tuple[int, ...], ...]

    def read(self):
        return np.array(self.classes, np.int64)


def test_a_transform_of_pixels_alone_keeps_labels_class_mask_size_and_camera(record):
    record = replace(record, class_mask=KnownMask(((0, -1), (1, 1))))
    darker = record.derive(Brightness(0.5)).derive(Brightness(0.5))
    assert darker.labels is record.labels
    assert darker.class_map().tolist() == [[0, -1], [1, 1]]
    assert (darker.size_wh, darker.intrinsics) == (record.size_wh, record.intrinsics)
    assert np.array_equal(darker.image(), (record.image() // 2) // 2)
    found = ImagePredictions(
        "a.jpg",
        (30, 20),
        np.array([[1.0, 2, 3, 4]]),
        np.array([0.5]),
        np.array([0]),
        intrinsics=record.camera,
    )
    back = darker.undo(found)
    assert (back.size_wh, back.boxes_xyxy_px.tolist()) == ((30, 20), [[1, 2, 3, 4]])


@pytest.mark.parametrize(
    "moving", [HorizontalFlip(), Crop(4, 2, (20, 10)), Resize((30, 20)), Letterbox((30, 20))]
)
@pytest.mark.parametrize("first", [True, False])
def test_one_transform_that_moves_pixels_drops_labels_and_class_mask(record, moving, first):
    record = replace(record, class_mask=KnownMask(((0,),)))
    steps = [moving, Brightness(2.0)] if first else [Brightness(2.0), moving]
    derived = record.derive(steps[0]).derive(steps[1])
    assert derived.labels is None
    assert derived.class_map() is None


def test_a_derived_record_without_camera_has_none(record):
    assert Record("a", record.pixels).derive(HorizontalFlip()).intrinsics is None


def test_other_pixels_keep_everything_else(record):
    other = record.derive(HorizontalFlip()).with_pixels(ImageArray(np.zeros((20, 30, 3), np.uint8)))
    assert not other.image().any()
    assert (other.key, other.transforms) == ("a.jpg", (HorizontalFlip(),))


def test_undo_of_an_untouched_record_changes_nothing(record):
    predictions = ImagePredictions.empty("a.jpg", (30, 20))
    assert record.undo(predictions) is predictions


def test_undo_stops_at_the_record_that_it_is_asked_for(record):
    halved = record.derive(Resize((32, 24)))
    derived = halved.derive(HorizontalFlip())
    found = ImagePredictions.empty("a.jpg", derived.size_wh)
    assert derived.undo(found, to=halved).size_wh == (32, 24)
    assert derived.undo(found, to=halved).intrinsics == halved.intrinsics
    assert derived.undo(found, to=derived) is found
    assert derived.derives_from(halved)
    assert not halved.derives_from(derived)


def test_undo_to_a_record_that_it_does_not_come_from_is_refused(record):
    mirrored = record.derive(HorizontalFlip())
    with pytest.raises(ValueError, match=r"'a\.jpg' was not derived from record 'a\.jpg'"):
        mirrored.undo(ImagePredictions.empty("a.jpg", record.size_wh), to=record.derive(Resize((32, 24))))


def test_undo_restores_size_and_camera_of_the_source(record):
    derived = record.derive(Resize((60, 60))).derive(Crop(10, 10, (20, 20)))
    back = derived.undo(ImagePredictions.empty("a.jpg", derived.size_wh))
    assert back.size_wh == (30, 20)
    assert back.intrinsics == record.camera


def test_derived_records_are_picklable(record):
    derived = record.derive(Crop(4, 2, (20, 10))).derive(HorizontalFlip(((0, 1),))).derive(Resize((7, 9)))
    again = pickle.loads(pickle.dumps(derived))
    assert np.array_equal(again.image(), derived.image())
    assert again.size_wh == (7, 9)
    assert again.intrinsics == derived.intrinsics
