"""Pixels: where they come from, and images of awkward kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop, HorizontalFlip
from anydet.errors import ImageError
from anydet.plugins.adapter import Adapter
from anydet.testing.checks.adapters.subject import AdapterSubject, require_findings
from anydet.testing.comparison import first_difference
from anydet.testing.images import on_disk, write_corrupt, write_grayscale, write_rotated
from anydet.testing.kit import NotApplicable
from anydet.types import ByteImage, ImagePredictions, Size


class _NoPixels:
    """Raises wherever an image would be opened."""

    def read(self) -> ByteImage:
        raise AssertionError("it reads an image although needs_pixels is False; set it to True")

    def size_wh(self) -> Size:
        raise AssertionError("it opens an image for its size; take record.size_wh, which is stated")


def tiny_images_work(subject: AdapterSubject) -> None:
    """Images of one pixel, one row and one column get a result of their size."""
    for width, height in ((1, 1), (64, 1), (1, 64)):
        image = np.full((height, width, 3), 128, np.uint8)
        results = subject.predict([Record(f"{width}x{height}.png", ImageArray(image))])
        assert [tuple(p.size_wh) for p in results] == [(width, height)], (
            f"a {width}x{height} image gave {[p.size_wh for p in results]}; let no side become 0 on resizing"
        )
        for p in results:
            assert np.isfinite(p.boxes_xyxy_px).all(), (
                f"a {width}x{height} image gave boxes that are not finite"
            )


def grayscale_files_work(subject: AdapterSubject) -> None:
    """A file with one channel gives the results of its RGB image."""
    path = write_grayscale(subject.images[0], subject.folder / "gray.png")
    _assert_seen_as_decoded(subject, on_disk(path))


def exif_rotation_is_applied(subject: AdapterSubject) -> None:
    """A photo with an EXIF orientation is predicted upright."""
    path = write_rotated(subject.images[0], subject.folder / "turned.jpg")
    _assert_seen_as_decoded(subject, on_disk(path))


def a_corrupt_image_is_an_error(subject: AdapterSubject) -> None:
    """A corrupt image raises ``ImageError`` that names the file, and the adapter works on afterwards."""
    subject.require_pixels()
    path = write_corrupt(subject.folder / "corrupt.png")
    good = subject.records()[0]
    with subject.adapter() as adapter:
        before = list(adapter.predict([good]))
        # With a stated size, so that decoding is the first thing that can fail.
        error = _error_of(adapter, [good, replace(on_disk(path), stated_wh=(64, 48))])
        after = list(adapter.predict([good]))
    got = "a result" if error is None else repr(error)
    assert isinstance(error, ImageError) and path.name in str(error), (  # noqa: PT018
        f"a corrupt image gave {got}; let the ImageError of record.image() pass, which names {path.name}"
    )
    difference = first_difference(before, after, subject.tolerance, floor=subject.settings.score_floor)
    assert not difference, f"after a corrupt image: {difference}; keep no half-done chunk"


def pixels_come_from_the_record(subject: AdapterSubject) -> None:
    """Only ``record.image()`` is looked at: the path may lead nowhere, or to another image."""
    plain = subject.records()
    expected = subject.predict(plain)
    require_findings(expected)
    absent = [replace(r, path=subject.folder / "absent" / f"{i}.png") for i, r in enumerate(plain)]
    others = [
        replace(r, path=_save(subject.images[i - 1], subject.folder / f"{i}.png"))
        for i, r in enumerate(plain)
    ]
    for records in (absent, others):
        difference = _difference(subject, records, expected)
        assert not difference, f"{difference}; take pixels from record.image(), never open record.path"


def pixels_are_read_only_where_needed(subject: AdapterSubject) -> None:
    """An adapter that says that it needs no pixels gives the same results for records without any."""
    with subject.adapter() as adapter:
        if adapter.needs_pixels:
            raise NotApplicable("it needs pixels")
        plain = subject.records()
        expected = list(adapter.predict(plain))
    sized = [replace(r, pixels=_NoPixels(), stated_wh=r.size_wh) for r in plain]
    difference = _difference(subject, sized, expected)
    assert not difference, f"{difference}; set needs_pixels = True, or leave record.image() alone"


def derived_records_are_seen_transformed(subject: AdapterSubject) -> None:
    """A mirrored and cropped record gives the results of the mirrored and cropped image."""
    subject.require_pixels()
    for record in subject.records():
        width, height = record.size_wh
        window = Crop(width // 8, height // 8, (width - width // 4, height - height // 4))
        _assert_seen_as_decoded(subject, record.derive(HorizontalFlip()).derive(window))


def _error_of(adapter: Adapter, records: list[Record]) -> Exception | None:
    try:
        list(adapter.predict(records))
    except Exception as exc:  # foreign code: which kind it raises is what is checked
        return exc
    return None


def _assert_seen_as_decoded(subject: AdapterSubject, record: Record) -> None:
    image = record.image()
    expected = subject.predict([Record(record.key, ImageArray(image))])
    difference = _difference(subject, [record], expected)
    assert not difference, f"{difference}; predict what record.image() shows, {image.shape} uint8 RGB"


def _difference(subject: AdapterSubject, records: list[Record], expected: list[ImagePredictions]) -> str:
    return first_difference(
        expected, subject.predict(records), subject.tolerance, floor=subject.settings.score_floor
    )


def _save(image: ByteImage, path: Path) -> Path:
    Image.fromarray(image).save(path)
    return path


CHECKS = (
    tiny_images_work,
    grayscale_files_work,
    exif_rotation_is_applied,
    a_corrupt_image_is_an_error,
    pixels_come_from_the_record,
    pixels_are_read_only_where_needed,
    derived_records_are_seen_transformed,
)
