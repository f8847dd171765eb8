"""Images ahead of the adapter: decoded in worker threads, or only measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.dataclass import dataclass
from anydet.errors import ImageError
from anydet.types import Size


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
        return record.with_pixels(ImageArray(record.pixels.read()))
    except ImageError as exc:
        return Undecodable(record.key, record.stated_wh, exc)
