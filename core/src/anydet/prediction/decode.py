"""Images ahead of the adapter: decoded in worker threads, or only measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import ImageError
from anydet.types import ByteImage, Size


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An image that cannot be had, and why.

    Attributes:
        key: key of its record.
        stated_wh: size that the data set states, or ``None``.
        error: what was found.
    """

    key: str
    stated_wh: Size | None
    error: ImageError


def decode_ahead(
    records: Iterable[Record | Undecodable], *, workers: int, ahead: int
) -> Generator[Record | Undecodable]:
    """The records in order, their pixels in memory; at most ``ahead`` images are held.

    Pillow and libjpeg release the GIL while they decode, so threads are enough and nothing is pickled.

    Args:
        records: what to decode, taken lazily; what is already known to be undecodable passes through.
        workers: threads.
        ahead: images decoded or being decoded before they are taken.
    """
    # A bounded queue instead of pool.map, which would take all records and hold all images at once.
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        waiting: deque[Future[Record | Undecodable]] = deque()
        try:
            for record in records:
                waiting.append(pool.submit(_decode, record))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def measured(records: Iterable[Record | Undecodable]) -> Generator[Record | Undecodable]:
    """The records in order, each with its size stated, for adapters that look at no pixels.

    No image is decoded, and none whose size the data set states is opened.
    """
    for record in records:
        if isinstance(record, Undecodable) or record.stated_wh is not None:
            yield record
            continue
        try:
            yield replace(record, stated_wh=record.pixels.size_wh())
        except ImageError as exc:
            yield Undecodable(record.key, None, exc)


def _decode(record: Record | Undecodable) -> Record | Undecodable:
    if isinstance(record, Undecodable):
        return record
    try:
        return record.with_pixels(ImageArray(_read(record)))
    except ImageError as exc:
        return Undecodable(record.key, record.stated_wh, exc)


def _read(record: Record) -> ByteImage:
    """The pixels of the source image; whatever else than (H, W, 3) uint8 comes of it is an ``ImageError``."""
    where = record.path or record.key
    try:
        image: object = record.pixels.read()
    except ImageError:
        raise
    except BaseException as exc:  # foreign code, in a thread: SystemExit and the like too
        text = " ".join(f"{type(exc).__name__}: {exc}".split())
        raise ImageError(
            f"{where}: its pixels cannot be read: {text}", fix="correct the file, or the plugin that reads it"
        ) from exc
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(
            f"{where}: its pixels are {got}, not uint8 (H, W, 3)", fix="correct the plugin that reads it"
        )
    size = (image.shape[1], image.shape[0])
    # Boxes are in pixels of the image and divided by the size: they would be wrong by the ratio of the two.
    if record.stated_wh is not None and tuple(record.stated_wh) != size:
        stated = "x".join(map(str, record.stated_wh))
        raise ImageError(
            f"{where}: the image is {size[0]}x{size[1]}, and the data set says {stated}",
            fix="correct the size that the data set states, or the image; 'anydet check-dataset' lists all",
        )
    return image
