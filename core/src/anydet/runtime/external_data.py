"""Files beside a model that hold its tensors: they must lie in the model's folder.

ONNX lets a tensor be stored in a file of any path. A model of somebody else must not have other files read,
so the paths are found before a runtime opens the model; former versions of ONNX Runtime follow them anywhere.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from anydet.runtime.errors import ModelError
from anydet.runtime.wire import fields

_PARTS: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
"""Message of ONNX -> numbers of its fields that may hold tensors, and their messages."""
_EXTERNAL_DATA = 13
"""Number of TensorProto's field of names and values: location, offset, length."""


def check_external_data(path: Path, *, option: str = "--checkpoint") -> None:
    """Raise ``ModelError`` where a model has data outside of its folder, or data that is not there.

    Symbolic links count for where they lead to, both of the model and of the data. Hints name the option that
    the model was given by.
    """
    for stated in external_data(path, option=option):
        location = stated.get("location", "")
        data = path.parent / location
        if (
            location in {"", "."}
            or "\0" in location
            or Path(location).is_absolute()
            or not _inside(data, path)
        ):
            raise ModelError(
                f"{path}: keeps weights in {location!r:.200}, which is not in the model's folder",
                fix="export it again with its data beside it (onnx.save_model, location='MODEL.onnx.data')",
            )
        if not os.path.isfile(data):  # noqa: PTH113 - False where a name is too long, too
            raise ModelError(
                f"{path}: its external data {location!r:.200} is not there",
                fix=f"put the file beside the model, as {data}",
            )
        sizes = [stated.get(key, "")[:20] for key in ("offset", "length")]
        needed = sum(int(size) for size in sizes if size.isdecimal())
        if data.stat().st_size < needed:
            raise ModelError(
                f"{path}: its external data {location!r:.200} is cut short: "
                f"{data.stat().st_size} bytes of at least {needed}",
                fix=f"copy {data} again",
            )


def external_data(path: Path, *, option: str = "--checkpoint") -> Iterator[Mapping[str, str]]:
    """What the tensors of a model say of their files; raises ``ModelError`` where it is no ONNX model."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        pending = [("ModelProto", 0, len(data))]
        try:
            while pending:
                message, start, end = pending.pop()
                entries = []
                for number, first, last in fields(data, start, end):
                    if message == "TensorProto" and number == _EXTERNAL_DATA:
                        entries.append(_entry(data, first, last))
                    elif number in _PARTS.get(message, {}):
                        pending.append((_PARTS[message][number], first, last))
                if entries:
                    yield dict(entries)
        except (ValueError, IndexError) as exc:
            raise ModelError(
                f"{path} cannot be opened as an ONNX model: it is damaged, cut short or of another kind",
                fix=f"give {option} a complete .onnx file; download or export it again",
            ) from exc


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    texts = {number: data[first:last].decode() for number, first, last in fields(data, start, end)}
    return texts.get(1, ""), texts.get(2, "")


def _inside(data: Path, model: Path) -> bool:
    """Whether data is in the folder of the model, or in that of the file which the model's name links to."""
    # The cache of Hugging Face has both as links into one other folder.
    folders = os.path.realpath(model.parent), os.path.dirname(os.path.realpath(model))  # noqa: PTH120
    return any(Path(os.path.realpath(data)).is_relative_to(folder) for folder in folders)
