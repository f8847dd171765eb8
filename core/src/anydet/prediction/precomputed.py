"""``precomputed``: an existing predictions file as an adapter. Looks at keys and sizes, never at pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from anydet.contract.columns import image_at
from anydet.contract.join import KeyIndex
from anydet.contract.reading.load import load
from anydet.data.record.record import Record
from anydet.errors import ContractError, OptionError, did_you_mean
from anydet.inputs import as_file
from anydet.plugins.adapter import Adapter
from anydet.plugins.options import check_options, load_schema
from anydet.types import AdapterSettings, ClassTable, ImagePredictions, Size

SCHEMA = "anydet.prediction:precomputed.schema.json"


class Precomputed(Adapter):
    """Gives each record its entry of a predictions file, with all its fields.

    Raises:
        ContractError: the file breaks the contract.
    """

    needs_pixels = False

    def __init__(self, settings: AdapterSettings) -> None:
        super().__init__(settings)
        self.options = check_options(settings.options, load_schema(SCHEMA), owner="precomputed")
        self.raw = load(as_file(Path(self.options["predictions"])))
        self._index = KeyIndex(self.raw.images)
        self._served: dict[int, str] = {}

    @property
    def classes(self) -> ClassTable | None:
        """Names that the file's ``meta`` states."""
        return None if self.raw.classes is None else ClassTable(self.raw.classes)

    def predict(self, records: Sequence[Record]) -> Iterator[ImagePredictions]:
        """One result a record: its entry, under the record's key.

        Raises:
            OptionError: a record is transformed; the file knows the original image alone.
            ContractError: a record has no entry and ``missing`` is "error", more than one entry may be its
                own, another record has the same one, or the entry is of an image of another size.
        """
        for record in records:
            _refuse_transformed(record)
            at = self._entry(record.key)
            if at is None:
                yield ImagePredictions.empty(record.key, record.size_wh)
                continue
            size = record.size_wh
            self._check_size(at, record.key, size)
            image = image_at(self.raw, at, size, self.options.get("bbox_format"))
            yield replace(image, image=record.key)

    def _entry(self, key: str) -> int | None:
        """Position of a record's entry, ``None`` where it may lack one."""
        found = self._index.find(key)
        if len(found) > 1:
            names = ", ".join(repr(self.raw.images[i]) for i in found[:5])
            raise ContractError(
                f"{self.raw.path}: image {key!r} may be any of {names} ({len(found)} entries)",
                fix="write image keys as paths relative to the split's image folder",
            )
        if not found:
            if self.options["missing"] == "empty":
                return None
            hint = did_you_mean(key, self.raw.images[:1000])
            raise ContractError(
                f"{self.raw.path}: it has no entry for image {key!r}{hint}",
                fix="predict the images that it is of, or give others nothing with --option missing=empty",
            )
        if self._served.setdefault(found[0], key) != key:
            raise ContractError(
                f"{self.raw.path}: images {self._served[found[0]]!r} and {key!r} both join the entry "
                f"{self.raw.images[found[0]]!r}",
                fix="write image keys as paths relative to the split's image folder",
            )
        return found[0]

    def _check_size(self, at: int, key: str, size: Size) -> None:
        stated = tuple(self.raw.sizes_wh[at].tolist())
        if min(stated) > 0 and stated != size:
            raise ContractError(
                f"{self.raw.path}: {self.raw.place(at).at(('image_size',))}: {stated[0]}x{stated[1]}, but "
                f"the image is {size[0]}x{size[1]} (image {key})",
                fix="give the data set of the predictions",
            )


def _refuse_transformed(record: Record) -> None:
    if record.transforms:
        steps = ", ".join(type(transform).__name__ for transform in record.transforms)
        raise OptionError(
            f"precomputed: image {record.key} has transforms ({steps}), and the file knows the "
            "original image alone",
            fix="run without test-time augmentation",
        )
