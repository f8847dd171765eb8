"""What a view of test-time augmentation is held to: each check is one function, as those of adapters are."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anydet.data.record.pixels import ImageArray
from anydet.data.record.record import Record
from anydet.data.record.transforms import Crop
from anydet.errors import TransformError
from anydet.geometry.boxes import iou_xyxy
from anydet.plugins.manager import Plugins
from anydet.prediction.hooks import View, ViewSettings
from anydet.testing.images import default_images, in_memory
from anydet.testing.kit import NotApplicable, Subject, checks_of
from anydet.types import ByteImage, FloatArray, ImagePredictions

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class ViewSubject(Subject):
    """A view under test.

    Attributes:
        build: gives a new view.
        images: (H, W, 3) uint8 RGB each, what it is shown.
    """

    build: Callable[[], View]
    images: tuple[ByteImage, ...] = field(default_factory=default_images)

    @classmethod
    def installed(
        cls, plugins: Plugins, name: str, folder: Path, options: Mapping[str, Any] | None = None
    ) -> Self:
        """An installed view with its options."""
        settings = ViewSettings(plugins.options("views", name, options or {}))
        return cls(partial(plugins.build, "views", name, settings), folder=folder)

    def set_up(self) -> None:
        """Build it once."""
        self.build()

    def records(self) -> list[Record]:
        """The images as records, and each again as a part of itself: what data sets of slices give."""
        whole = in_memory(self.images)
        parts = []
        for record in whole:
            width, height = record.size_wh
            parts.append(record.derive(Crop(3, 5, (width - 3, height - 5))))
        return [*whole, *parts]


def apply_gives_records(subject: ViewSubject) -> None:
    """``apply`` gives a sequence of at least one record."""
    view = subject.build()
    for record in subject.records():
        derived = view.apply(record)
        assert isinstance(derived, Sequence), f"apply gave a {type(derived).__name__}; give a tuple"
        assert len(derived), f"{record.key}: no record; give at least (record,)"
        wrong = {type(d).__name__ for d in derived if not isinstance(d, Record)}
        assert not wrong, f"{record.key}: {', '.join(wrong)} among the records; give record.derive(transform)"


def records_are_derived(subject: ViewSubject) -> None:
    """Each record is derived from the one that the view got, whose key and transforms it keeps."""
    for record, derived in _applied(subject):
        assert derived.derives_from(record), (
            f"{record.key}: a record with key {derived.key!r} and {len(derived.transforms)} transforms; "
            "give record.derive(transform)"
        )


def sizes_are_those_of_the_images(subject: ViewSubject) -> None:
    """``size_wh`` is the size of ``image()``, and results come back in the size of the view's argument."""
    for record, derived in _applied(subject):
        try:
            derived.image()
        except TransformError as exc:
            raise AssertionError(exc.problem) from exc
        back = derived.undo(ImagePredictions.empty(record.key, derived.size_wh), to=record)
        assert back.size_wh == record.size_wh, (
            f"{record.key}: results come back in size {back.size_wh}, the image has {record.size_wh}; "
            "Transform.undo gets the size of its source"
        )


def boxes_come_back_to_what_they_show(subject: ViewSubject) -> None:
    """A box around an object on the view's image comes back to the place of the object."""
    compared = 0
    for image, key in zip(subject.images, (r.key for r in subject.records()), strict=False):
        height, width = image.shape[:2]
        box = np.array([width // 4, height // 4, 3 * width // 4, 3 * height // 4], np.float64)
        dark = Record(key, ImageArray(np.zeros_like(image)))
        painted = np.zeros_like(image)
        painted[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 255
        bright = Record(key, ImageArray(painted))
        # A view of its own each, so that random choices are the same.
        pairs = zip(subject.build().apply(dark), subject.build().apply(bright), strict=True)
        for without, derived in pairs:
            found = _changed(without.image(), derived.image())
            if found is None:
                continue
            back, visible = _brought_back(derived, found, bright), _visible(derived, bright, box)
            if visible is None:
                continue
            compared += 1
            overlap = float(iou_xyxy(back[None], visible[None])[0, 0])
            assert overlap > 0.7, (
                f"{key}: an object at {visible.round(1).tolist()} comes back at {back.round(1).tolist()}; "
                "correct Transform.undo"
            )
    if not compared:
        raise NotApplicable("it shows too little of the images")


def views_are_repeatable(subject: ViewSubject) -> None:
    """The same record gives the same images: again, and from a new view of the same settings."""
    for record in subject.records():
        first, second = subject.build(), subject.build()
        images = [d.image() for d in first.apply(record)]
        for view in (first, second):
            again = [d.image() for d in view.apply(record)]
            assert len(images) == len(again) and all(map(np.array_equal, images, again)), (  # noqa: PT018
                f"{record.key}: other images the second time; draw random choices from seed and record.key"
            )


def records_are_left_alone(subject: ViewSubject) -> None:
    """Pixels of the records are the same afterwards, and so is global random state."""
    before = pickle.dumps((random.getstate(), np.random.get_state()))
    view = subject.build()
    for record, untouched in zip(subject.records(), subject.records(), strict=True):
        for derived in view.apply(record):
            if derived is not record:
                derived.image()[...] = 7
        assert np.array_equal(record.image(), untouched.image()), (
            f"{record.key}: its pixels were changed; copy the image in Transform.image"
        )
    after = pickle.dumps((random.getstate(), np.random.get_state()))
    assert before == after, "global random state moved; use numpy.random.default_rng(settings.seed)"


def records_are_picklable(subject: ViewSubject) -> None:
    """Derived records survive pickling, so that another process can predict them."""
    for record, derived in _applied(subject):
        try:
            copy = pickle.loads(pickle.dumps(derived))
        except Exception as exc:
            raise AssertionError(
                f"{record.key}: a derived record cannot be pickled: {exc}; keep transforms plain data"
            ) from exc
        assert np.array_equal(copy.image(), derived.image()), f"{record.key}: pickling changes its image"


def _applied(subject: ViewSubject) -> list[tuple[Record, Record]]:
    view = subject.build()
    return [(record, derived) for record in subject.records() for derived in view.apply(record)]


def _changed(without: ByteImage, painted: ByteImage) -> FloatArray | None:
    """Box around the pixels that differ, ``None`` where none does."""
    if without.shape != painted.shape:
        return None
    rows, columns = np.nonzero(np.abs(painted.astype(int) - without).max(axis=2) > 127)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)


def _brought_back(derived: Record, box: FloatArray, record: Record) -> FloatArray:
    found = ImagePredictions(record.key, derived.size_wh, box[None], np.ones(1), np.zeros(1, np.int64))
    back: FloatArray = derived.undo(found, to=record).boxes_xyxy_px[0]
    return back


def _visible(derived: Record, record: Record, box: FloatArray) -> FloatArray | None:
    """The part of a box that a derived record shows; ``None`` where it is too small to compare pixels."""
    width, height = derived.size_wh
    window = _brought_back(derived, np.array([0, 0, width, height], np.float64), record)
    part = np.concatenate([np.maximum(box[:2], window[:2]), np.minimum(box[2:], window[2:])])
    # In pixels of the derived image, as that is where the object was looked for.
    scale = np.array([width, height]) / (window[2:] - window[:2])
    return part if ((part[2:] - part[:2]) * scale >= 8).all() else None


CHECKS = checks_of(
    apply_gives_records,
    records_are_derived,
    sizes_are_those_of_the_images,
    boxes_come_back_to_what_they_show,
    views_are_repeatable,
    records_are_left_alone,
    records_are_picklable,
)
"""Name -> check, in the order in which they are run."""
