"""One kind of predictions file into another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from anydet.contract.columns import NO_SIZE, image_of_entry, images_of, images_of_raw
from anydet.contract.conversion.coco_file import coco_results, images_of_coco
from anydet.contract.conversion.csv_file import write_csv
from anydet.contract.conversion.dropped_fields import tally
from anydet.contract.conversion.tools import write_bop, write_yolo
from anydet.contract.documents import Box, Entry
from anydet.contract.encode import encode_entry, encode_json
from anydet.contract.image_sizes import require_sizes
from anydet.contract.join import match_keys
from anydet.contract.raw import RawPredictions
from anydet.contract.reading.entries import entries
from anydet.contract.reading.foreign.formats import FORMATS, of_path, of_source, read_path
from anydet.contract.reading.load import accepted, load_source, valid
from anydet.contract.reading.opening import open_source
from anydet.contract.reading.shards import single_file
from anydet.contract.reading.source import Source
from anydet.contract.write import SUFFIXES, check_output, write_predictions
from anydet.errors import ContractError, OptionError
from anydet.outputs import new_file
from anydet.types import GroundTruthColumns, ImagePredictions

CONVENTIONS = {"bbox_format": "cxcywh_norm", "rot6d": "columns"}
SOURCES = ("contract", "coco", "yolozu", *FORMATS)
TARGETS = ("contract", "coco", "csv", "yolo", "bop")
KINDS = {
    "contract": "a plain list",
    "coco": "COCO results",
    "csv": "CSV",
    "yolo": "YOLO labels",
    "bop": "BOP results",
}
"""Target -> what messages call it."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted.

    Attributes:
        source, output: the files.
        made_of, made_into: their kinds, of ``SOURCES`` and ``TARGETS``.
        images, detections: how many were written.
        lost: what the output has no place for -> how many detections (or images, or fields of meta) had it.
        notes: what else a person should know.
    """

    source: str
    output: str
    made_of: str
    made_into: str
    images: int
    detections: int
    lost: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def loss_lines(self) -> list[str]:
        """``CSV cannot hold masks: 120 lost``, one a field."""
        kind = KINDS[self.made_into]
        return [f"{kind} cannot hold {name}: {count} lost" for name, count in self.lost.items()]


@dataclass(slots=True)
class Reading:
    """A file opened for conversion: results, or entries that can be passed on as they are."""

    images: Iterator[ImagePredictions]
    entries: Iterator[Entry] | None = None
    meta: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    given: frozenset[str] = frozenset()
    """Fields of meta that come from the data set, so that no file can lose them."""


def convert(
    source: Path,
    output: Path,
    *,
    made_of: str | None = None,
    made_into: str | None = None,
    truth: GroundTruthColumns | None = None,
    wrap: bool = False,
    box_format: str | None = None,
    class_map: Mapping[int, int] | None = None,
    category_map: str | None = None,
    refuse_odd: bool = False,
) -> Conversion:
    """Convert a predictions file.

    Between the contract's own shapes entries pass unchanged, unless boxes or rotations have to be brought to
    the contract's defaults.

    Args:
        source: a file of the contract, COCO results, one of the package yolozu, or a file or folder of
            another tool.
        output: ``.json``, ``.jsonl``, ``.parquet`` or ``.csv``; a folder for label files of YOLO.
        made_of: one of ``SOURCES``; found out where ``None``, but for yolozu.
        made_into: one of ``TARGETS``; by the output's suffix where ``None``.
        truth: the data set: ids for COCO results, and sizes that files do not state.
        wrap: write ``.json`` with its meta.
        box_format: what boxes are in, where the file does not state it or states it wrongly.
        class_map: class id of the contract by the file's id; yolozu only.
        category_map: how numbers of classes count, where they are not the data set's: one of
            ``class_map.CLASS_MAPS``, or a JSON or YAML file.
        refuse_odd: raise for what is left out of the predictions, as ``load`` does.

    Raises:
        ContractError: the file breaks its format, or lacks what the other needs.
        OptionError: options that do not fit each other.
    """
    made_of = made_of or of_path(source)
    if made_of in (None, "contract", "coco"):
        source = single_file(source, f"anydet convert FILE {output}")
    made_into = made_into or ("csv" if output.suffix.lower() == ".csv" else "contract")
    counts, lost = Counter[str](), Counter[str]()
    with ExitStack() as opened:
        # Open until all is written: the entries of some shapes are read while they are taken.
        file = None
        if made_of in (None, "contract", "coco"):
            file = opened.enter_context(open_source(source))
            made_of = made_of or of_source(file) or ("coco" if file.shape == "coco" else "contract")
        assert made_of is not None
        _check(output, made_of, made_into, truth, class_map)
        if category_map is not None and made_of == "contract":
            raise OptionError(
                "--class-map applies to COCO results and files of other tools; class_id of the contract "
                "counts from 0",
                fix="leave it out",
            )
        reading = _open(
            source,
            file,
            made_of,
            truth=truth,
            box_format=box_format,
            class_map=class_map,
            category_map=category_map,
            refuse_odd=refuse_odd,
        )
        if made_into == "contract":
            held = _write_entries(reading, source, output, truth, counts, wrap=wrap)
        else:
            if made_into in ("csv", "yolo"):
                reading.images = _in_range(reading.images, source)
            held = _write_results(reading, output, made_into, truth=truth, counts=counts, lost=lost)
    lost.update({"meta": len(_telling(reading.meta) - held - reading.given)})
    return Conversion(
        str(source),
        str(output),
        made_of,
        made_into,
        counts["images"],
        counts["detections"],
        {name: count for name, count in lost.items() if count},
        reading.notes,
    )


def _write_entries(
    reading: Reading,
    source: Path,
    output: Path,
    truth: GroundTruthColumns | None,
    counts: Counter[str],
    *,
    wrap: bool,
) -> set[str]:
    """Write a file of the contract; the fields of meta that it holds."""
    if reading.entries is not None:
        lines = map(_line, _counted_entries(reading.entries, counts))
    else:
        images = _in_range(_sized(reading.images, source, truth), source)
        lines = map(encode_entry, _counted(images, counts))
    write_predictions(lines, output, meta=reading.meta, wrap=wrap)
    plain = output.suffix.lower() == ".json" and not wrap
    return set() if plain else set(reading.meta or {})


def _write_results(
    reading: Reading,
    output: Path,
    made_into: str,
    *,
    truth: GroundTruthColumns | None,
    counts: Counter[str],
    lost: Counter[str],
) -> set[str]:
    """Write a file of another tool; the fields of meta that it holds."""
    classes = (reading.meta or {}).get("classes")
    images = _counted(tally(_known_sizes(reading.images, truth), KINDS[made_into], lost), counts)
    if made_into == "yolo":
        write_yolo(list(_sized(images, output, truth)), output)
        return set() if truth is None else {"classes"}  # those of the data set
    with new_file(output) as file:
        if made_into == "bop":
            assert truth is not None
            write_bop(images, file, truth, lost)
            return {"classes"}
        if made_into == "csv":
            used = write_csv(images, file, classes or (None if truth is None else truth.classes.names))
            return {"classes"} if classes and used >= set(range(len(classes))) else set()
        assert truth is not None
        results = coco_results(list(images), truth, classes)
        file.write(encode_json(results, where=str(output)) + b"\n")
        return {"classes"}  # those of the data set


def _telling(meta: Mapping[str, Any] | None) -> set[str]:
    """The fields of meta that say something: conventions do not where they are the contract's own."""
    default = (meta or {}).get("conventions", {}).items() <= CONVENTIONS.items()
    return {key for key in meta or {} if key != "conventions" or not default}


def _check(
    output: Path,
    made_of: str,
    made_into: str,
    truth: GroundTruthColumns | None,
    class_map: Mapping[int, int] | None,
) -> None:
    """Refuse what cannot work before anything is read."""
    if made_of not in SOURCES or made_into not in TARGETS:
        raise OptionError(
            f"cannot convert from {made_of!r} to {made_into!r}",
            fix=f"from one of {', '.join(SOURCES)}, to one of {', '.join(TARGETS)}",
        )
    for kind, example in (("coco", "annotations/instances_val2017.json"), ("bop", "bop/lmo")):
        if kind in (made_of, made_into) and truth is None:
            raise OptionError(
                f"{KINDS[kind]} name images and categories by the ids of their data set",
                fix=f"give it: --dataset {example}",
            )
    if class_map is not None and made_of != "yolozu":
        raise OptionError("--class-map applies to files of yolozu only", fix="add --from yolozu")
    suffix = output.suffix.lower()
    if made_into == "contract":
        check_output(output)
    elif made_into == "yolo":
        if suffix in (*SUFFIXES, ".csv", ".txt"):
            raise OptionError(f"{output}: YOLO labels are written as a folder", fix=f"name it {output.stem}")
    elif suffix != ".json" * (made_into == "coco") + ".csv" * (made_into != "coco"):
        raise OptionError(
            f"{output}: {made_into} is not written as {suffix or 'a file without suffix'}",
            fix=f"name the output {output.stem}{SUFFIXES[0] if made_into == 'coco' else '.csv'}",
        )


def _open(
    source: Path,
    file: Source | None,
    made_of: str,
    *,
    truth: GroundTruthColumns | None,
    box_format: str | None,
    class_map: Mapping[int, int] | None,
    category_map: str | None,
    refuse_odd: bool,
) -> Reading:
    meta: Mapping[str, Any] | None
    if made_of == "yolozu":
        from anydet.contract.conversion.yolozu import read_yolozu

        found, meta = read_yolozu(source, class_map)
        return _of_entries(found, source, meta, box_format, truth)
    if made_of in FORMATS:
        text = file.text if file else b""
        scan = read_path(source, made_of, truth, text, category_map)
        raw = accepted(valid(source, scan), refuse_odd=refuse_odd)
        require_sizes(raw, truth)
        return _open_foreign(raw, truth, box_format)
    assert file is not None
    if made_of == "coco":
        assert truth is not None
        meta = {"classes": list(truth.classes.names), "conventions": CONVENTIONS}
        images = images_of_coco(file, truth, category_map, box_format=box_format, refuse_odd=refuse_odd)
        return Reading(images, meta=meta, given=frozenset({"classes"}))
    # All of it is judged before anything is written; then the same file gives its entries once more.
    raw = load_source(file)
    require_sizes(raw, truth)
    chosen = raw.format_used(box_format)
    rows = (raw.meta or {}).get("conventions", {}).get("rot6d") == "rows"
    images = images_of(file, chosen, _sizes(raw, truth))
    if chosen == CONVENTIONS["bbox_format"] and not rows:
        meta = raw.meta if chosen == raw.box_format else {**(raw.meta or {}), "conventions": CONVENTIONS}
        return Reading(images, entries(file), meta)
    return Reading(images, meta={**raw.meta, "conventions": CONVENTIONS} if raw.meta else None)


def _of_entries(
    found: list[Entry],
    source: Path,
    meta: Mapping[str, Any] | None,
    box_format: str | None,
    truth: GroundTruthColumns | None,
) -> Reading:
    """Entries in memory, as if they stood in a file of the contract."""
    known = _size_table([entry.image for entry in found], truth)
    images = (image_of_entry(e, str(source), meta, box_format, known.get(e.image)) for e in found)
    plain = box_format in (None, CONVENTIONS["bbox_format"])
    return Reading(images, iter(found) if plain else None, meta)


def _open_foreign(raw: RawPredictions, truth: GroundTruthColumns | None, box_format: str | None) -> Reading:
    """All of a file of another tool, which is read before anything is written."""
    raw = replace(raw, box_format=raw.format_used(box_format))
    meta = None if raw.classes is None else {"classes": list(raw.classes)}
    given = frozenset(meta or ()) if truth is not None else frozenset[str]()
    return Reading(images_of_raw(raw, truth), meta=meta, notes=raw.notes, given=given)


def _line(entry: Entry) -> bytes:
    """An entry as it is, its boxes under the names of the default format."""
    for detection in entry.detections:
        if not isinstance(detection.bbox, Box):
            detection.bbox = Box(*detection.bbox)
    return msgspec.json.encode(entry)


def _sizes(raw: RawPredictions, truth: GroundTruthColumns | None) -> dict[str, tuple[int, int]]:
    """Sizes of the data set for images whose entry states none."""
    unknown = [key for key, (width, _) in zip(raw.images, raw.sizes_wh.tolist(), strict=True) if width < 0]
    return _size_table(unknown, truth)


def _size_table(keys: list[str], truth: GroundTruthColumns | None) -> dict[str, tuple[int, int]]:
    if truth is None or not keys:
        return {}
    at, _ = match_keys(keys, truth.images)
    sizes = truth.sizes_wh.tolist()
    found = {key: tuple(sizes[i]) for key, i in zip(keys, at.tolist(), strict=True) if i >= 0}
    return {key: (width, height) for key, (width, height) in found.items() if width > 0}


def _known_sizes(
    images: Iterator[ImagePredictions], truth: GroundTruthColumns | None
) -> Iterator[ImagePredictions]:
    """The images, with the data set's size where they have none."""
    for image in images:
        size = None if image.size_wh[0] > 0 else _size_table([image.image], truth).get(image.image)
        yield replace(image, size_wh=size) if size else image


def _sized(
    images: Iterator[ImagePredictions], source: Path, truth: GroundTruthColumns | None
) -> Iterator[ImagePredictions]:
    for image in _known_sizes(images, truth):
        if len(image) and image.size_wh[0] <= 0:
            raise ContractError(
                f"{source}: image {image.image}: its size is needed to write boxes as fractions, and the "
                f"{'file does' if truth is None else 'file and the data set do'} not state it",
                fix="give the data set: --dataset" if truth is None else NO_SIZE,
            )
        yield image


def _in_range(images: Iterator[ImagePredictions], source: Path) -> Iterator[ImagePredictions]:
    """The images; raises for scores that only COCO results and those of BOP may have."""
    for image in images:
        beyond = np.flatnonzero((image.scores < 0) | (image.scores > 1))
        if len(beyond):
            raise ContractError(
                f"{source}: image {image.image}: score {image.scores[beyond[0]]} is beyond 0..1",
                fix="apply a sigmoid to logits where they are written, or bring the scores into 0..1 with "
                f"'anydet validate-predictions {source} --dataset DATASET --repair OUT.json'",
            )
        yield image


def _counted(images: Iterator[ImagePredictions], counts: Counter[str]) -> Iterator[ImagePredictions]:
    for image in images:
        counts.update(images=1, detections=len(image))
        yield image


def _counted_entries(found: Iterator[Entry], counts: Counter[str]) -> Iterator[Entry]:
    for entry in found:
        counts.update(images=1, detections=len(entry.detections))
        yield entry
