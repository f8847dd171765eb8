"""Which formats of other tools are read, how a file is recognised as one of them, and reading it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from anydet.contract.raw import RawPredictions, Scan
from anydet.contract.reading.encoding import not_utf8
from anydet.contract.reading.foreign import results
from anydet.contract.reading.foreign.assembling import Kind, assemble, fix_of
from anydet.contract.reading.foreign.given import Found, Given
from anydet.contract.reading.foreign.outlines import recognized
from anydet.contract.reading.source import Source
from anydet.contract.violations import parse
from anydet.errors import AnydetError, ContractError
from anydet.inputs import read_json, text_problem
from anydet.text import counted, listed
from anydet.types import GroundTruthColumns

Read = Callable[[Given], RawPredictions]
JSON_FORMATS = ("coco-document", "torchvision", "transformers", "mmdetection", "roboflow", "yolozu-masks")
FORMATS = ("csv", "bop", "dota", "yolo", "yolo-confidence-second", *JSON_FORMATS)
"""Names of the formats, as ``anydet convert --from`` takes them."""
_LOOKED_AT = 20
_LARGEST = 1 << 22
"""Bytes of a file of one image's result."""
SUFFIXES = (".csv", ".tsv", ".txt")
"""Of files that are none of JSON."""
_DOCUMENTS = frozenset({".json", ".jsonl", ".ndjson", ".parquet", ".csv"})
_SINGLE = frozenset({"torchvision", "transformers", "mmdetection", "roboflow"})
"""Those of which tools write a file for each image."""


def of_path(path: Path) -> str | None:
    """The format of what is told by its kind and first lines: folders, CSV and text files."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return _of_folder(path)
    # Other files are not opened here: each is opened once.
    if suffix not in SUFFIXES or not path.is_file() or _begins_as_json(path):
        return None
    if suffix in (".csv", ".tsv"):
        from anydet.contract.reading.foreign.bop_results import is_bop

        return "bop" if is_bop(path) else "csv"
    from anydet.contract.reading.foreign.dota_results import is_dota

    if is_dota(path):
        return "dota"
    return "yolo"  # what is wrong with its lines is said with their place


def of_source(source: Source) -> str | None:
    """The format of a JSON document that is open and none of the contract's, ``None`` if it may be one.

    Of entries of the contract, no more than the first one that is not empty is decoded.
    """
    if not source.text:
        return None
    if source.shape == "wrapped":
        first = next((value for value in map(_decoded, source.entries()) if value), None)
        if isinstance(first, Mapping) and ("detections" in first or not first):
            return None
        return recognized(_parsed(source, source.text))
    if source.shape == "map":
        members = {str(place.key): raw for place, raw in source.entries()}
        outline: dict[str, Any] = dict.fromkeys(members)
        for key, raw in members.items():
            outline[key] = _parsed(source, bytes(raw))
            # One that is not empty says what the others are; documents are told by several of their keys.
            if outline[key] and not _OF_DOCUMENTS & members.keys():
                break
        return recognized(outline)
    first = next((value for value in map(_decoded, source.entries()) if value), None)
    return recognized([first])


def _parsed(source: Source, text: bytes) -> Any:
    """The value of a part of a document; raises ``ContractError`` where its encoding hides what it is."""
    value = parse(text)[0]
    problem = text_problem(source.text) if value is None else ""
    if problem:
        raise not_utf8(source.path, problem)
    return value


_OF_DOCUMENTS = frozenset({"annotations", "labels", "scores", "bboxes", "boxes"})


def read_path(
    path: Path,
    name: str,
    truth: GroundTruthColumns | None,
    text: bytes = b"",
    class_map: str | None = None,
    *,
    repairing: bool = False,
) -> Scan:
    """A file or folder of a format, what is right in it and what is wrong.

    Args:
        path: the file or folder.
        name: one of ``FORMATS``.
        truth: the data set, or ``None``.
        text: of a document that was read already.
        class_map: how numbers of classes count, where they are not the data set's.
        repairing: let through what can be repaired: scores that the format does not have, other encodings.

    Raises:
        ContractError: nothing of it can be read.
    """
    given = Given(path, truth=truth, class_map=class_map, repairing=repairing)
    if name in JSON_FORMATS and path.is_dir():
        return _read_folder(given, name)
    if name in JSON_FORMATS:
        given.value = value_of(path, text) if text else read_value(path)
    return read_given(given, name)


def read_given(given: Given, name: str) -> Scan:
    """As ``read_path``, of what is in memory."""
    found = _READERS[name](given)
    return Scan(found, given.all_problems(), fix_of(given) if given.problems else "")


def read_value(path: Path, given: Given | None = None) -> Any:
    """The value of a JSON document, in which NaN and infinity may stand, and for a repair other encodings."""
    try:
        if given is not None and given.repairing:
            return value_of(path, given.open_text(path).getvalue().encode())
        return value_of(path, read_json(path))
    except OSError as exc:
        raise ContractError(
            f"{path}: cannot be read: {exc.strerror}", fix="give the path of a predictions file"
        ) from exc


def value_of(path: Path, text: bytes) -> Any:
    """As ``read_value``, of a text; ``path`` is its name in messages."""
    value, problems = parse(text)
    problem = text_problem(text) if value is None else ""
    if problem:
        raise not_utf8(path, problem)
    if value is None:
        why = problems[0][1] if problems else "null where a list or an object belongs"
        raise ContractError(f"{path}: {why}", fix="write the file again")
    return value


def _begins_as_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip()[:1] in (b"{", b"[")
    except OSError:
        return False


def _decoded(entry: Any) -> Any:
    return parse(bytes(entry[1]))[0]


def _of_folder(folder: Path) -> str | None:
    """The format of a folder with a file for each image; ``None`` of any other, and of files of the contract.

    Raises ``ContractError`` where it holds predictions twice.
    """
    from anydet.contract.reading.foreign.dota_results import is_dota
    from anydet.contract.reading.foreign.yolo_labels import columns_of, has_confidences

    if is_dota(folder):
        return "dota"
    documents = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".json")
    labels = columns_of(folder) > 4
    if labels and documents and has_confidences(folder):
        raise ContractError(
            f"{folder}: it holds {documents[0].name} and label files: predictions in two forms",
            fix=f"name one of them: {documents[0]}, or a folder of label files alone",
        )
    if labels and not documents:
        return "yolo"
    for file in documents[:_LOOKED_AT]:
        if file.stat().st_size > _LARGEST:
            return None
        try:
            # In whatever encoding: what reads it says that it is another one.
            value = read_value(file, Given(file, repairing=True))
        except ContractError:
            continue  # the others say what they are; reading them names this one
        name = recognized(value)
        if name in _SINGLE and _of_one_image(file, value):
            return name
        if name is not None:
            return None
    return None


def no_predictions(folder: Path) -> ContractError:
    """The error of a folder that holds no predictions: what it holds instead, and what to name."""
    from anydet.contract.reading.foreign.yolo_labels import label_files

    inside = [one for one in sorted(folder.iterdir()) if one.is_dir()][:_LOOKED_AT]
    named = [(one, name) for one in inside if (name := _of_inner(one))]
    texts = label_files(folder)
    if named:
        problem = f"no predictions there, but in {listed([f'{one.name}/' for one, _ in named], quotes=False)}"
        return ContractError(f"{folder}: {problem} ({named[0][1]})", fix=f"name that: {named[0][0]}")
    if texts:
        return ContractError(
            f"{folder}: {counted(len(texts), 'text file')} without a line of numbers (the first: {texts[0]})",
            fix="give label files with confidences, as save_txt and save_conf write them",
        )
    found = [one.name for one in sorted(folder.iterdir())]
    there = f"it holds {listed(found, 3)}" if found else "it is empty"
    return ContractError(
        f"{folder}: no predictions there: {there}",
        fix="give files that end in .json, .jsonl, .ndjson, .parquet, .csv, or label files with confidences",
    )


def _of_inner(folder: Path) -> str | None:
    """The format of a folder, if it is one of predictions; what is wrong in it is no reason to stop."""
    try:
        name = of_path(folder)
        documents = any(file.suffix.lower() in _DOCUMENTS for file in folder.iterdir())
    except (AnydetError, OSError):
        return None
    return name or ("files of predictions" if documents else None)


def _of_one_image(file: Path, value: Any) -> bool:
    given = Given(file, value=value)
    return [image for image, _, _ in results.images_of(given, value)] == [results.stem(given)] or (
        isinstance(value, Mapping) and results.is_one(value)
    )


def _read_folder(given: Given, name: str) -> Scan:
    """A file for each image, whose name is that of the image unless it says another."""
    files = sorted(file for file in given.path.iterdir() if file.suffix.lower() == ".json")
    found = []
    for file in files:
        try:
            value = read_value(file, given)
        except ContractError as exc:
            given.blame(file.name, exc.problem.removeprefix(f"{file}: "))
            continue
        one = Given(file, value=value, truth=given.truth, problems=given.problems, notes=given.notes)
        found += [_in_file(file, result) for result in _JSON[name][1](one)]
    raw = assemble(given, _JSON[name][0], found)
    return Scan(raw, given.all_problems(), fix_of(given) if given.problems else "")


def _in_file(file: Path, found: Found) -> Found:
    """A result whose places begin with the name of its file."""
    rows = None if found.rows is None else [f"{file.name}: {row}" for row in found.rows]
    return replace(found, where=f"{file.name}: {found.where}", rows=rows)


def _of_found(kind: Kind, read: Callable[[Given], Any], given: Given) -> RawPredictions:
    return assemble(given, kind, read(given))


def _csv(given: Given) -> RawPredictions:
    from anydet.contract.reading.foreign.tables import by_name, read_table

    table = read_table(given)
    raw = assemble(given, table.kind, by_name(given, table))
    last = max((one for one in table.names if isinstance(one, int)), default=-1)
    names = [table.names.get(i) for i in range(last + 1)]
    if given.truth is not None or not names or raw.classes is not None:
        return raw
    gaps = [i for i, name in enumerate(names) if name is None]
    if gaps:
        note = f"class names are left out: ids {listed(gaps, quotes=False)} have none; give --dataset"
        return replace(raw, notes=(*raw.notes, note))
    return replace(raw, classes=tuple(map(str, names)))


def _yolo(given: Given, *, second: bool = False) -> RawPredictions:
    from anydet.contract.reading.foreign.yolo_labels import YOLO, read_labels

    return assemble(given, YOLO, read_labels(given, second=second))


def _bop(given: Given) -> RawPredictions:
    from anydet.contract.reading.foreign.bop_results import BOP, read_bop

    return assemble(given, BOP, read_bop(given))


def _dota(given: Given) -> RawPredictions:
    from anydet.contract.reading.foreign.dota_results import DOTA, read_dota

    return assemble(given, DOTA, read_dota(given))


def _instances(given: Given) -> RawPredictions:
    from anydet.contract.reading.foreign.instance_masks import INSTANCES, read_instances

    return assemble(given, INSTANCES, read_instances(given))


def _document(given: Given) -> RawPredictions:
    from anydet.contract.reading.foreign.coco_document import read_document

    return read_document(given)


_JSON: dict[str, tuple[Kind, Callable[[Given], Any]]] = {
    "torchvision": (results.TORCHVISION, results.read_arrays),
    "mmdetection": (results.MMDETECTION, results.read_arrays),
    "transformers": (results.TRANSFORMERS, results.read_boxes),
    "roboflow": (results.ROBOFLOW, results.read_roboflow),
}
_READERS: dict[str, Read] = {
    "csv": _csv,
    "bop": _bop,
    "dota": _dota,
    "yolo": _yolo,
    "yolo-confidence-second": partial(_yolo, second=True),
    "coco-document": _document,
    "yolozu-masks": _instances,
    **{name: partial(_of_found, kind, read) for name, (kind, read) in _JSON.items()},
}
