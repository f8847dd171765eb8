"""Overlay and pixels of each crop, made when they are requested and kept as long as there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

from anydet.data.dataset.protocols import Dataset
from anydet.errors import AnydetError
from anydet.report.page.crops import LONGEST_PX, crop, describe, window_of
from anydet.report.page.findings import Findings
from anydet.report.page.sampling import IMAGE, TRUTH, Item
from anydet.types import ByteImage, Size

LARGE_PX = 640
"""Longer side of a crop that is looked at alone."""
WHOLE_PX = 2048
"""Longer side of an image that is looked at alone."""
DECODERS = 2
"""Images decoded at once: what a large one takes is bounded, and other requests are answered meanwhile."""
_IMAGES_BYTES = 96 << 20
_PICTURES_BYTES = 48 << 20
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Recent(Generic[_K, _V]):
    """What was made last, up to a number of bytes; what was not used for the longest time goes first.

    Args:
        most_bytes: of all values; a value that is larger alone is not kept.
        size: bytes of a value.
    """

    def __init__(self, most_bytes: int, size: Callable[[_V], int]) -> None:
        self._most, self._size, self.bytes = most_bytes, size, 0
        self._values: OrderedDict[_K, _V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _K) -> _V | None:
        """The value, if it is still there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: _K, value: _V) -> None:
        """Keep a value, and let go of others where there is no room."""
        with self._lock:
            self._remove(key)
            self._values[key] = value
            self.bytes += self._size(value)
            while self.bytes > self._most:
                self._remove(next(iter(self._values)))

    def _remove(self, key: _K) -> None:
        if key in self._values:
            self.bytes -= self._size(self._values.pop(key))


class Pictures:
    """Descriptions and pictures of all rows. Methods may be called by many threads at once.

    Args:
        dataset: has the images; they are read by their position in it, whatever is asked for.
        findings: where boxes, masks and poses are.
        unread: called once for each image that cannot be read.
    """

    def __init__(
        self,
        dataset: Dataset,
        findings: Findings,
        unread: Callable[[AnydetError], None] = lambda error: None,
    ) -> None:
        self._dataset, self._unread = dataset, unread
        self._sides, self._sizes_wh = findings.sides(), findings.truth.sizes_wh
        self._image_of = {TRUTH: findings.truth.image_index}
        self._image_of |= {m: found.image_index for m, found in enumerate(findings.found)}
        self._image_of[IMAGE] = np.arange(len(self._sizes_wh))
        self._images: Recent[int, ByteImage] = Recent(_IMAGES_BYTES, lambda pixels: pixels.nbytes)
        self._made: Recent[tuple[int, int, bool], bytes] = Recent(_PICTURES_BYTES, len)
        self._decoders = threading.BoundedSemaphore(DECODERS)
        self._dataset_lock = threading.Lock()
        self._decoding = [threading.Lock() for _ in range(64)]
        self._said: set[int] = set()

    def item(self, model: int, row: int) -> Item:
        """The item of a row; raises ``LookupError`` where there is no such row."""
        images = self._image_of.get(model)
        if images is None or not 0 <= row < len(images):
            raise LookupError(row)
        return Item(model, row, int(images[row]))

    def describe(self, item: Item) -> dict[str, Any]:
        """What the page draws on a picture; no image is decoded."""
        return describe(item, self._size(item.image), self._sides).as_dict()

    def picture(self, item: Item, *, large: bool = False) -> bytes:
        """The encoded picture of an item; raises ``AnydetError`` where its image cannot be read."""
        key = item.model, item.row, large
        content = self._made.get(key)
        if content is None:
            longest = LONGEST_PX if not large else WHOLE_PX if item.model == IMAGE else LARGE_PX
            pixels, image_wh = self._pixels(item.image), self._size(item.image)
            content = crop(pixels, window_of(item, image_wh, self._sides), image_wh, longest)
            self._made.put(key, content)
        return content

    def _size(self, image: int) -> Size:
        """Size of an image in whose pixels boxes are: what the data set states, else its own."""
        width, height = self._sizes_wh[image].tolist()
        if width > 0 and height > 0:
            return width, height
        with self._dataset_lock:
            return self._dataset[image].size_wh

    def _pixels(self, image: int) -> ByteImage:
        """An image; requests for the same one wait for the first of them."""
        with self._decoding[image % len(self._decoding)]:
            pixels = self._images.get(image)
            if pixels is None:
                with self._decoders:
                    pixels = self._read(image)
                self._images.put(image, pixels)
            return pixels

    def _read(self, image: int) -> ByteImage:
        with self._dataset_lock:
            record = self._dataset[image]
        try:
            return record.image()
        except AnydetError as error:
            if image not in self._said:
                self._said.add(image)
                self._unread(error)
            raise
