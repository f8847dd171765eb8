"""What a record's pixels may be: an image that cannot be had is one finding about it, whatever went wrong."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.errors import ImageError
from anydet.prediction.decode import Undecodable, decode_ahead

IMAGE = np.zeros((6, 8, 3), np.uint8)


class Reads:
    """Pixels from a function."""

    def __init__(self, read):
        self.read = read

    def size_wh(self):
        return (8, 6)


def decoded(*records):
    with closing(decode_ahead(records, workers=2, ahead=2)) as found:
        return list(found)


def divide():
    return 1 / 0


def leave():
    raise SystemExit(0)


def refuse():
    raise ImageError("a.png: torn", fix="copy it again")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (divide, r"^a\.png: its pixels cannot be read: ZeroDivisionError: division by zero"),
        (leave, r"^a\.png: its pixels cannot be read: SystemExit: 0"),
        (refuse, r"^a\.png: torn"),
        (lambda: None, r"^a\.png: its pixels are NoneType, not uint8 \(H, W, 3\)"),
        (lambda: IMAGE[..., 0], r"^a\.png: its pixels are uint8 \(6, 8\), not"),
        (lambda: IMAGE[..., :2], r"^a\.png: its pixels are uint8 \(6, 8, 2\), not"),
        (lambda: IMAGE / 255, r"^a\.png: its pixels are float64 \(6, 8, 3\), not"),
    ],
)
def test_pixels_that_cannot_be_had_are_a_finding_about_one_image(read, message):
    good = Record("b.png", ImageArray(IMAGE))
    found, other = decoded(Record("a.png", Reads(read), stated_wh=(8, 6)), good)
    assert isinstance(found, Undecodable)
    with pytest.raises(ImageError, match=message):
        raise found.error
    assert (found.key, found.stated_wh) == ("a.png", (8, 6))
    assert np.array_equal(other.image(), IMAGE)


def test_an_image_of_another_size_than_is_stated_is_refused_as_its_boxes_would_be_wrong():
    found, good = decoded(
        Record("a.png", ImageArray(IMAGE), stated_wh=(16, 12)),
        Record("b.png", ImageArray(IMAGE), stated_wh=(8, 6)),
    )
    assert found.error.problem == "a.png: the image is 8x6, and the data set says 16x12"
    assert isinstance(good, Record)
