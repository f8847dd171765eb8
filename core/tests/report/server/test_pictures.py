"""Pictures on request: those of a report, of every row, within bounds of memory."""

from __future__ import annotations

import io
import threading
from queue import Queue

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anydet.data.opening import open_dataset
from anydet.data.record.record import Record
from anydet.errors import ImageError
from anydet.report.page.sampling import IMAGE, TRUTH
from anydet.report.server.pictures import DECODERS, LARGE_PX, WHOLE_PX, Pictures, Recent


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=40))
def test_what_was_used_last_is_kept_as_far_as_there_is_room(given_values):
    recent: Recent[int, bytes] = Recent(20, len)
    expected: dict[int, bytes] = {}
    for key, size in given_values:
        expected.pop(key, None)
        if size == 0:
            recent.get(key)
        recent.put(key, bytes(size))
        expected[key] = bytes(size)
        while sum(map(len, expected.values())) > 20:
            expected.pop(next(iter(expected)))
        assert recent.bytes == sum(map(len, expected.values())) <= 20
        assert all(recent.get(key) == value for key, value in expected.items())


def test_a_value_that_was_asked_for_outlives_one_that_was_not():
    recent: Recent[str, bytes] = Recent(4, len)
    recent.put("a", b"12")
    recent.put("b", b"34")
    assert recent.get("a") == b"12"
    recent.put("c", b"5")
    assert recent.get("b") is None
    assert recent.get("a") == b"12"
    recent.put("large", b"12345")
    assert recent.get("large") is None


@pytest.mark.slow
def test_items_and_pictures_are_those_of_the_report(hostile, served):
    for item in hostile.data.header["items"]:
        found = served.pictures.item(item["m"], item["r"])
        described = served.pictures.describe(found)
        assert {**described, "wh": [*described["wh"]]} == item
        with Image.open(io.BytesIO(served.pictures.picture(found))) as picture:
            assert [*picture.size] == item["wh"]


@pytest.mark.slow
def test_an_image_as_a_whole_has_all_that_is_on_it(hostile, served):
    findings = served.findings
    for image in range(len(hostile.dataset)):
        item = served.pictures.item(IMAGE, image)
        marks = served.pictures.describe(item)["marks"]
        rows = {
            TRUTH: findings.truth.image_index,
            **{m: one.image_index for m, one in enumerate(findings.found)},
        }
        for model, index in rows.items():
            shown = {mark["r"] for mark in marks if mark["m"] == model}
            assert shown <= set(np.flatnonzero(index == image).tolist())
        annotated = {mark["r"] for mark in marks if mark["m"] == TRUTH}
        assert annotated == set(np.flatnonzero(findings.truth.image_index == image).tolist())
        with Image.open(io.BytesIO(served.pictures.picture(item, large=True))) as picture:
            assert picture.size == hostile.dataset[image].size_wh


def test_rows_that_do_not_exist_are_no_items(served):
    for model, row in (
        (0, -1),
        (0, 10**9),
        (2, 0),
        (-3, 0),
        (TRUTH, len(served.findings.truth)),
        (IMAGE, 14),
    ):
        with pytest.raises(LookupError):
            served.pictures.item(model, row)


class Slow:
    """A data set whose images are read when they are let go."""

    def __init__(self, dataset):
        self.dataset, self.go, self.begun = dataset, threading.Event(), Queue()
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __getitem__(self, index):
        return self.dataset[index].with_pixels(self)

    def read(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.begun.put(True)
        self.go.wait()
        with self.lock:
            self.now -= 1
        return np.zeros((150, 200, 3), np.uint8)


def test_few_images_are_decoded_at_once_and_each_once(hostile, served):
    slow = Slow(hostile.dataset)
    pictures = Pictures(slow, served.findings)
    asked = [
        threading.Thread(target=pictures.picture, args=[pictures.item(IMAGE, i // 2)]) for i in range(12)
    ]
    for thread in asked:
        thread.start()
    for _ in range(DECODERS):
        slow.begun.get()
    slow.go.set()
    for thread in asked:
        thread.join()
    assert slow.most == DECODERS
    assert slow.begun.qsize() + DECODERS == 6


class Large:
    """Pixels of an image of another size than the data set states."""

    def __init__(self, size_wh):
        self.size = size_wh

    def __getitem__(self, index):
        return Record("large.png", self)

    def read(self):
        pixels = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        pixels[: self.size[1] // 2] = 255
        return pixels


@pytest.mark.parametrize("size_wh", [(200, 150), (1600, 1200)])
def test_a_large_picture_is_bounded_and_shows_the_same_part(served, size_wh):
    pictures = Pictures(Large(size_wh), served.findings)
    for model, longest in ((IMAGE, WHOLE_PX), (0, LARGE_PX)):
        item = pictures.item(model, 0)
        with Image.open(io.BytesIO(pictures.picture(item, large=True))) as picture:
            # Boxes are in pixels of the size that is stated, 200 x 150, and so is what is cut out.
            assert max(picture.size) <= min(longest, 200)
            if model == IMAGE:
                gray = np.asarray(picture.convert("L"))
                assert gray[: len(gray) // 2 - 3].min() > 250
                assert gray[len(gray) // 2 + 3 :].max() < 5


@pytest.mark.slow
def test_an_image_that_cannot_be_read_is_said_once(hostile, served):
    dataset = open_dataset(hostile.root / "scenes")
    broken = next(path for path in (hostile.root / "scenes").rglob("*.png") if path.name == dataset.keys[5])
    content, said = broken.read_bytes(), []
    pictures = Pictures(dataset, served.findings, said.append)
    item = pictures.item(IMAGE, 5)
    try:
        broken.write_bytes(b"no image")
        for _ in range(2):
            with pytest.raises(ImageError, match=broken.name):
                pictures.picture(item)
    finally:
        broken.write_bytes(content)
    assert len(said) == 1
    assert pictures.picture(item)
